"""Figures of attacks: their success, or the accuracy they leave, by strength."""

from typing import Literal

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from neurodyn.analysis.plots import STYLE

MARKERS = "osD^vP*X"


def attack_curve(
    found: xr.Dataset, quantity: Literal["success", "robust_accuracy"] = "success"
) -> Figure:
    """Draw the success of attacks by strength, one line for each time.

    Later times are lighter, on a map whose lightness alone tells them apart with any colour vision
    and in grey; markers do too. The band is the interval. Where the answers hold both kinds
    of attack, each has a panel: "white-box" images are made for the time shown, "transfer" images
    for the first time. A line that lies higher under transfer than under white-box is
    a sign of gradient masking.

    Parameters
    ----------
    found : Dataset
        ``success`` or ``robust_accuracy``, and its ``..._ci``, over ``epsilon`` and ``time``,
        perhaps ``attack``: as `neurodyn.analysis.attack_success` makes it. Any other dimension is
        to be selected first.
    quantity : {"success", "robust_accuracy"}
        What to draw.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide with two panels, 3.5 with one.

    Raises
    ------
    ValueError
        If the quantity is missing or has other dimensions.

    References
    ----------
    Colours: viridis, by van der Walt & Smith (2015), bids.github.io/colormap.

    Examples
    --------
    >>> values = xr.DataArray([[0.1, 0.0], [0.6, 0.4]], dims=("epsilon", "time"))
    >>> bounds = xr.concat([values - 0.1, values + 0.1], "ci_bound")
    >>> found = xr.Dataset({"success": values, "success_ci": bounds}).assign_coords(
    ...     epsilon=[0.1, 0.2], time=[0.0, 5.0], ci_bound=["lower", "upper"]
    ... )
    >>> [line.get_label() for line in attack_curve(found).axes[0].get_lines()]
    ['t = 0', 't = 5']
    """
    values = found.get(quantity)
    allowed = {"epsilon", "time", "attack"}
    if values is None or not {"epsilon", "time"} <= set(values.dims) <= allowed:
        raise ValueError(
            f"attack_curve needs {quantity!r} over epsilon and time (and attack); this Dataset has "
            f"{', '.join(f'{k} {v.dims}' for k, v in found.data_vars.items())}"
        )
    kinds = found.attack.values.tolist() if "attack" in values.dims else [None]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, found.sizes["time"]))
    with matplotlib.rc_context(STYLE):
        size = (7.2 if len(kinds) > 1 else 3.5, 3.0)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axis, kind in zip(axes, kinds, strict=True):
            panel = found if kind is None else found.sel(attack=kind)
            axis.set_title(kind or "")
            for k, colour in enumerate(colours):
                line = panel.isel(time=k).sortby("epsilon")
                low, high = (line[f"{quantity}_ci"].sel(ci_bound=b) for b in ("lower", "upper"))
                strength = line.epsilon.values
                axis.fill_between(strength, low, high, color=colour, alpha=0.13, linewidth=0)
                axis.plot(
                    strength,
                    line[quantity].values,
                    color=colour,
                    marker=MARKERS[k % len(MARKERS)],
                    markersize=3.5,
                    label=f"t = {line.time.item():g}",
                )
            axis.set_ylim(-0.02, 1.02)
            axis.locator_params(axis="x", nbins=6)
        handles, _ = axes[0].get_legend_handles_labels()
        level = found.attrs.get("level", 0.95)
        handles.append(Patch(color="0.8", label=f"{level:.0%} interval"))
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=min(len(handles), 3 * len(kinds)),
            frameon=False,
        )
        figure.supxlabel("strength of the attack (grey values)", fontsize=8)
        name = values.attrs.get("long_name", quantity.replace("_", " "))
        figure.supylabel(f"{name} (share of images)", fontsize=8)
    FigureCanvasAgg(figure)
    return figure
