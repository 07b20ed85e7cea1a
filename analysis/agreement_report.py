"""A page of text about global agreement: tables, the claims, and dynamics or step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodyn.analysis.report import Rows, markdown, verdict
from neurodyn.analysis.seeds import seed_interval
from neurodyn.analysis.step_or_dynamics import TESTED, TRAINED, step_or_dynamics


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
    trained : (float, float)
        The first and the last time that networks were trained to answer at. Claims and verdicts
        are about the last (or the last that was read, if that is earlier).
    two_by_two : mapping
        (trained, tested) to way: trained "euler" or "rk4", tested "euler" or "adaptive".
    """

    name: str
    way: str
    against: Sequence[str]
    noisy: Sequence[str]
    clean: str
    trained: tuple[float, float]
    two_by_two: Mapping[tuple[str, str], str]


MISSING = "missing"


def judged(result: xr.Dataset, subject: Subject) -> float:
    """Return the time that claims and verdicts are about."""
    return min(subject.trained[1], float(result.time[-1]))


def accuracy_table(result: xr.Dataset, subject: Subject) -> Rows:
    """Return the heading and a row for each scene and way; a NaN is "missing"."""
    when = judged(result, subject)
    last = f"t={when:g}"
    reference = result.attrs["reference"]
    heading = ["scenes", "way", "t=0", "best of all times", "at t", last, "95% over seeds"]
    rows = [[*heading, f"{last} minus {reference}", "95% over seeds", "so accuracy is"]]
    for scene in result.scene.values:
        for way in result.way.values:
            line = result.sel(scene=scene, way=way)
            ends = line.sel(time=when)
            best = int(line.accuracy.fillna(-np.inf).argmax("time"))
            largest = line.accuracy.values[best]
            row = [str(scene), str(way), printed(line.accuracy.values[0])]
            row.append(printed(largest))
            row.append(MISSING if np.isnan(largest) else f"{line.time.values[best]:g}")
            row += [printed(ends.accuracy.item()), printed(*ends.accuracy_ci.values)]
            if way == reference:
                rows.append([*row, "", "", ""])
                continue
            low, high = ends.difference_ci.values
            row += [printed(ends.difference.item(), sign="+"), printed(low, high, sign="+")]
            rows.append([*row, MISSING if np.isnan(low + high) else verdict(low, high)])
    return rows


