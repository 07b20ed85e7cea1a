"""A dynamics as a plain module: images in, logits at given times out."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.adapter import SolverStats
from neurodyn.dynamics import Dynamics, check_stimulus
from neurodyn.record import generators
from neurodyn.solve import GRADIENTS, Gradient, check_times, first_state, integrate


class Classifier(nn.Module):
    """Images to logits through a whole solve; made by `as_classifier`."""

    def __init__(
        self,
        dynamics: Dynamics,
        times: float | Sequence[float] | Float[Tensor, " time"],
        solver: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.alone, self.times = since_start(times)
        self.solver = solver
        self.seed = seed
        self.training = dynamics.training

    def forward(self, images: Float[Tensor, "sample ..."]) -> Tensor:
        """Return logits (sample, category), or (time, sample, category) at several times."""
        return self.solve(images)[0]

    def solve(self, images: Float[Tensor, "sample ..."]) -> tuple[Tensor, SolverStats]:
        """Return the logits, and what the solve cost."""
        check_stimulus(images)
        start = generators(self.seed, slice(0, len(images)))
        if self.times[-1] == 0:
            drive = self.dynamics.drive(images)
            first = first_state(self.dynamics, drive, start)
            return self.dynamics.readout(first, drive), SolverStats()
        run = [0.0, *(t for t in self.times if t > 0)]
        solution = integrate(
            self.dynamics, images, run, record="readout", generator=start, **self.solver
        )
        assert solution.readout is not None
        read = solution.readout
        return (read[-1] if self.alone else read[-len(self.times) :]), solution.stats

    def at(self, times: float | Sequence[float] | Float[Tensor, " time"]) -> Self:
        """Return the same dynamics and solver, read at other times."""
        return type(self)(self.dynamics, times, self.solver, self.seed)

    def extra_repr(self) -> str:
        """Say when, and by what."""
        return f"times={self.times}, method={self.solver['method']!r}"


def as_classifier(
    dynamics: Dynamics,
    times: float | Sequence[float] | Float[Tensor, " time"],
    method: str = "dopri5",
    *,
    rtol: float = 1e-4,
    atol: float = 1e-6,
    options: dict[str, Any] | None = None,
    gradient: Gradient = "backprop",
    seed: int = 0,
) -> Classifier:
    r"""Return a dynamics and its solver as one module, from images to logits.

    .. math:: o_T(s) = r(y(T), d(s)), \qquad y(T) = y_0 + \int_0^T f(t, y, d(s))\, dt

    What takes a classifier takes this: attacks (`neurodyn.attacks`, foolbox's ``PyTorchModel``),
    saliency maps, losses. Gradients reach the images by every path there is: through the drive,
    the initial state, each step of the solver, and through the error term of predictive coding,
    whose own gradient is differentiated again. The published code takes that term as a constant;
    for a white-box attack on such a network give
    ``PredictiveCoding(..., detach_error=True)``, see `neurodyn.attacks`.

    Parameters
    ----------
    dynamics : Dynamics
        It is used, not copied. Attacks by other libraries may leave gradients in its parameters:
        ``dynamics.requires_grad_(False)`` spares the work and the memory.
    times : float or sequence of float
        When the answer is read; every run starts at t = 0, whose answer is that of the initial
        state (in predictive coding the feed-forward one). In published steps, unless the dynamics
        says otherwise.
    method, rtol, atol, options, gradient
        As in `integrate`; ``gradient="checkpoint"`` for long runs on large images. With an
        adaptive method the images of a batch share their steps, and the gradient is that of the
        steps taken.
    seed : int
        Of random initial states, a stream for each sample of a batch. They are the same in every
        call, so that an attack meets one function and not a new one at each of its steps.

    Returns
    -------
    Classifier
        An ``nn.Module``, in the mode that the dynamics is in. Its output is (sample, category) if
        `times` is one number, (time, sample, category) if it is a sequence. ``classifier.at(t)``
        reads the same at other times.

    Raises
    ------
    TypeError, ValueError
        For what is not a dynamics, and for times that are negative, do not increase, or are a
        sequence of one.

    References
    ----------
    Choksi et al. (2021), arXiv 2106.02749 (attacks on the unrolled network).

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits(n=2)
    >>> classifier = as_classifier(pc_shallow(), 4.0, method="euler")
    >>> images.requires_grad_()[0, 0, 0, 0].item()
    0.0
    >>> classifier(images).sum().backward()
    >>> images.grad.shape
    torch.Size([2, 1, 32, 32])
    >>> classifier.at([0.0, 2.0, 4.0])(images).shape
    torch.Size([3, 2, 10])
    """
    if not isinstance(dynamics, Dynamics):
        raise TypeError(f"as_classifier needs a neurodyn.Dynamics, got {type(dynamics).__name__}")
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient {gradient!r} is not one of {', '.join(GRADIENTS)}")
    solver = {
        "method": method, "rtol": rtol, "atol": atol, "options": options, "gradient": gradient
    }  # fmt: skip
    return Classifier(dynamics, times, solver, seed)


def since_start(
    times: float | Sequence[float] | Float[Tensor, " time"],
) -> tuple[bool, list[float]]:
    """Return whether one time was given, and the times; refuse those before t = 0."""
    given = torch.as_tensor(times)
    alone = given.ndim == 0
    if given.ndim == 1 and len(given) == 1:
        raise ValueError(
            f"a sequence of times has two or more, got [{float(given[0]):g}]; for an answer at one "
            f"time give the number itself, {float(given[0]):g}"
        )
    found = [float(times)] if alone else check_times(times)  # type: ignore[arg-type]
    if not 0 <= found[0] < float("inf"):
        raise ValueError(f"a classifier runs from t = 0 on and cannot be read at {found[0]:g}")
    return alone, found
