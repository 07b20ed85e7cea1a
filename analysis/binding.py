"""Do phases tell objects apart? Phases to segments, segments against masks."""

from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neurodyn.analysis.groups import check_groups
from neurodyn.analysis.phasors import (
    Dims,
    check_phase,
    flattened,
    kept_coords,
    kept_dims,
    names,
    phasors,
    spread,
)

HUBERT = "Hubert & Arabie (1985), J. Classif. 2, 193-218, doi:10.1007/BF01908075"
PONT_TUSET = "Pont-Tuset et al. (2017), IEEE TPAMI 39, 128-140, doi:10.1109/TPAMI.2016.2537320"
LOWE = "Loewe et al. (2022), Trans. Mach. Learn. Res., arXiv:2204.02075"
ARTHUR = "Arthur & Vassilvitskii (2007), Proc. SODA, 1027-1035"
METHODS = ("gaps", "kmeans")
RESTARTS, ROUNDS = 8, 50


def cluster_phases(
    phase: xr.DataArray,
    amplitude: xr.DataArray | None = None,
    *,
    clusters: int,
    unit: Dims = ("y", "x"),
    channel: Dims = (),
    method: Literal["gaps", "kmeans"] = "kmeans",
    seed: int = 0,
) -> xr.DataArray:
    r"""Return the cluster that each unit belongs to by its phase.

    "gaps", for one phase per unit, cuts the circle at its largest gaps: exact and without chance,
    but one unit far from all others is a cluster to it. "kmeans" minimises

    .. math:: \sum_i w_i\, |f_i - c_{k(i)}|^2, \qquad
              f_i = \frac{(a_{ij} \cos\theta_{ij},\, a_{ij} \sin\theta_{ij})_{j}}
                         {\sqrt{\sum_j a_{ij}^2}}, \qquad w_i = \sum_j a_{ij}

    over the channels j of unit i, from eight starts drawn by k-means++, of which the best is
    kept.

    Parameters
    ----------
    phase : DataArray
        Radians; NaN where missing.
    amplitude : DataArray, optional
        Weights a: an amplitude, a gate, a mask; 0 or NaN where silent.
    clusters : int
        How many: the objects, and one more if the background is not silent.
    unit : str or sequence of str
        The dimensions that number the units, e.g. ("y", "x").
    channel : str or sequence of str
        Dimensions whose phases describe a unit together; none by default. Every other dimension
        (time, sample) is clustered by itself.
    method : {"kmeans", "gaps"}
        See above.
    seed : int
        Of the starts; not used by "gaps".

    Returns
    -------
    DataArray
        Whole numbers 1 ... clusters, in no order that means anything; 0 for silent units. Fewer
        clusters where fewer units have a phase.

    References
    ----------
    k-means of phases: Loewe et al. (2022), arXiv:2204.02075. k-means++: Arthur & Vassilvitskii
    (2007), Proc. SODA, 1027-1035.

    Examples
    --------
    >>> phase = xr.DataArray([[3.1, 0.1, -3.1], [0.0, 3.0, -0.1]], dims=("y", "x"))
    >>> cluster_phases(phase, clusters=2, method="gaps").values.tolist()
    [[2, 1, 2], [1, 2, 1]]
    """
    amplitude = check_phase(phase, amplitude)
    units, channels = names(unit), names(channel)
    kept = kept_dims(phase.dims, unit=units, **({"channel": channels} if channels else {}))
    if not (isinstance(clusters, int) and clusters >= 1):
        raise ValueError(f"clusters must be a whole number, 1 or larger, got {clusters!r}")
    if method not in METHODS or (method == "gaps" and channels):
        raise ValueError(
            f"method {method!r} does not do; one phase per unit: gaps or kmeans, several: kmeans"
        )
    values = flattened(phase, kept, units, channels)
    z = phasors(values, None if amplitude is None else flattened(amplitude, kept, units, channels))
    weight = np.ones_like(z.cosine) if z.weight is None else z.weight
    total = weight.sum(-1)
    batch = (-1, *values.shape[-2:])
    labels = np.zeros((np.prod(values.shape[:-2], dtype=int), values.shape[-2]), dtype=np.int32)
    features = np.concatenate([z.cosine.reshape(batch), z.sine.reshape(batch)], axis=-1)
    for row, feature, w in zip(labels, features, total.reshape(labels.shape), strict=True):
        active = w > 0
        feature = feature[active]
        feature /= np.linalg.norm(feature, axis=-1, keepdims=True)
        if method == "gaps":
            row[active] = 1 + largest_gaps(np.arctan2(feature[:, 1], feature[:, 0]), clusters)
        else:
            row[active] = 1 + weighted_kmeans(
                feature,
                w[active],
                clusters,
                np.random.default_rng(seed),  # as if alone
            )
    found = xr.DataArray(
        labels.reshape(values.shape[:-2] + tuple(phase.sizes[d] for d in units)),
        dims=(*kept, *units),
        coords=kept_coords(phase, (*kept, *units)),
        attrs={
            "long_name": "phase cluster, 0 = silent", "units": "1", "references": LOWE,
            "method": method, "clusters": clusters,
        },
    )  # fmt: skip
    return found.transpose(*(d for d in phase.dims if d in found.dims))


