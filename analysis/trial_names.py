"""From the columns of a file to the variables of the table of trials."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from neurodyn.analysis.trial_cells import Refused, is_missing, raw, text
from neurodyn.analysis.trial_files import Row, parsed
from neurodyn.analysis.trial_schema import COLUMNS, TrialsError

Keep = Literal["all", "none"] | Sequence[str]
LONGEST = 10_000
"""Characters of a cell that is kept as it stands; a longer one makes the table too large."""


def renamed(
    rows: Sequence[Row], usual: Mapping[str, Sequence[str]], columns: Mapping[str, str | None]
) -> list[Row]:
    """Return rows whose cells go by the variables' names, all others by ``raw_`` and their own.

    Parameters
    ----------
    rows : sequence of Row
        Of one file.
    usual : mapping
        Variable to the names that the format has for it; the first that is there counts. The
        variable's own name comes first.
    columns : mapping
        Variable to the name that the user says, or None to leave it out. A name with a dot may
        look into an object: "timeline_variables.item".
    """
    header = dict.fromkeys(name for row in rows for name in row.cells)
    sources: dict[str, str] = {}
    for name in COLUMNS:
        if name in columns:
            source = columns[name]
            if source is not None and not any(has(row, source) for row in rows):
                raise TrialsError(
                    f"there is no column {source!r} for {name}", ", ".join(map(str, header)),
                    file=rows[0].file, column=source,
                )  # fmt: skip
        else:
            source = next((s for s in (name, *usual.get(name, ())) if s in header), None)
        if source is not None:
            sources[name] = source
    used = set(sources.values()) & set(header)
    others: dict[str, str] = {}
    for name in header:
        if name not in used:
            others.setdefault(raw_name(name), name)
    found = []
    for row in rows:
        cells = {name: looked_up(row, source) for name, source in sources.items()}
        cells |= {kept: row.cells.get(name) for kept, name in others.items()}
        found.append(Row(row.file, row.number, cells, row.line, sources | others))
    return found


def raw_name(name: str) -> str:
    """Return the name under which a column is kept as it stands.

    Examples
    --------
    >>> raw_name("trials/n (first)")
    'raw_trials_n_first_'
    """
    return "raw_" + (re.sub(r"[^\w.\-]+", "_", name.removeprefix("raw_")) or "_")


def has(row: Row, name: str) -> bool:
    """Return whether a row has a column, perhaps within an object."""
    return name in row.cells or looked_up(row, name) is not None


def looked_up(row: Row, name: str) -> Any:
    """Return a cell; "object.name" looks into an object, or into its JSON text."""
    if name == "<file>":
        return Path(row.file).stem
    if name == "<line>":
        return row.line
    if name in row.cells or "." not in name:
        return row.cells.get(name)
    outer, inner = name.split(".", 1)
    value = row.cells.get(outer)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = parsed(value)
        except ValueError as error:
            raise row.error(outer, value, f"not JSON: {error}", "an object") from error
    if not isinstance(value, dict):
        return None
    return value[inner] if inner in value else looked_up(Row(row.file, row.number, value), inner)


def only(rows: Sequence[Row], wanted: Mapping[str, Any]) -> list[Row]:
    """Return the rows whose columns hold the values wanted, one or several each; else all."""
    if not wanted:
        return list(rows)
    for name in wanted:
        if not any(has(row, name) for row in rows):
            header = dict.fromkeys(key for row in rows for key in row.cells)
            raise TrialsError(
                f"there is no column {name!r} to choose rows by", ", ".join(map(str, header)),
                file=rows[0].file, column=name,
            )  # fmt: skip
    allowed = {
        name: {
            text(one) for one in (values if isinstance(values, list | tuple | set) else [values])
        }
        for name, values in wanted.items()
    }
    found = [
        row for row in rows if all(plain(row, name) in values for name, values in allowed.items())
    ]
    if not found:
        raise TrialsError(f"no row has {dict(wanted)}", "values of the file", file=rows[0].file)
    return found


def plain(row: Row, name: str) -> str | None:
    """Return a cell as text, None if it is none."""
    value = looked_up(row, name)
    try:
        return None if is_missing(value) else text(value)
    except Refused:
        return None


def table_columns(rows: Sequence[Row], keep: Keep, notes: dict[str, Any]) -> dict[str, list[Any]]:
    """Return rows as columns: the variables, and of the others those to keep."""
    names = dict.fromkeys(name for row in rows for name in row.cells)
    if not isinstance(keep, str):
        wanted = {raw_name(name) for name in keep}
        absent = sorted(wanted - set(names))
        if absent:
            there = ", ".join(n.removeprefix("raw_") for n in names if n.startswith("raw_"))
            raise TrialsError(
                f"there are no columns {', '.join(absent)} to keep",
                there or 'keep="none", as all columns are variables of the table',
            )
    found = {}
    for name in names:
        values = [row.cells.get(name) for row in rows]
        if name.startswith("raw_"):
            if keep == "none" or (keep != "all" and name not in wanted):
                continue
            texts = [raw_text(row, name) for row in rows]
            values = list(texts)
            if len(name) > 200 or max(map(len, texts)) > LONGEST:
                notes.setdefault("not kept", []).append(name[:200])
                continue
        found[name] = values
    return found


def raw_text(row: Row, name: str) -> str:
    """Return a cell as it stands, JSON if it is no text, "" if there is nothing."""
    value = row.cells.get(name)
    try:
        return "" if is_missing(value) else raw(value)
    except Refused as refused:
        raise row.error(name, value, "cannot be kept", f'{refused}, or keep="none"') from refused


def distinct(rows: Sequence[Row], name: str, most: int = 8) -> str:
    """Return the values of a column, a few of them, to say what a map must hold."""
    values = [row.cells.get(name) for row in rows]
    seen = dict.fromkeys(
        value if isinstance(value, str) else json.dumps(value, default=str)
        for value in values
        if not is_missing(value) and isinstance(value, str | int | float)
    )
    shown = ", ".join(repr(value[:40]) for value in list(seen)[:most])
    return shown + (", ..." if len(seen) > most else "")
