"""The crossed bootstrap: exact variances, scipy's bootstrap, and data of known variance."""

import json
from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import neurodyn as nd
from neurodyn.analysis.cluster_bootstrap import (
    bootstrap_means,
    bootstrap_statistic,
    cluster_bootstrap,
    crossed_means,
    multiway_variance,
)


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    kinds=st.integers(1, 3),
    missing=st.booleans(),
    seed=st.integers(0, 999),
)
def test_crossed_means_against_a_loop(shape, kinds, missing, seed) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    if missing:
        values[rng.random(shape) < 0.3] = np.nan
    weights = [rng.integers(0, 3, (6, n)).astype(float) for n in shape[:kinds]]
    found = crossed_means(values, weights)
    for b in range(6):
        for rest in product(*map(range, shape[kinds:])):
            total = below = 0.0
            for index in product(*map(range, shape[:kinds])):
                weight = np.prod([w[b, i] for w, i in zip(weights, index, strict=True)])
                x = values[index + rest]
                if x == x:
                    total, below = total + weight * x, below + weight
            expected = total / below if below else np.nan
            np.testing.assert_allclose(found[(b, *rest)], expected, atol=1e-12)


@pytest.mark.parametrize(("subjects", "items"), [(6, 9), (7, 7)])
def test_variance_of_two_crossed_kinds_is_exact(subjects, items) -> None:
    """Var over draws = sum x_si x_tj E[u_s u_t] E[v_i v_j] - mean^2; E from the multinomial."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(subjects, items)) + rng.normal(size=(subjects, 1)) + rng.normal(size=items)

    def moments(n):  # E[w_i w_j], w = counts / n
        return ((1 - 1 / n) + np.eye(n)) / n**2

    second = np.einsum("si,tj,st,ij->", x, x, moments(subjects), moments(items))
    exact = second - x.mean() ** 2
    draws = bootstrap_means(xr.DataArray(x, dims=("subject", "item")), resamples=40_000)
    assert draws.mean().item() == pytest.approx(x.mean(), abs=5 * np.sqrt(exact / 40_000))
    assert draws.var().item() == pytest.approx(exact, rel=0.05)


def test_one_kind_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=40)
    mine = cluster_bootstrap(xr.DataArray(values, dims="subject"), resamples=20_000)
    other = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    )
    width = other.confidence_interval.high - other.confidence_interval.low
    np.testing.assert_allclose(mine.mean_ci, other.confidence_interval, atol=0.03 * width)


def test_standard_error_of_crossed_random_effects() -> None:
    """SE^2 = var_s / S + var_i / I + var_r / R + var_e / (S I R), over fresh data."""
    rng = np.random.default_rng(3)
    sizes, sd, noise = (15, 40, 10), (0.1, 0.2, 0.05), 0.3
    exact = np.sqrt(sum(s**2 / n for s, n in zip(sd, sizes, strict=True)) + noise**2 / 6000)
    errors, covered = [], 0
    for repeat in range(200):
        parts = [rng.normal(0, s, n) for s, n in zip(sd, sizes, strict=True)]
        x = parts[0][:, None, None] + parts[1][:, None] + parts[2]
        x = xr.DataArray(x + rng.normal(0, noise, sizes), dims=("subject", "item", "seed"))
        draws = bootstrap_means(x, resamples=200, seed=repeat)
        errors.append(draws.var().item())
        lower, upper = np.quantile(draws, [0.025, 0.975])
        covered += lower <= 0 <= upper
    # resampling n clusters misses 1/n of their variance; the noise counts up to 7 times
    assert np.sqrt(np.mean(errors)) == pytest.approx(exact, rel=0.06)
    assert 0.88 <= covered / 200 <= 0.99


def test_leaving_out_a_kind_gives_too_short_an_interval() -> None:
    """The reason for all this: intervals over items alone do not cover other subjects."""
    rng = np.random.default_rng(4)
    x = xr.DataArray(
        rng.normal(0, 0.3, (10, 1)) + rng.normal(0, 0.3, (10, 200)), dims=("subject", "item")
    )
    both = cluster_bootstrap(x).mean_ci.diff("ci_bound").item()
    items = cluster_bootstrap(x.mean("subject"), clusters=("item",)).mean_ci.diff("ci_bound").item()
    assert items < 0.2 * both


def test_people_and_networks_share_the_draw_of_items() -> None:
    """Network = human + 0.1 on every item: the difference has no variance over items."""
    rng = np.random.default_rng(5)
    items = rng.random(50)
    human = xr.DataArray(items + np.zeros((6, 1)), dims=("subject", "item"))
    network = xr.DataArray(items + 0.1 + np.zeros((4, 1)), dims=("seed", "item"))
    difference = bootstrap_means(network, resamples=300) - bootstrap_means(human, resamples=300)
    np.testing.assert_allclose(difference, 0.1)
    assert bootstrap_means(human, resamples=300).std() > 0.01
    general = bootstrap_statistic(lambda h, n: n.mean() - h.mean(), human, network, resamples=100)
    np.testing.assert_allclose(general.mean_ci, 0.1)


def test_the_general_form_is_the_fast_one_for_a_mean() -> None:
    rng = np.random.default_rng(6)
    x = xr.DataArray(
        rng.random((5, 7, 3)), {"block": [1, 2, 3]}, dims=("subject", "item", "block"), name="acc"
    )
    how = {"clusters": ["subject"], "resamples": 200, "seed": 9}
    fast = cluster_bootstrap(x.mean("item"), **how)
    slow = bootstrap_statistic(lambda d: d.mean(("subject", "item")), x, **how)
    xr.testing.assert_allclose(fast.acc, slow.acc)
    draws = bootstrap_means(x.mean("item"), **how)
    shift = slow.acc - draws.median("resample")
    xr.testing.assert_allclose(slow.acc_ci, (fast.acc_ci + shift).transpose(..., "ci_bound"))
    assert fast.acc_ci.dims == ("block", "ci_bound") and fast.block.values.tolist() == [1, 2, 3]


def test_weights_and_missing_values() -> None:
    rng = np.random.default_rng(7)
    x = xr.DataArray(rng.random((8, 20)), dims=("subject", "item"))
    holes = x.where(rng.random((8, 20)) < 0.7)
    weights = xr.DataArray(rng.random(20), dims="item")
    found = cluster_bootstrap(holes, weights=weights, resamples=400)
    known = np.where(np.isnan(holes), 0, weights)
    assert found["mean"].item() == pytest.approx((known * x).sum().item() / known.sum())
    # a weight of 0 is the same as a missing value
    as_weight = cluster_bootstrap(x, weights=holes.notnull() * weights, resamples=400)
    np.testing.assert_allclose(as_weight.mean_ci, found.mean_ci)
    unweighted = cluster_bootstrap(holes, resamples=400)
    as_weight = cluster_bootstrap(x, weights=holes.notnull().astype(float), resamples=400)
    np.testing.assert_allclose(as_weight.mean_ci, unweighted.mean_ci)
    # sparse: subjects with items of their own
    alone = xr.DataArray(np.where(np.eye(8, 20) > 0, x, np.nan), dims=("subject", "item"))
    assert np.isfinite(cluster_bootstrap(alone)["mean"])


@given(seed=st.integers(0, 2**31), subjects=st.integers(2, 6), items=st.integers(2, 6))
def test_seed_and_order_decide_everything(seed, subjects, items) -> None:
    x = xr.DataArray(
        np.random.default_rng(seed).random((subjects, items, 2)), dims=("subject", "item", "block")
    )
    once = cluster_bootstrap(x, resamples=100, seed=seed)
    xr.testing.assert_identical(once, cluster_bootstrap(x, resamples=100, seed=seed))
    turned = cluster_bootstrap(x.transpose("block", "item", "subject"), resamples=100, seed=seed)
    xr.testing.assert_allclose(once, turned)
    assert (once.mean_ci.sel(ci_bound="lower") <= once.mean_ci.sel(ci_bound="upper")).all()
    # an affine change of the values is one of the interval
    shifted = cluster_bootstrap(3 + 2 * x, resamples=100, seed=seed)
    np.testing.assert_allclose(shifted.mean_ci, 3 + 2 * once.mean_ci)


def test_the_result_says_what_was_resampled(tmp_path) -> None:
    x = xr.DataArray(
        np.random.default_rng(0).random((4, 5, 3)),
        dims=("subject", "item", "seed"),
        name="accuracy",
        attrs={"long_name": "proportion correct", "units": "1"},
    )
    found = cluster_bootstrap(x, level=0.9, resamples=150, seed=2)
    xr.testing.assert_identical(nd.load(nd.save(found, tmp_path / "x.nc")), found)
    assert json.loads(found.attrs["clusters"]) == {"subject": 4, "item": 5, "seed": 3}
    assert found.attrs["note"] == "seeds are training runs of a network, not subjects"
    assert (found.attrs["resamples"], found.attrs["seed"], found.attrs["level"]) == (150, 2, 0.9)
    assert found.accuracy_ci.ci_bound.values.tolist() == ["lower", "upper"]
    said = found.accuracy_ci.attrs["long_name"]
    assert (
        said
        == "90% interval of the proportion correct, bootstrap over 4 subjects, 5 items, 3 seeds"
    )
    for variable in found.variables.values():
        assert {"long_name", "units"} <= set(variable.attrs)


def test_refusals() -> None:
    x = xr.DataArray(np.zeros((3, 1)), dims=("subject", "item"))
    with pytest.raises(ValueError, match="one item alone tells nothing of others"):
        cluster_bootstrap(x)
    with pytest.raises(ValueError, match=r"clusters \['seed'\] are not dimensions; there are"):
        cluster_bootstrap(x, clusters=("seed",))
    with pytest.raises(ValueError, match=r"clusters \['subject', 'item', 'seed'\] are not"):
        cluster_bootstrap(xr.DataArray([1.0, 2.0], dims="time"))
    y = xr.DataArray(np.zeros((3, 2)), {"item": ["a", "b"]}, dims=("subject", "item"))
    with pytest.raises(ValueError, match="resamples must be 100 or more"):
        cluster_bootstrap(y, resamples=10)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        cluster_bootstrap(y, level=95)
    with pytest.raises(ValueError, match="weights must be 0 or more"):
        cluster_bootstrap(y, weights=y - 1)
    with pytest.raises(ValueError, match="weights and values must have equal labels"):
        cluster_bootstrap(y, weights=y.assign_coords(item=["b", "c"]))
    with pytest.raises(ValueError, match="data must have equal labels where they share"):
        bootstrap_statistic(lambda a, b: a.mean(), y, y.assign_coords(item=["b", "c"]))
    with pytest.raises(TypeError, match="statistic must return a DataArray"):
        bootstrap_statistic(lambda a: 1.0, y)  # type: ignore[arg-type, return-value]


def test_the_general_form_takes_out_what_resampling_adds() -> None:
    """The mean size of noisy means grows with each resampling; the interval stays around it."""
    rng = np.random.default_rng(7)
    x = xr.DataArray(rng.normal(size=(30, 200)), dims=("subject", "item"))

    def size(values: xr.DataArray) -> xr.DataArray:
        return abs(values.mean("subject")).mean("item").rename("size")

    found = bootstrap_statistic(size, x, clusters=["subject"], resamples=300)
    draws = abs(bootstrap_means(x, clusters=["subject"], resamples=300)).mean("item")
    assert draws.quantile(0.025) > found["size"]  # what a plain percentile interval would not hold
    low, high = found.size_ci.values
    assert low < found["size"] < high


@pytest.mark.parametrize("effects", [0.0, 1.0])
def test_crossed_intervals_hold_the_truth_as_often_as_they_say(effects: float) -> None:
    """95% intervals of 200 data sets hold the true mean: noise alone, or crossed effects too."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(20, 40))
        x += effects * (rng.normal(size=(20, 1)) + rng.normal(size=(1, 40)))
        values = xr.DataArray(x, dims=("subject", "item"), name="m")
        low, high = cluster_bootstrap(values, resamples=200, seed=seed).m_ci.values
        held += low <= 0 <= high
    assert 0.88 * 200 <= held <= 0.985 * 200  # a little narrow with twenty clusters


def test_multiway_variance_is_the_formula_of_the_crossed_model() -> None:
    """Many draws of a crossed model: the mean estimate is the variance of the mean."""
    estimates, means = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(15, 20)) + rng.normal(size=(15, 1)) + 0.5 * rng.normal(size=(1, 20))
        values = xr.DataArray(x, dims=("subject", "item"))
        found = multiway_variance(values, values.mean(), ["subject", "item"], None)
        estimates.append(found.item())
        means.append(x.mean())
    exact = 1 / 15 + 0.25 / 20 + 1 / 300
    assert np.mean(estimates) == pytest.approx(exact, rel=0.1)
    assert np.var(means) == pytest.approx(exact, rel=0.2)
