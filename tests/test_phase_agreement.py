"""Phases pulled by agreement: against sums over pairs, explicit loops, energies, two clusters."""

import copy
import io
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import neurodyn as nd
from neurodyn.keys import DotKeys
from neurodyn.phase_agreement import PhaseAgreement

T0 = torch.tensor(0.0)
TAPS = {"map1": "1", "map2": "4", "dense3": "7", "out": "8"}
EPS, KAPPA, A = 0.13, 0.4, (0.0, 0.7, 0.5, 0.3)
KINDS = [(keys, centred, symmetric) for keys in ("cosine", "dot") for centred in (True, False)
         for symmetric in (True, False)]  # fmt: skip


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


X = rand(3, 2, 6, 6)


def network(dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5), nn.ReLU(),
            nn.Linear(5, 4),
        )  # fmt: skip
        return made.to(dtype).eval()


def phases(**kwargs):
    """A small network with phases in double precision, its queries unlike its keys."""
    options = {"desynchrony": EPS, "temperature": KAPPA, "modulation": A[1:], "example": X[:1]}
    model = PhaseAgreement(network(), TAPS, 3, **(options | kwargs)).eval()
    with torch.no_grad():
        for n, weight in enumerate(model.query_weights):
            weight += 0.5 * rand(*weight.shape, seed=n + 10)
    return model


def start(samples=3, seed=1, spread=1.0):
    shapes = ((6, 6), (3, 3), (5,), (4,))
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        spread * torch.randn(samples, *s, generator=generator, dtype=torch.float64) for s in shapes
    )


def close(got, wanted, atol=2e-11, rtol=1e-8):  # a silent node's length is not quite 0
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=rtol)


# ---- an independent loop: three convolutions a layer, key maps, all pairs


def activities_of(model, x, phi, a=A):
    """The network's rectified activities, and its output, with phases."""
    net = model.backbone
    linear = [
        lambda m: F.conv2d(F.avg_pool2d(m, 2), net[3].weight, padding=1),
        lambda m: m.flatten(1) @ net[6].weight.T,
        lambda m: m @ net[8].weight.T,
    ]
    biases = [net[3].bias[:, None, None], net[6].bias, net[8].bias]
    m = F.conv2d(x, net[0].weight, net[0].bias, padding=1).relu()
    found, z = [m], m
    for n, (layer, bias) in enumerate(zip(linear, biases, strict=True), 1):
        before, own = (p[:, None] if p.ndim > 2 else p for p in (phi[n - 1], phi[n]))
        z = layer(m) + bias
        z = z + a[n] * own.cos() * layer(m * before.cos())
        z = z + a[n] * own.sin() * layer(m * before.sin())
        m = z.relu()
        found.append(m)
    return found, z


def vectors_of(m, weight, centred, cosine):
    if m.ndim > 2:
        k = torch.einsum("scyx,cd->syxd", m, weight).flatten(1, 2)
    else:
        k = torch.einsum("su,ud->sud", m, weight)
    before = k.norm(dim=2, keepdim=True).mean(1, keepdim=True)
    if centred:
        k = k - k.mean(1, keepdim=True)
    if cosine:
        length = k.norm(dim=2, keepdim=True)
        k = k / (length + 0.05 * length.mean(1, keepdim=True) + 1e-5 * before)
    return k


