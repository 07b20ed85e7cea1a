"""Signal detection: how well grammatical strings are told from others, and with what bias."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import ndtri

from neurodyn.analysis.long_table import cell_sums, cells, column, grid, row_dims

CORRECTION = "log-linear: 0.5 added to hits and false alarms, 1 to the trials of each kind"
REFERENCES = (
    "Green & Swets (1966), Signal Detection Theory and Psychophysics, Wiley; Hautus (1995), "
    "Behavior Research Methods, Instruments, & Computers 27, 46-51, doi 10.3758/BF03203619; "
    "Hanley & McNeil (1982), Radiology 143, 29-36, doi 10.1148/radiology.143.1.7063747"
)
NAMES = {
    "hits": "grammatical strings called grammatical",
    "false_alarms": "ungrammatical strings called grammatical",
    "n_grammatical": "answered trials with a grammatical string",
    "n_ungrammatical": "answered trials with an ungrammatical string",
    "hit_rate": "hit rate, log-linear correction",
    "false_alarm_rate": "false-alarm rate, log-linear correction",
    "d_prime": "sensitivity d'",
    "criterion": "criterion c (positive: 'ungrammatical' preferred)",
    "ln_beta": "ln of the likelihood ratio at the criterion",
    "auc": "area under the ROC curve of the graded answers",
    "n_graded_grammatical": "graded answers to grammatical strings",
    "n_graded_ungrammatical": "graded answers to ungrammatical strings",
}


def detection_measures(
    hits: ArrayLike, false_alarms: ArrayLike, signal: ArrayLike, noise: ArrayLike
) -> dict[str, Float[np.ndarray, "..."]]:
    r"""Return rates, d', criterion and ln beta from counts, arrays of one shape.

    .. math:: H = \frac{h + 1/2}{n_s + 1}, \qquad F = \frac{f + 1/2}{n_n + 1}

    .. math:: d' = z(H) - z(F), \qquad c = -\tfrac12 [z(H) + z(F)], \qquad \ln\beta = c\, d'

    z is the inverse of the standard normal distribution. The correction (Hautus 1995) is applied
    everywhere, not only where a rate would be 0 or 1. NaN where there is no trial of a kind.

    Parameters
    ----------
    hits, false_alarms : array_like
        How many signals and how many others were called signal.
    signal, noise : array_like
        How many there were of each.

    Examples
    --------
    >>> measures = detection_measures(hits=20, false_alarms=10, signal=30, noise=30)
    >>> round(measures["d_prime"].item(), 3), round(measures["criterion"].item(), 3)
    (0.832, 0.0)
    """
    signals, others = np.asarray(signal, float), np.asarray(noise, float)
    hit = (np.asarray(hits, float) + 0.5) / np.where(signals > 0, signals + 1, np.nan)
    false = (np.asarray(false_alarms, float) + 0.5) / np.where(others > 0, others + 1, np.nan)
    z_hit, z_false = ndtri(hit), ndtri(false)
    criterion = -(z_hit + z_false) / 2
    return {
        "hit_rate": hit,
        "false_alarm_rate": false,
        "d_prime": z_hit - z_false,
        "criterion": criterion,
        "ln_beta": criterion * (z_hit - z_false),
    }


def area_under_roc(
    score: Float[np.ndarray, " row"],
    signal: np.ndarray,
    cell: Int[np.ndarray, " row"],
    labels: dict[str, np.ndarray],
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    r"""Return the area under the ROC curve of each cell, and how many signals and others it has.

    .. math:: \mathrm{AUC} = \frac{\sum_{i \in s} R_i - n_s (n_s + 1) / 2}{n_s n_n}

    R are ranks within the cell, tied scores sharing the mean of theirs. NaN where there is no
    signal, or nothing else. For the arguments, see `neurodyn.analysis.long_table.cells`.

    Examples
    --------
    >>> score, signal = np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, True, False, False])
    >>> area_under_roc(score, signal, np.zeros(4, int), {})[0].item()
    0.875
    """
    used = cell >= 0
    cell, score, signal = cell[used], score[used], signal[used].astype(float)
    order = np.lexsort((score, cell))
    ranked, sorted_cells = score[order], cell[order]
    new = np.ones(len(order), bool)
    new[1:] = (sorted_cells[1:] != sorted_cells[:-1]) | (ranked[1:] != ranked[:-1])
    ties = np.cumsum(new) - 1
    places = np.arange(1, len(order) + 1) - np.searchsorted(sorted_cells, sorted_cells)
    ranks = np.empty(len(order))
    ranks[order] = (np.bincount(ties, places) / np.bincount(ties))[ties]
    signals = cell_sums(cell, signal, labels)
    others = cell_sums(cell, 1 - signal, labels)
    wins = cell_sums(cell, ranks * signal, labels) - signals * (signals + 1) / 2
    pairs = signals * others
    return wins / np.where(pairs > 0, pairs, np.nan), signals, others


def signal_detection(
    data: xr.Dataset, *, by: Sequence[str] | None = None, threshold: float = 0.5
) -> xr.Dataset:
    r"""Return hit and false-alarm rates, d', criterion and AUC of people or networks.

    .. math:: d' = z(H) - z(F), \qquad c = -\tfrac12 [z(H) + z(F)], \qquad \ln\beta = c\, d'

    A hit is a grammatical string called grammatical. Rates have the log-linear correction in every
    cell, so that d' is finite; it draws d' of few trials towards 0, hence compare cells with
    equal numbers of trials. The AUC needs no criterion: it is the chance that a grammatical string
    gets more evidence than an ungrammatical one, from the networks' outputs, or from confidence
    counted negative where the response was "ungrammatical". Under equal variances
    :math:`d' = \sqrt 2\, z(\mathrm{AUC})`.

    Parameters
    ----------
    data : Dataset
        Trials: ``response`` and ``grammatical`` over trial (1, 0, NaN), perhaps ``confidence`` (0
        and up, larger is surer). Or answers: ``output`` = P(grammatical) over item and other
        dimensions, with the coordinate ``grammatical`` along item.
    by : sequence of str, optional
        What to tell apart: columns of the trials ("subject", "block", "phase", "length", ...), or
        dimensions of the answers and coordinates along item. The rest is pooled. By default
        "subject" for trials, all dimensions but item for answers. "length" is counted from the
        strings where it is not given.
    threshold : float
        An output of it or more is a network's response "grammatical".

    Returns
    -------
    Dataset
        Over the dimensions named in `by`: ``hits``, ``false_alarms``, ``n_grammatical``,
        ``n_ungrammatical`` (counts of answered trials), ``hit_rate``, ``false_alarm_rate``,
        ``d_prime``, ``criterion``, ``ln_beta``, and ``auc`` with its counts,
        ``n_graded_grammatical`` and ``n_graded_ungrammatical``. A measure is NaN where the count
        it needs is 0. Trials without a response or a known kind of string are left out;
        the attribute "left_out" counts them, and those without a label.

    Raises
    ------
    ValueError
        For data that are neither trials nor answers, columns that are not there, values other than
        1, 0 and NaN, and negative confidence.

    References
    ----------
    Green & Swets (1966), Signal Detection Theory and Psychophysics. Hautus (1995), Behav. Res.
    Methods Instrum. Comput. 27, 46-51. Hanley & McNeil (1982), Radiology 143, 29-36.

    Examples
    --------
    >>> output = xr.DataArray([[0.9, 0.6, 0.7, 0.2]], dims=("seed", "item"))
    >>> answers = xr.Dataset({"output": output}, coords={"grammatical": ("item", [1, 1, 0, 0])})
    >>> found = signal_detection(answers)
    >>> found.d_prime.round(3).values, found.auc.values
    (array([0.967]), array([0.75]))
    """
    dims = row_dims(data)
    trials = dims == ("trial",)
    if by is None:
        by = ("subject",) if trials else tuple(dim for dim in dims if dim != "item")
    grammatical = binary(data, "grammatical")
    if trials:
        response = binary(data, "response")
        score = signed_confidence(data, response)
    else:
        score = column(data, "output").astype(float)
        response = np.where(np.isnan(score), np.nan, score >= threshold)
    cell, labels = cells(data, by)
    answered = np.where(np.isnan(response + grammatical), -1, cell)
    graded = np.where(np.isnan(score + grammatical), -1, cell)
    signal = grammatical == 1
    said = np.nan_to_num(response)
    values = {
        "hits": cell_sums(answered, said * signal, labels),
        "false_alarms": cell_sums(answered, said * ~signal, labels),
        "n_grammatical": cell_sums(answered, signal, labels),
        "n_ungrammatical": cell_sums(answered, ~signal, labels),
    }
    values |= detection_measures(*values.values())
    area, signals, others = area_under_roc(score, signal, graded, labels)
    values |= {"auc": area, "n_graded_grammatical": signals, "n_graded_ungrammatical": others}
    found = grid(data, labels)
    for name, long_name in NAMES.items():
        count = name in ("hits", "false_alarms") or name.startswith("n_")
        here = values[name].astype(int) if count else values[name]
        found[name] = tuple(labels), here, {"long_name": long_name, "units": "1"}
        if not count:
            found[name].attrs["references"] = REFERENCES
    found.attrs = {
        "correction": CORRECTION,
        "graded_by": "confidence, signed by the response" if trials else "output",
        "left_out": int((answered < 0).sum()),
        "provenance": "reconstruction",
    }
    if not trials:
        found.attrs["threshold"] = threshold
    return found


def binary(data: xr.Dataset, name: str) -> Float[np.ndarray, " row"]:
    """Return a column of 1, 0 and NaN; refuse any other value."""
    values = column(data, name)
    if values.dtype.kind in "UT":
        raise ValueError(f"{name!r} must be 1, 0 or NaN (missing), it holds {str(values[0])!r}")
    numbers = values.astype(float)
    wrong = ~(np.isnan(numbers) | (numbers == 0) | (numbers == 1))
    if wrong.any():
        raise ValueError(
            f"{name!r} must be 1, 0 or NaN (missing), row {wrong.argmax()} has "
            f"{numbers[wrong.argmax()]}"
        )
    return numbers


def signed_confidence(
    trials: xr.Dataset, response: Float[np.ndarray, " trial"]
) -> Float[np.ndarray, " trial"]:
    """Return confidence, negative where the response was "ungrammatical"; NaN if there is none."""
    if "confidence" not in trials:
        return np.full(len(response), np.nan)
    confidence = column(trials, "confidence").astype(float)
    if (confidence < 0).any():
        raise ValueError(
            f"confidence must be 0 or more (0: a guess), row {(confidence < 0).argmax()} has "
            f"{confidence[(confidence < 0).argmax()]}; shift its scale"
        )
    return np.where(response == 1, confidence, -confidence) + 0 * response
