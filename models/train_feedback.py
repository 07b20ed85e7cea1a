"""How the weights and the rates of the studies on feedback are made."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import xarray as xr
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.cells import cell, in_processes
from neurodyn.feedback_ablation import rates_of
from neurodyn.models.feedback_nets import (
    START,
    Network,
    Pictures,
    check_names,
    feedback_net,
    pictures,
    stem,
    with_rates,
)
from neurodyn.models.over_time import OverTime, RatesByNoise
from neurodyn.models.train_komplexnet import generator, load, store
from neurodyn.rates import Rates
from neurodyn.stimuli.digits import NOISE
from neurodyn.train import Classification, Reconstruction, make_fabric, run_epochs

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
    and each epoch of it; the same command goes on from there.

    Parameters
    ----------
    out : path
        Folder for the weights (``feedback-<network>-<data>-<seed>.safetensors``, half precision),
        ``rates.nc``, cells and checkpoints. Supervised ones have "-supervised" in their names.
    networks, data : tuple of str
        As `feedback_net` takes them.
    seeds : tuple of int
        Of untrained weights, the order of images, and noise.
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
        Lightning Fabric's.

    Returns
    -------
    Dataset
        "rate" (network, data, seed, noise_type, noise, term, layer), as of `rates_of`, NaN where
        there is none; "loss" in nats and "accuracy" (..., time = 0 and T), means over the last
        pass through the training images; "duration" of all stages in seconds.

    Raises
    ------
    ValueError, FileNotFoundError
        If something given is not known, or Fashion-MNIST is not installed.

    Notes
    -----
    More `rate_epochs` go on from those that were kept. With T = 5 and the differential equation,
    the shallow network's first layer acts on the last three losses only: what changes there needs
    two steps to arrive at the top. The same seed gives the same numbers on one kind of machine; on
    a GPU the last digits differ from run to run.

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
    noises = [("gaussian", float(x)) for x in gaussian]
    noises += [("salt_pepper", float(x)) for x in salt_pepper]
    if not noises or len(set(noises)) < len(noises):
        raise ValueError(f"noise levels must be one or more, none of them twice; got {noises}")
    for what, count in (("images", images), ("rate_images", rate_images), ("steps", steps)):
        if count < 1:
            raise ValueError(f"{what} must be a whole number from 1 up, not {count!r}")
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
    jobs = [
        partial(train_network, folder, network, name, seed, recipe)
        for network in networks for name in data for seed in seeds
    ]  # fmt: skip
    found = in_processes(jobs, workers)
    layers = list(dict.fromkeys(name for each in found for name in each.layer.values.tolist()))
    whole = xr.merge(found, join="outer", compat="no_conflicts", combine_attrs="drop_conflicts")
    whole = whole.reindex(network=list(networks), data=list(data), layer=layers, term=TERMS)
    whole.attrs = {"config": json.dumps(recipe, sort_keys=True), "neurodyn_version": nd.__version__}
    nd.save(whole, folder / f"rates{'-supervised' * supervised}.nc")
    return whole


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
        fitting = recipe["backbone"] | settings | {"path": place.with_suffix(".ckpt")}
        work = partial(train_stage, model, stage, weights, dict(about), fitting)
        last = cell(place, about, work)
        load(model, weights)  # half precision: later stages go on from what ships
        seconds += last.duration.item()
    told = {"long_name": "duration of all stages", "units": "s"}
    last = last.assign(duration=((), seconds, told))
    last.attrs = {}
    whole = {"network": [network], "data": [data], "seed": [seed]}
    return last.expand_dims(whole).transpose(*whole, ...)


def train_stage(
    model: nd.PredictiveCoding, stage: str, weights: Path, about: dict[str, Any],
    fitting: dict[str, Any],
) -> xr.Dataset:  # fmt: skip
    """Train one stage of a network and keep the weights; return what was measured."""
    begun = time.perf_counter()
    images, labels = pictures(about["data"], "train", fitting["images"])
    train = {
        "backbone": train_backbone, "decoders": train_decoders,
        "supervised": train_supervised, "rates": train_rates,
    }[stage]  # fmt: skip
    measured = train(model, images, labels, fitting | {"seed": about["seed"]})
    if stage != "rates":
        store(model, weights, about)
    seconds = time.perf_counter() - begun
    print(f"{about['network']} {about['data']} {about['seed']}: {stage} in {seconds:.0f} s")
    return measured.assign(duration=seconds)


def fit(
    task: nn.Module, data: tuple[Tensor, ...], parameters: list[nn.Parameter],
    fitting: dict[str, Any], one_cycle: bool = True,
) -> list[float]:  # fmt: skip
    """Minimise a task; return its quantities in the last pass."""
    curve = run_epochs(
        task, data, None, parameters=parameters, generator=generator(fitting["seed"]),
        epochs=fitting["epochs"], learning_rate=fitting["learning_rate"],
        batch_size=fitting["batch_size"], path=fitting["path"], progress=False,
        fabric=make_fabric(fitting["accelerator"], 1, fitting["precision"]),
        one_cycle=one_cycle, clip=2.0 if one_cycle else None,
    )  # fmt: skip
    return curve[-1, 0].tolist()


def train_backbone(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train the feed-forward network to classify."""
    task = Classification(model.backbone)
    loss, accuracy = fit(task, (images, labels), list(model.backbone.parameters()), fitting)
    return xr.Dataset({"loss": loss, "accuracy": accuracy})


