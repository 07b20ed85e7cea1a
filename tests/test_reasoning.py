"""Learning curves, gains, contrasts, groups and criteria: against brute force and exact results."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.cluster import hierarchy

from neurodyn.analysis.adjusted_rand import adjusted_rand, compare_groupings
from neurodyn.analysis.cluster_bootstrap import bootstrap_means
from neurodyn.analysis.generalisation import generalisation
from neurodyn.analysis.reasoning import (
    area_under_curve,
    attention_gain,
    curve_area,
    sample_efficiency,
)
from neurodyn.analysis.reasoning_clusters import clades, cluster_problems, cut
from neurodyn.analysis.reasoning_contrast import relation_contrast
from neurodyn.analysis.reasoning_criterion import (
    first_run,
    images_to_criterion,
    learning_to_criterion,
    run_by_chance,
    waiting_time,
)
from neurodyn.analysis.reasoning_tags import KIM2018, RELATION, problem_tags
from neurodyn.stimuli.svrt import PROBLEMS

SIZES = np.array([500, 1000, 5000, 10000, 15000])


def accuracies(problems=3, seeds=4, seed=0, models=("plain", "spatial", "feature")):
    values = np.random.default_rng(seed).uniform(0.5, 1, (problems, len(models), len(SIZES), seeds))
    return xr.DataArray(
        values, dims=("problem", "model", "images", "seed"),
        coords={"problem": range(1, problems + 1), "model": list(models), "images": SIZES},
    )  # fmt: skip


# Curves, areas, gains


def test_area_is_the_mean_of_the_interpolated_curve_over_log_size():
    values = np.random.default_rng(0).random((4, 5))
    x = np.linspace(np.log(500), np.log(15000), 200_001)
    fine = [np.interp(x, np.log(SIZES), row) for row in values]
    middle = [(row[1:] + row[:-1]).mean() / 2 for row in fine]
    assert np.allclose(area_under_curve(values, SIZES), middle, atol=1e-6)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 100))
def test_area_of_a_line_over_log_size_is_its_middle_whatever_the_unit(first, last, unit):
    x = np.log(SIZES / 500) / np.log(30)
    line = first + (last - first) * x
    assert np.isclose(area_under_curve(line, unit * SIZES), (first + last) / 2)


def test_curves_have_students_interval_over_seeds_in_any_order_of_sizes():
    values = accuracies()
    found = sample_efficiency(values.isel(images=[3, 0, 4, 2, 1]), level=0.9)
    assert found.images.values.tolist() == SIZES.tolist()
    expected = stats.ttest_1samp(values.values, 0, axis=-1).confidence_interval(0.9)
    assert np.allclose(found.accuracy_ci, np.stack(expected, -1))
    areas = area_under_curve(np.moveaxis(values.values, 2, -1), SIZES)
    assert np.allclose(found.area, areas.mean(-1))
    expected = stats.ttest_1samp(areas, 0, axis=-1).confidence_interval(0.9)
    assert np.allclose(found.area_ci, np.stack(expected, -1))
    for variable in found.variables.values():
        assert {"long_name", "units"} <= set(variable.attrs) or variable.dims == ("ci_bound",)


def test_right_and_wrong_of_images_give_what_their_shares_give():
    right = np.random.default_rng(1).random((2, 5, 3, 40)) < 0.7
    correct = xr.DataArray(
        right, dims=("problem", "images", "seed", "sample"), coords={"images": SIZES}
    )
    xr.testing.assert_allclose(
        sample_efficiency(correct), sample_efficiency(correct.mean("sample"))
    )


def test_a_missing_network_leaves_a_gap_and_no_number():
    values = accuracies()
    values[0, 1, 2, 3] = np.nan
    found = sample_efficiency(values)
    assert np.isnan(found.accuracy[0, 1, 2]) and np.isnan(found.area_ci[0, 1]).all()
    assert found.accuracy.isnull().sum() == found.area.isnull().sum() == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.drop_vars("images"), "needs labels"),
        (lambda x: x.isel(images=0), "images"),
        (lambda x: x.isel(images=[0]), "two or more"),
        (lambda x: x.assign_coords(images=[0, 1, 2, 3, 4]), "above 0"),
        (lambda x: x.assign_coords(images=[1, 1, 2, 3, 4]), "different"),
        (lambda x: x.isel(seed=[0]), "two or more"),
    ],
)
def test_curves_refuse_what_is_none(change, said):
    with pytest.raises(ValueError, match=said):
        sample_efficiency(change(accuracies()))


def test_gain_is_paired_over_seeds():
    values = accuracies()
    found = attention_gain(values, "plain")
    assert found.model.values.tolist() == ["spatial", "feature"]
    for model in ("spatial", "feature"):
        a, b = (values.sel(model=name).values for name in (model, "plain"))
        paired = stats.ttest_rel(a, b, axis=-1)
        assert np.allclose(found.gain.sel(model=model), (a - b).mean(-1))
        expected = np.stack(paired.confidence_interval(), -1)
        assert np.allclose(found.gain_ci.sel(model=model), expected)
    areas = curve_area(values)
    a, b = areas.sel(model="feature").values, areas.sel(model="plain").values
    expected = np.stack(stats.ttest_rel(a, b, axis=-1).confidence_interval(), -1)
    assert np.allclose(found.area_gain_ci.sel(model="feature"), expected)


def test_what_all_networks_of_a_seed_have_in_common_does_not_widen_the_gain():
    values = accuracies()
    common = xr.DataArray(np.random.default_rng(2).normal(size=4), dims="seed")
    shifted = attention_gain(values + common, "plain")
    xr.testing.assert_allclose(shifted.gain_ci, attention_gain(values, "plain").gain_ci)


def test_gain_refuses_an_unknown_reference():
    with pytest.raises(ValueError, match="plain, spatial, feature"):
        attention_gain(accuracies(), "resnet")
    with pytest.raises(ValueError, match="two or more models"):
        attention_gain(accuracies(models=("plain",)), "plain")


# Tags, and the contrast of same-different and spatial relation


def test_each_problem_has_one_tag_of_each_kind():
    for kinds in (RELATION, KIM2018):
        assert sorted(p for there in kinds.values() for p in there) == list(range(1, 24))
    tags = problem_tags()
    differ = (tags.kim2018 == "spatial relation") & tags.needs_shape_comparison
    assert tags.problem[differ].values.tolist() == [6, 17]
    with pytest.raises(ValueError, match="25"):
        problem_tags([1, 25])


def test_tags_follow_from_the_kinds_of_shapes_that_the_stimuli_are_drawn_with():
    """Told apart by outline: kinds differ between classes, or a repeated one is beside another."""
    for problem, tag in problem_tags().relation.to_series().items():
        rule = PROBLEMS[problem]
        none, one = rule.kinds
        sized = isinstance(rule.radii, dict)  # then kinds differ in size
        mixed = not sized and len(set(one)) > 1 and len(set(one)) < len(one)
        if problem == 16:  # one outline, and its mirror image in one class
            assert tag == "shape"
        elif none != one:
            assert tag == ("shape and position" if problem == 8 else "shape")
        else:
            assert tag == ("shape and position" if mixed else "position"), problem


def test_contrast_against_every_deal_of_the_tag():
    values = accuracies(problems=7).mean("images")
    tag = xr.DataArray([1, 0, 0, 1, 0, 1, 0], {"problem": values.problem}, "problem") == 1
    found = relation_contrast(values, tag.isel(problem=[4, 5, 6, 0, 1, 2, 3]))
    has = tag.values
    by_seed = values.values[has].mean(0) - values.values[~has].mean(0)
    expected = stats.ttest_1samp(by_seed, 0, axis=-1).confidence_interval()
    assert np.allclose(found.difference_ci, np.stack(expected, -1))
    mean, deals = values.mean("seed").values, []
    for some in combinations(range(7), 3):
        others = [p for p in range(7) if p not in some]
        deals.append(mean[list(some)].mean(0) - mean[others].mean(0))
    higher = (np.array(deals) >= found.difference.values - 1e-12).mean(0)
    lower = (np.array(deals) <= found.difference.values + 1e-12).mean(0)
    assert np.allclose(found.p_value, np.minimum(1, 2 * np.minimum(higher, lower)))


def test_contrast_refuses_tags_that_are_not_true_or_false():
    tag = problem_tags().needs_shape_comparison
    accuracy = xr.DataArray(np.ones((23, 2)), {"problem": tag.problem.values}, ("problem", "seed"))
    for other in (tag.where(tag), tag.astype(str)):
        with pytest.raises(ValueError, match="a tag must be True or False"):
            relation_contrast(accuracy, other)


def test_contrast_refuses_one_kind_of_problems_and_problems_without_a_tag():
    values = accuracies(problems=4)
    tag = xr.DataArray([True, True, False, False], {"problem": [1, 2, 3, 4]}, "problem")
    with pytest.raises(ValueError, match="two problems or more"):
        relation_contrast(values.sel(problem=[1, 2, 3]), tag)
    with pytest.raises(ValueError, match=r"\[4\] have no tag"):
        relation_contrast(values, tag[:3])
    values[0] = np.nan
    assert relation_contrast(values, tag).p_value.isnull().all()


# Groupings


def rand_by_pairs(a, b):
    """Return the adjusted Rand index from the pairs, one by one."""
    pairs = list(combinations(range(len(a)), 2))
    first = [a[i] == a[j] for i, j in pairs]
    second = [b[i] == b[j] for i, j in pairs]
    both, p, q = sum(x and y for x, y in zip(first, second, strict=True)), sum(first), sum(second)
    chance = p * q / len(pairs)
    return 1.0 if (p + q) / 2 == chance else (both - chance) / ((p + q) / 2 - chance)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=2, max_size=12))
def test_rand_index_against_all_pairs(labels):
    a, b = (np.array(x) for x in zip(*labels, strict=True))
    index = adjusted_rand(a, b)
    assert np.isclose(index, rand_by_pairs(a, b))
    assert np.isclose(index, adjusted_rand(b, a))
    assert np.isclose(index, adjusted_rand(7 - 2 * a, b))  # groups by other names
    assert adjusted_rand(a, a) == 1


def test_rand_index_is_zero_on_average_over_all_deals():
    a, b = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2, 2])
    deals = np.array(list(permutations(a)))
    assert np.isclose(adjusted_rand(deals, b).mean(), 0)


def test_rand_index_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    a, b = np.random.default_rng(0).integers(4, size=(2, 10, 23))
    expected = [metrics.adjusted_rand_score(*pair) for pair in zip(a, b, strict=True)]
    assert np.allclose(adjusted_rand(a, b), expected)


def test_p_of_one_odd_problem_out_of_sixteen():
    """The odd one is hit by one deal in sixteen, whatever else there is."""
    group = xr.DataArray(np.arange(16) == 3, {"problem": np.arange(16)}, "problem")
    other = xr.Dataset({"same": group, "not": ("problem", np.arange(16) == 5)}, group.coords)
    found = compare_groupings(group, other, permutations=4999)
    error = (1 / 16 * 15 / 16 / 4999) ** 0.5
    assert found.adjusted_rand.sel(tag="same") == 1
    assert abs(found.p_value.sel(tag="same") - 1 / 16) < 4 * error
    assert found.p_value.sel(tag="not") == 1
    assert found.tag.values.tolist() == ["same", "not"]


def test_groups_of_few_problems_are_refused():
    group = problem_tags().relation
    with pytest.raises(ValueError, match="15"):
        compare_groupings(group[:14], problem_tags())
    with pytest.raises(ValueError, match="15"):
        cluster_problems(accuracies(problems=14))
    with pytest.raises(ValueError, match=r"\[23\] have no tag"):
        compare_groupings(group, problem_tags(range(1, 23)))
    with pytest.raises(ValueError, match="22 problems have no group"):
        compare_groupings(group.where(group.problem == 1), problem_tags())


def below_each(node):
    """Return the sets of leaves of scipy's tree."""
    inner = [] if node.is_leaf() else [*below_each(node.left), *below_each(node.right)]
    return [*inner, frozenset(node.pre_order())]


