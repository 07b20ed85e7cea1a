import itertools
from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from neurodyn.stimuli.grammar import Grammar, automaton, grammar, grammar_names
from neurodyn.stimuli.pairings import ClassGrammar, PairGrammar
from neurodyn.stimuli.streams import WordStream

SWAPS = {"CF", "CS"}
STREAMS = {"saffran"}


def distance(grammar, one, two):
    ones, twos = grammar.tokens(one), grammar.tokens(two)
    assert len(ones) == len(twos)
    return sum(a != b for a, b in zip(ones, twos, strict=True))


@pytest.mark.parametrize("name", grammar_names())
@given(seed=st.integers(0, 2**32))
def test_samples_are_grammatical_and_violations_are_not(name, seed):
    g = grammar(name)
    for string in g.sample(8, seed=seed):
        assert g.accepts(string)
        assert len(g.tokens(string)) in g.lengths
        assert set(g.tokens(string)) <= set(g.alphabet)
        wrong = g.violate(string, seed=seed)
        assert not g.accepts(wrong)
        assert set(g.tokens(wrong)) <= set(g.alphabet)
        if name not in STREAMS:
            assert distance(g, string, wrong) == (2 if name in SWAPS else 1)
        else:
            assert len(g.tokens(wrong)) == 3


@pytest.mark.parametrize("name", grammar_names())
def test_counts_by_brute_force(name):
    g = grammar(name)
    length = 0
    while len(g.alphabet) ** (length + 1) <= 20_000:
        length += 1
        found = sum(g.derives(w) for w in itertools.product(g.alphabet, repeat=length))
        assert g.count(length) == found
    assert length >= 3


@pytest.mark.parametrize("name", grammar_names())
def test_a_seed_gives_the_strings(name):
    g = grammar(name)
    assert g.sample(30, seed=3) == grammar(name).sample(30, seed=3)
    assert g.sample(30, seed=3)[:10] == g.sample(10, seed=3)
    if name not in STREAMS:
        assert g.sample(30, seed=3) != g.sample(30, seed=4)
    rng = np.random.default_rng(3)
    assert g.sample(10, seed=rng) + g.sample(20, seed=rng) == g.sample(30, seed=3)
    assert g.sample(0, seed=0) == []
    assert g.references and g.provenance in ("paper", "reconstruction")


def test_counts_of_cf_and_cs():
    for name in ("CF", "CS"):
        g = grammar(name)
        assert [g.count(n) for n in range(3, 9)] == [0, 25, 0, 125, 0, 625]
        wide = grammar(name, any_of_ten=True)
        assert sum(wide.count(n) for n in wide.lengths) == 11_100
        assert g.size == 775 - 15  # homogeneous halves are not sampled
        assert grammar(name, homogeneous=True).size == 775


def test_rules_of_cf_and_cs():
    nested, crossed = grammar("CF"), grammar("CS")
    assert nested.accepts("PPNHTT") and not nested.accepts("PPNTTH")
    assert crossed.accepts("PPNTTH") and not crossed.accepts("PPNHTT")
    assert not nested.accepts("TTHNPP") and grammar("CF", any_of_ten=True).accepts("TTHNPP")
    for pair in itertools.product("PNDFG", repeat=3):
        half, partner = "".join(pair), dict(zip("PNDFG", "THSKL", strict=True))
        images = [partner[x] for x in half]
        assert nested.accepts(half + "".join(images[::-1]))
        assert crossed.accepts(half + "".join(images))


