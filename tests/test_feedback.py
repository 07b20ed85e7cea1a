"""The role of feedback from labelled data: brute force, plain loops, exact solutions."""

from itertools import permutations, product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.analysis.ablation import ablation, shapley
from neurodyn.analysis.contributions import contribution_shares, contributions, gradient_reliance
from neurodyn.analysis.feedback import error_over_time, fixed_point_accuracy
from neurodyn.analysis.feedback_reliance import feedback_reliance
from neurodyn.analysis.manifold import clean_distance
from neurodyn.analysis.mce import alexnet_errors, mean_corruption_error
from neurodyn.analysis.pooled_ratio import pooled_ratio
from neurodyn.analysis.time_constants import e_folding_time, eigenvalue_time, relaxation

TERMS = ["feedforward", "feedback", "memory", "error"]


def rate(*values):
    return xr.DataArray(list(values), dims="term", coords={"term": TERMS})


# ---- reliance by rates


def test_reliance_and_time_constant():
    found = feedback_reliance(
        xr.concat(
            [rate(0.2, 0.6, 0.2, 9.0), rate(0.0, 0.0, 1.0, 0.0), rate(0.5, np.nan, 0.5, -1.0)],
            "layer",
        )
    )
    assert np.allclose(found.reliance, [0.75, np.nan, np.nan], equal_nan=True)
    assert np.allclose(found["share"], [0.6, 0.0, np.nan], equal_nan=True)
    assert np.allclose(found.time_constant, [1.25, np.inf, 2.0])
    assert np.allclose(found.error_rate, [9.0, 0.0, -1.0])


@given(
    c=st.floats(0.1, 10.0), beta=st.floats(0.001, 0.05), lam=st.floats(0.001, 0.05),
    alpha=st.floats(-1.0, 1.0),
)  # fmt: skip
def test_reliance_does_not_see_speed(c, beta, lam, alpha):
    one, other = (
        feedback_reliance(rate(k * beta, k * lam, 1 - k * (beta + lam), k * alpha))
        for k in (1.0, c)
    )
    assert np.isclose(one.reliance, other.reliance)
    assert np.isclose(one.time_constant, c * other.time_constant)


def test_reliance_refuses():
    with pytest.raises(ValueError, match="memory, error missing"):
        feedback_reliance(rate(1, 1, 1, 1).isel(term=[0, 1]))
    with pytest.raises(ValueError, match="must not be negative"):
        feedback_reliance(rate(-0.1, 0.2, 0.9, 0.0))


# ---- ablation


def by_orders(value, players):
    """Average over all orders of what each player adds when it joins."""
    found = np.zeros(players)
    for order in permutations(range(players)):
        there = frozenset()
        for player in order:
            found[player] += value[there | {player}] - value[there]
            there |= {player}
    return found / len(list(permutations(range(players))))


@given(players=st.integers(1, 5), seed=st.integers(0, 1000))
def test_shapley_is_the_mean_over_orders(players, seed):
    draw = np.random.default_rng(seed)
    member = np.array(list(product([False, True], repeat=players)))
    draw.shuffle(member)
    value = draw.normal(size=(len(member), 2))
    found = shapley(value, member)
    sets = [frozenset(np.flatnonzero(row).tolist()) for row in member]
    for k in range(2):
        assert np.allclose(
            found[:, k], by_orders(dict(zip(sets, value[:, k], strict=True)), players)
        )
    total = value[member.all(1)][0] - value[~member.any(1)][0]
    assert np.allclose(found.sum(0), total)


