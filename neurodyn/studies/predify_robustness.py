"""Does predictive coding make networks more robust over time? Corruptions, attacks, manifolds."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor

import neurodyn as nd
from neurodyn.analysis import feedback_report as report
from neurodyn.analysis.attack_plots import attack_curve
from neurodyn.analysis.attack_success import attack_success
from neurodyn.analysis.feedback_plots import mce_curve, reconstruction_strip
from neurodyn.analysis.manifold import clean_distance
from neurodyn.analysis.report import markdown
from neurodyn.classifier import as_classifier
from neurodyn.conditions import check_whole
from neurodyn.feedback_terms import record_reconstructions
from neurodyn.models import feedback_nets
from neurodyn.robustness import answers_under_attack
from neurodyn.stimuli.corrupt import CORRUPTIONS, corrupt
from neurodyn.studies import _feedback as shared
from neurodyn.studies._feedback import Subject

PUBLISHED = "Choksi et al. (2021), Predify, arXiv:2106.02749"
EVERY = tuple(name for names in CORRUPTIONS.values() for name in names)
SCALES: dict[str, dict[str, Any]] = {
    "quick": {
        "images": 100, "ode_images": 20, "attack_images": 20, "near_images": 10,
        "kinds": ("gaussian_noise", "fog"), "severities": (3,),
        "epsilons": (0.05, 0.1), "attack_steps": 5, "attack_times": (0.0, 2.0, 5.0),
    },
    "laptop": {
        "images": 500, "ode_images": 40, "attack_images": 100, "near_images": 10,
        "kinds": ("gaussian_noise", "glass_blur", "fog"), "severities": (1, 3, 5),
        "epsilons": (0.05, 0.1), "attack_steps": 5, "attack_times": (0.0, 2.0, 5.0),
    },
    "paper": {
        "images": 2000, "ode_images": 2000, "attack_images": 1000, "near_images": 1000,
        "kinds": EVERY, "severities": (1, 2, 3, 4, 5),
        "epsilons": (0.02, 0.05, 0.1, 0.2), "attack_steps": 100,
        "attack_times": (0.0, 2.0, 4.0, 6.0, 8.0),
    },
}  # fmt: skip
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "predify": ("sequential", {"method": "euler"}),
    "ode": ("simultaneous", shared.TOLERANCES),
}


def predify_robustness(
    *,
    out: str | Path = "results/predify-robustness",
    subjects: tuple[str, ...] | None = None,
    scale: Literal["laptop", "paper"] = "laptop",
    quick: bool = False,
    images: int | None = None,
    ode_images: int | None = None,
    attack_images: int | None = None,
    near_images: int | None = None,
    kinds: tuple[str, ...] | None = None,
    severities: tuple[int, ...] | None = None,
    table: Literal["imagenet", "cifar"] = "cifar",
    epsilons: tuple[float, ...] | None = None,
    attack_steps: int | None = None,
    attack_times: tuple[float, ...] | None = None,
    weights: Path | None = None,
    training_seeds: tuple[int, ...] = (0, 1, 2),
    duration: int = 10,
    feedforward: float = 0.8,
    feedback: float = 0.1,
    error: float = 0.01,
    batch_size: int = 50,
    seed: int = 0,
    device: str = "cpu",
) -> xr.DataTree:
    """Robustness over time: corruptions, white-box attacks, distance to the clean representation.

    Trained networks see corrupted test images under Predify's published rule (one layer after the
    other, Euler with a step of 1) and as the differential equation (adaptive solver), from the
    feed-forward pass on. What holds with both belongs to the dynamics.

    Parameters
    ----------
    out : path
        Folder for predify-robustness.nc, figures, summary.md and cells/, where each cell is kept as
        soon as it is computed; an interrupted run goes on from there.
    subjects : tuple of str, optional
        Networks and what they were trained on; "pshallow-digits" by default, whose weights ship.
        For "presnet18-fashion" and others train them first, and give their folder as `weights`.
    scale : {"laptop", "paper"}
        "paper": all 19 corruptions at all severities, and attacks of 100 steps, for a GPU. The
        networks are those of `subjects` all the same.
    quick : bool
        Far fewer images and corruptions: to see that it runs.
    images, ode_images, attack_images, near_images : int, optional
        Images in a cell of the published rule; of the differential equation; of the attacks; and
        for distances to the clean representation. By default from `scale`.
    kinds, severities : tuple, optional
        Of `neurodyn.stimuli.corrupt`; by default from `scale`.
    table : {"cifar", "imagenet"}
        Which severities: "cifar" was made for 32 x 32 pixels.
    epsilons : tuple of float, optional
        Largest changes of a grey value by the attacks (PGD, L-inf, untargeted).
    attack_steps : int, optional
        Steps of an attack.
    attack_times : tuple of float, optional
        Times attacked, the first 0.
    weights : path, optional
        The folder of ``neurodyn train feedback``, for networks of one's own in place of those that
        ship.
    training_seeds : tuple of int
        Which of the networks; the unit of the intervals.
    duration : int
        Published steps.
    feedforward, feedback, error : float
        The rates beta, lambda, alpha of all layers. The default is that of the authors' scripts.
    batch_size : int
        Images solved at a time; those of a batch share their adaptive steps.
    seed : int
        Of corruptions and of attacks' random starts.
    device : str
        Where torch computes.

    Returns
    -------
    DataTree
        For each subject: ``predify`` and ``ode`` with "correct" (noise, seed, sample, time);
        "distance" (noise, seed, layer, near, time) from the clean representation, and
        "distance_other" from that of another image; "mce" (seed, time), and "mce_mean" with its
        interval. ``attack`` with "correct" and "fooled" (epsilon, seed, attack, sample, time).

    Notes
    -----
    Attacks differentiate the whole solve, error term included, which the authors' did not. Seconds
    of one core at the default scale, estimated from a few cells: 600 for the published rule, 180
    for the differential equation, 190 for the attacks.

    References
    ----------
    Choksi et al. (2021), arXiv:2106.02749.
    """
    given = {name: value for name, value in locals().items() if name != "out"}
    numbers = ("images", "ode_images", "attack_images", "near_images", "kinds", "severities",
               "epsilons", "attack_steps", "attack_times")  # fmt: skip
    config = given | shared.settled(SCALES, scale, quick, **{name: given[name] for name in numbers})
    check_whole(
        training_seeds, True, images=(config["images"], 2), ode_images=(config["ode_images"], 2),
        attack_images=(config["attack_images"], 2), near_images=(config["near_images"], 2),
        attack_steps=(config["attack_steps"], 1), duration=(duration, 2), seed=(seed, 0),
        batch_size=(batch_size, 1),
    )  # fmt: skip
    if tuple(config["attack_times"])[:1] != (0.0,) or len(config["attack_times"]) < 2:
        raise ValueError(f"attack_times must begin with 0 and go on, not {attack_times!r}")
    folder, found = Path(out), {}
    for subject in shared.chosen(subjects):
        for rule in RULES:
            found[f"{subject.label}/{rule}"] = corrupted(folder, subject, rule, config)
        found[f"{subject.label}/attack"] = attacked(folder, subject, config)
    tree = xr.DataTree.from_dict(found)
    title = "Robustness of predictive coding over time"
    tree = shared.described(tree, title, config, PUBLISHED)
    shared.write(folder, "predify-robustness", tree, page(tree), figures(tree, config))
    return tree


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
    runs = [
        nd.simulate(model, x, list(times), batch_size=batch_size, **how)
        for x in (noisy[: len(clean)], clean)
    ]
    others = runs[1].map_over_datasets(
        lambda data: data.roll(sample=1) if "sample" in data.dims else data
    )
    about = {"long_name": "correlation distance from the clean representation", "units": "1"}
    for name, run in (("distance", runs[1]), ("distance_other", others)):
        far = clean_distance(runs[0], run, resamples=100).distance.values
        found[name] = (("layer", "near", "time"), far, about)
    found.distance_other.attrs["long_name"] += " of another image"
    return found.assign_coords(layer=list(model.taps.names))


def attacked(folder: Path, subject: Subject, config: Mapping[str, Any]) -> xr.Dataset:
    """Return the answers under white-box attack at each time, by the published rule."""
    about = {name: config[name] for name in ("attack_steps", "attack_times", "batch_size", "seed")}

    def compute(
        epsilon: float, model: nd.PredictiveCoding, images: Tensor, shown: Tensor
    ) -> xr.Dataset:
        classifier = as_classifier(model, list(config["attack_times"]), method="euler")
        found = answers_under_attack(
            classifier, images, shown, [epsilon], steps=config["attack_steps"],
            seeds=[config["seed"]], batch_size=config["batch_size"],
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
    found = xr.concat(each, strengths, data_vars=["correct", "fooled"])
    return found


def by_rule(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return the cells of corruptions by "subject, rule"."""
    return {
        f"{subject}, {rule}": node[rule].to_dataset()
        for subject, node in tree.children.items() for rule in RULES
    }  # fmt: skip


