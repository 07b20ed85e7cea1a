"""VGG16 with predictive coding."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

import neurodyn as nd
from neurodyn.models.pc_networks import Rate, coded
from neurodyn.models.vgg import vgg16


def pvgg16(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    image_size: int = 224,
    width: int = 64,
    feedforward: Rate = (0.2, 0.4, 0.4, 0.5, 0.6),
    feedback: Rate = (0.05, 0.1, 0.1, 0.1, 0.0),
    error: Rate = 0.01,
    shared: bool = False,
    seed: int = 0,
    **options: Any,
) -> nd.PredictiveCoding:
    """VGG16 with five layers that predict each other.

    ===========  =============  ========================================  ==========
    state        shape at 224   decoder, to the state below               parameters
    ===========  =============  ========================================  ==========
    features.3   64, 224, 224   conv 5x5 transposed                            4,803
    features.8   128, 112, 112  conv 10x10 transposed, stride 2, ReLU        819,264
    features.15  256, 56, 56    conv 14x14 transposed, stride 2, ReLU      6,422,656
    features.22  512, 28, 28    conv 14x14 transposed, stride 2, ReLU     25,690,368
    features.29  512, 14, 14    conv 14x14 transposed, stride 2, ReLU     51,380,736
    ===========  =============  ========================================  ==========

    The states are rectified. 84,317,827 parameters in the decoders, 138,357,544 in VGG16.

    *Read from the authors' code*: taps, decoders and the default rates. Their experiments set .8,
    .1 and .01 for all layers. That code takes the gradient of the mean squared error (like
    ``error_scale="mean"``, and over the whole batch), which leaves next to nothing of that term,
    while its settings ask for the effective scale, the default here. *Reconstructed*: the initial
    values of the decoders, torch's own for such layers.

    Parameters
    ----------
    classes, channels : int
        Of the output and of the images.
    weights : path, optional
        Of the backbone, see `vgg16`. Decoders are untrained.
    image_size : int
        Sides of the images, a multiple of 16, from 32 on.
    width : int
        Channels of the first state; 64 in the paper, fewer for a network that runs anywhere.
    feedforward, feedback, error : float or sequence of float
        The rates beta, lambda and alpha per published step, one for all layers or one each.
    shared : bool
        One set of rates for all layers, which must be given as numbers; else each layer has its
        own, also where it begins with the same number. It matters where rates are trained.
    seed : int
        Of untrained weights.
    **options
        Of `neurodyn.PredictiveCoding`: ``update``, ``trainable``, ``error_scale``,
        ``detach_error``, ``layout``, ``fast``. Maps are contiguous by default here, which large
        kernels are faster with.

    Returns
    -------
    PredictiveCoding
        In evaluation mode, on the CPU. At t = 0 its output is the backbone's.

    Raises
    ------
    ValueError
        If weights do not fit, if the size of images does not, or rates are out of range.

    References
    ----------
    Choksi et al. (2021), Predify, arXiv:2106.02749.

    Examples
    --------
    >>> model = pvgg16(10, image_size=32, width=4)
    >>> [v.name for v in model.variables]
    ['features.3', 'features.8', 'features.15', 'features.22', 'features.29']
    """
    multiple_of(16, image_size)
    with torch.device("meta"):
        decoding = vgg_decoders(channels, width)
    return coded(
        vgg16(classes, weights, channels=channels, width=width, seed=seed),
        [f"features.{n}" for n in (3, 8, 15, 22, 29)],
        decoding,
        (feedforward, feedback, error), shared, (channels, image_size), seed,
        {"layout": "contiguous"} | options,
    )  # fmt: skip


def vgg_decoders(channels: int = 3, width: int = 64) -> nn.ModuleList:
    """Return the decoders of `pvgg16`: each predicts the state below, the first the image."""

    def enlarging(above: int, below: int, kernel: int) -> nn.Sequential:
        shape = (above * width, below * width, kernel, 2, kernel // 2 - 1)
        return nn.Sequential(nn.ConvTranspose2d(*shape), nn.ReLU())

    return nn.ModuleList(
        [
            nn.ConvTranspose2d(width, channels, 5, padding=2),
            enlarging(2, 1, 10),
            enlarging(4, 2, 14),
            enlarging(8, 4, 14),
            enlarging(8, 8, 14),
        ]
    )


def multiple_of(factor: int, image_size: int) -> None:
    """Refuse images whose maps would not be halved exactly."""
    if image_size < 2 * factor or image_size % factor:
        raise ValueError(
            f"image_size = {image_size} must be a multiple of {factor}, from {2 * factor} on: the "
            "published decoders double sizes, so that each stage must halve them exactly"
        )
