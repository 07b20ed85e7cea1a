"""One network that learns a problem of visual reasoning: its images, training and test."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.attention import SpatialAttention
from neurodyn.cells import cell, place
from neurodyn.models.attention_resnet import attention_resnet18, attention_resnet50
from neurodyn.models.resnet import resnet18, resnet50
from neurodyn.models.train_komplexnet import generator
from neurodyn.recurrent_attention import Attended, RecurrentAttention
from neurodyn.stimuli.recipe import positive
from neurodyn.stimuli.svrt.generate import DRAWING, generate
from neurodyn.train import Classification, DivergedError, checksum, make_fabric, run_epochs

BACKBONES = {"resnet18": (resnet18, attention_resnet18), "resnet50": (resnet50, attention_resnet50)}
PLACES: dict[str, tuple[Any, int]] = {
    "spatial": ("spatial", 2), "feature": ("feature", 3), "feature-last": ("feature", 4),
}  # fmt: skip
"""The kind of attention, and after which stage it stands."""
NETWORKS = tuple(
    name for depth in BACKBONES for name in (depth, *(f"{depth}-{place}" for place in PLACES))
)
STREAMS = {"validation": 1_000_000, "test": 1_000_001}
"""Seeds of the images that no network learns from; those of training are below."""
TIMES = (0.0, 1.0, 2.0, 4.0)
SOLVERS: dict[str, dict[str, Any]] = {
    "euler": {"method": "euler"}, "adaptive": {"method": "bosh3", "rtol": 1e-3, "atol": 1e-3},
}  # fmt: skip
AT_ONCE = 250  # test images; those of a batch share their adaptive steps
PIECE = 4096  # images made at a time
SHOWN, TARGETS = 4, 2  # test images whose attention is kept, and parts of each that attend


def kept(
    folder: Path, problem: int, n: int, size: int, seed: int
) -> tuple[UInt8[Tensor, "image y x"], Int[Tensor, " image"]]:
    """Return the ink (0 or 1) and labels of the first n images of a stream, made once."""

    def compute() -> xr.Dataset:
        bits, labels = [], []
        for start in range(0, n, PIECE):
            data = generate(problem, min(PIECE, n - start), size=size, seed=seed, start=start)
            bits.append(np.packbits(data["image"].values == 0, axis=2))
            labels.append(data["label"].values)
        return xr.Dataset(
            {
                "ink": (("image", "y", "byte"), np.concatenate(bits)),
                "label": ("image", np.concatenate(labels)),
            }
        )

    about = {"problem": problem, "n": n, "size": size, "seed": seed, "drawing": DRAWING}
    found = cell(folder / f"{problem}-{seed}-{size}-{n}.nc", about, compute)
    ink = np.unpackbits(found["ink"].values, axis=2, count=size)
    return torch.from_numpy(ink), torch.from_numpy(found["label"].values)


def untrained(name: str, size: int, width: int, seed: int) -> nn.Module:
    """Return a network before training, for grey images of two classes."""
    depth, _, place = name.partition("-")
    plain, attended = BACKBONES[depth]
    if not place:
        network: nn.Module = plain(2, channels=1, width=width, seed=seed)
    else:
        attention, stage = PLACES[place]
        network = attended(
            2, attention=attention, stage=stage, dropout=0.0, image_size=size, width=width,
            seed=seed,
        )  # fmt: skip
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Drawn(nn.Module):
    """`Classification` of images that lie where the network is, asked for by number.

    In evaluation mode a number is that of a held-out image. In training it only stands for an
    image: those that follow in the order are seen, wherever an interrupted training has come to.

    Parameters
    ----------
    model : nn.Module
        The network.
    train, held_out : tuple of two Tensors
        Ink and labels.
    order : Tensor
        Numbers of training images, as they are to be seen.
    """

    train_ink: Tensor
    train_label: Tensor
    ink: Tensor
    label: Tensor
    order: Tensor
    seen: Tensor

    def __init__(
        self, model: nn.Module, train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor],
        order: Int[Tensor, " place"],
    ) -> None:  # fmt: skip
        super().__init__()
        self.task = Classification(model)
        for name, tensor in zip(
            ("train_ink", "train_label", "ink", "label", "order"), (*train, *held_out, order),
            strict=True,
        ):  # fmt: skip
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("known", torch.tensor(checksum((*train, order))))  # by a checkpoint

    def forward(self, numbers: Int[Tensor, " sample"]) -> Float[Tensor, " quantity"]:
        """Return sums over a batch: cross-entropy and right answers."""
        if not self.training:
            return self.task(shown(self.ink[numbers]), self.label[numbers])
        which = self.order[self.seen + torch.arange(len(numbers), device=numbers.device)]
        self.seen += len(numbers)
        return self.task(shown(self.train_ink[which]), self.train_label[which])


def shown(ink: UInt8[Tensor, "sample y x"]) -> Float[Tensor, "sample 1 y x"]:
    """Return images as networks see them."""
    return ink[:, None].float()


def order_of(n: int, places: int, seed: int) -> Int[Tensor, " place"]:
    """Return numbers of n images, pass after pass in new orders; the last may be cut short.

    Examples
    --------
    >>> order_of(3, 8, seed=0).bincount()
    tensor([2, 3, 3])
    """
    draws = generator(seed)
    passes = [torch.randperm(n, generator=draws) for _ in range(-(-places // n))]
    return torch.cat(passes)[:places]


def check_axes(axes: Mapping[str, Sequence[Any]], known: Mapping[str, Sequence[Any]]) -> None:
    """Refuse labels of a study's cells that are no list, stand twice, or are not known."""
    for name, given in axes.items():
        if np.ndim(given) != 1 or not len(given) or len(set(given)) < len(given):
            raise ValueError(
                f"{name} must be a list of one or more, none of them twice; got {given!r}"
            )
    for name, allowed in known.items():
        if wrong := [one for one in axes[name] if one not in allowed or isinstance(one, bool)]:
            one = name.removesuffix("s")
            raise ValueError(f"{one} {wrong[0]!r} is not one of {', '.join(map(str, allowed))}")


