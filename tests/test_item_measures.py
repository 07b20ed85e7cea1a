import json
import math
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given

from neurodyn.analysis.edit_distance import edit_distances
from neurodyn.analysis.item_measures import (
    chunk_strength,
    item_measures,
    relative_chunk_strength,
    transition_table,
)
from neurodyn.stimuli.grammar import grammar
from neurodyn.stimuli.grammar_items import stimulus_set

LISTS = json.loads((Path(__file__).parent / "data" / "knowlton_squire_1996.json").read_text())
TRAIN = LISTS["train"].split()

strings = st.text("abc", min_size=1, max_size=6).map(tuple)
many = st.lists(strings, min_size=1, max_size=6)


def items(*given):
    return xr.Dataset({"string": ("item", list(given))}, coords={"item": range(len(given))})


@pytest.mark.parametrize(
    ("cell", "strength"), [("GH", 8.507), ("GL", 5.873), ("NH", 8.501), ("NL", 5.373)]
)
def test_chunk_strengths_of_knowlton_and_squire(cell, strength):
    found = item_measures(items(*LISTS[cell].split()), train=TRAIN)
    assert found.chunk_strength_global.mean().item() == pytest.approx(strength, abs=5e-4)


def test_grammaticality_of_knowlton_and_squire():
    a = grammar("A")
    assert len(TRAIN) == len(set(TRAIN)) == 23 and all(map(a.accepts, TRAIN))
    for cell in ("GH", "GL", "NH", "NL"):
        assert [a.accepts(s) for s in LISTS[cell].split()] == [cell[0] == "G"] * 8


def reference(string, train):
    """All chunk measures of one string by plain counting."""
    f = {n: {} for n in (2, 3)}
    first, last = {n: {} for n in (2, 3)}, {n: {} for n in (2, 3)}
    for s in train:
        for n in (2, 3):
            grams = ["".join(s[i : i + n]) for i in range(len(s)) if i + n <= len(s)]
            for g in grams:
                f[n][g] = f[n].get(g, 0) + 1
            if grams:
                first[n][grams[0]] = first[n].get(grams[0], 0) + 1
                last[n][grams[-1]] = last[n].get(grams[-1], 0) + 1
    own = {n: ["".join(string[i : i + n]) for i in range(len(string) - n + 1)] for n in (2, 3)}
    counts = {n: [f[n].get(g, 0) for g in own[n]] for n in (2, 3)}
    ends = {
        n: [first[n].get(own[n][0], 0), last[n].get(own[n][-1], 0)] if own[n] else []
        for n in (2, 3)
    }
    relative = [
        f[n].get(g, 0) / (f[n].get(g, 0) + (sum(f[n].values()) / len(f[n]) if f[n] else 1))
        for n in (2, 3)
        for g in own[n]
    ]
    pooled, pooled_ends = counts[2] + counts[3], ends[2] + ends[3]
    return {
        "global": sum(pooled) / len(pooled) if pooled else math.nan,
        "sum": sum(sum(c) / len(c) for c in counts.values() if c) if pooled else math.nan,
        "anchor": sum(pooled_ends) / len(pooled_ends) if pooled else math.nan,
        "anchor_sum": sum(sum(e) / 2 for e in ends.values() if e) if pooled else math.nan,
        "relative": sum(relative) / len(relative) if relative else math.nan,
        "novel": sum(c == 0 for c in pooled),
    }


@given(many, many)
def test_chunk_measures_against_plain_counting(tested, train):
    expected = {
        key: [reference(s, train)[key] for s in tested] for key in reference(tested[0], train)
    }

    def same(found, key):
        np.testing.assert_allclose(found, expected[key])

    same(chunk_strength(tested, train), "global")
    same(chunk_strength(tested, train, "sum"), "sum")
    same(chunk_strength(tested, train, anchor=True), "anchor")
    same(chunk_strength(tested, train, "sum", anchor=True), "anchor_sum")
    same(relative_chunk_strength(tested, train), "relative")
    found = item_measures(items(*map("".join, tested)), train=[*map("".join, train)])
    same(found.novel_chunks, "novel")
    chunks = [max(len(s) - 1, 0) + max(len(s) - 2, 0) for s in tested]
    known = [c > 0 for c in chunks]
    np.testing.assert_allclose(
        found.novel_chunk_proportion[known],
        np.array(expected["novel"])[known] / np.array(chunks)[known],
    )
    assert np.isnan(found.novel_chunk_proportion[~np.array(known)]).all()


def levenshtein(one, two):
    """By the recursive definition."""
    if not one or not two:
        return len(one) + len(two)
    return min(
        levenshtein(one[1:], two) + 1,
        levenshtein(one, two[1:]) + 1,
        levenshtein(one[1:], two[1:]) + (one[0] != two[0]),
    )


short = st.lists(st.text("abc", max_size=5).map(tuple), min_size=1, max_size=4)


@given(short, short)
def test_edit_distances_by_definition(ones, twos):
    expected = [[levenshtein(a, b) for b in twos] for a in ones]
    assert edit_distances(ones, twos).tolist() == expected


