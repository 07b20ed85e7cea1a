"""Artificial grammars: networks of several families learn them, and are compared with people."""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis import grammar_claims, grammar_report
from neurodyn.analysis.validation import best_on_validation, over_settings
from neurodyn.cells import cell, in_processes
from neurodyn.models.grammar_nets import width_for
from neurodyn.models.grammar_optimisers import learning_rates as search
from neurodyn.models.participants import simulated_participants
from neurodyn.models.train_grammar import train_nets
from neurodyn.models.yoke_grammar import yoked
from neurodyn.stimuli.grammar import TEN_REGULAR, grammar, grammar_names, published
from neurodyn.stimuli.grammar_items import stimulus_set

FIRST_WINDOW = 120
"""Trials that a person needs for the first point of the paper's learning curve."""
MEASURES = ("letters", "states", "transitions", "bigrams", "shortest")
FAMILIES = ("feedforward", "recurrent", "continuous")
LEARNERS = (*FAMILIES, "chunk", "exemplar")
SOLVER = {"method": "rk4", "step_size": 0.5}
"""Of the continuous-time networks: with longer steps they learn the step, not the equation."""
FEATURES = ("grammatical", "chunk_strength_global", "novel_chunks", "length")
REFERENCES = (
    "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861; "
    "Schiff & Katan (2014), Front. Psychol. 5:1084"
)


class Training(NamedTuple):
    """One cell: which networks learn which grammar how long."""

    grammar: str
    family: str
    epochs: int
    batch: int


