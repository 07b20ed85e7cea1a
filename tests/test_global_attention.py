"""Global attention: explicit loops with key maps, the network alone, exact fixed points."""

import copy
import io
import json
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchdiffeq import odeint

import neurodyn as nd
from neurodyn.agreement import EPSILON, GlobalAttention

T0 = torch.tensor(0.0)
FORMS = ("tanh", "raw", "cosine")
MAY_BLOW_UP = pytest.mark.filterwarnings("ignore:raw agreement starts")


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def convolutional(act=nn.ReLU, dtype=torch.float64, seed=0):
    def make():
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), act(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1),
            act(), nn.Flatten(), nn.Linear(96, 7), act(), nn.Linear(7, 5),
        )  # fmt: skip

    return seeded(make, seed).to(dtype).eval()


TAPS = ["1", "4", "7", "8"]
EXAMPLE = rand(1, 2, 8, 8)


def attending(**kwargs):
    network = kwargs.pop("network", None) or convolutional()
    taps = kwargs.pop("taps", TAPS)
    return GlobalAttention(network, taps, **({"example": EXAMPLE, "dim": 3} | kwargs)).eval()


# ---- an independent loop: hooks, key and query maps, means of means


def maps_of(u, weights):
    """Keys (or queries) of every position or unit, (sample, position, d)."""
    if u.ndim == 2:
        return torch.einsum("sc,cd->scd", u, weights)
    if u.ndim == 3:
        return torch.einsum("spc,cd->spd", u, weights)
    return torch.einsum("scyx,cd->syxd", u, weights).flatten(1, 2)


def agreement_of(u, keys, q, form, layers):
    k = maps_of(u, keys)
    a = torch.einsum("spd,sd->sp", k, q)
    d = keys.shape[1]
    if form == "tanh":
        a = torch.tanh(a)
    if form == "cosine":
        floor = EPSILON * d / (1 if u.ndim > 2 else u.shape[1])
        a = a / (k.pow(2).sum(2) + floor).sqrt()
        a = a / (q.pow(2).sum(1, keepdim=True) + EPSILON * d / layers).sqrt()
    return a.view(-1, *u.shape[2:]) if u.ndim == 4 else a


def looped_pass(model, x, gains):
    """One pass of the network with gains from ``gains(n, f)``: the output and the activities."""
    network, modules = model.backbone, dict(model.backbone.named_modules())
    seen = []

    def hook(n):
        def modulate(module, args, out):
            a = gains(n, out.clone())
            spread = a if out.ndim == 2 else a.unsqueeze(2 if out.ndim == 3 else 1)
            seen.append(out * (1 + model.gain[n] * spread))
            return seen[-1].clone()

        return modulate

    handles = [modules[m].register_forward_hook(hook(n)) for n, m in enumerate(model.taps.modules)]
    try:
        return network(x.clone()), seen
    finally:
        for handle in handles:
            handle.remove()


def looped(model, x, steps):
    """The published iteration: logits of each pass, agreements (or the query) after each."""
    layers = len(model.key_weights)
    query = torch.zeros(len(x), model.dim, dtype=x.dtype)
    a, logits, states = None, [], []
    for _ in range(steps + 1):
        if model.state_is == "query":

            def gains(n, f):
                return agreement_of(f, model.key_weights[n], query, model.agreement, layers)  # noqa: B023
        else:

            def gains(n, f):
                position = f[:, 0] if f.ndim == 4 else f[..., 0] if f.ndim == 3 else f
                return torch.zeros_like(position) if a is None else a[n]  # noqa: B023

        output, u = looped_pass(model, x, gains)
        per_layer = [maps_of(v, w).mean(1) for v, w in zip(u, model.query_weights, strict=True)]
        query = sum(per_layer) / layers
        a = [agreement_of(v, w, query, model.agreement, layers)
             for v, w in zip(u, model.key_weights, strict=True)]  # fmt: skip
        logits.append(output)
        states.append([query] if model.state_is == "query" else a)
    return torch.stack(logits), [torch.stack(layer) for layer in zip(*states, strict=True)]


