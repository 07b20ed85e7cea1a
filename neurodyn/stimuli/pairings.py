"""Grammars beyond regular ones: letters of the second half depend on those of the first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodyn.stimuli.abstract_grammar import (
    Grammar,
    checked_lengths,
    checked_list,
    checked_number,
    checked_token,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pairs = Sequence[Sequence[str] | str]


class PairGrammar(Grammar):
    r"""Strings whose second half holds the partners of the first half's letters.

    .. math:: \text{nested: } w = h_1 \ldots h_m \, p(h_m) \ldots p(h_1), \qquad
              \text{crossed: } w = h_1 \ldots h_m \, p(h_1) \ldots p(h_m)

    with p the pairing, its own inverse. Nested (centre-embedded) dependencies make a context-free
    language, crossed (cross-serial) ones a context-sensitive one.

    `sample` draws the length first, all lengths alike, then the letters of the first half.

    Parameters
    ----------
    name : str
        What it is called.
    order : {"nested", "crossed"}
        Of the partners.
    pairs : sequence of pairs
        Disjoint pairs (A, B) of letters: "PT" or ("P", "T").
    lengths : sequence of int
        Even numbers, in letters.
    any_of_ten : bool
        The first half may use any letter (of ten, where there are five pairs), not only the A of
        each pair.
    violation : {"swap", "replace"}
        Two different letters of one half change places, or one letter is replaced by another that
        may stand there.
    homogeneous : bool
        Whether `sample` also gives strings whose half repeats a single letter, in which no swap
        is possible. `count` and `accepts` include them always.
    provenance, references, options
        See `Grammar`.
    """

    def __init__(
        self,
        name: str,
        order: str,
        pairs: Pairs,
        lengths: Sequence[int],
        *,
        any_of_ten: bool = False,
        violation: str = "swap",
        homogeneous: bool = False,
        provenance: str = "reconstruction",
        references: str = "",
    ) -> None:
        if order not in ("nested", "crossed"):
            raise ValueError(f"order {order!r} is not one of 'nested', 'crossed'")
        if violation not in ("swap", "replace"):
            raise ValueError(f"violation {violation!r} is not one of 'swap', 'replace'")
        self.pairs = checked_pairs(pairs)
        self.partner = {one: two for pair in self.pairs for one, two in (pair, pair[::-1])}
        firsts, seconds = zip(*self.pairs, strict=True)
        self.firsts = (*firsts, *seconds) if any_of_ten else firsts
        options: dict[str, Any] = {
            "pairs": [list(pair) for pair in self.pairs],
            "lengths": list(checked_lengths(lengths)),
            "any_of_ten": any_of_ten,
            "violation": violation,
            "homogeneous": homogeneous,
        }
        super().__init__(
            name, (*firsts, *seconds), lengths, provenance, references, options
        )  # fmt: skip
        if any(length % 2 for length in self.lengths):
            raise ValueError(f"lengths must be even, two halves, got {list(lengths)}")
        self.order, self.violation, self.homogeneous = order, violation, homogeneous
        if not self.size:
            raise ValueError(
                f"all strings of {name} repeat one letter within a half: give more pairs, longer "
                "lengths or homogeneous=True"
            )

    def derives(self, tokens: tuple[str, ...]) -> bool:
        """Return whether the second half holds the partners of the first, in the right order."""
        return self.follows(tokens, self.order)

    def follows(self, tokens: tuple[str, ...], order: str) -> bool:
        """Return whether the tokens are paired in an order, "nested" or "crossed"."""
        middle, odd = divmod(len(tokens), 2)
        first, second = tokens[:middle], tokens[middle:]
        if odd or not first or not set(first) <= set(self.firsts):
            return False
        partners = tuple(self.partner[token] for token in first)
        return second == (partners[::-1] if order == "nested" else partners)

    def count(self, length: int) -> int:
        """Return how many different strings of this length there are, homogeneous ones included."""
        half, odd = divmod(checked_number(length, "length"), 2)
        return 0 if odd or not half else len(self.firsts) ** half

    @property
    def size(self) -> int:
        """How many different strings `sample` can give."""
        left_out = 0 if self.homogeneous else len(self.firsts) * len(self.lengths)
        return super().size - left_out

    def walk(self, rng: np.random.Generator) -> tuple[str, ...] | None:
        """Draw a length and a first half; None if the half is homogeneous and may not be."""
        length = self.lengths[int(rng.random() * len(self.lengths))]
        picks = (rng.random(length // 2) * len(self.firsts)).astype(int)
        first = [self.firsts[pick] for pick in picks]
        if len(set(first)) == 1 and not self.homogeneous:
            return None
        second = [self.partner[token] for token in first]
        return (*first, *(second[::-1] if self.order == "nested" else second))

    def wrong(self, tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return all violations: swaps within a half, or single letters replaced."""
        found = self.swaps(tokens) if self.violation == "swap" else self.replacements(tokens)
        if not found:
            raise ValueError(
                f"{self.separator.join(tokens)!r} has no violation under {self.name}: its halves "
                "repeat one letter, and none can be swapped for a different one"
                if self.violation == "swap"
                else f"{self.name} has one pair only: there is no letter to put in place of another"
            )
        return found

    def swaps(self, tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return all strings with two different letters of one half exchanged."""
        middle = len(tokens) // 2
        found = []
        for start in (0, middle):
            for i in range(start, start + middle):
                for j in range(i + 1, start + middle):
                    if tokens[i] != tokens[j]:
                        other = list(tokens)
                        other[i], other[j] = tokens[j], tokens[i]
                        found.append(tuple(other))
        return found

    def replacements(self, tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return all strings with one letter replaced by another that may stand in that half."""
        middle = len(tokens) // 2
        seconds = [self.partner[token] for token in self.firsts]
        return [
            (*tokens[:place], letter, *tokens[place + 1 :])
            for place, token in enumerate(tokens)
            for letter in (self.firsts if place < middle else seconds)
            if letter != token
        ]

    def palindromic(self, string: str) -> bool:
        """Return whether the first half reads the same both ways.

        A grammatical string with such a half is grammatical nested and crossed.
        """
        tokens = self.tokens(string)
        half = tokens[: len(tokens) // 2]
        return half == half[::-1]

    def ambiguous(self, string: str) -> bool:
        """Return whether the string is grammatical under the other order, crossed or nested."""
        other = "crossed" if self.order == "nested" else "nested"
        return self.follows(self.tokens(string), other)

    def draw(self) -> "Figure":
        """Return a scheme of a string of six letters: which depends on which, and the pairs."""
        from neurodyn.stimuli.scheme_drawing import pairs_drawing  # with all of matplotlib

        return pairs_drawing(self.pairs, self.order, both_ways=len(self.firsts) > len(self.pairs))


class ClassGrammar(Grammar):
    r"""Strings of two classes of letters: :math:`A^n B^n` (context-free) or :math:`(AB)^n` (regular).

    `sample` draws the length first, all lengths alike, then a letter of its class for each place.
    `violate` replaces one letter by a letter of the other class.

    Parameters
    ----------
    name : str
        What it is called.
    pattern : {"blocks", "alternating"}
        All of A then all of B, or A B A B ...
    classes : two sequences of str
        The letters of A and those of B, none in both.
    lengths : sequence of int
        Even numbers, in letters.
    provenance, references
        See `Grammar`.
    """  # noqa: E501

    def __init__(
        self,
        name: str,
        pattern: str,
        classes: tuple[Sequence[str], Sequence[str]],
        lengths: Sequence[int],
        *,
        provenance: str = "reconstruction",
        references: str = "",
    ) -> None:
        self.classes = tuple(
            tuple(map(checked_token, checked_list(letters, "a class", "'BDGP'")))
            for letters in checked_list(classes, "classes", "('BDGP', 'FSVZ')")
        )
        alphabet = [letter for letters in self.classes for letter in letters]
        if len(self.classes) != 2 or not all(self.classes) or len(set(alphabet)) < len(alphabet):
            raise ValueError(f"classes must be two disjoint sets of letters, got {classes!r}")
        options = {
            "classes": [list(letters) for letters in self.classes],
            "lengths": list(checked_lengths(lengths)),
        }
        super().__init__(name, alphabet, lengths, provenance, references, options)
        if any(length % 2 for length in self.lengths):
            raise ValueError(f"lengths must be even, n of each class, got {list(lengths)}")
        self.pattern = pattern

    def places(self, length: int) -> list[tuple[str, ...]]:
        """Return the class of each place of a string."""
        one, two = self.classes
        half = length // 2
        return [one] * half + [two] * half if self.pattern == "blocks" else [one, two] * half

    def derives(self, tokens: tuple[str, ...]) -> bool:
        """Return whether each token is of the class of its place."""
        if not tokens or len(tokens) % 2:
            return False
        places = self.places(len(tokens))
        return all(token in letters for token, letters in zip(tokens, places, strict=True))

    def count(self, length: int) -> int:
        """Return how many different strings of this length there are."""
        one, two = self.classes
        half, odd = divmod(checked_number(length, "length"), 2)
        return 0 if odd or not half else (len(one) * len(two)) ** half

    def walk(self, rng: np.random.Generator) -> tuple[str, ...]:
        """Draw a length, then a letter for each place."""
        places = self.places(self.lengths[int(rng.random() * len(self.lengths))])
        return tuple(letters[int(rng.random() * len(letters))] for letters in places)

    def wrong(self, tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return all strings with one letter of the wrong class."""
        one, two = self.classes
        return [
            (*tokens[:place], letter, *tokens[place + 1 :])
            for place, token in enumerate(tokens)
            for letter in (two if token in one else one)
        ]

    def draw(self) -> "Figure":
        """Return a scheme: the classes of the places, and the letters of the classes."""
        from neurodyn.stimuli.scheme_drawing import classes_drawing

        return classes_drawing(self.classes, self.places(6))


def checked_pairs(pairs: Pairs) -> tuple[tuple[str, str], ...]:
    """Return disjoint pairs of letters."""
    found = [
        tuple(map(checked_token, checked_list(pair, "a pair", "'PT'")))
        for pair in checked_list(pairs, "pairs", "('PT', 'NH')")
    ]
    letters = [letter for pair in found for letter in pair]
    if not found or any(len(p) != 2 for p in found) or len(set(letters)) < len(letters):
        raise ValueError(
            f"pairs must be disjoint pairs of different letters such as ('PT', 'NH'), got {pairs!r}"
        )
    return tuple((one, two) for one, two in found)
