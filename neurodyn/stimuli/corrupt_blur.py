"""Blur: out of focus, behind frosted glass, by motion, by zooming in, and Gaussian."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.fft import next_fast_len
from torch import Tensor

from neurodyn.stimuli.corrupt_filters import Image, gaussian, mirror, mirrored, smear, zoom_matrix
from neurodyn.stimuli.corrupt_noise import draws


def gaussian_blur(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Blur with a Gaussian."""
    return gaussian(image, sigma)


def motion_blur(image: Image, c: tuple[int, float], rng: np.random.Generator) -> Image:
    """Blur along a line at most 45 degrees from the horizontal."""
    return smear(image, *c, rng.uniform(-45, 45))


def zoom_blur(image: Image, zooms: tuple[float, ...], rng: np.random.Generator) -> Image:
    """Take the mean of the image and all its enlargements."""
    height, width = image.shape[-2:]
    total = image.clone()
    for zoom in zooms:
        closer = zoom_matrix(height, zoom, True).along_y(image)
        total += zoom_matrix(width, zoom, True).along_x(closer)
    return total / (len(zooms) + 1)


def defocus_blur(image: Image, c: tuple[float, float], rng: np.random.Generator) -> Image:
    """Blur with a disk, its edge softened; the image is mirrored at its borders."""
    height, width = image.shape[-2:]
    sizes, margin, spectrum = disk_spectrum(height, width, *c)
    blurred = torch.fft.rfft2(mirrored(image, margin), s=sizes).mul_(spectrum)
    blurred = torch.fft.irfft2(blurred, s=sizes)
    return blurred[:, 2 * margin : 2 * margin + height, 2 * margin : 2 * margin + width]


@lru_cache(maxsize=16)
def disk_spectrum(
    height: int, width: int, radius: float, softness: float
) -> tuple[tuple[int, int], int, Tensor]:
    """Return the size to pad an image to, its margins, and the spectrum of the disk."""
    kernel = disk(radius, softness)
    margin = len(kernel) // 2
    sizes = tuple(next_fast_len(n + 2 * margin, real=True) for n in (height, width))
    return sizes, margin, torch.fft.rfft2(torch.from_numpy(kernel).float(), s=sizes)


def disk(radius: float, softness: float) -> Float[np.ndarray, "y x"]:
    """Return a disk of pixels, blurred by a Gaussian of 3 or 5 pixels."""
    reach, beyond = (8, 1) if radius <= 8 else (int(radius), 2)
    line = np.arange(-reach, reach + 1)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).astype(float)
    step = np.arange(-beyond, beyond + 1)
    weights = np.exp(-(step**2) / (2 * softness**2))
    weights /= weights.sum()
    soft = np.zeros((len(line), len(line)))
    source = mirror(len(line), beyond)
    for k, weight in enumerate(weights):
        soft += weight * inside[source[k : k + len(line)]]
    found = sum(w * soft[:, source[k : k + len(line)]] for k, w in enumerate(weights))
    return np.asarray(found / inside.sum())


def glass_blur(image: Image, c: tuple[float, int, int], rng: np.random.Generator) -> Image:
    """Blur, let pixels take the place of their neighbours, blur again."""
    sigma, reach, rounds = c
    height, width = image.shape[-2:]
    seen = gaussian(image, sigma).mul_(255).floor_().div_(255).flatten(1)
    source = scattered(neighbours(rng, height, width, reach), reach)
    for _ in range(rounds - 1):
        source = source.take(scattered(neighbours(rng, height, width, reach), reach))
    moved = seen.index_select(1, torch.from_numpy(source)).view_as(image)
    return gaussian(moved, sigma)


def neighbours(
    rng: np.random.Generator, height: int, width: int, reach: int
) -> UInt8[np.ndarray, "y x"]:
    """Draw which neighbour each pixel takes the value of: a number from 0 up to 4 reach ** 2."""
    drawn = draws(rng, (height, width)).astype(np.uint32)
    drawn *= np.uint32(4 * reach**2)
    return (drawn >> 16).astype(np.uint8)


def scattered(drawn: UInt8[np.ndarray, "y x"], reach: int) -> Int[np.ndarray, " pixel"]:
    """Return where the pixels come from after each took a neighbour's value, one after the other.

    The last pixel goes first, those near the borders not at all. A neighbour that already went
    hands on what it took: the origin of a pixel is at the end of a chain of neighbours.
    """
    height, width = drawn.shape
    drawn = drawn.copy()
    offsets = np.arange(-reach, reach)
    moves = (offsets[:, None] * width + offsets).ravel()
    stays = 2 * reach * reach + reach  # neighbours of higher numbers went before
    for border in (drawn[: reach + 1], drawn[height - reach + 1 :],
                   drawn[:, : reach + 1], drawn[:, width - reach + 1 :]):  # fmt: skip
        border[:] = stays
    which = drawn.ravel()
    target = moves.take(which)
    target += np.arange(len(target))
    chained = which > stays
    later = np.flatnonzero(chained)
    origin, at = target.copy(), target.take(later)
    while len(later):
        on = np.flatnonzero(chained.take(at))
        at = target.take(at)
        origin[later] = at
        later, at = later.take(on), at.take(on)
    return origin
