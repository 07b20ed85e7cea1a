"""The published predictive-coding networks against their floor and against the authors' way.

    python benchmarks/predictive_coding.py --network pvgg16 --precision float32 bfloat16
    python benchmarks/predictive_coding.py --device cuda --batch 32 --repeats 10

One evaluation of f, a solve after the feed-forward pass, and that solve with the gradient of its
output in the image, all weights fixed. The floor is one evaluation's convolutions alone: the
backbone from the first tap to the last, each decoder, and the adjoint of each. "authors" is a plain
loop of the discrete rule as in the authors' package: hooks on the taps, ``autograd.grad`` of the
mean squared error with its graph kept, the whole network and every decoder in every step. It
computes the same numbers, which is checked, gradients too: there the error term is a constant, as
theirs is (``detach_error``). "full" is the gradient through the error term, which they do not have.
"fast" is ``fast=True``, "plain" ``fast=False``. bfloat16 is autocast.

All run in turns in one process. Peak memory (``--memory``) is that of a process of its own, above
the model and its image, with large tensors given back when freed (not kept by the allocator);
"fast" includes what is kept.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import neurodyn as nd
from neurodyn.convolutions import Kernel
from neurodyn.layout import Layout
from neurodyn.models.pefficientnet import pefficientnet_b0, pefficientnet_lite0
from neurodyn.models.presnet import presnet18
from neurodyn.models.pshallow import pshallow
from neurodyn.models.pvgg import pvgg16

NETWORKS: dict[str, tuple[Callable[..., nd.PredictiveCoding], int]] = {
    "pvgg16": (pvgg16, 4),
    "pefficientnet_b0": (pefficientnet_b0, 4),
    "pefficientnet_lite0": (pefficientnet_lite0, 4),
    "presnet18": (presnet18, 16),
    "pshallow": (pshallow, 128),
}
RATES = (0.8, 0.1, 0.01)
"""Of the authors' experiments."""


def authors(
    backbone: nn.Module, taps: list[str], decoders: nn.ModuleList, scale: list[float],
    x: Tensor, steps: int, graph: bool,
) -> Tensor:  # fmt: skip
    """Run Predify's discrete rule as its authors write it: a hook per tap, autograd.grad."""
    beta, lam, alpha = RATES
    layers = len(taps)
    e: list[Tensor] = [None] * layers  # type: ignore[list-item]
    p: list[Tensor] = [None] * layers  # type: ignore[list-item]
    gradient: list[Tensor] = [None] * layers  # type: ignore[list-item]

    def hook(n: int):
        def update(module: nn.Module, args: tuple, out: Tensor) -> Tensor:
            if e[n] is None:
                new = out
            elif n < layers - 1:
                new = beta * out + lam * p[n + 1] + (1 - beta - lam) * e[n]
                new = new - alpha * scale[n] * gradient[n]
            else:
                new = beta * out + (1 - beta) * e[n] - alpha * scale[n] * gradient[n]
            with torch.enable_grad():
                leaf = new if graph else new.detach().requires_grad_()
                prediction = decoders[n](leaf)
                target = x if n == 0 else e[n - 1]
                mse = nn.functional.mse_loss(prediction.to(target.dtype), target)
                (g,) = torch.autograd.grad(mse, leaf, retain_graph=True)
            e[n], p[n] = (new, prediction) if graph else (new.detach(), prediction.detach())
            gradient[n] = g * (prediction.numel() / 2)
            return new

        return update

    handles = [backbone.get_submodule(t).register_forward_hook(hook(n)) for n, t in enumerate(taps)]
    with torch.set_grad_enabled(graph):
        for _ in range(steps + 1):
            logits = backbone(x)
    for handle in handles:
        handle.remove()
    return logits


