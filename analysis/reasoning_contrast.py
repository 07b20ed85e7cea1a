"""What networks get on problems with a tag, e.g. same-different, less what they get on others."""

import numpy as np
import xarray as xr
from scipy import stats

from neurodyn.analysis.reasoning import by_network, summarised


def relation_contrast(
    accuracy: xr.DataArray,
    tag: xr.DataArray,
    *,
    level: float = 0.95,
    permutations: int = 9999,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return what problems with a tag have on average, minus what the others have.

    .. math:: D = \frac{1}{|T|} \sum_{p \in T} A_p - \frac{1}{|\bar T|} \sum_{p \notin T} A_p

    for the tag "asks for a comparison of shapes", same-different against spatial relation. Two
    questions, two answers: the interval is over seeds, these problems being given. The p-value
    is over problems: in what share of ways to deal the tag to them is D as far from 0 on its side,
    times two. With few problems it cannot be small: two against two have six ways, hence 1/3 at
    least.

    Parameters
    ----------
    accuracy : DataArray
        With ``problem``, labelled, and ``seed``; accuracies, areas (`curve_area`), or differences
        of them; others are kept.
    tag : DataArray
        True or False along ``problem``, e.g. ``problem_tags().needs_shape_comparison``; the
        problems of `accuracy` must be among its own.
    level : float
        Coverage of the interval, between 0 and 1.
    permutations, seed : int
        All ways are taken if there are no more than `permutations`, else so many are drawn.

    Returns
    -------
    Dataset
        ``difference`` (...), ``difference_ci`` (..., ci_bound) and ``p_value`` (...).

    Raises
    ------
    ValueError
        For missing dimensions or tags, tags that are not True or False, and with fewer than two
        problems of either kind.

    References
    ----------
    Kim, Ricci & Serre (2018), Interface Focus 8, 20180011; Fisher (1935), The Design of
    Experiments (permutation).

    Examples
    --------
    >>> problems = {"problem": [1, 5, 2, 4]}
    >>> values = [[0.6, 0.7], [0.5, 0.6], [0.9, 1.0], [0.9, 1.0]]
    >>> tag = xr.DataArray([True, True, False, False], problems, "problem")
    >>> found = relation_contrast(xr.DataArray(values, problems, ("problem", "seed")), tag)
    >>> round(found.difference.item(), 3), round(found.p_value.item(), 3)
    (-0.35, 0.333)
    """
    values = by_network(accuracy, "problem")
    if missing := sorted(set(values.problem.values.tolist()) - set(tag.problem.values.tolist())):
        raise ValueError(f"problems {missing} have no tag; leave them out")
    if tag.dtype != bool:
        raise ValueError(f"a tag must be True or False for each problem, it is of {tag.dtype}")
    has = tag.sel(problem=values.problem.values).values
    if min(has.sum(), (~has).sum()) < 2:
        raise ValueError(
            "a contrast needs two problems or more with the tag and without; of "
            f"{values.problem.values.tolist()} {has.sum()} have it"
        )
    values = values.transpose("problem", ...)
    gap = values[has].mean("problem", skipna=False) - values[~has].mean("problem", skipna=False)
    found = summarised(
        {"difference": gap}, {"difference": "mean with the tag minus without"}, level
    )
    mean = values.mean("seed", skipna=False)
    p = stats.permutation_test(
        (mean.values[has], mean.values[~has]), lambda a, b, axis: a.mean(axis) - b.mean(axis),
        vectorized=True, n_resamples=permutations, random_state=np.random.default_rng(seed),
    ).pvalue  # fmt: skip
    found["p_value"] = found.difference.copy(data=p).where(found.difference.notnull())
    found.p_value.attrs = {"long_name": "p of the tag dealt at random", "units": "1"}
    found.attrs = {"with": int(has.sum()), "without": int((~has).sum()), "seed": seed}
    return found
