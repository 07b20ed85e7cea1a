"""Dynamics or step? A verdict from networks trained, and tested, with two kinds of solver."""

from typing import Any

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
    "change": "accuracy by the adaptive solver minus that at t = 0",
}


def step_or_dynamics(
    exact: xr.DataArray,
    before: xr.DataArray | None = None,
    *,
    margin: float = 0.05,
    level: float = 0.95,
) -> xr.Dataset:
    r"""Tell whether accuracy depends on the solver, whichever solver networks were trained with.

    .. math:: D_k = A_{k,\, \mathrm{euler}} - A_{k,\, \mathrm{adaptive}}, \qquad
        k \in \{\mathrm{euler}, \mathrm{rk4}\}

    .. math:: C = D_\mathrm{euler} - D_\mathrm{rk4}

    .. math:: T_k = A_{k,\, \mathrm{adaptive}} - A_{k,\, t = 0}

    A is the accuracy of a network trained with one solver and tested with another, D the
    difference between two tests of the same network, paired by training seed. Weights adapt to the
    solver that they are trained with, so that either row alone may say no more than that a
    network does best what it was trained to do: that is C, the co-adaptation. T is what time
    changes, without any step. The verdict is

    - "dynamics" if both intervals of D lie within plus and minus `margin`: what the networks do
      they do with either solver, to within the margin, even where a small difference is reliable.
      Solvers also agree where nothing happens: with `before` both intervals of T must exclude 0;
      it is "no effect of time" if they lie within the margin instead, and else "undecided";
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
    before : DataArray, optional
        The same at t = 0, where no solver has done anything. Without it the verdict "dynamics" does
        not say that the dynamics changes accuracy.
    margin : float
        The largest difference that does not matter, in units of `exact`; choose it beforehand.
    level : float
        Coverage of the intervals. Both ends within the margin at 95% is a test of equivalence at
        2.5% on each side.

    Returns
    -------
    Dataset
        ``accuracy`` (trained, tested, ...), ``difference`` (trained, ...) and ``co_adaptation``
        (...), and of `before` ``change`` (trained, ...), T, with Student's intervals over training
        seeds, ``..._ci`` (..., ci_bound);
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
    values = shares(exact)
    gap = values.sel(tested="euler", drop=True) - values.sel(tested="adaptive", drop=True)
    adapted = gap.sel(trained="euler", drop=True) - gap.sel(trained="rk4", drop=True)
    measures = {"accuracy": values, "difference": gap, "co_adaptation": adapted}
    if before is not None:
        check(before, margin)
        measures["change"] = (values - shares(before)).sel(tested="adaptive", drop=True)
    result = xr.Dataset()
    for name, measure in measures.items():
        measure.attrs = {"long_name": ABOUT[name], "units": exact.attrs.get("units", "1")}
        summary = seed_interval(measure, level=level)
        result[name], result[f"{name}_ci"] = summary["mean"], summary.mean_ci
    row = [["trained"], ["trained", "ci_bound"]]
    how: dict[str, Any] = {
        "output_core_dims": [[], []],
        "vectorize": True,
        "output_dtypes": [object, object],
    }
    said = xr.apply_ufunc(
        judged, result.difference, result.difference_ci, margin, input_core_dims=[*row, []], **how
    )
    if before is not None:
        said = xr.apply_ufunc(
            timed, *said, result.change, result.change_ci, margin,
            input_core_dims=[[], [], *row, []], **how,
        )  # fmt: skip
    result["verdict"], result["reason"] = said
    for name, long_name in (("verdict", "dynamics or step"), ("reason", "why")):
        result[name] = result[name].astype(str)
        result[name].attrs = {"long_name": long_name, "units": "1", "references": REFERENCES}
    result.attrs = {
        "margin": margin, "level": level, "seeds": exact.sizes["seed"], "references": REFERENCES,
        "comment": "verdicts hold one by one; nothing is corrected for their number",
    }  # fmt: skip
    return result


def shares(exact: xr.DataArray) -> xr.DataArray:
    """Return accuracies (trained, tested, ...), in this order of labels."""
    values = exact.astype(float)
    values = values.mean("sample", skipna=False) if "sample" in values.dims else values
    return values.sel(trained=list(TRAINED), tested=list(TESTED))


def judged(mean: np.ndarray, bounds: np.ndarray, margin: float) -> tuple[str, str]:
    """Return verdict and reason, from the means (trained) and intervals (trained, bound) of D.

    Examples
    --------
    >>> judged(np.array([0.1, -0.1]), np.array([[0.05, 0.15], [-0.15, -0.05]]), 0.02)[0]
    'undecided'
    """
    low, high = bounds.T
    apart = (low > 0) | (high < 0)
    verdict = "undecided"
    if not np.isfinite(bounds).all():
        why = "a value is missing"
    elif (np.abs(bounds) <= margin).all():
        verdict, why = "dynamics", f"both within {margin:g} of 0"
    elif (high - low < ROUNDING).any():
        why = "the same difference for every seed is no interval"
    elif not apart.any():
        why = f"neither excludes 0, nor are both within {margin:g} of it"
    elif not apart.all():
        why = f"0 is excluded only where trained with {TRAINED[apart.argmax()]}"
    elif mean[0] * mean[1] < 0:
        why = "both exclude 0, on opposite sides"
    else:
        verdict, why = "step", "both exclude 0, on the same side"
    return verdict, f"{printed(mean, bounds)}; {why}"


def timed(
    verdict: str, reason: str, mean: np.ndarray, bounds: np.ndarray, margin: float
) -> tuple[str, str]:
    """Return verdict and reason, once the means and intervals of T are known too.

    Examples
    --------
    >>> none = np.zeros((2, 2))
    >>> timed("dynamics", "both within 0.02 of 0", none[0], none, 0.02)[0]
    'no effect of time'
    """
    if verdict != "dynamics":
        return verdict, reason
    if not np.isfinite(bounds).all():
        verdict, why = "undecided", "a value is missing"
    elif (np.abs(bounds) <= margin).all():
        verdict, why = "no effect of time", f"both within {margin:g} of 0 as well"
    elif ((bounds[:, 0] > 0) | (bounds[:, 1] < 0)).all():
        why = "time changes accuracy in both rows"
    else:
        verdict, why = "undecided", "whether time changes accuracy is not settled in both rows"
    return verdict, f"{reason}; t minus t=0: {printed(mean, bounds)}; {why}"


def printed(mean: np.ndarray, bounds: np.ndarray) -> str:
    """Return the means and intervals of both rows as text."""
    return "; ".join(
        f"trained with {name}: {m:+.3f} [{low:+.3f}, {high:+.3f}]"
        for name, m, (low, high) in zip(TRAINED, mean, bounds, strict=True)
    )


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
