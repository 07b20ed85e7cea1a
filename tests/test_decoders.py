"""The default decoders for any pair of sizes, and how far a decoder spreads."""

import itertools
import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from neurodyn.decoders import Decoder, reach

MAPS = st.tuples(st.integers(1, 5), st.integers(1, 17), st.integers(1, 17))
VOLUMES = st.tuples(st.integers(1, 3), *[st.integers(1, 6)] * 3)
TOKENS = st.tuples(st.integers(1, 12), st.integers(1, 5))
VECTORS = st.tuples(st.integers(1, 20))
ANY = st.one_of(MAPS, VOLUMES, TOKENS, VECTORS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(ANY, ANY, st.integers(1, 3))
@example((2, 17, 17), (3, 2, 2), 1)  # to much smaller: the centre must not be skipped
@example((17, 2), (2, 3), 2)
def test_any_layer_predicts_any_other(source, target, samples):
    decoder = Decoder(source, target, seeded())
    state = torch.rand(samples, *source, generator=seeded(1))
    out = decoder(state)
    assert out.shape == (samples, *target) and out.dtype == state.dtype
    assert out.isfinite().all()
    torch.testing.assert_close(out[:1], decoder(state[:1]))  # samples are apart
    count, shape = reach(decoder, source)
    assert shape == target and 1 <= count <= math.prod(target)


@given(st.one_of(st.tuples(MAPS, MAPS), st.tuples(TOKENS, TOKENS), st.tuples(VOLUMES, VOLUMES)))
def test_between_layers_of_a_kind_a_decoder_is_linear_and_small(pair):
    source, target = pair
    decoder = Decoder(source, target, seeded()).double()
    a, b = (torch.rand(2, *source, generator=seeded(i)).double() for i in (1, 2))
    zero = decoder(torch.zeros_like(a))
    torch.testing.assert_close(
        decoder(2 * a - b) - zero, 2 * (decoder(a) - zero) - (decoder(b) - zero)
    )
    taps = 1 if len(source) == 2 else 3 ** (len(source) - 1)
    channel = 1 if len(source) == 2 else 0
    assert decoder.weight.numel() == taps * source[channel] * target[channel]


@given(MAPS, st.integers(1, 5))
def test_between_maps_of_one_size_it_is_the_convolution(source, channels):
    decoder = Decoder(source, (channels, *source[1:]), seeded())
    plain = nn.Conv2d(source[0], channels, 3, padding=1)
    plain.load_state_dict(decoder.state_dict())
    state = torch.rand(2, *source, generator=seeded(1))
    torch.testing.assert_close(decoder(state), plain(state))


def test_twice_the_size_is_predifys_default():
    """Bilinear upsampling and a 3x3 transposed convolution: the same with the kernel turned."""
    decoder = Decoder((5, 4, 6), (3, 8, 12), seeded())
    turned = nn.ConvTranspose2d(5, 3, 3, padding=1)
    with torch.no_grad():
        turned.weight.copy_(decoder.weight.flip(2, 3).transpose(0, 1))
        turned.bias.copy_(decoder.bias)
    predify = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), turned)
    state = torch.rand(2, 5, 4, 6, generator=seeded(1))
    torch.testing.assert_close(decoder(state), predify(state))


def test_tokens_share_one_map():
    decoder = Decoder((7, 4), (7, 3), seeded())
    state = torch.rand(2, 7, 4, generator=seeded(1))
    order = torch.randperm(7, generator=seeded(2))
    torch.testing.assert_close(decoder(state)[:, order], decoder(state[:, order]))


