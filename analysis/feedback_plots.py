"""Pictures of the role of feedback: reliance, rates, reconstructions, corruption errors."""

from collections.abc import Hashable
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurodyn.analysis.agreement_plots import at, draw
from neurodyn.analysis.contributions import needed
from neurodyn.analysis.noise_axis import level_names, noise_blocks
from neurodyn.analysis.plots import LINES, STYLE, title_of
from neurodyn.analysis.seeds import seed_interval

TERM_LINES: dict[str, dict[str, Any]] = {
    "feedforward": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "feedback": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    "memory": {"color": "0.5", "linestyle": ":", "marker": "^"},
    "error": {"color": "#009E73", "linestyle": "-.", "marker": "D"},
}
SYMBOLS = {
    "feedforward": "feed-forward \N{GREEK SMALL LETTER BETA}",
    "feedback": "feedback \N{GREEK SMALL LETTER LAMDA}",
    "memory": "memory",
    "error": "error \N{GREEK SMALL LETTER ALPHA}",
}


def reliance_map(reliance: xr.DataArray) -> Figure:
    """Draw the reliance on feedback of each layer under each noise as a heat map.

    A row for each layer, the lowest at the bottom; a block of columns for each type of noise, their
    levels from left to right. White is 0, dark is 1, in all blocks alike; the mean over seeds is
    written into each cell. Layers without feedback are hatched.

    Parameters
    ----------
    reliance : DataArray
        (layer, noise) and perhaps seed, from 0 to 1, e.g. "reliance" of `feedback_reliance`. With
        ``noise_type`` and ``noise_level`` along ``noise`` there is a block for each type.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide.

    Examples
    --------
    >>> values = xr.DataArray([[0.2, 0.6], [0.1, 0.3]], dims=("layer", "noise"))
    >>> values = values.assign_coords(layer=["layer1", "layer2"], noise=["clean", "gaussian 0.4"])
    >>> [text.get_text() for text in reliance_map(values).axes[0].texts]
    ['.20', '.60', '.10', '.30']
    """
    needed(reliance, "layer", "noise")
    mean = reliance.mean("seed", skipna=False) if "seed" in reliance.dims else reliance
    blocks = noise_blocks(mean)
    layers = [str(name) for name in mean.layer.values]
    with matplotlib.rc_context(STYLE):
        height = 0.9 + 0.3 * len(layers)
        figure = Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.subplots(
            1, len(blocks), sharey=True, squeeze=False,
            width_ratios=[len(labels) for labels in blocks.values()],
        )[0]  # fmt: skip
        for axis, (kind, labels) in zip(axes, blocks.items(), strict=True):
            block = mean.sel(noise=labels).transpose("layer", "noise")
            axis.set_facecolor("0.92")
            axis.patch.set(hatch="////", edgecolor="0.75")
            image = axis.imshow(block.values, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
            axis.invert_yaxis()
            axis.set_title(kind)
            axis.set_xticks(range(len(labels)), level_names(block))
            axis.set_yticks(range(len(layers)), layers)
            axis.spines[:].set_visible(False)
            axis.tick_params(length=0)
            write_values(axis, block.values)
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.01)
        bar.set_label("reliance on feedback")
        bar.outline.set_visible(False)  # type: ignore[operator]
        if "noise_level" in mean.coords:
            figure.supxlabel("noise level", fontsize=8)
    return figure


