"""Training loops on Lightning Fabric: a classifier, and decoders by reconstruction.

The loops are seeded by an explicit generator, write a checkpoint after every epoch, go on from it
to the numbers of an uninterrupted run, and leave torch's global state as they found it.
"""

import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from neurodyn.predictive_coding import PredictiveCoding
from neurodyn.record import atomic

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Data = tuple[Tensor, ...]


class DivergedError(ValueError):
    """A loss that is no finite number."""


def make_fabric(
    accelerator: str = "cpu", devices: int | str = 1, precision: str = "32-true"
) -> "Fabric":
    """Return a launched Lightning Fabric: where to train, on how many devices, how precisely.

    Parameters
    ----------
    accelerator, devices, precision
        Fabric's own, e.g. "cuda", 2, "bf16-mixed".

    Examples
    --------
    >>> make_fabric(accelerator="cpu").device
    device(type='cpu')
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ImportError(
            'training needs Lightning Fabric, which is missing: pip install "neurodyn[train]"'
        ) from error
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    except Exception as error:  # Lightning has several kinds for what cannot be had
        raise ValueError(
            f"accelerator={accelerator!r}, devices={devices!r}, precision={precision!r}: {error}"
        ) from error
    fabric.launch()
    return fabric


def fit_classifier(
    model: nn.Module,
    images: Float[Tensor, "sample channel y x"],
    labels: Int[Tensor, " sample"],
    *,
    generator: torch.Generator,
    test: tuple[Tensor, Tensor] | None = None,
    epochs: int = 4,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    out: str | Path | None = None,
    fabric: "Fabric | None" = None,
    progress: bool = True,
) -> xr.Dataset:
    r"""Train a network to classify, with Adam, in place.

    .. math:: L = -\frac{1}{B} \sum_{i=1}^{B} \log \mathrm{softmax}(f(x_i))_{c_i}

    Parameters
    ----------
    model : nn.Module
        Images (sample, channel, y, x) in, logits (sample, category) out.
    images, labels : Tensor
        What to learn; labels are int64 category numbers.
    generator : torch.Generator
        Draws the order of the images, anew each epoch. Nothing else is random, unless the model
        itself is (dropout).
    test : tuple of two Tensors, optional
        Images and labels to look at after each epoch.
    epochs, learning_rate, batch_size : int, float, int
        The last one counts the images of all devices together.
    out : path, optional
        Folder for ``classifier.ckpt``, written after each epoch. A call that finds it goes on
        from there, to the same numbers as without the interruption.
    fabric : Fabric, optional
        From `make_fabric`, or your own, launched; one CPU process by default.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Dataset
        ``loss`` in nats and ``accuracy``, both (epoch, split). "train" is the mean over an epoch
        while the weights move, "test" is measured after it.

    Examples
    --------
    >>> images = torch.rand(32, 1, 4, 4)
    >>> labels = (images.mean((1, 2, 3)) > 0.5).long()
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    >>> order = torch.Generator().manual_seed(0)
    >>> dict(fit_classifier(network, images, labels, generator=order, progress=False).sizes)
    {'epoch': 4, 'split': 1}
    """
    check_data(images, labels)
    table = run_epochs(
        Classification(model),
        (images, labels),
        test,
        parameters=model.parameters(),
        generator=generator,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        path=None if out is None else Path(out) / "classifier.ckpt",
        fabric=fabric or make_fabric(),
        progress=progress,
    )
    return curves(
        {
            "loss": (table[..., 0], "cross-entropy", "nat"),
            "accuracy": (table[..., 1], "proportion classified correctly", "1"),
        }
    )


def fit_reconstruction(
    pc: PredictiveCoding,
    images: Float[Tensor, "sample channel y x"],
    *,
    generator: torch.Generator,
    test: Tensor | None = None,
    epochs: int = 4,
    learning_rate: float = 2e-3,
    batch_size: int = 64,
    out: str | Path | None = None,
    fabric: "Fabric | None" = None,
    progress: bool = True,
) -> xr.Dataset:
    r"""Train the decoders to reconstruct the feed-forward activities, with Adam, in place.

    .. math:: L = \sum_{n=1}^{N} \mathrm{MSE}(g_n(e_n), e_{n-1}) \quad \text{at } t = 0

    with the image :math:`e_0`, the states :math:`e_n` of the feed-forward pass and the decoders
    :math:`g_n`; the backbone is frozen and in evaluation mode. The published decoders were trained
    on this loss with other optimisers.

    Parameters
    ----------
    pc : PredictiveCoding
        Decoders that do not exist yet are made by the first image.
    images : Tensor
        What to learn from; no labels.
    generator, epochs, learning_rate, batch_size, fabric, progress
        As in `fit_classifier`.
    test : Tensor, optional
        Images to look at after each epoch.
    out : path, optional
        Folder for ``reconstruction.ckpt``; as in `fit_classifier`.

    Returns
    -------
    Dataset
        ``loss`` (epoch, split), ``mean_squared_error`` and ``residual_variance``
        (epoch, split, layer), in squared activities or parts of 1. ``layer`` is the state that a
        decoder reads; it predicts the one below. The residual variance is 1 minus the variance
        explained: the squared error over the variance, across images and units, of what is
        predicted.

    References
    ----------
    Choksi et al. (2021), arXiv 2106.02749; Alamia et al. (2021), arXiv 2106.04225.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(),
    ...                         nn.Linear(256, 2))
    >>> pc = PredictiveCoding(network, ["1"], feedforward=0.3, feedback=0.3, error=0.01)
    >>> order = torch.Generator().manual_seed(0)
    >>> learnt = fit_reconstruction(pc, torch.rand(64, 1, 8, 8), generator=order, progress=False)
    >>> bool(learnt.loss[-1, 0] < learnt.loss[0, 0])
    True
    """
    check_data(images)
    pc.drive(images[:1].to(next(pc.parameters()).device))  # makes what decoders are missing
    table = run_epochs(
        Reconstruction(pc),
        (images,),
        None if test is None else (test,),
        parameters=pc.decoders.parameters(),
        generator=generator,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        path=None if out is None else Path(out) / "reconstruction.ckpt",
        fabric=fabric or make_fabric(),
        progress=progress,
    )
    errors, means, squares = np.split(table[..., 1:], 3, axis=-1)
    residual = errors / (squares - means**2)
    return curves(
        {
            "loss": (table[..., 0], "sum of the mean squared errors", "1"),
            "mean_squared_error": (errors, "mean squared error of the prediction", "1"),
            "residual_variance": (residual, "1 - explained variance", "1"),
        },
        layers=[variable.name for variable in pc.variables],
    )


class Classification(nn.Module):
    """Sums over a batch: cross-entropy and correct answers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, labels: Tensor) -> Float[Tensor, " quantity"]:
        """Classify a batch."""
        logits = self.model(images).float()
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        return torch.stack([loss, (logits.argmax(1) == labels).sum().to(loss)])


