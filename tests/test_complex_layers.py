"""Complex layers against the authors' outputs, and what must hold of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neurodyn.complex_layers import ComplexLayer, ComplexMaxPool2d, ComplexNorm, modulus

DATA = Path(__file__).parent / "data" / "komplexnet.npz"


@pytest.fixture(scope="module")
def oracle():
    with np.load(DATA) as data:
        return {name: torch.from_numpy(data[name]) for name in data.files}


def random(*shape, seed=0, dtype=torch.complex64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def loaded(layer, norm, oracle, name, rectify=True):
    complex_layer = ComplexLayer(layer, norm, rectify=rectify)
    with torch.no_grad():
        for part, module in (
            ("kernel_conv" if "conv" in name else "weights", layer),
            ("norm", norm),
        ):
            if module is not None:
                module.weight.copy_(oracle[f"weights.{name}.{part}.weight"])
                module.bias.copy_(oracle[f"weights.{name}.{part}.bias"])
    return complex_layer.requires_grad_(False)


def close(a, b):
    return float((a - b).abs().max() / b.abs().max())


def test_the_authors_outputs(oracle):
    conv = loaded(
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.InstanceNorm2d(8, affine=True), oracle, "convA"
    )
    hidden = loaded(nn.Linear(2048, 50), nn.LayerNorm(50), oracle, "classif1.1")
    category = loaded(nn.Linear(50, 10), None, oracle, "classif2", rectify=False)
    assert close(conv(oracle["z_in_last"]), oracle["convA"]) < 1e-5
    assert close(hidden(oracle["convA"].flatten(1)), oracle["classif1"]) < 1e-5
    m = category.magnitude(oracle["classif1"])
    assert close(m - m.amax(1, keepdim=True) / 3, oracle["prediction"]) < 1e-5


LAYERS = [
    lambda: (nn.Conv2d(2, 3, 3, padding=1), (2, 2, 5, 5)),
    lambda: (nn.Linear(4, 3), (2, 4)),
    lambda: (nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 2, 4, 4)),
]


@pytest.mark.parametrize("make", LAYERS, ids=["convolution", "linear", "transposed"])
def test_the_equation_with_arg_and_exp(make):
    layer, shape = make()
    z = random(*shape)
    psi = torch.complex(layer(z.real), layer(z.imag))
    m = (psi.abs() + layer(z.abs())) / 2
    wanted = torch.relu(m) * torch.exp(1j * psi.angle())
    assert torch.allclose(ComplexLayer(layer)(z), wanted, atol=1e-6)


@pytest.mark.parametrize("make", LAYERS, ids=["convolution", "linear", "transposed"])
def test_without_a_bias_a_rotation_goes_through(make):
    layer, shape = make()
    nn.init.zeros_(layer.bias)
    z, turn = random(*shape), torch.exp(torch.tensor(1j))
    both = ComplexLayer(layer)
    assert torch.allclose(both(turn * z), turn * both(z), atol=1e-5)


@pytest.mark.parametrize("make", LAYERS, ids=["convolution", "linear", "transposed"])
def test_gradients_are_right_and_finite_at_zero(make):
    layer, shape = make()
    both = ComplexLayer(layer.double(), rectify=False)
    z = random(*shape, dtype=torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(both, (z,))
    nn.init.zeros_(layer.bias)
    zero = torch.zeros(shape, dtype=torch.complex128, requires_grad=True)
    out = both(zero)
    assert torch.equal(out, torch.zeros_like(out))
    (gradient,) = torch.autograd.grad(out.abs().sum() + out.real.sum(), zero)
    assert torch.isfinite(torch.view_as_real(gradient)).all()


def test_pooling_keeps_the_strongest_and_its_phase():
    z = random(2, 3, 6, 6)
    got = ComplexMaxPool2d(2)(z)
    blocks = z.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    strongest = blocks.abs().argmax(-1, keepdim=True)
    assert torch.equal(got, blocks.gather(-1, strongest)[..., 0])
    assert ComplexMaxPool2d(3, stride=1, padding=1)(z).shape == z.shape


def test_normalising_keeps_the_phase():
    z = random(4, 3, 5, 5)
    got = ComplexNorm(nn.InstanceNorm2d(3, affine=True))(z)
    on = got != 0
    assert torch.allclose(torch.angle(got)[on], torch.angle(z)[on], atol=1e-5)
    wanted = torch.relu(nn.InstanceNorm2d(3)(z.abs()))
    assert torch.allclose(modulus(got), wanted, atol=1e-5) and on.any() and not on.all()


@pytest.mark.parametrize(
    "layer", [ComplexLayer(nn.Linear(3, 3)), ComplexNorm(nn.LayerNorm(3)), ComplexMaxPool2d(1)]
)
def test_real_activations_are_refused(layer):
    with pytest.raises(TypeError, match=r"torch\.polar"):
        layer(torch.ones(2, 3, 3, 3))
