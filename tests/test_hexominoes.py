"""Hexominoes and pairs of them: counted, painted and judged by other means."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.stimuli import hexominoes as module
from neurodyn.stimuli.hexominoes import cut_out, deal, free_polyominoes, hexominoes, pairs

TASKS = ("same-different", "spatial-relation")


@pytest.fixture(scope="module")
def data():
    return {task: pairs(task, 2000, seed=5) for task in TASKS}


# ---- the items


def turned(cells):
    """All turns of a bitmap, and of its mirror image, as bytes with the shape."""
    bitmap = np.zeros((6, 6), bool)
    bitmap[tuple(np.array(cells).T)] = True
    for mirrored in (bitmap, bitmap.T):
        found = []
        for k in range(4):
            one = np.rot90(mirrored, k)
            one = one[np.ix_(one.any(1), one.any(0))]
            found.append((one.shape, one.tobytes()))
        yield found


def test_there_are_35_free_60_one_sided_and_216_fixed():
    both = [list(turned(cells)) for cells in free_polyominoes(6)]
    fixed = [one for pair in both for side in pair for one in side]
    one_sided = {min(side) for pair in both for side in pair}
    assert len(both) == 35 and len(one_sided) == 60 and len(set(fixed)) == 216
    # no two of the 35 are the same by any turn or mirror image
    assert len({min(side[0] + side[1]) for side in both}) == 35


def test_all_fixed_hexominoes_are_there_by_another_way_of_growing():
    """Every connected set of six squares, grown without any symmetry."""
    level = {frozenset({(0, 0)})}
    for _ in range(5):
        level = {
            frozenset((a - left, b - low) for a, b in more)
            for cells in level
            for x, y in cells
            for new in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1))
            if new not in cells
            for more in [cells | {new}]
            for left, low in [(min(a for a, _ in more), min(b for _, b in more))]
        }
    ours = {frozenset(one) for cells in free_polyominoes(6) for one in module.orientations(cells)}
    assert ours == level and len(level) == 216


def test_all_but_the_straight_one_are_two_to_five_wide_and_high():
    extent = hexominoes().max(1) + 1
    straight = (extent == 6).any(1)
    assert straight.sum() == 1 and extent[straight].tolist() == [[1, 6]]
    assert extent[~straight].min() == 2 and extent[~straight].max() == 5
    assert (hexominoes().min(1) == 0).all()


@given(seed=st.integers(0, 10**6), train=st.integers(2, 33))
@settings(max_examples=30, deadline=None)
def test_a_deal_takes_every_item_once(seed, train):
    there, new = deal(seed, train)
    assert len(there) == train and sorted(there + new) == list(range(35))
    assert (there, new) == deal(seed, train)


def test_seeds_deal_differently():
    assert len({tuple(deal(seed)[1]) for seed in range(50)}) > 45


# ---- the images


@pytest.mark.parametrize("cell", [1, 2])
def test_an_image_is_the_sum_of_its_items_painted_one_by_one(cell):
    found = pairs("same-different", 300, cell=cell, seed=1)
    for k in range(300):
        ink = np.zeros((50, 80), int)
        for part in range(2):
            cells = hexominoes()[found["item"].values[k, part]]
            bitmap = np.zeros(cells.max(0) + 1, int)
            bitmap[tuple(cells.T)] = 1
            patch = np.kron(bitmap.T, np.ones((cell, cell), int))
            x, y = found.centre.values[k, part] - np.array(patch.shape[::-1]) / 2
            assert x == int(x) and y == int(y) and x >= 0 and y >= 0
            inside = ink[int(y) : int(y) + patch.shape[0], int(x) : int(x) + patch.shape[1]]
            assert inside.shape == patch.shape  # not clipped
            inside += patch
        assert ink.max() == 1 and ink.sum() == 12 * cell**2  # no overlap
        np.testing.assert_array_equal(found.image[k], 255 * (1 - ink))


def test_labels_are_those_of_the_scene(data):
    same = data["same-different"]
    np.testing.assert_array_equal(same.label, same["item"][:, 0] == same["item"][:, 1])
    relation = data["spatial-relation"]
    dx, dy = abs(np.diff(relation.centre.values, axis=1))[:, 0].T
    np.testing.assert_array_equal(relation.label, dy > dx)
    assert (dx != dy).all()
    np.testing.assert_array_equal(relation.label, abs(relation.angle) > np.pi / 4)


def test_places_are_those_said(data):
    scene = data["spatial-relation"]
    ends = scene.centre.values
    half = np.diff(ends, axis=1)[:, 0] / 2
    said = scene.eccentricity.values[:, None] * np.stack(
        [np.cos(scene.angle), np.sin(scene.angle)], 1
    )
    assert abs(half - said).max() <= 0.5  # boxes are moved to whole pixels
    middle = ends.mean(1) - [40, 25]
    assert 3 < abs(middle).max() <= 4.5
    assert scene.eccentricity.min() >= 12 and scene.eccentricity.max() <= 16
    away = abs(np.rad2deg(abs(scene.angle)) - 45)
    assert away.min() >= 5 and away.max() <= 20


def test_without_scatter_there_are_four_places():
    found = pairs("spatial-relation", 200, scatter=0)
    assert len(np.unique(found.angle)) == 4 and len(np.unique(found.eccentricity)) == 1


def test_both_tasks_show_the_same_images_in_every_combination(data):
    same, relation = (data[task] for task in TASKS)
    xr.testing.assert_identical(same.drop_vars("label"), relation.drop_vars("label").assign_attrs(
        same.attrs))  # fmt: skip
    counts = np.bincount(2 * same.label + relation.label)
    assert counts.tolist() == [500, 500, 500, 500]
    for found in (same, relation):
        assert (found.label.values.reshape(-1, 2).sum(1) == 1).all()


@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_an_image_does_not_depend_on_how_many(n, data):
    some = pairs("same-different", n, seed=5)
    xr.testing.assert_identical(some, data["same-different"].isel(sample=slice(n)))


def test_seeds_differ_and_only_chosen_items_come():
    there, new = deal(3)
    found = pairs("same-different", 400, items=new, seed=0)
    assert set(np.unique(found["item"])) == set(new)
    other = pairs("same-different", 400, items=new, seed=1)
    assert (found.image != other.image).any(("y", "x")).mean() > 0.95


def test_windows_hold_one_item_at_its_place(data):
    found = data["same-different"]
    windows = cut_out(found)
    ink = windows == 0
    assert (ink[..., :16].sum((1, 2)) == 6).all() and (ink[..., 16:].sum((1, 2)) == 6).all()
    items = found["item"].values
    parts = np.stack([windows[..., :16], windows[..., 16:]], 1).reshape(-1, 16 * 16)
    for item in range(35):
        assert len(np.unique(parts[items.reshape(-1) == item], axis=0)) == 1
    assert len(np.unique(parts, axis=0)) == 35
    assert (cut_out(pairs("same-different", 100, cell=2)) == 0).sum((1, 2)).tolist() == [48] * 100


# ---- what does not give the label away


def linear(features, labels):
    """The share right, on the second half, of a ridge regression on the first."""
    x = features - features.mean(0)
    x, y = np.hstack([x, np.ones((len(x), 1))]), 2 * labels - 1
    half = len(x) // 2
    weights = np.linalg.solve(x[:half].T @ x[:half] + np.eye(x.shape[1]), x[:half].T @ y[:half])
    return ((x[half:] @ weights > 0) == (y[half:] > 0)).mean()


def test_place_does_not_tell_sameness_nor_identity_the_relation(data):
    same, relation = (data[task].label.values for task in TASKS)
    scene = data["same-different"]
    assert ((scene.image == 0).sum(("y", "x")) == 12).all()
    place = np.hstack([scene.centre.values.reshape(-1, 4), scene.angle.values[:, None]])
    place = np.hstack([place, place**2, place[:, :1] * place[:, 1:]])
    which = np.eye(35)[scene["item"].values].reshape(-1, 70)
    within = 3.5 * 0.5 / 1000**0.5
    assert abs(linear(place, same) - 0.5) < within
    assert abs(linear(which, relation) - 0.5) < within
    assert linear(place, relation) > 0.95  # and the classifier can tell what is there


def test_a_linear_classifier_of_pixels_is_at_chance_on_sameness(data):
    found = pairs("same-different", 4000, seed=9)
    blocks = (found.image.values == 0).reshape(-1, 25, 2, 40, 2).sum((2, 4)).reshape(-1, 1000)
    right = linear(blocks[:, blocks.any(0)].astype(float), found.label.values)
    assert abs(right - 0.5) < 3.5 * 0.5 / 2000**0.5


def test_items_come_equally_often_whether_same_or_not(data):
    found = data["same-different"]
    for part in range(2):
        for label in range(2):
            counts = np.bincount(found["item"][:, part][found.label == label], minlength=35)
            assert ((counts - 1000 / 35) ** 2 / (1000 / 35)).sum() < 75  # p < 1e-4 of chi2(34)


# ---- at the door


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"task": "sameness"}, "task 'sameness' is not one of same-different"),
        ({"n": 0}, "n must be a whole number from 1 up"),
        ({"cell": 3}, "cell must be a whole number from 1 to 2"),
        ({"scatter": 2}, "scatter must be a number from 0 to 1"),
        ({"items": 5}, "items must be a list of two or more of 0 to 34, got 5"),
        ({"items": [3]}, "items must be two or more"),
        ({"items": [3, 3, 4]}, "none of them twice"),
        ({"items": [3, 35]}, "an item must be a whole number from 0 to 34, got 35"),
        ({"seed": -1}, "seed must be a whole number from 0 up"),
    ],
)
def test_errors_at_the_door(wrong, said):
    with pytest.raises(ValueError, match=said):
        pairs(**{"task": "same-different", "n": 4} | wrong)
