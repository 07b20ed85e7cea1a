"""Figures of labelled results, for paper and screen."""

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

# Okabe & Ito (2008): told apart with any colour vision; line styles tell them apart in grey.
LINES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "none", "marker": "o", "markersize": 2.8},
    {"color": "#D55E00", "linestyle": "-"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
    {"color": "#E69F00", "linestyle": (0, (5, 1))},
)
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
}
TITLES = {
    "clean": "clean",
    "gaussian": "Gaussian, \N{GREEK SMALL LETTER SIGMA} = {level:g}",
    "salt_pepper": "salt and pepper, p = {level:g}",
}


def accuracy_over_time(dataset: xr.Dataset, reference: str = "feedforward") -> Figure:
    """Draw accuracy over time, one panel for each noise, one line for each solver.

    A row for each type of noise, its levels from left to right. The shading is the interval of the
    paired difference from the reference, drawn around the line: where it leaves the reference's
    line, the difference is reliable. (Intervals of the accuracies themselves would be wider, by
    what makes an image hard for both.) All panels span the same range of accuracy, each around its
    own values, so that slopes can be compared between panels.

    Parameters
    ----------
    dataset : Dataset
        ``accuracy`` (noise, solver, time) and ``difference_ci`` (noise, solver, time, ci_bound),
        the interval of the difference from the reference; coordinates ``noise_type`` and
        ``noise_level`` along ``noise``, and ``solver_name`` along ``solver`` for the legend if
        there is one. `neurodyn.studies.predify` writes all of it.
    reference : str
        The solver that does not depend on time, drawn as a horizontal line.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide: two columns of a journal. Save it with its own ``savefig``.

    References
    ----------
    Colours: Okabe & Ito (2008), Color Universal Design.

    Examples
    --------
    >>> values = xr.DataArray(np.full((1, 2, 3), 0.5), dims=("noise", "solver", "time"))
    >>> bounds = xr.zeros_like(values).expand_dims(ci_bound=["lower", "upper"], axis=-1)
    >>> data = xr.Dataset({"accuracy": values, "difference_ci": bounds}).assign_coords(
    ...     time=[0, 1, 2], solver=["feedforward", "ode"], noise=["clean"],
    ...     noise_type=("noise", ["clean"]), noise_level=("noise", [0.0]),
    ... )
    >>> accuracy_over_time(data).axes[0].get_title()
    'clean'
    """
    needed = {"noise", "solver", "time"}
    for name in ("accuracy", "difference_ci"):
        if not needed <= set(dataset.get(name, xr.DataArray()).dims):
            raise ValueError(
                f"accuracy_over_time needs a variable {name!r} with dims "
                f"{', '.join(sorted(needed))}; this Dataset has "
                f"{', '.join(f'{k} {v.dims}' for k, v in dataset.data_vars.items())}"
            )
    rows = panel_rows(dataset)
    columns = max(len(row) for row in rows)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.75 + 1.55 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), columns, sharex=True, squeeze=False)
        bands = dataset.accuracy.sel(solver=reference) + dataset.difference_ci
        over = [d for d in bands.dims if d != "noise"]
        span = 1.1 * float((bands.max(over) - bands.min(over)).max()) or 0.1
        for row, labels in zip(axes, rows, strict=True):
            for axis, label in zip(row, labels, strict=False):
                if label is None:
                    axis.set_axis_off()
                else:
                    band = bands.sel(noise=label)
                    draw_panel(axis, dataset.sel(noise=label), band, reference, span)
            for axis in row[len(labels) :]:
                axis.set_axis_off()
        for axis, below in zip(axes[:-1].flat, axes[1:].flat, strict=True):
            axis.tick_params(labelbottom=not below.axison)
        handles, _ = axes[0][0].get_legend_handles_labels()
        level = dataset.difference_ci.attrs.get("level", 0.95)
        handles.append(Patch(color="0.8", label=f"{level:.0%} interval of the difference"))
        figure.legend(
            handles=handles, loc="outside upper center", ncols=len(handles), frameon=False
        )
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


def draw_panel(
    axis: Axes, panel: xr.Dataset, band: xr.DataArray, reference: str, span: float
) -> None:
    """Draw the lines and bands of one noise; the axis spans `span`, and nothing above 1."""
    kind, level = panel.noise_type.item(), panel.noise_level.item()
    axis.set_title(TITLES.get(kind, f"{kind} {{level:g}}").format(level=level))
    times = panel.time.values
    solvers = panel.solver.values.tolist()
    names = panel.solver_name.values if "solver_name" in panel.coords else panel.solver.values
    lines = iter(LINES * len(solvers))
    for solver, name in zip(solvers, names, strict=True):
        values = panel.accuracy.sel(solver=solver).values
        if solver == reference:
            axis.axhline(values[0], label=name, color="0.25", linestyle="--", linewidth=0.9)
            continue
        look = next(lines)
        low, high = (band.sel(solver=solver, ci_bound=bound) for bound in ("lower", "upper"))
        axis.fill_between(times, low, high, color=look["color"], alpha=0.18, linewidth=0)
        axis.plot(times, values, label=name, **look)
    middle = (np.nanmin(band) + np.nanmax(band)) / 2
    top = min(middle + span / 2, 1.0 + 0.02 * span)
    axis.set_ylim(top - span, top)
    axis.set_xlim(times[0] - 0.02 * np.ptp(times), times[-1] + 0.02 * np.ptp(times))
