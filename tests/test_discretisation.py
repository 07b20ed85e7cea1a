"""Dynamics or step: against loops, closed forms, scipy's paired interval and a network's flips."""

import cmath
import math

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import neurodyn as nd
from neurodyn.analysis import group_synchrony
from neurodyn.analysis.discretisation import discretisation, exactly_right
from neurodyn.analysis.state_distance import common_shift, distances, similarities
from neurodyn.analysis.step_or_dynamics import step_or_dynamics
from neurodyn.methods import FIXED
from neurodyn.models.gaspnet import gaspnet

SIZES = {"conv": (4, 3), "dense": (5,), "rate": (6,)}


def drawn(seed, start=99, sample=(7, 9)):
    """Two phase layers of unlike size and one that is not cyclic, as a run's tree."""
    draw, first = np.random.default_rng(seed), np.random.default_rng(start)
    tree = {}
    for name, shape in SIZES.items():
        values = 2 * draw.normal(size=(6, 2, *shape))
        values[0] = first.normal(size=(2, *shape))
        unit = "Hz" if name == "rate" else "rad"
        dims = ("time", "sample", *(("y", "x") if name == "conv" else ("unit",)))
        state = xr.DataArray(values, dims=dims, attrs={"units": unit})
        extra = {} if name == "rate" else {"amplitude": abs(state).assign_attrs(units="1")}
        quantity = "state" if name == "rate" else "phase"
        tree[f"/layers/{name}"] = xr.Dataset({quantity: state, **extra})
    axes = xr.Dataset(coords={"time": np.arange(6) * 0.5, "sample": list(sample)})
    return xr.DataTree.from_dict({"/": axes} | tree)


def quantity(tree, layer):
    node = tree.layers[layer]
    return node["state" if layer == "rate" else "phase"].values


def wrapped(x):
    return math.remainder(x, 2 * math.pi)


def loop_shift(a, b):
    """The common shift of the layers conv and dense, unit by unit."""
    layers = []
    for x, y in zip(a, b, strict=True):
        terms = [cmath.exp(1j * (p - q)) for p, q in zip(x.flat, y.flat, strict=True)]
        layers.append(sum(terms) / len(terms))
    return cmath.phase(sum(layers) / len(layers))


# ---- the measure


def test_distance_and_similarity_are_those_of_a_loop_over_units():
    euler, other = drawn(0), drawn(1)
    found = discretisation(euler, other, step=0.5)
    assert found.layer.values.tolist() == list(SIZES)
    assert found.sample.values.tolist() == [7, 9]
    assert found.distance.attrs["units"] == "Hz, rad"
    runs = {"euler": euler, "adaptive": other}
    for t in range(6):
        for s in range(2):
            phases = {
                solver: [quantity(run, layer)[t, s] for layer in ("conv", "dense")]
                for solver, run in runs.items()
            }
            shift = loop_shift(phases["euler"], phases["adaptive"])
            first = [quantity(other, layer)[0, s] for layer in ("conv", "dense")]
            back = loop_shift(phases["adaptive"], first)
            for n, layer in enumerate(("conv", "dense")):
                pairs = zip(phases["euler"][n].flat, phases["adaptive"][n].flat, strict=True)
                gap = math.sqrt(np.mean([wrapped(a - b - shift) ** 2 for a, b in pairs]))
                at = {"layer": layer, "sample": [7, 9][s], "time": 0.5 * t}
                assert found.distance.sel(at).item() == pytest.approx(gap, abs=1e-12)
                pairs = zip(phases["adaptive"][n].flat, first[n].flat, strict=True)
                moved = math.sqrt(np.mean([wrapped(a - b - back) ** 2 for a, b in pairs]))
                relative = found.relative_distance.sel(at).item()
                assert math.isnan(relative) if t == 0 else relative == pytest.approx(gap / moved)
            rate = np.mean((quantity(euler, "rate")[t, s] - quantity(other, "rate")[t, s]) ** 2)
            apart = found.distance.sel(layer="rate").isel(sample=s, time=t)
            assert apart.item() == pytest.approx(math.sqrt(rate))
            for (solver, run), lag in ((r, k) for r in runs.items() for k in (1, 2)):
                alike = found.similarity.sel(solver=solver, lag=lag).isel(sample=s, time=t)
                if t < lag:
                    assert alike.isnull().all()
                    continue
                then = [quantity(run, layer)[t - lag, s] for layer in ("conv", "dense")]
                shift = loop_shift(phases[solver], then)
                for n, layer in enumerate(("conv", "dense")):
                    cosines = np.cos(phases[solver][n] - then[n] - shift)
                    assert alike.sel(layer=layer).item() == pytest.approx(cosines.mean())
                rates = quantity(run, "rate")[:, s]
                assert alike.sel(layer="rate").item() == pytest.approx(
                    np.corrcoef(rates[t], rates[t - lag])[0, 1]
                )


