"""Blur: out of focus, behind frosted glass, by motion, by zooming in, and Gaussian."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.fft import next_fast_len
from torch import Tensor

from neurodyn.stimuli.corrupt_filters import Image, gaussian, mirror, mirrored, smear, zoom_matrix


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
    source = scattered(height, width, reach, rng)
    for _ in range(rounds - 1):
        source = source.take(scattered(height, width, reach, rng))
    moved = seen.index_select(1, torch.from_numpy(source)).view_as(image)
    return gaussian(moved, sigma)


def scattered(
    height: int, width: int, reach: int, rng: np.random.Generator
) -> Int[np.ndarray, " pixel"]:
    """Return where the pixels come from after each took a neighbour's value, one after the other.

    The last pixel goes first. A neighbour that already went hands on what it took: the origin of a
    pixel is at the end of a chain of neighbours.
    """
    here, goes = goers(height, width, reach)
    offsets = np.arange(-reach, reach)
    moves = (offsets[:, None] * width + offsets).ravel()
    drawn = rng.integers(len(moves), size=here.shape, dtype=np.uint8)
    target = np.arange(height * width)
    inner = slice(reach + 1, height - reach + 1), slice(reach + 1, width - reach + 1)
    target.reshape(height, width)[inner] += moves.take(drawn)
    later = here.ravel().take(np.flatnonzero((moves > 0).take(drawn)))
    later = later[goes.take(target.take(later))]
    chained = np.zeros(len(target), bool)
    chained[later] = True
    origin, at = target.copy(), later
    while len(later):
        at = target.take(at)
        origin[later] = target.take(at)
        on = chained.take(at)
        later, at = later[on], at[on]
    return origin


@lru_cache(maxsize=8)
def goers(
    height: int, width: int, reach: int
) -> tuple[Int[np.ndarray, "y x"], Bool[np.ndarray, " pixel"]]:
    """Return which pixels take a neighbour's value: those far enough from the borders."""
    goes = np.zeros((height, width), bool)
    inner = slice(reach + 1, height - reach + 1), slice(reach + 1, width - reach + 1)
    goes[inner] = True
    return np.arange(height * width).reshape(height, width)[inner], goes.ravel()
