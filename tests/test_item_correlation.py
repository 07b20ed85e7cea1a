"""Item correlation and its ceiling: against loops, and a model whose reliability is known."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neurodyn.analysis.item_correlation import (
    halves,
    item_correlation,
    row_correlation,
    spearman_brown,
)

CORR = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


def seen(response: np.ndarray, kinds: np.ndarray | None = None) -> xr.Dataset:
    """A table by subject and string, NaN where not seen."""
    subjects, items = response.shape
    kinds = np.arange(items) % 2 if kinds is None else kinds
    data = xr.Dataset(
        {
            "response": (("subject", "item"), response),
            "count": (("subject", "item"), np.isfinite(response).astype(float)),
        },
        {
            "subject": [f"s{i:02}" for i in range(subjects)],
            "item": [f"X{i:03}" for i in range(items)],
            "grammatical": ("item", kinds.astype(float)),
        },
    )
    return data


def network(output: np.ndarray) -> xr.Dataset:
    dims = ("family", "seed", "item")[3 - output.ndim :]
    items = output.shape[-1]
    return xr.Dataset(
        {"output": (dims, output)},
        {
            "string": ("item", [f"X{i:03}" for i in range(items)]),
            "grammatical": ("item", np.arange(items) % 2),
        },
    )


def sparse(seed: int, subjects: int = 6, items: int = 16, missing: float = 0.3):
    draw = np.random.default_rng(seed)
    truth = draw.random(items)
    response = (draw.random((subjects, items)) < truth).astype(float)
    response[draw.random(response.shape) < missing] = np.nan
    output = np.clip(truth + draw.normal(0, 0.2, (4, items)), 0.01, 0.99)
    return response, output


def scaled(values: np.ndarray, n: np.ndarray, kinds: np.ndarray, scale: str) -> np.ndarray:
    """Log-linear rate, log odds, centred, of one set of sums over items, by a loop."""
    out = np.full(len(values), np.nan)
    for i in range(len(values)):
        if n[i] > 0:
            rate = (values[i] + 0.5) / (n[i] + 1)
            out[i] = rate if scale == "rate" else np.log(rate / (1 - rate))
    if scale == "centred":
        level = {k: np.nanmean(out[kinds == k]) for k in (0, 1)}
        out = out - np.array([level[k] for k in kinds])
    return out


def correlated(a: np.ndarray, b: np.ndarray, method: str) -> float:
    there = np.isfinite(a) & np.isfinite(b)
    if there.sum() < 3 or np.ptp(a[there]) < 1e-9 or np.ptp(b[there]) < 1e-9:
        return np.nan
    return CORR[method](a[there], b[there])[0]


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("scale", ["rate", "logit", "centred"])
def test_everything_against_loops_over_all_splits_and_subjects(method: str, scale: str) -> None:
    response, output = sparse(3)
    kinds = np.arange(16) % 2
    found = item_correlation(
        seen(response), network(output), method=method, scale=scale, min_subjects=1
    )
    there = np.isfinite(response)
    used = there.sum(0) >= 2
    yes = np.nan_to_num(response)

    def people(rows, kept):
        n = np.where(kept, there[rows].sum(0), 0)
        return scaled(yes[rows].sum(0), n, kinds, scale)

    def nets(rows, kept):
        return scaled(output[rows].sum(0), np.where(kept, len(rows), 0), kinds, scale)

    everyone, seeds = list(range(6)), list(range(4))
    r = correlated(people(everyone, used), nets(seeds, used), method)
    assert np.isclose(found.correlation, r)
    half = []
    for first in combinations(range(6), 3):  # each split twice, which leaves the mean alone
        a, b = list(first), [s for s in everyone if s not in first]
        kept = used & (there[a].sum(0) >= 1) & (there[b].sum(0) >= 1)
        half.append(correlated(people(a, kept), people(b, kept), method))
    reliability = 2 * np.nanmean(half) / (1 + np.nanmean(half))
    assert np.isclose(found.human_half_correlation, np.nanmean(half))
    assert found.human_reliability_flag == 0
    assert np.isclose(found.human_reliability, reliability)
    assert np.isclose(found.ceiling, np.sqrt(reliability))
    half = []
    for first in combinations(range(4), 2):
        other = [s for s in seeds if s not in first]
        half.append(correlated(nets(list(first), used), nets(other, used), method))
    of_seeds = 2 * np.mean(half) / (1 + np.mean(half))
    assert np.isclose(found.network_reliability, of_seeds)
    assert np.isclose(found.noise_corrected, r / np.sqrt(reliability))
    assert np.isclose(found.noise_corrected_both, r / np.sqrt(reliability * of_seeds))
    assert np.isclose(found.explained_variance, r**2 / reliability)
    lower, upper, single = [], [], []
    for s in everyone:
        mine = used & there[s]
        one = people([s], mine)
        lower.append(correlated(one, people([t for t in everyone if t != s], mine), method))
        upper.append(correlated(one, people(everyone, mine), method))
        single.append(correlated(one, nets(seeds, mine), method))
    assert np.isclose(found.subject_ceiling_lower, np.nanmean(lower))
    assert np.isclose(found.subject_ceiling_upper, np.nanmean(upper))
    assert np.isclose(found.subject_correlation, np.nanmean(single))
    assert (found["items"], found.subjects, found.seeds) == (used.sum(), 6, 4)


def test_reliability_and_true_correlation_of_a_model_with_known_ones() -> None:
    """Binomial answers to items of known variance: R = V / (V + E[p(1-p)] / n), exactly."""
    draw = np.random.default_rng(0)
    items, subjects = 3000, 14
    truth = draw.beta(2, 2, items)
    response = (draw.random((subjects, items)) < truth).astype(float)
    similar = np.clip(0.5 + 0.6 * (truth - 0.5) + draw.normal(0, 0.12, items), 0.01, 0.99)
    output = np.clip(similar + draw.normal(0, 0.15, (5, items)), 0, 1)
    found = item_correlation(seen(response), network(output), scale="rate", splits=100)
    noise = (truth * (1 - truth)).mean() / subjects
    reliability = truth.var() / (truth.var() + noise)
    assert abs(found.human_reliability - reliability) < 0.02
    assert abs(found.ceiling - np.sqrt(reliability)) < 0.01
    # a model without noise reaches sqrt(R), not R and not 1
    perfect = item_correlation(seen(response), network(truth), scale="rate", splits=100)
    assert abs(perfect.correlation - np.sqrt(reliability)) < 0.02
    assert abs(perfect.noise_corrected - 1) < 0.02
    assert abs(perfect.explained_variance - 1) < 0.04
    assert np.sqrt(reliability) - reliability > 0.1  # else this could not tell them apart
    # noise of people and of seeds taken out
    with_seeds = np.corrcoef(truth, output.mean(0))[0, 1]
    without = np.corrcoef(truth, similar)[0, 1]
    assert without - with_seeds > 0.05
    assert abs(found.noise_corrected - with_seeds) < 0.03
    assert abs(found.noise_corrected_both - without) < 0.04


def test_pure_noise_is_flagged_and_not_divided_by() -> None:
    draw = np.random.default_rng(4)
    response = (draw.random((8, 30)) < 0.5).astype(float)
    flags = set()
    for seed in range(12):
        response = (np.random.default_rng(seed).random((8, 30)) < 0.5).astype(float)
        found = item_correlation(seen(response), network(draw.random((2, 3, 30))))
        flags.add(int(found.human_reliability_flag))
        bad = found.human_half_correlation <= 0
        assert bad == (found.human_reliability_flag == 1)
        for name in ("human_reliability", "ceiling", "noise_corrected", "explained_variance"):
            assert (np.isnan(found[name]) == bad).all()
        assert np.isfinite(found.correlation).all()
        down = found.network_half_correlation <= 0
        assert (down == (found.network_reliability_flag == 1)).all()
        assert (np.isnan(found.noise_corrected_both) == (down | bad)).all()
    assert flags == {0, 1}
    assert "1: reliability at or below zero" in found.human_reliability_flag.attrs["meaning"]
    alone = item_correlation(seen(response), network(draw.random(30)))
    assert alone.network_reliability_flag == 2 and np.isnan(alone.network_reliability)


def test_negative_correlations_stay_negative() -> None:
    response, output = sparse(8, subjects=20, items=60, missing=0.0)
    plus = item_correlation(seen(response), network(output))
    minus = item_correlation(seen(response), network(1 - output))
    assert plus.correlation > 0.5
    assert np.isclose(minus.correlation, -plus.correlation)
    assert np.isclose(minus.noise_corrected, -plus.noise_corrected)
    assert np.isclose(minus.subject_correlation, -plus.subject_correlation)


def test_copies_of_a_subject_do_not_feign_reliability() -> None:
    """In a bootstrap sample of noise, naive halves would share subjects and correlate."""
    draw = np.random.default_rng(1)
    people = seen((draw.random((12, 400)) < 0.5).astype(float))
    nets = network(draw.random((3, 400)))
    honest, naive = [], []
    for _ in range(20):
        sample = people.isel(subject=draw.integers(12, size=12))
        honest.append(item_correlation(sample, nets, splits=30).human_half_correlation.item())
        renamed = sample.assign_coords(subject=[f"s{i}" for i in range(12)])
        naive.append(item_correlation(renamed, nets, splits=30).human_half_correlation.item())
    assert np.mean(naive) > 0.2
    assert abs(np.mean(honest)) < 0.05


def test_halves_are_all_splits_or_random_ones_with_copies_together() -> None:
    labels = np.array(list("abcabcdd"))
    every = halves(labels, 50)
    sides = {frozenset(labels[row]) for row in every}
    assert {frozenset(s) for s in combinations("abcd", 2) if "a" in s} == sides
    for row in every:
        assert not set(labels[row]) & set(labels[~row])
    drawn = halves(np.arange(21), 400, seed=3)
    assert drawn.shape == (400, 21) and (drawn.sum(1) == 10).all()
    assert np.allclose(drawn.mean(0), 10 / 21, atol=5 * 0.5 / 20)
    assert np.array_equal(drawn, halves(np.arange(21), 400, seed=3))
    assert len({row.tobytes() for row in halves(np.arange(5), 10)}) == 10


@given(st.integers(0, 10**6), st.sampled_from(["pearson", "spearman"]))
def test_order_of_items_and_names_of_subjects_do_not_matter(seed: int, method) -> None:
    response, output = sparse(seed)
    people, nets = seen(response), network(output)
    found = item_correlation(people, nets, method=method, min_subjects=1)
    draw = np.random.default_rng(seed)
    shuffled = item_correlation(
        people.isel(item=draw.permutation(16), subject=draw.permutation(6)),
        nets.isel(item=draw.permutation(16), seed=draw.permutation(4)),
        method=method,
        min_subjects=1,
    )
    xr.testing.assert_allclose(found, shuffled)
    renamed = people.assign_coords(subject=[f"t{9 - i}" for i in range(6)])
    xr.testing.assert_allclose(
        found, item_correlation(renamed, nets, method=method, min_subjects=1)
    )


@given(st.integers(0, 10**6))
def test_people_and_networks_may_change_places(seed: int) -> None:
    """Answers without gaps: subjects as seeds and seeds as subjects give the same numbers."""
    response, _ = sparse(seed, subjects=6, missing=0.0)
    other, _ = sparse(seed + 1, subjects=4, missing=0.0)
    one = item_correlation(seen(response), network(other), min_subjects=1)
    two = item_correlation(seen(other), network(response), min_subjects=1)
    assert np.isclose(one.correlation, two.correlation)
    assert np.isclose(one.human_half_correlation, two.network_half_correlation, equal_nan=True)
    assert np.isclose(one.network_reliability, two.human_reliability, equal_nan=True)
    assert np.isclose(one.noise_corrected_both, two.noise_corrected_both, equal_nan=True)


@given(st.integers(0, 10**6))
def test_row_correlation_against_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    a, b = draw.integers(0, 5, (2, 3, 9)).astype(float)
    a[draw.random(a.shape) < 0.2] = np.nan
    for method in CORR:
        found = row_correlation(a, b, method)
        for k in range(3):
            expected = correlated(a[k], b[k], method)
            assert np.isclose(found[k], expected, equal_nan=True)


def test_spearman_brown_is_the_reliability_of_twice_the_length() -> None:
    v, e = 1.3, 0.7
    assert np.isclose(spearman_brown(np.array(v / (v + e))), v / (v + e / 2))
    assert np.isnan(spearman_brown(np.array([0.0, -0.3, np.nan]))).all()


def test_other_dimensions_stay_and_attributes_say_which_formula() -> None:
    response, output = sparse(0)
    both = np.stack([output, 1 - output])
    nets = network(both).assign_coords(family=["recurrent", "feedforward"])
    found = item_correlation(seen(response), nets, min_subjects=1)
    assert found.correlation.dims == ("family",)
    for k, family in enumerate(["recurrent", "feedforward"]):
        one = item_correlation(seen(response), network(both[k]), min_subjects=1)
        xr.testing.assert_allclose(found.sel(family=family, drop=True), one)
    assert "sqrt" in found.attrs["noise_corrected"] and "sqrt" in found.attrs["ceiling"]
    assert found.attrs["splits"] == 10
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)
    for value in found.attrs.values():
        assert isinstance(value, (int, float, str)) and not isinstance(value, bool)


def test_trials_are_taken_as_they_are_and_adjusted_tables_too() -> None:
    from neurodyn.analysis.item_table import item_responses

    response, output = sparse(2, missing=0.0)
    subject, item = (a.ravel() for a in np.indices(response.shape))
    columns = {
        "subject": np.array([f"s{s:02}" for s in subject]),
        "item": np.array([f"X{i:03}" for i in item]),
        "grammatical": (item % 2).astype(float),
        "response": response.ravel(),
        "correct": (response.ravel() == item % 2).astype(float),
        "position": np.random.default_rng(0).permutation(len(item)) + 1.0,
    }
    trials = xr.Dataset({name: ("trial", values) for name, values in columns.items()})
    expected = item_correlation(seen(response), network(output))
    xr.testing.assert_allclose(item_correlation(trials, network(output)), expected)
    adjusted = item_correlation(item_responses(trials, adjust="position"), network(output))
    assert adjusted.attrs["adjust"] == "position"
    assert 0 < abs(adjusted.correlation - expected.correlation) < 0.2


def test_refusals() -> None:
    response, output = sparse(0)
    people, nets = seen(response), network(output)
    with pytest.raises(ValueError, match="share no string: people answered X000.*networks Y0"):
        item_correlation(people, nets.assign_coords(string=("item", [f"Y{i}" for i in range(16)])))
    with pytest.raises(ValueError, match="seen by 20 or more subjects"):
        item_correlation(people, nets, min_subjects=10)
    with pytest.raises(ValueError, match="'kendall' is not one of"):
        item_correlation(people, nets, method="kendall")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'odds' is not one of"):
        item_correlation(people, nets, scale="odds")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 or more"):
        item_correlation(people, nets, splits=0)
