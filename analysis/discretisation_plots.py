"""The figure of "dynamics or step?": flips, distances, phase maps and the verdict."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from neurodyn.analysis.agreement_plots import draw, upright
from neurodyn.analysis.phase_plots import phase_colours, wheel
from neurodyn.analysis.plots import LINES, STYLE
from neurodyn.analysis.state_distance import common_shift

FRAMES = 4
"""Phase maps that are drawn of each solver: a flip is seen twice."""
COLOURS = [look["color"] for look in LINES]


def discretisation_figure(
    found: xr.Dataset,
    verdicts: xr.Dataset | None = None,
    *,
    phases: Mapping[str, xr.DataArray] | None = None,
    case: str = "",
) -> Figure:
    """Draw what the published step does and the differential equation does not.

    Above: the similarity of each layer with itself one step (lines) and two steps earlier
    (dashed), by Euler's method and by the adaptive solver, with the thresholds of a flip; and the
    distance of the two solutions. All are means over samples; the titles say in what share of
    layers and samples there is a flip at the end. Below, left: the phases of a layer at the last
    four times by both solvers, the last turned to a mean of 0 and the others to it. Below, right:
    the difference in accuracy of tests by Euler and by the adaptive solver, for networks trained
    with each, with intervals over training seeds, the margin (grey) and the verdict.

    Parameters
    ----------
    found : Dataset
        From `neurodyn.analysis.discretisation`.
    verdicts : Dataset, optional
        From `neurodyn.analysis.step_or_dynamics`; a pair of bars for each label of its other
        dimensions, so select one time.
    phases : mapping, optional
        "euler" and "adaptive" to phases of a layer and sample, in radians: maps (time, y, x), or
        (time, unit), drawn as a strip, units from top to bottom. The last four times are drawn.
    case : str
        What `found` is about, where `verdicts` are about something else: above the similarities.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide: two columns of a journal.

    Raises
    ------
    ValueError
        For phases of other solvers, of fewer than four times, or neither maps nor strips.

    Examples
    --------
    >>> dims = ("solver", "lag", "layer", "sample", "time")
    >>> found = xr.Dataset(
    ...     {"similarity": (dims, np.ones((2, 2, 1, 1, 3))),
    ...      "distance": (dims[2:], np.zeros((1, 1, 3))),
    ...      "flips": (("solver", "layer", "sample"), np.zeros((2, 1, 1), bool))},
    ...     {"solver": ["euler", "adaptive"], "lag": [1, 2], "layer": ["conv1"],
    ...      "time": [0.0, 1.0, 2.0]},
    ...     {"published_step": 1.0, "step_known": 1, "lag1_below": 0.85, "lag2_above": 0.85},
    ... )
    >>> print(discretisation_figure(found).axes[0].get_title())
    euler, published step 1
    0% flip
    """
    heights = [2.5]
    if phases is not None or verdicts is not None:
        bars = 0 if verdicts is None else 0.8 + 0.45 * verdicts.verdict.size
        heights.append(max(bars, 0 if phases is None else 2.3))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, sum(heights)), layout="constrained")
        grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[1.25, 1])
        draw_similarities(figure.add_subfigure(grid[0, :]), found, case)
        if phases is not None:
            left = grid[1, :] if verdicts is None else grid[1, 0]
            draw_phases(figure.add_subfigure(left), phases)
        if verdicts is not None:
            right = grid[1, :] if phases is None else grid[1, 1]
            draw_verdicts(figure.add_subfigure(right).subplots(), verdicts)
    FigureCanvasAgg(figure)
    return figure


def draw_similarities(figure: SubFigure, found: xr.Dataset, case: str) -> None:
    """Draw similarity over time under both solvers, and the distance between them."""
    left, middle, right = figure.subplots(1, 3)
    middle.sharey(left)
    lags: dict[int, Any] = {1: "-", 2: (0, (2, 1.5))}
    mean = found.similarity.mean("sample")
    names = {
        "euler": f"euler, {'published' if found.attrs['step_known'] else 'chosen'} step "
        f"{found.attrs['published_step']:g}",
        "adaptive": f"adaptive ({found.attrs.get('adaptive_solver', 'solver')})",
    }
    for axis, solver in zip((left, middle), names, strict=True):
        for threshold in {found.attrs["lag1_below"], found.attrs["lag2_above"]}:
            axis.axhline(threshold, color="0.6", linewidth=0.8, linestyle=":")
        for n, layer in enumerate(found.layer.values):
            for lag, style in lags.items():
                values = mean.sel(solver=solver, layer=layer, lag=lag)
                axis.plot(found.time, values, color=COLOURS[n % len(COLOURS)], linestyle=style)
        share = float(found.flips.sel(solver=solver).mean())
        about = f"{case}\n" if case else ""
        axis.set_title(f"{about}{names[solver]}\n{share:.0%} flip")
    left.set_ylabel("similarity with\nan earlier step")
    distance = found.distance.mean("sample")
    for n, layer in enumerate(found.layer.values):
        colour = COLOURS[n % len(COLOURS)]
        right.plot(found.time, distance.sel(layer=layer), color=colour)
    right.set_title("euler from adaptive")
    units = found.distance.attrs.get("units", "1")
    right.set_ylabel("distance" if units == "1" else f"distance ({units})")
    right.set_ylim(0, None)
    handles = [
        Line2D([], [], color=COLOURS[n % len(COLOURS)], label=str(layer))
        for n, layer in enumerate(found.layer.values)
    ]
    handles += [
        Line2D([], [], color="black", linestyle=style, label=f"lag {lag}")
        for lag, style in lags.items()
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(handles), 8), frameon=False
    )
    units = found.time.attrs.get("units", "1")
    figure.supxlabel(f"time ({'published steps' if units == '1' else units})", fontsize=8)


def draw_phases(figure: SubFigure, phases: Mapping[str, xr.DataArray]) -> None:
    """Draw the last phase maps of both solvers."""
    solvers = ("euler", "adaptive")
    short = min((phase.sizes.get("time", 0) for phase in phases.values()), default=0)
    if set(phases) != set(solvers) or short < FRAMES:
        raise ValueError(
            f"phases are those by euler and adaptive, of {FRAMES} times or more; got "
            f"{', '.join(f'{k} {dict(v.sizes)}' for k, v in phases.items())}"
        )
    for phase in phases.values():
        if phase.ndim not in (2, 3):
            raise ValueError(
                f"phases are maps (time, y, x) or strips (time, unit) of one layer and sample; got "
                f"{', '.join(map(str, phase.dims))}"
            )
    grid = figure.add_gridspec(2, FRAMES + 1, width_ratios=[*[1.0] * FRAMES, 0.7])
    for r, solver in enumerate(solvers):
        last = phases[solver].transpose("time", ...).isel(time=slice(-FRAMES, None))
        flat = [last.values.reshape(FRAMES, -1)]
        shift = common_shift(flat, upright([flat[0][-1:]]))
        turned = last.values - shift.reshape(-1, *[1] * (last.ndim - 1))
        pictures = phase_colours(turned, np.ones(last.shape))
        for c, (picture, t) in enumerate(zip(pictures, last["time"].values, strict=True)):
            axis = figure.add_subplot(grid[r, c])
            draw(axis, picture, strip=last.ndim == 2)
            axis.set_title(f"t = {t:.3g}" if r == 0 else "")
            axis.set_ylabel(solver if c == 0 else "")
    wheel(figure.add_subplot(grid[:, FRAMES], projection="polar"))


def draw_verdicts(axis: Axes, verdicts: xr.Dataset) -> None:
    """Draw intervals of the difference between the two tests, and the verdicts, as rows."""
    others = list(verdicts.verdict.dims)
    rows = verdicts.stack(place=others) if others else verdicts.expand_dims("place")
    margin = verdicts.attrs["margin"]
    axis.axvspan(-margin, margin, color="0.9", linewidth=0)
    axis.axvline(0, color="0.4", linewidth=0.8)
    labels = []
    for place in range(rows.sizes["place"]):
        row = rows.isel(place=place)
        for n, (trained, marker) in enumerate(zip(row.trained.values, "os", strict=True)):
            low, high = row.difference_ci.sel(trained=trained).transpose("ci_bound").values
            y = place - 0.15 + 0.3 * n
            axis.plot([low, high], [y, y], color=COLOURS[n], linewidth=1.6)
            axis.plot(
                row.difference.sel(trained=trained), y, marker, color=COLOURS[n], markersize=4,
                label=f"trained with {trained}" if place == 0 else None,
            )  # fmt: skip
        at = row.place.item() if others else ()
        name = ", ".join(map(str, at if isinstance(at, tuple) else (at,)))
        labels.append(f"{name}\n{row.verdict.item()}" if name else row.verdict.item())
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("accuracy, euler minus adaptive")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=7)
