"""Trials of people and answers of networks as one long table, and the cells it falls into."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int


def row_dims(data: xr.Dataset) -> tuple[str, ...]:
    """Return the dimensions that a row of the table runs over; refuse what is no such table."""
    if "response" in data and data.response.dims == ("trial",):
        return ("trial",)
    if "output" in data and "item" in data.output.dims:
        return tuple(str(dim) for dim in data.output.dims)
    raise ValueError(
        "data must be a table of trials ('response' over trial) or answers of networks ('output' "
        f"over item), it has {', '.join(map(str, data.variables)) or 'nothing'}"
    )


def column(data: xr.Dataset, name: str) -> np.ndarray:
    """Return one column of a table of trials or of answers, a value for each row.

    The column "length" need not be there: it is the number of tokens of the strings.

    Examples
    --------
    >>> answers = xr.Dataset({"output": (("seed", "item"), [[0.9, 0.2], [0.8, 0.4]])})
    >>> column(answers.assign_coords(string=("item", ["XV", "XVJ"])), "length")
    array([2, 3, 2, 3])
    """
    dims = row_dims(data)
    made = name == "length" and name not in data.variables
    source = ("item" if dims == ("trial",) else "string") if made else name
    known = {str(n) for n, v in data.variables.items() if set(v.dims) <= set(dims)} | set(dims)
    if source not in known:
        wanted = f"{source!r}, which {name!r} is counted from," if made else repr(name)
        raise ValueError(f"{wanted} is not in the table; it has {', '.join(sorted(known))}")
    here = data[source]
    if here.dtype == object and any(isinstance(value, str) for value in here.values.flat):
        here = here.fillna("").astype(str)  # what joining tables leaves behind
    if made:
        here = xr.apply_ufunc(string_length, here)
    if dims == ("trial",):
        return here.values
    return here.broadcast_like(data.output).transpose(*dims).values.ravel()


def string_length(strings: np.ndarray) -> Float[np.ndarray, "..."] | Int[np.ndarray, "..."]:
    """Return how many tokens strings have: characters, or words where a space separates them.

    A missing string ("") has the length NaN.

    Examples
    --------
    >>> string_length(np.array(["XVJ", "tu pi ro go", ""]))
    array([ 3.,  4., nan])
    """
    counts = [len(s.split()) if " " in s else len(s) for s in np.ravel(strings).tolist()]
    lengths = np.array(counts, int).reshape(np.shape(strings))
    return lengths if lengths.all() else np.where(lengths, lengths, np.nan)


def cells(
    data: xr.Dataset, by: Sequence[str]
) -> tuple[Int[np.ndarray, " row"], dict[str, np.ndarray]]:
    """Sort the rows of a table into the cells of a grid.

    Parameters
    ----------
    data : Dataset
        Trials or answers.
    by : sequence of str
        The columns whose values make the grid; none puts all rows into one cell.

    Returns
    -------
    cell : array
        Number of the cell of each row in C order; -1 where one of its labels is missing.
    labels : dict of str to array
        The sorted values of each column: the coordinates of the grid.

    Examples
    --------
    >>> columns = {"response": [1.0, 0.0, 1.0], "subject": ["b", "a", "b"], "block": [1.0, 1, 2]}
    >>> trials = xr.Dataset({name: ("trial", values) for name, values in columns.items()})
    >>> cells(trials, ("subject", "block"))[0]
    array([2, 0, 3])
    """
    if isinstance(by, str):
        by = (by,)
    if len(set(by)) != len(by):
        raise ValueError(f"by names a column twice: {', '.join(by)}")
    rows = int(np.prod([data.sizes[dim] for dim in row_dims(data)]))
    cell = np.zeros(rows, int)
    known = np.ones(rows, bool)
    labels = {}
    for name in by:
        values = column(data, name)
        there = values != "" if values.dtype.kind in "UOT" else ~np.isnan(values.astype(float))
        if not there.any():
            raise ValueError(f"{name!r} is missing in all rows, so they cannot be sorted by it")
        labels[name], place = np.unique(values[there], return_inverse=True)
        full = np.zeros(rows, int)
        full[there] = place
        cell = cell * len(labels[name]) + full
        known &= there
    return np.where(known, cell, -1), labels


def cell_sums(
    cell: Int[np.ndarray, " row"], values: np.ndarray, labels: dict[str, np.ndarray]
) -> Float[np.ndarray, "..."]:
    """Add up the values of the rows of each cell; the result has the shape of the grid.

    Examples
    --------
    >>> cell_sums(np.array([0, 1, 1, -1]), np.ones(4), {"subject": np.array(["a", "b"])})
    array([1., 2.])
    """
    shape = tuple(len(values) for values in labels.values())
    inside = cell >= 0
    sums = np.bincount(cell[inside], np.asarray(values, float)[inside], int(np.prod(shape)))
    return sums.reshape(shape)


def grid(data: xr.Dataset, labels: dict[str, np.ndarray]) -> xr.Dataset:
    """Return a Dataset that has the labels as coordinates, described as in the table."""
    found = xr.Dataset(coords=labels)
    for name in labels:
        found[name].attrs = {"long_name": name, "units": "1"}
        if name in data.variables:
            found[name].attrs |= data[name].attrs
    return found
