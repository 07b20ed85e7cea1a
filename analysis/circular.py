"""Circular statistics of phases, through scipy, and Rayleigh's test."""

import numpy as np
import xarray as xr
from scipy.stats import circmean, circstd, circvar

from neurodyn.analysis.phasors import Dims, check_phase, flattened, kept_coords, kept_dims, names

MARDIA = "Mardia & Jupp (2000), Directional Statistics, Wiley, doi:10.1002/9780470316979"
ZAR = "Zar (2010), Biostatistical Analysis, 5th ed., Pearson, equation 27.4"


def circular_statistics(phase: xr.DataArray, *, dim: Dims) -> xr.Dataset:
    r"""Return mean, spread and Rayleigh's test against uniform phases.

    With :math:`R e^{i\Psi}` the mean phasor of n phases,

    .. math::
        \mathrm{mean} = \Psi, \quad \mathrm{variance} = 1 - R, \quad
        \mathrm{std} = \sqrt{-2 \ln R}, \quad z = n R^2, \quad
        p \approx e^{\sqrt{1 + 4n + 4 (n^2 - n^2 R^2)} - (1 + 2n)}

    The test takes phases for independent of one another. The times of one run are not: test over
    samples or seeds.

    Parameters
    ----------
    phase : DataArray
        Radians; NaN where missing.
    dim : str or sequence of str
        What is averaged over, e.g. "sample".

    Returns
    -------
    Dataset
        ``mean`` in (-pi, pi] and ``std`` (rad), ``variance``, ``rayleigh_z`` and ``rayleigh_p``
        (pure numbers) and ``n_valid``, the phases that are there; NaN where there is none.

    References
    ----------
    Mardia & Jupp (2000), Directional Statistics. Zar (2010), Biostatistical Analysis, 27.4.

    Examples
    --------
    >>> phase = xr.DataArray([3.0, -3.0, 3.1, np.nan], dims="sample")
    >>> found = circular_statistics(phase, dim="sample")
    >>> round(float(found["mean"]), 3), round(float(found.rayleigh_p), 3), int(found.n_valid)
    (3.128, 0.036, 3)
    """
    check_phase(phase, None)
    averaged = names(dim)
    kept = kept_dims(phase.dims, dim=averaged)
    values = flattened(phase, kept, averaged)
    missing = ~np.isfinite(values)
    n = (~missing).sum(-1)
    span = {"low": -np.pi, "high": np.pi, "axis": -1}
    enough = np.where(n[..., None] > 0, np.where(missing, np.nan, values), 0)
    policy = {"nan_policy": "omit"} if missing.any() else {}
    mean, spread, std = (f(enough, **span, **policy) for f in (circmean, circvar, circstd))
    found = {"mean": mean, "variance": spread, "std": std}
    found |= dict(zip(("rayleigh_z", "rayleigh_p"), rayleigh(1 - spread, n), strict=True))
    about = {
        "mean": ("circular mean", "rad", MARDIA),
        "variance": ("circular variance", "1", MARDIA),
        "std": ("circular standard deviation", "rad", MARDIA),
        "rayleigh_z": ("Rayleigh's z", "1", ZAR),
        "rayleigh_p": ("p of Rayleigh's test", "1", ZAR),
    }
    result = xr.Dataset(coords=kept_coords(phase, kept), attrs={"dim": ", ".join(averaged)})
    for name, (long_name, units, references) in about.items():
        attrs = {"long_name": long_name, "units": units, "references": references}
        result[name] = (kept, np.where(n > 0, found[name], np.nan), attrs)
    result["n_valid"] = (kept, n, {"long_name": "phases", "units": "1", "references": MARDIA})
    return result


def rayleigh(length: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z and p of Rayleigh's test from mean resultant lengths of n phases.

    Examples
    --------
    >>> [round(float(x), 5) for x in rayleigh(np.float64(0.3), np.int64(20))]
    [1.8, 0.16606]
    """
    total = n * length
    z = total * length
    p = np.exp(np.sqrt(1 + 4 * n + 4 * (n**2 - total**2)) - (1 + 2 * n))
    return z, np.minimum(p, 1)