def test_clades_and_cuts_are_those_of_scipy():
    for seed in range(5):
        linkage = hierarchy.linkage(np.random.default_rng(seed).random((17, 3)), "ward")
        below = clades(linkage)
        ours = {frozenset(np.flatnonzero(row).tolist()) for row in below}
        assert ours == set(below_each(hierarchy.to_tree(linkage)))
        for groups in (2, 3, 5, 17):
            expected = hierarchy.fcluster(linkage, groups, "maxclust")
            group = cut(below, groups)
            assert adjusted_rand(group, expected) == 1
            assert group[0] == 0 and sorted(set(group.tolist())) == list(range(groups))


def planted(noise, problems=16, seeds=5, seed=0):
    """Return accuracies of problems of two groups, in turns."""
    values = accuracies(problems, seeds, seed)
    draw = np.random.default_rng(seed).normal(size=values.shape)
    return values.copy(
        data=0.6 + 0.3 * (values.problem.values % 2)[:, None, None, None] + noise * draw
    )


def test_planted_groups_are_found_and_stable_and_noise_is_not():
    found = cluster_problems(planted(0.01), resamples=200)
    odd = found.problem.values % 2
    assert adjusted_rand(found.group.values, odd) == 1
    assert (found.together == (odd[:, None] == odd)).all()
    large = found.linkage.sel(column="problems") >= 8
    assert large.sum() == 3 and (found.support[large.values] == 1).all()
    noise = cluster_problems(planted(0.01) * 0 + accuracies(16, 5), resamples=200)
    assert noise.support[:-1].mean() < 0.5
    assert noise.support[-1] == 1  # all problems
    truth = xr.Dataset({"odd": ("problem", odd)}, {"problem": found.problem.values})
    assert compare_groupings(found.group, truth).p_value.item() < 0.001
    assert compare_groupings(noise.group, truth).p_value.item() > 0.05


