"""GAttANet: convolutional networks with one global query; and their twins without."""

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from neurodyn.agreement import GlobalAttention
from neurodyn.models.pc_shallow import initialise
from neurodyn.models.resnet import resnet18, resnet50
from neurodyn.models.weights import load_weights

WIDTHS = {"toy": (32, 64, 128, 256), "small": (8, 16, 32, 64)}
"""Channels of the three convolutions and units of the first dense layer."""
TAPS = {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3", "dense4": "relu4", "dense5": "dense5"}
RESNETS = {"resnet18": (resnet18, 100), "resnet50": (resnet50, 1000)}
SIZES = (*WIDTHS, *RESNETS)
Size = Literal["toy", "small", "resnet18", "resnet50"]


def gattanet(
    size: Size = "toy",
    *,
    classes: int | None = None,
    channels: int = 3,
    image_size: int | None = None,
    dim: int = 16,
    gain: float | Sequence[float] = 0.1,
    agreement: Literal["tanh", "raw", "cosine"] = "tanh",
    state: Literal["maps", "query"] = "maps",
    weights: str | Path | None = None,
    pretrained: Literal["euler", "rk4"] | bool = False,
    seed: int = 0,
) -> GlobalAttention:
    r"""Global attention on the toy network, a smaller one of its form, or a ResNet.

    .. math:: \tau \frac{da_l}{dt} = -a_l + A_l(a), \qquad u_l = f_l(u_{l-1}) (1 + \alpha_l a_l)

    See `neurodyn.agreement.GlobalAttention` for the symbols.

    ==========  ====================================  =============  ==========  =================
    size        layers with agreement                 images         parameters  + for agreement
    ==========  ====================================  =============  ==========  =================
    toy         3 convolutions, 2 dense               3 x 32 x 32    2,193,226   15,685
    small       the same                              3 x 32 x 32    137,818     4,165
    resnet18    8 blocks, the linear layer            3 x 224 x 224  11,227,812  64,649
    resnet50    16 blocks, the linear layer           3 x 224 x 224  25,557,032  515,345
    ==========  ====================================  =============  ==========  =================

    for 10, 10, 100 and 1000 classes.

    *Provenance*: GAttANet-style, reconstructed. From captions and figures: three convolutions and
    two dense layers, maps of 32, 16 and 8, 256 and 10 units, d = 16. From the abstract: up to
    ResNet50. Second-hand: ResNet18. Reconstructed: the toy's 32, 64 and 128 channels, 3x3 kernels
    and max-pools, which ResNet layers have agreement (every block and the output), d for ResNets,
    and what `GlobalAttention` lists. "small" is this library's own, a quarter of the widths, for
    the weights that ship with it. No published accuracy is claimed.

    Parameters
    ----------
    size : {"toy", "small", "resnet18", "resnet50"}
        The network.
    classes : int, optional
        10; of resnet18 100, of resnet50 1000, or as many as `weights` have.
    channels : int
        Of the images.
    image_size : int, optional
        Pixels of a side: 32; of ResNets 224. A multiple of 4 for the toy's form. ResNets for
        images of less than 64 pixels have a 3x3 stem and no max-pool.
    dim, gain, agreement, state
        As of `GlobalAttention`.
    weights : path, optional
        Of a ResNet alone, without agreement: a file with torchvision's names.
    pretrained : {False, "euler", "rk4"}
        Load weights that ship with the package, of "small", trained with that solver; True is
        "euler", the published iteration.
    seed : int
        Of untrained weights; of pretrained ones which.

    Returns
    -------
    GlobalAttention
        In evaluation mode, on the CPU.

    References
    ----------
    VanRullen & Alamia (2021), arXiv:2104.05575.

    Examples
    --------
    >>> import neurodyn as nd
    >>> model = gattanet("small")
    >>> [v.name for v in model.variables]
    ['conv1', 'conv2', 'conv3', 'dense4', 'dense5']
    >>> run = nd.integrate(model, torch.rand(2, 3, 32, 32), [0.0, 1.0], method="euler")
    >>> [tuple(a.shape[2:]) for a in run.states]
    [(32, 32), (16, 16), (8, 8), (64,), (10,)]
    """
    if size not in SIZES:
        raise ValueError(f"size {size!r} is not one of {', '.join(SIZES)}")
    if size == "toy" or size == "small":
        if weights is not None:
            raise ValueError("weights are of a ResNet; the others have pretrained=")
        classes = 10 if classes is None else classes
        image_size = 32 if image_size is None else image_size
        network: nn.Module = plain(
            size, classes=classes, channels=channels, image_size=image_size, seed=seed
        )
        taps = TAPS
    else:
        make, usual = RESNETS[size]
        classes = usual if classes is None else classes
        image_size = 224 if image_size is None else image_size
        made = make(classes, weights, channels=channels, small_input=image_size < 64, seed=seed)
        network, taps = made, {name: name for name in [*made.blocks(), "fc"]}
    model = GlobalAttention(
        network.eval(), taps, dim, gain=gain, agreement=agreement, state=state,
        seed=seed + 1000,  # not the numbers that the network is made of
        example=torch.zeros(1, channels, image_size, image_size, device="cpu"),
    ).eval()  # fmt: skip
    if pretrained:
        if (agreement, state) != ("tanh", "maps"):
            raise ValueError(
                "pretrained weights were trained with agreement='tanh' and state='maps', not with "
                f"{agreement!r} and {state!r}"
            )
        if pretrained not in (True, "euler", "rk4"):
            raise ValueError(f"pretrained={pretrained!r} is not one of False, 'euler', 'rk4'")
        kind = "gattanet-rk4" if pretrained == "rk4" else "gattanet"
        load_shipped(model, shipped(kind, seed, size))
    return model


def plain(
    size: Literal["toy", "small"] = "toy",
    *,
    widths: Sequence[int] | None = None,
    classes: int = 10,
    channels: int = 3,
    image_size: int = 32,
    pool: type[nn.Module] = nn.MaxPool2d,
    pretrained: bool = False,
    seed: int = 0,
) -> nn.Sequential:
    """Return the toy network, or the small one of its form, without agreement.

    Three 3x3 convolutions with rectifiers, a 2x2 max-pool after each of the first two, a dense
    layer with a rectifier and one without: conv1, relu1, pool1, ..., conv3, relu3, flatten,
    dense4, relu4, dense5.

    Parameters
    ----------
    size : {"toy", "small"}
        Channels 32, 64, 128 and 256 units, or a quarter of these.
    widths : sequence of four int, optional
        Other channels and units.
    classes, channels, image_size : int
        Of the output and of the images, whose side is a multiple of 4.
    pool : type
        ``nn.MaxPool2d``, or another that takes a size.
    pretrained : bool
        Load weights that ship with the package, of "small".
    seed : int
        Of untrained weights; of pretrained ones which.

    Examples
    --------
    >>> sum(p.numel() for p in plain("toy").parameters())
    2193226
    """
    if size not in WIDTHS:
        raise ValueError(f"size {size!r} is not one of {', '.join(WIDTHS)}")
    w1, w2, w3, w4 = four(WIDTHS[size] if widths is None else widths)
    if classes < 1 or channels < 1:
        raise ValueError(f"classes = {classes} and channels = {channels} must be 1 or more")
    if image_size < 4 or image_size % 4:
        raise ValueError(f"image_size = {image_size} must be a multiple of 4, for two max-pools")
    with torch.device("meta"):
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(channels, w1, 3, padding=1), relu1=nn.ReLU(), pool1=pool(2),
            conv2=nn.Conv2d(w1, w2, 3, padding=1), relu2=nn.ReLU(), pool2=pool(2),
            conv3=nn.Conv2d(w2, w3, 3, padding=1), relu3=nn.ReLU(), flatten=nn.Flatten(),
            dense4=nn.Linear(w3 * (image_size // 4) ** 2, w4), relu4=nn.ReLU(),
            dense5=nn.Linear(w4, classes),
        )  # fmt: skip
        network = nn.Sequential(parts)
    network.to_empty(device="cpu")
    initialise(network, torch.Generator().manual_seed(seed))
    if pretrained:
        load_shipped(network, shipped("cnn", seed, size))
    return network.eval()


def matched_cnn(
    size: Literal["toy", "small"] = "toy",
    *,
    classes: int = 10,
    channels: int = 3,
    image_size: int = 32,
    dim: int = 16,
    pretrained: bool = False,
    seed: int = 0,
) -> nn.Sequential:
    """Return a plain network with as many parameters as `gattanet` of that size, nearly.

    All widths are scaled by one factor, each rounded up or down so that the number is nearest.

    Parameters
    ----------
    size, classes, channels, image_size, dim
        Of the network to be matched.
    pretrained : bool
        Load weights that ship with the package, of "small".
    seed : int
        Of untrained weights; of pretrained ones which.

    Examples
    --------
    >>> count(matched_widths("toy")) - (2_193_226 + 15_685)
    1276
    """
    widths = matched_widths(
        size, classes=classes, channels=channels, image_size=image_size, dim=dim
    )
    network = plain(
        size, widths=widths, classes=classes, channels=channels, image_size=image_size, seed=seed
    )
    if pretrained:
        load_shipped(network, shipped("matched", seed, size))
    return network


def matched_widths(
    size: Literal["toy", "small"] = "toy", *, classes: int = 10, channels: int = 3,
    image_size: int = 32, dim: int = 16,
) -> tuple[int, ...]:  # fmt: skip
    """Return the widths of `matched_cnn`."""
    if size not in WIDTHS:
        raise ValueError(f"size {size!r} is not one of {', '.join(WIDTHS)}")
    widths, about = WIDTHS[size], (classes, channels, image_size)
    target = count(widths, *about) + 2 * dim * (sum(widths) + classes) + len(TAPS)
    low, high = 1.0, 2.0
    while count([high * w for w in widths], *about) < target:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        below = count([middle * w for w in widths], *about) < target
        low, high = (middle, high) if below else (low, middle)
    rounded = [(math.floor(low * w), math.ceil(low * w)) for w in widths]
    return min(itertools.product(*rounded), key=lambda w: abs(count(w, *about) - target))


def count(
    widths: Sequence[float], classes: int = 10, channels: int = 3, image_size: int = 32
) -> float:
    """Return the number of parameters of `plain`, whose widths may be fractions here."""
    w1, w2, w3, w4 = widths
    maps = 9 * (channels * w1 + w1 * w2 + w2 * w3) + w1 + w2 + w3
    return maps + (w3 * (image_size // 4) ** 2 + 1) * w4 + (w4 + 1) * classes


def four(widths: Sequence[int]) -> tuple[int, ...]:
    """Return four widths, checked."""
    if len(widths) != 4 or any(w < 1 for w in widths):
        raise ValueError(
            f"widths {tuple(widths)} must be four numbers from 1 on: three convolutions' channels "
            "and the units of a dense layer"
        )
    return tuple(widths)


def shipped(kind: str, seed: int, size: str) -> str:
    """Return the name of weights that ship: of the size "small" only."""
    if size != "small":
        raise ValueError(f"weights ship for size='small' only, not {size!r}")
    return f"gattanet-{kind}-{seed}"


def load_shipped(model: nn.Module, stem: str) -> None:
    """Load ``<stem>.safetensors``, half precision, from this package."""
    place = files("neurodyn.models").joinpath(f"{stem}.safetensors")
    if not place.is_file():
        of = stem.split("-")[0] + "-"
        names = (p.name for p in files("neurodyn.models").iterdir())
        known = sorted(name for name in names if name.startswith(of))
        raise ValueError(
            f"no weights {place.name} ship with this package; there are "
            f"{', '.join(known) or 'none'}"
        )
    halves: dict[str, Tensor] = safetensors.torch.load(place.read_bytes())
    load_weights(model, {name: value.float() for name, value in halves.items()}, place.name)
