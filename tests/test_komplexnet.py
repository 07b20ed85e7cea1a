"""KomplexNet, its twins and its loss, against the authors' code."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import neurodyn as nd
from neurodyn.models import KomplexNet, RealTwin, VisionTransformerTwin
from neurodyn.models.binding import ideal_phases, synchrony_loss

DATA = Path(__file__).parent / "data"
NAMES = {
    "coupling.kernel": "kernel_kuramoto",
    "filters.weight": "downsampling.weight",
    "head.convolution.layer": "convA.kernel_conv",
    "head.convolution.norm": "convA.norm",
    "head.hidden.layer": "classif1.1.weights",
    "head.hidden.norm": "classif1.1.norm",
    "head.category.layer": "classif2.weights",
    "head.unused": "classif2.norm",
    "feedback.convolution": "kernel_kuramoto_l2",
    "feedback.hidden": "kernel_kuramoto_l3",
    "feedback.category": "kernel_kuramoto_l4",
}


def oracle(name):
    with np.load(DATA / f"{name}.npz") as data:
        return {key: torch.from_numpy(data[key]) for key in data.files if data[key].shape}


def authors(found, feedback=False, prefix="weights."):
    """KomplexNet with the authors' weights."""
    model = KomplexNet(feedback=feedback)
    state = model.state_dict()
    for ours, theirs in NAMES.items():
        for own in state:
            if own == ours or own.startswith(ours + "."):
                state[own] = found[prefix + theirs + own[len(ours) :]]
    state["rate"] = found[prefix + "lr_kuramoto"][0]
    state["desynchrony"] = found[prefix + "epsilon"][0]
    model.load_state_dict(state)
    return model.requires_grad_(False)


def close(a, b):
    return float((a - b).abs().max() / b.abs().max())


def test_the_authors_feed_forward_network():
    found = oracle("komplexnet")
    model = authors(found)
    drive = model.drive(found["x"])
    assert close(drive["amplitude"], found["amplitude"]) < 1e-6
    run = nd.integrate(
        model, found["x"], range(16), initial_state=(found["phase0"],), method="euler"
    )
    assert close(run.states[0][1:], found["phases"]) < 1e-5
    assert close(run.readout[-1], found["prediction"]) < 1e-4


def test_the_authors_network_with_feedback():
    found = oracle("komplexnet_feedback")
    model = authors(found, feedback=True)
    run = nd.integrate(
        model, found["x"], range(1, 10), initial_state=(found["phases"][0],), method="euler"
    )
    assert close(run.states[0], found["phases"]) < 1e-5
    assert close(run.readout, found["prediction"]) < 1e-3


def test_feedback_sets_in_at_one_and_not_before():
    found = oracle("komplexnet_feedback")
    start = (found["phases"][0],)
    without, with_it = KomplexNet(), authors(found, feedback=True)
    without.load_state_dict(
        {k: v for k, v in with_it.state_dict().items() if not k.startswith("feedback")}
    )
    solve = {"initial_state": start, "method": "dopri5", "gradient": "none", "record": "phase"}
    times = [0.0, 0.5, 1.0, 1.5]
    lateral = nd.integrate(without, found["x"], times, **solve).states[0]
    both = nd.integrate(with_it, found["x"], times, **solve).states[0]
    assert torch.allclose(lateral[:3], both[:3], atol=1e-4)
    assert (lateral[3] - both[3]).abs().max() > 1e-2
    from_one = nd.integrate(
        with_it, found["x"], [1.0, 1.5], **(solve | {"initial_state": (both[2],)})
    )
    assert torch.allclose(from_one.states[0][-1], both[3], atol=1e-3)


def test_published_numbers_of_parameters():
    def count(model):
        return sum(p.numel() for p in model.parameters())

    assert count(KomplexNet()) == 114_698
    assert count(KomplexNet(feedback=True)) == 122_928
    assert count(RealTwin()) == 107_467
    assert abs(count(VisionTransformerTwin()) / 114_698 - 1) < 0.1


def test_the_transformer_sees_one_image_at_a_time():
    model, images = VisionTransformerTwin().eval(), torch.rand(4, 1, 32, 32)
    assert torch.allclose(model(images)[:1], model(images[:1]), atol=1e-5)


@pytest.mark.parametrize("make", [KomplexNet, RealTwin, VisionTransformerTwin])
def test_a_seed_fixes_the_weights(make):
    torch.manual_seed(1)
    a = make(seed=3).state_dict()
    torch.manual_seed(2)
    b = make(seed=3).state_dict()
    c = make(seed=4).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)
    assert all(torch.isfinite(value).all() for value in a.values())


