"""Lyapunov exponents against linear systems, traces, locked oscillators and Lorenz."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import neurodyn as nd
from neurodyn.lyapunov import lyapunov
from neurodyn.stability import step_limit

ONE = torch.zeros(1, 3, dtype=torch.float64)
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Lorenz(nd.Dynamics):
    """Lorenz' equations, sigma = 10, rho = 28, beta = 8/3."""

    variables = (nd.Variable("y", ("unit",)),)

    def __init__(self):
        super().__init__()
        linear = [[-10.0, 10, 0], [28, -1, 0], [0, 0, -8 / 3]]
        self.linear = torch.tensor(linear, dtype=torch.float64)
        self.turn = torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)

    def drive(self, stimulus):
        return {"none": stimulus}

    def initial_state(self, drive, generator=None):
        like = drive["none"]
        drawn = torch.randn(len(like), 3, generator=generator, dtype=like.dtype)
        return (8 * drawn + torch.tensor([0.0, 0, 25]),)

    def forward(self, t, state, drive):
        (y,) = state
        return (y @ self.linear.T + y[:, :1] * (y @ self.turn.T),)

    def readout(self, state, drive):
        return state[0]


class Leak(nd.Dynamics):
    """dy/dt = -s(t) y, in steps of half a unit."""

    variables = (nd.Variable("y", ("unit",)),)
    step = 0.5

    def drive(self, stimulus):
        return {"rate": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.randn(drive["rate"].shape, generator=generator).to(drive["rate"]),)

    def forward(self, t, state, drive):
        return (-drive["rate"] * state[0],)

    def readout(self, state, drive):
        return state[0]


# ---- linear systems


def test_a_linear_system_has_its_eigenvalues(flow):
    matrix = torch.block_diag(torch.tensor([[0.3]]), torch.tensor([[-0.2, 3.0], [-3.0, -0.2]]))
    rotation = torch.linalg.qr(random(3, 3))[0]
    model = flow(rotation @ matrix.double() @ rotation.T)
    step = 0.25
    found = lyapunov(
        model, ONE, duration=3, transient=15, interval=0.5, modes=3, method="rk4",
        options={"step_size": step},
    )  # fmt: skip
    z = step * np.array([0.3, -0.2 + 3j, -0.2 - 3j])
    taken = np.log(np.abs(1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24)) / step  # by rk4
    assert np.allclose(found.exponent, [taken], atol=2e-4)
    assert np.allclose(found.exponent, [[0.3, -0.2, -0.2]], atol=0.01)
    assert found.attrs["duration"] == 3 and found.attrs["transient"] == 15
    assert np.array_equal(found.running.isel(time=-1), found.exponent)
    assert np.array_equal(found.time, np.arange(15.5, 18.1, 0.5))


@given(st.integers(0, 99))
def test_all_exponents_add_up_to_the_change_of_volume(flow, seed):
    matrix, euler = random(3, 3, seed=seed), {"method": "euler", "options": {"step_size": 0.25}}
    found = lyapunov(flow(matrix), ONE, duration=1, modes=3, seed=seed, **euler)
    volume = torch.linalg.det(torch.eye(3) + 0.25 * matrix).abs().log() / 0.25
    assert found.exponent.sum().item() == pytest.approx(volume.item(), abs=1e-9)


def test_of_the_flow_they_add_up_to_the_trace(flow):
    matrix = random(3, 3)
    found = lyapunov(flow(matrix), ONE, duration=1, interval=0.5, modes=3, **EXACT)
    assert found.exponent.sum().item() == pytest.approx(matrix.trace().item(), abs=1e-6)


def test_a_finite_time_from_known_directions(flow):
    """The map's power, made orthonormal once, at the end."""
    matrix, euler = random(3, 3), {"method": "euler", "options": {"step_size": 0.25}}
    found = lyapunov(flow(matrix), ONE, duration=3, interval=0.5, modes=2, seed=5, **euler)
    start = np.stack([np.random.default_rng((5, k)).standard_normal(3) for k in range(2)], 1)
    start = np.linalg.qr(start)[0]
    once = (torch.eye(3) + 0.25 * matrix).numpy()
    for i, t in enumerate(found.time.values):
        moved = np.linalg.matrix_power(once, round(4 * t)) @ start
        wanted = np.log(np.abs(np.diag(np.linalg.qr(moved)[1]))) / t
        assert np.allclose(found.running[0, :, i], wanted, atol=1e-9)


@pytest.mark.parametrize("step", [0.5, 1.5, 2.5])
def test_euler_has_the_exponents_of_its_own_map(flow, step):
    rates = np.array([-0.7, -1.0])
    found = lyapunov(
        flow(torch.diag(torch.tensor(rates))), ONE[:, :2], duration=10 * step, modes=2,
        transient=60 * step, method="euler", options={"step_size": step},
    )  # fmt: skip
    wanted = np.log(np.abs(1 + step * rates)) / step
    assert np.allclose(found.exponent[0], sorted(wanted, reverse=True), atol=1e-5)
    assert found.attrs["interval"] == step


