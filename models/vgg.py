"""VGG16, with torchvision's names for the weights."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.models.weights import check_sizes, filled, initialise_convolutions

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Channels over those of the first, and number of convolutions, of each stage."""


class VGG16(nn.Module):
    """Thirteen convolutions of 3x3 in five stages, and three linear layers.

    Every rectifier is a module of its own, ``features.1`` to ``features.29``, called once, and
    none works in place: any of them can be tapped. What the last max-pool returns is averaged
    to 7 x 7, so that images can have any size from 32 on.

    Parameters
    ----------
    classes, channels : int
        Of the output and of the images.
    width : int
        Channels of the first stage; the inner linear layers have 64 times as many units.

    References
    ----------
    Simonyan & Zisserman (2015), arXiv:1409.1556. Names as in torchvision.
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        inputs = channels
        for factor, depth in STAGES:
            for _ in range(depth):
                parts += [nn.Conv2d(inputs, factor * width, 3, padding=1), nn.ReLU()]
                inputs = factor * width
            parts.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*parts)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        units = 64 * width
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 49, units), nn.ReLU(), nn.Dropout(),
            nn.Linear(units, units), nn.ReLU(), nn.Dropout(),
            nn.Linear(units, classes),
        )  # fmt: skip

    def forward(self, images: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the logits (sample, category)."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


def vgg16(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    width: int = 64,
    seed: int = 0,
) -> VGG16:
    """Return VGG16; 138,357,544 parameters for 1000 classes, 14,714,688 of them convolutions.

    Parameters
    ----------
    classes, weights, channels, width
        As of `resnet18`.
    seed : int
        Of untrained weights, drawn as torchvision does: convolutions normal with variance 2 /
        (outputs times kernel size), linear layers normal with standard deviation .01, biases 0.

    Returns
    -------
    VGG16
        In evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If the file's names or shapes are not this network's.

    References
    ----------
    Simonyan & Zisserman (2015), arXiv:1409.1556; the initial values, arXiv:1502.01852.

    Examples
    --------
    >>> network = vgg16(classes=10, width=4)
    >>> network(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    check_sizes(classes=classes, channels=channels, width=width)
    with torch.device("meta"):
        network = VGG16(classes, channels, width)
    return filled(network, weights, seed, draw)


def draw(network: VGG16, generator: torch.Generator) -> None:
    """Draw weights as torchvision does."""
    initialise_convolutions(network, generator)
    for module in network.classifier:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)
