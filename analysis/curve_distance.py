"""How far apart two curves are: area between them, signed area, RMSE, largest gap."""

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.integrate import trapezoid

AXES = ("n_seen", "block", "length")
PAPER = "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861"
MEASURES = {
    "area": "area between the curves over the range of x: mean |difference|",
    "signed_area": "signed area over the range of x: mean difference, human minus network",
    "rmse": "root mean squared difference over the points",
    "max_gap": "largest |difference| at a point",
}


def area_between(
    x: Float[np.ndarray, " point"], difference: Float[np.ndarray, "... point"]
) -> Float[np.ndarray, "..."]:
    r"""Return the mean absolute difference of two curves, straight between their points.

    .. math:: \frac{1}{x_K - x_1} \int_{x_1}^{x_K} |d(x)|\, dx

    Each piece is split where the curves cross: from d to e of opposite signs, over a width w, the
    two triangles have the area :math:`w (d^2 + e^2) / (2 |d| + 2 |e|)`.

    Parameters
    ----------
    x : array
        Shape (point,), increasing.
    difference : array
        Shape (..., point).

    Examples
    --------
    >>> area_between(np.array([0.0, 1.0]), np.array([[-1.0, 1.0], [0.0, 1.0]]))
    array([0.5, 0.5])
    """
    left, right = difference[..., :-1], difference[..., 1:]
    size = np.abs(left) + np.abs(right)
    crossing = (left**2 + right**2) / np.where(size == 0, 1, size)
    pieces = np.where(left * right < 0, crossing, size) / 2
    return (pieces * np.diff(x)).sum(-1) / (x[-1] - x[0])


def curve_distance(
    human: xr.DataArray,
    network: xr.DataArray,
    *,
    dim: str | None = None,
    exclude: float | Sequence[float] = (),
) -> xr.Dataset:
    r"""Return how far apart the curves of people and networks are.

    .. math:: \text{area} = \frac{1}{x_K - x_1} \int |h - m|\, dx, \qquad
              \text{signed area} = \frac{1}{x_K - x_1} \int (h - m)\, dx

    .. math:: \mathrm{RMSE} = \sqrt{\tfrac1K \sum_k (h_k - m_k)^2}, \qquad
              \text{max gap} = \max_k |h_k - m_k|

    Curves are straight between their points; the area is exact where they cross. The paper uses
    the area between the curves, over training size and over string length; it does not say
    whether it is signed, nor its units. The distance of two mean curves is less than the mean
    distance of single curves, which also holds their noise: average over subjects and seeds first,
    and take intervals from resampled means.

    Parameters
    ----------
    human, network : DataArray
        With one of the dimensions n_seen, block or length in common, the same labels on both. Any
        other dimensions (grammar, family, subject, seed, resample) are broadcast and kept.
    dim : str, optional
        The dimension of the curve, if they have several of those in common.
    exclude : number or sequence of numbers
        Labels to leave out: the point at which the network was chosen to match (500 of the
        paper's windows, whose trials belong to block 8; or block 8).

    Returns
    -------
    Dataset
        ``area``, ``signed_area``, ``rmse``, ``max_gap`` and ``n_points``, the points where both
        are known; a measure is NaN where a point is missing. What was left out is in the
        attribute "excluded".

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861.

    Examples
    --------
    >>> n_seen = {"n_seen": [100.0, 200.0, 300.0]}
    >>> human = xr.DataArray([0.5, 0.7, 0.8], n_seen, dims="n_seen")
    >>> network = xr.DataArray([0.6, 0.6, 0.8], n_seen, dims="n_seen")
    >>> curve_distance(human, network, exclude=300).area.round(6).item()
    0.05
    """
    axis = common_axis(human, network, dim)
    left_out = np.atleast_1d(np.asarray(exclude, float))
    labels = human[axis].values
    missing = [x for x in left_out.tolist() if x not in labels]
    if missing:
        raise ValueError(f"exclude {missing} is not in {axis}: {labels.tolist()}")
    difference = (human - network).transpose(..., axis)
    difference = difference.isel({axis: ~np.isin(labels, left_out)}).sortby(axis)
    if difference.sizes[axis] < 2:
        raise ValueError(f"a curve needs two points or more over {axis}, {left_out} left out")
    x, d = difference[axis].values.astype(float), difference.values
    values = {
        "area": area_between(x, d),
        "signed_area": trapezoid(d, x) / (x[-1] - x[0]),
        "rmse": np.sqrt((d**2).mean(-1)),
        "max_gap": np.abs(d).max(-1),
    }
    found = difference.isel({axis: 0}, drop=True).to_dataset(name="area")
    dims, units = difference.dims[:-1], human.attrs.get("units", "1")
    for name, long_name in MEASURES.items():
        about = {"long_name": long_name, "units": units, "references": PAPER}
        found[name] = dims, values[name], about
    found["n_points"] = dims, (~np.isnan(d)).sum(-1), {"long_name": "points known", "units": "1"}
    found.attrs = {
        "curve_over": axis,
        "points": json.dumps(x.tolist()),
        "excluded": json.dumps(left_out.tolist()),
        "provenance": "reconstruction",
    }
    return found


def common_axis(human: xr.DataArray, network: xr.DataArray, dim: str | None) -> str:
    """Return the dimension of both curves; refuse different labels on it."""
    common = [axis for axis in AXES if axis in human.dims and axis in network.dims]
    if dim is not None and not (dim in human.dims and dim in network.dims):
        raise ValueError(f"dim {dim!r} is not a dimension of both: {human.dims} and {network.dims}")
    if dim is None and len(common) != 1:
        raise ValueError(
            f"human and network need one of {', '.join(AXES)} in common (or name it by dim), they "
            f"have {human.dims} and {network.dims}"
        )
    axis = common[0] if dim is None else dim
    for other in map(str, {*human.dims} & {*network.dims}):
        mine, theirs = np.sort(human[other].values), np.sort(network[other].values)
        if not np.array_equal(mine, theirs):
            raise ValueError(
                f"human and network must have the same {other}, got {mine.tolist()} and "
                f"{theirs.tolist()}; select what is common"
            )
        if len(np.unique(mine)) < len(mine):
            raise ValueError(f"{other} has a label twice: {mine.tolist()}")
    return axis
