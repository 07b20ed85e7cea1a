"""How the weights and the rates of the studies on feedback are made."""

import hashlib
import json
import math
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
import xarray as xr
from safetensors import SafetensorError, safe_open

import neurodyn as nd
from neurodyn.cells import cell, in_processes, read
from neurodyn.models.feedback_nets import Network, Pictures, check_names, feedback_net, stem
from neurodyn.models.feedback_stages import train_stage
from neurodyn.models.train_komplexnet import load
from neurodyn.stimuli.recipe import number, real, whole

SEEDS = 10_000
"""Training seeds are below it: tests draw their noise with the training seed and 10,000."""
TERMS = ["feedforward", "feedback", "memory", "error"]


def train_feedback(
    *,
    out: str | Path = "results/train-feedback",
    networks: tuple[Network, ...] = ("presnet18", "pshallow"),
    data: tuple[Pictures, ...] = ("digits",),
    seeds: tuple[int, ...] = (0, 1, 2),
    gaussian: tuple[float, ...] = (0.0, 0.2, 0.4, 0.8),
    salt_pepper: tuple[float, ...] = (0.05, 0.1, 0.2),
    images: int = 24_576,
    epochs: int = 8,
    decoder_epochs: int = 8,
    learning_rate: float = 3e-3,
    batch_size: int = 256,
    supervised: bool = False,
    supervised_epochs: int = 2,
    supervised_learning_rate: float = 1e-3,
    rate_images: int = 4_096,
    rate_epochs: int = 2,
    rate_learning_rate: float = 1e-2,
    rate_batch_size: int = 32,
    steps: int = 5,
    update: Literal["simultaneous", "sequential"] = "simultaneous",
    workers: int = 2,
    accelerator: str = "cpu",
    precision: str = "32-true",
) -> xr.Dataset:
    r"""Train networks with feedback: to classify, to reconstruct, then their rates under noise.

    First the backbone learns to classify; then, frozen, its decoders learn to reconstruct its
    activities; then, all frozen, each type and level of noise gets rates of its own:

    .. math:: L = \frac{1}{T} \sum_{t=1}^{T} -\log \mathrm{softmax}(o(t))_c

    with the logits o after t Euler steps of 1, and gradients through all of them, the error term
    included; beta, lambda and alpha of each layer start at .33, .33 and 0. All images are training
    images, with noise drawn once for each; norms are in evaluation mode.

    *Published*: the three stages, the start, T = 5, Adam with 1e-2 (1e-4 for alpha). *Otherwise
    here*: their rates were trained on the images they were tested on, with no gradient through the
    error term, t = 0 in the sum, weight decay of 1e-5 and more passes; the first two stages used
    other optimisers.

    The noise levels of one network learn side by side, in one batch: each has its own images and
    rates, and nothing else would be different one by one. Each stage is kept as it is finished,
    and each epoch of it; the same command goes on from there. With another setting a stage and
    those behind it are trained anew; other networks, images and seeds are added to ``rates.nc``.

    Parameters
    ----------
    out : path
        Folder for the weights (``feedback-<network>-<data>-<seed>.safetensors``, half precision),
        ``rates.nc``, cells and checkpoints. Supervised ones have "-supervised" in their names.
    networks, data : tuple of str
        As `feedback_net` takes them.
    seeds : tuple of int
        Of untrained weights, the order of images, and noise, below 10,000: what the study tests
        has noise drawn with the seed + 10,000, never that of training.
    gaussian, salt_pepper : tuple of float
        Levels: standard deviations, and probabilities. 0 is the clean image.
    images, epochs, decoder_epochs : int
        The first so many training images, or all there are, and passes through them.
    learning_rate, batch_size : float, int
        Adam's largest of a cycle, and images in one step, of the first two stages.
    supervised, supervised_epochs, supervised_learning_rate : bool, int, float
        Train backbone and decoders once more, to classify clean images over time (the same loss),
        with the rates at thirds and .01, before the rates are trained. Published is this from
        untrained weights.
    rate_images, rate_epochs : int
        Images with noise, the training images again and again with new noise; passes through them.
    rate_learning_rate, rate_batch_size : float, int
        Adam's, constant, for beta and lambda; images of each noise level in one step.
    steps : int
        Euler steps T.
    update : {"simultaneous", "sequential"}
        The differential equation, or the published order within a step.
    workers : int
        Networks trained side by side, each in a process with one core.
    accelerator, precision
        Lightning Fabric's. Each network trains on one device; all `workers` share it.

    Returns
    -------
    Dataset
        "rate" (network, data, seed, noise_type, noise, term, layer), as of `rates_of`, NaN where
        there is none; "loss" in nats and "accuracy" (..., time = 0 and T), means over the last
        pass through the training images; "duration" of all stages in seconds, of each without
        what was before an interruption. All that ``rates.nc`` holds, from earlier commands too.

    Raises
    ------
    ValueError, FileNotFoundError
        If something given is not known or out of range, if ``rates.nc`` has other networks, of
        another recipe, if a loss is not finite, or Fashion-MNIST is not installed.

    Notes
    -----
    More `rate_epochs` go on from those that were kept, fewer are refused. With T = 5 and the
    differential equation, the shallow network's first layer acts on the last three losses only:
    what changes there needs two steps to arrive at the top. The same seed gives the same numbers
    on one kind of machine; on a GPU the last digits differ from run to run.

    References
    ----------
    Alamia, Mozafari, Choksi & VanRullen (2021), arXiv:2106.04225.
    """
    for what, given in (("networks", networks), ("data", data), ("seeds", seeds)):
        if not given or len(set(given)) < len(given):
            raise ValueError(f"{what} must be one or more, none of them twice; got {given}")
    for network in networks:
        for name in data:
            check_names(network, name)
    for seed in seeds:
        whole("seeds", seed, 0, SEEDS - 1)
    for what, levels, most in (("gaussian", gaussian, math.inf), ("salt_pepper", salt_pepper, 1)):
        for level in levels:
            number(what, level, 0, most)
    noises = [("gaussian", float(x)) for x in gaussian]
    noises += [("salt_pepper", float(x)) for x in salt_pepper]
    if not noises or len(set(noises)) < len(noises):
        raise ValueError(f"noise levels must be one or more, none of them twice; got {noises}")
    if update not in ("simultaneous", "sequential"):
        raise ValueError(f"update {update!r} is not one of simultaneous, sequential")
    for what, count in {
        "images": images, "rate_images": rate_images, "steps": steps, "epochs": epochs,
        "decoder_epochs": decoder_epochs, "supervised_epochs": supervised_epochs,
        "rate_epochs": rate_epochs, "batch_size": batch_size, "rate_batch_size": rate_batch_size,
        "workers": workers,
    }.items():  # fmt: skip
        whole(what, count, 1)
    for what, rate in {
        "learning_rate": learning_rate, "supervised_learning_rate": supervised_learning_rate,
        "rate_learning_rate": rate_learning_rate,
    }.items():  # fmt: skip
        if not real(rate, 0, math.inf) or not 0 < rate < math.inf:
            raise ValueError(f"{what} must be a number above 0, got {rate!r}")
    common = {
        "accelerator": accelerator, "precision": precision, "images": images,
        "neurodyn_version": nd.__version__, "torch_version": str(torch.__version__),
    }  # fmt: skip
    over_time = {"steps": steps, "update": update}
    first = {"learning_rate": learning_rate, "batch_size": batch_size}
    recipe: dict[str, dict[str, Any]] = {
        "backbone": common | first | {"epochs": epochs},
        "decoders": first | {"epochs": decoder_epochs},
        "supervised": over_time
        | {"epochs": supervised_epochs, "learning_rate": supervised_learning_rate,
           "batch_size": batch_size},
        "rates": over_time
        | {"epochs": rate_epochs, "learning_rate": rate_learning_rate,
           "batch_size": rate_batch_size, "noisy_images": rate_images, "noises": noises},
    }  # fmt: skip
    if not supervised:
        del recipe["supervised"]
    folder = Path(out)
    kept = folder / f"rates{'-supervised' * supervised}.nc"
    asked = list(product(networks, data, seeds))
    other_networks(kept, asked, recipe)  # refused before, and read after the training
    found = in_processes([partial(train_network, folder, *one, recipe) for one in asked], workers)
    found += other_networks(kept, asked, recipe)
    layers = list(dict.fromkeys(name for each in found for name in each.layer.values.tolist()))
    both = xr.merge(found, join="outer", compat="no_conflicts", combine_attrs="drop_conflicts")
    order = {
        axis: list(dict.fromkeys(each[axis].item() for each in found))
        for axis in ("network", "data")
    }
    both = both.reindex(order | {"layer": layers, "term": TERMS})
    both.attrs = {"config": json.dumps(recipe, sort_keys=True), "neurodyn_version": nd.__version__}
    nd.save(both, kept)
    return both


