"""Self-attention on maps against its own products.

    OMP_NUM_THREADS=2 python benchmarks/attention.py [--device cuda] [--precision bfloat16]
        [--cases spatial-18 ...] [--batch 16] [--repeats 25]

The stages of ResNets where attention stands for images of 128 x 128 pixels; ``-224`` of those of
224. The floor is `torch.nn.functional.scaled_dot_product_attention` on queries, keys and values as
they should lie, and the dense products before and behind it. Against it, forward, then forward and
backward:

- ``block``: `EncoderBlock`, which also adds the skip, normalises, and splits into heads,
- ``torch``: `torch.nn.MultiheadAttention` and a norm, the same numbers,
- ``maps``: the attention from maps to maps, as they lie in contiguous and in channels-last memory,
- ``evaluation``: dz/dt of `RecurrentAttention` on such a stage.

All run in turns in one process, after two calls that are not counted; medians, wall (and CPU where
that is the device), ratios are medians of the ratios within a turn. The largest difference between
``block`` and ``torch``, and between ``block`` and ``maps``, is printed, relative to the largest
number.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurodyn.attention import Attention, FeatureAttention, SpatialAttention
from neurodyn.recurrent_attention import RecurrentAttention

CASES = {  # channels, side, heads (None: between channels)
    "spatial-18": (128, 16, 4),
    "spatial-50": (512, 16, 8),
    "spatial-50-224": (512, 28, 8),
    "feature-18": (512, 4, None),
    "feature-50": (2048, 4, None),
    "feature-50-224": (2048, 7, None),
}
Way = Callable[[Tensor], Tensor | tuple[Tensor, ...]]


class Torch(nn.Module):
    """Torch's own multi-head attention with the block's weights, and the block's norm."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        block = attention.block
        like = block.qkv.weight
        dim = like.shape[1]
        self.mha = nn.MultiheadAttention(
            dim, block.heads, batch_first=True, device=like.device, dtype=like.dtype
        )
        with torch.no_grad():
            self.mha.in_proj_weight.copy_(block.qkv.weight)
            self.mha.in_proj_bias.copy_(block.qkv.bias)
            self.mha.out_proj.load_state_dict(block.out.state_dict())
        self.norm = block.norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.mha(x, x, x, need_weights=False)[0])


class Floor(nn.Module):
    """The products alone: dense, scores and sums (fused), dense."""

    def __init__(self, attention: Attention, x: Tensor) -> None:
        super().__init__()
        self.block = attention.block
        self.qkv = [part.contiguous().detach() for part in self.block.split(x)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        q, k, v = (part.requires_grad_(torch.is_grad_enabled()) for part in self.qkv)
        return self.block.qkv(x), F.scaled_dot_product_attention(q, k, v), self.block.out(x)


def seconds(way: Way, x: Tensor, backward: bool) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    gpu = x.is_cuda
    if gpu:
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.set_grad_enabled(backward):
        out = way(x)
        if backward:
            outs = out if isinstance(out, tuple) else (out,)
            torch.autograd.backward(outs, [torch.ones_like(y) for y in outs])
    if gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def table(ways: dict[str, tuple[Way, Tensor]], repeats: int, backward: bool) -> None:
    """Run all ways in turns, and print how long each took and its share of the first."""
    for way, x in ways.values():
        seconds(way, x, backward)
        seconds(way, x, backward)
    turns = [[seconds(*way, backward) for way in ways.values()] for _ in range(repeats)]
    print("  forward and backward" if backward else "  forward")
    for n, name in enumerate(ways):
        wall, cpu = (statistics.median(turn[n][k] for turn in turns) for k in (0, 1))
        ratio = [statistics.median(t[n][k] / t[0][k] for t in turns) for k in (0, 1)]
        print(f"    {name:22s} {1e3 * wall:9.3f} ms wall {1e3 * cpu:9.3f} ms CPU   "
              f"{ratio[0]:6.2f} ({ratio[1]:5.2f}) of the floor", flush=True)  # fmt: skip


def difference(a: Tensor, b: Tensor) -> float:
    """Return the largest difference, relative to the largest number."""
    return float((a - b).abs().max() / a.abs().max())


def case(name: str, args: argparse.Namespace) -> None:
    """Print the times of one stage."""
    channels, side, heads = CASES[name]
    attention: Attention = (
        FeatureAttention(channels, side**2, dropout=0)
        if heads is None
        else SpatialAttention(channels, heads, dropout=0)
    )
    dtype = getattr(torch, args.precision)
    attention = attention.to(args.device, dtype).eval()
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(args.batch, channels, side, side, generator=generator)
    maps = maps.to(args.device, dtype)
    last = maps.contiguous(memory_format=torch.channels_last)
    x = attention.tokens(maps).detach()
    torchs = Torch(attention).eval()
    model = RecurrentAttention(nn.Sequential(nn.Identity(), nn.Flatten()), "0", attention).eval()
    drive, t = model.drive(last), torch.zeros(())
    _, n, d = x.shape
    products = n * d * 4 * d + 2 * n * n * d
    print(f"{name}, batch {args.batch}: {n} tokens of {d}, {attention.block.heads} heads, "
          f"{products / 1e6:.1f} million multiply-adds a sample")  # fmt: skip
    with torch.no_grad():
        ours = attention.block(x)
        told = difference(ours, torchs(x)), difference(attention.maps(ours, maps), attention(last))
    print(f"  differences: torch {told[0]:.1e}, maps {told[1]:.1e}")
    for backward in (False, True):
        x, maps, last = (y.detach().requires_grad_(backward) for y in (x, maps, last))
        ways: dict[str, tuple[Way, Tensor]] = {
            "floor": (Floor(attention, x), x),
            "block": (attention.block, x),
            "torch": (torchs, x),
            "maps": (attention, maps),
            "maps, channels last": (attention, last),
        }
        if not backward:
            ways["evaluation"] = (lambda z: model(t, (z,), drive)[0], last)
        table(ways, args.repeats, backward)


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    args = parser.parse_args()
    where = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {where}, "
          f"{args.precision}")  # fmt: skip
    for name in args.cases:
        case(name, args)


if __name__ == "__main__":
    main()
