"""Global agreement: one query for the whole network, and gains where layers agree with it."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.dynamics import Drive, State
from neurodyn.rates import per_layer
from neurodyn.tapped import DIMS, TappedDynamics
from neurodyn.variable import Variable

GATTANET = "VanRullen & Alamia (2021), arXiv:2104.05575"
PROVENANCE = "GAttANet-style, reconstructed"
AGREEMENTS = ("tanh", "raw", "cosine")
BOUND = {"maps": 0.25, "query": 1.0}
"""The largest gain times agreement at which one unit's raw feedback has a stable fixed point."""
HIDDEN = 2
"""Published steps after which raw agreement that may blow up warns."""
EPSILON = 0.01
r"""The smooth floor of squared lengths in a cosine, relative to what untrained weights give where
the root mean square activity is 1: d for a key of a position, d / units for a key of a unit, and
d / layers for the query. An activity of a tenth is halfway to silence; none has no direction."""


class GlobalAttention(TappedDynamics):
    r"""Layers are amplified where they agree with one query, their mean over the whole network.

    .. math:: \tau \frac{da_l}{dt} = -a_l + A_l(a)

    .. math:: u_l = f_l(u_{l-1}) \, (1 + \alpha_l a_l)

    .. math:: A_l(p) = \langle K_l^T u_l(p),\, q \rangle

    .. math:: q = \frac{1}{L} \sum_l \mathrm{mean}_p \; Q_l^T u_l(p)

    The state is the agreement a_l: a map (sample, y, x) at each tap that returns maps, shared by
    the channels of a position p; a vector (sample, unit) at a dense tap, whose every unit c has a
    key :math:`u_l(c) K_l[c]` and a query of its own. It starts at 0, the plain network; the whole
    network runs with the gains, and every layer has equal weight in the query. Agreements and
    activities are pure numbers. The readout is the output of the pass with the gains; where the
    last tap is the output itself, its gain multiplies the logits.

    One Euler step of :math:`\tau` is the published iteration: a pass, its agreements, the next
    pass with them as gains. The differential equation has the same fixed points, and other
    stability: an eigenvalue far below -1 of the agreement's derivative makes the iteration
    oscillate and leaves the equation at rest.

    *Provenance*: GAttANet-style, reconstructed. Abstract and figures of the paper were read, its
    equations second-hand, its body not at all. From figures and captions: the key and query of a
    position and of a unit, one query averaged over layers and positions, signed agreement,
    d = 16. Second-hand: the gain :math:`1 + \alpha_l a_l`, no bias, no softmax. Reconstructed:
    the gain acts on what the tap returns (tap the rectifier for a gain after it), initial values,
    the bounded agreements, the equation in continuous time, the query as the state.

    Parameters
    ----------
    backbone : nn.Module
        Any network; in evaluation mode when solving. It is used, not copied.
    taps : sequence of str, or mapping
        Dotted names of modules in the order they are computed; the states are named after them.
        Or names of states mapped to dotted names or modules. Each must return one tensor and be
        called once in a pass; skips may cross it. Three axes are (sample, token, channel): tokens
        are positions.
    dim : int
        d, the length of keys and queries.
    gain : float or sequence of float
        Initial :math:`\alpha`, for all layers or one each; a parameter. At 0 the network is the
        backbone, bit for bit, but keys and queries get no gradient until it has moved.
    agreement : {"tanh", "raw", "cosine"}
        "raw" is A as above (second-hand) and can blow up, see Warnings. "tanh" is tanh(A);
        "cosine" divides A by :math:`\sqrt{(|k|^2 + \epsilon_k)(|q|^2 + \epsilon_q)}`, smooth where
        nothing is active; both lie within -1 and 1 (reconstructed). Only the cosine needs the
        keys themselves; else one weighted sum over channels does.
    state : {"maps", "query"}
        What has dynamics: the agreement maps, or the query alone (reconstructed):
        :math:`\tau\, dq/dt = -q + \bar q(u(x, q))` with :math:`a_l` the agreement of q with the
        layer's activity before its gain; q starts at 0.
    time_constant : float
        :math:`\tau`, the published step, in units of time.
    example : Tensor, optional
        A stimulus (sample, ...) to make keys and queries from, now rather than at the first run;
        do this before building an optimiser or loading weights.
    seed : int
        For keys and queries, each normal with variance 1 / channels (or units).

    Attributes
    ----------
    gain : Parameter
        :math:`\alpha`, (layer,).
    key_weights, query_weights : ParameterList
        :math:`K_l, Q_l`, each (channel, d) or (unit, d).
    step : float
        One published step, ``time_constant``.
    observables : tuple of Variable
        "query" where the maps are the state; the agreements, by the taps' names, where it is.

    Raises
    ------
    ValueError
        For unknown modules (with near matches), modules called twice or never, options that are
        not there, batch normalisation or dropout in training mode.

    Warnings
    --------
    Raw agreement is quadratic in the activity and feeds back on it. For one unit, with
    :math:`g = A(0)`, da/dt = -a + g (1 + alpha a)^2 has a fixed point only if
    :math:`\alpha g \le 1/4` and reaches infinity in finite time beyond; one or two steps do not
    show it. A run of more than two published steps whose stimulus has :math:`\max \alpha_l A_l(0)`
    above that bound warns. The bound is exact for one unit; for networks it is a rule
    (reconstructed). A raw query is linear for one unit: it grows without limit, exponentially,
    from 1 on.

    Notes
    -----
    One evaluation is one pass from the first tap to the last; what lies below the first runs once
    per drive. Bounded agreement has a fixed point and no blow-up, but need not settle. Freeze what
    is not to be trained with ``requires_grad_(False)``; batch norms keep the statistics they come
    with. In-place modules after a tap are given a copy. The weights' number is 2 d times the sum of
    channels and units, and one gain per layer.

    References
    ----------
    VanRullen & Alamia (2021), GAttANet: Global attention agreement for convolutional neural
    networks, arXiv:2104.05575.

    Examples
    --------
    >>> import neurodyn as nd
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(),
    ...                         nn.Linear(4 * 64, 10))
    >>> model = GlobalAttention(network, ["1", "3"])
    >>> images = torch.rand(2, 1, 8, 8)
    >>> run = nd.integrate(model, images, [0.0, 1.0, 2.0], method="euler", gradient="none")
    >>> [tuple(state.shape) for state in run.states], tuple(run.readout.shape)
    ([(3, 2, 8, 8), (3, 2, 10)], (3, 2, 10))
    >>> bool((run.readout[0] == network(images)).all())       # no agreement yet
    True
    """

    layout = "contiguous"

    def __init__(
        self,
        backbone: nn.Module,
        taps: Sequence[str] | Mapping[str, str | nn.Module],
        dim: int = 16,
        *,
        gain: float | Sequence[float] = 0.1,
        agreement: Literal["tanh", "raw", "cosine"] = "tanh",
        state: Literal["maps", "query"] = "maps",
        time_constant: float = 1.0,
        example: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(backbone, taps)
        if not (isinstance(dim, int) and dim > 0):
            raise ValueError(f"dim = {dim!r} must be a whole number above 0")
        if agreement not in AGREEMENTS:
            raise ValueError(f"agreement {agreement!r} is not one of {', '.join(AGREEMENTS)}")
        if state not in BOUND:
            raise ValueError(f"state {state!r} is not one of {', '.join(BOUND)}")
        if not 0 < time_constant < float("inf"):
            raise ValueError(f"time_constant = {time_constant!r} must be positive and finite")
        if "query" in self.taps.names:
            raise ValueError("a tap cannot be called 'query', which is the query's own name")
        self.dim, self.agreement, self.state_is, self.seed = dim, agreement, state, seed
        self.step = float(time_constant)
        gains = per_layer("gain", gain, len(self.taps.names))
        like = next(backbone.parameters(), torch.empty(()))
        self.gain = nn.Parameter(torch.tensor(gains, dtype=like.dtype, device=like.device))
        self.key_weights, self.query_weights = nn.ParameterList(), nn.ParameterList()
        if example is not None:
            self.materialise(example)

    def make(self, shapes: list[torch.Size], stimulus: Float[Tensor, " sample ..."]) -> None:
        """Draw keys and queries; name the state."""
        generator = torch.Generator().manual_seed(self.seed)
        like = next(self.backbone.parameters(), stimulus)
        about: dict[str, Any] = {"references": GATTANET}
        maps: list[Variable] = []
        keys: list[nn.Parameter] = []
        queries: list[nn.Parameter] = []
        for name, shape in zip(self.taps.names, shapes, strict=True):
            if len(shape) not in DIMS:
                raise ValueError(f"tap {name!r} has shape {tuple(shape)}: 1 to 4 axes are known")
            dims = tuple(d for d in DIMS[len(shape)] if d != "channel")
            maps.append(Variable(name, dims, quantity="agreement", **about))
            width = shape[DIMS[len(shape)].index("channel")] if len(shape) > 1 else shape[0]
            for weights in (keys, queries):
                drawn = torch.randn(width, self.dim, generator=generator) / width**0.5
                weights.append(nn.Parameter(drawn.to(like)))
        self.key_weights, self.query_weights = nn.ParameterList(keys), nn.ParameterList(queries)
        query = (Variable("query", ("component",), quantity="query", **about),)
        own = self.state_is == "maps"
        self._variables, self.observables = (tuple(maps), query) if own else (query, tuple(maps))
        self.map_shapes = [
            tuple(n for n, d in zip(shape, DIMS[len(shape)], strict=True) if d != "channel")
            for shape in shapes
        ]

    def drive(self, stimulus: Float[Tensor, " sample ..."]) -> Drive:
        """Return the network's own; of raw agreement, the largest gain times agreement at first."""
        drive = super().drive(stimulus)
        if self.agreement == "raw":
            with torch.no_grad():
                first = self.agreements(*self.respond(self.initial_state(drive), drive))
                each = [(g * a).flatten(1).amax(1) for g, a in zip(self.gain, first, strict=True)]
                drive["feedback"] = torch.stack(each).amax(0)
        return drive

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return zeros: the plain network."""
        samples = len(drive["stimulus"])
        shapes = self.map_shapes if self.state_is == "maps" else [(self.dim,)]
        return tuple(drive["stimulus"].new_zeros(samples, *shape) for shape in shapes)

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return da/dt of every layer, or dq/dt."""
        if self.agreement == "raw" and t > HIDDEN * self.step:
            self.warn_of_blow_up(drive["feedback"])
        activities, query = self.respond(state, drive)
        aim = [query] if self.state_is == "query" else self.agreements(activities, query)
        return tuple((new - old) / self.step for new, old in zip(aim, state, strict=True))

    def readout(self, state: State, drive: Drive) -> Float[Tensor, "sample category"]:
        """Return the network's output with the gains at every tap."""
        return self.taps.run(self.backbone, drive, lambda n, f: self.gated(n, f, state))

    def observe(self, name: str, t: Tensor, state: State, drive: Drive) -> Tensor:
        """Return the query of a state of maps, or the agreement of one tap with a query."""
        if name == "query":
            return self.respond(state, drive)[1]
        wanted, seen = self.taps.names.index(name), []

        def visit(n: int, feedforward: Tensor) -> Tensor:
            if n == wanted:
                seen.append(self.agree(n, feedforward, state[0]))
            return self.gated(n, feedforward, state)

        self.taps.sweep(self.backbone, drive, visit)
        return seen[0]

    def respond(self, state: State, drive: Drive) -> tuple[list[Tensor], Tensor]:
        """Return the activities u_l with their gains, and the query they make."""
        activities: list[Tensor] = []

        def visit(n: int, feedforward: Tensor) -> Tensor:
            activities.append(self.gated(n, feedforward, state))
            return activities[-1]

        self.taps.sweep(self.backbone, drive, visit)
        pooled = [u / u.shape[1] if u.ndim == 2 else by_channel(u).mean(2) for u in activities]
        each = [p @ weights for p, weights in zip(pooled, self.query_weights, strict=True)]
        return activities, torch.stack(each).mean(0)

    def gated(self, n: int, feedforward: Tensor, state: State) -> Tensor:
        """Return f (1 + alpha a) at tap n."""
        if self.state_is == "maps":
            a = state[n]
        else:
            a = self.agree(n, feedforward, state[0])
        if feedforward.ndim > 2:
            a = a.unsqueeze(channel_axis(feedforward))
        return feedforward * (1 + self.gain[n] * a)

    def agreements(self, activities: list[Tensor], query: Tensor) -> list[Tensor]:
        """Return the agreement of every layer's activity with a query."""
        return [self.agree(n, u, query) for n, u in enumerate(activities)]

    def agree(self, n: int, u: Tensor, query: Float[Tensor, "sample d"]) -> Tensor:
        """Return <K^T u(p), q> = <u(p), K q> of layer n, bounded if so wanted."""
        keys = self.key_weights[n]
        weights = query @ keys.T
        product = u * weights if u.ndim == 2 else (weights[:, None] @ by_channel(u))[:, 0]
        if self.agreement == "cosine":
            if u.ndim == 2:
                length2, floor = u.square() * keys.square().sum(1), self.dim / u.shape[1]
            else:
                length2, floor = (keys.T @ by_channel(u)).square().sum(1), float(self.dim)
            of_query = query.square().sum(1, keepdim=True) + EPSILON * self.dim / len(
                self.key_weights
            )
            product = product / ((length2 + EPSILON * floor) * of_query).sqrt()
        elif self.agreement == "tanh":
            product = product.tanh()
        return product.unflatten(1, self.map_shapes[n]) if u.ndim > 2 else product

    def warn_of_blow_up(self, feedback: Float[Tensor, " sample"]) -> None:
        """Warn if the first agreements are beyond what one unit's raw feedback can hold."""
        bound = BOUND[self.state_is]
        beyond = int((feedback > bound).sum())
        if beyond:
            warnings.warn(
                f"raw agreement starts beyond its stable range in {beyond} of {len(feedback)} "
                f"samples: gain times agreement is up to {float(feedback.max()):.3g}, and one unit "
                f"has a stable fixed point only up to {bound:g} (exact for one unit, a rule for "
                "networks). The state may reach infinity in finite time, which one or two Euler "
                "steps hide. Use agreement='tanh' or 'cosine', which are bounded, or smaller gains",
                UserWarning,
                stacklevel=2,
            )

    def config(self) -> dict[str, Any]:
        """Return gains and options as plain values, and where the model comes from."""
        return super().config() | {
            "dim": self.dim,
            "gain": self.gain.tolist(),
            "agreement": self.agreement,
            "state": self.state_is,
            "provenance": PROVENANCE,
        }


def channel_axis(u: Tensor) -> int:
    """Return where the channels of maps (sample, channel, ...) or tokens are."""
    return 2 if u.ndim == 3 else 1


def by_channel(u: Tensor) -> Float[Tensor, "sample channel position"]:
    """Return maps or tokens (sample, token, channel) with one axis of positions, not copied."""
    return u.transpose(1, 2) if u.ndim == 3 else u.flatten(2)
