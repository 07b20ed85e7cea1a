"""Oscillators on unit spheres: the artificial Kuramoto oscillatory neurons of AKOrN."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.coupling import Coupling, MeanField, coupling_from, hold
from neurodyn.dynamics import Drive, Dynamics, State, check_published_step
from neurodyn.variable import Variable

AKORN = "Miyato, Loewe, Geiger & Welling (2025), ICLR, arXiv:2410.13821"
UPDATES = ("flow", "retraction")


class SphereOscillators(Dynamics):
    r"""Unit vectors that turn, and are drawn to their neighbours and to the stimulus.

    .. math::
        \frac{dx_i}{dt} = \Omega_i x_i + \mathrm{Proj}_{x_i}\Big(c_i + \sum_j J_{ij} x_j\Big),
        \qquad \mathrm{Proj}_x(y) = y - \langle y, x \rangle x, \qquad |x_i| = 1

    Each oscillator is a vector of N components on the unit sphere; for N = 2 and a scalar
    coupling this is Kuramoto's equation. The projection keeps it there, the natural rotation
    Omega turns its pairs of components, :math:`(x_1, x_2) \to \omega (x_2, -x_1)`.

    ``update="flow"`` is this equation, continued off the sphere as \|x\| f(x / \|x\|): a
    solver's error may change the length of x but the direction keeps its rate, and the record, the
    readout and the energy are those of the direction;
    ``update="retraction"`` is the published step of size gamma,

    .. math:: x \leftarrow \Pi\big(x + \gamma\, [\Omega x + \mathrm{Proj}_x(c + J x)]\big),

    with :math:`\Pi` the division by the norm, as the step of ``method="euler"``. One such step
    turns an oscillator by less than 90 degrees however strong the pull, so that for pulls far
    above 1 it is another map than the flow, and weights trained for the one do not suit the other.

    Its stimulus is c: (sample, channel * N, y, x) for a kernel or a module, the N components of
    an oscillator one after the other; (sample, unit, N) for a graph or a mean field. Its state is
    (sample, channel, component, y, x) or (sample, unit, component). Its readout is the order
    parameter :math:`|\frac{1}{n} \sum_i x_i|`.

    Parameters
    ----------
    coupling : Tensor, array, graph, float, Coupling or nn.Module
        J: as for `Kuramoto`, the kernel acting on channels * N; or a module of maps such as
        attention, ``module(x)`` with x (sample, channel * N, y, x).
    components : int
        N, 2 or more.
    rotation : float or Tensor, optional
        omega in radians per unit of time, from 0 up: one for all pairs of components, or one for
        each channel (unit) and pair, (channel, N // 2). Needs an even N.
    step : float
        gamma.
    update : {"flow", "retraction"}
        The differential equation, or its published step.
    as_published : bool
        The authors' code without rotations adds x itself to its velocity, which the flow's
        projection would remove and the retraction turns into a step of gamma / (1 + gamma): half
        of the gamma = 1 that is written. Weights of its object-discovery models need it. Only
        for ``update="retraction"`` without `rotation`.

    References
    ----------
    Miyato, Löwe, Geiger & Welling (2025), Artificial Kuramoto oscillatory neurons, ICLR,
    arXiv:2410.13821.

    Examples
    --------
    >>> import neurodyn as nd
    >>> net = SphereOscillators(1.0, components=3)
    >>> start = torch.nn.functional.normalize(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]), dim=-1)
    >>> run = nd.integrate(net, torch.zeros(1, 2, 3), [0.0, 5.0], initial_state=(start,))
    >>> run.readout[-1].round(decimals=3)                     # both point the same way
    tensor([1.])
    """

    layout = "contiguous"
    readout_variable = Variable("order_parameter", (), long_name="order parameter")
    rotation: Tensor

    def __init__(
        self,
        coupling: Any,
        *,
        components: int,
        rotation: float | Tensor | None = None,
        step: float = 1.0,
        update: Literal["flow", "retraction"] = "flow",
        as_published: bool = False,
    ) -> None:
        super().__init__()
        if components < 2:
            raise ValueError(f"an oscillator has 2 components or more, got {components}")
        if update not in UPDATES:
            raise ValueError(f"update {update!r} is not one of {', '.join(UPDATES)}")
        if rotation is not None and components % 2:
            raise ValueError(f"rotations turn pairs of components: N = {components} must be even")
        if as_published and (update == "flow" or rotation is not None):
            raise ValueError(
                "as_published=True is what the authors' code does without rotations, for "
                "update='retraction' and rotation=None"
            )
        if not step > 0:
            raise ValueError(f"step = {step} must be positive")
        plain = isinstance(coupling, nn.Module) and not isinstance(coupling, Coupling)
        self.coupling = coupling if plain else coupling_from(coupling)
        if not plain and isinstance(self.coupling, MeanField) and len(self.coupling.dims) > 1:
            raise ValueError("a mean field couples vectors (sample, unit, N); give a number")
        self.maps = plain or self.coupling.dims == ("channel", "y", "x")
        self.components = components
        self.step = step
        self.update = update
        self.as_published = as_published
        self.rotates = rotation is not None
        if not isinstance(rotation, Tensor):
            rotation = torch.tensor(rotation or 0.0, dtype=torch.get_default_dtype())
        if bool((rotation.detach() < 0).any()) or not bool(rotation.detach().isfinite().all()):
            raise ValueError("rotation must be finite and 0 or more: the direction is fixed")
        hold(self, "rotation", rotation)
        dims = ("channel", "component", "y", "x") if self.maps else ("unit", "component")
        self.variables = (
            Variable(
                "x", dims, long_name="unit vector", unit_along="component", references=AKORN
            ),
        )  # fmt: skip

    def drive(self, stimulus: Float[Tensor, " sample ..."]) -> Drive:
        """Return the conditional stimulus c as vectors, and the coupling as it is applied."""
        if self.maps:
            if stimulus.ndim != 4 or stimulus.shape[1] % self.components:
                raise ValueError(
                    f"the stimulus must be (sample, channel * {self.components}, y, x), got "
                    f"{tuple(stimulus.shape)}"
                )
        elif stimulus.ndim != 3 or stimulus.shape[2] != self.components:
            raise ValueError(
                f"the stimulus must be (sample, unit, {self.components}), got "
                f"{tuple(stimulus.shape)}"
            )
        drive = {"condition": self.vectors(stimulus)}
        if isinstance(self.coupling, Coupling):
            like = stimulus if self.maps else stimulus[..., 0]
            weights = self.coupling.prepare(like)
            drive["coupling"] = weights.expand(len(stimulus), *weights.shape)
        return drive

    def vectors(self, flat: Tensor) -> Tensor:
        """Return (sample, channel * N, y, x) as (sample, channel, component, y, x)."""
        return flat.unflatten(1, (-1, self.components)) if self.maps else flat

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return directions drawn uniformly from the sphere."""
        if generator is None:
            raise ValueError(
                "oscillators start at random: give generator=torch.Generator().manual_seed(seed), "
                "or initial_state=(x,)"
            )
        like = drive["condition"]
        drawn = torch.randn(
            like.shape, generator=generator, dtype=like.dtype, device=generator.device
        )
        return (unit(drawn.to(like.device), 2),)

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return dx/dt; of the retraction, its step over gamma."""
        (x,) = state
        if self.update == "flow":
            return (x.norm(dim=2, keepdim=True) * self.velocity(unit(x, 2), drive),)
        velocity = self.velocity(x, drive)
        if self.as_published:
            velocity = velocity + x
        return ((unit(x + self.step * velocity, 2) - x) / self.step,)

    def velocity(self, x: Tensor, drive: Drive) -> Tensor:
        """Return Omega x + Proj_x(c + J x)."""
        pull = drive["condition"] + self.coupled(x, drive)
        tangent = pull - (pull * x).sum(2, keepdim=True) * x
        return tangent + self.turned(x) if self.rotates else tangent

    def coupled(self, x: Tensor, drive: Drive) -> Tensor:
        """Return J x."""
        if "coupling" not in drive:
            return self.vectors(self.coupling(x.flatten(1, 2)))
        weights = drive["coupling"][0]
        if self.maps:
            return self.vectors(self.coupling(weights, x.flatten(1, 2)))
        parts = [self.coupling(weights, part).expand(part.shape) for part in x.unbind(2)]
        return torch.stack(parts, dim=2)

    def turned(self, x: Tensor) -> Tensor:
        """Return Omega x: each pair (x1, x2) becomes omega (x2, -x1)."""
        pairs = x.unflatten(2, (-1, 2))
        turned = torch.stack([pairs.select(3, 1), -pairs.select(3, 0)], dim=3)
        omega = self.rotation[..., None]  # per channel and pair, both components
        if self.maps:
            omega = omega[..., None, None]
        return (omega * turned).flatten(2, 3)

    def readout(self, state: State, drive: Drive) -> Float[Tensor, " sample"]:
        """Return the length of the mean vector of each sample."""
        x = unit(state[0], 2)
        others = [axis for axis in range(1, x.ndim) if axis != 2]
        return x.mean(others).norm(dim=1)

    def energy(
        self, state: State, drive: Drive, *, lyapunov: bool = True
    ) -> Float[Tensor, " sample"]:
        r"""Return :math:`E = -\frac12 \sum_{ij} x_i^T J_{ij} x_j - \sum_i c_i^T x_i`.

        Parameters
        ----------
        state, drive
            As in `forward`.
        lyapunov : bool
            Refuse where the flow does not descend E. False gives the number all the same, as
            published uses of it do (to choose among runs from several initial states).

        Raises
        ------
        ValueError
            If it is no Lyapunov function: the coupling is not known to be symmetric, or there are
            rotations.
        """
        reasons = []
        if not isinstance(self.coupling, Coupling):
            reasons.append("the coupling is a module, whose symmetry is not known")
        elif self.coupling.asymmetry() > 1e-5:
            reasons.append(f"the coupling is not symmetric ({self.coupling.asymmetry():.2g})")
        if self.rotates:
            reasons.append("there are rotations")
        if lyapunov and reasons:
            raise ValueError(
                f"this flow has no energy that it descends: {', '.join(reasons)}; "
                "lyapunov=False gives the number"
            )
        x = unit(state[0], 2)
        pull = self.coupled(x, drive) / 2 + drive["condition"]
        return -(pull * x).flatten(1).sum(1)

    def check_solver(self, method: str, step: float | None) -> None:
        """Refuse anything but its own step for the retraction."""
        check_published_step("AKOrN's", self.update, "flow", self.step, method, step)

    def config(self) -> dict[str, Any]:
        """Return the options as plain values."""
        about: dict[str, Any] = {"components": self.components, "update": self.update}
        about |= {"as_published": self.as_published, "coupling": type(self.coupling).__name__}
        if self.rotates:
            omega = self.rotation.detach()
            one = omega.numel() == 1
            about["rotation"] = float(omega) if one else f"tensor {tuple(omega.shape)}"
        return super().config() | about


def unit(x: Tensor, axis: int) -> Tensor:
    """Return vectors of length 1."""
    return torch.nn.functional.normalize(x, dim=axis)
