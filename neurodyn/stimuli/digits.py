"""Ten thousand real handwritten digits, shipped with the package."""

from functools import cache
from importlib.resources import files
from numbers import Integral, Real
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from neurodyn.stimuli.noise import gaussian, salt_pepper

TRAIN = 8_000
NOISE = {"gaussian": gaussian, "salt_pepper": salt_pepper}


def digits(
    split: Literal["train", "test"] = "train",
    n: int | None = None,
    noise: float = 0.0,
    noise_type: Literal["gaussian", "salt_pepper"] = "gaussian",
    seed: int = 0,
    size: int = 32,
) -> tuple[Float[Tensor, "sample 1 y x"], Int[Tensor, " sample"]]:
    """Return handwritten digits and what they show, with noise if wanted.

    10,000 digits of MNIST's training set; 8,000 to train on, 2,000 to test on. The split and the
    order within it are fixed, the same for every call and every seed. It is not MNIST's own split.

    Parameters
    ----------
    split : {"train", "test"}
        8,000 or 2,000 images.
    n : int, optional
        The first n of the split; all by default.
    noise : float
        Standard deviation (gaussian; the result is *not* clipped to [0, 1]) or the probability
        that a pixel becomes 0 or 1, half each (salt_pepper). 0 is the clean image.
    noise_type : {"gaussian", "salt_pepper"}
        See `neurodyn.stimuli.gaussian` and `neurodyn.stimuli.salt_pepper`.
    seed : int
        Of the noise alone. The noise of image i depends on the seed, the type and i, not on n.
    size : int
        Height and width in pixels; the 28 x 28 of the originals are padded with zeros.

    Returns
    -------
    images : Tensor
        float32, shape (n, 1, size, size); black is 0, white 1.
    labels : Tensor
        int64, shape (n,): 0 to 9.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner (1998), Proceedings of the IEEE 86, 2278-2324. Origin and
    licence of the data: the file NOTICE beside this one.

    Examples
    --------
    >>> images, labels = digits(split="test", n=4, noise=0.4, seed=0)
    >>> images.shape, labels
    (torch.Size([4, 1, 32, 32]), tensor([7, 6, 6, 8]))
    """
    if split not in ("train", "test"):
        raise ValueError(f"split {split!r} is not one of 'train', 'test'")
    if noise_type not in NOISE:
        raise ValueError(f"noise_type {noise_type!r} is not one of {', '.join(map(repr, NOISE))}")
    if not isinstance(noise, Real) or not 0 <= noise:
        raise ValueError(f"noise must be a number from 0 up, got {noise!r}")
    if not isinstance(size, Integral) or size < 28:
        raise ValueError(f"size must be a whole number of pixels, 28 or more, got {size!r}")
    grey, names = stored()
    chosen = order()[:TRAIN] if split == "train" else order()[TRAIN:]
    if n is None:
        n = len(chosen)
    if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= len(chosen):
        raise ValueError(
            f"n must be a whole number from 1 to {len(chosen)} (split {split!r}), got {n!r}"
        )
    images = torch.from_numpy(grey[chosen[:n], None]).float() / 255
    labels = torch.from_numpy(names[chosen[:n]]).long()
    before = (size - 28) // 2
    after = size - 28 - before
    images = pad(images, (before, after, before, after))
    return (NOISE[noise_type](images, noise, seed) if noise else images), labels


@cache
def stored() -> tuple[np.ndarray, np.ndarray]:
    """Return the images (10000, 28, 28) and labels (10000,) of the file, uint8."""
    with files("neurodyn.stimuli").joinpath("mnist10k.npz").open("rb") as file:
        with np.load(file, allow_pickle=False) as data:
            return data["images"], data["labels"]


@cache
def order() -> np.ndarray:
    """Return the order that the split is cut from.

    RandomState, because NumPy keeps its stream unchanged from version to version.
    """
    return np.random.RandomState(0).permutation(10_000)
