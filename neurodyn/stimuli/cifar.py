"""The files of CIFAR-10 and CIFAR-100: which there are, what is in them, how they are fetched."""

import hashlib
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from jaxtyping import Int64, UInt8
from tqdm.auto import tqdm

BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"  # of the archive, as published beside it
ALLOWED = {  # all that a CIFAR batch needs to be unpickled
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct"},
    "numpy._core.multiarray": {"_reconstruct"},
    "_codecs": {"encode"},
}


def missing(folder: str | Path, split: str) -> list[str]:
    """Return the batches of a split that a folder lacks."""
    return [name for name in BATCHES[split] if not Path(folder, name).is_file()]


def labelled_files(folder: Path, split: str, coarse: bool) -> tuple[str, list[Path], str]:
    """Return which of the two a folder holds, a split's files, and under what its labels are."""
    if split not in BATCHES:
        raise ValueError(f"split {split!r} is not one of 'train', 'test'")
    if (folder / split).is_file():
        return "CIFAR-100", [folder / split], "coarse_labels" if coarse else "fine_labels"
    if lacking := missing(folder, split):
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(lacking)} of CIFAR-10, and {split} of CIFAR-100: give the "
            "unpacked folder cifar-10-batches-py or cifar-100-python"
        )
    if coarse:
        raise ValueError("coarse labels are there in CIFAR-100 only: leave out coarse")
    return "CIFAR-10", [folder / name for name in BATCHES[split]], "labels"


def read_batch(path: Path) -> UInt8[np.ndarray, "image y x 3"]:
    """Return the images of one batch."""
    return as_images(unpickle(path))


def read_labelled(
    path: Path, key: str
) -> tuple[UInt8[np.ndarray, "image y x 3"], Int64[np.ndarray, " image"]]:
    """Return the images of one file, and its labels under a key."""
    found = unpickle(path)
    return as_images(found), np.asarray(found[key.encode()], np.int64)


def as_images(found: dict[bytes, Any]) -> UInt8[np.ndarray, "image y x 3"]:
    """Return rows of red, green and blue planes as images."""
    data = np.asarray(found[b"data"])
    return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def unpickle(path: Path) -> dict[bytes, Any]:
    """Return what a file of CIFAR holds."""
    with open(path, "rb") as file:
        found: dict[bytes, Any] = Plain(file, encoding="bytes").load()
    return found


class Plain(pickle.Unpickler):
    """Unpickles arrays and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a CIFAR batch may name; refuse the rest."""
        if name not in ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR batch")
        found: Callable[..., Any] = super().find_class(module, name)
        return as_dtype if name == "dtype" else found


def as_dtype(kind: str, align: int, copy: int) -> np.dtype:
    """Return a dtype from flags that are 0 and 1, as published; NumPy 2.4.0 wants bools."""
    return np.dtype(kind, bool(align), bool(copy))


def fetch(folder: Path) -> None:
    """Fetch CIFAR-10 and put its six batches into a folder, each whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    names = BATCHES["train"] + BATCHES["test"]
    with TemporaryDirectory(prefix=".cifar-10-", dir=folder.parent) as scratch:
        archive = Path(scratch, "archive")
        receive(archive)
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name, content = Path(member.name).name, members.extractfile(member)
                if name in names and content is not None:
                    with open(Path(scratch, name), "wb") as file:
                        shutil.copyfileobj(content, file)
        folder.mkdir(exist_ok=True)
        for name in names:
            os.replace(Path(scratch, name), folder / name)


def receive(path: Path) -> None:
    """Write the archive to a file, showing the progress; refuse another one than the published."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urlopen(URL, timeout=60) as response, open(path, "wb") as file:
            size = int(response.headers.get("Content-Length", 0)) or None
            with tqdm(total=size, desc="CIFAR-10", unit="B", unit_scale=True) as bar:
                while part := response.read(1 << 20):
                    digest.update(part)
                    file.write(part)
                    bar.update(len(part))
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"CIFAR-10 could not be fetched from {URL} ({error}): fetch and unpack that file where "
            "there is a network, and give the folder cifar-10-batches-py"
        ) from error
    if digest.hexdigest() != MD5:
        raise ValueError(
            f"what came from {URL} is not the published archive: its MD5 is {digest.hexdigest()}, "
            f"published is {MD5}; nothing was kept, so try again"
        )
