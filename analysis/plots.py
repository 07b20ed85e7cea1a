"""Figures of labelled results, for paper and screen."""

from collections.abc import Hashable
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
    {"color": "#56B4E9", "linestyle": "-"},
    {"color": "black", "linestyle": (0, (1, 1))},
    {"color": "0.5", "linestyle": "-."},
    {"color": "#0072B2", "linestyle": (0, (3, 1, 1, 1, 1, 1))},
    {"color": "#D55E00", "linestyle": (0, (2, 2))},
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


def accuracy_over_time(
    dataset: xr.Dataset,
    reference: str | None = "feedforward",
    *,
    line: str = "solver",
    panel: str = "noise",
) -> Figure:
    """Draw accuracy over time, one panel for each noise, one line for each solver.

    With a reference the shading is the interval of the paired difference from it, drawn around the
    line: where it leaves the reference's line, the difference is reliable. (Intervals of the
    accuracies themselves would be wider, by what makes an image hard for both.) Without one it is
    the interval of the accuracy. Types of noise have a row each, their levels from left to right;
    other panels are drawn in the order they have. All panels span the same range of accuracy, each
    around its own values, so that slopes can be compared between panels.

    Parameters
    ----------
    dataset : Dataset
        ``accuracy`` (panel, line, time) and ``difference_ci`` (..., ci_bound), the interval of the
        difference from the reference, or ``accuracy_ci`` if there is none. For a row for each type
        of noise, coordinates ``noise_type`` and ``noise_level`` along the panels; for the legend
        ``solver_name`` along ``solver`` if there is one. `neurodyn.studies.predify` writes all of
        it.
    reference : str, optional
        The line that does not depend on time, drawn as a horizontal one. None: no line is special,
        e.g. for intervals over training seeds.
    line, panel : str
        The dimensions that number the lines, e.g. "way", and the panels, e.g. "scene"; two at once
        after ``dataset.stack(panel=("scene", "noise"))``.

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
    needed = {panel, line, "time"}
    interval = "accuracy_ci" if reference is None else "difference_ci"
    for name in ("accuracy", interval):
        if not needed <= set(dataset.get(name, xr.DataArray()).dims):
            raise ValueError(
                f"accuracy_over_time needs a variable {name!r} with dims "
                f"{', '.join(sorted(needed))}; this Dataset has "
                f"{', '.join(f'{k} {v.dims}' for k, v in dataset.data_vars.items())}"
            )
    rows = panel_rows(dataset, panel)
    columns = max(len(row) for row in rows)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.75 + 1.55 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), columns, sharex=True, squeeze=False)
        bands = dataset[interval]
        if reference is not None:
            bands = dataset.accuracy.sel({line: reference}) + bands
        over = [d for d in bands.dims if d != panel]
        span = min(1.1 * float((bands.max(over) - bands.min(over)).max()) or 0.1, 1.0)
        for row, labels in zip(axes, rows, strict=True):
            for axis, label in zip(row, labels, strict=False):
                if label is None:
                    axis.set_axis_off()
                else:
                    band = bands.sel({panel: label})
                    shown = dataset.sel({panel: label})
                    axis.set_title(title_of(shown, label))
                    draw_panel(axis, shown, band, reference, span, line)
            for axis in row[len(labels) :]:
                axis.set_axis_off()
        for axis, below in zip(axes[:-1].flat, axes[1:].flat, strict=True):
            axis.tick_params(labelbottom=not below.axison)
        handles, _ = axes[0][0].get_legend_handles_labels()
        level = dataset[interval].attrs.get("level", 0.95)
        of = "accuracy" if reference is None else "difference"
        handles.append(Patch(color="0.8", label=f"{level:.0%} interval of the {of}"))
        figure.legend(
            handles=handles, loc="outside upper center", ncols=min(len(handles), 5), frameon=False
        )
        units = dataset.time.attrs.get("units", "1")
        steps = "published steps" if units == "1" else units
        figure.supxlabel(f"time ({steps})", fontsize=8)
        figure.supylabel("accuracy (proportion correct)", fontsize=8)
    return figure


def title_of(panel: xr.Dataset, label: Hashable) -> str:
    """Return the type and level of a panel's noise, or else its label."""
    if isinstance(label, tuple):
        return ", ".join(map(str, label))
    if "noise_type" in panel.coords:
        kind, level = panel.noise_type.item(), panel.noise_level.item()
        return TITLES.get(kind, f"{kind} {{level:g}}").format(level=level)
    return str(label)


def panel_rows(dataset: xr.Dataset, panel: str = "noise") -> list[list[Hashable | None]]:
    """Return the labels of panels by row.

    Of noise: clean in front of the first, a gap in front of others. Of others: four in a row.
    """
    labels = dataset[panel].values.tolist()
    if "noise_type" not in dataset.coords or isinstance(labels[0], tuple):
        return [labels[start : start + 4] for start in range(0, len(labels), 4)]
    kinds = dataset.noise_type.values.tolist()
    clean = [label for label, kind in zip(labels, kinds, strict=True) if kind == "clean"]
    rows: list[list[Hashable | None]] = []
    for kind in dict.fromkeys(k for k in kinds if k != "clean"):
        front = [None] * len(clean) if rows else clean
        rows.append([*front, *(la for la, k in zip(labels, kinds, strict=True) if k == kind)])
    return rows or [list(clean)]


def draw_panel(
    axis: Axes, panel: xr.Dataset, band: xr.DataArray, reference: str | None, span: float, line: str
) -> None:
    """Draw the lines and bands of one panel; the axis spans `span`, between 0 and 1."""
    times = panel.time.values
    labels = panel[line].values.tolist()
    names = panel[f"{line}_name"].values if f"{line}_name" in panel.coords else labels
    looks = iter(LINES * len(labels))
    for label, name in zip(labels, names, strict=True):
        values = panel.accuracy.sel({line: label}).values
        if label == reference:
            axis.axhline(values[0], label=name, color="0.25", linestyle="--", linewidth=0.9)
            continue
        look = next(looks)
        low, high = (band.sel({line: label, "ci_bound": bound}) for bound in ("lower", "upper"))
        axis.fill_between(times, low, high, color=look["color"], alpha=0.18, linewidth=0)
        axis.plot(times, values, label=name, **look)
    middle = (np.nanmin(band) + np.nanmax(band)) / 2
    top = max(min(middle + span / 2, 1.0 + 0.02 * span), 0.98 * span)
    axis.set_ylim(top - span, top)
    axis.set_xlim(times[0] - 0.02 * np.ptp(times), times[-1] + 0.02 * np.ptp(times))
