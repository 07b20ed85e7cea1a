"""Order parameters, groups and metastability: against loops over pairs and closed forms."""

from itertools import combinations, product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.analysis import group_synchrony, local_order, metastability, order_parameter


def uniform(sizes: dict[str, int], seed: int = 0) -> xr.DataArray:
    draw = np.random.default_rng(seed)
    return xr.DataArray(draw.uniform(-np.pi, np.pi, tuple(sizes.values())), dims=tuple(sizes))


def documented(result: xr.Dataset) -> bool:
    needed = {"long_name", "units", "references"}
    return all(needed <= set(variable.attrs) for variable in result.data_vars.values())


def test_order_parameter_is_the_mean_phasor() -> None:
    phase = uniform({"time": 3, "y": 4, "x": 5}).assign_coords(time=[0.0, 1.0, 2.0])
    amplitude = abs(uniform({"y": 4, "x": 5}, seed=1))
    amplitude[0, 0], amplitude[0, 1] = 0, np.nan
    phase[1] = np.nan
    phase[2, 3, 3] = np.nan
    found = order_parameter(phase, amplitude, dim=("y", "x"))
    for t in (0, 2):
        z = w = n = 0
        for y, x in product(range(4), range(5)):
            if np.isfinite(phase[t, y, x]) and amplitude[y, x] > 0:
                z += float(amplitude[y, x]) * np.exp(1j * float(phase[t, y, x]))
                w, n = w + float(amplitude[y, x]), n + 1
        assert float(found.order_parameter[t]) == pytest.approx(abs(z / w))
        assert float(found.mean_phase[t]) == pytest.approx(np.angle(z / w))
        assert int(found.n_valid[t]) == n
    assert np.isnan(found.order_parameter[1]) and np.isnan(found.mean_phase[1])
    assert int(found.n_valid[1]) == 0 and found.n_valid.dtype == np.int32
    assert found.time.values.tolist() == [0, 1, 2] and documented(found)
    single = order_parameter(phase.astype(np.float32), dim=("y", "x"))
    assert single.order_parameter.dtype == single.mean_phase.dtype == np.float32


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_harmonics_find_clusters(clusters: int) -> None:
    """Of m even clusters R_m is 1 and the lower ones are 0 (Daido)."""
    phase = xr.DataArray(np.arange(60) * 2 * np.pi / clusters + 0.1, dims="unit")
    for m in range(1, clusters + 1):
        found = order_parameter(phase, dim="unit", harmonic=m)
        assert float(found.order_parameter) == pytest.approx(float(m == clusters), abs=1e-12)
    assert float(found.mean_phase) == pytest.approx(0.1 * clusters)


def test_two_clusters_of_unequal_size() -> None:
    """For a share p at 0 and the rest at angle d: R_m^2 = 1 - 2p(1-p)(1 - cos m d)."""
    phase = xr.DataArray([0.0] * 7 + [2.0] * 3, dims="unit")
    for m in (1, 2, 3):
        expected = np.sqrt(1 - 2 * 0.7 * 0.3 * (1 - np.cos(2 * m)))
        found = order_parameter(phase, dim="unit", harmonic=m).order_parameter
        assert float(found) == pytest.approx(expected)


def test_floor_for_independent_phases() -> None:
    for n in (50, 200):
        found = order_parameter(uniform({"sample": 4000, "unit": n}), dim="unit").order_parameter
        expected = np.sqrt(np.pi / (4 * n))
        assert abs(float(found.mean()) - expected) < 0.02 * expected


@given(turn=st.floats(-100, 100), order=st.permutations(range(8)))
def test_rotation_and_permutation(turn: float, order: list[int]) -> None:
    phase, groups = uniform({"time": 2, "unit": 8}, seed=2), xr.DataArray([1, 1, 1, 2, 2, 2, 3, 0])
    groups = groups.rename(dim_0="unit")
    plain, moved = phase, (phase + turn).isel(unit=order)
    a, b = (order_parameter(p, dim="unit") for p in (plain, moved))
    np.testing.assert_allclose(a.order_parameter, b.order_parameter, atol=1e-10)
    turned = np.exp(1j * (a.mean_phase + turn))
    np.testing.assert_allclose(np.exp(1j * b.mean_phase), turned, atol=1e-9)
    a, b = group_synchrony(plain, groups), group_synchrony(moved, groups.isel(unit=order))
    for name in set(a.data_vars) - {"group_phase"}:
        np.testing.assert_allclose(a[name], b[name], atol=1e-10, err_msg=str(name))


