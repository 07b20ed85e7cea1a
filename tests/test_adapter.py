"""What torchdiffeq sees, and what is said when it cannot go on."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torchdiffeq import odeint

import neurodyn as nd
from neurodyn.layout import Layout
from neurodyn.methods import (
    ADAPTIVE,
    FIXED,
    MULTISTEP,
    OTHER,
    grid,
    interpolant_weights,
)  # fmt: skip

ROOT = Path(__file__).parent.parent
SHAPES = st.lists(st.lists(st.integers(1, 4), min_size=0, max_size=4), min_size=1, max_size=4)


# ---- the flat state


def tensors(shapes, samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(samples, *shape, generator=generator) for shape in shapes)


@given(SHAPES, st.integers(1, 5), st.booleans())
def test_unpack_undoes_pack_as_views(shapes, samples, channels_last):
    state = tensors(shapes, samples)
    layout = Layout(state, [str(i) for i in range(len(state))], channels_last)
    flat = layout.pack(state)
    assert flat.shape == (sum(y.numel() for y in state),)
    for y, back in zip(state, layout.unpack(flat), strict=True):
        assert torch.equal(y, back)
        assert back.untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()
    for i, part in enumerate(layout.split(torch.stack([flat, 2 * flat]))):
        assert torch.equal(layout.shaped(i, part), torch.stack([state[i], 2 * state[i]]))


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_field_sees_maps_in_the_declared_layout_without_copies(channels_last):
    shapes = (5,), (3, 4, 6), (2, 3, 2, 2), (7, 4)
    plain = torch.contiguous_format  # of vectors and tokens, always
    formats = plain, torch.channels_last, torch.channels_last_3d, plain
    seen = []

    class Maps(nd.Dynamics):
        variables = tuple(
            nd.Variable(str(i), tuple(f"{i}{j}" for j in range(len(shape))))
            for i, shape in enumerate(shapes)
        )
        layout = "channels_last" if channels_last else "contiguous"
        step = 0.5

        def drive(self, stimulus):
            return {"x": stimulus}

        def initial_state(self, drive, generator=None):
            return tensors(shapes, len(drive["x"]))

        def forward(self, t, state, drive):
            seen.append(state)
            return tuple(-y for y in state)

        def readout(self, state, drive):
            return state[0]

    for method in ("euler", "dopri5", "scipy_solver"):
        nd.integrate(Maps(), torch.rand(2, 1), [0, 1], method=method, gradient="none")
        assert len(seen) >= 2
        size = 4 * sum(2 * math.prod(shape) for shape in shapes)
        for state in seen:
            assert {y.untyped_storage().data_ptr() for y in state} == {
                state[0].untyped_storage().data_ptr()
            }
            assert state[0].untyped_storage().nbytes() == size
            for y, form in zip(state, formats, strict=True):
                own = form if channels_last else plain
                assert y.is_contiguous(memory_format=own)
        seen.clear()


def test_the_norm_is_the_largest_rms_over_samples_and_variables():
    state = tensors([(3,), (2, 4, 5)], 6, seed=1)
    layout = Layout(state, ["a", "b"], True)
    rms = [float((y[i] ** 2).mean() ** 0.5) for y in state for i in range(6)]
    assert float(layout.norm(layout.pack(state))) == pytest.approx(max(rms))
    quiet = tuple(y.clone() for y in state)
    for y in quiet:
        y[1:] = 0
    alone = max(float((y[0] ** 2).mean() ** 0.5) for y in state)
    assert float(layout.norm(layout.pack(quiet))) == pytest.approx(alone)


def test_nonfinite_names_variables_and_counts_samples():
    a, b = tensors([(3,), (2, 4, 5)], 6)
    layout = Layout((a, b), ["a", "b"], True)
    b[1, 0, 0, 0], b[1, 1, 2, 3], b[4, 1, 3, 4] = torch.nan, torch.inf, -torch.inf
    assert layout.nonfinite(layout.pack((a, b))) == {"b": 2}


# ---- the grid of fixed steps


@given(st.integers(1, 300), st.sampled_from([0.1, 0.01, 1 / 3, 0.7, 1.0]), st.floats(-1e3, 1e3))
def test_grid_has_as_many_steps_as_asked(n, h, start):
    points = grid(start, start + n * h, h)
    assert len(points) == n + 1
    assert points[0] == start and points[-1] == start + n * h
    steps = [b - a for a, b in zip(points, points[1:], strict=False)]
    assert max(abs(step - h) for step in steps) < 1e-6 * h


@given(st.integers(0, 50), st.floats(0.01, 0.99), st.sampled_from([0.1, 1.0]))
def test_grid_ends_with_a_shorter_step_where_the_step_does_not_divide(n, rest, h):
    points = grid(0.0, (n + rest) * h, h)
    assert len(points) == n + 2
    assert points[-1] - points[-2] == pytest.approx(rest * h)


# ---- torchdiffeq's interpolant


def test_every_method_of_torchdiffeq_has_its_way_of_recording():
    assert {"dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun"} <= set(ADAPTIVE)
    assert {"euler", "midpoint", "heun2", "heun3", "rk4", *MULTISTEP} <= set(FIXED)
    assert {"explicit_adams", "implicit_adams", "fixed_adams"} == set(MULTISTEP)
    assert set(OTHER) == {"scipy_solver"}


@pytest.mark.parametrize("method", ADAPTIVE)
def test_interpolant_weights_give_both_ends_of_a_step(method):
    weights = interpolant_weights(method)
    assert weights[:, 0].abs().max() < 1e-12  # nothing at the start of a step
    # Consistency: stages that are all one advance y by x at every x.
    expected = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(weights.sum(0), expected, rtol=0, atol=1e-12)
    # The slope at the start is the first stage: d/dx w_i(0) = (i == 0).
    first = torch.zeros(len(weights), dtype=torch.float64)
    first[0] = 1
    torch.testing.assert_close(weights[:, 1], first, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_interpolant_weights_are_torchdiffeqs_own(method):
    """Any stages, any size of step: the weighted sum is what odeint returns between."""
    generator = torch.Generator().manual_seed(3)
    weights = interpolant_weights(method)
    stages = torch.randn(len(weights), 4, dtype=torch.float64, generator=generator)
    y0 = torch.randn(4, dtype=torch.float64, generator=generator)
    queue = iter(stages)
    step = 0.37
    x = torch.tensor([0.0, 0.11, 0.5, 0.93, 1.0], dtype=torch.float64)
    options = {"first_step": step, "norm": lambda e: e.new_zeros(())}
    y = odeint(lambda t, y: next(queue), y0, x * step, method=method, options=options)
    powers = x[:, None] ** torch.arange(5)
    torch.testing.assert_close(y, y0 + step * (powers @ weights.T) @ stages, rtol=0, atol=1e-12)


# ---- settings at the door


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "rk45"}, "'rk45' is not one of torchdiffeq's: .*dopri5.*scipy_solver"),
        ({"rtol": -1}, "rtol = -1 must be a number, 0 or larger"),
        ({"atol": math.nan}, "atol = nan must be"),
        ({"rtol": "small"}, "rtol = 'small' must be"),
        ({"options": {"step_size": 0.1}}, "'step_size' is not one of dopri5's.*first_step"),
        ({"options": {"jump_t": [1.0]}}, "'jump_t'.*stimulus as a function of time.*switches"),
        ({"options": {"dtype": torch.float32}}, "time is always float64"),
        ({"method": "euler", "options": {"first_step": 1}}, "'first_step'.*allowed: step_size"),
        ({"method": "euler", "options": {"grid_constructor": 1}}, "the grid is explicit already"),
        ({"method": "euler", "options": {"step_size": 0}}, "step_size = 0.* must be positive"),
        ({"method": "euler", "options": {"step_size": -1}}, "must be positive"),
        ({"method": "euler", "options": {"step_size": "1"}}, "step_size = .1. must be positive"),
        ({"method": "euler", "options": {"max_order": 4}}, "'max_order' is not one of euler's"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words, flow):
    with pytest.raises(ValueError, match=words):
        nd.integrate(flow([[-1.0]]), torch.zeros(1, 1), [0, 1], **settings)


def test_options_are_left_as_they_were(flow):
    options = {"step_size": 0.5}
    nd.integrate(flow([[-1.0]]), torch.zeros(1, 1), [0, 1], method="euler", options=options)
    assert options == {"step_size": 0.5}


# ---- looking whether all is finite


class Readings(TorchDispatchMode):
    """Counts numbers read out of tensors: each makes a GPU wait."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("gradient", ["none", "backprop"])
