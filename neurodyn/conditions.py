"""Every network in every condition, from every training seed, as one Dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.cells import cell, in_parallel, weights_hash
from neurodyn.dynamics import Dynamics, State
from neurodyn.methods import FIXED
from neurodyn.stimuli import Scenes

Measures = Mapping[str, tuple[Tensor, str, str]]
"""Of one batch: values (time, sample), long name and units, by name."""


@dataclass(frozen=True)
class Condition:
    """One kind of scenes.

    Attributes
    ----------
    label : str
        Its name on the axis "scene".
    settings : dict
        What it differs in: arguments of `neurodyn.stimuli.multi_digits`.
    """

    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """One way to answer: which network, from which state, by which solver.

    Attributes
    ----------
    label : str
        Its name on the axis "way".
    make : callable
        Returns the network of a training seed: a dynamics, or a module from images to logits,
        whose answer is the same at all times.
    solver : str
        Method of torchdiffeq; those with fixed steps take the published one.
    start : callable, optional
        Returns the state at t = 0 of scenes, given a seed; the dynamics' own by default.
    """

    label: str
    make: Callable[[int], nn.Module]
    solver: str = "euler"
    start: Callable[[Scenes, int], State] | None = None


@dataclass(frozen=True)
class Presentation:
    """What all cells share.

    Attributes
    ----------
    images : int
        Scenes of each condition, from the test split.
    times : sequence of float
        When answers are read, in published steps.
    scenes : mapping
        Arguments of `neurodyn.stimuli.multi_digits` for all conditions.
    seed : int
        Of scenes, and of random states at t = 0.
    rtol, atol : float
        Tolerances of adaptive solvers.
    batch_size : int
        Scenes solved at a time.
    device : str
        Where torch computes.
    measure : callable, optional
        More to measure in a batch of scenes: given the dynamics, its states (time, sample, ...)
        and the scenes. Its name must change when what it returns does.
    """

    images: int
    times: Sequence[float]
    scenes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    rtol: float = 1e-3
    atol: float = 1e-3
    batch_size: int = 32
    device: str = "cpu"
    measure: Callable[[Dynamics, State, Scenes], Measures] | None = None

    def show(self, condition: Condition) -> Scenes:
        """Return the scenes of a condition."""
        settings: dict[str, Any] = {"objects": 2} | dict(self.scenes) | dict(condition.settings)
        return nd.stimuli.multi_digits(self.images, split="test", seed=self.seed, **settings)


def present(
    folder: str | Path,
    shown: Presentation,
    conditions: Sequence[Condition],
    ways: Sequence[Way],
    seeds: Sequence[int],
) -> xr.Dataset:
    """Return what every way answered in every condition, computing what is not on disk yet.

    Parameters
    ----------
    folder : path
        Where each cell is kept as soon as it is computed.
    shown : Presentation
        What all cells share.
    conditions, ways : sequence
        The cells' rows and columns.
    seeds : sequence of int
        Training seeds.

    Returns
    -------
    Dataset
        "exact" (scene, way, seed, sample, time), whether the categories shown are those with the
        largest logits, as many as there are; "recall", their share among those (`top_recall`);
        "nfe" (scene, way, seed); and what `shown.measure` returns.

    Raises
    ------
    ValueError, OSError
        Whatever a way raises that has no network of a seed, before anything is computed.
    """
    networks = {}
    for way, seed in product(ways, seeds):
        model = way.make(seed)
        options = model.config() if isinstance(model, Dynamics) else type(model).__name__
        known = {"weights": weights_hash(model), "model": str(options)}
        networks[way.label, seed] = model.to(shown.device), known, Lock()
    presented = {condition.label: shown.show(condition) for condition in conditions}

    def one(condition: Condition, way: Way, seed: int) -> xr.Dataset:
        model, known, free = networks[way.label, seed]
        about = {"scene": condition.label, "way": way.label, "seed": seed}
        scenes = presented[condition.label]
        start = None if way.start is None else way.start(scenes, shown.seed)
        measure = None if shown.measure is None else shown.measure.__name__
        config = about | known | {
            "scenes": {key: str(value) for key, value in scenes.config.items()},
            "images": weights_hash(nn.ParameterList([scenes.images, scenes.target])),
            "solver": way.solver, "times": list(shown.times), "rtol": shown.rtol,
            "atol": shown.atol, "batch_size": shown.batch_size, "device": shown.device,
            "measure": measure, "neurodyn": nd.__version__, "torch": str(torch.__version__),
            "start": None if start is None else weights_hash(nn.ParameterList(start)),
        }  # fmt: skip
        name = "_".join(str(v) for v in about.values())
        name = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
        compute = partial(answer, shown, way, model, scenes, start)
        with free:
            return cell(Path(folder) / f"{name}.nc", config, compute)

    every = product(conditions, ways, seeds)
    found = in_parallel([partial(one, *each) for each in every], torch.get_num_threads())
    axes: dict[str, list[Any]] = {
        "scene": [c.label for c in conditions],
        "way": [w.label for w in ways],
        "seed": list(seeds),
    }
    whole = gathered(found, axes)
    about = {
        "scene": "kind of scene",
        "way": "network and solver",
        "seed": "training seed",
        "sample": "scene",
        "time": "time (published steps)",
    }
    for dim, long_name in about.items():
        whole[dim].attrs = {"long_name": long_name, "units": "1"}
    return whole


def gathered(cells: Sequence[xr.Dataset], axes: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Return cells, the last axis fastest, as one Dataset; NaN where one lacks a variable."""
    sizes = tuple(map(len, axes.values()))
    variables: dict[str, Any] = {}
    for name in dict.fromkeys(str(name) for data in cells for name in data.data_vars):
        first = next(data[name] for data in cells if name in data)
        lacking = np.full(first.shape, np.nan)
        values = np.stack([data[name].values if name in data else lacking for data in cells])
        shape = (*sizes, *first.shape)
        variables[name] = ((*axes, *first.dims), values.reshape(shape), first.attrs)
    return xr.Dataset(variables, {**cells[0].coords, **axes})