@pytest.mark.parametrize("border", ["cut", "wrap"])
@pytest.mark.parametrize("weighted", [False, True])
def test_local_order_is_that_of_every_box(border: str, weighted: bool) -> None:
    phase = uniform({"x": 6, "time": 2, "y": 5})
    phase[0, 0, 0] = np.nan
    amplitude = None
    w = xr.ones_like(phase)
    if weighted:
        w = amplitude = abs(uniform(dict(phase.sizes), seed=3))
        amplitude[:4, 1, :4] = 0
    found = local_order(phase, amplitude, size=3, border=border)
    assert found.local_order_parameter.dims == phase.dims and documented(found)
    assert found.attrs["border"] == border
    w = w.where(phase.notnull(), 0)
    for x, t, y in product(range(6), range(2), range(5)):
        z = mass = n = 0
        for i, j in product(range(x - 1, x + 2), range(y - 1, y + 2)):
            if border == "cut" and not (0 <= i < 6 and 0 <= j < 5):
                continue
            own = float(w[i % 6, t, j % 5])
            if own > 0:
                z += own * np.exp(1j * float(phase[i % 6, t, j % 5]))
                mass, n = mass + own, n + 1
        here = found.isel(x=x, time=t, y=y)
        assert int(here.n_valid) == n
        expected = abs(z / mass) if n else np.nan
        np.testing.assert_allclose(here.local_order_parameter, expected, atol=1e-12)
        if n:
            np.testing.assert_allclose(here.local_phase, np.angle(z / mass), atol=1e-9)


