import json

import numpy as np
import pytest

import neurodyn as nd
from neurodyn.stimuli.grammar import automaton, grammar, grammar_names
from neurodyn.stimuli.grammar_items import stimulus_set

SPLITS = {"train": 500, "validation": 100, "test": 200}


@pytest.mark.parametrize("name", grammar_names())
def test_the_set_is_what_it_says(name):
    g = grammar(name)
    items = stimulus_set(name, seed=1)
    assert dict(items.sizes) == {"item": 800}
    trained = set(items.string.values[items.split == "train"])
    for split, size in SPLITS.items():
        part = items.sel(item=items.split == split)
        assert part.sizes["item"] == size and part.grammatical.sum() == size // 2
        right, wrong = part.sel(item=part.grammatical), part.sel(item=~part.grammatical)
        # each violation is made from another string of the same split
        assert sorted(wrong.source.values) == sorted(right.string.values)
        assert sorted(wrong.length.values) == sorted(right.length.values)
        assert not right.source.values.astype(bool).any()
        for start in range(0, size, 20):
            assert part.grammatical[start : start + 20].sum() == 10
        if split != "train":
            seen = [string in trained for string in part.string.values]
            assert part.seen.values.tolist() == seen
            assert items.attrs[f"seen_{split}"] == np.mean(seen)
    assert not items.seen[items.split == "train"].any()
    for item in items.item.values:
        row = {key: items[key].values[item] for key in items.data_vars}
        assert g.accepts(str(row["string"])) == row["grammatical"]
        tokens = g.tokens(str(row["string"]))
        assert len(tokens) == row["length"]
        if row["grammatical"]:
            assert row["first_violation"] == row["last_violation"] == -1
        else:
            source = g.tokens(str(row["source"]))
            assert str(row["string"]) in g.violations(str(row["source"]))
            first, last = row["first_violation"], row["last_violation"]
            assert tokens[:first] == source[:first] and tokens[first] != source[first]
            assert tokens[last + 1 :] == source[last + 1 :] and tokens[last] != source[last]


@pytest.mark.parametrize("name", ["A", "B", "CF", "CS"])
def test_disjoint(name):
    items = stimulus_set(name, seed=0, overlap="disjoint")
    assert len(set(items.string.values)) == 800
    assert items.attrs["seen_test"] == items.attrs["seen_validation"] == 0
    assert not items.seen.any()


@pytest.mark.parametrize("name", ["A", "B", "CF"])
def test_no_split_of_a_disjoint_set_gets_the_longer_strings(name):
    found = []
    for seed in range(12):
        items = stimulus_set(name, seed=seed, overlap="disjoint")
        right = items.sel(item=items.grammatical)
        every, split = right.length.values, right.split.values
        for one, n in (("train", 250), ("validation", 50), ("test", 100)):
            # of n of 400 lengths dealt without replacement, the mean has this standard error
            error = every.std(ddof=1) * np.sqrt((1 - n / 400) / n)
            found.append((every[split == one].mean() - every.mean()) / error)
    z = np.reshape(found, (12, 3))
    assert abs(z.mean(0)).max() < 3 / np.sqrt(12) and abs(z).max() < 4
    assert 0.6 < np.sqrt((z**2).mean()) < 1.4  # and random, not stratified


def test_random_walks_overlap_as_expected():
    # With grammar A, 250 draws hold about 77 different strings, and about 82 % of fresh draws are
    # among them; B: 103 and 74 %.
    for name, different, share in (("A", 77, 0.82), ("B", 103, 0.74)):
        found = []
        for seed in range(15):
            items = stimulus_set(name, seed=seed)
            right = items.sel(item=items.grammatical)
            train, test = right.split.values == "train", right.split.values == "test"
            found.append((len(set(right.string.values[train])), right.seen.values[test].mean()))
        count, seen = np.mean(found, axis=0)
        assert count == pytest.approx(different, rel=0.06)
        assert seen == pytest.approx(share, abs=0.05)


