"""What the study of reliance on feedback says and draws, from its numbers alone."""

import json
from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from neurodyn import analysis
from neurodyn.analysis import feedback_report as report
from neurodyn.analysis.contributions import contributions
from neurodyn.analysis.feedback_plots import rates_by_noise, reliance_map
from neurodyn.analysis.report import markdown
from neurodyn.studies import _feedback as shared
from neurodyn.studies._subjects import left_out, strongest

SHARED_OUT = 1.0
"""When shares of terms are taken: later less and less moves."""


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
    late = {case: gains(data.correct, float(data.time[-1])) for case, data in ode.items()}
    settled = by_noise({case: data.fixed_point_gain for case, data in ode.items()})
    resting = by_noise({case: data.settled for case, data in ode.items()})
    never = [case for case, gap in settled.items() if gap.isnull().any()]
    shares = "; ".join(f"{case}: {float(share.mean()):.0%}" for case, share in resting.items())
    unsaid = f" Not said where a network has no image at rest: {'; '.join(never)}." if never else ""
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
            f" The layer of most reliance, by training seed: {most}.",
        ),
        report.claim(
            "And by ablation? Shapley values of feedback, lower minus upper half:", by_cut,
            "higher", f" The layer of most: {most_cut}.",
        ),
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
            "Is the gain still there at the fixed point? Accuracy of the images that are at rest "
            f"at t={end:g} minus their own at t=0. At rest: relative speed below "
            f"{shared.AT_REST:g} per step in every layer.",
            {case: gap for case, gap in settled.items() if case not in never}, "higher",
            f" Share at rest: {shares}.{unsaid}",
        ),
        report.claim(
            f"And at t={end:g}, of all images, at rest or not?", by_noise(late), "higher",
        ),
        f"**Dynamics or step?** Accuracy by the adaptive solver minus that by Euler's step, same "
        f"images, t={duration:g}, mean of noises.{report.each_case(apart)}",
    ]  # fmt: skip


def most_of(values: xr.DataArray) -> list[str]:
    """Return the layer with the largest value, for each seed of (layer, seed); "none" if equal."""
    given = values.dropna("layer", how="all")
    alike = given.sizes["layer"] > 1 and given.max("layer") == given.min("layer")
    return [str(name) for name in given.idxmax("layer").where(~xr.DataArray(alike), "none").values]


def at_strongest(tree: xr.DataTree) -> dict[str, tuple[str, dict[str, xr.DataArray]]]:
    """Return what is measured of each layer under the strongest Gaussian noise."""
    found: dict[str, tuple[str, dict[str, xr.DataArray]]] = {}
    duration = json.loads(tree.attrs["config"])["duration"]
    for case, node in tree.children.items():
        rates, ode, cut, gradient = (
            node[name].to_dataset() for name in ("rates", "ode", "ablation", "gradient")
        )
        noise = strongest(rates.rate)
        here = rates.sel(noise=noise)
        moved = ode.projection.sel(noise=noise, time=SHARED_OUT)
        share = [contributions(moved.sel(seed=k), resamples=100).share for k in ode.seed.values]
        back = xr.concat(share, ode.seed).sel(term="feedback")
        error = ode.mean_error.sel(noise=noise)
        found[case] = noise, {
            "reliance": here.reliance, "time constant": here.time_constant,
            "alpha": here.error_rate, "share in movement": back.where(here.reliance.notnull()),
            "gradient": gradient.reliance, "ablation": cut.effect, "Shapley": cut.shapley,
            "error, t=0": error.sel(time=0), f"error, t={duration}": error.sel(time=duration),
        }  # fmt: skip
    return found


def page(tree: xr.DataTree) -> str:
    """Return the page in Markdown."""
    config = json.loads(tree.attrs["config"])
    rows = report.accuracy_rows({case: data.correct for case, data in parts(tree, "euler").items()})
    said = claims(tree, float(config["duration"]))
    gradients = next(iter(parts(tree, "gradient").values())).sizes["sample"]
    return f"""# Is feedback used, and where?

neurodyn {tree.attrs["neurodyn_version"]}. {tree.attrs["provenance"]}; no published number is
claimed. Rates of each layer were trained for each noise on training images; here are test images:
{config["images"]} in a cell of Euler's method (step 1), {config["ode_images"]} of the adaptive
solver ({shared.TOLERANCES["method"]}, rtol {shared.TOLERANCES["rtol"]:g}),
{config["ablation_images"]} of the ablation.{left_out(config["left_out"])}

**The claims.** Intervals: 95%, Student's, over the training seeds
{", ".join(map(str, config["training_seeds"]))}, without correction for their number. "not shown":
the interval holds 0.

{chr(10).join(f"- {sentence}" for sentence in said)}

**Layers.** Reliance is lambda/(beta+lambda), where a layer is drawn to; its time constant,
1/(beta+lambda), is apart. Share in movement: of feedback, at t={SHARED_OUT:g}. Gradient: of what
the logit of the right category at t={config["duration"]} depends on, feedback over feedback and
drive from below ({gradients} images). Ablation and Shapley: accuracy at t={config["duration"]} that
feedback to the layer adds, its weight given to the drive from below. Error: mean square of what the
layer predicts wrongly of what is below it, by the adaptive solver.

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
