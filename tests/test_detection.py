"""Signal detection: against scikit-learn, the normal model and counting by hand."""

from statistics import NormalDist

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neurodyn as nd
from neurodyn.analysis.detection import area_under_roc, detection_measures, signal_detection


def table(**columns):
    return xr.Dataset({name: ("trial", np.asarray(v)) for name, v in columns.items()})


def random_trials(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return table(
        subject=rng.choice(["a", "b", "c"], n),
        block=rng.choice([1.0, 2.0, np.nan], n, p=[0.45, 0.45, 0.1]),
        item=rng.choice(["XV", "XVJ", "tu pi", ""], n),
        grammatical=rng.choice([1.0, 0.0, np.nan], n, p=[0.5, 0.45, 0.05]),
        response=rng.choice([1.0, 0.0, np.nan], n, p=[0.5, 0.4, 0.1]),
        confidence=rng.choice([0.0, 25.0, 50.0, 100.0, np.nan], n),
    )


def test_measures_by_hand() -> None:
    """18 of 20 hits, 5 of 25 false alarms: H = 18.5/21, F = 5.5/26."""
    z = NormalDist().inv_cdf
    found = detection_measures([18], [5], [20], [25])
    high, low = z(18.5 / 21), z(5.5 / 26)
    assert found["hit_rate"][0] == pytest.approx(18.5 / 21)
    assert found["false_alarm_rate"][0] == pytest.approx(5.5 / 26)
    assert found["d_prime"][0] == pytest.approx(high - low)
    assert found["criterion"][0] == pytest.approx(-(high + low) / 2)
    # ln beta is the ratio of the two densities at the criterion: at z(F) below the mean of noise
    densities = NormalDist(high - low).pdf(-low) / NormalDist().pdf(-low)
    assert found["ln_beta"][0] == pytest.approx(np.log(densities))
    # published example of the correction: all hits, no false alarms stay finite (Hautus 1995)
    assert detection_measures(20, 0, 20, 20)["d_prime"] == pytest.approx(2 * z(20.5 / 21))


@pytest.mark.parametrize("by", [("subject",), ("subject", "block"), (), ("length", "subject")])
def test_cells_against_a_loop(by) -> None:
    trials = random_trials()
    frame = trials.to_dataframe()
    frame["length"] = frame["item"].map({"XV": 2.0, "tu pi": 2.0, "XVJ": 3.0})
    found = signal_detection(trials, by=by)
    assert found.d_prime.dims == by
    used = 0
    groups = frame.groupby(list(by)) if by else [((), frame)]
    for labels, rows in groups:
        here = found.sel(dict(zip(by, labels, strict=True)))
        rows = rows[rows.response.notna() & rows.grammatical.notna()]
        used += len(rows)
        good, bad = rows[rows.grammatical == 1], rows[rows.grammatical == 0]
        assert here.hits == good.response.sum() and here.n_grammatical == len(good)
        assert here.false_alarms == bad.response.sum() and here.n_ungrammatical == len(bad)
        rates = detection_measures(here.hits, here.false_alarms, len(good), len(bad))
        for name, value in rates.items():
            assert here[name].item() == pytest.approx(value.item())
        graded = rows[rows.confidence.notna()]
        score = np.where(graded.response == 1, graded.confidence, -graded.confidence)
        metrics = pytest.importorskip("sklearn.metrics")
        assert here.auc.item() == pytest.approx(metrics.roc_auc_score(graded.grammatical, score))
        assert here.n_graded_grammatical == (graded.grammatical == 1).sum()
    assert found.attrs["left_out"] == len(frame) - used
    assert "0.5 added" in found.attrs["correction"]


@given(
    score=hnp.arrays(float, st.integers(2, 40), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    seed=st.integers(0, 10**6),
)
def test_auc_is_that_of_scikit_learn_with_ties(score, seed) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    signal, group = rng.random(len(score)) < 0.5, rng.integers(-1, 3, len(score))
    area, signals, others = area_under_roc(score, signal, group, {"g": np.arange(3)})
    for g in range(3):
        here = group == g
        assert signals[g] == signal[here].sum() and others[g] == (~signal[here]).sum()
        if 0 < signals[g] < here.sum():
            assert area[g] == pytest.approx(metrics.roc_auc_score(signal[here], score[here]))
        else:
            assert np.isnan(area[g])


def test_normal_model_is_recovered_and_auc_goes_with_d_prime() -> None:
    rng = np.random.default_rng(1)
    n, d, c = 200_000, 1.5, 0.4
    kind = rng.random(n) < 0.5
    x = rng.normal(d * (kind - 0.5), 1)
    trials = table(
        subject=np.full(n, "a"), grammatical=kind, response=x > c, confidence=np.abs(x - c)
    )
    found = signal_detection(trials)
    assert found.d_prime.item() == pytest.approx(d, abs=0.02)
    assert found.criterion.item() == pytest.approx(c, abs=0.02)
    assert np.sqrt(2) * NormalDist().inv_cdf(found.auc.item()) == pytest.approx(d, abs=0.02)


def test_answers_of_networks_keep_their_dimensions_and_pool_the_rest(tmp_path) -> None:
    rng = np.random.default_rng(2)
    output = rng.random((2, 3, 40)).round(1)
    kind, length = rng.random(40) < 0.5, rng.choice([4, 6], 40)
    answers = xr.Dataset(
        {"output": (("family", "seed", "item"), output)},
        {
            "family": ["rr", "ff"],
            "grammatical": ("item", kind),
            "string": ("item", ["X" * n for n in length]),
        },
    )
    found = signal_detection(answers)
    xr.testing.assert_identical(nd.load(nd.save(found, tmp_path / "x.nc")), found)
    assert found.d_prime.sizes == {"family": 2, "seed": 3}
    one = found.sel(family="ff", seed=2)
    assert one.hits == (output[1, 2, kind] >= 0.5).sum()  # outputs of 0.5 are yes
    assert one.false_alarms == (output[1, 2, ~kind] >= 0.5).sum()
    metrics = pytest.importorskip("sklearn.metrics")
    assert one.auc.item() == pytest.approx(metrics.roc_auc_score(kind, output[1, 2]))
    pooled = signal_detection(answers, by=("length",), threshold=0.2)
    assert pooled.hits.sel(length=6) == (output[..., kind & (length == 6)] >= 0.2).sum()
    turned = signal_detection(answers.transpose("item", "seed", "family"))
    xr.testing.assert_allclose(turned.transpose("family", "seed"), found)


def test_one_kind_of_string_gives_nan_and_a_count_of_zero() -> None:
    found = signal_detection(table(subject=["a", "a"], grammatical=[1.0, 1.0], response=[1.0, 0.0]))
    assert found.n_ungrammatical.item() == 0 and found.n_grammatical.item() == 2
    assert np.isnan(found.d_prime) and np.isnan(found.criterion) and np.isnan(found.auc)
    assert found.hit_rate.item() == 0.5 and np.isnan(found.false_alarm_rate)
    for variable in found.variables.values():
        assert {"long_name", "units"} <= set(variable.attrs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"response": ("trial", [1.0, 2.0])}, "'response' must be 1, 0 or NaN.*row 1 has 2.0"),
        ({"response": ("trial", ["yes", "no"])}, "it holds 'yes'"),
        ({"confidence": ("trial", [1.0, -1.0])}, "confidence must be 0 or more"),
        ({"subject": ("trial", ["", ""])}, "'subject' is missing in all rows"),
    ],
)
def test_refusals_name_the_column(change, words) -> None:
    trials = table(subject=["a", "a"], grammatical=[1.0, 0.0], response=[1.0, 0.0])
    with pytest.raises(ValueError, match=words):
        signal_detection(trials.assign(change))


def test_refusals_of_tables() -> None:
    trials = table(subject=["a", "a"], grammatical=[1.0, 0.0], response=[1.0, 0.0])
    with pytest.raises(ValueError, match="'age' is not in the table; it has grammatical, response"):
        signal_detection(trials, by=("age",))
    with pytest.raises(ValueError, match="'item', which 'length' is counted from"):
        signal_detection(trials, by=("length",))
    with pytest.raises(ValueError, match="names a column twice"):
        signal_detection(trials, by=("subject", "subject"))
    with pytest.raises(ValueError, match="must be a table of trials"):
        signal_detection(xr.Dataset({"x": ("time", [1.0])}))
