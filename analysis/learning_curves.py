"""Learning curves and accuracy by length, and how far apart those of people and networks are."""

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neurodyn.analysis.long_table import cell_sums, cells, column, grid, row_dims

LEARNING = ("train", "implicit", "")
CENTRES = (100, 200, 300, 400)
WIDTH = 40
PAPER = "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861"
WINDOWS = {
    "paper": "trials k - 19 to k + 20 for k = 100, 200, 300, 400 (the centre lies after k trials); "
    "for 500 the last 40 of the first 500 trials; NaN where a window is not whole or, "
    "for 500, begins before trial 421",
    "blocks": "all trials of a block; n_seen: the mean number of trials seen before the middle "
    "of one of them",
    "width": "consecutive windows of {} trials; n_seen: trials seen at the middle; "
    "the last ones, not whole, are left out",
}


def window_means(
    values: Float[np.ndarray, "subject trial"],
    first: Int[np.ndarray, "subject window"],
    last: Int[np.ndarray, "subject window"],
) -> tuple[Float[np.ndarray, "subject window"], Int[np.ndarray, "subject window"]]:
    r"""Return the mean of the values that are not NaN in each window, and how many there are.

    .. math:: A_{sw} = \frac1{n_{sw}} \sum_{t=a_{sw}}^{b_{sw}} v_{st}

    Trials count from 1, both ends belong to the window; NaN for an empty one (b = a - 1).

    Examples
    --------
    >>> values = np.array([[1.0, 0.0, np.nan, 1.0]])
    >>> window_means(values, np.array([[1, 3]]), np.array([[2, 4]]))
    (array([[0.5, 1. ]]), array([[2, 1]]))
    """
    there = ~np.isnan(values)
    start = np.zeros((len(values), 1))
    sums = np.hstack([start, np.cumsum(np.where(there, values, 0), axis=1)])
    counts = np.hstack([start.astype(int), np.cumsum(there, axis=1)])
    n = np.take_along_axis(counts, last, 1) - np.take_along_axis(counts, first - 1, 1)
    total = np.take_along_axis(sums, last, 1) - np.take_along_axis(sums, first - 1, 1)
    return total / np.where(n, n, np.nan), n