def other_networks(
    path: Path, asked: list[tuple[Network, Pictures, int]], recipe: dict[str, dict[str, Any]]
) -> list[xr.Dataset]:
    """Return the networks of an earlier command that this one does not train, one by one."""
    found = read(path)
    if found is None:
        return []
    axes = ("network", "data", "seed")
    there = product(*(found[axis].values.tolist() for axis in axes))
    others = [
        found.sel({axis: [value] for axis, value in zip(axes, one, strict=True)})
        for one in there if one not in asked
    ]  # fmt: skip
    others = [one for one in others if one.duration.notnull().all()]
    theirs, ours = json.loads(found.attrs.get("config", "{}")), json.loads(json.dumps(recipe))
    differ = [
        f"{stage}: {name} = {theirs.get(stage, {}).get(name)}, not {value}"
        for stage, settings in ours.items() for name, value in settings.items()
        if theirs.get(stage, {}).get(name) != value
    ]  # fmt: skip
    if others and differ:
        names = ", ".join(stem(*(one[axis].item() for axis in axes)) for one in others)
        raise ValueError(
            f"{path} has {names} of another recipe ({'; '.join(differ)}); give another `out`, the "
            "same settings, or move that file away"
        )
    return others


def train_network(
    folder: Path, network: Network, data: Pictures, seed: int, recipe: dict[str, dict[str, Any]]
) -> xr.Dataset:
    """Take one network through all stages, or on from the first that is not finished."""
    name = stem(network, data, seed)
    model = feedback_net(network, data, seed=seed)
    about: dict[str, Any] = {"network": network, "data": data, "seed": seed}
    seconds, last, way = 0.0, xr.Dataset(), ""
    for stage, settings in recipe.items():
        about |= {stage: settings}
        way = "-supervised" if stage == "supervised" else way
        place = folder / "cells" / f"{name}{way}-{stage}.nc"
        weights = folder / f"{name}{way}.safetensors"
        if stage == "backbone":
            weights = place.with_suffix(".safetensors")
        if stage != "rates" and not holds(weights, about):
            place.unlink(missing_ok=True)  # measured, but no longer there: once more
        fitting = recipe["backbone"] | settings | {"path": checkpoint(place, about)}
        work = partial(train_stage, model, stage, weights, dict(about), fitting)
        last = cell(place, about, work)
        load(model, weights)  # half precision: later stages go on from what ships
        seconds += last.duration.item()
    told = {"long_name": "duration of all stages, each in its last run", "units": "s"}
    last = last.assign(duration=((), seconds, told))
    last.attrs = {}
    axes = {"network": [network], "data": [data], "seed": [seed]}
    return last.expand_dims(axes).transpose(*axes, ...)


def checkpoint(place: Path, about: dict[str, Any]) -> Path:
    """Return where a stage of this recipe keeps its epochs; more of the rates' go on from fewer."""
    recipe = dict(about)
    if "rates" in recipe:
        recipe["rates"] = {k: v for k, v in recipe["rates"].items() if k != "epochs"}
    text = json.dumps(recipe, sort_keys=True)
    return place.with_name(f"{place.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.ckpt")


def holds(weights: Path, about: dict[str, Any]) -> bool:
    """Return whether a file has the weights of this very training."""
    try:
        with safe_open(weights, "pt") as file:
            theirs = json.loads((file.metadata() or {}).get("neurodyn", "null"))
    except (OSError, SafetensorError):
        return False
    return bool(theirs == about)
