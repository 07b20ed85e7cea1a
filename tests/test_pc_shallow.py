import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

import neurodyn as nd
from neurodyn.models import pc_shallow
from neurodyn.models.pc_shallow import decoders, initialise

SHAPES = [(12, 32, 32), (18, 16, 16), (24, 8, 8)]


def test_shapes_and_names():
    model = pc_shallow()
    assert [v.name for v in model.variables] == ["layer1", "layer2", "layer3"]
    drive = model.drive(torch.zeros(2, 1, 32, 32))
    state = model.initial_state(drive)
    assert [tuple(e.shape) for e in state] == [(2, *shape) for shape in SHAPES]
    below = [(2, 1, 32, 32), *((2, *shape) for shape in SHAPES[:2])]
    assert [tuple(p.shape) for p in model.predictions(state)] == below
    assert model.readout(state, drive).shape == (2, 10)


def test_number_of_parameters():
    def size(module):
        return sum(p.numel() for p in module.parameters())

    model = pc_shallow()
    head = model.backbone.get_submodule("head")
    assert size(head) == 384 * 120 + 120 + 120 * 10 + 10 == 47_410
    encoders = 25 * (1 * 12 + 12 * 18 + 18 * 24) + 12 + 18 + 24
    assert size(model.backbone) - size(head) == encoders == 16_554
    assert size(model.decoders) == 25 * (12 * 1 + 18 * 12 + 24 * 18) + 1 + 12 + 18 == 16_531


def test_error_scale_counts_what_a_unit_predicts():
    # 5x5 outputs; a unit spreads over 4x4 by bilinear x2, and over 8x8 by the 5x5 kernel after it
    counts = [25 * 1, 64 * 12, 64 * 18]
    assert pc_shallow().scale == pytest.approx([2 / count**0.5 for count in counts])


def test_pretrained_classifies_clean_digits():
    model = pc_shallow(pretrained=True)
    images, labels = nd.stimuli.digits(split="test", n=500)
    with torch.no_grad():
        drive = model.drive(images)
        logits = model.readout(model.initial_state(drive), drive)
        assert torch.equal(logits, model.backbone(images))
    assert (logits.argmax(1) == labels).float().mean() > 0.95


def test_pretrained_decoders_explain_most_of_the_variance():
    model = pc_shallow(pretrained=True)
    images, _ = nd.stimuli.digits(split="test", n=100)
    with torch.no_grad():
        state = model.initial_state(model.drive(images))
        for e, p in zip((images, *state), model.predictions(state), strict=False):
            assert (p - e).square().mean() < 0.2 * e.var()


@pytest.mark.parametrize("update, method", [("simultaneous", "dopri5"), ("sequential", "euler")])
def test_runs(update, method):
    images, _ = nd.stimuli.digits(split="test", n=2, noise=0.4)
    solution = nd.integrate(
        pc_shallow(pretrained=True, update=update), images, [0.0, 1.0, 2.0],
        method=method, gradient="none", record="readout",
    )  # fmt: skip
    assert solution.readout.isfinite().all()
    assert not torch.equal(solution.readout[0], solution.readout[2])


def test_weights_say_where_they_come_from():
    from importlib.resources import as_file, files

    weights = files("neurodyn.models") / "pc_shallow.safetensors"
    assert len(weights.read_bytes()) < 1_000_000
    with as_file(weights) as path, safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["neurodyn"])
    assert set(about) == {"neurodyn_version", "torch_version", "seed", "config"}
    assert json.loads(about["config"])["epochs"] >= 1


def test_seed_decides_the_weights_and_global_random_state_is_untouched():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = pc_shallow(seed=3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again, other = pc_shallow(seed=3).state_dict(), pc_shallow(seed=4).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_untrained_weights_are_spread_like_those_of_torch():
    torch.manual_seed(0)
    for make in (lambda: nn.Linear(384, 120), lambda: decoders()[2][1]):
        theirs, ours = make(), make()
        initialise(ours, torch.Generator().manual_seed(0))
        a, b = theirs.weight.detach(), ours.weight.detach()
        assert float(b.abs().max()) == pytest.approx(float(a.abs().max()), rel=1e-2)
        assert float(b.std()) == pytest.approx(float(a.std()), rel=2e-2)
        bound = float(theirs.bias.detach().abs().max())
        assert float(ours.bias.detach().abs().max()) == pytest.approx(bound, rel=0.3)


def test_trainable_rates_take_the_pretrained_weights_too():
    fixed, trainable = pc_shallow(pretrained=True), pc_shallow(pretrained=True, trainable=True)
    theirs = trainable.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in fixed.state_dict().items())
    assert len(theirs) > len(fixed.state_dict())


@pytest.mark.parametrize("asked", ["imagenet", 1, None])
def test_other_weights_are_refused(asked):
    with pytest.raises(ValueError, match="has one set of weights.*give True.*or False"):
        pc_shallow(pretrained=asked)
