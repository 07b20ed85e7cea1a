"""Terms of predictive coding sum to it; ablations and gradients agree with plain recomputation."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import neurodyn as nd
from neurodyn.analysis.ablation import ablation
from neurodyn.analysis.contributions import contribution_shares, contributions, gradient_reliance
from neurodyn.analysis.feedback import fixed_point_accuracy
from neurodyn.analysis.feedback_reliance import feedback_reliance
from neurodyn.analysis.time_constants import eigenvalue_time, relaxation
from neurodyn.feedback_ablation import ablated, ablations, rates_of
from neurodyn.feedback_gradient import pathway_gradients
from neurodyn.feedback_terms import TERMS, record_reconstructions, record_terms, terms

RATES = {"feedforward": [0.2, 0.3, 0.5], "feedback": [0.3, 0.2, 0.0], "error": [0.05, 0.1, 0.02]}
T0 = torch.tensor(0.0)


def images(n=3, seed=1):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)).double()


def small(**kwargs):
    """Three convolutional layers with decoders, in float64; smooth, for finite differences."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(),
            nn.Flatten(), nn.Linear(64, 5),
        ).double()  # fmt: skip
        example = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
        taps = {"a": "1", "b": "4", "c": "6"}
        return nd.PredictiveCoding(network, taps, example=example, **(RATES | kwargs)).eval()


def moved_state(model, drive):
    draw = torch.Generator().manual_seed(2)
    noise = (torch.randn(e.shape, generator=draw).double() for e in model.initial_state(drive))
    return tuple(e + 0.3 * more for e, more in zip(model.initial_state(drive), noise, strict=True))


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
@pytest.mark.parametrize("pulls", [False, True])
@pytest.mark.parametrize("rates", [{}, {"error": 0.0, "feedforward": [0.0, 0.5, 0.2]}])
@torch.no_grad()
def test_terms_sum_to_the_derivative(update, pulls, rates):
    model = small(update=update, **rates)
    drive = model.drive(images())
    state = moved_state(model, drive)
    found = terms(model, state, drive, pulls=pulls)
    assert list(found) == list(TERMS)
    for n, slope in enumerate(model(T0, state, drive)):
        total = sum(found[name][n] for name in TERMS)
        assert torch.allclose(total, slope, rtol=0, atol=1e-14)
        shares = contribution_shares(np.stack([found[k][n].flatten(1).numpy() for k in TERMS]))
        assert np.allclose(shares.sum(0), 1, atol=1e-12)


def test_terms_are_those_of_the_equation():
    model = small(trainable=True)
    drive = model.drive(images())
    state = moved_state(model, drive)
    found = terms(model, state, drive)
    beta, lam, alpha = model.rates()
    middle, above, below = state[1], state[2], state[0]
    drawn = model.backbone[3:5](model.backbone[2](below))
    assert torch.allclose(found["feedforward"][1], beta[1] * drawn)
    assert torch.allclose(found["feedback"][1], lam[1] * model.decoders[2](above))
    assert torch.allclose(found["memory"][1], -(beta[1] + lam[1]) * middle)
    e = middle.clone().requires_grad_()
    energy = 0.5 * (model.decoders[1](e) - below).square().sum()
    (gradient,) = torch.autograd.grad(energy, e)
    assert torch.allclose(found["error"][1], -alpha[1] * model.scale[1] * gradient)
    assert not found["feedback"][2].any()
    pulled = terms(model, state, drive, pulls=True)
    assert torch.allclose(pulled["feedforward"][1], beta[1] * (drawn - middle))
    assert torch.allclose(pulled["feedback"][1], lam[1] * (model.decoders[2](above) - middle))


