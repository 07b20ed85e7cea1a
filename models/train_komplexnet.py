"""How the weights of KomplexNet and of its controls are made."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

import neurodyn as nd
from neurodyn.conditions import top_recall
from neurodyn.models.binding import ideal_phases, synchrony_loss
from neurodyn.models.komplexnet import KINDS, KomplexNet, RealTwin, komplexnet
from neurodyn.record import atomic
from neurodyn.train import make_fabric, run_epochs

STEPS = 15
READ = (5, 10, 15)


def train_komplexnet(
    *,
    out: str | Path = "results/train-komplexnet",
    kinds: tuple[str, ...] = KINDS,
    seeds: tuple[int, ...] = (0, 1, 2),
    canvases: int = 40_960,
    epochs: int = 4,
    joint_canvases: int = 8_192,
    learning_rate: float = 5e-3,
    joint_learning_rate: float = 1e-3,
    batch_size: int = 64,
    accelerator: str = "cpu",
    devices: int = 1,
    precision: str = "32-true",
) -> xr.Dataset:
    """Train KomplexNet and its controls on scenes of two digits.

    First the head learns to read phases that do not depend on its weights: those that the
    untrained coupling reaches after the published 15 steps (komplexnet, feedback), random ones,
    ideal ones; the real twin learns from the same canvases. Then KomplexNet, without and with
    feedback, learns everything at once through its 15 steps (categories, and the
    cluster-synchrony loss), while the controls see as many images more. Published is one training
    from the start through all steps, for 30 epochs of batches of 256, which takes a GPU.

    Each network's stages are kept as they are finished, and each epoch of a stage; the same command
    goes on from there.

    Parameters
    ----------
    out : path
        Folder for the weights (``komplexnet-<kind>-<seed>.safetensors``, half precision),
        ``training.nc`` and the checkpoints.
    kinds : tuple of str
        Of real, random, ideal, komplexnet, feedback; the last goes on from komplexnet's first
        stage.
    seeds : tuple of int
        Of untrained weights, canvases, random phases and their order.
    canvases, epochs : int
        Scenes of the first stage and passes through them.
    joint_canvases : int
        Scenes of the second stage, seen once.
    learning_rate, joint_learning_rate : float
        The largest of a cycle, of Adam, in the two stages.
    batch_size : int
        Images in one step of the first stage; half as many in the second.
    accelerator, devices, precision
        Lightning Fabric's.

    Returns
    -------
    Dataset
        "loss" and "exact" (kind, seed, stage): the means over the last pass of the categories'
        cross-entropy in nats, and of the share of images whose two categories have the two
        largest logits.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    folder = Path(out)
    fabric = make_fabric(accelerator, devices, precision)
    recipe: dict[str, Any] = {
        "canvases": canvases, "epochs": epochs, "joint_canvases": joint_canvases,
        "learning_rate": learning_rate, "joint_learning_rate": joint_learning_rate,
        "batch_size": batch_size, "precision": precision,
    }  # fmt: skip
    table = np.full((len(kinds), len(seeds), 2, 2), np.nan)
    for s, seed in enumerate(seeds):
        first = nd.stimuli.multi_digits(canvases, seed=2 * seed)
        second = nd.stimuli.multi_digits(joint_canvases, seed=2 * seed + 1)
        for k, kind in enumerate(kinds):
            place = folder / f"{kind}-{seed}"
            model = komplexnet(kind, seed=seed)  # type: ignore[arg-type]
            common: dict[str, Any] = {"fabric": fabric, "progress": True, "one_cycle": True}
            common |= {"test": None, "clip": 2.0}
            source = folder / f"komplexnet-{seed}" / "head.safetensors"
            if kind == "feedback" and source.exists():
                load(model, source)
            else:
                phase = phases(kind, model, first, seed)
                curve = run_epochs(
                    Reading(model), (first.images, phase, first.target), epochs=epochs,
                    parameters=reading_parameters(model), learning_rate=learning_rate,
                    batch_size=batch_size, generator=generator(seed), path=place / "head.ckpt",
                    **common,
                )  # fmt: skip
                table[k, s, 0] = curve[-1, 0, :2]
                store(model, place / "head.safetensors", {})
            task: nn.Module
            data: tuple[Tensor, ...]
            if isinstance(model, KomplexNet) and not model.frozen:
                start = random_phases(len(second), seed + 1)
                data = (second.images, start, second.target, second.masks)
                task, size = Synchronising(model), batch_size // 2
            else:
                data = (second.images, phases(kind, model, second, seed + 1), second.target)
                task, size = Reading(model), batch_size
            wanted = [p for p in model.parameters() if p.requires_grad]
            curve = run_epochs(
                task, data, epochs=1, parameters=wanted, learning_rate=joint_learning_rate,
                batch_size=size, generator=generator(seed), path=place / "joint.ckpt", **common,
            )  # fmt: skip
            table[k, s, 1] = curve[-1, 0, :2]
            about = recipe | {"kind": kind, "seed": seed, "neurodyn_version": nd.__version__,
                              "torch_version": str(torch.__version__)}  # fmt: skip
            store(model, folder / f"komplexnet-{kind}-{seed}.safetensors", about)
            print(f"{kind} {seed}: loss {curve[-1, 0, 0]:.3f}, exact {curve[-1, 0, 1]:.3f}")
    axes = ("kind", "seed", "stage")
    dataset = xr.Dataset(
        {
            "loss": (axes, table[..., 0], {"long_name": "cross-entropy", "units": "nat"}),
            "exact": (axes, table[..., 1], {"long_name": "both categories right", "units": "1"}),
        },
        {"kind": list(kinds), "seed": list(seeds), "stage": ["head", "joint"]},
        {"neurodyn_version": nd.__version__, "config": json.dumps(recipe, sort_keys=True)},
    )
    nd.save(dataset, folder / "training.nc")
    return dataset