def test_beyond_the_step_limit_only_the_iteration_is_unstable(flow):
    model = flow(torch.tensor([[-2.5]], dtype=torch.float64))
    assert step_limit(model, ONE[:, :1], (ONE[:, :1],)).published_steps.item() == 0.8
    flowing = lyapunov(model, ONE[:, :1], duration=5)
    stepping = lyapunov(model, ONE[:, :1], duration=5, method="euler")
    assert flowing.exponent.item() == pytest.approx(-2.5, abs=1e-3)
    assert stepping.exponent.item() == pytest.approx(math.log(1.5))


def test_a_stimulus_that_switches():
    def rate(t):
        return ONE[:, :1] + (1.0 if t < 1.25 else 3.0)

    rate.switches = (1.25,)
    found = lyapunov(Leak(), rate, duration=2, **EXACT)
    assert found.exponent.item() == pytest.approx(-(1.25 * 1 + 0.75 * 3) / 2, abs=1e-6)
    assert np.allclose(found.time, [0.5, 1, 1.5, 2])


# ---- oscillators


def test_two_locked_oscillators():
    """Of d theta1 - theta2 / dt = w - K sin, at rest: -K cos(asin(w / K))."""
    omega, strength = 0.7766, 1.0
    pair = nd.Kuramoto(
        strength, rate=1.0, normalize="number", natural_frequency=torch.tensor([omega, -omega]) / 2
    )
    amplitude = torch.full((1, 2), 20.0, dtype=torch.float64)
    start = (torch.tensor([[math.asin(omega), 0.0]], dtype=torch.float64),)
    wanted = -math.sqrt(strength**2 - omega**2)
    assert wanted == pytest.approx(-0.63, abs=1e-4)
    options = {"duration": 3, "initial_state": start, "rtol": 1e-7, "atol": 1e-9}
    alone = lyapunov(pair.double(), amplitude, symmetry="shift", **options)
    assert alone.exponent.item() == pytest.approx(wanted, abs=1e-6)
    assert alone.attrs["symmetry"] == "shift"
    options |= {"method": "euler", "options": {"step_size": 0.25}}
    both = lyapunov(pair.double(), amplitude, modes=2, transient=15, **options)
    assert np.allclose(both.exponent, [[0, math.log(1 + 0.25 * wanted) / 0.25]], atol=1e-4)
    given = (torch.full((1, 2), 3.0),)
    again = lyapunov(pair.double(), amplitude, symmetry=given, **options)
    assert again.exponent.item() == pytest.approx(both.exponent[0, 1].item(), abs=1e-4)


def test_synchrony_on_a_graph_decays_as_its_laplacian():
    weights = random(6, 6).abs()
    weights = weights + weights.T
    values = np.linalg.eigvalsh((torch.diag(weights.sum(1)) - weights).numpy())
    amplitude = torch.full((2, 6), 30.0, dtype=torch.float64)
    found = lyapunov(
        nd.Kuramoto(weights, rate=0.2).double(), amplitude, duration=0.5, modes=5,
        symmetry="shift", initial_state=(torch.zeros_like(amplitude),), method="euler",
        options={"step_size": 0.1},
    )  # fmt: skip
    wanted = np.log(1 - 0.1 * 0.2 * values[1:]) / 0.1  # by Euler's method
    assert np.allclose(found.exponent.sum("mode"), wanted.sum())


# ---- chaos


@pytest.mark.slow
def test_lorenz():
    """Known: 0.906. Here the mean of 1500 trajectories of 10 units of time."""
    stimulus = torch.zeros(1500, 1, dtype=torch.float64)
    rk4 = {"method": "rk4", "options": {"step_size": 0.025}, "interval": 0.5}
    found = lyapunov(Lorenz(), stimulus, duration=10, transient=15, **rk4)
    error = found.exponent.std().item() / 1500**0.5
    assert error < 0.006
    assert found.exponent.mean().item() == pytest.approx(0.906, abs=0.02)


def test_volumes_of_lorenz_shrink_at_the_trace():
    found = lyapunov(Lorenz(), ONE, duration=1, modes=3, interval=0.125, rtol=1e-7, atol=1e-9)
    assert found.exponent.sum().item() == pytest.approx(-41 / 3, abs=1e-4)


# ---- the library's own contract


def network(update="simultaneous"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 6), nn.Softplus())
    return nd.PredictiveCoding(
        backbone.double().eval(), ["1", "3"], feedforward=0.3, feedback=0.3, error=0.5,
        error_scale="mean", update=update,
    )  # fmt: skip


