"""Does synchrony by global agreement help? GASPnet against its controls, and its step."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import nn

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis import agreement_report as report
from neurodyn.analysis import agreement_tables as tables
from neurodyn.analysis.agreement_plots import phase_layers
from neurodyn.analysis.cluster_histogram import cluster_histogram
from neurodyn.analysis.discretisation_plots import discretisation_figure
from neurodyn.analysis.report import markdown
from neurodyn.conditions import Condition, Presentation, Way, check_whole, present
from neurodyn.dynamics import State
from neurodyn.models.gaspnet import KINDS, SHAPES, ideal_state
from neurodyn.models.gaspnet import gaspnet as network
from neurodyn.models.two_stages import READ
from neurodyn.phase_agreement import PROVENANCE, PhaseAgreement
from neurodyn.studies import _agreement as shared
from neurodyn.studies._grouping import at_the_end, numbered, phase_groups

REFERENCES = "Alamia, Muzellec, Serre & VanRullen (2025), arXiv:2507.16674"
SOLVER = "bosh3"
CONDITIONS = (
    Condition("2 digits"),
    Condition("Gaussian sd .05", {"noise": 0.05}),
    Condition("Gaussian sd .1", {"noise": 0.1}),
    Condition("salt-pepper .02", {"noise": 0.02, "noise_type": "salt_pepper"}),
    Condition("salt-pepper .05", {"noise": 0.05, "noise_type": "salt_pepper"}),
    Condition("3 digits", {"objects": 3}),
    Condition("overlap", {"overlap": 0.25}),
)


def trained(kind: str, weights: Path | None, seed: int) -> nn.Module:
    """Return one of the shipped networks, or one of one's own."""
    model = network(kind, seed=seed)  # type: ignore[arg-type]
    return shared.with_weights(model, f"gaspnet-{kind}-{seed}", weights)


def synchronous(weights: Path | None, seed: int, kind: str = "gaspnet") -> PhaseAgreement:
    """Return a trained GASPnet."""
    model = trained(kind, weights, seed)
    assert isinstance(model, PhaseAgreement)
    return model


def substituted(kind: str, weights: Path | None, seed: int) -> nn.Module:
    """Return GASPnet's own weights in the form of one of its controls."""
    model = network(kind, seed=seed)  # type: ignore[arg-type]
    model.load_state_dict(synchronous(weights, seed).state_dict())
    if kind == "eps0":
        assert isinstance(model, PhaseAgreement)
        torch.nn.init.zeros_(model.epsilon)
    return model


def without_phases(weights: Path | None, seed: int) -> nn.Module:
    """Return GASPnet's weights with a_F = 0: the network alone."""
    return synchronous(weights, seed).backbone


def near_zero(scenes: nd.stimuli.Scenes, seed: int) -> State:
    """Return the phases at t = 0, the same for all networks: normal, 0.1 rad."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(0.1 * torch.randn(len(scenes), *s, generator=generator) for s in SHAPES)


def uniform(scenes: nd.stimuli.Scenes, seed: int) -> State:
    """Return random phases on the whole circle."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(2 * np.pi * torch.rand(len(scenes), *s, generator=generator) for s in SHAPES)


def ideal(scenes: nd.stimuli.Scenes, seed: int) -> State:
    """Return the phases of a perfect segmentation, in convolutional layers."""
    return ideal_state(scenes.masks)


def ways(weights: Path | None) -> tuple[Way, ...]:
    """Return networks and solvers; by rk4: trained so; substituted: "gaspnet" but for one part."""
    kinds = {kind: partial(trained, kind, weights) for kind in KINDS}
    return (
        Way("cnn", kinds["cnn"]),
        Way("longer cnn", kinds["longer"]),
        Way("wider cnn", kinds["matched"]),
        Way("gattanet", kinds["gattanet"]),
        Way("random phases", kinds["random"], start=uniform),
        Way("ideal phases", kinds["ideal"], start=ideal),
        Way("ideal, substituted", partial(substituted, "ideal", weights), start=ideal),
        Way("a_F = 0, substituted", partial(without_phases, weights)),
        Way("epsilon = 0", kinds["eps0"], start=near_zero),
        Way("epsilon = 0, substituted", partial(substituted, "eps0", weights), start=near_zero),
        Way("one query for all", kinds["global"], start=near_zero),
        Way("taught by masks", kinds["synchrony"], start=near_zero),
        Way("gaspnet", kinds["gaspnet"], start=near_zero),
        Way("gaspnet, adaptive", kinds["gaspnet"], SOLVER, near_zero),
        Way("gaspnet by rk4", kinds["gaspnet-rk4"], start=near_zero),
        Way("gaspnet by rk4, adaptive", kinds["gaspnet-rk4"], SOLVER, near_zero),
    )