def pairs(model, x, phi, eps=EPS, kappa=KAPPA, a=A):
    """Every r_ij sin(phi_j - phi_i) of the docstring, or the formula of one query for all."""
    activities, _ = activities_of(model, x, phi, a)
    cosine, layers = model.keys == "cosine", len(activities)
    queries = model.key_weights if model.symmetric else model.query_weights
    k = [vectors_of(m, w, model.centred, cosine) for m, w in
         zip(activities, model.key_weights, strict=True)]  # fmt: skip
    q = [vectors_of(m, w, model.centred, cosine) for m, w in
         zip(activities, queries, strict=True)]  # fmt: skip
    weight = torch.cat([0 * v[0, :, 0] + 1 / (layers * v.shape[1]) for v in k])
    one = sum(vectors_of(m, w, False, cosine).mean(1) for m, w in
              zip(activities, queries, strict=True)) / layers  # fmt: skip
    k, q, flat = torch.cat(k, 1), torch.cat(q, 1), torch.cat([p.flatten(1) for p in phi], 1)
    size = torch.ones(len(x)).double()
    if not cosine:
        size = (k.square().sum(2).mean(1) * q.square().sum(2).mean(1)).sqrt()
    if model.coupling == "global":
        agree = torch.einsum("sid,sd->si", k, one) / size[:, None] - eps
        mean = (weight * torch.exp(1j * flat)).sum(1, keepdim=True)
        pull = agree * mean.abs() * (mean.angle() - flat).sin() / kappa
    else:
        agree = torch.einsum("sid,sjd->sij", q, k) / size[:, None, None]
        r = weight * (agree - eps) / kappa
        pull = (r * (flat[:, None] - flat[:, :, None]).sin()).sum(2)
    sizes = [p[0].numel() for p in phi]
    return tuple(part.view_as(p) for part, p in zip(pull.split(sizes, 1), phi, strict=True))


@pytest.mark.parametrize(("keys", "centred", "symmetric"), KINDS)
@pytest.mark.parametrize("coupling", ["pairwise", "global"])
def test_the_derivative_is_the_sum_over_all_pairs(coupling, keys, centred, symmetric):
    model = phases(coupling=coupling, keys=keys, centred=centred, symmetric=symmetric)
    phi = start()
    with torch.no_grad():
        drive = model.drive(X)
        got = model(T0, phi, drive)
        wanted = pairs(model, X, phi)
        activities, logits = activities_of(model, X, phi)
        close(model.activities(phi, drive), activities)
        close([model.readout(phi, drive)], [logits])
    close(got, wanted)
    assert all(part.abs().max() > 1e-3 for part in got)


def test_nodes_of_a_layer_share_its_weight():
    """An image tiled twice has the same derivative at both copies: means, not sums."""
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.ReLU())
    small = PhaseAgreement(net.double().eval(), ["1", "3"], 3, example=X[:1, :1])
    wide = PhaseAgreement(net, ["1", "3"], 3, example=X[:1, :1].repeat(1, 1, 1, 2))
    phi = (start()[0], start(seed=2)[0])
    got = wide(T0, tuple(p.repeat(1, 1, 2) for p in phi), wide.drive(X[:, :1].repeat(1, 1, 1, 2)))
    wanted = small(T0, phi, small.drive(X[:, :1]))
    close(got, [w.repeat(1, 1, 2) for w in wanted])


@pytest.mark.parametrize("coupling", ["pairwise", "global"])
def test_euler_steps_are_an_explicit_loop(coupling):
    model = phases(coupling=coupling, time_constant=2.5)
    phi, seen = start(), []
    with torch.no_grad():
        for _ in range(5):
            seen.append((phi, activities_of(model, X, phi)[1]))
            phi = tuple(p + d for p, d in zip(phi, pairs(model, X, phi), strict=True))
        seen.append((phi, activities_of(model, X, phi)[1]))
        times = [2.5 * n for n in range(6)]
        run = nd.integrate(model, X, times, method="euler", initial_state=start())
    for n, (state, logits) in enumerate(seen):
        close([layer[n] for layer in run.states], state, atol=1e-9)
        close([run.readout[n]], [logits], atol=1e-9)


def test_the_time_constant_scales_time():
    slow, fast = phases(time_constant=4.0), phases()
    assert slow.step == 4.0 and fast.step == 1.0
    about = {"method": "dopri5", "rtol": 1e-8, "atol": 1e-10, "initial_state": start()}
    with torch.no_grad():
        close(slow(T0, start(), slow.drive(X)),
              [d / 4 for d in fast(T0, start(), fast.drive(X))])  # fmt: skip
        a = nd.integrate(slow, X, [0.0, 8.0], **about)
        b = nd.integrate(fast, X, [0.0, 2.0], **about)
    close([s[-1] for s in a.states], [s[-1] for s in b.states], atol=1e-5)


