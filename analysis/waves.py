"""Waves that travel up or down a hierarchy of levels."""

from itertools import permutations
from math import factorial

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.analytic import check_band, sampling_rate

ALAMIA = "Alamia & VanRullen (2019), PLoS Biol. 17, e3000487, doi:10.1371/journal.pbio.3000487"


def travelling_waves(
    signal: xr.DataArray,
    *,
    band: tuple[float, float],
    level: str = "layer",
    dim: str = "time",
    surrogates: int = 500,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the power of waves that run up and down the levels, and a test of each.

    .. math::
        X(f, k) = \frac{2}{L T} \sum_{l, t} s_l(t)\, e^{-2 \pi i (f t + k l / L)}, \qquad
        F = \max_{f,\, k < 0} |X|, \quad B = \max_{f,\, k > 0} |X|, \qquad
        r = \ln \frac{F}{B}

    over the frequencies f > 0 in the band. A wave forward is later the higher the level: for
    :math:`a \cos 2\pi (f t - m l / L)`, F is its amplitude a and r > 0. Waves without a direction
    are left out: those equal at all levels (k = 0), and for an even number of levels those that
    alternate from level to level (k = L/2); to count these as backward and forward, as the
    published code did, biases r.

    Noise alone makes r other than 0. The null keeps each level's signal and puts the levels in
    another order: in all orders if there are at most `surrogates`, else in as many random ones.
    A test needs six levels or more: some orders turn a plane wave into a plane wave, so that its
    p_forward is about 1/2, 1/6 and 1/12 with 3, 4 and 5 levels, and 1/120 with 6 (p_log_ratio
    twice that).

    Parameters
    ----------
    signal : DataArray
        Real (of phases, take the cosine), with equally spaced times, the levels from low to high.
    band : (float, float)
        Lower and upper end, in Hz for times in s or ms, else in cycles per unit of time.
    level, dim : str
        The dimensions of levels and time. All others are kept.
    surrogates : int
        Orders of the null.
    seed : int
        Of random orders.

    Returns
    -------
    Dataset
        ``forward_power`` F^2 and ``backward_power`` B^2 (units of the signal, squared),
        ``log_ratio`` r (natural logarithm of the ratio of amplitudes), ``null_forward_power``,
        ``null_backward_power`` and ``null_log_ratio`` (surrogate, ...), and the p values
        ``p_forward`` and ``p_backward`` (one-sided) and ``p_log_ratio`` (two-sided).

    Raises
    ------
    ValueError
        For fewer than three levels, and for a band without a frequency of the transform.

    References
    ----------
    Alamia & VanRullen (2019), PLoS Biology 17, e3000487, doi:10.1371/journal.pbio.3000487.

    Examples
    --------
    >>> time = xr.DataArray(np.arange(200) / 200, dims="time", attrs={"units": "s"})
    >>> layer = xr.DataArray(np.arange(5), dims="layer")
    >>> up = np.cos(2 * np.pi * (10 * time - layer / 5)).assign_coords(time=time)
    >>> noise = np.random.default_rng(0).normal(size=up.shape)
    >>> found = travelling_waves(up + noise, band=(8, 12))
    >>> round(float(found.forward_power), 2), bool(found.log_ratio > 1)
    (1.13, True)
    """
    rate = sampling_rate(signal, dim)
    low, high = check_band(band, rate)
    if level not in signal.dims or level == dim:
        raise ValueError(
            f"level {level!r} is not a dimension beside {dim}; use one of: "
            f"{', '.join(str(d) for d in signal.dims if d != dim)}"
        )
    if np.iscomplexobj(signal.values):
        raise TypeError("the signal is complex; take its real part, or the cosine of its phase")
    levels, length = signal.sizes[level], signal.sizes[dim]
    if levels < 3:
        raise ValueError(
            f"{levels} levels hold no wave with a direction; give three or more, and six or more "
            "for a test"
        )
    if not (isinstance(surrogates, int) and surrogates >= 1):
        raise ValueError(f"surrogates must be a whole number, 1 or larger, got {surrogates!r}")
    frequencies = np.arange(length) * rate / length
    inside = (frequencies >= low) & (frequencies <= high)
    if not inside.any():
        raise ValueError(
            f"no frequency lies in the band {low:g} to {high:g}: {length} times at a rate of "
            f"{rate:g} resolve {rate / length:g}; give a wider band or a longer signal"
        )
    kept = tuple(d for d in signal.dims if d not in (level, dim))
    values = signal.transpose(*kept, level, dim).values.astype(float)
    values = values - values.mean(-1, keepdims=True)
    spectra = 2 / length * np.fft.fft(values)[..., inside]
    orders = level_orders(levels, surrogates, seed)
    forward, backward = directions(spectra)
    null = np.array([directions(spectra[..., order, :]) for order in orders])
    null_forward, null_backward = null[:, 0], null[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(forward / backward)
        null_ratio = np.log(null_forward / null_backward)
    every = len(orders) == factorial(levels)
    powers = {
        "forward_power": forward**2,
        "backward_power": backward**2,
        "log_ratio": ratio,
        "null_forward_power": null_forward**2,
        "null_backward_power": null_backward**2,
        "null_log_ratio": null_ratio,
        "p_forward": share(null_forward, forward, every),
        "p_backward": share(null_backward, backward, every),
        "p_log_ratio": share(abs(null_ratio), abs(ratio), every),
    }
    squared = f"({signal.attrs['units']})^2" if signal.attrs.get("units", "1") != "1" else "1"
    result = xr.Dataset(
        coords={n: c.variable for n, c in signal.coords.items() if set(c.dims) <= set(kept)},
        attrs={
            "band": np.array([low, high]), "level": level, "dim": dim, "seed": seed,
            "surrogates": len(orders), "orders": "all" if every else "random",
        },
    )  # fmt: skip
    for name, value in powers.items():
        dims = ("surrogate", *kept) if name.startswith("null") else kept
        result[name] = (dims, value)
        result[name].attrs = {
            "long_name": LONG_NAMES[name],
            "units": squared if name.endswith("power") else "1",
            "references": ALAMIA,
        }
    return result


LONG_NAMES = {
    "forward_power": "power of the wave up the levels",
    "backward_power": "power of the wave down the levels",
    "log_ratio": "log ratio of forward to backward amplitude",
    "null_forward_power": "power up the levels in another order",
    "null_backward_power": "power down the levels in another order",
    "null_log_ratio": "log ratio for levels in another order",
    "p_forward": "p of the forward power",
    "p_backward": "p of the backward power",
    "p_log_ratio": "p of the log ratio, two-sided",
}


def directions(spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest amplitudes up and down the levels.

    Parameters
    ----------
    spectra : array
        Complex, shape (..., level, frequency), of positive frequencies.
    """
    amplitude = abs(np.fft.fft(spectra, axis=-2)) / spectra.shape[-2]
    last = (spectra.shape[-2] - 1) // 2  # the largest k that is not the Nyquist one
    up, down = amplitude[..., -last:, :], amplitude[..., 1 : last + 1, :]
    return up.max((-2, -1)), down.max((-2, -1))


def level_orders(levels: int, surrogates: int, seed: int) -> list[list[int]]:
    """Return all orders of the levels if they are few enough, else random ones."""
    if factorial(levels) <= surrogates:
        return [list(order) for order in permutations(range(levels))]
    draw = np.random.default_rng(seed)
    return [draw.permutation(levels).tolist() for _ in range(surrogates)]


def share(
    null: Float[np.ndarray, "surrogate ..."], observed: Float[np.ndarray, "..."], every: bool
) -> Float[np.ndarray, "..."]:
    """Return the share of orders with as large a value; the observed is one of all, or added."""
    larger = (null >= observed * (1 - 1e-9)).sum(0)
    p = larger / len(null) if every else (1 + larger) / (1 + len(null))
    return np.where(np.isnan(observed), np.nan, p)
