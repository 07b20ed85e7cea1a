"""Exact gradients in O(sqrt(steps)) memory: keep some states, run the steps between them again."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from neurodyn.adapter import Adapter, Point, SolverStats

Make = Callable[..., Adapter]
"""``make(inputs, observe=, keep=, stop_after=)``: an adapter whose field uses these inputs."""


class Checkpointed(torch.autograd.Function):
    r"""A solve that keeps its state only where segments begin.

    With :math:`y_j` the state at the start of segment j and :math:`S_j` the solver's own steps in
    it, :math:`y_{j+1} = S_j(y_j)`. The backward pass takes the segments from the last to the
    first and differentiates each :math:`S_j`, run again: the gradient is that of the numbers
    computed, not of the differential equation. With n steps known in advance segments have
    :math:`\sqrt n` steps; with adaptive steps they grow by one each, which needs no n. Either way
    what is kept and what is run again take memory :math:`O(\sqrt n)`.

    A segment begins at an accepted step, with the step size and the first stage the solver had
    there, so that it takes the same steps again.

    Source: Griewank & Walther (2000), doi:10.1145/347837.347846 (here with one level).
    """

    @staticmethod
    def forward(
        ctx: Any, make: Any, start: Point, steps: int | None, drives: int,
        stats: SolverStats, observed: list[tuple[Tensor, ...]], y: Tensor, *inputs: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Return the last state and, stacked over time, each thing observed.

        The first `drives` inputs are used through `make` only, so that each replay can have its
        own copies; the others (parameters) are used by the field wherever it finds them. What is
        observed is also put into `observed`, as it comes.
        """
        kept = [(0, replace(start, y=y.detach()))]
        length = 1 if steps is None else math.ceil(math.sqrt(steps))

        def keep(accepted: int, point: Point) -> None:
            if accepted == 0:
                kept[0][1].step = point.step
            elif accepted == kept[-1][0] + (length if steps is not None else len(kept)):
                kept.append((accepted, point))

        adapter = make(inputs, observe=lambda i, t, values: observed.append(values), keep=keep)
        try:
            end = adapter.solve(kept[0][1])
        finally:
            stats.add(adapter.stats)
        ctx.make, ctx.kept, ctx.drives = make, kept, drives
        ctx.save_for_backward(*inputs)
        return (end.y, *(torch.stack(series) for series in zip(*observed, strict=True)))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_end: Tensor, *grad_observed: Tensor) -> tuple[Any, ...]:
        """Return the gradients for the first state and the inputs."""
        inputs = ctx.saved_tensors
        totals: list[Tensor | None] = [None] * len(inputs)
        carry: tuple[Tensor | None, ...] = (grad_end,)
        until: int | None = None
        for accepted, point in reversed(ctx.kept):
            leaves = [
                x.detach().requires_grad_(x.requires_grad) if k < ctx.drives else x
                for k, x in enumerate(inputs)
            ]
            outputs: list[Tensor] = []
            grads: list[Tensor | None] = []

            def observe(i: int, t: float, values: Any, to: Any = (outputs, grads)) -> None:
                to[0].extend(values)
                to[1].extend(g[i] for g in grad_observed)

            with torch.enable_grad():
                y = point.y.detach().requires_grad_()
                f = point.derivative
                f = None if f is None else f.detach().requires_grad_()
                stop_after = None if until is None else until - accepted
                end = ctx.make(leaves, observe=observe, stop_after=stop_after).solve(
                    replace(point, y=y, derivative=f)
                )
            outputs += [end.y] if len(carry) == 1 else [end.y, end.derivative]
            grads += carry
            del observe
            wanted = [y, *([] if f is None else [f]), *(x for x in leaves if x.requires_grad)]
            pairs = [
                (o, g) for o, g in zip(outputs, grads, strict=True)
                if o.requires_grad and g is not None
            ]  # fmt: skip
            got = torch.autograd.grad(
                [o for o, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True,
                retain_graph=True,  # of the stimulus; the segment's goes with its tensors
            )  # fmt: skip
            del end, outputs, pairs, y, f
            carry = got[: 1 if point.derivative is None else 2]
            rest = iter(got[len(carry) :])
            for k, x in enumerate(leaves):
                new, so_far = next(rest) if x.requires_grad else None, totals[k]
                totals[k] = so_far if new is None else new if so_far is None else so_far + new
            until = accepted
        return (None, None, None, None, None, None, carry[0], *totals)
