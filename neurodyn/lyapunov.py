"""Lyapunov exponents: how fast neighbouring trajectories of a dynamics part, or meet."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from neurodyn.adapter import SolverStats
from neurodyn.dynamics import Drive, Dynamics, State, Stimulus, bind
from neurodyn.jacobian import (
    Jacobian,
    Symmetry,
    check_neutral,
    draw,
    flat,
    linearised,
    named,
    neutral_direction,
    shaped,
    without,
)
from neurodyn.methods import FIXED, grid
from neurodyn.record import generators, provenance, root_axes
from neurodyn.solve import first_state, integrate
from neurodyn.variable import Variable


def lyapunov(
    dynamics: Dynamics,
    stimulus: Stimulus,
    *,
    duration: float,
    transient: float = 0.0,
    interval: float | None = None,
    symmetry: Symmetry = None,
    modes: int = 1,
    initial_state: State | None = None,
    method: str = "dopri5",
    rtol: float = 1e-4,
    atol: float = 1e-6,
    options: dict[str, Any] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return finite-time Lyapunov exponents along trajectories (Benettin's method).

    .. math:: \frac{dv_k}{dt} = J(y(t))\, v_k, \qquad
        \Lambda_k = \frac{1}{T} \sum_n \ln R^{(n)}_{kk}, \qquad
        V(t_n) = Q^{(n)} R^{(n)}

    Beside the state y, small displacements v_k are solved for, by the same solver; after every
    `interval` they are made orthonormal again (QR), and what each has grown by is kept. The first
    exponent is the rate at which neighbouring trajectories part: above 0 the flow is chaotic or
    unstable, 0 where only a phase along the trajectory is free (limit cycles), below 0 where they
    all meet. The sum of the first k is the rate at which volumes of k dimensions grow.

    They are numbers of this trajectory and this `duration`, not limits: look at ``running`` and
    at other durations before calling a value converged. With ``method="euler"`` and the published
    step they are exponents of the published iteration instead of the flow; where the two differ in
    sign, what is seen belongs to the step and not to the dynamics.

    Parameters
    ----------
    dynamics, stimulus, initial_state, method, rtol, atol, options
        As for `integrate`; `stimulus` is given from time 0 on. Displacements enter the error norm
        with a root mean square of 1 after every interval.
    duration : float
        T, over which exponents are averaged, in the dynamics' unit of time (a published step is
        ``dynamics.step`` of them).
    transient : float
        Time before that, for the state to reach its attractor and the displacements their
        directions; not counted. From random directions, an exponent is off by about (logarithm of
        the state's size) / T without it.
    interval : float, optional
        Time between two QRs, by default the published step (``step_size`` if given). Short enough
        for displacements not to collapse onto the first: (first exponent - last) times interval
        well below -ln(rtol). With fixed steps a multiple of the step.
    symmetry : {"shift"}, tuple of Tensor, optional
        A direction that is neutral at all times, taken out of the displacements: the common shift
        of all cyclic variables, or any constant direction shaped as the state. Its exponent of 0
        would be the first one of a network that synchronises. Checked at the start and at the end
        of the trajectory, not in between.
    modes : int
        How many exponents, from the first. An evaluation of f costs about as much as three of its
        own, and two more for each.
    seed : int
        For random initial states, as in `simulate`, and the displacements' first directions (the
        same for all samples).

    Returns
    -------
    Dataset
        ``exponent`` (sample, mode), per unit of time; ``running`` (sample, mode, time), the same
        over the time counted so far. Attributes: ``duration``, ``transient``, ``interval``,
        ``symmetry``, seed, solver and its cost, versions and configuration.

    Raises
    ------
    SolverError
        If the state stops being finite.
    TypeError, ValueError
        When an argument is not one of those allowed, or a symmetry is none at the start or the
        end of the trajectory.

    Notes
    -----
    Unit vectors (`SphereOscillators`) carry their length in the state, on which the flow does not
    act: it adds an exponent of 0 for each of them.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15, 9-20, doi:10.1007/BF02128236.

    Examples
    --------
    Oscillators in synchrony under a mean field of strength K; all displacements but the common
    shift shrink at the rate K:

    >>> import neurodyn as nd
    >>> from neurodyn.lyapunov import lyapunov
    >>> net = nd.Kuramoto(1.0, rate=0.63, normalize="number")
    >>> amplitude, start = torch.full((1, 8), 20.0), (torch.zeros(1, 8),)
    >>> found = lyapunov(net, amplitude, duration=5, initial_state=start, symmetry="shift")
    >>> found.exponent.round(2).values, found.attrs["duration"]
    (array([[-0.63]]), 5.0)
    """
    for name, value in (("duration", duration), ("transient", transient), ("interval", interval)):
        if value is not None and not (0 <= value < math.inf and (value or name == "transient")):
            least = "0 or larger" if name == "transient" else "positive"
            raise ValueError(f"{name} = {value!r} must be {least} and finite, in units of time")
    bound = bind(dynamics, stimulus)
    if initial_state is None:
        first = stimulus if isinstance(stimulus, Tensor) else stimulus(torch.zeros(()).double())
        with torch.no_grad():
            own = generators(seed, slice(0, len(first)))
            initial_state = first_state(dynamics, bound.drive(0.0), own)
    jacobian = Jacobian(dynamics, stimulus, initial_state)
    y, samples, size = jacobian.state, jacobian.samples, jacobian.size
    direction = neutral_direction(dynamics, symmetry, y)
    most = size - (direction is not None)
    if not (isinstance(modes, int) and 1 <= modes <= most):
        raise ValueError(
            f"modes = {modes!r} must be from 1 to {most}: that many directions a sample has"
            + (" beside the symmetry" if direction is not None else "")
        )
    step = float((options or {}).get("step_size", dynamics.step))
    interval = step if interval is None else interval
    if method in FIXED:
        check_multiples(step, interval=interval, duration=duration, transient=transient)
    check_neutral(jacobian, direction, seed)

    flow, stats = Displaced(dynamics, modes), SolverStats()
    ends = grid(transient, transient + duration, interval)
    if transient:
        ends = grid(0.0, transient, interval)[:-1] + ends
    start = torch.stack([draw(size, seed, k) for k in range(modes)]).to(y[0].device)
    rows, _ = orthonormal(without(direction, start.expand(samples, -1, -1)))
    logs = []
    for before, now in pairwise(ends):
        lengthened = (rows * size**0.5).unbind(1)
        solution = integrate(
            flow, stimulus, [before, now],
            initial_state=(*y, *(v for row in lengthened for v in shaped(row, y))),
            method=method, rtol=rtol, atol=atol, options=options, gradient="none",
            record=[v.name for v in flow.variables],
        )  # fmt: skip
        stats.add(solution.stats)
        y, displaced = flow.parts(tuple(series[-1] for series in solution.states))
        rows, grown = orthonormal(without(direction, torch.stack(list(map(flat, displaced)), 1)))
        if before >= transient:
            logs.append(grown.log() - math.log(size) / 2)
    check_neutral(Jacobian(dynamics, stimulus, y, ends[-1]), direction, seed)

    times = np.asarray(ends[-len(logs) :])
    total = torch.stack(logs, -1).cumsum(-1).cpu().numpy()
    running = total / (times - transient)
    about = {"units": "1", "references": "Benettin et al. (1980), doi:10.1007/BF02128236"}
    steps = f"{duration / dynamics.step:g} published steps"
    name = f"Lyapunov exponent over {duration:g} units of time ({steps})"
    return root_axes(times.tolist(), samples, None, None, set()).assign(
        exponent=(("sample", "mode"), running[..., -1], {"long_name": name} | about),
        running=(("sample", "mode", "time"), running,
                 {"long_name": "Lyapunov exponent over the time counted so far"} | about),
        mode=("mode", np.arange(modes), {"long_name": "mode", "units": "1"}),
    ).assign_attrs(
        provenance(dynamics, seed, method, rtol, atol, options, stats)
        | {"duration": float(duration), "transient": float(transient), "interval": interval}
        | {"symmetry": named(symmetry)}
    )  # fmt: skip


