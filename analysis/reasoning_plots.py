"""Figures of visual reasoning: accuracy over training-set size, and the gain by attention."""

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurodyn.analysis.contributions import needed
from neurodyn.analysis.plots import LINES, STYLE

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
TAGGED: dict[bool, dict[str, Any]] = {
    True: {"color": "#0072B2", "marker": "o"},
    False: {"color": "#D55E00", "marker": "s"},
}


def efficiency_curves(found: xr.Dataset, *, chance: float = 0.5) -> Figure:
    """Draw accuracy over the size of the training set: a panel a problem, a line a model.

    Bands are the intervals; the dotted line is chance.

    Parameters
    ----------
    found : Dataset
        ``accuracy`` (problem, model, images) and ``accuracy_ci`` (..., ci_bound), as
        `neurodyn.analysis.sample_efficiency` returns them.
    chance : float
        Accuracy of whoever guesses.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide: two columns of a journal.

    Raises
    ------
    ValueError
        For missing dimensions, or others: select first.

    Examples
    --------
    >>> accuracy = xr.DataArray(
    ...     np.full((1, 1, 2), 0.8), dims=("problem", "model", "images"),
    ...     coords={"problem": [1], "model": ["resnet18"], "images": [500, 1000]},
    ... )
    >>> bounds = xr.concat([accuracy - 0.1, accuracy + 0.1], "ci_bound")
    >>> bounds = bounds.assign_coords(ci_bound=["lower", "upper"])
    >>> data = xr.Dataset({"accuracy": accuracy, "accuracy_ci": bounds})
    >>> efficiency_curves(data).axes[0].get_title()
    'problem 1'
    """
    only(found.accuracy, "problem", "model", "images")
    problems, models = found.problem.values.tolist(), found.model.values.tolist()
    columns = min(len(problems), 6 if len(problems) > 8 else 4)
    rows = -(-len(problems) // columns)
    sizes = found.images.values
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.8 + 1.25 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axis in axes.flat[len(problems) :]:
            axis.set_axis_off()
        for k, (axis, problem) in enumerate(zip(axes.flat, problems, strict=False)):
            axis.set_title(f"problem {problem}")
            axis.axhline(chance, color="0.6", linestyle=(0, (1, 2)), linewidth=0.8)
            for n, model in enumerate(models):
                draw_curve(axis, found.sel(problem=problem, model=model), n)
            axis.set_xscale("log")
            axis.set_xticks(sizes, size_names(sizes))
            axis.set_xticks([], minor=True)
            axis.tick_params(labelbottom=k + columns >= len(problems))
        bounds = found.accuracy_ci
        low, high = np.nanmin(bounds), min(np.nanmax(bounds), 1.0)
        axes[0, 0].set_ylim(min(low, chance) - 0.02, high + 0.02)
        handles, _ = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles=handles, loc="outside upper center", ncols=min(len(models), 5), frameon=False
        )
        figure.supxlabel("images in the training set", fontsize=8)
        figure.supylabel("proportion correct", fontsize=8)
    return figure


def draw_curve(axis: Axes, line: xr.Dataset, n: int) -> None:
    """Draw the curve and band of the n-th model."""
    look = LINES[1:][n % (len(LINES) - 1)] | {"marker": MARKERS[n % len(MARKERS)], "markersize": 3}
    low, high = (line.accuracy_ci.sel(ci_bound=bound) for bound in ("lower", "upper"))
    axis.fill_between(line.images, low, high, color=look["color"], alpha=0.18, linewidth=0)
    axis.plot(line.images, line.accuracy, label=str(line.model.item()), **look)