def answer(
    shown: Presentation, way: Way, model: nn.Module, scenes: Scenes, start: State | None
) -> xr.Dataset:
    """Compute one cell, from this state or the dynamics' own."""
    times = [float(t) for t in shown.times]
    logits: list[Tensor] = []
    measured: dict[str, list[Tensor]] = {}
    labels: dict[str, dict[str, str]] = {}
    nfe = 0
    for rows in torch.arange(len(scenes)).split(shown.batch_size):
        images = scenes.images[rows].to(shown.device)
        if not isinstance(model, Dynamics):
            with torch.no_grad():
                logits.append(model(images)[None].expand(len(times), -1, -1).cpu())
            continue
        own = None if start is None else tuple(part[rows].to(images) for part in start)
        read, states, calls = solved(model, images, own, times, way.solver, shown)
        logits.append(read.cpu())
        nfe += calls
        if shown.measure is not None:
            with torch.no_grad():
                found = shown.measure(model, states, part_of(scenes, rows))
            for name, (values, long_name, units) in found.items():
                measured.setdefault(name, []).append(values.cpu())
                labels[name] = {"long_name": long_name, "units": units}
    recall = torch.stack([top_recall(at, scenes.target) for at in torch.cat(logits, 1)])
    dims = ("time", "sample")
    arrays = {
        "exact": (dims, (recall == 1).numpy(), {"long_name": "all categories right", "units": "1"}),
        "recall": (dims, recall.numpy(), {"long_name": "share of categories found", "units": "1"}),
        "nfe": ((), nfe, {"long_name": "evaluations of the right-hand side", "units": "1"}),
    } | {
        name: (dims, torch.cat(parts, 1).numpy(), labels[name]) for name, parts in measured.items()
    }
    return xr.Dataset(arrays, {"time": times, "sample": np.arange(len(scenes))})


def solved(
    model: Dynamics, images: Tensor, start: State | None, times: list[float], solver: str,
    shown: Presentation,
) -> tuple[Tensor, State, int]:  # fmt: skip
    """Return readouts and states (time, sample, ...) of one batch, and the evaluations."""
    if getattr(model, "frozen", False):
        with torch.no_grad():
            drive = model.drive(images)
            start = model.initial_state(drive) if start is None else start
            read = model.readout(start, drive)
        states = tuple(part[None].expand(len(times), *part.shape) for part in start)
        return read[None].expand(len(times), -1, -1), states, 0
    adaptive: dict[str, Any] = {} if solver in FIXED else {"rtol": shown.rtol, "atol": shown.atol}
    run = nd.integrate(
        model, images, times, initial_state=start, method=solver, gradient="none", **adaptive
    )
    assert run.readout is not None
    return run.readout, run.states, run.stats.evaluations


def part_of(scenes: Scenes, rows: Tensor) -> Scenes:
    """Return some of the scenes."""
    fields = ("images", "masks", "labels", "target", "boxes", "items")
    return replace(scenes, **{name: getattr(scenes, name)[rows] for name in fields})


def check_whole(training_seeds: Sequence[int], own: bool = False, **given: tuple[Any, int]) -> None:
    """Refuse numbers of a study that cannot be, and training seeds that do not ship.

    `given` are values with the least that they may be; with `own` weights any seed may be.
    """
    for name, (value, least) in given.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number from {least} up, not {value!r}")
    seeds = set(training_seeds)
    if len(seeds) < max(2, len(training_seeds)) or not (own or seeds <= {0, 1, 2}):
        raise ValueError(
            f"training_seeds must be two or more of {'any numbers' if own else '0, 1, 2'}, none "
            f"twice, for an interval over them; got {training_seeds!r}"
            + ("" if own else ". Networks of other seeds do not ship: train them, and give their "
               "folder as weights where a study takes it")
        )  # fmt: skip


def top_recall(logits: Tensor, target: Tensor) -> Float[Tensor, " sample"]:
    """Return the share of the k categories shown that are among the k largest logits.

    Those that tie with the largest logit beyond them are not. A NaN counts as larger than any, and
    is not right.

    Examples
    --------
    >>> logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 2.0], [torch.nan, 2.0, 1.0]])
    >>> top_recall(logits, torch.tensor([[1.0, 1.0, 0.0]]).expand(3, 3))
    tensor([1.0000, 0.5000, 0.5000])
    """
    order = F.pad(logits, (0, 1), value=-torch.inf).sort(1, descending=True).values
    beyond = order.gather(1, target.sum(1, keepdim=True).long())
    return ((logits > beyond) & (target > 0)).sum(1) / target.sum(1)
