"""Phases that follow the agreement of keys and queries over a whole network (GASPnet)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.dynamics import Drive, State
from neurodyn.keys import CosineKeys, DotKeys, Keys
from neurodyn.kuramoto import torque, uniform_phases
from neurodyn.phase_modulation import FIRST, PhaseModulated, is_zero
from neurodyn.rates import per_layer
from neurodyn.tapped import TappedDynamics
from neurodyn.variable import Variable

GASPNET = "Alamia, Muzellec, Serre & VanRullen (2025), arXiv:2507.16674"
PROVENANCE = "GASPnet-style, reconstructed: the body of the paper could not be read"
MODULATION = "modulation (of the connections into every tap after the first)"
LEAST = 1e-30
"""Of a mean squared length, where a network is silent."""
DIMS = {1: ("unit",), 3: ("y", "x")}


class PhaseAgreement(TappedDynamics):
    r"""One phase per location, or unit, of every tapped layer, pulled by agreement over them all.

    .. math:: \tau \frac{d\phi_i}{dt} = \sum_j r_{ij} \sin(\phi_j - \phi_i), \qquad
        r_{ij} = \frac{N_j}{\kappa} \left(\frac{\langle q_i, k_j \rangle}{s} - \epsilon\right)

    .. math:: z_i = b_i + \sum_j W_{ij} m_j [1 + a_F \cos(\phi_i - \phi_j)], \qquad
        m_i = \mathrm{ReLU}(z_i)

    Node i is a location of a convolutional layer (its channels share the phase) or a unit of a
    dense one, in any layer. Its key and query are linear in its activity: :math:`k_i = K_l^T m_i`
    for a location, :math:`k_i = m_i K_l[i]` for a unit. Nodes that agree by more than
    :math:`\epsilon` pull each other's phases together, those that agree less push them apart;
    phases in turn strengthen connections between nodes in phase and weaken those between nodes out
    of it. Each of the L layers has the same weight, :math:`N_j = 1 / (L n_{l(j)})` with n its
    number of nodes.

    r has the rank of the keys and is never built. With :math:`C = \sum_j N_j k_j \cos\phi_j`,
    :math:`S` the same with sines, c and s without keys,

    .. math:: \kappa \tau \dot\phi_i = \cos\phi_i (\langle q_i, S \rangle - \epsilon s)
        - \sin\phi_i (\langle q_i, C \rangle - \epsilon c):

    a query and a key of the whole network at every phase, at a cost that grows with the number of
    nodes.

    What is known of the published network is its abstract, one figure (sizes, one phase per
    location or unit, key dimension 16) and second-hand equations for r and the scaling of
    connections. *Reconstructed*: :math:`N_j`, the normalisation and centring of keys, that
    :math:`N_j` multiplies the bracket, the values of all constants, the initial phases.

    Parameters
    ----------
    backbone : nn.Module
        Any network. It is used, not copied; solve in evaluation mode.
    taps : sequence of str, or mapping
        Where phases live, as for `PredictiveCoding`. A tapped ``nn.ReLU`` is the published form:
        what it rectifies is modulated; `neurodyn.phase_modulation.PhaseModulated` says how other
        modules are. Connections into the first tap are not modulated: an image has no phase.
    dim : int
        Of keys and queries.
    coupling : {"pairwise", "global"}
        "pairwise" is the equation above. "global" is the other reading of the published figure,
        one query for all: :math:`\tau \dot\phi_i = \frac1\kappa (\langle k_i, \bar q \rangle / s -
        \epsilon) R \sin(\Psi - \phi_i)` with :math:`\bar q` the mean over layers of their mean
        queries (which are not centred) and :math:`R e^{i\Psi}` the mean of :math:`e^{i\phi}`,
        weighted by N. It cannot tell more than two groups apart.
    keys : {"cosine", "dot"}
        "cosine": keys and queries are divided by their length plus .05 of their layer's mean
        length, and s = 1. "dot": as they are, and :math:`s^2` is the product of the mean squared
        lengths over all nodes, of each sample. Only with "dot" are the keys of all nodes never
        computed.
    centred : bool
        Take each layer's mean off its keys and queries. Activities are not negative, so that keys
        of raw activities all agree; without centring, untrained networks do not tell figure from
        ground.
    symmetric : bool
        Queries are the keys: r is symmetric up to its weights, which has an `energy` while
        activities do not depend on phases, and conserves the weighted mean phase. Otherwise
        queries have their own weights, which start as those of the keys.
    desynchrony : float
        :math:`\epsilon`: useful between the agreement within and between groups. Above both,
        groups break up; at 0 only disagreement (keys at more than a right angle) repels.
    temperature : float
        :math:`\kappa`: how slowly phases move. Only :math:`\kappa \tau` and the solver's step
        matter together: with a step too long for it, Euler's method flips with period 2 (see
        `step_limit`); the differential equation only gets faster.
    modulation : float or sequence of float
        :math:`a_F` of the connections into each tap after the first, from 0 to 1; 0 leaves them as
        they are.
    start : {"normal", "uniform", "learned"}
        Phases at t = 0: normal with standard deviation `spread`, or uniform, drawn from the
        generator of the run; or a map that is a parameter and begins as a normal one.
    spread : float
        In radians.
    time_constant : float
        :math:`\tau`, which is also the step of solvers with fixed steps. The published step is
        not known.
    frozen : bool
        d phi / dt = 0: phases stay as they start, random or given.
    trainable : bool
        Make epsilon, kappa (by its logarithm) and the modulations that are not 0 (by a sigmoid)
        parameters. Keys and queries always are.
    example : Tensor, optional
        A stimulus to make the keys from, now rather than at the first run.
    seed : int
        Of keys, queries and a learned start.

    Raises
    ------
    ValueError
        For unknown modules or options, taps whose phases cannot be carried on, layers that are
        neither maps nor vectors.

    Notes
    -----
    A common shift of all phases changes nothing: fixed points come in circles. Compare differences
    of phases, never phases. If queries are not keys, or activities depend on phases, the pattern
    may turn as a whole or not settle.

    References
    ----------
    Alamia, Muzellec, Serre & VanRullen (2025), GASPnet: Global Agreement to Synchronize Phases,
    arXiv:2507.16674.

    Examples
    --------
    >>> import neurodyn as nd
    >>> network = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
    ...                         nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
    ...                         nn.Linear(8 * 16, 10))
    >>> model = PhaseAgreement(network, ["1", "4", "6"])
    >>> start = torch.Generator().manual_seed(0)
    >>> run = nd.integrate(model, torch.rand(2, 1, 8, 8), [0.0, 5.0], generator=start)
    >>> [tuple(phase.shape) for phase in run.states]
    [(2, 2, 8, 8), (2, 2, 4, 4), (2, 2, 10)]
    """

    layout = "contiguous"

    def __init__(
        self,
        backbone: nn.Module,
        taps: Sequence[str] | Mapping[str, str | nn.Module],
        dim: int = 16,
        *,
        coupling: Literal["pairwise", "global"] = "pairwise",
        keys: Literal["cosine", "dot"] = "cosine",
        centred: bool = True,
        symmetric: bool = False,
        desynchrony: float = 0.2,
        temperature: float = 0.3,
        modulation: float | Sequence[float] = 0.5,
        start: Literal["normal", "uniform", "learned"] = "normal",
        spread: float = 0.1,
        time_constant: float = 1.0,
        frozen: bool = False,
        trainable: bool = False,
        example: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(backbone, taps)
        options = (
            ("coupling", coupling, ("pairwise", "global")),
            ("keys", keys, ("cosine", "dot")),
            ("start", start, ("normal", "uniform", "learned")),
        )
        for name, value, allowed in options:
            if value not in allowed:
                raise ValueError(f"{name} {value!r} is not one of {', '.join(allowed)}")
        if not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim must be a whole number from 1 up, got {dim!r}")
        for name, number in (("temperature", temperature), ("time_constant", time_constant)):
            if not (math.isfinite(number) and number > 0):
                raise ValueError(f"{name} = {number!r} must be finite and more than 0")
        if not math.isfinite(desynchrony):
            raise ValueError(f"desynchrony = {desynchrony!r} must be finite")
        if not (math.isfinite(spread) and spread >= 0):
            raise ValueError(f"spread = {spread!r} must be finite and not negative, in radians")
        self.taps: PhaseModulated = PhaseModulated(backbone, taps)
        scale = [float(a) for a in per_layer(MODULATION, modulation, len(self.taps.names) - 1)]
        if not all(0 <= a <= 1 for a in scale):
            raise ValueError(f"modulation must be from 0 to 1, got {scale}")
        if trainable and not all(a < 1 for a in scale):
            raise ValueError(f"a trainable modulation must be under 1, got {scale}")
        self.dim, self.coupling, self.keys, self.centred = dim, coupling, keys, centred
        self.symmetric, self.start, self.spread = symmetric, start, spread
        self.step, self.frozen, self.trainable, self.seed = time_constant, frozen, trainable, seed
        self._constants = (desynchrony, temperature, scale)
        if trainable:
            like = next(backbone.parameters(), torch.empty(()))
            self.epsilon = nn.Parameter(like.new_tensor(desynchrony))
            self.log_kappa = nn.Parameter(like.new_tensor(math.log(temperature)))
            self.modulation_logit = nn.Parameter(like.new_tensor(scale).clamp_min(1e-6).logit())
        self.key_weights = nn.ParameterList()
        self.query_weights = nn.ParameterList()
        self.first_phases = nn.ParameterList()
        if example is not None:
            self.materialise(example)

    def make(self, shapes: list[torch.Size], stimulus: Float[Tensor, " sample ..."]) -> None:
        """Draw keys, which are the first queries too, and a learned start; name the state."""
        generator = torch.Generator().manual_seed(self.seed)
        like = next(self.backbone.parameters(), stimulus)
        keys: list[nn.Parameter] = []
        for shape in shapes:
            drawn = torch.randn(shape[0], self.dim, generator=generator).to(like)
            keys.append(nn.Parameter(drawn / math.sqrt(shape[0])))
        self.key_weights = nn.ParameterList(keys)
        self.shapes = [shape[1:] if len(shape) > 1 else shape for shape in shapes]
        if not self.symmetric:
            self.query_weights = nn.ParameterList(k.detach().clone() for k in keys)
        if self.start == "learned":
            drawn_phases = [torch.randn(shape, generator=generator) for shape in self.shapes]
            self.first_phases = nn.ParameterList(self.spread * x.to(like) for x in drawn_phases)
        self._variables = tuple(
            Variable(name, DIMS[len(shape)], "rad", "phase", "phase", GASPNET, 2 * math.pi)
            for name, shape in zip(self.taps.names, shapes, strict=True)
        )
        self.observables = tuple(
            Variable(
                f"{v.name} amplitude", v.dims, long_name="mean activity over channels",
                quantity="amplitude", references=GASPNET, node=v.name,
            )
            for v in self._variables
        )  # fmt: skip

    def drive(self, stimulus: Float[Tensor, " sample ..."]) -> Drive:
        """Return what phases do not change: the first tap's activity and keys, what is below it."""
        drive = super().drive(stimulus)
        first = self.keys_of(0, drive[FIRST].relu())
        if isinstance(first, CosineKeys):
            drive |= {"first key": first.k, "first query": first.q}
        else:
            drive["first key square"], drive["first query square"] = first.mean_squares()
        return drive

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return the phases at t = 0: drawn from the generator, or learned."""
        image = drive["stimulus"]
        count = len(image)
        if self.start == "learned":
            return tuple(p.expand(count, *p.shape) for p in self.first_phases)
        if generator is None:
            raise ValueError(
                "phases start at random: give generator=torch.Generator().manual_seed(seed), or "
                "initial_state=(phases of each tap)"
            )
        like = [image.new_empty(()).expand(count, *shape) for shape in self.shapes]
        if self.start == "uniform":
            return tuple(uniform_phases(x, generator) for x in like)
        where = generator.device
        return tuple(
            (self.spread * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=where))
            .to(x.device)
            for x in like
        )  # fmt: skip

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return d phi / dt of every tap."""
        if self.frozen:
            return tuple(torch.zeros_like(phase) for phase in state)
        pulls = self.pull(self.activities(state, drive), state, drive)
        return tuple(pull / (self.kappa * self.step) for pull in pulls)

    def activities(self, state: State, drive: Drive) -> list[Tensor]:
        """Return m of every tap: in logits, say, a unit below 0 is silent."""
        found = self.taps.sweep_phases(self.backbone, drive, state, self.modulation)
        return [m if n in self.taps.at_input else m.relu() for n, m in enumerate(found)]

    def readout(self, state: State, drive: Drive) -> Float[Tensor, "sample category"]:
        """Return the network's output with its connections scaled by the phases."""
        found = self.taps.sweep_phases(self.backbone, drive, state, self.modulation)
        return self.taps.head(self.backbone, drive, tuple(found))

    def observe(self, name: str, t: Tensor, state: State, drive: Drive) -> Tensor:
        """Return the mean over channels of a tap's activity; a unit's own."""
        m = self.activities(state, drive)[[v.name for v in self.observables].index(name)]
        return m.mean(1) if m.ndim > 2 else m

    def keys_of(self, n: int, activity: Tensor) -> Keys:
        """Return the keys and queries of tap n."""
        make = CosineKeys.of if self.keys == "cosine" else DotKeys
        return make(activity, *self.weights_of(n), self.centred)

    def mean_query(self, n: int, activity: Tensor) -> Float[Tensor, "sample dim"]:
        """Return the mean over the nodes of tap n of their queries, which are not centred."""
        kind = CosineKeys if self.keys == "cosine" else DotKeys
        return kind.mean_query(activity, self.weights_of(n)[1])

    def weights_of(self, n: int) -> tuple[Tensor, Tensor]:
        """Return K and Q of tap n."""
        key = self.key_weights[n]
        return key, key if self.symmetric else self.query_weights[n]

    def layers(self, activities: list[Tensor], drive: Drive) -> list[Keys]:
        """Return the keys and queries of all taps; of the first, what does not change is known."""
        first: Keys
        if self.keys == "cosine":
            first = CosineKeys(drive["first key"], drive["first query"])
        else:
            squares = drive["first key square"], drive["first query square"]
            first = DotKeys(activities[0], *self.weights_of(0), self.centred, squares)
        return [first, *(self.keys_of(n, m) for n, m in enumerate(activities[1:], 1))]

    def pull(self, activities: list[Tensor], state: State, drive: Drive) -> State:
        """Return kappa tau d phi / dt of every tap."""
        layers = self.layers(activities, drive)
        waves = [on_circle(phase) for phase in state]
        mean = resultant(waves)
        pulls = []
        if self.coupling == "global":
            queries = [self.mean_query(n, m) for n, m in enumerate(activities)]
            query = torch.stack(queries).mean(0) / length_of(layers)
            for layer, z in zip(layers, waves, strict=True):
                agree = layer.agree(query) - self.desynchrony
                pulls.append(agree * torque(*z.unbind(1), *mean.unbind(1)))
        else:
            everyone, push = pooled(layers, waves), self.desynchrony * mean
            for layer, z in zip(layers, waves, strict=True):
                field = layer.read(everyone) - push
                pulls.append(torque(*z.unbind(1), *field.unbind(1)))
        return tuple(pull.view_as(phase) for pull, phase in zip(pulls, state, strict=True))

    def energy(self, state: State, drive: Drive) -> Float[Tensor, " sample"]:
        r"""Return the energy that the flow descends, of each sample.

        .. math:: V = -\frac{1}{2\kappa} \sum_{ij} N_i N_j
            \left(\frac{\langle k_i, k_j \rangle}{s} - \epsilon\right) \cos(\phi_i - \phi_j)
            ,\qquad \frac{dV}{dt} = -\tau \sum_i N_i \dot\phi_i^2

        Raises
        ------
        ValueError
            If it is no Lyapunov function: queries are not keys, one query serves all, or
            activities depend on phases.
        """
        reasons = []
        if not self.symmetric:
            reasons.append("queries are not keys (symmetric=False)")
        if self.coupling == "global":
            reasons.append("coupling='global' is not symmetric")
        if not all(is_zero(a) for a in self.modulation):
            reasons.append("activities depend on phases (give modulation=0.0)")
        if reasons:
            raise ValueError("this flow has no energy that it descends: " + ", ".join(reasons))
        layers = self.layers(self.activities(state, drive), drive)
        waves = [on_circle(phase) for phase in state]
        agree = pooled(layers, waves).square().sum((1, 2)) * length_of(layers)[:, 0]
        push = resultant(waves).square().sum((1, 2))
        return -(agree - self.desynchrony * push) / (2 * self.kappa)

    def config(self) -> dict[str, Any]:
        """Return the constants and options as plain values."""
        with torch.no_grad():
            constants = {
                "desynchrony": float(self.desynchrony),
                "temperature": float(self.kappa),
                "modulation": [float(a) for a in self.modulation],
            }
        about = ("dim", "coupling", "keys", "centred", "symmetric", "start", "spread", "frozen")
        options = {name: getattr(self, name) for name in about}
        known = {"provenance": PROVENANCE, "published_step_known": False}
        return super().config() | constants | options | known

    @property
    def desynchrony(self) -> float | Tensor:
        """Epsilon."""
        return self.epsilon if self.trainable else self._constants[0]

    @property
    def kappa(self) -> float | Tensor:
        """Kappa."""
        return self.log_kappa.exp() if self.trainable else self._constants[1]

    @property
    def modulation(self) -> list[float | Tensor]:
        """a_F of the connections into each tap after the first."""
        fixed: list[float] = self._constants[2]
        if not self.trainable:
            return list(fixed)
        return [
            0.0 if a == 0 else learned
            for a, learned in zip(fixed, self.modulation_logit.sigmoid(), strict=True)
        ]


