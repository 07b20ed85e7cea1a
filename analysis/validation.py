"""Networks at the learning rate that validation strings choose, measured on test strings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.analysis.grammar_claims import family_advantage
from neurodyn.analysis.seeds import seed_interval


def best_on_validation(answers: xr.Dataset) -> xr.Dataset:
    r"""Return accuracies at the learning rate that is best on validation strings.

    .. math:: \hat\eta = \arg\max_\eta \langle A^\mathrm{validation}_s(\eta) \rangle_s

    A rate at which any network diverged is not chosen. The test strings have no say.

    Parameters
    ----------
    answers : Dataset
        ``output`` (learning_rate, seed, item) and ``diverged`` (learning_rate, seed), with
        ``grammatical`` and ``split`` along item, as `neurodyn.models.train_nets` gives them.

    Returns
    -------
    Dataset
        ``accuracy`` (seed) on the split "test", ``validation`` (learning_rate, seed),
        ``learning_rate_chosen``, and ``at_edge``, 1 where that is the first or the last tried.

    Raises
    ------
    ValueError
        If some network diverged at every rate.

    Examples
    --------
    >>> output = xr.DataArray([[[0.9, 0.2]], [[0.3, 0.8]]], dims=("learning_rate", "seed", "item"))
    >>> answers = xr.Dataset(
    ...     {"output": output, "diverged": (("learning_rate", "seed"), [[False], [False]])},
    ...     {"learning_rate": [0.1, 1.0], "split": ("item", ["validation", "test"]),
    ...      "grammatical": ("item", [True, True])})
    >>> found = best_on_validation(answers)
    >>> found.learning_rate_chosen.item(), found.accuracy.values
    (0.1, array([0.]))
    """
    correct = ((answers.output >= 0.5) == answers.grammatical).where(~answers.diverged)
    validation = correct.where(answers.split == "validation").mean("item")
    mean = validation.mean("seed", skipna=False)
    if mean.isnull().all():
        raise ValueError("every learning rate made some network diverge; try more learning_rates")
    best = int(mean.argmax("learning_rate"))
    test = correct.isel(learning_rate=best, drop=True).where(answers.split == "test")
    return xr.Dataset(
        {
            "accuracy": test.mean("item"),
            "validation": validation,
            "learning_rate_chosen": answers.learning_rate.values[best],
            "at_edge": int(best in (0, len(mean) - 1)),
        }
    )


def over_settings(
    cells: Mapping[Any, xr.Dataset], grammars: Sequence[str],
    families: Sequence[str], epochs: Sequence[int], batch: Sequence[int],
) -> xr.Dataset:  # fmt: skip
    """Return the accuracies of many kinds of network, with means, intervals and advantages.

    Parameters
    ----------
    cells : mapping
        (grammar, family, epochs, batch) to what `best_on_validation` made of it, with
        ``seen_test``, the share of test strings that were in training.
    grammars, families, epochs, batch : sequence
        The coordinates; NaN where there is no such cell.

    Returns
    -------
    Dataset
        ``accuracy`` (grammar, family, epochs, batch, seed), ``mean_accuracy`` and its interval over
        seeds, ``learning_rate``, ``at_edge``, ``seen_test`` (grammar), and the variables of
        `neurodyn.analysis.family_advantage`.
    """
    seeds = next(iter(cells.values())).seed.values
    shape = (len(grammars), len(families), len(epochs), len(batch))
    accuracy, rate = np.full((*shape, len(seeds)), np.nan), np.full(shape, np.nan)
    edge, seen = np.full(shape, np.nan), np.full(shape[0], np.nan)
    for index in np.ndindex(shape):
        labels = (grammars[index[0]], families[index[1]], epochs[index[2]], batch[index[3]])
        if (found := cells.get(labels)) is not None:
            accuracy[index] = found.accuracy.values
            rate[index] = found.learning_rate_chosen.item()
            edge[index], seen[index[0]] = found.at_edge.item(), found.seen_test.item()
    dims = ("grammar", "family", "epochs", "batch")
    result = xr.Dataset(
        {
            "accuracy": (
                (*dims, "seed"), accuracy,
                {"long_name": "proportion of 200 test strings judged right", "units": "1"},
            ),
            "learning_rate": (
                dims, rate, {"long_name": "learning rate chosen on validation", "units": "1"},
            ),
            "at_edge": (
                dims, edge, {"long_name": "1 where that is the lowest or highest", "units": "1"},
            ),
            "seen_test": (
                "grammar", seen,
                {"long_name": "share of test strings that were in training", "units": "1"},
            ),
        },
        coords=dict(zip((*dims, "seed"), (list(grammars), list(families), list(epochs),
                                          list(batch), seeds), strict=True)),
    )  # fmt: skip
    about = {
        "grammar": "grammar", "family": "family of networks",
        "epochs": "passes through the strings",
        "batch": "strings in a step", "seed": "training seed: strings, weights and order",
    }  # fmt: skip
    for name, text in about.items():
        result[name].attrs = {"long_name": text, "units": "1"}
    summary = seed_interval(result.accuracy)
    result["mean_accuracy"], result["mean_accuracy_ci"] = summary["mean"], summary.mean_ci
    return result.merge(family_advantage(result.accuracy))
