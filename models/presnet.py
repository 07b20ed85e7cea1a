"""ResNet18 for small images with predictive coding."""

from pathlib import Path
from typing import Any

import neurodyn as nd
from neurodyn.models.pc_networks import Rate, coded
from neurodyn.models.resnet import resnet18


def presnet18(
    classes: int = 100,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    image_size: int = 32,
    width: int = 64,
    feedforward: Rate = 0.33,
    feedback: Rate = 0.33,
    error: Rate = 0.01,
    shared: bool = False,
    seed: int = 0,
    **options: Any,
) -> nd.PredictiveCoding:
    """ResNet18 for images of 32 pixels, with five layers that predict each other.

    ==============  ===========  ===========================
    state           shape at 32  decoder, to the state below
    ==============  ===========  ===========================
    conv1           64, 32, 32   conv 3x3
    layer1.1.conv2  64, 32, 32   conv 3x3
    layer2.1.conv2  128, 16, 16  bilinear x2, conv 3x3
    layer3.1.conv2  256, 8, 8    bilinear x2, conv 3x3
    layer4.1.conv2  512, 4, 4    bilinear x2, conv 3x3
    ==============  ===========  ===========================

    The states are what convolutions return, before the norm, before the skip is added and before
    the rectifier; the skip goes around the state, and carries the first block's activity. The stem
    is 3x3 with stride 1, without a max-pool. The decoders are `neurodyn.decoders.Decoder`, linear,
    1,587,395 parameters; 11,220,132 in this ResNet18 with 100 classes.

    *Read from the authors' code*: stem, taps, decoders and the default rates. Where they trained
    rates, each layer had its own, and they began at .33, .33 and an error rate of 0.

    Parameters
    ----------
    classes, weights, channels, width, feedforward, feedback, error, shared, seed, options
        As of `pvgg16`, but for maps in channels-last memory; weights are those of `resnet18`.
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
    Alamia, Mozafari, Choksi & VanRullen (2021), arXiv:2106.04225.

    Examples
    --------
    >>> import torch, neurodyn as nd
    >>> model = presnet18(10, channels=1, image_size=28, width=8)
    >>> run = nd.integrate(model, torch.rand(2, 1, 28, 28), [0.0, 1.0], gradient="none")
    >>> [tuple(state.shape[2:]) for state in run.states]
    [(8, 28, 28), (8, 28, 28), (16, 14, 14), (32, 7, 7), (64, 4, 4)]
    """
    return coded(
        resnet18(classes, weights, channels=channels, small_input=True, width=width, seed=seed),
        ["conv1", *(f"layer{n}.1.conv2" for n in range(1, 5))],
        None,
        (feedforward, feedback, error), shared, (channels, image_size), seed, options,
    )  # fmt: skip