def test_the_look_does_not_cost_a_synchronisation_per_step(gradient, flow):
    dynamics, x = flow(torch.tensor([[-0.5]]), step=0.01), torch.zeros(2, 1)

    def per_step(run):
        readings = []
        for steps in (80, 160):
            with Readings() as mode:
                run(steps * 0.01, steps)
            readings.append(mode.count)
        return (readings[1] - readings[0]) / 80

    def bare(end, steps):
        grid = torch.linspace(0, end, steps + 1, dtype=torch.float64)
        f = nd.bind(dynamics, x)
        odeint(
            lambda t, y: f(t, (y,))[0], f.initial_state()[0], grid[[0, -1]], method="euler",
            options={"grid_constructor": lambda *_: grid},
        )  # fmt: skip

    def ours(end, steps):
        nd.integrate(dynamics, x, [0, end], method="euler", gradient=gradient)

    assert per_step(ours) <= per_step(bare) + 1 / 8


# ---- when it cannot go on

STIMULUS = torch.tensor([[0.0], [1.0], [0.0], [1.0], [1.0]], dtype=torch.float64)
NOT_CONVERGED = pytest.mark.filterwarnings("ignore:Functional iteration did not converge")


@pytest.mark.parametrize("n", [1, 3, 7, 8, 9, 16, 23, 24])
@pytest.mark.parametrize("gradient", ["none", "backprop"])
def test_fixed_steps_name_the_step_the_variable_and_the_samples(n, gradient, breaking):
    """The derivative breaks at step n - 1, so the state is first not finite at step n of 24."""
    dynamics = breaking(at=(n - 1.5) * 0.1)
    times = [0.1 * i for i in range(25)]
    with pytest.raises(nd.SolverError, match=r"b in 3 of 5 samples\). Try a smaller step") as info:
        nd.integrate(dynamics, STIMULUS, times, method="euler", gradient=gradient)
    error = info.value
    assert error.time == pytest.approx(0.1 * n)
    assert f"at t = {0.1 * n:g} " in str(error)
    assert error.variables == {"b": 3}
    solution = error.recorded
    assert solution.times.tolist() == times[:n]
    a, b = solution.states
    expected = 0.9 ** torch.arange(n, dtype=torch.float64)[:, None, None].expand(n, 5, 1)
    torch.testing.assert_close(a.detach(), expected)
    torch.testing.assert_close(b.detach(), expected)
    assert len(solution.readout) == n
    assert solution.stats.accepted >= n


