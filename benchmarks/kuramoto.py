"""KomplexNet against its step written plainly, as its authors write it.

    python benchmarks/kuramoto.py [--repeats 5] [--device cuda] [--batch 16] [--film 256]

15 steps of Euler's method on 16 images, the last readout wanted; the same with a loss on the last
readout and its gradient; and the former with the coupling in bfloat16. The plain way recomputes
amplitudes and gates in every step, forms complex numbers by ``exp``, takes phases by ``angle``,
runs the three real layers of each complex layer one by one and the head in every step. Both
compute the same numbers, which is checked. All run in turns in one process.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import neurodyn as nd
from neurodyn.models import KomplexNet, RealTwin

STEPS = 15


def plain_layer(layer: torch.nn.Module, norm: torch.nn.Module, z: Tensor) -> Tensor:
    """One complex layer with arg and exp."""
    psi = torch.complex(layer(z.real), layer(z.imag))
    m = 0.5 * psi.abs() + 0.5 * layer(z.abs())
    return torch.relu(norm(m)) * torch.exp(1j * psi.angle())


def plain(model: KomplexNet, images: Tensor, phase: Tensor) -> Tensor:
    """Run the published steps; the last logits."""
    head, kernel = model.head, model.coupling.kernel
    for _ in range(STEPS):
        amplitude = torch.relu(model.filters(images))
        gate = torch.tanh(amplitude)
        c = F.conv2d(gate * phase.cos(), kernel, padding="same")
        s = F.conv2d(gate * phase.sin(), kernel, padding="same")
        c = c - model.desynchrony * (gate * phase.cos()).sum((1, 2, 3), keepdim=True)
        s = s - model.desynchrony * (gate * phase.sin()).sum((1, 2, 3), keepdim=True)
        phase = phase + model.rate * (phase.cos() * s - phase.sin() * c)
        z = amplitude * torch.exp(1j * phase)
        z = plain_layer(head.convolution.layer, head.convolution.norm, z)
        z = plain_layer(head.hidden.layer, head.hidden.norm, z.flatten(1))
        layer = head.category.layer
        m = 0.5 * torch.complex(layer(z.real), layer(z.imag)).abs() + 0.5 * layer(z.abs())
        logits = m - m.amax(1, keepdim=True) / 3
    return logits


def ours(model: KomplexNet, images: Tensor, phase: Tensor, gradient: str = "none") -> Tensor:
    """Solve; the last logits, read from the last phases."""
    solution = nd.integrate(
        model, images, [0.0, STEPS], initial_state=(phase,), method="euler", record="phase",
        gradient=gradient,
    )  # fmt: skip
    return model.readout((solution.states[0][-1],), model.drive(images))


def train(function: Callable, model: KomplexNet, *args: Tensor, **options: str) -> None:
    """Run forward and backward."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    loss = F.binary_cross_entropy_with_logits(function(model, *args, **options), target(args[0]))
    torch.autograd.grad(loss, parameters, allow_unused=True)


def target(images: Tensor) -> Tensor:
    """Return some categories to aim at."""
    return (torch.arange(10, device=images.device) % 5 == 0).float().expand(len(images), 10)


def clock(function: Callable[[], object], device: str) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def film(images: int) -> float:
    """Stream the phases of a film at 61 times to disk; return the peak memory in MB."""
    generator = torch.Generator().manual_seed(0)
    stimulus = torch.rand(images, 1, 32, 32, generator=generator)
    model = KomplexNet()
    frames = [0]
    with tempfile.TemporaryFile() as file:

        def writes(t: Tensor, state: tuple[Tensor, ...]) -> None:
            file.write(state[0].half().numpy().tobytes())
            frames[0] += 1

        nd.simulate(
            model, stimulus, [i / 4 for i in range(61)], method="euler", record=writes,
            batch_size=16,
        )  # fmt: skip
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Print a table of times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--film", type=int, help="stream so many images, print the peak memory")
    args = parser.parse_args()
    if args.film:
        print(f"{args.film} images streamed, peak {film(args.film):.0f} MB")
        return
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(args.batch, 1, 32, 32, generator=generator).to(args.device)
    model = KomplexNet().to(args.device)
    low = KomplexNet(dtype=torch.bfloat16).to(args.device)
    low.load_state_dict(model.state_dict())
    phase = model.initial_state(model.drive(images), generator)[0].detach()
    twin = RealTwin().to(args.device)
    given = (images, phase)

    def quiet(function: Callable[[], object]) -> Callable[[], object]:
        def call() -> object:
            with torch.no_grad():
                return function()

        return call

    ways = {
        "plain, forward": quiet(lambda: plain(model, *given)),
        "integrate, forward": quiet(lambda: ours(model, *given)),
        "integrate, bfloat16": quiet(lambda: ours(low, *given)),
        "plain, training": lambda: train(plain, model, *given),
        "integrate, training": lambda: train(ours, model, *given, gradient="backprop"),
        "real twin, forward": quiet(lambda: twin(images)),
    }
    with torch.no_grad():
        exact = plain(model, *given)
        scale = exact.abs().max()
        error = float((ours(model, *given) - exact).abs().max() / scale)
        coarse = float((ours(low, *given) - exact).abs().max() / scale)
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(args.repeats):
        for way, function in ways.items():
            seconds[way].append(clock(function, args.device))
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, {args.device}, batch {args.batch}")
    print(f"largest relative difference of the logits {error:.1e}, in bfloat16 {coarse:.1e}")
    wall = {way: statistics.median(s[0] for s in seconds[way]) for way in ways}
    cpu = {way: statistics.median(s[1] for s in seconds[way]) for way in ways}
    for way in ways:
        peer = "plain, training" if way.endswith("training") else "plain, forward"
        print(f"  {way:20s} wall {1e3 * wall[way]:8.1f} ms ({wall[peer] / wall[way]:6.2f} times)"
              f"   CPU {1e3 * cpu[way]:8.1f} ms ({cpu[peer] / cpu[way]:6.2f} times)")  # fmt: skip


if __name__ == "__main__":
    main()
