"""What the studies of global agreement share: weights, constants, two solvers, the page."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

import neurodyn as nd
from neurodyn.agreement import GlobalAttention
from neurodyn.analysis.discretisation import discretisation
from neurodyn.cells import cell, weights_hash
from neurodyn.conditions import Way
from neurodyn.dynamics import Dynamics, State
from neurodyn.models.gattanet import load_shipped
from neurodyn.models.weights import load_weights
from neurodyn.phase_agreement import PhaseAgreement
from neurodyn.stimuli import Scenes

STEPS = 15
Runs = Mapping[str, xr.DataTree]
CONSTANTS = {
    "epsilon": "agreement that neither pulls nor pushes, as learnt",
    "kappa": "temperature, as learnt",
    "modulation": "a_F of the connections into a layer, as learnt",
    "gain": "gain per agreement of a layer, as learnt",
}


def with_weights(model: nn.Module, stem: str, weights: Path | None) -> nn.Module:
    """Load the weights that ship with the package, or those of a folder of one's own."""
    if weights is None:
        load_shipped(model, stem)
        return model
    path = Path(weights) / f"{stem}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: give the folder that `neurodyn train` has written the weights "
            "of all kinds and training seeds to"
        )
    load_weights(model, safetensors.torch.load(path.read_bytes()), path.name)
    return model


def learnt(ways: Sequence[Way], seeds: Sequence[int]) -> xr.Dataset:
    """Return the constants that networks learnt.

    Parameters
    ----------
    ways, seeds : sequence
        Which networks.

    Returns
    -------
    Dataset
        Of phases "epsilon" and "kappa" (way, seed) and "modulation" (way, seed, layer), a_F of the
        connections into a layer; of attention "gain" (way, seed, layer). NaN where networks have
        none, and of phases that stay as they start.
    """
    every = {(way.label, seed): constants(way.make(seed)) for way in ways for seed in seeds}
    axes: dict[str, list[Any]] = {"way": [way.label for way in ways], "seed": list(seeds)}
    there = dict.fromkeys(name for found in every.values() for name in found)
    parts = []
    for name in [name for name in CONSTANTS if name in there]:
        none = next(found[name] for found in every.values() if name in found) * np.nan
        values = [[every[way, k].get(name, none) for k in seeds] for way in axes["way"]]
        rows = [xr.concat(row, xr.DataArray(axes["seed"], dims="seed", name="seed"))
                for row in values]  # fmt: skip
        whole = xr.concat(rows, xr.DataArray(axes["way"], dims="way", name="way"))
        parts.append(whole.rename(name).assign_attrs(long_name=CONSTANTS[name], units="1"))
    result = xr.merge(parts)
    result.layer.attrs = {"long_name": "layer", "units": "1"}
    return result


def constants(model: nn.Module) -> dict[str, xr.DataArray]:
    """Return the constants of one network by name, those of layers (layer)."""
    if isinstance(model, GlobalAttention):
        return {"gain": by_layer(model, model.config()["gain"])}
    if not isinstance(model, PhaseAgreement):
        return {}
    config = model.config()
    found = {"modulation": by_layer(model, [np.nan, *config["modulation"]])}
    if not model.frozen:
        found |= {"epsilon": xr.DataArray(config["desynchrony"])}
        found |= {"kappa": xr.DataArray(config["temperature"])}
    return found


def by_layer(model: Dynamics, values: Sequence[float]) -> xr.DataArray:
    """Return one value for each layer of a network."""
    return xr.DataArray(list(values), {"layer": [v.name for v in model.variables]}, ("layer",))


def two_solvers(
    path: Path,
    model: Dynamics,
    scenes: Scenes,
    start: State | None = None,
    more: Callable[[Dynamics, Scenes, xr.Dataset, Runs], xr.Dataset] | None = None,
) -> xr.Dataset:
    """Compare 15 Euler steps with the differential equation (dopri5), once; keep what is found.

    Parameters
    ----------
    path : path
        Where it is kept, as `neurodyn.cells.cell` does.
    model : Dynamics
        The network.
    scenes : Scenes
        What it sees.
    start : tuple of Tensor, optional
        The state at t = 0; the dynamics' own by default.
    more : callable
        Adds to what `discretisation` finds, given the model, the scenes, that and the runs by
        solver, "euler" and "adaptive". Its name must change when what it adds does.
    """
    tolerances: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-3}

    def compute() -> xr.Dataset:
        times = [float(t) for t in range(STEPS + 1)]
        about: dict[str, Any] = {"initial_state": start}
        runs = {
            "euler": nd.simulate(model, scenes.images, times, method="euler", **about),
            "adaptive": nd.simulate(
                model, scenes.images, times, method="dopri5", **tolerances, **about
            ),
        }
        found = discretisation(*runs.values())
        return found if more is None else more(model, scenes, found, runs)

    config = tolerances | {
        "steps": STEPS, "weights": weights_hash(model), "model": str(model.config()),
        "images": weights_hash(nn.ParameterList([scenes.images])),
        "start": None if start is None else weights_hash(nn.ParameterList(start)),
        "more": None if more is None else more.__name__,
        "neurodyn": nd.__version__, "torch": str(torch.__version__),
    }  # fmt: skip
    return cell(path, config, compute)


def described(
    result: xr.Dataset, title: str, config: Mapping[str, Any], provenance: str, references: str
) -> xr.Dataset:
    """Return a study's result with the attributes that say what it is."""
    return result.assign_attrs(
        title=title, provenance=provenance, references=references,
        neurodyn_version=nd.__version__, torch_version=str(torch.__version__),
        seed=config["seed"], rtol=config["rtol"], atol=config["atol"],
        nfe=int(result.nfe.sum()), config=json.dumps(config, sort_keys=True, default=str),
    )  # fmt: skip


def write_page(folder: Path, page: str, figures: Mapping[str, Figure]) -> None:
    """Write figures by name and the summary, and print it."""
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=200)
    (folder / "summary.md").write_text(page, encoding="utf-8")
    print(page)
    print(f"written to {folder}")
