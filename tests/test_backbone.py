"""Any network as stages: against the network itself with forward hooks."""

import copy
import pickle
import threading
from collections import OrderedDict

import pytest
import torch
from torch import nn

from neurodyn.backbone import Backbone, check_evaluation_mode


def through_hooks(network, taps, x, visit):
    """Run the whole network; at tap n go on with visit(n, output). The oracle."""
    modules = dict(network.named_modules())

    def hook(n):
        return lambda module, args, out: visit(n, out.clone()).clone()

    handles = [modules[tap].register_forward_hook(hook(n)) for n, tap in enumerate(taps)]
    try:
        return network(x.clone())
    finally:
        for handle in handles:
            handle.remove()


def plain_taps(network, taps, x):
    seen = []
    through_hooks(network, taps, x, lambda n, out: seen.append(out) or out)
    return seen


def inspected(network, taps, x):
    backbone = Backbone(network, taps)
    backbone.inspect(network, x[:1])
    return backbone


def changed(n, y):
    return torch.cos(y + n)


@pytest.fixture(autouse=True)
def nothing_is_left_on_any_network(monkeypatch):
    """After each test, no module of a network that was inspected has a forward of its own."""
    seen = []
    inspect = Backbone.inspect
    monkeypatch.setattr(
        Backbone, "inspect", lambda self, net, x: seen.append(net) or inspect(self, net, x)
    )
    yield
    for network in seen:
        for module in network.modules():
            own = module.__dict__.get("forward")
            assert own is None or getattr(own, "of_the_users", False)
            assert not module._forward_hooks and not module._forward_pre_hooks


# ---- the same numbers as the network


@torch.no_grad()
def test_inspect_finds_shapes_and_the_output(made_network):
    network, taps, x = made_network()
    shapes, output = Backbone(network, taps).inspect(network, x)
    assert shapes == [y.shape[1:] for y in plain_taps(network, taps, x)]
    assert torch.equal(output, network(x.clone()))


@torch.no_grad()
def test_sweep_without_change_is_the_forward_pass(made_network):
    network, taps, x = made_network()
    backbone = inspected(network, taps, x)
    drive = backbone.drive(network, x)
    seen = []
    backbone.sweep(network, drive, lambda n, y: seen.append(y) or y)
    for got, wanted in zip(seen, plain_taps(network, taps, x), strict=True):
        assert torch.equal(got, wanted)
    assert torch.equal(backbone.head(network, drive, tuple(seen)), network(x.clone()))


@torch.no_grad()
def test_sweep_goes_on_with_what_the_visit_returns(made_network):
    network, taps, x = made_network()
    backbone = inspected(network, taps, x)
    drive = backbone.drive(network, x)
    for _ in range(2):  # a drive may be used again
        seen, wanted = [], []

        def visit(n, y, seen=seen):
            seen.append(y.clone())
            return changed(n, y)

        def expected(n, y, wanted=wanted):
            wanted.append(y)
            return changed(n, y)

        backbone.sweep(network, drive, visit)
        output = through_hooks(network, taps, x, expected)
        for a, b in zip(seen, wanted, strict=True):
            torch.testing.assert_close(a, b)
        state = tuple(changed(n, y) for n, y in enumerate(seen))
        torch.testing.assert_close(backbone.head(network, drive, state), output)


@torch.no_grad()
def test_head_takes_the_states_in_the_taps_places(made_network):
    network, taps, x = made_network()
    backbone = inspected(network, taps, x)
    drive = backbone.drive(network, x)
    state = tuple(torch.sin(7 * y) for y in plain_taps(network, taps, x))
    wanted = through_hooks(network, taps, x, lambda n, y: state[n])
    torch.testing.assert_close(backbone.head(network, drive, state), wanted)


