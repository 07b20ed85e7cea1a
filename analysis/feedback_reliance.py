"""How much a layer relies on feedback, by the rates that suit it best."""

import xarray as xr

REFERENCES = (
    "Alamia, Mozafari, Choksi & VanRullen (2021), On the role of feedback in visual processing, "
    "arXiv:2106.04225"
)
ROUNDED = 0.02
TERMS = ("feedforward", "feedback", "memory", "error")


def feedback_reliance(rate: xr.DataArray) -> xr.Dataset:
    r"""Return the reliance on feedback and the time constant, apart.

    .. math::

        \rho = \frac{\lambda}{\beta + \lambda}, \qquad \tau = \frac{1}{\beta + \lambda}, \qquad
        \rho_\mu = \frac{\lambda}{\beta + \lambda + \mu}

    The published step has weights beta (feed-forward), lambda (feedback) and mu (memory) that sum
    to 1, and reports :math:`\rho_\mu`, the share of feedback among the three. In the differential
    equation memory is no influence of its own: it is what the layer is before it moves. All rates
    (:math:`\beta, \lambda, \alpha`) times c is the same trajectory c times as fast. So
    :math:`\rho_\mu` mixes where a layer is drawn to with how fast it goes there;
    :math:`\rho` is the former and :math:`\tau` the latter. The rate :math:`\alpha` of the error
    term has another unit and is left out of all three.

    Parameters
    ----------
    rate : DataArray
        (term, ...) with term = feedforward, feedback, memory, error, per published step, as
        `neurodyn.feedback_ablation.rates_of` returns them; usually with layer, and over fits with
        noise, seed. Feedback that is NaN is a pathway that is not there.

    Returns
    -------
    Dataset
        ``reliance`` :math:`\rho` and ``share`` :math:`\rho_\mu`, from 0 to 1, NaN where there is no
        pathway for feedback (or no rate but memory, for :math:`\rho`); ``time_constant``
        :math:`\tau`, in published steps, infinite where nothing draws the layer; ``error_rate``
        :math:`\alpha`. Over seeds take `seed_interval` of each.

    Raises
    ------
    ValueError
        For missing terms, rates below 0, or rates that sum to more or less than 1 (by more than
        rounding to two digits does).

    References
    ----------
    Alamia et al. (2021), arXiv:2106.04225, optimise the rates alone, for each type and level of
    noise. How they state the share was read from their code, not from the text.

    Examples
    --------
    >>> rate = xr.DataArray([0.2, 0.6, 0.2, 0.01], dims="term", coords={"term": list(TERMS)})
    >>> found = feedback_reliance(rate)
    >>> [round(float(found[name]), 3) for name in ("reliance", "share", "time_constant")]
    [0.75, 0.6, 1.25]
    """
    given = rate.coords["term"].values.tolist() if "term" in rate.coords else []
    if missing := [term for term in TERMS if term not in given]:
        raise ValueError(f"rate needs the terms {', '.join(TERMS)}; {', '.join(missing)} missing")
    beta, lam, memory, alpha = (rate.sel(term=term, drop=True) for term in TERMS)
    if bool((rate.sel(term=list(TERMS[:3])) < 0).any()):
        raise ValueError("rates of feedforward, feedback and memory must not be negative")
    drawn = beta + lam.fillna(0)
    total = drawn + memory
    if bool((abs(total - 1) > ROUNDED).any()):
        raise ValueError(
            f"feedforward, feedback and memory must sum to 1, got {float(total.min()):.4g} to "
            f"{float(total.max()):.4g}; memory is 1 - feedforward - feedback"
        )
    found = xr.Dataset(
        {
            "reliance": lam / drawn.where(drawn > 0),
            "share": lam / (drawn + memory),
            "time_constant": (1 / drawn.where(drawn > 0)).where(drawn != 0, float("inf")),
            "error_rate": alpha,
        }
    )
    about = {
        "reliance": ("reliance on feedback, lambda / (beta + lambda)", "1"),
        "share": ("share of feedback, lambda / (beta + lambda + memory)", "1"),
        "time_constant": ("time constant, 1 / (beta + lambda)", "published steps"),
        "error_rate": ("rate of the error term, alpha", "per published step"),
    }
    for name, (long_name, units) in about.items():
        found[name].attrs = {"long_name": long_name, "units": units, "references": REFERENCES}
    return found
