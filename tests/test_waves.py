"""Phases of real signals and waves along levels: against sinusoids, plane waves and loops."""

import numpy as np
import pytest
import xarray as xr

from neurodyn.analysis import analytic_signal, phase_locking, travelling_waves


def series(values: np.ndarray, rate: float = 500.0, units: str = "s") -> xr.DataArray:
    """Label (..., time) with times at a rate per second."""
    values = np.asarray(values)
    names = ("sample", "unit")[2 - values.ndim + 1 :]
    time = np.arange(values.shape[-1]) / rate * (1000 if units == "ms" else 1)
    found = xr.DataArray(values, dims=(*names, "time"), coords={"time": time})
    found.time.attrs["units"] = units
    return found


@pytest.mark.parametrize("frequency", [9.0, 10.0, 10.3, 11.5])
@pytest.mark.parametrize("start", [0.0, 1.0, 2.5])
def test_phase_and_amplitude_of_a_sinusoid(frequency: float, start: float) -> None:
    t = np.arange(2000) / 500
    signal = series(3 * np.cos(2 * np.pi * frequency * t + start) + 7).assign_attrs(units="uV")
    found = analytic_signal(signal, band=(8, 12))
    error = np.angle(np.exp(1j * (found.phase - 2 * np.pi * frequency * t - start)))
    # one cycle, here 1 / (12 - 8) s, is missing at either end
    assert np.isnan(error[:125]).all() and np.isnan(error[-125:]).all()
    assert abs(error[125:-125]).max() < 0.15 and abs(error[500:-500]).max() < 0.02
    if frequency == 10:  # the centre of the band, where the filter's gain is 1
        assert abs(found.amplitude[500:-500] - 3).max() < 0.06
    assert found.amplitude.attrs["units"] == "uV" and found.phase.attrs["units"] == "rad"
    for variable in found.data_vars.values():
        assert {"long_name", "references"} <= set(variable.attrs)


def test_units_of_time_and_precision() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 800))
    seconds = analytic_signal(series(values), band=(5, 20))
    thousandths = analytic_signal(series(values, units="ms"), band=(5, 20))
    np.testing.assert_allclose(seconds.phase, thousandths.phase)
    steps = series(values, rate=1.0, units="1")
    cycles_per_step = analytic_signal(steps, band=(0.01, 0.04))
    np.testing.assert_allclose(seconds.phase, cycles_per_step.phase)
    turned = analytic_signal(series(values).transpose("time", "sample", "unit"), band=(5, 20))
    assert turned.phase.dims == ("time", "sample", "unit")
    xr.testing.assert_allclose(turned.transpose(*seconds.phase.dims), seconds)
    single = analytic_signal(series(values.astype("f4")), band=(5, 20))
    assert single.phase.dtype == single.amplitude.dtype == np.float32
    # a gap spoils its own signal only
    values[0, 1, 400] = np.nan
    gap = analytic_signal(series(values), band=(5, 20))
    assert gap.phase[0, 1].isnull().all()
    xr.testing.assert_allclose(gap.phase.sel(unit=2), seconds.phase.sel(unit=2))


def test_recorded_signals_lock_with_their_lag() -> None:
    """A rhythm of wandering phase, and the same 14 ms later: 0.88 rad behind at 10 Hz."""
    draw = np.random.default_rng(0)
    t = np.arange(10_000) / 500
    phase = 2 * np.pi * 10 * t + np.cumsum(draw.normal(size=10_000)) * 0.03
    early, late = np.cos(phase), np.cos(np.roll(phase, 7))
    other = np.cos(2 * np.pi * 10 * t + np.cumsum(draw.normal(size=10_000)) * 0.1)
    signal = series(np.stack([early, late, other])) + 0.3 * draw.normal(size=(3, 10_000))
    found = analytic_signal(signal, band=(7, 13))
    locking = phase_locking(found.phase, found.amplitude, dim="time")
    assert float(locking.plv[0, 1]) > 0.95 and float(locking.plv[0, 2]) < 0.6
    assert float(locking.lag[0, 1]) == pytest.approx(2 * np.pi * 10 * 7 / 500, abs=0.03)
    assert int(locking.n_valid[0, 1]) == 10_000 - 2 * 84


