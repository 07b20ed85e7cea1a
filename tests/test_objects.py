"""Scenes of several objects: overlap, masks and places against slow loops that share no code.

Silent failures these would catch: an object cut off at the edge, a mask shifted against its image,
an overlap measured on the wrong box, scenes that change with n, two objects of one category.
"""

import gzip
import math
import pickle
import time
from itertools import combinations
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

import neurodyn as nd
from neurodyn.stimuli import Items, SceneStream, multi_digits, objects, read_cifar
from neurodyn.stimuli.recipe import BLOCK, turn


def crop(image):
    """The smallest part of an image that holds all its pixels above 0."""
    y, x = np.nonzero(image)
    return image[y.min() : y.max() + 1, x.min() : x.max() + 1]


def shared(a, b):
    """The number of pixels that two boxes (top, left, height, width) have in common."""
    cells = [
        {(y, x) for y in range(t, t + h) for x in range(left, left + w)} for t, left, h, w in (a, b)
    ]
    return len(cells[0] & cells[1])


def whole_set(split="train"):
    images, labels = nd.stimuli.digits(split, size=28)
    return images[:, 0].numpy(), labels.numpy()


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_overlap": 0.3}, {"overlap": 0.6}, {"objects": 5}, {"split": "test", "objects": 1}],
)
@pytest.mark.parametrize("antialias", [False, True])
def test_images_and_masks_are_those_of_a_plain_loop(settings, antialias):
    scenes = multi_digits(40, **settings, antialias=antialias, threshold=0.3, seed=5)
    images, labels = whole_set(settings.get("split", "train"))
    number = settings.get("objects", 2)
    side = math.ceil(50 * math.sqrt(number / 2))
    for i in range(40):
        canvases = torch.zeros(number, 1, side, side)
        for g, (item, (top, left, height, width)) in enumerate(
            zip(scenes.items[i].tolist(), scenes.boxes[i].tolist(), strict=True)
        ):
            assert labels[item] == scenes.labels[i, g]
            object_ = crop(images[item])
            assert object_.shape == (height, width)  # whole: nothing of it is cut off
            part = canvases[g, 0, top : top + height, left : left + width]
            part += torch.from_numpy(object_)  # fails where the box is not within the canvas
        small = interpolate(canvases, 32, mode="bilinear", antialias=antialias)[:, 0]
        mixed = canvases.sum(0, keepdim=True).clamp(max=1)
        image = interpolate(mixed, 32, mode="bilinear", antialias=antialias)[0]
        assert torch.allclose(scenes.images[i], image, atol=2e-6)
        unsure = (small - 0.3).abs() < 1e-5
        assert torch.equal(scenes.masks[i] | unsure, (small > 0.3) | unsure)


def test_without_resize_every_grey_value_is_kept():
    scenes = multi_digits(300, objects=3, size=62, side=62, threshold=0, seed=2)
    images, _ = whole_set()
    grey = torch.from_numpy(images)[scenes.items].sum((1, 2, 3))
    assert torch.allclose(scenes.images.sum((1, 2, 3)), grey, rtol=1e-5)
    assert torch.equal(scenes.masks.any(1, keepdim=True), scenes.images > 0)
    lit = torch.from_numpy((images > 0).sum((1, 2)))[scenes.items]
    assert torch.equal(scenes.masks.sum((2, 3)), lit)


@pytest.mark.parametrize("count", range(1, 10))
def test_all_numbers_of_objects_are_made(count):
    scenes = multi_digits(60, objects=count, seed=3)
    assert scenes.images.shape == (60, 1, 32, 32) and scenes.images.dtype == torch.float32
    assert scenes.masks.shape == (60, count, 32, 32) and scenes.masks.dtype == torch.bool
    assert scenes.labels.dtype == torch.int64 and 0 <= scenes.images.min()
    assert scenes.images.max() <= 1
    assert scenes.masks.any((2, 3)).all()  # every object is seen
    side = math.ceil(50 * math.sqrt(count / 2))
    assert (scenes.boxes[..., :2] >= 0).all()
    assert (scenes.boxes[..., :2] + scenes.boxes[..., 2:] <= side).all()
    for labels, target, boxes in zip(
        scenes.labels.tolist(), scenes.target.tolist(), scenes.boxes.tolist(), strict=True
    ):
        assert len(set(labels)) == count
        assert target == [float(category in labels) for category in range(10)]
        assert not any(shared(a, b) for a, b in combinations(boxes, 2))


