import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import neurodyn as nd
from neurodyn.models.continuous_rnn import ContinuousRNN
from neurodyn.models.grammar_gradients import gradient, outputs, packed, prepared
from neurodyn.models.grammar_nets import (
    BUDGETS,
    FAMILIES,
    GrammarNets,
    encode,
    initial,
    parameter_count,
    shapes,
    width_for,
)

LAYERS = (2, 3, 4, 5, 7, 10)


def make(family, nets=3, layers=2, width=5, letters=3, max_length=6, dtype=torch.float64, **more):
    seeds = list(range(nets))
    size = {"layers": layers, "width": width, "letters": letters, "max_length": max_length}
    return GrammarNets(family, seeds=seeds, **size, **more).to(dtype)


def strings(draw, n, longest=6, letters="ABC"):
    return ["".join(draw.choice(list(letters), draw.integers(1, longest + 1))) for _ in range(n)]


def coded(seed, sets, n, longest=6, dtype=torch.float64):
    draw = np.random.default_rng(seed)
    return torch.stack([encode(strings(draw, n, longest), "ABC", 6) for _ in range(sets)]).to(dtype)


# Widths and counts. The oracle is the published table and the closed formulas.


@pytest.mark.parametrize(
    "family, letters, budget, widths",
    [
        ("recurrent", 4, 31_000, (100, 78, 66, 58, 48, 40)),
        ("recurrent", 4, 1400, (20, 16, 13, 12, 10, 8)),
        ("feedforward", 4, 31_000, (152, 112, 93, 82, 67, 55)),
        ("feedforward", 5, 31_000, (147, 110, 91, 80, 66, 55)),
        ("feedforward", 10, 31_000, (125, 97, 83, 74, 62, 52)),
        ("feedforward", 4, 1400, (20, 16, 14, 13, 11, 10)),
        ("feedforward", 4, 7900, (67, 51, 43, 38, 32, 27)),
        ("feedforward", 4, 122_000, (325, 234, 193, 168, 138, 113)),
    ],
)
def test_the_widths_are_those_of_the_table(family, letters, budget, widths):
    assert tuple(width_for(family, n, budget, letters, 12) for n in LAYERS) == widths


def test_two_recurrent_layers_give_the_published_budgets():
    ranges = [(1341, 1461), (7851, 8151), (30_701, 31_301), (121_401, 122_601)]
    for n, ends in zip((20, 50, 100, 200), ranges, strict=True):
        assert tuple(parameter_count("recurrent", 2, n, k, 12) for k in (4, 10)) == ends


@given(layers=st.integers(1, 12), n=st.integers(1, 90), k=st.integers(1, 12), t=st.integers(1, 14))
def test_counts_follow_the_formulas(layers, n, k, t):
    rr = (k * n + n * n + n) + (layers - 1) * (2 * n * n + n) + (n + 1)
    ff = (t * k * n + n) + (layers - 1) * (n * n + n) + (n + 1)
    assert parameter_count("recurrent", layers, n, k, t) == rr
    assert parameter_count("continuous", layers, n, k, t) == rr
    assert parameter_count("feedforward", layers, n, k, t) == ff
    assert parameter_count("lstm", layers, n, k, t) == 4 * (rr - n - 1) + n + 1
    for family, count in (("recurrent", rr), ("feedforward", ff)):
        assert width_for(family, layers, count, k, t) == n


@given(family=st.sampled_from(FAMILIES), layers=st.integers(1, 10), budget=st.integers(600, 9000))
def test_no_other_width_is_nearer_to_the_budget(family, layers, budget):
    distance = [abs(parameter_count(family, layers, n, 5, 12) - budget) for n in range(1, 160)]
    assert width_for(family, layers, budget, 5, 12) == 1 + int(np.argmin(distance))


def test_the_networks_hold_as_many_weights_as_are_counted():
    for family in FAMILIES:
        size = {"layers": 3, "width": 7, "letters": 4, "max_length": 9}
        nets = GrammarNets(family, seeds=[3, 3, 5], **size)
        assert nets.flat.numel() == 3 * parameter_count(family, **size)


# Initial weights.


