"""The table of trials as a BIDS dataset."""

import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.analysis.read_bids import described
from neurodyn.analysis.trial_cells import MISSING, UNWRITABLE, without_html
from neurodyn.analysis.trial_files import delimited, file_text
from neurodyn.analysis.trial_names import raw_name
from neurodyn.analysis.trial_schema import COLUMNS, PHASES
from neurodyn.analysis.trials import installed

BIDS_VERSION = "1.11.0"
LONGEST = 64
"""Letters and digits of a label, so that file systems can hold the names made of three."""
NEEDS = re.compile('["\t\r\n]')
NAMES = {name: name for name in COLUMNS if name not in ("subject", "session")}
NAMES["rt"] = "response_time"
LEVELS = {
    "phase": {name: f"trials of the phase {name}" for name in PHASES},
    "grammatical": {"1": "grammatical", "0": "ungrammatical"},
    "response": {"1": "grammatical", "0": "ungrammatical"},
    "correct": {"1": "right", "0": "wrong"},
    "feedback": {"1": "shown", "0": "not shown"},
}


def write_bids(
    trials: xr.Dataset,
    folder: str | Path,
    *,
    task: str = "agl",
    name: str = "Artificial grammar learning",
    authors: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write a table of trials as a BIDS dataset, which `read_trials` reads back.

    ``sub-<subject>[/ses-<session>]/beh/..._task-<task>_beh.tsv``, each with a sidecar that says
    what its columns mean, ``participants.tsv`` and ``dataset_description.json``. What is missing is
    ``n/a``, times are in seconds, numbers keep all their digits. All files are written to a folder
    beside the dataset first, then moved into place.

    Several tasks may share a dataset: to one that is there participants are added, and all that it
    says of them and of itself stays as it is.

    Parameters
    ----------
    trials : Dataset
        As `trial_table` and `read_trials` make it.
    folder : path
        Of the dataset. Read back, trials are in the order of the files: by subject and session.
    task : str
        Letters and digits.
    name, authors
        Of the dataset, for its description, if it has none yet.
    overwrite : bool
        Whether tables of the task that exist may be replaced.

    Returns
    -------
    Path
        The folder.

    Warns
    -----
    UserWarning
        If names were mapped to labels that BIDS can hold (letters and digits); the names
        themselves are then kept in the tables, in columns ``subject`` and ``session``.

    Raises
    ------
    ValueError
        For names that become the same label, or none, or the label of another participant of the
        dataset; and for texts that would be read back as missing, or without their HTML.
    FileExistsError
        If a table exists, unless `overwrite`; always if other participants' tables of the task
        are there, which would be read together with these.

    References
    ----------
    Gorgolewski et al. (2016), The brain imaging data structure, Scientific Data 3, 160044,
    doi:10.1038/sdata.2016.44.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn.analysis.readers import read_trials
    >>> from neurodyn.analysis.trials import trial_table
    >>> table = trial_table({"subject": "01", "item": ["XV", "JJ"], "grammatical": [1, 0],
    ...                      "response": [1, 1], "rt": [0.9, None]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = write_bids(table, folder + "/bids")
    ...     print(*sorted(file.name for file in dataset.rglob("*_beh.*")))
    ...     read_trials(dataset).equals(table)
    sub-01_task-agl_beh.json sub-01_task-agl_beh.tsv
    True
    """
    check_trials(trials)
    if not isinstance(task, str) or not re.fullmatch(f"[a-zA-Z0-9]{{1,{LONGEST}}}", task):
        raise ValueError(f"task must be 1 to {LONGEST} letters and digits, got {task!r}")
    folder = Path(folder)
    subjects = labels("subject", trials.subject.values.tolist())
    sessions = labels("session", [one for one in trials.session.values.tolist() if one])
    mapped = {k: v for k, v in (subjects | sessions).items() if k != v}
    if mapped:
        pairs = ", ".join(f"{old!r} became {new!r}" for old, new in mapped.items())
        warnings.warn(f"BIDS labels are letters and digits only: {pairs}", stacklevel=2)
    owned = [one for one, names in (("subject", subjects), ("session", sessions))
             if any(a != b for a, b in names.items())]  # fmt: skip
    files: dict[str, str] = {}
    who = list(zip(trials.subject.values.tolist(), trials.session.values.tolist(), strict=True))
    about = json.dumps(sidecar_of(trials, task, owned), indent=2, ensure_ascii=False) + "\n"
    for subject, session in dict.fromkeys(who):
        parts = [f"sub-{subjects[subject]}"] + ([f"ses-{sessions[session]}"] if session else [])
        place = "/".join([*parts, "beh", "_".join([*parts, f"task-{task}_beh"])])
        rows = [row for row, one in enumerate(who) if one == (subject, session)]
        files[f"{place}.tsv"] = table_text(trials.isel(trial=rows), owned)
        files[f"{place}.json"] = about
    check_free(folder, files, task, overwrite)
    files |= dataset_files(folder, name, authors, subjects)
    move_into_place(folder, files)
    return folder


def check_trials(trials: xr.Dataset) -> None:
    """Refuse what is no table of trials, or holds what would not be read back the same."""
    absent = [name for name in COLUMNS if name not in trials]
    if absent:
        raise ValueError(
            f"a table of trials has {', '.join(COLUMNS)}; missing: {', '.join(absent)}; make it "
            "with read_trials or trial_table"
        )
    others = [str(name) for name in trials.data_vars if name not in COLUMNS]
    wrong = [name for name in others if name != raw_name(name)]
    if wrong:
        raise ValueError(
            f"{', '.join(map(repr, wrong))} would get lost; allowed beside the table of trials: "
            "names that begin with raw_"
        )
    for name, variable in trials.data_vars.items():
        if variable.dims != ("trial",):
            raise ValueError(f"{name} has the dimensions {variable.dims}, allowed: ('trial',)")
        kind = COLUMNS[str(name)].kind if name in COLUMNS else "text"
        if kind != "text":
            if np.isinf(variable.values).any():
                raise ValueError(f"{name} is infinite in some trials; allowed: numbers, and NaN")
            continue
        for value in dict.fromkeys(variable.values.tolist()):
            kept = value.strip() if name in COLUMNS else value
            if name == "item":
                kept = without_html(kept)
            if kept != value or (value and value.strip() in MISSING) or UNWRITABLE.search(value):
                raise ValueError(
                    f"{name} = {value!r} would not be read back as it is; allowed: text without "
                    f"spaces around it, other than {', '.join(map(repr, MISSING[1:]))}"
                )
    if trials.rt.attrs.get("units") != "s":
        raise ValueError(f"rt must be in s, got units {trials.rt.attrs.get('units')!r}")


def labels(kind: str, names: Sequence[str]) -> dict[str, str]:
    """Return a label for each name, letters and digits only, no two the same.

    Examples
    --------
    >>> labels("subject", ["sub-01", "P_2", "P_2"])
    {'sub-01': '01', 'P_2': 'P2'}
    """
    prefix = {"subject": "sub-", "session": "ses-"}[kind]
    found = {name: re.sub("[^a-zA-Z0-9]", "", name.removeprefix(prefix)) for name in names}
    owners: dict[str, str] = {}
    for name, label in found.items():
        other = owners.setdefault(label.lower(), name)
        wrong = f"would share the label {label!r} with {other!r}" if other != name else ""
        if not 1 <= len(label) <= LONGEST:
            wrong = f"would have a label of {len(label)} characters"
        if wrong:
            raise ValueError(
                f"{kind} {name[:80]!r} {wrong}; allowed: labels of 1 to {LONGEST} letters and "
                "digits, which differ not in case alone; rename it"
            )
    return found


def dataset_files(
    folder: Path, name: str, authors: Sequence[str], subjects: Mapping[str, str]
) -> dict[str, str]:
    """Return the texts of the files at the top, by their path, added to what is there."""
    found = {}
    description = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "neurodyn", "Version": installed()}],
    } | ({"Authors": list(authors)} if authors else {})
    if not (folder / "dataset_description.json").exists():
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        found["dataset_description.json"] = text
    about = {
        "participant_id": {"Description": "label of the participant"},
        "name": {"Description": "name of the participant in the table of trials"},
    }
    if (folder / "participants.json").exists():
        about |= described(folder / "participants.json")
    found["participants.tsv"] = tsv(participants(folder / "participants.tsv", subjects))
    found["participants.json"] = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    return found


def participants(file: Path, subjects: Mapping[str, str]) -> list[list[str]]:
    """Return the table of participants with these added, by label; no other cell is changed."""
    header, people = ["participant_id", "name"], {}
    if file.exists():
        lines = list(delimited(file_text(file, None, {}), file.name, "\t"))
        header = lines[0][1]
        for number, cells in lines[1:]:
            if len(cells) != len(header) or cells[0] in people:
                raise ValueError(
                    f"{file}, row {number} is {cells}, allowed: {len(header)} cells, as many as "
                    "columns, and each participant once; correct it, or choose another folder"
                )
            people[cells[0]] = dict(zip(header, cells, strict=True))
        if header[0] != "participant_id" or len(set(header)) < len(header):
            raise ValueError(
                f"{file} has the columns {header}, allowed: participant_id, then others, each "
                "once; correct it, or choose another folder"
            )
        header += ["name"] * ("name" not in header)
    owners = {label.lower(): label for label in people}
    for name, label in ((name, f"sub-{label}") for name, label in subjects.items()):
        known = owners.setdefault(label.lower(), label)
        other = people.setdefault(label, {"participant_id": label}).setdefault("name", "n/a")
        if known != label or other not in ("n/a", name):
            raise ValueError(
                f"subject {name!r} would share the label {label!r} with {known!r}, who is "
                f"{people[known].get('name')!r} in {file}; rename one, or choose another folder"
            )
        people[label]["name"] = name
    rows = [[cells.get(column, "n/a") for column in header] for cells in people.values()]
    return [header, *rows]


def sidecar_of(trials: xr.Dataset, task: str, owned: Sequence[str]) -> dict[str, Any]:
    """Return what the columns mean."""
    found: dict[str, Any] = {"TaskName": task}
    for variable in (*owned, *NAMES, *raw_names(trials)):
        attrs = trials[variable].attrs
        entry = {
            "LongName": variable.removeprefix("raw_").replace("_", " "),
            "Description": attrs.get("long_name", variable),
        }
        if attrs.get("units", "1") != "1":
            entry["Units"] = attrs["units"]
        if variable in LEVELS:
            entry["Levels"] = LEVELS[variable]
        found[NAMES.get(variable, variable)] = entry
    return found


def raw_names(trials: xr.Dataset) -> list[str]:
    """Return the names of the columns kept as they stood in a file."""
    return [str(name) for name in trials.data_vars if str(name).startswith("raw_")]


def table_text(trials: xr.Dataset, owned: Sequence[str]) -> str:
    """Return trials as a table between tabs."""
    names = [*owned, *NAMES, *raw_names(trials)]
    columns = [[cell(value) for value in trials[name].values.tolist()] for name in names]
    header = [NAMES.get(name, name) for name in names]
    return tsv([header, *map(list, zip(*columns, strict=True))])


def cell(value: str | float) -> str:
    """Return a cell: all digits of a number, n/a for nothing.

    Examples
    --------
    >>> cell(1.0), cell(0.1), cell(float("nan")), cell("")
    ('1', '0.1', 'n/a', 'n/a')
    """
    if isinstance(value, str):
        return value or "n/a"
    return "n/a" if np.isnan(value) else repr(value).removesuffix(".0")


def tsv(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines, cells in quotes where they need them."""
    quoted = ([doubled(cell) if NEEDS.search(cell) else cell for cell in row] for row in rows)
    return "".join("\t".join(cells) + "\n" for cells in quoted)


def doubled(cell: str) -> str:
    """Return a cell in quotes, its own quotes doubled."""
    return '"' + cell.replace('"', '""') + '"'


def check_free(folder: Path, files: Mapping[str, str], task: str, overwrite: bool) -> None:
    """Refuse to replace files unasked, and to mix with other tables of the task."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; choose a folder")
    there = [path for path in files if (folder / path).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{folder} has {', '.join(there[:3])}{', ...' if len(there) > 3 else ''}; choose "
            "another folder, or overwrite=True"
        )
    others = {
        file.relative_to(folder).as_posix() for file in folder.rglob(f"sub-*_task-{task}_*beh.tsv")
    } - set(files)
    if others:
        raise FileExistsError(
            f"{folder} has other tables of the task {task!r}, which would be read with these: "
            f"{', '.join(sorted(others)[:3])}; choose another folder or task, or remove them"
        )


def move_into_place(folder: Path, files: Mapping[str, str]) -> None:
    """Write files to a folder beside, then move each; a new folder appears whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        for path, content in files.items():
            file = beside / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8", newline="")
        if not folder.exists():
            os.replace(beside, folder)
            return
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(beside / path, folder / path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