def agl(
    *,
    out: str | Path = "results/agl",
    humans: Path | None = None,
    grammars: tuple[str, ...] = ("A", "B", "CF", "CS"),
    seeds: int = 10,
    subjects: int = 12,
    yoked_seeds: int = 3,
    budget: int = 1400,
    layers: int = 2,
    learning_rates: int = 5,
    epochs: tuple[int, ...] = (1, 10),
    batch: tuple[int, ...] = (1, 15),
    overlap: Literal["allowed", "disjoint"] = "allowed",
    resamples: int = 300,
    seed: int = 0,
    workers: int | None = None,
) -> xr.DataTree:
    """Artificial grammars: which networks learn them, and which do so as people do.

    Feed-forward, recurrent and continuous-time recurrent networks of equal numbers of parameters
    learn the paper's four grammars from 500 strings and are tested on 200, each seed with strings
    of its own; so do feed-forward and recurrent networks for the ten regular grammars of the
    paper's second experiment. The learning rate is chosen on 100 validation strings. Then learners
    of five kinds see exactly the trials of each person, and people and learners are compared.

    People are simulated by default, with a known truth, and say nothing about humans. Two more
    learners then check every metric: "truth", which answers each person's true probabilities, and
    "twin", whose yes or no is drawn anew from them.

    Parameters
    ----------
    out : path
        Folder for agl.nc, the figures, summary.md and cells/, where each training is kept as soon
        as it is done; the same command goes on from there.
    humans : path, optional
        A file or folder of people's trials that `neurodyn.analysis.read_trials` reads without
        options, such as the experiment's own data, instead of simulated people; the trials of its
        phases "train" and "implicit" are used.
    grammars : tuple of str
        Of `neurodyn.stimuli.grammar.grammar_names`; with `humans`, those of the data are compared.
    seeds : int
        Training seeds: of strings, untrained weights and order.
    subjects : int
        Simulated people for each grammar.
    yoked_seeds : int
        Networks for each person, with untrained weights of their own.
    budget, layers : int
        Free parameters aimed at, and hidden layers, of all networks.
    learning_rates : int
        How many are tried, evenly spaced in their logarithm over the range of the family.
    epochs, batch : tuple of int
        Passes through the strings, and strings a step: each with each (continuous-time networks
        only with the largest batch).
    overlap : {"allowed", "disjoint"}
        Whether test strings may occur in training, as random walks have it; how many do is
        recorded. Languages too small for disjoint sets overlap anyway.
    resamples : int
        Of the bootstrap over subjects, items and seeds.
    seed : int
        Of simulated people and the bootstrap; training seeds are 1000 * seed, 1000 * seed + 1, ...
    workers : int, optional
        Processes side by side, one a core by default; a script that makes several needs
        ``if __name__ == "__main__":``. The numbers do not depend on it.

    Returns
    -------
    DataTree
        ``networks``: "accuracy" (grammar, family, epochs, batch, seed), its mean and interval, the
        "advantage" of recurrent over feed-forward networks. ``complexity``: the same for the ten
        grammars, and correlations with their complexity. ``claims``. ``curves`` and ``lengths``:
        accuracy of people and learners over strings seen, and by length. ``compare``: likeness by
        metric, with ceilings. ``trials``: people's trials with the learners' answers.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861.
    Schiff & Katan (2014), Front. Psychol. 5:1084.
    """
    config = {k: value for k, value in locals().items() if k not in ("out", "workers")}
    processes = torch.get_num_threads() if workers is None else workers
    config["humans"] = "" if humans is None else str(humans)
    people = None if humans is None else learning(analysis.read_trials(humans))
    check(people, workers=processes, **config)
    folder = Path(out)
    numbers = range(1000 * seed, 1000 * seed + seeds)
    plan = [
        Training(g, f, e, b) for e in epochs for b in batch for g in grammars for f in FAMILIES
        if f != "continuous" or b == max(batch)
    ]  # fmt: skip
    plan += [
        Training(g, f, e, max(batch)) for e in epochs for g in TEN_REGULAR for f in FAMILIES[:2]
    ]  # fmt: skip
    plan = sorted(dict.fromkeys(plan), key=cost, reverse=True)
    train = partial(trained, folder / "cells", numbers, budget, layers, learning_rates, overlap)
    print(f"training {len(plan)} kinds of network, {seeds} seeds each")
    found = in_processes([partial(train, one) for one in plan], processes)
    cells = dict(zip(plan, found, strict=True))
    networks = over_settings(cells, grammars, FAMILIES, epochs, batch)
    ten = over_settings(cells, TEN_REGULAR, FAMILIES[:2], epochs, (max(batch),))
    ten = with_complexity(ten.squeeze("batch", drop=True))

    if people is None:
        people = simulated(grammars, subjects, seed)
    names = list(dict.fromkeys(people.grammar.values.tolist()))
    rates = rates_for_people(cells, names)
    learn = partial(followed, folder / "cells", people, rates, budget, layers, yoked_seeds)
    everyone = len(np.unique(people.subject.values))
    print(f"{len(LEARNERS)} kinds of learner see the trials of {everyone} people")
    pairs = [(g, f) for f in ("continuous", *LEARNERS[:2], *LEARNERS[3:]) for g in names]
    followers = in_processes([partial(learn, *p) for p in pairs], processes)
    answers = joined(people, dict(zip(pairs, followers, strict=True)), yoked_seeds, seed)
    how: dict[str, Any] = {"resamples": resamples, "seed": seed}
    print("comparing")
    measured = measures(people, names)
    rows = [np.flatnonzero(people.grammar.values == name) for name in names]
    compared = xr.concat(
        in_processes(
            [
                partial(
                    analysis.compare, people.isel(trial=own), answers.isel(trial=own),
                    items=measured, features=FEATURES, **how,
                )
                for own in rows
            ],
            processes,
        ),
        dim="grammar", data_vars="minimal", coords="minimal", compat="override", join="override",
        combine_attrs="override",
    )  # fmt: skip
    compared["learning_rate"] = rates.reindex(family=compared.family.values)
    learners = answers.sel(family=list(LEARNERS))
    x: Literal["n_seen", "block"] = "n_seen" if people.position.max() >= FIRST_WINDOW else "block"
    parts = {
        "/networks": networks,
        "/complexity": ten,
        "/claims": grammar_claims.claims(networks, ten),
        "/curves": analysis.accuracy_of_agents(people, learners, x, **how),
        "/lengths": analysis.accuracy_of_agents(people, learners, "length", **how),
        "/compare": compared,
        "/trials": people.assign(output=answers.output),
    }
    for part in parts.values():
        part.attrs["provenance"] = "reconstruction"
    root = xr.Dataset(attrs=provenance(config, seed, people))
    result = xr.DataTree.from_dict({"/": root, **parts})
    write(result, folder, names)
    return result


