"""Training in two stages, of GAttANet and its controls: what is minimised, and going on."""

import json

import pytest
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
import xarray as xr

import neurodyn as nd
from neurodyn.models.gattanet import gattanet, matched_cnn, plain
from neurodyn.models.train_gattanet import (
    KINDS,
    scene_settings,
    scenes_for,
    train_gattanet,
    untrained,
)
from neurodyn.models.two_stages import Reading
from neurodyn.stimuli.fashion import FOLDER

SMALL = {"seeds": (0,), "canvases": 24, "epochs": 2, "joint_canvases": 16, "joint_epochs": 1,
         "batch_size": 8, "workers": 1}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gattanet")
    return folder, train_gattanet(out=folder, **SMALL)


def weights_of(path):
    return safetensors.torch.load(path.read_bytes())


# ---- what is minimised, by loops of its own


def batch(n=5):
    images, none, target = scenes_for("digits", "1/f", None, None, "cnn", n, 3)
    return images, none, target


def steps_by_hand(model, images, method):
    """Return logits at t = 1, 2, 3, from the right-hand side alone."""
    drive = model.drive(images)
    state = model.initial_state(drive)
    logits = []

    def slope(y):
        return model(torch.tensor(0.0), y, drive)

    def moved(y, h, k):
        return tuple(a + h * b for a, b in zip(y, k, strict=True))

    for _ in range(3):
        k1 = slope(state)
        if method == "euler":
            state = moved(state, 1.0, k1)
        else:  # the 3/8 rule
            k2 = slope(moved(state, 1 / 3, k1))
            k3 = slope(tuple(a + q - p / 3 for a, p, q in zip(state, k1, k2, strict=True)))
            k4 = slope(
                tuple(a + p - q + r for a, p, q, r in zip(state, k1, k2, k3, strict=True))
            )  # fmt: skip
            total = [
                (p + 3 * q + 3 * r + s) / 8 for p, q, r, s in zip(k1, k2, k3, k4, strict=True)
            ]  # fmt: skip
            state = moved(state, 1.0, total)
        logits.append(model.readout(state, drive))
    return logits


@pytest.mark.parametrize("method", ["euler", "rk4"])
@torch.no_grad()
def test_the_loss_is_the_mean_over_three_steps(method):
    images, none, target = batch()
    model = gattanet("small", channels=1, gain=2.0, seed=1).double()
    images, target = images.double(), target.double()
    loss, right = Reading(model, method)(images, none, target)
    logits = steps_by_hand(model, images, method)
    wanted = 0.0
    for at in logits:
        for row, shown in zip(at, target, strict=True):
            terms = [-F.logsigmoid(x if y else -x) for x, y in zip(row, shown, strict=True)]
            wanted += float(sum(terms)) / 10 / 3
    hits = sum(int(at.argmax() == y.argmax()) for at, y in zip(logits[-1], target, strict=True))
    assert float(loss) == pytest.approx(wanted, rel=1e-6)  # logits are read in single precision
    assert int(right) == hits


def test_euler_is_the_published_iteration():
    """Pass, agreements, the next pass with them as gains: the loss of three such passes."""
    images, none, target = batch()
    model = gattanet("small", channels=1, gain=2.0, seed=1)
    drive = model.drive(images)
    maps = model.initial_state(drive)
    losses = []
    for _ in range(3):
        maps = tuple(model.agreements(*model.respond(maps, drive)))
        logits = model.readout(maps, drive)
        losses.append(F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1))
    found = Reading(model, "euler")(images, none, target)[0]
    torch.testing.assert_close(found, torch.stack(losses).mean(0).sum())


def test_a_network_alone_is_read_once():
    images, none, target = batch()
    network = plain("small", channels=1)
    loss, _ = Reading(network, "euler")(images, none, target)
    own = F.binary_cross_entropy_with_logits(network(images), target, reduction="none")
    torch.testing.assert_close(loss, own.mean(1).sum())


def test_untrained_weights_keep_rectifiers_alive():
    for kind in KINDS:
        model = untrained(kind, 2)
        network = getattr(model, "backbone", model)
        for layer in network:
            if hasattr(layer, "weight"):
                weights = layer.weight.detach()
                wanted = 2 / weights[0].numel()
                spread = 6 * wanted * (2 / weights.numel()) ** 0.5  # of a variance, six sigma
                assert float(weights.square().mean()) == pytest.approx(wanted, abs=spread)
                if layer is not network[-1]:
                    assert not layer.bias.any()
        torch.testing.assert_close(network[-1].bias.sigmoid(), torch.full((10,), 0.1))
    same = [untrained(kind, 2) for kind in ("cnn", "gattanet", "gattanet-rk4")]
    for name, value in same[0].state_dict().items():
        assert torch.equal(value, same[1].backbone.state_dict()[name])
        assert torch.equal(value, same[2].backbone.state_dict()[name])


# ---- both stages


def test_what_is_returned_and_written(trained):
    folder, result = trained
    assert dict(result.sizes) == {"kind": 5, "seed": 1}
    assert result.kind.values.tolist() == list(KINDS)
    images = {kind: 24 * 2 + 16 * (6 if kind == "longer" else 1) for kind in KINDS}
    assert result.images.squeeze("seed").values.tolist() == list(images.values())
    assert (result.duration > 0).all()
    assert ((result.exact >= 0) & (result.exact <= 1) & (result.loss > 0)).all()
    for variable in result.data_vars.values():
        assert {"long_name", "units"} <= set(variable.attrs)
    xr.testing.assert_identical(nd.load(folder / "training.nc"), result)
    for kind in KINDS:
        path = folder / f"gattanet-{kind}-0.safetensors"
        own = untrained(kind, 0).state_dict()
        there = weights_of(path)
        assert {k: v.shape for k, v in there.items()} == {k: v.shape for k, v in own.items()}
        assert {v.dtype for v in there.values()} == {torch.float16}
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["neurodyn"])
        assert about["background"] == "1/f noise" and about["kind"] == kind


