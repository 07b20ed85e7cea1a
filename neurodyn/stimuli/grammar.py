"""Artificial grammars by name, and one of your own."""

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from neurodyn.stimuli.abstract_grammar import Grammar as Grammar
from neurodyn.stimuli.abstract_grammar import checked_list
from neurodyn.stimuli.automata import Automaton
from neurodyn.stimuli.automaton_tables import ALAMIA, PUBLISHED, from_table
from neurodyn.stimuli.automaton_tables import TEN_REGULAR as TEN_REGULAR
from neurodyn.stimuli.pairings import ClassGrammar, PairGrammar, Pairs
from neurodyn.stimuli.regular import RegularGrammar
from neurodyn.stimuli.streams import WordStream

PAIRS = ("PT", "NH", "DS", "FK", "GL")  # the first two are the paper's


def grammar(name: str, **options: Any) -> Grammar:
    """Return a published grammar.

    Parameters
    ----------
    name : str
        One of `grammar_names`.

        - "A", "B": the regular grammars of the paper; "reber-1969", "mathews-1989", "reber-1967",
          "skosnik-2002", "meulemans-1997", "SXK", "RQ", "LNP": with A and B the ten of Schiff &
          Katan (`TEN_REGULAR`), the last three finite (32, 24 and 68 strings); "reber" (the usual
          letters, T or P first) and "embedded-reber".
        - "CF", "CS": the paper's context-free and context-sensitive grammars; "centre-embedded",
          "cross-serial": the same with other pairs, lengths and violations; "biconditional".
        - "AnBn", "ABn": blocks and alternation of two classes of letters.
        - "saffran": four words of three syllables, and their stream.
    **options
        Regular grammars: `lengths`. "CF" and "CS": `pairs`, `lengths`, `any_of_ten`,
        `homogeneous`; "centre-embedded" and "cross-serial" also `violation`; see
        `neurodyn.stimuli.pairings.PairGrammar`. "biconditional": `pairs`, `lengths`, `violation`.
        "AnBn", "ABn": `classes`, `lengths`. "saffran": `words`.

    Returns
    -------
    Grammar
        With `accepts`, `count`, `sample`, `violate` and `draw`.

    Raises
    ------
    ValueError
        For an unknown name or option.

    See Also
    --------
    automaton : one of your own.
    neurodyn.stimuli.grammar_items.stimulus_set : training, validation and test strings.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Comparing feedforward and recurrent neural
    network architectures with human behavior in artificial grammar learning, Sci. Rep. 10, 22172,
    arXiv 1902.04861. Schiff & Katan (2014), Front. Psychol.
    5, 1084. Each grammar names its own in ``.references``.

    Examples
    --------
    >>> a = grammar("A")
    >>> a.accepts("XVJ"), a.accepts("XJV"), a.count(4)
    (True, False, 7)
    >>> a.sample(3, seed=0)
    ['VJTXVX', 'VT', 'VJ']
    >>> grammar("CF").violate("PPNHTT", seed=0)
    'PPNTTH'
    """
    if not isinstance(name, str) or name not in BUILDERS:
        raise ValueError(f"grammar {name!r} is not one of {', '.join(BUILDERS)}")
    builder = BUILDERS[name]
    allowed = [
        key
        for key, parameter in inspect.signature(builder).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key != "name"
    ]
    unknown = [key for key in options if key not in allowed]
    if unknown:
        raise ValueError(
            f"grammar {name!r} has no option {', '.join(unknown)}; it has {', '.join(allowed)}"
        )
    return builder(**options)


def grammar_names() -> tuple[str, ...]:
    """Return the names that `grammar` takes.

    Examples
    --------
    >>> grammar_names()[:4]
    ('A', 'B', 'CF', 'CS')
    """
    return tuple(BUILDERS)


def automaton(
    transitions: Mapping[Hashable, Any] | Any,
    *,
    start: Hashable,
    accept: Iterable[Hashable],
    name: str = "own",
    lengths: Sequence[int] | None = None,
    provenance: str = "reconstruction",
    references: str = "",
) -> RegularGrammar:
    """Return the regular grammar of an automaton of your own.

    Parameters
    ----------
    transitions : mapping, or a directed graph of networkx
        ``{state: {letter: target}}``, or a list of targets where there are several;
        ``{state: [(letter, target), ...]}``; or a graph whose edges carry an attribute "letter".
    start : hashable
        The start state.
    accept : iterable of states
        Where a string may end.
    name : str
        What it is called.
    lengths : sequence of int, optional
        Which strings are sampled; up to 12 letters by default.
    provenance : {"reconstruction", "paper"}
        Whether the automaton is a published one, to the letter.
    references : str
        Where it comes from.

    Raises
    ------
    ValueError
        If states are unknown, unreachable or dead ends, or no string has an allowed length.

    Examples
    --------
    >>> own = automaton({0: {"a": 0, "b": 1}, 1: {"c": 0}}, start=0, accept=[1], lengths=[2, 3])
    >>> own.sample(3, seed=0), own.violate("ab", seed=0)
    (['bcb', 'bcb', 'ab'], 'ac')
    """
    if isinstance(accept, str) or not isinstance(accept, Iterable):
        raise ValueError(f"accept must be a list of states, got {accept!r}")
    machine = Automaton(transitions, start, accept)
    options: dict[str, Any] = {
        "transitions": [
            [str(source), letter, str(target)]
            for source in machine.order
            for letter, target in machine.arcs[source]
        ],
        "start": str(start),
        "accept": sorted(map(str, machine.accept)),
    }
    made = RegularGrammar(
        name, machine, lengths, provenance=provenance, references=references, options=options
    )
    made.options["lengths"] = list(made.lengths)
    return made


