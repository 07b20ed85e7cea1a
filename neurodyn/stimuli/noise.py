"""Noise on images, the same for the same seed whatever the number of images."""

import math
from numbers import Integral, Real

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def gaussian(
    images: Float[Tensor, "sample ..."], sigma: float, seed: int = 0
) -> Float[Tensor, "sample ..."]:
    r"""Add independent Gaussian noise to every pixel.

    .. math:: x'_{ip} = x_{ip} + \sigma z_{ip}, \qquad z_{ip} \sim N(0, 1)

    The result is *not clipped*: it leaves [0, 1], so that the noise keeps its mean and its
    standard deviation wherever the image is black or white.

    Parameters
    ----------
    images : Tensor
        Shape (sample, ...), floating point.
    sigma : float
        Standard deviation, in the images' own grey values (usually 0 to 1); 0 or more.
    seed : int
        The noise of image i depends on the seed, on i and on the shape of one image only: not on
        how many images there are, and sigma only scales it.

    Returns
    -------
    Tensor
        New images, same shape, dtype and device.

    Examples
    --------
    >>> grey = torch.full((2, 1, 64, 64), 0.5)
    >>> noisy = gaussian(grey, sigma=0.4, seed=3)
    >>> round(float(noisy.std()), 2)
    0.4
    >>> bool((gaussian(grey[:1], sigma=0.4, seed=3) == noisy[:1]).all())
    True
    """
    check_images(images)
    if not isinstance(sigma, Real) or not 0 <= sigma < math.inf:
        raise ValueError(f"sigma must be a finite number from 0 up, got {sigma!r}")
    z = stream("gaussian", seed).standard_normal(tuple(images.shape), dtype=np.float32)
    return images + float(sigma) * torch.from_numpy(z).to(images)


def salt_pepper(
    images: Float[Tensor, "sample ..."], p: float, seed: int = 0
) -> Float[Tensor, "sample ..."]:
    r"""Replace pixels by black or white.

    .. math::
        x'_{ip} = \begin{cases} 0 & u_{ip} < p/2 \\ 1 & u_{ip} \ge 1 - p/2 \\
                                x_{ip} & \text{else} \end{cases}
        \qquad u_{ip} \sim U[0, 1)

    Parameters
    ----------
    images : Tensor
        Shape (sample, ...), floating point, black at 0 and white at 1.
    p : float
        The probability, from 0 to 1, that a pixel is replaced: half of them become 0, half 1.
    seed : int
        As in `gaussian`; with a larger p the same pixels and more are replaced.

    Returns
    -------
    Tensor
        New images, same shape, dtype and device.

    Examples
    --------
    >>> grey = torch.full((2, 1, 256, 256), 0.5)
    >>> noisy = salt_pepper(grey, p=0.2, seed=3)
    >>> [round(float((noisy == value).float().mean()), 2) for value in (0.0, 0.5, 1.0)]
    [0.1, 0.8, 0.1]
    """
    check_images(images)
    if not isinstance(p, Real) or not 0 <= p <= 1:
        raise ValueError(f"p must be a number from 0 to 1, got {p!r}")
    u = torch.from_numpy(stream("salt_pepper", seed).random(tuple(images.shape), dtype=np.float32))
    noisy = images.masked_fill((u < p / 2).to(images.device), 0.0)
    return noisy.masked_fill((u >= 1 - p / 2).to(images.device), 1.0)


def stream(kind: str, seed: int) -> np.random.Generator:
    """Return the random numbers of one kind of noise and one seed, drawn image after image."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, got {seed!r}")
    return np.random.default_rng([*kind.encode(), int(seed)])


def check_images(images: Tensor) -> None:
    """Refuse what noise cannot be added to."""
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim < 2:
        got = (
            f"a tensor of {images.dtype}, shape {tuple(images.shape)}"
            if isinstance(images, Tensor)
            else type(images).__name__
        )
        raise TypeError(
            f"images must be a floating-point tensor (sample, ...), got {got}; "
            "turn grey values from 0 to 255 into images.float() / 255"
        )
