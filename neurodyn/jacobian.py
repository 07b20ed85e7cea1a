"""The Jacobian of a dynamics at one state, as products with vectors, all samples at once."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from neurodyn.dynamics import Dynamics, State, Stimulus, bind
from neurodyn.layout import Layout
from neurodyn.solve import check_state

Field = Callable[..., State]
Symmetry = str | State | None
NEUTRAL = 1e-3
"""A direction u is a symmetry if |J u| is below this share of |J v|, v random."""

_FORWARD = threading.RLock()
"""Torch's forward mode, and its choice of kernels of attention, are those of the whole process."""


class Jacobian:
    r"""J = df/dy at one state and time; f couples no two samples, so neither does J.

    .. math:: J_{ij} = \frac{\partial f_i}{\partial y_j}(t, y, d(s(t)))

    Never formed: ``jacobian(v)`` is the product J v of every sample. At a kink (ReLU at 0, equal
    entries of a max-pool) torch's derivative is one of several.

    Parameters
    ----------
    dynamics, stimulus
        As for `integrate`.
    state : tuple of Tensor
        Each (sample, ...).
    t : float
        When, for a stimulus or an equation that changes.

    Raises
    ------
    TypeError, ValueError
        For a state of the wrong number of tensors or shape, or that is not finite.
    """

    def __init__(
        self, dynamics: Dynamics, stimulus: Stimulus, state: State, t: float = 0.0
    ) -> None:
        bound = bind(dynamics, stimulus)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            drive = bound.drive(t)
            own = dynamics.initial_state(drive, generator)
        check_state(dynamics, state, len(own[0]))
        names = [v.name for v in dynamics.variables]
        if [y.shape for y in state] != [y.shape for y in own]:
            raise ValueError(
                f"the states {', '.join(names)} of this stimulus have the shapes "
                f"{', '.join(str(tuple(y.shape)) for y in own)}; got "
                f"{', '.join(str(tuple(y.shape)) for y in state)}"
            )
        self.state = tuple(y.detach() for y in state)
        self.layout = Layout(self.state, names, channels_last=False)
        self.samples, self.size = len(state[0]), sum(y[0].numel() for y in state)
        self.dtype = state[0].dtype
        if bad := self.layout.nonfinite(self.layout.pack(self.state)):
            raise ValueError(
                f"the state is not finite: {self.counted(bad)}; give one from before it blew up"
            )
        time = torch.tensor(t, dtype=torch.float64, device=state[0].device)
        self.field: Field = lambda *y: dynamics(time, y, drive)
        with torch.no_grad():
            derivative, self.push = linearised(self.field, self.state)
        self.layout.check(derivative)

    def __call__(self, v: Float[Tensor, "sample size"]) -> Float[Tensor, "sample size"]:
        """Return J v in float64; the dynamics itself computes in its own precision."""
        with torch.no_grad():
            product = self.push(shaped(v, self.state))
        if bad := self.layout.nonfinite(self.layout.pack(product)):
            raise ValueError(
                f"the Jacobian is not finite: {self.counted(bad)}; look for square roots, norms "
                "or divisions at 0 in the dynamics"
            )
        return flat(product)

    def counted(self, bad: dict[str, int]) -> str:
        """Return the words for variables that are not finite."""
        return ", ".join(f"{name} in {n} of {self.samples} samples" for name, n in bad.items())


class Through(TorchFunctionMode):
    """Makes ``detach`` do nothing: what is cut out of gradients is still part of the flow."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        if func in (Tensor.detach, torch.detach):
            return args[0]
        return func(*args, **(kwargs or {}))


def linearised(field: Field, state: State) -> tuple[State, Callable[[State], State]]:
    r"""Return f(y) and the map v -> J v, which can be applied again and again.

    By two backward derivatives: :math:`u \mapsto J^\top u` is linear, and its own transpose is J.
    A product costs about two evaluations of f, as a forward-mode one does, but evaluates f no
    more, and every operation has it (sparse matrices have no forward mode; fused attention has
    neither, and runs as its formula).
    """
    with _FORWARD, Through(), sdpa_kernel(SDPBackend.MATH):
        derivative, pullback, *_ = torch.func.vjp(field, *state)
        _, push, *_ = torch.func.vjp(pullback, tuple(map(torch.zeros_like, derivative)))
    return derivative, lambda v: push(v)[0]


def forward_product(
    function: Callable[[Tensor], Any], at: Tensor, along: Tensor
) -> tuple[Any, Any]:
    """Return f(y) and J v by forward mode, one thread at a time.

    Threads share the levels of torch's forward mode, and would close each other's.
    """
    with _FORWARD, sdpa_kernel(SDPBackend.MATH):
        value, product, *_ = torch.func.jvp(function, (at,), (along,))
    return value, product


def flat(state: State) -> Float[Tensor, "sample size"]:
    """Return each sample's state as one row, float64."""
    return torch.cat([y.flatten(1) for y in state], 1).double()


