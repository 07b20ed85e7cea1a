"""What Euler's method with the published step does that the differential equation does not."""

import json
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neurodyn.analysis.accuracy import accuracy, paired_difference
from neurodyn.analysis.phasors import RADIANS, flattened, spread
from neurodyn.analysis.state_distance import distances, similarities

REFERENCES = (
    "Hairer & Wanner (1996), Solving Ordinary Differential Equations II, Springer, "
    "doi:10.1007/978-3-642-05221-7"
)
UNKNOWN = (
    "the published step is not known; this one was chosen here. Of a step and a constant that "
    "divides the derivative (a temperature, a time constant) only the ratio matters"
)
ABOUT = {
    "distance": "distance of Euler from the adaptive solution",
    "relative_distance": "distance of Euler from the adaptive solution over its movement",
    "similarity": "similarity with the state of an earlier step",
    "flips": "period 2 at the last time",
}
FIXED_STEP = "euler midpoint heun2 heun3 rk4 explicit_adams implicit_adams fixed_adams".split()
Run = xr.DataTree | xr.Dataset
States = dict[str, xr.DataArray]


def discretisation(
    published: Run,
    adaptive: Run,
    *,
    target: xr.DataArray | None = None,
    step: float | None = None,
    quantity: str | None = None,
    step_known: bool | None = None,
    lag1_below: float = 0.85,
    lag2_above: float = 0.85,
) -> xr.Dataset:
    r"""Compare Euler's method with the published step with an adaptive solver, on one model.

    .. math:: y_{n+1} = y_n + h f(y_n) \qquad \text{with} \qquad \frac{dy}{dt} = f(y)

    Near a fixed point a mode with eigenvalue :math:`\lambda` goes as :math:`e^{\lambda t}`, and a
    step of Euler's method multiplies it by :math:`1 + h\lambda`. Where that is below -1 the mode
    flips its sign at every step and grows until something holds it: a state that comes back every
    second step, while the differential equation is at rest. At the last time T a layer flips if it
    is unlike itself one step earlier and like itself two steps earlier:

    .. math:: s_l(T, T - h) < c_1 \quad \text{and} \quad s_l(T, T - 2h) > c_2

    *Provenance*: the pattern was read off the phase maps of one image in a published figure of
    GASPnet, whose third layer has lag-1 cosines of -.43 to -.74 and lag-2 cosines of .81 to .91;
    its authors name no cause. The thresholds are this library's own.

    Parameters
    ----------
    published, adaptive : DataTree or Dataset
        Two runs from one state, as `neurodyn.simulate` returns them: with method="euler" and the
        published step, and with an adaptive method. The same samples; the same times, multiples
        of the step, the last three a step apart. Of a Dataset each variable (time, sample, ...)
        without the dimension category is a layer. States in "rad" are phases.
    target : DataArray, optional
        What is right: (sample, category), 1 for the categories shown, or the labels (sample).
    step : float, optional
        h, in units of the time axis; by default as the attributes of `published` say.
    quantity : str, optional
        What to compare, of the layers that have it; by default what was recorded of a layer, its
        phase if that was more.
    step_known : bool, optional
        Whether the step is the published one; by default "published_step_known" in the dynamics'
        `config`, or else True. For GASPnet it is not: only step over temperature matters.
    lag1_below, lag2_above : float
        The thresholds :math:`c_1` and :math:`c_2`.

    Returns
    -------
    Dataset
        ``distance`` (layer, sample, time) of the two solutions, see
        `neurodyn.analysis.state_distance.distances`, in units of the state;
        ``relative_distance``: the same over the distance that the adaptive solution has moved
        since the first time, NaN where it has not. ``similarity`` (solver, lag, layer, sample,
        time) with the state 1 and 2 steps earlier, see `similarities` there; NaN where that was
        not recorded. ``flips`` (solver, layer, sample); False where a similarity is not defined.

        With `target` ``accuracy`` (solver, time), the share of samples of which the k categories
        shown have the k largest logits, and ``accuracy_difference`` (time), Euler minus adaptive;
        ``..._ci``: bootstrap intervals over samples.

        Attributes: the step, whether it is known, solvers, evaluations, thresholds.

    Raises
    ------
    TypeError, ValueError
        For runs with other layers, samples, times or first states, or states that are not finite;
        for a first run that is not Euler's, or a second one of fixed steps, as attributes say; for
        an unknown step; for a target that does not fit.

    References
    ----------
    Stability of Euler's method: Hairer & Wanner (1996), Solving Ordinary Differential Equations
    II. GASPnet: Alamia, Muzellec, Serre & VanRullen (2025), arXiv:2507.16674.

    Examples
    --------
    dy/dt = -2 (y - 1), by Euler's method with a step of 1 and exactly:

    >>> time, start = np.arange(6.0), np.array([0.9, -0.3, 0.2, 0.4])
    >>> euler, exact = (
    ...     xr.Dataset({"y": (("time", "sample", "unit"), 1 + decay[:, None, None] * start)})
    ...     for decay in ((-1.0) ** time, np.exp(-2 * time))
    ... )
    >>> found = discretisation(euler, exact, step=1.0)
    >>> found.similarity.sel(solver="euler").isel(time=-1).values.round(6).ravel()
    array([-1.,  1.])
    >>> found.flips.values.ravel()
    array([ True, False])
    """
    runs = {"euler": published, "adaptive": adaptive}
    euler, other = comparable(published, adaptive, quantity)
    h = published_step(published) if step is None else float(step)
    if step_known is None:
        config = json.loads(published.attrs.get("config", "{}"))
        step_known = bool(config.get("published_step_known", True))
    like = next(iter(euler.values()))
    back = steps_back(like.time.values, h)
    cyclic = [state.attrs.get("units") in RADIANS for state in euler.values()]
    first, second = (
        [flattened(state, ("time", "sample"), state.dims[2:]) for state in states.values()]
        for states in (euler, other)
    )
    apart = distances(first, second, cyclic)
    for name, gap, state, turns in zip(euler, apart, first, cyclic, strict=True):
        if (gap[0] > 1e-4 * (1 if turns else np.sqrt(np.square(state[0]).mean()))).any():
            raise ValueError(
                f"layer {name!r} does not start alike in the two runs: give both the same "
                "initial_state=, or the same seed="
            )
    moved = distances(second, [state[:1] for state in second], cyclic)
    relative = np.divide(apart, moved, out=np.full_like(apart, np.nan), where=moved > 0)
    alike = np.full((2, 2, *apart.shape), np.nan)
    for s, states in enumerate((first, second)):
        for lag, (now, then) in enumerate(back):
            here, before = ([state[rows] for state in states] for rows in (now, then))
            alike[s, lag][:, now] = similarities(here, before, cyclic)
    flips = (alike[:, 0, :, -1] < lag1_below) & (alike[:, 1, :, -1] > lag2_above)
    axes = ("layer", "time", "sample")
    units = sorted({str(state.attrs.get("units", "1")) for state in euler.values()})
    kept = {k: v.variable for k, v in like.coords.items() if set(v.dims) <= {"time", "sample"}}
    labels: dict[Hashable, Any] = {
        "solver": ("solver", list(runs), {"long_name": "solver", "units": "1"}),
        "lag": ("lag", [1, 2], {"long_name": "how much earlier", "units": "step"}),
        "layer": ("layer", list(euler), {"long_name": "layer", "units": "1"}),
    }
    result = xr.Dataset(
        {
            "distance": (axes, apart),
            "relative_distance": (axes, relative),
            "similarity": (("solver", "lag", *axes), alike),
            "flips": (("solver", "layer", "sample"), flips),
        },
        coords=kept | labels,
    ).transpose(..., "sample", "time")
    for name, long_name in ABOUT.items():
        result[name].attrs = {"long_name": long_name, "units": "1", "references": REFERENCES}
    result.distance.attrs["units"] = ", ".join(units)
    if target is not None:
        result = result.merge(accuracies(published, adaptive, target))
    result.attrs = {"published_step": h, "step_known": int(step_known)}
    result.attrs |= {} if step_known else {"comment": UNKNOWN}
    for name, run in runs.items():
        result.attrs |= {f"{name}_{k}": run.attrs[k] for k in ("solver", "nfe") if k in run.attrs}
    result.attrs |= {"lag1_below": lag1_below, "lag2_above": lag2_above}
    return result


