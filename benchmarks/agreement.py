"""Global agreement: coupling against all pairs, and an evaluation against plain passes.

    python benchmarks/agreement.py [--tables coupling memory phases attention] [--batch 1 16 64]

Networks are untrained, keys and queries 16 long; one thread unless ``--threads`` says otherwise.
All ways of a table run in turns in one process, after a first call that is not counted; times are
medians, wall and CPU, and ratios medians of the ratios within a turn.

``coupling``: from activities to the derivative of the phases of GASPnet, 1,370 nodes on 32 x 32
pixels and 20,207 on 124 x 124, against keys at all nodes and against all pairs (r is built, its
rows in parts of at most 2**24 numbers: once with sums of sines and cosines, and once with the sine
of every difference, as the equation is written). All compute the same numbers, which is checked.
``memory``: the peak of the same above what there was before, on 64 to 256 pixels, in a process that
returns freed blocks at once. ``phases``: one evaluation of GASPnet and one readout against three
passes of its network, as it comes and with weights and images in channels-last memory.
``attention``: one evaluation of GAttANet and one readout against one pass.

Floors are multiply-adds: of coupling those of its sums; of an evaluation those of its convolutions
and dense layers, counted from their shapes, beside those of the passes.
"""

import argparse
import copy
import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.keys import by_node
from neurodyn.models.gaspnet import WIDTHS
from neurodyn.models.gattanet import TAPS, gattanet, plain

SIDES = {1370: 32, 20_207: 124}
PARTS = 2**24
"""As many numbers of r are built at a time."""


