"""What each term of the dynamics contributes to movement, and to the answer."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.pooled_ratio import divided, pooled_ratio


def contribution_shares(terms: Float[np.ndarray, "term ... unit"]) -> Float[np.ndarray, "term ..."]:
    r"""Return the share of each term in the movement they make together.

    .. math::

        \dot r = \sum_k T_k, \qquad
        s_k = \frac{\langle T_k, \dot r \rangle}{\langle \dot r, \dot r \rangle}, \qquad
        \sum_k s_k = 1

    A share below 0 is a term that acts against the movement, one above 1 a term that others hold
    back. NaN where nothing moves.

    Parameters
    ----------
    terms : array
        (term, ..., unit).

    Examples
    --------
    >>> contribution_shares(np.array([[3.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]))
    array([ 1.5, -0.5,  0. ])
    """
    moved = terms.sum(0)
    projection = np.einsum("k...u,...u->k...", terms, moved)
    return divided(projection, projection.sum(0))


def gradient_size(
    gradient: Float[np.ndarray, "... unit"], pathway: Float[np.ndarray, "... unit"]
) -> Float[np.ndarray, "..."]:
    r"""Return how much an answer depends on a pathway, unit by unit, to first order.

    .. math:: G = \sum_u \left| \frac{\partial z}{\partial p_u}\, p_u \right|

    Parameters
    ----------
    gradient, pathway : array
        (..., unit): the gradient of the answer with respect to the pathway, and the pathway.

    Examples
    --------
    >>> float(gradient_size(np.array([1.0, -1.0]), np.array([2.0, 2.0])))
    4.0
    """
    return np.abs(gradient * pathway).sum(-1)


def contributions(
    projection: xr.DataArray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> xr.Dataset:
    r"""Return the share of each term in the movement of each layer, with an interval over images.

    .. math:: s_k = \frac{\sum_i \langle T_k, \dot r \rangle_i}{\sum_i |\dot r|^2_i}

    Shares over all terms sum to 1 (`contribution_shares`). Images count by how much they move.
    Near a fixed point next to nothing is shared out: look at the speed too.

    Parameters
    ----------
    projection : DataArray
        (term, sample, ...): of each term on the derivative, over the units of a layer, as
        `neurodyn.feedback_terms.record_terms` returns it. All terms, so that they sum to the
        derivative. With its ``pulls=True`` shares are between the pulls from below, from above and
        of the error; otherwise the leak is a term of its own, and cancels most of what comes in.
    level, resamples, seed
        As in `accuracy`.

    Returns
    -------
    Dataset
        ``share`` (term, ...) and ``share_ci`` (..., ci_bound).

    Examples
    --------
    >>> projection = xr.DataArray([[3.0, 1.0], [-1.0, 1.0]], dims=("term", "sample"))
    >>> contributions(projection).share.values
    array([1., 0.])
    """
    needed(projection, "term", "sample")
    return pooled_ratio(
        projection, projection.sum("term", skipna=False), "share",
        "share of the term in the movement",
        level=level, resamples=resamples, seed=seed,
    )  # fmt: skip


def gradient_reliance(
    size: xr.DataArray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> xr.Dataset:
    r"""Return how much an answer depends on feedback, by its gradient.

    .. math::

        \rho_\ell = \frac{G_{\text{fb}, \ell}}{G_{\text{ff}, \ell} + G_{\text{fb}, \ell}}, \qquad
        w_\ell = \frac{G_{\text{fb}, \ell}}{\sum_m G_{\text{fb}, m}}

    with the sizes G of gradient times pathway (`gradient_size`), summed over images.

    Parameters
    ----------
    size : DataArray
        (term, layer, sample, ...), term = feedforward, feedback and perhaps others: "size" of
        `neurodyn.feedback_gradient.pathway_gradients`. NaN for pathways that are not there.
    level, resamples, seed
        As in `accuracy`.

    Returns
    -------
    Dataset
        ``reliance`` :math:`\rho` (layer, ...): of what reaches the layer, how much comes by
        feedback. ``layer_share`` :math:`w` (layer, ...): of all feedback, how much reaches this
        layer. Both with ``..._ci``; NaN for a layer without feedback, at t = 0, and where a size is
        NaN though the pathway is there: a pathway that is not is NaN for all samples and times.

    Examples
    --------
    >>> size = xr.DataArray([[[3.0], [1.0]], [[1.0], [np.nan]]], dims=("term", "layer", "sample"))
    >>> found = gradient_reliance(size.assign_coords(term=["feedforward", "feedback"]))
    >>> found.reliance.values, found.layer_share.values
    (array([0.25,  nan]), array([ 1., nan]))
    """
    needed(size, "term", "layer", "sample")
    forward, back = (size.sel(term=term, drop=True) for term in ("feedforward", "feedback"))
    how = {"level": level, "resamples": resamples, "seed": seed}
    parts = [
        pooled_ratio(back, absent_as_zero(forward) + back, "reliance",
                     "reliance on feedback, by gradient", **how),  # type: ignore[arg-type]
        pooled_ratio(back, absent_as_zero(back).sum("layer", skipna=False), "layer_share",
                     "share of the layer in all feedback, by gradient",
                     **how),  # type: ignore[arg-type]
    ]  # fmt: skip
    return xr.merge(parts, combine_attrs="override")


def absent_as_zero(size: xr.DataArray) -> xr.DataArray:
    """Return 0 for pathways that are not there: NaN for all samples and times."""
    within = [dim for dim in ("sample", "time") if dim in size.dims]
    return size.where(~size.isnull().all(within), 0.0)


def needed(array: xr.DataArray, *dims: str) -> None:
    """Refuse an array without these dimensions, or with nothing along one of them."""
    if missing := [dim for dim in dims if dim not in array.dims]:
        raise ValueError(
            f"{array.name or 'the array'} needs the dimensions {', '.join(dims)}; it has "
            f"{', '.join(map(str, array.dims))}, not {', '.join(missing)}"
        )
    if empty := [dim for dim in dims if array.sizes[dim] == 0]:
        raise ValueError(
            f"{array.name or 'the array'} has nothing along {', '.join(empty)}; one or more are "
            f"needed along {', '.join(dims)}"
        )
