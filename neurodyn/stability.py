"""The largest stable Euler step of a dynamics, and its modes, at one state."""

import json
import math
import warnings
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Complex, Float

import neurodyn
from neurodyn.dynamics import Dynamics, State, Stimulus
from neurodyn.jacobian import (
    Jacobian,
    Symmetry,
    check_neutral,
    named,
    neutral_direction,
    without,
)
from neurodyn.krylov import Arnoldi

FIRST, GROWTH = 20, 1.3
"""The dimension at which a Krylov space is first looked at, and the factor to the next."""
MISSED = 1e-3
"""The chance taken, of each mode, that the random start holds too little of it to be seen."""
LONG_NAMES = {
    "limit": "largest stable Euler step of the decaying modes",
    "published_steps": "largest stable Euler step over the published step",
    "stiffness": "fastest over slowest decay, of the modes found",
    "unstable_found": "growing modes found",
    "neutral_found": "modes found that neither grow nor decay",
    "deciding_real": "real part of the mode that sets the limit",
    "deciding_imaginary": "imaginary part of the mode that sets the limit",
    "residual": "residual of the deciding mode over its decay rate",
    "hidden": "modulus up to which modes that would lower the limit may be unseen",
    "mode_real": "real part of the leading modes",
    "mode_imaginary": "imaginary part of the leading modes",
    "mode_residual": "residual of the leading modes",
    "floor": "real parts closer to 0 than this count as 0",
    "dimension": "dimension of the Krylov space",
}


