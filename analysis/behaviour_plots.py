"""Figures that compare people with networks, for paper and screen."""

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neurodyn.analysis.plots import STYLE

# Okabe & Ito (2008), black for people; markers and line styles tell them apart in grey.
AGENTS: dict[str, dict[str, Any]] = {
    "people": {"color": "black", "marker": "o", "linestyle": "-"},
    "feedforward": {"color": "#E69F00", "marker": "s", "linestyle": "--"},
    "recurrent": {"color": "#0072B2", "marker": "^", "linestyle": "-"},
    "continuous": {"color": "#009E73", "marker": "D", "linestyle": "-."},
    "lstm": {"color": "#56B4E9", "marker": "v", "linestyle": "-"},
    "gru": {"color": "#D55E00", "marker": "<", "linestyle": "--"},
    "chunk": {"color": "#CC79A7", "marker": "P", "linestyle": ":"},
    "exemplar": {"color": "0.5", "marker": "X", "linestyle": ":"},
    "truth": {"color": "black", "marker": "*", "linestyle": "none"},
    "twin": {"color": "black", "marker": "1", "linestyle": "none"},
}
LOOK = STYLE | {"lines.markersize": 3.5}


def agent_curves(dataset: xr.Dataset, x: str, *, people: str = "people") -> Figure:
    """Draw accuracy against strings seen, or against length: a panel a grammar, a line an agent.

    Shading is the interval of the mean; the dotted line at one half is chance, as half of the
    strings are grammatical.

    Parameters
    ----------
    dataset : Dataset
        ``accuracy`` (grammar, agent, x) and ``accuracy_ci`` (grammar, agent, x, ci_bound); NaN
        where an agent has no value. Agents are "people" and families of networks.
    x : str
        The dimension to draw along, e.g. "n_seen" or "length"; its ``long_name`` is the label.
    people : str
        How the agent "people" is called in the legend, e.g. "simulated people".

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide: two columns of a journal.

    Raises
    ------
    ValueError
        If a variable or a dimension is missing.

    References
    ----------
    Colours: Okabe & Ito (2008), Color Universal Design.

    Examples
    --------
    >>> values = xr.DataArray(
    ...     np.full((1, 2, 3), 0.7), dims=("grammar", "agent", "n_seen"),
    ...     coords={"grammar": ["A"], "agent": ["people", "recurrent"], "n_seen": [100, 200, 300]},
    ... )
    >>> bounds = xr.concat([values - 0.1, values + 0.1], dim="ci_bound").transpose(..., "ci_bound")
    >>> bounds = bounds.assign_coords(ci_bound=["lower", "upper"])
    >>> data = xr.Dataset({"accuracy": values, "accuracy_ci": bounds})
    >>> agent_curves(data, "n_seen").axes[0].get_title()
    'grammar A'
    """
    for name in ("accuracy", "accuracy_ci"):
        missing = {"grammar", "agent", x} - set(dataset.get(name, xr.DataArray()).dims)
        if missing:
            raise ValueError(
                f"agent_curves needs a variable {name!r} with dims grammar, agent, {x}; it lacks "
                f"{', '.join(sorted(missing))}"
            )
    grammars = dataset.grammar.values.tolist()
    columns = min(len(grammars), 4)
    rows = -(-len(grammars) // columns)
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(7.2, 0.7 + 1.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axis, grammar in zip(axes.flat, grammars, strict=False):
            panel = dataset.sel(grammar=grammar)
            axis.axhline(0.5, color="0.6", linestyle=(0, (1, 2)), linewidth=0.8)
            for agent in dataset.agent.values.tolist():
                draw_agent(axis, panel.sel(agent=agent), x, AGENTS.get(agent, {}))
            axis.set_title(f"grammar {grammar}")
        for axis in axes.flat[len(grammars) :]:
            axis.set_axis_off()
        names = {"people": people}
        handles = [
            Line2D([], [], label=names.get(agent, agent), **AGENTS.get(agent, {}))
            for agent in dataset.agent.values.tolist()
        ]
        figure.legend(
            handles=handles, loc="outside upper center", ncols=min(len(handles), 6), frameon=False
        )
        figure.supxlabel(dataset[x].attrs.get("long_name", x), fontsize=8)
        figure.supylabel("proportion correct", fontsize=8)
    return figure


def draw_agent(axis: Axes, line: xr.Dataset, x: str, look: dict[str, Any]) -> None:
    """Draw one agent's line and band where it has values."""
    known = np.isfinite(line.accuracy.values)
    if not known.any():
        return
    at = line[x].values[known]
    low, high = (line.accuracy_ci.sel(ci_bound=b).values[known] for b in ("lower", "upper"))
    if known.sum() > 1:
        axis.fill_between(at, low, high, color=look.get("color"), alpha=0.15, linewidth=0)
    axis.plot(at, line.accuracy.values[known], **look)


def similarity(dataset: xr.Dataset) -> Figure:
    """Draw how like people each family is: a panel a metric, with the ceiling people set.

    Points are estimates with their intervals. A black bar is the ceiling, what people reach among
    themselves, a grey band its interval (for areas and distances: halves of the people; a model
    that knew every probability would pass some of them). Metrics without one have no bar. A
    triangle on the lower edge marks a value that is not defined.

    Parameters
    ----------
    dataset : Dataset
        ``value``, ``ceiling`` (grammar, family, metric) and ``value_ci``, ``ceiling_ci`` (...,
        ci_bound), as `neurodyn.analysis.compare` returns them.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide.
    """
    grammars, families = dataset.grammar.values.tolist(), dataset.family.values.tolist()
    metrics = dataset.metric.values.tolist()
    columns = min(len(metrics), 3)
    rows = -(-len(metrics) // columns)
    spread = np.linspace(-0.3, 0.3, len(families)) if len(families) > 1 else np.zeros(1)
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(7.2, 0.6 + 1.75 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, metric in zip(axes.flat, metrics, strict=False):
            panel = dataset.sel(metric=metric)
            if metric in ZERO:
                axis.axhline(0, color="0.6", linestyle=(0, (1, 2)), linewidth=0.8)
            for g, grammar in enumerate(grammars):
                draw_ceiling(axis, g, panel.sel(grammar=grammar))
                for shift, family in zip(spread, families, strict=True):
                    draw_point(axis, g + shift, panel.sel(grammar=grammar, family=family), family)
            axis.set_title(str(panel.metric_name.item() if "metric_name" in panel else metric))
            axis.set_xticks(range(len(grammars)), grammars)
            axis.set_xlim(-0.5, len(grammars) - 0.5)
        for axis in axes.flat[len(metrics) :]:
            axis.set_axis_off()
        handles = [Line2D([], [], label=f, linestyle="none", **marker(f)) for f in families]
        handles.append(
            Line2D([], [], color="black", linewidth=1.6, label="people among themselves")
        )
        figure.legend(
            handles=handles, loc="outside upper center", ncols=min(len(handles), 5), frameon=False,
            columnspacing=1.2, handletextpad=0.3,
        )  # fmt: skip
        figure.supxlabel("grammar", fontsize=8)
    return figure


ZERO = (
    "accuracy_gap",
    "d_prime_gap",
    "criterion_gap",
    "item_correlation",
    "kappa_correct",
    "kappa_response",
    "pseudo_r2",
    "feature_cosine",
)
"""Metrics at which 0 has a meaning of its own."""


def marker(family: str) -> dict[str, Any]:
    """Return the look of a point."""
    look = AGENTS.get(family, {"color": "0.3", "marker": "o"})
    return {name: look[name] for name in ("color", "marker")}


def draw_ceiling(axis: Axes, at: float, panel: xr.Dataset) -> None:
    """Draw the ceiling of one grammar, the same for all families, if there is one."""
    height = panel.ceiling.values.ravel()
    known = np.flatnonzero(np.isfinite(height))
    if not known.size:
        return
    low, high = panel.ceiling_ci.transpose("family", "ci_bound").values[known[0]]
    if np.isfinite([low, high]).all():
        axis.fill_between([at - 0.4, at + 0.4], low, high, color="0.85", linewidth=0, zorder=0)
    axis.hlines(height[known[0]], at - 0.4, at + 0.4, color="black", linewidth=1.6, zorder=1)


def draw_point(axis: Axes, at: float, point: xr.Dataset, family: str) -> None:
    """Draw one estimate and its interval."""
    value = point.value.item()
    if not np.isfinite(value):
        axis.plot(
            at, 0.02, transform=axis.get_xaxis_transform(), marker=2, color=marker(family)["color"]
        )
        return
    bounds = point.value_ci.values
    if np.isfinite(bounds).all():
        axis.vlines(at, *bounds, color=marker(family)["color"], linewidth=1)
    axis.plot(at, value, linestyle="none", zorder=3, **marker(family))


def advantage(dataset: xr.Dataset, measure: str = "bigrams") -> Figure:
    """Draw the recurrent networks' advantage over the complexity of grammars, a panel an epoch.

    Parameters
    ----------
    dataset : Dataset
        ``advantage`` (grammar, epochs), ``advantage_ci`` (..., ci_bound), ``complexity`` (grammar,
        measure), ``r`` and ``r_bf`` (epochs, measure), as `neurodyn.studies.agl` makes them.
    measure : str
        Which complexity, e.g. "letters", "states", "transitions", "bigrams".

    Returns
    -------
    matplotlib.figure.Figure
        3.6 inches a panel.
    """
    epochs = dataset.epochs.values.tolist()
    x = dataset.complexity.sel(measure=measure).values
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(3.6 * len(epochs), 2.8), layout="constrained")
        axes = figure.subplots(1, len(epochs), squeeze=False)[0]
        for axis, epoch in zip(axes, epochs, strict=True):
            panel = dataset.sel(epochs=epoch)
            y, bounds = panel.advantage.values, panel.advantage_ci.values
            axis.axhline(0, color="0.6", linestyle=(0, (1, 2)), linewidth=0.8)
            axis.vlines(x, bounds[:, 0], bounds[:, 1], color="#0072B2", linewidth=1)
            axis.plot(x, y, linestyle="none", marker="^", color="#0072B2")
            span = np.ptp(bounds)
            for at, height, name in label_places(x, y, dataset.grammar.values, 0.045 * span):
                axis.annotate(
                    name, (at, height), xytext=(5, 0), textcoords="offset points", fontsize=6,
                    va="center",
                )  # fmt: skip
            r = panel.r.sel(measure=measure).item()
            factor = panel.r_bf.sel(measure=measure).item()
            passes = "pass" if epoch == 1 else "passes"
            axis.set_title(f"{epoch} {passes}: r = {r:.2f}, BF = {factor:.2g}")
            axis.set_xlim(x.min() - 0.05 * np.ptp(x), x.max() + 0.35 * np.ptp(x))
        figure.supxlabel(f"{measure} of the grammar", fontsize=8)
        figure.supylabel("accuracy, recurrent minus feed-forward", fontsize=8)
    return figure


def label_places(
    x: np.ndarray, y: np.ndarray, names: np.ndarray, gap: float
) -> list[tuple[float, float, str]]:
    """Return where to write names beside points, those of one x at least `gap` apart.

    Examples
    --------
    >>> label_places(np.array([1, 1]), np.array([0.0, 0.1]), np.array(["a", "b"]), gap=0.5)
    [(1.0, 0.0, 'a'), (1.0, 0.5, 'b')]
    """
    places: list[tuple[float, float, str]] = []
    for k in np.lexsort((y, x)):
        height = float(y[k])
        if places and places[-1][0] == x[k]:
            height = max(height, places[-1][1] + gap)
        places.append((float(x[k]), height, str(names[k])))
    return places
