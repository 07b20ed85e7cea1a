"""Which visual reasoning problems are hard for the same networks? A tree, and what holds of it."""

from numbers import Integral
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.cluster import hierarchy

from neurodyn.analysis.adjusted_rand import enough
from neurodyn.analysis.cluster_bootstrap import bootstrap_means
from neurodyn.analysis.reasoning import by_network

Method = Literal["ward", "average", "complete"]
METHODS = ("ward", "average", "complete")
REFERENCES = (
    "Ward (1963), J. Am. Stat. Assoc. 58, 236-244; Felsenstein (1985), Confidence limits on "
    "phylogenies: an approach using the bootstrap, Evolution 39, 783-791"
)


def clades(linkage: Float[np.ndarray, "merge 4"]) -> Bool[np.ndarray, "node leaf"]:
    """Return which leaves lie below each node: the n leaves themselves, then the n - 1 merges.

    Examples
    --------
    >>> clades(np.array([[0, 1, 0.5, 2], [2, 3, 1.0, 3]]))[3:]
    array([[ True,  True, False],
           [ True,  True,  True]])
    """
    n = len(linkage) + 1
    below = np.zeros((2 * n - 1, n), bool)
    below[:n] = np.eye(n)
    for node, (left, right) in enumerate(linkage[:, :2].astype(int), start=n):
        below[node] = below[left] | below[right]
    return below


def cut(below: Bool[np.ndarray, "node leaf"], groups: int) -> Int[np.ndarray, " leaf"]:
    """Return the group of each leaf, from 0 in the order of leaves, where a tree is in `groups`.

    The last `groups` - 1 merges are undone.

    Examples
    --------
    >>> cut(clades(np.array([[1, 2, 0.5, 2], [0, 3, 1.0, 3]])), 2)
    array([0, 1, 1])
    """
    there = below[: len(below) + 1 - groups]
    top = len(there) - 1 - there[::-1].argmax(0)
    _, first, group = np.unique(top, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def cluster_problems(
    accuracy: xr.DataArray,
    *,
    groups: int = 2,
    method: Method = "ward",
    resamples: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the tree of problems by the accuracies of networks on them, and how stable it is.

    .. math:: d(p, q) = \Big( \sum_{m, n} (\bar A_{pmn} - \bar A_{qmn})^2 \Big)^{1/2}

    A problem is the vector of its mean accuracies over seeds, for all models m and training-set
    sizes n; distances are Euclidean. Stability is a bootstrap over seeds: networks are drawn
    again with replacement, all of a seed together, and the tree is built again. It says whether
    other networks would give this tree, not whether other problems would. Of few seeds a resample
    varies too little, by a factor of 1 - 1/S in variance, and support is too high: trees of 23
    problems made of noise alone (9 numbers each) have a mean support of .28 with 3 seeds, .12 with
    5 and .07 with 10.

    Parameters
    ----------
    accuracy : DataArray
        With ``problem``, labelled, 15 or more of them, and ``seed``; perhaps ``sample``. All other
        dimensions (model, images) are the vector.
    groups : int
        How many to cut the tree into, from 2 up.
    method : {"ward", "average", "complete"}
        What the distance of two groups is.
    resamples, seed : int
        Of the bootstrap: 100 or more, and what they are drawn from.

    Returns
    -------
    Dataset
        ``linkage`` (merge, column), scipy's: the two nodes, their distance, how many problems;
        ``support`` (merge), the share of resamples whose tree has a group of just these problems;
        ``group`` (problem), from 0; ``together`` (problem, other), the share of resamples in which
        two problems are in one of the groups; ``accuracy``, the means.

    Raises
    ------
    ValueError
        For fewer than 15 problems, missing cells, one seed, an unknown method.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603, cluster the
    problems by accuracies over depths and set sizes; the distance, the method and the bootstrap
    here are a reconstruction. Ward (1963), J. Am. Stat. Assoc. 58, 236-244. Felsenstein (1985),
    Evolution 39, 783-791.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> means = np.where(np.arange(16) < 8, 0.6, 0.9)[:, None, None]
    >>> accuracy = xr.DataArray(
    ...     means + 0.02 * rng.normal(size=(16, 3, 4)), {"problem": range(1, 17)},
    ...     dims=("problem", "images", "seed"),
    ... )
    >>> found = cluster_problems(accuracy, resamples=100)
    >>> found.group.values
    array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    >>> found.support[-2:].values, found.together.sel(problem=1, other=2).item()
    (array([1., 1.]), 1.0)
    """
    values = by_network(accuracy, "problem")
    problems = enough(values)
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if not isinstance(groups, Integral) or not 2 <= groups <= len(problems):
        raise ValueError(
            f"groups = {groups!r} must be a whole number from 2 to {len(problems)}, the problems"
        )
    if missing := int(values.isnull().sum()):
        raise ValueError(
            f"{missing} of {values.size} accuracies are missing: select the problems, sizes and "
            "models that are complete"
        )
    values = values.transpose("problem", ...)
    mean = values.mean("seed")
    drawn = bootstrap_means(values, clusters=["seed"], resamples=resamples, seed=seed)
    tree = hierarchy.linkage(mean.values.reshape(len(problems), -1), method)
    below = clades(tree)
    held, together = np.zeros(len(tree)), np.zeros((len(problems),) * 2)
    for vectors in drawn.transpose("resample", "problem", ...).values:
        other = clades(hierarchy.linkage(vectors.reshape(len(problems), -1), method))
        there = {row.tobytes() for row in other}
        held += [row.tobytes() in there for row in below[len(problems) :]]
        group = cut(other, groups)
        together += group[:, None] == group
    found = xr.Dataset(coords={"problem": problems, "other": problems})
    found["accuracy"] = mean.assign_attrs(long_name="mean accuracy over seeds")
    found["linkage"] = ("merge", "column"), tree, {"long_name": "merges of the tree"}
    found["support"] = "merge", held / resamples, {"long_name": "share of resamples with the group"}
    found["group"] = "problem", cut(below, groups), {"long_name": "group"}
    found["together"] = (
        ("problem", "other"), together / resamples,
        {"long_name": "share of resamples in one group"},
    )  # fmt: skip
    found = found.assign_coords(column=["left", "right", "distance", "problems"])
    for name in (*found.data_vars, "problem", "other", "column"):
        found[name].attrs = {"long_name": name} | found[name].attrs | {"units": "1"}
    found.attrs = {
        "method": method, "groups": groups, "resamples": resamples, "seed": seed,
        "seeds": values.sizes["seed"], "references": REFERENCES, "provenance": "reconstruction",
    }  # fmt: skip
    return found