def test_edit_distances_against_rapidfuzz():
    rapidfuzz = pytest.importorskip("rapidfuzz")
    a = grammar("B").sample(60, seed=0)
    b = grammar("A").sample(50, seed=1)
    found = edit_distances([tuple(s) for s in a], [tuple(s) for s in b])
    expected = [[rapidfuzz.distance.Levenshtein.distance(x, y) for y in b] for x in a]
    assert found.tolist() == expected


def test_distances_and_flags_by_hand():
    found = item_measures(items("XVJ", "XVTT", "JJJJ"), train=["XVJ", "XVT", "XVT"])
    assert found.edit_distance_min.values.tolist() == [0, 1, 3]
    assert found.edit_distance_mean.values.tolist() == pytest.approx([2 / 3, 4 / 3, 11 / 3])
    assert found.near.values.tolist() == [True, True, False]
    assert found.legal_first.values.tolist() == [True, True, False]
    once = item_measures(items("XVTT"), train=["XVJ", "XVT", "XVT"], distinct=True)
    assert once.edit_distance_mean.item() == 1.5
    assert once.attrs["train_strings"] == 2 and found.attrs["train_strings"] == 3


def test_patterns_by_hand():
    found = item_measures(items("ABBC", "AAAA", "ABCD"), train=["XVVJ", "TTTT", "TTTT", "JXXV"])
    assert found.same_pattern.values.tolist() == [2, 2, 0]


def test_transitions_by_hand():
    # after X: V twice, X once; after V: J once, T once; J and T end
    found = item_measures(items("XXVJ", "VJ", "JX", "X"), train=["XXVJ", "XVT"])
    assert found.transition_mean.values[:3].tolist() == pytest.approx(
        [(1 / 3 + 2 / 3 + 0.5) / 3, 0.5, 0]
    )
    assert found.transition_min.values[:3].tolist() == pytest.approx([1 / 3, 0.5, 0])
    assert found.transition_log_sum.values[0] == pytest.approx(math.log(1 / 3 * 2 / 3 * 0.5))
    assert found.transition_log_sum.values[2] == -math.inf
    assert np.isnan(found.transition_mean[3]) and np.isnan(found.transition_log_sum[3])


@given(many)
def test_transitions_add_up(train):
    table = transition_table(train)
    for first in {a for a, _ in table}:
        assert sum(p for (a, _), p in table.items() if a == first) == pytest.approx(1)


def test_words_of_a_stream():
    words = grammar("saffran")
    tested = items(" ".join(words.words[0]), words.part_words()[0])
    stream = words.stream(3000, seed=0)
    found = item_measures(tested, train=[stream])
    assert found.transition_mean.values == pytest.approx([1, (1 + 1 / 3) / 2], abs=0.03)
    assert found.novel_chunks.values.tolist() == [0, 0]


def test_training_strings_are_the_grammatical_ones_of_the_set():
    given = stimulus_set("A", train=60, validation=20, test=40, seed=2)
    found = item_measures(given)
    chosen = [
        s
        for s, g, p in zip(
            given.string.values.tolist(), given.grammatical.values, given.split.values, strict=True
        )
        if g and p == "train"
    ]
    assert found.drop_attrs().equals(item_measures(given, train=chosen).drop_attrs())
    assert found.attrs["train_strings"] == 30
    assert found.attrs["provenance"] == given.attrs["provenance"] == "reconstruction"
    assert item_measures(items("ab"), train=["ab"]).attrs["provenance"] == "paper"
    told = items("ab").assign_attrs(provenance="reconstruction")
    assert item_measures(told, train=["ab"]).attrs["provenance"] == "reconstruction"
    assert found.attrs["train_distinct"] == len(set(chosen)) < 30
    assert found.string.equals(given.string.drop_attrs()) or (
        found.string.values.tolist() == given.string.values.tolist()
    )
    for variable in found.data_vars.values():
        assert variable.attrs["long_name"] and variable.attrs["units"]
        assert variable.attrs["references"]
    distinct = item_measures(given, distinct=True)
    assert distinct.attrs["counting"] == "each training string once"
    assert (distinct.chunk_strength_global <= found.chunk_strength_global + 1e-9).all()


def test_refusals():
    with pytest.raises(ValueError, match="variable 'string' over 'item'"):
        item_measures(xr.Dataset({"x": ("item", [1])}), train=["a"])
    with pytest.raises(ValueError, match="no split and no grammatical"):
        item_measures(items("ab"))
    with pytest.raises(TypeError, match="sequence of strings"):
        item_measures(items("ab"), train="ab")
    with pytest.raises(TypeError, match="sequence of strings, one text for each, got 5"):
        item_measures(items("ab"), train=5)
    with pytest.raises(TypeError, match="one text for each, got None, 3 among them"):
        item_measures(items("ab"), train=["ab", None, 3])
    for missing in (None, math.nan, b"ab"):
        with pytest.raises(TypeError, match=r"strings of items must be text, got .* \(item 1\)"):
            item_measures(
                xr.Dataset({"string": ("item", np.array(["ab", missing], object))}), train=["ab"]
            )
    with pytest.raises(ValueError, match="0 training strings"):
        item_measures(items("ab"), train=[])
    with pytest.raises(ValueError, match="1 empty items"):
        item_measures(items("ab", ""), train=["ab"])
    with pytest.raises(ValueError, match="'pooled', 'sum'"):
        chunk_strength([("a", "b")], [("a", "b")], "mean")
