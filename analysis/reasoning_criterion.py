"""Learning to criterion, as with people: the examples until seven answers in a row are right.

That the experiment with people ended after seven right answers in a row is *recalled, not
verified*. Of its results one number is verified: problem 20 takes people about six examples on
average (Kim et al. 2018, citing Fleuret et al. 2011).
"""

from numbers import Integral

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from neurodyn.analysis.contributions import needed
from neurodyn.analysis.reasoning import by_network

RUN = 7
HUMAN_EXAMPLES = {20: 6.0}
REFERENCES = (
    "Fleuret, Li, Dubout, Wampler, Yantis & Geman (2011), Proc. Natl. Acad. Sci. 108, 17621; "
    "problem 20: Kim, Ricci & Serre (2018), Interface Focus 8, 20180011, citing it"
)
RECALLED = "seven right in a row as the criterion is recalled, not verified"


def waiting_time(p: Float[np.ndarray, "..."], run: int = RUN) -> Float[np.ndarray, "..."]:
    r"""Return how many trials it takes on average until so many in a row are right.

    .. math:: E[T] = \sum_{j=1}^{k} p^{-j} = \frac{p^{-k} - 1}{1 - p}

    for answers that are right with probability p, each by itself. Whoever guesses between two
    classes, p = 1/2, waits :math:`2^{k+1} - 2` trials: 254 for seven in a row.

    Parameters
    ----------
    p : array
        From 0 to 1.
    run : int
        k.

    References
    ----------
    Feller (1968), An Introduction to Probability Theory and Its Applications I, 3rd ed., XIII.7.

    Examples
    --------
    >>> waiting_time(np.array([0.5, 0.9, 1.0])).round(2)
    array([254.  ,  10.91,   7.  ])
    """
    with np.errstate(divide="ignore"):
        return (np.asarray(p, float)[..., None] ** -np.arange(1.0, run + 1)).sum(-1)


def run_by_chance(trials: int, run: int = RUN, p: float = 0.5) -> Float[np.ndarray, " trial"]:
    r"""Return the probability that so many in a row are right by trial 0, 1, ..., `trials`.

    .. math:: F_t = F_{t-1} + (1 - F_{t-k-1})\,(1 - p)\,p^k, \qquad F_k = p^k

    with F = 0 before k: a run that ends with trial t begins after a wrong answer in trial t - k,
    before which there was none.

    Examples
    --------
    >>> run_by_chance(4, run=2)
    array([0.   , 0.   , 0.25 , 0.375, 0.5  ])
    """
    reached = np.zeros(trials + 1)
    for t in range(run, trials + 1):
        new = p**run if t == run else (1 - reached[t - run - 1]) * (1 - p) * p**run
        reached[t] = reached[t - 1] + new
    return reached


def first_run(correct: Bool[np.ndarray, "... trial"], run: int = RUN) -> Int[np.ndarray, "..."]:
    """Return the trial, counted from 1, that is the last of the first run; 0 if there is none.

    Examples
    --------
    >>> first_run(np.array([[True, False, True, True], [True, False, True, False]]), run=2)
    array([4, 0])
    """
    if correct.shape[-1] < run:
        return np.zeros(correct.shape[:-1], int)
    there = np.lib.stride_tricks.sliding_window_view(correct, run, axis=-1).all(-1)
    return np.where(there.any(-1), there.argmax(-1) + run, 0)


def learning_to_criterion(correct: xr.DataArray, *, run: int = RUN) -> xr.Dataset:
    r"""Return after how many trials each learner has so many right in a row.

    .. math:: T = \min \{ t : c_{t-k+1} = \dots = c_t = 1 \}

    A criterion is also met by chance: after 254 trials on average for seven in a row, and within 35
    by one in nine. Therefore each T comes with the probability that guessing is as fast.

    Parameters
    ----------
    correct : DataArray
        True or 1 where an answer was right, with ``trial`` in the order seen, each answered before
        it was learned from; others (problem, model, seed, subject) are kept.
    run : int
        k. Seven is *recalled, not verified* of the experiment with people.

    Returns
    -------
    Dataset
        ``trials`` (...), T, NaN where the criterion is not met; ``examples``, T - k, those
        before the run; ``p_value`` (...), the probability that guessing meets it by T, NaN where T
        is; with ``problem``, ``human_examples`` (problem), about how many examples people take:
        known for problem 20 alone, and not whether the run is counted. The attribute
        ``chance_trials``: T by guessing, on average.

    Raises
    ------
    ValueError
        Without trials, or for answers that are not right or wrong.

    References
    ----------
    Fleuret et al. (2011), Proc. Natl. Acad. Sci. 108, 17621. Kim, Ricci & Serre (2018), Interface
    Focus 8, 20180011 (problem 20).

    Examples
    --------
    >>> answers = xr.DataArray([[0] * 6 + [1] * 9, [0, 1, 1] * 5], dims=("seed", "trial"))
    >>> found = learning_to_criterion(answers)
    >>> found.trials.values, found.examples.values, found.p_value.values.round(3)
    (array([13., nan]), array([ 6., nan]), array([0.031,   nan]))
    """
    needed(correct, "trial")
    if not np.isin(correct.values, (0, 1)).all():
        raise ValueError("correct must hold True and False (or 1 and 0) only")
    whole_run(run)
    ended = xr.apply_ufunc(
        first_run, correct.astype(bool), kwargs={"run": run}, input_core_dims=[["trial"]]
    )
    met = ended > 0
    chance = run_by_chance(correct.sizes["trial"], run)
    found = xr.Dataset({"trials": ended.where(met), "examples": (ended - run).where(met)})
    found["p_value"] = ended.copy(data=chance[ended.values]).where(met)
    found.trials.attrs = {"long_name": f"trials until {run} in a row are right"}
    found.examples.attrs = {"long_name": f"examples before {run} in a row are right"}
    found.p_value.attrs = {"long_name": "probability that guessing is as fast"}
    return beside_people(found, run)


