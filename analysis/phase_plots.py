"""Pictures of phases: maps, films, polar histograms, and accuracy beside synchrony."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from PIL import Image

from neurodyn.analysis.plots import LINES, STYLE


def cyclic_map(n: int = 256) -> ListedColormap:
    r"""Return a cyclic colour map that stays visible on black.

    In Ottosson's OKLab: chroma 0.11, hue once around, lightness :math:`0.72 + 0.13 \cos\theta`, so
    that phase 0 is lightest and pi darkest and phases can be told apart without seeing hues.

    References
    ----------
    Ottosson (2020), A perceptual color space for image processing.

    Examples
    --------
    >>> cyclic_map(4).colors.shape
    (4, 3)
    """
    angle = np.linspace(-np.pi, np.pi, n, endpoint=False)
    light, a, b = 0.72 + 0.13 * np.cos(angle), 0.11 * np.cos(angle), 0.11 * np.sin(angle)
    cones = np.stack([
        light + 0.3963377774 * a + 0.2158037573 * b,
        light - 0.1055613458 * a - 0.0638541728 * b,
        light - 0.0894841775 * a - 1.2914855480 * b,
    ]) ** 3  # fmt: skip
    linear = np.clip(np.array([
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]) @ cones, 0, 1)  # fmt: skip
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return ListedColormap(gamma.T, name="neurodyn_cyclic")


def phase_colours(
    phase: np.ndarray, amplitude: np.ndarray, *, background: float = 0.0
) -> np.ndarray:
    """Return RGB: the phase on a cyclic map, shown as strongly as the amplitude.

    Parameters
    ----------
    phase, amplitude : array
        Of the same shape; radians, and from 0 up.
    background : float
        The grey that silence shows.

    Examples
    --------
    >>> phase_colours(np.zeros((2, 2)), np.array([[0.0, 1.0], [1.0, 0.0]])).shape
    (2, 2, 3)
    """
    colours = cyclic_map()((np.asarray(phase) / (2 * np.pi) + 0.5) % 1.0)[..., :3]
    strength = np.nan_to_num(amplitude)
    alpha = np.clip(strength / max(float(np.max(strength)), 1e-12), 0, 1)[..., None]
    colours = np.where(np.isfinite(phase)[..., None], colours, background)
    return alpha * colours + (1 - alpha) * background


def mean_phase(data: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return phase and amplitude of the sum over channels, weighted by the gate tanh(amplitude)."""
    gate = np.tanh(data.amplitude)
    z = (gate * np.exp(1j * data.phase)).sum("channel")
    return xr.apply_ufunc(np.angle, z), abs(z)


def phase_strip(
    data: xr.Dataset, image: xr.DataArray, mask: xr.DataArray, *, frames: int = 5
) -> Figure:
    """Draw a scene, its objects, and the phases over time with their histogram by object.

    Parameters
    ----------
    data : Dataset
        ``phase`` and ``amplitude`` (time, channel, y, x) of one sample.
    image : DataArray
        (y, x).
    mask : DataArray
        (group, y, x), one for each object.
    frames : int
        How many times to show, evenly spaced from the first to the last.

    Returns
    -------
    matplotlib.figure.Figure
        Upper row: the image and maps of the phase averaged over channels, brighter where units are
        active. Lower row: the objects, and polar histograms of their units' phases, weighted by
        the gate. A phase wheel explains the colours.
    """
    if frames < 2:
        raise ValueError(f"frames = {frames} must be 2 or more")
    at = np.linspace(0, data.sizes["time"] - 1, frames).round().astype(int)
    phase, strength = mean_phase(data)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.7), layout="constrained")
        grid = figure.add_gridspec(2, frames + 2, width_ratios=[*[1] * (frames + 1), 0.55])
        first = figure.add_subplot(grid[0, 0])
        first.imshow(image, cmap="gray", vmin=0, vmax=1)
        first.set_title("image")
        colours = [matplotlib.colors.to_rgb(line["color"]) for line in LINES]
        second = figure.add_subplot(grid[1, 0])
        second.imshow(object_colours(mask))
        second.set_title("objects")
        gate = np.tanh(data.amplitude)
        bins = np.linspace(-np.pi, np.pi, 25)
        for column, t in enumerate(at, start=1):
            axis = figure.add_subplot(grid[0, column])
            axis.imshow(phase_colours(phase[t].values, strength[t].values))
            axis.set_title(f"t = {float(data.time[t]):.3g}")
            polar = figure.add_subplot(grid[1, column], projection="polar")
            for g in range(mask.sizes["group"]):
                inside = (mask.isel(group=g) > 0) & (gate.isel(time=t) > 0)
                inside = inside.transpose(*data.phase.isel(time=t).dims).values
                values = data.phase.isel(time=t).values[inside]
                weights = gate.isel(time=t).values[inside]
                if not weights.sum() > 0:
                    continue  # a silent object has no phases
                count, _ = np.histogram(values, bins, weights=weights, density=True)
                middle = (bins[1:] + bins[:-1]) / 2
                colour = colours[g % len(colours)]
                polar.bar(middle, count, width=np.diff(bins), alpha=0.6, color=colour)
            polar.set_yticks([])
            polar.set_xticks(np.pi / 2 * np.arange(4), ["0", "π/2", "π", "-π/2"])
            polar.tick_params(pad=-3, labelsize=6)
            polar.spines["polar"].set_linewidth(0.5)
        for axis in (first, second, *figure.axes):
            if axis.name != "polar":
                axis.set_xticks([])
                axis.set_yticks([])
        wheel(figure.add_subplot(grid[0, -1], projection="polar"))
    FigureCanvasAgg(figure)
    return figure


