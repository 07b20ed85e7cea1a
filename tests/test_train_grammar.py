import json

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurodyn.models.chunk_learners import ChunkLearner, ExemplarLearner
from neurodyn.models.grammar_lessons import alphabet_of, bounds, presentation
from neurodyn.models.grammar_nets import FAMILIES, encode, initial, shapes
from neurodyn.models.grammar_optimisers import flushed, learning_rates
from neurodyn.models.train_grammar import stacks, train_baseline, train_nets
from neurodyn.models.yoke_grammar import yoked
from neurodyn.stimuli.grammar import grammar
from neurodyn.stimuli.grammar_items import stimulus_set

RATE = {"feedforward": 0.1} | dict.fromkeys(FAMILIES[1:], 3e-3)


def items(seed, train=32, test=10, longest=6):
    """A language over A, B, C: strings that begin as they end."""
    draw = np.random.default_rng(seed)
    strings, right = [], []
    for k in range(train + test):
        string = "".join(draw.choice(list("ABC"), draw.integers(2, longest + 1)))
        right.append(k % 2 == 0)
        last = string[0] if right[-1] else draw.choice(sorted(set("ABC") - {string[0]}))
        strings.append(string[:-1] + last)
    return xr.Dataset(
        {
            "string": ("item", np.array(strings)),
            "grammatical": ("item", right),
            "split": ("item", ["train"] * train + ["test"] * test),
            "length": ("item", [len(string) for string in strings]),
        },
        attrs={"alphabet": json.dumps(list("ABC")), "grammar": "ends"},
    )


class Plain(nn.Module):
    """One network as one would write it with torch's layers."""

    def __init__(self, family, layers, width, seed):
        super().__init__()
        self.family = family
        weights = initial(family, shapes(family, layers, width, 3, 12), seed)
        self.out = nn.Linear(width, 1)
        pairs = [(self.out.weight, weights["kernel"].T), (self.out.bias, weights["bias"])]
        if family == "feedforward":
            sizes = [36, *[width] * layers]
            self.body = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))  # noqa: B905
            for k, layer in enumerate(self.body):
                pairs += [
                    (layer.weight, weights[f"kernel{k}"].T),
                    (layer.bias, weights[f"bias{k}"]),
                ]
        else:
            kind = {"lstm": nn.LSTM, "gru": nn.GRU}.get(family, nn.RNN)
            self.body = kind(3, width, num_layers=layers, batch_first=True)
            for k in range(layers):
                own = {"weight_ih": "kernel", "weight_hh": "recurrent", "bias_ih": "bias"}
                for theirs, ours in own.items():
                    weight = weights[f"{ours}{k}"]
                    weight = weight.T if weight.ndim == 2 else weight
                    pairs.append((getattr(self.body, f"{theirs}_l{k}"), weight))
                back = getattr(self.body, f"bias_hh_l{k}")
                pairs.append((back, weights.get(f"recurrent_bias{k}", torch.zeros_like(back))))
                if family != "gru":
                    back.requires_grad_(False)
        with torch.no_grad():
            for theirs, ours in pairs:
                theirs.copy_(ours)

    def forward(self, x):
        length = x.sum((1, 2)).long()
        if self.family == "feedforward":
            h = x.flatten(1)
            for layer in self.body:
                h = layer(h).relu()
        elif self.family == "continuous":
            h = self.three_eighths_rule(x, length)
        else:
            h = self.body(x)[0][torch.arange(len(x)), length - 1]
        return self.out(h)[:, 0].sigmoid()

    def three_eighths_rule(self, x, length, step=0.5):
        """Return what the leaky units of one layer reach, by four slopes a step."""
        b = self.body

        def slope(h, letter):
            z = letter @ b.weight_ih_l0.T + h @ b.weight_hh_l0.T + b.bias_ih_l0
            return z.tanh() - h

        h, seen = x.new_zeros(len(x), b.hidden_size), []
        for letter in x.unbind(1):
            for _ in range(round(1 / step)):
                k1 = slope(h, letter)
                k2 = slope(h + step / 3 * k1, letter)
                k3 = slope(h + step * (k2 - k1 / 3), letter)
                k4 = slope(h + step * (k1 - k2 + k3), letter)
                h = h + step / 8 * (k1 + 3 * k2 + 3 * k3 + k4)
            seen.append(h)
        return torch.stack(seen, 1)[torch.arange(len(x)), length - 1]


