"""Noise of cameras: Gaussian, Poisson, salt and pepper, and Gaussian in proportion to the value.

All is drawn from 2 ** 16 equally likely quantiles: probabilities are multiples of 2 ** -16.
"""

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt
from scipy import stats
from torch import Tensor

from neurodyn.stimuli.corrupt_filters import Image

LEVELS = 256  # grey values of a file
DRAWS = 1 << 16


def draws(rng: np.random.Generator, shape: tuple[int, ...]) -> UInt[np.ndarray, "..."]:
    """Draw whole numbers from 0 up to 2 ** 16, all equally likely."""
    n = math.prod(shape)
    raw: np.ndarray = rng.bit_generator.random_raw(-(-n // 4))
    return raw.view(np.uint16)[:n].reshape(shape)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
    """Draw from the normal distribution: from 2 ** 16 of its quantiles, all equally likely."""
    return torch.from_numpy(normal_table().take(draws(rng, shape)))


@lru_cache(maxsize=1)
def normal_table() -> Float[np.ndarray, " draw"]:
    """Return the means of the normal distribution between neighbouring quantiles."""
    edges = stats.norm.pdf(stats.norm.ppf(np.arange(DRAWS + 1) / DRAWS))
    table = DRAWS * (edges[:-1] - edges[1:])
    return (table / table.std()).astype(np.float32)


def gaussian_noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Add independent Gaussian noise to every value."""
    return normal(rng, tuple(image.shape)).mul_(sigma).add_(image)


def speckle_noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Add Gaussian noise in proportion to the value."""
    return normal(rng, tuple(image.shape)).mul_(sigma).add_(1).mul_(image)


def impulse_noise(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Replace a share of all values, half of them by black and half by white."""
    drawn = torch.from_numpy(draws(rng, tuple(image.shape)).view(np.int16)).float().add_(0.5)
    # of numbers from -2 ** 15 to 2 ** 15 the most extreme stay: added, they clip to black and white
    return F.hardshrink(drawn, DRAWS // 2 - round(share * DRAWS / 2)).add_(image)


def shot_noise(image: Image, photons: int, rng: np.random.Generator) -> Image:
    """Draw from the Poisson distribution whose mean is the value times a number of photons.

    The image is rounded to 256 grey values first, as in a file.
    """
    level = image.mul(LEVELS - 1).round_().to(torch.int32).mul_(DRAWS).numpy()
    counts = poisson_table(photons).take(level + draws(rng, tuple(image.shape)))
    return torch.from_numpy(counts.astype(np.float32)).mul_(1 / photons)


@lru_cache(maxsize=2)
def poisson_table(photons: int) -> UInt[np.ndarray, " draw"]:
    """Return the quantiles of the Poisson distributions of all grey values, up to white."""
    counts = np.arange(photons + 1)
    kind = np.min_scalar_type(photons)
    table = np.empty((LEVELS, DRAWS), kind)
    for level, row in enumerate(table):
        cumulative = stats.poisson.cdf(counts[:-1], photons * level / (LEVELS - 1))
        edges = np.rint(DRAWS * cumulative).astype(int)
        row[:] = np.repeat(counts.astype(kind), np.diff(edges, prepend=0, append=DRAWS))
    return table.ravel()
