"""KomplexNet: a convolutional network whose units synchronise before they are read."""

import math
from importlib.resources import files
from typing import Any, Literal

import safetensors.torch
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.complex_layers import ComplexLayer, modulus
from neurodyn.coupling import Convolution
from neurodyn.dynamics import Drive, State
from neurodyn.kuramoto import KOMPLEXNET
from neurodyn.models.pc_shallow import initialise

RATE, DESYNCHRONY = 0.006, 0.202
GAIN = 3.0
"""Of the untrained filters, whose published values are not released: at this norm the phases of
two digits bind within the published 15 steps before any training."""


KINDS = ("real", "random", "ideal", "komplexnet", "feedback")


def komplexnet(
    kind: Literal["real", "random", "ideal", "komplexnet", "feedback"] = "komplexnet",
    *,
    pretrained: bool = False,
    seed: int = 0,
) -> "KomplexNet | RealTwin":
    """Return KomplexNet or one of its controls, trained on two digits if wanted.

    Parameters
    ----------
    kind : {"real", "random", "ideal", "komplexnet", "feedback"}
        The real-valued twin; the complex network with phases that stay random, or stay as they
        are given (`neurodyn.models.binding.ideal_phases`); KomplexNet; with feedback.
    pretrained : bool
        Load the weights that ship with the package, from ``neurodyn train komplexnet``.
    seed : int
        Of the untrained weights; of the pretrained ones which: 0, 1 or 2.

    Examples
    --------
    >>> model = komplexnet("komplexnet", pretrained=True)
    >>> scenes = nd.stimuli.multi_digits(2, split="test")
    >>> start = torch.Generator().manual_seed(0)
    >>> run = nd.integrate(model, scenes.images, [0.0, 15.0], method="euler", generator=start)
    >>> run.readout.shape
    torch.Size([2, 2, 10])
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    model = (
        RealTwin(seed=seed)
        if kind == "real"
        else KomplexNet(feedback=kind == "feedback", frozen=kind in ("random", "ideal"), seed=seed)
    )
    if pretrained:
        if seed not in (0, 1, 2):
            raise ValueError(f"weights ship for the seeds 0, 1 and 2, not {seed!r}")
        weights = files("neurodyn.models").joinpath(f"komplexnet-{kind}-{seed}.safetensors")
        halves = safetensors.torch.load(weights.read_bytes())
        model.load_state_dict({name: value.float() for name, value in halves.items()})
        if isinstance(model, KomplexNet):  # half precision has rounded the published constants
            with torch.no_grad():
                model.rate.fill_(RATE)
                model.desynchrony.fill_(DESYNCHRONY)
    return model


class KomplexNet(nd.Kuramoto):
    r"""Phases of a first layer that follow Kuramoto's equation; complex layers that read them.

    .. math::
        a = \mathrm{relu}(G * x), \qquad
        \frac{d\theta_i}{dt} = \eta \sum_j (K_{ij} - \epsilon) \tanh(a_j)
            \sin(\theta_j - \theta_i), \qquad
        \mathrm{logits} = \mathrm{head}(a\, e^{i\theta})

    The image fixes the amplitudes of eight oriented filters; their phases start at random,
    synchronise within an object and repel between objects, and the head (complex convolution,
    two complex linear layers) reads both. Its last layer's magnitudes m become the logits
    :math:`m_k - \max_l m_l / 3` of "category k is in the image": a category is on when its
    magnitude exceeds a third of the largest.

    *Published*: everything but the filters' initial values (the authors' file is not released;
    here eight oriented edge filters, trained as theirs are) and the input mode's second layer.

    Parameters
    ----------
    feedback : bool
        Add the pull of the head's activations on the first layer's phases, from t = 1 on:
        ``rate * sum_j K_ij tanh|z_j| sin(arg z_j - theta_i)`` over the complex convolution
        (transposed kernel 11 x 11), the 50 units and the 10 categories (one weight for each
        channel and unit, the same at all positions).
    mode : {"features", "input"}
        Phases of the eight filters, or of the image's own pixels; in the latter a complex
        convolution 5 x 5 follows (reconstructed).
    frozen : bool
        d theta / dt = 0: phases stay as they start, random or, from `ideal_phases`, ideal. The
        parameters are the same, so that trained weights can be loaded to ask what ideal phases
        would do for them.
    dtype : torch.dtype, optional
        In which the coupling is computed, see `neurodyn.coupling.Convolution`.
    seed : int
        Of the untrained weights.

    References
    ----------
    Muzellec, Alamia, Serre & VanRullen (2025), arXiv:2502.21077.

    Examples
    --------
    Published are 15 steps of Euler's method:

    >>> model = KomplexNet()
    >>> images = torch.rand(2, 1, 32, 32)
    >>> run = nd.simulate(model, images, range(16), method="euler", record=["readout", "phase"])
    >>> run.layers["phase"]["phase"].dims
    ('time', 'sample', 'channel', 'y', 'x')
    """

    readout_variable = nd.Variable(
        "logits", ("category",), long_name="logit", references=KOMPLEXNET
    )

    def __init__(
        self,
        *,
        feedback: bool = False,
        mode: Literal["features", "input"] = "features",
        frozen: bool = False,
        dtype: torch.dtype | None = None,
        seed: int = 0,
    ) -> None:
        if mode not in ("features", "input"):
            raise ValueError(f"mode {mode!r} is not one of 'features', 'input'")
        if feedback and mode == "input":
            raise ValueError("feedback is defined for mode='features' only, as published")
        channels, size = (8, 13) if mode == "features" else (1, 11)
        kernel = nn.Parameter(gaussian_kernel(channels, size))
        super().__init__(
            Convolution(kernel, dtype=dtype),
            rate=nn.Parameter(torch.tensor(RATE), requires_grad=False),
            desynchrony=nn.Parameter(torch.tensor(DESYNCHRONY), requires_grad=False),
        )
        self.mode, self.frozen = mode, frozen
        with torch.device("meta"):
            self.filters = nn.Conv2d(1, 8, 5, padding=2, bias=False)
            self.head = ComplexHead(mode)
        self.filters.to_empty(device="cpu")
        self.head.to_empty(device="cpu")
        start(self.head, seed)
        if mode == "features":
            self.filters.weight = nn.Parameter(oriented_filters())
        else:
            del self.filters
        self.feedback = Feedback() if feedback else None
        if feedback and not frozen:
            self.switches = (1.0,)

    def drive(self, stimulus: Float[Tensor, "sample 1 y x"]) -> Drive:
        """Return the amplitudes of the filters, their gates and the coupling."""
        if stimulus.shape[1:] != (1, 32, 32):
            raise ValueError(
                f"KomplexNet takes grey images (sample, 1, 32, 32), got {tuple(stimulus.shape)}"
            )
        return super().drive(
            F.relu(self.filters(stimulus)) if self.mode == "features" else stimulus
        )

    def forward(self, t: Tensor, state: State, drive: Drive) -> State:
        """Return d theta / dt: lateral, and from t = 1 on the head's feedback."""
        (theta,) = state
        if self.frozen:
            return (torch.zeros_like(theta),)
        lateral = self.pull(theta, drive)
        if self.feedback is None:
            return (lateral,)
        z = activation(drive["amplitude"], theta)
        return (lateral + (t >= 1).to(theta) * self.feedback(self.head.layers(z), theta),)

    def readout(self, state: State, drive: Drive) -> Float[Tensor, "sample category"]:
        """Return the logits of "this category is in the image"."""
        (theta,) = state
        return self.head(activation(drive["amplitude"], theta))

    def config(self) -> dict[str, Any]:
        """Return the options as plain values."""
        about = {"mode": self.mode, "frozen": self.frozen, "feedback": self.feedback is not None}
        return super().config() | about


