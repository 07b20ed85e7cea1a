"""Is feedback used, and where? Rates that suit each noise, ablation, accuracy over time."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis import feedback_report as report
from neurodyn.analysis.ablation import ablation
from neurodyn.analysis.contributions import contributions
from neurodyn.analysis.feedback_plots import rates_by_noise, reliance_map
from neurodyn.analysis.feedback_reliance import feedback_reliance
from neurodyn.analysis.report import markdown
from neurodyn.conditions import check_whole
from neurodyn.feedback_ablation import ablated, ablations
from neurodyn.feedback_terms import record_terms
from neurodyn.models import feedback_nets
from neurodyn.studies import _feedback as shared
from neurodyn.studies._feedback import Subject

PUBLISHED = (
    "Alamia, Mozafari, Choksi & VanRullen (2021), On the role of feedback in visual processing, "
    "arXiv:2106.04225"
)
SCALES: dict[str, dict[str, Any]] = {
    "quick": {"images": 100, "ode_images": 10, "ablation_images": 20},
    "laptop": {"images": 500, "ode_images": 40, "ablation_images": 100},
    "paper": {"images": 2000, "ode_images": 2000, "ablation_images": 2000},
}
AT_REST = 1e-2
"""Relative speed per published step below which an image counts as at the fixed point."""
SHARED_OUT = 1.0
"""When shares of terms are taken: later less and less moves."""


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
    batch_size: int = 50,
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
        Networks and what they were trained on; "pshallow-digits" by default, whose weights ship.
        For "presnet18-fashion" and others train them first, and give their folder as `weights`.
    scale : {"laptop", "paper"}
        "paper": 2,000 images in each cell, for a GPU.
    quick : bool
        Far fewer images: to see that it runs.
    images, ode_images, ablation_images : int, optional
        Images in a cell of Euler's method; of the adaptive solver; of the ablation. By default from
        `scale`.
    weights : path, optional
        The folder of ``neurodyn train feedback``, with rates.nc, for networks of one's own in place
        of those that ship.
    training_seeds : tuple of int
        Which of the networks; the unit of the intervals.
    duration : int
        Published steps; rates were trained for the first 5.
    rest : float
        When the adaptive solver ends. Whether an image is at its fixed point then is measured.
    batch_size : int
        Images solved at a time; those of a batch share their adaptive steps.
    seed : int
        Of the noise.
    device : str
        Where torch computes.

    Returns
    -------
    DataTree
        For each subject: ``rates`` with "rate", "reliance", "time_constant" (noise, seed, layer);
        ``euler`` and ``ode`` with "correct" (noise, seed, sample, time), the latter also with
        "projection", "prediction_error", "speed" of `record_terms` and "at_rest"; ``ablation`` with
        "correct" (seed, ablated, sample), under the strongest Gaussian noise, "effect" and
        "shapley" (layer, seed).

    Notes
    -----
    Cutting feedback gives its weight to the drive from below, so that the time constant stays.
    Seconds of one core at the default scale, estimated from a few cells: 200 for Euler's method,
    170 for the adaptive solver, 80 for the ablation.

    References
    ----------
    Alamia et al. (2021), arXiv:2106.04225, who evaluated on the training images.
    """
    given = {name: value for name, value in locals().items() if name != "out"}
    numbers = {name: given[name] for name in SCALES["laptop"]}
    config = given | shared.settled(SCALES, scale, quick, **numbers)
    check_whole(
        training_seeds, True, duration=(duration, 2), batch_size=(batch_size, 1), seed=(seed, 0),
        **{name: (config[name], 2) for name in numbers},
    )  # fmt: skip
    if not rest > duration:
        raise ValueError(f"rest must be later than duration={duration}, not {rest!r}")
    folder, found = Path(out), {}
    for subject in shared.chosen(subjects):
        rate = subject.rates(weights, training_seeds)
        rate = rate.sel(layer=feedback_net_layers(subject))
        found[f"{subject.label}/rates"] = feedback_reliance(rate).assign(rate=rate)
        found[f"{subject.label}/euler"] = by_euler(folder, subject, rate, config)
        found[f"{subject.label}/ode"] = by_ode(folder, subject, rate, config)
        found[f"{subject.label}/ablation"] = without(folder, subject, rate, config)
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
    resting = found.speed.isel(time=-1).max("layer", skipna=False) < AT_REST
    return with_noise(found.assign(at_rest=resting), rate)


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
            ).correct.isel(time=-1, drop=True)
            for label, layers in ablations(model).items()
        }  # fmt: skip
        axis = xr.DataArray(list(found), dims="ablated", name="ablated")
        return xr.concat(list(found.values()), axis).to_dataset(name="correct")

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


