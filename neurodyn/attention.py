"""Self-attention on maps: between their positions, or between their channels."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import skip_init

from neurodyn.keys import by_node

Tokens = Float[Tensor, "sample token d"]
Maps = Float[Tensor, "sample channel y x"]


class EncoderBlock(nn.Module):
    r"""The block of a transformer's encoder, with its norms after the sums.

    .. math:: Y = \mathrm{LN}(S + \mathrm{MHA}(X))

    .. math:: \mathrm{MHA}(X) = [H_1 \dots H_h]\, W_o + b_o

    .. math:: H_i = \mathrm{softmax}\!\left(Q_i K_i^\top / \sqrt{d/h}\right) V_i

    .. math:: [Q \; K \; V] = X W + b

    with tokens X (token, d), heads i of d / h columns each, and the skip S, which is X unless
    another is given. With `feedforward` a second half follows, of one linear layer:

    .. math:: Z = \mathrm{LN}(Y + \mathrm{relu}(Y W_f + b_f))

    *Provenance*: read in code that the first author of arXiv:2108.03603 wrote for a later project:
    norms after the sums, a second half by a flag, dropout of .1. The paper's body was not read.

    Parameters
    ----------
    dim : int
        d, the length of a token.
    heads : int
        h, a divisor of d.
    feedforward : bool
        Whether there is a second half.
    dropout : float
        The share of what is added to a skip that is set to 0 in training.
    seed : int
        Of the weights, which begin as those of torch's own multi-head attention.

    Raises
    ------
    ValueError
        If d is not a multiple of h, or is 1.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762.

    Examples
    --------
    >>> block = EncoderBlock(8, heads=2).eval()
    >>> x = torch.rand(3, 5, 8)
    >>> block(x).shape, block.weights(x).shape
    (torch.Size([3, 5, 8]), torch.Size([3, 2, 5, 5]))
    """

    def __init__(
        self, dim: int, heads: int = 1, *, feedforward: bool = False, dropout: float = 0.1,
        seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(heads, int) or min(dim, heads) < 1 or dim % heads:
            raise ValueError(
                f"{heads!r} heads do not divide tokens of length {dim}; give a whole divisor"
            )
        if dim < 2:
            raise ValueError(
                "tokens of length 1 are all the same behind a norm: take maps of more channels "
                "or, for attention between channels, of more positions"
            )
        self.heads = heads
        with torch.device("cpu"):
            self.qkv = skip_init(nn.Linear, dim, 3 * dim)
            self.out = skip_init(nn.Linear, dim, dim)
            self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)
            self.feedforward = skip_init(nn.Linear, dim, dim) if feedforward else None
            self.norm2 = nn.LayerNorm(dim) if feedforward else None
        generator = torch.Generator().manual_seed(seed)
        nn.init.xavier_uniform_(self.qkv.weight, generator=generator)
        nn.init.zeros_(self.qkv.bias)
        for linear in (self.out, self.feedforward):
            if linear is not None:
                nn.init.uniform_(linear.weight, -(dim**-0.5), dim**-0.5, generator=generator)
                nn.init.zeros_(linear.bias)

    def forward(self, x: Tokens, skip: Tokens | None = None) -> Tokens:
        """Return the tokens after attention."""
        q, k, v = self.split(x)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        y = self.norm((x if skip is None else skip) + self.dropout(self.out(attended)))
        if self.feedforward is None or self.norm2 is None:
            return y
        return self.norm2(y + self.dropout(F.relu(self.feedforward(y))))

    def weights(self, x: Tokens) -> Float[Tensor, "sample head target source"]:
        """Return how much each token, the target, attends to each source; they sum to 1."""
        q, k, _ = self.split(x)
        return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)

    def split(self, x: Tokens) -> tuple[Tensor, ...]:
        """Return queries, keys and values, each (sample, head, token, d / h)."""
        return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()


class Attention(nn.Module, ABC):
    """Self-attention that takes maps and returns maps: what is a token, a subclass says."""

    block: EncoderBlock

    def forward(self, maps: Maps, skip: Tokens | None = None) -> Maps:
        """Return the maps after attention; `skip` are tokens, those of the maps by default."""
        return self.maps(self.block(self.tokens(maps), skip), maps)

    def weights(self, maps: Maps) -> Float[Tensor, "sample head target source"]:
        """Return the attention of each token, the target, to each source."""
        return self.block.weights(self.tokens(maps))

    @abstractmethod
    def tokens(self, maps: Maps) -> Tokens:
        """Return maps as tokens."""

    @abstractmethod
    def maps(self, tokens: Tokens, like: Maps) -> Maps:
        """Return tokens as maps of the shape of others."""


class SpatialAttention(Attention):
    r"""Attention between positions: a token is the channels of one position.

    .. math:: X_{p} = (m_1(p), \dots, m_C(p))

    with maps :math:`m_c` and positions p; the matrix of attention is (y x, y x). Tokens do not
    say where they are: a permutation of the positions permutes the output.

    *Provenance*: read in the later code that `EncoderBlock` names: no positional encoding; either
    as it stands, or between two 3x3 convolutions to fewer channels and back.

    Parameters
    ----------
    channels : int
        C, of the maps.
    heads : int
        A divisor of the tokens' length.
    inner : int, optional
        The tokens' length, if it is not C: reached by a 3x3 convolution, without bias, and left by
        another one.
    feedforward, dropout, seed
        As of `EncoderBlock`.

    Raises
    ------
    ValueError
        For maps with another number of channels.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603.

    Examples
    --------
    >>> attention = SpatialAttention(16, heads=4).eval()
    >>> maps = torch.rand(2, 16, 6, 5)
    >>> attention(maps).shape, attention.weights(maps).shape
    (torch.Size([2, 16, 6, 5]), torch.Size([2, 4, 30, 30]))
    """

    def __init__(
        self, channels: int, heads: int = 1, *, inner: int | None = None, feedforward: bool = False,
        dropout: float = 0.1, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.channels = channels
        dim = channels if inner is None else inner
        self.block = EncoderBlock(dim, heads, feedforward=feedforward, dropout=dropout, seed=seed)
        self.squeeze, self.expand = None, None
        if inner is not None:
            self.squeeze = skip_init(nn.Conv2d, channels, inner, 3, padding=1, bias=False)
            self.expand = skip_init(nn.Conv2d, inner, channels, 3, padding=1, bias=False)
            generator = torch.Generator().manual_seed(seed + 1)
            for convolution in (self.squeeze, self.expand):
                bound = convolution.weight[0].numel() ** -0.5
                nn.init.uniform_(convolution.weight, -bound, bound, generator=generator)

    def tokens(self, maps: Maps) -> Tokens:
        """Return (sample, position, channel)."""
        if maps.ndim != 4 or maps.shape[1] != self.channels:
            raise ValueError(
                f"this attention is for maps (sample, {self.channels}, y, x), got "
                f"{tuple(maps.shape)}"
            )
        return by_node(maps if self.squeeze is None else self.squeeze(maps))

    def maps(self, tokens: Tokens, like: Maps) -> Maps:
        """Return positions in their places, and in memory as the other maps lie."""
        maps = tokens.mT.unflatten(2, like.shape[2:])
        maps = maps if like.stride(1) == 1 else maps.contiguous()
        return maps if self.expand is None else self.expand(maps)


class FeatureAttention(Attention):
    r"""Attention between channels: a token is one map, and knows which.

    .. math:: X_c = (m_c(p_1), \dots, m_c(p_N)) + E_c

    .. math:: E_{c,2i} = \sin\!\left(c / 10000^{2i/N}\right), \qquad
        E_{c,2i+1} = \cos\!\left(c / 10000^{2i/N}\right)

    with maps :math:`m_c` over N positions; the matrix of attention is (channel, channel).

    *Provenance*: read in the later code that `EncoderBlock` names, where it has one head.

    Parameters
    ----------
    channels, positions : int
        Of the maps: their number, and N = y x.
    heads : int
        A divisor of N.
    feedforward, dropout, seed
        As of `EncoderBlock`.

    Raises
    ------
    ValueError
        For maps of another size.

    Warnings
    --------
    The norm is over positions, and its gains begin at 1: then the mean of every map it returns is
    0. Where only a mean over positions follows, as after the last stage of a ResNet, the output of
    an untrained network is the same for all images, and nothing below the norm has a gradient.
    Training starts late (by some 40 steps of Adam in a small ResNet), until gains differ.

    References
    ----------
    Vaishnav, Cadene, Alamia, Linsley, VanRullen & Serre (2022), arXiv:2108.03603.

    Examples
    --------
    >>> attention = FeatureAttention(16, 6 * 5).eval()
    >>> maps = torch.rand(2, 16, 6, 5)
    >>> attention(maps).shape, attention.weights(maps).shape
    (torch.Size([2, 16, 6, 5]), torch.Size([2, 1, 16, 16]))
    """

    encoding: Tensor

    def __init__(
        self, channels: int, positions: int, heads: int = 1, *, feedforward: bool = False,
        dropout: float = 0.1, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.block = EncoderBlock(
            positions, heads, feedforward=feedforward, dropout=dropout, seed=seed
        )
        self.register_buffer("encoding", sinusoids(channels, positions), persistent=False)

    def tokens(self, maps: Maps) -> Tokens:
        """Return (sample, channel, position), encoded."""
        if maps.flatten(2).shape[1:] != self.encoding.shape:
            raise ValueError(
                f"this attention is for {self.encoding.shape[0]} maps of {self.encoding.shape[1]} "
                f"positions, got {tuple(maps.shape)}"
            )
        return maps.flatten(2) + self.encoding

    def maps(self, tokens: Tokens, like: Maps) -> Maps:
        """Return each token as a map."""
        return tokens.unflatten(2, like.shape[2:])


def sinusoids(n: int, dim: int) -> Float[Tensor, "n dim"]:
    r"""Return sines and cosines of n numbers, in turns, at ever lower frequencies.

    .. math:: E_{c,2i} = \sin\!\left(c / 10000^{2i/d}\right), \qquad
        E_{c,2i+1} = \cos\!\left(c / 10000^{2i/d}\right)

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762.
    """
    column, row = (torch.arange(m, dtype=torch.float64, device="cpu") for m in (dim, n))
    angle = row[:, None] / 10000 ** (column[::2] / dim)
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, :dim].float()
