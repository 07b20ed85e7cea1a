"""A dynamics as a module: its gradient against finite differences and an independent loop."""

import pytest
import torch
from torch import nn

import neurodyn as nd
from neurodyn.classifier import as_classifier
from neurodyn.models import pc_shallow

RATES = {"feedforward": [0.4, 0.5, 0.6], "feedback": [0.3, 0.2, 0.0], "error": [0.6, 0.4, 0.3]}


def network() -> tuple[nn.Sequential, list[nn.Module]]:
    """Return a smooth backbone and decoders, one of them not linear, in float64."""
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Softplus()),
        nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.Tanh()),
        nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.Softplus()),
        nn.Sequential(nn.Flatten(), nn.Linear(5 * 9, 7)),
    ).double()
    decoders = [
        nn.Conv2d(4, 2, 3, padding=1).double(),
        nn.Sequential(nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Softplus()).double(),
        nn.Conv2d(5, 6, 3, padding=1).double(),
    ]
    torch.random.set_rng_state(torch_state)
    return backbone, decoders


def coding(**kwargs) -> nd.PredictiveCoding:
    backbone, decoders = network()
    model = nd.PredictiveCoding(backbone, ["0", "1", "2"], decoders, **(RATES | kwargs))
    return model.eval()


def pictures(n: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 2, 6, 6, generator=generator, dtype=torch.float64)


def slope(function, x: torch.Tensor, along: torch.Tensor, h: float = 1e-5) -> float:
    """Return the derivative along a direction, by central differences of fourth order."""
    with torch.no_grad():
        f = [float(function(x + k * h * along)) for k in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)


def entropy(classifier):
    labels = torch.tensor([2, 0, 6])
    return lambda x: nn.functional.cross_entropy(classifier(x), labels, reduction="sum")


def gradient(loss, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def predify_loop(x: torch.Tensor, steps: int, scale, sequential: bool) -> torch.Tensor:
    """Return the logits of the published rule, its error term by autograd of the squared error."""
    backbone, g = network()
    f = list(backbone)
    e = [f[0](x)]
    e += [f[1](e[0])]
    e += [f[2](e[1])]
    beta, lam, alpha = RATES["feedforward"], RATES["feedback"], RATES["error"]
    for _ in range(steps):
        predicted = [g[n](e[n]) for n in range(3)]
        errors = []
        for n in range(3):
            half = 0.5 * (predicted[n] - (x if n == 0 else e[n - 1])).pow(2).sum()
            errors.append(torch.autograd.grad(half, e[n], create_graph=True)[0])
        new: list[torch.Tensor] = []
        for n in range(3):
            lower = x if n == 0 else (new if sequential else e)[n - 1]
            above = predicted[n + 1] if n < 2 else 0.0
            memory = 1 - beta[n] - lam[n]
            drive = beta[n] * f[n](lower) + lam[n] * above + memory * e[n]
            new.append(drive - alpha[n] * scale[n] * errors[n])
        e = new
    return f[3](e[2])


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_gradient_is_that_of_an_unrolled_loop_with_create_graph(update) -> None:
    x, steps = pictures(), 4
    model = coding(update=update)
    classifier = as_classifier(model, float(steps), method="euler")
    logits = classifier(x)
    scale = model.scale
    assert torch.allclose(logits, predify_loop(x.requires_grad_(), steps, scale, update[1] == "e"))
    ours = gradient(entropy(classifier), x.detach())
    theirs = gradient(entropy(lambda x: predify_loop(x, steps, scale, update[1] == "e")), x)
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


SOLVERS = [
    {"method": "euler"},
    {"method": "euler", "trainable": True},
    {"method": "rk4", "options": {"step_size": 0.5}},
    {"method": "euler", "gradient": "checkpoint"},
    {"method": "dopri5", "rtol": 1e-8, "atol": 1e-9},
]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: "-".join(map(str, s.values())))
def test_gradient_is_that_of_finite_differences(solver) -> None:
    model = coding(trainable=solver.get("trainable", False))
    how = {name: value for name, value in solver.items() if name != "trainable"}
    loss = entropy(as_classifier(model, 3.0, **how))
    x = pictures()
    g = gradient(loss, x)
    for seed in range(3):
        along = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).double()
        expected = slope(loss, x, along)
        assert float((g * along).sum()) == pytest.approx(expected, rel=2e-6, abs=1e-8)


