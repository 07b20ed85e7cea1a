"""From contours to pixels, and masks of pixels."""

import numpy as np
from jaxtyping import Bool, Int64
from scipy import ndimage

from neurodyn.stimuli.svrt.contour import Contours, Points
from neurodyn.stimuli.svrt.ragged import Indices

Masks = Bool[np.ndarray, "sample y x"]
CROSS = np.zeros((3, 3, 3), bool)  # neighbours within an image, by edges
CROSS[1, 1, :] = CROSS[1, :, 1] = True


def raster(
    shapes: Contours, width: int = 1
) -> tuple[Int64[np.ndarray, "pixel 2"], Int64[np.ndarray, " contour+1"]]:
    """Return the pixels (x, y) that each contour covers, none twice, and where each begins.

    Between two anchors the contour is halved, by number of points, until the ends of a part lie in
    the same pixel or in neighbours; the first point of each part is drawn. Drawing all points would
    make lines about a third heavier.

    Parameters
    ----------
    shapes : Contours
        Around the origin, or moved by whole pixels: the pixels move with it.
    width : int
        Of the line: each point covers a square of pixels.
    """
    drawn = thinned(shapes.points, shapes.corner)
    start = np.searchsorted(drawn, shapes.start)
    points = shapes.points[drawn]
    pixels = np.stack([np.floor(points.real), np.floor(points.imag)], 1).astype(np.int64)
    if width > 1:
        around = np.arange(width) - (width - 1) // 2
        square = np.stack(np.meshgrid(around, around), -1).reshape(-1, 2)
        pixels, start = (pixels[:, None] + square).reshape(-1, 2), start * width**2
    return pixels, start


def thinned(points: Points, corner: Int64[np.ndarray, "contour 5"]) -> Indices:
    """Return which points are drawn."""
    x, y = np.floor(points.real), np.floor(points.imag)
    first, last = corner[:, :-1].ravel(), corner[:, 1:].ravel()
    drawn = []
    while len(first):
        far = (abs(x[first] - x[last]) > 1) | (abs(y[first] - y[last]) > 1)
        far &= last > first + 1
        drawn.append(first[~far])
        first, last = first[far], last[far]
        middle = (first + last) // 2
        first, last = np.concatenate([first, middle]), np.concatenate([middle, last])
    return np.sort(np.concatenate(drawn))


def filled(pixels: Int64[np.ndarray, " pixel"], size: int) -> Int64[np.ndarray, " pixel"]:
    """Return the pixels of a line around the origin and those within it, all as size y + x."""
    y, x = np.divmod(pixels + size // 2, size)
    x -= size // 2
    top, left = y.min() - 1, x.min() - 1
    ink = np.zeros((1, y.max() - top + 2, x.max() - left + 2), bool)
    ink[0, y - top, x - left] = True
    _, y, x = np.nonzero(ink | interior(ink))
    return (y + top) * size + x + left


def beside(masks: Masks) -> Masks:
    """Return masks grown by a pixel in all eight directions."""
    rows = masks.copy()
    rows[:, 1:] |= masks[:, :-1]
    rows[:, :-1] |= masks[:, 1:]
    grown = rows.copy()
    grown[:, :, 1:] |= rows[:, :, :-1]
    grown[:, :, :-1] |= rows[:, :, 1:]
    return grown


def within(masks: Masks, distance: int) -> Masks:
    """Return masks, none empty, grown by a number of pixels along rows and columns."""
    transform = ndimage.distance_transform_cdt
    return np.stack([transform(~mask, "taxicab") <= distance for mask in masks])


def interior(ink: Masks) -> Masks:
    """Return what lines enclose: all that is not reached from the corner, by edges of pixels."""
    parts, _ = ndimage.label(~ink, CROSS)
    return (parts != parts[:, :1, :1]) & ~ink