DRAWN = ("cnn", "longer cnn", "random phases", "ideal phases", "gaspnet", "gaspnet, adaptive")
SUBJECT = report.Subject(
    name="GASPnet", way="gaspnet",
    against=(
        "cnn", "longer cnn", "wider cnn", "gattanet", "random phases", "ideal phases",
        "ideal, substituted", "a_F = 0, substituted", "epsilon = 0", "epsilon = 0, substituted",
        "one query for all", "taught by masks",
    ),
    noisy=("Gaussian sd .05", "Gaussian sd .1", "salt-pepper .02", "salt-pepper .05"),
    trained=(READ["phases"][0], READ["phases"][-1]), clean="2 digits",
    two_by_two={
        ("euler", "euler"): "gaspnet",
        ("euler", "adaptive"): "gaspnet, adaptive",
        ("rk4", "euler"): "gaspnet by rk4",
        ("rk4", "adaptive"): "gaspnet by rk4, adaptive",
    },
)  # fmt: skip
LEARNT = {"epsilon": "epsilon", "kappa": "kappa", "modulation": "a_F"}
GROUPING = {
    "figure_ground": "figure from ground", "between_objects": "between objects",
    "within_objects": "R within objects",
}  # fmt: skip
FLIPPING = "untrained, temperature 0.1"
SETTING = "GASPnet and its controls, trained on pairs of digits (`neurodyn train gaspnet`)."