@given(
    st.lists(st.floats(-9, 9), min_size=12, max_size=12),
    st.lists(st.floats(-9, 9), min_size=12, max_size=12),
)
def test_a_common_shift_of_all_phases_changes_nothing(first, second):
    plain_runs = [drawn(0), drawn(1)]
    moved = [drawn(0), drawn(1)]
    for run, shifts in zip(moved, (first, second), strict=True):
        by = np.reshape(shifts, (6, 2))
        for layer in ("conv", "dense"):
            values = run.layers[layer]["phase"].values
            values += by.reshape(6, 2, *[1] * (values.ndim - 2))
    same, found = (discretisation(*runs, step=0.5) for runs in (plain_runs, moved))
    for name in ("distance", "relative_distance", "similarity"):
        np.testing.assert_allclose(found[name], same[name], atol=1e-9)
    assert (found.flips == same.flips).all()


def test_the_order_of_axes_does_not_count():
    other = drawn(1)
    turned = other.map_over_datasets(
        lambda data: data.transpose("x", "y", ..., missing_dims="ignore")
    )
    found, same = (discretisation(drawn(0), run, step=0.5) for run in (turned, other))
    xr.testing.assert_allclose(found, same)


def test_a_shift_of_one_layer_alone_does_count():
    a = [np.zeros(3), np.zeros(50)]
    b = [np.zeros(3), np.full(50, 0.4)]
    assert common_shift(b, a) == pytest.approx(0.2)  # layers count alike, not units
    assert distances(b, a, [True, True]) == pytest.approx([0.2, 0.2])
    assert similarities(b, a, [True, True]) == pytest.approx([math.cos(0.2)] * 2)
    assert distances(b, a, [True, False]) == pytest.approx([0.0, 0.4])


@pytest.mark.parametrize("constant", [None, 20.0])
@pytest.mark.parametrize(("rate", "flips"), [(-1.95, True), (-0.5, False), (-2.02, True)])
def test_linear_systems_have_a_closed_form(flow, rate, flips, constant):
    """y = 1 + d decays as exp(rate t) and by 1 + h rate in a step: flips of lag 1, not of lag 2."""
    h, units = 0.5, 4
    start = torch.tensor([[0.9, -0.3, 0.2, 0.4]], dtype=torch.float64)
    model = flow(torch.eye(units, dtype=torch.float64) * rate / h, step=h)
    runs = [
        nd.simulate(
            model, -torch.ones(1, units, dtype=torch.float64) * rate / h, np.arange(9) * h,
            initial_state=(1 + start,), time_constant=constant, **how,
        )
        for how in ({"method": "euler"}, {"method": "dopri5", "rtol": 1e-9, "atol": 1e-12})
    ]  # fmt: skip
    found = discretisation(*runs)
    assert found.attrs["published_step"] == h * (constant or 1)
    assert found.attrs["adaptive_solver"] == "dopri5" and found.attrs["euler_nfe"] == 8
    n = np.arange(9)
    rms = start.square().mean().sqrt().item()
    apart = abs((1 + rate) ** n - np.exp(rate * n)) * rms
    assert np.allclose(found.distance[0, 0], apart, atol=1e-7)
    moved = rms * (1 - np.exp(rate * n[1:]))
    assert np.allclose(found.relative_distance[0, 0, 1:], apart[1:] / moved, atol=1e-6)
    assert np.allclose(found.similarity.sel(solver="euler", lag=1)[0, 0, 1:], -1 if flips else 1)
    assert np.allclose(found.similarity.sel(lag=2)[..., 2:], 1)
    assert found.flips.values.ravel().tolist() == [flips, False]


