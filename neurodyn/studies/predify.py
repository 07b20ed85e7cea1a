"""Predictive coding under noise: accuracy over time, by the published rule and as an ODE."""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
import xarray as xr
from torch import Tensor

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis import report
from neurodyn.cells import cell, in_parallel, weights_hash
from neurodyn.methods import ADAPTIVE
from neurodyn.models import pc_shallow

REFERENCES = (
    "Choksi et al. (2021), Predify, arXiv:2106.02749; "
    "Alamia et al. (2021), On the role of feedback in visual processing, arXiv:2106.04225"
)
PRECISIONS = ("32-true", "64-true", "bf16-mixed")


def predify(
    *,
    out: str | Path = "results/predify",
    images: int = 120,
    seeds: int = 3,
    gaussian: tuple[float, ...] = (0.2, 0.4, 0.8),
    salt_pepper: tuple[float, ...] = (0.1, 0.2, 0.3),
    duration: int = 10,
    feedforward: float = 1 / 3,
    feedback: float = 1 / 3,
    error: float = 0.01,
    method: str = "bosh3",
    rtol: float = 1e-2,
    atol: float = 1e-3,
    batch_size: int = 100,
    seed: int = 0,
    device: str = "cpu",
    precision: Literal["32-true", "64-true", "bf16-mixed"] = "32-true",
) -> xr.Dataset:
    """Accuracy on noisy digits over time: feed-forward, Predify's rule, and its ODE.

    The pretrained `pc_shallow` sees the same noisy test digits as a feed-forward network, under
    Predify's published rule (layer after layer, Euler with a step of 1) and as the differential
    equation behind that rule (adaptive solver), from the feed-forward pass on.

    Parameters
    ----------
    out : path
        Folder for predify.nc, figure.png, figure.svg, summary.md and cells/, where each cell
        (noise x seed x solver) is kept as soon as it is computed. An interrupted run goes on from
        there; cells of another configuration are computed again.
    images : int
        How many of the 2,000 test digits: the first of their fixed order.
    seeds : int
        Draws of the noise on each image: noise seeds 1000 * seed, 1000 * seed + 1, ...
    gaussian : tuple of float
        Standard deviations of Gaussian noise, in grey values from 0 to 1; not clipped.
    salt_pepper : tuple of float
        Shares of the pixels that become black or white.
    duration : int
        Published steps.
    feedforward : float
        The rate beta of the drive from below, per published step.
    feedback : float
        The rate lambda of the pull to the prediction from above, per published step.
    error : float
        The rate alpha at which a layer lowers its own prediction error, per published step.
    method : str
        Adaptive method for the differential equation.
    rtol : float
        Its relative tolerance.
    atol : float
        Its absolute tolerance.
    batch_size : int
        Images solved at a time; those of a batch share their adaptive steps.
    seed : int
        Of the noise and of the bootstrap.
    device : str
        Where torch computes: "cpu", "cuda", "cuda:1", ...
    precision : {"32-true", "64-true", "bf16-mixed"}
        Of the network's arithmetic.

    Returns
    -------
    Dataset
        "correct" (noise, solver, seed, sample, time); "accuracy" and "difference", from the
        feed-forward network (noise, solver, time), "ode_minus_predify" (noise, time), each with
        an interval over images; "nfe" (noise, solver, seed).

    Notes
    -----
    About a minute on two cores. At the default tolerances the logits of the differential equation
    are within about 2% of their spread of those at rtol 1e-6, the answers the same for 99.7% of
    images and times.

    References
    ----------
    Choksi et al. (2021), arXiv:2106.02749. Alamia et al. (2021), arXiv:2106.04225.
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    check(**config)
    noises = [Noise("clean"), *(Noise("gaussian", s) for s in gaussian)]
    noises += [Noise("salt_pepper", p) for p in salt_pepper]
    make = partial(
        make_solvers,
        np.arange(duration + 1.0),
        {"feedforward": feedforward, "feedback": feedback, "error": error},
        {"method": method, "rtol": rtol, "atol": atol},
        batch_size,
        torch.device(device),
        precision,
    )
    # side by side on a CPU, but not more than there is memory for
    workers = min(torch.get_num_threads(), 8) if torch.device(device).type == "cpu" else 1
    teams = [make() for _ in range(workers)]
    Path(out).mkdir(parents=True, exist_ok=True)
    numbers = [1000 * seed + k for k in range(seeds)]
    answers = run_cells(Path(out) / "cells", noises, teams, images, numbers)
    result = analysed(answers, seed)
    # the clean images were answered once, for all seeds
    counted = result.nfe.where((result.noise_level > 0) | (result.seed == numbers[0]), 0)
    result.attrs = {
        "title": "Accuracy over time under noise: feed-forward, Predify's rule, and its ODE",
        "neurodyn_version": nd.__version__,
        "torch_version": str(torch.__version__),
        "seed": seed,
        "config": json.dumps(config, sort_keys=True),
        "solver": json.dumps({solver.label: solver.config for solver in teams[0]}),
        "rtol": rtol,
        "atol": atol,
        "nfe": json.dumps({s: int(counted.sel(solver=s).sum()) for s in result.solver.values}),
        "references": REFERENCES,
    }
    write(result, Path(out))
    return result


@dataclass(frozen=True)
class Noise:
    """One condition: a type of noise and its level."""

    kind: str
    level: float = 0.0

    @property
    def label(self) -> str:
        """The coordinate along ``noise``, e.g. "gaussian 0.4"."""
        return f"{self.kind} {float(self.level)}" if self.level else self.kind

    def images(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return the first n test digits under this noise, and what they show."""
        if not self.level:
            return nd.stimuli.digits("test", n)
        return nd.stimuli.digits("test", n, self.level, self.kind, seed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Solver:
    """One way to answer: images -> (category (time, sample), evaluations of f)."""

    label: str
    name: str
    config: dict[str, Any]
    answer: Callable[[Tensor], tuple[Tensor, int]]


def make_solvers(
    times: np.ndarray,
    rates: dict[str, float],
    adaptive: dict[str, Any],
    batch_size: int,
    device: torch.device,
    precision: str,
) -> list[Solver]:
    """Return the three ways to answer, each with all that its answers depend on."""
    dtype = torch.float64 if precision == "64-true" else torch.float32
    sequential, simultaneous = (
        pc_shallow(pretrained=True, update=update, **rates).to(device, dtype)  # type: ignore[arg-type]
        for update in ("sequential", "simultaneous")
    )

    def arithmetic() -> AbstractContextManager[Any]:
        mixed = precision == "bf16-mixed"
        return torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext()

    def once(images: Tensor) -> tuple[Tensor, int]:
        with torch.no_grad(), arithmetic():
            return simultaneous.backbone(images.to(device, dtype)).argmax(-1)[None], 0

    def solve(
        model: nd.PredictiveCoding, how: dict[str, Any], images: Tensor
    ) -> tuple[Tensor, int]:
        answers, evaluations = [], 0
        for batch in images.to(device, dtype).split(batch_size):
            with arithmetic():
                run = nd.integrate(
                    model, batch, times.tolist(), gradient="none", record="readout", **how
                )
            assert run.readout is not None
            answers.append(run.readout.argmax(-1))
            evaluations += run.stats.evaluations
        return torch.cat(answers, dim=1), evaluations

    common = {
        "neurodyn": nd.__version__,
        "torch": str(torch.__version__),
        "weights": weights_hash(simultaneous),
        "device": device.type,
        "precision": precision,
    }
    dynamic = {**common, **rates, "times": times.tolist()}
    euler = {"method": "euler"}
    return [
        Solver("feedforward", "feed-forward", common, once),
        Solver(
            "predify",
            "Predify's rule (Euler, step 1)",
            {**dynamic, **euler, "update": "sequential"},
            partial(solve, sequential, euler),
        ),
        Solver(
            "ode",
            f"ODE ({adaptive['method']})",
            {**dynamic, **adaptive, "update": "simultaneous", "batch_size": batch_size},
            partial(solve, simultaneous, adaptive),
        ),
    ]


def run_cells(
    folder: Path,
    noises: Sequence[Noise],
    teams: Sequence[Sequence[Solver]],
    images: int,
    seeds: Sequence[int],
) -> xr.Dataset:
    """Return ``correct`` and ``nfe`` of all cells, computing those that are not on disk yet.

    As many cells are under way as there are teams: sets of the same solvers, for one at a time.
    """
    solvers = teams[0]
    times = solvers[-1].config["times"]
    free: SimpleQueue[Sequence[Solver]] = SimpleQueue()
    for team in teams:
        free.put(team)

    def one(n: int, k: int, s: int) -> xr.Dataset:
        # clean images are the same for all seeds: one cell, repeated in the record
        drawn = {"seed": seeds[k]} if noises[n].level else {}
        about = {"noise": noises[n].label, **drawn, "solver": solvers[s].label}
        name = "_".join(str(value) for value in about.values()).replace(" ", "_")
        config = {**solvers[s].config, **about, "images": images}
        team = free.get()
        try:
            compute = partial(answered, team[s], noises[n], images, seeds[k])
            return cell(folder / f"{name}.nc", config, compute)
        finally:
            free.put(team)

    every = product(range(len(noises)), range(len(seeds)), range(len(solvers)))
    wanted = [(n, k, s) for n, k, s in every if noises[n].level or k == 0]
    found = in_parallel([partial(one, *indices) for indices in wanted], len(teams))
    correct = np.zeros((len(noises), len(solvers), len(seeds), images, len(times)), dtype=bool)
    nfe = np.zeros(correct.shape[:3], dtype=np.int64)
    for (n, k, s), data in zip(wanted, found, strict=True):
        rows = slice(k, k + 1) if noises[n].level else slice(None)
        correct[n, s, rows] = data.correct.values.T
        nfe[n, s, rows] = data.nfe.item()
    _, labels = Noise("clean").images(images, 0)
    return labelled(correct, nfe, noises, solvers, seeds, times, labels)


def answered(solver: Solver, noise: Noise, images: int, seed: int) -> xr.Dataset:
    """Compute one cell: was the answer right, for each time and image."""
    stimulus, labels = noise.images(images, seed)
    category, evaluations = solver.answer(stimulus)
    right = (category.cpu() == labels).numpy()
    return xr.Dataset({"correct": (("time", "sample"), right), "nfe": evaluations})


def labelled(
    correct: np.ndarray,
    nfe: np.ndarray,
    noises: Sequence[Noise],
    solvers: Sequence[Solver],
    seeds: Sequence[int],
    times: Sequence[float],
    labels: Tensor,
) -> xr.Dataset:
    """Name the axes of all cells' answers."""

    def named(dim: str, values: Any, long_name: str, **more: str) -> xr.Variable:
        return xr.Variable(dim, values, {"long_name": long_name, "units": "1", **more})

    dims = ("noise", "solver", "seed", "sample", "time")
    about_correct = {
        "long_name": "correctly classified",
        "units": "1",
        "comment": "feedforward does not depend on time; clean images do not depend on seed",
        "references": REFERENCES,
    }
    about_nfe = {"long_name": "evaluations of the right-hand side", "units": "1"}
    levels = "standard deviation (gaussian), share of pixels replaced (salt_pepper)"
    return xr.Dataset(
        {"correct": (dims, correct, about_correct), "nfe": (dims[:3], nfe, about_nfe)},
        coords={
            "noise": named("noise", [n.label for n in noises], "noise on the images"),
            "noise_type": named("noise", [n.kind for n in noises], "type of noise"),
            "noise_level": named("noise", [n.level for n in noises], levels),
            "solver": named("solver", [s.label for s in solvers], "way to the answer"),
            "solver_name": named("solver", [s.name for s in solvers], "way to the answer"),
            "seed": named("seed", list(seeds), "seed of the noise"),
            "sample": named("sample", np.arange(len(labels)), "image, in the order of the split"),
            "label": named("sample", labels.numpy(), "digit shown"),
            "time": named("time", times, "time (published steps)"),
        },
    )


def analysed(answers: xr.Dataset, seed: int) -> xr.Dataset:
    """Add accuracies, paired differences and their intervals to the answers."""
    correct = answers.correct
    gain = analysis.paired_difference(correct, "solver", "feedforward", seed=seed)
    step = analysis.paired_difference(
        correct.sel(solver=["predify", "ode"]), "solver", "predify", seed=seed
    ).sel(solver="ode", drop=True)
    step = step.rename(difference="ode_minus_predify", difference_ci="ode_minus_predify_ci")
    # the feed-forward network is not compared with itself: NaN there
    parts = [answers, analysis.accuracy(correct, seed=seed), gain, step]
    return xr.merge(parts, join="left", compat="override", combine_attrs="override")


def write(result: xr.Dataset, folder: Path) -> None:
    """Write the record, the figure and the summary, and print the table."""
    nd.save(result, folder / "predify.nc")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "neurodyn"}):
        figure = analysis.accuracy_over_time(result)
        figure.savefig(folder / "figure.png", dpi=200)
        figure.savefig(folder / "figure.svg", metadata={"Date": None})
    (folder / "summary.md").write_text(report.page(result), encoding="utf-8")
    print(report.aligned(report.table(result)))
    for sentence in report.findings(result):
        print(sentence)
    print(f"written to {folder}")


