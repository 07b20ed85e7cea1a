"""Synchrony within and between groups of units, over all pairs without forming them."""

from collections.abc import Hashable

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neurodyn.analysis.phasors import (
    Dims,
    Phasors,
    check_phase,
    flattened,
    kept_coords,
    kept_dims,
    names,
    phasors,
    spread,
)

MALSBURG = "von der Malsburg (1981), The correlation theory of brain function, MPI Biophys. Chem."
KOMPLEXNET = "Muzellec, Alamia, Serre & VanRullen (2025), arXiv:2502.21077"
KURANET = "Ricci et al. (2021), arXiv:2105.02838"


def group_synchrony(
    phase: xr.DataArray,
    groups: xr.DataArray,
    amplitude: xr.DataArray | None = None,
    *,
    unit: Dims = "unit",
    background: bool = False,
) -> xr.Dataset:
    r"""Return how much phases agree within groups, e.g. objects, and between them.

    With the mean phasor of a group :math:`Z_g = \sum_{j \in g} w_j e^{i\theta_j} / \sum_j w_j =
    R_g e^{i\Psi_g}`, the mean cosine of the phase difference over all pairs of different units is

    .. math::
        W_g = \frac{|\sum w e^{i\theta}|^2 - \sum w^2}{(\sum w)^2 - \sum w^2}
            = \frac{n_g R_g^2 - 1}{n_g - 1} \quad (w = 1), \qquad
        B_{gh} = \Re(Z_g \bar{Z_h})

    within a group and between two, at the cost of one sum over units. W is the mean of W_g over
    groups, each as its number of units; B the mean of B_gh over pairs of groups. Both are 1 where
    all phases are equal and about 0 where they are independent; two objects in antiphase have
    W = 1, B = -1.

    The splay desynchrony is that of KomplexNet's loss, over units that are active:

    .. math::
        D = \frac{1 - \langle R_g \rangle
            + \sum_{m=1}^{\lfloor G/2 \rfloor} |\sum_g e^{im\Psi_g}|^2 / (2 G m^2)}
            {1 + \frac{G}{2} \sum_{m=1}^{\lfloor G/2 \rfloor} 1/m^2}

    0 where each group is in phase and the groups are evenly spread around the circle.

    Parameters
    ----------
    phase : DataArray
        Radians; NaN where missing.
    groups : DataArray
        Whole numbers: 0 for background, below 0 for units to leave out. With some dimensions of
        `unit` and perhaps others of the phases: masks (sample, y, x) hold for all channels and
        times.
    amplitude : DataArray, optional
        Weights w: an amplitude, a gate, a mask; 0 or NaN where silent.
    unit : str or sequence of str
        The dimensions that number the units, e.g. "unit" or ("channel", "y", "x").
    background : bool
        Count the background as a group as well.

    Returns
    -------
    Dataset
        For each group ``group_order_parameter`` R_g, ``group_phase`` (rad), ``group_within`` W_g
        and ``n_valid``, its units that have a phase; over groups ``within`` W, ``between`` B,
        ``contrast`` W - B, ``phase_gap``, the mean of \|Psi_g - Psi_h\| around the circle (rad),
        and ``splay_desynchrony``. All but the phases are pure numbers. NaN where a group has no
        unit, or one pair is not there.

    Raises
    ------
    TypeError, ValueError
        For what is not a phase or a group, and for dimensions that do not fit.

    References
    ----------
    Binding by synchrony: von der Malsburg (1981). Splay desynchrony: Ricci et al. (2021),
    arXiv:2105.02838; Muzellec, Alamia, Serre & VanRullen (2025), arXiv:2502.21077.

    Examples
    --------
    >>> phase = xr.DataArray([0.0, 0.0, np.pi, np.pi, 1.0], dims="unit")
    >>> found = group_synchrony(phase, xr.DataArray([1, 1, 2, 2, 0], dims="unit"))
    >>> [round(float(found[name]), 6) for name in ("within", "between", "phase_gap")]
    [1.0, -1.0, 3.141593]
    """
    amplitude = check_phase(phase, amplitude)
    units = names(unit)
    kept = kept_dims(phase.dims, unit=units)
    check_groups(groups, units)
    spread(groups, phase, "groups")
    numbers = [int(g) for g in np.unique(groups.values) if g > 0 or (g == 0 and background)]
    if not numbers:
        raise ValueError("groups has no group: give units of one group the number 1, and so on")
    shared = tuple(d for d in kept if d in groups.dims)
    others = tuple(d for d in kept if d not in shared)
    turned = (*shared, *others)
    z = phasors(
        flattened(phase, shared, others, units),
        None if amplitude is None else flattened(amplitude, shared, others, units),
    )
    sizes = {d: phase.sizes[d] for d in (*shared, *units)}
    labels = groups.variable.set_dims(sizes).values.reshape(*(sizes[d] for d in shared), -1)
    member = (labels[..., None] == np.array(numbers)).astype(z.cosine.dtype)
    shape = (*(phase.sizes[d] for d in turned), len(numbers))
    mean, within, n = (x.reshape(shape) for x in group_means(z, member))
    summary = {"within": mean_within(within, n), **between(mean)}
    summary["contrast"] = summary["within"] - summary["between"]
    summary["splay_desynchrony"] = splay_desynchrony(mean)
    per_group = {
        "group_order_parameter": np.minimum(np.abs(mean), 1),
        "group_phase": np.where(np.isnan(mean), np.nan, np.angle(mean)),
        "group_within": within,
        "n_valid": n,
    }
    coords: dict[Hashable, object] = dict(kept_coords(phase, kept))
    coords["group"] = ("group", numbers, {"long_name": "group, 0 = background", "units": "1"})
    result = xr.Dataset(
        {name: ((*turned, "group"), values) for name, values in per_group.items()}
        | {name: (turned, values) for name, values in summary.items()},
        coords=coords,
        attrs={"method": "mean over all pairs, by group means", "unit": ", ".join(units)},
    ).transpose(*kept, "group")
    for name, (long_name, unit_name, references) in ABOUT.items():
        kind = np.int32 if name == "n_valid" else z.cosine.dtype
        result[name] = result[name].astype(kind)
        result[name].attrs = {
            "long_name": long_name, "units": unit_name, "references": references,
        }  # fmt: skip
    return result


