"""The study of same-different: on planted accuracies, and from the first image to the page."""

import json
from importlib.resources import files

import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.models import train_pairs as training
from neurodyn.models.train_pairs import labelled, seen, train_pairs
from neurodyn.stimuli.hexominoes import DRAWING, TASKS, cut_out, deal, pairs
from neurodyn.studies import _same_different_page as pages
from neurodyn.studies import same_different as study

TINY = {
    "tasks": ("same-different", "spatial-relation"), "networks": ("cnn", "siamese"), "images": 12,
    "validation": 6, "test": 8, "epochs": 4, "batch_size": 5, "learning_rate": 1e-3,
}  # fmt: skip


def planted(relation=(0.98, 0.98), same=(0.8, 0.5), twin=(1.0, 1.0)):
    """Accuracies on items trained with and on new ones, a little different from seed to seed."""
    about = np.array([-0.01, 0.0, 0.01])[:, None]
    accuracy = np.full((2, 2, 3, 2), np.nan)
    accuracy[0, 0], accuracy[0, 1] = np.array(same) + about * [1, -1], np.array(twin)
    accuracy[1, 0] = np.array(relation) + about * [0.3, 0.1]
    curve = accuracy[..., :1] * [0.7, 1.0]
    known = np.zeros((2, 2, 3, 2))
    known[0, 1, :, 0] = 0.72
    found = xr.Dataset(
        {
            "accuracy": (("task", "network", "seed", "items"), accuracy),
            "training": (("task", "network", "seed", "epoch"), curve),
            "validation": (("task", "network", "seed", "epoch"), curve - 0.02),
            "duration": (("task", "network", "seed"), accuracy[..., 0] * 0 + 60),
            "familiar": (("task", "network", "seed", "items"), known),
            "distinct": (("task", "network", "seed", "items"), np.where(known, 410, 25)),
        },
        {
            "task": list(TASKS), "network": ["cnn", "siamese"], "seed": [0, 1, 2],
            "items": ["train", "new"], "epoch": [35, 70],
        },
    )  # fmt: skip
    config = study.SCALES["laptop"] | {"seeds": (0, 1, 2)}
    found.attrs = {"config": json.dumps(config), "provenance": "planted", "neurodyn_version": "0"}
    return labelled(found)


def about(said, word):
    (found,) = (sentence for sentence in said if word in sentence.partition("?**")[0])
    return found


# ---- what is said


def test_what_is_planted_is_found():
    said = pages.claims(planted())
    relation = about(said, "spatial relation carry")
    assert "new items?** Yes. " in relation
    assert "above chance, 0.980 [0.978, 0.982]" in relation and "no reliable difference" in relation
    same = about(said, "chance on new items")
    assert "?** Yes. The network is not told from chance, 0.500 [0.475, 0.525]" in same
    assert "accuracies above 0.525 are left out" in same
    assert "On new images of items trained with it is above chance, 0.800" in same
    assert "right in 0.800. So it has learned something" in same
    assert "+0.300 [+0.250, +0.350] higher" in same
    twin = about(said, "Siamese twin")
    assert "or more?** Yes. On" in twin
    assert twin.count("above chance, 1.000 with every seed") == 2 and "built in" in twin
    assert "25 different inputs" in twin and "0.72 of them equal to one in training" in twin
    assert "new images" not in twin
    easier = about(said, "easier")
    assert "spatial relation minus same-different, cnn: +0.480" in easier
    assert "same-different, siamese minus cnn: +0.500" in easier


@pytest.mark.parametrize(
    ("settings", "word", "wanted"),
    [
        ({"relation": (0.99, 0.8)}, "relation carry", "Yes, at a loss."),
        ({"relation": (0.5, 0.5)}, "relation carry", "No."),
        ({"same": (0.9, 0.7)}, "chance on new", "No, above it."),
        ({"same": (0.9, 0.4)}, "chance on new", "No, below it."),
        ({"same": (0.5, 0.5)}, "chance on new", "not learned the rule of these items"),
        ({"twin": (0.9, 0.9)}, "twin", "In part."),
        ({"twin": (0.5, 0.5)}, "twin", "at chance, 0.500 with every seed"),
        (
            {"twin": (0.5, 0.4)},
            "twin",
            "No. On new items, of which it sees 25 different inputs, it is below chance, 0.400",
        ),
    ],
)
def test_what_does_not_hold_is_said(settings, word, wanted):
    assert wanted in about(pages.claims(planted(**settings)), word)


