"""A recurrent network in continuous time: leak and recurrence as a differential equation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

import neurodyn as nd
from neurodyn.dynamics import Drive, State, check_published_step

if TYPE_CHECKING:
    from neurodyn.models.grammar_nets import GrammarNets


class ContinuousRNN(nd.Dynamics):
    r"""Layers of units that leak towards what they are driven to.

    .. math:: \tau \frac{dh^l}{dt} = -h^l + \tanh(h^{l-1} U_l + h^l W_l + b_l), \qquad
              h^0 = x(t), \qquad P(\mathrm{grammatical}) = \sigma(h^L w + c)

    with the letters x(t), one unit of time each (`neurodyn.Film`), and h(0) = 0. Euler's method
    with a step of 1 and tau = 1 is the discrete recurrent network; of several layers, if each
    sees the new state of the one below, which is ``update="sequential"``.

    *Reconstruction*: the published recurrent networks are discrete in time; this is the equation
    whose step they are.

    Parameters
    ----------
    nets : GrammarNets
        A stack of the family "continuous" or "recurrent", whose weights are used, not copied.
    tau : float
        Time constant, in letters.
    update : {"simultaneous", "sequential"}
        The differential equation; or its discrete step layer by layer, for Euler's method alone.

    References
    ----------
    Funahashi & Nakamura (1993), Neural Networks 6, 801-806 (continuous-time recurrent networks).

    Examples
    --------
    >>> from neurodyn.models.grammar_nets import GrammarNets, encode
    >>> nets = GrammarNets("continuous", layers=1, width=5, letters=2, max_length=3, seeds=[0, 1])
    >>> frames = encode(["ABA"], "AB", 3)[0][:, None, None].expand(3, 1, 2, 2)
    >>> film = nd.Film(frames, [0.0, 1.0, 2.0])
    >>> run = nd.simulate(ContinuousRNN(nets), film, [0.0, 1.0, 2.0, 3.0])
    >>> run["output"].dims
    ('time', 'sample', 'net')
    """

    layout = "contiguous"
    readout_variable = nd.Variable("output", ("net",), long_name="P(grammatical)")

    def __init__(
        self,
        nets: GrammarNets,
        *,
        tau: float = 1.0,
        update: Literal["simultaneous", "sequential"] = "simultaneous",
    ) -> None:
        super().__init__()
        if nets.family not in ("continuous", "recurrent"):
            raise ValueError(
                f"nets must be of the family 'continuous' or 'recurrent', got {nets.family!r}"
            )
        if not tau > 0:
            raise ValueError(f"tau must be a positive time in letters, got {tau!r}")
        if update not in ("simultaneous", "sequential"):
            raise ValueError(f"update {update!r} is not one of 'simultaneous', 'sequential'")
        self.nets, self.tau, self.update = nets, tau, update
        self.variables = tuple(
            nd.Variable(f"layer{layer + 1}", ("net", "unit")) for layer in range(nets.layers)
        )

    def drive(self, stimulus: Float[Tensor, "sample net letter"]) -> Drive:
        """Return what the letters contribute to the first layer, and the weights in force.

        A network whose weights are not finite is driven by nothing, so that the others of the
        stack can be integrated.
        """
        well = self.nets.finite()
        weights = self.nets.weights()
        if not well.all():
            weights = {
                name: torch.where(well.view(-1, *[1] * (w.ndim - 1)), w, 0.0)
                for name, w in weights.items()
            }
        if stimulus.ndim != 3 or stimulus.shape[1:] != (self.nets.nets, len(weights["kernel0"][0])):
            raise ValueError(
                f"the stimulus must be letters (sample, {self.nets.nets} nets, "
                f"{len(weights['kernel0'][0])} letters), got {tuple(stimulus.shape)}"
            )
        return {"input": times(stimulus, weights["kernel0"]) + weights["bias0"]} | {
            name: w for name, w in weights.items() if name not in ("kernel0", "bias0")
        }

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return zeros."""
        return tuple(torch.zeros_like(drive["input"]) for _ in self.variables)

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return dh / dt of each layer."""
        flow: list[Tensor] = []
        for layer, h in enumerate(state):
            if layer == 0:
                z = drive["input"]
            else:
                below = state[layer - 1]
                if self.update == "sequential":
                    below = below + self.step * flow[-1]
                z = times(below, drive[f"kernel{layer}"]) + drive[f"bias{layer}"]
            z = z + times(h, drive[f"recurrent{layer}"])
            flow.append((z.tanh() - h) / self.tau)
        return tuple(flow)

    def readout(self, state: State, drive: Drive) -> Float[Tensor, "sample net"]:
        """Return P(grammatical)."""
        return (times(state[-1], drive["kernel"]) + drive["bias"])[..., 0].sigmoid()

    def config(self) -> dict[str, Any]:
        """Return the options as plain values."""
        about = {"layers": self.nets.layers, "width": self.nets.width, "tau": self.tau}
        return super().config() | about | {"update": self.update}

    def check_solver(self, method: str, step: float | None) -> None:
        """Refuse adaptive steps for the discrete update."""
        check_published_step(
            "the recurrent network's", self.update, "simultaneous", self.step, method, step
        )


def times(
    h: Float[Tensor, "sample net below"], kernel: Float[Tensor, "net below unit"]
) -> Float[Tensor, "sample net unit"]:
    """Return h U, network by network."""
    return torch.bmm(h.transpose(0, 1), kernel).transpose(0, 1)