@given(shift=st.floats(-20, 20), kind=st.sampled_from(KINDS), coupling=st.booleans())
def test_a_common_shift_changes_neither_derivative_nor_readout(shift, kind, coupling):
    keys, centred, symmetric = kind
    model = phases(
        keys=keys, centred=centred, symmetric=symmetric,
        coupling="global" if coupling else "pairwise",
    )  # fmt: skip
    phi = start()
    turned = tuple(p + shift for p in phi)
    with torch.no_grad():
        drive = model.drive(X)
        close(model(T0, turned, drive), model(T0, phi, drive))
        close([model.readout(turned, drive)], [model.readout(phi, drive)])


@pytest.mark.parametrize("coupling", ["pairwise", "global"])
@pytest.mark.parametrize("keys", ["cosine", "dot"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_modulation_the_readout_is_the_network_bit_for_bit(coupling, keys, dtype):
    net, x = network(dtype), X.to(dtype)
    wanted = net(x)
    phi = tuple(p.to(dtype) for p in start())
    for trainable in (False, True):
        model = PhaseAgreement(net, TAPS, 3, modulation=0.0, coupling=coupling, keys=keys,
                               trainable=trainable)  # fmt: skip
        run = nd.integrate(model, x, [0.0, 1.0, 2.0], method="euler", initial_state=phi)
        assert all(torch.equal(logits, wanted) for logits in run.readout)
        assert not torch.equal(run.states[0][1], run.states[0][2])


# ---- the energy of symmetric coupling


def descending(keys="cosine", centred=True, **kwargs):
    return phases(symmetric=True, modulation=0.0, keys=keys, centred=centred, **kwargs)


@pytest.mark.parametrize("keys", ["cosine", "dot"])
@pytest.mark.parametrize("centred", [True, False])
def test_the_energy_its_slope_and_the_conserved_mean_phase(keys, centred):
    model = descending(keys, centred, time_constant=2.0)
    phi = tuple(p.requires_grad_() for p in start())
    drive = model.drive(X)
    energy = model.energy(phi, drive)
    flat = torch.cat([p.flatten(1) for p in phi], 1)
    weight = torch.cat([0 * p[0].flatten() + 1 / (4 * p[0].numel()) for p in phi]).detach()
    cosine = (flat[:, None] - flat[:, :, None]).cos()

    activities, _ = activities_of(model, X, phi, a=(0, 0, 0, 0))
    vectors = [vectors_of(m, w, centred, keys == "cosine") for m, w in
               zip(activities, model.key_weights, strict=True)]  # fmt: skip
    k = torch.cat(vectors, 1)
    square = torch.ones(3) if keys == "cosine" else k.square().sum(2).mean(1)
    agree = k @ k.transpose(1, 2) / square[:, None, None] - EPS
    double_sum = -((weight[:, None] * weight) * agree * cosine).sum((1, 2)) / (2 * KAPPA)
    close([energy], [double_sum])

    flow = torch.cat([d.flatten(1) for d in model(T0, phi, drive)], 1)
    slopes = torch.autograd.grad(energy.sum(), phi)
    down = torch.cat([g.flatten(1) for g in slopes], 1)
    close([down], [-2.0 * weight * flow])  # tau N_i dphi_i/dt = -dV/dphi_i
    close([(down * flow).sum(1)], [-2.0 * (weight * flow.square()).sum(1)])
    torch.testing.assert_close((weight * flow).sum(1), torch.zeros(3).double(), atol=1e-14, rtol=0)


def test_the_energy_falls_and_the_mean_phase_stays():
    model = descending()
    run = nd.integrate(model, X, torch.linspace(0, 30, 31), initial_state=start(), rtol=1e-7)
    drive = model.drive(X)
    states = [tuple(layer[n] for layer in run.states) for n in range(31)]
    energy = torch.stack([model.energy(state, drive) for state in states])
    assert (energy.diff(dim=0) < 1e-9).all() and (energy[0] - energy[-1] > 0.01).all()
    mean = torch.stack([sum(p.flatten(1).mean(1) for p in state) / 4 for state in states])
    torch.testing.assert_close(mean, mean[:1].expand_as(mean), atol=1e-9, rtol=0)
    drifting = phases(symmetric=False, modulation=0.0)
    flow = drifting(T0, start(), drifting.drive(X))
    assert abs(sum(d.flatten(1).mean(1) for d in flow)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"symmetric": False}, "queries are not keys"),
        ({"coupling": "global"}, "'global' is not symmetric"),
        ({"modulation": (0.0, 0.1, 0.0)}, "activities depend on phases"),
        ({"modulation": 0.1, "trainable": True}, "activities depend on phases"),
    ],
)
def test_no_energy_where_there_is_none(options, reason):
    model = phases(**({"symmetric": True, "modulation": 0.0} | options))
    with pytest.raises(ValueError, match=f"no energy that it descends: .*{reason}"):
        model.energy(start(), model.drive(X))


