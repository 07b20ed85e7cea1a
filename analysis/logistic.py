"""Logistic regression of a table: standard errors over clusters, or random effects."""

import json
import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurodyn.analysis.logistic_fit import FLAGS, REFERENCES, fit_logistic

MIXED = (
    "Baayen, Davidson & Bates (2008), Mixed-effects modeling with crossed random effects for "
    "subjects and items, J. Mem. Lang. 59, 390-412; Blei, Kucukelbir & McAuliffe (2017), "
    "Variational inference, arXiv 1601.00670"
)


def logistic_regression(
    data: xr.Dataset,
    response: str,
    terms: Sequence[str],
    *,
    cluster: str | None = "subject",
    ridge: float = 0.0,
) -> xr.Dataset:
    r"""Return the logistic regression of one variable of a Dataset on others.

    .. math:: \ln \frac{P(y_t = 1)}{P(y_t = 0)} = \beta_0 + \sum_k \beta_k x_{kt}

    The trials of a subject are not independent: the standard errors are over clusters, the
    subjects, unless ``cluster=None``.

    Parameters
    ----------
    data : Dataset
        All variables used over the same one dimension, e.g. ``trial``. Rows where one is NaN are
        left out and counted.
    response : str
        The variable to explain, from 0 to 1.
    terms : sequence of str
        The variables that explain it, in their own units; an intercept is added.
    cluster : str, optional
        The variable that says which rows belong together.
    ridge : float
        Penalty, see `fit_logistic`.

    Returns
    -------
    Dataset
        ``coefficient``, ``standard_error`` and ``covariance`` over ``term`` ("intercept" first),
        ``log_likelihood``, ``flag`` (0 fitted, 1 separated, 3 not converged; NaN then), ``rows``.

    Raises
    ------
    ValueError
        For names that are not there, a variable that holds no numbers, linearly dependent terms.

    References
    ----------
    As in `fit_logistic`.

    Examples
    --------
    >>> trials = xr.Dataset(
    ...     {"response": ("trial", [1.0, 0, 0, 0, 1, 1, 1, 0]),
    ...      "grammatical": ("trial", [0.0, 0, 0, 0, 1, 1, 1, 1]),
    ...      "subject": ("trial", list("aabbaabb"))})
    >>> fit = logistic_regression(trials, "response", ["grammatical"])
    >>> fit.coefficient.sel(term="grammatical").round(4).item()
    2.1972
    """
    y, x, groups, kept = columns(data, response, terms, () if cluster is None else (cluster,))
    clusters = groups[0] if groups else None
    fit = fit_logistic(x, y, clusters=clusters, ridge=ridge)
    if fit.flag == 2:
        raise ValueError(
            f"the terms {', '.join(terms)} are linearly dependent over the {len(y)} rows used "
            "(or one is constant): leave one out"
        )
    # rounding may leave a variance of zero, as with two clusters, a little below
    error = np.sqrt(np.maximum(np.diag(fit.covariance), 0))
    result = coefficient_table(terms, fit.coefficient, error, "1")
    number = np.arange(len(terms) + 1)
    result["covariance"] = (("term", "other_term"), fit.covariance)
    result = result.assign_coords(other_term=result.term.values[number])
    result["log_likelihood"] = fit.log_likelihood
    result["flag"] = fit.flag
    result["rows"] = len(y)
    result.covariance.attrs = {"long_name": "covariance of the coefficients", "units": "1"}
    result.log_likelihood.attrs = {"long_name": "log-likelihood", "units": "nat"}
    result.flag.attrs = {"long_name": "state of the fit", "units": "1", "meaning": FLAGS}
    result.rows.attrs = {"long_name": "number of rows used", "units": "1"}
    result.other_term.attrs = {"long_name": "term of the regression", "units": "1"}
    for variable in result.data_vars.values():
        variable.attrs["references"] = REFERENCES
    return result.assign_attrs(
        response=response,
        ridge=ridge,
        cluster=cluster or "",
        clusters=0 if clusters is None else len(np.unique(clusters)),
        rows_left_out=int((~kept).sum()),
        provenance="reconstruction",
    )


