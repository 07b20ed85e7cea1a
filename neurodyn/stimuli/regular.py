"""Regular grammars: the strings of a finite automaton, with one-letter violations."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodyn.stimuli.abstract_grammar import Grammar, checked_lengths, checked_number
from neurodyn.stimuli.automata import Automaton

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 12  # letters, as in the paper, where the automaton itself sets no limit


class RegularGrammar(Grammar):
    """The strings of a finite automaton.

    `sample` walks from the start at random, all arcs of a state equally likely, one of them "out"
    in an accepting state; strings of other lengths are discarded. `violate` replaces exactly one
    letter by another one of the alphabet so that the automaton no longer accepts.

    Parameters
    ----------
    name : str
        What it is called.
    automaton : Automaton
        The rule.
    lengths : sequence of int, optional
        From the shortest string to the longest, or to 12 letters, by default.
    diagram : Automaton, optional
        What `draw` shows; the same automaton by default.
    provenance, references, options
        See `Grammar`.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861: walk
    and violation. That arcs are equally likely is reconstructed.
    """

    def __init__(
        self,
        name: str,
        automaton: Automaton,
        lengths: Sequence[int] | None = None,
        *,
        diagram: Automaton | None = None,
        provenance: str = "reconstruction",
        references: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if lengths is None:
            last = int(min(automaton.longest, max(LONGEST, automaton.shortest)))
            lengths = [n for n in range(1, last + 1) if automaton.count(n)]
        elif not any(map(automaton.count, checked_lengths(lengths))):
            raise ValueError(
                f"{name} has no string of the lengths {list(lengths)}; its shortest has "
                f"{automaton.shortest} letters"
            )
        super().__init__(name, automaton.alphabet, lengths, provenance, references, options)
        self.automaton = automaton
        self.diagram = automaton if diagram is None else diagram

    def derives(self, tokens: tuple[str, ...]) -> bool:
        """Return whether the automaton accepts."""
        return self.automaton.accepts(tokens)

    def count(self, length: int) -> int:
        """Return how many different strings of this length the automaton accepts."""
        return self.automaton.count(checked_number(length, "length"))

    def walk(self, rng: np.random.Generator) -> tuple[str, ...] | None:
        """Walk at random; None if the string is too short or too long."""
        tokens = self.automaton.walk(rng, self.lengths[-1])
        return None if tokens is None or len(tokens) not in self.lengths else tokens

    def wrong(self, tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return all strings with one letter replaced that the automaton rejects."""
        others = (
            (*tokens[:place], letter, *tokens[place + 1 :])
            for place, token in enumerate(tokens)
            for letter in self.alphabet
            if letter != token
        )
        found = [other for other in others if not self.automaton.accepts(other)]
        if not found:
            raise ValueError(
                f"{self.separator.join(tokens)!r} has no violation under {self.name}: whichever "
                "letter is replaced, it stays grammatical"
            )
        return found

    def complexity(self) -> dict[str, float]:
        """Return measures of complexity, see `neurodyn.stimuli.automata.Automaton.complexity`."""
        return self.automaton.complexity()

    def draw(self) -> "Figure":
        """Return the state diagram: a walk starts at the arrow and may end in double rings."""
        from neurodyn.stimuli.automaton_drawing import automaton_drawing  # with all of matplotlib

        return automaton_drawing(self.diagram)
