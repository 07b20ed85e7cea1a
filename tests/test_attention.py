"""Self-attention: plain loops, torch's own layers, formulas, and what permutations do."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neurodyn.attention import EncoderBlock, FeatureAttention, SpatialAttention, sinusoids


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def experienced(module, seed=0):
    """Double precision, with biases and norms that are not at their beginnings."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.double().eval().parameters():
        parameter.data += 0.3 * torch.randn(
            parameter.shape, generator=generator, dtype=torch.float64
        )
    return module


# ---- plain loops


def normalised(y, norm):
    mean = sum(y) / len(y)
    variance = sum((v - mean) ** 2 for v in y) / len(y)
    scaled = [(v - mean) / math.sqrt(variance + norm.eps) for v in y]
    return [
        w * v + b for v, w, b in zip(scaled, norm.weight.tolist(), norm.bias.tolist(), strict=True)
    ]


def linear(x, weight, bias):
    return [
        sum(w * v for w, v in zip(row, x, strict=True)) + b
        for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
    ]


def looped(block, tokens, skip):
    """One sample, lists of numbers; returns the tokens and the weights (head, target, source)."""
    d, h = len(tokens[0]), block.heads
    qkv = [linear(x, block.qkv.weight, block.qkv.bias) for x in tokens]
    out, weights = [[] for _ in tokens], []
    for head in range(h):
        part = [slice(n * d + head * d // h, n * d + (head + 1) * d // h) for n in range(3)]
        weights.append([])
        for target, mine in enumerate(qkv):
            scores = [
                sum(a * b for a, b in zip(mine[part[0]], other[part[1]], strict=True))
                for other in qkv
            ]
            exps = [math.exp(s / math.sqrt(d / h)) for s in scores]
            row = [e / sum(exps) for e in exps]
            weights[-1].append(row)
            for k in range(d // h):
                out[target].append(
                    sum(w * other[part[2]][k] for w, other in zip(row, qkv, strict=True))
                )
    result = []
    for s, o in zip(skip, out, strict=True):
        added = linear(o, block.out.weight, block.out.bias)
        y = normalised([a + b for a, b in zip(s, added, strict=True)], block.norm)
        if block.feedforward is not None:
            up = linear(y, block.feedforward.weight, block.feedforward.bias)
            y = normalised([a + max(b, 0.0) for a, b in zip(y, up, strict=True)], block.norm2)
        result.append(y)
    return result, weights


@pytest.mark.parametrize("with_skip", [False, True])
@pytest.mark.parametrize("feedforward", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
@torch.no_grad()
def test_plain_loops(heads, feedforward, with_skip):
    block = experienced(EncoderBlock(6, heads, feedforward=feedforward))
    x, skip = rand(2, 5, 6), rand(2, 5, 6, seed=1)
    found = block(x, skip if with_skip else None)
    for n in range(2):
        right, weights = looped(block, x[n].tolist(), (skip if with_skip else x)[n].tolist())
        torch.testing.assert_close(found[n], torch.tensor(right).double())
        torch.testing.assert_close(block.weights(x)[n], torch.tensor(weights).double())


def twin(block):
    """Torch's encoder layer with the same weights: its second linear layer is the identity."""
    d = block.norm.normalized_shape[0]
    layer = nn.TransformerEncoderLayer(d, block.heads, d, batch_first=True).double().eval()
    attention = layer.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(block.qkv.weight)
        attention.in_proj_bias.copy_(block.qkv.bias)
        layer.linear2.weight.copy_(torch.eye(d))
        layer.linear2.bias.zero_()
    attention.out_proj.load_state_dict(block.out.state_dict())
    layer.norm1.load_state_dict(block.norm.state_dict())
    layer.linear1.load_state_dict(block.feedforward.state_dict())
    layer.norm2.load_state_dict(block.norm2.state_dict())
    return layer


@pytest.mark.parametrize("heads", [1, 2, 8])
@torch.no_grad()
def test_torchs_own_encoder_layer(heads):
    block = experienced(EncoderBlock(8, heads, feedforward=True))
    layer, x = twin(block), rand(3, 7, 8)
    torch.testing.assert_close(block(x), layer(x))
    _, weights = layer.self_attn(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(block.weights(x), weights)


@pytest.mark.parametrize("feedforward", [False, True])
def test_gradients_are_those_of_finite_differences(feedforward):
    block = experienced(EncoderBlock(4, 2, feedforward=feedforward))
    x, skip = rand(2, 3, 4).requires_grad_(), rand(2, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(block, (x, skip))
    block(x, skip).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


def test_gradients_of_maps_are_those_of_finite_differences():
    maps = rand(1, 4, 2, 3).requires_grad_()
    for attention in (
        SpatialAttention(4, 2), SpatialAttention(4, inner=2), FeatureAttention(4, 6, 3),
    ):  # fmt: skip
        assert torch.autograd.gradcheck(experienced(attention), maps)


def test_weights_begin_as_torchs_own():
    before = torch.random.get_rng_state()
    block, same = (EncoderBlock(64, feedforward=True, seed=3).state_dict() for _ in range(2))
    other = EncoderBlock(64, feedforward=True, seed=4).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in block.items():
        assert torch.equal(value, same[name])
        assert torch.equal(value, other[name]) == ("norm" in name or "bias" in name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(64, 1, 64).state_dict()
    for mine, theirs in {
        "qkv.weight": "self_attn.in_proj_weight", "out.weight": "self_attn.out_proj.weight",
        "feedforward.weight": "linear1.weight",
    }.items():  # fmt: skip
        wanted, found = layer[theirs], block[mine]
        assert found.abs().max() == pytest.approx(wanted.abs().max().item(), rel=0.01)
        assert found.std() == pytest.approx(wanted.std().item(), rel=0.03)


def test_made_on_the_cpu_whatever_torchs_default_is():
    with torch.device("meta"):
        made = FeatureAttention(3, 8)
    assert {x.device.type for x in (*made.parameters(), *made.buffers())} == {"cpu"}


def test_dropout_acts_in_training_on_what_is_added():
    block, x = EncoderBlock(8, dropout=1.0).double(), rand(2, 3, 8)
    torch.testing.assert_close(block(x), block.norm(x))
    torch.testing.assert_close(block(x, 2 * x), block.norm(2 * x))
    block.eval()
    assert not torch.allclose(block(x), block.norm(x))
    assert torch.equal(block(x), block(x))


# ---- maps


@given(
    st.integers(1, 3), st.integers(2, 4), st.integers(1, 3), st.integers(1, 4), st.integers(2, 3),
    st.booleans(), st.booleans(),
)  # fmt: skip
@torch.no_grad()
def test_shapes(samples, each, heads, y, x, feedforward, last):
    channels = each * heads
    maps = rand(samples, channels, y, x)
    if last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    for attention, n in (
        (SpatialAttention(channels, heads, feedforward=feedforward), y * x),
        (SpatialAttention(channels, heads, inner=2 * heads), y * x),
        (FeatureAttention(channels, y * x, feedforward=feedforward), channels),
    ):
        attention.double().eval()
        assert attention(maps).shape == maps.shape
        weights = attention.weights(maps)
        assert weights.shape == (samples, attention.block.heads, n, n)
        torch.testing.assert_close(weights.sum(3), torch.ones_like(weights[..., 0]))


@given(st.permutations(range(12)), st.integers(0, 5))
@torch.no_grad()
def test_space_is_unknown_to_attention_between_positions(order, seed):
    attention = experienced(SpatialAttention(6, 2, feedforward=True), seed)
    maps = rand(2, 6, 3, 4, seed=seed)

    def moved(m):
        return m.flatten(2)[:, :, list(order)].unflatten(2, (3, 4))

    torch.testing.assert_close(attention(moved(maps)), moved(attention(maps)))


@given(st.permutations(range(6)), st.integers(0, 5))
@torch.no_grad()
def test_channels_are_known_by_their_encoding_alone(order, seed):
    attention = experienced(FeatureAttention(6, 12, 2, feedforward=True), seed)
    maps, order = rand(2, 6, 3, 4, seed=seed), list(order)
    moved, right = attention(maps[:, order]), attention(maps)[:, order]
    assert torch.allclose(moved, right) == (order == sorted(order))
    attention.encoding = attention.encoding[order]
    torch.testing.assert_close(attention(maps[:, order]), right)


@torch.no_grad()
def test_positions_and_channels_are_tokens():
    maps = rand(2, 6, 3, 4)
    spatial, feature = experienced(SpatialAttention(6, 3)), experienced(FeatureAttention(6, 12, 3))
    by_position = torch.stack([maps[:, :, p // 4, p % 4] for p in range(12)], 1)
    out = spatial.block(by_position)
    for p in range(12):
        torch.testing.assert_close(spatial(maps)[:, :, p // 4, p % 4], out[:, p])
    by_channel = torch.stack([maps[:, c].flatten(1) for c in range(6)], 1)
    out = feature.block(by_channel + sinusoids(6, 12).double())
    for c in range(6):
        torch.testing.assert_close(feature(maps)[:, c].flatten(1), out[:, c])


@torch.no_grad()
def test_convolutions_around_attention():
    maps, attention = rand(2, 8, 3, 4), experienced(SpatialAttention(8, 2, inner=4))
    alone = SpatialAttention(4, 2).double().eval()
    alone.block.load_state_dict(attention.block.state_dict())
    torch.testing.assert_close(attention(maps), attention.expand(alone(attention.squeeze(maps))))
    names = {"squeeze.weight": (4, 8, 3, 3), "expand.weight": (8, 4, 3, 3)}
    shapes = {name: tuple(value.shape) for name, value in attention.state_dict().items()}
    assert names.items() <= shapes.items() and "squeeze.bias" not in shapes


@pytest.mark.parametrize("dim", [1, 6, 7])
def test_sinusoids_are_the_formula(dim):
    found = sinusoids(5, dim)
    for c in range(5):
        for j in range(dim):
            turn = math.sin if j % 2 == 0 else math.cos
            right = turn(c / 10000 ** (2 * (j // 2) / dim))
            assert found[c, j].item() == pytest.approx(right, abs=1e-7)


@pytest.mark.parametrize("inner", [None, 4])
@torch.no_grad()
def test_maps_lie_in_memory_as_they_came(inner):
    attention, maps = experienced(SpatialAttention(6, inner=inner)), rand(2, 6, 3, 4)
    last = maps.contiguous(memory_format=torch.channels_last)
    assert attention(maps).is_contiguous()
    assert attention(last).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(attention(maps), attention(last))


def test_untrained_norms_take_away_the_mean_of_each_map():
    maps = rand(2, 6, 3, 4).requires_grad_()
    attention = FeatureAttention(6, 12).double().eval()
    pooled = attention(maps).mean((2, 3))
    torch.testing.assert_close(pooled, torch.zeros_like(pooled))
    pooled.square().sum().backward()
    torch.testing.assert_close(maps.grad, torch.zeros_like(maps))
    attention.block.norm.weight.data[0] = 2.0
    assert attention(maps).mean((2, 3)).abs().min() > 1e-3


def test_copies_and_files():
    attention = FeatureAttention(6, 12)
    assert "encoding" not in attention.state_dict()
    for other in (copy.deepcopy(attention), pickle.loads(pickle.dumps(attention))):
        x = torch.rand(1, 6, 3, 4)
        assert torch.equal(attention.eval()(x), other.eval()(x))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: EncoderBlock(6, 4), "4 heads do not divide tokens of length 6"),
        (lambda: EncoderBlock(6, 0), "0 heads do not divide"),
        (lambda: EncoderBlock(6, 2.0), "2.0 heads do not divide"),
        (lambda: FeatureAttention(8, 1), "tokens of length 1 are all the same"),
        (lambda: SpatialAttention(1), "tokens of length 1 are all the same"),
        (lambda: EncoderBlock(0), "length 0"),
        (lambda: SpatialAttention(8, 3, inner=4), "3 heads do not divide tokens of length 4"),
        (lambda: SpatialAttention(6)(torch.rand(1, 5, 2, 2)), r"\(sample, 6, y, x\), got"),
        (lambda: SpatialAttention(6)(torch.rand(1, 6, 2)), r"\(sample, 6, y, x\), got"),
        (lambda: FeatureAttention(6, 4)(torch.rand(1, 6, 2, 3)), "6 maps of 4 positions, got"),
        (lambda: FeatureAttention(6, 4)(torch.rand(1, 5, 2, 2)), "6 maps of 4 positions, got"),
    ],
)
def test_what_does_not_fit_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
