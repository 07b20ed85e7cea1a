"""Trials of people, from the files that experiments write, as one table."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from neurodyn.analysis.read_bids import bids, stated_units
from neurodyn.analysis.read_jspsych import jspsych
from neurodyn.analysis.read_plain import confidence, psytoolkit
from neurodyn.analysis.read_psych201 import checked_pattern, psych201
from neurodyn.analysis.read_psychopy import psychopy
from neurodyn.analysis.trial_cells import MISSING, Refused, check_missing, is_missing, text
from neurodyn.analysis.trial_columns import check_maps
from neurodyn.analysis.trial_files import Row, file_text, own_column
from neurodyn.analysis.trial_keys import Wishes
from neurodyn.analysis.trial_names import Keep, table_columns
from neurodyn.analysis.trial_schema import COLUMNS, TrialsError
from neurodyn.analysis.trial_sources import chosen
from neurodyn.analysis.trials import trial_table

Format = Literal["jspsych", "psychopy", "bids", "psytoolkit", "confidence", "psych201"]
FORMATS = {
    "jspsych": jspsych, "psychopy": psychopy, "bids": bids, "psytoolkit": psytoolkit,
    "confidence": confidence, "psych201": psych201,
}  # fmt: skip
UNITS = {"jspsych": "ms", "psychopy": "s", "bids": "s", "psytoolkit": "ms", "confidence": "s"}


def read_trials(
    path: str | Path | Sequence[str | Path],
    format: Format | None = None,
    *,
    columns: Mapping[str, str | None] | Sequence[str] | None = None,
    fill: Mapping[str, Any] | None = None,
    rows: Mapping[str, Any] | None = None,
    responses: Mapping[Any, Any] | None = None,
    stimuli: Mapping[Any, Any] | None = None,
    phases: Mapping[str, str] | None = None,
    rt_unit: Literal["s", "ms", "auto"] | None = None,
    confidence_unit: str | None = None,
    grammar: Any = None,
    accepts: Any = None,
    keep: Keep = "all",
    agent: str = "human",
    missing: Collection[str] = MISSING,
    encoding: str | None = None,
    delimiter: str | None = None,
    task: str | None = None,
    pattern: str | None = None,
) -> xr.Dataset:
    r"""Read the trials of an experiment into one table.

    .. math:: \text{correct} = [\text{response} = \text{grammatical}]

    Files of this library's own experiment need no options. Others need what their format does not
    say. Pickles (.psydat, .pkl, .npy) are never opened.

    Parameters
    ----------
    path : path or sequence of paths
        A file, several, or a folder with all that is below it.
    format : {"jspsych", "psychopy", "bids", "psytoolkit", "confidence", "psych201"}, optional
        Follows from the name only for ``_beh.tsv`` and ``_events.tsv`` (bids), ``.json`` (jspsych)
        and ``.jsonl`` (psych201).
    columns : mapping or sequence of str, optional
        Variable of the table to the column of the file, or None to leave it out, e.g.
        ``{"item": "letters", "subject": "<file>"}``; "<file>" is the file's name, "<line>" the
        number of the JSON array, "outer.inner" looks into an object. For psytoolkit: the names of
        all columns, in order.
    fill : mapping, optional
        Values of variables where the file has none, e.g. ``{"phase": "test"}``.
    rows : mapping, optional
        Which rows are trials: column of the file to the value, or values, wanted.
    responses, stimuli, phases, grammar, accepts, agent, missing
        As for `trial_table`.
    rt_unit : {"s", "ms", "auto"}, optional
        Unit of the response times; by default the format's own. "auto" looks at the median.
    confidence_unit : str, optional
        By default what a BIDS sidecar says, "percent" for this library's own experiment, else "1".
    keep : "all", "none" or sequence of str
        Which of the other columns to keep, as ``raw_<name>``. Columns with a cell of more than
        10,000 characters are left out, and listed in the attribute "corrected".
    encoding : str, optional
        By default UTF-8, with or without its mark, else Latin-1.
    delimiter : str, optional
        Between cells; by default the format's own.
    task : str, optional
        Which task of a BIDS folder that has several.
    pattern : str, optional
        For psych201: a regular expression with named groups, e.g. ``r"string (?P<item>\w+)"``.

    Returns
    -------
    Dataset
        As of `trial_table`. Files of a folder follow each other by name, 2 before 10.

    Raises
    ------
    TrialsError
        With the file, the row, the column, the value and what is allowed.
    FileNotFoundError
        If there is no such file or folder.

    References
    ----------
    de Leeuw, Gilbert & Luchterhandt (2023), jsPsych, doi:10.21105/joss.05351. Peirce et al.
    (2019), PsychoPy2, doi:10.3758/s13428-018-01193-y. Gorgolewski et al. (2016), BIDS,
    doi:10.1038/sdata.2016.44. Stoet (2010), PsyToolkit, doi:10.3758/BRM.42.4.1096. Rahnev et al.
    (2020), The Confidence Database, doi:10.1038/s41562-019-0813-1.

    Examples
    --------
    >>> import tempfile
    >>> lines = "participant,letters,legal,key.keys,key.rt\nP1,XVJ,1,f,0.91\nP1,JJ,0,j,1.5\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "P1.csv")
    ...     _ = file.write_text(lines)
    ...     table = read_trials(
    ...         file, "psychopy", columns={"item": "letters", "grammatical": "legal"},
    ...         responses={"f": 1, "j": 0},
    ...     )
    >>> table.item.values, table.correct.values
    (array(['XVJ', 'JJ'], dtype='<U3'), array([1., 1.]))
    """
    check_wishes(format, columns, fill, rows, keep, pattern)
    check_reading(encoding, delimiter, missing)
    check_maps(responses=responses, stimuli=stimuli, phases=phases)
    if format is not None:
        check_columns(format, columns)
    files, kind = chosen(path, format, task)
    check_columns(kind, columns)
    decides = accepts is not None or not isinstance(grammar, str | None)
    wishes = Wishes(columns or {}, rows or {}, responses, stimuli, decides, pattern, missing)
    found = rows_of(files, kind, encoding, delimiter, wishes)
    units = wishes.units
    answered = [row.cells.pop("answered", "response" not in row.cells) for row in found]
    for row in found:
        for name, value in (fill or {}).items():
            if is_missing(row.cells.get(name), missing):
                row.cells[name] = value
    cells = table_columns(found, keep, wishes.notes)
    stated = one_unit("rt", rt_unit, units["rt"]) or UNITS.get(kind)
    if stated is None and not all(map(is_missing, cells.get("rt", []))):
        raise TrialsError(
            f"{kind} files do not say the unit of their times", 'rt_unit="s" or rt_unit="ms", or '
            'columns={"rt": None}', file=found[0].file, column="rt",
        )  # fmt: skip
    try:
        table = trial_table(
            cells, rt_unit=stated or "s",  # type: ignore[arg-type]
            confidence_unit=one_unit("confidence", confidence_unit, units["confidence"]) or "1",
            responses=responses, stimuli=stimuli, phases=phases, grammar=grammar, accepts=accepts,
            agent=agent, missing=missing, source=list(files), answered=answered,
            places=[(row.file, row.number) for row in found], corrected=wishes.notes,
        )  # fmt: skip
    except TrialsError as error:
        sources = {row.file: row.sources for row in found}
        raise own_column(error, sources.get(error.file, {})) from error
    return table.assign_attrs(format=kind)


def rows_of(
    files: Mapping[str, Path], kind: str, encoding: str | None, delimiter: str | None,
    wishes: Wishes,
) -> list[Row]:  # fmt: skip
    """Return the trials of all files; wishes get the units that files and sidecars state."""
    found: list[Row] = []
    for name, file in files.items():
        content = file_text(file, encoding, wishes.notes)
        found += FORMATS[kind](content, name, delimiter, wishes)
        if kind == "bids":
            for variable, unit in stated_units(file, dict(wishes.columns)).items():
                wishes.units[variable].add(unit)
    if not found:
        raise TrialsError("there are no trials", "one trial or more", file=next(iter(files)))
    return found


def one_unit(name: str, given: str | None, stated: set[str]) -> str | None:
    """Return the unit that the user says, or that all files state."""
    if given is None and len(stated) > 1:
        raise TrialsError(
            f"the files give {name} in {' and '.join(sorted(stated))}",
            "the same unit in all files; read them by themselves", column=name,
        )  # fmt: skip
    return given or next(iter(stated), None)


def check_columns(kind: str, columns: Any) -> None:
    """Refuse columns that are not as the format needs them."""
    listed = isinstance(columns, Sequence) and not isinstance(columns, str)
    if kind == "psytoolkit":
        twice = listed and len(set(columns)) < len(columns)
        if not listed or not columns or twice or not all(isinstance(c, str) for c in columns):
            raise ValueError(
                "a PsyToolkit file has no header; give the names of its columns, in the order of "
                "the script's save line and each once: "
                f'columns=["blockname", "item", "grammatical", "rt", "status"]; got {columns!r}'
            )
    elif not isinstance(columns, Mapping | None):
        raise TypeError(f"columns of {kind} files map variables to columns, got {columns!r}")


def check_wishes(
    format: Any, columns: Any, fill: Any, rows: Any, keep: Any, pattern: str | None
) -> None:
    """Refuse options that no file can meet."""
    if format is not None and format not in FORMATS:
        raise ValueError(f"format {format!r} is not one of {', '.join(map(repr, FORMATS))}")
    for name, given in (("columns", columns), ("fill", fill)):
        wrong = [one for one in given if one not in COLUMNS] if isinstance(given, Mapping) else []
        if wrong:
            raise ValueError(
                f"{name} names {', '.join(map(repr, wrong))}; allowed: {', '.join(COLUMNS)}"
            )
    sources = columns.values() if isinstance(columns, Mapping) else ()
    if not all(isinstance(one, str | None) for one in sources):
        raise TypeError(f"columns map variables to names of columns or None, got {columns!r}")
    for name, given in (("fill", fill), ("rows", rows)):
        if not isinstance(given, Mapping | None):
            raise TypeError(f"{name} must map names to values, got {given!r}")
    for name, values in (rows or {}).items():
        several = values if isinstance(values, list | tuple | set) else [values]
        try:
            texts = [text(one) for one in several]
        except Refused:
            texts = []
        if not texts or not isinstance(name, str):
            raise ValueError(
                "rows map names of columns to the text, number or truth value wanted, or a list of "
                f"such, got {rows!r}"
            )
    listed = isinstance(keep, Sequence) and all(isinstance(one, str) for one in keep)
    if keep not in ("all", "none") and (isinstance(keep, str) or not listed):
        raise ValueError(f'keep must be "all", "none" or a list of columns, got {keep!r}')
    if not isinstance(pattern, str | None):
        raise TypeError(f"pattern must be a regular expression as text, got {pattern!r}")
    if pattern is not None and format not in (None, "psych201"):
        raise ValueError(f"pattern is for psych201 files, not for {format}")
    checked_pattern(pattern)


def check_reading(encoding: Any, delimiter: Any, missing: Any) -> None:
    """Refuse ways of reading that no text can be read in."""
    check_missing(missing)
    if not isinstance(encoding, str | None):
        raise TypeError(f"encoding must be a name such as 'utf-8' or 'cp1252', got {encoding!r}")
    try:
        b"x".decode(encoding or "utf-8")
    except UnicodeError:
        pass  # it is known, and x is not text in it
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"encoding {encoding!r} is not known; allowed: Python's, e.g. 'utf-8', 'cp1252'"
        ) from error
    if delimiter is not None and (
        not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n\0'
    ):
        raise ValueError(
            f"delimiter must be one character, e.g. ',' or ';' or a tab, got {delimiter!r}"
        )
