"""ResNets with attention: names and numbers, the stages one by one, and what else they take."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import neurodyn as nd
from neurodyn.attention import FeatureAttention, SpatialAttention
from neurodyn.models.attention_resnet import attention_resnet18, attention_resnet50
from neurodyn.models.resnet import resnet18, resnet50
from neurodyn.recurrent_attention import RecurrentAttention

PLAIN = {attention_resnet18: resnet18, attention_resnet50: resnet50}


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def size_of(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("make", "kind", "stage", "tokens", "added"),
    [
        (attention_resnet18, "spatial", 2, (256, 128), 4 * 128**2 + 6 * 128),
        (attention_resnet18, "feature", 4, (512, 16), 4 * 16**2 + 6 * 16),
        (attention_resnet50, "spatial", 2, (256, 512), 4 * 512**2 + 6 * 512),
        (attention_resnet50, "spatial", 3, (64, 512), 4 * 512**2 + 6 * 512 + 18 * 512 * 1024),
        (attention_resnet50, "feature", 4, (2048, 16), 4 * 16**2 + 6 * 16),
    ],
)
def test_the_tables_of_the_docstrings(make, kind, stage, tokens, added):
    own = {"spatial": 2, "feature": 4}[kind]
    network = make(attention=kind, stage=None if stage == own else stage)
    assert network.tap == f"layer{stage}" and not network.training
    assert size_of(network) - size_of(network.backbone) == size_of(network.attention) == added
    maps = torch.zeros(1, network.backbone.fc.in_features >> (4 - stage), *[2 ** (6 - stage)] * 2)
    with torch.no_grad():
        assert network.attention.tokens(maps).shape == (1, *tokens)
        assert network.attention(maps).shape == maps.shape
    rows = [line.split() for line in inspect.getdoc(make).splitlines()]
    assert [kind, str(stage), f"{added:,}"] in [[*row[:2], *row[-1:]] for row in rows]


@pytest.mark.parametrize("make", PLAIN)
@pytest.mark.parametrize("kind", ["spatial", "feature"])
def test_the_backbone_is_the_plain_network_of_the_same_seed(make, kind):
    about = {"channels": 1, "width": 8, "seed": 3}
    before = torch.random.get_rng_state()
    network, plain = make(3, attention=kind, **about), PLAIN[make](3, **about)
    assert torch.equal(torch.random.get_rng_state(), before)
    own = plain.state_dict()
    assert list(network.backbone.state_dict()) == list(own)
    for name, value in network.state_dict().items():
        if name.startswith("backbone."):
            assert torch.equal(value, own.pop(name.removeprefix("backbone.")))
        else:
            assert name.startswith("attention.")
    assert not own
    a, b, c = (make(attention=kind, width=8, seed=seed).attention for seed in (1, 1, 2))
    weights = [x.block.qkv.weight for x in (a, b, c)]
    assert torch.equal(*weights[:2]) and not torch.equal(*weights[1:])


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("make", PLAIN)
@torch.no_grad()
def test_stage_by_stage(make, small):
    x = rand(2, 1, 32, 32)
    for kind, stage in (("spatial", 1), ("spatial", 3), ("feature", 2), ("feature", 3)):
        network = make(
            attention=kind, stage=stage, width=8, image_size=32, small_input=small,
            feedforward=True,
        )  # fmt: skip
        b = network.backbone
        maps = b.maxpool(b.relu1(b.bn1(b.conv1(x))))
        for n in range(1, 5):
            maps = b.get_submodule(f"layer{n}")(maps)
            maps = network.attention(maps) if n == stage else maps
        assert torch.equal(network(x), b.fc(maps.mean((2, 3))))
        assert isinstance(
            network.attention, SpatialAttention if kind == "spatial" else FeatureAttention
        )


@given(st.integers(33, 70), st.integers(1, 4), st.booleans())
@torch.no_grad()
def test_channels_have_as_many_positions_as_the_maps_of_that_size(size, stage, small):
    network = attention_resnet18(
        attention="feature", stage=stage, width=1, image_size=size, small_input=small
    )
    assert network(torch.zeros(1, 1, size, size)).shape == (1, 2)


@pytest.mark.parametrize("kind", ["spatial", "feature"])
def test_every_weight_has_a_gradient(kind):
    network = attention_resnet18(
        attention=kind, stage=3, width=4, heads=2, image_size=32, feedforward=True
    ).train()
    loss = nn.functional.cross_entropy(network(rand(4, 1, 32, 32)), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    assert network.backbone.bn1.num_batches_tracked == 1


@torch.no_grad()
def test_feature_attention_before_the_mean_begins_blind():
    network = attention_resnet18(attention="feature", width=8)
    a, b = network(rand(2, 1, 128, 128)), network(rand(2, 1, 128, 128, seed=1))
    torch.testing.assert_close(a, network.backbone.fc.bias.expand(2, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    assert network.backbone(rand(2, 1, 128, 128)).std(0).max() > 1e-3


@torch.no_grad()
def test_over_time():
    x = rand(2, 1, 64, 64)
    for kind, stage in (("spatial", 2), ("feature", 3)):
        network = attention_resnet18(attention=kind, stage=stage, width=8, image_size=64)
        model = RecurrentAttention(network.backbone, network.tap, network.attention).eval()
        for method in ("euler", "rk4", "dopri5"):
            run = nd.simulate(model, x, [0.0, 1.0, 3.0], method=method)
            found = torch.from_numpy(run["logits"].values)
            torch.testing.assert_close(found[0], network.backbone(x))
            same = torch.allclose(found[1], network(x), rtol=1e-4, atol=1e-5)
            assert same == (method == "euler")
        assert run.layers[f"layer{stage}"]["state"].dims[2:] == ("channel", "y", "x")


@torch.no_grad()
def test_global_attention_on_the_same_network():
    network = attention_resnet18(width=8, image_size=64)
    backbone, x = network.backbone, rand(2, 1, 64, 64)
    model = nd.GlobalAttention(backbone, [*backbone.blocks(), "fc"]).eval()
    run = nd.integrate(model, x, [0.0, 1.0, 2.0], method="euler")
    assert torch.equal(run.readout[0], backbone(x)) and not torch.equal(*run.readout[1:])
    assert [v.name for v in model.variables] == [*backbone.blocks(), "fc"]


def test_weights_of_the_plain_network_from_a_file(tmp_path):
    plain = resnet18(2, channels=1, width=8, seed=7)
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    network = attention_resnet18(2, tmp_path / "weights.pth", width=8)
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name])


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ({"attention": "both"}, "attention 'both' is not one of spatial, feature"),
        ({"stage": 0}, "stage = 0 is not one of 1, 2, 3, 4"),
        ({"attention": "feature", "image_size": 32}, "tokens of length 1 are all the same"),
        ({"heads": 3}, "3 heads do not divide tokens of length 16"),
        ({"image_size": 0}, "image_size = 0 must be 1 or more"),
        ({"width": 0}, "width = 0"),
    ],
)
def test_what_does_not_fit_is_refused(kwargs, told):
    with pytest.raises(ValueError, match=told):
        attention_resnet18(**({"width": 8} | kwargs))


def test_images_of_another_size_are_refused():
    network = attention_resnet18(attention="feature", width=4, image_size=64)
    with pytest.raises(ValueError, match="32 maps of 4 positions, got"):
        network(torch.zeros(1, 1, 128, 128))
