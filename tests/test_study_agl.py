"""The study of artificial grammars, small: what it writes, resumes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurodyn as nd
from neurodyn.models import simulated_participants
from neurodyn.studies.agl import agl, followed, joined

TINY = {
    "grammars": ("A",), "seeds": 2, "subjects": 4, "yoked_seeds": 2, "learning_rates": 2,
    "epochs": (1,), "batch": (15,), "resamples": 100, "workers": 1,
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
    networks = result["networks"].to_dataset()
    sets = [nd.stimuli.stimulus_set(nd.stimuli.grammar.grammar("A"), seed=k) for k in (0, 1)]
    shares = [
        np.isin(one.string[one.split == "test"], one.string[one.split == "train"]).mean()
        for one in sets
    ]
    assert networks.seen_test.item() == pytest.approx(np.mean(shares))
    assert f"A {np.mean(shares):.0%}" in page
    for part in stored.children.values():
        assert part.attrs["provenance"] == "reconstruction"


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


def table(people: xr.Dataset, folder: Path) -> Path:
    """Write people's trials as the experiment's own rows."""
    names = ("subject", "session", "phase", "block", "position", "item", "grammar", "response")
    columns = {name: people[name].values.tolist() for name in names}
    for name in ("grammatical", "correct", "feedback"):
        columns[name] = (people[name].values == 1).tolist()
    rows = [dict(zip(columns, row, strict=True)) | {"task": "agl"}
            for row in zip(*columns.values(), strict=True)]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "people.json").write_text(json.dumps(rows))
    return folder / "people.json"


def test_answers_belong_to_the_order_people_saw(study, tmp_path: Path):
    """The same trials in another order are other trials, also in the folder of the first."""
    items = nd.stimuli.stimulus_set(nd.stimuli.grammar.grammar("A"), train=60, validation=2, test=2)
    people = simulated_participants(items, subjects=2, blocks=1, seed=5)
    people["grammar"] = people.grammar.copy(data=np.full(people.sizes["trial"], "own"))
    rates = xr.DataArray(
        [[0.01]], {"grammar": ["own"], "family": ["recurrent"]}, dims=("grammar", "family")
    )
    turned = people.assign(position=61 - people.position)
    folder = tmp_path / "cells"
    first, second = (
        followed(folder, p, rates, 1400, 2, 1, "own", "recurrent") for p in (people, turned)
    )
    fresh = followed(tmp_path / "fresh", turned, rates, 1400, 2, 1, "own", "recurrent")
    np.testing.assert_array_equal(second.output, fresh.output)
    assert abs(first.output - second.output).max() > 0
    other = people.assign(grammar=people.grammar.copy(data=["A"] * people.sizes["trial"]))
    other = other.assign_coords(trial=people.trial + 120)
    both = xr.concat([other, people], dim="trial", combine_attrs="override")
    made = joined(both, {("own", "recurrent"): first, ("A", "recurrent"): fresh}, 1, 0)
    recurrent = made.output.sel(family="recurrent")
    np.testing.assert_array_equal(recurrent.values[:, 120:], first.output.values)
    np.testing.assert_array_equal(recurrent.values[:, :120], fresh.output.values)


def test_short_data_with_other_letters_and_unnamed_strings(study, tmp_path: Path):
    """16 trials a person, as the page's demo has, of a language that no grammar here has."""
    out, _ = study
    strings, kind = ["QW", "QQW", "QWW", "WQ", "WWQ", "WQQ", "QWQ", "W"], [True] * 3 + [False] * 5
    people = simulated_participants(strings, kind, subjects=3, blocks=2, trials=8, seed=1)
    people["grammar"] = people.grammar.copy(data=np.full(people.sizes["trial"], "own"))
    people["item"][3] = ""
    result = agl(out=out, humans=table(people, tmp_path), **TINY)
    assert result["curves"].to_dataset().block.values.tolist() == [1, 2]
    assert result["trials"].to_dataset().sizes["trial"] == 47
    assert result["trials"].to_dataset().feedback.attrs["trials_without_item"] == 1
    compared = result["compare"].to_dataset().sel(grammar="own")
    assert compared.value.sel(metric="accuracy_gap").notnull().all()
    assert "of 20" in compared.why.sel(metric="item_correlation").item()
    assert (out / "curves.png").exists()


def test_people_that_cannot_be_compared_are_refused_before_the_work(tmp_path: Path):
    people = simulated_participants(["QW", "WQ"], [True, False], subjects=1, blocks=1, trials=8)
    people["grammar"] = people.grammar.copy(data=np.full(8, "own"))
    with pytest.raises(ValueError, match="has 1 person"):
        agl(out=tmp_path / "out", humans=table(people, tmp_path), **TINY)
    people["item"] = people["item"].copy(data=[""] * people.sizes["trial"])
    with pytest.raises(ValueError, match="no trial names its string"):
        agl(out=tmp_path / "out", humans=table(people, tmp_path), **TINY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 1}, "seeds must be a whole number from 2 up"),
        ({"epochs": ()}, "epochs must be different whole numbers"),
        ({"batch": (15, 15)}, "batch must be different whole numbers"),
        ({"grammars": ("Z",)}, "grammars must be different ones of A, B, CF, CS"),
        ({"humans": Path("nowhere")}, "nowhere"),
        ({"workers": 0}, "workers must be a whole number from 1 up"),
        ({"budget": 10}, "budget must be a whole number of parameters"),
        ({"overlap": "some"}, "overlap must be allowed or disjoint"),
    ],
)
def test_refusals(given, message, tmp_path):
    with pytest.raises((ValueError, OSError), match=message):
        agl(out=tmp_path, **(TINY | given))
    assert not list(tmp_path.iterdir())