def test_only_recorded_steps_are_compared_and_an_own_step_is_found():
    model_times = [0.0, 0.5, 2.0, 2.5, 3.0]
    draw = np.random.default_rng(0).normal(size=(5, 1, 6))
    run = xr.Dataset({"y": (("time", "sample", "unit"), draw)}, {"time": model_times})
    known = run.assign_attrs(options='{"step_size": 0.5}', config='{"step": 1.0}', solver="euler")
    found = discretisation(known, run.assign_attrs(solver="bosh3"))
    assert found.attrs["published_step"] == 0.5 and found.attrs["step_known"] == 1
    there = found.similarity.sel(solver="euler", layer="y").isel(sample=0).notnull()
    assert there.sel(lag=1).values.tolist() == [False, True, False, True, True]
    assert there.sel(lag=2).values.tolist() == [False, False, False, False, True]
    unknown = discretisation(known, run, step_known=False, lag1_below=0.5, lag2_above=-1.0)
    assert "not known" in unknown.attrs["comment"] and "comment" not in found.attrs
    config = '{"step": 1.0, "published_step_known": false}'
    said = discretisation(known.assign_attrs(config=config), run)
    assert said.attrs["step_known"] == 0 and said.attrs["comment"] == unknown.attrs["comment"]
    assert discretisation(known.assign_attrs(config=config), run, step_known=True).attrs[
        "step_known"
    ]
    assert unknown.attrs["lag1_below"] == 0.5 and unknown.attrs["lag2_above"] == -1.0
    at_end = found.similarity.isel(time=-1, sample=0).sel(lag=1)
    assert unknown.flips.isel(sample=0).values.tolist() == (at_end < 0.5).values.tolist()


# ---- accuracy


@given(st.integers(0, 10_000))
def test_exactly_right_by_sorting(seed):
    draw = np.random.default_rng(seed)
    logits, shown = draw.normal(size=(20, 5)), draw.random((20, 5)) < 0.5
    for row, target, right in zip(logits, shown, exactly_right(logits, shown), strict=True):
        k = int(target.sum())
        largest = set(np.argsort(row)[len(row) - k :].tolist())
        assert right == (largest == set(np.flatnonzero(target).tolist()))


def with_logits(run, seed, offset=0.0):
    logits = np.random.default_rng(seed).normal(size=(6, 2, 4)) + offset
    return run.assign({"logits": xr.Variable(("time", "sample", "category"), logits)})


def test_accuracy_of_labels_and_of_several_categories():
    euler, other = with_logits(drawn(0), 3), with_logits(drawn(1), 4)
    target = xr.DataArray([[1, 0, 1, 0], [0, 1, 0, 0]], dims=("sample", "category"))
    found = discretisation(euler, other, step=0.5, target=target)
    right = {}
    for solver, run in (("euler", euler), ("adaptive", other)):
        logits = run["logits"].values
        first = [set(np.argsort(row)[-2:]) == {0, 2} for row in logits[:, 0]]
        second = logits[:, 1].argmax(-1) == 1
        right[solver] = (np.array(first) * 1.0 + second) / 2
        assert np.array_equal(found.accuracy.sel(solver=solver), right[solver])
    assert np.array_equal(found.accuracy_difference, right["euler"] - right["adaptive"])
    assert {"accuracy_ci", "accuracy_difference_ci"} <= set(found)
    labels = xr.DataArray([2, 1], dims="sample", coords={"sample": [7, 9]})
    by_label = discretisation(euler, other, step=0.5, target=labels)
    hits = (euler["logits"].argmax("category").values == [2, 1]).mean(1)
    assert np.array_equal(by_label.accuracy.sel(solver="euler"), hits)


