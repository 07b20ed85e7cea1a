"""Answers item by item: people's by subject and string, networks' by seed and string."""

import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.special import expit, logit

from neurodyn.analysis.logistic_fit import fit_logistic

REFERENCES = "McCullagh & Nelder (1989), Generalized Linear Models, 2nd ed., Chapman & Hall, ch. 4"


def item_responses(
    trials: xr.Dataset,
    *,
    phase: str | Sequence[str] | None = None,
    block: float | Sequence[float] | None = None,
    adjust: Literal["block", "position"] | None = None,
) -> xr.Dataset:
    r"""Return what each subject answered to each string.

    Items come in random order, so that one subject meets a string early and another late, and
    some never. With `adjust`, the course of the session can be taken out afterwards: a logistic
    regression over all trials, the subjects pooled,

    .. math:: \mathrm{logit}\, P(y_t = 1) = a_g + b_g x_t

    with a level and a slope for grammatical and for ungrammatical strings and x the block or the
    position, gives the response expected on each trial (a penalty of 0.01 on the slopes keeps them
    finite where a class has one response only). `endorsement` and `item_correlation` then
    take the expected part out, on the scale of log odds.

    Parameters
    ----------
    trials : Dataset
        The table of trials: ``subject``, ``item``, ``grammatical``, ``response``, ``correct``
        (and ``phase``, ``block``, ``position`` where asked for) over ``trial``; one grammar.
    phase, block : optional
        Keep only these, one or several.
    adjust : {"block", "position"}, optional
        The covariate.

    Returns
    -------
    Dataset
        Over (subject, item), item being the string itself: ``response`` and ``correct``, means
        over repetitions, NaN where not seen; ``count`` and ``correct_count``, of answers.
        ``grammatical`` is a coordinate. With `adjust`: ``expected`` (subject, item) and
        ``reference`` (item), the response expected at the covariate's mean.

    Raises
    ------
    ValueError
        Where no trial names its item (a file without strings cannot be read item by item), where a
        string is both grammatical and not, or where the covariate is unknown.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models (the logistic regression).

    Examples
    --------
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", list("aaabb")), "item": ("trial", ["XX", "XX", "VJ", "XX", "TV"]),
    ...      "response": ("trial", [1.0, 0, 0, 1, 1]), "correct": ("trial", [1.0, 0, 1, 1, 0]),
    ...      "grammatical": ("trial", [1.0, 1, 0, 1, 0])})
    >>> item_responses(trials).response.sel(item="XX").values
    array([0.5, 1. ])
    """
    positions, unnamed = selected(trials, phase, block)
    chosen = trials.isel(trial=positions)
    subjects, row = np.unique(chosen.subject.values.astype(str), return_inverse=True)
    items, column = np.unique(chosen.item.values.astype(str), return_inverse=True)
    shape = (len(subjects), len(items))
    grammatical = classes(chosen.grammatical.values, column, items)

    def table(values: np.ndarray) -> np.ndarray:
        there = np.isfinite(values)
        sums = np.zeros(shape)
        np.add.at(sums, (row[there], column[there]), values[there])
        return sums

    data: dict[str, tuple] = {}
    response = chosen.response.values.astype(float)
    for name in ("response", "correct"):
        values = chosen[name].values.astype(float)
        number = table(np.where(np.isfinite(values), 1.0, np.nan))
        mean = np.divide(table(values), number, out=np.full(shape, np.nan), where=number > 0)
        data[name] = (("subject", "item"), mean)
        data["count" if name == "response" else "correct_count"] = (("subject", "item"), number)
    if adjust is not None:
        expected, at_mean = expected_responses(chosen, response, adjust)
        expected = np.where(np.isfinite(response), expected, np.nan)
        number = data["count"][1]
        mean = np.divide(table(expected), number, out=np.full(shape, np.nan), where=number > 0)
        data["expected"] = (("subject", "item"), mean)
        level = np.where(grammatical == 1, at_mean[1], at_mean[0])
        data["reference"] = ("item", np.where(np.isfinite(grammatical), level, np.nan))
    result = xr.Dataset(
        data, {"subject": subjects, "item": items, "grammatical": ("item", grammatical)}
    )
    about = {
        "response": 'share of the answers that were "grammatical"',
        "correct": "share of the answers that were right",
        "count": "number of responses",
        "correct_count": "number of answers known to be right or wrong",
        "expected": f"response expected from {adjust} and grammaticality alone",
        "reference": f"response expected at the mean {adjust}",
        "subject": "subject",
        "item": "string",
        "grammatical": "1 where the grammar makes the string",
    }
    described(result, {name: (text, "1") for name, text in about.items()}, REFERENCES)
    return result.assign_attrs(
        phase=json.dumps(phase),
        block=json.dumps(block),
        adjust=adjust or "none",
        trials=chosen.sizes["trial"],
        trials_without_item=unnamed,
        provenance="reconstruction",
    )


