"""GASPnet and its controls: figure and ground before any training, sizes, ideal phases."""

import json
import math
from importlib.resources import files

import numpy as np
import pytest
import safetensors
import torch
import torch.nn.functional as F
from torch import nn

import neurodyn as nd
from neurodyn.agreement import GlobalAttention
from neurodyn.models.gaspnet import KINDS, SHAPES, gaspnet, ideal_state
from neurodyn.models.train_komplexnet import exact
from neurodyn.models.two_stages import Reading
from neurodyn.phase_agreement import PhaseAgreement

T0 = torch.tensor(0.0)
MADE = ("canvases", "epochs", "learning_rate")


@pytest.fixture(scope="module")
def scenes():
    return nd.stimuli.multi_digits(20, split="test")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- the gate before any training


def figure_ground_gap(phase, masks):
    """Radians between the circular means of the digits' phases and of the others."""
    figure, z = masks.any(1), torch.exp(1j * phase)
    means = [torch.stack([row[where].mean() for row, where in zip(z, side, strict=True)])
             for side in (figure, ~figure)]  # fmt: skip
    return (means[0] / means[1]).angle().abs()


@pytest.mark.parametrize("seed", [0, 1, 2])
@torch.no_grad()
def test_untrained_phases_tell_figure_from_ground_in_every_image(scenes, seed):
    model = gaspnet(seed=seed)
    run = nd.integrate(model, scenes.images, [0.0, 15.0], method="euler", generator=generator())
    assert figure_ground_gap(run.states[0][0], scenes.masks).max() < 0.1
    assert figure_ground_gap(run.states[0][-1], scenes.masks).min() > 2.5


# ---- an independent loop in single precision, as published: step 1


def looped(model, images, phi, steps):
    net = model.backbone
    kappa, eps = float(model.kappa.detach()), float(model.epsilon.detach())
    stages = [
        lambda m: F.conv2d(F.avg_pool2d(m, 2), net.conv2.weight, padding=1),
        lambda m: F.conv2d(F.avg_pool2d(m, 2), net.conv3.weight, padding=1),
        lambda m: m.flatten(1) @ net.dense4.weight.T,
        lambda m: m @ net.dense5.weight.T,
    ]
    biases = [net.conv2.bias[:, None, None], net.conv3.bias[:, None, None],
              net.dense4.bias, net.dense5.bias]  # fmt: skip
    for step in range(steps + 1):
        m = net.conv1(images).relu()
        activities = [m]
        for n, (stage, bias) in enumerate(zip(stages, biases, strict=True), 1):
            before, own = (p[:, None] if p.ndim > 2 else p for p in (phi[n - 1], phi[n]))
            cosine, sine = stage(m * before.cos()), stage(m * before.sin())
            z = stage(m) + bias + 0.5 * (own.cos() * cosine + own.sin() * sine)
            m = z.relu()
            activities.append(m)
        if step == steps:
            return phi, z
        keys, weights = [], []
        for m, weight in zip(activities, model.key_weights, strict=True):
            k = (torch.einsum("scyx,cd->syxd", m, weight).flatten(1, 2) if m.ndim > 2
                 else m[:, :, None] * weight)  # fmt: skip
            k = k - k.mean(1, keepdim=True)
            length = (k.square().sum(2, keepdim=True) + 1e-12).sqrt()
            keys.append(k / (length + 0.05 * length.mean(1, keepdim=True)))
            weights += [1 / (5 * k.shape[1])] * k.shape[1]
        k, flat = torch.cat(keys, 1), torch.cat([p.flatten(1) for p in phi], 1)
        r = torch.tensor(weights) * (k @ k.transpose(1, 2) - eps) / kappa
        flow = (r * (flat[:, None] - flat[:, :, None]).sin()).sum(2)
        parts = flow.split([p[0].numel() for p in phi], 1)
        phi = [p + part.view_as(p) for p, part in zip(phi, parts, strict=True)]


@torch.no_grad()
def test_the_published_step_is_an_explicit_loop_over_all_pairs(scenes):
    model, images = gaspnet(), scenes.images[:3]
    first = model.initial_state(model.drive(images), generator())
    run = nd.integrate(model, images, [0.0, 4.0], method="euler", initial_state=first)
    phi, logits = looped(model, images, [*first], 4)
    for got, wanted in zip(run.states, phi, strict=True):
        torch.testing.assert_close(got[-1], wanted, atol=2e-4, rtol=0)
    torch.testing.assert_close(run.readout[-1], logits, atol=1e-5, rtol=1e-5)


# ---- sizes and kinds


def test_parameters_and_nodes():
    for channels, backbone in ((1, 48_936), (3, 49_404)):
        model = gaspnet(channels=channels)
        assert count(model.backbone) == backbone
        assert count(model) == backbone + 3_648 + 6
        assert sum(p.numel() for p in [*model.key_weights, *model.query_weights]) == 3_648
    assert sum(math.prod(shape) for shape in SHAPES) == 1_370
    assert [tuple(shape) for shape in gaspnet().shapes] == [*SHAPES]
    assert count(gaspnet("cnn")) == 48_936
    assert count(gaspnet("matched")) == pytest.approx(count(gaspnet()), rel=0.002)


