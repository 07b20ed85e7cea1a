"""Learners without a network: chunks counted, exemplars remembered."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from neurodyn.stimuli.abstract_grammar import split_tokens

START, END = "^", "$"


class ChunkLearner:
    r"""Naive Bayes over the bigrams and trigrams of a string, with its beginning and its end.

    .. math::
        \log \frac{P(1 \mid s)}{P(0 \mid s)} = \log \frac{n_1 + \alpha}{n_0 + \alpha}
        + \sum_{k \in \{2, 3\}} \sum_{g \in \mathrm{chunks}_k(s)} \log
        \frac{(n_1(g) + \alpha) / (N_{1k} + \alpha V_k)}{(n_0(g) + \alpha) / (N_{0k} + \alpha V_k)}

    with the counts n of strings and of chunks seen with the feedback "grammatical" (1) and
    "ungrammatical" (0), the number N of all chunks of length k seen, and the number V of possible
    ones. A string is framed by one marker at each end, so that a chunk also says that it begins
    or ends the string. For K letters, :math:`V_2 = (K + 1)^2` and :math:`V_3 = K (K + 1)^2`.

    Parameters
    ----------
    alphabet : sequence of str
        The letters.
    smoothing : float
        Laplace's alpha, positive.

    References
    ----------
    Perruchet & Pacteau (1990), J. Exp. Psychol. Gen. 119, 264-275, and Servan-Schreiber & Anderson
    (1990), J. Exp. Psychol. Learn. Mem. Cogn. 16, 592-608 (grammars learnt as chunks).
    *Reconstruction*: naive Bayes is the simplest learner of chunks from feedback.

    Examples
    --------
    >>> learner = ChunkLearner("AB")
    >>> learner.predict("AB")
    0.5
    >>> learner.update("AB", True)
    >>> learner.predict("AB") > 0.9
    True
    """

    def __init__(self, alphabet: Sequence[str], *, smoothing: float = 1.0) -> None:
        if not smoothing > 0:
            raise ValueError(f"smoothing must be a positive number, got {smoothing!r}")
        letters = check_alphabet(alphabet)
        self.letters = frozenset(letters)
        self.smoothing = smoothing
        self.possible = {2: (len(letters) + 1) ** 2, 3: len(letters) * (len(letters) + 1) ** 2}
        self.strings = [0, 0]
        self.counts: tuple[Counter[tuple[str, ...]], ...] = (Counter(), Counter())
        self.totals: tuple[Counter[int], ...] = (Counter(), Counter())

    def predict(self, string: str) -> float:
        """Return P(grammatical)."""
        wrong, right = (n + self.smoothing for n in self.strings)
        odds = math.log(right / wrong)
        for chunk in self.chunks(string):
            size = len(chunk)
            for kind, sign in ((1, 1), (0, -1)):
                seen = self.counts[kind][chunk] + self.smoothing
                every = self.totals[kind][size] + self.smoothing * self.possible[size]
                odds += sign * math.log(seen / every)
        return sigmoid(odds)

    def update(self, string: str, grammatical: bool) -> None:
        """Learn one string and its feedback."""
        kind = int(bool(grammatical))
        self.strings[kind] += 1
        for chunk in self.chunks(string):
            self.counts[kind][chunk] += 1
            self.totals[kind][len(chunk)] += 1

    def chunks(self, string: str) -> list[tuple[str, ...]]:
        """Return the bigrams and trigrams of a string, its ends marked.

        Examples
        --------
        >>> ["".join(chunk) for chunk in ChunkLearner("AB").chunks("AB")]
        ['^A', 'AB', 'B$', '^AB', 'AB$']
        """
        framed = (START, *check_string(string, self.letters), END)
        return [framed[i : i + n] for n in (2, 3) for i in range(len(framed) - n + 1)]


class ExemplarLearner:
    r"""Similarity to the grammatical strings remembered, among all that are remembered.

    .. math:: P(1 \mid s) = \frac{\sum_{x: y_x = 1} e^{-c\, d(s, x)}}{\sum_x e^{-c\, d(s, x)}}

    the generalised context model without bias, with the edit distance d in letters and one
    exemplar for each string seen with feedback. It is 0.5 as long as nothing is remembered.

    Parameters
    ----------
    alphabet : sequence of str
        The letters.
    sensitivity : float
        The c of the equation, per edit; not negative.

    References
    ----------
    Nosofsky (1986), J. Exp. Psychol. Gen. 115, 39-57. Levenshtein (1966), Sov. Phys. Dokl. 10,
    707-710. *Reconstruction*: the sensitivity, whose default is 1 per edit.

    Examples
    --------
    >>> learner = ExemplarLearner("AB")
    >>> learner.update("AB", True)
    >>> learner.update("BA", False)
    >>> round(learner.predict("AB"), 3)  # 1 / (1 + exp(-2))
    0.881
    """

    def __init__(self, alphabet: Sequence[str], *, sensitivity: float = 1.0) -> None:
        if not 0 <= sensitivity < math.inf:
            raise ValueError(f"sensitivity must be a number from 0 up, got {sensitivity!r}")
        self.letters = frozenset(check_alphabet(alphabet))
        self.sensitivity = sensitivity
        self.remembered: dict[tuple[str, ...], list[int]] = {}

    def predict(self, string: str) -> float:
        """Return P(grammatical)."""
        letters = check_string(string, self.letters)
        if not self.remembered:
            return 0.5
        found = [(edit_distance(letters, x), n) for x, n in self.remembered.items()]
        nearest = min(distance for distance, _ in found)  # so that no sum vanishes
        wrong, right = (
            sum(n[kind] * math.exp(-self.sensitivity * (d - nearest)) for d, n in found)
            for kind in (0, 1)
        )
        return right / (wrong + right)

    def update(self, string: str, grammatical: bool) -> None:
        """Remember one string and its feedback."""
        letters = check_string(string, self.letters)
        self.remembered.setdefault(letters, [0, 0])[int(bool(grammatical))] += 1


BASELINES: dict[str, type[ChunkLearner] | type[ExemplarLearner]] = {
    "chunk": ChunkLearner,
    "exemplar": ExemplarLearner,
}


@lru_cache(maxsize=1 << 18)
def edit_distance(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Return how many letters must be inserted, deleted or replaced to make one of the other.

    Examples
    --------
    >>> edit_distance(tuple("XVJ"), tuple("VJT"))
    2
    """
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            replaced = diagonal + (letter != other)
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, replaced)
    return row[-1]


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def check_alphabet(alphabet: Sequence[str]) -> tuple[str, ...]:
    """Refuse letters that occur twice, or that mark the ends of a string."""
    letters = tuple(alphabet)
    if not letters or len(set(letters)) < len(letters) or {START, END} & set(letters):
        raise ValueError(
            f"the alphabet must be different letters, none of them {START} or {END}, got {letters}"
        )
    return letters


def check_string(string: str, letters: frozenset[str]) -> tuple[str, ...]:
    """Return the letters of a string, or refuse what is not of the alphabet."""
    found = split_tokens(string, letters)
    if not found or not letters.issuperset(found):
        raise ValueError(
            f"string {string!r} must be one or more letters of {', '.join(sorted(letters))}"
        )
    return found
