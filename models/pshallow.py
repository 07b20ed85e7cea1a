"""The published shallow network with predictive coding."""

from pathlib import Path
from typing import Any

import torch

import neurodyn as nd
from neurodyn.models.pc_networks import Rate, coded
from neurodyn.models.pc_shallow import decoders, encoder, initialise
from neurodyn.models.weights import check_sizes, filled


def pshallow(
    classes: int = 10,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    rectified: bool = False,
    feedforward: Rate = 1 / 3,
    feedback: Rate = 1 / 3,
    error: Rate = 0.01,
    shared: bool = True,
    seed: int = 0,
    **options: Any,
) -> nd.PredictiveCoding:
    r"""Three convolutional layers that predict each other, for images of 32 x 32 pixels.

    Encoders, decoders and head are those in the table of `pc_shallow`, which is this network for
    grey digits with weights; with three channels it has 17,154 parameters in the encoders, 17,133
    in the decoders and 47,410 in the head.

    *Read from the authors' code*: all layers, the rates, which all layers share, and that the
    states are what convolutions return, before the rectifier. *Otherwise here*: their error scales
    are :math:`2/\sqrt{C}` with C = 75, 300 and 450, the last two of them divided by 4 by mistake;
    by default they are measured here, with the enlargement in it (``error_scale="effective"``).

    Parameters
    ----------
    classes, weights, channels, feedforward, feedback, error, shared, seed, options
        As of `pvgg16`, but for maps in channels-last memory and rates that are shared by default;
        weights are a state dict of this backbone.
    rectified : bool
        Let the states be what rectifiers return, as in `pc_shallow` and in the deep VGG16.

    Returns
    -------
    PredictiveCoding
        In evaluation mode, on the CPU. At t = 0 its output is the backbone's.

    Raises
    ------
    ValueError
        If weights do not fit, or rates are out of range.

    References
    ----------
    Alamia, Mozafari, Choksi & VanRullen (2021), arXiv:2106.04225.

    Examples
    --------
    >>> model = pshallow(channels=1)
    >>> [tuple(v.dims) for v in model.variables][0], model.taps.modules
    (('channel', 'y', 'x'), ['layer1.0', 'layer2.1', 'layer3.1'])
    """
    check_sizes(classes=classes, channels=channels)
    with torch.device("meta"):
        network, decoding = encoder(channels, classes), decoders(channels)
    layers = ["layer1", "layer2", "layer3"]
    published = dict(zip(layers, ["layer1.0", "layer2.1", "layer3.1"], strict=True))
    return coded(
        filled(network, weights, seed, initialise),
        layers if rectified else published,
        decoding,
        (feedforward, feedback, error), shared, (channels, 32), seed, options,
    )  # fmt: skip
