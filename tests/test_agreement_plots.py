"""The figures show the numbers they are given: images, titles, lines, histograms."""

import numpy as np
import pytest
import xarray as xr

from neurodyn.analysis.agreement_plots import agreement_maps, phase_layers
from neurodyn.analysis.cluster_histogram import cluster_histogram
from neurodyn.analysis.discretisation import discretisation
from neurodyn.analysis.discretisation_plots import discretisation_figure
from neurodyn.analysis.phase_plots import phase_colours
from neurodyn.analysis.plots import accuracy_over_time
from neurodyn.analysis.seeds import seed_interval
from neurodyn.analysis.step_or_dynamics import step_or_dynamics

IMAGE = xr.DataArray(np.random.default_rng(0).random((3, 8, 8)), dims=("channel", "y", "x"))


def network(quantity, units, times=5, seed=0, amplitude=False):
    """A run with a map and a dense layer."""
    draw = np.random.default_rng(seed)
    tree = {"/": xr.Dataset(coords={"time": np.arange(float(times)), "sample": [3, 4]})}
    for name, dims, shape in (("conv1", ("y", "x"), (8, 8)), ("dense2", ("unit",), (6,))):
        values = draw.normal(size=(times, 2, *shape))
        values[0] = 0.1
        state = xr.DataArray(values, dims=("time", "sample", *dims), attrs={"units": units})
        parts = {quantity: state}
        if amplitude and name == "conv1":
            parts["amplitude"] = abs(state).assign_attrs(units="1")
        tree[f"/layers/{name}"] = xr.Dataset(parts)
    return xr.DataTree.from_dict(tree)


def images(axis):
    (image,) = axis.get_images()
    return image.get_array()


def test_phase_layers():
    run = network("phase", "rad", amplitude=True)
    both = xr.concat([0 * IMAGE, IMAGE], "sample")
    figure = phase_layers(run, both, sample=1, frames=3)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:4] == ["image", "t = 0", "t = 2", "t = 4"]
    assert [axis.get_ylabel() for axis in figure.axes[1:7:3]] == ["conv1", "dense2"]
    assert np.array_equal(images(figure.axes[0]), IMAGE.transpose("y", "x", "channel"))
    assert figure.axes[-1].name == "polar"
    conv, dense = (run.layers[name]["phase"].isel(sample=1) for name in ("conv1", "dense2"))
    last = [conv[-1].values, dense[-1].values]
    mean = np.angle(sum(np.exp(1j * x).mean() for x in last))
    strength = run.layers["conv1"]["amplitude"].isel(sample=1, time=[0, 2, 4]).values
    wanted = phase_colours(np.stack([last[0] - mean] * 3), strength)[-1]
    assert np.allclose(images(figure.axes[3]), wanted)
    assert np.allclose(images(figure.axes[6])[:, 0], phase_colours(last[1] - mean, np.ones(6)))


def test_a_common_shift_is_not_seen():
    run, moved = network("phase", "rad"), network("phase", "rad")
    for layer in ("conv1", "dense2"):
        values = moved.layers[layer]["phase"].values
        values += np.linspace(0, 9, 5).reshape(5, *[1] * (values.ndim - 1))
    pair = [phase_layers(each, IMAGE, frames=5) for each in (run, moved)]
    for one, other in zip(pair[0].axes[:-1], pair[1].axes[:-1], strict=True):
        assert np.abs(images(one) - images(other)).max() < 0.02  # a colour of 256 further


def test_agreement_maps_have_a_scale_for_each_row():
    run = network("agreement", "1")
    figure = agreement_maps(run, IMAGE.isel(channel=0), frames=5)
    for row, layer in enumerate(("conv1", "dense2")):
        values = run.layers[layer]["agreement"].isel(sample=0).values
        for t in range(5):
            axis = figure.axes[1 + 5 * row + t]
            largest = np.abs(values).max()
            assert axis.get_images()[0].get_clim() == (-largest, largest)
            assert np.array_equal(images(axis).ravel(), values[t].ravel())
    figure.savefig("/dev/null", format="png")


