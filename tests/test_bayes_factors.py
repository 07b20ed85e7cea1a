"""Bayes factors: published values, and the same integrals by another route."""

import mpmath
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

import neurodyn as nd
from neurodyn.analysis.bayes_anova import bayes_anova, bic_log_bayes_factor
from neurodyn.analysis.bayes_factors import (
    bayes_correlation,
    bayes_t_test,
    jzs_log_bayes_factor,
    pearson_log_bayes_factor,
    reading,
)

TABLE_B3 = [  # r, as printed, and the exact value for that r
    (-0.796, 20.834, 20.92),
    (-0.676, 5.764, 5.727),
    (-0.732, 9.704, 9.66),
    (-0.678, 5.823, 5.824),
    (-0.721, 8.667, 8.637),
]


def test_jzs_values_of_reference() -> None:
    assert np.exp(jzs_log_bayes_factor(3.5, 20, 20)) == pytest.approx(26.743, abs=5e-4)
    assert np.exp(jzs_log_bayes_factor(3.5, 20)) == pytest.approx(17.185, abs=5e-4)


@given(
    t=st.floats(-6, 6),
    n=st.integers(2, 60),
    m=st.one_of(st.none(), st.integers(2, 60)),
    scale=st.floats(0.2, 2),
)
def test_jzs_against_the_integral_over_effect_sizes(t, n, m, scale) -> None:
    """BF10 = int p(t | noncentral t) Cauchy(delta) d delta / p(t | central t)."""
    total, nu = (n, n - 1) if m is None else (n * m / (n + m), n + m - 2)

    def integrand(angle):  # delta = scale tan(angle): the Cauchy prior is uniform over the angle
        return stats.nct.pdf(t, nu, scale * np.tan(angle) * np.sqrt(total)) / np.pi

    centre = np.arctan(t / np.sqrt(total) / scale)
    edges = np.unique(np.clip(centre + np.linspace(-0.5, 0.5, 9), -1.57, 1.57))
    pieces = np.r_[-np.pi / 2 + 1e-6, edges, np.pi / 2 - 1e-6]
    parts = [integrate.quad(integrand, a, b, limit=200, full_output=1)[0]
             for a, b in zip(pieces[:-1], pieces[1:], strict=True)]  # fmt: skip
    expected = np.log(sum(parts) / stats.t.pdf(t, nu))
    assert jzs_log_bayes_factor(t, n, m, scale=scale) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("t", "n"), [(50.0, 10**6), (1e6, 20), (1e150, 10)])
def test_jzs_of_large_numbers_is_the_integral_in_many_digits(t, n) -> None:
    r, nu = mpmath.mpf("0.707"), n - 1
    with mpmath.workdps(20):

        def integrand(u):
            wide = 1 + n * r**2 * mpmath.e**u
            fit = ((1 + mpmath.mpf(t) ** 2 / nu) / (1 + mpmath.mpf(t) ** 2 / (wide * nu))) ** (
                mpmath.mpf(nu + 1) / 2
            )
            return (
                fit
                / mpmath.sqrt(2 * mpmath.pi * wide)
                * mpmath.e ** (-u / 2 - mpmath.e ** (-u) / 2)
            )

        top = 2 * np.log(t) + np.array([-40, -16, -8, -4, -2, 0, 2, 4, 8, 16, 100.0])
        edges = sorted({-5.0, -2.0, 0.0, 2.0, 4.0, 8.0, *top[top > -4].tolist()})
        expected = mpmath.log(mpmath.quad(integrand, edges, maxdegree=6))
    assert jzs_log_bayes_factor(t, n) == pytest.approx(float(expected), rel=1e-6)


