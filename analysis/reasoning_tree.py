"""The figure of problems in a tree, beside the accuracies that it is made of."""

from itertools import product

import matplotlib
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from scipy.cluster import hierarchy

from neurodyn.analysis.plots import STYLE
from neurodyn.analysis.reasoning_clusters import clades
from neurodyn.analysis.reasoning_plots import size_names

# Okabe & Ito (2008), told apart with any colour vision; hatches tell them apart in grey.
LOOKS = (
    ("#0072B2", ""), ("#D55E00", "////"), ("#009E73", "...."), ("#CC79A7", "xxx"),
    ("#E69F00", "\\\\\\"), ("#56B4E9", "---"),
)  # fmt: skip


def problem_tree(found: xr.Dataset, tags: xr.Dataset | None = None) -> Figure:
    """Draw the tree of problems, the accuracies of each, and its tags.

    From left to right: the tree, the branches of a group in its colour, with the support of each
    group of three problems or more in percent of resamples; the mean accuracies, a row a problem;
    a column for each tag.

    Parameters
    ----------
    found : Dataset
        As `neurodyn.analysis.cluster_problems` returns it.
    tags : Dataset, optional
        Labels along ``problem``, e.g. of `problem_tags`; each has a column and a legend.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide: two columns of a journal.

    Examples
    --------
    >>> from neurodyn.analysis.reasoning_clusters import cluster_problems
    >>> values = np.random.default_rng(0).random((15, 2, 3))
    >>> values = xr.DataArray(
    ...     values, {"problem": range(1, 16), "images": [500, 1000]}, ("problem", "images", "seed")
    ... )
    >>> figure = problem_tree(cluster_problems(values, resamples=100))
    >>> [axis.get_xlabel() for axis in figure.axes][:2]
    ['distance (ward)', 'images in the training set']
    """
    problems = found.problem.values.tolist()
    leaves = hierarchy.leaves_list(found.linkage.values)
    columns = 0 if tags is None else len(tags.data_vars)
    with matplotlib.rc_context(STYLE | {"hatch.linewidth": 0.6}):
        height = 0.8 + 0.17 * len(problems) + (0.9 if columns else 0)
        figure = Figure(figsize=(7.2, height), layout="constrained")
        widths = [1.0, 1.0, 0.07 * columns][: 3 if columns else 2]
        axes = figure.subplots(1, len(widths), sharey=True, width_ratios=widths)
        draw_tree(axes[0], found, leaves)
        axes[0].set_yticks(range(len(problems)), [str(problems[k]) for k in leaves])
        draw_accuracies(figure, axes[1], found.accuracy.isel(problem=leaves))
        if tags is not None:
            draw_tags(figure, axes[2], tags.sel(problem=[problems[k] for k in leaves]))
    return figure