@given(limit=st.floats(0, 0.5), count=st.integers(2, 4), seed=st.integers(0, 2**70))
def test_no_two_boxes_overlap_more_than_allowed(limit, count, seed):
    for boxes in multi_digits(25, objects=count, max_overlap=limit, seed=seed).boxes.tolist():
        for first, second in combinations(boxes, 2):
            assert shared(first, second) <= limit * 2 * first[2] * first[3] + 1e-9


@given(aim=st.floats(0, 1), count=st.integers(2, 4), seed=st.integers(0, 1000))
def test_overlap_that_is_aimed_at_is_met(aim, count, seed):
    for boxes in multi_digits(25, objects=count, overlap=aim, seed=seed).boxes.tolist():
        for g in range(1, count):
            most = max(
                shared(boxes[k], boxes[g]) / min(h * w for _, _, h, w in (boxes[k], boxes[g]))
                for k in range(g)
            )
            assert abs(most - aim) <= 0.05 + 1e-9


def same(a, b):
    return all(
        torch.equal(getattr(a, name), getattr(b, name))
        for name in ("images", "masks", "labels", "target", "boxes", "items")
    )


def part(scenes, a, b):
    names = ("images", "masks", "labels", "target", "boxes", "items")
    return SimpleNamespace(**{name: getattr(scenes, name)[a:b] for name in names})


@given(m=st.integers(1, 300), start=st.integers(0, 300), seed=st.integers(0, 5))
def test_a_scene_does_not_depend_on_how_many_there_are(m, start, seed):
    settings = {"background": "1/f", "noise": 0.2, "scale": (0.8, 1.2), "seed": seed}
    if seed not in KNOWN:
        KNOWN[seed] = multi_digits(600, **settings)
    assert same(multi_digits(m, start=start, **settings), part(KNOWN[seed], start, start + m))


KNOWN: dict = {}


