"""How familiar each string is to whoever has seen the training strings."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neurodyn.analysis.edit_distance import Tokens, edit_distances

SIZES = (2, 3)  # chunks are bigrams and trigrams

KNOWLTON = "Knowlton & Squire (1996), J. Exp. Psychol. Learn. Mem. Cogn. 22, 169-181"
BAILEY = "Bailey & Pothos (2008), Behav. Res. Methods 40, 221-230"
VOKEY = "Brooks & Vokey (1991), J. Exp. Psychol. Gen. 120, 316-323"
SAFFRAN = "Saffran, Aslin & Newport (1996), Science 274, 1926-1928"
NO_CHUNK = "; NaN for a single token"

ABOUT = {
    "chunk_strength_global": (
        f"mean count in training of all bigrams and trigrams of the string, pooled{NO_CHUNK}",
        KNOWLTON,
    ),
    "chunk_strength_global_sum": (
        f"mean count in training of its bigrams plus that of its trigrams{NO_CHUNK}", KNOWLTON,
    ),
    "chunk_strength_anchor": (
        "mean count of its first and last bigram and trigram among those of training, pooled"
        f"{NO_CHUNK}",
        KNOWLTON,
    ),
    "chunk_strength_anchor_sum": (
        "mean count of its first and last bigram among those of training plus the same for "
        f"trigrams{NO_CHUNK}",
        KNOWLTON,
    ),
    "chunk_strength_relative": (
        "mean over its bigrams and trigrams of f / (f + E), f the count in training, E the mean "
        f"count of the different chunks of that size{NO_CHUNK}",
        BAILEY,
    ),
    "novel_chunks": ("number of its bigrams and trigrams that are not in training", KNOWLTON),
    "novel_chunk_proportion": (
        f"proportion of its bigrams and trigrams that are not in training{NO_CHUNK}", KNOWLTON,
    ),
    "edit_distance_min": ("Levenshtein distance to the nearest training string", VOKEY),
    "edit_distance_mean": ("mean Levenshtein distance to the training strings", VOKEY),
    "near": ("whether at most one token away from some training string (NEAR, else FAR)", VOKEY),
    "same_pattern": ("number of training strings with the same pattern of repetitions", VOKEY),
    "transition_mean": (f"mean transitional probability of its tokens{NO_CHUNK}", SAFFRAN),
    "transition_min": (f"smallest transitional probability of its tokens{NO_CHUNK}", SAFFRAN),
    "transition_log_sum": (
        "sum of the logarithms of its transitional probabilities; minus infinity if one is new"
        f"{NO_CHUNK}",
        SAFFRAN,
    ),
    "legal_first": ("whether some training string begins with the same token", KNOWLTON),
}  # fmt: skip
UNITS = {"edit_distance_min": "tokens", "edit_distance_mean": "tokens", "transition_log_sum": "nat"}


def item_measures(
    items: xr.Dataset, train: Sequence[str] | None = None, *, distinct: bool = False
) -> xr.Dataset:
    r"""Measure how similar each item is to the training strings.

    With f(g) the number of times the chunk g occurs in training, and g_1 ... g_k all bigrams and
    trigrams of a string, its (global) associative chunk strength is

    .. math:: \mathrm{ACS} = \frac{1}{k} \sum_{j=1}^{k} f(g_j)

    in the pooled convention; the other convention adds the mean over bigrams to the mean over
    trigrams. Anchor strength counts only first and last chunks, of the string and of training.

    Parameters
    ----------
    items : Dataset
        ``string`` (item), and without `train` also ``split`` and ``grammatical``. Tokens are
        single characters, or, if any string has a space, what stands between spaces.
    train : sequence of str, optional
        The training strings. By default the grammatical items of the split train, each as often
        as it is there.
    distinct : bool
        Count every training string once, however often it was shown.

    Returns
    -------
    Dataset
        Over ``item``, with the coordinate ``string`` (and ``grammatical``, if given):
        ``chunk_strength_global``, ``..._global_sum``, ``..._anchor``, ``..._anchor_sum`` (the two
        conventions), ``chunk_strength_relative``, ``novel_chunks``, ``novel_chunk_proportion``,
        ``edit_distance_min``, ``edit_distance_mean``, ``near``, ``same_pattern``,
        ``transition_mean``, ``transition_min``, ``transition_log_sum``, ``legal_first``. What a
        single token has none of is NaN; the sum convention leaves out trigrams of two tokens.
        Attributes: ``train_strings``, ``train_distinct`` (how many), ``counting``, and
        ``provenance``: that of the items, "paper" if they have none (the equations are).

    Raises
    ------
    ValueError
        If there are no training strings, or a string is empty.
    TypeError
        If a string of the items or of training is no text.

    References
    ----------
    Knowlton & Squire (1996), J. Exp. Psychol. Learn. Mem. Cogn. 22, 169-181. Bailey & Pothos
    (2008), Behav. Res. Methods 40, 221-230. Brooks & Vokey (1991), J. Exp. Psychol. Gen. 120,
    316-323. Saffran, Aslin & Newport (1996), Science 274, 1926-1928.

    Examples
    --------
    >>> items = xr.Dataset({"string": ("item", ["XVJ", "XXT"])})
    >>> found = item_measures(items, train=["XVJ", "XVT", "XXVJ"])
    >>> found.chunk_strength_global.values, found.novel_chunks.values
    (array([2.33333333, 0.33333333]), array([0, 2]))
    """
    if "string" not in items or items["string"].dims != ("item",):
        raise ValueError(
            f"items need a variable 'string' over 'item', there are {', '.join(map(str, items))}"
        )
    given = items["string"].values.tolist()
    if other := [f"{s!r} (item {i})" for i, s in enumerate(given) if not isinstance(s, str)]:
        raise TypeError(f"strings of items must be text, got {', '.join(other[:3])}")
    shown_as = training_strings(items) if train is None else train
    if isinstance(shown_as, str) or not isinstance(shown_as, Iterable):
        raise TypeError(f"train must be a sequence of strings, one text for each, got {train!r}")
    learned = list(shown_as)
    if other := [repr(s) for s in learned if not isinstance(s, str)]:
        raise TypeError(
            f"train must be a sequence of strings, one text for each, got {', '.join(other[:3])} "
            "among them"
        )
    learned = sorted(set(learned)) if distinct else learned
    if not learned or not all([*learned, *given]):
        raise ValueError(
            "there must be training strings, and no string may be empty; got "
            f"{len(learned)} training strings and {sum(not s for s in given)} empty items"
        )
    strings, shown = tokenised(given, learned)
    distances = edit_distances(strings, shown)
    table = transition_table(shown)
    transitions = [transition_probabilities(string, table) for string in strings]
    values = {
        "chunk_strength_global": chunk_strength(strings, shown),
        "chunk_strength_global_sum": chunk_strength(strings, shown, convention="sum"),
        "chunk_strength_anchor": chunk_strength(strings, shown, anchor=True),
        "chunk_strength_anchor_sum": chunk_strength(strings, shown, "sum", anchor=True),
        "chunk_strength_relative": relative_chunk_strength(strings, shown),
        "novel_chunks": novel_chunks(strings, shown),
        "novel_chunk_proportion": share(novel_chunks(strings, shown), strings),
        "edit_distance_min": distances.min(1),
        "edit_distance_mean": distances.mean(1),
        "near": distances.min(1) <= 1,
        "same_pattern": same_pattern(strings, shown),
        "transition_mean": np.array([np.mean(p) if p else np.nan for p in transitions]),
        "transition_min": np.array([min(p, default=np.nan) for p in transitions]),
        "transition_log_sum": np.array([log_sum(p) for p in transitions]),
        "legal_first": np.isin([s[0] for s in strings], [s[0] for s in shown]),
    }
    found = xr.Dataset(
        {name: ("item", array) for name, array in values.items()},
        coords={name: items[name] for name in ("item", "string", "grammatical") if name in items},
        attrs={
            "train_strings": len(learned),
            "train_distinct": len(set(learned)),
            "counting": "each training string once" if distinct else "as often as it was shown",
            "provenance": str(items.attrs.get("provenance", "paper")),
        },
    )
    for name, (text, references) in ABOUT.items():
        found[name].attrs = {
            "long_name": text, "units": UNITS.get(name, "1"), "references": references,
        }  # fmt: skip
    return found


def training_strings(items: xr.Dataset) -> list[str]:
    """Return the grammatical strings of the split train, repetitions included."""
    missing = [name for name in ("split", "grammatical") if name not in items]
    if missing:
        raise ValueError(
            f"items have no {' and no '.join(missing)}: give the training strings as train="
        )
    chosen = (items["split"].values == "train") & items["grammatical"].values.astype(bool)
    return items["string"].values[chosen].tolist()


def tokenised(*groups: Sequence[str]) -> list[list[Tokens]]:
    """Return the tokens of each string: what stands between spaces, or single characters."""
    spaced = any(" " in string for group in groups for string in group)
    return [[tuple(s.split(" ") if spaced else s) for s in group] for group in groups]


def chunks(string: Tokens, size: int) -> list[Tokens]:
    """Return the chunks of one size, from left to right."""
    return [string[i : i + size] for i in range(len(string) - size + 1)]


def anchors(string: Tokens, size: int) -> list[tuple[str, Tokens]]:
    """Return the first and the last chunk of one size, marked as such."""
    found = chunks(string, size)
    return [("first", found[0]), ("last", found[-1])] if found else []


def chunk_strength(
    strings: Sequence[Tokens],
    train: Sequence[Tokens],
    convention: Literal["pooled", "sum"] = "pooled",
    *,
    anchor: bool = False,
) -> Float[np.ndarray, " item"]:
    """Return the associative chunk strength of each string, see `item_measures`.

    Parameters
    ----------
    strings, train : sequences of tuples of str
        Tokens of the items and of the training strings.
    convention : {"pooled", "sum"}
        Mean over all bigrams and trigrams, or mean over bigrams plus mean over trigrams.
    anchor : bool
        Only first and last chunks: the first of a string counts how often training strings begin
        with it, the last how often they end with it.

    Examples
    --------
    >>> chunk_strength([tuple("XVJ")], [tuple("XVJ"), tuple("XVT")], "sum")
    array([2.5])
    """
    if convention not in ("pooled", "sum"):
        raise ValueError(f"convention {convention!r} is not one of 'pooled', 'sum'")
    counted: Callable[[Tokens, int], Sequence[Any]] = anchors if anchor else chunks
    counts = {size: Counter(c for s in train for c in counted(s, size)) for size in SIZES}
    found: list[float] = []
    for string in strings:
        by_size = [[counts[size][c] for c in counted(string, size)] for size in SIZES]
        if not by_size[0]:
            found.append(math.nan)
        elif convention == "pooled":
            found.append(fmean(count for each in by_size for count in each))
        else:
            found.append(sum(fmean(each) for each in by_size if each))
    return np.array(found, dtype=float)


def relative_chunk_strength(
    strings: Sequence[Tokens], train: Sequence[Tokens]
) -> Float[np.ndarray, " item"]:
    r"""Return the mean over bigrams and trigrams of a count relative to what is usual.

    .. math:: S(g) = \frac{f(g)}{f(g) + E_n}

    with E_n the mean count in training of the different chunks of the size n of g.

    References
    ----------
    Bailey & Pothos (2008), Behav. Res. Methods 40, 221-230.

    Examples
    --------
    >>> relative_chunk_strength([tuple("XV")], [tuple("XVJ"), tuple("XVT")]).round(3)
    array([0.6])
    """
    counts = {size: Counter(c for s in train for c in chunks(s, size)) for size in SIZES}
    usual = {n: fmean(table.values()) if table else 1.0 for n, table in counts.items()}
    found: list[float] = []
    for string in strings:
        each = [
            counts[n][chunk] / (counts[n][chunk] + usual[n])
            for n in SIZES
            for chunk in chunks(string, n)
        ]
        found.append(fmean(each) if each else math.nan)
    return np.array(found, dtype=float)


def novel_chunks(strings: Sequence[Tokens], train: Sequence[Tokens]) -> Int[np.ndarray, " item"]:
    """Return how many of the bigrams and trigrams of each string are not in training.

    Examples
    --------
    >>> novel_chunks([tuple("XVV")], [tuple("XVJ")])
    array([2])
    """
    known = {chunk for s in train for size in SIZES for chunk in chunks(s, size)}
    return np.array(
        [sum(chunk not in known for n in SIZES for chunk in chunks(s, n)) for s in strings]
    )


def share(
    numbers: Int[np.ndarray, " item"], strings: Sequence[Tokens]
) -> Float[np.ndarray, " item"]:
    """Return numbers of chunks as proportions of the bigrams and trigrams of each string."""
    of = np.array([sum(len(chunks(s, size)) for size in SIZES) for s in strings], dtype=float)
    return numbers / np.where(of > 0, of, np.nan)


def same_pattern(strings: Sequence[Tokens], train: Sequence[Tokens]) -> Int[np.ndarray, " item"]:
    """Return how many training strings repeat their tokens in the same places.

    Examples
    --------
    >>> same_pattern([tuple("MTTV")], [tuple("XVVJ"), tuple("BDCA"), tuple("XVVX")])
    array([1])
    """
    counts = Counter(pattern(string) for string in train)
    return np.array([counts[pattern(string)] for string in strings])


def pattern(string: Tokens) -> tuple[int, ...]:
    """Return the repetition pattern of a string: each token by the order of first appearance."""
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(token, len(numbers)) for token in string)


def transition_table(train: Sequence[Tokens]) -> dict[tuple[str, str], float]:
    r"""Return the transitional probabilities of training.

    .. math:: P(b \mid a) = \frac{f(ab)}{\sum_c f(ac)}

    References
    ----------
    Saffran, Aslin & Newport (1996), Science 274, 1926-1928.

    Examples
    --------
    >>> transition_table([tuple("XVJ"), tuple("XX")])
    {('X', 'V'): 0.5, ('V', 'J'): 1.0, ('X', 'X'): 0.5}
    """
    pairs = Counter(pair for s in train for pair in zip(s, s[1:], strict=False))
    firsts = Counter(token for s in train for token in s[:-1])
    return {(a, b): count / firsts[a] for (a, b), count in pairs.items()}


def transition_probabilities(string: Tokens, table: dict[tuple[str, str], float]) -> list[float]:
    """Return the probability of each transition of a string, 0 for a new one."""
    return [table.get(pair, 0.0) for pair in zip(string, string[1:], strict=False)]


def log_sum(probabilities: Sequence[float]) -> float:
    """Return the sum of logarithms, minus infinity if one probability is 0; NaN of none."""
    if not probabilities:
        return math.nan
    return sum(math.log(p) if p else -math.inf for p in probabilities)
