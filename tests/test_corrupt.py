"""Corruptions against imagecorruptions-imaug 1.1.5, scipy and Pillow.

tests/data/corrupt.npz holds that package's results on `picture`: images where nothing is random,
and means and standard errors of `measures` over 400 results where something is. It was written by

    python tests/test_corrupt.py tests/data/corrupt.npz
"""

import contextlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from neurodyn.stimuli.corrupt import CORRUPTIONS, corrupt
from neurodyn.stimuli.corrupt_blur import neighbours, scattered
from neurodyn.stimuli.corrupt_spatter import edge_distance
from neurodyn.stimuli.corrupt_tables import TABLES
from neurodyn.stimuli.corrupt_weather import plasma

STORED = Path(__file__).parent / "data" / "corrupt.npz"
ALL = [kind for kinds in CORRUPTIONS.values() for kind in kinds]
FIXED = ["defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast", "saturate",
         "pixelate"]  # fmt: skip
RANDOM = [k for k in ALL if k not in (*FIXED, "jpeg_compression", "frost")]
DRAWS = 400


def picture() -> np.ndarray:
    """An image with smooth parts, edges, black, white, grey and saturated colours."""
    y, x = np.mgrid[:40, :48] / 40
    red = 0.5 + 0.5 * np.sin(7 * x + 3 * y)
    green = np.where((x - 0.6) ** 2 + (y - 0.5) ** 2 < 0.1, 0.9, 0.4 * y)
    blue = np.abs(x - y)
    found = np.stack([red, green, blue], -1)
    found[:8, :8], found[:8, 40:], found[32:, :10] = 0, 1, 0.5
    found[20:24, ::2] = (1, 0, 0)
    return np.uint8(255 * found.clip(0, 1))


def as_images(pixels: np.ndarray, n: int = 1) -> torch.Tensor:
    image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    return image.expand(n, *image.shape).contiguous()


def as_grey(images: torch.Tensor) -> np.ndarray:
    """Cut off to whole grey values, as the package does."""
    return (images * 255 + 1e-3).floor().byte().permute(0, 2, 3, 1).numpy()