@torch.no_grad()
def test_nothing_that_is_handed_over_is_changed(made_network):
    network, taps, x = made_network()
    before = x.clone()
    backbone = inspected(network, taps, x)
    drive = backbone.drive(network, x)
    kept = {key: value.clone() for key, value in drive.items()}
    state = tuple(torch.sin(7 * y) for y in plain_taps(network, taps, x))
    states = [y.clone() for y in state]
    backbone.sweep(network, drive, lambda n, y: state[n])
    backbone.head(network, drive, state)
    assert torch.equal(x, before)
    assert all(torch.equal(drive[key], value) for key, value in kept.items())
    assert all(torch.equal(a, b) for a, b in zip(state, states, strict=True))


def test_gradients_flow_to_weights_below_between_and_above(made_network):
    """Through drive, sweep and head: the same as through the network."""
    network, taps, x = made_network(dtype=torch.float64)
    x.requires_grad_()
    backbone = inspected(network, taps, x)

    def ours():
        drive = backbone.drive(network, x)
        state = []

        def visit(n, y):
            state.append(changed(n, y))
            return state[n]

        backbone.sweep(network, drive, visit)
        return backbone.head(network, drive, tuple(state))

    wanted = through_hooks(network, taps, x, changed)
    leaves = [x, *network.parameters()]
    got = torch.autograd.grad(ours().sin().sum(), leaves, allow_unused=True)
    for a, b in zip(
        got, torch.autograd.grad(wanted.sin().sum(), leaves, allow_unused=True), strict=True
    ):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


def test_copies_work_with_the_same_backbone(made_network):
    network, taps, x = made_network()
    backbone = inspected(network, taps, x)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        again = pickle.loads(pickle.dumps(copy.deepcopy(backbone)))
        drive = again.drive(twin, x)
        seen = []
        again.sweep(twin, drive, lambda n, y, seen=seen: seen.append(y) or y)
        assert torch.equal(again.head(twin, drive, tuple(seen)), network(x.clone()))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's, in attention
def test_vmap_over_samples_is_the_batch(made_network):
    network, taps, x = made_network(dtype=torch.float64)
    backbone = inspected(network, taps, x)

    def whole(x):
        drive = backbone.drive(network, x)
        state = []
        backbone.sweep(network, drive, lambda n, y: state.append(changed(n, y)) or changed(n, y))
        return backbone.head(network, drive, tuple(state))

    alone = torch.func.vmap(lambda one: whole(one[None])[0])(x)
    torch.testing.assert_close(alone, whole(x))


# ---- what is below runs once, what is above not at all