# ---- a network whose phases flip


def test_euler_flips_where_the_differential_equation_settles(tmp_path):
    """Untrained, temperature .1: only the step flips and mixes; at .3 solvers agree."""
    convolutions = ["conv1", "conv2", "conv3"]
    scenes = nd.stimuli.multi_digits(6, split="test", seed=0)
    objects = xr.DataArray(scenes.masks.any(1).long().numpy(), dims=("sample", "y", "x"))
    model = gaspnet()
    for temperature in (0.1, 0.3):
        torch.nn.init.constant_(model.log_kappa, math.log(temperature))
        runs = [
            nd.simulate(model, scenes.images, range(16), method=method, rtol=1e-3, atol=1e-3)
            for method in ("euler", "dopri5")
        ]
        found = discretisation(*runs)
        assert found.attrs["step_known"] == 0
        last = found.similarity.isel(time=-1).mean("sample").sel(layer=convolutions)
        gaps = [
            group_synchrony(
                run.layers["conv1"]["phase"].isel(time=-1), objects, unit=("y", "x"),
                background=True,
            ).phase_gap
            for run in runs
        ]  # fmt: skip
        assert (last.sel(solver="adaptive") > 0.98).all() and (gaps[1] > 2.8).all()
        assert (last.sel(solver="adaptive", lag=1) > 0.99).all()
        assert not found.flips.sel(solver="adaptive").any()
        if temperature == 0.1:
            assert last.sel(solver="euler", lag=1).mean() < 0.85
            assert (last.sel(solver="euler", lag=1) < 0.9).all()
            assert (last.sel(solver="euler", lag=2) > 0.95).all()
            flips = found.flips.sel(solver="euler", layer=convolutions)
            assert (flips.mean("sample") > 0.4).all()
            assert gaps[0].mean() < 2.5 and (gaps[1] > 2.9).all()
        else:
            assert (last.sel(solver="euler", lag=1) > 0.99).all() and (gaps[0] > 2.8).all()
            assert not found.flips.any()
    nd.save(found, tmp_path / "found.nc")
    xr.testing.assert_identical(nd.load(tmp_path / "found.nc"), found)


# ---- errors at the door