@pytest.mark.parametrize("name", ["CF", "CS"])
def test_share_of_violations_that_the_other_grammar_accepts(name):
    g, other = grammar(name), grammar({"CF": "CS", "CS": "CF"}[name])
    shares = {}
    for length in (4, 6, 8):
        count, both = 0, 0
        for half in itertools.product("PNDFG", repeat=length // 2):
            if len(set(half)) == 1:
                continue
            images = [g.partner[x] for x in half]
            string = "".join([*half, *(images[::-1] if name == "CF" else images)])
            wrong = g.violations(string)
            assert not any(map(g.accepts, wrong))
            assert [g.ambiguous(w) for w in wrong] == [other.accepts(w) for w in wrong]
            count += len(wrong)
            both += sum(map(other.accepts, wrong))
        shares[length] = both / count
    # Of 4: always. Of 6: the first and third letter of a half exchanged, 200 of 600 swaps. Of 8:
    # halves abbc and abca, 400 of 6,000.
    assert shares == {4: 1, 6: pytest.approx(1 / 3), 8: pytest.approx(1 / 15)}


def test_palindromic_halves_are_grammatical_both_ways():
    nested, crossed = grammar("CF"), grammar("CS")
    found = Counter()
    for length in (2, 3, 4):
        for half in itertools.product("PNDFG", repeat=length):
            string = "".join(half) + "".join(nested.partner[x] for x in half[::-1])
            assert nested.palindromic(string) == (half == half[::-1]) == crossed.accepts(string)
            assert nested.ambiguous(string) == crossed.accepts(string)
            found[length] += nested.palindromic(string)
    assert found == {2: 5, 3: 25, 4: 25}


def test_homogeneous_halves():
    g = grammar("CF")
    assert g.accepts("PPPTTT")
    with pytest.raises(ValueError, match="repeat one letter"):
        g.violate("PPPTTT", seed=0)
    assert all(len(set(s[: len(s) // 2])) > 1 for s in g.sample(500, seed=0))
    every = grammar("CF", homogeneous=True).sample(500, seed=0)
    assert any(len(set(s[: len(s) // 2])) == 1 for s in every)


def test_lengths_of_pairs_are_equally_likely():
    lengths = Counter(map(len, grammar("CF", homogeneous=True).sample(3000, seed=0)))
    assert set(lengths) == {4, 6, 8}
    assert all(abs(n - 1000) < 5 * (3000 * 2 / 9) ** 0.5 for n in lengths.values())


def test_one_letter_violations_are_all_of_them():
    a = grammar("A")
    for string in ("VJ", "XVX", "VJTVT"):
        every = {
            "".join(w)
            for w in itertools.product("XVJT", repeat=len(string))
            if sum(x != y for x, y in zip(w, string, strict=True)) == 1
            and not a.accepts("".join(w))
        }
        assert sorted(a.violations(string)) == sorted(every)
        drawn = Counter(a.violate(string, seed=seed) for seed in range(200))
        assert set(drawn) <= every and len(drawn) > 0.8 * len(every)


def test_strings_that_cannot_be_violated():
    everything = automaton({0: {"a": 0, "b": 0}}, start=0, accept=[0])
    with pytest.raises(ValueError, match="'ab' has no violation under own"):
        everything.violate("ab", seed=0)
    with pytest.raises(ValueError, match="'XX' is not grammatical under A"):
        grammar("A").violate("XX", seed=0)


def test_lengths_limit_samples_not_acceptance():
    a = grammar("A", lengths=range(3, 6))
    assert a.lengths == (3, 4, 5)
    assert {len(s) for s in a.sample(200, seed=0)} == {3, 4, 5}
    assert a.accepts("VJ") and a.accepts("X" * 20 + "VJ")
    assert not a.accepts("") and not a.accepts("VQ") and not a.accepts("V J")


def test_share_of_short_strings_of_a():
    strings = grammar("A").sample(20_000, seed=0)
    assert np.mean([len(s) == 2 for s in strings]) == pytest.approx(0.26, abs=0.02)
    assert np.mean([len(s) for s in strings]) == pytest.approx(4.4, abs=0.15)


def test_blocks_and_alternation():
    blocks, alternating = grammar("AnBn"), grammar("ABn")
    assert blocks.accepts("BDFS") and not blocks.accepts("BFDS") and not blocks.accepts("BDGF")
    assert alternating.accepts("BFDS") and not alternating.accepts("BDFS")
    assert blocks.count(4) == alternating.count(4) == 4**4
    # (AB)^n is regular: the same language from an automaton
    regular = automaton(
        {0: {x: 1 for x in "BDGP"}, 1: {x: 2 for x in "FSVZ"}, 2: {x: 1 for x in "BDGP"}},
        start=0,
        accept=[2],
    )
    assert [regular.count(n) for n in range(9)] == [alternating.count(n) for n in range(9)]


def test_biconditional():
    g = grammar("biconditional")
    assert g.accepts("DKGXFXLK") and g.count(8) == 6**4
    assert not g.accepts("DKGXFXLX")
    wrong = g.violations("DKGXFXLK")
    assert len(wrong) == 8 * 5
    pairs = dict(zip("DFGLKX", "FDLGXK", strict=True))
    assert all(sum(pairs[w[i]] == w[i + 4] for i in range(4)) == 3 for w in wrong)


def test_dependencies_of_other_lengths_and_letters():
    g = grammar("centre-embedded", pairs=("ab", "cd"), lengths=(2, 10), violation="swap")
    assert g.accepts("acaccdbdbd"[:5] + "ddbdb") == g.derives(tuple("acaccddbdb"))
    assert g.accepts("ab") and g.accepts("acaccddbdb") and g.count(10) == 32
    syllables = grammar("cross-serial", pairs=(("ba", "ti"), ("lo", "gu")), lengths=(4,))
    assert syllables.accepts("ba lo ti gu") and not syllables.accepts("ba lo gu ti")
    assert set(map(len, map(syllables.tokens, syllables.sample(5, seed=0)))) == {4}


def test_stream_has_the_transitional_probabilities():
    words = grammar("saffran")
    table = words.transitional_probabilities()
    assert Counter(table.values()) == {1.0: 8, 1 / 3: 12}
    stream = words.stream(6000, seed=0).split(" ")
    pairs, firsts = Counter(zip(stream, stream[1:], strict=False)), Counter(stream[:-1])
    assert set(pairs) == set(table)
    for (a, b), p in table.items():
        assert pairs[a, b] / firsts[a] == pytest.approx(p, abs=0 if p == 1 else 0.06)
    heard = [tuple(stream[i : i + 3]) for i in range(0, len(stream), 3)]
    assert set(heard) == set(words.words)
    assert all(one != two for one, two in zip(heard, heard[1:], strict=False))


def test_part_words_span_boundaries():
    words = grammar("saffran")
    parts = words.part_words()
    assert len(parts) == len(set(parts)) == 4 * 3 * 2
    table = words.transitional_probabilities()
    for part in parts:
        a, b, c = part.split(" ")
        assert sorted([table[a, b], table[b, c]]) == [1 / 3, 1]
    assert set(words.violations("pa bi ku")) <= set(parts)
    assert words.stream(0, seed=0) == ""


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("C", {}, "'C' is not one of A, B, CF, CS"),
        ("A", {"pairs": ["ab"]}, "no option pairs; it has lengths"),
        ("CF", {"pairs": ["ab", "bc"]}, "disjoint pairs"),
        ("CF", {"pairs": ["abc"]}, "disjoint pairs"),
        ("CF", {"lengths": (4, 5)}, "even"),
        ("CF", {"lengths": (2,)}, "repeat one letter"),
        ("centre-embedded", {"violation": "delete"}, "'swap', 'replace'"),
        ("AnBn", {"classes": ("ab", "bc")}, "two disjoint sets"),
        ("AnBn", {"lengths": (3,)}, "even"),
        ("saffran", {"words": ["pa bi", "ti bu do"]}, "equally long"),
        ("saffran", {"words": ["pa", "ti"]}, "one syllable"),
        ("saffran", {"words": ["pa bi", "ti pa"]}, "share no syllable"),
        ("A", {"lengths": (1,)}, "no string of the lengths"),
        ("A", {"lengths": ()}, "whole numbers from 1"),
        ("A", {"lengths": 5}, "lengths must be a sequence"),
        ("CF", {"lengths": ("a",)}, "whole numbers from 1"),
        ("CF", {"pairs": 5}, "pairs must be a sequence"),
        ("CF", {"pairs": [5]}, "a pair must be a sequence"),
        ("AnBn", {"classes": 5}, "classes must be a sequence"),
        ("AnBn", {"classes": (5, 6)}, "a class must be a sequence"),
        ("saffran", {"words": 5}, "words must be a sequence"),
        (["A"], {}, "is not one of A, B"),
    ],
)
def test_refusals(name, options, message):
    with pytest.raises(ValueError, match=message):
        grammar(name, **options)


def test_other_refusals():
    a = grammar("A")
    with pytest.raises(TypeError, match="text, got int"):
        a.accepts(3)
    for name in ("A", "CF", "AnBn", "saffran"):
        with pytest.raises(ValueError, match="length must be a whole number"):
            grammar(name).count(-1)
    for bad in (-1, 1.5, True, "0"):
        with pytest.raises(ValueError, match="seed must be"):
            a.sample(1, seed=bad)
        with pytest.raises(ValueError, match="n must be"):
            a.sample(bad, seed=0)
    with pytest.raises(ValueError, match="'nested', 'crossed'"):
        PairGrammar("x", "both", ("ab",), (4,))
    with pytest.raises(ValueError, match="provenance 'mine'"):
        automaton({0: {"a": 1}}, start=0, accept=[1], provenance="mine")
    with pytest.raises(ValueError, match="one pair only"):
        PairGrammar("x", "nested", ("ab",), (4,), violation="replace", homogeneous=True).violate(
            "aabb", seed=0
        )


def test_kinds_and_names():
    assert grammar_names()[:4] == ("A", "B", "CF", "CS")
    assert len(set(grammar_names())) == len(grammar_names())
    assert isinstance(grammar("ABn"), ClassGrammar) and isinstance(grammar("saffran"), WordStream)
    assert all(isinstance(grammar(name), Grammar) for name in grammar_names())
    assert repr(grammar("CF")) == "PairGrammar('CF', alphabet PNDFGTHSKL, lengths 4, 6, 8)"
    assert repr(grammar("A")) == "RegularGrammar('A', alphabet XVJT, lengths 2 to 12)"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("CF", ["$A_1$", "$B_3$", "P \N{EN DASH} T", "G \N{EN DASH} L"]),
        ("CS", ["$A_3$", "$B_1$", "N \N{EN DASH} H"]),
        ("biconditional", ["D \N{LEFT RIGHT ARROW} F"]),
        ("AnBn", ["A", "B", "A:  B  D  G  P"]),
        ("ABn", ["A", "B", "B:  F  S  V  Z"]),
        ("saffran", ["pa", "bi", "ku", "1", "any other word"]),
    ],
)
def test_schemes(name, shown):
    figure = grammar(name).draw()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert set(shown) <= set(texts)
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    assert all(low < text.get_position()[0] < high for text in figure.axes[0].texts)


def test_nested_and_crossed_arcs():
    def ends(name):
        arrows = [p for p in grammar(name).draw().axes[0].patches if hasattr(p, "_path_original")]
        found = [p._path_original.vertices[[0, -1], 0] / 1.15 for p in arrows]
        return sorted(tuple(np.rint(e).astype(int).tolist()) for e in found)

    assert ends("CF") == [(0, 5), (1, 4), (2, 3)]
    assert ends("CS") == [(0, 3), (1, 4), (2, 5)]
