"""What lies behind the objects of a scene: 1/f noise, or crops of images on the user's disk."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
ALLOWED = {  # all that a CIFAR batch needs to be unpickled
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct"},
    "numpy._core.multiarray": {"_reconstruct"},
    "_codecs": {"encode"},
}


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
        pixels = pixels[..., :3]
        if not colour:
            pixels = np.rint(pixels @ np.array(LUMINANCE))[..., None].astype(np.uint8)
        found.append(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))))
    return found


def read_cifar(
    folder: str | Path, split: Literal["train", "test"] = "train"
) -> UInt8[Tensor, "image 3 y x"]:
    """Read the images of CIFAR-10 from its Python batches on disk; nothing is downloaded.

    Parameters
    ----------
    folder : path
        "cifar-10-batches-py", with the files data_batch_1 to data_batch_5 and test_batch.
    split : {"train", "test"}
        50,000 or 10,000 images.

    Returns
    -------
    Tensor
        uint8, shape (image, 3, 32, 32), for the argument `background` of `multi_digits`;
        `.float().mean(1, keepdim=True) / 255` is grey.

    References
    ----------
    Krizhevsky (2009), Learning multiple layers of features from tiny images.

    Examples
    --------
    >>> cifar = read_cifar("cifar-10-batches-py", split="test")  # doctest: +SKIP
    """
    if split not in ("train", "test"):
        raise ValueError(f"split {split!r} is not one of 'train', 'test'")
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    missing = [name for name in names if not Path(folder, name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: give the unpacked folder cifar-10-batches-py"
        )
    batches = []
    for name in names:
        with open(Path(folder, name), "rb") as file:
            batches.append(np.asarray(Plain(file, encoding="bytes").load()[b"data"]))
    return torch.from_numpy(np.concatenate(batches).reshape(-1, 3, 32, 32))


class Plain(pickle.Unpickler):
    """Unpickles arrays and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a CIFAR batch may name; refuse the rest."""
        if name in ALLOWED.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR batch")
