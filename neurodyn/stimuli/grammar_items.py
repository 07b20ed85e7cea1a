"""Sets of strings to learn a grammar from and to be tested with, as a Dataset over items."""

import json
from typing import Any, Literal

import numpy as np
import xarray as xr

import neurodyn
from neurodyn.stimuli.abstract_grammar import TRIES, Grammar, checked_number, generator
from neurodyn.stimuli.grammar import grammar as named_grammar

RUN = 20  # items; half of them are grammatical in every run, so in blocks of 20, 40, 60 ... as well
SPLITS = ("train", "validation", "test")
ABOUT = {
    "string": "string of tokens",
    "grammatical": "whether the string follows the grammar",
    "split": "what the item is for: train, validation or test",
    "length": "number of tokens",
    "source": "grammatical string that a violation was made from",
    "first_violation": "position of the first token that differs from the source, -1: none",
    "last_violation": "position of the last token that differs from the source, -1: none",
    "palindromic": "whether the first half of the string, or of its source, is a palindrome",
    "ambiguous": "whether the string is grammatical under the contrasting grammar (CF or CS)",
    "seen": "whether the same string is an item of the split train",
}


def stimulus_set(
    grammar: Grammar | str,
    *,
    train: int = 500,
    validation: int = 100,
    test: int = 200,
    seed: int = 0,
    overlap: Literal["allowed", "disjoint"] = "allowed",
) -> xr.Dataset:
    """Draw strings to train on, to validate and to test with: half grammatical, half violations.

    Each violation is made from another grammatical string of the same split, one from each, so
    that lengths tell nothing. Items are in random order; every run of 20 items of a split holds
    as many grammatical strings as violations, and so does every block of 60.

    Parameters
    ----------
    grammar : Grammar or str
        Or its name.
    train, validation, test : int
        Numbers of items, even. The published sizes are the defaults.
    seed : int
        Of the whole set.
    overlap : {"allowed", "disjoint"}
        Independent draws, in which strings repeat, within a split and between splits (the
        published networks' way, as far as is known): each split is drawn on its own, and its items
        do not depend on the sizes of the others. Or no string twice in the whole set: all are drawn
        first, then dealt to the splits at random, so that none gets the longer ones that are left
        when short ones are used up; the items of a split then depend on the sizes of all.

    Returns
    -------
    Dataset
        Over ``item``: ``string``, ``grammatical``, ``split``, ``length``, ``source`` ("" for
        grammatical strings), ``first_violation`` and ``last_violation`` (token positions from 0;
        -1), ``palindromic``, ``ambiguous``, ``seen``. Attributes: ``grammar``, ``alphabet`` (JSON),
        ``max_length``, ``seed``, ``overlap``, ``seen_validation`` and ``seen_test`` (the shares of
        their items that are also in train), ``language_size`` (different strings that can be
        drawn), ``overlap_note``, ``provenance``, ``references``, ``neurodyn_version``, ``config``
        (JSON).

    Raises
    ------
    ValueError
        If a size is odd, the language is too small to be disjoint, or none of its strings can be
        violated (those that cannot are drawn again).

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861: sizes,
    balance, violations. Which strings may repeat, and the order, are reconstructed.

    Examples
    --------
    >>> items = stimulus_set("A", train=4, validation=0, test=2, seed=0)
    >>> items.string.values[items.split == "train"]
    array(['VJTXVV', 'TX', 'VJTXVX', 'VX'], dtype='<U6')
    >>> items.source.values[:4]
    array(['VJTXVX', 'VX', '', ''], dtype='<U6')
    """
    if isinstance(grammar, str):
        grammar = named_grammar(grammar)
    if not isinstance(grammar, Grammar):
        raise TypeError(f"grammar must be a Grammar or its name, got {type(grammar).__name__}")
    asked = {"train": train, "validation": validation, "test": test}
    sizes = {name: checked_number(size, name) for name, size in asked.items()}
    for name, size in sizes.items():
        if size % 2:
            raise ValueError(f"{name} must be even, half grammatical, half violations, got {size}")
    if overlap not in ("allowed", "disjoint"):
        raise ValueError(f"overlap {overlap!r} is not one of 'allowed', 'disjoint'")
    if not sum(sizes.values()):
        raise ValueError("no items: give a size over 0 for one of train, validation, test")
    generator(seed)
    halves = [size // 2 for size in sizes.values()]
    rngs = [np.random.default_rng([int(seed), number]) for number in range(len(sizes) + 1)]
    if overlap == "disjoint":
        check_room(grammar, sum(halves))
        every = draw_distinct(grammar, rngs[-1], sum(halves))
        dealt = [every[i] for i in rngs[-1].permutation(len(every))]
        stops = np.cumsum(halves)
        drawn = [dealt[stop - n : stop] for n, stop in zip(halves, stops, strict=True)]
    else:
        drawn = [draw_pairs(grammar, rng, n) for rng, n in zip(rngs, halves, strict=False)]
    rows = [
        (*item, name)
        for name, pairs, rng in zip(sizes, drawn, rngs, strict=False)
        for item in mixed(pairs, rng)
    ]
    config = {"grammar": grammar.name, "options": grammar.options, **sizes}
    config |= {"seed": int(seed), "overlap": overlap}
    return described(labelled(grammar, rows), grammar, config)


def check_room(grammar: Grammar, needed: int) -> None:
    """Refuse more different strings than the grammar has."""
    if needed > grammar.size:
        raise ValueError(
            f"{grammar.name} has {grammar.size} different strings of the lengths "
            f"{list(grammar.lengths)}, a disjoint set of these sizes needs {needed} of them: ask "
            'for fewer items, allow longer strings, or use overlap="allowed"'
        )


def draw_pairs(grammar: Grammar, rng: np.random.Generator, n: int) -> list[tuple[str, str]]:
    """Draw grammatical strings, each with a violation of it; they may repeat."""
    pairs: list[tuple[str, str]] = []
    barren: set[str] = set()
    for _ in range(n):
        string, wrong = draw_violable(grammar, rng, barren, len(pairs))
        pairs.append((string, wrong[int(rng.integers(len(wrong)))]))
    return pairs


def draw_distinct(grammar: Grammar, rng: np.random.Generator, n: int) -> list[tuple[str, str]]:
    """Draw grammatical strings, each with a violation of it, all of them different."""
    passed: set[str] = set()
    options: dict[str, list[str]] = {}
    source: dict[str, str] = {}  # of each violation
    while len(source) < n:
        string, wrong = draw_violable(grammar, rng, passed, len(source))
        passed.add(string)
        options[string] = [wrong[i] for i in rng.permutation(len(wrong))]
        assign(string, options, source, set())
    return [(string, violation) for violation, string in source.items()]


def assign(
    string: str, options: dict[str, list[str]], source: dict[str, str], tried: set[str]
) -> bool:
    """Give a string one of its violations; where all have a source, try to give that another."""
    for violation in sorted(options[string], key=source.__contains__):
        if violation not in tried:
            tried.add(violation)
            if violation not in source or assign(source[violation], options, source, tried):
                source[violation] = string
                return True
    return False


def draw_violable(
    grammar: Grammar, rng: np.random.Generator, passed: set[str], found: int
) -> tuple[str, list[str]]:
    """Draw a string not passed yet that has violations, and these; those without are passed."""
    for _ in range(TRIES):
        string = grammar.sample_one(rng)
        if string in passed:
            continue
        if wrong := violations(grammar, string):
            return string, wrong
        passed.add(string)
        if len(passed) == grammar.size:
            break
    if found:
        raise ValueError(
            f"no new string of {grammar.name} in {TRIES} draws after {found} of "
            f"{grammar.size}: the rest is drawn too rarely; ask for fewer items"
        )
    raise ValueError(
        f"no string of {grammar.name} has a violation, of {len(passed)} different ones drawn: give "
        "a grammar that forbids something"
    )


def violations(grammar: Grammar, string: str) -> list[str]:
    """Return all violations of a string, which may be none."""
    try:
        return grammar.violations(string)
    except ValueError:  # the string is grammatical, so that is what it says
        return []


def mixed(pairs: list[tuple[str, str]], rng: np.random.Generator) -> list[tuple[str, str]]:
    """Return the items (string, source) in random order, balanced in every run."""
    right = [(pairs[i][0], "") for i in rng.permutation(len(pairs))]
    wrong = [(pairs[i][1], pairs[i][0]) for i in rng.permutation(len(pairs))]
    half = RUN // 2
    items = []
    for start in range(0, len(pairs), half):
        run = right[start : start + half] + wrong[start : start + half]
        items += [run[i] for i in rng.permutation(len(run))]
    return items


def labelled(grammar: Grammar, rows: list[tuple[str, str, str]]) -> xr.Dataset:
    """Return the variables of the items."""
    trained = {string for string, _, split in rows if split == "train"}
    first, last, palindromic, ambiguous, lengths = [], [], [], [], []
    for string, source, _ in rows:
        tokens = grammar.tokens(string)
        differ = [
            place
            for place, (one, two) in enumerate(
                zip(tokens, grammar.tokens(source or string), strict=True)
            )
            if one != two
        ]
        first.append(differ[0] if differ else -1)
        last.append(differ[-1] if differ else -1)
        palindromic.append(grammar.palindromic(source or string))
        ambiguous.append(grammar.ambiguous(string))
        lengths.append(len(tokens))
    strings, sources, splits = map(list, zip(*rows, strict=True))
    values: dict[str, Any] = {
        "string": np.array(strings),
        "grammatical": np.array([not source for source in sources]),
        "split": np.array(splits),
        "length": np.array(lengths),
        "source": np.array(sources),
        "first_violation": np.array(first),
        "last_violation": np.array(last),
        "palindromic": np.array(palindromic),
        "ambiguous": np.array(ambiguous),
        "seen": np.array([split != "train" and string in trained for string, _, split in rows]),
    }
    items = xr.Dataset(
        {name: ("item", array) for name, array in values.items()},
        coords={"item": np.arange(len(rows))},
    )
    for name, text in ABOUT.items():
        items[name].attrs = {"long_name": text, "units": "1"}
    items.item.attrs = {"long_name": "number of the item, in the order of the set", "units": "1"}
    return items


def described(items: xr.Dataset, grammar: Grammar, config: dict[str, Any]) -> xr.Dataset:
    """Add the attributes of the set."""
    shares = {}
    for split in SPLITS[1:]:
        seen = items.seen.values[items.split.values == split]
        shares[f"seen_{split}"] = float(seen.mean()) if seen.size else 0.0
    needed = sum(config[split] for split in SPLITS) // 2
    note = "no string is there twice"
    if config["overlap"] == "allowed":
        note = "strings are drawn independently and may repeat, within and between splits"
        if grammar.size < needed:
            note += (
                f"; they must, because the language has {grammar.size} strings of these lengths "
                f"and the set {needed} grammatical items"
            )
    return items.assign_attrs(
        grammar=grammar.name,
        alphabet=json.dumps(grammar.alphabet),
        max_length=max(grammar.lengths),
        seed=config["seed"],
        overlap=config["overlap"],
        **shares,
        language_size=grammar.size,
        overlap_note=note,
        provenance=grammar.provenance,
        references=grammar.references,
        neurodyn_version=neurodyn.__version__,
        config=json.dumps(config, sort_keys=True),
    )
