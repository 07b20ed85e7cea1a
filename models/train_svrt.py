"""How networks learn the problems of visual reasoning: a cell for each problem, set and seed."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import xarray as xr

import neurodyn as nd
from neurodyn.cells import in_processes
from neurodyn.conditions import gathered
from neurodyn.models.svrt_cell import (
    AT_ONCE,
    NETWORKS,
    SOLVERS,
    STREAMS,
    TIMES,
    check_axes,
    check_stretches,
    kept,
    one_cell,
    some_scenes,
)
from neurodyn.stimuli.recipe import whole
from neurodyn.stimuli.svrt.generate import DRAWING, REFERENCES
from neurodyn.stimuli.svrt.rules import PROBLEMS
from neurodyn.train import make_fabric


def train_svrt(
    *,
    out: str | Path,
    problems: Sequence[int],
    images: Sequence[int],
    models: Sequence[str],
    seeds: Sequence[int],
    size: int,
    width: int,
    updates: int,
    batch_size: int,
    learning_rate: float,
    points: int,
    validation: int,
    test: int,
    workers: int = 2,
    accelerator: str = "cpu",
    precision: str = "32-true",
) -> xr.Dataset:
    """Train networks on problems of visual reasoning, one for each problem, set size and seed.

    Every network sees ``updates * batch_size`` images, however many of them differ: of a set of n
    it makes that many passes over n, each in a new order. Adam, the learning rate in one cycle,
    gradients clipped at a norm of 2, no dropout; the last weights are tested, not the best. A
    larger set holds the smaller one. All networks are validated and tested on the same images, of
    other random streams than those of training. They see ink as 1 and paper as 0.

    At test networks with attention have more time too: `neurodyn.RecurrentAttention` with the
    weights that were trained for one step, by Euler's method and by an adaptive solver.

    *Provenance*: one network from scratch for each problem and set size is published (set sizes
    are recalled); optimiser, schedule, updates, small networks and time are reconstructions or this
    library's own. In code of the first author dropout is .1 and feature-based attention stands
    after the last stage ("feature-last"); there its norm is followed by nothing but a mean over
    positions, which can hold training up, and "feature" stands one stage below.

    Parameters
    ----------
    out : path
        Folder for images/ and cells/. Each cell is kept as it is finished, and within a cell each
        stretch of ``updates / points``; the same call goes on from there.
    problems : sequence of int
        Numbers of `neurodyn.stimuli.svrt.generate`.
    images : sequence of int
        Sizes of the training sets.
    models : sequence of str
        "resnet18" or "resnet50", alone or with "-spatial", "-feature" or "-feature-last".
    seeds : sequence of int
        Of untrained weights, training images and their order.
    size, width : int
        Of the images in pixels; channels of the first stage.
    updates, batch_size, learning_rate : int, int, float
        Steps of Adam; images in each; its largest rate.
    points : int
        How often networks are validated, a divisor of `updates`.
    validation, test : int
        Numbers of images.
    workers : int
        Networks trained side by side, each in a process with one core; on a GPU they share it.
    accelerator, precision
        Lightning Fabric's, for training; networks are tested in single precision.

    Returns
    -------
    Dataset
        Along (problem, images, model, seed): "accuracy" on the test images; "validation" and
        "training" (update), accuracies, the latter while the weights move; "over_time" (solver,
        time), test accuracy of the networks with attention, and "nfe" (solver), NaN for others;
        "passes" over the training set; "duration" in seconds, since the cell was last begun.
        "attention" (sample, target, row, column), of networks with spatial attention: where in the
        maps the cells with the centres of a scene's first two shapes attend to, in the first four
        test images; these are "image", "label" and "centre" (problem, sample, ...).

    Raises
    ------
    ValueError, TypeError
        If something given is not known or cannot be.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603.

    Examples
    --------
    >>> found = train_svrt(out="results/svrt", problems=[2, 4], images=[500, 2000],
    ...     models=["resnet18", "resnet18-spatial"], seeds=[0, 1, 2], size=64, width=16,
    ...     updates=400, batch_size=64, learning_rate=3e-3, points=10, validation=500,
    ...     test=2000)  # doctest: +SKIP
    """
    given: dict[str, Sequence[Any]] = {
        "problems": problems,
        "images": images,
        "models": models,
        "seeds": seeds,
    }
    recipe: dict[str, Any] = {
        "size": size, "width": width, "updates": updates, "batch_size": batch_size,
        "learning_rate": learning_rate, "points": points, "validation": validation, "test": test,
        "accelerator": accelerator, "precision": precision, "clip": 2.0, "schedule": "one cycle",
        "solvers": SOLVERS, "times": TIMES, "images_at_once": AT_ONCE, "drawing": DRAWING,
        "neurodyn_version": nd.__version__, "torch_version": str(torch.__version__),
    }  # fmt: skip
    check(given, recipe, workers)
    axes = dict(zip(("problem", "images", "model", "seed"), map(list, given.values()), strict=True))
    make_fabric(accelerator, 1, precision)
    folder = Path(out)
    most = max(images)
    sets = [
        (problem, n, size, seed)
        for problem in problems
        for n, seed in [
            *((most, seed) for seed in seeds),
            *((recipe[name], seed) for name, seed in STREAMS.items()),
        ]
    ]
    in_processes([partial(kept, folder / "images", *one) for one in sets], workers)
    jobs = [partial(one_cell, folder, most, recipe, *labels) for labels in product(*axes.values())]
    found = gathered(in_processes(jobs, workers), axes)
    if "attention" in found:
        scenes = xr.concat([some_scenes(problem, size) for problem in problems], "problem")
        found = found.merge(scenes)
        found["attention"] = found["attention"].astype("float32")
    found.attrs = {
        "config": json.dumps(axes | recipe), "streams": json.dumps(STREAMS),
        "neurodyn_version": nd.__version__, "references": REFERENCES,
    }  # fmt: skip
    return labelled(found)


def check(axes: Mapping[str, Sequence[Any]], recipe: dict[str, Any], workers: int) -> None:
    """Refuse what cannot be trained."""
    check_axes(axes, {"problems": tuple(PROBLEMS), "models": NETWORKS})
    for n in axes["images"]:
        whole("images", n, 2)
    for seed in axes["seeds"]:
        whole("seed", seed, 0, min(STREAMS.values()) - 1)
    whole("size", recipe["size"], 48)
    for name in ("width", "updates", "batch_size", "points", "validation", "test"):
        whole(name, recipe[name], 2 if name == "batch_size" else 1)
    whole("workers", workers, 1)
    check_stretches(recipe, "updates")


def labelled(found: xr.Dataset) -> xr.Dataset:
    """Say what everything is."""
    names = {
        "accuracy": "proportion of test images classified correctly",
        "validation": "proportion of validation images classified correctly",
        "training": "proportion classified correctly while the weights move",
        "over_time": "proportion of test images classified correctly with this much time",
        "nfe": "evaluations of the right-hand side in a solve, mean over batches",
        "passes": "passes over the training set",
        "problem": "problem", "images": "images in the training set", "model": "network",
        "update": "steps of Adam", "solver": "way to the answer",
        "attention": "attention of a shape's centre to the cells of the maps",
    }  # fmt: skip
    for name, long_name in names.items():
        if name in found.variables:
            found[name].attrs = {"long_name": long_name, "units": "1"}
    found["seed"].attrs = {"long_name": "training seed", "units": "1"}
    found["time"].attrs = {"long_name": "time", "units": "steps of the trained network"}
    found["duration"].attrs = {"long_name": "time since the cell was last begun", "units": "s"}
    return found