def mixed_logistic_regression(
    data: xr.Dataset,
    response: str,
    terms: Sequence[str],
    *,
    groups: Sequence[str] = ("subject", "item"),
) -> xr.Dataset:
    r"""Return the logistic regression with random intercepts, subjects and items crossed.

    .. math:: \ln \frac{P(y_t = 1)}{P(y_t = 0)} = \beta_0 + \sum_k \beta_k x_{kt}
              + u_{s(t)} + v_{i(t)}, \qquad u \sim N(0, \sigma_s^2), \; v \sim N(0, \sigma_i^2)

    By variational Bayes (statsmodels' BinomialBayesMixedGLM; priors: coefficients N(0, 2^2), log
    standard deviations N(0, 1)). Its factored posterior is somewhat too narrow: compare the
    standard errors with those over clusters of `logistic_regression`. Takes seconds: not for use
    inside a bootstrap.

    Parameters
    ----------
    data, response, terms
        As in `logistic_regression`; the response must be 0 or 1.
    groups : sequence of str
        Variables that hold labels; each gets random intercepts.

    Returns
    -------
    Dataset
        ``coefficient`` and ``standard_error`` (posterior mean and standard deviation) over
        ``term``; ``group_sd`` and ``group_levels`` over ``group_name``; ``rows``; ``flag`` (3
        where the optimiser stopped early).

    Raises
    ------
    ImportError
        Without statsmodels: ``pip install "neurodyn[behaviour]"``.

    References
    ----------
    Baayen, Davidson & Bates (2008), J. Mem. Lang. 59, 390-412. Blei, Kucukelbir & McAuliffe
    (2017), arXiv 1601.00670.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> trials = xr.Dataset(
    ...     {"response": ("trial", (draw.random(80) < 0.6).astype(float)),
    ...      "grammatical": ("trial", np.tile([0.0, 1.0], 40)),
    ...      "subject": ("trial", np.repeat(list("abcd"), 20))})
    >>> fit = mixed_logistic_regression(            # doctest: +SKIP
    ...     trials, "response", ["grammatical"], groups=["subject"])
    """
    try:
        from statsmodels.genmod.bayes_mixed_glm import (  # type: ignore[import-untyped]
            BinomialBayesMixedGLM,
        )
        from statsmodels.tools.sm_exceptions import (  # type: ignore[import-untyped]
            ConvergenceWarning,
        )
    except ImportError as error:
        raise ImportError(
            'random effects need statsmodels: pip install "neurodyn[behaviour]"'
        ) from error
    if not groups:
        raise ValueError("groups must name a variable with labels, e.g. ('subject', 'item')")
    y, x, labels, kept = columns(data, response, terms, groups)
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"{response} must hold 0 and 1 only for a regression with random effects")
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(f"the terms {', '.join(terms)} are linearly dependent: leave one out")
    codes = [np.unique(label, return_inverse=True)[1] for label in labels]
    levels = [int(code.max()) + 1 for code in codes]
    indicator = np.concatenate([np.eye(n)[c] for n, c in zip(levels, codes, strict=True)], axis=1)
    ident = np.repeat(np.arange(len(groups)), levels)
    model = BinomialBayesMixedGLM(y, x, indicator, ident, vcp_p=1, fe_p=2)
    size = x.shape[1] + len(groups) + sum(levels)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = model.fit_vb(mean=np.zeros(size), sd=np.full(size, 0.6))
    stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    result = coefficient_table(terms, fit.fe_mean, fit.fe_sd, "1")
    result["group_sd"] = ("group_name", np.exp(fit.vcp_mean))
    result["group_levels"] = ("group_name", levels)
    result = result.assign_coords(group_name=list(groups))
    result["rows"], result["flag"] = len(y), 3 if stopped else 0
    result.group_sd.attrs = {"long_name": "standard deviation of the intercepts", "units": "1"}
    result.group_levels.attrs = {"long_name": "number of levels of the group", "units": "1"}
    result.rows.attrs = {"long_name": "number of rows used", "units": "1"}
    result.flag.attrs = {"long_name": "state of the fit", "units": "1", "meaning": FLAGS}
    result.group_name.attrs = {"long_name": "what has random intercepts", "units": "1"}
    for variable in result.data_vars.values():
        variable.attrs["references"] = MIXED
    return result.assign_attrs(
        response=response,
        estimator="variational Bayes",
        rows_left_out=int((~kept).sum()),
        provenance="reconstruction",
    )


def coefficient_table(
    terms: Sequence[str], coefficient: np.ndarray, error: np.ndarray, units: str
) -> xr.Dataset:
    """Return coefficients and their standard errors, the intercept first."""
    result = xr.Dataset(
        {"coefficient": ("term", coefficient), "standard_error": ("term", error)},
        coords={"term": ["intercept", *terms]},
    )
    result.coefficient.attrs = {"long_name": "coefficient, in log odds", "units": units}
    result.standard_error.attrs = {"long_name": "standard error of the coefficient", "units": units}
    result.term.attrs = {"long_name": "term of the regression", "units": "1"}
    return result


def columns(
    data: xr.Dataset, response: str, terms: Sequence[str], labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], np.ndarray]:
    """Return response, design with intercept, labels, and which rows of the data they are."""
    if isinstance(terms, str):
        raise TypeError(f"terms must be a list of names, got the text {terms!r}")
    names = [response, *terms]
    for name in [*names, *labels]:
        if name not in data:
            allowed = ", ".join(str(n) for n in data.variables)
            raise ValueError(f"{name!r} is not a variable of the data; there are: {allowed}")
    dims = {name: data[name].dims for name in [*names, *labels]}
    if len(set(dims.values())) != 1 or len(dims[response]) != 1:
        raise ValueError(f"all variables must lie along the same one dimension, got {dims}")
    for name in names:
        if data[name].dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold numbers, it holds {data[name].dtype}")
    values = np.stack([data[name].values.astype(float) for name in names], axis=1)
    kept = np.isfinite(values).all(axis=1)
    if not kept.any():
        empty = [name for name, v in zip(names, values.T, strict=True) if not np.isfinite(v).any()]
        why = f"{', '.join(empty)} has none at all" if empty else json.dumps(names)
        raise ValueError(f"no row has a number in every variable: {why}")
    x = np.concatenate([np.ones((kept.sum(), 1)), values[kept, 1:]], axis=1)
    return values[kept, 0], x, [np.asarray(data[name].values)[kept] for name in labels], kept