def tree_places(
    linkage: Float[np.ndarray, "merge 4"], leaves: np.ndarray
) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Return the distance and the height in the picture of each leaf, then of each merge.

    Examples
    --------
    >>> tree_places(np.array([[0, 1, 0.5, 2], [2, 3, 1.0, 3]]), np.array([2, 0, 1]))
    (array([0. , 0. , 0. , 0.5, 1. ]), array([1.  , 2.  , 0.  , 1.5 , 0.75]))
    """
    n = len(leaves)
    x, y = np.concatenate([np.zeros(n), linkage[:, 2]]), np.zeros(2 * n - 1)
    y[leaves] = np.arange(n)
    for node, (left, right) in enumerate(linkage[:, :2].astype(int), start=n):
        y[node] = (y[left] + y[right]) / 2
    return x, y


def draw_tree(axis: Axes, found: xr.Dataset, leaves: np.ndarray) -> None:
    """Draw the branches, the root at the left, and the support of groups."""
    linkage, group = found.linkage.values, found.group.values
    n = len(leaves)
    (x, y), below = tree_places(linkage, leaves), clades(linkage)
    for node, (left, right) in enumerate(linkage[:, :2].astype(int), start=n):
        members = np.unique(group[below[node]])
        colour = LOOKS[members[0] % len(LOOKS)][0] if len(members) == 1 else "0.4"
        ends = [left, left, right, right]
        axis.plot([x[left], x[node], x[node], x[right]], y[ends], color=colour, linewidth=1)
        if 2 < below[node].sum() < n:
            text = f"{100 * found.support.values[node - n]:.0f}"
            axis.annotate(
                text, (x[node], y[node]), xytext=(-2, 2), textcoords="offset points", ha="right",
                fontsize=6, color="0.25",
            )  # fmt: skip
    axis.set_xlim(1.04 * x.max(), 0)
    axis.set_xlabel(f"distance ({found.attrs['method']})")
    axis.text(0, n - 0.4, "problem", ha="left", va="bottom", fontsize=7)
    axis.yaxis.tick_right()
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_title(f"support: % of {found.attrs['resamples']} resamples of seeds", color="0.25")


def draw_accuracies(figure: Figure, axis: Axes, accuracy: xr.DataArray) -> None:
    """Draw the rows of the heat map, in blocks of one curve over the training set's size."""
    others = [dim for dim in accuracy.dims if dim not in ("problem", "images")]
    sizes = accuracy.sizes.get("images", 1)
    rows = accuracy.transpose("problem", *others, ...).values.reshape(len(accuracy.problem), -1)
    image = axis.imshow(
        rows, cmap="cividis", vmin=min(0.5, float(rows.min())), vmax=1, aspect="auto",
        origin="lower", interpolation="nearest",
    )  # fmt: skip
    axis.tick_params(length=0, labelleft=False, labelright=False)
    axis.spines[:].set_visible(False)
    blocks = [" ".join(map(str, one)) for one in product(*(accuracy[d].values for d in others))]
    for k, block in enumerate(blocks):
        axis.text(
            (k + 0.5) * sizes - 0.5, len(rows) - 0.4, block, ha="center", va="bottom", fontsize=7
        )
        if k:
            axis.axvline(k * sizes - 0.5, color="white", linewidth=1.5)
    if "images" in accuracy.dims:
        names = size_names(accuracy.images.values, gap=0)
        axis.set_xticks(range(rows.shape[1]), names * len(blocks), rotation=90, fontsize=7)
        axis.set_xlabel("images in the training set")
    bar = figure.colorbar(image, ax=axis, fraction=0.06, pad=0.02)
    bar.set_label("accuracy")
    bar.outline.set_visible(False)  # type: ignore[operator]


def draw_tags(figure: Figure, axis: Axes, tags: xr.Dataset) -> None:
    """Draw a column of colours for each tag, and below the figure what they mean."""
    handles: list[Line2D | Patch] = []
    rows = max(len(np.unique(labels)) for labels in tags.data_vars.values()) + 1
    for column, (name, labels) in enumerate(tags.data_vars.items()):
        first = labels.sortby("problem").values.tolist()
        kinds = list(dict.fromkeys(first))
        for row, label in enumerate(labels.values.tolist()):
            colour, hatch = LOOKS[kinds.index(label) % len(LOOKS)]
            axis.add_patch(
                Rectangle((column - 0.4, row - 0.5), 0.8, 1, facecolor=colour, hatch=hatch,
                          edgecolor="white", linewidth=0.5)
            )  # fmt: skip
        handles.append(Line2D([], [], linestyle="none", label=f"{column + 1}: {name}"))
        for kind, (colour, hatch) in zip(kinds, LOOKS, strict=False):
            handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=str(kind)))
        handles += [Line2D([], [], linestyle="none", label="")] * (rows - 1 - len(kinds))
    axis.set_xlim(-0.5, len(tags.data_vars) - 0.5)
    numbers = range(len(tags.data_vars))
    axis.set_xticks(numbers, [str(k + 1) for k in numbers])
    axis.set_xlabel("tag")
    axis.tick_params(length=0, labelleft=False, labelright=False)
    axis.spines[:].set_visible(False)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(tags.data_vars), frameon=False,
        fontsize=7,
    )  # fmt: skip
