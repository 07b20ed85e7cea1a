"""Predictive coding on any network: the authors' outputs, plain loops and exact solutions."""

import copy
import gc
import io
import json
import math
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchdiffeq import odeint, odeint_adjoint

import neurodyn as nd
from neurodyn.predictive_coding import Rates, TrainableRates

DATA = Path(__file__).parent / "data"
T0 = torch.tensor(0.0)
NO_BATCHING = pytest.mark.filterwarnings("ignore:There is a performance drop")


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def close(got, wanted, rtol=1e-5):
    """Relative to the largest value, as the whole is what is compared."""
    assert (got - wanted).abs().max() <= rtol * wanted.abs().max()


# ---- the authors' outputs


def authors(kind, **kwargs):
    stored = np.load(DATA / f"predify_{kind}.npz")
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    decoders = [
        nn.ConvTranspose2d(8, 3, 3, padding=1),
        nn.Sequential(nn.ConvTranspose2d(12, 8, 6, stride=2, padding=2), nn.ReLU()),
        nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.ConvTranspose2d(16, 12, 3, padding=1),
        ),
    ]
    for prefix, module in zip(
        ["encoder", "decoder1", "decoder2", "decoder3"], [network, *decoders], strict=True
    ):
        weights = {k: torch.tensor(v) for k, v in stored.items()}
        start = f"{prefix}."
        module.load_state_dict(
            {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        )
    alpha = stored["alpha"] / (4 if kind == "plain" else 1)
    settings = {
        "feedforward": stored["beta"].tolist(), "feedback": stored["lambda"].tolist(),
        "error": alpha.tolist(), "update": "sequential",
        "error_scale": "mean" if kind == "plain" else (2 / stored["C_sqrt"]).tolist(),
    }  # fmt: skip
    model = nd.PredictiveCoding(network, ["1", "4", "7"], decoders, **(settings | kwargs))
    return stored, model.eval()


@pytest.mark.parametrize("kind", ["plain", "scaled"])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_states_and_logits_are_the_authors(kind, layout):
    stored, model = authors(kind)
    model.layout = layout
    x = torch.tensor(stored["x"])
    solution = nd.integrate(model, x, range(9), method="euler", gradient="none")
    assert solution.stats.evaluations == 8
    assert [v.name for v in model.variables] == ["1", "4", "7"]
    for n, state in enumerate(solution.states):
        wanted = torch.tensor(stored[f"state{n + 1}"])
        for i in range(9):
            close(state[i], wanted[i])
    for i in range(9):
        close(solution.readout[i], torch.tensor(stored["logits"][i]))
        predictions = model.predictions(tuple(state[i] for state in solution.states))
        for n, prediction in enumerate(predictions):
            close(prediction, torch.tensor(stored[f"prediction{n + 1}"][i]))


def test_the_authors_trainable_rates_give_the_same():
    stored, model = authors("scaled", trainable=True)
    x = torch.tensor(stored["x"])
    solution = nd.integrate(model, x, range(9), method="euler")
    close(solution.readout[-1], torch.tensor(stored["logits"][-1]))
    solution.readout[-1].sum().backward()
    assert model.rates.raw.grad.isfinite().all() and model.rates.error.grad.abs().min() > 0


def test_effective_scale_is_the_structural_reach():
    stored, model = authors("scaled", error_scale="effective")
    model.drive(torch.tensor(stored["x"]))
    roots = [2 / s for s in model.scale]
    assert roots == pytest.approx([5.19615, 16.97056, 20.78461], abs=1e-5)
    # where no rectifier is dead, it is what the authors measured
    assert roots[0] == pytest.approx(stored["C_sqrt"][0], abs=1e-6)
    assert roots[2] == pytest.approx(stored["C_sqrt"][2], abs=1e-5)


def test_mean_scale_is_the_gradient_of_the_mean_squared_error_of_an_image():
    _, model = authors("plain")
    model.drive(rand(2, 3, 16, 16))
    assert model.scale == [2 / (3 * 16 * 16), 2 / (8 * 16 * 16), 2 / (12 * 8 * 8)]


@pytest.mark.parametrize("net", ["authors", "smooth"])
def test_all_orders_and_solvers_have_one_fixed_point(net):
    """Smooth: to the tolerance. The authors' rectified decoder keeps an exact dopri5 busy."""

    def build(update):
        if net == "authors":
            return authors("scaled", update=update)[1].double()
        return gradient_model(update=update)

    x = torch.tensor(authors("scaled")[0]["x"]) if net == "authors" else rand(2, 2, 6, 6)
    x = x.double()
    tolerances = {"rtol": 1e-4, "atol": 1e-5} if net == "authors" else {"rtol": 1e-8, "atol": 1e-9}
    simultaneous = build("simultaneous")
    ends = []
    for update, method in (
        ("sequential", "euler"), ("simultaneous", "euler"), ("simultaneous", "dopri5"),
    ):  # fmt: skip
        end = 100.0 if method == "euler" else 50.0
        solution = nd.integrate(
            build(update), x, [0, end], method=method, gradient="none", **tolerances
        )
        rest = 1e-9 if method == "euler" else 1e-3 if net == "authors" else 1e-5
        state = tuple(y[-1] for y in solution.states)
        derivative = simultaneous(T0, state, simultaneous.drive(x))
        assert max(d.abs().max() for d in derivative) < rest
        assert (solution.states[0][-1] - solution.states[0][0]).abs().max() > 0.01
        ends.append([y[-1] for y in (*solution.states, solution.readout)])
    for a, b, c in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)
        close(c, b, 1e-3 if net == "authors" else 1e-5)


# ---- an independent loop, as the authors write it


