"""The study of one object over a background, at a small scale."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.models.gattanet import plain
from neurodyn.models.train_gattanet import scene_settings
from neurodyn.studies import gattanet as module
from neurodyn.studies.gattanet import CONDITIONS, SUBJECT, gattanet, trained, ways

SMALL = {"images": 8, "training_seeds": (0, 1), "duration": 3}
PAIRS = ("1 object", "2 objects")
"""Scenes that are looked at here: the others differ in noise or overlap alone."""


@pytest.fixture(scope="module")
def fewer():
    with pytest.MonkeyPatch.context() as patch:
        chosen = tuple(c for c in CONDITIONS if c.label in PAIRS or c.label == SUBJECT.noisy[0])
        patch.setattr(module, "CONDITIONS", chosen)
        subject = module.report.Subject(**(vars(SUBJECT) | {"noisy": SUBJECT.noisy[:1]}))
        patch.setattr(module, "SUBJECT", subject)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gattanet")


@pytest.fixture(scope="module")
def result(folder, fewer):
    return gattanet(out=folder, **SMALL)


def test_what_the_study_returns_and_writes(result, folder):
    assert dict(result.sizes) == {
        "scene": 3, "way": 7, "seed": 2, "time": 4, "sample": 8, "ci_bound": 2
    }  # fmt: skip
    xr.testing.assert_identical(nd.load(folder / "gattanet.nc"), result)
    for name, variable in result.variables.items():
        assert {"long_name", "units"} <= set(variable.attrs), name
    for name in ("accuracy.png", "agreement.png", "discretisation.png", "summary.md"):
        assert (folder / name).stat().st_size > 1000
    page = (folder / "summary.md").read_text(encoding="utf-8")
    assert "1/f noise" in page and "GAttANet-style, reconstructed" in page
    assert result.attrs["background"] == "1/f noise" and result.attrs["items"] == "digits"


def test_answers_are_those_of_the_networks(result):
    """One way and one seed, by a loop of its own over the published passes."""
    settings, _ = scene_settings("test", "digits", "1/f", None)
    scenes = nd.stimuli.multi_digits(8, split="test", seed=1000, **settings)
    model = trained("gattanet", None, 1)
    drive = model.drive(scenes.images)
    maps = model.initial_state(drive)
    with torch.no_grad():
        for t in range(4):
            right = model.readout(maps, drive).argmax(1) == scenes.labels[:, 0]
            there = result.exact.sel(scene="1 object", way="gattanet", seed=1, time=t)
            assert np.array_equal(there.values.astype(bool), right.numpy())
            maps = tuple(model.agreements(*model.respond(maps, drive)))


def test_ways_start_as_their_own_network_and_controls_do_not_move(result):
    exact = result.exact
    for way in ("cnn", "wider cnn", "alpha = 0, substituted"):
        assert (exact.sel(way=way) == exact.sel(way=way).isel(time=0)).all()
    first = exact.isel(time=0)
    for way in ("gattanet", "gattanet, adaptive"):
        assert (first.sel(way=way) == first.sel(way="alpha = 0, substituted")).all()
    assert (result.difference.sel(way="cnn") == 0).all()
    assert (result.nfe.sel(way="gattanet") == 3).all()
    assert (result.nfe.sel(way="gattanet, adaptive") > 3).all()
    assert (result.recall >= result.exact).all()


def test_a_second_run_computes_nothing(result, folder, fewer, monkeypatch):
    def never(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.conditions.answer", never)
    xr.testing.assert_identical(gattanet(out=folder, **SMALL), result)


def test_networks_of_ones_own(tmp_path):
    network = plain("small", channels=1, seed=9)
    nd.models.train_komplexnet.store(network, tmp_path / "gattanet-cnn-0.safetensors", {})
    own = ways(tmp_path)[0].make(0)
    for name, value in network.state_dict().items():
        assert torch.equal(own.state_dict()[name], value.half().float())
    with pytest.raises(FileNotFoundError, match="gattanet-matched-0"):
        ways(tmp_path)[1].make(0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": 0}, "images must be a whole number from 1 up"),
        ({"training_seeds": (0,)}, "two or more of 0, 1, 2"),
        ({"duration": 2}, "duration must be a whole number from 3 up"),
        ({"items": "fashion"}, "know digits only"),
        ({"background": "cifar"}, "needs the folder"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        gattanet(out=tmp_path, **(SMALL | wrong))
    assert not any(tmp_path.iterdir())