def check_stretches(recipe: Mapping[str, Any], steps: str) -> None:
    """Refuse a rate that is none, and looks at the held-out images after unequal stretches."""
    positive("learning_rate", recipe["learning_rate"])
    if recipe[steps] % recipe["points"]:
        raise ValueError(
            f"points = {recipe['points']} must divide {steps} = {recipe[steps]}, to validate after "
            "equal stretches"
        )


def one_cell(
    folder: Path, most: int, recipe: dict[str, Any], problem: int, n: int, name: str, seed: int
) -> xr.Dataset:
    """Return what one network reached, trained now or found."""
    stem = f"{problem}-{n}-{name}-{seed}"
    about = recipe | {"problem": problem, "images": n, "model": name, "seed": seed}
    path = place(folder / "cells", stem, about)
    checkpoint = path.with_suffix(".ckpt")
    found = cell(path, about, partial(train, folder / "images", most, about, checkpoint))
    checkpoint.unlink(missing_ok=True)
    return found


def train(folder: Path, most: int, about: dict[str, Any], checkpoint: Path) -> xr.Dataset:
    """Train and test one network; return NaN if its loss does not stay finite."""
    begun = time.perf_counter()
    problem, n, size, seed = (about[name] for name in ("problem", "images", "size", "seed"))
    ink, labels = kept(folder, problem, most, size, seed)
    held_out = kept(folder, problem, about["validation"], size, STREAMS["validation"])
    model = untrained(about["model"], size, about["width"], seed)
    points, seen = about["points"], about["updates"] * about["batch_size"]
    task = Drawn(model, (ink[:n], labels[:n]), held_out, order_of(n, seen, seed))
    fabric = make_fabric(about["accelerator"], 1, about["precision"])
    every = about["updates"] // points
    update = every * np.arange(1, points + 1)
    axes = {"update": update, "solver": list(SOLVERS), "time": list(TIMES)}
    found = xr.Dataset({"passes": seen / n}, axes)
    try:
        table = run_epochs(
            task, (torch.arange(seen // points),), (torch.arange(about["validation"]),),
            parameters=model.parameters(), generator=generator(seed), epochs=points,
            learning_rate=about["learning_rate"], batch_size=about["batch_size"],
            path=checkpoint, fabric=fabric, progress=False, one_cycle=True, clip=about["clip"],
        )  # fmt: skip
    except DivergedError:
        table = np.full((points, 2, 2), np.nan)
        found["accuracy"] = np.nan
        if isinstance(model, Attended):
            found["over_time"] = ("solver", "time"), np.full((len(SOLVERS), len(TIMES)), np.nan)
            found["nfe"] = "solver", np.full(len(SOLVERS), np.nan)
    else:
        test = kept(folder, problem, about["test"], size, STREAMS["test"])
        found = found.merge(measured(model.to(fabric.device), *test))
        if isinstance(model, Attended) and isinstance(model.attention, SpatialAttention):
            found["attention"] = attention_of(model, some_scenes(problem, size))
    found["training"], found["validation"] = (("update", table[:, k, 1]) for k in (0, 1))
    return found.assign(duration=time.perf_counter() - begun)


@torch.no_grad()
def measured(model: nn.Module, ink: Tensor, labels: Tensor) -> xr.Dataset:
    """Return the share of right answers; of networks with attention also over time."""
    device = next(model.parameters()).device
    moving = None
    if isinstance(model, Attended):
        moving = RecurrentAttention(model.backbone, model.tap, model.attention)
    right, over_time = 0, torch.zeros(len(SOLVERS), len(TIMES), dtype=torch.int64)
    calls = [0] * len(SOLVERS)
    for some, label in zip(ink.split(AT_ONCE), labels.split(AT_ONCE), strict=True):
        images = shown(some.to(device))
        right += int((model(images).argmax(-1).cpu() == label).sum())
        for k, how in enumerate(SOLVERS.values() if moving is not None else ()):
            assert moving is not None
            run = nd.integrate(moving, images, TIMES, gradient="none", record="readout", **how)
            assert run.readout is not None
            over_time[k] += (run.readout.argmax(-1).cpu() == label).sum(1)
            calls[k] += run.stats.evaluations
    batches = -(-len(labels) // AT_ONCE)
    found = xr.Dataset({"accuracy": right / len(labels)})
    found = found.assign_coords(solver=list(SOLVERS), time=list(TIMES))
    if moving is not None:
        found["over_time"] = ("solver", "time"), over_time.numpy() / len(labels)
        found["nfe"] = "solver", np.array(calls) / batches
    return found


def some_scenes(problem: int, size: int) -> xr.Dataset:
    """Return the test images whose attention is kept, with the centres of their first parts."""
    found = generate(problem, SHOWN, size=size, seed=STREAMS["test"])
    found = found.isel(part=slice(TARGETS)).rename(part="target")
    return xr.Dataset({name: found[name] for name in ("image", "label", "centre")}, attrs={})


@torch.no_grad()
def attention_of(model: Attended, scenes: xr.Dataset) -> xr.DataArray:
    """Return where parts of scenes attend to, from the maps' cells that hold their centres.

    Parameters
    ----------
    model : Attended
        With attention between positions; the mean of its heads is returned.
    scenes : Dataset
        Images and centres, as of `some_scenes`.

    Returns
    -------
    DataArray
        (sample, target, row, column), which sums to 1 over row and column.
    """
    moving = RecurrentAttention(model.backbone, model.tap, model.attention)
    images = torch.from_numpy(scenes["image"].values == 0)
    images = shown(images.to(next(model.parameters()).device))
    (maps,) = moving.initial_state(moving.drive(images))
    weights = model.attention.weights(maps).mean(1).unflatten(2, maps.shape[2:])
    x, y = (
        scenes.centre.sel(axis=name).values.astype(int) * cells // pixels
        for name, cells, pixels in zip("xy", maps.shape[:1:-1], images.shape[:1:-1], strict=True)
    )
    number = torch.from_numpy(y * maps.shape[3] + x)
    found = weights.cpu()[torch.arange(len(number))[:, None], number]
    return xr.DataArray(found.numpy(), dims=("sample", "target", "row", "column"))