@pytest.mark.parametrize(
    ("pair", "values", "answer"),
    [
        (0, (0.55, 0.95), "Not shown either way."),
        (1, (0.55, 0.95), "Not shown either way."),
        (1, (0.55, 0.60, 0.75), "Not shown either way."),
        (1, (0.44, 0.48, 0.50, 0.52), "Not shown either way."),
        (1, (0.50, 0.50), "Yes."),
        (1, (0.52, 0.52, 0.521), "No, above it."),  # near it, but not at it
        (1, (0.60, 0.61), "No, above it."),
        (2, (1.0, 0.9), "Not shown either way."),
        (2, (0.985, 0.992), "Not shown either way."),
        (2, (0.95, 0.951), "In part."),
        (2, (0.5, 0.51), "No."),
        (2, (0.999, 0.9995), "Yes."),
    ],
)
def test_a_wide_interval_answers_nothing(pair, values, answer):
    one = planted().sel(task="same-different", network="cnn").isel(seed=[0] * len(values))
    old_and_new = np.stack([values, values], 1)
    one = one.assign(accuracy=(("seed", "items"), old_and_new))
    _, say = list(pages.QUESTIONS.values())[pair]
    assert say(one).startswith(answer)


def test_bounds_of_accuracies_are_from_0_to_1_and_verdicts_are_not_cut():
    wide = xr.DataArray([1.0, 0.9], dims="seed")
    assert pages.bounds(wide)[1] == pytest.approx(0.95 + 12.7062 * 0.05, abs=1e-4)
    assert pages.against_chance(wide) == "not told from chance, 0.950 [0.315, 1.000]"
    result = planted().isel(seed=[0, 1])
    result.accuracy[0, 0] = [[1.0, 0.0], [0.9, 0.1]]
    row = next(line for line in pages.page(result).splitlines() if "| same-different | cnn" in line)
    assert "| 0.950 [0.315, 1.000] | 0.050 [0.000, 0.685] | +0.900 [-0.371, +1.000] |" in row
    bars = pages.figures(result)["generalisation"].axes[0].containers
    ends = [part.get_segments() for bar in bars for part in bar.lines[2]]
    assert np.concatenate(ends).reshape(-1, 2)[:, 1].max() <= 1 + 1e-12


@pytest.mark.parametrize(("known", "said"), [(0.0, "of these items."), (0.6, "again.")])
def test_who_knows_images_again_need_not_know_items(known, said):
    """With 0.6 of the images known and guesses on the others, 0.8 are right."""
    result = planted(same=(0.8, 0.5))
    result.familiar[0, 0, :, 0] = known
    same = about(pages.claims(result), "chance on new")
    assert f"learned something of these items{', or knows these images ' * (known > 0)}" in same
    assert said in same and ("new images" in same) == (known == 0)


@pytest.mark.parametrize("lost", [1, 3])
def test_what_diverged_is_missing(lost):
    result = planted()
    for name in ("accuracy", "training", "validation"):
        result[name][:, 0, :lost] = np.nan
    said = pages.claims(result)
    for word in ("relation carry", "chance on new"):
        assert f"?** Missing: the loss of {lost} of 3 networks diverged." in about(said, word)
    assert "siamese minus cnn: missing" in about(said, "easier")
    page = pages.page(result)
    assert "nan" not in page
    row = next(line for line in page.splitlines() if "| same-different | cnn" in line)
    assert "| missing | missing | missing | missing | 0 and 0 | 25 and 25 |" in row
    drawn = pages.figures(result)  # the twin's task has what to draw
    assert {axis.get_title() for axis in drawn["learning"].axes if axis.axison} == {
        "same-different, training", "same-different, validation",
    }  # fmt: skip
    assert set(pages.figures(result.sel(network=["cnn"]))) == {"generalisation"}


