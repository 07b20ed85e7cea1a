"""Sentences and tables about feedback: each claim, whether it held here, from the numbers alone."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import xarray as xr

from neurodyn.analysis.agreement_report import MISSING, printed, said_of
from neurodyn.analysis.mce import corruption_error_over_time
from neurodyn.analysis.report import Rows, verdict
from neurodyn.analysis.seeds import seed_interval

Wanted = Literal["higher", "lower"]


def held(gaps: xr.DataArray, wanted: Wanted) -> str:
    """Say whether differences (seed) lie on the side that a claim says.

    Returns
    -------
    str
        "held" or "the opposite" if Student's interval over seeds excludes 0, else "not shown"; so
        too if all seeds have the same difference, which gives no interval; "missing" with a NaN.

    Examples
    --------
    >>> held(xr.DataArray([0.11, 0.1, 0.09], dims="seed"), "higher")
    'held'
    >>> held(xr.DataArray([0.1, -0.1, 0.0], dims="seed"), "higher")
    'not shown'
    """
    low, high = seed_interval(gaps).mean_ci.values
    if np.isnan(low + high):
        return MISSING
    found = verdict(low, high) if high - low > 1e-12 else "the same for every seed"
    return "held" if found == wanted else "the opposite" if found in ("higher", "lower") \
        else "not shown"  # fmt: skip


def claim(question: str, found: Mapping[str, xr.DataArray], wanted: Wanted, more: str = "") -> str:
    """Say of one claim in how many cases it held, and below that the numbers of each case.

    Parameters
    ----------
    question : str
        The claim.
    found : mapping
        Case to differences (seed).
    wanted : {"higher", "lower"}
        The side of 0 on which the claim has them.
    more : str
        What else is to be said of it, before the cases.

    Examples
    --------
    >>> print(claim("Does it rise?", {"a": xr.DataArray([0.11, 0.1, 0.09], dims="seed")}, "higher"))
    **Does it rise?** Held in 1 of 1, the opposite in 0.
      - a: +0.100 [+0.075, +0.125] higher (held)
    """
    verdicts = {case: held(gaps, wanted) for case, gaps in found.items()}
    said = list(verdicts.values())
    return (
        f"**{question}** Held in {said.count('held')} of {len(said)}, the opposite in "
        f"{said.count('the opposite')}.{more}{each_case(found, verdicts)}"
    )


def each_case(found: Mapping[str, xr.DataArray], verdicts: Mapping[str, str] | None = None) -> str:
    """Return a line for each case, within an item of a list: its difference (seed), its verdict."""
    ends = {case: f" ({said})" for case, said in (verdicts or {}).items()}
    return "".join(
        f"\n  - {case}: {said_of(gaps)}{ends.get(case, '')}" for case, gaps in found.items()
    )


def accuracy_rows(correct: Mapping[str, xr.DataArray]) -> Rows:
    """Return the heading and a row for each case and noise: the first time, the last, the change.

    Parameters
    ----------
    correct : mapping
        Case to right or wrong (noise, seed, sample, time).
    """
    first = next(iter(correct.values()))
    begin, end = (f"t={t:g}" for t in first.time.values[[0, -1]])
    change = f"{end} minus {begin}, 95% over seeds"
    rows = [["network", "noise", begin, end, "best", "at t", change]]
    for case, right in correct.items():
        share = right.astype(float).mean("sample")
        for noise in share.noise.values:
            line = share.sel(noise=noise)
            mean = line.mean("seed")
            best = int(mean.argmax("time"))
            rows.append([
                case, str(noise), printed(float(mean[0])), printed(float(mean[-1])),
                printed(float(mean[best])), f"{mean.time.values[best]:g}",
                said_of(line.isel(time=-1) - line.isel(time=0)),
            ])  # fmt: skip
    return rows


def mce_by_seed(correct: xr.DataArray) -> xr.DataArray:
    """Return the mean corruption error of each network over time, 1 at the first.

    Parameters
    ----------
    correct : DataArray
        (noise, seed, sample, time), with ``noise_type`` and ``noise_level``, the severity, along
        ``noise``: each type at each severity.

    Returns
    -------
    DataArray
        (seed, time).

    Examples
    --------
    >>> right = xr.DataArray(np.zeros((1, 2, 4, 2), dtype=bool), dims=("noise", "seed", "sample",
    ...     "time"), coords={"noise": ["fog 3"], "seed": [0, 1], "time": [0, 1]})
    >>> right[:, :, :2, 1] = True
    >>> right = right.assign_coords(noise_type=("noise", ["fog"]), noise_level=("noise", [3]))
    >>> mce_by_seed(right).values
    array([[1. , 0.5],
           [1. , 0.5]])
    """
    table = correct.set_index(noise=["noise_type", "noise_level"]).unstack("noise")
    table = table.rename(noise_level="severity")
    each = [corruption_error_over_time(table.sel(seed=[k])).mce for k in table.seed.values]
    found = xr.concat(each, table.seed).transpose("seed", "time")
    return found.assign_attrs(long_name="mean corruption error over that at the first time")


def mce_summary(each: xr.DataArray) -> xr.Dataset:
    """Return what `mce_curve` draws, with Student's interval over seeds, of (seed, time, ...)."""
    found = seed_interval(each)
    result = xr.Dataset({"mce": found["mean"], "mce_ci": found.mean_ci})
    return result.assign_attrs(reference="start")


