"""Whether noisy representations move towards the clean ones."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.discretisation import Run, states_of
from neurodyn.analysis.item_correlation import row_correlation
from neurodyn.analysis.pooled_ratio import pooled_ratio

REFERENCES = "Choksi et al. (2021), Predify, arXiv:2106.02749"


def correlation_distance(
    a: Float[np.ndarray, "... unit"], b: Float[np.ndarray, "... unit"]
) -> Float[np.ndarray, "..."]:
    """Return 1 minus Pearson's correlation over units: 0 alike, 1 unrelated, 2 opposite.

    NaN where one is constant, or has fewer than three units.

    Examples
    --------
    >>> correlation_distance(np.array([[0.0, 1, 2], [2, 1, 0]]), np.array([1.0, 3, 5])).round(6)
    array([0., 2.])
    """
    return 1 - row_correlation(a, b)


def clean_distance(
    noisy: Run,
    clean: Run,
    *,
    quantity: str | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return how far noisy representations are from clean ones over time, layer by layer.

    .. math::

        d_{\ell i}(t) = 1 - \mathrm{corr}_u \left( r^\text{noisy}_{\ell i u}(t),
            r^\text{clean}_{\ell i u}(t) \right), \qquad
        D_\ell(t) = \frac{\sum_i d_{\ell i}(t)}{\sum_i d_{\ell i}(t_0)}

    over units u and images i. Below 1 the representation is nearer to that of the clean image, at
    the same time, than it was after the feed-forward pass.

    Strong feedback smooths both, and smooth maps are more alike whatever they show: compare with
    the distance to a clean run of other images (its samples permuted) before calling it denoising.

    *Published*: one minus Pearson's correlation of each layer at the same time step, divided by
    the value at t = 0 (read from the code). *Reconstructed here*: the ratio is of means over
    images.

    Parameters
    ----------
    noisy, clean : DataTree or Dataset
        Two runs of one model, as `neurodyn.simulate` returns them: the same images with and
        without noise, the same times.
    quantity : str, optional
        Of layers that have several.
    level, resamples, seed
        As in `accuracy`.

    Returns
    -------
    Dataset
        ``distance`` (layer, sample, time), from 0 to 2; ``relative_distance`` (layer, time), the
        ratio D, with ``relative_distance_ci`` (..., ci_bound), over images.

    Raises
    ------
    ValueError
        For runs with other layers, samples or times.

    References
    ----------
    Choksi et al. (2021), Predify, arXiv:2106.02749.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> clean = np.broadcast_to(draw.normal(size=(4, 50)), (2, 4, 50))
    >>> noise = draw.normal(size=(4, 50)) * np.array([1.0, 0.5])[:, None, None]
    >>> run = [
    ...     xr.Dataset({"a": (("time", "sample", "unit"), x)}, {"time": [0, 1]})
    ...     for x in (clean + noise, clean)
    ... ]
    >>> bool(clean_distance(*run).relative_distance.values[0, 1] < 0.7)
    True
    """
    states, others = states_of(noisy, quantity), states_of(clean, quantity)
    if list(states) != list(others):
        raise ValueError(
            f"the runs have the layers {', '.join(states)} and {', '.join(others)}; record the same"
        )
    apart = []
    for name, state in states.items():
        other = others[name]
        if state.sizes != other.sizes or not np.array_equal(state.time, other.time):
            raise ValueError(
                f"{name!r} of the noisy run is {dict(state.sizes)}, of the clean one "
                f"{dict(other.sizes)}: give the same images and times"
            )
        flat = [x.values.reshape(*x.shape[:2], -1) for x in (state, other)]
        apart.append(correlation_distance(*flat).T)
    like = next(iter(states.values()))
    coords = {name: like.coords[name] for name in ("time", "sample") if name in like.coords}
    distance = xr.DataArray(
        np.stack(apart),
        dims=("layer", "sample", "time"),
        coords={"layer": list(states), **coords},
        attrs={
            "long_name": "correlation distance from the clean representation",
            "units": "1",
            "references": REFERENCES,
        },
    )
    first = distance.isel(time=0, drop=True)
    found = pooled_ratio(
        distance, first, "relative_distance", "distance from the clean representation over that at "
        "the first time", level=level, resamples=resamples, seed=seed,
    )  # fmt: skip
    return found.assign(distance=distance)
