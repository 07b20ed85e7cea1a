"""How much a logit depends on each pathway of predictive coding, by its gradient."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from neurodyn.adapter import SolverStats
from neurodyn.batches import check_batch_size, check_labels
from neurodyn.predictive_coding import PREDIFY, PredictiveCoding, used
from neurodyn.rates import with_rates
from neurodyn.record import provenance
from neurodyn.solve import integrate

PATHWAYS = ("feedforward", "feedback", "error")


class GatedRates(nn.Module):
    """Rates times gates of 1, one gate for each unit of each layer and pathway that is there."""

    def __init__(self, model: PredictiveCoding, state: Sequence[Tensor]) -> None:
        super().__init__()
        with torch.no_grad():
            self.values = [[float(x) for x in rate] for rate in model.rates()]
        self.gates: dict[tuple[int, int], Tensor] = {
            (k, n): torch.ones_like(state[n]).requires_grad_()
            for k, rate in enumerate(self.values)
            for n, value in enumerate(rate)
            if used(value)
        }

    def forward(self) -> tuple[Any, Any, Any]:
        """Return beta, lambda and alpha: tensors like the state, or 0 for what is not there."""
        beta, lam, alpha = (
            [value * self.gates.get((k, n), 1.0) for n, value in enumerate(rate)]
            for k, rate in enumerate(self.values)
        )
        return beta, lam, alpha


def pathway_gradients(
    model: PredictiveCoding,
    images: Tensor,
    labels: Tensor,
    times: Sequence[float],
    *,
    method: str = "euler",
    rtol: float = 1e-4,
    atol: float = 1e-6,
    batch_size: int | None = None,
) -> xr.Dataset:
    r"""Return the gradient of a logit with respect to each pathway, times the pathway.

    .. math::

        G_k(n, t) = \sum_u \frac{\partial z_y(t)}{\partial m_{knu}}
            = \sum_u \int_0^t \frac{\partial z_y(t)}{\partial \dot e_{nu}(s)}\, P_{knu}(s)\, ds

    A gate m of 1 multiplies what unit u of layer n gets by pathway k, throughout the run:
    :math:`P = \beta (f - e)`, :math:`\lambda (p - e)`, or the error term. The gradient with respect
    to it is "gradient times input", summed over time. For feedback the sum over units is
    :math:`\partial z_y / \partial \log \lambda_n`: what feedback to that layer adds to the logit,
    to first order, where the freed weight goes to memory. It goes through the whole solve, the
    error term included (unless the model has ``detach_error``).

    Parameters
    ----------
    model : PredictiveCoding
        The dynamics; a trainable model's rates are taken as they are.
    images : Tensor
        (sample, ...).
    labels : Tensor
        (sample), of type int64; whose logit, e.g. what is shown.
    times, method, rtol, atol
        As for `integrate`. Memory grows with the number of steps, time with that of times.
    batch_size : int, optional
        Samples solved at a time.

    Returns
    -------
    Dataset
        ``gradient`` (term, layer, sample, time): the sum over units, :math:`G_k`, in logits;
        ``size``: the sum of absolute values, which do not cancel. term = feedforward, feedback,
        error; NaN for pathways that are not there.

    References
    ----------
    Gradient times input: Shrikumar, Greenside & Kundaje (2017), arXiv 1704.02685, who compare
    with it.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits(n=2)
    >>> found = pathway_gradients(pc_shallow(), images, labels, [0.0, 2.0])
    >>> found.gradient.dims
    ('term', 'layer', 'sample', 'time')
    """
    check_batch_size(batch_size)
    check_labels("labels", labels, images)
    stats = SolverStats()
    shape = (len(PATHWAYS), len(model.taps.names), len(images), len(times))
    signed, absolute = np.full(shape, np.nan), np.full(shape, np.nan)
    for rows in torch.arange(len(images)).split(batch_size or len(images)):
        batch, label = images[rows], labels[rows]
        with torch.no_grad():
            rates = GatedRates(model, model.initial_state(model.drive(batch)))
        with torch.enable_grad():
            run = integrate(
                with_rates(model, rates),
                batch,
                times,
                method=method,
                rtol=rtol,
                atol=atol,
                record="readout",
            )
        stats.add(run.stats)
        assert run.readout is not None
        for i, logits in enumerate(run.readout):
            check_labels("labels", label, batch, logits.shape[1])
            logit = logits.gather(1, label[:, None].to(logits.device)).sum()
            where = list(rates.gates)
            found = gradients(logit, [rates.gates[at] for at in where])
            for (k, n), gradient in zip(where, found, strict=True):
                each = gradient.flatten(1).cpu().double()
                signed[k, n, rows, i] = each.sum(1)
                absolute[k, n, rows, i] = each.abs().sum(1)
    dims = ("term", "layer", "sample", "time")
    about = {"units": "logit", "references": PREDIFY}
    return xr.Dataset(
        {
            "gradient": (dims, signed, about | {"long_name": "gradient times pathway"}),
            "size": (dims, absolute, about | {"long_name": "absolute gradient times pathway"}),
        },
        coords={
            "term": list(PATHWAYS),
            "layer": list(model.taps.names),
            "sample": np.arange(len(images)),
            "time": ("time", [float(t) for t in times], {"long_name": "time", "units": "1"}),
        },
        attrs=provenance(model, 0, method, rtol, atol, None, stats),
    )


def gradients(logit: Tensor, gates: Sequence[Tensor]) -> list[Tensor]:
    """Return d logit / d gate, 0 where it does not depend on it; the graph stays."""
    if not logit.requires_grad:
        return [torch.zeros_like(gate) for gate in gates]
    found = torch.autograd.grad(
        logit, gates, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return list(found)
