"""The flat, counting, recording f(t, y) that torchdiffeq sees.

torchdiffeq is used through its public functions; what stands here keeps its measured traps away
from the user. The state is packed into one vector in channels-last order, so that the right-hand
side sees channels_last maps without a copy. Nothing is asked of torchdiffeq but the two ends of a
piece: what is wanted in between is read in its callbacks, because the backward pass through its
buffer of all times costs O(T^2). Fixed steps go along an explicit grid, because its `step_size`
sometimes takes an extra step of almost zero length.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchdiffeq
from torch import Tensor
from torchdiffeq._impl.odeint import SOLVERS

from neurodyn.dynamics import Dynamics, State

CHECK_EVERY = 8
"""Steps between two looks at whether the state is still finite (each is a synchronisation)."""

ADAPTIVE = tuple(m for m, s in SOLVERS.items() if "callback_accept_step" in s.valid_callbacks())
FIXED = tuple(
    m for m, s in SOLVERS.items() if m not in ADAPTIVE and "callback_step" in s.valid_callbacks()
)
OTHER = tuple(m for m in SOLVERS if m not in ADAPTIVE + FIXED)
MULTISTEP = tuple(m for m in FIXED if "adams" in m)


class SolverError(RuntimeError):
    """The integration could not go on.

    Attributes
    ----------
    time, finite_until : float
        The time it stopped at, and the last one at which all was known to be well.
    variables : dict of str to int
        The variables with non-finite values, and in how many samples.
    recorded : Solution, DataTree or None
        What had been recorded until then, from `integrate` or `simulate`.
    """

    def __init__(
        self, message: str, time: float, variables: dict[str, int], finite_until: float
    ) -> None:
        super().__init__(message)
        self.time = time
        self.finite_until = finite_until
        self.variables = variables
        self.recorded: Any = None


@dataclass
class SolverStats:
    """What a solve cost: evaluations of f, steps accepted and rejected, their extreme sizes."""

    evaluations: int = 0
    accepted: int = 0
    rejected: int = 0
    smallest_step: float = math.inf
    largest_step: float = 0.0

    def accept(self, step: float) -> None:
        """Count one accepted step."""
        self.accepted += 1
        if step < self.smallest_step:
            self.smallest_step = step
        if step > self.largest_step:
            self.largest_step = step

    def add(self, other: "SolverStats") -> None:
        """Add the costs of another solve."""
        self.evaluations += other.evaluations
        self.accepted += other.accepted
        self.rejected += other.rejected
        self.smallest_step = min(self.smallest_step, other.smallest_step)
        self.largest_step = max(self.largest_step, other.largest_step)


class Layout:
    """Packs a tuple of tensors (sample, ...) into one vector, variable after variable."""

    def __init__(self, state: State, names: Sequence[str], channels_last: bool) -> None:
        self.names = tuple(names)
        self.samples = state[0].shape[0]
        self.order = [(0, *range(2, y.ndim), 1) if channels_last else None for y in state]
        self.order = [o if y.ndim > 3 else None for o, y in zip(self.order, state, strict=True)]
        self.inverse = [
            None if o is None else (0, y.ndim - 1, *range(1, y.ndim - 1))
            for o, y in zip(self.order, state, strict=True)
        ]
        self.shapes = [
            y.shape if o is None else torch.Size([y.shape[i] for i in o])
            for o, y in zip(self.order, state, strict=True)
        ]
        self.sizes = [y.numel() for y in state]

    def pack(self, state: State) -> Tensor:
        """Return the state as one vector."""
        flat = [
            (y if order is None else y.permute(order)).reshape(-1)
            for y, order in zip(state, self.order, strict=True)
        ]
        return flat[0] if len(flat) == 1 else torch.cat(flat)

    def split(self, flat: Tensor) -> Sequence[Tensor]:
        """Return each variable's part of the vector, not copied."""
        return (flat,) if len(self.sizes) == 1 else flat.split(self.sizes, dim=-1)

    def unpack(self, flat: Tensor) -> State:
        """Return the vector as a state, not copied."""
        return tuple(self.shaped(i, part) for i, part in enumerate(self.split(flat)))

    def shaped(self, i: int, part: Tensor) -> Tensor:
        """Return variable i in its own shape from its part of the vector, or (time, part)."""
        lead = part.shape[:-1]
        y = part.view(*lead, *self.shapes[i])
        inverse = self.inverse[i]
        if inverse is None:
            return y
        n = len(lead)
        return y.permute(*range(n), *(n + axis for axis in inverse))

    def norm(self, flat: Tensor) -> Tensor:
        """Return the largest RMS over samples and variables, so that no sample hides another."""
        with torch.no_grad():
            parts = [part.view(self.samples, -1) for part in self.split(flat)]
            rms = [torch.linalg.vector_norm(p, dim=1).max() / p.shape[1] ** 0.5 for p in parts]
            return rms[0] if len(rms) == 1 else torch.stack(rms).max()

    def sums(self, flat: Tensor) -> Tensor:
        """Return the sum over each variable and sample, to see whether all is finite."""
        flat = flat.detach() if flat.requires_grad else flat
        sums = [part.view(self.samples, -1).sum(1) for part in self.split(flat)]
        return sums[0] if len(sums) == 1 else torch.cat(sums)

    def nonfinite(self, flat: Tensor) -> dict[str, int]:
        """Return the variables that are not finite, and in how many samples."""
        parts = [p.view(self.samples, -1) for p in self.split(flat.detach())]
        return self.counted(torch.cat([~p.isfinite().all(1) for p in parts]))

    def counted(self, bad: Tensor) -> dict[str, int]:
        """Return how many samples of each variable are bad, where any are."""
        counts = bad.view(-1, self.samples).sum(1).tolist()
        return {name: n for name, n in zip(self.names, counts, strict=True) if n}