def rates_by_noise(rate: xr.DataArray, *, level: float = 0.95) -> Figure:
    """Draw the rates of each layer by level of noise, with intervals over seeds.

    A column for each layer. Upper row of each type of noise: feed-forward, feedback and memory,
    which sum to 1; lower row: the rate of the error term, which has another unit. Bars are
    Student's intervals over seeds; a single seed has none. The noise "clean" is level 0 of every
    type.

    Parameters
    ----------
    rate : DataArray
        (term, layer, noise) and perhaps seed; along ``noise`` the coordinates ``noise_level`` and,
        for several types, ``noise_type``.
    level : float
        Coverage of the intervals.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide.

    Examples
    --------
    >>> rate = xr.DataArray(np.full((4, 2, 2), 1 / 3), dims=("term", "layer", "noise"))
    >>> rate = rate.assign_coords(
    ...     term=["feedforward", "feedback", "memory", "error"], layer=["a", "b"],
    ...     noise=["clean", "gaussian 0.4"], noise_level=("noise", [0.0, 0.4]),
    ... )
    >>> [axis.get_title() for axis in rates_by_noise(rate).axes[:2]]
    ['a', 'b']
    """
    needed(rate, "term", "layer", "noise")
    if "noise_level" not in rate.coords:
        raise ValueError("rate needs the coordinate noise_level along noise")
    rows = [
        (kind, terms, labels)
        for kind, labels in noise_blocks(rate, clean_in_all=True).items()
        for terms in (("feedforward", "feedback", "memory"), ("error",))
    ]
    layers = rate.layer.values.tolist()
    several = len(rows) > 2
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.8 + 1.1 * len(rows)), layout="constrained")
        axes = figure.subplots(
            len(rows), len(layers), sharex="row", sharey="row", squeeze=False,
            height_ratios=[1.0, 0.7] * (len(rows) // 2),
        )  # fmt: skip
        for row, (kind, terms, labels) in zip(axes, rows, strict=True):
            for axis, layer in zip(row, layers, strict=True):
                for term in terms:
                    draw_rate(axis, rate.sel(term=term, layer=layer, noise=labels), term, level)
            upper = len(terms) > 1
            for axis in row:
                levels = np.unique(rate.noise_level.sel(noise=labels))
                axis.set_xticks(levels, [f"{x:g}".removeprefix("0") or "0" for x in levels])
                axis.tick_params(labelbottom=not upper)
            row[0].set_ylabel("weight" if upper else "rate \N{GREEK SMALL LETTER ALPHA}")
            if upper:
                row[0].set_ylim(-0.03, 1.03)
            else:
                for axis in row:
                    axis.axhline(0, color="0.8", linewidth=0.5, zorder=0)
                    axis.set_xlabel(f"level, {kind}" if several else "noise level")
        for axis, layer in zip(axes[0], layers, strict=True):
            axis.set_title(str(layer))
        handles = [h for row in axes[:2] for h in row[0].get_legend_handles_labels()[0]]
        figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
        figure.align_ylabels(axes[:, 0])
    return figure


def reconstruction_strip(
    reconstruction: xr.DataArray, stimulus: xr.DataArray, *, sample: int = 0, frames: int = 6
) -> Figure:
    """Draw what the network makes of a stimulus over time, as a strip of images.

    A row for each kind of noise (or one), a column for the stimulus and each of some times. Values
    are shown from 0 to 1; what is outside is clipped.

    Parameters
    ----------
    reconstruction : DataArray
        (time, y, x), and perhaps channel (1 or 3), sample and noise, as
        `neurodyn.feedback_terms.record_reconstructions` returns it.
    stimulus : DataArray
        The same without time.
    sample : int
        Which one, counted from 0.
    frames : int
        How many times, evenly spaced from the first to the last.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide.

    Examples
    --------
    >>> images = xr.DataArray(np.zeros((3, 8, 8)), dims=("time", "y", "x"))
    >>> images = images.assign_coords(time=[0, 1, 2])
    >>> figure = reconstruction_strip(images, images[0], frames=3)
    >>> [axis.get_title() for axis in figure.axes]
    ['stimulus', 't = 0', 't = 1', 't = 2']
    """
    needed(reconstruction, "time", "y", "x")
    needed(stimulus, "y", "x")
    shown, given = (
        x.isel(sample=sample) if "sample" in x.dims else x for x in (reconstruction, stimulus)
    )
    shown = shown.isel(time=at(shown, frames))
    labels = shown.noise.values.tolist() if "noise" in shown.dims else [None]
    with matplotlib.rc_context(STYLE):
        size = 7.0 / (frames + 1)
        figure = Figure(figsize=(7.2, 0.25 + size * len(labels)), layout="constrained")
        axes = figure.subplots(len(labels), frames + 1, squeeze=False)
        for row, label in zip(axes, labels, strict=True):
            series, first = (
                x if label is None or "noise" not in x.dims else x.sel(noise=label)
                for x in (shown, given)
            )
            for axis, image in zip(row, [first, *series.transpose("time", ...)], strict=True):
                picture = image.transpose("y", "x", ...).values.clip(0, 1)
                draw(axis, picture.squeeze(), cmap="gray", vmin=0, vmax=1)
            if label is not None:
                title = title_of(series.to_dataset(name="x"), label)
                row[0].set_ylabel(title.replace(", ", ",\n"))
        for axis, title in zip(
            axes[0], ["stimulus", *(f"t = {t:.3g}" for t in shown.time.values)], strict=True
        ):
            axis.set_title(title)
    return figure


def mce_curve(found: xr.Dataset, *, line: str | None = None) -> Figure:
    """Draw the mean corruption error over time, with its interval as a band.

    Parameters
    ----------
    found : Dataset
        ``mce`` and ``mce_ci`` as `mean_corruption_error` returns them.
    line : str, optional
        A dimension with one line each, e.g. "solver".

    Returns
    -------
    matplotlib.figure.Figure
        3.5 inches wide: one column of a journal.

    Examples
    --------
    >>> mce = xr.DataArray([1.0, 0.9], dims="time", coords={"time": [0, 1]})
    >>> bounds = xr.concat([mce - 0.1, mce + 0.1], dim="ci_bound")
    >>> bounds = bounds.assign_coords(ci_bound=["lower", "upper"])
    >>> figure = mce_curve(xr.Dataset({"mce": mce, "mce_ci": bounds}, attrs={"reference": "start"}))
    >>> figure.axes[0].get_ylabel()
    'mCE(t) / mCE(0)'
    """
    wanted = {"time"} if line is None else {"time", line}
    if not {"mce", "mce_ci"} <= set(found.data_vars) or set(found.mce.dims) != wanted:
        raise ValueError(
            f"mce_curve needs mce and mce_ci with the dimensions {', '.join(sorted(wanted))}; got "
            f"{', '.join(f'{k} {v.dims}' for k, v in found.data_vars.items())}. Select, or say "
            "which is the line"
        )
    reference = found.attrs.get("reference", "start")
    start = reference == "start"
    labels: list[Hashable | None] = [None] if line is None else found[line].values.tolist()
    looks = LINES[1 : len(labels) + 1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.5, 2.4), layout="constrained")
        axis = figure.subplots()
        if start:
            axis.axhline(1, color="0.25", linestyle="--", linewidth=0.9, label="feed-forward")
        for label, look in zip(labels, looks, strict=True):
            one = found if label is None else found.sel({line: label})
            low, high = (one.mce_ci.sel(ci_bound=bound) for bound in ("lower", "upper"))
            axis.fill_between(one.time, low, high, color=look["color"], alpha=0.18, linewidth=0)
            name = "mean over corruptions" if label is None else str(label)
            axis.plot(one.time, one.mce, label=name, **look)
        axis.set_ylabel("mCE(t) / mCE(0)" if start else f"mCE, 1 = {reference}")
        units = found.time.attrs.get("units", "1")
        axis.set_xlabel(f"time ({'published steps' if units == '1' else units})")
        axis.legend(frameon=False, fontsize=7)
    return figure


def write_values(axis: Axes, values: np.ndarray) -> None:
    """Write each number into its cell, light on dark."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value > 0.6 else "black"
            text = f"{value:.2f}".removeprefix("0")
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)


def draw_rate(axis: Axes, rate: xr.DataArray, term: str, level: float) -> None:
    """Draw one term of one layer by level of noise, with bars where there are seeds."""
    mean, reach = rate, None
    if "seed" in rate.dims and rate.sizes["seed"] > 1:
        summary = seed_interval(rate, level=level)
        mean = summary["mean"]
        reach = abs(summary.mean_ci - mean).transpose("ci_bound", "noise").values
    elif "seed" in rate.dims:
        mean = rate.isel(seed=0)
    axis.errorbar(
        mean.noise_level.values, mean.values, yerr=reach, label=SYMBOLS[term], markersize=3,
        capsize=2, elinewidth=0.8, **TERM_LINES[term],
    )  # fmt: skip
