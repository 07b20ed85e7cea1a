"""What the study of visual reasoning says and draws, from its numbers alone."""

import json
import textwrap
from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn import analysis
from neurodyn.analysis.adjusted_rand import FEWEST
from neurodyn.analysis.agreement_report import MISSING, printed
from neurodyn.analysis.feedback_report import claim, each_case, held
from neurodyn.analysis.report import Rows, markdown
from neurodyn.analysis.seeds import seed_interval


def references(models: list[str]) -> dict[str, str]:
    """Return the networks with attention that are beside their own network without."""
    alone = {model: model.partition("-")[0] for model in models}
    return {model: one for model, one in alone.items() if one != model and one in models}


def gains(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the area under the curve minus that without attention, (problem, seed)."""
    area = analysis.curve_area(result.accuracy)
    return {
        model: area.sel(model=model, drop=True) - area.sel(model=reference, drop=True)
        for model, reference in references(result.model.values.tolist()).items()
    }


def by_model(values: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return (problem, seed) of each network that has them."""
    parts = {str(model): values.sel(model=model, drop=True) for model in values.model.values}
    return {model: part for model, part in parts.items() if part.notnull().any()}


def over_problems(found: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return the means over problems."""
    return {case: values.mean("problem", skipna=False) for case, values in found.items()}


def reliable(found: Mapping[str, xr.DataArray]) -> str:
    """Say of each case in which problems its interval over seeds excludes 0, or has no width."""
    said = []
    for case, values in found.items():
        sides: dict[str, list[str]] = {"held": [], "the opposite": [], "same": [], MISSING: []}
        for problem in values.problem.values:
            gaps = values.sel(problem=problem)
            first = float(gaps[0])
            if first != 0 and np.ptp(gaps.values) < 1e-12:
                sides["same"].append(f"{problem} ({first:+.3f})")
            else:
                sides.setdefault(held(gaps, "higher"), []).append(str(problem))
        above, below = (", ".join(sides[side]) or "none" for side in ("held", "the opposite"))
        same, missing = (
            f"; {name} {', '.join(sides[side])}" if sides[side] else ""
            for name, side in (("the same for every seed in", "same"), ("not finite in", MISSING))
        )
        said.append(f"{case}: higher in {above}; lower in {below}{same}{missing}.")
    return f" By problem, interval by interval, {' '.join(said)}"


def compared(result: xr.Dataset) -> xr.DataArray | None:
    """Return whether problems ask to compare shapes; None unless two do and two do not."""
    tag = analysis.problem_tags(tagged(result).problem.values.tolist()).needs_shape_comparison
    return tag if min(tag.sum(), (~tag).sum()) > 1 else None


def tagged(result: xr.Dataset) -> xr.Dataset:
    """Return the problems that have tags: not the additional ones."""
    return result.isel(problem=result.problem.isin(analysis.problem_tags().problem).values)


def contrasts(values: xr.DataArray, tag: xr.DataArray) -> xr.DataArray:
    """Return the mean of problems that ask to compare shapes minus that of the others, (seed)."""
    with_it, without = (values.sel(problem=tag.problem[tag.values == one]) for one in (True, False))
    return with_it.mean("problem", skipna=False) - without.mean("problem", skipna=False)


def claims(result: xr.Dataset) -> list[str]:
    """Say of each question whether the answer was yes here, from the numbers alone."""
    last = result.isel(images=-1)
    few, many = result.images.values[[0, -1]]
    above = by_model(last.accuracy - 0.5)
    more = by_model(last.accuracy - result.accuracy.isel(images=0))
    said = [
        f"**Which rules are learned from {many} images?** Test accuracy over 1/2.{reliable(above)}",
        claim(
            f"Do more images help, at equal updates? {many} minus {few}:", over_problems(more),
            "higher", reliable(more),
        ),
    ]  # fmt: skip
    gained, tag = gains(result), compared(result)
    if gained:
        question = "Does attention help? Mean accuracy over log set size, minus without it:"
        said.append(claim(question, over_problems(gained), "higher", reliable(gained)))
    if tag is None:
        said.append(
            "**Shapes or places?** Left out: it takes two problems or more of 1 to 23 that ask to "
            "compare shapes, and two that do not."
        )
    else:
        area = by_model(analysis.curve_area(result.accuracy))
        found = {
            case: analysis.relation_contrast(one.sel(problem=tag.problem), tag).p_value
            for case, one in area.items()
        }
        p = "; ".join(f"{case} {printed(float(value))}" for case, value in found.items())
        said.append(
            claim(
                "Are rules harder that ask to compare shapes? Mean accuracy over log set size, "
                "minus that of the others:",
                {case: contrasts(values, tag) for case, values in area.items()}, "lower",
                f" p over problems, the tag dealt at random: {p}.",
            )
        )  # fmt: skip
        if gained:
            said.append(
                claim(
                    "Does attention help more there? Gain, minus that of the others:",
                    {case: contrasts(values, tag) for case, values in gained.items()}, "higher",
                    " Where no network learns the rule there is nothing to gain.",
                )
            )  # fmt: skip
    return said + over_time(last)


def over_time(last: xr.Dataset) -> list[str]:
    """Say what more time at test does, and how far the step is from the dynamics."""
    if "over_time" not in last:
        return []
    euler, adaptive = (last.over_time.sel(solver=name) for name in ("euler", "adaptive"))
    longer = {
        f"{case}, t={t:g}": values
        for t in euler.time.values[euler.time > 1]
        for case, values in by_model(euler.sel(time=t) - euler.sel(time=1)).items()
    }
    apart = over_problems(by_model((adaptive - euler).sel(time=1)))
    return [
        claim(
            "Does more time at test help? Networks were trained at t=1, one Euler step; accuracy "
            "later minus then:", over_problems(longer), "higher", reliable(longer),
        ),
        f"**Dynamics or step?** Accuracy by the adaptive solver minus that by Euler's step, at t=1."
        f"{each_case(apart)}",
    ]  # fmt: skip


def rows(result: xr.Dataset) -> Rows:
    """Return the heading and a row for each problem and network."""
    needed = analysis.images_to_criterion(result.accuracy).median_images
    sizes = result.images.values
    heading = ["problem", "network", *(f"from {n}" for n in sizes), f"in training, of {sizes[-1]}"]
    found = [[*heading, "images to criterion"]]
    for problem in result.problem.values:
        for model in result.model.values:
            one = result.sel(problem=problem, model=model)
            accuracy = seed_interval(one.accuracy)
            cells = [
                MISSING
                if np.isnan(mean)
                else f"{printed(mean)} {printed(*accuracy.mean_ci[k].values)}"
                for k, mean in enumerate(accuracy["mean"].values.tolist())
            ]
            n = float(needed.sel(problem=problem, model=model))
            enough = MISSING if np.isnan(n) else f"over {sizes[-1]}" if np.isinf(n) else f"{n:.0f}"
            training = printed(float(one.training[-1, :, -1].mean()))
            found.append([str(problem), str(model), *cells, training, enough])
    return found


def groups(result: xr.Dataset) -> str:
    """Say how problems cluster and whether that agrees with tags, or why not."""
    result = tagged(result)
    if result.sizes["problem"] < FEWEST:
        return (
            f"Left out: it takes {FEWEST} problems or more of 1 to 23, and here are "
            f"{result.sizes['problem']}. With fewer, chance makes groups as clear as any."
        )
    if lacking := int(result.accuracy.isnull().sum()):
        return f"Left out: {lacking} networks of these have no accuracy, as their loss diverged."
    tree = analysis.cluster_problems(result.accuracy)
    agrees = analysis.compare_groupings(tree.group, analysis.problem_tags())
    parts = [
        ", ".join(map(str, tree.problem.values[tree.group.values == k]))
        for k in np.unique(tree.group)
    ]
    said = "; ".join(
        f"{tag} {agrees.adjusted_rand.sel(tag=tag).item():+.2f} "
        f"(p = {agrees.p_value.sel(tag=tag).item():.3f})"
        for tag in agrees.tag.values
    )
    return (
        f"Cut in two: {' | '.join(parts)}. Support over seeds of the one that formed later: "
        f"{tree.support.values[-2]:.2f}. Adjusted Rand index with tags: {said}."
    )


def people(result: xr.Dataset) -> str:
    """Say what is known of people beside the networks."""
    there = 20 in result.problem.values
    return (
        "Images to criterion: the median over seeds of the set from which seven right answers in a "
        "row are as likely as not (an accuracy of .906); that people stopped there is recalled, "
        "not verified, and who guesses gets there after 254 trials on average. The one verified "
        f"number of people: about six examples on problem 20, which is {'' if there else 'not '}"
        "among these."
    )


def page(result: xr.Dataset) -> str:
    """Return the page in Markdown."""
    config = json.loads(result.attrs["config"])
    run = (
        f"neurodyn {result.attrs['neurodyn_version']}, {result.attrs['precision']} on "
        f"{result.attrs['accelerator']}. {result.attrs['provenance']}; no published number is "
        f"claimed. Images of {config['size']} pixels; {config['width']} channels in the first "
        f"stage. Every network saw {config['updates']} batches of {config['batch_size']} images, "
        f"however large its set: {result.passes.min().item():.3g} to "
        f"{result.passes.max().item():.3g} passes. The last weights were tested on "
        f"{config['test']} images that all networks share; none was chosen by them or by the "
        f"{config['validation']} of validation. One network took "
        f"{result.duration.mean().item():.0f} s on average, of the machine as it was."
    )
    where = (
        "Spatial attention stands after the second stage, where code of the first author has it; "
        "feature-based attention after the third: that code has it after the last "
        '("-feature-last"), where only a mean over positions follows its norm, through which '
        "training can start late."
    )
    return f"""# Which visual rules do networks learn, and where does attention help?

{textwrap.fill(run, 100)}

{textwrap.fill(where, 100)}

**Questions.** Means over problems; intervals: 95%, Student's, over the training seeds
{", ".join(map(str, config["seeds"]))}, without correction for their number. "not shown": the
interval holds 0, or there is none, as all seeds have the same.

{chr(10).join(f"- {sentence}" for sentence in claims(result))}

**Problem by problem.** Test accuracy; chance is 1/2. "In training": accuracy in the last tenth of
the updates, while weights move: where it is high and the test is not, the set was learned by heart.

{markdown(rows(result))}

{textwrap.fill(people(result), 100)}

**Groups of problems.** {groups(result)}"""


def figures(result: xr.Dataset) -> dict[str, Figure]:
    """Draw accuracy over set size, gains, learning, time, attention over images, and the tree."""
    drawn = {"accuracy": analysis.efficiency_curves(analysis.sample_efficiency(result.accuracy))}
    last = result.isel(images=-1)
    paired = references(result.model.values.tolist())
    for reference in dict.fromkeys(paired.values()):
        models = [reference, *(model for model, one in paired.items() if one == reference)]
        gain = analysis.attention_gain(result.accuracy.sel(model=models), reference)
        tag = compared(result)
        if tag is not None:
            gain = gain.sel(problem=tag.problem)
        drawn[f"gain-{reference}"] = analysis.gain_dots(gain, tag)
    learning = last.validation.rename(update="time").assign_coords(
        problem=[f"problem {problem}" for problem in last.problem.values]
    )
    drawn["learning"] = lines(learning.assign_coords(time=result["update"].values), "steps of Adam")
    if "over_time" in last:
        moving = last.over_time.dropna("model", how="all")
        units = result.time.attrs["units"]
        drawn["time"] = lines(moving, units, "solver", ("problem", "model"))
    if "attention" in last:
        shown = last[["attention", "image", "label", "centre"]]
        for model in last.attention.dropna("model", how="all").model.values:
            maps = shown.sel(model=model).dropna("seed", subset=["attention"])
            if maps.sizes["seed"]:
                drawn[f"attention-{model}"] = analysis.attention_maps(maps)
    accuracy = tagged(result).accuracy
    if accuracy.sizes["problem"] >= FEWEST and accuracy.notnull().all():
        tree = analysis.cluster_problems(accuracy)
        drawn["tree"] = analysis.problem_tree(tree, analysis.problem_tags())
    return drawn


def lines(
    values: xr.DataArray, unit: str, line: str = "model", panels: tuple[str, ...] = ("problem",)
) -> Figure:
    """Draw accuracies (problem, model, ..., time, seed): a panel for each of some, and lines."""
    found = seed_interval(values)
    data = xr.Dataset({"accuracy": found["mean"], "accuracy_ci": found.mean_ci})
    data["time"] = ("time", values.time.values, {"units": unit})
    data = data.stack(panel=panels).dropna("panel", how="all", subset=["accuracy"])
    return analysis.accuracy_over_time(data, None, line=line, panel="panel")
