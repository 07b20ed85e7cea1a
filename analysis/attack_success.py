"""How often attacks succeed, and what accuracy they leave, by strength and time."""

from typing import Any, Literal

import xarray as xr

from neurodyn.analysis.accuracy import accuracy, paired_difference
from neurodyn.analysis.seeds import seed_interval

OVER = ("images", "seed")


def attack_success(
    answers: xr.Dataset,
    *,
    over: Literal["images", "seed"] = "images",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return robust accuracy and the success of attacks, with intervals.

    .. math::
        A(\epsilon, t) = \frac{1}{N} \sum_i c_i(\epsilon, t), \qquad
        S(\epsilon, t) = \frac{1}{|E|} \sum_{i \in E} f_i(\epsilon, t), \qquad
        E = \{ i : c_i(0, t') \; \forall t' \}

    Robust accuracy A counts all images. Success S counts those of the images E that are right
    without attack at every time (Predify's authors chose their images so, read in their code): the
    same images at all times, so that S(t) neither gains nor loses by what the network did
    not know anyway. The change of S from the first time is paired, image by image.

    Parameters
    ----------
    answers : Dataset
        ``correct`` and ``fooled`` (..., epsilon, seed, sample, time), and ``correct_clean``
        (sample, time), or (seed, sample, time) where seeds are networks: as
        `neurodyn.robustness.answers_under_attack` makes it.
    over : {"images", "seed"}
        What the interval is about: other images shown to this network (a bootstrap over images,
        all seeds of one together; E is then right with every seed), or other networks trained the
        same way (Student's, over seeds; each with its own E).
    level, resamples, seed
        As in `neurodyn.analysis.accuracy`.

    Returns
    -------
    Dataset
        ``robust_accuracy``, ``success`` and ``success_change`` (..., epsilon, time), the last
        NaN at the first time; each with ``..._ci`` (..., ci_bound); and ``images``, the size of E,
        of each seed if `over` is "seed".

    Raises
    ------
    ValueError
        If no image is right without attack, or `over` is neither of the two.

    References
    ----------
    Choksi et al. (2021), arXiv 2106.02749.

    Examples
    --------
    >>> import numpy as np
    >>> fooled = np.array([[[0, 0], [1, 0], [1, 1]]], dtype=bool)
    >>> dims = ("epsilon", "sample", "time")
    >>> answers = xr.Dataset(
    ...     {"fooled": (dims, fooled), "correct": (dims, ~fooled),
    ...      "correct_clean": (("sample", "time"), [[True, True], [True, True], [False, True]])},
    ...     {"epsilon": [0.1], "time": [0.0, 5.0]},
    ... )
    >>> found = attack_success(answers)
    >>> found.success.values
    array([[0.5, 0. ]])
    >>> found.robust_accuracy.values.round(2)
    array([[0.33, 0.67]])
    >>> int(found.images)
    2
    """
    if over not in OVER:
        raise ValueError(f"over={over!r} is not one of {', '.join(OVER)}")
    missing = [v for v in ("correct", "fooled", "correct_clean") if v not in answers]
    if missing:
        raise ValueError(
            f"attack_success needs correct, fooled and correct_clean; there is no "
            f"{', '.join(missing)} among {', '.join(map(str, answers.data_vars))}"
        )
    known = answers.correct_clean.all("time")
    if over == "images":
        known = known.all("seed") if "seed" in known.dims else known
    counted = known.sum("sample")
    if not (counted > 0).all():
        raise ValueError(
            "no image is right without attack at every time"
            + (" in one of the networks" if counted.ndim else "")
            + ": success is not defined"
        )
    first = answers.time.values[0]
    if over == "images":
        how: dict[str, Any] = {"level": level, "resamples": resamples, "seed": seed}
        attacked = answers.fooled.isel(sample=known.values.nonzero()[0])
        left = accuracy(answers.correct, **how)
        success = accuracy(attacked, **how)
        change = paired_difference(attacked, "time", first, **how)
        parts = {
            "robust_accuracy": (left.accuracy, left.accuracy_ci),
            "success": (success.accuracy, success.accuracy_ci),
            "success_change": (change.difference, change.difference_ci),
        }
    else:
        share = answers.fooled.where(known).mean("sample")
        later = share.isel(time=slice(1, None)) - share.isel(time=0, drop=True)
        values = {
            "robust_accuracy": answers.correct.mean("sample"),
            "success": share,
            "success_change": later,
        }
        summaries = {name: seed_interval(v, level=level) for name, v in values.items()}
        parts = {name: (found["mean"], found.mean_ci) for name, found in summaries.items()}
    result = xr.Dataset(coords={"time": answers.time, "epsilon": answers.epsilon})
    names = {
        "robust_accuracy": "accuracy under attack",
        "success": "success of the attack",
        "success_change": f"success of the attack minus that at t = {first:g}",
    }
    unit = "images" if over == "images" else "seeds"
    for name, (mean, interval) in parts.items():
        mean, interval = (x.reindex(time=answers.time) for x in (mean, interval))
        result[name] = mean.assign_attrs(long_name=names[name])
        result[f"{name}_ci"] = interval.assign_attrs(
            long_name=f"{level:.0%} interval over {unit} of the {names[name]}"
        )
    about = "images right without attack at every time"
    result["images"] = counted.assign_attrs(long_name=about, units="1")
    result.ci_bound.attrs = {"long_name": "bound of the interval", "units": "1"}
    result.attrs = dict(answers.attrs) | {"over": over, "level": level}
    return result