@MAY_BLOW_UP
@pytest.mark.parametrize("state", ["maps", "query"])
@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_steps_are_the_published_iteration_on_any_network(made_network, form, state):
    network, taps, x = made_network(dtype=torch.float64)
    gain = [0.8 * (-1) ** n / (n + 1) for n in range(len(taps))]
    model = GlobalAttention(network, taps, 4, gain=gain, agreement=form, state=state,
                            time_constant=2.5)  # fmt: skip
    run = nd.integrate(model, x, [2.5 * n for n in range(6)], method="euler")
    logits, states = looped(model, x, 5)
    torch.testing.assert_close(run.readout, logits, rtol=1e-9, atol=1e-12)
    for got, wanted in zip(run.states, states, strict=True):
        assert not got[0].any(), "it starts as the plain network"
        torch.testing.assert_close(got[1:], wanted[:-1], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(run.readout[-1], run.readout[0], rtol=1e-3)


@given(
    gain=st.lists(st.floats(-2, 2), min_size=4, max_size=4), form=st.sampled_from(FORMS[::2]),
    steps=st.integers(1, 5), dim=st.integers(1, 6), seed=st.integers(0, 99),
)  # fmt: skip
@torch.no_grad()
def test_steps_are_the_published_iteration_for_any_gains(gain, form, steps, dim, seed):
    model = attending(gain=gain, agreement=form, dim=dim, seed=seed)
    x = rand(2, 2, 8, 8, seed=seed)
    run = nd.integrate(model, x, range(steps + 1), method="euler")
    torch.testing.assert_close(run.readout, looped(model, x, steps)[0], rtol=1e-8, atol=1e-10)


def test_in_single_precision_too():
    model = attending(network=convolutional(dtype=torch.float32), example=EXAMPLE.float(), gain=0.5)
    x = rand(4, 2, 8, 8).float()
    with torch.no_grad():
        run = nd.integrate(model, x, range(6), method="euler")
        wanted, _ = looped(model, x, 5)
    assert (run.readout - wanted).abs().max() < 1e-5 * wanted.abs().max()


# ---- the network alone


@MAY_BLOW_UP
@pytest.mark.parametrize("state", ["maps", "query"])
@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_without_gain_it_is_the_backbone_bit_for_bit(made_network, form, state):
    network, taps, x = made_network()
    model = GlobalAttention(network, taps, agreement=form, state=state, gain=0.0)
    wanted = network(x.clone())
    run = nd.integrate(model, x, [0.0, 1.0, 2.0], method="euler")
    assert run.states[-1][-1].abs().max() > 0, "agreements are there, without effect"
    assert all(torch.equal(logits, wanted) for logits in run.readout)
    drive = model.drive(x)
    anything = tuple(100 * torch.cos(9 * a + 1) for a in model.initial_state(drive))
    assert torch.equal(model.readout(anything, drive), wanted)


@torch.no_grad()
def test_it_starts_as_the_backbone_whatever_the_gain(made_network):
    network, taps, x = made_network()
    model = GlobalAttention(network, taps, gain=3.0)
    drive = model.drive(x)
    assert torch.equal(model.readout(model.initial_state(drive), drive), network(x.clone()))


# ---- keys, queries, what they are the keys of


def test_keys_per_position_and_per_unit():
    model = attending(dim=3)
    assert [tuple(k.shape) for k in model.key_weights] == [(4, 3), (6, 3), (7, 3), (5, 3)]
    assert [tuple(q.shape) for q in model.query_weights] == [(4, 3), (6, 3), (7, 3), (5, 3)]
    drive = model.drive(rand(2, 2, 8, 8))
    state = model.initial_state(drive)
    assert [tuple(a.shape) for a in state] == [(2, 8, 8), (2, 4, 4), (2, 7), (2, 5)]
    assert [v.dims for v in model.variables] == [("y", "x"), ("y", "x"), ("unit",), ("unit",)]
    activities, query = model.respond(state, drive)
    unit = model.agreements(activities, query)[2]
    for c in range(7):  # each unit's own key
        key = activities[2][:, c, None] * model.key_weights[2][c]
        torch.testing.assert_close(unit[:, c], (key * query).sum(1).tanh())


def test_keys_are_normal_with_variance_one_over_width():
    network = nn.Sequential(nn.Linear(3, 400), nn.ReLU(), nn.Linear(400, 100)).eval()
    model = GlobalAttention(network, ["1", "2"], 16, example=torch.zeros(1, 3))
    for weights, width in zip(
        (*model.key_weights, *model.query_weights), (400, 100, 400, 100), strict=True
    ):
        deviation, mean = torch.std_mean(weights.detach())
        assert float(deviation) == pytest.approx(width**-0.5, rel=0.1)
        assert abs(float(mean)) < 4 * (width * 16 * width) ** -0.5
    drawn = [w.detach().flatten()[:100] for w in (*model.key_weights, *model.query_weights)]
    assert torch.corrcoef(torch.stack(drawn)).fill_diagonal_(0).abs().max() < 0.4


@torch.no_grad()
def test_the_query_is_the_mean_of_the_layers_means():
    """Twice the positions, or four times, of one layer change nothing."""
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Flatten(),
        nn.Linear(4 * 256, 5),
    ).double().eval()  # fmt: skip
    few, many = (GlobalAttention(network, [tap, "4"], 3, example=EXAMPLE, gain=0.0) for tap in "12")
    many.load_state_dict(few.state_dict())
    x = rand(3, 2, 8, 8)
    queries = [
        nd.integrate(m, x, [0.0, 1.0], record="query").observed["query"] for m in (few, many)
    ]
    torch.testing.assert_close(*queries)
    (a, dense), (b, again) = (
        nd.integrate(m, x, [0.0, 1.0], method="euler").states for m in (few, many)
    )
    torch.testing.assert_close(a[1].repeat_interleave(2, 1).repeat_interleave(2, 2), b[1])
    torch.testing.assert_close(dense[1], again[1])