def small(dtype=torch.float32, act=nn.ReLU):
    """Return segments, head and decoders of a small net; "bent" enough to be a real test."""

    def make():
        segments = [
            nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), act()),
            nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 3, padding=1), act()),
            nn.Sequential(nn.Flatten(), nn.Linear(36, 6), act()),
        ]
        decoders = [
            nn.ConvTranspose2d(3, 2, 3, padding=1),
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 3, padding=1), act()),
            nn.Sequential(nn.Linear(6, 36), nn.Softplus(), nn.Unflatten(1, (4, 3, 3))),
        ]
        return segments, nn.Linear(6, 5), decoders

    segments, head, decoders = seeded(make)
    network = nn.Sequential(*segments, head)
    for module in (network, *decoders):
        module.to(dtype)
    return segments, head, decoders, network


def loop(segments, head, decoders, x, steps, beta, lam, alpha, scale, sequential=True):
    """Predify's rule with autograd.grad, step by step."""
    e = []
    for n, f in enumerate(segments):
        e.append(f(x if n == 0 else e[n - 1]))
    path = [e]
    for _ in range(steps):
        old = [y.detach().requires_grad_() for y in e]
        targets = [x, *[y.detach() for y in old[:-1]]]
        predictions = [g(y) for g, y in zip(decoders, old, strict=True)]
        gradients = [
            torch.autograd.grad(((p - y) ** 2).sum() / 2, o, retain_graph=True)[0]
            for p, y, o in zip(predictions, targets, old, strict=True)
        ]
        e = []
        for n, f in enumerate(segments):
            below = x if n == 0 else (e[n - 1] if sequential else old[n - 1].detach())
            top = n == len(segments) - 1
            fed_back = 0 if top else lam[n] * predictions[n + 1].detach()
            memory = 1 - beta[n] - (0 if top else lam[n])
            e.append(
                beta[n] * f(below).detach() + fed_back + memory * old[n].detach()
                - alpha[n] * scale[n] * gradients[n]
            )  # fmt: skip
        path.append(e)
    return [torch.stack(layer) for layer in zip(*path, strict=True)], torch.stack(
        [head(e[-1]) for e in path]
    )


@given(
    beta=st.lists(st.floats(0, 0.6), min_size=3, max_size=3),
    lam=st.lists(st.floats(0, 0.4), min_size=3, max_size=3),
    alpha=st.lists(st.floats(-0.1, 0.5), min_size=3, max_size=3),
    update=st.sampled_from(["sequential", "simultaneous"]),
    scale=st.sampled_from(["effective", "mean", [0.3, 0.1, 0.7]]),
    trainable=st.booleans(),
)
def test_steps_are_those_of_a_plain_loop(beta, lam, alpha, update, scale, trainable):
    segments, head, decoders, network = small(torch.float64)
    x = rand(2, 2, 6, 6, dtype=torch.float64)
    model = nd.PredictiveCoding(
        network, ["0", "1", "2"], decoders, feedforward=beta, feedback=lam, error=alpha,
        update=update, error_scale=scale, trainable=trainable,
    ).eval()  # fmt: skip
    solution = nd.integrate(model, x, range(6), method="euler", gradient="none")
    factors = {
        "effective": [2 / 18**0.5, 2 / 48**0.5, 2 / 36**0.5],
        "mean": [2 / 72, 2 / 108, 2 / 36],
    }
    with torch.enable_grad():
        states, logits = loop(
            segments, head, decoders, x, 5, beta, lam, alpha,
            scale if isinstance(scale, list) else factors[scale], update == "sequential",
        )  # fmt: skip
    rtol = 1e-5 if trainable else 1e-10  # trainable rates are float32
    for got, wanted in zip((*solution.states, solution.readout), (*states, logits), strict=True):
        close(got, wanted.detach(), rtol)


def test_the_field_is_the_equation():
    """Each term alone, written out."""
    segments, _, decoders, network = small(torch.float64)
    x = rand(2, 2, 6, 6, dtype=torch.float64)
    plain = nd.PredictiveCoding(
        network, ["0", "1", "2"], decoders, feedforward=0, feedback=0, error=0,
        error_scale=[1.0, 1.0, 1.0],
    ).eval()  # fmt: skip
    drive = plain.drive(x)
    state = tuple(torch.cos(5 * y) for y in plain.initial_state(drive))
    below = (x, *state[:-1])

    def only(**rates):
        plain.rates = Rates(
            rates.get("feedforward", 0), rates.get("feedback", 0), rates.get("error", 0), 3
        )
        return plain(T0, state, drive)

    for got, y in zip(only(), state, strict=True):
        assert torch.equal(got, torch.zeros_like(y))
    for n, got in enumerate(only(feedforward=[0.2, 0.3, 0.4])):
        wanted = [0.2, 0.3, 0.4][n] * (segments[n](below[n]) - state[n])
        torch.testing.assert_close(got, wanted)
    feedback = only(feedback=[0.2, 0.3, 0.4])
    for n in (0, 1):
        wanted = [0.2, 0.3][n] * (decoders[n + 1](state[n + 1]) - state[n])
        torch.testing.assert_close(feedback[n], wanted)
    assert torch.equal(feedback[2], torch.zeros_like(state[2])), "nothing above the last"
    for n, got in enumerate(only(error=[0.2, 0.3, 0.4])):
        y = state[n].detach().requires_grad_()
        energy = ((decoders[n](y) - below[n]) ** 2).sum() / 2
        (gradient,) = torch.autograd.grad(energy, y)
        torch.testing.assert_close(got, -[0.2, 0.3, 0.4][n] * gradient)


@NO_BATCHING
@torch.no_grad()
def test_the_feed_forward_pass_is_a_fixed_point_without_feedback_and_error(made_network):
    network, taps, x = made_network()
    model = nd.PredictiveCoding(network, taps, feedforward=0.5, feedback=0, error=0)
    drive = model.drive(x)
    state = model.initial_state(drive)
    assert torch.equal(model.readout(state, drive), network(x.clone()))
    for derivative in model(T0, state, drive):
        assert torch.equal(derivative, torch.zeros_like(derivative))


# ---- gradients