def step_limit(
    dynamics: Dynamics,
    stimulus: Stimulus,
    state: State,
    *,
    t: float = 0.0,
    symmetry: Symmetry = None,
    modes: int = 1,
    tol: float = 1e-3,
    max_dim: int = 300,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the largest Euler step that is stable for the decaying modes of a state.

    .. math:: h^* = \min_{\mathrm{Re} \lambda < 0} \frac{-2\, \mathrm{Re} \lambda}{|\lambda|^2},
        \qquad J = \frac{\partial f}{\partial y}(t, y, d(s)), \qquad J x = \lambda x

    Near a fixed point a mode with the eigenvalue :math:`\lambda` goes as :math:`e^{\lambda t}`; a
    step h of Euler's method multiplies it by :math:`1 + h \lambda`, which decays if
    :math:`|1 + h \lambda| < 1`: if the eigenvalue lies in the disc of radius 1/h around -1/h. The
    first of the left half-plane to leave it is not always the fastest: a spiral -0.2 + 3i decays
    slowly and allows a step of 0.044 only, though -2 / Re would say 10. Beyond h* a real deciding
    mode flips its sign from step to step (period 2) and a pair of complex ones turns outwards,
    while the differential equation still settles.

    Eigenvalues come from Krylov spaces (Arnoldi), one for each sample, of products J v by
    ``torch.func``; J is never formed. Where the state of a sample has no more than `max_dim`
    numbers the space is the whole and all eigenvalues are exact to rounding. Otherwise it grows
    until the deciding and the leading modes have converged and no unseen one can decide. Fast
    modes are found first, a weakly damped spiral deep inside the spectrum late. To decide, with
    the limit h* found, an unseen mode must lie where

    .. math:: \mathrm{Re} \lambda < 0, \qquad |1 + h \lambda| > 1, \qquad h = (1 - tol)\, h^*

    `Arnoldi` bounds how little of it the random start vector would have to hold, at worst on the
    boundary of this region (the bound's logarithm is harmonic off the eigenvalues found), and the
    space grows until the chance of so little is about 1 in 1000. It takes some
    :math:`5 \sqrt{W / w}` products, of the fastest decay W and the slowest w, and more for each
    growing mode; where many modes crowd around 0, nothing less than all of them is enough.

    Parameters
    ----------
    dynamics : Dynamics
        Its ``step`` is the published one. Where its update is not its differential equation
        (``PredictiveCoding(update="sequential")``, ``SphereOscillators(update="retraction")``)
        f itself depends on that step, and the limit says only whether it is stable: whether
        ``published_steps`` is above 1.
    stimulus : Tensor or callable
        As for `integrate`.
    state : tuple of Tensor
        Where, each (sample, ...); what is said of the long run holds at a fixed point. At a kink
        (ReLU at 0, equal entries of a max-pool, both usual in the feed-forward state of a network)
        the derivative is one of several: integrate a little before.
    t : float
        When, for a stimulus or an equation that changes with time.
    symmetry : {"shift"}, tuple of Tensor, optional
        A direction u in which the system is neutral, taken out: J becomes P J P with
        :math:`P = 1 - u u^T`, and the other eigenvalues stay. "shift" is the common shift of all
        cyclic variables (those with a `period`, such as phases); a tuple shaped as the state is
        any one direction.
    modes : int
        How many leading modes (those with the largest real part, of a complex pair the one with
        the positive imaginary part first) are wanted.
    tol : float
        Relative: of the deciding mode, its residual over its decay rate, which bounds the relative
        error of the limit to first order up to a factor of 3 (times the mode's condition, where
        eigenvectors are far from orthogonal); of the leading modes, their residual over the
        largest eigenvalue. A hidden mode may lower the limit by this much.
    max_dim : int
        Largest dimension of the Krylov spaces. They take 8 bytes for each number of the state,
        sample and dimension; one dimension costs about the time of two evaluations of f.
    seed : int
        Of the start vector, the same for each sample.

    Returns
    -------
    Dataset
        Over sample and, of the leading modes, (sample, mode); in the dynamics' unit of time.

        ``limit``: h*, infinite if no mode decays. ``published_steps``: limit / dynamics.step.
        ``deciding_real``, ``deciding_imaginary``: the eigenvalue that sets the limit.
        ``residual``: its residual over its decay rate.
        ``hidden``: modulus up to which unseen modes may lie that would lower the limit; 0 if none.
        ``stiffness``: ``max |Re| / min |Re|`` over the decaying modes found, a lower bound.
        ``unstable_found``, ``neutral_found``: how many modes were found with Re > 0, and with Re =
        0 within ``floor``, the rounding error of the model's own precision; lower bounds, too. No
        Euler step is stable for unstable modes, nor for neutral ones that oscillate.
        ``mode_real``, ``mode_imaginary``, ``mode_residual``: the leading eigenvalues.
        ``dimension``: of the Krylov space.

        Attributes: ``complete`` (1 if all modes were found: the lower bounds are exact),
        ``converged`` (1 if in all samples the deciding and the leading modes are within `tol` and
        ``hidden`` is 0: the limit holds but for the chance above; counts and stiffness may not),
        ``model_dtype``, ``products``, the arguments, versions, configuration.

    Warns
    -----
    UserWarning
        If `max_dim` was reached before convergence; ``residual`` and ``hidden`` say how far it got.

    Raises
    ------
    TypeError, ValueError
        For a state that does not fit or is not finite, a Jacobian that is not finite, more modes
        than the state has, or a symmetry that is none; the message says what was measured.

    References
    ----------
    Arnoldi (1951), Quarterly of Applied Mathematics 9, 17-29, doi:10.1090/qam/42792. Hairer &
    Wanner (1996), Solving Ordinary Differential Equations II, chapter IV, doi:
    10.1007/978-3-642-05221-7 (stability of Euler's method).

    Examples
    --------
    Oscillators in synchrony under a mean field of strength K relax with the rate K:

    >>> import torch
    >>> import neurodyn as nd
    >>> from neurodyn.stability import step_limit
    >>> net = nd.Kuramoto(1.0, rate=4.0, normalize="number")
    >>> amplitude = torch.full((1, 10), 20.0)                       # tanh(20) = 1
    >>> found = step_limit(net, amplitude, (torch.zeros(1, 10),), symmetry="shift")
    >>> found.limit.round(4).values, found.stiffness.round(4).values
    (array([0.5]), array([1.]))
    """
    if not (isinstance(max_dim, int) and max_dim >= 2):
        raise ValueError(f"max_dim = {max_dim!r} must be a whole number, 2 or larger")
    if not 0 < tol < 1:
        raise ValueError(f"tol = {tol!r} must be between 0 and 1")
    jacobian = Jacobian(dynamics, stimulus, state, t)
    direction = neutral_direction(dynamics, symmetry, jacobian.state)
    size = jacobian.size - (direction is not None)
    if not (isinstance(modes, int) and 1 <= modes <= min(size, max_dim)):
        raise ValueError(
            f"modes = {modes!r} must be from 1 to {min(size, max_dim)}: a sample has {size} modes"
            + (" without the symmetry" if direction is not None else "")
            + f", and max_dim is {max_dim}"
        )
    check_neutral(jacobian, direction, seed)

    rounding = torch.finfo(jacobian.dtype).eps
    spaces = Arnoldi(
        jacobian, jacobian.samples, jacobian.size, size, lambda v: without(direction, v), seed,
        rounding, jacobian.state[0].device,
    )  # fmt: skip
    complete = size <= max_dim
    found: list[dict[str, Any]] = [{} for _ in range(jacobian.samples)]
    going = set(range(jacobian.samples))
    while going and spaces.dimension < min(size, max_dim):
        growing = max(FIRST, 2 * modes, math.ceil(GROWTH * spaces.dimension))
        spaces.grow(size if complete else min(growing, max_dim))
        for i in sorted(going):
            values, residuals = spaces.ritz(i)
            row = found[i] = judged(values, residuals, modes, 10 * rounding * size**0.5, tol)
            row |= {"dimension": spaces.dimension, "hidden": 0.0}
            row["published_steps"] = row["limit"] / dynamics.step
            if not complete:
                z = boundary(values, (1 - tol) * row["limit"], row["floor"])
                unseen = spaces.overlap(i, values, z) > math.log(MISSED / size**0.5)
                row["hidden"] = float(np.abs(z[unseen]).max(initial=0.0))
            if complete or (row["settled"] and not row["hidden"]):
                going.remove(i)
    if going:
        decides, hidden = (max(found[i][name] for i in going) for name in ("residual", "hidden"))
        leads = max(found[i]["mode_residual"].max() for i in going)
        warnings.warn(
            f"{len(going)} of {jacobian.samples} samples had not converged in Krylov spaces of "
            f"dimension {max_dim} (of {size}), for tol = {tol:g}: residuals up to {decides:.2g} of "
            f"the decay rate (deciding modes) and {leads:.2g} (leading modes), modes that may "
            f"decide unseen up to a modulus of {hidden:.2g}; the limit may be too large. Raise "
            "max_dim or tol, or ask for fewer modes",
            stacklevel=2,
        )
    arrays = {
        name: (("sample", "mode") if np.ndim(found[0][name]) else "sample",
               np.array([row[name] for row in found]), {"long_name": long_name, "units": "1"})
        for name, long_name in LONG_NAMES.items()
    }  # fmt: skip
    return xr.Dataset(
        arrays,
        coords={
            "sample": ("sample", np.arange(len(found)), {"long_name": "stimulus", "units": "1"}),
            "mode": ("mode", np.arange(modes), {"long_name": "mode", "units": "1"}),
        },
        attrs={
            "neurodyn_version": neurodyn.__version__,
            "torch_version": str(torch.__version__),
            "seed": seed,
            "config": json.dumps(dynamics.config(), sort_keys=True),
            "t": t,
            "symmetry": named(symmetry),
            "tol": tol,
            "max_dim": max_dim,
            "products": spaces.dimension,
            "complete": int(complete),
            "converged": int(not going),
            "model_dtype": str(jacobian.dtype).removeprefix("torch."),
        },
    )


def judged(
    values: Complex[np.ndarray, " value"], residuals: Float[np.ndarray, " value"], modes: int,
    rounding: float, tol: float,
) -> dict[str, Any]:  # fmt: skip
    """Return what eigenvalues say of one sample, and whether those found have settled."""
    largest = np.abs(values).max()
    floor = rounding * largest
    decay = -values.real
    error = np.maximum(residuals, floor)  # a mode is counted where its side is sure
    decaying = np.flatnonzero(decay > floor)
    sure = decay > error
    leading = np.lexsort((-values.imag, -values.real))[:modes]
    limit, decides, residual, stiffness = math.inf, complex(math.nan, math.nan), 0.0, math.nan
    if len(decaying):
        steps = 2 * decay[decaying] / np.abs(values[decaying]) ** 2
        first = decaying[steps.argmin()]
        limit, decides = float(steps.min()), values[first]
        residual = float(error[first] / decay[first])
    if sure.any():
        stiffness = float((decay - residuals)[sure].max() / (decay + residuals)[sure].min())
    return {
        "limit": limit,
        "deciding_real": decides.real,
        "deciding_imaginary": abs(decides.imag),
        "residual": residual,
        "stiffness": stiffness,
        "unstable_found": int((values.real > error).sum()),
        "neutral_found": int((np.abs(values.real) + residuals <= floor).sum()),
        "mode_real": values.real[leading],
        "mode_imaginary": values.imag[leading],
        "mode_residual": error[leading],
        "floor": floor,
        "settled": residual <= tol and bool((error[leading] <= tol * largest).all()),
    }


def boundary(
    values: Complex[np.ndarray, " value"], step: float, floor: float
) -> Complex[np.ndarray, " point"]:
    """Return points on Re z = -floor and abs(1 + step z) = 1, and where `values` are nearest."""
    floor = max(floor, 1e-290)  # J = 0
    radii = np.geomspace(floor, 2 * max(np.abs(values).max(), 1 / step, floor), 400)
    line = -floor + 1j * np.concatenate([[0.0], radii, np.abs(values.imag)])
    if step == math.inf:
        return line
    near = 2 * np.abs(np.sin(np.angle(1 + step * values) / 2)) / step
    radii = np.concatenate([radii[radii < 2 / step], near, [2 / step]])
    half = step * radii / 2
    circle = radii * (-half + 1j * np.sqrt(np.maximum(1 - half**2, 0)))
    return np.concatenate([line, circle[circle.real < -floor]])
