"""Decoders of deep networks on a folder of images: what is learnt, kept, held out and refused."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

import neurodyn as nd
from neurodyn import cli
from neurodyn.decoders import Decoder
from neurodyn.models import pefficientnet_lite0, presnet18
from neurodyn.models.decoding import (
    Decoding,
    inputs,
    load_decoders,
    measure,
    pictures_in,
    sensitivity,
    split,
    windows,
)
from neurodyn.models.imagenet import TENSORFLOW
from neurodyn.models.train_decoders import FILE, NETWORKS, train_decoders
from neurodyn.stimuli.backgrounds import one_over_f
from neurodyn.train import Reconstruction

TINY = {
    "network": "pefficientnet_lite0", "weights": "untrained", "size": 32, "classes": 10,
    "crops": 8, "held_out": 0.25, "epochs": 3, "batch_size": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five coloured pictures of 1/f noise, one of them in a folder of its own."""
    root = tmp_path_factory.mktemp("images")
    (root / "more").mkdir()
    noise = one_over_f(np.random.default_rng(0), 15, 48).numpy().reshape(5, 3, 48, 48)
    for k, picture in enumerate(np.uint8(255 * noise)):
        place = root / "more" if k == 4 else root
        Image.fromarray(picture.transpose(1, 2, 0)).save(place / f"{k}.png")
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("decoders")
    return out, train_decoders(images=folder, out=out, **TINY)


def weights_of(out):
    return safetensors.torch.load((out / FILE).read_bytes())


# ---- what is learnt and kept


def test_errors_fall_in_training_and_on_images_held_out(trained):
    _, told = trained
    assert told.error.dims == ("stage", "split", "layer")
    untrained, learnt = told.error.sel(stage="untrained"), told.error.sel(stage="trained")
    assert (learnt < untrained).all() and (told.spread > 0).all()
    moving = told.history.isel(epoch=-1).sel(split="train").sum()
    assert learnt.sel(split="train").sum() < moving < untrained.sel(split="train").sum()
    assert told.history.isel(epoch=-1).sel(split="held out").values == pytest.approx(
        learnt.sel(split="held out").values, rel=5e-3  # kept in half precision
    )  # fmt: skip
    assert told.target.values[:2].tolist() == ["image", "bn1"]
    assert all("long_name" in told[name].attrs and "units" in told[name].attrs for name in told)


def test_what_is_kept_loads_in_one_line_and_is_what_was_measured(trained, folder):
    out, told = trained
    model = pefficientnet_lite0(10, image_size=32)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    loaded = load_decoders(model, out / FILE)
    assert all(torch.equal(v, before[k]) for k, v in loaded.backbone.state_dict().items())
    draws = torch.Generator().manual_seed(0)
    seen, unseen = split(pictures_in(folder), 0.25, draws)
    shown, test = windows(seen, 8, 32, draws), windows(unseen, 2, 32, draws)
    task = Decoding(loaded, *TENSORFLOW, shrinkage=0.2)
    for part, images in (("train", shown), ("held out", test)):
        error, spread = measure(task, images, batch_size=5)
        mine = told.sel(split=part)
        assert error == pytest.approx(mine.error.sel(stage="trained").values, rel=1e-4)
        assert spread == pytest.approx(mine.spread.values, rel=1e-4)


def test_the_file_is_the_decoders_alone_in_half_precision_with_what_they_are(trained):
    out, told = trained
    kept = weights_of(out)
    assert {value.dtype for value in kept.values()} == {torch.float16}
    assert len(kept) == 16 and (out / FILE).stat().st_size < 2 * 874_003 + 5_000
    with safetensors.safe_open(out / FILE, "pt") as file:
        about = json.loads(file.metadata()["neurodyn"])
    config = json.loads(about["config"])
    assert config["network"] == "pefficientnet_lite0" and config["size"] == 32
    assert (config["images"], config["images_held_out"]) == (4, 1)
    assert set(told.image.values) < {"0.png", "1.png", "2.png", "3.png", "more/4.png"}
    assert nd.load(out / "training.nc").identical(told)
    with pytest.raises(ValueError, match="not those of this"):
        load_decoders(presnet18(), out / FILE)


