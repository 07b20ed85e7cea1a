"""Trials of jsPsych 6 to 8: JSON, JATOS result files, CSV."""

from collections.abc import Sequence
from typing import Any

from neurodyn.analysis.trial_cells import is_missing, without_html
from neurodyn.analysis.trial_files import Row, json_rows, table_rows
from neurodyn.analysis.trial_keys import Wishes, judged, note_dropped, trials_only
from neurodyn.analysis.trial_names import only, renamed

USUAL = {
    "subject": ("participant", "subject_id", "participant_id"),
    "item": ("stimulus",),
    "response": ("key_press", "button_pressed"),  # jsPsych 6
}


def jspsych(text: str, file: str, delimiter: str | None, wishes: Wishes) -> list[Row]:
    """Return the trials of one file.

    Rows marked ``task: "agl"`` are trials and questions of this library's own experiment and need
    no options; their confidence is in percent. Of other experiments the rows with `grammatical`
    are trials, unless fixations seem to be among them. `rt` is in ms.
    """
    json = text.lstrip()[0] in "[{"
    rows = json_rows(text, file) if json else table_rows(text, file, delimiter or ",")
    rows = only(rows, wishes.rows)
    own = [row for row in rows if row.cells.get("task") == "agl"]
    if own:
        note_dropped(rows, own, wishes)
        wishes.units["confidence"].add("percent")
        return renamed(own, {}, wishes.columns)
    found = trials_only(renamed(rows, USUAL, wishes.columns), wishes)
    if not wishes.rows:
        check_one_row_each(found)
    if any(not is_missing(row.cells.get("confidence")) for row in found):
        wishes.units["confidence"].add("1")
    return judged(found, wishes)


def check_one_row_each(rows: Sequence[Row]) -> None:
    """Refuse rows of fixations, feedback and the like, which may have got `grammatical` as well.

    Data of a whole timeline are in every row of it. A row is taken for no trial if one subject saw
    the same item as grammatical and as ungrammatical; if it shows the item of the row before by
    another ``stimulus``; or if nobody answered it, though others, and it shows no letter or digit
    or is of a ``trial_type`` that nobody answered.
    """
    types = dict.fromkeys(kind(row) for row in rows if not silent(row))
    truths: dict[tuple[str, ...], str] = {}
    before: tuple[str, ...] = ()
    for row in rows:
        item, stimulus = (seen(row.cells.get(name)) for name in ("item", "raw_stimulus"))
        who = (str(row.cells.get("subject")), str(row.cells.get("grammar")))
        truth = row.cells.get("grammatical")
        truth = "" if is_missing(truth) else str(truth).strip().lower()
        unanswered = bool(types) and silent(row)
        problem = ""
        shown = item or stimulus
        if shown and truth and truths.setdefault((*who, shown), truth) != truth:
            problem = "is there as grammatical and as ungrammatical"
        elif item and stimulus and before[:-1] == (*who, item) and before[-1] != stimulus:
            problem = f"is in two rows, shown as {before[-1]!r} and as {stimulus!r}"
        elif unanswered and kind(row) not in types:
            problem = f"has no answer, as nothing of trial_type {kind(row)!r}"
        elif unanswered and (stimulus or item) and not any(map(str.isalnum, stimulus or item)):
            problem = f"has no answer, and {stimulus or item!r} no letter"
        if problem:
            other = next((one for one in types if one != kind(row)), None)
            wanted = f'rows={{"trial_type": {other!r}}}' if other else (
                'rows={"trial_type": ...}, or by another column where one plugin shows both'
            )  # fmt: skip
            raise row.error(
                "item" if item else "raw_stimulus",
                shown or None,
                f"{problem}; it may be a fixation or feedback that has the data of its timeline",
                f"one row for each trial; say which rows these are: {wanted}",
            )
        before = (*who, item, stimulus)


def kind(row: Row) -> str:
    """Return the plugin that showed a row."""
    return str(row.cells.get("raw_trial_type"))


def silent(row: Row) -> bool:
    """Return whether a row has neither a response nor a response time."""
    return all(is_missing(row.cells.get(name)) for name in ("response", "rt"))


def seen(value: Any) -> str:
    """Return what a text looks like in the browser, "" if it is none."""
    return without_html(value) if isinstance(value, str) and not is_missing(value) else ""
