"""Bayesian analysis of variance by the BIC approximation, within and between subjects."""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, product

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.bayes_factors import with_readings

REFERENCES = (
    "Wagenmakers (2007), Psychon. Bull. Rev. 14, 779-804, doi 10.3758/BF03194105; "
    "Masson (2011), Behav. Res. Methods 43, 679-690, doi 10.3758/s13428-010-0049-5"
)
NOTE = (
    "approximation by BIC (unit-information prior), not the JZS Bayes factor of JASP; n = units x "
    "(levels - 1) for effects within units, with the product over their factors, n = units for "
    "effects between them; each effect against the model without it and with all others"
)


def bic_log_bayes_factor(sse_without: float, sse_with: float, n: float, df: int) -> float:
    r"""Return ln BF10 of an effect from the sums of squared errors without and with it.

    .. math:: \ln BF_{10} = -\tfrac12 \Delta\mathrm{BIC}_{10}, \qquad
              \Delta\mathrm{BIC}_{10} = n \ln \frac{SSE_1}{SSE_0} + k \ln n

    Parameters
    ----------
    sse_without, sse_with : float
        SSE0 and SSE1, what the models leave unexplained.
    n : float
        Independent observations.
    df : int
        k, the parameters that the effect adds.

    References
    ----------
    Wagenmakers (2007), Psychon. Bull. Rev. 14, 779-804. Masson (2011), Behav. Res. Methods 43,
    679-690.

    Examples
    --------
    >>> round(bic_log_bayes_factor(sse_without=2.0, sse_with=1.0, n=20, df=1), 3)
    5.434
    """
    if not sse_without >= sse_with > 0:
        raise ValueError(
            "sums of squared errors must be above 0 and no larger with the effect, got "
            f"{sse_without!r} without and {sse_with!r} with it"
        )
    if not n > 1 or df < 1:
        raise ValueError(f"n must be above 1 and df 1 or more, got {n!r} and {df!r}")
    return float((n * (np.log(sse_without) - np.log(sse_with)) - df * np.log(n)) / 2)


def bayes_anova(
    values: xr.DataArray, *, unit: str = "subject", between: Sequence[str] = ()
) -> xr.Dataset:
    r"""Return a Bayes factor for each main effect and interaction of factors.

    .. math:: \ln BF_{10} = \tfrac12 \left( n \ln \frac{SSE_0}{SSE_1} - k \ln n \right)

    The dimensions other than `unit` are factors within units, and units are a random factor: the
    error of an effect is how much it differs from unit to unit. Factors between units are
    coordinates along `unit`, weighted equally where the groups are not of one size (type III).
    n is the number of independent observations: units for effects between them, units times the
    product of (levels - 1) for effects within. BIC stands for a prior as informative as one
    observation. It is an approximation, and not what JASP computes.

    Parameters
    ----------
    values : DataArray
        (unit, and any dimensions), one value in each cell. Where units are training seeds as well
        as subjects (agent as a factor between units) they count alike, as in the paper.
    unit : str
        The dimension of the random factor.
    between : sequence of str
        Coordinates along `unit`: grammar, agent, ...

    Returns
    -------
    Dataset
        Over ``effect`` ("block", "grammar", "block x grammar", ...): ``log_bf10``, ``bf10``,
        ``reading``, ``f`` (the F ratio), ``df_effect``, ``df_error``, ``n``.

    Raises
    ------
    ValueError
        For missing values, factors with one level, combinations of factors without a unit, too few
        units, or nothing left to explain.

    References
    ----------
    Masson (2011), Behav. Res. Methods 43, 679-690. Wagenmakers (2007), Psychon. Bull. Rev. 14,
    779-804.

    Examples
    --------
    >>> rise = np.array([[0.5, 0.6, 0.72], [0.55, 0.65, 0.7], [0.5, 0.58, 0.74], [0.6, 0.7, 0.77]])
    >>> found = bayes_anova(xr.DataArray(rise, dims=("subject", "block")))
    >>> found.effect.item(), found.n.item(), found.reading.item()
    ('block', 8, 'very strong')
    """
    within = [str(dim) for dim in values.dims if dim != unit]
    check(values, unit, within, between)
    array = values.transpose(unit, *within).values.astype(float)
    codes = {name: coded(values[name].values) for name in between}
    designs = {subset: columns(subset, codes, len(array)) for subset in subsets(between)}
    full = np.hstack(list(designs.values()))
    left = len(array) - full.shape[1]
    if np.linalg.matrix_rank(full) < full.shape[1] or left < 1:
        raise ValueError(
            f"{len(array)} units are too few for {full.shape[1]} groups of {', '.join(between)}, "
            "or a combination has no unit"
        )
    rows = []
    for inside, outside in product(subsets(within), subsets(between)):
        if not inside and not outside:
            continue
        contrast = contrasts(array, [name in inside for name in within])
        without = np.hstack([x for name, x in designs.items() if name != outside] or [full[:, :0]])
        sse0, sse1 = residual(contrast, without), residual(contrast, full)
        if not sse1 > 1e-20 * sse0:
            raise ValueError(f"nothing is left unexplained in {(*inside, *outside)}: no test")
        width = contrast.shape[1]
        df, n = designs[outside].shape[1] * width, len(array) * width
        f = (sse0 - sse1) / df / (sse1 / (left * width))
        log_bf = bic_log_bayes_factor(max(sse0, sse1), sse1, n, df)
        rows.append((" x ".join((*inside, *outside)), log_bf, f, df, left * width, n))
    names, log_bf10, f_ratio, df_effect, df_error, n_all = zip(*rows, strict=True)
    found = xr.Dataset({"log_bf10": ("effect", np.array(log_bf10))}, {"effect": list(names)})
    found = with_readings(found, REFERENCES)
    found["f"] = "effect", np.array(f_ratio), {"long_name": "F ratio", "units": "1"}
    for name, counts, long_name in (
        ("df_effect", df_effect, "degrees of freedom of the effect"),
        ("df_error", df_error, "degrees of freedom of its error"),
        ("n", n_all, "independent observations"),
    ):
        found[name] = "effect", np.array(counts), {"long_name": long_name, "units": "1"}
    found.effect.attrs = {"long_name": "effect or interaction", "units": "1"}
    return found.assign_attrs(approximation=NOTE, unit=unit, units_in_all=len(array))


