"""How many images a network needs to learn a visual rule, and what attention changes in that."""

from collections.abc import Hashable

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.integrate import trapezoid

from neurodyn.analysis.contributions import needed
from neurodyn.analysis.seeds import seed_interval

REFERENCES = (
    "Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), Neural Comput. 34, 1075, "
    "arXiv:2108.03603"
)


def area_under_curve(
    values: Float[np.ndarray, "... images"], images: Float[np.ndarray, " images"]
) -> Float[np.ndarray, "..."]:
    r"""Return the mean of a curve over the logarithm of the training set's size.

    .. math:: E = \frac{1}{\ln n_K - \ln n_1} \sum_{k=1}^{K-1}
        \frac{A_k + A_{k+1}}{2} \left( \ln n_{k+1} - \ln n_k \right)

    The area under straight lines between the points over a logarithmic axis, divided by the width
    of that axis: a pure number like A itself, 1/2 at chance and 1 if a rule is known from the
    smallest set on, whatever the base of the logarithm. It depends on the sizes between which it is
    taken.

    Parameters
    ----------
    values : array
        A, shape (..., images).
    images : array
        n, two or more sizes, rising, above 0.

    Examples
    --------
    >>> round(float(area_under_curve(np.array([0.5, 0.75, 1.0]), np.array([500, 1000, 4000]))), 4)
    0.7917
    """
    x = np.log(images)
    return trapezoid(values, x, axis=-1) / (x[-1] - x[0])


