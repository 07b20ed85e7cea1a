import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.models.chunk_learners import ChunkLearner, ExemplarLearner, edit_distance

words = st.text("ABC", min_size=1, max_size=5)


def recursive(a, b):
    """Levenshtein's distance by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        recursive(a[1:], b) + 1, recursive(a, b[1:]) + 1, recursive(a[1:], b[1:]) + (a[0] != b[0])
    )


@given(a=words, b=words)
def test_the_edit_distance_is_levenshteins(a, b):
    assert edit_distance(tuple(a), tuple(b)) == recursive(a, b) == edit_distance(tuple(b), tuple(a))


def test_chunks_count_as_by_hand():
    learner = ChunkLearner("AB", smoothing=1.0)
    learner.update("AB", True)  # ^A AB B$ ^AB AB$
    learner.update("B", False)  # ^B B$ ^B$
    # prior 2 : 2; of AB: V2 = 9, V3 = 2 * 9 = 18
    right = (2 / 12) * (2 / 12) * (2 / 12) * (2 / 20) * (2 / 20)
    wrong = (1 / 11) * (1 / 11) * (2 / 11) * (1 / 19) * (1 / 19)
    assert learner.predict("AB") == pytest.approx(right / (right + wrong), rel=1e-12)
    learner.update("B", False)
    wrong = (1 / 13) * (1 / 13) * (3 / 13) * (1 / 20) * (1 / 20)
    assert learner.predict("AB") == pytest.approx(2 * right / (2 * right + 3 * wrong), rel=1e-12)


def test_the_possible_chunks_are_as_many_as_there_are():
    learner, seen = ChunkLearner("ABC"), {2: set(), 3: set()}
    for n in range(4):
        for string in np.ndindex(*[3] * n):
            framed = ("^", *("ABC"[k] for k in string), "$")
            for size in (2, 3):
                for i in range(len(framed) - size + 1):
                    seen[size].add(framed[i : i + size])
    assert learner.possible == {size: len(found) for size, found in seen.items()}


def test_exemplars_count_as_by_hand():
    learner = ExemplarLearner("ABC", sensitivity=0.7)
    for string, right in (("AB", True), ("AB", True), ("ABC", False), ("CCA", True)):
        learner.update(string, right)
    near = [math.exp(-0.7 * d) for d in (1, 1, 2, 3)]  # of "AA": AB, AB, ABC, CCA
    expected = (near[0] + near[1] + math.exp(-0.7 * 2)) / (
        near[0] + near[1] + near[2] + math.exp(-0.7 * 2)
    )
    assert recursive("AA", "CCA") == 2 and recursive("AA", "ABC") == 2
    assert learner.predict("AA") == pytest.approx(expected, rel=1e-12)


@given(strings=st.lists(st.tuples(words, st.booleans()), max_size=8), asked=words)
def test_the_order_of_what_was_learnt_does_not_matter(strings, asked):
    for make in (ChunkLearner, ExemplarLearner):
        forward, backward = make("ABC"), make("ABC")
        for string, right in strings:
            forward.update(string, right)
        for string, right in reversed(strings):
            backward.update(string, right)
        assert forward.predict(asked) == pytest.approx(backward.predict(asked), abs=1e-12)
        assert 0 <= forward.predict(asked) <= 1


def test_a_distant_string_is_not_lost_in_rounding():
    learner = ExemplarLearner("AB", sensitivity=1000.0)
    learner.update("A" * 9, True)
    assert learner.predict("BBB") == 1.0
    learner.update("B" * 9, False)
    assert learner.predict("BBBA") == 0.0


def test_a_language_of_bigrams_is_learnt():
    draw = np.random.default_rng(0)
    learner, right = ChunkLearner("ABCD"), 0
    for k in range(300):
        grammatical = bool(draw.integers(2))
        pair = ("AB", "CD") if grammatical else ("AC", "BD")
        string = "".join(draw.choice(pair, 3))
        right += ((learner.predict(string) > 0.5) == grammatical) * (k >= 100)
        learner.update(string, grammatical)
    assert right == 200


def test_what_cannot_be_is_refused():
    for make in (ChunkLearner, ExemplarLearner):
        with pytest.raises(ValueError, match="the alphabet must be different letters"):
            make("AA")
        with pytest.raises(ValueError, match=r"none of them \^ or \$"):
            make("A$")
        with pytest.raises(ValueError, match="string 'AQ' must be one or more letters of A, B"):
            make("AB").predict("AQ")
        with pytest.raises(ValueError, match="string '' must be"):
            make("AB").update("", True)
    with pytest.raises(ValueError, match="smoothing must be a positive number, got 0"):
        ChunkLearner("AB", smoothing=0)
    with pytest.raises(ValueError, match="sensitivity must be a number from 0 up, got -1"):
        ExemplarLearner("AB", sensitivity=-1)