@NOT_CONVERGED
@pytest.mark.parametrize("method", FIXED)
def test_nothing_that_is_not_finite_counts_as_recorded(method, breaking):
    times = [0.0, 0.33, 1.0, 1.62, 1.63, 1.69, 1.72, 3.0]
    with pytest.raises(nd.SolverError) as info:
        nd.integrate(breaking(at=1.61), STIMULUS, times, method=method, gradient="none")
    solution = info.value.recorded
    # the derivative is looked at where a step begins, or within it too
    n, until = (6, 1.8) if method in ("euler", "explicit_adams") else (3, 1.7)
    assert info.value.time == pytest.approx(until)
    assert solution.times.tolist() == times[:n]
    assert all(y.isfinite().all() and len(y) == n for y in (*solution.states, solution.readout))


@NOT_CONVERGED
@pytest.mark.parametrize("method", FIXED)
def test_fixed_steps_find_an_overflow_in_the_very_last_step(method, flow):
    """An unstable run, started so high that only its last step leaves the range of float64."""
    rate = -2.0 if method in MULTISTEP else -6.0
    times = torch.arange(13, dtype=torch.float64)
    options = {"max_order": 4} if method in MULTISTEP else {}

    def plain(start):
        return odeint(
            lambda t, y: rate * y, torch.full((1, 1), start, dtype=torch.float64), times,
            method=method, rtol=1e-4, atol=1e-6, options=options,
        )  # fmt: skip

    low, high = 0.0, 308.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if plain(10**middle).isfinite().all() else (low, middle)
    start = 10**high
    assert plain(start).isfinite().flatten().tolist() == [True] * 12 + [False]
    with pytest.raises(nd.SolverError) as info:
        nd.integrate(
            flow(torch.tensor([[rate]], dtype=torch.float64)), torch.zeros(1, 1).double(), times,
            initial_state=(torch.full((1, 1), start, dtype=torch.float64),),
            method=method, gradient="none",
        )  # fmt: skip
    assert info.value.time == 12
    assert len(info.value.recorded.times) == 12


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("min_step", [None, 0.01])
@pytest.mark.parametrize("gradient", ["none", "backprop"])
def test_adaptive_steps_name_the_time_the_variable_and_the_samples(
    method, min_step, gradient, breaking
):
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    options = None if min_step is None else {"min_step": min_step}
    with pytest.raises(nd.SolverError, match="b in 3 of 5 samples") as info:
        nd.integrate(
            breaking(at=0.35), STIMULUS, times, method=method, options=options, gradient=gradient
        )
    error = info.value
    assert 0.0 <= error.time <= (0.35 if min_step is None else 0.35 + 20 * min_step)
    assert error.variables["b"] == 3 and set(error.variables) <= {"a", "b"}
    solution = error.recorded
    assert all(t <= error.time for t in solution.times)
    for y in (*solution.states, solution.readout):
        assert len(y) == len(solution.times) and y.isfinite().all()
    if solution.states:
        exact = torch.exp(-solution.times)[:, None, None].expand_as(solution.states[0])
        torch.testing.assert_close(solution.states[0].detach(), exact, rtol=2e-2, atol=0)