def test_the_page_is_complete():
    page = pages.page(planted())
    assert page.count("**") % 2 == 0 and "nan" not in page and "missing" not in page
    assert page.count("\n| ") == 1 + 1 + 3
    row = next(line for line in page.splitlines() if "| spatial-relation | cnn" in line)
    assert "| 0.980 [0.973, 0.987] | 0.980 [0.978, 0.982] |" in row
    assert "siamese" not in row and row.endswith("| 0 and 0 | 25 and 25 |")
    twin = next(line for line in page.splitlines() if "| same-different | siamese" in line)
    assert twin.endswith("| 0.72 and 0 | 410 and 25 |")
    assert "lies within 0.05 of it" in page and "other deals of the 35" in page
    assert "unseen" not in page and "all of them new" not in page


def test_one_task_alone_is_said_and_drawn():
    alone = planted().sel(task=["spatial-relation"], network=["cnn"])
    assert len(pages.claims(alone)) == 1
    drawn = pages.figures(alone)
    assert [axis.get_title() for axis in drawn["generalisation"].axes] == ["spatial-relation"]


def test_figures():
    drawn = pages.figures(planted())
    left, right = drawn["generalisation"].axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["cnn", "siamese"]
    assert [text.get_text() for text in right.get_xticklabels()] == ["cnn"]
    assert len(right.collections[0].get_offsets()) == 3  # a dot a seed
    titles = [axis.get_title() for axis in drawn["learning"].axes]
    assert titles[0] == "same-different, training"
    with pytest.raises(ValueError, match="select one of each first"):
        pages.generalisation_dots(planted().accuracy.expand_dims(size=2))


# ---- what is trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("same")


@pytest.fixture(scope="module")
def result(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "POINTS", 2)
        return study.same_different(out=folder, seeds=(0, 1), workers=1, **TINY)


def test_no_stream_shares_items_or_images_that_it_must_not():
    about = {"task": "same-different", "network": "cnn", "cell": 1, "scatter": 1.0, "seed": 7}
    streams = {name: seen(about, name, 200) for name in training.STREAMS}
    images = {name: {one.tobytes() for one in ink.numpy()} for name, (ink, _) in streams.items()}
    for name, there in images.items():
        others = set().union(*(images[other] for other in images if other != name))
        assert len(there & others) <= 4  # the same pair at the same place may come again
    used = {
        name: set(pairs("same-different", 200, items=items, seed=0)["item"].values.flat)
        for name, items in zip(("train", "new"), deal(7), strict=True)
    }
    assert not used["train"] & used["new"]
    train, new = deal(7)
    ink, labels = streams["new"]
    data = pairs("same-different", 200, items=new, seed=4 * 7 + 3)
    np.testing.assert_array_equal(ink, data.image == 0)
    np.testing.assert_array_equal(labels, data.label)
    windows, _ = seen(about | {"network": "siamese"}, "new", 200)
    np.testing.assert_array_equal(windows, cut_out(data) == 0)


@pytest.mark.parametrize("network", ["cnn", "siamese"])
@pytest.mark.parametrize("scatter", [0.0, 1.0])
def test_repeats_are_those_of_scenes_compared_one_by_one(network, scatter):
    """Two images are equal if items and places are; for the twin, if items are."""
    about = {"task": "same-different", "network": network, "cell": 1, "scatter": scatter}
    about |= {"seed": 3, "images": 300, "test": 200}
    inputs = {}
    for k, name in enumerate(training.STREAMS):
        n, dealt = 300 if name == "training" else 200, deal(3)[name == "new"]
        data = pairs("same-different", n, items=dealt, scatter=scatter, seed=4 * 3 + k)
        scene = data["item"].values
        if network == "cnn":
            scene = np.hstack([scene, data.centre.values.reshape(n, 4)])
        inputs[name] = [tuple(row) for row in scene.tolist()]
    found = training.repeats(about)
    for name in ("train", "new"):
        one = found.sel(items=name)
        known = [row in inputs["training"] for row in inputs[name]]
        assert one.familiar == np.mean(known) and one.distinct == len(set(inputs[name]))
    assert not found.familiar.sel(items="new")
    if network == "siamese":
        assert found.familiar.sel(items="train") > 0.2 and found.distinct.sel(items="new") == 25


