import itertools
import math
import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from neurodyn.stimuli.automata import Automaton
from neurodyn.stimuli.automaton_drawing import automaton_drawing
from neurodyn.stimuli.automaton_layout import (
    RADIUS,
    bezier,
    crossing,
    curves,
    nearest_layers,
    positions,
)
from neurodyn.stimuli.automaton_tables import PUBLISHED, TEN_REGULAR, from_table
from neurodyn.stimuli.grammar import automaton, grammar


def paths(machine, tokens):
    """Whether some path reads the tokens: by trying them all, without subsets."""

    def reads(state, rest):
        if not rest:
            return state in machine.accept
        return any(a == rest[0] and reads(q, rest[1:]) for a, q in machine.arcs[state])

    return reads(machine.start, tuple(tokens))


def words(machine, length):
    return [w for w in itertools.product(machine.alphabet, repeat=length) if paths(machine, w)]


@st.composite
def machines(draw):
    """Automata in which every state is reached and leads to the end."""
    size = draw(st.integers(1, 5))
    arcs = {i: {("ab"[i % 2], i + 1)} for i in range(size - 1)} | {size - 1: set()}
    extra = st.tuples(st.sampled_from("abc"), st.integers(0, size - 1))
    for state in arcs:
        arcs[state] |= draw(st.sets(extra, max_size=3))
    if size == 1 and not arcs[0]:
        arcs[0] = {("a", 0)}
    accept = draw(st.sets(st.integers(0, size - 1))) | {size - 1}
    return Automaton({s: sorted(a) for s, a in arcs.items()}, 0, accept)


@given(machines())
def test_counts_and_acceptance_against_all_paths(machine):
    for length in range(5):
        every = words(machine, length)
        assert machine.count(length) == len(every)
        for word in itertools.product(machine.alphabet, repeat=length):
            assert machine.accepts(word) == (word in every)
    lengths = [n for n in range(5) if machine.count(n)]
    if lengths:
        assert machine.shortest == lengths[0]


@given(machines())
def test_merging_keeps_the_language_and_the_walk(machine):
    merged = machine.merged()
    assert len(merged.arcs) <= len(machine.arcs)
    assert [merged.count(n) for n in range(8)] == [machine.count(n) for n in range(8)]
    for length in range(4):
        for word in itertools.product(machine.alphabet, repeat=length):
            assert probability(merged, word) == pytest.approx(probability(machine, word))


def probability(machine, tokens):
    """Probability that a random walk gives these tokens, summed over paths."""

    def onward(state, rest):
        ways = len(machine.arcs[state]) + (state in machine.accept)
        if not rest:
            return (state in machine.accept) / ways
        return sum(onward(q, rest[1:]) for a, q in machine.arcs[state] if a == rest[0]) / ways

    return onward(machine.start, tuple(tokens))


@given(machines())
def test_entropy_is_the_growth_of_counts(machine):
    n = 400
    grown = machine.count(n + 60)
    if machine.longest == math.inf and machine.entropy():
        # counts may be zero at some lengths (periods), so take the largest of a stretch
        late = max(machine.count(n + 60 + k) for k in range(60))
        early = max(machine.count(n + k) for k in range(60))
        assert (math.log(late) - math.log(early)) / 60 == pytest.approx(machine.entropy(), abs=0.05)
    else:
        assert grown <= (n + 61) ** 5  # no exponential growth
    assert machine.entropy(restart=True) >= machine.entropy() - 1e-9


def test_longest():
    assert from_table(PUBLISHED["RQ"].table).longest == 6
    assert from_table(PUBLISHED["A"].table).longest == math.inf
    assert Automaton({0: {"a": 1}}, 0, [1]).longest == 1


def test_counts_of_a_and_b():
    a, b = grammar("A"), grammar("B")
    assert [a.count(n) for n in range(2, 13)] == [3, 5, 7, 12, 19, 28, 42, 63, 93, 137, 202]
    assert a.size == 611
    assert b.size == sum(b.count(n) for n in range(13)) == 3152


def test_a_against_a_regular_expression():
    # X* V, then J and back, or the end; written from the diagram of Knowlton & Squire
    rule = re.compile("X*V(?:JTX*V)*(?:J|TV?|TVJ+|XJ*)")
    a = grammar("A")
    for length in range(1, 8):
        for word in itertools.product("XVJT", repeat=length):
            assert a.derives(word) == bool(rule.fullmatch("".join(word)))


