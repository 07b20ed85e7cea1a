"""Which files to read, and in which format they are."""

import re
from collections.abc import Sequence
from pathlib import Path

from neurodyn.analysis.read_bids import entities
from neurodyn.analysis.trial_schema import TrialsError

SUFFIXES = {
    "jspsych": (".json", ".csv", ".txt"),
    "psychopy": (".csv",),
    "bids": ("_beh.tsv", "_events.tsv"),
    "psytoolkit": (".txt",),
    "confidence": (".csv",),
    "psych201": (".jsonl",),
}
"""Names of the formats, and what the names of their files end in."""
SURE = {"_beh.tsv": "bids", "_events.tsv": "bids", ".json": "jspsych", ".jsonl": "psych201"}
TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl")


def chosen(
    path: str | Path | Sequence[str | Path], format: str | None, task: str | None
) -> tuple[dict[str, Path], str]:
    """Return the files to read by the name that errors use, and their format.

    Parameters
    ----------
    path : path or sequence of paths
        A file, several, or a folder.
    format : str, optional
        By default what the names say, if they are sure.
    task : str, optional
        Of a BIDS folder that has several.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    if not paths or not all(isinstance(one, str | Path) for one in paths):
        raise TypeError(f"path must be a file, several or a folder, got {path!r}")
    files: dict[str, Path] = {}
    for one in map(Path, paths):
        if one.is_dir():
            inside = sorted((file for file in one.rglob("*") if file.is_file()), key=natural)
            format = format or guessed([file for file in inside if shown(file, one)], one.name)
            found = {
                file.relative_to(one).as_posix(): file
                for file in inside
                if shown(file, one) and file.name.lower().endswith(SUFFIXES[format])
            }
            if format == "bids":
                found = of_one_task(found, one.name, task)
            if not found:
                raise TrialsError(
                    f"the folder has no files of format {format!r}",
                    f"names that end in {', '.join(SUFFIXES[format])}", file=one.name,
                )  # fmt: skip
        else:
            format = format or guessed([one], one.name)
            found = {one.name: one}
        for name, file in found.items():
            files[name if name not in files else file.as_posix()] = file
    assert format is not None
    return files, format


def natural(file: Path) -> tuple[list[list[str | int]], tuple[str, ...]]:
    """Return what files are sorted by: their names, with numbers as numbers.

    Examples
    --------
    >>> [file.name for file in sorted([Path("P10"), Path("P2"), Path("P02")], key=natural)]
    ['P02', 'P2', 'P10']
    """
    parts = [re.split("([0-9]+)", part) for part in file.parts]
    return [[int(x) if i % 2 else x for i, x in enumerate(part)] for part in parts], file.parts


def shown(file: Path, folder: Path) -> bool:
    """Return whether neither a file nor a folder on the way to it is hidden."""
    return not any(part.startswith(".") for part in file.relative_to(folder).parts)


def guessed(files: Sequence[Path], place: str) -> str:
    """Return the format that the files' names are sure of."""
    ends = [next((end for end in SURE if file.name.endswith(end)), "") for file in files]
    if any(SURE.get(end) == "bids" for end in ends):
        return "bids"
    tables = [
        end for file, end in zip(files, ends, strict=True) if end or file.suffix.lower() in TABLES
    ]
    formats = {SURE.get(end, "") for end in tables}
    if len(formats) == 1 and "" not in formats:
        return formats.pop()
    raise TrialsError(
        "the format does not follow from the name",
        f"format= one of {', '.join(map(repr, SUFFIXES))}", file=place,
    )  # fmt: skip


def of_one_task(files: dict[str, Path], folder: str, task: str | None) -> dict[str, Path]:
    """Return the files of the task wanted; refuse to choose between tasks or kinds of tables."""
    tasks = sorted({entities(name).get("task", "") for name in files})
    if task is None and len(tasks) > 1:
        raise TrialsError(
            "the folder has several tasks", f"task= one of {', '.join(map(repr, tasks))}",
            file=folder,
        )  # fmt: skip
    if task is not None and task not in tasks:
        raise TrialsError(
            f"the folder has no task {task!r}", ", ".join(map(repr, tasks)), file=folder
        )
    files = {
        name: file for name, file in files.items() if task in (None, entities(name).get("task"))
    }
    if len({name.rpartition("_")[2] for name in files}) > 1:
        raise TrialsError(
            "the folder has both _beh.tsv and _events.tsv files of the task",
            "a list of the files of one kind", file=folder,
        )  # fmt: skip
    return files
