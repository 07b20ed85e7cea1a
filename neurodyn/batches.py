"""What is refused as the size of a batch, and as the labels of its images."""

from numbers import Integral

import torch
from torch import Tensor


def check_batch_size(batch_size: int | None) -> None:
    """Refuse what cannot be a number of samples; None, for all of them, is one."""
    whole = isinstance(batch_size, Integral) and not isinstance(batch_size, bool)
    if batch_size is not None and not (whole and batch_size >= 1):
        raise ValueError(f"batch_size = {batch_size!r} must be a whole number, 1 or larger")


def check_labels(name: str, labels: Tensor, images: Tensor, categories: int | None = None) -> None:
    """Refuse what is not one category for each image, numbered from 0 to below `categories`."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(
            f"{name} must be a tensor of whole numbers, torch.int64, got {got}; convert with "
            "torch.as_tensor(labels).long()"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{name} must be one whole number per image, ({len(images)},); got "
            f"{tuple(labels.shape)}"
        )
    low, high = (int(x) for x in labels.aminmax()) if len(labels) else (0, 0)
    if low < 0 or (categories is not None and high >= categories):
        allowed = "0 or more" if categories is None else f"from 0 to {categories - 1}"
        raise ValueError(f"{name} must be categories, {allowed}; got {low} to {high}")
