"""Accuracy of people and of learners on the same trials, over strings seen or by length."""

from typing import Literal

import numpy as np
import xarray as xr

from neurodyn.analysis.cluster_bootstrap import cluster_bootstrap
from neurodyn.analysis.learning_curves import accuracy_by_length, learning_curve

LABELS = {
    "n_seen": "strings seen with feedback",
    "block": "block",
    "length": "length of the string (letters)",
}


def accuracy_of_agents(
    trials: xr.Dataset,
    answers: xr.Dataset,
    x: Literal["n_seen", "block", "length"],
    *,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return the proportion correct of people and of learners that saw the same trials.

    .. math:: A(x) = \langle c_{s r t} \rangle_{s,\, r,\, t \in W(x)}

    over subjects s, training seeds r and the trials t of the window or length x that the person
    answered; the windows are the paper's (`learning_curve`). An output of 1/2 or more is the
    response "grammatical". The interval is a bootstrap over subjects, and seeds if several.

    Parameters
    ----------
    trials : Dataset
        People's trials of one or several grammars.
    answers : Dataset
        ``output`` (family, seed, trial) of yoked learners.
    x : {"n_seen", "block", "length"}
        Over what; NaN where a learner's output is (it diverged).
    level, resamples, seed
        Of the bootstrap.

    Returns
    -------
    Dataset
        ``accuracy`` and ``accuracy_ci`` (grammar, agent, x[, ci_bound]); agents are "people" and
        the families.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861.

    Examples
    --------
    >>> n = 120
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", np.repeat(["a", "b"], 60)), "item": ("trial", ["XV", "XVT"] * 60),
    ...      "grammar": ("trial", ["A"] * n), "grammatical": ("trial", np.ones(n)),
    ...      "response": ("trial", np.ones(n)), "correct": ("trial", np.ones(n)),
    ...      "position": ("trial", np.tile(np.arange(60.0), 2))}, {"trial": np.arange(n)})
    >>> output = np.tile([0.9, 0.2], 60)[None, None]
    >>> answers = xr.Dataset({"output": (("family", "seed", "trial"), output)},
    ...                      {"family": ["chunk"], "seed": [0], "trial": trials.trial})
    >>> accuracy_of_agents(trials, answers, "length").accuracy.sel(agent="chunk").values
    array([[1., 0.]])
    """
    if x not in LABELS:
        raise ValueError(f"x must be one of {', '.join(LABELS)}, got {x!r}")
    said = (answers.output >= 0.5).astype(float)
    answered = np.isfinite(trials.correct) & np.isfinite(trials.grammatical)
    agents = {"people": trials.correct.expand_dims(seed=[0])}
    agents |= {
        str(f): (said.sel(family=f) == trials.grammatical)
        .where(answered & answers.output.sel(family=f).notnull())
        .astype(float)
        for f in answers.family.values
    }
    grammars = list(dict.fromkeys(trials.grammar.values.tolist()))
    parts = []
    for name in grammars:
        table = []
        mine = trials.isel(trial=trials.grammar.values == name)
        for correct in agents.values():
            runs = [of_subjects(mine, one.sel(trial=mine.trial), x) for one in correct]
            values = xr.concat(runs, dim="seed", join="outer").rename("accuracy")
            over = [dim for dim in ("subject", "seed") if values.sizes[dim] > 1]
            values = values.mean([dim for dim in ("subject", "seed") if dim not in over])
            how = {"level": level, "resamples": resamples, "seed": seed}
            found = cluster_bootstrap(values, clusters=over, **how)  # type: ignore[arg-type]
            table.append(found)
        here = xr.IndexVariable("agent", list(agents))
        parts.append(xr.concat(table, dim=here, join="outer", combine_attrs="override"))
    result = xr.concat(
        parts, dim=xr.IndexVariable("grammar", grammars), join="outer", combine_attrs="override"
    ).sortby(x)
    for dim, text in {x: LABELS[x], "agent": "who answered", "grammar": "grammar"}.items():
        result[dim].attrs = {"long_name": text, "units": "1"}
    return result


def of_subjects(trials: xr.Dataset, correct: xr.DataArray, x: str) -> xr.DataArray:
    """Return accuracy (subject, x) of one run."""
    mine = trials.assign(correct=("trial", correct.values))
    if x == "length":
        return accuracy_by_length(mine).accuracy.reset_coords(drop=True)
    found = learning_curve(mine, "paper" if x == "n_seen" else "blocks")
    return found.accuracy.reset_coords(drop=True)