def test_flags_of_pairs():
    items = stimulus_set("CF", seed=0)
    crossed = grammar("CS")
    strings = items.string.values.tolist()
    assert items.ambiguous.values.tolist() == [crossed.accepts(s) for s in strings]
    halves = [str(s or t) for s, t in zip(items.source.values, strings, strict=True)]
    halves = [s[: len(s) // 2] for s in halves]
    assert items.palindromic.values.tolist() == [h == h[::-1] for h in halves]
    short = (items.length == 4) & ~items.grammatical
    assert items.ambiguous[short].all()
    assert not stimulus_set("A").ambiguous.any()


def test_a_seed_gives_the_set():
    one, two = stimulus_set("B", seed=5), stimulus_set(grammar("B"), seed=5)
    assert one.identical(two)
    assert not one.equals(stimulus_set("B", seed=6))
    small = stimulus_set("B", seed=5, train=100)
    test = [s.string.values[s.split == "test"].tolist() for s in (one, small)]
    assert test[0] == test[1]


@pytest.mark.parametrize("overlap", ["allowed", "disjoint"])
def test_saved_and_loaded(tmp_path, overlap):
    own = automaton({0: {"a": 0, "b": 1}, 1: {"c": 0}}, start=0, accept=[1])
    for g in (grammar("CS", any_of_ten=True), own):
        items = stimulus_set(g, train=20, validation=0, test=10, overlap=overlap)
        found = nd.load(nd.save(items, tmp_path / "items.nc"))
        assert found.identical(items)
        assert json.loads(found.attrs["alphabet"]) == list(g.alphabet)
        config = json.loads(found.attrs["config"])
        assert config["grammar"] == g.name and config["options"] == g.options
        assert found.attrs["max_length"] == max(g.lengths)
        assert found.attrs["language_size"] == g.size
        assert all(found[v].attrs["long_name"] and found[v].attrs["units"] for v in found.variables)


@pytest.mark.parametrize(("name", "size"), [("SXK", 32), ("RQ", 24), ("LNP", 68)])
def test_small_languages_say_that_they_overlap(name, size):
    items = stimulus_set(name)
    assert items.attrs["language_size"] == size
    assert f"they must, because the language has {size} strings" in items.attrs["overlap_note"]
    assert items.attrs["seen_test"] > 0.6
    with pytest.raises(ValueError, match=f"{name} has {size} different strings .* needs 400"):
        stimulus_set(name, overlap="disjoint")
    assert "must" not in stimulus_set("A").attrs["overlap_note"]


def test_all_of_a_small_language():
    for seed in range(8):  # whichever comes first, no string is left without a violation
        items = stimulus_set("RQ", train=30, validation=8, test=10, overlap="disjoint", seed=seed)
        assert len(set(items.string.values)) == 48
        assert items.grammatical.sum() == 24


@pytest.mark.parametrize("overlap", ["allowed", "disjoint"])
def test_strings_without_a_violation_are_drawn_again(overlap):
    # "a" and "b" may both stand alone, and after "c" only "a" may
    own = automaton({0: {"a": 1, "b": 1, "c": [1, 2]}, 1: {}, 2: {"a": 1}}, start=0, accept=[1])
    for string in "abc":
        with pytest.raises(ValueError, match="no violation"):
            own.violations(string)
    wide = 20 if overlap == "allowed" else 2
    items = stimulus_set(own, train=wide, validation=0, test=0, overlap=overlap)
    assert set(items.string.values[items.grammatical]) == {"ca"}
    assert set(items.source.values[~items.grammatical]) == {"ca"}
    assert set(items.string.values[~items.grammatical]) <= {"aa", "ba", "cb", "cc"}


def test_refusals():
    with pytest.raises(ValueError, match="train must be even"):
        stimulus_set("A", train=5)
    with pytest.raises(ValueError, match="test must be a whole number"):
        stimulus_set("A", test=-2)
    with pytest.raises(ValueError, match="'allowed', 'disjoint'"):
        stimulus_set("A", overlap="none")
    with pytest.raises(ValueError, match="no items"):
        stimulus_set("A", train=0, validation=0, test=0)
    with pytest.raises(ValueError, match="seed must be"):
        stimulus_set("A", seed=-1)
    with pytest.raises(TypeError, match="Grammar or its name, got int"):
        stimulus_set(3)
    for lengths in ([1, 2], None):  # all 6 of them seen, or as many as are drawn
        anything = automaton({0: {"a": 0, "b": 0}}, start=0, accept=[0], lengths=lengths)
        for overlap in ("allowed", "disjoint"):
            with pytest.raises(ValueError, match="no string of own has a violation"):
                stimulus_set(anything, train=4, validation=0, test=0, overlap=overlap)
