"""ResNets with self-attention after one of their stages."""

from pathlib import Path
from typing import Any, Literal

from torch import nn

from neurodyn.attention import FeatureAttention, SpatialAttention
from neurodyn.models.resnet import ResNet, resnet18, resnet50
from neurodyn.models.weights import check_sizes
from neurodyn.recurrent_attention import Attended

Kind = Literal["spatial", "feature"]
STAGES = {"spatial": 2, "feature": 4}
"""After which stage each kind stands, unless told otherwise."""
ATTENTION_SEED = 1000
"""Added to a seed for the attention: not the numbers that the network is made of."""


def attention_resnet18(
    classes: int = 2,
    weights: str | Path | None = None,
    *,
    attention: Kind = "spatial",
    stage: int | None = None,
    heads: int = 1,
    feedforward: bool = False,
    dropout: float = 0.1,
    channels: int = 1,
    image_size: int = 128,
    small_input: bool = False,
    width: int = 64,
    seed: int = 0,
) -> Attended:
    """ResNet18 with self-attention between positions or between channels of one stage's maps.

    =========  =====  ===========  ======================  ==========================
    attention  stage  maps at 128  tokens                  parameters of attention
    =========  =====  ===========  ======================  ==========================
    spatial    2      128, 16, 16  256 positions, of 128   66,304
    feature    4      512, 4, 4    512 channels, of 16     1,120
    =========  =====  ===========  ======================  ==========================

    For attention over time, hand the parts to `neurodyn.RecurrentAttention`; without attention,
    `resnet18` of the same seed is the same network. GAttANet on it is `neurodyn.GlobalAttention`,
    see below.

    *Provenance*: ResNets with either attention are of arXiv:2108.03603, whose body was not read:
    its layers and heads are not known. The stages were read in the first author's code for a later
    project, for ResNet50: spatial attention after the second stage, or after the third between
    3x3 convolutions that halve the channels; feature-based attention after the last, with one head.
    The rest is reconstructed.

    Parameters
    ----------
    classes : int
        Of the output.
    weights : path, optional
        Of the ResNet alone, with torchvision's names, see `resnet18`.
    attention : {"spatial", "feature"}
        See `SpatialAttention` and `FeatureAttention` in `neurodyn.attention`, and the latter's
        warning on the mean that follows the last stage.
    stage : int, optional
        After which one attention stands, from 1 to 4; 2 for spatial, 4 for feature-based attention.
    heads, feedforward, dropout
        Of the block, see `neurodyn.attention.EncoderBlock`.
    channels, image_size : int
        Of the images; a token of feature-based attention is as long as a map has positions.
    small_input, width, seed
        As of `resnet18`.

    Returns
    -------
    Attended
        In evaluation mode, on the CPU; its parts are ``backbone``, a `ResNet`, and ``attention``.

    Raises
    ------
    ValueError
        If there is no such attention or stage, the heads do not divide a token, or weights do not
        fit.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), Understanding the computational
    demands underlying visual reasoning, arXiv:2108.03603.

    Examples
    --------
    >>> import torch, neurodyn as nd
    >>> network = attention_resnet18(attention="feature", stage=3, width=8)
    >>> images = torch.rand(2, 1, 128, 128)
    >>> network(images).shape, network.attention.encoding.shape
    (torch.Size([2, 2]), torch.Size([32, 64]))

    Over time, and global attention on the same network:

    >>> from neurodyn.recurrent_attention import RecurrentAttention
    >>> local = RecurrentAttention(network.backbone, network.tap, network.attention)
    >>> everywhere = nd.GlobalAttention(network.backbone, [*network.backbone.blocks(), "fc"])
    >>> for model in (local, everywhere):
    ...     nd.integrate(model, images, [0.0, 2.0], method="euler").readout.shape
    torch.Size([2, 2, 2])
    torch.Size([2, 2, 2])
    """
    network = resnet18(
        classes, weights, channels=channels, small_input=small_input, width=width, seed=seed
    )
    return with_attention(
        network, attention, stage, image_size, seed, heads=heads, feedforward=feedforward,
        dropout=dropout,
    )  # fmt: skip


def attention_resnet50(
    classes: int = 2,
    weights: str | Path | None = None,
    *,
    attention: Kind = "spatial",
    stage: int | None = None,
    heads: int = 1,
    feedforward: bool = False,
    dropout: float = 0.1,
    channels: int = 1,
    image_size: int = 128,
    small_input: bool = False,
    width: int = 64,
    seed: int = 0,
) -> Attended:
    """ResNet50 with self-attention between positions or between channels of one stage's maps.

    =========  =====  ===========  ========================  =======================
    attention  stage  maps at 128  tokens                    parameters of attention
    =========  =====  ===========  ========================  =======================
    spatial    2      512, 16, 16  256 positions, of 512     1,051,648
    spatial    3      1024, 8, 8   64 positions, of 512      10,488,832
    feature    4      2048, 4, 4   2048 channels, of 16      1,120
    =========  =====  ===========  ========================  =======================

    After the third stage, spatial attention stands between two 3x3 convolutions, to half the
    channels and back.

    *Provenance*: as of `attention_resnet18`; these placements are those that were read.

    Parameters
    ----------
    classes, weights, attention, stage, heads, feedforward, dropout
        As of `attention_resnet18`.
    channels, image_size, small_input, width, seed
        The same.

    Returns
    -------
    Attended
        In evaluation mode, on the CPU; its parts are ``backbone``, a `ResNet`, and ``attention``.

    Raises
    ------
    ValueError
        As `attention_resnet18` does.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603.

    Examples
    --------
    >>> network = attention_resnet50(stage=3, width=8)
    >>> network.tap, network.attention.squeeze
    ('layer3', Conv2d(128, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False))
    """
    network = resnet50(
        classes, weights, channels=channels, small_input=small_input, width=width, seed=seed
    )
    inner = {"inner": 8 * width} if (attention, stage) == ("spatial", 3) else {}
    return with_attention(
        network, attention, stage, image_size, seed, heads=heads, feedforward=feedforward,
        dropout=dropout, **inner,
    )  # fmt: skip


def with_attention(
    network: ResNet, attention: Kind, stage: int | None, image_size: int, seed: int, **block: Any
) -> Attended:
    """Return a ResNet with attention after a stage, made for the maps there."""
    if attention not in STAGES:
        raise ValueError(f"attention {attention!r} is not one of {', '.join(STAGES)}")
    stage = STAGES[attention] if stage is None else stage
    if isinstance(stage, bool) or stage not in (1, 2, 3, 4):
        raise ValueError(f"stage = {stage!r} is not one of 1, 2, 3, 4")
    check_sizes(image_size=image_size)
    maps = network.fc.in_features // 2 ** (4 - stage)
    block["seed"] = seed + ATTENTION_SEED
    if attention == "spatial":
        return Attended(network, f"layer{stage}", SpatialAttention(maps, **block)).eval()
    halvings = stage - 1 if isinstance(network.maxpool, nn.Identity) else stage + 1
    side = -(-image_size // 2**halvings)  # every stride rounds up
    return Attended(network, f"layer{stage}", FeatureAttention(maps, side**2, **block)).eval()
