"""How the weights of GAttANet and of its controls are made."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import xarray as xr
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.agreement import GlobalAttention
from neurodyn.models.gattanet import gattanet, matched_cnn, plain
from neurodyn.models.pc_shallow import initialise_rectified
from neurodyn.models.two_stages import Plan, two_stages
from neurodyn.stimuli.fashion import fashion_mnist
from neurodyn.stimuli.natural import backgrounds

KINDS = ("cnn", "matched", "gattanet", "gattanet-rk4", "longer")
SCENE: dict[str, Any] = {
    "side": 32, "scale": (0.8, 1.2), "rotation": (-15.0, 15.0), "contrast": 1.0,
}  # fmt: skip
"""How an object lies over its background, in its own pixels or nearly: hard enough that the small
network alone stays below its ceiling."""
Objects = Literal["digits", "fashion"]
Behind = Literal["auto", "cifar", "photographs", "1/f"]


def train_gattanet(
    *,
    out: str | Path = "results/train-gattanet",
    kinds: tuple[str, ...] = KINDS,
    seeds: tuple[int, ...] = (0, 1, 2),
    items: Objects = "digits",
    background: Behind = "1/f",
    cifar: Path | None = None,
    download: bool = False,
    canvases: int = 40_960,
    epochs: int = 1,
    joint_canvases: int = 32_768,
    joint_epochs: int = 2,
    learning_rate: float = 3e-3,
    joint_learning_rate: float = 3e-3,
    batch_size: int = 64,
    workers: int = 2,
    accelerator: str = "cpu",
    precision: str = "32-true",
) -> xr.Dataset:
    """Train the small GAttANet and its controls to name one object over a natural background.

    First the network alone learns to say which object it sees; then each kind goes on from there
    with its own dynamics, and sees as many images as every other: the loss (binary cross-entropy
    of ten sigmoids) is averaged over t = 1, 2 and 3 published steps, with gradients through the
    solver: Euler's method with the published step ("gattanet") or rk4 with the same step
    ("gattanet-rk4"). The wider network learns both stages by itself. The first stage is short: what
    a network has learnt well without gains it goes on doing without them.

    Published is a digit or fashion item over a CIFAR-10 image. The defaults are what everybody
    has, the shipped digits over 1/f noise, and so are the weights that ship.

    Each network is kept as it is finished, and each epoch of a stage; the same command goes on from
    there.

    Parameters
    ----------
    out : path
        Folder for the weights (``gattanet-<kind>-<seed>.safetensors``, half precision),
        ``training.nc``, cells and checkpoints.
    kinds : tuple of str
        "cnn": the network alone. "matched": a wider one with as many parameters as GAttANet.
        "gattanet", "gattanet-rk4": see above. "longer": the network alone, which sees six times
        as many images in the second stage and so works as long as GAttANet.
    seeds : tuple of int
        Of untrained weights, scenes and their order.
    items : {"digits", "fashion"}
        The training digits, or Fashion-MNIST where it is installed (`fashion_mnist`).
    background : {"auto", "cifar", "photographs", "1/f"}
        Of `neurodyn.stimuli.natural.backgrounds`, whose name for it is kept.
    cifar : path, optional
        The folder "cifar-10-batches-py", for "cifar" and "auto".
    download : bool
        Fetch CIFAR-10 into that folder if it is not there.
    canvases, epochs : int
        Scenes of the first stage and passes through them.
    joint_canvases, joint_epochs : int
        The same of the second.
    learning_rate, joint_learning_rate : float
        The largest of a cycle, of Adam, in the two stages.
    batch_size : int
        Images in one step.
    workers : int
        Networks trained side by side, each in a process with one core.
    accelerator, precision
        Lightning Fabric's.

    Returns
    -------
    Dataset
        "loss" and "exact" (kind, seed): the means over the last pass of the cross-entropy in nats,
        and of the share of images whose category has the largest logit, at t = 3; "images" seen;
        "duration" of the second stage, seconds of processor time.

    Raises
    ------
    FileNotFoundError, ImportError
        Items or background are not there: what to install, or which folder to give.

    Notes
    -----
    Of the weights that ship, each network saw 106,496 images, and "longer" 434,176. On one core
    that took 13 s alone and then 18 s for the plain networks, 114 s for "gattanet", 257 s for
    "gattanet-rk4" and 84 s for "longer": half an hour in all. As many images are not as much work,
    and "longer" is the control for that.

    References
    ----------
    VanRullen & Alamia (2021), arXiv:2104.05575. The sets of images: Alamia, Muzellec, Serre &
    VanRullen (2025), arXiv:2507.16674.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    _, name = scene_settings("train", items, background, cifar, download)
    recipe: dict[str, Any] = {
        "items": items, "background": name, "scene": SCENE,
        "canvases": canvases, "epochs": epochs, "joint_canvases": joint_canvases,
        "joint_epochs": joint_epochs, "learning_rate": learning_rate,
        "joint_learning_rate": joint_learning_rate, "batch_size": batch_size,
        "accelerator": accelerator, "precision": precision,
        "neurodyn_version": nd.__version__, "torch_version": str(torch.__version__),
    }  # fmt: skip
    scenes = partial(scenes_for, items, background, cifar)
    plan = Plan("gattanet", untrained, scenes, {"longer": 6})
    return two_stages(plan, out, kinds, seeds, recipe, workers)


def scene_settings(
    split: Literal["train", "test"],
    items: Objects,
    background: Behind,
    cifar: Path | None,
    download: bool = False,
) -> tuple[dict[str, Any], str]:
    """Return arguments of `multi_digits` for scenes as in training, and the background's name.

    Items and background are of that split; the digits and noise follow the argument `split`.
    """
    if items not in ("digits", "fashion"):
        raise ValueError(f"items {items!r} is not one of 'digits', 'fashion'")
    shown = fashion_mnist(split) if items == "fashion" else items
    behind, name = backgrounds(background, split, cifar, download=download)
    return SCENE | {"objects": 1, "items": shown, "background": behind}, name


def scenes_for(
    items: Objects, background: Behind, cifar: Path | None, model: nn.Module, kind: str, n: int,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return images, no phases, and targets: the same for every kind."""
    settings, _ = scene_settings("train", items, background, cifar)
    scenes = nd.stimuli.multi_digits(n, split="train", seed=seed, **settings)
    return scenes.images, torch.zeros(n, 0), scenes.target


def untrained(kind: str, seed: int) -> nn.Module:
    """Return a model before training, for grey images; of ten categories one is shown."""
    model: GlobalAttention | nn.Sequential
    if kind in ("cnn", "longer"):
        model = plain("small", channels=1, seed=seed)
    else:
        model = (matched_cnn if kind == "matched" else gattanet)("small", channels=1, seed=seed)
    network = model.backbone if isinstance(model, GlobalAttention) else model
    initialise_rectified(network, 0.1, torch.Generator().manual_seed(seed))
    return model