def test_constants_to_learn_have_the_same_energy():
    model = descending()
    learned = descending(trainable=True)
    close([learned.energy(start(), learned.drive(X))], [model.energy(start(), model.drive(X))])


# ---- two groups of nodes: what epsilon does


def two_groups(eps, between):
    """40 units that agree with one another, 160 that do, and less with the 40."""
    model = PhaseAgreement(
        nn.Sequential(nn.ReLU()), ["0"], 2, symmetric=True, centred=False, desynchrony=eps,
        example=torch.ones(1, 200).double(),
    )  # fmt: skip
    angle = torch.tensor([0.0] * 40 + [math.acos(between)] * 160).double()
    with torch.no_grad():
        model.key_weights[0].copy_(torch.stack([angle.cos(), angle.sin()], 1))
    phi = (0.01 * torch.randn(1, 200, generator=torch.Generator().manual_seed(0)).double(),)
    run = nd.integrate(model, torch.ones(1, 200).double(), [0.0, 80.0], initial_state=phi,
                       gradient="none")  # fmt: skip
    z = torch.exp(1j * run.states[0][-1, 0])
    return [part.mean() for part in (z[:40], z[40:])]


@pytest.mark.parametrize(("eps", "between"), [(0.7, 0.6), (0.2, 0.0), (0.0, -0.5), (0.85, 0.3)])
def test_epsilon_between_the_agreements_gives_antiphase(eps, between):
    """Agreement is 1 / 1.05^2 within and that times `between` between groups."""
    one, two = two_groups(eps, between)
    assert abs(one) > 0.999 and abs(two) > 0.999
    assert abs(abs((one / two).angle()) - math.pi) < 0.01


@pytest.mark.parametrize(("eps", "between"), [(0.0, 0.3), (0.3, 0.6), (-0.6, -0.5)])
def test_epsilon_below_both_agreements_gives_one_phase(eps, between):
    one, two = two_groups(eps, between)
    assert abs(one) > 0.999 and abs(two) > 0.999 and abs((one / two).angle()) < 0.01


def test_epsilon_above_both_breaks_the_groups():
    one, two = two_groups(1.3, 0.0)
    assert abs(two) < 0.9


# ---- batches, silence, derivatives