class Alone:
    """The training of one network by autograd and torch's optimisers."""

    def __init__(self, family, layers, width, seed, rate):
        self.net = Plain(family, layers, width, seed)
        weights = [p for p in self.net.parameters() if p.requires_grad]
        if family == "feedforward":
            self.rule = torch.optim.SGD(weights, rate, momentum=0.9, nesterov=True)
            decay = torch.optim.lr_scheduler.LambdaLR(self.rule, lambda step: 1 / (1 + 1e-6 * step))
        else:
            self.rule = torch.optim.RMSprop(weights, rate, alpha=0.9, eps=1e-8)
            decay = None
        self.decay = decay

    def step(self, x, y):
        self.rule.zero_grad()
        nn.functional.mse_loss(self.net(x), y).backward()
        self.rule.step()
        if self.decay:
            self.decay.step()

    @torch.no_grad()
    def answer(self, strings):
        return self.net(encode(list(strings), "ABC", 12)).numpy()


def trained_alone(family, layers, width, seed, rate, data, batch_size, epochs, n=None):
    learnt = data.isel(item=(data.split == "train").values)
    x = encode(learnt.string.values.tolist(), "ABC", 12)
    y = torch.tensor(learnt.grammatical.values).float()
    alone, n = Alone(family, layers, width, seed, rate), n or len(y)
    order = presentation(seed, len(y), n, epochs)
    for epoch in order.split(n):
        for rows in epoch.split(batch_size):
            alone.step(x[rows], y[rows])
    return alone.answer(data.string.values[(data.split != "train").values])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_learns_what_each_network_learns_alone(family):
    layers = 1 if family == "continuous" else 2
    sets, rates = [items(k) for k in (3, 4)], [RATE[family] / 3, RATE[family]]
    answers = train_nets(
        family, sets, layers=layers, width=6, learning_rate=rates, seeds=[3, 4], batch_size=7,
        epochs=2,
    )  # fmt: skip
    assert answers.output.dims == ("family", "learning_rate", "seed", "n_seen", "item")
    assert answers.string.dims == ("seed", "item") and not answers.diverged.any()
    for s, data in enumerate(sets):
        for r, rate in enumerate(rates):
            alone = trained_alone(family, layers, 6, 3 + s, rate, data, 7, 2)
            found = answers.output[0, r, s, 0]
            np.testing.assert_allclose(found, alone, atol=1e-5)
            assert found.std() > 1e-3


@pytest.mark.parametrize("family", ["feedforward", "recurrent", "gru"])
def test_a_network_does_not_depend_on_others_of_its_stack_or_chunk(family, monkeypatch):
    sets = [items(k) for k in range(5)]
    rates = [RATE[family] / 2, RATE[family]]
    settings = {"layers": 2, "width": 5, "batch_size": 6}
    whole = train_nets(family, sets, seeds=range(5), learning_rate=rates, **settings)
    one = train_nets(family, [sets[3]], seeds=[3], learning_rate=rates[1], **settings)
    np.testing.assert_allclose(whole.output[0, 1, 3], one.output[0, 0, 0], atol=1e-6)
    in_two = {"seeds": 5, "rates": 2}

    def small(seeds, rates, parameters, family):
        assert {"seeds": seeds, "rates": rates} == in_two
        every = [(s, r) for s in range(seeds) for r in range(rates)]
        for some in (every[:3], every[3:4], every[4:]):
            yield [s for s, _ in some], [r for _, r in some]

    monkeypatch.setattr("neurodyn.models.train_grammar.stacks", small)
    cut = train_nets(family, sets, seeds=range(5), learning_rate=rates, **settings)
    np.testing.assert_allclose(whole.output, cut.output, atol=1e-6)


@given(
    seeds=st.integers(1, 30), rates=st.integers(1, 130), parameters=st.integers(100, 200_000),
    family=st.sampled_from(FAMILIES),
)  # fmt: skip
def test_stacks_hold_every_network_once_and_at_most_100(seeds, rates, parameters, family):
    found = list(stacks(seeds, rates, parameters, family))
    pairs = [pair for rows, columns in found for pair in zip(rows, columns, strict=True)]
    assert sorted(pairs) == [(s, r) for s in range(seeds) for r in range(rates)]
    assert max(len(rows) for rows, _ in found) <= 100


