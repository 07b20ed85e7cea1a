"""The networks with feedback that ship, and their rates under noise."""

import pytest
import torch
from numpy.testing import assert_array_less

import neurodyn as nd
from neurodyn.models.feedback_nets import feedback_net, pictures, set_rates, shipped_rates
from neurodyn.stimuli.digits import NOISE


@pytest.mark.parametrize(
    ("network", "level", "n"), [("pshallow", 0.8, 150), ("presnet18", 0.2, 100)]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_networks_that_ship_know_digits_and_use_feedback_under_noise(network, level, n, seed):
    """Test digits, none of which the weights or the rates have seen."""
    images, labels = pictures("digits", "test", n)
    model = feedback_net(network, "digits", pretrained=True, seed=seed)
    with torch.no_grad():
        assert (model.backbone(images).argmax(1) == labels).float().mean() > 0.93
    rate = shipped_rates().rate.sel(network=network, data="digits", seed=seed)
    there = rate.sel(noise_type="gaussian", noise=level)
    noisy = NOISE["gaussian"](images, level, seed)
    run = nd.integrate(set_rates(model, there), noisy, [0.0, 5.0], method="euler", gradient="none")
    right = (run.readout.argmax(-1) == labels).float().mean(1)
    assert right[1] > right[0]


@pytest.mark.parametrize("network", ["pshallow", "presnet18"])
@pytest.mark.parametrize("data", ["digits", "fashion"])
def test_rates_that_ship(network, data):
    rate = shipped_rates().rate.sel(network=network, data=data, noise_type="gaussian")
    assert rate.noise.values.tolist()[:1] == [0.0] and rate.seed.values.tolist() == list(range(10))
    beta, lam = (rate.sel(term=term, noise=[0.0, 0.8]) for term in ("feedforward", "feedback"))
    beta, lam = beta.where(lam.notnull()), lam.dropna("layer", how="all")  # the top layer has none
    assert ((beta.sel(layer=lam.layer) > 0) & (lam > 0) & (beta + lam < 1)).all()
    reliance = (lam / (beta + lam)).mean("layer")
    assert_array_less(reliance.sel(noise=0.0), reliance.sel(noise=0.8))
