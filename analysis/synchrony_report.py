"""A page of text about synchrony and several objects: tables, and what they say in words."""

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr

from neurodyn.analysis.report import Rows, markdown, verdict
from neurodyn.analysis.seeds import seed_interval

Published = Mapping[tuple[str, str], tuple[float, float]]


def table(result: xr.Dataset, published: Published) -> Rows:
    """Return the heading and a row for each kind of scene and way.

    Parameters
    ----------
    result : Dataset
        From `neurodyn.studies.komplexnet`.
    published : mapping
        (scene, way) -> accuracies at the first and the last step, as digitised.
    """
    rows = [["scenes", "way", "t=0", "t=1", "t=15", "95% over seeds", "recall t=15", "ARI t=15",
             "t=15 minus real", "95% over seeds", "published t=1", "t=15"]]  # fmt: skip
    for scene in result.scene.values:
        for way in result.way.values:
            line = result.sel(scene=scene, way=way)
            low, high = line.accuracy_ci.isel(time=-1).values
            below, above = line.difference_ci.isel(time=-1).values
            ari = float(line.mean_foreground_ari.isel(time=-1))
            theirs = published.get((str(scene), str(way)), (np.nan, np.nan))
            rows.append([
                str(scene), str(way), *(f"{line.accuracy.values[t]:.3f}" for t in (0, 1, -1)),
                f"[{low:.3f}, {high:.3f}]", f"{line.mean_recall.values[-1]:.3f}",
                "" if np.isnan(ari) else f"{ari:.3f}",
                f"{line.difference.values[-1]:+.3f}", f"[{below:+.3f}, {above:+.3f}]",
                *("" if np.isnan(x) else f"{x:.3f}" for x in theirs),
            ])  # fmt: skip
    return rows


def claims(result: xr.Dataset) -> list[str]:
    """Say of each claim of the abstract whether it held here, from the numbers alone."""
    said = []
    for scene in result.scene.values:
        last = result.sel(scene=scene).isel(time=-1)
        pairs = last.exact.mean("sample")
        for other in ("real", "random", "ideal"):
            gap = (pairs.sel(way="komplexnet") - pairs.sel(way=other)).values
            said.append(f"{scene}: KomplexNet against {other}: {interval(gap)}.")
        gap = (pairs.sel(way="feedback") - pairs.sel(way="komplexnet")).values
        said.append(f"{scene}: feedback against none: {interval(gap)}.")
        gap = (pairs.sel(way="komplexnet, ODE") - pairs.sel(way="komplexnet")).values
        said.append(f"{scene}: adaptive solver against Euler's step of 1: {interval(gap)}.")
    return said


def interval(gaps: np.ndarray) -> str:
    """Say a difference paired by seed, its Student interval, and whether it is reliable."""
    found = seed_interval(xr.DataArray(gaps, dims="seed"))
    low, high = found.mean_ci.values
    if low == high:
        return f"{float(found['mean']):+.3f}, the same for every seed: no interval"
    return f"{float(found['mean']):+.3f} [{low:+.3f}, {high:+.3f}], {verdict(low, high)}"


def page(result: xr.Dataset, published: Published) -> str:
    """Return the page that goes with the figures, in Markdown."""
    config = json.loads(result.attrs["config"])
    return f"""# Synchrony and several digits

neurodyn {result.attrs["neurodyn_version"]}; {config["images"]} scenes of each kind from the test
digits (scene seed {config["seed"]}); networks trained on two digits from the seeds
{", ".join(map(str, result.seed.values))}. Accuracy: all digits shown are those with the largest
logits, as many as there are; recall: the share of them. ARI: agreement of clusters of phases with
the digits, foreground only. Intervals are Student's over training
seeds, for these scenes and one draw of initial phases; with {5 * result.sizes["scene"]} comparisons
below and no correction, one in twenty would exclude 0 by chance.

{markdown(table(result, published))}

**Does synchrony help?** Differences in accuracy at t=15, paired by training seed, 95% interval.

{chr(10).join(f"- {sentence}" for sentence in claims(result))}

![Accuracy and synchrony over time](accuracy.png)

![Phases](phases.png)

**How to read it.** The published values are digitised from a figure of the authors; their
definition of accuracy for several digits is not known, their filters' initial values are not
released, their canvases are made from all of MNIST, and their networks were trained on a GPU for 30
epochs through all steps, with new random phases at every presentation. These had another schedule
(see `neurodyn train komplexnet --help`), so the columns may be compared between ways, not with the
published ones. "ideal, substituted" is KomplexNet's own weights with phases from the masks.
"""
