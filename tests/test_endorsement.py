"""Endorsement item by item: against loops over trials, statsmodels and a known drift."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.analysis.endorsement import class_centred, endorsement, log_linear_rate
from neurodyn.analysis.item_table import item_outputs, item_responses, outputs_by_trial

STRINGS = ["XX", "VJ", "XVJ", "TVX", "VXTV", "JJ", "XXVT"]


def table(seed: int = 0, trials: int = 120, subjects: int = 5) -> xr.Dataset:
    """Random trials, some without a response, one string never seen by some subjects."""
    draw = np.random.default_rng(seed)
    item = draw.integers(len(STRINGS), size=trials)
    subject = draw.integers(subjects, size=trials)
    response = (draw.random(trials) < 0.3 + 0.4 * (item % 2)).astype(float)
    response[draw.random(trials) < 0.1] = np.nan
    kind = (item % 2).astype(float)
    columns = {
        "subject": subject.astype(str),
        "item": np.array(STRINGS)[item],
        "grammatical": kind,
        "response": response,
        "correct": np.where(np.isnan(response), np.nan, response == kind),
        "phase": np.where(draw.random(trials) < 0.7, "implicit", "memory"),
        "block": draw.integers(1, 5, size=trials).astype(float),
        "position": np.arange(1.0, trials + 1),
        "grammar": np.full(trials, "A"),
    }
    return xr.Dataset({name: ("trial", values) for name, values in columns.items()})


def answers_of(trials: xr.Dataset, name: str, subject: str, item: str) -> list[float]:
    return [
        float(trials[name][t])
        for t in range(trials.sizes["trial"])
        if trials.subject[t] == subject
        and trials["item"][t] == item
        and not np.isnan(trials[name][t])
    ]


def test_table_by_subject_and_string_is_that_of_a_loop() -> None:
    trials = table()
    found = item_responses(trials)
    for s in found.subject.values:
        for i in found["item"].values:
            cell = found.sel(subject=s, item=i)
            for name, count in (("response", "count"), ("correct", "correct_count")):
                seen = answers_of(trials, name, s, i)
                assert cell[count] == len(seen)
                mean = np.mean(seen) if seen else np.nan
                assert np.allclose(cell[name], mean, equal_nan=True)
    assert set(found["item"].values) == set(trials["item"].values)
    assert found.attrs["provenance"] == "reconstruction"
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)


def test_phase_and_block_select() -> None:
    trials = table()
    kept = (trials.phase == "implicit") & trials.block.isin([2, 3])
    expected = item_responses(trials.isel(trial=kept.values))
    found = item_responses(trials, phase="implicit", block=[2, 3])
    xr.testing.assert_equal(found, expected)
    assert found.attrs["trials"] == int(kept.sum())
    xr.testing.assert_equal(
        item_responses(trials, phase=["implicit", "memory"]), item_responses(trials)
    )


def test_rate_log_odds_and_centring_against_a_loop() -> None:
    trials = table(1)
    found = endorsement(trials)
    odds = {}
    for i in STRINGS:
        seen = [a for s in set(trials.subject.values) for a in answers_of(trials, "response", s, i)]
        rate = (sum(seen) + 0.5) / (len(seen) + 1)
        assert np.isclose(found.rate.sel(item=i), rate)
        assert found["count"].sel(item=i) == len(seen)
        odds[i] = np.log(rate / (1 - rate))
        assert np.isclose(found.logit.sel(item=i), odds[i])
    for i in STRINGS:
        same = [odds[j] for j in STRINGS if STRINGS.index(j) % 2 == STRINGS.index(i) % 2]
        assert np.isclose(found.centred.sel(item=i), odds[i] - np.mean(same))
    assert found.attrs["subjects"] == 5
    # the same from the table by subject and string
    xr.testing.assert_allclose(endorsement(item_responses(trials)), found)


def test_networks_are_matched_by_string_and_counted_as_seeds() -> None:
    draw = np.random.default_rng(0)
    output = draw.random((2, 3, 5))
    strings = ["VJ", "XX", "VJ", "TVX", "XX"]
    network = xr.Dataset(
        {"output": (("family", "seed", "item"), output)},
        {
            "string": ("item", strings),
            "grammatical": ("item", [1, 0, 1, 1, 0]),
            "family": ["recurrent", "feedforward"],
        },
    )
    found = item_outputs(network)
    assert found["item"].values.tolist() == ["TVX", "VJ", "XX"]
    assert np.allclose(found.output.sel(item="VJ"), output[..., [0, 2]].mean(-1))
    assert found.repeats.values.tolist() == [1, 2, 2]
    assert found.grammatical.values.tolist() == [1, 1, 0]
    rate = endorsement(network).rate
    assert rate.dims == ("family", "item")
    expected = (output[1, :, 3].sum() + 0.5) / 4
    assert np.isclose(rate.sel(item="TVX", family="feedforward"), expected)
    # without seeds it is one network
    one = endorsement(network.isel(seed=0))
    assert np.allclose(one.rate.sel(item="TVX"), (output[:, 0, 3] + 0.5) / 2)
    assert one["count"].values.tolist() == [1, 1, 1]


@pytest.mark.parametrize("adjust", ["block", "position"])
def test_adjustment_is_a_logistic_regression_taken_out_on_the_scale_of_log_odds(adjust) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sm = pytest.importorskip("statsmodels.api")
    trials = table(2, trials=400)
    trials = trials.isel(trial=np.isfinite(trials.response.values))
    x, kind, y = (trials[n].values for n in (adjust, "grammatical", "response"))
    z = (x - x.mean()) / x.std()
    design = np.stack([1 - kind, kind, z * (1 - kind), z * kind], axis=1)
    fit = sm.Logit(y, design).fit(disp=0)
    expected, odds = fit.predict(design), np.log
    found = endorsement(trials, adjust=adjust)
    for i in STRINGS:
        own = trials["item"].values == i
        n = own.sum()
        seen, guess = (y[own].sum() + 0.5) / (n + 1), (expected[own].sum() + 0.5) / (n + 1)
        level = fit.params[int(kind[own][0])]
        value = odds(seen / (1 - seen)) - odds(guess / (1 - guess)) + level
        assert np.isclose(found.logit.sel(item=i), value, atol=2e-3)  # the penalty of 0.01
        assert np.isclose(found.rate.sel(item=i), 1 / (1 + np.exp(-value)), atol=1e-3)
    assert found.attrs["adjust"] == adjust


def test_adjustment_removes_a_drift_that_makes_items_look_different() -> None:
    """All strings alike; those shown late are endorsed more, as everything is late."""
    draw = np.random.default_rng(5)
    subjects, length = 60, 40
    position = np.tile(np.arange(1.0, length + 1), subjects)
    late = draw.random(len(position)) < position / length
    item = np.where(late, draw.integers(0, 4, len(position)), draw.integers(4, 8, len(position)))
    chance = 1 / (1 + np.exp(-(position - length / 2) / 8))
    ones = np.ones(len(position))
    columns = {
        "subject": np.repeat(np.arange(subjects), length).astype(str),
        "item": np.array([f"X{i}" for i in item]),
        "grammatical": ones,
        "correct": ones,
        "position": position,
        "response": (draw.random(len(position)) < chance).astype(float),
    }
    trials = xr.Dataset({name: ("trial", values) for name, values in columns.items()})
    raw, adjusted = endorsement(trials).centred, endorsement(trials, adjust="position").centred
    error = 1 / np.sqrt(len(position) / 8 * 0.2)  # of log odds
    assert raw.std() > 5 * error
    assert adjusted.std() < 2 * error


@given(st.integers(0, 10**6))
def test_order_and_names_of_subjects_do_not_matter(seed: int) -> None:
    trials = table(seed, trials=60)
    order = np.random.default_rng(seed).permutation(60)
    other = trials.isel(trial=order)
    other["subject"] = ("trial", np.array([f"s{9 - int(s)}" for s in other.subject.values]))
    for adjust in (None, "position"):
        a, b = endorsement(trials, adjust=adjust), endorsement(other, adjust=adjust)
        xr.testing.assert_allclose(a, b)
    # saying the opposite turns the sign
    opposite = trials.assign(response=1 - trials.response)
    assert np.allclose(endorsement(opposite).centred, -endorsement(trials).centred)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=9), st.floats(-3, 3), st.floats(-3, 3))
def test_centring_forgets_the_level_of_each_class(values, up: float, down: float) -> None:
    v, kinds = np.array(values), np.arange(len(values)) % 2
    centred = class_centred(v, kinds)
    assert np.allclose(centred, class_centred(v + np.where(kinds == 1, up, down), kinds))
    assert np.allclose([centred[kinds == 0].mean(), centred[kinds == 1].mean()], 0)


def test_unknown_classes_and_missing_values() -> None:
    centred = class_centred(np.array([[1.0, 2, 9], [np.nan, 2, 9]]), np.array([1.0, 1, np.nan]))
    assert np.allclose(centred, [[-0.5, 0.5, np.nan], [np.nan, 0, np.nan]], equal_nan=True)
    assert np.isnan(log_linear_rate(np.array(0.0), np.array(0.0)))


def test_refusals_say_why() -> None:
    trials = table()
    nameless = trials.assign(item=("trial", np.full(120, "")))
    with pytest.raises(ValueError, match="none of the 120 trials names its item.*need the string"):
        endorsement(nameless)
    half = trials.copy(deep=True)
    half["item"][:10] = ""
    assert item_responses(half).attrs["trials_without_item"] == 10
    with pytest.raises(ValueError, match="trials need item over"):
        item_responses(trials.drop_vars("item"))
    with pytest.raises(ValueError, match=r"no trial has phase='test'.*implicit"):
        item_responses(trials, phase="test")
    with pytest.raises(ValueError, match="do not say their block"):
        item_responses(trials.drop_vars("block"), block=1)
    with pytest.raises(ValueError, match=r"several grammars \(A, B\)"):
        item_responses(trials.assign(grammar=("trial", ["A"] * 60 + ["B"] * 60)))
    with pytest.raises(ValueError, match="grammatical and ungrammatical at once"):
        item_responses(trials.assign(grammatical=("trial", np.arange(120) % 2)))
    with pytest.raises(ValueError, match="1, 0 or NaN"):
        item_responses(trials.assign(grammatical=trials.grammatical + 0.5))
    with pytest.raises(ValueError, match="adjust must be"):
        item_responses(trials, adjust="length")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the position of every trial"):
        item_responses(trials.assign(position=trials.position * np.nan), adjust="position")
    with pytest.raises(ValueError, match="from trials only"):
        endorsement(item_responses(trials), phase="implicit")
    with pytest.raises(ValueError, match="or what item_responses makes"):
        endorsement(xr.Dataset({"x": 1.0}))


def test_bad_outputs_are_refused() -> None:
    good = xr.Dataset(
        {"output": (("seed", "item"), [[0.2, 0.7]])},
        {"string": ("item", ["XX", "VJ"]), "grammatical": ("item", [1, 0])},
    )
    with pytest.raises(ValueError, match="between 0 and 1"):
        item_outputs(good.assign(output=good.output * 2))
    with pytest.raises(ValueError, match="between 0 and 1"):
        item_outputs(good.assign(output=good.output * np.nan))
    with pytest.raises(ValueError, match="'string' along it"):
        item_outputs(good.drop_vars("string"))
    with pytest.raises(ValueError, match="need `grammatical`"):
        item_outputs(good.drop_vars("grammatical"))
    with pytest.raises(ValueError, match="need `output`"):
        item_outputs(good.rename(output="p"))
    with pytest.raises(ValueError, match="dimension item or trial"):
        item_outputs(good.rename(item="sample"))
    with pytest.raises(ValueError, match="networks have no phase"):
        endorsement(good, phase="test")
    with pytest.raises(ValueError, match="share no string"):
        outputs_by_trial(table(), good.assign_coords(string=("item", ["A", "B"])))


def test_outputs_find_their_trials() -> None:
    trials = table()
    network = xr.Dataset(
        {"output": (("item", "seed"), [[0.1, 0.2], [0.3, 0.4]])},
        {"string": ("item", ["VJ", "XX"]), "grammatical": ("item", [1, 0])},
    )
    chosen, outputs = outputs_by_trial(trials, network, phase="implicit")
    assert outputs.dims == ("seed", "trial")
    known = {"VJ": [0.1, 0.2], "XX": [0.3, 0.4]}
    wanted = [s for s, p in zip(trials["item"].values, trials.phase.values, strict=True)
              if s in known and p == "implicit"]  # fmt: skip
    assert chosen["item"].values.tolist() == wanted
    assert np.allclose(outputs.T, [known[s] for s in wanted])
    yoked = trials[["item", "grammatical"]].assign(output=("trial", np.linspace(0, 1, 120)))
    chosen, outputs = outputs_by_trial(trials, yoked, block=2)
    assert np.allclose(outputs[0], np.linspace(0, 1, 120)[trials.block.values == 2])
    with pytest.raises(ValueError, match="same order"):
        outputs_by_trial(trials, yoked.isel(trial=slice(None, None, -1)))
