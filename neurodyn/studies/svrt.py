"""Which visual rules are learned, from how many images, and where attention helps."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

import neurodyn as nd
from neurodyn.models.train_svrt import train_svrt
from neurodyn.stimuli.recipe import whole
from neurodyn.studies._agreement import write_page
from neurodyn.studies._feedback import settled
from neurodyn.studies._shipped import shipped
from neurodyn.studies._svrt_page import figures, page

PUBLISHED = (
    "Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), Understanding the computational "
    "demands underlying visual reasoning, arXiv:2108.03603"
)
PROVENANCE = (
    "Problems as published; networks, training and sizes are reconstructed here (the paper's "
    "body was not read; its set sizes are recalled), attention over time is this library's own"
)
SMALL = ("resnet18", "resnet18-spatial", "resnet18-feature")
SCALES: dict[str, dict[str, Any]] = {
    "quick": {
        "problems": (2, 4), "images": (250, 1000), "models": SMALL, "seeds": (0, 1), "size": 64,
        "width": 8, "updates": 120, "batch_size": 32, "learning_rate": 3e-3, "validation": 200,
        "test": 500,
    },
    "laptop": {
        "problems": (1, 2, 4, 5), "images": (1000, 15_000), "models": SMALL, "seeds": (0, 1, 2),
        "size": 64, "width": 16, "updates": 1600, "batch_size": 32, "learning_rate": 3e-3,
        "validation": 500, "test": 2000,
    },
    "paper": {
        "problems": tuple(range(1, 24)), "images": (500, 1000, 5000, 10_000, 15_000),
        "models": ("resnet50", "resnet50-spatial", "resnet50-feature"), "seeds": (0, 1, 2),
        "size": 128, "width": 64, "updates": 5000, "batch_size": 64, "learning_rate": 1e-3,
        "validation": 4000, "test": 40_000,
    },
}  # fmt: skip
RESULTS = "svrt.nc"
"""The results that ship."""
POINTS = 10


def svrt(
    *,
    out: str | Path = "results/svrt",
    scale: Literal["laptop", "paper"] = "laptop",
    quick: bool = False,
    train: bool = False,
    problems: tuple[int, ...] | None = None,
    images: tuple[int, ...] | None = None,
    models: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    size: int | None = None,
    width: int | None = None,
    updates: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    validation: int | None = None,
    test: int | None = None,
    workers: int = 2,
    accelerator: str = "cpu",
    precision: str = "32-true",
) -> xr.Dataset:
    """Visual reasoning: which rules networks learn, from how many images; where attention helps.

    ResNets, alone and with self-attention between positions or between channels of one stage,
    learn problems of the Synthetic Visual Reasoning Test, a network for each problem, size of the
    training set and seed, with equally many updates for all sizes. At test attention has more time
    too, by Euler's method and by an adaptive solver.

    The results of the default settings ship with the package: then nothing is trained, unless
    asked for. "quick" and other settings train.

    Parameters
    ----------
    out : path
        Folder for svrt.nc, figures, summary.md, images/ and cells/, where each network's results
        are kept as soon as it is trained; an interrupted run goes on from there.
    scale : {"laptop", "paper"}
        "laptop": problems 1, 2, 4 and 5, whose shapes stay legible at 64 pixels, a ResNet18 a
        quarter as wide as published, 1,000 and 15,000 images. "paper": all 23, ResNet50, 128
        pixels; its 500 to 15,000 images are recalled, the 4,000 for validation and 40,000 for test
        are of a later study with the same protocol, its updates are this library's own; 1,035
        networks of 320,000 images each, for a GPU.
    quick : bool
        Two problems, small sets, tiny networks: three minutes, to see that it runs.
    train : bool
        Train also where results ship.
    problems, images, models, seeds, size, width : optional
        As of `neurodyn.models.train_svrt.train_svrt`, by default from `scale`: problems; sizes of
        the training sets, two or more; networks, e.g. "resnet18-feature-last"; training seeds, two
        or more, the unit of the intervals; pixels; channels of the first stage.
    updates, batch_size, learning_rate, validation, test : optional
        Likewise: steps of Adam, a multiple of 10, after each tenth of which networks are validated;
        images in each; its largest rate; numbers of images.
    workers : int
        Networks trained side by side, each in a process with one core; on a GPU as many as fit.
    accelerator : str
        Lightning Fabric's, e.g. "cuda".
    precision : str
        Lightning Fabric's, e.g. "bf16-mixed".

    Returns
    -------
    Dataset
        As of `neurodyn.models.train_svrt.train_svrt`: "accuracy" (problem, images, model, seed),
        learning curves and test accuracy over time.

    Notes
    -----
    The 72 networks of the default took 92 s each on one of two cores that did other things too,
    with their tests: 55 minutes, and about 2 for the images. "quick" took 68 s on two idle cores.

    References
    ----------
    Vaishnav et al. (2022), arXiv:2108.03603.
    """
    given = {
        "problems": problems, "images": images, "models": models, "seeds": seeds, "size": size,
        "width": width, "updates": updates, "batch_size": batch_size,
        "learning_rate": learning_rate, "validation": validation, "test": test,
    }  # fmt: skip
    config = settled(SCALES, scale, quick, **given)
    for name in ("images", "seeds"):
        if np.ndim(config[name]) != 1 or len(set(config[name])) < 2:
            raise ValueError(f"{name} must be two or more that differ, got {config[name]!r}")
    config["images"] = tuple(sorted(config["images"]))
    whole("workers", workers, 1)
    machine: dict[str, Any] = {"accelerator": accelerator, "precision": precision}
    folder = Path(out)
    result = None
    if not train and machine == {"accelerator": "cpu", "precision": "32-true"}:
        result = shipped(files("neurodyn.models").joinpath(RESULTS), config)
    if result is None:
        result = train_svrt(out=folder, points=POINTS, workers=workers, **config, **machine)
        result.attrs = {
            "title": "Accuracy of networks on problems of visual reasoning",
            "provenance": PROVENANCE, "references": PUBLISHED, "config": json.dumps(config),
            "training": result.attrs["config"], "streams": result.attrs["streams"],
            "neurodyn_version": nd.__version__, **machine,
        }  # fmt: skip
    else:
        print("read from the results that ship; --train trains the networks anew")
    nd.save(result, folder / "svrt.nc")
    drawn = figures(result)
    pictures = "\n\n".join(f"![{name}]({name}.png)" for name in drawn)
    write_page(folder, f"{page(result)}\n\n{pictures}\n", drawn)
    return result
