"""Training the published search of networks in stacks, against one network at a time.

    OMP_NUM_THREADS=2 python benchmarks/grammar_nets.py [--grammars A B CF CS] [--rounds 5]

The search is 76,800 trainings: 4 grammars x 2 families x 4 numbers of parameters x 6 depths, with
20 learning rates and 20 seeds each. In one process, in turns, cell by cell:

- stacked: `neurodyn.models.train_grammar.train_nets` as the sweep calls it, in two workers of one
  thread each; a part of the cell (two seeds, all learning rates, for each worker),
- one by one: the same network of torch's layers, `nn.Linear` or `nn.RNN` on strings padded to the
  longest of the set and read at their last letter, autograd, torch.optim; in two threads, and in
  one, which is often faster for networks so small.

Both train on 500 strings and answer 300. The default takes grammars A and CF, in two to four
minutes where nothing else runs. The ratio over the mix is that of the sums over all cells, which
have equally many networks: stacked against one by one in two threads, in wall time. One by one the
fastest of three rounds counts, because two threads wait long for each other where anything else
runs for a moment; stacked, the only one. Beside it: against one thread, against the faster of the
two in each cell, and in CPU time against one thread. First the floor: multiply-adds and bytes that
no way to train these networks does without, at this machine's own speeds. A table in Markdown is
printed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurodyn.cells import in_parallel
from neurodyn.models.grammar_nets import BUDGETS, encode, parameter_count, width_for
from neurodyn.models.grammar_optimisers import learning_rates
from neurodyn.models.train_grammar import train_nets
from neurodyn.stimuli.grammar_items import stimulus_set

FAMILIES = ("feedforward", "recurrent")
RATES, SEEDS, BATCH, LONGEST = 20, 20, 15, 12
GRAMMARS, DEPTHS = 4, 6
BUSY = 1.1  # wall over CPU time of one thread, where something else runs


class Row(NamedTuple):
    """Milliseconds for one network: wall time, and CPU time."""

    stacked: float
    two: float
    one: float
    faster: float
    stacked_cpu: float
    one_cpu: float


class OneNet(nn.Module):
    """A network as one would write it."""

    def __init__(self, family: str, layers: int, width: int, letters: int) -> None:
        super().__init__()
        self.body: nn.Module
        if family == "feedforward":
            sizes = [letters * LONGEST, *[width] * layers]
            steps: list[nn.Module] = [nn.Flatten()]
            for below, above in zip(sizes, sizes[1:], strict=False):
                steps += [nn.Linear(below, above), nn.ReLU()]
            self.body = nn.Sequential(*steps)
        else:
            self.body = nn.RNN(letters, width, layers, batch_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        if isinstance(self.body, nn.RNN):
            states = self.body(x)[0]
            top = states[torch.arange(len(x)), length - 1]
        else:
            top = self.body(x)
        return self.out(top).sigmoid()[:, 0]


def one_by_one(
    family: str, layers: int, width: int, x: Tensor, y: Tensor, asked: Tensor, rate: float
) -> None:
    """Train and ask one network."""
    net = OneNet(family, layers, width, x.shape[-1])
    if family == "feedforward":
        rule = torch.optim.SGD(net.parameters(), rate, momentum=0.9, nesterov=True)
    else:
        rule = torch.optim.RMSprop(net.parameters(), rate, alpha=0.9, eps=1e-8)
    length = x.sum((1, 2)).long()
    for rows in torch.randperm(len(x)).split(BATCH):
        rule.zero_grad()
        nn.functional.mse_loss(net(x[rows], length[rows]), y[rows]).backward()
        rule.step()
    with torch.no_grad():
        net(asked, asked.sum((1, 2)).long())


def clock(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def speeds() -> tuple[float, float]:
    """This machine's multiply-adds and bytes per second, in two threads."""
    a, b = torch.randn(1500, 1500), torch.randn(1500, 1500)
    long, other = torch.randn(20_000_000), torch.empty(20_000_000)
    best = [min(clock(f)[0] for _ in range(5)) for f in (lambda: a @ b, lambda: other.copy_(long))]
    return 1500**3 / best[0], 2 * 4 * 20_000_000 / best[1]