# What is seen, and when.


@given(n=st.integers(1, 40), epochs=st.integers(1, 3), size=st.integers(1, 17), data=st.data())
def test_batches_cover_everything_once_and_end_at_marks(n, epochs, size, data):
    marks = sorted(data.draw(st.sets(st.integers(1, n * epochs), min_size=1)))
    found = bounds(n, epochs, size, marks)
    expected, at = [0], 0  # item by item
    for k in range(1, marks[-1] + 1):
        if k - at == size or k % n == 0 or k in marks:
            expected.append(k)
            at = k
    assert found == expected


@given(seed=st.integers(0, 50), n=st.integers(1, 30), epochs=st.integers(1, 4), data=st.data())
def test_each_epoch_shows_the_same_strings(seed, n, epochs, data):
    first = data.draw(st.integers(1, n))
    order = presentation(seed, n, first, epochs).reshape(epochs, first)
    assert (order.sort(1).values == order[0].sort().values).all() and len(
        set(order[0].tolist())
    ) == first
    assert order[0].tolist() == presentation(seed, n, n, 1).tolist()[:first]


def test_retrained_and_on_the_way():
    data, common = items(0), {"layers": 2, "width": 5, "batch_size": 5, "learning_rate": 0.01}
    anew = train_nets("recurrent", data, n_seen=[8, 20, 32], epochs=2, **common)
    assert anew.n_seen.values.tolist() == [8, 20, 32]
    for k, n in enumerate((8, 20, 32)):
        alone = trained_alone("recurrent", 2, 5, 0, 0.01, data, 5, 2, n)
        np.testing.assert_allclose(anew.output[0, 0, 0, k], alone, atol=1e-5)
    on_the_way = train_nets(
        "recurrent", data, n_seen=[10, 30, 64], retrain=False, epochs=2, **common
    )
    first = train_nets("recurrent", data, n_seen=[10], **common)
    np.testing.assert_allclose(on_the_way.output[..., 0, :], first.output[..., 0, :], atol=1e-6)
    assert abs(on_the_way.output[..., 2, :] - on_the_way.output[..., 1, :]).max() > 1e-3


def test_all_seeds_can_answer_the_same_items():
    shared = items(99, train=0, test=6)
    answers = train_nets("gru", [items(k) for k in (0, 1)], seeds=[0, 1], width=4, test=shared)
    assert answers.string.dims == ("item",)
    assert answers.string.values.tolist() == shared.string.values.tolist()
    assert answers.attrs["grammar"] == "ends" and answers.attrs["provenance"] == "reconstruction"


# Learning, and failing to.


@pytest.mark.parametrize("family", FAMILIES)
def test_a_separable_language_is_learnt(family):
    draw = np.random.default_rng(0)
    strings, right = [], []
    for k in range(360):
        right.append(k % 2 == 0)
        strings.append("A" * int(right[-1]) + "".join(draw.choice(list("BC"), 3)) + "B")
    data = xr.Dataset(
        {"string": ("item", strings), "grammatical": ("item", right),
         "split": ("item", ["train"] * 300 + ["test"] * 60)}
    )  # fmt: skip
    rate = 0.1 if family == "feedforward" else 0.01
    answers = train_nets(family, data, width=12, learning_rate=rate, seeds=[0, 1], batch_size=5)
    assert (((answers.output > 0.5) == answers.grammatical).mean("item") > 0.98).all()


def test_a_diverged_network_is_reported_and_hurts_no_other():
    data = items(0)
    common = {"layers": 7, "width": 12, "epochs": 3, "batch_size": 3}
    answers = train_nets("feedforward", data, learning_rate=[0.01, 1e30], **common)
    assert answers.diverged.values[0, :, 0, 0].tolist() == [False, True]
    assert answers.output.sel(learning_rate=1e30).isnull().all()
    alone = train_nets("feedforward", data, learning_rate=0.01, **common)
    np.testing.assert_allclose(answers.output[0, 0], alone.output[0, 0], atol=1e-6)


