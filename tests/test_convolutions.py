"""Transposed convolutions: autograd, the measured reach and torch's own products as oracles."""

import copy
import pickle

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import neurodyn as nd
from neurodyn.convolutions import Kernel, in_parts, predict, pullback, spread, transposed
from neurodyn.decoders import reach
from neurodyn.models.pvgg import pvgg16


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(*args, seed=0, **kwargs):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.ConvTranspose2d(*args, **kwargs).double()


PAIR = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=60, deadline=None)
@given(
    PAIR, PAIR, st.tuples(st.integers(0, 2), st.integers(0, 2)), PAIR, st.sampled_from([1, 2]),
    st.tuples(st.integers(1, 7), st.integers(1, 7)), st.booleans(), st.booleans(),
)  # fmt: skip
def test_the_adjoint_and_the_reach_of_any(k, s, p, d, groups, size, bias, rectified):
    least = [a * (n - 1) + b * (c - 1) + 1 - 2 * e
             for a, b, c, e, n in zip(s, d, k, p, size, strict=True)]  # fmt: skip
    assume(min(least) > 0)
    g = layer(4, 6, k, s, p, dilation=d, groups=groups, bias=bias)
    decoder = nn.Sequential(g, nn.ReLU()) if rectified else g
    state = rand(2, 4, *size)
    wanted, vjp = torch.func.vjp(decoder, state)
    got, pull = pullback(decoder, state)
    assert torch.equal(got, wanted)
    u = rand(*wanted.shape, seed=1)
    torch.testing.assert_close(pull(u), vjp(u)[0], rtol=1e-12, atol=1e-12)
    measured = reach(nn.Sequential(g, nn.Identity()), (4, *size))  # not known: measured
    assert spread(g, (4, *size)) == measured == reach(decoder, (4, *size))


@pytest.mark.parametrize(
    "decoder",
    [
        nn.Sequential(),
        nn.Linear(2, 2),
        nn.ConvTranspose2d(2, 2, 3, 2, 1, output_padding=1),
        nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2, 2, 3)),
        nn.Sequential(nn.ConvTranspose2d(2, 2, 3), nn.Tanh()),
        nn.utils.parametrizations.weight_norm(nn.ConvTranspose2d(2, 2, 3)),
    ],
)
def test_what_is_not_a_transposed_convolution_alone(decoder):
    assert transposed(decoder) is None


def test_hooks_are_heeded():
    g = layer(2, 2, 3)
    assert transposed(g) == (g, False)
    g.register_forward_hook(lambda module, args, out: 2 * out)
    state = rand(1, 2, 4, 4)
    prediction, pull = pullback(g, state)
    _, vjp = torch.func.vjp(g, state)
    assert torch.equal(prediction, g(state)) and torch.equal(pull(prediction), vjp(prediction)[0])


# ---- kept kernels

SIZES = [(14, 2, 6, (7, 7)), (10, 2, 4, (17, 3)), (5, 1, 0, (6, 9)), (15, 3, 12, (5, 9)),
         (14, 2, 0, (1, 20))]  # fmt: skip


@pytest.mark.parametrize(("k", "s", "p", "size"), SIZES)
@pytest.mark.parametrize("rectified", [False, True])
def test_a_kept_kernel_gives_the_same(k, s, p, size, rectified):
    g = layer(16, 17, k, s, p).requires_grad_(False)
    decoder = nn.Sequential(g, nn.ReLU()) if rectified else g
    kernel = Kernel()
    assert kernel.suits(g)
    state = rand(3, 16, *size).requires_grad_()
    wanted, plain = pullback(decoder, state)
    got, pull = pullback(decoder, state, kernel)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(got, predict(decoder, state, kernel)) and kernel.form.is_complex()
    u = rand(*wanted.shape, seed=1)
    torch.testing.assert_close(pull(u), plain(u), rtol=1e-12, atol=1e-12)
    for a, b in [(got, wanted), (pull(got), plain(wanted))]:  # and their derivatives
        grads = (torch.autograd.grad(y.square().sum(), state, retain_graph=True)[0] for y in (a, b))
        torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("k", "s", "p", "size"), SIZES[:4])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("units", [False, True])
def test_half_precision_with_and_without_matrix_units(k, s, p, size, autocast, units, monkeypatch):
    monkeypatch.setattr("neurodyn.convolutions.multiplies_halves", lambda: units)
    g = layer(16, 17, k, s, p).requires_grad_(False).float()
    kernel = Kernel()
    state, exact = rand(2, 16, *size).float(), g
    u = rand(*exact(state).shape, seed=1).float()
    wanted, wanted_pull = exact(state), nn.functional.conv2d(u, g.weight, None, s, p)
    if not autocast:
        g, state, u = copy.deepcopy(g).bfloat16(), state.bfloat16(), u.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got, pull = pullback(g, state, kernel)
        pulled = pull(u)
    assert kernel.form.dtype == (torch.bfloat16 if units else torch.complex64)
    assert got.dtype == torch.bfloat16 and pulled.dtype == state.dtype
    for a, b in [(got, wanted), (pulled, wanted_pull)]:
        assert (a.float() - b).norm() < 0.01 * b.norm()