def grid(start: float, stop: float, step: float) -> list[float]:
    """Return times from start to stop by step; the last step is shorter where it must be."""
    exact = (stop - start) / step
    count = round(exact) if abs(exact - round(exact)) < 1e-6 else math.ceil(exact)
    return [start + i * step for i in range(max(count, 1))] + [stop]


@functools.cache
def interpolant_weights(method: str) -> Tensor:
    """Weights of torchdiffeq's own dense output, read from a problem with one step.

    With stages k_i, every adaptive method interpolates by
    y(t0 + x dt) = y0 + dt * sum_i w_i(x) k_i, w_i of degree 4 in x. When stage i returns the i-th
    unit vector and dt = 1, y(x) is w(x) itself; five points give the polynomials.

    Returns the coefficients (stage, power of x), float64.
    """
    most = 64
    units = iter(torch.eye(most, dtype=torch.float64))
    x = torch.linspace(0, 1, 5, dtype=torch.float64)
    y = torchdiffeq.odeint(
        lambda t, y: next(units),
        torch.zeros(most, dtype=torch.float64),
        x,
        method=method,
        options={"first_step": 1.0, "norm": lambda error: error.new_zeros(())},
    )
    stages = most - sum(1 for _ in units)
    powers = x[:, None] ** torch.arange(5)
    return torch.linalg.solve(powers, y[:, :stages]).T.contiguous()


@dataclass
class Point:
    """Where a solve stands between two steps: all that is needed to go on from there unchanged.

    `done` counts the wanted times already handed over; `step` and `derivative` are the next step
    size and the first stage of an adaptive method, where known. An `expendable` y is needed by
    nobody else.
    """

    t: float
    y: Tensor
    done: int = 0
    step: float | None = None
    derivative: Tensor | None = None
    expendable: bool = False


class SegmentEnd(Exception):  # noqa: N818  (a way out of the solver, not an error)
    """Leaves torchdiffeq from a callback, at a point."""

    def __init__(self, point: Point) -> None:
        self.point = point