def test_b_against_the_arcs_of_its_diagram():
    # State by state as drawn, with two arcs R leaving s4
    diagram = Automaton(
        {
            "s0": {"M": "s1", "V": "s2"}, "s1": {"V": "s3", "X": "s4"},
            "s2": {"M": "s4", "X": "s5"}, "s3": {"R": "s6", "X": "s4"},
            "s4": {"R": ["s7", "s8"], "T": "s9"}, "s5": {"V": "s4", "T": "s10"},
            "s6": {"V": "sV", "M": "end"}, "s7": {"T": "s7", "M": "s1", "V": "s2"},
            "s8": {"V": "sV", "M": "end"}, "sV": {"V": "sV", "M": "end"}, "s9": {"R": "sR"},
            "s10": {"X": "end", "R": "sR"}, "sR": {"R": "sR", "X": "end"}, "end": {},
        },
        "s0",
        ["s8", "sV", "s9", "sR", "end"],
    )  # fmt: skip
    b = grammar("B")
    for length in range(1, 6):
        for word in itertools.product("MRTVX", repeat=length):
            assert b.derives(word) == paths(diagram, word)
            assert probability(b.automaton, word) == pytest.approx(probability(diagram, word))
    assert [b.count(n) for n in range(13)] == [diagram.count(n) for n in range(13)]


def test_b_has_the_bigrams_of_the_questionnaire():
    # What may follow MX and XT, which people were asked for
    b = grammar("B")
    strings = b.sample(3000, seed=0)
    follow = {
        pair: {(s + "#")[i + 2] for s in strings for i in range(len(s) - 1) if s[i : i + 2] == pair}
        for pair in ("MX", "XT")
    }
    assert follow == {"MX": set("RT"), "XT": set("RX#")}
    assert not b.accepts("MXRVXT")


def test_reber_against_a_regular_expression():
    # T S* X (S | X loop) or P loop; the loop is T* V, then V, or P and S, or P X and again
    rule = re.compile("(?:TS*XS|(?:TS*XX|P)(?:T*VPX)*T*V(?:V|PS))")
    reber = grammar("reber")
    for length in range(1, 8):
        for word in itertools.product("TPSXV", repeat=length):
            assert reber.derives(word) == bool(rule.fullmatch("".join(word)))
    embedded = grammar("embedded-reber")
    again = re.compile(f"B(?:TB{rule.pattern}ET|PB{rule.pattern}EP)E")
    inner = [
        "".join(w)
        for n in range(3, 9)
        for w in itertools.product("TPSXV", repeat=n)
        if n < 7 and rule.fullmatch("".join(w))
    ]
    for string in inner:
        for one, two in itertools.product("TP", repeat=2):
            outer = f"B{one}B{string}E{two}E"
            assert embedded.accepts(outer) == (one == two) == bool(again.fullmatch(outer))
    assert embedded.size == 2 * reber.size


def test_published_strings():
    for string in ("TSXS", "PVV", "TXXVPS"):
        assert grammar("reber").accepts(string)
    assert grammar("reber-1969").accepts("MV")


TABLE = {  # letters, letter states, shortest; SXK is listed with 12, one of which nothing leads to
    "reber-1969": (5, 10, 2), "mathews-1989": (5, 11, 3), "reber-1967": (5, 10, 3),
    "skosnik-2002": (6, 12, 3), "meulemans-1997": (6, 15, 5), "B": (5, 20, 3), "A": (4, 8, 2),
    "SXK": (3, 11, 4), "RQ": (2, 8, 3), "LNP": (3, 11, 5),
}  # fmt: skip


@pytest.mark.parametrize("name", TEN_REGULAR)
def test_complexity_of_the_ten(name):
    found = grammar(name).complexity()
    assert (found["letters"], found["states"], found["shortest"]) == TABLE[name]
    rows = [line.split() for line in PUBLISHED[name].table.strip().splitlines()]
    inside = [(r[0], to) for r in rows if r[0] != ">" for to in r[1:] if to != "#"]
    assert found["transitions"] == len(inside)
    assert found["bigrams"] == len({(one[0], two[0]) for one, two in inside})
    # the largest eigenvalue of the letter states' own matrix: no subsets, no restart
    names = sorted({row[0] for row in rows})
    matrix = np.array([[(i, j) in inside for j in names] for i in names], dtype=float)
    radius = np.abs(np.linalg.eigvals(matrix)).max()
    expected = math.log(radius) if radius > 1.001 else 0.0
    assert found["topological_entropy"] == pytest.approx(expected, abs=1e-9)


def test_entropies_of_a_and_b_and_finite_languages():
    assert grammar("A").complexity()["topological_entropy"] == pytest.approx(0.382, abs=5e-4)
    assert grammar("B").complexity()["topological_entropy"] == pytest.approx(0.628, abs=5e-4)
    assert [grammar(name).size for name in ("SXK", "RQ", "LNP")] == [32, 24, 68]
    for name in ("SXK", "RQ", "LNP"):
        measures = grammar(name).complexity()
        assert measures["topological_entropy"] == 0
        assert measures["topological_entropy_restart"] > 0
    full = automaton({0: {"a": 0, "b": 0}}, start=0, accept=[0])
    assert full.complexity()["topological_entropy"] == pytest.approx(math.log(2))


def test_the_walk_has_the_probabilities_of_its_paths():
    machine = from_table(PUBLISHED["B"].table)
    rng = np.random.default_rng(0)
    n = 20_000
    drawn = [machine.walk(rng, 12) for _ in range(n)]
    for string in ("VXTX", "MXT", "MXR", "VMT"):
        p = probability(machine, string)
        share = sum(d == tuple(string) for d in drawn) / n
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / n)
    too_long = 1 - sum(probability(machine, w) for w in {d for d in drawn if d is not None})
    assert sum(d is None for d in drawn) / n < too_long + 0.01


