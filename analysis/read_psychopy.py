"""Trials of PsychoPy: its wide CSV, with the columns of the key component."""

import ast
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from neurodyn.analysis.trial_cells import is_missing
from neurodyn.analysis.trial_files import Row, table_rows
from neurodyn.analysis.trial_keys import Wishes, judged, trials_only
from neurodyn.analysis.trial_names import only, renamed
from neurodyn.analysis.trial_schema import TrialsError

FROM_ZERO = (".thisN", ".thisRepN", ".thisTrialN", ".thisIndex")


def psychopy(text: str, file: str, delimiter: str | None, wishes: Wishes) -> list[Row]:
    """Return the trials of one file.

    `response`, `rt` (s) and `correct` are ``<key>.keys``, ``<key>.rt`` and ``<key>.corr`` of the
    one key component that trials use. Where all keys were stored, the first of several counts, and
    `correct` is worked out anew. Loop counters start from 0 and become 1.
    """
    rows = only(table_rows(text, file, delimiter or ","), wishes.rows)
    columns = wishes.columns
    key = key_component(rows, columns)
    usual = {"subject": ("participant",)}
    if key:
        usual |= {"response": (f"{key}.keys",), "rt": (f"{key}.rt",), "correct": (f"{key}.corr",)}
    rows = trials_only(renamed(rows, usual, columns), wishes)
    for name in ("block", "position"):
        if str(columns.get(name, "")).endswith(FROM_ZERO):
            for row in rows:
                row.cells[name] = from_one(row, name)
    for row in rows:
        several = [first_of_list(row, name) for name in ("response", "rt")]
        if any(several):
            row.cells["correct"] = None
            note = "trials with several keys, of which the first counts"
            wishes.notes[note] = wishes.notes.get(note, 0) + 1
    return judged(rows, wishes)


def key_component(rows: Sequence[Row], columns: Mapping[str, str | None]) -> str | None:
    """Return the name of the key component that trials use, None if there is none."""
    if "response" in columns:
        return (columns["response"] or "").removesuffix(".keys") or None
    source = columns.get("grammatical", "grammatical")
    trials = [row for row in rows if not is_missing(row.cells.get(source or ""))] or rows
    names = dict.fromkeys(
        name.removesuffix(".keys")
        for row in trials
        for name, cell in row.cells.items()
        if name.endswith(".keys") and not is_missing(cell)
    )
    if len(names) > 1:
        wanted = ", ".join(f"{name}.keys" for name in names)
        raise TrialsError(
            f"trials use {len(names)} key components", f"columns={{'response': ...}}, of {wanted}",
            file=rows[0].file, column="response",
        )  # fmt: skip
    return next(iter(names), None)


def from_one(row: Row, name: str) -> Any:
    """Return a loop counter, which starts from 0, as a count from 1."""
    cell = row.cells[name]
    if isinstance(cell, str) and cell.strip().isascii() and cell.strip().isdigit():
        return int(cell[:300]) + 1
    if is_missing(cell):
        return None
    raise row.error(name, cell, "is not a loop counter", "whole numbers from 0")


def first_of_list(row: Row, name: str) -> bool:
    """Put the first element in place of a list; return whether there were several."""
    cell = row.cells.get(name)
    if not isinstance(cell, str) or not cell.strip().startswith("["):
        return False
    values = listed(cell.strip())
    if values is None or any(not isinstance(value, str | int | float) for value in values):
        raise row.error(name, cell, "is not a list", "a list of keys or of times, e.g. ['f', 'j']")
    row.cells[name] = values[0] if values else None
    return len(values) > 1


def listed(cell: str) -> list[Any] | None:
    """Return a list as JSON or Python writes it, None if it is none; nothing is executed."""
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about backslashes in what somebody typed
                values = read(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return values if isinstance(values, list) else None
    return None