def gradient_model(**kwargs):
    segments, _, decoders, network = small(torch.float64, act=nn.Softplus)
    settings = {"feedforward": 0.3, "feedback": 0.2, "error": 0.4}
    return nd.PredictiveCoding(network, ["0", "1", "2"], decoders, **(settings | kwargs)).eval()


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_the_full_gradient_is_that_of_finite_differences(update, gradient):
    """Of stimulus, decoders, network and rates, through the error term too."""
    model = gradient_model(update=update, trainable=True)
    model.rates.double()
    x = rand(1, 2, 6, 6, dtype=torch.float64).requires_grad_()
    chosen = [
        model.decoders[0].bias, model.decoders[0].weight, model.decoders[1][1].bias,
        model.backbone[0][0].bias, model.backbone[1][1].weight, model.backbone[3].bias,
        model.rates.raw, model.rates.error,
    ]  # fmt: skip

    def solve(x, *parameters):
        return nd.integrate(model, x, [0, 1.0, 3.0], method="euler", gradient=gradient).readout

    torch.autograd.gradcheck(solve, (x, *chosen), eps=1e-6, atol=1e-7, rtol=1e-5, fast_mode=True)


def test_the_adjoint_goes_through_the_error_term():
    model = gradient_model()
    x = rand(1, 2, 6, 6, dtype=torch.float64).requires_grad_()
    leaves = [x, *model.parameters()]

    def gradients(gradient):
        readout = nd.integrate(
            model, x, [0, 1.0], gradient=gradient, rtol=1e-7, atol=1e-8, record="readout"
        ).readout
        return torch.autograd.grad(readout[-1].square().sum(), leaves, allow_unused=True)

    for got, wanted in zip(gradients("adjoint"), gradients("backprop"), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-7)


def test_it_goes_into_plain_torchdiffeq():
    model = gradient_model()
    f = nd.bind(model, rand(1, 2, 6, 6, dtype=torch.float64))
    times = torch.tensor([0, 0.5, 1.0], dtype=torch.float64)
    ours = nd.integrate(
        model, f.stimulus, times, rtol=1e-9, atol=1e-11, record=["0", "1", "2"]
    ).states
    for solver in (odeint, odeint_adjoint):
        y = solver(f, f.initial_state(), times, rtol=1e-9, atol=1e-11)
        for a, b in zip(y, ours, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
        assert y[2][-1].requires_grad


@pytest.mark.parametrize("detach", [False, True])
def test_decoder_1_learns_from_classification_unless_detached(detach):
    model = gradient_model(detach_error=detach)
    x = rand(2, 2, 6, 6, dtype=torch.float64)
    solution = nd.integrate(model, x, range(4), method="euler")
    loss = nn.functional.cross_entropy(solution.readout[-1], torch.tensor([0, 3]))
    model.zero_grad()
    loss.backward()
    first = model.decoders[0].weight.grad
    if detach:
        assert first is None or not first.any()
    else:
        assert first.abs().max() > 1e-6
    # through feedback the others always do
    assert model.decoders[1][1].weight.grad.abs().max() > 1e-6
    assert model.decoders[2][0].weight.grad.abs().max() > 1e-6


def test_detached_gradients_are_those_of_a_loop_with_the_error_as_a_constant():
    """The authors': the same numbers forward, the error's gradient a number in the graph."""
    model = gradient_model(detach_error=True, update="sequential")
    segments, _, decoders, network = small(torch.float64, act=nn.Softplus)
    x = rand(2, 2, 6, 6, dtype=torch.float64).requires_grad_()
    solution = nd.integrate(model, x, range(4), method="euler")
    e = []
    for n, f in enumerate(segments):
        e.append(f(x if n == 0 else e[-1]))
    for _ in range(3):
        predictions = [g(y) for g, y in zip(decoders, e, strict=True)]
        constant = []
        for g, y, target in zip(decoders, e, (x, *e[:-1]), strict=True):
            y = y.detach().requires_grad_()
            error = ((g(y) - target.detach()) ** 2).sum() / 2
            constant.append(torch.autograd.grad(error, y)[0])
        new = []
        for n, f in enumerate(segments):
            y = 0.3 * f(x if n == 0 else new[-1]) - 0.4 * model.scale[n] * constant[n]
            memory = 0.7 if n == 2 else 0.5
            y = y + memory * e[n] + (0 if n == 2 else 0.2 * predictions[n + 1])
            new.append(y)
        e = new
    wanted = network[3](e[-1])
    torch.testing.assert_close(solution.readout[-1], wanted)
    ours = torch.autograd.grad(solution.readout[-1].square().sum(), [x, *model.parameters()],
                               allow_unused=True)  # fmt: skip
    theirs = torch.autograd.grad(
        wanted.square().sum(),
        [x, *network.parameters(), *(p for g in decoders for p in g.parameters())],
        allow_unused=True,
    )
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        a, b = (torch.zeros(()) if v is None else v for v in (a, b))
        torch.testing.assert_close(a.expand(b.shape).to(b), b, rtol=1e-9, atol=1e-12)


# ---- rates


def numbers(rate):
    with torch.no_grad():
        return [float(r) for r in rate]


SHARES = (
    st.tuples(st.floats(0, 1), st.floats(0, 1))
    .filter(lambda p: sum(p) <= 1)
    .filter(lambda p: all(v == 0 or v > 1e-4 for v in (*p, 1 - sum(p))))
)
CORNERS = st.sampled_from([(0, 0), (1, 0), (0, 1), (0.5, 0.5), (0, 0.3), (0.3, 0), (1 / 3, 1 / 3)])


@given(st.lists(SHARES | CORNERS, min_size=3, max_size=3), st.floats(-1, 1))
def test_trainable_rates_begin_as_given_and_have_finite_gradients(pairs, alpha):
    beta, lam = ([p[i] for p in pairs] for i in (0, 1))
    rates = TrainableRates(beta, lam, alpha, 3)
    got = rates()
    values = [numbers(rate) for rate in got]
    assert values[0] == pytest.approx(beta, abs=1e-6)
    assert values[1] == pytest.approx([*lam[:2], 0], abs=1e-6)
    assert values[2] == pytest.approx([alpha] * 3)
    for wanted, value in zip((*beta, *lam[:2]), (*values[0], *values[1][:2]), strict=True):
        if wanted in (0, 1):
            assert value == wanted, "exactly"
    assert isinstance(got[1][2], float), "no feedback to the last layer"
    sum((v * (i + 1)).sum() for i, v in enumerate((got[0], torch.stack(got[1][:2])))).backward()
    assert rates.raw.grad.isfinite().all()


def test_a_rate_of_zero_stays_zero_in_training():
    rates = TrainableRates([0.0, 0.5, 0.2], [0.3, 0.0, 0.0], 0.1, 3)
    optimiser = torch.optim.SGD(rates.parameters(), 1.0)
    for _ in range(5):
        optimiser.zero_grad()
        beta, lam, alpha = rates()
        (beta.sum() - 3 * (lam[0] + lam[1]) + alpha.sum()).backward()
        optimiser.step()
    beta, lam, _ = (numbers(rate) for rate in rates())
    assert beta[0] == 0 and lam[1] == 0
    assert lam[0] > 0.4 and beta[1] < 0.4 and beta[2] < 0.15
    assert all(0 <= b + f <= 1 for b, f in zip(beta, lam, strict=True))


@pytest.mark.parametrize("scalar", [True, False])
def test_numbers_are_shared_and_lists_are_one_each(scalar):
    rates = TrainableRates(*((0.3, 0.2, 0.1) if scalar else ([0.3] * 3, [0.2] * 3, [0.1] * 3)), 3)
    assert rates.raw.shape == (3, 1 if scalar else 3)
    assert rates.error.shape == (1 if scalar else 3,)
    optimiser = torch.optim.SGD(rates.parameters(), 1.0)
    beta, _, alpha = rates()
    (beta[0] + alpha[0]).backward()
    optimiser.step()
    beta, _, alpha = (numbers(rate) for rate in rates())
    assert (len(set(beta)) == 1) == scalar and (len(set(alpha)) == 1) == scalar


def test_trainable_rates_learn_and_fixed_ones_are_not_parameters():
    model = gradient_model(trainable=True)
    assert {n for n, _ in model.rates.named_parameters()} == {"raw", "error"}
    assert not list(gradient_model().rates.parameters())
    wanted = nd.integrate(
        gradient_model(feedforward=0.5), rand(2, 2, 6, 6).double(), range(4), method="euler",
        gradient="none",
    ).readout  # fmt: skip
    optimiser = torch.optim.Adam(model.rates.parameters(), 0.1)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        readout = nd.integrate(model, rand(2, 2, 6, 6).double(), range(4), method="euler").readout
        losses.append((readout - wanted).square().sum())
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"feedforward": -0.1}, "feedforward -0.1 and feedback 0.2 must not be negative"),
        ({"feedback": -0.1}, "must not be negative"),
        ({"feedforward": 0.9}, "0.9 and feedback 0.2 must not.* sum to more than 1.*memory"),
        ({"feedforward": [0.3, 0.3]}, r"feedforward must be a number or 3 numbers, one per tap"),
        ({"feedback": [0.3] * 4}, "feedback must be a number or 3 numbers"),
        ({"error": [0.1]}, "error must be a number or 3 numbers"),
        ({"error": math.nan}, "error must be a number or 3 numbers.*got nan"),
        ({"feedforward": math.inf}, "feedforward must be a number"),
    ],
)
def test_rates_out_of_range_are_refused(rates, words, trainable):
    with pytest.raises(ValueError, match=words):
        gradient_model(trainable=trainable, **rates)


