"""Attacks: against foolbox, exact solutions of linear networks, and loops."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import neurodyn as nd
from neurodyn.analysis.attack_plots import attack_curve
from neurodyn.analysis.attack_success import attack_success
from neurodyn.attacks import bim, fgsm, pgd, random_start
from neurodyn.classifier import as_classifier
from neurodyn.models import pc_shallow
from neurodyn.robustness import answers_under_attack

# foolbox.npz: images (6, 1, 4, 4), float64, from foolbox 3.3.4 (LinfBasicIterativeAttack and
# L2BasicIterativeAttack, `get_random_start` replaced by `starts`) on `small_network`, one key for
# each of these.
STORED = Path(__file__).parent / "data" / "foolbox.npz"
SETTINGS = {
    f"{norm} {kind}": {"norm": norm, "epsilon": epsilon} | dict(zip(FIELDS, values, strict=True))
    for FIELDS in [("steps", "relative_step", "start", "targeted")]
    for norm, epsilon in [("linf", 0.15), ("l2", 0.6)]
    for kind, values in {
        "fgsm": (1, 1.0, False, False),
        "bim": (10, 0.2, False, False),
        "bim targeted": (12, 0.15, False, True),
        "pgd": (20, 2.5 / 20, True, False),
        "pgd targeted": (20, 2.5 / 20, True, True),
    }.items()
}


def small_network() -> nn.Module:
    """Return 16 pixels -> 8 tanh -> 4 logits, the k-th weight of each layer 1.5 sin(k^2 + 1)."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    with torch.no_grad():
        for p in net.parameters():
            k = torch.arange(p.numel(), dtype=torch.float64).view(p.shape)
            p.copy_(1.5 * torch.sin(k**2 + 1))
    return net.eval()


def small_images() -> tuple[torch.Tensor, torch.Tensor]:
    k = torch.arange(6 * 16, dtype=torch.float64).view(6, 1, 4, 4)
    images = 0.5 + 0.5 * torch.sin(3 * k + 0.1 * k**2)
    return images, small_network()(images).argmax(-1)


