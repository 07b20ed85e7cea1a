"""Trials of Psych-101 and Psych-201: a session a line, told in words, choices inside << >>."""

import json
import re
from typing import Any

from neurodyn.analysis.trial_cells import is_missing
from neurodyn.analysis.trial_files import Row, numbered, parsed
from neurodyn.analysis.trial_keys import Wishes, judged, trials_only
from neurodyn.analysis.trial_names import only, renamed
from neurodyn.analysis.trial_schema import COLUMNS, TrialsError

CHOICE = re.compile(r"<<([^<>]*)>>")


def psych201(text: str, file: str, delimiter: str | None, wishes: Wishes) -> list[Row]:
    """Return the trials of one file: each choice is one, whose row is its line in the file.

    What stands between two choices is ``raw_text``; the last match of the user's pattern in it
    gives variables by the names of its groups. Response times are the list ``RTs``.
    """
    rows: list[Row] = []
    for number, line in numbered(text):
        here = Row(file, number, line=number)
        try:
            session = parsed(line)
        except ValueError as error:
            raise here.error("", line, f"not JSON: {error}", "one object on each line") from error
        if not isinstance(session, dict) or not isinstance(session.get("text"), str):
            raise here.error("text", session, "no session", "an object with a text named text")
        rows += choices(here, session, wishes.pattern)
    if not rows:
        raise TrialsError("there are no choices", "choices inside << >>", file=file)
    usual = {"subject": ("participant",), "rt": ("RTs",)}
    rows = renamed(only(rows, wishes.rows), usual, wishes.columns)
    return judged(trials_only(rows, wishes), wishes)


def choices(here: Row, session: dict[str, Any], pattern: str | None) -> list[Row]:
    """Return the trials of one session."""
    told = session["text"]
    found = list(CHOICE.finditer(told))
    if told.count("<<") != len(found) or told.count(">>") != len(found):
        raise here.error("text", told, "<< and >> do not pair", "each choice inside << >>")
    times = session.get("RTs")
    if is_missing(times):
        times = [None] * len(found)
    if not isinstance(times, list) or len(times) != len(found):
        raise here.error("RTs", times, "as many times as choices", f"a list of {len(found)}")
    common = {name: value for name, value in session.items() if name not in ("text", "RTs")}
    rows = []
    start = 0
    for match, time in zip(found, times, strict=True):
        before = told[start : match.start()]
        start = match.end()
        cells = common | {"response": match[1], "RTs": time, "text": before}
        matches = list(re.finditer(pattern, before)) if pattern else []
        if matches:
            cells |= matches[-1].groupdict()
        rows.append(Row(here.file, here.number, cells, here.line))
    return rows


def checked_pattern(pattern: str | None) -> None:
    """Refuse what is no regular expression, or names no variable."""
    try:
        groups = re.compile(pattern or "").groupindex
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    wrong = [name for name in groups if name not in COLUMNS]
    if pattern is not None and (wrong or not groups):
        example = json.dumps(r"string (?P<item>\w+)")
        raise ValueError(
            f"pattern {pattern!r} must have named groups out of {', '.join(COLUMNS)}, e.g. "
            f"{example}; unknown: {', '.join(wrong) or 'none, there is no group'}"
        )
