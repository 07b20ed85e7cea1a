"""The flat, counting, recording f(t, y) that torchdiffeq sees.

torchdiffeq is used through its public functions; what stands here keeps its measured traps away
from the user. The state is packed into one vector in channels-last order, so that the right-hand
side sees channels_last maps without a copy. Nothing is asked of torchdiffeq but the two ends of a
piece: what is wanted in between is read in its callbacks, because the backward pass through its
buffer of all times costs O(T^2). Fixed steps go along an explicit grid, because its `step_size`
sometimes takes an extra step of almost zero length.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurodyn.dynamics import State
from neurodyn.layout import Layout


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
        derivative = self.field(t, self.layout.unpack(y))
        if self.stats.evaluations == 1:
            self.layout.check(derivative)
        return self.layout.pack(derivative)

    def failure(
        self, what: str, t: float, y: Tensor, bad: dict[str, int] | None = None,
        finite_until: float = -math.inf, how: str = "not finite",
    ) -> SolverError:  # fmt: skip
        """Return the error that says what happened, where, and what to try."""
        if bad is None:
            bad = self.layout.nonfinite(y)
        counts = (f"{name} in {n} of {self.layout.samples} samples" for name, n in bad.items())
        where = f" ({how}: {', '.join(counts)})" if bad else ""
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
        else:
            bad = self.layout.steepest(self.stages[0] if self.stages else y)
            raise self.failure(f"{what} t = {t:g}", t, y, bad, self.well, "steepest")
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
