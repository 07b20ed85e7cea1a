"""A page of text about global agreement: tables, the claims, and dynamics or step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from neurodyn.analysis.report import Rows, markdown, verdict
from neurodyn.analysis.seeds import seed_interval
from neurodyn.analysis.step_or_dynamics import step_or_dynamics


@dataclass(frozen=True)
class Subject:
    """Which ways of a study the claims are about.

    Attributes
    ----------
    name : str
        The model, in words.
    way : str
        The model as published: Euler's method.
    against : sequence of str
        The controls that its last answers are compared with; the first is the plain network.
    noisy : sequence of str
        The scenes with noise.
    clean : str
        The same scenes without.
    two_by_two : mapping
        (trained, tested) to way: trained "euler" or "rk4", tested "euler" or "adaptive".
    """

    name: str
    way: str
    against: Sequence[str]
    noisy: Sequence[str]
    clean: str
    two_by_two: Mapping[tuple[str, str], str]


def accuracy_table(result: xr.Dataset) -> Rows:
    """Return the heading and a row for each scene and way."""
    last = f"t={result.time.values[-1]:g}"
    reference = result.attrs["reference"]
    heading = ["scenes", "way", "t=0", "best", "at t", last, "95% over seeds"]
    rows = [[*heading, f"{last} minus {reference}", "95% over seeds", "so accuracy is"]]
    for scene in result.scene.values:
        for way in result.way.values:
            line = result.sel(scene=scene, way=way)
            low, high = line.accuracy_ci.isel(time=-1).values
            below, above = line.difference_ci.isel(time=-1).values
            best = int(line.accuracy.argmax("time"))
            own = way == reference
            rows.append([
                str(scene), str(way), f"{line.accuracy.values[0]:.3f}",
                f"{line.accuracy.values[best]:.3f}", f"{line.time.values[best]:g}",
                f"{line.accuracy.values[-1]:.3f}", f"[{low:.3f}, {high:.3f}]",
                "" if own else f"{line.difference.values[-1]:+.3f}",
                "" if own else f"[{below:+.3f}, {above:+.3f}]",
                "" if own else verdict(below, above),
            ])  # fmt: skip
    return rows


def claims(result: xr.Dataset, subject: Subject) -> list[str]:
    """Say of each claim of the abstract whether it held here, from the numbers alone.

    Differences are paired by training seed; intervals are Student's.
    """
    share = result.exact.mean("sample")
    model = share.sel(way=subject.way)
    last = model.isel(time=-1)
    said = []
    for other in subject.against:
        there = share.sel(way=other).isel(time=-1)
        found = {
            str(s): said_of(last.sel(scene=s) - there.sel(scene=s)) for s in result.scene.values
        }
        said.append(
            f"**More accurate than {other}?** "
            + "; ".join(f"{scene}: {text}" for scene, text in found.items())
            + "."
        )
    gain = last - share.sel(way=subject.against[0]).isel(time=-1)
    lost = [
        f"{scene}: {said_of(gain.sel(scene=scene) - gain.sel(scene=subject.clean))}"
        for scene in subject.noisy
    ]
    said.append(
        f"**More robust to noise?** What {subject.name} gains over {subject.against[0]} under "
        f"noise, minus what it gains on {subject.clean}: {'; '.join(lost)}."
    )
    gained = [
        f"{scene}: {said_of(last.sel(scene=scene) - model.isel(time=0).sel(scene=scene))}"
        for scene in result.scene.values
    ]
    said.append(
        f"**Does accuracy grow over time?** t={result.time.values[-1]:g} minus t=0: "
        f"{'; '.join(gained)}."
    )
    return said


def said_of(gaps: xr.DataArray) -> str:
    """Say a difference, its interval over seeds, and whether it is reliable."""
    found = seed_interval(gaps)
    low, high = found.mean_ci.values
    if high - low < 1e-12:
        return f"{float(found['mean']):+.3f}, the same for every seed"
    return f"{float(found['mean']):+.3f} [{low:+.3f}, {high:+.3f}] {verdict(low, high)}"


def two_by_two(result: xr.Dataset, subject: Subject) -> xr.Dataset:
    """Return the verdict, dynamics or step, on the last answers of each scene."""
    exact = result.exact.isel(time=-1).mean("sample")
    rows = [
        xr.concat(
            [exact.sel(way=subject.two_by_two[k, q], drop=True) for q in ("euler", "adaptive")],
            xr.DataArray(["euler", "adaptive"], dims="tested", name="tested"),
        )
        for k in ("euler", "rk4")
    ]
    return step_or_dynamics(
        xr.concat(rows, xr.DataArray(["euler", "rk4"], dims="trained", name="trained"))
    )


def verdict_table(found: xr.Dataset) -> Rows:
    """Return the heading and a row for each scene of `two_by_two`."""
    rows = [["scenes", "verdict", "because (Euler minus adaptive)"]]
    for scene in found.scene.values:
        here = found.sel(scene=scene)
        rows.append([str(scene), str(here.verdict.item()), str(here.reason.item())])
    return rows


def flip_table(found: Mapping[str, xr.Dataset]) -> Rows:
    """Return, for each case, similarities one and two steps back at the end, over samples."""
    rows = [["case", "solver", "layer", "lag 1", "lag 2", "period 2 in"]]
    for case, data in found.items():
        last = data.isel(time=-1)
        for solver in data.solver.values:
            for layer in data.layer.values:
                here = last.sel(solver=solver, layer=layer)
                rows.append([
                    case, str(solver), str(layer),
                    *(f"{float(here.similarity.sel(lag=k).mean('sample')):.2f}" for k in (1, 2)),
                    f"{int(here.flips.sum())} of {data.sizes['sample']}",
                ])  # fmt: skip
    return rows


def page(
    result: xr.Dataset, subject: Subject, title: str, setting: str, more: str = "",
    figures: Sequence[tuple[str, str]] = (),
) -> str:  # fmt: skip
    """Return the page that goes with the figures, in Markdown.

    Parameters
    ----------
    result : Dataset
        From the study.
    subject : Subject
        What it is about.
    title, setting : str
        The heading, and what was trained on what.
    more : str
        What only this study has.
    figures : sequence of (str, str)
        Caption and file name.
    """
    config = json.loads(result.attrs["config"])
    comparisons = result.sizes["scene"] * (len(subject.against) + 2)
    step = two_by_two(result, subject)
    return f"""# {title}

{setting} neurodyn {result.attrs["neurodyn_version"]}; {config["images"]} scenes of each kind from
the test split (scene seed {config["seed"]}); networks from the training seeds
{", ".join(map(str, result.seed.values))}. {result.attrs["provenance"]}; no published number is
claimed. Accuracy: all categories shown are those with the largest logits, as many as there are.
Solvers: {result.attrs["solver"]}.

{markdown(accuracy_table(result))}

**The claims.** Differences in accuracy at t={result.time.values[-1]:g}, paired by training seed,
95% interval; with {comparisons} comparisons and no correction, one in twenty would exclude 0 by
chance.

{chr(10).join(f"- {sentence}" for sentence in claims(result, subject))}

**Dynamics or step?** Networks trained with Euler's method and with rk4, each tested with Euler's
step of 1 and with an adaptive solver. "step" only if both intervals exclude 0 on the same side,
"dynamics" only if both lie within {step.attrs["margin"]:g} of 0.

{markdown(verdict_table(step))}

{more}

{chr(10).join(f"![{caption}]({name})" + chr(10) for caption, name in figures)}"""
