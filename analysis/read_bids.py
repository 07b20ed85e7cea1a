"""Trials of BIDS: ``_beh.tsv`` and ``_events.tsv`` with their sidecar files."""

import re
from pathlib import Path
from typing import Any

from neurodyn.analysis.trial_files import Row, file_text, parsed, table_rows
from neurodyn.analysis.trial_keys import Wishes, trials_only
from neurodyn.analysis.trial_names import only, renamed
from neurodyn.analysis.trial_schema import TrialsError

ENTITY = re.compile(r"(?:^|(?<=_))([a-zA-Z]+)-([a-zA-Z0-9+]+)(?=_)")
UNITS = {"s": "s", "second": "s", "seconds": "s", "ms": "ms", "millisecond": "ms"}
UNITS["milliseconds"] = "ms"


def bids(text: str, file: str, delimiter: str | None, wishes: Wishes) -> list[Row]:
    """Return the trials of one file.

    Subject, session and run come from the file's name where there are no such columns; a run is a
    block. `rt` is ``response_time``. Of events, the rows with `grammatical` are trials.
    """
    named = entities(file)
    rows = only(table_rows(text, file, delimiter or "\t"), wishes.rows)
    rows = renamed(rows, {"rt": ("response_time",)}, wishes.columns)
    stated = {"subject": "sub", "session": "ses", "block": "run"}
    for name, entity in stated.items():
        if entity in named and not any(name in row.cells for row in rows):
            for row in rows:
                row.cells[name] = named[entity]
    return trials_only(rows, wishes) if file.endswith("_events.tsv") else rows


def entities(file: str) -> dict[str, str]:
    """Return the parts of a BIDS name.

    Examples
    --------
    >>> entities("sub-01_ses-b_task-agl_beh.tsv")
    {'sub': '01', 'ses': 'b', 'task': 'agl'}
    """
    return {name: label for name, label in ENTITY.findall(Path(file).name)}


def sidecar(path: Path) -> dict[str, Any]:
    """Return what the sidecar files of a table say, the nearest file first.

    A file counts if its name has the same suffix and no part that the table's name lacks; it lies
    beside the table, or in a folder above up to the one with ``dataset_description.json``.
    """
    suffix = path.name.removesuffix(".tsv").rpartition("_")[2]
    wanted = entities(path.name).items()
    folders = list(path.absolute().parents)[:4]
    roots = [n for n, one in enumerate(folders) if (one / "dataset_description.json").exists()]
    found: dict[str, Any] = {}
    for folder in folders[: roots[0] + 1 if roots else 1]:
        files = [
            file
            for file in folder.glob("*.json")
            if file.stem.rpartition("_")[2] == suffix and entities(file.name).items() <= wanted
        ]
        for file in sorted(files, key=lambda file: -len(file.name)):
            found = described(file) | found
    return found


def described(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file."""
    try:
        found = parsed(file_text(file, None, {}))
    except TrialsError:
        raise
    except ValueError as error:
        raise TrialsError(f"not JSON: {error}", "one object", file=file.name) from error
    if not isinstance(found, dict):
        raise TrialsError("not a sidecar", "one object", file=file.name, value=found)
    return found


def stated_units(path: Path, columns: dict[str, str | None]) -> dict[str, str]:
    """Return the units of `rt` and `confidence` that the sidecar states.

    BIDS says seconds; a sidecar that says otherwise is believed.
    """
    about = sidecar(path)
    found = {"rt": "s", "confidence": "1"}
    for name, usual in (("rt", "response_time"), ("confidence", "confidence")):
        column = columns.get(name) or (name if name in about else usual)
        entry = about.get(column)
        units = entry.get("Units") if isinstance(entry, dict) else None
        if units is None:
            continue
        if not isinstance(units, str) or (name == "rt" and units not in UNITS):
            raise TrialsError(
                f"the sidecar gives {column} in units that are none", f"{', '.join(UNITS)}; or "
                "rt_unit=", file=path.name, column=column, value=units,
            )  # fmt: skip
        found[name] = UNITS[units] if name == "rt" else units
    return found
