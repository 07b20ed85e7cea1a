import json
import os
import sys

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import neurodyn as nd
from neurodyn.models import pc_shallow
from neurodyn.models.train_predify import train_predify
from neurodyn.train import fit_classifier, fit_reconstruction, make_fabric

digits = nd.stimuli.digits


def order(seed=0):
    return torch.Generator().manual_seed(seed)


def interrupt_after(module, passes):
    """Press Ctrl-C when a module has been called so many times."""
    calls = []

    def hook(module, args):
        calls.append(1)
        if len(calls) > passes:
            raise KeyboardInterrupt

    return module.register_forward_pre_hook(hook)


def small_net():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 900, 10))
    for k, p in enumerate(net.parameters()):
        nn.init.uniform_(p, -0.1, 0.1, generator=order(k))
    return net


def classify(net, **kwargs):
    images, labels = digits("train", n=80)
    common = {"test": digits("test", n=40), "generator": order(), "batch_size": 32}
    return fit_classifier(net, images, labels, **common | {"progress": False} | kwargs)


def reconstruct(pc, **kwargs):
    common = {"test": digits("test", n=40)[0], "generator": order(), "batch_size": 32}
    return fit_reconstruction(pc, digits("train", n=80)[0], **common | {"progress": False} | kwargs)


def same_weights(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_classifier_equals_a_plain_loop():
    net, plain, generator = small_net(), small_net(), order()
    learnt = classify(net, epochs=2)
    images, labels = digits("train", n=80)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        for batch in torch.randperm(80, generator=generator).split(32):
            loss = nn.functional.cross_entropy(plain(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    for p, q in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
    first = np.average(losses[:3], weights=[32, 32, 16])
    assert float(learnt.loss.sel(epoch=1, split="train")) == pytest.approx(first, rel=1e-5)


def test_classifier_curves():
    net = small_net()
    learnt = classify(net, epochs=2)
    assert learnt.epoch.values.tolist() == [1, 2]
    assert learnt.split.values.tolist() == ["train", "test"]
    assert {v: learnt[v].dims for v in learnt} == dict.fromkeys(
        ["loss", "accuracy"], ("epoch", "split")
    )
    assert [learnt[v].attrs["units"] for v in ("loss", "accuracy", "epoch")] == ["nat", "1", "1"]
    assert all(learnt[v].attrs["long_name"] for v in learnt.variables)
    images, labels = digits("test", n=40)
    right = (net(images).argmax(1) == labels).float().mean()
    assert float(learnt.accuracy.sel(epoch=2, split="test")) == pytest.approx(float(right))


def test_reconstruction_curves_against_the_definition():
    pc = pc_shallow(pretrained=True)
    learnt = reconstruct(pc, epochs=1)
    assert learnt.layer.values.tolist() == ["layer1", "layer2", "layer3"]
    assert learnt.loss.dims == ("epoch", "split")
    for name in ("mean_squared_error", "residual_variance"):
        assert learnt[name].dims == ("epoch", "split", "layer")
        assert learnt[name].attrs["units"] == "1" and learnt[name].attrs["long_name"]
    images, _ = digits("test", n=40)
    last = learnt.isel(epoch=-1).sel(split="test")
    with torch.no_grad():
        state = pc.initial_state(pc.drive(images))
        for n, (e, p) in enumerate(zip((images, *state), pc.predictions(state), strict=False)):
            error = float((p - e).square().mean())
            assert float(last.mean_squared_error[n]) == pytest.approx(error, rel=1e-4)
            explained = 1 - error / float(e.var(correction=0))
            assert float(last.residual_variance[n]) == pytest.approx(1 - explained, rel=1e-4)
    assert float(last.loss) == pytest.approx(float(last.mean_squared_error.sum()), rel=1e-5)


def test_reconstruction_trains_the_decoders_alone_and_leaves_modes_as_found():
    pc, untouched = pc_shallow(trainable=True), pc_shallow(trainable=True)
    pc.decoders[1].train()
    frozen = pc.backbone.get_parameter("layer1.0.bias").requires_grad_(False)
    modes = [m.training for m in pc.modules()]
    wanted = [p.requires_grad for p in pc.parameters()]
    reconstruct(pc, epochs=1)
    assert same_weights(pc.backbone, untouched.backbone)
    assert same_weights(pc.rates, untouched.rates)
    pairs = zip(pc.decoders.parameters(), untouched.decoders.parameters(), strict=True)
    assert not any(torch.equal(p, q) for p, q in pairs)
    assert [m.training for m in pc.modules()] == modes
    assert [p.requires_grad for p in pc.parameters()] == wanted and not frozen.requires_grad


def test_reconstruction_makes_missing_decoders():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 2))
    pc = nd.PredictiveCoding(net, ["1"], feedforward=0.3, feedback=0.3, error=0.01)
    loss = reconstruct(pc, epochs=3).loss.sel(split="test")
    assert loss[2] < loss[0]


@pytest.mark.parametrize("fit, make", [(classify, small_net), (reconstruct, pc_shallow)])
@pytest.mark.parametrize("passes", [2, 5])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, fit, make, passes):
    straight, generator = make(), order()
    curves = fit(straight, epochs=3, generator=generator)

    broken = make()
    first = broken[0] if isinstance(broken, nn.Sequential) else broken.decoders[0]
    # an epoch is three training batches and two test batches
    hook = interrupt_after(first, passes)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, epochs=3, out=tmp_path)
    hook.remove()
    assert len(list(tmp_path.iterdir())) == (passes >= 5)

    resumed, other = make(), order()
    again = fit(resumed, epochs=3, out=tmp_path, generator=other)
    assert same_weights(resumed, straight)
    xr.testing.assert_identical(again, curves)
    assert torch.equal(generator.get_state(), other.get_state())
    (checkpoint,) = tmp_path.iterdir()
    assert checkpoint.suffix == ".ckpt"

    finished = make()
    xr.testing.assert_identical(fit(finished, epochs=3, out=tmp_path), curves)
    assert same_weights(finished, straight)