def accuracy_summary(correct: xr.DataArray) -> xr.Dataset:
    """Return accuracy with Student's interval over seeds, as `accuracy_over_time` draws it."""
    found = seed_interval(correct.astype(float).mean("sample"))
    return xr.Dataset({"accuracy": found["mean"], "accuracy_ci": found.mean_ci})


def noise_slope(values: xr.DataArray, kind: str) -> xr.DataArray:
    r"""Return the slope of a quantity over the level of one type of noise, by least squares.

    .. math:: b = \frac{\sum_k (x_k - \bar x)(v_k - \bar v)}{\sum_k (x_k - \bar x)^2}

    Parameters
    ----------
    values : DataArray
        (noise, ...), with ``noise_type`` and ``noise_level`` along ``noise``.
    kind : str
        Type of noise; "clean" is its level 0.

    Examples
    --------
    >>> values = xr.DataArray([0.1, 0.2, 0.3], dims="noise").assign_coords(
    ...     noise_type=("noise", ["clean", "gaussian", "gaussian"]),
    ...     noise_level=("noise", [0.0, 0.2, 0.4]))
    >>> round(float(noise_slope(values, "gaussian")), 6)
    0.5
    """
    here = values.isel(noise=values.noise_type.isin(["clean", kind]).values)
    x = here.noise_level - here.noise_level.mean()
    slope = (x * here).sum("noise", skipna=False) / (x**2).sum()
    return slope.where((x**2).sum() > 0)


def lower_minus_upper(values: xr.DataArray) -> xr.DataArray:
    """Return the mean over the lower half of the layers that have a value, minus the upper half's.

    A layer in the middle counts for neither.

    Examples
    --------
    >>> float(lower_minus_upper(xr.DataArray([0.5, 0.3, 0.1, np.nan], dims="layer")).round(6))
    0.4
    """
    fed = values.dropna("layer", how="all")
    half = fed.sizes["layer"] // 2
    return fed[{"layer": slice(half)}].mean("layer") - fed[{"layer": slice(-half, None)}].mean(
        "layer"
    )


def layer_rows(found: Mapping[str, tuple[str, Mapping[str, xr.DataArray]]]) -> Rows:
    """Return the heading and a row for each case and layer: each measure, its mean and interval.

    Parameters
    ----------
    found : mapping
        Case to the noise it is about and its measures, name to (layer, seed).
    """
    names = list(next(iter(found.values()))[1])
    rows = [["network", "noise", "layer", *names]]
    for case, (noise, measures) in found.items():
        layers = list(dict.fromkeys(k for m in measures.values() for k in m.layer.values.tolist()))
        for layer in layers:
            row = [case, noise, str(layer)]
            for values in measures.values():
                if layer not in values.layer.values or values.sel(layer=layer).isnull().any():
                    row.append("")
                    continue
                one = seed_interval(values.sel(layer=layer))
                row.append(f"{printed(float(one['mean']))} {printed(*one.mean_ci.values)}")
            rows.append(row)
    return rows