@torch.no_grad()
def test_record_terms_is_the_run_and_its_terms():
    model, x = small(), images(4)
    times = [0.0, 1.0, 3.0]
    found = record_terms(model, x, times, method="rk4", batch_size=3)
    run = nd.integrate(model, x, times, method="rk4", gradient="none")
    assert np.allclose(found.logits, run.readout)
    drive = model.drive(x)
    for i in range(3):
        state = tuple(y[i] for y in run.states)
        slopes = model(T0, state, drive)
        parts = terms(model, state, drive)
        below = (x, *state[:-1])
        for n, layer in enumerate("abc"):
            here = found.sel(layer=layer).isel(time=i)
            square = slopes[n].square().flatten(1).sum(1)
            assert np.allclose(here.projection.sum("term"), square)
            projected = (parts["feedback"][n] * slopes[n]).flatten(1).sum(1)
            assert np.allclose(here.projection.sel(term="feedback"), projected)
            wrong = (model.decoders[n](state[n]) - below[n]).square().flatten(1).mean(1)
            assert np.allclose(here.prediction_error, wrong)
            relative = square.sqrt() / state[n].flatten(1).norm(dim=1)
            assert np.allclose(here.speed, relative)
    assert found.attrs["nfe"] == 24 and found.attrs["solver"] == "rk4"
    assert np.allclose(contributions(found.projection).share.sum("term"), 1)


def test_reconstructions_are_the_first_predictions():
    model, x = small(), images()
    found = record_reconstructions(model, x, [0.0, 2.0], method="rk4")
    run = nd.integrate(model, x, [0.0, 2.0], method="rk4", gradient="none")
    assert np.allclose(found, torch.stack([model.decoders[0](e) for e in run.states[0]]).detach())


def test_all_rates_times_c_change_speed_alone():
    """In the differential equation memory is only a time scale."""
    slow = small()
    fast = small(**{name: [2 * value for value in rate] for name, rate in RATES.items()})
    x = images()
    how = {"method": "dopri5", "rtol": 1e-9, "atol": 1e-11, "gradient": "none"}
    one = nd.integrate(slow, x, [0.0, 1.0, 4.0], **how)
    other = nd.integrate(fast, x, [0.0, 0.5, 2.0], **how)
    for a, b in zip(one.states, other.states, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-7)
    assert not torch.allclose(one.states[0][0], one.states[0][-1], atol=1e-3)
    before, after = (feedback_reliance(rates_of(model)) for model in (slow, fast))
    assert np.allclose(before.reliance, after.reliance, equal_nan=True)
    assert np.allclose(before.time_constant, 2 * after.time_constant)
    assert not np.allclose(
        before["share"][:2], after["share"][:2]
    )  # the published share mixes them


def test_rates_of():
    found = rates_of(small())
    assert np.allclose(found.sel(term="feedforward"), RATES["feedforward"])
    assert np.allclose(found.sel(term="feedback"), [0.3, 0.2, np.nan], equal_nan=True)
    assert np.allclose(found.sel(term="memory"), [0.5, 0.5, 0.5])
    assert np.allclose(rates_of(small(trainable=True)), found, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("freed", "feedforward"),
    [
        ("memory", [0.2, 0.3, 0.5]),
        ("feedforward", [0.5, 0.3, 0.5]),
        ("renormalised", [0.2 / 0.7, 0.3, 0.5]),
    ],
)
def test_ablated_is_the_model_with_other_rates(freed, feedforward):
    model, x = small(), images()
    state_before = {k: v.clone() for k, v in model.state_dict().items()}
    cut = ablated(model, ["a"], freed=freed)
    wanted = small(feedforward=feedforward, feedback=[0.0, 0.2, 0.0])
    how = {"times": [0.0, 3.0], "method": "rk4", "gradient": "none"}
    assert torch.allclose(
        nd.integrate(cut, x, **how).readout, nd.integrate(wanted, x, **how).readout
    )
    assert np.allclose(rates_of(model).sel(term="feedback")[:2], [0.3, 0.2])
    assert cut.backbone is model.backbone and cut.decoders is model.decoders
    assert all(torch.equal(v, state_before[k]) for k, v in model.state_dict().items())
    if freed == "renormalised":  # feed-forward and memory keep their proportion
        rate = rates_of(cut).sel(layer="a")
        assert np.isclose(rate.sel(term="memory") / rate.sel(term="feedforward"), 0.5 / 0.2)


