"""The study of GASPnet and its controls, at a small scale."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.models.gaspnet import gaspnet as network
from neurodyn.models.train_komplexnet import store
from neurodyn.studies import gaspnet as module
from neurodyn.studies.gaspnet import CONDITIONS, SUBJECT, gaspnet, near_zero, synchronous, ways

SEEDS = (3, 5)
SMALL = {"images": 6, "training_seeds": SEEDS, "duration": 3, "seed": 7}
USED = ("cnn", "longer", "random", "ideal", "gaspnet", "gaspnet-rk4")
LEFT_OUT = (
    "wider cnn", "gattanet", "one query for all", "taught by masks", "epsilon = 0",
    "a_F = 0, substituted",
)  # fmt: skip
"""Ways that are like others here, where all networks are untrained."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Networks of one's own: untrained, but for constants that tell them apart."""
    folder = tmp_path_factory.mktemp("weights")
    for n, kind in enumerate(USED):
        for seed in SEEDS:
            model = network(kind, seed=seed)
            if isinstance(model, nd.PhaseAgreement):
                torch.nn.init.constant_(model.log_kappa, math.log(0.3 + 0.002 * n + 0.001 * seed))
            store(model, folder / f"gaspnet-{kind}-{seed}.safetensors", {})
    return folder


@pytest.fixture(scope="module")
def fewer():
    with pytest.MonkeyPatch.context() as patch:
        scenes = ("2 digits", "Gaussian sd .1")
        patch.setattr(module, "CONDITIONS", tuple(c for c in CONDITIONS if c.label in scenes))
        patch.setattr(
            module, "ways", lambda own: tuple(w for w in ways(own) if w.label not in LEFT_OUT)
        )
        subject = replace(SUBJECT, noisy=("Gaussian sd .1",), against=("cnn", "random phases"))
        patch.setattr(module, "SUBJECT", subject)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gaspnet")


@pytest.fixture(scope="module")
def result(folder, fewer, weights):
    return gaspnet(out=folder, weights=weights, **SMALL)


def test_what_the_study_returns_and_writes(result, folder):
    assert dict(result.sizes) == {
        "scene": 2, "way": 10, "seed": 2, "time": 4, "sample": 6, "ci_bound": 2, "layer": 5
    }  # fmt: skip
    xr.testing.assert_identical(nd.load(folder / "gaspnet.nc"), result)
    for name, variable in result.variables.items():
        assert {"long_name", "units"} <= set(variable.attrs), name
    for name in ("accuracy.png", "phases.png", "clusters.png", "discretisation.png"):
        assert (folder / name).stat().st_size > 1000
    page = (folder / "summary.md").read_text(encoding="utf-8")
    assert "GASPnet-style, reconstructed" in page and "no published number is" in page
    assert "Gaussian sd .1" in page and "at t=3: distances" in page


def test_all_ways_are_compared_or_part_of_the_two_by_two():
    every = [way.label for way in ways(None)]
    assert len(set(every)) == len(every) == 16
    assert {*SUBJECT.against, *SUBJECT.two_by_two.values()} == set(every)
    assert set(module.DRAWN) < set(every)


def test_the_signature_is_kept(folder, result):
    """Untrained: Euler's step of 1 is too long at a temperature of .1, and not at .3."""
    flips = nd.load(folder / "discretisation-untrained-temperature-0.1.nc")
    calm = nd.load(folder / "discretisation-untrained-temperature-0.3.nc")
    assert flips.step_limit.max() < 1 < calm.step_limit.min()
    convolutions = ["conv1", "conv2", "conv3"]
    last = flips.similarity.isel(time=-1).mean("sample").sel(layer=convolutions)
    assert (last.sel(solver="euler", lag=1) < 0.9).all()
    assert (last.sel(solver="euler", lag=2) > 0.9).all()
    assert (last.sel(solver="adaptive", lag=1) > 0.98).all()
    assert flips.flips.sel(solver="euler").any() and not flips.flips.sel(solver="adaptive").any()
    euler, adaptive = flips.figure_ground.mean("sample").values
    assert adaptive > 2.9 > euler + 0.4
    assert not calm.flips.any() and calm.figure_ground.mean("sample").min() > 2.8
    assert flips.attrs["step_known"] == 0
    assert flips.phase.dims == ("solver", "time", "y", "x")


def test_the_constants_are_those_of_the_networks(result, weights):
    for kind, way in (("gaspnet", "gaspnet"), ("gaspnet-rk4", "gaspnet by rk4, adaptive")):
        for seed in SEEDS:
            model, here = synchronous(weights, seed, kind), result.sel(way=way, seed=seed)
            assert here.kappa == pytest.approx(model.log_kappa.exp().item(), rel=1e-6)
            assert here.epsilon == pytest.approx(model.epsilon.item())
            learnt = torch.sigmoid(model.modulation_logit).tolist()
            assert here.modulation.values[1:] == pytest.approx(learnt)
            assert np.isnan(here.modulation.values[0])
    assert (result.epsilon.sel(way="epsilon = 0, substituted") == 0).all()
    frozen = result.sel(way=["random phases", "ideal phases", "ideal, substituted"])
    assert frozen.kappa.isnull().all() and frozen.modulation.sel(layer="conv2").notnull().all()
    assert result.modulation.sel(way=["cnn", "longer cnn"]).isnull().all()


def test_answers_are_those_of_the_networks(result, weights):
    """One way and one seed, by a loop of its own over Euler's steps."""
    scenes = nd.stimuli.multi_digits(6, split="test", seed=7)
    model = synchronous(weights, 5)
    drive, phases = model.drive(scenes.images), near_zero(scenes, 7)
    with torch.no_grad():
        for t in range(4):
            top = model.readout(phases, drive).topk(2).indices.sort(1).values
            right = (top == scenes.labels.sort(1).values).all(1)
            there = result.exact.sel(scene="2 digits", way="gaspnet", seed=5, time=t)
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


def test_a_second_run_computes_nothing(result, folder, fewer, weights, monkeypatch):
    def never(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.conditions.answer", never)
    monkeypatch.setattr("neurodyn.studies._agreement.discretisation", never)
    monkeypatch.setattr(module, "write", lambda _, *where: module.steps(*where))  # no figures
    xr.testing.assert_identical(gaspnet(out=folder, weights=weights, **SMALL), result)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": 0}, "images must be a whole number from 1 up"),
        ({"training_seeds": (0,)}, "two or more of 0, 1, 2, none twice"),
        ({"training_seeds": (0, 0, 1)}, "none twice"),
        ({"training_seeds": (0, 3)}, "Networks of other seeds do not ship: train them, and give"),
        ({"duration": 2}, "duration must be a whole number from 3 up"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        gaspnet(out=tmp_path, **(SMALL | {"training_seeds": (0, 1)} | wrong))
    assert not any(tmp_path.iterdir())


def test_a_missing_network_is_missed_before_anything_is_computed(weights, tmp_path, monkeypatch):
    monkeypatch.setattr("neurodyn.conditions.answer", lambda *args: pytest.fail("computed"))
    with pytest.raises(FileNotFoundError, match="gaspnet-cnn-4.safetensors is not there: give"):
        gaspnet(out=tmp_path, weights=weights, **(SMALL | {"training_seeds": (3, 4)}))
    assert not any(tmp_path.iterdir())
