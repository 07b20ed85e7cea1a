"""Grammatical, response and correct: any two of them give the third."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from neurodyn.analysis.trial_columns import TrialColumns

Truths = Float[np.ndarray, " trial"]


def complete(
    table: TrialColumns, grammatical: Truths, response: Truths, correct: Truths, answered: Truths
) -> tuple[Truths, Truths, Truths, dict[str, str]]:
    r"""Return grammatical, response and correct with what follows from the other two.

    .. math:: c = [y = g]

    Where there is no response, `correct` stays as it was given: a missed trial may be counted as
    wrong, but nobody answered.

    Parameters
    ----------
    table : TrialColumns
        For errors.
    grammatical, response, correct : array
        g, y and c: 1, 0, or NaN where not given.
    answered : array
        1 where the subject did answer, whatever is in the column of responses.

    Returns
    -------
    grammatical, response, correct : array
    notes : dict
        What was worked out.
    """
    notes = {}
    missing = np.isnan(grammatical) & ~np.isnan(response) & ~np.isnan(correct)
    if missing.any():
        grammatical = np.where(missing, response == correct, grammatical)
        notes["grammatical"] = f"from response and correct in {missing.sum()} trials"
    known = ~np.isnan(grammatical) & ~np.isnan(correct) & np.isnan(response) & (answered == 1)
    if known.any():
        response = np.where(known, grammatical == correct, response)
        notes["response"] = f"from correct and grammatical in {known.sum()} trials"
    both = ~np.isnan(grammatical) & ~np.isnan(response)
    for row in np.flatnonzero(both & ~np.isnan(correct) & (correct != (response == grammatical))):
        said = "grammatical" if response[row] else "ungrammatical"
        raise table.error(
            int(row), "correct", table.cells["correct"][row],
            f"contradicts the response {said!r} to a string with grammatical = "
            f"{grammatical[row]:g}",
            "1 where response equals grammatical, else 0; if the column means something else, "
            'leave it out: columns={"correct": None}; if the keys were swapped, give responses=',
        )  # fmt: skip
    missing = both & np.isnan(correct)
    if missing.any():
        correct = np.where(missing, response == grammatical, correct)
        notes["correct"] = f"from response and grammatical in {missing.sum()} trials"
    return grammatical, response, correct, notes


def decided(
    table: TrialColumns, items: Sequence[str], grammars: Sequence[str], given: Truths, accepts: Any
) -> Truths:
    """Return which strings are grammatical, as a grammar decides; it may not contradict the file.

    Parameters
    ----------
    table : TrialColumns
        For errors.
    items, grammars : sequence of str
        Of each trial, "" where unknown.
    given : array
        What the file says: 1, 0, or NaN.
    accepts : callable, object with a method ``accepts``, or mapping
        From a string to whether it is grammatical; or one of these for each name in `grammars`.
    """
    each = accepts if isinstance(accepts, Mapping) else None
    rules = {name: rule(one) for name, one in each.items()} if each else {"": rule(accepts)}
    found = given.copy()
    answers: dict[tuple[str, str], float] = {}
    for row, item in enumerate(items):
        name = grammars[row] if each else ""
        if not item:
            continue
        if name not in rules:
            raise table.error(
                row, "grammar", name, "has no rule in accepts", f"one of: {', '.join(rules)}"
            )
        if (name, item) not in answers:
            try:
                answers[name, item] = float(bool(rules[name](item)))
            except Exception as error:  # the user's own function, given what a file holds
                raise table.error(
                    row, "item", item, f"the grammar cannot read it ({error})",
                    "strings of the grammar's alphabet",
                ) from error  # fmt: skip
        found[row] = answers[name, item]
        if given[row] == 1 - found[row]:
            raise table.error(
                row, "grammatical", table.cells["grammatical"][row],
                f"contradicts the grammar, which {'accepts' if found[row] else 'rejects'} {item!r}",
                f"{found[row]:g}, or leave accepts out",
            )  # fmt: skip
    return found


def rule(accepts: Any) -> Callable[[str], Any]:
    """Return the function that decides, of a Grammar or a function."""
    found = getattr(accepts, "accepts", accepts)
    if not callable(found):
        raise TypeError(
            f"accepts must be a function from a string to True or False, a Grammar, or a mapping "
            f"from names of grammars to these; got {type(accepts).__name__}"
        )
    return found
