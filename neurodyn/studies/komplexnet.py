"""Does synchrony help to tell several objects apart? KomplexNet against its controls."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

import neurodyn as nd
from neurodyn import analysis, models
from neurodyn.analysis import synchrony_report as report
from neurodyn.cells import cell, in_parallel, weights_hash
from neurodyn.conditions import check_whole, top_recall
from neurodyn.models.binding import ideal_phases, synchrony_loss

STEPS = 15
EVERY = 5
"""Steps between two clusterings of the phases."""
REFERENCES = "Muzellec, Alamia, Serre & VanRullen (2025), arXiv:2502.21077"
PUBLISHED = {
    ("2 digits", "feedback"): (0.875, 0.962),
    ("2 digits", "komplexnet"): (0.864, 0.949),
    ("2 digits", "ideal"): (np.nan, 0.950),
    ("2 digits", "real"): (np.nan, 0.937),
    ("2 digits", "random"): (np.nan, 0.909),
    ("3 digits", "feedback"): (0.767, 0.873),
    ("3 digits", "komplexnet"): (0.754, 0.856),
    ("3 digits", "ideal"): (np.nan, 0.857),
    ("3 digits", "real"): (np.nan, 0.793),
    ("3 digits", "random"): (np.nan, 0.775),
}
"""Digitised from the authors' figure, +-0.002: accuracies at the first and the last step, of an
unknown definition of accuracy for several digits."""


@dataclass(frozen=True)
class Scene:
    """One condition: how the scenes are made."""

    label: str
    settings: dict[str, Any]


SCENES = (
    Scene("2 digits", {"objects": 2}),
    Scene("3 digits", {"objects": 3}),
    Scene("2 digits, noise", {"objects": 2, "noise": 0.1**0.5}),
    Scene("2 digits, overlap", {"objects": 2, "overlap": 0.25}),
)


@dataclass(frozen=True)
class Way:
    """One way to answer: which weights, which phases, which solver."""

    label: str
    weights: Literal["real", "random", "ideal", "komplexnet", "feedback"]
    phases: Literal["none", "random", "ideal", "synchronise"]
    method: str = "euler"


WAYS = (
    Way("real", "real", "none"),
    Way("random", "random", "random"),
    Way("ideal", "ideal", "ideal"),
    Way("ideal, substituted", "komplexnet", "ideal"),
    Way("komplexnet", "komplexnet", "synchronise"),
    Way("komplexnet, ODE", "komplexnet", "synchronise", "bosh3"),
    Way("feedback", "feedback", "synchronise"),
)


def komplexnet(
    *,
    out: str | Path = "results/komplexnet",
    images: int = 96,
    training_seeds: tuple[int, ...] = (0, 1, 2),
    rtol: float = 1e-3,
    atol: float = 1e-3,
    batch_size: int = 16,
    seed: int = 1000,
    device: str = "cpu",
) -> xr.Dataset:
    """Several digits at once: KomplexNet over time against networks without its synchrony.

    The shipped networks, trained on two digits from three seeds each, say which digits are in
    scenes they were not trained on: two digits, three, two under Gaussian noise (variance 0.1), two
    that overlap. KomplexNet without and with feedback, the real-valued twin, the complex network
    with random phases and with ideal phases (trained so, and KomplexNet's own weights with ideal
    phases substituted); Euler's method with the published 15 steps of 1, and an adaptive solver.

    Parameters
    ----------
    out : path
        Folder for komplexnet.nc, accuracy.png, accuracy.svg, phases.png, film.gif, summary.md and
        cells/, where each cell (scenes x training seed x way) is kept as soon as it is computed.
    images : int
        Scenes of each kind.
    training_seeds : tuple of int
        Which of the shipped networks, 0, 1, 2: the unit of the intervals.
    rtol, atol : float
        Tolerances of the adaptive solver (bosh3).
    batch_size : int
        Scenes solved at a time; those of a batch share their adaptive steps.
    seed : int
        Of the scenes and of the phases at t = 0, which all networks share.
    device : str
        Where torch computes.

    Returns
    -------
    Dataset
        "exact" (scene, way, seed, sample, time), whether the digits shown are those with the
        largest logits, as many as there are; "recall", their share among those; "synchrony_loss",
        0 for one cluster of phases per digit, evenly spread; "order_parameter", of the phases
        within a digit; "foreground_ari", of clusters of phases with the digits, at every 5th
        step; "nfe" (scene, way, seed); "accuracy" and means of the others, with
        intervals over training seeds (Student's t), and "difference" from the real twin, paired
        by training seed.

    References
    ----------
    Muzellec, Alamia, Serre & VanRullen (2025), arXiv:2502.21077.
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    check_whole(training_seeds, images=(images, 1), batch_size=(batch_size, 1), seed=(seed, 0))
    folder = Path(out)
    answers = run_cells(folder / "cells", **config)
    result = analysis.over_training_seeds(answers, reference="real")
    result.attrs = {
        "title": "Accuracy and synchrony over time for scenes of several digits",
        "neurodyn_version": nd.__version__,
        "torch_version": str(torch.__version__),
        "seed": seed,
        "config": json.dumps(config, sort_keys=True),
        "solver": "euler (step 1), bosh3",
        "rtol": rtol,
        "atol": atol,
        "nfe": int(result.nfe.sum()),
        "references": REFERENCES,
    }
    write(result, folder, training_seeds[0], seed)
    return result


def run_cells(
    folder: Path, images: int, training_seeds: Sequence[int], rtol: float, atol: float,
    batch_size: int, seed: int, device: str,
) -> xr.Dataset:  # fmt: skip
    """Return what every way answered in every cell, computing those that are not on disk yet."""

    def one(scene: Scene, way: Way, training_seed: int) -> xr.Dataset:
        model = models.komplexnet(way.weights, pretrained=True, seed=training_seed)
        solve: dict[str, Any] = {"method": way.method, "batch_size": batch_size}
        solve |= {"rtol": rtol, "atol": atol} if way.method != "euler" else {}
        about = {"scene": scene.label, "way": way.label, "seed": training_seed}
        where = {"scenes": scene.settings, "images": images, "start": seed, "device": device}
        versions = {"neurodyn": nd.__version__, "torch": str(torch.__version__)}
        config = about | solve | where | versions | {"weights": weights_hash(model)}
        name = "_".join(str(value) for value in about.values()).replace(", ", "-").replace(" ", "_")
        compute = partial(answered, scene, way, model.to(device), solve, images, seed)
        return cell(folder / f"{name}.nc", config, compute)

    every = [(scene, way, k) for scene in SCENES for way in WAYS for k in training_seeds]
    found = in_parallel([partial(one, *each) for each in every], torch.get_num_threads())
    axes = [("scene", [s.label for s in SCENES]), ("way", [w.label for w in WAYS]),
            ("seed", list(training_seeds))]  # fmt: skip
    indices = [{d: [v] for (d, _), v in zip(axes, (s.label, w.label, k), strict=True)}
               for s, w, k in every]  # fmt: skip
    cells = [data.expand_dims(index) for data, index in zip(found, indices, strict=True)]
    whole = xr.combine_by_coords(cells, combine_attrs="override")
    assert isinstance(whole, xr.Dataset)
    ordered = whole.sel({dim: labels for dim, labels in axes})
    about = {
        "scene": "kind of scene",
        "way": "network and phases",
        "seed": "training seed",
        "sample": "scene",
        "time": "time (published steps)",
    }
    for dim, long_name in about.items():
        ordered[dim].attrs = {"long_name": long_name, "units": "1"}
    return ordered


def answered(
    scene: Scene, way: Way, model: nn.Module, solve: dict[str, Any], images: int, seed: int
) -> xr.Dataset:
    """Compute one cell."""
    scenes = nd.stimuli.multi_digits(images, split="test", seed=seed, **scene.settings)
    parameter = next(model.parameters())
    stimulus, target = scenes.images.to(parameter), scenes.target
    times = np.arange(STEPS + 1.0)
    nfe = 0
    if not isinstance(model, nd.Kuramoto):
        with torch.no_grad():
            logits = model(stimulus).cpu()[None].expand(len(times), -1, -1)
        loss = order = torch.full(logits.shape[:2], torch.nan)
        agreement = np.full(logits.shape[:2], np.nan)
    else:
        frozen = way.phases != "synchronise"
        start = (
            ideal_phases(scenes.masks.float())
            if way.phases == "ideal"
            else phases_at_zero(images, seed)
        ).to(parameter)
        parts, losses, ends, amplitudes = [], [], [], []
        for rows in torch.arange(images).split(solve["batch_size"]):
            drive = model.drive(stimulus[rows])
            if frozen:
                states = start[rows][None].expand(len(times), -1, -1, -1, -1)
                logits = model.readout((start[rows],), drive)[None].expand(len(times), -1, -1)
            else:
                how = {name: value for name, value in solve.items() if name != "batch_size"}
                run = nd.integrate(
                    model, stimulus[rows], times.tolist(), initial_state=(start[rows],),
                    gradient="none", **how,
                )  # fmt: skip
                assert run.readout is not None
                states, logits, nfe = run.states[0], run.readout, nfe + run.stats.evaluations
            masks = scenes.masks[rows].to(parameter)
            apart = [synchrony_loss(p, drive["amplitude"], masks)[:2] for p in states]
            losses.append(torch.stack([torch.stack(values) for values in apart], dim=1))
            parts.append(logits)
            ends.append(states[::EVERY])
            amplitudes.append(drive["amplitude"])
        logits, (loss, gap) = torch.cat(parts, dim=1).cpu(), torch.cat(losses, dim=2).cpu()
        order = 1 - gap
        agreement = np.full(loss.shape, np.nan)
        seen = torch.cat(ends, dim=1)
        different = seen[:1] if frozen else seen
        agreement[::EVERY] = [
            segmented(at, torch.cat(amplitudes), scenes.masks) for at in different
        ]
    recall = torch.stack([top_recall(at, target) for at in logits])
    dims = ("time", "sample")
    about = {
        "exact": (recall == 1, "all digits right"),
        "recall": (recall, "share of the digits found"),
        "synchrony_loss": (loss, "distance from one cluster of phases per digit"),
        "order_parameter": (order, "order parameter within digits"),
    }
    arrays = {
        name: (dims, values.detach().numpy(), {"long_name": text, "units": "1"})
        for name, (values, text) in about.items()
    }
    coords = {"time": times, "sample": np.arange(images)}
    ari = {"long_name": "foreground ARI of phase clusters", "units": "1"}
    ari["comment"] = f"at every {EVERY}th step"
    calls = {
        "foreground_ari": (dims, agreement, ari),
        "nfe": ((), nfe, {"long_name": "evaluations of the right-hand side", "units": "1"}),
    }
    return xr.Dataset(arrays | calls, coords)


def segmented(phase: Tensor, amplitude: Tensor, masks: Tensor) -> np.ndarray:
    """Return how well clusters of phases, summed over channels, agree with the objects."""
    z = torch.polar(amplitude.tanh(), phase).sum(1).detach().cpu().numpy()
    data = [xr.DataArray(x, dims=("sample", "y", "x")) for x in (np.angle(z), np.abs(z))]
    labels = analysis.cluster_phases(*data, clusters=masks.shape[1])
    number = 1 + masks.int().argmax(1)
    shown = torch.where(masks.sum(1) == 1, number, torch.where(masks.any(1), -1, 0))
    truth = xr.DataArray(shown.numpy(), dims=("sample", "y", "x"))
    return analysis.binding_quality(labels, truth).foreground_ari.values


def phases_at_zero(images: int, seed: int) -> Tensor:
    """Return the random phases at t = 0 of each scene, the same for every network."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.pi * torch.rand(images, 8, 32, 32, generator=generator) - torch.pi


def write(result: xr.Dataset, folder: Path, training_seed: int, seed: int) -> None:
    """Write the record, the figures and the summary, and print the table."""
    nd.save(result, folder / "komplexnet.nc")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "neurodyn"}):
        figure = analysis.accuracy_and_synchrony(result)
        figure.savefig(folder / "accuracy.png", dpi=200)
        figure.savefig(folder / "accuracy.svg", metadata={"Date": None})
    scenes = nd.stimuli.multi_digits(1, split="test", seed=seed)
    model = models.komplexnet("komplexnet", pretrained=True, seed=training_seed)
    assert isinstance(model, nd.Kuramoto)
    run = nd.simulate(
        model, scenes.images, np.linspace(0, STEPS, 46).tolist(), method="bosh3", rtol=1e-3,
        atol=1e-3, initial_state=(phases_at_zero(1, seed),), record=["phase", "amplitude"],
    )  # fmt: skip
    data = run.layers["phase"].to_dataset().isel(sample=0)
    shown = scenes.to_xarray().isel(sample=0)
    image = shown.image.isel(channel=0)
    analysis.phase_strip(data, image, shown["mask"]).savefig(folder / "phases.png", dpi=200)
    analysis.phase_film(data, folder / "film.gif", image=image, mask=shown["mask"])
    page = report.page(result, PUBLISHED)
    (folder / "summary.md").write_text(page, encoding="utf-8")
    print(page)
    print(f"written to {folder}")
