"""Connections scaled by phases: against Jacobians, connections one by one, the network alone."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neurodyn.models.resnet import BasicBlock, resnet18
from neurodyn.phase_modulation import PhaseModulated


def seeded(make, seed=0):
    """Networks in double precision, with the statistics of trained ones."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make().double().eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 2)
                nn.init.normal_(module.weight, 1, 0.3)
                nn.init.normal_(module.bias, std=0.3)
        return network


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# ---- networks: what is tapped, and which of the taps rectify (a ReLU, or a block that ends in one)


def plain(pool=nn.AvgPool2d, inplace=False, norm=nn.Identity):
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(inplace), pool(2), nn.Conv2d(3, 4, 3, padding=1),
        norm(4), nn.ReLU(inplace), nn.Flatten(), nn.Linear(36, 6), nn.ReLU(inplace),
        nn.Linear(6, 5),
    )  # fmt: skip


class Residual(nn.Module):
    """A stem, a block with an identity and one with a 1x1 convolution for a skip."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.one, self.two = BasicBlock(3, 3, 1), BasicBlock(3, 4, 2)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.two(self.one(self.pool(self.relu(self.conv(x)))))
        return self.head(x.mean((2, 3)))


class Skips(nn.Module):
    """Uses the image, and what lies below each tap, again further up; reads sizes and strides."""

    def __init__(self, image=False, below=False, across=False, inplace=False):
        super().__init__()
        self.image, self.below, self.across = image, below, across
        self.stem, self.one = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(inplace)
        self.conv, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace)
        self.dense, self.three = nn.Linear(108, 6), nn.ReLU(inplace)
        self.side = nn.Conv2d(2 if image else 3, 3, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        n = x.size(0)
        stem = self.stem(x)
        first = self.one(stem.clone())
        second = self.conv(first)
        if self.image:
            second = second + self.side(x)
        if self.below:
            second = second + self.side(stem)
        third = self.two(second)
        if self.across:
            third = third + self.side(first)
        out = self.three(self.dense(third.contiguous().view(n, -1)))
        return self.head(out) + (first.mean((1, 2, 3))[:, None] if self.across else 0)


class Shared(nn.Module):
    """One activation, not affine, used below the first tap, between taps and twice in a row."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 5)
        self.c, self.d = nn.Linear(5, 4), nn.Linear(4, 3)
        self.act = nn.Softplus()

    def forward(self, x):
        below = self.act(self.a(x))
        out = self.c(self.act(self.act(self.b(below)) - 1) + below)
        return self.act(self.d(out))


class Strides(nn.Sequential):
    """Flattens by ``view``, which takes no map with its channels last."""

    def forward(self, x):
        return self[5](self[4](self[3](self[2](self[1](self[0](x)))).view(len(x), -1)))


def strides():
    return Strides(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(),
        nn.Linear(144, 5), nn.Identity(),
    )  # fmt: skip


IMAGE = (2, 6, 6)
SKIPS = (["one", "two", "three", "head"], ["one", "two", "three"], IMAGE)
NETWORKS = {
    "plain": (plain, ["1", "5", "8", "9"], ["1", "5", "8"], IMAGE),
    "max-pool, norm, in place": (
        lambda: plain(nn.MaxPool2d, True, nn.BatchNorm2d), ["1", "5", "8", "9"], ["1", "5", "8"],
        IMAGE,
    ),
    "group norm, not affine": (
        lambda: plain(norm=lambda n: nn.GroupNorm(2, n)), ["1", "5", "9"], ["1", "5"], IMAGE,
    ),
    "taps on convolutions": (plain, ["0", "3", "7"], [], IMAGE),
    "one tap": (plain, ["5"], ["5"], IMAGE),
    "residual, all rectifiers": (
        Residual, ["relu", "one.relu1", "one.relu2", "two.relu1", "two.relu2", "head"],
        ["relu", "one.relu1", "one.relu2", "two.relu1", "two.relu2"], IMAGE,
    ),
    "residual, blocks": (Residual, ["relu", "one", "two", "head"], ["relu", "one", "two"], IMAGE),
    "residual, skips cross taps": (
        Residual, ["conv", "one.relu1", "two.bn2"], ["one.relu1"], IMAGE,
    ),
    "sizes are read": (Skips, *SKIPS),
    "the image again": (lambda: Skips(image=True), *SKIPS),
    "from below the first tap": (lambda: Skips(below=True, inplace=True), *SKIPS),
    "across a tap and above the last": (
        lambda: Skips(across=True), ["one", "two", "three"], ["one", "two", "three"], IMAGE,
    ),
    "one module often": (Shared, ["b", "c"], [], (6,)),
    "one module often, output": (Shared, ["b", "d"], [], (6,)),
    "strides are read": (strides, ["1", "3", "4"], ["1", "3"], IMAGE),
}  # fmt: skip


