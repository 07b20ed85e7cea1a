"""Predictive coding without the feedback to some layers, and its rates as labelled data."""

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import torch
import xarray as xr

from neurodyn.predictive_coding import PREDIFY, PredictiveCoding
from neurodyn.rates import Rates, with_rates

NONE = "none"
JOIN = "+"
Freed = Literal["memory", "feedforward", "renormalised"]


def rates_of(model: PredictiveCoding) -> xr.DataArray:
    r"""Return the rates of every layer: beta, lambda, what is left as memory, and alpha.

    Parameters
    ----------
    model : PredictiveCoding
        With fixed or trained rates.

    Returns
    -------
    DataArray
        (term, layer), term = feedforward, feedback, memory, error; per published step. The
        feedback to the last layer is NaN: there is no such pathway (0 is one that is not used).
        Memory is :math:`1 - \beta - \lambda`. The error's rate has another unit than the rest: it
        multiplies a gradient.

    Examples
    --------
    >>> from neurodyn.models import pc_shallow
    >>> rates_of(pc_shallow(feedforward=0.5, feedback=0.3)).sel(layer="layer1").values.round(3)
    array([0.5 , 0.3 , 0.2 , 0.01])
    """
    with torch.no_grad():
        beta, lam, alpha = (np.array([float(x) for x in rate]) for rate in model.rates())
    memory = 1 - beta - lam
    lam[-1] = np.nan
    return xr.DataArray(
        np.stack([beta, lam, memory, alpha]),
        dims=("term", "layer"),
        coords={
            "term": ["feedforward", "feedback", "memory", "error"],
            "layer": list(model.taps.names),
        },
        name="rate",
        attrs={"long_name": "rate", "units": "per published step", "references": PREDIFY},
    )


def ablations(model: PredictiveCoding) -> dict[str, tuple[str, ...]]:
    """Return every set of layers whose feedback can be cut, by its label.

    Of L layers the last has no feedback: :math:`2^{L-1}` sets, from "none" to all of them.

    Returns
    -------
    dict
        Label on the axis ``ablated`` to names of layers: "none", "layer1", "layer2",
        "layer1+layer2", ...

    Examples
    --------
    >>> from neurodyn.models import pc_shallow
    >>> list(ablations(pc_shallow()))
    ['none', 'layer1', 'layer2', 'layer1+layer2']
    """
    names: Sequence[str] = model.taps.names[:-1]
    if bad := [name for name in names if JOIN in name or name == NONE]:
        raise ValueError(f"layers called {', '.join(bad)} cannot be told apart in labels; rename")
    sets = (chosen for size in range(len(names) + 1) for chosen in combinations(names, size))
    return {JOIN.join(chosen) or NONE: chosen for chosen in sets}


def ablated(
    model: PredictiveCoding, layers: Collection[str], *, freed: Freed = "memory"
) -> PredictiveCoding:
    r"""Return the same network without the feedback to some of its layers.

    Parameters
    ----------
    model : PredictiveCoding
        It is left as it is; weights are shared with it, not copied. Rates become fixed.
    layers : collection of str
        Names of layers, none of them the last.
    freed : {"memory", "feedforward", "renormalised"}
        Where the weight :math:`\lambda` goes. "memory": beta stays, the layer has the time
        constant :math:`1 / \beta`, longer than before. "feedforward": beta becomes
        :math:`\beta + \lambda` and the time constant stays, so that only the direction of the
        pull changes. "renormalised": beta and memory share it in proportion,
        :math:`\beta / (1 - \lambda)`.

    Raises
    ------
    ValueError
        For unknown layers or the last one; for "renormalised" where feedback is all there is.

    Examples
    --------
    >>> from neurodyn.models import pc_shallow
    >>> model = pc_shallow(feedforward=0.5, feedback=0.3)
    >>> rates_of(ablated(model, ["layer1"])).sel(term="feedback").values
    array([0. , 0.3, nan])
    """
    names = model.taps.names[:-1]
    if isinstance(layers, str) or (unknown := sorted(set(layers) - set(names))):
        what = repr(layers) if isinstance(layers, str) else ", ".join(unknown)
        raise ValueError(
            f"layers {what}: give a list of layers that receive feedback: {', '.join(names)}"
        )
    if freed not in get_args(Freed):
        raise ValueError(f"freed {freed!r} is not one of {', '.join(get_args(Freed))}")
    with torch.no_grad():
        beta, lam, alpha = ([float(x) for x in rate] for rate in model.rates())
    for n, name in enumerate(names):
        if name not in layers:
            continue
        if freed == "feedforward":
            beta[n] += lam[n]
        elif freed == "renormalised":
            if lam[n] == 1:
                raise ValueError(
                    f"layer {name!r} has feedback alone, so that nothing is left to renormalise; "
                    "use freed='memory' or 'feedforward'"
                )
            beta[n] /= 1 - lam[n]
        lam[n] = 0.0
    return with_rates(model, Rates(beta, lam, alpha, len(beta)))