def states_of(run: Run, quantity: str | None = None) -> States:
    """Return the state of every layer, or of those with this quantity, time and sample first."""
    if not isinstance(run, xr.DataTree | xr.Dataset):
        raise TypeError(f"a run is a DataTree or a Dataset, got {type(run).__name__}")
    if isinstance(run, xr.DataTree) and "layers" in run.children:
        nodes = {name: node.to_dataset() for name, node in run["layers"].children.items()}
        wanted = {name: quantity or likely(name, node) for name, node in nodes.items()}
        found = {name: node[wanted[name]] for name, node in nodes.items() if wanted[name] in node}
    else:
        found = {str(k): v for k, v in run.data_vars.items() if "category" not in v.dims}
    found = {name: v for name, v in found.items() if {"time", "sample"} <= set(v.dims)}
    if not found:
        raise ValueError(
            f"the run holds no {quantity or 'state'} (time, sample, ...): record it; by default "
            "all states are"
        )
    return {name: state.transpose("time", "sample", ...) for name, state in found.items()}


def likely(layer: str, node: xr.Dataset) -> str:
    """Return the name of a layer's one quantity, or else of its phase."""
    there = [str(name) for name in node.data_vars]
    phases = [name for name in there if node[name].attrs.get("units") in RADIANS]
    found = there if len(there) == 1 else phases
    if len(found) != 1:
        raise ValueError(
            f"layer {layer!r} has {', '.join(there)}; say which to compare with quantity="
        )
    return found[0]


