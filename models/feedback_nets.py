"""The networks of the studies on feedback: how they are made, and the rates they learnt."""

from importlib.resources import as_file, files
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.models.gattanet import load_shipped
from neurodyn.models.presnet import presnet18
from neurodyn.models.pshallow import pshallow
from neurodyn.rates import Rates
from neurodyn.rates import with_rates as with_rates
from neurodyn.stimuli.fashion import fashion_mnist

Network = Literal["pshallow", "presnet18", "presnet18-full"]
Pictures = Literal["digits", "fashion"]
WIDTHS = {"presnet18": 16, "presnet18-full": 64}
START = (0.33, 0.33, 0.0)
"""beta, lambda and alpha from which rates are trained, as published."""
RATES = "feedback-rates.nc"


def feedback_net(
    network: Network, data: Pictures, *, pretrained: bool = False, seed: int = 0, **options: Any
) -> nd.PredictiveCoding:
    """Return a predictive-coding network for ten categories of grey images of 32 x 32 pixels.

    Parameters
    ----------
    network : {"pshallow", "presnet18", "presnet18-full"}
        The shallow network; a ResNet18 with 16 channels in its first stage; with the published 64.
    data : {"digits", "fashion"}
        What pretrained weights were trained on, see `pictures`.
    pretrained : bool
        Load the weights that ship with the package, from ``neurodyn train feedback``. Rates are
        apart: see `shipped_rates` and `set_rates`.
    seed : int
        Of untrained weights; of pretrained ones which: 0, 1 or 2.
    options
        Of `pshallow` or `presnet18`, e.g. ``update="sequential"``. Rates are by default those from
        which training begins, one for each layer: .33, .33 and an error rate of 0.

    Returns
    -------
    PredictiveCoding
        In evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If there is no such network, or no such weights ship.

    Examples
    --------
    >>> model = feedback_net("pshallow", "digits")
    >>> model.taps.names
    ['layer1', 'layer2', 'layer3']
    """
    check_names(network, data)
    feedforward, feedback, error = START
    settings: dict[str, Any] = {
        "feedforward": feedforward, "feedback": feedback, "error": error, "seed": seed,
        "channels": 1, "shared": False, **options,
    }  # fmt: skip
    if network == "pshallow":
        model = pshallow(10, **settings)
    else:
        model = presnet18(10, width=WIDTHS[network], **settings)
    if pretrained:
        load_shipped(model, stem(network, data, seed))
    return model


def stem(network: str, data: str, seed: int) -> str:
    """Return the name of a file of weights, without its ending."""
    return f"feedback-{network}-{data}-{seed}"


def check_names(network: str, data: str) -> None:
    """Refuse networks and images that are not known."""
    for what, name, known in (("network", network, Network), ("data", data, Pictures)):
        if name not in get_args(known):
            raise ValueError(f"{what} {name!r} is not one of {', '.join(get_args(known))}")


def pictures(
    data: Pictures, split: Literal["train", "test"] = "train", n: int | None = None
) -> tuple[Float[Tensor, "sample 1 y x"], Int[Tensor, " sample"]]:
    """Return grey images of 32 x 32 pixels, from 0 to 1, and what they show.

    Parameters
    ----------
    data : {"digits", "fashion"}
        The shipped digits (8,000 and 2,000), or Fashion-MNIST where it is installed (60,000 and
        10,000), padded from 28 pixels with zeros.
    split : {"train", "test"}
        Training and test images.
    n : int, optional
        The first n, 1 or more; or all there are.

    Raises
    ------
    ValueError
        If there are no such images, or n is not a whole number from 1 up.
    FileNotFoundError
        If Fashion-MNIST is not installed.

    Examples
    --------
    >>> images, labels = pictures("digits", "test", 3)
    >>> images.shape, labels
    (torch.Size([3, 1, 32, 32]), tensor([7, 6, 6]))
    """
    check_names("pshallow", data)
    if n is not None and (isinstance(n, bool) or not isinstance(n, Integral) or n < 1):
        raise ValueError(f"n = {n!r} must be a whole number of images, 1 or more, or None for all")
    if data == "digits":
        images, labels = nd.stimuli.digits(split=split)
        return images[:n], labels[:n]
    items = fashion_mnist(split)
    grey = torch.tensor(items.images[:n, None], dtype=torch.float32) / 255
    return nn.functional.pad(grey, (2, 2, 2, 2)), torch.tensor(items.labels[:n])


def set_rates(model: nd.PredictiveCoding, rate: xr.DataArray) -> nd.PredictiveCoding:
    """Return the same network with other rates, fixed ones.

    Parameters
    ----------
    model : PredictiveCoding
        It is left as it is; weights are shared with it, not copied.
    rate : DataArray
        (term, layer), with the terms feedforward, feedback and error, as of `rates_of`; other
        terms, and the layers of other networks, are not looked at.

    Raises
    ------
    ValueError
        If a rate is missing, or rates are out of range.

    Examples
    --------
    >>> from neurodyn.feedback_ablation import rates_of
    >>> model = feedback_net("pshallow", "digits")
    >>> rate = rates_of(model)
    >>> rate.loc["feedback", "layer1"] = 0.5
    >>> rates_of(set_rates(model, rate)).sel(term="feedback").values
    array([0.5 , 0.33,  nan])
    """
    names, terms = list(model.taps.names), ["feedforward", "feedback", "error"]
    if set(rate.dims) != {"term", "layer"}:
        raise ValueError(f"rates have axes {', '.join(map(str, rate.dims))}, not term and layer")
    missing = sorted((set(names) - set(rate.layer.values)) | (set(terms) - set(rate.term.values)))
    if missing:
        raise ValueError(f"rates of {', '.join(missing)} are missing")
    values = rate.sel(term=terms, layer=names).transpose("term", "layer").values.copy()
    values[1, -1] = 0.0  # nothing above the last layer
    if np.isnan(values).any():
        raise ValueError(f"rates of this network are missing (NaN): {values.tolist()}")
    beta, lam, alpha = values.tolist()
    return with_rates(model, Rates(beta, lam, alpha, len(names)))


def shipped_rates() -> xr.Dataset:
    """Return the rates that networks learnt for each type and level of noise.

    Returns
    -------
    Dataset
        "rate" (network, data, seed, noise_type, noise, term, layer), see `train_feedback`, of ten
        training seeds; the weights of the first three ship.

    Raises
    ------
    FileNotFoundError
        If none ship with this package.
    """
    place = files("neurodyn.models").joinpath(RATES)
    if not place.is_file():
        raise FileNotFoundError(
            f"no {RATES} ships with this package; `neurodyn train feedback` makes rates.nc"
        )
    with as_file(place) as path:
        found = nd.load(path)
    assert isinstance(found, xr.Dataset)
    return found