def largest_gaps(angle: Float[np.ndarray, " unit"], clusters: int) -> Int[np.ndarray, " unit"]:
    """Return labels from 0 on: the circle cut at its largest gaps, numbered counterclockwise.

    Parameters
    ----------
    angle : array
        Radians, in any turn.
    clusters : int
        How many gaps to cut at; equal phases are never parted.

    Examples
    --------
    >>> largest_gaps(np.array([0.1, 2.0, 4.0, -0.1]), 3)
    array([0, 1, 2, 0])
    """
    if not len(angle):
        return np.zeros(0, dtype=int)
    points, place = np.unique(np.mod(angle, 2 * np.pi), return_inverse=True)
    gaps = np.diff(points, append=points[0] + 2 * np.pi)
    cuts = np.sort(np.argsort(gaps, kind="stable")[::-1][:clusters])
    # the arc after the last cut goes on through 0 to the first
    return (np.searchsorted(cuts, np.arange(len(points)), side="left") % len(cuts))[place]


def weighted_kmeans(
    points: Float[np.ndarray, "unit feature"],
    weight: Float[np.ndarray, " unit"],
    clusters: int,
    draw: np.random.Generator,
) -> Int[np.ndarray, " unit"]:
    """Return labels from 0 on, of the best of eight starts (Lloyd's algorithm, k-means++)."""
    clusters = min(clusters, len(np.unique(points, axis=0)))
    if clusters < 2:
        return np.zeros(len(points), dtype=int)
    norm = (points**2).sum(-1)[None]
    share = weight / weight.sum()
    centres = points[draw.choice(len(points), (RESTARTS, 1), p=share)]  # (start, cluster, feature)
    while centres.shape[1] < clusters:
        chance = np.maximum(distances(points, centres, norm).min(1), 0) * share
        chance = np.cumsum(chance, axis=-1)
        picked = (chance < draw.random((RESTARTS, 1)) * chance[:, -1:]).sum(-1)
        centres = np.concatenate([centres, points[picked][:, None]], axis=1)
    labels = np.full((RESTARTS, len(points)), -1)
    for _ in range(ROUNDS):
        apart = distances(points, centres, norm)
        before, labels = labels, apart.argmin(1)
        if np.array_equal(before, labels):
            break
        member = (labels[:, None] == np.arange(clusters)[:, None]) * weight
        mass = member.sum(-1, keepdims=True)
        centres = np.where(mass > 0, member @ points / np.where(mass > 0, mass, 1), centres)
    best = (apart.min(1) @ weight).argmin()
    return labels[best]


def distances(
    points: Float[np.ndarray, "unit feature"],
    centres: Float[np.ndarray, "start cluster feature"],
    norm: Float[np.ndarray, "1 unit"],
) -> Float[np.ndarray, "start cluster unit"]:
    """Return squared distances."""
    return norm - 2 * centres @ points.T + (centres**2).sum(-1)[..., None]


