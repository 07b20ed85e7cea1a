"""The contract of a dynamics, and its vector field in torchdiffeq's and torch's own hands."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchdiffeq import odeint, odeint_adjoint

import neurodyn as nd

TIMES = torch.linspace(0, 1, 3, dtype=torch.float64)


class Counting(nd.Dynamics):
    """dy/dt = w s - y, with a record of the calls of `drive`."""

    variables = (nd.Variable("y", ("unit",)),)

    def __init__(self, trainable):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0, dtype=torch.float64), trainable)
        self.drives = 0

    def drive(self, stimulus):
        self.drives += 1
        return {"input": self.weight * stimulus}

    def initial_state(self, drive, generator=None):
        noise = 0 if generator is None else torch.randn(drive["input"].shape, generator=generator)
        return (torch.zeros_like(drive["input"]) + noise,)

    def forward(self, t, state, drive):
        return (drive["input"] - state[0],)

    def readout(self, state, drive):
        return state[0] * drive["input"]


@pytest.fixture
def stimulus():
    return torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


# ---- variables


@pytest.mark.parametrize("name", ["", "a/b"])
def test_names_that_cannot_be_nodes_of_a_tree_are_refused(name):
    with pytest.raises(ValueError, match="needs a name without '/'"):
        nd.Variable(name, ("unit",))


def test_a_variable_describes_its_array():
    assert nd.Variable("v", ("unit",)).attrs == {"long_name": "v", "units": "1"}
    full = nd.Variable("v", ("unit",), "mV", "membrane potential", references="Lapicque (1907)")
    assert full.attrs == {
        "long_name": "membrane potential", "units": "mV", "references": "Lapicque (1907)",
    }  # fmt: skip


def test_a_dynamics_must_write_the_four_methods():
    class Half(nd.Dynamics):
        variables = ()

        def drive(self, stimulus):
            return {}

    with pytest.raises(TypeError, match="forward.*initial_state.*readout"):
        Half()


def test_config_is_plain(coupled):
    assert coupled().config() == {"dynamics": "Coupled", "step": 0.125}


# ---- bind


@pytest.mark.parametrize(
    ("stimulus", "error", "words"),
    [
        ([[1.0]], TypeError, "got list; convert arrays with torch.as_tensor"),
        (torch.ones(2, 3, dtype=torch.uint8), TypeError, r"torch.uint8.*images.float\(\) / 255"),
        (torch.ones(3), ValueError, r"shape \(3,\).*stimulus\[None\]"),
        (torch.ones(0, 3), ValueError, r"shape \(0, 3\)"),
        (torch.tensor([[1.0], [torch.nan], [torch.inf]]), ValueError, "2 of 3 samples.*sample 1"),
    ],
)
def test_a_wrong_stimulus_is_refused_at_every_door(stimulus, error, words, flow):
    dynamics = flow([[-1.0]])
    for door in (
        lambda: nd.bind(dynamics, stimulus),
        lambda: nd.integrate(dynamics, stimulus, [0, 1]),
        lambda: nd.simulate(dynamics, stimulus, [0, 1]),
    ):
        with pytest.raises(error, match=words):
            door()


def test_a_network_is_not_a_dynamics():
    for door in (nd.bind, nd.integrate, nd.simulate):
        arguments = () if door is nd.bind else ([0, 1],)
        with pytest.raises(TypeError, match=r"neurodyn\.Dynamics, got Linear"):
            door(nn.Linear(2, 2), torch.ones(1, 2), *arguments)


def test_bound_solves_in_plain_torchdiffeq(flow):
    dynamics = flow(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64))
    f = nd.bind(dynamics, torch.zeros(2, 2, dtype=torch.float64))
    (y,) = odeint(f, f.initial_state(), TIMES)
    expected = dynamics.exact(torch.ones(2, 2, dtype=torch.float64), TIMES)
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(f.readout((y[-1],)), y[-1])


def test_bound_hands_over_the_generator(stimulus):
    f = nd.bind(Counting(True), stimulus)
    (a,), (b,) = (f.initial_state(torch.Generator().manual_seed(s)) for s in (1, 2))
    (again,) = f.initial_state(torch.Generator().manual_seed(1))
    assert torch.equal(a, again) and not torch.equal(a, b)


def test_a_constant_drive_is_computed_once(stimulus):
    dynamics = Counting(trainable=False)
    f = nd.bind(dynamics, stimulus)
    odeint(f, f.initial_state(), TIMES, method="euler")
    assert dynamics.drives == 1


def test_a_drive_follows_time(flow):
    f = nd.bind(flow([[0.0]]), lambda t: torch.full((1, 1), float(t)))
    assert f(torch.tensor(0.75), (torch.zeros(1, 1),))[0].item() == 0.75
    assert f.readout((torch.zeros(1, 1),), t=0.5).item() == 5.0


def test_a_bound_field_follows_its_parameters(stimulus):
    # One f for a whole training loop: odeint_adjoint runs forward without a graph.
    dynamics = Counting(trainable=True)
    f = nd.bind(dynamics, stimulus)
    with torch.no_grad():
        dynamics.weight.mul_(3)
        (derivative,) = f(TIMES[0], (torch.zeros_like(stimulus),))
    torch.testing.assert_close(derivative, 6 * stimulus)


def test_a_field_bound_without_a_graph_still_has_gradients(stimulus):
    dynamics = Counting(trainable=True)
    with torch.no_grad():
        f = nd.bind(dynamics, stimulus)
    (derivative,) = f(TIMES[0], (torch.zeros_like(stimulus),))
    (gradient,) = torch.autograd.grad(derivative.sum(), dynamics.weight)
    torch.testing.assert_close(gradient, stimulus.sum())


def test_parameters_are_those_of_the_dynamics_and_the_stimulus(coupled, stimulus):
    dynamics = coupled()

    def found(x):
        return sorted(id(p) for p in nd.bind(dynamics, x).parameters())

    assert found(stimulus) == [id(dynamics.k)]
    stimulus.requires_grad_()
    assert found(stimulus) == sorted([id(dynamics.k), id(stimulus)])
    parameter = nn.Parameter(stimulus.detach())
    assert found(parameter) == sorted([id(dynamics.k), id(parameter)])


def test_plain_adjoint_differentiates_parameters_and_stimulus(coupled, stimulus):
    dynamics = coupled()
    stimulus.requires_grad_()

    def gradients(solver):
        f = nd.bind(dynamics, stimulus)
        v, m = solver(f, f.initial_state(), TIMES, method="dopri5", rtol=1e-9, atol=1e-11)
        return torch.autograd.grad((v**2).sum() + m.sin().sum(), [dynamics.k, stimulus])

    for got, wanted in zip(gradients(odeint_adjoint), gradients(odeint), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-8)


# ---- no hidden state: what torch does to a pure function


@pytest.fixture
def field(coupled, stimulus):
    dynamics = coupled()
    drive = dynamics.drive(stimulus)
    return dynamics, drive, dynamics.initial_state(drive)


def test_copies_and_state_dicts_give_the_same_field(field):
    dynamics, drive, state = field
    other = type(dynamics)(k=-9.0)
    other.load_state_dict(dynamics.state_dict())
    expected = dynamics(TIMES[1], state, drive)
    for twin in (copy.deepcopy(dynamics), pickle.loads(pickle.dumps(dynamics)), other):
        assert all(
            torch.equal(a, b) for a, b in zip(twin(TIMES[1], state, drive), expected, strict=True)
        )
    copied = copy.deepcopy(dynamics)
    with torch.no_grad():
        copied.k.zero_()
    assert dynamics.k.item() == 1.3


def test_a_bound_field_can_be_copied_and_pickled(coupled, stimulus):
    f = nd.bind(coupled(), stimulus)
    state = f.initial_state()
    for twin in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        for a, b in zip(twin(TIMES[1], state), f(TIMES[1], state), strict=True):
            assert torch.equal(a, b)


def test_vmap_over_samples_is_the_batch(field):
    dynamics, drive, state = field

    def alone(state, drive):
        one = tuple(y[None] for y in state), {k: v[None] for k, v in drive.items()}
        return tuple(y[0] for y in dynamics(TIMES[1], *one))

    for a, b in zip(
        torch.func.vmap(alone)(state, drive), dynamics(TIMES[1], state, drive), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_jvp_is_the_directional_derivative(field):
    dynamics, drive, state = field
    tangent = tuple(torch.cos(7 * y) for y in state)

    def f(*y):
        return dynamics(TIMES[1], y, drive)

    _, got = torch.func.jvp(f, state, tangent)
    h = 1e-6
    up = f(*(y + h * v for y, v in zip(state, tangent, strict=True)))
    down = f(*(y - h * v for y, v in zip(state, tangent, strict=True)))
    for j, a, b in zip(got, up, down, strict=True):
        torch.testing.assert_close(j, (a - b) / (2 * h), rtol=1e-6, atol=1e-7)


@given(k=st.floats(-2, 2))
def test_functional_call_replaces_parameters(k):
    from_outside = torch.tensor(k, dtype=torch.float64)
    dynamics = Counting(trainable=True)
    y = torch.ones(1, 2, dtype=torch.float64)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.dynamics = dynamics

        def forward(self, x):
            return self.dynamics(TIMES[0], (0 * x,), self.dynamics.drive(x))[0]

    got = torch.func.functional_call(Whole(), {"dynamics.weight": from_outside}, (y,))
    torch.testing.assert_close(got, from_outside * y)
    assert dynamics.weight.item() == 2.0
