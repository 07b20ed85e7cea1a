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
    return cloud[:height, :width].mul(density).add(image).mul_(largest / (largest + density))


def plasma(size: int, decay: float, rng: np.random.Generator) -> Float[Tensor, "y x"]:
    """Return a cloud from 0 to 1 that continues across its borders, by midpoint displacement.

    Of the points of a grid, first the middles of the squares and then those of the edges are the
    means of their four neighbours plus a number from a uniform distribution, which becomes smaller
    by the decay squared whenever the grid becomes finer (Fournier, Fussell & Carpenter 1982).
    """
    cloud = torch.zeros(size, size)
    u = torch.from_numpy(rng.random(size * size - 1, dtype=np.float32)).mul_(2).sub_(1)
    step, reach = size, 1.0
    while step >= 2:
        half, n = step // 2, size // step
        drawn, u = u[: 3 * n * n], u[3 * n * n :]
        middle, edge, side = drawn.mul_(reach).view(3, n, n)
        corner = cloud[::step, ::step]
        pairs = corner + corner.roll(-1, 0)
        middle.add_(pairs + pairs.roll(-1, 1), alpha=0.25)
        edge.add_(middle + middle.roll(1, 0) + corner + corner.roll(-1, 1), alpha=0.25)
        side.add_(middle + middle.roll(1, 1) + pairs, alpha=0.25)
        cloud[half::step, half::step] = middle
        cloud[::step, half::step] = edge
        cloud[half::step, ::step] = side
        step, reach = half, reach / decay**2
    low, high = cloud.aminmax()
    return cloud.sub_(low).div_(high - low)


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
