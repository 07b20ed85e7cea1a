"""CIFAR-10 and CIFAR-100 with labels, and their corrupted forms, from their files on disk."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from neurodyn.stimuli.cifar import labelled_files, read_labelled
from neurodyn.stimuli.corrupt_tables import check_cell
from neurodyn.stimuli.folders import Labelled, existing


class Arrays(Dataset[Labelled]):
    """Labelled images of an array, made floating point when they are asked for.

    Parameters
    ----------
    images : ndarray
        uint8, shape (image, y, x, channel); it may be mapped from a file.
    labels : ndarray
        Whole numbers, shape (image,).
    name : str
        What they are.

    Examples
    --------
    >>> black = Arrays(np.zeros((5, 8, 8, 3), np.uint8), np.arange(5), "black squares")
    >>> image, label = black[4]
    >>> tuple(image.shape), label
    ((3, 8, 8), 4)
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, name: str) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{name}: images must be uint8 (image, y, x, channel) with a label each, got "
                f"{images.dtype} {images.shape} and labels {labels.shape}"
            )
        self.images, self.labels, self.name = images, labels, name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {len(self)} images)"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Labelled:
        pixels = torch.from_numpy(np.array(self.images[index])).float() / 255
        return pixels.permute(2, 0, 1).contiguous(), int(self.labels[index])


def cifar_labelled(
    folder: str | Path, split: Literal["train", "test"] = "train", *, coarse: bool = False
) -> Arrays:
    """Return the labelled images of CIFAR-10 or CIFAR-100, whichever the folder holds.

    Parameters
    ----------
    folder : path
        "cifar-10-batches-py" or "cifar-100-python", unpacked. Nothing is downloaded here:
        ``read_cifar(folder, download=True)`` fetches the first.
    split : {"train", "test"}
        50,000 or 10,000 images of 32 x 32 pixels.
    coarse : bool
        For CIFAR-100: 20 labels of groups in place of 100.

    Raises
    ------
    FileNotFoundError
        The folder holds the files of neither.
    ValueError
        Coarse labels are asked for of CIFAR-10, which has none.

    References
    ----------
    Krizhevsky (2009), Learning multiple layers of features from tiny images, University of
    Toronto.

    Examples
    --------
    >>> test = cifar_labelled("cifar-10-batches-py", "test")  # doctest: +SKIP
    """
    name, files, key = labelled_files(existing(folder), split, coarse)
    parts = [read_labelled(file, key) for file in files]
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Arrays(images, labels, f"{name}, {split}")


def cifar_c(folder: str | Path, kind: str, severity: int) -> Arrays:
    """Return the images of CIFAR-10-C or CIFAR-100-C of one kind and severity.

    Parameters
    ----------
    folder : path
        "CIFAR-10-C" or "CIFAR-100-C" unpacked: a file .npy for each kind, with all severities one
        after the other, and labels.npy. Files stay on disk.
    kind : str
        A kind of `neurodyn.stimuli.corrupt.corrupt`.
    severity : int
        1 to 5.

    References
    ----------
    Hendrycks & Dietterich (2019), ICLR, arXiv 1903.12261; doi 10.5281/zenodo.2535967 (10) and
    10.5281/zenodo.3555552 (100).

    Examples
    --------
    >>> foggy = cifar_c("CIFAR-10-C", "fog", severity=3)  # doctest: +SKIP
    """
    check_cell(kind, severity)
    root = existing(folder)
    if lacking := [n for n in (f"{kind}.npy", "labels.npy") if not (root / n).is_file()]:
        raise FileNotFoundError(
            f"{root} lacks {' and '.join(lacking)}: give the unpacked folder CIFAR-10-C or "
            "CIFAR-100-C"
        )
    images = np.load(root / f"{kind}.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(root / "labels.npy", allow_pickle=False)
    if len(images) % 5 or len(labels) != len(images):
        raise ValueError(
            f"{root / kind}.npy holds {len(images)} images and labels.npy {len(labels)} labels: "
            "it must be five severities of equally many images, and a label for each"
        )
    n = len(images) // 5
    part = slice((severity - 1) * n, severity * n)
    return Arrays(images[part], labels[part], f"{root.name}, {kind} {severity}")
