"""The rates of predictive coding: fixed, or parameters to train."""

import copy
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def per_layer(name: str, value: float | Sequence[float], layers: int) -> list[float]:
    """Return one finite number per layer."""
    values = [float(value)] * layers if is_number(value) else list(value)  # type: ignore[arg-type]
    if len(values) != layers or not all(abs(float(v)) < float("inf") for v in values):
        raise ValueError(f"{name} must be a number or {layers} numbers, one per tap; got {value!r}")
    return [float(v) for v in values]


def is_number(value: Any) -> bool:
    """Tell one number, for all layers, from a sequence of them."""
    return isinstance(value, Real) or getattr(value, "ndim", 1) == 0


class Rates(nn.Module):
    """Fixed rates: calling it returns beta, lambda and alpha as lists over layers."""

    def __init__(self, feedforward: Any, feedback: Any, error: Any, layers: int) -> None:
        super().__init__()
        self.beta = per_layer("feedforward", feedforward, layers)
        self.lam = per_layer("feedback", feedback, layers)
        self.alpha = per_layer("error", error, layers)
        for b, f in zip(self.beta, self.lam, strict=True):
            if min(b, f) < 0 or b + f > 1 + 1e-9:
                raise ValueError(
                    f"feedforward {b:g} and feedback {f:g} must not be negative and must not sum "
                    "to more than 1 (the rest is memory)"
                )
        self.lam[-1] = 0.0  # nothing above the last layer

    def forward(self) -> tuple[Any, Any, Any]:
        """Return beta, lambda and alpha, each with one entry per layer."""
        return self.beta, self.lam, self.alpha


class TrainableRates(nn.Module):
    """Rates as parameters: (beta, lambda, mu) = m sigmoid(raw) / sum of the same, alpha free.

    The mask m is 0 where a rate is given as exactly 0, so that raw stays finite at 0 and 1.
    """

    mask: Tensor

    def __init__(self, feedforward: Any, feedback: Any, error: Any, layers: int) -> None:
        super().__init__()
        Rates(feedforward, feedback, error, layers)  # the same checks
        shared = all(is_number(v) for v in (feedforward, feedback))
        self.layers = layers
        count = 1 if shared else layers
        beta = torch.tensor(per_layer("feedforward", feedforward, layers)[:count])
        lam = torch.tensor(per_layer("feedback", feedback, layers)[:count])
        shares = torch.stack([beta, lam, 1 - beta - lam]).double()
        shares = torch.where(shares < 1e-6, 0.0, shares)
        self.register_buffer("mask", (shares > 0).float())
        inside = torch.where((shares > 0) & (shares < 1), shares, 0.5)
        self.raw = nn.Parameter(torch.logit(inside).float())
        alphas = per_layer("error", error, layers)[: 1 if is_number(error) else layers]
        self.error = nn.Parameter(torch.tensor(alphas, dtype=torch.float32))

    def forward(self) -> tuple[Any, Any, Any]:
        """Return beta, lambda and alpha, each with one entry per layer."""
        weights = self.mask * torch.sigmoid(self.raw)
        beta, lam, _ = (weights / weights.sum(0)).expand(3, self.layers)
        return beta, [*lam[:-1], 0.0], self.error.expand(self.layers)


def with_rates(model: Model, rates: nn.Module) -> Model:
    """Return the same network, weights shared, with another module in the place of its rates."""
    other = copy.copy(model)
    other._modules = dict(model._modules)  # so that `model` keeps its own
    other._modules["rates"] = rates
    return other
