"""Solving step by step: along a grid, or by steps that adapt."""

import math
from typing import Any

import torch
import torchdiffeq
from torch import Tensor

from neurodyn.adapter import Adapter, Guarded, Point, SegmentEnd
from neurodyn.layout import Layout
from neurodyn.methods import MULTISTEP, interpolant_weights

CHECK_EVERY = 8
"""Steps between two looks at whether the state is still finite (each is a synchronisation)."""
LARGE = 2**26
"""Bytes of a state from which memory matters more than a copy of it in each step."""


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
        self.reached: int | None = None
        self.one_by_one = False

    def callback_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
        """Take note of the point reached, before torchdiffeq steps on."""
        if self.at != self.reached:  # else it was left here, and is entered again
            first, self.reached = self.reached is None, self.at
            self.reach(y0)
            leaves = self.at == len(self.points) - 1 or (self.one_by_one and not first)
            if leaves or self.keep is not None or self.stop_after is not None:
                point = Point(self.points[self.at], y0, self.done)
                self.before_step(point)
                if leaves:
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

        A large state is stepped by a call of torchdiffeq for each step: within a call it holds the
        first state, the last derivative and the last increment until the next step is made. Euler's
        are made here.
        """
        self.at, self.done = self.points.index(start.t), start.done
        large = start.y.nbytes > LARGE and not torch.is_grad_enabled()
        if large and self.method == "euler" and len(self.layout.sizes) > 1:
            return self.euler(start)
        self.one_by_one = large and self.method not in MULTISTEP
        point = self.until_left(start)
        while self.one_by_one and self.at < len(self.points) - 1:
            if start.expendable:
                start.y.set_(start.y.new_empty(0))  # type: ignore[call-overload]  # the callers hold it
            point = self.until_left(point)
        return point

    def euler(self, start: Point) -> Point:
        """Step as torchdiffeq's Euler does, each new state in the memory of its derivative.

        Of more than one variable: there the derivative is a vector of its own.
        """
        y = start.y
        while True:
            t = torch.tensor(self.points[self.at], dtype=torch.float64, device=y.device)
            try:
                self.callback_step(t, y, t)
            except SegmentEnd as reached:
                return reached.point
            if start.expendable and y is not start.y:
                start.y.set_(start.y.new_empty(0))  # type: ignore[call-overload]  # the callers hold it
            step = self.points[self.at] - self.points[self.at - 1]
            y = self(t.to(y.dtype.to_real()), y).mul_(step).add_(y)

    def until_left(self, start: Point) -> Point:
        """Step on until a callback leaves, and return the point it left at.

        One more step is announced to torchdiffeq than is wanted, and never taken: leaving from
        its callback gives the last state without a pass through the buffer of results.
        """
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
