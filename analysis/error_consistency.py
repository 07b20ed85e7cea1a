"""Cohen's kappa: whether agents err on the same strings, more than their accuracies make them."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.item_table import (
    as_item_responses,
    by_item,
    described,
    outputs_by_trial,
    shared_strings,
)

REFERENCES = (
    "Cohen (1960), A coefficient of agreement for nominal scales, Educ. Psychol. Meas. 20, 37-46; "
    "Geirhos, Meding & Wichmann (2020), Beyond accuracy: quantifying trial-by-trial behaviour of "
    "CNNs and humans by measuring error consistency, NeurIPS 33, arXiv 2006.16736"
)


class Agreement(NamedTuple):
    """What `pairwise_kappa` found, each of shape (..., a, b)."""

    kappa: Float[np.ndarray, "... a b"]
    observed: Float[np.ndarray, "... a b"]
    expected: Float[np.ndarray, "... a b"]
    kappa_min: Float[np.ndarray, "... a b"]
    kappa_max: Float[np.ndarray, "... a b"]
    common: Float[np.ndarray, "... a b"]


def pairwise_kappa(
    a: Float[np.ndarray, "... a item"], b: Float[np.ndarray, "... b item"]
) -> Agreement:
    r"""Return Cohen's kappa of each row of one table with each row of another.

    .. math:: \kappa = \frac{c_{obs} - c_{exp}}{1 - c_{exp}}, \qquad
              c_{obs} = \langle a b + (1 - a)(1 - b) \rangle, \qquad
              c_{exp} = p_a p_b + (1 - p_a)(1 - p_b)

    over the items that both have. With p_a and p_b given, the agreement c_obs lies between
    \|p_a + p_b - 1\| and 1 - \|p_a - p_b\|, and kappa between the bounds that follow: two accurate
    agents cannot have a very negative kappa. Where c_exp = 1 (both always or both never 1),
    0 / 0 is set to 1, as c_obs = 1 then. A pair without a common item is NaN.

    Parameters
    ----------
    a, b : array
        0 or 1, NaN where missing. A value between is the chance of a 1: then c_obs is the
        agreement expected of independent draws.

    Returns
    -------
    Agreement
        kappa, c_obs, c_exp, bounds of kappa, and the number of common items.

    References
    ----------
    Cohen (1960), Educ. Psychol. Meas. 20, 37-46. Geirhos, Meding & Wichmann (2020), arXiv
    2006.16736.

    Examples
    --------
    >>> a, b = np.array([[1.0, 1, 1, 0]]), np.array([[1.0, 1, 0, 0]])
    >>> found = pairwise_kappa(a, b)
    >>> found.kappa.item(), found.kappa_min.item(), found.kappa_max.item()
    (0.5, -0.5, 0.5)
    """
    there_a, there_b = np.isfinite(a).astype(float), np.isfinite(b).astype(float)
    a, b = np.where(there_a > 0, a, 0), np.where(there_b > 0, b, 0)
    turned, there_turned = np.swapaxes(b, -1, -2), np.swapaxes(there_b, -1, -2)
    count = there_a @ there_turned
    number = np.where(count > 0, count, np.nan)
    p_a, p_b = a @ there_turned / number, there_a @ turned / number
    both = a @ turned / number
    observed = 1 - p_a - p_b + 2 * both
    expected = p_a * p_b + (1 - p_a) * (1 - p_b)
    room = 1 - expected

    def corrected(agreement: np.ndarray) -> np.ndarray:
        out = np.where(count > 0, 1.0, np.nan)
        return np.divide(agreement - expected, room, out=out, where=room > 1e-12)

    return Agreement(
        corrected(observed),
        observed,
        expected,
        corrected(np.abs(p_a + p_b - 1)),
        corrected(1 - np.abs(p_a - p_b)),
        count,
    )


def error_consistency(
    human: xr.Dataset,
    network: xr.Dataset,
    *,
    threshold: float | None = 0.5,
    min_items: int = 10,
) -> xr.Dataset:
    r"""Return how consistently people and networks are right on, and respond to, the same strings.

    .. math:: \kappa_{sm} = \frac{c_{obs} - c_{exp}}{1 - c_{exp}}, \qquad
              \kappa = \langle \kappa_{sm} \rangle_{s, m}

    for each subject s and network (seed) m over the strings that both answered, then averaged over
    the pairs; the mean over pairs of two subjects is the reference. Twice: on being right (error
    consistency) and on the response itself. With two classes these differ: when both agents
    are right on most strings, their responses agree because the strings differ, which is not a
    likeness of their errors. Negative values are kept as they are.

    Parameters
    ----------
    human : Dataset
        Trials, or what `item_responses` makes of them.
    network : Dataset
        ``output`` (..., seed, item) as in `item_outputs`, matched by string; or yoked,
        ``output`` (..., seed, trial), with as many trials as `human`, which must then be trials:
        subject and network are compared trial by trial.
    threshold : float, optional
        Outputs from here up are the response "grammatical". None: the output is the chance of it,
        and agreement that of independent draws, which is never perfect.
    min_items : int
        Pairs with fewer common strings are left out, and so are, from the means, pairs whose kappa
        is 0 / 0.

    Returns
    -------
    Dataset
        Over ``metric`` ("correct", "response") and the network's other dimensions: ``kappa``,
        ``observed_agreement``, ``expected_agreement``, ``kappa_min``, ``kappa_max`` (means over
        pairs), ``pairs`` (how many); ``pair_kappa`` and ``pair_items`` also over (subject, seed);
        over ``metric``: ``subject_kappa``, ``subject_pairs``, the reference.

    Notes
    -----
    Six matrix products: may be called at every resample. Resample with ``isel`` and keep the
    labels: copies of a subject make no pair with each other. With a subject who saw a string
    several times, the mean of the answers is read as a chance.

    References
    ----------
    Cohen (1960), Educ. Psychol. Meas. 20, 37-46. Geirhos, Meding & Wichmann (2020), arXiv
    2006.16736; how uncertain such values are: Klein et al. (2025), arXiv 2507.06645.

    Examples
    --------
    >>> strings = [f"X{i}" for i in range(12)]
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", ["a"] * 12), "item": ("trial", strings),
    ...      "response": ("trial", [1.0] * 9 + [0] * 3), "correct": ("trial", [1.0] * 9 + [0] * 3),
    ...      "grammatical": ("trial", np.ones(12))})
    >>> network = xr.Dataset(
    ...     {"output": ("item", [0.9] * 8 + [0.1] * 4)},
    ...     {"string": ("item", strings), "grammatical": ("item", np.ones(12))})
    >>> error_consistency(trials, network).kappa.sel(metric="correct").round(2).item()
    0.8
    """
    if threshold is not None and not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, or None, got {threshold!r}")
    if min_items < 1:
        raise ValueError(f"min_items must be 1 or more, got {min_items!r}")
    yoked = "output" in network and "trial" in network.output.dims and "trial" in human.dims
    people, outputs, kinds = by_trial(human, network) if yoked else by_string(human, network)
    said = outputs.values if threshold is None else (outputs.values >= threshold).astype(float)
    right = np.where(kinds == 1, said, 1 - said)
    right = np.where(np.isfinite(kinds), right, np.nan)
    found = [pairwise_kappa(people["correct"].values, right)]
    found += [pairwise_kappa(people["response"].values, said)]
    reference = as_item_responses(human)
    subjects = reference.subject.values
    # each pair of two different subjects once
    once = np.triu(subjects[:, None] != subjects, k=1)

    dims = outputs.dims[:-2]
    pair = ("metric", *dims, "subject", "seed")
    parts: dict[str, tuple] = {}
    kept = np.stack([agreement.common for agreement in found])
    enough = np.stack([counted(agreement, min_items) for agreement in found])
    fields = ("kappa", "observed", "expected", "kappa_min", "kappa_max")
    for field, name in zip(fields, NAMES, strict=True):
        values = np.stack([getattr(agreement, field) for agreement in found])
        parts[name] = (("metric", *dims), mean_where(values, enough))
        if field == "kappa":
            parts["pair_kappa"] = (pair, np.where(kept >= min_items, values, np.nan))
    parts["pair_items"] = (pair, kept.astype(int))
    parts["pairs"] = (("metric", *dims), enough.sum(axis=(-2, -1)))
    among = [
        pairwise_kappa(reference[name].values, reference[name].values)
        for name in ("correct", "response")
    ]
    enough = np.stack([counted(agreement, min_items) & once for agreement in among])
    values = np.stack([agreement.kappa for agreement in among])
    parts["subject_kappa"] = ("metric", mean_where(values, enough))
    parts["subject_pairs"] = ("metric", enough.sum(axis=(-2, -1)))
    coords = {name: outputs[name] for name in (*dims, "seed") if name in outputs.coords}
    coords["subject"] = people.subject.values
    result = xr.Dataset(parts, {**coords, "metric": ["correct", "response"]})
    described(result, {name: (text, "1") for name, text in ABOUT.items()}, REFERENCES)
    return result.assign_attrs(
        threshold="none" if threshold is None else threshold,
        min_items=min_items,
        matched_by="trial" if yoked else "string",
        items=len(kinds),
        subjects=len(np.unique(subjects)),
        seeds=outputs.sizes["seed"],
        zero_over_zero="pair_kappa is 1 where observed agreement is; left out of the means",
        note="seeds are not subjects",
        provenance="reconstruction",
    )


NAMES = ("kappa", "observed_agreement", "expected_agreement", "kappa_min", "kappa_max")
ABOUT = {
    "kappa": "mean kappa of subject and network",
    "observed_agreement": "mean observed agreement of subject and network",
    "expected_agreement": "mean agreement expected of independent agents",
    "kappa_min": "mean of the lowest kappa possible for the two rates",
    "kappa_max": "mean of the highest kappa possible for the two rates",
    "pairs": "number of pairs of subject and network",
    "pair_kappa": "kappa of subject and network",
    "pair_items": "number of common strings or trials",
    "subject_kappa": "mean kappa of two subjects",
    "subject_pairs": "number of pairs of two subjects",
    "metric": "what is compared: being right, or the response",
    "subject": "subject",
}


def by_string(
    human: xr.Dataset, network: xr.Dataset
) -> tuple[xr.Dataset, xr.DataArray, np.ndarray]:
    """Return people's answers, the outputs (..., seed, item) to the same strings, and classes."""
    people, found = as_item_responses(human), by_item(network)
    if "correct" not in people:
        raise ValueError("people's answers need `correct`, as item_responses gives it")
    shared, there = shared_strings(people, found)
    outputs = found.output.transpose(..., "seed", "item").isel(item=there)
    return people.isel(item=shared), outputs, found.grammatical.values[there]


