"""Training on problems of visual reasoning: what is seen, going on, what is tested."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from neurodyn.models import svrt_cell as study
from neurodyn.models.svrt_cell import STREAMS, Drawn, kept, measured, order_of, untrained
from neurodyn.models.train_komplexnet import generator
from neurodyn.models.train_svrt import train_svrt
from neurodyn.recurrent_attention import Attended, RecurrentAttention
from neurodyn.stimuli.svrt import generate
from neurodyn.train import make_fabric, run_epochs

TINY = {
    "problems": (4,), "images": (6, 16), "models": ("resnet18", "resnet18-spatial"), "seeds": (0,),
    "size": 48, "width": 4, "updates": 4, "batch_size": 8, "learning_rate": 3e-3, "points": 2,
    "validation": 6, "test": 10, "workers": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("svrt")
    return folder, train_svrt(out=folder, **TINY)


# ---- what is seen


def test_images_are_those_of_the_generator_and_made_once(tmp_path, monkeypatch):
    ink, labels = kept(tmp_path, 2, 9, 52, 3)
    data = generate(2, 9, size=52, seed=3)
    np.testing.assert_array_equal(255 * (1 - ink.numpy()), data.image)
    np.testing.assert_array_equal(labels, data.label)
    monkeypatch.setattr(study, "generate", None)
    again = kept(tmp_path, 2, 9, 52, 3)
    assert torch.equal(again[0], ink) and torch.equal(again[1], labels)


def test_images_made_in_pieces_are_the_same(tmp_path, monkeypatch):
    whole = kept(tmp_path / "a", 4, 9, 48, 0)
    monkeypatch.setattr(study, "PIECE", 4)
    for one, other in zip(kept(tmp_path / "b", 4, 9, 48, 0), whole, strict=True):
        assert torch.equal(one, other)


def test_test_images_are_never_among_those_of_training(tmp_path):
    train = kept(tmp_path, 4, 200, 48, 0)[0]
    seen = {image.tobytes() for image in train.numpy()}
    for seed in STREAMS.values():
        others = {image.tobytes() for image in kept(tmp_path, 4, 200, 48, seed)[0].numpy()}
        assert len(others) == 200 and not seen & others
    assert len(set(STREAMS.values())) == len(STREAMS)


def test_an_order_is_pass_after_pass():
    order = order_of(5, 13, seed=2)
    for start in (0, 5):
        assert sorted(order[start : start + 5].tolist()) == [0, 1, 2, 3, 4]
    assert not torch.equal(order[:5], order[5:10])
    assert len(set(order[10:].tolist())) == 3
    assert not torch.equal(order, order_of(5, 13, seed=3))


class Spy(torch.nn.Module):
    """Keeps the images that it is shown, numbered by their first pixel."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.seen = []

    def forward(self, images):
        self.seen += images[:, 0, 0, 0].tolist()
        return self.weight.expand(len(images), 2)


def test_training_follows_the_order_and_held_out_images_are_by_number():
    ink = torch.arange(20, dtype=torch.uint8)[:, None, None].expand(20, 2, 2)
    label = torch.zeros(20, dtype=torch.int64)
    spy = Spy()
    order = order_of(4, 12, seed=0)
    task = Drawn(spy, (ink[:4], label[:4]), (ink[10:], label[10:]), order).train()
    for batch in torch.arange(12).flip(0).split(5):  # whatever the numbers
        task(batch)
    assert spy.seen == order.tolist()
    spy.seen.clear()
    loss, right = task.eval()(torch.tensor([0, 3]))
    assert spy.seen == [10, 13] and task.seen == 12
    assert loss.item() == pytest.approx(2 * np.log(2)) and right == 2


def test_a_set_is_seen_pass_after_pass(tmp_path):
    ink = torch.arange(7, dtype=torch.uint8)[:, None, None].expand(7, 2, 2)
    label = torch.zeros(7, dtype=torch.int64)
    spy = Spy()
    task = Drawn(spy, (ink, label), (ink, label), order_of(7, 42, seed=0))
    run_epochs(
        task, (torch.arange(14),), None, parameters=spy.parameters(), generator=generator(0),
        epochs=3, learning_rate=0.1, batch_size=4, path=None, fabric=make_fabric(), progress=False,
    )  # fmt: skip
    assert len(spy.seen) == 42
    for start in range(0, 42, 7):
        assert sorted(spy.seen[start : start + 7]) == list(range(7))


