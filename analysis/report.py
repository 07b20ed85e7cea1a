"""A page of text about accuracy under noise: a table, and what it says in words."""

import json
import textwrap
from collections.abc import Sequence

import xarray as xr

Rows = list[list[str]]


def verdict(low: float, high: float) -> str:
    """Say what an interval of a difference allows to say.

    Examples
    --------
    >>> verdict(0.01, 0.05), verdict(-0.05, -0.01), verdict(-0.01, 0.05)
    ('higher', 'lower', 'no reliable difference')
    """
    return "higher" if low > 0 else "lower" if high < 0 else "no reliable difference"


def table(result: xr.Dataset, reference: str = "feedforward") -> Rows:
    """Return the heading and one row for each noise and solver.

    Parameters
    ----------
    result : Dataset
        ``accuracy``, ``difference`` (noise, solver, time) and ``difference_ci`` (..., ci_bound),
        as `neurodyn.studies.predify` returns them.
    reference : str
        The solver that the differences are taken from; it has no row of its own, because its
        answer is that of the others at the first time.
    """
    first, last = result.time.values[[0, -1]]
    heading = ["noise", "solver", f"t={first:g}", f"t={last:g}", "best", "at t"]
    heading += [f"t={last:g} minus {reference}", "95% interval", "so accuracy is"]
    rows = [heading]
    for noise in result.noise.values:
        for solver in result.solver.values:
            if solver == reference:
                continue
            line = result.sel(noise=noise, solver=solver)
            low, high = line.difference_ci.isel(time=-1).values
            best = line.accuracy.argmax("time")
            rows.append(
                [
                    str(noise),
                    str(solver),
                    f"{line.accuracy.values[0]:.3f}",
                    f"{line.accuracy.values[-1]:.3f}",
                    f"{line.accuracy.values[best]:.3f}",
                    f"{line.time.values[best]:g}",
                    f"{line.difference.values[-1]:+.3f}",
                    f"[{low:+.3f}, {high:+.3f}]",
                    verdict(low, high),
                ]
            )
    return rows


def aligned(rows: Rows) -> str:
    """Return a table as plain text, columns aligned.

    Examples
    --------
    >>> print(aligned([["noise", "t=0"], ["gaussian 0.2", "0.5"]]))
    noise         t=0
    gaussian 0.2  0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def markdown(rows: Rows) -> str:
    """Return a table in Markdown.

    Examples
    --------
    >>> print(markdown([["noise", "t=0"], ["clean", "0.9"]]))
    | noise | t=0 |
    | --- | --- |
    | clean | 0.9 |
    """
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def findings(result: xr.Dataset, reference: str = "feedforward") -> list[str]:
    """Return sentences that follow from the numbers and from nothing else.

    Parameters
    ----------
    result, reference
        As for `table`; ``accuracy_ci`` and, if the two were compared, ``ode_minus_predify``
        (noise, time) with its interval.
    """
    last = result.isel(time=-1)
    said = []
    for solver in result.solver.values:
        if solver == reference:
            continue
        line = last.sel(solver=solver)
        groups: dict[str, list[str]] = {}
        for noise in result.noise.values:
            low, high = line.difference_ci.sel(noise=noise).values
            change = f"{noise} ({line.difference.sel(noise=noise).item():+.3f})"
            groups.setdefault(verdict(low, high), []).append(change)
        at = f"{solver} at t={last.time.item():g}"
        said += [
            f"{at} is more accurate than {reference} under: {listed(groups.get('higher', []))}.",
            f"{at} is less accurate than {reference} under: {listed(groups.get('lower', []))}.",
            f"{at} does not differ reliably from {reference} (the interval holds 0) under: "
            f"{listed(groups.get('no reliable difference', []))}.",
            fall(result.sel(solver=solver)),
        ]
    if "ode_minus_predify" in result:
        said += [agreement(last), furthest(result)]
    return said


def listed(names: Sequence[str]) -> str:
    """Join names; say so if there are none."""
    return ", ".join(names) or "no condition"


def fall(line: xr.Dataset) -> str:
    """Say where one solver's accuracy at the end is below its own peak."""
    drops = line.accuracy.max("time") - line.accuracy.isel(time=-1)
    fallen = [
        f"{noise} (-{drop:.3f} since t={line.time.values[peak]:g})"
        for noise, drop, peak in zip(
            line.noise.values, drops.values, line.accuracy.argmax("time").values, strict=True
        )
        if drop > 0
    ]
    return f"{line.solver.item()} ends below its own peak under: {listed(fallen)}."