class Adapter:
    """The right-hand side on the flat state; counts evaluations and steps, and records.

    Parameters
    ----------
    field : callable
        ``field(t, state)``, the time derivative as a tuple.
    layout : Layout
        How the state is packed.
    times : sequence of float
        Where `observe` is wanted, increasing.
    observe : callable
        ``observe(index, time, flat state)``; called once for each of `times`, in order.
    keep : callable, optional
        ``keep(steps accepted, point)``, called before each step.
    stop_after : int, optional
        Steps after which to leave; the whole way by default.
    on_time : callable, optional
        Told the simulated time reached, for a progress bar.
    """

    def __init__(
        self,
        field: Callable[[Tensor, State], State],
        layout: Layout,
        times: Sequence[float] = (),
        observe: Callable[[int, float, Tensor], None] | None = None,
        keep: Callable[[int, Point], None] | None = None,
        stop_after: int | None = None,
        on_time: Callable[[float], None] | None = None,
    ) -> None:
        self.field = field
        self.layout = layout
        self.times = times
        self.observe = observe
        self.keep = keep
        self.stop_after = stop_after
        self.on_time = on_time
        self.done = 0
        self.stats = SolverStats()

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """Return dy/dt."""
        self.stats.evaluations += 1
        return self.layout.pack(self.field(t, self.layout.unpack(y)))

    def failure(
        self, what: str, t: float, y: Tensor, bad: dict[str, int] | None = None,
        finite_until: float = -math.inf,
    ) -> SolverError:  # fmt: skip
        """Return the error that says what happened, where, and what to try."""
        if bad is None:
            bad = self.layout.nonfinite(y)
        counts = (f"{name} in {n} of {self.layout.samples} samples" for name, n in bad.items())
        where = f" (not finite: {', '.join(counts)})" if bad else ""
        return SolverError(
            f"{what}{where}. Try a smaller step (options={{'step_size': ...}}), an adaptive "
            "method (method='dopri5'), looser tolerances if steps underflow (rtol=, atol=), or "
            "weaker couplings; what was recorded before is in this error's .recorded",
            t, bad, finite_until,
        )  # fmt: skip

    def derivative_nonfinite(self, t: float, y: Tensor) -> dict[str, int]:
        """Return the variables whose time derivative is not finite, and in how many samples."""
        with torch.no_grad():
            state = self.layout.unpack(y.detach())
            return self.layout.nonfinite(self.layout.pack(self.field(torch.tensor(t).to(y), state)))

    def emit(self, y: Tensor) -> None:
        """Hand over the state at the next wanted time."""
        assert self.observe is not None
        self.observe(self.done, self.times[self.done], y)
        self.done += 1

    def before_step(self, point: Point) -> None:
        """Let a point be kept, or leave at it."""
        if self.keep is not None:
            self.keep(self.stats.accepted, point)
        if self.stats.accepted == self.stop_after:
            raise SegmentEnd(point)


