"""`integrate` against bare torchdiffeq: forward, and forward with backward.

    python benchmarks/solve.py [--device cuda] [--steps 4 64]

The state is five convolutional maps of 16 samples (8 MB), under a dense right-hand side (3x3
convolutions up and down between neighbours) and a light one (depthwise 5x5, as phase coupling);
and 64 oscillators. The peers are `torchdiffeq.odeint` on the tuple state with all times asked for,
and `odeint_adjoint`. All ways run in turns in one process; the memory is the peak above what was
there before the call, in a process of its own.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

import neurodyn as nd

SHAPES = ((64, 32), (128, 16), (256, 8), (512, 4), (512, 2))
SAMPLES = 16


class Maps(nd.Dynamics):
    """dy/dt of five maps; the drive is the initial state."""

    step = 0.1
    variables = tuple(nd.Variable(f"map{i}", ("channel", "y", "x")) for i in range(5))

    def drive(self, stimulus: Tensor) -> dict[str, Tensor]:
        """Pass the stimulus on: a seed for the initial state."""
        return {"stimulus": stimulus}

    def initial_state(self, drive, generator=None):
        """Draw the maps."""
        seed = torch.Generator().manual_seed(0)
        device = drive["stimulus"].device
        return tuple(
            torch.randn(SAMPLES, c, s, s, generator=seed).to(device) * 0.5 for c, s in SHAPES
        )

    def readout(self, state, drive):
        """Average each channel of the last map."""
        return state[-1].mean((2, 3))


class Dense(Maps):
    """Leaky maps drawn to both neighbours through dense convolutions."""

    def __init__(self) -> None:
        super().__init__()
        pairs = list(zip(SHAPES, SHAPES[1:], strict=False))
        self.up = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for (a, _), (b, _) in pairs
        )
        self.down = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 4, stride=2, padding=1) for (a, _), (b, _) in pairs
        )

    def forward(self, t, state, drive):
        """dy/dt = -y + tanh(up + down)."""
        out = []
        for i, y in enumerate(state):
            total: Tensor | float = 0.0
            if i > 0:
                total = total + self.up[i - 1](state[i - 1])
            if i < len(state) - 1:
                total = total + self.down[i](state[i + 1])
            out.append(torch.tanh(total) - y)
        return tuple(out)


class Depthwise(Maps):
    """Phases coupled to their neighbours in the same channel: sin and cos of a 5x5 surround."""

    def __init__(self) -> None:
        super().__init__()
        seed = torch.Generator().manual_seed(1)
        self.kernels = nn.ParameterList(
            nn.Parameter(torch.rand(c, 1, 5, 5, generator=seed) / 25) for c, _ in SHAPES
        )

    def forward(self, t, state, drive):
        """dtheta_i/dt = sum_j K_ij sin(theta_j - theta_i)."""
        out = []
        for y, kernel in zip(state, self.kernels, strict=True):
            sin, cos = torch.sin(y), torch.cos(y)
            groups = y.shape[1]
            s = nn.functional.conv2d(sin, kernel, padding=2, groups=groups)
            c = nn.functional.conv2d(cos, kernel, padding=2, groups=groups)
            out.append(cos * s - sin * c)
        return tuple(out)


class Oscillators(nd.Dynamics):
    """64 oscillators, all to all."""

    step = 0.1
    variables = (nd.Variable("phase", ("node",)),)

    def __init__(self) -> None:
        super().__init__()
        seed = torch.Generator().manual_seed(2)
        self.coupling = nn.Parameter(torch.rand(64, 64, generator=seed) / 64)

    def drive(self, stimulus):
        """Pass the stimulus on."""
        return {"stimulus": stimulus}

    def initial_state(self, drive, generator=None):
        """Spread the phases evenly."""
        return (torch.linspace(0, 6, 64, device=drive["stimulus"].device)[None],)

    def forward(self, t, state, drive):
        """dtheta_i/dt = sum_j K_ij sin(theta_j - theta_i)."""
        (y,) = state
        sin, cos = torch.sin(y), torch.cos(y)
        return (cos * (sin @ self.coupling.T) - sin * (cos @ self.coupling.T),)

    def readout(self, state, drive):
        """Report the phases."""
        return state[0]


class Case:
    """One dynamics with one method and number of steps."""

    def __init__(self, kind: str, method: str, steps: int, device: str) -> None:
        torch.manual_seed(0)
        kinds = {"dense": Dense, "depthwise": Depthwise, "oscillators": Oscillators}
        plain = kinds[kind]().to(device)
        # the state comes in channels last; the weights of dense convolutions should be so, too
        self.dynamics = copy.deepcopy(plain).to(memory_format=torch.channels_last)
        self.stimulus = torch.zeros(SAMPLES, 1, device=device)
        self.field = nd.bind(plain, self.stimulus)
        self.method, self.steps = method, steps
        end = steps * self.dynamics.step if method == "euler" else 3.0
        self.times = torch.linspace(0, end, (steps if method == "euler" else 10) + 1).double()
        self.states = [v.name for v in self.dynamics.variables]
        self.tolerances = {"rtol": 1e-3, "atol": 1e-4}

    def bare(self) -> tuple[Tensor, ...]:
        """Ask bare odeint for all times."""
        t = self.times.to(self.stimulus.device)
        return odeint(self.field, self.field.initial_state(), t, method=self.method,
                      **self.tolerances)  # fmt: skip

    def adjoint(self) -> tuple[Tensor, ...]:
        """Ask odeint_adjoint for all times."""
        t = self.times.to(self.stimulus.device)
        return odeint_adjoint(self.field, self.field.initial_state(), t, method=self.method,
                              **self.tolerances)  # fmt: skip

    def ours(self, gradient: str = "backprop", times: Tensor | None = None) -> tuple[Tensor, ...]:
        """Ask `integrate` for all times, or some."""
        return nd.integrate(
            self.dynamics, self.stimulus, self.times if times is None else times,
            method=self.method, gradient=gradient, record=self.states, **self.tolerances,
        ).states  # fmt: skip

    def gradient(self, name: str, states: tuple[Tensor, ...], every: bool) -> tuple[Tensor, ...]:
        """Differentiate a loss on every time, or the last."""
        loss = sum((s if every else s[-1]).pow(2).mean() for s in states)
        peer = name in ("bare", "adjoint")
        parameters = (self.field if peer else self.dynamics).parameters()
        return torch.autograd.grad(loss, [p for p in parameters if p.requires_grad])

    def run(self, way: str) -> tuple[Tensor, ...]:
        """Run one way by name."""
        name, what = way.split(":")
        if what == "forward":
            with torch.no_grad():
                return self.ours("none") if name == "integrate" else self.bare()
        ends = self.times[[0, -1]]
        if name == "checkpoint":
            return self.gradient(name, self.ours("checkpoint", ends), every=False)
        states = {"integrate": self.ours, "bare": self.bare, "adjoint": self.adjoint}[name]()
        return self.gradient(name, states, every=what == "every")


def clock(case: Case, way: str, device: str) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    case.run(way)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def status(key: str) -> int:
    """Read one line of this process's status, in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))