@given(st.integers(0, 1000), ANY, ANY)
def test_weights_come_from_the_generator_alone(seed, source, target):
    before = torch.random.get_rng_state()
    first, second = (Decoder(source, target, seeded(seed)) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = Decoder(source, target, seeded(seed + 1))
    assert not torch.equal(first.weight, other.weight)
    fan_in = math.prod(first.weight.shape[1:])
    assert first.weight.abs().max() <= 1 / math.sqrt(fan_in)


def test_weights_are_spread_as_torchs_own():
    decoder = Decoder((16, 8, 8), (16, 8, 8), seeded())
    plain = nn.Conv2d(16, 16, 3)
    assert decoder.weight.std().item() == pytest.approx(plain.weight.std().item(), rel=0.1)


def test_its_name_says_from_what_to_what():
    assert repr(Decoder((3,), (2, 4), seeded())) == "Decoder((3,) -> (2, 4))"


# ---- how far a decoder spreads


def brute_force(decoder, shape):
    """Outputs that change when the centre does, for any of many random weights and states."""
    moved = None
    centre = (0, *(size // 2 for size in shape))
    for seed in range(6):
        generator = seeded(seed)
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.1)
        state = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
        other = state.clone()
        other[centre] += 1
        now = decoder(state) != decoder(other)
        moved = now if moved is None else moved | now
    return int(moved.sum())


@given(ANY, ANY)
def test_reach_counts_what_the_centre_moves(source, target):
    decoder = Decoder(source, target, seeded())
    count, _ = reach(decoder, source)
    assert count == brute_force(decoder.double(), source)


@pytest.mark.parametrize(
    ("decoder", "shape", "count"),
    [
        (nn.ConvTranspose2d(8, 3, 3, padding=1), (8, 16, 16), 27),
        (nn.ConvTranspose2d(12, 8, 6, stride=2, padding=2), (12, 8, 8), 288),
        (nn.Sequential(nn.ConvTranspose2d(12, 8, 6, stride=2, padding=2), nn.ReLU()), (12, 8, 8),
         288),
        (nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"),
                       nn.ConvTranspose2d(16, 12, 3, padding=1)), (16, 4, 4), 432),
        (nn.Sequential(nn.ConvTranspose2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                       nn.ConvTranspose2d(4, 2, 3, padding=1)), (4, 9, 9), 50),
        (nn.Sequential(nn.ConvTranspose2d(64, 3, 5, padding=2), nn.Sigmoid()), (64, 9, 9), 75),
        (nn.Sequential(nn.ConvTranspose2d(8, 3, 3, padding=1), nn.Tanh()), (8, 9, 9), 27),
        (nn.Identity(), (3, 5, 5), 1),
    ],
)  # fmt: skip
def test_reach_of_known_decoders(decoder, shape, count):
    assert reach(decoder, shape)[0] == count


def test_reach_does_not_depend_on_the_weights_and_leaves_them():
    for fill in (0.0, -1.0, 1e-30, 1e30):
        decoder = nn.Sequential(
            nn.ConvTranspose2d(3, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU()
        )
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.fill_(fill)
        decoder[1].running_mean.fill_(1e3)
        before = {k: v.clone() for k, v in decoder.state_dict().items()}
        assert reach(decoder, (3, 7, 7)) == (18, torch.Size([2, 7, 7]))
        assert all(torch.equal(v, before[k]) for k, v in decoder.state_dict().items())
        assert decoder.training and decoder[0].weight.dtype == torch.float32


def test_reach_works_wherever_gradients_are_off():
    decoder = nn.ConvTranspose2d(8, 3, 3, padding=1)
    for mode in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with mode:
            assert reach(decoder, (8, 16, 16))[0] == 27
    assert all(p.grad is None and p.requires_grad for p in decoder.parameters())


def test_a_decoder_that_changes_the_state_is_refused():
    decoder = nn.Sequential(nn.ReLU(inplace=True), nn.ConvTranspose2d(8, 3, 3, padding=1))
    with pytest.raises(ValueError, match="changes its input in place.*inplace=False"):
        reach(decoder, (8, 9, 9))
    late = nn.Sequential(nn.ConvTranspose2d(8, 3, 3, padding=1), nn.ReLU(inplace=True))
    assert reach(late, (8, 9, 9))[0] == 27


def test_reach_does_not_touch_global_chance():
    decoder = nn.Linear(5, 4)
    before = torch.random.get_rng_state()
    assert [reach(decoder, (5,), seed)[0] for seed in range(3)] == [4, 4, 4]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_pair_of_kinds_is_covered_above():
    """The strategies do draw each pair of ranks; a guard for the property tests."""
    kinds = {(3,), (2, 4), (2, 3, 3), (2, 3, 3, 3)}
    for source, target in itertools.product(kinds, kinds):
        out = Decoder(source, target, seeded())(torch.rand(2, *source))
        assert out.shape == (2, *target)