def comparable(published: Run, adaptive: Run, quantity: str | None) -> tuple[States, States]:
    """Return the states of both runs; refuse what is not one model on the same samples."""
    euler, other = states_of(published, quantity), states_of(adaptive, quantity)
    by, against = published.attrs.get("solver", "euler"), adaptive.attrs.get("solver")
    if by != "euler":
        raise ValueError(f"the first run was solved by {by!r}: give the one by 'euler' first")
    if against in FIXED_STEP:
        raise ValueError(f"the second run was solved by {against!r}: give one by adaptive steps")
    if list(euler) != list(other):
        raise ValueError(
            f"the runs have the layers {', '.join(euler)} and {', '.join(other)}; record the same"
        )
    for name, state in euler.items():
        if state.sizes != other[name].sizes:
            raise ValueError(
                f"layer {name!r} has {dict(state.sizes)} in one run and "
                f"{dict(other[name].sizes)} in the other; give the same samples and times"
            )
        spread(other[name], state, f"{name} of the second run", "of the first")
        other[name] = other[name].transpose(*state.dims)
        finite = np.isfinite(state.values) & np.isfinite(other[name].values)
        lost = ~finite.all((0, *range(2, state.ndim)))
        if lost.any():
            which = ", ".join(map(str, state["sample"].values[lost]))
            raise ValueError(f"layer {name!r} is not finite in the samples {which}: drop them")
    return euler, other


def published_step(run: Run) -> float:
    """Return the step that a run by Euler's method took, in units of its time axis."""
    options, config = (json.loads(run.attrs.get(name, "{}")) for name in ("options", "config"))
    step = options.get("step_size", config.get("step"))
    if step is None:
        raise ValueError("the attributes of the run do not say its step: give step=")
    return float(step) * float(run["time"].attrs.get("time_constant", 1.0))


def steps_back(times: Float[np.ndarray, " time"], step: float) -> list[tuple[np.ndarray, ...]]:
    """Return, for 1 and 2 steps, the indices of times and of those so much earlier."""
    if not 0 < step < np.inf:
        raise ValueError(f"step = {step!r} must be positive, in units of the time axis")
    n = (times - times[0]) / step
    gaps = n[:, None] - n
    back = [np.nonzero(np.isclose(gaps, lag, atol=1e-4)) for lag in (1, 2)]
    if not np.allclose(n, n.round(), atol=1e-4) or any(len(n) - 1 not in now for now, _ in back):
        raise ValueError(
            f"times must be multiples of the step, {step:g}, and the last three a step apart; got "
            f"{', '.join(f'{t:g}' for t in times)}"
        )
    return back


def accuracies(published: Run, adaptive: Run, target: xr.DataArray) -> xr.Dataset:
    """Return accuracy over time under both solvers, and its paired difference."""
    if not isinstance(target, xr.DataArray):
        raise TypeError(f"target must be a DataArray, got {type(target).__name__}")
    parts = []
    for run in (published, adaptive):
        found = [v for v in run.data_vars.values() if {"sample", "category"} <= set(v.dims)]
        if len(found) != 1:
            raise ValueError("target needs runs with one readout (time, sample, category)")
        logits = found[0].transpose("time", "sample", "category")
        shown = spread(target, logits, "target", "the readout")
        if "category" not in target.dims:
            shown = shown == logits.category
        if not (np.isin(shown, (0, 1)).all() and shown.any("category").all()):
            raise ValueError(
                "target must be labels among the categories, (sample), or 1 for the categories "
                "shown and 0 for others, (sample, category), with one or more shown"
            )
        right = exactly_right(logits.values, shown.transpose(*logits.dims).values.astype(bool))
        parts.append(logits.isel(category=0, drop=True).copy(data=right))
    correct = xr.concat(parts, dim="solver").assign_coords(solver=["euler", "adaptive"])
    gap = paired_difference(correct, "solver", "adaptive").isel(solver=0, drop=True)
    gap = gap.rename(difference="accuracy_difference", difference_ci="accuracy_difference_ci")
    return accuracy(correct).merge(gap)


def exactly_right(
    logits: Float[np.ndarray, "... category"], shown: Bool[np.ndarray, "... category"]
) -> Bool[np.ndarray, "..."]:
    """Tell whether the k largest logits are those of the k categories shown; a tie or NaN is not.

    Examples
    --------
    >>> exactly_right(np.array([[2.0, 1.0, 0.0], [2.0, 0.0, 1.0]]), np.array([True, True, False]))
    array([ True, False])
    """
    least = np.where(shown, logits, np.inf).min(-1)
    return least > np.where(shown, -np.inf, logits).max(-1)
