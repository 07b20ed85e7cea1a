"""Gradients of many small networks at once, written out where autograd's bookkeeping dominates."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurodyn.models.grammar_nets import GrammarNets

tanh_backward = torch.ops.aten.tanh_backward
MINUS_ONE = torch.tensor(-1.0)


@dataclass(frozen=True)
class Packed:
    """Strings of several sets side by side, letter after letter, without those that have ended.

    Within a set the strings go from the longest to the shortest, so that at time t only the first
    few rows are left: as many as there are in the set with most.

    Attributes
    ----------
    letters : Tensor
        Shape (set, row, letter), the rows of all times one after the other.
    counts : list of int
        Rows at each time.
    before : Tensor
        Shape (row,): for each row but those of the first time, the same string's at the time
        before.
    end : Tensor
        Shape (set, item): the row of each string's last letter.
    """

    letters: Float[Tensor, "set row letter"]
    counts: list[int]
    before: Int[Tensor, " row"]
    end: Int[Tensor, "set item"]


def packed(x: Float[Tensor, "set item time letter"]) -> Packed:
    """Return strings packed by length.

    Examples
    --------
    >>> from neurodyn.models.grammar_nets import encode
    >>> two = packed(encode(["AB", "BAA"], "AB", 4)[None])
    >>> two.counts, two.end
    ([2, 2, 1], tensor([[3, 4]]))
    """
    length = x.any(-1).sum(-1)
    order = length.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    longest = int(length.max())
    left = (length[..., None] > torch.arange(longest)).sum(1).amax(0)  # (time,)
    counts = [int(n) for n in left]
    start = torch.cat([left.new_zeros(1), left.cumsum(0)])
    row = torch.cat([torch.arange(n) for n in counts])
    time = torch.repeat_interleave(torch.arange(longest), left)
    sets = torch.arange(len(x))[:, None]
    letters = x[sets, order[:, row], time]
    before = (start[time - 1] + row)[counts[0] :]
    return Packed(letters, counts, before, start[length - 1] + rank)


def gradient(
    nets: GrammarNets,
    batch: Packed | Tensor,
    target: Float[Tensor, "set item"],
    which: Int[Tensor, " net"],
    scale: Float[Tensor, " net"],
) -> Float[Tensor, "net item"]:
    r"""Write the gradient of the squared error into ``nets.flat.grad``; return the outputs.

    .. math:: \nabla \sum_n \frac{s_n}{N} \sum_i (P_{ni} - y_{ni})^2

    Parameters
    ----------
    nets : GrammarNets
        The networks. Of "recurrent" and "feedforward" the backward pass is written out.
    batch : Packed or Tensor
        What `prepared` made of the strings of each set.
    target : Tensor
        Shape (set, item): 1 for grammatical strings, 0 for the others.
    which : Tensor
        Shape (net,): the set that each network sees.
    scale : Tensor
        Shape (net,): the factor s of each network.
    """
    target = target[which]
    factor = (2 / target.shape[1]) * scale[:, None]
    if nets.flat.grad is None:
        nets.flat.grad = torch.zeros_like(nets.flat)
    if nets.family not in ("feedforward", "recurrent"):
        assert isinstance(batch, Tensor)
        output = nets(batch[which])
        kept = torch.where(output.isfinite(), output, target)  # no gradient for the diverged
        (found,) = torch.autograd.grad(
            (scale[:, None] * (kept - target) ** 2).mean(1).sum(), nets.flat
        )
        nets.flat.grad.copy_(found)
        return output.detach()
    with torch.no_grad():
        w, g = nets.weights(), nets.weights(nets.flat.grad)
        if isinstance(batch, Packed):
            states = recurrent_states(nets.layers, w, batch, which)
            end = batch.end[which][..., None].expand(-1, -1, nets.width)
            top = states[-1].gather(1, end)
        else:
            states = dense_states(nets.layers, w, batch[which])
            top = states[-1]
        output = torch.baddbmm(w["bias"][:, None], top, w["kernel"]).sigmoid_()
        error = (output[..., 0] - target).mul_(factor)[..., None] * output * (1 - output)
        torch.bmm(top.mT, error, out=g["kernel"])
        torch.sum(error, 1, out=g["bias"])
        below = error * w["kernel"].mT
        if isinstance(batch, Packed):
            below = torch.zeros_like(states[-1]).scatter_(1, end, below)
            recurrent_backward(nets.layers, w, g, batch, states, below)
        else:
            dense_backward(nets.layers, w, g, states, below)
        return output[..., 0]


def prepared(nets: GrammarNets, x: Float[Tensor, "set item time letter"]) -> Packed | Tensor:
    """Return strings as `gradient` and `outputs` take them for the networks' family."""
    if nets.family == "recurrent":
        return packed(x)
    return x.flatten(2) if nets.family == "feedforward" else x