def cost(one: Training) -> float:
    """Return roughly how long a cell takes, so that long ones begin first."""
    return one.epochs / one.batch * {"feedforward": 1, "recurrent": 4, "continuous": 60}[one.family]


@cache
def sets(name: str, seeds: range, overlap: Literal["allowed", "disjoint"]) -> list[xr.Dataset]:
    """Return the strings of each seed; a language too small to be disjoint overlaps."""
    language = grammar(name)
    try:
        return [stimulus_set(language, seed=k, overlap=overlap) for k in seeds]
    except ValueError:
        if overlap == "allowed":
            raise
        return [stimulus_set(language, seed=k) for k in seeds]


def trained(
    folder: Path, seeds: range, budget: int, layers: int, rates: int,
    overlap: Literal["allowed", "disjoint"], one: Training,
) -> xr.Dataset:  # fmt: skip
    """Return accuracies of one kind of network at the rate that is best on validation strings."""
    how: dict[str, Any] = {"budget": budget, "layers": layers, "epochs": one.epochs}
    how |= {"batch_size": one.batch, "learning_rate": search(one.family, rates)}
    how |= SOLVER if one.family == "continuous" else {}
    about = {"grammar": one.grammar, "family": one.family}
    config = about | how | versions() | {"seeds": list(seeds), "overlap": overlap}

    def compute() -> xr.Dataset:
        strings = sets(one.grammar, seeds, overlap)
        answers = train_nets(one.family, strings, seeds=seeds, **how)
        seen = np.mean([items.attrs["seen_test"] for items in strings])
        return best_on_validation(answers.squeeze(("family", "n_seen"), drop=True)).assign(
            seen_test=seen
        )

    name = f"{one.grammar}_{one.family}_{one.epochs}epochs_batch{one.batch}"
    return cell(folder / f"{name}.nc", config, compute)


def with_complexity(ten: xr.Dataset) -> xr.Dataset:
    """Add the complexity of the ten grammars, and how the advantage goes with it."""
    found = [published(name).complexity() for name in ten.grammar.values.tolist()]
    values = [[one[measure] for measure in MEASURES] for one in found]
    about = {"long_name": "complexity of the grammar", "units": "1", "references": REFERENCES}
    ten["complexity"] = ("grammar", "measure"), np.array(values, dtype=float), about
    ten = ten.assign_coords(measure=list(MEASURES))
    return ten.merge(grammar_claims.complexity_correlation(ten.advantage, ten.complexity))


def simulated(grammars: Sequence[str], subjects: int, seed: int) -> xr.Dataset:
    """Return trials of simulated people, others for each grammar, 8 blocks of 60 strings."""
    parts = []
    for k, name in enumerate(grammars):
        items = stimulus_set(grammar(name), train=480, validation=2, test=2, seed=seed)
        one = simulated_participants(items, subjects=subjects, seed=100 * seed + k)
        one["subject"] = one.subject.copy(data=[f"{name}-{s}" for s in one.subject.values])
        parts.append(one)
    whole = xr.concat(parts, dim="trial", combine_attrs="drop_conflicts")
    truth = {
        name: json.loads(p.attrs["ground_truth"]) for name, p in zip(grammars, parts, strict=True)
    }
    whole = whole.assign_attrs(ground_truth=json.dumps(truth), agent="simulated")
    return whole.assign_coords(trial=np.arange(whole.sizes["trial"]))


def learning(people: xr.Dataset) -> xr.Dataset:
    """Return the trials people learnt from; where feedback is unknown, it is assumed, and said."""
    kept = np.isin(people.phase.values, ("train", "implicit", ""))
    if not kept.any():
        found = ", ".join(sorted(set(people.phase.values.tolist())))
        raise ValueError(
            f"people need trials of the phases train or implicit, or without a phase; got {found}"
        )
    named = people["item"].values.astype(str) != ""
    if not (kept & named).any():
        raise ValueError("no trial names its string: networks cannot be shown what people saw")
    unnamed = int((kept & ~named).sum())
    people = people.isel(trial=np.flatnonzero(kept & named))
    unknown = np.isnan(people.feedback.values)
    feedback = people.feedback.copy(data=np.where(unknown, 1.0, people.feedback))
    feedback.attrs |= {"assumed": int(unknown.sum()), "trials_without_item": unnamed}
    return people.assign(feedback=feedback)


