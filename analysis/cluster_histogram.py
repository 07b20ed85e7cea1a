"""Do the phases of objects form clusters? Their histogram, background at 0."""

import matplotlib
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neurodyn.analysis.groups import group_synchrony
from neurodyn.analysis.phasors import Dims, flattened, names
from neurodyn.analysis.plots import LINES, STYLE

PI = {-np.pi: "-π", -np.pi / 2: "-π/2", 0.0: "0", np.pi / 2: "π/2", np.pi: "π"}


def cluster_histogram(
    phases: xr.DataArray, groups: xr.DataArray, *, unit: Dims = ("y", "x"), bins: int = 36
) -> Figure:
    r"""Draw how the phases of background and objects are distributed, over samples.

    Of each sample the mean phase of the background is turned to 0; then come the shares of each
    group's units in each bin of phase, and their mean over samples, so that samples count alike.
    The legend gives R, the mean over samples of the length of a group's mean phasor
    (`neurodyn.analysis.group_synchrony`): 1 where all its units have one phase.

    Parameters
    ----------
    phases : DataArray
        Radians, (sample, y, x) by default; a further dimension (time, solver) has a panel for each
        of its labels. NaN where missing.
    groups : DataArray
        Whole numbers of the same units: 0 background, 1, 2, ... objects, below 0 left out.
    unit : str or sequence of str
        The dimensions that number the units.
    bins : int
        From -pi to pi.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        For what is not a phase or a group, for groups without background, for dimensions that do
        not fit.

    Examples
    --------
    >>> phases = xr.DataArray([[[0.1, 0.1], [3.1, 3.2]]], dims=("sample", "y", "x"))
    >>> groups = xr.DataArray([[0, 0], [1, 1]], dims=("y", "x"))
    >>> cluster_histogram(phases, groups).axes[0].get_legend().get_texts()[0].get_text()
    'background, R = 1.00'
    """
    units = names(unit)
    found = group_synchrony(phases, groups, unit=units, background=True)
    further = [d for d in found.group_phase.dims if d not in ("sample", "group")]
    if len(further) > 1 or "sample" not in phases.dims or 0 not in found.group:
        raise ValueError(
            "phases are (sample, units) and at most one dimension more, and some units belong to "
            f"the background, group 0; got phases {phases.dims} and groups "
            f"{', '.join(map(str, found.group.values))}"
        )
    turned = phases - found.group_phase.sel(group=0, drop=True)
    edges = np.linspace(-np.pi, np.pi, bins + 1)
    panels = phases[further[0]].values.tolist() if further else [None]
    with matplotlib.rc_context(STYLE):
        width = min(7.2, 0.8 + 2.8 * len(panels))
        figure = Figure(figsize=(width, 2.6), layout="constrained")
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for k, (axis, label) in enumerate(zip(axes, panels, strict=True)):
            pick = {further[0]: k} if further else {}
            resultants = found.group_order_parameter.isel(pick).mean("sample")
            for n, g in enumerate(found.group.values):
                colour = LINES[n % len(LINES)]["color"] if g else "0.45"
                style = LINES[n % len(LINES)]["linestyle"] if g else "-"
                shares = shares_of(turned.isel(pick), groups == g, units, edges)
                name = f"object {g}" if g else "background"
                axis.stairs(shares, edges, fill=True, alpha=0.3, color=colour, linewidth=0)
                axis.stairs(
                    shares,
                    edges,
                    color=colour,
                    linestyle=style,
                    linewidth=1.2,
                    label=f"{name}, R = {resultants.sel(group=g).item():.2f}",
                )
            axis.set_xticks(list(PI), list(PI.values()))
            axis.legend(
                title=None if label is None else f"{further[0]}: {label}",
                loc="lower center",
                bbox_to_anchor=(0.5, 1),
                frameon=False,
                fontsize=7,
            )
        axes[0].set_ylabel("share of the group's units")
        figure.supxlabel("phase from the background's mean (rad)", fontsize=8)
    FigureCanvasAgg(figure)
    return figure


def shares_of(
    turned: xr.DataArray, member: xr.DataArray, units: tuple[str, ...], edges: np.ndarray
) -> Float[np.ndarray, " bin"]:
    """Return the share of a group's units in each bin: mean over samples where it has any."""
    member = member.broadcast_like(turned)
    found = []
    for values, inside in zip(
        flattened(turned, ("sample",), units), flattened(member, ("sample",), units), strict=True
    ):
        angles = values[inside & np.isfinite(values)]
        if len(angles):
            count, _ = np.histogram(np.angle(np.exp(1j * angles)), edges)
            found.append(count / len(angles))
    return np.mean(found, axis=0) if found else np.zeros(len(edges) - 1)