def strongest(rate: xr.DataArray) -> str:
    """Return the label of the strongest Gaussian noise; of the last noise if there is none."""
    gaussian = rate.noise.values[rate.noise_type.values == "gaussian"]
    levels = rate.noise_level.sel(noise=gaussian)
    return str(gaussian[levels.values.argmax()] if len(gaussian) else rate.noise.values[-1])


def with_noise(found: xr.Dataset, rate: xr.DataArray) -> xr.Dataset:
    """Add type and level along noise."""
    return found.assign_coords(noise_type=rate.noise_type, noise_level=rate.noise_level)


def parts(tree: xr.DataTree, name: str) -> dict[str, xr.Dataset]:
    """Return one kind of result of every subject."""
    return {subject: node[name].to_dataset() for subject, node in tree.children.items()}


def gains(correct: xr.DataArray, time: float) -> xr.DataArray:
    """Return the accuracy at a time minus that of the feed-forward network, (noise, seed)."""
    share = correct.astype(float).mean("sample")
    return share.sel(time=time) - share.isel(time=0)


def by_noise(found: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return (seed) of every case and noise."""
    return {
        f"{case}, {noise}": values.sel(noise=noise)
        for case, values in found.items() for noise in values.noise.values
    }  # fmt: skip


def claims(tree: xr.DataTree, duration: float) -> list[str]:
    """Say of each claim of the abstract whether it held here, from the numbers alone."""
    rates, euler, ode, cut = (parts(tree, n) for n in ("rates", "euler", "ode", "ablation"))
    rises = {
        f"{case}, {kind}": report.noise_slope(data.reliance.mean("layer"), str(kind))
        for case, data in rates.items()
        for kind in dict.fromkeys(data.noise_type.values.tolist()) if kind != "clean"
    }  # fmt: skip
    under = {
        case: data.reliance.isel(noise=(data.noise_level > 0).values).mean("noise")
        for case, data in rates.items()
    }
    lower = {case: report.lower_minus_upper(values) for case, values in under.items()}
    most = "; ".join(f"{case}: {', '.join(most_of(values))}" for case, values in under.items())
    by_cut = {case: report.lower_minus_upper(data.shapley) for case, data in cut.items()}
    most_cut = "; ".join(
        f"{case}: {', '.join(most_of(data.shapley))}" for case, data in cut.items()
    )
    settled = {}
    for case, data in ode.items():
        settled[case] = gains(data.correct, float(data.time[-1]))
    resting = "; ".join(f"{case}: {float(data.at_rest.mean()):.0%}" for case, data in ode.items())
    apart = {}
    for case, data in ode.items():
        both = euler[case].correct.isel(sample=slice(data.sizes["sample"]))
        change = data.correct.astype(float) - both.astype(float)
        apart[case] = change.sel(time=duration).mean(("sample", "noise"))
    end = float(next(iter(ode.values())).time[-1])
    return [
        report.claim(
            "Does reliance on feedback rise with noise? Slope of lambda/(beta+lambda), the mean of "
            "layers, over the level:", rises, "higher",
        ),
        report.claim(
            "Do lower layers rely on it most? lambda/(beta+lambda) under noise, lower half of the "
            "layers minus upper half:", lower, "higher",
        ) + f" The layer of most reliance, by training seed: {most}.",
        report.claim(
            "And by ablation? Shapley values of feedback, lower minus upper half:", by_cut, "higher"
        ) + f" The layer of most: {most_cut}.",
        report.claim(
            f"Does accuracy rise over time? Test accuracy at t={duration:g} minus t=0, the "
            "feed-forward network, by Euler's step of 1:",
            by_noise({case: gains(data.correct, duration) for case, data in euler.items()}),
            "higher",
        ),
        report.claim(
            "And with an adaptive solver?",
            by_noise({case: gains(data.correct, duration) for case, data in ode.items()}), "higher",
        ),
        report.claim(
            f"Is the gain still there at rest? The same at t={end:g}, where so many are at the "
            f"fixed point: {resting}.", by_noise(settled), "higher",
        ),
        f"**Dynamics or step?** Accuracy by the adaptive solver minus that by Euler's step, same "
        f"images, t={duration:g}, mean of noises. "
        + "; ".join(f"{case}: {report.said_of(gaps)}" for case, gaps in apart.items()) + ".",
    ]  # fmt: skip


def most_of(values: xr.DataArray) -> list[str]:
    """Return the layer with the largest value, for each seed of (layer, seed); "none" if equal."""
    given = values.dropna("layer", how="all")
    alike = given.sizes["layer"] > 1 and given.max("layer") == given.min("layer")
    return [str(name) for name in given.idxmax("layer").where(~xr.DataArray(alike), "none").values]


def at_strongest(tree: xr.DataTree) -> dict[str, tuple[str, dict[str, xr.DataArray]]]:
    """Return what is measured of each layer under the strongest Gaussian noise."""
    found: dict[str, tuple[str, dict[str, xr.DataArray]]] = {}
    for case, node in tree.children.items():
        rates, ode, cut = (node[name].to_dataset() for name in ("rates", "ode", "ablation"))
        noise = strongest(rates.rate)
        here = rates.sel(noise=noise)
        moved = ode.projection.sel(noise=noise, time=SHARED_OUT)
        share = [contributions(moved.sel(seed=k), resamples=100).share for k in ode.seed.values]
        back = xr.concat(share, ode.seed).sel(term="feedback")
        found[case] = noise, {
            "reliance": here.reliance, "time constant": here.time_constant,
            "alpha": here.error_rate, "share in movement": back.where(here.reliance.notnull()),
            "ablation": cut.effect, "Shapley": cut.shapley,
        }  # fmt: skip
    return found


def page(tree: xr.DataTree) -> str:
    """Return the page in Markdown."""
    config = json.loads(tree.attrs["config"])
    rows = report.accuracy_rows({case: data.correct for case, data in parts(tree, "euler").items()})
    said = claims(tree, float(config["duration"]))
    return f"""# Is feedback used, and where?

neurodyn {tree.attrs["neurodyn_version"]}. {tree.attrs["provenance"]}; no published number is
claimed. Rates of each layer were trained for each noise on training images; here are test images:
{config["images"]} in a cell of Euler's method (step 1), {config["ode_images"]} of the adaptive
solver ({shared.TOLERANCES["method"]}, rtol {shared.TOLERANCES["rtol"]:g}),
{config["ablation_images"]} of the ablation.

**The claims.** Intervals: 95%, Student's, over the training seeds
{", ".join(map(str, config["training_seeds"]))}, without correction for their number. "not shown":
the interval holds 0.

{chr(10).join(f"- {sentence}" for sentence in said)}

**Layers.** Reliance is lambda/(beta+lambda), where a layer is drawn to; its time constant,
1/(beta+lambda), is apart. Share in movement: of feedback, at t={SHARED_OUT:g}. Ablation and
Shapley: accuracy at t={config["duration"]} that feedback to the layer adds, its weight given to the
drive from below.

{markdown(report.layer_rows(at_strongest(tree)))}

**Accuracy over time**, with the rates of each noise. "best" is picked after the fact and flatters.

{markdown(rows)}"""


def figures(tree: xr.DataTree) -> dict[str, Figure]:
    """Draw reliance, rates and accuracy over time of each subject."""
    drawn = {}
    for name, node in tree.children.items():
        rates, euler, ode = (node[part].to_dataset() for part in ("rates", "euler", "ode"))
        drawn[f"reliance-{name}"] = reliance_map(rates.reliance)
        drawn[f"rates-{name}"] = rates_by_noise(rates.rate)
        both = [report.accuracy_summary(d.correct.sel(time=euler.time)) for d in (euler, ode)]
        axis = xr.DataArray(["euler", "ode"], dims="solver", name="solver")
        drawn[f"accuracy-{name}"] = analysis.accuracy_over_time(xr.concat(both, axis), None)
    return drawn
