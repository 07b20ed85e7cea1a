"""Is feedback used, and where? Rates that suit each noise, ablation, accuracy over time."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import xarray as xr
from torch import Tensor

import neurodyn as nd
from neurodyn.analysis.ablation import ablation
from neurodyn.analysis.contributions import gradient_reliance
from neurodyn.analysis.feedback import error_over_time, fixed_point_accuracy
from neurodyn.analysis.feedback_reliance import feedback_reliance
from neurodyn.conditions import check_whole
from neurodyn.feedback_ablation import ablated, ablations
from neurodyn.feedback_gradient import pathway_gradients
from neurodyn.feedback_terms import record_terms
from neurodyn.models import feedback_nets
from neurodyn.studies import _feedback as shared
from neurodyn.studies._feedback_page import figures, page
from neurodyn.studies._subjects import Subject, chosen, strongest

PUBLISHED = (
    "Alamia, Mozafari, Choksi & VanRullen (2021), On the role of feedback in visual processing, "
    "arXiv:2106.04225"
)
SCALES: dict[str, dict[str, Any]] = {
    "quick": {"images": 30, "ode_images": 3, "ablation_images": 6, "batch_size": 50},
    "laptop": {"images": 500, "ode_images": 20, "ablation_images": 100, "batch_size": 50},
    "paper": {"images": 2000, "ode_images": 2000, "ablation_images": 2000, "batch_size": 200},
}
GRADIENT_IMAGES = 8
"""Images of which gradients are taken."""


def feedback(
    *,
    out: str | Path = "results/feedback",
    subjects: tuple[str, ...] | None = None,
    scale: Literal["laptop", "paper"] = "laptop",
    quick: bool = False,
    images: int | None = None,
    ode_images: int | None = None,
    ablation_images: int | None = None,
    weights: Path | None = None,
    training_seeds: tuple[int, ...] = (0, 1, 2),
    duration: int = 5,
    rest: float = 20.0,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> xr.DataTree:
    """Is feedback used, and where: optimised rates, ablation, and accuracy over time under noise.

    For each type and level of noise the rates of each layer were trained alone, on training images
    (`neurodyn train feedback`). Here networks with the rates of a noise see test images under that
    noise, by Euler's method with the step of 1 that rates were trained with, and by an adaptive
    solver up to where they come to rest.

    Parameters
    ----------
    out : path
        Folder for feedback.nc, figures, summary.md and cells/, where each cell is kept as soon as
        it is computed; an interrupted run goes on from there.
    subjects : tuple of str, optional
        Networks and what they were trained on. By default "pshallow-digits", "presnet18-digits",
        "pshallow-fashion" and "presnet18-fashion", as far as there are their weights and rates and
        Fashion-MNIST is installed; the page says which are left out, and why. For others train
        them first, and give their folder as `weights`; "pshallow-supervised-digits" is what
        ``--supervised`` made.
    scale : {"laptop", "paper"}
        "paper": 2,000 images in each cell, all test digits there are, for a GPU. The authors showed
        10,000 of CIFAR (read in their code).
    quick : bool
        Far fewer images: to see that it runs.
    images, ode_images, ablation_images : int, optional
        Images in a cell of Euler's method; of the adaptive solver; of the ablation. By default from
        `scale`.
    weights : path, optional
        The folder of ``neurodyn train feedback``, with rates.nc, for networks of one's own in place
        of those that ship.
    training_seeds : tuple of int
        Which of the networks; the unit of the intervals. Below 10,000: noise on test images is
        drawn from 10,000 + `seed` on, training noise from the training seed.
    duration : int
        Published steps; rates were trained for the first 5.
    rest : float
        When the adaptive solver ends. Whether an image is at its fixed point then is measured.
    batch_size : int, optional
        Images solved at a time, by default from `scale`; those of a batch share their adaptive
        steps.
    seed : int
        Of the noise.
    device : str
        Where torch computes.

    Returns
    -------
    DataTree
        For each subject: ``rates`` with "rate", "reliance", "time_constant" (noise, seed, layer);
        ``euler`` and ``ode`` with "correct" (noise, seed, sample, time), the latter also with
        "projection", "prediction_error", "speed" of `record_terms`, "at_rest", and of the
        images at rest "settled", their share, "fixed_point_accuracy" and "fixed_point_gain", that
        minus their accuracy at t = 0 (noise, seed), and "mean_error" (noise, seed, layer, time),
        the prediction error of all images; ``ablation`` with
        "correct" (seed, ablated, sample), under the strongest Gaussian noise, "effect" and
        "shapley" (layer, seed); ``gradient`` with "size" of `pathway_gradients` under the same
        noise and "reliance" (seed, layer), see `gradient_reliance`. "nfe" in each that is solved.

    Notes
    -----
    Cutting feedback gives its weight to the drive from below, so that the time constant stays.
    Measured at the default scale, four subjects, three seeds: 807 s of CPU in all, 18 minutes on
    two cores that did other things besides; gradients, measured apart, add less than 1%.

    References
    ----------
    Alamia et al. (2021), arXiv:2106.04225, who evaluated on the training images.
    """
    given = {name: value for name, value in locals().items() if name != "out"}
    numbers = {name: given[name] for name in SCALES["laptop"]}
    config = given | shared.settled(SCALES, scale, quick, **numbers)
    check_whole(
        training_seeds, True, duration=(duration, 2), seed=(seed, 0),
        **{name: (config[name], 1 if name == "batch_size" else 2) for name in numbers},
    )  # fmt: skip
    if not rest > duration:
        raise ValueError(f"rest must be later than duration={duration}, not {rest!r}")
    if not all(0 <= k < shared.TEST_NOISE for k in training_seeds):
        raise ValueError(
            f"training_seeds must be from 0 to {shared.TEST_NOISE - 1}, as from there on test "
            f"images get their noise; got {training_seeds!r}"
        )
    shared.check_device(device)
    folder, found = Path(out), {}
    studied, config["left_out"] = chosen(subjects, weights, training_seeds, rates=True)
    for subject in studied:  # more images than there are
        subject.images(max(config[f"{kind}images"] for kind in ("", "ode_", "ablation_")))
    for subject in studied:
        rate = subject.rates(weights, training_seeds)
        rate = rate.sel(layer=feedback_net_layers(subject))
        found[f"{subject.label}/rates"] = feedback_reliance(rate).assign(rate=rate)
        found[f"{subject.label}/euler"] = by_euler(folder, subject, rate, config)
        found[f"{subject.label}/ode"] = by_ode(folder, subject, rate, config)
        found[f"{subject.label}/ablation"] = without(folder, subject, rate, config)
        found[f"{subject.label}/gradient"] = by_gradient(folder, subject, rate, config)
    tree = shared.described(
        xr.DataTree.from_dict(found), "Reliance on feedback, by noise and layer", config, PUBLISHED
    )
    shared.write(folder, "feedback", tree, page(tree), figures(tree))
    return tree


def feedback_net_layers(subject: Subject) -> list[str]:
    """Return the names of a network's layers, the lowest first."""
    net = feedback_nets.feedback_net(subject.network, subject.data)  # type: ignore[arg-type]
    return list(net.taps.names)