class Reading(nn.Module):
    """Sums over a batch: the loss of reading given phases, and exact answers."""

    def __init__(self, model: KomplexNet | RealTwin) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, phase: Tensor, target: Tensor) -> Float[Tensor, " quantity"]:
        """Read a batch."""
        if isinstance(self.model, RealTwin):
            logits = self.model(images)
        else:
            logits = self.model.readout((phase.to(images),), self.model.drive(images))
        return torch.stack([detection_loss(logits, target).sum(), exact(logits, target).sum()])


class Synchronising(nn.Module):
    """Sums over a batch through all steps: loss at some, synchrony at the last, exact answers."""

    def __init__(self, model: KomplexNet) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, images: Tensor, phase: Tensor, target: Tensor, masks: Tensor
    ) -> Float[Tensor, " quantity"]:
        """Synchronise and read a batch."""
        run = nd.integrate(
            self.model, images, [0.0, *READ], initial_state=(phase.to(images),), method="euler",
            record=["readout", "phase"],
        )  # fmt: skip
        assert run.readout is not None
        losses = torch.stack([detection_loss(logits, target) for logits in run.readout[1:]])
        amplitude = self.model.drive(images)["amplitude"]
        synchrony = synchrony_loss(run.states[0][-1], amplitude, masks.to(images))[0]
        total = (losses.mean(0) + synchrony).sum()
        return torch.stack([total, exact(run.readout[-1], target).sum(), synchrony.sum()])


def detection_loss(logits: Tensor, target: Tensor) -> Float[Tensor, " sample"]:
    """Return the mean over categories of the binary cross-entropy."""
    loss = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return loss.mean(1)


def exact(logits: Tensor, target: Tensor) -> Float[Tensor, " sample"]:
    """Return 1 where the largest logits are the categories shown, as many as there are."""
    return (top_recall(logits, target) == 1).float()


def reading_parameters(model: KomplexNet | RealTwin) -> Iterable[nn.Parameter]:
    """Return what the first stage trains: the head; of the real twin, everything."""
    return model.parameters() if isinstance(model, RealTwin) else model.head.parameters()


def generator(seed: int) -> torch.Generator:
    """Return a new generator."""
    return torch.Generator().manual_seed(seed)


def random_phases(n: int, seed: int) -> Tensor:
    """Return uniform phases in half precision, which is 0.002 rad."""
    drawn = torch.rand(n, 8, 32, 32, generator=generator(seed))
    return (2 * math.pi * drawn - math.pi).half()


def phases(kind: str, model: KomplexNet | RealTwin, scenes: nd.stimuli.Scenes, seed: int) -> Tensor:
    """Return the phases that a head learns to read, in half precision; none for real layers."""
    if isinstance(model, RealTwin):
        return torch.zeros(len(scenes), 0)
    if kind == "ideal":
        return ideal_phases(scenes.masks.float()).half()
    start = random_phases(len(scenes), seed)
    if kind == "random":
        return start
    reached = []
    lateral = KomplexNet(dtype=torch.bfloat16).requires_grad_(False)
    lateral.load_state_dict(model.state_dict(), strict=False)
    batches = list(zip(scenes.images.split(64), start.split(64), strict=True))
    for images, phase in tqdm(batches, desc="synchronising", unit="batch"):
        run = nd.integrate(
            lateral, images, [0.0, STEPS], initial_state=(phase.float(),), method="euler",
            gradient="none", record="phase",
        )  # fmt: skip
        wrapped = torch.remainder(run.states[0][-1] + math.pi, 2 * math.pi) - math.pi
        reached.append(wrapped.half())
    return torch.cat(reached)


def store(model: nn.Module, path: Path, about: dict[str, Any]) -> None:
    """Write weights in half precision."""
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        metadata = {"neurodyn": json.dumps(about, sort_keys=True)}
        temporary.write_bytes(safetensors.torch.save(weights, metadata))


def load(model: nn.Module, path: Path) -> None:
    """Read what is there of a network's weights."""
    weights = safetensors.torch.load(path.read_bytes())
    model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