class Reconstruction(nn.Module):
    """Sums over a batch: the loss; of each decoder, squared error, target and squared target."""

    def __init__(self, pc: PredictiveCoding) -> None:
        super().__init__()
        self.pc = pc

    def forward(self, images: Tensor) -> Float[Tensor, " quantity"]:
        """Predict the layers of a feed-forward pass, which carries no gradient."""
        images = images.to(next(self.pc.parameters()).dtype)
        with torch.no_grad():
            state = self.pc.initial_state(self.pc.drive(images))
        below = (images, *state[:-1])
        pairs = zip(self.pc.predictions(state), below, strict=True)
        errors = over_units((p - e).square() for p, e in pairs)
        means, squares = over_units(below), over_units(e.square() for e in below)
        return torch.cat([errors.sum()[None], errors, means, squares])


def over_units(tensors: Iterable[Tensor]) -> Float[Tensor, " tensor"]:
    """Average each tensor over its units and sum over samples."""
    return torch.stack([x.float().flatten(1).mean(1).sum() for x in tensors])


def run_epochs(
    task: nn.Module,
    data: Data,
    test: Data | None,
    *,
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    generator: torch.Generator,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    path: Path | None,
    fabric: "Fabric",
    progress: bool,
    one_cycle: bool = False,
    clip: float | None = None,
) -> Float[np.ndarray, "epoch split quantity"]:
    """Minimise a task's first quantity over `parameters`; return the means of all.

    A task returns sums over its batch: so the gradient does not depend on how devices share it.
    Instead of parameters, groups of them may be given, with a learning rate "lr" each.
    With `one_cycle` the learning rate rises to its value and falls again over the whole training;
    `clip` is the largest norm of the gradient. An epoch whose loss is not finite is an error, and
    is not kept.
    """
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        if value < 1 or value != int(value):
            raise ValueError(f"{name} = {value!r} must be a whole number, 1 or more")
    chosen: list[Any] = list(parameters)
    recipe = {
        "seed": generator.initial_seed(),
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "schedule": f"one cycle over {epochs} epochs" if one_cycle else "constant",
        "clip": str(clip),
        "data": checksum(data),
        "untrained": checksum(task.state_dict().values()),
        "precision": str(fabric.strategy.precision.precision),
        "device": f"{fabric.world_size} {fabric.device.type}",
        "torch": str(torch.__version__),
    }
    table: list[list[list[float]]] = []
    with deterministic(), left_as_found(task):
        task.requires_grad_(False)
        for group in chosen:
            for parameter in group["params"] if isinstance(group, dict) else [group]:
                parameter.requires_grad_(True)
        module, optimizer = fabric.setup(task, torch.optim.Adam(chosen, lr=learning_rate))
        batches = math.ceil(len(data[0]) / batch_size)
        rates = torch.optim.lr_scheduler.LambdaLR(
            optimizer, partial(cycle, epochs * batches) if one_cycle else lambda step: 1.0
        )
        if path is not None and path.exists():
            saved = read_checkpoint(path, recipe, epochs)
            task.load_state_dict(saved["task"])
            optimizer.load_state_dict(saved["optimizer"])
            rates.load_state_dict(saved["rates"])
            generator.set_state(saved["generator"])
            table = saved["table"]

        def step() -> None:
            if clip is not None:
                fabric.clip_gradients(task, optimizer, max_norm=clip, error_if_nonfinite=False)
            optimizer.step()
            rates.step()

        with tqdm(
            total=epochs * batches,
            initial=len(table) * batches,
            desc=type(task).__name__.lower(),
            unit="batch",
            disable=not progress or fabric.global_rank > 0,
        ) as bar:
            while len(table) < epochs:
                row = [
                    train_epoch(module, optimizer, step, data, batch_size, generator, fabric, bar)
                ]
                if test is not None:
                    row.append(evaluate(module, test, batch_size, fabric))
                for split, (loss, *_) in zip(("training", "test"), row, strict=False):
                    if not math.isfinite(loss):
                        raise DivergedError(
                            f"the {split} loss of epoch {len(table) + 1} is {loss}: give a smaller "
                            f"learning_rate than {learning_rate}, and look for NaN in what is "
                            "learnt from; the epochs before are kept where there is a checkpoint"
                        )
                table.append(row)
                bar.set_postfix(epoch=len(table), loss=f"{row[-1][0]:.3f}")
                if path is not None and fabric.global_rank == 0:
                    state = {"task": task.state_dict(), "optimizer": optimizer.state_dict()}
                    state |= {"generator": generator.get_state(), "table": table, "recipe": recipe}
                    state["rates"] = rates.state_dict()
                    with atomic(path) as temporary:
                        torch.save(state, temporary)
        optimizer.zero_grad()
    return np.array(table)


