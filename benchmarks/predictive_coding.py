"""Predictive coding against the bare convolutions (the floor) and against the published way.

    python benchmarks/predictive_coding.py [small|vgg16] [--device cuda]

One evaluation of f and a solve of 4 steps after the feed-forward pass. The floor is the same
convolutions alone: the backbone from the first tap to the last, each decoder, and the transposed
pass of each. The peer is a plain loop of the discrete rule written with ``autograd.grad`` of the
mean squared error, hooks on the taps and the whole network run in every step, as in the authors'
package; it computes the same numbers, which is checked. All run in turns in one process; peak
memory is measured in processes of their own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.layout import Layout

STEPS = 4


def small() -> tuple[nn.Module, list[str], list[nn.Module], tuple[int, ...]]:
    """Three 3x3 convolutions on 32x32, batch 16, Predify's default decoders."""
    backbone = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip

    def up(a: int, b: int) -> nn.Module:
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(a, b, 3, padding=1)
        )

    decoders = [nn.ConvTranspose2d(32, 3, 3, padding=1), up(64, 32), up(128, 64)]
    return backbone, ["1", "4", "7"], decoders, (16, 3, 32, 32)


def vgg16() -> tuple[nn.Module, list[str], list[nn.Module], tuple[int, ...]]:
    """VGG16 at 224x224, batch 4, the paper's taps and decoders, random weights."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    backbone = nn.Sequential()
    backbone.features = nn.Sequential(*layers)
    backbone.head = nn.Sequential(
        nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(),
        nn.Linear(4096, 1000),
    )  # fmt: skip
    decoders: list[nn.Module] = [nn.ConvTranspose2d(64, 3, 5, padding=2)]
    for a, b, k, p in (128, 64, 10, 4), (256, 128, 14, 6), (512, 256, 14, 6), (512, 512, 14, 6):
        decoders.append(
            nn.Sequential(nn.ConvTranspose2d(a, b, k, stride=2, padding=p), nn.ReLU())
        )
    return backbone, [f"features.{i}" for i in (3, 8, 15, 22, 29)], decoders, (4, 3, 224, 224)


def published(
    backbone: nn.Module, taps: list[str], decoders: list[nn.Module], scale: list[float],
    rates: tuple[float, float, float], x: Tensor, steps: int,
) -> Tensor:  # fmt: skip
    """Run Predify's discrete rule as its authors write it: a hook per tap, autograd.grad."""
    beta, lam, alpha = rates
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
            e[n] = new.detach()
            with torch.enable_grad():
                leaf = new.detach().requires_grad_()
                prediction = decoders[n](leaf)
                target = x if n == 0 else e[n - 1]
                mse = nn.functional.mse_loss(prediction, target)
                (g,) = torch.autograd.grad(mse, leaf, retain_graph=True)
            p[n], gradient[n] = prediction.detach(), g * (prediction.numel() / 2)
            return e[n]

        return update

    handles = [backbone.get_submodule(t).register_forward_hook(hook(n)) for n, t in enumerate(taps)]
    with torch.no_grad():
        for _ in range(steps + 1):
            logits = backbone(x)
    for handle in handles:
        handle.remove()
    return logits


