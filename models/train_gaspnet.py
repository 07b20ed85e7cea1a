"""How the weights of GASPnet and of its controls are made."""

from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.models.gaspnet import KINDS, gaspnet, ideal_state
from neurodyn.models.train_komplexnet import generator
from neurodyn.models.two_stages import Plan, two_stages
from neurodyn.phase_agreement import PhaseAgreement


def train_gaspnet(
    *,
    out: str | Path = "results/train-gaspnet",
    kinds: tuple[str, ...] = KINDS,
    seeds: tuple[int, ...] = (0, 1, 2),
    canvases: int = 81_920,
    epochs: int = 4,
    joint_canvases: int = 40_960,
    joint_epochs: int = 8,
    learning_rate: float = 3e-3,
    joint_learning_rate: float = 2e-3,
    batch_size: int = 256,
    workers: int = 2,
    accelerator: str = "cpu",
    precision: str = "32-true",
) -> xr.Dataset:
    """Train GASPnet and its controls on scenes of two digits.

    First the network alone learns to say which two digits it sees; then each kind goes on from
    there with its own dynamics, and sees as many images as every other: the loss (binary
    cross-entropy of ten sigmoids) is averaged over three times of a run of 6 published steps (3 for
    attention), with gradients through the solver. The wider network learns both stages by itself.
    The kind "longer", the plain network, sees 27 times as many images in the second stage, so that
    it makes as many passes as GASPnet: nine sweeps of three. The kind "synchrony" is shown the
    masks of objects as well: to the loss is added the cluster-synchrony loss of the last phases
    (`neurodyn.models.binding.synchrony_loss`), the mean over the convolutional layers, the
    background a group.

    Each network is kept as it is finished, and each epoch of a stage; the same command goes on from
    there.

    Parameters
    ----------
    out : path
        Folder for the weights (``gaspnet-<kind>-<seed>.safetensors``, half precision),
        ``training.nc``, cells and checkpoints.
    kinds : tuple of str
        See `neurodyn.models.gaspnet.gaspnet`.
    seeds : tuple of int
        Of untrained weights, scenes, first phases and their order.
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
        and of the share of images whose two categories have the two largest logits; "images" seen,
        "duration" in seconds.

    Notes
    -----
    Of the weights that ship, made with these numbers on one GPU (H200, 18 processes at a time),
    each network saw 655,360 images, half of them alone, and "longer" 9,175,040. Processor time of
    both stages, seconds: plain networks 41 to 45, "random" and "ideal" 58 to 69, "gattanet" 138,
    "gaspnet" 194, "global", "eps0" and "synchrony" 236 to 366 (all since they were last begun: they
    were interrupted once), "longer" 426; "gaspnet-rk4" some 900 for seven of its eight passes, the
    last of which was made on a CPU (1,700 on one core). A plain network takes .15 s on one core for
    a step of 256 images and "gaspnet" 3 s, over an hour for its second stage: on a laptop choose
    fewer `joint_canvases`, which is as fair. The scenes of "longer" need some 20 GB of memory as
    they are made, for each worker.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    recipe: dict[str, Any] = {
        "canvases": canvases, "epochs": epochs, "joint_canvases": joint_canvases,
        "joint_epochs": joint_epochs, "learning_rate": learning_rate,
        "joint_learning_rate": joint_learning_rate, "batch_size": batch_size,
        "accelerator": accelerator, "precision": precision,
        "neurodyn_version": nd.__version__, "torch_version": str(torch.__version__),
    }  # fmt: skip
    return two_stages(PLAN, out, kinds, seeds, recipe, workers)


def untrained(kind: str, seed: int) -> nn.Module:
    """Return a model before training."""
    return gaspnet(kind, seed=seed)  # type: ignore[arg-type]


def scenes_for(model: nn.Module, kind: str, n: int, seed: int) -> tuple[Tensor, ...]:
    """Return images, phases at t = 0 in half precision (none for networks without), targets, masks.

    Masks only for the kind that is taught with them.
    """
    scenes = nd.stimuli.multi_digits(n, seed=seed)
    if not isinstance(model, PhaseAgreement):
        phases = torch.zeros(n, 0)
    elif kind == "ideal":
        phases = torch.cat([p.flatten(1) for p in ideal_state(scenes.masks)], 1)
    else:
        drawn = generator(seed)
        like = {"stimulus": torch.zeros(n, 1)}
        phases = torch.cat([p.flatten(1) for p in model.initial_state(like, drawn)], 1)
    masks = (scenes.masks,) if kind == "synchrony" else ()
    return scenes.images, phases.half(), scenes.target, *masks


PLAN = Plan("gaspnet", untrained, scenes_for, {"longer": 27})
"""GASPnet and its controls on pairs of digits; six steps and three readouts are 27 passes."""