def test_runs_that_cannot_be_compared():
    run, other = drawn(0), drawn(1)
    with pytest.raises(TypeError, match="a run is a DataTree or a Dataset, got ndarray"):
        discretisation(np.zeros(3), other)
    with pytest.raises(ValueError, match="do not say its step: give step="):
        discretisation(run, other)
    with pytest.raises(ValueError, match="step = -1.0 must be positive"):
        discretisation(run, other, step=-1.0)
    with pytest.raises(ValueError, match="multiples of the step, 0.3"):
        discretisation(run, other, step=0.3)
    with pytest.raises(ValueError, match="the last three a step apart; got 0, 0.5, 1"):
        discretisation(run, other, step=0.25)
    with pytest.raises(ValueError, match="solved by 'dopri5': give the one by 'euler' first"):
        discretisation(
            xr.DataTree(run.to_dataset().assign_attrs(solver="dopri5"), run.children),
            other,
            step=0.5,
        )
    for method in FIXED:
        fixed = xr.DataTree(other.to_dataset().assign_attrs(solver=method), other.children)
        with pytest.raises(ValueError, match=f"second run was solved by '{method}': give one by"):
            discretisation(run, fixed, step=0.5)
    for value in (np.nan, np.inf):
        lost = drawn(1)
        lost.layers["rate"]["state"].values[3, 1, 2] = value
        for pair in ((lost, other), (run, lost)):
            with pytest.raises(ValueError, match="'rate' is not finite in the samples 9: drop"):
                discretisation(*pair, step=0.5)
    with pytest.raises(ValueError, match="'time': 5.*same samples and times"):
        discretisation(run, other.isel(time=slice(5)), step=0.5)
    with pytest.raises(ValueError, match="disagree in sizes or labels"):
        discretisation(run, drawn(1, sample=(7, 8)), step=0.5)
    with pytest.raises(ValueError, match="'conv' does not start alike.*initial_state="):
        discretisation(run, drawn(1, start=98), step=0.5)
    with pytest.raises(ValueError, match="record the same"):
        discretisation(run, other.filter(lambda node: node.name != "rate"), step=0.5)
    with pytest.raises(ValueError, match=r"holds no query \(time, sample, ...\): record it"):
        discretisation(run, other, step=0.5, quantity="query")
    several = xr.Dataset({k: (("time", "sample"), np.zeros((3, 1))) for k in "ab"})
    tree = xr.DataTree.from_dict({"/layers/one": several})
    with pytest.raises(ValueError, match="layer 'one' has a, b; say which to compare"):
        discretisation(tree, tree, step=1.0)
    assert discretisation(tree, tree, step=1.0, quantity="b").layer.values.tolist() == ["one"]


def test_targets_that_do_not_fit():
    runs = with_logits(drawn(0), 3), with_logits(drawn(1), 4)
    with pytest.raises(TypeError, match="target must be a DataArray, got list"):
        discretisation(*runs, step=0.5, target=[1, 2])
    with pytest.raises(ValueError, match="one readout"):
        discretisation(drawn(0), drawn(1), step=0.5, target=xr.DataArray([1, 2], dims="sample"))
    for wrong in ([4, 1], [[0, 0, 0, 0], [1, 0, 0, 0]], [[2, 0, 0, 0], [1, 0, 0, 0]]):
        dims = ("sample", "category")[: np.ndim(wrong)]
        with pytest.raises(ValueError, match="target must be labels among the categories"):
            discretisation(*runs, step=0.5, target=xr.DataArray(wrong, dims=dims))
    with pytest.raises(ValueError, match="target and the readout disagree"):
        discretisation(*runs, step=0.5, target=xr.DataArray([1, 2, 3], dims="sample"))


# ---- the verdict


def square(gaps, base=0.7, seed=0):
    """Accuracies of which Euler minus adaptive are these (trained, seed)."""
    gaps = np.asarray(gaps, dtype=float)
    level = base + 0.05 * np.random.default_rng(seed).normal(size=gaps.shape)
    return xr.DataArray(
        np.stack([level + gaps, level], 1), dims=("trained", "tested", "seed"),
        coords={"trained": ["euler", "rk4"], "tested": ["euler", "adaptive"]},
    )  # fmt: skip


def test_intervals_are_those_of_the_paired_t_test():
    draw = np.random.default_rng(1)
    right = xr.DataArray(
        draw.random((2, 2, 5, 40, 3)) < 0.7,
        dims=("trained", "tested", "seed", "sample", "noise"),
        coords={"trained": ["rk4", "euler"], "tested": ["adaptive", "euler"]},
    )
    found = step_or_dynamics(right, level=0.9)
    gaps = {}
    for noise in range(3):
        for trained in ("euler", "rk4"):
            a, b = (
                right.sel(trained=trained, tested=tested).isel(noise=noise).values.mean(1)
                for tested in ("euler", "adaptive")
            )
            gaps[trained] = a - b
            interval = stats.ttest_rel(a, b).confidence_interval(0.9)
            at = {"trained": trained, "noise": noise}
            assert found.difference_ci.sel(at).values == pytest.approx(list(interval))
            assert found.difference.sel(at).item() == pytest.approx((a - b).mean())
            mean = found.accuracy.sel(at | {"tested": "adaptive"}).item()
            assert mean == pytest.approx(b.mean())
        adapted = stats.ttest_rel(gaps["euler"], gaps["rk4"])
        assert found.co_adaptation_ci.sel(noise=noise).values == pytest.approx(
            list(adapted.confidence_interval(0.9))
        )
        alone = step_or_dynamics(right.isel(noise=noise), level=0.9)
        assert alone.verdict.item() == found.verdict.sel(noise=noise).item()
        assert alone.reason.item() == found.reason.sel(noise=noise).item()