class FixedSteps(Adapter):
    """An adapter for steps along a grid; linear between two of its points."""

    def __init__(
        self, field: Any, layout: Layout, method: str, options: dict[str, Any],
        points: list[float], **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(field, layout, **kwargs)
        self.method = method
        self.options = options
        self.points = points
        self.slack = 1e-6 * (points[1] - points[0])  # below the precision of a float32 time
        self.at = 0
        self.previous: Tensor | None = None
        self.sums: list[Tensor] = []
        self.spent: Tensor | None = None

    def callback_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Take note of the point reached, before torchdiffeq steps on."""
        self.reach(y0)
        if self.spent is not None and y0 is not self.spent:
            self.spent.set_(y0.new_empty(0))  # type: ignore[call-overload]  # torchdiffeq would hold it to the end
            self.spent = None
        last = self.at == len(self.points) - 1
        if last or self.keep is not None or self.stop_after is not None:
            point = Point(self.points[self.at], y0, self.done)
            self.before_step(point)
            if last:
                raise SegmentEnd(point)
        self.stats.accept(self.points[self.at + 1] - self.points[self.at])
        self.at += 1

    def reach(self, y: Tensor) -> None:
        """Hand over what is wanted up to the grid's present point, where the state is y."""
        t = self.points[self.at]
        self.sums.append(self.layout.sums(y))
        if len(self.sums) == CHECK_EVERY or self.at == len(self.points) - 1:
            self.look(y)
        while self.done < len(self.times) and self.times[self.done] <= t + self.slack:
            wanted = self.times[self.done]
            if self.previous is None or abs(wanted - t) <= self.slack:
                self.emit(y)
            else:
                before = self.points[self.at - 1]
                self.emit(torch.lerp(self.previous, y, (wanted - before) / (t - before)))
        self.previous = y if self.done < len(self.times) else None
        if self.on_time is not None:
            self.on_time(t)

    def look(self, y: Tensor) -> None:
        """Look whether the sums since the last look are finite: one synchronisation for all."""
        bad = ~torch.isfinite(torch.stack(self.sums))
        if bad.any() and self.layout.nonfinite(y):  # a sum alone can overflow
            first = int(bad.any(1).int().argmax())
            at = self.at + 1 - len(self.sums) + first
            before = self.points[at - 1] if at else -math.inf
            raise self.failure(
                f"the state stopped being finite at t = {self.points[at]:g}", self.points[at], y,
                self.layout.counted(bad[first]), before,
            )  # fmt: skip
        self.sums.clear()

    def solve(self, start: Point) -> Point:
        """Integrate from a point to the end of the grid, or for `stop_after` steps.

        One more step is announced to torchdiffeq than is wanted, and never taken: leaving from
        its callback gives the last state without a pass through the buffer of results.
        """
        self.at, self.done = self.points.index(start.t), start.done
        self.spent = start.y if start.expendable else None
        beyond = [2 * self.points[-1] - self.points[-2]]
        points = torch.tensor(
            self.points[self.at :] + beyond, dtype=torch.float64, device=start.y.device
        )
        options = {k: v for k, v in self.options.items() if k not in ("rtol", "atol")}
        try:
            torchdiffeq.odeint(
                self,
                start.y,
                points[[0, -1]],
                method=self.method,
                rtol=self.options["rtol"],
                atol=self.options["atol"],
                options=options | {"grid_constructor": lambda func, y0, t: points},
            )
        except SegmentEnd as reached:
            return reached.point
        raise AssertionError("the step beyond the grid was taken")


class Counted(Adapter):
    """Counts the steps of a fixed-step method that is asked for all times."""

    def callback_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Count a step."""
        self.stats.accept(float(dt))


class Guarded(Adapter):
    """Counts the steps of an adaptive method, and stops it where torchdiffeq only asserts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.well = -math.inf
        self.stages: list[Tensor] = []
        self.collects = True

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """Return dy/dt, and keep it as a stage of the step under way."""
        f = super().__call__(t, y)
        if self.collects:
            self.stages.append(f)
        return f

    def guard(self, t: float, step: float, y: Tensor) -> None:
        """Refuse a state that is not finite, and a step of no length."""
        finite = math.isfinite(y.detach().sum()) or not self.layout.nonfinite(y)
        if finite and t + step > t:
            self.well = t
            return
        bad: dict[str, int] = {}
        for stage in self.stages:  # of the last step tried: the first that is not finite
            bad = bad or self.layout.nonfinite(stage)
        what = "the step size underflowed at"
        if not finite:
            what, bad = "the state stopped being finite at", bad or self.layout.nonfinite(y)
        elif bad:
            what = "the time derivative is not finite after"
        raise self.failure(f"{what} t = {t:g}", t, y, bad, self.well)

    def callback_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Check the step that is about to be tried."""
        self.guard(float(t0), float(dt), y0)
        self.stages = []

    def callback_accept_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Count a step."""
        self.stats.accept(float(dt))

    def callback_reject_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Count a step that was tried in vain."""
        self.stats.rejected += 1

    def callback_step_adjoint(self, t0: Tensor, y0: Any, dt: Tensor) -> None:
        """Stop a backward pass whose steps have no length."""
        t, step = float(t0), float(dt)
        if t - step == t or step != step:
            raise SolverError(
                f"the adjoint's steps have no length at t = {t:g}, on its way back: the flow "
                "contracts, or is not finite; use gradient='checkpoint'", t, {}, t,
            )  # fmt: skip


class AdaptiveSteps(Guarded):
    """An adapter for adaptive steps; between two of them, torchdiffeq's own interpolant."""

    def __init__(
        self, field: Any, layout: Layout, method: str, options: dict[str, Any],
        stop: float, land: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(field, layout, **kwargs)
        self.method = method
        self.options = dict(options)
        if land:
            earlier = torch.as_tensor(self.options.get("step_t", [])).double().tolist()
            self.options["step_t"] = torch.tensor(sorted({*earlier, stop}), dtype=torch.float64)
        self.most = self.options.pop("max_num_steps", math.inf)
        self.stop = stop
        self.weights = interpolant_weights(method)
        self.first: Tensor | None = None
        self.carried: Tensor | None = None
        self.end: Tensor | None = None

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """Return dy/dt, and keep it as a stage of the step under way."""
        if self.carried is None:
            return super().__call__(t, y)
        f, self.carried = self.carried, None
        self.stages = [f]
        return f

    def callback_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Check the step that is about to be tried."""
        t, step = float(t0), float(dt)
        self.guard(t, step, y0)
        if self.stats.accepted + self.stats.rejected >= self.most:
            what = f"max_num_steps = {self.most} were taken and only t = {t:g} was reached"
            raise self.failure(what, t, y0, {}, t)
        if self.first is None:
            self.first = self.stages[0]
        self.before_step(Point(t, y0, self.done, step, self.first))
        self.stages = [self.first]

    def callback_accept_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Hand over what is wanted within the step just taken."""
        t, step = float(t0), float(dt)
        self.stats.accept(step)
        while self.done < len(self.times) and self.times[self.done] <= t + step * (1 + 1e-12):
            self.emit(self.interpolate(y0, step, (self.times[self.done] - t) / step))
        if t + step >= self.stop - 1e-12 * step:  # landing there, t + step can be a bit less
            self.end = self.interpolate(y0, step, (self.stop - t) / step)
            if not math.isfinite(self.end.detach().sum()) and self.layout.nonfinite(self.end):
                what = f"the state stopped being finite after t = {t:g}"
                raise self.failure(what, self.stop, self.end, None, t)
        self.first = self.stages[-1]
        if self.on_time is not None:
            self.on_time(min(t + step, self.stop))

    def interpolate(self, y0: Tensor, step: float, x: float) -> Tensor:
        """Return y(t0 + x step) = y0 + step sum_i w_i(x) k_i."""
        weights = (step * self.weights @ (x ** torch.arange(5, dtype=torch.float64))).tolist()
        y = y0
        for weight, stage in zip(weights, self.stages, strict=True):
            if weight and (y is y0 or torch.is_grad_enabled()):
                y = y.add(stage, alpha=weight)
            elif weight:
                y = y.add_(stage, alpha=weight)
        return y

    def solve(self, start: Point) -> Point:
        """Integrate from a point to `stop`, or for `stop_after` accepted steps."""
        self.done = start.done
        self.carried = start.derivative
        options = {k: v for k, v in self.options.items() if k not in ("rtol", "atol")}
        if start.step is not None:
            options["first_step"] = start.step
        try:
            torchdiffeq.odeint(
                self,
                start.y,
                torch.tensor([start.t, self.stop], dtype=torch.float64, device=start.y.device),
                method=self.method,
                rtol=self.options["rtol"],
                atol=self.options["atol"],
                options=options,
            )
        except SegmentEnd as reached:
            return reached.point
        finally:
            self.stages = []
        assert self.end is not None
        return Point(self.stop, self.end, self.done)


def settings(
    dynamics: Dynamics, layout: Layout, method: str, rtol: float, atol: float,
    options: dict[str, Any] | None,
) -> tuple[float | None, dict[str, Any]]:  # fmt: skip
    """Check method, tolerances and options at the door; return the step and clean options."""
    if method not in SOLVERS:
        raise ValueError(f"method {method!r} is not one of torchdiffeq's: {', '.join(SOLVERS)}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise ValueError(f"{name} = {value!r} must be a number, 0 or larger")
    options = dict(options or {})
    if method in OTHER:
        dynamics.check_solver(method, None)
        return None, options | {"rtol": rtol, "atol": atol}
    if method in FIXED:
        allowed = {"step_size"} | ({"max_order", "max_iters"} if method in MULTISTEP else set())
    else:
        allowed = {"first_step", "safety", "ifactor", "dfactor", "min_step", "max_step"}
        allowed |= {"max_num_steps", "step_t", "norm"}
    hints = {
        "grid_constructor": "the grid is explicit already: give step_size",
        "jump_t": "give the stimulus as a function of time with `switches` instead",
        "dtype": "time is always float64",
    }
    for name in options:
        if name not in allowed:
            hint = f" ({hints[name]})" if name in hints else ""
            raise ValueError(
                f"option {name!r} is not one of {method}'s here{hint}; "
                f"allowed: {', '.join(sorted(allowed))}"
            )
    step = None
    if method in FIXED:
        step = float(options.pop("step_size", dynamics.step))
        if not 0 < step < math.inf:
            raise ValueError(f"step_size = {step} must be positive")
        if method in MULTISTEP:
            options = {"max_order": 4} | options
    else:
        norm = options.get("norm")
        options["norm"] = layout.norm if norm is None else as_flat_norm(norm, layout)
    dynamics.check_solver(method, step)
    return step, options | {"rtol": rtol, "atol": atol}


def as_flat_norm(norm: Callable[[State], Tensor], layout: Layout) -> Callable[[Tensor], Tensor]:
    """Let a norm of the tuple of states be one of the flat state."""
    return torch.no_grad()(lambda flat: norm(layout.unpack(flat)))
