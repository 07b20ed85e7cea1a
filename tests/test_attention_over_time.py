"""Attention at one stage, once and over time: the plain network, exact solutions, solvers."""

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
from neurodyn.attention import FeatureAttention, SpatialAttention
from neurodyn.lyapunov import lyapunov
from neurodyn.recurrent_attention import Attended, RecurrentAttention
from neurodyn.stability import step_limit

SKIPS = ["feedforward", "state"]
KINDS = {
    "spatial": lambda c, n: SpatialAttention(c, 2, feedforward=True),
    "squeezed": lambda c, n: SpatialAttention(c, 1, inner=3),
    "feature": lambda c, n: FeatureAttention(c, n),
}


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def network(dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5),
        ).to(dtype)  # fmt: skip
    with torch.no_grad():
        made[3].weight *= 8  # maps of about 1: a norm of small ones makes the equation stiff
    return made


def attending(kind="spatial", **kwargs):
    dtype = kwargs.pop("dtype", torch.float64)
    attention = KINDS[kind](6, 16).to(dtype)
    return RecurrentAttention(network(dtype), "4", attention, **kwargs).eval()


def at(tap, channels):
    return RecurrentAttention(network(), tap, SpatialAttention(channels).double()).eval()


def uniform(v, skip, norm=False):
    """Attention to all positions alike, of values v times the maps, with no norm."""
    attention = SpatialAttention(6).double()
    with torch.no_grad():
        attention.block.qkv.weight.zero_()
        attention.block.qkv.weight[12:] = v * torch.eye(6)
        attention.block.out.weight.copy_(torch.eye(6))
    if not norm:
        attention.block.norm = nn.Identity()
    return RecurrentAttention(network(), "4", attention, skip=skip).eval()


X = rand(3, 2, 8, 8)


# ---- Euler's steps are blocks of a network


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_one_step_is_the_network_with_attention(kind, skip, dtype):
    model = attending(kind, skip=skip, dtype=dtype)
    once = Attended(model.backbone, "4", model.attention).eval()
    plain, x = model.backbone, X.to(dtype)
    for run in (
        nd.integrate(model, x, [0.0, 1.0], method="euler"),
        nd.integrate(model, x, [0.0, 1.0], method="euler", gradient="none"),
    ):
        assert torch.equal(run.readout[0], plain(x))
        torch.testing.assert_close(run.states[0][1], model.attention(plain[:5](x)))
        torch.testing.assert_close(run.readout[1], once(x))
    torch.testing.assert_close(once(x), plain[5:](model.attention(plain[:5](x))), rtol=0, atol=0)


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_more_steps_are_blocks_with_the_same_weights(kind, skip):
    model = attending(kind, skip=skip, time_constant=0.5)
    s = z = model.backbone[:5](X)
    run = nd.integrate(model, X, [0.0, 0.5, 1.0, 1.5, 2.0], method="euler")
    for state, logits in zip(run.states[0], run.readout, strict=True):
        torch.testing.assert_close(state, z)
        torch.testing.assert_close(logits, model.backbone[5:](z))
        a = model.attention
        z = a.maps(a.block(a.tokens(z), a.tokens(s if skip == "feedforward" else z)), z)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@torch.no_grad()
def test_any_network(made_network):
    backbone, taps, x = made_network(dtype=torch.float64)
    maps = []
    handle = backbone.get_submodule(taps[0]).register_forward_hook(lambda *a: maps.append(a[2]))
    logits = backbone(x)
    handle.remove()
    channels = maps[0].shape[1]
    if maps[0].ndim != 4:
        with pytest.raises(ValueError, match=r"this attention is for maps \(sample,"):
            model = RecurrentAttention(backbone, taps[0], SpatialAttention(channels).double())
            model.eval().drive(x)
        return
    parts = backbone, taps[0], SpatialAttention(channels).double().eval()
    model, once = RecurrentAttention(*parts).eval(), Attended(*parts).eval()
    run = nd.integrate(model, x, [0.0, 1.0], method="euler")
    torch.testing.assert_close(run.readout[0], logits)
    torch.testing.assert_close(run.readout[1], once(x))
    assert torch.equal(backbone(x), logits)


# ---- exact solutions


