"""Same or different, against above or beside: what networks carry over to new items."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neurodyn as nd
from neurodyn.models.train_pairs import train_pairs
from neurodyn.stimuli.hexominoes import TASKS
from neurodyn.stimuli.recipe import whole
from neurodyn.studies._agreement import write_page
from neurodyn.studies._feedback import settled
from neurodyn.studies._same_different_page import figures, page
from neurodyn.studies._shipped import shipped

PUBLISHED = "Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020"
PROVENANCE = (
    "Tasks, sizes of networks and sets, Adam's rate and passes as published; places of items, "
    "their isolation for the twin and the initial weights are reconstructed here"
)
SCALES: dict[str, dict[str, Any]] = {
    "laptop": {
        "tasks": TASKS, "networks": ("cnn", "siamese"), "seeds": tuple(range(10)), "images": 1000,
        "validation": 1000, "test": 1000, "epochs": 70, "batch_size": 50, "learning_rate": 1e-4,
        "cell_pixels": 1, "scatter": 1.0,
    },
}  # fmt: skip
SCALES["quick"] = SCALES["laptop"] | {"seeds": (0, 1, 2), "epochs": 20}
RESULTS = "same_different.nc"
"""The results that ship."""
POINTS = 10


def same_different(
    *,
    out: str | Path = "results/same-different",
    quick: bool = False,
    train: bool = False,
    tasks: tuple[str, ...] | None = None,
    networks: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    images: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    cell_pixels: int | None = None,
    scatter: float | None = None,
    workers: int = 2,
) -> xr.Dataset:
    """Hexominoes, the same or not, above or beside: what networks carry over to new ones.

    A small convolutional network sees two hexominoes and learns whether they are the same, or
    whether one lies rather above the other or beside it; then it is shown hexominoes that it has
    never seen. A Siamese twin, which sees the items one by one, learns the first task.

    The results of the default settings ship with the package: then nothing is trained, unless
    asked for. "quick" and other settings train.

    Parameters
    ----------
    out : path
        Folder for same_different.nc, figures, summary.md and cells/, where each network's results
        are kept as soon as it is trained; an interrupted run goes on from there.
    quick : bool
        Three seeds and 20 passes: a minute or two, to see that it runs.
    train : bool
        Train also where results ship.
    tasks, networks, seeds : optional
        As of `neurodyn.models.train_pairs.train_pairs`; seeds, two or more, deal the items and are
        the unit of the intervals.
    images, validation, test, epochs, batch_size, learning_rate : optional
        Likewise: numbers of images; passes over the training images, a multiple of 10, after each
        tenth of which networks are validated; images in a step of Adam; its rate. By default as
        published.
    cell_pixels, scatter : optional
        Side of a square of an item, 1 or 2 pixels; from 0 to 1 how much the places of items vary.
    workers : int
        Networks trained side by side, each in a process with one core.

    Returns
    -------
    Dataset
        As of `neurodyn.models.train_pairs.train_pairs`: "accuracy" (task, network, seed, items)
        and learning curves.

    Notes
    -----
    The 30 networks of the default took 24 minutes on two cores that did other things too; "quick"
    took 104 s on two idle ones.

    References
    ----------
    Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020.
    """
    given = {
        "tasks": tasks, "networks": networks, "seeds": seeds, "images": images,
        "validation": validation, "test": test, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "cell_pixels": cell_pixels, "scatter": scatter,
    }  # fmt: skip
    config = settled(SCALES, "laptop", quick, **given)
    if np.ndim(config["seeds"]) != 1 or len(set(config["seeds"])) < 2:
        raise ValueError(
            f"seeds must be a list of two or more that differ, got {config['seeds']!r}"
        )
    for seed in config["seeds"]:
        whole("seed", seed, 0)
    whole("workers", workers, 1)
    folder = Path(out)
    result = None if train else shipped(files("neurodyn.models").joinpath(RESULTS), config)
    if result is None:
        result = train_pairs(out=folder, points=POINTS, workers=workers, **config)
        result.attrs = {
            "title": "Accuracy of networks on pairs of hexominoes, trained with and new",
            "provenance": PROVENANCE, "references": PUBLISHED, "config": json.dumps(config),
            "training": result.attrs["config"], "neurodyn_version": nd.__version__,
        }  # fmt: skip
    else:
        print("read from the results that ship; --train trains the networks anew")
    nd.save(result, folder / RESULTS)
    drawn = figures(result)
    pictures = "\n\n".join(f"![{name}]({name}.png)" for name in drawn)
    write_page(folder, f"{page(result)}\n\n{pictures}\n", drawn)
    return result
