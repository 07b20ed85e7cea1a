"""Training of networks with feedback and of their rates: what is minimised, and going on."""

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import xarray as xr

import neurodyn as nd
from neurodyn.feedback_ablation import rates_of
from neurodyn.models.feedback_nets import (
    START,
    feedback_net,
    pictures,
    set_rates,
    with_rates,
)
from neurodyn.models.feedback_stages import train_rates
from neurodyn.models.over_time import ERROR_UNIT, OverTime, RatesByNoise, native_enlargement
from neurodyn.models.train_feedback import train_feedback
from neurodyn.rates import Rates
from neurodyn.stimuli import gaussian
from neurodyn.stimuli.fashion import FOLDER
from neurodyn.train import deterministic

TINY = {
    "networks": ("pshallow",), "seeds": (1,), "gaussian": (0.0, 0.4), "salt_pepper": (0.1,),
    "images": 48, "epochs": 2, "decoder_epochs": 2, "batch_size": 16,
    "supervised_epochs": 1, "rate_images": 24, "rate_epochs": 2, "rate_batch_size": 8, "steps": 3,
    "workers": 1,
}  # fmt: skip
SMALL = TINY | {
    "images": 16, "epochs": 1, "decoder_epochs": 1, "rate_images": 8, "rate_epochs": 1, "steps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feedback")
    return folder, train_feedback(out=folder, **TINY)


def weights_of(path):
    return safetensors.torch.load(path.read_bytes())


def one(rate, noise_type, noise):
    return rate.isel(network=0, data=0, seed=0).sel(noise_type=noise_type, noise=noise)


# ---- what is minimised


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_the_loss_is_the_mean_over_steps_of_each_noise_level_with_its_own_rates(update):
    model = feedback_net("pshallow", "digits", update=update).double().requires_grad_(False)
    images, labels = pictures("digits", "train", 3)
    noisy = torch.stack([images, gaussian(images, 0.4)], 1).double()
    rates = RatesByNoise(2, 3).double()
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        rates.raw.add_(torch.randn(3, 2, 3, generator=draws))
        rates.error.add_(torch.rand(2, 3, generator=draws) / ERROR_UNIT)
    sums = OverTime(model, 3, rates)(noisy, labels).detach()
    expected, right = [], []
    for k in range(2):
        shares = torch.sigmoid(rates.raw[:, k]).detach()
        beta, lam, _ = (shares / shares.sum(0)).tolist()
        alone = with_rates(model, Rates(beta, lam, (ERROR_UNIT * rates.error[k]).tolist(), 3))
        drive = alone.drive(noisy[:, k])
        state, loss, hits = alone.initial_state(drive), 0.0, []
        for t in range(4):
            logits = alone.readout(state, drive)
            hits.append(float((logits.argmax(1) == labels).sum()))
            if t:
                loss += F.cross_entropy(logits, labels, reduction="sum") / 3
            slope = alone(torch.tensor(float(t)), state, drive)
            state = tuple(e + d for e, d in zip(state, slope, strict=True))
        expected.append(float(loss))
        right.append((hits[0], hits[-1]))
    torch.testing.assert_close(sums[1:3].tolist(), expected, rtol=1e-9, atol=0)
    assert sums[0] == pytest.approx(sum(expected))
    assert sums[3:].tolist() == [hit[0] for hit in right] + [hit[1] for hit in right]