def item_outputs(answers: xr.Dataset) -> xr.Dataset:
    """Return networks' outputs by string, to be matched with people's.

    Parameters
    ----------
    answers : Dataset
        ``output`` = P(grammatical), from 0 to 1, over ``item`` with the coordinates ``string`` and
        ``grammatical``; or over ``trial`` with ``item`` and ``grammatical`` (yoked networks).
        Any other dimensions (family, seed, ...) are kept. NaN is refused.

    Returns
    -------
    Dataset
        ``output`` (..., item), item being the string; the mean where a string occurs repeatedly,
        ``repeats`` (item) times.

    Examples
    --------
    >>> answers = xr.Dataset(
    ...     {"output": (("seed", "item"), [[0.9, 0.2, 0.9]])},
    ...     {"string": ("item", ["XX", "VJ", "XX"]), "grammatical": ("item", [True, False, True])})
    >>> item_outputs(answers).repeats.sel(item="XX").item()
    2
    """
    output, strings = network_output(answers)
    dim = output.dims[-1]
    items, column = np.unique(strings, return_inverse=True)
    if "grammatical" not in answers.variables:
        raise ValueError("answers need `grammatical` beside `output`, 1 or 0 for each string")
    grammatical = classes(answers["grammatical"].values.astype(float), column, items)
    repeats = np.bincount(column, minlength=len(items))
    indicator = np.zeros((len(strings), len(items)))
    indicator[np.arange(len(strings)), column] = 1 / repeats[column]
    means = output.values @ indicator
    coords = {name: output[name] for name in output.dims[:-1] if name in output.coords}
    result = xr.Dataset(
        {"output": ((*output.dims[:-1], "item"), means), "repeats": ("item", repeats)},
        {**coords, "item": items, "grammatical": ("item", grammatical)},
    )
    about = {
        "output": ("chance that the network says grammatical", "1"),
        "repeats": (f"number of occurrences of the string along {dim}", "1"),
        "item": ("string", "1"),
        "grammatical": ("1 where the grammar makes the string", "1"),
    }
    described(result, about, REFERENCES)
    return result.assign_attrs(provenance="reconstruction")


def selected(
    trials: xr.Dataset,
    phase: str | Sequence[str] | None,
    block: float | Sequence[float] | None,
) -> tuple[np.ndarray, int]:
    """Return which trials of a phase and block name their item, and how many do not."""
    needed = ("subject", "item", "grammatical", "response", "correct")
    missing = [name for name in needed if name not in trials or trials[name].dims != ("trial",)]
    if missing:
        raise ValueError(
            f"trials need {', '.join(missing)} over the dimension trial; "
            f"there are: {', '.join(map(str, trials.data_vars))}"
        )
    kept = np.ones(trials.sizes["trial"], dtype=bool)
    for name, wanted in (("phase", phase), ("block", block)):
        if wanted is None:
            continue
        if name not in trials:
            raise ValueError(f"the trials do not say their {name}: leave {name}={wanted!r} out")
        kept &= np.isin(trials[name].values, np.atleast_1d(np.asarray(wanted)))
    if not kept.any():
        there = {
            name: np.unique(trials[name]).tolist() for name in ("phase", "block") if name in trials
        }
        raise ValueError(f"no trial has phase={phase!r}, block={block!r}; there are: {there}")
    named = trials["item"].values.astype(str) != ""
    if not (kept & named).any():
        raise ValueError(
            f"none of the {kept.sum()} trials names its item: measures item by item need the "
            "string (or an item code) of each trial; accuracy, learning curves and d' do without"
        )
    positions = np.flatnonzero(kept & named)
    grammars = np.array([""])
    if "grammar" in trials:
        grammars = np.unique(trials["grammar"].values[positions].astype(str))
    if len(grammars) > 1:
        raise ValueError(
            f"the trials are of several grammars ({', '.join(grammars)}): select one, e.g. "
            f"trials.isel(trial=(trials.grammar == {str(grammars[0])!r}).values)"
        )
    return positions, int((kept & ~named).sum())