def claims(tree: xr.DataTree) -> list[str]:
    """Say of each claim of the abstract whether it held here, from the numbers alone."""
    found = by_rule(tree)
    last = float(next(iter(found.values())).time[-1])
    change = {case: data.mce.isel(time=-1) - 1 for case, data in found.items()}
    near: dict[str, xr.DataArray] = {}
    nearer: dict[str, xr.DataArray] = {}
    for case, data in found.items():
        own, other = (relative(data[name]) for name in ("distance", "distance_other"))
        near |= {f"{case}, {k}": own.sel(layer=k) - 1 for k in own.layer.values}
        nearer |= {f"{case}, {k}": (own - other).sel(layer=k) for k in own.layer.values}
    attacks, masked = {}, {}
    for subject, node in tree.children.items():
        share = node["attack"].to_dataset().correct.mean("sample")
        own, transfer = (share.sel(attack=kind) for kind in ("white-box", "transfer"))
        for epsilon in share.epsilon.values:
            case = f"{subject}, {epsilon:g}"
            here, there = own.sel(epsilon=epsilon), transfer.sel(epsilon=epsilon)
            attacks[case] = here.isel(time=-1) - here.isel(time=0)
            masked[case] = there.isel(time=-1) - here.isel(time=-1)
    steps = {}
    for subject, node in tree.children.items():
        ode, euler = (node[rule].to_dataset().correct for rule in ("ode", "predify"))
        both = euler.isel(sample=slice(ode.sizes["sample"]))
        apart = (ode.astype(float) - both.astype(float)).isel(time=-1, noise=slice(1, None))
        steps[subject] = apart.mean(("noise", "sample"))
    end = next(iter(tree.children.values()))["attack"].time.values[-1]
    return [
        report.claim(
            f"Does robustness to corruptions improve over time? mCE({last:g})/mCE(0) - 1:",
            change, "lower",
        ),
        report.claim(
            f"Does robustness to attacks improve over time? Accuracy under white-box attack, "
            f"t={end:g} minus t=0:", attacks, "higher",
        ),
        report.claim(
            f"And is that no masking of gradients? Accuracy at t={end:g} under the attack made at "
            "t=0 minus that under its own:", masked, "higher",
        ),
        report.claim(
            f"Do representations come nearer to the clean ones? Distance at t={last:g} over that "
            "at t=0, - 1:", near, "lower",
        ),
        report.claim(
            "And that more than to those of other images? Strong feedback smooths both, and smooth "
            "maps are alike. The ratio minus the same of distances to another clean image:",
            nearer, "lower",
        ),
        "**Dynamics or step?** Accuracy under corruption by the differential equation minus that "
        f"by the published step, same images, t={last:g}. "
        + "; ".join(f"{case}: {report.said_of(gaps)}" for case, gaps in steps.items()) + ".",
    ]  # fmt: skip


