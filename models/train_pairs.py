"""How networks learn to judge pairs of hexominoes: a cell for each task, network and seed."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int, UInt8
from torch import Tensor

import neurodyn as nd
from neurodyn.cells import cell, in_processes, place
from neurodyn.conditions import gathered
from neurodyn.models.pair_networks import PairCNN, pair_cnn, siamese_twin
from neurodyn.models.svrt_cell import Drawn, check_axes, check_stretches, order_of, shown
from neurodyn.models.train_komplexnet import generator
from neurodyn.stimuli.hexominoes import DRAWING, REFERENCES, TASKS, cut_out, deal, pairs
from neurodyn.stimuli.recipe import number, whole
from neurodyn.train import DivergedError, make_fabric, run_epochs

NETWORKS = {"cnn": pair_cnn, "siamese": siamese_twin}
ITEMS = ("train", "new")
STREAMS = ("training", "validation", *ITEMS)
"""Images of a seed that are drawn apart."""


def train_pairs(
    *,
    out: str | Path,
    tasks: Sequence[str],
    networks: Sequence[str],
    seeds: Sequence[int],
    images: int,
    validation: int,
    test: int,
    epochs: int,
    points: int,
    batch_size: int,
    learning_rate: float,
    cell_pixels: int = 1,
    scatter: float = 1.0,
    workers: int = 2,
) -> xr.Dataset:
    """Train networks on pairs of hexominoes; test them on items trained with and on new ones.

    Each seed deals the 35 items anew, into 30 to train with and 5 new ones, draws the images and
    the weights. All tasks and networks of a seed have the same items and the same images. Those of
    the test are drawn apart in either case, which does not make all of them new: see `repeats`.
    Binary cross-entropy, Adam at a constant rate; the last weights are tested, not the best.
    Networks see ink as 1 and paper as 0.

    Parameters
    ----------
    out : path
        Folder for cells/. Each cell is kept as it is finished, and within a cell each stretch of
        ``epochs / points``; the same call goes on from there.
    tasks : sequence of {"same-different", "spatial-relation"}
        As of `neurodyn.stimuli.hexominoes.pairs`.
    networks : sequence of {"cnn", "siamese"}
        `neurodyn.models.pair_networks.pair_cnn` and `neurodyn.models.pair_networks.siamese_twin`.
        The twin, which does not see where items lie, learns "same-different" only.
    seeds : sequence of int
        Of items, images, untrained weights, order and dropout.
    images, validation, test : int
        Training images; images of items trained with for the learning curve; test images of these
        items, and as many of the new ones.
    epochs, batch_size, learning_rate : int, int, float
        Passes over the training images; images in each step of Adam; its rate.
    points : int
        How often networks are validated, a divisor of `epochs`.
    cell_pixels, scatter : int, float
        `cell` and `scatter` of `neurodyn.stimuli.hexominoes.pairs`.
    workers : int
        Networks trained side by side, each in a process with one core.

    Returns
    -------
    Dataset
        ``accuracy`` (task, network, seed, items = train, new), the share of right answers; of
        learning ``validation`` and, as it goes on, ``training`` (..., epoch); ``familiar`` and
        ``distinct`` (..., items), see `repeats`; ``duration`` in seconds of the machine as it is.
        NaN where there is no network; accuracies also where a loss did not stay finite.

    Raises
    ------
    ValueError
        For tasks or networks that there are not, none that can be trained, numbers out of range.

    References
    ----------
    Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020.

    Examples
    --------
    >>> train_pairs(  # some minutes
    ...     out="results", tasks=["same-different"], networks=["cnn"], seeds=[0], images=1000,
    ...     validation=1000, test=1000, epochs=70, points=10, batch_size=50,
    ...     learning_rate=1e-4)  # doctest: +SKIP
    """
    given: dict[str, Sequence[Any]] = {"tasks": tasks, "networks": networks, "seeds": seeds}
    recipe: dict[str, Any] = {
        "images": images, "validation": validation, "test": test, "epochs": epochs,
        "points": points, "batch_size": batch_size, "learning_rate": learning_rate,
        "cell": cell_pixels, "scatter": scatter, "drawing": DRAWING,
        "neurodyn_version": nd.__version__, "torch_version": str(torch.__version__),
    }  # fmt: skip
    check(given, recipe, workers)
    axes = dict(zip(("task", "network", "seed"), map(list, given.values()), strict=True))
    folder = Path(out) / "cells"
    jobs = [partial(one_cell, folder, recipe, *labels) for labels in product(*axes.values())]
    found = gathered(in_processes(jobs, workers), axes)
    found.attrs = {
        "config": json.dumps(axes | recipe), "neurodyn_version": nd.__version__,
        "references": REFERENCES,
    }  # fmt: skip
    return labelled(found)


def check(axes: Mapping[str, Sequence[Any]], recipe: dict[str, Any], workers: int) -> None:
    """Refuse what cannot be trained."""
    check_axes(axes, {"tasks": TASKS, "networks": tuple(NETWORKS)})
    if not any(learnable(*pair) for pair in product(axes["tasks"], axes["networks"])):
        raise ValueError(
            "the Siamese twin does not see where items lie: give the task same-different or the "
            "network cnn too"
        )
    for seed in axes["seeds"]:
        whole("seed", seed, 0)
    for name in ("images", "validation", "test", "epochs", "points", "batch_size"):
        whole(name, recipe[name], 1)
    whole("cell_pixels", recipe["cell"], 1, 2)
    number("scatter", recipe["scatter"], 0, 1)
    whole("workers", workers, 1)
    check_stretches(recipe, "epochs")
    make_fabric()


def learnable(task: str, network: str) -> bool:
    """Return whether a network sees what a task is about."""
    return task == "same-different" or network != "siamese"


def one_cell(
    folder: Path, recipe: dict[str, Any], task: str, network: str, seed: int
) -> xr.Dataset:
    """Return what one network reached, trained now or found; only labels where there is none."""
    stretch = recipe["epochs"] // recipe["points"]
    axes = {"epoch": stretch * np.arange(1, recipe["points"] + 1), "items": list(ITEMS)}
    if not learnable(task, network):
        return xr.Dataset(coords=axes)
    about = recipe | {"task": task, "network": network, "seed": seed}
    path = place(folder, f"{task}-{network}-{seed}", about)
    checkpoint = path.with_suffix(".ckpt")
    found = cell(path, about, partial(train, about, checkpoint))
    checkpoint.unlink(missing_ok=True)
    return found.assign_coords(axes)


def seen(about: dict[str, Any], stream: str, n: int) -> tuple[UInt8[Tensor, "sample y x"], Tensor]:
    """Return ink (0 or 1) and labels of images of a stream, as a network is shown them."""
    seed = about["seed"]
    train, new = deal(seed)
    data = pairs(
        about["task"], n, items=new if stream == "new" else train, cell=about["cell"],
        scatter=about["scatter"], seed=len(STREAMS) * seed + STREAMS.index(stream),
    )  # fmt: skip
    grey = cut_out(data) if about["network"] == "siamese" else data.image.values
    return torch.from_numpy((grey == 0).astype(np.uint8)), torch.from_numpy(data.label.values)


def repeats(about: dict[str, Any]) -> xr.Dataset:
    """Return how many of the test images a network was trained with, bit by bit, as it sees them.

    Drawn apart they may still be equal, above all for the twin: of 30 items it can see no more than
    900 different inputs, of 5 no more than 25.

    Parameters
    ----------
    about : dict
        Settings of a network: "task", "network", "seed", "images", "test", "cell", "scatter".

    Returns
    -------
    Dataset
        ``familiar`` (items), the share of test images that are equal to a training image;
        ``distinct`` (items), how many different ones there are among the test images.

    Examples
    --------
    >>> about = {"task": "same-different", "network": "siamese", "seed": 0, "images": 1000,
    ...     "test": 1000, "cell": 1, "scatter": 1.0}
    >>> repeats(about).distinct.values.tolist()
    [413, 25]
    """
    known = set(as_bytes(about, "training", about["images"]))
    shown_in_test = [as_bytes(about, items, about["test"]) for items in ITEMS]
    return xr.Dataset(
        {
            "familiar": ("items", [np.mean([one in known for one in t]) for t in shown_in_test]),
            "distinct": ("items", [len(set(t)) for t in shown_in_test]),
        },
        {"items": list(ITEMS)},
    )


def as_bytes(about: dict[str, Any], stream: str, n: int) -> list[bytes]:
    """Return the images of a stream, each as what can be compared."""
    return [one.tobytes() for one in seen(about, stream, n)[0].numpy()]


def train(about: dict[str, Any], path: Path) -> xr.Dataset:
    """Train and test one network; accuracies are NaN if its loss does not stay finite."""
    begun = time.perf_counter()
    n, seed = about["images"], about["seed"]
    network = NETWORKS[about["network"]](seed=seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stretch = n * about["epochs"] // about["points"]
    images, held_out = seen(about, "training", n), seen(about, "validation", about["validation"])
    task = Drawn(network, images, held_out, order_of(n, n * about["epochs"], seed))
    try:
        table = run_epochs(
            task, (torch.arange(stretch),), (torch.arange(about["validation"]),),
            parameters=network.parameters(), generator=generator(seed), epochs=about["points"],
            learning_rate=about["learning_rate"], batch_size=about["batch_size"], path=path,
            fabric=make_fabric(), progress=False,
        )  # fmt: skip
        right = [share(network, *seen(about, items, about["test"])) for items in ITEMS]
    except DivergedError:
        table, right = np.full((about["points"], 2, 2), np.nan), [np.nan] * len(ITEMS)
    return repeats(about).assign(
        {
            "accuracy": ("items", right),
            "training": ("epoch", table[:, 0, 1]),
            "validation": ("epoch", table[:, 1, 1]),
            "duration": time.perf_counter() - begun,
        }
    )


@torch.no_grad()
def share(network: PairCNN, ink: UInt8[Tensor, "sample y x"], labels: Int[Tensor, " sample"]
          ) -> float:  # fmt: skip
    """Return the share of right answers."""
    parts = [network(shown(some)).argmax(1) for some in ink.split(250)]
    return float((torch.cat(parts) == labels).double().mean())


def labelled(found: xr.Dataset) -> xr.Dataset:
    """Say what everything is."""
    names = {
        "accuracy": "proportion of test images classified correctly",
        "validation": "proportion of validation images classified correctly",
        "training": "proportion classified correctly while the weights move",
        "task": "task", "network": "network", "items": "items shown: trained with, or new",
        "epoch": "passes over the training images", "seed": "seed",
        "familiar": "proportion of test images equal to a training image, as the network sees it",
        "distinct": "number of different test images, as the network sees them",
    }  # fmt: skip
    for name, long_name in names.items():
        found[name].attrs = {"long_name": long_name, "units": "1"}
    found["duration"].attrs = {"long_name": "time since the cell was last begun", "units": "s"}
    return found