# ---- any network


def made(network, taps, decoders=None, **kwargs):
    settings = {"feedforward": 0.4, "feedback": 0.2, "error": 0.3}
    return nd.PredictiveCoding(network, taps, decoders, **(settings | kwargs)).eval()


@NO_BATCHING
@torch.no_grad()
def test_any_network_runs_and_every_layer_moves(made_network):
    network, taps, x = made_network()
    model = made(network, taps)
    before = x.clone()
    for method in ("euler", "dopri5"):
        solution = nd.integrate(model, x, [0, 1.0, 2.0], method=method, gradient="none")
        close(solution.readout[0], network(x.clone()))
        for y in (*solution.states, solution.readout):
            assert y.isfinite().all() and (y[2] - y[0]).abs().max() > 1e-4
    assert torch.equal(x, before)
    assert [v.name for v in model.variables] == taps
    for variable, y in zip(model.variables, solution.states, strict=True):
        assert len(variable.dims) == y.ndim - 2


@torch.no_grad()
def test_any_network_follows_the_plain_loop(made_network):
    """With segments made of hooks: the tap's output when all taps below are replaced."""
    network, taps, x = made_network(dtype=torch.float64)
    modules = dict(network.named_modules())
    model = made(network, taps, update="sequential")
    solution = nd.integrate(model, x, range(4), method="euler", gradient="none")

    def through(replace):
        seen = []

        def hook(n):
            def replaced(module, args, out):
                seen.append(out.clone())
                return replace(n, seen[-1]).clone()

            return replaced

        handles = [modules[t].register_forward_hook(hook(n)) for n, t in enumerate(taps)]
        output = network(x.clone())
        for handle in handles:
            handle.remove()
        return seen, output

    last = len(taps) - 1
    state, output = through(lambda n, y: y)
    for i in range(4):
        for a, b in zip(solution.states, state, strict=True):
            close(a[i], b, 1e-10)
        close(solution.readout[i], output, 1e-10)
        corrections = []
        for n, y in enumerate(state):
            target = x if n == 0 else state[n - 1]
            with torch.enable_grad():
                y = y.clone().requires_grad_()
                energy = ((model.decoders[n](y) - target) ** 2).sum() / 2
                (gradient,) = torch.autograd.grad(energy, y)
            change = -0.3 * model.scale[n] * gradient
            if n < last:
                change = change + 0.2 * (model.decoders[n + 1](state[n + 1]) - state[n])
            corrections.append(change)
        new = []

        def update(n, y, state=state, corrections=corrections, new=new):
            new.append(state[n] + 0.4 * (y - state[n]) + corrections[n])
            return new[n]

        _, output = through(update)
        state = new