def train_decoders(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train the decoders to reconstruct feed-forward activities."""
    row = fit(Reconstruction(model), (images,), list(model.decoders.parameters()), fitting)
    return xr.Dataset({"loss": row[0]})


def train_supervised(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train backbone and decoders to classify over time, with rates at thirds and .01."""
    count = len(model.taps.names)
    moving = with_rates(model, Rates(1 / 3, 1 / 3, 0.01, count))
    moving.update = fitting["update"]
    weights = [*model.backbone.parameters(), *model.decoders.parameters()]
    row = fit(OverTime(moving, fitting["steps"]), (images[:, None], labels), weights, fitting)
    return xr.Dataset({"loss": row[0], "accuracy": ("time", row[2:])})


def train_rates(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train rates alone, for each type and level of noise."""
    noises, count = fitting["noises"], fitting["noisy_images"]
    again = torch.arange(count) % len(images)
    shown = images[again]
    noisy = torch.stack([NOISE[kind](shown, x, seed=fitting["seed"]) for kind, x in noises], 1)
    rates = RatesByNoise(len(noises), len(model.taps.names))
    moving = with_rates(model, Rates(*START, len(model.taps.names)))
    moving.update = fitting["update"]
    task = OverTime(moving, fitting["steps"], rates)
    row = fit(task, (noisy, labels[again]), list(rates.parameters()), fitting, one_cycle=False)
    loss, *accuracy = torch.tensor(row[1:], dtype=torch.float64).view(3, len(noises)).tolist()
    cells = []
    with torch.no_grad():
        values = [torch.stack(tuple(part), 1).tolist() for part in rates()]
    for k, (kind, level) in enumerate(noises):
        beta, lam, alpha = (value[k] for value in values)
        learnt = with_rates(model, Rates(beta, lam, alpha, len(model.taps.names)))
        one = xr.Dataset(
            {
                "rate": rates_of(learnt),
                "loss": ((), loss[k], {"long_name": "cross-entropy", "units": "nat"}),
                "accuracy": (
                    "time", [part[k] for part in accuracy],
                    {"long_name": "proportion classified correctly, in training", "units": "1"},
                ),
            },
            {"time": ("time", [0.0, float(fitting["steps"])], {"units": "published step"})},
        )  # fmt: skip
        cells.append(one.expand_dims(noise_type=[kind], noise=[level]))
    return xr.merge(cells, join="outer", compat="no_conflicts")