def size_names(sizes: np.ndarray, gap: float = 0.3) -> list[str]:
    """Return the labels of sizes on a logarithmic axis; none closer to another than the gap.

    Examples
    --------
    >>> size_names(np.array([500, 1000, 5000, 10000, 15000]))
    ['0.5k', '', '5k', '', '15k']
    """
    names = [f"{n / 1000:g}k" if n >= 500 else f"{n:g}" for n in sizes.tolist()]
    x = np.log(sizes) / np.log(sizes[-1] / sizes[0])
    kept = [len(x) - 1]
    for k in [0, *range(len(x) - 2, 0, -1)]:
        if min(abs(x[k] - x[other]) for other in kept) > gap:
            kept.append(k)
    return [name if k in kept else "" for k, name in enumerate(names)]


def gain_dots(found: xr.Dataset, tag: xr.DataArray | None = None) -> Figure:
    """Draw what each problem gains by attention, problems sorted by it: a panel a model.

    Bars are the intervals. The order is that of the gain averaged over models, the same in all
    panels, so that they can be compared.

    Parameters
    ----------
    found : Dataset
        ``area_gain`` (problem, model) and ``area_gain_ci`` (..., ci_bound), as
        `neurodyn.analysis.attention_gain` returns them.
    tag : DataArray, optional
        True or False along ``problem``, e.g. ``problem_tags().needs_shape_comparison``, told apart
        by colour and marker; its ``long_name`` is in the legend.

    Returns
    -------
    matplotlib.figure.Figure
        3.6 inches wide with one model, else 7.2.

    Raises
    ------
    ValueError
        For missing dimensions, or others: select first.

    Examples
    --------
    >>> gain = xr.DataArray(
    ...     [[0.1], [0.3]], dims=("problem", "model"),
    ...     coords={"problem": [1, 2], "model": ["spatial"]},
    ... )
    >>> bounds = xr.concat([gain - 0.1, gain + 0.1], "ci_bound")
    >>> bounds = bounds.assign_coords(ci_bound=["lower", "upper"])
    >>> data = xr.Dataset({"area_gain": gain, "area_gain_ci": bounds})
    >>> [text.get_text() for text in gain_dots(data).axes[0].get_yticklabels()]
    ['1', '2']
    """
    only(found.area_gain, "problem", "model")
    order = found.area_gain.mean("model").argsort()
    found = found.isel(problem=order.values)
    problems, models = found.problem.values.tolist(), found.model.values.tolist()
    has = np.ones(len(problems), bool) if tag is None else tag.sel(problem=problems).values
    place = np.arange(len(problems))
    with matplotlib.rc_context(STYLE):
        size = (3.6 if len(models) == 1 else 7.2, 0.9 + 0.16 * len(problems))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
        for axis, model in zip(axes, models, strict=True):
            one = found.sel(model=model)
            reach = abs(one.area_gain_ci - one.area_gain).transpose("ci_bound", "problem").values
            axis.axvline(0, color="0.6", linestyle=(0, (1, 2)), linewidth=0.8)
            axis.grid(axis="y", color="0.92", linewidth=0.6)
            axis.set_axisbelow(True)
            for which, look in TAGGED.items():
                if (here := has == which).any():
                    axis.errorbar(
                        one.area_gain.values[here], place[here], xerr=reach[:, here],
                        linestyle="none", markersize=4, elinewidth=0.9,
                        label="yes" if which else "no", **look,
                    )  # fmt: skip
            axis.set_title(str(model))
            axis.set_yticks(place, problems)
            axis.tick_params(axis="y", length=0)
        axes[0].set_ylim(-0.6, len(problems) - 0.4)
        axes[0].set_ylabel("problem")
        if tag is not None:
            figure.legend(
                *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2,
                frameon=False, title=tag.attrs.get("long_name", tag.name), title_fontsize=8,
            )  # fmt: skip
        reference = found.attrs.get("reference", "the reference")
        figure.supxlabel(f"accuracy minus that of {reference}, mean over log size", fontsize=8)
    return figure


def only(values: xr.DataArray, *dims: str) -> None:
    """Refuse an array that lacks one of these dimensions or has others."""
    needed(values, *dims)
    if more := [str(dim) for dim in values.dims if dim not in dims]:
        raise ValueError(f"{values.name} has {', '.join(more)} too: select one of each first")