def test_at_rest_all_exponents_are_the_modes():
    model, stimulus = network(), random(2, 4)
    run = nd.integrate(model, stimulus, [0.0, 100.0], gradient="none", method="rk4")
    rest = tuple(series[-1] for series in run.states)
    modes = step_limit(model, stimulus, rest, modes=11)
    grown = np.log(np.hypot(1 + modes.mode_real, modes.mode_imaginary))
    found = lyapunov(model, stimulus, duration=3, initial_state=rest, method="euler", modes=11)
    assert np.allclose(found.exponent.sum("mode"), grown.sum("mode"), rtol=1e-6)


def test_the_published_order_with_its_own_step_alone():
    model, stimulus = network("sequential"), random(2, 4)
    found = lyapunov(model, stimulus, duration=3, transient=20, method="euler")
    assert (found.exponent < 0).all()
    with pytest.raises(ValueError, match="published step"):
        lyapunov(model, stimulus, duration=3)


def test_samples_do_not_see_each_other():
    model, stimulus = network(), random(3, 4)
    fixed = {"duration": 4, "transient": 2, "modes": 2, "method": "rk4"}
    together = lyapunov(model, stimulus, **fixed)
    for i in range(3):
        alone = lyapunov(model, stimulus[i : i + 1], **fixed)
        assert np.allclose(alone.running[0], together.running[i], rtol=1e-9)


def test_random_starts_are_those_of_simulate():
    class Cubic(Leak):
        def forward(self, t, state, drive):
            return (-(state[0] ** 3),)

    stimulus = torch.ones(2, 3)
    start = nd.simulate(Cubic(), stimulus, [0.0, 1.0], seed=3).layers["y"]["state"][0]
    found = lyapunov(Cubic(), stimulus, duration=1, seed=3)
    given = (torch.from_numpy(start.values),)
    assert found.identical(lyapunov(Cubic(), stimulus, duration=1, seed=3, initial_state=given))
    other = lyapunov(Cubic(), stimulus, duration=1, seed=3, initial_state=(0 * given[0],))
    assert not np.allclose(found.exponent, other.exponent)


def test_the_result_is_labelled_and_can_be_saved(tmp_path):
    found = lyapunov(Leak(), torch.ones(2, 3), duration=2, modes=2)
    assert found.running.dims == ("sample", "mode", "time")
    assert all({"long_name", "units"} <= set(v.attrs) for v in found.variables.values())
    assert found.attrs["solver"] == "dopri5" and found.attrs["nfe"] > 0
    assert "over 2 units of time (4 published steps)" in found.exponent.attrs["long_name"]
    nd.save(found, tmp_path / "exponents.nc")
    assert nd.load(tmp_path / "exponents.nc").identical(found)


# ---- what is refused


def test_arguments_out_of_range():
    for name, value in (
        ("duration", 0), ("duration", -1.0), ("duration", math.inf), ("duration", math.nan),
        ("interval", 0), ("transient", -1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} = .* must be"):
            lyapunov(Leak(), torch.ones(1, 2), **{"duration": 1, name: value})
    for modes in (0, 3):
        with pytest.raises(ValueError, match="modes = .* must be from 1 to 2"):
            lyapunov(Leak(), torch.ones(1, 2), duration=1, modes=modes)
    with pytest.raises(ValueError, match="duration = 1.2 must be a multiple of the fixed step"):
        lyapunov(Leak(), torch.ones(1, 2), duration=1.2, method="euler")
    with pytest.raises(ValueError, match="none of y has a period"):
        lyapunov(Leak(), torch.ones(1, 2), duration=1, symmetry="shift")
    with pytest.raises(ValueError, match="is none"):
        lyapunov(Leak(), torch.ones(1, 2), duration=1, symmetry=(torch.ones(1, 2),))
    with pytest.raises(ValueError, match="not finite: y in 1 of 1 samples"):
        lyapunov(
            Leak(), torch.ones(1, 2), duration=1, initial_state=(torch.full((1, 2), math.inf),)
        )


def test_a_symmetry_at_the_start_alone_is_refused():
    class Bends(Leak):
        def forward(self, t, state, drive):
            a, b = state[0].unbind(1)
            return (torch.stack([drive["rate"][:, 0], (a - a.detach()[0] * 0) * b], 1),)

    zero = (torch.zeros(1, 2),)  # where J = 0
    with pytest.raises(ValueError, match="is none"):
        lyapunov(
            Bends(), torch.ones(1, 2), duration=1, initial_state=zero,
            symmetry=(torch.tensor([[0.0, 1.0]]),),
        )  # fmt: skip


def test_a_blow_up_is_the_solvers_error():
    class Square(Leak):
        def forward(self, t, state, drive):
            return (state[0] ** 2,)

    with pytest.raises(nd.SolverError):
        lyapunov(
            Square(), torch.ones(1, 1), duration=6, initial_state=(torch.ones(1, 1),),
            method="euler",
        )  # fmt: skip