def test_what_cannot_be_drawn():
    run = network("phase", "rad")
    with pytest.raises(ValueError, match="frames = 6 must be 2 or more, and no more than"):
        phase_layers(run, IMAGE, frames=6)
    with pytest.raises(ValueError, match="holds no agreement"):
        agreement_maps(run, IMAGE, frames=2)
    deep = xr.Dataset({"phase": (("time", "sample", "channel", "y", "x"), np.zeros((2,) * 5))})
    with pytest.raises(ValueError, match="'a' has the dimensions time, channel, y, x"):
        phase_layers(xr.DataTree.from_dict({"/layers/a": deep}), IMAGE, frames=2)


def test_cluster_histogram_turns_the_background_to_zero():
    """Background at 0, objects at 2 and -2 rad, each sample turned by its own angle."""
    draw = np.random.default_rng(0)
    groups = xr.DataArray(draw.integers(0, 3, (4, 9, 9)), dims=("sample", "y", "x"))
    where = np.array([0.0, 2.0, -2.0])[groups.values] + 0.05 * draw.normal(size=groups.shape)
    turned = where + np.arange(4)[:, None, None]
    phases = xr.DataArray(turned, dims=("sample", "y", "x"), attrs={"units": "rad"})
    phases = xr.concat([phases, phases + 1], "solver").assign_coords(solver=["euler", "adaptive"])
    groups[3] = groups[3].where(groups[3] != 2, -1)  # a sample without object 2
    figure = cluster_histogram(phases, groups, bins=36)
    assert len(figure.axes) == 2
    edges = np.linspace(-np.pi, np.pi, 37)
    for axis in figure.axes:
        labels = [text.get_text() for text in axis.get_legend().get_texts()]
        assert labels == [f"{n}, R = 1.00" for n in ("background", "object 1", "object 2")]
        drawn = [patch.get_data().values for patch in axis.patches[1::2]]
        for g, shares in enumerate(drawn):
            counts = []
            for s in range(4):
                inside = groups[s].values == g
                zero = np.angle(np.exp(1j * where[s][groups[s].values == 0]).mean())
                angles = np.angle(np.exp(1j * (where[s][inside] - zero)))
                counts += [np.histogram(angles, edges)[0] / inside.sum()] if inside.any() else []
            assert len(counts) == (3 if g == 2 else 4)
            assert np.allclose(shares, np.mean(counts, axis=0)) and shares.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="some units belong to the background, group 0"):
        cluster_histogram(phases, groups.where(groups != 0, -1))
    with pytest.raises(ValueError, match="at most one dimension more"):
        cluster_histogram(phases.expand_dims(time=2), groups)


def found():
    runs = [network("phase", "rad", seed=seed) for seed in (0, 1)]
    return discretisation(*runs, step=1.0, step_known=False)


def verdicts():
    values = 0.7 + 0.1 * np.random.default_rng(0).random((2, 2, 2, 3))
    return step_or_dynamics(
        xr.DataArray(
            values, dims=("trained", "tested", "scene", "seed"),
            coords={"trained": ["euler", "rk4"], "tested": ["euler", "adaptive"],
                    "scene": ["two", "three"]},
        )
    )  # fmt: skip


def test_discretisation_figure_shows_similarity_distance_and_verdict(tmp_path):
    data, decided = found(), verdicts()
    maps = {
        solver: network("phase", "rad", seed=seed).layers["conv1"]["phase"].isel(sample=0)
        for seed, solver in enumerate(("euler", "adaptive"))
    }
    figure = discretisation_figure(data, decided, phases=maps)
    left, middle, right = figure.axes[:3]
    share = float(data.flips.sel(solver="euler").mean())
    assert left.get_title() == f"euler, chosen step 1\n{share:.0%} flip"
    lines = left.get_lines()[1:]
    mean = data.similarity.mean("sample").sel(solver="euler")
    wanted = [mean.sel(layer=layer, lag=lag) for layer in ("conv1", "dense2") for lag in (1, 2)]
    for line, values in zip(lines, wanted, strict=True):
        assert np.array_equal(line.get_ydata(), values, equal_nan=True)
    distance = data.distance.mean("sample").sel(layer="dense2")
    assert np.array_equal(right.get_lines()[1].get_ydata(), distance)
    assert right.get_ylabel() == "distance (rad)"
    assert [axis.get_title() for axis in figure.axes[3:7]] == [f"t = {t}" for t in range(1, 5)]
    bars = figure.axes[-1]
    assert [text.get_text() for text in bars.get_yticklabels()] == [
        f"{scene}\n{decided.verdict.sel(scene=scene).item()}" for scene in ("two", "three")
    ]
    first = decided.difference_ci.sel(scene="two", trained="euler")
    assert np.array_equal(bars.get_lines()[1].get_xdata(), first)
    figure.savefig(tmp_path / "figure.png")