@torch.no_grad()
def outputs(
    nets: GrammarNets, x: Float[Tensor, "set item time letter"], which: Int[Tensor, " net"]
) -> Float[Tensor, "net item"]:
    """Return P(grammatical) of each network for the strings of its set, without a graph."""
    found = []
    for some in x.split(150, 1):
        if nets.family == "recurrent":
            w, batch = nets.weights(), packed(some)
            state = recurrent_states(nets.layers, w, batch, which)[-1]
            end = batch.end[which][..., None].expand(-1, -1, nets.width)
            top = torch.baddbmm(w["bias"][:, None], state.gather(1, end), w["kernel"])
            found.append(top[..., 0].sigmoid())
        else:
            found.append(nets(some[which]))
    return torch.cat(found, 1)


def dense_states(layers: int, w: dict[str, Tensor], h: Tensor) -> list[Tensor]:
    """Return the letters and the states of all layers of feedforward networks."""
    states = [h]
    for layer in range(layers):
        h = torch.baddbmm(w[f"bias{layer}"][:, None], h, w[f"kernel{layer}"]).relu_()
        states.append(h)
    return states


def dense_backward(
    layers: int, w: dict[str, Tensor], g: dict[str, Tensor], states: list[Tensor], error: Tensor
) -> None:
    """Write the gradients of feedforward layers; `error` is the loss's at the last one."""
    for layer in reversed(range(layers)):
        error = torch.ops.aten.threshold_backward(error, states[layer + 1], 0)
        torch.bmm(states[layer].mT, error, out=g[f"kernel{layer}"])
        torch.sum(error, 1, out=g[f"bias{layer}"])
        if layer:
            error = torch.bmm(error, w[f"kernel{layer}"].mT)


def recurrent_states(
    layers: int, w: dict[str, Tensor], batch: Packed, which: Tensor
) -> list[Tensor]:
    """Return the letters and the states of all layers of recurrent networks, rows packed.

    Rows of a string that has ended, where another set's has not, hold what no one reads.
    """
    states = [batch.letters[which]]
    for layer in range(layers):
        drive = torch.baddbmm(w[f"bias{layer}"][:, None], states[-1], w[f"kernel{layer}"])
        h = torch.empty_like(drive)
        start, n = 0, batch.counts[0]
        tanh_of_half(2 * drive[:, :n], h[:, :n])
        for m in batch.counts[1:]:
            z = torch.baddbmm(
                drive[:, start + n : start + n + m], h[:, start : start + m],
                w[f"recurrent{layer}"], beta=2, alpha=2,
            )  # fmt: skip
            start, n = start + n, m
            tanh_of_half(z, h[:, start : start + m])
        states.append(h)
    return states


def tanh_of_half(z: Tensor, out: Tensor) -> None:
    """Write tanh(z / 2) = 2 sigmoid(z) - 1, several times faster than torch.tanh; z is lost."""
    torch.add(MINUS_ONE, z.sigmoid_(), alpha=2, out=out)


def recurrent_backward(
    layers: int, w: dict[str, Tensor], g: dict[str, Tensor], batch: Packed,
    states: list[Tensor], error: Tensor,
) -> None:  # fmt: skip
    """Write the gradients of recurrent layers: backpropagation through time, layer by layer.

    `error` is the loss's gradient at the last layer, rows packed; it is overwritten.
    """
    for layer in reversed(range(layers)):
        h, recurrent = states[layer + 1], w[f"recurrent{layer}"].mT
        stop, later = error.shape[1], 0
        for m in reversed(batch.counts):
            start = stop - m
            if later:
                error[:, start : start + later] = torch.baddbmm(
                    error[:, start : start + later], error[:, stop : stop + later], recurrent
                )
            now = error[:, start:stop]
            tanh_backward.grad_input(now, h[:, start:stop], grad_input=now)
            stop, later = start, m
        first = batch.counts[0]
        if first < h.shape[1]:
            before = h.index_select(1, batch.before)
            torch.bmm(before.mT, error[:, first:], out=g[f"recurrent{layer}"])
        else:
            g[f"recurrent{layer}"].zero_()
        torch.bmm(states[layer].mT, error, out=g[f"kernel{layer}"])
        torch.sum(error, 1, out=g[f"bias{layer}"])
        if layer:
            error = torch.bmm(error, w[f"kernel{layer}"].mT)
