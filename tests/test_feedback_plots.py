"""The figures of feedback show the numbers they are given."""

import numpy as np
import pytest
import xarray as xr

from neurodyn.analysis.feedback_plots import (
    mce_curve,
    rates_by_noise,
    reconstruction_strip,
    reliance_map,
)
from neurodyn.analysis.seeds import seed_interval

KINDS = ["clean", "gaussian", "gaussian", "salt_pepper"]
LEVELS = [0.0, 0.2, 0.4, 0.3]
NOISE = ["clean", "gaussian 0.2", "gaussian 0.4", "salt_pepper 0.3"]


def rates(seeds=3):
    values = np.random.default_rng(0).random((4, 2, 4, seeds)) / 3
    values[1, 1] = np.nan
    return xr.DataArray(
        values, dims=("term", "layer", "noise", "seed"),
        coords={
            "term": ["feedforward", "feedback", "memory", "error"], "layer": ["low", "high"],
            "noise": NOISE, "noise_type": ("noise", KINDS), "noise_level": ("noise", LEVELS),
        },
    )  # fmt: skip


def test_reliance_map_shows_means_by_type_of_noise():
    reliance = rates().sel(term="feedback")
    figure = reliance_map(reliance)
    clean, gaussian, salt, bar = figure.axes
    assert [axis.get_title() for axis in (clean, gaussian, salt)] == [
        "clean", "Gaussian", "salt and pepper",
    ]  # fmt: skip
    shown = np.ma.filled(gaussian.get_images()[0].get_array(), np.nan)
    assert np.allclose(shown, reliance[:, 1:3].mean("seed"), equal_nan=True)
    assert [text.get_text() for text in gaussian.get_xticklabels()] == ["0.2", "0.4"]
    assert [text.get_text() for text in gaussian.texts] == [
        f"{value:.2f}"[1:] for value in reliance[0, 1:3].mean("seed").values
    ]  # none in the layer without feedback
    low, high = gaussian.get_ylim()
    assert low < high  # the lowest layer at the bottom
    assert {axis.get_images()[0].get_clim() for axis in (clean, gaussian, salt)} == {(0.0, 1.0)}
    assert bar.get_ylabel() == "reliance on feedback"


def test_rates_by_noise_shows_means_and_intervals():
    rate = rates()
    figure = rates_by_noise(rate)
    assert len(figure.axes) == 2 * 2 * 2
    low = figure.axes[0]
    line, caps, (bars,) = low.containers[0]
    summary = seed_interval(rate.sel(term="feedforward", layer="low", noise=NOISE[:3]))
    assert np.allclose(line.get_ydata(), summary["mean"])
    assert np.allclose(line.get_xdata(), LEVELS[:3])
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert np.allclose(ends, summary.mean_ci)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["low", "high"]
    error = figure.axes[2].containers[0][0]
    assert np.allclose(error.get_ydata(), rate[3, 0, :3].mean("seed"))
    alone = rates_by_noise(rate.isel(seed=[0]))
    assert np.allclose(alone.axes[0].containers[0][0].get_ydata(), rate[0, 0, :3, 0])
    with pytest.raises(ValueError, match="noise_level"):
        rates_by_noise(rate.drop_vars("noise_level"))


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstruction_strip_shows_the_images(channels):
    draw = np.random.default_rng(0)
    series = xr.DataArray(
        draw.normal(0.5, 0.5, size=(4, 2, 5, channels, 6, 6)),
        dims=("noise", "sample", "time", "channel", "y", "x"),
        coords={"noise": NOISE, "time": np.arange(5.0), "noise_type": ("noise", KINDS),
                "noise_level": ("noise", LEVELS)},
    )  # fmt: skip
    figure = reconstruction_strip(series, series.isel(time=0, drop=True), sample=1, frames=3)
    assert len(figure.axes) == 4 * 4
    assert [axis.get_title() for axis in figure.axes[:4]] == ["stimulus", "t = 0", "t = 2", "t = 4"]
    assert figure.axes[4].get_ylabel() == "Gaussian,\nσ = 0.2"
    (image,) = figure.axes[7].get_images()
    wanted = series[1, 1, 4].transpose("y", "x", "channel").values.clip(0, 1).squeeze()
    assert np.array_equal(image.get_array(), wanted)


def test_mce_curve_shows_the_band():
    mce = xr.DataArray(
        [[1.0, 0.9, 0.85], [1.0, 1.1, 1.2]], dims=("solver", "time"),
        coords={"solver": ["euler", "dopri5"], "time": [0.0, 1.0, 2.0]},
    )  # fmt: skip
    bounds = xr.concat([mce - 0.05, mce + 0.1], dim="ci_bound")
    bounds = bounds.assign_coords(ci_bound=["lower", "upper"])
    found = xr.Dataset({"mce": mce, "mce_ci": bounds}, attrs={"reference": "start"})
    (axis,) = mce_curve(found, line="solver").axes
    level, *lines = axis.get_lines()
    assert np.allclose(level.get_ydata(), 1)
    assert [line.get_label() for line in lines] == ["euler", "dopri5"]
    assert np.allclose(lines[1].get_ydata(), mce[1])
    corners = axis.collections[0].get_paths()[0].vertices
    assert np.isclose(corners[:, 1].min(), 0.8) and np.isclose(corners[:, 1].max(), 1.1)
    (axis,) = mce_curve(found.isel(solver=0).assign_attrs(reference="AlexNet")).axes
    assert len(axis.get_lines()) == 1 and axis.get_ylabel() == "mCE, 1 = AlexNet"
    with pytest.raises(ValueError, match="which is the line"):
        mce_curve(found)