@pytest.mark.parametrize("coupling", ["pairwise", "global"])
@pytest.mark.parametrize("keys", ["cosine", "dot"])
def test_samples_do_not_touch_each_other(coupling, keys):
    x, phi = torch.cat([X, torch.zeros(1, 2, 6, 6)]), start(4)
    for dtype, steps, error in ((torch.float32, 1, 1e-5), (torch.float64, 5, 1e-10)):
        model = PhaseAgreement(network(dtype), TAPS, 3, coupling=coupling, keys=keys)

        def run(rows, dtype=dtype, model=model, steps=steps):
            return nd.integrate(
                model, x[rows].to(dtype), [0.0, float(steps)], method="euler",
                initial_state=tuple(p[rows].to(dtype) for p in phi),
            )  # fmt: skip

        together = run(slice(0, 4))
        for b in range(4):
            rows = slice(b, b + 1)
            alone = run(rows)
            got, wanted = ([*(s[-1] for s in r.states), r.readout[-1]] for r in (alone, together))
            close(got, [part[rows] for part in wanted], error / 10, error)


@pytest.mark.parametrize(("keys", "centred", "symmetric"), KINDS)
@pytest.mark.parametrize("silent", ["image", "first layer", "all"])
def test_silence_gives_numbers_and_finite_gradients(keys, centred, symmetric, silent):
    net, x = network(torch.float32), torch.zeros(2, 2, 6, 6)
    with torch.no_grad():
        for layer in (net[0], net[3], net[6], net[8])[: {"image": 0, "first layer": 1}.get(silent)]:
            layer.bias.fill_(-10)
    model = PhaseAgreement(net, TAPS, 3, keys=keys, centred=centred, symmetric=symmetric,
                           trainable=True, start="learned", example=x[:1])  # fmt: skip
    run = nd.integrate(model, x, [0.0, 3.0], method="euler")
    (run.readout.square().mean() + sum(s.square().mean() for s in run.states)).backward()
    assert all(torch.isfinite(s).all() for s in run.states)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_lengths_of_equal_keys_are_not_negative():
    """Rounding of a mean of squares less a squared mean."""
    weight = torch.tensor([[0.3, -1.1], [0.7, 0.2]])
    layer = DotKeys(torch.full((1, 2, 7, 7), 1234.5678), weight, weight, centred=True)
    assert all(0 <= part < 1 for part in layer.mean_squares())


