"""Clothes and what lies behind them: files made here, counts as published, archives of one's own.

Silent failures these would catch: a split read from the other's files, labels shifted against
images, noise that passes for CIFAR-10, a download that nobody asked for, half an archive on disk,
pixels of a photograph in both splits.
"""

import gzip
import hashlib
import importlib.util
import io
import sys
import tarfile
from collections import Counter

import numpy as np
import pytest
import torch

from neurodyn.stimuli import Items, SceneStream, cifar, multi_digits, natural, read_cifar
from neurodyn.stimuli import fashion as module
from neurodyn.stimuli.backgrounds import Pictures
from neurodyn.stimuli.fashion import fashion_mnist
from neurodyn.stimuli.natural import backgrounds
from neurodyn.stimuli.photographs import photographs

RNG = np.random.default_rng(0)


def idx(array):
    """An IDX file of bytes: 0, 0, 8, number of axes, their lengths, the bytes."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(k.to_bytes(4, "big") for k in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def wardrobe(tmp_path):
    """A folder with the four files of a tiny Fashion-MNIST, and what is in them."""
    held = {}
    for split, prefix, n in (("train", "train", 30), ("test", "t10k", 20)):
        images, labels = RNG.integers(1, 256, (n, 28, 28)), np.arange(n) % 10
        held[split] = images, labels
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))  # not packed
    return tmp_path, held


def test_each_split_is_read_from_its_files_once(wardrobe, monkeypatch):
    folder, held = wardrobe
    for split, (images, labels) in held.items():
        items = fashion_mnist(split, folder)
        assert (items.images == images).all() and (items.labels == labels).all()
        assert fashion_mnist(split, str(folder)) is items
    monkeypatch.setattr(module, "FOLDER", folder.resolve())
    assert fashion_mnist("test") is items
    scenes = multi_digits(2, objects=1, items=items)
    assert scenes.config["items"].startswith("Items(Fashion-MNIST, test: 20 images of 28 x 28")
    with pytest.raises(ValueError, match="split 'val' is not one of 'train', 'test'"):
        fashion_mnist("val", folder)


def test_where_it_is_not_installed_the_error_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist.*four IDX"):
        fashion_mnist("train", tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.ones((1, 28, 28))))
    with pytest.raises(FileNotFoundError, match="no train-labels-idx1-ubyte.gz"):
        fashion_mnist("train", tmp_path)  # the failure before was not kept


@pytest.mark.skipif(not module.FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_the_published_numbers_of_clothes():
    train, test = fashion_mnist(), fashion_mnist("test")
    assert train.images.shape == (60_000, 28, 28) and test.images.shape == (10_000, 28, 28)
    assert Counter(train.labels.tolist()) == dict.fromkeys(range(10), 6000)
    assert Counter(test.labels.tolist()) == dict.fromkeys(range(10), 1000)
    tall = {k: (test.images[test.labels == k].max(2) > 0).sum(1).mean() for k in range(10)}
    assert min(tall[1], tall[3]) > 26 > 20 > max(tall[5], tall[7])  # trousers, dresses; shoes


@pytest.mark.parametrize("channels", [1, 3])
def test_one_object_over_an_image_is_their_sum_clipped_to_white(wardrobe, channels):
    clothes = fashion_mnist("train", wardrobe[0])
    behind = torch.from_numpy(RNG.integers(0, 256, (7, channels, 32, 32), dtype=np.uint8))
    for items in ("digits", clothes):
        settings = {"objects": 1, "items": items, "side": 32, "seed": 3}
        scenes = multi_digits(40, background=behind, **settings)
        alone = multi_digits(40, **settings)
        assert scenes.images.shape == (40, channels, 32, 32)
        assert torch.equal(scenes.masks, alone.masks)
        used = Counter()
        for image, black, box, item in zip(
            scenes.images, alone.images, scenes.boxes[:, 0], scenes.items[:, 0], strict=True
        ):
            if items is clothes:  # in its own pixels, not resized; none of them is 0
                canvas = np.zeros((32, 32))
                top, left, height, width = box.tolist()
                assert (height, width) == (28, 28)
                canvas[top : top + 28, left : left + 28] = clothes.images[item] / 255
                assert np.allclose(black[0], canvas, atol=1e-6)
            sums = np.minimum(1, behind.numpy() / 255 + black.numpy())
            off = abs(sums - image.numpy()).max((1, 2, 3))
            assert off.min() < 1e-6
            used[int(off.argmin())] += 1
        assert len(used) == 7


def test_the_config_of_scenes_names_what_lies_behind():
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    named = {"objects": 1, "background": Pictures(images, "CIFAR-10, test")}
    assert multi_digits(2, **named).config["background"] == "CIFAR-10, test: crops of 4 images"
    assert "CIFAR-10, test: crops of 4" in multi_digits(2, **named).to_xarray().attrs["config"]
    plain = multi_digits(2, objects=1, background=images)
    assert plain.config["background"] == "crops of 4 images"
    assert torch.equal(plain.images, multi_digits(2, **named).images)
    assert next(iter(SceneStream(3, **named)))[0].shape == (3, 32, 32)
    assert repr(Items(np.ones((2, 3, 3)), [0, 1], name="x")).startswith("Items(x: 2 images")
    with pytest.raises(ValueError, match="name must say what the images are, got ''"):
        Pictures(images, "")
    with pytest.raises(ValueError, match="at least 32 pixels"):
        multi_digits(2, background=Pictures([images[0, :, :20]], "small"))
    with pytest.raises(ValueError, match="background must be"):
        multi_digits(2, background=Pictures("1/f", "no images"))


def batch(rows):
    """A batch in the words of Python 2 and its NumPy, as published: {"data": rows}."""
    return (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K" + bytes([len(rows)]) + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87"
        b"R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + rows.size.to_bytes(4, "little") + rows.tobytes() + b"tbs."
    )  # fmt: skip


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A tiny archive where the published one would be fetched from, and the images in it."""
    held = {name: RNG.integers(0, 256, (n, 3072), dtype=np.uint8) for name, n in BATCHES.items()}
    files = {name: batch(rows) for name, rows in held.items()}
    files |= {"batches.meta": b"no", "readme.html": b"no"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        folder = tarfile.TarInfo("cifar-10-batches-py")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(packed.getvalue())
    monkeypatch.setattr(cifar, "URL", path.as_uri())
    monkeypatch.setattr(cifar, "MD5", hashlib.md5(packed.getvalue()).hexdigest())
    return path, held


BATCHES = {f"data_batch_{i}": 2 for i in range(1, 6)} | {"test_batch": 3}


def test_cifar_is_fetched_when_asked_and_only_then(tmp_path, archive, monkeypatch, capsys):
    folder = tmp_path / "data" / "cifar-10-batches-py"
    with pytest.raises(FileNotFoundError, match="lacks test_batch.*or download=True to fetch it"):
        read_cifar(folder, "test")
    assert not folder.parent.exists()
    test = read_cifar(folder, "test", download=True)
    assert (test.numpy().reshape(3, 3072) == archive[1]["test_batch"]).all()
    assert "CIFAR-10" in capsys.readouterr().err  # the bar
    assert sorted(path.name for path in folder.iterdir()) == sorted(BATCHES)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # nothing else is left
    monkeypatch.setattr(cifar, "urlopen", None)  # what is there is not fetched again
    train = read_cifar(folder, "train", download=True)
    rows = np.concatenate([archive[1][f"data_batch_{i}"] for i in range(1, 6)])
    assert (train.numpy().reshape(10, 3072) == rows).all()
    grey = read_cifar(folder, "test", colour=False)
    luminance = np.tensordot(test.numpy(), [0.299, 0.587, 0.114], (1, 0))
    assert grey.shape == (3, 1, 32, 32) and abs(grey[:, 0].numpy() - luminance).max() <= 0.5 + 1e-9


def test_a_missing_batch_is_put_beside_the_others(tmp_path, archive):
    read_cifar(tmp_path / "c", download=True)
    (tmp_path / "c" / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match="lacks data_batch_3: "):
        read_cifar(tmp_path / "c")
    assert len(read_cifar(tmp_path / "c", download=True)) == 10


def test_another_archive_is_refused_and_not_kept(tmp_path, archive):
    archive[0].write_bytes(archive[0].read_bytes()[:-9])
    with pytest.raises(ValueError, match="not the published archive: its MD5 is .*try again"):
        read_cifar(tmp_path / "data" / "c", download=True)
    assert list((tmp_path / "data").iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "URL", (tmp_path / "nothing").as_uri())
    with pytest.raises(ConnectionError, match="could not be fetched from .*fetch and unpack"):
        read_cifar(tmp_path / "c", download=True)
    assert not (tmp_path / "c").exists()


def test_the_published_archive_is_named():
    assert cifar.URL == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert cifar.MD5 == "c58f30108f718f92721af3b95e74349a"


def no_scikit_image(monkeypatch):
    """Make imports of scikit-image fail, as where it is not installed."""
    for name in [k for k in sys.modules if k.split(".")[0] == "skimage"] + ["skimage"]:
        monkeypatch.setitem(sys.modules, name, None)


def test_without_scikit_image_the_error_names_the_extra(monkeypatch):
    no_scikit_image(monkeypatch)
    with pytest.raises(ImportError, match=r'pip install "neurodyn\[photographs\]"'):
        photographs()
    with pytest.raises(ImportError, match=r"neurodyn\[photographs\]"):
        backgrounds("photographs")


@pytest.fixture
def shots(monkeypatch):
    """Photographs whose pixels tell their column: red is its hundreds, green the rest."""
    made = []
    for height, width in ((256, 300), (100, 211)):
        columns = torch.arange(width).expand(height, width)
        made.append(torch.stack([columns // 100, columns % 100, columns * 0]).byte())
    monkeypatch.setattr(
        natural, "photographs", lambda colour: [p[: 3 if colour else 1] for p in made]
    )
    return made


def test_one_door_takes_the_best_there_is_and_names_it(tmp_path, archive, monkeypatch):
    monkeypatch.setattr(natural, "photographs", lambda colour: [torch.ones(1, 64, 64).byte()])
    folder = tmp_path / "c"
    assert backgrounds()[1] == "photographs of scikit-image, left halves"
    read_cifar(folder, download=True)
    for kind in ("auto", "cifar"):
        for split, n in (("train", 10), ("test", 3)):
            for channels in (1, 3):
                found, name = backgrounds(kind, split, folder, colour=channels == 3)
                assert found.images.shape == (n, channels, 32, 32)
                assert found.name == name == f"CIFAR-10, {split}"
    assert backgrounds("photographs", "test", folder)[1].endswith("right halves")
    (folder / "test_batch").unlink()
    for kind in ("auto", "cifar"):
        for split in ("train", "test"):
            with pytest.raises(FileNotFoundError, match="lacks test_batch"):
                backgrounds(kind, split, folder)
    no_scikit_image(monkeypatch)
    monkeypatch.setattr(natural, "photographs", photographs)
    assert backgrounds() == backgrounds("1/f") == ("1/f", "1/f noise")
    for kind in ("auto", "1/f"):
        with pytest.raises(ValueError, match="1/f noise is grey: give colour=False"):
            backgrounds(kind, colour=True)


def test_no_pixel_of_a_photograph_is_in_both_splits(shots):
    (left, _), (right, _) = (backgrounds("photographs", s, colour=True) for s in ("train", "test"))
    for shot, a, b in zip(shots[1:], left.images[1:], right.images[1:], strict=True):
        assert torch.equal(torch.cat([a, b], 2), shot)  # low enough: not shrunk
    for half, columns in ((left.images[0], range(150)), (right.images[0], range(150, 300))):
        assert half.shape == (3, 128, 75) and half.dtype == torch.uint8
        pairs = np.array(columns).reshape(75, 2)  # twice as high as four scenes: 2 x 2 are averaged
        assert abs(half[1].numpy() - (pairs % 100).mean(1)).max() <= 0.5
        assert (half[0].numpy() == (pairs // 100).mean(1)).all()
    assert multi_digits(3, objects=1, background=right).images.shape == (3, 3, 32, 32)
    assert backgrounds("photographs", size=16)[0].images[0].shape == (1, 64, 38)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "noise"}, "kind 'noise' is not one of 'auto', 'cifar', 'photographs', '1/f'"),
        ({"split": "val"}, "split 'val' is not one of 'train', 'test'"),
        ({"size": 4}, "size must be a whole number from 8 up"),
        ({"kind": "cifar"}, "needs the folder cifar-10-batches-py"),
    ],
)
def test_the_door_says_what_it_takes(arguments, message):
    with pytest.raises(ValueError, match=message):
        backgrounds(**arguments)


@pytest.mark.skipif(not importlib.util.find_spec("skimage"), reason="scikit-image not installed")
def test_photographs_are_those_that_scikit_image_shows():
    from skimage import data

    assert len(photographs()) == len(photographs(colour=True)) == 6
    shown = [data.astronaut(), data.camera(), data.chelsea(), data.coffee()]
    shown += [data.stereo_motorcycle()[0], data.rocket()]
    for pixels, coloured, grey in zip(shown, photographs(colour=True), photographs(), strict=True):
        rgb = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, -1)
        assert (coloured.numpy() == rgb.transpose(2, 0, 1)).all()
        assert abs(grey[0].numpy() - rgb @ [0.299, 0.587, 0.114]).max() <= 0.5 + 1e-9