def test_everything_is_trained(trained):
    folder, _ = trained
    for kind in KINDS:
        before = untrained(kind, 0).state_dict()
        for name, after in weights_of(folder / f"gattanet-{kind}-0.safetensors").items():
            assert not torch.equal(after, before[name].half()), f"{kind}: {name}"


def test_the_second_stage_goes_on_from_the_first(tmp_path):
    """Where it learns nothing, every kind is the network as it was."""
    train_gattanet(out=tmp_path, **(SMALL | {"joint_learning_rate": 0.0}))
    alone = {name: weights_of(tmp_path / f"{name}-0" / "alone.safetensors") for name in KINDS[:2]}
    for kind in KINDS:
        prefix = "backbone." if kind.startswith("gattanet") else ""
        found = weights_of(tmp_path / f"gattanet-{kind}-0.safetensors")
        for name, value in alone["matched" if kind == "matched" else "cnn"].items():
            assert torch.equal(found[prefix + name], value)
    assert not any(
        torch.equal(value, weights_of(tmp_path / "gattanet-cnn-0.safetensors")[name])
        for name, value in plain("small", channels=1).half().state_dict().items()
    )


def test_the_same_call_goes_on(trained, tmp_path):
    folder, result = trained
    files = {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}
    (folder / "cells" / "gattanet-0.nc").unlink()  # as if stopped before its end
    again = train_gattanet(out=folder, **SMALL)
    xr.testing.assert_equal(again.drop_vars("duration"), result.drop_vars("duration"))
    assert files == {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}
    fewer = train_gattanet(out=tmp_path, **(SMALL | {"kinds": ("gattanet",)}))
    assert fewer.loss.item() == result.loss.sel(kind="gattanet", seed=0).item()


def test_solvers_of_training_differ(trained):
    folder, _ = trained
    by = [weights_of(folder / f"gattanet-{kind}-0.safetensors") for kind in KINDS[2:]]
    assert any(not torch.equal(by[0][name], by[1][name]) for name in by[0])


# ---- the scenes


def test_all_kinds_see_the_same_scenes():
    first = scenes_for("digits", "1/f", None, None, "cnn", 9, 4)
    model = gattanet("small", channels=1)
    second = scenes_for("digits", "1/f", None, model, "gattanet", 9, 4)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert first[0].shape == (9, 1, 32, 32) and first[1].shape == (9, 0)
    assert (first[2].sum(1) == 1).all()
    other = scenes_for("digits", "1/f", None, None, "cnn", 9, 5)
    assert not torch.equal(first[0], other[0])


def test_backgrounds_are_named():
    settings, name = scene_settings("test", "digits", "1/f", None)
    assert name == "1/f noise" and settings["background"] == "1/f" and settings["objects"] == 1
    pytest.importorskip("skimage")
    for split, half in (("train", "left"), ("test", "right")):
        settings, name = scene_settings(split, "digits", "photographs", None)
        assert name == f"photographs of scikit-image, {half} halves"
        assert nd.stimuli.multi_digits(2, split=split, **settings).images.shape == (2, 1, 32, 32)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_fashion_items_are_of_their_split():
    for split, n in (("train", 60_000), ("test", 10_000)):
        settings, _ = scene_settings(split, "fashion", "1/f", None)
        assert len(settings["items"].images) == n


def test_what_is_refused(tmp_path):
    for wrong, said in (
        ({"kinds": ("gaspnet",)}, "'gaspnet' is not one of cnn, matched"),
        ({"items": "letters"}, "items 'letters' is not one of"),
        ({"background": "noise"}, "kind 'noise' is not one of"),
        ({"background": "cifar"}, "needs the folder cifar-10-batches-py"),
    ):
        with pytest.raises(ValueError, match=said):
            train_gattanet(out=tmp_path / "none", **(SMALL | wrong))
    assert not (tmp_path / "none").exists()


# ---- what ships


@pytest.mark.parametrize("seed", [0, 1, 2])
@torch.no_grad()
def test_shipped_weights_are_good_but_off_their_ceiling(seed):
    settings, _ = scene_settings("test", "digits", "1/f", None)
    scenes = nd.stimuli.multi_digits(256, split="test", seed=77, **settings)
    labels = scenes.labels[:, 0]
    common = {"channels": 1, "pretrained": True, "seed": seed}
    networks = {"cnn": plain("small", **common), "matched": matched_cnn("small", **common)}
    for name, network in networks.items():
        share = float((network(scenes.images).argmax(1) == labels).float().mean())
        assert 0.8 < share < 0.98, name
    for solver in ("euler", "rk4"):
        model = gattanet("small", **(common | {"pretrained": solver}))
        run = nd.integrate(model, scenes.images, [0.0, 1.0, 2.0, 3.0], method=solver)
        share = (run.readout.argmax(2) == labels).float().mean(1)
        assert 0.8 < float(share[1:].min()) and float(share.max()) < 0.98
        assert model.gain.abs().max() > 0.05