def classes(grammatical: np.ndarray, column: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return 1, 0 or NaN (unknown) for each string; refuse strings that are both."""
    values = np.asarray(grammatical, dtype=float)
    there = np.isfinite(values)
    if not np.isin(values[there], (0, 1)).all():
        raise ValueError("grammatical must be 1, 0 or NaN")
    number = np.bincount(column[there], minlength=len(items))
    yes = np.bincount(column[there], weights=values[there], minlength=len(items))
    both = (yes > 0) & (yes < number)
    if both.any():
        raise ValueError(
            f"grammatical and ungrammatical at once: {', '.join(items[both][:5])} "
            f"({both.sum()} strings); are these trials of several grammars?"
        )
    return np.where(number > 0, yes / np.maximum(number, 1), np.nan)


def expected_responses(
    trials: xr.Dataset, response: np.ndarray, adjust: str
) -> tuple[np.ndarray, tuple[float, float]]:
    """Return P(y = 1) by covariate and class, for each trial and at the covariate's mean."""
    if adjust not in ("block", "position"):
        raise ValueError(f"adjust must be 'block', 'position' or None, got {adjust!r}")
    x = trials[adjust].values.astype(float) if adjust in trials else np.array([np.nan])
    used = np.isfinite(response)
    if not np.isfinite(x).all():
        raise ValueError(f"adjust={adjust!r} needs the {adjust} of every trial; some are unknown")
    if not used.any():
        raise ValueError("no trial has a response: nothing to adjust")
    scaled = (x - x[used].mean()) / (x[used].std() or 1)
    kinds = trials["grammatical"].values.astype(float)
    expected, at_mean = np.full(len(x), np.nan), [np.nan, np.nan]
    for kind in (0, 1):
        own = (kinds == kind) & used
        if not own.any():
            continue
        varied = np.ptp(scaled[own]) > 0
        rate = (response[own].sum() + 0.5) / (own.sum() + 1)
        level, slope = float(logit(rate)), 0.0
        if varied and 0 < response[own].mean() < 1:
            design = np.stack([np.ones(own.sum()), scaled[own]], axis=1)
            level, slope = fit_logistic(design, response[own], ridge=0.01).coefficient
        expected[own] = expit(level + slope * scaled[own])
        at_mean[kind] = float(expit(level))
    return expected, (at_mean[0], at_mean[1])


def as_item_responses(human: xr.Dataset, **selection: Any) -> xr.Dataset:
    """Return people's answers over (subject, item), from trials if need be."""
    if "trial" in human.dims:
        return item_responses(human, **selection)
    if selection:
        raise ValueError(f"{', '.join(selection)} can be chosen from trials only, not afterwards")
    missing = [name for name in ("response", "count", "grammatical") if name not in human]
    if missing or set(human["response"].dims) != {"subject", "item"}:
        raise ValueError(
            "people's answers must be trials, or what item_responses makes of them, over "
            f"(subject, item); got {dict(human.sizes)}, without {', '.join(missing) or 'subject'}"
        )
    return human.transpose("subject", "item", ...)


def human_counts(
    human: xr.Dataset,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the sums of "yes", of answers and of expected ones (subject, item), and reference."""
    count = human["count"].values.astype(float)
    yes = np.where(count > 0, human["response"].values, 0) * count
    if "expected" not in human:
        return yes, count, None, None
    expected = np.where(count > 0, human["expected"].values, 0) * count
    return yes, count, expected, human["reference"].values


def network_counts(answers: xr.Dataset) -> tuple[np.ndarray, np.ndarray, xr.Dataset]:
    """Return the sum of outputs over seeds (..., item), the number of seeds, and the outputs."""
    found = by_item(answers)
    outputs = found.output.transpose(..., "seed", "item").values
    return outputs.sum(axis=-2), np.array(float(outputs.shape[-2])), found


def by_item(answers: xr.Dataset) -> xr.Dataset:
    """Return outputs by string, with a dimension seed, from networks' answers if need be."""
    found = answers if "repeats" in answers else item_outputs(answers)
    return found if "seed" in found.dims else found.assign(output=found.output.expand_dims("seed"))


def shared_strings(people: xr.Dataset, networks: xr.Dataset) -> tuple[list[int], np.ndarray]:
    """Return where the strings that both have are, along the items of each; refuse none."""
    known = networks["item"].values.astype(str).tolist()
    place = {string: i for i, string in reversed(list(enumerate(known)))}
    strings = people["item"].values.astype(str).tolist()
    shared = [i for i, string in enumerate(strings) if string in place]
    if not shared:
        raise ValueError(
            f"people and networks share no string: people answered {', '.join(strings[:3])}, ..., "
            f"networks {', '.join(known[:3])}, ...; give both the same items"
        )
    return shared, np.array([place[strings[i]] for i in shared])


def network_output(answers: xr.Dataset) -> tuple[xr.DataArray, np.ndarray]:
    """Return the outputs, items or trials last, and the string of each; refuse bad ones."""
    if "output" not in answers:
        raise ValueError(
            "networks' answers need `output` = P(grammatical); there are: "
            + (", ".join(map(str, answers.data_vars)) or "no variables")
        )
    dims = [dim for dim in ("item", "trial") if dim in answers.output.dims]
    if len(dims) != 1:
        raise ValueError(
            f"output needs a dimension item or trial, one of them; it has {answers.output.dims}"
        )
    name = "item" if dims[0] == "trial" else "string"
    if name not in answers.variables or answers[name].dims != (dims[0],):
        raise ValueError(f"answers need the string of each {dims[0]}, as {name!r} along it")
    output = answers.output.transpose(..., dims[0]).astype(float)
    if not ((output.values >= 0) & (output.values <= 1)).all():
        raise ValueError("output must be a chance between 0 and 1, without NaN")
    return output, answers[name].values.astype(str)


def outputs_by_trial(
    trials: xr.Dataset,
    network: xr.Dataset,
    phase: str | Sequence[str] | None = None,
    block: float | Sequence[float] | None = None,
) -> tuple[xr.Dataset, xr.DataArray]:
    """Return the trials that networks have an output for, and the outputs (..., seed, trial).

    Outputs over items are matched by string. Those over trials (yoked networks) must be over the
    same trials in the same order.
    """
    positions, _ = selected(trials, phase, block)
    strings = trials["item"].values.astype(str)
    output, known = network_output(network)
    if output.dims[-1] == "trial":
        if not np.array_equal(strings, known):
            raise ValueError(
                "yoked outputs must be over the same trials as people's, in the same order and "
                f"with the same strings: there are {len(strings)} trials of people, {len(known)} "
                "of networks"
            )
        outputs = output.isel(trial=positions)
    else:
        found = by_item(network)
        place = {string: i for i, string in enumerate(found["item"].values.astype(str).tolist())}
        positions = np.array([t for t in positions if strings[t] in place], dtype=int)
        if not len(positions):
            raise ValueError(
                f"people and networks share no string: people answered {', '.join(strings[:3])}, "
                f"..., networks {', '.join(list(place)[:3])}, ...; give both the same items"
            )
        columns = np.array([place[strings[t]] for t in positions])
        outputs = found.output.drop_vars(["item", "grammatical"]).isel(item=columns)
        outputs = outputs.rename(item="trial")
    if "seed" not in outputs.dims:
        outputs = outputs.expand_dims("seed")
    return trials.isel(trial=positions), outputs.transpose(..., "seed", "trial")


def described(data: xr.Dataset, about: dict[str, tuple[str, str]], references: str) -> None:
    """Give variables their long names, units and references."""
    for name, (text, units) in about.items():
        if name in data.data_vars:
            data[name].attrs = {"long_name": text, "units": units, "references": references}
        elif name in data.coords:
            data[name].attrs = {"long_name": text, "units": units}
