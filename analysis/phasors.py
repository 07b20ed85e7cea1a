"""Phases and amplitudes as weighted phasors, with the wanted axes last."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

Dims = str | Sequence[str]
RADIANS = ("rad", "radian", "radians")


class Phasors(NamedTuple):
    """The parts of w exp(i theta), and w itself: None where every weight is one."""

    cosine: Float[np.ndarray, "..."]
    sine: Float[np.ndarray, "..."]
    weight: Float[np.ndarray, "..."] | None


def phasors(phase: np.ndarray, amplitude: np.ndarray | None = None) -> Phasors:
    r"""Return weighted phasors; what is missing or silent has weight zero.

    .. math:: w e^{i\theta} = w \cos\theta + i\, w \sin\theta

    Parameters
    ----------
    phase : array
        Radians, any shape; not finite where missing.
    amplitude : array, optional
        The weights w, at least 0, of the same shape; NaN where missing. One by default.

    Returns
    -------
    Phasors
        In the precision of the phases, float32 or float64.

    Examples
    --------
    >>> phasors(np.array([0.0, np.nan]), np.array([0.5, 2.0])).cosine
    array([0.5, 0. ])
    """
    if any(np.iscomplexobj(x) for x in (phase, amplitude) if x is not None):
        raise TypeError("complex numbers z are given as phase np.angle(z) and amplitude np.abs(z)")
    dtype = np.result_type(phase, np.float32)
    phase = phase.astype(dtype, copy=False)
    missing = ~np.isfinite(phase)
    if amplitude is None:
        if not missing.any():
            return Phasors(np.cos(phase), np.sin(phase), None)
        weight = np.where(missing, dtype.type(0), dtype.type(1))
    else:
        if (amplitude < 0).any() or np.isinf(amplitude).any():
            raise ValueError(
                "amplitudes are weights: finite, 0 or larger, NaN where missing. For a negative "
                "one take np.abs and add pi to its phase; for a mask give amplitude > 0"
            )
        dtype = np.dtype(np.float64)  # small weights squared are nothing in single precision
        weight = np.where(missing | np.isnan(amplitude), 0, amplitude).astype(dtype)
    phase = np.where(missing, dtype.type(0), phase)
    return Phasors(weight * np.cos(phase), weight * np.sin(phase), weight)


def names(dim: Dims) -> tuple[str, ...]:
    """Return one or several names of dimensions as a tuple."""
    return (dim,) if isinstance(dim, str) else tuple(dim)


def kept_dims(dims: Sequence[Hashable], **roles: tuple[str, ...]) -> tuple[Hashable, ...]:
    """Return the dimensions that no role takes; refuse those not there or taken twice."""
    there = ", ".join(map(str, dims))
    taken = [name for role in roles.values() for name in role]
    for role, wanted in roles.items():
        if not wanted:
            raise ValueError(f"{role} names no dimension; use some of: {there}")
        for name in wanted:
            if name not in dims:
                raise ValueError(f"{role} {name!r} is not a dimension; use some of: {there}")
            if taken.count(name) > 1:
                raise ValueError(
                    f"{role} {name!r} is named twice; {' and '.join(roles)} share no dimension"
                )
    return tuple(d for d in dims if d not in taken)


def check_phase(phase: xr.DataArray, amplitude: xr.DataArray | None) -> xr.DataArray | None:
    """Refuse what is not a phase with named dimensions; return the amplitude with all of them."""
    for name, array in (("phase", phase), ("amplitude", amplitude)):
        if not (isinstance(array, xr.DataArray) or (array is None and name == "amplitude")):
            raise TypeError(
                f"{name} must be a DataArray, got {type(array).__name__}; name its axes: "
                "xr.DataArray(values, dims=('time', 'unit'))"
            )
    if phase.attrs.get("units", "rad") not in RADIANS:
        raise ValueError(
            f"phase has units {phase.attrs['units']!r} and must be in radians ('rad'); "
            "see np.deg2rad"
        )
    return None if amplitude is None else spread(amplitude, phase, "amplitude")


def spread(
    array: xr.DataArray, onto: xr.DataArray, name: str, other: str = "phase"
) -> xr.DataArray:
    """Return an array with all dimensions of another, whose labels must agree."""
    extra = [str(d) for d in array.dims if d not in onto.dims]
    if extra:
        raise ValueError(
            f"{name} has dimensions that {other} has not: {', '.join(extra)}; "
            f"{other} has {', '.join(map(str, onto.dims))}"
        )
    try:
        xr.align(onto, array, join="exact", copy=False)
    except ValueError as error:
        raise ValueError(f"{name} and {other} disagree in sizes or labels: {error}") from error
    return array.broadcast_like(onto)


def flattened(
    array: xr.DataArray, kept: Sequence[Hashable], *roles: Sequence[Hashable]
) -> np.ndarray:
    """Return the values with one axis for each kept dimension, then one for each role."""
    turned = array.transpose(*kept, *(name for role in roles for name in role))
    shape = [array.sizes[d] for d in kept]
    return turned.values.reshape(
        *shape, *(int(np.prod([array.sizes[d] for d in role])) for role in roles)
    )


def kept_coords(array: xr.DataArray, kept: Sequence[Hashable]) -> dict[Hashable, Any]:
    """Return the coordinates that belong to kept dimensions only."""
    return {
        name: coord.variable for name, coord in array.coords.items() if set(coord.dims) <= set(kept)
    }
