"""What lies behind the objects of a scene: 1/f noise, or crops of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from neurodyn.stimuli.cifar import BATCHES, fetch, missing, read_batch

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images that backgrounds are cut from, and what they are called in the config of scenes.

    Parameters
    ----------
    images : Tensor or sequence of Tensor
        As for the argument `background` of `multi_digits`, which takes a `Pictures` as well.
    name : str
        What the images are and which part of them.

    Examples
    --------
    >>> Pictures(torch.zeros(5, 3, 40, 40), name="black squares")
    Pictures(black squares: 5 images)
    """

    images: Sequence[Tensor] | Tensor
    name: str

    def __post_init__(self) -> None:
        """Check the name; `check_background` checks the images."""
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must say what the images are, got {self.name!r}")

    def __repr__(self) -> str:
        return f"Pictures({self.name}: {len(self.images)} images)"


def one_over_f(rng: np.random.Generator, n: int, size: int) -> Float[Tensor, "sample 1 y x"]:
    r"""Return noise whose amplitude falls as 1/f with the spatial frequency f.

    .. math:: x = F^{-1}\left[ \hat z(f_y, f_x) / \sqrt{f_y^2 + f_x^2} \right], \qquad \hat x(0) = 0

    with z white and Gaussian, as in natural images (Field 1987, J. Opt. Soc. Am. A 4, 2379-2394);
    then each image is stretched to the range 0 to 1.
    """
    white = torch.from_numpy(rng.standard_normal((n, 1, size, size), dtype=np.float32))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = np.inf
    falling = torch.from_numpy(1 / frequency).float()
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * falling, s=(size, size))
    low, high = noise.amin((2, 3), keepdim=True), noise.amax((2, 3), keepdim=True)
    return (noise - low) / (high - low)


def crops(
    rng: np.random.Generator, images: Sequence[Tensor] | Tensor, n: int, size: int
) -> Float[Tensor, "sample channel y x"]:
    """Return random windows of random images, with their own pixels, not resized."""
    chosen = rng.integers(len(images), size=n)
    u = rng.random((n, 2))
    windows = []
    for i, (v, w) in zip(chosen.tolist(), u.tolist(), strict=True):
        image = images[i]
        y, x = int(v * (image.shape[1] - size + 1)), int(w * (image.shape[2] - size + 1))
        windows.append(image[:, y : y + size, x : x + size])
    found = torch.stack(windows)
    if found.dtype == torch.uint8:
        return found.float() / 255
    if not 0 <= found.min() <= found.max() <= 1:
        raise ValueError(
            "backgrounds of floating point must lie from 0 to 1, got "
            f"{float(found.min())} to {float(found.max())}; divide by 255, or give uint8"
        )
    return found.float()


def check_background(background: Any, size: int) -> None:
    """Refuse what no background can be cut from."""
    if isinstance(background, str) and background in ("none", "1/f"):
        return
    background = background.images if isinstance(background, Pictures) else background
    stack = isinstance(background, Tensor) and background.ndim == 4
    listed = isinstance(background, Sequence) and all(isinstance(b, Tensor) for b in background)
    images = [background[0]] if stack and len(background) else background if listed else []
    if not len(images):
        shown = tuple(background.shape) if isinstance(background, Tensor) else repr(background)
        raise ValueError(
            "background must be 'none', '1/f', a tensor (image, channel, y, x) or a list of "
            f"tensors (channel, y, x), got {shown}; read_images and read_cifar read such from disk"
        )
    channels = {tuple(image.shape[:-2]) for image in images}
    if len(channels) > 1 or len(next(iter(channels))) != 1:
        raise ValueError(
            f"backgrounds must all be (channel, y, x) with one number of channels, got {channels}"
        )
    kinds = {image.dtype for image in images}
    if len(kinds) > 1 or not (kinds <= {torch.uint8} or images[0].is_floating_point()):
        raise ValueError(
            f"backgrounds must all be uint8 (0 to 255) or all floating point (0 to 1), got {kinds}"
        )
    smallest = min(min(image.shape[-2:]) for image in images)
    if smallest < size:
        raise ValueError(
            f"backgrounds must be at least {size} pixels high and wide (size={size}), the "
            f"smallest has {smallest}; leave it out or give a smaller size"
        )


def read_images(folder: str | Path, colour: bool = False) -> list[UInt8[Tensor, "channel y x"]]:
    """Read all pictures of a folder, in the order of their names, as backgrounds.

    Parameters
    ----------
    folder : path
        With .png, .jpg, .tif, .bmp or .webp files; folders within it are not searched.
    colour : bool
        Three channels if true, else one: the luminance.

    Returns
    -------
    list of Tensor
        uint8, each of shape (1 or 3, height, width), for the argument `background` of
        `multi_digits`.

    Examples
    --------
    >>> natural = read_images("photographs")  # doctest: +SKIP
    """
    from matplotlib.image import imread

    paths = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in PICTURES)
    if not paths:
        raise ValueError(f"no picture in {folder}: none of its files ends in {', '.join(PICTURES)}")
    found = []
    for path in paths:
        pixels = np.asarray(imread(path))
        if pixels.dtype != np.uint8:  # matplotlib reads PNG as 0 to 1
            top = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
            pixels = np.rint(255.0 / top * pixels).astype(np.uint8)
        if pixels.ndim == 2 or pixels.shape[2] < 3:
            pixels = pixels.reshape(*pixels.shape[:2], -1)[..., :1].repeat(3, axis=2)
        found.append(as_background(pixels[..., :3], colour))
    return found


def read_cifar(
    folder: str | Path,
    split: Literal["train", "test"] = "train",
    *,
    colour: bool = True,
    download: bool = False,
) -> UInt8[Tensor, "image channel y x"]:
    """Read the images of CIFAR-10 from its Python batches on disk.

    Parameters
    ----------
    folder : path
        "cifar-10-batches-py", with the files data_batch_1 to data_batch_5 and test_batch.
    split : {"train", "test"}
        50,000 or 10,000 images.
    colour : bool
        Three channels if true, else one: the luminance.
    download : bool
        Whether to fetch the batches (170 MB) from their makers' site and put them into the
        folder, where any is missing. If false, nothing is ever fetched.

    Returns
    -------
    Tensor
        uint8, shape (image, 1 or 3, 32, 32), for the argument `background` of `multi_digits`.

    Raises
    ------
    FileNotFoundError
        A batch of the split is missing, and `download` is false.
    ConnectionError
        The batches cannot be fetched, as without a network.
    ValueError
        What was fetched is not the published archive; nothing of it is kept.

    References
    ----------
    Krizhevsky (2009), Learning multiple layers of features from tiny images, University of
    Toronto. The images state no licence of their own.

    Examples
    --------
    >>> cifar = read_cifar("cifar-10-batches-py", split="test")  # doctest: +SKIP
    """
    if split not in BATCHES:
        raise ValueError(f"split {split!r} is not one of 'train', 'test'")
    if missing(folder, split) and download:
        fetch(Path(folder).resolve())
    if lacking := missing(folder, split):
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(lacking)}: give the unpacked folder cifar-10-batches-py, "
            "or download=True to fetch it"
        )
    batches = [read_batch(Path(folder, name)) for name in BATCHES[split]]
    return torch.cat([as_background(pixels, colour) for pixels in batches])


def as_background(
    pixels: UInt8[np.ndarray, "*image y x 3"], colour: bool
) -> UInt8[Tensor, "*image channel y x"]:
    """Return red, green and blue with their axis before y and x, or the luminance alone."""
    if not colour:
        pixels = np.rint(pixels @ np.array(LUMINANCE))[..., None].astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, -3)))
