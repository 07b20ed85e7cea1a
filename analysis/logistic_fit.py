"""Logistic regression by Newton's method, or the reason why there is no estimate."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog
from scipy.special import expit

REFERENCES = (
    "Albert & Anderson (1984), On the existence of maximum likelihood estimates in logistic "
    "regression models, Biometrika 71, 1-10; Liang & Zeger (1986), Longitudinal data analysis "
    "using generalized linear models, Biometrika 73, 13-22"
)
FLAGS = "0: fitted; 1: separated, no finite estimate; 2: dependent columns; 3: not converged"


class LogisticFit(NamedTuple):
    """What `fit_logistic` found; NaN where `flag` is not 0 (see `FLAGS`)."""

    coefficient: Float[np.ndarray, " term"]
    covariance: Float[np.ndarray, "term term"]
    log_likelihood: float
    flag: int


def fit_logistic(
    design: Float[np.ndarray, "row term"],
    response: Float[np.ndarray, " row"],
    *,
    weights: Float[np.ndarray, " row"] | None = None,
    clusters: np.ndarray | None = None,
    ridge: float = 0.0,
) -> LogisticFit:
    r"""Return the coefficients that make the responses most likely.

    .. math:: \hat\beta = \arg\max_\beta \sum_t w_t \left[ y_t \eta_t - \ln(1 + e^{\eta_t}) \right]
              - \frac{\lambda}{2} \sum_{k} \beta_k^2, \qquad \eta_t = x_t^\top \beta

    By Newton's method (iteratively reweighted least squares), with halved steps where a step
    overshoots. The penalty leaves constant columns alone. A response between 0 and 1, such as a
    network's, is read as the chance of a 1. About 0.2 ms for 500 rows and 4 terms: cheap enough
    to be called at every resample.

    Parameters
    ----------
    design : array
        Shape (row, term), the intercept among the columns.
    response : array
        Shape (row,), from 0 to 1.
    weights : array, optional
        Shape (row,): how often each row counts, e.g. in a bootstrap sample.
    clusters : array, optional
        Shape (row,), labels. The covariance is then the sandwich over clusters, times
        G / (G - 1) * (n - 1) / (n - k).
    ridge : float
        The penalty lambda; the prior of the coefficients is then normal with variance 1 / lambda.

    Returns
    -------
    LogisticFit
        Coefficients, covariance, the log-likelihood (nats, without the penalty), and a flag.
        Data that some plane separates have no finite estimate without a penalty: that is flagged
        1, all NaN, and found exactly (by linear programming), not guessed from large numbers.

    References
    ----------
    Albert & Anderson (1984), Biometrika 71, 1-10. Liang & Zeger (1986), Biometrika 73, 13-22.

    Examples
    --------
    >>> group = np.repeat([0.0, 1.0], 4)
    >>> design = np.stack([np.ones(8), group], axis=1)
    >>> fit = fit_logistic(design, np.array([1.0, 0, 0, 0, 1, 1, 1, 0]))
    >>> fit.coefficient.round(4)                          # ln(1/3), ln(3) - ln(1/3)
    array([-1.0986,  2.1972])
    """
    x, y = np.asarray(design, float), np.asarray(response, float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    if x.ndim != 2 or y.shape != x.shape[:1] or w.shape != y.shape:
        raise ValueError(
            f"design must be (row, term), response and weights (row,); got {x.shape}, {y.shape}, "
            f"{w.shape}"
        )
    if not np.isfinite(x).all() or not (np.isfinite(w) & (w >= 0)).all():
        raise ValueError("design and weights must be finite, weights not negative; drop the rows")
    if not ((y >= 0) & (y <= 1)).all():
        raise ValueError("response must be between 0 and 1, without NaN; drop the rows")
    if not np.isfinite(ridge) or ridge < 0:
        raise ValueError(f"ridge must be a number from 0 up, got {ridge!r}")
    used = w > 0
    x, y, w = x[used], y[used], w[used]
    terms = x.shape[1]
    if len(y) == 0 or np.linalg.matrix_rank(x) < terms:
        return failed(terms, 2)
    penalty = np.where(np.ptp(x, axis=0) == 0, 0.0, ridge)
    beta, converged = newton(x, y, w, penalty)
    eta = x @ beta
    free = penalty == 0
    if np.abs(eta).max() > 8 and free.any() and separated(x[:, free], y):
        return failed(terms, 1)
    if not converged:
        return failed(terms, 3)
    p = expit(eta)
    bread = np.linalg.inv((x * (w * p * (1 - p))[:, None]).T @ x + np.diag(penalty))
    covariance = bread
    if clusters is not None:
        score = (w * (y - p))[:, None] * x
        covariance = bread @ clustered(score, np.asarray(clusters)[used]) @ bread
    likelihood = float(w @ (y * eta - np.logaddexp(0, eta)))
    return LogisticFit(beta, covariance, likelihood, 0)


def newton(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, penalty: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Return the maximum and whether it was reached."""

    def objective(beta: np.ndarray) -> float:
        eta = x @ beta
        return float(w @ (y * eta - np.logaddexp(0, eta)) - penalty @ beta**2 / 2)

    beta, value = np.zeros(x.shape[1]), objective(np.zeros(x.shape[1]))
    for _ in range(60):
        p = expit(x @ beta)
        gradient = x.T @ (w * (y - p)) - penalty * beta
        curvature = (x * (w * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:  # all chances are 0 or 1 to the last digit
            return beta, False
        if not np.isfinite(step).all():
            return beta, False
        decrement = gradient @ step
        while (ahead := objective(beta + step)) < value - 1e-9 * (1 + abs(value)):
            step = step / 2
        beta, value = beta + step, ahead
        if decrement < 1e-14 * (1 + w.sum()):
            return beta, True
    return beta, False


def separated(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether some direction never lowers the likelihood and somewhere raises it."""
    sign = np.where(y == 1, 1.0, -1.0)
    sided = (y == 0) | (y == 1)
    inside, outside = x[~sided], -(sign[:, None] * x)[sided]
    scale = np.abs(x).max(axis=0)
    found = linprog(
        outside.sum(axis=0) / scale,
        A_ub=outside / scale if len(outside) else None,
        b_ub=np.zeros(len(outside)) if len(outside) else None,
        A_eq=inside / scale if len(inside) else None,
        b_eq=np.zeros(len(inside)) if len(inside) else None,
        bounds=(-1, 1),
    )
    return bool(found.status == 0 and -found.fun > 1e-6)


def clustered(score: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the covariance of the summed score, clusters independent; NaN for a single one."""
    labels, code = np.unique(clusters, return_inverse=True)
    rows, terms = score.shape
    groups = len(labels)
    if groups < 2 or rows <= terms:
        return np.full((terms, terms), np.nan)
    sums = np.zeros((groups, terms))
    np.add.at(sums, code, score)
    return sums.T @ sums * groups / (groups - 1) * (rows - 1) / (rows - terms)


def failed(terms: int, flag: int) -> LogisticFit:
    """Return NaN everywhere and the reason."""
    return LogisticFit(np.full(terms, np.nan), np.full((terms, terms), np.nan), np.nan, flag)