@pytest.mark.parametrize("method", [*ADAPTIVE, "euler", "scipy_solver"])
@pytest.mark.parametrize("gradient", ["none", "backprop", "checkpoint", "adjoint"])
def test_a_derivative_that_is_never_finite_is_said_at_once(method, gradient, breaking):
    with pytest.raises(nd.SolverError, match="b in 3 of 5 samples") as info:
        nd.integrate(breaking(at=-1), STIMULUS, [0, 1], method=method, gradient=gradient)
    assert 0 <= info.value.time <= 1 and info.value.variables["b"] == 3


@pytest.mark.filterwarnings("ignore:The following arguments have no effect")
@pytest.mark.parametrize("solver", ["LSODA", "RK45", "Radau"])
def test_scipys_failures_are_solver_errors(solver, breaking):
    with pytest.raises(nd.SolverError) as info:
        nd.integrate(
            breaking(at=0.35), STIMULUS, [0.0, 0.2, 0.5, 1.0], method="scipy_solver",
            options={"solver": solver}, gradient="none",
        )  # fmt: skip
    assert 0.2 <= info.value.time <= 1
    assert info.value.recorded.states[0].isfinite().all()


class Explosion(nd.Dynamics):
    """dy/dt = y^2 from 1: y = 1 / (1 - t), infinite at t = 1."""

    variables = (nd.Variable("y", ("unit",)),)
    step = 0.25

    def drive(self, stimulus):
        return {"x": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.ones_like(drive["x"]),)

    def forward(self, t, state, drive):
        return (state[0] ** 2,)

    def readout(self, state, drive):
        return state[0]


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
def test_a_step_that_underflows_is_said(method):
    x = torch.zeros(1, 1, dtype=torch.float64)
    with pytest.raises(nd.SolverError, match="looser tolerances") as info:
        nd.integrate(Explosion(), x, [0, 0.5, 0.9, 2], method=method)
    assert info.value.time == pytest.approx(1, abs=1e-3)
    solution = info.value.recorded
    assert solution.times.tolist() == [0, 0.5, 0.9]
    exact = torch.tensor([1, 2, 10.0], dtype=torch.float64)
    torch.testing.assert_close(solution.readout[:, 0, 0], exact, rtol=2e-3, atol=0)


