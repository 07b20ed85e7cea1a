"""Mean corruption error over time, relative to the start or to AlexNet."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.accuracy import per_image_accuracy, resampling_weights
from neurodyn.analysis.pooled_ratio import divided

REFERENCES = (
    "Hendrycks & Dietterich (2019), Benchmarking neural network robustness to common corruptions "
    "and perturbations, arXiv:1903.12261"
)
ALEXNET = {
    "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
    "shot_noise": (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
    "impulse_noise": (0.78374, 0.89808, 0.94870, 0.98720, 0.99548),
    "defocus_blur": (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
    "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
    "motion_blur": (0.58430, 0.70048, 0.82108, 0.89750, 0.92638),
    "zoom_blur": (0.70008, 0.76992, 0.80784, 0.84198, 0.87198),
    "snow": (0.71726, 0.88392, 0.86468, 0.91870, 0.94952),
    "frost": (0.61390, 0.79734, 0.88790, 0.89942, 0.93430),
    "fog": (0.67474, 0.76050, 0.84378, 0.87260, 0.94500),
    "brightness": (0.45140, 0.48502, 0.54048, 0.62166, 0.72440),
    "contrast": (0.64548, 0.76150, 0.88874, 0.97760, 0.99270),
    "elastic_transform": (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
    "pixelate": (0.52218, 0.54620, 0.73728, 0.87092, 0.91262),
    "jpeg_compression": (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
}
START = "start"
NAMES = {"corruption_error": "corruption error", "mce": "mean corruption error"}


def alexnet_errors() -> xr.DataArray:
    """Return AlexNet's top-1 error on ImageNet-C, the yardstick of the benchmark.

    The rates by severity stand in public evaluation code; their means over severities are those
    that the benchmark's repository gives, to the last digit. The four extra corruptions have none.

    Returns
    -------
    DataArray
        (noise_type, severity), 15 corruptions and severities 1 to 5; shares of images.

    References
    ----------
    Hendrycks & Dietterich (2019), arXiv:1903.12261, and github.com/hendrycks/robustness.

    Examples
    --------
    >>> float(alexnet_errors().sel(noise_type="fog").mean().round(6))
    0.819324
    """
    return xr.DataArray(
        list(ALEXNET.values()),
        dims=("noise_type", "severity"),
        coords={"noise_type": list(ALEXNET), "severity": [1, 2, 3, 4, 5]},
        name="error",
        attrs={"long_name": "top-1 error of AlexNet", "units": "1", "references": REFERENCES},
    )


def corruption_errors(
    error: Float[np.ndarray, "kind severity ..."], reference: Float[np.ndarray, "kind severity ..."]
) -> tuple[Float[np.ndarray, "kind ..."], Float[np.ndarray, "..."]]:
    r"""Return the error of each corruption relative to a reference, and the mean of these.

    .. math::

        \mathrm{CE}_c = \frac{\sum_s E_{cs}}{\sum_s E^\text{ref}_{cs}}, \qquad
        \mathrm{mCE} = \frac{1}{C} \sum_c \mathrm{CE}_c

    Parameters
    ----------
    error, reference : array
        (kind of corruption, severity, ...).

    Examples
    --------
    >>> error, reference = np.array([[0.2, 0.4], [0.5, 0.5]]), np.array([[0.4, 0.8], [0.5, 0.5]])
    >>> each, mean = corruption_errors(error, reference)
    >>> each, float(mean)
    (array([0.5, 1. ]), 0.75)
    """
    each = divided(error.sum(1), reference.sum(1))
    return each, each.mean(0)


def mean_corruption_error(
    correct: xr.DataArray,
    reference: xr.DataArray | str = START,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the mean corruption error over time, with an interval over images.

    With a reference network, as the benchmark defines it,

    .. math:: \mathrm{mCE}(t) = \frac{1}{C} \sum_c
              \frac{\sum_s E_{cs}(t)}{\sum_s E^\text{ref}_{cs}}

    and with reference="start" the same network at the first time is the yardstick, as Predify has
    it: all errors together, so that a corruption that is easy at the start does not rule the mean,

    .. math:: \mathrm{mCE}(t) = \frac{\sum_c \sum_s E_{cs}(t)}{\sum_c \sum_s E_{cs}(t_0)}

    E is the share of images answered wrongly. *Published*: sums over severities, the mean over
    corruptions, then over the value at t = 0, and a bootstrap of 1000 (read from the code).

    Parameters
    ----------
    correct : DataArray
        (noise_type, severity, sample, time, ...): right or wrong, and perhaps ``seed``, over which
        is averaged; the same images under every corruption.
    reference : {"start"} or DataArray
        "start"; or errors (noise_type, severity) of another network, e.g. `alexnet_errors`, which
        may hold more than is needed.
    level, resamples, seed
        As in `accuracy`: images are drawn, each with all its corruptions and times.

    Returns
    -------
    Dataset
        ``corruption_error`` (noise_type, time, ...), the ratio of each; ``mce`` (time, ...); both
        with ``..._ci`` (..., ci_bound). Attribute ``reference``.

    Raises
    ------
    ValueError
        For missing dimensions, corruptions and severities that the reference lacks, a level that is
        not between 0 and 1, and fewer than 100 resamples.

    References
    ----------
    Hendrycks & Dietterich (2019), arXiv:1903.12261. Choksi et al. (2021), arXiv:2106.02749.

    Examples
    --------
    >>> right = np.zeros((2, 1, 4, 2), dtype=bool)
    >>> right[:, :, :2, 1] = True
    >>> correct = xr.DataArray(right, dims=("noise_type", "severity", "sample", "time"))
    >>> mean_corruption_error(correct).mce.values
    array([1. , 0.5])
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    if resamples < 100:
        raise ValueError(f"resamples must be 100 or more for an interval, got {resamples!r}")
    result = corruption_error_over_time(correct, reference)
    wrong = wrong_answers(correct)
    weights = resampling_weights(wrong.sizes["sample"], resamples, seed)
    drawn = measured(wrong.values @ weights.T, yardstick(wrong, reference))
    tails = [(1 - level) / 2, (1 + level) / 2]
    for name, values in zip(NAMES, drawn, strict=True):
        bounds = np.moveaxis(np.quantile(values, tails, axis=-1), 0, -1)
        about = {
            "long_name": f"{level:.0%} interval of the {NAMES[name]}, bootstrap over images",
            "level": level, "resamples": resamples, "seed": seed,
            "images": wrong.sizes["sample"], "units": "1", "references": REFERENCES,
        }  # fmt: skip
        result[f"{name}_ci"] = ((*result[name].dims, "ci_bound"), bounds, about)
    return result.assign_coords(ci_bound=["lower", "upper"])


def corruption_error_over_time(
    correct: xr.DataArray, reference: xr.DataArray | str = START
) -> xr.Dataset:
    """Return the mean corruption error over time alone, without an interval over images.

    Parameters
    ----------
    correct, reference
        As in `mean_corruption_error`.

    Returns
    -------
    Dataset
        ``corruption_error`` (noise_type, time, ...) and ``mce`` (time, ...).

    Examples
    --------
    >>> right = np.zeros((2, 1, 4, 2), dtype=bool)
    >>> right[:, :, :2, 1] = True
    >>> correct = xr.DataArray(right, dims=("noise_type", "severity", "sample", "time"))
    >>> corruption_error_over_time(correct).mce.values
    array([1. , 0.5])
    """
    wrong = wrong_answers(correct)
    found = measured(wrong.values.mean(-1, keepdims=True), yardstick(wrong, reference))
    dims = tuple(d for d in wrong.dims if d not in ("severity", "sample"))
    over = "that at the first time" if isinstance(reference, str) else "the reference's"
    result = xr.Dataset(
        {"corruption_error": (dims, found[0][..., 0]), "mce": (dims[1:], found[1][..., 0])},
        coords={d: wrong.coords[d] for d in dims if d in wrong.coords},
        attrs={"reference": START if isinstance(reference, str) else called(reference)},
    )
    for name, long_name in NAMES.items():
        result[name].attrs = {
            "long_name": f"{long_name} over {over}", "units": "1", "references": REFERENCES
        }  # fmt: skip
    return result


def wrong_answers(correct: xr.DataArray) -> xr.DataArray:
    """Return 1 for a wrong answer, (noise_type, severity, ..., time, sample)."""
    for dim in ("noise_type", "severity", "sample", "time"):
        if not correct.sizes.get(dim):
            raise ValueError(f"correct needs a dimension {dim!r}, it has {dict(correct.sizes)}")
    wrong = 1 - per_image_accuracy(correct)
    return wrong.transpose("noise_type", "severity", ..., "time", "sample")


def yardstick(wrong: xr.DataArray, reference: xr.DataArray | str) -> np.ndarray | None:
    """Return the reference's errors (kind, severity), None for those at the start."""
    if isinstance(reference, str) and reference != START:
        raise ValueError(f"reference {reference!r} is not {START!r} or a DataArray of errors")
    return None if isinstance(reference, str) else matching(wrong, reference)