def gaspnet(
    *,
    out: str | Path = "results/gaspnet",
    images: int = 80,
    weights: Path | None = None,
    training_seeds: tuple[int, ...] = (0, 1, 2),
    duration: int = 8,
    rtol: float = 1e-3,
    atol: float = 1e-3,
    batch_size: int = 32,
    seed: int = 314159,
    device: str = "cpu",
) -> xr.Dataset:
    """Two digits at once: GASPnet over time against its controls; the dynamics against the step.

    The shipped networks, trained on two digits from three seeds each, say which digits are in
    scenes they were not trained on: two digits, clean and under noise (Gaussian, salt-and-pepper),
    three digits, two that overlap. Euler's method with a step of 1 (the published one is not
    known) and an adaptive solver, for weights that were trained with Euler's method and with rk4.
    Then, untrained, where Euler's step is too long and where it is not.

    Parameters
    ----------
    out : path
        Folder for gaspnet.nc, ``discretisation-*.nc``, the figures (accuracy, phases, clusters,
        discretisation), summary.md and cells/, where each cell (scenes x training seed x way) is
        kept as soon as it is computed.
    images : int
        Scenes of each kind.
    weights : path, optional
        The folder of ``neurodyn train gaspnet``, for networks of one's own in place of those that
        ship.
    training_seeds : tuple of int
        Which of the networks: 0, 1, 2, or those of `weights`. The unit of the intervals.
    duration : int
        Steps of 1. Networks are trained to answer after 2, 4 and 6; what comes later is drawn only.
    rtol, atol : float
        Tolerances of the adaptive solver (bosh3).
    batch_size : int
        Scenes solved at a time; those of a batch share their adaptive steps.
    seed : int
        Of the scenes and of the phases at t = 0, which all networks share. None of the default
        seed's was looked at before the networks and this study were done.
    device : str
        Where torch computes.

    Returns
    -------
    Dataset
        "exact" (scene, way, seed, sample, time), whether the digits shown are those with the
        largest logits, as many as there are; "recall", their share among those; of the first
        layer's phases "figure_ground" and "between_objects", distances of mean phases in radians,
        and "within_objects", the resultant length within a digit; "nfe" (scene, way, seed);
        "epsilon" and "kappa" (way, seed), "modulation" and "gain" (way, seed, layer), as learnt;
        "accuracy", means of the others, and "difference" from the plain network, with intervals
        over training seeds (Student's t).

    References
    ----------
    Alamia, Muzellec, Serre & VanRullen (2025), arXiv:2507.16674.
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    check_whole(
        training_seeds, weights is not None, images=(images, 1), duration=(duration, 3),
        batch_size=(batch_size, 1), seed=(seed, 0),
    )  # fmt: skip
    folder = Path(out)
    shown = Presentation(
        images, range(duration + 1), seed=seed, rtol=rtol, atol=atol, batch_size=batch_size,
        device=device, measure=phase_groups,
    )  # fmt: skip
    chosen = ways(weights)
    answers = present(folder / "cells", shown, CONDITIONS, chosen, training_seeds)
    result = analysis.over_training_seeds(answers, reference="cnn")
    result = result.merge(shared.learnt(chosen, training_seeds))
    title = "Accuracy and grouping over time for scenes of several digits"
    result = shared.described(result, title, config, PROVENANCE, REFERENCES)
    result.attrs["solver"] = f"euler (step 1), {SOLVER}"
    write(result, folder, shown, weights, training_seeds[0])
    return result


def steps(
    folder: Path, shown: Presentation, weights: Path | None, training_seed: int
) -> dict[str, xr.Dataset]:
    """Compare 15 Euler steps with the differential equation: untrained, and trained."""
    scenes = nd.stimuli.multi_digits(6, split="test", seed=shown.seed)
    start = near_zero(scenes, shown.seed)
    models = {}
    for temperature in (0.3, 0.1):
        model = network()
        assert isinstance(model, PhaseAgreement)
        torch.nn.init.constant_(model.log_kappa, math.log(temperature))
        models[f"untrained, temperature {temperature:g}"] = model
    models["trained"] = synchronous(weights, training_seed)
    found = {}
    for case, model in models.items():
        path = folder / f"discretisation-{case.replace(', ', '-').replace(' ', '-')}.nc"
        found[case] = shared.two_solvers(path, model, scenes, start, at_the_end)
    return found


def write(
    result: xr.Dataset, folder: Path, shown: Presentation, weights: Path | None, training_seed: int
) -> None:
    """Write records, figures and the summary, and print it."""
    nd.save(result, folder / "gaspnet.nc")
    found = steps(folder, shown, weights, training_seed)
    scenes = nd.stimuli.multi_digits(32, split="test", seed=shown.seed)
    model = synchronous(weights, training_seed)
    run = nd.simulate(
        model, scenes.images, [float(t) for t in shown.times], method="euler",
        initial_state=near_zero(scenes, shown.seed),
        record=[v.name for v in (*model.variables, *model.observables)],
    )  # fmt: skip
    image = scenes.to_xarray().image.isel(channel=0)
    objects = xr.DataArray(numbered(scenes.masks).numpy(), dims=("sample", "y", "x"))
    first = run.layers["conv1"]["phase"].isel(time=-1)
    verdicts = report.two_by_two(result, SUBJECT)
    flipping = found[FLIPPING]
    maps = {str(k): flipping.phase.sel(solver=k) for k in flipping.solver.values}
    figures = {
        "accuracy": analysis.accuracy_over_time(
            result.sel(way=list(DRAWN)), None, line="way", panel="scene"
        ),
        "phases": phase_layers(run, image, frames=min(6, len(shown.times))),
        "clusters": cluster_histogram(first, objects),
        "discretisation": discretisation_figure(flipping, verdicts, phases=maps, case=FLIPPING),
    }
    rows = [["case", "figure and ground apart by Euler, rad", "by dopri5", "largest stable step"]]
    for case, data in found.items():
        limit = data.step_limit.values
        gaps = [f"{gap:.2f}" for gap in data.figure_ground.mean("sample").values]
        rows.append([case, *gaps, f"{limit.min():.2f} to {limit.max():.2f}"])
    last = result.sel(scene=SUBJECT.clean, time=report.judged(result, SUBJECT))
    more = f"""**Constants learnt**: means over training seeds (least to largest); a_F of the
connections into a layer. Networks trained by rk4 may be in another regime than those by Euler.

{markdown(tables.constants_table(result, LEARNT))}

**Grouping** of {SUBJECT.clean} by phases of the first layer at t={last.time.item():g}: distances of
mean phases (rad) and resultant lengths, with 95% intervals over training seeds.

{markdown(tables.means_table(last, GROUPING))}

**Period 2.** Similarity of phases with those one and two steps earlier, after
{shared.STEPS} steps, means over {flipping.sizes["sample"]} scenes; a layer flips where lag 1 is
under .85 and lag 2 over it. The published step is not known: only its ratio to the temperature
matters. Figure and ground are mean phases of the first layer; the largest stable step is of the
linear flow where dopri5 ends, over scenes. Untrained: `gaspnet()` with another temperature.

{markdown(rows)}

{markdown(tables.flip_table(found))}"""
    captions = {
        "accuracy": "Accuracy over time", "phases": "Phases over time", "clusters": "Clusters",
        "discretisation": "Dynamics or step",
    }  # fmt: skip
    page = report.page(
        result, SUBJECT, "Global agreement of phases, and several digits", SETTING, more,
        [(captions[name], f"{name}.png") for name in figures],
    )  # fmt: skip
    shared.write_page(folder, page, figures)