class Case:
    """A network, its peer and its floor on one input."""

    def __init__(self, name: str, device: str) -> None:
        torch.manual_seed(0)
        backbone, taps, decoders, shape = {"small": small, "vgg16": vgg16}[name]()
        self.taps, self.rates = taps, (0.3, 0.3, 0.01)
        self.backbone = backbone.to(device).eval().requires_grad_(False)
        self.decoders = [d.to(device).requires_grad_(False) for d in decoders]
        self.x = torch.rand(shape, device=device)
        beta, lam, alpha = self.rates
        with torch.no_grad():
            self.model = nd.PredictiveCoding(
                self.backbone, taps, self.decoders, feedforward=beta, feedback=lam, error=alpha,
                update="sequential", error_scale=[0.05] * len(taps),
                layout="contiguous" if name == "vgg16" else "channels_last",
            ).eval()  # fmt: skip
            self.drive = self.model.drive(self.x)
            state = self.model.initial_state(self.drive)
            layout = Layout(state, taps, self.model.layout == "channels_last")
            self.state = layout.unpack(layout.pack(state))
        self.t = torch.tensor(0.0, device=device)

    def evaluation(self) -> None:
        """One f(t, y) on the state as the solver hands it over."""
        with torch.no_grad():
            self.model(self.t, self.state, self.drive)

    def floor(self) -> None:
        """The convolutions of one f(t, y) and nothing else."""
        with torch.no_grad():
            y = self.state[0]
            modules = dict(self.backbone.named_modules())
            names = [n for n, m in modules.items() if not list(m.children())]
            at = names.index(self.taps[0])
            for name in names[at + 1 : names.index(self.taps[-1]) + 1]:
                y = modules[name](y)
        for decoder, e in zip(self.decoders, self.state, strict=True):
            with torch.enable_grad():
                leaf = e.detach().requires_grad_()
                out = decoder(leaf)
            torch.autograd.grad(out, leaf, out.detach())

    def solve(self) -> Tensor:
        """Four steps after the feed-forward pass; the last readout."""
        times = [0.0, float(STEPS)]
        solution = nd.integrate(
            self.model, self.x, times, method="euler", gradient="none", record="readout"
        )
        return solution.readout[-1]

    def published(self) -> Tensor:
        """The same by the authors' way."""
        return published(
            self.backbone, self.taps, self.decoders, self.model.scale, self.rates, self.x, STEPS
        )


def clock(function, device: str) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak(name: str, what: str, device: str) -> float:
    """Peak memory of one way in MB above the model and its input, in a process of its own."""
    code = [sys.executable, __file__, name, "--device", device, "--peak", what]
    return json.loads(subprocess.run(code, capture_output=True, text=True, check=True).stdout)


def measure_peak(name: str, what: str, device: str) -> float:
    """Measure, inside that process."""
    warm = Case("small", device)
    getattr(warm, what)()
    del warm
    case = Case(name, device)
    del case.drive, case.state
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        getattr(case, what)()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before = status("VmRSS")
    getattr(case, what)()
    return (status("VmHWM") - before) / 2**10


def status(key: str) -> int:
    """Read one line of this process's status, in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))


def main() -> None:
    """Print a table of times, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["small", "vgg16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--peak")
    args = parser.parse_args()
    if args.peak:
        print(measure_peak(args.names[0], args.peak, args.device))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.device}")
    for name in args.names:
        case = Case(name, args.device)
        a, b = case.solve(), case.published()
        difference = float((a - b).abs().max() / b.abs().max())
        ways = ["floor", "evaluation", "solve", "published"]
        seconds: dict[str, list[tuple[float, float]]] = {w: [] for w in ways}
        for _ in range(args.repeats or {"small": 40, "vgg16": 3}[name]):
            for way in ways:
                seconds[way].append(clock(getattr(case, way), args.device))
        wall = {w: statistics.median(s[0] for s in seconds[w]) for w in ways}
        cpu = {w: statistics.median(s[1] for s in seconds[w]) for w in ways}
        print(f"\n{name}: batch {tuple(case.x.shape)}, solve = {STEPS} steps; "
              f"largest relative difference of the logits {difference:.1e}")
        for way in ways:
            print(f"  {way:12s} wall {1e3 * wall[way]:9.1f} ms   CPU {1e3 * cpu[way]:9.1f} ms")
        print(f"  evaluation / floor       wall {wall['evaluation'] / wall['floor']:.3f}   "
              f"CPU {cpu['evaluation'] / cpu['floor']:.3f}")
        print(f"  published / solve        wall {wall['published'] / wall['solve']:.3f}   "
              f"CPU {cpu['published'] / cpu['solve']:.3f}")
        ours, theirs = (peak(name, w, args.device) for w in ("solve", "published"))
        print(f"  peak memory: solve {ours:.0f} MB, published {theirs:.0f} MB, "
              f"ratio {ours / theirs:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
