"""The study of visual reasoning: on planted accuracies, and from the first image to the page."""

import json
from importlib.resources import files

import numpy as np
import pytest
import xarray as xr

import neurodyn as nd
from neurodyn.models.svrt_cell import SOLVERS, TIMES, some_scenes
from neurodyn.models.train_svrt import labelled
from neurodyn.studies import _svrt_page as pages
from neurodyn.studies import svrt as study

COMPARE = (1, 5, 6, 7, 8, 15, 16, 17, 19, 20, 21, 22)
TINY = {
    "problems": (4,), "images": (4, 8), "models": ("resnet18", "resnet18-feature"), "size": 48,
    "width": 4, "updates": 2, "batch_size": 4, "validation": 4, "test": 6, "workers": 1,
}  # fmt: skip


def planted(problems=(1, 2, 4, 5), models=study.SMALL, images=(500, 4000), seeds=(0, 1, 2)):
    """Attention gives .03 (spatial) and .06; shapes cost .28; more images give .1, or take .02."""
    rng = np.random.default_rng(0)
    hard = np.isin(problems, COMPARE)[:, None, None, None]
    gain = np.array([{"": 0, "spatial": 0.03}.get(m.partition("-")[2], 0.06) for m in models])
    accuracy = (
        0.8 - 0.28 * hard + np.where(hard, -0.02, 0.1) * np.arange(len(images))[:, None, None]
    )
    accuracy = accuracy + gain[:, None] + 0.004 * (np.arange(len(seeds)) - 1)
    accuracy = accuracy + 0.002 * rng.normal(size=accuracy.shape)
    longer = accuracy[..., None, None] - 0.02 * abs(np.array(TIMES) - 1)
    longer = longer + 0.001 * rng.normal(size=longer.shape) + np.array([[0.0], [0.01]])
    longer[:, :, gain == 0] = np.nan
    seen = np.full((*accuracy.shape, 2, 1, 2, 2), np.nan)
    seen[:, :, [m.endswith("spatial") for m in models]] = 0.25
    dims = ("problem", "images", "model", "seed")
    like = np.ones(accuracy.shape)
    data = xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "validation": ((*dims, "update"), accuracy[..., None] * [0.9, 1.0]),
            "training": ((*dims, "update"), like[..., None] * [0.9, 0.99]),
            "over_time": ((*dims, "solver", "time"), longer),
            "nfe": ((*dims, "solver"), longer[..., 0] * 0 + 4),
            "passes": (dims, like * (32000 / np.array(images))[:, None, None]),
            "duration": (dims, 40 * like),
            "attention": ((*dims, "sample", "target", "row", "column"), seen),
            "image": (("problem", "sample", "y", "x"), np.full((len(problems), 2, 8, 8), 255)),
            "label": (("problem", "sample"), [[0, 1]] * len(problems)),
            "centre": (
                ("problem", "sample", "target", "axis"), np.full((len(problems), 2, 1, 2), 3.0),
            ),
        },
        {
            "problem": list(problems), "images": list(images), "model": list(models),
            "seed": list(seeds), "update": [250, 500], "solver": list(SOLVERS),
            "time": list(TIMES), "axis": ["x", "y"],
        },
    )  # fmt: skip
    config = study.SCALES["laptop"] | {
        "problems": problems, "images": images, "models": models, "seeds": seeds,
    }  # fmt: skip
    data.attrs = {
        "config": json.dumps(config), "provenance": study.PROVENANCE, "accelerator": "cpu",
        "precision": "32-true", "neurodyn_version": nd.__version__,
    }  # fmt: skip
    return labelled(data)


def about(said, question):
    (found,) = (sentence for sentence in said if sentence.startswith(f"**{question}"))
    return found


# ---- what is said