def peak(case: Case, way: str, device: str) -> float:
    """Peak memory in MB above what there was before the run."""
    small = Case("oscillators", case.method, 4, device)
    small.run(way)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        case.run(way)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before = status("VmRSS")
    case.run(way)
    return (status("VmHWM") - before) / 2**10


def main() -> None:
    """Print a table of times, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, nargs="*", default=[4, 16, 64, 0],
                        help="Euler steps; 0 is dopri5")  # fmt: skip
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--peak", nargs=4, metavar=("KIND", "METHOD", "STEPS", "WAY"))
    args = parser.parse_args()
    if args.peak:
        kind, method, steps, way = args.peak
        print(peak(Case(kind, method, int(steps), args.device), way, args.device))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.device}")
    cases = [(k, "euler", n) for k in ("dense", "depthwise", "oscillators") for n in (4, 16, 64)]
    cases += [(k, "dopri5", 0) for k in ("dense", "depthwise", "oscillators")]
    cases = [c for c in cases if c[2] in args.steps]
    print("median seconds, wall (CPU); each pair in turns")
    for kind, method, steps in cases:
        case = Case(kind, method, steps, args.device)
        ways = ["integrate:forward", "bare:forward", "integrate:every", "bare:every",
                "adjoint:every", "checkpoint:last"]  # fmt: skip
        seconds: dict[str, list[tuple[float, float]]] = {w: [] for w in ways}
        repeats = 25 if kind == "oscillators" else {4: 7, 16: 5, 0: 5, 64: 3}[steps]
        repeats = args.repeats or repeats
        for _ in range(repeats):
            for way in ways:
                seconds[way].append(clock(case, way, args.device))
        print(f"\n{kind}, {method}{f', {steps} steps' if steps else ''}")
        for way in ways:
            wall = statistics.median(s[0] for s in seconds[way])
            cpu = statistics.median(s[1] for s in seconds[way])
            other = "bare:forward" if way.endswith("forward") else "bare:every"
            ratio = wall / statistics.median(s[0] for s in seconds[other])
            line = f"  {way:18s} {wall:8.4f} ({cpu:8.4f})   {ratio:.3f} of {other}"
            if kind != "oscillators":
                call = [sys.executable, __file__, "--device", args.device, "--peak"]
                call += [kind, method, str(steps), way]
                out = subprocess.run(call, capture_output=True, text=True, check=True).stdout
                line += f"   {json.loads(out):7.0f} MB"
            print(line, flush=True)
        exact, kept = case.run("integrate:last"), case.run("checkpoint:last")
        worst = max(float((a - b).abs().max() / a.abs().max()) for a, b in
                    zip(exact, kept, strict=True))  # fmt: skip
        print(f"  largest relative difference, checkpoint against backprop: {worst:.1e}")


if __name__ == "__main__":
    main()
