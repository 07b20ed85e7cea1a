"""A page of text about grammars, networks and people: tables, and what they say in words."""

import json
import textwrap

import numpy as np
import xarray as xr
from scipy import special

from neurodyn.analysis.report import Rows, aligned, markdown

__all__ = ["aligned", "findings", "network_table", "page"]


def network_table(networks: xr.Dataset) -> Rows:
    """Return the heading and a row for each grammar and training, with intervals over seeds."""
    families = networks.family.values.tolist()
    rows = [["grammar", "passes", "batch", *(f"{f} [95%]" for f in families),
             "recurrent - feedforward [95%]", "BF"]]  # fmt: skip
    for grammar in networks.grammar.values:
        for epochs in networks.epochs.values:
            for batch in networks.batch.values:
                at = networks.sel(grammar=grammar, epochs=epochs, batch=batch)
                means = [
                    ranged(at.mean_accuracy.sel(family=f), at.mean_accuracy_ci.sel(family=f))
                    for f in families
                ]
                gap = ranged(at.advantage, at.advantage_ci, sign="+")
                rows.append([str(grammar), str(epochs), str(batch), *means, gap,
                             f"{at.advantage_bf.item():.3g}"])  # fmt: skip
    return rows


def ranged(value: xr.DataArray, bounds: xr.DataArray, sign: str = "") -> str:
    """Return a number with its interval; "" if there is none."""
    if not np.isfinite(value.item()):
        return ""
    low, high = bounds.values
    if not np.isfinite([low, high]).all():
        return f"{value.item():{sign}.3f}"
    return f"{value.item():{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def claim_table(claims: xr.Dataset) -> Rows:
    """Return the heading and a row for each claim."""
    rows = [["claim", "setting", "estimate", "95% interval", "over", "BF", "verdict"]]
    for k in claims.claim.values:
        at = claims.sel(claim=k)
        low, high = at.estimate_ci.values
        rows.append([
            at.text.item(), at.setting.item(), f"{at.estimate.item():+.3f}",
            f"[{low:+.3f}, {high:+.3f}]", at.unit.item(), f"{at.bayes_factor.item():.3g}",
            at.verdict.item(),
        ])  # fmt: skip
    return rows


def similarity_table(compare: xr.Dataset) -> Rows:
    """Return the heading and a row for each grammar and metric."""
    families = compare.family.values.tolist()
    rows = [["grammar", "metric", *families, "ceiling", "what the ceiling is"]]
    for grammar in compare.grammar.values:
        for metric in compare.metric.values:
            at = compare.sel(grammar=grammar, metric=metric)
            cells = [ranged(at.value.sel(family=f), at.value_ci.sel(family=f)) for f in families]
            first = at.isel(family=0)
            rows.append([
                str(grammar), at.metric_name.item(), *cells,
                ranged(first.ceiling, first.ceiling_ci), at.ceiling_name.item(),
            ])  # fmt: skip
            if at.why.item():
                rows[-1][2] = f"not there: {at.why.item()}"
    return rows


def edges(networks: xr.Dataset) -> str:
    """Say how often the chosen learning rate is the lowest or the highest of those tried."""
    there = networks.at_edge.notnull()
    at = {str(f): int(networks.at_edge.sel(family=f).sum()) for f in networks.family.values}
    of = {str(f): int(there.sel(family=f).sum()) for f in networks.family.values}
    parts = ", ".join(f"{name} {at[name]} of {of[name]}" for name in at)
    return f"Settings whose learning rate is the lowest or highest of those tried: {parts}."


def findings(result: xr.DataTree) -> list[str]:
    """Say how often each claim held, from the numbers alone."""
    claims = result["claims"].to_dataset()
    said: list[str] = []
    for text in dict.fromkeys(claims.text.values.tolist()):
        verdicts = claims.verdict.values[claims.text.values == text].tolist()
        counts = ", ".join(
            f"{verdict} {verdicts.count(verdict)}" for verdict in ("holds", "fails", "undecided")
        )
        said.append(f"Claim: {text} ({len(verdicts)} settings): {counts}.")
    if result.attrs["people"] == "simulated":
        said.append("People are simulated: what is said of them says nothing about humans.")
    return said


