"""Accuracy, paired differences and their figure: against counts, theory and brute force."""

from itertools import product

import numpy as np
import pytest
import xarray as xr

from neurodyn import analysis
from neurodyn.analysis import report
from neurodyn.analysis.accuracy import bootstrap_interval, resampling_weights


def bernoulli(share: float, *, images: int = 400, seeds: int = 3, seed: int = 0) -> xr.DataArray:
    draw = np.random.default_rng(seed)
    return xr.DataArray(
        draw.random((seeds, images, 2)) < share, dims=("seed", "sample", "time")
    ).assign_coords(time=[0.0, 1.0])


def test_accuracy_is_the_share_of_right_answers_whatever_the_order_of_dims() -> None:
    correct = bernoulli(0.7)
    result = analysis.accuracy(correct)
    assert np.allclose(result.accuracy, correct.values.mean((0, 1)))
    turned = analysis.accuracy(correct.transpose("time", "sample", "seed"))
    xr.testing.assert_equal(result, turned)
    assert result.accuracy_ci.ci_bound.values.tolist() == ["lower", "upper"]
    assert (result.accuracy_ci.sel(ci_bound="lower") <= result.accuracy).all()
    for variable in result.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)
    # one seed is the same as no such dimension
    alone = correct.isel(seed=0)
    xr.testing.assert_equal(analysis.accuracy(alone), analysis.accuracy(alone.expand_dims("seed")))


def test_bootstrap_standard_error_is_that_of_a_mean() -> None:
    """sd of the resampled means = sd of the values / sqrt(N), in expectation over resamples."""
    values = np.random.default_rng(1).random((5, 300))
    means = values @ resampling_weights(300, 20_000, seed=2).T
    exact = values.std(axis=1) / np.sqrt(300)
    assert np.allclose(means.std(axis=1), exact, rtol=5 / np.sqrt(2 * 20_000))


def test_interval_is_the_normal_one_for_many_images() -> None:
    correct = bernoulli(0.8, images=1000, seeds=1)
    interval = analysis.accuracy(correct, resamples=4000).accuracy_ci
    p = correct.values.mean((0, 1))
    half = 1.959964 * np.sqrt(p * (1 - p) / 1000)
    expected = np.stack([p - half, p + half], axis=-1)
    assert np.allclose(interval, expected, atol=0.1 * half.max() + 1 / 1000)


def test_three_images_against_every_possible_resample() -> None:
    values = np.array([0.0, 0.25, 1.0])
    exact = np.sort([values[list(pick)].mean() for pick in product(range(3), repeat=3)])
    every = np.stack([np.bincount(pick, minlength=3) / 3 for pick in product(range(3), repeat=3)])
    for level in (0.5, 0.8, 0.95):
        expected = np.quantile(exact, [(1 - level) / 2, (1 + level) / 2])
        assert np.allclose(bootstrap_interval(values, every, level), expected)
    # the drawn resamples are those 27 with equal chance
    drawn = values @ resampling_weights(3, 27_000, seed=0).T
    for mean, count in zip(*np.unique(exact.round(9), return_counts=True), strict=True):
        seen = np.isclose(drawn, mean).sum()
        assert abs(seen - 1000 * count) < 5 * np.sqrt(1000 * count)


def test_seeds_of_an_image_stay_together() -> None:
    """Copies of a seed carry no new information: the interval must not shrink."""
    once = bernoulli(0.6, seeds=1)
    copies = xr.concat([once] * 9, "seed")
    xr.testing.assert_allclose(analysis.accuracy(copies), analysis.accuracy(once))


def test_paired_difference_of_constructed_conditions() -> None:
    base = bernoulli(0.5, images=500).isel(time=0, drop=True)
    better = base.copy()
    better[:, :50] = True  # changes about half of the first 50 images
    worse = base.copy()
    worse[:, 400:] = False
    correct = xr.concat([base, better, base, worse], "solver").assign_coords(
        solver=["reference", "better", "same", "worse"]
    )
    result = analysis.paired_difference(correct, "solver", "reference")
    assert result.solver.values.tolist() == ["better", "same", "worse"]
    change = (better.astype(float) - base.astype(float)).mean().item()
    assert result.difference.sel(solver="better").item() == pytest.approx(change)
    low, high = result.difference_ci.sel(solver="better").values
    assert 0 < low < change < high
    assert (result.difference_ci.sel(solver="same") == 0).all()
    assert (result.difference_ci.sel(solver="worse") < 0).all()
    # paired: much narrower than from two independent intervals
    own = analysis.accuracy(correct.sel(solver=["better"])).accuracy_ci
    assert high - low < 0.5 * float(np.ptp(own.values))


def test_pairing_is_by_resample() -> None:
    """The interval of the difference is that of the differences of the resampled accuracies."""
    correct = xr.concat(
        [bernoulli(0.5, seed=3).isel(time=0), bernoulli(0.7, seed=4).isel(time=0)], "solver"
    ).assign_coords(solver=["a", "b"])
    weights = resampling_weights(400, 2000, seed=5)
    a, b = (weights @ correct.sel(solver=s).values.mean(0) for s in "ab")
    expected = np.quantile(b - a, [0.025, 0.975])
    result = analysis.paired_difference(correct, "solver", "a", seed=5)
    assert np.allclose(result.difference_ci.sel(solver="b"), expected)


