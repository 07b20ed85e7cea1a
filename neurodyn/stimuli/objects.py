"""Scenes: one to nine objects of different categories on a canvas, with the mask of each."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

import neurodyn
from neurodyn.stimuli.backgrounds import Pictures
from neurodyn.stimuli.items import Items
from neurodyn.stimuli.recipe import BLOCK, Recipe, whole

Sample = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Scenes(Dataset[Sample]):
    """Scenes with all that is known of them; also a torch Dataset.

    `scenes[i]`, for a number or a slice, is (image, masks, labels, target) of sample i, which is
    what a DataLoader takes; `to_xarray` gives the same with names.

    Attributes
    ----------
    images : Tensor
        float32, shape (sample, channel, y, x); from 0 to 1 unless Gaussian noise was added.
    masks : Tensor
        bool, shape (sample, group, y, x). Groups are the objects in the order of their placing;
        a pixel where objects overlap belongs to all of them, the background to none. A mask is
        empty only where an object fell between the pixels (many objects, a small image).
    labels : Tensor
        int64, shape (sample, group): the category of each object.
    target : Tensor
        float32, shape (sample, category): 1 for the categories shown, else 0.
    boxes : Tensor
        int64, shape (sample, group, 4): top, left, height and width of each object on the canvas
        before it is resized, in pixels of the canvas.
    items : Tensor
        int64, shape (sample, group): which item of its set each object is.
    start : int
        Number of the first scene.
    config : dict
        The arguments that the scenes were made with.
    """

    images: Float[Tensor, "sample channel y x"]
    masks: Bool[Tensor, "sample group y x"]
    labels: Int[Tensor, "sample group"]
    target: Float[Tensor, "sample category"]
    boxes: Int[Tensor, "sample group 4"]
    items: Int[Tensor, "sample group"]
    start: int
    config: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | slice) -> Sample:
        return self.images[index], self.masks[index], self.labels[index], self.target[index]

    def to_xarray(self) -> xr.Dataset:
        """Return the scenes as a Dataset: image, mask, label, target, box and item.

        Its dimensions are sample, channel, y, x, group (from 1: 0 is the background, which has no
        mask), category and edge (top, left, height, width).
        """
        arrays = {
            "image": (("sample", "channel", "y", "x"), self.images, "grey value", "1"),
            "mask": (("sample", "group", "y", "x"), self.masks, "pixel of the object", "1"),
            "label": (("sample", "group"), self.labels, "category of the object", "1"),
            "target": (("sample", "category"), self.target, "category is shown", "1"),
            "box": (("sample", "group", "edge"), self.boxes, "box on the canvas", "pixel"),
            "item": (("sample", "group"), self.items, "item of the set", "1"),
        }
        axes = {
            "sample": (self.start + np.arange(len(self)), "stimulus", "1"),
            "channel": (np.arange(self.images.shape[1]), "channel", "1"),
            "y": (np.arange(self.images.shape[2]), "row", "pixel"),
            "x": (np.arange(self.images.shape[3]), "column", "pixel"),
            "group": (np.arange(1, 1 + self.labels.shape[1]), "object (0 = background)", "1"),
            "category": (np.arange(self.target.shape[1]), "category", "1"),
            "edge": (["top", "left", "height", "width"], "measure of a box", "1"),
        }
        return xr.Dataset(
            {
                name: (dims, values.cpu().numpy(), {"long_name": about, "units": units})
                for name, (dims, values, about, units) in arrays.items()
            },
            coords={
                name: (name, values, {"long_name": about, "units": units})
                for name, (values, about, units) in axes.items()
            },
            attrs={
                "neurodyn_version": neurodyn.__version__,
                "torch_version": str(torch.__version__),
                "seed": int(self.config["seed"]),
                "config": json.dumps(self.config, sort_keys=True, default=np.generic.item),
                "references": "Muzellec, Alamia, Serre & VanRullen 2025, arXiv 2502.21077",
            },
        )


def multi_digits(
    n: int,
    *,
    objects: int = 2,
    split: Literal["train", "test"] = "train",
    size: int = 32,
    max_overlap: float = 0.0,
    overlap: float | None = None,
    side: int | None = None,
    items: Literal["digits"] | Items = "digits",
    scale: float | tuple[float, float] = 1.0,
    rotation: float | tuple[float, float] = 0.0,
    background: Literal["none", "1/f"] | Tensor | Sequence[Tensor] | Pictures = "none",
    contrast: float = 1.0,
    noise: float = 0.0,
    noise_type: Literal["gaussian", "salt_pepper"] = "gaussian",
    antialias: bool = False,
    threshold: float = 0.15,
    seed: int = 0,
    start: int = 0,
) -> Scenes:
    r"""Return scenes of several digits, or other objects, with a mask for each.

    Each object is cropped to its bounding box, the smallest that holds all its pixels above 0.
    The boxes are placed one after another on a square canvas of side

    .. math:: \lceil 50 \sqrt{G / 2} \rceil \quad \text{pixels for } G \text{ objects,}

    each uniformly over all the places where it is whole and overlaps the earlier ones as allowed.
    If an object has no such place, the scene starts again, from the eleventh time with objects
    drawn anew: where places are tight, large objects become rarer. 100 restarts, or
    10 of nearly all scenes, are an error. Grey values are added and clipped to 1, and the canvas
    is resized bilinearly.

    Parameters
    ----------
    n : int
        Number of scenes.
    objects : int
        G, objects in each scene, 1 to 9, all of different categories. Every set of categories is
        as likely as every other.
    split : {"train", "test"}
        The part of `neurodyn.stimuli.digits` that items are from. The two parts have places and
        categories of their own too; items of one's own are not split, so make two sets of them.
    size : int
        Height and width of the images, in pixels.
    max_overlap : float
        Most that two boxes may overlap, from 0 to 0.5, as published: the area that they share
        over twice the area of the one placed first. 0.5 allows anything.
    overlap : float, optional
        Overlap aimed at instead, from 0 to 1: the area that two boxes share over the area of the
        smaller. Each object after the first has it, within 0.05, with the earlier object that it
        overlaps most.
    side : int, optional
        Of the canvas in pixels, if not as above: 50 shows three digits at the size of two.
        Items that fill their 28 x 28 pixels, as those of fashion do, want 70 for two; at `size`
        objects keep their own pixels.
    items : {"digits"} or Items
        The shipped digits, or images of one's own: `Items(images, labels)`, `read_items` from
        files on disk, `fashion_mnist` where it is installed.
    scale : float or (float, float)
        Factor on the size of the objects (the canvas stays as it is), or the range that the
        factor of each object is drawn from, uniformly.
    rotation : float or (float, float)
        Degrees anticlockwise, or the range to draw from.
    background : {"none", "1/f"}, Tensor, sequence of Tensor, or Pictures
        Black; noise with the amplitude spectrum of natural images; or random crops, size by size
        pixels, of images (channel, y, x), uint8 from 0 to 255 or floating point from 0 to 1:
        `read_images` from a folder, `read_cifar`, `photographs`; `Pictures` gives them the name
        that `config` shows. Objects are added to it, to each channel alike, and the sum is
        clipped to 1.
    contrast : float
        Factor on the background, 0 to 1.
    noise, noise_type
        As in `neurodyn.stimuli.digits`, added at last: Gaussian noise is not clipped.
    antialias : bool
        Whether each pixel of the image averages all that it covers of the canvas; if not, as
        published, it interpolates between four pixels, and many objects in a small image look
        ragged.
    threshold : float
        A pixel belongs to an object where the object's own grey value, resized without the others
        and the background, is above it: from 0 to 0.9. At 0.15 the mask of a digit is as large,
        within 2 per cent, as the pixels above 0 on its canvas (at 0, a third larger).
    seed : int
        Scene i depends on the seed, on i and on the other arguments, not on n or start. Noise,
        background and size do not change which objects are where.
    start : int
        Number of the first scene: `multi_digits(100, start=50)` continues `multi_digits(50)`.

    Returns
    -------
    Scenes
        images, masks, labels, target and more.

    See Also
    --------
    SceneStream : scenes without end, for training.

    Notes
    -----
    The published script refuses some scenes that have no overlap: it multiplies the signed
    overlaps of rows and of columns, so two boxes that are apart in both count as overlapping. Here
    they do not. The corner of its first digit lies within the first 22 rows and columns; here an
    object may lie anywhere. It makes two digits only, and its masks stay as large as the canvas.

    References
    ----------
    Muzellec, Alamia, Serre & VanRullen (2025), Enhancing deep neural networks through complex-
    valued representations and Kuramoto synchronization dynamics, arXiv 2502.21077.

    Examples
    --------
    >>> scenes = multi_digits(4, objects=3, split="test", seed=0)
    >>> scenes.images.shape, scenes.masks.shape
    (torch.Size([4, 1, 32, 32]), torch.Size([4, 3, 32, 32]))
    >>> scenes.labels[0]
    tensor([5, 0, 2])
    >>> scenes.target[0]
    tensor([1., 0., 1., 0., 0., 1., 0., 0., 0., 0.])
    >>> dict(scenes.to_xarray().mask.sizes)
    {'sample': 4, 'group': 3, 'y': 32, 'x': 32}

    One digit in its own pixels over images in colour, here plain ones:

    >>> images = Pictures(torch.full((5, 3, 32, 32), 0.5), "plain grey")
    >>> scenes = multi_digits(4, objects=1, side=32, background=images)
    >>> scenes.images.shape, scenes.config["background"]
    (torch.Size([4, 3, 32, 32]), 'plain grey: crops of 5 images')
    """
    whole("n", n, 1)
    whole("start", start, 0)
    whole("objects", objects, 1, 9)
    side = math.ceil(50 * math.sqrt(objects / 2)) if side is None else side
    recipe = Recipe(
        objects=objects, split=split, size=size, max_overlap=max_overlap, overlap=overlap,
        side=side, items=items, scale=scale, rotation=rotation, background=background,
        contrast=contrast, noise=noise, noise_type=noise_type, antialias=antialias,
        threshold=threshold, seed=seed,
    )  # fmt: skip
    first, last = start // BLOCK, (start + n - 1) // BLOCK
    parts = []
    for number in range(first, last + 1):
        chosen = slice(max(start - number * BLOCK, 0), start + n - number * BLOCK)
        parts.append([values[chosen] for values in recipe.block(number)])
    images, masks, labels, target, boxes, drawn = map(torch.cat, zip(*parts, strict=True))
    return Scenes(images, masks, labels, target, boxes, drawn, start, recipe.config())


class SceneStream(IterableDataset[Sample]):
    """Scene after scene, made as they are asked for: a torch Dataset for training.

    It yields (image, masks, labels, target), the scenes of `multi_digits` with the same
    arguments, in their order; with several workers of a DataLoader each makes blocks of 256 of
    its own, none twice. Passing over it again gives the same scenes; for new ones in every epoch
    let n be those of all epochs, or move `start`.

    Parameters
    ----------
    n : int, optional
        Number of scenes; without end by default.
    start : int
        Number of the first scene.
    **settings
        The other arguments of `multi_digits`.

    Examples
    --------
    >>> loader = torch.utils.data.DataLoader(SceneStream(128, objects=3), batch_size=64)
    >>> [images.shape[0] for images, masks, labels, target in loader]
    [64, 64]
    """

    def __init__(self, n: int | None = None, *, start: int = 0, **settings: Any) -> None:
        if n is not None:
            whole("n", n, 1)
        multi_digits(1, start=start, **settings)  # for its checks, now and not in a worker
        self.n, self.start, self.settings = n, start, settings

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        number, step = (worker.id, worker.num_workers) if worker else (0, 1)
        end = math.inf if self.n is None else self.start + self.n
        block = self.start // BLOCK + number
        while (low := max(block * BLOCK, self.start)) < end:
            high = int(min((block + 1) * BLOCK, end))
            scenes = multi_digits(high - low, start=low, **self.settings)
            yield from zip(*scenes[:], strict=True)
            block += step
