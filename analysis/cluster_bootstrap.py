"""Intervals over subjects, items and seeds at once: each resampled by itself, with replacement."""

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from zlib import crc32

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.accuracy import resampling_weights

CLUSTERS = ("subject", "item", "seed")
NOTE = "seeds are training runs of a network, not subjects"
REFERENCES = (
    "Efron & Tibshirani (1993), An Introduction to the Bootstrap, Chapman & Hall; McCullagh "
    "(2000), Resampling and exchangeable arrays, Bernoulli 6, 285-301; Owen (2007), The pigeonhole "
    "bootstrap, Ann. Appl. Stat. 1, 386-411, doi 10.1214/07-AOAS122"
)
CELLS = 20_000_000  # numbers held at a time


def crossed_means(
    values: Float[np.ndarray, "..."], weights: Sequence[Float[np.ndarray, "resample cluster"]]
) -> Float[np.ndarray, "resample ..."]:
    r"""Return the weighted means over the first dimensions, one for each set of weights.

    .. math:: m_b = \frac{\sum_{s, i, r} u_{bs}\, v_{bi}\, w_{br}\, x_{sir}}
                         {\sum_{s, i, r} u_{bs}\, v_{bi}\, w_{br}\, [x_{sir} \text{ known}]}

    Values that are NaN count neither above nor below; NaN where a resample has no value at all.

    Parameters
    ----------
    values : array
        Shape (cluster of the first kind, of the second, ..., any other dimensions).
    weights : sequence of array
        One for each kind, shape (resample, cluster).

    Examples
    --------
    >>> crossed_means(np.array([[1.0, 2.0], [3.0, 4.0]]), [np.eye(2), np.eye(2)])
    array([1., 4.])
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    chunk = max(1, CELLS // max(1, values[0].size))
    parts = []
    for start in range(0, len(weights[0]), chunk):
        some = [w[start : start + chunk] for w in weights]
        # where nothing is missing, the denominator is the product of the sums of weights
        there = np.ones((1,) * values.ndim) if known.all() else known.astype(float)
        n = contracted(there, [w.sum(1, keepdims=True) for w in some] if known.all() else some)
        parts.append(contracted(filled, some) / np.where(n > 0, n, np.nan))
    return np.concatenate(parts)


def contracted(values: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    """Return the weighted sums over the first dimensions, (resample, ...)."""
    sums = np.tensordot(weights[0], values, 1)
    for w in weights[1:]:
        sums = np.einsum("bi,bi...->b...", w, sums)
    return sums


def weights_of(
    sizes: dict[str, int], resamples: int, seed: int
) -> dict[str, Float[np.ndarray, "resample cluster"]]:
    """Draw each kind of cluster from a stream of its own name, so that data may share a draw."""
    streams = {name: np.random.SeedSequence([seed, crc32(name.encode())]) for name in sizes}
    return {
        name: resampling_weights(n, resamples, int(streams[name].generate_state(1)[0]))
        for name, n in sizes.items()
    }


def bootstrap_means(
    values: xr.DataArray,
    *,
    clusters: Sequence[str] | None = None,
    weights: xr.DataArray | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.DataArray:
    r"""Return the mean over subjects, items and seeds in every resample.

    .. math:: m_b = \frac{\sum u_{bs}\, v_{bi}\, w_{br}\, p_{sir}\, x_{sir}}
                         {\sum u_{bs}\, v_{bi}\, w_{br}\, p_{sir}}

    u, v, w are multinomial: how often a subject, an item, a seed was drawn; p are weights of the
    mean, 0 where x is NaN. The draw of a dimension depends on its name, its size and the seed
    alone: what is resampled from people (subject, item) and from networks (seed, item) shares its
    items, so that differences and curve distances of such means have the right intervals.

    Parameters
    ----------
    values : DataArray
        With one or more of the dimensions `clusters`; others are kept.
    clusters : sequence of str, optional
        What to resample; by default those of subject, item and seed that there are.
    weights : DataArray, optional
        p, 0 or more, over dimensions of `values`.
    resamples, seed : int
        How many, and what they are drawn from.

    Returns
    -------
    DataArray
        (..., resample).

    Examples
    --------
    >>> values = xr.DataArray([[0.0, 1.0], [1.0, 1.0]], dims=("subject", "item"))
    >>> bootstrap_means(values, resamples=500).sizes
    Frozen({'resample': 500})
    """
    names = kinds([values], clusters, resamples)
    draws = weights_of({name: values.sizes[name] for name in names}, resamples, seed)
    return means_with(values, draws, weights)


def means_with(
    values: xr.DataArray,
    draws: dict[str, Float[np.ndarray, "resample cluster"]],
    weights: xr.DataArray | None,
) -> xr.DataArray:
    """Return the weighted means (..., resample) for given draws of the clusters."""
    others = [dim for dim in values.dims if dim not in draws]
    array = values.transpose(*draws, *others)
    x, drawn = array.values.astype(float), list(draws.values())
    if weights is None:
        means = crossed_means(x, drawn)
    else:
        p = np.where(np.isnan(x), np.nan, matched(weights, array))
        above, below = crossed_means(p * x, drawn), crossed_means(p, drawn)
        means = above / np.where(below > 0, below, np.nan)
    found = array.isel(dict.fromkeys(draws, 0), drop=True)
    result = xr.DataArray(means, dims=("resample", *others), coords=found.coords)
    return result.transpose(..., "resample")


def matched(weights: xr.DataArray, values: xr.DataArray) -> np.ndarray:
    """Return weights in the shape of the values; refuse what does not fit them."""
    if not set(weights.dims) <= set(values.dims):
        raise ValueError(f"weights have the dimensions {weights.dims}, values {values.dims}")
    try:
        xr.align(weights, values, join="exact")
    except ValueError as error:
        raise ValueError(f"weights and values must have equal labels: {error}") from None
    if not (weights >= 0).all():
        raise ValueError("weights must be 0 or more and not NaN")
    return weights.broadcast_like(values).transpose(*values.dims).values.astype(float)


def cluster_bootstrap(
    values: xr.DataArray,
    *,
    clusters: Sequence[str] | None = None,
    weights: xr.DataArray | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the mean over subjects, items and seeds, with an interval over all of them.

    .. math:: \bar x = \frac{\sum p x}{\sum p}, \qquad
              \left[ Q_{(1 - c)/2}, Q_{(1 + c)/2} \right] \text{ of } \{ m_b \}

    Each named dimension is resampled by itself, with replacement (crossed clusters, the
    "pigeonhole" bootstrap): the interval is about other subjects *and* other items *and* other
    training seeds. No bootstrap of crossed data is exact (McCullagh 2000); this one would count
    what neither subjects nor items nor seeds explain three times with two kinds of cluster, seven
    times with three (Owen 2007). With several kinds the draws are therefore scaled about their mean
    until their variance is that of `multiway_variance`. With few clusters of a kind (under about
    20) any percentile interval is too narrow.

    Seeds are training runs of a network, not subjects: more seeds make the mean of such networks
    surer, they say nothing about people.

    Parameters
    ----------
    values : DataArray
        With one or more of the dimensions `clusters`; others are kept. NaN is a missing value.
    clusters : sequence of str, optional
        What to resample; by default those of subject, item and seed that there are.
    weights : DataArray, optional
        Weights of the mean, 0 or more, over dimensions of `values`.
    level : float
        Coverage c aimed at, between 0 and 1.
    resamples, seed : int
        100 or more, and what they are drawn from.

    Returns
    -------
    Dataset
        ``x`` and ``x_ci`` (..., ci_bound = lower, upper), named as `values` is ("mean" if it has
        no name). Attributes: which clusters, how many of each, resamples, seed. The interval is
        NaN where values are so few that a resample has none.

    Raises
    ------
    ValueError
        Without such a dimension, or with one of size 1, which tells nothing of others of its kind.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap. McCullagh (2000), Bernoulli 6,
    285-301. Owen (2007), The pigeonhole bootstrap, Ann. Appl. Stat. 1, 386-411. Cameron, Gelbach &
    Miller (2011), J. Bus. Econ. Stat. 29, 238-249.

    Examples
    --------
    >>> right = np.random.default_rng(0).random((12, 40)) < 0.8
    >>> found = cluster_bootstrap(xr.DataArray(right, dims=("subject", "item"), name="accuracy"))
    >>> found.accuracy_ci.round(2).values
    array([0.72, 0.8 ])
    """
    names = kinds([values], clusters, resamples)
    sizes = {name: values.sizes[name] for name in names}
    once = {name: np.ones((1, n)) for name, n in sizes.items()}
    mean = means_with(values, once, weights).isel(resample=0)
    mean.attrs = dict(values.attrs)
    draws = means_with(values, weights_of(sizes, resamples, seed), weights)
    if len(names) > 1:
        wanted, found = multiway_variance(values, mean, names, weights), draws.var("resample")
        middle = draws.mean("resample")
        scale = (wanted / found.where(found > 0)).fillna(1) ** 0.5
        draws = middle + (draws - middle) * scale
    return interval(mean, draws, values.name, sizes, level, seed)


