"""What is kept of a run, while it runs."""

import difflib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neurodyn.dynamics import Drive, Dynamics, State
from neurodyn.layout import Layout

Watched = str | Callable[[Tensor, State], Tensor | None]
Record = Watched | Sequence[Watched] | None


class Recorder:
    """Keeps what `record` names at the wanted times, and nothing else.

    Under grad mode it keeps a list and stacks it at the end, whose backward pass is linear in the
    number of times; otherwise it writes into one tensor per name.
    """

    def __init__(
        self, dynamics: Dynamics, layout: Layout, record: Record, times: Sequence[float]
    ) -> None:
        self.dynamics = dynamics
        self.layout = layout
        self.times = times
        self.variables = [v.name for v in dynamics.variables]
        self.index = {name: i for i, name in enumerate(self.variables)}
        self.observables = [v.name for v in dynamics.observables]
        known = [*self.variables, *self.observables, "readout"]
        if record is None:
            record = [*self.variables, "readout"]
        elif isinstance(record, str) or callable(record):
            record = [record]
        elif not isinstance(record, Sequence):
            raise TypeError(
                f"record must be a name, a function or a sequence of these, got {record!r}"
            )
        self.watched: dict[str, Watched] = {}
        for item in record:
            name = item if isinstance(item, str) else getattr(item, "__name__", None)
            if isinstance(item, str) and item not in known:
                near = difflib.get_close_matches(item, known, n=3)
                hint = f"; did you mean {' or '.join(near)}?" if near else "."
                raise ValueError(
                    f"cannot record {item!r}{hint} It can be one of {', '.join(known)}, or a "
                    "function of time and state"
                )
            taken = [*known, *self.watched, dynamics.readout_variable.name]
            taken += ["layers", "time", "sample"]
            own = isinstance(name, str) and name.isidentifier() and name not in taken
            if name is None or (callable(item) and not own):
                raise ValueError(
                    f"a function to record needs a __name__ of its own, not {name!r}; "
                    f"taken: {', '.join(taken)}"
                )
            self.watched[name] = item
        self.written = 0
        self.series: dict[str, Tensor | list[Tensor]] = {}

    def observe(self, t: float, y: Tensor, drive: Drive) -> tuple[Tensor, ...]:
        """Return what is watched of the flat state y, states still as parts of it."""
        parts = self.layout.split(y)
        seen = []
        for name, item in self.watched.items():
            if name in self.index:
                seen.append(parts[self.index[name]])
            elif item == "readout":
                seen.append(self.dynamics.readout(self.layout.unpack(y), drive))
                dims = self.dynamics.readout_variable.dims
                if seen[-1].ndim != len(dims) + 1:
                    raise ValueError(
                        f"the readout has the axes sample, {', '.join(dims)}, as its "
                        f"readout_variable says, and the shape {tuple(seen[-1].shape)}"
                    )
            elif name in self.observables:
                seen.append(self.dynamics.observe(name, as_time(t), self.layout.unpack(y), drive))
            else:
                assert callable(item)
                value = item(as_time(t), self.layout.unpack(y))
                if value is None:  # it keeps what it wants itself
                    value = y.new_empty(self.layout.samples, 0)
                if not isinstance(value, Tensor) or value.shape[:1] != (self.layout.samples,):
                    got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                    raise TypeError(
                        f"the recorded function {name!r} must return a tensor with samples first "
                        f"({self.layout.samples}, ...), got {got}"
                    )
                seen.append(value)
        return tuple(seen)

    def check_closed(self, y: Tensor) -> None:
        """Refuse functions whose own tensors want gradients that a replay would not reach."""
        with torch.enable_grad():
            state = self.layout.unpack(y.detach())
            for name, item in self.watched.items():
                start = as_time(self.times[0])
                if not callable(item):
                    continue
                value = item(start, state)
                if value is None:
                    raise ValueError(
                        f"the recorded function {name!r} keeps what it wants itself, and would be "
                        "called again in the backward pass of gradient='checkpoint'; use "
                        "gradient='none'"
                    )
                if value.requires_grad:
                    raise ValueError(
                        f"the recorded function {name!r} uses tensors that require grad, which "
                        "gradient='checkpoint' cannot see; record the state and apply the function "
                        "afterwards, or use gradient='backprop'"
                    )

    def write(self, values: tuple[Tensor, ...]) -> None:
        """Keep what was observed at the next time."""
        for name, value in zip(self.watched, values, strict=True):
            if torch.is_grad_enabled():
                series = self.series.setdefault(name, [])
                assert isinstance(series, list)
                series.append(value)
            else:
                if name not in self.series:
                    self.series[name] = value.new_empty((len(self.times), *value.shape))
                self.series[name][self.written] = value
        self.written += 1

    def collect(self, until: float = math.inf) -> dict[str, Tensor]:
        """Return each thing kept as (time, sample, ...), up to a time."""
        n = sum(t <= until for t in self.times[: self.written])
        collected = {}
        for name, series in self.series.items():
            if isinstance(series, list):
                if not series[:n]:
                    continue
                stacked = torch.stack(series[:n])
            else:
                stacked = series[:n]
            if not stacked.numel():
                continue
            if name in self.index:
                stacked = self.layout.shaped(self.index[name], stacked)
            collected[name] = stacked
        return collected


def as_time(t: float) -> Tensor:
    """Return a time as dynamics and functions see it."""
    return torch.tensor(t, dtype=torch.float64)