class Case:
    """A network, its floor and its peer on one batch, in one precision."""

    def __init__(
        self, args: argparse.Namespace, network: str, model: nd.PredictiveCoding, precision: str
    ) -> None:
        self.model = model
        shape = (args.batch or NETWORKS[network][1], *model.stimulus_shape)
        self.x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(args.device)
        self.fast, self.plain, self.constant = (copy.copy(model) for _ in range(3))  # same weights
        self.fast.kernels = [Kernel() for _ in model.decoders]
        self.plain.kernels = [Kernel(0) for _ in model.decoders]
        self.constant.detach_error = True
        self.steps, self.device, self.precision = args.steps, args.device, precision
        with torch.no_grad():
            self.drive = model.drive(self.x)
            state = model.initial_state(self.drive)
        layout = Layout(state, model.taps.names, model.layout == "channels_last")
        self.state = layout.unpack(layout.pack(state))  # as a solver hands it over

    def floor(self) -> None:
        """Run the convolutions of one f(t, y) and nothing else."""
        self.model.taps.sweep(self.model.backbone, self.drive, lambda n, out: out)
        for decoder, e in zip(self.model.decoders, self.state, strict=True):
            out, vjp, *_ = torch.func.vjp(decoder, e)
            vjp(out)

    def work(self) -> float:
        """Return the floor's multiply-adds in units of 1e9; an adjoint has those of its decoder."""
        with FlopCounterMode(display=False) as below, torch.no_grad():
            self.model.taps.sweep(self.model.backbone, self.drive, lambda n, out: out)
        with FlopCounterMode(display=False) as above, torch.no_grad():
            self.model.predictions(self.state)
        return (below.get_total_flops() + 2 * above.get_total_flops()) / 2e9

    def evaluation(self, model: nd.PredictiveCoding) -> None:
        """Run one f(t, y)."""
        model(torch.tensor(0.0, device=self.device), self.state, self.drive)

    def solve(self, model: nd.PredictiveCoding) -> Tensor:
        """Return the logits after all steps."""
        return self.integrated(model, self.x, "none")

    def backward(self, model: nd.PredictiveCoding | None) -> Tensor:
        """Return d sum(logits^2) / d image, by the authors' way where no model is given."""
        with torch.enable_grad():
            x = self.x.clone().requires_grad_()
            out = self.integrated(model, x, "backprop") if model else self.looped(x, graph=True)
            return torch.autograd.grad(out.float().square().sum(), x)[0]

    def integrated(self, model: nd.PredictiveCoding, x: Tensor, gradient: str) -> Tensor:
        """Run a solve of this library."""
        times = [0.0, float(self.steps)]
        run = nd.integrate(model, x, times, method="euler", gradient=gradient, record="readout")
        return run.readout[-1]

    def looped(self, x: Tensor, graph: bool) -> Tensor:
        """Run the authors' loop."""
        model = self.model
        return authors(
            model.backbone, model.taps.modules, model.decoders, model.scale, x, self.steps, graph
        )

    def ways(self) -> dict[str, Callable]:
        """Return all that is measured, by name."""
        return {
            "floor": self.floor,
            "evaluation": lambda: self.evaluation(self.model),
            "evaluation, fast": lambda: self.evaluation(self.fast),
            "evaluation, plain": lambda: self.evaluation(self.plain),
            "solve": lambda: self.solve(self.model),
            "solve, fast": lambda: self.solve(self.fast),
            "solve, plain": lambda: self.solve(self.plain),
            "solve, authors": lambda: self.looped(self.x, graph=False),
            "backward": lambda: self.backward(self.constant),
            "backward, full": lambda: self.backward(self.model),
            "backward, authors": lambda: self.backward(None),
        }

    def run(self, way: str) -> tuple[float, float, Tensor]:
        """Return the wall and CPU seconds one way takes, and what it returns."""
        kind = self.x.device.type
        wait = torch.cuda.synchronize if self.x.is_cuda else lambda: None
        wait()
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        wall, cpu = time.perf_counter(), time.process_time()
        half = self.precision == "bfloat16"
        with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=half):
            out = self.ways()[way]()
        wait()
        return time.perf_counter() - wall, time.process_time() - cpu, out

    def peak(self, way: str) -> float:
        """Return one way's peak memory in MB, of the solves."""
        if self.x.is_cuda:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self.run(way)
            return (torch.cuda.max_memory_allocated() - before) / 2**20
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # forget the peak so far
        resident = status("VmRSS")
        self.run(way)
        return (status("VmHWM") - resident) / 2**10