@pytest.mark.parametrize("method", ["ward", "average", "complete"])
def test_tree_and_support_against_a_count_of_sets(method):
    values = planted(0.1)
    found = cluster_problems(values, groups=3, method=method, resamples=150, seed=4)
    vectors = values.mean("seed").values.reshape(16, -1)
    expected = hierarchy.linkage(vectors, method)
    assert np.allclose(found.linkage[:, 2], expected[:, 2])
    drawn = bootstrap_means(values, clusters=["seed"], resamples=150, seed=4)
    trees = [hierarchy.linkage(drawn[..., b].values.reshape(16, -1), method) for b in range(150)]
    sets = [set(below_each(hierarchy.to_tree(tree))) for tree in trees]
    for merge, support in zip(clades(found.linkage.values)[16:], found.support, strict=True):
        members = frozenset(np.flatnonzero(merge).tolist())
        assert np.isclose(support, np.mean([members in there for there in sets]))
    groups = np.array([hierarchy.fcluster(tree, 3, "maxclust") for tree in trees])
    assert np.allclose(found.together, (groups[:, :, None] == groups[:, None]).mean(0))


def test_groups_do_not_depend_on_the_order_of_problems_or_dimensions():
    values = planted(0.1)
    found = cluster_problems(values, resamples=100)
    order = np.random.default_rng(0).permutation(16)
    other = cluster_problems(values.isel(problem=order).transpose(), resamples=100)
    assert adjusted_rand(found.group.values[order], other.group.values) == 1
    assert np.allclose(np.sort(found.support), np.sort(other.support))
    assert np.allclose(found.together.values[np.ix_(order, order)], other.together)