def test_same_seed_same_interval() -> None:
    correct = bernoulli(0.7)
    xr.testing.assert_identical(
        analysis.accuracy(correct, seed=3), analysis.accuracy(correct, seed=3)
    )
    assert not analysis.accuracy(correct, seed=3).equals(analysis.accuracy(correct, seed=4))


def test_errors_say_what_is_allowed() -> None:
    correct = bernoulli(0.7)
    with pytest.raises(ValueError, match="needs a dimension 'sample', it has seed, image, time"):
        analysis.accuracy(correct.rename(sample="image"))
    with pytest.raises(ValueError, match="True and False"):
        analysis.accuracy(correct.astype(float).where(correct))
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        analysis.accuracy(correct, level=95)
    with pytest.raises(ValueError, match="resamples must be 100 or more"):
        analysis.accuracy(correct, resamples=1)
    with pytest.raises(
        ValueError, match="dim 'solver' is not a labelled dimension; use one of: time"
    ):
        analysis.paired_difference(correct, "solver", "a")
    with pytest.raises(ValueError, match="reference 7 is not in time: 0.0, 1.0"):
        analysis.paired_difference(correct, "time", 7)


def studied() -> xr.Dataset:
    draw = np.random.default_rng(0)
    noise = ["clean", "gaussian 0.2", "gaussian 0.4", "salt_pepper 0.1"]
    correct = xr.DataArray(
        draw.random((4, 3, 50, 6)) < 0.8,
        dims=("noise", "solver", "sample", "time"),
        coords={
            "noise": noise,
            "noise_type": ("noise", [n.split()[0] for n in noise]),
            "noise_level": ("noise", [0.0, 0.2, 0.4, 0.1]),
            "solver": ["feedforward", "predify", "ode"],
            "time": np.arange(6.0),
        },
    )
    correct.loc[{"solver": "feedforward"}] = correct.sel(solver="feedforward", time=0)
    difference = analysis.paired_difference(correct, "solver", "feedforward")
    return xr.merge([analysis.accuracy(correct), difference], join="left", combine_attrs="drop")


def test_figure_has_a_panel_for_each_noise_and_a_line_for_each_solver() -> None:
    data = studied()
    figure = analysis.accuracy_over_time(data)
    panels = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert list(panels) == [
        "clean",
        "Gaussian, σ = 0.2",
        "Gaussian, σ = 0.4",
        "salt and pepper, p = 0.1",
    ]
    axis = panels["Gaussian, σ = 0.4"]
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert list(lines) == ["feedforward", "predify", "ode"]
    expected = data.accuracy.sel(noise="gaussian 0.4", solver="ode").values
    assert np.array_equal(lines["ode"].get_ydata(), expected)
    spans = [np.ptp(a.get_ylim()) for a in panels.values()]
    assert np.allclose(spans, spans[0])
    assert figure._supxlabel.get_text() == "time (published steps)"  # type: ignore[attr-defined]
    data["time"].attrs["units"] = "ms"
    assert analysis.accuracy_over_time(data)._supxlabel.get_text() == "time (ms)"  # type: ignore[attr-defined]
    with pytest.raises(
        ValueError, match="needs a variable 'accuracy' with dims noise, solver, time"
    ):
        analysis.accuracy_over_time(data.isel(solver=0))


def test_words_follow_from_the_numbers() -> None:
    """Better, worse and unclear conditions are called so, in the table and in the sentences."""
    dims = ("noise", "solver", "time")
    start = np.full((3, 3), 0.5)
    end = np.array([[0.5, 0.7, 0.6], [0.5, 0.4, 0.4], [0.5, 0.52, 0.5]])
    accuracy = xr.DataArray(
        np.stack([start, end + 0.01 * (end > 0.6), end], axis=-1),
        dims=dims,
        coords={
            "noise": ["a", "b", "c"],
            "solver": ["feedforward", "predify", "ode"],
            "time": [0.0, 1.0, 2.0],
        },
    )
    difference = accuracy - accuracy.sel(solver="feedforward")
    bounds = xr.DataArray([-0.05, 0.05], dims="ci_bound", coords={"ci_bound": ["lower", "upper"]})
    apart = difference.sel(solver="ode") - difference.sel(solver="predify")
    result = xr.Dataset(
        {
            "accuracy": accuracy,
            "difference": difference,
            "difference_ci": difference + bounds,
            "ode_minus_predify": apart,
            "ode_minus_predify_ci": apart + bounds,
        }
    )
    rows = report.table(result)
    assert [row[-1] for row in rows[1:]] == [
        "higher",
        "higher",
        "lower",
        "lower",
        "no reliable difference",
        "no reliable difference",
    ]
    assert rows[1][:6] == ["a", "predify", "0.500", "0.700", "0.710", "1"]
    said = "\n".join(report.findings(result))
    assert "predify at t=2 is more accurate than feedforward under: a (+0.200)." in said
    assert "predify at t=2 is less accurate than feedforward under: b (-0.100)." in said
    assert "ode at t=2 does not differ reliably from feedforward" in said
    assert (
        "predify ends below its own peak under: a (-0.010 since t=1), b (-0.100 since t=0)." in said
    )
    assert "(ode minus predify) under: a (-0.100); the largest difference is 0.100." in said
    text = report.aligned(rows).splitlines()
    assert text[1].index("predify") == text[0].index("solver") and len(text) == 7
