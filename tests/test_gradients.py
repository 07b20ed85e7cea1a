"""Gradients: every way against finite differences and against each other."""

import itertools
import math
import weakref

import pytest
import torch
from torch import nn

import neurodyn as nd
from neurodyn.methods import ADAPTIVE, FIXED, MULTISTEP

ONE_STEP = [m for m in FIXED if m not in MULTISTEP]
TIMES = [0.0, 0.3, 0.5, 1.1]
SWITCHES = [0.4, 0.8]


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, dtype=torch.float64, generator=generator)


class Wave:
    """A sine whose amplitude is to be differentiated; by default without switches."""

    def __init__(self, amplitude, switches=(), listed=True):
        self.amplitude = amplitude
        self.switches = switches
        if listed:
            self.tensors = (amplitude,)

    def __call__(self, t):
        piece = sum(float(t) >= s for s in self.switches)
        return self.amplitude * torch.sin(3 * t + piece)


class WaveModule(nn.Module):
    """The same as a module, whose parameters are found by themselves."""

    def __init__(self, amplitude, switches=()):
        super().__init__()
        self.amplitude = nn.Parameter(amplitude.detach().clone())
        self.switches = switches

    def forward(self, t):
        return Wave(self.amplitude, self.switches)(t)


def stimuli():
    """Kinds of stimulus: how each is made from a leaf, and whether it is one."""
    return {
        "constant": lambda x: x,
        "film": lambda x: nd.Film(torch.stack([x, x.sin(), 2 * x]), [0.0, 0.4, 0.8]),
        "wave": Wave,
        "wave of a computed tensor": lambda x: Wave(x.exp()),
        "wave with switches": lambda x: Wave(x, SWITCHES),
        "module": WaveModule,
        "module with switches": lambda x: WaveModule(x, SWITCHES),
    }


def loss(solution):
    weights = torch.linspace(1, 2, len(solution.times), dtype=torch.float64)
    parts = [*solution.states, solution.readout, *solution.observed.values()]
    return sum((weights @ y.flatten(1).sin()).sum() for y in parts)


def energy(t, state):
    return state[1].flatten(1).pow(2).sum(1) * (1 + t)


def gradients(dynamics, kind, method, gradient, **kwargs):
    """Return loss and gradients for the parameter, the stimulus' leaf and the initial state."""
    x, v, m = rand(2, 3).requires_grad_(), rand(2, 3, seed=1), rand(2, 3, 2, 3, seed=2)
    v.requires_grad_()
    m.requires_grad_()
    stimulus = stimuli()[kind](x)
    leaf = stimulus.amplitude if isinstance(stimulus, WaveModule) else x
    solution = nd.integrate(
        dynamics, stimulus, TIMES, initial_state=(v, m), method=method, gradient=gradient,
        record=["v", "m", "readout", energy], **kwargs,
    )  # fmt: skip
    value = loss(solution)
    return value, torch.autograd.grad(value, [dynamics.k, leaf, v, m]), solution.stats


