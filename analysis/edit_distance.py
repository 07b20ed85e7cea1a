"""Edit distances between many strings at once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

Tokens = tuple[str, ...]


def edit_distances(
    strings: Sequence[Tokens], others: Sequence[Tokens]
) -> Int[np.ndarray, "item other"]:
    """Return the Levenshtein distances: fewest tokens inserted, deleted or replaced.

    Parameters
    ----------
    strings, others : sequences of tuples of str
        Tokens.

    References
    ----------
    Levenshtein (1966), Soviet Physics Doklady 10, 707-710.

    Examples
    --------
    >>> edit_distances([tuple("kitten"), tuple("sit")], [tuple("sitting")])
    array([[3],
           [4]])
    """
    ones, back = distinct_codes(strings)
    twos, forth = distinct_codes(others)
    numbers = {token: i for i, token in enumerate({t for s in (*ones, *twos) for t in s})}
    left, left_lengths = coded(ones, numbers, padding=-1)
    right, right_lengths = coded(twos, numbers, padding=-2)
    columns = right.shape[1] + 1
    row = np.broadcast_to(
        np.arange(columns, dtype=np.int16)[:, None, None], (columns, len(ones), len(twos))
    )
    distances = np.empty((len(ones), len(twos)), dtype=np.int64)
    across = np.arange(len(twos))
    for i in range(left.shape[1] + 1):
        if i:
            before, row = row, np.empty_like(row)
            row[0] = i
            for j in range(1, columns):
                replaced = before[j - 1] + (left[:, i - 1, None] != right[None, :, j - 1])
                row[j] = np.minimum(replaced, np.minimum(before[j], row[j - 1]) + 1)
        done = np.flatnonzero(left_lengths == i)
        distances[done] = row[right_lengths[None, :], done[:, None], across[None, :]]
    return distances[np.ix_(back, forth)]


def distinct_codes(strings: Sequence[Tokens]) -> tuple[list[Tokens], list[int]]:
    """Return the different strings, and which of them each string is."""
    found: dict[Tokens, int] = {}
    which = [found.setdefault(string, len(found)) for string in strings]
    return list(found), which


def coded(
    strings: Sequence[Tokens], numbers: dict[str, int], padding: int
) -> tuple[Int[np.ndarray, "string token"], Int[np.ndarray, " string"]]:
    """Return the tokens as numbers, padded on the right, and the lengths."""
    lengths = np.array([len(string) for string in strings])
    array = np.full((len(strings), lengths.max(initial=0)), padding)
    for row, string in zip(array, strings, strict=True):
        row[: len(string)] = [numbers[token] for token in string]
    return array, lengths
