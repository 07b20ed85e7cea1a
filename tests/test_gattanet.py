"""GAttANet's networks: sizes, what is tapped, the controls, and weights in files."""

import importlib
import math

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import neurodyn as nd
from neurodyn.models.gattanet import count, gattanet, matched_cnn, matched_widths, plain

module = importlib.import_module("neurodyn.models.gattanet")


def size_of(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("size", "backbone", "added", "taps"),
    [
        ("toy", 2_193_226, 15_685, 5),
        ("small", 137_818, 4_165, 5),
        ("resnet18", 11_227_812, 64_649, 9),
        ("resnet50", 25_557_032, 515_328 + 17, 17),
    ],
)
def test_numbers_of_parameters(size, backbone, added, taps):
    model = gattanet(size, image_size=32)
    assert size_of(model.backbone) == (backbone if "res" not in size else backbone - stem())
    assert size_of(model) - size_of(model.backbone) == added
    assert (
        len(model.gain)
        == len(model.key_weights)
        == len(model.query_weights)
        == len(model.variables)
        == taps
    )


def stem():
    """What the form for small images has less in its first convolution."""
    return 3 * 64 * (7**2 - 3**2)


def test_the_maps_of_the_figure():
    model = gattanet("toy")
    state = model.initial_state(model.drive(torch.zeros(2, 3, 32, 32)))
    wanted = [(2, 32, 32), (2, 16, 16), (2, 8, 8), (2, 256), (2, 10)]
    assert [tuple(a.shape) for a in state] == wanted
    assert [v.name for v in model.variables] == ["conv1", "conv2", "conv3", "dense4", "dense5"]
    assert [tuple(k.shape) for k in model.key_weights] == [(c, 16) for c in (32, 64, 128, 256, 10)]
    assert model.config()["provenance"] == "GAttANet-style, reconstructed"


@pytest.mark.parametrize("kind", ["resnet18", "resnet50"])
@torch.no_grad()
def test_resnets_are_tapped_at_their_blocks(kind):
    model = gattanet(kind, image_size=32, classes=10, gain=0.3)
    assert [v.name for v in model.variables] == [*model.backbone.blocks(), "fc"]
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    run = nd.integrate(model, x, [0.0, 1.0], method="euler")
    first, last = (tuple(run.states[n].shape[2:]) for n in (0, -2))
    assert (first, last) == ((32, 32), (4, 4))
    assert torch.equal(run.readout[0], model.backbone(x))
    assert run.readout.isfinite().all() and not torch.equal(*run.readout)


def test_a_resnets_weights_come_from_a_file(tmp_path):
    network = module.resnet18(classes=5, seed=7)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    model = gattanet("resnet18", classes=5, weights=tmp_path / "weights.pth", image_size=64)
    assert torch.equal(model.backbone.conv1.weight, network.conv1.weight)
    with pytest.raises(ValueError, match="weights are of a ResNet"):
        gattanet("toy", weights=tmp_path / "weights.pth")


@torch.no_grad()
def test_gain_zero_is_the_plain_network_of_the_same_seed():
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    same = {"classes": 4, "channels": 1, "image_size": 28, "seed": 3}
    model, network = gattanet("small", gain=0.0, **same), plain("small", **same)
    for logits in nd.integrate(model, x, [0.0, 1.0, 2.0]).readout:
        assert torch.equal(logits, network(x))
    assert not network.training and not model.training


def test_seeds():
    before = torch.random.get_rng_state()
    a, b, c = gattanet("small", seed=1), gattanet("small", seed=1), gattanet("small", seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name])
    for name in ("key_weights.0", "query_weights.4", "backbone.conv1.weight"):
        assert not torch.equal(a.state_dict()[name], c.state_dict()[name])


@given(
    st.lists(st.integers(1, 12), min_size=4, max_size=4), st.integers(1, 7), st.integers(1, 3),
    st.sampled_from([4, 8, 12]),
)  # fmt: skip
def test_the_number_of_parameters_is_counted(widths, classes, channels, image_size):
    about = {"classes": classes, "channels": channels, "image_size": image_size}
    assert size_of(plain(widths=widths, **about)) == count(widths, **about)


