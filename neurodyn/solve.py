"""The one door to the solver: tensors in, differentiable tensors out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torchdiffeq
from jaxtyping import Float
from torch import Tensor

from neurodyn.adapter import Adapter, Counted, Guarded, Point, SolverError, SolverStats
from neurodyn.checkpoint import Checkpointed
from neurodyn.dynamics import (
    BoundDynamics,
    Drive,
    Dynamics,
    State,
    Stimulus,
    before,
    check_stimulus,
    leaves,
    tensors_of,
)
from neurodyn.layout import Layout
from neurodyn.methods import MULTISTEP, OTHER, grid, settings
from neurodyn.pieces import Piece, cut
from neurodyn.recorder import Record, Recorder
from neurodyn.steps import AdaptiveSteps, FixedSteps

DriveAt = Callable[[Tensor | float], Drive]
Gradient = Literal["none", "backprop", "checkpoint", "adjoint"]
GRADIENTS = ("none", "backprop", "checkpoint", "adjoint")


@dataclass(frozen=True)
class Solution:
    """The tensors of one solve.

    Attributes
    ----------
    times : Tensor
        float64, as asked for.
    states : tuple of Tensor
        Each (time, sample, ...); those that were recorded, in the order of ``variables``.
    readout : Tensor or None
        (time, sample, category), if it was recorded.
    observed : dict of str to Tensor
        What functions in `record` returned, stacked over time, by the functions' names.
    stats : SolverStats
        What the solve cost.
    """

    times: Float[Tensor, " time"]
    states: tuple[Tensor, ...]
    readout: Tensor | None
    observed: dict[str, Tensor] = field(default_factory=dict)
    stats: SolverStats = field(default_factory=SolverStats)


def integrate(
    dynamics: Dynamics,
    stimulus: Stimulus,
    times: Float[Tensor, " time"] | Sequence[float],
    *,
    initial_state: State | None = None,
    method: str = "dopri5",
    rtol: float = 1e-4,
    atol: float = 1e-6,
    options: dict[str, Any] | None = None,
    gradient: Gradient = "backprop",
    record: Record = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    on_time: Callable[[float], None] | None = None,
) -> Solution:
    r"""Solve dy/dt = f(t, y) with torchdiffeq; return tensors that carry gradients.

    .. math:: y(t) = y_0 + \int_{t_0}^{t} f(t', y(t'), d(s(t')))\, dt'

    Parameters
    ----------
    dynamics : Dynamics
        The vector field, its initial state and its readout.
    stimulus : Tensor or callable
        Shape (sample, ...); or a function of time t (0-d float64 tensor) that returns such a
        tensor. If the function has ``switches`` (a sequence of times), the run is cut there, and
        the value at a switch is the one that holds after it. If it also has
        ``piecewise_constant = True``, the drive is computed once per piece. `Film` has both.
        Tensors that it is made of and that need gradients must be listed in ``tensors``.
    times : Tensor or sequence of float
        Where the record is wanted, increasing, at least two; the first is where the run starts.
        In published steps, unless the dynamics says otherwise.
    initial_state : tuple of Tensor, optional
        Each (sample, ...); by default the dynamics' own.
    method : str
        Any method of torchdiffeq. Fixed-step methods step by ``dynamics.step``, whatever `times`
        are, or by ``options={"step_size": h}``; between steps the record is linear. Adaptive
        methods are recorded through torchdiffeq's own interpolant.
    rtol, atol : float
        Relative and absolute tolerance of adaptive methods. The error of a step is by default the
        largest over samples and variables of the root mean square, so that one stiff sample among
        easy ones is as exact as alone. The samples still share their steps: with an adaptive
        method a sample's numbers depend on its batch, within the tolerance; with a fixed step
        they do not (but the implicit Adams methods iterate until the worst sample converges).
    options : dict, optional
        torchdiffeq's options of the method. A ``norm`` is given the tuple of states.
    gradient : {"backprop", "checkpoint", "adjoint", "none"}
        "backprop": through all steps; memory grows with their number. "checkpoint": the same
        gradients with memory of the order of the square root of their number, for one more
        forward pass. "adjoint": torchdiffeq's ``odeint_adjoint``, which integrates the state
        backwards. It is unsafe where the flow contracts, as predictive coding and synchrony do:
        run backwards, a contracting flow expands and the error grows exponentially with time;
        and with a fixed step it is not the gradient of what was computed. "none": no graph.
    record : str, callable, or sequence of these, optional
        What to keep: names of variables or of the dynamics' observables, "readout", or functions
        ``fn(t, state) -> Tensor (sample, ...)`` kept under their ``__name__``; one that returns
        None is called, and nothing is kept. All states and the readout by default. What
        is not named is never stored.
    generator : torch.Generator or sequence of these, optional
        For dynamics with a random initial state; of several, one draws for each sample.
    on_time : callable, optional
        Called with the simulated time reached, step by step.

    Returns
    -------
    Solution
        ``times``, ``states``, ``readout``, ``observed`` and ``stats``.

    Raises
    ------
    SolverError
        When the state stops being finite or the step underflows: when, which variable, in how
        many samples; ``error.recorded`` is the Solution until then (with gradient="adjoint" and
        adaptive steps, empty).
    TypeError, ValueError
        When an argument is not one of those allowed; the message lists them.

    References
    ----------
    Chen, Rubanova, Bettencourt & Duvenaud (2018), arXiv 1806.07366 (the adjoint); torchdiffeq.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits(n=2)
    >>> solution = nd.integrate(pc_shallow(), images, [0.0, 1.0, 2.5], gradient="none")
    >>> solution.readout.shape
    torch.Size([3, 2, 10])
    """
    wanted = check_times(times)
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient {gradient!r} is not one of {', '.join(GRADIENTS)}")
    if not isinstance(dynamics, Dynamics):
        raise TypeError(f"integrate needs a neurodyn.Dynamics, got {type(dynamics).__name__}")
    check_stimulus(stimulus)
    if not isinstance(stimulus, Tensor):
        check_stimulus(stimulus(torch.tensor(wanted[0], dtype=torch.float64)))
    grad = torch.is_grad_enabled() and gradient != "none"
    with torch.set_grad_enabled(grad):
        pieces = list(cut(stimulus, wanted, dynamics.switches))
        drive = drive_at(dynamics, pieces[0].stimulus)
        if initial_state is None:
            initial_state = first_state(dynamics, drive(wanted[0]), generator)
            check_state(dynamics, initial_state, None)
        else:
            first = pieces[0].stimulus
            check_state(dynamics, initial_state, len(first) if isinstance(first, Tensor) else None)
        names = [v.name for v in dynamics.variables]
        layout = Layout(initial_state, names, dynamics.layout == "channels_last")
        step, clean = settings(dynamics, layout, method, rtol, atol, options)
        for piece in pieces:
            check_steps(dynamics, method, step, piece)
        recorder = Recorder(dynamics, layout, record, wanted)
        if method in OTHER and grad and needs_gradient(dynamics, stimulus, initial_state):
            raise ValueError(
                f"method {method!r} carries no gradients; give gradient='none', or one of the "
                "other methods"
            )
        if gradient in ("checkpoint", "adjoint"):
            if method in MULTISTEP:
                raise ValueError(f"gradient={gradient!r} needs a one-step method, not {method!r}")
            if grad:
                for piece in pieces:
                    check_reachable(stimulus, piece.start)
                check_closed(
                    dynamics, pieces[0].stimulus, drive(wanted[0]), initial_state, wanted[0]
                )
        stats = SolverStats()
        y = layout.pack(initial_state)
        y = y.clone() if len(initial_state) == 1 else y  # torch.cat copies
        del initial_state  # the flat copy is the state from here on
        if grad and gradient == "checkpoint":
            recorder.check_closed(y)
        solve = Solve(dynamics, layout, method, step, clean, recorder, stats, on_time)
        try:
            for piece in pieces:
                if piece is not pieces[0]:
                    drive = drive_at(dynamics, piece.stimulus)
                if piece.start == piece.stop:
                    recorder.write(recorder.observe(piece.stop, y, drive(piece.stop)))
                elif method in OTHER or (gradient == "adjoint" and grad):
                    y = solve.at_all_times(piece, drive, y)
                elif gradient == "checkpoint" and grad:
                    y = solve.checkpointed(piece, drive, y)
                else:
                    y = solve.straight(piece, drive, y)
        except SolverError as error:
            error.recorded = solution(recorder, stats, until=error.finite_until)
            raise
        return solution(recorder, stats)


def solution(recorder: Recorder, stats: SolverStats, until: float = math.inf) -> Solution:
    """Return what was recorded, up to a time."""
    kept = recorder.collect(until)
    states = tuple(kept.pop(name) for name in recorder.variables if name in kept)
    readout = kept.pop("readout", None)
    reached = recorder.times[: recorder.written]
    times = torch.tensor([t for t in reached if t <= until], dtype=torch.float64)
    return Solution(times, states, readout, kept, stats)


def first_state(
    dynamics: Dynamics,
    drive: Drive,
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> State:
    """Return the dynamics' own initial state, each sample's from its own generator if given."""
    if generator is None or isinstance(generator, torch.Generator):
        return dynamics.initial_state(drive, generator)
    before = generator[0].get_state()
    state = dynamics.initial_state(drive, generator[0])
    if len(generator) != len(state[0]):
        raise ValueError(f"{len(generator)} generators for {len(state[0])} samples; give one each")
    if torch.equal(generator[0].get_state(), before):
        return state  # nothing was drawn
    generator[0].set_state(before)
    rows = [
        dynamics.initial_state({k: v[i : i + 1] for k, v in drive.items()}, own)
        for i, own in enumerate(generator)
    ]
    return tuple(torch.cat(parts) for parts in zip(*rows, strict=True))


def drive_at(dynamics: Dynamics, stimulus: Stimulus) -> DriveAt:
    """Return the drive as a function of time: a constant one is computed once, here."""
    if isinstance(stimulus, Tensor):
        drive = dynamics.drive(stimulus)
        return lambda t: drive
    return lambda t: dynamics.drive(stimulus(torch.as_tensor(t, dtype=torch.float64)))


@dataclass
class Solve:
    """The ways to take one piece: each returns the flat state at its end."""

    dynamics: Dynamics
    layout: Layout
    method: str
    step: float | None
    options: dict[str, Any]
    recorder: Recorder
    stats: SolverStats
    on_time: Callable[[float], None] | None

    def adapter(self, piece: Piece, drive: DriveAt, observe: Callable, **kwargs: Any) -> Any:
        """Return the adapter for a piece under a drive; `observe` gets the recorder's tensors."""
        until = self.until(piece)

        def field(t: Tensor, state: State) -> State:
            t = before(t, until)
            return self.dynamics(t, state, drive(t))

        def see(i: int, t: float, y: Tensor) -> None:
            observe(i, t, self.recorder.observe(t, y, drive(t)))

        common = {"times": piece.times, "observe": see, "on_time": self.on_time, **kwargs}
        if self.step is None:
            return AdaptiveSteps(
                field, self.layout, self.method, self.options, piece.stop, piece.land, **common
            )
        points = grid(piece.start, piece.stop, self.step)
        return FixedSteps(field, self.layout, self.method, self.options, points, **common)

    def until(self, piece: Piece) -> float:
        """Return when the equation changes at the end of a piece, infinity if it does not."""
        ends = piece.stop in self.dynamics.switches and piece.start < piece.stop
        return piece.stop if ends else math.inf

    def straight(self, piece: Piece, drive: DriveAt, y: Tensor) -> Tensor:
        """Run through; under grad mode the graph holds every step."""
        adapter = self.adapter(piece, drive, lambda i, t, values: self.recorder.write(values))
        try:
            own = not torch.is_grad_enabled()
            return adapter.solve(Point(piece.start, y, expendable=own)).y
        finally:
            self.stats.add(adapter.stats)

    def checkpointed(self, piece: Piece, drive: DriveAt, y: Tensor) -> Tensor:
        """Run through, keeping the state at some steps only."""
        constant = isinstance(piece.stimulus, Tensor)
        fixed = drive(piece.start) if constant else {}
        wanted = BoundDynamics(self.dynamics, piece.stimulus).parameters()
        parameters = [p for p in wanted if p.requires_grad and p is not piece.stimulus]

        def make(inputs: Sequence[Tensor], **kwargs: Any) -> Adapter:
            held = dict(zip(fixed, inputs, strict=False))
            return self.adapter(piece, (lambda t: held) if constant else drive, **kwargs)

        steps = None if self.step is None else len(grid(piece.start, piece.stop, self.step)) - 1
        seen: list[tuple[Tensor, ...]] = []
        try:
            end, *observed = Checkpointed.apply(
                make, Point(piece.start, y), steps, len(fixed), self.stats, seen, y,
                *fixed.values(), *parameters,
            )  # fmt: skip
        except SolverError:
            for values in seen:
                self.recorder.write(values)
            raise
        for values in zip(*observed, strict=True):
            self.recorder.write(values)
        return end

    def at_all_times(self, piece: Piece, drive: DriveAt, y: Tensor) -> Tensor:
        """Ask torchdiffeq for all times: its adjoint, and methods without callbacks."""
        bound = BoundDynamics(self.dynamics, piece.stimulus)
        bound.until = self.until(piece)
        kind = Guarded if self.step is None else Counted
        adapter = (Adapter if self.method in OTHER else kind)(bound, self.layout)
        times = sorted({piece.start, *piece.times, piece.stop})
        t = torch.tensor(times, dtype=torch.float64, device=y.device)
        options = dict(self.options)
        tolerances = {k: options.pop(k) for k in ("rtol", "atol")}
        if piece.land and isinstance(adapter, Guarded):
            options["step_t"] = torch.tensor([piece.stop], dtype=torch.float64, device=y.device)
        if self.step is not None:
            step = self.step
            options["grid_constructor"] = lambda func, y0, t: torch.tensor(
                grid_through(t.tolist(), step), dtype=t.dtype, device=t.device
            )
        try:
            if self.method not in OTHER:
                wanted = tuple(p for p in bound.parameters() if p.requires_grad)
                ys = torchdiffeq.odeint_adjoint(
                    adapter, y, t, method=self.method, options=options, adjoint_params=wanted,
                    **tolerances,
                )  # fmt: skip
            else:
                with torch.no_grad():
                    ys = torchdiffeq.odeint(
                        adapter, y, t, method=self.method, options=options, **tolerances
                    )
        except (AssertionError, ValueError, RuntimeError) as error:
            if isinstance(error, SolverError):
                raise
            bad = adapter.derivative_nonfinite(piece.start, y)
            raise adapter.failure(str(error), piece.start, y, bad) from error
        finally:
            self.stats.add(adapter.stats)
        if isinstance(adapter, Guarded):
            adapter.collects, adapter.stages = False, []  # the backward pass also calls it
        before, well = y, -math.inf
        for now, state in zip(times, ys, strict=False):
            if not math.isfinite(state.detach().sum()) and self.layout.nonfinite(state):
                bad = adapter.derivative_nonfinite(max(well, piece.start), before)
                what = f"the state stopped being finite at or before t = {now:g}"
                raise adapter.failure(what, now, state, bad or None, well)
            before, well = state, now
            if now in piece.times:
                self.recorder.write(self.recorder.observe(now, state, drive(now)))
        if len(ys) < len(times):
            bad = adapter.derivative_nonfinite(well, before)
            raise adapter.failure(f"{self.method} gave up at t = {well:g}", well, before, bad, well)
        return ys[-1]


def check_steps(dynamics: Dynamics, method: str, step: float | None, piece: Piece) -> None:
    """Refuse a shorter last step to what cannot take it."""
    if step is None or piece.start == piece.stop:
        return
    points = grid(piece.start, piece.stop, step)
    last = points[-1] - points[-2]
    if abs(last - step) > 1e-6 * step:
        if method in MULTISTEP:
            raise ValueError(
                f"{method} needs equal steps: step_size = {step:g} does not divide the time from "
                f"{piece.start:g} to {piece.stop:g}"
            )
        dynamics.check_solver(method, last)


def grid_through(times: list[float], step: float) -> list[float]:
    """Return a grid from the first time to the last, forwards or backwards."""
    if times[-1] < times[0]:
        return [-t for t in grid(-times[0], -times[-1], step)]
    return grid(times[0], times[-1], step)


def check_times(times: Float[Tensor, " time"] | Sequence[float]) -> list[float]:
    """Return the times as floats, or say what is wrong with them."""
    try:
        if isinstance(times, Tensor):
            given = times.detach().cpu().numpy()
            if given.dtype == np.float32 and given.ndim == 1:
                given = np.array([float(str(t)) for t in given])  # 0.1, not 0.10000000149
            times = given.tolist()
        t = np.asarray(times, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"times must be numbers, got {times!r}") from error
    if t.ndim != 1 or len(t) < 2 or not np.isfinite(t).all() or not (np.diff(t) > 0).all():
        shown = t.tolist() if t.ndim == 1 and len(t) <= 8 else f"shape {tuple(t.shape)}"
        raise ValueError(
            f"times must be one-dimensional, finite and increasing, with a start and at least one "
            f"more; got {shown}"
        )
    return t.tolist()


def check_state(dynamics: Dynamics, state: State, samples: int | None) -> None:
    """Refuse an initial state that does not fit the dynamics' variables, or the stimulus."""
    names = [v.name for v in dynamics.variables]
    if len(set(names)) < len(names) or {"readout", "time", "sample"} & set(names):
        raise ValueError(
            f"variables need names of their own, none of readout, time, sample; got "
            f"{', '.join(names)}"
        )
    if not isinstance(state, tuple) or len(state) != len(names):
        raise ValueError(
            f"initial_state must be a tuple of {len(names)} tensors, one for each of "
            f"{', '.join(names)}; got {type(state).__name__} of length "
            f"{len(state) if hasattr(state, '__len__') else '?'}"
        )
    if len({y.shape[0] for y in state}) > 1 or len({y.dtype for y in state}) > 1:
        shown = [f"{n} {tuple(y.shape)} {y.dtype}" for n, y in zip(names, state, strict=True)]
        raise ValueError(
            f"states must agree in samples (first axis) and dtype; got {', '.join(shown)}"
        )
    if samples is not None and len(state[0]) != samples:
        raise ValueError(
            f"initial_state has {len(state[0])} samples and the stimulus {samples}; give one state "
            "for each stimulus"
        )
    for variable, y in zip(dynamics.variables, state, strict=True):
        if y.ndim != len(variable.dims) + 1:
            raise ValueError(
                f"variable {variable.name!r} has the axes sample, {', '.join(variable.dims)}, and "
                f"its state the shape {tuple(y.shape)}"
            )
    if not state[0].is_floating_point():
        raise TypeError(f"states must be floating point, got {state[0].dtype}")


def needs_gradient(dynamics: Dynamics, stimulus: Stimulus, state: State) -> bool:
    """Tell whether there is anything a gradient could be for."""
    return any(p.requires_grad for p in (*dynamics.parameters(), *tensors_of(stimulus), *state))


def check_closed(
    dynamics: Dynamics, stimulus: Stimulus, drive: Drive, state: State, start: float
) -> None:
    """Refuse a dynamics whose derivative depends on tensors that no one would find."""
    with torch.enable_grad():
        t = torch.tensor(start, dtype=torch.float64)
        held = tuple(y.detach() for y in state)
        constant = {k: v.detach() for k, v in drive.items()} if isinstance(stimulus, Tensor) else {}
        derivative = dynamics(t, held, constant or drive)
    known = {id(x) for x in leaves([*dynamics.parameters(), *tensors_of(stimulus)])}
    if any(id(x) not in known for x in leaves(derivative)):
        raise ValueError(
            f"{type(dynamics).__name__} uses tensors that require grad and are not its parameters, "
            "which gradient='checkpoint' and 'adjoint' cannot see; make them nn.Parameters or use "
            "gradient='backprop'"
        )


def check_reachable(stimulus: Stimulus, start: float) -> None:
    """Refuse gradients that would be lost inside a function of time."""
    if tensors_of(stimulus):
        return
    shown: Any = stimulus
    if shown(torch.tensor(start, dtype=torch.float64)).requires_grad:
        raise ValueError(
            "the stimulus function uses tensors that require grad, which gradient='checkpoint' "
            "and 'adjoint' cannot see; list them in its attribute `tensors`, make it an "
            "nn.Module, or use gradient='backprop'"
        )