def agreement(last: xr.Dataset) -> str:
    """Say whether the differential equation and the published step end apart."""
    apart = [
        f"{noise} ({difference:+.3f})"
        for noise, difference, (low, high) in zip(
            last.noise.values,
            last.ode_minus_predify.values,
            last.ode_minus_predify_ci.values,
            strict=True,
        )
        if verdict(low, high) != "no reliable difference"
    ]
    largest = abs(last.ode_minus_predify).max().item()
    return (
        f"ode and predify differ reliably at t={last.time.item():g} (ode minus predify) under: "
        f"{listed(apart)}; the largest difference is {largest:.3f}."
    )


def furthest(result: xr.Dataset) -> str:
    """Say when the differential equation and the published step are furthest apart."""
    apart = result.ode_minus_predify
    at = abs(apart).argmax(...)
    low, high = result.ode_minus_predify_ci.isel(at).values
    there = apart.isel(at)
    return (
        f"Over all times they are furthest apart at t={there.time.item():g} under "
        f"{there.noise.item()}: {there.item():+.3f} [{low:+.3f}, {high:+.3f}] (picked for being "
        "the largest)."
    )


def page(result: xr.Dataset) -> str:
    """Return the page that goes with the figure, in Markdown.

    Parameters
    ----------
    result : Dataset
        From `neurodyn.studies.predify`, with its attributes.
    """
    config = json.loads(result.attrs["config"])
    nfe = json.loads(result.attrs["nfe"])
    sizes = result.sizes
    run = (
        f"**Run.** neurodyn {result.attrs['neurodyn_version']}, `pc_shallow` with its pretrained "
        f"weights, {config['precision']} on {config['device']}. The first {sizes['sample']} of the "
        f"2,000 test digits, clean and under {sizes['noise'] - 1} levels of noise, "
        f"{sizes['seed']} draws of the noise on each image (noise seeds "
        f"{', '.join(map(str, result.seed.values))}). Rates per published step: beta "
        f"{config['feedforward']:.3g}, lambda {config['feedback']:.3g}, alpha "
        f"{config['error']:.3g}. From the feed-forward pass (t=0) to t={config['duration']}, in "
        "published steps."
    )
    return f"""# Predictive coding on noisy digits

{textwrap.fill(run, 100)}

- feedforward: the network without dynamics. The others start from it: their t=0 is its answer.
- predify: the published rule, one layer after the other, Euler with a step of 1
  ({nfe["predify"]} evaluations in all).
- ode: the differential equation, {config["method"]} with rtol {config["rtol"]:g} and
  atol {config["atol"]:g} ({nfe["ode"]} evaluations in all).

{markdown(table(result))}

**What the numbers say.**

{chr(10).join(f"- {sentence}" for sentence in findings(result))}

![Accuracy over time](figure.png)

**How to read them.** Intervals are 95% percentile bootstraps over images; the draws of the noise
on an image stay together, and both members of a difference use the same images and the same noise
(paired). They hold point by point: with {2 * (sizes["noise"])} comparisons in the table, some may
exclude 0 by chance. They are about other digits of this kind, not about other trained networks:
there is one set of weights. "best" is the highest accuracy over time, its time chosen on the same
images, and so it flatters; compare the solvers at the last time. The last time is not the fixed
point: where the lines still move, so does the answer.
"""