def groups_by_loops(phase: np.ndarray, groups: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Return within and between, from every pair of units."""
    there = np.isfinite(phase) & (weight > 0)
    within, sizes, pairs_between = [], [], {}
    labels = [g for g in np.unique(groups[groups > 0]) if (there & (groups == g)).any()]
    for g in labels:
        units = np.flatnonzero(there & (groups == g))
        if len(units) > 1:
            pairs = list(combinations(units, 2))
            cosines = [np.cos(phase[i] - phase[j]) for i, j in pairs]
            within.append(np.average(cosines, weights=[weight[i] * weight[j] for i, j in pairs]))
            sizes.append(len(units))
    for g, h in combinations(labels, 2):
        pairs = list(
            product(np.flatnonzero(there & (groups == g)), np.flatnonzero(there & (groups == h)))
        )
        cosines = [np.cos(phase[i] - phase[j]) for i, j in pairs]
        pairs_between[g, h] = np.average(cosines, weights=[weight[i] * weight[j] for i, j in pairs])
    return {
        "within": np.average(within, weights=sizes) if within else np.nan,
        "between": np.mean(list(pairs_between.values())) if pairs_between else np.nan,
    }


@pytest.mark.parametrize("kind", ["plain", "missing", "weighted"])
def test_groups_are_those_of_all_pairs(kind: str) -> None:
    phase = uniform({"sample": 4, "time": 3, "channel": 2, "y": 3, "x": 3})
    draw = np.random.default_rng(1)
    groups = xr.DataArray(draw.integers(-1, 4, (4, 3, 3)), dims=("sample", "y", "x"))
    groups[1] = groups[1].where(groups[1] != 2, 0)  # a sample without object 2
    groups[2] = 0  # without any
    groups[3] = xr.DataArray([[1, 0, 0], [0, 2, 0], [0, 0, 0]], dims=("y", "x"))
    phase = phase.where(xr.DataArray(draw.random(phase.shape) > 0.2, dims=phase.dims)) if (
        kind != "plain") else phase  # fmt: skip
    amplitude = None
    if kind == "weighted":
        amplitude = xr.DataArray(draw.uniform(0, 2, (4, 2, 3, 3)), dims=("sample", "channel", "y",
                                                                        "x"))  # fmt: skip
        amplitude[0, 0] = 0
    unit = ("channel", "y", "x")
    found = group_synchrony(phase, groups, amplitude, unit=unit)
    assert found.within.dims == ("sample", "time") and documented(found)
    assert found.group.values.tolist() == [1, 2, 3]
    spread_groups = groups.broadcast_like(phase.isel(time=0)).transpose("sample", *unit)
    weight = xr.ones_like(phase) if amplitude is None else amplitude.broadcast_like(phase)
    for s, t in product(range(4), range(3)):
        here = {"sample": s, "time": t}
        expected = groups_by_loops(
            phase.isel(here).transpose(*unit).values.ravel(),
            spread_groups.isel(sample=s).values.ravel(),
            weight.isel(here).transpose(*unit).values.ravel(),
        )
        for name, value in expected.items():
            np.testing.assert_allclose(found[name].isel(here), value, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.contrast, found.within - found.between)
    # each group is the order parameter of its units
    own = order_parameter(phase.where(groups == 1), amplitude, dim=unit)
    np.testing.assert_allclose(found.group_order_parameter.sel(group=1), own.order_parameter)
    np.testing.assert_allclose(found.group_phase.sel(group=1), own.mean_phase)
    np.testing.assert_allclose(found.n_valid.sel(group=1), own.n_valid)


def test_phase_gap_and_background() -> None:
    phase = xr.DataArray([3.0, -3.0, 1.0, 0.0], dims="unit")
    groups = xr.DataArray([1, 2, 0, -1], dims="unit")
    found = group_synchrony(phase, groups)
    assert float(found.phase_gap) == pytest.approx(2 * np.pi - 6)
    assert np.isnan(found.within)  # no group has a pair
    with_ground = group_synchrony(phase, groups, background=True)
    assert with_ground.group.values.tolist() == [0, 1, 2]
    gaps = [2.0, 2 * np.pi - 4, 2 * np.pi - 6]
    assert float(with_ground.phase_gap) == pytest.approx(np.mean(gaps))
    single = group_synchrony(phase.astype(np.float32), groups)
    assert {v.dtype for v in single.data_vars.values()} == {np.dtype("f4"), np.dtype("i4")}


def splay_by_loop(means: list[complex]) -> float:
    n = len(means)
    loss, bound = 1 - np.mean(np.abs(means)), 1.0
    for m in range(1, n // 2 + 1):
        moment = sum(np.exp(1j * m * np.angle(z)) for z in means)
        loss += abs(moment) ** 2 / (2 * n * m**2)
        bound += n / 2 / m**2
    return loss / bound


def test_splay_desynchrony() -> None:
    """0 for bound and evenly spread groups at any angle; of the printed formula elsewhere."""
    for n in (1, 2, 3, 4, 5):
        groups = xr.DataArray(np.repeat(np.arange(1, n + 1), 4), dims="unit")
        for turn in (0.0, 0.4, 2.9):
            even = xr.DataArray(turn + 2 * np.pi * groups / n, dims="unit")
            found = group_synchrony(even, groups).splay_desynchrony
            assert float(found) == pytest.approx(0, abs=1e-12)
        phase = uniform({"unit": 4 * n}, seed=n)
        means = [np.exp(1j * phase.values[4 * g : 4 * g + 4]).mean() for g in range(n)]
        found = group_synchrony(phase, groups).splay_desynchrony
        assert float(found) == pytest.approx(splay_by_loop(means))
    # a group that is absent does not count
    groups = xr.DataArray([[1, 1, 2, 2], [1, 3, 4, 5]], dims=("sample", "unit"))
    phase = uniform({"sample": 2, "unit": 4})
    means = [np.exp(1j * phase.values[0, g : g + 2]).mean() for g in (0, 2)]
    assert float(group_synchrony(phase, groups).splay_desynchrony[0]) == pytest.approx(
        splay_by_loop(means)
    )


def test_metastability_by_loops() -> None:
    phase = uniform({"unit": 12, "time": 6, "sample": 2}).assign_coords(sample=[3, 4])
    groups = xr.DataArray(np.repeat([1, 2, 3, 0], 3), dims="unit")
    found = metastability(phase, groups)
    assert documented(found) and found.metastability.dims == ("sample",)
    z = np.exp(1j * phase.values)
    r = np.abs(z.mean(0))
    grouped = np.stack([np.abs(z[3 * g : 3 * g + 3].mean(0)) for g in range(3)])
    np.testing.assert_allclose(found.metastability, r.var(0, ddof=1))
    np.testing.assert_allclose(found.group_metastability, grouped.var(1, ddof=1).mean(0))
    np.testing.assert_allclose(found.chimera_index, grouped.var(0, ddof=1).mean(0))
    alone = metastability(phase)
    assert set(alone.data_vars) == {"metastability"}
    scaled = metastability(phase, groups, normalise="max")
    assert scaled.metastability.attrs["normaliser"] == pytest.approx(6 / (4 * 5))
    assert scaled.chimera_index.attrs["normaliser"] == pytest.approx(1 * 2 / (3 * 2))
    np.testing.assert_allclose(scaled.chimera_index * 1 / 3, found.chimera_index)
    assert "normaliser" not in found.chimera_index.attrs


@pytest.mark.parametrize("count", [8, 10])
def test_chimera_index_of_half_the_groups_half_of_the_time(count: int) -> None:
    """M / (8 (M - 1)); with all of the time, the maximum, M / (4 (M - 1))."""
    opposite = np.where(np.arange(count) < count // 2, np.pi, 0.0)
    pair = np.stack([np.zeros(count), opposite], axis=1).ravel()
    phase = xr.DataArray([pair, np.zeros(2 * count)], dims=("time", "unit"))
    groups = xr.DataArray(np.repeat(np.arange(1, count + 1), 2), dims="unit")
    found = metastability(phase, groups).chimera_index
    assert float(found) == pytest.approx(count / (8 * (count - 1)))
    always = metastability(phase.isel(time=[0, 0]), groups, normalise="max").chimera_index
    assert float(always) == pytest.approx(1)
    assert float(always.attrs["normaliser"]) == pytest.approx(count / (4 * (count - 1)))


def test_errors_say_what_is_allowed() -> None:
    phase = uniform({"time": 3, "y": 4, "x": 5})
    groups = xr.DataArray(np.ones((4, 5), int), dims=("y", "x"))
    with pytest.raises(ValueError, match="harmonic must be a whole number, 1 or larger, got 0"):
        order_parameter(phase, dim="time", harmonic=0)
    with pytest.raises(ValueError, match="size must be an odd number of units, got 4"):
        local_order(phase, size=4)
    with pytest.raises(ValueError, match="border 'reflect' is not one of: cut, wrap"):
        local_order(phase, size=3, border="reflect")
    with pytest.raises(ValueError, match="wraps around more than once: the shortest of y, x has 4"):
        local_order(phase, size=5, border="wrap")
    with pytest.raises(TypeError, match="groups must be a DataArray of whole numbers, got float64"):
        group_synchrony(phase, groups.astype(float), unit=("y", "x"))
    with pytest.raises(ValueError, match="none of the units' \\(time\\)"):
        group_synchrony(phase, groups, unit="time")
    with pytest.raises(
        ValueError, match="groups has dimensions that phase has not: z; phase has time"
    ):
        group_synchrony(phase, groups.expand_dims("z"), unit=("y", "x"))
    with pytest.raises(ValueError, match="groups has no group"):
        group_synchrony(phase, 0 * groups, unit=("y", "x"))
    with pytest.raises(ValueError, match="normalise 'M' is not one of: None, 'max'"):
        metastability(phase, unit=("y", "x"), normalise="M")
    with pytest.raises(ValueError, match="dim 't' is not a dimension; use one of: time, y, x"):
        metastability(phase, unit=("y", "x"), dim="t")