def rates_for_people(cells: dict[Training, xr.Dataset], names: Sequence[str]) -> xr.DataArray:
    """Return the rates (grammar, family) that are best in fewest passes with the smallest batch.

    Continuous-time networks take the recurrent ones'; a grammar that no network was trained on
    takes the geometric mean over the others.
    """
    found = xr.DataArray(
        np.full((len(names), len(FAMILIES)), np.nan),
        {"grammar": list(names), "family": list(FAMILIES)},
        dims=("grammar", "family"),
        attrs={"long_name": "learning rate of networks yoked to people", "units": "1"},
    )
    for family in FAMILIES:
        source = "recurrent" if family == "continuous" else family
        own = {}
        for one in sorted(cells, key=lambda c: (c.batch, c.epochs), reverse=True):
            if one.family == source:
                own[one.grammar] = float(cells[one].learning_rate_chosen)
        elsewhere = float(np.exp(np.mean(np.log(list(own.values())))))
        found.loc[{"family": family}] = [own.get(name, elsewhere) for name in names]
    return found


def followed(
    folder: Path, people: xr.Dataset, rates: xr.DataArray, budget: int, layers: int, seeds: int,
    name: str, family: str,
) -> xr.Dataset:  # fmt: skip
    """Return the answers of one kind of learner to the trials of one grammar's people."""
    mine = people.isel(trial=np.flatnonzero(people.grammar.values == name))
    how: dict[str, Any] = {"seeds": list(range(seeds)), "budget": budget, "layers": layers}
    if family in FAMILIES:
        how |= {"learning_rate": rates.sel(grammar=name, family=family).item()}
    how |= SOLVER if family == "continuous" else {}
    seen = ("subject", "session", "position", "item", "grammatical", "feedback")
    shown = {k: mine[k].values.astype(str).tolist() for k in seen}
    config = {"grammar": name, "family": family, "trials": shown} | how | versions()

    def compute() -> xr.Dataset:
        found = yoked(mine.drop_attrs(deep=False), family, **how)
        return xr.Dataset({"output": found.output.squeeze("family", drop=True).drop_vars("trial")})

    return cell(folder / f"{name}_{family}_yoked.nc", config, compute)


def joined(
    people: xr.Dataset, followers: dict[tuple[str, str], xr.Dataset], seeds: int, seed: int
) -> xr.Dataset:
    """Return all learners' answers over the trials of all people, and those of truth and twin."""
    output = xr.DataArray(
        np.full((len(LEARNERS), seeds, people.sizes["trial"]), np.nan),
        {"family": list(LEARNERS), "seed": range(seeds), "trial": people.trial.values},
        dims=("family", "seed", "trial"),
    )
    for (name, family), one in followers.items():
        rows = np.flatnonzero(people.grammar.values == name)
        output[LEARNERS.index(family), :, rows] = one.output.transpose("seed", "trial").values
    if "truth" in people:
        truth = output.isel(family=[0]).copy(
            data=np.broadcast_to(people.truth, (1, *output.shape[1:]))
        )
        draw = np.random.default_rng(seed).random(truth.shape)
        twin = truth.copy(data=(draw < truth.values).astype(float))
        known = [truth.assign_coords(family=["truth"]), twin.assign_coords(family=["twin"])]
        output = xr.concat([output, *known], dim="family")
    output.attrs = {"long_name": "P(grammatical) before feedback; NaN: diverged", "units": "1"}
    about = {"family": "family of learners", "seed": "training seed, for each person; no subject"}
    for dim, text in about.items():
        output[dim].attrs = {"long_name": text, "units": "1"}
    return output.to_dataset(name="output")


