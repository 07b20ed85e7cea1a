"""SVRT: contours and pixels against plain loops, and images that depend on their number alone.

Silent failures these would catch: contours of another distribution, lines too heavy, images that
change with n, batch or worker, options that change the scene.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.utils.data import DataLoader

import neurodyn as nd
from neurodyn.stimuli import svrt
from neurodyn.stimuli.svrt import datasets
from neurodyn.stimuli.svrt.contour import contours
from neurodyn.stimuli.svrt.raster import filled, interior, raster, within


def slow_contour(rng, radius, hole):
    """The published algorithm, point by point."""

    def side(p, q, points):
        if abs((q - p).real) <= 0.25 and abs((q - p).imag) <= 0.25:
            points.append(p)
            return abs(p) >= hole
        while True:
            step = complex(*rng.uniform(-1, 1, 2))
            middle = (p + q) / 2 + step * abs(p - q) / 5
            if abs(step) <= 1 and abs(middle) <= radius:
                return side(p, middle, points) and side(middle, q, points)

    while True:
        anchors = []
        for sign in (1 + 1j, -1 + 1j, -1 - 1j, 1 - 1j):
            p = 0
            while not hole <= abs(p) <= radius:
                x, y = rng.uniform(0, radius, 2)
                p = x * sign.real + 1j * y * sign.imag
            anchors.append(p)
        points = []
        if all(side(anchors[k], anchors[(k + 1) % 4], points) for k in range(4)):
            return np.array(points) * np.exp(1j * rng.uniform(0, 2 * np.pi))


@pytest.mark.parametrize(("radius", "hole"), [(10, 1), (8, 3)])
def test_contours_have_the_distribution_of_a_plain_loop(radius, hole):
    made = contours(np.random.default_rng(0), 400, radius, hole)
    fast = [made[i].points for i in range(400)]
    rng = np.random.default_rng(1)
    slow = [slow_contour(rng, radius, hole) for _ in range(150)]
    measures = {
        "length": lambda z: abs(np.diff(z)).sum(),
        "points": len,
        "width": lambda z: np.ptp(z.real),
        "farthest": lambda z: abs(z).max(),
        "nearest": lambda z: abs(z).min(),
        "direction": lambda z: np.angle(z[abs(z).argmax()]),
    }
    for name, measure in measures.items():
        found = stats.ks_2samp([measure(z) for z in fast], [measure(z) for z in slow])
        assert found.pvalue > 1e-3, name


@given(st.integers(0, 999), st.floats(5, 48), st.floats(0.05, 0.4))
def test_contours_are_closed_and_keep_to_the_annulus(seed, radius, part):
    made = contours(np.random.default_rng(seed), 3, radius, part * radius)
    assert len(made) == 3
    assert abs(made.points).max() <= radius * (1 + 1e-12)
    assert abs(made.points).min() >= part * radius * (1 - 1e-12)
    for i in range(3):
        one = made[i]
        step = np.diff(one.points)
        assert one.points[0] == one.points[-1]
        assert max(abs(step.real).max(), abs(step.imag).max()) <= 0.25 * 2**0.5 + 1e-9  # turned
        assert one.corner[0, 0] == 0 and one.corner[0, 4] == len(one.points) - 1


def slow_raster(points, corner):
    pixels = set()

    def part(a, b):
        p, q = points[a], points[b]
        apart = max(
            abs(np.floor(p.real) - np.floor(q.real)), abs(np.floor(p.imag) - np.floor(q.imag))
        )
        if apart > 1 and b > a + 1:
            part(a, (a + b) // 2)
            part((a + b) // 2, b)
        else:
            pixels.add((int(np.floor(p.real)), int(np.floor(p.imag))))

    for a, b in zip(corner[:-1], corner[1:], strict=True):
        part(a, b)
    return pixels


def test_pixels_are_those_of_a_plain_loop():
    made = contours(np.random.default_rng(2), 20, 26.25, 2.5)
    for width in (1, 3):
        pixels, start = raster(made, width)
        for i in range(20):
            thin = slow_raster(made[i].points, made[i].corner[0])
            around = range(-(width // 2), width // 2 + 1)
            expected = {(x + dx, y + dy) for x, y in thin for dx in around for dy in around}
            assert set(map(tuple, pixels[start[i] : start[i + 1]].tolist())) == expected


@pytest.mark.parametrize(("radius", "hole", "ink"), [(10, 1, 36), (16, 2, 57), (26.25, 2.5, 97)])
def test_ink_of_a_shape(radius, hole, ink):
    made = contours(np.random.default_rng(3), 600, radius, hole)
    pixels, start = raster(made)
    found = [len(set(map(tuple, p.tolist()))) for p in np.split(pixels, start[1:-1])]
    assert abs(np.mean(found) - ink) < 0.06 * ink


def test_fills_are_those_of_a_flood():
    pixels, start = raster(contours(np.random.default_rng(4), 12, 12, 3))
    for own in np.split(pixels, start[1:-1]):
        line = {(x, y) for x, y in own.tolist()}
        outside, edge = {(-20, -20)}, [(-20, -20)]
        while edge:
            x, y = edge.pop()
            for new in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                if max(map(abs, new)) <= 20 and new not in line and new not in outside:
                    outside.add(new)
                    edge.append(new)
        square = {(x, y) for x in range(-20, 21) for y in range(-20, 21)}
        y, x = np.divmod(filled(own[:, 1] * 128 + own[:, 0], 128) + 64, 128)
        assert set(zip((x - 64).tolist(), y.tolist(), strict=True)) == square - outside
        ink = np.zeros((1, 41, 41), bool)
        ink[0, own[:, 1] + 20, own[:, 0] + 20] = True
        y, x = np.nonzero(interior(ink)[0])
        assert (
            set(zip((x - 20).tolist(), (y - 20).tolist(), strict=True)) == square - outside - line
        )


def test_growth_is_by_rows_and_columns():
    masks = np.random.default_rng(5).random((3, 20, 30)) < 0.01
    grown = within(masks, 4)
    for mask, big in zip(masks, grown, strict=True):
        y, x = np.nonzero(mask)
        rows, columns = np.mgrid[:20, :30]
        away = abs(rows[..., None] - y) + abs(columns[..., None] - x)
        assert (big == (away.min(-1) <= 4)).all()


@pytest.mark.parametrize("problem", [1, 3, 7, 8, 13, 21])
def test_an_image_depends_on_its_number_alone(problem):
    data = svrt.generate(problem, 130, seed=5, contours=True)
    again = svrt.generate(problem, 70, seed=5, start=50)
    part = data.isel(sample=slice(50, 120))
    assert part.drop_vars("outline").drop_dims("point", errors="ignore").equals(again)
    assert not (svrt.generate(problem, 64, seed=6).image.values == data.image.values[:64]).all()


@pytest.mark.parametrize("n", [1, 2, 7, 64, 101])
def test_classes_are_balanced(n):
    label = svrt.generate(14, n).label.values
    assert abs(2 * label.sum() - n) <= 1
    pairs = label[: n // 2 * 2].reshape(-1, 2)
    assert (pairs.sum(1) == 1).all()
    assert n < 64 or 0.2 < pairs[:, 0].mean() < 0.8  # in an order that is not known


@pytest.mark.parametrize("start", [0, 1, 2, 7])
def test_classes_are_balanced_from_an_even_start(start):
    found = set()
    for n in range(1, 70):
        label = svrt.generate(14, n, start=start, size=48).label.values
        found.add(abs(2 * int(label.sum()) - n))
        pairs = label[start % 2 : start % 2 + (n - start % 2) // 2 * 2].reshape(-1, 2)
        assert (pairs.sum(1) == 1).all()
    assert found == ({0, 1, 2} if start % 2 else {0, 1})


def test_options_change_the_drawing_and_not_the_scene():
    plain = svrt.generate(4, 40, seed=1)
    scene = [name for name in plain.data_vars if name != "image"]
    for options in ({"antialias": True}, {"filled": True}, {"antialias": True, "filled": True}):
        drawn = svrt.generate(4, 40, seed=1, **options)
        assert drawn[scene].equals(plain[scene])
        assert drawn.image.dtype == np.uint8
        if options == {"filled": True}:
            assert set(np.unique(drawn.image)) == {0, 128, 255}
            assert ((drawn.image.values == 0) == (plain.image.values == 0)).all()
        else:
            assert len(np.unique(drawn.image)) > 10
            dark = (255 - drawn.image.values[plain.image.values == 0].astype(float)).mean()
            assert dark > 120  # the same lines
    assert (plain.image.values[:, [0, -1]] == 255).all()


@pytest.mark.parametrize(("size", "line_width"), [(64, 1), (96, 2), (200, 3)])
@pytest.mark.parametrize("problem", [1, 2, 5, 8, 16])
def test_lengths_scale_with_the_image(problem, size, line_width):
    data = svrt.generate(problem, 64, size=size, line_width=line_width, seed=2)
    assert data.image.shape == (64, size, size)
    radii = svrt.PROBLEMS[problem].radii
    largest = radii[0] if isinstance(radii, tuple) else radii["A"][0]
    assert np.isclose(data.radius.max(), largest * size / 128)
    edge = data.image.values.copy()
    edge[:, 1:-1, 1:-1] = 255
    assert (edge == 255).all()
    reference = (svrt.generate(problem, 64, seed=2).image.values == 0).sum() / 128
    found = (data.image.values == 0).sum() / size / line_width
    assert 0.85 < found / reference < (1.15 if line_width == 1 else 1.4)  # as length and width


def test_the_record_is_a_dataset_that_is_kept(tmp_path):
    data = svrt.generate(20, 10, start=3, contours=True)
    assert data.sample.values.tolist() == list(range(3, 13))
    assert all({"long_name", "units"} <= set(v.attrs) for v in data.variables.values())
    assert data.attrs["rule"] == svrt.describe(20)
    read = nd.load(nd.save(data, tmp_path / "svrt.nc"))
    assert read.equals(data)


def test_torch_datasets_give_the_same_images(monkeypatch):
    data = svrt.generate(10, 150, start=40, seed=3)
    expected = torch.from_numpy(data.image.values)[:, None].float() / 255
    stored = list(DataLoader(svrt.Images(data), batch_size=32))
    assert torch.equal(torch.cat([images for images, _ in stored]), expected)
    assert torch.cat([labels for _, labels in stored]).tolist() == data.label.values.tolist()
    stream = DataLoader(svrt.Stream(10, 150, start=40, seed=3), batch_size=50)
    assert torch.equal(torch.cat([images for images, _ in stream]), expected)
    found = []
    for worker in range(3):
        info = SimpleNamespace(id=worker, num_workers=3)
        monkeypatch.setattr(datasets, "get_worker_info", lambda info=info: info)
        found.extend(image for image, _ in svrt.Stream(10, 150, start=40, seed=3))
    rows = {image.numpy().tobytes() for image in found}
    assert len(found) == 150 and rows == {image.numpy().tobytes() for image in expected}


def test_folders_are_read_back(tmp_path):
    data = svrt.generate(2, 12, seed=4)
    read = nd.stimuli.ImageFolder(svrt.write_folders(data, tmp_path / "two"), colour=False)
    order = np.argsort(data.label.values, kind="stable")
    assert read.labels == data.label.values[order].tolist()
    for i, (image, _) in zip(order, read, strict=True):
        assert torch.equal(image[0], torch.from_numpy(data.image.values[i]).float() / 255)


def test_folders_with_other_images_are_refused(tmp_path):
    root = svrt.write_folders(svrt.generate(1, 10), tmp_path / "one")
    before = sorted(root.rglob("*"))
    with pytest.raises(FileExistsError, match="holds images already, such as .*: take a new"):
        svrt.write_folders(svrt.generate(1, 10, start=10), root)
    assert sorted(root.rglob("*")) == before
    (tmp_path / "other" / "2" / "deep").mkdir(parents=True)
    (tmp_path / "other" / "2" / "deep" / "cat.PNG").touch()
    with pytest.raises(FileExistsError, match="cat.PNG"):
        svrt.write_folders(svrt.generate(1, 2), tmp_path / "other")
    assert not (tmp_path / "other" / "0").exists()


def test_images_of_one_number_are_refused(tmp_path):
    data = xr.concat([svrt.generate(1, 4, seed=seed) for seed in (0, 1)], "sample")
    with pytest.raises(ValueError, match="the same number"):
        svrt.write_folders(data, tmp_path / "one")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--images", "32", "--images must be a multiple of 64, got 32"),
        ("--images", "100", "--images must be a multiple of 64, got 100"),
        ("--images", "0", "--images must be a multiple of 64, got 0"),
        ("--rounds", "0", "--rounds must be 1 or more, got 0"),
        ("--workers", "0", "--workers must be 1 or more, got 0"),
    ],
)
def test_the_benchmark_refuses_what_it_cannot_measure(option, value, message, capsys):
    path = Path(__file__).parents[1] / "benchmarks" / "svrt.py"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("sys.argv", ["svrt.py", option, value])
        runpy.run_path(str(path), run_name="__main__")
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem": 24}, "problem 24 is not one of 1, 2, .*23, 25"),
        ({"problem": "1"}, "problem '1' is not one of"),
        ({"problem": True}, "problem True is not one of"),
        ({"problem": 1.0}, "problem 1.0 is not one of"),
        ({"problem": [1]}, r"problem \[1\] is not one of"),
        ({"n": 0}, "n must be a whole number from 1 up, got 0"),
        ({"size": 40}, "size must be a whole number from 48 up, got 40"),
        ({"line_width": 5}, "line_width must be a whole number from 1 to 4, got 5"),
        ({"seed": -1}, "seed must be a whole number from 0 up"),
        ({"start": -1}, "start must be a whole number from 0 up"),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        svrt.generate(**({"problem": 1, "n": 1} | arguments))
    settings = {"problem": 1} | arguments
    with pytest.raises(ValueError, match=message):
        svrt.Stream(**settings)


@pytest.mark.parametrize("problem", [24, "1", True, 1.0, [1]])
def test_rules_of_other_problems_are_refused(problem):
    with pytest.raises(ValueError, match="is not one of 1, 2, .*23, 25"):
        svrt.describe(problem)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number from 1 up, got 0"),
        ({"radius": 0}, "radius must be a number from 0.25 up, got 0"),
        ({"radius": np.inf}, "radius must be a number from 0.25 up, got inf"),
        ({"hole": 9.5}, "hole must be a number from 0 to 5.0, got 9.5"),
        ({"hole": 11}, "hole must be a number from 0 to 5.0, got 11"),
        ({"hole": -1}, "hole must be a number from 0 to 5.0, got -1"),
    ],
)
def test_contours_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        contours(np.random.default_rng(0), **({"n": 1, "radius": 10, "hole": 1} | arguments))


def test_contours_with_the_largest_hole():
    made = contours(np.random.default_rng(0), 20, 10, 5)
    assert len(made) == 20 and abs(made.points).min() >= 5 * (1 - 1e-12)


def test_options_are_yes_or_no():
    with pytest.raises(TypeError, match="filled must be True or False, got 'grey'"):
        svrt.generate(1, 1, filled="grey")


def test_where_nothing_fits_there_is_an_error():
    crowded = svrt.Problem("Too large.", ("AB", "AB"), (60, 2), (svrt.rules.ONE,) * 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(svrt.PROBLEMS, 99, crowded)
        patch.setattr(svrt.engine, "HOPELESS", 3)
        with pytest.raises(ValueError, match="found no places in images of size 128"):
            svrt.generate(99, 1)


def test_a_problem_of_ones_own_is_a_dozen_lines():
    def above(d):
        places = d.somewhere(2)
        higher = places[:, :1].imag < places[:, 1:].imag
        return np.where(higher == d.label, places, np.nan)

    own = svrt.Problem(
        "Two shapes: the large one below (0) or above (1).", ("AB", "AB"),
        {"A": (21, 2), "B": (10, 1)}, (svrt.Stage(2, above),),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(svrt.PROBLEMS, 99, own)
        data = svrt.generate(99, 64)
    y = data.centre.sel(axis="y").values
    assert ((y[:, 0] < y[:, 1]) == data.label.values).all()