def starts(images: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return a start within epsilon in both norms, and within bounds."""
    k = torch.arange(images.numel(), dtype=torch.float64).view(images.shape)
    return (images + 0.2 * epsilon * torch.cos(7 * k)).clamp(0, 1)


def run(model, images, labels, setting):
    how = {k: v for k, v in setting.items() if k not in ("start", "epsilon")}
    start = starts(images, setting["epsilon"]) if setting["start"] else None
    wanted = (labels + 1) % 4 if setting["targeted"] else labels
    return bim(model, images, wanted, setting["epsilon"], start=start, **how)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_images_as_foolbox_stored(name) -> None:
    images, labels = small_images()
    ours = run(small_network(), images, labels, SETTINGS[name])
    theirs = torch.from_numpy(np.load(STORED)[name])
    assert (ours - images).abs().max() > 0.05
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_same_images_as_foolbox_through_a_whole_solve(norm) -> None:
    foolbox = pytest.importorskip("foolbox")
    classifier = as_classifier(pc_shallow(pretrained=True, error=0.1), 4.0, method="euler")
    images, labels = nd.stimuli.digits("test", 5)
    model = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    attacks = foolbox.attacks
    name = {"linf": "LinfBasicIterativeAttack", "l2": "L2BasicIterativeAttack"}[norm]
    epsilon = {"linf": 0.1, "l2": 1.5}[norm]
    attack = getattr(attacks, name)(steps=6, rel_stepsize=0.3)
    criterion = foolbox.criteria.Misclassification(labels)
    theirs = attack.run(model, images, criterion, epsilon=epsilon)
    ours = bim(classifier, images, labels, epsilon, norm=norm, steps=6, relative_step=0.3)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)
    targets = (labels + 8) % 10
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    theirs = attack.run(model, images, criterion, epsilon=epsilon)
    ours = bim(classifier, images, targets, epsilon, norm=norm, steps=6, relative_step=0.3,
               targeted=True)  # fmt: skip
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)
    if norm == "linf":
        criterion = foolbox.criteria.Misclassification(labels)
        theirs = attacks.LinfFastGradientAttack().run(model, images, criterion, epsilon=epsilon)
        ours = fgsm(classifier, images, labels, epsilon)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)


def test_a_linear_network_loses_the_dual_norm() -> None:
    """Of logits (w x, 0) the margin falls by epsilon |w|_1 or epsilon |w|_2, and no more."""
    w = torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def model(x):
        margin = x.flatten(1) @ w
        return torch.stack([margin, torch.zeros_like(margin)], 1)

    images = torch.full((2, 4, 5), 0.5, dtype=torch.float64)
    labels = torch.tensor([0, 1])
    for norm, dual in (("linf", w.abs().sum()), ("l2", w.norm())):
        for steps in (1, 7):
            generator = torch.Generator().manual_seed(1)
            changed = pgd(
                model, images, labels, 0.1, generator=generator, norm=norm, steps=steps + 3
            )
            for found in (bim(model, images, labels, 0.1, norm=norm, steps=steps), changed):
                lost = (model(images) - model(found))[:, 0]
                expected = 0.1 * dual * torch.tensor([1.0, -1.0], dtype=torch.float64)
                close = 1e-9 if found is not changed or norm == "linf" else 0.05
                assert torch.allclose(lost, expected, rtol=close)
            led = bim(model, images, 1 - labels, 0.1, norm=norm, steps=steps, targeted=True)
            assert torch.allclose(led, bim(model, images, labels, 0.1, norm=norm, steps=steps))


@given(
    epsilon=st.floats(0, 2),
    norm=st.sampled_from(["linf", "l2"]),
    steps=st.integers(1, 4),
    relative=st.floats(0.01, 5),
    targeted=st.booleans(),
    stop=st.booleans(),
    seed=st.integers(0, 99),
)
def test_within_epsilon_and_bounds(epsilon, norm, steps, relative, targeted, stop, seed) -> None:
    images, labels = small_images()
    changed = pgd(
        small_network(), images, labels, epsilon, generator=torch.Generator().manual_seed(seed),
        norm=norm, steps=steps, relative_step=relative, targeted=targeted, stop_early=stop,
    )  # fmt: skip
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert changed.min() >= 0 and changed.max() <= 1 and not changed.requires_grad
    order = {"linf": torch.inf, "l2": 2}[norm]
    assert (changed - images).flatten(1).norm(order, dim=1).max() <= epsilon + 1e-12


@pytest.mark.parametrize("targeted", [False, True])
def test_stopped_early_is_the_first_on_the_path_that_fools(targeted) -> None:
    images, labels = small_images()
    net = small_network()
    wanted = (labels + 1) % 4 if targeted else labels.roll(1)  # some are wrong from the start
    how = {"relative_step": 0.1, "targeted": targeted}
    path = [images]
    path += [bim(net, images, wanted, 0.4, steps=k, **how) for k in range(1, 16)]
    expected = path[-1].clone()
    for i in range(len(images)):
        for x in path:
            if (net(x[i : i + 1]).argmax() == wanted[i]) == targeted:
                expected[i] = x[i]
                break
    stopped = bim(net, images, wanted, 0.4, steps=15, stop_early=True, **how)
    assert torch.equal(stopped, expected)
    assert not torch.equal(stopped, path[-1])


def test_random_start_is_uniform_in_the_ball_and_leaves_global_state_alone() -> None:
    images = torch.full((4000, 3), 0.5, dtype=torch.float64)
    before = torch.random.get_rng_state()
    for norm in ("linf", "l2"):
        z = (random_start(images, 0.1, torch.Generator().manual_seed(0), norm=norm) - 0.5) / 0.1
        far = random_start(images, 0.3, torch.Generator().manual_seed(0), norm=norm)
        assert torch.allclose((far - 0.5) / 0.3, z)
        radius = z.norm(dim=1, p={"linf": torch.inf, "l2": 2}[norm])
        assert stats.kstest(radius**3, "uniform").pvalue > 0.01
        turned = z if norm == "linf" else z / radius[:, None]
        # a coordinate of a uniform direction in three dimensions is uniform (Archimedes)
        assert stats.kstest((turned[:, 1] + 1) / 2, "uniform").pvalue > 0.01
    assert torch.equal(before, torch.random.get_rng_state())
    clipped = random_start(torch.ones(2, 5), 0.5, torch.Generator().manual_seed(0))
    assert clipped.max() <= 1


def test_small_gradients_still_point_somewhere_and_zero_moves_nothing() -> None:
    images = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    weak = bim(lambda x: 1e-30 * x, images, torch.tensor([0, 1]), 0.1, norm="l2", steps=1)
    assert torch.allclose((weak - images).norm(dim=1), torch.tensor(0.1))
    for norm in ("linf", "l2"):
        still = bim(lambda x: 0 * x, images, torch.tensor([0, 1]), 0.1, norm=norm)
        assert torch.equal(still, images)


def test_what_attacks_refuse() -> None:
    images, labels = small_images()
    net = small_network()
    for wrong, match in [
        ({"norm": "l1"}, "not one of linf, l2"),
        ({"epsilon": -0.1}, "0 or more"),
        ({"steps": 0}, "1 step or more"),
        ({"relative_step": 0.0}, "positive relative size"),
        ({"labels": labels[:2]}, r"got \(2,\)"),
        ({"images": images * 3}, "images must lie within bounds=0, 1"),
        ({"images": images * torch.nan}, "hold NaN"),
        ({"images": images[:0], "labels": labels[:0]}, "at least one"),
        ({"images": images[..., :0]}, "no pixels"),
        ({"steps": 2.5}, "a whole number"),
        ({"labels": labels - 100}, "0 or more; got"),
        ({"labels": labels + 100}, "labels must be categories, from 0 to"),
        ({"start": images + 2}, "start must lie within"),
        ({"start": images[:1]}, "start has shape"),
    ]:
        given = {"images": images, "labels": labels, "epsilon": 0.1} | wrong
        with pytest.raises(ValueError, match=match):
            bim(net, given.pop("images"), given.pop("labels"), given.pop("epsilon"), **given)
    for dtype in (torch.float32, torch.int32, torch.bool):
        with pytest.raises(TypeError, match="labels must be a tensor of whole numbers"):
            bim(net, images, labels.to(dtype), 0.1)
    with pytest.raises(TypeError, match="floating-point"):
        bim(net, images.byte(), labels, 0.1)
    with pytest.raises(TypeError, match=r"must be a torch\.Generator, got NoneType"):
        pgd(net, images, labels, 0.1, generator=None)
    generator = torch.Generator()
    for wrong, epsilon, norm, match in (
        (images, 0.1, "l1", "not one of linf, l2"), (images, -0.1, "linf", "0 or more"),
        (images, float("nan"), "linf", "0 or more"), (images * torch.nan, 0.1, "l2", "hold NaN"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            random_start(wrong, epsilon, generator, norm=norm)
    with pytest.raises(ValueError, match="one time, not a sequence"):
        bim(lambda x: net(x).expand(3, -1, -1), images, labels, 0.1)
    with pytest.raises(ValueError, match="not finite"):
        bim(lambda x: net(x.sqrt()), images * 0, labels, 0.1)


@pytest.fixture(scope="module")
def attacked():
    classifier = as_classifier(pc_shallow(pretrained=True), [0.0, 3.0], method="euler")
    images, labels = nd.stimuli.digits("test", 7)
    how = {"steps": 3, "seeds": (4, 5), "batch_size": 3}
    data = answers_under_attack(classifier, images, labels, [0.05, 0.2], **how)
    return classifier, images, labels, data


def test_answers_are_those_of_single_attacks(attacked) -> None:
    classifier, images, labels, data = attacked
    assert data.correct.dims == ("attack", "epsilon", "seed", "sample", "time")
    generator = torch.Generator().manual_seed(5)
    start = random_start(images, 0.2, generator)
    for t in (0.0, 3.0):
        one = as_classifier(classifier.dynamics, t, method="euler")
        changed = bim(one, images, labels, 0.2, steps=3, start=start)
        expected = (one(changed).argmax(-1) == labels).numpy()
        found = data.correct.sel(epsilon=0.2, seed=5, time=t)
        assert (found.sel(attack="white-box") == expected).all()
        if t == 0:
            assert (found.sel(attack="transfer") == expected).all()
            later = classifier.at(3.0)(changed).argmax(-1) == labels
            transferred = data.correct.sel(attack="transfer", epsilon=0.2, seed=5, time=3.0)
            assert (transferred == later.numpy()).all()
    # three batches; at t = 3, three evaluations for each of three steps, the answer, the transfer
    assert data.nfe.dims == ("epsilon", "seed") and (data.nfe == 3 * (3 * 3 + 3 + 3)).all()
    assert (data.fooled == ~data.correct).all()
    clean = classifier(images).argmax(-1) == labels
    assert (data.correct_clean.transpose("time", "sample") == clean.numpy()).all()
    assert all(p.grad is None for p in classifier.parameters())
    assert data.fooled.mean() > 0.1


def test_answers_do_not_depend_on_batches_and_can_be_saved(attacked, tmp_path) -> None:
    classifier, images, labels, data = attacked
    how = {"steps": 3, "seeds": (4, 5), "batch_size": 100}
    whole = answers_under_attack(classifier, images, labels, [0.05, 0.2], **how)
    xr.testing.assert_equal(whole.drop_vars("nfe"), data.drop_vars("nfe"))
    assert (whole.nfe * 3 == data.nfe).all()  # one batch, not three
    xr.testing.assert_identical(nd.load(nd.save(data, tmp_path / "a.nc")), data)
    config = json.loads(data.attrs["config"])
    assert config["attack"]["steps"] == 3 and config["attack"]["seeds"] == [4, 5]
    for variable in data.variables.values():
        assert {"long_name", "units"} <= set(variable.attrs)


def test_answers_led_to_targets(attacked) -> None:
    classifier, images, labels, _ = attacked
    targets = (labels + 5) % 10
    data = answers_under_attack(
        classifier, images, labels, [0.3], steps=4, seeds=None, targets=targets
    )
    assert data.seed.values.tolist() == [0] and data.target_label.dims == ("sample",)
    assert not (data.fooled & data.correct).any()
    changed = bim(classifier.at(0.0), images, targets, 0.3, steps=4, targeted=True)
    expected = (classifier.at(0.0)(changed).argmax(-1) == targets).numpy()
    found = data.fooled.sel(attack="white-box", epsilon=0.3, time=0.0).isel(seed=0)
    assert (found == expected).all()


def test_what_answers_refuse(attacked) -> None:
    classifier, images, labels, _ = attacked
    with pytest.raises(ValueError, match="two times or more, got 3 alone"):
        answers_under_attack(classifier.at(3.0), images, labels, [0.1])
    with pytest.raises(ValueError, match="other than the one"):
        answers_under_attack(classifier, images, labels, [0.1], targets=labels)
    with pytest.raises(ValueError, match="0 or more"):
        answers_under_attack(classifier, images, labels, [-0.1])
    for wrong, match in (
        ({"epsilons": []}, "epsilons is empty"),
        ({"seeds": []}, "seeds is empty"),
        ({"batch_size": 0}, "batch_size = 0 must be"),
        ({"batch_size": -1}, "batch_size = -1 must be"),
        ({"targets": labels + 10}, "targets must be categories, from 0 to 9"),
        ({"targets": labels[:1]}, "targets must be one whole number per image"),
        ({"labels": labels + 10, "targets": labels}, "labels must be categories, from 0 to 9"),
    ):
        given = {"labels": labels, "epsilons": [0.1]} | wrong
        with pytest.raises(ValueError, match=match):
            answers_under_attack(classifier, images, **given)


def made_up(seeds: int = 4, images: int = 60, per_network: bool = False) -> xr.Dataset:
    """Return answers whose chance of being fooled grows with strength and falls with time."""
    draw = np.random.default_rng(0)
    epsilon, time = np.array([0.02, 0.1, 0.2, 0.3]), np.array([0.0, 2.0, 5.0, 10.0])
    chance = np.clip(epsilon[:, None] * 4 * (1 - 0.05 * time), 0, 1)
    threshold = draw.random((2, 1, seeds, images, 1))
    fooled = threshold < np.stack([chance, 0.6 * chance])[:, :, None, None]
    shape = (seeds, images, 4) if per_network else (images, 4)
    known = draw.random(shape) < 0.97
    clean = xr.DataArray(known, dims=("seed", "sample", "time")[3 - known.ndim :])
    dims = ("attack", "epsilon", "seed", "sample", "time")
    data = xr.Dataset(
        {"fooled": (dims, fooled), "correct_clean": clean},
        {"attack": ["white-box", "transfer"], "epsilon": epsilon, "time": time,
         "seed": np.arange(seeds)},
    )  # fmt: skip
    return data.assign(correct=~data.fooled & data.correct_clean)


def test_success_is_counted_over_images_known_at_every_time() -> None:
    answers = made_up()
    found = attack_success(answers)
    known = answers.correct_clean.values.all(-1)
    assert 0 < known.sum() < len(known) and int(found.images) == known.sum()
    fooled = answers.fooled.values[..., known, :].mean((2, 3))
    assert np.allclose(found.success.transpose("attack", "epsilon", "time"), fooled)
    assert np.allclose(
        found.robust_accuracy.transpose("attack", "epsilon", "time"),
        answers.correct.values.mean((2, 3)),
    )
    change = found.success_change
    assert np.isnan(change.sel(time=0.0)).all()
    later = (found.success - found.success.sel(time=0.0)).sel(time=[2.0, 5.0, 10.0])
    xr.testing.assert_allclose(change.sel(time=[2.0, 5.0, 10.0]), later)
    for name in ("robust_accuracy", "success", "success_change"):
        value, bounds = (found[n].isel(time=slice(1, None)) for n in (name, f"{name}_ci"))
        assert (bounds.sel(ci_bound="lower") <= value + 1e-12).all()
        assert (value <= bounds.sel(ci_bound="upper") + 1e-12).all()
        assert {"long_name", "units"} <= set(found[name].attrs)


def test_success_over_networks_counts_what_each_of_them_knows() -> None:
    answers = made_up(per_network=True)
    found = attack_success(answers, over="seed")
    known = answers.correct_clean.values.all(-1)
    assert np.array_equal(found.images, known.sum(1))
    shares = np.stack(
        [answers.fooled.values[:, :, s][:, :, known[s]].mean(2) for s in range(len(known))]
    )
    assert np.allclose(found.success.transpose("attack", "epsilon", "time"), shares.mean(0))
    half = stats.t.ppf(0.975, 3) * shares.std(0, ddof=1) / 2
    upper = found.success_ci.sel(ci_bound="upper").transpose("attack", "epsilon", "time")
    assert np.allclose(upper, shares.mean(0) + half)
    # by images, those that all networks know
    assert int(attack_success(answers).images) == known.all(0).sum()


def test_what_success_refuses() -> None:
    answers = made_up()
    with pytest.raises(ValueError, match="not one of images, seed"):
        attack_success(answers, over="pixels")
    with pytest.raises(ValueError, match="there is no correct_clean"):
        attack_success(answers.drop_vars("correct_clean"))
    with pytest.raises(ValueError, match="no image is right"):
        attack_success(answers.assign(correct_clean=answers.correct_clean & False))


def test_attack_curve_draws_what_it_is_given() -> None:
    found = attack_success(made_up())
    for quantity in ("success", "robust_accuracy"):
        figure = attack_curve(found, quantity)
        assert [a.get_title() for a in figure.axes] == ["white-box", "transfer"]
        for axis, kind in zip(figure.axes, ("white-box", "transfer"), strict=True):
            lines = axis.get_lines()
            assert [line.get_label() for line in lines] == ["t = 0", "t = 2", "t = 5", "t = 10"]
            for line, t in zip(lines, (0.0, 2.0, 5.0, 10.0), strict=True):
                assert np.allclose(line.get_xdata(), [0.02, 0.1, 0.2, 0.3])
                assert np.allclose(line.get_ydata(), found[quantity].sel(attack=kind, time=t))
            assert len(axis.collections) == 4
    assert len(attack_curve(found.sel(attack="transfer")).axes) == 1
    with pytest.raises(ValueError, match="needs 'success' over epsilon and time"):
        attack_curve(found.drop_vars("success"))
