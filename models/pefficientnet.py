"""EfficientNet-B0 and EfficientNet-Lite0 with predictive coding."""

from pathlib import Path
from typing import Any

import neurodyn as nd
from neurodyn.models.efficientnet import efficientnet_b0
from neurodyn.models.efficientnet_lite import efficientnet_lite0
from neurodyn.models.pc_networks import Rate, coded


def pefficientnet_b0(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    image_size: int = 224,
    feedforward: Rate = 0.3,
    feedback: Rate = 0.3,
    error: Rate = 0.01,
    shared: bool = False,
    seed: int = 0,
    **options: Any,
) -> nd.PredictiveCoding:
    """EfficientNet-B0 with eight layers that predict each other.

    ==========  =============  ===========================
    state       shape at 224   decoder, to the state below
    ==========  =============  ===========================
    features.0  32, 112, 112   bilinear x2, conv 3x3
    features.1  16, 112, 112   conv 3x3
    features.2  24, 56, 56     bilinear x2, conv 3x3
    features.3  40, 28, 28     bilinear x2, conv 3x3
    features.4  80, 14, 14     bilinear x2, conv 3x3
    features.5  112, 14, 14    conv 3x3
    features.6  192, 7, 7      bilinear x2, conv 3x3
    features.7  320, 7, 7      conv 3x3
    ==========  =============  ===========================

    The first state is the stem after its rectifier, the others are the outputs of stages, which
    have none. The decoders are `neurodyn.decoders.Decoder`, linear, 874,003 parameters; 5,288,548
    in EfficientNet-B0.

    *Read from the authors' code*: taps, decoders (there transposed convolutions of stride 1, which
    are convolutions with the kernel turned) and the default rates. Their experiments set .33, .33,
    .01 or .8, .1, .01 for all layers, and train rates of each layer on their own.

    Parameters
    ----------
    classes, weights, channels, feedforward, feedback, error, shared, seed, options
        As of `pvgg16`, but for maps in channels-last memory; weights are those of
        `efficientnet_b0`.
    image_size : int
        Sides of the images. Where a stage does not halve a size exactly, the decoder resizes to it.

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
    Choksi et al. (2021), Predify, arXiv:2106.02749; Alamia et al. (2021), arXiv:2106.04225.

    Examples
    --------
    >>> model = pefficientnet_b0(10, image_size=32)
    >>> [variable.name for variable in model.variables][:3]
    ['features.0', 'features.1', 'features.2']
    """
    return coded(
        efficientnet_b0(classes, weights, channels=channels, seed=seed),
        [f"features.{n}" for n in range(8)],
        None,
        (feedforward, feedback, error), shared, (channels, image_size), seed, options,
    )  # fmt: skip


def pefficientnet_lite0(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    pretrained: bool = False,
    channels: int = 3,
    image_size: int = 224,
    feedforward: Rate = 0.3,
    feedback: Rate = 0.3,
    error: Rate = 0.01,
    shared: bool = False,
    seed: int = 0,
    **options: Any,
) -> nd.PredictiveCoding:
    """EfficientNet-Lite0 with eight layers that predict each other.

    The states are ``bn1``, which is the stem after its rectifier, and ``blocks.0`` to ``blocks.6``.
    Shapes and decoders are those of `pefficientnet_b0`; 874,003 parameters in the decoders,
    4,652,008 in EfficientNet-Lite0.

    *Reconstructed*: the authors have no such network. It is `pefficientnet_b0` on the relative of
    that backbone whose trained weights can be installed.

    Parameters
    ----------
    classes, weights, channels, image_size, feedforward, feedback, error, shared, seed, options
        As of `pefficientnet_b0`; weights are those of `efficientnet_lite0`.
    pretrained : bool
        Load ImageNet's weights into the backbone, see `lite0_weights`. The decoders are untrained:
        see `neurodyn.models.train_decoders.train_decoders`.

    Returns
    -------
    PredictiveCoding
        In evaluation mode, on the CPU. At t = 0 its output is the backbone's.

    Raises
    ------
    ValueError
        If weights do not fit, or rates are out of range.
    ImportError
        If the package with the pretrained weights is missing.

    References
    ----------
    Choksi et al. (2021), Predify, arXiv:2106.02749.

    Examples
    --------
    >>> model = pefficientnet_lite0(10, image_size=32)
    >>> [variable.name for variable in model.variables][:3]
    ['bn1', 'blocks.0', 'blocks.1']
    """
    return coded(
        efficientnet_lite0(classes, weights, pretrained=pretrained, channels=channels, seed=seed),
        ["bn1", *(f"blocks.{n}" for n in range(7))],
        None,
        (feedforward, feedback, error), shared, (channels, image_size), seed, options,
    )  # fmt: skip