def test_the_input_mode_has_phases_for_pixels():
    model, images = KomplexNet(mode="input"), torch.rand(2, 1, 32, 32)
    run = nd.integrate(
        model, images, [0.0, 3.0], method="euler", generator=torch.Generator().manual_seed(0)
    )
    assert run.states[0].shape == (2, 2, 1, 32, 32) and run.readout.shape == (2, 2, 10)
    run.readout[-1].sum().backward()
    assert model.coupling.kernel.grad.abs().sum() > 0


def test_frozen_phases_stay():
    model, images = KomplexNet(frozen=True), torch.rand(2, 1, 32, 32)
    masks = torch.zeros(2, 2, 32, 32)
    masks[:, 0, :, :10], masks[:, 1, :, 20:] = 1, 1
    start = ideal_phases(masks)
    run = nd.integrate(model, images, [0.0, 7.0], initial_state=(start,), method="euler")
    assert torch.equal(run.states[0][0], run.states[0][-1])
    trained = KomplexNet(seed=5)
    model.load_state_dict(trained.state_dict())  # substituted at test
    drive = trained.drive(images)
    assert torch.equal(model.readout((start,), drive), trained.readout((start,), drive))


def test_ideal_phases_are_evenly_spread():
    masks = torch.zeros(1, 4, 8, 8)
    for g in range(4):
        masks[0, g, 2 * g : 2 * g + 3] = 1  # each overlaps the next by a row: the first one counts
    phase = ideal_phases(masks, channels=2)
    assert phase.shape == (1, 2, 8, 8) and torch.equal(phase[:, 0], phase[:, 1])
    rows = phase[0, 0, :, 0]
    wanted = torch.tensor([0, 0, 0, math.pi / 2, math.pi / 2, -math.pi, -math.pi, -math.pi / 2])
    assert torch.allclose(
        torch.polar(torch.ones(8), rows), torch.polar(torch.ones(8), wanted), atol=1e-6
    )


# ---- the cluster-synchrony loss


def test_the_published_loss():
    found = oracle("komplexnet")
    total, synchrony, desynchrony = synchrony_loss(
        found["phases"][-1], found["amplitude"], found["masks"][:, 1:, 0], as_published=True
    )
    got = torch.stack([total.mean(), synchrony.mean(), desynchrony.mean()]).double()
    assert close(got, found["synch_loss"]) < 1e-5


def scene(groups, seed=0):
    masks = torch.zeros(2, groups, 12, 12)
    for g in range(groups):
        masks[:, g, :, 2 * g : 2 * g + 2] = 1
    amplitude = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(seed)).relu()
    return masks, amplitude


@pytest.mark.parametrize("groups", [2, 3, 4, 5])
@pytest.mark.parametrize("turn", [0.0, 0.7, -2.5, math.pi])
def test_bound_phases_have_no_loss_at_any_angle(groups, turn):
    masks, amplitude = scene(groups)
    phase = ideal_phases(masks, channels=3) + turn
    assert synchrony_loss(phase, amplitude, masks)[0].abs().max() < 1e-5
    biased = synchrony_loss(phase, amplitude, masks, as_published=True)[0]
    assert biased.min() > 0.05


@pytest.mark.parametrize("groups", [2, 3, 4, 5])
def test_the_worst_phases_have_a_loss_near_one(groups):
    """All groups at one phase: full desynchrony; within groups, opposite halves cancel."""
    masks, _ = scene(groups)
    amplitude = torch.ones(2, 3, 12, 12)
    phase = torch.zeros(2, 3, 12, 12)
    total, synchrony, desynchrony = synchrony_loss(phase, amplitude, masks)
    bound = 1 + groups / 2 * sum(1 / m**2 for m in range(1, groups // 2 + 1))
    assert torch.allclose(desynchrony, torch.full((2,), bound - 1), atol=1e-5)
    assert synchrony.abs().max() < 1e-5 and torch.allclose(
        total, (bound - 1) / torch.full((2,), bound)
    )
    phase[:, :, ::2] = math.pi
    assert torch.allclose(synchrony_loss(phase, amplitude, masks)[1], torch.ones(2), atol=1e-5)


def test_silence_gives_no_nan():
    masks, amplitude = scene(2)
    phase = torch.rand(2, 3, 12, 12, requires_grad=True)
    for a in (0 * amplitude, amplitude * (masks[:, :1] == 0)):
        total = synchrony_loss(phase, a, masks)[0]
        (gradient,) = torch.autograd.grad(total.sum(), phase)
        assert torch.isfinite(total).all() and torch.isfinite(gradient).all()


def test_errors_at_the_door():
    with pytest.raises(ValueError, match="mode"):
        KomplexNet(mode="pixels")
    with pytest.raises(ValueError, match="feedback"):
        KomplexNet(mode="input", feedback=True)
    with pytest.raises(ValueError, match="1, 32, 32"):
        KomplexNet().drive(torch.rand(1, 3, 32, 32))
