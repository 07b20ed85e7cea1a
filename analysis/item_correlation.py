"""Correlation of people's and networks' endorsement over strings, with its noise ceiling."""

from itertools import combinations, islice
from math import comb
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from neurodyn.analysis.endorsement import Scale, endorsement_scale
from neurodyn.analysis.item_table import (
    as_item_responses,
    by_item,
    described,
    human_counts,
    shared_strings,
)

REFERENCES = (
    "Spearman (1910), Correlation calculated from faulty data, Br. J. Psychol. 3, 271-295; Brown "
    "(1910), Some experimental results in the correlation of mental abilities, Br. J. Psychol. 3, "
    "296-322; Rajalingham et al. (2018), J. Neurosci. 38, 7255-7269; Nili et al. (2014), A toolbox "
    "for representational similarity analysis, PLoS Comput. Biol. 10, e1003553"
)
FLAGS = "0: estimated; 1: reliability at or below zero; 2: cannot be estimated from so few"
Method = Literal["pearson", "spearman"]


def row_correlation(
    a: Float[np.ndarray, "... item"], b: Float[np.ndarray, "... item"], method: Method = "pearson"
) -> Float[np.ndarray, "..."]:
    """Return the correlation over the last axis, of the items where both have a value.

    NaN where fewer than three are left or one side is constant.

    Examples
    --------
    >>> a, b = np.array([[1.0, 2, 3, np.nan], [1, 1, 1, 1]]), np.array([3.0, 2, 1, 5])
    >>> row_correlation(a, b)
    array([-1., nan])
    """
    a, b = np.broadcast_arrays(a, b)
    there = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(there, a, np.nan), np.where(there, b, np.nan)
    if method == "spearman":
        a = rankdata(a, axis=-1, nan_policy="omit")
        b = rankdata(b, axis=-1, nan_policy="omit")
    number = there.sum(axis=-1)

    def deviations(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        filled = np.where(there, values, 0)
        mean = filled.sum(axis=-1, keepdims=True) / np.maximum(number, 1)[..., None]
        parts = np.where(there, values - mean, 0)
        norm = np.sqrt((parts**2).sum(axis=-1))
        return parts, np.where(norm > 1e-12 * np.abs(filled).max(axis=-1, initial=0), norm, 0)

    (a, norm_a), (b, norm_b) = deviations(a), deviations(b)
    product = norm_a * norm_b
    usable = (number >= 3) & (product > 0)
    out = np.full(np.shape(product), np.nan)
    np.divide((a * b).sum(axis=-1), product, out=out, where=usable)
    return np.clip(out, -1, 1)


def spearman_brown(half: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    r"""Return the reliability of a whole from the correlation of its halves.

    .. math:: R = \frac{2 r}{1 + r}

    NaN where r is at or below zero: no reliability can be read off such data.

    Examples
    --------
    >>> spearman_brown(np.array([0.5, 1.0, -0.1])).round(3)
    array([0.667, 1.   ,   nan])
    """
    half = np.asarray(half, dtype=float)
    out = np.full(half.shape, np.nan)
    np.divide(2 * half, 1 + half, out=out, where=half > 0)
    return out


def halves(labels: np.ndarray, splits: int, seed: int = 0) -> Bool[np.ndarray, "split unit"]:
    """Return random halves, True for the first, copies of a label always in the same half.

    All different splits instead, where there are no more than `splits` of them. Copies come from
    bootstrap samples: a subject in both halves would make them alike for no good reason.

    Examples
    --------
    >>> halves(np.array(["a", "b", "c", "b"]), 10).astype(int)
    array([[1, 0, 0, 0],
           [0, 1, 0, 1],
           [0, 0, 1, 0]])
    """
    units, code = np.unique(labels, return_inverse=True)
    n, size = len(units), len(units) // 2
    different = comb(n, size) // (1 if n % 2 else 2)
    if different <= splits:
        chosen = np.zeros((different, n), dtype=bool)
        for row, first in enumerate(islice(combinations(range(n), size), different)):
            chosen[row, list(first)] = True
    else:
        draw = np.random.default_rng(seed).random((splits, n))
        chosen = draw.argsort(axis=1).argsort(axis=1) < size
    return chosen[:, code]


def item_correlation(
    human: xr.Dataset,
    network: xr.Dataset,
    *,
    method: Method = "pearson",
    scale: Scale = "centred",
    splits: int = 200,
    min_subjects: int = 2,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the correlation of people's and networks' endorsement over strings.

    .. math:: r = \mathrm{corr}_i(h_i, m_i), \qquad
              R = \frac{2 \bar r_{1/2}}{1 + \bar r_{1/2}}, \qquad
              \rho = \frac{r}{\sqrt{R_h}}, \qquad \rho_2 = \frac{r}{\sqrt{R_h R_m}}

    People's endorsement is noisy: even a model that knew the true endorsement of every string
    would only reach the ceiling sqrt(R), where R is the reliability of the mean over all subjects:
    the mean correlation of random halves of the subjects, brought to full length by Spearman and
    Brown's formula. R itself is the ceiling of the explained variance r^2, not of r. Dividing r by
    R instead, as some benchmarks do, makes models look better than they are.

    Over a few subjects each string is seen by different people: strings seen by fewer than
    ``2 * min_subjects`` take no part, in a split those seen by fewer than `min_subjects` in a
    half. Strings are matched by what they are, never by order.

    Another reference that needs no formula: how well one subject goes with the others (lower
    bound) and with all, itself among them (upper bound), beside how well one subject goes with
    the network (Nili et al. 2014).

    Parameters
    ----------
    human : Dataset
        Trials, or what `item_responses` makes of them (with ``adjust``, adjusted).
    network : Dataset
        ``output`` (..., seed, item) as in `item_outputs`; other dimensions (family, n_seen) stay.
        Not networks yoked to people's trials: see `neurodyn.analysis.compare`.
    method : {"pearson", "spearman"}
        Spearman and Brown's formula is exact for the first only.
    scale : {"centred", "logit", "rate"}
        Of the endorsement, see `endorsement`. "centred" takes grammaticality out: the other two
        correlate as soon as both people and network are better than chance.
    splits : int
        Random halves; all of them where there are no more.
    min_subjects : int
        See above.
    seed : int
        Of the splits.

    Returns
    -------
    Dataset
        ``correlation`` r, ``noise_corrected`` rho, ``noise_corrected_both`` rho_2,
        ``explained_variance`` r^2 / R_h, ``network_half_correlation``, ``network_reliability`` R_m
        and ``network_reliability_flag`` over the network's other dimensions;
        ``human_half_correlation``, ``human_reliability`` R_h, ``human_reliability_flag``,
        ``ceiling``; ``subject_correlation``, ``subject_ceiling_lower``,
        ``subject_ceiling_upper``; counts ``items``, ``subjects``, ``seeds``. A reliability at or
        below zero is NaN, flagged 1, and so is what is divided by it. Nothing is clipped: by
        chance, a corrected correlation may exceed 1.

    Notes
    -----
    All array operations, about 10 ms for 15 subjects, 200 strings and 200 splits: may be called
    at every resample. Resample with ``isel`` and keep the labels, those of ``seed`` too (without
    a coordinate every copy passes for another seed): copies of a subject or of a seed stay in one
    half, and are left out of "the others". A resample holds about 63 % of the subjects and is less
    reliable than the sample: percentile intervals of R and of the ceiling lie too low.

    References
    ----------
    Spearman (1910), Br. J. Psychol. 3, 271-295. Brown (1910), Br. J. Psychol. 3, 296-322.
    Rajalingham et al. (2018), J. Neurosci. 38, 7255-7269. Nili et al. (2014), PLoS Comput. Biol.
    10, e1003553.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> truth = draw.random(40)                            # of 40 strings
    >>> strings = {"item": [f"X{i}" for i in range(40)], "grammatical": ("item", np.arange(40) % 2)}
    >>> response = (draw.random((12, 40)) < truth).astype(float)
    >>> seen = xr.Dataset({"response": (("subject", "item"), response)}, strings)
    >>> seen["count"] = xr.ones_like(seen.response)
    >>> seen = seen.assign_coords(subject=list("abcdefghijkl"))
    >>> network = xr.Dataset({"output": ("item", truth)}, strings)
    >>> network = network.assign_coords(string=network["item"])
    >>> found = item_correlation(seen, network)
    >>> found.correlation.round(2).item(), found.ceiling.round(2).item()
    (0.94, 0.92)
    """
    if method not in ("pearson", "spearman"):
        raise ValueError(f"method {method!r} is not one of 'pearson', 'spearman'")
    if scale not in ("rate", "logit", "centred"):
        raise ValueError(f"scale {scale!r} is not one of 'rate', 'logit', 'centred'")
    if splits < 1 or min_subjects < 1:
        raise ValueError(
            f"splits and min_subjects must be 1 or more, got {splits!r} and {min_subjects!r}"
        )
    if "output" in network and "trial" in network.output.dims:
        raise ValueError(
            "networks yoked to people's trials met each string when these did, early or late, and "
            "go with them for that reason alone: use neurodyn.analysis.compare, which sets people "
            "beside networks yoked to others, or networks that were trained and tested on items"
        )
    people, found = as_item_responses(human), by_item(network)
    shared, positions = shared_strings(people, found)
    people, outputs = people.isel(item=shared), found.output
    yes, count, expected, reference = human_counts(people)
    kinds = people.grammatical.values.astype(float)
    count = count * ((count > 0).sum(axis=0) >= 2 * min_subjects)
    used = count.sum(axis=0) > 0
    if scale == "centred":
        used &= np.isfinite(kinds)
    if used.sum() < 3:
        raise ValueError(
            f"{used.sum()} strings were seen by {2 * min_subjects} or more subjects, a correlation "
            f"needs 3; {len(kinds)} are shared: use more subjects or a smaller min_subjects"
        )

    def of_people(rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Return the endorsement by weighted sets of subjects, NaN for items not kept."""
        extra = None if expected is None else rows @ expected
        number = np.where(kept, rows @ count, 0)
        return endorsement_scale(rows @ yes, number, kinds, scale, extra, reference)

    def of_networks(rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        number = np.where(kept, rows.sum(axis=-1)[:, None], 0.0)
        return endorsement_scale(rows @ answers, number, kinds, scale)

    subjects = people.subject.values
    answers = outputs.transpose(..., "seed", "item").values[..., positions]
    seeds = outputs.seed.values if "seed" in outputs.coords else np.arange(outputs.sizes["seed"])
    mean_human = of_people(np.ones((1, len(subjects))), used)[0]
    mean_network = of_networks(np.ones((1, len(seeds))), used)[..., 0, :]
    r = row_correlation(mean_human, mean_network, method)

    seen = (count > 0).astype(float)
    first = halves(subjects, splits, seed).astype(float)
    enough = (first @ seen >= min_subjects) & ((1 - first) @ seen >= min_subjects) & used
    half = row_correlation(of_people(first, enough), of_people(1 - first, enough), method)
    human_half, human_r, human_flag = reliability(half, len(np.unique(subjects)))
    first = halves(seeds, splits, seed).astype(float)
    half = row_correlation(of_networks(first, used), of_networks(1 - first, used), method)
    network_half, network_r, network_flag = reliability(half, len(np.unique(seeds)))

    # one subject with the others, with all, with the network, over the strings that subject saw
    mine = (seen > 0) & used
    one = of_people(np.eye(len(subjects)), mine)
    others = (subjects[:, None] != subjects).astype(float)
    rated = np.where(mine, float(len(seeds)), 0)
    by_networks = endorsement_scale(answers.sum(axis=-2)[..., None, :], rated, kinds, scale)
    single = finite_mean(row_correlation(one, by_networks, method))
    lower = finite_mean(row_correlation(one, of_people(others, mine), method))
    upper = finite_mean(row_correlation(one, of_people(np.ones_like(others), mine), method))

    dims = tuple(dim for dim in outputs.dims if dim not in ("seed", "item"))
    root = np.sqrt(human_r)
    data: dict[str, tuple] = {
        "correlation": (dims, r),
        "noise_corrected": (dims, r / root),
        "noise_corrected_both": (dims, r / np.sqrt(human_r * network_r)),
        "explained_variance": (dims, r**2 / human_r),
        "network_half_correlation": (dims, network_half),
        "network_reliability": (dims, network_r),
        "network_reliability_flag": (dims, network_flag),
        "human_half_correlation": ((), human_half),
        "human_reliability": ((), human_r),
        "human_reliability_flag": ((), human_flag),
        "ceiling": ((), root),
        "subject_correlation": (dims, single),
        "subject_ceiling_lower": ((), lower),
        "subject_ceiling_upper": ((), upper),
        "items": ((), int(used.sum())),
        "subjects": ((), len(np.unique(subjects[mine.any(axis=1)]))),
        "seeds": ((), len(np.unique(seeds))),
    }
    result = xr.Dataset(data, {name: outputs[name] for name in dims if name in outputs.coords})
    described(result, {name: (text, "1") for name, text in ABOUT.items()}, REFERENCES)
    for name in ("human_reliability_flag", "network_reliability_flag"):
        result[name].attrs["meaning"] = FLAGS
    return result.assign_attrs(
        method=method,
        scale=scale,
        splits=len(halves(subjects, splits, seed)),
        min_subjects=min_subjects,
        seed=seed,
        adjust=people.attrs.get("adjust", "none"),
        reliability="2 r / (1 + r), r the mean correlation of random halves",
        ceiling="sqrt(human_reliability), the largest correlation of a model without noise",
        noise_corrected="correlation / sqrt(human_reliability)",
        noise_corrected_both="correlation / sqrt(human_reliability * network_reliability)",
        note="seeds are not subjects",
        provenance="reconstruction",
    )


ABOUT = {
    "correlation": "correlation of people's and network's endorsement over strings",
    "noise_corrected": "correlation corrected for the noise of people",
    "noise_corrected_both": "correlation corrected for the noise of people and of seeds",
    "explained_variance": "squared correlation over the reliability of people (its sign is lost)",
    "network_half_correlation": "mean correlation of halves of the seeds",
    "network_reliability": "reliability of the mean over seeds",
    "network_reliability_flag": "state of the network's reliability",
    "human_half_correlation": "mean correlation of halves of the subjects",
    "human_reliability": "reliability of the mean over subjects",
    "human_reliability_flag": "state of people's reliability",
    "ceiling": "noise ceiling of the correlation",
    "subject_correlation": "mean correlation of one subject with the network",
    "subject_ceiling_lower": "mean correlation of one subject with the others",
    "subject_ceiling_upper": "mean correlation of one subject with all subjects",
    "items": "number of strings used",
    "subjects": "number of subjects used",
    "seeds": "number of training seeds",
}


def reliability(half: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean over splits (the last axis), the reliability of the whole, and the flag."""
    mean = finite_mean(half) if units > 1 else np.full(half.shape[:-1], np.nan)
    flag = np.where(np.isnan(mean), 2, np.where(mean > 0, 0, 1))
    return mean, spearman_brown(mean), flag


def finite_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is finite, NaN where nothing is."""
    there = np.isfinite(values)
    number = there.sum(axis=-1)
    out = np.full(number.shape, np.nan)
    np.divide(np.where(there, values, 0).sum(axis=-1), number, out=out, where=number > 0)
    return out
