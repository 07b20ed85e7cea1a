"""Stimuli: the shipped digits and noise."""

import time

import pytest
import torch

from neurodyn import stimuli


def test_split_is_fixed_disjoint_and_complete() -> None:
    train, train_labels = stimuli.digits("train")
    test, test_labels = stimuli.digits("test")
    assert train.shape == (8000, 1, 32, 32) and test.shape == (2000, 1, 32, 32)
    assert train.dtype == torch.float32 and test_labels.dtype == torch.int64
    assert train.min() == 0 and train.max() == 1
    counts = torch.cat([train_labels, test_labels]).bincount()
    assert counts.tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    everything = torch.cat([train, test]).mul(255).round().byte().flatten(1).numpy()
    assert len({image.tobytes() for image in everything}) == 10_000  # nothing is in both parts
    # the order itself: weights that ship with the package were trained on this split
    assert test_labels[:12].tolist() == [7, 6, 6, 8, 9, 1, 2, 7, 5, 3, 8, 6]
    assert train_labels[:12].tolist() == [8, 7, 0, 8, 7, 9, 9, 2, 6, 4, 1, 9]


def test_padding_surrounds_the_original_with_zeros() -> None:
    small, _ = stimuli.digits("test", n=3, size=28)
    large, _ = stimuli.digits("test", n=3, size=33)
    assert torch.equal(large[..., 2:30, 2:30], small)
    large[..., 2:30, 2:30] = 0
    assert not large.any()


@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper"])
def test_noise_of_an_image_does_not_depend_on_how_many_there_are(kind: str) -> None:
    many, labels = stimuli.digits("test", n=50, noise=0.3, noise_type=kind, seed=7)
    few, few_labels = stimuli.digits("test", n=3, noise=0.3, noise_type=kind, seed=7)
    assert torch.equal(many[:3], few) and torch.equal(labels[:3], few_labels)
    other, _ = stimuli.digits("test", n=3, noise=0.3, noise_type=kind, seed=8)
    assert not torch.equal(other, few)
    state = torch.random.get_rng_state()
    stimuli.digits("test", n=3, noise=0.3, noise_type=kind)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_gaussian_has_the_stated_moments_and_is_not_clipped() -> None:
    images = torch.full((200, 1, 32, 32), 0.5)
    z = stimuli.gaussian(images, 0.8, seed=1) - images
    assert abs(z.mean()) < 5 * 0.8 / z.numel() ** 0.5
    assert abs(z.std() - 0.8) < 5 * 0.8 / (2 * z.numel()) ** 0.5
    assert z.min() < -2 and z.max() > 2
    neighbours = torch.corrcoef(z.flatten(1)[:2])[0, 1]
    assert abs(neighbours) < 5 / 1024**0.5  # images do not share their noise
    scaled = stimuli.gaussian(images, 0.4, seed=1) - images
    assert torch.allclose(scaled, z / 2, atol=1e-6)


def test_salt_pepper_replaces_the_stated_share_half_each() -> None:
    images = torch.full((200, 1, 32, 32), 0.5, dtype=torch.float64)
    noisy = stimuli.salt_pepper(images, 0.3, seed=1)
    assert noisy.dtype == torch.float64
    for value in (0.0, 1.0):
        share = (noisy == value).double().mean().item()
        assert abs(share - 0.15) < 5 * (0.15 * 0.85 / noisy.numel()) ** 0.5
    changed = noisy != images
    more = stimuli.salt_pepper(images, 0.6, seed=1) != images
    assert (more & changed).sum() == changed.sum()
    assert not (stimuli.salt_pepper(images, 1.0) == 0.5).any()
    assert torch.equal(stimuli.salt_pepper(images, 0.0), images)


def test_two_thousand_noisy_images_take_well_under_a_second() -> None:
    stimuli.digits("test")
    start = time.process_time()
    stimuli.digits("test", noise=0.4)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, "split 'val' is not one of 'train', 'test'"),
        ({"noise_type": "speckle"}, "not one of 'gaussian', 'salt_pepper'"),
        ({"n": 0}, r"from 1 to 8000 \(split 'train'\), got 0"),
        ({"split": "test", "n": 2001}, "from 1 to 2000"),
        ({"n": 2.0}, "whole number"),
        ({"noise": -0.1}, "noise must be a number from 0 up"),
        ({"noise": float("nan")}, "noise must be a number from 0 up"),
        ({"noise": 1.5, "noise_type": "salt_pepper"}, "p must be a number from 0 to 1, got 1.5"),
        ({"size": 27}, "28 or more"),
        ({"noise": 0.1, "seed": -1}, "seed must be a whole number from 0 up"),
    ],
)
def test_errors_say_what_is_allowed(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stimuli.digits(**arguments)


def test_images_of_whole_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"torch.uint8, shape \(2, 3\).*float\(\) / 255"):
        stimuli.gaussian(torch.zeros(2, 3, dtype=torch.uint8), 0.1)
