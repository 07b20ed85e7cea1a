"""What cameras and files do to images: contrast, elastic distortion, pixels, JPEG, saturation."""

from functools import lru_cache
from io import BytesIO

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from jaxtyping import Float

from neurodyn.stimuli.corrupt_filters import Banded, Image, banded, gaussian


def contrast(image: Image, kept: float, rng: np.random.Generator) -> Image:
    """Move all values towards the mean of their channel."""
    mean = image.mean((1, 2), keepdim=True)
    return torch.lerp(mean, image, kept)


def saturate(image: Image, c: tuple[float, float], rng: np.random.Generator) -> Image:
    """Scale and raise the saturation, keeping hue and the largest of red, green and blue.

    Pixels without a colour count as red; images of one channel stay as they are.
    """
    if len(image) == 1:
        return image
    times, plus = c
    value = image.amax(0)
    spread = value - image.amin(0)
    # of a grey pixel there is nothing to scale: green and blue move away from its value
    away = torch.where(spread > 0, (value - image) / spread, RED)
    saturation = (spread / value.clamp(min=1e-9)).mul_(times).add_(plus).clamp_(0, 1)
    return value - away.mul_(value * saturation)


RED = torch.tensor([0.0, 1.0, 1.0])[:, None, None]


def pixelate(image: Image, c: tuple[float, str], rng: np.random.Generator) -> Image:
    """Make the image smaller by means over boxes, and larger again by repeating pixels.

    Grey values are whole at first, after means along x and after those along y, as in Pillow (but
    for images more than twice as tall as wide, where it takes the axes in the other order).
    """
    fewer, more = zip(*(boxes(size, *c) for size in image.shape[-2:]), strict=True)
    small = rounded(fewer[1].along_x(image.mul(255).round_()))
    small = rounded(fewer[0].along_y(small)).div_(255)
    return more[0].along_y(more[1].along_x(small))


def rounded(image: Image) -> Image:
    """Round to whole numbers, halves (and what is a little less) up."""
    return image.add_(0.5 + 1e-3).floor_()


@lru_cache(maxsize=32)
def boxes(size: int, kept: float, back: str) -> tuple[Banded, Banded]:
    """Return how an axis gets a share of its pixels, and as many as before."""
    few = max(int(size * kept), 1)
    if back == "BOX":
        return banded(box_means(size, few)), banded(box_means(few, size))
    steps = np.full(size, few / size)
    steps[0] /= 2
    return banded(box_means(size, few)), banded(np.eye(few)[steps.cumsum().astype(int)])


def box_means(size: int, found: int) -> Float[np.ndarray, "found size"]:
    """Return the means over boxes of equal widths, of at least one pixel.

    A pixel counts if its middle is in the box. Where it lies on the border the rounding errors
    decide: those of Pillow, whose operations these are.
    """
    scale = size / found
    wide = max(scale, 1)
    middle = (np.arange(found)[:, None] + 0.5) * scale
    pixel = np.arange(size)
    near = (pixel >= (middle - wide / 2 + 0.5).astype(int)) & (
        pixel < (middle + wide / 2 + 0.5).astype(int)
    )
    away = (pixel - middle + 0.5) * (1 / wide)
    inside = (near & (away > -0.5) & (away <= 0.5)).astype(float)
    return np.asarray(inside / inside.sum(1, keepdims=True))


def jpeg_compression(image: Image, quality: int, rng: np.random.Generator) -> Image:
    """Write the image as JPEG of this quality, and read it."""
    file = BytesIO()
    as_picture(image).save(file, "JPEG", quality=quality)
    with PIL.Image.open(file) as written:
        return from_picture(written)


def as_picture(image: Image) -> PIL.Image.Image:
    """Return an image rounded to 256 grey values, for Pillow."""
    height, width = image.shape[-2:]
    levels = image.mul(255).round_()
    if len(image) == 1:
        return PIL.Image.fromarray(levels[0].numpy().astype(np.uint8))
    # a pixel's three bytes as one whole number, which float32 holds exactly
    pixels = levels[0].add(levels[1], alpha=1 << 8).add_(levels[2], alpha=1 << 16).numpy()
    return PIL.Image.frombuffer("RGB", (width, height), pixels.astype("<i4"), "raw", "RGBX", 0, 1)


def from_picture(picture: PIL.Image.Image) -> Image:
    """Return a picture of Pillow as an image."""
    return torch.from_numpy(np.stack([np.asarray(band) for band in picture.split()])) / 255


def elastic_transform(
    image: Image, c: tuple[float, float, float, float], rng: np.random.Generator
) -> Image:
    """Move the corners of a triangle at random (if at all), then every pixel, smoothly."""
    height, width = image.shape[-2:]
    corners, strength, sigma, largest = c
    if corners:
        # the constants of CIFAR-C are shares of the side, the strength too
        image = affine(image, corners, rng)
        strength *= min(height, width)
        sigmas = (sigma * min(height, width),) * 2
    else:
        sigmas, largest = (sigma * height, sigma * width), largest * height
    if not strength:
        return image
    u = torch.from_numpy(rng.random((2, height, width), dtype=np.float32))
    moved = gaussian(u.mul_(2 * largest).sub_(largest), sigmas, "reflect", 3.0) * strength
    y = moved[1] + torch.arange(height)[:, None]
    x = moved[0] + torch.arange(width)
    place = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(image[None], place[None], padding_mode="reflection",
                         align_corners=False)[0]  # fmt: skip


def affine(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Map three corners of a square in the middle to places nearby, and the image with them."""
    height, width = image.shape[-2:]
    side = min(height, width)
    middle, third = np.array([height // 2, width // 2], float), side // 3
    before = middle + third * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + rng.uniform(-share * side, share * side, before.shape)
    ones = np.ones((3, 1))
    back = np.linalg.solve(np.hstack([after, ones]), before).T  # (x, y, 1) to where it was
    y, x = np.mgrid[:height, :width]
    was_x, was_y = np.tensordot(back, np.stack([x, y, np.ones_like(x)]), 1)
    spans = np.maximum(np.array([width, height]) - 1, 1)
    place = torch.from_numpy(2 * np.stack([was_x, was_y], -1) / spans - 1).float()
    return F.grid_sample(image[None], place[None], padding_mode="reflection",
                         align_corners=True)[0]  # fmt: skip