class Called(nn.Module):
    """A layer that counts its calls."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.calls = layer, 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x)


def test_each_pass_runs_only_its_own_stages():
    layers = [Called(nn.Linear(4, 4)) for _ in range(6)]
    network = nn.Sequential(*layers)
    x = torch.rand(2, 4)
    backbone = inspected(network, ["1", "3"], x)

    def calls(run):
        for layer in layers:
            layer.calls = 0
        run()
        return [layer.calls for layer in layers]

    drive = backbone.drive(network, x)
    state = torch.rand(2, 4), torch.rand(2, 4)
    assert calls(lambda: backbone.drive(network, x)) == [1, 1, 0, 0, 0, 0]
    assert calls(lambda: backbone.sweep(network, drive, lambda n, _: state[n])) == [
        0, 0, 1, 1, 0, 0,
    ]  # fmt: skip
    above = calls(lambda: backbone.head(network, drive, state))
    assert above[:2] == [0, 0] and above[3:] == [0, 1, 1]


def test_a_plain_call_of_the_network_is_a_plain_call():
    network = nn.Sequential(Called(nn.Linear(4, 4)), nn.Linear(4, 4), nn.Linear(4, 4))
    x = torch.rand(2, 4)
    wanted = network(x)
    backbone = inspected(network, ["1"], x)
    backbone.drive(network, x + 1)
    assert torch.equal(network(x), wanted)


def test_an_own_forward_of_the_users_is_used_and_kept():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))

    def doubled(x):
        return 2 * x

    doubled.of_the_users = True
    network[0].forward = doubled
    network[2].forward = doubled
    x = torch.rand(2, 4)
    backbone = inspected(network, ["1"], x)
    drive = backbone.drive(network, x)
    assert torch.equal(drive["feedforward"], network[1](2 * x))
    state = (torch.rand(2, 4),)
    assert torch.equal(backbone.head(network, drive, state), 2 * state[0])
    assert network[0].forward is doubled and network[2].forward is doubled


def test_everything_is_restored_after_an_error():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    x = torch.rand(2, 4)
    wanted = network(x)
    backbone = inspected(network, ["0", "1"], x)
    drive = backbone.drive(network, x)

    def fails(n, y):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        backbone.sweep(network, drive, fails)
    with pytest.raises(RuntimeError):
        backbone.drive(network, torch.rand(2, 9))
    assert torch.equal(network(x), wanted)


def test_a_pass_within_a_pass():
    """The visit of one network may run another pass of the same network."""
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh())
    x, other = torch.rand(2, 4), torch.rand(2, 4)
    backbone = inspected(network, ["0", "2"], x)
    drive, inner = backbone.drive(network, x), backbone.drive(network, other)
    state = tuple(plain_taps(network, ["0", "2"], other))
    seen = []

    def visit(n, y):
        assert torch.equal(backbone.head(network, inner, state), network_of(other))
        seen.append(y)
        return y

    def network_of(x):
        return torch.tanh(network[2].__class__.forward(network[2], torch.tanh(first(x))))

    def first(x):
        return nn.functional.linear(x, network[0].weight, network[0].bias)

    backbone.sweep(network, drive, visit)
    assert all(
        torch.equal(a, b) for a, b in zip(seen, plain_taps(network, ["0", "2"], x), strict=True)
    )


def test_threads_wait_for_each_other(made_network):
    network, taps, x = made_network()
    backbone = inspected(network, taps, x)
    stimuli = [x + 0.1 * i for i in range(4)]
    with torch.no_grad():  # attention takes another path under grad mode
        wanted = [network(one.clone()) for one in stimuli]
    wrong = []

    def work(one, output):
        with torch.no_grad():
            for _ in range(5):
                drive = backbone.drive(network, one)
                seen = []
                backbone.sweep(network, drive, lambda n, y, seen=seen: seen.append(y) or y)
                if not torch.equal(backbone.head(network, drive, tuple(seen)), output):
                    wrong.append(one)

    threads = [threading.Thread(target=work, args=a) for a in zip(stimuli, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- networks that are hard to take apart


def works_like_hooks(network, taps, x, clean=None):
    """Check a whole pass with changed values against hooks on a network that is free of tricks."""
    clean = clean or network
    before = x.clone()
    backbone = inspected(network, taps, x)
    drive = backbone.drive(network, x)
    for _ in range(2):
        seen, wanted = [], []

        def visit(n, y, seen=seen):
            seen.append(y.clone())
            return changed(n, y)

        def expected(n, y, wanted=wanted):
            wanted.append(y)
            return changed(n, y)

        backbone.sweep(network, drive, visit)
        output = through_hooks(clean, taps, before, expected)
        for a, b in zip(seen, wanted, strict=True):
            torch.testing.assert_close(a, b)
        state = tuple(changed(n, y) for n, y in enumerate(seen))
        torch.testing.assert_close(backbone.head(network, drive, state), output)
    assert torch.equal(x, before) and torch.equal(drive["stimulus"], before)


def written(forward, **modules):
    """Return a network with these modules and this forward."""

    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            for name, module in modules.items():
                setattr(self, name, module)

    Written.forward = forward
    return Written().eval()


def linears(*names):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: nn.Linear(4, 4) for name in names}


X = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))


def test_an_inplace_module_after_a_tap_changes_nothing():
    layers = linears("a", "b", "c")

    def network(inplace):
        return nn.Sequential(
            layers["a"], nn.ReLU(inplace), layers["b"], nn.ReLU(inplace), layers["c"]
        ).eval()

    for taps in (["0", "2"], ["1", "3"], ["2"], ["0", "1", "2", "3"]):
        works_like_hooks(network(True), taps, X, clean=network(False))


def test_an_inplace_tap_of_a_plain_stack_hides_nothing_below():
    """In place, a tap returns the very tensor it was given; that is no skip around the tap."""
    layers = linears("a", "b", "c")
    network = nn.Sequential(layers["a"], nn.ReLU(True), layers["b"], nn.ReLU(True), layers["c"])
    backbone = inspected(network, ["1", "3"], X)
    assert backbone.head_alone is not None and not backbone.needs_below
    drive = backbone.drive(network, X)
    with torch.no_grad():
        state = (torch.rand(3, 4), torch.rand(3, 4))
        assert torch.equal(backbone.head(network, drive, state), layers["c"](state[-1]))


def test_an_inplace_operation_on_what_a_module_of_the_stem_returned():
    def forward(self, x):
        return self.c(self.b(nn.functional.relu_(self.a(x))))

    works_like_hooks(written(forward, **linears("a", "b", "c")), ["b", "c"], X)


def test_an_inplace_module_after_the_stem_was_read():
    """The gate saw the values before the rectifier; it must do so at every pass."""
    layers = linears("a", "b", "c")

    def forward(self, x):
        x = self.a(x)
        gate = torch.sigmoid(x.sum(1, keepdim=True))
        return self.c(self.b(self.act(x)) * gate)

    works_like_hooks(
        written(forward, act=nn.ReLU(inplace=True), **layers), ["b", "c"], X,
        clean=written(forward, act=nn.ReLU(), **layers),
    )  # fmt: skip


def test_an_inplace_operation_on_the_stimulus_itself():
    layers = linears("a", "b")

    def inplace(self, x):
        x -= 0.5
        return self.b(self.a(x))

    def clean(self, x):
        return self.b(self.a(x - 0.5))

    works_like_hooks(written(inplace, **layers), ["a", "b"], X, clean=written(clean, **layers))


def test_a_skip_from_the_stimulus_past_the_taps():
    def forward(self, x):
        return self.c(self.b(self.a(x)) + x)

    works_like_hooks(written(forward, **linears("a", "b", "c")), ["a", "b"], X)


def test_an_inplace_sum_over_a_tap():
    layers = linears("a", "b", "c")

    def inplace(self, x):
        y = self.a(x)
        y += self.b(y)
        y *= 2
        return self.c(y)

    def clean(self, x):
        y = self.a(x)
        return self.c(2 * (y + self.b(y)))

    works_like_hooks(written(inplace, **layers), ["a", "b"], X, clean=written(clean, **layers))


def test_a_module_that_is_shared_below_and_above():
    def forward(self, x):
        below = self.shared(self.shared(x) + 1)
        return self.shared(self.b(self.shared(self.a(below)))) + below

    works_like_hooks(written(forward, **linears("shared", "a", "b")), ["a", "b"], X)

    def inside_and_out(self, x):
        return self.b(self.a(self.shared(self.stem(x))))

    layers = linears("shared", "a", "b")
    network = written(inside_and_out, stem=nn.Sequential(layers["shared"], nn.Tanh()), **layers)
    works_like_hooks(network, ["a", "b"], X)
    drive = inspected(network, ["a", "b"], X).drive(network, X)
    assert len(drive) == 4, "stimulus, feed-forward, and the two that are outermost below"


def test_a_container_below_that_returns_several_tensors():
    inner = linears("u", "v")

    def pair(self, x):
        return self.u(x), torch.tanh(self.v(x))

    def forward(self, x):
        u, v = self.stem(x)
        return self.b(self.a(u) * v) + v

    works_like_hooks(
        written(forward, stem=written(pair, **inner), **linears("a", "b")), ["a", "b"], X
    )


class Winner(nn.Module):
    """Returns whole numbers."""

    def forward(self, x):
        return x.argmax(1)


def test_a_module_below_that_returns_whole_numbers():
    def forward(self, x):
        x = self.stem(x)
        which = self.winner(x)
        return self.b(self.a(x)) * (1 + which[:, None])

    layers = linears("stem", "a", "b")
    works_like_hooks(written(forward, winner=Winner(), **layers), ["a", "b"], X)


def test_a_skip_that_matters_for_some_stimuli_only():
    """What one stimulus shows of a network must not decide for all."""
    layers = linears("stem", "a", "b")
    with torch.no_grad():
        below = layers["stem"](X)
        limit = below.max(1).values.min().item()
    first = X[below.max(1).values.argmin()][None]  # nowhere above the limit; the others are

    def compared(self, x):
        below = self.stem(x)
        return self.b(self.a(below)) + (below > limit).to(x)

    def rectified(self, x):
        below = self.stem(x)
        return self.b(self.a(below)) + nn.functional.relu(below - limit)

    def masked(self, x):
        below = self.stem(x)
        empty = (below == 0).all(1, keepdim=True)
        return self.b(self.a(below)).masked_fill(empty, 9.0)

    def branching(self, x):
        below = self.stem(x)
        y = self.a(below)
        return self.b(y) if below.max() > limit else self.b(-y)

    def decided_below(self, x):
        below = self.stem(x)
        sign = 1 if below.max() > limit else -1
        return self.b(sign * self.a(below))

    for forward in (compared, rectified, masked, branching, decided_below):
        works_like_hooks(written(forward, **layers), ["a", "b"], torch.cat([first, X]))


def test_modules_below_whose_first_axis_is_not_the_sample():
    """A table of positions, a layer with time first, and one with time folded into samples."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        position = nn.Embedding(5, 4)

    def forward(self, x):
        samples = len(x)
        x = self.stem(x)[:, None] + self.position(torch.arange(5))
        x = (self.mix(x.transpose(0, 1)) + self.position(torch.arange(5))[:, None]).transpose(0, 1)
        x = self.fold(x.reshape(samples * 5, 4)).reshape(samples, 5, 4)
        return self.b(self.a(x)).mean(1)

    network = written(forward, position=position, **linears("stem", "mix", "fold", "a", "b"))
    works_like_hooks(network, ["a", "b"], X)
    works_like_hooks(network, ["b"], X)


