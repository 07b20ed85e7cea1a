"""Oscillators on spheres: against Kuramoto's equation, the published step, and their geometry."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import neurodyn as nd
from neurodyn.coupling import MeanField

T = torch.tensor(0.0)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sphere(*shape, axis=2, seed=0):
    return nn.functional.normalize(random(*shape, seed=seed), dim=axis)


def symmetric(channels):
    kernel = random(channels, channels, 3, 3)
    return kernel + kernel.transpose(0, 1).flip(2, 3)


def test_in_two_dimensions_it_is_kuramotos_equation():
    """x = (cos, sin): d theta/dt = -omega + sum_j K sin(theta_j - theta_i)."""
    matrix, theta = random(6, 6), random(2, 6, seed=1)
    x = torch.stack([theta.cos(), theta.sin()], dim=2)
    net = nd.SphereOscillators(matrix, components=2, rotation=0.5)
    (velocity,) = nd.bind(net, torch.zeros(2, 6, 2).double())(T, (x,))
    speed = (velocity * torch.stack([-theta.sin(), theta.cos()], dim=2)).sum(2)
    kuramoto = nd.Kuramoto(matrix, rate=1.0, natural_frequency=-0.5)
    loud = torch.full((2, 6), 40.0).double()
    (wanted,) = nd.bind(kuramoto, loud)(T, (theta,))
    assert torch.allclose(speed, wanted, atol=1e-12)
    assert torch.allclose((velocity * x).sum(2), torch.zeros(2, 6).double(), atol=1e-12)


def test_the_published_step_written_out():
    n, gamma = 4, 0.7
    kernel, omega = random(8, 8, 3, 3), random(2, 2, seed=4).abs()
    condition, x = random(3, 8, 5, 5, seed=1), sphere(3, 2, n, 5, 5, seed=2)
    net = nd.SphereOscillators(
        kernel, components=n, rotation=omega, step=gamma, update="retraction"
    )
    run = nd.integrate(net, condition, [0.0, gamma, 2 * gamma], initial_state=(x,), method="euler")
    for _ in range(2):
        flat = x.reshape(3, 8, 5, 5)
        y = (nn.functional.conv2d(flat, kernel, padding=1) + condition).reshape(3, 2, n, 5, 5)
        new = torch.empty_like(x)
        for s, c, v, u in np.ndindex(3, 2, 5, 5):
            one = x[s, c, :, v, u]
            pull = y[s, c, :, v, u]
            turned = torch.zeros(n).double()
            for k in range(n // 2):
                turned[2 * k] = omega[c, k] * one[2 * k + 1]
                turned[2 * k + 1] = -omega[c, k] * one[2 * k]
            moved = one + gamma * (turned + pull - (pull @ one) * one)
            new[s, c, :, v, u] = moved / moved.norm()
        x = new
    assert torch.allclose(run.states[0][-1], x, atol=1e-12)


def test_as_published_without_rotations_the_step_is_half():
    """Pi((1 + g) x + g v) = Pi(x + g / (1 + g) v)."""
    condition, x = random(2, 6, 4, 4), sphere(2, 2, 3, 4, 4, seed=1)
    common = {"components": 3, "update": "retraction"}
    quirk = nd.SphereOscillators(random(6, 6, 3, 3), step=1.0, as_published=True, **common)
    half = nd.SphereOscillators(random(6, 6, 3, 3), step=0.5, **common)
    one, other = (
        nd.integrate(net, condition, [0.0, 5 * net.step], initial_state=(x,), method="euler")
        for net in (quirk, half)
    )
    assert torch.allclose(one.states[0][-1], other.states[0][-1], atol=1e-12)


@pytest.mark.parametrize(
    ("method", "update"),
    [("euler", "retraction"), ("euler", "flow"), ("rk4", "flow"), ("dopri5", "flow")],
)
def test_what_is_recorded_is_of_unit_length(method, update):
    condition, x = random(2, 8, 4, 4), sphere(2, 2, 4, 4, 4, seed=1)
    net = nd.SphereOscillators(0.3 * random(8, 8, 3, 3), components=4, rotation=0.5, update=update)
    start = 3 * x if update == "flow" else x  # off the sphere, as a solver's error would put it
    tree = nd.simulate(net, condition, [0.0, 8.0], initial_state=(start,), method=method)
    norm = np.linalg.norm(tree.layers["x"]["state"], axis=3)
    assert abs(norm - 1).max() < 1e-6
    assert 0 <= float(tree.order_parameter.min()) <= float(tree.order_parameter.max()) <= 1


def test_the_direction_turns_at_its_rate_whatever_the_length():
    """A pure rotation of 50 rad, at the default tolerances and from the wrong length."""
    net = nd.SphereOscillators(0.0, components=2, rotation=1.0)
    start = (torch.tensor([[[3.0, 0.0]]], dtype=torch.float64),)
    run = nd.integrate(net, torch.zeros(1, 1, 2).double(), [0.0, 50.0], initial_state=start)
    x = run.states[0][-1, 0, 0]
    turned = torch.atan2(x[1], x[0]) + 50
    assert abs(torch.remainder(turned + math.pi, 2 * math.pi) - math.pi) < 0.05


def test_an_euler_step_of_the_flow_points_where_the_retraction_does():
    condition, x = random(2, 6, 4, 4), sphere(2, 2, 3, 4, 4, seed=1)
    kernel = random(6, 6, 3, 3)
    ends = []
    for update in ("flow", "retraction"):
        net = nd.SphereOscillators(kernel, components=3, update=update)
        run = nd.integrate(net, condition, [0.0, 4.0], initial_state=(x,), method="euler")
        ends.append(nn.functional.normalize(run.states[0][-1], dim=2))
    assert torch.allclose(*ends, atol=1e-10)


def test_small_retractions_approach_the_flow():
    condition, x = random(2, 6, 4, 4), sphere(2, 2, 3, 4, 4, seed=1)
    kernel = 0.2 * random(6, 6, 3, 3)
    flow = nd.SphereOscillators(kernel, components=3)
    exact = nd.integrate(flow, condition, [0.0, 1.0], initial_state=(x,), rtol=1e-9, atol=1e-10)
    errors = []
    for step in (0.02, 0.01):
        net = nd.SphereOscillators(kernel, components=3, step=step, update="retraction")
        run = nd.integrate(net, condition, [0.0, 1.0], initial_state=(x,), method="euler")
        errors.append(float((run.states[0][-1] - exact.states[0][-1]).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)  # first order
    assert errors[1] < 0.05


def test_the_flow_descends_its_energy_at_the_stated_rate():
    condition, x = random(2, 6, 4, 4), sphere(2, 2, 3, 4, 4, seed=1)
    net = nd.SphereOscillators(symmetric(6), components=3)
    f = nd.bind(net, condition)
    drive = f.drive(0.0)
    (velocity,) = f(T, (x,))
    energy, slope = torch.func.jvp(lambda x: net.energy((x,), drive), (x,), (velocity,))
    assert torch.allclose(slope, -velocity.square().flatten(1).sum(1))
    flat = x.flatten(1, 2)
    full = -(nn.functional.conv2d(flat, net.coupling.kernel, padding=1) * flat) / 2
    assert torch.allclose(energy, (full - condition * flat).flatten(1).sum(1))


@pytest.mark.parametrize(
    ("coupling", "options", "reason"),
    [
        (random(6, 6, 3, 3), {}, "not symmetric"),
        (nn.Conv2d(6, 6, 1).double(), {}, "module"),
        (symmetric(6), {"rotation": 0.1, "components": 2}, "rotations"),
    ],
)
def test_what_is_not_descended_is_not_called_energy(coupling, options, reason):
    net = nd.SphereOscillators(coupling, **({"components": 3} | options))
    drive = net.drive(random(1, 6, 4, 4))
    state = net.initial_state(drive, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=reason):
        net.energy(state, drive)
    assert torch.isfinite(net.energy(state, drive, lyapunov=False)).all()


def test_a_module_couples_maps():
    module = nn.Conv2d(6, 6, 3, padding=1).double()
    condition, x = random(2, 6, 4, 4), sphere(2, 2, 3, 4, 4, seed=1)
    (one,) = nd.bind(nd.SphereOscillators(module, components=3), condition)(T, (x,))
    kernel = nd.SphereOscillators(module.weight.detach(), components=3)
    (other,) = nd.bind(kernel, condition + module.bias.detach()[:, None, None])(T, (x,))
    assert torch.allclose(one, other, atol=1e-12)


def test_the_mean_field_of_vectors():
    x = sphere(2, 7, 3)
    net = nd.SphereOscillators(0.4, components=3)
    f = nd.bind(net, torch.zeros(2, 7, 3).double())
    pull = 0.4 * x.sum(1, keepdim=True)
    wanted = pull - (pull * x).sum(2, keepdim=True) * x
    assert torch.allclose(f(T, (x,))[0], wanted, rtol=1e-6)
    assert torch.allclose(f.readout((x,)), x.mean(1).norm(dim=1))


def test_random_directions_come_from_the_generator():
    net = nd.SphereOscillators(0.4, components=3)
    drive = net.drive(torch.zeros(2, 4000, 3))
    with pytest.raises(ValueError, match="generator"):
        net.initial_state(drive)
    (x,) = net.initial_state(drive, torch.Generator().manual_seed(0))
    assert torch.allclose(x.norm(dim=2), torch.ones(2, 4000), atol=1e-6)
    assert x.mean((0, 1)).abs().max() < 5 * math.sqrt(1 / 3 / 8000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": 1}, "2 components"),
        ({"components": 3, "rotation": 1.0}, "even"),
        ({"components": 2, "rotation": -1.0}, "0 or more"),
        ({"components": 2, "update": "pi"}, "not one of"),
        ({"components": 2, "step": 0.0}, "positive"),
        ({"components": 2, "as_published": True}, "retraction"),
    ],
)
def test_errors_at_the_door(options, message):
    with pytest.raises(ValueError, match=message):
        nd.SphereOscillators(1.0, **options)


def test_the_retraction_is_for_its_own_step():
    net = nd.SphereOscillators(1.0, components=3, update="retraction")
    start = (sphere(1, 4, 3, axis=2),)
    with pytest.raises(ValueError, match="published step"):
        nd.integrate(net, torch.zeros(1, 4, 3).double(), [0.0, 1.0], initial_state=start)
    with pytest.raises(ValueError, match="sample, unit, 3"):
        net.drive(torch.zeros(1, 4, 2))
    with pytest.raises(ValueError, match="mean field"):
        nd.SphereOscillators(MeanField(1.0, ("channel", "y", "x")), components=2)
