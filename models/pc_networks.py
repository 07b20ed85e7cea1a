"""What the published predictive-coding networks have in common."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import neurodyn as nd
from neurodyn.models.pc_shallow import initialise
from neurodyn.models.weights import check_sizes, filled
from neurodyn.rates import is_number, per_layer

Rate = float | Sequence[float]
DECODER_SEED = 1000
"""Added to a seed for the decoders: not the numbers that the backbone is made of."""


def coded(
    backbone: nn.Module, taps: Sequence[str] | dict[str, str], given: nn.ModuleList | None,
    rates: tuple[Rate, Rate, Rate], shared: bool, image: tuple[int, int], seed: int,
    options: dict[str, Any],
) -> nd.PredictiveCoding:  # fmt: skip
    """Return predictive coding on a backbone, with decoders drawn from a seed.

    `rates` are beta, lambda and alpha, `image` is (channels, size) and `given` are decoders whose
    values are still to be drawn.
    """
    channels, size = image
    check_sizes(channels=channels, image_size=size)
    values: list[Rate] = []
    for name, rate in zip(("feedforward", "feedback", "error"), rates, strict=True):
        if shared and not is_number(rate):
            raise ValueError(f"shared rates are one number each, got {name}={rate!r}")
        values.append(rate if shared else per_layer(name, rate, len(taps)))
    if given is not None:
        filled(given, None, seed + DECODER_SEED, initialise)
    return nd.PredictiveCoding(
        backbone,
        taps,
        None if given is None else list(given),
        feedforward=values[0],
        feedback=values[1],
        error=values[2],
        seed=seed + DECODER_SEED,
        example=torch.zeros(1, channels, size, size, device="cpu"),
        **options,
    ).eval()