def test_tiny_numbers_are_flushed_inside_only():
    tiny = torch.tensor(1e-38)
    assert tiny * 0.1 > 0
    with flushed():
        assert tiny * 0.1 == 0
        with flushed():
            pass
        assert tiny * 0.1 == 0
    assert tiny * 0.1 > 0


def test_the_learning_rates_are_even_in_their_logarithm():
    for family, ends in (
        ("feedforward", (1e-3, 1)),
        ("recurrent", (1e-4, 0.1)),
        ("gru", (1e-4, 0.1)),
    ):
        rates = learning_rates(family)
        assert len(rates) == 20 and (rates[0], rates[-1]) == ends
        np.testing.assert_allclose(np.diff(np.log(rates)), np.log(1000) / 19, rtol=1e-4)
    with pytest.raises(ValueError, match="family 'tree' is not one of"):
        learning_rates("tree")


def test_real_stimulus_sets_are_learnt_from():
    sets = [stimulus_set("A", seed=k, train=60, validation=20, test=20) for k in (0, 1)]
    answers = train_nets("recurrent", sets, seeds=[0, 1], budget=1400)
    assert answers.split.values.tolist() == ["validation"] * 20 + ["test"] * 20
    assert json.loads(answers.attrs["config"])["width"] == 20
    chunk = train_baseline("chunk", sets, seeds=[0, 1], n_seen=[30, 60])
    assert chunk.output.sizes == {"family": 1, "seed": 2, "n_seen": 2, "item": 40}


def test_baselines_learn_in_the_networks_order():
    data = items(1)
    found = train_baseline("exemplar", data, seeds=[5], n_seen=[4, 32]).output[0, 0]
    order = presentation(5, 32, 32, 1).tolist()
    for k, n in enumerate((4, 32)):
        learner = ExemplarLearner("ABC")
        for i in order[:n]:
            learner.update(data.string.values[i], bool(data.grammatical.values[i]))
        expected = [learner.predict(string) for string in data.string.values[32:]]
        np.testing.assert_allclose(found[k], expected, rtol=1e-6)


# Yoked to people.


def trials(seed, subjects=2, n=12, shuffle=True):
    """A table in a jumbled order, with positions, a session change and missing items."""
    draw = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects):
        for k in range(n - subject):
            string = "".join(draw.choice(list("ABC"), draw.integers(1, 5)))
            session, position = ("x", k) if k < 5 else ("a", k - 5)
            rows.append({
                "subject": f"s{subject}", "session": session, "position": 1.0 + position,
                "item": "" if k == 3 else string, "grammatical": float(draw.integers(2)),
                "feedback": float(draw.random() < 0.7), "response": float(draw.integers(2)),
                "turn": k,
            })  # fmt: skip
    if shuffle:
        tail = [rows[i] for i in 1 + draw.permutation(len(rows) - 1)]
        first = [row for row in tail if row["session"] == "x"]
        rows = [rows[0], *first, *(row for row in tail if row["session"] == "a")]
    return xr.Dataset({name: ("trial", [row[name] for row in rows]) for name in rows[0]})


@settings(max_examples=4)
@given(seed=st.integers(0, 99), family=st.sampled_from(("feedforward", "recurrent", "lstm", "gru")))
def test_a_yoked_network_sees_its_subjects_trials_one_by_one(seed, family):
    data = trials(seed)
    rate = RATE[family]
    result = yoked(data, family, seeds=[1, 2], width=5, learning_rate=rate, alphabet="ABC")
    assert result.output.dims == ("family", "seed", "trial")
    assert result.subject.values.tolist() == data.subject.values.tolist()
    for s, own in enumerate((1, 2)):
        for subject in ("s0", "s1"):
            alone = Alone(family, 2, 5, own, rate)
            rows = np.flatnonzero(data.subject.values == subject)
            for i in rows[np.argsort(data.turn.values[rows])]:
                string, found = str(data.item.values[i]), result.output.values[0, s, i]
                if not string:
                    assert np.isnan(found)
                    continue
                assert abs(found - alone.answer([string])[0]) < 1e-5
                if data.feedback.values[i]:
                    right = torch.tensor([data.grammatical.values[i]]).float()
                    alone.step(encode([string], "ABC", 12), right)


