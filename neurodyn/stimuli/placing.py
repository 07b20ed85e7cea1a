"""Where objects go on a canvas: one after another, their boxes overlapping as much as allowed."""

import numpy as np

TRIES = 8  # places drawn for an object before all places are looked through
TOLERANCE = 0.05  # of the overlap that is aimed at


def place(
    rng: np.random.Generator, heights: np.ndarray, widths: np.ndarray, side: int,
    max_overlap: float, overlap: float | None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Place the boxes of every scene one after another, each uniformly where it may lie.

    Boxes are placed jointly only in small numbers: of four, seven in ten draws fail, of five
    nearly all. An object for which the first few random places are all refused gets one of all
    the places there are; a scene fails where there is none.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where randomness comes from.
    heights, widths : ndarray
        Of the boxes, in pixels, shape (scene, object).
    side : int
        Of the canvas, in pixels.
    max_overlap, overlap : float
        See `multi_digits`.

    Returns
    -------
    corners : ndarray
        Row and column of each box's upper left pixel, shape (scene, object, 2).
    placed : ndarray
        Whether all of a scene's objects found a place, shape (scene,).
    """
    n, objects = heights.shape
    corners = np.zeros((n, objects, 2), np.int64)
    placed = np.ones(n, bool)

    def fits(scenes: slice | np.ndarray, g: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return where object g may lie, y and x being (scene, a, 1) and (scene, 1 or a, b)."""
        h, w = heights[scenes, g, None, None], widths[scenes, g, None, None]
        good = (y + h <= side) & (x + w <= side)
        most = np.zeros((1, 1, 1))
        for k in range(g):
            h_k, w_k = heights[scenes, k, None, None], widths[scenes, k, None, None]
            y_k, x_k = np.moveaxis(corners[scenes, k, :, None, None], 1, 0)
            rows = np.minimum(y + h, y_k + h_k) - np.maximum(y, y_k)
            columns = np.minimum(x + w, x_k + w_k) - np.maximum(x, x_k)
            common = rows.clip(0) * columns.clip(0)
            if overlap is None:
                good = good & (common <= max_overlap * 2 * h_k * w_k)
            else:
                most = np.maximum(most, common / np.minimum(h * w, h_k * w_k))
        if overlap is not None and g:
            good = good & (abs(most - overlap) <= TOLERANCE)
        return good

    everywhere = np.arange(side)[None]
    for g in range(objects):
        room = side - np.stack([heights[:, g], widths[:, g]], 1) + 1
        tries = np.floor(rng.random((n, TRIES, 2)) * room.clip(1)[:, None]).astype(np.int64)
        good = fits(slice(None), g, tries[..., :1], tries[..., 1:])[..., 0]
        corners[:, g] = tries[np.arange(n), good.argmax(1)]
        u = rng.random((n,))
        missed = np.flatnonzero(placed & ~good.any(1))
        if len(missed):
            good = fits(missed, g, everywhere[..., None], everywhere[:, None])
            good = good.reshape(len(missed), -1)
            ranks = np.floor(u[missed] * good.sum(1)).astype(np.int64)
            chosen = (good.cumsum(1) > ranks[:, None]).argmax(1)
            corners[missed, g] = np.stack(np.divmod(chosen, side), 1)
            placed[missed] = good.any(1)
    return corners, placed