def truth_check(result: xr.DataTree) -> Rows:
    r"""Return what the metrics give for agents like the simulated people, and what they should.

    A twin's answers are drawn anew from its person's true probabilities: gaps should be 0, kappa
    that of two people, areas and distances below those between halves of the people. The truth
    answers the probabilities themselves: its item correlation should be the ceiling, its
    pseudo-R2 :math:`1 - \langle H(p) \rangle / \ln 2` with the entropy H.
    """
    compare, trials = result["compare"].to_dataset(), result["trials"].to_dataset()
    excluded = json.loads(compare.attrs["excluded_blocks"])
    rows = [["grammar", "metric", "of", "found", "should be", "so it is"]]
    for grammar in compare.grammar.values:
        own = (trials.grammar.values == grammar) & ~np.isin(trials.block.values, excluded)
        entropy = special.entr(trials.truth.values[own]) + special.entr(
            1 - trials.truth.values[own]
        )
        certain = 1 - entropy.mean() / np.log(2)
        for metric in compare.metric.values.tolist():
            agent = "truth" if metric in GRADED else "twin"
            at = compare.sel(grammar=grammar, metric=metric, family=agent)
            ceiling, (low, high) = at.ceiling.item(), at.value_ci.values
            if metric in ("curve_area", "history_distance"):
                text, fine = f"at most {ceiling:.3f}", low <= ceiling
            elif metric == "feature_cosine":
                text, fine = f"at least {ceiling:.3f}", high >= ceiling
            else:
                exact = certain if metric == "pseudo_r2" else ceiling
                exact = 0.0 if metric.endswith("_gap") else exact
                text, fine = f"{exact:.3f}", low <= exact <= high
            rows.append([str(grammar), at.metric_name.item(), agent, ranged(at.value, at.value_ci),
                         text, "yes" if fine else "no"])  # fmt: skip
    return rows


GRADED = ("item_correlation", "pseudo_r2", "feature_cosine")
"""Metrics that take probabilities as they are."""


def page(result: xr.DataTree) -> str:
    """Return the page that goes with the figures, in Markdown."""
    config = json.loads(result.attrs["config"])
    networks, compare = result["networks"].to_dataset(), result["compare"].to_dataset()
    simulated = result.attrs["people"] == "simulated"
    who = (
        f"**People are simulated** ({compare.subjects.values.max()} for each grammar, equations "
        "and true parameters in the record): nothing here is about humans."
        if simulated
        else "People: the trials that were given; see the record for their source."
    )
    rows = truth_check(result) if simulated else []
    twins = (
        f"""
**Do the metrics find what is true?** "truth" answers each person's true probabilities, a "twin"
draws its answers anew from them. {sum(row[-1] == "yes" for row in rows)} of {len(rows) - 1} are as
they should be; one in twenty intervals of 95% misses by chance, and the truth's item correlation
stays a little below its ceiling, because people met a string at different times.

{markdown(rows)}
"""
        if simulated
        else ""
    )
    shares = ", ".join(
        f"{name} {share:.0%}"
        for part in (networks, result["complexity"].to_dataset())
        for name, share in zip(part.grammar.values, part.seen_test.values, strict=True)
        if part is networks or name not in networks.grammar.values
    )
    seen = (
        f"Share of test strings that were in training: {shares}. What a network gets right there "
        f"may be memory. {edges(networks)}"
    )
    run = (
        f"neurodyn {result.attrs['neurodyn_version']}. Networks of about {config['budget']} "
        f"parameters in {config['layers']} hidden layers; {networks.sizes['seed']} training seeds, "
        "each with 500 strings to learn, 100 to choose the learning rate on "
        f"({config['learning_rates']} tried) and 200 to be tested on. Overlap of test and "
        f"training: {config['overlap']}. Solver: "
        f"{result.attrs['solver']}. Everything here is a reconstruction: the paper's grammars are "
        "identified indirectly, its learning rates and initial weights are not known."
    )
    return f"""# Artificial grammars: networks, and people beside them

{textwrap.fill(run, 100)}

{markdown(network_table(networks))}

{textwrap.fill(seen, 100)}

Intervals: Student's over training seeds (other strings, weights, orders; seeds are not subjects).
BF: Bayes factor of a difference, JZS, paired by seed.

**What became of the paper's claims.**

{chr(10).join(f"- {sentence}" for sentence in findings(result))}

{markdown(claim_table(result["claims"].to_dataset()))}

"holds" and "fails": the 95% interval of the effect is above or below 0; no correction for the
number of settings. Correlations over the ten regular grammars have Fisher's interval over grammars;
their sign is turned, so that positive bears the claim out.

![The advantage of recurrent networks over ten grammars](advantage.png)

## People and learners on the same trials

{textwrap.fill(who, 100)}

Each learner is yoked: it sees one person's strings and feedback in that person's order, and answers
before the feedback; {config["yoked_seeds"]} training seeds for each person. Learning rates: those
that are best on validation strings in one pass with the smallest batch; continuous-time networks
take the recurrent ones' (in the record: `compare/learning_rate`).
Blocks {result["compare"].attrs["excluded_blocks"]} are left out of the comparison, as in the
paper networks are chosen by their distance to people there.

![Learning curves](curves.png)

The dotted line is one half. A learner of strings may fall below it: the source of each violation is
in the same set, with the opposite label.

![Accuracy by length](lengths.png)

![Similarity](similarity.png)

{markdown(similarity_table(compare))}

Intervals: bootstrap over people, strings and seeds ({config["resamples"]} resamples); curves,
choices and weights over people and seeds. Learners answer yes from P = 1/2 up.
{twins}"""