def test_a_training_that_goes_on_is_the_training_that_was_not_interrupted(
    trained, folder, tmp_path
):
    out, told = trained
    train_decoders(images=folder, out=tmp_path, **TINY | {"epochs": 1})
    again = train_decoders(images=folder, out=tmp_path, **TINY)
    assert again.identical(told)
    whole, parts = weights_of(out), weights_of(tmp_path)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    for change in ({"learning_rate": 1e-3}, {"shrinkage": 0.1}, {"mean": (0.0, 0.0, 0.0)}):
        with pytest.raises(ValueError, match="another training"):
            train_decoders(images=folder, out=tmp_path, **TINY | change)


# ---- the loss, against others' computation of it


def test_without_shrinkage_the_loss_is_that_of_reconstruction():
    model = pefficientnet_lite0(10, image_size=32)
    images = torch.randint(256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    task = Decoding(model, *TENSORFLOW, shrinkage=0.0)
    theirs = Reconstruction(model)(2 * images / 255 - 1)[:9]
    assert torch.allclose(task(images.to(torch.uint8)), theirs, rtol=1e-4)


@pytest.mark.parametrize("kind", ["convolution", "transposed"])
def test_the_cost_of_weights_is_the_error_that_noise_adds(kind):
    draws = torch.Generator().manual_seed(0)
    state = torch.randn(2, 5, 24, 24, generator=draws).double()
    state *= torch.arange(1.0, 6)[None, :, None, None]
    decoder = (
        Decoder((5, 24, 24), (4, 24, 24), draws) if kind == "convolution"
        else nn.ConvTranspose2d(5, 4, 4, stride=2, padding=1)
    ).double()  # fmt: skip
    power = state.square().mean((0, 2, 3))[:, None, None].sqrt()
    added = []
    with torch.no_grad():
        for _ in range(40):
            noise = power * torch.randn(state.shape, generator=draws, dtype=torch.float64)
            change = decoder(state + noise) - decoder(state)
            added.append(change[..., 2:-2, 2:-2].square().mean())
        expected = sensitivity(decoder, state.float().double())
    assert torch.stack(added).mean().item() == pytest.approx(expected.item(), rel=0.02)


def test_inputs_of_an_output_are_counted_as_by_the_jacobian():
    draws = torch.Generator().manual_seed(0)
    for decoder in (
        Decoder((3, 9, 9), (2, 9, 9), draws), nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1),
        nn.Sequential(nn.ConvTranspose2d(3, 2, 6, stride=2, padding=2), nn.ReLU()),
    ):  # fmt: skip
        linear = decoder[0] if isinstance(decoder, nn.Sequential) else decoder
        jacobian = torch.autograd.functional.jacobian(linear, torch.zeros(1, 3, 9, 9))
        middle = jacobian.shape[2] // 2
        assert jacobian[0, 0, middle, middle].count_nonzero() == inputs(decoder)