def binding_quality(
    labels: xr.DataArray, groups: xr.DataArray, *, unit: Dims = ("y", "x")
) -> xr.Dataset:
    r"""Return how well segments agree with the true objects, at each time and for each sample.

    With :math:`n_{gs}` the units of object g in segment s, :math:`n_g` and :math:`n_s` its sums
    and n all units,

    .. math::
        \mathrm{ARI} = \frac{\sum_{gs} \binom{n_{gs}}{2} - e}
            {\frac{1}{2} \left[ \sum_g \binom{n_g}{2} + \sum_s \binom{n_s}{2} \right] - e}, \quad
        e = \frac{\sum_g \binom{n_g}{2} \sum_s \binom{n_s}{2}}{\binom{n}{2}}, \qquad
        \mathrm{MBO} = \Big\langle \max_{s > 0} \frac{n_{gs}}{n_g + n_s - n_{gs}} \Big\rangle_{g>0}

    ARI is 1 for the same partition and 0 on average for a random one. The foreground ARI counts
    units of objects only: it does not see segments that leak into the background, so read it with
    one of the others.

    Parameters
    ----------
    labels : DataArray
        Whole numbers, from `cluster_phases` or any other segmentation: 0 is a segment of its own
        for the ARI (silent units), but is not matched with objects.
    groups : DataArray
        The truth: objects from 1 on, 0 for background, below 0 for units to leave out. Dimensions
        it lacks are filled in: masks (sample, y, x) hold for all times.
    unit : str or sequence of str
        The dimensions that number the units.

    Returns
    -------
    Dataset
        ``ari``, ``foreground_ari``, ``mean_best_overlap`` and ``n_valid``, the units counted;
        pure numbers. NaN where no unit (no object) is there.

    References
    ----------
    Adjusted Rand index: Hubert & Arabie (1985), Journal of Classification 2, 193-218. Mean best
    overlap: Pont-Tuset et al. (2017), IEEE TPAMI 39, 128-140.

    Examples
    --------
    >>> truth = xr.DataArray([0, 0, 1, 1, 2, 2], dims="unit")
    >>> found = binding_quality(xr.DataArray([3, 3, 1, 1, 2, 1], dims="unit"), truth, unit="unit")
    >>> round(float(found.foreground_ari), 3), round(float(found.mean_best_overlap), 3)
    (0.0, 0.583)
    """
    units = names(unit)
    if not isinstance(labels, xr.DataArray) or labels.dtype.kind not in "iu":
        got = getattr(labels, "dtype", type(labels).__name__)
        raise TypeError(
            f"labels must be a DataArray of whole numbers, got {got}; `cluster_phases` makes them "
            "from phases"
        )
    kept = kept_dims(labels.dims, unit=units)
    check_groups(groups, units)
    if labels.size and labels.min() < 0:
        raise ValueError("labels are 0 or larger; leave units out by a negative number in groups")
    truth = flattened(spread(groups, labels, "groups", "labels"), kept, units)
    table = contingency(truth, flattened(labels, kept, units))
    values = {
        "ari": adjusted_rand_index(table),
        "foreground_ari": adjusted_rand_index(table[..., 1:, :]),
        "mean_best_overlap": best_overlap(table),
        "n_valid": table.sum((-2, -1)),
    }
    about = {
        "ari": ("adjusted Rand index", HUBERT),
        "foreground_ari": ("adjusted Rand index of the foreground", HUBERT),
        "mean_best_overlap": ("mean best overlap", PONT_TUSET),
        "n_valid": ("units counted", HUBERT),
    }
    return xr.Dataset(
        {
            name: (kept, value, {"long_name": about[name][0], "units": "1",
                                 "references": about[name][1]})
            for name, value in values.items()
        },
        coords=kept_coords(labels, kept),
        attrs={"unit": ", ".join(units)},
    )  # fmt: skip


def contingency(
    truth: Int[np.ndarray, "... unit"], labels: Int[np.ndarray, "... unit"]
) -> Int[np.ndarray, "... object segment"]:
    """Count the units of each object, from 0 on, in each segment; below 0 is left out.

    Examples
    --------
    >>> contingency(np.array([0, 1, 1, -1]), np.array([1, 0, 1, 1]))
    array([[0, 1],
           [1, 1]])
    """
    objects, segments = np.unique(truth), np.unique(labels)
    objects = np.union1d(objects[objects >= 0], 0)
    segments = np.union1d(segments, 0)
    shape = truth.shape[:-1]
    row = np.arange(int(np.prod(shape))).reshape(*shape, 1)
    index = row * len(objects) + np.searchsorted(objects, truth)
    index = index * len(segments) + np.searchsorted(segments, labels)
    size = row.size * len(objects) * len(segments)
    counts = np.bincount(index[truth >= 0].ravel(), minlength=size)
    return counts.reshape(*shape, len(objects), len(segments))


def adjusted_rand_index(table: Int[np.ndarray, "... object segment"]) -> np.ndarray:
    """Return the agreement of two partitions from their contingency table, NaN if it is empty.

    Two partitions without any pair to agree on, or each of one part only, agree: 1.

    Examples
    --------
    >>> float(adjusted_rand_index(np.array([[2, 0], [1, 1]])))
    0.0
    """

    def pairs(n: np.ndarray) -> np.ndarray:
        return n * (n - 1) / 2

    n = table.sum((-2, -1))
    both = pairs(table).sum((-2, -1))
    objects, segments = pairs(table.sum(-1)).sum(-1), pairs(table.sum(-2)).sum(-1)
    expected = objects * segments / np.maximum(pairs(n), 1)
    best = (objects + segments) / 2
    trivial = best == expected
    index = np.where(trivial, 1.0, (both - expected) / np.where(trivial, 1, best - expected))
    return np.where(n > 0, index, np.nan)


def best_overlap(table: Int[np.ndarray, "... object segment"]) -> np.ndarray:
    """Return the mean over objects of the largest intersection over union with a segment.

    Object 0, the background, and segment 0, what is silent, are not matched.

    Examples
    --------
    >>> float(best_overlap(np.array([[4, 0, 2], [0, 3, 0]])))
    1.0
    """
    objects, segments = table.sum(-1)[..., 1:, None], table.sum(-2)[..., None, 1:]
    inside = table[..., 1:, 1:]
    overlap = inside / np.maximum(objects + segments - inside, 1)
    there = objects[..., 0] > 0
    count = there.sum(-1)
    best = overlap.max(-1, initial=0) * there
    return np.where(count > 0, best.sum(-1) / np.maximum(count, 1), np.nan)
