"""Whether two groupings of the same things agree, and beyond chance."""

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped
from scipy import stats

FEWEST = 15
REFERENCES = (
    "Hubert & Arabie (1985), Comparing partitions, J. Classif. 2, 193-218, doi:10.1007/BF01908075"
)


def adjusted_rand(
    a: Shaped[np.ndarray, "... n"], b: Shaped[np.ndarray, "... n"]
) -> Float[np.ndarray, "..."]:
    r"""Return the adjusted Rand index of two groupings.

    .. math:: R = \frac{T - PQ/N}{(P + Q)/2 - PQ/N}

    .. math:: T = \sum_{ij} \binom{n_{ij}}{2}, \quad P = \sum_i \binom{n_{i\cdot}}{2}, \quad
        Q = \sum_j \binom{n_{\cdot j}}{2}, \quad N = \binom{n}{2}

    with :math:`n_{ij}` things in group i of the first and j of the second. Of all N pairs, P
    are together in the first, Q in the second and T in both; PQ/N is the mean of T over all ways
    to deal out the labels. 1 if the groupings are the same whatever the groups are called, 0 on
    average by chance.

    Parameters
    ----------
    a, b : array
        Labels of any kind, shapes (..., n), which broadcast.

    References
    ----------
    Hubert & Arabie (1985), J. Classif. 2, 193-218, doi:10.1007/BF01908075.

    Examples
    --------
    >>> float(adjusted_rand(np.array([1, 1, 2, 2]), np.array(["x", "x", "y", "z"])).round(3))
    0.571
    """
    one, other = (np.asarray(x)[..., None] == np.unique(x) for x in (a, b))
    counts = np.einsum("...ni,...nj->...ij", one.astype(float), other.astype(float))

    def pairs(n: np.ndarray) -> np.ndarray:
        return n * (n - 1) / 2

    together = pairs(counts).sum((-2, -1))
    p, q = pairs(counts.sum(-1)).sum(-1), pairs(counts.sum(-2)).sum(-1)
    n = np.shape(a)[-1]
    by_chance = p * q / (n * (n - 1) / 2)
    most = (p + q) / 2 - by_chance
    # nothing is left for chance: all things together in both, or apart in both
    return np.where(most == 0, 1.0, (together - by_chance) / np.where(most == 0, 1.0, most))[()]


def compare_groupings(
    group: xr.DataArray, tags: xr.Dataset, *, permutations: int = 9999, seed: int = 0
) -> xr.Dataset:
    """Return how well groups of problems agree with each of some tags.

    Parameters
    ----------
    group : DataArray
        A label for each ``problem``, e.g. ``group`` of `cluster_problems`: 15 problems or more.
    tags : Dataset
        Other groupings along ``problem``, e.g. of `problem_tags`; those of the problems of `group`
        are used.
    permutations, seed : int
        How often the labels are dealt out anew, and from what that is drawn.

    Returns
    -------
    Dataset
        ``adjusted_rand`` (tag), and ``p_value`` (tag): in what share of the deals the index is as
        high, the data counted as one deal. Two groups cannot reach 1 against three.

    Raises
    ------
    ValueError
        For fewer than 15 problems, and problems without a tag.

    References
    ----------
    Hubert & Arabie (1985), J. Classif. 2, 193-218, doi:10.1007/BF01908075.

    Examples
    --------
    >>> from neurodyn.analysis.reasoning_tags import problem_tags
    >>> tags = problem_tags()
    >>> found = compare_groupings(tags.relation, tags, permutations=199)
    >>> found.adjusted_rand.sel(tag="relation").item(), found.p_value.sel(tag="relation").item()
    (1.0, 0.005)
    """
    problems = enough(group)
    if group.isnull().any():
        raise ValueError(f"{int(group.isnull().sum())} problems have no group; leave them out")
    if missing := sorted(set(problems) - set(tags.problem.values.tolist())):
        raise ValueError(f"problems {missing} have no tag; leave them out")
    beside = tags.sel(problem=problems)
    index, p = [], []
    for labels in beside.data_vars.values():
        tested = stats.permutation_test(
            (group.values,), lambda x, axis, y=labels.values: adjusted_rand(x, y),
            permutation_type="pairings", alternative="greater", vectorized=True,
            n_resamples=permutations, random_state=np.random.default_rng(seed),
        )  # fmt: skip
        index.append(tested.statistic)
        p.append(tested.pvalue)
    found = xr.Dataset(coords={"tag": list(map(str, beside.data_vars))})
    about = {"units": "1", "references": REFERENCES}
    found["adjusted_rand"] = "tag", index, {"long_name": "adjusted Rand index", **about}
    found["p_value"] = "tag", p, {"long_name": "p of labels dealt out at random", **about}
    found.tag.attrs = {"long_name": "tag", "units": "1"}
    found.attrs = {"problems": len(problems), "permutations": permutations, "seed": seed}
    return found


def enough(values: xr.DataArray) -> list[int]:
    """Return the problems; refuse too few to speak of groups of them."""
    if "problem" not in values.coords or "problem" not in values.dims:
        raise ValueError(
            f"groups of problems need a labelled dimension 'problem', got {values.dims}"
        )
    problems = values.problem.values.tolist()
    if len(problems) < FEWEST or len(set(problems)) < len(problems):
        raise ValueError(
            f"groups of problems need {FEWEST} different ones or more, got {problems}: with fewer, "
            "chance makes groups as clear as these; look at the accuracies themselves"
        )
    return problems
