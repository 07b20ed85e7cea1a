"""Cells of a study: what is right, what a cell depends on, which solvers take tolerances."""

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

import neurodyn as nd
from neurodyn import conditions
from neurodyn.analysis.discretisation import FIXED_STEP, exactly_right
from neurodyn.conditions import Condition, Presentation, Way, present, top_recall
from neurodyn.methods import ADAPTIVE, FIXED, OTHER

NAN, INF = float("nan"), float("inf")


class Still(nd.Dynamics):
    """Logits that decay, so that their order stays as it starts."""

    variables = (nd.Variable("y", ("category",)),)

    def drive(self, stimulus):
        return {"stimulus": stimulus}

    def initial_state(self, drive, generator=None):
        return (drive["stimulus"].new_zeros(len(drive["stimulus"]), 10),)

    def forward(self, t, state, drive):
        return (-0.1 * state[0],)

    def readout(self, state, drive):
        return state[0]


def drawn(scenes, seed, spread):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(len(scenes), 10, generator=generator),)


# ---- what is right

ROW = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 1.5, -2.0, NAN, INF, -INF]), st.booleans()),
    min_size=2, max_size=5,
).filter(lambda row: any(shown for _, shown in row))  # fmt: skip


@given(ROW)
@example([(0.0, True), (0.0, True), (0.0, False)])
@example([(NAN, True), (NAN, True), (NAN, False)])
@example([(NAN, True), (1.0, True)])
@example([(1.0, True), (0.0, False), (NAN, False)])
@example([(2.0, True), (1.0, True), (1.0, False)])
def test_one_rule_of_what_is_right(row):
    """Each category shown is above all others; a tie at the border is not, and no NaN is."""
    logits, shown = (list(values) for values in zip(*row, strict=True))
    others = [value for value, there in row if not there]
    right = all(a > b for a, there in row if there for b in [*others, -INF])
    k = sum(shown)
    recall = np.mean([
        a > -INF and sum(not b < a for b in logits) <= k for a, there in row if there
    ])  # fmt: skip
    found = top_recall(torch.tensor([logits]), torch.tensor([shown]).float())
    assert found.item() == pytest.approx(recall)
    assert (found.item() == 1) == right
    assert exactly_right(np.array(logits), np.array(shown)) == right


@given(st.integers(0, 10_000))
def test_answers_are_judged_alike_everywhere(seed):
    """Whole numbers tie often."""
    draw = np.random.default_rng(seed)
    logits = draw.integers(0, 6, (50, 6)).astype(np.float32)
    logits[draw.random(logits.shape) < 0.02] = np.nan
    shown = draw.random((50, 6)) < 0.4
    shown[:, 0] |= ~shown.any(1)
    found = top_recall(torch.from_numpy(logits), torch.from_numpy(shown).float())
    assert np.array_equal(found.numpy() == 1, exactly_right(logits, shown))
    assert ((found >= 0) & (found <= 1)).all()


# ---- what a cell depends on


def shown(**more):
    return Presentation(4, (0, 1), seed=3, **more)


def cells(folder, way):
    return present(folder, shown(), [Condition("2 digits")], [way], (0, 1))


def test_another_start_is_another_cell(tmp_path, monkeypatch):
    """Starts that differ in an argument alone, or in sign; the same one computes nothing."""
    scenes = shown().show(Condition("2 digits"))
    computed = []
    answer = conditions.answer

    def counted(*args):
        computed.append(args)
        return answer(*args)

    monkeypatch.setattr(conditions, "answer", counted)
    results = {}
    for spread in (1.0, -1.0, None, 1.0):
        start = None if spread is None else partial(drawn, spread=spread)
        before = len(computed)
        found = cells(tmp_path, Way("still", lambda seed: Still(), start=start))
        logits = torch.zeros(4, 10) if spread is None else drawn(scenes, 3, spread)[0]
        right = exactly_right(logits.numpy(), scenes.target.numpy().astype(bool))
        assert (found.exact.sel(seed=0).squeeze().transpose("time", "sample") == right).all()
        assert len(computed) == before + 2  # the last start has been replaced
        results[spread] = found
    assert not results[1.0].recall.equals(results[-1.0].recall)
    assert (results[None].recall == 0).all()  # logits that all tie
    again = cells(tmp_path, Way("still", lambda seed: Still(), start=partial(drawn, spread=1.0)))
    xr.testing.assert_identical(again, results[1.0])
    assert len(computed) == 8


def test_other_images_are_another_cell(tmp_path):
    """Fewer scenes, or others behind the same name, are not taken from what is kept."""
    way = [Way("still", lambda seed: Still())]
    for images in (4, 3, 5):
        few = Presentation(images, (0, 1), seed=3)
        assert (
            present(tmp_path, few, [Condition("2 digits")], way, (0, 1)).sizes["sample"] == images
        )
    grey = nd.stimuli.Pictures(torch.full((1, 1, 32, 32), 0.1), "grey")
    black = nd.stimuli.Pictures(torch.zeros(1, 1, 32, 32), "grey")

    hashes = set()
    for background in (grey, black):
        shown = Presentation(4, (0, 1), {"background": background})
        present(tmp_path, shown, [Condition("x")], way, (0, 1))
        hashes.add(nd.load(tmp_path / "x_still_0.nc").attrs["config_hash"])
    assert len(hashes) == 2


def test_every_network_is_made_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "answer", lambda *args: pytest.fail("computed"))

    def lost(seed):
        if seed == 1:
            raise FileNotFoundError("lost.safetensors")
        return Still()

    with pytest.raises(FileNotFoundError, match="lost"):
        cells(tmp_path, Way("lost", lost))


# ---- solvers


def test_methods_of_fixed_steps_have_one_list():
    assert set(FIXED) <= set(FIXED_STEP)
    assert not set(FIXED_STEP) & {*ADAPTIVE, *OTHER}


@pytest.mark.parametrize("solver", [*FIXED, *ADAPTIVE])
def test_only_adaptive_solvers_are_given_tolerances(solver, monkeypatch):
    asked = {}
    integrate = nd.integrate

    def spy(*args, **options):
        asked.update(options)
        return integrate(*args, **options)

    monkeypatch.setattr(nd, "integrate", spy)
    scenes = shown().show(Condition("2 digits"))
    start = drawn(scenes, 0, 1.0)
    read, states, calls = conditions.solved(
        Still(), scenes.images, start, [0.0, 1.0, 2.0], solver, shown(rtol=1e-4, atol=1e-5)
    )
    assert asked["method"] == solver and calls > 0
    tolerances = {name: asked[name] for name in ("rtol", "atol") if name in asked}
    assert tolerances == ({} if solver in FIXED else {"rtol": 1e-4, "atol": 1e-5})
    decay = torch.exp(-0.1 * torch.arange(3.0))[:, None, None]
    assert torch.allclose(read, decay * start[0], atol=0.03)
    assert torch.equal(states[0], read)