def paper_windows(
    trials: Int[np.ndarray, " subject"],
) -> tuple[np.ndarray, Int[np.ndarray, "subject window"], Int[np.ndarray, "subject window"]]:
    """Return the labels 100 to 500, and the first and last trial of each subject's windows.

    A window that a subject has too few trials for is empty (first 1, last 0).

    Examples
    --------
    >>> paper_windows(np.array([480]))[1:]
    (array([[ 81, 181, 281, 381, 441]]), array([[120, 220, 320, 420, 480]]))
    """
    last = np.broadcast_to(np.array(CENTRES) + WIDTH // 2, (len(trials), len(CENTRES)))
    end = np.minimum(trials, 500)[:, None]
    last = np.hstack([last, end])
    first = last - WIDTH + 1
    whole = last <= trials[:, None]
    whole[:, -1] &= first[:, -1] > CENTRES[-1] + WIDTH // 2
    return np.array([*CENTRES, 500]), np.where(whole, first, 1), np.where(whole, last, 0)


def even_windows(
    trials: Int[np.ndarray, " subject"], width: int
) -> tuple[np.ndarray, Int[np.ndarray, "subject window"], Int[np.ndarray, "subject window"]]:
    """Return the middles, first and last trials of consecutive windows; empty ones as above.

    Examples
    --------
    >>> even_windows(np.array([25, 10]), 10)
    (array([ 5., 15.]), array([[ 1, 11],
           [ 1,  1]]), array([[10, 20],
           [10,  0]]))
    """
    ends = np.arange(width, trials.max() + 1, width)
    whole = ends <= trials[:, None]
    return ends - width / 2, np.where(whole, ends - width + 1, 1), np.where(whole, ends, 0)


def in_order(
    trials: xr.Dataset, phases: Sequence[str]
) -> tuple[np.ndarray, Int[np.ndarray, " trial"], Int[np.ndarray, " trial"]]:
    """Return the subjects, and for each trial its subject's place in them and its rank.

    The rank counts a subject's trials of the phases from 1, in the order seen; 0 for other trials.
    A subject's sessions follow each other as they do in the table, whatever those of others do.
    """
    if row_dims(trials) != ("trial",):
        raise ValueError("a learning curve needs trials; for networks, plot accuracy over n_seen")
    subject, position = column(trials, "subject"), column(trials, "position").astype(float)
    used = np.isin(column(trials, "phase"), list(phases)) if "phase" in trials else subject != "?"
    if not used.any():
        there = sorted(set(column(trials, "phase").tolist()))
        raise ValueError(f"no trial of the phases {list(phases)}; the table has {there}")
    if np.isnan(position[used]).any():
        row = int(np.flatnonzero(used & np.isnan(position))[0])
        raise ValueError(f"position is missing in row {row}: number the trials in the order seen")
    session = column(trials, "session") if "session" in trials else np.full(len(subject), "")
    names, who = np.unique(subject[used], return_inverse=True)
    labels, which = np.unique(session[used], return_inverse=True)
    own = who * len(labels) + which  # each subject's session by itself
    _, begins, inverse = np.unique(own, return_index=True, return_inverse=True)
    when = begins[inverse]
    key = np.stack([who, when, position[used]])
    order = np.lexsort(key[::-1])
    if (np.diff(key[:, order], axis=1) == 0).all(axis=0).any():
        raise ValueError(
            "a subject has two trials at the same position of a session: select one agent and "
            "remove duplicates"
        )
    counts = np.bincount(who)
    rank = np.zeros(len(subject), int)
    ranked = np.arange(1, len(who) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    rank[np.flatnonzero(used)[order]] = ranked
    place = np.full(len(subject), -1)
    place[used] = who
    return names, place, rank


def learning_curve(
    trials: xr.Dataset,
    windows: Literal["paper", "blocks"] | int = "paper",
    *,
    phases: Sequence[str] = LEARNING,
) -> xr.Dataset:
    r"""Return each subject's proportion correct as learning goes on.

    .. math:: A_s(k) = \frac{1}{n} \sum_{t \in W(k)} c_{st}

    The windows "paper" are those of Alamia et al. (2020): 40 trials around trial 100, 200, 300 and
    400, and the last 40 for 500. Around k are the trials k - 19 to k + 20, so that the middle of
    the window has seen k trials. Of the 480 trials of the paper the last 40 are 441 to 480. What
    the paper does not say: a window that is not whole gives NaN, and is never cut; the last 40 are
    those of the first 500 trials, and count only where they begin after the window around 400
    ends, that is for subjects with 460 trials or more.

    Parameters
    ----------
    trials : Dataset
        ``subject``, ``position``, ``correct`` over trial, perhaps ``session``, ``phase``,
        ``block``, ``grammar``, ``agent``. Trials count in the order seen, whether answered or not;
        the mean is over those answered.
    windows : {"paper", "blocks"} or int
        As above; the blocks as labelled; or consecutive windows of so many trials.
    phases : sequence of str
        The trials that count, by ``phase``: learning with feedback, or unknown.

    Returns
    -------
    Dataset
        ``accuracy`` (subject, n_seen), or (subject, block) with ``n_seen`` along block, and
        ``n_trials``, answered trials in each window; ``grammar`` and ``agent`` along subject.

    Raises
    ------
    ValueError
        Where positions are missing or given twice, a subject has several grammars, or no subject
        has enough trials for any window.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861.

    Examples
    --------
    >>> trial = np.arange(480)
    >>> trials = xr.Dataset({"correct": ("trial", trial % 4 > 0)})
    >>> trials = trials.assign(response=trials.correct, position=("trial", trial + 1))
    >>> trials = trials.assign(subject=("trial", np.full(480, "s1")))
    >>> learning_curve(trials).accuracy.values
    array([[0.75, 0.75, 0.75, 0.75, 0.75]])
    """
    subjects, place, rank = in_order(trials, phases)
    correct = column(trials, "correct").astype(float)
    used = place >= 0
    if windows == "blocks":
        found = by_block(trials.isel(trial=used), correct[used], rank[used])
    else:
        counts = np.bincount(place[used])
        table = np.full((len(subjects), counts.max()), np.nan)
        table[place[used], rank[used] - 1] = correct[used]
        if windows == "paper":
            middles, first, last = paper_windows(counts)
        elif isinstance(windows, int) and not isinstance(windows, bool) and windows > 0:
            middles, first, last = even_windows(counts, windows)
        else:
            raise ValueError(
                f"windows must be 'paper', 'blocks' or a number of trials, got {windows!r}"
            )
        if not last.any():
            raise ValueError(
                f"the longest of the subjects has {counts.max()} trials, too few for any window of "
                f"{windows!r}; give a number of trials, or 'blocks'"
            )
        means, n = window_means(table, first, last)
        found = xr.Dataset(coords={"subject": subjects, "n_seen": middles})
        found["accuracy"] = ("subject", "n_seen"), means
        found["n_trials"] = ("subject", "n_seen"), n
    return described(found, trials, place, windows, phases)


def by_block(trials: xr.Dataset, correct: np.ndarray, rank: np.ndarray) -> xr.Dataset:
    """Return accuracy and answered trials (subject, block), and n_seen along block."""
    cell, labels = cells(trials, ("subject", "block"))
    answered = np.where(np.isnan(correct), -1, cell)
    n = cell_sums(answered, np.ones(len(correct)), labels)
    found = xr.Dataset(coords=labels)
    means = cell_sums(answered, correct, labels) / np.where(n, n, np.nan)
    found["accuracy"] = ("subject", "block"), means
    found["n_trials"] = ("subject", "block"), n.astype(int)
    seen = cell_sums(cell, rank - 0.5, labels).sum(0) / cell_sums(cell, rank > 0, labels).sum(0)
    found.coords["n_seen"] = "block", seen
    found.block.attrs = {"long_name": "block of trials", "units": "1"}
    return found


def described(
    found: xr.Dataset,
    trials: xr.Dataset,
    place: np.ndarray,
    windows: str | int,
    phases: Sequence[str],
) -> xr.Dataset:
    """Add what the numbers mean, and the grammar and agent of each subject."""
    for name in ("grammar", "agent"):
        if name in trials:
            values = column(trials, name)
            several = [
                np.unique(values[place == s]).tolist() for s in range(found.sizes["subject"])
            ]
            for subject, there in zip(found.subject.values.tolist(), several, strict=True):
                if len(there) > 1:
                    raise ValueError(
                        f"subject {subject!r} has the {name}s {there}: select one, as in "
                        f"trials.isel(trial=(trials.{name} == {there[0]!r}).values)"
                    )
            found.coords[name] = "subject", [there[0] for there in several]
            found[name].attrs = {"long_name": name, "units": "1"}
    text = WINDOWS["width"].format(windows) if isinstance(windows, int) else WINDOWS[windows]
    paper = {"references": PAPER} if windows == "paper" else {}
    found.accuracy.attrs = {"long_name": "proportion correct", "units": "1", **paper}
    found.n_trials.attrs = {"long_name": "answered trials in the window", "units": "1"}
    found.n_seen.attrs = {"long_name": "trials seen", "units": "1"}
    found.subject.attrs = {"long_name": "subject", "units": "1"}
    found.attrs = {
        "windows": text,
        "phases": json.dumps(list(phases)),
        "provenance": "paper" if windows == "paper" else "reconstruction",
    }
    return found


def accuracy_by_length(
    data: xr.Dataset, *, by: Sequence[str] | None = None, threshold: float = 0.5
) -> xr.Dataset:
    r"""Return the proportion correct for each length of the strings.

    .. math:: A(\ell) = \frac{1}{n_\ell} \sum_{i : \ell_i = \ell} c_i

    Parameters
    ----------
    data : Dataset
        Trials (``correct``, and ``length`` or ``item``, the strings) or answers (``output``, and
        ``grammatical``, and ``length`` or ``string`` along item).
    by : sequence of str, optional
        What else to tell apart; by default "subject" for trials, all dimensions but item for
        answers. The rest is pooled.
    threshold : float
        An output of it or more is a network's response "grammatical".

    Returns
    -------
    Dataset
        ``accuracy`` (..., length), NaN where there is no answer, and ``n_trials``, their number.

    Examples
    --------
    >>> output = xr.DataArray([[0.9, 0.6, 0.7, 0.2]], dims=("seed", "item"))
    >>> strings = {"grammatical": ("item", [1, 1, 0, 0]), "length": ("item", [2, 3, 2, 3])}
    >>> accuracy_by_length(xr.Dataset({"output": output}, coords=strings)).accuracy.values
    array([[0.5, 1. ]])
    """
    dims = row_dims(data)
    if dims == ("trial",):
        by = ("subject",) if by is None else by
        correct = column(data, "correct").astype(float)
    else:
        by = tuple(dim for dim in dims if dim != "item") if by is None else by
        output, truth = column(data, "output"), column(data, "grammatical").astype(float)
        correct = np.where(np.isnan(output + truth), np.nan, (output >= threshold) == (truth == 1))
    cell, labels = cells(data, (*by, "length"))
    cell = np.where(np.isnan(correct), -1, cell)
    n = cell_sums(cell, np.ones(len(correct)), labels)
    found = grid(data, labels)
    found["accuracy"] = tuple(labels), cell_sums(cell, correct, labels) / np.where(n, n, np.nan)
    found["n_trials"] = tuple(labels), n.astype(int)
    found.accuracy.attrs = {"long_name": "proportion correct", "units": "1", "references": PAPER}
    found.n_trials.attrs = {"long_name": "answered trials", "units": "1"}
    found.length.attrs = {"long_name": "length of the string", "units": "token"}
    found.attrs = {"provenance": "paper"}
    return found