@pytest.fixture(scope="module", params=NETWORKS)
def made(request):
    make, taps, rectified, shape = NETWORKS[request.param]
    network = seeded(make)
    x = rand(3, *shape, seed=1)
    waves = PhaseModulated(network, taps)
    shapes, _ = waves.inspect(network, x[:1])
    return network, taps, rectified, x, waves, shapes


def phases_for(shapes, samples=3, seed=2):
    maps = [shape[1:] if len(shape) > 1 else shape for shape in shapes]
    return [3 * rand(samples, *m, seed=seed + n) for n, m in enumerate(maps)]


# ---- the oracle: hooks put given activities in their places, autograd finds every connection


class Arrived(Exception):
    pass


def arriving(network, taps, x, n, given):
    """What arrives at tap n (a ReLU's input, else the output), or the network's output."""
    modules = dict(network.named_modules())

    def keep(value):
        raise Arrived(value.clone())

    handles = [
        modules[name].register_forward_hook(lambda m, i, o, value=value: value.clone())
        for name, value in zip(taps, given, strict=False)
    ]
    if n < len(taps):
        module = modules[taps[n]]
        if isinstance(module, nn.ReLU):
            handles.append(module.register_forward_pre_hook(lambda m, i: keep(i[0])))
        else:
            handles.append(module.register_forward_hook(lambda m, i, o: keep(o)))
    try:
        return network(x.clone())
    except Arrived as found:
        return found.args[0]
    finally:
        for handle in handles:
            handle.remove()


def nodes(phase, like):
    """The phase of every entry of one sample's activity."""
    return (phase.expand(like.shape) if like.ndim == 3 else phase).flatten()


def one_by_one(network, taps, rectified, x, phases, scale):
    """Activities and output, one sample at a time, each effective connection on its own."""
    rows = []
    for b in range(len(x)):
        image, activities = x[b : b + 1], []
        for n, name in enumerate(taps):
            arrived = arriving(network, taps, image, n, activities)[0]
            for k, before in enumerate(activities):

                def stage(value, k=k, n=n):
                    changed = [*activities[:k], value, *activities[k + 1 :]]  # noqa: B023
                    return arriving(network, taps, image, n, changed)[0].flatten()  # noqa: B023

                jacobian = torch.autograd.functional.jacobian(stage, before).flatten(1)
                target, source = nodes(phases[n][b], arrived), nodes(phases[k][b], before[0])
                cosine = (target[:, None] - source).cos()
                extra = (jacobian * before.flatten() * cosine).sum(1)
                arrived = arrived + scale[n] * extra.view_as(arrived)
            activities.append(arrived.relu()[None] if name in rectified else arrived[None])
        output = arriving(network, taps, image, len(taps), activities)
        rows.append([*activities, output])
    return [torch.cat(parts) for parts in zip(*rows, strict=True)]


def passed(network, waves, x, phases, scale):
    drive = waves.drive(network, x)
    found = waves.sweep_phases(network, drive, phases, scale[1:])
    return [*found, waves.head(network, drive, tuple(found))]


def close(got, wanted, atol=1e-12, rtol=1e-10):
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=rtol)


def test_every_connection_of_any_network_is_scaled_and_no_bias(made):
    network, taps, rectified, x, waves, shapes = made
    phases, scale = phases_for(shapes), [0.9 - 0.2 * n for n in range(len(taps))]
    wanted = one_by_one(network, taps, rectified, x, phases, scale)
    with torch.no_grad():
        got = passed(network, waves, x, phases, scale)
    close(got, wanted)
    if len(taps) > 1:
        assert (got[-1] - network(x)).abs().max() > 1e-3, "phases change something"