def test_hooks_of_the_users_run():
    network = nn.Sequential(*linears("a", "b", "c").values()).eval()
    network[1].register_forward_hook(lambda module, args, out: out + 1)
    backbone = Backbone(network, ["1", "2"])
    backbone.inspect(network, X[:1])
    drive = backbone.drive(network, X)
    seen = []
    backbone.sweep(network, drive, lambda n, y: seen.append(y) or y)
    assert torch.equal(backbone.head(network, drive, tuple(seen)), network(X))
    network[1]._forward_hooks.clear()


# ---- what is refused


@pytest.mark.parametrize(
    ("taps", "words"),
    [
        ([], "taps must.*list or mapping.*got"),
        ("layer1", "taps must.*list or mapping.*got 'layer1'"),
        ({}, "taps must.*list or mapping.*got"),
        (["layr1.conv1"], r"no module 'layr1.conv1'.*did you mean layer1.conv1.*All names: stem"),
        (["layer1", "layer1"], "each module can be tapped once, got layer1, layer1"),
        ({"low": nn.ReLU()}, "tap 'low' is a ReLU that is not a part of the network; its modules"),
        ([""], "no module ''"),
    ],
)
def test_wrong_names_are_refused(taps, words):
    layer = nn.Sequential(OrderedDict(conv1=nn.Linear(4, 4), conv2=nn.Linear(4, 4)))
    network = nn.Sequential(OrderedDict(stem=nn.Linear(4, 4), layer1=layer))
    with pytest.raises(ValueError, match=words):
        Backbone(network, taps)