def test_what_is_returned_and_written(result, folder):
    assert dict(result.accuracy.sizes) == {"task": 2, "network": 2, "seed": 2, "items": 2}
    assert result.epoch.values.tolist() == [2, 4]
    left_out = result.sel(task="spatial-relation", network="siamese")
    assert left_out.accuracy.isnull().all() and left_out.duration.isnull().all()
    assert int(result.accuracy.notnull().sum()) == 3 * 2 * 2
    assert ((result.accuracy * 8) % 1).sum() == 0
    for name in ("familiar", "distinct"):
        assert result[name].dims == result.accuracy.dims and result[name].long_name
        np.testing.assert_array_equal(result[name].isnull(), result.accuracy.isnull())
    recipe = json.loads(result.attrs["training"])
    assert recipe["drawing"] == DRAWING and recipe["seed"] == [0, 1] and recipe["points"] == 2
    one = recipe | {"task": "same-different", "network": "siamese", "seed": 1}
    there = result.sel(task="same-different", network="siamese", seed=1)
    np.testing.assert_array_equal(training.repeats(one).distinct, there.distinct)
    assert {path.name for path in folder.iterdir()} == {
        "same_different.nc", "summary.md", "cells", "generalisation.png", "learning.png",
    }  # fmt: skip
    assert len(list(folder.glob("cells/*"))) == 6  # and no checkpoints
    xr.testing.assert_identical(nd.load(folder / "same_different.nc"), result)
    page = (folder / "summary.md").read_text()
    assert "(generalisation.png)" in page and "(learning.png)" in page


def test_a_second_call_trains_nothing(result, folder, monkeypatch):
    monkeypatch.setattr(training, "run_epochs", None)
    again = train_pairs(out=folder, points=2, seeds=(0, 1), workers=1, **TINY)
    xr.testing.assert_identical(again.drop_attrs(), result.drop_attrs())
    assert again.attrs["config"] == result.attrs["training"]
    assert set(again.attrs) == {"config", "neurodyn_version", "references"}


def test_a_network_that_diverges_is_nan_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "POINTS", 2)
    settings = TINY | {"networks": ("siamese",), "learning_rate": 1e20}
    found = study.same_different(out=tmp_path, seeds=(0, 1), workers=1, **settings)
    same = found.sel(task="same-different")
    assert same.accuracy.isnull().all() and same.training.isnull().all()
    assert same.familiar.notnull().all()
    page = (tmp_path / "summary.md").read_text()
    assert "Missing: the loss of 2 of 2 networks diverged." in page and "| missing |" in page
    assert "nan" not in page and not list(tmp_path.glob("cells/*.ckpt"))