@pytest.mark.parametrize("about", [{}, {"channels": 1}, {"classes": 3, "dim": 64}])
@pytest.mark.parametrize("size", ["toy", "small"])
def test_the_matched_network_has_the_nearest_number(size, about):
    target = size_of(gattanet(size, **about))
    widths = matched_widths(size, **about)
    number = size_of(matched_cnn(size, **about))
    sizes = {k: v for k, v in about.items() if k != "dim"}
    assert number == count(widths, **sizes)
    # by brute force: all scales in small steps, each width up or down
    best = math.inf
    for step in range(2001):
        scaled = [(1 + step / 2000) * w for w in module.WIDTHS[size]]
        if abs(count(scaled, **sizes) - target) < 0.02 * target:
            for ups in range(16):
                w = [math.floor(s) + (ups >> i & 1) for i, s in enumerate(scaled)]
                if all(abs(v - s) < 1 for v, s in zip(w, scaled, strict=True)):
                    best = min(best, abs(count(w, **sizes) - target))
    assert abs(number - target) <= max(best * 4, 0.002 * target)
    assert abs(number - target) < 0.005 * target


# ---- weights in files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    return tmp_path


def store(network, path):
    halves = {k: v.half().contiguous() for k, v in network.state_dict().items()}
    safetensors.torch.save_file(halves, path)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("cnn", lambda **kwargs: plain("small", **kwargs)),
        ("matched", lambda **kwargs: matched_cnn("small", **kwargs)),
        ("gattanet", lambda **kwargs: gattanet("small", **kwargs)),
        ("gattanet-rk4", lambda **kwargs: gattanet("small", **kwargs)),
    ],
)
def test_pretrained_weights_are_read(folder, kind, make):
    trained = make(seed=8, channels=1)
    store(trained, folder / f"gattanet-{kind}-0.safetensors")
    which = "rk4" if kind.endswith("rk4") else True
    loaded = make(pretrained=which, channels=1).state_dict()
    for name, value in trained.state_dict().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], value.half().float())
    with pytest.raises(ValueError, match=f"no weights gattanet-{kind}-4.safetensors ship.*-0"):
        make(pretrained=which, channels=1, seed=4)
    with pytest.raises(ValueError, match="conv1.weight is"):
        make(pretrained=which, channels=3)


def test_what_is_refused(folder):
    with pytest.raises(ValueError, match="size 'big' is not one of toy, small, resnet18, resnet50"):
        gattanet("big")
    for make in (plain, matched_cnn):
        with pytest.raises(ValueError, match="size 'resnet18' is not one of toy, small"):
            make("resnet18")
    with pytest.raises(ValueError, match="weights ship for size='small' only, not 'toy'"):
        gattanet("toy", pretrained=True)
    with pytest.raises(ValueError, match="pretrained='dopri5' is not one of"):
        gattanet("small", pretrained="dopri5")
    with pytest.raises(ValueError, match="no weights .* there are none"):
        plain("small", pretrained=True)
    with pytest.raises(ValueError, match="must be four numbers"):
        plain(widths=(3, 4, 5))
    with pytest.raises(ValueError, match="multiple of 4"):
        plain(image_size=30)
    for size in ("small", "resnet18"):
        with pytest.raises(ValueError, match="classes = 0 and channels = 3 must be 1 or more"):
            gattanet(size, classes=0)


def test_a_step_of_training_lowers_the_loss():
    """Through the equation and through the published step."""
    x = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    target = torch.arange(16) % 4
    for method in ("euler", "rk4"):
        model = gattanet("small", channels=1, classes=4, image_size=8, seed=1).train()
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        losses = []
        for _ in range(12):
            run = nd.integrate(model, x, [0.0, 1.0], method=method, record="readout")
            losses.append(nn.functional.cross_entropy(run.readout[-1], target))
            optimiser.zero_grad()
            losses[-1].backward()
            optimiser.step()
        assert losses[-1] < 0.95 * losses[0]
        assert all(bool(p.grad.any()) for p in model.parameters()), "all is trained"
