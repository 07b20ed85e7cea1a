"""The study of several digits, its training, its intervals and its pictures, at a small scale."""

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from scipy import stats

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis.phase_plots import cyclic_map, phase_colours
from neurodyn.conditions import top_recall
from neurodyn.models.train_komplexnet import exact, train_komplexnet
from neurodyn.studies.komplexnet import WAYS, komplexnet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("komplexnet")


@pytest.fixture(scope="module")
def result(folder):
    return komplexnet(out=folder, images=3, training_seeds=(0, 1))


def test_what_the_study_returns_and_writes(result, folder):
    assert dict(result.sizes) == {
        "scene": 4, "way": 7, "seed": 2, "time": 16, "sample": 3, "ci_bound": 2
    }  # fmt: skip
    saved = nd.load(folder / "komplexnet.nc")
    xr.testing.assert_identical(saved, result)
    for name, variable in result.variables.items():
        assert {"long_name", "units"} <= set(variable.attrs), name
    for name in ("accuracy.png", "accuracy.svg", "phases.png", "film.gif", "summary.md"):
        assert (folder / name).stat().st_size > 1000
    assert "0.949" in (folder / "summary.md").read_text(encoding="utf-8")
    with Image.open(folder / "film.gif") as film:
        assert film.n_frames == 46


def test_a_second_run_computes_nothing(result, folder, monkeypatch):
    def never(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.conditions.answer", never)
    again = komplexnet(out=folder, images=3, training_seeds=(0, 1))
    xr.testing.assert_identical(again, result)


def test_frozen_ways_do_not_move_and_the_others_do(result):
    loss = result.synchrony_loss
    for way in WAYS:
        line = loss.sel(way=way.label, scene="2 digits")
        if way.label == "real":
            assert np.isnan(line).all()
        elif way.label in ("random", "ideal", "ideal, substituted"):
            assert (line == line.isel(time=0)).all()
        else:
            assert (line.isel(time=-1) < line.isel(time=0)).all()
    assert (result.nfe.sel(way="komplexnet") == 15).all()
    assert (result.nfe.sel(way="komplexnet, ODE") > 15).all()


def test_counting_hits_by_brute_force():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 10, generator=generator)
    target = torch.zeros(50, 10)
    for i in range(50):
        target[i, torch.randperm(10, generator=generator)[: 1 + i % 4]] = 1
    for i in range(50):
        shown = set(target[i].nonzero().flatten().tolist())
        best = set(logits[i].topk(len(shown)).indices.tolist())
        assert bool(exact(logits, target)[i]) == (shown == best)
        assert float(top_recall(logits, target)[i]) == pytest.approx(len(shown & best) / len(shown))


def test_the_interval_over_seeds_is_students():
    values = xr.DataArray(np.random.default_rng(0).random((4, 5)), dims=("seed", "time"))
    found = analysis.seed_interval(values, level=0.9)
    for t in range(5):
        low, high = stats.t.interval(0.9, 3, loc=values[:, t].mean(), scale=stats.sem(values[:, t]))
        assert np.allclose(found.mean_ci[t], [low, high])
    with pytest.raises(ValueError, match="two or more"):
        analysis.seed_interval(values[:1])


def test_the_cyclic_map_closes_and_tells_phases_apart_without_hue():
    colours = cyclic_map(360).colors
    step = np.abs(np.diff(colours, axis=0, append=colours[:1])).max()
    assert step < 0.03 and colours.min() >= 0 and colours.max() <= 1
    grey = colours @ [0.2126, 0.7152, 0.0722]
    assert grey.argmax() in range(150, 210) and np.ptp(grey) > 0.25


def test_silence_is_black_and_amplitude_is_brightness():
    phase = np.zeros((1, 3))
    rgb = phase_colours(phase, np.array([[0.0, 0.5, 1.0]]))
    assert np.array_equal(rgb[0, 0], [0, 0, 0]) and np.allclose(rgb[0, 1] * 2, rgb[0, 2])


def test_a_film_has_other_formats_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.gif"):
        analysis.phase_film(xr.Dataset(), tmp_path / "film.mp4")


def test_training_goes_on_where_it_stopped(tmp_path):
    options = {"kinds": ("real", "komplexnet", "feedback"), "seeds": (0,), "canvases": 24,
               "epochs": 2, "joint_canvases": 8, "batch_size": 8}  # fmt: skip
    whole = train_komplexnet(out=tmp_path / "a", **options)
    names = {f"komplexnet-{kind}-0.safetensors" for kind in options["kinds"]}
    assert names <= {path.name for path in (tmp_path / "a").iterdir()}
    again = train_komplexnet(out=tmp_path / "b", **(options | {"kinds": ("real",)}))
    xr.testing.assert_equal(again.loss, whole.loss.sel(kind=["real"]))
    before = {name: (tmp_path / "a" / name).read_bytes() for name in names}
    continued = train_komplexnet(out=tmp_path / "a", **options)
    xr.testing.assert_equal(continued.loss, whole.loss)
    assert before == {name: (tmp_path / "a" / name).read_bytes() for name in names}
    with pytest.raises(ValueError, match="kind"):
        train_komplexnet(out=tmp_path / "c", kinds=("complex",))


@pytest.mark.parametrize(
    "wrong", [{"images": 0}, {"training_seeds": (0,)}, {"training_seeds": (0, 7)}]
)
def test_errors_at_the_door(wrong, tmp_path):
    with pytest.raises(ValueError, match=r"whole number|two or more|0, 1 and 2|0, 1, 2"):
        komplexnet(out=tmp_path, **wrong)
    assert not any(tmp_path.iterdir())


def test_a_silent_object_and_missing_units_can_be_drawn():
    phase = np.zeros((3, 2, 8, 8))
    amplitude = np.zeros((3, 2, 8, 8))
    amplitude[..., :4, :] = 1
    amplitude[0, 0, 0, 0] = phase[0, 0, 0, 1] = np.nan
    dims = ("time", "channel", "y", "x")
    data = xr.Dataset({"phase": (dims, phase), "amplitude": (dims, amplitude)}, {"time": [0, 1, 2]})
    masks = np.zeros((2, 8, 8))
    masks[0, :4], masks[1, 5:] = 1, 1
    figure = analysis.phase_strip(
        data, xr.DataArray(masks[0], dims=("y", "x")),
        xr.DataArray(masks, dims=("group", "y", "x")), frames=2,
    )  # fmt: skip
    assert len(figure.axes) == 7
    rgb = phase_colours(phase[0, 0], amplitude[0, 0])
    assert np.isfinite(rgb).all() and np.array_equal(rgb[0, 0], [0, 0, 0])
