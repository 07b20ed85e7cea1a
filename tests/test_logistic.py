"""Logistic regression: against statsmodels, a general optimiser and every small pattern."""

import sys
import warnings
from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from neurodyn.analysis.logistic import logistic_regression, mixed_logistic_regression
from neurodyn.analysis.logistic_fit import clustered, fit_logistic


def statsmodels():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("statsmodels.api")


def simulated(seed: int, rows: int = 300, groups: int = 12):
    draw = np.random.default_rng(seed)
    x = np.stack([np.ones(rows), draw.normal(size=rows), draw.random(rows) < 0.3], axis=1)
    cluster = draw.integers(groups, size=rows)
    eta = x @ [0.3, 1.0, -0.7] + draw.normal(size=groups)[cluster]
    return x, (draw.random(rows) < 1 / (1 + np.exp(-eta))).astype(float), cluster


@pytest.mark.parametrize("seed", range(4))
def test_coefficients_and_both_covariances_are_those_of_statsmodels(seed: int) -> None:
    sm = statsmodels()
    x, y, cluster = simulated(seed)
    plain = sm.Logit(y, x).fit(disp=0)
    robust = sm.Logit(y, x).fit(disp=0, cov_type="cluster", cov_kwds={"groups": cluster})
    found = fit_logistic(x, y)
    assert found.flag == 0
    assert np.allclose(found.coefficient, plain.params, atol=1e-8)
    assert np.allclose(found.covariance, plain.cov_params(), rtol=1e-6)
    assert np.isclose(found.log_likelihood, plain.llf, rtol=1e-12)
    sandwich = fit_logistic(x, y, clusters=cluster).covariance
    assert np.allclose(sandwich, robust.cov_params(), rtol=1e-6)
    assert not np.allclose(sandwich, found.covariance, rtol=0.05)


def test_graded_responses_and_weights_are_those_of_a_binomial_glm() -> None:
    sm = statsmodels()
    x, y, _ = simulated(7)
    y = np.clip(y * 0.8 + 0.1 * np.random.default_rng(0).random(len(y)), 0, 1)
    w = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    reference = sm.GLM(y, x, family=sm.families.Binomial(), freq_weights=w).fit()
    found = fit_logistic(x, y, weights=w)
    assert np.allclose(found.coefficient, reference.params, atol=1e-7)
    repeated = fit_logistic(np.repeat(x, w.astype(int), axis=0), np.repeat(y, w.astype(int)))
    assert np.allclose(found.coefficient, repeated.coefficient, atol=1e-9)
    assert np.allclose(found.covariance, repeated.covariance, atol=1e-9)


@pytest.mark.parametrize("ridge", [0.1, 3.0])
def test_penalised_fit_is_the_optimum_and_leaves_the_intercept_alone(ridge: float) -> None:
    x, y, _ = simulated(3, rows=80)

    def cost(beta):
        eta = x @ beta
        return -(y @ eta - np.logaddexp(0, eta).sum()) + ridge / 2 * (beta[1:] ** 2).sum()

    reference = minimize(cost, np.zeros(3), method="BFGS", options={"gtol": 1e-7}).x
    assert np.allclose(fit_logistic(x, y, ridge=ridge).coefficient, reference, atol=1e-5)


@pytest.mark.parametrize("places", [(0, 1, 2, 3, 4), (0, 0, 1, 1, 2), (5, -3, 5, 0, 0.1)])
def test_separation_is_found_for_exactly_the_patterns_that_have_it(places) -> None:
    """On a line, with an intercept: one response only, or all 0 on one side of all 1."""
    x = np.array(places, dtype=float)
    design = np.stack([np.ones(5), x], axis=1)
    for pattern in product((0.0, 1.0), repeat=5):
        y = np.array(pattern)
        low, high = x[y == 0], x[y == 1]
        apart = not len(low) or not len(high)
        apart = apart or low.max() <= high.min() or high.max() <= low.min()
        found = fit_logistic(design, y)
        assert found.flag == int(apart), pattern
        assert np.isnan(found.coefficient).all() == apart
        # a graded answer in the midst of it pins the plane down
        half = fit_logistic(np.vstack([design, [1, 1.5], [1, -8]]), np.r_[y, 0.5, 0.4])
        assert half.flag == 0
        penalised = fit_logistic(design, y, ridge=0.1)
        assert penalised.flag == (1 if len(set(pattern)) == 1 else 0)


@given(st.integers(0, 10**6))
def test_order_of_rows_and_swapping_the_responses(seed: int) -> None:
    x, y, cluster = simulated(seed, rows=60, groups=5)
    fit = fit_logistic(x, y, clusters=cluster, ridge=0.01)
    order = np.random.default_rng(seed).permutation(60)
    same = fit_logistic(x[order], y[order], clusters=9 - cluster[order], ridge=0.01)
    assert np.allclose(same.coefficient, fit.coefficient, atol=1e-7)
    assert np.allclose(same.covariance, fit.covariance, atol=1e-7)
    mirrored = fit_logistic(x, 1 - y, clusters=cluster, ridge=0.01)
    assert np.allclose(mirrored.coefficient, -fit.coefficient, atol=1e-7)