def test_taps_may_be_named():
    network = nn.Sequential(*linears("a", "b", "c").values())
    backbone = Backbone(network, {"low": "0", "high": network[2]})
    assert backbone.names == ["low", "high"] and backbone.modules == ["0", "2"]
    assert Backbone(network, ["0", "2"]).names == ["0", "2"]


def refused(network, taps, error, words, x=X):
    with pytest.raises(error, match=words):
        inspected(network, taps, x)


def test_networks_that_cannot_be_tapped_are_refused():
    layers = linears("a", "b", "c")

    def twice(self, x):
        return self.b(self.a(self.a(x)))

    def never(self, x):
        return self.b(x)

    def several(self, x):
        return self.a(x), self.b(x)

    refused(written(twice, **layers), ["a", "b"], ValueError, "'a' is called 2 times.*exactly once")
    refused(written(twice, **layers), ["b", "a"], ValueError, "'a' is called 2 times")
    refused(written(never, **layers), ["a", "b"], ValueError, "'a' is called 0 times")
    refused(
        nn.Sequential(*layers.values()), ["2", "0"], ValueError,
        "in the order they are computed: 0, 2; got 2, 0",
    )  # fmt: skip
    refused(written(several, **layers), ["a"], TypeError, "network returns tuple, not one tensor")
    lstm = nn.Sequential(nn.LSTM(4, 4))
    refused(lstm, ["0"], TypeError, "'0' returns tuple, not one tensor; tap a module inside")


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(4), nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.RReLU(),
        nn.SyncBatchNorm(4), nn.MultiheadAttention(4, 2, dropout=0.5),
        nn.LSTM(4, 4, num_layers=2, dropout=0.5),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_training_mode_is_refused_where_it_matters(layer):
    network = nn.Sequential(nn.Linear(4, 4), layer)
    network.train()
    with pytest.raises(ValueError, match=r"'1' is in training mode.*Call .eval\(\)"):
        check_evaluation_mode(network)
    check_evaluation_mode(network.eval())