def relative(distance: xr.DataArray) -> xr.DataArray:
    """Return the distance under corruption at the last time over that at the first."""
    pooled = distance.isel(noise=slice(1, None)).mean(("noise", "near"))
    return pooled.isel(time=-1) / pooled.isel(time=0)


def page(tree: xr.DataTree) -> str:
    """Return the page in Markdown."""
    config = json.loads(tree.attrs["config"])
    rows = report.accuracy_rows({case: data.correct for case, data in by_rule(tree).items()})
    said = claims(tree)
    return f"""# Does predictive coding make networks more robust over time?

neurodyn {tree.attrs["neurodyn_version"]}. {tree.attrs["provenance"]}; no published number is
claimed. Test images: {config["images"]} in a cell of the published rule (predify: Euler, step 1,
one layer after the other), {config["ode_images"]} of the differential equation (ode:
{shared.TOLERANCES["method"]}, rtol {shared.TOLERANCES["rtol"]:g}), {config["attack_images"]} under
attack (PGD, L-inf, {config["attack_steps"]} steps, through the whole solve by the published rule).
Rates of all layers: beta {config["feedforward"]:g}, lambda {config["feedback"]:g}, alpha
{config["error"]:g}. Corruptions: severities of the table {config["table"]!r}.

**The claims.** Intervals: 95%, Student's, over the training seeds
{", ".join(map(str, config["training_seeds"]))}, without correction for their number. "not shown":
the interval holds 0.

{chr(10).join(f"- {sentence}" for sentence in said)}
{markdown(rows)}

"best" is picked after the fact and flatters; compare the last time."""


def figures(tree: xr.DataTree, config: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw mCE, attacks and reconstructions of each subject."""
    drawn: dict[str, Figure] = {}
    for name, node in tree.children.items():
        rules = [node[rule].to_dataset()[["mce_mean", "mce_mean_ci"]] for rule in RULES]
        both = xr.concat(rules, xr.DataArray(list(RULES), dims="solver", name="solver"))
        both = both.rename(mce_mean="mce", mce_mean_ci="mce_ci").assign_attrs(reference="start")
        drawn[f"mce-{name}"] = mce_curve(both, line="solver")
        try:
            success = attack_success(node["attack"].to_dataset(), over="seed")
        except ValueError:  # a network that is never right cannot be led astray
            pass
        else:
            drawn[f"attacks-{name}"] = attack_curve(success, "robust_accuracy")
        drawn[f"reconstructions-{name}"] = strip(name, config)
    return drawn


def strip(name: str, config: Mapping[str, Any]) -> Figure:
    """Draw how the first network reconstructs the first image, clean and most corrupted."""
    (subject,) = shared.chosen((name,))
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