def floor(layers: list[int]) -> str:
    """Count what cannot be avoided."""
    work, moved = 0.0, 0.0
    for grammar in ("A", "B", "CF", "CS"):
        items = stimulus_set(grammar, seed=0)
        letters = len(json.loads(items.attrs["alphabet"]))
        learnt = items.length.values[items.split.values == "train"]
        for family, budget, depth in product(FAMILIES, BUDGETS, layers):
            width = width_for(family, depth, budget, letters, LONGEST)
            size = parameter_count(family, depth, width, letters, LONGEST)
            shown = len(learnt) if family == "feedforward" else learnt.sum()
            nets = RATES * SEEDS * DEPTHS / len(layers)
            work += 3 * size * float(shown) * nets  # forward, and twice backward
            moved += 6 * 4 * size * -(-len(learnt) // BATCH) * nets  # weight, gradient, memory
    fast, wide = speeds()
    return (
        f"Floor of the whole search: {work / 1e12:.1f} T multiply-adds, {work / fast / 60:.1f} min "
        f"at {fast / 1e9:.0f} G/s; optimisers {moved / 1e12:.2f} TB, {moved / wide / 60:.1f} min "
        f"at {wide / 1e9:.0f} GB/s (memory; less in caches)."
    )


def measure(grammar: str, family: str, budget: int, depth: int, seeds: int, rounds: int) -> Row:
    """Time one cell, in milliseconds a network."""
    sets = [stimulus_set(grammar, seed=k) for k in range(2 * seeds)]
    alphabet = tuple(json.loads(sets[0].attrs["alphabet"]))
    width = width_for(family, depth, budget, len(alphabet), LONGEST)
    rates = learning_rates(family, RATES)
    one = sets[0]
    longest = LONGEST if family == "feedforward" else int(one.length.max())
    code = encode(one.string.values.tolist(), alphabet, longest)
    learnt = torch.from_numpy((one.split == "train").values)
    right = torch.from_numpy(one.grammatical.values).float()

    def stack(first: int) -> None:
        mine = range(first, first + seeds)
        train_nets(
            family, [sets[k] for k in mine], layers=depth, width=width, learning_rate=rates,
            seeds=list(mine), batch_size=BATCH, max_length=LONGEST,
        )  # fmt: skip

    def alone() -> None:
        data = code[learnt], right[learnt], code[~learnt]
        one_by_one(family, depth, width, *data, rates[RATES // 2])

    stacked = clock(lambda: in_parallel([lambda: stack(0), lambda: stack(seeds)], 2))
    peer = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        peer[threads] = tuple(map(min, zip(*(clock(alone) for _ in range(rounds)), strict=True)))
    (one_wall, one_cpu), (two_wall, _) = peer[1], peer[2]
    nets = 2 * seeds * RATES
    return Row(
        *(1000 * t for t in (stacked[0] / nets, two_wall, one_wall, min(one_wall, two_wall))),
        *(1000 * t for t in (stacked[1] / nets, one_cpu)),
    )


def total(rows: list[Row]) -> Row:
    """Return the mean over cells, which have equally many networks."""
    return Row(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


def line(name: str, row: Row) -> str:
    """Return a row of the table."""
    times = [f"{t:.2f}" for t in (row.stacked, row.two, row.one, row.stacked_cpu, row.one_cpu)]
    ratios = [peer / row.stacked for peer in (row.two, row.one, row.faster)]
    ratios.append(row.one_cpu / row.stacked_cpu)
    return "| " + " | ".join([name, *times, *(f"{ratio:.1f}" for ratio in ratios)]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grammars", nargs="+", default=["A", "CF"])
    parser.add_argument("--layers", nargs="+", type=int, default=[2, 3, 4, 5, 7, 10])
    parser.add_argument("--rounds", type=int, default=3, help="of one by one, the fastest counts")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of a worker's part of a cell")
    given = parser.parse_args()
    torch.set_num_threads(2)
    least = floor(given.layers)
    measure("A", "recurrent", BUDGETS[0], 2, 1, 1)  # to warm up
    found: dict[tuple[str, int], list[Row]] = {}
    places = list(product(FAMILIES, BUDGETS, given.grammars, given.layers))
    for k, (family, budget, grammar, depth) in enumerate(places, 1):
        row = measure(grammar, family, budget, depth, given.seeds, given.rounds)
        found.setdefault((family, budget), []).append(row)
        print(f"\r{k} of {len(places)} cells", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    mix = total([row for rows in found.values() for row in rows])
    print(
        f"Over the mix of cells {mix.two / mix.stacked:.1f} times faster than one by one in two "
        f"threads (wall time), {mix.one / mix.stacked:.1f} times faster than in one thread. "
        f"Grammars {', '.join(given.grammars)}; layers {', '.join(map(str, given.layers))}."
    )
    if mix.one > BUSY * mix.one_cpu:
        print(
            f"\n**Not idle**: one thread took {mix.one / mix.one_cpu:.1f} times its CPU time. Two "
            "threads wait for each other then: of the ratios only that of CPU times counts."
        )
    print()
    print(
        "| networks | stacked, ms | one by one, two threads | one thread | stacked, CPU ms | "
        "one by one, CPU (one thread) | ratio, two threads | one thread | faster of both | CPU |"
    )
    print("| --- |" + 9 * " ---: |")
    for family in FAMILIES:
        for budget in BUDGETS:
            print(line(f"{family}, {budget:,}", total(found[family, budget])))
        print(line(family, total([row for budget in BUDGETS for row in found[family, budget]])))
    print(line("**the mix**", mix))
    nets = GRAMMARS * len(FAMILIES) * len(BUDGETS) * DEPTHS * RATES * SEEDS / 1000
    print(
        f"\n{least}\n\nThe whole search: {mix.stacked * nets / 60:.0f} min stacked; one by one "
        f"{mix.two * nets / 3600:.1f} h in two threads, {mix.one * nets / 3600:.1f} h in one."
    )


if __name__ == "__main__":
    main()
