"""Self-attention at one stage of a network: once, or over time."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.attention import Attention
from neurodyn.backbone import Backbone, answering
from neurodyn.dynamics import Drive, State
from neurodyn.tapped import DIMS, TappedDynamics
from neurodyn.variable import Variable

VAISHNAV = (
    "Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603; "
    "Vaswani et al. (2017), arXiv:1706.03762"
)
SKIPS = ("feedforward", "state")


class Attended(nn.Module):
    r"""A network with self-attention after one of its modules: a plain module, to be trained.

    .. math:: o = h(A(s)), \qquad s = f(x)

    with the network f up to the tapped module, the attention A and the rest of the network h. What
    A returns stands in place of what the module returned; the network itself stays as it is, with
    the names of its weights.

    Parameters
    ----------
    backbone : nn.Module
        Any network. It is used, not copied.
    tap : str
        The dotted name of a module that returns maps.
    attention : Attention
        `SpatialAttention`, `FeatureAttention`, or one of your own.

    Raises
    ------
    ValueError
        For an unknown module (with near matches); when run, if the attention is for other maps.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603.

    Examples
    --------
    >>> from neurodyn.attention import SpatialAttention
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    >>> attended = Attended(network, "1", SpatialAttention(4, heads=2))
    >>> attended(torch.rand(3, 1, 8, 8)).shape
    torch.Size([3, 2])
    """

    def __init__(self, backbone: nn.Module, tap: str, attention: Attention) -> None:
        super().__init__()
        (self.tap,) = Backbone(backbone, [tap]).modules
        self.backbone, self.attention = backbone, attention

    def forward(self, images: Float[Tensor, " sample ..."]) -> Tensor:
        """Return the network's output."""

        def then_attention(forward: Callable) -> Callable:
            return lambda *args, **kwargs: self.attention(forward(*args, **kwargs))

        modules = {self.tap: self.backbone.get_submodule(self.tap)}
        with answering(modules, {self.tap: then_attention}):
            return self.backbone(images)


class RecurrentAttention(TappedDynamics):
    r"""Self-attention on the maps of one stage, as a differential equation.

    .. math:: \tau \frac{dz}{dt} = A(z, s) - z

    .. math:: A(z, s) = \mathrm{LN}(s + \mathrm{MHA}(z))

    The state z are the maps that a stage hands on; they begin as what the stage computes, s.
    Queries, keys and values are of the state, the skip of the block is s, so that the stimulus
    drives the state at all times. With ``skip="state"`` the skip is the state too,
    :math:`A(z, z)`: then the stimulus sets the initial state and nothing else. LN, MHA, tokens and
    what else a block may have: see `neurodyn.attention`. The readout is the rest of the network,
    on z.

    At t = 0 it is the network without attention. One Euler step of :math:`\tau` is the network with
    attention, `Attended`, whose weights fit as they are; each further step attends again with the
    same weights, of a transformer whose blocks are one. The differential equation has the same
    fixed points.

    *Provenance*: the blocks were read in code, see `neurodyn.attention`. Time, both skips and the
    equation are this library's own.

    Parameters
    ----------
    backbone : nn.Module
        Any network; in evaluation mode when solving. It is used, not copied.
    tap : str
        The dotted name of a module that returns maps (sample, channel, y, x), called once in a
        pass; the state is named after it.
    attention : Attention
        `SpatialAttention`, `FeatureAttention`, or one of your own.
    skip : {"feedforward", "state"}
        What the attended maps are added to.
    time_constant : float
        :math:`\tau`, the step of `Attended`, in units of time.
    example : Tensor, optional
        A stimulus (sample, ...) to look at the network with, now rather than at the first run.

    Attributes
    ----------
    step : float
        ``time_constant``.
    observables : tuple of Variable
        "attention": (head, target, source), how much each token of the state attends to each;
        positions are counted row by row.

    Raises
    ------
    ValueError
        For an unknown module (with near matches), maps that the attention is not for, batch
        normalisation or dropout in training mode.

    Notes
    -----
    One evaluation is the attention alone: the network below runs once per drive, the network above
    at each readout. A block ends in a norm, so that :math:`A` is bounded; z cannot blow up, but it
    need not settle. The norm divides by the spread of a token: where maps hardly vary from channel
    to channel (or, of feature-based attention, from position to position) the equation is stiff.

    To train through time, make the attention with ``dropout=0``.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603 (attention in
    ResNets). Vaswani et al. (2017), arXiv:1706.03762.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models.attention_resnet import attention_resnet18
    >>> network = attention_resnet18(width=8, heads=2).eval()
    >>> model = RecurrentAttention(network.backbone, network.tap, network.attention)
    >>> images = torch.rand(2, 1, 128, 128)
    >>> run = nd.integrate(model, images, [0.0, 1.0, 5.0], method="euler", gradient="none")
    >>> torch.allclose(run.readout[1], network(images), atol=1e-5)
    True
    >>> [v.name for v in model.variables], tuple(run.states[0].shape)
    (['layer2'], (3, 2, 16, 16, 16))
    """

    def __init__(
        self,
        backbone: nn.Module,
        tap: str,
        attention: Attention,
        *,
        skip: Literal["feedforward", "state"] = "feedforward",
        time_constant: float = 1.0,
        example: Tensor | None = None,
    ) -> None:
        super().__init__(backbone, [tap])
        if skip not in SKIPS:
            raise ValueError(f"skip {skip!r} is not one of {', '.join(SKIPS)}")
        if isinstance(time_constant, str) or not 0 < time_constant < float("inf"):
            raise ValueError(f"time_constant = {time_constant!r} must be positive and finite")
        if tap == "attention":
            raise ValueError("a tap cannot be called 'attention', which is an observable's name")
        self.attention, self.skip, self.step = attention, skip, float(time_constant)
        dims = ("head", "target", "source")
        self.observables = (Variable("attention", dims, quantity="weight", references=VAISHNAV),)
        if example is not None:
            self.materialise(example)

    def make(self, shapes: list[torch.Size], stimulus: Float[Tensor, " sample ..."]) -> None:
        """Name the state; let the attention refuse maps that it is not for."""
        with torch.no_grad():
            self.attention(stimulus.new_zeros(1, *shapes[0]))
        self._variables = (Variable(self.taps.names[0], DIMS[3], references=VAISHNAV),)

    def drive(self, stimulus: Float[Tensor, " sample ..."]) -> Drive:
        """Return the network's own, and the tokens of the feed-forward maps."""
        drive = super().drive(stimulus)
        if self.skip == "feedforward":
            drive["skip"] = self.attention.tokens(drive["feedforward"])
        return drive

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return the feed-forward maps."""
        return (drive["feedforward"],)

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return dz/dt."""
        (z,) = state
        return ((self.attention(z, drive.get("skip")) - z) / self.step,)

    def readout(self, state: State, drive: Drive) -> Float[Tensor, "sample category"]:
        """Return the output of the rest of the network."""
        return self.taps.head(self.backbone, drive, state)

    def observe(self, name: str, t: Tensor, state: State, drive: Drive) -> Tensor:
        """Return the weights of attention."""
        return self.attention.weights(state[0])

    def config(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return super().config() | {
            "attention": type(self.attention).__name__,
            "heads": self.attention.block.heads,
            "skip": self.skip,
        }
