"""Weather: snow, frost, fog, more light."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from neurodyn.stimuli.backgrounds import LUMINANCE
from neurodyn.stimuli.corrupt_filters import Image, smear, zoom_matrix
from neurodyn.stimuli.corrupt_noise import normal

# colours and contrasts of the stand-in for photographs of frost: from cold blue to almost white
FROSTS = (
    ((0.31, 0.58, 0.65), 0.08),
    ((0.79, 0.81, 0.84), 0.09),
    ((0.76, 0.80, 0.85), 0.09),
    ((0.54, 0.60, 0.65), 0.12),
    ((0.44, 0.48, 0.53), 0.17),
    ((0.28, 0.37, 0.41), 0.16),
)
FROST_SIZE = 320
QUARTER = np.float32(0.25)


def brightness(image: Image, more: float, rng: np.random.Generator) -> Image:
    """Raise the largest of red, green and blue, keeping hue and saturation."""
    value = image.amax(0)
    brighter = (value + more).clamp_(max=1)
    return torch.where(value > 0, image * (brighter / value), brighter)


def fog(image: Image, c: tuple[float, float], rng: np.random.Generator) -> Image:
    """Add a cloud and scale down to the largest value of the image."""
    density, decay = c
    height, width = image.shape[-2:]
    largest = float(image.max())
    cloud = plasma(1 << (max(height, width, 2) - 1).bit_length(), decay, rng)
    dimmed = largest / (largest + density)
    added = torch.from_numpy(cloud[:height, :width] * np.float32(density * dimmed))
    return torch.add(added, image, alpha=dimmed)


def plasma(size: int, decay: float, rng: np.random.Generator) -> Float[np.ndarray, "y x"]:
    """Return a cloud from 0 to 1 by midpoint displacement; its last row and column are its first.

    Of the points of a grid, first the middles of the squares and then those of the edges are the
    means of their four neighbours plus a number from a uniform distribution, which becomes smaller
    by the decay squared whenever the grid becomes finer (Fournier, Fussell & Carpenter 1982).
    """
    drawn = rng.bit_generator.random_raw(size * size // 2).view(np.int32).astype(np.float32)
    cloud = np.zeros((2, 2), np.float32)
    n, reach = 1, 4 * 2.0**-31  # of sums of four neighbours
    while n < size:
        u = drawn[n * n : 4 * n * n].reshape(3, n, n)
        u *= np.float32(reach)
        pairs, beside = cloud[:-1] + cloud[1:], cloud[:-1, :-1] + cloud[:-1, 1:]
        middle = np.empty((n + 1, n + 1), np.float32)  # with those before the first
        inner = middle[1:, 1:]
        np.add(pairs[:, :-1], pairs[:, 1:], out=inner)
        inner += u[0]
        inner *= QUARTER
        middle[0], middle[:, 0] = middle[-1], middle[:, -1]
        finer = np.empty((2 * n + 1, 2 * n + 1), np.float32)
        finer[::2, ::2], finer[1::2, 1::2] = cloud, inner
        for edge, corners, before, found in (
            (u[1], beside, middle[:-1, 1:], finer[:-1:2, 1::2]),
            (u[2], pairs[:, :-1], middle[1:, :-1], finer[1::2, :-1:2]),
        ):
            edge += corners
            edge += before
            edge += inner
            np.multiply(edge, QUARTER, out=found)
        finer[-1, 1::2], finer[1::2, -1] = finer[0, 1::2], finer[1::2, 0]
        cloud, n, reach = finer, 2 * n, reach / decay**2
    low, high = cloud.min(), cloud.max()
    cloud -= low
    cloud *= 1 / (high - low)
    return cloud


def snow(image: Image, c: tuple[float, ...], rng: np.random.Generator) -> Image:
    """Whiten the image and let flakes fall, in two directions."""
    mean, deviation, zoom, threshold, radius, sigma, share = c
    height, width = image.shape[-2:]
    flakes = normal(rng, (1, height, width)).mul_(deviation).add_(mean)
    flakes = zoom_matrix(height, zoom, False).along_y(flakes)
    flakes = zoom_matrix(width, zoom, False).along_x(flakes)
    flakes = F.threshold(flakes, threshold - 1e-7, 0.0).clamp_(max=1)
    flakes = smear(flakes, int(radius), sigma, rng.uniform(-135, -45))
    flakes = flakes[:, :height, :width].mul(255).round_().div_(255)
    white = (luminance(image) * 1.5 + 0.5).expand_as(image)
    whiter = torch.maximum(image, white).mul_(1 - share).add_(image, alpha=share)
    return whiter.add_(flakes).add_(flakes.rot90(2, (-2, -1)))


def luminance(image: Image) -> Float[Tensor, "1 y x"]:
    """Return the grey of red, green and blue."""
    if len(image) == 1:
        return image
    red, green, blue = LUMINANCE
    return (red * image[0] + green * image[1]).add_(image[2], alpha=blue)[None]


def frost(
    image: Image, c: tuple[float, float], rng: np.random.Generator, pictures: list[Image]
) -> Image:
    """Lay a random part of a random picture of frost over the image."""
    kept, laid = c[:2]
    picture = pictures[int(rng.integers(len(pictures)))]
    height, width = image.shape[-2:]
    y = int(rng.integers(max(picture.shape[1] - height, 1)))
    x = int(rng.integers(max(picture.shape[2] - width, 1)))
    part = picture[:, y : y + height, x : x + width]
    if len(image) == 1:
        part = luminance(part)
    return (image * kept).add_(part, alpha=laid)


def fitted(pictures: Sequence[UInt8[Tensor, "3 y x"]], height: int, width: int,
           enlarged: float) -> list[Image]:  # fmt: skip
    """Return pictures of frost enlarged, at least until an image can be cut from anywhere."""
    found = []
    for picture in pictures:
        y, x = picture.shape[-2:]
        scale = max(enlarged, 1.1 * height / y, 1.1 * width / x)
        size = (math.ceil(y * scale), math.ceil(x * scale))
        mode = "bicubic" if scale > 1 else "bilinear"
        resized = F.interpolate(picture[None] / 255, size=size, mode=mode, align_corners=False)
        found.append(resized[0].clamp_(0, 1))
    return found


@lru_cache(maxsize=1)
def frost_pictures() -> list[UInt8[Tensor, "3 y x"]]:
    """Return six textures that stand in for photographs of frost; they are not photographs.

    Needles and veins are ridges of noise whose amplitude falls with frequency; colours, contrasts
    and the fall are near those of the photographs that ImageNet-C was made with.
    """
    rng = np.random.default_rng([*b"frost"])
    falling = np.hypot(np.fft.fftfreq(FROST_SIZE)[:, None], np.fft.rfftfreq(FROST_SIZE))
    falling[0, 0] = np.inf
    found = []
    for colour, contrast in FROSTS:
        white = rng.standard_normal((3, FROST_SIZE, FROST_SIZE))
        smooth, rough, fine = np.fft.irfft2(
            np.fft.rfft2(white) / falling ** np.array([1.6, 1.2, 0.6])[:, None, None],
            s=(FROST_SIZE, FROST_SIZE),
        )
        veins = [-np.log(0.05 + np.abs(n / n.std())) for n in (smooth, rough)]
        parts = (0.6 * smooth / smooth.std(), veins[0], veins[1], fine / fine.std())
        mixed = sum(part - part.mean() for part in parts)
        mixed *= contrast / mixed.std()
        pixels = np.array(colour)[:, None, None] + mixed
        found.append(torch.from_numpy(np.rint(255 * pixels.clip(0, 1)).astype(np.uint8)))
    return found
