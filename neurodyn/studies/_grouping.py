"""How phases group the objects of a scene: over time, and where two solvers end."""

from collections.abc import Mapping

import torch
import xarray as xr
from jaxtyping import Bool, Int
from torch import Tensor

import neurodyn as nd
from neurodyn.analysis.groups import group_synchrony
from neurodyn.conditions import Measures
from neurodyn.dynamics import Dynamics, State
from neurodyn.phase_agreement import PhaseAgreement
from neurodyn.stimuli import Scenes


def numbered(masks: Bool[Tensor, "sample group y x"]) -> Int[Tensor, "sample y x"]:
    """Return which object each pixel belongs to, from 1 on: 0 the background, -1 several.

    Examples
    --------
    >>> masks = torch.tensor([[[[True, True, False]], [[False, True, False]]]])
    >>> numbered(masks)
    tensor([[[ 1, -1,  0]]])
    """
    which = 1 + masks.int().argmax(1)
    return torch.where(masks.sum(1) == 1, which, -masks.any(1).long())


def phase_groups(model: Dynamics, states: State, scenes: Scenes) -> Measures:
    """Return how the phases of the first layer group background and objects, (time, sample).

    "figure_ground": the distance of the mean phases of all objects' pixels and of the background;
    "between_objects": that of the mean phases of two objects, "within_objects": the resultant
    length within one, means over pairs and objects, pixels of several left out
    (`neurodyn.analysis.group_synchrony`). None for models without phases.
    """
    if not isinstance(model, PhaseAgreement):
        return {}
    phase = xr.DataArray(states[0].cpu().numpy(), dims=("time", "sample", "y", "x"))
    objects = xr.DataArray(numbered(scenes.masks).numpy(), dims=("sample", "y", "x"))
    figure = group_synchrony(phase, abs(objects).clip(max=1), unit=("y", "x"), background=True)
    each = group_synchrony(phase, objects, unit=("y", "x"))
    within = each.group_order_parameter.mean("group")
    return {
        name: (torch.from_numpy(found.values), long_name, units)
        for name, found, long_name, units in (
            ("figure_ground", figure.phase_gap, "distance of figure from ground", "rad"),
            ("between_objects", each.phase_gap, "distance between objects' mean phases", "rad"),
            ("within_objects", within, "resultant length within objects", "1"),
        )
    }


def at_the_end(
    model: Dynamics, scenes: Scenes, found: xr.Dataset, runs: Mapping[str, xr.DataTree]
) -> xr.Dataset:
    """Add to a `discretisation` what two solvers end with.

    "figure_ground" (solver, sample), see `phase_groups`; "step_limit" (sample), the largest step
    that is stable where the adaptive solver ends; "phase" (solver, time, y, x), the third layer in
    the first scene.
    """
    names = [variable.name for variable in model.variables]
    ends = {
        solver: tuple(torch.from_numpy(run.layers[n]["phase"].values[-1:]) for n in names)
        for solver, run in runs.items()
    }
    apart = [phase_groups(model, end, scenes)["figure_ground"] for end in ends.values()]
    gaps = torch.cat([gap for gap, _, _ in apart]).numpy()
    rest = tuple(phase[0] for phase in ends["adaptive"])
    limit = nd.step_limit(model, scenes.images, rest, symmetry="shift", tol=0.05).limit.values
    third = [run.layers[names[2]]["phase"].isel(sample=0, drop=True) for run in runs.values()]
    about = {
        "figure_ground": ("distance of figure from ground at the end", "rad"),
        "step_limit": ("largest stable step where the adaptive solver ends", "1"),
        "phase": ("phase of the third layer in the first scene", "rad"),
    }
    whole = found.assign(
        figure_ground=(("solver", "sample"), gaps),
        step_limit=("sample", limit),
        phase=xr.concat(third, found.solver),
    )
    for name, (long_name, units) in about.items():
        whole[name].attrs = {"long_name": long_name, "units": units}
    return whole
