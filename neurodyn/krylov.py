"""Eigenvalues of many large matrices at once, from products with vectors."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from neurodyn.jacobian import draw

Product = Callable[[Float[Tensor, "sample size"]], Float[Tensor, "sample size"]]


class Arnoldi:
    r"""Krylov spaces of one matrix per sample, grown together, orthogonal to rounding.

    .. math:: A Q_m = Q_m H_m + h_{m+1,m}\, q_{m+1} e_m^T

    The eigenvalues of the small :math:`H_m` (Ritz values) approach those of A, the outer ones
    first. Of :math:`H_m s = \theta s` with :math:`|s| = 1`, :math:`x = Q_m s` has the residual
    :math:`|A x - \theta x| = h_{m+1,m} |s_m|`. Where a space closes, it goes on with another random
    direction and a zero in H, so that multiple eigenvalues are found as often as there are, and
    with m = `size` there are all of them.

    What a space has not seen can be bounded. Since
    :math:`p(A)\, q_1 = q_{m+1} \prod_j h_{j+1,j}` for the characteristic polynomial p of
    :math:`H_m`, any left eigenvector y of A with :math:`|y| = 1` and the eigenvalue z has

    .. math:: |y^* q_1| \le \prod_{j \le m} \frac{h_{j+1,j}}{|z - \theta_j|}

    and a random :math:`q_1` of `size` numbers is as short as :math:`\delta / \sqrt{size}` along a
    given y with a probability of about :math:`\delta` only. Where the right side is smaller, there
    is no eigenvalue. Nothing is assumed of A, which need not be normal.

    Parameters
    ----------
    product : callable
        ``product(v)``: A v for v (sample, space), float64.
    samples, space, size : int
        How many matrices, of which order; and the dimension that the products stay in: less than
        `space` if a projector is part of `product`.
    project : callable
        That projector, to start in.
    seed : int
        Of the start, which is the same for all samples: none depends on its batch.
    rounding : float
        The relative rounding error of a product.

    References
    ----------
    Arnoldi (1951), Quarterly of Applied Mathematics 9, 17-29, doi:10.1090/qam/42792. Saad (2011),
    Numerical Methods for Large Eigenvalue Problems, chapter 6, doi:10.1137/1.9781611970739.
    Kuczynski & Wozniakowski (1992), SIAM Journal on Matrix Analysis and Applications 13,
    1094-1122, doi:10.1137/0613066 (random starts).
    """

    def __init__(
        self, product: Product, samples: int, space: int, size: int, project: Product,
        seed: int, rounding: float, device: torch.device,
    ) -> None:  # fmt: skip
        self.product, self.project = product, project
        self.size, self.seed, self.rounding = size, seed, rounding
        self.dimension = 0
        self.basis = torch.zeros(samples, 1, space, dtype=torch.float64, device=device)
        self.hessenberg = torch.zeros(samples, 1, 0, dtype=torch.float64, device=device)
        self.scale = torch.zeros(samples, dtype=torch.float64, device=device)
        self.basis[:, 0] = self.fresh()

    def fresh(self) -> Float[Tensor, "sample space"]:
        """Return a random unit vector orthogonal to the basis, the same draw for each sample."""
        drawn = draw(self.basis.shape[2], self.seed, self.dimension).to(self.basis.device)
        v = self.project(drawn.expand(len(self.basis), -1))
        v, _ = self.orthogonal(v, self.basis[:, : self.dimension])
        return v / v.norm(dim=1, keepdim=True)

    def orthogonal(self, v: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
        """Return what of v is orthogonal to a basis, and its coefficients: Gram-Schmidt, twice."""
        total = v.new_zeros(basis.shape[:2])
        for _ in range(2):
            coefficients = torch.einsum("smn,sn->sm", basis, v)
            v = self.project(v - torch.einsum("smn,sm->sn", basis, coefficients))
            total += coefficients
        return v, total

    def grow(self, dimension: int) -> None:
        """Grow every space to a dimension, `size` at most."""
        new = dimension - self.dimension
        self.basis = torch.nn.functional.pad(self.basis, (0, 0, 0, new))
        self.hessenberg = torch.nn.functional.pad(self.hessenberg, (0, new, 0, new))
        while self.dimension < dimension:
            m = self.dimension
            v = self.project(self.product(self.basis[:, m]))
            self.scale = torch.maximum(self.scale, v.norm(dim=1))
            v, self.hessenberg[:, : m + 1, m] = self.orthogonal(v, self.basis[:, : m + 1])
            left = v.norm(dim=1)
            self.dimension += 1
            closed = left <= 10 * self.rounding * self.scale
            self.hessenberg[:, m + 1, m] = torch.where(closed, 0.0, left)
            if self.dimension == self.size:
                return
            v = v / left[:, None]
            if closed.any():
                v = torch.where(closed[:, None], self.fresh(), v)
            self.basis[:, m + 1] = v

    def ritz(
        self, sample: int
    ) -> tuple[Complex[np.ndarray, " value"], Float[np.ndarray, " value"]]:
        """Return one sample's Ritz values and their residuals."""
        m = self.dimension
        small = self.hessenberg[sample].cpu().numpy()
        values, vectors = np.linalg.eig(small[:m])
        left = 0.0 if m == self.size else small[m, m - 1]
        return values, left * np.abs(vectors[-1])

    def overlap(
        self, sample: int, values: Complex[np.ndarray, " value"], z: Complex[np.ndarray, " point"]
    ) -> Float[np.ndarray, " point"]:
        """Return the logarithm of the largest overlap of the start with an eigenvector at z.

        `values` are the sample's Ritz values. Where a space closed, its last step counts as the
        rounding error that it is.
        """
        below = np.diagonal(self.hessenberg[sample].cpu().numpy(), -1)[: self.dimension]
        least = 10 * self.rounding * float(self.scale[sample])
        tiny = np.finfo(float).tiny
        steps = np.log(np.maximum(below, max(least, tiny))).sum()
        return steps - np.log(np.maximum(np.abs(z[:, None] - values), tiny)).sum(1)
