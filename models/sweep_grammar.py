"""The published search over networks: grammars, families, sizes, depths, learning rates, seeds."""

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neurodyn as nd
from neurodyn.cells import cell, in_parallel
from neurodyn.models.grammar_lessons import whole
from neurodyn.models.grammar_nets import BUDGETS, FAMILIES, REFERENCES, width_for
from neurodyn.models.grammar_optimisers import learning_rates as rates_of
from neurodyn.models.train_grammar import train_nets
from neurodyn.stimuli.grammar import grammar_names
from neurodyn.stimuli.grammar_items import stimulus_set

WORKERS = 2
LONGEST = 12
"""Letters that the feedforward networks have room for, for every grammar, as published."""


def sweep_grammar(
    *,
    out: str | Path = "results/sweep-agl",
    grammars: tuple[str, ...] = ("A", "B", "CF", "CS"),
    families: tuple[str, ...] = ("feedforward", "recurrent"),
    budgets: tuple[int, ...] = BUDGETS,
    layers: tuple[int, ...] = (2, 3, 4, 5, 7, 10),
    learning_rates: int = 20,
    seeds: int = 20,
    train: int = 500,
    validation: int = 100,
    test: int = 200,
    epochs: int = 1,
    batch_size: int = 15,
    overlap: str = "allowed",
    seed: int = 0,
) -> xr.Dataset:
    """Train the published search of networks on artificial grammars: 76,800 of them.

    Every combination of grammar, family, number of parameters, hidden layers and learning rate,
    from 20 seeds each. A seed is that of the strings drawn and of the untrained weights. One cell
    is a combination of the first four; it is kept as soon as it is finished, and the same command
    goes on from there.

    *Reconstruction*: the learning rates, the widths, the untrained weights, the grammars'
    automata; the published numbers are not in the text.

    Parameters
    ----------
    out : path
        Folder for sweep-agl.nc and cells/.
    grammars : tuple of str
        Names of `neurodyn.stimuli.grammar`.
    families : tuple of str
        Of feedforward, recurrent, lstm, gru, continuous; published are the first two.
    budgets : tuple of int
        Free parameters aimed at.
    layers : tuple of int
        Hidden layers, all as wide as the parameters allow.
    learning_rates : int
        How many, evenly spaced in their logarithm: feedforward (stochastic gradient descent) from
        0.001 to 1, the others (RMSprop) from 0.0001 to 0.1.
    seeds : int
        Networks for each combination.
    train, validation, test : int
        Strings of each, half of them ungrammatical.
    epochs, batch_size : int
        Passes through the strings, and strings in a step.
    overlap : {"allowed", "disjoint"}
        Whether strings to answer may also occur among those learnt.
    seed : int
        The first of the seeds.

    Returns
    -------
    Dataset
        ``test_accuracy`` and ``validation_accuracy`` (grammar, family, budget, layers,
        learning_rate, seed), of answers "grammatical" where P >= 0.5; NaN where a network
        diverged; ``length_accuracy`` (..., length), of
        test strings, and ``length_count`` (grammar, seed, length), how many there are;
        ``rate`` (family, learning_rate), the learning rates themselves; ``width`` (grammar, family,
        budget, layers).

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861.
    """
    axes: dict[str, Sequence[Any]] = {
        "grammar": grammars, "family": families, "budget": budgets, "layers": layers,
    }  # fmt: skip
    sizes = {"train": train, "validation": validation, "test": test}
    check(axes, sizes | {"epochs": epochs, "batch_size": batch_size, "seeds": seeds,
                         "learning_rates": learning_rates}, seed)  # fmt: skip
    config: dict[str, Any] = sizes | {
        "epochs": epochs, "batch_size": batch_size, "overlap": overlap,
        "learning_rates": learning_rates, "seeds": list(range(seed, seed + seeds)),
        "neurodyn_version": nd.__version__,
    }  # fmt: skip
    check_room(axes, sizes | {"overlap": overlap, "seed": seed})
    folder = Path(out)
    every = np.stack(np.meshgrid(*map(np.arange, map(len, axes.values())), indexing="ij"), -1)
    places = [
        {axis: values[i] for (axis, values), i in zip(axes.items(), place, strict=True)}
        for place in every.reshape(-1, len(axes))
    ]
    jobs = [
        partial(
            cell, folder / "cells" / ("-".join(map(str, place.values())) + ".nc"),
            config | place, partial(train_cell, **place, **config),
        )
        for place in places
    ]  # fmt: skip
    found = in_parallel(jobs, WORKERS)
    result = assembled(found, axes)
    result["rate"] = (
        ("family", "learning_rate"),
        [rates_of(family, learning_rates) for family in families],
        {"long_name": "learning rate", "units": "1", "provenance": "reconstruction"},
    )
    result.attrs = {
        "title": "Accuracy of networks over the published search on artificial grammars",
        "provenance": "reconstruction", "references": REFERENCES,
        "neurodyn_version": nd.__version__,
        "config": json.dumps(config | {k: list(v) for k, v in axes.items()}, sort_keys=True),
    }  # fmt: skip
    nd.save(result, folder / "sweep-agl.nc")
    print(summary(result))
    return result


def check(axes: dict[str, Sequence[Any]], numbers: dict[str, int], seed: int) -> None:
    """Refuse names and numbers that cannot be."""
    for what, allowed in (("grammar", grammar_names()), ("family", FAMILIES)):
        for name in axes[what]:
            if name not in allowed:
                raise ValueError(f"{what} {name!r} is not one of {', '.join(allowed)}")
    plurals = ("grammars", "families", "budgets", "layers")
    for name, values in zip(plurals, axes.values(), strict=True):
        if not len(values) or len(set(values)) < len(values):
            raise ValueError(f"{name} must be one or more, all different, got {values}")
    for name, value in numbers.items():
        whole(name, value)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, got {seed!r}")


