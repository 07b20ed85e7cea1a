"""Transposed convolutions as decoders: their adjoint, their reach, and large kernels made fast."""

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

Maps = Float[Tensor, "sample channel y x"]
SMALL = 2**27
"""Bytes of one decoder's spectra that are kept unless told otherwise."""
PART = 2**25
"""Bytes of weights that are multiplied at once on a CPU, whose backend copies them in each call."""
WINDOWS = 64
"""Windows that are transformed at once; fewer leave the product waiting for the spectra."""


def transposed(decoder: nn.Module) -> tuple[nn.ConvTranspose2d, bool] | None:
    """Return a decoder's transposed convolution and whether a rectifier follows, if that is all.

    Not so with an output padding, or hooks, which could do anything.
    """
    parts = list(decoder) if type(decoder) is nn.Sequential else [decoder]
    if [type(part) for part in parts[1:]] not in ([], [nn.ReLU]):
        return None
    if not parts or type(parts[0]) is not nn.ConvTranspose2d or any(parts[0].output_padding):
        return None
    if any(module._forward_hooks or module._forward_pre_hooks for module in (decoder, *parts)):
        return None
    return parts[0], len(parts) == 2


def spread(convolve: nn.ConvTranspose2d, shape: tuple[int, ...]) -> tuple[int, torch.Size]:
    """Count the outputs that the centre of a map reaches; return the shape of one output too.

    Along an axis of n inputs, kernel k, stride s, padding p, dilation d: those of the k places
    s (n // 2) - p + d j, j < k, that are within the s (n - 1) + d (k - 1) + 1 - 2 p outputs.

    Examples
    --------
    >>> spread(nn.ConvTranspose2d(8, 3, 14, stride=2, padding=6), (8, 16, 16))
    (588, torch.Size([3, 32, 32]))
    """
    reached, out = convolve.out_channels // convolve.groups, [convolve.out_channels]
    for axis, size in enumerate(shape[1:]):
        k, s, d = (v[axis] for v in (convolve.kernel_size, convolve.stride, convolve.dilation))
        p = int(convolve.padding[axis])
        out.append(s * (size - 1) + d * (k - 1) + 1 - 2 * p)
        reached *= sum(0 <= s * (size // 2) - p + d * j < out[-1] for j in range(k))
    return reached, torch.Size(out)


class Kernel:
    r"""A large kernel of a transposed convolution in a form that is faster, kept between calls.

    A transposed convolution with stride s and a kernel of s K writes :math:`s^2` interleaved maps,
    each a convolution of stride 1 with a kernel of K. Its windows of N x N are multiplied in the
    Fourier domain,

    .. math:: \hat y_o(\omega) = \sum_c \hat x_c(\omega)\, \hat w_{oc}(\omega),

    where every window gives N - K + 1 outputs along each axis (overlap-save), with 5 to 7 times
    fewer multiplications in PVGG16. N is 2 K, 16 for kernels up to 6; the spectra take about five
    times the memory of the weights, eleven times with K = 5. In half precision, on a processor with
    matrix units for it (AMX), the convolution to :math:`s^2` times the channels and a shuffle of
    pixels are computed instead. An accelerator's own convolutions are left as they are: on an H200
    neither form was faster.

    They are made again after the weights have changed in any way that torch counts (an optimiser,
    `load_state_dict`, ``.to()``; not through ``weight.data``). Copies and pickles go without them.

    Parameters
    ----------
    most : float
        Bytes of spectra that may be kept.

    References
    ----------
    Vasilache et al. (2015), arXiv 1412.7580 (Fourier domain); Shi et al. (2016), arXiv 1609.05158
    (shuffled pixels).
    """

    def __init__(self, most: float = math.inf) -> None:
        self.most = most
        self.form: Tensor | None = None
        self.weight: weakref.ref = weakref.ref(self)
        self.held: Tensor | None = None  # so that no other values can take the weights' address
        self.state: tuple = ()

    def __reduce__(self) -> tuple[type, tuple[float]]:
        """Copy and pickle as an empty one."""
        return Kernel, (self.most,)

    def suits(self, convolve: nn.ConvTranspose2d) -> bool:
        """Tell whether there is anything to gain, and whether gradients of the weights are off."""
        (k, other), (s, t) = convolve.kernel_size, convolve.stride
        (p, q), plain = map(int, convolve.padding), convolve.groups == max(convolve.dilation) == 1
        if not plain or (k, s, p) != (other, t, q) or k % s or p % s or p > k - s:
            return False
        weight, size = convolve.weight, window(k // s)
        fixed = not (torch.is_grad_enabled() and weight.requires_grad)
        large = k // s >= 5 and min(convolve.in_channels, convolve.out_channels) >= 16
        if not (large and fixed and isinstance(weight, nn.Parameter)):
            return False
        spectra = size * (size // 2 + 1) * s**2 * convolve.in_channels * convolve.out_channels
        kept = spectra * 2 * max(weight.itemsize, 4)
        return kept <= self.most and weight.device.type == "cpu"

    def __call__(self, x: Maps, convolve: nn.ConvTranspose2d, adjoint: bool = False) -> Maps:
        """Return the transposed convolution without its bias, or its adjoint."""
        (s, _), k, p = convolve.stride, convolve.kernel_size[0], int(convolve.padding[0])
        kind, around = x.device.type, (k - p) // s - 1
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        half = dtype.itemsize == 2 and multiplies_halves()
        exact = torch.float32 if dtype.itemsize == 2 and not half else dtype
        form, padding = self.of(convolve, exact), p // s if adjoint and not half else around

        def some(x: Maps) -> Maps:
            x = nn.functional.pixel_unshuffle(x, s) if adjoint else x
            if half:
                product = nn.functional.conv_transpose2d if adjoint else nn.functional.conv2d
                x = product(x, form, padding=padding)
            else:
                with torch.autocast(kind, enabled=False):
                    x = windowed(x.to(exact), form, k // s, padding, adjoint).to(dtype)
            return x if adjoint else nn.functional.pixel_shuffle(x, s)

        step = (window(k // s) - k // s + 1) * (s if adjoint else 1)
        windows = math.prod(math.ceil(n / step) for n in x.shape[2:])
        parts = [some(part) for part in x.split(len(x) if half else max(WINDOWS // windows, 1))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @torch.no_grad()
    def of(self, convolve: nn.ConvTranspose2d, dtype: torch.dtype) -> Tensor:
        """Return the kept form, made if it is not there or the weights are no longer the same."""
        weight = convolve.weight
        state = (weight._version, weight.data_ptr(), weight.device, weight.dtype, dtype)
        if self.form is None or self.weight() is not weight or self.state != state:
            self.form = None  # first, so that not both are in memory
            kernel = phases(weight.to(dtype), convolve.stride[0])
            half = dtype.itemsize == 2
            last = {"memory_format": torch.channels_last}
            self.form = kernel.contiguous(**last) if half else spectra(kernel)
            self.weight, self.held, self.state = weakref.ref(weight), weight.detach(), state
        return self.form


@functools.cache
def multiplies_halves() -> bool:
    """Tell whether the processor has matrix units for half precision."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch 2.4
    return bool(known.get("amx_bf16"))


def window(k: int) -> int:
    """Return the side of the windows for kernels of k x k."""
    return 2 * k if k > 6 else 16


def phases(weight: Float[Tensor, "source target y x"], stride: int) -> Maps:
    """Return a transposed convolution's kernel as that of the convolution of stride 1."""
    source, target, k, _ = weight.shape
    apart = weight.unflatten(3, (-1, stride)).unflatten(2, (-1, stride))
    turned = apart.permute(1, 3, 5, 0, 2, 4).flip(4, 5)
    return turned.reshape(target * stride**2, source, k // stride, k // stride)


def spectra(kernel: Maps) -> Complex[Tensor, "frequency source target"]:
    """Return the conjugate spectra of kernels of K x K in windows of N x N."""
    size = window(kernel.shape[-1])
    form = kernel.new_empty(
        size, size // 2 + 1, *kernel.shape[1::-1], dtype=kernel.dtype.to_complex()
    )
    for o in range(0, len(kernel), 64):  # a part at a time: the rest would be twice the memory
        some = torch.fft.rfft2(kernel[o : o + 64], (size, size))
        form[..., o : o + 64] = some.permute(2, 3, 1, 0).conj()
    return form.flatten(0, 1)


def windowed(
    x: Maps, form: Complex[Tensor, "frequency source target"], k: int, padding: int, adjoint: bool
) -> Maps:
    """Correlate with k x k kernels, or with the turned and transposed ones, by overlap-save."""
    size = window(k)
    step = size - k + 1
    samples, _, *shape = x.shape
    shape = [n + 2 * padding - k + 1 for n in shape]
    rows, columns = (math.ceil(n / step) for n in shape)
    bottom, right = (
        m * step + k - 1 - n - padding for m, n in zip((rows, columns), x.shape[2:], strict=True)
    )
    x = nn.functional.pad(x, (padding, right, padding, bottom))
    spectrum = torch.fft.rfft2(x.unfold(2, size, step).unfold(3, size, step))
    spectrum = spectrum.permute(4, 5, 0, 2, 3, 1)
    kept = spectrum.shape[:-1]
    spectrum = spectrum.reshape(len(form), -1, spectrum.shape[-1])
    if adjoint:  # with the spectra not conjugated, without a copy of them
        spectrum = torch.bmm(spectrum.conj().resolve_conj(), form.transpose(1, 2)).conj()
    else:
        spectrum = torch.bmm(spectrum, form)
    y = torch.fft.irfft2(spectrum.reshape(*kept, -1).permute(2, 5, 3, 4, 0, 1), (size, size))
    first = k - 1 if adjoint else 0
    y = y[..., first : first + step, first : first + step].permute(0, 1, 2, 4, 3, 5)
    return y.reshape(samples, -1, rows * step, columns * step)[..., : shape[0], : shape[1]]


def plain(x: Maps, convolve: nn.ConvTranspose2d, adjoint: bool = False) -> Maps:
    """Return the transposed convolution without its bias, or its adjoint, a part at a time."""

    def product(x: Maps, weight: Tensor) -> Maps:
        s, d, groups = convolve.stride, convolve.dilation, convolve.groups
        p = tuple(map(int, convolve.padding))
        if adjoint:
            return nn.functional.conv2d(x, weight, None, s, p, d, groups)
        return nn.functional.conv_transpose2d(x, weight, None, s, p, 0, groups, d)

    if not in_parts(convolve):
        return product(x, convolve.weight)
    rows = PART // convolve.weight[0].nbytes // 16 * 16  # of whole blocks of channels
    weights = convolve.weight.split(max(rows, 16))
    if adjoint:
        return torch.cat([product(x, weight) for weight in weights], 1)
    parts = x.split([len(weight) for weight in weights], 1)
    return functools.reduce(torch.add, map(product, parts, weights))


def in_parts(convolve: nn.ConvTranspose2d) -> bool:
    """Tell whether a copy of the weights would be large, and no gradient of them is wanted."""
    weight = convolve.weight
    fixed = not (torch.is_grad_enabled() and weight.requires_grad)
    large = weight.device.type == "cpu" and weight.nbytes > 2 * PART
    return large and fixed and convolve.groups == 1


def predict(decoder: nn.Module, state: Tensor, kernel: Kernel | None = None) -> Tensor:
    """Return g(e), through a kept kernel where one is given and suits."""
    found = transposed(decoder)
    if found is None:
        return decoder(state)
    convolve, rectified = found
    if kernel is not None and kernel.suits(convolve):
        out = kernel(state, convolve)
    elif in_parts(convolve):
        out = plain(state, convolve)
    else:
        return decoder(state)
    if convolve.bias is not None:
        out = out + convolve.bias.to(out.dtype)[:, None, None]
    return out.relu() if rectified else out


def pullback(
    decoder: nn.Module, state: Tensor, kernel: Kernel | None = None
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    r"""Return g(e) and the map :math:`u \mapsto J_g^{\top} u`.

    In closed form for a transposed convolution, rectified or not: the adjoint is the convolution
    with the same weights. That costs what autograd's costs, and less once it is differentiated in
    its turn. Else by autograd.

    Examples
    --------
    >>> g = nn.Sequential(nn.ConvTranspose2d(4, 3, 6, stride=2, padding=2), nn.ReLU())
    >>> prediction, pull = pullback(g, torch.rand(2, 4, 5, 5))
    >>> prediction.shape, pull(prediction).shape
    (torch.Size([2, 3, 10, 10]), torch.Size([2, 4, 5, 5]))
    """
    found = transposed(decoder)
    if found is None:
        prediction, vjp, *_ = torch.func.vjp(decoder, state)
        return prediction, lambda u: vjp(u)[0]
    convolve, rectified = found
    prediction = predict(decoder, state, kernel)
    shut = prediction <= 0 if rectified else None  # so that the prediction need not be kept

    def pull(u: Tensor) -> Tensor:
        if shut is not None:
            u = u.masked_fill(shut, 0.0)
        if kernel is not None and kernel.suits(convolve):
            return kernel(u, convolve, adjoint=True).to(state.dtype)
        return plain(u, convolve, adjoint=True).to(state.dtype)

    return prediction, pull
