"""Figures of attention over images."""

import matplotlib
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from neurodyn.analysis.agreement_plots import draw
from neurodyn.analysis.plots import STYLE


def attention_map(
    image: Float[np.ndarray, "y x"],
    attention: Float[np.ndarray, "target rows columns"],
    targets: Float[np.ndarray, "target 2"] | None = None,
) -> Figure:
    r"""Draw where some positions of an image attend to, the image on top of each map.

    .. math:: N a_{ts}, \qquad \sum_s a_{ts} = 1

    a is the attention of target t to source s, one of N positions: 1 is what each has where
    attention is even. Colours follow its square root, the same in all maps. What is dark in the
    image is drawn over the map, what is light lets it through.

    Parameters
    ----------
    image : array
        Shape (y, x), from 0 (black) to 1 (white).
    attention : array
        Shape (target, rows, columns), one map for each target, that sums to 1: coarser than the
        image, each cell covers its share of it.
    targets : array, optional
        Shape (target, 2): the row and column, in cells of the map, that attends; marked by a ring.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide at most: the image, and up to five maps in a row.

    Raises
    ------
    ValueError
        For arrays of another shape, for maps that do not sum to 1.

    Examples
    --------
    >>> figure = attention_map(np.ones((8, 8)), np.full((2, 4, 4), 1 / 16))
    >>> [axis.get_title() for axis in figure.axes][:3]
    ['image', 'target 1', 'target 2']
    """
    image, attention = np.asarray(image, float), np.asarray(attention, float)
    if image.ndim != 2 or attention.ndim != 3 or not attention.size:
        raise ValueError(
            "attention_map needs an image (y, x) and maps (target, rows, columns), got the shapes "
            f"{image.shape} and {attention.shape}"
        )
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"image must be from 0 to 1, it is {image.min():g} to {image.max():g}")
    check_weights(attention)
    if targets is not None and np.shape(targets) != (len(attention), 2):
        raise ValueError(f"targets must have the shape {(len(attention), 2)}, row and column each")
    columns = min(len(attention) + 1, 6)
    rows = -(-(len(attention) + 1) // columns)
    relative = attention * attention[0].size
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.6 + 1.1 * columns, 0.25 + 1.1 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        axes[0].set_axis_on()
        draw(axes[0], image, cmap="gray", vmin=0, vmax=1).axes.set_title("image")
        for k, (axis, weights) in enumerate(zip(axes[1:], relative, strict=False)):
            axis.set_axis_on()
            shown = overlay(axis, image, weights, float(relative.max()))
            if targets is not None:
                mark(axis, targets[k], weights.shape, image.shape)
            axis.set_title(f"target {k + 1}" if len(attention) > 1 else "attention")
        bar = figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02)
        bar.set_label("attention (1: even)")
    return figure