class Displaced(Dynamics):
    r"""A dynamics and small displacements from its state.

    .. math:: \frac{dy}{dt} = f(t, y, d), \qquad \frac{dv_k}{dt} = J(t, y, d)\, v_k

    The state is that of `dynamics`, then each displacement, shaped as the state.
    """

    def __init__(self, dynamics: Dynamics, modes: int) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.step, self.switches = dynamics.step, dynamics.switches
        self.layout = dynamics.layout
        self.variables = (
            *dynamics.variables,
            *(
                Variable(f"displacement {k} of {v.name}", v.dims, v.units)
                for k in range(modes)
                for v in dynamics.variables
            ),
        )

    def parts(self, state: State) -> tuple[State, list[State]]:
        """Return the state of the dynamics, and the displacements."""
        n = len(self.dynamics.variables)
        y, *displaced = (state[i : i + n] for i in range(0, len(state), n))
        return y, displaced

    def drive(self, stimulus: Tensor) -> Drive:
        """Return the dynamics' own."""
        return self.dynamics.drive(stimulus)

    def initial_state(self, drive: Drive, generator: torch.Generator | None = None) -> State:
        """Return the dynamics' own, not displaced."""
        y = self.dynamics.initial_state(drive, generator)
        return y + tuple(map(torch.zeros_like, y)) * (len(self.variables) // len(y) - 1)

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return f, and J v for each displacement."""
        y, displaced = self.parts(state)
        derivative, push = linearised(lambda *y: self.dynamics(t, y, drive), y)
        products = [product for v in displaced for product in push(v)]
        return (*derivative, *products)

    def readout(self, state: State, drive: Drive) -> Tensor:
        """Return the dynamics' own."""
        return self.dynamics.readout(self.parts(state)[0], drive)

    def check_solver(self, method: str, step: float | None) -> None:
        """Refuse what the dynamics refuses."""
        self.dynamics.check_solver(method, step)


def orthonormal(
    rows: Float[Tensor, "sample mode size"],
) -> tuple[Float[Tensor, "sample mode size"], Float[Tensor, "sample mode"]]:
    """Return orthonormal rows that span the same (QR), and how long each was beside the others."""
    q, r = torch.linalg.qr(rows.mT)
    return q.mT, r.diagonal(dim1=-2, dim2=-1).abs()


def check_multiples(step: float, **times: float) -> None:
    """Refuse times that a fixed step does not divide: a shorter step is another map."""
    for name, value in times.items():
        if abs(value / step - round(value / step)) > 1e-6:
            raise ValueError(
                f"{name} = {value:g} must be a multiple of the fixed step, {step:g}, so that all "
                "steps are equal"
            )
