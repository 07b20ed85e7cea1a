"""Networks that judge strings, many at once: feedforward, recurrent, gated, continuous in time."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.models.continuous_rnn import ContinuousRNN
from neurodyn.stimuli.abstract_grammar import split_tokens

FAMILIES = ("feedforward", "recurrent", "lstm", "gru", "continuous")
BUDGETS = (1400, 7900, 31_000, 122_000)
"""The published numbers of free parameters."""
GATES = {"feedforward": 1, "recurrent": 1, "lstm": 4, "gru": 3, "continuous": 1}
REFERENCES = "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861"


def shapes(
    family: str, layers: int, width: int, letters: int, max_length: int
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of one network, by name, in the order they are stored.

    Parameters
    ----------
    family : {"feedforward", "recurrent", "lstm", "gru", "continuous"}
        The kind of network; the last has the weights of "recurrent".
    layers, width : int
        Hidden layers, and units in each.
    letters, max_length : int
        Size of the alphabet, and letters in the longest string (of "feedforward" alone).

    Examples
    --------
    >>> shapes("recurrent", 1, 3, letters=4, max_length=12)
    {'kernel0': (4, 3), 'recurrent0': (3, 3), 'bias0': (3,), 'kernel': (3, 1), 'bias': (1,)}
    """
    if family not in FAMILIES:
        raise ValueError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
    given = {"layers": layers, "width": width, "letters": letters, "max_length": max_length}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1 up, got {value!r}")
    gates = GATES[family] * width
    found: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        below = width if layer else letters * (max_length if family == "feedforward" else 1)
        found[f"kernel{layer}"] = (below, gates)
        if family != "feedforward":
            found[f"recurrent{layer}"] = (width, gates)
        found[f"bias{layer}"] = (gates,)
        if family == "gru":
            found[f"recurrent_bias{layer}"] = (gates,)
    return found | {"kernel": (width, 1), "bias": (1,)}


def parameter_count(family: str, layers: int, width: int, letters: int, max_length: int) -> int:
    r"""Return the number of free parameters of a network of equally wide layers.

    .. math:: P_\mathrm{feedforward} = (T K n + n) + (L - 1)(n^2 + n) + (n + 1)

    .. math:: P_\mathrm{recurrent} = (K n + n^2 + n) + (L - 1)(2 n^2 + n) + (n + 1)

    with L hidden layers of n units, K letters and strings of up to T letters. An LSTM has four
    times as many hidden parameters as "recurrent"; a GRU three times, and a second bias.

    Parameters
    ----------
    family, layers, width, letters, max_length
        As in `shapes`.

    Examples
    --------
    >>> parameter_count("recurrent", 2, 20, letters=4, max_length=12)
    1341
    """
    return sum(map(prod, shapes(family, layers, width, letters, max_length).values()))


