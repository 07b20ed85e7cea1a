import json

import numpy as np
import pytest
import xarray as xr

import neurodyn as nd
from neurodyn.models import sweep_grammar as module
from neurodyn.models.grammar_nets import width_for
from neurodyn.models.grammar_optimisers import learning_rates
from neurodyn.models.sweep_grammar import sweep_grammar
from neurodyn.models.train_grammar import train_nets
from neurodyn.stimuli.grammar_items import stimulus_set

SMALL = {
    "grammars": ("A", "CF"), "families": ("recurrent", "feedforward"), "budgets": (600, 1400),
    "layers": (2, 3), "learning_rates": 3, "seeds": 2, "train": 40, "validation": 10, "test": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, sweep_grammar(out=folder, **SMALL)


def test_every_combination_is_there_and_labelled(swept):
    folder, result = swept
    axes = ("grammar", "family", "budget", "layers", "learning_rate", "seed")
    assert result.test_accuracy.dims == result.validation_accuracy.dims == axes
    assert result.test_accuracy.shape == (2, 2, 2, 2, 3, 2)
    assert result.length_accuracy.dims == (*axes, "length")
    assert result.test_accuracy.notnull().all()
    for family in SMALL["families"]:
        assert result.rate.sel(family=family).values.tolist() == learning_rates(family, 3)
    width = result.width.sel(grammar="CF", family="feedforward", budget=1400, layers=3)
    assert int(width) == width_for("feedforward", 3, 1400, 10, 12)
    for variable in result.variables.values():
        if variable.dtype.kind not in "UO":
            assert {"long_name", "units"} <= set(variable.attrs)
    assert result.attrs["provenance"] == "reconstruction"
    xr.testing.assert_identical(nd.load(folder / "sweep-agl.nc"), result)


def test_its_numbers_are_those_of_networks_trained_without_it(swept):
    result = swept[1]
    where = {"grammar": "CF", "family": "recurrent", "budget": 600, "layers": 2}
    for seed in (0, 1):
        data = stimulus_set("CF", train=40, validation=10, test=20, seed=seed)
        rate = learning_rates("recurrent", 3)[2]
        answers = train_nets(
            "recurrent", data, layers=2, budget=600, learning_rate=rate, seeds=[seed]
        )
        right = (answers.output.values.ravel() >= 0.5) == answers.grammatical.values
        split, length = answers.split.values, answers.length.values
        here = result.sel(where | {"learning_rate": 2, "seed": seed})
        for name in ("test", "validation"):
            assert abs(float(here[f"{name}_accuracy"]) - right[split == name].mean()) < 1e-6
        count = result.length_count.sel(grammar="CF", seed=seed)
        for n in result.length.values:
            chosen = (split == "test") & (length == n)
            assert int(count.sel(length=n)) == chosen.sum()
            found = float(here.length_accuracy.sel(length=n))
            assert np.isnan(found) if not chosen.any() else abs(found - right[chosen].mean()) < 1e-6


def test_an_interrupted_sweep_goes_on_where_it_stopped(swept, tmp_path, monkeypatch):
    real, made = module.train_cell, []

    def interrupted(**place):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(tuple(place[k] for k in ("grammar", "family", "budget", "layers")))
        return real(**place)

    monkeypatch.setattr(module, "WORKERS", 1)
    monkeypatch.setattr(module, "train_cell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep_grammar(out=tmp_path, **SMALL)
    assert len(list((tmp_path / "cells").iterdir())) == 5
    first = list(made)
    (tmp_path / "cells" / "A-recurrent-600-2.nc").write_bytes(b"damaged")

    def counted(**place):
        made.append(tuple(place[k] for k in ("grammar", "family", "budget", "layers")))
        return real(**place)

    monkeypatch.setattr(module, "train_cell", counted)
    result = sweep_grammar(out=tmp_path, **SMALL)
    assert len(made) == 16 + 1 and len(set(made)) == 16
    assert set(made[5:]) & set(first) == {("A", "recurrent", 600, 2)}
    xr.testing.assert_identical(result, swept[1])


def test_the_summary_chooses_in_validation(swept, capsys):
    result = swept[1].copy(deep=True)
    result["validation_accuracy"][:] = 0.5
    result["test_accuracy"][:] = 0.9
    result["validation_accuracy"][:, :, :, 1, 2] = 0.6
    result["test_accuracy"][:, :, :, 1, 2] = 0.7
    result["test_accuracy"][0, 0, 0, 0, 0, 0] = np.nan
    text = module.summary(result)
    assert text.count("0.700") == 8 and "0.900" not in text
    assert "2 training seeds (no subjects)" in text and "1 of 96 networks diverged" in text


def test_survivors_are_not_chosen(swept):
    result = swept[1].copy(deep=True)
    result["validation_accuracy"][:], result["test_accuracy"][:] = 0.6, 0.7
    best = {"layers": 0, "learning_rate": 1}  # but of its two networks, one diverged
    result["validation_accuracy"][best], result["test_accuracy"][best] = 0.9, 0.95
    for name in ("validation_accuracy", "test_accuracy"):
        result[name][best | {"seed": 1}] = np.nan
    text = module.summary(result)
    assert text.count("0.700") == 8 and "0.950" not in text
    assert "8 of 96 networks diverged" in text
    none_left = {"grammar": 1, "family": 0, "budget": 0, "seed": 0}
    for name in ("validation_accuracy", "test_accuracy"):
        result[name][none_left] = np.nan
    text = module.summary(result)
    assert text.count("0.700") == 7 and text.count("nan") == 1 + text.count("(nan: ")


def test_an_output_of_a_half_is_yes(monkeypatch):
    real = module.train_nets

    def undecided(*args, **options):
        answers = real(*args, **options)
        yes = answers.grammatical.broadcast_like(answers.output)
        return answers.assign(output=answers.output.copy(data=yes.values * 0.5))

    monkeypatch.setattr(module, "train_nets", undecided)
    cell = module.train_cell(
        grammar="A", family="recurrent", budget=600, layers=1, seeds=[0], train=4, validation=4,
        test=4, epochs=1, batch_size=2, overlap="allowed", learning_rates=1, neurodyn_version="",
    )  # fmt: skip
    assert (cell.test_accuracy == 1).all() and (cell.validation_accuracy == 1).all()


def test_a_cell_is_found_again_only_with_its_own_settings(tmp_path):
    one = SMALL | {
        "grammars": ("A",),
        "families": ("recurrent",),
        "budgets": (600,),
        "layers": (2,),
    }
    a = sweep_grammar(out=tmp_path, **one)
    b = sweep_grammar(out=tmp_path, **one, seed=5)
    assert b.seed.values.tolist() == [5, 6]
    assert json.loads(b.attrs["config"])["seeds"] == [5, 6]
    assert not np.array_equal(a.test_accuracy.values, b.test_accuracy.values)


def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train_cell", lambda **_: pytest.fail("something is trained"))
    for message, change in (
        ("grammar 'Z' is not one of A, B", {"grammars": ("A", "Z")}),
        ("family 'tree' is not one of", {"families": ("tree",)}),
        ("budget must be a whole number of parameters", {"budgets": (10,)}),
        ("layers must be one or more, all different", {"layers": (2, 2)}),
        ("layers must be a whole number from 1 up, got 0", {"layers": (0,)}),
        ("seeds must be a whole number from 1 up, got 0", {"seeds": 0}),
        ("seeds must be a whole number from 1 up, got 2.5", {"seeds": 2.5}),
        ("seed must be a whole number from 0 up, got 0.5", {"seed": 0.5}),
        ("budget must be .* 149 or more for 2 layers and 12 letters, got 130", {
            "grammars": ("A", "saffran"), "families": ("feedforward",), "budgets": (130,)}),
        ("budget must be .* 4 letters, got 30", {"grammars": ("A",), "budgets": (30,)}),
        ("train must be even", {"train": 41}),
        ("RQ has 24 different strings", {"grammars": ("A", "RQ"), "overlap": "disjoint"}),
        ("learning_rates must be a whole number from 1 up, got 0", {"learning_rates": 0}),
        ("overlap 'some' is not one of", {"overlap": "some"}),
        ("seed must be a whole number from 0 up, got -1", {"seed": -1}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            sweep_grammar(out=tmp_path, **SMALL | change)
    assert not list(tmp_path.iterdir())
