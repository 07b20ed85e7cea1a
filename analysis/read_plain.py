"""Trials of PsyToolkit and of the Confidence Database: their tables need the user's word."""

from collections.abc import Sequence
from pathlib import Path

from neurodyn.analysis.trial_cells import is_missing
from neurodyn.analysis.trial_files import Row, numbered, table_rows
from neurodyn.analysis.trial_keys import Wishes
from neurodyn.analysis.trial_names import distinct, only, renamed
from neurodyn.analysis.trial_schema import TrialsError

CONFIDENCE = {
    "subject": ("Subj_idx",),
    "grammatical": ("Stimulus",),
    "response": ("Response",),
    "confidence": ("Confidence",),
    "rt": ("RT_dec", "RT_decConf"),
}
STATUS = {"1": True, "2": False, "3": None}


def psytoolkit(text: str, file: str, delimiter: str | None, wishes: Wishes) -> list[Row]:
    """Return the trials of one file: cells between spaces, in the order of the script's ``save``.

    The user names the columns. One named ``status`` says whether the response was correct: 1 yes,
    2 no, 3 none in time; then `rt` is the time limit and is left out. `rt` is in ms. Without a
    column `subject` the file's name is the subject.
    """
    names: Sequence[str] = list(wishes.columns)
    rows = []
    for number, line in numbered(text):
        cells = line.split(delimiter)
        row = Row(file, number, dict(zip(names, cells, strict=False)))
        if len(cells) != len(names):
            raise row.error(
                "", line, f"{len(cells)} cells", f"{len(names)}, as many as columns were given"
            )
        status = row.cells.get("status")
        if status is not None:
            if status not in STATUS:
                raise row.error("status", status, "is not a status", "1, 2 or 3")
            row.cells.setdefault("correct", STATUS[status])
            if status == "3":
                row.cells |= {"rt": None, "response": None}
                note = "time-outs, whose rt is left out"
                wishes.notes[note] = wishes.notes.get(note, 0) + 1
        if "subject" not in names:
            row.cells["subject"] = Path(file).stem
            wishes.notes["subject"] = "from the names of the files"
        rows.append(row)
    found = renamed(only(rows, wishes.rows), {}, {})
    if "response" not in names:
        for row in found:
            row.cells.pop("response", None)
            row.cells["answered"] = not is_missing(row.cells.get("correct"))
    return found


def confidence(text: str, file: str, delimiter: str | None, wishes: Wishes) -> list[Row]:
    """Return the trials of one file: Subj_idx, Stimulus, Response, Confidence, RT_dec (s).

    What the codes of Stimulus and Response mean is in the set's readme, so the user gives both
    maps.
    """
    rows = only(table_rows(text, file, delimiter or ","), wishes.rows)
    rows = renamed(rows, CONFIDENCE, wishes.columns)
    for name, given, example in (
        ("grammatical", wishes.stimuli, "stimuli={1: 0, 2: 1}"),
        ("response", wishes.responses, "responses={1: 0, 2: 1}"),
    ):
        if given is None and any(not is_missing(row.cells.get(name)) for row in rows):
            raise TrialsError(
                f"the codes {distinct(rows, name)} mean what the set's readme says",
                f"{example}, with 1 for what is grammatical", file=file,
                column=rows[0].sources[name],
            )  # fmt: skip
    return rows