def made(args: argparse.Namespace, network: str) -> nd.PredictiveCoding:
    """Return a network with the authors' rates and fixed weights."""
    beta, lam, alpha = RATES
    rates = {"feedforward": beta, "feedback": lam, "error": alpha}
    model = NETWORKS[network][0](update="sequential", **rates)
    return model.to(args.device).requires_grad_(False)


def status(key: str) -> int:
    """Read one line of this process's status, in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))


def distance(a: Tensor, b: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return float((a.float() - b.float()).abs().max() / b.float().abs().max())


def measure(args: argparse.Namespace, network: str) -> None:
    """Print one network's table."""
    model = made(args, network)
    cases: dict[str, Case] = {p: Case(args, network, model, p) for p in args.precision}
    first = cases[args.precision[0]]
    work = first.work()
    print(f"\n{network}: batch {tuple(first.x.shape)}, solve = {args.steps} steps, "
          f"one evaluation = {work:.2f} G multiply-adds")  # fmt: skip
    print("  speed: seconds of the authors' way or of the floor by these; speed_1: in the first "
          "precision\n  error: largest difference from the authors' result, by its largest value; "
          "error_1: from the first precision's")  # fmt: skip
    ways = [w for w in first.ways() if w.split(",")[0] in args.what or w == "floor"]
    for precision, case in cases.items():
        seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        outputs: dict[str, Tensor] = {}
        for repeat in range(args.repeats + 1):
            for way in ways:
                *taken, outputs[way] = case.run(way)
                if repeat:  # the first is for warming up
                    seconds[way].append(tuple(taken))
        wall, cpu = ({w: statistics.median(s[i] for s in seconds[w]) for w in ways} for i in (0, 1))
        if case is first:
            reference, exact = wall, dict(outputs)
        print(f"  {precision:18s}      wall       CPU   speed  in CPU  speed_1   error  error_1"
              "      MB   share")  # fmt: skip
        for way in ways:
            kind = way.split(",")[0]
            theirs = f"{kind}, authors" if kind in ("solve", "backward") else "floor"
            line = f"  {way:18s} {wall[way]:9.4f} {cpu[way]:9.4f} {wall[theirs] / wall[way]:7.2f}"
            line += f" {cpu[theirs] / cpu[way]:7.2f}  {reference[theirs] / wall[way]:7.2f}"
            if theirs != "floor":
                line += f"  {distance(outputs[way], outputs[theirs]):6.0e}"
                line += f"  {distance(outputs[way], exact[way]):7.0e}"
                if args.memory:
                    used, whole = (peak(args, network, precision, w) for w in (way, theirs))
                    line += f"  {used:6.0f}  {used / whole:6.2f}"
            print(line, flush=True)


def peak(args: argparse.Namespace, network: str, precision: str, way: str) -> float:
    """Measure peak memory in a process of its own."""
    code = [sys.executable, __file__, "--network", network, "--precision", precision, "--device",
            args.device, "--steps", str(args.steps), "--peak", way]  # fmt: skip
    code += ["--batch", str(args.batch)] if args.batch else []
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    run = subprocess.run(code, capture_output=True, text=True, check=True, env=env)
    return json.loads(run.stdout)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--precision", nargs="+", default=["float32"],
                        choices=["float32", "tf32", "bfloat16"])  # fmt: skip
    parser.add_argument("--what", nargs="+", default=["evaluation", "solve", "backward"],
                        choices=["evaluation", "solve", "backward"])  # fmt: skip
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="peaks too, a process for each")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # in bfloat16 some of cuDNN's guesses are 15 times slower
    if args.peak:
        (network,), (precision,) = args.network, args.precision
        print(Case(args, network, made(args, network), precision).peak(args.peak))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.device}")
    for network in args.network:
        measure(args, network)


if __name__ == "__main__":
    main()
