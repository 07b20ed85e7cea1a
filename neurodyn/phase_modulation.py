"""A pass of any network whose connections are scaled by the phases at their two ends."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from neurodyn.backbone import STIMULUS, Backbone, Visit, calls_in
from neurodyn.dynamics import Drive
from neurodyn.jacobian import forward_product, linearised

FIRST, SECOND = "first", "second"
"""In the drive: the first tap's activity as waves want it; what the second computes from it."""


class PhaseModulated(Backbone):
    r"""Runs a network with a phase at each location, or unit, of its taps.

    .. math::
        z_i' = z_i + a \sum_j \frac{\partial z_i}{\partial m_j} m_j \cos(\phi_i - \phi_j)
             = z_i + a \left[\cos\phi_i\, J(m \cos\phi)_i + \sin\phi_i\, J(m \sin\phi)_i\right]

    with the activities :math:`m_j` that the taps before hand on, and the Jacobian J of the stage
    that ends at i: every effective connection from j to i is scaled by
    :math:`1 + a \cos(\phi_i - \phi_j)`, biases are not. A stage that is affine (convolution, mean
    pooling, skips, normalisation) has its weights for connections, exactly; in one with modules
    that are not (max-pooling, activations within a block), connections are those of the working
    point. What lies below the first tap has no phase and is not modulated, nor is what lies above
    the last.

    A tapped ``nn.ReLU`` is modulated in what it rectifies. Any other module in its output, and that
    is rectified again if the module never returns anything negative.

    The waves :math:`m \cos\phi` and :math:`m \sin\phi` travel with m as one batch: an affine module
    treats them alike, and what it makes of nothing, its bias, is taken off the waves. Modules that
    are not affine are found by trying, and called with m and differentiated along the waves.

    Parameters
    ----------
    network, taps
        As of `Backbone`.
    """

    def __init__(
        self, network: nn.Module, taps: Sequence[str] | Mapping[str, str | nn.Module]
    ) -> None:
        super().__init__(network, taps)
        self.at_input: set[int] = set()
        self.rectified: set[int] = set()
        self.curved: list[str] = []
        self.channels_last = self.second_known = False

    def inspect(self, network: nn.Module, stimulus: Tensor) -> tuple[list[torch.Size], Tensor]:
        """Look as `Backbone` does, and find what is not affine; refuse what waves cannot pass."""
        shapes, output = super().inspect(network, stimulus)
        for name, shape in zip(self.names, shapes, strict=True):
            if len(shape) not in (1, 3):
                raise ValueError(
                    f"tap {name!r} has shape {tuple(shape)}: phases live on maps (channel, y, x) "
                    "or vectors (unit)"
                )
        modules = dict(network.named_modules())
        last = len(self.modules) - 1
        kinds = [modules[name] for name in self.modules]
        self.at_input = {n for n, module in enumerate(kinds) if isinstance(module, nn.ReLU)}
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode(False), torch.no_grad():
            noise = torch.randn((6, *stimulus.shape[1:]), generator=generator).to(stimulus)
            probe = torch.cat([stimulus[:1], -stimulus[:1], noise, 30 * noise[:2]])
            low: dict[int, float] = {}

            def look(n: int, feedforward: Tensor) -> Tensor:
                low[n] = float(feedforward.amin())
                return feedforward

            drive = super().drive(network, probe)
            self.run(network, drive, look)
            self.rectified = {n for n, least in low.items() if least >= 0} - self.at_input
            self.curved, between = self._curved(network, drive)
            if last:
                self._check(network, drive)
                known = not (between or self.needs_below)
                known = known and not self._crosses(network, probe, range(1, last + 1), [])[0]
                self._choose(network, probe, shapes, known)
        return shapes, output

    def _curved(self, network: nn.Module, drive: Drive) -> tuple[list[str], bool]:
        """Return the modules between the taps that are not affine, and if any is below the second.

        Each module without parts is tried: f(a) + f(b) = f(a + b) + f(0).
        """
        found: list[str] = []
        passed = 0
        between = False
        generator = torch.Generator().manual_seed(1)

        def trying(name: str, forward: Callable) -> Callable:
            def tried(*args: Any, **kwargs: Any) -> Any:
                nonlocal between
                out = forward(*args, **kwargs)
                new = passed and name not in found and isinstance(out, Tensor)
                if new and not affine(forward, args, kwargs, generator):
                    found.append(name)
                    between |= passed == 1
                return out

            return tried

        def visit(n: int, feedforward: Tensor) -> Tensor:
            nonlocal passed
            passed = n + 1
            return feedforward

        parts = {
            name: trying
            for name, module in network.named_modules()
            if name and name not in self.modules and not any(module.children())
        }
        self._run(network, drive, visit, range(len(self.modules)), parts=parts)
        return found, between

    def _check(self, network: nn.Module, drive: Drive) -> None:
        """Compare what waves become, without phases, to derivatives of the network itself."""
        generator = torch.Generator().manual_seed(2)
        seen: list[Tensor] = []
        samples = len(drive[STIMULUS])
        first = drive["feedforward"]
        along = torch.randn(first.shape, generator=generator).to(first)

        def outputs(value: Tensor) -> tuple[Tensor, ...]:
            passed: list[Tensor] = []

            def visit(n: int, feedforward: Tensor) -> Tensor:
                passed.append(value if n == 0 else feedforward)
                return passed[-1]

            self.sweep(network, drive, visit)
            return tuple(passed[1:])

        wanted = linearised(outputs, (first,))[1]((along,))
        drive = drive | self._biases(network, drive)

        def visit(n: int, feedforward: Tensor) -> Tensor:
            if n == 0:
                return torch.cat([first, along, along])
            u, c, s = feedforward.split(samples)
            c, s = c - drive[f"bias {n}"], s - drive[f"bias {n}"]
            if n in self.at_input:
                c, s, u = c * (u > 0), s * (u > 0), u.relu()
            seen.append(c)
            return torch.cat([u, c, s])

        self._sweep_stacked(network, drive, visit)
        for name, got, right in zip(self.names[1:], seen, wanted, strict=True):
            if not nearly(got, right):
                raise ValueError(
                    f"phases cannot be carried to {name!r}: below it the network does something "
                    "that is not affine outside of any module (such as torch.relu or max_pool2d "
                    "called as functions), or in one that takes or returns more than one tensor. "
                    "Make it a module of one, such as nn.ReLU(), or tap further up"
                )

    def _choose(
        self, network: nn.Module, stimulus: Tensor, shapes: list[torch.Size], known: bool
    ) -> None:
        """Choose the fastest form of a pass that the network takes.

        One that looks at the number of samples or at strides may not take them all.
        """
        maps = [shape[1:] if len(shape) > 1 else shape for shape in shapes]
        generator = torch.Generator().manual_seed(3)
        drawn = [torch.randn((len(stimulus), *m), generator=generator).to(stimulus) for m in maps]

        def passed() -> list[Tensor]:
            drive = self.drive(network, stimulus)
            return self.sweep_phases(network, drive, drawn, [0.5] * (len(maps) - 1))

        wanted = passed()
        for form in ((True, known), (False, known), (True, False)):
            self.channels_last, self.second_known = form
            try:
                got = passed()
            except RuntimeError:
                continue
            if all(nearly(a, b) for a, b in zip(got, wanted, strict=True)):
                return
        self.channels_last = self.second_known = False

    def drive(self, network: nn.Module, stimulus: Tensor) -> Drive:
        """Return the taps' drive, the biases, and what the second tap computes without phases."""
        drive = super().drive(network, stimulus)
        drive |= self._biases(network, drive)
        first = drive["feedforward"]
        if self.channels_last and first.ndim == 4:
            first = first.contiguous(memory_format=torch.channels_last)
        drive[FIRST] = first
        if self.second_known:

            def visit(n: int, feedforward: Tensor) -> Tensor:
                if n == 1:
                    drive[SECOND] = feedforward
                return feedforward if n else first

            self._run(network, drive, visit, range(2), at_input=self.at_input)
        return drive

    def _biases(self, network: nn.Module, drive: Drive) -> Drive:
        """Return what each stage makes of nothing: up to each tap and each curved module."""
        one = {key: torch.zeros_like(value[:1]) for key, value in drive.items()}
        found: Drive = {}

        def catching(name: str, forward: Callable) -> Callable:
            calls = count()

            def caught(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
                found[f"bias {name} {next(calls)}"] = x
                return torch.zeros_like(forward(x.clone(), *args, **kwargs))

            return caught

        def visit(n: int, feedforward: Tensor) -> Tensor:
            found[f"bias {n}"] = feedforward
            return torch.zeros_like(feedforward)

        taps = range(len(self.modules))
        parts = dict.fromkeys(self.curved, catching)
        self._run(network, one, visit, taps, parts=parts, at_input=self.at_input)
        del found["bias 0"]
        samples = len(drive[STIMULUS])
        return {key: value.expand(samples, *value.shape[1:]) for key, value in found.items()}

    def sweep_phases(
        self,
        network: nn.Module,
        drive: Drive,
        phases: Sequence[Tensor],
        scale: Sequence[float | Tensor],
    ) -> list[Tensor]:
        """Run from the first tap to the last, and return the activities m of all.

        With them `head` returns the network's output.

        Parameters
        ----------
        network, drive
            The network, and what `drive` made of its stimulus.
        phases : sequence of Tensor
            One for each tap: (sample, y, x) or (sample, unit), in radians.
        scale : sequence of float or Tensor
            a for the connections into each tap after the first; a number 0 leaves them out, and if
            all are 0 this is the network's own pass.
        """
        samples, last = len(drive[STIMULUS]), len(phases) - 1
        known = drive.get(SECOND)
        found: list[Tensor] = []

        def keep(n: int, feedforward: Tensor) -> Tensor:
            found.append(feedforward)
            return feedforward

        def visit(n: int, feedforward: Tensor) -> Tensor:
            phase = phases[n][:, None] if phases[n].ndim > 2 else phases[n]
            cos, sin = phase.cos(), phase.sin()
            if n == 0:
                m = drive[FIRST]
            elif n == 1 and known is not None:
                m = self._arrived(n, known, feedforward, drive, cos, sin, scale[n - 1])
            else:
                z, waves = feedforward.split([samples, 2 * samples])
                m = self._arrived(n, z, waves, drive, cos, sin, scale[n - 1])
            found.append(m)
            if n == last:
                return m
            sent = [cos, sin] if n == 0 and known is not None else [torch.ones_like(cos), cos, sin]
            return (m * torch.stack(sent)).flatten(0, 1)

        if all(is_zero(a) for a in scale):
            self.sweep(network, drive, keep)
        else:
            self._sweep_stacked(network, drive, visit)
        return found

    def _arrived(
        self, n: int, z: Tensor, waves: Tensor, drive: Drive, cos: Tensor, sin: Tensor,
        scale: float | Tensor,
    ) -> Tensor:  # fmt: skip
        """Return the activity of tap n: what arrives, with its connections scaled."""
        if not is_zero(scale):
            c, s = waves.unflatten(0, (2, len(z))) - drive[f"bias {n}"]
            z = z + scale * torch.addcmul(cos * c, sin, s)
        return z.relu() if n in self.at_input or n in self.rectified else z

    def _sweep_stacked(self, network: nn.Module, drive: Drive, visit: Visit) -> None:
        """Sweep with waves: parts that are not affine carry them by their derivative."""
        samples = len(drive[STIMULUS])

        def carrying(name: str, forward: Callable) -> Callable:
            calls = count()

            def carried(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
                bias = drive[f"bias {name} {next(calls)}"]
                u, c, s = x.split(samples)
                both, along = torch.cat([u, u]), torch.cat([c - bias, s - bias])
                out, waves = forward_product(
                    lambda v: forward(v.clone(), *args, **kwargs), both, along
                )
                return torch.cat([out[:samples], waves])

            return carried

        parts = dict.fromkeys(self.curved, carrying)
        taps = range(len(self.modules))
        self._run(network, self._wide(drive), visit, taps, parts=parts, at_input=self.at_input)

    def _wide(self, drive: Drive) -> Drive:
        """Return a drive as one batch with waves: what is below the first tap has none."""
        samples = len(drive[STIMULUS])

        def with_blank(value: Tensor) -> Tensor:
            return torch.cat([value, value.new_zeros((2 * samples, *value.shape[1:]))])

        below = calls_in(drive)
        if self.needs_below:
            below = {key: with_blank(value) for key, value in below.items()}
        else:  # shapes only
            below = {k: v[:1].expand(3 * samples, *v.shape[1:]) for k, v in below.items()}
        image = with_blank(drive[STIMULUS])
        return {"feedforward": drive["feedforward"], STIMULUS: image} | below


def nearly(got: Tensor, right: Tensor) -> bool:
    """Tell if two tensors are the same to a hundredth of the largest number."""
    return got.shape == right.shape and bool(
        (got - right).abs().max() <= 1e-2 * right.abs().max() + 1e-12
    )


def affine(forward: Callable, args: Any, kwargs: Any, generator: torch.Generator) -> bool:
    """Try if a module is affine in its one input; taken to be if its input has another form.

    To a precision that convolutions on a GPU have by default (TF32); with numbers around 1 and
    around 1000, as a bound may lie between.
    """
    if len(args) != 1 or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return True
    x = args[0]
    for size in (1, 1000):
        a, b = (size * torch.randn(x.shape, generator=generator).to(x) for _ in range(2))
        fa, fb, both, none = (
            forward(v, **kwargs) for v in (a.clone(), b.clone(), a + b, torch.zeros_like(x))
        )
        scale = max(float(v.abs().max()) for v in (fa, fb, both, none))
        if float((fa + fb - both - none).abs().max()) > 3e-3 * scale:
            return False
    return True


def is_zero(scale: float | Tensor) -> bool:
    """Tell a number 0, which leaves connections as they are, from a parameter."""
    return not isinstance(scale, Tensor) and scale == 0
