"""What networks learn and answer: stimulus sets as tensors, their order, labelled answers."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

import neurodyn as nd
from neurodyn.models.grammar_nets import REFERENCES, encode
from neurodyn.stimuli.abstract_grammar import split_tokens

NEEDED = ("string", "grammatical", "split")


@dataclass(frozen=True)
class Lessons:
    """The strings of each seed: those to learn, with feedback, and those to answer.

    Attributes
    ----------
    x, y : Tensor
        Shapes (set, item, time, letter) and (set, item): the strings to learn, 1 for grammatical.
    asked : Tensor
        Shape (set, item, time, letter): the strings to answer.
    learnt, answered : list of Dataset
        The same as items; of all these, one set for each seed, or one for all.
    alphabet : tuple of str
        The letters.
    """

    x: Float[Tensor, "set item time letter"]
    y: Float[Tensor, "set item"]
    asked: Float[Tensor, "set item time letter"]
    learnt: list[xr.Dataset]
    answered: list[xr.Dataset]
    alphabet: tuple[str, ...]

    def of(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return x, y and asked of the seeds with these indices, one set for each."""
        return tuple(t[[min(s, len(t) - 1) for s in seeds]] for t in (self.x, self.y, self.asked))  # type: ignore[return-value]


def make_lessons(
    items: xr.Dataset | Sequence[xr.Dataset], seeds: Sequence[int], test: xr.Dataset | None,
    max_length: int | None,
) -> Lessons:  # fmt: skip
    """Return stimulus sets as tensors, or refuse what is not one for each seed."""
    sets = [items] if isinstance(items, xr.Dataset) else list(items)
    if not (len(sets) == len(seeds) or (isinstance(items, xr.Dataset) and len(sets) == 1)):
        raise ValueError(
            f"give one stimulus set, or one for each of {len(seeds)} seeds, got {len(sets)}"
        )
    for one in [*sets, *([] if test is None else [test])]:
        missing = [name for name in NEEDED if not isinstance(one, xr.Dataset) or name not in one]
        if missing:
            raise ValueError(
                f"items need the variables {', '.join(NEEDED)}; {', '.join(missing)} missing"
            )
    alphabets = {alphabet_of(one) for one in sets}
    if len(alphabets) > 1:
        raise ValueError(f"all sets must have one alphabet, got {sorted(alphabets)}")
    alphabet = alphabets.pop()
    learnt = [one.isel(item=(one.split == "train").values) for one in sets]
    answered = [one.isel(item=(one.split != "train").values) for one in sets]
    answered = answered if test is None else [test]
    for what, parts in (("learn (split 'train')", learnt), ("answer", answered)):
        sizes = sorted({part.sizes["item"] for part in parts})
        if len(sizes) > 1 or not sizes[0]:
            raise ValueError(
                f"every set needs one or more strings to {what}, equally many; got {sizes}"
            )
    longest = max(
        len(split_tokens(s, alphabet)) for part in (*learnt, *answered) for s in part.string.values
    )
    length = max(12, longest) if max_length is None else max_length

    def code(parts: list[xr.Dataset]) -> Tensor:
        return torch.stack(
            [encode(part.string.values.tolist(), alphabet, length) for part in parts]
        )

    y = torch.from_numpy(np.stack([part.grammatical.values for part in learnt]).astype(np.float32))
    return Lessons(code(learnt), y, code(answered), learnt, answered, alphabet)


def alphabet_of(items: xr.Dataset, name: str = "string") -> tuple[str, ...]:
    """Return the letters of some strings: as the attributes say, or all that occur, sorted.

    Without attributes, what stands between spaces is a letter if any string has a space.
    """
    if "alphabet" in items.attrs:
        return tuple(json.loads(items.attrs["alphabet"]))
    strings = [str(string) for string in items[name].values]
    spaced = any(" " in string for string in strings)
    found = {letter for string in strings for letter in (string.split(" ") if spaced else string)}
    return tuple(sorted(found - {""}))