@NO_BATCHING
def test_torchs_transforms_see_a_pure_function(made_network):
    network, taps, x = made_network(dtype=torch.float64)
    model = made(network, taps)
    drive = model.drive(x)
    state = tuple(torch.cos(y) for y in model.initial_state(drive))
    with torch.enable_grad():
        wanted = model(T0, state, drive)

    def alone(state, drive):
        one = tuple(y[None] for y in state), {k: v[None] for k, v in drive.items()}
        return tuple(y[0] for y in model(T0, *one))

    for a, b in zip(torch.func.vmap(alone)(state, drive), wanted, strict=True):
        torch.testing.assert_close(a, b)

    def field(*y):
        return model(T0, y, drive)

    tangent = tuple(torch.sin(3 * y) for y in state)
    with sdpa_kernel(SDPBackend.MATH):  # torch has no forward mode for the other kinds
        _, got = torch.func.jvp(field, state, tangent)
    h = 1e-6
    up = field(*(y + h * v for y, v in zip(state, tangent, strict=True)))
    down = field(*(y - h * v for y, v in zip(state, tangent, strict=True)))
    for j, a, b in zip(got, up, down, strict=True):
        assert (j - (a - b) / (2 * h)).abs().mean() < 1e-5  # mean: a rectifier may have a corner

    zeros = {k: torch.zeros_like(v) for k, v in model.named_parameters() if "decoders" in k}
    got = torch.func.functional_call(model, zeros, (T0, state, drive))
    silent = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in silent.decoders.parameters():
            parameter.zero_()
    for a, b, c in zip(got, silent(T0, state, drive), wanted, strict=True):
        torch.testing.assert_close(a, b)
        assert not torch.equal(a, c)


@torch.no_grad()
def test_copies_pickles_and_weights(made_network):
    network, taps, x = made_network()
    model = made(network, taps)

    def solve(model):
        return nd.integrate(model, x, [0, 1.0, 2.0], method="euler", gradient="none").readout

    wanted = solve(model)
    assert torch.equal(solve(copy.deepcopy(model)), wanted)
    assert torch.equal(solve(pickle.loads(pickle.dumps(model))), wanted)
    other_network, _, _ = made_network(seed=1)
    other = made(other_network, taps, example=x, seed=5)
    assert not torch.equal(solve(other), wanted)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    assert torch.equal(solve(other), wanted)
    twin = copy.deepcopy(model)
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(solve(model), wanted)


@torch.no_grad()
def test_weights_wait_for_the_decoders_they_belong_to(made_network):
    network, taps, x = made_network()
    state = made(network, taps, example=x).state_dict()
    unmade = made(network, taps)
    with pytest.raises(RuntimeError, match=r"decoder of 'decoders.0.'.*`example` stimulus"):
        unmade.load_state_dict(state)
    unmade.drive(x)
    assert unmade.load_state_dict(state).missing_keys == []


@torch.no_grad()
def test_a_decoder_can_be_put_in_before_the_sizes_are_known(made_network):
    network, taps, x = made_network()
    given = copy.deepcopy(made(network, taps, example=x, seed=3).decoders[-1])
    late = made(network, taps, seed=0)
    late.decoders[-1] = given
    early = made(network, taps, [*[None] * (len(taps) - 1), given], seed=0)
    t = [0, 1.0, 2.0]
    a, b = (nd.integrate(m, x, t, gradient="none").readout for m in (late, early))
    assert torch.equal(a, b) and late.decoders[-1] is given


