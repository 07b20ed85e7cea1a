"""Each likeness of people and networks by itself: its value, its interval and what limits it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.special import ndtri

from neurodyn.analysis.choice_models import choice_likelihood
from neurodyn.analysis.cluster_bootstrap import (
    bootstrap_means,
    bootstrap_statistic,
    cluster_bootstrap,
)
from neurodyn.analysis.curve_distance import area_between
from neurodyn.analysis.endorsement import endorsement_scale, log_linear_rate
from neurodyn.analysis.error_consistency import counted, mean_where, pairwise_kappa
from neurodyn.analysis.feature_profiles import compare_profiles
from neurodyn.analysis.item_correlation import finite_mean, halves, row_correlation

SPLITS = 50
"""Random halves of the people."""

MIN_ITEMS = 10
"""Strings that a pair of agents must have in common for its kappa to count."""

How = dict[str, Any]
"""Of the bootstrap: resamples, level, seed."""
Measure = Callable[[xr.DataArray, xr.DataArray], xr.DataArray]


class Found(NamedTuple):
    """A value (family), its interval (family, ci_bound), a ceiling and the ceiling's interval."""

    value: xr.DataArray
    value_ci: xr.DataArray
    ceiling: xr.DataArray | float = np.nan
    ceiling_ci: xr.DataArray | float = np.nan


