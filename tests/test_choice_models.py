"""Trial-level likelihood with lapses: against loops, general optimisation and known subjects."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, differential_evolution

from neurodyn.analysis.choice_models import (
    choice_cost,
    choice_likelihood,
    choice_probability,
    fit_choices,
    held_out_choices,
    held_out_rate,
)


def simulated(seed: int, trials: int, slope=1.2, intercept=0.4, lapse=0.1):
    draw = np.random.default_rng(seed)
    x = draw.normal(0, 2, trials)
    q = choice_probability(x, np.array([slope, intercept, lapse]))
    return x, (draw.random(trials) < q).astype(float)


@given(st.floats(0, 3), st.floats(-2, 2), st.floats(0.001, 0.9))
def test_probability_cost_and_gradient(slope: float, intercept: float, lapse: float) -> None:
    x, y = simulated(0, 30)
    parameters = np.array([slope, intercept, lapse])
    cost, gradient = choice_cost(parameters, x, y)
    total = 0.0
    for t in range(30):
        s = 1 / (1 + np.exp(-(slope * x[t] - intercept)))
        q = lapse / 2 + (1 - lapse) * s
        total -= np.log(q) if y[t] == 1 else np.log(1 - q)
    assert np.isclose(cost, total / 30)
    numeric = approx_fprime(parameters, lambda p: choice_cost(p, x, y)[0], 1e-7)
    assert np.allclose(gradient, numeric, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_fit_is_the_global_optimum(seed: int) -> None:
    x, y = simulated(seed, 250, lapse=0.2 * (seed % 2))
    found = fit_choices(x, y)
    reference = differential_evolution(
        lambda p: choice_cost(p, x, y)[0],
        [(0, 8), (-8, 8), (1e-6, 1)],
        seed=0,
        tol=1e-10,
    )
    assert choice_cost(found, x, y)[0] <= reference.fun + 1e-6


@pytest.mark.parametrize(
    "truth", [(1.0, 0.0, 0.2), (2.0, -1.0, 0.05), (0.5, 0.5, 0.1), (3.0, 1.0, 0.3)]
)
def test_slope_bias_and_lapse_are_recovered(truth) -> None:
    x, y = simulated(1, 60_000, *truth)
    found = fit_choices(x, y)
    assert np.allclose(found, truth, rtol=0.12, atol=0.04)


def test_evidence_in_other_units_changes_the_slope_alone() -> None:
    x, y = simulated(2, 400)
    one, ten = fit_choices(x, y), fit_choices(10 * x, y)
    assert np.allclose(one, ten * [10, 1, 1], rtol=1e-3, atol=1e-4)


@given(st.integers(0, 10**6), st.floats(-3, 1), st.floats(-13, 13))
def test_fit_is_never_worse_than_the_rate_alone(seed: int, power: float, middle: float) -> None:
    draw = np.random.default_rng(seed)
    x = middle + draw.normal(size=40) * 10**power * (seed % 4 > 0)  # sometimes constant
    y = (draw.random(40) < draw.random()).astype(float)
    p = y.mean()
    alone = -sum(np.log(p if v else 1 - p) for v in y) / 40
    assert choice_cost(fit_choices(x, y), x, y)[0] <= alone + 1e-4


def test_evidence_against_is_of_no_use_and_none_is_not_an_error() -> None:
    x, y = simulated(3, 400)
    against = fit_choices(-x, y)
    assert against[0] == 0
    assert np.isclose(choice_probability(x, against).mean(), y.mean(), atol=1e-3)
    constant = fit_choices(np.zeros(50), y[:50])
    assert np.isclose(choice_probability(np.zeros(1), constant)[0], y[:50].mean(), atol=1e-3)
    always = held_out_choices(x, np.ones(400), np.arange(400) % 5, 5)
    assert np.isfinite(always[:2]).all() and always[1] < 1e-3


def test_held_out_likelihood_never_sees_its_own_fold() -> None:
    x, y = simulated(4, 60)
    fold = np.arange(60) % 3
    total, rate = 0.0, 0.0
    for k in range(3):
        part = fit_choices(x[fold != k], y[fold != k])
        total += choice_cost(part, x[fold == k], y[fold == k])[0] * 20
        p = (y[fold != k].sum() + 0.5) / 41
        rate -= sum(np.log(p if v else 1 - p) for v in y[fold == k])
    found = held_out_choices(x, y, fold, 3)
    assert np.isclose(found[0], total / 60, atol=1e-4)
    assert found[1] < found[0]  # fitted to all trials it looks better
    assert np.isclose(held_out_rate(y, fold, 3), rate / 60)


def people(seed: int = 0, subjects: int = 3, trials: int = 300):
    """Subjects who follow network 0, with their own temperature, bias and lapses."""
    draw = np.random.default_rng(seed)
    strings = np.array([f"X{i}" for i in range(80)])
    output = 1 / (1 + np.exp(-draw.normal(0, 3, (2, 2, 80))))
    truth = np.array([(0.7, 0.5, 0.02), (1.5, 0.0, 0.2), (1.0, -1.0, 0.1)])[:subjects]
    item = draw.integers(80, size=(subjects, trials))
    x = np.log(output[0, 0, item] / (1 - output[0, 0, item]))
    temperature, bias, lapse = truth.T[..., None]
    q = lapse / 2 + (1 - lapse) / (1 + np.exp(-(x - bias) / temperature))
    y = (draw.random(q.shape) < q).astype(float)
    kinds = np.arange(80) % 2
    columns = {
        "subject": np.repeat([f"s{s}" for s in range(subjects)], trials),
        "item": strings[item].ravel(),
        "grammatical": kinds[item].ravel().astype(float),
        "response": y.ravel(),
        "correct": (y == kinds[item]).ravel().astype(float),
    }
    table = xr.Dataset({name: ("trial", values) for name, values in columns.items()})
    network = xr.Dataset(
        {"output": (("family", "seed", "item"), output)},
        {"family": ["true", "other"], "string": ("item", strings), "grammatical": ("item", kinds)},
    )
    return table, network, truth


def test_temperature_bias_and_lapse_of_subjects_are_recovered_by_the_right_network() -> None:
    trials, network, truth = people(trials=4000)
    found = choice_likelihood(trials, network.isel(seed=[0]), folds=2)
    right = found.sel(family="true").isel(seed=0)
    assert np.allclose(right.temperature, truth[:, 0], rtol=0.25)
    assert np.allclose(right.bias, truth[:, 1], atol=0.2)
    assert np.allclose(right.lapse, truth[:, 2], atol=0.07)
    assert np.allclose(right.temperature * right.inverse_temperature, 1)
    assert (right.gain > 0.05).all()
    # the likelihood under the truth, whose entropy no model beats but by chance
    x = np.log(network.output[0, 0] / (1 - network.output[0, 0])).values
    place = {string: i for i, string in enumerate(network.string.values)}
    for s in range(3):
        own = trials.isel(trial=slice(4000 * s, 4000 * (s + 1)))
        z = x[[place[i] for i in own["item"].values]]
        temperature, bias, lapse = truth[s]
        exact = np.array([1 / temperature, bias / temperature, lapse])
        assert abs(right.nll[s] - choice_cost(exact, z, own.response.values)[0]) < 0.003
    assert np.allclose(found.pseudo_r2, 1 - found.nll / np.log(2))
    # another network adds nothing to the subject's own rate
    assert (abs(found.gain.sel(family="other")) < 0.01).all()


def test_dims_counts_and_what_is_left_out() -> None:
    trials, network, _ = people(trials=60)
    trials.response[:7] = np.nan
    few = trials.isel(trial=slice(0, 129))  # 9 trials of the last subject
    found = choice_likelihood(few, network)
    assert found.nll.dims == ("family", "seed", "subject")
    assert found.trials.values.tolist() == [53, 60, 9]
    assert np.isnan(found.nll.sel(subject="s2")).all()
    assert np.isnan(found.nll_intercept.sel(subject="s2"))
    assert np.isfinite(found.nll.sel(subject=["s0", "s1"])).all()
    assert found.attrs["trials_without_response"] == 7
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)
    xr.testing.assert_identical(found, choice_likelihood(few, network))
    other = choice_likelihood(few, network, seed=1)
    assert not np.allclose(other.nll, found.nll, equal_nan=True)
    assert np.allclose(other.lapse, found.lapse, equal_nan=True)


def test_yoked_outputs_equal_those_looked_up_by_string() -> None:
    trials, network, _ = people(trials=60)
    place = {string: i for i, string in enumerate(network.string.values)}
    columns = [place[string] for string in trials["item"].values]
    output = network.output.values[..., columns]
    yoked = trials[["item", "grammatical"]].assign(output=(("family", "seed", "trial"), output))
    one, two = choice_likelihood(trials, network), choice_likelihood(trials, yoked)
    assert np.allclose(one.nll, two.nll)


def test_a_certain_network_that_errs_is_finite() -> None:
    trials, network, _ = people(trials=60)
    certain = network.assign(output=network.output.round())
    found = choice_likelihood(trials, certain)
    assert np.isfinite(found.nll).all() and np.isfinite(found.nll_fitted).all()


def test_refusals() -> None:
    trials, network, _ = people(trials=20)
    with pytest.raises(ValueError, match="folds"):
        choice_likelihood(trials, network, folds=1)
    with pytest.raises(ValueError, match="needs choices"):
        choice_likelihood(trials.assign(response=trials.response * np.nan), network)
    with pytest.raises(ValueError, match="1, 0 or NaN"):
        choice_likelihood(trials.assign(response=trials.response / 2), network)
