"""The study of one object over a background, at a small scale."""

from importlib import import_module

import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.models.train_gattanet import KINDS, scene_settings, untrained
from neurodyn.models.train_komplexnet import store
from neurodyn.studies import gattanet as module
from neurodyn.studies.gattanet import CONDITIONS, SUBJECT, gattanet, trained, ways

SEEDS = (3, 5)
SMALL = {"images": 8, "training_seeds": SEEDS, "duration": 3, "seed": 7}
PAIRS = ("1 object", "2 objects")
"""Scenes that are looked at here: the others differ in noise or overlap alone."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Networks of one's own, untrained."""
    folder = tmp_path_factory.mktemp("weights")
    for kind in KINDS:
        for seed in SEEDS:
            store(untrained(kind, seed), folder / f"gattanet-{kind}-{seed}.safetensors", {})
    return folder


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
def result(folder, fewer, weights):
    return gattanet(out=folder, weights=weights, **SMALL)


def test_what_the_study_returns_and_writes(result, folder):
    assert dict(result.sizes) == {
        "scene": 3, "way": 7, "seed": 2, "time": 4, "sample": 8, "ci_bound": 2, "layer": 5
    }  # fmt: skip
    xr.testing.assert_identical(nd.load(folder / "gattanet.nc"), result)
    for name, variable in result.variables.items():
        assert {"long_name", "units"} <= set(variable.attrs), name
    for name in ("accuracy.png", "agreement.png", "discretisation.png", "summary.md"):
        assert (folder / name).stat().st_size > 1000
    page = (folder / "summary.md").read_text(encoding="utf-8")
    assert "Gaussian sd .05" in page and "0.10 (0.10 to 0.10)" in page  # gains, as they start
    assert "1/f noise" in page and "GAttANet-style, reconstructed" in page
    assert result.attrs["background"] == "1/f noise" and result.attrs["items"] == "digits"


def test_answers_are_those_of_the_networks(result, weights):
    """One way and one seed, by a loop of its own over the published passes."""
    settings, _ = scene_settings("test", "digits", "1/f", None)
    scenes = nd.stimuli.multi_digits(8, split="test", seed=7, **settings)
    model = trained("gattanet", weights, 5)
    drive = model.drive(scenes.images)
    maps = model.initial_state(drive)
    with torch.no_grad():
        for t in range(4):
            right = model.readout(maps, drive).argmax(1) == scenes.labels[:, 0]
            there = result.exact.sel(scene="1 object", way="gattanet", seed=5, time=t)
            assert np.array_equal(there.values.astype(bool), right.numpy())
            maps = tuple(model.agreements(*model.respond(maps, drive)))


def test_ways_start_as_their_own_network_and_controls_do_not_move(result, weights):
    """At t = 0 gains are 1: the backbone alone, which is alpha = 0."""
    exact = result.exact
    for way in ("cnn", "longer cnn", "wider cnn"):
        assert (exact.sel(way=way) == exact.sel(way=way).isel(time=0)).all()
    settings, _ = scene_settings("test", "digits", "1/f", None)
    scenes = nd.stimuli.multi_digits(8, split="test", seed=7, **settings)
    first = exact.isel(time=0).sel(scene="1 object")
    for way in ("gattanet", "gattanet, adaptive"):
        for seed in SEEDS:
            alone = trained("gattanet", weights, seed).backbone(scenes.images).argmax(1)
            right = (alone == scenes.labels[:, 0]).numpy()
            assert np.array_equal(first.sel(way=way, seed=seed).values.astype(bool), right)
    assert (result.difference.sel(way="cnn") == 0).all()
    assert (result.nfe.sel(way="gattanet") == 3).all()
    assert (result.nfe.sel(way="gattanet, adaptive") > 3).all()
    assert (result.recall >= result.exact).all()


def test_a_second_run_computes_nothing(result, folder, fewer, weights, monkeypatch):
    def never(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.conditions.answer", never)
    monkeypatch.setattr("neurodyn.studies._agreement.discretisation", never)
    xr.testing.assert_identical(gattanet(out=folder, weights=weights, **SMALL), result)


def test_networks_of_ones_own(weights, tmp_path):
    network = untrained("cnn", 3)
    own = ways(weights)[0].make(3)
    for name, value in network.state_dict().items():
        assert torch.equal(own.state_dict()[name], value.half().float())
    with pytest.raises(FileNotFoundError, match="gattanet-cnn-4.safetensors is not there: give"):
        gattanet(out=tmp_path, weights=weights, **(SMALL | {"training_seeds": (3, 4)}))
    assert not any(tmp_path.iterdir())


def test_cifar_is_fetched_only_if_asked_for(tmp_path, monkeypatch):
    asked = []

    def fetched(folder):
        asked.append(folder)
        raise ConnectionError("no network")

    monkeypatch.setattr(import_module("neurodyn.stimuli.backgrounds"), "fetch", fetched)
    at = {"out": tmp_path / "out", "cifar": tmp_path / "cifar", "background": "cifar"}
    shipped = SMALL | {"training_seeds": (0, 1)}
    with pytest.raises(FileNotFoundError, match="or download=True to fetch it"):
        gattanet(**at, **shipped)
    assert not asked
    with pytest.raises(ConnectionError, match="no network"):
        gattanet(**at, **shipped, download=True)
    assert asked == [(tmp_path / "cifar").resolve()]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": 0}, "images must be a whole number from 1 up"),
        ({"training_seeds": (0,)}, "two or more of 0, 1, 2"),
        ({"duration": 2}, "duration must be a whole number from 3 up"),
        ({"items": "fashion"}, "know digits only"),
        ({"background": "cifar"}, "needs the folder"),
        ({"background": "cifar", "download": True}, "give the folder to put it in"),
        ({"training_seeds": (0, 3)}, "Networks of other seeds do not ship"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        gattanet(out=tmp_path, **(SMALL | {"training_seeds": (0, 1)} | wrong))
    assert not any(tmp_path.iterdir())