def test_seeds_splits_and_blocks_differ_and_global_randomness_is_left_alone():
    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    one = multi_digits(2 * BLOCK, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    others = [part(one, BLOCK, 2 * BLOCK), multi_digits(BLOCK, seed=1)]
    others.append(multi_digits(BLOCK, split="test"))
    for other in others:
        for name in ("labels", "boxes"):
            equal = (getattr(one, name)[:BLOCK] == getattr(other, name)[:BLOCK]).float().mean()
            assert equal < 0.3  # chance is 0.1 for a label


def test_noise_background_and_size_leave_the_objects_where_they_are():
    plain = multi_digits(50)
    for settings in ({"noise": 0.5}, {"background": "1/f"}, {"size": 40}, {"antialias": True}):
        other = multi_digits(50, **settings)
        assert torch.equal(other.boxes, plain.boxes) and torch.equal(other.items, plain.items)
    noisy = multi_digits(300, noise=0.3)
    z = noisy.images - multi_digits(300).images
    assert abs(z.std() - 0.3) < 5 * 0.3 / (2 * z.numel()) ** 0.5
    assert torch.equal(noisy.masks[:50], plain.masks)
    assert not torch.allclose(z[0], z[BLOCK], atol=1e-3)  # blocks do not share their noise
    salted = multi_digits(50, noise=1.0, noise_type="salt_pepper").images
    assert set(salted.unique().tolist()) == {0.0, 1.0}


def test_categories_items_and_places_are_drawn_evenly():
    n = 5120
    scenes = multi_digits(n, seed=4)
    counts = scenes.labels.flatten().bincount(minlength=10)
    assert (counts - n / 5).abs().max() < 5 * math.sqrt(n / 5)
    pairs = (scenes.labels[:, 0] * 10 + scenes.labels[:, 1]).bincount(minlength=100)
    assert (pairs > 0).sum() == 90 and (pairs[pairs > 0] - n / 90).abs().max() < 5 * (n / 90) ** 0.5
    assert len(scenes.items.unique()) > 0.6 * 8000  # 8000 (1 - exp(-1.28)) = 5776 are expected
    single = multi_digits(n, objects=1, seed=4).boxes.double()
    # the first object lies anywhere: its place and a random part of a pixel are uniform
    jitter = torch.rand(n, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    place = (single[..., :2] + jitter) / (36 - single[..., 2:] + 1)
    assert (place.mean((0, 1)) - 0.5).abs().max() < 5 / math.sqrt(12 * n)
    tenths = (place * 10).long().clamp(max=9).flatten(0, 1)
    for axis in (0, 1):
        assert (tenths[:, axis].bincount() - n / 10).abs().max() < 5 * math.sqrt(n / 10)
    centres = scenes.boxes[..., :2] + scenes.boxes[..., 2:] / 2 - 25  # of pairs: by symmetry
    assert centres.mean((0, 1)).abs().max() < 5 * 12 / math.sqrt(2 * n)


def test_where_tries_fail_every_place_that_fits_is_as_likely():
    # a broad bar at the top or the bottom leaves the second 1 to 6 of 36 places, else none
    bars = Items(np.ones((2, 30, 65)), [0, 1])
    boxes = multi_digits(8192, objects=2, items=bars, side=65, size=16, seed=0).boxes
    first, second = boxes[:, 0, 0], boxes[:, 1, 0]
    assert (boxes[..., 1] == 0).all()
    free = {y: [z for z in range(36) if abs(z - y) >= 30] for y in range(36)}
    for y, places in free.items():
        found = second[first == y].bincount(minlength=36)
        total = found.sum().item()
        assert set(found.nonzero().flatten().tolist()) == set(places)
        for z in places:
            share = 1 / len(places)
            assert abs(found[z] - total * share) <= 5 * math.sqrt(total * share * (1 - share))


def test_objects_of_ones_own():
    squares = np.zeros((6, 10, 14), np.uint8)
    squares[:, 2:8, 3:9] = 255
    own = Items(squares, [0, 3, 3, 12, 12, 12])
    scenes = multi_digits(200, objects=3, items=own, side=50, size=50)
    assert (scenes.boxes[..., 2:] == 6).all()
    assert (scenes.masks.sum((2, 3)) == 36).all()
    assert scenes.target.shape == (200, 13)  # as many as the largest label says
    assert (scenes.target.sum(0).nonzero().flatten() == torch.tensor([0, 3, 12])).all()
    drawn = scenes.items[scenes.labels == 12].bincount()[3:].float()
    assert (drawn - 200 / 3).abs().max() < 5 * math.sqrt(200 / 3)
    floats = Items((squares / 255).astype(np.float64), [0, 3, 3, 12, 12, 12])
    assert same(scenes, multi_digits(200, objects=3, items=floats, side=50, size=50))
    assert "6 images of 10 x 14" in scenes.config["items"]


def test_scale_and_rotation():
    bar = np.zeros((1, 21, 21), np.float32)
    bar[0, 10, 10:] = 1  # from the middle to the right
    up = turn(torch.from_numpy(bar)[None], np.ones((1, 1)), np.full((1, 1), np.pi / 2), 1)[0, 0]
    assert torch.allclose(up[:11, 10], torch.ones(11), atol=1e-4)
    assert abs(up.sum() - 11) < 1e-3
    blob = np.exp(-(np.hypot(*np.mgrid[-13:14, -13:14]) ** 2) / 18)
    items = Items(blob[None].astype(np.float32), [0])
    for scale in (0.5, 0.8, 1.0, 2.0):
        grey = multi_digits(20, objects=1, items=items, side=70, size=70, scale=scale)
        area = grey.images.sum((1, 2, 3))
        assert torch.allclose(area, torch.full((20,), blob.sum() * scale**2), rtol=0.02)
    scenes, (images, _) = multi_digits(500, scale=(0.7, 1.2)), whole_set()
    heights = [len(crop(images[item])) for item in scenes.items.flatten()]
    sizes = scenes.boxes[..., 2].flatten() / torch.tensor(heights)
    assert 0.95 < sizes.mean() < 1.02  # interpolation adds up to a pixel of 20
    assert 0.65 < sizes.min() < 0.8 and 1.15 < sizes.max() < 1.35
    ranged = multi_digits(64, rotation=(30, 30))
    assert same(ranged, multi_digits(64, rotation=30)) and not same(ranged, multi_digits(64))
    turned = multi_digits(64, rotation=90, size=50, antialias=True)
    upright = multi_digits(64, size=50, antialias=True)
    swapped = turned.boxes[..., [3, 2]] - upright.boxes[..., 2:]
    assert torch.equal(turned.items, upright.items) and swapped.abs().max() <= 1


def test_noise_behind_falls_as_one_over_f():
    empty = Items(np.full((1, 2, 2), 1 / 255, np.float32), [0])
    noise = multi_digits(512, objects=1, items=empty, size=64, side=64, background="1/f").images
    assert noise.amin((1, 2, 3)).max() < 0.01 and noise.amax((1, 2, 3)).min() > 0.99
    power = torch.fft.rfft2(noise[:, 0]).abs().pow(2).mean(0)[0, 1:32]
    slope = np.polyfit(np.log(np.arange(1, 32)), power.log().numpy(), 1)[0]
    assert abs(slope + 2) < 0.1  # of power; -1 of amplitude


def test_crops_lie_behind_the_objects():
    generator = torch.Generator().manual_seed(0)
    pictures = [
        torch.randint(0, 256, (3, h, w), dtype=torch.uint8, generator=generator)
        for h, w in ((32, 32), (40, 50))
    ]
    bare = multi_digits(30, seed=1).images
    scenes = multi_digits(30, seed=1, background=pictures, contrast=0.5)
    assert scenes.images.shape == (30, 3, 32, 32)
    windows = [p.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4) for p in pictures]
    windows = torch.cat([w.reshape(-1, 3, 32, 32) for w in windows]).float() / 255
    used = set()
    for image, objects_ in zip(scenes.images, bare, strict=True):
        off = ((objects_ + 0.5 * windows).clamp(max=1) - image).abs().amax((1, 2, 3))
        assert off.min() < 1e-6
        used.add(off.argmin().item())
    assert 0 in used and len(used) > 10
    floats = multi_digits(30, seed=1, background=[p / 255 for p in pictures], contrast=0.5)
    assert torch.allclose(floats.images, scenes.images, atol=1e-6)
    stacked = multi_digits(30, seed=1, background=pictures[0][None])
    assert torch.allclose(stacked.images, (bare + pictures[0] / 255).clamp(max=1), atol=1e-6)


def test_files_on_disk(tmp_path):
    images, labels = whole_set()
    grey, names = (images[:50] * 255).round().astype(np.uint8), labels[:50].astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=grey, labels=names)
    heads = [b"\0\0\x08\x03" + b"".join(k.to_bytes(4, "big") for k in (50, 28, 28))]
    heads.append(b"\0\0\x08\x01" + (50).to_bytes(4, "big"))
    (tmp_path / "images.gz").write_bytes(gzip.compress(heads[0] + grey.tobytes()))
    (tmp_path / "labels").write_bytes(heads[1] + names.tobytes())
    for items in (
        nd.stimuli.read_items(tmp_path / "own.npz"),
        nd.stimuli.read_items(tmp_path / "images.gz", tmp_path / "labels"),
    ):
        assert (items.images == grey).all() and (items.labels == names).all()
    with pytest.raises(ValueError, match="give the IDX file of the labels"):
        nd.stimuli.read_items(tmp_path / "images.gz")
    with pytest.raises(ValueError, match="leave out labels"):
        nd.stimuli.read_items(tmp_path / "own.npz", tmp_path / "labels")
    (tmp_path / "short").write_bytes(heads[1] + names[1:].tobytes())
    with pytest.raises(ValueError, match="no.* whole IDX file"):
        nd.stimuli.read_items(tmp_path / "images.gz", tmp_path / "short")
    np.savez(tmp_path / "x.npz", x=grey)
    with pytest.raises(ValueError, match=r"must hold 'images' and 'labels', it holds \['x'\]"):
        nd.stimuli.read_items(tmp_path / "x.npz")


