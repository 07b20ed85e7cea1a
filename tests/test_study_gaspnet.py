"""The study of GASPnet and its controls, at a small scale."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.models.gaspnet import gaspnet as network
from neurodyn.models.gaspnet import ideal_state
from neurodyn.studies import gaspnet as module
from neurodyn.studies.gaspnet import CONDITIONS, SUBJECT, WAYS, gaspnet, grouping, near_zero

SMALL = {"images": 6, "training_seeds": (0, 1), "duration": 3}
KEPT = (
    "cnn", "random phases", "ideal phases", "ideal, substituted", "a_F = 0, substituted",
    "epsilon = 0, substituted", "gaspnet", "gaspnet, adaptive", "gaspnet by rk4",
    "gaspnet by rk4, adaptive",
)  # fmt: skip


@pytest.fixture(scope="module")
def fewer():
    with pytest.MonkeyPatch.context() as patch:
        scenes = ("2 digits", "Gaussian .1", "3 digits")
        patch.setattr(module, "CONDITIONS", tuple(c for c in CONDITIONS if c.label in scenes))
        patch.setattr(module, "WAYS", tuple(w for w in WAYS if w.label in KEPT))
        patch.setattr(module, "DRAWN", ("cnn", "gaspnet", "gaspnet, adaptive"))
        own = {"noisy": ("Gaussian .1",), "against": ("cnn", "random phases")}
        patch.setattr(module, "SUBJECT", module.report.Subject(**(vars(SUBJECT) | own)))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gaspnet")


@pytest.fixture(scope="module")
def result(folder, fewer):
    return gaspnet(out=folder, **SMALL)


def test_what_the_study_returns_and_writes(result, folder):
    assert dict(result.sizes) == {
        "scene": 3, "way": len(KEPT), "seed": 2, "time": 4, "sample": 6, "ci_bound": 2
    }  # fmt: skip
    xr.testing.assert_identical(nd.load(folder / "gaspnet.nc"), result)
    for name, variable in result.variables.items():
        assert {"long_name", "units"} <= set(variable.attrs), name
    for name in ("accuracy.png", "phases.png", "clusters.png", "discretisation.png"):
        assert (folder / name).stat().st_size > 1000
    page = (folder / "summary.md").read_text(encoding="utf-8")
    assert "GASPnet-style, reconstructed" in page and "no published number is" in page


def test_the_signature_is_on_the_page(folder, result):
    """Untrained: Euler's step of 1 is too long at a temperature of .1, and not at .3."""
    flips = nd.load(folder / "discretisation-untrained-temperature-0.1.nc")
    calm = nd.load(folder / "discretisation-untrained-temperature-0.3.nc")
    assert flips.attrs["step_limit"][1] < 1 < calm.attrs["step_limit"][0]
    convolutions = ["conv1", "conv2", "conv3"]
    last = flips.similarity.isel(time=-1).mean("sample").sel(layer=convolutions)
    assert (last.sel(solver="euler", lag=1) < 0.85).all()
    assert (last.sel(solver="euler", lag=2) > 0.85).all()
    assert (last.sel(solver="adaptive", lag=1) > 0.99).all()
    assert flips.attrs["figure_ground_dopri5"] > 2.9 > 2.6 > flips.attrs["figure_ground_euler"]
    assert not calm.flips.any()
    assert min(calm.attrs["figure_ground_euler"], calm.attrs["figure_ground_dopri5"]) > 2.8
    assert flips.attrs["step_known"] == 0


def test_answers_are_those_of_the_networks(result):
    """One way and one seed, by a loop of its own over Euler's steps."""
    scenes = nd.stimuli.multi_digits(6, split="test", seed=1000)
    model = network("gaspnet", pretrained=True, seed=1)
    drive, phases = model.drive(scenes.images), near_zero(scenes, 1000)
    with torch.no_grad():
        for t in range(4):
            top = model.readout(phases, drive).topk(2).indices.sort(1).values
            right = (top == scenes.labels.sort(1).values).all(1)
            there = result.exact.sel(scene="2 digits", way="gaspnet", seed=1, time=t)
            assert np.array_equal(there.values.astype(bool), right.numpy())
            step = model(torch.tensor(float(t)), phases, drive)
            phases = tuple(p + d for p, d in zip(phases, step, strict=True))


def test_controls_do_not_move(result):
    for way in ("cnn", "random phases", "ideal phases", "ideal, substituted"):
        exact = result.exact.sel(way=way)
        assert (exact == exact.isel(time=0)).all()
    assert (result.difference.sel(way="cnn") == 0).all()
    assert (result.nfe.sel(way="gaspnet") == 3).all()
    assert np.isnan(result.figure_ground.sel(way="cnn")).all()
    assert np.allclose(result.within_objects.sel(way="ideal phases", scene="2 digits"), 1, atol=0.1)


def test_grouping_of_ideal_phases():
    """Background and two objects are a third of a circle apart."""
    scenes = nd.stimuli.multi_digits(5, split="test")
    state = tuple(p[None] for p in ideal_state(scenes.masks))
    found = grouping(network(), state, scenes)
    third = torch.full((1, 5), 2 * np.pi / 3)
    assert torch.allclose(found["between_objects"][0], third, atol=0.15)
    assert torch.allclose(found["figure_ground"][0], torch.full((1, 5), np.pi), atol=0.3)


def test_a_second_run_computes_nothing(result, folder, fewer, monkeypatch):
    def never(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.conditions.answer", never)
    xr.testing.assert_identical(gaspnet(out=folder, **SMALL), result)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": 0}, "images must be a whole number from 1 up"),
        ({"training_seeds": (0,)}, "two or more of 0, 1, 2"),
        ({"duration": 2}, "duration must be a whole number from 3 up"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        gaspnet(out=tmp_path, **(SMALL | wrong))
    assert not any(tmp_path.iterdir())
