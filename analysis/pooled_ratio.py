"""The ratio of two sums over images, with an interval."""

import numpy as np
import xarray as xr

from neurodyn.analysis.accuracy import REFERENCES, resampling_weights


def pooled_ratio(
    above: xr.DataArray,
    below: xr.DataArray,
    name: str,
    long_name: str,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return a ratio of sums over images, with an interval over images.

    .. math:: \rho = \frac{\sum_i a_i}{\sum_i b_i}

    The mean of ratios would be ruled by the images whose denominator is nearly 0. In the bootstrap
    an image's numerator and denominator stay together.

    Parameters
    ----------
    above, below : DataArray
        :math:`a` and :math:`b`, with ``sample``; they broadcast by the names of dimensions.
    name, long_name : str
        Of the result.
    level : float
        Coverage aimed at, between 0 and 1, point by point.
    resamples : int
        Bootstrap samples of the images.
    seed : int
        What they are drawn from.

    Returns
    -------
    Dataset
        `name` and ``{name}_ci`` (..., ci_bound = lower, upper), pure numbers; NaN where the
        denominator is 0.

    Examples
    --------
    >>> a = xr.DataArray([1.0, 3.0], dims="sample")
    >>> pooled_ratio(a, 2 * a, "half", "one half").half.item()
    0.5
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    if resamples < 100:
        raise ValueError(f"resamples must be 100 or more for an interval, got {resamples!r}")
    if "sample" not in above.dims or "sample" not in below.dims:
        raise ValueError(
            "an interval over images needs the dimension 'sample'; got "
            f"{', '.join(map(str, above.dims))} and {', '.join(map(str, below.dims))}"
        )
    weights = resampling_weights(above.sizes["sample"], resamples, seed)
    a, b = xr.broadcast(above, below)

    def interval(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ratios = divided(a @ weights.T, b @ weights.T)
        tails = [(1 - level) / 2, (1 + level) / 2]
        return np.moveaxis(np.quantile(ratios, tails, axis=-1), 0, -1)

    bounds = xr.apply_ufunc(
        interval, a, b, input_core_dims=[["sample"]] * 2, output_core_dims=[["ci_bound"]]
    ).assign_coords(ci_bound=["lower", "upper"])
    sums = [x.sum("sample", skipna=False) for x in (a, b)]
    result = xr.Dataset({name: xr.apply_ufunc(divided, *sums), f"{name}_ci": bounds})
    about = {"units": "1", "references": REFERENCES}
    result[name].attrs = {"long_name": long_name, **about}
    result[f"{name}_ci"].attrs = {
        "long_name": f"{level:.0%} interval of the {long_name}, bootstrap over images",
        "level": level,
        "resamples": resamples,
        "seed": seed,
        "images": above.sizes["sample"],
        **about,
    }
    result.ci_bound.attrs = {"long_name": "bound of the interval", "units": "1"}
    return result


def divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, NaN where b is 0."""
    b = np.asarray(b, dtype=float)
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)
