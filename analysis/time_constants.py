"""How fast a network settles: from its path, and from the eigenvalues at its fixed point."""

import numpy as np
import xarray as xr
from jaxtyping import Complex, Float

from neurodyn.analysis.discretisation import Run, states_of
from neurodyn.analysis.state_distance import distances

LONG_ENOUGH = 4.0
"""A run shorter than this many of its time constants does not show them."""


def e_folding_time(
    distance: Float[np.ndarray, "... time"], times: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "..."]:
    r"""Return when a distance has fallen to 1/e of what it was.

    .. math:: \tau = \min \{ t - t_0 : d(t) \le d(t_0) / e \}

    Between two times the logarithm of the distance is a straight line, so that an exponential is
    recovered exactly. Of several exponentials it is the time of the whole, not of the slowest.

    Parameters
    ----------
    distance : array
        (..., time), from where the path ends.
    times : array
        Increasing.

    Returns
    -------
    array
        In the units of `times`; NaN where nothing moves, and where the run is shorter than
        4 time constants: then its end is not yet where it goes to, and the number would come out
        too small. (An exponential's by up to 3.5%.)

    Examples
    --------
    >>> times = np.linspace(0.0, 20.0, 41)
    >>> round(float(e_folding_time(np.exp(-times / 3.0), times)), 6)
    3.0
    """
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError(f"times must be two or more and increase, got {times!r}")
    if distance.shape[-1:] != times.shape:
        raise ValueError(
            f"distance has shape {distance.shape} and times {times.shape}: the last axis must be "
            "the times"
        )
    tiny = np.finfo(float).tiny
    first = np.maximum(distance[..., :1], tiny)
    fall = np.log(np.maximum(distance, tiny) / first) + 1.0  # 1 at the start, 0 at 1/e
    below = fall <= 0
    after = below.argmax(-1)[..., None]
    before = np.maximum(after - 1, 0)
    high, low = (np.take_along_axis(fall, i, -1) for i in (before, after))
    part = np.divide(high, high - low, out=np.zeros_like(high), where=high > low)
    start, stop = times[before], times[after]
    found = (start + part * (stop - start))[..., 0] - times[0]
    known = below.any(-1) & (distance[..., 0] > 0) & np.isfinite(distance).all(-1)
    return np.where(known & (found * LONG_ENOUGH <= times[-1] - times[0]), found, np.nan)


def eigenvalue_time(eigenvalue: Complex[np.ndarray, "... mode"]) -> Float[np.ndarray, "..."]:
    r"""Return the time constant of the slowest mode.

    .. math:: \tau = -\frac{1}{\max_j \mathrm{Re}\, \lambda_j}

    Parameters
    ----------
    eigenvalue : array
        (..., mode), of the Jacobian at a fixed point; enough of them to hold the one with the
        largest real part. `neurodyn.lyapunov` gives that as a rate too.

    Returns
    -------
    array
        Infinite where that is 0; NaN where it is positive: the state leaves the fixed point.

    Examples
    --------
    >>> eigenvalue_time(np.array([[-0.5 + 2j, -2.0], [0.1, -1.0]]))
    array([ 2., nan])
    """
    largest = np.real(eigenvalue).max(-1)
    with np.errstate(divide="ignore"):
        return np.where(largest > 0, np.nan, 1 / np.abs(largest))


def relaxation(run: Run, *, quantity: str | None = None) -> xr.Dataset:
    r"""Return how far each layer is from where it ends, and its effective time constant.

    .. math:: d_\ell(t) = \sqrt{\frac{1}{n_\ell} \sum_u |r_{\ell u}(t) - r_{\ell u}(T)|^2}

    Parameters
    ----------
    run : DataTree or Dataset
        As `neurodyn.simulate` returns it, long enough to have settled. States in "rad" are phases.
    quantity : str, optional
        Of layers that have several.

    Returns
    -------
    Dataset
        ``distance`` (layer, sample, time) from the last time; ``time_constant`` (layer, sample):
        when it has fallen to 1/e (`e_folding_time`), NaN where the run is too short to know.

    Examples
    --------
    >>> time = np.linspace(0.0, 20.0, 41)
    >>> state = 1 + np.exp(-time / 2)[:, None, None] * np.ones((1, 1, 3))
    >>> run = xr.Dataset({"layer1": (("time", "sample", "unit"), state)}, {"time": time})
    >>> relaxation(run).time_constant.values.round(3)
    array([[2.]])
    """
    states = states_of(run, quantity)
    apart = []
    for state in states.values():
        flat = state.values.reshape(*state.shape[:2], -1)
        cyclic = [state.attrs.get("units") in ("rad", "radian")]
        apart.append(distances([flat], [flat[-1:]], cyclic)[0].T)
    time = next(iter(states.values())).time
    units = time.attrs.get("units", "1")
    whole = np.stack(apart)
    constants = e_folding_time(whole, time.values.astype(float))
    found = xr.Dataset(
        {
            "distance": (("layer", "sample", "time"), whole),
            "time_constant": (("layer", "sample"), constants),
        },
        coords={"layer": list(states), "time": time},
    )
    found.distance.attrs = {"long_name": "distance from the last state", "units": "1"}
    found.time_constant.attrs = {
        "long_name": "effective time constant (to 1/e of the distance from the last state)",
        "units": "published steps" if units == "1" else units,
    }
    return found