def test_training_mode_is_allowed_where_it_does_not_matter():
    network = nn.Sequential(
        nn.Linear(4, 4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.Dropout(0.0), nn.ReLU(),
        nn.MultiheadAttention(4, 2), nn.InstanceNorm1d(4),
    )  # fmt: skip
    check_evaluation_mode(network.train())


# ---- what would go wrong in a backward pass, in another thread, or after a change of mode


class Recomputing(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))
        self.reentrant = reentrant

    def forward(self, x):
        x = self.a(x)
        inside = nn.Sequential(self.b, nn.Tanh())
        x = torch.utils.checkpoint.checkpoint(inside, x, use_reentrant=self.reentrant)
        return self.c(x)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [True, False])
def test_taps_within_activation_checkpointing_are_refused(reentrant):
    network = Recomputing(reentrant)
    with pytest.raises(ValueError, match="activation checkpointing"):
        inspected(network, ["a", "b"], X)
    inspected(network, ["a"], X)


def test_a_network_that_runs_without_gradients_can_be_tapped():
    layers = linears("a", "b")

    @torch.no_grad()
    def forward(self, x):
        return self.b(self.a(x))

    works_like_hooks(written(forward, **layers), ["a"], X)


def test_plain_calls_in_another_thread_go_past_the_wrappers():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    wanted = network(X)
    backbone = inspected(network, ["0", "1"], X)
    drive = backbone.drive(network, X)
    seen = []

    def visit(n, y):
        other = threading.Thread(target=lambda: seen.append(network(X)))
        other.start()
        other.join()
        return y + 1

    backbone.sweep(network, drive, visit)
    assert len(seen) == 2 and all(torch.equal(one, wanted) for one in seen)


def test_networks_that_share_a_module_wait_for_each_other():
    inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    networks = [nn.Sequential(inner, nn.Linear(4, 4)) for _ in range(2)]
    backbones = [inspected(network, ["0.0", "0.1"], X) for network in networks]
    stimuli = [X, X + 1]
    wanted = [plain_taps(n, ["0.0", "0.1"], x) for n, x in zip(networks, stimuli, strict=True)]
    wrong = []

    def work(k):
        for _ in range(40):
            drive = backbones[k].drive(networks[k], stimuli[k])
            seen = []
            backbones[k].sweep(networks[k], drive, lambda n, y, seen=seen: seen.append(y) or y)
            if not all(torch.equal(a, b) for a, b in zip(seen, wanted[k], strict=True)):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not any("forward" in m.__dict__ for n in networks for m in n.modules())
