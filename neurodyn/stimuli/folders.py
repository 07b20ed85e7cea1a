"""Labelled images in folders, read one by one: of one's own, ImageNet, ImageNet-C."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from neurodyn.stimuli.backgrounds import PICTURES
from neurodyn.stimuli.corrupt_tables import CORRUPTIONS, check_cell

Labelled = tuple[Float[Tensor, "channel y x"], int]


class ImageFolder(Dataset[Labelled]):
    """Images in one folder for each category, read when they are asked for.

    Parameters
    ----------
    folder : path
        With a folder for each category, whose images may lie in folders of their own.
    size : int, optional
        Height and width of the result: the image is enlarged or made smaller (bicubic) until its
        shorter side is `resize`, and its middle is cut out. By default images keep their sizes.
    resize : int, optional
        `size` by default; 256 for a size of 224 is usual for ImageNet.
    colour : bool
        Three channels if true, else one: the luminance.
    categories : sequence of str, optional
        The folders to read, in the order of their labels; by default all, in the order of names.

    Attributes
    ----------
    categories : tuple of str
        What the labels 0, 1, ... mean: names of folders.
    paths : list of Path
        One for each image, sorted within its category.
    labels : list of int
        One for each image.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or none of a category asked for.
    ValueError
        No folder of a category, or one without images; or when it is read, a file that is no image.

    Examples
    --------
    >>> pets = ImageFolder("pets", size=224, resize=256)  # doctest: +SKIP
    >>> image, label = pets[0]  # (3, 224, 224), float from 0 to 1  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        size: int | None = None,
        resize: int | None = None,
        colour: bool = True,
        categories: Sequence[str] | None = None,
    ) -> None:
        root = existing(folder)
        if categories is None:
            categories = sorted(p.name for p in root.iterdir() if p.is_dir())
        if not categories:
            raise ValueError(
                f"{root} has no folders: each category's images must lie in a folder of its own"
            )
        self.resize = resize if resize is not None or size is None else size
        for name, pixels in (("size", size), ("resize", self.resize)):
            if pixels is not None and (not isinstance(pixels, int) or pixels < 1):
                raise ValueError(f"{name} must be a whole number of pixels, got {pixels!r}")
        if size is not None and self.resize is not None and self.resize < size:
            raise ValueError(f"resize {self.resize} is smaller than size {size}: nothing to cut")
        self.size, self.colour = size, colour
        self.categories = tuple(categories)
        self.paths: list[Path] = []
        self.labels: list[int] = []
        for label, name in enumerate(self.categories):
            inside = existing(root / name).rglob("*")
            found = sorted(p for p in inside if p.suffix.lower() in PICTURES and p.is_file())
            if not found:
                raise ValueError(
                    f"no picture in {root / name}: none of its files ends in {', '.join(PICTURES)}"
                )
            self.paths += found
            self.labels += [label] * len(found)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images of {len(self.categories)} categories)"

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Labelled:
        image = read_image(self.paths[index], self.size, self.resize, self.colour)
        return image, self.labels[index]


def read_image(
    path: str | Path, size: int | None = None, resize: int | None = None, colour: bool = True
) -> Float[Tensor, "channel y x"]:
    """Read an image as values from 0 to 1, the middle cut out where a size is given.

    Parameters
    ----------
    path : path
        Of whatever Pillow reads.
    size, resize, colour
        As in `ImageFolder`.
    """
    try:
        with Image.open(path) as file:
            image = file.convert("RGB" if colour else "L")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error
    if resize is not None:
        scale = resize / min(image.size)
        wide, high = (max(resize, round(n * scale)) for n in image.size)
        image = image.resize((wide, high), Image.Resampling.BICUBIC)
    if size is not None:
        left, top = (image.width - size) // 2, (image.height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    pixels = torch.from_numpy(np.array(image)).float() / 255
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def imagenet(
    folder: str | Path,
    split: Literal["train", "val"] = "val",
    *,
    size: int = 224,
    resize: int = 256,
    categories: Sequence[str] | None = None,
) -> ImageFolder:
    """Return ImageNet's images from folders "train" or "val" with one folder for each category.

    Parameters
    ----------
    folder : path
        Holds "train" and "val", whose folders are named by WordNet (n01440764, ...): in their
        order are the labels 0 to 999 that public weights were trained with.
    split : {"train", "val"}
        Which of them.
    size, resize : int
        As in `ImageFolder`.
    categories : sequence of str, optional
        Some of the folders; the labels are then 0, 1, ... in the order given.

    Examples
    --------
    >>> validation = imagenet("ILSVRC2012", "val")  # doctest: +SKIP
    """
    if split not in ("train", "val"):
        raise ValueError(f"split {split!r} is not one of 'train', 'val'")
    return ImageFolder(existing(folder) / split, size=size, resize=resize, categories=categories)


def imagenet_c(
    folder: str | Path, kind: str, severity: int, *, categories: Sequence[str] | None = None
) -> ImageFolder:
    """Return the images of ImageNet-C of one kind and severity, of 224 x 224 pixels as stored.

    Parameters
    ----------
    folder : path
        Holds a folder for each kind, with folders 1 to 5, with a folder for each category; or
        groups of kinds ("noise", "blur", ...) as the published archives do.
    kind : str
        A kind of `neurodyn.stimuli.corrupt.corrupt`.
    severity : int
        1 to 5.
    categories : sequence of str, optional
        As in `imagenet`.

    References
    ----------
    Hendrycks & Dietterich (2019), ICLR, arXiv 1903.12261; doi 10.5281/zenodo.2235448.

    Examples
    --------
    >>> foggy = imagenet_c("ImageNet-C", "fog", severity=3)  # doctest: +SKIP
    """
    check_cell(kind, severity)
    root = existing(folder)
    for place in (root / kind, *(root / group / kind for group in CORRUPTIONS)):
        if (place / str(severity)).is_dir():
            return ImageFolder(place / str(severity), categories=categories)
    raise FileNotFoundError(
        f"{root} has no folder {kind}/{severity}: give the folder that holds the kinds' folders"
    )


def existing(folder: str | Path) -> Path:
    """Return a folder's path if it is there."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    return Path(folder)
