"""The study of robustness over time, on a network that was trained for something else."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.analysis import feedback_report as report
from neurodyn.attacks import bim, random_start
from neurodyn.classifier import as_classifier
from neurodyn.models.feedback_nets import feedback_net
from neurodyn.stimuli.corrupt import corrupt
from neurodyn.studies import _robustness_cells as cells
from neurodyn.studies import predify_robustness as study
from neurodyn.studies._feedback import settled
from neurodyn.studies._robustness_page import page, resisting
from neurodyn.studies._subjects import Subject

SMALL = {
    "subjects": ("pshallow-digits",), "images": 8, "ode_images": 4, "attack_images": 4,
    "near_images": 2, "kinds": ("gaussian_noise", "fog"), "severities": (5,),
    "epsilons": (0.0, 0.1), "attack_steps": 2, "attack_times": (0.0, 2.0),
    "training_seeds": (0, 1), "duration": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("robustness")


@pytest.fixture(scope="module")
def result(folder, feedback_weights):
    return study.predify_robustness(out=folder, weights=feedback_weights, **SMALL)


def test_what_is_written(result, folder):
    node = result["pshallow-digits"]
    noises = ["clean", "gaussian_noise 5", "fog 5"]
    assert node["predify"].noise.values.tolist() == noises
    sizes = {"noise": 3, "seed": 2, "layer": 3, "near": 2, "time": 3}
    assert dict(node["predify"].distance.sizes) == sizes
    assert node["predify"].sizes["sample"] == 8 and node["ode"].sizes["sample"] == 4
    assert result.attrs["nfe"] > 0 and "2106.02749" in result.attrs["references"]
    xr.testing.assert_identical(nd.load(folder / "predify-robustness.nc"), result)
    page = (folder / "summary.md").read_text()
    assert page.count("**") % 2 == 0
    for path in folder.glob("*.png"):
        assert f"({path.name})" in page
    assert {"mce-pshallow-digits.png", "reconstructions-pshallow-digits.png"} <= {
        path.name for path in folder.iterdir()
    }


def network(weights, seed):
    stored = safetensors.torch.load_file(weights / f"feedback-pshallow-digits-{seed}.safetensors")
    model = feedback_net("pshallow", "digits", update="sequential",
                         feedforward=0.8, feedback=0.1, error=0.01)  # fmt: skip
    model.load_state_dict({name: value.float() for name, value in stored.items()})
    return model


def test_answers_are_those_of_the_published_rule(result, feedback_weights):
    model = network(feedback_weights, 1)
    images, labels = nd.stimuli.digits("test", 8)
    images = corrupt(images, "fog", 5, table="cifar")
    run = nd.integrate(model, images, [0.0, 1.0, 2.0], method="euler", gradient="none")
    found = result["pshallow-digits/predify"].correct.sel(noise="fog 5", seed=1)
    right = (run.readout.argmax(-1) == labels).numpy()
    np.testing.assert_array_equal(found.transpose("time", "sample"), right)


def test_distance_is_zero_for_clean_images_only(result):
    distance = result["pshallow-digits/predify"].distance
    assert (abs(distance.sel(noise="clean")) < 1e-6).all()
    assert (distance.sel(noise=["gaussian_noise 5", "fog 5"]) > 1e-3).all()


def test_the_other_image_is_farther(result):
    data = result["pshallow-digits/predify"].to_dataset().sel(noise="clean")
    assert (data.distance_other > 0.05).all()


def test_corruption_errors_by_hand(result):
    data = result["pshallow-digits/predify"].to_dataset()
    wrong = (~data.correct.isel(noise=slice(1, None))).sum(("noise", "sample"))
    expected = (wrong / wrong.isel(time=0)).transpose("seed", "time")
    np.testing.assert_allclose(data.mce, expected)
    np.testing.assert_allclose(data.mce_mean, expected.mean("seed"))


def test_attacks_of_no_strength_change_nothing_and_the_first_time_is_its_own(result):
    data = result["pshallow-digits/attack"].to_dataset()
    nothing = data.correct.sel(epsilon=0, drop=True)
    assert (nothing == data.correct_clean).all()
    first = data.correct.isel(time=0)
    np.testing.assert_array_equal(first.sel(attack="transfer"), first.sel(attack="white-box"))


def test_evaluations_are_counted(result):
    node = result["pshallow-digits"]
    assert (node["predify"].nfe == 2).all()  # one batch
    # at t = 0 none; at 2: two for each step and the answer, and two where images of 0 are shown
    assert (node["attack"].nfe == 2 * 2 + 2 + 2).all()
    assert result.attrs["nfe"] == sum(int(part.nfe.sum()) for part in node.children.values())


def test_distances_do_not_depend_on_batches_and_no_image_is_its_own_other(feedback_weights):
    model = network(feedback_weights, 0)
    images, labels = nd.stimuli.digits("test", 5)
    given = torch.cat([corrupt(images, "fog", 5, table="cifar"), images]), labels
    one, two = (
        cells.robust([0.0, 2.0], {"method": "euler"}, size, model, *given) for size in (5, 1)
    )
    np.testing.assert_allclose(two.distance, one.distance, atol=1e-6)
    assert (two.distance_other > two.distance / 2).all() and (one.nfe, two.nfe) == (2, 10)
    parts = two.distance_other[:, :3], two.distance_other[:, 3:]  # at least two together
    for part, rows in zip(parts, ((0, 1, 2), (3, 4)), strict=True):
        np.testing.assert_allclose(part.sum(), far(model, given[0], rows), rtol=1e-5)


def far(model, images, rows):
    """Return the distance of each row from the clean one before it, round the circle, summed."""
    with torch.no_grad():
        noisy, clean = (
            nd.integrate(model, x, [0.0, 2.0], method="euler", gradient="none").states
            for x in (images[:5], images[5:])
        )
    return sum(
        1 - np.corrcoef(a[t, row].ravel(), b[t, rows[k - 1]].ravel())[0, 1]
        for a, b in zip(noisy, clean, strict=True) for k, row in enumerate(rows) for t in (0, 1)
    )  # fmt: skip


def test_attacks_to_a_target_are_bim_from_a_random_start(result, feedback_weights, tmp_path):
    config = settled(study.SCALES, "paper", False) | {
        "weights": feedback_weights, "training_seeds": (0, 1), "attack_images": 6, "seed": 3,
        "epsilons": (0.3,), "attack_steps": 4, "attack_times": (0.0, 2.0), "device": "cpu",
        "feedforward": 0.8, "feedback": 0.1, "error": 0.01,
    }  # fmt: skip
    found = cells.attacked(tmp_path, Subject("pshallow", "digits"), config)
    model = network(feedback_weights, 1)
    images, labels = nd.stimuli.digits("test", 6)
    targets = (labels + 8) % 10
    np.testing.assert_array_equal(found.target_label, targets)
    start = random_start(images, 0.3, torch.Generator().manual_seed(3))
    led = []
    for t in (0.0, 2.0):
        classifier = as_classifier(model, t, method="euler")
        how = {"steps": 4, "relative_step": 2.5 / 4, "targeted": True, "start": start}
        changed = bim(classifier, images, targets, 0.3, **how)
        led.append(classifier(changed).argmax(-1) == targets)
    one = found.fooled.sel(epsilon=0.3, seed=1, attack="white-box")
    np.testing.assert_array_equal(one.transpose("time", "sample"), torch.stack(led))
    assert 0 < float(found.fooled.mean()) < 1
    known = found.correct_clean.sel(seed=1).all("time")
    share = resisting(found).sel(seed=1, epsilon=0.3, attack="white-box")
    np.testing.assert_allclose(share, 1 - torch.stack(led)[:, known.values].double().mean(1))

    tree = result.copy()
    tree["pshallow-digits/attack"] = xr.DataTree(found)
    settings = json.loads(tree.attrs["config"]) | {
        "attack": "targeted-bim",
        "left_out": {"a": "why"},
    }
    tree.attrs["config"] = json.dumps(settings)
    said = page(tree)
    assert "BIM from a random start to a target; L-inf, 2 steps" in said
    assert "Share of images not led to the target under white-box attack, t=2 minus t=0" in said
    assert "\n\nLeft out: a (why).\n\n" in said
    assert "Accuracy under white-box attack, t=2 minus t=0" in page(result)


def test_a_second_run_computes_nothing(result, folder, feedback_weights, monkeypatch):
    def never(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.integrate", never)
    monkeypatch.setattr("neurodyn.studies._robustness_cells.answers_under_attack", never)
    again = study.predify_robustness(out=folder, weights=feedback_weights, **SMALL)
    xr.testing.assert_identical(again, result)


def test_verdicts():
    gaps = xr.DataArray([0.11, 0.1, 0.09], dims="seed")
    assert [report.held(gaps, side) for side in ("higher", "lower")] == ["held", "the opposite"]
    assert report.held(gaps - 0.1, "higher") == "not shown"
    assert report.held(gaps * np.nan, "higher") == "missing"
    said = report.claim("Is it?", {"a": gaps, "b": -gaps}, "higher")
    assert said.startswith("**Is it?** Held in 1 of 2, the opposite in 1.\n  - a: +0.100 [+0.075")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": 1}, "images must be a whole number from 2 up"),
        ({"training_seeds": (0,)}, "two or more"),
        ({"attack_times": (1.0, 2.0)}, "attack_times must begin with 0"),
        ({"attack_times": (0.0, 2.0, 1.0)}, "begin with 0 and go on, rising"),
        ({"kinds": ()}, "kinds must be one or more, none twice, of gaussian_noise"),
        ({"kinds": ("fog", "fog")}, r"none twice, .*got \('fog', 'fog'\)"),
        ({"kinds": ("mist",)}, r"of gaussian_noise, .*got \('mist',\)"),
        ({"severities": ()}, "severities must be one or more"),
        ({"severities": (0,)}, r"severities .* whole numbers from 1 to 5; got \(0,\)"),
        ({"severities": (3, 3)}, "severities must be one or more, none twice"),
        ({"epsilons": ()}, "epsilons must be one or more"),
        ({"epsilons": (0.1, 0.1)}, "epsilons must be one or more, none twice"),
        ({"epsilons": (0.1, -0.1)}, r"numbers from 0 up; got \(0.1, -0.1\)"),
        ({"table": "mnist"}, "table 'mnist' is not one of imagenet, cifar"),
        (
            {"subjects": ("pshallow-digits", "presnet18-digits")},
            "^presnet18-digits: there are no w",
        ),
        ({"device": "toaster"}, "device 'toaster' is not here"),
        ({"attack_images": 2001}, "digits has 2000 test images, not 2001"),
        ({"attack": "bim"}, "'bim' is not one of pgd, targeted-bim"),
        ({"scale": "paper", "quick": True}, "only laptop can be quick"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path, feedback_weights):
    with pytest.raises(ValueError, match=said):
        study.predify_robustness(out=tmp_path, weights=feedback_weights, **(SMALL | wrong))
    assert not any(tmp_path.iterdir())
