"""Fashion-MNIST: clothes in the form of MNIST, read from where Debian's package puts them."""

from functools import cache
from pathlib import Path
from typing import Literal

from neurodyn.stimuli.items import Items, read_idx

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's dataset-fashion-mnist
PREFIX = {"train": "train", "test": "t10k"}


def fashion_mnist(
    split: Literal["train", "test"] = "train", folder: str | Path | None = None
) -> Items:
    """Return the clothes of Fashion-MNIST as objects for scenes.

    28 x 28 pixels each, with the labels 0 T-shirt/top, 1 trouser, 2 pullover, 3 dress, 4 coat,
    5 sandal, 6 shirt, 7 sneaker, 8 bag and 9 ankle boot. They are not shipped and never
    downloaded: ``apt-get install dataset-fashion-mnist`` puts them onto a Debian or Ubuntu machine.

    Parameters
    ----------
    split : {"train", "test"}
        60,000 or 10,000 images, as many of each label. `multi_digits` does not split items of
        one's own: give it the items of the split that it is asked for.
    folder : path, optional
        With the four IDX files, "train-images-idx3-ubyte" and so on, with .gz or without; the
        folder of the Debian package by default.

    Returns
    -------
    Items
        For the argument `items` of `multi_digits`; the same object for the same arguments.

    Raises
    ------
    FileNotFoundError
        The folder lacks the files.

    References
    ----------
    Xiao, Rasul & Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms, arXiv 1708.07747. MIT licence, Zalando SE.

    Examples
    --------
    >>> clothes = fashion_mnist("test")  # doctest: +SKIP
    >>> multi_digits(9, objects=1, split="test", items=clothes, side=32)  # doctest: +SKIP
    """
    if split not in PREFIX:
        raise ValueError(f"split {split!r} is not one of 'train', 'test'")
    return load(split, FOLDER if folder is None else Path(folder).resolve())


@cache
def load(split: str, folder: Path) -> Items:
    """Return the items of one split of one folder, read once."""
    images, labels = (
        find(folder, f"{PREFIX[split]}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")
    )
    return Items(read_idx(images), read_idx(labels), name=f"Fashion-MNIST, {split}")


def find(folder: Path, name: str) -> Path:
    """Return the path of an IDX file, packed or not."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder} has no {name}.gz: install Fashion-MNIST (apt-get install dataset-fashion-mnist) "
        "or give a folder with its four IDX files (https://github.com/zalandoresearch/fashion-mnist)"
    )
