"""Images of the SVRT problems made in a second, warm.

    OMP_NUM_THREADS=1 python benchmarks/svrt.py [--images 512] [--rounds 3] [--workers 2]

Each problem is made `rounds` times, with a seed of its own each time, in one process and then in
`workers` processes that share the blocks of 64 as those of a DataLoader do: `images` is a multiple
of 64. Wall time; the fastest round counts. At the end the harmonic mean over the problems: images a
second of a set with equally many of each.
"""

import argparse
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from itertools import repeat

from neurodyn.stimuli.svrt import PROBLEMS, generate
from neurodyn.stimuli.svrt.draft import BLOCK


def block(problem: int, number: int, size: int, seed: int) -> int:
    """Make one block; return how many images it has."""
    data = generate(problem, BLOCK, size=size, seed=seed, start=number * BLOCK)
    return data.sizes["sample"]


def alone(problem: int, images: int, size: int, seed: int) -> float:
    """Images a second in this process."""
    begin = time.perf_counter()
    generate(problem, images, size=size, seed=seed)
    return images / (time.perf_counter() - begin)


def shared(pool: Executor, problem: int, images: int, size: int, seed: int) -> float:
    """Images a second in the processes of a pool."""
    numbers = range(images // BLOCK)
    begin = time.perf_counter()
    made = sum(pool.map(block, repeat(problem), numbers, repeat(size), repeat(seed)))
    return made / (time.perf_counter() - begin)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    if args.images < BLOCK or args.images % BLOCK:
        parser.error(f"--images must be a multiple of {BLOCK}, got {args.images}")
    for name in ("rounds", "workers"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be 1 or more, got {getattr(args, name)}")
    rates: list[tuple[float, float]] = []
    print(f"images a second of {args.size} x {args.size}, best of {args.rounds}")
    print(f"| problem | one process | {args.workers} processes |\n|---|---|---|")
    with ProcessPoolExecutor(args.workers) as pool:
        list(pool.map(block, repeat(1), range(4 * args.workers), repeat(args.size), repeat(0)))
        for problem in PROBLEMS:
            alone(problem, BLOCK, args.size, 0)
            work = problem, args.images, args.size
            one = max(alone(*work, seed) for seed in range(args.rounds))
            more = max(shared(pool, *work, seed) for seed in range(args.rounds))
            rates.append((one, more))
            print(f"| {problem} | {one:.0f} | {more:.0f} |", flush=True)
    means = [len(rates) / sum(1 / rate for rate in column) for column in zip(*rates, strict=True)]
    print(f"| harmonic mean | {means[0]:.0f} | {means[1]:.0f} |")


if __name__ == "__main__":
    main()