ABOUT = {
    "group_order_parameter": ("order parameter of the group", "1", KOMPLEXNET),
    "group_phase": ("mean phase of the group", "rad", KOMPLEXNET),
    "group_within": ("mean cosine over pairs of the group", "1", MALSBURG),
    "n_valid": ("units of the group with a phase", "1", MALSBURG),
    "within": ("mean cosine over pairs within groups", "1", MALSBURG),
    "between": ("mean cosine over pairs between groups", "1", MALSBURG),
    "contrast": ("synchrony within minus between groups", "1", MALSBURG),
    "phase_gap": ("mean phase difference of groups", "rad", MALSBURG),
    "splay_desynchrony": ("splay desynchrony", "1", f"{KURANET}; {KOMPLEXNET}"),
}


def check_groups(groups: xr.DataArray, unit: tuple[str, ...]) -> None:
    """Refuse what does not number groups of units."""
    if not isinstance(groups, xr.DataArray) or groups.dtype.kind not in "iu":
        got = getattr(groups, "dtype", type(groups).__name__)
        raise TypeError(
            f"groups must be a DataArray of whole numbers, got {got}; 0 is background, below 0 "
            "is left out"
        )
    if not set(groups.dims) & set(unit):
        raise ValueError(
            f"groups has dimensions {', '.join(map(str, groups.dims))}, none of the units' "
            f"({', '.join(unit)})"
        )


def group_means(
    z: Phasors, member: Float[np.ndarray, "... unit group"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean phasor, the mean cosine over pairs and the number of units of each group.

    Parameters
    ----------
    z : Phasors
        Shape (..., other, unit).
    member : array
        Shape (..., unit, group): 1 where a unit belongs to a group, else 0.
    """
    total = z.cosine @ member + 1j * (z.sine @ member)
    if z.weight is None:
        n = np.broadcast_to(member.sum(-2, dtype=float)[..., None, :], total.shape)
        weight = square = n
    else:
        n = (z.weight > 0).astype(member.dtype) @ member
        weight, square = z.weight @ member, z.weight**2 @ member
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = weight**2 - square
        within = (np.abs(total) ** 2 - square) / np.where(pairs > 0, pairs, np.nan)
        return total / weight, np.where(n > 1, within, np.nan), n


def mean_within(
    within: Float[np.ndarray, "... group"], n: Float[np.ndarray, "... group"]
) -> Float[np.ndarray, "..."]:
    """Return the mean over groups that have pairs, each as its number of units."""
    n = np.where(np.isnan(within), 0, n)
    with np.errstate(invalid="ignore"):
        return (np.nan_to_num(within) * n).sum(-1) / n.sum(-1)


def between(mean: np.ndarray) -> dict[str, np.ndarray]:
    r"""Return the mean of Re(Z_g conj(Z_h)) and of the phase difference over pairs of groups.

    .. math:: \sum_{g \ne h} Z_g \bar{Z_h} = |\sum_g Z_g|^2 - \sum_g |Z_g|^2
    """
    there = present(mean)
    z = np.where(there, mean, 0)
    count = there.sum(-1)
    pairs = np.where(count > 1, count * (count - 1), np.nan)
    cosine = (np.abs(z.sum(-1)) ** 2 - (np.abs(z) ** 2).sum(-1)) / pairs
    gaps = np.zeros(count.shape)
    for g in range(1, mean.shape[-1]):
        gaps += np.abs(np.angle(z[..., g:] * z[..., :-g].conj())).sum(-1)
    return {"between": cosine, "phase_gap": 2 * gaps / pairs}


def splay_desynchrony(mean: np.ndarray) -> np.ndarray:
    """Return how far groups are from being each in phase and evenly spread (see above)."""
    there = present(mean)
    count = there.sum(-1)
    count = np.where(count > 0, count, np.nan)
    length = np.where(there, np.abs(mean), 0).sum(-1) / count
    angle = np.where(there, np.angle(mean), 0)
    apart, bound = np.zeros(count.shape), np.ones(count.shape)
    for m in range(1, mean.shape[-1] // 2 + 1):
        counts = m <= count // 2
        moment = np.abs((there * np.exp(1j * m * angle)).sum(-1)) ** 2
        apart += np.where(counts, moment / (2 * count * m**2), 0)
        bound += np.where(counts, count / (2 * m**2), 0)
    return (1 - length + apart) / bound


def present(mean: np.ndarray) -> Bool[np.ndarray, "... group"]:
    """Tell which groups have a phase."""
    return ~np.isnan(mean)