def test_correlations_of_the_papers_table() -> None:
    for r, printed, exact in TABLE_B3:
        found = np.exp(pearson_log_bayes_factor(r, 10, alternative="less"))
        assert found == pytest.approx(exact, rel=1e-3)
        low, high = (np.exp(pearson_log_bayes_factor(r + d, 10, alternative="less"))
                     for d in (5e-4, -5e-4))  # fmt: skip
        assert low <= printed <= high or abs(found - printed) < 0.02 * printed
        # the half of the prior on the wrong side makes up the rest of the two-sided one
        wrong = np.exp(pearson_log_bayes_factor(r, 10, alternative="greater"))
        both = np.exp(pearson_log_bayes_factor(r, 10))
        assert (found + wrong) / 2 == pytest.approx(both, rel=1e-8)


@given(r=st.floats(-0.98, 0.98), n=st.integers(3, 200), kappa=st.floats(0.3, 2))
def test_correlation_against_the_closed_form(r, n, kappa) -> None:
    """Two-sided, Ly et al. (2016), eq. 25: a hypergeometric function of r squared."""
    with mpmath.workdps(30):
        k = mpmath.mpf(kappa)
        front = mpmath.sqrt(mpmath.pi) * 2 ** (1 - 2 / k) / mpmath.beta(1 / k, 1 / k)
        front *= mpmath.gamma((n - 1) / mpmath.mpf(2) + 1 / k) / mpmath.gamma(
            n / mpmath.mpf(2) + 1 / k
        )
        half = (n - 1) / mpmath.mpf(2)
        value = front * mpmath.hyp2f1(half, half, n / mpmath.mpf(2) + 1 / k, mpmath.mpf(r) ** 2)
        expected = float(mpmath.log(value))
    assert pearson_log_bayes_factor(r, n, kappa=kappa) == pytest.approx(expected, abs=1e-7)


@given(r=st.floats(-0.95, 0.95), n=st.integers(3, 60))
def test_one_sided_correlation_against_the_reduced_likelihood(r, n) -> None:
    """Jeffreys' integral over the nuisance parameters, in its other form: even plus odd part."""

    def likelihood(rho):
        x, half = (r * rho) ** 2, (n - 1) / 2
        even = mpmath.hyp2f1(half, half, 0.5, x)
        odd = 2 * r * rho * (mpmath.gamma(n / 2) / mpmath.gamma(half)) ** 2
        return (1 - rho**2) ** half * (even + odd * mpmath.hyp2f1(n / 2, n / 2, 1.5, x))

    edges = [0, 0.25, 0.5, 0.75, 0.9, 1]
    expected = mpmath.log(mpmath.quad(likelihood, edges, maxdegree=4))
    found = pearson_log_bayes_factor(r, n, alternative="greater")
    assert found == pytest.approx(float(expected), abs=1e-5)


def test_large_and_perfect_correlations() -> None:
    """Large n: the Laplace approximation; r = 1: infinite from 4 pairs on, finite below."""
    n, r = 10**6, 0.5
    laplace = (2 - n / 2) * np.log(1 - r**2) + np.log(np.sqrt(2 * np.pi / n) / 2)
    assert pearson_log_bayes_factor(r, n) == pytest.approx(laplace, abs=1e-4)
    assert pearson_log_bayes_factor(1.0, 4) == np.inf == pearson_log_bayes_factor(-1, 4)
    assert pearson_log_bayes_factor(1.0, 4, alternative="less") < 0
    assert pearson_log_bayes_factor(1.0, 3) == pytest.approx(np.log(2), abs=1e-6)
    # two pairs are always perfectly correlated: no evidence
    assert pearson_log_bayes_factor(1.0, 2) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(pearson_log_bayes_factor(1 - 1e-12, 10_000))


