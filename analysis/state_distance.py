"""How far apart, and how alike, two states of a network are; of phases only differences count."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from neurodyn.analysis.item_correlation import row_correlation

Layers = Sequence[Float[np.ndarray, "... _"]]


def common_shift(a: Layers, b: Layers) -> Float[np.ndarray, "..."]:
    r"""Return the shift of all phases together that takes b closest to a.

    .. math:: \psi = \arg \frac{1}{L} \sum_l \frac{1}{n_l} \sum_{j \in l} e^{i(a_j - b_j)}

    Layers have equal weight, whatever their number of units.

    Parameters
    ----------
    a, b : sequence of array
        For each layer phases in radians, the units along the last axis.

    Returns
    -------
    array
        Radians, in (-pi, pi]; 0 where there is no layer.

    Examples
    --------
    >>> phases = [np.array([0.0, 1.0, 2.0]), np.array([0.5])]
    >>> round(float(common_shift([phase + 0.3 for phase in phases], phases)), 6)
    0.3
    """
    means = [np.exp(1j * (x - y)).mean(-1) for x, y in zip(a, b, strict=True)]
    return np.angle(np.mean(means, axis=0)) if means else np.zeros(())


def distances(a: Layers, b: Layers, cyclic: Sequence[bool]) -> Float[np.ndarray, "layer ..."]:
    r"""Return how far apart two states are, in each layer: root mean square over units.

    .. math:: d_l = \sqrt{\frac{1}{n_l} \sum_{j \in l} |a_j - b_j|^2}

    Between phases the difference is taken around the circle, after the `common_shift` of all
    phases of all layers.

    Parameters
    ----------
    a, b : sequence of array
        For each layer a state, the units along the last axis.
    cyclic : sequence of bool
        Which layers are phases, in radians.

    Examples
    --------
    >>> distances([np.array([0.1, 3.1])], [np.array([0.0, -3.2])], [True]).round(3)
    array([0.042])
    """
    shift = turned(a, b, cyclic)
    apart = []
    for x, y, turns in zip(a, b, cyclic, strict=True):
        gap = np.angle(np.exp(1j * (x - y - shift[..., None]))) if turns else x - y
        apart.append(np.sqrt(np.square(gap).mean(-1, dtype=float)))
    return np.stack(apart)


def similarities(a: Layers, b: Layers, cyclic: Sequence[bool]) -> Float[np.ndarray, "layer ..."]:
    r"""Return how alike two states are, in each layer: 1 if the same, -1 if opposite.

    .. math:: s_l = \frac{1}{n_l} \sum_{j \in l} \cos(a_j - b_j - \psi)

    for phases, with the `common_shift` :math:`\psi` of all layers; for other states Pearson's
    correlation over units, NaN where one is constant or has fewer than three.

    Parameters
    ----------
    a, b, cyclic
        As in `distances`.

    Examples
    --------
    >>> a, b = np.array([0.0, 0.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, -2.0])
    >>> similarities([a], [b], [False])
    array([-1.])
    """
    shift = turned(a, b, cyclic)
    return np.stack([
        np.cos(x - y - shift[..., None]).mean(-1, dtype=float) if turns else row_correlation(x, y)
        for x, y, turns in zip(a, b, cyclic, strict=True)
    ])  # fmt: skip


def turned(a: Layers, b: Layers, cyclic: Sequence[bool]) -> Float[np.ndarray, "..."]:
    """Return the common shift of those layers that are phases."""
    both = [[x for x, turns in zip(y, cyclic, strict=True) if turns] for y in (a, b)]
    return common_shift(*both)
