"""Training in two stages: a network alone, then each kind of it with its own dynamics."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.cells import cell, in_processes
from neurodyn.dynamics import Dynamics, State
from neurodyn.models.binding import groups_of, synchrony_loss
from neurodyn.models.train_komplexnet import detection_loss, exact, generator, load, store
from neurodyn.phase_agreement import PhaseAgreement
from neurodyn.train import make_fabric, run_epochs

READ = {"phases": (2.0, 4.0, 6.0), "attention": (1.0, 2.0, 3.0)}
"""When the loss is read, in published steps: its mean over these times is minimised."""


@dataclass(frozen=True)
class Plan:
    """What is trained on what; functions of modules, or partials of them.

    Attributes
    ----------
    name : str
        Of the files of weights.
    make : callable
        Kind and seed to an untrained model: a `Dynamics` with a ``backbone``, or a network.
    scenes : callable
        Model, kind, number and seed to images, phases at t = 0 (of no columns for models without),
        targets of several categories and, where phases are to be taught too, masks of objects.
    work : mapping
        Kinds that see so many times as many scenes in the second stage: plain networks that work as
        much as those with dynamics.
    """

    name: str
    make: Callable[[str, int], nn.Module]
    scenes: Callable[[nn.Module, str, int, int], tuple[Tensor, ...]]
    work: Mapping[str, int] = field(default_factory=dict)


def two_stages(
    plan: Plan, out: str | Path, kinds: Sequence[str], seeds: Sequence[int],
    recipe: dict[str, Any], workers: int,
) -> xr.Dataset:  # fmt: skip
    """Train the network of each seed alone, then go on from there with every kind.

    The kind "matched" is another network and learns both stages by itself. Every kind sees as many
    images, but for those with more `work`. Networks are kept as they are finished, and each epoch
    of a stage; the same call goes on from there.

    Parameters
    ----------
    plan : Plan
        What is trained on what.
    out : path
        Folder for the weights (``<name>-<kind>-<seed>.safetensors``, half precision),
        ``training.nc``, cells and checkpoints.
    kinds, seeds : sequence
        Of models.
    recipe : dict
        "canvases" (scenes), "epochs" and "learning_rate" of the first stage; the same with
        "joint_" before them of the second; "batch_size", "accelerator", "precision"; and whatever
        else the numbers depend on, as JSON can hold it.
    workers : int
        Networks trained side by side, each in a process with one core.

    Returns
    -------
    Dataset
        "loss" in nats, "exact", "images" and "duration" (kind, seed): see `labelled`.
    """
    for what, given in (("kinds", kinds), ("seeds", seeds)):
        if not given or len(set(given)) < len(given):
            raise ValueError(f"{what} must be one or more, none of them twice; got {tuple(given)}")
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a whole number from 1 up, not {workers!r}")
    folder = Path(out)
    networks = ["matched"] * ("matched" in kinds) + ["cnn"] * (set(kinds) != {"matched"})
    first = [partial(begin, plan, folder, name, k, recipe) for k in seeds for name in networks]
    in_processes(first, workers)
    jobs = [partial(go_on, plan, folder, kind, k, recipe) for kind in kinds for k in seeds]
    found = in_processes(jobs, workers)
    whole = xr.combine_by_coords(found, combine_attrs="drop_conflicts")
    assert isinstance(whole, xr.Dataset)
    whole = whole.sel(kind=list(kinds))
    whole.attrs = {"config": json.dumps(recipe, sort_keys=True), "neurodyn_version": nd.__version__}
    nd.save(whole, folder / "training.nc")
    return whole


def begin(plan: Plan, folder: Path, name: str, seed: int, recipe: dict[str, Any]) -> xr.Dataset:
    """Train a network alone: the first stage."""
    about = {key: value for key, value in recipe.items() if not key.startswith("joint_")}
    about |= {"network": name, "seed": seed, "stage": "alone"}

    def compute() -> xr.Dataset:
        network = plan.make(name, seed)
        begun = time.process_time()
        data = plan.scenes(network, name, recipe["canvases"], 2 * seed)
        row = fit(network, data, recipe, "", seed, folder / f"{name}-{seed}" / "alone.ckpt")
        store(network, folder / f"{name}-{seed}" / "alone.safetensors", {})
        images = recipe["canvases"] * recipe["epochs"]
        return labelled(row, f"{name} alone", seed, images, time.process_time() - begun)

    return cell(folder / "cells" / f"{name}-{seed}-alone.nc", about, compute)


def go_on(plan: Plan, folder: Path, kind: str, seed: int, recipe: dict[str, Any]) -> xr.Dataset:
    """Train one kind, from what the network learnt alone: the second stage."""
    own = "matched" if kind == "matched" else "cnn"
    scenes = recipe["joint_canvases"] * plan.work.get(kind, 1)
    about = recipe | {"kind": kind, "seed": seed, "stage": "joint", "joint_canvases": scenes}

    def compute() -> xr.Dataset:
        model = plan.make(kind, seed)
        backbone = model.backbone if isinstance(model, Dynamics) else model
        assert isinstance(backbone, nn.Module)
        load(backbone, folder / f"{own}-{seed}" / "alone.safetensors")
        begun = time.process_time()
        data = plan.scenes(model, kind, scenes, 2 * seed + 1)
        path = folder / f"{kind}-{seed}" / "joint.ckpt"
        row = fit(model, data, recipe, "joint_", seed, path, kind)
        store(model, folder / f"{plan.name}-{kind}-{seed}.safetensors", recipe | {"kind": kind})
        images = recipe["canvases"] * recipe["epochs"] + scenes * recipe["joint_epochs"]
        alone = begin(plan, folder, own, seed, recipe).duration.item()
        return labelled(row, kind, seed, images, alone + time.process_time() - begun)

    return cell(folder / "cells" / f"{kind}-{seed}.nc", about, compute)


def fit(
    model: nn.Module, data: tuple[Tensor, ...], recipe: dict[str, Any], stage: str, seed: int,
    path: Path, kind: str = "",
) -> list[float]:  # fmt: skip
    """Train a model; return the loss and the exact answers of the last pass."""
    curve = run_epochs(
        Reading(model, "rk4" if kind.endswith("rk4") else "euler"), data, None,
        parameters=[p for p in model.parameters() if p.requires_grad],
        generator=generator(seed), epochs=recipe[f"{stage}epochs"],
        learning_rate=recipe[f"{stage}learning_rate"], batch_size=recipe["batch_size"], path=path,
        fabric=make_fabric(recipe["accelerator"], 1, recipe["precision"]), progress=False,
        one_cycle=True, clip=2.0,
    )  # fmt: skip
    return curve[-1, 0].tolist()


class Reading(nn.Module):
    """Sums over a batch: the loss, averaged over times; exact answers at the last."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(
        self, images: Tensor, phases: Tensor, target: Tensor, *masks: Tensor
    ) -> Float[Tensor, " quantity"]:
        """Read a batch; with masks, add how far the last phases are from one cluster for each."""
        readouts, last = self.readouts(images, phases)
        losses = torch.stack([detection_loss(logits, target) for logits in readouts])
        total = losses.mean(0).sum()
        if masks:
            total = total + ungrouped(last, masks[0]).sum()
        return torch.stack([total, exact(readouts[-1], target).sum()])

    def readouts(self, images: Tensor, phases: Tensor) -> tuple[list[Tensor], State]:
        """Return the logits at each time that counts, and the last state."""
        model = self.model
        if not isinstance(model, Dynamics):
            return [model(images)], ()
        state = None
        if isinstance(model, PhaseAgreement):
            state = layers(phases.to(images), model.shapes)
            if model.frozen:
                return [model.readout(state, model.drive(images))], state
        times = READ["phases" if state is not None else "attention"]
        run = nd.integrate(model, images, [0.0, *times], initial_state=state, method=self.method)
        assert run.readout is not None
        return list(run.readout[1:]), tuple(part[-1] for part in run.states)


