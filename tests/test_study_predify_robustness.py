"""The study of robustness over time, on a network that was trained for something else."""

import numpy as np
import pytest
import safetensors.torch
import xarray as xr

import neurodyn as nd
from neurodyn.analysis import feedback_report as report
from neurodyn.models import pc_shallow
from neurodyn.models.feedback_nets import feedback_net, stem
from neurodyn.stimuli.corrupt import corrupt
from neurodyn.studies import predify_robustness as study

SMALL = {
    "subjects": ("pshallow-digits",), "images": 8, "ode_images": 4, "attack_images": 4,
    "near_images": 2, "kinds": ("gaussian_noise", "fog"), "severities": (3,),
    "epsilons": (0.0, 0.1), "attack_steps": 2, "attack_times": (0.0, 2.0),
    "training_seeds": (0, 1), "duration": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for seed in (0, 1):
        state = {name: value.half() for name, value in pc_shallow(True).state_dict().items()}
        state["backbone.layer3.1.bias"] += seed  # two networks
        name = stem("pshallow", "digits", seed)
        safetensors.torch.save_file(state, folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("robustness")


@pytest.fixture(scope="module")
def result(folder, weights):
    return study.predify_robustness(out=folder, weights=weights, **SMALL)


def test_what_is_written(result, folder):
    node = result["pshallow-digits"]
    noises = ["clean", "gaussian_noise 3", "fog 3"]
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


def test_answers_are_those_of_the_published_rule(result, weights):
    stored = safetensors.torch.load_file(weights / "feedback-pshallow-digits-1.safetensors")
    model = feedback_net("pshallow", "digits", update="sequential",
                         feedforward=0.8, feedback=0.1, error=0.01)  # fmt: skip
    model.load_state_dict({name: value.float() for name, value in stored.items()})
    images, labels = nd.stimuli.digits("test", 8)
    images = corrupt(images, "fog", 3, table="cifar")
    run = nd.integrate(model, images, [0.0, 1.0, 2.0], method="euler", gradient="none")
    found = result["pshallow-digits/predify"].correct.sel(noise="fog 3", seed=1)
    right = (run.readout.argmax(-1) == labels).numpy()
    np.testing.assert_array_equal(found.transpose("time", "sample"), right)


def test_distance_is_zero_for_clean_images_only(result):
    distance = result["pshallow-digits/predify"].distance
    assert (abs(distance.sel(noise="clean")) < 1e-6).all()
    assert (distance.sel(noise=["gaussian_noise 3", "fog 3"]) > 1e-3).all()


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


def test_a_second_run_computes_nothing(result, folder, weights, monkeypatch):
    def never(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.integrate", never)
    monkeypatch.setattr("neurodyn.studies.predify_robustness.answers_under_attack", never)
    again = study.predify_robustness(out=folder, weights=weights, **SMALL)
    xr.testing.assert_identical(again, result)


def test_verdicts():
    gaps = xr.DataArray([0.11, 0.1, 0.09], dims="seed")
    assert [report.held(gaps, side) for side in ("higher", "lower")] == ["held", "the opposite"]
    assert report.held(gaps - 0.1, "higher") == "not shown"
    assert report.held(gaps * np.nan, "higher") == "missing"
    said = report.claim("Is it?", {"a": gaps, "b": -gaps}, "higher")
    assert said.startswith("**Is it?** Held in 1 of 2, the opposite in 1. a: +0.100 [+0.075")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": 1}, "images must be a whole number from 2 up"),
        ({"training_seeds": (0,)}, "two or more"),
        ({"attack_times": (1.0, 2.0)}, "attack_times must begin with 0"),
        ({"scale": "paper", "quick": True}, "only laptop can be quick"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path, weights):
    with pytest.raises(ValueError, match=said):
        study.predify_robustness(out=tmp_path, weights=weights, **(SMALL | wrong))
    assert not any(tmp_path.iterdir())