def test_without_modulation_it_is_the_network_bit_for_bit(made):
    network, taps, _, x, waves, shapes = made
    zeros = [0.7] + [0.0] * (len(taps) - 1)  # nothing goes into the first tap
    own = [arriving(network, taps, x, n, []) for n in range(len(taps))]
    own = [
        z.relu() if isinstance(network.get_submodule(name), nn.ReLU) else z
        for z, name in zip(own, taps, strict=True)
    ]
    got = passed(network, waves, x, phases_for(shapes), zeros)
    assert all(torch.equal(a, b) for a, b in zip(got, [*own, network(x.clone())], strict=True))


def test_it_does_not_depend_on_the_rest_of_the_batch(made):
    network, taps, _, x, waves, shapes = made
    phases, scale = phases_for(shapes), [0.6] * len(taps)
    together = passed(network, waves, x, phases, scale)
    for b in range(len(x)):
        alone = passed(network, waves, x[b : b + 1], [p[b : b + 1] for p in phases], scale)
        close(alone, [part[b : b + 1] for part in together])


@given(shift=st.floats(-10, 10))
def test_a_common_shift_changes_nothing(made, shift):
    network, taps, _, x, waves, shapes = made
    phases, scale = phases_for(shapes), [0.6] * len(taps)
    turned = [p + shift for p in phases]
    close(passed(network, waves, x, phases, scale), passed(network, waves, x, turned, scale))


@pytest.mark.parametrize("name", ["plain", "taps on convolutions", "sizes are read"])
def test_phases_apart_by_half_a_turn_cancel_what_equal_phases_double(name):
    """With a = 1 an affine stage gives z + (z - bias) in phase, and the bias alone out of it."""
    make, taps, rectified, shape = NETWORKS[name]
    network, x, waves = seeded(make), rand(3, *shape), PhaseModulated(seeded(make), taps)
    shapes, _ = waves.inspect(network, x)
    drive = waves.drive(network, x)
    level = [torch.zeros_like(p) for p in phases_for(shapes)]
    opposed = [level[0], level[1] + torch.pi, *level[2:]]
    one = [0.0, 1.0] + [0.0] * (len(taps) - 2)
    first = drive["feedforward"]
    bias = arriving(network, taps, x, 1, [torch.zeros_like(first)])
    whole = arriving(network, taps, x, 1, [first])
    rectify = F.relu if taps[1] in rectified else nn.Identity()
    close(waves.sweep_phases(network, drive, level, one[1:])[1:2], [rectify(2 * whole - bias)])
    close(waves.sweep_phases(network, drive, opposed, one[1:])[1:2], [rectify(bias)])


# ---- the same without autograd: a convolution unfolded, matrices built from a basis


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_unfolded(stride):
    network = seeded(
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 3, stride, padding=1))
    )
    x, waves = rand(2, 2, 6, 6), PhaseModulated(network, ["1", "2"])
    phases = phases_for(waves.inspect(network, x)[0], 2)
    m = network[:2](x)
    columns = F.unfold(m, 3, padding=1, stride=stride).unflatten(1, (3, 9))
    source = F.unfold(phases[0][:, None], 3, padding=1, stride=stride)[:, None]
    target = phases[1].flatten(1)[:, None, None]
    weight, bias = network[2].weight.flatten(2), network[2].bias[:, None]
    z = bias + torch.einsum("ock,bckp->bop", weight, columns * (1 + 0.8 * (target - source).cos()))
    got = waves.sweep_phases(network, waves.drive(network, x), phases, [0.8])[1]
    torch.testing.assert_close(got.flatten(2), z, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("between", ["pool", "dense"])
def test_matrices_of_connections(between):
    middle = {
        "pool": nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)),
        "dense": nn.Sequential(nn.Flatten(), nn.Linear(48, 7)),
    }[between]
    network = seeded(lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), middle, nn.ReLU()))
    x, waves = rand(2, 2, 4, 4), PhaseModulated(network, ["1", "3"])
    phases = phases_for(waves.inspect(network, x)[0], 2)
    m = network[:2](x)
    bias = middle(torch.zeros(1, 3, 4, 4, dtype=torch.float64)).flatten()
    basis = torch.eye(48, dtype=torch.float64).view(48, 3, 4, 4)
    weight = (middle(basis).flatten(1) - bias).T
    wanted = []
    for b in range(2):
        source = phases[0][b].expand(3, 4, 4).flatten()
        target = phases[1][b].expand(4, 2, 2) if between == "pool" else phases[1][b]
        cosine = (target.flatten()[:, None] - source).cos()
        wanted.append((bias + (weight * (1 + 0.3 * cosine)) @ m[b].flatten()).relu())
    got = waves.sweep_phases(network, waves.drive(network, x), phases, [0.3])[1]
    torch.testing.assert_close(got.flatten(1), torch.stack(wanted), atol=1e-12, rtol=1e-12)