# ---- against finite differences


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        *itertools.product(
            ["euler", "rk4", "dopri5"], ["constant", "film", "wave", "wave with switches"]
        ),
        *itertools.product(["midpoint", "heun2", "heun3"], ["film"]),
        *itertools.product(["bosh3", "fehlberg2", "dopri8", "adaptive_heun"], ["constant"]),
    ],
)
def test_gradients_are_those_of_finite_differences(method, kind, coupled):
    """For the parameter, the stimulus and the initial state together, in random directions."""
    leaves = [rand(2, 3), rand(2, 3, seed=1), rand(2, 3, 2, 3, seed=2), rand(seed=3) + 1]
    # steps of a fixed size, so that the differences see the same steps
    options = {"step_size": 0.11} if method in FIXED else {"first_step": 0.11, "max_step": 0.11}

    def value(gradient, leaves):
        x, v, m, k = leaves
        dynamics = coupled()
        dynamics.k = nn.Parameter(k.detach().clone())
        solution = nd.integrate(
            dynamics, stimuli()[kind](x), TIMES, initial_state=(v, m), method=method,
            gradient=gradient, record=["v", "m", "readout", energy], rtol=1e-2, atol=1e-2,
            options=options,
        )  # fmt: skip
        return loss(solution), dynamics.k

    def along(direction, h):
        moved = [y + h * d for y, d in zip(leaves, direction, strict=True)]
        return float(value("none", moved)[0])

    for seed in (10, 11):
        direction = [rand(*y.shape, seed=seed + i) - 0.5 for i, y in enumerate(leaves)]
        difference = (along(direction, 1e-5) - along(direction, -1e-5)) / 2e-5
        for gradient in ("backprop", "checkpoint"):
            mine = [y.clone().requires_grad_() for y in leaves]
            loss_, k = value(gradient, mine)
            found = torch.autograd.grad(loss_, [*mine[:3], k])
            slope = sum((g * d).sum() for g, d in zip(found, direction, strict=True))
            assert slope.item() == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_gradients_with_free_steps_are_those_of_finite_differences(gradient, coupled):
    dynamics = coupled()
    x = rand(1, 2).requires_grad_()

    def solve(k, x):
        return nd.integrate(
            dynamics, x, [0, 0.4, 1.0], gradient=gradient, rtol=1e-8, atol=1e-9
        ).readout

    torch.autograd.gradcheck(solve, (dynamics.k, x), eps=1e-5, atol=1e-5, fast_mode=True)


def test_adams_backpropagates(coupled):
    dynamics = coupled()
    x = rand(1, 2).requires_grad_()

    def solve(k, x):
        return nd.integrate(dynamics, x, [0, 1.0], method="explicit_adams").readout

    torch.autograd.gradcheck(solve, (dynamics.k, x), eps=1e-6, atol=1e-7, rtol=1e-5)


# ---- "checkpoint" is "backprop" with less memory


@pytest.mark.parametrize(
    ("method", "kind"),
    sorted(
        {
            *itertools.product([*ONE_STEP, *ADAPTIVE], ["film", "wave with switches"]),
            *itertools.product(["euler", "dopri5"], stimuli()),
        }
    ),
)
def test_checkpoint_is_backprop(method, kind, coupled):
    dynamics = coupled()
    value, expected, stats = gradients(dynamics, kind, method, "backprop")
    same, got, same_stats = gradients(dynamics, kind, method, "checkpoint")
    assert same.item() == value.item() and same_stats == stats
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"first_step": 0.9}, {"step_t": [0.25, 0.7]}])
def test_checkpoint_is_backprop_where_steps_are_rejected_or_bound(options, coupled):
    dynamics = coupled()
    value, expected, stats = gradients(dynamics, "film", "dopri5", "backprop", options=options)
    _, got, same_stats = gradients(dynamics, "film", "dopri5", "checkpoint", options=options)
    assert same_stats == stats and (stats.rejected > 0 or "step_t" in options)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint"])
