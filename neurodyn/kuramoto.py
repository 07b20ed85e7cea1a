"""Phase oscillators with amplitudes: Kuramoto's equation on maps, graphs and mean fields."""

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from neurodyn.coupling import coupling_from, hold, total
from neurodyn.dynamics import Drive, Dynamics, State
from neurodyn.variable import Variable

KURAMOTO = "Kuramoto (1975), Lecture Notes in Physics 39, 420-422, doi:10.1007/BFb0013365"
KOMPLEXNET = "Muzellec, Alamia, Serre & VanRullen (2025), arXiv:2502.21077"
NORMALIZE = (None, "number", "gate")


class Kuramoto(Dynamics):
    r"""Phase oscillators pulled towards, or pushed from, one another's phases.

    .. math::
        \frac{d\theta_i}{dt} = \omega_i
            + \frac{\eta}{Z} \sum_j (K_{ij} - \epsilon)\, b_j \sin(\theta_j - \theta_i - \varphi),
        \qquad b_j = \tanh(a_j)

    Oscillator i turns at its natural frequency and is pulled (K > epsilon) to the phases of its
    sources, or pushed away (K < epsilon), each source as strongly as its gate b_j, a saturating
    function of its amplitude. Its own amplitude does not matter: a silent oscillator moves no
    other, but follows, and its phase means nothing. A negative amplitude pulls to its antiphase.

    Its stimulus is the amplitude, (sample, channel, y, x) or (sample, unit); its state the phase,
    unwrapped while it is solved and wrapped to (-pi, pi] in a record; its readout the order
    parameter of each sample, :math:`R = |\sum_j b_j e^{i\theta_j}| / \sum_j |b_j|`, NaN where
    nothing is active. ``simulate(record=["phase", "amplitude"])`` keeps amplitudes beside.

    Parameters
    ----------
    coupling : Tensor, array, graph, float or Coupling
        K: a kernel (channel, channel, y, x) with odd sides, a matrix (target, source) dense or
        sparse, a networkx graph, or a number for the mean field. See `Convolution`, `Graph` and
        `MeanField` in `neurodyn.coupling`, which have options.
    rate : float or Tensor of one number
        eta, in radians per unit of time and of coupling. Only eta times time matters.
    desynchrony : float or Tensor of one number
        epsilon: every oscillator of a sample pushes every other as strongly, at the price of two
        sums.
    natural_frequency : float or Tensor, optional
        omega in radians per unit of time, for all or for each: its shape must broadcast to that
        of a sample.
    phase_lag : float
        The angle (Sakaguchi's) at which the pull is zero, radians.
    normalize : {None, "number", "gate"}
        Z: 1 as published for networks; the number of oscillators of a sample, as Kuramoto has it;
        or the sum of their gates. Without it, rate and desynchrony suit one size of network only.

    Attributes
    ----------
    step : float
        One published step: 1 unit of time.

    Raises
    ------
    TypeError, ValueError
        For a coupling, amplitude or frequency whose shape does not fit; the message says which.

    Notes
    -----
    KomplexNet's rule is Euler's method with a step of 1: ``method="euler"``,
    ``Kuramoto(kernel, rate=.006, desynchrony=.202)``, no frequencies, no lag.

    References
    ----------
    Kuramoto (1975), doi:10.1007/BFb0013365. Sakaguchi & Kuramoto (1986), Progress of Theoretical
    Physics 76, 576-581, doi:10.1143/PTP.76.576. Muzellec, Alamia, Serre & VanRullen (2025),
    arXiv:2502.21077.

    Examples
    --------
    Two oscillators lock with the lag that theory gives, asin of the frequency difference over
    twice the coupling:

    >>> import neurodyn as nd
    >>> pair = Kuramoto(1.0, rate=1.0, natural_frequency=torch.tensor([0.5, -0.5]))
    >>> amplitude = torch.full((1, 2), 20.0)              # tanh(20) = 1
    >>> start = (torch.zeros(1, 2),)
    >>> run = nd.simulate(pair, amplitude, [0.0, 20.0], initial_state=start, rtol=1e-6)
    >>> phase = run.layers["phase"]["phase"].isel(time=-1, sample=0)
    >>> round(float(phase[0] - phase[1]), 4), round(math.asin(0.5), 4)
    (0.5236, 0.5236)
    """

    rate: Tensor
    desynchrony: Tensor
    natural_frequency: Tensor
    layout = "contiguous"
    readout_variable = Variable("order_parameter", (), long_name="Kuramoto order parameter")

    def __init__(
        self,
        coupling: Any,
        *,
        rate: float | Tensor,
        desynchrony: float | Tensor = 0.0,
        natural_frequency: float | Tensor | None = None,
        phase_lag: float = 0.0,
        normalize: Literal["number", "gate"] | None = None,
    ) -> None:
        super().__init__()
        if normalize not in NORMALIZE:
            raise ValueError(f"normalize {normalize!r} is not one of {NORMALIZE}")
        self.coupling = coupling_from(coupling)
        constants = {"rate": rate, "desynchrony": desynchrony}
        constants["natural_frequency"] = 0.0 if natural_frequency is None else natural_frequency
        for name, value in constants.items():
            if not isinstance(value, Tensor):
                value = torch.tensor(value, dtype=torch.get_default_dtype())
            if not bool(torch.isfinite(value.detach()).all()):
                raise ValueError(f"{name} = {value} must be finite")
            if name != "natural_frequency" and value.numel() != 1:
                raise ValueError(f"{name} is one number for all, got shape {tuple(value.shape)}")
            hold(self, name, value)
        if not math.isfinite(phase_lag):
            raise ValueError(f"phase_lag = {phase_lag} must be finite, in radians")
        self.turns = natural_frequency is not None
        self.phase_lag = phase_lag
        self.normalize = normalize
        about: dict[str, Any] = {"dims": self.coupling.dims, "node": "phase"}
        self.variables = (
            Variable("phase", units="rad", period=2 * math.pi, quantity="phase",
                     references=KURAMOTO, **about),
        )  # fmt: skip
        self.observables = (Variable("amplitude", quantity="amplitude", **about),)

    def drive(self, stimulus: Float[Tensor, " sample ..."]) -> Drive:
        """Return amplitudes and gates, and the coupling as it is applied."""
        weights = self.coupling.prepare(stimulus)
        shape = stimulus.shape[1:]
        try:
            fits = torch.broadcast_shapes(self.natural_frequency.shape, shape) == shape
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                f"natural_frequency has shape {tuple(self.natural_frequency.shape)}, a sample "
                f"{tuple(shape)}; give one for all, or one for each oscillator"
            )
        gate = torch.tanh(stimulus)
        return {
            "amplitude": stimulus,
            "gate": gate,
            "source": self.rate * self.normalised(gate),
            "coupling": weights.expand(len(stimulus), *weights.shape),
        }

    def normalised(self, gate: Tensor) -> Tensor:
        """Return b / Z."""
        if self.normalize == "number":
            return gate / gate[0].numel()
        if self.normalize == "gate":
            of = total(gate.abs())
            return gate / of.masked_fill(of == 0, 1.0)
        return gate

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return phases drawn uniformly from (-pi, pi], independent of one another."""
        if generator is None:
            raise ValueError(
                "phases start at random: give generator=torch.Generator().manual_seed(seed), or "
                "initial_state=(phases,)"
            )
        return (uniform_phases(drive["amplitude"], generator),)

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return d theta / dt."""
        (theta,) = state
        pull = self.pull(theta, drive)
        return (self.natural_frequency + pull if self.turns else pull,)

    def pull(self, theta: Tensor, drive: Drive) -> Tensor:
        """Return (eta / Z) sum_j (K_ij - epsilon) b_j sin(theta_j - theta_i - lag)."""
        cos, sin = theta.cos(), theta.sin()
        real, imaginary = self.field(cos, sin, drive["source"], drive)
        if self.phase_lag:
            cos, sin = (theta + self.phase_lag).cos(), (theta + self.phase_lag).sin()
        return torque(cos, sin, real, imaginary)

    def field(
        self, cos: Tensor, sin: Tensor, source: Tensor, drive: Drive
    ) -> tuple[Tensor, Tensor]:
        """Return the real and imaginary part of sum_j (K_ij - epsilon) source_j z_j."""
        z = torch.cat([source * cos, source * sin])
        field = self.coupling(drive["coupling"][0], z) - self.desynchrony * total(z)
        real, imaginary = field.chunk(2)
        return real, imaginary

    def readout(self, state: State, drive: Drive) -> Float[Tensor, " sample"]:
        """Return the order parameter R of each sample."""
        (theta,) = state
        gate = drive["gate"]
        real, imaginary = total(gate * theta.cos()), total(gate * theta.sin())
        return (torch.hypot(real, imaginary) / total(gate.abs())).flatten()

    def observe(self, name: str, t: Tensor, state: State, drive: Drive) -> Tensor:
        """Return what is recorded beside the phase: the amplitude."""
        return drive[name]

    def energy(self, state: State, drive: Drive) -> Float[Tensor, " sample"]:
        r"""Return the energy that the flow descends, of each sample.

        .. math:: E = -\frac{1}{2Z} \sum_{ij} b_i b_j (K_{ij} - \epsilon) \cos(\theta_i - \theta_j)
            ,\qquad \frac{dE}{dt} = -\sum_i \frac{b_i}{\eta} (\dot\theta_i - \omega)^2

        Raises
        ------
        ValueError
            If it is no Lyapunov function: the coupling is not symmetric (trained kernels are
            not), there is a phase lag, natural frequencies differ, the rate is not positive, or an
            amplitude is negative.
        """
        reasons = []
        if self.coupling.asymmetry() > 1e-5:
            reasons.append(f"the coupling is not symmetric ({self.coupling.asymmetry():.2g})")
        if self.phase_lag:
            reasons.append(f"there is a phase lag ({self.phase_lag:g})")
        frequency = self.natural_frequency.detach()
        if frequency.numel() and bool((frequency != frequency.flatten()[0]).any()):
            reasons.append("natural frequencies differ")
        if not bool(self.rate.detach() > 0):
            reasons.append("the rate is not positive")
        if bool((drive["gate"].detach() < 0).any()):
            reasons.append("some amplitudes are negative")
        if reasons:
            raise ValueError("this flow has no energy that it descends: " + ", ".join(reasons))
        (theta,) = state
        cos, sin = theta.cos(), theta.sin()
        real, imaginary = self.field(cos, sin, self.normalised(drive["gate"]), drive)
        return -total(drive["gate"] * (cos * real + sin * imaginary)).flatten() / 2

    def config(self) -> dict[str, Any]:
        """Return the constants as plain values; tensors by their shape."""
        plain = {
            name: float(value) if value.numel() == 1 else f"tensor {tuple(value.shape)}"
            for name in ("rate", "desynchrony", "natural_frequency")
            for value in [getattr(self, name).detach()]
        }
        about = {"phase_lag": self.phase_lag, "normalize": str(self.normalize)}
        return super().config() | plain | about | {"coupling": type(self.coupling).__name__}


def torque(cos: Tensor, sin: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    r"""Return how a field F pulls phases, :math:`\mathrm{Im}(e^{-i\theta} F)`."""
    return torch.addcmul(cos * imaginary, sin, real, value=-1)


def uniform_phases(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw phases from (-pi, pi], on the generator's device, one for each entry."""
    where = generator.device
    drawn = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=where)
    return (math.pi - 2 * math.pi * drawn).to(like.device)