def check(**config: Any) -> None:
    """Refuse a configuration that cannot be run, and say what can."""
    for name, most in (("images", 2000), ("seeds", 1000), ("duration", 10_000)):
        if not isinstance(config[name], int) or not 1 <= config[name] <= most:
            raise ValueError(
                f"{name} must be a whole number from 1 to {most}, not {config[name]!r}"
            )
    for name, least in (("batch_size", 1), ("seed", 0)):
        if not isinstance(config[name], int) or config[name] < least:
            raise ValueError(f"{name} must be a whole number from {least} up, not {config[name]!r}")
    for name in ("rtol", "atol"):
        if not 0 < config[name] < math.inf:
            raise ValueError(f"{name} must be a number above 0, not {config[name]!r}")
    for name, limit in (("gaussian", math.inf), ("salt_pepper", 1.0)):
        levels = config[name]
        if len(set(levels)) < len(levels) or not all(0 < x <= limit for x in levels):
            up_to = " up to 1" if limit == 1 else ""
            raise ValueError(f"{name} must be different numbers above 0{up_to}, not {levels!r}")
    for name, allowed in (("method", ADAPTIVE), ("precision", PRECISIONS)):
        if config[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {config[name]!r}")
    try:
        torch.empty(0, device=config["device"])
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {config['device']!r} cannot be used here ({str(error).splitlines()[0]}); "
            'give "cpu", or "cuda" where there is one'
        ) from error