def ungrouped(phases: State, masks: Bool[Tensor, "sample group y x"]) -> Float[Tensor, " sample"]:
    """Return the mean over layers of maps of the cluster-synchrony loss, background as a group."""
    losses = []
    for phase in phases:
        if phase.ndim > 2:
            groups = groups_of(masks, phase.shape[1:]).to(phase)
            everyone = torch.full_like(phase[:, None], math.inf)
            losses.append(synchrony_loss(phase[:, None], everyone, groups)[0])
    return torch.stack(losses).mean(0)


def layers(
    phases: Float[Tensor, "sample node"], shapes: Sequence[Sequence[int]]
) -> tuple[Tensor, ...]:
    """Return the phases of each layer."""
    parts = phases.split([math.prod(shape) for shape in shapes], 1)
    return tuple(p.unflatten(1, tuple(shape)) for p, shape in zip(parts, shapes, strict=True))


def labelled(row: list[float], kind: str, seed: int, images: int, duration: float) -> xr.Dataset:
    """Return means over the last pass, the images seen in all, and how long they took."""
    about = {
        "loss": (row[0], "cross-entropy", "nat"),
        "exact": (row[1], "all categories right", "1"),
        "images": (images, "images seen", "1"),
        "duration": (duration, "processor time of all stages, each since it was last begun", "s"),
    }
    axes = ("kind", "seed")
    return xr.Dataset(
        {
            name: (axes, [[value]], {"long_name": long_name, "units": units})
            for name, (value, long_name, units) in about.items()
        },
        {"kind": [kind], "seed": [seed]},
    )
