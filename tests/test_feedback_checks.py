"""What the analyses of feedback refuse, and what they no longer hide."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.analysis.ablation import ablation
from neurodyn.analysis.contributions import gradient_reliance
from neurodyn.analysis.feedback import error_over_time, fixed_point_accuracy
from neurodyn.analysis.feedback_reliance import feedback_reliance
from neurodyn.analysis.feedback_report import mce_by_seed
from neurodyn.analysis.mce import corruption_error_over_time, mean_corruption_error
from neurodyn.analysis.time_constants import e_folding_time
from neurodyn.feedback_ablation import ablated
from neurodyn.feedback_gradient import pathway_gradients
from neurodyn.feedback_terms import record_terms
from neurodyn.models import pc_shallow
from neurodyn.models.feedback_nets import pictures
from neurodyn.rates import Rates, with_rates


def sizes(forward):
    """Return sizes (term, layer, sample, time) of two layers, feedback 1 throughout."""
    back = np.ones_like(forward)
    return xr.DataArray(
        np.stack([forward, back]), dims=("term", "layer", "sample", "time"),
        coords={"term": ["feedforward", "feedback"]},
    )  # fmt: skip


def test_gradient_reliance_shows_nan_and_takes_only_absent_pathways_as_zero():
    forward = np.full((2, 3, 2), 3.0)
    forward[0, 1, 0] = np.nan  # one image, one time: a broken gradient
    forward[1] = np.nan  # a pathway that is not there
    found = gradient_reliance(sizes(forward), resamples=100)
    assert np.allclose(found.reliance, [[np.nan, 0.25], [1, 1]], equal_nan=True)
    broken = sizes(np.ones((2, 3, 2)))
    broken[1, 0, 1, 0] = np.nan
    share = gradient_reliance(broken, resamples=100).layer_share
    assert np.allclose(share, [[np.nan, 0.5], [np.nan, 0.5]], equal_nan=True)


def run(samples, times):
    """Return answers and speeds of images at rest."""
    axes = {"sample": samples, "time": times}
    right = xr.DataArray(np.ones((len(samples), len(times)), bool), axes, ("sample", "time"))
    return right, xr.zeros_like(right, dtype=float).expand_dims("layer")


def test_fixed_point_accuracy_needs_one_run():
    right, speed = run([0, 1, 2], [0.0, 5.0])
    assert fixed_point_accuracy(right, speed[:, ::-1]).fixed_point_accuracy == 1
    assert fixed_point_accuracy(right, run([0, 1, 2], [0.0, 1.0, 5.0])[1]).settled == 1
    for samples in ([3, 4, 5], [1, 2, 3], [0, 1]):
        with pytest.raises(ValueError, match="other labels along 'sample'"):
            fixed_point_accuracy(right, run(samples, [0.0, 5.0])[1])
    with pytest.raises(ValueError, match="ends at t = 5 and speed at t = 4"):
        fixed_point_accuracy(right, run([0, 1, 2], [0.0, 4.0])[1])
    with pytest.raises(ValueError, match="other labels along 'seed'"):
        fixed_point_accuracy(right.expand_dims(seed=[0]), speed.expand_dims(seed=[1]))
    with pytest.raises(ValueError, match="nothing along time"):
        fixed_point_accuracy(right, speed[..., :0])
    with pytest.raises(ValueError, match="nothing along time"):
        error_over_time(speed[..., :0])


def test_a_silent_layer_is_at_rest():
    """Of a black image the first layer is 0 and stays so where nothing drives it."""
    model = pc_shallow(feedforward=0.0, feedback=0.0, error=0.0)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.zero_()
    found = record_terms(model, torch.zeros(2, 1, 32, 32), [0.0, 1.0])
    assert (found.speed == 0).all()
    right = xr.ones_like(found.speed.isel(layer=0, drop=True))
    assert fixed_point_accuracy(right, found.speed).settled == 1


def test_mce_without_an_interval_is_that_with_one():
    right = np.random.default_rng(0).random((2, 3, 40, 4)) < 0.5
    correct = xr.DataArray(
        right, dims=("noise_type", "severity", "sample", "time"),
        coords={"noise_type": ["fog", "snow"], "severity": [1, 2, 3], "time": range(4)},
    )  # fmt: skip
    whole = mean_corruption_error(correct, resamples=100)
    alone = corruption_error_over_time(correct)
    xr.testing.assert_identical(
        whole[["corruption_error", "mce"]].drop_vars("ci_bound", errors="ignore"), alone
    )
    wrong = 1 - right.mean(2)
    assert np.allclose(alone.mce, wrong.sum((0, 1)) / wrong[..., 0].sum())
    with pytest.raises(ValueError, match="resamples must be 100 or more"):
        mean_corruption_error(correct, resamples=2)
    flat = correct.stack(noise=("noise_type", "severity")).reset_index("noise")
    flat = flat.rename(severity="noise_level").expand_dims(seed=[7])
    assert np.allclose(mce_by_seed(flat).sel(seed=7), alone.mce)


def test_ablation_refuses_a_set_twice():
    accuracy = xr.DataArray([0.9, 0.8, 0.7, 0.5], dims="ablated")
    for labels in (["none", "a", "b", "b"], ["none", "none", "a", "b"]):
        with pytest.raises(ValueError, match="a set of layers twice"):
            ablation(accuracy.assign_coords(ablated=labels))
    five = xr.DataArray(
        [0.9, 0.8, 0.7, 0.5, 0.4], dims="ablated",
        coords={"ablated": ["none", "a", "b", "a+b", "b+a"]},
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"a set of layers twice: .*b\+a"):
        ablation(five)


def test_rates_sum_to_one_and_times_fit():
    terms = {"term": ["feedforward", "feedback", "memory", "error"]}
    with pytest.raises(ValueError, match="must sum to 1, got 3 to 3"):
        feedback_reliance(xr.DataArray([1.0, 1.0, 1.0, 0.0], terms, ("term",)))
    rounded = xr.DataArray([0.33, 0.33, 0.33, 0.0], terms, ("term",))
    assert feedback_reliance(rounded).reliance == 0.5
    with pytest.raises(ValueError, match="last axis must be the times"):
        e_folding_time(np.exp(-np.arange(5.0)), np.arange(4.0))


@pytest.mark.parametrize("n", [-1, 0, 2.0, True])
def test_pictures_refuse(n):
    with pytest.raises(ValueError, match="1 or more, or None"):
        pictures("digits", "test", n)


def test_records_refuse_labels_and_batches():
    model, (images, labels) = pc_shallow(), nd.stimuli.digits(n=2)
    for wrong, kind, match in (
        (labels.float(), TypeError, "torch.int64, got torch.float32"),
        (labels[:1], ValueError, r"one whole number per image, \(2,\)"),
        (labels - 20, ValueError, "0 or more"),
        (labels + 20, ValueError, "from 0 to 9"),
    ):
        with pytest.raises(kind, match=match):
            pathway_gradients(model, images, wrong, [0.0, 1.0])
    for size in (-1, 0, 1.5):
        with pytest.raises(ValueError, match="batch_size = .* whole number, 1 or larger"):
            pathway_gradients(model, images, labels, [0.0, 1.0], batch_size=size)
        with pytest.raises(ValueError, match="batch_size = .* whole number, 1 or larger"):
            record_terms(model, images, [0.0, 1.0], batch_size=size)


def test_with_rates_leaves_the_model_and_shares_its_weights():
    model = pc_shallow(feedforward=0.5, feedback=0.3)
    other = with_rates(model, Rates(0.1, 0.2, 0.0, 3))
    assert model.rates.beta == [0.5] * 3 and other.rates.beta == [0.1] * 3
    assert other.backbone is model.backbone
    assert ablated(model, ["layer1"]).backbone is model.backbone and model.rates.lam[0] == 0.3
