"""People and networks on the same trials: how alike they are, metric by metric, with ceilings."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from neurodyn.analysis.choice_history import choice_history
from neurodyn.analysis.feature_profiles import feature_profile
from neurodyn.analysis.learning_curves import LEARNING
from neurodyn.analysis.likeness import (
    Found,
    accuracy_gap,
    common_blocks,
    consistency,
    correlation,
    curve_area,
    detection_gap,
    likelihood,
    of_weights,
)

METRICS = {
    "accuracy_gap": "accuracy, network minus people",
    "d_prime_gap": "d', network minus people",
    "criterion_gap": "criterion, network minus people",
    "curve_area": "area between learning curves",
    "item_correlation": "item correlation",
    "kappa_correct": "error consistency",
    "kappa_response": "response consistency",
    "pseudo_r2": "pseudo-R\N{SUPERSCRIPT TWO} of choices",
    "history_distance": "distance of choice-history weights",
    "feature_cosine": "cosine of feature weights",
}
CEILINGS = {
    "accuracy_gap": "none",
    "d_prime_gap": "none",
    "criterion_gap": "none",
    "curve_area": "mean area between the curves of random halves of the people",
    "item_correlation": "square root of the correlation of random halves of the people",
    "kappa_correct": "mean kappa of two people",
    "kappa_response": "mean kappa of two people",
    "pseudo_r2": "the other people's endorsement of the string in the network's place",
    "history_distance": "mean distance between random halves of the people",
    "feature_cosine": "mean cosine between random halves of the people",
}
BY_ITEM = ("item_correlation", "kappa_correct", "kappa_response", "pseudo_r2", "feature_cosine")
RANGES = {
    "accuracy_gap": (-1.0, 1.0),
    "curve_area": (0.0, 1.0),
    "item_correlation": (-1.0, 1.0),
    "kappa_correct": (-1.0, 1.0),
    "kappa_response": (-1.0, 1.0),
    "pseudo_r2": (-np.inf, 1.0),
    "history_distance": (0.0, np.inf),
    "feature_cosine": (-1.0, 1.0),
}
"""Where a metric can be; intervals are cut there."""
SHARED = 20
"""Strings seen by four people or more that a correlation over strings is asked to have."""
REFERENCES = (
    "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861; "
    "Geirhos, Meding & Wichmann (2020), arXiv:2006.16736; Rajalingham et al. (2018), J. Neurosci. "
    "38, 7255-7269; Owen (2007), Ann. Appl. Stat. 1, 386-411"
)


def compare(
    trials: xr.Dataset,
    networks: xr.Dataset,
    *,
    items: xr.Dataset | None = None,
    features: Sequence[str] = (),
    phases: Sequence[str] = LEARNING,
    exclude: Sequence[float] = (8.0,),
    resamples: int = 300,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return how alike people and networks are that saw the very same trials.

    The networks are yoked: each learnt from one person's strings and feedback, in that person's
    order, and answered every trial before its feedback. Where a metric needs yes or no, an output
    of 1/2 or more is the response "grammatical".

    - Differences of accuracy, d' and criterion (pooled over people), network minus people.
    - Area between the learning curves, :math:`\int |h - m|\, dx / (x_K - x_1)`, over the blocks
      that everyone has.
    - Correlation of endorsement over strings, within grammatical classes, of one half of the people
      with networks yoked to the *other* half, beside what a model without noise would reach.
    - Cohen's kappa, on being right and on the response, of a person with a network that was yoked
      to *another* person, beside that of two people: both answered a string at different times.
      Pairs with fewer than 10 common strings, or right on all of them, do not count.
    - Pseudo-R2 of single choices with bias, temperature and lapse fitted, on held-out trials.
    - Distance of choice-history weights; cosine of the weights of features of strings. Networks
      enter with their graded outputs: one that is right as often as people and less sure is apart.

    Intervals are percentile bootstraps over subjects, items and seeds (crossed) where the metric
    is a mean over them, over subjects and seeds otherwise (`clusters`); those of correlations and
    kappa over three kinds of cluster are rather too wide. Seeds are training runs, not subjects:
    more of them say nothing about people. No correction for several metrics. Where a
    metric is no mean, resampling adds noise of its own, which lowers correlations and lifts areas
    and distances; the resampled values are therefore moved so that their median is the estimate.
    Areas and distances are never below 0, and noise alone lifts them: read them beside the ceiling,
    which halves of the people set, twice as noisy as all.

    Parameters
    ----------
    trials : Dataset
        People's trials, with feedback: the table of `neurodyn.analysis.read_trials` or of
        `neurodyn.models.simulated_participants`.
    networks : Dataset
        ``output`` (family, seed, trial) on the same trials, from `neurodyn.models.yoked`; a family
        with NaN (diverged) has no values for that grammar.
    items : Dataset, optional
        ``string``, ``grammar`` and features over ``item``, for the cosine of feature weights.
    features : sequence of str
        Names of variables of `items`; those that do not vary in a grammar are left out there.
    phases : sequence of str
        The trials that count, by ``phase``: learning with feedback, or unknown.
    exclude : sequence of float
        Blocks left out: block 8 by default, with which the paper chose the networks.
    resamples, level, seed
        Of the bootstrap.

    Returns
    -------
    Dataset
        ``value``, ``value_ci`` (..., ci_bound), ``ceiling``, ``ceiling_ci`` over (grammar, family,
        metric); coordinates ``metric_name`` and ``ceiling_name``; ``clusters`` (metric);
        ``why`` (grammar, metric), the reason where a metric is not there; ``subjects``, ``seeds``,
        ``strings``, ``trials`` (grammar). NaN also where a reliability is not above zero.

    Raises
    ------
    ValueError
        When trials and networks do not fit, or nothing is left to compare.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172 (areas, choice of networks).
    Geirhos, Meding & Wichmann (2020), arXiv:2006.16736. Owen (2007), Ann. Appl. Stat. 1, 386-411.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> n = 480
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", np.repeat(list("abcd"), 120)),
    ...      "position": ("trial", np.tile(np.arange(1.0, 121), 4)),
    ...      "block": ("trial", np.tile(np.repeat([1.0, 2.0], 60), 4)),
    ...      "item": ("trial", draw.choice(list("PQRSTUVW"), n))})
    >>> even = np.isin(trials["item"], list("PQRS")).astype(float)
    >>> said = (draw.random(n) < 0.3 + 0.4 * even).astype(float)
    >>> trials = trials.assign(
    ...     grammar=("trial", ["A"] * n), grammatical=("trial", even), response=("trial", said),
    ...     correct=("trial", (said == even).astype(float)))
    >>> output = np.clip(even, 0.2, 0.8) + draw.uniform(-0.1, 0.1, (1, 2, n))
    >>> networks = xr.Dataset(
    ...     {"output": (("family", "seed", "trial"), output)}, {"family": ["chunk"]})
    >>> found = compare(trials, networks, resamples=100)
    >>> found.value.sel(metric="accuracy_gap").round(1).item()
    0.3
    """
    check(trials, networks, items, features, resamples)
    block = trials["block"].values if "block" in trials else np.full(trials.sizes["trial"], np.nan)
    usable = np.isfinite(trials.response.values) & np.isfinite(trials.grammatical.values)
    usable &= ~np.isin(block, list(exclude))
    if "phase" in trials:
        usable &= np.isin(trials.phase.values.astype(str), list(phases))
    names = trials.grammar.values.astype(str)
    grammars = list(dict.fromkeys(names[usable].tolist()))
    if not grammars:
        raise ValueError(
            f"no trial is left: none of the phases {', '.join(map(repr, phases))} outside the "
            "excluded blocks has a response"
        )
    parts = []
    for grammar in grammars:
        rows = np.flatnonzero(usable & (names == grammar))
        people = trials.isel(trial=rows)
        if len(np.unique(people.subject.values)) < 2:
            raise ValueError(
                f"grammar {grammar!r} has trials of one person; an interval over people needs two"
            )
        answers = networks.isel(trial=rows).assign(
            {name: people[name] for name in ("subject", "item", "grammatical")}
        )
        known = None
        if items is not None:
            known = items.isel(item=items.grammar.values.astype(str) == grammar)
        there = answers.output.notnull().all(("seed", "trial")).values
        if not there.any():
            raise ValueError(f"no family answered every trial of grammar {grammar!r}")
        one = of_one_grammar(
            people, answers.isel(family=there), known, features, resamples, level, seed
        ).reindex(family=networks.family.values)
        if not there.all():
            gone = ", ".join(map(str, networks.family.values[~there]))
            one["why"] = one.why.copy(
                data=[f"{w}; {gone} diverged".removeprefix("; ") for w in one.why.values]
            )
        parts.append(one)
    result = xr.concat(parts, dim=xr.IndexVariable("grammar", grammars), combine_attrs="override")
    return labelled(result, phases, exclude, resamples, level, seed)