def activation(amplitude: Tensor, phase: Tensor) -> Tensor:
    """Return a exp(i theta), made of real sines: torch.polar is several times slower."""
    return torch.complex(amplitude * phase.cos(), amplitude * phase.sin())


class ComplexHead(nn.Module):
    """Complex convolution with stride 2, a complex layer of 50 units, one of 10 categories."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.stem = None
        if mode == "input":
            norm = nn.InstanceNorm2d(8, affine=True)
            self.stem = ComplexLayer(nn.Conv2d(1, 8, 5, padding=2), norm)
        self.convolution = ComplexLayer(
            nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.InstanceNorm2d(8, affine=True)
        )
        self.hidden = ComplexLayer(nn.Linear(2048, 50), nn.LayerNorm(50))
        self.category = ComplexLayer(nn.Linear(50, 10), rectify=False)
        self.unused = nn.LayerNorm(10)  # published, counted among its parameters, never applied

    def layers(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the complex activations of the three layers."""
        z = z if self.stem is None else self.stem(z)
        first = self.convolution(z)
        second = self.hidden(first.flatten(1))
        return first, second, self.category(second)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits."""
        z = z if self.stem is None else self.stem(z)
        m = self.category.magnitude(self.hidden(self.convolution(z).flatten(1)))
        return m - m.amax(1, keepdim=True) / 3


class Feedback(nn.Module):
    r"""The pull of complex activations z on the phases below them.

    .. math:: \eta \sum_u K_{iu} \tanh|z_u| \sin(\arg z_u - \theta_i)
    """

    def __init__(self) -> None:
        super().__init__()
        start = 1e-6
        self.convolution = nn.Parameter(torch.full((8, 8, 11, 11), start))
        self.hidden = nn.Parameter(torch.full((8, 50), start))
        self.category = nn.Parameter(torch.full((8, 10), start))
        self.rates = nn.Parameter(torch.full((3,), RATE), requires_grad=False)
        self.desynchronies = nn.Parameter(torch.zeros(3), requires_grad=False)

    def forward(self, layers: tuple[Tensor, Tensor, Tensor], theta: Tensor) -> Tensor:
        """Return the sum of the three pulls."""
        kernels = (self.convolution, self.hidden, self.category)
        cos, sin = theta.cos(), theta.sin()
        pull = torch.zeros_like(theta)
        for z, kernel, rate, push in zip(
            layers, kernels, self.rates, self.desynchronies, strict=True
        ):
            length = modulus(z)
            gain = length.tanh() / length.masked_fill(length == 0, 1.0)
            source = torch.cat([gain * z.real, gain * z.imag])
            if kernel.ndim == 4:
                field = F.conv_transpose2d(source, kernel, stride=2, padding=5, output_padding=1)
            else:
                field = (source @ kernel.T)[..., None, None]
            everyone = source.flatten(1).sum(1)[:, None, None, None]
            real, imaginary = (field - push * everyone).chunk(2)
            pull = pull + rate * (cos * imaginary - sin * real)
        return pull


class RealTwin(nn.Module):
    """KomplexNet without phases: as many parameters, nearly, in real layers.

    Parameters
    ----------
    seed : int
        Of the untrained weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.device("meta"):
            self.filters = nn.Conv2d(1, 8, 5, padding=2, bias=False)
            self.layers = nn.Sequential(
                nn.Conv2d(8, 9, 3, stride=2, padding=1),
                nn.InstanceNorm2d(9, affine=True), nn.ReLU(),
                nn.Flatten(), nn.Linear(2304, 46), nn.LayerNorm(46), nn.ReLU(), nn.Linear(46, 10),
            )  # fmt: skip
        self.to_empty(device="cpu")
        start(self, seed)
        self.filters.weight = nn.Parameter(oriented_filters())

    def forward(self, images: Float[Tensor, "sample 1 y x"]) -> Float[Tensor, "sample category"]:
        """Return the logits of "this category is in the image"."""
        return self.layers(F.relu(self.filters(images)))