def published(name: str, *, lengths: Sequence[int] | None = None) -> RegularGrammar:
    """Return a regular grammar of the tables."""
    known = PUBLISHED[name]
    machine = from_table(known.table)
    made = RegularGrammar(
        name,
        machine,
        known.lengths if lengths is None else lengths,
        diagram=machine.merged(),
        provenance=known.provenance,
        references=known.references,
    )
    made.options["lengths"] = list(made.lengths)
    return made


def paired(
    name: str,
    order: str,
    *,
    pairs: Pairs = PAIRS,
    lengths: Sequence[int] = (4, 6, 8),
    any_of_ten: bool = False,
    homogeneous: bool = False,
) -> PairGrammar:
    """Return the paper's CF or CS: a violation swaps two letters of one half."""
    return PairGrammar(
        name, order, pairs, lengths, any_of_ten=any_of_ten, homogeneous=homogeneous,
        references=f"{ALAMIA}: grammar {name}. Only the pairs P-T and N-H are known",
    )  # fmt: skip


def dependencies(
    name: str,
    order: str,
    *,
    pairs: Pairs = PAIRS[:3],
    lengths: Sequence[int] = (6,),
    any_of_ten: bool = False,
    violation: str = "replace",
    homogeneous: bool = True,
) -> PairGrammar:
    """Return nested or crossed dependencies of whatever length and letters."""
    return PairGrammar(
        name, order, pairs, lengths, any_of_ten=any_of_ten, violation=violation,
        homogeneous=homogeneous,
        references="de Vries, Monaghan, Knecht & Zwitserlood (2008), Cognition 107, 763-774; "
        "de Vries, Petersson, Geukes, Zwitserlood & Christiansen (2012), Phil. Trans. R. Soc. B "
        "367, 2065-2076, with letters for syllables",
    )  # fmt: skip


def biconditional(
    *,
    pairs: Pairs = ("DF", "GL", "KX"),
    lengths: Sequence[int] = (8,),
    violation: str = "replace",
) -> PairGrammar:
    """Return the bi-conditional grammar: the letter four places on is the partner, either way."""
    return PairGrammar(
        "biconditional", "crossed", pairs, lengths, any_of_ten=True, violation=violation,
        homogeneous=True,
        references="Mathews et al. (1989), J. Exp. Psychol. Learn. Mem. Cogn. 15, 1083-1100; "
        "Shanks, Johnstone & Staggs (1997), Q. J. Exp. Psychol. A 50, 216-252",
    )  # fmt: skip


def two_classes(
    name: str,
    pattern: str,
    *,
    classes: tuple[Sequence[str], Sequence[str]] = ("BDGP", "FSVZ"),
    lengths: Sequence[int] = (4, 6),
) -> ClassGrammar:
    """Return blocks or alternation of two classes of letters."""
    return ClassGrammar(
        name, pattern, classes, lengths,
        references="Fitch & Hauser (2004), Science 303, 377-380, with letters for syllables",
    )  # fmt: skip


def saffran(
    *, words: Sequence[Sequence[str]] = ("pa bi ku", "ti bu do", "go la tu", "da ro pi")
) -> WordStream:
    """Return the words of a stream; each is its syllables, or text with spaces between them."""
    given = checked_list(words, "words", "['pa bi ku', 'ti bu do']")
    split = [word.split() if isinstance(word, str) else word for word in given]
    return WordStream(
        "saffran", split, provenance="paper",
        references="Saffran, Aslin & Newport (1996), Science 274, 1926-1928, experiment 2",
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[..., Grammar]] = {
    "A": partial(published, "A"),
    "B": partial(published, "B"),
    "CF": partial(paired, "CF", "nested"),
    "CS": partial(paired, "CS", "crossed"),
    **{name: partial(published, name) for name in PUBLISHED if name not in ("A", "B")},
    "centre-embedded": partial(dependencies, "centre-embedded", "nested"),
    "cross-serial": partial(dependencies, "cross-serial", "crossed"),
    "biconditional": biconditional,
    "AnBn": partial(two_classes, "AnBn", "blocks"),
    "ABn": partial(two_classes, "ABn", "alternating"),
    "saffran": saffran,
}
