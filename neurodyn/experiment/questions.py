"""The questionnaire after the implicit blocks, with what is true of the grammar."""

from itertools import combinations
from typing import Any

import numpy as np

from neurodyn.stimuli.abstract_grammar import Grammar
from neurodyn.stimuli.regular import RegularGrammar

WRONG = 7  # strings in which the error is to be marked
FOLLOWED = {"B": ("X", "MX", "XT")}  # the contexts that the paper asks about


def letter_questions(grammar: RegularGrammar) -> list[dict[str, Any]]:
    """Return seven questions about single letters, several of which may be right.

    Which letters come first, last, second; which are never doubled; which follow a letter and two
    bigrams. The paper's contexts are known for grammar B (X, MX, XT). For others they are chosen:
    those with the most letters after them that are not all letters.

    Returns
    -------
    list of dict
        ``kind`` "choice", ``text``, and ``truth``, the letters that are right.
    """
    unit = "syllable" if grammar.separator else "letter"
    machine = grammar.automaton
    arcs = machine.arcs  # every state can be reached and leads to an end, so every arc is in use
    after: dict[tuple[str, ...], set[str]] = {}
    for leaving in arcs.values():
        for one, middle in leaving:
            after.setdefault((one,), set()).update(letter for letter, _ in arcs[middle])
            for two, end in arcs[middle]:
                after.setdefault((one, two), set()).update(letter for letter, _ in arcs[end])
    first = {letter for letter, _ in arcs[machine.start]}
    second = {letter for _, state in arcs[machine.start] for letter, _ in arcs[state]}
    last = {a for leaving in arcs.values() for a, end in leaving if end in machine.accept}
    doubled = {a for a in grammar.alphabet if a in after.get((a,), ())}
    asked = [
        (f"Which {unit}s can come first?", first),
        (f"Which {unit}s can come last?", last),
        (f"Which {unit}s can come second?", second),
        (f"Which {unit}s can never stand twice in a row?", set(grammar.alphabet) - doubled),
    ]
    published = [c for c in FOLLOWED.get(grammar.name, ()) if grammar.tokens(c) in after]
    for context in published or contexts(grammar, after):
        asked.append((f"Which {unit}s can follow {context}?", after[grammar.tokens(context)]))
    return [
        {"kind": "choice", "text": text, "truth": [a for a in grammar.alphabet if a in truth]}
        for text, truth in asked
    ]


def contexts(grammar: Grammar, after: dict[tuple[str, ...], set[str]]) -> list[str]:
    """Return one letter and two bigrams, in the order of the alphabet among equals."""
    place = {letter: number for number, letter in enumerate(grammar.alphabet)}

    def rank(context: tuple[str, ...]) -> tuple[Any, ...]:
        number = len(after[context])
        return 0 < number < len(grammar.alphabet), number, *(-place[a] for a in context)

    ranked = sorted(after, key=rank, reverse=True)
    chosen = [c for c in ranked if len(c) == 1][:1] + [c for c in ranked if len(c) == 2][:2]
    return [grammar.separator.join(context) for context in chosen]


def error_questions(grammar: Grammar, shown: set[str], seed: int) -> list[dict[str, Any]]:
    """Return seven wrong strings that were not shown, and the free report of the rule.

    An error can be put right in several ways: two letters of one half in the wrong order also by
    exchanging their partners in the other half. All of them count, see `repairs`.

    Returns
    -------
    list of dict
        ``kind`` "error", ``item``, ``tokens``, ``source`` (the correct string it was made from),
        ``truth`` (of each way, the 0-based places to change; marking any of them is right) and
        ``repairs`` (the correct strings that these ways lead to); then one of ``kind`` "rule".
    """
    rng = np.random.default_rng([seed, WRONG])
    found: dict[str, str] = {}
    for _ in range(1000):
        source = grammar.sample(1, seed=rng)[0]
        try:
            item = grammar.violate(source, seed=rng)
        except ValueError:
            continue  # a string that no violation of this grammar fits
        if item not in shown and item not in found:
            found[item] = source
        if len(found) == WRONG:
            break
    else:
        raise ValueError(
            f"{grammar.name} has too few wrong strings that are not shown in a trial: {len(found)} "
            f"of {WRONG} found; give fewer trials or questionnaire=False"
        )
    questions: list[dict[str, Any]] = []
    for item, source in found.items():
        truth, right = repairs(grammar, item, source)
        about = {"item": item, "tokens": list(grammar.tokens(item)), "source": source}
        questions.append({"kind": "error", **about, "truth": truth, "repairs": right})
    return [*questions, {"kind": "rule"}]


def repairs(grammar: Grammar, item: str, source: str) -> tuple[list[list[int]], list[str]]:
    """Return all ways to make a wrong string correct by one edit like the one that made it wrong.

    Where two letters were exchanged: all exchanges that the grammar accepts. Where one letter was
    replaced: all replacements. Otherwise only the way back to the source is known.

    Returns
    -------
    places : list of list of int
        What to change, 0-based; each set of places once.
    strings : list of str
        All correct strings that come of it.

    Examples
    --------
    >>> from neurodyn.stimuli.grammar import grammar
    >>> repairs(grammar("CF"), "NPHT", "PNHT")
    ([[0, 1], [2, 3]], ['PNHT', 'NPTH'])
    """
    tokens, correct = grammar.tokens(item), grammar.tokens(source)
    differ = [i for i, (a, b) in enumerate(zip(tokens, correct, strict=True)) if a != b]
    edits: list[tuple[tuple[int, ...], tuple[str, ...]]] = []
    if len(differ) == 2 and sorted(tokens) == sorted(correct):
        for i, j in combinations(range(len(tokens)), 2):
            edits.append(((i, j), (tokens[j], tokens[i])))
    elif len(differ) == 1:
        edits = [((i,), (letter,)) for i in range(len(tokens)) for letter in grammar.alphabet]
    else:
        edits = [(tuple(differ), tuple(correct[i] for i in differ))]
    places: list[list[int]] = []
    strings: list[str] = []
    for where, letters in edits:
        changed = list(tokens)
        for i, letter in zip(where, letters, strict=True):
            changed[i] = letter
        string = grammar.separator.join(changed)
        if grammar.accepts(string):
            places += [[*where]] if [*where] not in places else []
            strings += [string] if string not in strings else []
    return places, strings


def score_error(question: dict[str, Any], answer: list[int], corrected: str) -> dict[str, bool]:
    """Return whether an error was found and put right, as the page does.

    Parameters
    ----------
    question : dict
        Of `error_questions`, of kind "error".
    answer : list of int
        The places marked, 0-based.
    corrected : str
        What was typed; spaces do not count.

    Returns
    -------
    dict
        ``found``: the places are those of one of the ways to put it right, neither more nor less.
        ``repaired``: the string is correct, and one of the repairs.

    Examples
    --------
    >>> question = {"truth": [[0, 1], [2, 3]], "repairs": ["PNHT", "NPTH"]}
    >>> score_error(question, [2, 3], "NP TH"), score_error(question, [1, 2], "NPHT")
    ({'found': True, 'repaired': True}, {'found': False, 'repaired': False})
    """
    plain = ["".join(string.split()) for string in question["repairs"]]
    return {
        "found": sorted(answer) in question["truth"],
        "repaired": "".join(corrected.split()) in plain,
    }
