"""Phase locking of 256 channels and synchrony of 32,768 units in groups, against other libraries.

    OMP_NUM_THREADS=2 python benchmarks/synchrony.py [--repeats 5]

Phase locking: 256 x 256 pairs from 1,000 samples, in turns, as far as they can be imported:

- `neurodyn.analysis.phase_locking`, which gives PLV, PPC, imaginary and corrected PLV, lag and
  counts in one go, in double and single precision,
- mne-connectivity's `spectral_connectivity_epochs` on the same phasors (an EpochsSpectrumArray of
  one frequency; double precision), PLV only, the lower triangle,
- frites' `conn_spec`, which takes signals, not phases: one trial, one frequency, PLV smoothed over
  time for each pair. It is not the same quantity; it is what that library offers.

Groups: 3 groups of 32,768 units at 50 times, all measures of `group_synchrony`; beside it, all
pairs of 4,096 units at one time, formed as a matrix.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import xarray as xr

from neurodyn.analysis import group_synchrony, phase_locking

CHANNELS, SAMPLES = 256, 1000


def phases() -> np.ndarray:
    """Phases (sample, channel) with a common part."""
    draw = np.random.default_rng(0)
    common = draw.uniform(-np.pi, np.pi, (SAMPLES, 1))
    return common + draw.normal(size=(SAMPLES, CHANNELS)) * np.linspace(0.2, 3, CHANNELS)


def with_mne(phase: np.ndarray) -> Callable[[], np.ndarray]:
    """Return a function that asks mne-connectivity."""
    import mne
    from mne.time_frequency import EpochsSpectrumArray
    from mne_connectivity import spectral_connectivity_epochs

    z = np.exp(1j * phase)[:, :, None]
    info = mne.create_info(CHANNELS, 100.0, "eeg", verbose="error")
    spectrum = EpochsSpectrumArray(z, info, np.array([10.0]))
    quiet = {"method": "plv", "verbose": "error"}
    return lambda: spectral_connectivity_epochs(spectrum, **quiet).get_data("dense")[..., 0]


def with_frites(phase: np.ndarray) -> Callable[[], object]:
    """Return a function that asks frites."""
    from frites.conn import conn_spec

    signal = np.cos(phase.T)[None]
    return lambda: conn_spec(
        signal, freqs=np.array([10.0]), metric="plv", sfreq=100.0, sm_times=0.5, n_cycles=5,
        n_jobs=1, verbose="error",
    )  # fmt: skip


def clock(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def table(ways: dict[str, Callable[[], object]], repeats: int, best: str) -> dict[str, object]:
    """Run all ways in turns, print a line for each and return the results."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    results = {name: way() for name, way in ways.items()}  # and warm up
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(clock(way))
    medians = {
        name: [statistics.median(column) for column in zip(*took, strict=True)]
        for name, took in seconds.items()
    }
    print(f"  {'median seconds':34s} {'wall':>9s} {'CPU':>9s} {'x wall':>11s} {'x CPU':>10s}")
    for name, (wall, cpu) in medians.items():
        ratios = wall / medians[best][0], cpu / medians[best][1]
        print(f"  {name:34s} {wall:9.4f} {cpu:9.4f} {ratios[0]:11.1f} {ratios[1]:10.1f}")
    return results


def pairs_of_groups(phase: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Mean cosines within and between groups, from the matrix of all pairs."""
    cosine = np.cos(phase[:, None] - phase[None])
    member = groups[:, None] == np.unique(groups)
    sums, n = member.T @ cosine @ member, member.sum(0)
    within = (sums.diagonal() - n) / (n * (n - 1))
    off = ~np.eye(len(n), dtype=bool)
    return float((within * n).sum() / n.sum()), float((sums / np.outer(n, n))[off].mean())


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    phase = phases()
    labelled = xr.DataArray(phase, dims=("sample", "unit"))
    single = labelled.astype(np.float32)
    ways: dict[str, Callable[[], object]] = {
        "neurodyn, double": lambda: phase_locking(labelled, dim="sample"),
        "neurodyn, single": lambda: phase_locking(single, dim="sample"),
        "numpy, complex product, PLV only": lambda: product(phase),
    }
    for name, make in {"mne-connectivity": with_mne, "frites": with_frites}.items():
        try:
            ways[name] = make(phase)
        except ImportError as error:
            print(f"{name} is left out: {error}")
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"numpy {np.__version__}, {threads} threads, {repeats} turns")
    print(f"\nphase locking, {CHANNELS} channels x {SAMPLES} samples")
    results = table(ways, repeats, "neurodyn, double")
    exact = product(phase)
    below = np.tril_indices(CHANNELS, -1)
    for name, result in results.items():
        if name != "frites":
            values = result.plv.values if isinstance(result, xr.Dataset) else np.asarray(result)
            print(f"  largest difference of {name}: {abs(values - exact)[below].max():.1e}")

    units, times = 32768, 50
    draw = np.random.default_rng(1)
    many = xr.DataArray(
        draw.uniform(-np.pi, np.pi, (times, units)).astype("f4"), dims=("time", "unit")
    )
    groups = xr.DataArray(draw.integers(1, 4, units), dims="unit")
    small, few = many[0, :4096], groups[:4096]
    print(f"\nsynchrony within and between 3 groups of {units} units, {times} times")
    results = table(
        {
            "neurodyn": lambda: group_synchrony(many, groups),
            "neurodyn, 4096 units, 1 time": lambda: group_synchrony(small, few),
            "all pairs, 4096 units, 1 time": lambda: pairs_of_groups(small.values, few.values),
        },
        repeats,
        "neurodyn",
    )
    ours, pairs = results["neurodyn, 4096 units, 1 time"], results["all pairs, 4096 units, 1 time"]
    assert isinstance(ours, xr.Dataset) and isinstance(pairs, tuple)
    worst = max(abs(float(ours.within) - pairs[0]), abs(float(ours.between) - pairs[1]))
    print(f"  largest difference of the two: {worst:.1e}")


def product(phase: np.ndarray) -> np.ndarray:
    """PLV by one complex matrix product, in double precision."""
    z = np.exp(1j * phase)
    return np.abs(z.T @ z.conj()) / len(z)


if __name__ == "__main__":
    main()
