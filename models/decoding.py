"""What decoders learn from: windows of images, the loss, and how far they come."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

import neurodyn as nd
from neurodyn.convolutions import transposed
from neurodyn.decoders import Decoder
from neurodyn.models.imagenet import standardise
from neurodyn.models.weights import load_weights, read_weights
from neurodyn.stimuli.backgrounds import PICTURES
from neurodyn.stimuli.folders import existing, read_image

Colours = tuple[float, float, float]
Bytes = UInt8[Tensor, "sample 3 y x"]


def load_decoders(model: nd.PredictiveCoding, path: str | Path) -> nd.PredictiveCoding:
    """Load what `train_decoders` keeps into a network, in place.

    Parameters
    ----------
    model : PredictiveCoding
        The same network, with the backbone's weights that the decoders were trained for. Images
        may have another size.
    path : path
        ``decoders.safetensors``.

    Returns
    -------
    PredictiveCoding
        The network given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the decoders are not those of this network.

    Examples
    --------
    >>> from neurodyn.models import pefficientnet_lite0
    >>> path = "results/train-decoders/decoders.safetensors"
    >>> model = load_decoders(pefficientnet_lite0(pretrained=True), path)  # doctest: +SKIP
    """
    load_weights(model.decoders, read_weights(path), str(path))
    return model


class Decoding(nn.Module):
    r"""Sums over a batch: the loss, and each decoder's mean squared error.

    .. math:: L = \sum_n \langle (g_n(e_n) - e_{n-1})^2 \rangle + \rho P_n

    with the image :math:`e_0`, the states :math:`e_n` of the feed-forward pass, the decoders
    :math:`g_n` and the `sensitivity` :math:`P_n`.

    Parameters
    ----------
    pc : PredictiveCoding
        Decoders are made.
    mean, std : three floats
        What the network's images are standardised by.
    shrinkage : float
        The factor :math:`\rho`.
    """

    def __init__(
        self, pc: nd.PredictiveCoding, mean: Colours, std: Colours, shrinkage: float
    ) -> None:  # fmt: skip
        super().__init__()
        self.pc = pc
        self.colours = mean, std
        self.shrinkage = shrinkage
        self.register_buffer("setting", torch.tensor([*mean, *std, shrinkage]))  # a checkpoint's

    def layers(self, images: Bytes) -> tuple[Tensor, ...]:
        """Return the images as the network is given them, and the states of its layers."""
        with torch.no_grad():
            shown = standardise(images.to(next(self.pc.parameters())) / 255, *self.colours)
            return (shown, *self.pc.initial_state(self.pc.drive(shown)))

    def forward(self, images: Bytes) -> Float[Tensor, " quantity"]:
        """Predict the layers of a feed-forward pass, which carries no gradient."""
        below, above = (layers := self.layers(images))[:-1], layers[1:]
        pairs = zip(self.pc.predictions(above), below, strict=True)
        errors = torch.stack([(p - e).float().square().mean() for p, e in pairs])
        costs = [sensitivity(g, e) for g, e in zip(self.pc.decoders, above, strict=True)]
        loss = errors.sum() + self.shrinkage * torch.stack(costs).sum()
        return len(images) * torch.cat([loss[None], errors])


def sensitivity(
    decoder: nn.Module, state: Float[Tensor, "sample channel y x"]
) -> Float[Tensor, ""]:
    r"""Return how much a decoder's squared error rises with noise in what it reads.

    .. math:: P = \frac{1}{C' s^2} \sum_{c'=1}^{C'} \sum_{c, k} W_{c'ck}^2 \langle e_c^2 \rangle

    with the weights W from each channel c and place k of the kernel to each of C' channels, and
    the stride s of a transposed convolution: it is the mean squared error that is added where each
    activity has independent noise of its own variance around zero, but for a resize and a
    rectifier.
    """
    power = state.float().square().mean((0, 2, 3))
    weight, places = weights_of(decoder)
    return weight.float().square().sum((0, 2, 3)) @ power / (len(weight) * places)


def inputs(decoder: nn.Module) -> int:
    """Return how many activities an output of a decoder is the weighted sum of."""
    weight, places = weights_of(decoder)
    return weight[0].numel() // places


def weights_of(decoder: nn.Module) -> tuple[Float[Tensor, "out in y x"], int]:
    """Return the kernels of a decoder, and for how many outputs each is shared out by a stride."""
    found = transposed(decoder)
    if found is None:
        return cast(Decoder, decoder).weight, 1
    return found[0].weight.transpose(0, 1), math.prod(found[0].stride)


@torch.no_grad()
def measure(
    task: Decoding, images: Bytes, batch_size: int
) -> tuple[Float[np.ndarray, " layer"], Float[np.ndarray, " layer"]]:
    """Return each decoder's squared error and its target's spread around channels' means."""
    errors: list[Any] = [0.0] * len(task.pc.decoders)
    means, squares = list(errors), list(errors)
    for batch in images.split(batch_size):
        layers = task.layers(batch)
        share = len(batch) / len(images)
        pairs = zip(layers[:-1], task.pc.predictions(layers[1:]), strict=True)
        for n, (e, prediction) in enumerate(pairs):
            errors[n] += share * (prediction - e).square().mean().item()
            means[n] += share * e.double().mean((0, 2, 3))
            squares[n] += share * e.double().square().mean((0, 2, 3))
    spreads = [(s - m.square()).mean().item() for m, s in zip(means, squares, strict=True)]
    return np.array(errors), np.array(spreads)


def pictures_in(folder: str | Path) -> list[Path]:
    """Return the paths of all images in a folder and in the folders in it; refuse fewer than 2."""
    inside = existing(folder).rglob("*")
    found = sorted(p for p in inside if p.suffix.lower() in PICTURES and p.is_file())
    if len(found) < 2:
        raise ValueError(
            f"{folder} has {len(found)} images, files that end in {', '.join(PICTURES)}; give two "
            "or more, some to learn from and some to hold out"
        )
    return found


def split(
    paths: Sequence[Path], held_out: float, draws: torch.Generator
) -> tuple[list[Path], list[Path]]:
    """Return images to learn from and images to hold out, at least one of each."""
    count = min(max(1, round(held_out * len(paths))), len(paths) - 1)
    mixed = [paths[k] for k in torch.randperm(len(paths), generator=draws).tolist()]
    return mixed[count:], mixed[:count]


def windows(paths: Sequence[Path], count: int, size: int, draws: torch.Generator) -> Bytes:
    """Return random windows of images, resized: 1/2 to 1 of the shorter side, anywhere."""
    found = []
    for k, path in enumerate(paths[:count]):
        image = read_image(path)[None]
        height, width = image.shape[2:]
        times = len(range(k, count, len(paths)))
        drawn = torch.rand(times, 3, generator=draws, dtype=torch.float64)
        for share, down, right in drawn.tolist():
            side = max(1, round(min(height, width) * (1 + share) / 2))
            top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
            window = image[..., top : top + side, left : left + side]
            resized = interpolate(window, (size, size), mode="bicubic", antialias=True)
            found.append((255 * resized.clamp(0, 1)).round().to(torch.uint8))
    return torch.cat(found)