def test_a_silent_layer_leaves_the_bias():
    network = seeded(plain)
    with torch.no_grad():
        network[0].bias.fill_(-100)
    x, waves = rand(2, *IMAGE), PhaseModulated(network, ["1", "5", "8"])
    phases = phases_for(waves.inspect(network, x)[0], 2)
    got = waves.sweep_phases(network, waves.drive(network, x), phases, [0.9, 0.0])
    torch.testing.assert_close(got[1], network[:6](x))
    assert network[:6](x).any()


# ---- residual networks of the usual size: the equation by forward-mode derivatives


@pytest.mark.parametrize("taps", ["blocks", "rectifiers"])
def test_resnet18(taps):
    network = resnet18(10, small_input=True).double()
    relus = [n for n, m in network.named_modules() if isinstance(m, nn.ReLU)]
    names = ["relu1", *network.blocks()] if taps == "blocks" else relus
    check_by_products(network, names, rand(1, 3, 8, 8))


def test_torchvision_resnet18():
    vision = pytest.importorskip("torchvision")
    network = vision.models.resnet18(num_classes=10).double().eval()
    check_by_products(network, ["maxpool", "layer1", "layer2", "layer3"], rand(2, 3, 32, 32))


def check_by_products(network, names, x):
    """z + a [cos J(m cos) + sin J(m sin)], every stage by ``torch.func.jvp``; all are rectified."""
    waves = PhaseModulated(network, names)
    shapes, _ = waves.inspect(network, x[:1])
    phases, activities = phases_for(shapes, len(x)), []
    for n in range(len(names)):
        z = arriving(network, names, x, n, activities)
        if activities:

            def stage(*given, n=n):
                return arriving(network, names, x, n, given)

            for wave in (torch.cos, torch.sin):
                along = [m * wave(p)[:, None] for m, p in zip(activities, phases, strict=False)]
                carried = torch.func.jvp(stage, tuple(activities), tuple(along))[1]
                z = z + 0.7 * wave(phases[n])[:, None] * carried
        activities.append(z.relu())
    output = arriving(network, names, x, len(names), activities)
    with torch.no_grad():
        got = passed(network, waves, x, phases, [0.7] * len(names))
    close(got, [*activities, output], atol=1e-10)


# ---- what cannot be carried; copies; derivatives


class Calls(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.one, self.act = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU()
        self.two, self.out, self.call = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), call

    def forward(self, x):
        return self.out(self.two(self.call(self.act(self.one(x))))).mean((2, 3))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: F.relu(m - 0.1), lambda m: F.max_pool2d(m, 2), lambda m: m * m, torch.tanh,
        lambda m: m.clamp(max=6),  # which brighter images alone reach
    ],
)  # fmt: skip
def test_what_is_not_affine_outside_of_a_module_is_refused(call):
    network = seeded(lambda: Calls(call))
    with pytest.raises(ValueError, match=r"cannot be carried to 'out': .*Make it a module of one"):
        PhaseModulated(network, ["act", "out"]).inspect(network, rand(1, *IMAGE))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.out, self.cell = nn.ReLU(), nn.Linear(3, 4), nn.GRU(6, 3, batch_first=True)

    def forward(self, x):
        return self.out(self.cell(self.act(x)[:, 0])[0][:, -1])