drawn = lru_cache(maxsize=200)(stimulus_set)
"""The stimulus sets, which all cells of a grammar share."""


def check_room(axes: dict[str, Sequence[Any]], strings: dict[str, Any]) -> None:
    """Refuse budgets too small for a grammar's letters, and more strings than it has."""
    for name in axes["grammar"]:
        items = drawn(name, **strings)
        letters = len(json.loads(items.attrs["alphabet"]))
        longest = max(LONGEST, items.attrs["max_length"])
        for family, budget, depth in product(axes["family"], axes["budget"], axes["layers"]):
            width_for(family, depth, budget, letters, longest)


def train_cell(
    *, grammar: str, family: str, budget: int, layers: int, seeds: list[int], train: int,
    validation: int, test: int, epochs: int, batch_size: int, overlap: str, learning_rates: int,
    neurodyn_version: str,
) -> xr.Dataset:  # fmt: skip
    """Train the networks of one cell and return their accuracies."""
    sets = [
        drawn(grammar, train=train, validation=validation, test=test, seed=k, overlap=overlap)
        for k in seeds
    ]
    longest = max(LONGEST, *(int(one.attrs["max_length"]) for one in sets))
    answers = train_nets(
        family, sets, layers=layers, budget=budget, seeds=seeds, epochs=epochs,
        batch_size=batch_size, learning_rate=rates_of(family, learning_rates), max_length=longest,
    ).isel(family=0, n_seen=0)  # fmt: skip
    right = ((answers.output >= 0.5) == answers.grammatical).where(~answers.diverged)
    result = xr.Dataset({
        f"{split}_accuracy": right.where(answers.split == split).mean("item").astype("float32")
        for split in ("test", "validation")
    })  # fmt: skip
    lengths = sorted({int(n) for one in sets for n in one.length.values})
    tested = answers.split == "test"
    here = [(answers.length == n) & tested for n in lengths]
    place = xr.DataArray(lengths, dims="length", name="length")
    result["length_accuracy"] = xr.concat(
        [right.where(h).mean("item").astype("float32") for h in here], place
    ).transpose(..., "length")
    result["length_count"] = xr.concat([h.sum("item") for h in here], place).transpose(
        ..., "length"
    )
    if "seed" not in result.length_count.dims:
        result["length_count"] = result.length_count.expand_dims(seed=result.seed)
    result["width"] = json.loads(answers.attrs["config"])["width"]
    kept = result.drop_vars([name for name in result.coords if name not in ("seed", "length")])
    return kept


def assembled(cells: list[xr.Dataset], axes: dict[str, Sequence[Any]]) -> xr.Dataset:
    """Return the cells, in the order of the axes, as one Dataset."""
    lengths = sorted({int(n) for one in cells for n in one.length.values})
    cells = [one.drop_attrs().reindex(length=lengths) for one in cells]
    for axis, values in reversed(axes.items()):
        index = xr.DataArray(list(values), dims=axis, name=axis)
        groups = [cells[i : i + len(values)] for i in range(0, len(cells), len(values))]
        cells = [xr.concat(group, index) for group in groups]
    (result,) = cells
    first = {"family": 0, "budget": 0, "layers": 0}
    result["length_count"] = result.length_count.isel(first, drop=True).fillna(0).astype(int)
    result = result.assign_coords(learning_rate=np.arange(result.sizes["learning_rate"]))
    names = {
        "test_accuracy": ("share of test strings judged rightly", "1"),
        "validation_accuracy": ("share of validation strings judged rightly", "1"),
        "length_accuracy": ("share of test strings of one length judged rightly", "1"),
        "length_count": ("test strings of one length", "1"),
        "width": ("units in each hidden layer", "1"),
        "budget": ("free parameters aimed at", "1"),
        "layers": ("hidden layers", "1"),
        "length": ("letters in a string", "1"),
        "learning_rate": ("number of the learning rate, see rate", "1"),
        "seed": ("training seed: strings drawn and untrained weights; no subject", "1"),
    }
    for name, (long_name, units) in names.items():
        result[name].attrs = {"long_name": long_name, "units": units, "references": REFERENCES}
    return result


def summary(result: xr.Dataset) -> str:
    """Return a table: for each budget the test accuracy of what does best in validation.

    Layers and rates at which any network diverged are not chosen: the others would be survivors.
    """
    score = result.validation_accuracy.mean("seed", skipna=False)
    best = score.fillna(-1).argmax(["layers", "learning_rate"])
    chosen = result.test_accuracy.isel(best).mean("seed", skipna=False)
    lost = int(result.test_accuracy.isnull().sum())
    rows = ["grammar  family       " + "".join(f"{int(b):>9,}" for b in result.budget)]
    for grammar in result.grammar.values:
        for family in result.family.values:
            line = chosen.sel(grammar=grammar, family=family).values
            rows.append(f"{grammar:<8} {family:<12} " + "".join(f"{v:9.3f}" for v in line))
    return "\n".join([
        *rows,
        f"mean test accuracy over {result.sizes['seed']} training seeds (no subjects), by number "
        "of parameters; layers and learning rate chosen in validation",
        f"{lost:,} of {result.test_accuracy.size:,} networks diverged; what made one diverge is not"
        " chosen (nan: nothing else is left)",
    ])  # fmt: skip