def test_an_interrupted_cell_goes_on(result, tmp_path, monkeypatch):
    own = TINY | {"tasks": ("same-different",), "networks": ("siamese",), "seeds": (1,)}
    own |= {"points": 2, "workers": 1}
    forward, calls = training.Drawn.forward, []

    def interrupted(self, numbers):
        if self.training:
            calls.append(1)
            if len(calls) == 7:  # in the second stretch: a stretch has 24 images, 5 batches
                raise KeyboardInterrupt
        return forward(self, numbers)

    with monkeypatch.context() as patch:
        patch.setattr(training.Drawn, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_pairs(out=tmp_path, **own)
    assert list(tmp_path.glob("cells/*.ckpt")) and not list(tmp_path.glob("cells/*.nc"))
    train_pairs(out=tmp_path, **own | {"learning_rate": 1e-2})  # has files of its own
    assert list(tmp_path.glob("cells/*.ckpt")) and len(list(tmp_path.glob("cells/*.nc"))) == 1
    torch.manual_seed(99)  # nothing depends on it
    again = train_pairs(out=tmp_path, **own)
    wanted = result.sel(task=["same-different"], network=["siamese"], seed=[1])
    xr.testing.assert_identical(
        again.drop_vars("duration").drop_attrs(), wanted.drop_vars("duration").drop_attrs()
    )


def test_the_relation_is_learned_and_carries_over(tmp_path):
    settings = TINY | {"tasks": ("spatial-relation",), "networks": ("cnn",), "images": 200}
    settings |= {"validation": 10, "test": 100, "batch_size": 20, "seeds": (0,), "points": 1}
    found = train_pairs(out=tmp_path, workers=1, **settings)
    assert found.accuracy.min() > 0.9


def test_results_that_ship_are_read_if_settings_are_theirs(
    result, folder, tmp_path, monkeypatch, capsys
):
    def never(**settings):
        raise AssertionError("trained")

    monkeypatch.setattr(study, "files", lambda name: folder)
    monkeypatch.setattr(study, "train_pairs", never)
    again = study.same_different(out=tmp_path, seeds=(0, 1), **TINY)
    xr.testing.assert_identical(again, result)
    assert "--train trains" in capsys.readouterr().out and (tmp_path / "summary.md").exists()
    with pytest.raises(ValueError, match="workers must be"):
        study.same_different(out=tmp_path, seeds=(0, 1), workers=0, **TINY)
    for other in ({"train": True}, {"epochs": 20}, {"seeds": (0, 2)}, {"scatter": 0.5}):
        with pytest.raises(AssertionError, match="trained"):
            study.same_different(out=tmp_path, **{"seeds": (0, 1)} | TINY | other)


# ---- at the door


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seeds": (0, 0)}, r"seeds must be a list of two or more that differ, got \(0, 0\)"),
        ({"seeds": 5}, "seeds must be a list of two or more that differ, got 5"),
        ({"seeds": (0, -1)}, "seed must be a whole number from 0 up, got -1"),
        ({"tasks": ("sameness",)}, "task 'sameness' is not one of same-different"),
        ({"networks": ("resnet",)}, "network 'resnet' is not one of cnn, siamese"),
        ({"networks": ()}, "networks must be a list of one or more"),
        ({"tasks": ("spatial-relation",), "networks": ("siamese",)}, "does not see where items"),
        ({"epochs": 15}, "points = 10 must divide epochs = 15"),
        ({"cell_pixels": 3}, "cell_pixels must be a whole number from 1 to 2"),
        ({"scatter": -1.0}, "scatter must be a number from 0 to 1"),
        ({"workers": 0}, "workers must be"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0, got 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number above 0"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        study.same_different(out=tmp_path, **{"seeds": (0, 1)} | TINY | wrong)
    assert not any(tmp_path.iterdir())


def test_seeds_are_a_list(tmp_path):
    with pytest.raises(ValueError, match="seeds must be a list of one or more, none of them twice"):
        train_pairs(out=tmp_path, points=2, **TINY | {"seeds": 5})


def test_the_scales_can_be_trained():
    for settings in study.SCALES.values():
        assert settings["epochs"] % study.POINTS == 0
        assert set(settings) == set(study.SCALES["laptop"])


def test_what_ships_is_of_the_default_settings():
    place = files("neurodyn.models").joinpath(study.RESULTS)
    found = study.shipped(place, study.SCALES["laptop"])
    assert found is not None
    new = found.accuracy.sel(items="new")
    assert (new.sel(task="spatial-relation", network="cnn") > 0.99).all()
    assert (new.sel(task="same-different", network="siamese") > 0.99).all()
    assert 0.45 < new.sel(task="same-different", network="cnn").mean() < 0.65
    assert new.sel(task="spatial-relation", network="siamese").isnull().all()
    about = json.loads(found.attrs["training"]) | {"task": "same-different", "network": "siamese"}
    again = training.repeats(about | {"seed": 3})
    one = found.sel(task="same-different", network="siamese", seed=3)
    for name in ("familiar", "distinct"):
        np.testing.assert_array_equal(one[name], again[name])
