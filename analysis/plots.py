"""Figures of labelled results, for paper and screen."""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart with any colour vision; line styles tell them apart in grey.
LINES = (
    {"color": "#0072B2", "linestyle": "none", "marker": "o", "markersize": 2.8},
    {"color": "#D55E00", "linestyle": "-"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
    {"color": "#E69F00", "linestyle": (0, (5, 1))},
)
REFERENCE = {"color": "0.25", "linestyle": "--", "linewidth": 0.9}
TITLES = {
    "clean": "clean",
    "gaussian": "Gaussian, \N{GREEK SMALL LETTER SIGMA} = {level:g}",
    "salt_pepper": "salt and pepper, p = {level:g}",
}


def accuracy_over_time(dataset: xr.Dataset, reference: str = "feedforward") -> Figure:
    """Draw accuracy over time, one panel for each noise, one line for each solver.

    A row for each type of noise, its levels from left to right. All panels span the same range of
    accuracy, each around its own values, so that slopes can be compared between panels.

    Parameters
    ----------
    dataset : Dataset
        ``accuracy`` (noise, solver, time) and ``accuracy_ci`` (noise, solver, time, ci_bound);
        coordinates ``noise_type`` and ``noise_level`` along ``noise``, and ``solver_name`` along
        ``solver`` for the legend if there is one. `neurodyn.studies.predify` writes all of it.
    reference : str
        The solver drawn as a horizontal line, at its value at the first time.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide: two columns of a journal. Save it with its own ``savefig``.

    References
    ----------
    Colours: Okabe & Ito (2008), Color Universal Design.

    Examples
    --------
    >>> values = xr.DataArray(np.full((1, 1, 3), 0.5), dims=("noise", "solver", "time"))
    >>> bounds = values.expand_dims(ci_bound=["lower", "upper"], axis=-1)
    >>> data = xr.Dataset({"accuracy": values, "accuracy_ci": bounds}).assign_coords(
    ...     time=[0, 1, 2], solver=["ode"], noise=["clean"],
    ...     noise_type=("noise", ["clean"]), noise_level=("noise", [0.0]),
    ... )
    >>> accuracy_over_time(data).axes[0].get_title()
    'clean'
    """
    needed = {"noise", "solver", "time"}
    if not needed <= set(dataset.get("accuracy", xr.DataArray()).dims):
        raise ValueError(
            f"accuracy_over_time needs a variable 'accuracy' with dims {', '.join(sorted(needed))};"
            f" this Dataset has {', '.join(map(str, dataset.data_vars))} with dims "
            f"{', '.join(map(str, dataset.dims))}"
        )
    rows = panel_rows(dataset)
    columns = max(len(row) for row in rows)
    style = {"font.size": 8, "axes.titlesize": 8, "axes.spines.top": False}
    with matplotlib.rc_context({**style, "axes.spines.right": False, "lines.linewidth": 1.2}):
        figure = Figure(figsize=(7.2, 0.75 + 1.55 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), columns, sharex=True, squeeze=False)
        span = accuracy_span(dataset)
        for row, labels in zip(axes, rows, strict=True):
            for axis, label in zip(row, labels, strict=False):
                if label is None:
                    axis.set_axis_off()
                else:
                    draw_panel(axis, dataset.sel(noise=label), reference, span)
            for axis in row[len(labels) :]:
                axis.set_axis_off()
        handles, names = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
        units = dataset.time.attrs.get("units", "1")
        steps = "published steps" if units == "1" else units
        figure.supxlabel(f"time ({steps})", fontsize=8)
        figure.supylabel("accuracy (proportion correct)", fontsize=8)
    return figure


def panel_rows(dataset: xr.Dataset) -> list[list[str | None]]:
    """Return the labels of noise by row: clean in front of the first, a gap in front of others."""
    kinds = dataset.noise_type.values.tolist()
    labels = dataset.noise.values.tolist()
    clean = [label for label, kind in zip(labels, kinds, strict=True) if kind == "clean"]
    rows: list[list[str | None]] = []
    for kind in dict.fromkeys(k for k in kinds if k != "clean"):
        front = [None] * len(clean) if rows else clean
        rows.append([*front, *(la for la, k in zip(labels, kinds, strict=True) if k == kind)])
    return rows or [list(clean)]


def accuracy_span(dataset: xr.Dataset) -> float:
    """Return the range of accuracy that holds the lines and intervals of any one panel."""
    over = [d for d in dataset.accuracy_ci.dims if d != "noise"]
    return 1.08 * float((dataset.accuracy_ci.max(over) - dataset.accuracy_ci.min(over)).max())


def draw_panel(axis: Axes, panel: xr.Dataset, reference: str, span: float) -> None:
    """Draw the lines of one noise; at its foot, the range of accuracy is `span`."""
    kind, level = panel.noise_type.item(), panel.noise_level.item()
    axis.set_title(TITLES.get(kind, f"{kind} {{level:g}}").format(level=level))
    times = panel.time.values
    solvers = panel.solver.values.tolist()
    names = panel.solver_name.values if "solver_name" in panel.coords else panel.solver.values
    lines = iter(LINES * len(solvers))
    for solver, name in zip(solvers, names, strict=True):
        line = panel.sel(solver=solver)
        if solver == reference:
            axis.axhline(line.accuracy.values[0], label=name, zorder=1, **REFERENCE)
            continue
        look = next(lines)
        axis.fill_between(
            times,
            line.accuracy_ci.sel(ci_bound="lower").values,
            line.accuracy_ci.sel(ci_bound="upper").values,
            color=look["color"],
            alpha=0.18,
            linewidth=0,
        )
        axis.plot(times, line.accuracy.values, label=name, **look)
    bounds = panel.accuracy_ci.values
    middle = (np.nanmin(bounds) + np.nanmax(bounds)) / 2
    axis.set_ylim(middle - span / 2, middle + span / 2)
    axis.set_xlim(times[0], times[-1])
    axis.margins(x=0.02)
