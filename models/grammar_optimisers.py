"""The published optimisers, for many networks at once, each with its own learning rate."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurodyn.models.grammar_gradients import gradient, outputs, prepared
from neurodyn.models.grammar_nets import FAMILIES, GrammarNets

RATES = {"feedforward": (1e-3, 1.0)} | dict.fromkeys(FAMILIES[1:], (1e-4, 1e-1))
"""The lowest and the highest learning rate of each family's search; a reconstruction."""
MOMENTUM, DECAY = 0.9, 1e-6
RHO, EPSILON = 0.9, 1e-8
BLOCK = 131_072
"""Weights that RMSprop takes at a time, so that its passes over them stay in the cache."""


def learning_rates(family: str, n: int = 20) -> list[float]:
    """Return the learning rates of the search, evenly spaced in their logarithm.

    *Reconstruction*: published is that there were 20, in another range for each family.

    Examples
    --------
    >>> learning_rates("recurrent", 4)
    [0.0001, 0.001, 0.01, 0.1]
    """
    if family not in RATES:
        raise ValueError(f"family {family!r} is not one of {', '.join(RATES)}")
    if n < 1:
        raise ValueError(f"learning rates must be 1 or more, got {n!r}")
    low, high = RATES[family]
    if n == 1:
        return [float(f"{(low * high) ** 0.5:.6g}")]
    return [float(f"{rate:.6g}") for rate in np.geomspace(low, high, n)]


def check_rates(family: str, rates: float | Sequence[float] | None) -> list[float]:
    """Return learning rates as a list, by default one: the geometric mean of `RATES`."""
    if rates is None:
        return learning_rates(family, 1)
    given: list[Any] = list(rates) if isinstance(rates, Sequence | np.ndarray) else [rates]
    kinds = [isinstance(rate, Real) and not isinstance(rate, bool) for rate in given]
    if not given or not all(kinds) or not all(0 < rate < math.inf for rate in given):
        raise ValueError(f"learning_rate must be one or more positive numbers, got {rates!r}")
    found = [float(rate) for rate in given]
    if len(set(found)) < len(found):
        raise ValueError(f"learning rates must be all different, got {rates!r}")
    return found


class Nesterov:
    r"""Stochastic gradient descent with Nesterov's momentum and a decaying rate.

    .. math:: v \leftarrow \mu v - \eta_t g, \qquad p \leftarrow p + \mu v - \eta_t g, \qquad
              \eta_t = \eta / (1 + 10^{-6} t)

    Each network has its own rate, which comes in as a factor of its loss.
    """

    def __init__(self, nets: GrammarNets, rates: Float[Tensor, " net"]) -> None:
        self.nets, self.rates, self.steps = nets, rates, 0
        self.optimiser = torch.optim.SGD(
            [nets.flat], lr=1.0, momentum=MOMENTUM, nesterov=True, fused=True
        )
        self.optimiser.state[nets.flat]["momentum_buffer"] = torch.zeros_like(nets.flat)

    def scale(self) -> Float[Tensor, " net"]:
        """Return the factor of each network's loss."""
        return self.rates / (1 + DECAY * self.steps)

    def state(self) -> Tensor:
        """Return what is carried from step to step."""
        return self.optimiser.state[self.nets.flat]["momentum_buffer"]

    def step(self) -> None:
        """Change the weights by the gradient."""
        self.optimiser.step()
        self.steps += 1


class RMSprop:
    r"""Each weight's step in units of its own recent gradients.

    .. math:: a \leftarrow \rho a + (1 - \rho) g^2, \qquad
              p \leftarrow p - \eta\, g / (\sqrt a + \epsilon)
    """

    def __init__(self, nets: GrammarNets, rates: Float[Tensor, " net"]) -> None:
        self.nets, self.rates = nets, rates
        self.square = torch.zeros_like(nets.flat.detach())
        self.inverse = torch.empty_like(self.square)  # of the rate, weight by weight
        for inverse in nets.weights(self.inverse).values():
            inverse.copy_((1 / rates).view(-1, *[1] * (inverse.ndim - 1)).expand_as(inverse))
        self.root = torch.empty(BLOCK, dtype=rates.dtype)

    def scale(self) -> Float[Tensor, " net"]:
        """Return the factor of each network's loss, one."""
        return torch.ones_like(self.rates)

    def state(self) -> Tensor:
        """Return what is carried from step to step."""
        return self.square

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights by the gradient."""
        flat, gradient = self.nets.flat, self.nets.flat.grad
        assert gradient is not None
        parts = (t.split(BLOCK) for t in (flat, gradient, self.square, self.inverse))
        for p, g, square, inverse in zip(*parts, strict=True):
            root = self.root[: len(p)]
            square.mul_(RHO).addcmul_(g, g, value=1 - RHO)
            torch.sqrt(square, out=root).add_(EPSILON).mul_(inverse)
            p.addcdiv_(g, root, value=-1)


def optimiser(nets: GrammarNets, rates: Float[Tensor, " net"]) -> Nesterov | RMSprop:
    """Return the published optimiser of a family."""
    return (Nesterov if nets.family == "feedforward" else RMSprop)(nets, rates)


def update(
    nets: GrammarNets, rule: Nesterov | RMSprop, x: Float[Tensor, "set item time letter"],
    y: Float[Tensor, "set item"], which: Int[Tensor, " net"],
    active: Bool[Tensor, " net"] | None = None,
) -> Float[Tensor, "net item"]:  # fmt: skip
    """Make one step on a batch; return the outputs before it. Others than `active` stay."""
    if active is not None and not active.any():
        return outputs(nets, x, which)
    found = gradient(nets, prepared(nets, x), y, which, rule.scale())
    if active is None or active.all():
        rule.step()
        return found
    held = [nets.weights(tensor) for tensor in (nets.flat.detach(), rule.state())]
    before = [{name: w[~active].clone() for name, w in part.items()} for part in held]
    rule.step()
    for part, old in zip(held, before, strict=True):
        for name, weight in part.items():
            weight[~active] = old[name]
    return found


@contextmanager
def flushed() -> Iterator[None]:
    """Take numbers too small for normal precision as zero, in this thread: they are slow."""
    already = float(torch.tensor(1e-38) * 0.1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)
