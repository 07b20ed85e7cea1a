"""Images as networks trained on ImageNet expect them."""

from collections.abc import Sequence
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of red, green and blue: for weights from torchvision."""
TENSORFLOW = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""The same for weights from TensorFlow, EfficientNet-Lite0's among them."""


def centre_crop(
    images: Tensor | Sequence[Tensor], size: int = 224, share: float = 0.875
) -> Float[Tensor, "sample channel y x"]:
    """Return the middle of images, resized.

    The shorter side becomes size / share pixels, bicubic and without aliasing, and the square in
    the middle is kept: by default 256 and 224 pixels, as EfficientNet-Lite0's weights were
    evaluated.

    Parameters
    ----------
    images : Tensor or sequence of Tensor
        (sample, channel, y, x), or a list of (channel, y, x) of any sizes; values from 0 to 1, or
        bytes.
    size : int
        Sides of what is returned.
    share : float
        Of the shorter side that is kept, above 0 and at most 1.

    Returns
    -------
    Tensor
        Values from 0 to 1: what to add noise to and to attack, before `standardise`.

    Raises
    ------
    ValueError
        For a size or a share that is out of range, no images, images with other than three axes,
        and values outside 0 to 1.
    TypeError
        For images that are neither floating point nor bytes.

    Examples
    --------
    >>> pictures = [torch.rand(3, 300, 400), torch.rand(3, 500, 333)]
    >>> centre_crop(pictures).shape
    torch.Size([2, 3, 224, 224])
    """
    whole = isinstance(size, Integral) and not isinstance(size, bool)
    if not whole or size < 1 or not 0 < share <= 1:
        raise ValueError(
            f"size = {size!r}, a whole number, must be 1 or more, share = {share!r} above 0 and at "
            "most 1"
        )
    if len(images) == 0:
        raise ValueError("there are no images to crop; give one or more")
    cropped: list[Tensor] = []
    for image in images:
        if image.ndim != 3 or 0 in image.shape:
            raise ValueError(
                f"an image must have the axes (channel, y, x), got shape {tuple(image.shape)}; a "
                "single one is a list of one"
            )
        values = image.float() / 255 if image.dtype == torch.uint8 else image
        check_values(values)
        scale = round(size / share) / min(values.shape[1:])
        height, width = (max(size, round(side * scale)) for side in values.shape[1:])
        large = interpolate(values[None], (height, width), mode="bicubic", antialias=True)[0]
        top, left = (height - size) // 2, (width - size) // 2
        cropped.append(large[:, top : top + size, left : left + size].clamp(0, 1))
    return torch.stack(cropped)


def standardise(
    images: Float[Tensor, "sample channel y x"],
    mean: Sequence[float] = TENSORFLOW[0],
    std: Sequence[float] = TENSORFLOW[1],
) -> Float[Tensor, "sample channel y x"]:
    r"""Return what a network is given.

    .. math:: x' = (x - m) / s

    Parameters
    ----------
    images : Tensor
        Values from 0 to 1.
    mean, std : sequence of float
        One for each channel: `TENSORFLOW`, the default and EfficientNet-Lite0's, or `TORCHVISION`.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ValueError
        If the images have another number of channels, for values outside 0 to 1, and for standard
        deviations that are not above 0.
    TypeError
        For images that are not floating point.

    Examples
    --------
    >>> standardise(torch.ones(1, 3, 2, 2)).unique(), standardise(torch.zeros(1, 3, 2, 2)).unique()
    (tensor([1.]), tensor([-1.]))
    """
    check_values(images)
    if not all(0 < value < float("inf") for value in std):
        raise ValueError(f"standard deviations must be above 0, got std = {tuple(std)}")
    m, s = (images.new_tensor(values)[:, None, None] for values in (mean, std))
    if not images.shape[-3] == len(m) == len(s):
        raise ValueError(
            f"{images.shape[-3]} channels, {len(m)} means and {len(s)} standard deviations: give "
            "one for each channel"
        )
    return (images - m) / s


def check_values(images: Tensor) -> None:
    """Refuse images that are not floating point from 0 to 1."""
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point, from 0 to 1, got {images.dtype}; turn grey values "
            "from 0 to 255 into images.float() / 255"
        )
    low, high = map(float, images.detach().aminmax()) if images.numel() else (0.0, 1.0)
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"images must lie from 0 to 1, got {low:.4g} to {high:.4g}; divide grey values by 255, "
            "clip noise to 0 and 1, and standardise once, last"
        )
