"""Pictures of phases and of agreement over a whole network: maps over time, layer by layer."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.image import AxesImage

from neurodyn.analysis.discretisation import states_of
from neurodyn.analysis.phase_plots import phase_colours, wheel
from neurodyn.analysis.plots import STYLE
from neurodyn.analysis.state_distance import common_shift


def phase_layers(
    run: xr.DataTree, image: xr.DataArray, *, sample: int = 0, frames: int = 6
) -> Figure:
    r"""Draw the phases of every layer over time, beside the image.

    A row for each layer, a column for each of some times. Colour is phase, on a cyclic map whose
    wheel is the key; brightness is the unit's amplitude over the largest of its layer, where
    amplitudes were recorded. A dense layer is a strip, its units from top to bottom. As only
    differences of phases count, the last time is turned so that its mean phase over layers is 0,
    and the others by what takes them closest to it
    (`neurodyn.analysis.state_distance.common_shift`).

    Parameters
    ----------
    run : DataTree
        As `neurodyn.simulate` returns it: ``run.layers[name]["phase"]`` (time, sample, y, x) or
        (time, sample, unit), and perhaps ``["amplitude"]``, recorded as "name amplitude".
    image : DataArray
        (y, x), or (channel, y, x) in colour, from 0 to 1; or those of all samples, (sample, ...).
    sample : int
        Which one, counted from 0.
    frames : int
        How many times, evenly spaced from the first to the last; for the last steps give
        ``run.isel(time=slice(-4, None))`` and 4.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide.

    Raises
    ------
    ValueError
        For fewer than two frames, for layers that are neither maps nor strips or have no phase.

    Examples
    --------
    >>> phase = xr.DataArray(np.zeros((3, 1, 4, 4)), dims=("time", "sample", "y", "x"))
    >>> layer = xr.Dataset({"phase": phase.assign_attrs(units="rad")}, {"time": [0, 1, 2]})
    >>> run = xr.DataTree.from_dict({"/layers/conv1": layer})
    >>> figure = phase_layers(run, xr.DataArray(np.eye(4), dims=("y", "x")), frames=3)
    >>> [axis.get_title() for axis in figure.axes][:4]
    ['image', 't = 0', 't = 1', 't = 2']
    """
    states = shown(run, "phase", sample, frames)
    image = image.isel(sample=sample) if "sample" in image.dims else image
    flat = [state.values.reshape(frames, -1) for state in states.values()]
    shift = common_shift(flat, upright([values[-1:] for values in flat]))
    with matplotlib.rc_context(STYLE):
        figure, rows, keys = layer_grid(states, image, 0.8)
        for axes, (name, state) in zip(rows, states.items(), strict=True):
            node = run["layers"][name].to_dataset()
            strength = np.ones(state.shape)
            if "amplitude" in node:
                there = node.amplitude.isel(sample=sample, time=at(node, frames))
                strength = there.transpose(*state.dims).values.clip(0)
            turned = state.values - shift.reshape(-1, *[1] * (state.ndim - 1))
            for axis, colours in zip(axes, phase_colours(turned, strength), strict=True):
                draw(axis, colours, strip=state.ndim == 2)
        wheel(figure.add_subplot(keys[0], projection="polar"))
    FigureCanvasAgg(figure)
    return figure


def agreement_maps(
    run: xr.DataTree, image: xr.DataArray, *, sample: int = 0, frames: int = 6
) -> Figure:
    """Draw the agreement of every layer with the global query over time, beside the image.

    A row for each layer, a column for each of some times. White is no agreement, red agrees and
    blue disagrees; each row has a scale of its own, centred on 0. A dense layer is a strip.

    Parameters
    ----------
    run : DataTree
        As `neurodyn.simulate` returns it of `neurodyn.agreement.GlobalAttention`:
        ``run.layers[name]["agreement"]`` (time, sample, y, x) or (time, sample, unit).
    image, sample, frames
        As in `phase_layers`.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide.

    Raises
    ------
    ValueError
        As in `phase_layers`.

    Examples
    --------
    >>> maps = xr.DataArray(np.ones((2, 1, 4, 4)), dims=("time", "sample", "y", "x"))
    >>> run = xr.DataTree.from_dict({"/layers/conv1": xr.Dataset({"agreement": maps})})
    >>> figure = agreement_maps(run, xr.DataArray(np.eye(4), dims=("y", "x")), frames=2)
    >>> figure.axes[1].get_images()[0].get_clim()
    (-1.0, 1.0)
    """
    states = shown(run, "agreement", sample, frames)
    image = image.isel(sample=sample) if "sample" in image.dims else image
    with matplotlib.rc_context(STYLE):
        figure, rows, keys = layer_grid(states, image, 0.1)
        for axes, key, state in zip(rows, keys, states.values(), strict=True):
            largest = float(np.nanmax(np.abs(state.values))) or 1.0
            scale = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
            for axis, values in zip(axes, state.values, strict=True):
                drawn = draw(axis, values, strip=state.ndim == 2, **scale)
            bar = figure.colorbar(drawn, cax=figure.add_subplot(key))
            bar.ax.tick_params(labelsize=6)
            bar.set_label("agreement", fontsize=6)
    FigureCanvasAgg(figure)
    return figure


def at(array: xr.DataArray | xr.Dataset, frames: int) -> Int[np.ndarray, " frame"]:
    """Return the indices of times, evenly spaced from the first to the last."""
    if not 2 <= frames <= array.sizes["time"]:
        raise ValueError(
            f"frames = {frames!r} must be 2 or more, and no more than the times, "
            f"{array.sizes['time']}"
        )
    return np.linspace(0, array.sizes["time"] - 1, frames).round().astype(int)


def shown(run: xr.DataTree, quantity: str, sample: int, frames: int) -> dict[str, xr.DataArray]:
    """Return the layers of one sample at some times, (time, y, x) or (time, unit)."""
    found = {
        name: state.isel(sample=sample, time=at(state, frames))
        for name, state in states_of(run, quantity).items()
    }
    for name, state in found.items():
        if state.ndim not in (2, 3):
            raise ValueError(
                f"layer {name!r} has the dimensions {', '.join(map(str, state.dims))}: what is "
                "drawn are maps (time, sample, y, x) and strips (time, sample, unit)"
            )
    return found


def upright(
    phases: Sequence[Float[np.ndarray, "time unit"]],
) -> list[Float[np.ndarray, "time unit"]]:
    """Return phases with their mean, each layer as much as another, turned to 0."""
    shift = common_shift(phases, [np.zeros_like(values) for values in phases])
    return [values - shift[..., None] for values in phases]


def layer_grid(
    states: dict[str, xr.DataArray], image: xr.DataArray, key: float
) -> tuple[Figure, list[list[Axes]], list[SubplotSpec]]:
    """Return a figure with the image, axes of each layer for its times, and where its key goes."""
    times = next(iter(states.values())).time.values
    widths = [*[1.0] * (1 + len(times)), key]
    heights = [1.0 if state.ndim == 3 else 0.7 for state in states.values()]
    figure = Figure(figsize=(7.2, 0.3 + 6.9 / sum(widths) * sum(heights)), layout="constrained")
    grid = figure.add_gridspec(
        len(heights), len(widths), width_ratios=widths, height_ratios=heights
    )
    first = figure.add_subplot(grid[0, 0])
    picture = image.transpose("y", "x", ...).values.clip(0, 1).squeeze()
    draw(first, picture, cmap="gray", vmin=0, vmax=1).axes.set_title("image")
    rows = [
        [figure.add_subplot(grid[r, c]) for c in range(1, 1 + len(times))]
        for r in range(len(heights))
    ]
    for row, name in zip(rows, states, strict=True):
        row[0].set_ylabel(name)
    for axis, t in zip(rows[0], times, strict=True):
        axis.set_title(f"t = {t:.3g}")
    return figure, rows, [grid[r, len(widths) - 1] for r in range(len(heights))]


def draw(axis: Axes, values: np.ndarray, *, strip: bool = False, **how: Any) -> AxesImage:
    """Draw a map, or a dense layer as a thin strip, without ticks."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set(visible=True, linewidth=0.4, color="0.6")
    if strip:
        axis.set_box_aspect(6)
        return axis.imshow(values[:, None], aspect="auto", **how)
    return axis.imshow(values, **how)