def images_to_criterion(accuracy: xr.DataArray, *, run: int = RUN) -> xr.Dataset:
    r"""Return how large a training set must be for a network to pass people's test.

    .. math:: n^* = \min \{ n : A(n)^k \ge 1/2 \}

    A network that is right with probability A has the next k answers right with probability
    :math:`A^k`: from an accuracy of about .906 on it passes seven in a row more often than not.
    Between sizes A is a straight line over log n. *A reconstruction*, to set networks that learn
    from a set beside people who learn from one example after the other.

    Parameters
    ----------
    accuracy : DataArray
        With ``images``, labelled, and ``seed``, perhaps ``sample``; others are kept.
    run : int
        k.

    Returns
    -------
    Dataset
        ``images_needed`` (seed, ...): the smallest size if that is enough already, and infinite
        if the largest is not; ``median_images`` (...), the median over seeds. With ``problem``,
        ``human_examples`` as in `learning_to_criterion`.

    Examples
    --------
    >>> accuracy = xr.DataArray(
    ...     [[0.5, 0.6, 1.0], [0.5, 0.6, 0.7]], {"images": [100, 1000, 10000]}, ("seed", "images")
    ... )
    >>> images_to_criterion(accuracy).images_needed.values.round()
    array([5812.,   inf])
    """
    whole_run(run)
    values = by_network(accuracy, "images")
    if (values > 1).any() or (values < 0).any():
        raise ValueError(
            f"accuracies must be from 0 to 1, they are from {values.min().item():g} to "
            f"{values.max().item():g}"
        )
    sizes, criterion = values.images.values.astype(float), 0.5 ** (1 / run)

    def first(a: np.ndarray) -> np.ndarray:
        passed = a >= criterion
        k = np.maximum(passed.argmax(-1), 1)[..., None]  # the first that is enough, or the second
        low, high = (np.take_along_axis(a, i, -1)[..., 0] for i in (k - 1, k))
        rise = np.where(high > low, high - low, 1)
        part = np.where(passed[..., 0], 0.0, np.clip((criterion - low) / rise, 0.0, 1.0))
        reached = sizes[k - 1][..., 0] * (sizes[k] / sizes[k - 1])[..., 0] ** part
        return np.where(np.isnan(a).any(-1), np.nan, np.where(passed.any(-1), reached, np.inf))

    needs = xr.apply_ufunc(first, values, input_core_dims=[["images"]])
    found = xr.Dataset({"images_needed": needs})
    found["median_images"] = found.images_needed.median("seed", skipna=False)
    found.images_needed.attrs = {
        "long_name": f"images until {run} in a row are as likely right as not"
    }
    found.median_images.attrs = {"long_name": "median over seeds of the images needed"}
    found = beside_people(found, run)
    found.attrs |= {"accuracy": criterion, "smallest": float(values.images[0]),
                    "largest": float(values.images[-1])}  # fmt: skip
    return found


def whole_run(run: int) -> None:
    """Refuse a criterion that is not a number of answers."""
    if isinstance(run, bool) or not isinstance(run, Integral) or run < 1:
        raise ValueError(f"run must be a whole number from 1 up, got {run!r}")


def beside_people(found: xr.Dataset, run: int) -> xr.Dataset:
    """Add what is known of people, and what the criterion is."""
    if "problem" in found.coords and found.problem.dims:
        human = [HUMAN_EXAMPLES.get(problem, np.nan) for problem in found.problem.values.tolist()]
        about = {"long_name": "examples that people take, about", "provenance": "paper"}
        found["human_examples"] = "problem", human, about
    for values in found.data_vars.values():
        values.attrs |= {"units": "1", "references": REFERENCES}
    found.attrs = {
        "run": run, "chance_trials": float(waiting_time(np.array(0.5), run)), "note": RECALLED,
    }  # fmt: skip
    return found
