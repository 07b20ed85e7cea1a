"""ResNet18 and ResNet50, with torchvision's names for the weights."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.models.pc_shallow import initialise
from neurodyn.models.weights import check_sizes, filled, initialise_convolutions


class BasicBlock(nn.Module):
    r"""Two convolutions of 3x3 and a skip.

    .. math:: y = \mathrm{relu}(x' + \mathrm{bn}(W_2 * \mathrm{relu}(\mathrm{bn}(W_1 * x))))

    with :math:`x' = x`, or a 1x1 convolution of it where the shape changes.

    Parameters
    ----------
    inputs, width, stride : int
        Channels below and of the block; the first convolution's stride.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(width), nn.ReLU()
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the block's output, after its last rectifier."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu2(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    r"""A 1x1, a 3x3 and a 1x1 convolution to four times the width, and a skip.

    .. math:: y = \mathrm{relu}(x' + \mathrm{bn}(W_3 * \mathrm{relu}(\mathrm{bn}(W_2 *
              \mathrm{relu}(\mathrm{bn}(W_1 * x))))))

    The stride is the 3x3 convolution's, as in torchvision.

    Parameters
    ----------
    inputs, width, stride : int
        Channels below, of the 3x3 convolution, and its stride.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3, self.relu3 = nn.BatchNorm2d(4 * width), nn.ReLU()
        self.downsample = shortcut(inputs, 4 * width, stride)

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the block's output, after its last rectifier."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu3(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A stem, four stages of residual blocks and a linear layer on the means over positions.

    Every rectifier is a module of its own, called once, so that any of them can be tapped; so is
    every block, whose output is its last rectifier's (`blocks` lists their names).

    Parameters
    ----------
    block : type
        `BasicBlock` or `Bottleneck`.
    depths : tuple of four int
        Blocks in each stage.
    classes, channels : int
        Of the output and of the images.
    small_input : bool
        The form for images of 32 pixels: a stem of 3x3 with stride 1 and no max-pool.
    width : int
        Channels of the stem and of the first stage; each stage has twice those of the one below.

    References
    ----------
    He, Zhang, Ren & Sun (2016), arXiv:1512.03385. Names as in torchvision.
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, int, int, int],
        classes: int, channels: int = 3, small_input: bool = False, width: int = 64,
    ) -> None:  # fmt: skip
        super().__init__()
        size, stride, padding = (3, 1, 1) if small_input else (7, 2, 3)
        self.conv1 = nn.Conv2d(channels, width, size, stride, padding, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(width), nn.ReLU()
        self.maxpool = nn.Identity() if small_input else nn.MaxPool2d(3, 2, padding=1)
        inputs = width
        for n, depth in enumerate(depths):
            parts: list[nn.Module] = []
            for i in range(depth):
                parts.append(block(inputs, width * 2**n, 2 if n > 0 and i == 0 else 1))
                inputs = width * 2**n * block.expansion
            self.add_module(f"layer{n + 1}", nn.Sequential(*parts))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, images: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return the logits (sample, category)."""
        x = self.maxpool(self.relu1(self.bn1(self.conv1(images))))
        for n in range(1, 5):
            x = self.get_submodule(f"layer{n}")(x)
        return self.fc(x.mean((2, 3)))

    def blocks(self) -> list[str]:
        """Return the names of the blocks in the order they are computed."""
        kinds = (BasicBlock, Bottleneck)
        return [name for name, module in self.named_modules() if isinstance(module, kinds)]


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Return the skip where it cannot be the identity: a 1x1 convolution and its norm."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def resnet18(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    small_input: bool = False,
    width: int = 64,
    seed: int = 0,
) -> ResNet:
    """Return ResNet18: two basic blocks in each stage; 11,689,512 parameters for 1000 classes.

    Parameters
    ----------
    classes, channels : int
        Of the output and of the images.
    weights : path, optional
        A state dict with torchvision's names: a file of safetensors, or of ``torch.save``. For
        those of torchvision see `neurodyn.models.imagenet.standardise`.
    small_input : bool
        The form for images of 32 pixels, see `ResNet`.
    width : int
        Channels of the first stage, 64 in the published network.
    seed : int
        Of untrained weights, drawn as torchvision does: convolutions normal with variance 2 /
        (outputs times kernel size), norms the identity, the linear layer uniform.

    Returns
    -------
    ResNet
        In evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If the file's names or shapes are not this network's.

    References
    ----------
    He, Zhang, Ren & Sun (2016), arXiv:1512.03385; the initial values, arXiv:1502.01852.

    Examples
    --------
    >>> network = resnet18(classes=10, small_input=True)
    >>> network(torch.rand(2, 3, 32, 32)).shape, network.blocks()[:3]
    (torch.Size([2, 10]), ['layer1.0', 'layer1.1', 'layer2.0'])
    """
    return built(BasicBlock, (2, 2, 2, 2), classes, channels, small_input, width, weights, seed)


def resnet50(
    classes: int = 1000,
    weights: str | Path | None = None,
    *,
    channels: int = 3,
    small_input: bool = False,
    width: int = 64,
    seed: int = 0,
) -> ResNet:
    """Return ResNet50: 3, 4, 6 and 3 bottlenecks; 25,557,032 parameters for 1000 classes.

    Parameters
    ----------
    classes, weights, channels, small_input, width, seed
        As of `resnet18`.

    Returns
    -------
    ResNet
        In evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If the file's names or shapes are not this network's.

    References
    ----------
    He, Zhang, Ren & Sun (2016), arXiv:1512.03385.

    Examples
    --------
    >>> sum(p.numel() for p in resnet50().parameters())
    25557032
    """
    return built(Bottleneck, (3, 4, 6, 3), classes, channels, small_input, width, weights, seed)


def built(
    block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, int, int, int], classes: int,
    channels: int, small_input: bool, width: int, weights: str | Path | None, seed: int,
) -> ResNet:  # fmt: skip
    """Return a ResNet with weights from a file or from a seed."""
    check_sizes(classes=classes, channels=channels)
    check_sizes(width=width)
    with torch.device("meta"):
        network = ResNet(block, depths, classes, channels, small_input, width)
    return filled(network, weights, seed, draw)


def draw(network: ResNet, generator: torch.Generator) -> None:
    """Draw weights as torchvision does."""
    initialise_convolutions(network, generator)
    initialise(network.fc, generator)