def made(
    subject: Subject, rate: xr.DataArray, n: int, config: Mapping[str, Any], noise: str, seed: int
) -> tuple[nd.PredictiveCoding, Tensor, Tensor]:
    """Return a network with the rates of a noise, and test images under it with their labels."""
    model = subject.model(seed, config["weights"])
    here = rate.sel(noise=noise, seed=seed)
    images, shown = subject.images(n)
    images = shared.noisy(images, here.noise_type.item(), here.noise_level.item(), config["seed"])
    return feedback_nets.set_rates(model, here.drop_vars(["noise", "seed"])), images, shown


def by_euler(
    folder: Path, subject: Subject, rate: xr.DataArray, config: Mapping[str, Any]
) -> xr.Dataset:
    """Return answers under each noise, by Euler's method with the step rates were made for."""
    times = [float(t) for t in range(config["duration"] + 1)]
    found = shared.run_cells(
        folder / "cells" / subject.label / "euler",
        {"noise": rate.noise.values.tolist(), "seed": rate.seed.values.tolist()},
        {"times": times, "batch_size": config["batch_size"]},
        partial(made, subject, rate, config["images"], config),
        partial(shared.answers, times, {"method": "euler"}, config["batch_size"]),
        config["device"],
    )
    return with_noise(found, rate)


def by_ode(
    folder: Path, subject: Subject, rate: xr.DataArray, config: Mapping[str, Any]
) -> xr.Dataset:
    """Return answers, terms, errors and speeds under each noise, by an adaptive solver."""
    times = [*(float(t) for t in range(config["duration"] + 1)), float(config["rest"])]
    about = shared.TOLERANCES | {"times": times, "batch_size": config["batch_size"]}
    found = shared.run_cells(
        folder / "cells" / subject.label / "ode",
        {"noise": rate.noise.values.tolist(), "seed": rate.seed.values.tolist()},
        about,
        partial(made, subject, rate, config["ode_images"], config),
        partial(terms, times, config["batch_size"]),
        config["device"],
    )
    resting = found.speed.isel(time=-1).max("layer", skipna=False) < shared.AT_REST
    return with_noise(found.assign(at_rest=resting).merge(at_rest_and_errors(found)), rate)


