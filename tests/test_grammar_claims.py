"""Claims about families of networks: against scipy, pingouin's published values and by hand."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from neurodyn.analysis import advantage, grammar_report
from neurodyn.analysis.grammar_claims import (
    claims,
    complexity_correlation,
    family_advantage,
    judge,
)
from neurodyn.analysis.validation import best_on_validation

NAMES = list("abcdefghij")


def accuracies(seed=0, gain=0.1):
    draw = np.random.default_rng(seed)
    shape = (10, 2, 2, 2, 6)
    values = 0.6 + 0.02 * draw.normal(size=shape)
    values[:, 1] += gain * np.linspace(1, -1, 10)[:, None, None, None]
    coords = {
        "grammar": NAMES, "family": ["feedforward", "recurrent"], "epochs": [1, 10],
        "batch": [1, 15], "seed": range(6),
    }  # fmt: skip
    return xr.DataArray(values, coords, dims=list(coords))


def test_advantage_is_a_paired_t_interval():
    values = accuracies()
    found = family_advantage(values)
    at = {"grammar": "c", "epochs": 10, "batch": 1}
    gaps = values.sel(family="recurrent", **at) - values.sel(family="feedforward", **at)
    test = stats.ttest_1samp(gaps.values, 0.0)
    assert found.advantage.sel(at).item() == pytest.approx(gaps.mean().item())
    low, high = test.confidence_interval()
    np.testing.assert_allclose(found.advantage_ci.sel(at), [low, high])
    assert found.advantage_ci.dims[-1] == "ci_bound"


def test_advantage_has_the_published_bayes_factor():
    """t = 3.5 of 20 pairs: 17.185 (Rouder's calculator)."""
    x = np.linspace(-1, 1, 20)
    x = x / x.std(ddof=1) + 3.5 / 20**0.5
    both = xr.DataArray(
        [np.zeros(20), x], {"family": ["feedforward", "recurrent"]}, dims=("family", "seed")
    )
    assert family_advantage(both).advantage_bf.item() == pytest.approx(17.185, abs=2e-3)


def test_equal_differences_have_no_bayes_factor():
    both = xr.DataArray(
        [[0.5, 0.6, 0.7], [0.6, 0.7, 0.8]], {"family": ["feedforward", "recurrent"]},
        dims=("family", "seed"),
    )  # fmt: skip
    assert np.isnan(family_advantage(both).advantage_bf.item())
    with pytest.raises(ValueError, match="'lstm' is not a family here; there are feedforward"):
        family_advantage(both, family="lstm")


@pytest.mark.parametrize(("r", "factor"), [(-0.796, 20.92), (-0.676, 5.727), (-0.721, 8.637)])
def test_correlation_over_ten_grammars_has_the_published_bayes_factor(r, factor):
    draw = np.random.default_rng(1)
    x, e = draw.normal(size=(2, 10))
    x = (x - x.mean()) / x.std()
    e = e - e.mean() - x * (e @ x) / (x @ x)
    y = r * x + (1 - r**2) ** 0.5 * e / e.std()
    found = complexity_correlation(
        xr.DataArray(y, dims="grammar"), xr.DataArray(x[:, None], dims=("grammar", "measure"))
    )
    assert found.r.item() == pytest.approx(r)
    assert found.r_bf.item() == pytest.approx(factor, abs=2e-3)
    interval = stats.pearsonr(x, y).confidence_interval(0.95)
    np.testing.assert_allclose(found.r_ci.squeeze(), [interval.low, interval.high], atol=1e-4)


def test_a_measure_that_does_not_vary_has_no_correlation():
    found = complexity_correlation(
        xr.DataArray(np.arange(5.0), dims="grammar"),
        xr.DataArray(np.ones((5, 1)), dims=("grammar", "measure")),
    )
    assert np.isnan(found.r.item()) and np.isnan(found.r_bf.item())
    with pytest.raises(ValueError, match="four or more"):
        complexity_correlation(
            xr.DataArray(np.arange(3.0), dims="grammar"),
            xr.DataArray(np.ones((3, 1)), dims=("grammar", "measure")),
        )


def test_a_grammar_without_a_value_is_not_counted():
    draw = np.random.default_rng(0)
    d, x = draw.normal(size=(2, 10))
    d[3] = np.nan
    found = complexity_correlation(
        xr.DataArray(d, dims="grammar"), xr.DataArray(x[:, None], dims=("grammar", "measure"))
    )
    there = np.isfinite(d)
    test = stats.pearsonr(d[there], x[there])
    interval = test.confidence_interval(0.95)
    assert found.r.item() == pytest.approx(test.statistic)
    np.testing.assert_allclose(found.r_ci.squeeze(), [interval.low, interval.high], atol=1e-4)


def test_claims_say_what_the_intervals_say():
    networks = family_advantage(accuracies())
    ten = family_advantage(accuracies().sel(batch=15, drop=True))
    size = xr.DataArray(
        np.arange(10.0)[:, None], {"measure": ["bigrams"]}, dims=("grammar", "measure")
    )
    ten = ten.merge(complexity_correlation(ten.advantage, size)).assign(complexity=size)
    table = claims(networks, ten)
    assert table.sizes["claim"] == 10 * 4 + (10 + 1) * 2 + 2
    for k in table.claim.values:
        low, high = table.estimate_ci.sel(claim=k).values
        assert low < table.estimate.sel(claim=k) < high
        if not table.setting.sel(claim=k).item().startswith("all ten"):
            assert table.verdict.sel(claim=k).item() == judge(low, high)
    by_setting = dict(
        zip(table.setting.values.tolist(), table.verdict.values.tolist(), strict=True)
    )
    assert by_setting["grammar a, 1 epochs, batch 1"] == "holds"
    assert by_setting["grammar j, 10 epochs, batch 15"] == "fails"
    assert by_setting["all ten, 1 epochs: the least of them"] == "fails"
    assert by_setting["bigrams, 1 epochs"] == "holds"  # the advantage shrinks by construction
    assert len(grammar_report.claim_table(table)) == table.sizes["claim"] + 1
    figure = advantage(ten)
    assert [len(axis.texts) for axis in figure.axes] == [10, 10]
    assert figure.axes[0].get_title().startswith("1 pass: r = -")


def test_a_rate_at_which_a_network_diverged_is_not_chosen():
    """Of three rates the second is best on validation strings but lost a network."""
    kind, split = [True, False] * 4, ["validation"] * 4 + ["test"] * 4
    right = np.where(kind, 0.9, 0.1)
    mixed = np.where(np.arange(8) % 4 < 1, 1 - right, right)  # wrong on one of four
    output = np.stack([[1 - right, right], [right, right], [mixed, mixed]])
    diverged = np.array([[False, False], [True, False], [False, False]])
    answers = xr.Dataset(
        {"output": (("learning_rate", "seed", "item"), output),
         "diverged": (("learning_rate", "seed"), diverged)},
        {"learning_rate": [0.1, 0.2, 0.3], "split": ("item", split), "grammatical": ("item", kind)},
    )  # fmt: skip
    found = best_on_validation(answers)
    assert found.learning_rate_chosen.item() == 0.3 and found.at_edge.item() == 1
    np.testing.assert_allclose(found.accuracy, [0.75, 0.75])
    with pytest.raises(ValueError, match="every learning rate made some network diverge"):
        best_on_validation(answers.assign(diverged=xr.ones_like(answers.diverged)))
