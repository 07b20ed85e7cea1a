"""Training the published search of networks in stacks, against one network at a time.

    OMP_NUM_THREADS=2 python benchmarks/grammar_nets.py [--grammars A CF] [--layers 2 3 4 5 7 10]

The search is 76,800 trainings: 4 grammars x 2 families x 4 numbers of parameters x 6 depths, with
20 learning rates and 20 seeds each. In one process, in turns, cell by cell:

- stacked: `neurodyn.models.train_grammar.train_nets` as the sweep calls it, in two workers of one
  thread each; a part of the cell (two seeds, all learning rates, for each worker),
- one by one: the same network of torch's layers, `nn.Linear` or `nn.RNN` on strings padded to the
  longest of the set and read at their last letter, autograd, torch.optim; in two threads, and in
  one, which is often faster for networks so small: the faster of the two counts.

Both train on 500 strings and answer 300. The ratio over the mix is that of the sums over all cells,
which have equally many networks. CPU time says the same where the machine is not idle: there, one
by one, it is that of one thread. First the floor: multiply-adds and bytes that no way to train
these networks does without, at this machine's own speeds.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from neurodyn.cells import in_parallel
from neurodyn.models.grammar_nets import BUDGETS, encode, parameter_count, width_for
from neurodyn.models.grammar_optimisers import learning_rates
from neurodyn.models.train_grammar import train_nets
from neurodyn.stimuli.grammar_items import stimulus_set

FAMILIES = ("feedforward", "recurrent")
RATES, SEEDS, BATCH, LONGEST, GRAMMARS = 20, 20, 15, 12, 4


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


def one_by_one(family: str, layers: int, width: int, data: list, rate: float) -> None:
    """Train and ask one network for each stimulus set, one after the other."""
    for x, y, asked in data:
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


def floor(layers: list[int]) -> None:
    """Count what cannot be avoided and print it."""
    work, moved = 0.0, 0.0
    for grammar in ("A", "B", "CF", "CS"):
        items = stimulus_set(grammar, seed=0)
        letters = len(json.loads(items.attrs["alphabet"]))
        learnt = items.length.values[items.split.values == "train"]
        for family, budget, depth in product(FAMILIES, BUDGETS, layers):
            width = width_for(family, depth, budget, letters, LONGEST)
            size = parameter_count(family, depth, width, letters, LONGEST)
            shown = len(learnt) if family == "feedforward" else learnt.sum()
            nets = RATES * SEEDS * 6 / len(layers)
            work += 3 * size * float(shown) * nets  # forward, and twice backward
            moved += 6 * 4 * size * -(-len(learnt) // BATCH) * nets  # weight, gradient, memory
    fast, wide = speeds()
    print(
        f"floor of the whole search: {work / 1e12:.1f} T multiply-adds, "
        f"{work / fast / 60:.1f} min at {fast / 1e9:.0f} G/s; optimisers {moved / 1e12:.2f} TB, "
        f"{moved / wide / 60:.1f} min at {wide / 1e9:.0f} GB/s (memory; less in caches)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grammars", nargs="+", default=["A", "CF"])
    parser.add_argument("--layers", nargs="+", type=int, default=[2, 3, 4, 5, 7, 10])
    parser.add_argument("--alone", type=int, default=2, help="networks trained one by one")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of a worker's part of a cell")
    given = parser.parse_args()
    torch.set_num_threads(2)
    floor(given.layers)
    print(f"{'':34}stacked / one by one, ms a network     ratio")
    print(f"{'grammar family      params layers':34}{'wall':>9}{'wall':>9}{'CPU':>9}{'CPU':>9}"
          f"{'wall':>8}{'CPU':>8}")  # fmt: skip
    sums: dict[str, list[float]] = {family: [0.0] * 4 for family in FAMILIES}
    warm = False
    for grammar, family, budget, depth in product(given.grammars, FAMILIES, BUDGETS, given.layers):
        sets = [stimulus_set(grammar, seed=k) for k in range(2 * given.seeds)]
        alphabet = tuple(json.loads(sets[0].attrs["alphabet"]))
        width = width_for(family, depth, budget, len(alphabet), LONGEST)
        rates = learning_rates(family, RATES)
        data = []
        for one in sets[: given.alone]:
            longest = LONGEST if family == "feedforward" else int(one.length.max())
            code = encode(one.string.values.tolist(), alphabet, longest)
            learnt = torch.from_numpy((one.split == "train").values)
            right = torch.from_numpy(one.grammatical.values).float()
            data.append((code[learnt], right[learnt], code[~learnt]))

        def stack(first: int, family=family, depth=depth, width=width, rates=rates, sets=sets):  # type: ignore[no-untyped-def]
            mine = range(first, first + given.seeds)
            train_nets(
                family, [sets[k] for k in mine], layers=depth, width=width, learning_rate=rates,
                seeds=list(mine), batch_size=BATCH, max_length=LONGEST,
            )  # fmt: skip

        def both(stack=stack):  # type: ignore[no-untyped-def]
            in_parallel([lambda: stack(0), lambda: stack(given.seeds)], 2)

        def alone(family=family, depth=depth, width=width, rates=rates, data=data):  # type: ignore[no-untyped-def]
            one_by_one(family, depth, width, data, rates[10])

        if not warm:
            both(), alone()
            warm = True
        nets = 2 * given.seeds * RATES
        wall, cpu = clock(both)
        torch.set_num_threads(1)
        one_wall, one_cpu = clock(alone)
        torch.set_num_threads(2)
        two_wall = clock(alone)[0]
        peer = min(one_wall, two_wall) / given.alone
        row = [1000 * t for t in (wall / nets, peer, cpu / nets, one_cpu / given.alone)]
        sums[family] = [a + b for a, b in zip(sums[family], row, strict=True)]
        print(f"{grammar:<8}{family:<12}{budget:>7,}{depth:>7}" 
              + "".join(f"{v:9.2f}" for v in row)
              + f"{row[1] / row[0]:8.1f}{row[3] / row[2]:8.1f}", flush=True)  # fmt: skip
    every = [sum(column) for column in zip(*sums.values(), strict=True)]
    for name, row in (*sums.items(), ("the mix", every)):
        print(f"{name:<12} {row[1] / row[0]:.1f} times faster in wall time, {row[3] / row[2]:.1f} "
              "in CPU time")  # fmt: skip
    cells = len(given.grammars) * len(given.layers) * len(BUDGETS)
    sweep = GRAMMARS * 6 * len(BUDGETS) * RATES * SEEDS / cells / 1000
    print(f"the whole search: {every[0] * sweep / 60:.0f} min stacked, "
          f"{every[1] * sweep / 3600:.1f} h one by one")  # fmt: skip


if __name__ == "__main__":
    main()
