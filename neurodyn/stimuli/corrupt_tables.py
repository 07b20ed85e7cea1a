"""How strong each corruption is at its five severities, in ImageNet-C and in CIFAR-C."""

from numbers import Integral
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

Table = Literal["imagenet", "cifar"]

CORRUPTIONS = MappingProxyType(
    {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
        "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        "weather": ("snow", "frost", "fog", "brightness"),
        "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
        "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
    }
)


def zooms(*steps: tuple[float, float]) -> list[tuple[float, ...]]:
    """Return the factors from 1 up to each end, which is left out but for rounding."""
    return [tuple(np.arange(1, end, step).tolist()) for end, step in steps]


TABLES: dict[str, dict[str, list[Any]]] = {
    "imagenet": {
        "gaussian_noise": [0.08, 0.12, 0.18, 0.26, 0.38],  # standard deviation
        "shot_noise": [60, 25, 12, 5, 3],  # photons of a white pixel
        "impulse_noise": [0.03, 0.06, 0.09, 0.17, 0.27],  # share of values replaced
        "speckle_noise": [0.15, 0.2, 0.35, 0.45, 0.6],  # standard deviation, times the value
        "defocus_blur": [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],  # radius, its blur
        # standard deviation of the blur, reach, rounds
        "glass_blur": [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
        "motion_blur": [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],  # radius, sigma
        "zoom_blur": zooms((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "gaussian_blur": [1, 2, 3, 4, 6],  # standard deviation
        # mean and deviation of the flakes, their size, threshold, radius, sigma, share of the image
        "snow": [
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ],
        # weights of the image and of the frost, how much frost is enlarged
        "frost": [(1, 0.4, 1.1), (0.8, 0.6, 1.1), (0.7, 0.7, 1.1), (0.65, 0.7, 1.1),
                  (0.6, 0.75, 1.1)],
        "fog": [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],  # density, decay by octave
        "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
        # mean and deviation of the drops, their size, threshold, strength or blur; mud, not water
        "spatter": [
            (0.65, 0.3, 4, 0.69, 0.6, False),
            (0.65, 0.3, 3, 0.68, 0.6, False),
            (0.65, 0.3, 2, 0.68, 0.5, False),
            (0.65, 0.3, 1, 0.65, 1.5, True),
            (0.67, 0.4, 1, 0.65, 1.5, True),
        ],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        # corners' shift, strength, sigma, largest local shift: but the first as shares of the side
        "elastic_transform": [(0, 250 * a, 0.01, 0.005) for a in (0.05, 0.065, 0.085, 0.1, 0.12)],
        # pixels left, as a share of the side, and how they are enlarged: equal but for rounding
        "pixelate": [(kept, "NEAREST") for kept in (0.6, 0.5, 0.4, 0.3, 0.25)],
        "jpeg_compression": [25, 18, 15, 10, 7],  # quality
        "saturate": [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)],  # times, plus
    },
    "cifar": {
        "gaussian_noise": [0.04, 0.06, 0.08, 0.09, 0.1],
        "shot_noise": [500, 250, 100, 75, 50],
        "impulse_noise": [0.01, 0.02, 0.03, 0.05, 0.07],
        "speckle_noise": [0.06, 0.1, 0.12, 0.16, 0.2],
        "defocus_blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
        "glass_blur": [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
        "motion_blur": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
        "zoom_blur": zooms((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "gaussian_blur": [0.4, 0.6, 0.7, 0.8, 1],
        "snow": [
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ],
        "frost": [(1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2),
                  (0.75, 0.45, 0.2)],
        "fog": [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
        "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
        "spatter": [
            (0.62, 0.1, 0.7, 0.7, 0.5, False),
            (0.65, 0.1, 0.8, 0.7, 0.5, False),
            (0.65, 0.3, 1, 0.69, 0.5, False),
            (0.65, 0.1, 0.7, 0.69, 0.6, True),
            (0.65, 0.1, 0.5, 0.68, 0.6, True),
        ],
        "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
        "elastic_transform": [
            (0.08, 0, 0, 0),
            (0.07, 0.05, 0.2, 1),
            (0.06, 0.08, 0.06, 1),
            (0.05, 0.1, 0.04, 1),
            (0.03, 0.1, 0.03, 1),
        ],
        "pixelate": [(kept, "BOX") for kept in (0.95, 0.9, 0.85, 0.75, 0.65)],
        "jpeg_compression": [80, 65, 58, 50, 40],
        "saturate": [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)],
    },
}  # fmt: skip


def check_cell(kind: Any, severity: Any) -> None:
    """Refuse what is no kind of corruption or no severity."""
    allowed = [name for names in CORRUPTIONS.values() for name in names]
    if kind not in allowed:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(allowed)}")
    whole = isinstance(severity, Integral) and not isinstance(severity, bool)
    if not whole or severity not in (1, 2, 3, 4, 5):
        raise ValueError(
            f"severity must be 1, 2, 3, 4 or 5, a whole number (int), got {severity!r}"
        )
