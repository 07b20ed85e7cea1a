"""How the weights that ship with `pc_shallow` are made."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.models.pc_shallow import WEIGHTS, pc_shallow
from neurodyn.record import atomic
from neurodyn.train import fit_classifier, fit_reconstruction, make_fabric


def train_predify(
    *,
    out: str | Path = "results/train-predify",
    epochs: int = 8,
    reconstruction_epochs: int = 4,
    learning_rate: float = 1e-3,
    reconstruction_learning_rate: float = 2e-3,
    batch_size: int = 64,
    seed: int = 0,
    accelerator: str = "cpu",
    devices: int = 1,
    precision: str = "32-true",
) -> xr.DataTree:
    """Train pc_shallow on digits: to classify, then its decoders to reconstruct.

    8,000 digits of the training split, some minutes on one core. The same seed on the same kind
    of machine (torch's CPU capability, kept with the weights) gives the same weights to the byte,
    whatever the number of cores. After an interruption the same command goes on behind the last
    complete epoch.

    Parameters
    ----------
    out : path
        Folder for ``pc_shallow.safetensors``, ``training.nc`` and the checkpoints.
    epochs : int
        Passes through the training digits, to learn to classify.
    reconstruction_epochs : int
        Passes through the training digits, to learn to reconstruct.
    learning_rate : float
        Adam's, to classify.
    reconstruction_learning_rate : float
        Adam's, to reconstruct.
    batch_size : int
        Images in one step, over all devices.
    seed : int
        Of the untrained weights and of the order of the images.
    accelerator : str
        Lightning Fabric's, e.g. "cuda".
    devices : int
        Lightning Fabric's: how many of them.
    precision : str
        Lightning Fabric's, e.g. "bf16-mixed".

    Returns
    -------
    DataTree
        ``accuracy`` and ``residual_variance`` (layer) on the test digits; learning curves in
        ``classification`` and ``reconstruction``.
    """
    recipe = {
        "epochs": epochs,
        "reconstruction_epochs": reconstruction_epochs,
        "learning_rate": learning_rate,
        "reconstruction_learning_rate": reconstruction_learning_rate,
        "batch_size": batch_size,
        "accelerator": accelerator,
        "devices": devices,
        "precision": precision,
    }
    folder = Path(out)
    images, labels = nd.stimuli.digits(split="train")
    test_images, test_labels = nd.stimuli.digits(split="test")
    model = pc_shallow(seed=seed)
    common: dict[str, Any] = {
        "generator": torch.Generator().manual_seed(seed),
        "batch_size": batch_size,
        "fabric": make_fabric(accelerator, devices, precision),
        "out": folder,
    }
    with one_thread():
        classification = fit_classifier(
            model.backbone,
            images,
            labels,
            test=(test_images, test_labels),
            epochs=epochs,
            learning_rate=learning_rate,
            **common,
        )
        reconstruction = fit_reconstruction(
            model,
            images,
            test=test_images,
            epochs=reconstruction_epochs,
            learning_rate=reconstruction_learning_rate,
            **common,
        )
    about = {
        "neurodyn_version": nd.__version__,
        "torch_version": str(torch.__version__),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "seed": seed,
        "config": json.dumps(recipe, sort_keys=True),
    }
    last = {"split": -1, "epoch": -1}
    final = {
        "accuracy": classification.accuracy.isel(last, drop=True),
        "residual_variance": reconstruction.residual_variance.isel(last, drop=True),
    }
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(final, attrs=about),
            "classification": classification,
            "reconstruction": reconstruction,
        }
    )
    if common["fabric"].global_rank == 0:
        nd.save(tree, folder / "training.nc")
        save_weights(model, folder / WEIGHTS, about)
        residual = ", ".join(f"{float(r):.3f}" for r in tree.residual_variance)
        print(f"accuracy {float(tree.accuracy):.3f}, residual variance {residual}; in {folder}")
    return tree


def save_weights(model: nd.PredictiveCoding, path: Path, about: dict[str, Any]) -> None:
    """Write backbone and decoders; the same weights always give the same bytes.

    What they are is one JSON string, because safetensors writes several in random order.
    """
    weights = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if name.startswith(("backbone.", "decoders."))
    }
    metadata = {"neurodyn": json.dumps(about, sort_keys=True)}
    with atomic(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(weights, metadata))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums on the CPU are taken in the same order everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