def test_weights_begin_as_keras_does():
    of = shapes("lstm", 2, 30, 4, 12)
    found = initial("lstm", of, seed=4)
    for layer, below in enumerate((4, 30)):
        kernel = found[f"kernel{layer}"]
        limit = (6 / (below + 120)) ** 0.5
        assert limit * 0.9 < kernel.abs().max() <= limit
        assert abs(kernel.std() - limit / 3**0.5) < 0.1 * limit
        recurrent = found[f"recurrent{layer}"]
        torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(30), atol=1e-5, rtol=0)
        assert found[f"bias{layer}"].tolist() == [0.0] * 30 + [1.0] * 30 + [0.0] * 60
    square = initial("recurrent", shapes("recurrent", 1, 20, 4, 12), seed=0)["recurrent0"]
    torch.testing.assert_close(square.T @ square, torch.eye(20), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_does_not_depend_on_its_stack(family):
    size = {"layers": 2, "width": 6, "letters": 3, "max_length": 6}
    many = GrammarNets(family, seeds=[7, 1, 7, 2], **size)
    one = GrammarNets(family, seeds=[2], **size)
    for name, weight in one.weights().items():
        assert torch.equal(many.weights()[name][3], weight[0])
        assert torch.equal(many.weights()[name][0], many.weights()[name][2])
    x = coded(0, 4, 5, dtype=torch.float32)
    torch.testing.assert_close(many(x)[3], one(x[3:])[0], atol=1e-6, rtol=0)


# Outputs, against torch's own layers and loops written out.


def loop(weights, layers, string, alphabet="ABC"):
    """The recurrent network, letter by letter."""
    h = [torch.zeros(weights["bias0"].shape, dtype=torch.float64) for _ in range(layers)]
    for letter in string:
        below = torch.zeros(len(alphabet), dtype=torch.float64)
        below[alphabet.index(letter)] = 1
        for n in range(layers):
            z = (
                below @ weights[f"kernel{n}"]
                + h[n] @ weights[f"recurrent{n}"]
                + weights[f"bias{n}"]
            )
            h[n] = below = torch.tanh(z)
    return torch.sigmoid(below @ weights["kernel"][:, 0] + weights["bias"][0])


@given(seed=st.integers(0, 99), layers=st.integers(1, 3), width=st.integers(1, 6))
def test_recurrent_networks_equal_a_loop_over_letters(seed, layers, width):
    nets = make("recurrent", layers=layers, width=width)
    nets.flat.data += 0.1 * torch.randn(
        nets.flat.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    draw = np.random.default_rng(seed)
    own = [strings(draw, 4) for _ in range(3)]
    x = torch.stack([encode(some, "ABC", 6) for some in own]).double()
    for output in (nets(x), outputs(nets, x, torch.arange(3))):
        for n, some in enumerate(own):
            weights = {name: w[n] for name, w in nets.weights().items()}
            expected = torch.stack([loop(weights, layers, string) for string in some])
            torch.testing.assert_close(output[n], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "family, layer", [("lstm", nn.LSTM), ("gru", nn.GRU), ("recurrent", nn.RNN)]
)
def test_gated_networks_equal_those_of_torch(family, layer):
    nets = make(family, nets=2, layers=2)
    nets.flat.data.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    x = coded(3, 2, 6)
    for n in range(2):
        own = {name: w[n].detach() for name, w in nets.weights().items()}
        peer = layer(3, 5, num_layers=2, batch_first=True).double()
        with torch.no_grad():
            for k in range(2):
                getattr(peer, f"weight_ih_l{k}").copy_(own[f"kernel{k}"].T)
                getattr(peer, f"weight_hh_l{k}").copy_(own[f"recurrent{k}"].T)
                getattr(peer, f"bias_ih_l{k}").copy_(own[f"bias{k}"])
                back = own.get(f"recurrent_bias{k}", torch.zeros_like(own[f"bias{k}"]))
                getattr(peer, f"bias_hh_l{k}").copy_(back)
            for i, string in enumerate(x[n]):
                length = int(string.sum())
                top = peer(string[None, :length])[0][0, -1]
                expected = (top @ own["kernel"][:, 0] + own["bias"][0]).sigmoid()
                torch.testing.assert_close(nets(x)[n, i], expected, atol=1e-12, rtol=0)


def test_feedforward_networks_equal_torch_linear_layers():
    nets, x = make("feedforward", nets=2, layers=3), coded(5, 2, 7)
    for n in range(2):
        own = {name: w[n].detach() for name, w in nets.weights().items()}
        h = x[n].reshape(7, 18)
        for k in range(3):
            h = nn.functional.linear(h, own[f"kernel{k}"].T, own[f"bias{k}"]).relu()
        expected = nn.functional.linear(h, own["kernel"].T, own["bias"])[:, 0].sigmoid()
        torch.testing.assert_close(nets(x)[n], expected, atol=1e-12, rtol=0)


# Continuous time.


@pytest.mark.parametrize(
    "layers, update", [(1, "simultaneous"), (1, "sequential"), (3, "sequential")]
)
def test_eulers_unit_step_is_the_discrete_network(layers, update):
    discrete = make("recurrent", layers=layers, dtype=torch.float32)
    draw = np.random.default_rng(0)
    code = encode([s.ljust(6, "A")[:6] for s in strings(draw, 4)], "ABC", 6)
    film = nd.Film(
        code.permute(1, 0, 2)[:, :, None].expand(6, 4, 3, 3), [float(t) for t in range(6)]
    )
    run = nd.integrate(
        ContinuousRNN(discrete, update=update), film, [0.0, 6.0], method="euler", record="readout"
    )
    expected = discrete(code.expand(3, -1, -1, -1))
    torch.testing.assert_close(run.readout[-1].T, expected, atol=1e-6, rtol=0)


def test_the_step_of_one_continuous_layer_trains_as_the_discrete_network():
    continuous = make("continuous", layers=1, method="euler", step_size=1.0)
    discrete = make("recurrent", layers=1)
    x = coded(1, 3, 4)
    a, b = continuous(x), discrete(x)
    torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
    (ga,) = torch.autograd.grad(a.square().sum(), continuous.flat)
    (gb,) = torch.autograd.grad(b.square().sum(), discrete.flat)
    torch.testing.assert_close(ga, gb, atol=1e-12, rtol=0)


def test_an_uncoupled_unit_relaxes_exponentially():
    nets = make("continuous", nets=1, layers=1, width=1, method="dopri5", step_size=None)
    with torch.no_grad():
        nets.weights()["recurrent0"].zero_()
        nets.weights()["kernel0"][0, :, 0] = torch.tensor([1.0, 0.0, -1.0])
    h = torch.zeros(())
    for target in (np.tanh(1.0), np.tanh(-1.0), 0.0):  # the letters A, C, B
        h = target + (h - target) * np.exp(-1.0)
    run = nd.integrate(
        ContinuousRNN(nets), nd.Film(
            encode(["ACB"], "ABC", 3).double()[0][:, None, None], [0.0, 1.0, 2.0]
        ), [0.0, 3.0], rtol=1e-8, atol=1e-10, record="layer1",
    )  # fmt: skip
    assert abs(float(run.states[0][-1].detach()) - float(h)) < 1e-6
    slow = ContinuousRNN(nets, tau=1e6)
    run = nd.integrate(slow, torch.ones(1, 1, 3).double(), [0, 1], gradient="none")
    assert float(run.states[0].abs().max()) < 1e-5


def test_adaptive_steps_are_refused_for_the_discrete_update():
    dynamics = ContinuousRNN(make("recurrent"), update="sequential")
    with pytest.raises(ValueError, match="method='euler' with a step of 1"):
        nd.integrate(dynamics, torch.zeros(2, 3, 3).double(), [0.0, 1.0], method="dopri5")
    with pytest.raises(ValueError, match="tau must be a positive time"):
        ContinuousRNN(make("recurrent"), tau=0.0)
    with pytest.raises(ValueError, match="update 'both' is not one of"):
        ContinuousRNN(make("recurrent"), update="both")
    with pytest.raises(ValueError, match="family 'continuous' or 'recurrent', got 'gru'"):
        ContinuousRNN(make("gru"))
    with pytest.raises(ValueError, match=r"the stimulus must be letters \(sample, 3 nets, 3"):
        nd.integrate(ContinuousRNN(make("recurrent")), torch.zeros(2, 3, 4).double(), [0.0, 1.0])


def test_a_diverged_network_leaves_the_rest_of_its_stack_alone():
    nets, x = make("continuous"), coded(2, 3, 4)
    before = nets(x)
    nets.flat.data[0] = torch.inf
    after = nets(x)
    assert after[0].isnan().all() and torch.equal(after[1:], before[1:])


# Gradients.


@given(
    family=st.sampled_from(("feedforward", "recurrent")), seed=st.integers(0, 99),
    layers=st.integers(1, 3), width=st.integers(1, 6), items=st.integers(1, 8),
    longest=st.integers(1, 6),
)  # fmt: skip
def test_the_written_out_gradient_is_autograds(family, seed, layers, width, items, longest):
    nets = make(family, nets=4, layers=layers, width=width)
    x = coded(seed, 2, items, longest)
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (2, items), generator=draw).double()
    which, scale = torch.tensor([1, 0, 0, 1]), torch.tensor([1.0, 0.5, 3.0, 0.0]).double()
    output = gradient(nets, prepared(nets, x), y, which, scale)
    expected = nets(x[which])
    loss = (scale[:, None] * (expected - y[which]) ** 2).mean(1).sum()
    (found,) = torch.autograd.grad(loss, nets.flat)
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(nets.flat.grad, found, atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_finite_differences(family):
    nets, x = make(family, nets=2, width=3), coded(8, 2, 3)
    draw = torch.Generator().manual_seed(0)  # off the kinks, where biases of zero would leave it
    nets.flat.data += 0.2 * torch.randn(nets.flat.shape, generator=draw, dtype=torch.float64)
    y, which, scale = (
        torch.tensor([[1.0, 0, 1], [0, 0, 1]]).double(),
        torch.arange(2),
        torch.ones(2),
    )
    gradient(nets, prepared(nets, x), y, which, scale.double())
    found = nets.flat.grad.clone()

    def loss():
        return float(((nets(x) - y) ** 2).mean(1).sum())

    with torch.no_grad():
        for i in range(0, nets.flat.numel(), 5):
            up, down = [], []
            for side, h in ((up, 1e-6), (down, -1e-6)):
                nets.flat[i] += h
                side.append(loss())
                nets.flat[i] -= h
            assert abs((up[0] - down[0]) / 2e-6 - float(found[i])) < 1e-7


def test_strings_are_packed_by_time():
    batch = packed(torch.stack([encode(["AB", "B", "CAB"], "ABC", 5), encode(["A"] * 3, "ABC", 5)]))
    assert batch.counts == [3, 2, 1]
    assert batch.end.tolist() == [[4, 2, 5], [0, 1, 2]]
    letters = "".join("ABC"[int(row.argmax())] for row in batch.letters[0])
    assert letters == "CAB" + "AB" + "B"
    assert batch.before.tolist() == [0, 1, 3]


# Refusals.


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="'perceptron' is not one of feedforward, recurrent"):
        shapes("perceptron", 1, 1, 1, 1)
    with pytest.raises(ValueError, match="width must be a whole number from 1 up, got 0"):
        parameter_count("gru", 1, 0, 4, 12)
    with pytest.raises(ValueError, match="whole number of parameters, 8 or more"):
        width_for("recurrent", 1, 5, 4, 12)
    with pytest.raises(ValueError, match="string 'ABAB' has 4 letters; give 1 to max_length=3"):
        encode(["ABAB"], "AB", 3)
    with pytest.raises(ValueError, match="has 0 letters"):
        encode([""], "AB", 3)
    with pytest.raises(ValueError, match="letter 'Q' of string 'AQ' is not in the alphabet A, B"):
        encode(["AQ"], "AB", 3)
    with pytest.raises(ValueError, match="at least one network"):
        GrammarNets("gru", layers=1, width=1, letters=1, max_length=1, seeds=[])


def test_letters_of_several_characters_are_separated_by_spaces():
    code = encode(["bi da", "da"], ("bi", "da"), 2)
    assert code.tolist() == [[[1, 0], [0, 1]], [[0, 1], [0, 0]]]


def test_the_published_budgets_are_listed():
    assert BUDGETS == (1400, 7900, 31_000, 122_000)