def of_one_grammar(
    people: xr.Dataset, answers: xr.Dataset, items: xr.Dataset | None, features: Sequence[str],
    resamples: int, level: float, seed: int,
) -> xr.Dataset:  # fmt: skip
    """Return all metrics for the people of one grammar."""
    if items is not None:
        features = [name for name in features if np.unique(items[name].values).size > 1]
    how = {"resamples": resamples, "level": level, "seed": seed}
    metrics: dict[str, Callable[[], Found]] = {
        "accuracy_gap": lambda: accuracy_gap(people, answers, how),
        "d_prime_gap": lambda: detection_gap(people, answers, "d_prime", how),
        "criterion_gap": lambda: detection_gap(people, answers, "criterion", how),
        "curve_area": lambda: curve_area(people, answers, how),
        "item_correlation": lambda: correlation(people, answers, how),
        "kappa_correct": lambda: consistency(people, answers, "correct", how),
        "kappa_response": lambda: consistency(people, answers, "response", how),
        "pseudo_r2": lambda: likelihood(people, answers, how),
        "history_distance": lambda: of_weights(
            choice_history(people).weight, choice_history(people, answers).weight, "distance", how
        ),
        "feature_cosine": lambda: of_weights(
            feature_profile(people, items, features).weight,  # type: ignore[arg-type]
            profiles_of_networks(answers, items, features),  # type: ignore[arg-type]
            "cosine",
            how,
        ),
    }
    families = answers.family.values
    empty = xr.DataArray(np.full(len(families), np.nan), {"family": families}, dims="family")
    bounds = empty.expand_dims(ci_bound=["lower", "upper"]).transpose("family", "ci_bound")
    found, why = [], []
    for name, measure in metrics.items():
        why.append(missing(name, people, items, features))
        one = Found(empty, bounds)
        if not why[-1]:
            try:
                one = measure()
            except ValueError as error:  # a measure's refusal does not take the others with it
                why[-1] = str(error)
        undefined = one.value.isnull()
        if not why[-1] and undefined.any():
            names = one.value.family.values[undefined.values]
            why[-1] = f"not defined for the answers of {', '.join(map(str, names))}"
        low, high = RANGES.get(name, (-np.inf, np.inf))
        parts = {
            "value": one.value,
            "value_ci": one.value_ci.clip(low, high),
            "ceiling": empty.fillna(one.ceiling),
            "ceiling_ci": bounds.fillna(one.ceiling_ci).clip(low, high),
        }
        found.append(xr.Dataset({key: x.reset_coords(drop=True) for key, x in parts.items()}))
    result = xr.concat(found, dim=xr.IndexVariable("metric", list(metrics)), join="override")
    strings = np.unique(people["item"].values.astype(str))
    return result.assign(
        why=("metric", why),
        subjects=len(np.unique(people.subject.values)),
        seeds=answers.sizes["seed"],
        strings=int((strings != "").sum()),
        trials=people.sizes["trial"],
    )


