"""Dynamics or step? A verdict from networks trained, and tested, with two kinds of solver."""

import numpy as np
import xarray as xr

from neurodyn.analysis.seeds import seed_interval

TRAINED = ("euler", "rk4")
TESTED = ("euler", "adaptive")
ROUNDING = 1e-9
REFERENCES = (
    "Student (1908), Biometrika 6, 1-25; Schuirmann (1987), A comparison of the two one-sided "
    "tests procedure and the power approach, J. Pharmacokinet. Biopharm. 15, 657-680, "
    "doi:10.1007/BF01068419"
)
ABOUT = {
    "accuracy": "accuracy",
    "difference": "accuracy by Euler minus by the adaptive solver",
    "co_adaptation": "difference where trained with euler minus where trained with rk4",
}


def step_or_dynamics(
    exact: xr.DataArray, *, margin: float = 0.05, level: float = 0.95
) -> xr.Dataset:
    r"""Tell whether accuracy depends on the solver, whichever solver networks were trained with.

    .. math:: D_k = A_{k,\, \mathrm{euler}} - A_{k,\, \mathrm{adaptive}}, \qquad
        k \in \{\mathrm{euler}, \mathrm{rk4}\}

    .. math:: C = D_\mathrm{euler} - D_\mathrm{rk4}

    A is the accuracy of a network trained with one solver and tested with another, D the
    difference between two tests of the same network, paired by training seed. Weights adapt to the
    solver that they are trained with, so that either row alone may say no more than that a
    network does best what it was trained to do: that is C, the co-adaptation. The verdict is

    - "dynamics" if both intervals of D lie within plus and minus `margin`: what the networks do
      they do with either solver, to within the margin, even where a small difference is reliable;
    - else "step" if both intervals exclude 0, on the same side: the published step gains or costs
      accuracy whatever the training;
    - else "undecided".

    An interval of no width, where every seed gives one same difference, is no ground for "step".
    Verdicts hold one by one, at each place of the other dimensions: of many, some are
    wrong by chance.

    Parameters
    ----------
    exact : DataArray
        Whether an answer was right, or an accuracy, with the dimensions ``trained`` (euler, rk4),
        ``tested`` (euler, adaptive) and ``seed`` (two or more), all labelled; the mean is taken
        over ``sample``, if it is there. Any others (scene, noise, time) are kept.
    margin : float
        The largest difference that does not matter, in units of `exact`; choose it beforehand.
    level : float
        Coverage of the intervals. Both ends within the margin at 95% is a test of equivalence at
        2.5% on each side.

    Returns
    -------
    Dataset
        ``accuracy`` (trained, tested, ...), ``difference`` (trained, ...) and ``co_adaptation``
        (...), with Student's intervals over training seeds, ``..._ci`` (..., ci_bound);
        ``verdict`` (...) and ``reason`` (...), what it follows from in words.

    Raises
    ------
    ValueError
        For missing dimensions or labels, fewer than two seeds, a margin that is not positive.

    References
    ----------
    Student (1908), Biometrika 6, 1-25. Equivalence: Schuirmann (1987), J. Pharmacokinet. Biopharm.
    15, 657-680, doi:10.1007/BF01068419.

    Examples
    --------
    Euler's step costs accuracy in both rows:

    >>> exact = xr.DataArray(
    ...     [[[0.70, 0.72, 0.71], [0.80, 0.81, 0.82]], [[0.60, 0.61, 0.60], [0.81, 0.82, 0.80]]],
    ...     coords={"trained": ["euler", "rk4"], "tested": ["euler", "adaptive"],
    ...             "seed": [0, 1, 2]},
    ... )
    >>> found = step_or_dynamics(exact)
    >>> found.verdict.item()
    'step'
    >>> print(found.reason.item())  # doctest: +NORMALIZE_WHITESPACE
    trained with euler: -0.100 [-0.125, -0.075]; trained with rk4: -0.207 [-0.221, -0.192]; both
    exclude 0, on the same side
    """
    check(exact, margin)
    values = exact.astype(float)
    values = values.mean("sample", skipna=False) if "sample" in values.dims else values
    values = values.sel(trained=list(TRAINED), tested=list(TESTED))
    gap = values.sel(tested="euler", drop=True) - values.sel(tested="adaptive", drop=True)
    adapted = gap.sel(trained="euler", drop=True) - gap.sel(trained="rk4", drop=True)
    result = xr.Dataset()
    for name, measure in zip(ABOUT, (values, gap, adapted), strict=True):
        measure.attrs = {"long_name": ABOUT[name], "units": exact.attrs.get("units", "1")}
        summary = seed_interval(measure, level=level)
        result[name], result[f"{name}_ci"] = summary["mean"], summary.mean_ci
    result["verdict"], result["reason"] = xr.apply_ufunc(
        judged, result.difference, result.difference_ci, margin,
        input_core_dims=[["trained"], ["trained", "ci_bound"], []], output_core_dims=[[], []],
        vectorize=True, output_dtypes=[object, object],
    )  # fmt: skip
    for name, long_name in (("verdict", "dynamics or step"), ("reason", "why")):
        result[name] = result[name].astype(str)
        result[name].attrs = {"long_name": long_name, "units": "1", "references": REFERENCES}
    result.attrs = {
        "margin": margin, "level": level, "seeds": exact.sizes["seed"], "references": REFERENCES,
        "comment": "verdicts hold one by one; nothing is corrected for their number",
    }  # fmt: skip
    return result


def judged(mean: np.ndarray, bounds: np.ndarray, margin: float) -> tuple[str, str]:
    """Return verdict and reason, from the means (trained) and intervals (trained, bound).

    Examples
    --------
    >>> judged(np.array([0.1, -0.1]), np.array([[0.05, 0.15], [-0.15, -0.05]]), 0.02)[0]
    'undecided'
    """
    said = "; ".join(
        f"trained with {name}: {m:+.3f} [{low:+.3f}, {high:+.3f}]"
        for name, m, (low, high) in zip(TRAINED, mean, bounds, strict=True)
    )
    low, high = bounds.T
    apart = (low > 0) | (high < 0)
    no_width = high - low < ROUNDING
    verdict = "undecided"
    if not np.isfinite(bounds).all():
        why = "a value is missing"
    elif (np.abs(bounds) <= margin).all():
        verdict, why = "dynamics", f"both within {margin:g} of 0"
    elif no_width.any():
        why = "the same difference for every seed is no interval"
    elif not apart.any():
        why = f"neither excludes 0, nor are both within {margin:g} of it"
    elif not apart.all():
        why = f"0 is excluded only where trained with {TRAINED[apart.argmax()]}"
    elif mean[0] * mean[1] < 0:
        why = "both exclude 0, on opposite sides"
    else:
        verdict, why = "step", "both exclude 0, on the same side"
    return verdict, f"{said}; {why}"


def check(exact: xr.DataArray, margin: float) -> None:
    """Refuse what lacks a cell of the two by two, and margins that leave no room."""
    for name, labels in (("trained", TRAINED), ("tested", TESTED)):
        there = exact[name].values.tolist() if name in exact.indexes else []
        if not set(labels) <= set(there):
            raise ValueError(
                f"exact needs the dimension {name!r} with the labels {' and '.join(labels)}; it "
                f"has {', '.join(map(str, there)) or 'none'}"
            )
    if not 0 < margin < np.inf:
        raise ValueError(
            f"margin = {margin!r} must be positive: the largest difference that does not matter"
        )
