"""Predictive coding on any network: the ODE behind Predify."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.convolutions import SMALL, Kernel, predict, pullback
from neurodyn.decoders import Decoder, Unmade, reach
from neurodyn.dynamics import Drive, State, check_published_step
from neurodyn.rates import Rates, TrainableRates, per_layer
from neurodyn.tapped import DIMS, TappedDynamics
from neurodyn.variable import Variable

PREDIFY = "Choksi et al. (2021), arXiv 2106.02749"


class PredictiveCoding(TappedDynamics):
    r"""Predictive coding on the layers of a network.

    .. math::

        \frac{de_n}{dt} = \beta_n\,(f_n(e_{n-1}) - e_n) + \lambda_n\,(p_{n+1} - e_n)
            - \alpha_n s_n\, J_{g_n}^{\top} (p_n - e_{n-1}), \qquad p_n = g_n(e_n)

    :math:`e_n` is the representation at tap n (the stimulus is :math:`e_0`), :math:`f_n` the part
    of the network from tap n-1 to tap n, :math:`g_n` a decoder that predicts the layer below.
    Each layer is driven from below (rate :math:`\beta`), drawn to the prediction from above
    (:math:`\lambda`; the last layer has none) and moved to lower its own prediction error
    (:math:`\alpha`). Rates are per published step; states have the units of the activities.

    One Euler step of 1 with ``update="sequential"`` is Predify's rule: a sweep in which each layer
    already sees the new state of the one below, as a right-hand side that looks ahead by one
    published step. ``"simultaneous"`` is the differential equation. Both have the same fixed
    points.

    Parameters
    ----------
    backbone : nn.Module
        Any network; in evaluation mode when solving. It is used, not copied.
    taps : sequence of str, or mapping
        Dotted names of modules in the order they are computed; the states are named after them.
        Or names of states mapped to dotted names or modules. Each must return one tensor and be
        called once in a pass; skips may cross it.
    decoders : sequence of nn.Module, optional
        The n-th predicts the state below, the first the stimulus. None, or None for one of them:
        a `Decoder`, made from `seed` when the first stimulus (or `example`) shows the sizes.
    feedforward, feedback, error : float or sequence of float
        :math:`\beta, \lambda, \alpha`, for all layers or one each. :math:`0 \le \beta + \lambda
        \le 1`; what is left is memory.
    error_scale : {"effective", "mean"} or sequence of float
        :math:`s_n`. "effective": :math:`2/\sqrt{C_n}` with :math:`C_n` the number of outputs that
        the centre of layer n reaches through its decoder (`PCoderN`). "mean": :math:`2/K_n`, K_n
        the number of values predicted per stimulus: the gradient of the mean squared error of one
        stimulus (`PCoder` has this divided by the batch size as well).
    update : {"simultaneous", "sequential"}
        The equation, or Predify's order; the latter only with ``method="euler"`` and its step.
    trainable : bool
        Make the rates parameters: :math:`(\beta, \lambda, \mu)` are sigmoids divided by their sum
        (:math:`\mu` is the memory), :math:`\alpha` is free. Numbers give parameters shared by
        all layers, sequences one per layer. A :math:`\beta, \lambda` or :math:`\mu` of exactly 0
        is the absence of that pathway: it stays 0.
    detach_error : bool
        Treat the error term as a constant in gradients, as the published code does. By default it
        is differentiated like the rest.
    layout : {"channels_last", "contiguous"}
        How maps lie in memory. Convolutions of 3x3 and 5x5 are faster in channels last, decoders
        with kernels of 10 and more (PVGG16's) contiguous; the numbers are the same.
    fast : bool, optional
        Run rectified or linear transposed convolutions with kernels of at least 5 per stride
        through `neurodyn.convolutions.Kernel`: the same numbers up to rounding, in less time and
        more memory. None: those whose spectra take at most 128 MiB (two of PVGG16's, 155 MB in
        float32); True: all (1.6 GB); False: none. Only on a CPU, and while the gradients of their
        weights are off: within ``gradient="none"``, or after ``decoders.requires_grad_(False)``.
    example : Tensor, optional
        A stimulus (sample, ...) to make the decoders from, now rather than at the first run; do
        this before building an optimiser.
    seed : int
        For the weights of the default decoders.

    Raises
    ------
    ValueError
        For unknown modules (with near matches), modules called twice or never, decoders that do
        not fit, rates out of range, batch normalisation or dropout in training mode.

    Notes
    -----
    One evaluation costs one pass from the first tap to the last, one pass of each decoder whose
    prediction is used, and one vector-Jacobian product of each with an error rate (in closed form
    for transposed convolutions). What lies below
    the first tap runs once per drive. The equation was deduced from the published code, not from
    the paper's text, and agrees with that code's outputs to float precision. In-place modules
    after a tap are given a copy.

    References
    ----------
    Choksi, Mozafari, O'May, Ador, Alamia & VanRullen (2021), Predify, arXiv 2106.02749.

    Examples
    --------
    >>> import neurodyn as nd
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    ...                         nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
    ...                         nn.Linear(8 * 16, 10))
    >>> model = nd.PredictiveCoding(network, ["1", "4"], feedforward=0.3, feedback=0.3, error=0.01)
    >>> solution = nd.integrate(model, torch.rand(2, 1, 8, 8), [0.0, 5.0])
    >>> [tuple(state.shape) for state in solution.states]
    [(2, 2, 4, 8, 8), (2, 2, 8, 4, 4)]
    """

    def __init__(
        self,
        backbone: nn.Module,
        taps: Sequence[str] | Mapping[str, str | nn.Module],
        decoders: Sequence[nn.Module | None] | None = None,
        *,
        feedforward: float | Sequence[float],
        feedback: float | Sequence[float],
        error: float | Sequence[float],
        error_scale: Literal["effective", "mean"] | Sequence[float] = "effective",
        update: Literal["simultaneous", "sequential"] = "simultaneous",
        trainable: bool = False,
        detach_error: bool = False,
        layout: Literal["channels_last", "contiguous"] = "channels_last",
        fast: bool | None = None,
        example: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(backbone, taps)
        if layout not in ("channels_last", "contiguous"):
            raise ValueError(f"layout {layout!r} is not one of channels_last, contiguous")
        self.layout = layout
        if update not in ("simultaneous", "sequential"):
            raise ValueError(f"update {update!r} is not one of simultaneous, sequential")
        layers = len(self.taps.names)
        if decoders is not None and len(decoders) != layers:
            raise ValueError(
                f"{len(decoders)} decoders for {layers} taps ({', '.join(self.taps.names)}); give "
                "one for each, or None"
            )
        if not isinstance(error_scale, str):
            error_scale = [float(s) for s in per_layer("error_scale", error_scale, layers)]
        elif error_scale not in ("effective", "mean"):
            raise ValueError(f"error_scale {error_scale!r} is not effective, mean or numbers")
        self.decoders = nn.ModuleList(
            Unmade() if decoder is None else decoder for decoder in decoders or [None] * layers
        )
        most = {None: SMALL, True: math.inf, False: 0}[fast]
        self.kernels = [Kernel(most) for _ in range(layers)]
        self.update = update
        self.detach_error = detach_error
        self.error_scale = error_scale
        self.seed = seed
        self.rates = (Rates if not trainable else TrainableRates)(
            feedforward, feedback, error, layers
        )
        self.scale: list[float] = []
        if example is not None:
            self.materialise(example)

    def make(self, shapes: list[torch.Size], stimulus: Float[Tensor, " sample ..."]) -> None:
        """Make missing decoders; find the error scales; name the states."""
        targets = [stimulus.shape[1:], *shapes[:-1]]
        generator = torch.Generator().manual_seed(self.seed)
        like = next(self.backbone.parameters(), stimulus)
        scale: list[float] = []
        for n, (shape, target) in enumerate(zip(shapes, targets, strict=True)):
            name = self.taps.names[n]
            if len(shape) not in DIMS:
                raise ValueError(f"tap {name!r} has shape {tuple(shape)}: 1 to 4 axes are known")
            if isinstance(self.decoders[n], Unmade):
                self.decoders[n] = Decoder(shape, target, generator).to(like)
            try:
                reached, predicted = reach(self.decoders[n], shape)
            except RuntimeError as error:
                raise ValueError(
                    f"decoder {n} of {name!r} does not take its state, {tuple(shape)}: {error}"
                ) from error
            if predicted != target:
                below = "the stimulus" if n == 0 else f"layer {self.taps.names[n - 1]!r}"
                raise ValueError(
                    f"decoder {n} of {name!r} turns {tuple(shape)} into {tuple(predicted)}, but "
                    f"{below} is {tuple(target)}"
                )
            if self.error_scale == "effective" and reached == 0:
                raise ValueError(
                    f"decoder {n} of {name!r} does not use the centre of its input, so that its "
                    "effective error scale is not defined; give error_scale as numbers"
                )
            if self.error_scale == "effective":
                scale.append(2 / reached**0.5)
            elif self.error_scale == "mean":
                scale.append(2 / target.numel())
            else:
                scale.append(self.error_scale[n])
        self.scale = scale
        self._variables = tuple(
            Variable(name, DIMS[len(s)], long_name="representation", references=PREDIFY)
            for name, s in zip(self.taps.names, shapes, strict=True)
        )

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return the feed-forward activities: e_n = f_n(e_{n-1})."""
        state: list[Tensor] = []

        def visit(n: int, feedforward: Tensor) -> Tensor:
            state.append(feedforward.to(drive["stimulus"].dtype))  # autocast may have halved it
            return feedforward

        self.taps.sweep(self.backbone, drive, visit)
        return tuple(state)

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return de_n/dt for every layer."""
        beta, lam, alpha = self.rates()
        last = len(state) - 1
        below = (drive["stimulus"], *state[:-1])
        correction: list[Tensor | None] = [None] * len(state)
        for n, e in reversed(list(enumerate(state))):
            feeds_back = n > 0 and used(lam[n - 1])
            if used(alpha[n]):
                prediction, pull = pullback(self.decoders[n], e, self.kernels[n])
                residual = prediction - below[n]
                seen = residual.to(prediction.dtype)
                del prediction  # a map of the layer below: not beside two more of them
                gradient = pull(seen.detach() if self.detach_error else seen)
                gradient = gradient.detach() if self.detach_error else gradient
                correction[n] = plus(correction[n], -alpha[n] * self.scale[n], gradient)
                del seen, gradient, pull
            elif feeds_back:
                residual = predict(self.decoders[n], e, self.kernels[n]) - below[n]
            if feeds_back:
                correction[n - 1] = plus(correction[n - 1], lam[n - 1], residual)
                del residual

        derivative: list[Tensor] = []
        look_ahead = self.step if self.update == "sequential" else 0.0

        def visit(n: int, feedforward: Tensor) -> Tensor:
            derivative.append(plus(correction[n], beta[n], feedforward - state[n]))
            correction[n] = None
            if look_ahead and n < last:
                return plus(state[n], look_ahead, derivative[n])
            return state[n]

        self.taps.sweep(self.backbone, drive, visit)
        return tuple(derivative)

    def readout(self, state: State, drive: Drive) -> Float[Tensor, "sample category"]:
        """Return the network's output with the representations in the taps' places."""
        return self.taps.head(self.backbone, drive, state)

    def predictions(self, state: State) -> tuple[Tensor, ...]:
        """Return p_n = g_n(e_n): the stimulus as layer 1 predicts it, layer 1 as layer 2 does."""
        return tuple(decoder(e) for decoder, e in zip(self.decoders, state, strict=True))

    def config(self) -> dict[str, Any]:
        """Return the rates and options as plain values."""
        with torch.no_grad():
            beta, lam, alpha = ([float(x) for x in rate] for rate in self.rates())
        return super().config() | {
            "feedforward": beta,
            "feedback": lam,
            "error": alpha,
            "error_scale": self.scale,
            "update": self.update,
        }

    def check_solver(self, method: str, step: float | None) -> None:
        """Refuse anything but Predify's own step for Predify's order."""
        check_published_step("Predify's", self.update, "simultaneous", self.step, method, step)


def plus(total: Tensor | None, rate: float | Tensor, term: Tensor) -> Tensor:
    """Return total + rate * term, in one pass over memory where the rate is a number."""
    if total is None:
        return rate * term
    if isinstance(rate, Tensor):
        return total + rate * term
    return torch.add(total, term, alpha=rate)


def used(rate: float | Tensor) -> bool:
    """Tell whether a pathway is there: a fixed rate of 0 means it is not."""
    return isinstance(rate, Tensor) or rate != 0.0
