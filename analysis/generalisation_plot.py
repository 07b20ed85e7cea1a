"""The figure of generalisation: accuracy on items of the training set and on new ones."""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn.analysis.generalisation import ITEMS, generalisation
from neurodyn.analysis.plots import STYLE
from neurodyn.analysis.reasoning_plots import only

LOOKS = {
    "train": {"color": "#0072B2", "marker": "o", "label": "items trained with"},
    "new": {"color": "#D55E00", "marker": "s", "label": "new items"},
}


def generalisation_dots(
    accuracy: xr.DataArray, *, chance: float = 0.5, level: float = 0.95
) -> Figure:
    """Draw accuracy on items trained with and on new ones: a panel a task, a column a network.

    Small dots are seeds, joined across items; large ones are means, bars Student's intervals over
    seeds, which end at 0 and 1. The dotted line is chance.

    Parameters
    ----------
    accuracy : DataArray
        Accuracies (task, network, seed, items), labelled but for the seed; those missing are left
        out.
    chance : float
        Accuracy of whoever guesses.
    level : float
        Coverage of the intervals.

    Returns
    -------
    matplotlib.figure.Figure
        3.6 inches wide with one task, else 7.2.

    Raises
    ------
    ValueError
        For missing dimensions, or others: select first.

    Examples
    --------
    >>> accuracy = xr.DataArray(
    ...     [[[[0.9, 0.6], [0.8, 0.5]]]], dims=("task", "network", "seed", "items"),
    ...     coords={"task": ["same-different"], "network": ["cnn"], "items": ["train", "new"]},
    ... )
    >>> generalisation_dots(accuracy).axes[0].get_title()
    'same-different'
    """
    only(accuracy, "task", "network", "seed", "items")
    found = generalisation(accuracy, level=level)
    tasks = accuracy.task.values.tolist()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.6 if len(tasks) == 1 else 7.2, 2.6), layout="constrained")
        axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
        for axis, task in zip(axes, tasks, strict=True):
            seeds = accuracy.sel(task=task).transpose("network", "items", "seed")
            seeds = seeds.sel(items=list(ITEMS)).dropna("network", how="all")
            names = seeds.network.values.tolist()
            one = found.sel(task=task, network=names)
            means = one.accuracy.transpose("network", "items").values
            reach = abs(one.accuracy_ci.clip(0, 1) - one.accuracy)
            reach = reach.transpose("network", "items", "ci_bound")
            axis.axhline(chance, color="0.6", linestyle=(0, (1, 2)), linewidth=0.8)
            for k in range(len(names)):
                place = k + np.array([-0.18, 0.18])
                axis.plot(place, seeds.values[k], color="0.8", linewidth=0.6, zorder=1)
                for j, item in enumerate(ITEMS):
                    look, values = LOOKS[item], seeds.values[k, j]
                    axis.scatter(
                        np.full(values.shape, place[j]), values, s=7, alpha=0.5, linewidths=0,
                        color=look["color"], marker=look["marker"], zorder=2,
                    )  # fmt: skip
                    axis.errorbar(
                        place[j] + np.sign(place[j] - k) * 0.1, means[k, j],
                        yerr=reach.values[k, j][:, None], linestyle="none", markersize=5,
                        elinewidth=1.2, color=look["color"], marker=look["marker"],
                        label=look["label"] if k == 0 else None, zorder=3,
                    )  # fmt: skip
            axis.set_title(str(task))
            axis.set_xticks(range(len(names)), names)
            axis.set_xlim(-0.6, len(names) - 0.4)
        axes[0].set_ylabel("proportion correct")
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False
        )
    return figure