@MAY_BLOW_UP
@given(st.sampled_from(FORMS), st.integers(0, 1000), st.sampled_from(["maps", "query"]))
@torch.no_grad()
def test_a_rotation_of_keys_and_queries_changes_nothing(form, seed, state):
    model = attending(agreement=form, seed=seed, dim=4, gain=0.6, state=state)
    rotation, _ = torch.linalg.qr(rand(4, 4, seed=seed) - 0.5)
    turned = copy.deepcopy(model)
    for weights in (*turned.key_weights, *turned.query_weights):
        weights.copy_(weights @ rotation)
    x = rand(2, 2, 8, 8, seed=seed)
    a, b = (nd.integrate(m, x, range(4), method="euler").readout for m in (model, turned))
    torch.testing.assert_close(a, b)


@given(st.floats(0.1, 10), st.integers(0, 1000))
@torch.no_grad()
def test_only_the_product_of_keys_and_queries_matters(factor, seed):
    model = attending(seed=seed, gain=0.6)
    other = copy.deepcopy(model)
    for keys, queries in zip(other.key_weights, other.query_weights, strict=True):
        keys *= factor
        queries /= factor
    x = rand(2, 2, 8, 8, seed=seed)
    a, b = (nd.integrate(m, x, range(4), method="euler").readout for m in (model, other))
    torch.testing.assert_close(a, b)


@MAY_BLOW_UP
@torch.no_grad()
def test_what_is_observed_beside_the_state():
    x = rand(2, 2, 8, 8)
    for form in FORMS:
        maps = attending(agreement=form)
        query = attending(agreement=form, state="query")
        q = nd.integrate(maps, x, [0.0, 1.0], method="euler", record="query").observed["query"]
        run = nd.integrate(query, x, [0.0, 1.0], method="euler", record=["query", *TAPS])
        torch.testing.assert_close(run.states[0][1], q[0])
        wanted = nd.integrate(maps, x, [0.0, 1.0], method="euler").states
        assert not run.observed["1"][0].any(), "no query yet"
        # of the first tap, activity before its gain is that of the plain pass
        torch.testing.assert_close(run.observed["1"][1], wanted[0][1])


