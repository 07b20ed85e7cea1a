"""Files of trials as rows of cells: text tables and JSON; nothing is ever unpickled."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurodyn.analysis.trial_schema import TrialsError

PICKLES = (".psydat", ".pkl", ".pickle", ".npy", ".npz", ".joblib", ".pt")
EXPORT = "CSV, TSV or JSON: open it where it was made and export it as one of these"
MAGIC = {
    b"\x80": "a pickle, which runs whatever code was put into it when it is opened",
    b"\x93NUMPY": "a NumPy file, which may hold a pickle",
    b"PK\x03\x04": "a zip archive (.xlsx, .npz)",
    b"\x89HDF": "an HDF5 file",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


@dataclass
class Row:
    """One trial of a file: where it stands, and its cells by column.

    `line` is the number of the JSON array that the trial stands in, where a file has several;
    `sources` gives the columns' own names in the file, once they go by those of the variables.
    """

    file: str
    number: int
    cells: dict[str, Any] = field(default_factory=dict)
    line: int = 1
    sources: Mapping[str, str] = field(default_factory=dict)

    def error(self, column: str, value: Any, problem: str, allowed: str) -> TrialsError:
        """Return the error about one cell, to be raised."""
        error = TrialsError(
            problem, allowed, file=self.file, row=self.number, column=column, value=value
        )
        return own_column(error, self.sources)


def own_column(error: TrialsError, sources: Mapping[str, str]) -> TrialsError:
    """Return an error about a variable as one about the column that it is in the file."""
    source = sources.get(error.column, error.column)
    if source == error.column:
        return error
    variable = "" if error.column.startswith("raw_") else f"as {error.column}, "
    return TrialsError(
        variable + error.problem, error.allowed, file=error.file, row=error.row, column=source,
        value=error.value,
    )  # fmt: skip


def file_text(path: Path, encoding: str | None, notes: dict[str, Any]) -> str:
    """Return the text of a file: UTF-8, with or without its mark, else Latin-1.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TrialsError
        If it is a pickle or another binary file, is empty, or is not in the `encoding` given.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix.lower() in PICKLES:
        raise TrialsError(
            f"a {path.suffix} file may hold a pickle, which runs whatever code was put into it; it "
            "is not opened", EXPORT, file=path.name,
        )  # fmt: skip
    data = path.read_bytes()
    for magic, kind in MAGIC.items():
        if data.startswith(magic) and encoding is None:
            raise TrialsError(f"it is {kind}", EXPORT, file=path.name)
    try:
        text = data.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding is not None:
            row = data[: error.start].count(b"\n") + 1
            raise TrialsError(
                f"not {encoding}: {error.reason}", "the encoding of the file, or encoding=None for "
                "UTF-8, else Latin-1", file=path.name, row=row, value=data[error.start : error.end],
            ) from error  # fmt: skip
        text = data.decode("latin-1")
        notes.setdefault("latin-1", []).append(path.name)
    if "\0" in text:
        raise TrialsError(
            "it holds NUL characters", "text in UTF-8; UTF-16 must be saved as UTF-8",
            file=path.name, row=text[: text.index("\0")].count("\n") + 1, value="\0",
        )  # fmt: skip
    if not text.strip():
        raise TrialsError("it is empty", "one trial or more", file=path.name)
    return text


def table_rows(text: str, file: str, delimiter: str) -> list[Row]:
    """Return the rows of a text table whose first line names the columns."""
    lines = delimited(text, file, delimiter)
    first, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise TrialsError(
            f"the columns {', '.join(map(repr, twice))} are there twice", "each name once",
            file=file, row=first, column=twice[0],
        )  # fmt: skip
    others = [sign for sign in (",", ";", "\t") if sign != delimiter and sign in names[0]]
    if len(names) == 1 and others:
        raise TrialsError(
            f"there is one column only, and {others[0]!r} in its name",
            f"columns parted by {delimiter!r}, or delimiter={others[0]!r}", file=file, row=first,
            column=names[0],
        )  # fmt: skip
    rows = []
    for number, cells in lines:
        if len(cells) != len(names):
            raise TrialsError(
                f"{len(cells)} cells", f"{len(names)}, as many as columns", file=file, row=number,
                column=names[min(len(cells), len(names) - 1)], value=cells[-1],
            )  # fmt: skip
        named = {
            name or f"column_{place}": cell
            for place, (name, cell) in enumerate(zip(names, cells, strict=True), 1)
            if name or cell.strip()
        }
        rows.append(Row(file, number, named))
    if not rows:
        raise TrialsError("it has a header and no trials", "one trial or more", file=file)
    return rows


def delimited(text: str, file: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise TrialsError(
            f"the table breaks off: {error}", 'cells in straight quotes, a quote within as "", and '
            f"each at most {csv.field_size_limit()} characters", file=file, row=start,
        ) from error  # fmt: skip


def json_rows(text: str, file: str) -> list[Row]:
    """Return the objects of a JSON file.

    One array of objects; or, as JATOS writes it, on each line an array or an object.
    """
    try:
        parts = [parsed(text)]
        if isinstance(parts[0], list) and parts[0] and all(isinstance(p, list) for p in parts[0]):
            parts = parts[0]
    except ValueError as error:
        lines = list(numbered(text))
        parts = []
        for number, line in lines:
            try:
                parts.append(parsed(line))
            except ValueError as broken:
                alone = len(lines) == 1 or not parts
                row = getattr(error, "lineno", number) if alone else number
                raise TrialsError(
                    f"not JSON: {error if alone else broken}",
                    "one array of objects, or one array or object on each line; a file that was cut"
                    " off cannot be read", file=file, row=row,
                ) from broken  # fmt: skip
    rows: list[Row] = []
    objects = all(isinstance(part, dict) for part in parts)
    for number, part in enumerate([parts] if objects else parts, 1):
        for cells in part if isinstance(part, list) else [part]:
            row = Row(file, len(rows) + 1, line=number)
            if not isinstance(cells, dict):
                raise row.error("", cells, "is not a trial", "an object with a name for each value")
            row.cells = cells
            rows.append(row)
    if not rows:
        raise TrialsError("there are no trials", "one object or more", file=file)
    return rows


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is not blank, whatever ends lines."""
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        if line.strip():
            yield number, line


def parsed(text: str) -> Any:
    """Return what a JSON text holds; ValueError if it is none, or has a name twice."""
    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's values by name; ValueError if a name is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(f"the name {name!r} is there twice in one object")
    return found