class VisionTransformerTwin(nn.Module):
    """A small vision transformer of KomplexNet's size: patches of 4, width 64, three blocks.

    The published twin attends across the images of a batch by mistake; this one does not.

    Parameters
    ----------
    seed : int
        Of the untrained weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.device("meta"):
            self.patches = nn.Conv2d(1, 64, 4, stride=4)
            block = nn.TransformerEncoderLayer(64, 2, 128, dropout=0.0, batch_first=True)
            self.blocks = nn.TransformerEncoder(block, 3, enable_nested_tensor=False)
            self.category = nn.Linear(64, 10)
            self.position = nn.Parameter(torch.empty(64, 64))
        self.to_empty(device="cpu")
        start(self, seed)

    def forward(self, images: Float[Tensor, "sample 1 y x"]) -> Float[Tensor, "sample category"]:
        """Return the logits of "this category is in the image"."""
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.position
        return self.category(self.blocks(tokens).mean(1))


def start(module: nn.Module, seed: int) -> None:
    """Draw the weights of layers from a seed; norms begin as the identity."""
    generator = torch.Generator().manual_seed(seed)
    initialise(module, generator)
    for part in module.modules():
        if isinstance(part, nn.InstanceNorm2d | nn.LayerNorm):
            part.reset_parameters()
        elif isinstance(part, nn.MultiheadAttention):
            nn.init.xavier_uniform_(part.in_proj_weight, generator=generator)
            nn.init.zeros_(part.in_proj_bias)
    if isinstance(module, VisionTransformerTwin):
        nn.init.normal_(module.position, std=0.02, generator=generator)


def gaussian_kernel(channels: int, size: int, std: float = 3.0) -> Tensor:
    """Return the published initial coupling: a wide Gaussian, for all channel pairs."""
    axis = torch.linspace(-1, 1, size)
    r = torch.hypot(axis[:, None], axis[None])
    return torch.exp(-(r**2) / (2 * std**2)).expand(channels, channels, size, size).clone()


def oriented_filters() -> Float[Tensor, "8 1 5 5"]:
    """Return eight odd Gabor filters 5 x 5, 45 degrees apart, of norm GAIN."""
    y, x = torch.meshgrid(torch.arange(-2.0, 3), torch.arange(-2.0, 3), indexing="ij")
    angle = torch.arange(8)[:, None, None] * math.pi / 4
    u = x * angle.cos() + y * angle.sin()
    bank = torch.exp(-(x**2 + y**2) / 4.5) * torch.sin(2 * math.pi * u / 5)
    return (GAIN * bank / bank.flatten(1).norm(dim=1)[:, None, None])[:, None]