# ---- one unit: exact


class One(nn.Module):
    """One unit that passes on its input; with keys and queries of 1, A = x^2 (1 + alpha a)^2."""

    def __init__(self):
        super().__init__()
        self.unit = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.unit.weight)

    def forward(self, x):
        return self.unit(x)


def one_unit(alpha, **kwargs):
    options = {"agreement": "raw", "example": rand(1, 1)} | kwargs
    model = GlobalAttention(One().double(), ["unit"], 1, gain=alpha, **options).eval()
    for weights in (*model.key_weights, *model.query_weights):
        nn.init.ones_(weights)
    return model.requires_grad_(False)


def light(*g):
    return torch.tensor(g, dtype=torch.float64).sqrt()[:, None]


def test_one_unit_settles_below_the_saddle_node():
    run = nd.integrate(one_unit(1.0), light(0.249), [0.0, 2000.0], rtol=1e-9, atol=1e-11)
    predicted = (1 - 2 * 0.249 - math.sqrt(1 - 4 * 0.249)) / (2 * 0.249)
    assert predicted == pytest.approx(0.881, abs=5e-4)
    assert float(run.states[0][-1]) == pytest.approx(predicted, rel=1e-6)


@pytest.mark.parametrize(("alpha", "g"), [(1.0, 0.251), (2.0, 0.13), (-0.5, -0.55)])
def test_one_unit_blows_up_beyond_it(alpha, g):
    model, x = one_unit(alpha), light(abs(g))
    if g < 0:
        nn.init.constant_(model.key_weights[0], -1.0)
    # da/dt = g + B a + A a^2 is solved by a tangent
    b, root = 2 * alpha * g - 1, math.sqrt(4 * alpha * g - 1)
    infinity = 2 / root * (math.pi / 2 - math.atan(b / root))
    t = 0.95 * infinity
    exact = (root * math.tan(root * t / 2 + math.atan(b / root)) - b) / (2 * alpha**2 * g)
    with pytest.warns(UserWarning, match="beyond its stable range in 1 of 1 samples"):
        run = nd.integrate(model, x, [0.0, t], rtol=1e-9, atol=1e-11)
    assert float(run.states[0][-1]) == pytest.approx(exact, rel=1e-5)
    with pytest.warns(UserWarning), pytest.raises(nd.SolverError):
        nd.integrate(model, x, [0.0, 1.01 * infinity])


def test_two_published_steps_hide_it(recwarn):
    run = nd.integrate(one_unit(1.0), light(0.3), range(3), method="euler")
    assert float(run.states[0][-1]) == pytest.approx(0.3 * (1 + 0.3) ** 2)
    assert not recwarn.list
    start = (run.states[0][0],)
    with pytest.warns(UserWarning, match="one or two Euler steps hide"):
        nd.integrate(one_unit(1.0), light(0.3), range(5), method="euler", initial_state=start)


def test_the_warning_counts_samples_and_only_raw_warns(recwarn):
    nd.integrate(one_unit(1.0), light(0.1, 0.24), [0.0, 1.0])
    nd.integrate(one_unit(-3.0), light(0.1, 5.0), [0.0, 1.0])
    for form in ("tanh", "cosine"):
        run = nd.integrate(one_unit(9.0, agreement=form), light(0.1, 5.0), [0.0, 50.0])
        assert run.states[0].abs().max() <= 1
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"2 of 3 samples.*up to 0\.4, .*up to 0\.25.*'tanh'"):
        nd.integrate(one_unit(1.0), light(0.3, 0.1, 0.4), [0.0, 2.5])