def test_a_yoked_baseline_sees_them_too():
    data = trials(0)
    result = yoked(data, ["chunk", "exemplar"], seeds=[0, 1])
    for family, make in (("chunk", ChunkLearner), ("exemplar", ExemplarLearner)):
        for subject in ("s0", "s1"):
            learner, rows = make("ABC"), np.flatnonzero(data.subject.values == subject)
            for i in rows[np.argsort(data.turn.values[rows])]:
                string = str(data.item.values[i])
                if string:
                    found = result.output.sel(family=family).values[:, i]
                    assert (found == learner.predict(string)).all()
                    if data.feedback.values[i]:
                        learner.update(string, bool(data.grammatical.values[i]))


def test_each_subject_s_sessions_have_their_own_order():
    """s1 was in session a before x, s0 the other way round."""
    data = trials(3)
    last = data.isel(trial=(data.subject == "s1").values)
    x = (last.session == "x").values
    last = xr.concat([last.isel(trial=~x), last.isel(trial=x)], "trial")
    last["turn"] = last.turn + np.where(last.session == "x", 20, 0)
    both = xr.concat([data.isel(trial=(data.subject == "s0").values), last], "trial")
    for known in (True, False):
        if not known:  # then the rows stand in the order seen
            both = both.sortby(["subject", "turn"]).assign(position=both.position * np.nan)
        result = yoked(both, "chunk", alphabet="ABC").output.values[0, 0]
        for subject in ("s0", "s1"):
            learner, rows = ChunkLearner("ABC"), np.flatnonzero(both.subject.values == subject)
            for i in rows[np.argsort(both.turn.values[rows])]:
                if string := str(both.item.values[i]):
                    assert result[i] == learner.predict(string)
                    if both.feedback.values[i]:
                        learner.update(string, bool(both.grammatical.values[i]))


def test_without_positions_the_tables_order_counts():
    data = trials(4, shuffle=False)
    blank = data.assign(position=data.position * np.nan)
    common = {"seeds": [0], "width": 4, "alphabet": "ABC"}
    a, b = (yoked(one, "recurrent", **common).output for one in (data, blank))
    xr.testing.assert_equal(a, b)


def test_a_subjects_network_does_not_depend_on_the_other_subjects():
    data = trials(7, subjects=3)
    common = {"seeds": [0, 1], "width": 4, "alphabet": "ABC"}
    whole = yoked(data, ["recurrent", "continuous"], **common).output
    mine = (data.subject == "s1").values
    alone = yoked(data.isel(trial=mine), ["recurrent", "continuous"], **common).output
    np.testing.assert_allclose(whole.values[..., mine], alone.values, atol=1e-6)


def test_yoking_refuses_what_it_cannot_know():
    data = trials(0)
    unknown = data.assign(feedback=data.feedback * np.nan)
    with pytest.raises(ValueError, match=r"feedback is unknown \(NaN\) in 21 trials"):
        yoked(unknown, "chunk")
    with pytest.raises(ValueError, match="grammatical is unknown"):
        yoked(data.assign(grammatical=data.grammatical * np.nan), "chunk")
    with pytest.raises(ValueError, match="trials need the variables feedback"):
        yoked(data.drop_vars("feedback"), "chunk")
    with pytest.raises(ValueError, match="of several grammars, A, B; yoke one at a time"):
        yoked(data.assign(grammar=("trial", ["A"] + ["B"] * 22)), "chunk")
    with pytest.raises(ValueError, match="family 'tree' is not one of feedforward"):
        yoked(data, "tree")
    for seeds in ([-1], [], [0, 0], 3):
        with pytest.raises(ValueError, match="seeds must be one or more whole numbers from 0 up"):
            yoked(data, "chunk", seeds=seeds)
    with pytest.raises(ValueError, match="families must be one or more"):
        yoked(data, [])
    with pytest.raises(ValueError, match="no trial has an item"):
        yoked(data.assign(item=("trial", [""] * 23)), "chunk")