@torch.no_grad()
def test_inference_mode_and_threads(made_network):
    network, taps, x = made_network()
    model = made(network, taps)

    def solve(x):
        return nd.integrate(model, x, [0, 1.0, 2.0], method="euler", gradient="none").readout

    stimuli = [x + 0.1 * i for i in range(3)]
    wanted = [solve(one) for one in stimuli]
    with torch.inference_mode():
        assert torch.equal(solve(x), wanted[0])
    wrong = []

    def work(one, expected):
        for _ in range(3):
            if not torch.equal(solve(one), expected):
                wrong.append(one)

    threads = [threading.Thread(target=work, args=a) for a in zip(stimuli, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    close(network(x.clone()), wanted[0][0])  # and the network is as it was


def test_two_runs_of_one_model_interleave():
    model = gradient_model()
    a, b = (rand(2, 2, 6, 6, seed=s, dtype=torch.float64) for s in (1, 2))
    f, g = nd.bind(model, a), nd.bind(model, b)
    y, z = f.initial_state(), g.initial_state()
    for _ in range(3):  # Euler on both, in turns
        y = tuple(u + du for u, du in zip(y, f(T0, y), strict=True))
        z = tuple(u + du for u, du in zip(z, g(T0, z), strict=True))
    for x, state in ((a, y), (b, z)):
        alone = nd.integrate(model, x, [0, 3.0], method="euler")
        for got, wanted in zip(state, alone.states, strict=True):
            torch.testing.assert_close(got, wanted[-1])


def test_an_inplace_rectifier_after_a_tap_gives_the_same():
    def build(inplace):
        def make():
            return nn.Sequential(
                nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(inplace), nn.Conv2d(3, 4, 3, padding=1),
                nn.ReLU(inplace), nn.Flatten(), nn.Linear(144, 5),
            )  # fmt: skip

        return made(seeded(make), ["0", "2"])

    x = rand(2, 2, 6, 6)
    results = [
        nd.integrate(build(inplace), x, [0, 1.0, 2.0], method="euler") for inplace in (False, True)
    ]
    for a, b in zip(results[0].states, results[1].states, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(results[0].readout, results[1].readout)
    for result in results:
        result.readout.sum().backward()


def test_a_film_moves_the_states():
    model = gradient_model()
    frames = rand(2, 2, 2, 6, 6, dtype=torch.float64)
    film = nd.integrate(model, nd.Film(frames, [0, 2.0]), [0, 2.0, 4.0], method="euler")
    first = nd.integrate(model, frames[0], [0, 2.0], method="euler")
    second = nd.integrate(
        model, frames[1], [2.0, 4.0], method="euler",
        initial_state=tuple(y[-1] for y in first.states),
    )  # fmt: skip
    torch.testing.assert_close(film.readout[-1], second.readout[-1])
    torch.testing.assert_close(film.readout[1], second.readout[0])


# ---- what an evaluation costs


class Called(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.calls = layer, 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x)


@pytest.fixture
def counted():
    layers = [Called(nn.Linear(4, 4)) for _ in range(7)]
    decoders = [Called(nn.Linear(4, 4)) for _ in range(3)]

    def build(**kwargs):
        return made(nn.Sequential(*layers), ["1", "3", "4"], decoders, example=rand(1, 4), **kwargs)

    def calls(run):
        for layer in (*layers, *decoders):
            layer.calls = 0
        run()
        return [layer.calls for layer in layers], [layer.calls for layer in decoders]

    return build, calls


def test_one_evaluation_is_one_pass_between_the_taps_and_one_of_each_decoder(counted):
    build, calls = counted
    model = build()
    x = rand(2, 4)
    assert calls(lambda: model.drive(x)) == ([1, 1, 0, 0, 0, 0, 0], [0, 0, 0])
    drive = model.drive(x)
    assert calls(lambda: model.initial_state(drive)) == ([0, 0, 1, 1, 1, 0, 0], [0, 0, 0])
    state = model.initial_state(drive)
    assert calls(lambda: model(T0, state, drive)) == ([0, 0, 1, 1, 1, 0, 0], [1, 1, 1])
    head, decoders = calls(lambda: model.readout(state, drive))
    assert head[:2] == [0, 0] and head[3:] == [0, 0, 1, 1] and decoders == [0, 0, 0]


def test_a_solve_runs_the_stem_once_and_the_head_for_readouts_only(counted):
    build, calls = counted
    model = build()
    x = rand(2, 4)
    layers, decoders = calls(
        lambda: nd.integrate(model, x, [0, 5.0, 10.0], method="euler", gradient="none")
    )
    assert layers[:2] == [1, 1] and layers[3] == 11 and layers[5:] == [3, 3]
    assert decoders == [10, 10, 10]
    layers, _ = calls(
        lambda: nd.integrate(
            model, x, [0, 10.0], method="euler", gradient="none", record=["1", "3"]
        )
    )
    assert layers[5:] == [0, 0]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"feedback": 0, "error": 0}, [0, 0, 0]),
        ({"feedback": 0.2, "error": 0}, [0, 1, 1]),
        ({"feedback": [0, 0.2, 0.2], "error": 0}, [0, 0, 1]),
        ({"feedback": 0, "error": [0.1, 0, 0]}, [1, 0, 0]),
        ({"feedback": [0.2, 0, 0], "error": [0, 0, 0.1]}, [0, 1, 1]),
    ],
)
def test_a_decoder_nobody_reads_does_not_run(rates, expected, counted):
    build, calls = counted
    model = build(**rates)
    drive = model.drive(rand(2, 4))
    state = model.initial_state(drive)
    assert calls(lambda: model(T0, state, drive))[1] == expected


# ---- default decoders


@given(st.integers(0, 5), st.integers(5, 13), st.integers(5, 13))
def test_lazy_decoders_are_those_of_an_example(seed, height, width):
    def build(**kwargs):
        network = seeded(
            lambda: nn.Sequential(
                nn.Conv2d(2, 3, 3),
                nn.Tanh(),
                nn.Conv2d(3, 4, 3, stride=2, padding=1),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(4, 3),
                nn.Linear(3, 2),
            )  # fmt: skip
        )
        return made(network, ["1", "2", "5"], seed=seed, **kwargs)

    x = rand(2, 2, height, width)
    lazy, eager = build(), build(example=x[:1])
    assert len(list(lazy.decoders.parameters())) == 0 and len(eager.decoders) == 3
    a, b = (nd.integrate(m, x, [0, 2.0], method="euler", gradient="none") for m in (lazy, eager))
    assert torch.equal(a.readout, b.readout)
    other = made(lazy.backbone, ["1", "2", "5"], seed=seed + 1, example=x[:1])
    assert not torch.equal(other.decoders[0].weight, eager.decoders[0].weight)
    keys = set(eager.state_dict())
    assert keys == set(lazy.state_dict())
    assert {"decoders.0.weight", "decoders.2.bias", "backbone.0.weight"} <= keys
    assert [tuple(p.shape) for p in eager.predictions(tuple(y[0] for y in b.states))] == [
        (2, 2, height, width), (2, 3, height - 2, width - 2), (2, *b.states[1].shape[2:]),
    ]  # fmt: skip


def test_some_decoders_may_be_given():
    segments, _, decoders, network = small()
    model = made(network, ["0", "1", "2"], [None, decoders[1], None], example=rand(1, 2, 6, 6))
    assert model.decoders[1] is decoders[1]
    assert [type(d).__name__ for d in model.decoders] == ["Decoder", "Sequential", "Decoder"]


def test_decoders_made_in_inference_mode_can_be_trained():
    model = made(small()[3], ["0", "1", "2"])
    x = rand(2, 2, 6, 6)
    with torch.inference_mode():
        nd.integrate(model, x, [0, 1.0], method="euler")
    assert all(p.requires_grad and not p.is_inference() for p in model.parameters())
    nd.integrate(model, x, [0, 2.0], method="euler").readout.sum().backward()
    assert all(p.grad is not None for p in model.decoders.parameters())
    torch.optim.SGD(model.parameters(), 0.1).step()


