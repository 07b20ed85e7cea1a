"""The number of each trial in its session, and no trial twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from neurodyn.analysis.trial_columns import TrialColumns


def positions(
    table: TrialColumns, found: Mapping[str, Any], asked: np.ndarray, notes: dict[str, Any]
) -> Float[np.ndarray, " trial"]:
    """Return the number of each trial in its session; refuse trials that are there twice."""
    who = list(zip(found["subject"], found["session"], strict=True))
    files = [file for file, _ in table.places]
    numbered = "position" in table
    if numbered:
        within = table.count("position")
    else:
        within = numbers([(*one, file) for one, file in zip(who, files, strict=True)], asked)
        notes["position"] = "from the order of the trials"
    seen: dict[tuple[Any, ...], int] = {}
    for row, place in enumerate(within):
        block = found["block"][row]
        key = (*who[row], found["phase"][row], None if np.isnan(block) else block, place)
        if not np.isnan(place) and seen.setdefault(key, row) != row:
            file, number = table.places[seen[key]]
            raise table.error(
                row, "position" if numbered else "subject",
                float(place) if numbered else who[row][0],
                f"the same trial as {file + ', ' if file else ''}row {number} (subject, session, "
                f"phase, block, position = {', '.join(str(part) for part in key)})",
                "each trial once; keep the newest of several files of one session, or tell "
                "sessions apart: columns={'session': ...}",
            )  # fmt: skip
    return within if numbered else numbers(who, asked)


def numbers(keys: Sequence[Any], leave_out: np.ndarray) -> Float[np.ndarray, " trial"]:
    """Return 1, 2, ... for each key by itself, NaN where left out."""
    counts: Counter[Any] = Counter()
    found = np.full(len(keys), np.nan)
    for row, key in enumerate(keys):
        if not leave_out[row]:
            counts[key] += 1
            found[row] = counts[key]
    return found