def multiway_variance(
    values: xr.DataArray, mean: xr.DataArray, names: Sequence[str], weights: xr.DataArray | None
) -> xr.DataArray:
    r"""Return the variance of a mean over crossed clusters.

    .. math:: V = \sum_{\emptyset \ne A} (-1)^{|A| + 1} V_A, \qquad
              V_A = \frac{G_A}{G_A - 1} \sum_{a} \Big( \sum_{c \in a} e_c \Big)^2, \qquad
              e_c = \frac{p_c (x_c - \bar x)}{\sum p}

    over all sets A of kinds of cluster, a being one of the G_A intersections of such clusters; not
    below the largest :math:`V_A` of a single kind.

    References
    ----------
    Cameron, Gelbach & Miller (2011), J. Bus. Econ. Stat. 29, 238-249, doi
    10.1198/jbes.2010.07136.

    Examples
    --------
    >>> values = xr.DataArray([[0.0, 1.0], [0.0, 1.0]], dims=("subject", "item"))
    >>> multiway_variance(values, values.mean(), ["subject", "item"], None).item()
    0.25
    """
    p = xr.ones_like(values, dtype=float) if weights is None else weights.broadcast_like(values)
    p = p.where(values.notnull(), 0.0)
    e = (p * (values - mean)).fillna(0.0) / p.sum(names)
    total = xr.zeros_like(mean)
    least = xr.zeros_like(mean)
    for size in range(1, len(names) + 1):
        for some in combinations(names, size):
            rest = [name for name in names if name not in some]
            there = (p.sum(rest) > 0).sum(some)
            part = (e.sum(rest) ** 2).sum(some) * there / (there - 1).where(there > 1)
            total = total - (-1) ** size * part
            if size == 1:
                least = xr.where(part > least, part, least)
    return xr.where(total > least, total, least)


