"""Phase and amplitude of real signals in a band of frequencies."""

import numpy as np
import xarray as xr
from scipy.signal import butter, hilbert, sosfiltfilt

GABOR = "Gabor (1946), J. IEE 93, 429-457, doi:10.1049/ji-3-2.1946.0074"
SECONDS = {"s": 1.0, "ms": 1e-3}
ORDER = 2
CYCLES = 3


def analytic_signal(
    signal: xr.DataArray, *, band: tuple[float, float], dim: str = "time"
) -> xr.Dataset:
    r"""Return phase and amplitude of a real signal in a band.

    .. math:: A(t)\, e^{i\theta(t)} = s(t) + i\, \mathcal{H}[s](t)

    with s the signal after a Butterworth band-pass of order 2, forwards and backwards, which
    shifts no phase, and H its Hilbert transform. The phase is 0 at the peaks of s and grows in
    time. It means something where the band is narrow and has power: see that the amplitude is
    well above zero, or give it to `phase_locking` as weights.

    Near the start and the end, phases depend on what lies outside. One cycle is NaN there: a
    period of the lower end of the band, or the time 1 / (high - low) that the filter rings, if
    longer. For a steady sinusoid what is left is right to about 0.1 rad next to the edge, and much
    better a few cycles inside.

    Parameters
    ----------
    signal : DataArray
        Real, with equally spaced times.
    band : (float, float)
        Lower and upper end, in Hz for times in s or ms, else in cycles per unit of time.
    dim : str
        Time; its coordinate has the units in its attributes.

    Returns
    -------
    Dataset
        ``phase`` (rad) in (-pi, pi] and ``amplitude`` (units of the signal), with the dimensions
        of the signal. A signal with a gap (NaN) is NaN throughout.

    Raises
    ------
    ValueError
        For fewer than three cycles, as defined above, and for a band or times that do not fit.

    References
    ----------
    Gabor (1946), Journal of the IEE 93, 429-457, doi:10.1049/ji-3-2.1946.0074.

    Examples
    --------
    >>> time = xr.DataArray(np.arange(1000) / 500, dims="time", attrs={"units": "s"})
    >>> eeg = np.cos(2 * np.pi * 10 * time + 0.3).assign_coords(time=time)
    >>> found = analytic_signal(eeg, band=(8, 12)).sel(time=1.0)
    >>> round(float(found.phase), 3), round(float(found.amplitude), 3)
    (0.3, 1.0)
    """
    rate = sampling_rate(signal, dim)
    low, high = check_band(band, rate)
    cycle = max(1 / low, 1 / (high - low)) * rate  # in samples
    if np.iscomplexobj(signal.values):
        raise TypeError("the signal is complex: its phase is np.angle, its amplitude np.abs")
    length = signal.sizes[dim]
    if length < CYCLES * cycle:
        raise ValueError(
            f"{length} times at a rate of {rate:g} hold {length / cycle:.2g} cycles of the band "
            f"{low:g} to {high:g}, and a phase needs {CYCLES} or more; give a longer signal or a "
            "higher or wider band"
        )
    values = signal.transpose(..., dim).values
    values = values.astype(np.result_type(values, np.float32), copy=False)
    sections = butter(ORDER, (low, high), "bandpass", output="sos", fs=rate)
    narrow = sosfiltfilt(sections, values, padlen=min(length - 1, int(np.ceil(CYCLES * cycle))))
    z = hilbert(narrow).astype(np.result_type(values, np.complex64))
    gap = ~np.isfinite(values).all(-1)
    z[gap] = np.nan
    edge = int(np.ceil(cycle))
    z[..., :edge] = z[..., -edge:] = np.nan
    turned = signal.transpose(..., dim)
    units = signal.attrs.get("units", "1")
    about = {"references": GABOR, "band": np.array([low, high])}
    return xr.Dataset(
        {
            "phase": (turned.dims, np.where(np.isnan(z), np.nan, np.angle(z)).astype(values.dtype),
                      {"long_name": "phase", "units": "rad", **about}),
            "amplitude": (turned.dims, np.abs(z),
                          {"long_name": "amplitude", "units": units, **about}),
        },
        coords=signal.coords,
        attrs={"method": "Butterworth band-pass of order 2, both ways; Hilbert transform"},
    ).transpose(*signal.dims)  # fmt: skip


def sampling_rate(signal: xr.DataArray, dim: str) -> float:
    """Return the samples per second, or per unit of time where that is not s or ms."""
    if not isinstance(signal, xr.DataArray):
        raise TypeError(f"signal must be a DataArray, got {type(signal).__name__}")
    if dim not in signal.dims or dim not in signal.coords:
        there = ", ".join(str(d) for d in signal.dims if d in signal.coords) or "none"
        raise ValueError(f"dim {dim!r} is not a dimension with a coordinate; there are: {there}")
    times = signal[dim].values
    steps = np.diff(times.astype(float))
    if times.dtype.kind not in "iuf" or not len(steps) or steps.min() <= 0:
        raise ValueError(f"{dim} must hold increasing numbers, two or more")
    step = (float(times[-1]) - float(times[0])) / len(steps)
    if abs(steps - step).max() > 1e-3 * step:
        raise ValueError(
            f"{dim} must be equally spaced, its steps go from {steps.min():g} to {steps.max():g}; "
            "see signal.interp"
        )
    return 1 / (step * SECONDS.get(signal[dim].attrs.get("units", "1"), 1.0))


def check_band(band: tuple[float, float], rate: float) -> tuple[float, float]:
    """Refuse a band that a sampling rate does not hold."""
    low, high = band
    if not 0 < low < high < rate / 2:
        raise ValueError(
            f"band must rise within 0 and {rate / 2:g}, half the sampling rate, got "
            f"{low:g} to {high:g}"
        )
    return float(low), float(high)