def test_all_sets_have_equal_updates(tmp_path, monkeypatch):
    steps = []

    class Counted(torch.optim.Adam):
        def step(self, *args, **options):
            steps[-1] += 1
            return super().step(*args, **options)

    monkeypatch.setattr(torch.optim, "Adam", Counted)
    for n in (6, 100):
        steps.append(0)
        train_svrt(out=tmp_path, **TINY | {"images": (n,), "models": ("resnet18",)})
    assert steps == [4, 4]


# ---- going on


def test_what_is_returned(trained):
    folder, found = trained
    assert dict(found.accuracy.sizes) == {"problem": 1, "images": 2, "model": 2, "seed": 1}
    assert found["update"].values.tolist() == [2, 4]
    np.testing.assert_allclose(found.passes.sel(model="resnet18").squeeze(), [32 / 6, 2])
    assert found.over_time.sel(model="resnet18").isnull().all()
    assert found.nfe.sel(model="resnet18-spatial", solver="euler").values.tolist() == [[[4], [4]]]
    for name in ("accuracy", "validation", "training"):
        assert found[name].attrs["units"] == "1"
        assert 0 <= found[name].min() and found[name].max() <= 1
    assert not list(folder.glob("cells/*.ckpt"))


def test_a_second_call_trains_nothing(trained, monkeypatch):
    folder, found = trained
    monkeypatch.setattr(study, "run_epochs", None)
    xr.testing.assert_identical(train_svrt(out=folder, **TINY), found)