def test_ablation_of_answers():
    draw = np.random.default_rng(0)
    labels = ["a+b", "none", "b", "a"]
    right = draw.random((4, 2, 3, 50)) < np.array([0.4, 0.8, 0.6, 0.7])[:, None, None, None]
    correct = xr.DataArray(
        right, dims=("ablated", "seed", "time", "sample"), coords={"ablated": labels}
    )
    found = ablation(correct)
    accuracy = correct.mean(("seed", "sample"))
    value = {
        frozenset("ab"): accuracy[1].values, frozenset("a"): accuracy[2].values,
        frozenset("b"): accuracy[3].values, frozenset(): accuracy[0].values,
    }  # fmt: skip
    order = found.layer.values.tolist()
    assert sorted(order) == ["a", "b"]
    for layer, other in ("ab", "ba"):
        assert np.allclose(
            found.effect.sel(layer=layer), value[frozenset("ab")] - value[frozenset(other)]
        )
        added = (
            value[frozenset(layer)] - value[frozenset()]
            + value[frozenset("ab")] - value[frozenset(other)]
        ) / 2  # fmt: skip
        assert np.allclose(found.shapley.sel(layer=layer), added)
    assert np.allclose(found.total, found.shapley.sum("layer"))
    assert found.shapley_ci.dims == ("layer", "time", "ci_bound")
    low, high = found.effect_ci.sel(ci_bound="lower"), found.effect_ci.sel(ci_bound="upper")
    assert (low < found.effect).all() and (found.effect < high).all()
    plain = ablation(accuracy)
    assert np.allclose(plain.shapley.sel(layer=order), found.shapley)
    assert not any("ci" in str(name) for name in plain)


def test_ablation_without_all_subsets():
    accuracy = xr.DataArray(
        [0.9, 0.8, 0.7, 0.6], dims="ablated", coords={"ablated": ["none", "x", "y", "z"]}
    )
    found = ablation(accuracy)
    assert list(found.data_vars) == ["effect"]
    assert np.allclose(found.effect, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="lacks none"):
        ablation(accuracy[1:])
    with pytest.raises(ValueError, match="no layer"):
        ablation(accuracy[:1])
    with pytest.raises(ValueError, match="dimension 'ablated'"):
        ablation(accuracy.rename(ablated="cut"))
    with pytest.raises(ValueError, match="4 subsets once"):
        shapley(np.zeros(3), np.zeros((3, 2), dtype=bool))


# ---- contributions and gradients


@given(seed=st.integers(0, 1000), terms=st.integers(1, 5))
def test_shares_sum_to_one(seed, terms):
    values = np.random.default_rng(seed).normal(size=(terms, 3, 7))
    found = contribution_shares(values)
    assert np.allclose(found.sum(0), 1)
    for i in range(3):
        moved = values[:, i].sum(0)
        assert np.allclose(found[:, i], values[:, i] @ moved / (moved @ moved))
    assert np.isnan(contribution_shares(np.zeros((2, 4)))).all()


def test_contributions_are_pooled():
    draw = np.random.default_rng(0)
    projection = xr.DataArray(
        draw.normal(1.0, 1.0, size=(3, 2, 40)), dims=("term", "layer", "sample")
    )
    found = contributions(projection)
    assert np.allclose(found["share"].sum("term"), 1)
    assert np.allclose(
        found["share"], projection.sum("sample") / projection.sum(("term", "sample"))
    )
    with pytest.raises(ValueError, match="not sample"):
        contributions(projection.isel(sample=0))


