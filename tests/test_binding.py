"""Phases to segments and segments against masks: brute force and other libraries."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import kmeans2

from neurodyn.analysis import binding_quality, cluster_phases
from neurodyn.analysis.binding import (
    adjusted_rand_index,
    contingency,
    largest_gaps,
    weighted_kmeans,
)


def scene(spread: float, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    """Three objects on a ground, each with its phase: (sample, time, y, x), and its masks."""
    draw = np.random.default_rng(seed)
    groups = np.zeros((2, 8, 8), int)
    groups[:, :3, :3], groups[:, 5:, 5:], groups[1, :3, 5:] = 1, 2, 3
    masks = xr.DataArray(groups, dims=("sample", "y", "x"), coords={"sample": [10, 11]})
    noise = spread * draw.normal(size=(2, 4, 8, 8))
    return xr.DataArray(noise, dims=("sample", "time", "y", "x")) + 1.5 * masks, masks


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == k).tolist()) for k in np.unique(labels)}


def ari_by_pairs(a: np.ndarray, b: np.ndarray) -> float:
    """Return (index - expected) / (maximum - expected), counting pairs of units."""
    pairs = list(combinations(range(len(a)), 2))
    same_a = np.array([a[i] == a[j] for i, j in pairs])
    same_b = np.array([b[i] == b[j] for i, j in pairs])
    expected = same_a.sum() * same_b.sum() / len(pairs)
    best = (same_a.sum() + same_b.sum()) / 2
    return ((same_a & same_b).sum() - expected) / (best - expected)


@given(
    angles=st.lists(st.floats(-4, 4), min_size=4, max_size=12, unique=True),
    clusters=st.integers(2, 4),
)
def test_largest_gaps_are_single_linkage_on_the_circle(angles: list[float], clusters: int) -> None:
    angle = np.array(angles)
    chord = [np.abs(np.exp(1j * a) - np.exp(1j * b)) for a, b in combinations(angle, 2)]
    gaps = np.sort(np.diff(np.sort(np.mod(angle, 2 * np.pi)), append=np.nan))
    if np.diff(gaps[:-1]).min() < 1e-6 or min(chord) < 1e-6:
        return  # ties may be cut either way
    order = fcluster(linkage(np.array(chord), "single"), clusters, "maxclust")
    widest = np.sort(np.diff(np.sort(np.mod(angle, 2 * np.pi)), append=0) % (2 * np.pi))
    if (widest > np.pi).any() or np.diff(widest).min() < 1e-6:
        return  # the chord over a gap is longest at pi: then chords and gaps may differ
    assert partition(largest_gaps(angle, clusters)) == partition(order)


def test_largest_gaps_across_zero_and_equal_phases() -> None:
    angle = np.array([-0.1, 0.1, 6.2, 2.0, 2.1, 4.0, 4.0])
    found = largest_gaps(angle, 3)
    assert partition(found) == {frozenset({0, 1, 2}), frozenset({3, 4}), frozenset({5, 6})}
    assert largest_gaps(np.ones(4), 3).tolist() == [0, 0, 0, 0]
    assert len(largest_gaps(np.zeros(0), 2)) == 0
    assert set(largest_gaps(angle, 1)) == {0}


def test_kmeans_is_as_good_as_scipys_best() -> None:
    draw = np.random.default_rng(0)
    angle = np.concatenate([draw.normal(m, 0.5, 40) for m in (0, 2, 4)])
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def cost(labels: np.ndarray, weight: np.ndarray) -> float:
        return sum(
            (weight[labels == k] @ (points[labels == k] - np.average(
                points[labels == k], axis=0, weights=weight[labels == k])) ** 2).sum()
            for k in np.unique(labels)
        )  # fmt: skip

    ones = np.ones(len(points))
    theirs = min(cost(kmeans2(points, 3, minit="++", rng=seed)[1], ones) for seed in range(30))
    ours = weighted_kmeans(points, ones, 3, np.random.default_rng(1))
    assert cost(ours, ones) <= theirs * (1 + 1e-9)
    # a weight of 3 is the same as the point three times
    weight = draw.integers(1, 4, len(points))
    weighted = weighted_kmeans(points, weight.astype(float), 3, np.random.default_rng(1))
    points = np.repeat(points, weight, axis=0)
    repeated = weighted_kmeans(points, np.ones(len(points)), 3, np.random.default_rng(1))
    assert partition(np.repeat(weighted, weight)) == partition(repeated)


@pytest.mark.parametrize("method", ["gaps", "kmeans"])
def test_bound_phases_are_found(method: str) -> None:
    phase, masks = scene(0.05)
    for sample, clusters in ((0, 3), (1, 4)):
        labels = cluster_phases(phase.isel(sample=[sample]), clusters=clusters, method=method)
        assert labels.dims == phase.dims and set(np.unique(labels)) == set(range(1, clusters + 1))
        found = binding_quality(labels, masks.isel(sample=[sample]))
        for name in ("ari", "foreground_ari", "mean_best_overlap"):
            assert (found[name] == 1).all() and found[name].dims == ("sample", "time")
        assert (found.n_valid == 64).all()
    assert labels.sample.values.tolist() == [11]


def test_silent_units_and_channels() -> None:
    phase, masks = scene(0.05)
    # with a silent ground, as many clusters as objects
    three = masks[1:]
    labels = cluster_phases(phase[1:], three > 0, clusters=3)
    assert ((labels == 0) == (three == 0)).all()
    assert (binding_quality(labels, three).ari == 1).all()
    # an outlier is a cluster to the gaps, not to k-means
    odd, two = phase[:1].copy(), masks[:1]
    odd[0, 0, 4, 4] = -1.64
    first = {"sample": 0, "time": 0}
    overlap = [
        float(binding_quality(labels, two).mean_best_overlap.isel(first))
        for labels in (
            cluster_phases(odd, clusters=3, method="gaps"),
            cluster_phases(odd, clusters=3),
        )
    ]
    assert overlap[0] < 0.7 and overlap[1] > 0.9
    # weak units count for less, and are told apart by phase all the same
    weak = xr.where(masks.x % 2 == 0, 1.0, 0.05)
    assert (binding_quality(cluster_phases(phase[1:], weak, clusters=4), three).ari == 1).all()
    # two channels, each blind to something: together they see all
    blind = xr.concat(
        [phase.where(masks < 3, 4.5 - 1.5), 1.5 * masks.where(masks > 2, 0)], "channel"
    )
    found = cluster_phases(blind, clusters=4, channel="channel")
    assert found.dims == phase.dims
    assert (binding_quality(found, masks).ari[1] == 1).all()
    nothing = cluster_phases(phase * np.nan, clusters=2)
    assert (nothing == 0).all() and (binding_quality(nothing, masks).mean_best_overlap == 0).all()


def test_the_same_seed_finds_the_same() -> None:
    phase, _ = scene(1.0)
    a, b = (cluster_phases(phase, clusters=4, seed=3) for _ in range(2))
    xr.testing.assert_identical(a, b)


@given(
    truth=st.lists(st.integers(-1, 3), min_size=8, max_size=8),
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=8),
)
def test_measures_are_those_of_counts(truth: list[int], labels: list[int]) -> None:
    a, b = np.array(truth), np.array(labels)
    found = binding_quality(xr.DataArray(b, dims="unit"), xr.DataArray(a, dims="unit"), unit="unit")
    for name, counted in (("ari", a >= 0), ("foreground_ari", a > 0)):
        own = a[counted], b[counted]
        if counted.sum() == 0:
            assert np.isnan(found[name])
        elif all(len(set(x)) == 1 for x in own) or all(len(set(x)) == len(x) for x in own):
            assert float(found[name]) == 1
        else:
            assert float(found[name]) == pytest.approx(ari_by_pairs(*own))
    counted = a >= 0
    overlaps = []
    for g in set(a[a > 0]):
        shares = [
            (counted & (a == g) & (b == s)).sum() / (counted & ((a == g) | (b == s))).sum()
            for s in set(b[counted & (b > 0)])
        ]
        overlaps.append(max(shares, default=0))
    expected = np.mean(overlaps) if overlaps else np.nan
    np.testing.assert_allclose(found.mean_best_overlap, expected)
    assert int(found.n_valid) == counted.sum()


def test_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    truth, labels = draw.integers(0, 4, (2, 30, 200))
    labels[:15] = np.where(draw.random((15, 200)) < 0.7, truth[:15], labels[:15])
    ours = adjusted_rand_index(contingency(truth, labels))
    theirs = [metrics.adjusted_rand_score(a, b) for a, b in zip(truth, labels, strict=True)]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


@given(names=st.permutations(range(1, 5)))
def test_names_of_segments_do_not_matter(names: list[int]) -> None:
    phase, masks = scene(0.6)
    labels = cluster_phases(phase, clusters=4)
    renamed = xr.apply_ufunc(lambda k: np.array([0, *names])[k], labels)
    xr.testing.assert_allclose(binding_quality(labels, masks), binding_quality(renamed, masks))


def test_random_segments_have_no_ari_on_average() -> None:
    draw = np.random.default_rng(0)
    truth, labels = (
        xr.DataArray(draw.integers(1, 4, (500, 60)), dims=("sample", "unit")) for _ in range(2)
    )
    found = binding_quality(labels, truth, unit="unit").foreground_ari
    assert abs(float(found.mean())) < 4 * float(found.std()) / np.sqrt(500)


def test_errors_say_what_is_allowed() -> None:
    phase, masks = scene(0.1)
    with pytest.raises(ValueError, match="clusters must be a whole number, 1 or larger, got 0"):
        cluster_phases(phase, clusters=0)
    for options in ({"method": "ward"}, {"method": "gaps", "channel": "time"}):
        with pytest.raises(ValueError, match="one phase per unit: gaps or kmeans, several: kmeans"):
            cluster_phases(phase, clusters=2, **options)
    with pytest.raises(ValueError, match="channel 'x' is named twice|unit 'x' is named twice"):
        cluster_phases(phase, clusters=2, channel="x")
    labels = cluster_phases(phase, clusters=3)
    with pytest.raises(TypeError, match="labels must be a DataArray of whole numbers, got float64"):
        binding_quality(phase, masks)
    with pytest.raises(TypeError, match="groups must be a DataArray of whole numbers, got bool"):
        binding_quality(labels, masks > 0)
    with pytest.raises(ValueError, match="labels are 0 or larger"):
        binding_quality(labels - 2, masks)
    with pytest.raises(ValueError, match="groups and labels disagree in sizes or labels"):
        binding_quality(labels, masks[:, :4])


def test_a_sample_is_clustered_as_if_alone():
    rng = np.random.default_rng(0)
    phase = xr.DataArray(rng.uniform(-3, 3, (6, 30)), dims=("sample", "unit"))
    together = cluster_phases(phase, clusters=3, unit="unit")
    for i in range(6):
        alone = cluster_phases(phase[i : i + 1], clusters=3, unit="unit")
        assert np.array_equal(alone[0], together[i])
