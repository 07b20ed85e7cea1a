"""Phase locking of pairs: against loops, closed forms and another library."""

from itertools import combinations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis import PhaseLocking, locking, phase_locking

MEASURES = ("plv", "ppc", "iplv", "ciplv", "lag", "n_valid")


def drawn(sizes: dict[str, int], seed: int = 0, dtype: type = np.float64) -> xr.DataArray:
    """Phases with some locking: a common signal and noise of their own."""
    draw = np.random.default_rng(seed)
    own = draw.normal(size=tuple(sizes.values()))
    phase = xr.DataArray(own, dims=tuple(sizes)) + draw.uniform(-np.pi, np.pi, sizes["time"])[0]
    return (np.pi - (np.pi - phase) % (2 * np.pi)).astype(dtype)


def by_loops(phase: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return all measures of (unit, observation), pair by pair, from their definitions."""
    n = len(phase)
    found = {name: np.full((n, n), np.nan) for name in MEASURES}
    for a in range(n):
        for b in range(n):
            w = weight[a] * weight[b]
            ok = np.isfinite(phase[a]) & np.isfinite(phase[b]) & (w > 0)
            found["n_valid"][a, b] = ok.sum()
            if not ok.any():
                continue
            w, apart = w[ok], phase[a][ok] - phase[b][ok]
            c = np.average(np.exp(1j * apart), weights=w)
            found["plv"][a, b], found["lag"][a, b] = abs(c), np.angle(c)
            found["iplv"][a, b] = abs(c.imag)
            if abs(c.real) < 1 - 1e-9:
                found["ciplv"][a, b] = abs(c.imag) / np.sqrt(1 - c.real**2)
            pairs = list(combinations(range(ok.sum()), 2))
            if pairs:
                weights = [w[j] * w[k] for j, k in pairs]
                cosines = [np.cos(apart[j] - apart[k]) for j, k in pairs]
                found["ppc"][a, b] = np.average(cosines, weights=weights)
    return found


@pytest.mark.parametrize("kind", ["plain", "missing", "masked", "weighted"])
def test_every_measure_is_that_of_a_loop(kind: str) -> None:
    phase = drawn({"unit": 5, "time": 12}).values
    draw = np.random.default_rng(1)
    weight = np.ones_like(phase)
    if kind != "plain":
        phase[draw.random(phase.shape) < 0.2] = np.nan
        phase[4] = np.nan
        phase[3, 1:] = np.nan  # one observation
    if kind in ("masked", "weighted"):
        weight = draw.uniform(0, 2, phase.shape) if kind == "weighted" else weight
        weight[draw.random(phase.shape) < 0.2] = 0
        weight[1, 2] = np.nan
    labels = ("unit", "time")
    amplitude = None if kind in ("plain", "missing") else xr.DataArray(weight, dims=labels)
    found = phase_locking(xr.DataArray(phase, dims=labels), amplitude, dim="time")
    for name, values in by_loops(phase, weight).items():
        np.testing.assert_allclose(found[name], values, atol=1e-12, err_msg=name)
        assert {"long_name", "units", "references"} <= set(found[name].attrs)
        assert found[name].dims == ("source", "target")


def test_dimensions_are_averaged_as_asked() -> None:
    sizes = {"time": 7, "sample": 6, "channel": 2, "y": 3}
    phase = drawn(sizes).assign_coords(
        time=np.arange(7.0), channel=["a", "b"], depth=("y", [1, 2, 3])
    )
    unit = ("channel", "y")
    flat = phase.transpose(*unit, "time", "sample").values.reshape(6, 7, 6)
    over_time = phase_locking(phase, dim="time", unit=unit)
    over_samples = phase_locking(phase, dim="sample", unit=unit)
    both = phase_locking(phase, dim=("sample", "time"), unit=unit)
    ones = np.ones((6, 7))
    np.testing.assert_allclose(over_time.plv[2], by_loops(flat[:, :, 2], ones)["plv"])
    np.testing.assert_allclose(over_samples.plv[4], by_loops(flat[:, 4], ones[:, :6])["plv"])
    assert over_samples.plv.dims == ("time", "source", "target")
    assert both.plv.dims == ("source", "target") and (both.n_valid == 42).all()
    assert both.attrs["dim"] == "sample, time"
    # the mean of the complex numbers, not of their lengths
    assert float(both.plv[0, 1]) < float(over_time.plv[:, 0, 1].mean())
    assert over_samples.time.values.tolist() == list(range(7))
    assert both.source_channel.values.tolist() == list("aaabbb")
    assert both.target_y.values.tolist() == [0, 1, 2] * 2
    assert both.target_depth.values.tolist() == [1, 2, 3] * 2
    turned = phase_locking(phase.transpose("y", "sample", "channel", "time"), dim="time", unit=unit)
    xr.testing.assert_allclose(over_time, turned)


def test_bias_for_independent_phases() -> None:
    """The mean PLV of n uniform phases is sqrt(pi / 4n); the mean PPC is zero."""
    for n in (25, 100, 400):
        phase = np.random.default_rng(n).uniform(-np.pi, np.pi, (150, n))
        found = phase_locking(xr.DataArray(phase, dims=("unit", "sample")), dim="sample")
        pairs = np.triu_indices(150, 1)
        plv, ppc = found.plv.values[pairs], found.ppc.values[pairs]
        error = plv.std() / np.sqrt(plv.size / 20)  # pairs share units
        assert abs(plv.mean() - np.sqrt(np.pi / (4 * n))) < 0.01 / np.sqrt(n) + 4 * error
        assert abs(ppc.mean()) < 4 * ppc.std() / np.sqrt(ppc.size / 20)


def test_lag_is_source_minus_target() -> None:
    t = np.linspace(0, 20, 300)
    phase = xr.DataArray([t, t - 0.5], dims=("unit", "time"), coords={"unit": ["early", "late"]})
    found = phase_locking(phase, dim="time")
    assert float(found.lag.sel(source="early", target="late")) == pytest.approx(0.5)
    assert float(found.lag.sel(source="late", target="early")) == pytest.approx(-0.5)
    assert float(found.ciplv.sel(source="early", target="late")) == pytest.approx(1)
    assert "source) - phase(target)" in found.lag.attrs["convention"]


@pytest.mark.filterwarnings("ignore")
def test_agrees_with_mne_connectivity() -> None:
    """On the same phasors, double precision, to 1e-10."""
    pytest.importorskip("mne_connectivity")
    import mne
    from mne.time_frequency import EpochsSpectrumArray
    from mne_connectivity import spectral_connectivity_epochs

    phase = drawn({"unit": 12, "time": 60}, seed=3)
    z = np.exp(1j * phase.values.T)[:, :, None].repeat(2, axis=2)
    info = mne.create_info(12, 100.0, "eeg")
    spectrum = EpochsSpectrumArray(z, info, np.array([9.0, 10.0]))
    theirs = spectral_connectivity_epochs(spectrum, method=["plv", "ciplv", "ppc"], verbose="error")
    ours = phase_locking(phase, dim="time")
    below = np.tril_indices(12, -1)
    for name, result in zip(("plv", "ciplv", "ppc"), theirs, strict=True):
        dense = result.get_data("dense")[:, :, 0]
        np.testing.assert_allclose(ours[name].values[below], dense[below], rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", ["time", ("time", "sample")])
def test_streamed_is_the_same_as_at_once(dtype: type, dim: str | tuple[str, ...]) -> None:
    phase = drawn({"time": 30, "sample": 4, "unit": 6}, dtype=dtype)
    phase = phase.where(drawn({"time": 30, "sample": 4, "unit": 6}, seed=9) > -2)
    weight = abs(drawn({"time": 30, "sample": 4, "unit": 6}, seed=2, dtype=dtype))
    others = ("sample",) if "sample" in dim else ()
    for amplitude in (None, weight, weight > 1):
        locking = PhaseLocking(("sample", "unit"), dim=others)
        for t in range(30):
            own = None if amplitude is None else amplitude[t]
            locking.update(torch.as_tensor(phase[t].values), own)
        once = phase_locking(phase, amplitude, dim=dim)
        for name in MEASURES:
            tolerance = 1e-12 if dtype == np.float64 else 2e-6
            np.testing.assert_allclose(locking.result()[name], once[name], atol=tolerance)
            assert locking.result()[name].dtype == once[name].dtype
        assert once.plv.dtype == (dtype if amplitude is None else np.float64)


def test_batches_of_samples_and_long_recordings() -> None:
    phase = drawn({"time": 1, "sample": 2 * locking.BLOCK + 7, "unit": 3}).isel(time=0)
    whole = phase_locking(phase, dim="sample")
    streamed = PhaseLocking(phase.dims, dim="sample")
    for rows in (slice(0, 1000), slice(1000, None)):
        streamed.update(phase[rows])
    xr.testing.assert_allclose(streamed.result(), whole.drop_vars(whole.coords))
    assert (whole.n_valid == 2 * locking.BLOCK + 7).all()


def test_in_a_run_whose_phases_are_not_kept() -> None:
    amplitude = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    kernel = torch.ones(2, 2, 3, 3)
    dynamics = nd.Kuramoto(kernel, rate=0.1, desynchrony=0.5)
    dims, unit = ("sample", "channel", "y", "x"), ("channel", "y", "x")
    locking = PhaseLocking(dims, unit=unit)

    def seen(t: torch.Tensor, state: nd.dynamics.State) -> torch.Tensor:
        locking.update(state[0], amplitude)
        return amplitude.new_zeros(len(amplitude))

    times = np.arange(8.0)
    kept = nd.simulate(dynamics, amplitude, times, method="euler", record="phase")
    streamed = nd.simulate(dynamics, amplitude, times, method="euler", record=seen)
    assert "layers" not in streamed or not streamed["layers"].children
    weight = xr.DataArray(amplitude.numpy(), dims=dims)
    phase = kept["layers/phase"]["phase"].drop_vars("sample")
    once = phase_locking(phase, weight, dim="time", unit=unit)
    found = locking.result()
    assert found.plv.dims == ("sample", "source", "target") and found.plv.shape == (3, 32, 32)
    for name in ("plv", "ppc", "n_valid"):
        np.testing.assert_allclose(found[name], once[name], atol=1e-5)
    assert (found.n_valid == 8).all()


def test_single_precision_is_near() -> None:
    phase = drawn({"unit": 40, "time": 1000})
    exact = phase_locking(phase, dim="time")
    single = phase_locking(phase.astype(np.float32), dim="time")
    assert single.plv.dtype == single.lag.dtype == np.float32
    assert abs(single.plv - exact.plv).max() < 1e-6
    assert single.plv.max() <= 1 and (single.iplv.values.diagonal() == 0).all()


def test_result_is_saved_and_loaded(tmp_path) -> None:
    phase = drawn({"unit": 4, "time": 9}).assign_coords(unit=list("abcd"))
    found = phase_locking(phase, dim="time")
    xr.testing.assert_identical(nd.load(nd.save(found, tmp_path / "plv.nc")), found)


angles = st.floats(-50, 50)


@given(turns=st.lists(angles, min_size=9, max_size=9))
def test_common_rotation_changes_nothing(turns: list[float]) -> None:
    phase = drawn({"unit": 4, "time": 9}, seed=5)
    turned = phase_locking(phase + xr.DataArray(turns, dims="time"), dim="time")
    for name, values in phase_locking(phase, dim="time").data_vars.items():
        np.testing.assert_allclose(turned[name], values, atol=1e-10, err_msg=str(name))


@given(order=st.permutations(range(5)), offset=st.lists(angles, min_size=5, max_size=5))
def test_permuted_and_shifted_units(order: list[int], offset: list[float]) -> None:
    phase = drawn({"unit": 5, "time": 9}, seed=6)
    plain = phase_locking(phase, dim="time")
    mixed = phase_locking(phase.isel(unit=order), dim="time")
    xr.testing.assert_allclose(mixed, plain.isel(source=order, target=order))
    shifted = phase_locking(phase + xr.DataArray(offset, dims="unit"), dim="time")
    for name in ("plv", "ppc"):
        xr.testing.assert_allclose(shifted[name], plain[name])
    expected = plain.lag.values + np.subtract.outer(offset, offset)
    np.testing.assert_allclose(np.exp(1j * shifted.lag), np.exp(1j * expected), atol=1e-10)


def test_errors_say_what_is_allowed() -> None:
    phase = drawn({"unit": 3, "time": 4})
    with pytest.raises(TypeError, match="phase must be a DataArray, got ndarray; name its axes"):
        phase_locking(phase.values, dim="time")
    with pytest.raises(ValueError, match="dim 'sample' is not a dimension; use some of: unit, t"):
        phase_locking(phase, dim="sample")
    with pytest.raises(ValueError, match="unit 'time' is named twice"):
        phase_locking(phase, dim="time", unit="time")
    with pytest.raises(ValueError, match="dim names no dimension"):
        phase_locking(phase, dim=())
    with pytest.raises(ValueError, match="units 'degrees' and must be in radians"):
        phase_locking(phase.assign_attrs(units="degrees"), dim="time")
    with pytest.raises(TypeError, match=r"np.angle\(z\)"):
        phase_locking(np.exp(1j * phase), dim="time")
    with pytest.raises(ValueError, match="weights: finite, 0 or larger"):
        phase_locking(phase, phase - 5, dim="time")
    with pytest.raises(ValueError, match="dimensions that phase has not: y; phase has unit, time"):
        phase_locking(phase, phase.expand_dims("y"), dim="time")
    with pytest.raises(ValueError, match="disagree in sizes or labels"):
        phase_locking(phase, abs(phase[:2]), dim="time")
    many = xr.DataArray(np.zeros((1, 16385), np.float32), dims=("time", "unit"))
    with pytest.raises(ValueError, match="16385 units make 268,468,225 pairs.*group_synchrony"):
        phase_locking(many, dim="time")
    locking = PhaseLocking(("sample", "unit"))
    with pytest.raises(ValueError, match="no phases yet"):
        locking.result()
    with pytest.raises(ValueError, match="shape \\(3,\\), and the dims are sample, unit"):
        locking.update(np.zeros(3))
    locking.update(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="only what is averaged over may change \\(nothing\\)"):
        locking.update(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="does not broadcast to that of the phases, \\(2, 3\\)"):
        locking.update(np.zeros((2, 3)), np.ones(4))


def test_public_names() -> None:
    assert analysis.PhaseLocking is PhaseLocking and analysis.phase_locking is phase_locking


def test_small_weights_in_single_precision_are_weights():
    """Amplitudes of 1e-13, as of a field in tesla."""
    rng = np.random.default_rng(0)
    phase = xr.DataArray(rng.uniform(-3, 3, (3, 50)), dims=("unit", "time"))
    weight = xr.DataArray(rng.uniform(1, 2, (3, 50)), dims=("unit", "time"))
    exact = analysis.phase_locking(phase, weight, dim="time")
    small = analysis.phase_locking(
        phase.astype(np.float32), (1e-13 * weight).astype(np.float32), dim="time"
    )
    for name in ("plv", "ppc", "ciplv"):
        assert np.allclose(small[name], exact[name], atol=1e-4, equal_nan=True), name
