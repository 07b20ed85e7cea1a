"""Rows of different lengths, one after the other in one array."""

import numpy as np
from jaxtyping import Int64

Indices = Int64[np.ndarray, " n"]


def ragged(start: Indices, chosen: Indices) -> tuple[Indices, Indices]:
    """Return the indices of rows of a ragged array, one row after the other, and their starts."""
    lengths = start[chosen + 1] - start[chosen]
    begin = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum(lengths, out=begin[1:])
    return np.repeat(start[chosen] - begin[:-1], lengths) + np.arange(begin[-1]), begin
