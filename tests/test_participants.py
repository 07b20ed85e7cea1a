"""Simulated participants: their table, and that it is drawn from the truth it states."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri

import neurodyn as nd
from neurodyn.analysis.detection import signal_detection
from neurodyn.models.participants import simulated_participants

STRINGS = [a + b + c + d for a in "XVJT" for b in "XVJT" for c in "XVJT" for d in "XV"]
KIND = [sum(map(ord, string)) % 3 > 0 for string in STRINGS]
STILL = {"d_prime_spread": 0.0, "criterion_spread": 0.0, "item_spread": 0.0, "lapse": 0.0}


def stimuli() -> xr.Dataset:
    half = ["train", "test"] * (len(STRINGS) // 2)
    return xr.Dataset(
        {
            "string": ("item", STRINGS),
            "grammatical": ("item", KIND),
            "split": ("item", half),
        },
        attrs={"grammar": "A"},
    )


def within_binomial(responses, truth, sds=4.5) -> bool:
    """Whether a count is as near its expectation as independent draws would be."""
    spread = np.sqrt((truth * (1 - truth)).sum())
    return bool(abs(responses.sum() - truth.sum()) < sds * spread)


@pytest.fixture(scope="module")
def people() -> xr.Dataset:
    return simulated_participants(
        stimuli(), subjects=20, explicit=20, memory=20, stay=0.3, win_stay=-0.5, lapse=0.1, seed=3
    )


def test_the_table_is_complete(people, tmp_path) -> None:
    assert people.sizes == {"trial": 20 * 520}
    first = people.isel(trial=slice(0, 520))
    assert (first.subject == "sim001").all() and first.position.values.tolist() == [*range(1, 521)]
    assert (
        first.block.values.tolist()
        == [b for b in range(1, 9) for _ in range(60)] + [9] * 20 + [10] * 20
    )
    assert first.phase.values.tolist() == ["implicit"] * 480 + ["explicit"] * 20 + ["memory"] * 20
    assert set(people.grammar.values) == {"A"} and set(people.agent.values) == {"simulated"}
    for name in ("session", "item", "rt", "confidence", "feedback", "correct"):
        assert people[name].dims == ("trial",)
    assert people.attrs["agent"] == "simulated" and "made up" in people.attrs["made_up"]
    for variable in people.variables.values():
        assert {"long_name", "units"} <= set(variable.attrs)
    xr.testing.assert_identical(nd.load(nd.save(people, tmp_path / "people.nc")), people)


def test_blocks_are_balanced_and_strings_of_the_split_come_round(people) -> None:
    counts = people.to_dataframe().groupby(["subject", "block"]).grammatical.agg(["sum", "count"])
    assert (counts["sum"] * 2 == counts["count"]).all()
    pool = {s: k for s, k, split in zip(STRINGS, KIND, ["train", "test"] * 64, strict=False)
            if split == "train"}  # fmt: skip
    assert set(people.item.values) == set(pool)
    assert all(
        pool[s] == k for s, k in zip(people.item.values, people.grammatical.values, strict=True)
    )
    assert (people.correct == (people.response == people.grammatical)).all()
    # no string again before all of its kind were shown
    kinds = sum(pool.values())
    for kind, n in ((1, kinds), (0, len(pool) - kinds)):
        mine = people.item[(people.subject == "sim004") & (people.grammatical == kind)].values
        assert all(len(set(mine[i : i + n].tolist())) == n for i in range(0, len(mine) - n, n))
    # the order is each subject's own, and grammaticality cannot be told from the position
    orders = people.grammatical.values.reshape(20, 520)
    assert len({tuple(order) for order in orders}) == 20
    assert abs(orders[:, :480].mean(0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(20)


def test_responses_are_drawn_from_the_stated_truth(people) -> None:
    response, truth = people.response, people.truth
    bins = np.digitize(truth, [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9])
    for k in np.unique(bins):
        assert within_binomial(response[bins == k], truth[bins == k])
    for column in ("subject", "block", "item"):
        for value in np.unique(people[column]):
            here = people[column] == value
            assert within_binomial(response[here], truth[here])
    assert truth.min() >= 0.05 and truth.max() <= 0.95  # the lapses


def test_truth_follows_from_its_equation_and_the_responses_before(people) -> None:
    """The equation of the docstring, in plain Python, from what the attributes state."""
    known = json.loads(people.attrs["ground_truth"])
    normal = stats.norm()
    for s in ("sim001", "sim020"):
        mine = people.isel(trial=(people.subject == s).values)
        person = known["subjects"][s]
        last = outcome = 0.0
        for t in range(520):
            row = mine.isel(trial=t)
            d = person["d_prime"] * (1 - np.exp(-t / known["learning_trials"]))
            d += known["scheme_gain"] * (row.phase.item() == "explicit")
            mean = d * (row.grammatical.item() - 0.5) - person["criterion"]
            mean += row.true_item_effect.item() + 0.3 * last - 0.5 * last * outcome
            assert row.true_d_prime.item() == pytest.approx(d)
            expected = 0.05 + 0.9 * normal.cdf(mean)
            assert row.truth.item() == pytest.approx(expected)
            last = 1.0 if row.response.item() else -1.0
            outcome = 1.0 if row.correct.item() else -1.0


def test_item_effects_are_shared_and_spread_as_stated() -> None:
    many = simulated_participants(STRINGS, KIND, subjects=3, item_spread=0.7, trials=100)
    frame = many.to_dataframe().groupby("item").true_item_effect
    assert (frame.nunique() == 1).all()
    effects = frame.first()
    error = 0.7 / np.sqrt(2 * len(effects))
    assert effects.std() == pytest.approx(0.7, abs=4 * error)
    # a string that is there twice is one string
    twice = simulated_participants(STRINGS * 2, KIND * 2, subjects=1)
    assert (twice.to_dataframe().groupby("item").true_item_effect.nunique() == 1).all()


def test_d_prime_and_auc_are_recovered() -> None:
    people = simulated_participants(
        STRINGS, KIND, subjects=60, d_prime=1.6, criterion=0.3, learning_trials=1e-9, **STILL
    )
    found = signal_detection(people.isel(trial=(people.position > 1).values), by=())
    assert found.d_prime.item() == pytest.approx(1.6, abs=0.05)
    assert found.criterion.item() == pytest.approx(0.3, abs=0.03)
    assert np.sqrt(2) * ndtri(found.auc.item()) == pytest.approx(1.6, abs=0.08)


def test_learning_saturates_as_stated() -> None:
    people = simulated_participants(
        STRINGS, KIND, subjects=150, d_prime=2.0, learning_trials=120, **STILL
    )
    found = signal_detection(people, by=("block",))
    for block in range(1, 9):
        expected = people.true_d_prime[(people.block == block).values].mean().item()
        middle = 60 * (block - 1) + np.arange(60)
        assert expected == pytest.approx(2 * (1 - np.exp(-middle / 120)).mean())
        assert found.d_prime.sel(block=block).item() == pytest.approx(expected, abs=0.12)
    spread = simulated_participants(STRINGS, KIND, subjects=2000, blocks=1, trials=2,
                                    d_prime_spread=0.5)  # fmt: skip
    finals = [p["d_prime"] for p in json.loads(spread.attrs["ground_truth"])["subjects"].values()]
    assert np.mean(finals) == pytest.approx(2.0, abs=4 * np.std(finals) / 2000**0.5)
    assert np.std(np.log(finals)) == pytest.approx(0.5, abs=0.04)


def test_times_are_between_2_and_3_seconds_and_longer_where_unsure() -> None:
    people = simulated_participants(STRINGS, KIND, subjects=20)
    assert 2 < people.rt.median() < 3 and people.rt.min() > 0
    assert stats.spearmanr(people.rt, people.confidence).statistic < -0.2
    assert 0 <= people.confidence.min() and people.confidence.max() <= 100
    sure = (people.confidence > 80).values
    assert people.correct[sure].mean() > people.correct[~sure].mean() + 0.1


@given(
    subjects=st.integers(1, 4),
    blocks=st.integers(1, 3),
    half=st.integers(1, 9),
    explicit=st.sampled_from([0, 4]),
    seed=st.integers(0, 2**32),
)
def test_shapes_and_seeds(subjects, blocks, half, explicit, seed) -> None:
    config = {"blocks": blocks, "trials": 2 * half, "explicit": explicit, "seed": seed}
    people = simulated_participants(STRINGS[:9], KIND[:9], subjects=subjects, **config)
    each = 2 * half * blocks + explicit
    assert people.sizes["trial"] == subjects * each
    assert people.grammatical.mean() == 0.5
    again = simulated_participants(STRINGS[:9], KIND[:9], subjects=subjects, **config)
    xr.testing.assert_identical(people, again)
    more = simulated_participants(STRINGS[:9], KIND[:9], subjects=subjects + 1, **config)
    xr.testing.assert_equal(people, more.isel(trial=slice(0, subjects * each)))
    other = simulated_participants(
        STRINGS[:9], KIND[:9], subjects=subjects, **config | {"seed": seed + 1}
    )
    assert not np.array_equal(other.rt, people.rt)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trials": 15}, "trials must be even, half of each kind, got 15"),
        ({"trials": 0}, "trials must be even"),
        ({"explicit": 3}, "explicit must be even"),
        ({"subjects": 0}, "subjects must be a whole number from 1 up, got 0"),
        ({"blocks": 1.5}, "blocks must be a whole number from 1 up"),
        ({"seed": -1}, "seed must be a whole number from 0 up"),
        ({"lapse": 1.5}, "lapse must be at most 1"),
        ({"learning_trials": 0.0}, "learning_trials above 0"),
        ({"item_spread": -1.0}, "item_spread must be 0 or more"),
        ({"d_prime": float("nan")}, "d_prime must be a finite number"),
        ({"split": "dev"}, r"split 'dev' is not among those of the items: \['test', 'train'\]"),
    ],
)
def test_refusals(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        simulated_participants(stimuli(), **change)


def test_refusals_of_items() -> None:
    with pytest.raises(ValueError, match="need grammatical strings and others"):
        simulated_participants(STRINGS, [True] * len(STRINGS))
    with pytest.raises(ValueError, match="2 strings, but"):
        simulated_participants(STRINGS[:2], KIND)
    with pytest.raises(TypeError, match="a sequence of strings and `grammatical`"):
        simulated_participants(STRINGS)
    with pytest.raises(TypeError, match="leave that out"):
        simulated_participants(stimuli(), KIND)
    with pytest.raises(ValueError, match="items need 'string' and 'grammatical'"):
        simulated_participants(stimuli().drop_vars("string"))