@pytest.mark.parametrize(
    ("gaps", "verdict", "why"),
    [
        ([[-0.20, -0.21, -0.19], [-0.10, -0.11, -0.12]], "step", "on the same side"),
        ([[0.20, 0.21, 0.19], [0.10, 0.11, 0.12]], "step", "on the same side"),
        ([[0.20, 0.21, 0.19], [-0.10, -0.11, -0.12]], "undecided", "on opposite sides"),
        ([[0.20, 0.21, 0.19], [0.01, -0.01, 0.0]], "undecided", "only where trained with euler"),
        ([[0.0, 0.01, -0.01], [0.1, 0.11, 0.12]], "undecided", "only where trained with rk4"),
        ([[0.20, -0.21, 0.1], [0.1, -0.1, 0.0]], "undecided", "neither excludes 0"),
        ([[0.01, -0.01, 0.0], [0.0, 0.005, -0.01]], "dynamics", "both within 0.05 of 0"),
        ([[0.01, 0.011, 0.012], [0.02, 0.021, 0.02]], "dynamics", "both within 0.05 of 0"),
        ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "dynamics", "both within 0.05 of 0"),
        ([[0.004, 0.004, 0.004], [0.0, 0.004, 0.0]], "dynamics", "both within 0.05 of 0"),
        ([[0.1, 0.1, 0.1], [0.1, 0.11, 0.12]], "undecided", "same difference for every seed"),
        ([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]], "undecided", "same difference for every seed"),
        ([[1e-13, 1e-13, 1e-13], [0.1, 0.11, 0.12]], "undecided", "difference for every seed"),
        ([[np.nan, 0.0, 0.0], [0.0, 0.01, 0.0]], "undecided", "a value is missing"),
    ],
)  # fmt: skip
def test_verdicts(gaps, verdict, why, tmp_path):
    found = step_or_dynamics(square(gaps))
    assert found.verdict.item() == verdict
    assert why in found.reason.item()
    assert found.attrs["margin"] == 0.05 and found.attrs["seeds"] == 3
    nd.save(found, tmp_path / "found.nc")
    xr.testing.assert_identical(nd.load(tmp_path / "found.nc"), found)


@pytest.mark.parametrize(
    ("changes", "verdict", "why"),
    [
        ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "no effect of time", "both within 0.05 of 0 as well"),
        ([[0.01, 0.0, 0.01], [0.0, 0.0, -0.01]], "no effect of time", "both within 0.05 of 0"),
        ([[0.01, 0.0, 0.01], [0.1, 0.0, -0.1]], "undecided", "not settled"),
        ([[0.1, 0.0, 0.1], [0.0, 0.0, 0.0]], "undecided", "not settled in both rows"),
        ([[0.2, 0.21, 0.19], [0.1, 0.0, 0.1]], "undecided", "not settled in both rows"),
        ([[0.2, 0.21, 0.19], [-0.1, -0.11, -0.1]], "dynamics", "accuracy in both rows"),
        ([[np.nan, 0.0, 0.1], [0.1, 0.1, 0.1]], "undecided", "a value is missing"),
    ],
)  # fmt: skip
def test_dynamics_is_not_claimed_where_time_changes_nothing(changes, verdict, why):
    """Solvers agree; only the accuracy at t = 0 differs."""
    exact = square([[0.01, -0.01, 0.0], [0.0, 0.005, -0.01]])
    before = exact - xr.DataArray(changes, dims=("trained", "seed"))
    found = step_or_dynamics(exact, before.isel(trained=[1, 0]))
    assert found.verdict.item() == verdict and why in found.reason.item()
    assert step_or_dynamics(exact).verdict.item() == "dynamics"
    for trained, change in zip(("euler", "rk4"), changes, strict=True):
        if np.isfinite(changes).all() and np.ptp(change):
            interval = stats.ttest_1samp(change, 0).confidence_interval()
            assert found.change_ci.sel(trained=trained).values == pytest.approx(list(interval))


