"""GASPnet: a convolutional network whose phases synchronise by agreement; and its controls."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from neurodyn.agreement import GlobalAttention
from neurodyn.models.binding import groups_of, ideal_phases
from neurodyn.models.gattanet import TAPS, load_shipped, plain
from neurodyn.models.pc_shallow import initialise_rectified
from neurodyn.phase_agreement import PhaseAgreement

WIDTHS = (26, 30, 32, 16)
"""Channels of the three convolutions and units of the first dense layer, as published."""
MATCHED = (28, 31, 34, 16)
"""A wider network without phases, with as many parameters to 0.2%."""
SHAPES = ((32, 32), (16, 16), (8, 8), (16,), (10,))
"""Of the phases: 1,370 nodes."""
KINDS = (
    "cnn", "matched", "gattanet", "random", "ideal", "gaspnet", "gaspnet-rk4", "synchrony",
    "global", "eps0", "longer",
)  # fmt: skip
Kind = Literal[
    "cnn", "matched", "gattanet", "random", "ideal", "gaspnet", "gaspnet-rk4", "synchrony",
    "global", "eps0", "longer",
]  # fmt: skip


def gaspnet(
    kind: Kind = "gaspnet", *, channels: int = 1, pretrained: bool = False, seed: int = 0
) -> PhaseAgreement | GlobalAttention | nn.Sequential:
    r"""Return GASPnet or one of its controls, trained on pairs of digits if wanted.

    .. math:: z_i = b_i + \sum_j W_{ij} m_j [1 + a_F \cos(\phi_i - \phi_j)], \qquad
        \dot\phi_i = \sum_j \frac{N_j}{\kappa} (\langle q_i, k_j \rangle - \epsilon)
        \sin(\phi_j - \phi_i)

    Three convolutions (26 channels of 32 x 32, 30 of 16 x 16, 32 of 8 x 8) and two dense layers
    (16 and 10 units), with one phase per location and per unit: 1,370 phases, keys and queries of
    dimension 16. For grey images it has 48,936 parameters, for colour 49,404; keys and queries add
    3,648, and epsilon, kappa and the four modulations 6.

    *Provenance*: GASPnet-style, reconstructed. The sizes are read off the published figure (which
    prints 1347 nodes where its own layers have 1370). Reconstructed: 3x3 kernels, mean pooling,
    one weight of keys and queries per layer, and all that `PhaseAgreement` lists. No published
    accuracy is claimed.

    Parameters
    ----------
    kind : str
        "gaspnet": epsilon, kappa and modulations are parameters; trained with Euler's method.
        "gaspnet-rk4": the same, trained with rk4. "synchrony": the same, with masks of the objects
        at hand in training, for a loss of phases. "global": one query for all nodes.
        "eps0": epsilon stays 0. "random": phases stay as drawn, uniformly. "ideal": phases stay as
        masks say (`ideal_state`), convolutional layers only: connections into dense layers are not
        modulated, because a phase for a category would give its label away. "gattanet": global
        attention on the same network. "cnn": the network alone. "longer": the same, which has seen
        so many more images that it worked as much as GASPnet. "matched": a wider one with as many
        parameters as GASPnet.
    channels : int
        Of the images, 1 or 3.
    pretrained : bool
        Load the weights that ship with the package, from ``neurodyn train gaspnet``; grey images.
    seed : int
        Of untrained weights; of pretrained ones which: 0, 1 or 2.

    Returns
    -------
    PhaseAgreement, GlobalAttention or Sequential
        In evaluation mode, on the CPU.

    References
    ----------
    Alamia, Muzellec, Serre & VanRullen (2025), arXiv:2507.16674.

    Examples
    --------
    >>> import neurodyn as nd
    >>> model = gaspnet()
    >>> scenes = nd.stimuli.multi_digits(2)
    >>> start = torch.Generator().manual_seed(0)
    >>> run = nd.integrate(model, scenes.images, [0.0, 6.0], method="euler", generator=start)
    >>> [tuple(phase.shape[2:]) for phase in run.states]
    [(32, 32), (16, 16), (8, 8), (16,), (10,)]
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    widths = MATCHED if kind == "matched" else WIDTHS
    network = rectified(widths, channels, seed)
    example = torch.zeros(1, channels, 32, 32, device="cpu")
    common: dict[str, Any] = {"example": example, "seed": seed + 1000}
    phases: dict[str, dict[str, Any]] = {
        "random": {"frozen": True, "start": "uniform"},
        "ideal": {"frozen": True, "modulation": (0.5, 0.5, 0.0, 0.0)},
        "global": {"coupling": "global"},
        "eps0": {"desynchrony": 0.0},
    }
    model: PhaseAgreement | GlobalAttention | nn.Sequential
    if kind in ("cnn", "longer", "matched"):
        model = network
    elif kind == "gattanet":
        model = GlobalAttention(network, TAPS, **common)
    else:
        model = PhaseAgreement(network, TAPS, trainable=True, **common, **phases.get(kind, {}))
        model.epsilon.requires_grad_(kind != "eps0")
    if pretrained:
        if seed not in (0, 1, 2) or channels != 1:
            raise ValueError(
                "weights ship for the seeds 0, 1 and 2 and grey images, not for "
                f"seed={seed!r}, channels={channels!r}"
            )
        load_shipped(model, f"gaspnet-{kind}-{seed}")
    return model.eval()


def rectified(widths: Sequence[int], channels: int, seed: int) -> nn.Sequential:
    """Return the network alone, untrained: see `initialise_rectified`; two categories of ten."""
    network = plain(widths=widths, channels=channels, pool=nn.AvgPool2d, seed=seed)
    initialise_rectified(network, 0.2, torch.Generator().manual_seed(seed))
    return network


def ideal_state(masks: Bool[Tensor, "sample group y x"]) -> tuple[Tensor, ...]:
    r"""Return the phases a perfect segmentation has, in every layer of GASPnet.

    Of G groups, background and objects, group g is at :math:`2 \pi g / G`; a location of a smaller
    map belongs to the object that covers most of it, if one covers any. Units are at 0.

    Parameters
    ----------
    masks : Tensor
        One for each object, without the background.
    """
    phases: list[Tensor] = []
    for shape in SHAPES:
        if len(shape) == 1:
            phases.append(torch.zeros(len(masks), *shape, device=masks.device))
        else:
            groups = groups_of(masks, shape).float()
            phases.append(ideal_phases(groups, channels=1)[:, 0])
    return tuple(phases)