def test_a_detached_error_term_has_the_same_answers_and_another_gradient() -> None:
    """What the published code differentiates; and the tests above would notice it."""
    x = pictures()
    full, cut = (as_classifier(coding(detach_error=d), 3.0, method="euler") for d in (False, True))
    assert torch.allclose(full(x), cut(x), rtol=1e-12)
    g, other = (gradient(entropy(c), x) for c in (full, cut))
    assert (g - other).norm() > 0.05 * g.norm()


def test_times_and_shapes() -> None:
    x = pictures()
    model = coding()
    classifier = as_classifier(model, [0.0, 1.5, 4.0], rtol=1e-6)
    logits = classifier(x)
    assert logits.shape == (3, 3, 7)
    run = nd.integrate(model, x, [0.0, 1.5, 4.0], rtol=1e-6)
    assert torch.equal(logits, run.readout)
    assert torch.equal(classifier.at([1.5, 4.0])(x), run.readout[1:])
    assert torch.equal(classifier.at(4)(x), nd.integrate(model, x, [0, 4], rtol=1e-6).readout[-1])
    for zero in (0, 0.0, torch.tensor(0.0)):
        assert torch.allclose(classifier.at(zero)(x), model.backbone(x))
    with torch.no_grad():
        assert not classifier(x).requires_grad
    assert as_classifier(model, 4.0).solver["method"] == "dopri5"
    assert not classifier.training
    assert "1.5" in repr(classifier)


def test_random_initial_states_are_the_same_in_every_call_and_batch() -> None:
    model = RandomStart()
    classifier = as_classifier(model, 2.0, seed=3, rtol=1e-8)
    x = pictures().flatten(1)[:, :4]
    assert torch.equal(classifier(x), classifier(x))
    assert torch.allclose(classifier(x)[:2], classifier(x[:2]), atol=1e-7)
    start = classifier.at(0.0)(x)
    assert torch.equal(start[:2], classifier.at(0.0)(x[:2]))
    exact = x + (start - x) * torch.tensor(-2.0).double().exp()
    assert torch.allclose(classifier(x), exact, atol=1e-5)
    assert not torch.equal(start, as_classifier(model, 0.0, seed=4)(x))


class RandomStart(nd.Dynamics):
    """dy/dt = s - y from a random state."""

    variables = (nd.Variable("y", ("unit",)),)

    def drive(self, stimulus):
        return {"input": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.rand(drive["input"].shape, generator=generator, dtype=torch.float64),)

    def forward(self, t, state, drive):
        return (drive["input"] - state[0],)

    def readout(self, state, drive):
        return state[0]


def test_what_is_refused() -> None:
    model = coding()
    with pytest.raises(TypeError, match=r"neurodyn\.Dynamics, got Sequential"):
        as_classifier(nn.Sequential(), 1.0)
    for times in (-1.0, [-1.0, 2.0], float("inf"), float("nan")):
        with pytest.raises(ValueError, match="from t = 0 on|finite and increasing"):
            as_classifier(model, times)
    with pytest.raises(ValueError, match="increasing"):
        as_classifier(model, [2.0, 1.0])
    for times in ([4.0], torch.tensor([4.0])):
        with pytest.raises(ValueError, match="give the number itself, 4"):
            as_classifier(model, times)
    with pytest.raises(ValueError, match="not one of none, backprop"):
        as_classifier(model, 1.0, gradient="reverse")
    with pytest.raises(TypeError, match="floating-point"):
        as_classifier(model, 0.0)(torch.zeros(1, 2, 6, 6, dtype=torch.uint8))


def test_foolbox_takes_it() -> None:
    foolbox = pytest.importorskip("foolbox")
    classifier = as_classifier(pc_shallow(pretrained=True), 3.0, method="euler")
    x, _ = nd.stimuli.digits("test", 8)
    model = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    labels = classifier(x).argmax(-1)
    assert foolbox.accuracy(model, x, labels) == 1
    _, changed, fooled = foolbox.attacks.LinfPGD(steps=5)(model, x, labels, epsilons=[0.02, 0.3])
    assert fooled[0].sum() < fooled[1].sum()
    assert (changed[0] - x).abs().max() <= 0.02 + 1e-6
