"""What networks trained from several seeds have in common, with an interval over them."""

import xarray as xr
from scipy import stats

REFERENCES = "Student (1908), The probable error of a mean, Biometrika 6, 1-25"


def seed_interval(values: xr.DataArray, *, level: float = 0.95) -> xr.Dataset:
    r"""Return the mean over seeds, with Student's interval.

    .. math:: \bar v \pm t_{(1 + c) / 2,\, S - 1}\, \frac{s}{\sqrt S}

    The unit is a training seed: the interval is about other networks trained the same way, and
    with few seeds it is wide.

    Parameters
    ----------
    values : DataArray
        With the dimension ``seed``, two or more; one number for each network.
    level : float
        Coverage c aimed at, between 0 and 1.

    Returns
    -------
    Dataset
        ``mean`` and ``mean_ci`` (..., ci_bound = lower, upper), in the units of `values`.

    References
    ----------
    Student (1908), The probable error of a mean, Biometrika 6, 1-25.

    Examples
    --------
    >>> found = seed_interval(xr.DataArray([0.8, 0.9, 1.0], dims="seed"))
    >>> found.mean_ci.round(3).values
    array([0.652, 1.148])
    """
    if "seed" not in values.dims or values.sizes["seed"] < 2:
        raise ValueError(
            f"an interval over seeds needs a dimension 'seed' with two or more, got "
            f"{dict(values.sizes)}"
        )
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    n = values.sizes["seed"]
    mean = values.mean("seed", skipna=False)
    half = stats.t.ppf((1 + level) / 2, n - 1) * values.std("seed", ddof=1, skipna=False) / n**0.5
    bounds = xr.concat([mean - half, mean + half], dim="ci_bound").transpose(..., "ci_bound")
    bounds = bounds.assign_coords(ci_bound=["lower", "upper"])
    name = values.attrs.get("long_name", values.name or "value")
    about = {"units": values.attrs.get("units", "1"), "references": REFERENCES}
    mean.attrs = {"long_name": f"mean {name}", **about}
    bounds.attrs = {
        "long_name": f"{level:.0%} interval of the mean {name} over seeds",
        "level": level,
        "seeds": n,
        **about,
    }
    return xr.Dataset({"mean": mean, "mean_ci": bounds})


def over_training_seeds(answers: xr.Dataset, *, reference: str) -> xr.Dataset:
    """Add to answers of trained networks their means, and differences from one of them.

    Parameters
    ----------
    answers : Dataset
        ``exact`` and other measures (scene, way, seed, sample, time), as
        `neurodyn.studies.komplexnet` makes them.
    reference : str
        The way that differences in exact accuracy are taken from, paired by seed.

    Returns
    -------
    Dataset
        The answers, and "accuracy", "difference" and "mean_..." of each of the others, with
        intervals over training seeds, ``..._ci`` (..., ci_bound).
    """
    share = answers.exact.mean("sample", skipna=False)
    share = share.assign_attrs(long_name="share of scenes all right")
    other = share - share.sel(way=reference, drop=True)
    other.attrs = {"long_name": f"accuracy minus that of {reference}", "units": "1"}
    parts = {
        "accuracy": share,
        "difference": other,
    }
    for name, values in answers.data_vars.items():
        if name != "exact" and "sample" in values.dims:
            parts[f"mean_{name}"] = values.mean("sample").assign_attrs(values.attrs)
    found = answers.copy()
    for name, values in parts.items():
        summary = seed_interval(values)
        found[name], found[f"{name}_ci"] = summary["mean"], summary.mean_ci
    found.ci_bound.attrs = {"long_name": "bound of the interval", "units": "1"}
    found.attrs["reference"] = reference
    return found