def test_a_graph_gives_the_same_as_a_dictionary():
    networkx = pytest.importorskip("networkx")
    graph = networkx.MultiDiGraph()
    graph.add_edge(0, 0, letter="a")
    graph.add_edge(0, 1, letter="b")
    graph.add_edge(0, 1, letter="c")
    graph.add_edge(1, 0, letter="a")
    from_graph = automaton(graph, start=0, accept=[1])
    pairs = automaton({0: [("a", 0), ("b", 1), ("c", 1)], 1: {"a": 0}}, start=0, accept=[1])
    assert from_graph.automaton.arcs == pairs.automaton.arcs
    assert from_graph.sample(20, seed=1) == pairs.sample(20, seed=1)
    graph.add_edge(1, 1)
    with pytest.raises(ValueError, match="from 1 to 1 has no attribute 'letter'"):
        automaton(graph, start=0, accept=[1])
    with pytest.raises(ValueError, match="directed"):
        automaton(networkx.Graph(graph), start=0, accept=[1])


@pytest.mark.parametrize(
    ("transitions", "start", "accept", "message"),
    [
        ({0: {"a": 1}}, 2, [1], r"start must be among the states \[0, 1\]"),
        ({0: {"a": 1}}, 0, [3], "accept must be among"),
        ({0: {"a": 1}}, 0, [], "accept must be among"),
        ({0: {"a": 1}}, 0, "1", "accept must be a list"),
        ({0: {"a": 1}, 2: {"b": 1}}, 0, [1], r"\[2\] cannot be reached"),
        ({0: {"a": 1, "b": 2}}, 0, [1], r"\[2\] lead to no accepting state"),
        ({0: [("a", 1), ("a", 1)]}, 0, [1], "an arc twice"),
        ({0: {"a b": 1}}, 0, [1], "text without spaces"),
        ({0: {"a": {}}}, 0, [1], "an arc of 0: {} is no state"),
        ({0: {"a": 1}}, [0], [1], "start: .0. is no state"),
        ({0: {"a": 1}}, 0, [[1]], "accept: .1. is no state"),
        ({0: "ab"}, 0, [1], "arcs of state 0"),
        ({0: ["ab"]}, 0, [1], "must be .letter, target."),
        ({}, 0, [0], "empty"),
    ],
)
def test_what_is_no_automaton_is_refused(transitions, start, accept, message):
    with pytest.raises(ValueError, match=message):
        automaton(transitions, start=start, accept=accept)


def test_other_refusals():
    with pytest.raises(TypeError, match="graph of networkx, got list"):
        automaton([1], start=0, accept=[0])
    with pytest.raises(ValueError, match="no string of the lengths"):
        automaton({0: {"a": 1}}, start=0, accept=[1], lengths=[2])
    with pytest.raises(ValueError, match="lengths must be whole numbers"):
        automaton({0: {"a": 1}}, start=0, accept=[1], lengths=[0])


@pytest.mark.parametrize("name", ["A", "B", "reber", "RQ"])
def test_drawing_shows_every_arc_and_covers_no_state(name):
    machine = grammar(name).diagram
    place = positions(machine)
    depth = nearest_layers(machine)
    assert place[machine.start][0] == min(x for x, _ in place.values())
    assert set(depth) == set(place)
    points = np.array([*place.values()])
    gap = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(len(points))
    assert gap.min() > 3 * RADIUS
    for curve in curves(machine, place):
        line = bezier(curve.control)
        near = np.linalg.norm(line[:, None] - points[None], axis=2).min(0)
        assert (near < 0.97 * RADIUS).sum() == 0
    figure = automaton_drawing(machine)
    texts = [text.get_text() for text in figure.axes[0].texts]
    drawn = sorted(letter for t in texts if "$" not in t for letter in t.split(", "))
    assert drawn == sorted(a for arcs in machine.arcs.values() for a, _ in arcs)
    rings = [p for p in figure.axes[0].patches if p.__class__.__name__ == "Circle"]
    assert len(rings) == len(machine.arcs) + len(machine.accept)
    figure.savefig("/dev/null", format="png")


def test_drawing_of_the_smallest():
    loop = automaton_drawing(Automaton({"q": {"a": "q", "b": "q"}}, "q", ["q"]))
    assert [t.get_text() for t in loop.axes[0].texts] == ["q", "a, b"]
    long = Automaton({"first": {"a": "second"}}, "first", ["second"])
    texts = [t.get_text() for t in automaton_drawing(long).axes[0].texts]
    assert texts == ["$S_0$", "$S_1$", "a"]


def test_crossing():
    # from (0, 0) to (1, 1), from (0, 1) to (1, 0), from (2, 0) to (3, 0)
    starts, steps = np.array([[0.0, 0], [0, 1], [2, 0]]), np.array([[1.0, 1], [1, -1], [1, 0]])
    assert crossing(*starts.T, *steps.T)[0].tolist() == [False, True, False]