def test_an_interrupted_cell_goes_on(trained, tmp_path, monkeypatch):
    _, found = trained
    own = TINY | {"images": (16,), "models": ("resnet18-spatial",)}
    evaluate, calls = study.Drawn.forward, []

    def interrupted(self, numbers):
        if self.training:
            calls.append(1)
            if len(calls) == 4:  # in the second stretch
                raise KeyboardInterrupt
        return evaluate(self, numbers)

    with monkeypatch.context() as patch:
        patch.setattr(Drawn, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_svrt(out=tmp_path, **own)
    assert list(tmp_path.glob("cells/*.ckpt")) and not list(tmp_path.glob("cells/*.nc"))
    again = train_svrt(out=tmp_path, **own)
    wanted = found.sel(images=[16], model=["resnet18-spatial"])
    assert json.loads(again.attrs.pop("config")).pop("images") == [16]
    del wanted.attrs["config"]
    xr.testing.assert_identical(again.drop_vars("duration"), wanted.drop_vars("duration"))


def test_a_cell_depends_on_no_other(trained, tmp_path):
    _, found = trained
    one = train_svrt(out=tmp_path, **TINY | {"images": (6,), "models": ("resnet18",)})
    for name in ("accuracy", "validation", "training"):  # a larger set holds the smaller
        xr.testing.assert_identical(one[name], found[name].sel(images=[6], model=["resnet18"]))


def test_mixed_precision_is_near(trained, tmp_path):
    _, found = trained
    own = TINY | {"images": (6,), "models": ("resnet18",), "precision": "bf16-mixed"}
    mixed = train_svrt(out=tmp_path, **own)
    assert abs(mixed.training - found.training.sel(images=[6], model=["resnet18"])).max() < 0.3


@pytest.mark.parametrize("place", ["resnet18", "resnet18-spatial"])
def test_a_network_that_diverges_is_nan_and_the_others_go_on(trained, tmp_path, monkeypatch, place):
    _, found = trained
    begin = study.untrained

    def infinite(name, *rest):
        model = begin(name, *rest)
        if name == place:
            torch.nn.init.constant_(next(model.parameters()), torch.inf)
        return model

    monkeypatch.setattr(study, "untrained", infinite)
    own = train_svrt(out=tmp_path, **TINY | {"images": (6,)})
    other = [name for name in TINY["models"] if name != place]
    for name in ("accuracy", "validation", "over_time"):
        assert own[name].sel(model=place).isnull().all()
        got = own[name].sel(model=other)
        np.testing.assert_array_equal(got, found[name].sel(images=[6], model=other))
    assert own["time"].values.tolist() == list(study.TIMES)


def test_what_was_interrupted_with_other_settings_is_no_hindrance(tmp_path, monkeypatch):
    own = TINY | {"images": (6,), "models": ("resnet18",)}

    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study, "measured", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_svrt(out=tmp_path, **own)
    assert train_svrt(out=tmp_path, **own | {"learning_rate": 1e-3}).accuracy.notnull().all()


# ---- what is tested


def test_networks_and_where_attention_stands():
    for name, tap in (("spatial", "layer2"), ("feature", "layer3"), ("feature-last", "layer4")):
        model = untrained(f"resnet18-{name}", 64, 4, 1)
        assert isinstance(model, Attended) and model.tap == tap
        assert model.attention.block.dropout.p == 0
    plain = untrained("resnet18", 64, 4, 1)
    assert torch.equal(plain.conv1.weight, model.backbone.conv1.weight)


@pytest.mark.parametrize("place", ["spatial", "feature"])
def test_one_euler_step_is_the_network_that_was_trained(place):
    model = untrained(f"resnet18-{place}", 48, 4, 1)
    ink = torch.randint(0, 2, (30, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        # labels are its own answers but for three, so that the share is known
        labels = model(ink[:, None].float()).argmax(1)
    labels[:3] = 1 - labels[:3]
    found = measured(model, ink, labels)
    assert found.accuracy == 27 / 30
    assert found.over_time.sel(solver="euler", time=1) == 27 / 30
    moving = RecurrentAttention(model.backbone, model.tap, model.attention)
    with torch.no_grad():
        drive = moving.drive(ink[:, None].float())
        state = moving.initial_state(drive)
        for t in (0, 1, 2, 3, 4):
            right = (moving.readout(state, drive).argmax(1) == labels).double().mean()
            if t != 3:
                assert found.over_time.sel(solver="euler", time=t) == pytest.approx(right.item())
            state = (state[0] + moving(torch.tensor(0.0), state, drive)[0],)
    at_zero = found.over_time.sel(time=0)
    assert (at_zero == at_zero[0]).all()


def test_attention_is_that_of_the_cell_that_holds_a_centre(trained):
    _, found = trained
    seen = found.attention.sel(model="resnet18-spatial").squeeze()
    np.testing.assert_allclose(seen.sum(("row", "column")), 1, atol=1e-5)
    assert found.attention.sel(model="resnet18").isnull().all()
    scenes = generate(4, 4, size=48, seed=STREAMS["test"])
    np.testing.assert_array_equal(found["image"].sel(problem=4), scenes["image"])
    np.testing.assert_array_equal(found["label"].sel(problem=4), scenes["label"])
    model = untrained("resnet18-spatial", 48, 4, 1).eval()
    maps = {}
    model.backbone.layer2.register_forward_hook(lambda *given: maps.update(layer2=given[2]))
    with torch.no_grad():
        model.backbone(torch.from_numpy(scenes["image"].values == 0)[:, None].float())
    seen = maps["layer2"]
    query, key, _ = model.attention.block.qkv(seen.flatten(2).mT).chunk(3, -1)
    got = study.attention_of(model, study.some_scenes(4, 48))
    for sample in range(4):
        for target in range(2):
            x, y = scenes["centre"].values[sample, target] // 8  # maps of 6 cells by 6
            logits = key[sample] @ query[sample, int(6 * y + x)] / seen.shape[1] ** 0.5
            wanted = logits.softmax(0).detach().reshape(6, 6)
            np.testing.assert_allclose(got[sample, target], wanted, atol=1e-6)


# ---- at the door


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"problems": (24,)}, "problem 24 is not one of 1, 2"),
        ({"models": ("resnet34",)}, "model 'resnet34' is not one of resnet18, resnet18-spatial"),
        ({"seeds": (0, 0)}, "none of them twice"),
        ({"images": ()}, "one or more"),
        ({"images": (1,)}, "images must be a whole number from 2 up"),
        ({"seeds": (1_000_000,)}, "seed must be a whole number from 0 to 999999"),
        ({"problems": (True,)}, "problem True is not one of"),
        ({"problems": 4}, "problems must be a list of one or more, none of them twice; got 4"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0, got nan"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0"),
        ({"size": 32}, "size must be a whole number from 48 up"),
        ({"points": 3}, "points = 3 must divide updates = 4"),
        ({"test": 0}, "test must be"),
        ({"accelerator": "abacus"}, "accelerator='abacus'"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        train_svrt(out=tmp_path, **TINY | wrong)
    assert not any(tmp_path.iterdir())
