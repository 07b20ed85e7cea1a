"""VGG16: torchvision's names, sizes and outputs, and the same network written as functions."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from neurodyn.models.vgg import VGG16, vgg16

# made by `store` below with torchvision 0.28.0: what its network returns with weights by formula
STORED = np.load(Path(__file__).parent / "data" / "vgg16.npz")
DEPTHS = (2, 2, 3, 3, 3)


def fill(network):
    """Weights by a formula: RandomState(crc32 of the name), a period of 10007, scaled by fan-in."""
    for name, value in network.state_dict().items():
        period = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1, 1, 10_007)
        period = torch.from_numpy(period.astype(np.float32))
        scale = (6 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.3
        count = -(-value.numel() // 10_007)
        value.copy_(scale * period.repeat(count)[: value.numel()].view(value.shape))
    return network.eval()


def images():
    x = np.random.RandomState(0).uniform(-2, 2, (2, 3, 64, 48))
    return torch.from_numpy(x.astype(np.float32))


@torch.no_grad()
def store(torchvision_models, path):
    network = fill(torchvision_models.vgg16())
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    np.savez_compressed(path, shapes=json.dumps(shapes), logits=network(images()).numpy())


def on_meta(**kwargs):
    with torch.device("meta"):
        return VGG16(**kwargs)


def test_names_shapes_and_numbers():
    network = on_meta(classes=1000)
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    wanted = json.loads(str(STORED["shapes"]))
    assert shapes == wanted and list(shapes) == list(wanted)
    assert sum(p.numel() for p in network.parameters()) == 138_357_544
    assert sum(p.numel() for p in network.features.parameters()) == 14_714_688


@torch.no_grad()
def test_outputs_are_torchvisions():
    logits = fill(on_meta(classes=1000).to_empty(device="cpu"))(images())
    wanted = torch.from_numpy(STORED["logits"])
    assert (logits - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert (wanted[0] - wanted[1]).abs().max() > 0.1 * wanted.abs().max()


@pytest.mark.parametrize("size", [(32, 32), (70, 47)])
@torch.no_grad()
def test_outputs_are_those_of_the_functions(size):
    network = fill(vgg16(7, channels=1, width=4))
    state = network.state_dict()
    x = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    kept, wanted, index = x.clone(), x, 0
    for depth in DEPTHS:
        for _ in range(depth):
            name = f"features.{index}"
            wanted = F.conv2d(wanted, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
            wanted, index = wanted.relu(), index + 2
        wanted, index = F.max_pool2d(wanted, 2), index + 1
    wanted = F.adaptive_avg_pool2d(wanted, 7).flatten(1)
    for index in (0, 3, 6):
        name = f"classifier.{index}"
        wanted = F.linear(wanted, state[f"{name}.weight"], state[f"{name}.bias"])
        wanted = wanted.relu() if index < 6 else wanted
    torch.testing.assert_close(network(x), wanted)
    assert torch.equal(x, kept)


@torch.no_grad()
def test_every_rectifier_is_called_once_and_keeps_its_input():
    network = vgg16(3, width=2)
    calls = {}

    def count(name):
        def hook(module, args, out):
            calls[name] = calls.get(name, 0) + 1
            assert out is not args[0]

        return hook

    names = [name for name, module in network.named_modules() if isinstance(module, nn.ReLU)]
    for name in names:
        network.get_submodule(name).register_forward_hook(count(name))
    network(torch.randn(1, 3, 32, 32))
    assert calls == dict.fromkeys(names, 1) and len(names) == 15
    assert {f"features.{n}" for n in (3, 8, 15, 22, 29)} < set(names)


def test_initial_values_come_from_the_seed_alone():
    before = torch.random.get_rng_state()
    network, again, other = (vgg16(5, width=8, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before) and not network.training
    pairs = zip(network.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(network.features[0].weight, other.features[0].weight)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            wanted = 0.01
            if isinstance(module, nn.Conv2d):
                wanted = (2 / (9 * module.out_channels)) ** 0.5
            deviation, mean = torch.std_mean(module.weight.detach())
            assert float(deviation) == pytest.approx(wanted, rel=0.15)
            assert abs(float(mean)) < 0.15 * wanted
            assert not module.bias.any()


def test_weights_load_from_a_file_and_others_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    scalars = {
        name: torch.tensor(float(n)).expand(value.shape)  # one number on the disk
        for n, (name, value) in enumerate(on_meta(classes=10, width=4).state_dict().items())
    }
    torch.save(scalars, path)
    for name, value in vgg16(10, path, width=4).state_dict().items():
        assert torch.equal(value, scalars[name])
    with pytest.raises(ValueError, match=r"of another shape \(classifier.6.weight is \(10, 256\)"):
        vgg16(11, path, width=4)
    with pytest.raises(ValueError, match="are not those of this VGG16"):
        vgg16(10, path, width=5)
    with pytest.raises(ValueError, match="must be 1 or more"):
        vgg16(0)


@torch.no_grad()
def test_torchvision_itself(torchvision_models):
    theirs = fill(torchvision_models.vgg16())
    torch.testing.assert_close(theirs(images()), torch.from_numpy(STORED["logits"]))
    ours = on_meta(classes=1000)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    x = torch.rand(1, 3, 97, 64)
    torch.testing.assert_close(ours.eval()(x), theirs(x))
