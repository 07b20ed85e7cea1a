"""Does predictive coding make networks more robust over time? Corruptions, attacks, manifolds."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from neurodyn.conditions import check_whole
from neurodyn.stimuli.corrupt import CORRUPTIONS
from neurodyn.studies import _feedback as shared
from neurodyn.studies._robustness_cells import ATTACKS, RULES, attacked, corrupted, strip
from neurodyn.studies._robustness_page import figures, page
from neurodyn.studies._subjects import chosen

PUBLISHED = "Choksi et al. (2021), Predify, arXiv:2106.02749"
EVERY = tuple(name for names in CORRUPTIONS.values() for name in names)
SCALES: dict[str, dict[str, Any]] = {
    "quick": {
        "images": 30, "ode_images": 4, "attack_images": 10, "near_images": 4,
        "kinds": ("gaussian_noise", "fog"), "severities": (5,),
        "epsilons": (0.05, 0.1), "attack_steps": 5, "attack_times": (0.0, 2.0),
        "attack": "pgd", "batch_size": 50,
    },
    "laptop": {
        "images": 500, "ode_images": 20, "attack_images": 100, "near_images": 10,
        "kinds": ("gaussian_noise", "glass_blur", "fog"), "severities": (5,),
        "epsilons": (0.01, 0.03, 0.1), "attack_steps": 5, "attack_times": (0.0, 3.0),
        "attack": "pgd", "batch_size": 50,
    },
    "paper": {
        "images": 2000, "ode_images": 2000, "attack_images": 1000, "near_images": 1000,
        "kinds": EVERY, "severities": (1, 2, 3, 4, 5),
        "epsilons": (0.3, 0.7, 1.0), "attack_steps": 100,
        "attack_times": (0.0, 2.0, 4.0, 6.0, 8.0), "attack": "targeted-bim", "batch_size": 200,
    },
}  # fmt: skip


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
    attack: Literal["pgd", "targeted-bim"] | None = None,
    weights: Path | None = None,
    training_seeds: tuple[int, ...] = (0, 1, 2),
    duration: int = 10,
    feedforward: float = 0.8,
    feedback: float = 0.1,
    error: float = 0.01,
    batch_size: int | None = None,
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
        Networks and what they were trained on. By default "pshallow-digits", "presnet18-digits",
        "pshallow-fashion" and "presnet18-fashion", as far as there are their weights and
        Fashion-MNIST is installed; the page says which are left out, and why. For others train
        them first, and give their folder as `weights`; "pshallow-supervised-digits" is what
        ``--supervised`` made.
    scale : {"laptop", "paper"}
        "paper": the settings of the authors' scripts as far as they are known, see Notes, for a
        GPU. The networks are those of `subjects` all the same.
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
        Largest changes of a grey value by the attacks (L-inf, from a random start).
    attack_steps : int, optional
        Steps of an attack.
    attack_times : tuple of float, optional
        Times attacked, the first 0.
    attack : {"pgd", "targeted-bim"}, optional
        Away from each image's own category, or to that 8 after it, as BIM does in the authors'
        scripts; both from a random start. By default from `scale`: "targeted-bim" at "paper".
    weights : path, optional
        The folder of ``neurodyn train feedback``, for networks of one's own in place of those that
        ship.
    training_seeds : tuple of int
        Which of the networks; the unit of the intervals.
    duration : int
        Published steps.
    feedforward, feedback, error : float
        The rates beta, lambda, alpha of all layers. The default is that of the authors' scripts.
    batch_size : int, optional
        Images solved at a time, by default from `scale`; those of a batch share their adaptive
        steps.
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
        interval. ``attack`` with "correct" and "fooled" (epsilon, seed, attack, sample, time),
        see `answers_under_attack`. "nfe" in each.

    Notes
    -----
    *Read in the authors' code*, and so at "paper": 19 corruptions at 5 severities, mCE(t)/mCE(0) to
    t = 10, layers one after the other, beta .8, lambda .1 and alpha .01 in all of them; distances
    of 1,000 images; targeted BIM from a random start, L-inf, 100 steps of 2.5 / 100, of
    strengths .3 to 1 (curves begin at .7), 1,000 images, times 0, 2, 4, 6 and 8, counted where the
    answer without attack is right at every time (theirs: at t = 0 to 9).
    *Reconstructed*: which strengths lie between; the target, theirs being 800 after the image's own
    of 1,000 categories; severities and images, theirs being of 224 pixels; distances are under the
    corruptions, theirs under Gaussian noise to t = 14; and what alpha multiplies. Here it is scaled
    by the decoders' fan (`PredictiveCoding`), as their configuration says; their scripts of mCE and
    distance multiply it by factors that were not published, and their attacks leave it unscaled,
    that is all but off.

    Attacks differentiate the whole solve, error term included, which the authors' did not.
    Measured at the default scale, four subjects, three seeds: 1,025 s of CPU in all,
    24 minutes on two cores that did other things besides.

    References
    ----------
    Choksi et al. (2021), arXiv:2106.02749.
    """
    given = {name: value for name, value in locals().items() if name != "out"}
    numbers = {name: given[name] for name in SCALES["laptop"]}
    config = given | shared.settled(SCALES, scale, quick, **numbers)
    check_whole(
        training_seeds, True, images=(config["images"], 2), ode_images=(config["ode_images"], 2),
        attack_images=(config["attack_images"], 2), near_images=(config["near_images"], 2),
        attack_steps=(config["attack_steps"], 1), duration=(duration, 2), seed=(seed, 0),
        batch_size=(config["batch_size"], 1),
    )  # fmt: skip
    check_axes(config)
    shared.check_device(device)
    folder, found = Path(out), {}
    studied, config["left_out"] = chosen(subjects, weights, training_seeds, rates=False)
    for subject in studied:  # more images than there are
        subject.images(max(config[f"{kind}images"] for kind in ("", "ode_", "attack_", "near_")))
    for subject in studied:
        for rule in RULES:
            found[f"{subject.label}/{rule}"] = corrupted(folder, subject, rule, config)
        found[f"{subject.label}/attack"] = attacked(folder, subject, config)
    tree = xr.DataTree.from_dict(found)
    title = "Robustness of predictive coding over time"
    tree = shared.described(tree, title, config, PUBLISHED)
    strips = {f"reconstructions-{subject.label}": strip(subject, config) for subject in studied}
    shared.write(folder, "predify-robustness", tree, page(tree), figures(tree) | strips)
    return tree


def check_axes(config: Mapping[str, Any]) -> None:
    """Refuse corruptions, attacks and their times that cannot be, before anything is computed."""
    times = tuple(config["attack_times"])
    if times[:1] != (0.0,) or len(times) < 2 or not all(a < b < inf for a, b in pairwise(times)):
        raise ValueError(f"attack_times must begin with 0 and go on, rising, not {times!r}")
    for name, known in (("attack", ATTACKS), ("table", ("imagenet", "cifar"))):
        if config[name] not in known:
            raise ValueError(f"{name} {config[name]!r} is not one of {', '.join(known)}")
    allowed: dict[str, tuple[Callable[[Any], bool], str]] = {
        "kinds": (lambda x: x in EVERY, f"of {', '.join(EVERY)}"),
        "severities": (lambda x: x in range(1, 6), "whole numbers from 1 to 5"),
        "epsilons": (lambda x: 0 <= x < inf, "numbers from 0 up"),
    }
    for name, (right, what) in allowed.items():
        given = tuple(config[name])
        if not given or len(set(given)) < len(given) or not all(map(right, given)):
            raise ValueError(f"{name} must be one or more, none twice, {what}; got {given!r}")
