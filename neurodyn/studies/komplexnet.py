"""Does synchrony help to tell several objects apart? KomplexNet against its controls."""

import json
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

import neurodyn as nd
from neurodyn import analysis, models
from neurodyn.analysis import synchrony_report as report
from neurodyn.conditions import Condition, Measures, Presentation, Way, check_whole, present
from neurodyn.dynamics import Dynamics, State
from neurodyn.models.binding import ideal_phases, synchrony_loss
from neurodyn.stimuli import Scenes

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


CONDITIONS = (
    Condition("2 digits"),
    Condition("3 digits", {"objects": 3}),
    Condition("2 digits, noise", {"noise": 0.1**0.5}),
    Condition("2 digits, overlap", {"overlap": 0.25}),
)


def trained(kind: str, seed: int) -> nn.Module:
    """Return one of the shipped networks."""
    return models.komplexnet(kind, pretrained=True, seed=seed)  # type: ignore[arg-type]


def with_ideal_phases(seed: int) -> nn.Module:
    """Return KomplexNet's own weights, with phases that stay as they are given."""
    model = models.komplexnet("ideal")
    model.load_state_dict(trained("komplexnet", seed).state_dict())
    return model


def random_start(scenes: Scenes, seed: int) -> State:
    """Return random phases at t = 0 of each scene, the same for every network."""
    return (phases_at_zero(len(scenes), seed),)


def ideal_start(scenes: Scenes, seed: int) -> State:
    """Return the phases of a perfect segmentation."""
    return (ideal_phases(scenes.masks.float()),)


WAYS = (
    Way("real", partial(trained, "real")),
    Way("random", partial(trained, "random"), start=random_start),
    Way("ideal", partial(trained, "ideal"), start=ideal_start),
    Way("ideal, substituted", with_ideal_phases, start=ideal_start),
    Way("komplexnet", partial(trained, "komplexnet"), start=random_start),
    Way("komplexnet, ODE", partial(trained, "komplexnet"), "bosh3", random_start),
    Way("feedback", partial(trained, "feedback"), start=random_start),
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
    shown = Presentation(
        images, range(STEPS + 1), seed=seed, rtol=rtol, atol=atol, batch_size=batch_size,
        device=device, measure=binding,
    )  # fmt: skip
    answers = present(folder / "cells", shown, CONDITIONS, WAYS, training_seeds)
    result = analysis.over_training_seeds(answers, reference="real")
    result.attrs |= {
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


def binding(model: Dynamics, states: State, scenes: Scenes) -> Measures:
    """Return how well the phases bind the digits: synchrony, and clusters at every 5th step."""
    (phase,) = states
    amplitude = model.drive(scenes.images.to(phase))["amplitude"]
    masks = scenes.masks.to(phase)
    different = phase[:1] if getattr(model, "frozen", False) else phase
    loss, gap = zip(*(synchrony_loss(p, amplitude, masks)[:2] for p in different), strict=True)
    found = [torch.from_numpy(segmented(p, amplitude, scenes.masks)) for p in different[::EVERY]]
    agreement = torch.full(phase.shape[:2], torch.nan, dtype=torch.float64)
    agreement[::EVERY] = torch.stack(found)
    every = (len(phase), len(masks))
    return {
        "synchrony_loss": (
            torch.stack(loss).expand(every), "distance from one cluster of phases per digit", "1",
        ),
        "order_parameter": (
            1 - torch.stack(gap).expand(every), "order parameter within digits", "1",
        ),
        "foreground_ari": (
            agreement, f"foreground ARI of phase clusters, at every {EVERY}th step", "1",
        ),
    }  # fmt: skip


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