def test_pictures_in_a_folder(tmp_path):
    with pytest.raises(ValueError, match="no picture in"):
        nd.stimuli.read_images(tmp_path)
    rgb = np.random.default_rng(0).integers(0, 256, (40, 35, 3), dtype=np.uint8)
    matplotlib.image.imsave(tmp_path / "b.png", rgb)
    matplotlib.image.imsave(tmp_path / "a.jpg", rgb)
    (tmp_path / "notes.txt").write_text("no picture")
    coloured = nd.stimuli.read_images(tmp_path, colour=True)
    assert [tuple(p.shape) for p in coloured] == [(3, 40, 35)] * 2
    assert (coloured[1].numpy() == rgb.transpose(2, 0, 1)).all()  # the second by name
    grey = nd.stimuli.read_images(tmp_path)
    luminance = rgb @ np.array([0.299, 0.587, 0.114])
    assert grey[1].shape == (1, 40, 35) and abs(grey[1][0].numpy() - luminance).max() <= 0.51
    assert multi_digits(3, background=grey).images.shape == (3, 1, 32, 32)


def test_cifar_from_disk_runs_no_code(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (7, 3072), dtype=np.uint8)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": data, b"labels": [1]}, 2))
    images = read_cifar(tmp_path, split="test")
    assert images.dtype == torch.uint8 and (images.numpy() == data.reshape(7, 3, 32, 32)).all()
    assert multi_digits(3, background=images).images.shape == (3, 3, 32, 32)
    with pytest.raises(FileNotFoundError, match="data_batch_1, .*cifar-10-batches-py"):
        read_cifar(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": print}))
    with pytest.raises(pickle.UnpicklingError, match="builtins.print has no place"):
        read_cifar(tmp_path, split="test")


def test_dataset_names_everything_and_survives_the_disk(tmp_path):
    scenes = multi_digits(6, objects=3, start=10, seed=2)
    named = scenes.to_xarray()
    assert dict(named.sizes) == {
        "sample": 6, "channel": 1, "y": 32, "x": 32, "group": 3, "category": 10, "edge": 4,
    }  # fmt: skip
    assert named.group.values.tolist() == [1, 2, 3] and named.sample.values[0] == 10
    assert all({"long_name", "units"} <= set(v.attrs) for v in named.variables.values())
    assert (named.mask.sel(group=2).values == scenes.masks[:, 1].numpy()).all()
    assert (named.box.sel(edge="left").values == scenes.boxes[..., 1].numpy()).all()
    read = nd.load(nd.save(named, tmp_path / "scenes.nc"))
    assert read.equals(named) and read.mask.dtype == bool and read.attrs == named.attrs
    multi_digits(1, seed=np.int64(3), scale=(np.float32(1), 2)).to_xarray()  # NumPy's own numbers


def test_torch_datasets_give_the_same_scenes():
    scenes = multi_digits(300, objects=3, seed=6)
    loaded = [torch.cat(parts) for parts in zip(*DataLoader(scenes, batch_size=64), strict=True)]
    assert all(map(torch.equal, loaded, scenes[:]))
    assert len(scenes) == 300 and torch.equal(scenes[7][1], scenes.masks[7])
    stream = DataLoader(SceneStream(250, start=50, objects=3, seed=6), batch_size=64)
    for values, expected in zip(zip(*stream, strict=True), scenes[50:], strict=True):
        assert torch.equal(torch.cat(values), expected)
    endless = iter(SceneStream(objects=3, seed=6))
    assert [torch.equal(next(endless)[0], scenes.images[i]) for i in range(300)] == [True] * 300


def test_workers_share_the_scenes_of_a_stream(monkeypatch):
    expected = multi_digits(700, start=100).images
    found = []
    for worker in range(3):
        info = SimpleNamespace(id=worker, num_workers=3)
        monkeypatch.setattr(objects, "get_worker_info", lambda info=info: info)
        found.extend(sample[0] for sample in SceneStream(700, start=100))
    rows = {image.numpy().tobytes() for image in found}
    assert len(found) == 700 and rows == {image.numpy().tobytes() for image in expected}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number from 1 up, got 0"),
        ({"start": -1}, "start must be a whole number from 0 up"),
        ({"objects": 10}, "objects must be a whole number from 1 to 9, got 10"),
        ({"objects": True}, "objects must be a whole number"),
        ({"split": "val"}, "split 'val' is not one of"),
        ({"size": 4}, "size must be a whole number from 8 up"),
        ({"side": 50.0}, "side must be a whole number"),
        ({"seed": -1}, "seed must be a whole number from 0 up"),
        ({"max_overlap": 0.6}, "max_overlap must be a number from 0 to 0.5, got 0.6"),
        ({"overlap": 1.2}, "overlap must be a number from 0 to 1"),
        ({"overlap": 0.2, "max_overlap": 0.1}, "takes the place of max_overlap=0.1"),
        ({"scale": 0.1}, "scale must be a number from 0.5 to 4, or"),
        ({"scale": (1.2, 0.8)}, r"got \(1.2, 0.8\)"),
        ({"rotation": float("nan")}, "rotation must be a number from -360 to 360"),
        ({"noise": math.inf}, "noise must be a number from 0 up"),
        ({"noise": 1.5, "noise_type": "salt_pepper"}, "noise must be a number from 0 to 1"),
        ({"noise_type": "speckle"}, "noise_type 'speckle' is not one of"),
        ({"threshold": 1}, "threshold must be a number from 0 to 0.9"),
        ({"contrast": 2}, "contrast must be a number from 0 to 1"),
        ({"items": "fashion"}, r"items must be 'digits' or Items\(images, labels\), got str"),
        ({"items": np.ones((3, 5, 5))}, "items must be .* got ndarray"),
        ({"items": Items(np.ones((3, 5, 5)), [0, 1, 1]), "objects": 3}, "cannot be drawn from 2"),
        ({"background": "pink"}, "background must be 'none', '1/f', a tensor .* got 'pink'"),
        ({"background": torch.zeros(3, 32, 32)}, r"got \(3, 32, 32\); read_images"),
        ({"background": torch.zeros(2, 1, 30, 40)}, "at least 32 pixels .* the smallest has 30"),
        ({"background": torch.full((1, 1, 32, 32), 200.0)}, "from 0 to 1, got 200.0 to 200.0"),
        ({"background": [torch.zeros(c, 32, 32) for c in (1, 3)]}, "one number of channels"),
        ({"background": torch.zeros(1, 1, 32, 32).int()}, "all be uint8 .* or all floating"),
        (
            {"scale": 3.0},
            "found no places on a canvas of side 50 with max_overlap=0.0.*larger side",
        ),
        ({"objects": 9, "side": 50}, "9 objects of up to .*give fewer objects"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        multi_digits(**({"n": 3} | arguments))


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (np.ones((2, 5)), [0, 1], ValueError, r"shape \(item, y, x\)"),
        (np.ones((2, 5, 5)), [0], ValueError, r"got \(2, 5, 5\) and \(1,\)"),
        (np.ones((2, 5, 5), int), [0, 1], TypeError, "uint8 .* got int64"),
        (np.full((1, 5, 5), 255.0), [0], ValueError, "got 255.0 to 255.0; divide"),
        (np.ones((1, 5, 5)), [-1], ValueError, "labels must be whole numbers from 0 up"),
        (np.ones((1, 5, 5)), [0.0], ValueError, "labels must be whole numbers from 0 up"),
        (np.zeros((2, 5, 5)), [0, 1], ValueError, r"images \[0, 1\] are blank"),
    ],
)
def test_items_that_are_none_are_refused(images, labels, error, message):
    with pytest.raises(error, match=message):
        Items(images, labels)


def test_a_stream_is_checked_before_it_runs():
    with pytest.raises(ValueError, match="n must be a whole number from 1 up"):
        SceneStream(0)
    with pytest.raises(ValueError, match="scale must be"):
        SceneStream(10, scale=0)


def test_fifteen_thousand_scenes_of_two_digits_in_a_second():
    multi_digits(1)
    best = math.inf
    for seed in range(3):
        begin = time.process_time()
        multi_digits(16 * BLOCK, seed=seed)
        best = min(best, time.process_time() - begin)
    assert 16 * BLOCK / best > 15_000  # 42,000 on the machine this was written on, one core


def test_a_faint_object_has_its_brightest_pixel_as_mask():
    scenes = multi_digits(256, objects=9, threshold=0.9, seed=0)
    assert scenes.masks.flatten(2).any(2).all()
