"""What a table of trials holds, and the error that says where one is wrong."""

from dataclasses import dataclass
from typing import Any, Literal

PHASES = (
    "practice", "train", "implicit", "questionnaire", "explicit", "memory", "test", "transfer",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One variable of the table: its kind, its attributes, and what it may hold."""

    kind: Literal["text", "truth", "number", "count"]
    long_name: str
    units: str = "1"


COLUMNS = {
    "subject": Column("text", "participant"),
    "session": Column("text", "session; empty if there is one only"),
    "phase": Column("text", f"phase: {', '.join(PHASES)}; empty if unknown"),
    "block": Column("count", "block, from 1"),
    "position": Column("count", "number of the trial within the session, from 1, as seen"),
    "item": Column("text", "string shown; empty where missing"),
    "grammar": Column("text", "grammar; empty if unknown"),
    "grammatical": Column("truth", "string is grammatical"),
    "response": Column("truth", "response: 1 = grammatical, 0 = ungrammatical"),
    "correct": Column("truth", "response is right"),
    "rt": Column("number", "response time", "s"),
    "confidence": Column("number", "confidence"),
    "feedback": Column("truth", "feedback was shown"),
    "agent": Column("text", "who answered: human, simulated, or the name of a network"),
}
"""The variables of a table of trials, in order."""


class TrialsError(ValueError):
    """A file or a table of trials that cannot be read; says where and what is allowed.

    Parameters
    ----------
    problem : str
        What is wrong.
    allowed : str
        What may stand there, or what to do.
    file, row, column, value
        Where it is wrong, as far as that is known: the file's name, the number of its line (text
        tables, the header counts) or of the trial from 1 (JSON), the column, the value found. All
        are attributes of the error.

    Examples
    --------
    >>> print(TrialsError("not a number", "seconds", file="a.csv", row=7, column="rt", value="x"))
    a.csv, row 7, column 'rt', value 'x': not a number; allowed: seconds
    """

    def __init__(
        self, problem: str, allowed: str, *, file: str = "", row: int | None = None,
        column: str = "", value: Any = None,
    ) -> None:  # fmt: skip
        problem, allowed = clipped(problem), clipped(allowed)
        self.problem, self.allowed = problem, allowed
        self.file, self.row, self.column, self.value = file, row, column, value
        where = [file] if file else []
        where += [f"row {row}"] if row is not None else []
        where += [f"column {shortened(column)}"] if column else []
        where += [f"value {shortened(value)}"] if value is not None else []
        place = ", ".join(where)
        super().__init__(f"{place}{': ' if place else ''}{problem}; allowed: {allowed}")


def clipped(text: str, width: int = 600) -> str:
    """Return a text cut to a length that can be read."""
    return text if len(text) <= width else f"{text[:width]}..."


def shortened(value: Any) -> str:
    """Return a value as it is written in code, of a length that can be read."""
    try:
        written = repr(value)
    except (ValueError, RecursionError):  # numbers of thousands of digits, deep nesting
        return f"a {type(value).__name__} too large to show"
    return clipped(written, 80)
