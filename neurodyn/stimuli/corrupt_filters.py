"""Linear filters that corruptions are made of, each along one axis, as banded matrices."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 16  # outputs computed by one small matrix product

Image = Float[Tensor, "channel y x"]
Border = Literal["nearest", "reflect"]


@dataclass(frozen=True, eq=False)
class Banded:
    """A matrix whose rows each reach a few neighbouring inputs: what a filter is along an axis.

    Parameters
    ----------
    size : int
        Number of outputs.
    blocks : tuple of (first, last, low, high, array)
        The outputs from `first` up to `last` come from the inputs from `low` up to `high`, by this
        (input, output) part of the matrix.

    Notes
    -----
    NumPy's products of matrices this small take half the time of torch's.
    """

    size: int
    blocks: tuple[tuple[int, int, int, int, Float[np.ndarray, "input output"]], ...]

    def along_x(self, image: Image) -> Image:
        """Return the image filtered along x."""
        source, found = image.numpy(), np.empty((*image.shape[:-1], self.size), np.float32)
        for first, last, low, high, part in self.blocks:
            np.matmul(source[..., low:high], part, out=found[..., first:last])
        return torch.from_numpy(found)

    def along_y(self, image: Image) -> Image:
        """Return the image filtered along y."""
        source = image.numpy()
        found = np.empty((len(source), self.size, source.shape[-1]), np.float32)
        for first, last, low, high, part in self.blocks:
            np.matmul(part.T, source[:, low:high], out=found[:, first:last])
        return torch.from_numpy(found)


def banded(matrix: Float[np.ndarray, "output input"]) -> Banded:
    """Cut a matrix into blocks of rows, each with the inputs that it needs."""
    blocks = []
    for first in range(0, len(matrix), BLOCK):
        rows = matrix[first : first + BLOCK]
        used = np.flatnonzero(rows.any(0))
        low, high = int(used[0]), int(used[-1]) + 1
        part = np.ascontiguousarray(rows[:, low:high].T, np.float32)
        blocks.append((first, first + len(rows), low, high, part))
    return Banded(len(matrix), tuple(blocks))


def gaussian(image: Image, sigma: float | tuple[float, float], border: Border = "nearest",
             truncate: float = 4.0) -> Image:  # fmt: skip
    """Blur with a Gaussian of this standard deviation (y, x), cut off at so many of them."""
    along_y, along_x = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    image = gaussian_matrix(image.shape[-1], along_x, border, truncate).along_x(image)
    return gaussian_matrix(image.shape[-2], along_y, border, truncate).along_y(image)


@lru_cache(maxsize=64)
def gaussian_matrix(size: int, sigma: float, border: Border, truncate: float) -> Banded:
    """Return the Gaussian along an axis; what lies beyond the border is taken from within."""
    radius = int(truncate * sigma + 0.5)
    reach = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (reach / sigma) ** 2) if radius else np.ones(1)
    source = np.arange(size)[:, None] + reach
    if border == "nearest":
        source = source.clip(0, size - 1)
    else:  # d c b a | a b c d | d c b a
        source = source % (2 * size)
        source = np.minimum(source, 2 * size - 1 - source)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], source), weights / weights.sum())
    return banded(matrix)


@lru_cache(maxsize=256)
def zoom_matrix(size: int, zoom: float, cropped: bool) -> Banded:
    """Return the enlarging of the middle of an axis, linear between its first and last pixel.

    The result has `size` pixels if cropped at its end, else as many as there are.
    """
    kept = math.ceil(size / zoom)
    first = (size - kept) // 2
    enlarged = round(kept * zoom)
    place = np.arange(enlarged) * ((kept - 1) / max(enlarged - 1, 1))
    low = np.floor(place).astype(int).clip(0, max(kept - 2, 0))
    high = np.minimum(low + 1, kept - 1)
    matrix = np.zeros((enlarged, size))
    rows = np.arange(enlarged)
    np.add.at(matrix, (rows, first + low), 1 - (place - low))
    np.add.at(matrix, (rows, first + high), place - low)
    return banded(matrix[:size] if cropped else matrix)


def smear(image: Image, radius: int, sigma: float, angle: float) -> Image:
    r"""Blur as by motion: a mean along a line that starts at each pixel.

    .. math:: x'_p = \sum_{i=0}^{2 r} w_i\, x_{p + \lceil i u - 1/2 \rceil},
              \qquad w_i \propto e^{-i^2 / 2 \sigma^2}

    with u = (sin, cos) of the angle, in degrees; beyond the border the last pixel goes on.
    """
    i = np.arange(2 * radius + 1)
    weights = np.exp(-(i**2) / (2 * sigma**2))
    weights /= weights.sum()
    dy, dx = (np.ceil(i * f(np.deg2rad(angle)) - 0.5).astype(int) for f in (np.sin, np.cos))
    top, left = max(0, -int(dy.min())), max(0, -int(dx.min()))
    margin = (left, max(0, int(dx.max())), top, max(0, int(dy.max())))
    padded = F.pad(image[None], margin, mode="replicate")[0]
    height, width = image.shape[-2:]
    shares: dict[tuple[int, int], float] = {}
    for weight, y, x in zip(weights.tolist(), (top + dy).tolist(), (left + dx).tolist(),
                            strict=True):  # fmt: skip
        shares[y, x] = shares.get((y, x), 0.0) + weight
    found = image * shares.pop((top, left))  # the line starts at the pixel itself
    for (y, x), share in shares.items():
        found.add_(padded[:, y : y + height, x : x + width], alpha=share)
    return found


def mirrored(image: Image, margin: int) -> Image:
    """Return the image with margins, mirrored about its first and last pixels."""
    height, width = image.shape[-2:]
    if min(height, width) > margin:
        return F.pad(image[None], (margin,) * 4, mode="reflect")[0]
    return image[:, mirror(height, margin)][:, :, mirror(width, margin)]


def mirror(size: int, margin: int) -> Int[np.ndarray, " pixel"]:
    """Return where pixels come from when an axis is mirrored about its first and last pixel."""
    period = max(2 * (size - 1), 1)
    place = np.arange(-margin, size + margin) % period
    return np.minimum(place, period - place) if size > 1 else np.zeros_like(place)
