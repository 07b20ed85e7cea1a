"""Keys and queries of the nodes of one layer: pooled over them, and read by each."""

import torch
from jaxtyping import Float
from torch import Tensor

FLOOR = 0.05
"""Added to a key's length when it is divided by it, in mean lengths of its layer."""
ROUNDING = 1e-5
"""The same of lengths before centring: where all nodes are alike, no key is left but rounding."""
TINY = 1e-20


class CosineKeys:
    r"""Keys divided by their length, of the nodes of one layer.

    .. math:: \hat k_i =
        \frac{k_i}{|k_i| + 0.05\, \langle |k| \rangle + 10^{-5} \langle |k'| \rangle}

    with k' the keys before they are centred. Their lengths have to be known, so that the keys of
    all nodes are computed, once.

    Parameters
    ----------
    k, q : Tensor
        Keys and queries (sample, node, dim); the same tensor where each node's query is its key.
    """

    def __init__(self, k: Tensor, q: Tensor) -> None:
        self.k, self.q = k, q
        self.nodes = k.shape[1]

    @classmethod
    def of(cls, activity: Tensor, key: Tensor, query: Tensor, centred: bool) -> "CosineKeys":
        """Return the keys of an activity (sample, channel, y, x) or (sample, unit).

        `key` and `query` are (channel, dim), or (unit, dim): each unit has its own.
        """
        q = unit_length(of_nodes(activity, query), centred)
        return cls(q if query is key else unit_length(of_nodes(activity, key), centred), q)

    @staticmethod
    def mean_query(activity: Tensor, query: Tensor) -> Float[Tensor, "sample dim"]:
        """Return the mean over nodes of their queries, which are not centred."""
        return unit_length(of_nodes(activity, query), centred=False).mean(1)

    def pooled(self, waves: Float[Tensor, "sample n node"]) -> Float[Tensor, "sample n dim"]:
        """Return the sums over nodes of keys times some weights."""
        return torch.bmm(waves, self.k)

    def read(self, pooled: Float[Tensor, "sample n dim"]) -> Float[Tensor, "sample n node"]:
        """Return the products of each node's query with pooled keys."""
        return torch.bmm(pooled, self.q.transpose(1, 2))

    def agree(self, query: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample node"]:
        """Return the products of each node's key with one query."""
        return torch.bmm(query[:, None], self.k.transpose(1, 2))[:, 0]

    def mean_squares(self) -> tuple[Tensor, Tensor]:
        """Return 1 for keys and queries: there is nothing left to divide by."""
        one = torch.ones_like(self.k[:, 0, 0])
        return one, one


class DotKeys:
    """Keys as they are, of the nodes of one layer; they are linear, so that they are never built.

    Activities are pooled first and projected afterwards; pooled keys are projected back and meet
    activities: the work grows with channels, not with channels times the dimension of keys.

    Parameters
    ----------
    activity : Tensor
        (sample, channel, y, x) or (sample, unit).
    key, query : Tensor
        (channel, dim), or (unit, dim): each unit has its own.
    centred : bool
        Take the layer's mean off keys and queries.
    squares : tuple of two Tensor, optional
        What `mean_squares` returns, if it is known.
    """

    def __init__(
        self, activity: Tensor, key: Tensor, query: Tensor, centred: bool,
        squares: tuple[Tensor, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.maps = activity.ndim > 2
        self.m = by_node(activity) if self.maps else activity
        self.key, self.query, self.centred, self.squares = key, query, centred, squares
        self.nodes = self.m.shape[1]
        self.mean = self.m.mean(1) if self.maps else activity / self.nodes

    @staticmethod
    def mean_query(activity: Tensor, query: Tensor) -> Float[Tensor, "sample dim"]:
        """Return the mean over nodes of their queries, which are not centred."""
        maps = activity.ndim > 2
        return (activity.mean((2, 3)) if maps else activity / activity.shape[1]) @ query

    def pooled(self, waves: Float[Tensor, "sample n node"]) -> Float[Tensor, "sample n dim"]:
        """Return the sums over nodes of keys times some weights."""
        total = torch.bmm(waves, self.m) if self.maps else waves * self.m[:, None]
        if self.centred:
            total = total - waves.sum(2, keepdim=True) * self.mean[:, None]
        return total @ self.key

    def read(self, pooled: Float[Tensor, "sample n dim"]) -> Float[Tensor, "sample n node"]:
        """Return the products of each node's query with pooled keys."""
        return self._met(pooled @ self.query.T)

    def agree(self, query: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample node"]:
        """Return the products of each node's key with one query."""
        return self._met((query @ self.key.T)[:, None])[:, 0]

    def _met(self, weight: Float[Tensor, "sample n channel"]) -> Float[Tensor, "sample n node"]:
        """Return the products of each node's activity with weights, its layer's mean taken off."""
        met = torch.bmm(weight, self.m.transpose(1, 2)) if self.maps else weight * self.m[:, None]
        if self.centred:
            met = met - torch.bmm(weight, self.mean[..., None])
        return met

    def mean_squares(self) -> tuple[Tensor, Tensor]:
        """Return the mean squared length of keys and of queries, (sample,) each."""
        if self.squares is not None:
            return self.squares
        found = []
        second = torch.bmm(self.m.transpose(1, 2), self.m) if self.maps else None
        for weight in (self.key,) if self.query is self.key else (self.key, self.query):
            if second is not None:
                square = ((second @ weight) * weight).sum((1, 2)) / self.nodes
            else:
                square = (self.m.square() @ weight.square().sum(1)) / self.nodes
            if self.centred:
                square = (square - (self.mean @ weight).square().sum(1)).clamp_min(0)
            found.append(square)
        return found[0], found[-1]


Keys = CosineKeys | DotKeys


def by_node(activity: Float[Tensor, "sample channel y x"]) -> Float[Tensor, "sample node channel"]:
    """Return a map as a list of its locations; in channels-last memory nothing is copied."""
    return activity.permute(0, 2, 3, 1).flatten(1, 2)


def of_nodes(activity: Tensor, weight: Tensor) -> Float[Tensor, "sample node dim"]:
    """Return K^T m of each location, or m_i K_i of each unit."""
    return by_node(activity) @ weight if activity.ndim > 2 else activity[..., None] * weight


def unit_length(
    k: Float[Tensor, "sample node dim"], centred: bool
) -> Float[Tensor, "sample node dim"]:
    """Return keys over their length, centred first if so wanted."""
    before = length = lengths(k)
    if centred:
        k = k - k.mean(1, keepdim=True)
        length = lengths(k)
    floor = FLOOR * length.mean(1, keepdim=True) + ROUNDING * before.mean(1, keepdim=True)
    return k / (length + floor)


def lengths(k: Float[Tensor, "sample node dim"]) -> Float[Tensor, "sample node 1"]:
    """Return |k|, with a gradient where k is 0."""
    return (k.square().sum(2, keepdim=True) + TINY).sqrt()