def object_colours(mask: xr.DataArray) -> np.ndarray:
    """Return RGB: a colour for each object, black for the background."""
    colours = [matplotlib.colors.to_rgb(line["color"]) for line in LINES]
    objects = np.zeros((mask.sizes["y"], mask.sizes["x"], 3))
    for g in range(mask.sizes["group"]):
        objects[mask.isel(group=g).transpose("y", "x").values > 0] = colours[g % len(colours)]
    return objects


def wheel(axis: Axes) -> None:
    """Draw the legend of the cyclic map: a ring."""
    angle = np.linspace(-np.pi, np.pi, 181)
    colours = cyclic_map()
    axis.pcolormesh(angle, [0.6, 1.0], angle[None, :-1], cmap=colours, vmin=-np.pi, vmax=np.pi)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_xticks(np.pi / 2 * np.arange(4), ["0", "π/2", "π", "-π/2"], fontsize=6)
    axis.tick_params(pad=-4)
    axis.grid(False)
    axis.spines["polar"].set_visible(False)
    axis.text(0, 0, "phase", ha="center", va="center", fontsize=6)


def phase_film(
    data: xr.Dataset, path: str | Path, *, image: xr.DataArray | None = None,
    mask: xr.DataArray | None = None, fps: int = 10, scale: int = 8,
) -> Path:  # fmt: skip
    """Write a film of phases as an animated GIF, beside the image and its objects if given.

    Colour is the phase of the sum over channels, brightness its length: dark is silent, or out of
    step across channels.

    Parameters
    ----------
    data : Dataset
        ``phase`` and ``amplitude`` (time, channel, y, x) of one sample.
    path : str or Path
        The file, ending in .gif or .png (animated PNG).
    image : DataArray, optional
        (y, x), shown to the left.
    mask : DataArray, optional
        (group, y, x), shown as one colour for each object.
    fps : int
        Recorded times shown in a second.
    scale : int
        Pixels of the film for one of the map.
    """
    path = Path(path)
    if path.suffix not in (".gif", ".png"):
        raise ValueError(f"a film is a .gif or an animated .png, not {path.name!r}")
    phase, strength = mean_phase(data)
    still = [] if image is None else [np.repeat(np.clip(image.values, 0, 1)[..., None], 3, -1)]
    still += [] if mask is None else [object_colours(mask)]
    frames = []
    for t in range(data.sizes["time"]):
        panels = [*still, phase_colours(phase[t].values, strength[t].values)]
        rgb = (255 * np.concatenate(panels, axis=1)).astype(np.uint8)
        frames.append(Image.fromarray(rgb).resize((rgb.shape[1] * scale, rgb.shape[0] * scale), 0))
    buffer = io.BytesIO()
    kind = {".gif": "GIF", ".png": "PNG"}[path.suffix]
    frames[0].save(
        buffer, kind, save_all=True, append_images=frames[1:], duration=1000 // fps, loop=0
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path


def accuracy_and_synchrony(result: xr.Dataset) -> Figure:
    """Draw accuracy, order parameter and synchrony loss over time, a column for each scene.

    Parameters
    ----------
    result : Dataset
        ``accuracy``, ``mean_order_parameter``, ``mean_synchrony_loss`` (scene, way, time) with
        their ``..._ci``, from `neurodyn.studies.komplexnet`. Bands are the intervals over
        training seeds.
    """
    rows = (
        ("accuracy", "accuracy\n(all digits right)"),
        ("mean_order_parameter", "order parameter\nwithin digits"),
        ("mean_synchrony_loss", "synchrony loss\n(0 = bound)"),
    )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        axes = figure.subplots(3, result.sizes["scene"], sharex=True, sharey="row", squeeze=False)
        colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
        styles = ("--", ":", "-.", (0, (1, 1)), "-", (0, (5, 1)), "-")
        for column, scene in enumerate(result.scene.values):
            axes[0][column].set_title(str(scene))
            for row, (name, label) in enumerate(rows):
                axis = axes[row][column]
                for k, way in enumerate(result.way.values):
                    line = result[name].sel(scene=scene, way=way)
                    if not np.isfinite(line).any():
                        continue
                    low, high = (
                        result[f"{name}_ci"].sel(scene=scene, way=way, ci_bound=bound)
                        for bound in ("lower", "upper")
                    )
                    colour, style = colours[k % 10], styles[k % len(styles)]
                    axis.fill_between(result.time, low, high, color=colour, alpha=0.12, lw=0)
                    axis.plot(result.time, line, color=colour, linestyle=style, label=str(way))
                if column == 0:
                    axis.set_ylabel(label)
        for axis in (axes[0][0], axes[1][0]):
            axis.set_ylim(0, 1)
        axes[2][0].set_ylim(0, None)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        figure.supxlabel("time (published steps)", fontsize=8)
    FigureCanvasAgg(figure)
    return figure