def test_more_epochs_go_on_from_fewer(tmp_path):
    straight = small_net()
    classify(straight, epochs=3)
    classify(small_net(), epochs=1, out=tmp_path)
    resumed = small_net()
    classify(resumed, epochs=3, out=tmp_path)
    assert same_weights(resumed, straight)


def test_a_loss_that_is_not_finite_is_an_error_and_is_not_kept(tmp_path):
    images, labels = digits("train", n=80)
    images[3, 0, 5, 5] = torch.nan
    common = {"generator": order(), "batch_size": 32, "progress": False}
    with pytest.raises(ValueError, match="the training loss of epoch 1 is nan: give a smaller"):
        fit_classifier(small_net(), images, labels, out=tmp_path / "new", **common)
    assert not (tmp_path / "new").exists()
    images, labels = digits("test", n=40)
    unseen = (torch.full_like(images, torch.nan), labels)
    with pytest.raises(ValueError, match="the test loss of epoch 1 is nan"):
        classify(small_net(), epochs=1, test=unseen, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    classify(small_net(), epochs=2, out=tmp_path)
    for message, change in {
        "learning_rate = 0.001, not 0.01": {"learning_rate": 0.01},
        "seed = 0, not 7": {"generator": order(7)},
        "batch_size = 32, not 16": {"batch_size": 16},
        "2 epochs, more than 1": {"epochs": 1},
    }.items():
        with pytest.raises(ValueError, match=f"classifier.ckpt holds another.*{message}.*delete"):
            classify(small_net(), **{"epochs": 2, "out": tmp_path} | change)
    other = small_net()
    nn.init.zeros_(other[0].bias)
    with pytest.raises(ValueError, match="untrained = "):
        classify(other, epochs=2, out=tmp_path)


@pytest.fixture
def few_digits(monkeypatch):
    """The study's digits, 256 to train on and 64 to test on."""
    count = {"train": 256, "test": 64}
    monkeypatch.setattr(nd.stimuli, "digits", lambda split: digits(split, n=count[split]))


def test_train_predify_gives_the_same_bytes_and_leaves_no_trace(few_digits, tmp_path, capsys):
    def settings():
        return (
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark,
            os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
            torch.get_rng_state().tolist(),
        )

    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = settings()
        out = tmp_path / str(seed)
        tree = train_predify(out=out, epochs=1, reconstruction_epochs=2)
        assert settings() == before
        files.append((out / "pc_shallow.safetensors").read_bytes())
        xr.testing.assert_identical(nd.load(out / "training.nc"), tree)
    assert files[0] == files[1]
    assert (
        train_predify(out=tmp_path / "3", epochs=1, reconstruction_epochs=1, seed=1).accuracy.dims
        == ()
    )
    assert (tmp_path / "3" / "pc_shallow.safetensors").read_bytes() != files[0]

    assert tree.residual_variance.sizes == {"layer": 3}
    assert tree["classification/loss"].sizes == {"epoch": 1, "split": 2}
    assert tree["reconstruction/loss"].sizes == {"epoch": 2, "split": 2}
    assert f"accuracy {float(tree.accuracy):.3f}" in capsys.readouterr().out

    weights = tmp_path / "1" / "pc_shallow.safetensors"
    with safe_open(weights, "pt") as file:
        about = json.loads(file.metadata()["neurodyn"])
    assert about == tree.attrs
    assert about["seed"] == 0 and json.loads(about["config"])["reconstruction_epochs"] == 2
    assert load_file(weights).keys() == pc_shallow().state_dict().keys()


def test_without_fabric_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ImportError, match=r'pip install "neurodyn\[train\]"'):
        make_fabric()
    with pytest.raises(ImportError, match=r'pip install "neurodyn\[train\]"'):
        classify(small_net())


def test_errors_at_the_door():
    images, labels = digits("train", n=4)
    with pytest.raises(ValueError, match=r"one int64 category number for each of the 4 images"):
        fit_classifier(small_net(), images, labels[:3], generator=order())
    with pytest.raises(ValueError, match="torch.float32; give one int64"):
        fit_classifier(small_net(), images, labels.float(), generator=order())
    with pytest.raises(ValueError, match=r"torch.uint8; give floating-point numbers"):
        fit_reconstruction(pc_shallow(), images.byte(), generator=order())
    with pytest.raises(ValueError, match="epochs = 0 must be a whole number, 1 or more"):
        classify(small_net(), epochs=0)
    with pytest.raises(ValueError, match="batch_size = 0.5 must be"):
        classify(small_net(), batch_size=0.5)


def test_half_precision_trains():
    learnt = classify(small_net(), epochs=1, fabric=make_fabric(precision="bf16-mixed"))
    assert np.isfinite(learnt.loss).all()


@pytest.mark.parametrize("wrong", [{"accelerator": "bogus"}, {"precision": "bogus"}])
def test_what_fabric_does_not_know_is_refused_in_words(wrong):
    with pytest.raises(ValueError, match="bogus"):
        make_fabric(**wrong)