def test_pooled_ratio_is_the_bootstrap_of_a_loop():
    draw = np.random.default_rng(1)
    a, b = (xr.DataArray(draw.gamma(2.0, size=30), dims="sample") for _ in range(2))
    found = pooled_ratio(a, b, "ratio", "ratio", resamples=300, seed=5)
    picked = np.random.default_rng(5).integers(30, size=(300, 30))
    ratios = [a.values[rows].sum() / b.values[rows].sum() for rows in picked]
    assert np.allclose(found.ratio_ci, np.quantile(ratios, [0.025, 0.975]))
    assert np.isclose(found.ratio, a.sum() / b.sum())
    for wrong in ({"level": 1.0}, {"resamples": 10}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            pooled_ratio(a, b, "ratio", "ratio", **wrong)


def test_gradient_reliance():
    size = xr.DataArray(
        np.array([[[2.0, 4.0], [1.0, 1.0], [5.0, 5.0]], [[1.0, 2.0], [1.0, 0.0], [np.nan] * 2]]),
        dims=("term", "layer", "sample"), coords={"term": TERMS[:2]},
    )  # fmt: skip
    found = gradient_reliance(size)
    assert np.allclose(found.reliance, [3 / 9, 1 / 3, np.nan], equal_nan=True)
    assert np.allclose(found.layer_share, [3 / 4, 1 / 4, np.nan], equal_nan=True)


# ---- time


@given(tau=st.floats(0.3, 4.9), scale=st.floats(1e-6, 1e6))
def test_e_folding_time_of_an_exponential(tau, scale):
    times = np.linspace(5.0, 25.0, 33)
    distance = scale * np.exp(-(times - 5.0) / tau)
    assert np.isclose(e_folding_time(distance, times), tau, rtol=1e-9)


def test_e_folding_time_is_not_known():
    times = np.linspace(0.0, 20.0, 81)
    slow, still = np.exp(-times / 6.0), np.zeros_like(times)
    broken = np.where(times > 10, np.nan, np.exp(-times))
    assert np.isnan(e_folding_time(np.stack([slow, still, broken]), times)).all()
    # from the last of its own times an exponential seems a little faster, never slower
    for tau in (1.0, 2.0, 4.0, 4.8):
        path = np.exp(-times / tau)
        found = e_folding_time(path - path[-1], times)
        assert 0.964 * tau < found <= 1.001 * tau
    with pytest.raises(ValueError, match="increase"):
        e_folding_time(slow, times[::-1])
    assert np.isnan(eigenvalue_time(np.array([0.3, -1.0])))
    assert eigenvalue_time(np.array([0.0, -1.0])) == np.inf


def states(values, **coords):
    """A run of one layer (time, sample, channel, y)."""
    data = xr.Dataset({"a": (("time", "sample", "channel", "y"), values)})
    return data.assign_coords({"time": np.arange(len(values)) * 1.0} | coords)


def test_relaxation_of_two_samples():
    time = np.arange(0, 30.0, 0.25)
    fall = np.exp(-time[:, None] / np.array([1.5, 5.0]))[..., None, None]
    start = np.random.default_rng(0).normal(size=(1, 2, 3, 4))
    found = relaxation(states(2 + start * fall, time=time))
    assert np.allclose(found.time_constant, [[1.5, 5.0]], rtol=2e-2)
    wanted = np.sqrt((start**2).mean((0, 2, 3))) * (fall - fall[-1])[:, :, 0, 0]
    assert np.allclose(found.distance.sel(layer="a"), wanted.T)


def test_clean_distance_is_the_correlation():
    draw = np.random.default_rng(0)
    noisy, clean = (draw.normal(size=(3, 5, 2, 4)) for _ in range(2))
    noisy[1:] += 2 * clean[1:]
    found = clean_distance(states(noisy), states(clean))
    wanted = np.array([
        [1 - np.corrcoef(noisy[t, i].ravel(), clean[t, i].ravel())[0, 1] for t in range(3)]
        for i in range(5)
    ])  # fmt: skip
    assert np.allclose(found.distance.sel(layer="a"), wanted)
    assert np.allclose(found.relative_distance[0], wanted.sum(0) / wanted[:, 0].sum())
    assert (found.relative_distance_ci.isel(time=0) == 1).all()
    with pytest.raises(ValueError, match="same images and times"):
        clean_distance(states(noisy), states(clean[:, :4]))
    with pytest.raises(ValueError, match="record the same"):
        clean_distance(states(noisy), states(clean).rename(a="b"))


def test_error_over_time():
    error = xr.DataArray(
        np.random.default_rng(0).gamma(2.0, size=(2, 6, 4)), dims=("layer", "sample", "time")
    )
    found = error_over_time(error)
    assert np.allclose(found.prediction_error, error.mean("sample"))
    mean = error.mean("sample")
    assert np.allclose(found.relative_error, mean / mean.isel(time=0))
    assert (found.relative_error_ci.isel(time=0) == 1).all()


def test_fixed_point_accuracy_counts_those_at_rest():
    right = xr.DataArray(
        [[0, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 1]], dims=("sample", "time")
    ).assign_coords(time=[0, 5, 50])
    speed = np.full((2, 4, 3), 1e-5)
    speed[1, 3, -1] = 0.1  # one layer of the last image still moves
    speed[:, :, 0] = 1.0
    found = fixed_point_accuracy(right, xr.DataArray(speed, dims=("layer", "sample", "time")))
    assert np.allclose(found.accuracy, [0.25, 0.75, 0.5])
    assert found.settled == 0.75 and np.isclose(found.fixed_point_accuracy, 1 / 3)
    assert found.best_minus_last == 0.25
    moving = fixed_point_accuracy(right, xr.DataArray(speed + 1, dims=("layer", "sample", "time")))
    assert moving.settled == 0 and np.isnan(moving.fixed_point_accuracy)


# ---- corruption errors

# of the benchmark's repository, as others quote them: the means over severities
ALEXNET_MEANS = [
    0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360, 0.866816, 0.826572,
    0.819324, 0.564592, 0.853204, 0.646056, 0.717840, 0.606500,
]  # fmt: skip


def test_the_table_of_alexnet_has_the_known_means():
    assert np.allclose(alexnet_errors().mean("severity"), ALEXNET_MEANS, rtol=0, atol=1e-9)


def answers(seed=0, kinds=("fog", "snow"), samples=60):
    draw = np.random.default_rng(seed)
    chance = np.linspace(0.3, 0.7, 3)[:, None, None, None]
    right = draw.random((3, samples, len(kinds), 2)) < chance
    return xr.DataArray(
        right, dims=("time", "sample", "noise_type", "severity"),
        coords={"time": [0.0, 1.0, 2.0], "noise_type": list(kinds), "severity": [1, 3]},
    )  # fmt: skip


def test_mce_from_the_start_is_that_of_a_loop():
    correct = answers()
    found = mean_corruption_error(correct, resamples=200, seed=3)
    wrong = ~correct.transpose("noise_type", "severity", "time", "sample").values

    def measure(rows):
        error = wrong[..., rows].mean(-1)
        per_kind = error.sum(1)
        return per_kind / per_kind[:, :1], per_kind.mean(0) / per_kind.mean(0)[0]

    every, whole = measure(np.arange(60))
    assert np.allclose(found.corruption_error, every) and np.allclose(found.mce, whole)
    assert found.mce.isel(time=0) == 1
    picked = np.random.default_rng(3).integers(60, size=(200, 60))
    drawn = np.array([measure(rows)[1] for rows in picked])
    assert np.allclose(found.mce_ci, np.quantile(drawn, [0.025, 0.975], axis=0).T)
    assert found.attrs["reference"] == "start"


def test_mce_against_a_network():
    correct = answers()
    table = alexnet_errors()
    found = mean_corruption_error(correct, table)
    each = []
    for kind in ("fog", "snow"):
        error = sum(1 - correct.sel(noise_type=kind, severity=s).mean("sample") for s in (1, 3))
        each.append(error / float(table.sel(noise_type=kind, severity=[1, 3]).sum()))
    assert np.allclose(found.corruption_error, each)
    assert np.allclose(found.mce, np.mean(each, 0))
    own = 1 - correct.mean("sample").isel(time=1, drop=True)
    assert np.allclose(mean_corruption_error(correct, own).mce.isel(time=1), 1)


def test_mce_keeps_other_dimensions():
    correct = xr.concat([answers(0), answers(1)], xr.IndexVariable("solver", ["euler", "dopri5"]))
    found = mean_corruption_error(correct, resamples=100)
    for solver, seed in (("euler", 0), ("dopri5", 1)):
        alone = mean_corruption_error(answers(seed), resamples=100)
        xr.testing.assert_allclose(found.sel(solver=solver, drop=True), alone)


def test_mce_refuses():
    correct = answers()
    with pytest.raises(ValueError, match="noise_type spatter"):
        mean_corruption_error(answers(kinds=("fog", "spatter")), alexnet_errors())
    with pytest.raises(ValueError, match="'alexnet' is not 'start'"):
        mean_corruption_error(correct, "alexnet")
    with pytest.raises(ValueError, match="dimension 'severity'"):
        mean_corruption_error(correct.isel(severity=0))
    with pytest.raises(ValueError, match="level"):
        mean_corruption_error(correct, level=2)