def by_network(accuracy: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return one accuracy for each network, the mean over ``sample`` if there is one.

    The `dims` and "seed" must be there, all labelled but the seed; training-set sizes are sorted.

    Examples
    --------
    >>> right = xr.DataArray([[True, False], [True, True]], dims=("seed", "sample"))
    >>> by_network(right).values
    array([0.5, 1. ])
    """
    needed(accuracy, *dims, "seed")
    if bare := [dim for dim in dims if dim not in accuracy.coords]:
        raise ValueError(f"the dimension {bare[0]!r} needs labels; assign them as a coordinate")
    values = accuracy.astype(float)
    if "sample" in values.dims:
        values = values.mean("sample", skipna=False)
    if "images" in dims:
        values = values.sortby("images")
        sizes = values.images.values
        if len(sizes) < 2 or sizes[0] <= 0 or (np.diff(sizes) == 0).any():
            raise ValueError(
                "a curve needs two or more different training-set sizes above 0 along 'images', "
                f"got {sizes.tolist()}"
            )
    return values


def curve_area(accuracy: xr.DataArray) -> xr.DataArray:
    """Return the area under each learning curve, see `area_under_curve`.

    Parameters
    ----------
    accuracy : DataArray
        As in `sample_efficiency`.

    Returns
    -------
    DataArray
        Without ``images`` and ``sample``; a pure number for each network. NaN where a size is
        missing.

    Examples
    --------
    >>> curve_area(xr.DataArray([[0.5, 0.7]], {"images": [500, 1000]}, ("seed", "images"))).values
    array([0.6])
    """
    values = by_network(accuracy, "images")
    area = xr.apply_ufunc(area_under_curve, values, values.images, input_core_dims=[["images"]] * 2)
    first, last = values.images.values[[0, -1]]
    area.attrs = {
        "long_name": f"mean accuracy over log training-set size, {first:g} to {last:g}",
        "units": "1",
        "references": REFERENCES,
    }
    return area.rename("area")


def summarised(
    values: dict[str, xr.DataArray], long_names: dict[str, str], level: float
) -> xr.Dataset:
    """Return means over seeds and their intervals, ``name`` and ``name_ci``."""
    found = xr.Dataset()
    for name, value in values.items():
        value = value.assign_attrs(long_name=long_names[name], units="1")
        summary = seed_interval(value, level=level)
        found[name], found[f"{name}_ci"] = summary["mean"], summary.mean_ci
        found[name].attrs["long_name"] = long_names[name]
    found.ci_bound.attrs = {"long_name": "bound of the interval", "units": "1"}
    for name, title in (
        ("images", "images in the training set"),
        ("problem", "problem"),
        ("model", "network"),
    ):
        if name in found.coords:
            found[name].attrs = {"long_name": title, "units": "1"} | found[name].attrs
    return found


def sample_efficiency(accuracy: xr.DataArray, *, level: float = 0.95) -> xr.Dataset:
    r"""Return accuracy over the size of the training set, and the area under that curve.

    .. math:: E = \frac{1}{\ln (n_K / n_1)} \int_{n_1}^{n_K} A(n)\, d \ln n

    see `area_under_curve`. Intervals are Student's over seeds: about other networks that are
    trained the same way, on other images if the seed draws them too. They may reach above 1.

    Parameters
    ----------
    accuracy : DataArray
        With ``images``, the training-set sizes, labelled, and ``seed``; right or wrong with
        ``sample`` as well. Others (problem, model, time) are kept.
    level : float
        Coverage of the intervals, between 0 and 1.

    Returns
    -------
    Dataset
        ``accuracy`` (..., images) and ``area`` (...), with ``..._ci`` (..., ci_bound = lower,
        upper), pure numbers. NaN where a network is missing.

    Raises
    ------
    ValueError
        For a dimension that is missing or has no labels, one size only, one seed only.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603 (training-set
    sizes as the axis of difficulty). The area, its logarithm and its norm are a reconstruction.

    Examples
    --------
    >>> accuracy = xr.DataArray([[0.5, 0.6], [0.7, 0.8], [0.9, 1.0]], dims=("images", "seed"))
    >>> found = sample_efficiency(accuracy.assign_coords(images=[500, 1000, 2000]))
    >>> found.accuracy.values, found.area.item()
    (array([0.55, 0.75, 0.95]), 0.75)
    """
    values = by_network(accuracy, "images")
    area = curve_area(values)
    names = {"accuracy": "accuracy", "area": area.attrs["long_name"]}
    found = summarised({"accuracy": values, "area": area}, names, level)
    return found.transpose(..., "images", "ci_bound")


def attention_gain(
    accuracy: xr.DataArray, reference: Hashable, *, level: float = 0.95
) -> xr.Dataset:
    r"""Return how much more accurate networks are than one of them, at each size and over all.

    .. math:: G_m(n) = A_m(n) - A_\mathrm{reference}(n), \qquad
        \bar G_m = E_m - E_\mathrm{reference}

    Paired: the difference is taken within a seed, so that what makes a seed's images hard for both
    does not widen the interval. Intervals hold one by one: of 23 problems about one excludes 0 by
    chance.

    Parameters
    ----------
    accuracy : DataArray
        As in `sample_efficiency`, with the dimension ``model``, labelled.
    reference : label
        The model that is subtracted, e.g. the one without attention.
    level : float
        Coverage of the intervals, between 0 and 1.

    Returns
    -------
    Dataset
        ``gain`` (model, ..., images), and ``area_gain`` (model, ...), the gain averaged over the
        logarithm of the size; ``..._ci`` (..., ci_bound). ``model`` holds the others.

    Raises
    ------
    ValueError
        As `sample_efficiency` does, and where the reference is no model or the only one.

    References
    ----------
    As in `sample_efficiency`.

    Examples
    --------
    >>> accuracy = xr.DataArray(
    ...     [[[0.5, 0.6], [0.5, 0.8]], [[0.6, 0.7], [0.7, 1.0]]], dims=("model", "images", "seed")
    ... ).assign_coords(model=["plain", "spatial"], images=[500, 1000])
    >>> found = attention_gain(accuracy, "plain")
    >>> found.gain.values, found.area_gain.values
    (array([[0.1, 0.2]]), array([0.15]))
    """
    values = by_network(accuracy, "images", "model")
    models = values.model.values.tolist()
    others = [model for model in models if model != reference]
    if reference not in models or not others:
        raise ValueError(
            f"reference {reference!r} must be one of two or more models, there are: "
            f"{', '.join(map(str, models))}"
        )
    gain = values.sel(model=others) - values.sel(model=reference, drop=True)
    about = f"minus that of {reference}"
    names = {"gain": f"accuracy {about}", "area_gain": f"mean accuracy over log size {about}"}
    found = summarised({"gain": gain, "area_gain": curve_area(gain)}, names, level)
    found.attrs = {"reference": str(reference)}
    return found.transpose(..., "images", "ci_bound")
