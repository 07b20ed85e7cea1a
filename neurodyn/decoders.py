"""Decoders from one layer to the one below, where none is given; and how far one spreads."""

import copy
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.convolutions import spread, transposed
from neurodyn.jacobian import forward_product


class Decoder(nn.Module):
    r"""The default decoder g_n between any two layers, linear.

    Between maps: :math:`g(e) = W * \mathrm{resize}(e) + b`, a resize to the size of the target
    (any ratio: bilinear, or means over areas where the target is smaller; none if equal) and a 3x3
    convolution, Predify's default predictor. Between token layers (token, channel): the same
    resize along the tokens, then one linear map for each token. Where either side is a vector: a
    full linear map.

    Parameters
    ----------
    source, target : sequence of int
        Shapes without the sample axis: (channel, y, x), (channel, z, y, x), (token, channel) or
        (unit,).
    generator : torch.Generator
        For the weights, uniform in :math:`\pm 1/\sqrt{\text{inputs}}` as torch's own layers.

    References
    ----------
    Choksi et al. (2021), arXiv 2106.02749 (upsampling and 3x3 transposed convolution; here a
    convolution, which has the same form).

    Examples
    --------
    >>> decoder = Decoder((8, 7, 7), (4, 15, 15), torch.Generator().manual_seed(0))
    >>> decoder(torch.zeros(2, 8, 7, 7)).shape
    torch.Size([2, 4, 15, 15])
    """

    def __init__(
        self, source: tuple[int, ...], target: tuple[int, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.source, self.target = tuple(source), tuple(target)
        rank = len(self.source)
        self.dense = 1 in (rank, len(self.target)) or rank != len(self.target)
        self.tokens = not self.dense and rank == 2
        if self.dense:
            shape: tuple[int, ...] = (math.prod(self.target), math.prod(self.source))
        elif self.tokens:
            shape = (self.target[1], self.source[1])
        else:
            shape = (self.target[0], self.source[0], *[3] * (rank - 1))
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(shape[0]).uniform_(-bound, bound, generator=generator))

    def forward(self, state: Float[Tensor, " sample ..."]) -> Float[Tensor, " sample ..."]:
        """Predict the layer below."""
        if self.dense:
            out = nn.functional.linear(state.flatten(1), self.weight, self.bias)
            return out.unflatten(1, self.target)
        if self.tokens:
            if self.source[0] != self.target[0]:
                state = resize(state.transpose(1, 2), self.target[:1]).transpose(1, 2)
            return nn.functional.linear(state, self.weight, self.bias)
        if self.source[1:] != self.target[1:]:
            state = resize(state, self.target[1:])
        convolve = nn.functional.conv2d if len(self.source) == 3 else nn.functional.conv3d
        return convolve(state, self.weight, self.bias, padding=1)

    def extra_repr(self) -> str:
        """Say from what to what."""
        return f"{self.source} -> {self.target}"


class Unmade(nn.Module):
    """Stands where a default decoder will be once the sizes of its layers are known."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        *_, errors = args
        if any(key.startswith(prefix) for key in state_dict):
            errors.append(
                f"the decoder of {prefix!r} is not made yet, because the sizes of its layers are "
                "not known: give PredictiveCoding an `example` stimulus before loading weights"
            )


def resize(state: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return maps in another size: interpolated, or means over areas if smaller in any axis."""
    mode = ("linear", "bilinear", "trilinear")[len(size) - 1]
    if any(new < old for new, old in zip(size, state.shape[2:], strict=True)):
        mode = "area"
    return nn.functional.interpolate(state, size=size, mode=mode)


def reach(decoder: nn.Module, shape: tuple[int, ...], seed: int = 0) -> tuple[int, torch.Size]:
    """Count the outputs of a decoder that its input's centre element reaches.

    C = #{i : d g(e)_i / d e_centre != 0}, the centre being every size // 2: the non-zeros of one
    Jacobian-vector product in float64 through a copy of the decoder with positive parameters,
    running means of zero and a positive input, so that nothing cancels and no rectifier is shut
    (and small, so that nothing saturates).
    Counted, not computed, for a transposed convolution, rectified or not.
    (Predify measures it on its first batch, where dead rectifiers lower it.)

    Returns C and the shape of one output.

    Examples
    --------
    >>> reach(nn.ConvTranspose2d(8, 3, 3, padding=1), (8, 16, 16))
    (27, torch.Size([3, 16, 16]))
    """
    found = transposed(decoder)
    if found is not None and len(shape) == 3 and shape[0] == found[0].in_channels:
        return spread(found[0], shape)
    generator = torch.Generator().manual_seed(seed)

    def positive(like: Tensor) -> Tensor:
        values = torch.rand(like.shape, generator=generator, dtype=torch.float64) + 0.5
        return values.to(like.device)

    with torch.inference_mode(False), torch.no_grad():
        twin = copy.deepcopy(decoder).double().eval()
        for parameter in twin.parameters():
            parameter.copy_(positive(parameter) / max(parameter.numel(), 1))
        for name, buffer in twin.named_buffers():
            if buffer.is_floating_point():
                scale = 0.0 if name.endswith("running_mean") else 1.0
                buffer.copy_(scale * (buffer != 0))  # zeros, of a mask say, are structure
        like = next(iter(decoder.parameters()), torch.empty(0))
        centre = torch.zeros(1, *shape, dtype=torch.float64, device=like.device)
        centre[(0, *(size // 2 for size in shape))] = 1.0

        def once(state: Tensor) -> Tensor:
            version = state._version
            out = twin(state)
            if state._version != version:
                raise ValueError(
                    f"the decoder {type(decoder).__name__} changes its input in place, which is "
                    "the state itself; give its first module inplace=False"
                )
            return out

        out, tangent = forward_product(once, positive(centre), centre)
    return int(torch.count_nonzero(tangent)), out.shape[1:]