def cycle(steps: int, step: int) -> float:
    """Return the part of the learning rate at a step: a rise over 3/10, then half a cosine."""
    rise = 0.3 * steps
    if step < rise:
        return 0.04 + 0.96 * step / rise
    return (1 + math.cos(math.pi * min(1.0, (step - rise) / (steps - rise)))) / 2


def train_epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Callable[[], None],
    data: Data,
    batch_size: int,
    generator: torch.Generator,
    fabric: "Fabric",
    bar: "tqdm[Any]",
) -> list[float]:
    """Take every sample once, in a new order; return the mean of each quantity."""
    module.train()
    order = torch.randperm(len(data[0]), generator=generator)
    total = torch.zeros((), device=fabric.device)
    for batch in order.split(batch_size):
        mine = batch[fabric.global_rank :: fabric.world_size]
        sums = module(*(fabric.to_device(d[mine]) for d in data))
        optimizer.zero_grad()
        # the devices' gradients are averaged, hence the factor
        fabric.backward(sums[0] * (fabric.world_size / len(batch)))
        step()
        total = total + sums.detach()
        bar.update()
    whole = fabric.all_reduce(total, reduce_op="sum")
    assert isinstance(whole, Tensor)
    return (whole / len(order)).tolist()


@torch.no_grad()
def evaluate(module: nn.Module, data: Data, batch_size: int, fabric: "Fabric") -> list[float]:
    """Return the mean of each quantity without training."""
    module.eval()
    batches = zip(*(d.split(batch_size) for d in data), strict=True)
    sums = [module(*(fabric.to_device(d) for d in batch)) for batch in batches]
    return (torch.stack(sums).sum(0) / len(data[0])).tolist()


