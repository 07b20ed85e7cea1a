"""Continuous streams of words, to be found by their transitional probabilities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neurodyn.stimuli.abstract_grammar import (
    Grammar,
    Seed,
    checked_list,
    checked_number,
    checked_token,
    generator,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class WordStream(Grammar):
    r"""Words of syllables, heard one after the other without pauses.

    .. math:: P(b \mid a) = 1 \text{ within a word}, \qquad \frac{1}{W - 1} \text{ between words}

    for W words, none of which follows itself. The grammatical strings are the words; a violation
    is a part-word, the end of the word and the beginning of another, as long as a word and as
    familiar in its parts.

    Parameters
    ----------
    name : str
        What it is called.
    words : sequence of sequences of str
        The syllables of each word; all words equally long, no syllable twice.
    provenance, references
        See `Grammar`.

    Examples
    --------
    >>> words = WordStream("two", [("pa", "bi", "ku"), ("ti", "bu", "do")])
    >>> words.stream(3, seed=0)
    'ti bu do pa bi ku ti bu do'
    >>> words.part_words()[:2]
    ['bi ku ti', 'ku ti bu']
    """

    def __init__(
        self,
        name: str,
        words: Sequence[Sequence[str]],
        *,
        provenance: str = "reconstruction",
        references: str = "",
    ) -> None:
        self.words = tuple(
            tuple(map(checked_token, checked_list(word, "a word", "('pa', 'bi', 'ku')")))
            for word in checked_list(words, "words", "[('pa', 'bi'), ('ti', 'bu')]")
        )
        alphabet = [syllable for word in self.words for syllable in word]
        lengths = {len(word) for word in self.words}
        if len(self.words) < 2 or len(lengths) > 1 or len(set(alphabet)) < len(alphabet):
            raise ValueError(
                "words must be two or more, equally long, and share no syllable, got "
                f"{[' '.join(word) for word in self.words]}"
            )
        if min(lengths) < 2:
            raise ValueError("words of one syllable have no part-words: give two or more syllables")
        options = {"words": [list(word) for word in self.words]}
        super().__init__(name, alphabet, sorted(lengths), provenance, references, options)

    def derives(self, tokens: tuple[str, ...]) -> bool:
        """Return whether the tokens are a word."""
        return tokens in self.words

    def count(self, length: int) -> int:
        """Return the number of words, if they have this length."""
        return len(self.words) if checked_number(length, "length") in self.lengths else 0

    def walk(self, rng: np.random.Generator) -> tuple[str, ...]:
        """Draw a word."""
        return self.words[int(rng.random() * len(self.words))]

    def wrong(self, tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return the part-words that begin within a word."""
        return [
            (*tokens[cut:], *other[:cut])
            for other in self.words
            if other != tokens
            for cut in range(1, len(tokens))
        ]

    def part_words(self) -> list[str]:
        """Return all part-words."""
        return [self.separator.join(part) for word in self.words for part in self.wrong(word)]

    def stream(self, n: int, *, seed: Seed) -> str:
        """Return n words in a row, each equally likely to be any but the one before it.

        Parameters
        ----------
        n : int
            Number of words; 180 in two minutes in the original study.
        seed : int or numpy.random.Generator
            The same seed gives the same stream.
        """
        rng = generator(seed)
        last = -1
        heard: list[str] = []
        for _ in range(checked_number(n, "n")):
            pick = int(rng.random() * (len(self.words) - (last >= 0)))
            last = pick + (0 <= last <= pick)
            heard += self.words[last]
        return self.separator.join(heard)

    def transitional_probabilities(self) -> dict[tuple[str, str], float]:
        """Return P(second | first) for each pair of syllables that may follow each other."""
        found: dict[tuple[str, str], float] = {}
        for word in self.words:
            found |= {pair: 1.0 for pair in zip(word, word[1:], strict=False)}
            for other in self.words:
                if other != word:
                    found[word[-1], other[0]] = 1 / (len(self.words) - 1)
        return found

    def draw(self) -> "Figure":
        """Return a scheme: the words, and the probabilities within and between them."""
        from neurodyn.stimuli.scheme_drawing import words_drawing  # with all of matplotlib

        return words_drawing(self.words)
