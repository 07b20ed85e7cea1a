"""Bayes factors: JZS t-tests and correlations, in logarithms, safe for large t and n."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr
from scipy import integrate, optimize
from scipy.special import betaln, hyp2f1

JZS = (
    "Rouder, Speckman, Sun, Morey & Iverson (2009), Psychon. Bull. Rev. 16, 225-237, "
    "doi 10.3758/PBR.16.2.225"
)
LY = "Ly, Verhagen & Wagenmakers (2016), J. Math. Psychol. 72, 19-32, doi 10.1016/j.jmp.2015.06.004"
READING = (
    "Kass & Raftery (1995), J. Am. Stat. Assoc. 90, 773-795, with the thresholds of Alamia, "
    "Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172"
)
Alternative = Literal["two-sided", "less", "greater"]


def reading(bf10: float) -> str:
    """Put a Bayes factor into words, with the thresholds of Alamia et al. (2020).

    Over 100 "very strong", over 20 "strong", over 3 "substantial", under 0.3 "no effect" (evidence
    for none), else "undecided".

    Parameters
    ----------
    bf10 : float
        How much likelier the data are with an effect than without.

    Examples
    --------
    >>> [reading(bf) for bf in (102.11, 20.8, 7.44, 2.28, 0.21)]
    ['very strong', 'strong', 'substantial', 'undecided', 'no effect']
    """
    if not bf10 >= 0:
        raise ValueError(f"a Bayes factor is 0 or more, got {bf10!r}")
    for threshold, words in ((100, "very strong"), (20, "strong"), (3, "substantial")):
        if bf10 > threshold:
            return words
    return "no effect" if bf10 < 0.3 else "undecided"


def jzs_log_bayes_factor(t: float, n: int, m: int | None = None, *, scale: float = 0.707) -> float:
    r"""Return ln BF10 of a t-test, with a Cauchy prior on the effect size.

    .. math:: BF_{10} = \frac{\int_0^\infty (1 + N r^2 g)^{-1/2}
              \left(1 + \frac{t^2}{(1 + N r^2 g) \nu}\right)^{-(\nu + 1) / 2}
              (2 \pi)^{-1/2} g^{-3/2} e^{-1 / (2 g)}\, dg}
              {\left(1 + t^2 / \nu\right)^{-(\nu + 1) / 2}}

    One sample (or differences of pairs): N = n, :math:`\nu = n - 1`. Two samples:
    N = n m / (n + m), :math:`\nu = n + m - 2`. Two-sided.

    Parameters
    ----------
    t : float
        Student's t.
    n, m : int
        Size of the sample, or of both; 2 or more each.
    scale : float
        r, the scale of the Cauchy prior.

    References
    ----------
    Rouder, Speckman, Sun, Morey & Iverson (2009), Psychon. Bull. Rev. 16, 225-237.

    Examples
    --------
    >>> round(float(np.exp(jzs_log_bayes_factor(3.5, 20, 20))), 3)
    26.743
    """
    if not np.isfinite(t):
        raise ValueError(f"t must be a finite number, got {t!r}")
    for size in (n, 2 if m is None else m):
        if isinstance(size, bool) or size != int(size) or size < 2:
            raise ValueError(f"a sample must have 2 values or more, got n = {n!r}, m = {m!r}")
    if not 0 < scale < np.inf:
        raise ValueError(f"scale must be a number above 0, got {scale!r}")
    total, nu = (n, n - 1) if m is None else (n * m / (n + m), n + m - 2)
    gain = np.log(total) + 2 * np.log(scale)

    def integrand(u: np.ndarray) -> np.ndarray:  # over u = ln g
        wide = np.logaddexp(0, gain + u)
        fit = (nu + 1) / 2 * np.log1p(t**2 / nu * np.exp(-wide))
        return -(wide + np.log(2 * np.pi) + u + np.exp(-u)) / 2 - fit

    far = max(0.0, 2 * np.log(max(abs(t), 1e-300)) - gain) + 90
    return log_integral(integrand, -10, far) + float((nu + 1) / 2 * np.log1p(t**2 / nu))


def pearson_log_bayes_factor(
    r: float, n: int, *, alternative: Alternative = "two-sided", kappa: float = 1.0
) -> float:
    r"""Return ln BF10 of a correlation, with a stretched beta prior on it.

    .. math:: BF_{10} = \int \frac{f(r \mid \rho)}{f(r \mid 0)}\, p(\rho)\, d\rho, \qquad
              p(\rho) = \frac{(1 - \rho^2)^{1/\kappa - 1}}{2^{2/\kappa - 1} B(1/\kappa, 1/\kappa)}

    .. math:: f(r \mid \rho) \propto \frac{(1 - \rho^2)^{(n-1)/2}}{(1 - \rho r)^{n - 3/2}}\,
              {}_2F_1\!\left(\tfrac12, \tfrac12; n - \tfrac12; \tfrac{1 + \rho r}{2}\right)

    f is the exact density of Pearson's r of n pairs from a bivariate normal distribution. A
    one-sided alternative keeps the half of the prior with :math:`\rho < 0` ("less") or
    :math:`\rho > 0` ("greater"), twice as high.

    Parameters
    ----------
    r : float
        Pearson's correlation, from -1 to 1.
    n : int
        Pairs, 2 or more.
    alternative : {"two-sided", "less", "greater"}
        The sign of the correlation, if one is expected.
    kappa : float
        Width of the prior; 1 is uniform.

    Returns
    -------
    float
        Infinite for a perfect correlation of 4 pairs or more (with kappa = 1).

    References
    ----------
    Ly, Verhagen & Wagenmakers (2016), J. Math. Psychol. 72, 19-32. Hotelling (1953), J. R. Stat.
    Soc. B 15, 193-232.

    Examples
    --------
    >>> log_bf = pearson_log_bayes_factor(-0.721, 10, alternative="less")
    >>> round(float(np.exp(log_bf)), 2)
    8.64
    """
    if not -1 <= r <= 1:
        raise ValueError(f"r must lie from -1 to 1, got {r!r}")
    if isinstance(n, bool) or n != int(n) or n < 2:
        raise ValueError(f"n must be a whole number of pairs, 2 or more, got {n!r}")
    if alternative not in ("two-sided", "less", "greater"):
        raise ValueError(f"alternative {alternative!r} is not 'two-sided', 'less' or 'greater'")
    if not 0 < kappa < np.inf:
        raise ValueError(f"kappa must be a number above 0, got {kappa!r}")
    towards = {"two-sided": True, "less": r < 0, "greater": r > 0}[alternative]
    if abs(r) == 1 and towards and n / 2 >= 1 / kappa + 1:
        return np.inf  # the integral diverges
    with np.errstate(divide="ignore"):
        up, down = np.log1p(-r), np.log1p(r)

    def integrand(z: np.ndarray) -> np.ndarray:  # over z = artanh(rho)
        both = np.logaddexp(z, -z)  # ln(2 cosh z)
        rest = np.logaddexp(up + z, down - z) - both  # ln(1 - rho r)
        form = np.log(hyp2f1(0.5, 0.5, n - 0.5, (1 + np.tanh(z) * r) / 2))
        return -((n - 1) + 2 / kappa) * (both - np.log(2)) - (n - 1.5) * rest + form

    far = (np.arctanh(r) if abs(r) < 1 else 0.0, 90 * max(1.0, kappa))
    low = 0.0 if alternative == "greater" else min(far[0], 0.0) - far[1]
    high = 0.0 if alternative == "less" else max(far[0], 0.0) + far[1]
    norm = (2 / kappa - 1) * np.log(2) + betaln(1 / kappa, 1 / kappa)
    norm += np.log(hyp2f1(0.5, 0.5, n - 0.5, 0.5))
    halved = 0.0 if alternative == "two-sided" else np.log(2)
    return log_integral(integrand, low, high) + float(halved - norm)


def log_integral(log_f: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> float:
    """Return the logarithm of the integral of exp(log_f), a function with one hill.

    The top is looked for first, and the range is split around it by the width of the hill, so that
    narrow ones (large n) are not missed.
    """
    points = np.linspace(low, high, 2001)
    heights = log_f(points)
    best = int(np.argmax(heights))
    left, right = points[max(best - 1, 0)], points[min(best + 1, 2000)]
    found = optimize.minimize_scalar(
        lambda x: -log_f(x), bounds=(left, right), method="bounded", options={"xatol": 1e-10}
    )
    top, peak = max([(float(-found.fun), float(found.x)), (float(heights[best]), points[best])])
    step = 1e-4
    bend = abs(log_f(peak + step) - 2 * top + log_f(peak - step)) / step**2
    width = min(1.0, 1 / np.sqrt(max(float(bend), 1e-6)))
    around = peak + width * np.array([-32, -16, -8, -4, -2, 0, 2, 4, 8, 16, 32.0])
    edges = [low, *np.unique(around[(around > low) & (around < high)]), high]
    total = sum(
        integrate.quad(lambda x: np.exp(log_f(x) - top), a, b, epsabs=0, limit=200, full_output=1)[
            0
        ]
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    )  # full_output: no warning where rounding of log_f limits the precision (n over 1e8)
    return top + float(np.log(total))


def bayes_t_test(
    x: xr.DataArray,
    y: xr.DataArray | float = 0.0,
    *,
    dim: str = "subject",
    dim_y: str | None = None,
    paired: bool = False,
    scale: float = 0.707,
) -> xr.Dataset:
    r"""Return Bayes factors for a difference of means: one sample, pairs, or two samples.

    .. math:: BF_{10} = \frac{p(t \mid \delta \sim \mathrm{Cauchy}(0, r))}{p(t \mid \delta = 0)}

    Parameters
    ----------
    x : DataArray
        One value for each subject (dimension `dim`); a test for each label of the others.
    y : number or DataArray
        What the mean is compared with (0.5 for chance); or a second sample, over `dim_y`.
    dim, dim_y : str
        The dimensions of the units, "subject" for people and perhaps "seed" for networks, whose
        training runs then count as units, as in the paper. `dim_y` is `dim` if not given.
    paired : bool
        Whether the units of x and y are the same, with equal labels.
    scale : float
        r, the scale of the prior on the effect size.

    Returns
    -------
    Dataset
        ``t``, ``log_bf10``, ``bf10`` (infinite where it is over 1e308) and ``reading``.

    References
    ----------
    Rouder et al. (2009), Psychon. Bull. Rev. 16, 225-237. Kass & Raftery (1995), J. Am. Stat.
    Assoc. 90, 773-795.

    Examples
    --------
    >>> x = xr.DataArray([0.6, 0.7, 0.65, 0.8, 0.75], dims="subject")
    >>> bayes_t_test(x, 0.5).reading.item()
    'substantial'
    """
    dim_y = dim_y or dim
    for name, values, needed in (("x", x, dim), ("y", y, dim_y)):
        if isinstance(values, xr.DataArray):
            if needed not in values.dims or values.sizes[needed] < 2:
                raise ValueError(
                    f"{name} needs two or more along {needed!r}, it has {dict(values.sizes)}"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"{name} has missing or infinite values: leave those units out")
    if not isinstance(y, xr.DataArray) or paired:
        if isinstance(y, xr.DataArray):
            if dim_y != dim:
                raise ValueError(f"pairs need one dimension of units, got {dim!r} and {dim_y!r}")
            try:
                x, y = xr.align(x, y, join="exact")
            except ValueError as error:
                raise ValueError(f"pairs need equal labels: {error}") from None
        difference = x - y
        n, m = difference.sizes[dim], None
        mean, error_of_mean = difference.mean(dim), difference.std(dim, ddof=1) / np.sqrt(n)
    else:
        n, m = x.sizes[dim], y.sizes[dim_y]
        pooled = ((n - 1) * x.var(dim, ddof=1) + (m - 1) * y.var(dim_y, ddof=1)) / (n + m - 2)
        try:
            xr.align(x.mean(dim), y.mean(dim_y), join="exact")
        except ValueError as error:
            raise ValueError(f"x and y need equal labels but for units: {error}") from None
        mean = x.mean(dim) - y.mean(dim_y)
        error_of_mean = np.sqrt(pooled * (1 / n + 1 / m))
    size = max(float(abs(values).max()) for values in (x, xr.DataArray(y)))
    if (error_of_mean <= 1e-12 * size).any():  # differences of rounding are none
        raise ValueError("all values of a sample are equal, so that t is not defined")
    t = mean / error_of_mean
    log_bf = xr.apply_ufunc(
        lambda one: jzs_log_bayes_factor(one, n, m, scale=scale), t, vectorize=True
    )
    t.attrs = {"long_name": "Student's t", "units": "1", "references": JZS}
    found = with_readings(xr.Dataset({"t": t, "log_bf10": log_bf}), JZS)
    units = f"{n} along {dim}" if m is None else f"{n} along {dim} and {m} along {dim_y}"
    prior = f"Cauchy, scale {scale:g}, on the effect size"
    return found.assign_attrs(units_of_test=units, prior=prior)


def bayes_correlation(
    x: xr.DataArray,
    y: xr.DataArray,
    *,
    dim: str,
    alternative: Alternative = "two-sided",
    kappa: float = 1.0,
) -> xr.Dataset:
    r"""Return Bayes factors for a correlation of x and y along a dimension.

    .. math:: BF_{10} = \int \frac{f(r \mid \rho)}{f(r \mid 0)}\, p(\rho)\, d\rho

    Parameters
    ----------
    x, y : DataArray
        With equal labels along `dim`; a test for each label of the others.
    dim : str
        What is correlated over, e.g. "grammar".
    alternative, kappa
        As in `pearson_log_bayes_factor`.

    Returns
    -------
    Dataset
        ``r``, ``log_bf10``, ``bf10`` and ``reading``.

    References
    ----------
    Ly, Verhagen & Wagenmakers (2016), J. Math. Psychol. 72, 19-32.

    Examples
    --------
    >>> x = xr.DataArray([5.0, 4.0, 3.0, 6.0, 5.0, 2.0], dims="grammar")
    >>> y = xr.DataArray([0.1, 0.2, 0.3, 0.1, 0.2, 0.5], dims="grammar")
    >>> bayes_correlation(x, y, dim="grammar", alternative="less").reading.item()
    'substantial'
    """
    if dim not in x.dims or dim not in y.dims:
        raise ValueError(f"x and y need the dimension {dim!r}, they have {x.dims} and {y.dims}")
    try:
        x, y = xr.align(x, y, join="exact")
    except ValueError as error:
        raise ValueError(f"x and y need equal labels: {error}") from None
    for name, values in (("x", x), ("y", y)):
        if not np.isfinite(values).all() or (values.max(dim) == values.min(dim)).any():
            raise ValueError(f"{name} must be finite and vary along {dim!r}")
    r = xr.corr(x, y, dim).clip(-1, 1)
    n = x.sizes[dim]
    log_bf = xr.apply_ufunc(
        lambda one: pearson_log_bayes_factor(one, n, alternative=alternative, kappa=kappa),
        r,
        vectorize=True,
    )
    r.attrs = {"long_name": "Pearson correlation", "units": "1"}
    found = with_readings(xr.Dataset({"r": r, "log_bf10": log_bf}), LY)
    prior = f"stretched beta, kappa {kappa:g}, {alternative}"
    return found.assign_attrs(units_of_test=f"{n} along {dim}", prior=prior)


def with_readings(found: xr.Dataset, references: str) -> xr.Dataset:
    """Add ``bf10`` and its reading to ``log_bf10``."""
    with np.errstate(over="ignore"):
        found["bf10"] = np.exp(found.log_bf10)
    words = [reading(bf) for bf in found.bf10.values.ravel().tolist()]
    found["reading"] = found.bf10.dims, np.array(words).reshape(found.bf10.shape)
    about = {"units": "1", "references": references}
    found.log_bf10.attrs = {"long_name": "natural logarithm of the Bayes factor BF10", **about}
    found.bf10.attrs = {"long_name": "Bayes factor BF10: effect over none", **about}
    found.reading.attrs = {
        "long_name": "reading of BF10: > 100 very strong, > 20 strong, > 3 substantial, "
        "< 0.3 no effect",
        "units": "1",
        "references": READING,
    }
    return found.assign_attrs(provenance="reconstruction")