def curves(
    series: dict[str, tuple[np.ndarray, str, str]], layers: Sequence[str] = ()
) -> xr.Dataset:
    """Label what `run_epochs` measured: (epoch, split) or (epoch, split, layer)."""
    dims = ("epoch", "split", "layer")
    variables = {
        name: (dims[: values.ndim], values, {"long_name": long_name, "units": units})
        for name, (values, long_name, units) in series.items()
    }
    epochs, splits = next(iter(series.values()))[0].shape[:2]
    passes = {"long_name": "passes through the training images", "units": "1"}
    coords: dict[str, Any] = {
        "epoch": ("epoch", np.arange(1, epochs + 1), passes),
        "split": ("split", ["train", "test"][:splits], {"long_name": "part of the images"}),
    }
    if layers:
        coords["layer"] = ("layer", list(layers), {"long_name": "state that the decoder reads"})
    return xr.Dataset(variables, coords)


def check_data(images: Tensor, labels: Tensor | None = None) -> None:
    """Refuse images and labels that do not fit."""
    if not images.is_floating_point() or images.ndim < 2 or not len(images):
        raise ValueError(
            f"images have shape {tuple(images.shape)} and dtype {images.dtype}; give "
            "floating-point numbers, samples first, e.g. images.float() / 255"
        )
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype != torch.int64):
        raise ValueError(
            f"labels have shape {tuple(labels.shape)} and dtype {labels.dtype}; give one int64 "
            f"category number for each of the {len(images)} images"
        )


def checksum(tensors: Iterable[Tensor]) -> int:
    """Return a number by which a checkpoint knows what it was trained on."""
    total = 0
    for tensor in tensors:
        values = tensor.detach().cpu().reshape(-1).view(torch.uint8)
        total = zlib.crc32(values.numpy().tobytes(), total)
    return total


def read_checkpoint(path: Path, recipe: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Read a checkpoint of this very training; refuse one of another."""
    saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    theirs = saved["recipe"]
    differ = [f"{k} = {theirs.get(k)}, not {v}" for k, v in recipe.items() if theirs.get(k) != v]
    if len(saved["table"]) > epochs:
        differ.append(f"{len(saved['table'])} epochs, more than {epochs}")
    if differ:
        raise ValueError(
            f"{path} holds another training ({'; '.join(differ)}); give another `out`, or delete "
            "that file to begin anew"
        )
    return saved


@contextmanager
def left_as_found(module: nn.Module) -> Iterator[None]:
    """Put back a module's device, its modes and which parameters require gradients."""
    modes = [(m, m.training) for m in module.modules()]
    wanted = [(p, p.requires_grad) for p in module.parameters()]
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        yield
    finally:
        module.to(device)
        for m, training in modes:
            m.training = training
        for p, requires_grad in wanted:
            p.requires_grad_(requires_grad)


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask torch for reproducible kernels, for a while."""
    asked = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(asked, warn_only=lenient)
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            del os.environ["CUBLAS_WORKSPACE_CONFIG"]
