"""Layers for activations that have a phase: complex in and out, real weights."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn


class ComplexLayer(nn.Module):
    r"""A real layer made to take and return complex activations.

    .. math::
        \psi = (W\,\mathrm{Re}\,z + w_0) + i\,(W\,\mathrm{Im}\,z + w_0), \qquad
        \chi = W |z| + w_0

    .. math::
        m = \tfrac12 |\psi| + \tfrac12 \chi, \qquad
        \mathrm{out} = \mathrm{relu}(\mathrm{norm}(m))\, \frac{\psi}{|\psi|}

    Inputs in phase add, inputs out of phase cancel in :math:`\psi`; the classic term
    :math:`\chi` sees amplitudes alone, so that a unit out of step is weakened and not silenced.
    The bias is added to both parts, as published: a common rotation of the input is therefore not
    quite one of the output.

    Parameters
    ----------
    layer : nn.Module
        The real layer W, w_0: ``nn.Conv2d``, ``nn.Linear``, ``nn.ConvTranspose2d``, ...
    norm : nn.Module, optional
        Acts on the magnitude, e.g. ``nn.InstanceNorm2d(8, affine=True)``, ``nn.LayerNorm(50)``.
    rectify : bool
        Whether the magnitude is cut at zero. A last layer's is not: a negative one turns the
        phase by pi.

    References
    ----------
    Reichert & Serre (2014), Neuronal synchrony in complex-valued deep networks, arXiv:1312.6115.
    Muzellec, Alamia, Serre & VanRullen (2025), arXiv:2502.21077.

    Examples
    --------
    >>> layer = ComplexLayer(nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True))
    >>> layer(torch.polar(torch.ones(2, 3, 6, 6), torch.zeros(2, 3, 6, 6))).shape
    torch.Size([2, 8, 6, 6])
    """

    def __init__(
        self, layer: nn.Module, norm: nn.Module | None = None, *, rectify: bool = True
    ) -> None:
        super().__init__()
        self.layer = layer
        self.norm = norm
        self.rectify = rectify

    def parts(self, z: Complex[Tensor, " sample ..."]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the magnitude m, normalised, and the two parts of psi; all real."""
        check_complex(z)
        real, imaginary, chi = self.layer(torch.cat([z.real, z.imag, modulus(z)])).chunk(3)
        m = (hypot(real, imaginary) + chi) / 2
        m = m if self.norm is None else self.norm(m)
        return (F.relu(m) if self.rectify else m), real, imaginary

    def forward(self, z: Complex[Tensor, " sample ..."]) -> Complex[Tensor, " sample ..."]:
        """Return the complex activations; 0 where psi is 0."""
        return with_phase(*self.parts(z))

    def magnitude(self, z: Complex[Tensor, " sample ..."]) -> Float[Tensor, " sample ..."]:
        """Return m alone, signed if it is not rectified."""
        return self.parts(z)[0]


class ComplexNorm(nn.Module):
    r"""Normalise magnitudes and keep phases: :math:`\mathrm{relu}(\mathrm{norm}(|z|))\, z / |z|`.

    Parameters
    ----------
    norm : nn.Module
        A normalisation of real activations.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, z: Complex[Tensor, " sample ..."]) -> Complex[Tensor, " sample ..."]:
        """Return the normalised activations."""
        check_complex(z)
        return with_phase(F.relu(self.norm(modulus(z))), z.real, z.imag)


class ComplexMaxPool2d(nn.Module):
    """Keep of each window the activation whose magnitude is largest, with its phase.

    Parameters
    ----------
    kernel_size, stride, padding
        As for ``nn.MaxPool2d``.
    """

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        super().__init__()
        self.window: dict[str, Any] = {"kernel_size": kernel_size, "padding": padding}
        self.window["stride"] = kernel_size if stride is None else stride

    def forward(
        self, z: Complex[Tensor, "sample channel y x"]
    ) -> Complex[Tensor, "sample channel v u"]:
        """Return the strongest of each window."""
        check_complex(z)
        largest, where = F.max_pool2d(modulus(z), return_indices=True, **self.window)
        at = where.flatten(2)
        real, imaginary = (
            part.flatten(2).gather(2, at).view_as(largest) for part in (z.real, z.imag)
        )
        return torch.complex(real, imaginary)


def hypot(real: Tensor, imaginary: Tensor) -> Tensor:
    """Return the modulus; its gradient is 0 where it is 0, and not NaN."""
    square = real.square() + imaginary.square()
    zero = square == 0
    return torch.where(zero, 0.0, square.masked_fill(zero, 1.0).sqrt())


def modulus(z: Tensor) -> Tensor:
    """Return |z|; its gradient is 0 where it is 0, and not NaN."""
    return hypot(z.real, z.imag)


def with_phase(magnitude: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Return the magnitude with the phase of another number; 0 where that has none."""
    length = hypot(real, imaginary)
    gain = torch.where(length == 0, 0.0, magnitude / length.masked_fill(length == 0, 1.0))
    return torch.complex(gain * real, gain * imaginary)


def check_complex(z: Tensor) -> None:
    """Refuse real activations."""
    if not z.is_complex():
        raise TypeError(
            f"a complex layer takes complex activations, got {z.dtype}; give them a phase with "
            "torch.polar(amplitude, phase)"
        )
