"""A run cut at the switches of its stimulus."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurodyn.dynamics import Stimulus, check_stimulus, tensors_of


@dataclass(frozen=True)
class Piece:
    """A stretch of time between switches, its stimulus, and the wanted times in it.

    Where it ends at a switch, an adaptive method must `land` on its end.
    """

    start: float
    stop: float
    times: list[float]
    stimulus: Stimulus
    land: bool


def cut(stimulus: Stimulus, times: list[float], own: Sequence[float] = ()) -> Iterable[Piece]:
    """Cut a run at the switches of its stimulus, and those of the dynamics (`own`).

    A wanted time on a switch belongs to what follows. If the last time is a
    switch, the last piece has no length: it is only looked at.
    """
    given = getattr(stimulus, "switches", ())
    try:
        switches = sorted({float(s) for s in (*given, *own)})
    except (TypeError, ValueError) as error:
        raise TypeError(f"the stimulus' switches must be a list of times, got {given!r}") from error
    if not all(map(math.isfinite, switches)):
        raise ValueError(f"the stimulus' switches must be finite times, got {switches}")
    ends = [times[0], *(s for s in switches if times[0] < s < times[-1]), times[-1]]
    ends += ends[-1:] if times[-1] in switches else []
    for k, (start, stop) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        last = k == len(ends) - 2
        inside = [t for t in times if start <= t < stop or (last and t == stop)]
        held = stimulus
        if getattr(stimulus, "piecewise_constant", False):
            held = stimulus(torch.tensor(start, dtype=torch.float64))  # type: ignore[operator]
            check_stimulus(held)
        elif switches and not isinstance(stimulus, Tensor):
            until = next((s for s in switches if s > start), math.inf)
            held = within(stimulus, start, until)  # type: ignore[arg-type]
        yield Piece(start, stop, inside, held, stop in switches)


def within(stimulus: Callable[[Tensor], Tensor], start: float, stop: float) -> Stimulus:
    """Let no step of a solver look at a stimulus beyond the switches around it."""
    before = math.nextafter(stop, start)

    def bounded(t: Tensor) -> Tensor:
        return stimulus(t.clamp(start, before))

    bounded.tensors = tensors_of(stimulus)  # type: ignore[attr-defined]
    return bounded
