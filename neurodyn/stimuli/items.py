"""The single objects that scenes are made of: the shipped digits, or images of one's own."""

import gzip
import struct
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from neurodyn.stimuli.digits import TRAIN, order, stored

FAINT = 1 / 510  # half a grey level: what is darker is no part of an object


class Items:
    """Labelled images of single objects, bright on black, to be placed in scenes.

    Parameters
    ----------
    images : array_like
        Shape (item, y, x); uint8 from 0 to 255 or floating point from 0 to 1; the object is what
        is not 0.
    labels : array_like
        Shape (item,); whole numbers from 0 up.
    name : str, optional
        What the images are, for the config of the scenes made of them.

    Attributes
    ----------
    images : ndarray
        As given, not copied where it was an array.
    labels : ndarray
        int64, shape (item,).
    categories : int
        Length of a k-hot target: the largest label + 1, but not under 10, so that a few items
        of a set of ten have the targets of the whole set.

    See Also
    --------
    read_items : the same from files on disk.
    fashion_mnist : the clothes of Fashion-MNIST.

    Examples
    --------
    >>> squares = Items(np.ones((4, 9, 9)), labels=[0, 0, 1, 2])
    >>> squares
    Items(4 images of 9 x 9, labels 0, 1, 2)
    """

    def __init__(self, images: ArrayLike, labels: ArrayLike, name: str | None = None) -> None:
        self.images = np.asarray(images)
        named = np.asarray(labels)
        check_items(self.images, named)
        self.labels, self.name = named.astype(np.int64), name
        self.present, self.starts, self.counts = np.unique(
            np.sort(self.labels), return_index=True, return_counts=True
        )
        self.sorted = np.argsort(self.labels, kind="stable")
        self.categories = max(10, int(self.present[-1]) + 1)

    def __repr__(self) -> str:
        height, width = self.images.shape[1:]
        names = ", ".join(map(str, self.present))
        known = f"{self.name}: " if self.name else ""
        return f"Items({known}{len(self.images)} images of {height} x {width}, labels {names})"

    def draw(self, rng: np.random.Generator, n: int, objects: int) -> np.ndarray:
        """Return the indices (n, objects) of items of different categories.

        Every set of categories is as likely as every other, and so is every item of a category.
        """
        kinds = rng.random((n, len(self.present))).argsort(1)[:, :objects]
        within = np.floor(rng.random((n, objects)) * self.counts[kinds]).astype(np.int64)
        return self.sorted[self.starts[kinds] + within]


def check_items(images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse what is no set of labelled objects."""
    if images.ndim != 3 or labels.shape != images.shape[:1] or not images.size:
        raise ValueError(
            "images must have the shape (item, y, x) and labels (item,), got "
            f"{images.shape} and {labels.shape}"
        )
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            f"images must be uint8 (0 to 255) or floating point (0 to 1), got {images.dtype}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(f"labels must be whole numbers from 0 up, got {labels.dtype}: {labels}")
    if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            "images of floating point must lie from 0 to 1, got "
            f"{images.min()} to {images.max()}; divide grey values from 0 to 255 by 255"
        )
    faintest = 1 if images.dtype == np.uint8 else FAINT
    blank = np.flatnonzero(images.max((1, 2)) < faintest)
    if len(blank):
        raise ValueError(f"images {blank[:5].tolist()} are blank: leave them out")


@cache
def shipped(split: str) -> Items:
    """Return the digits of one split of `neurodyn.stimuli.digits`."""
    images, labels = stored()
    chosen = order()[:TRAIN] if split == "train" else order()[TRAIN:]
    return Items(images[chosen], labels[chosen])


def read_items(images: str | Path, labels: str | Path | None = None) -> Items:
    """Read objects from files on disk; nothing is downloaded.

    Parameters
    ----------
    images : path
        An .npz file with the arrays "images" and "labels"; or a file in the IDX format of MNIST
        and Kuzushiji-MNIST ("train-images-idx3-ubyte", also with .gz); for Fashion-MNIST see
        `fashion_mnist`.
    labels : path, optional
        The IDX file of the labels; none for an .npz file, which holds both.

    Returns
    -------
    Items
        For the argument `items` of `multi_digits`.

    Examples
    --------
    >>> items = read_items("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    ... # doctest: +SKIP
    """
    if Path(images).suffix != ".npz":
        if labels is None:
            raise ValueError(f"{images} is no .npz file: give the IDX file of the labels as well")
        return Items(read_idx(images), read_idx(labels))
    if labels is not None:
        raise ValueError(f"{images} holds images and labels: leave out labels, got {labels}")
    with np.load(images, allow_pickle=False) as data:
        if not {"images", "labels"} <= set(data.files):
            raise ValueError(f"{images} must hold 'images' and 'labels', it holds {data.files}")
        return Items(data["images"], data["labels"])


def read_idx(path: str | Path) -> np.ndarray:
    """Return the uint8 array of an IDX file: 0, 0, 8, number of axes; their lengths; the bytes."""
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", content[4:start]) if len(content) >= start else ()
    if not axes or len(content) != start + int(np.prod(shape)):
        raise ValueError(f"{path} is not a whole IDX file of bytes (uint8)")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
