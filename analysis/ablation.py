"""What feedback to each layer adds to accuracy, by taking it away."""

from math import factorial

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neurodyn.analysis.accuracy import per_image_accuracy, summarised

REFERENCES = (
    "Shapley (1953), A value for n-person games, in Contributions to the Theory of Games II, "
    "307-317, doi:10.1515/9781400881970-018"
)
NONE = "none"
JOIN = "+"
ABOUT = {
    "effect": "accuracy minus that without feedback to the layer",
    "shapley": "Shapley value of feedback to the layer",
    "total": "accuracy minus that without any feedback",
}


def shapley(
    value: Float[np.ndarray, "subset ..."], member: Bool[np.ndarray, "subset player"]
) -> Float[np.ndarray, "player ..."]:
    r"""Return the Shapley value of each player.

    .. math::

        \phi_i = \sum_{S \not\ni i} \frac{|S|!\, (n - |S| - 1)!}{n!}
            \left[ v(S \cup \{i\}) - v(S) \right], \qquad
        \sum_i \phi_i = v(\{1 \ldots n\}) - v(\emptyset)

    The mean over all orders in which players can join of what a player adds when it does.

    Parameters
    ----------
    value : array
        v, (subset, ...), of all :math:`2^n` subsets in any order.
    member : array
        (subset, player): who is in it.

    Returns
    -------
    array
        (player, ...).

    References
    ----------
    Shapley (1953), A value for n-person games.

    Examples
    --------
    A pair of gloves is worth 1, a single one nothing:

    >>> member = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    >>> shapley(np.array([0.0, 0.0, 0.0, 1.0]), member)
    array([0.5, 0.5])
    """
    players = member.shape[1]
    size = member.sum(1)
    if len(member) != 2**players or len(np.unique(member, axis=0)) != 2**players:
        raise ValueError(
            f"Shapley values of {players} players need each of their {2**players} subsets once, "
            f"got {len(member)}"
        )
    others = size[:, None] - member
    orders = np.array([factorial(k) * factorial(players - k - 1) for k in range(players)])
    weight = np.where(member, 1, -1) * orders[others] / factorial(players)
    return np.tensordot(weight.T, value, axes=1)


def ablation(
    correct: xr.DataArray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> xr.Dataset:
    r"""Return what feedback to each layer adds to accuracy.

    .. math:: \Delta_\ell = A(\text{all}) - A(\text{all but } \ell)

    and the Shapley value of each layer (`shapley`), with the accuracy A of the network whose
    feedback reaches some layers as the value of that set. If two layers can stand in for each other
    neither effect shows it, but the Shapley values do; they sum to the total effect of feedback.

    Parameters
    ----------
    correct : DataArray
        (ablated, ...): ``ablated`` has the labels of `neurodyn.feedback_ablation.ablations`: the
        layers whose feedback was cut, "none", "layer1", "layer1+layer2". Either True where an
        answer was right, with ``sample`` (and perhaps ``seed``, over which is averaged, as in
        `accuracy`); or accuracies, without ``sample``. "none" and each layer alone are needed, all
        subsets for Shapley values and the total.
    level, resamples, seed
        As in `accuracy`: the interval is over images, paired.

    Returns
    -------
    Dataset
        ``effect`` and, given all subsets, ``shapley`` (layer, ...) and ``total`` (...), in
        differences of accuracy; with ``sample`` also ``..._ci`` (..., ci_bound). Where the freed
        weight went in the runs is for the runs to say: see `neurodyn.feedback_ablation.ablated`.

    Raises
    ------
    ValueError
        For labels that are missing, and sets of layers that come twice.

    References
    ----------
    Shapley (1953), A value for n-person games.

    Examples
    --------
    >>> labels = ["none", "a", "b", "a+b"]
    >>> accuracy = xr.DataArray([0.9, 0.8, 0.7, 0.5], dims="ablated", coords={"ablated": labels})
    >>> found = ablation(accuracy)
    >>> found.effect.values.round(3), found.shapley.values.round(3), round(float(found.total), 3)
    (array([0.1, 0.2]), array([0.15, 0.25]), 0.4)
    """
    if "ablated" not in correct.coords or correct.coords["ablated"].dims != ("ablated",):
        raise ValueError("correct needs the dimension 'ablated' with labels, as 'none', 'layer1'")
    sampled = "sample" in correct.dims
    values = per_image_accuracy(correct) if sampled else correct.astype(float)
    cut = {str(label): parsed(str(label)) for label in values.ablated.values}
    layers = list(dict.fromkeys(name for names in cut.values() for name in names))
    if not layers:
        raise ValueError(f"ablated has no layer that was cut, only {', '.join(cut)}")
    by_set = {frozenset(names): label for label, names in cut.items()}
    if len(by_set) < values.sizes["ablated"]:
        raise ValueError(
            f"ablated has a set of layers twice: {', '.join(map(str, values.ablated.values))}; "
            f"keep one of each ('a{JOIN}b' is 'b{JOIN}a')"
        )
    if missing := [n for n in (NONE, *layers) if frozenset(parsed(n)) not in by_set]:
        raise ValueError(f"ablated lacks {', '.join(missing)}; it has {', '.join(cut)}")
    full = values.sel(ablated=by_set[frozenset()], drop=True)
    single = [values.sel(ablated=by_set[frozenset([name])], drop=True) for name in layers]
    found = {"effect": full - xr.concat(single, xr.IndexVariable("layer", layers))}
    if len(by_set) == 2 ** len(layers):
        member = np.array([[name not in names for name in layers] for names in by_set])
        labels = list(by_set.values())
        found["shapley"] = xr.apply_ufunc(
            lambda v: np.moveaxis(shapley(np.moveaxis(v, -1, 0), member), 0, -1),
            values.sel(ablated=labels),
            input_core_dims=[["ablated"]],
            output_core_dims=[["layer"]],
        ).assign_coords(layer=layers)
        found["total"] = full - values.sel(ablated=by_set[frozenset(layers)], drop=True)
    parts = []
    for name, array in found.items():
        array = array.transpose("layer", ...) if "layer" in array.dims else array
        if sampled:
            array = array.transpose(..., "sample")
            parts.append(summarised(array, name, ABOUT[name], level, resamples, seed))
        else:
            parts.append(array.to_dataset(name=name))
    result = xr.merge(parts, combine_attrs="override")
    for name in found:
        result[name].attrs = {"long_name": ABOUT[name], "units": "1", "references": REFERENCES}
    return result


def parsed(label: str) -> tuple[str, ...]:
    """Return the layers that a label names."""
    return () if label == NONE else tuple(label.split(JOIN))
