"""What the study of robustness over time says and draws, from its numbers alone."""

import json
from typing import Literal

import xarray as xr
from matplotlib.figure import Figure

from neurodyn.analysis import feedback_report as report
from neurodyn.analysis.attack_plots import attack_curve
from neurodyn.analysis.attack_success import attack_success
from neurodyn.analysis.feedback_plots import mce_curve
from neurodyn.analysis.report import markdown
from neurodyn.studies import _feedback as shared
from neurodyn.studies._robustness_cells import ATTACKS, RULES
from neurodyn.studies._subjects import left_out

Quantity = Literal["success", "robust_accuracy"]


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
        share = resisting(node["attack"].to_dataset())
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
    attack = next(iter(tree.children.values()))["attack"].to_dataset()
    end = attack.time.values[-1]
    measured = "Share of images not led to the target" if targeted(attack) else "Accuracy"
    return [
        report.claim(
            f"Does robustness to corruptions improve over time? mCE({last:g})/mCE(0) - 1:",
            change, "lower",
        ),
        report.claim(
            f"Does robustness to attacks improve over time? {measured} under white-box attack, "
            f"t={end:g} minus t=0:", attacks, "higher",
        ),
        report.claim(
            f"And is that no masking of gradients? {measured} at t={end:g} under the attack made "
            "at t=0 minus that under its own:", masked, "higher",
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
        f"by the published step, same images, t={last:g}.{report.each_case(steps)}",
    ]  # fmt: skip


def targeted(attack: xr.Dataset) -> bool:
    """Tell attacks to a target from those that lead just away."""
    return "target_label" in attack.coords


def resisting(attack: xr.Dataset) -> xr.DataArray:
    """Return the share of images right under attack; under a targeted one, of those not led there.

    The latter of images that are right without attack at every time, as the authors chose theirs.
    """
    if not targeted(attack):
        return attack.correct.mean("sample")
    known = attack.correct_clean.all("time")
    return 1 - attack.fooled.astype(float).where(known).mean("sample")


def relative(distance: xr.DataArray) -> xr.DataArray:
    """Return the distance under corruption at the last time over that at the first."""
    pooled = distance.isel(noise=slice(1, None)).mean(("noise", "near"))
    return pooled.isel(time=-1) / pooled.isel(time=0)


def page(tree: xr.DataTree) -> str:
    """Return the page in Markdown."""
    config = json.loads(tree.attrs["config"])
    rows = report.accuracy_rows({case: data.correct for case, data in by_rule(tree).items()})
    said = claims(tree)
    left = left_out(config["left_out"])
    return f"""# Does predictive coding make networks more robust over time?

neurodyn {tree.attrs["neurodyn_version"]}. {tree.attrs["provenance"]}; no published number is
claimed. Test images: {config["images"]} in a cell of the published rule (predify: Euler, step 1,
one layer after the other), {config["ode_images"]} of the differential equation (ode:
{shared.TOLERANCES["method"]}, rtol {shared.TOLERANCES["rtol"]:g}), {config["attack_images"]} under
attack ({ATTACKS[config["attack"]]}; L-inf, {config["attack_steps"]} steps, through the whole
solve by the published rule).
Rates of all layers: beta {config["feedforward"]:g}, lambda {config["feedback"]:g}, alpha
{config["error"]:g}. Corruptions: severities of the table {config["table"]!r}.{left}

**The claims.** Intervals: 95%, Student's, over the training seeds
{", ".join(map(str, config["training_seeds"]))}, without correction for their number. "not shown":
the interval holds 0.

{chr(10).join(f"- {sentence}" for sentence in said)}

{markdown(rows)}

"best" is picked after the fact and flatters; compare the last time."""


def figures(tree: xr.DataTree) -> dict[str, Figure]:
    """Draw the mCE and the attacks of each subject."""
    drawn: dict[str, Figure] = {}
    for name, node in tree.children.items():
        rules = [node[rule].to_dataset()[["mce_mean", "mce_mean_ci"]] for rule in RULES]
        both = xr.concat(rules, xr.DataArray(list(RULES), dims="solver", name="solver"))
        both = both.rename(mce_mean="mce", mce_mean_ci="mce_ci").assign_attrs(reference="start")
        drawn[f"mce-{name}"] = mce_curve(both, line="solver")
        attack = node["attack"].to_dataset()
        try:
            success = attack_success(attack, over="seed")
        except ValueError:  # a network that is never right cannot be led astray
            pass
        else:
            quantity: Quantity = "success" if targeted(attack) else "robust_accuracy"
            drawn[f"attacks-{name}"] = attack_curve(success, quantity)
    return drawn