@given(st.integers(0, 1000))
def test_what_time_changes_matters_to_the_verdict_of_dynamics_alone(seed):
    draw = np.random.default_rng(seed)
    exact = square(0.1 * draw.normal(size=(2, 4)))
    alone, timed = (
        step_or_dynamics(exact, before, margin=0.1) for before in (None, exact - draw.normal() / 9)
    )
    if alone.verdict != "dynamics":
        assert timed.verdict == alone.verdict and timed.reason == alone.reason
    assert "change" not in alone
    xr.testing.assert_equal(timed[list(alone.drop_vars(["verdict", "reason"]))],
                            alone.drop_vars(["verdict", "reason"]))  # fmt: skip


def test_the_margin_is_what_does_not_matter():
    small = square([[-0.03, -0.031, -0.032], [-0.02, -0.021, -0.02]])
    assert step_or_dynamics(small, margin=0.05).verdict.item() == "dynamics"
    assert step_or_dynamics(small, margin=0.01).verdict.item() == "step"


@given(st.integers(0, 1000), st.floats(0.005, 0.2), st.floats(0.001, 0.1))
def test_the_sign_only_turns_the_intervals(seed, spread, margin):
    gaps = np.random.default_rng(seed).normal(size=(2, 4)) * spread - 0.03
    one, other = (step_or_dynamics(square(sign * gaps), margin=margin) for sign in (1, -1))
    assert one.verdict.item() == other.verdict.item()
    assert one.difference_ci.values == pytest.approx(-other.difference_ci.values[:, ::-1])


def test_a_verdict_of_step_is_rarely_wrong():
    """Without a difference both intervals exclude 0 on one side in 2 (2.5%)^2 of cases."""
    gaps = np.random.default_rng(0).normal(size=(2, 5, 4000)) * 0.1
    exact = xr.DataArray(
        np.stack([gaps, 0 * gaps], 1), dims=("trained", "tested", "seed", "case"),
        coords={"trained": ["euler", "rk4"], "tested": ["euler", "adaptive"]},
    )  # fmt: skip
    found = step_or_dynamics(exact, margin=1e-3)
    assert (found.verdict == "step").mean() == pytest.approx(2 * 0.025**2, abs=2e-3)
    one = (found.difference_ci.prod("ci_bound") > 0).mean()
    assert one == pytest.approx(0.05, abs=0.008)


def test_what_a_verdict_needs():
    exact = square([[0.1, 0.2], [0.1, 0.2]])
    with pytest.raises(ValueError, match="'trained' with the labels euler and rk4; it has euler"):
        step_or_dynamics(exact.sel(trained=["euler"]))
    with pytest.raises(ValueError, match="'tested' with the labels euler and adaptive.*has none"):
        step_or_dynamics(exact.drop_vars("tested"))
    with pytest.raises(ValueError, match="a dimension 'seed' with two or more"):
        step_or_dynamics(exact.isel(seed=[0]))
    with pytest.raises(ValueError, match="margin = 0 must be positive"):
        step_or_dynamics(exact, margin=0)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        step_or_dynamics(exact, level=95)
