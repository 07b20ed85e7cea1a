"""The images for torch, and in folders."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from neurodyn.stimuli.backgrounds import PICTURES
from neurodyn.stimuli.recipe import whole
from neurodyn.stimuli.svrt.draft import BLOCK
from neurodyn.stimuli.svrt.generate import generate

Labelled = tuple[Float[Tensor, "1 y x"], int]


class Images(Dataset[Labelled]):
    """Images made by `generate`, as floats from 0 (black) to 1 (white), with their labels.

    Parameters
    ----------
    data : Dataset
        As `generate` returns it; images stay uint8 until they are asked for.

    Examples
    --------
    >>> from neurodyn.stimuli.svrt.generate import generate
    >>> image, label = Images(generate(5, 8))[0]
    >>> image.shape, label
    (torch.Size([1, 128, 128]), 1)
    """

    def __init__(self, data: xr.Dataset) -> None:
        self.images = torch.from_numpy(data["image"].values)
        self.labels: list[int] = data["label"].values.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Labelled:
        return self.images[index, None].float() / 255, self.labels[index]


class Stream(IterableDataset[Labelled]):
    """Image after image, made as they are asked for: a torch Dataset for training.

    It yields the images of `generate` with the same arguments, in their order; with several
    workers of a DataLoader each makes blocks of 64 of its own, none twice. Passing over it again
    gives the same images; for new ones in every epoch move `start`.

    Parameters
    ----------
    problem : int
        As in `generate`.
    n : int, optional
        Number of images; without end by default.
    start : int
        Number of the first image; the classes are balanced from an even one on, as in `generate`.
    **settings
        The other arguments of `generate`.

    Examples
    --------
    >>> loader = torch.utils.data.DataLoader(Stream(1, 128, size=64), batch_size=32)
    >>> images, labels = next(iter(loader))
    >>> images.shape, labels.sum()
    (torch.Size([32, 1, 64, 64]), tensor(16))
    """

    def __init__(self, problem: int, n: int | None = None, *, start: int = 0, **settings: Any):
        if n is not None:
            whole("n", n, 1)
        generate(problem, 1, start=start, **settings)  # for its checks, now and not in a worker
        self.problem, self.n, self.start, self.settings = problem, n, start, settings

    def __iter__(self) -> Iterator[Labelled]:
        worker = get_worker_info()
        number, step = (worker.id, worker.num_workers) if worker else (0, 1)
        end = math.inf if self.n is None else self.start + self.n
        block = self.start // BLOCK + number
        while (low := max(block * BLOCK, self.start)) < end:
            high = int(min((block + 1) * BLOCK, end))
            yield from map(
                Images(generate(self.problem, high - low, start=low, **self.settings)).__getitem__,
                range(high - low),
            )
            block += step


def write_folders(data: xr.Dataset, folder: str | Path) -> Path:
    """Write images as PNG files into the folders 0 and 1, one for each class.

    Parameters
    ----------
    data : Dataset
        As `generate` returns it.
    folder : path
        Made if it is not there, and without images, in it or in its folders: those would be read
        as part of the set. The name of a file is the number of its sample.

    Returns
    -------
    Path
        The folder, for `neurodyn.stimuli.ImageFolder`.

    Raises
    ------
    FileExistsError
        The folder holds images; nothing is written.
    ValueError
        Two images have the same number.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn.stimuli import ImageFolder
    >>> from neurodyn.stimuli.svrt.generate import generate
    >>> with tempfile.TemporaryDirectory() as place:
    ...     ImageFolder(write_folders(generate(1, 6), place), colour=False)
    ImageFolder(6 images of 2 categories)
    """
    root = Path(folder)
    labels = data["label"].values
    if data["sample"].to_index().has_duplicates:
        raise ValueError("two images have the same number; give each its own along 'sample'")
    for path in root.rglob("*"):
        if path.suffix.lower() in PICTURES:
            raise FileExistsError(f"{root} holds images already, such as {path}: take a new folder")
    for label in (0, 1):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
    for sample, label, image in zip(
        data["sample"].values, labels, data["image"].values, strict=True
    ):
        Image.fromarray(image).save(root / str(label) / f"{sample:06d}.png")
    return root
