"""How likely a person's choices are, trial by trial, under a network and with lapses."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit, logit

from neurodyn.analysis.item_table import described, outputs_by_trial
from neurodyn.analysis.logistic_fit import fit_logistic

REFERENCES = (
    "Wichmann & Hill (2001), The psychometric function: I. Fitting, sampling, and goodness of fit, "
    "Percept. Psychophys. 63, 1293-1313 (lapses); Stone (1974), Cross-validatory choice and "
    "assessment of statistical predictions, J. R. Stat. Soc. B 36, 111-147; McFadden (1974), "
    "Conditional logit analysis of qualitative choice behavior (pseudo-R2)"
)
EDGE = 1e-6
BOUNDS = [(0.0, 20.0), (-20.0, 20.0), (EDGE, 1.0)]


def choice_probability(
    evidence: Float[np.ndarray, "..."], parameters: Float[np.ndarray, " parameter"]
) -> Float[np.ndarray, "..."]:
    r"""Return the chance of a choice, from evidence in log odds and (slope, intercept, lapse).

    .. math:: q = \frac{\lambda}{2} + (1 - \lambda)\, \sigma(\beta x - \alpha)

    On a lapse the choice is a coin's. With temperature T = 1 / beta and bias b = alpha T this is
    sigma((x - b) / T).

    Examples
    --------
    >>> choice_probability(np.array([0.0, 100.0]), np.array([1.0, 0.0, 0.1]))
    array([0.5 , 0.95])
    """
    slope, intercept, lapse = parameters
    return lapse / 2 + (1 - lapse) * expit(slope * evidence - intercept)


def choice_cost(
    parameters: np.ndarray, evidence: np.ndarray, choice: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the mean negative log-likelihood, nats a trial, and its gradient."""
    slope, intercept, lapse = parameters
    s = expit(slope * evidence - intercept)
    q = lapse / 2 + (1 - lapse) * s
    cost = -np.mean(choice * np.log(q) + (1 - choice) * np.log1p(-q))
    by_q = (q - choice) / (q * (1 - q)) / len(choice)
    by_eta = by_q * (1 - lapse) * s * (1 - s)
    return float(cost), np.array([by_eta @ evidence, -by_eta.sum(), by_q @ (0.5 - s)])


def fit_choices(
    evidence: Float[np.ndarray, " trial"],
    choice: Float[np.ndarray, " trial"],
    start: Float[np.ndarray, " parameter"] | None = None,
) -> Float[np.ndarray, " parameter"]:
    r"""Return the slope, intercept and lapse that make the choices most likely.

    Maximum likelihood (L-BFGS-B), for evidence brought to mean 0 and standard deviation 1 a slope
    from 0 to 20 and an intercept from -20 to 20, lapse from 1e-6 to 1; from two starts: a
    logistic regression with few lapses and with many. A slope of 0 means that the evidence is of
    no use: the chance is then the same on every trial. Some 5 ms for 500 trials.

    Parameters
    ----------
    evidence, choice : array
        Shape (trial,): log odds, and 1 or 0.
    start : array, optional
        Begin here, and only here.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> x = draw.normal(size=20_000)
    >>> y = (draw.random(20_000) < choice_probability(x, np.array([2.0, 1.0, 0.2]))).astype(float)
    >>> bool(np.abs(fit_choices(x, y) - [2, 1, 0.2]).max() < 0.1)
    True
    """
    middle, spread = float(evidence.mean()), float(evidence.std())
    if spread <= 1e-9 * np.abs(evidence).max(initial=1):
        spread = 1.0  # constant but for rounding
    z = (evidence - middle) / spread
    if start is not None:
        slope, level, lapse = start
        starts = [np.array([slope * spread, level - slope * middle, lapse])]
    else:
        design = np.stack([np.ones(len(z)), z], axis=1)
        level, slope = fit_logistic(design, choice, ridge=0.1).coefficient
        if not np.isfinite(slope) or slope < 0:
            mean = (choice.sum() + 0.5) / (len(choice) + 1)
            level, slope = logit(mean), 0.0
        starts = [np.array([slope, -level, 0.02]), np.array([2 * slope, -2 * level, 0.25])]
    lower, upper = np.transpose(BOUNDS)
    best = None
    for first in starts:
        first = np.clip(first, lower, upper)
        found = minimize(
            choice_cost, first, args=(z, choice), jac=True, method="L-BFGS-B", bounds=BOUNDS
        )
        if best is None or found.fun < best.fun:
            best = found
    assert best is not None
    slope, level, lapse = best.x
    return np.array([slope / spread, level + slope * middle / spread, lapse])


