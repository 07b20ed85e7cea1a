"""Classification over time by predictive coding, with rates that differ between noise levels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.models.feedback_nets import START, with_rates
from neurodyn.rates import TrainableRates

ERROR_UNIT = 0.01
"""alpha over its parameter: Adam moves alpha by a hundredth of what it moves the other rates by,
as the published learning rates of 1e-4 and 1e-2 do."""


class RatesByNoise(nn.Module):
    """Rates of every layer for each noise level, from the published start; see `TrainableRates`."""

    def __init__(self, noises: int, layers: int) -> None:
        super().__init__()
        beta, lam, alpha = ([rate] * layers for rate in START)
        start = TrainableRates(beta, lam, alpha, layers)
        self.raw = nn.Parameter(start.raw.detach()[:, None].repeat(1, noises, 1))
        self.error = nn.Parameter(start.error.detach().repeat(noises, 1) / ERROR_UNIT)

    def forward(self) -> tuple[Any, Any, Any]:
        """Return beta, lambda and alpha: for each layer, one number per noise level."""
        shares = torch.sigmoid(self.raw)
        beta, lam, _ = shares / shares.sum(0)
        top = torch.zeros_like(lam[:, -1])  # nothing above the last layer
        return beta.unbind(1), (*lam.unbind(1)[:-1], top), (ERROR_UNIT * self.error).unbind(1)


class PerSample(nn.Module):
    """Rates that differ from sample to sample of a batch of maps."""

    def __init__(self, rates: tuple[Any, Any, Any], repeats: int) -> None:
        super().__init__()
        beta, lam, alpha = (
            [value.repeat(repeats)[:, None, None, None] for value in part] for part in rates
        )
        self.values = beta, [*lam[:-1], 0.0], alpha

    def forward(self) -> tuple[Any, Any, Any]:
        """Return beta, lambda and alpha, each with one entry per layer."""
        return self.values


class OverTime(nn.Module):
    """Sums over a batch: the loss, and for each noise level loss, right at t = 0, right at T."""

    def __init__(
        self, model: nd.PredictiveCoding, steps: int, rates: RatesByNoise | None = None
    ) -> None:
        super().__init__()
        self.model, self.steps, self.rates = model, steps, rates

    def forward(
        self, images: Float[Tensor, "sample noise channel y x"], labels: Int[Tensor, " sample"]
    ) -> Float[Tensor, " quantity"]:
        """Classify over time, the levels of noise side by side."""
        samples, noises = images.shape[:2]
        model = self.model
        images = images.to(next(model.parameters()).dtype)  # mixed precision has halved them
        if self.rates is not None:
            model = with_rates(model, PerSample(self.rates(), samples))
        times = [float(t) for t in range(self.steps + 1)]
        with native_enlargement(images.device):
            run = nd.integrate(model, images.flatten(0, 1), times, method="euler", record="readout")
        assert run.readout is not None
        logits = run.readout.unflatten(1, (samples, noises))
        truth = labels[:, None].expand(samples, noises)
        every = truth.expand(self.steps, samples, noises)
        each = F.cross_entropy(logits[1:].flatten(0, 2), every.flatten(), reduction="none")
        losses = each.view(self.steps, samples, noises).mean(0).sum(0)
        right = (logits[[0, -1]].argmax(-1) == truth).sum(1).to(losses)
        return torch.cat([losses.sum()[None], losses, right.flatten()])


@contextmanager
def native_enlargement(device: torch.device) -> Iterator[None]:
    """Off the CPU, do not ask for reproducible kernels: bilinear enlargement has slow ones."""
    asked = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(asked and device.type == "cpu", warn_only=lenient)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(asked, warn_only=lenient)
