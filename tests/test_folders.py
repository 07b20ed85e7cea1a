"""Labelled images on disk: tiny folders in the layouts of ImageNet, ImageNet-C, CIFAR, CIFAR-C."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from neurodyn.stimuli.cifar_sets import Arrays, cifar_c, cifar_labelled
from neurodyn.stimuli.folders import ImageFolder, imagenet, imagenet_c, read_image


def save(path, value: int, size=(20, 12), mode="RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


@pytest.fixture
def pets(tmp_path):
    for k, name in enumerate(["dog", "cat"]):
        for i in range(3):
            save(tmp_path / name / f"{i}.png", 10 * k + i)
    save(tmp_path / "cat" / "deeper" / "x.PNG", 99)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "README").write_text("no category")
    return tmp_path


def test_folders_are_categories_in_the_order_of_names(pets):
    found = ImageFolder(pets)
    assert found.categories == ("cat", "dog") and found.labels == [0] * 4 + [1] * 3
    reds = [round(255 * float(image[0, 0, 0])) for image, _ in found]
    assert reds == [10, 11, 12, 99, 0, 1, 2]
    image, label = found[-1]
    assert image.shape == (3, 12, 20) and image.dtype == torch.float32 and label == 1
    assert repr(found) == "ImageFolder(7 images of 2 categories)"
    some = ImageFolder(pets, categories=["dog"], colour=False)
    assert some.labels == [0] * 3 and some[2][0].shape == (1, 12, 20)
    batch, labels = next(iter(DataLoader(ImageFolder(pets, size=8), batch_size=7)))
    assert batch.shape == (7, 3, 8, 8) and labels.tolist() == [0] * 4 + [1] * 3


def test_nothing_is_read_before_it_is_asked_for(pets):
    (pets / "dog" / "0.png").write_bytes(b"no image")
    found = ImageFolder(pets)
    assert found[0][0].shape == (3, 12, 20)
    with pytest.raises(ValueError, match="0.png cannot be read as an image"):
        found[4]


def test_the_middle_is_cut_out_after_the_shorter_side_is_resized(tmp_path):
    y, x = np.mgrid[:60, :100]
    Image.fromarray(np.uint8(2 * x)).save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png", size=20, resize=30)
    assert image.shape == (3, 20, 20)
    # scale 1/2, 50 wide, from 15 to 35: pixel i is at 2 i + 0.5 in the original
    expected = 2 * (2 * np.arange(15, 35) + 0.5)
    assert np.abs(image[0, 7].numpy() * 255 - expected).max() < 1
    assert read_image(tmp_path / "x.png", resize=30, colour=False).shape == (1, 30, 50)
    assert read_image(tmp_path / "x.png", size=90, resize=90).shape == (3, 90, 90)


def test_imagenet_and_imagenet_c(tmp_path):
    for name in ("n01", "n02"):
        save(tmp_path / "val" / name / "a.JPEG", 5, (300, 280))
        save(tmp_path / "flat" / "fog" / "3" / name / "a.JPEG", 5, (224, 224))
        save(tmp_path / "grouped" / "weather" / "fog" / "3" / name / "a.JPEG", 5, (224, 224))
    validation = imagenet(tmp_path)
    assert validation.categories == ("n01", "n02") and validation[1][0].shape == (3, 224, 224)
    for folder in ("flat", "grouped"):
        foggy = imagenet_c(tmp_path / folder, "fog", 3, categories=["n02"])
        assert foggy[0][0].shape == (3, 224, 224) and foggy.labels == [0]
    with pytest.raises(FileNotFoundError, match="no folder fog/4"):
        imagenet_c(tmp_path / "flat", "fog", 4)
    with pytest.raises(FileNotFoundError, match="no folder .*train"):
        imagenet(tmp_path, "train")
    with pytest.raises(ValueError, match="'train', 'val'"):
        imagenet(tmp_path, "test")


def test_cifar_c_holds_severities_one_after_the_other(tmp_path):
    with pytest.raises(FileNotFoundError, match="lacks fog.npy and labels.npy"):
        cifar_c(tmp_path, "fog", 1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 32, 32, 3), np.uint8)
    labels = np.tile(np.arange(10, dtype=np.uint8), 5)
    np.save(tmp_path / "fog.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    for severity in range(1, 6):
        part = cifar_c(tmp_path, "fog", severity)
        assert len(part) == 10 and isinstance(part.images, np.memmap)
        image, label = part[7]
        assert label == 7
        stored = images[10 * (severity - 1) + 7]
        assert np.array_equal(np.rint(255 * image.permute(1, 2, 0).numpy()), stored)
    np.save(tmp_path / "labels.npy", labels[:-1])
    with pytest.raises(ValueError, match="five severities"):
        cifar_c(tmp_path, "fog", 1)
    for kind, severity, message in (("rain", 1, "not one of gaussian"), ("fog", 6, "1, 2, 3, 4")):
        with pytest.raises(ValueError, match=message):
            cifar_c(tmp_path, kind, severity)


def test_cifar_10_and_100_with_labels(tmp_path):
    rng = np.random.default_rng(0)

    def batch(path, **labels) -> np.ndarray:
        rows = rng.integers(0, 256, (4, 3072), np.uint8)
        entries = {b"data": rows, **{key.encode(): value for key, value in labels.items()}}
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(entries))
        return rows.reshape(-1, 3, 32, 32)

    ten, hundred = tmp_path / "ten", tmp_path / "hundred"
    rows = [batch(ten / f"data_batch_{i}", labels=[i, 2, 3, 4]) for i in range(1, 6)]
    with pytest.raises(FileNotFoundError, match="lacks test_batch of CIFAR-10"):
        cifar_labelled(ten, "test")
    found = cifar_labelled(ten)
    assert repr(found) == "Arrays(CIFAR-10, train: 20 images)"
    assert found.labels.tolist() == [k for i in range(1, 6) for k in (i, 2, 3, 4)]
    assert np.array_equal(np.rint(255 * found[6][0].numpy()), rows[1][2])
    with pytest.raises(ValueError, match="CIFAR-100 only"):
        cifar_labelled(ten, coarse=True)
    batch(hundred / "test", fine_labels=[9, 99, 0, 1], coarse_labels=[1, 19, 0, 0])
    assert cifar_labelled(hundred, "test").labels.tolist() == [9, 99, 0, 1]
    assert cifar_labelled(hundred, "test", coarse=True)[1][1] == 19
    with pytest.raises(ValueError, match="'train', 'test'"):
        cifar_labelled(ten, "val")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        cifar_labelled(tmp_path / "none")


def test_errors_say_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="has no folders"):
        ImageFolder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no picture in .*empty"):
        ImageFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder .*cat"):
        ImageFolder(tmp_path, categories=["cat"])
    for options in (dict(size=0), dict(resize=1.5), dict(size=9, resize=8)):
        with pytest.raises(ValueError, match="resize|size must be"):
            ImageFolder(tmp_path, **options)
    with pytest.raises(ValueError, match="with a label each"):
        Arrays(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, int), "three")
    for read in (cifar_c, imagenet_c):
        for severity in (3.0, "3", True):
            with pytest.raises(ValueError, match="1, 2, 3, 4 or 5, a whole number"):
                read(tmp_path, "fog", severity)