def test_clusters_refuse_gaps_and_unknown_methods():
    values = planted(0.1)
    with pytest.raises(ValueError, match="ward, average, complete"):
        cluster_problems(values, method="median")
    with pytest.raises(ValueError, match="from 2 to 16"):
        cluster_problems(values, groups=1)
    with pytest.raises(ValueError, match="whole number from 2 to 16"):
        cluster_problems(values, groups=2.5)
    values[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 1200 accuracies are missing"):
        cluster_problems(values)


# Learning to criterion


def test_guessing_waits_for_254_trials():
    for run in range(1, 12):
        assert waiting_time(np.array(0.5), run) == 2 ** (run + 1) - 2
    right = np.random.default_rng(0).random((1500, 4000)) < 0.5
    ended = first_run(right, 7)
    assert (ended > 0).all()
    assert abs(ended.mean() - 254) < 4 * ended.std() / 1500**0.5


@pytest.mark.parametrize("p", [0.3, 0.5, 0.9])
def test_waiting_time_solves_the_chain_of_runs(p):
    """E_j = 1 + p E_{j+1} + (1 - p) E_0 with j right so far, E_7 = 0."""
    chain = np.eye(7) - p * np.eye(7, k=1)
    chain[:, 0] -= 1 - p
    assert np.isclose(waiting_time(np.array(p)), np.linalg.solve(chain, np.ones(7))[0])


@pytest.mark.parametrize(("p", "run"), [(0.5, 3), (0.8, 4), (0.3, 1)])
def test_runs_by_chance_against_every_sequence(p, run):
    every = np.array(list(product([False, True], repeat=11)))
    chance = np.where(every, p, 1 - p).prod(1)
    ended = first_run(every, run)
    expected = [chance[(ended > 0) & (ended <= t)].sum() for t in range(12)]
    assert np.allclose(run_by_chance(11, run, p), expected)


def test_waiting_time_is_the_sum_of_those_still_waiting():
    assert np.isclose((1 - run_by_chance(8000)).sum(), 254)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 7))