def test_a_kernel_follows_its_weights():
    g = layer(16, 16, 10, 2, 4).requires_grad_(False)
    kernel, state = Kernel(), rand(1, 16, 5, 5)

    def right():
        torch.testing.assert_close(predict(g, state, kernel), g(state), rtol=1e-12, atol=1e-12)

    right()
    form = kernel.form
    right()
    assert kernel.form is form  # kept
    g.weight.mul_(2)
    right()
    g.load_state_dict(layer(16, 16, 10, 2, 4, seed=1).state_dict())
    right()
    g.weight = nn.Parameter(rand(*g.weight.shape, seed=2), requires_grad=False)
    right()
    assert kernel.form is not form
    g.float().double()
    right()
    for other in (copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))):
        assert other.form is None


def test_where_gradients_of_the_weights_are_on_it_is_not_used():
    g, state = layer(16, 16, 10, 2, 4), rand(1, 16, 5, 5)
    kernel = Kernel()
    pullback(g, state, kernel)[1](g(state)).sum().backward()
    assert kernel.form is None and g.weight.grad.any()
    with torch.no_grad():
        predict(g, state, kernel)
    assert kernel.form is not None

    def through(weight):
        return torch.func.functional_call(Both(g, kernel), {"g.weight": weight}, (state,)).sum()

    g.requires_grad_(False)
    assert torch.func.grad(through)(g.weight.detach().clone()).any()


class Both(nn.Module):
    def __init__(self, g, kernel):
        super().__init__()
        self.g, self.kernel = g, kernel

    def forward(self, state):
        return predict(self.g, state, self.kernel)


@pytest.mark.parametrize(
    "g",
    [
        nn.ConvTranspose2d(16, 16, 4, 2, 1),
        nn.ConvTranspose2d(16, 16, 11, 2, 4),
        nn.ConvTranspose2d(16, 16, 10, 2, 5),
        nn.ConvTranspose2d(16, 3, 10, 2, 4),
        nn.ConvTranspose2d(16, 16, (10, 5), (2, 1), 0),
        nn.ConvTranspose2d(16, 16, 10, 2, 4, groups=2),
        nn.ConvTranspose2d(16, 16, 10, 2, 4, dilation=2),
    ],
)
@torch.no_grad()
def test_small_and_odd_kernels_stay_as_they_are(g):
    assert not Kernel().suits(g)


@torch.no_grad()
@pytest.mark.parametrize("part", [10**9, 50_000, 1])
def test_large_weights_are_multiplied_in_parts(part, monkeypatch):
    g = layer(40, 12, 6, 2, 2)
    decoder, state, u = nn.Sequential(g, nn.ReLU()), rand(2, 40, 5, 6), rand(2, 12, 10, 12)
    wanted, vjp = torch.func.vjp(decoder, state)
    monkeypatch.setattr("neurodyn.convolutions.PART", part)
    assert in_parts(g) == (part < 10**9)
    got, pull = pullback(decoder, state)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pull(u), vjp(u)[0], rtol=1e-12, atol=1e-12)
    with torch.enable_grad():
        assert not in_parts(g)


@torch.no_grad()
def test_no_more_spectra_are_kept_than_told():
    g, state = layer(16, 20, 14, 2, 6), rand(1, 16, 5, 5)
    kernel = Kernel()
    predict(g, state, kernel)
    assert Kernel(kernel.form.nbytes).suits(g) and not Kernel(kernel.form.nbytes - 1).suits(g)
    assert pickle.loads(pickle.dumps(Kernel(7))).most == 7 and not Kernel(0).suits(g)


def test_windows_are_transformed_some_at_a_time(monkeypatch):
    g, state = layer(16, 16, 10, 2, 4).requires_grad_(False), rand(5, 16, 9, 9)
    whole = predict(g, state, Kernel())
    monkeypatch.setattr("neurodyn.convolutions.WINDOWS", 2)
    torch.testing.assert_close(predict(g, state, Kernel()), whole, rtol=1e-12, atol=1e-12)


def test_a_fast_network_gives_the_same():
    x = rand(2, 3, 32, 32, dtype=torch.float32)
    runs = []
    for fast in (False, None, True):
        model = pvgg16(5, image_size=32, width=16, update="sequential", error=0.1, fast=fast)
        if fast is None:
            model.kernels = [Kernel(2**22) for _ in model.kernels]
        if fast:  # the first decoder's kernel is small
            for _ in range(2):  # a copy makes its own
                model = copy.deepcopy(model)
        run = nd.integrate(model, x, [0.0, 1.0, 4.0], method="euler", gradient="none")
        runs.append([*run.states, run.readout])
        made = [k.form is not None for k in model.kernels]
        assert made == {False: [False] * 5, None: [False, True, False, False, False],
                        True: [False, True, True, True, True]}[fast]  # fmt: skip
    for others in runs[1:]:
        for a, b in zip(runs[0], others, strict=True):
            assert (a - b).abs().max() <= 1e-5 * a.abs().max()