def test_decoders_follow_the_network_in_dtype():
    network = small(torch.float64)[3]
    model = made(network, ["0", "1", "2"], example=rand(1, 2, 6, 6, dtype=torch.float64))
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    model.float()
    assert nd.integrate(model, rand(2, 2, 6, 6), [0, 1.0]).readout.dtype == torch.float32


def test_making_a_model_leaves_global_chance_alone():
    network = small()[3]
    before = torch.random.get_rng_state()
    made(network, ["0", "1", "2"], example=rand(1, 2, 6, 6))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_decoders_are_trained_by_predictions():
    """Reconstruction, as published: gradients reach the decoders only."""
    model = made(small()[3], ["0", "1", "2"], example=rand(1, 2, 6, 6))
    model.backbone.requires_grad_(False)
    x = rand(4, 2, 6, 6)
    optimiser = torch.optim.Adam(model.decoders.parameters(), 0.02)
    losses = []
    for _ in range(30):
        state = model.initial_state(model.drive(x))
        below = (x, *state[:-1])
        pairs = zip(model.predictions(state), below, strict=True)
        losses.append(sum((p - y).square().mean() for p, y in pairs))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.3 * losses[0]
    assert all(p.grad is None for p in model.backbone.parameters())


# ---- names, labels, configuration


def test_states_are_named_after_taps_or_as_asked():
    network = small()[3]
    assert [v.name for v in made(network, ["0", "2"], example=rand(1, 2, 6, 6)).variables] == [
        "0", "2",
    ]  # fmt: skip
    model = made(network, {"low": network[0], "high": "2"}, example=rand(1, 2, 6, 6))
    assert [v.name for v in model.variables] == ["low", "high"]
    assert [v.dims for v in model.variables] == [("channel", "y", "x"), ("unit",)]
    assert all(v.units == "1" and "Choksi" in v.references for v in model.variables)


def test_sizes_unknown_is_said():
    with pytest.raises(RuntimeError, match="give PredictiveCoding an `example`"):
        _ = made(small()[3], ["0"]).variables


def test_a_map_of_logits_has_its_axes():
    network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 5, 1))
    run = nd.simulate(made(network, ["0"]), rand(2, 2, 6, 6), [0, 1.0], method="euler")
    assert run["logits"].dims == ("time", "sample", "category", "y", "x")


def test_config_says_what_the_model_is():
    model = made(small()[3], {"low": "0", "high": "2"}, example=rand(1, 2, 6, 6))
    config = json.loads(json.dumps(model.config()))
    assert config["dynamics"] == "PredictiveCoding" and config["backbone"] == "Sequential"
    assert config["taps"] == {"low": "0", "high": "2"}
    assert config["feedforward"] == [0.4, 0.4] and config["feedback"] == [0.2, 0.0]
    assert config["error"] == [0.3, 0.3] and config["update"] == "simultaneous"
    assert config["error_scale"] == model.scale
    trained = made(small()[3], ["0", "2"], trainable=True, example=rand(1, 2, 6, 6))
    assert json.loads(json.dumps(trained.config()))["feedforward"] == pytest.approx([0.4, 0.4])


def test_training_mode_is_the_decoders_alone():
    _, _, decoders, network = small()
    model = made(network, ["0", "1", "2"], decoders)
    assert model.train() is model
    assert not model.backbone.training and all(d.training for d in model.decoders)
    assert model.eval() is model and not any(m.training for m in model.modules())


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"taps": ["0", "1", "3x"]}, "no module '3x'.*All names"),
        ({"taps": ["2", "0"]}, "in the order they are computed: 0, 2; got 2, 0"),
        ({"decoders": [nn.Identity()]}, r"1 decoders for 3 taps \(0, 1, 2\); give one for each"),
        ({"decoders": []}, "0 decoders for 3 taps"),
        ({"update": "random"}, "update 'random' is not one of simultaneous, sequential"),
        ({"error_scale": "sum"}, "error_scale 'sum' is not effective, mean or numbers"),
        ({"error_scale": [1.0, 2.0]}, "error_scale must be a number or 3 numbers"),
        (
            {"decoders": [nn.Conv2d(3, 2, 3), None, None]},
            r"decoder 0 of '0' turns \(3, 6, 6\) into \(2, 4, 4\), but the stimulus is \(2, 6, 6\)",
        ),
        (
            {"decoders": [None, nn.Conv2d(4, 3, 1), None]},
            r"decoder 1 of '1' turns \(4, 3, 3\) into \(3, 3, 3\), but layer '0' is \(3, 6, 6\)",
        ),
        ({"decoders": [nn.Conv2d(7, 2, 3, padding=1), None, None]}, "decoder 0 of '0'.*3, 6, 6"),
    ],
)
def test_models_that_cannot_be_are_refused(arguments, words):
    settings = {"taps": ["0", "1", "2"], "example": rand(1, 2, 6, 6)} | arguments
    with pytest.raises(ValueError, match=words):
        made(small()[3], **settings)


def test_a_stimulus_of_another_kind_is_refused():
    model = made(small()[3], ["0", "1", "2"])
    with pytest.raises(TypeError, match="stimulus is torch.float64 on cpu, the network torch.floa"):
        model.drive(rand(1, 2, 6, 6, dtype=torch.float64))
    with pytest.raises(TypeError, match="dtype torch.uint8"):
        nd.integrate(model, torch.zeros(1, 2, 6, 6, dtype=torch.uint8), [0, 1])
    model.drive(rand(1, 2, 6, 6))
    with pytest.raises(ValueError, match=r"stimuli of shape \(2, 6, 6\) and got \(2, 8, 8\)"):
        model.drive(rand(1, 2, 8, 8))


