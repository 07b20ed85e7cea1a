"""Which rows of a file are trials, and what its keys say when nobody gave a map for them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurodyn.analysis.trial_cells import MISSING, NO, YES, is_missing, note_codes
from neurodyn.analysis.trial_files import Row
from neurodyn.analysis.trial_names import distinct


@dataclass
class Wishes:
    """What the user says about a file, as the formats need it; what was done, units stated."""

    columns: Any
    rows: Mapping[str, Any]
    responses: Any
    stimuli: Any
    decides: bool
    pattern: str | None
    missing: Collection[str] = MISSING
    notes: dict[str, Any] = field(default_factory=dict)
    units: dict[str, set[str]] = field(
        default_factory=lambda: {"rt": set[str](), "confidence": set[str]()}
    )


def trials_only(rows: Sequence[Row], wishes: Wishes) -> list[Row]:
    """Return the rows that say whether their string is grammatical, or whose string decides it.

    The others are fixations, instructions, questions; how many is noted. Where the user says which
    rows are trials, all of these are.
    """
    if wishes.rows:
        return list(rows)
    for name in ("grammatical", "item"):
        if any(not is_missing(row.cells.get(name), wishes.missing) for row in rows):
            if name == "grammatical" or wishes.decides:
                found = [r for r in rows if not is_missing(r.cells.get(name), wishes.missing)]
                note_dropped(rows, found, wishes)
                if name == "item":
                    note_codes([r.cells.get(name) for r in rows], wishes.missing, wishes.notes)
                return found
    return list(rows)


def note_dropped(before: Sequence[Row], after: Sequence[Row], wishes: Wishes) -> None:
    """Note how many rows of a file are no trials."""
    if len(after) < len(before):
        dropped = wishes.notes.setdefault("rows that are no trials", {})
        dropped[before[0].file] = len(before) - len(after)


def judged(rows: list[Row], wishes: Wishes) -> list[Row]:
    """Return rows whose responses are judgements: by the user's map, in words, or by `correct`.

    A key or a button says nothing by itself. Without a map the response follows from whether it
    was correct; what was pressed is kept as ``raw_response``.
    """
    given = [row for row in rows if not is_missing(row.cells.get("response"))]
    words = set(YES + NO) - {"1", "0", "1.0", "0.0"}
    stated = all(
        isinstance(cell, bool) or (isinstance(cell, str) and cell.strip().lower() in words)
        for cell in (row.cells["response"] for row in given)
    )
    if wishes.responses is not None or stated:
        return rows
    if all(is_missing(row.cells.get("correct")) for row in rows):
        raise given[0].error(
            "response", given[0].cells["response"],
            f"nothing says which of {distinct(rows, 'response')} means grammatical",
            'responses={"<key>": 1, "<key>": 0}, one such map for each subject, or a column '
            "correct",
        )  # fmt: skip
    for row in rows:
        pressed = row.cells.pop("response", None)
        row.cells["answered"] = not is_missing(pressed)
        row.cells.setdefault("raw_response", pressed)
    return rows