def test_first_run_against_a_count(answers, run):
    length, expected = 0, 0
    for t, right in enumerate(answers, start=1):
        length = length + 1 if right else 0
        if length == run:
            expected = t
            break
    assert first_run(np.array(answers), run) == expected


def test_learners_beside_people():
    rng = np.random.default_rng(0)
    right = rng.random((2, 3, 60)) < np.array([0.95, 0.5])[:, None, None]
    right[1, 0] = np.arange(60) % 7 > 0  # never seven in a row
    correct = xr.DataArray(right, {"problem": [4, 20]}, ("problem", "seed", "trial"))
    found = learning_to_criterion(correct.transpose("trial", "problem", "seed"))
    assert found.trials.dims == ("problem", "seed")
    assert np.isnan(found.trials[1, 0]) and np.isnan(found.p_value[1, 0])
    assert np.array_equal(found.trials.fillna(0), first_run(right))
    assert np.array_equal(found.examples + 7, found.trials, equal_nan=True)
    t = int(found.trials[0, 1])
    assert np.isclose(found.p_value[0, 1], run_by_chance(t)[t])
    assert np.array_equal(found.human_examples, [np.nan, 6], equal_nan=True)
    assert found.attrs["chance_trials"] == 254
    assert "recalled" in found.attrs["note"]
    assert "human_examples" not in learning_to_criterion(correct.sel(problem=4))
    assert learning_to_criterion(correct.isel(trial=slice(5))).trials.isnull().all()
    with pytest.raises(ValueError, match="whole number"):
        learning_to_criterion(correct, run=0)
    with pytest.raises(ValueError, match="whole number"):
        learning_to_criterion(correct, run=True)
    assert learning_to_criterion(correct, run=np.int64(7)).identical(found)
    with pytest.raises(ValueError, match="True and False"):
        learning_to_criterion(correct * 0.5)


def test_images_to_criterion_refuses_per_cent():
    with pytest.raises(ValueError, match="from 0 to 1"):
        images_to_criterion(100 * accuracies())


def test_images_to_criterion_against_a_fine_grid():
    values = accuracies(problems=6)
    values[0] = 0.95
    values[1] = 0.6
    found = images_to_criterion(values)
    fine = np.geomspace(500, 15000, 20_001)
    for place in np.ndindex(6, 3, 4):
        p, m, s = place
        curve = np.interp(np.log(fine), np.log(SIZES), values.values[p, m, :, s])
        there = np.flatnonzero(curve**7 >= 0.5)
        expected = fine[there[0]] if there.size else np.inf
        assert np.isclose(found.images_needed.values[place], expected, rtol=1e-3)
    assert (found.images_needed[0] == 500).all() and np.isinf(found.images_needed[1]).all()
    assert np.array_equal(found.median_images, np.median(found.images_needed, axis=-1))
    values[2, 0, 0, 0] = np.nan
    assert np.isnan(images_to_criterion(values).median_images[2, 0])


# New items


def test_gap_between_items_is_paired_over_seeds():
    right = np.random.default_rng(0).random((2, 2, 5, 50)) < 0.8
    correct = xr.DataArray(
        right, dims=("task", "items", "seed", "sample"),
        coords={"task": ["SD", "SR"], "items": ["new", "train"]},
    )  # fmt: skip
    found = generalisation(correct)
    new, trained = np.moveaxis(right.mean(-1), 1, 0)
    paired = stats.ttest_rel(trained, new, axis=-1)
    assert np.allclose(found.gap, (trained - new).mean(-1))
    assert np.allclose(found.gap_ci, np.stack(paired.confidence_interval(), -1))
    assert found["items"].values.tolist() == ["train", "new"]
    assert np.allclose(found.accuracy.sel(items="new"), new.mean(-1))
    with pytest.raises(ValueError, match="train and new"):
        generalisation(correct.assign_coords(items=["old", "new"]))


def test_a_small_rise_that_does_not_pass_is_no_number_of_images():
    accuracy = xr.DataArray(
        [[[[0.5]], [[0.5 + 1e-6]]]], dims=("problem", "images", "model", "seed"),
        coords={"problem": [1], "images": [500, 4000], "model": ["a"]},
    )  # fmt: skip
    assert np.isinf(images_to_criterion(accuracy).images_needed).all()
