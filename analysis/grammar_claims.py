"""What a study of grammar learners claims, each claim with its interval and its verdict."""

from collections.abc import Hashable

import numpy as np
import xarray as xr
from scipy import stats

from neurodyn.analysis.bayes_factors import jzs_log_bayes_factor, pearson_log_bayes_factor
from neurodyn.analysis.seeds import seed_interval

REFERENCES = (
    "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, "
    "doi 10.1038/s41598-020-79127-y"
)


ALL = "recurrent exceed feed-forward in all ten"


def judge(low: float, high: float) -> str:
    """Say whether an interval of what a claim calls positive bears it out.

    "fails" is a reliable effect the other way; an interval that holds 0 leaves it undecided.

    Examples
    --------
    >>> judge(0.01, 0.05), judge(-0.05, -0.01), judge(-0.01, 0.05), judge(np.nan, np.nan)
    ('holds', 'fails', 'undecided', 'undecided')
    """
    return "holds" if low > 0 else "fails" if high < 0 else "undecided"


def family_advantage(
    accuracy: xr.DataArray, *, family: Hashable = "recurrent", reference: Hashable = "feedforward"
) -> xr.Dataset:
    r"""Return how much more accurate one family of networks is than another, paired by seed.

    .. math:: D_s = A_s(\text{family}) - A_s(\text{reference}), \qquad
              \bar D \pm t_{.975,\, S - 1}\, \frac{s_D}{\sqrt S}

    A seed is one draw of the strings and of the untrained weights, shared by both families. The
    interval and the Bayes factor are about other draws: seeds are training runs, not subjects.

    Parameters
    ----------
    accuracy : DataArray
        Proportion correct, dims ``family``, ``seed`` and any others, which are kept.
    family, reference : label
        Which to compare.

    Returns
    -------
    Dataset
        ``advantage``, ``advantage_ci`` (..., ci_bound) and ``advantage_bf``, the JZS Bayes factor
        for a difference (paired t-test, scale .707); NaN where all differences are the same.

    References
    ----------
    Rouder et al. (2009), Psychon. Bull. Rev. 16, 225-237, doi 10.3758/PBR.16.2.225.

    Examples
    --------
    >>> values = xr.DataArray(
    ...     [[0.5, 0.6, 0.6], [0.7, 0.8, 0.9]], dims=("family", "seed"),
    ...     coords={"family": ["feedforward", "recurrent"]},
    ... )
    >>> family_advantage(values).advantage.round(3).item()
    0.233
    """
    known = accuracy.family.values.tolist() if "family" in accuracy.coords else []
    for name in (family, reference):
        if name not in known:
            raise ValueError(
                f"{name!r} is not a family here; there are {', '.join(map(str, known))}"
            )
    gap = accuracy.sel(family=family, drop=True) - accuracy.sel(family=reference, drop=True)
    gap.attrs = {"long_name": f"accuracy of {family} minus {reference}", "units": "1"}
    found = seed_interval(gap)
    n = gap.sizes["seed"]
    spread = gap.std("seed", ddof=1)
    t = (found["mean"] / (spread / n**0.5)).where(spread > 1e-12)
    factor = xr.apply_ufunc(
        lambda value: np.exp(jzs_log_bayes_factor(value, n)) if np.isfinite(value) else np.nan,
        t,
        vectorize=True,
    )
    factor.attrs = {
        "long_name": "Bayes factor for a difference (JZS, paired by seed)",
        "units": "1",
        "comment": "seeds are training runs of a network, not subjects",
        "references": "Rouder et al. (2009), doi 10.3758/PBR.16.2.225",
    }
    return xr.Dataset(
        {"advantage": found["mean"], "advantage_ci": found.mean_ci, "advantage_bf": factor}
    )


def complexity_correlation(advantage: xr.DataArray, complexity: xr.DataArray) -> xr.Dataset:
    r"""Return how an advantage goes with the complexity of grammars.

    .. math:: r = \mathrm{corr}_g(D_g, x_g), \qquad
              \tanh\left( \mathrm{artanh}\, r \pm \frac{1.96}{\sqrt{G - 3}} \right)

    Pearson's r over grammars, with Fisher's interval and the Bayes factor for a negative
    correlation (flat prior on r, one-sided). With ten grammars the interval is wide; it takes the
    grammars as drawn at random, which chosen grammars are not.

    Parameters
    ----------
    advantage : DataArray
        Dims ``grammar`` and any others, which are kept.
    complexity : DataArray
        (grammar, measure), e.g. numbers of letters, states, transitions, bigrams.

    Returns
    -------
    Dataset
        ``r``, ``r_ci`` (..., measure, ci_bound) and ``r_bf``; NaN where a measure does not vary.

    References
    ----------
    Ly, Verhagen & Wagenmakers (2016), J. Math. Psychol. 72, 19-32, doi 10.1016/j.jmp.2015.06.004.

    Examples
    --------
    >>> x = xr.DataArray([[1.0], [2], [3], [4], [5]], dims=("grammar", "measure"))
    >>> d = xr.DataArray([0.5, 0.3, 0.4, 0.2, 0.1], dims="grammar")
    >>> complexity_correlation(d, x).r.round(3).values
    array([-0.9])
    """
    try:
        advantage, complexity = xr.align(advantage, complexity, join="exact")
    except ValueError as error:
        raise ValueError(f"advantage and complexity need the same grammars: {error}") from None
    n = (advantage.notnull() & complexity.notnull()).sum("grammar")
    if (n < 4).any():
        raise ValueError(f"a correlation over grammars needs four or more, got {int(n.min())}")
    r = xr.corr(advantage, complexity, "grammar")
    half = stats.norm.ppf(0.975) / (n - 3) ** 0.5
    z = np.arctanh(r.clip(-1 + 1e-12, 1 - 1e-12))
    bounds = xr.concat([np.tanh(z - half), np.tanh(z + half)], dim="ci_bound")
    factor = xr.apply_ufunc(
        lambda value, n: (
            np.exp(pearson_log_bayes_factor(value, int(n), alternative="less"))
            if np.isfinite(value)
            else np.nan
        ),
        r,
        n,
        vectorize=True,
    )
    result = xr.Dataset(
        {
            "r": r,
            "r_ci": bounds.assign_coords(ci_bound=["lower", "upper"]).transpose(..., "ci_bound"),
            "r_bf": factor,
        }
    )
    about = {"units": "1", "references": REFERENCES, "grammars": int(n.max())}
    result.r.attrs = {"long_name": "correlation of the advantage with complexity", **about}
    result.r_ci.attrs = {"long_name": "95% interval of the correlation (Fisher)", **about}
    result.r_bf.attrs = {"long_name": "Bayes factor for a negative correlation", **about}
    return result