def test_gradients_go_through_every_step_and_the_error_term():
    model = feedback_net("pshallow", "digits").double().requires_grad_(False)
    images, labels = pictures("digits", "train", 2)
    rates = RatesByNoise(1, 3).double()
    with torch.no_grad():
        rates.error.fill_(0.3 / ERROR_UNIT)
    task, noisy = OverTime(model, 3, rates), images[:, None].double()
    task(noisy, labels)[0].backward()
    for parameter in (rates.raw, rates.error):
        width = 1e-4 * float(parameter.detach().abs().max())
        for n in range(parameter.numel()):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.view(-1)[n] += sign * width
                    ends.append(task(noisy, labels)[0].item())
                    parameter.view(-1)[n] -= sign * width
            slope = (ends[0] - ends[1]) / (2 * width)
            assert float(parameter.grad.view(-1)[n]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_noise_levels_side_by_side_learn_what_each_learns_alone():
    model = feedback_net("pshallow", "digits", seed=2)
    images, labels = pictures("digits", "train", 20)
    noises = [("gaussian", 0.4), ("salt_pepper", 0.1)]
    fitting = {
        "accelerator": "cpu", "precision": "32-true", "seed": 3, "path": None, "epochs": 2,
        "learning_rate": 1e-2, "batch_size": 8, "steps": 2, "update": "simultaneous",
        "noisy_images": 30,
    }  # fmt: skip
    before = {name: value.clone() for name, value in model.state_dict().items()}
    both = train_rates(model, images, labels, fitting | {"noises": noises})
    for noise in noises:
        alone = train_rates(model, images, labels, fitting | {"noises": [noise]})
        picked = both.sel(noise_type=noise[0], noise=noise[1])
        xr.testing.assert_allclose(picked, alone.isel(noise_type=0, noise=0), rtol=1e-4, atol=1e-6)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert np.isnan(both.rate.sel(noise_type="gaussian", noise=0.1)).all()


def test_alpha_moves_by_a_hundredth_of_the_others():
    rates = RatesByNoise(2, 3)
    optimizer = torch.optim.Adam(rates.parameters(), lr=1e-2)
    before = [torch.stack(part) for part in rates()]
    torch.testing.assert_close(before[0], torch.full((3, 2), START[0]))
    assert before[2].abs().max() == 0
    (rates.raw.sum() + rates()[2][0].sum()).backward()
    optimizer.step()
    alpha = torch.stack(rates()[2])
    torch.testing.assert_close(alpha[0], torch.full((2,), -1e-4), rtol=1e-3, atol=0)
    torch.testing.assert_close(rates.raw.detach(), torch.logit(torch.tensor(
        [[[0.33]], [[0.33]], [[0.34]]])).expand(3, 2, 3) - 1e-2, rtol=1e-4, atol=0)  # fmt: skip


@pytest.mark.parametrize(("device", "inside"), [("cpu", True), ("cuda", False)])
def test_reproducible_kernels_are_asked_for_on_the_cpu(device, inside):
    with deterministic():
        with native_enlargement(torch.device(device)):
            assert torch.are_deterministic_algorithms_enabled() is inside
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


# ---- all stages


def test_every_stage_is_kept_and_found_again(trained):
    folder, found = trained
    files = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    xr.testing.assert_identical(train_feedback(out=folder, **TINY), found)
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == files
    name = "pshallow-digits-1"
    weights = (folder / f"feedback-{name}.safetensors").read_bytes()
    for stage in ("decoders", "rates"):
        (folder / "cells" / f"feedback-{name}-{stage}.nc").unlink()
        (checkpoint,) = (folder / "cells").glob(f"feedback-{name}-{stage}-*.ckpt")
        checkpoint.unlink()
    again = train_feedback(out=folder, **TINY)
    xr.testing.assert_identical(again.drop_vars("duration"), found.drop_vars("duration"))
    assert (folder / f"feedback-{name}.safetensors").read_bytes() == weights
    kept = nd.load(folder / "rates.nc")
    xr.testing.assert_identical(kept.drop_vars("duration"), found.drop_vars("duration"))


def test_an_epoch_of_rates_is_gone_on_from(trained, tmp_path):
    _, found = trained
    train_feedback(out=tmp_path, **TINY | {"rate_epochs": 1})
    longer = train_feedback(out=tmp_path, **TINY)  # the checkpoint holds the first epoch
    xr.testing.assert_identical(longer.drop_vars("duration"), found.drop_vars("duration"))


def test_rates_go_back_into_a_network(trained):
    folder, found = trained
    model = feedback_net("pshallow", "digits", seed=1)
    rate = one(found.rate, "gaussian", 0.4)
    other = set_rates(model, rate)
    xr.testing.assert_allclose(rates_of(other), rate.drop_vars(["network", "data", "seed",
                               "noise_type", "noise"]))  # fmt: skip
    assert rates_of(model).sel(term="feedback", layer="layer1") == START[1]
    assert other.backbone is model.backbone
    start = one(found.rate, "gaussian", 0.0)
    assert float(abs(rate - start).max()) > 1e-4  # each level has its own
    assert found.rate.dims == (
        "network", "data", "seed", "noise_type", "noise", "term", "layer",
    )  # fmt: skip
    assert found.time.values.tolist() == [0.0, 3.0]


def test_supervised_weights_are_beside_the_others(trained):
    folder, found = trained
    other = train_feedback(out=folder, supervised=True, **TINY)
    plain = weights_of(folder / "feedback-pshallow-digits-1.safetensors")
    taught = weights_of(folder / "feedback-pshallow-digits-1-supervised.safetensors")
    for part in ("backbone.layer1.0.weight", "decoders.0.weight", "decoders.2.1.weight"):
        assert not torch.equal(plain[part], taught[part])  # decoders.0 by the error term alone
    assert (folder / "rates-supervised.nc").exists()
    assert not np.array_equal(other.loss, found.loss)


def test_later_commands_add_to_the_rates_of_earlier_ones(tmp_path):
    together = train_feedback(out=tmp_path / "a", **SMALL | {"seeds": (0, 1)})
    train_feedback(out=tmp_path / "b", **SMALL | {"seeds": (1,)})
    apart = train_feedback(out=tmp_path / "b", **SMALL | {"seeds": (0,)})
    xr.testing.assert_identical(apart.drop_vars("duration"), together.drop_vars("duration"))
    xr.testing.assert_identical(nd.load(tmp_path / "b" / "rates.nc"), apart)
    before = sorted((tmp_path / "b" / "cells").iterdir())
    with pytest.raises(ValueError, match="digits-0, .*digits-1 of another.*steps = 1, not 2.*give"):
        train_feedback(out=tmp_path / "b", **SMALL | {"seeds": (2,), "steps": 2})
    assert sorted((tmp_path / "b" / "cells").iterdir()) == before


def test_another_setting_trains_anew_and_lost_weights_are_made_again(tmp_path):
    first = train_feedback(out=tmp_path, **SMALL)
    weights = tmp_path / "feedback-pshallow-digits-1.safetensors"
    backbone = tmp_path / "cells" / "feedback-pshallow-digits-1-backbone.safetensors"
    kept = weights.read_bytes(), backbone.read_bytes()
    other = train_feedback(out=tmp_path, **SMALL | {"learning_rate": 1e-3, "batch_size": 8})
    assert not np.array_equal(other.rate, first.rate)
    assert (weights.read_bytes(), backbone.read_bytes()) != kept
    again = train_feedback(out=tmp_path, **SMALL)
    xr.testing.assert_identical(again.drop_vars("duration"), first.drop_vars("duration"))
    backbone.write_bytes(b"damaged")
    weights.unlink()
    again = train_feedback(out=tmp_path, **SMALL)
    xr.testing.assert_identical(again.drop_vars("duration"), first.drop_vars("duration"))
    assert (weights.read_bytes(), backbone.read_bytes()) == kept
    assert "last run" in first.duration.attrs["long_name"]


def test_a_residual_network_with_norms_that_stay(tmp_path):
    found = train_feedback(out=tmp_path, **SMALL | {"networks": ("presnet18",)})
    assert found.layer.values.tolist() == ["conv1", *(f"layer{n}.1.conv2" for n in range(1, 5))]
    stem = "feedback-presnet18-digits-1"
    first = weights_of(tmp_path / "cells" / f"{stem}-backbone.safetensors")
    last = weights_of(tmp_path / f"{stem}.safetensors")
    mean = "backbone.bn1.running_mean"
    assert first[mean].abs().max() > 0
    assert torch.equal(first[mean], last[mean])
    decoders = [name for name in first if name.startswith("decoders")]
    assert not any(torch.equal(first[name], last[name]) for name in decoders)


# ---- at the door


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'alexnet' is not one of pshallow"):
        train_feedback(out=tmp_path, networks=("alexnet",))
    with pytest.raises(ValueError, match="'cats' is not one of digits, fashion"):
        feedback_net("pshallow", "cats")
    with pytest.raises(ValueError, match="none of them twice"):
        train_feedback(out=tmp_path, seeds=(0, 0))
    with pytest.raises(ValueError, match="none of them twice"):
        train_feedback(out=tmp_path, gaussian=(), salt_pepper=())
    with pytest.raises(ValueError, match="steps must be"):
        train_feedback(out=tmp_path, steps=0)
    for wrong, message in (
        ({"update": "x"}, "update 'x' is not one of simultaneous, sequential"),
        ({"gaussian": (-0.4,)}, "gaussian must be a number from 0 up, got -0.4"),
        ({"gaussian": (float("nan"),)}, "gaussian must be a number from 0 up, got nan"),
        ({"salt_pepper": (2,)}, "salt_pepper must be a number from 0 to 1, got 2"),
        ({"seeds": (-1,)}, "seeds must be a whole number from 0 to 9999, got -1"),
        ({"seeds": (10_000,)}, "seeds must be a whole number from 0 to 9999"),
        ({"steps": 2.5}, "steps must be a whole number from 1 up, got 2.5"),
        ({"workers": 0}, "workers must be a whole number from 1 up"),
        ({"rate_epochs": 0}, "rate_epochs must be a whole number from 1 up"),
        ({"rate_learning_rate": float("nan")}, "rate_learning_rate must be a number above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            train_feedback(out=tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
    model = feedback_net("pshallow", "digits")
    rate = rates_of(model)
    with pytest.raises(ValueError, match="rates of layer3 are missing"):
        set_rates(model, rate.isel(layer=[0, 1]))
    with pytest.raises(ValueError, match=r"missing \(NaN\)"):
        set_rates(model, rate.where(rate.term != "feedforward"))
    with pytest.raises(ValueError, match="not term and layer"):
        set_rates(model, rate.expand_dims("noise"))


@pytest.mark.skipif(not FOLDER.exists(), reason="Fashion-MNIST is not installed")
def test_fashion_pictures():
    images, labels = pictures("fashion", "test", 4)
    assert images.shape == (4, 1, 32, 32)
    assert images.dtype == torch.float32
    assert 0.5 < float(images.max()) <= 1
    assert float(images[..., :2].max()) == 0
    assert labels.dtype == torch.int64
