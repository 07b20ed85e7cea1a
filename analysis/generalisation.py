"""Whether a network knows the rule, or the items that it was trained on."""

import xarray as xr

from neurodyn.analysis.reasoning import by_network, summarised

ITEMS = ("train", "new")


def generalisation(correct: xr.DataArray, *, level: float = 0.95) -> xr.Dataset:
    r"""Return accuracy on items of the training set and on new ones, and the gap between them.

    .. math:: \Delta = A_\mathrm{train} - A_\mathrm{new}

    Images are drawn apart from those of training in either case; the items on them are not. A
    network that has learned "same or different" as a rule has no gap; one that has learned which
    items look alike falls to chance on others. Intervals are Student's over seeds, paired; they
    are also about other new items only where each seed deals the items anew.

    Parameters
    ----------
    correct : DataArray
        Right or wrong with ``sample``, or accuracies; with ``items``, labelled "train" and "new",
        and ``seed``; others (task, model) are kept.
    level : float
        Coverage of the intervals, between 0 and 1.

    Returns
    -------
    Dataset
        ``accuracy`` (items, ...) and ``gap`` (...), with ``..._ci`` (..., ci_bound = lower, upper).

    Raises
    ------
    ValueError
        For missing dimensions or labels, and one seed only.

    References
    ----------
    Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020.

    Examples
    --------
    >>> accuracy = xr.DataArray([[0.9, 0.5], [0.95, 0.55]], dims=("seed", "items"))
    >>> found = generalisation(accuracy.assign_coords(items=["train", "new"]))
    >>> found.accuracy.values.round(3), round(found.gap.item(), 3)
    (array([0.925, 0.525]), 0.4)
    """
    values = by_network(correct, "items")
    there = values["items"].values.tolist()
    if not set(ITEMS) <= set(there):
        raise ValueError(f"items must have the labels {' and '.join(ITEMS)}, they are {there}")
    values = values.sel(items=list(ITEMS))
    gap = values.sel(items="train", drop=True) - values.sel(items="new", drop=True)
    names = {"accuracy": "accuracy", "gap": "accuracy on items trained with minus on new ones"}
    found = summarised({"accuracy": values, "gap": gap}, names, level)
    found["items"].attrs = {"long_name": "items shown", "units": "1"}
    return found