def crossed(values: xr.DataArray, people: xr.Dataset, by: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Return means over (..., subject, by), NaN where there is none, and (subject, by) counts."""
    subjects, row = np.unique(people.subject.values.astype(str), return_inverse=True)
    labels, column = np.unique(people[by].values, return_inverse=True)
    cell = row * len(labels) + column
    size = len(subjects) * len(labels)
    count = np.bincount(cell, minlength=size).astype(float)
    array = values.transpose(..., "trial")
    flat = np.asarray(array.values, dtype=float).reshape(-1, array.sizes["trial"])
    sums = np.stack([np.bincount(cell, weights=one, minlength=size) for one in flat])
    means = np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)
    lead = array.dims[:-1]
    coords = {str(dim): array[dim].values for dim in lead if dim in array.coords}
    shape = tuple(array.sizes[dim] for dim in lead)
    here = {"subject": subjects, by: labels}
    return (
        xr.DataArray(
            means.reshape(*shape, len(subjects), len(labels)), coords | here,
            dims=(*lead, "subject", by),
        ),
        xr.DataArray(count.reshape(len(subjects), len(labels)), here, dims=("subject", by)),
    )  # fmt: skip


def said(answers: xr.Dataset) -> xr.DataArray:
    """Return the networks' responses, 1 or 0, on every trial."""
    return (answers.output >= 0.5).astype(float)


def right(response: xr.DataArray, people: xr.Dataset) -> xr.DataArray:
    """Return 1 where a response is right."""
    return (response == people.grammatical).astype(float)


def accuracy_gap(people: xr.Dataset, answers: xr.Dataset, how: How) -> Found:
    """Return the mean over trials of being right, network minus person."""
    ours = right(people.response, people)
    gap, count = crossed(right(said(answers), people) - ours, people, "item")
    found = cluster_bootstrap(
        several(gap.rename("gap")), weights=several(count), clusters=clusters(gap), **how
    )
    return Found(found.gap, found.gap_ci)


def detection_gap(people: xr.Dataset, answers: xr.Dataset, name: str, how: How) -> Found:
    r"""Return the difference of d' or of the criterion c, from rates pooled over people.

    .. math:: \Delta = \sum_k a_k \left[ z(p_k^\mathrm{network}) - z(p_k^\mathrm{people}) \right]

    over the rates of "grammatical" for grammatical (k = 1) and other strings (k = 0), with
    a = (1, -1) for d' and (-1/2, -1/2) for c. The interval is a bootstrap of the linear part,
    what each trial adds to it.
    """
    kind = people.grammatical.values
    counts = [(kind == 1).sum(), (kind == 0).sum()]
    signs = {"d_prime": (1, -1), "criterion": (-0.5, -0.5)}[name]
    network = said(answers)
    value: xr.DataArray | float = 0.0
    parts = xr.zeros_like(network)
    for is_of, n, sign in zip((1, 0), counts, signs, strict=True):
        here = np.flatnonzero(kind == is_of)
        for response, side in ((network, 1), (people.response, -1)):
            mine = response.isel(trial=here)
            rate = mine.mean([d for d in ("trial", "seed") if d in mine.dims])
            rate = (rate * n + 0.5) / (n + 1)
            z = xr.apply_ufunc(ndtri, rate)
            value = value + side * sign * z
            slope = side * sign * len(kind) / n / np.exp(-(z**2) / 2) * np.sqrt(2 * np.pi)
            here_only = xr.DataArray(kind == is_of, dims="trial")
            parts = parts + (slope * (response - rate)).where(here_only, 0.0)
    cells, count = crossed(parts.transpose("family", "seed", "trial"), people, "item")
    found = cluster_bootstrap(
        several(cells.rename("part")), weights=several(count), clusters=clusters(cells), **how
    )
    assert isinstance(value, xr.DataArray)
    return Found(value, found.part_ci - found.part + value)


def curve_area(people: xr.Dataset, answers: xr.Dataset, how: How) -> Found:
    """Return the area between the curves over the blocks that everyone has."""
    people, answers = (data.isel(trial=common_blocks(people)) for data in (people, answers))
    ours, _ = crossed(right(people.response, people), people, "block")
    theirs, _ = crossed(right(said(answers), people), people, "block")
    x = ours.block.values.astype(float)

    def area(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        means = [c.mean([d for d in ("subject", "seed") if d in c.dims]) for c in (a, b)]
        return xr.apply_ufunc(
            lambda d: area_between(x, d), means[0] - means[1], input_core_dims=[["block"]]
        )

    value = area(ours, theirs)
    some = {"resamples": how["resamples"], "seed": how["seed"]}
    draws = area(
        bootstrap_means(ours, clusters=clusters(ours), **some),
        bootstrap_means(several(theirs), clusters=clusters(theirs), **some),
    )
    return Found(value, around(value, draws, how), between_halves(ours, area, how))


def common_blocks(people: xr.Dataset) -> np.ndarray:
    """Return the rows of the blocks in which everyone answered."""
    pairs = np.unique(np.stack([people.block.values.astype(str), people.subject.values]), axis=1)
    names, count = np.unique(pairs[0], return_counts=True)
    everyone = len(np.unique(people.subject.values))
    return np.flatnonzero(np.isin(people.block.values.astype(str), names[count == everyone]))


def correlation(people: xr.Dataset, answers: xr.Dataset, how: How) -> Found:
    r"""Return how endorsement over strings goes together, people of one half, networks of another.

    .. math:: r = \langle \mathrm{corr}_i(h_i^{(1)}, m_i^{(2)}) \rangle, \qquad
              \text{ceiling} = \langle \mathrm{corr}_i(h_i^{(1)}, h_i^{(2)}) \rangle^{1/2}

    over random halves of the people, both ways round: h is the endorsement by one half, m that of
    the networks yoked to the other half. Networks yoked to the same people would have met each
    string when these did, early or late, and would go with them for that reason alone. A model
    without noise reaches the square root of the halves' own correlation; NaN where it is not above
    zero.
    """
    alone, count = crossed(people.response, people, "item")
    table, _ = crossed(answers.output, people, "item")
    kind, _ = crossed(people.grammatical.astype(float), people, "item")
    data = xr.Dataset({"people": alone, "network": table, "n": count, "kind": kind.mean("subject")})

    def statistic(drawn: xr.Dataset) -> xr.DataArray:
        one = halves(drawn.subject.values, SPLITS, how["seed"]).astype(float)
        n, kinds = drawn.n.transpose("subject", "item").values, drawn.kind.values
        ours = np.nan_to_num(drawn.people.transpose("subject", "item").values) * n
        theirs = drawn.network.transpose("family", "seed", "subject", "item")
        theirs, seeds = np.nan_to_num(theirs.values.sum(1)) * n, theirs.sizes["seed"]
        two, seen = 1 - one, (n > 0).astype(float)
        kept = (one @ seen > 0) & (two @ seen > 0)

        def endorsed(yes: np.ndarray, half: np.ndarray, times: int = 1) -> np.ndarray:
            return endorsement_scale(
                half @ yes, np.where(kept, half @ n * times, 0), kinds, "centred"
            )

        h, m = (
            [endorsed(x, half, k) for half in (one, two)] for x, k in ((ours, 1), (theirs, seeds))
        )
        r = [row_correlation(a, b) for a, b in ((h[0], m[1]), (h[1], m[0]))]
        reliability = finite_mean(row_correlation(h[0], h[1]))
        top = np.sqrt(reliability) if reliability > 0 else np.nan
        return beside(finite_mean(np.concatenate(r, axis=-1)), top, drawn.family.values)

    return apart(bootstrap_statistic(statistic, data, clusters=clusters(table), **how))


def consistency(people: xr.Dataset, answers: xr.Dataset, what: str, how: How) -> Found:
    """Return kappa of people with networks yoked to others, and of people with each other."""
    both = [people.response, said(answers)]
    if what == "correct":
        both = [right(response, people) for response in both]
    alone, table = (crossed(response, people, "item")[0] for response in both)

    def statistic(drawn: xr.Dataset) -> xr.DataArray:
        names = drawn.subject.values
        other = names[:, None] != names
        ours = drawn.people.transpose("subject", "item").values
        theirs = drawn.network.transpose("family", "seed", "subject", "item").values
        mixed, alike = pairwise_kappa(ours, theirs), pairwise_kappa(ours, ours)
        network = mean_where(mixed.kappa, other & counted(mixed, MIN_ITEMS)).mean(axis=-1)
        reference = mean_where(alike.kappa, other & counted(alike, MIN_ITEMS))
        return beside(network, reference, drawn.family.values)

    data = xr.Dataset({"network": table, "people": alone})
    return apart(bootstrap_statistic(statistic, data, clusters=clusters(table), **how))


def beside(values: np.ndarray, ceiling: float | np.ndarray, families: np.ndarray) -> xr.DataArray:
    """Return values (family) and their common ceiling as one array, for one bootstrap."""
    both = np.stack([values, np.broadcast_to(ceiling, values.shape)])
    return xr.DataArray(both, {"family": families}, dims=("which", "family"), name="both")


def apart(found: xr.Dataset) -> Found:
    """Take apart what `beside` put together."""
    ceiling = found.isel(which=1, family=0, drop=True)
    value = found.isel(which=0)
    return Found(value.both, value.both_ci, ceiling.both, ceiling.both_ci)


def likelihood(people: xr.Dataset, answers: xr.Dataset, how: How) -> Found:
    """Return the pseudo-R2 of choices, and that of the other people's endorsement."""
    found = choice_likelihood(people, answers, seed=how["seed"]).pseudo_r2
    mine = cluster_bootstrap(several(found.rename("r2")), clusters=clusters(found), **how)
    rate, count = crossed(people.response, people, "item")
    yes = (rate * count).fillna(0)
    left = [(x.sum("subject") - x).transpose("subject", "item").values for x in (yes, count)]
    others = log_linear_rate(*left)
    others = np.where(np.isfinite(others), others, 0.5)
    row = np.searchsorted(rate.subject.values, people.subject.values.astype(str))
    column = np.searchsorted(rate["item"].values, people["item"].values)
    crowd = people[["item", "grammatical"]].assign(output=("trial", others[row, column]))
    theirs = choice_likelihood(people, crowd, seed=how["seed"]).pseudo_r2
    theirs = theirs.mean("seed") if "seed" in theirs.dims else theirs
    top = cluster_bootstrap(theirs.rename("r2"), clusters=["subject"], **how)
    return Found(mine.r2, mine.r2_ci, top.r2, top.r2_ci)


def of_weights(ours: xr.DataArray, theirs: xr.DataArray, what: str, how: How) -> Found:
    """Return the "distance" or "cosine" of the mean weights of networks and of people."""

    def measure(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        return compare_profiles(a, b)[what]

    value = measure(ours, theirs)
    some = {"resamples": how["resamples"], "seed": how["seed"]}
    draws = measure(
        bootstrap_means(ours, clusters=clusters(ours), **some),
        bootstrap_means(several(theirs), clusters=clusters(theirs), **some),
    )
    return Found(value, around(value, draws, how), between_halves(ours, measure, how))


def between_halves(ours: xr.DataArray, measure: Measure, how: How) -> xr.DataArray | float:
    """Return the mean of a measure between random halves of the people."""
    if ours.sizes["subject"] < 2:
        return np.nan
    splits = halves(ours.subject.values, SPLITS, how["seed"])
    found = [
        measure(ours.isel(subject=one), ours.isel(subject=~one).mean("subject")) for one in splits
    ]
    return xr.concat(found, dim="split").mean("split")


def clusters(values: xr.DataArray) -> list[str]:
    """Return the kinds of cluster that an array has more than one of."""
    return [dim for dim in ("subject", "item", "seed") if values.sizes.get(dim, 1) > 1]


def several(values: xr.DataArray) -> xr.DataArray:
    """Return an array without the dimensions of clusters that it has one of."""
    single = [dim for dim in ("subject", "item", "seed") if values.sizes.get(dim) == 1]
    return values.squeeze(single, drop=True)


def around(value: xr.DataArray, draws: xr.DataArray, how: How) -> xr.DataArray:
    """Return the percentile interval of resampled values, moved so that their median is `value`."""
    tails = [(1 - how["level"]) / 2, (1 + how["level"]) / 2]
    moved = draws - draws.median("resample", skipna=False) + value
    bounds = moved.quantile(tails, "resample", skipna=False).rename(quantile="ci_bound")
    return bounds.assign_coords(ci_bound=["lower", "upper"]).transpose(..., "ci_bound")