def test_a_module_that_returns_more_than_one_tensor_is_refused():
    with pytest.raises(ValueError, match="'out': .*in one that takes or returns more than one"):
        PhaseModulated(seeded(Recurrent), ["act", "out"]).inspect(
            seeded(Recurrent), rand(1, *IMAGE)
        )


def test_what_is_affine_or_lies_outside_the_taps_may_be_called():
    network = seeded(lambda: Calls(lambda m: F.avg_pool2d(2 * m + 1, 2).flip(2)))
    for taps in (["act", "out"], ["two", "out"]):
        PhaseModulated(network, taps).inspect(network, rand(1, *IMAGE))
    network = seeded(lambda: Calls(F.relu))
    for taps in (["two", "out"], ["one", "act"]):
        PhaseModulated(network, taps).inspect(network, rand(1, *IMAGE))


def test_a_bound_far_away_is_not_affine():
    network = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Hardtanh(-20, 20), nn.Conv2d(3, 2, 1)
        )
    )
    waves = PhaseModulated(network, ["1", "3"])
    waves.inspect(network, rand(1, *IMAGE))
    assert waves.curved == ["2"]


def test_tokens_are_refused():
    network = seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)))
    with pytest.raises(ValueError, match=r"'1' has shape \(5, 4\): phases live on maps"):
        PhaseModulated(network, ["1", "2"]).inspect(network, rand(1, 5, 4))


def test_copies_keep_what_was_found(made):
    network, taps, _, x, waves, shapes = made
    phases, scale = phases_for(shapes), [0.5] * len(taps)
    wanted = passed(network, waves, x, phases, scale)
    for copied in (copy.deepcopy(waves), pickle.loads(pickle.dumps(waves))):
        assert all(torch.equal(a, b) for a, b in
                   zip(passed(network, copied, x, phases, scale), wanted, strict=True))  # fmt: skip


def test_derivatives_by_phases_and_weights(made):
    network, taps, _, x, waves, shapes = made
    x, scale = x[:1], torch.full((len(taps),), 0.4, dtype=torch.float64, requires_grad=True)
    phases = [p.requires_grad_() for p in phases_for(shapes, 1)]

    def energy(scale, *phases):
        return sum(part.square().sum() for part in passed(network, waves, x, phases, [*scale]))

    assert torch.autograd.gradcheck(energy, (scale, *phases), fast_mode=True)
    for p in network.parameters():
        along = rand(*p.shape, seed=7)
        with torch.no_grad():
            plain_value = p.clone()
            p.copy_(plain_value + 1e-6 * along)
            high = energy(scale, *phases)
            p.copy_(plain_value - 1e-6 * along)
            low = energy(scale, *phases)
            p.copy_(plain_value)
        (slope,) = torch.autograd.grad(energy(scale, *phases), p, allow_unused=True)
        slope = 0.0 if slope is None else float((slope * along).sum())
        assert float(high - low) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_forward_mode_goes_through(made):
    network, taps, _, x, waves, shapes = made
    phases, scale = tuple(phases_for(shapes)), [0.4] * len(taps)
    drive = waves.drive(network, x)
    along = tuple(rand(*p.shape, seed=5) for p in phases)

    def run(*phases):
        return tuple(waves.sweep_phases(network, drive, phases, scale[1:]))

    with torch.no_grad():
        _, slope = torch.func.jvp(run, phases, along)
        high = run(*(p + 1e-6 * v for p, v in zip(phases, along, strict=True)))
        low = run(*(p - 1e-6 * v for p, v in zip(phases, along, strict=True)))
    for got, a, b in zip(slope, high, low, strict=True):
        torch.testing.assert_close(got, (a - b) / 2e-6, atol=1e-5, rtol=1e-4)


def test_threads_do_not_disturb_each_other():
    """Inspected and run in four threads at once, through stages that are not affine."""
    network, taps, x = seeded(lambda: plain(nn.MaxPool2d)), ["1", "5", "8"], rand(2, *IMAGE)

    def run(_):
        own = copy.deepcopy(network)
        waves = PhaseModulated(own, taps)
        phases = phases_for(waves.inspect(own, x[:1])[0], 2)
        with torch.no_grad():
            return [passed(own, waves, x, phases, [0.0, 0.9, 0.5]) for _ in range(5)][-1]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(run, range(16))
    for other in others:
        close(other, first)