def bootstrap_statistic(
    statistic: Callable[..., xr.DataArray],
    *data: xr.DataArray | xr.Dataset,
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return any statistic, with an interval over subjects, items and seeds.

    .. math:: \hat T = T(x, y, \ldots), \qquad
              \left[ Q_{(1 - c)/2}, Q_{(1 + c)/2} \right] \text{ of }
              \{ T(x_b, y_b, \ldots) - \mathrm{median}_b\, T(x_b, y_b, \ldots) + \hat T \}

    A resample holds some subjects several times and about 37% not at all: it is noisier than the
    data, which pulls a correlation down and lifts a distance. The draws are therefore moved so that
    their median is the statistic of the data.

    The slow and general form of `cluster_bootstrap`: the data are drawn anew, cluster by cluster,
    and the statistic computed again. A dimension that several data have (item) is drawn once for
    all of them; it then holds some labels several times.

    Parameters
    ----------
    statistic : callable
        Takes the data, returns a DataArray, always of the same shape.
    *data : DataArray or Dataset
        With equal labels on dimensions that they share.
    clusters, level, seed
        As in `cluster_bootstrap`.
    resamples : int
        100 or more.

    Returns
    -------
    Dataset
        As in `cluster_bootstrap`, named as the statistic's DataArray is.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> human = xr.DataArray(rng.random((8, 30)), dims=("subject", "item"))
    >>> network = xr.DataArray(rng.random((5, 30)), dims=("seed", "item"))
    >>> def correlation(human, network):
    ...     return xr.corr(human.mean("subject"), network.mean("seed")).rename("r")
    >>> found = bootstrap_statistic(correlation, human, network, resamples=100)
    >>> found.r_ci.sizes, found.attrs["clusters"]
    (Frozen({'ci_bound': 2}), '{"subject": 8, "item": 30, "seed": 5}')
    """
    names = kinds(data, clusters, resamples)
    try:
        xr.align(*data, join="exact")
    except ValueError as error:
        raise ValueError(
            f"data must have equal labels where they share a dimension: {error}"
        ) from None
    sizes = {name: next(x.sizes[name] for x in data if name in x.dims) for name in names}
    counts = {
        name: np.rint(w * sizes[name]).astype(int)
        for name, w in weights_of(sizes, resamples, seed).items()
    }
    draws = []
    for b in range(resamples):
        drawn = {name: np.repeat(np.arange(sizes[name]), n[b]) for name, n in counts.items()}
        draws.append(
            statistic(*(x.isel({k: i for k, i in drawn.items() if k in x.dims}) for x in data))
        )
    value = statistic(*data)
    if not isinstance(value, xr.DataArray):
        raise TypeError(f"statistic must return a DataArray, it returned {type(value).__name__}")
    joined = xr.concat(draws, dim="resample", coords="minimal", compat="override")
    moved = joined - joined.median("resample", skipna=False) + value
    return interval(value, moved.transpose(..., "resample"), value.name, sizes, level, seed)


def kinds(
    data: Sequence[xr.DataArray | xr.Dataset], clusters: Sequence[str] | None, resamples: int
) -> list[str]:
    """Return the dimensions to resample; refuse what cannot be."""
    there = {str(dim): x.sizes[dim] for x in data for dim in x.dims}
    wanted = [name for name in CLUSTERS if name in there] if clusters is None else list(clusters)
    if not wanted or not set(wanted) <= set(there):
        raise ValueError(
            f"clusters {wanted or list(CLUSTERS)} are not dimensions; there are {sorted(there)}"
        )
    for name in wanted:
        if there[name] < 2:
            raise ValueError(
                f"one {name} alone tells nothing of others: give two or more, or leave {name!r} "
                "out of clusters"
            )
    if resamples < 100:
        raise ValueError(f"resamples must be 100 or more for an interval, got {resamples!r}")
    return wanted


def interval(
    value: xr.DataArray,
    draws: xr.DataArray,
    name: object,
    sizes: dict[str, int],
    level: float,
    seed: int,
) -> xr.Dataset:
    """Return a value and the percentile interval of its draws as a Dataset."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    tails = [(1 - level) / 2, (1 + level) / 2]
    bounds = draws.quantile(tails, "resample", skipna=False).rename(quantile="ci_bound")
    bounds = bounds.assign_coords(ci_bound=["lower", "upper"]).transpose(..., "ci_bound")
    label = str(name) if name is not None else "mean"
    long_name = value.attrs.get("long_name", label)
    about = {"units": value.attrs.get("units", "1"), "references": REFERENCES}
    text = ", ".join(f"{n} {kind}s" for kind, n in sizes.items())
    value.attrs = {"long_name": long_name, **about}
    bounds.attrs = {
        "long_name": f"{level:.0%} interval of the {long_name}, bootstrap over {text}",
        "level": level,
        **about,
    }
    found = xr.Dataset({label: value, f"{label}_ci": bounds})
    found.ci_bound.attrs = {"long_name": "bound of the interval", "units": "1"}
    found.attrs = {
        "clusters": json.dumps(sizes),
        "level": level,
        "resamples": draws.sizes["resample"],
        "seed": seed,
        "note": NOTE,
        "provenance": "reconstruction",
    }
    return found