def wave(levels: int, number: float, frequency: float = 10.0, length: int = 300) -> xr.DataArray:
    """A plane wave of amplitude 2: cos 2 pi (f t - number * level / levels)."""
    time = xr.DataArray(np.arange(length) / 300, dims="time", attrs={"units": "s"})
    level = xr.DataArray(np.arange(levels) / levels, dims="layer")
    found = 2 * np.cos(2 * np.pi * (frequency * time - number * level) + 0.7)
    return found.assign_coords(time=time).transpose("layer", "time")


@pytest.mark.parametrize("levels", [3, 4, 5, 6, 7])
def test_plane_waves(levels: int) -> None:
    for number in range(1, (levels + 1) // 2):
        up = travelling_waves(wave(levels, number), band=(8, 12), surrogates=1)
        assert float(up.forward_power) == pytest.approx(4) and float(up.log_ratio) > 10
        assert float(up.backward_power) == pytest.approx(0, abs=1e-20)
        down = travelling_waves(wave(levels, -number), band=(8, 12), surrogates=1)
        assert float(down.backward_power) == pytest.approx(4) and float(down.log_ratio) < -10
    both = wave(levels, 1) + 0.5 * wave(levels, -1)
    mixed = travelling_waves(both, band=(8, 12), surrogates=1)
    assert float(mixed.log_ratio) == pytest.approx(np.log(2))
    # outside the band, there is nothing
    away = travelling_waves(wave(levels, 1, 40.0), band=(8, 12), surrogates=1)
    assert float(away.forward_power) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("levels", [4, 6, 8])
def test_what_has_no_direction_counts_for_none(levels: int) -> None:
    """Common to all levels (k = 0), and alternating from level to level (Nyquist)."""
    background = wave(levels, 1) + wave(levels, -1)
    plain = travelling_waves(background, band=(8, 12), surrogates=1)
    for number in (0, levels / 2):
        found = travelling_waves(background + 9 * wave(levels, number), band=(8, 12), surrogates=1)
        np.testing.assert_allclose(found.forward_power, plain.forward_power)
        np.testing.assert_allclose(found.backward_power, plain.backward_power)
        assert abs(float(found.log_ratio)) < 1e-9


def test_powers_are_those_of_projections() -> None:
    """Against sums over levels and times with every plane wave in the band."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(2, 5, 60))
    signal = xr.DataArray(values, dims=("sample", "layer", "time")).assign_coords(
        time=np.arange(60) / 60.0, sample=[7, 8]
    )
    found = travelling_waves(signal, band=(9, 13), surrogates=1)
    level, t = np.arange(5)[:, None], np.arange(60)
    for s in range(2):
        powers = {}
        for sign in (1, -1):
            powers[sign] = max(
                abs((values[s] * np.exp(-2j * np.pi * (f * t / 60 - sign * k * level / 5))).sum())
                for f in (9, 10, 11, 12, 13) for k in (1, 2)
            ) * 2 / (5 * 60)  # fmt: skip
        assert float(found.forward_power[s]) == pytest.approx(powers[1] ** 2)
        assert float(found.backward_power[s]) == pytest.approx(powers[-1] ** 2)
        assert float(found.log_ratio[s]) == pytest.approx(np.log(powers[1] / powers[-1]))
    assert found.sample.values.tolist() == [7, 8]
    assert found.null_log_ratio.dims == ("surrogate", "sample")
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)


def noise(samples: int, levels: int, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(size=(samples, levels, 100))
    return xr.DataArray(values, dims=("sample", "layer", "time")).assign_coords(
        time=np.arange(100) / 100.0
    )


@pytest.mark.parametrize(("levels", "surrogates"), [(5, 120), (7, 99)])
def test_a_wave_stands_out_and_noise_does_not(levels: int, surrogates: int) -> None:
    still = noise(300, levels)
    found = travelling_waves(still, band=(8, 12), surrogates=surrogates)
    assert found.sizes["surrogate"] == surrogates
    assert found.attrs["orders"] == ("all" if levels == 5 else "random")
    for name in ("p_forward", "p_backward", "p_log_ratio"):
        share = float((found[name] <= 0.1).mean())
        assert share < 0.1 + 4 * np.sqrt(0.09 / 300)
    assert abs(float(found.log_ratio.mean())) < 4 * float(found.log_ratio.std()) / np.sqrt(300)
    time, level = still.time, xr.DataArray(np.arange(levels) / levels, dims="layer")
    moving = still + np.cos(2 * np.pi * (10 * time - level))
    found = travelling_waves(moving, band=(8, 12), surrogates=surrogates)
    # 1 of 12 orders makes it a wave forward again; of 240, hardly one of 99 random ones
    smallest = 1 / 12 if levels == 5 else 1 / 100
    assert float(found.p_forward.median()) == pytest.approx(smallest)
    assert float(found.p_backward.median()) > 0.3 and float(found.log_ratio.min()) > 0.5


def test_all_orders_of_few_levels() -> None:
    """Cyclic shifts change nothing, so 3 levels have two values, each in half of the orders."""
    found = travelling_waves(noise(1, 3).isel(sample=0), band=(8, 12))
    assert found.sizes["surrogate"] == 6
    values = np.unique(found.null_log_ratio.values.round(9))
    assert len(values) == 2 and values.sum() == pytest.approx(0)
    assert float(found.p_log_ratio) == 1 and float(found.p_forward) in (0.5, 1)


def test_errors_say_what_is_allowed() -> None:
    signal = noise(2, 5)
    short = series(np.cos(np.arange(100) / 8))
    with pytest.raises(ValueError, match="hold 0.8 cycles of the band 8 to 12, .* needs 3 or more"):
        analytic_signal(short, band=(8, 12))
    with pytest.raises(ValueError, match="band must rise within 0 and 250, .* got 12 to 8"):
        analytic_signal(short, band=(12, 8))
    with pytest.raises(TypeError, match="the signal is complex"):
        analytic_signal(series(np.ones(5000) * 1j), band=(8, 12))
    with pytest.raises(TypeError, match="signal must be a DataArray, got ndarray"):
        analytic_signal(short.values, band=(8, 12))
    with pytest.raises(ValueError, match="equally spaced, its steps go from 0.01 to 0.02"):
        analytic_signal(signal.drop_isel(time=3), band=(8, 12))
    with pytest.raises(ValueError, match="not a dimension with a coordinate; there are: none"):
        analytic_signal(signal.drop_vars("time"), band=(8, 12))
    with pytest.raises(ValueError, match="increasing numbers"):
        analytic_signal(signal.isel(time=slice(None, None, -1)), band=(8, 12))
    with pytest.raises(ValueError, match="level 'depth' .* use one of: sample, layer"):
        travelling_waves(signal, band=(8, 12), level="depth")
    with pytest.raises(ValueError, match="2 levels hold no wave with a direction"):
        travelling_waves(signal.isel(layer=[0, 1]), band=(8, 12))
    with pytest.raises(ValueError, match="no frequency lies in the band 8.2 to 8.4.* resolve 1;"):
        travelling_waves(signal, band=(8.2, 8.4))
    with pytest.raises(TypeError, match="the signal is complex"):
        travelling_waves(signal * 1j, band=(8, 12))
    with pytest.raises(ValueError, match="surrogates must be a whole number"):
        travelling_waves(signal, band=(8, 12), surrogates=0)
