"""Is it more than chance? Measures against phases whose relations between units are broken."""

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
import xarray as xr

from neurodyn.analysis.phasors import Dims, kept_dims, names

PHIPSON = "Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39, doi:10.2202/1544-6115.1585"
METHODS = ("shift", "shuffle")
Data = TypeVar("Data", xr.DataArray, xr.Dataset)


def surrogate_test(
    statistic: Callable[[Data], xr.DataArray],
    data: Data,
    *,
    dim: str,
    unit: Dims = "unit",
    method: Literal["shift", "shuffle"] = "shift",
    surrogates: int = 200,
    seed: int = 0,
) -> xr.Dataset:
    r"""Compare a measure with the same of surrogates, where each unit is moved on its own.

    Along `dim`, each unit is shifted around by a random number of places ("shift", for times: each
    keeps its own rhythm), or its entries are put in random order ("shuffle", for samples). What
    units have to do with one another is lost, what each does alone is kept.

    .. math:: p = \frac{1 + \#\{ s_k \ge s \}}{1 + K}, \qquad
              z = \frac{s - \langle s_k \rangle}{\mathrm{sd}(s_k)}

    One-sided, for measures that synchrony makes larger. Every entry is tested by itself: for many
    pairs, correct the p values (``scipy.stats.false_discovery_control``). K bounds p from below.

    Parameters
    ----------
    statistic : function
        From data such as `data` to a DataArray, e.g.
        ``lambda d: phase_locking(d.phase, d.amplitude, dim="time").plv``.
    data : DataArray or Dataset
        Phases, or phases with what goes along with them; all variables are moved alike, those
        without `dim` not at all.
    dim : str
        The dimension along which units are moved: the one that the measure averages over.
    unit : str or sequence of str
        The dimensions that number the units. All other dimensions of a unit are moved together.
    method : {"shift", "shuffle"}
        See above. Shifting needs a run that is long against its own correlations.
    surrogates : int
        K.
    seed : int
        Of shifts and orders.

    Returns
    -------
    Dataset
        ``observed``, ``null`` (surrogate, ...), ``p_value`` and ``z_score`` (pure numbers). NaN
        where the measure is NaN, and z where surrogates do not differ.

    References
    ----------
    p with the observed among them: Phipson & Smyth (2010), doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> from neurodyn.analysis import phase_locking
    >>> noise = np.random.default_rng(0).normal(size=(3, 300)).cumsum(axis=1)
    >>> phase = xr.DataArray([noise[0], noise[0] - 0.1 * noise[1], noise[2]],
    ...                      dims=("unit", "time"))
    >>> found = surrogate_test(lambda p: phase_locking(p, dim="time").plv, phase, dim="time")
    >>> found.p_value.sel(source=0).values.round(2)[1:]
    array([0.01, 0.64])
    """
    units: tuple[str, ...] = names(unit)
    if not isinstance(data, xr.DataArray | xr.Dataset):
        raise TypeError(f"data must be a DataArray or a Dataset, got {type(data).__name__}")
    kept_dims(tuple(data.sizes), dim=names(dim), unit=units)
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of: {', '.join(METHODS)}")
    if not (isinstance(surrogates, int) and surrogates >= 1):
        raise ValueError(f"surrogates must be a whole number, 1 or larger, got {surrogates!r}")
    draw = np.random.default_rng(seed)
    sizes = dict(data.sizes)
    shape: tuple[int, ...] = tuple(sizes[d] for d in units)
    length = sizes[dim]
    found = []
    for _ in range(surrogates):
        if method == "shift":
            first = draw.integers(length, size=shape)
            order = (first[..., None] + np.arange(length)) % length
        else:
            order = draw.permuted(np.broadcast_to(np.arange(length), (*shape, length)), axis=-1)
        found.append(statistic(moved(data, xr.DataArray(order, dims=(*units, dim)))))
    observed = statistic(data)
    null = xr.concat(found, "surrogate").transpose("surrogate", ...)
    # a unit with itself, say, differs from its surrogates by rounding
    tie = 64 * np.finfo(np.result_type(null, np.float32)).eps * abs(observed)
    there = observed.notnull() & null.notnull().all("surrogate")
    p = (1 + (null >= observed - tie).sum("surrogate")) / (1 + surrogates)
    spread = null.std("surrogate")
    spread = spread.where(spread > tie)
    result = xr.Dataset(
        {
            "observed": observed,
            "null": null,
            "p_value": p.where(there),
            "z_score": (observed - null.mean("surrogate")) / spread,
        },
        attrs={"method": method, "dim": dim, "surrogates": surrogates, "seed": seed},
    )
    what = observed.attrs.get("long_name", observed.name or "measure")
    about = {
        "observed": what,
        "null": f"{what} of surrogates",
        "p_value": f"p of the {what} against surrogates",
        "z_score": f"{what} in s.d. of surrogates",
    }
    for name, long_name in about.items():
        own = name in ("observed", "null")
        units_name = observed.attrs.get("units", "1") if own else "1"
        references = observed.attrs.get("references", PHIPSON) if own else PHIPSON
        result[name].attrs = {
            "long_name": long_name, "units": units_name, "references": references,
        }  # fmt: skip
    return result


def moved(data: Data, order: xr.DataArray) -> Data:
    """Return the data with each unit's entries in its own order; labels stay where they are."""
    dim = order.dims[-1]
    bare = data.drop_vars([name for name, c in data.coords.items() if dim in c.dims])
    turned = bare.isel({dim: order})
    return turned.assign_coords(
        {name: c.variable for name, c in data.coords.items() if dim in c.dims}
    )