def by_trial(human: xr.Dataset, network: xr.Dataset) -> tuple[xr.Dataset, xr.DataArray, np.ndarray]:
    """Return answers (subject, trial), NaN for other subjects' trials, and yoked outputs."""
    chosen, outputs = outputs_by_trial(human, network)
    subjects, row = np.unique(chosen.subject.values.astype(str), return_inverse=True)
    own = row == np.arange(len(subjects))[:, None]
    people = xr.Dataset(
        {
            name: (("subject", "trial"), np.where(own, chosen[name].values.astype(float), np.nan))
            for name in ("response", "correct")
        },
        {"subject": subjects},
    )
    return people, outputs, chosen.grammatical.values.astype(float)


def counted(agreement: Agreement, min_items: int) -> np.ndarray:
    """Return the pairs that count in a mean: enough items, and a kappa that is not 0 / 0.

    Agents that are right on every common item agree perfectly and say nothing about their errors;
    with 1 for each such pair, the mean of independent agents would lie above 0.
    """
    return (agreement.common >= min_items) & (agreement.expected < 1 - 1e-12)


def mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the mean over pairs (the last two axes) of the chosen ones, NaN if there is none."""
    number = chosen.sum(axis=(-2, -1))
    total = np.where(chosen, values, 0).sum(axis=(-2, -1))
    out = np.full(number.shape, np.nan)
    return np.divide(total, number, out=out, where=number > 0)
