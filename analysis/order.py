"""Order parameters: how much phases agree, over any dimensions or in a neighbourhood."""

from typing import Literal

import numpy as np
import xarray as xr
from scipy.ndimage import convolve1d

from neurodyn.analysis.phasors import (
    Dims,
    Phasors,
    check_phase,
    flattened,
    kept_coords,
    kept_dims,
    names,
    phasors,
)

KURAMOTO = "Kuramoto (1975), Lecture Notes in Physics 39, 420-422, doi:10.1007/BFb0013365"
DAIDO = "Daido (1992), Prog. Theor. Phys. 88, 1213-1218, doi:10.1143/ptp/88.6.1213"
BORDERS = {"cut": "constant", "wrap": "wrap"}


def order_parameter(
    phase: xr.DataArray,
    amplitude: xr.DataArray | None = None,
    *,
    dim: Dims,
    harmonic: int = 1,
) -> xr.Dataset:
    r"""Return the order parameter: the length and direction of the mean phasor.

    .. math:: R_m e^{i\Psi_m} = \frac{\sum_j w_j e^{i m \theta_j}}{\sum_j w_j}

    Over units this is Kuramoto's global order parameter, over samples the inter-trial coherence.
    R_1 is 1 for equal phases and 0 for two opposite clusters, of which R_2 is 1: Daido's m-th
    order parameter finds m clusters evenly spread. For n independent phases its mean is about
    sqrt(pi / 4n), not 0.

    Parameters
    ----------
    phase : DataArray
        Radians; NaN where missing.
    amplitude : DataArray, optional
        Weights w: an amplitude, a gate, a mask; 0 or NaN where silent.
    dim : str or sequence of str
        What is averaged over, e.g. "unit" or ("channel", "y", "x").
    harmonic : int
        m.

    Returns
    -------
    Dataset
        ``order_parameter`` (pure number), ``mean_phase`` (rad; Psi_m, which is m times a phase)
        and ``n_valid``, the phases averaged; NaN where there is none.

    References
    ----------
    Kuramoto (1975), Lecture Notes in Physics 39, 420-422, doi:10.1007/BFb0013365. Daido (1992),
    Prog. Theor. Phys. 88, 1213-1218, doi:10.1143/ptp/88.6.1213.

    Examples
    --------
    >>> phase = xr.DataArray([0.1, 0.1, np.pi + 0.1, np.pi + 0.1], dims="unit")
    >>> [round(float(order_parameter(phase, dim="unit", harmonic=m).order_parameter), 6)
    ...  for m in (1, 2)]
    [0.0, 1.0]
    """
    amplitude = check_phase(phase, amplitude)
    if not (isinstance(harmonic, int) and harmonic >= 1):
        raise ValueError(f"harmonic must be a whole number, 1 or larger, got {harmonic!r}")
    averaged = names(dim)
    kept = kept_dims(phase.dims, dim=averaged)
    values = flattened(phase, kept, averaged)
    weight = None if amplitude is None else flattened(amplitude, kept, averaged)
    z = phasors(values if harmonic == 1 else harmonic * values, weight)
    mean, n = mean_phasor(z)
    reference = KURAMOTO if harmonic == 1 else DAIDO
    result = labelled(mean, n, "order_parameter", kept, kept_coords(phase, kept), reference)
    which = "order parameter" if harmonic == 1 else f"order parameter of harmonic {harmonic}"
    result.order_parameter.attrs["long_name"] = which
    result.attrs |= {"dim": ", ".join(averaged), "harmonic": harmonic}
    return result


