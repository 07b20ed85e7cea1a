"""Columns of cells as they come from a file, turned into text, numbers and yes or no."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from neurodyn.analysis.trial_cells import Refused, is_missing, number, raw, text, truth
from neurodyn.analysis.trial_schema import COLUMNS, TrialsError

RAW = re.compile(r"raw_[\w.\-]+")
Places = Sequence[tuple[str, int]]
"""The file and the row that each trial comes from."""


class TrialColumns:
    """Cells by column and row, and where they come from.

    Parameters
    ----------
    columns : mapping
        Name to one value for each trial, or one value for all.
    places : sequence of (file, row), optional
        Of each trial, for errors; by default the number of the trial, from 1.
    missing : collection of str
        Texts that stand for nothing.
    """

    def __init__(
        self, columns: Mapping[str, Any], places: Places | None, missing: Collection[str]
    ) -> None:
        cells = {name: listed(values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in cells.items() if values is not None}
        self.rows = max(lengths.values(), default=len(places or ()))
        if self.rows == 0:
            raise TrialsError("there are no trials", "one trial or more")
        if len(set(lengths.values())) > 1 or (places is not None and len(places) != self.rows):
            raise TrialsError(f"columns of different lengths: {lengths}", "one value for a trial")
        self.places = places or [("", row) for row in range(1, self.rows + 1)]
        self.missing = missing
        self.cells = {
            name: [columns[name]] * self.rows if values is None else values
            for name, values in cells.items()
        }

    def __contains__(self, name: str) -> bool:
        return name in self.cells

    def error(self, row: int, column: str, value: Any, problem: str, allowed: str) -> TrialsError:
        """Return the error about one cell, to be raised."""
        file, number = self.places[row]
        return TrialsError(problem, allowed, file=file, row=number, column=column, value=value)

    def read(self, name: str, cell: Callable[[Any], Any], empty: Any) -> list[Any]:
        """Return a column read cell by cell; `empty` where there is nothing."""
        found = []
        for row, value in enumerate(self.cells.get(name, [None] * self.rows)):
            try:
                found.append(empty if is_missing(value, self.missing) else cell(value))
            except Refused as refused:
                raise self.error(
                    row, name, value, "cannot be read", f"{refused}, or nothing"
                ) from refused
        return found

    def text(self, name: str) -> list[str]:
        """Return a column of texts, "" where there is nothing."""
        return self.read(name, text, "")

    def raw(self, name: str) -> list[str]:
        """Return a column of texts as they stand in the file, "" where there is nothing."""
        return self.read(name, raw, "")

    def number(self, name: str) -> Float[np.ndarray, " trial"]:
        """Return a column of numbers, NaN where there is nothing."""
        return np.asarray(self.read(name, number, np.nan), dtype=np.float64)

    def truth(self, name: str) -> Float[np.ndarray, " trial"]:
        """Return a column of 1 and 0, NaN where there is nothing."""
        return np.asarray(self.read(name, truth, np.nan), dtype=np.float64)

    def count(self, name: str) -> Float[np.ndarray, " trial"]:
        """Return a column of whole numbers from 1, NaN where there is nothing."""
        values = self.number(name)
        for row in np.flatnonzero(~np.isnan(values) & ((values < 1) | (values % 1 != 0))):
            given = self.cells[name][row]
            raise self.error(int(row), name, given, "cannot be a count", "whole numbers from 1")
        return values

    def coded(
        self, name: str, codes: Mapping[Any, Any], subjects: Sequence[str]
    ) -> Float[np.ndarray, " trial"]:
        """Return a column of 1 and 0 by a map from what stands in the file.

        The map is the same for all, or one for each subject.
        """
        each = any(isinstance(value, Mapping) for value in codes.values())
        maps = codes if each else {"": codes}
        read = {text(key): checked_codes(name, value) for key, value in maps.items()}
        found = np.full(self.rows, np.nan)
        for row, value in enumerate(self.text(name)):
            owner = subjects[row] if each else ""
            if value and owner not in read:
                raise self.error(
                    row, "subject", owner, f"has no map for {name}",
                    f"the subjects of the map: {', '.join(read)}",
                )  # fmt: skip
            if value and value not in read[owner]:
                raise self.error(
                    row, name, self.cells[name][row], "is not in the map",
                    f"{', '.join(read[owner])}, or nothing",
                )  # fmt: skip
            if value:
                found[row] = read[owner][value]
        return found


def checked_codes(name: str, codes: Any) -> dict[str, float]:
    """Return a map from text to 1, 0 or NaN (no answer)."""
    wanted = "a map from what stands in the file to 1, 0 or None, e.g. {'f': 1, 'j': 0}"
    if not isinstance(codes, Mapping):
        raise TypeError(f"the map for {name} must be {wanted}; got {codes!r}")
    try:
        return {
            text(key): np.nan if value is None else truth(value) for key, value in codes.items()
        }
    except Refused as error:
        raise ValueError(f"the map for {name} must be {wanted}; got {codes!r}") from error


def listed(values: Any) -> list[Any] | None:
    """Return a column as a list of plain values, None if it is one value for all."""
    if hasattr(values, "to_numpy"):  # xarray and pandas
        values = values.to_numpy()
    if isinstance(values, np.ndarray | np.generic):
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Sequence):
        return None
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def check_maps(**given: Any) -> None:
    """Refuse maps that are none."""
    examples = {"phases": '{"learning": "train"}', "stimuli": "{1: 0, 2: 1}"}
    for name, value in given.items():
        if not isinstance(value, Mapping | None):
            raise TypeError(
                f"{name} must map what stands in the file to what it means, e.g. "
                f"{examples.get(name, str({'f': 1, 'j': 0}))}; got {value!r}"
            )


def check_names(columns: Collection[str]) -> None:
    """Refuse names that are no variables of the table."""
    wrong = [name for name in columns if name not in COLUMNS and not RAW.fullmatch(name)]
    if wrong:
        raise TrialsError(
            f"unknown columns {', '.join(map(repr, wrong))}",
            f"{', '.join(COLUMNS)}, and raw_ with letters, digits, . - _",
        )
