"""Pairs of hexominoes: the same or not, and more vertical or more horizontal."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Int, UInt8

import neurodyn
from neurodyn.stimuli.recipe import number, whole

SHAPE = (50, 80)  # pixels, y and x
ECCENTRICITY = (12.0, 16.0)  # pixels from the middle of the pair to either item
JITTER = (5.0, 20.0)  # degrees between the axis of a pair and the diagonal
SHIFT = 4  # pixels that both are moved by at most, along x and along y
WINDOW = 16  # pixels, height and width of what is cut out around an item
BLOCK = 64  # images drawn together, always all of them, so that image i does not depend on n
DRAWING = 1
"""Raised when the images of a seed change, so that what was made before is known as such."""
TASKS = ("same-different", "spatial-relation")
REFERENCES = "Alamia et al. 2021, eNeuro 8, ENEURO.0267-20.2020"

Cells = tuple[tuple[int, int], ...]


def orientations(cells: Cells) -> list[Cells]:
    """Return the eight turns and mirror images of a polyomino, each moved to the corner (0, 0).

    Examples
    --------
    >>> len(set(orientations(((0, 0), (0, 1), (1, 0)))))
    4
    """
    found = []
    for a, b, c, d in ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0)):
        for mirror in (1, -1):
            points = [(mirror * (a * x + b * y), c * x + d * y) for x, y in cells]
            left, low = (min(values) for values in zip(*points, strict=True))
            found.append(tuple(sorted((x - left, y - low) for x, y in points)))
    return found


@lru_cache
def free_polyominoes(n: int) -> tuple[Cells, ...]:
    """Return all shapes of n squares joined at their sides, turns and mirror images counted once.

    Grown: each is one of n - 1 squares and a neighbour. The first orientation in lexicographic
    order stands for all.

    Examples
    --------
    >>> [len(free_polyominoes(n)) for n in range(1, 7)]
    [1, 1, 2, 5, 12, 35]
    """
    if n == 1:
        return (((0, 0),),)
    grown = {
        min(orientations((*cells, new)))
        for cells in free_polyominoes(n - 1)
        for x, y in cells
        for new in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1))
        if new not in cells
    }
    return tuple(sorted(grown))


def hexominoes() -> Int[np.ndarray, "item cell axis"]:
    """Return the cells, x and y from 0, of the 35 free hexominoes.

    Examples
    --------
    >>> hexominoes().shape, hexominoes()[0].tolist()
    ((35, 6, 2), [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4], [0, 5]])
    """
    return np.array(free_polyominoes(6))


def deal(seed: int, train: int = 30) -> tuple[list[int], list[int]]:
    """Return the numbers of hexominoes to train with, and of the others, which are new then.

    Examples
    --------
    >>> train, new = deal(seed=0)
    >>> len(train), len(new), sorted(train + new) == list(range(35))
    (30, 5, True)
    """
    n = len(hexominoes())
    whole("train", train, 2, n - 2)
    whole("seed", seed, 0)
    order = np.random.default_rng([*b"deal", int(seed)]).permutation(n)
    return sorted(order[:train].tolist()), sorted(order[train:].tolist())


def pairs(
    task: Literal["same-different", "spatial-relation"],
    n: int,
    *,
    items: Sequence[int] | None = None,
    cell: int = 1,
    scatter: float = 1.0,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return images of two hexominoes, and the scene of each.

    The items lie on opposite sides of the middle of the pair, on an axis near one of the diagonals:

    .. math:: c_{1, 2} = m + (\Delta_x, \Delta_y) \mp \rho\,(\cos \theta, \sin \theta), \qquad
        \theta = \pm (45^\circ \pm \epsilon)

    with the middle of the image m. The same images serve both tasks; only the question differs. Of
    every four one is the same and horizontal, one the same and vertical, and so on: neither label
    says anything about the other, and of every two images, 0 and 1, 2 and 3, ..., the labels
    differ in either task.

    Parameters
    ----------
    task : {"same-different", "spatial-relation"}
        Label 1 where the items are the same one, or where the pair is more vertical than
        horizontal; else 0.
    n : int
        Number of images.
    items : sequence of int, optional
        Which hexominoes are drawn from, two or more of 0 to 34; by default all. See `deal`.
    cell : {1, 2}
        Side of a square of an item, in pixels.
    scatter : float
        From 0 to 1, a factor of how much places vary: at 0 there is no shift, and eccentricity and
        jitter are their means, so that a pair can lie in four ways only.
    seed : int
        Image i depends on the seed, on i and on `items`, not on n and on the task.

    Returns
    -------
    Dataset
        image (sample, y, x), uint8, black on white; label (sample); and the scene: item (sample,
        part), centre (sample, part, axis: x, y) of the box around each item, in pixels from the
        edge of the image, part 0 on the left; eccentricity rho (sample); angle theta (sample), from
        x to y, which is down. Boxes are moved to whole pixels, centres after rho and theta.

    Raises
    ------
    ValueError
        For arguments out of range.

    Notes
    -----
    *Published*: two hexominoes on opposite sides of an image of 50 x 80 pixels, the axis at 45
    degrees or -45 plus jitter, a shift common to both; items 2 to 5 pixels wide and high, 30 to
    train with and 5 new ones. One pixel for each square is what gives 2 to 5, of all but the
    straight hexomino, which is 1 x 6; a person has to see the image enlarged.

    *Reconstructed here*: which side is 50 and which is 80 (y and x); that each item has one
    orientation, in which it always comes, that of `free_polyominoes`; eccentricity (12 to 16
    pixels), jitter (5 to 20 degrees) and shift (up to 4 pixels), all uniform; the balance of both
    labels in the same images; black on white.

    References
    ----------
    Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020.

    Examples
    --------
    >>> data = pairs("same-different", 4, seed=0)
    >>> data.image.shape, data.label.values.tolist()
    ((4, 50, 80), [0, 1, 0, 1])
    >>> (data["item"][:, 0] == data["item"][:, 1]).values.tolist()
    [False, True, False, True]
    >>> pairs("spatial-relation", 4, seed=0).label.values.tolist()
    [0, 1, 1, 0]
    """
    shapes = hexominoes()
    if task not in TASKS:
        raise ValueError(f"task {task!r} is not one of {', '.join(TASKS)}")
    whole("n", n, 1)
    whole("seed", seed, 0)
    whole("cell", cell, 1, 2)
    number("scatter", scatter, 0, 1)
    if items is not None and np.ndim(items) != 1:
        raise ValueError(f"items must be a list of two or more of 0 to 34, got {items!r}")
    chosen = list(range(len(shapes))) if items is None else list(items)
    for one in chosen:
        whole("an item", one, 0, len(shapes) - 1)
    if len(set(chosen)) < max(2, len(chosen)):
        raise ValueError(f"items must be two or more, none of them twice; got {chosen}")
    blocks = [drawn(int(seed), k, len(chosen), float(scatter)) for k in range(-(-n // BLOCK))]
    scene = {name: np.concatenate([block[name] for block in blocks])[:n] for name in blocks[0]}
    item = np.array(chosen)[scene.pop("item")]
    extent = cell * (shapes.max(1) + 1)[item]
    side = np.array([[-1], [1]])
    axis = np.stack([np.cos(scene["angle"]), np.sin(scene["angle"])], -1)
    away = scene["eccentricity"][:, None] * axis
    middle = np.array(SHAPE[::-1]) / 2 + scene.pop("shift")
    corner = np.rint(middle[:, None] + side * away[:, None] - extent / 2).astype(int)
    values = {
        "image": painted(shapes[item], corner, cell),
        "label": (scene.pop("same"), scene.pop("vertical"))[TASKS.index(task)].astype(np.int64),
        "item": item,
        "centre": corner + extent / 2,
        **scene,
    }
    config = {"task": task, "items": [int(one) for one in chosen], "cell": int(cell),
              "scatter": float(scatter), "seed": int(seed)}  # fmt: skip
    return xr.Dataset(
        {
            name: (ABOUT[name][0], array, {"long_name": ABOUT[name][1], "units": ABOUT[name][2]})
            for name, array in values.items()
        },
        coords={
            "sample": ("sample", np.arange(n), {"long_name": "stimulus", "units": "1"}),
            "axis": ("axis", ["x", "y"], {"long_name": "column or row", "units": "1"}),
        },
        attrs={
            "neurodyn_version": neurodyn.__version__, "seed": int(seed),
            "config": json.dumps(config, sort_keys=True), "references": REFERENCES,
        },
    )  # fmt: skip


ABOUT = {
    "image": (("sample", "y", "x"), "grey value: 0 black, 255 white", "1"),
    "label": (("sample",), "class", "1"),
    "item": (("sample", "part"), "number of the hexomino", "1"),
    "centre": (("sample", "part", "axis"), "middle of the item's box", "pixel"),
    "eccentricity": (("sample",), "distance of either item from the middle of the pair", "pixel"),
    "angle": (("sample",), "direction of the pair, from x to y", "rad"),
}


def drawn(seed: int, block: int, items: int, scatter: float) -> dict[str, np.ndarray]:
    """Return what is random in one block of scenes, and both labels."""
    rng = np.random.default_rng([*b"hexominoes", seed, block])
    i = np.arange(BLOCK)
    same, vertical = i % 2 == 1, (i + i // 2) % 2 == 1
    first = rng.integers(items, size=BLOCK)
    other = (first + rng.integers(1, items, size=BLOCK)) % items
    about = scatter * rng.uniform(-1, 1, (4, BLOCK))
    eccentricity, jitter = (
        (low + high + (high - low) * u) / 2
        for (low, high), u in zip((ECCENTRICITY, JITTER), about[:2], strict=True)
    )
    angle = np.deg2rad(45 + np.where(vertical, jitter, -jitter))
    return {
        "same": same, "vertical": vertical,
        "item": np.stack([first, np.where(same, first, other)], -1),
        "angle": rng.choice([-1, 1], BLOCK) * angle,
        "eccentricity": eccentricity, "shift": SHIFT * about[2:].T,
    }  # fmt: skip


def painted(
    cells: Int[np.ndarray, "sample part cell axis"], corner: Int[np.ndarray, "sample part axis"],
    side: int,
) -> UInt8[np.ndarray, "sample y x"]:  # fmt: skip
    """Return images of the cells, squares of some pixels, from the corners on."""
    image = np.full((len(cells), *SHAPE), 255, np.uint8)
    for dx in range(side):
        for dy in range(side):
            x, y = np.moveaxis(corner[:, :, None] + side * cells + [dx, dy], -1, 0)
            image[np.arange(len(cells))[:, None, None], y, x] = 0
    return image


def cut_out(data: xr.Dataset) -> UInt8[np.ndarray, "sample y x"]:
    """Return the items of each image alone: cut out around the middles of their boxes.

    Two windows of 16 pixels side by side, which hold any item and never two; part 0 is on the left.
    An item lies in the same place of its window wherever it lies in the image: of k items there are
    no more than k x k different pairs of windows, and new images of them are soon none that were
    not seen before. *A reconstruction*: how items were isolated in the published experiment is not
    known.

    Parameters
    ----------
    data : Dataset
        As `pairs` returns it.

    Examples
    --------
    >>> windows = cut_out(pairs("same-different", 4))
    >>> windows.shape, (windows[..., :16] == windows[..., 16:]).all((1, 2)).tolist()
    ((4, 16, 32), [False, True, False, True])
    """
    pad = ((0, 0), (WINDOW, WINDOW), (WINDOW, WINDOW))
    around = np.pad(data.image.values, pad, constant_values=255)
    corner = np.floor(data.centre.values).astype(int) + WINDOW // 2
    windows = np.lib.stride_tricks.sliding_window_view(around, (WINDOW, WINDOW), axis=(1, 2))
    parts = windows[np.arange(len(around))[:, None], corner[..., 1], corner[..., 0]]
    return np.concatenate([parts[:, 0], parts[:, 1]], -1)
