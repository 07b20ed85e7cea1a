"""EfficientNet-B0, with torchvision's names for the weights."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.models.weights import check_sizes, filled, initialise_convolutions

STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Of B0 and Lite0: expansion, kernel, stride of the first block, channels, blocks."""
STEM, HEAD = 32, 1280


class SqueezeExcitation(nn.Module):
    r"""Channels scaled by a gate that sees their means over positions.

    .. math:: y = x \, \sigma(W_2 \, \mathrm{silu}(W_1 \langle x \rangle))

    Parameters
    ----------
    channels, inner : int
        Of the maps and between the two layers.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the scaled maps."""
        inner = nn.functional.silu(self.fc1(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.fc2(inner))


class InvertedBlock(nn.Module):
    """EfficientNet-B0's block: widened, convolved within channels, gated, narrowed; and a skip.

    The skip is there where the shape stays the same. In training torchvision drops blocks at
    random; this one does not.

    Parameters
    ----------
    inputs, outputs, expansion, kernel, stride : int
        Channels below and above, how many times wider it is between, and the inner convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int
    ) -> None:  # fmt: skip
        super().__init__()
        wide = expansion * inputs
        self.skip = stride == 1 and inputs == outputs
        parts: list[nn.Module] = [] if expansion == 1 else [convolution(inputs, wide, 1)]
        self.block = nn.Sequential(
            *parts,
            convolution(wide, wide, kernel, stride, groups=wide),
            SqueezeExcitation(wide, max(1, inputs // 4)),
            convolution(wide, outputs, 1, rectified=False),
        )

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the block's output, which is not rectified."""
        return x + self.block(x) if self.skip else self.block(x)


class EfficientNetB0(nn.Module):
    """A stem, seven stages of inverted blocks, a last convolution and a linear layer.

    ``features.0`` is the stem and ``features.1`` to ``features.7`` are the stages; each is a module
    called once, so that it can be tapped, and has 1/2, 1/2, 1/4, 1/8, 1/16, 1/16, 1/32, 1/32 of the
    image's sides.

    Parameters
    ----------
    classes, channels : int
        Of the output and of the images.

    References
    ----------
    Tan & Le (2019), arXiv:1905.11946. Names as in torchvision.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        parts: list[nn.Module] = [convolution(channels, STEM, 3, 2)]
        inputs = STEM
        for expansion, kernel, stride, outputs, depth in STAGES:
            sizes = [(inputs, stride), *[(outputs, 1)] * (depth - 1)]
            blocks = [InvertedBlock(n, outputs, expansion, kernel, s) for n, s in sizes]
            parts.append(nn.Sequential(*blocks))
            inputs = outputs
        parts.append(convolution(inputs, HEAD, 1))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(HEAD, classes))

    def forward(self, images: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the logits (sample, category)."""
        return self.classifier(self.features(images).mean((2, 3)))


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, rectified: bool = True
) -> nn.Sequential:
    """Return a padded convolution, its norm and, where wanted, its rectifier, x sigmoid(x)."""
    convolve = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolve, nn.BatchNorm2d(outputs), *[nn.SiLU()] * rectified)


def efficientnet_b0(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    seed: int = 0,
) -> EfficientNetB0:
    """Return EfficientNet-B0; 5,288,548 parameters for 1000 classes.

    Parameters
    ----------
    classes, weights, channels
        As of `resnet18`.
    seed : int
        Of untrained weights: convolutions normal with variance 2 / (outputs per group times
        kernel size), as in the authors' code, norms the identity, the linear layer uniform.

    Returns
    -------
    EfficientNetB0
        In evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If the file's names or shapes are not this network's.

    References
    ----------
    Tan & Le (2019), arXiv:1905.11946.

    Examples
    --------
    >>> network = efficientnet_b0(classes=10)
    >>> network(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 10])
    """
    check_sizes(classes=classes, channels=channels)
    with torch.device("meta"):
        network = EfficientNetB0(classes, channels)
    return filled(network, weights, seed, draw)


def draw(network: nn.Module, generator: torch.Generator) -> None:
    """Draw weights as the authors do."""
    initialise_convolutions(network, generator)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.zeros_(module.bias)
