"""Proportion correct over time, and differences of it, with intervals over images."""

from collections.abc import Hashable

import numpy as np
import xarray as xr
from jaxtyping import Float

REFERENCES = (
    "Efron & Tibshirani (1993), An Introduction to the Bootstrap, Chapman & Hall; "
    "Field & Welsh (2007), Bootstrapping clustered data, J. R. Stat. Soc. B 69, 369-390"
)


def resampling_weights(
    images: int, resamples: int, seed: int = 0
) -> Float[np.ndarray, "resample image"]:
    r"""Draw bootstrap samples of the images, as the weight of each image in each sample.

    .. math:: w_b = n_b / N, \qquad n_b \sim \mathrm{Multinomial}(N; 1/N, \ldots, 1/N)

    Parameters
    ----------
    images, resamples : int
        The number N of images, and how many samples of N images to draw, with replacement.
    seed : int
        Of the draw; the same seed gives the same samples.

    Examples
    --------
    >>> resampling_weights(4, 2).sum(axis=1)
    array([1., 1.])
    """
    picked = np.random.default_rng(seed).integers(images, size=(resamples, images))
    picked += images * np.arange(resamples)[:, None]
    counts = np.bincount(picked.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images) / images


def bootstrap_interval(
    values: Float[np.ndarray, "... image"],
    weights: Float[np.ndarray, "resample image"],
    level: float = 0.95,
) -> Float[np.ndarray, "... 2"]:
    r"""Return the percentile interval of the mean over images.

    .. math:: \left[ Q_{(1 - c)/2}, Q_{(1 + c)/2} \right]
              \text{ of } \{ m_b \}, \qquad m_b = \sum_i w_{bi} v_i

    Parameters
    ----------
    values : array
        Shape (..., image).
    weights : array
        Shape (resample, image), from `resampling_weights`: the same samples for all values.
    level : float
        The coverage c aimed at.

    Returns
    -------
    array
        Shape (..., 2): the lower and the upper bound.

    Examples
    --------
    >>> every_sample_of_two = np.array([[1, 0], [0.5, 0.5], [0.5, 0.5], [0, 1]])
    >>> bootstrap_interval(np.array([0.0, 1.0]), every_sample_of_two, level=1.0)
    array([0., 1.])
    """
    means = values @ weights.T
    tails = [(1 - level) / 2, (1 + level) / 2]
    return np.moveaxis(np.quantile(means, tails, axis=-1), 0, -1)


