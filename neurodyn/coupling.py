"""How oscillators are coupled: by a kernel over a map, by a graph, by their mean field.

Each coupling is the linear map x -> K x, (K x)_i = sum_j K_ij x_j, target i, source j.
"""

from typing import Any, Literal

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

PADDING = ("zeros", "circular", "replicate")
CROWDED = 16
"""Channels from which a convolution fills the vector units of a CPU by itself."""


class Coupling(nn.Module):
    """A linear map over the oscillators of a sample, prepared once a run."""

    dims: tuple[str, ...]

    def prepare(self, like: Tensor) -> Tensor:
        """Return the weights in the form `forward` takes, for samples that look like one."""
        raise NotImplementedError

    def forward(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return K x for every sample."""
        raise NotImplementedError

    def asymmetry(self) -> float:
        """Return the largest difference of K and its transpose, relative to the largest entry."""
        raise NotImplementedError


class Convolution(Coupling):
    r"""Couple the oscillators of a map by a kernel over their neighbourhood.

    .. math:: (K x)_{o,p} = \sum_{c,d} K_{o,c,d}\, x_{c,p+d}

    Parameters
    ----------
    kernel : Tensor
        Shape (target channel, source channel, y, x), odd height and width. An ``nn.Parameter``
        is trained, any other tensor is not.
    padding : {"zeros", "circular", "replicate"}
        What lies beyond the border: nothing (as published; oscillators at the border then have
        fewer neighbours), the other side, or the border again.
    dtype : torch.dtype, optional
        In which the products are formed, e.g. ``torch.bfloat16`` (relative error about 4e-3, too
        much for adaptive tolerances below 1e-3).

    Notes
    -----
    With few channels a convolution leaves most of a CPU's vector units idle. There the map is
    folded: even and odd columns become channels, and the kernel its exact equivalent over them
    (8 channels of 13 x 13 become 16 of 13 x 7).
    """

    dims = ("channel", "y", "x")
    kernel: Tensor

    def __init__(
        self,
        kernel: Float[Tensor, "target source y x"],
        padding: Literal["zeros", "circular", "replicate"] = "zeros",
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if kernel.ndim != 4 or kernel.shape[0] != kernel.shape[1]:
            raise ValueError(
                "a kernel is (target channel, source channel, y, x) with as many targets as "
                f"sources; got shape {tuple(kernel.shape)}"
            )
        if not kernel.shape[2] % 2 or not kernel.shape[3] % 2:
            raise ValueError(f"a kernel has odd height and width, got {tuple(kernel.shape[2:])}")
        if padding not in PADDING:
            raise ValueError(f"padding {padding!r} is not one of {', '.join(PADDING)}")
        hold(self, "kernel", kernel)
        self.padding = padding
        self.dtype = dtype

    def prepare(self, like: Tensor) -> Tensor:
        """Return the kernel, folded where that is faster."""
        channels = self.kernel.shape[1]
        if like.ndim != 4 or like.shape[1] != channels:
            raise ValueError(
                f"this kernel couples maps (sample, {channels}, y, x), got {tuple(like.shape)}"
            )
        folds = like.shape[3] % 2 == 0 and channels < CROWDED and like.device.type == "cpu"
        kernel = self.kernel.to(like.dtype)
        return fold_kernel(kernel) if folds else kernel

    def forward(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return K x for maps (sample, channel, y, x)."""
        folded = weights.shape[0] != x.shape[1]
        rows, columns = weights.shape[2] // 2, weights.shape[3] // 2
        padding = (rows, columns)
        if self.padding != "zeros":
            wide = 2 * columns if folded else columns
            x = F.pad(x, (wide, wide, rows, rows), mode=self.padding)
            padding = (0, 0)
        source = fold(x) if folded else x
        if self.dtype is not None:
            weights, source = weights.to(self.dtype), source.to(self.dtype)
        out = F.conv2d(source, weights, padding=padding)
        return (unfold(out) if folded else out).to(x.dtype)

    def asymmetry(self) -> float:
        """Return the largest difference of K and its transpose, relative to the largest entry."""
        if self.padding == "replicate":
            return 1.0  # a border oscillator is read by more than it reads
        kernel = self.kernel.detach()
        return relative(kernel - kernel.transpose(0, 1).flip(2, 3), kernel)


def fold(x: Float[Tensor, "sample channel y x"]) -> Float[Tensor, "sample channel2 y u"]:
    """Return a map whose channels are the even and the odd columns of each channel."""
    samples, channels, height, width = x.shape
    columns = x.reshape(samples, channels, height, width // 2, 2)
    return columns.permute(0, 1, 4, 2, 3).reshape(samples, 2 * channels, height, width // 2)


def unfold(x: Float[Tensor, "sample channel2 y u"]) -> Float[Tensor, "sample channel y x"]:
    """Return the map that was folded."""
    samples, channels, height, width = x.shape
    columns = x.reshape(samples, channels // 2, 2, height, width)
    return columns.permute(0, 1, 3, 4, 2).reshape(samples, channels // 2, height, 2 * width)


def fold_kernel(kernel: Float[Tensor, "target source y x"]) -> Float[Tensor, "target2 source2 y u"]:
    """Return the kernel that does to a folded map what `kernel` does to the map.

    Output column 2U + a reads input column 2U' + b through the tap 2 (U' - U) + b - a.
    """
    target, source, height, width = kernel.shape
    reach = (width // 2 + 1) // 2
    u = 2 * reach + 1
    wide = F.pad(kernel, (u - width // 2, u - width // 2))
    parts = [
        wide[..., 1 - a : 1 - a + 2 * u]
        .reshape(target, source, height, u, 2)
        .permute(0, 1, 4, 2, 3)
        for a in range(2)
    ]
    return torch.stack(parts, dim=1).reshape(2 * target, 2 * source, height, u)


class Graph(Coupling):
    r"""Couple oscillators along the edges of a graph.

    Parameters
    ----------
    matrix : Tensor, array, scipy sparse array, DataArray or networkx graph
        K_ij, target i (row), source j (column). Of a DataArray with dims "source" and "target"
        the dims decide; of a networkx graph the edges u -> v, with their "weight", 1 if they have
        none. What is sparse stays sparse. An ``nn.Parameter`` is trained.

    Examples
    --------
    >>> ring = np.roll(np.eye(4), 1, axis=0) + np.roll(np.eye(4), -1, axis=0)
    >>> coupling = Graph(ring)
    >>> coupling(coupling.prepare(torch.zeros(1, 4)), torch.tensor([[1.0, 0, 0, 0]]))
    tensor([[0., 1., 0., 1.]])
    """

    dims = ("unit",)
    weight: Tensor
    where: Tensor

    def __init__(self, matrix: Any) -> None:
        super().__init__()
        if isinstance(matrix, xr.DataArray):
            if set(matrix.dims) == {"source", "target"}:
                matrix = matrix.transpose("target", "source")
            matrix = matrix.values
        elif hasattr(matrix, "nodes") and hasattr(matrix, "edges"):
            import networkx  # type: ignore[import-untyped]

            matrix = networkx.to_scipy_sparse_array(matrix, dtype=float).T
        if isinstance(matrix, Tensor) and matrix.layout != torch.strided:
            entries = matrix.detach().cpu().to_sparse_coo().coalesce()
            matrix = scipy.sparse.coo_array(
                (entries.values().numpy(), entries.indices().numpy()), shape=tuple(matrix.shape)
            )
        self.sparse = scipy.sparse.issparse(matrix)
        shape = tuple(matrix.shape)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"a coupling matrix is (target, source), square; got {shape}")
        self.size = shape[0]
        if self.sparse:
            entries = scipy.sparse.coo_array(matrix)
            entries.sum_duplicates()
            where = torch.from_numpy(np.stack([entries.row, entries.col])).long()
            self.register_buffer("where", where)
            matrix = torch.from_numpy(entries.data)
        elif not isinstance(matrix, Tensor):
            matrix = torch.as_tensor(np.asarray(matrix))
        if not isinstance(matrix, nn.Parameter) and matrix.dtype != torch.float64:
            matrix = matrix.to(torch.get_default_dtype())
        if not bool(torch.isfinite(matrix.detach()).all()):
            raise ValueError("the coupling matrix holds NaN or infinity")
        hold(self, "weight", matrix)

    def prepare(self, like: Tensor) -> Tensor:
        """Return the matrix, or the values of its entries, in the precision of the state."""
        if like.ndim != 2 or like.shape[1] != self.size:
            raise ValueError(
                f"this graph couples (sample, {self.size}) oscillators, got {tuple(like.shape)}"
            )
        return self.weight.to(like.dtype)

    def forward(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return K x for nodes (sample, unit)."""
        if not self.sparse:
            return x @ weights.T
        shape = (self.size, self.size)
        matrix = torch.sparse_coo_tensor(
            self.where, weights, shape, is_coalesced=True, check_invariants=False
        )
        return torch.sparse.mm(matrix, x.T).T

    def asymmetry(self) -> float:
        """Return the largest difference of K and its transpose, relative to the largest entry."""
        weight = self.weight.detach()
        if not self.sparse:
            return relative(weight - weight.T, weight)
        row, column = self.where.cpu().numpy()
        matrix = scipy.sparse.coo_array((weight.cpu().numpy(), (row, column)), (self.size,) * 2)
        return relative(torch.from_numpy((matrix - matrix.T).tocoo().data), weight)


class MeanField(Coupling):
    """Couple every oscillator of a sample to every other with one strength; two sums, no matrix.

    Parameters
    ----------
    strength : float or Tensor
        K_ij, the same for all pairs. With ``normalize="number"`` Kuramoto's own K / N.
    dims : tuple of str
        The axes of a sample: ("unit",), or ("channel", "y", "x").
    """

    strength: Tensor

    def __init__(self, strength: float | Tensor, dims: tuple[str, ...] = ("unit",)) -> None:
        super().__init__()
        hold(self, "strength", torch.as_tensor(strength, dtype=torch.get_default_dtype()))
        self.dims = tuple(dims)

    def prepare(self, like: Tensor) -> Tensor:
        """Return the strength."""
        if like.ndim != len(self.dims) + 1:
            raise ValueError(
                f"this mean field couples oscillators (sample, {', '.join(self.dims)}), got shape "
                f"{tuple(like.shape)}; give MeanField their dims"
            )
        return self.strength.to(like.dtype)

    def forward(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return the sum over a sample's oscillators, times the strength."""
        return weights * total(x)

    def asymmetry(self) -> float:
        """Return 0: all pairs are alike."""
        return 0.0


def coupling_from(given: Any) -> Coupling:
    """Return a coupling as it is, and for a number, kernel, matrix or graph the one it names."""
    if isinstance(given, Coupling):
        return given
    if isinstance(given, int | float):
        return MeanField(given)
    if isinstance(given, np.ndarray) and given.ndim == 4:
        given = torch.from_numpy(given)
    if isinstance(given, Tensor) and given.ndim in (0, 4):
        return MeanField(given) if given.ndim == 0 else Convolution(given)
    if hasattr(given, "shape") or hasattr(given, "nodes"):
        return Graph(given)
    raise TypeError(
        "a coupling is a kernel (channel, channel, y, x), a matrix (target, source: tensor, array, "
        "scipy sparse, DataArray), a networkx graph, a number (mean field), or a Convolution, "
        f"Graph or MeanField; got {type(given).__name__}"
    )


def hold(module: nn.Module, name: str, value: Tensor) -> None:
    """Keep a tensor on a module: a parameter is trained, any other tensor is not."""
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def total(x: Tensor) -> Tensor:
    """Return the sum over each sample's oscillators, kept as axes of size 1."""
    return x.flatten(1).sum(1).view(-1, *[1] * (x.ndim - 1))


def relative(difference: Tensor, of: Tensor) -> float:
    """Return the largest absolute entry of one relative to that of another."""
    if not difference.numel() or not of.numel():
        return 0.0
    return float(difference.abs().max() / of.abs().max().clamp_min(torch.finfo(of.dtype).tiny))
