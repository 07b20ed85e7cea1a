"""Trials of jsPsych 6 to 8: JSON, JATOS result files, CSV."""

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
    no options. Of other experiments the rows with `grammatical` are trials. `rt` is in ms.
    """
    json = text.lstrip()[0] in "[{"
    rows = json_rows(text, file) if json else table_rows(text, file, delimiter or ",")
    rows = only(rows, wishes.rows)
    own = [row for row in rows if row.cells.get("task") == "agl"]
    if own:
        note_dropped(rows, own, wishes)
        return renamed(own, {}, wishes.columns)
    return judged(trials_only(renamed(rows, USUAL, wishes.columns), wishes), wishes)