def measures(people: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Return features of every string people saw, measured against all grammatical ones of them."""
    parts = []
    for name in names:
        mine = people.isel(trial=np.flatnonzero(people.grammar.values == name))
        strings, first = np.unique(mine["item"].values.astype(str), return_index=True)
        items = xr.Dataset(
            {
                "string": ("item", strings),
                "grammatical": ("item", mine.grammatical.values[first] == 1),
                "grammar": ("item", np.full(len(strings), name)),
                "length": ("item", [len(s.split()) if " " in s else len(s) for s in strings]),
            }
        )
        kind = mine.grammatical.values == 1
        found = analysis.item_measures(items, mine["item"].values[kind].astype(str).tolist())
        parts.append(items.merge(found.drop_vars(("string", "grammatical"), errors="ignore")))
    return xr.concat(parts, dim="item", combine_attrs="override")


def versions() -> dict[str, str]:
    """Return what else the numbers of a cell depend on."""
    return {"neurodyn": nd.__version__, "torch": str(torch.__version__)}


def provenance(config: dict[str, Any], seed: int, people: xr.Dataset) -> dict[str, Any]:
    """Return the attributes of the record."""
    return {
        "title": "Artificial grammars: networks, and people beside them",
        "neurodyn_version": nd.__version__,
        "torch_version": str(torch.__version__),
        "seed": seed,
        "config": json.dumps(config, sort_keys=True),
        "solver": "continuous: rk4, step 0.5 letters; the other networks are discrete in time",
        "people": str(people.attrs.get("agent", "human")),
        "provenance": "reconstruction",
        "references": REFERENCES,
    }


def write(result: xr.DataTree, folder: Path, names: Sequence[str]) -> None:
    """Write the record, the figures and the summary, and print what the numbers say."""
    nd.save(result, folder / "agl.nc")
    simulated = result.attrs["people"] == "simulated"
    people = "simulated people" if simulated else "people"
    curves = result["curves"].to_dataset()
    figures: dict[str, Callable[[], Figure]] = {
        "curves": lambda: analysis.agent_curves(
            curves, "n_seen" if "n_seen" in curves.dims else "block", people=people
        ),
        "lengths": lambda: analysis.agent_curves(
            result.lengths.to_dataset(), "length", people=people
        ),
        "similarity": lambda: analysis.similarity(result.compare.to_dataset()),
        "advantage": lambda: analysis.advantage(result.complexity.to_dataset()),
    }
    figures |= {f"grammar-{n}": grammar(n).draw for n in names if n in grammar_names()}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "neurodyn"}):
        for name, draw in figures.items():
            figure = draw()
            figure.savefig(folder / f"{name}.png", dpi=200)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    page = grammar_report.page(result)
    (folder / "summary.md").write_text(page, encoding="utf-8")
    print(grammar_report.aligned(grammar_report.network_table(result.networks.to_dataset())))
    for sentence in grammar_report.findings(result):
        print(sentence)
    print(f"written to {folder}")


def check(people: xr.Dataset | None, **config: Any) -> None:
    """Refuse a configuration that cannot be run, and say what can."""
    for name, least in (("seeds", 2), ("subjects", 2), ("yoked_seeds", 1), ("layers", 1),
                        ("learning_rates", 1), ("resamples", 100), ("seed", 0),
                        ("workers", 1)):  # fmt: skip
        if not isinstance(config[name], int) or config[name] < least:
            raise ValueError(f"{name} must be a whole number from {least} up, not {config[name]!r}")
    for name in ("epochs", "batch"):
        values = config[name]
        if not values or len(set(values)) < len(values) or not all(v >= 1 for v in values):
            raise ValueError(f"{name} must be different whole numbers from 1 up, not {values!r}")
    unknown = [name for name in config["grammars"] if name not in grammar_names()]
    if unknown or len(set(config["grammars"])) < max(len(config["grammars"]), 1):
        raise ValueError(
            f"grammars must be different ones of {', '.join(grammar_names())}, not "
            f"{config['grammars']!r}"
        )
    if config["overlap"] not in ("allowed", "disjoint"):
        raise ValueError(f"overlap must be allowed or disjoint, not {config['overlap']!r}")
    for name in config["grammars"]:
        width_for("recurrent", config["layers"], config["budget"], len(grammar(name).alphabet), 12)
    if people is None:
        return
    if (people.grammar.values.astype(str) == "").any():
        raise ValueError("some trials of people do not say their grammar; give them one first")
    for name in np.unique(people.grammar.values):
        mine = people.isel(trial=people.grammar.values == name)
        count = len(np.unique(mine.subject.values))
        if count < 2:
            raise ValueError(f"grammar {name} has {count} person; intervals over people need two")