def test_names_of_weights():
    own = {"epsilon", "log_kappa", "modulation_logit"}
    own |= {f"{kind}_weights.{n}" for kind in ("key", "query") for n in range(5)}
    layers = ("conv1", "conv2", "conv3", "dense4", "dense5")
    own |= {f"backbone.{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    for kind in ("gaspnet", "gaspnet-rk4", "random", "ideal", "global", "eps0"):
        assert gaspnet(kind).state_dict().keys() == own


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_kind(kind, scenes):
    model, plain = gaspnet(kind, seed=1), gaspnet("cnn", seed=1)
    images = scenes.images[:4]
    assert not any(module.training for module in model.modules())
    if kind in ("cnn", "longer", "matched"):
        assert isinstance(model, nn.Sequential) and model(images).shape == (4, 10)
        return
    run = nd.integrate(model, images, [0.0, 2.0], method="euler", generator=generator())
    assert run.readout.shape == (2, 4, 10) and torch.isfinite(run.readout).all()
    for (_, a), b in zip(model.backbone.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b), "every kind starts from the same network"
    if kind == "gattanet":
        assert isinstance(model, GlobalAttention)
        return
    assert isinstance(model, PhaseAgreement)
    moved = not torch.equal(run.states[0][0], run.states[0][1])
    assert moved == (kind not in ("random", "ideal"))
    assert model.coupling == ("global" if kind == "global" else "pairwise")
    assert (float(model.epsilon), model.epsilon.requires_grad) == pytest.approx(
        (0.0, False) if kind == "eps0" else (0.2, True)
    )
    assert model.config()["temperature"] == pytest.approx(0.3)
    if kind == "ideal":  # phases of units do not matter
        phi = [3 * torch.rand(4, *shape, generator=generator(n)) for n, shape in enumerate(SHAPES)]
        other = [*phi[:3], phi[3] + 1, phi[4] - 2 * torch.rand(4, 10, generator=generator())]
        drive = model.drive(images)
        assert torch.equal(model.readout(tuple(phi), drive), model.readout(tuple(other), drive))
        other[2] = other[2] + torch.rand(4, 8, 8, generator=generator())
        assert not torch.equal(model.readout(tuple(phi), drive), model.readout(tuple(other), drive))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_weights_that_ship(kind):
    """All of one recipe; whatever the kind, two digits not trained on are mostly found."""
    scenes = nd.stimuli.multi_digits(24, split="test", seed=5)
    for seed in (0, 1, 2):
        model = gaspnet(kind, pretrained=True, seed=seed)
        place = files("neurodyn.models").joinpath(f"gaspnet-{kind}-{seed}.safetensors")
        with safetensors.safe_open(place, "pt") as file:
            about = json.loads(file.metadata()["neurodyn"])
        assert about["kind"] == kind
        made = [about[f"{stage}{what}"] for stage in ("", "joint_") for what in MADE]
        assert [about["batch_size"], *made] == [256, 81_920, 4, 0.003, 40_960, 8, 0.002]
        phases = torch.zeros(24, 0)
        if kind == "ideal":
            phases = torch.cat([p.flatten(1) for p in ideal_state(scenes.masks)], 1)
        elif isinstance(model, PhaseAgreement):
            start = model.initial_state(model.drive(scenes.images), generator())
            phases = torch.cat([p.flatten(1) for p in start], 1)
        reading = Reading(model, "rk4" if kind.endswith("rk4") else "euler")
        answers = reading.readouts(scenes.images, phases)[0][-1]
        assert exact(answers, scenes.target).float().mean() > 0.75


def test_seeds():
    one, two, again = gaspnet(seed=3), gaspnet(seed=4), gaspnet(seed=3)
    for name, value in one.named_parameters():
        assert torch.equal(value, again.get_parameter(name))
        if value.ndim:
            constant = name == "modulation_logit" or name.endswith("bias")
            assert torch.equal(value, two.get_parameter(name)) == constant


@torch.no_grad()
def test_a_sample_alone_and_a_blank_image(scenes):
    model = gaspnet()
    images = torch.cat([scenes.images[:3], torch.zeros(1, 1, 32, 32)])
    drive = model.drive(images)
    phi = model.initial_state(drive, generator())
    together = [*model(T0, phi, drive), model.readout(phi, drive)]
    assert all(torch.isfinite(part).all() for part in together)
    for b in range(4):
        own = tuple(p[b : b + 1] for p in phi)
        drive = model.drive(images[b : b + 1])
        alone = [*model(T0, own, drive), model.readout(own, drive)]
        for got, wanted in zip(alone, together, strict=True):
            torch.testing.assert_close(got, wanted[b : b + 1], atol=1e-6, rtol=1e-5)


def test_errors_at_the_door():
    with pytest.raises(ValueError, match="kind 'gasp' is not one of cnn, matched"):
        gaspnet("gasp")
    with pytest.raises(ValueError, match="weights ship for the seeds 0, 1 and 2"):
        gaspnet(pretrained=True, seed=3)
    with pytest.raises(ValueError, match="grey images, not for seed=0, channels=3"):
        gaspnet(pretrained=True, channels=3)


# ---- ideal phases, location by location


def test_ideal_phases_by_counting_pixels():
    drawn = np.random.default_rng(0)
    for objects in (1, 2, 3):
        masks = np.zeros((4, objects, 32, 32), dtype=bool)
        for sample in range(3):  # the last one has no object at all
            for g in range(objects):
                y, x = drawn.integers(0, 20, 2)
                masks[sample, g, y : y + 9, x : x + 7] = drawn.random((9, 7)) < 0.7
        found = ideal_state(torch.from_numpy(masks))
        assert [tuple(p.shape[1:]) for p in found] == [*SHAPES]
        for phase, size in zip(found[:3], (32, 16, 8), strict=True):
            side = 32 // size
            for sample, y, x in np.ndindex(4, size, size):
                part = masks[sample, :, side * y : side * (y + 1), side * x : side * (x + 1)]
                pixels = part.sum((1, 2))
                group = 1 + int(pixels.argmax()) if pixels.any() else 0  # the first of equals
                turn = np.exp(2j * np.pi * group / (objects + 1))
                assert abs(np.exp(1j * float(phase[sample, y, x])) - turn) < 1e-5
        assert not found[3].any() and not found[4].any()
