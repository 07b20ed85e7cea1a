"""torchdiffeq's methods: which there are, what they take, how they step and interpolate."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torchdiffeq
from torch import Tensor
from torchdiffeq._impl.odeint import SOLVERS

from neurodyn.dynamics import Dynamics, State
from neurodyn.layout import Layout

ADAPTIVE = tuple(m for m, s in SOLVERS.items() if "callback_accept_step" in s.valid_callbacks())
FIXED = tuple(
    m for m, s in SOLVERS.items() if m not in ADAPTIVE and "callback_step" in s.valid_callbacks()
)
OTHER = tuple(m for m in SOLVERS if m not in ADAPTIVE + FIXED)
MULTISTEP = tuple(m for m in FIXED if "adams" in m)


def grid(start: float, stop: float, step: float) -> list[float]:
    """Return times from start to stop by step; the last step is shorter where it must be."""
    exact = (stop - start) / step
    count = round(exact) if abs(exact - round(exact)) < 1e-6 else math.ceil(exact)
    return [start + i * step for i in range(max(count, 1))] + [stop]


@functools.cache
def interpolant_weights(method: str) -> Tensor:
    """Weights of torchdiffeq's own dense output, read from a problem with one step.

    With stages k_i, every adaptive method interpolates by
    y(t0 + x dt) = y0 + dt * sum_i w_i(x) k_i, w_i of degree 4 in x. When stage i returns the i-th
    unit vector and dt = 1, y(x) is w(x) itself; five points give the polynomials.

    Returns the coefficients (stage, power of x), float64.
    """
    most = 64
    units = iter(torch.eye(most, dtype=torch.float64))
    x = torch.linspace(0, 1, 5, dtype=torch.float64)
    y = torchdiffeq.odeint(
        lambda t, y: next(units),
        torch.zeros(most, dtype=torch.float64),
        x,
        method=method,
        options={"first_step": 1.0, "norm": lambda error: error.new_zeros(())},
    )
    stages = most - sum(1 for _ in units)
    powers = x[:, None] ** torch.arange(5)
    return torch.linalg.solve(powers, y[:, :stages]).T.contiguous()


def settings(
    dynamics: Dynamics, layout: Layout, method: str, rtol: float, atol: float,
    options: dict[str, Any] | None,
) -> tuple[float | None, dict[str, Any]]:  # fmt: skip
    """Check method, tolerances and options at the door; return the step and clean options."""
    if method not in SOLVERS:
        raise ValueError(f"method {method!r} is not one of torchdiffeq's: {', '.join(SOLVERS)}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise ValueError(f"{name} = {value!r} must be a number, 0 or larger")
    if rtol == atol == 0 and method not in FIXED:
        raise ValueError("rtol and atol cannot both be 0: no step would be small enough")
    options = dict(options or {})
    if method in OTHER:
        dynamics.check_solver(method, None)
        return None, options | {"rtol": rtol, "atol": atol}
    if method in FIXED:
        allowed = {"step_size"} | ({"max_order", "max_iters"} if method in MULTISTEP else set())
    else:
        allowed = {"first_step", "safety", "ifactor", "dfactor", "min_step", "max_step"}
        allowed |= {"max_num_steps", "step_t", "norm"}
    hints = {
        "grid_constructor": "the grid is explicit already: give step_size",
        "jump_t": "give the stimulus as a function of time with `switches` instead",
        "dtype": "time is always float64",
    }
    for name in options:
        if name not in allowed:
            hint = f" ({hints[name]})" if name in hints else ""
            raise ValueError(
                f"option {name!r} is not one of {method}'s here{hint}; "
                f"allowed: {', '.join(sorted(allowed))}"
            )
    step = None
    if method in FIXED:
        given = options.pop("step_size", dynamics.step)
        step = float(given) if isinstance(given, int | float | Tensor) else math.nan
        if not 0 < step < math.inf:
            raise ValueError(f"step_size = {given!r} must be positive, a number")
        if method in MULTISTEP:
            options = {"max_order": 4} | options
    else:
        precision = torch.finfo(layout.dtype).eps
        if max(rtol, atol) < precision:
            warnings.warn(
                f"rtol = {rtol:g} and atol = {atol:g} are finer than {layout.dtype} resolves "
                f"({precision:.1e}): steps shrink and nothing is gained"
                + ("; use float64 (.double())" if layout.dtype != torch.float64 else ""),
                stacklevel=3,
            )
        norm = options.get("norm")
        options["norm"] = layout.norm if norm is None else as_flat_norm(norm, layout)
    dynamics.check_solver(method, step)
    return step, options | {"rtol": rtol, "atol": atol}


def as_flat_norm(norm: Callable[[State], Tensor], layout: Layout) -> Callable[[Tensor], Tensor]:
    """Let a norm of the tuple of states be one of the flat state."""
    return torch.no_grad()(lambda flat: norm(layout.unpack(flat)))
