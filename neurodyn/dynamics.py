"""The contract every dynamics keeps, and the door to plain torchdiffeq."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from neurodyn.variable import Variable

State = tuple[Tensor, ...]
Drive = dict[str, Tensor]
Stimulus = Tensor | Callable[[Tensor], Tensor]


class Dynamics(nn.Module, ABC):
    r"""An ordinary differential equation without hidden state.

    .. math:: \frac{dy}{dt} = f(t, y, d(s)), \qquad y(t_0) = y_0(d), \qquad o = r(y, d)

    with the stimulus *s*, the drive *d* (everything the stimulus fixes), the state *y* and the
    readout *o*. A subclass declares ``variables`` and writes the four methods below, all of them
    pure: the state is an argument, never an attribute, so that a batch cannot leak into the next
    and two runs may be under way at once.

    Attributes
    ----------
    step : float
        One published step, in units of time; what fixed-step methods step by.
    variables : tuple of Variable
        The names, axes and units of the state, in the order of its tensors.
    readout_variable : Variable
        The same for the readout.
    observables : tuple of Variable
        What `observe` can report besides: recorded if it is named, never by default.
    switches : tuple of float
        Times at which the equation itself changes; runs are cut there, as at a stimulus'.
    layout : {"channels_last", "contiguous"}
        How maps lie in the solver's flat state. Channels last suits convolutions; give the
        weights the same layout, ``dynamics.to(memory_format=torch.channels_last)``.

    Examples
    --------
    >>> class Leak(Dynamics):
    ...     '''dy/dt = s - y.'''
    ...     variables = (Variable("y", ("unit",)),)
    ...     def drive(self, stimulus):
    ...         return {"input": stimulus}
    ...     def initial_state(self, drive, generator=None):
    ...         return (torch.zeros_like(drive["input"]),)
    ...     def forward(self, t, state, drive):
    ...         return (drive["input"] - state[0],)
    ...     def readout(self, state, drive):
    ...         return state[0]
    >>> from torchdiffeq import odeint
    >>> f = bind(Leak(), torch.ones(1, 2))
    >>> y, = odeint(f, f.initial_state(), torch.tensor([0.0, 1.0]))
    >>> y[-1]
    tensor([[0.6321, 0.6321]])
    """

    step: float = 1.0
    variables: tuple[Variable, ...]
    readout_variable = Variable("logits", ("category",))
    observables: tuple[Variable, ...] = ()
    switches: tuple[float, ...] = ()
    layout: Literal["channels_last", "contiguous"] = "channels_last"

    @abstractmethod
    def drive(self, stimulus: Tensor) -> Drive:
        """Everything the stimulus fixes, computed once; each tensor has its samples first."""

    @abstractmethod
    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return the state at the first time, one tensor per variable, samples first.

        Random numbers come from `generator` alone.
        """

    @abstractmethod
    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return the time derivative of the state, same shapes."""

    @abstractmethod
    def readout(self, state: State, drive: Drive) -> Tensor:
        """Return what the network reports, e.g. logits (sample, category)."""

    def observe(self, name: str, t: Tensor, state: State, drive: Drive) -> Tensor:
        """Return one of `observables` by name, samples first."""
        raise NotImplementedError(f"{type(self).__name__} declares {name!r} and does not report it")

    def config(self) -> dict[str, Any]:
        """Return what a record says of this dynamics: plain values that JSON can hold."""
        return {"dynamics": type(self).__name__, "step": self.step}

    def check_solver(self, method: str, step: float | None) -> None:
        """Refuse a solver this dynamics is not defined for; `step` is None if it adapts."""


class BoundDynamics(nn.Module):
    """A dynamics with its stimulus: the plain ``f(t, y)`` of torchdiffeq; made by `bind`."""

    def __init__(self, dynamics: Dynamics, stimulus: Stimulus) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.stimulus = stimulus
        self.until = math.inf
        self._made_from: list[tuple[Tensor, int, bool]] = []
        self._inference = False
        self._held: Drive = {}
        self._through = False

    def drive(self, t: Tensor | float) -> Drive:
        """Return the drive at time t.

        For a constant stimulus it is computed once, and again when a parameter has changed (by
        any operation but one on its ``.data``, which torch does not count: bind again then); but
        where gradients flow through it every evaluation computes its own, because torchdiffeq's
        adjoint differentiates one evaluation at a time.
        """
        if not isinstance(self.stimulus, Tensor):
            time = torch.as_tensor(t, dtype=torch.float64).detach()
            return self.dynamics.drive(self.stimulus(time))
        sources = (*super().parameters(), *self.buffers(), self.stimulus)
        made_from = [(x, 0 if x.is_inference() else x._version, x.requires_grad) for x in sources]
        same = len(made_from) == len(self._made_from) and all(
            a[0] is b[0] and a[1:] == b[1:] for a, b in zip(made_from, self._made_from, strict=True)
        )
        if not same or self._inference != torch.is_inference_mode_enabled():
            with torch.enable_grad():
                drive = self.dynamics.drive(self.stimulus)
            self._through = any(value.requires_grad for value in drive.values())
            self._held = {name: value.detach() for name, value in drive.items()}
            self._made_from, self._inference = made_from, torch.is_inference_mode_enabled()
        if self._through and torch.is_grad_enabled():
            return self.dynamics.drive(self.stimulus)
        return self._held

    def forward(self, t: Tensor, state: State) -> State:
        """Return dy/dt; every time is before `until`, where the equation changes."""
        t = before(t, self.until)
        return self.dynamics(t, state, self.drive(t))

    def initial_state(
        self, generator: torch.Generator | None = None, t: Tensor | float = 0.0
    ) -> State:
        """Return the dynamics' own initial state for this stimulus."""
        return self.dynamics.initial_state(self.drive(t), generator)

    def readout(self, state: State, t: Tensor | float = 0.0) -> Tensor:
        """Return the readout of one state (not of a trajectory)."""
        return self.dynamics.readout(state, self.drive(t))

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Yield the dynamics' parameters, then the stimulus' tensors that require grad.

        ``odeint_adjoint`` differentiates what it finds here and nothing else.
        """
        found = {id(p): p for p in super().parameters(recurse)}
        more = [x for x in tensors_of(self.stimulus) if x.requires_grad]
        sources = leaves(more)
        if any(id(x) in found for x in sources):
            more = sources  # made from a parameter, which would otherwise be counted twice
        yield from found.values()
        yield from {id(x): x for x in more if id(x) not in found}.values()  # type: ignore[misc]


def bind(dynamics: Dynamics, stimulus: Stimulus) -> BoundDynamics:
    """Return the vector field ``f(t, y)`` of a dynamics under a stimulus, for torchdiffeq.

    Parameters
    ----------
    dynamics : Dynamics
        Any dynamics of this library, or your own.
    stimulus : Tensor or callable
        Shape (sample, ...), or a function of time that returns such a tensor; the drive is then
        evaluated at every t (torchdiffeq knows nothing of its jumps: `integrate` does).
        Nor does it know which solver a dynamics is defined for: only `integrate` refuses, say,
        dopri5 for ``PredictiveCoding(update="sequential")``.

    Returns
    -------
    BoundDynamics
        An ``nn.Module``: ``f(t, y)`` with y a tuple of tensors, ``f.initial_state(generator)``
        and ``f.readout(y)``. It goes into ``torchdiffeq.odeint`` and ``odeint_adjoint`` as it is.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from torchdiffeq import odeint
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits(n=2)
    >>> f = nd.bind(pc_shallow(), images)
    >>> y = odeint(f, f.initial_state(), torch.linspace(0, 2, 3), method="euler")
    >>> [tuple(layer.shape) for layer in y]
    [(3, 2, 12, 32, 32), (3, 2, 18, 16, 16), (3, 2, 24, 8, 8)]
    """
    if not isinstance(dynamics, Dynamics):
        raise TypeError(
            f"bind needs a neurodyn.Dynamics, got {type(dynamics).__name__}; to put dynamics on a "
            "network, wrap it first, e.g. neurodyn.PredictiveCoding(network, taps, ...)"
        )
    check_stimulus(stimulus)
    bound = BoundDynamics(dynamics, stimulus)
    if isinstance(stimulus, Tensor):
        bound.drive(0.0)  # now, so that what does not fit is refused here
    return bound


def before(t: Tensor, stop: float) -> Tensor:
    """Return t, or the last number of its precision before `stop` if it is not earlier."""
    if stop == math.inf:
        return t
    end = torch.tensor(stop, dtype=t.dtype, device=t.device)
    return torch.minimum(t, torch.nextafter(end, -torch.ones_like(end) * math.inf))


def check_published_step(
    whose: str, update: str, flow: str, own: float, method: str, step: float | None
) -> None:
    """Refuse any solver but Euler's own step for an update that is not the `flow`."""
    if update != flow and (method != "euler" or step != own):
        by = "adaptive steps" if step is None else f"steps of {step:g}"
        raise ValueError(
            f"update={update!r} is {whose} published step, method='euler' with a step of {own:g}; "
            f"got {method!r} with {by}. Use update={flow!r} (the differential equation) with other "
            "solvers"
        )


