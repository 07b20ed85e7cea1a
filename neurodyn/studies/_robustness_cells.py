"""The cells of the study of robustness over time: corrupted images, attacks, reconstructions."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor

import neurodyn as nd
from neurodyn.analysis import feedback_report as report
from neurodyn.analysis.feedback_plots import reconstruction_strip
from neurodyn.analysis.manifold import clean_distance
from neurodyn.classifier import as_classifier
from neurodyn.feedback_terms import record_reconstructions
from neurodyn.models import feedback_nets
from neurodyn.robustness import answers_under_attack
from neurodyn.stimuli.corrupt import corrupt
from neurodyn.studies import _feedback as shared
from neurodyn.studies._subjects import Subject

ATTACKS = {"pgd": "PGD, untargeted", "targeted-bim": "BIM from a random start to a target"}
AWAY, CATEGORIES = 8, 10
"""From an image's category to the target: the authors' 800 of 1,000, in ten."""
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "predify": ("sequential", {"method": "euler"}),
    "ode": ("simultaneous", shared.TOLERANCES),
}


def ruled(subject: Subject, rule: str, config: Mapping[str, Any], seed: int) -> nd.PredictiveCoding:
    """Return a network with the same rates in all layers, under one of the rules."""
    model = subject.model(seed, config["weights"], update=RULES[rule][0])
    names = list(model.taps.names)
    beta, lam, alpha = (config[name] for name in ("feedforward", "feedback", "error"))
    rate = xr.DataArray(
        np.tile([[beta], [lam], [1 - beta - lam], [alpha]], len(names)),
        {"term": ["feedforward", "feedback", "memory", "error"], "layer": names},
        ("term", "layer"),
    )
    return feedback_nets.set_rates(model, rate)


def stimulus(
    subject: Subject, noise: tuple[str, int], n: int, config: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return clean or corrupted test images, and what they show."""
    images, shown = subject.images(n)
    kind, severity = noise
    if severity:
        images = corrupt(images, kind, severity, seed=config["seed"], table=config["table"])
    return images, shown


def corrupted(folder: Path, subject: Subject, rule: str, config: Mapping[str, Any]) -> xr.Dataset:
    """Return the answers to corrupted images by one rule, and distances to clean states."""
    n = config["images" if rule == "predify" else "ode_images"]
    times = [float(t) for t in range(config["duration"] + 1)]
    _, how = RULES[rule]
    noises = {"clean": ("clean", 0)} | {
        f"{kind} {severity}": (kind, severity)
        for kind in config["kinds"] for severity in config["severities"]
    }  # fmt: skip

    def make(label: str, seed: int) -> tuple[nd.PredictiveCoding, Tensor, Tensor]:
        model = ruled(subject, rule, config, seed)
        images, shown = stimulus(subject, noises[label], n, config)
        clean = subject.images(min(n, config["near_images"]))[0]
        return model, torch.cat([images, clean]), shown  # clean ones last, for the distance

    compute = partial(robust, times, how, config["batch_size"])
    axes = {"noise": list(noises), "seed": list(config["training_seeds"])}
    about = {"times": times, **how, "batch_size": config["batch_size"], "table": config["table"]}
    cells = folder / "cells" / subject.label / rule
    found = shared.run_cells(cells, axes, about, make, compute, config["device"])
    found = found.assign_coords(
        noise_type=("noise", [kind for kind, _ in noises.values()]),
        noise_level=("noise", [severity for _, severity in noises.values()]),
    )
    each = report.mce_by_seed(found.correct.isel(noise=slice(1, None)))
    summary = report.mce_summary(each)
    return found.assign(mce=each, mce_mean=summary.mce, mce_mean_ci=summary.mce_ci)


def robust(
    times: Sequence[float], how: Mapping[str, Any], batch_size: int,
    model: nd.PredictiveCoding, images: Tensor, shown: Tensor,
) -> xr.Dataset:  # fmt: skip
    """Compute one cell: answers, and distances of the first images from their clean selves."""
    noisy, clean = images[: len(shown)], images[len(shown) :]
    found = shared.answers(times, how, batch_size, model, noisy, shown)
    far: dict[str, list[np.ndarray]] = {"distance": [], "distance_other": []}
    for rows in torch.arange(len(clean)).tensor_split(max(1, len(clean) // max(2, batch_size))):
        runs = [
            nd.simulate(model, x[rows], list(times), batch_size=batch_size, **how)
            for x in (noisy, clean)
        ]
        others = runs[1].map_over_datasets(
            lambda data: data.roll(sample=1) if "sample" in data.dims else data
        )
        for name, run in (("distance", runs[1]), ("distance_other", others)):
            far[name].append(clean_distance(runs[0], run, resamples=100).distance.values)
    about = {"long_name": "correlation distance from the clean representation", "units": "1"}
    for name, each in far.items():
        found[name] = (("layer", "near", "time"), np.concatenate(each, 1), about)
    found.distance_other.attrs["long_name"] += " of another image"
    return found.assign_coords(layer=list(model.taps.names))


def attacked(folder: Path, subject: Subject, config: Mapping[str, Any]) -> xr.Dataset:
    """Return the answers under white-box attack at each time, by the published rule."""
    settings = ("attack_steps", "attack_times", "attack", "batch_size", "seed")
    about = {name: config[name] for name in settings}

    def compute(
        epsilon: float, model: nd.PredictiveCoding, images: Tensor, shown: Tensor
    ) -> xr.Dataset:
        classifier = as_classifier(model, list(config["attack_times"]), method="euler")
        found = answers_under_attack(
            classifier, images, shown, [epsilon], steps=config["attack_steps"],
            seeds=[config["seed"]], batch_size=config["batch_size"],
            targets=(shown + AWAY) % CATEGORIES if config["attack"] == "targeted-bim" else None,
        )  # fmt: skip
        return found.isel(epsilon=0, seed=0, drop=True)

    def make(seed: int) -> tuple[nd.PredictiveCoding, Tensor, Tensor]:
        return (ruled(subject, "predify", config, seed), *subject.images(config["attack_images"]))

    each = []
    for epsilon in config["epsilons"]:
        cells = folder / "cells" / subject.label / f"attack-{epsilon:g}"
        axes = {"seed": list(config["training_seeds"])}
        known = about | {"epsilon": epsilon}
        each.append(shared.run_cells(
            cells, axes, known, make, partial(compute, epsilon), config["device"]
        ))  # fmt: skip
    strengths = xr.DataArray(list(config["epsilons"]), dims="epsilon", name="epsilon")
    return xr.concat(each, strengths, data_vars=["correct", "fooled", "nfe"])


def strip(subject: Subject, config: Mapping[str, Any]) -> Figure:
    """Draw how the first network reconstructs the first image, clean and most corrupted."""
    model = ruled(subject, "predify", config, config["training_seeds"][0])
    noises = {"clean": ("clean", 0)}
    noises |= {f"{k} {max(config['severities'])}": (k, max(config["severities"]))
               for k in config["kinds"][:4]}  # fmt: skip
    times = [float(t) for t in range(config["duration"] + 1)]
    shown, given = [], []
    for noise in noises.values():
        images, _ = stimulus(subject, noise, 1, config)
        shown.append(record_reconstructions(model, images, times, method="euler"))
        given.append(xr.DataArray(images.numpy(), dims=("sample", "channel", "y", "x")))
    axis = xr.DataArray(list(noises), dims="noise", name="noise")
    return reconstruction_strip(
        xr.concat(shown, axis), xr.concat(given, axis), frames=min(6, len(times))
    )
