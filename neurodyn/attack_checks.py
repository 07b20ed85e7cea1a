"""What no attack can have: the settings that are refused."""

from numbers import Integral

import torch
from torch import Tensor

from neurodyn.batches import check_labels
from neurodyn.dynamics import check_stimulus

NORMS = ("linf", "l2")


def check(
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    norm: str,
    steps: int,
    relative_step: float | None,
    start: Tensor | None,
    bounds: tuple[float, float],
) -> None:
    """Refuse settings that no attack can have."""
    check_strength(images, epsilon, norm, bounds)
    whole = isinstance(steps, Integral) and not isinstance(steps, bool)
    if not whole or steps < 1 or (relative_step is not None and not relative_step > 0):
        raise ValueError(
            f"an attack takes 1 step or more, a whole number, of a positive relative size; got "
            f"steps={steps!r}, relative_step={relative_step!r}"
        )
    check_labels("labels", labels, images)
    if start is not None:
        check_range("start", start, bounds)
        if start.shape != images.shape:
            raise ValueError(
                f"start has shape {tuple(start.shape)} and the images {tuple(images.shape)}"
            )


def check_strength(images: Tensor, epsilon: float, norm: str, bounds: tuple[float, float]) -> None:
    """Refuse images that cannot be changed, and changes that are none."""
    if norm not in NORMS:
        raise ValueError(f"norm {norm!r} is not one of {', '.join(NORMS)}")
    if not 0 <= epsilon < float("inf"):
        raise ValueError(f"epsilon must be 0 or more, got {epsilon!r}")
    check_range("images", images, bounds)


def check_range(name: str, images: Tensor, bounds: tuple[float, float]) -> None:
    """Refuse what is no floating-point images within the bounds."""
    check_stimulus(images)
    low, high = bounds
    if images.numel() == 0:
        raise ValueError(f"{name} have no pixels, shape {tuple(images.shape)}")
    if not low <= float(images.min()) <= float(images.max()) <= high:
        raise ValueError(
            f"{name} must lie within bounds={low:g}, {high:g}; they span "
            f"{float(images.min()):g} to {float(images.max()):g}. Scale them, and put a "
            "normalisation into the model"
        )


def check_generator(generator: torch.Generator) -> None:
    """Refuse what draws no random start."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, got {type(generator).__name__}; use "
            "torch.Generator().manual_seed(0)"
        )