def resultant(waves: Sequence[Tensor]) -> Float[Tensor, "sample 2 1"]:
    """Return (c, s): the mean over layers of the means of their cosines and sines."""
    return torch.stack([z.mean(2, keepdim=True) for z in waves]).mean(0)


def pooled(layers: Sequence[Keys], waves: Sequence[Tensor]) -> Float[Tensor, "sample 2 dim"]:
    """Return (C, S) / s: keys times cosines and sines, summed with the same weights."""
    pairs = zip(layers, waves, strict=True)
    keys = torch.stack([layer.pooled(z) / z.shape[2] for layer, z in pairs]).mean(0)
    return keys / length_of(layers)[..., None]


def on_circle(phase: Tensor) -> Float[Tensor, "sample 2 node"]:
    """Return cosines and sines."""
    flat = phase.flatten(1)
    return torch.stack([flat.cos(), flat.sin()], 1)


def length_of(layers: Sequence[Keys]) -> Float[Tensor, "sample 1"]:
    """Return s: the root of the mean squared lengths of keys and queries of all nodes."""
    nodes = sum(layer.nodes for layer in layers)
    shares = [torch.stack(layer.mean_squares()) * (layer.nodes / nodes) for layer in layers]
    key, query = torch.stack(shares).sum(0)
    return (key.clamp_min(LEAST).sqrt() * query.clamp_min(LEAST).sqrt())[:, None]