def claims(networks: xr.Dataset, ten: xr.Dataset) -> xr.Dataset:
    """Return a table of the paper's qualitative claims, as this run bears them out or not.

    Parameters
    ----------
    networks : Dataset
        ``advantage``, ``advantage_ci``, ``advantage_bf`` (grammar, epochs, batch).
    ten : Dataset
        ``advantage`` and its like (grammar, epochs), ``r``, ``r_ci``, ``r_bf`` (epochs, measure).

    Returns
    -------
    Dataset
        Dim ``claim``: ``text``, ``setting``, ``verdict`` (holds, fails, undecided), ``estimate``,
        ``estimate_ci``, ``bayes_factor``, and ``unit``, what the interval is over. "in all ten"
        has a row for each grammar, and one that holds if all of them do and fails if any does.
    """
    rows: list[tuple[str, str, float, float, float, float, str]] = []
    verdicts: dict[int, str] = {}
    for grammar in networks.grammar.values:
        for epochs in networks.epochs.values:
            for batch in networks.batch.values:
                at = networks.sel(grammar=grammar, epochs=epochs, batch=batch)
                where = f"grammar {grammar}, {epochs} epochs, batch {batch}"
                rows.append(advantage_row("recurrent networks exceed feed-forward ones", where, at))
    for epochs in ten.epochs.values:
        for grammar in ten.grammar.values:
            at = ten.sel(grammar=grammar, epochs=epochs)
            where = f"regular grammar {grammar}, {epochs} epochs"
            rows.append(advantage_row(ALL, where, at))
        of_all = [judge(*row[3:5]) for row in rows[-len(ten.grammar) :]]
        least = rows[-len(ten.grammar) :][int(ten.advantage.sel(epochs=epochs).argmin("grammar"))]
        whole = (ALL, f"all ten, {epochs} epochs: the least of them", *least[2:])
        rows.append(whole)
        verdicts[len(rows) - 1] = (
            "fails" if "fails" in of_all else "holds" if set(of_all) == {"holds"} else "undecided"
        )
        for measure in ten.measure.values:
            at = ten.sel(epochs=epochs, measure=measure)
            low, high = -at.r_ci.values[::-1]
            rows.append((
                "the advantage shrinks with complexity", f"{measure}, {epochs} epochs",
                -at.r.item(), low, high, at.r_bf.item(), "grammars",
            ))  # fmt: skip
    text, setting, estimate, low, high, factor, unit = zip(*rows, strict=True)
    judged = [judge(a, b) for a, b in zip(low, high, strict=True)]
    judged = [verdicts.get(k, verdict) for k, verdict in enumerate(judged)]
    result = xr.Dataset(
        {
            "text": ("claim", list(text), {"long_name": "claim", "units": "1"}),
            "setting": ("claim", list(setting), {"long_name": "where it was tested", "units": "1"}),
            "estimate": ("claim", np.array(estimate)),
            "estimate_ci": (("claim", "ci_bound"), np.stack([low, high], axis=1)),
            "bayes_factor": ("claim", np.array(factor)),
            "verdict": ("claim", judged, {"long_name": "what the interval says", "units": "1"}),
            "unit": ("claim", list(unit), {"long_name": "what the interval is over", "units": "1"}),
        },
        coords={"claim": np.arange(len(rows)), "ci_bound": ["lower", "upper"]},
    )
    about = {"units": "1", "references": REFERENCES}
    sign = "difference in accuracy, or correlation with the sign turned: positive bears it out"
    result.estimate.attrs = {"long_name": sign, **about}
    result.estimate_ci.attrs = {"long_name": "95% interval", **about}
    result.bayes_factor.attrs = {"long_name": "Bayes factor for an effect", **about}
    return result


def advantage_row(
    text: str, where: str, at: xr.Dataset
) -> tuple[str, str, float, float, float, float, str]:
    """Return the row of one advantage."""
    low, high = at.advantage_ci.values
    return text, where, at.advantage.item(), low, high, at.advantage_bf.item(), "seeds"
