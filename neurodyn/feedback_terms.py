"""The right-hand side of predictive coding term by term, and what each contributes in a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from neurodyn.adapter import SolverStats
from neurodyn.batches import check_batch_size
from neurodyn.convolutions import pullback
from neurodyn.dynamics import Drive, State
from neurodyn.predictive_coding import PREDIFY, PredictiveCoding, plus, used
from neurodyn.record import provenance
from neurodyn.solve import integrate

TERMS = ("feedforward", "feedback", "memory", "error")


def terms(
    model: PredictiveCoding, state: State, drive: Drive, *, pulls: bool = False
) -> dict[str, tuple[Tensor, ...]]:
    r"""Return the terms of the derivative of every layer; they sum to it.

    .. math::

        \frac{de_n}{dt} = \underbrace{\beta_n f_n(e_{n-1})}_\text{feedforward}
            + \underbrace{\lambda_n p_{n+1}}_\text{feedback}
            \underbrace{{} - (\beta_n + \lambda_n) e_n}_\text{memory}
            \underbrace{{} - \alpha_n s_n J_{g_n}^{\top} (p_n - e_{n-1})}_\text{error}

    The symbols are those of `PredictiveCoding`. In the published step the memory is
    :math:`(1 - \beta - \lambda) e_n`; its change is that less :math:`e_n`, the leak above.

    Parameters
    ----------
    model : PredictiveCoding
        With ``update="sequential"`` the layers see each other as in Predify's order.
    state : tuple of Tensor
        Each (sample, ...).
    drive : dict of Tensor
        As ``model.drive(images)`` returns it.
    pulls : bool
        Count the leak with the pathways that it belongs to: :math:`\beta (f - e)` and
        :math:`\lambda (p - e)`, and a memory of 0. These do not depend on where the activities'
        zero is, and do not cancel each other when the layer is at rest.

    Returns
    -------
    dict
        "feedforward", "feedback", "memory", "error": for each layer a tensor like its state.

    References
    ----------
    Choksi et al. (2021), Predify, arXiv 2106.02749; the equation was deduced from its code.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> model, (images, _) = pc_shallow(), nd.stimuli.digits(n=2)
    >>> drive = model.drive(images)
    >>> state = model.initial_state(drive)
    >>> parts = terms(model, state, drive)
    >>> derivative = model(torch.tensor(0.0), state, drive)
    >>> torch.allclose(sum(part[0] for part in parts.values()), derivative[0], atol=1e-6)
    True
    """
    beta, lam, alpha = model.rates()
    below = (drive["stimulus"], *state[:-1])
    feedback = [torch.zeros_like(e) for e in state]
    error = [torch.zeros_like(e) for e in state]
    for n, e in enumerate(state):
        prediction, pull = pullback(model.decoders[n], e)
        if used(alpha[n]):
            gradient = pull((prediction - below[n]).to(prediction.dtype))
            error[n] = -alpha[n] * model.scale[n] * gradient
        if n > 0 and used(lam[n - 1]):
            feedback[n - 1] = lam[n - 1] * prediction
    feedforward: list[Tensor] = []
    memory: list[Tensor] = []
    look_ahead = model.step if model.update == "sequential" else 0.0

    def visit(n: int, drawn: Tensor) -> Tensor:
        feedforward.append(beta[n] * drawn)
        memory.append(-(beta[n] + lam[n]) * state[n])
        if not look_ahead or n == len(state) - 1:
            return state[n]
        slope = feedforward[n] + feedback[n] + memory[n] + error[n]
        return plus(state[n], look_ahead, slope)

    model.taps.sweep(model.backbone, drive, visit)
    if pulls:
        feedforward = [x - b * e for x, b, e in zip(feedforward, beta, state, strict=True)]
        feedback = [x - f * e for x, f, e in zip(feedback, lam, state, strict=True)]
        memory = [torch.zeros_like(e) for e in state]
    every = (feedforward, feedback, memory, error)
    return {name: tuple(parts) for name, parts in zip(TERMS, every, strict=True)}


def record_terms(
    model: PredictiveCoding,
    images: Tensor,
    times: Sequence[float],
    *,
    pulls: bool = False,
    method: str = "dopri5",
    rtol: float = 1e-4,
    atol: float = 1e-6,
    batch_size: int | None = None,
) -> xr.Dataset:
    r"""Solve, and return what each term contributes to the movement of each layer.

    .. math::

        P_k = \langle T_k, \dot e_n \rangle, \qquad \sum_k P_k = |\dot e_n|^2

    with the terms :math:`T_k` of `terms` and the derivative :math:`\dot e_n`, over the units of
    layer n.

    Parameters
    ----------
    model : PredictiveCoding
        The dynamics.
    images : Tensor
        (sample, ...).
    times, method, rtol, atol
        As for `integrate`.
    pulls : bool
        As in `terms`.
    batch_size : int, optional
        Samples solved at a time.

    Returns
    -------
    Dataset
        ``projection`` (term, layer, sample, time): :math:`P_k`. ``prediction_error`` (layer,
        sample, time): the mean square over units of what layer n gets wrong of what is below it.
        ``speed`` (layer, sample, time): :math:`|\dot e_n| / |e_n|`, per published step; 0 where
        nothing moves, so in a silent layer too.
        ``logits`` (time, sample, category). Attributes as of `simulate`.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits(n=2)
    >>> found = record_terms(pc_shallow(), images, [0.0, 1.0])
    >>> dict(found.projection.sizes)
    {'term': 4, 'layer': 3, 'sample': 2, 'time': 2}
    """
    check_batch_size(batch_size)
    stats = SolverStats()
    parts: dict[str, list[np.ndarray]] = {}
    for batch in images.split(batch_size or len(images)):
        with torch.no_grad():
            drive = model.drive(batch)

        def measured(
            t: Tensor, state: State, drive: Drive = drive, batch: Tensor = batch
        ) -> Tensor:
            found = terms(model, state, drive, pulls=pulls)
            return torch.stack(list(measures(model, state, batch, found)), 1)

        run = integrate(
            model, batch, times, method=method, rtol=rtol, atol=atol, gradient="none",
            record=["readout", measured],
        )  # fmt: skip
        assert run.readout is not None
        stats.add(run.stats)
        parts.setdefault("logits", []).append(run.readout.cpu().numpy())
        parts.setdefault("measured", []).append(run.observed["measured"].cpu().numpy())
    measured_, logits = (np.concatenate(parts[name], 1) for name in ("measured", "logits"))
    values = np.moveaxis(measured_, (2, 3), (0, 1)).swapaxes(2, 3)  # kind, layer, sample, time
    per_layer = ("layer", "sample", "time")
    about = {
        "long_name": f"projection of the {'pull' if pulls else 'term'} on the derivative",
        "units": "squared activity per squared step",
        "references": PREDIFY,
    }
    return xr.Dataset(
        {
            "projection": (("term", *per_layer), values[:4], about),
            "prediction_error": (
                per_layer, values[4],
                {"long_name": "mean squared prediction error", "units": "squared activity"},
            ),
            "speed": (
                per_layer, values[5],
                {"long_name": "relative speed", "units": "per published step"},
            ),
            "logits": (("time", "sample", "category"), logits, {"long_name": "logit"}),
        },
        coords={
            "term": list(TERMS),
            "layer": list(model.taps.names),
            "sample": np.arange(len(images)),
            "time": ("time", [float(t) for t in times], {"long_name": "time", "units": "1"}),
        },
        attrs=provenance(model, 0, method, rtol, atol, None, stats) | {"pulls": int(pulls)},
    )  # fmt: skip


def measures(
    model: PredictiveCoding, state: State, images: Tensor, found: dict[str, tuple[Tensor, ...]]
) -> list[Tensor]:
    """Return four projections, the prediction error and the speed, each (sample, layer)."""
    slopes = [sum(parts[1:], parts[0]) for parts in zip(*found.values(), strict=True)]
    kinds: list[list[Tensor]] = [
        [(part * slope).flatten(1).sum(1) for part, slope in zip(found[name], slopes, strict=True)]
        for name in TERMS
    ]
    below: tuple[Any, ...] = (images, *state[:-1])
    kinds.append([
        (prediction - target).square().flatten(1).mean(1)
        for prediction, target in zip(model.predictions(state), below, strict=True)
    ])  # fmt: skip
    kinds.append([
        relative(slope.flatten(1).norm(dim=1), e.flatten(1).norm(dim=1))
        for slope, e in zip(slopes, state, strict=True)
    ])  # fmt: skip
    return [torch.stack(kind, 1) for kind in kinds]


def relative(moved: Tensor, size: Tensor) -> Tensor:
    """Return movement over size; 0 where nothing moves, whatever the size."""
    return torch.where(moved == 0, moved, moved / size)


def record_reconstructions(
    model: PredictiveCoding,
    images: Tensor,
    times: Sequence[float],
    *,
    method: str = "dopri5",
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> xr.DataArray:
    """Solve, and return the stimulus as the first layer predicts it, over time.

    Parameters
    ----------
    model, images, times, method, rtol, atol
        As in `record_terms`.

    Returns
    -------
    DataArray
        (time, sample, channel, y, x), in the units of the images.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits(n=2)
    >>> dict(record_reconstructions(pc_shallow(), images, [0.0, 1.0]).sizes)
    {'time': 2, 'sample': 2, 'channel': 1, 'y': 32, 'x': 32}
    """

    def reconstruction(t: Tensor, state: State) -> Tensor:
        return model.decoders[0](state[0])

    run = integrate(
        model, images, times, method=method, rtol=rtol, atol=atol, gradient="none",
        record=reconstruction,
    )  # fmt: skip
    axes = {"time": [float(t) for t in times], "sample": np.arange(len(images))}
    return xr.DataArray(
        run.observed["reconstruction"].cpu().numpy(),
        dims=("time", "sample", "channel", "y", "x"),
        coords=axes,
        name="reconstruction",
        attrs={"long_name": "stimulus as layer 1 predicts it", "units": "1", "solver": method},
    )