def profiles_of_networks(
    answers: xr.Dataset, items: xr.Dataset, features: Sequence[str]
) -> xr.DataArray:
    """Return weights (family, seed, subject, term), a fit to each person's trials as for people."""
    names = np.unique(answers.subject.values)
    found = [
        feature_profile(answers.isel(trial=answers.subject.values == s), items, features).weight
        for s in names
    ]
    return xr.concat(found, dim=xr.IndexVariable("subject", names))


def missing(
    metric: str, people: xr.Dataset, items: xr.Dataset | None, features: Sequence[str]
) -> str:
    """Return why a metric cannot be had from these trials; "" if it can."""
    if metric in BY_ITEM and (people["item"].values.astype(str) == "").any():
        return "the trials do not name their strings"
    if metric == "item_correlation":
        pairs = np.unique(np.stack([people["item"].values, people.subject.values]), axis=1)
        _, seen = np.unique(pairs[0], return_counts=True)
        if (seen >= 4).sum() < SHARED:
            return f"{(seen >= 4).sum()} strings were seen by four people or more, of {SHARED}"
    if metric in ("curve_area", "history_distance"):
        for name in ("block",) if metric == "curve_area" else ("position",):
            if name not in people or not np.isfinite(people[name].values).all():
                return f"the {name} of some trials is unknown"
    if metric == "curve_area":
        if len(np.unique(people.block.values[common_blocks(people)])) < 2:
            return "a curve needs two blocks that everyone has"
    if metric == "feature_cosine" and (items is None or not len(features)):
        return "no features of the strings were given"
    return ""