@pytest.mark.parametrize("keys", ["cosine", "dot"])
def test_gradients_through_two_steps(keys):
    model = phases(keys=keys, trainable=True, modulation=0.5, start="learned")

    class Run(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            run = nd.integrate(self.model, x, [0.0, 2.0], method="euler")
            return torch.cat([run.readout[-1].flatten(), *(s[-1].flatten() for s in run.states)])

    names, values = zip(*Run().named_parameters(), strict=True)
    with torch.no_grad():  # away from nodes without any activity, where rectifiers have a kink
        for name, value in zip(names, values, strict=True):
            if name.endswith("bias"):
                value += 0.2

    def run(*values):
        return torch.func.functional_call(Run(), dict(zip(names, values, strict=True)), (X[:1],))

    assert torch.autograd.gradcheck(run, values, fast_mode=True, atol=1e-6)


@pytest.mark.parametrize("keys", ["cosine", "dot"])
def test_forward_mode(keys):
    model, phi = phases(keys=keys), start()
    drive = model.drive(X)
    along = start(seed=9)
    with torch.no_grad():
        _, got = torch.func.jvp(lambda *p: model(T0, p, drive), phi, along)
        high = model(T0, tuple(p + 1e-6 * v for p, v in zip(phi, along, strict=True)), drive)
        low = model(T0, tuple(p - 1e-6 * v for p, v in zip(phi, along, strict=True)), drive)
    close(got, [(a - b) / 2e-6 for a, b in zip(high, low, strict=True)], atol=1e-7, rtol=1e-5)


def test_the_step_limit_is_that_of_the_whole_jacobian():
    from neurodyn.stability import step_limit

    model = descending(temperature=0.2)
    run = nd.integrate(model, X[:1], [0.0, 60.0], initial_state=start(1), rtol=1e-6, atol=1e-8)
    phi = tuple(s[-1] for s in run.states)
    found = step_limit(model, X[:1], phi, symmetry="shift")
    drive, shapes = model.drive(X[:1]), [p.shape for p in phi]

    def flat(values):
        parts = values.split([math.prod(s) for s in shapes])
        state = tuple(p.view(s) for p, s in zip(parts, shapes, strict=True))
        return torch.cat([d.flatten() for d in model(T0, state, drive)])

    jacobian = torch.func.jacrev(flat)(torch.cat([p.flatten() for p in phi]).detach())
    largest = -torch.linalg.eigvals(jacobian.detach()).real.min()
    assert found.limit.item() == pytest.approx(2 / float(largest), rel=1e-6)


# ---- how it starts; what is a parameter; copies; errors


def test_phases_at_the_start():
    model = phases(start="normal", spread=0.3)
    drive = model.drive(rand(200, 2, 6, 6))
    generator = torch.Generator().manual_seed(3)
    phi = model.initial_state(drive, generator)
    again = model.initial_state(drive, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(phi, again, strict=True))
    assert [tuple(p.shape[1:]) for p in phi] == [(6, 6), (3, 3), (5,), (4,)]
    assert [v.dims for v in model.variables] == [("y", "x"), ("y", "x"), ("unit",), ("unit",)]
    assert [v.name for v in model.variables] == list(TAPS)
    assert torch.cat([p.flatten() for p in phi]).std() == pytest.approx(0.3, rel=0.05)

    model = phases(start="uniform")
    (phi, *_) = model.initial_state(drive, torch.Generator().manual_seed(3))
    assert -math.pi < phi.min() < -3.1 and 3.1 < phi.max() <= math.pi

    model = phases(start="learned", spread=0.2)
    phi = model.initial_state(drive)
    assert len(model.first_phases) == 4 and all(p.shape[0] == 200 for p in phi)
    assert all((p == first).all() for p, first in zip(phi, model.first_phases, strict=True))
    run = nd.integrate(model, X, [0.0, 2.0], method="euler")
    run.readout.sum().backward()
    assert all(first.grad.abs().max() > 0 for first in model.first_phases)


def test_frozen_phases_stay():
    model = phases(frozen=True, start="uniform")
    phi = start()
    run = nd.integrate(model, X, [0.0, 1.0, 2.0], initial_state=phi)
    for layer, first in zip(run.states, phi, strict=True):
        assert torch.equal(layer, first.expand_as(layer))
    _, logits = activities_of(model, X, phi)
    close(run.readout, [logits] * 3)


def test_trainable_constants():
    model = phases(trainable=True, modulation=(0.0, 0.5, 0.3))
    fixed = phases(modulation=(0.0, 0.5, 0.3))
    own = {name for name, _ in model.named_parameters() if not name.startswith("backbone.")}
    weights = {f"{kind}_weights.{n}" for kind in ("key", "query") for n in range(4)}
    assert own == {"epsilon", "log_kappa", "modulation_logit"} | weights
    assert {name for name, _ in fixed.named_parameters()} - {
        f"backbone.{name}" for name, _ in network().named_parameters()
    } == weights
    phi = start()
    close(model(T0, phi, model.drive(X)), fixed(T0, phi, fixed.drive(X)))
    run = nd.integrate(model, X, [0.0, 2.0], method="euler", initial_state=phi)
    (run.readout.square().sum() + run.states[0][-1].square().sum()).backward()
    assert model.epsilon.grad != 0 and model.log_kappa.grad != 0
    assert (model.modulation_logit.grad != 0).tolist() == [False, True, True]
    config = model.config()
    assert config["modulation"] == pytest.approx([0.0, 0.5, 0.3])
    assert config["desynchrony"] == pytest.approx(EPS)
    assert config["temperature"] == pytest.approx(KAPPA)
    assert fixed.config()["modulation"] == [0.0, 0.5, 0.3]


def test_copies_and_saved_weights():
    model = phases(trainable=True, modulation=0.5)
    phi = start()
    wanted = model(T0, phi, model.drive(X))
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(torch.equal(a, b) for a, b in
                   zip(copied(T0, phi, copied.drive(X)), wanted, strict=True))  # fmt: skip
    other = phases(trainable=True, modulation=0.2, desynchrony=0.3, seed=5)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    close(other(T0, phi, other.drive(X)), wanted)


def test_double_precision_afterwards():
    net = network(torch.float32)
    model = PhaseAgreement(net, TAPS, 3, example=X[:1].float(), start="learned", trainable=True)
    phi = start()
    single = model(T0, tuple(p.float() for p in phi), model.drive(X.float()))
    double = model.double()(T0, phi, model.drive(X))
    assert all(d.dtype == torch.float64 for d in double)
    close([d.float() for d in double], single, atol=1e-5, rtol=1e-4)
    assert model.initial_state(model.drive(X))[0].dtype == torch.float64


def test_amplitudes_are_recorded_beside_the_phases():
    model = phases()
    run = nd.simulate(model, X, [0.0, 1.0], method="euler", initial_state=start(),
                      record=["map1", "map1 amplitude", "out amplitude"])  # fmt: skip
    activities, _ = activities_of(model, X, start())
    got = torch.as_tensor(run.layers["map1"]["amplitude"].isel(time=0).values)
    close([got], [activities[0].mean(1)], atol=1e-6)
    got = torch.as_tensor(run.layers["out"]["amplitude"].isel(time=0).values)
    close([got], [activities[3]], atol=1e-6)
    phase = run.layers["map1"]["phase"]
    assert phase.attrs["units"] == "rad" and float(abs(phase).max()) <= math.pi + 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coupling": "all"}, "coupling 'all' is not one of pairwise, global"),
        ({"keys": "plain"}, "keys 'plain' is not one of cosine, dot"),
        ({"start": "zero"}, "start 'zero' is not one of normal, uniform, learned"),
        ({"dim": 0}, "dim must be a whole number from 1 up, got 0"),
        ({"dim": 2.0}, "dim must be a whole number"),
        ({"temperature": 0.0}, "temperature = 0.0 must be finite and more than 0"),
        ({"temperature": math.inf}, "temperature = inf must be finite"),
        ({"time_constant": -1.0}, "time_constant = -1.0 must be"),
        ({"desynchrony": math.nan}, "desynchrony = nan must be finite"),
        ({"spread": -0.1}, "spread = -0.1 must be finite and not negative"),
        ({"modulation": 1.5}, "modulation must be from 0 to 1"),
        ({"modulation": (0.5, 0.5)}, "a number or 3 numbers"),
        ({"modulation": 1.0, "trainable": True}, "trainable modulation must be under 1"),
        ({"taps": ["1", "2_"]}, "the network has no module '2_'"),
    ],
)
def test_errors_at_the_door(options, message):
    given = {"taps": TAPS, "dim": 3} | options
    with pytest.raises(ValueError, match=message):
        PhaseAgreement(network(), given.pop("taps"), given.pop("dim"), **given)


def test_errors_at_the_first_run():
    model = phases()
    with pytest.raises(ValueError, match="phases start at random: give generator="):
        nd.integrate(model, X, [0.0, 1.0])
    tokens = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    with pytest.raises(ValueError, match=r"shape \(5, 4\): phases live on maps"):
        PhaseAgreement(tokens, ["1"], example=rand(1, 5, 4))
    fresh = PhaseAgreement(network(), TAPS)
    with pytest.raises(RuntimeError, match="give PhaseAgreement an `example` stimulus"):
        _ = fresh.variables
    functional = nn.Sequential(network()[:2], Rectified(), nn.Conv2d(3, 2, 1)).double()
    with pytest.raises(ValueError, match="phases cannot be carried to '2'"):
        PhaseAgreement(functional.eval(), ["0.1", "2"], example=X)


class Rectified(nn.Module):
    """Has a part and rectifies outside of it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return torch.relu(self.conv(x))
