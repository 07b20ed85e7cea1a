"""How far a response depends on the trial before: perseveration, win-stay and lose-shift."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.item_table import described, network_output
from neurodyn.analysis.logistic_fit import FLAGS, fit_logistic

TERMS = ("intercept", "stimulus", "previous_response", "previous_correct", "win_stay_lose_shift")
REFERENCES = (
    "Busse et al. (2011), The detection of visual contrast in the behaving mouse, J. Neurosci. 31, "
    "11351-11361; Lau & Glimcher (2005), Dynamic response-by-response models of matching behavior, "
    "J. Exp. Anal. Behav. 84, 555-579; Nowak & Sigmund (1993), A strategy of win-stay, lose-shift, "
    "Nature 364, 56-58"
)


def history_design(
    grammatical: Float[np.ndarray, " trial"],
    response: Float[np.ndarray, " trial"],
    previous: Float[np.ndarray, " trial"],
) -> Float[np.ndarray, "trial term"]:
    r"""Return the regressors of each trial; NaN where the trial before is unknown.

    .. math:: x_t = (1,\; s_t,\; r_{t-1},\; o_{t-1},\; r_{t-1} o_{t-1}), \qquad o = r s

    s is 1 for grammatical and -1 for ungrammatical strings, r = 2 y - 1 the response and o the
    outcome, 1 right and -1 wrong. As r is 1 or -1, the last is s of the trial before, which is
    what its feedback taught. For a response given as a chance, these are expected values.

    Parameters
    ----------
    grammatical, response : array
        Shape (trial,), from 0 to 1.
    previous : array of int
        Shape (trial,), the row of the trial before; -1 if there is none.

    Examples
    --------
    >>> history_design(np.array([1.0, 0]), np.array([0.0, 0]), np.array([-1, 0]))[1]
    array([ 1., -1., -1., -1.,  1.])
    """
    s, r = 2 * grammatical - 1, 2 * response - 1
    before = np.where(previous >= 0, previous, 0)
    lag_s = np.where(previous >= 0, s[before], np.nan)
    lag_r = np.where(previous >= 0, r[before], np.nan)
    lag_s = np.where(np.isfinite(lag_r), lag_s, np.nan)
    return np.stack([np.ones(len(s)), s, lag_r, lag_r * lag_s, lag_s], axis=-1)


def choice_history(
    trials: xr.Dataset,
    network: xr.Dataset | None = None,
    *,
    phase: str | Sequence[str] | None = None,
    ridge: float = 0.1,
    sample_seed: int | None = None,
) -> xr.Dataset:
    r"""Return how each subject's responses depend on the string and on the trial before.

    .. math:: \mathrm{logit}\, P(y_t = 1) = w_0 + w_s s_t + w_r r_{t-1} + w_o o_{t-1}
              + w_{ws} r_{t-1} o_{t-1}

    All regressors are 1 or -1 (`history_design`): the weight of the string is sensitivity,
    that of the previous response perseveration (negative: alternation), that of the product
    win-stay, lose-shift: repeat what was right, change what was wrong. The trial before is the
    one with the position before, of the same subject, session and phase; other trials and trials
    without a response are left out. Without feedback the outcome is what it would have been.

    Parameters
    ----------
    trials : Dataset
        ``subject``, ``position``, ``grammatical``, ``response`` over ``trial`` (``session`` and
        ``phase``, if there).
    network : Dataset, optional
        ``output`` (..., seed, trial), the answers of networks on the very same trials, yoked.
        Then the weights are the network's, one fit for each subject's sequence.
    phase : optional
        Keep only trials of these.
    ridge : float
        Penalty of `fit_logistic`, 0.1 for weights that are separable otherwise; the prior is
        normal with standard deviation 3.2. 0: separable ones are NaN, flagged.
    sample_seed : int, optional
        Draw the networks' responses with this seed. None: graded, the output is the chance of
        it, in the response and in the response before; weights are then expected to be a
        little different, as a response before that is known only as a chance says less.

    Returns
    -------
    Dataset
        ``weight`` and ``weight_error`` (standard error) over (..., seed, subject, term), without
        the former two for people; ``flag`` and ``trials`` without ``term``.

    Notes
    -----
    Some 0.3 ms a fit. Resample subjects and seeds of the result: there is nothing to fit again.

    References
    ----------
    Busse et al. (2011), J. Neurosci. 31, 11351-11361. Lau & Glimcher (2005), J. Exp. Anal. Behav.
    84, 555-579. Nowak & Sigmund (1993), Nature 364, 56-58.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> kind = (draw.random(400) < 0.5).astype(float)
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", ["a"] * 400), "position": ("trial", np.arange(1.0, 401)),
    ...      "grammatical": ("trial", kind), "response": ("trial", np.r_[1.0, kind[:-1]])})
    >>> weight = choice_history(trials).weight.isel(subject=0)   # does what was right before
    >>> weight.idxmax("term").item()
    'win_stay_lose_shift'
    """
    rows, previous = lagged(trials, phase)
    subjects, code = np.unique(trials.subject.values[rows].astype(str), return_inverse=True)
    kinds = trials["grammatical"].values.astype(float)
    dims: tuple = ()
    lead: tuple[int, ...] = ()
    coords: dict = {}
    if network is None:
        said = trials["response"].values.astype(float)[None]
    else:
        output, _ = network_output(network)
        if output.dims[-1] != "trial" or output.sizes["trial"] != trials.sizes["trial"]:
            raise ValueError(
                "choice history needs the network's output on each of the "
                f"{trials.sizes['trial']} trials, got {dict(output.sizes)}: train it yoked, or "
                "look its answers up by string"
            )
        dims, lead = output.dims[:-1], output.shape[:-1]
        coords = {name: output[name] for name in dims if name in output.coords}
        said = output.values.reshape(-1, output.sizes["trial"])
        if sample_seed is not None:
            draws = np.random.default_rng(sample_seed).random(said.shape)
            said = (draws < said).astype(float)
    shape = (len(said), len(subjects))
    weight, error = np.full((2, *shape, len(TERMS)), np.nan)
    flag, number = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    for m, y in enumerate(said):
        design = history_design(kinds, y, previous)
        usable = np.isfinite(design).all(axis=1) & np.isfinite(y)
        for s in range(len(subjects)):
            own = rows[code == s]
            own = own[usable[own]]
            fit = fit_logistic(design[own], y[own], ridge=ridge)
            weight[m, s], flag[m, s], number[m, s] = fit.coefficient, fit.flag, len(own)
            error[m, s] = np.sqrt(np.diag(fit.covariance))
    dims = (*dims, "subject")
    size = (*lead, len(subjects))
    result = xr.Dataset(
        {
            "weight": ((*dims, "term"), weight.reshape(*size, len(TERMS))),
            "weight_error": ((*dims, "term"), error.reshape(*size, len(TERMS))),
            "flag": (dims, flag.reshape(size)),
            "trials": (dims, number.reshape(size)),
        },
        {**coords, "subject": subjects, "term": list(TERMS)},
    )
    about = {
        "weight": ("weight in the log odds of grammatical", "1"),
        "weight_error": ("standard error of the weight", "1"),
        "flag": ("state of the fit", "1"),
        "trials": ("number of trials used", "1"),
        "subject": ("subject", "1"),
        "term": ("what the response depends on", "1"),
    }
    described(result, about, REFERENCES)
    result.flag.attrs["meaning"] = FLAGS
    if network is None:
        responses = "of people"
    else:
        responses = "graded" if sample_seed is None else f"drawn with seed {sample_seed}"
    return result.assign_attrs(
        ridge=ridge,
        responses=responses,
        coding="1 and -1",
        subjects=len(subjects),
        provenance="reconstruction",
    )


def lagged(trials: xr.Dataset, phase: str | Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a phase, and for every row that of the trial before (-1: none)."""
    needed = ("subject", "position", "grammatical", "response")
    missing = [name for name in needed if name not in trials or trials[name].dims != ("trial",)]
    if missing:
        raise ValueError(
            f"choice history needs {', '.join(missing)} over the dimension trial; there are: "
            + ", ".join(map(str, trials.data_vars))
        )
    position = trials["position"].values.astype(float)
    if not np.isfinite(position).all():
        raise ValueError(
            f"the position of {int((~np.isfinite(position)).sum())} trials is unknown: choice "
            "history needs the order in which the trials were seen"
        )
    size = len(position)
    session = trials["session"].values.astype(str) if "session" in trials else np.full(size, "")
    phases = trials["phase"].values.astype(str) if "phase" in trials else np.full(size, "")
    subject = trials["subject"].values.astype(str)
    keys = list(
        zip(subject.tolist(), session.tolist(), phases.tolist(), position.tolist(), strict=True)
    )
    place = {key: row for row, key in enumerate(keys)}
    if len(place) < size:
        twice = next(key for row, key in enumerate(keys) if place[key] != row)
        raise ValueError(
            f"subject {twice[0]!r} has two trials with position {twice[3]:g} in session "
            f"{twice[1]!r}, phase {twice[2]!r}: the order of trials must be unique"
        )
    previous = np.array([place.get((a, b, c, d - 1), -1) for a, b, c, d in keys])
    kept = np.ones(size, dtype=bool)
    if phase is not None:
        kept = np.isin(phases, np.atleast_1d(np.asarray(phase)))
    if not kept.any():
        raise ValueError(f"no trial has phase={phase!r}; there are: {sorted(set(phases.tolist()))}")
    return np.flatnonzero(kept), previous
