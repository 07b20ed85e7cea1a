"""The figures of visual reasoning show the numbers they are given."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from scipy.cluster import hierarchy

from neurodyn.analysis.attention_map import attention_map, attention_maps
from neurodyn.analysis.reasoning import attention_gain, sample_efficiency
from neurodyn.analysis.reasoning_clusters import cluster_problems
from neurodyn.analysis.reasoning_plots import efficiency_curves, gain_dots, size_names
from neurodyn.analysis.reasoning_tags import problem_tags
from neurodyn.analysis.reasoning_tree import problem_tree

SIZES = [500, 1000, 5000, 10000, 15000]


def accuracies(problems):
    values = np.random.default_rng(0).uniform(0.5, 1, (problems, 3, 5, 3))
    return xr.DataArray(
        values, dims=("problem", "model", "images", "seed"),
        coords={"problem": range(1, problems + 1), "model": ["plain", "spatial", "feature"],
                "images": SIZES},
    )  # fmt: skip


def test_curves_show_means_and_bands_over_log_size():
    found = sample_efficiency(accuracies(9))
    figure = efficiency_curves(found)
    shown = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in shown] == [f"problem {p}" for p in range(1, 10)]
    assert len(figure.axes) == 12
    axis = shown[3]
    assert axis.get_xscale() == "log"
    chance, *lines = axis.lines
    assert chance.get_ydata()[0] == 0.5
    for model, line, band in zip(found.model.values, lines, axis.collections, strict=True):
        one = found.sel(problem=4, model=model)
        assert line.get_label() == model
        assert np.allclose(line.get_xydata(), np.stack([SIZES, one.accuracy], 1))
        edge = band.get_paths()[0].vertices
        assert np.isclose(edge[:, 1].min(), one.accuracy_ci.min())
        assert np.isclose(edge[:, 1].max(), one.accuracy_ci.max())
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines]
    assert len(set(looks)) == 3
    with pytest.raises(ValueError, match="seed too"):
        efficiency_curves(found.assign(accuracy=accuracies(9)))
    with pytest.raises(ValueError, match="model"):
        efficiency_curves(found.sel(model="plain"))


def test_names_of_sizes_keep_their_distance():
    assert size_names(np.array([500, 600])) == ["0.5k", "0.6k"]
    assert size_names(np.array([100, 110, 1000]), gap=0) == ["100", "110", "1k"]
    assert size_names(np.array([100, 110, 1000])) == ["100", "", "1k"]


def test_dots_are_sorted_by_the_gain_and_told_apart_by_tag():
    found = attention_gain(accuracies(7), "plain")
    tag = problem_tags().needs_shape_comparison
    figure = gain_dots(found, tag)
    order = found.problem.values[np.argsort(found.area_gain.mean("model").values)]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [str(problem) for problem in order]
    for axis, model in zip(figure.axes, ["spatial", "feature"], strict=True):
        one = found.sel(model=model, problem=order)
        assert axis.get_title() == model
        for container, which in zip(axis.containers, [True, False], strict=True):
            here = np.flatnonzero(tag.sel(problem=order) == which)
            line, _, (bars,) = container
            assert np.allclose(line.get_xydata(), np.stack([one.area_gain[here], here], 1))
            ends = np.array([segment[:, 0] for segment in bars.get_segments()])
            assert np.allclose(ends, one.area_gain_ci[here])
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "shapes must be compared"
    assert "plain" in figure.get_supxlabel()
    alone = gain_dots(found.sel(model=["spatial"]))
    assert len(alone.axes) == 1 and not alone.legends


def test_tree_has_the_places_of_scipys_and_rows_in_its_order():
    found = cluster_problems(accuracies(16), groups=3, resamples=100)
    tags = problem_tags(range(1, 17))
    figure = problem_tree(found, tags[["relation", "kim2018"]])
    tree, heat, strip, bar = figure.axes
    plain = hierarchy.dendrogram(found.linkage.values, no_plot=True)
    labels = [text.get_text() for text in tree.get_yticklabels()]
    assert labels == [str(found.problem.values[k]) for k in plain["leaves"]]
    ours = sorted((line.get_xydata()[:, ::-1] * [10, 1] + [5, 0]).tolist() for line in tree.lines)
    theirs = [np.stack(place, 1) for place in zip(plain["icoord"], plain["dcoord"], strict=True)]
    assert np.allclose(np.sort(ours, 1), np.sort(sorted(x.tolist() for x in theirs), 1))
    support = [int(text.get_text()) for text in tree.texts if text.get_text() != "problem"]
    large = (found.linkage.sel(column="problems") > 2) & (found.support.merge < 14)
    assert sorted(support) == sorted(np.round(100 * found.support[large.values].values))
    rows = found.accuracy.transpose("problem", "model", "images").values.reshape(16, -1)
    assert np.allclose(heat.get_images()[0].get_array(), rows[plain["leaves"]])
    assert [text.get_text() for text in heat.texts] == ["plain", "spatial", "feature"]
    assert bar.get_ylabel() == "accuracy"
    kinds = list(dict.fromkeys(tags.relation.values.tolist()))
    faces = [patch.get_facecolor()[:3] for patch in strip.patches[:16]]
    colours = [to_rgb(colour) for colour in ("#0072B2", "#D55E00", "#009E73")]
    expected = [colours[kinds.index(x)] for x in tags.relation.values[plain["leaves"]]]
    assert np.allclose(faces, expected)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"1: relation", "2: kim2018", "mixed", "position"} <= set(legend)
    assert len(problem_tree(found).axes) == 3


def test_map_shows_attention_beside_that_of_an_even_one():
    rng = np.random.default_rng(0)
    image = (rng.random((32, 64)) > 0.1).astype(float)
    weights = rng.random((2, 4, 8))
    weights /= weights.sum((1, 2), keepdims=True)
    figure = attention_map(image, weights, np.array([[0, 0], [3, 7]]))
    first, *maps, bar = figure.axes
    assert np.array_equal(first.get_images()[0].get_array(), image)
    for axis, one, place in zip(maps, weights, [(3.5, 3.5), (59.5, 27.5)], strict=True):
        heat, ink = axis.get_images()
        assert np.allclose(heat.get_array(), one * 32) and np.isclose(heat.get_array().mean(), 1)
        assert heat.get_clim() == (0, 32 * weights.max())
        assert tuple(heat.get_extent()) == (-0.5, 63.5, 31.5, -0.5)
        assert np.allclose(ink.get_array()[..., 3], 1 - image)
        assert np.allclose(axis.lines[0].get_xydata(), place)
    assert bar.get_ylabel() == "attention (1: even)"
    assert attention_map(image, weights[:1]).axes[1].get_title() == "attention"
    assert len(attention_map(image, np.full((7, 2, 2), 0.25)).axes) == 13  # two rows, and the bar


def test_map_refuses_what_is_none():
    even = np.full((1, 2, 2), 0.25)
    with pytest.raises(ValueError, match="sum to 1"):
        attention_map(np.ones((4, 4)), 2 * even)
    with pytest.raises(ValueError, match="from 0 to 1"):
        attention_map(np.full((4, 4), 255), even)
    with pytest.raises(ValueError, match="shapes"):
        attention_map(np.ones((4, 4)), even[0])
    with pytest.raises(ValueError, match="targets"):
        attention_map(np.ones((4, 4)), even, np.zeros((2, 2)))


def scenes(problems=(4, 2)):
    rng = np.random.default_rng(0)
    weights = rng.random((2, 2, 3, 2, 4, 8))  # seed, problem, sample, target, row, column
    weights /= weights.sum((-2, -1), keepdims=True)
    return xr.Dataset(
        {
            "attention": (("seed", "problem", "sample", "target", "row", "column"), weights),
            "image": (("problem", "sample", "y", "x"), rng.choice([0, 255], (2, 3, 32, 64))),
            "label": (("problem", "sample"), [[1, 0, 1], [0, 0, 1]]),
            "centre": (("problem", "sample", "target", "axis"), rng.uniform(0, 32, (2, 3, 2, 2))),
        },
        {"problem": list(problems), "axis": ["x", "y"], "seed": [0, 1]},
    )


def test_maps_are_of_the_first_scene_of_each_class():
    data = scenes()
    *axes, bar = attention_maps(data).axes
    places = [(4, 1), (4, 0), (2, 0), (2, 2)]  # problem, and sample: of class 0, of class 1
    for (problem, sample), pair in zip(
        places, (axes[k : k + 2] for k in (0, 2, 4, 6)), strict=True
    ):
        one = data.sel(problem=problem).isel(sample=sample)
        for target, axis in enumerate(pair):
            heat, ink = axis.get_images()
            wanted = 32 * one.attention.isel(target=target).mean("seed")
            assert np.allclose(heat.get_array(), wanted)
            assert np.allclose(ink.get_array()[..., 3], 1 - one.image / 255)
            assert np.allclose(axis.lines[0].get_xydata(), one.centre.isel(target=target))
    assert len({axis.get_images()[0].get_clim() for axis in axes}) == 1
    assert [axis.get_ylabel() for axis in axes[::4]] == ["problem 4", "problem 2"]
    assert bar.get_ylabel() == "attention (1: even)"


def test_maps_refuse_what_is_lacking():
    data = scenes()
    with pytest.raises(ValueError, match="label must have the axes"):
        attention_maps(data.drop_vars("label"))
    with pytest.raises(ValueError, match="attention must have the axes"):
        attention_maps(data.expand_dims(model=["one"]))
    for wrong, said in (
        ({"attention": -data.attention}, "attention must be 0 or more and sum to 1"),
        ({"attention": data.attention.where(data.seed > 0)}, "sum to 1 for each target"),
        ({"label": data.label + 1}, "labels that are 0 or 1"),
    ):
        with pytest.raises(ValueError, match=said):
            attention_maps(data.assign(wrong))
    with pytest.raises(ValueError, match="needs the labels x and y"):
        attention_maps(data.drop_vars("axis"))
    with pytest.raises(ValueError, match="needs a target or more"):
        attention_maps(data.isel(target=[]))
    with pytest.raises(ValueError, match="problem 4 must have a scene of either class"):
        attention_maps(data.isel(sample=[0, 2]))