def at_rest_and_errors(found: xr.Dataset) -> xr.Dataset:
    """Return accuracy at the fixed point and mean prediction errors, of each seed alone."""
    each = []
    for seed in found.seed.values:
        one = found.sel(seed=seed, drop=True)
        end = fixed_point_accuracy(one.correct, one.speed, tolerance=shared.AT_REST, resamples=100)
        first = one.correct.isel(time=[0]).assign_coords(time=one.time[-1:])  # as if at the end
        start = fixed_point_accuracy(first, one.speed, tolerance=shared.AT_REST, resamples=100)
        kept = end[["settled", "fixed_point_accuracy"]]
        gain = kept.fixed_point_accuracy - start.fixed_point_accuracy
        about = {"long_name": "accuracy of images at rest minus theirs at t = 0", "units": "1"}
        error = error_over_time(one.prediction_error, resamples=100).prediction_error
        each.append(kept.assign(fixed_point_gain=gain.assign_attrs(about), mean_error=error))
    return (
        xr.concat(each, found.seed).transpose("noise", "seed", "layer", ...).drop_attrs(deep=False)
    )


def terms(
    times: Sequence[float], batch_size: int,
    model: nd.PredictiveCoding, images: Tensor, shown: Tensor,
) -> xr.Dataset:  # fmt: skip
    """Compute one cell of the adaptive solver."""
    run = record_terms(
        model, images, list(times), pulls=True, batch_size=batch_size, **shared.TOLERANCES
    )
    right = torch.from_numpy(run.logits.values).argmax(-1) == shown.cpu()
    about = {"long_name": "correctly classified", "units": "1"}
    kept = run.drop_vars("logits").assign(correct=(("time", "sample"), right.numpy(), about))
    return kept.assign(nfe=int(run.attrs["nfe"]))


def without(
    folder: Path, subject: Subject, rate: xr.DataArray, config: Mapping[str, Any]
) -> xr.Dataset:
    """Return answers at the last time without feedback to each set of layers, and what it adds."""
    noise, times = strongest(rate), [0.0, float(config["duration"])]

    def compute(model: nd.PredictiveCoding, images: Tensor, shown: Tensor) -> xr.Dataset:
        found = {
            label: shared.answers(
                times, {"method": "euler"}, config["batch_size"],
                ablated(model, layers, freed="feedforward"), images, shown,
            ).isel(time=-1, drop=True)
            for label, layers in ablations(model).items()
        }  # fmt: skip
        axis = xr.DataArray(list(found), dims="ablated", name="ablated")
        return xr.concat(list(found.values()), axis, data_vars="all")

    found = shared.run_cells(
        folder / "cells" / subject.label / "ablation",
        {"seed": rate.seed.values.tolist()},
        {"times": times, "batch_size": config["batch_size"], "noise": noise},
        partial(made, subject, rate, config["ablation_images"], config, noise),
        compute,
        config["device"],
    )
    adds = ablation(found.correct.astype(float).mean("sample"))
    return found.merge(adds).assign_attrs(noise=noise)


def by_gradient(
    folder: Path, subject: Subject, rate: xr.DataArray, config: Mapping[str, Any]
) -> xr.Dataset:
    """Return how much the logit of what is shown depends on feedback to each layer."""
    noise, times = strongest(rate), [0.0, float(config["duration"])]
    n = min(GRADIENT_IMAGES, config["images"])

    def compute(model: nd.PredictiveCoding, images: Tensor, shown: Tensor) -> xr.Dataset:
        run = pathway_gradients(
            model, images, shown, times, method="euler", batch_size=config["batch_size"]
        )
        return run[["size"]].isel(time=-1, drop=True).assign(nfe=int(run.attrs["nfe"]))

    found = shared.run_cells(
        folder / "cells" / subject.label / "gradient",
        {"seed": rate.seed.values.tolist()},
        {"times": times, "batch_size": config["batch_size"], "noise": noise},
        partial(made, subject, rate, n, config, noise),
        compute,
        config["device"],
    )
    sizes = [found["size"].sel(seed=k, drop=True) for k in found.seed.values]
    each = [gradient_reliance(size, resamples=100) for size in sizes]
    found["reliance"] = xr.concat([one.reliance for one in each], found.seed)
    return found.assign_attrs(noise=noise)


def with_noise(found: xr.Dataset, rate: xr.DataArray) -> xr.Dataset:
    """Add type and level along noise."""
    return found.assign_coords(noise_type=rate.noise_type, noise_level=rate.noise_level)