def test_yoking_refuses_before_anything_is_learnt(monkeypatch):
    monkeypatch.setattr("neurodyn.models.yoke_grammar.BASELINES", {
        "chunk": lambda _: pytest.fail("something is learnt")})  # fmt: skip
    for message, change in (
        ("budget must be a whole number of parameters, 41 or more for 2 layers", {"budget": 20}),
        ("width must be a whole number from 1 up, got 0", {"width": 0}),
        ("layers must be a whole number from 1 up, got 0", {"layers": 0, "width": 3}),
        ("learning_rate must be one for all subjects", {"learning_rate": [0.1, 0.2]}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            yoked(trials(0), ["chunk", "feedforward"], alphabet="ABC", **change)


def test_tokens_are_cut_as_the_grammar_cuts_them():
    words = grammar("saffran")
    data = stimulus_set(words, train=8, validation=0, test=4)
    for one in (data, data.drop_attrs()):  # the alphabet is told, or found in the strings
        letters = alphabet_of(one)
        assert set(letters) == {t for s in data.string.values for t in words.tokens(str(s))} or (
            letters == words.alphabet
        )
        code = encode(data.string.values.tolist(), letters, 3)
        for row, string in zip(code, data.string.values, strict=True):
            shown = tuple(letters[int(k)] for k in row.argmax(-1))
            assert shown == words.tokens(str(string)) and (row.sum(-1) == 1).all()
        assert train_nets("recurrent", one, width=3).output.notnull().all()
    for string in ("pa  bi", " pa bi", "pa bi ", "pa\tbi"):  # one space, as in the grammar
        assert not set(words.tokens(string)) <= set(words.alphabet)
        with pytest.raises(ValueError, match="is not in the alphabet"):
            encode([string], words.alphabet, 4)
        with pytest.raises(ValueError, match="must be one or more letters"):
            ChunkLearner(words.alphabet).predict(string)
    with pytest.raises(ValueError, match="letter ' ' of string 'A B' is not in the alphabet A, B"):
        encode(["A B"], "AB", 3)
    spaced = trials(0).assign(item=("trial", ["A B"] * 23))
    with pytest.raises(ValueError, match="letter ' ' .* and only there"):
        yoked(spaced, "recurrent")


def test_training_refuses_what_it_cannot_do():
    data = items(0)
    for message, change in (
        ("family 'tree' is not one of", {"family": "tree"}),
        ("seeds must be one or more whole numbers from 0 up", {"seeds": [1, 1]}),
        ("seeds must be one or more whole numbers from 0 up, .* got 2", {"seeds": 2}),
        (r"seeds must be .* got \[-1\]", {"seeds": [-1]}),
        (r"seeds must be .* got \[True\]", {"seeds": [True]}),
        (r"seeds must be .* got \[0.5\]", {"seeds": [0.5]}),
        ("seeds must be .* got '01'", {"seeds": "01"}),
        ("or one for each of 2 seeds, got 3", {"items": [data] * 3, "seeds": [1, 2]}),
        ("split missing", {"items": data.drop_vars("split")}),
        ("one or more strings to answer", {"items": data.isel(item=slice(0, 32))}),
        ("one or more strings to learn", {"items": data.isel(item=slice(32, None))}),
        ("n_seen must be .* increase, from 1 or more to 32", {"n_seen": [20, 10]}),
        ("n_seen must be .* increase", {"n_seen": [33]}),
        (r"n_seen must be whole numbers .* got \[10.7\]", {"n_seen": [10.7]}),
        ("n_seen must be whole numbers .* got 10", {"n_seen": 10}),
        ("epochs must be a whole number from 1 up, got 0", {"epochs": 0}),
        ("batch_size must be a whole number", {"batch_size": 1.5}),
        ("learning_rate must be one or more positive numbers", {"learning_rate": [0.1, -1.0]}),
        ("learning_rate must be one or more positive numbers", {"learning_rate": [0.1, None]}),
        ("learning_rate must be one or more positive numbers", {"learning_rate": "0.1"}),
        (r"learning rates must be all different, got \[0.1, 0.1\]", {"learning_rate": [0.1, 0.1]}),
        ("has 6 letters; give 1 to max_length=4", {"max_length": 4}),
        ("all sets must have one alphabet", {
            "items": [data, data.assign_attrs(alphabet='["A", "B", "C", "D"]')], "seeds": [0, 1]}),
    ):  # fmt: skip
        given = {"family": "recurrent", "items": data} | change
        with pytest.raises(ValueError, match=message):
            train_nets(given.pop("family"), given.pop("items"), **given)
    with pytest.raises(ValueError, match="family 'recurrent' is not one of chunk, exemplar"):
        train_baseline("recurrent", data)
