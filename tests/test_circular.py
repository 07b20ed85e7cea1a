"""Circular statistics and surrogates: a textbook's example, simulation and construction."""

import numpy as np
import pytest
import xarray as xr

from neurodyn.analysis import circular_statistics, order_parameter, phase_locking, surrogate_test


def test_textbook_example() -> None:
    """Zar (2010), examples 26.4 and 27.1: eight directions of trees, in degrees."""
    degrees = [45, 55, 81, 96, 110, 117, 132, 154]
    phase = xr.DataArray(np.deg2rad(degrees), dims="sample")
    found = circular_statistics(phase, dim="sample")
    assert np.rad2deg(found["mean"].item()) == pytest.approx(99, abs=0.5)
    assert 1 - found.variance.item() == pytest.approx(0.82522, abs=5e-6)
    assert found.rayleigh_z.item() == pytest.approx(5.448, abs=5e-4)
    assert 0.001 < found.rayleigh_p.item() < 0.002
    assert found["std"].item() == pytest.approx(np.sqrt(-2 * np.log(0.82522)), abs=1e-5)


def test_missing_phases_and_dimensions() -> None:
    values = np.random.default_rng(0).normal(3, 0.5, (4, 3, 30))
    values[0, 0, :7] = np.nan
    values[1, 1] = np.nan
    phase = xr.DataArray(values, dims=("time", "unit", "sample"), coords={"time": [0, 1, 2, 3.0]})
    found = circular_statistics(phase, dim="sample")
    assert found["mean"].dims == ("time", "unit") and found.time.values.tolist() == [0, 1, 2, 3]
    own = order_parameter(phase, dim="sample")
    np.testing.assert_allclose(1 - found.variance, own.order_parameter)
    turned = np.angle(np.exp(1j * (found["mean"] - own.mean_phase)))
    assert np.nanmax(abs(turned)) < 1e-12 and abs(found["mean"]).max() <= np.pi
    np.testing.assert_array_equal(found.n_valid, own.n_valid)
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)
        if variable.name != "n_valid":
            assert np.isnan(variable[1, 1]) and variable.notnull().sum() == 11
    assert circular_statistics(phase, dim=("time", "unit", "sample")).n_valid == 360 - 37


@pytest.mark.parametrize("n", [5, 12, 60])
def test_p_of_rayleighs_test_is_right_for_uniform_phases(n: int) -> None:
    phase = np.random.default_rng(n).uniform(-np.pi, np.pi, (20_000, n))
    p = circular_statistics(xr.DataArray(phase, dims=("run", "sample")), dim="sample").rayleigh_p
    for level in (0.01, 0.05, 0.5):
        spread = np.sqrt(level * (1 - level) / 20_000)
        assert abs(float((p <= level).mean()) - level) < 4 * spread + 0.04 * level


def locked(n: int = 200) -> xr.DataArray:
    """Two units with a common irregular rhythm, and two on their own."""
    walk = np.random.default_rng(0).normal(size=(4, n)).cumsum(axis=1)
    walk[1] = walk[0] + 0.5 + 0.3 * np.random.default_rng(1).normal(size=n)
    return xr.DataArray(walk, dims=("unit", "time"), coords={"time": np.arange(n) * 0.1})


@pytest.mark.parametrize("method", ["shift", "shuffle"])
def test_locked_pairs_stand_out(method: str) -> None:
    def plv(phase: xr.DataArray) -> xr.DataArray:
        return phase_locking(phase, dim="time").plv

    found = surrogate_test(plv, locked(), dim="time", method=method, surrogates=99)
    assert float(found.p_value[0, 1]) == pytest.approx(0.01) and float(found.z_score[0, 1]) > 3
    assert found.null.dims == ("surrogate", "source", "target") and found.sizes["surrogate"] == 99
    # a unit is always in phase with itself: nothing to test
    assert (found.p_value.values.diagonal() == 1).all()
    assert np.isnan(found.z_score.values.diagonal()).all()
    assert found.observed.attrs["long_name"] == "phase-locking value"
    assert "phase-locking value" in found.p_value.attrs["long_name"]
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)
    again = surrogate_test(plv, locked(), dim="time", method=method, surrogates=99)
    xr.testing.assert_identical(found, again)


def test_p_is_uniform_for_independent_units() -> None:
    draw = np.random.default_rng(3)
    phase = xr.DataArray(draw.uniform(-np.pi, np.pi, (300, 3, 20)), dims=("run", "unit", "sample"))
    found = surrogate_test(
        lambda p: order_parameter(
            phase_difference(p), dim="sample"
        ).order_parameter, phase, dim="sample", method="shuffle", surrogates=99,
    )  # fmt: skip
    p = np.sort(found.p_value.values.ravel())
    assert np.abs(p - np.linspace(0, 1, len(p))).max() < 1.63 / np.sqrt(len(p))  # Kolmogorov, 1%


def phase_difference(phase: xr.DataArray) -> xr.DataArray:
    return phase.isel(unit=0) - phase.isel(unit=1)


@pytest.mark.parametrize("method", ["shift", "shuffle"])
def test_units_are_moved_as_a_whole(method: str) -> None:
    """All variables and other dimensions of a unit go together; its own content is kept."""
    draw = np.random.default_rng(0)
    phase = xr.DataArray(draw.random((3, 2, 2, 9)), dims=("sample", "y", "x", "time"))
    data = xr.Dataset({"phase": phase, "amplitude": 10 * phase, "fixed": ("y", [1, 2])})
    data = data.assign_coords(time=np.arange(9.0), label=("time", list("abcdefghi")))
    seen = []

    def look(moved: xr.Dataset) -> xr.DataArray:
        seen.append(moved)
        return moved.phase.mean()

    surrogate_test(look, data, dim="time", unit=("y", "x"), method=method, surrogates=3)
    assert len(seen) == 4 and seen[-1] is data
    for moved in seen[:3]:
        assert moved.time.equals(data.time) and moved.label.equals(data.label)
        np.testing.assert_allclose(moved.amplitude, 10 * moved.phase)
        assert moved.fixed.equals(data.fixed)
        orders = set()
        for y in (0, 1):
            for x in (0, 1):
                own = moved.phase.isel(y=y, x=x).transpose("sample", "time").values
                was = phase.values[:, y, x]
                order = [int(np.flatnonzero(was[0] == value)[0]) for value in own[0]]
                np.testing.assert_array_equal(own, was[:, order])
                orders.add(tuple(order))
                steps = set((np.diff(order) % 9).tolist())
                assert (steps == {1}) == (method == "shift")
        assert len(orders) > 1
    xr.testing.assert_identical(seen[-1], data)


def test_errors_say_what_is_allowed() -> None:
    phase = locked()
    with pytest.raises(ValueError, match="dim 'sample' is not a dimension; use some of: unit, t"):
        circular_statistics(phase, dim="sample")
    with pytest.raises(ValueError, match="method 'fourier' is not one of: shift, shuffle"):
        surrogate_test(abs, phase, dim="time", method="fourier")
    with pytest.raises(ValueError, match="surrogates must be a whole number, 1 or larger, got 0"):
        surrogate_test(abs, phase, dim="time", surrogates=0)
    with pytest.raises(ValueError, match="unit 'node' is not a dimension"):
        surrogate_test(abs, phase, dim="time", unit="node")
    with pytest.raises(TypeError, match="data must be a DataArray or a Dataset, got ndarray"):
        surrogate_test(abs, phase.values, dim="time")