def test_one_unit_with_a_query_as_the_state():
    """dq/dt = -q + x + alpha x^2 q is linear."""
    run = nd.integrate(one_unit(1.0, state="query"), light(0.9), [0.0, 300.0], rtol=1e-9)
    assert float(run.states[0][-1]) == pytest.approx(math.sqrt(0.9) / 0.1, rel=1e-6)
    with pytest.warns(UserWarning, match="up to 1 "):
        run = nd.integrate(one_unit(1.0, state="query"), light(1.1), [0.0, 30.0], rtol=1e-9)
    exact = math.sqrt(1.1) / 0.1 * (math.exp(0.1 * 30) - 1)
    assert float(run.states[0][-1]) == pytest.approx(exact, rel=1e-6)


# ---- dynamics


def test_small_gains_bring_the_step_and_the_equation_to_one_fixed_point():
    for state in ("maps", "query"):
        model = attending(gain=0.3, state=state).requires_grad_(False)
        x = rand(3, 2, 8, 8)
        step = nd.integrate(model, x, [0.0, 60.0], method="euler")
        flow = nd.integrate(model, x, [0.0, 40.0], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(step.readout[-1], flow.readout[-1], rtol=1e-7, atol=1e-9)
        rest = model(T0, tuple(a[-1] for a in step.states), model.drive(x))
        assert max(r.abs().max() for r in rest) < 1e-12


def test_strong_negative_gain_the_equation_rests_and_the_step_oscillates():
    """Where the agreement's derivative has eigenvalues below -1, only the step is unstable."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 6),
    ).double().eval()  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    for layer in network:  # activities of order 1 in every layer
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
    x = torch.randn(1, 3, 8, 8, generator=generator, dtype=torch.float64)
    names = ["1", "4", "7", "10", "11"]
    model = GlobalAttention(network, names, gain=-2.0, example=x).requires_grad_(False)

    flow = nd.integrate(model, x, [0.0, 60.0], rtol=1e-6, atol=1e-8, record=names)
    rest, drive = tuple(a[-1] for a in flow.states), model.drive(x)
    assert max(r.abs().max() for r in model(T0, rest, drive)) < 1e-6
    sizes = [a.numel() for a in rest]

    def field(flat):
        parts = zip(flat.split(sizes), rest, strict=True)
        state = tuple(part.view_as(a) for part, a in parts)
        return torch.cat([r.flatten() for r in model(T0, state, drive)])

    jacobian = torch.func.jacrev(field)(torch.cat([a.flatten() for a in rest]))
    eigenvalues = torch.linalg.eigvals(jacobian) + 1  # of dA/da
    assert eigenvalues.real.max() < 1, "the equation is stable"
    assert eigenvalues.abs().max() > 2, "the step is not"

    step = nd.integrate(model, x, [0.0, *range(95, 101)], method="euler", record=names)
    moves = max((layer[2:] - layer[1:-1]).abs().max() for layer in step.states)
    assert moves > 1


@given(
    gain=st.floats(-6, 6), form=st.sampled_from(["tanh", "cosine"]), scale=st.floats(0, 30),
)  # fmt: skip
@torch.no_grad()
def test_bounded_agreement_stays_bounded(gain, form, scale):
    model = attending(gain=gain, agreement=form)
    x = scale * rand(2, 2, 8, 8)
    run = nd.integrate(model, x, [0.0, 2.0], method="rk4", options={"step_size": 0.5})
    assert run.readout.isfinite().all()
    assert max(a.abs().max() for a in run.states) <= 1 + 1e-12


def test_nothing_active_has_no_agreement_and_finite_gradients():
    network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
    x = torch.zeros(2, 3, requires_grad=True)
    for form in FORMS:
        model = GlobalAttention(network.eval(), ["1", "2"], agreement=form, gain=1.0)
        run = nd.integrate(model, x, range(3), method="euler")
        assert not any(a.any() for a in run.states)
        (gradient,) = torch.autograd.grad(run.readout.sum(), x)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("method", ["euler", "dopri5"])
@torch.no_grad()
def test_samples_do_not_see_each_other(method):
    for state in ("maps", "query"):
        model = attending(gain=1.0, state=state)
        x = (
            rand(4, 2, 8, 8)
            * torch.tensor([1.0, 5.0, 0.1, 0.0], dtype=torch.float64)[:, None, None, None]
        )
        options = {"method": method} | ({} if method == "euler" else {"rtol": 1e-8, "atol": 1e-10})
        together = nd.integrate(model, x, [0.0, 3.0], **options).readout[-1]
        for i in range(4):
            alone = nd.integrate(model, x[i : i + 1], [0.0, 3.0], **options).readout[-1]
            torch.testing.assert_close(alone[0], together[i], rtol=1e-7, atol=1e-9)


# ---- gradients


@MAY_BLOW_UP
@pytest.mark.parametrize("state", ["maps", "query"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_gradients_are_those_of_finite_differences(form, state, gradient):
    network = convolutional(nn.Softplus)
    model = attending(network=network, gain=[0.5, -0.4, 0.3, 0.2], agreement=form, state=state)
    x = rand(2, 2, 8, 8).requires_grad_()
    chosen = [
        model.gain, model.key_weights[0], model.key_weights[3], model.query_weights[1],
        model.query_weights[2], network[0].bias, network[3].weight, network[8].bias,
    ]  # fmt: skip

    def solve(x, *parameters):
        return nd.integrate(model, x, [0, 1.0, 3.0], method="euler", gradient=gradient).readout

    torch.autograd.gradcheck(solve, (x, *chosen), eps=1e-6, atol=1e-7, rtol=1e-5, fast_mode=True)


def test_keys_learn_unless_the_gain_is_zero():
    for gain in (0.0, 0.1):
        model = attending(gain=gain)
        run = nd.integrate(model, rand(2, 2, 8, 8), [0.0, 1.0], method="euler")
        nn.functional.cross_entropy(run.readout[-1], torch.tensor([0, 3])).backward()
        assert model.gain.grad.abs().min() > 0
        assert all(
            bool(w.grad.any()) == (gain != 0) for w in (*model.key_weights, *model.query_weights)
        )


def test_it_goes_into_plain_torchdiffeq():
    model = attending().requires_grad_(False)
    f = nd.bind(model, rand(1, 2, 8, 8))
    times = torch.tensor([0, 0.5, 1.0], dtype=torch.float64)
    ours = nd.integrate(model, f.stimulus, times, rtol=1e-9, atol=1e-11).states
    for a, b in zip(odeint(f, f.initial_state(), times, rtol=1e-9, atol=1e-11), ours, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


# ---- records, copies, files, errors


@torch.no_grad()
def test_a_record_says_what_it_holds():
    model = GlobalAttention(
        convolutional(), {"V1": "1", "V4": "4", "IT": "8"}, 3, example=EXAMPLE, gain=[0.1, 0.2, 0.3]
    )
    run = nd.simulate(model, rand(2, 2, 8, 8), range(3), method="euler",
                      record=["readout", "V1", "IT", "query"])  # fmt: skip
    assert run.layers["V1"]["agreement"].dims == ("time", "sample", "y", "x")
    assert run.layers["IT"]["agreement"].dims == ("time", "sample", "unit")
    assert run.layers["query"]["query"].dims == ("time", "sample", "component")
    about = run.layers["V1"]["agreement"].attrs
    assert about["units"] == "1" and about["references"].endswith("arXiv:2104.05575")
    config = model.config()
    assert json.loads(json.dumps(config)) == config
    assert config["provenance"] == "GAttANet-style, reconstructed"
    assert config["taps"] == {"V1": "1", "V4": "4", "IT": "8"}
    assert config["gain"] == pytest.approx([0.1, 0.2, 0.3])


@torch.no_grad()
def test_copies_pickles_and_state_dicts_are_the_same_model():
    model = attending(gain=0.7)
    x = rand(2, 2, 8, 8)
    wanted = nd.integrate(model, x, [0.0, 2.0]).readout
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = attending(network=convolutional(seed=5), seed=9)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        assert torch.equal(nd.integrate(other, x, [0.0, 2.0]).readout, wanted)
    assert torch.equal(attending(seed=1).key_weights[0], attending(seed=1).key_weights[0])
    assert not torch.equal(attending(seed=1).key_weights[0], attending(seed=2).key_weights[0])
    before = torch.random.get_rng_state()
    attending(seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_first_stimulus_makes_the_keys():
    model = GlobalAttention(convolutional(), TAPS, 3).eval()
    with pytest.raises(RuntimeError, match="give GlobalAttention an `example`"):
        _ = model.variables
    with pytest.raises(RuntimeError, match="give GlobalAttention an `example` stimulus before"):
        model.load_state_dict(attending().state_dict())
    run = nd.integrate(model, rand(2, 2, 8, 8), [0.0, 1.0], gradient="none")
    assert torch.equal(run.states[0], nd.integrate(attending(), rand(2, 2, 8, 8), [0.0, 1.0],
                                                   gradient="none").states[0])  # fmt: skip
    assert all(k.requires_grad and k.dtype == torch.float64 for k in model.key_weights)
    with pytest.raises(ValueError, match="stimuli of shape"):
        nd.integrate(model, rand(2, 2, 12, 12), [0.0, 1.0])
    with pytest.raises(TypeError, match=r"\.to\(\)"):
        nd.integrate(model, rand(2, 2, 8, 8).float(), [0.0, 1.0])


def test_training_mode_leaves_the_network_alone(made_network):
    network, taps, x = made_network()
    model = GlobalAttention(network, taps, example=x).train()
    assert model.training and not network.training
    network.train()
    if any(isinstance(m, nn.BatchNorm2d) for m in network.modules()):
        with pytest.raises(ValueError, match="training mode"):
            nd.integrate(model, x, [0.0, 1.0])
    network.eval()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"agreement": "softmax"}, "agreement 'softmax' is not one of tanh, raw, cosine"),
        ({"state": "keys"}, "state 'keys' is not one of maps, query"),
        ({"dim": 0}, "dim = 0 must be a whole number"),
        ({"gain": [0.1, 0.2]}, "gain must be a number or 4 numbers"),
        ({"gain": math.nan}, "gain must be a number or 4 numbers"),
        ({"time_constant": 0.0}, "time_constant = 0.0 must be positive"),
        ({"taps": ["1", "conv"]}, "no module 'conv'"),
        ({"taps": ["4", "1"]}, "in the order they are computed"),
        ({"taps": {"query": "1"}}, "cannot be called 'query'"),
    ],
)
def test_what_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        attending(**kwargs)


# ---- cost


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the largest tensor any operation makes."""

    number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.number = max(self.number, out.numel())
        return out


@torch.no_grad()
def test_no_key_is_built_where_a_weighted_sum_will_do():
    x, d = rand(1, 2, 8, 8), 300
    for form in ("tanh", "raw"):
        model = attending(agreement=form, dim=d, gain=0.01)
        drive = model.drive(x)
        state = model.initial_state(drive)
        with Largest() as largest:
            model(T0, state, drive)
        assert largest.number < 16 * d, "the key map of the smaller convolution"


class Counted(nn.Module):
    """A layer that counts its calls."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.calls = layer, 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x)


@torch.no_grad()
def test_one_pass_per_evaluation_from_the_first_tap_on():
    network = nn.Sequential(*(Counted(layer) for layer in convolutional()))
    model = attending(network=network)
    before = [layer.calls for layer in network]
    nd.integrate(model, rand(2, 2, 8, 8), range(6), method="euler", record="1")
    assert [n.calls - b for n, b in zip(network, before, strict=True)] == [1, 1] + [5] * 7
