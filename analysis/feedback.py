"""Prediction errors over time, and accuracy at the fixed point beside accuracy over time."""

import xarray as xr

from neurodyn.analysis.accuracy import accuracy
from neurodyn.analysis.contributions import needed
from neurodyn.analysis.pooled_ratio import pooled_ratio


def error_over_time(
    prediction_error: xr.DataArray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> xr.Dataset:
    r"""Return the prediction error of each layer over time, and relative to the first time.

    .. math::

        \epsilon_\ell(t) = \frac{1}{N} \sum_i \frac{1}{d_\ell}
            | g_\ell(e_{\ell i}(t)) - e_{\ell - 1, i}(t) |^2, \qquad
        \frac{\epsilon_\ell(t)}{\epsilon_\ell(t_0)}

    Parameters
    ----------
    prediction_error : DataArray
        (layer, sample, time, ...): mean squares, as `neurodyn.feedback_terms.record_terms` returns
        them.
    level, resamples, seed
        As in `accuracy`.

    Returns
    -------
    Dataset
        ``prediction_error`` (layer, time, ...), squared activities; ``relative_error``, 1 at the
        first time, with ``relative_error_ci`` (..., ci_bound) over images, paired over time.

    Examples
    --------
    >>> error = xr.DataArray([[[4.0, 1.0], [2.0, 0.5]]], dims=("layer", "sample", "time"))
    >>> found = error_over_time(error)
    >>> found.prediction_error.values, found.relative_error.values
    (array([[3.  , 0.75]]), array([[1.  , 0.25]]))
    """
    needed(prediction_error, "layer", "sample", "time")
    found = pooled_ratio(
        prediction_error, prediction_error.isel(time=0, drop=True), "relative_error",
        "prediction error over that at the first time",
        level=level, resamples=resamples, seed=seed,
    )  # fmt: skip
    mean = prediction_error.mean("sample", skipna=False)
    mean.attrs = {"units": "1"} | prediction_error.attrs
    mean.attrs["long_name"] = "prediction error"
    return found.assign(prediction_error=mean)


def fixed_point_accuracy(
    correct: xr.DataArray,
    speed: xr.DataArray,
    *,
    tolerance: float = 1e-3,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return accuracy over time, and beside it accuracy where the network comes to rest.

    A gain at some time may belong to the way to the fixed point, and be gone there. An image counts
    as at rest if no layer still moves at the last time:

    .. math:: \max_\ell \frac{|\dot r_\ell|}{|r_\ell|} < \epsilon

    Parameters
    ----------
    correct : DataArray
        (sample, time, ...): right or wrong.
    speed : DataArray
        (layer, sample, time, ...): relative speeds per unit of time, as
        `neurodyn.feedback_terms.record_terms` returns them; only the last time is used.
    tolerance : float
        :math:`\epsilon`.
    level, resamples, seed
        As in `accuracy`.

    Returns
    -------
    Dataset
        ``accuracy`` (time, ...); ``settled`` (...), the share of images at rest at the last time;
        ``fixed_point_accuracy`` (...), of those, NaN if there are none; ``best_minus_last`` (...),
        the highest accuracy over time less that at the last one: the highest is picked after the
        fact, so it is above 0 by chance too. The first three with ``..._ci``; the interval of
        ``fixed_point_accuracy`` is NaN if a bootstrap sample has none at rest.

    Raises
    ------
    ValueError
        If the two have other samples (or seeds, ...), or another last time.

    Examples
    --------
    >>> right = xr.DataArray([[0, 1, 1], [0, 1, 0]], dims=("sample", "time"))
    >>> speed = xr.DataArray([[[0.0] * 3] * 2], dims=("layer", "sample", "time"))
    >>> found = fixed_point_accuracy(right, speed)
    >>> found.accuracy.values, float(found.fixed_point_accuracy), float(found.best_minus_last)
    (array([0. , 1. , 0.5]), 0.5, 0.5)
    """
    needed(correct, "sample", "time")
    needed(speed, "layer", "sample", "time")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance!r}")
    check_same(correct, speed)
    how = {"level": level, "resamples": resamples, "seed": seed}
    found = accuracy(correct, **how)  # type: ignore[arg-type]
    resting = (speed.isel(time=-1, drop=True).max("layer", skipna=False) < tolerance).astype(float)
    last = correct.isel(time=-1, drop=True).astype(float)
    right = last * resting
    right, resting = (x.mean("seed") if "seed" in x.dims else x for x in (right, resting))
    parts = [
        found,
        pooled_ratio(resting, xr.ones_like(resting), "settled",
                     "share of images at rest at the last time", **how),  # type: ignore[arg-type]
        pooled_ratio(right, resting, "fixed_point_accuracy", "accuracy at the fixed point",
                     **how),  # type: ignore[arg-type]
    ]  # fmt: skip
    result = xr.merge(parts, combine_attrs="override")
    best = result.accuracy.max("time") - result.accuracy.isel(time=-1, drop=True)
    result["best_minus_last"] = best.assign_attrs(
        long_name="highest accuracy over time minus that at the last time", units="1"
    )
    result.attrs["tolerance"] = tolerance
    return result


def check_same(correct: xr.DataArray, speed: xr.DataArray) -> None:
    """Refuse answers and speeds of other samples, or that end at another time."""
    for dim in (d for d in correct.dims if d in speed.dims and d != "time"):
        same = correct.sizes[dim] == speed.sizes[dim]
        if same and dim in correct.coords and dim in speed.coords:
            same = set(correct[dim].values.tolist()) == set(speed[dim].values.tolist())
        if not same:
            raise ValueError(
                f"correct and speed must be of the same run, but have other labels along {dim!r} "
                f"({correct.sizes[dim]} and {speed.sizes[dim]} of them); select the same of both"
            )
    if "time" in correct.coords and "time" in speed.coords:
        ends = [float(x.time[-1]) for x in (correct, speed)]
        if ends[0] != ends[1]:
            raise ValueError(
                f"correct ends at t = {ends[0]:g} and speed at t = {ends[1]:g}: who is at rest is "
                "read at the last time, which must be the same"
            )