def test_clusters_of_one_row_are_the_robust_covariance_of_white() -> None:
    x, y, _ = simulated(2)
    fit = fit_logistic(x, y)
    p = 1 / (1 + np.exp(-x @ fit.coefficient))
    meat = sum((y[t] - p[t]) ** 2 * np.outer(x[t], x[t]) for t in range(len(y)))
    n, k = x.shape
    score = (y - p)[:, None] * x
    assert np.allclose(clustered(score, np.arange(n)), meat * n / (n - 1) * (n - 1) / (n - k))
    assert np.isnan(clustered(score, np.zeros(n))).all()


def trials(**changed) -> xr.Dataset:
    x, y, cluster = simulated(1)
    data = xr.Dataset(
        {
            "response": ("trial", y),
            "strength": ("trial", x[:, 1]),
            "grammatical": ("trial", x[:, 2] == 1),
            "subject": ("trial", cluster.astype(str)),
        }
    )
    return data.assign(**changed)


def test_dataset_front_names_counts_and_drops() -> None:
    data = trials()
    data.response[:5] = np.nan
    found = logistic_regression(data, "response", ["strength", "grammatical"])
    x, y, cluster = simulated(1)
    fit = fit_logistic(x[5:], y[5:], clusters=cluster[5:])
    assert found.term.values.tolist() == ["intercept", "strength", "grammatical"]
    assert np.allclose(found.coefficient, fit.coefficient)
    assert np.allclose(found.standard_error**2, np.diag(fit.covariance))
    assert found.rows == 295 and found.attrs["rows_left_out"] == 5
    assert found.attrs["clusters"] == 12 and found.attrs["provenance"] == "reconstruction"
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)


def test_errors_say_what_is_allowed() -> None:
    data = trials()
    with pytest.raises(ValueError, match="'length' is not a variable of the data; there are:"):
        logistic_regression(data, "response", ["length"])
    with pytest.raises(ValueError, match="subject must hold numbers"):
        logistic_regression(data, "response", ["subject"])
    with pytest.raises(TypeError, match="terms must be a list"):
        logistic_regression(data, "response", "strength")
    with pytest.raises(ValueError, match="linearly dependent"):
        logistic_regression(data.assign(twice=2 * data.strength), "response", ["strength", "twice"])
    with pytest.raises(ValueError, match="response has none at all"):
        logistic_regression(data.assign(response=data.response * np.nan), "response", ["strength"])
    with pytest.raises(ValueError, match="same one dimension"):
        logistic_regression(data.assign(z=("item", [1.0])), "response", ["z"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_logistic(np.ones((2, 1)), np.array([0.0, 2.0]))
    with pytest.raises(ValueError, match="must be .row, term."):
        fit_logistic(np.ones((2, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="ridge"):
        fit_logistic(np.ones((2, 1)), np.zeros(2), ridge=-1.0)
    with pytest.raises(ValueError, match="finite"):
        fit_logistic(np.full((2, 1), np.nan), np.zeros(2))
    assert fit_logistic(np.ones((0, 1)), np.zeros(0)).flag == 2


def test_random_effects_of_subjects_and_items_are_recovered() -> None:
    statsmodels()
    draw = np.random.default_rng(0)
    subject, item = (a.ravel() for a in np.meshgrid(np.arange(30), np.arange(40), indexing="ij"))
    kind = (item % 2).astype(float)
    eta = -0.5 + 1.2 * kind + draw.normal(0, 1.0, 30)[subject] + draw.normal(0, 0.5, 40)[item]
    data = xr.Dataset(
        {
            "response": ("trial", (draw.random(1200) < 1 / (1 + np.exp(-eta))).astype(float)),
            "grammatical": ("trial", kind),
            "subject": ("trial", subject.astype(str)),
            "item": ("trial", item.astype(str)),
        }
    )
    found = mixed_logistic_regression(data, "response", ["grammatical"])
    assert abs(found.coefficient.sel(term="grammatical") - 1.2) < 0.45  # items: 0.5 * 2 / sqrt(40)
    assert np.allclose(found.group_sd.sel(group_name=["subject", "item"]), [1.0, 0.5], atol=0.3)
    assert found.group_levels.values.tolist() == [30, 40]
    again = mixed_logistic_regression(data, "response", ["grammatical"])
    xr.testing.assert_identical(found, again)
    with pytest.raises(ValueError, match="0 and 1 only"):
        mixed_logistic_regression(data.assign(response=data.response / 2), "response", [])
    with pytest.raises(ValueError, match="groups must name"):
        mixed_logistic_regression(data, "response", [], groups=[])


def test_without_statsmodels_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.genmod.bayes_mixed_glm", None)
    with pytest.raises(ImportError, match=r'pip install "neurodyn\[behaviour\]"'):
        mixed_logistic_regression(trials(), "response", ["strength"], groups=["subject"])