def test_max_num_steps_is_said_with_where_it_got(coupled):
    x = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(nd.SolverError, match="max_num_steps = 6 were taken and only") as info:
        nd.integrate(coupled(), x, [0, 0.001, 50], rtol=1e-8, options={"max_num_steps": 6})
    error = info.value
    assert 0 < error.time < 50 and error.variables == {}
    assert error.recorded.times.tolist() == [0, 0.001]
    stats = error.recorded.stats
    assert stats.accepted + stats.rejected == 6


def test_max_num_steps_counts_the_whole_solve_not_each_output(coupled):
    x = torch.ones(1, 2, dtype=torch.float64)
    steps = nd.integrate(coupled(), x, [0, 5]).stats
    many = torch.linspace(0, 5, 30)
    enough = {"max_num_steps": steps.accepted + steps.rejected}
    nd.integrate(coupled(), x, many, options=enough)
    with pytest.raises(nd.SolverError):
        nd.integrate(coupled(), x, many, options={"max_num_steps": enough["max_num_steps"] - 1})


def test_an_error_in_the_field_is_not_swallowed(flow):
    dynamics = flow([[-1.0]])

    def stimulus(t):
        if t > 0.5:
            raise ZeroDivisionError("a bug of the user's")
        return torch.zeros(1, 1)

    for method in ("euler", "dopri5", "scipy_solver"):
        with pytest.raises(ZeroDivisionError, match="a bug of the user's"):
            nd.integrate(
                dynamics, stimulus, [0, 1.0], method=method, gradient="none",
                options={"step_size": 0.25} if method == "euler" else None,
            )  # fmt: skip


RUN = """
import signal
import torch
import neurodyn as nd

class Breaking(nd.Dynamics):
    variables = (nd.Variable("b", ("unit",)),)
    step = 0.1

    def drive(self, stimulus):
        return {"x": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.ones_like(drive["x"]),)

    def forward(self, t, state, drive):
        return (torch.where(t > 0.35, torch.nan, -state[0]),)

    def readout(self, state, drive):
        return state[0]

def too_long(*_):
    raise TimeoutError

assert False, "asserts run"
signal.signal(signal.SIGALRM, too_long)
for method, gradient, min_step in CASES:
    signal.alarm(3)
    options = {"min_step": min_step} if min_step else None
    x = torch.ones(2, 1, dtype=torch.float64).requires_grad_(gradient != "none")
    try:
        nd.integrate(Breaking(), x, [0, 0.2, 1.0], method=method, gradient=gradient,
                     options=options)
        print("nothing")
    except nd.SolverError as error:
        print("said", error.variables)
    except Exception as error:
        print(type(error).__name__)
    signal.alarm(0)
"""


def test_it_is_said_without_asserts_too():
    """Under ``python -O`` torchdiffeq's own checks are gone and it would loop for ever."""
    cases = [
        ("euler", "none", 0),
        ("dopri5", "none", 0),
        ("dopri5", "none", 0.01),
        ("dopri5", "backprop", 0),
        ("dopri5", "checkpoint", 0),
        ("dopri5", "adjoint", 0),
    ]
    done = subprocess.run(
        [sys.executable, "-O", "-c", RUN.replace("CASES", repr(cases))],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    said = dict(zip(cases, done.stdout.splitlines(), strict=False))
    assert said == dict.fromkeys(cases, "said {'b': 2}"), done.stderr