def test_reading_follows_the_thresholds() -> None:
    words = ["no effect", "undecided", "undecided", "substantial", "strong", "very strong"]
    assert [reading(bf) for bf in (0.29, 0.3, 3, 3.01, 20.1, np.inf)] == words
    assert [reading(bf) for bf in (20, 100)] == ["substantial", "strong"]
    with pytest.raises(ValueError, match="a Bayes factor is 0 or more, got nan"):
        reading(float("nan"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: jzs_log_bayes_factor(np.nan, 20), "t must be a finite number"),
        (lambda: jzs_log_bayes_factor(1.0, 1), "2 values or more"),
        (lambda: jzs_log_bayes_factor(1.0, 20, 1), "2 values or more"),
        (lambda: jzs_log_bayes_factor(1.0, 20, scale=0), "scale must be a number above 0"),
        (lambda: pearson_log_bayes_factor(1.1, 20), "r must lie from -1 to 1"),
        (lambda: pearson_log_bayes_factor(np.nan, 20), "r must lie from -1 to 1"),
        (lambda: pearson_log_bayes_factor(0.1, 1), "whole number of pairs, 2 or more"),
        (lambda: pearson_log_bayes_factor(0.1, 9, kappa=-1), "kappa must be a number above 0"),
        (lambda: pearson_log_bayes_factor(0.1, 9, alternative="up"), "is not 'two-sided', 'less'"),
        (lambda: bic_log_bayes_factor(1.0, 2.0, 10, 1), "no larger with the effect"),
        (lambda: bic_log_bayes_factor(1.0, 0.5, 1, 1), "n must be above 1"),
    ],
)
def test_errors_at_the_door(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


# on labelled data -------------------------------------------------------------------------------


def test_t_tests_of_arrays_are_those_of_scipys_t(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x = xr.DataArray(rng.normal(0.7, 0.1, (15, 3)), {"block": [1, 2, 3]}, dims=("subject", "block"))
    y = xr.DataArray(rng.normal(0.6, 0.1, (20, 3)), {"block": [1, 2, 3]}, dims=("seed", "block"))
    two = bayes_t_test(x, y, dim_y="seed")
    xr.testing.assert_identical(nd.load(nd.save(two, tmp_path / "x.nc")), two)
    one = bayes_t_test(x, 0.5)
    pairs = bayes_t_test(x, x.roll(subject=1), paired=True)
    for k in range(3):
        a, b = x.values[:, k], y.values[:, k]
        t = stats.ttest_ind(a, b).statistic
        assert two.t[k].item() == pytest.approx(t)
        assert two.log_bf10[k].item() == pytest.approx(jzs_log_bayes_factor(t, 15, 20))
        assert two.bf10[k].item() == pytest.approx(np.exp(two.log_bf10[k].item()))
        assert two.reading[k].item() == reading(two.bf10[k].item())
        assert one.t[k].item() == pytest.approx(stats.ttest_1samp(a, 0.5).statistic)
        assert pairs.t[k].item() == pytest.approx(stats.ttest_rel(a, np.roll(a, 1)).statistic)
        assert pairs.log_bf10[k].item() == pytest.approx(
            jzs_log_bayes_factor(pairs.t[k].item(), 15)
        )
    assert two.attrs["units_of_test"] == "15 along subject and 20 along seed"
    huge = bayes_t_test(xr.DataArray(1 + 1e-9 * np.arange(400.0), dims="subject"))
    assert huge.bf10.item() == np.inf and np.isfinite(huge.log_bf10)
    for variable in two.data_vars.values():
        assert {"long_name", "units"} <= set(variable.attrs)


def test_correlation_of_arrays() -> None:
    rng = np.random.default_rng(1)
    x = xr.DataArray(rng.normal(size=10), dims="grammar")
    y = xr.DataArray(rng.normal(size=(10, 2)), dims=("grammar", "metric"))
    found = bayes_correlation(x, y, dim="grammar", alternative="less")
    for k in range(2):
        r = stats.pearsonr(x, y[:, k]).statistic
        assert found.r[k].item() == pytest.approx(r)
        expected = pearson_log_bayes_factor(r, 10, alternative="less")
        assert found.log_bf10[k].item() == pytest.approx(expected)


def test_labelled_data_are_checked() -> None:
    x = xr.DataArray([0.5, 0.6, 0.7], {"subject": ["a", "b", "c"]}, dims="subject")
    with pytest.raises(ValueError, match="x needs two or more along 'seed'"):
        bayes_t_test(x, dim="seed")
    with pytest.raises(ValueError, match="x has missing or infinite values"):
        bayes_t_test(x.where(x > 0.5))
    with pytest.raises(ValueError, match="all values of a sample are equal"):
        bayes_t_test(0 * x, 1.0)
    with pytest.raises(ValueError, match="pairs need equal labels"):
        bayes_t_test(x, x.assign_coords(subject=["a", "b", "d"]), paired=True)
    with pytest.raises(ValueError, match="y must be finite and vary along 'subject'"):
        bayes_correlation(x, 0 * x, dim="subject")
    with pytest.raises(ValueError, match="need the dimension 'grammar'"):
        bayes_correlation(x, x, dim="grammar")


# analysis of variance by BIC ------------------------------------------------------------------


def made(groups=(5, 5), blocks=4, seed=0) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    labels = np.repeat(list("ABCDE")[: len(groups)], groups)
    values = rng.normal(0, 0.05, (len(labels), blocks)) + rng.normal(0, 0.1, (len(labels), 1))
    values = values + 0.02 * np.arange(blocks) + 0.1 * (labels == "B")[:, None]
    return xr.DataArray(values, {"grammar": ("subject", labels)}, dims=("subject", "block"))


def test_one_factor_within_by_hand() -> None:
    x = made((9,))
    v = x.values
    subject, block = v.mean(1, keepdims=True), v.mean(0)
    error = ((v - subject - block + v.mean()) ** 2).sum()
    effect = 9 * ((block - v.mean()) ** 2).sum()
    n = 9 * 3
    change = n * np.log(error / (error + effect)) + 3 * np.log(n)
    found = bayes_anova(x)
    assert found.effect.values.tolist() == ["block"] and found.n.item() == n
    assert found.log_bf10.item() == pytest.approx(-change / 2)
    assert found.f.item() == pytest.approx(effect / 3 / (error / 24))
    assert "approximation by BIC" in found.attrs["approximation"]
    # two levels: F is the square of the paired t
    two = bayes_anova(x.isel(block=[0, 3]))
    assert two.f.item() == pytest.approx(stats.ttest_rel(v[:, 0], v[:, 3]).statistic ** 2)
    n, k = 9, 1
    assert two.log_bf10.item() == pytest.approx((n * np.log(1 + two.f.item() / 8) - np.log(n)) / 2)
    assert (two.df_effect.item(), two.df_error.item()) == (k, 8)


def test_against_sums_of_squares_of_statsmodels() -> None:
    """Unequal groups, two factors between units, type III: F and RSS of an ordinary OLS."""
    ols = pytest.importorskip("statsmodels.formula.api").ols
    anova_lm = pytest.importorskip("statsmodels.api").stats.anova_lm
    rng = np.random.default_rng(2)
    a, b = np.repeat(["x", "y", "z"], [10, 8, 9]), rng.permutation(np.tile(["p", "q", "p"], 9))
    y = rng.normal(size=27) + (a == "z") - 0.4 * (b == "q")
    x = xr.DataArray(y, {"a": ("subject", a), "b": ("subject", b)}, dims="subject")
    found = bayes_anova(x, between=("a", "b")).set_index()
    frame = x.to_dataframe(name="y")
    fit = ols("y ~ C(a, Sum) * C(b, Sum)", frame).fit()
    expected = anova_lm(fit, typ=3)
    rows = {"a": "C(a, Sum)", "b": "C(b, Sum)", "a x b": "C(a, Sum):C(b, Sum)"}
    for effect, row in rows.items():
        here = found.sel(effect=effect)
        assert here.f.item() == pytest.approx(expected.F[row])
        assert here.df_effect == expected.df[row] and here.df_error == expected.df["Residual"]
        sse1 = expected.sum_sq["Residual"]
        change = 27 * np.log(sse1 / (sse1 + expected.sum_sq[row])) + here.df_effect * np.log(27)
        assert here.log_bf10.item() == pytest.approx(-change.item() / 2)


def test_within_factors_and_interaction_against_statsmodels() -> None:
    anova = pytest.importorskip("statsmodels.stats.anova").AnovaRM
    rng = np.random.default_rng(3)
    x = xr.DataArray(
        rng.normal(size=(8, 3, 4)) + rng.normal(size=(8, 1, 1)) + 0.5 * np.arange(4),
        dims=("subject", "length", "block"),
    )
    frame = x.to_dataframe(name="y").reset_index()
    table = anova(frame, "y", "subject", within=["length", "block"]).fit().anova_table
    found = bayes_anova(x)
    pairs = {"length": "length", "block": "block", "length x block": "length:block"}
    for effect, row in pairs.items():
        here = found.sel(effect=effect)
        f, df, error = table.loc[row, ["F Value", "Num DF", "Den DF"]]
        assert here.f.item() == pytest.approx(f)
        assert (here.df_effect, here.df_error) == (df, error)
        n = 8 * df
        expected = (n * np.log(1 + f * df / error) - df * np.log(n)) / 2
        assert here.log_bf10.item() == pytest.approx(expected)


def test_mixed_design_between_is_the_anova_of_means_and_interaction_that_of_contrasts(
    tmp_path,
) -> None:
    x = made((7, 5, 6))
    found = bayes_anova(x, between=("grammar",))
    xr.testing.assert_identical(nd.load(nd.save(found, tmp_path / "x.nc")), found)
    assert found.effect.values.tolist() == ["grammar", "block", "block x grammar"]
    groups = [x.isel(subject=(x.grammar == g).values) for g in "ABC"]
    between = stats.f_oneway(*(g.mean("block").values for g in groups)).statistic
    assert found.f.sel(effect="grammar").item() == pytest.approx(between)
    assert found.n.sel(effect="grammar") == 18 and found.n.sel(effect="block") == 54
    # two blocks: the interaction is the one-way analysis of the differences
    two = bayes_anova(x.isel(block=[1, 3]), between=("grammar",))
    differences = [g.isel(block=3).values - g.isel(block=1).values for g in groups]
    interaction = stats.f_oneway(*differences).statistic
    assert two.f.sel(effect="block x grammar").item() == pytest.approx(interaction)
    # with equal groups, the main effect within: all differences against their spread in groups
    assert two.df_error.values.tolist() == [15, 15, 15]


def test_null_effects_are_read_as_none_and_large_ones_as_strong() -> None:
    words = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        null = rng.normal(size=(40, 1)) + rng.normal(size=(40, 5))
        words.append(bayes_anova(xr.DataArray(null, dims=("subject", "block"))).reading.item())
        strong = null + np.arange(5)
        found = bayes_anova(xr.DataArray(strong, dims=("subject", "block")))
        assert found.reading.item() == "very strong"
    assert words.count("no effect") >= 18


def test_anova_is_checked() -> None:
    x = made((3, 3))
    with pytest.raises(ValueError, match="need the dimension 'seed'"):
        bayes_anova(x, unit="seed")
    with pytest.raises(ValueError, match="factor 'block' has one level"):
        bayes_anova(x.isel(block=[0]))
    with pytest.raises(ValueError, match="between 'agent' is not a coordinate along 'subject'"):
        bayes_anova(x, between=("agent",))
    with pytest.raises(ValueError, match="values are missing or infinite"):
        bayes_anova(x.where(x > x.min()))
    with pytest.raises(ValueError, match="no factor"):
        bayes_anova(x.isel(block=0, drop=True))
    with pytest.raises(ValueError, match="2 units are too few for 2 groups"):
        bayes_anova(x.isel(subject=[0, 3]), between=("grammar",))
    with pytest.raises(ValueError, match="nothing is left unexplained"):
        bayes_anova(x * 0 + np.arange(4.0))


def test_differences_of_rounding_are_no_evidence() -> None:
    x = xr.DataArray([0.8, 0.9, 0.7], dims="subject")
    y = xr.DataArray([0.7, 0.8, 0.6], dims="subject")
    with pytest.raises(ValueError, match="all values of a sample are equal"):
        bayes_t_test(x, y, paired=True)
    with pytest.raises(ValueError, match="all values of a sample are equal"):
        bayes_t_test(xr.DataArray([0.1 + 0.2, 0.3, 0.3, 0.3], dims="subject"), 0.5)