def measures(results: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard errors over results: of values, their spread, histogram and spectrum."""
    values = results.astype(float)
    blocks = values.reshape(len(values), 5, 8, 6, 8, 3).mean((2, 4)).reshape(len(values), -1)
    flat = values.reshape(len(values), -1)
    counts = np.stack([(flat >= low).mean(1) for low in range(16, 256, 24)], 1)
    grey = values.mean(3)
    power = np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2
    frequency = np.hypot(np.fft.fftfreq(40)[:, None], np.fft.fftfreq(48))
    bands = [power[:, (frequency >= f) & (frequency < 1.5 * f)].mean(1)
             for f in (0.02, 0.05, 0.1, 0.2, 0.4)]  # fmt: skip
    each = np.column_stack([blocks, flat.std(1), 100 * counts, 40 * np.log(np.stack(bands, 1))])
    return each.mean(0), each.std(0, ddof=1) / len(each) ** 0.5


def theirs(kind: str, severity: int, pixels: np.ndarray, n: int) -> np.ndarray:
    package = pytest.importorskip("imagecorruptions")
    with contextlib.redirect_stdout(io.StringIO()):
        return np.stack([package.corrupt(pixels, severity, kind) for _ in range(n)])


def write(path: str) -> None:
    np.random.seed(0)
    stored = {}
    for severity in (1, 3, 5):
        for kind in FIXED:
            stored[f"{kind} {severity}"] = theirs(kind, severity, picture(), 1)[0]
        for kind in RANDOM:
            found = measures(theirs(kind, severity, picture(), DRAWS))
            stored[f"{kind} {severity}"] = np.float32(found)
    np.savez_compressed(path, **stored)


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(STORED) as file:
        return dict(file)


@pytest.mark.parametrize("kind", FIXED)
def test_what_is_not_random_is_that_of_the_package(kind, stored):
    for severity in (1, 3, 5):
        ours = corrupt(as_images(picture()), kind, severity)[0].permute(1, 2, 0) * 255
        below = ours.numpy() - stored[f"{kind} {severity}"]  # it cuts off what is after the point
        assert -0.01 < below.min() and below.max() < 1.01


@pytest.mark.parametrize("kind", RANDOM)
def test_what_is_random_has_the_distribution_of_the_package(kind, stored):
    for severity in (1, 3, 5):
        mean, error = measures(
            as_grey(corrupt(as_images(picture(), DRAWS), kind, severity, seed=1))
        )
        peer, peer_error = stored[f"{kind} {severity}"]
        allowed = 4.5 * np.hypot(error, peer_error) + 0.7  # of 255, of 100 and of 40 nepers
        assert (abs(mean - peer) < allowed).all()


@pytest.mark.parametrize("kind", ALL)
def test_of_a_photograph_alike_the_package(kind):
    pytest.importorskip("imagecorruptions")
    pixels = pytest.importorskip("skimage.data").chelsea()[:200, 100:300].copy()
    folder = Path(sys.modules["imagecorruptions"].__file__).parent / "frost"
    frost = None
    if kind == "frost":
        frost = [torch.from_numpy(np.array(Image.open(p).convert("RGB"))).permute(2, 0, 1)
                 for p in sorted(folder.iterdir())]  # fmt: skip
    ours = as_grey(corrupt(as_images(pixels, 24), kind, 3, frost=frost)).astype(float)
    peer = theirs(kind, 3, pixels, 24).astype(float)
    means = [r.mean((1, 2, 3)) for r in (ours, peer)]
    spreads = [r.std((1, 2, 3)) for r in (ours, peer)]
    for one, two in (means, spreads):
        error = np.hypot(one.std(), two.std()) / 24**0.5
        assert abs(one.mean() - two.mean()) < 4 * error + 0.7


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("size", [(32, 32), (45, 37), (60, 56)])
def test_against_scipy_and_pillow(table, size):
    rng = np.random.default_rng(0)
    pixels = np.uint8(rng.integers(0, 256, (*size, 3)))
    images, values = as_images(pixels), pixels / 255
    file = Image.fromarray(pixels)
    for severity in range(1, 6):
        c = {kind: constants[severity - 1] for kind, constants in TABLES[table].items()}

        def ours(kind: str, severity: int = severity) -> np.ndarray:
            return corrupt(images, kind, severity, table=table)[0].permute(1, 2, 0).numpy()

        sigma = c["gaussian_blur"]
        blurred = ndimage.gaussian_filter(values, (sigma, sigma, 0), mode="nearest", truncate=4)
        assert np.allclose(ours("gaussian_blur"), blurred, atol=1e-5)
        total = values.copy()
        for zoom in c["zoom_blur"]:
            kept = [int(np.ceil(n / zoom)) for n in size]
            y, x = ((n - k) // 2 for n, k in zip(size, kept, strict=True))
            part = values[y : y + kept[0], x : x + kept[1]]
            total += ndimage.zoom(part, (zoom, zoom, 1), order=1)[: size[0], : size[1]]
        assert np.allclose(ours("zoom_blur"), total / (len(c["zoom_blur"]) + 1), atol=1e-5)
        mean = values.mean((0, 1))
        assert np.allclose(ours("contrast"), mean + c["contrast"] * (values - mean), atol=1e-5)
        few = [int(n * c["pixelate"][0]) for n in size[::-1]]
        back = Image.Resampling.NEAREST if table == "imagenet" else Image.Resampling.BOX
        small = file.resize(few, Image.Resampling.BOX).resize(size[::-1], back)
        assert np.abs(ours("pixelate") * 255 - np.asarray(small)).max() < 0.01
        packed = io.BytesIO()
        file.save(packed, "JPEG", quality=c["jpeg_compression"])
        assert np.allclose(ours("jpeg_compression") * 255, np.asarray(Image.open(packed)))


@pytest.mark.parametrize("table", TABLES)
def test_pixels_are_those_of_pillow_at_any_size(table):
    rng = np.random.default_rng(0)
    back = Image.Resampling.NEAREST if table == "imagenet" else Image.Resampling.BOX
    for n in (*range(1, 60), 192, 195, 201, 213, 224, 225):
        pixels = np.uint8(rng.integers(0, 256, (n, n + 5, 3)))
        for severity in range(1, 6):
            kept = TABLES[table]["pixelate"][severity - 1][0]
            few = max(int((n + 5) * kept), 1), max(int(n * kept), 1)
            small = Image.fromarray(pixels).resize(few, Image.Resampling.BOX)
            ours = corrupt(as_images(pixels), "pixelate", severity, table=table)
            peer = np.asarray(small.resize((n + 5, n), back))
            assert np.abs(ours[0].permute(1, 2, 0).numpy() * 255 - peer).max() < 0.01


def test_hue_and_saturation_are_those_of_hsv():
    colors = pytest.importorskip("matplotlib.colors")
    pixels = picture()
    hsv = colors.rgb_to_hsv(pixels / 255)
    for table, constants in TABLES.items():
        for severity in range(1, 6):
            more, (times, plus) = (constants[k][severity - 1] for k in ("brightness", "saturate"))
            brighter, fuller = hsv.copy(), hsv.copy()
            brighter[..., 2] = (hsv[..., 2] + more).clip(0, 1)
            fuller[..., 1] = (times * hsv[..., 1] + plus).clip(0, 1)
            for kind, peer in (("brightness", brighter), ("saturate", fuller)):
                ours = corrupt(as_images(pixels), kind, severity, table=table)[0]
                assert np.allclose(ours.permute(1, 2, 0), colors.hsv_to_rgb(peer), atol=2e-6)


@pytest.mark.parametrize("table", TABLES)
def test_noise_has_its_moments(table):
    grey = torch.full((16, 3, 64, 64), 102 / 255)
    n = grey.numel()
    for severity in (1, 2):  # so weak that hardly anything is clipped
        c = {kind: constants[severity - 1] for kind, constants in TABLES[table].items()}
        spread = {
            "gaussian_noise": c["gaussian_noise"],
            "speckle_noise": 0.4 * c["speckle_noise"],
            "shot_noise": (0.4 / c["shot_noise"]) ** 0.5,
        }
        for kind, sigma in spread.items():
            z = (corrupt(grey, kind, severity, table=table) - 0.4) / sigma
            assert abs(z.mean()) < 5 / n**0.5 and abs(z.var() - 1) < 5 * (2 / n) ** 0.5 + 2e-3
        noisy = corrupt(grey, "impulse_noise", severity, table=table)
        for value in (0.0, 1.0):
            p = c["impulse_noise"] / 2
            assert abs((noisy == value).float().mean() - p) < 5 * (p / n) ** 0.5
        assert ((noisy == 0) | (noisy == 1) | (noisy == grey)).all()


def test_pixels_behind_glass_take_neighbours_one_after_the_other():
    for reach in (1, 2, 3, 4):
        height, width = 23, 19
        drawn = neighbours(np.random.default_rng(reach), height, width, reach)
        assert np.array_equal(np.unique(drawn), np.arange((2 * reach) ** 2))
        origin = scattered(drawn, reach)
        x = np.arange(height * width).reshape(height, width)
        for h in range(height - reach, reach, -1):
            for w in range(width - reach, reach, -1):
                dy, dx = divmod(int(drawn[h, w]), 2 * reach)
                x[h, w] = x[h + dy - reach, w + dx - reach]
        assert np.array_equal(origin, x.ravel())


def test_clouds_are_made_by_midpoint_displacement():
    size, decay = 16, 1.7
    raw = np.random.Generator(np.random.SFC64(3)).bit_generator.random_raw(size * size // 2)
    drawn, cloud = raw.view(np.int32) / 2**31, np.zeros((size, size))

    def moved(half: int, places: list[tuple[int, int]], neighbours: list[tuple[int, int]]) -> None:
        for y, x in places:
            around = [cloud[(y + b) % size, (x + a) % size] for b, a in neighbours]
            n, kind = size // (2 * half), (places[0][0] == 0) + 2 * (places[0][1] == 0)
            u = drawn[n * n : 4 * n * n].reshape(3, n, n)[kind, y // (2 * half), x // (2 * half)]
            cloud[y, x] = np.mean(around) + u / decay ** (2 * np.log2(n))

    for half in (8, 4, 2, 1):
        first, then = range(0, size, 2 * half), range(half, size, 2 * half)
        corners = [(-half, -half), (-half, half), (half, -half), (half, half)]
        sides = [(-half, 0), (half, 0), (0, -half), (0, half)]
        moved(half, [(y, x) for y in then for x in then], corners)
        moved(half, [(y, x) for y in first for x in then], sides)
        moved(half, [(y, x) for y in then for x in first], sides)
    found = plasma(size, decay, np.random.Generator(np.random.SFC64(3)))
    assert np.allclose(found[:-1, :-1], (cloud - cloud.min()) / np.ptp(cloud), atol=1e-5)
    assert np.array_equal(found[-1], found[0]) and np.array_equal(found[:, -1], found[:, 0])


def test_distances_from_edges_are_exact_up_to_twenty():
    for share in (0.002, 0.02, 0.2):
        edge = np.random.default_rng(0).random((70, 90)) < share
        exact = ndimage.distance_transform_edt(~edge)
        assert exact.max() > 20 or share > 0.002
        assert np.allclose(edge_distance(edge)[0], exact.clip(max=20), atol=1e-5)


def test_frost_is_a_part_of_a_picture_laid_over_the_image():
    pictures = [torch.full((3, 90, 120), v, dtype=torch.uint8) for v in (40, 80)]
    images = torch.full((40, 3, 32, 50), 0.2)
    for table, severity in (("imagenet", 2), ("cifar", 3)):
        kept, laid, _ = TABLES[table]["frost"][severity - 1]
        found = corrupt(images, "frost", severity, table=table, frost=pictures)
        expected = [kept * 0.2 + laid * v / 255 for v in (40, 80)]
        assert {round(float(v), 4) for v in found.unique()} == {round(e, 4) for e in expected}
    stand_in = corrupt(images, "frost", 1)
    assert len({image.numpy().tobytes() for image in stand_in}) == 40 and stand_in.std() > 0.02


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(ALL),
    severity=st.integers(1, 5),
    table=st.sampled_from(list(TABLES)),
    seed=st.integers(0, 2**40),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
)
def test_any_size_and_no_dependence_on_the_batch(
    kind, severity, table, seed, height, width, channels
):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, channels, height, width, generator=generator, dtype=torch.float64)
    given, state = images.clone(), torch.random.get_rng_state()
    whole = corrupt(images, kind, severity, seed=seed, table=table)
    parts = [corrupt(images[i : i + 2], kind, severity, seed=seed, first=i, table=table)
             for i in (0, 2)]  # fmt: skip
    assert torch.equal(torch.cat(parts), whole)
    assert whole.shape == images.shape and whole.dtype == images.dtype
    assert 0 <= whole.min() and whole.max() <= 1
    assert torch.equal(images, given)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_other_seeds_and_images_have_other_noise():
    images = as_images(picture(), 2)
    for kind in [*RANDOM, "frost"]:
        one, two = (corrupt(images, kind, 3, seed=seed) for seed in (0, 1))
        assert not torch.equal(one[0], one[1]) and not torch.equal(one, two)
    for kind in FIXED:
        assert torch.equal(*corrupt(images, kind, 3))


def test_grey_images_are_corrupted_as_coloured_ones_of_equal_channels():
    grey = as_images(picture())[:, :1] * 0.4  # so that nothing is clipped
    coloured = grey.expand(-1, 3, -1, -1).contiguous()
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for kind in ALL:
        if kind in ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "saturate"):
            continue  # noise of three channels is not equal; grey has no saturation
        one, three = corrupt(grey, kind, 1), corrupt(coloured, kind, 1)
        assert torch.allclose(one, (weights * three).sum(1, keepdim=True), atol=0.013), kind
    assert torch.equal(corrupt(grey, "saturate", 5), grey)


def test_errors_say_what_is_allowed():
    images = torch.rand(2, 3, 8, 8)
    for bad, message in (
        (dict(kind="blur"), "not one of gaussian_noise, "),
        (dict(severity=0), "1, 2, 3, 4 or 5"),
        (dict(severity=True), "1, 2, 3, 4 or 5"),
        (dict(severity=3.0), "a whole number"),
        (dict(table="svhn"), "'imagenet', 'cifar'"),
        (dict(seed=-1), "seed must be"),
        (dict(first=0.5), "first must be"),
        (dict(frost=[]), "for the kind 'frost'"),
        (dict(kind="frost", frost=[]), "read_images"),
        (dict(kind="frost", frost=[torch.zeros(3, 0, 5, dtype=torch.uint8)]), "one pixel or more"),
        (dict(images=images * 2), "0 to 1"),
        (dict(images=images - torch.nan), "0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            corrupt(**{"images": images, "kind": "fog", "severity": 1, **bad})
    for wrong in (images[0], (255 * images).byte(), images[:, :2], images[..., :0], [1]):
        with pytest.raises(TypeError, match="floating-point tensor"):
            corrupt(wrong, "fog", 1)
    assert corrupt(images[:0], "fog", 1).shape == (0, 3, 8, 8)


if __name__ == "__main__":
    write(sys.argv[1])
