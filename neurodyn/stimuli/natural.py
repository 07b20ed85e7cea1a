"""Natural images behind objects: the best that a machine has, with its name."""

import math
from pathlib import Path
from typing import Literal

from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from neurodyn.stimuli.backgrounds import Pictures, read_cifar
from neurodyn.stimuli.cifar import missing
from neurodyn.stimuli.photographs import photographs
from neurodyn.stimuli.recipe import whole

KINDS = ("auto", "cifar", "photographs", "1/f")
HEIGHT = 4  # of a photograph, in heights of a scene


def backgrounds(
    kind: Literal["auto", "cifar", "photographs", "1/f"] = "auto",
    split: Literal["train", "test"] = "train",
    folder: str | Path | None = None,
    size: int = 32,
    *,
    colour: bool = False,
    download: bool = False,
) -> tuple[Pictures | Literal["1/f"], str]:
    """Return what to put behind objects, and what to call it.

    Nothing is downloaded unless asked for. The name belongs into the attributes of every result, so
    that nobody takes noise or photographs for CIFAR-10.

    Parameters
    ----------
    kind : {"auto", "cifar", "photographs", "1/f"}
        The images of CIFAR-10; the six of `photographs`; noise as `multi_digits` makes it; or the
        first of these that can be had: CIFAR-10 where a folder is given, which must hold all of it,
        else photographs where scikit-image is installed, else noise.
    split : {"train", "test"}
        CIFAR-10 has a split of its own. Of each photograph the left half is to train with, the
        right half to test with: no pixel is in both, but what they show is alike. Noise is split
        by `multi_digits`, as the objects are.
    folder : path, optional
        "cifar-10-batches-py"; only "cifar" and "auto" look at it.
    size : int
        Of the scenes, in pixels. Photographs are shrunk to four times that height, so that a crop
        shows a part of a scene and not of a surface. The images of CIFAR-10 stay 32 x 32.
    colour : bool
        Three channels if true, else one. Noise has one.
    download : bool
        Fetch CIFAR-10 into the folder where it is missing (170 MB).

    Returns
    -------
    background : Pictures or "1/f"
        For the argument `background` of `multi_digits`.
    name : str
        What it is: "CIFAR-10, train", "photographs of scikit-image, left halves" or "1/f noise".

    Raises
    ------
    ValueError
        "1/f" in colour, also where nothing but noise is left to "auto"; "cifar" with no folder;
        a download of anything else.
    FileNotFoundError, ImportError
        What was asked for by name is not there: see `read_cifar` and `photographs`.

    Notes
    -----
    Measured on 32 x 32 pixels, the mean standard deviation of luminance is .21 in 20 images of
    CIFAR-10, .14 in the photographs as they are here (.10 in their full size) and .16 in noise; the
    power falls with the spatial frequency to the power of -3.3, -3.3 (-2.9) and -2.0.

    Examples
    --------
    >>> background, name = backgrounds("1/f", split="test")
    >>> background, name
    ('1/f', '1/f noise')
    """
    for label, value, allowed in (("kind", kind, KINDS), ("split", split, ("train", "test"))):
        if value not in allowed:
            raise ValueError(f"{label} {value!r} is not one of {', '.join(map(repr, allowed))}")
    whole("size", size, 8)
    if download and (folder is None or kind not in ("cifar", "auto")):
        raise ValueError(
            "download fetches CIFAR-10: give the folder to put it in, and 'cifar' or 'auto'"
        )
    if kind == "cifar" and folder is None:
        raise ValueError("kind 'cifar' needs the folder cifar-10-batches-py: see read_cifar")
    if folder is not None and kind in ("cifar", "auto"):
        parts: tuple[Literal["train"], Literal["test"]] = ("train", "test")
        for part in parts:  # not one split of CIFAR-10 and another of noise
            if missing(folder, part):
                read_cifar(folder, part, download=download)  # or it says what is missing
        name = f"CIFAR-10, {split}"
        return Pictures(read_cifar(folder, split, colour=colour), name), name
    if kind in ("photographs", "auto"):
        try:
            pictures = photographs(colour)
        except ImportError:
            if kind == "photographs":
                raise
        else:
            name = f"photographs of scikit-image, {'left' if split == 'train' else 'right'} halves"
            return Pictures([half(picture, split, size) for picture in pictures], name), name
    if colour:
        raise ValueError(
            "1/f noise is grey: give colour=False, the folder of CIFAR-10, or install photographs "
            '(pip install "neurodyn[photographs]")'
        )
    return "1/f", "1/f noise"


def half(
    picture: UInt8[Tensor, "channel y x"], split: str, size: int
) -> UInt8[Tensor, "channel y x"]:
    """Return the left (train) or right (test) half, shrunk to four scenes' height if higher."""
    height, middle = picture.shape[1], picture.shape[2] // 2
    part = picture[:, :, :middle] if split == "train" else picture[:, :, middle:]
    if height <= HEIGHT * size:
        return part
    shape = (HEIGHT * size, math.ceil(part.shape[2] * HEIGHT * size / height))
    return interpolate(part[None].float(), shape, mode="area")[0].round().byte()
