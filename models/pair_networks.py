"""Networks that judge pairs of items: one sees the image, a Siamese twin each item alone."""

from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.models.pc_shallow import initialise_rectified
from neurodyn.models.weights import filled
from neurodyn.stimuli.hexominoes import SHAPE, WINDOW

FILTERS, LAYERS, UNITS, DROPOUT = 4, 6, 128, 0.3
Network = TypeVar("Network", bound="PairCNN")


class Larger(torch.autograd.Function):
    """The larger of two neighbours along y or x; of two that are equal the first, also in gradient.

    Along both it is `torch.nn.MaxPool2d(2, stride=1)`, which on a CPU is far slower at few
    channels: a training step of `pair_cnn` takes two thirds, a test a third of the time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        """Return one less along dim."""
        n = x.shape[dim] - 1
        first, second = x.narrow(dim, 0, n), x.narrow(dim, 1, n)
        ctx.dim = dim
        ctx.save_for_backward(first >= second)
        return torch.maximum(first, second)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Give the gradient to the larger."""
        (grad,), (chosen,), n = grads, ctx.saved_tensors, grads[0].shape[ctx.dim]
        first = grad * chosen
        nothing = torch.zeros_like(grad.narrow(ctx.dim, 0, 1))
        below = torch.cat([first, nothing], ctx.dim)
        below.narrow(ctx.dim, 1, n).add_(grad).sub_(first)
        return below, None


class Pool(nn.Module):
    """The largest of 2x2 with stride 1."""

    def forward(self, x: Float[Tensor, "sample channel y x"]) -> Tensor:
        """Return one less along y and x."""
        return Larger.apply(Larger.apply(x, 3), 2)  # type: ignore[no-any-return]


def convolutions() -> nn.Sequential:
    """Return six times a convolution of four 2x2 filters, a rectifier and a max-pool of 2x2.

    All strides are 1 and nothing is padded: 2 less along y and x each time. The rectifier comes
    after the pool, which changes nothing but the time it takes.
    """
    parts: list[nn.Module] = []
    for k in range(LAYERS):
        parts += [nn.Conv2d(FILTERS if k else 1, FILTERS, 2), Pool(), nn.ReLU()]
    return nn.Sequential(*parts, nn.Flatten())


