"""The networks with feedback that ship, and their rates under noise."""

import pytest
import torch
from numpy.testing import assert_array_less

import neurodyn as nd
from neurodyn.models.feedback_nets import feedback_net, pictures, set_rates, shipped_rates
from neurodyn.stimuli.digits import NOISE


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_networks_that_ship_know_digits_and_use_feedback_under_noise(seed):
    """Test digits, none of which the weights or the rates have seen."""
    images, labels = pictures("digits", "test", 150)
    model = feedback_net("pshallow", "digits", pretrained=True, seed=seed)
    with torch.no_grad():
        assert (model.backbone(images).argmax(1) == labels).float().mean() > 0.93
    rate = shipped_rates().rate.sel(network="pshallow", data="digits", seed=seed)
    there = rate.sel(noise_type="gaussian", noise=0.8)
    noisy = NOISE["gaussian"](images, 0.8, seed)
    run = nd.integrate(
        set_rates(model, there), noisy, [0.0, 5.0], method="euler", gradient="none"
    )
    right = (run.readout.argmax(-1) == labels).float().mean(1)
    assert right[1] > right[0]


def test_rates_that_ship():
    rate = shipped_rates().rate.sel(network="pshallow", data="digits", noise_type="gaussian")
    assert rate.noise.values.tolist()[:1] == [0.0] and rate.sizes["seed"] == 3
    beta, lam = (rate.sel(term=term, layer="layer1", noise=[0.0, 0.8]) for term in
                 ("feedforward", "feedback"))  # fmt: skip
    assert ((beta > 0) & (lam > 0) & (beta + lam < 1)).all()
    reliance = lam / (beta + lam)
    assert_array_less(reliance.sel(noise=0.0), reliance.sel(noise=0.8))