def labelled(
    result: xr.Dataset,
    phases: Sequence[str],
    exclude: Sequence[float],
    resamples: int,
    level: float,
    seed: int,
) -> xr.Dataset:
    """Add what the numbers mean."""
    all_three = "subjects x items x seeds"
    over = {name: "subjects x seeds" for name in METRICS}
    over |= dict.fromkeys(("accuracy_gap", "d_prime_gap", "criterion_gap"), all_three)
    over |= dict.fromkeys(("item_correlation", "kappa_correct", "kappa_response"), all_three)
    result = result.assign_coords(
        metric_name=("metric", list(METRICS.values())),
        ceiling_name=("metric", list(CEILINGS.values())),
    ).assign(clusters=("metric", [over[name] for name in METRICS]))
    about = {
        "value": "likeness of network and people",
        "value_ci": f"{level:.0%} interval of the likeness",
        "ceiling": "what people reach among themselves, see ceiling_name",
        "ceiling_ci": f"{level:.0%} interval of the ceiling",
        "why": "why a metric is not there",
        "clusters": "what the intervals resample",
        "subjects": "people",
        "seeds": "training seeds for each person; not subjects",
        "strings": "different strings",
        "trials": "trials compared",
        "grammar": "grammar",
        "family": "family of networks",
        "metric": "metric",
        "metric_name": "what is measured",
        "ceiling_name": "what the ceiling is",
        "ci_bound": "bound of the interval",
    }
    for name, text in about.items():
        result[name].attrs = {"long_name": text, "units": "1"}
    result["value"].attrs["references"] = REFERENCES
    return result.transpose("grammar", "family", "metric", ...).assign_attrs(
        phases=json.dumps(list(phases)),
        excluded_blocks=json.dumps(list(exclude)),
        resamples=resamples,
        level=level,
        seed=seed,
        note="seeds are training runs of a network, not subjects",
        provenance="reconstruction",
        references=REFERENCES,
    )


def check(
    trials: xr.Dataset, networks: xr.Dataset, items: xr.Dataset | None, features: Sequence[str],
    resamples: int,
) -> None:  # fmt: skip
    """Refuse what cannot be compared."""
    needed = ("subject", "item", "grammar", "grammatical", "response")
    lacking = [name for name in needed if name not in trials or trials[name].dims != ("trial",)]
    if lacking:
        raise ValueError(
            f"trials need {', '.join(lacking)} over 'trial'; they have "
            f"{', '.join(map(str, trials.data_vars)) or 'nothing'}"
        )
    if "output" not in networks or set(networks.output.dims) != {"family", "seed", "trial"}:
        got = networks.output.dims if "output" in networks else tuple(networks.data_vars)
        raise ValueError(
            f"networks need 'output' over family, seed and trial, as neurodyn.models.yoked gives "
            f"it; got {got}"
        )
    if networks.sizes["trial"] != trials.sizes["trial"]:
        raise ValueError(
            f"networks answered {networks.sizes['trial']} trials, people {trials.sizes['trial']}: "
            "yoke the networks to these very trials"
        )
    labels = [data.indexes.get("trial") for data in (trials, networks)]
    if labels[0] is not None and labels[1] is not None and not labels[0].equals(labels[1]):
        raise ValueError("trials and networks have other labels along 'trial': give both one order")
    wanted = () if items is None else ("string", "grammar", *features)
    absent = [name for name in wanted if items is not None and name not in items]
    if absent:
        raise ValueError(
            f"items have no {', '.join(absent)}; they have {', '.join(map(str, items or ()))}"
        )
    if resamples < 100:
        raise ValueError(f"resamples must be 100 or more, got {resamples!r}")
