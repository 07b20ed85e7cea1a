"""The study of reliance on feedback: on made-up networks whose rates are planted."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.analysis import feedback_report as report
from neurodyn.cells import weights_hash
from neurodyn.models.feedback_nets import feedback_net
from neurodyn.stimuli import fashion
from neurodyn.stimuli.digits import NOISE
from neurodyn.studies import _feedback as shared
from neurodyn.studies import feedback as study
from neurodyn.studies._feedback_page import at_strongest, claims, page
from neurodyn.studies._subjects import Subject, chosen

SMALL = {
    "subjects": ("pshallow-digits",), "images": 6, "ode_images": 4, "ablation_images": 4,
    "training_seeds": (0, 1), "duration": 2, "rest": 4.0,
}  # fmt: skip
LEVELS = {"gaussian": [0.0, 0.4], "salt_pepper": [0.1]}
LAYERS = ["layer1", "layer2", "layer3"]
KINDS = ["noise_type", "noise_level"]


def planted(kind, level, seed, layer):
    """Reliance rises by about 0.5 per level of noise, and is about 0.1 higher in layer 1."""
    reliance = 0.2 + (0.5 + 0.01 * seed) * level + (0.1 + 0.01 * seed) * (layer == "layer1")
    lam = 0.8 * reliance if layer != "layer3" else np.nan
    beta = 0.8 - np.nan_to_num(lam)
    return [beta, lam, 1 - beta - np.nan_to_num(lam), 0.01]


@pytest.fixture(scope="module")
def weights(feedback_weights):
    levels = sorted({x for values in LEVELS.values() for x in values})
    values = np.full((1, 1, 2, len(levels), 2, 4, 4), np.nan)
    for k, kind in enumerate(LEVELS):
        for level in LEVELS[kind]:
            for seed in (0, 1):
                for n, layer in enumerate(LAYERS):
                    at = levels.index(level)
                    values[0, 0, k, at, seed, :, n + 1] = planted(kind, level, seed, layer)
    rate = xr.DataArray(
        values,
        coords={
            "network": ["pshallow"], "data": ["digits"], "noise_type": list(LEVELS),
            "noise": levels, "seed": [0, 1],
            "term": ["feedforward", "feedback", "memory", "error"],
            "layer": ["conv1", *LAYERS],  # of another network
        },
        dims=("network", "data", "noise_type", "noise", "seed", "term", "layer"),
    )  # fmt: skip
    nd.save(rate.to_dataset(name="rate"), feedback_weights / "rates.nc")
    return feedback_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def result(folder, weights):
    return study.feedback(out=folder, weights=weights, **SMALL)


def test_what_is_written(result, folder):
    node = result["pshallow-digits"]
    noises = ["clean", "gaussian 0.4", "salt_pepper 0.1"]
    assert node["euler"].noise.values.tolist() == noises
    assert dict(node["euler"].correct.sizes) == {"noise": 3, "seed": 2, "time": 3, "sample": 6}
    assert node["ode"].time.values.tolist() == [0, 1, 2, 4]
    assert dict(node["ablation"].correct.sizes) == {"seed": 2, "ablated": 4, "sample": 4}
    assert node["ablation"].attrs["noise"] == "gaussian 0.4"
    solved = [node[name].nfe for name in ("euler", "ode", "ablation", "gradient")]
    assert result.attrs["nfe"] == sum(int(nfe.sum()) for nfe in solved)
    assert (solved[0] == 2).all() and (solved[2] == 2).all()  # Euler's steps of one batch
    assert "2106.04225" in result.attrs["references"]
    xr.testing.assert_identical(nd.load(folder / "feedback.nc"), result)
    written = {path.name for path in folder.iterdir()}
    pictures = {f"{name}-pshallow-digits.png" for name in ("reliance", "rates", "accuracy")}
    assert written == {"feedback.nc", "summary.md", "cells", *pictures}
    page = (folder / "summary.md").read_text()
    assert page.count("**") % 2 == 0 and all(f"({name})" in page for name in pictures)
    assert "missing" not in page and "nan" not in page


def test_planted_reliance_is_found(result):
    rates = result["pshallow-digits/rates"].to_dataset()
    slope = report.noise_slope(rates.reliance.mean("layer"), "gaussian")
    np.testing.assert_allclose(slope, [0.5, 0.51], atol=1e-12)
    lower = report.lower_minus_upper(rates.reliance)
    np.testing.assert_allclose(lower, [[0.1, 0.11]] * 3, atol=1e-12)
    np.testing.assert_allclose(rates.time_constant.sel(layer=["layer1", "layer2"]), 1.25)
    said = claims(result, 2.0)
    assert "Held in 2 of 2" in said[0] and "+0.505 [" in said[0] and "Held in 1 of 1" in said[1]
    assert "by training seed: pshallow-digits: layer1, layer1." in said[1]


def test_answers_by_a_loop_of_ones_own(result, weights):
    model = feedback_net("pshallow", "digits", feedforward=0.4, feedback=0.4)
    stored = safetensors.torch.load_file(weights / "feedback-pshallow-digits-0.safetensors")
    model.load_state_dict({name: value.float() for name, value in stored.items()})
    images, labels = nd.stimuli.digits("test", 6, 0.4, seed=10_000)
    beta, lam = ([planted("gaussian", 0.4, 0, k)[i] for k in LAYERS] for i in (0, 1))
    lam[-1] = 0.0
    right = []
    with torch.no_grad():
        drive = model.drive(images)
        state = model.initial_state(drive)
        for _ in range(3):
            right.append(model.readout(state, drive).argmax(-1) == labels)
            net, g = model.backbone, model.decoders
            e1, e2, e3 = state
            drawn = [net.layer1[0](images), net.layer2(net.layer1[1](e1))[:, :], None]
            drawn[1] = net.layer2[1](net.layer2[0](net.layer1[1](e1)))
            drawn[2] = net.layer3[1](net.layer3[0](net.layer2[2](e2)))
            below, above = [images, e1, e2], [g[1](e2), g[2](e3), e3]
            new = []
            for n, e in enumerate(state):
                with torch.enable_grad():
                    x = e.clone().requires_grad_()
                    loss = (g[n](x) - below[n]).square().sum() / 2
                    (gradient,) = torch.autograd.grad(loss, x)
                slope = beta[n] * (drawn[n] - e) + lam[n] * (above[n] - e)
                new.append(e + slope - 0.01 * model.scale[n] * gradient)
            state = tuple(new)
    found = result["pshallow-digits/euler"].correct.sel(noise="gaussian 0.4", seed=0)
    np.testing.assert_array_equal(found.transpose("time", "sample"), torch.stack(right))


def test_what_cutting_nothing_leaves_is_the_whole(result):
    cut, euler = (result[f"pshallow-digits/{name}"].to_dataset() for name in ("ablation", "euler"))
    whole = euler.correct.sel(noise="gaussian 0.4").isel(time=-1, sample=slice(4))
    np.testing.assert_array_equal(cut.correct.sel(ablated="none"), whole)
    np.testing.assert_allclose(cut.shapley.sum("layer"), cut.total, atol=1e-12)


def test_a_second_run_computes_nothing(result, folder, weights, monkeypatch):
    def never(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("neurodyn.integrate", never)
    monkeypatch.setattr("neurodyn.feedback_terms.integrate", never)
    xr.testing.assert_identical(study.feedback(out=folder, weights=weights, **SMALL), result)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": 1}, "images must be a whole number from 2 up"),
        ({"training_seeds": (0,)}, "two or more"),
        ({"training_seeds": (0, 7)}, "no optimised rates of pshallow-digits from the training"),
        ({"rest": 2.0}, "rest must be later than duration=2"),
        ({"subjects": ("pshallow-cats",)}, "data 'cats' is not one of digits, fashion"),
        (
            {"subjects": ("digits",)},
            "subject 'digits' is not NETWORK-DATA, such as pshallow-digits",
        ),
        ({"subjects": ("foo-digits",)}, "network 'foo' is not one of pshallow"),
        (
            {"subjects": ("pshallow-digits", "presnet18-digits")},
            "^presnet18-digits: there are no weights .*-digits-0, .* no optimised rates .*Train it",
        ),
        ({"training_seeds": (0, 10_000)}, "training_seeds must be from 0 to 9999"),
        ({"device": "cuda"}, "device 'cuda' is not here: .*'cpu' always is"),
        ({"device": "toaster"}, "device 'toaster' is not here"),
        ({"images": 2001}, "digits has 2000 test images, not 2001"),
        ({"subjects": ("pshallow-digits",) * 2}, "one or more that differ"),
        ({"subjects": ()}, "one or more that differ"),
        ({"scale": "paper", "quick": True}, "only laptop can be quick"),
    ],
)
def test_errors_at_the_door(wrong, said, tmp_path, weights):
    if wrong.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=said):
        study.feedback(out=tmp_path, weights=weights, **(SMALL | wrong))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "level"), [("gaussian", 0.4), ("salt_pepper", 0.5)])
def test_noise_of_test_images_is_none_that_a_network_was_trained_with(kind, level):
    grey = torch.full((50, 1, 32, 32), 0.5)
    shown = shared.noisy(grey, kind, level, 0)
    assert not shown.equal(shared.noisy(grey, kind, level, 1))
    for training_seed in range(10):
        trained = NOISE[kind](grey, level, seed=training_seed)
        r = np.corrcoef(shown.flatten(), trained.flatten())[0, 1]
        assert abs(r) < 5 / np.sqrt(shown.numel())  # five standard errors


def test_accuracy_at_the_fixed_point_by_hand(result):
    data = result["pshallow-digits/ode"].to_dataset()
    resting = (data.speed.isel(time=-1) < 0.01).all("layer")
    np.testing.assert_array_equal(data.at_rest, resting)
    np.testing.assert_allclose(data.settled, resting.mean("sample"))
    end, start = (data.correct.isel(time=t).where(resting).mean("sample") for t in (-1, 0))
    np.testing.assert_allclose(data.fixed_point_accuracy, end)
    np.testing.assert_allclose(data.fixed_point_gain, end - start)
    mean = data.prediction_error.mean("sample").transpose(*data.mean_error.dims)
    np.testing.assert_allclose(data.mean_error, mean)


def planted_rest(result):
    """One image of four is at rest under "clean"; none under the others with one network."""
    tree = result.copy()
    whole = tree["pshallow-digits/ode"].to_dataset()
    ode = whole.drop_vars([*study.at_rest_and_errors(whole.drop_vars(KINDS)), *KINDS])
    ode["speed"] = xr.full_like(ode.speed, 1.0)
    ode.speed.loc[{"noise": "clean", "sample": 0}] = 0.001
    ode.speed.loc[{"seed": 0, "sample": 0}] = 0.001
    ode["correct"] = xr.zeros_like(ode.correct)
    ode.correct.loc[{"time": 0, "sample": [1, 2, 3]}] = True
    ode.correct.loc[{"time": 4, "sample": 0}] = True
    ode = study.with_noise(ode.merge(study.at_rest_and_errors(ode)), whole)
    tree["pshallow-digits/ode"] = xr.DataTree(ode)
    return tree


def test_the_fixed_point_is_told_from_the_last_time(result):
    said = claims(planted_rest(result), 2.0)
    fixed, late = said[5], said[6]
    assert "t=4 minus their own at t=0" in fixed and "speed below 0.01 per step" in fixed
    assert "clean: +1.000" in fixed and "Share at rest: pshallow-digits, clean: 25%" in fixed
    assert "gaussian 0.4: 12%" in fixed and "no image at rest: pshallow-digits, gau" in fixed
    assert "gaussian 0.4: +" not in fixed and "nan" not in fixed
    assert "of all images" in late and "clean: -0.500" in late


def test_reliance_by_gradient_and_errors_are_in_the_table(result):
    node = result["pshallow-digits"]
    size, found = node["gradient"]["size"], node["gradient"]["reliance"]
    assert dict(size.sizes) == {"seed": 2, "term": 3, "layer": 3, "sample": 6}
    back, forward = (size.sel(term=k).sum("sample") for k in ("feedback", "feedforward"))
    np.testing.assert_allclose(found.isel(layer=[0, 1]), (back / (back + forward))[:, :2])
    assert found.isel(layer=2).isnull().all() and (found.isel(layer=1) > 0).all()
    _, table = at_strongest(result)["pshallow-digits"]
    error = node["ode"].prediction_error.sel(noise="gaussian 0.4").mean("sample")
    for t in (0, 2):
        given = table[f"error, t={t}"]
        np.testing.assert_allclose(given, error.sel(time=t).transpose(*given.dims))
    assert "| gradient | ablation | Shapley | error, t=0 | error, t=2 |" in page(result)


def test_supervised_networks_are_a_subject_of_their_own(weights, tmp_path):
    for seed in (0, 1):
        old = (weights / f"feedback-pshallow-digits-{seed}.safetensors").read_bytes()
        (tmp_path / f"feedback-pshallow-digits-{seed}-supervised.safetensors").write_bytes(old)
    with pytest.raises(ValueError, match=r"pshallow-supervised-digits: .*rates-supervised\.nc"):
        chosen(("pshallow-supervised-digits",), tmp_path, (0, 1), rates=True)
    (tmp_path / "rates-supervised.nc").write_bytes((weights / "rates.nc").read_bytes())
    found, _ = chosen(("pshallow-supervised-digits",), tmp_path, (0, 1), rates=True)
    assert found == [Subject("pshallow", "digits", supervised=True)]
    assert found[0].label == "pshallow-supervised-digits"
    plain = Subject("pshallow", "digits")
    xr.testing.assert_identical(found[0].rates(tmp_path, (0, 1)), plain.rates(weights, (0, 1)))
    both = (found[0].model(1, tmp_path), plain.model(1, weights))
    assert weights_hash(both[0]) == weights_hash(both[1])
    with pytest.raises(ValueError, match="no rates of pshallow-supervised-digits ship"):
        chosen(("pshallow-supervised-digits",), None, (0, 1), rates=True)


def test_too_many_images():
    with pytest.raises(ValueError, match="digits has 2000 test images, not 2001"):
        Subject("pshallow", "digits").images(2001)


def test_subjects_by_default_are_those_that_are_there(weights, tmp_path, monkeypatch):
    found, left = chosen(None, weights, (0, 1), rates=True)
    assert [subject.label for subject in found] == ["pshallow-digits"]
    assert list(left) == ["presnet18-digits", "pshallow-fashion", "presnet18-fashion"]
    why = "there are no weights feedback-presnet18-digits-0, feedback-presnet18-digits-1"
    assert left["presnet18-digits"] == why
    with pytest.raises(ValueError, match="nothing to study: pshallow-digits: there are no weights"):
        chosen(None, weights, (0, 7), rates=False)

    for seed in (0, 1):
        old = weights / f"feedback-pshallow-digits-{seed}.safetensors"
        (tmp_path / f"feedback-pshallow-fashion-{seed}.safetensors").write_bytes(old.read_bytes())
        (tmp_path / old.name).write_bytes(old.read_bytes())
    monkeypatch.setattr(fashion, "FOLDER", tmp_path / "nowhere")
    found, left = chosen(None, tmp_path, (0, 1), rates=False)
    assert [subject.label for subject in found] == ["pshallow-digits"]
    assert "install Fashion-MNIST" in left["pshallow-fashion"]


def test_the_page_says_what_is_left_out_and_why(result):
    config = json.loads(result.attrs["config"])
    assert config["left_out"] == {} and "Left out" not in page(result)
    tree = result.copy()
    tree.attrs["config"] = json.dumps(config | {"left_out": {"a": "no weights", "b": "why"}})
    assert "the ablation.\n\nLeft out: a (no weights); b (why).\n\n**The" in page(tree)