def tensors_of(stimulus: Stimulus) -> list[Tensor]:
    """Return the tensors a stimulus is known to be made of."""
    if isinstance(stimulus, Tensor):
        return [stimulus]
    listed: Sequence[Tensor] = getattr(stimulus, "tensors", ())
    return [*listed, *(stimulus.parameters() if isinstance(stimulus, nn.Module) else ())]


def leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors that some tensors were computed from and that require grad."""
    found = {id(x): x for x in tensors if x.requires_grad and x.grad_fn is None}
    nodes = [x.grad_fn for x in tensors if x.grad_fn is not None]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        new = {n for n, _ in node.next_functions if n is not None} - seen
        nodes += new
        seen |= new
    return list(found.values())


def check_stimulus(stimulus: object) -> None:
    """Refuse what cannot be a stimulus, and numbers that would turn into silent NaN."""
    if callable(stimulus) and not isinstance(stimulus, Tensor):
        return
    if not isinstance(stimulus, Tensor):
        raise TypeError(
            f"a stimulus is a tensor (sample, ...) or a function of time returning one, "
            f"got {type(stimulus).__name__}; convert arrays with torch.as_tensor(x).float()"
        )
    if not stimulus.is_floating_point():
        raise TypeError(
            f"the stimulus has dtype {stimulus.dtype}; give floating-point numbers, "
            "e.g. images.float() / 255"
        )
    if stimulus.ndim < 2 or stimulus.shape[0] == 0:
        raise ValueError(
            f"the stimulus has shape {tuple(stimulus.shape)}; its first axis must be samples "
            "(at least one), then the axes of one stimulus: use stimulus[None] for a single one"
        )
    if not math.isfinite(stimulus.detach().sum()):
        bad = ~torch.isfinite(stimulus.detach()).flatten(1).all(1)
        if not bad.any():
            return
        raise ValueError(
            f"{int(bad.sum())} of {len(bad)} samples of the stimulus hold NaN or infinity "
            f"(first: sample {int(bad.nonzero()[0])}); remove or repair them first"
        )