def test_a_refused_first_stimulus_leaves_no_trace():
    """The second, right one makes the same model as if it had been the first."""

    def build():
        _, _, decoders, network = small()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network[2] = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 6))
        return made(network, ["0", "1", "2"], decoders, error_scale="mean")

    x = rand(2, 2, 6, 6)
    fresh, tried = build(), build()
    with pytest.raises(ValueError, match="decoder 2 of '2'"):
        tried.drive(rand(2, 2, 8, 8))
    a, b = (nd.integrate(m, x, [0, 1.0], method="euler", gradient="none") for m in (fresh, tried))
    assert tried.scale == fresh.scale
    assert torch.equal(a.readout, b.readout)


def test_the_published_step_takes_euler_and_its_step_only():
    model = gradient_model(update="sequential")
    x = rand(1, 2, 6, 6, dtype=torch.float64)
    words = "update='sequential' is Predify's published step, method='euler' with a step of 1; got "
    for method, options, by in (
        ("dopri5", None, "'dopri5' with adaptive steps"),
        ("rk4", None, "'rk4' with steps of 1"),
        ("euler", {"step_size": 0.5}, "'euler' with steps of 0.5"),
        ("scipy_solver", None, "'scipy_solver' with adaptive steps"),
    ):
        with pytest.raises(ValueError, match=words + by):
            nd.integrate(model, x, [0, 1.0], method=method, options=options, gradient="none")


def test_a_shorter_last_step_is_not_the_published_step():
    """Times that are no whole number of steps would end in a step that is not Predify's."""
    model = gradient_model(update="sequential")
    x = rand(1, 2, 6, 6, dtype=torch.float64)
    whole = nd.integrate(model, x, [0, 3.0], method="euler", gradient="none")
    with pytest.raises(ValueError, match="step"):
        nd.integrate(model, x, [0, 2.5], method="euler", gradient="none")
    assert whole.stats.accepted == 3


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.BatchNorm2d(3), "BatchNorm2d 'backbone.0.1' is in training mode"),
        (nn.Dropout2d(0.5), "Dropout2d 'backbone.0.1' is in training mode.*Call .eval"),
    ],
)
def test_training_mode_of_the_network_is_refused_and_eval_is_enough(layer, words):
    network = small()[3]
    network[0] = nn.Sequential(network[0][0], layer)
    settings = {"feedforward": 0.4, "feedback": 0.2, "error": 0.3}
    model = nd.PredictiveCoding(network, ["0", "1"], **settings)
    x = rand(2, 2, 6, 6)
    with pytest.raises(ValueError, match=words):
        nd.integrate(model, x, [0, 1.0])
    with pytest.raises(ValueError, match=words):
        nd.PredictiveCoding(network, ["0", "1"], example=x, **settings)
    model.eval()
    drive = model.drive(x)
    network.train()
    with pytest.raises(ValueError, match=words):
        model.drive(x)
    model.train()  # of the model: the network stays in evaluation mode
    assert nd.integrate(model, x, [0, 1.0]).readout.isfinite().all() and drive


def test_training_mode_of_a_decoder_is_refused():
    network = small()[3]
    first = nn.Sequential(nn.ConvTranspose2d(3, 2, 3, padding=1), nn.BatchNorm2d(2))
    model = made(network, ["0", "1"], [first, None])
    model.train()
    with pytest.raises(ValueError, match="BatchNorm2d 'decoders.0.1' is in training mode"):
        nd.integrate(model, rand(2, 2, 6, 6), [0, 1.0])


def test_a_dropout_that_no_module_shows_is_refused_once_it_is_on():
    class Drops(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(nn.functional.dropout(self.a(x), 0.5, self.training))

    network = Drops().eval()
    model = nd.PredictiveCoding(
        network, ["a"], feedforward=0.3, feedback=0.3, error=0.1, example=torch.rand(1, 4)
    )
    model.drive(torch.rand(2, 4))
    network.train()
    with pytest.raises(ValueError, match="training mode"):
        model.drive(torch.rand(2, 4))


def test_under_autocast_the_state_stays_in_full_precision():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
    )
    model = nd.PredictiveCoding(network.eval(), ["1"], feedforward=0.3, feedback=0.3, error=0.1)
    x = torch.rand(2, 1, 4, 4)
    exact = nd.integrate(model, x, [0.0, 3.0], gradient="none")
    with torch.autocast("cpu", torch.bfloat16):
        run = nd.integrate(model, x, [0.0, 3.0], gradient="none")
    assert run.states[0].dtype == torch.float32
    assert (run.states[0] - exact.states[0]).abs().max() < 0.02 * exact.states[0].abs().max()


def test_rates_from_numpy_are_numbers():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)).eval()
    model = nd.PredictiveCoding(
        network, ["0", "1"], feedforward=np.float32(0.3), feedback=torch.tensor(0.2),
        error=np.float32(0.1), trainable=True,
    )  # fmt: skip
    assert model.rates.raw.shape == (3, 1) and model.rates.error.shape == (1,)


def test_while_a_large_state_is_stepped_nothing_else_of_its_size_is_held(monkeypatch):
    monkeypatch.setattr("neurodyn.steps.LARGE", 0)
    model, alive = authors("scaled")[1], []
    x = rand(3, 3, 16, 16, seed=3)
    size = sum(y[0].numel() for y in model.initial_state(model.drive(x))) * len(x) * 4

    field = model.forward

    def of_its_size():
        gc.collect()
        held = [y for y in gc.get_objects() if type(y) is torch.Tensor]
        sizes = {y.untyped_storage().data_ptr(): y.untyped_storage().nbytes() for y in held}
        return list(sizes.values()).count(size)

    def counted(t, state, drive):
        alive.append(of_its_size() - before)
        return field(t, state, drive)

    model.forward = counted
    before = of_its_size()  # of other tests
    nd.integrate(model, x, [0.0, 3.0], method="euler", gradient="none", record="readout")
    assert alive == [1, 1, 1]
