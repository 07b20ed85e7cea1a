"""How often each string is called grammatical, by people and by networks."""

from typing import Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.special import expit, logit

from neurodyn.analysis.item_table import (
    as_item_responses,
    described,
    human_counts,
    network_counts,
)

REFERENCES = (
    "Hautus (1995), Corrections for extreme proportions and their biasing effects on estimated "
    "values of d', Behav. Res. Methods 27, 46-51; Rajalingham et al. (2018), Large-scale, "
    "high-resolution comparison of the core visual object recognition behavior of humans, monkeys, "
    "and state-of-the-art deep artificial neural networks, J. Neurosci. 38, 7255-7269"
)
Scale = Literal["rate", "logit", "centred"]


def log_linear_rate(
    yes: Float[np.ndarray, "..."], count: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    r"""Return the rate of "yes", kept off 0 and 1; NaN where there was no answer.

    .. math:: e = \frac{k + 1/2}{n + 1}

    Parameters
    ----------
    yes, count : array
        The number k of "yes" and n of answers.

    References
    ----------
    Hautus (1995), Behav. Res. Methods 27, 46-51.

    Examples
    --------
    >>> log_linear_rate(np.array([0.0, 1.0, 3.0]), np.array([1.0, 1.0, 3.0]))
    array([0.25 , 0.75 , 0.875])
    """
    return np.where(count > 0, (yes + 0.5) / (count + 1), np.nan)


def class_centred(
    values: Float[np.ndarray, "... item"], grammatical: Float[np.ndarray, " item"]
) -> Float[np.ndarray, "... item"]:
    r"""Return the values minus the mean of their grammatical class.

    .. math:: z_i = v_i - \frac{1}{|C(i)|} \sum_{j \in C(i)} v_j

    What is left is the pattern of items within grammatical and within ungrammatical strings, on
    which being right plays no part (Rajalingham's I1n, for artificial grammars). NaN values take
    no part; items without a class become NaN.

    Examples
    --------
    >>> class_centred(np.array([1.0, 3.0, 0.0, np.nan]), np.array([1.0, 1.0, 0.0, 0.0]))
    array([-1.,  1.,  0., nan])
    """
    centred = np.full(np.shape(values), np.nan)
    for kind in (0, 1):
        chosen = grammatical == kind
        part = values[..., chosen]
        there = np.isfinite(part)
        total = np.where(there, part, 0).sum(axis=-1, keepdims=True)
        number = there.sum(axis=-1, keepdims=True)
        centred[..., chosen] = part - total / np.maximum(number, 1)
    return centred


def endorsement_scale(
    yes: Float[np.ndarray, "... item"],
    count: Float[np.ndarray, "... item"],
    grammatical: Float[np.ndarray, " item"],
    scale: Scale,
    expected: Float[np.ndarray, "... item"] | None = None,
    reference: Float[np.ndarray, " item"] | None = None,
) -> Float[np.ndarray, "... item"]:
    r"""Return the endorsement of items on one of three scales.

    .. math:: \ell_i = \mathrm{logit}\, e_i
              \;[\, - \mathrm{logit}\, \tilde e_i + \mathrm{logit}\, r_i \,]

    "rate" is the log-linear rate e, "logit" its log odds, "centred" that minus the mean of the
    class. The part in brackets takes out a covariate: e-tilde is the rate that the covariate and
    the class alone make expected for the trials of the item, with the same correction, and r the
    one expected at the covariate's mean. The rate is then the inverse logit of the adjusted one.

    Parameters
    ----------
    yes, count, expected : array
        Sums over trials: of the answers "yes", of all answers, of the expected answers.
    grammatical, reference : array
        Shape (item,): 1, 0 or NaN; and the rate r.
    scale : {"rate", "logit", "centred"}
        What to return.

    Examples
    --------
    >>> yes, count = np.array([3.0, 0.0]), np.array([3.0, 3.0])
    >>> endorsement_scale(yes, count, np.array([1.0, 1.0]), "centred").round(3)
    array([ 1.946, -1.946])
    """
    rate = log_linear_rate(yes, count)
    if scale == "rate" and expected is None:
        return rate
    odds = logit(rate)
    if expected is not None:
        odds = odds - logit(log_linear_rate(expected, count)) + logit(reference)
    if scale == "rate":
        return expit(odds)
    return class_centred(odds, grammatical) if scale == "centred" else odds


def endorsement(answers: xr.Dataset, **selection: Any) -> xr.Dataset:
    r"""Return how often each string is endorsed: as rate, log odds, and within its class.

    .. math:: e_i = \frac{k_i + 1/2}{n_i + 1}, \qquad \ell_i = \ln \frac{e_i}{1 - e_i}, \qquad
              z_i = \ell_i - \langle \ell_j \rangle_{j \in \mathrm{class}(i)}

    People: k of the n answers to string i were "grammatical", over subjects and repetitions.
    Networks: n seeds, k the sum of their outputs, so that a network counts like a subject who
    says "grammatical" with that chance, and the same correction holds for both. Seeds are not
    subjects: they are draws of strings and weights, and one may have as many as one likes.

    Parameters
    ----------
    answers : Dataset
        Trials or `item_responses` of people, or ``output`` of networks as in `item_outputs`.
    **selection
        ``phase``, ``block``, ``adjust`` of `item_responses`, for trials of people.

    Returns
    -------
    Dataset
        ``rate``, ``logit``, ``centred`` (..., item), item being the string; ``count`` (item), the
        number of answers or of seeds. NaN where there was none. A few array operations:
        may be called at every resample, with ``item_responses(...).isel(subject=...)``.

    References
    ----------
    Hautus (1995), Behav. Res. Methods 27, 46-51. Rajalingham et al. (2018), J. Neurosci. 38,
    7255-7269 (the mean of the class subtracted).

    Examples
    --------
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", list("aabb")), "item": ("trial", ["XX", "VJ", "XX", "VJ"]),
    ...      "response": ("trial", [1.0, 0, 1, 1]), "correct": ("trial", [1.0, 1, 1, 0]),
    ...      "grammatical": ("trial", [1.0, 0, 1, 0])})
    >>> endorsement(trials).rate.round(3).values           # of VJ, XX
    array([0.5  , 0.833])
    """
    if "output" in answers:
        if selection:
            raise ValueError(f"networks have no {', '.join(selection)} to select")
        yes, count, found = network_counts(answers)
        extra: tuple = (None, None)
        dims: tuple = (*(dim for dim in found.output.dims if dim not in ("seed", "item")), "item")
        coords = {name: found[name] for name in dims if name in found.coords}
    else:
        found = as_item_responses(answers, **selection)
        yes, count, expected, reference = human_counts(found)
        yes, count = yes.sum(axis=0), count.sum(axis=0)
        extra = (None if expected is None else expected.sum(axis=0), reference)
        dims, coords = ("item",), {"item": found.item}
    grammatical = found.grammatical.values
    result = xr.Dataset(coords={**coords, "grammatical": ("item", grammatical)})
    scales: tuple[Scale, ...] = ("rate", "logit", "centred")
    for scale in scales:
        result[scale] = (dims, endorsement_scale(yes, count, grammatical, scale, *extra))
    result["count"] = ("item", np.broadcast_to(count, yes.shape[-1:]).copy())
    about = {
        "rate": ("endorsement rate, log-linear", "1"),
        "logit": ("log odds of endorsement", "1"),
        "centred": ("log odds of endorsement, minus the mean of the grammatical class", "1"),
        "count": ("number of seeds" if "output" in answers else "number of responses", "1"),
        "item": ("string", "1"),
        "grammatical": ("1 where the grammar makes the string", "1"),
    }
    described(result, about, REFERENCES)
    kept = ("phase", "block", "adjust", "trials", "trials_without_item")
    result.attrs = {name: found.attrs[name] for name in kept if name in found.attrs}
    if "output" not in answers:
        result.attrs["subjects"] = len(np.unique(found.subject))
    return result.assign_attrs(provenance="reconstruction")