@pytest.mark.parametrize("v", [-1.5, 0.4])
@pytest.mark.parametrize("skip", SKIPS)
@torch.no_grad()
def test_uniform_attention_is_a_linear_equation(skip, v):
    model, times = uniform(v, skip), torch.tensor([0.0, 0.3, 1.0, 4.0])
    s = model.backbone[:5](X)
    m = s.mean((2, 3), keepdim=True)
    solved = nd.integrate(model, X, times, method="dopri5", rtol=1e-9, atol=1e-11).states[0]
    for t, z in zip(times.tolist(), solved, strict=True):
        if skip == "state":  # the mean grows, what differs from it stays
            mean = m * math.exp(v * t)
        else:  # the mean goes to m / (1 - v)
            mean = m / (1 - v) * (1 - v * math.exp((v - 1) * t))
        torch.testing.assert_close(z, s - m + mean, rtol=1e-7, atol=1e-8)


@torch.no_grad()
def test_the_state_relaxes_to_a_constant_aim():
    model, times = uniform(0.0, "feedforward", norm=True), torch.tensor([0.0, 0.5, 3.0])
    s = model.backbone[:5](X)
    aim = model.attention.block.norm(s.movedim(1, 3)).movedim(3, 1)
    solved = nd.integrate(model, X, times, method="dopri5", rtol=1e-9, atol=1e-11).states[0]
    for t, z in zip(times.tolist(), solved, strict=True):
        torch.testing.assert_close(z, aim + (s - aim) * math.exp(-t), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("v", [-3.0, -0.5])
@torch.no_grad()
def test_the_largest_stable_step(v):
    model = uniform(v, "feedforward")
    rest = nd.integrate(model, X[:1], [0.0, 40.0], rtol=1e-9, atol=1e-11).states[0][-1:][0]
    found = step_limit(model, X[:1], (rest,))
    slowest = lyapunov(model, X[:1], duration=4.0, transient=8.0)
    assert found.limit.item() == pytest.approx(2 / (1 - v), rel=1e-6)
    assert found.deciding_real.item() == pytest.approx(v - 1, rel=1e-6)
    assert found.mode_real.values[0, 0] == pytest.approx(-1, rel=1e-6)
    assert slowest.exponent.item() == pytest.approx(-1, rel=1e-3)


@torch.no_grad()
def test_the_time_constant_is_the_unit_of_time():
    slow, fast = (attending("feature", time_constant=tau) for tau in (2.0, 1.0))
    assert (slow.step, fast.step) == (2.0, 1.0)
    tight = {"rtol": 1e-9, "atol": 1e-11}
    a = nd.integrate(slow, X, [0.0, 3.0], **tight).readout[1]
    torch.testing.assert_close(a, nd.integrate(fast, X, [0.0, 1.5], **tight).readout[1])


@given(st.integers(0, 10), st.sampled_from(SKIPS), st.sampled_from(["euler", "dopri5"]))
@torch.no_grad()
def test_a_norm_bounds_the_state(seed, skip, method):
    model = attending("feature" if seed % 2 else "spatial", skip=skip)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        nn.init.normal_(model.attention.block.qkv.weight, std=3)
        nn.init.normal_(model.attention.block.out.weight, std=3)
    z = nd.integrate(model, X, [0.0, 1.0, 2.0, 5.0], method=method).states[0]
    length = z.square().sum(2 if seed % 2 == 0 else (3, 4)).amax((1, 2))
    tokens = 6 if seed % 2 == 0 else 16
    assert (length <= 1.001 * length[0].clamp_min(tokens)).all()


# ---- the contract


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@torch.no_grad()
def test_torchdiffeq_takes_the_vector_field(method):
    model = attending()
    f = nd.bind(model, X)
    (z,) = odeint(
        f, f.initial_state(), torch.tensor([0.0, 2.0]), method=method,
        **({"options": {"step_size": 0.02}} if method == "rk4" else {"rtol": 1e-8, "atol": 1e-10}),
    )  # fmt: skip
    exact = nd.integrate(model, X, [0.0, 2.0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(z[-1], exact.states[0][-1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(f.readout((z[-1],)), exact.readout[-1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("skip", SKIPS)
def test_gradients(skip):
    def gradients(duration, **kwargs):
        model, x = attending("feature", skip=skip), X.clone().requires_grad_()  # without kinks
        run = nd.integrate(model, x, [0.0, duration], **kwargs)
        run.readout[-1].square().sum().backward()
        return [x.grad, *(p.grad for p in model.parameters())]

    steps = gradients(3.0, method="euler")
    assert all(g.abs().max() > 0 for g in (*steps[:4], steps[-1]))
    for a, b in zip(steps, gradients(3.0, method="euler", gradient="checkpoint"), strict=True):
        torch.testing.assert_close(a, b)
    tight = {"rtol": 1e-6, "atol": 1e-8}
    flow, adjoint = gradients(0.5, **tight), gradients(0.5, gradient="adjoint", **tight)
    for a, b in zip(flow, adjoint, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_a_sample_is_alone_in_its_batch():
    for kind in KINDS:
        model = attending(kind)
        whole = nd.integrate(model, X, [0.0, 3.0], method="rk4").readout
        alone = nd.integrate(model, X[1:2], [0.0, 3.0], method="rk4").readout
        torch.testing.assert_close(whole[:, 1:2], alone)


@torch.no_grad()
def test_a_change_of_the_stimulus_is_seen_where_it_drives():
    film = nd.Film(torch.stack([X, X.flip(0)]), [0.0, 2.0])
    for skip, seen in (("feedforward", True), ("state", False)):
        model = attending(skip=skip)
        times = [0.0, 2.0, 4.0]
        a, b = (nd.integrate(model, s, times, method="rk4").states[0] for s in (film, X))
        torch.testing.assert_close(a[:2], b[:2])
        assert torch.allclose(a[2], b[2]) != seen


def test_a_record_is_labelled_and_says_where_it_comes_from(tmp_path):
    model = attending("squeezed", skip="state")
    run = nd.simulate(model, X, [0.0, 1.0], method="euler", record=["readout", "4", "attention"])
    assert run.layers["4"]["state"].dims == ("time", "sample", "channel", "y", "x")
    weight = run.layers["attention"]["weight"]
    assert weight.dims == ("time", "sample", "head", "target", "source")
    right = model.attention.weights(model.backbone[:5](X)).detach().numpy()
    assert abs(weight.isel(time=0).values - right).max() < 1e-12
    assert abs(weight.sum("source") - 1).max() < 1e-12
    config = json.loads(run.attrs["config"])
    assert (config["attention"], config["heads"], config["skip"]) == (
        "SpatialAttention",
        1,
        "state",
    )
    assert config["taps"] == {"4": "4"}
    nd.save(run, tmp_path / "run.nc")
    assert nd.load(tmp_path / "run.nc").identical(run)


def test_weights_of_the_network_with_attention_fit_as_they_are():
    model = attending()
    once = Attended(network(), "4", KINDS["spatial"](6, 16).double())
    for parameter in once.parameters():
        parameter.data += 0.1
    model.load_state_dict(once.state_dict())
    once.load_state_dict(model.state_dict())
    run = nd.integrate(model, X, [0.0, 1.0], method="euler")
    torch.testing.assert_close(run.readout[1], once.eval()(X))


@torch.no_grad()
def test_copies_and_files():
    once, model = Attended(network(), "4", KINDS["feature"](6, 16).double()).eval(), attending()
    wanted = once(X)
    for other in (copy.deepcopy(once), pickle.loads(pickle.dumps(once))):
        assert torch.equal(other(X), wanted)
        nn.init.zeros_(other.attention.block.norm.weight)
        assert not torch.equal(other(X), wanted) and torch.equal(once(X), wanted)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    other = torch.load(file, weights_only=False)
    a, b = (nd.integrate(m, X, [0.0, 1.0]).readout for m in (model, other))
    assert torch.equal(a, b)


def test_the_network_with_attention_trains_as_any_module():
    backbone = network(torch.float32)
    backbone.insert(1, nn.BatchNorm2d(4))
    once, x = Attended(backbone, "5", SpatialAttention(6, 2)).train(), X.float()
    target = torch.tensor([0, 1, 2])
    optimizer = torch.optim.Adam(once.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(once(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert backbone[1].num_batches_tracked == 40


def test_two_stages_may_have_attention():
    first = Attended(network(), "1", SpatialAttention(4).double())
    both = Attended(first, "backbone.4", FeatureAttention(6, 16).double()).eval()
    layers = first.backbone
    middle = layers[2:5](first.attention(layers[:2](X)))
    torch.testing.assert_close(both(X), layers[5:](both.attention(middle)))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Attended(network(), "44", SpatialAttention(6)), "no module '44'; did you mean"),
        (lambda: attending(skip="drive"), "skip 'drive' is not one of feedforward, state"),
        (lambda: attending(time_constant=0.0), "must be positive and finite"),
        (
            lambda: RecurrentAttention(
                nn.ModuleDict({"attention": nn.Identity()}), "attention", SpatialAttention(6)
            ),
            "cannot be called 'attention'",
        ),
        (
            lambda: at("1", 6).drive(X),
            r"maps \(sample, 6, y, x\), got \(1, 4, 8, 8\)",
        ),
        (
            lambda: at("6", 5).drive(X),
            r"maps \(sample, 5, y, x\), got \(1, 5\)",
        ),
        (lambda: attending().train().drive(X), "Dropout 'attention.block.dropout' is in training"),
        (
            lambda: nd.simulate(attending(), X, [0.0, 1.0], record="atention"),
            "did you mean attention",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