def test_what_is_planted_is_found():
    said = pages.claims(planted())
    learned = about(said, "Which rules are learned from 4000 images?")
    assert "resnet18: higher in 2, 4; lower in none." in learned
    assert "resnet18-feature: higher in 1, 2, 4, 5; lower in none." in learned
    more = about(said, "Do more images help")
    assert "resnet18-spatial: higher in 2, 4; lower in 1, 5." in more
    gains = about(said, "Does attention help?")
    assert "Held in 2 of 2" in gains and "resnet18-spatial: +0.03" in gains
    assert "resnet18-feature: +0.06" in gains
    harder = about(said, "Are rules harder that ask to compare shapes?")
    assert "Held in 3 of 3" in harder and "resnet18 0.333" in harder
    assert "resnet18-feature: -0.34" in harder  # .28 and half of .12
    assert "Held in 0 of 2" in about(said, "Does attention help more there?")
    longer = about(said, "Does more time at test help?")
    assert "Held in 0 of 4, the opposite in 4" in longer and "spatial, t=4: -0.059" in longer
    step = about(said, "Dynamics or step?")
    assert "resnet18-spatial: +0.01" in step and "resnet18:" not in step


def test_what_all_seeds_share_is_said_with_its_number():
    result = planted()
    result.accuracy.loc[{"problem": 4, "images": 4000, "model": "resnet18"}] = 1.0
    result.accuracy.loc[{"problem": 2, "images": 4000, "model": "resnet18"}] = 0.5
    learned = about(pages.claims(result), "Which rules are learned from 4000 images?")
    told = "resnet18: higher in none; lower in none; the same for every seed in 4 (+0.500)."
    assert told in learned


def test_maps_are_of_the_seeds_that_have_them():
    result = planted()
    name = "attention-resnet18-spatial"
    result["attention"].loc[{"problem": 4, "seed": 1}] = np.nan
    assert name in pages.figures(result)
    result["attention"].loc[{"problem": 1, "seed": [0, 2]}] = np.nan
    assert name not in pages.figures(result)


def test_networks_that_diverged_are_named():
    result = planted(problems=tuple(range(1, 24)))
    result.accuracy.loc[{"problem": 4, "images": 4000, "model": "resnet18", "seed": 1}] = np.nan
    page = pages.page(result)
    assert "; not finite in 4." in page and "Left out: 1 networks of these" in page
    assert "nan" not in page and "missing missing" not in page
    assert "tree" not in pages.figures(result)


def test_problems_without_tags_are_left_out_of_what_needs_them():
    own, more = (planted(problems=(*range(1, 24), *rest)) for rest in ((), (25,)))
    more.accuracy[:23] = own.accuracy.values
    said = pages.groups(more)
    assert said == pages.groups(own) and said.startswith("Cut in two")
    for question in ("Are rules harder", "Does attention help more"):
        assert about(pages.claims(more), question) == about(pages.claims(own), question)
    assert "gain-resnet18" in pages.figures(more)


def test_gains_are_from_the_networks_own_backbone():
    models = ("resnet18", "resnet18-feature-last", "resnet50-spatial")
    found = pages.gains(planted(models=models))
    assert list(found) == ["resnet18-feature-last"]
    np.testing.assert_allclose(found["resnet18-feature-last"], 0.06, atol=0.01)


def test_the_page_is_complete():
    page = pages.page(planted())
    assert page.count("**") % 2 == 0 and "nan" not in page and "missing" not in page
    assert "8 to 64 passes" in page and "not among these" in page
    assert "Left out: it takes 15 problems" in page
    config = study.SCALES["laptop"]
    assert f"{config['updates']} batches of {config['batch_size']} images" in " ".join(page.split())
    assert page.count("\n| ") == 1 + 1 + 12
    row = next(line for line in page.splitlines() if line.startswith("| 4 | resnet18 |"))
    assert "| 0.902 [0.886, 0.918] | 0.990 | over 4000 |" in row


def test_few_problems_and_plain_networks_leave_out_and_say_so():
    said = pages.claims(planted(problems=(2, 4)))
    assert "Left out: it takes two problems" in about(said, "Shapes or places?")
    alone = planted(models=("resnet18",)).drop_vars(["over_time", "nfe", "attention"])
    said = pages.claims(alone)
    assert not any("attention" in sentence or "time at test" in sentence for sentence in said)
    assert set(pages.figures(alone)) == {"accuracy", "learning"}
    assert "Left out" in pages.groups(planted(problems=tuple(range(1, 15))))


def test_of_all_problems_the_groups_are_found():
    result = planted(problems=tuple(range(1, 24)))
    said = pages.groups(result)
    assert f"Cut in two: {', '.join(map(str, COMPARE))} | 2, 3, 4," in said
    assert "needs_shape_comparison +1.00" in said
    assert "which is among these" in " ".join(pages.people(result).split())


