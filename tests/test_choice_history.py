"""Choice history: known habits recovered, the trial before found whatever the order of rows."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.analysis.choice_history import TERMS, choice_history, history_design
from neurodyn.analysis.logistic_fit import fit_logistic


def player(weights, trials: int, seed: int = 0, subject: str = "a") -> xr.Dataset:
    """A subject whose log odds are the weights times the regressors."""
    draw = np.random.default_rng(seed)
    kind = (draw.random(trials) < 0.5).astype(float)
    s, y = 2 * kind - 1, np.zeros(trials)
    r = o = 0.0
    for t in range(trials):
        eta = np.dot(weights, [1, s[t], r, o, r * o])
        y[t] = draw.random() < 1 / (1 + np.exp(-eta))
        r = 2 * y[t] - 1
        o = r * s[t]
    columns = {
        "subject": np.full(trials, subject),
        "session": np.full(trials, ""),
        "phase": np.full(trials, "implicit"),
        "position": np.arange(1.0, trials + 1),
        "grammatical": kind,
        "response": y,
        "item": np.array([f"X{int(k)}" for k in kind]),
    }
    return xr.Dataset({name: ("trial", values) for name, values in columns.items()})


@pytest.mark.parametrize(
    "weights", [(0.2, 0.8, 0, 0, 0), (0, 0.5, 0.6, 0, 0.4), (-0.3, 0.3, -0.5, 0.3, 0.9)]
)
def test_weights_are_recovered_within_their_standard_error(weights) -> None:
    found = choice_history(player(weights, 12_000), ridge=0).isel(subject=0)
    assert found.term.values.tolist() == list(TERMS)
    assert (found.weight_error < 0.03).all()
    assert (abs(found.weight - np.array(weights)) < 4 * found.weight_error).all()
    assert found.trials == 11_999


def test_design_against_a_loop_with_sessions_gaps_and_missing_responses() -> None:
    one, two = player((0, 1, 0, 0, 0), 40), player((0, 1, 0, 0, 0), 40, 1, "b")
    trials = xr.concat([one, two], "trial")
    trials["session"] = ("trial", np.repeat(["x", "y", "x", "y"], 20))
    trials["position"] = ("trial", np.tile(np.arange(1.0, 21), 4))
    trials.response[7] = np.nan
    trials = trials.isel(trial=np.delete(np.arange(80), [12, 50]))
    order = np.random.default_rng(0).permutation(78)
    trials = trials.isel(trial=order)
    rows = {
        (str(trials.subject[t].item()), str(trials.session[t].item()), float(trials.position[t])): t
        for t in range(78)
    }
    found = choice_history(trials, ridge=0.1)
    for who in ("a", "b"):
        x, y = [], []
        for (subject, session, place), t in rows.items():
            before = rows.get((subject, session, place - 1))
            if subject != who or before is None:
                continue
            now, then = float(trials.response[t]), float(trials.response[before])
            if np.isnan(now) or np.isnan(then):
                continue
            s, lag = 2 * float(trials.grammatical[t]) - 1, 2 * then - 1
            right = 1 if then == trials.grammatical[before] else -1
            x.append([1, s, lag, right, lag * right])
            y.append(now)
        cell = found.sel(subject=who)
        assert cell.trials == len(y)
        fit = fit_logistic(np.array(x, dtype=float), np.array(y), ridge=0.1)
        assert np.allclose(cell.weight, fit.coefficient)
        assert np.allclose(cell.weight_error, np.sqrt(np.diag(fit.covariance)))


@given(st.integers(0, 10**6))
def test_graded_regressors_are_the_mean_of_drawn_ones(seed: int) -> None:
    draw = np.random.default_rng(seed)
    kind, chance = (draw.random(3) < 0.5).astype(float), draw.random(3)
    previous = np.array([-1, 0, 1])
    mean = np.zeros((3, 5))
    for code in range(8):
        y = np.array([(code >> k) & 1 for k in range(3)], dtype=float)
        mean += np.prod(np.where(y == 1, chance, 1 - chance)) * history_design(kind, y, previous)
    graded = history_design(kind, chance, previous)
    assert np.allclose(graded[1:], mean[1:])
    assert np.isnan(graded[0, 2:]).all()


def test_networks_graded_and_drawn() -> None:
    trials = player((0, 1, 0, 0, 0), 6000)
    s = 2 * trials.grammatical.values - 1
    lag = np.r_[0, s[:-1]]
    chance = 1 / (1 + np.exp(-(0.3 + 1.0 * s + 0.5 * lag)))  # learns from the feedback before
    network = trials[["item"]].assign(output=(("seed", "trial"), np.stack([chance, 1 - chance])))
    graded = choice_history(trials, network)
    assert graded.weight.dims == ("seed", "subject", "term")
    expected = [0.3, 1.0, 0, 0, 0.5]
    assert np.allclose(graded.weight[0, 0], expected, atol=0.01)
    assert np.allclose(graded.weight[1, 0], np.negative(expected), atol=0.01)
    drawn = choice_history(trials, network, sample_seed=3)
    error = drawn.weight_error[0, 0]
    assert (abs(drawn.weight[0, 0] - np.array(expected)) < 4 * error).all()
    xr.testing.assert_identical(drawn, choice_history(trials, network, sample_seed=3))
    assert drawn.attrs["responses"] == "drawn with seed 3"
    for variable in drawn.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)


def test_separable_subjects_are_flagged_or_shrunk() -> None:
    perfect = player((0, 0, 0, 0, 0), 60)
    perfect["response"] = perfect.grammatical
    flagged = choice_history(perfect, ridge=0)
    # who is always right has no outcome to go by: it is constant
    assert flagged.flag.item() == 2 and np.isnan(flagged.weight).all()
    alternator = player((0, 0, 0, 0, 0), 60)
    alternator["response"] = ("trial", np.arange(60) % 2.0)
    found = choice_history(alternator, ridge=0)
    assert found.flag.item() == 1 and np.isnan(found.weight).all()
    shrunk = choice_history(alternator, ridge=0.1).isel(subject=0)
    assert shrunk.flag == 0 and shrunk.weight.idxmin("term") == "previous_response"
    assert shrunk.weight.sel(term="previous_response") < -2


def test_phase_selects_and_refusals_say_why() -> None:
    trials = player((0, 1, 0, 0, 0), 60)
    trials["phase"] = ("trial", ["implicit"] * 40 + ["memory"] * 20)
    # the first trial of a phase has none before it
    assert choice_history(trials, phase="memory").trials.item() == 19
    assert choice_history(trials).trials.item() == 39 + 19
    with pytest.raises(ValueError, match=r"no trial has phase='test'; there are: \['implicit'"):
        choice_history(trials, phase="test")
    with pytest.raises(ValueError, match="needs position over"):
        choice_history(trials.drop_vars("position"))
    with pytest.raises(ValueError, match="position of 60 trials is unknown"):
        choice_history(trials.assign(position=trials.position * np.nan))
    with pytest.raises(ValueError, match="two trials with position 1 in session"):
        choice_history(trials.assign(position=xr.ones_like(trials.position)))
    with pytest.raises(ValueError, match="output on each of the 60 trials"):
        short = trials[["item"]].assign(output=("trial", np.full(60, 0.5))).isel(trial=slice(9))
        choice_history(trials, short)
