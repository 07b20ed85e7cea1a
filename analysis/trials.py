"""The table of trials: one schema for people, simulated people and yoked networks."""

import json
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.trial_answers import complete, decided, rule
from neurodyn.analysis.trial_cells import MISSING, check_missing, note_codes, without_html
from neurodyn.analysis.trial_columns import Places, TrialColumns, check_maps, check_names
from neurodyn.analysis.trial_positions import positions
from neurodyn.analysis.trial_schema import COLUMNS, PHASES
from neurodyn.analysis.trial_schema import TrialsError as TrialsError

RT_UNITS = ("s", "ms", "auto")


def trial_table(
    columns: Mapping[str, Any],
    *,
    rt_unit: Literal["s", "ms", "auto"] = "s",
    confidence_unit: str = "1",
    responses: Mapping[Any, Any] | None = None,
    stimuli: Mapping[Any, Any] | None = None,
    phases: Mapping[str, str] | None = None,
    grammar: Any = None,
    accepts: Any = None,
    agent: str = "human",
    missing: Collection[str] = MISSING,
    source: Sequence[str] = (),
    places: Places | None = None,
    answered: Sequence[bool] | None = None,
    corrected: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    r"""Build the table of trials from columns, and check every cell.

    .. math:: \text{correct} = [\text{response} = \text{grammatical}]

    Needed: ``subject``, and two of ``grammatical``, ``response`` and ``correct`` (the third
    follows), or a grammar that decides what is grammatical. `item` may be missing; then what needs
    the strings cannot be computed. Nothing is guessed: units are stated, keys have a map.

    Parameters
    ----------
    columns : mapping
        Name of a variable (below), or ``raw_...`` for anything else, to one value for each trial,
        or one value for all. Cells may be numbers, True and False, or their usual spellings.
    rt_unit : {"s", "ms", "auto"}
        Unit of `rt`. "auto" takes ms if the median is above 60, s if it is below 20, and refuses
        to choose between.
    confidence_unit : str
        Unit of `confidence`, kept in its attributes; "1" is the scale used.
    responses : mapping, optional
        From what stands under `response` (keys, buttons) to 1 = "grammatical", 0, or None; or one
        such map for each subject, where keys were counterbalanced.
    stimuli : mapping, optional
        From what stands under `grammatical` to 1 or 0.
    phases : mapping, optional
        From what stands under `phase` to practice, train, implicit, questionnaire, explicit,
        memory, test or transfer.
    grammar : str or Grammar, optional
        Name of the grammar of all trials. A Grammar also decides what is grammatical.
    accepts : callable, Grammar or mapping, optional
        Decides what is grammatical, from the string; or one for each name under `grammar`. It may
        not contradict `grammatical`.
    agent : str
        Who answered, if there is no column `agent`.
    missing : collection of str
        Texts that stand for nothing, beside empty ones. How many items were such a text is in the
        attribute "corrected".
    source : sequence of str
        Names of the files, kept in the attributes.
    places : sequence of (file, row), optional
        Of each trial, for errors.
    answered : sequence of bool, optional
        Where there was a response that is not under `response`: it follows from `correct`. By
        default everywhere, if there is no column `response`.
    corrected : mapping, optional
        What was changed before, kept in the attributes.

    Returns
    -------
    Dataset
        Over ``trial``, in the order given: ``subject``, ``session``, ``phase``, ``item``,
        ``grammar``, ``agent`` and ``raw_...`` (text, "" where missing); ``block``, ``position``,
        ``grammatical``, ``response``, ``correct``, ``rt`` (s), ``confidence``, ``feedback``
        (float64, NaN where missing). Without `position`, trials are numbered in their order.
        Attributes: agent, source, provenance, neurodyn_version, corrected (JSON).

    Raises
    ------
    TrialsError
        With the file, the row, the column, the value and what is allowed: for cells that cannot be
        read, for a trial that is there twice (subject, session, phase, block, position), and where
        `correct` contradicts response and grammatical.

    Examples
    --------
    >>> table = trial_table(
    ...     {"subject": ["P1", "P1"], "item": ["XVJ", "JJ"], "response": ["f", "j"],
    ...      "grammatical": [True, False], "rt": [912, 1503]},
    ...     rt_unit="ms", responses={"f": 1, "j": 0},
    ... )
    >>> table.correct.values, table.rt.values, table.position.values
    (array([1., 1.]), array([0.912, 1.503]), array([1., 2.]))
    """
    if rt_unit not in RT_UNITS:
        raise ValueError(f"rt_unit {rt_unit!r} is not one of {', '.join(map(repr, RT_UNITS))}")
    check_names(columns)
    check_missing(missing)
    check_maps(responses=responses, stimuli=stimuli, phases=phases)
    table = TrialColumns(columns, places, missing)
    notes: dict[str, Any] = dict(corrected or {})
    found: dict[str, Any] = {name: table.text(name) for name in ("session", "agent")}
    found["subject"] = subjects(table)
    found["phase"] = known_phases(table, phases)
    found["item"] = items(table, notes)
    found["grammar"] = grammars(table, grammar)
    found["agent"] = [name or agent for name in found["agent"]]

    asked = np.asarray(found["phase"]) == "questionnaire"
    raw_response = kept_responses(table, asked, responses)
    if stimuli is not None:
        given = table.coded("grammatical", stimuli, found["subject"])
    else:
        given = table.truth("grammatical")
    if accepts is None and not isinstance(grammar, str | None):
        accepts = grammar
    if accepts is not None:
        given = decided(table, found["item"], found["grammar"], given, accepts)
    if responses is not None:
        response = table.coded("response", responses, found["subject"])
    else:
        response = table.truth("response")
    if answered is None:
        answered = ["response" not in table] * table.rows
    was = np.asarray(answered, dtype=np.float64)
    grammatical, response, correct, worked_out = complete(
        table, given, response, table.truth("correct"), was
    )
    notes |= worked_out
    check_answers(table, grammatical, response, correct, asked)
    found |= {"grammatical": grammatical, "response": response, "correct": correct}
    found["rt"] = seconds(table, rt_unit, notes)
    found |= {"confidence": table.number("confidence"), "feedback": table.truth("feedback")}
    found["block"] = table.count("block")
    found["position"] = positions(table, found, asked, notes)
    raws = {name: table.raw(name) for name in table.cells if name.startswith("raw_")}
    if raw_response is not None:
        raws["raw_response"] = raw_response
    agents = sorted(set(found["agent"]))
    attrs = {
        "agent": agents[0] if len(agents) == 1 else json.dumps(agents),
        "source": json.dumps(list(source)),
        "provenance": "reconstruction",
        "neurodyn_version": installed(),
        "corrected": json.dumps(notes, sort_keys=True),
    }
    return labelled(found, raws, confidence_unit, attrs)


def subjects(table: TrialColumns) -> list[str]:
    """Return the subject of each trial; each must have one."""
    found = table.text("subject")
    if "" in found:
        row = found.index("")
        value = table.cells["subject"][row] if "subject" in table else None
        raise table.error(
            row, "subject", value, "every trial needs a subject",
            "a name; say which column holds it: columns={'subject': ...}; if the name itself reads "
            "as missing, give missing=",
        )  # fmt: skip
    return found


def known_phases(table: TrialColumns, phases: Mapping[str, str] | None) -> list[str]:
    """Return the phase of each trial, by its canonical name."""
    wrong = [name for name in (phases or {}).values() if name not in PHASES]
    if wrong:
        raise ValueError(f"phases {wrong} are not among: {', '.join(PHASES)}")
    found = [(phases or {}).get(name, name.lower()) for name in table.text("phase")]
    for row, name in enumerate(found):
        if name and name not in PHASES:
            raise table.error(
                row, "phase", table.cells["phase"][row], "is not a phase",
                f"{', '.join(PHASES)}, or a map to these: phases=",
            )  # fmt: skip
    return found


def items(table: TrialColumns, notes: dict[str, Any]) -> list[str]:
    """Return the strings, without HTML."""
    found = table.text("item")
    shown = [without_html(item) for item in found]
    changed = sum(a != b for a, b in zip(found, shown, strict=True))
    if changed:
        notes["item"] = f"HTML removed in {changed} trials"
    note_codes(table.cells.get("item", ()), table.missing, notes)
    return shown


def grammars(table: TrialColumns, grammar: Any) -> list[str]:
    """Return the name of each trial's grammar."""
    found = table.text("grammar")
    if grammar is None:
        return found
    name = grammar if isinstance(grammar, str) else getattr(grammar, "name", "")
    if not isinstance(grammar, str):
        rule(grammar)
    for row, given in enumerate(found):
        if given and name and given != name:
            raise table.error(row, "grammar", given, f"is not grammar={name!r}", repr(name))
    return [given or name for given in found]


def kept_responses(
    table: TrialColumns, asked: np.ndarray, responses: Mapping[Any, Any] | None
) -> list[str] | None:
    """Return responses as they stand in the file, where a map or a question needs them.

    Responses to questions are no judgements: they are taken out of the column.
    """
    if "response" not in table:
        return None
    raw = table.raw("response")
    if responses is None and not any(raw[row] for row in np.flatnonzero(asked)):
        return None
    before = table.raw("raw_response")
    cells = table.cells["response"]
    table.cells["response"] = [
        None if out else cell for out, cell in zip(asked, cells, strict=True)
    ]
    if responses is None:
        raw = [now if out else "" for out, now in zip(asked, raw, strict=True)]
    return [now or old for now, old in zip(raw, before, strict=True)]


def check_answers(
    table: TrialColumns, grammatical: np.ndarray, response: np.ndarray, correct: np.ndarray,
    asked: np.ndarray,
) -> None:  # fmt: skip
    """Refuse tables without an answer, and trials of which nothing says if they are grammatical."""
    if np.isnan(response).all() and np.isnan(correct).all():
        raise TrialsError(
            "no trial has a response", "a column response or correct with a value, see columns=",
            file=table.places[0][0], column="response",
        )  # fmt: skip
    for row in np.flatnonzero(np.isnan(grammatical) & ~asked):
        cells = table.cells.get("grammatical")
        raise table.error(
            int(row), "grammatical", cells[row] if cells else None,
            "nothing says whether the string is grammatical",
            "1 or 0, or a grammar that decides it from item: accepts=",
        )  # fmt: skip


def seconds(
    table: TrialColumns, unit: Literal["s", "ms", "auto"], notes: dict[str, Any]
) -> Float[np.ndarray, " trial"]:
    """Return the response times in seconds."""
    found = table.number("rt")
    if np.isnan(found).all():
        return found
    if unit == "auto":
        median = float(np.nanmedian(np.abs(found)))
        if 20 <= median <= 60:
            raise TrialsError(
                f"a median of {median:g} may be seconds or milliseconds",
                'rt_unit="s" or rt_unit="ms"', file=table.places[0][0], column="rt",
            )  # fmt: skip
        unit = "ms" if median > 60 else "s"
        notes["rt_unit"] = f"found to be {unit}: the median is {median:g}"
    if unit == "s":
        return found
    notes["rt"] = "from ms to s"
    return found / 1000


def labelled(
    found: Mapping[str, Any], raws: Mapping[str, list[str]], confidence_unit: str,
    attrs: dict[str, str],
) -> xr.Dataset:  # fmt: skip
    """Return the columns as a Dataset."""
    data: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        values = np.asarray(found[name], dtype=str if column.kind == "text" else np.float64)
        units = confidence_unit if name == "confidence" else column.units
        data[name] = ("trial", values, {"long_name": column.long_name, "units": units})
    for name, texts in raws.items():
        about = {"long_name": f"{name.removeprefix('raw_')}, as in the file", "units": "1"}
        data[name] = ("trial", np.asarray(texts, dtype=str), about)
    about = {"long_name": "trial", "units": "1"}
    rows = np.arange(len(found["subject"]))
    return xr.Dataset(data, coords={"trial": ("trial", rows, about)}, attrs=attrs)


def installed() -> str:
    """Return the version of neurodyn."""
    try:
        return version("neurodyn")
    except PackageNotFoundError:  # a bare checkout
        return "unknown"
