"""What phases should be: one cluster for each object, the clusters evenly spread."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from neurodyn.complex_layers import modulus


def ideal_phases(
    masks: Float[Tensor, "sample group y x"], channels: int = 8
) -> Float[Tensor, "sample channel y x"]:
    r"""Return the phases a perfect segmentation has: object g of G at :math:`2 \pi g / G`.

    Parameters
    ----------
    masks : Tensor
        One for each object, without the background; where they overlap the first one counts.
    channels : int
        The same phases for each.
    """
    groups = masks.shape[1]
    angle = 2 * math.pi * torch.arange(groups).to(masks) / groups
    there = masks > 0
    first = there & (there.cumsum(1) == 1)
    phase = (first * angle[:, None, None]).sum(1)
    phase = torch.remainder(phase + math.pi, 2 * math.pi) - math.pi
    return phase[:, None].expand(-1, channels, -1, -1).contiguous()


def synchrony_loss(
    phase: Float[Tensor, "sample channel y x"],
    amplitude: Float[Tensor, "sample channel y x"],
    masks: Float[Tensor, "sample group y x"],
    *,
    as_published: bool = False,
) -> tuple[Float[Tensor, " sample"], Float[Tensor, " sample"], Float[Tensor, " sample"]]:
    r"""Return how far phases are from one cluster for each object, evenly spread; 0 is perfect.

    .. math::
        R_{gc} = \frac{|\sum_p w_{gcp} e^{i\theta_{cp}}|}{\sum_p w_{gcp}}, \qquad
        \mathrm{synchrony} = 1 - \frac1G \sum_g \langle R_{gc} \rangle_c

    .. math::
        \mathrm{desynchrony} = \sum_{m=1}^{\lfloor G/2 \rfloor} \frac{1}{2 G m^2}
            \Big| \sum_g e^{i m \mu_g} \Big|^2, \qquad
        \mathrm{loss} = \frac{\mathrm{synchrony} + \mathrm{desynchrony}}
            {1 + \frac G2 \sum_m m^{-2}}

    with the weights :math:`w = M_g \tanh a`, a mask times the gate, and :math:`\mu_g` the mean
    phase of group g over channels. Silent units have no say, and a rotation of all phases changes
    nothing. Channels silent in an object are left out of its mean; an object that is silent
    everywhere counts as not synchronous.

    Parameters
    ----------
    phase, amplitude : Tensor
        Of the oscillators; amplitudes from 0 up.
    masks : Tensor
        One for each object (and one for the background, if it is to be a group).
    as_published : bool
        The authors' own form: phases of silent units are set to 0 and count as the others do, so
        that even perfectly bound phases have a loss, which depends on their absolute angle.

    Returns
    -------
    loss, synchrony, desynchrony : Tensor
        Each (sample,).

    References
    ----------
    Sepulchre, Paley & Leonard (2007), IEEE Transactions on Automatic Control 52, 811-824. Ricci et
    al. (2021), KuraNet, arXiv:2105.02838. Muzellec et al. (2025), arXiv:2502.21077.
    """
    groups = masks.shape[1]
    masks = masks.to(phase.dtype)
    active = amplitude > 0
    if as_published:
        phase = torch.where(active, phase, 0.0)
        weight = masks[:, :, None].expand(-1, -1, phase.shape[1], -1, -1)
    else:
        weight = masks[:, :, None] * amplitude.tanh()[:, None]
    flat = weight.flatten(3)
    of = flat.sum(3)
    real = torch.einsum("sgcp,scp->sgc", flat, phase.cos().flatten(2))
    imaginary = torch.einsum("sgcp,scp->sgc", flat, phase.sin().flatten(2))
    order = modulus(torch.complex(real, imaginary)) / of.masked_fill(of == 0, 1.0)
    heard = (of > 0).to(order)
    order = (order * heard).sum(2) / heard.sum(2).clamp_min(1)
    synchrony = 1 - order.mean(1)
    mean = torch.complex(real.sum(2), imaginary.sum(2))
    length = modulus(mean)
    mean = mean / length.masked_fill(length == 0, 1.0)
    desynchrony, bound = torch.zeros_like(synchrony), 1.0
    for m in range(1, groups // 2 + 1):
        resultant = (mean**m).sum(1)
        desynchrony = desynchrony + (resultant.real.square() + resultant.imag.square()) / (
            2 * groups * m**2
        )
        bound += groups / 2 / m**2
    return (synchrony + desynchrony) / bound, synchrony, desynchrony


def groups_of(
    masks: Bool[Tensor, "sample group y x"], shape: Sequence[int]
) -> Bool[Tensor, "sample group y x"]:
    """Return the background and each object at the resolution of a layer.

    A location belongs to the object that covers most of it, if one covers any, and to all of those
    that cover it alike.
    """
    share = F.adaptive_avg_pool2d(masks.float(), (shape[0], shape[1]))
    most = share.amax(1, keepdim=True)
    return torch.cat([most == 0, (share == most) & (share > 0)], 1)