def presentation(seed: int, items: int, first: int, epochs: int) -> Int[Tensor, " trial"]:
    """Return in which order a seed's items are shown: the `first` ones of a shuffle, each epoch.

    Every epoch has its own order; the first epoch's does not depend on how many are shown.

    Examples
    --------
    >>> presentation(0, 5, 3, epochs=1).tolist() == presentation(0, 5, 5, 2).tolist()[:3]
    True
    """
    draw = np.random.default_rng([seed, *b"order"])
    shown = draw.permutation(items)[:first]
    later = [draw.permutation(shown) for _ in range(epochs - 1)]
    return torch.from_numpy(np.concatenate([shown, *later]))


def bounds(items: int, epochs: int, batch_size: int, marks: Sequence[int]) -> list[int]:
    """Return where batches begin and end: no batch goes on beyond an epoch or a mark.

    Examples
    --------
    >>> bounds(items=5, epochs=2, batch_size=2, marks=[3, 9])
    [0, 2, 3, 5, 7, 9]
    """
    found, at = [0], 0
    stops = sorted({*marks, *(items * (epoch + 1) for epoch in range(epochs))})
    while at < marks[-1]:
        at = min(at + batch_size, *(stop for stop in stops if stop > at))
        found.append(at)
    return found


def check_seen(n_seen: Sequence[int] | None, default: int, limit: int) -> list[int]:
    """Return after how many strings answers are wanted."""
    seen = [default] if n_seen is None else whole_numbers(n_seen)
    if not seen or seen[0] < 1 or seen[-1] > limit or sorted(set(seen)) != seen:
        raise ValueError(
            f"n_seen must be whole numbers that increase, from 1 or more to {limit} or less, got "
            f"{n_seen!r}"
        )
    return seen


def check_seeds(seeds: Sequence[int]) -> list[int]:
    """Return training seeds."""
    found = whole_numbers(seeds)
    if not found or not 0 <= min(found) <= max(found) < 2**63 or len(set(found)) < len(found):
        raise ValueError(
            f"seeds must be one or more whole numbers from 0 up, all different, got {seeds!r}"
        )
    return found


def whole_numbers(values: Any) -> list[int]:
    """Return a sequence of whole numbers as a list, an empty one if it is anything else."""
    found = list(values) if isinstance(values, Iterable) else []
    kinds = [isinstance(x, int | np.integer) and not isinstance(x, bool) for x in found]
    return [int(x) for x in found] if all(kinds) else []


def label(
    output: np.ndarray, lessons: Lessons, coords: dict[str, Any], settings: dict[str, Any]
) -> xr.Dataset:
    """Return outputs (family, ..., seed, n_seen, item) with the names of all their axes."""
    about = {"long_name": "P(grammatical)", "units": "1", "references": REFERENCES}
    names = {
        "string": "string", "grammatical": "of the grammar", "split": "part of the stimulus set",
        "length": "letters", "seen": "also among the strings learnt",
    }  # fmt: skip
    items: dict[str, Any] = {}
    for name, long_name in names.items():
        if all(name in part for part in lessons.answered):
            values = np.stack([part[name].values for part in lessons.answered])
            same = (values == values[0]).all()
            items[name] = (
                "item" if same else ("seed", "item"), values[0] if same else values,
                {"long_name": long_name, "units": "1"},
            )  # fmt: skip
    place = {"item": np.arange(output.shape[-1])}
    result = xr.Dataset(
        {"output": (tuple(coords) + ("item",), output, about)}, coords | place | items
    )
    result.seed.attrs = {
        "long_name": "training seed: strings, weights, order; no subject",
        "units": "1",
    }
    result.n_seen.attrs = {"long_name": "strings learnt from", "units": "1"}
    result.attrs = {
        "provenance": "reconstruction", "references": REFERENCES,
        "neurodyn_version": nd.__version__, "config": json.dumps(settings, sort_keys=True),
    }  # fmt: skip
    for name in ("grammar", "overlap"):
        found = {str(part.attrs[name]) for part in lessons.learnt if name in part.attrs}
        if len(found) == 1:
            result.attrs[name] = found.pop()
    return result


def whole(name: str, value: Any) -> int:
    """Return a whole number from 1 up, or refuse it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1 up, got {value!r}")
    return int(value)
