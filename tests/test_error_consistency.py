"""Error consistency: against scikit-learn, loops over pairs, and every pattern there is."""

import warnings
from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.analysis.error_consistency import error_consistency, pairwise_kappa
from neurodyn.analysis.item_table import item_responses


def patterns(seed: int, rows: int, items: int, missing: float = 0.2) -> np.ndarray:
    draw = np.random.default_rng(seed)
    values = (draw.random((rows, items)) < draw.uniform(0.2, 0.9, (rows, 1))).astype(float)
    values[draw.random(values.shape) < missing] = np.nan
    return values


def plain_kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Count by count."""
    there = [i for i in range(len(a)) if np.isfinite(a[i]) and np.isfinite(b[i])]
    if not there:
        return np.nan
    observed = sum(a[i] == b[i] for i in there) / len(there)
    p, q = (sum(v[i] for i in there) / len(there) for v in (a, b))
    if observed == 1:
        return 1.0
    expected = p * q + (1 - p) * (1 - q)
    return (observed - expected) / (1 - expected)


def test_kappa_is_that_of_scikit_learn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = pytest.importorskip("sklearn.metrics")
    a, b = patterns(0, 6, 40), patterns(1, 5, 40)
    found = pairwise_kappa(a, b)
    negative = 0
    for i, j in product(range(6), range(5)):
        there = np.isfinite(a[i]) & np.isfinite(b[j])
        expected = metrics.cohen_kappa_score(a[i, there], b[j, there])
        assert np.isclose(found.kappa[i, j], expected)
        assert found.common[i, j] == there.sum()
        negative += expected < 0
    assert negative > 5  # the sign is kept


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_bounds_are_the_extremes_over_all_patterns(n: int) -> None:
    """All 2^n x 2^n pairs: at given rates the bounds are reached, and never passed."""
    every = np.array(list(product((0.0, 1.0), repeat=n)))
    found = pairwise_kappa(every, every)
    for k, m in product(range(n + 1), repeat=2):
        rows = np.ix_(every.sum(1) == k, every.sum(1) == m)
        kappa = found.kappa[rows]
        assert np.allclose(kappa.min(), found.kappa_min[rows])
        assert np.allclose(kappa.max(), found.kappa_max[rows])
    for i, j in product(range(len(every)), repeat=2):
        assert np.isclose(found.kappa[i, j], plain_kappa(every[i], every[j]))


def test_zero_over_zero_and_nothing_in_common() -> None:
    a = np.array([[1.0, 1, np.nan], [0, 0, np.nan], [np.nan, np.nan, 1], [1, 0, 1]])
    found = pairwise_kappa(a, a)
    assert found.kappa[0, 0] == 1 and found.kappa[1, 1] == 1 and found.kappa[3, 3] == 1
    assert found.kappa_min[0, 0] == 1 and found.kappa_max[0, 0] == 1
    assert found.kappa[0, 1] == 0  # always against never: as expected
    assert np.isnan(found.kappa[0, 2]) and found.common[0, 2] == 0
    assert np.isnan(found.observed[0, 2]) and np.isnan(found.kappa_max[0, 2])


def test_independent_agents_have_none_and_a_copying_one_has_its_share() -> None:
    """Copy with chance c, else answer alike but independently: kappa = c (copy model)."""
    draw = np.random.default_rng(0)
    a = (draw.random((1, 200_000)) < 0.75).astype(float)
    own = (draw.random(a.shape) < 0.75).astype(float)
    for share in (0.0, 0.3):
        b = np.where(draw.random(a.shape) < share, a, own)
        assert abs(pairwise_kappa(a, b).kappa.item() - share) < 0.01


@given(st.integers(0, 10**6))
def test_symmetry_relabelling_and_order(seed: int) -> None:
    a, b = patterns(seed, 3, 12), patterns(seed + 1, 4, 12)
    found, swapped = pairwise_kappa(a, b), pairwise_kappa(b, a)
    inverted = pairwise_kappa(1 - a, 1 - b)
    order = np.random.default_rng(seed).permutation(12)
    shuffled = pairwise_kappa(a[:, order], b[:, order])
    for one, two, three, four in zip(found, swapped, inverted, shuffled, strict=True):
        assert np.allclose(one, two.T, equal_nan=True)
        assert np.allclose(one, three, equal_nan=True)
        assert np.allclose(one, four, equal_nan=True)
    known = np.isfinite(found.kappa)
    assert (found.kappa_min[known] <= found.kappa[known] + 1e-12).all()
    assert (found.kappa[known] <= found.kappa_max[known] + 1e-12).all()


@given(st.integers(0, 10**6))
def test_chances_give_the_agreement_of_independent_draws(seed: int) -> None:
    draw = np.random.default_rng(seed)
    p, q = draw.random((2, 1, 3))
    observed = 0.0
    for a, b in product(product((0, 1), repeat=3), repeat=2):
        chance = np.prod([np.where(x, r, 1 - r) for x, r in zip(a, p[0], strict=True)])
        chance *= np.prod([np.where(x, r, 1 - r) for x, r in zip(b, q[0], strict=True)])
        observed += chance * np.mean(np.array(a) == np.array(b))
    assert np.isclose(pairwise_kappa(p, q).observed.item(), observed)


def trials_of(response: np.ndarray, kinds: np.ndarray) -> xr.Dataset:
    """Trials in random order, one for each string that a subject answered."""
    subject, item = np.nonzero(np.isfinite(response))
    order = np.random.default_rng(0).permutation(len(item))
    subject, item = subject[order], item[order]
    y, kind = response[subject, item], kinds[item].astype(float)
    columns = {
        "subject": np.array([f"s{s}" for s in subject]),
        "item": np.array([f"X{i}" for i in item]),
        "grammatical": kind,
        "response": y,
        "correct": (y == kind).astype(float),
    }
    return xr.Dataset({name: ("trial", values) for name, values in columns.items()})


def network_of(output: np.ndarray, kinds: np.ndarray) -> xr.Dataset:
    return xr.Dataset(
        {"output": (("family", "seed", "item"), output)},
        {
            "family": ["recurrent", "feedforward"],
            "string": ("item", [f"X{i}" for i in range(len(kinds))]),
            "grammatical": ("item", kinds),
        },
    )


def test_means_over_pairs_are_those_of_a_loop() -> None:
    kinds = np.arange(30) % 2
    response = patterns(5, 4, 30, missing=0.4)
    output = np.random.default_rng(2).random((2, 3, 30))
    order = np.random.default_rng(3).permutation(30)
    network = network_of(output, kinds).isel(item=order)
    found = error_consistency(trials_of(response, kinds), network, min_items=16)
    said = (output >= 0.5).astype(float)
    for metric in ("correct", "response"):
        for f, family in enumerate(("recurrent", "feedforward")):
            values = []
            for s, m in product(range(4), range(3)):
                a, b = response[s], said[f, m]
                if metric == "correct":
                    a = np.where(np.isfinite(a), a == kinds, np.nan)
                    b = (b == kinds).astype(float)
                cell = {"metric": metric, "family": family, "subject": f"s{s}"}
                n = np.isfinite(a).sum()
                assert found.pair_items.sel(cell).isel(seed=m) == n
                pair = found.pair_kappa.sel(cell).isel(seed=m)
                if n >= 16:
                    values.append(plain_kappa(a, b))
                    assert np.isclose(pair, values[-1])
                else:
                    assert np.isnan(pair)
            cell = {"metric": metric, "family": family}
            assert 0 < len(values) < 12
            assert found.pairs.sel(cell) == len(values)
            assert np.isclose(found.kappa.sel(cell), np.mean(values))
        among = []
        for s, t in product(range(4), range(4)):
            a, b = response[s], response[t]
            if metric == "correct":
                a = np.where(np.isfinite(a), a == kinds, np.nan)
                b = np.where(np.isfinite(b), b == kinds, np.nan)
            if s < t and (np.isfinite(a) & np.isfinite(b)).sum() >= 16:
                among.append(plain_kappa(a, b))
        assert found.subject_pairs.sel(metric=metric) == len(among)
        expected = np.mean(among) if among else np.nan
        assert np.isclose(found.subject_kappa.sel(metric=metric), expected, equal_nan=True)
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)
    for value in found.attrs.values():
        assert isinstance(value, (int, float, str)) and not isinstance(value, bool)


def test_on_responses_and_on_errors_differ() -> None:
    """Both are right nine times of ten, independently: responses agree, errors do not."""
    draw = np.random.default_rng(0)
    kinds = np.arange(4000) % 2
    response = np.where(draw.random((3, 4000)) < 0.9, kinds, 1 - kinds).astype(float)
    output = np.where(draw.random((2, 2, 4000)) < 0.9, kinds, 1 - kinds) * 0.8 + 0.1
    found = error_consistency(trials_of(response, kinds), network_of(output, kinds))
    assert (abs(found.kappa.sel(metric="correct")) < 0.03).all()
    assert (abs(found.kappa.sel(metric="response") - 0.64) < 0.03).all()
    assert abs(found.subject_kappa.sel(metric="correct")) < 0.03
    graded = error_consistency(
        trials_of(response, kinds), network_of(output, kinds), threshold=None
    )
    assert (graded.observed_agreement < found.observed_agreement).all()


def test_copies_of_a_subject_make_no_pair() -> None:
    kinds = np.arange(20) % 2
    people = item_responses(trials_of(patterns(1, 3, 20, 0.0), kinds))
    network = network_of(np.random.default_rng(0).random((2, 2, 20)), kinds)
    sample = people.isel(subject=[0, 0, 1])
    found = error_consistency(sample, network)
    assert found.subject_pairs.values.tolist() == [2, 2]
    one = error_consistency(people.isel(subject=[0, 1]), network)
    assert np.allclose(found.subject_kappa, one.subject_kappa)
    assert found.attrs["subjects"] == 2


def test_yoked_networks_are_compared_trial_by_trial() -> None:
    draw = np.random.default_rng(0)
    kinds = np.arange(8) % 2
    once = trials_of(patterns(3, 3, 8, 0.0), kinds)
    trials = xr.concat([once] * 4, "trial")  # strings repeat; the network changes its mind
    output = draw.random((3, trials.sizes["trial"]))
    yoked = trials[["item", "grammatical"]].assign(output=(("seed", "trial"), output))
    found = error_consistency(trials, yoked)
    for s, m in product(range(3), range(3)):
        own = trials.subject.values == f"s{s}"
        a, said = trials.response.values[own], (output[m, own] >= 0.5).astype(float)
        cell = found.pair_kappa.sel(subject=f"s{s}").isel(seed=m)
        assert np.isclose(cell.sel(metric="response"), plain_kappa(a, said))
        right = (said == trials.grammatical.values[own]).astype(float)
        b = trials.correct.values[own]
        assert np.isclose(cell.sel(metric="correct"), plain_kappa(b, right))
    assert found.attrs["matched_by"] == "trial" and found.pair_items.max() == 32
    with pytest.raises(ValueError, match="same order"):
        error_consistency(trials, yoked.isel(trial=slice(None, None, -1)))


def test_refusals() -> None:
    kinds = np.arange(12) % 2
    trials = trials_of(patterns(1, 2, 12, 0.0), kinds)
    network = network_of(np.random.default_rng(0).random((2, 2, 12)), kinds)
    with pytest.raises(ValueError, match="threshold"):
        error_consistency(trials, network, threshold=1.0)
    with pytest.raises(ValueError, match="min_items"):
        error_consistency(trials, network, min_items=0)
    with pytest.raises(ValueError, match="share no string"):
        strings = [f"Y{i}" for i in range(12)]
        error_consistency(trials, network.assign_coords(string=("item", strings)))
    with pytest.raises(ValueError, match="need `correct`"):
        error_consistency(item_responses(trials).drop_vars("correct"), network)
    few = error_consistency(trials, network, min_items=13)
    assert np.isnan(few.kappa).all() and (few.pairs == 0).all()