class Case:
    """GASPnet for images of some size, and one state of it."""

    def __init__(self, side: int, batch: int, keys: str) -> None:
        network = plain(widths=WIDTHS, channels=1, pool=nn.AvgPool2d, image_size=side)
        generator = torch.Generator().manual_seed(0)
        self.images = torch.rand(batch, 1, side, side, generator=generator)
        self.model = nd.PhaseAgreement(network, TAPS, keys=keys, example=self.images[:1]).eval()
        self.drive = self.model.drive(self.images)
        self.phases = self.model.initial_state(self.drive, generator)
        self.activities = self.model.activities(self.phases, self.drive)
        self.nodes = sum(p[0].numel() for p in self.phases)
        self.t = torch.zeros((), dtype=torch.float64)

    def ours(self) -> Tensor:
        """Return kappa d phi / dt of all nodes, as the library computes it."""
        flow = self.model.pull(self.activities, self.phases, self.drive)
        return torch.cat([part.flatten(1) for part in flow], 1)

    def keys(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys, queries / s and weights of all nodes: centred, not of one length."""
        keys, queries, weights = [], [], []
        pairs = zip(self.model.key_weights, self.model.query_weights, strict=True)
        for m, (key, query) in zip(self.activities, pairs, strict=True):
            for weight, found in ((key, keys), (query, queries)):
                k = by_node(m) @ weight if m.ndim > 2 else m[..., None] * weight
                found.append(k - k.mean(1, keepdim=True))
            n = keys[-1].shape[1]
            weights.append(m.new_full((n,), 1 / (len(self.activities) * n)))
        k, q = torch.cat(keys, 1), torch.cat(queries, 1)
        s = (k.square().sum(2).mean(1) * q.square().sum(2).mean(1)).sqrt()
        return k, q / s[:, None, None], torch.cat(weights)

    def key_maps(self) -> Tensor:
        """Return the same from keys at all nodes, and sums over them."""
        k, q, weight = self.keys()
        phase = torch.cat([p.flatten(1) for p in self.phases], 1)
        cos, sin = phase.cos(), phase.sin()
        pulls = []
        for wave in (cos, sin):
            total = torch.einsum("bnd,bn,n->bd", k, wave, weight)
            mean = (wave * weight).sum(1, keepdim=True)
            pulls.append(torch.einsum("bnd,bd->bn", q, total) - self.model.desynchrony * mean)
        return cos * pulls[1] - sin * pulls[0]

    def all_pairs(self, sines: bool) -> Tensor:
        """Return the same by building r."""
        k, q, weight = self.keys()
        phase = torch.cat([p.flatten(1) for p in self.phases], 1)
        waves = torch.stack([phase.cos(), phase.sin()], 2)
        rows = max(1, PARTS // (len(phase) * phase.shape[1]))
        pulls = []
        for part in torch.arange(phase.shape[1]).split(rows):
            r = (q[:, part] @ k.mT - self.model.desynchrony) * weight
            if sines:
                pulls.append((r * (phase[:, None] - phase[:, part, None]).sin()).sum(2))
            else:
                field, z = r @ waves, waves[:, part]
                pulls.append(z[..., 0] * field[..., 1] - z[..., 1] * field[..., 0])
        return torch.cat(pulls, 1)


def pooling(case: Case) -> int:
    """Multiply-adds of one sample's sums: to pool two waves, to read them, to measure lengths.

    Those of the first layer are known: it does not depend on phases.
    """
    maps = [m[0] for m in case.activities if m.ndim > 2]
    return sum(4 * m.numel() for m in maps) + sum(len(m) * m.numel() for m in maps[1:])


def built_keys(case: Case) -> int:
    """Multiply-adds of one sample's keys and queries, and of their sums."""
    keys = sum(2 * m[0].numel() for m in case.activities if m.ndim > 2)
    return (keys + 4 * case.nodes) * case.model.dim


def products(network: nn.Module, images: Tensor) -> dict[str, int]:
    """Count the multiply-adds of each convolution and dense layer, of one sample."""
    found: dict[str, int] = {}

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor, name: str) -> None:
        found[name] = module.weight[0].numel() * out[0].numel()

    handles = [
        module.register_forward_hook(functools.partial(count, name=name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    network(images[:1])
    for handle in handles:
        handle.remove()
    return found


def clock(function: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def table(ways: dict[str, Callable[[], object]], repeats: int) -> None:
    """Run ways in turns, and print how long each took and its share of the first."""
    for function in ways.values():
        function()
    turns = [[clock(function) for function in ways.values()] for _ in range(repeats)]
    for n, way in enumerate(ways):
        wall, cpu = (statistics.median(turn[n][k] for turn in turns) for k in (0, 1))
        ratios = [statistics.median(t[n][k] / t[0][k] for t in turns) for k in (0, 1)]
        print(f"  {way:28s} {1e3 * wall:9.2f} ms wall {1e3 * cpu:9.2f} ms CPU   "
              f"{ratios[0]:7.3f} ({ratios[1]:7.3f}) of {next(iter(ways))}", flush=True)  # fmt: skip


def coupling(args: argparse.Namespace) -> None:
    """Print times of the coupling alone."""
    for nodes, side in SIDES.items():
        batch = 16 if nodes < 10_000 else 1
        dot, cosine = Case(side, batch, "dot"), Case(side, batch, "cosine")
        assert dot.nodes == nodes
        right = dot.all_pairs(sines=True)
        for found in (dot.ours(), dot.key_maps(), dot.all_pairs(sines=False)):
            assert (found - right).abs().max() < 1e-4 * right.abs().max()
        print(f"coupling, {nodes} nodes, batch {batch}")
        small, maps, pairs = pooling(dot), built_keys(dot), nodes**2 * (dot.model.dim + 2)
        print(f"  millions of multiply-adds a sample: pooled {small / 1e6:.3g}, key maps "
              f"{maps / 1e6:.3g}, all pairs {pairs / 1e6:.4g}", flush=True)  # fmt: skip
        ways = {
            "keys='dot'": dot.ours,
            "keys='cosine'": cosine.ours,
            "dot, key maps": dot.key_maps,
        }
        table(ways, args.repeats)
        ways = {
            "keys='dot'": dot.ours,
            "dot, all pairs": lambda: dot.all_pairs(sines=False),  # noqa: B023
            "dot, all pairs, sines": lambda: dot.all_pairs(sines=True),  # noqa: B023
        }
        table(ways, max(2, args.repeats // 8))


def memory(args: argparse.Namespace) -> None:
    """Print the peak memory of the coupling for several numbers of nodes."""
    print("memory of the coupling, batch 4, above what there was", flush=True)
    call = [sys.executable, __file__, "--peak"]
    blocks = {"MALLOC_MMAP_THRESHOLD_": "16384", "MALLOC_TRIM_THRESHOLD_": "0"}
    subprocess.run(call, check=True, env=os.environ | blocks)


def peaks() -> None:
    """Print peaks, in a process that gives back to the system what it frees."""
    for keys in ("dot", "cosine"):
        for side in (64, 128, 256):
            case = Case(side, 4, keys)
            case.ours()
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # forget the peak so far
            before = status("VmRSS")
            case.ours()
            kilobytes = status("VmHWM") - before
            each = 2**10 * kilobytes / 4 / case.nodes
            print(f"  {keys:8s} {case.nodes:6d} nodes {kilobytes / 2**10:7.1f} MB "
                  f"{each:6.0f} bytes a node", flush=True)  # fmt: skip


def status(key: str) -> int:
    """Read one line of this process's status, in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))


def thrice(network: nn.Module, images: Tensor) -> None:
    """Run a network three times."""
    for _ in range(3):
        network(images)


def phases(args: argparse.Namespace) -> None:
    """Print times of an evaluation of GASPnet against three passes."""
    for batch in args.batch:
        cases = {keys: Case(32, batch, keys) for keys in ("cosine", "dot")}
        network, images = cases["dot"].model.backbone, cases["dot"].images
        counted = list(products(network, images).values())
        own = 3 * sum(counted[1:]) - counted[1] * cases["dot"].model.taps.second_known
        passes, sums = 3 * sum(counted), pooling(cases["dot"])
        print(f"GASPnet, batch {batch}")
        print(f"  millions of multiply-adds a sample: three passes {passes / 1e6:.3g}, an "
              f"evaluation {own / 1e6:.3g} and {sums / 1e6:.3g} of coupling")  # fmt: skip
        last = copy.deepcopy(network).to(memory_format=torch.channels_last)
        ways: dict[str, Callable[[], object]] = {
            "three passes": functools.partial(thrice, network, images),
            "three passes, channels last": functools.partial(
                thrice, last, images.contiguous(memory_format=torch.channels_last)
            ),
        }
        for keys, case in cases.items():
            given = (case.phases, case.drive)
            ways[f"evaluation, keys={keys!r}"] = functools.partial(case.model, case.t, *given)
            ways[f"readout, keys={keys!r}"] = functools.partial(case.model.readout, *given)
        ways["drive"] = functools.partial(cases["cosine"].model.drive, images)
        table(ways, args.repeats)


def attention(args: argparse.Namespace) -> None:
    """Print times of an evaluation of GAttANet against one pass."""
    for size in ("small", "toy"):
        for batch in args.batch:
            generator = torch.Generator().manual_seed(0)
            images = torch.rand(batch, 3, 32, 32, generator=generator)
            model = gattanet(size)
            cosine = gattanet(size, agreement="cosine")
            drive = model.drive(images)
            state = nd.integrate(model, images, [0.0, 1.0], method="euler", gradient="none").states
            given = (torch.zeros(()), tuple(series[-1] for series in state), drive)
            counted = list(products(model.backbone, images).values())
            print(f"GAttANet, {size}, batch {batch}")
            print(f"  millions of multiply-adds a sample: one pass {sum(counted) / 1e6:.3g}, an "
                  f"evaluation {sum(counted[1:]) / 1e6:.3g}", flush=True)  # fmt: skip
            ways: dict[str, Callable[[], object]] = {
                "one pass": functools.partial(model.backbone, images),
                "evaluation": functools.partial(model, *given),
                "evaluation, cosine": functools.partial(cosine, *given),
                "readout": functools.partial(model.readout, *given[1:]),
                "drive": functools.partial(model.drive, images),
            }
            table(ways, args.repeats)


def main() -> None:
    """Print the tables asked for."""
    tables = {"coupling": coupling, "memory": memory, "phases": phases, "attention": attention}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", choices=tables, default=list(tables))
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak", action="store_true", help="what `memory` runs")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with torch.no_grad():
        if args.peak:
            peaks()
            return
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, CPU")
        for name in args.tables:
            tables[name](args)


if __name__ == "__main__":
    main()
