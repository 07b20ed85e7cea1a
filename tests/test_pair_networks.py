"""The networks that judge pairs: beside torch's own layers and by hand."""

import copy

import pytest
import torch
from torch import nn

from neurodyn.models.pair_networks import Dropout, Pool, pair_cnn, siamese_twin


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_the_pool_is_torchs_also_in_its_gradient(form):
    draws = torch.Generator().manual_seed(0)
    x = torch.randint(0, 3, (3, 4, 9, 7), generator=draws).double()  # many are equal
    x = x.to(memory_format=form)
    weight = torch.rand(3, 4, 8, 6, generator=draws, dtype=torch.float64)
    found = []
    for pool in (Pool(), nn.MaxPool2d(2, stride=1)):
        y = x.clone().requires_grad_()
        out = pool(y)
        (out * weight).sum().backward()
        found.append((out, y.grad))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-12)


def published(network, size):
    """The layers in the order of the text: convolution, rectifier, pool."""
    layers: list[nn.Module] = []
    for k in range(6):
        layers += [nn.Conv2d(4 if k else 1, 4, 2), nn.ReLU(), nn.MaxPool2d(2, stride=1)]
    features = nn.Sequential(*layers, nn.Flatten())
    n = 4 * (size[0] - 12) * (size[1] - 12)
    classifier = nn.Sequential(
        nn.Linear(n, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1)
    )
    both = nn.ModuleList([features, classifier])
    own = [value for name, value in network.state_dict().items() if "steps" not in name]
    both.load_state_dict(dict(zip(both.state_dict(), own, strict=True)))
    return features, classifier


def test_the_cnn_is_the_published_one_and_its_logit_that_of_a_sigmoid():
    network = pair_cnn(seed=2)
    features, classifier = published(network, (50, 80))
    images = torch.rand(5, 1, 50, 80, generator=torch.Generator().manual_seed(1))
    z = classifier(features(images))
    out = network(images)
    torch.testing.assert_close(out, torch.cat([0 * z, z], 1))
    labels = torch.tensor([0, 1, 1, 0, 1])
    torch.testing.assert_close(
        nn.functional.cross_entropy(out, labels),
        nn.functional.binary_cross_entropy(z.sigmoid()[:, 0], labels.float()),
    )


def test_the_twin_compares_features_of_either_window():
    network = siamese_twin(seed=2)
    features, classifier = published(network, (16, 16))
    images = torch.rand(5, 1, 16, 32, generator=torch.Generator().manual_seed(1))
    z = classifier(features(images[..., :16]) - features(images[..., 16:]))
    torch.testing.assert_close(network(images)[:, 1:], z)


def test_equal_windows_differ_by_exactly_0_also_in_training():
    network = siamese_twin(seed=3).train()
    window = torch.rand(7, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    compared = network.compared(torch.cat([window, window], 3))
    assert torch.equal(compared, torch.zeros(7, 64))
    assert len(network(torch.cat([window, window], 3)).unique()) == 1


@pytest.mark.parametrize("make", [pair_cnn, siamese_twin])
def test_weights_are_of_the_seed_alone(make):
    before = torch.random.get_rng_state()
    one, again, other = make(seed=1), make(seed=1), make(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before) and not one.training
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(one.features[0].weight, other.features[0].weight)
    assert not one.features[0].bias.any()
    assert one.features[3].weight.std().item() == pytest.approx((2 / 16) ** 0.5, rel=0.3)


def test_dropout_is_of_the_seed_and_the_step_and_goes_on():
    before = torch.random.get_rng_state()
    dropout = Dropout(0.3, seed=4).train()
    x = torch.ones(100, 1000)
    first = dropout(x)
    saved = copy.deepcopy(dropout.state_dict())
    second = dropout(x)
    later = Dropout(0.3, seed=4).train()
    later.load_state_dict(saved)
    assert torch.equal(later(x), second) and not torch.equal(first, second)
    assert not torch.equal(Dropout(0.3, seed=5).train()(x), first)
    assert torch.equal(torch.random.get_rng_state(), before)
    kept = first != 0
    assert abs(kept.float().mean().item() - 0.7) < 5 * (0.21 / 1e5) ** 0.5
    torch.testing.assert_close(first[kept], torch.full((int(kept.sum()),), 1 / 0.7))
    assert dropout.eval()(x) is x and dropout.steps == 2


def test_gradients_reach_every_weight():
    network = pair_cnn(seed=0).train()
    images = (torch.rand(20, 1, 50, 80, generator=torch.Generator().manual_seed(0)) > 0.9).float()
    nn.functional.cross_entropy(network(images), torch.arange(20) % 2).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_too_small_is_refused():
    with pytest.raises(ValueError, match=r"size must be 13 or more along y and x, got \(12, 20\)"):
        pair_cnn(size=(12, 20))
