"""Corruptions of images, of five severities, as in ImageNet-C and CIFAR-C."""

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from neurodyn.stimuli import corrupt_blur as blur
from neurodyn.stimuli import corrupt_digital as digital
from neurodyn.stimuli import corrupt_noise as noise
from neurodyn.stimuli import corrupt_weather as weather
from neurodyn.stimuli.corrupt_filters import Image
from neurodyn.stimuli.corrupt_spatter import spatter
from neurodyn.stimuli.corrupt_tables import CORRUPTIONS as CORRUPTIONS
from neurodyn.stimuli.corrupt_tables import TABLES, Table, check_cell

Rule = Callable[[Image, Any, np.random.Generator], Image]

RULES: dict[str, Rule] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "speckle_noise": noise.speckle_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "gaussian_blur": blur.gaussian_blur,
    "snow": weather.snow,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "saturate": digital.saturate,
    "spatter": spatter,
}  # and frost, which needs pictures


@torch.no_grad()
def corrupt(
    images: Float[Tensor, "sample channel y x"],
    kind: str,
    severity: int,
    *,
    seed: int = 0,
    first: int = 0,
    table: Table = "imagenet",
    frost: Sequence[UInt8[Tensor, "3 y x"]] | None = None,
) -> Float[Tensor, "sample channel y x"]:
    """Corrupt images as in ImageNet-C or CIFAR-C.

    =======  ======================================================================
    group    kinds
    =======  ======================================================================
    noise    gaussian_noise, shot_noise, impulse_noise
    blur     defocus_blur, glass_blur, motion_blur, zoom_blur
    weather  snow, frost, fog, brightness
    digital  contrast, elastic_transform, pixelate, jpeg_compression
    extra    speckle_noise, gaussian_blur, spatter, saturate
    =======  ======================================================================

    `CORRUPTIONS` holds the same. Computed on the CPU in float32, image by image, without gradients.

    Parameters
    ----------
    images : Tensor
        Shape (sample, channel, y, x) with 1 or 3 channels, any size, floating point, black at 0
        and white at 1. Of a grey image the corruption's luminance is taken.
    kind : str
        One of the table above.
    severity : int
        1 to 5.
    seed : int
        The random numbers of an image depend on the kind, the seed and the image's number alone:
        not on the severity, nor on how many images are given at once.
    first : int
        The number of the first image, where the images are one part of many.
    table : {"imagenet", "cifar"}
        Which severities: for photographs of about 224 pixels, or for 32 x 32 pixels (much milder).
        They are in pixels whatever the size, but for elastic_transform, whose are shares of it.
    frost : sequence of Tensor, optional
        Pictures to lay over the images for the kind "frost": uint8, (3, y, x), as
        ``read_images(folder, colour=True)`` gives them. By default six textures made by formula.

    Returns
    -------
    Tensor
        New images, clipped to 0 to 1; same shape, dtype and device.

    Raises
    ------
    ValueError
        An unknown kind, table or severity; values outside 0 to 1.
    TypeError
        Images that are no floating-point tensor (sample, 1 or 3, y, x).

    Notes
    -----
    Severities are those of the published scripts; so are the rules, written anew. With the table
    "imagenet" the results have the distribution of those of the Python package imagecorruptions
    (1.1.5 of its fork imagecorruptions-imaug), except:

    - that package cuts its results off to whole grey values below, which makes them darker by half
      a grey value on average; here they stay as computed.
    - *frost* is a stand-in unless pictures are given. The six photographs that ImageNet-C was made
      with state neither author nor licence, so they are not shipped: they come with
      imagecorruptions, in its folder ``frost``.
    - noise, and the neighbours that pixels behind glass take, are drawn with probabilities that
      are multiples of 2 ** -16.
    - shot_noise, pixelate and jpeg_compression round images to 256 grey values first, glass_blur
      in between.
    - drops of water (spatter 1 to 3) take exact distances from their edges, not OpenCV's estimate.
    - motion_blur and snow go on with the last pixel where motion leaves a very small image.

    Where that package differs from ImageNet-C itself: *elastic_transform* of ImageNet-C also has a
    random affine map, and other strengths, so errors on it compare with those of imagecorruptions
    and not with published ones of ImageNet-C. motion_blur (and that of snow) was done by
    ImageMagick there. ImageNet-C was stored as JPEG of quality 85; here nothing is compressed after
    the corruption. glass_blur is as published: pixels take their neighbours' values, they do not
    swap.

    References
    ----------
    Hendrycks & Dietterich (2019), Benchmarking neural network robustness to common corruptions and
    perturbations, ICLR, arXiv 1903.12261; severities from their code, make_imagenet_c.py and
    make_cifar_c.py. Michaelis et al. (2019), Benchmarking robustness in object detection, arXiv
    1907.07484: the package imagecorruptions.

    Examples
    --------
    >>> images = torch.rand(2, 3, 32, 32)
    >>> foggy = corrupt(images, "fog", 3, seed=1)
    >>> bool((corrupt(images[1:], "fog", 3, seed=1, first=1) == foggy[1:]).all())
    True
    """
    rule, c = chosen(kind, severity, table)
    check(images)
    for name, value in (("seed", seed), ("first", first)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
            raise ValueError(f"{name} must be a whole number from 0 up, got {value!r}")
    if frost is not None and kind != "frost":
        raise ValueError(f"pictures of frost are for the kind 'frost', not for {kind!r}")
    if rule is None:
        size = images.shape[-2], images.shape[-1]
        shown = weather.frost_pictures() if frost is None else checked_frost(frost)
        rule = partial(weather.frost, pictures=weather.fitted(shown, *size, c[2]))
    # NumPy asks the system for large pages, which are there four times sooner than torch's
    found = torch.from_numpy(np.empty(tuple(images.shape), np.float32))
    for i, image in enumerate(images.detach()):
        plain = image.to(device="cpu", dtype=torch.float32).contiguous()
        torch.clamp(rule(plain, c, stream(kind, seed, first + i)), 0, 1, out=found[i])
    return found.to(images)


def stream(kind: str, seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of one image."""
    key = np.random.SeedSequence([*kind.encode(), int(seed)], spawn_key=(int(number),))
    return np.random.Generator(np.random.SFC64(key))


def chosen(kind: str, severity: int, table: str) -> tuple[Rule | None, Any]:
    """Return the rule of a kind, None for frost, and its constants."""
    if table not in TABLES:
        raise ValueError(f"table {table!r} is not one of {', '.join(map(repr, TABLES))}")
    check_cell(kind, severity)
    return RULES.get(kind), TABLES[table][kind][severity - 1]


def check(images: Any) -> None:
    """Refuse what cannot be corrupted."""
    fits = isinstance(images, Tensor) and images.ndim == 4 and images.shape[1] in (1, 3)
    if not fits or not images.is_floating_point() or 0 in images.shape[2:]:
        got = (
            f"a tensor of {images.dtype}, shape {tuple(images.shape)}"
            if isinstance(images, Tensor)
            else type(images).__name__
        )
        raise TypeError(
            f"images must be a floating-point tensor (sample, 1 or 3 channels, y, x), got {got}; "
            "turn grey values from 0 to 255 into images.float() / 255"
        )
    low, high = map(float, images.detach().aminmax()) if len(images) else (0.0, 1.0)
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"images must lie from 0 to 1, got {low:.4g} to {high:.4g}; corrupt them before "
            "they are normalised"
        )


def checked_frost(pictures: Any) -> Sequence[Tensor]:
    """Return pictures of frost if they are ones."""
    if isinstance(pictures, Sequence) and pictures and all(
        isinstance(p, Tensor) and p.dtype == torch.uint8 and p.ndim == 3 and len(p) == 3
        and p.numel() > 0
        for p in pictures
    ):  # fmt: skip
        return pictures
    raise ValueError(
        "frost must be a list of uint8 tensors (3, y, x) of one pixel or more: "
        "read_images(folder, colour=True)"
    )