def check(values: xr.DataArray, unit: str, within: list[str], between: Sequence[str]) -> None:
    """Refuse what has no analysis of variance."""
    if unit not in values.dims:
        raise ValueError(f"values need the dimension {unit!r}, they have {values.dims}")
    if not within and not between:
        raise ValueError(
            f"no factor: give values a second dimension, or name coordinates of {unit}"
        )
    for name in between:
        if name not in values.coords or values[name].dims != (unit,):
            raise ValueError(f"between {name!r} is not a coordinate along {unit!r}")
    for name in (*within, *between):
        levels = values.sizes[name] if name in within else len(np.unique(values[name]))
        if levels < 2:
            raise ValueError(f"factor {name!r} has one level: take it out, or add levels")
    if not np.isfinite(values).all():
        raise ValueError("values are missing or infinite: leave those units or levels out")


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Return every choice of the names, the empty one first."""
    return chain.from_iterable(combinations(names, k) for k in range(len(names) + 1))


def coded(labels: np.ndarray) -> Float[np.ndarray, "unit level"]:
    """Return sum coding: the last level is -1 in every column."""
    levels, place = np.unique(labels, return_inverse=True)
    code = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    return code[place]


def columns(
    subset: tuple[str, ...], codes: dict[str, np.ndarray], units: int
) -> Float[np.ndarray, "unit column"]:
    """Return the design of one effect between units: products of the codes of its factors."""
    design = np.ones((units, 1))
    for name in subset:
        design = (design[:, :, None] * codes[name][:, None, :]).reshape(units, -1)
    return design


def contrasts(
    array: Float[np.ndarray, "unit ..."], varied: list[bool]
) -> Float[np.ndarray, "unit contrast"]:
    """Return orthonormal contrasts along the varied factors, scaled means along the others."""
    for axis, vary in enumerate(varied, start=1):
        levels = array.shape[axis]
        basis = np.linalg.qr(np.hstack([np.ones((levels, 1)), np.eye(levels)[:, 1:]]))[0]
        chosen = basis[:, 1:] if vary else basis[:, :1]
        array = np.moveaxis(np.moveaxis(array, axis, -1) @ chosen, -1, axis)
    return array.reshape(len(array), -1)


def residual(
    values: Float[np.ndarray, "unit contrast"], design: Float[np.ndarray, "unit column"]
) -> float:
    """Return the sum of squares that a design leaves unexplained."""
    if design.shape[1]:
        values = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float((values**2).sum())