def measured(error: np.ndarray, reference: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return both measures of errors (kind, severity, ..., time, resample)."""
    if reference is None:
        first = np.broadcast_to(error[..., :1, :], error.shape)
        return corruption_errors(error, first)[0], divided(error.sum((0, 1)), first.sum((0, 1)))
    shape = (*reference.shape, *[1] * (error.ndim - 2))
    return corruption_errors(error, reference.reshape(shape))


def called(reference: xr.DataArray) -> str:
    """Return what errors are called."""
    return str(reference.attrs.get("long_name", reference.name or "another network"))


def matching(
    wrong: xr.DataArray, reference: xr.DataArray
) -> Float[np.ndarray, "noise_type severity"]:
    """Return the reference's errors of the corruptions and severities at hand."""
    for dim in ("noise_type", "severity"):
        if dim not in wrong.coords or dim not in reference.coords:
            raise ValueError(f"errors of a reference are matched by labels: {dim!r} has none")
        lacking = [x for x in wrong[dim].values.tolist() if x not in reference[dim].values.tolist()]
        if lacking:
            raise ValueError(f"the reference has no {dim} {', '.join(map(str, lacking))}")
    at = {dim: wrong[dim].values for dim in ("noise_type", "severity")}
    return reference.sel(at).transpose("noise_type", "severity").values