def attention_maps(data: xr.Dataset) -> Figure:
    r"""Draw where the centres of shapes attend to, in a scene of each class of each problem.

    .. math:: N a_{ts}, \qquad \sum_s a_{ts} = 1

    As `attention_map`; a row for each problem, the first scene of either class in it, and the
    colours the same in all.

    Parameters
    ----------
    data : Dataset
        attention (problem, sample, target, row, column), image (problem, sample, y, x) from 0
        (black) to 255, label (problem, sample) and centre (problem, sample, target, axis = x, y)
        in pixels. With "seed" too, the mean over it is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide at most with two targets.

    Raises
    ------
    ValueError
        If a variable or an axis is missing, a problem has scenes of one class only, or attention
        does not sum to 1.

    Examples
    --------
    >>> data = xr.Dataset(
    ...     {
    ...         "attention": (("sample", "target", "row", "column"), np.full((2, 1, 4, 4), 1 / 16)),
    ...         "image": (("sample", "y", "x"), np.full((2, 8, 8), 255)),
    ...         "label": ("sample", [0, 1]),
    ...         "centre": (("sample", "target", "axis"), np.full((2, 1, 2), 3.0)),
    ...     },
    ...     {"axis": ["x", "y"]},
    ... )
    >>> figure = attention_maps(data.expand_dims(problem=[4]))
    >>> [axis.get_title() for axis in figure.axes][:2]
    ['class 0, shape 1', 'class 1, shape 1']
    """
    wanted = {
        "attention": {"problem", "sample", "target", "row", "column"},
        "image": {"problem", "sample", "y", "x"}, "label": {"problem", "sample"},
        "centre": {"problem", "sample", "target", "axis"},
    }  # fmt: skip
    for name, dims in wanted.items():
        if name not in data or set(data[name].dims) - {"seed"} != dims:
            there = data[name].dims if name in data else "not there"
            raise ValueError(f"{name} must have the axes {sorted(dims)}, it is {there}")
    attention = data["attention"].transpose(..., "row", "column")
    if not attention.size or set(np.ravel(data["label"])) - {0, 1}:
        raise ValueError("attention_maps needs a target or more, and labels that are 0 or 1")
    if "axis" not in data.coords or set(data["axis"].values.tolist()) != {"x", "y"}:
        raise ValueError("the axis of centre needs the labels x and y")
    check_weights(attention.values)
    attention = attention.mean("seed") if "seed" in attention.dims else attention
    relative = attention * attention.sizes["row"] * attention.sizes["column"]
    problems, targets = data["problem"].values, attention.sizes["target"]
    shape = (len(problems), 2 * targets)
    with matplotlib.rc_context(STYLE):
        size = (0.9 + 1.5 * shape[1], 0.3 + 1.5 * shape[0])
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(*shape, squeeze=False)
        for row, problem in zip(axes, problems, strict=True):
            one = data.sel(problem=problem)
            if len(set(one["label"].values.tolist())) < 2:
                raise ValueError(f"problem {problem} must have a scene of either class")
            for k, axis in enumerate(row):
                label, target = divmod(k, targets)
                place = {"sample": int((one["label"].values == label).argmax()), "target": target}
                scene = one.isel(place)
                ink = scene["image"].transpose("y", "x").values / 255
                weights = relative.sel(problem=problem).isel(place).transpose("row", "column")
                shown = overlay(axis, ink, weights.values, float(relative.max()))
                x, y = (float(scene["centre"].sel(axis=name)) for name in "xy")
                ring(axis, x, y)
                if axis in axes[0]:
                    axis.set_title(f"class {label}, shape {target + 1}")
            row[0].set_ylabel(f"problem {problem}")
        bar = figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02)
        bar.set_label("attention (1: even)")
    return figure


def check_weights(attention: Float[np.ndarray, "... rows columns"]) -> None:
    """Refuse what is no attention, missing values too."""
    sums = attention.sum((-2, -1))
    if not np.allclose(sums, 1, atol=1e-3) or (attention < 0).any():
        raise ValueError(
            "attention must be 0 or more and sum to 1 for each target, the sums are from "
            f"{sums.min():g} to {sums.max():g}"
        )


def overlay(axis: Axes, image: np.ndarray, weights: np.ndarray, most: float) -> AxesImage:
    """Draw a map over the whole image, and the image's ink on it."""
    height, width = image.shape
    shown = draw(
        axis, weights, cmap="YlOrRd", norm=PowerNorm(0.5, 0, most), interpolation="nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip
    ink = np.zeros((*image.shape, 4))
    ink[..., 3] = 1 - image
    axis.imshow(ink, interpolation="nearest")
    return shown


def mark(axis: Axes, target: np.ndarray, cells: tuple[int, int], image: tuple[int, int]) -> None:
    """Draw a ring around the middle of a cell."""
    y, x = ((at + 0.5) * size / n - 0.5 for at, n, size in zip(target, cells, image, strict=True))
    ring(axis, x, y)


def ring(axis: Axes, x: float, y: float) -> None:
    """Draw a ring around a place."""
    axis.plot(
        x, y, marker="o", markersize=7, markerfacecolor="none", markeredgecolor="#0072B2",
        markeredgewidth=1.4,
    )  # fmt: skip