def width_for(family: str, layers: int, budget: int, letters: int, max_length: int) -> int:
    """Return the width whose parameter count is nearest to a budget; of two, the smaller.

    *Reconstruction*: published are the budgets, and that they were met roughly; with two recurrent
    layers these widths, 20, 50, 100 and 200, give exactly the published budgets.

    Parameters
    ----------
    family, layers, letters, max_length
        As in `shapes`.
    budget : int
        Free parameters aimed at, published 1,400, 7,900, 31,000 and 122,000.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861.

    Examples
    --------
    >>> [width_for("recurrent", 2, budget, letters=4, max_length=12) for budget in BUDGETS]
    [20, 50, 100, 200]
    """

    def count(width: int) -> int:
        return parameter_count(family, layers, width, letters, max_length)

    least = count(1)
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or budget < least:
        raise ValueError(
            f"budget must be a whole number of parameters, {least} or more for {layers} layers "
            f"and {letters} letters, got {budget!r}"
        )
    low, high = 1, 2
    while count(high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return low if budget - count(low) <= count(high) - budget else high


def encode(
    strings: Sequence[str], alphabet: Sequence[str], max_length: int
) -> Float[Tensor, "item time letter"]:
    """Return strings as one-hot letters, zeros after the last one.

    Parameters
    ----------
    strings : sequence of str
        One character a letter; one space between them where any of the alphabet is longer.
    alphabet : sequence of str
        All letters, in the order of the last axis.
    max_length : int
        Length of the time axis.

    Examples
    --------
    >>> encode(["BA"], ("A", "B"), 3)
    tensor([[[0., 1.],
             [1., 0.],
             [0., 0.]]])
    """
    place = {letter: k for k, letter in enumerate(alphabet)}
    rows: list[int] = []
    times: list[int] = []
    letters: list[int] = []
    for i, string in enumerate(strings):
        found = split_tokens(string, alphabet)
        if not 1 <= len(found) <= max_length:
            raise ValueError(
                f"string {string!r} has {len(found)} letters; give 1 to max_length={max_length}"
            )
        for letter in found:
            if letter not in place:
                raise ValueError(
                    f"letter {letter!r} of string {string!r} is not in the alphabet "
                    f"{', '.join(place)}; a space stands between letters, one, where any of them "
                    "is longer than a character, and only there"
                )
        rows += [i] * len(found)
        times += range(len(found))
        letters += [place[letter] for letter in found]
    code = torch.zeros(len(strings), max_length, len(place))
    code[rows, times, letters] = 1
    return code


def initial(family: str, of: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Return the untrained weights of one network, by Keras' defaults.

    Kernels are Glorot-uniform, recurrent kernels orthogonal, biases zero, an LSTM's forget gate's
    one. *Reconstruction*: the published initialisation is "random".
    """
    draw = torch.Generator().manual_seed(seed)
    found = {name: torch.zeros(shape) for name, shape in of.items()}
    for name, weight in found.items():
        if name.startswith("kernel"):
            nn.init.xavier_uniform_(weight, generator=draw)
        elif name.startswith("recurrent") and weight.ndim == 2:
            nn.init.orthogonal_(weight, generator=draw)
        elif family == "lstm" and name.startswith("bias") and len(weight) > 1:
            weight[len(weight) // 4 : len(weight) // 2] = 1
    return found


class GrammarNets(nn.Module):
    r"""A stack of networks of one family and size, each with weights of its own.

    .. math:: h^l = \mathrm{relu}(h^{l-1} U_l + b_l), \qquad h^0 = (x_1, \ldots, x_T)

    for "feedforward", and for "recurrent"

    .. math:: h^l_t = \tanh(h^{l-1}_t U_l + h^l_{t-1} W_l + b_l), \qquad h^0_t = x_t

    .. math:: P(\mathrm{grammatical}) = \sigma(h^L w + c)

    with one-hot letters x. Recurrent networks are read after the last letter of each string, the
    feedforward one sees all letters side by side, zeros after the last. "lstm" and "gru" have the
    equations and the gates' order of `torch.nn.LSTM` and `torch.nn.GRU`; "continuous" is
    `neurodyn.models.continuous_rnn.ContinuousRNN`. Published are the first two; tanh and the
    initial weights are reconstructed.

    Parameters
    ----------
    family : {"feedforward", "recurrent", "lstm", "gru", "continuous"}
        The kind of network.
    layers, width : int
        Hidden layers, and units in each; `width_for` meets a number of parameters.
    letters, max_length : int
        Size of the alphabet, and letters in the longest string.
    seeds : sequence of int
        One for each network: its untrained weights depend on it alone.
    method, step_size
        How "continuous" is integrated, as in `neurodyn.integrate`; a letter lasts one unit of time.
        Adaptive methods take no `step_size`: give None.

    Attributes
    ----------
    flat : nn.Parameter
        All weights, one after the other; `weights` gives them by name.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861.

    Examples
    --------
    >>> nets = GrammarNets("recurrent", layers=2, width=20, letters=4, max_length=12, seeds=[0, 1])
    >>> x = encode(["XVJ", "VT"], "XVJT", 12)
    >>> nets(x.expand(2, -1, -1, -1)).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        family: str,
        *,
        layers: int,
        width: int,
        letters: int,
        max_length: int,
        seeds: Sequence[int],
        method: str = "rk4",
        step_size: float | None = 0.5,
    ) -> None:
        super().__init__()
        self.shapes = shapes(family, layers, width, letters, max_length)
        if not len(seeds):
            raise ValueError("seeds must name at least one network, got none")
        self.family, self.layers, self.width = family, layers, width
        self.nets = len(seeds)
        drawn = {seed: initial(family, self.shapes, int(seed)) for seed in dict.fromkeys(seeds)}
        self.flat = nn.Parameter(
            torch.cat([torch.stack([drawn[s][name] for s in seeds]).flatten()
                       for name in self.shapes])
        )  # fmt: skip
        self.method, self.step_size = method, step_size

    def weights(self, flat: Tensor | None = None) -> dict[str, Tensor]:
        """Return the weights by name, network first: views of `flat`, or of one laid out so."""
        flat = self.flat if flat is None else flat
        parts = flat.split([self.nets * prod(shape) for shape in self.shapes.values()])
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part.view(self.nets, *shape) for (name, shape), part in named}

    def finite(self) -> Tensor:
        """Return which networks have finite weights only."""
        parts = [w.flatten(1).isfinite().all(1) for w in self.weights(self.flat.detach()).values()]
        return torch.stack(parts).all(0)

    def forward(self, x: Float[Tensor, "net item time letter"]) -> Float[Tensor, "net item"]:
        """Return P(grammatical); NaN for networks that have diverged."""
        w = self.weights()
        if self.family == "continuous":
            return self.integrated(x)
        h = x.flatten(2) if self.family == "feedforward" else x
        for layer in range(self.layers):
            kernel, bias = w[f"kernel{layer}"], w[f"bias{layer}"]
            if self.family == "feedforward":
                h = (h @ kernel + bias[:, None]).relu()
            else:
                drive = torch.einsum("nitk,nkh->nith", h, kernel) + bias[:, None, None]
                h = self.scan(drive, w[f"recurrent{layer}"], w.get(f"recurrent_bias{layer}"))
        if self.family != "feedforward":
            h = at_last_letter(h, x)
        return (h @ w["kernel"] + w["bias"][:, None])[..., 0].sigmoid()

    def scan(
        self, drive: Float[Tensor, "net item time gate"], recurrent: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "net item time unit"]:
        """Return the states of one layer from what its input contributes to each gate."""
        h = drive.new_zeros(*drive.shape[:2], self.width)
        c, states = h, []
        for x in drive.unbind(2):
            back = h @ recurrent
            if self.family == "recurrent":
                h = (x + back).tanh()
            elif self.family == "lstm":
                i, f, g, o = (x + back).chunk(4, -1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            else:
                assert bias is not None
                r, z, n = x.chunk(3, -1)
                r_back, z_back, n_back = (back + bias[:, None]).chunk(3, -1)
                z = (z + z_back).sigmoid()
                n = (n + (r + r_back).sigmoid() * n_back).tanh()
                h = (1 - z) * n + z * h
            states.append(h)
        return torch.stack(states, 2)

    def integrated(self, x: Float[Tensor, "net item time letter"]) -> Float[Tensor, "net item"]:
        """Return the output of the continuous networks, read when the last letter has passed."""
        well = self.finite()
        longest = int(x.detach().any(-1).sum(-1).max())
        films = x[:, :, :longest].permute(2, 1, 0, 3)
        run = nd.integrate(
            ContinuousRNN(self),
            nd.Film(films, [float(t) for t in range(longest)]),
            [float(t) for t in range(longest + 1)],
            method=self.method,
            options=None if self.step_size is None else {"step_size": self.step_size},
            record="readout",
        )
        assert run.readout is not None
        output = at_last_letter(run.readout[1:].permute(2, 1, 0)[..., None], x)[..., 0]
        return output.masked_fill(~well[:, None], torch.nan)


def at_last_letter(
    states: Float[Tensor, "net item time unit"], x: Float[Tensor, "net item time letter"]
) -> Float[Tensor, "net item unit"]:
    """Return the states at the time of each string's last letter."""
    end = x.detach().any(-1).sum(-1) - 1
    return states.gather(2, end[..., None, None].expand(-1, -1, 1, states.shape[-1]))[:, :, 0]