def shaped(rows: Float[Tensor, "sample size"], like: State) -> State:
    """Return rows as a state with the shapes and precision of another."""
    parts = rows.split([y[0].numel() for y in like], 1)
    return tuple(part.reshape(y.shape).to(y) for part, y in zip(parts, like, strict=True))


def draw(size: int, *seed: int) -> Float[Tensor, " size"]:
    """Return normal random numbers, float64, from whole numbers: the same for every sample."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(size))


def without(
    direction: Float[Tensor, "sample size"] | None, v: Float[Tensor, "sample *more size"]
) -> Float[Tensor, "sample *more size"]:
    """Return P v, P = 1 - u u^T, for the unit vector u of each sample."""
    if direction is None:
        return v
    u = direction.view(len(v), *[1] * (v.ndim - 2), -1)
    return v - u * (u * v).sum(-1, keepdim=True)


def neutral_direction(
    dynamics: Dynamics, symmetry: Symmetry, state: State
) -> Float[Tensor, "sample size"] | None:
    """Return the unit vector along which a symmetry moves the state, of each sample.

    Parameters
    ----------
    dynamics : Dynamics
        Whose variables say what is cyclic.
    symmetry : {"shift"}, tuple of Tensor, or None
        The uniform shift of every cyclic variable (those with a `period`); or the direction
        itself, shaped as the state.
    state : tuple of Tensor
        Where.
    """
    if symmetry is None:
        return None
    if isinstance(symmetry, str):
        if symmetry != "shift":
            raise ValueError(
                f"symmetry {symmetry!r} is not 'shift', a tuple of tensors shaped as the state, "
                "or None"
            )
        periods = {v.name: v.period for v in dynamics.variables}
        if not any(periods.values()):
            raise ValueError(
                f"symmetry='shift' moves cyclic variables, and none of {', '.join(periods)} has a "
                "period; give the direction as a tuple of tensors"
            )
        pairs = zip(state, periods.values(), strict=True)
        symmetry = tuple(torch.full_like(y, period or 0.0) for y, period in pairs)
    if not isinstance(symmetry, tuple) or [getattr(u, "shape", None) for u in symmetry] != [
        y.shape for y in state
    ]:
        raise ValueError(
            f"symmetry must be 'shift' or a tuple of tensors shaped as the state, "
            f"{[tuple(y.shape) for y in state]}; got "
            f"{[tuple(u.shape) for u in symmetry] if isinstance(symmetry, tuple) else symmetry!r}"
        )
    direction = flat(tuple(u.detach() for u in symmetry))
    length = direction.norm(dim=1, keepdim=True)
    if not bool((length.isfinite() & (length > 0)).all()):
        raise ValueError("the direction of a symmetry must be finite and not 0, in every sample")
    return direction / length


def check_neutral(
    jacobian: Jacobian, direction: Float[Tensor, "sample size"] | None, seed: int
) -> None:
    """Refuse a direction along which the linear flow is not at rest."""
    if direction is None:
        return
    v = draw(jacobian.size, seed).to(direction.device).expand_as(direction)
    moved = jacobian(direction).norm(dim=1)
    usual = jacobian(v / v.norm(dim=1, keepdim=True)).norm(dim=1)
    share = torch.where(moved > 0, moved / usual, 0.0)
    worst = int(share.argmax())
    if not share[worst] < NEUTRAL:
        raise ValueError(
            f"the direction given as a symmetry is none: |J u| / |J v| = {float(share[worst]):.2g} "
            f"in sample {worst} (u the direction, v random), where it should be below {NEUTRAL:g}; "
            "give another direction, a state nearer to rest, or symmetry=None"
        )


def named(symmetry: Symmetry) -> str:
    """Return what a record says of a symmetry."""
    return symmetry if isinstance(symmetry, str) else "none" if symmetry is None else "given"