def test_a_spread_is_the_error_of_a_decoder_that_returns_the_mean_of_each_channel():
    model = pefficientnet_lite0(10, image_size=32)
    images = torch.randint(256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    images = images.to(torch.uint8)
    task = Decoding(model, *TENSORFLOW, shrinkage=0.0)
    with torch.no_grad():
        for decoder, below in zip(model.decoders, task.layers(images), strict=False):
            decoder.weight.zero_()
            decoder.bias.copy_(below.mean((0, 2, 3)))
    error, spread = measure(task, images, batch_size=2)
    assert spread == pytest.approx(error, rel=1e-4)


# ---- images


def test_images_held_out_are_never_among_those_that_are_learnt_from(folder):
    paths = pictures_in(folder)
    assert [path.name for path in paths] == [f"{k}.png" for k in range(5)]
    held = set()
    for seed in range(8):
        seen, unseen = split(paths, 0.25, torch.Generator().manual_seed(seed))
        assert sorted(seen + unseen) == paths and len(unseen) == 1
        held |= set(unseen)
    assert len(held) > 2
    assert [len(part) for part in split(paths, 0.99, torch.Generator())] == [1, 4]


def test_windows_are_parts_of_each_image_in_turn(tmp_path):
    ramp = np.linspace(0, 255, 60, dtype=np.uint8)
    for k in range(3):  # each image has a colour of its own, and rises to the right
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[..., k] = ramp
        Image.fromarray(picture).save(tmp_path / f"{k}.png")
    draws = torch.Generator().manual_seed(0)
    found = windows(pictures_in(tmp_path), 7, 16, draws)
    assert found.shape == (7, 3, 16, 16) and found.dtype == torch.uint8
    colours = found.float().mean((2, 3)).argmax(1)
    assert torch.bincount(colours).tolist() == [3, 2, 2]
    rise = found.float().amax(1)
    share = (rise[..., -1] - rise[..., 0]).mean(1) / 255 * 60 / 40 * 16 / 15
    assert ((share > 0.45) & (share < 1.05)).all()
    assert len(windows(pictures_in(tmp_path), 2, 16, draws)) == 2


# ---- what cannot be


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "alexnet"}, "'alexnet' is not one of pvgg16, pefficientnet_b0"),
        ({"network": "pvgg16", "weights": "pretrained"}, "no package holds weights of pvgg16"),
        ({"weights": "nowhere.pth"}, "'nowhere.pth' are no file, and neither"),
        ({"images": "nowhere"}, "there is no folder nowhere"),
        ({"crops": 0}, "crops = 0 must be a whole number"),
        ({"epochs": 0}, "epochs = 0 must be a whole number"),
        ({"held_out": 1.0}, "held_out = 1.0 must lie between 0 and 1"),
        ({"shrinkage": -1.0}, "shrinkage = -1.0 must be 0 or more"),
        ({"std": (1.0, 1.0, 0.0)}, "three numbers each, std above 0"),
        ({"shrinkage": float("nan")}, "shrinkage = nan must be 0 or more"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "three numbers each"),
        ({"std": (1.0, 1.0, float("nan"))}, "three numbers each"),
        ({"learning_rate": float("nan")}, "learning_rate = nan must be above 0"),
        ({"size": 0}, "size = 0 must be a whole number"),
        ({"crops": float("nan")}, "crops = nan must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused_at_the_door(folder, tmp_path, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train_decoders(**{"images": folder, "out": tmp_path / "out"} | TINY | change)
    assert not (tmp_path / "out").exists()


def test_folders_with_too_few_or_broken_images_are_refused(folder, tmp_path, capsys):
    arguments = ["train", "decoders", "--images", str(tmp_path), "--weights", "untrained"]
    arguments += ["--size", "32", "--crops", "8", "--out", str(tmp_path / "out")]
    (tmp_path / "one.png").write_bytes((folder / "0.png").read_bytes())
    assert cli.main(arguments) == 2
    assert "has 1 images, files that end in .png" in capsys.readouterr().err
    (tmp_path / "two.png").write_text("not a picture")
    assert cli.main(arguments) == 2
    assert "two.png cannot be read as an image" in capsys.readouterr().err


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_is_there_with_a_cost_for_each_decoder(network):
    build = NETWORKS[network].build
    narrow = {"width": 4} if network in ("pvgg16", "presnet18") else {}
    model = build(10, image_size=32, **narrow)
    task = Decoding(model, *NETWORKS[network].colours, shrinkage=0.5)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    task(images)[0].backward()
    assert all(p.grad is not None for g in model.decoders for p in g.parameters())