def local_order(
    phase: xr.DataArray,
    amplitude: xr.DataArray | None = None,
    *,
    size: int,
    dim: Dims = ("y", "x"),
    border: Literal["cut", "wrap"] = "cut",
) -> xr.Dataset:
    r"""Return the order parameter of each unit's neighbourhood.

    .. math:: R_i e^{i\Psi_i} = \frac{\sum_{j \in N(i)} w_j e^{i\theta_j}}{\sum_{j \in N(i)} w_j}

    N(i) is the box of `size` units to a side around i, itself included.

    Parameters
    ----------
    phase, amplitude
        As in `order_parameter`.
    size : int
        Units, odd.
    dim : str or sequence of str
        The dimensions of the box.
    border : {"cut", "wrap"}
        A box at the border is cut off there, or goes on at the opposite border.

    Returns
    -------
    Dataset
        ``local_order_parameter`` (pure number), ``local_phase`` (rad) and ``n_valid``, with the
        dimensions of the phases.

    References
    ----------
    As in `order_parameter`.

    Examples
    --------
    Two halves in antiphase disagree at their border only:

    >>> phase = xr.DataArray([0, 0, 0, np.pi, np.pi, np.pi], dims="x")
    >>> local_order(phase, size=3, dim="x").local_order_parameter.values.round(2)
    array([1.  , 1.  , 0.33, 0.33, 1.  , 1.  ])
    """
    amplitude = check_phase(phase, amplitude)
    box = names(dim)
    kept = kept_dims(phase.dims, dim=box)
    if not (isinstance(size, int) and size >= 1 and size % 2):
        raise ValueError(f"size must be an odd number of units, got {size!r}")
    if border not in BORDERS:
        raise ValueError(f"border {border!r} is not one of: {', '.join(BORDERS)}")
    longest = min(phase.sizes[d] for d in box)
    if border == "wrap" and size > longest:
        raise ValueError(
            f"size {size} wraps around more than once: the shortest of {', '.join(box)} has "
            f"{longest} units"
        )
    turned = phase.transpose(*kept, *box)
    z = phasors(
        turned.values, None if amplitude is None else amplitude.transpose(*turned.dims).values
    )

    def total(values: np.ndarray) -> np.ndarray:
        for axis in range(-len(box), 0):
            values = convolve1d(values, np.ones(size), axis=axis, mode=BORDERS[border])
        return values

    weight = np.ones_like(z.cosine) if z.weight is None else z.weight
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (total(z.cosine) + 1j * total(z.sine)) / total(weight)
    n = np.rint(total((weight > 0).astype(z.cosine.dtype)))
    coords = kept_coords(phase, phase.dims)
    result = labelled(mean, n, "local_order_parameter", turned.dims, coords, KURAMOTO)
    result = result.rename(mean_phase="local_phase").transpose(*phase.dims)
    result.local_order_parameter.attrs["long_name"] = "local order parameter"
    result.local_phase.attrs["long_name"] = "mean phase of the neighbourhood"
    result.attrs |= {"dim": ", ".join(box), "size": size, "border": border}
    return result


def mean_phasor(z: Phasors) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean over the last axis, NaN where all is silent, and how many count."""
    total = z.cosine.sum(-1) + 1j * z.sine.sum(-1)
    if z.weight is None:
        n = np.full(total.shape, z.cosine.shape[-1])
        return total / z.cosine.shape[-1], n
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / z.weight.sum(-1), (z.weight > 0).sum(-1)


def labelled(
    mean: np.ndarray, n: np.ndarray, name: str, dims: tuple, coords: dict, references: str
) -> xr.Dataset:
    """Return a mean phasor as length, direction and count."""
    common = {"references": references}
    length = np.minimum(np.abs(mean), 1)
    angle = np.where(np.isnan(mean), np.nan, np.angle(mean)).astype(length.dtype)
    return xr.Dataset(
        {
            name: (dims, length, {"units": "1", **common}),
            "mean_phase": (dims, angle, {"long_name": "mean phase", "units": "rad", **common}),
            "n_valid": (dims, n.astype(np.int32),
                        {"long_name": "phases averaged", "units": "1", **common}),
        },
        coords=coords,
    )  # fmt: skip