def accuracy(
    correct: xr.DataArray,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the proportion correct, with an interval over images.

    .. math:: A(\ldots) = \frac{1}{N S} \sum_{i=1}^{N} \sum_{s=1}^{S} c(\ldots, s, i)

    The interval is a percentile bootstrap over images. All seeds of an image stay together, so
    that it is not narrower for having shown the same images more often. It says how much the
    accuracy depends on which images were drawn, for the seeds used.

    Parameters
    ----------
    correct : DataArray
        True or 1 where the answer was right; dims ``sample``, perhaps ``seed``, and any others
        (time, noise, solver, ...), which are kept.
    level : float
        Coverage aimed at, between 0 and 1, point by point.
    resamples : int
        Bootstrap samples of the images, the same for all points.
    seed : int
        What they are drawn from.

    Returns
    -------
    Dataset
        ``accuracy`` and ``accuracy_ci`` (..., ci_bound = lower, upper), pure numbers.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap. Field & Welsh (2007),
    Bootstrapping clustered data, J. R. Stat. Soc. B 69, 369-390.

    Examples
    --------
    >>> right = np.array([[1, 1], [1, 0], [0, 0], [1, 1]], dtype=bool)
    >>> result = accuracy(xr.DataArray(right, dims=("sample", "time")))
    >>> result.accuracy.values
    array([0.75, 0.5 ])
    >>> result.accuracy_ci.dims
    ('time', 'ci_bound')
    """
    per_image = per_image_accuracy(correct)
    return summarised(per_image, "accuracy", "accuracy", level, resamples, seed)


def paired_difference(
    correct: xr.DataArray,
    dim: str,
    reference: Hashable,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return how much more accurate the conditions along one dimension are than one of them.

    .. math:: D(k) = A(k) - A(\text{reference})

    Paired: the difference is taken image by image (and seed by seed) before the images are
    resampled, so that the interval is not widened by what makes an image hard for both.

    Parameters
    ----------
    correct : DataArray
        As in `accuracy`; the same images under all conditions.
    dim : str
        The dimension to compare along, e.g. "solver".
    reference : label
        The coordinate of `dim` that is subtracted.
    level, resamples, seed
        As in `accuracy`; with equal seeds the resampled images are the same as there.

    Returns
    -------
    Dataset
        ``difference`` and ``difference_ci`` (..., ci_bound); `dim` holds the other conditions.

    References
    ----------
    As in `accuracy`.

    Examples
    --------
    >>> right = np.array([[0, 1], [0, 1], [1, 1], [0, 0]], dtype=bool)
    >>> right = xr.DataArray(right, dims=("sample", "solver"), coords={"solver": ["a", "b"]})
    >>> paired_difference(right, "solver", "a").difference.sel(solver="b").item()
    0.5
    """
    if dim not in correct.dims or dim not in correct.coords:
        allowed = [str(d) for d in correct.dims if d in correct.coords and d != "sample"]
        raise ValueError(
            f"dim {dim!r} is not a labelled dimension; use one of: {', '.join(allowed)}"
        )
    labels = correct[dim].values.tolist()
    if reference not in labels:
        raise ValueError(f"reference {reference!r} is not in {dim}: {', '.join(map(str, labels))}")
    per_image = per_image_accuracy(correct)
    others = per_image.sel({dim: [label for label in labels if label != reference]})
    differences = others - per_image.sel({dim: reference}, drop=True)
    name = f"accuracy minus that of {dim} {reference}"
    return summarised(differences, "difference", name, level, resamples, seed)


def per_image_accuracy(correct: xr.DataArray) -> xr.DataArray:
    """Return the mean over seeds, ``sample`` last; refuse what is not right or wrong."""
    if "sample" not in correct.dims:
        raise ValueError(
            f"correct needs a dimension 'sample', it has {', '.join(map(str, correct.dims))}"
        )
    values = correct.values
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise ValueError(
            "correct must hold True and False (or 1 and 0) only, no proportions and no NaN"
        )
    share = correct.astype(float)
    if "seed" in share.dims:
        share = share.mean("seed")
    return share.transpose(..., "sample")


def summarised(
    values: xr.DataArray, name: str, long_name: str, level: float, resamples: int, seed: int
) -> xr.Dataset:
    """Return the mean over samples and its interval as a Dataset."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    if resamples < 100:
        raise ValueError(f"resamples must be 100 or more for an interval, got {resamples!r}")
    weights = resampling_weights(values.sizes["sample"], resamples, seed)
    interval = xr.apply_ufunc(
        bootstrap_interval,
        values,
        input_core_dims=[["sample"]],
        output_core_dims=[["ci_bound"]],
        kwargs={"weights": weights, "level": level},
    ).assign_coords(ci_bound=["lower", "upper"])
    result = xr.Dataset({name: values.mean("sample"), f"{name}_ci": interval})
    common = {"units": "1", "references": REFERENCES}
    result[name].attrs = {"long_name": long_name, **common}
    result[f"{name}_ci"].attrs = {
        "long_name": f"{level:.0%} interval of the {long_name}, bootstrap over images",
        "level": level,
        "resamples": resamples,
        "seed": seed,
        "images": values.sizes["sample"],
        **common,
    }
    result.ci_bound.attrs = {"long_name": "bound of the interval", "units": "1"}
    return result
