"""How much synchrony changes: metastability and the chimera index."""

from typing import Literal

import numpy as np
import xarray as xr

from neurodyn.analysis.groups import group_synchrony
from neurodyn.analysis.order import order_parameter
from neurodyn.analysis.phasors import Dims

SHANAHAN = "Shanahan (2010), Chaos 20, 013108, doi:10.1063/1.3305451"
CABRAL = "Cabral et al. (2011), NeuroImage 57, 130-139, doi:10.1016/j.neuroimage.2011.04.010"
ABOUT = {
    "metastability": ("variance over time of the order parameter", CABRAL),
    "group_metastability": ("mean over groups of the variance over time", SHANAHAN),
    "chimera_index": ("mean over time of the variance over groups", SHANAHAN),
}


def metastability(
    phase: xr.DataArray,
    groups: xr.DataArray | None = None,
    amplitude: xr.DataArray | None = None,
    *,
    unit: Dims = "unit",
    dim: str = "time",
    normalise: Literal["max"] | None = None,
) -> xr.Dataset:
    r"""Return how much synchrony varies over time, and over groups.

    .. math::
        M = \mathrm{Var}_t\, R(t), \qquad
        \lambda = \langle \mathrm{Var}_t\, R_g(t) \rangle_g, \qquad
        \chi = \langle \mathrm{Var}_g\, R_g(t) \rangle_t

    Two quantities go by the name of metastability: the variance of the order parameter of all
    units, M, and the mean variance of those of the groups, lambda. Chi is high where some groups
    are in phase while others are not. Variances of n values have the denominator n - 1.

    Parameters
    ----------
    phase, amplitude, unit
        As in `order_parameter`, over `unit`.
    groups : DataArray, optional
        As in `group_synchrony`; without it M only.
    dim : str
        Time.
    normalise : {None, "max"}
        Divide each variance by the largest that n values from 0 to 1 can have, half of them 0 and
        half 1: floor(n/2) ceil(n/2) / (n (n-1)), which is n / (4 (n-1)) for even n. The attribute
        ``normaliser`` says by how much; constants in print, such as 1/12 and 5/36, are other ones.

    Returns
    -------
    Dataset
        ``metastability`` M and, with groups, ``group_metastability`` lambda and ``chimera_index``
        chi: pure numbers. NaN where fewer than two values are there.

    References
    ----------
    Lambda and chi: Shanahan (2010), Chaos 20, 013108, doi:10.1063/1.3305451. M: Cabral et al.
    (2011), NeuroImage 57, 130-139, doi:10.1016/j.neuroimage.2011.04.010.

    Examples
    --------
    One group is always in phase, the other never:

    >>> phase = xr.DataArray([[0.0, 0.0, 0.0, np.pi]] * 3, dims=("time", "unit"))
    >>> found = metastability(phase, xr.DataArray([1, 1, 2, 2], dims="unit"), normalise="max")
    >>> float(found.metastability), round(float(found.chimera_index), 6)
    (0.0, 1.0)
    """
    if normalise not in (None, "max"):
        raise ValueError(f"normalise {normalise!r} is not one of: None, 'max'")
    if dim not in phase.dims:
        raise ValueError(
            f"dim {dim!r} is not a dimension; use one of: {', '.join(map(str, phase.dims))}"
        )
    whole = order_parameter(phase, amplitude, dim=unit).order_parameter
    found = {"metastability": variance(whole, dim)}
    if groups is not None:
        grouped = group_synchrony(phase, groups, amplitude, unit=unit).group_order_parameter
        found["group_metastability"] = variance(grouped, dim)
        found["chimera_index"] = variance(grouped, "group")
    averaged = {"metastability": (), "group_metastability": ("group",), "chimera_index": (dim,)}
    result = {}
    for name, (value, largest) in found.items():
        if normalise == "max":
            value = value / largest
        result[name] = value.mean(averaged[name])
        long_name, references = ABOUT[name]
        result[name].attrs = {"long_name": long_name, "units": "1", "references": references}
        constants = np.unique(largest.values[np.isfinite(largest.values)])
        if normalise == "max" and len(constants):
            result[name].attrs["normaliser"] = constants if len(constants) > 1 else constants[0]
    return xr.Dataset(result, attrs={"dim": dim, "denominator": "n - 1"})


def variance(values: xr.DataArray, dim: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the variance of what is there, NaN of fewer than two, and the largest possible."""
    n = values.notnull().sum(dim)
    n = n.where(n > 1)
    deviation = values - values.mean(dim)
    largest = (n // 2) * (n - n // 2) / (n * (n - 1))
    return (deviation**2).sum(dim) / (n - 1), largest