def printed(*values: float, sign: str = "") -> str:
    """Return a number, or the two of an interval, as text.

    Examples
    --------
    >>> printed(0.5), printed(-0.1, 0.2, sign="+"), printed(np.nan)
    ('0.500', '[-0.100, +0.200]', 'missing')
    """
    if np.isnan(values).any():
        return MISSING
    texts = [f"{value:{sign}.3f}" for value in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def comparisons(result: xr.Dataset, subject: Subject) -> dict[str, dict[str, xr.DataArray]]:
    """Return the differences (seed) that each claim of the abstract is judged by.

    For each claim, as a question, and scene a difference in accuracy, paired by training seed.
    """
    share = result.exact.astype(float).mean("sample", skipna=False)
    model, reference = share.sel(way=subject.way), subject.against[0]
    begin, end = subject.trained[0], judged(result, subject)
    first, last = model.sel(time=begin), model.sel(time=end)
    gains = {other: last - share.sel(way=other, time=end) for other in subject.against}
    scenes = [str(scene) for scene in result.scene.values]
    found = {
        f"**More accurate than {other}?**": {scene: gain.sel(scene=scene) for scene in scenes}
        for other, gain in gains.items()
    }
    clean = gains[reference].sel(scene=subject.clean)
    robust = (
        f"**More robust to noise?** What {subject.name} gains over {reference} under noise, minus "
        f"what it gains on {subject.clean}:"
    )
    found[robust] = {scene: gains[reference].sel(scene=scene) - clean for scene in subject.noisy}
    grows = f"**Does accuracy grow over time?** t={end:g} minus t={begin:g}:"
    found[grows] = {scene: (last - first).sel(scene=scene) for scene in scenes}
    return found


def claims(result: xr.Dataset, subject: Subject) -> list[str]:
    """Say of each claim of the abstract whether it held here, from the numbers alone.

    Differences are paired by training seed; intervals are Student's.
    """
    return [
        f"{claim} {'; '.join(f'{scene}: {said_of(gaps)}' for scene, gaps in found.items())}."
        for claim, found in comparisons(result, subject).items()
    ]


def said_of(gaps: xr.DataArray) -> str:
    """Say a difference, its interval over seeds, and whether it is reliable.

    Examples
    --------
    >>> said_of(xr.DataArray([0.11, 0.1, 0.09], dims="seed"))
    '+0.100 [+0.075, +0.125] higher'
    >>> said_of(xr.DataArray([0.1, np.nan, 0.1], dims="seed"))
    'missing'
    """
    found = seed_interval(gaps)
    mean, (low, high) = float(found["mean"]), found.mean_ci.values
    if np.isnan(low + high):
        return MISSING
    if high - low < 1e-12:
        return f"{mean:+.3f}, the same for every seed"
    return f"{mean:+.3f} {printed(low, high, sign='+')} {verdict(low, high)}"


def two_by_two(result: xr.Dataset, subject: Subject) -> xr.Dataset:
    """Return the verdict, dynamics or step, on the answers of each scene at the judged time."""
    rows = [
        xr.concat(
            [result.exact.sel(way=subject.two_by_two[k, q], drop=True) for q in TESTED],
            xr.DataArray(list(TESTED), dims="tested", name="tested"),
        )
        for k in TRAINED
    ]
    exact = xr.concat(rows, xr.DataArray(list(TRAINED), dims="trained", name="trained"))
    return step_or_dynamics(
        exact.sel(time=judged(result, subject), drop=True), exact.isel(time=0, drop=True)
    )


def verdict_table(found: xr.Dataset) -> Rows:
    """Return the heading and a row for each scene of `two_by_two`."""
    rows = [["scenes", "verdict", "because (Euler minus adaptive)"]]
    for scene in found.scene.values:
        here = found.sel(scene=scene)
        rows.append([str(scene), str(here.verdict.item()), str(here.reason.item())])
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
    when = judged(result, subject)
    made = sum(len(found) for found in comparisons(result, subject).values())
    step = two_by_two(result, subject)
    return f"""# {title}

{setting} neurodyn {result.attrs["neurodyn_version"]}; {config["images"]} scenes of each kind from
the test split (scene seed {config["seed"]}); networks from the training seeds
{", ".join(map(str, result.seed.values))}. {result.attrs["provenance"]}; no published number is
claimed. Accuracy: all categories shown are those with the largest logits, as many as there are.
Gaussian noise is named by its standard deviation, salt-and-pepper by its share of pixels.
Solvers: {result.attrs["solver"]}.

{markdown(accuracy_table(result, subject))}

**The claims.** Differences in accuracy at t={when:g}, paired by training seed,
95% interval; with {made} comparisons and no correction, one in twenty would exclude 0 by
chance. Networks were trained to answer from t={subject.trained[0]:g} to
t={subject.trained[1]:g}: at t=0 they were not, and later times are beyond their training.

{chr(10).join(f"- {sentence}" for sentence in claims(result, subject))}

**Dynamics or step?** Networks trained with Euler's method and with rk4, each tested with Euler's
step of 1 and with an adaptive solver. "step" only if both intervals exclude 0 on the same side,
"dynamics" only if both lie within {step.attrs["margin"]:g} of 0 and what changes from t=0 to
t={when:g}, by the adaptive solver, excludes 0 in both rows: solvers agree where nothing happens.
"no effect of time" if that lies within {step.attrs["margin"]:g} of 0 in both rows as well.

{markdown(verdict_table(step))}

{more}

{chr(10).join(f"![{caption}]({name})" + chr(10) for caption, name in figures)}"""