def choice_likelihood(
    trials: xr.Dataset,
    network: xr.Dataset,
    *,
    phase: str | Sequence[str] | None = None,
    block: float | Sequence[float] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return how well networks predict each choice of each subject, on trials held out.

    .. math:: \mathrm{NLL} = -\langle y \ln q + (1 - y) \ln (1 - q) \rangle, \qquad
              q = \frac{\lambda}{2} + (1 - \lambda)\, \sigma\!\left(
              \frac{\mathrm{logit}\, m - b}{T}\right), \qquad
              R^2 = 1 - \frac{\mathrm{NLL}}{\ln 2}

    m is the network's P(grammatical) for the string of the trial, or on that very trial where the
    network was yoked to the subject's sequence. Temperature T, bias b and lapse rate lambda are
    the subject's, fitted for each network by maximum likelihood, on all trials but those of
    one fold at a time, in which the likelihood is taken. The same folds serve every network and a
    model without any: the subject's rate of "grammatical" among the other trials, with the
    log-linear correction. ``gain`` is what the network adds to it. Anything with P(grammatical) can
    be put in the network's place: a chunk learner, an exemplar model, an item measure's logistic.

    Parameters
    ----------
    trials : Dataset
        Of people, with ``item`` and ``response``.
    network : Dataset
        ``output`` (..., seed, item) as in `item_outputs`, or (..., seed, trial), yoked. Outputs
        are kept within 1e-6 of 0 and 1.
    phase, block : optional
        Keep only these trials.
    folds, seed : int
        How many folds, and what they are drawn from.

    Returns
    -------
    Dataset
        Over the network's dimensions, ``seed`` and ``subject``: ``nll`` (held out), ``pseudo_r2``,
        ``gain``; ``lapse``, ``bias``, ``temperature``, ``inverse_temperature``, ``nll_fitted`` (on
        all trials). Over ``subject``: ``nll_intercept``, ``pseudo_r2_intercept``, ``trials``.
        A temperature of inf, with a bias of NaN: the network is of no use for that subject.
        Subjects with fewer than two trials a fold are NaN.

    Notes
    -----
    Some 15 ms for each subject and network of 500 trials. There is nothing to fit again when
    subjects or seeds are resampled: resample these numbers.

    References
    ----------
    Wichmann & Hill (2001), Percept. Psychophys. 63, 1293-1313. Stone (1974), J. R. Stat. Soc. B
    36, 111-147. McFadden (1974).

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> m = draw.uniform(0.05, 0.95, 200)
    >>> strings = [f"X{i}" for i in range(200)]
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", ["a"] * 200), "item": ("trial", strings),
    ...      "grammatical": ("trial", np.ones(200)), "correct": ("trial", np.ones(200)),
    ...      "response": ("trial", (draw.random(200) < m).astype(float))})
    >>> strings = {"string": ("item", strings), "grammatical": ("item", np.ones(200))}
    >>> network = xr.Dataset({"output": ("item", m)}, strings)
    >>> bool(choice_likelihood(trials, network).gain.item() > 0.1)
    True
    """
    if folds < 2:
        raise ValueError(f"folds must be 2 or more, got {folds!r}")
    chosen, outputs = outputs_by_trial(trials, network, phase, block)
    answered = np.isfinite(chosen.response.values.astype(float))
    if not answered.any():
        raise ValueError("no trial has a response: the likelihood of choices needs choices")
    choices = chosen.response.values[answered].astype(float)
    if not np.isin(choices, (0, 1)).all():
        raise ValueError("response must be 1, 0 or NaN on every trial")
    subjects, row = np.unique(chosen.subject.values[answered].astype(str), return_inverse=True)
    evidence = logit(np.clip(outputs.values[..., answered], EDGE, 1 - EDGE))
    lead = evidence.shape[:-1]
    flat = evidence.reshape(-1, evidence.shape[-1])
    networks = np.full((6, len(flat), len(subjects)), np.nan)
    alone, number = np.full(len(subjects), np.nan), np.bincount(row, minlength=len(subjects))
    for s in range(len(subjects)):
        own = np.flatnonzero(row == s)
        if len(own) < 2 * folds:
            continue
        fold = np.random.default_rng([seed, s]).permutation(len(own)) % folds
        y = choices[own]
        alone[s] = held_out_rate(y, fold, folds)
        for m, x in enumerate(flat[:, own]):
            networks[:, m, s] = held_out_choices(x, y, fold, folds)
    dims = (*outputs.dims[:-1], "subject")
    cost, fitted, slope, bias, temperature, lapse = networks.reshape(6, *lead, len(subjects))
    data: dict[str, tuple] = {
        "nll": (dims, cost),
        "pseudo_r2": (dims, 1 - cost / np.log(2)),
        "gain": (dims, alone - cost),
        "lapse": (dims, lapse),
        "bias": (dims, bias),
        "temperature": (dims, temperature),
        "inverse_temperature": (dims, slope),
        "nll_fitted": (dims, fitted),
        "nll_intercept": ("subject", alone),
        "pseudo_r2_intercept": ("subject", 1 - alone / np.log(2)),
        "trials": ("subject", number),
    }
    coords = {name: outputs[name] for name in dims if name in outputs.coords}
    result = xr.Dataset(data, {**coords, "subject": subjects})
    described(result, ABOUT, REFERENCES)
    return result.assign_attrs(
        folds=folds,
        seed=seed,
        subjects=len(subjects),
        seeds=outputs.sizes["seed"],
        trials_without_response=int((~answered).sum()),
        note="seeds are not subjects",
        provenance="reconstruction",
    )


ABOUT = {
    "nll": ("negative log-likelihood of a choice, held out", "nat"),
    "pseudo_r2": ("pseudo-R2: 1 at certainty, 0 at a coin's", "1"),
    "gain": ("nats a choice won over the subject's own rate", "nat"),
    "lapse": ("lapse rate", "1"),
    "bias": ("bias against grammatical, in log odds of the network", "1"),
    "temperature": ("temperature, in log odds of the network", "1"),
    "inverse_temperature": ("inverse temperature", "1"),
    "nll_fitted": ("negative log-likelihood of a choice, all trials fitted", "nat"),
    "nll_intercept": ("negative log-likelihood under the subject's rate, held out", "nat"),
    "pseudo_r2_intercept": ("pseudo-R2 of the subject's own rate", "1"),
    "trials": ("number of choices", "1"),
    "subject": ("subject", "1"),
}


def held_out_choices(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, folds: int
) -> tuple[float, float, float, float, float, float]:
    """Return NLL held out and fitted, inverse temperature, bias, temperature and lapse."""
    whole = fit_choices(x, y)
    total = 0.0
    for k in range(folds):
        out = fold == k
        part = fit_choices(x[~out], y[~out], start=whole)
        total += choice_cost(part, x[out], y[out])[0] * out.sum()
    slope, intercept, lapse = (float(value) for value in whole)
    useful = slope > 1e-9
    temperature, bias = (1 / slope, intercept / slope) if useful else (np.inf, np.nan)
    return total / len(y), choice_cost(whole, x, y)[0], slope, bias, temperature, lapse


def held_out_rate(y: np.ndarray, fold: np.ndarray, folds: int) -> float:
    """Return the NLL, nats a choice, of the rate among the trials of the other folds."""
    number = np.bincount(fold, minlength=folds)
    yes = np.bincount(fold, weights=y, minlength=folds)
    rate = (yes.sum() - yes + 0.5) / (number.sum() - number + 1)
    return float(-(yes @ np.log(rate) + (number - yes) @ np.log1p(-rate)) / len(y))
