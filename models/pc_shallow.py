"""A shallow predictive-coding network for handwritten digits."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

import safetensors.torch
import torch
from torch import nn

import neurodyn as nd

WEIGHTS = "pc_shallow.safetensors"


def pc_shallow(
    pretrained: bool = False,
    *,
    feedforward: float | Sequence[float] = 1 / 3,
    feedback: float | Sequence[float] = 1 / 3,
    error: float | Sequence[float] = 0.01,
    update: Literal["simultaneous", "sequential"] = "simultaneous",
    trainable: bool = False,
    seed: int = 0,
) -> nd.PredictiveCoding:
    r"""Three convolutional layers that predict each other, for digits of 32 x 32 pixels.

    .. math::
        \frac{de_n}{dt} = \beta (f_n(e_{n-1}) - e_n) + \lambda (g_{n+1}(e_{n+1}) - e_n)
                          - \frac{2 \alpha}{\sqrt{C_n}} J_{g_n}^T (g_n(e_n) - e_{n-1})

    with the image :math:`e_0`, the encoders :math:`f_n` and the decoders :math:`g_n`; the top
    layer has no feedback. See `neurodyn.PredictiveCoding` for the symbols. Time is in published
    steps; the states are activities without a unit.

    ========  ============  ==================================  =============================
    state     shape         encoder f                           decoder g, to the state below
    ========  ============  ==================================  =============================
    layer1    12, 32, 32    conv 5x5, ReLU                      conv 5x5 transposed
    layer2    18, 16, 16    max-pool 2, conv 5x5, ReLU          bilinear x2, conv 5x5 transp.
    layer3    24, 8, 8      max-pool 2, conv 5x5, ReLU          bilinear x2, conv 5x5 transp.
    (head)    10            pool 2, 384 -> 120 (ReLU) -> 10
    ========  ============  ==================================  =============================

    All convolutions pad by 2; the decoders are linear. 80,495 parameters: 16,554 in the encoders,
    47,410 in the head, 16,531 in the decoders.

    *Published*: the three layers, their channels and kernels, the head, the decoders, equal
    thirds of drive, feedback and memory with an error weight of .01 to start from, and training
    in two stages (classification first, then the decoders by reconstruction with the rest frozen).
    *Reconstructed here*: the paper's images are CIFAR-10, 32 x 32 in colour; this one has a single
    grey channel and its weights are trained on MNIST digits padded to that size, with Adam in
    place of momentum. The states are the ReLU outputs, where the authors' own script has them
    before the ReLU.

    Parameters
    ----------
    pretrained : bool
        Load the weights that ship with the package, from ``neurodyn train predify``.
    feedforward, feedback, error : float or sequence of three floats
        The weights beta, lambda and alpha, per published step, for all layers or one for each.
        What beta and lambda leave of 1 is the memory of one published step. The default is the
        published start of the shallow net, equal thirds and .01: it favours no term, it is far
        from the limit of stability of the step of 1, and the gain under noise shows; the .8, .1,
        .01 of the deep networks' experiments leaves little to feedback.
    update : {"simultaneous", "sequential"}
        The ODE, or the published order within a step (with ``method="euler"`` and a step of 1).
    trainable : bool
        Make the three weights parameters.
    seed : int
        What untrained weights are drawn from; torch's global random state is left alone.

    Returns
    -------
    PredictiveCoding
        In eval mode, on the CPU. Images of shape (sample, 1, 32, 32), grey values from 0 to 1 as
        `neurodyn.stimuli.digits` gives them, become logits of shape (sample, 10).

    References
    ----------
    Alamia, Mozafari, Choksi & VanRullen (2021), On the role of feedback in visual processing: a
    predictive coding perspective, arXiv:2106.04225. The dynamics: Choksi et al. (2021), Predify,
    NeurIPS, arXiv:2106.02749.

    Examples
    --------
    >>> import torch, neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> model = pc_shallow(pretrained=True)
    >>> images, labels = nd.stimuli.digits(split="test", n=16)
    >>> solution = nd.integrate(model, images, torch.linspace(0, 5, 6), gradient="none")
    >>> [tuple(layer.shape) for layer in solution.states]
    [(6, 16, 12, 32, 32), (6, 16, 18, 16, 16), (6, 16, 24, 8, 8)]
    >>> bool((solution.readout[-1].argmax(-1) == labels).float().mean() > 0.9)
    True
    """
    if not isinstance(pretrained, bool):
        raise ValueError(
            f"pretrained={pretrained!r}: pc_shallow has one set of weights, trained on digits; "
            "give True for it or False for untrained weights from `seed`"
        )
    with torch.device("meta"):
        parts = nn.ModuleDict({"backbone": encoder(), "decoders": decoders()})
    parts.to_empty(device="cpu")
    if pretrained:
        weights = files("neurodyn.models").joinpath(WEIGHTS).read_bytes()
        parts.load_state_dict(safetensors.torch.load(weights))
    else:
        initialise(parts, torch.Generator().manual_seed(seed))
    return nd.PredictiveCoding(
        parts["backbone"],
        ["layer1", "layer2", "layer3"],
        list(parts["decoders"].children()),
        feedforward=feedforward,
        feedback=feedback,
        error=error,
        update=update,
        trainable=trainable,
        example=torch.zeros(1, 1, 32, 32, device="cpu"),
    ).eval()


def encoder(channels: int = 1, classes: int = 10) -> nn.Sequential:
    """Return the feed-forward network, images (sample, channel, 32, 32) to logits."""
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        layer1=nn.Sequential(nn.Conv2d(channels, 12, 5, padding=2), nn.ReLU()),
        layer2=nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(12, 18, 5, padding=2), nn.ReLU()),
        layer3=nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(18, 24, 5, padding=2), nn.ReLU()),
        head=nn.Sequential(
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(384, 120), nn.ReLU(), nn.Linear(120, classes)
        ),
    )
    return nn.Sequential(stages)


def decoders(channels: int = 1) -> nn.ModuleList:
    """Return the decoders: each predicts the state below from one layer, the first the image."""

    def upsampled(below: int, above: int) -> nn.Sequential:
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        return nn.Sequential(up, nn.ConvTranspose2d(above, below, 5, padding=2))

    return nn.ModuleList(
        [nn.ConvTranspose2d(12, channels, 5, padding=2), upsampled(12, 18), upsampled(18, 24)]
    )


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw weights and biases as torch does, U(-b, b) with b = fan_in^(-1/2), from a generator."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters(recurse=False):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


def initialise_rectified(network: nn.Module, share: float, generator: torch.Generator) -> None:
    r"""Draw weights for rectifiers: normal with variance 2 / fan-in, from a generator.

    Biases are 0, those of the last layer the log odds :math:`\log(s / (1 - s))` of a category that
    is shown in a share s of the images. With the smaller weights of `initialise` narrow layers fall
    silent as training begins, or wait long.

    References
    ----------
    He, Zhang, Ren & Sun (2015), Delving deep into rectifiers, arXiv:1502.01852.
    """
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, generator=generator)
        nn.init.constant_(layer.get_parameter("bias"), 0.0)
    nn.init.constant_(layers[-1].get_parameter("bias"), math.log(share / (1 - share)))