class Dropout(nn.Module):
    """Dropout that is drawn from a seed and the number of the step, and from nothing else.

    So an interrupted training goes on to the same numbers, and global random state is left alone.

    Parameters
    ----------
    p : float
        Share of the features that are 0 in training; the others are larger by 1 / (1 - p).
    seed : int
        What they are drawn from.
    """

    steps: Tensor

    def __init__(self, p: float, seed: int) -> None:
        super().__init__()
        self.p, self.seed = p, seed
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, some of them 0 in training."""
        if not self.training:
            return x
        entropy = np.random.SeedSequence([self.seed, int(self.steps)])
        self.steps += 1
        draws = torch.Generator(x.device).manual_seed(int(entropy.generate_state(1)[0]))
        kept = torch.rand(x.shape, generator=draws, device=x.device) >= self.p
        return x * kept / (1 - self.p)


class PairCNN(nn.Module):
    r"""Six convolutions of the whole image and a classifier.

    .. math:: z = g(f(x)), \qquad p(\text{label} = 1) = \frac{1}{1 + e^{-z}}

    Parameters
    ----------
    size : (int, int)
        Height and width of the images, 13 or more each.
    seed : int
        Of dropout.
    """

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.features = convolutions()
        self.classifier = nn.Sequential(
            Dropout(DROPOUT, seed), nn.Linear(features(size), UNITS), nn.ReLU(),
            nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 1),
        )  # fmt: skip

    def forward(self, images: Float[Tensor, "sample 1 y x"]) -> Float[Tensor, "sample 2"]:
        """Return the logits 0 and z, whose cross-entropy is the binary one of the sigmoid of z."""
        z = self.classifier(self.compared(images))
        return torch.cat([torch.zeros_like(z), z], 1)

    def compared(self, images: Float[Tensor, "sample 1 y x"]) -> Float[Tensor, "sample feature"]:
        """Return what the classifier sees."""
        return self.features(images)  # type: ignore[no-any-return]


class SiameseTwin(PairCNN):
    r"""The same convolutions of each item alone, and the same classifier of their difference.

    .. math:: z = g(f(x_1) - f(x_2))

    Parameters
    ----------
    size : (int, int)
        Height and width of a window with one item; the images are two windows side by side.
    seed : int
        Of dropout.
    """

    def compared(self, images: Float[Tensor, "sample 1 y x"]) -> Float[Tensor, "sample feature"]:
        """Return the difference of the features."""
        first, second = self.features(torch.cat(images.chunk(2, 3))).chunk(2)
        return first - second  # type: ignore[no-any-return]


def pair_cnn(*, size: tuple[int, int] = SHAPE, seed: int = 0) -> PairCNN:
    """Return a small convolutional network that judges an image of two items.

    Six convolutions of four 2x2 filters, each with a rectifier and a max-pool of 2x2, all with
    stride 1; dropout of .3; two layers of 128 units; one logit. 1,340,137 parameters.

    *Published*: these sizes. *Reconstructed here*: no padding, dropout once, between convolutions
    and classifier, rectifiers between its layers, and weights drawn for rectifiers (variance
    2 / fan-in, biases 0): with those that torch draws four filters pass on next to nothing, and
    training may not begin in the published number of passes. The published number of parameters,
    about 7 million, is not reached by these sizes.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images, 13 or more each.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    PairCNN
        In evaluation mode, on the CPU. Images (sample, 1, y, x), ink 1 and paper 0, become logits
        (sample, 2), the first of them 0.

    References
    ----------
    Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020.

    Examples
    --------
    >>> network = pair_cnn()
    >>> network(torch.rand(3, 1, 50, 80)).shape, sum(p.numel() for p in network.parameters())
    (torch.Size([3, 2]), 1340137)
    """
    return built(PairCNN, size, seed)


def siamese_twin(*, size: tuple[int, int] = (WINDOW, WINDOW), seed: int = 0) -> SiameseTwin:
    """Return the Siamese twin of `pair_cnn`: it compares two items that it sees one by one.

    Of two equal windows the difference of the features is exactly 0, whatever the weights: the
    answer to "same" is one number, the same for items never seen, and training has only to set 0
    apart from the rest. That new items are no harder is built in, not learned. What the twin shows
    is that nothing else is hard in the task: its items can be told apart by these features. Where
    an item lies it does not see, and so cannot judge spatial relations.

    *Published*: convolutions shared by isolated items, the difference of their features as input
    of the classifier. *Reconstructed here*: items are cut out and centred, as
    `neurodyn.stimuli.hexominoes.cut_out` does; the rest as in `pair_cnn`.

    Parameters
    ----------
    size : (int, int)
        Height and width of a window, 13 or more each.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    SiameseTwin
        In evaluation mode, on the CPU. Two windows side by side (sample, 1, y, 2 x), ink 1 and
        paper 0, become logits (sample, 2), the first of them 0.

    References
    ----------
    Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020.

    Examples
    --------
    >>> window = torch.rand(3, 1, 16, 16)
    >>> network = siamese_twin()
    >>> network(torch.cat([window, window], 3)).unique().numel()  # one answer to all that is same
    1
    """
    return built(SiameseTwin, size, seed)


def built(kind: type[Network], size: tuple[int, int], seed: int) -> Network:
    """Return a network with weights from a seed."""
    if min(size) <= 2 * LAYERS:
        raise ValueError(f"size must be {2 * LAYERS + 1} or more along y and x, got {size}")
    with torch.device("meta"):
        network = kind(size, seed)
    return filled(network, None, seed, draw)


def features(size: tuple[int, int]) -> int:
    """Return how many features there are of an image."""
    return FILTERS * (size[0] - 2 * LAYERS) * (size[1] - 2 * LAYERS)


def draw(network: PairCNN, generator: torch.Generator) -> None:
    """Draw weights for rectifiers; begin to count the steps of dropout."""
    initialise_rectified(network, 0.5, generator)
    network.classifier[0].steps.zero_()  # type: ignore[union-attr,operator]