def test_a_tensor_is_counted_once_however_often_it_is_listed(gradient, coupled):
    class Listed(WaveModule):
        @property
        def tensors(self):
            return (self.amplitude,)

    dynamics, amplitude = coupled(), rand(2, 3)

    def solve(stimulus):
        solution = nd.integrate(
            dynamics, stimulus, [0, 1.0], gradient=gradient, rtol=1e-8, atol=1e-10
        )
        return torch.autograd.grad(loss(solution), stimulus.amplitude)[0]

    torch.testing.assert_close(
        solve(Listed(amplitude)), solve(WaveModule(amplitude)), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_a_parameter_of_the_dynamics_in_the_stimulus_is_counted_once(gradient, coupled):
    dynamics = coupled()
    base = rand(2, 3)

    def solve(gradient):
        solution = nd.integrate(
            dynamics, Wave(dynamics.k * base), [0, 1.0], gradient=gradient, rtol=1e-8, atol=1e-10
        )
        return torch.autograd.grad(loss(solution), dynamics.k)[0]

    torch.testing.assert_close(solve(gradient), solve("backprop"), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_gradients_accumulate_in_training(gradient, coupled):
    """Two backward passes, an optimiser step between them: nothing is left from the first."""
    dynamics = coupled()
    optimiser = torch.optim.SGD(dynamics.parameters(), 0.01)
    values = []
    for _ in range(3):
        optimiser.zero_grad()
        value = loss(nd.integrate(dynamics, rand(2, 3), TIMES, gradient=gradient))
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values == sorted(values, reverse=True) and values[0] > values[2]


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint"])
def test_frozen_parameters_get_none_and_block_nothing(gradient, coupled):
    dynamics = coupled().requires_grad_(False)
    x = rand(2, 3).requires_grad_()
    loss(nd.integrate(dynamics, x, TIMES, gradient=gradient)).backward()
    assert dynamics.k.grad is None and x.grad.abs().min() > 0
    solution = nd.integrate(dynamics, rand(2, 3), TIMES, gradient=gradient)
    assert not solution.readout.requires_grad


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint"])
def test_one_record_alone_carries_its_gradient(gradient, coupled):
    """What is not in the loss, or at another time, must not be needed."""
    dynamics = coupled()

    def solve(record, how):
        solution = nd.integrate(
            dynamics, rand(2, 3), TIMES, gradient=how, record=record, rtol=1e-8, atol=1e-10
        )
        y = solution.readout if record == "readout" else solution.states[0]
        return torch.autograd.grad(y[1].sum(), dynamics.k)[0]

    for record in ("readout", "m"):
        torch.testing.assert_close(
            solve(record, gradient), solve(record, "backprop"), rtol=1e-6, atol=1e-9
        )


# ---- memory of the order of the square root


class Watched(nd.Dynamics):
    """dy/dt = -k y; knows how many of its evaluations are held by a graph at once."""

    variables = (nd.Variable("y", ("unit",)),)

    def __init__(self, step):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.step = step
        self.evaluations = self.most = 0
        self.held = weakref.WeakSet()

    def drive(self, stimulus):
        return {"input": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.ones_like(drive["input"]),)

    def forward(self, t, state, drive):
        self.evaluations += 1
        derivative = Held.apply(-self.k * state[0], self.held)
        self.most = max(self.most, len(self.held))
        return (derivative,)

    def readout(self, state, drive):
        return state[0]


class Token:
    """Lives as long as the graph that holds it."""


class Held(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, held):
        ctx.token = Token()
        if any(ctx.needs_input_grad):
            held.add(ctx.token)
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def kept_states(solution):
    """Return the points kept by every checkpointed piece behind a solution."""
    nodes, found, seen = [solution.readout.grad_fn], [], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if "Checkpointed" in type(node).__name__:
            found.append(node.kept)
        nodes += [n for n, _ in node.next_functions]
    return found


@pytest.mark.parametrize("steps", [1, 2, 10, 100, 400])
def test_checkpoint_keeps_the_square_root_of_fixed_steps(steps):
    x = torch.ones(1, 1, dtype=torch.float64)
    held = {}
    for gradient in ("backprop", "checkpoint"):
        dynamics = Watched(1 / steps)
        solution = nd.integrate(dynamics, x, [0, 1.0], method="euler", gradient=gradient)
        if gradient == "checkpoint":
            assert dynamics.most <= 1, "the forward pass holds no graph but of one look"
            (kept,) = kept_states(solution)
            assert len(kept) <= math.isqrt(steps) + 1
        solution.readout[-1].sum().backward()
        held[gradient] = dynamics.most
    assert held["backprop"] == steps
    assert held["checkpoint"] <= 2 * (math.isqrt(steps) + 1)  # one segment, and one going
    assert dynamics.evaluations == 2 * steps + 1, "one more forward pass, and one look"
    assert solution.stats.evaluations == steps


def test_checkpoint_keeps_the_square_root_of_adaptive_steps():
    x = torch.ones(1, 1, dtype=torch.float64)
    dynamics = Watched(1.0)
    solution = nd.integrate(
        dynamics, x, [0, 30.0], gradient="checkpoint", options={"max_step": 0.1}
    )
    assert dynamics.most <= 1
    (kept,) = kept_states(solution)
    accepted = solution.stats.accepted
    assert accepted >= 300
    assert len(kept) <= math.sqrt(2 * accepted) + 2
    before = dynamics.evaluations
    solution.readout[-1].sum().backward()
    # six evaluations to a step; one segment, and one going
    assert dynamics.most <= 2 * 6 * (math.sqrt(2 * accepted) + 2)
    assert dynamics.evaluations - before <= before + 2 * len(kept)


def test_nothing_is_kept_once_the_solution_is_gone():
    dynamics = Watched(0.1)
    x = torch.ones(1, 1, dtype=torch.float64)
    for gradient in ("none", "backprop", "checkpoint", "adjoint"):
        solution = nd.integrate(dynamics, x, [0, 1.0], method="euler", gradient=gradient)
        del solution
        assert len(dynamics.held) == 0


# ---- "adjoint"


@pytest.mark.parametrize("kind", stimuli())
def test_adjoint_is_close_at_a_tight_tolerance(kind, coupled):
    """With k in the drive, the field and the readout, each counted once."""
    dynamics = coupled()
    tight = {"rtol": 1e-8, "atol": 1e-10}
    value, expected, _ = gradients(dynamics, kind, "dopri5", "backprop", **tight)
    same, got, _ = gradients(dynamics, kind, "dopri5", "adjoint", **tight)
    assert same.item() == pytest.approx(value.item(), rel=1e-6)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_adjoint_of_fixed_steps_goes_by_the_same_steps(coupled):
    """Also where the record lies between them; close to the gradient, but not it."""
    dynamics = coupled()
    dynamics.step = 0.01
    value, expected, _ = gradients(dynamics, "constant", "rk4", "backprop")
    same, got, stats = gradients(dynamics, "constant", "rk4", "adjoint")
    assert same.item() == pytest.approx(value.item(), rel=1e-12)
    assert stats.evaluations == 4 * 110
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)


def test_stats_of_adjoint_are_those_of_its_forward_pass(coupled):
    for method in ("euler", "dopri5"):
        counts = [
            nd.integrate(coupled(), rand(2, 3), TIMES, method=method, gradient=gradient).stats
            for gradient in ("none", "adjoint")
        ]
        assert counts[0] == counts[1]


# ---- "none", and what is refused


@pytest.mark.parametrize("method", ["euler", "dopri5", "explicit_adams"])
def test_none_makes_no_graph(method, coupled):
    dynamics, x = coupled(), rand(2, 3).requires_grad_()
    seen = []

    def watching(t, state):
        seen.append(torch.is_grad_enabled())
        return state[0]

    solution = nd.integrate(
        dynamics, x, [0, 1.0], method=method, gradient="none", record=["v", "readout", watching]
    )
    assert not any(seen)
    for y in (*solution.states, solution.readout, *solution.observed.values()):
        assert not y.requires_grad and y.grad_fn is None
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("gradient", ["none", "backprop", "checkpoint", "adjoint"])
def test_no_grad_holds(gradient, coupled):
    with torch.no_grad():
        solution = nd.integrate(coupled(), rand(2, 3), TIMES, gradient=gradient)
    assert not solution.readout.requires_grad


def test_grad_mode_is_restored_after_an_error(breaking):
    with pytest.raises(nd.SolverError):
        nd.integrate(breaking(at=0.1), torch.ones(1, 1), [0, 1.0], method="euler", gradient="none")
    assert torch.is_grad_enabled()


def test_unknown_gradients_are_refused(coupled):
    with pytest.raises(ValueError, match="'exact' is not one of none, backprop, checkpoint, adj"):
        nd.integrate(coupled(), rand(2, 3), TIMES, gradient="exact")


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint"])
@pytest.mark.parametrize("where", ["parameter", "stimulus", "film", "initial state"])
def test_scipy_carries_no_gradient(gradient, where, coupled):
    dynamics, x = coupled(), rand(2, 3)
    state = (rand(2, 3), rand(2, 3, 2, 3))
    dynamics.k.requires_grad_(where == "parameter")
    stimulus = nd.Film(x[None], [0.0]) if where == "film" else x
    if where in ("stimulus", "film"):
        (x if where == "stimulus" else stimulus.frames).requires_grad_()
    if where == "initial state":
        state[0].requires_grad_()
    with pytest.raises(ValueError, match="'scipy_solver' carries no gradients; give gradient='no"):
        nd.integrate(
            dynamics, stimulus, TIMES, initial_state=state, method="scipy_solver",
            gradient=gradient,
        )  # fmt: skip


def test_scipy_needs_no_permission_where_there_is_nothing_to_differentiate(coupled):
    dynamics = coupled().requires_grad_(False)
    solution = nd.integrate(dynamics, rand(2, 3), TIMES, method="scipy_solver")
    assert not solution.readout.requires_grad


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
@pytest.mark.parametrize("method", MULTISTEP)
def test_adams_cannot_be_cut_into_segments(gradient, method, coupled):
    with pytest.raises(ValueError, match=f"'{gradient}' needs a one-step method, not '{method}'"):
        nd.integrate(coupled(), rand(2, 3), [0, 1], method=method, gradient=gradient)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
@pytest.mark.parametrize("switches", [(), SWITCHES])
def test_a_stimulus_that_hides_its_tensors_is_refused(gradient, switches, coupled):
    x = rand(2, 3).requires_grad_()
    with pytest.raises(ValueError, match="list them in its attribute `tensors`"):
        nd.integrate(coupled(), Wave(x, switches, listed=False), TIMES, gradient=gradient)
    solution = nd.integrate(coupled(), Wave(x, switches, listed=False), TIMES)
    assert torch.autograd.grad(loss(solution), x)[0].abs().min() > 0


class Hidden(nd.Dynamics):
    """dy/dt = -c y with a c that is no parameter."""

    variables = (nd.Variable("y", ("unit",)),)

    def __init__(self, c):
        super().__init__()
        self.c = [c]

    def drive(self, stimulus):
        return {"input": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.ones_like(drive["input"]),)

    def forward(self, t, state, drive):
        return (-self.c[0] * state[0],)

    def readout(self, state, drive):
        return state[0]


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_a_tensor_that_is_no_parameter_is_refused_where_its_gradient_would_be_lost(gradient):
    c = torch.tensor(0.5, requires_grad=True)
    x = torch.ones(1, 1)
    nd.integrate(Hidden(c), x, [0.0, 1.0]).readout[-1].sum().backward()
    assert c.grad is not None
    with pytest.raises(ValueError, match=r"not its parameters"):
        nd.integrate(Hidden(c), x, [0.0, 1.0], gradient=gradient)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_a_hidden_tensor_that_comes_later_is_refused(gradient):
    w = torch.tensor(2.0, requires_grad=True)

    def stimulus(t):
        return torch.ones(1, 1) * (w if t >= 1 else 1.0)

    stimulus.switches = (1.0,)
    with pytest.raises(ValueError, match="tensors"):
        nd.integrate(Hidden(torch.tensor(0.5)), stimulus, [0.0, 2.0], gradient=gradient)


def test_times_in_a_list_under_a_transform():
    def last(x):
        return nd.integrate(Hidden(0.5), x, [0.0, 1.0], method="rk4").readout[-1].sum()

    gradient = torch.func.grad(last)(torch.ones(1, 1))
    assert torch.equal(gradient, torch.zeros(1, 1))


def test_what_was_recorded_survives_a_failure_in_checkpoint_mode():
    class Bursts(Hidden):
        def forward(self, t, state, drive):
            return (state[0] ** 2 * self.k,)

    dynamics = Bursts(0.0)
    dynamics.k = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(nd.SolverError) as caught:
        nd.integrate(dynamics, torch.ones(1, 1), [0, 0.5, 0.75, 2], gradient="checkpoint")
    assert caught.value.recorded.times.tolist() == [0, 0.5, 0.75]
    assert caught.value.recorded.readout.shape == (3, 1, 1)
