"""The study of artificial grammars, small: what it writes, resumes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurodyn as nd
from neurodyn.models import simulated_participants
from neurodyn.studies.agl import agl

TINY = {
    "grammars": ("A",), "seeds": 2, "subjects": 4, "yoked_seeds": 2, "learning_rates": 2,
    "epochs": (1,), "batch": (15,), "resamples": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("agl")
    return out, agl(out=out, **TINY)


def test_what_is_written(study):
    out, result = study
    names = {path.name for path in out.iterdir()}
    figures = {"curves", "lengths", "similarity", "advantage", "grammar-A"}
    pictures = {f"{name}.{kind}" for name in figures for kind in ("png", "svg")}
    assert names == pictures | {"agl.nc", "summary.md", "cells"}
    stored = nd.load(out / "agl.nc")
    assert isinstance(stored, xr.DataTree)
    assert set(stored.children) == {
        "networks", "complexity", "claims", "curves", "lengths", "compare", "trials",
    }  # fmt: skip
    xr.testing.assert_identical(stored["networks"].to_dataset(), result["networks"].to_dataset())
    assert json.loads(stored.attrs["config"])["subjects"] == 4
    assert stored.attrs["people"] == "simulated" and stored.attrs["provenance"] == "reconstruction"
    page = " ".join((out / "summary.md").read_text(encoding="utf-8").split())
    assert "People are simulated" in page and "nothing here is about humans" in page


def test_accuracies_can_be_found_again_from_the_cells(study):
    out, result = study
    networks = result["networks"].to_dataset()
    for family in ("feedforward", "recurrent", "continuous"):
        kept = nd.load(out / "cells" / f"A_{family}_1epochs_batch15.nc")
        at = networks.sel(grammar="A", family=family, epochs=1, batch=15)
        np.testing.assert_array_equal(at.accuracy, kept.accuracy)
        best = kept.validation.mean("seed").argmax("learning_rate").item()
        assert at.learning_rate.item() == kept.learning_rate.values[best]
    ten = result["complexity"].to_dataset()
    assert ten.sizes["grammar"] == 10
    np.testing.assert_array_equal(
        ten.accuracy.sel(grammar="A", epochs=1),
        networks.accuracy.sel(grammar="A", epochs=1, batch=15, family=ten.family),
    )


def test_the_validation_strings_choose_and_the_test_strings_measure(study):
    """The chosen rate's test accuracy is that of 200 strings: a multiple of 1/200."""
    _, result = study
    counts = result["networks"].to_dataset().accuracy.sel(family="recurrent") * 200
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)


def test_people_and_learners_share_their_trials(study):
    _, result = study
    trials = result["trials"].to_dataset()
    assert trials.sizes["trial"] == 4 * 480
    assert trials.output.dims == ("family", "seed", "trial")
    curves = result["curves"].to_dataset()
    assert curves.agent.values.tolist()[0] == "people" and "twin" not in curves.agent.values
    last = trials.isel(trial=(trials.position.values > 440) & (trials.position.values <= 480))
    assert curves.accuracy.sel(grammar="A", agent="people", n_seen=500).item() == pytest.approx(
        last.correct.values.mean()
    )
    truth = trials.output.sel(family="truth", seed=0)
    np.testing.assert_array_equal(truth, trials.truth)
    compared = result["compare"].to_dataset()
    assert json.loads(compared.attrs["excluded_blocks"]) == [8.0]
    assert compared.trials.item() == 4 * 420


def test_the_same_command_goes_on_from_its_cells(study):
    out, result = study
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    next(iter(before)).unlink()
    again = agl(out=out, **TINY)
    after = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert sum(after[path] != before[path] for path in before) == 1
    for name in ("networks", "compare", "claims"):
        xr.testing.assert_identical(again[name].to_dataset(), result[name].to_dataset())


def test_people_of_ones_own(study, tmp_path: Path):
    """A BIDS folder in, the same numbers as from the table it was written from."""
    out, _ = study
    items = nd.stimuli.stimulus_set(
        nd.stimuli.grammar.grammar("A"), train=480, validation=2, test=2
    )
    people = simulated_participants(items, subjects=4, seed=5).drop_vars(
        ("truth", "true_d_prime", "true_item_effect")
    )
    people["agent"] = people.agent.copy(data=np.full(people.sizes["trial"], "human"))
    nd.analysis.write_bids(people.assign_attrs(agent="human"), tmp_path / "bids")
    result = agl(out=out, humans=tmp_path / "bids", **TINY)
    assert result.attrs["people"] == "human"
    assert "truth" not in result["compare"].family.values
    curves = result["curves"].to_dataset().accuracy.sel(grammar="A", agent="people", n_seen=100)
    window = (people.position.values > 80) & (people.position.values <= 120)
    assert curves.item() == pytest.approx(people.correct.values[window].mean())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 1}, "seeds must be a whole number from 2 up"),
        ({"epochs": ()}, "epochs must be different whole numbers"),
        ({"batch": (15, 15)}, "batch must be different whole numbers"),
        ({"grammars": ("Z",)}, "grammars must be different ones of A, B, CF, CS"),
        ({"humans": Path("nowhere")}, "nowhere"),
    ],
)
def test_refusals(given, message, tmp_path):
    with pytest.raises((ValueError, OSError), match=message):
        agl(out=tmp_path, **(TINY | given))
    assert not list(tmp_path.iterdir())