def test_figures():
    drawn = pages.figures(planted())
    names = {"accuracy", "gain-resnet18", "learning", "time", "attention-resnet18-spatial"}
    assert set(drawn) == names
    titles = [axis.get_title() for axis in drawn["learning"].axes]
    assert titles == ["problem 1", "problem 2", "problem 4", "problem 5"]
    titles = [axis.get_title() for axis in drawn["time"].axes]
    assert titles[1:3] == ["1, resnet18-feature", "2, resnet18-spatial"]
    labels = [line.get_label() for line in drawn["time"].axes[0].lines]
    assert labels == ["euler", "adaptive"]
    assert drawn["learning"].get_supxlabel() == "time (steps of Adam)"


# ---- from the first image to the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("svrt")


@pytest.fixture(scope="module")
def result(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "POINTS", 2)
        return study.svrt(out=folder, seeds=(0, 1), **TINY)


def test_what_is_written(result, folder):
    assert dict(result.accuracy.sizes) == {"problem": 1, "images": 2, "model": 2, "seed": 2}
    xr.testing.assert_identical(nd.load(folder / "svrt.nc"), result)
    pictures = {"accuracy.png", "gain-resnet18.png", "learning.png", "time.png"}
    assert {path.name for path in folder.iterdir()} == {
        "svrt.nc", "summary.md", "images", "cells", *pictures,
    }  # fmt: skip
    page = (folder / "summary.md").read_text()
    assert all(f"({name})" in page for name in pictures)
    assert "2108.03603" in result.attrs["references"]
    assert json.loads(result.attrs["config"])["learning_rate"] == 3e-3


def test_results_that_ship_are_read_if_settings_are_theirs(
    result, folder, tmp_path, monkeypatch, capsys
):
    def never(**settings):
        raise AssertionError("trained")

    monkeypatch.setattr(study, "files", lambda name: folder)
    monkeypatch.setattr(study, "train_svrt", never)
    again = study.svrt(out=tmp_path, seeds=(0, 1), **TINY)
    xr.testing.assert_identical(again, result)
    assert "--train trains" in capsys.readouterr().out and (tmp_path / "summary.md").exists()
    for other in (
        {"train": True}, {"updates": 20}, {"seeds": (0, 2)}, {"precision": "bf16-mixed"},
    ):  # fmt: skip
        with pytest.raises(AssertionError, match="trained"):
            study.svrt(out=tmp_path, **{"seeds": (0, 1)} | TINY | other)
    monkeypatch.setattr(study, "files", lambda name: tmp_path / "nowhere")
    with pytest.raises(AssertionError, match="trained"):
        study.svrt(out=tmp_path, seeds=(0, 1), **TINY)


def test_what_ships_is_of_the_default_settings():
    found = study.shipped(files("neurodyn.models").joinpath(study.RESULTS), study.SCALES["laptop"])
    assert found is not None and found.accuracy.notnull().all()
    many = found.accuracy.sel(images=15_000)
    assert (many.sel(problem=[2, 4]) > 0.95).all()
    assert (many.sel(problem=1, model="resnet18-spatial") > 0.8).all()
    assert (abs(found.accuracy.sel(problem=[1, 5], images=1000) - 0.5) < 0.05).all()
    assert (found.training.sel(images=1000).isel(update=-1) > 0.99).all()  # learned by heart
    seen = found["attention"].sel(model="resnet18-spatial").sum(("row", "column"))
    np.testing.assert_allclose(seen, 1, atol=1e-4)
    scenes = some_scenes(4, 64)
    np.testing.assert_array_equal(found["image"].sel(problem=4), scenes["image"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": (8,)}, r"images must be two or more that differ, got \(8,\)"),
        ({"seeds": (0, 0)}, "seeds must be two or more"),
        ({"seeds": 5}, "seeds must be two or more that differ, got 5"),
        ({"scale": "paper", "quick": True}, "only laptop can be quick"),
        ({"updates": 15}, "points = 10 must divide updates = 15"),
        ({"workers": -3}, "workers must be a whole number from 1 up"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        study.svrt(out=tmp_path, **{"seeds": (0, 1)} | TINY | wrong)
    assert not any(tmp_path.iterdir())


def test_the_scales_can_be_trained():
    for settings in study.SCALES.values():
        assert settings["updates"] % study.POINTS == 0
        assert set(settings) == set(study.SCALES["laptop"])
