"""What every grammar can do, whatever its rule."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRIES = 100_000  # draws in a row that give nothing new, before giving up
Seed = int | np.random.Generator


class Grammar(abc.ABC):
    """A set of strings with a rule: what it accepts, how many there are, samples, violations.

    A string is plain text, one character for each token ("XVJT"). Only where tokens are longer
    (syllables) is there one space between them ("pa bi ku").

    Attributes
    ----------
    name : str
        As `neurodyn.stimuli.grammar.grammar` knows it.
    alphabet : tuple of str
        All tokens.
    lengths : tuple of int
        In tokens: what is sampled. It does not limit what is grammatical.
    provenance : str
        "paper" where rule and letters are those of the references, "reconstruction" where
        something was not stated there or is known at second hand.
    references : str
        Where they come from.
    options : dict
        What was chosen for this grammar, as plain values that JSON can hold.

    See Also
    --------
    neurodyn.stimuli.grammar.grammar : the published ones by name.
    """

    def __init__(
        self,
        name: str,
        alphabet: Sequence[str],
        lengths: Sequence[int],
        provenance: str,
        references: str,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.alphabet = tuple(alphabet)
        self.lengths = checked_lengths(lengths)
        self.provenance = checked_provenance(provenance)
        self.references = references
        self.options = dict(options or {})
        self.separator = separator(self.alphabet)

    def __repr__(self) -> str:
        shown = "".join(self.alphabet) if not self.separator else " ".join(self.alphabet)
        steps = f"{self.lengths[0]} to {self.lengths[-1]}"
        if self.lengths != tuple(range(self.lengths[0], self.lengths[-1] + 1)):
            steps = ", ".join(map(str, self.lengths))
        return f"{type(self).__name__}({self.name!r}, alphabet {shown}, lengths {steps})"

    @abc.abstractmethod
    def derives(self, tokens: tuple[str, ...]) -> bool:
        """Return whether the rule gives these tokens."""

    @abc.abstractmethod
    def count(self, length: int) -> int:
        """Return how many different grammatical strings of this length there are, in tokens."""

    @abc.abstractmethod
    def walk(self, rng: np.random.Generator) -> tuple[str, ...] | None:
        """Draw a string's tokens; None where its length is not allowed, to be drawn again."""

    @abc.abstractmethod
    def wrong(self, tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return all violations of a grammatical string; ValueError if there is none."""

    @abc.abstractmethod
    def draw(self) -> "Figure":
        """Return a drawing of the rule, which may be shown to participants as its scheme."""

    @property
    def size(self) -> int:
        """How many different strings `sample` can give."""
        return sum(self.count(length) for length in self.lengths)

    def palindromic(self, string: str) -> bool:
        """Return whether the first half reads the same both ways, where halves have a meaning."""
        return False

    def ambiguous(self, string: str) -> bool:
        """Return whether the string also follows the rule that this one is contrasted with."""
        return False

    def tokens(self, string: str) -> tuple[str, ...]:
        """Return the tokens of a string, which need not be of the alphabet."""
        if not isinstance(string, str):
            raise TypeError(f"a string of {self.name} is text, got {type(string).__name__}")
        return split_tokens(string, self.alphabet)

    def accepts(self, string: str) -> bool:
        """Return whether a string is grammatical, of whatever length."""
        return self.derives(self.tokens(string))

    def sample(self, n: int, *, seed: Seed) -> list[str]:
        """Draw grammatical strings of the allowed lengths, each independently of the others.

        Parameters
        ----------
        n : int
            How many. Strings repeat, short ones often.
        seed : int or numpy.random.Generator
            The same seed gives the same strings; a generator is advanced.
        """
        rng = generator(seed)
        return [self.sample_one(rng) for _ in range(checked_number(n, "n"))]

    def sample_one(self, rng: np.random.Generator) -> str:
        """Draw one string of an allowed length; others are discarded."""
        for _ in range(TRIES):
            tokens = self.walk(rng)
            if tokens is not None:
                return self.separator.join(tokens)
        raise ValueError(
            f"{self.name} gave no string of the lengths {list(self.lengths)} in {TRIES} draws; "
            "allow others"
        )

    def violations(self, string: str) -> list[str]:
        """Return all strings that `violate` may give for a grammatical string."""
        tokens = self.tokens(string)
        if not self.derives(tokens):
            raise ValueError(
                f"{string!r} is not grammatical under {self.name}, so it cannot be violated; "
                "give a string that `accepts` takes"
            )
        return [self.separator.join(other) for other in self.wrong(tokens)]

    def violate(self, string: str, *, seed: Seed) -> str:
        """Make a grammatical string ungrammatical, keeping its length.

        Parameters
        ----------
        string : str
            One that `accepts` takes.
        seed : int or numpy.random.Generator
            All violations are equally likely.

        Raises
        ------
        ValueError
            If the string is not grammatical, or has no violation.
        """
        found = self.violations(string)
        return found[int(generator(seed).integers(len(found)))]


def separator(alphabet: Iterable[str]) -> str:
    """Return what stands between tokens: a space where any is longer than a character, or nothing.

    Examples
    --------
    >>> separator("XV"), separator(["pa", "bi"])
    ('', ' ')
    """
    return " " if any(len(token) > 1 for token in alphabet) else ""


def split_tokens(string: str, alphabet: Iterable[str]) -> tuple[str, ...]:
    """Return the tokens of a string, which need not be of the alphabet; it says how they are cut.

    Examples
    --------
    >>> split_tokens("XVT", "XV"), split_tokens("pa bi", ["pa", "bi"])
    (('X', 'V', 'T'), ('pa', 'bi'))
    """
    between = separator(alphabet)
    return tuple(string.split(between) if between and string else string)


def generator(seed: Seed) -> np.random.Generator:
    """Return the generator of a seed, or the one given."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up or a Generator, got {seed!r}")
    return np.random.default_rng(int(seed))


def checked_number(n: int, name: str) -> int:
    """Return a whole number from 0 up."""
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 0:
        raise ValueError(f"{name} must be a whole number from 0 up, got {n!r}")
    return int(n)


def checked_lengths(lengths: Sequence[int]) -> tuple[int, ...]:
    """Return the lengths in order."""
    given = checked_list(lengths, "lengths", "[4, 6, 8]")
    if not given or not all(isinstance(x, Integral) and int(x) >= 1 for x in given):
        raise ValueError(f"lengths must be whole numbers from 1 up, got {lengths!r}")
    return tuple(sorted({int(x) for x in given}))


def checked_list(values: Any, name: str, example: str) -> list[Any]:
    """Return what is in a sequence of any kind."""
    if not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a sequence such as {example}, got {values!r}")
    return list(values)


def checked_provenance(provenance: str) -> str:
    """Return it if it is one of the two."""
    if provenance not in ("paper", "reconstruction"):
        raise ValueError(f"provenance {provenance!r} is not one of 'paper', 'reconstruction'")
    return provenance


def checked_token(token: Any) -> str:
    """Return a token: text without spaces."""
    if not isinstance(token, str) or not token or token.split() != [token]:
        raise ValueError(f"a token is text without spaces, got {token!r}")
    return token