def test_phases_of_a_dense_layer_are_strips():
    """Sixteen units at fixed phases that turn as a whole: one colour each at all four times."""
    phase = np.linspace(-3, 3, 16)
    turning = phase + np.linspace(0, 2, 5)[:, None]
    strip = xr.DataArray(turning, dims=("time", "unit"), coords={"time": np.arange(5.0)})
    figure = discretisation_figure(found(), phases={"euler": strip, "adaptive": strip + 1})
    wanted = phase_colours(phase - np.angle(np.exp(1j * phase).mean()), np.ones(16))
    maps = figure.axes[3:11]
    for axis in maps:
        assert images(axis).shape == (16, 1, 3)
        assert np.abs(images(axis)[:, 0] - wanted).max() < 0.02  # a colour of 256 further
    assert [axis.get_title() for axis in maps] == ["t = 1", "t = 2", "t = 3", "t = 4", *[""] * 4]
    assert [axis.get_ylabel() for axis in maps[::4]] == ["euler", "adaptive"]
    deep = strip.expand_dims(sample=2, y=3)
    with pytest.raises(ValueError, match=r"strips \(time, unit\) of one layer and sample; got sam"):
        discretisation_figure(found(), phases={"euler": deep, "adaptive": deep})


def test_the_title_says_whose_step_it_is():
    runs = [network("phase", "rad", seed=seed) for seed in (0, 1)]
    for config, given, word in (
        ("{}", None, "published"),
        ('{"published_step_known": false}', None, "chosen"),
        ('{"published_step_known": false}', True, "published"),
        ('{"published_step_known": true}', None, "published"),
        ("{}", False, "chosen"),
    ):
        runs[0].attrs["config"] = config
        data = discretisation(*runs, step=1.0, step_known=given)
        title = discretisation_figure(data).axes[0].get_title()
        assert title.startswith(f"euler, {word} step 1\n")


def test_parts_of_the_figure_can_be_left_out():
    data, decided = found(), verdicts()
    assert len(discretisation_figure(data).axes) == 3
    alone = discretisation_figure(data, decided.isel(scene=0))
    assert len(alone.axes) == 4
    word = alone.axes[3].get_yticklabels()[0].get_text()
    assert word == decided.verdict.isel(scene=0).item()
    phase = network("phase", "rad").layers["conv1"]["phase"].isel(sample=0)
    with pytest.raises(ValueError, match="those by euler and adaptive, of 4 times or more"):
        discretisation_figure(data, phases={"euler": phase})
    with pytest.raises(ValueError, match="of 4 times or more"):
        discretisation_figure(data, phases={"euler": phase, "adaptive": phase[:3]})


def test_accuracy_over_time_of_ways_over_training_seeds():
    values = np.random.default_rng(0).random((2, 3, 7, 4, 6))
    share = xr.DataArray(
        values, dims=("scene", "noise", "way", "seed", "time"),
        coords={"scene": ["two", "three"], "noise": ["clean", "a", "b"],
                "way": list("abcdefg"), "time": np.arange(6.0)},
    )  # fmt: skip
    data = seed_interval(share).rename(mean="accuracy", mean_ci="accuracy_ci")
    figure = accuracy_over_time(
        data.stack(panel=("scene", "noise")), None, line="way", panel="panel"
    )
    shown = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in shown][::5] == ["two, clean", "three, b"]
    lines = {line.get_label(): line for line in shown[5].get_lines()}
    assert list(lines) == list("abcdefg")
    looks = {(line.get_color(), str(line.get_linestyle())) for line in lines.values()}
    assert len(looks) == 7
    wanted = share.sel(scene="three", noise="b", way="f").mean("seed")
    assert np.allclose(lines["f"].get_ydata(), wanted)
    single = accuracy_over_time(data.sel(noise="a"), None, line="way", panel="scene")
    assert [axis.get_title() for axis in single.axes] == ["two", "three"]
    with pytest.raises(ValueError, match="needs a variable 'accuracy_ci' with dims"):
        accuracy_over_time(data.drop_vars("accuracy_ci"), None, line="way", panel="scene")