def test_ablated_refuses():
    for layers in (["c"], ["x"], "a"):
        with pytest.raises(ValueError, match="a, b"):
            ablated(small(), layers)
    with pytest.raises(ValueError, match="memory, feedforward"):
        ablated(small(), ["a"], freed="nowhere")
    with pytest.raises(ValueError, match="nothing is left"):
        ablated(
            small(feedforward=[0.0, 0.3, 0.5], feedback=[1.0, 0, 0]), ["a"], freed="renormalised"
        )


def test_labels_of_ablations_are_read_by_the_analysis():
    model, x = small(), images(6)
    labels = torch.arange(6) % 5
    right = []
    for layers in ablations(model).values():
        run = nd.integrate(ablated(model, layers), x, [0.0, 4.0], method="rk4", gradient="none")
        right.append(run.readout.softmax(-1)[:, torch.arange(6), labels].mean(1).numpy())
    values = np.stack(right)
    found = ablation(
        xr.DataArray(values, dims=("ablated", "time"), coords={"ablated": list(ablations(model))})
    )
    assert found.layer.values.tolist() == ["a", "b"]
    assert np.allclose(found.effect.sel(layer="b"), values[0] - values[2])
    assert np.allclose(found.shapley.sum("layer"), values[0] - values[3])


def test_gradients_are_those_of_finite_differences():
    model, x = small(), images()
    labels = torch.tensor([0, 3, 4])
    times = [0.0, 1.0, 2.0]
    found = pathway_gradients(model, x, labels, times, method="rk4", batch_size=2)
    eps = 1e-5
    names = {"feedforward": "feedforward", "feedback": "feedback", "error": "error"}

    def logits(name, n, factor):
        rate = list(RATES[name])
        rate[n] *= factor
        run = nd.integrate(small(**{name: rate}), x, times, method="rk4", gradient="none")
        return run.readout[:, torch.arange(3), labels]

    for name in names:
        for n in range(3):
            if name == "feedback" and n == 2:
                assert found.gradient.sel(term=name)[n].isnull().all()
                continue
            wanted = (logits(name, n, 1 + eps) - logits(name, n, 1 - eps)) / (2 * eps)
            assert np.allclose(found.gradient.sel(term=name)[n].T, wanted, rtol=1e-5, atol=1e-9)
    bound = abs(found.gradient) <= found["size"] + 1e-12
    assert bound.where(found.gradient.notnull(), True).all()
    assert np.allclose(rates_of(model).sel(term="feedback")[:2], [0.3, 0.2])
    reliance = gradient_reliance(found["size"])
    assert reliance.reliance.isel(time=0).isnull().all()
    assert np.allclose(reliance.layer_share.isel(time=2).sum(), 1)


def test_time_constant_of_the_path_is_that_of_the_slowest_mode():
    """A linear network from near its fixed point along its slowest mode."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), nn.Linear(2, 2)).double()
    x = images(1)[:, 0, 0, :4]
    model = nd.PredictiveCoding(
        network, ["0", "1"], feedforward=0.3, feedback=[0.4, 0.0], error=0.1, example=x
    ).eval()
    drive = model.drive(x)

    def field(flat):
        state = (flat[None, :3], flat[None, 3:])
        return torch.cat([y[0] for y in model(T0, state, drive)])

    zero = torch.zeros(5, dtype=torch.float64)
    matrix = torch.func.jacrev(field)(zero)
    rest = torch.linalg.solve(matrix, -field(zero))
    values, vectors = torch.linalg.eig(matrix)
    slowest = values.real.argmax()
    assert values[slowest].imag == 0
    start = (rest + 0.1 * vectors[:, slowest].real).detach()
    run = nd.simulate(
        model, x, torch.linspace(0, 60, 241), initial_state=(start[None, :3], start[None, 3:]),
        rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    wanted = eigenvalue_time(values.detach().numpy())
    assert np.allclose(relaxation(run, quantity="state").time_constant, wanted, rtol=1e-4)
    speed = record_terms(model, x, [0.0, 60.0]).speed
    right = xr.DataArray([[True, True]], dims=("sample", "time"))
    assert fixed_point_accuracy(right, speed).settled == 1
    assert fixed_point_accuracy(right, speed.isel(time=[0])).settled == 0
