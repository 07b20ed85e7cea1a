"""What an agent goes by: endorsement explained by features of the string, and profiles compared."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurodyn.analysis.item_table import described, network_output, selected
from neurodyn.analysis.logistic_fit import FLAGS, fit_logistic

REFERENCES = (
    "Knowlton & Squire (1996), Artificial grammar learning depends on implicit acquisition of both "
    "abstract and exemplar-specific information, J. Exp. Psychol. Learn. Mem. Cogn. 22, 169-181; "
    "Johnstone & Shanks (1999), Two mechanisms in implicit artificial grammar learning?, J. Exp. "
    "Psychol. Learn. Mem. Cogn. 25, 524-531"
)


def feature_profile(
    answers: xr.Dataset,
    items: xr.Dataset,
    features: Sequence[str],
    *,
    phase: str | Sequence[str] | None = None,
    block: float | Sequence[float] | None = None,
    ridge: float = 0.1,
) -> xr.Dataset:
    r"""Return how each subject, or network, weighs the features of a string.

    .. math:: \mathrm{logit}\, P(y = 1) = \beta_0 + \sum_k \beta_k \frac{f_k - \bar f_k}{s_k}

    typically over grammaticality, chunk strength, chunk novelty and edit distance. The mean and
    the standard deviation s of a feature are those over the strings of `items`, the same for
    people and networks, so that weights can be compared. A network's output is taken as the chance
    of "grammatical". The penalty keeps weights finite where a feature decides every answer,
    as it does for networks that saturate: weights are then shrunk, and their direction (the cosine
    of `compare_profiles`) says more than their length.

    Parameters
    ----------
    answers : Dataset
        Trials of people, or ``output`` of networks as in `item_outputs`.
    items : Dataset
        ``string`` and the features over ``item``; each string once, or alike each time.
    features : sequence of str
        Variables of `items`, numbers or True and False.
    phase, block : optional
        Keep only these trials.
    ridge : float
        Penalty of `fit_logistic` (prior standard deviation 1 / sqrt(ridge)). 0: separated answers
        are NaN, flagged.

    Returns
    -------
    Dataset
        ``weight`` (..., term), term being "intercept" and the features, over ``subject`` or the
        network's dimensions; ``flag``, ``answers`` (how many were used). For people also
        ``pooled_weight`` and ``pooled_weight_error`` (term), all trials in one regression with the
        standard error over subjects. ``mean`` and ``spread`` (feature).

    Raises
    ------
    ValueError
        For a feature that is not there, is no number, does not vary, or follows from the others.

    Notes
    -----
    Some 0.3 ms a fit. Resample subjects and seeds of the result: there is nothing to fit again.

    References
    ----------
    Knowlton & Squire (1996), J. Exp. Psychol. Learn. Mem. Cogn. 22, 169-181. Johnstone & Shanks
    (1999), ibid. 25, 524-531.

    Examples
    --------
    >>> number = np.arange(60)
    >>> items = xr.Dataset(
    ...     {"grammatical": ("item", number % 2 == 0), "length": ("item", number % 7)},
    ...     {"string": ("item", [f"X{i}" for i in number])})
    >>> network = items.assign(output=0.2 + 0.6 * items.grammatical)
    >>> profile = feature_profile(network, items, ["grammatical", "length"])
    >>> profile.weight.sel(term="grammatical").round(1).item()   # half of ln 16, shrunk a little
    1.4
    """
    table, mean, spread = standardised(items, features)
    terms = ["intercept", *features]
    dims: tuple = ("subject",)
    coords: dict = {}
    if "output" in answers:
        output, strings = network_output(answers)
        rows = np.arange(len(strings))
        dims, lead = output.dims[:-1], output.shape[:-1]
        coords = {name: output[name] for name in dims if name in output.coords}
        said = output.values.reshape(-1, len(strings))
        groups = np.zeros(len(strings), dtype=int)
    else:
        rows, _ = selected(answers, phase, block)
        strings = answers["item"].values.astype(str)[rows]
        said = answers["response"].values.astype(float)[None, rows]
        subjects, groups = np.unique(answers["subject"].values[rows], return_inverse=True)
        lead, coords = (len(subjects),), {"subject": subjects}
    known = np.array([string in table for string in strings.tolist()])
    if not known.any():
        raise ValueError(
            f"no answer is to a string of items: answers are to {', '.join(strings[:3])}, ..., "
            f"items has {', '.join(list(table)[:3])}, ..."
        )
    design = np.array([table.get(string, np.zeros(len(terms))) for string in strings.tolist()])
    weight, flag, number = [], [], []
    for y in said:
        for group in np.unique(groups):
            own = (groups == group) & known & np.isfinite(y)
            fit = fit_logistic(design[own], y[own], ridge=ridge)
            weight.append(fit.coefficient)
            flag.append(fit.flag)
            number.append(own.sum())
    data: dict[str, tuple] = {
        "weight": ((*dims, "term"), np.reshape(weight, (*lead, len(terms)))),
        "flag": (dims, np.reshape(flag, lead)),
        "answers": (dims, np.reshape(number, lead)),
        "mean": ("feature", mean),
        "spread": ("feature", spread),
    }
    if "output" not in answers:
        own = known & np.isfinite(said[0])
        fit = fit_logistic(design[own], said[0, own], clusters=groups[own], ridge=ridge)
        data["pooled_weight"] = ("term", fit.coefficient)
        data["pooled_weight_error"] = ("term", np.sqrt(np.maximum(np.diag(fit.covariance), 0)))
    result = xr.Dataset(data, {**coords, "term": terms, "feature": list(features)})
    described(result, {name: (text, "1") for name, text in ABOUT.items()}, REFERENCES)
    result.flag.attrs["meaning"] = FLAGS
    for name in ("mean", "spread"):
        result[name].attrs["units"] = "those of the feature"
    return result.assign_attrs(
        ridge=ridge,
        strings=len(table),
        answers_to_unknown_strings=int((~known).sum()),
        provenance="reconstruction",
    )


ABOUT = {
    "weight": "weight of the standardised feature in the log odds of grammatical",
    "flag": "state of the fit",
    "answers": "number of answers used",
    "mean": "mean of the feature over strings",
    "spread": "standard deviation of the feature over strings",
    "pooled_weight": "weight of the standardised feature, all subjects in one regression",
    "pooled_weight_error": "standard error of the pooled weight, over subjects",
    "term": "term of the regression",
    "feature": "feature of the string",
    "subject": "subject",
}


def compare_profiles(
    human: xr.DataArray, network: xr.DataArray, *, terms: Sequence[str] | None = None
) -> xr.Dataset:
    r"""Return how alike the mean weights of people and of networks are.

    .. math:: \cos = \frac{\bar h \cdot \bar m}{|\bar h|\,|\bar m|}, \qquad
              d = |\bar h - \bar m|

    The cosine compares what agents go by, whatever their sharpness; the distance, in log odds,
    counts that too. For the weights of `feature_profile` and of `choice_history`.

    Parameters
    ----------
    human, network : DataArray
        Weights with the dimension ``term``. Means are taken over ``subject``, and over ``subject``
        and ``seed`` of the networks; other dimensions stay. NaN weights are left out.
    terms : sequence of str, optional
        Those compared; by default all but the intercept.

    Returns
    -------
    Dataset
        ``cosine`` and ``distance`` over the network's other dimensions; ``subjects`` and ``seeds``
        used. NaN where a mean is missing; the cosine also where all weights are 0.

    Examples
    --------
    >>> term = {"term": ["intercept", "grammatical", "length"]}
    >>> human = xr.DataArray([[0.0, 1, 0], [0, 1, 0]], term, dims=("subject", "term"))
    >>> network = xr.DataArray([[9.0, 3, 4]], term, dims=("seed", "term"))
    >>> found = compare_profiles(human, network)
    >>> found.cosine.item(), found.distance.round(3).item()
    (0.6, 4.472)
    """
    for name, weights in (("human", human), ("network", network)):
        if "term" not in weights.coords:
            raise ValueError(f"{name} needs weights over the dimension term, got {weights.dims}")
    if terms is None:
        terms = [str(term) for term in human["term"].values if term != "intercept"]
    for name, weights in (("human", human), ("network", network)):
        missing = [term for term in terms if term not in weights["term"].values]
        if missing:
            raise ValueError(
                f"{name} has no term {', '.join(missing)}; it has "
                f"{', '.join(map(str, weights['term'].values))}"
            )
    h, m = human.sel(term=list(terms)), network.sel(term=list(terms))
    subjects = h.notnull().all("term").sum()
    counted = [dim for dim in ("seed", "subject") if dim in m.dims]
    h = h.mean([dim for dim in ("subject",) if dim in h.dims])
    m = m.mean(counted)
    size = ((h**2).sum("term", skipna=False) * (m**2).sum("term", skipna=False)) ** 0.5
    cosine = ((h * m).sum("term", skipna=False) / size.where(size > 0)).clip(-1, 1)
    distance = ((h - m) ** 2).sum("term", skipna=False) ** 0.5
    result = xr.Dataset(
        {
            "cosine": cosine,
            "distance": distance,
            "subjects": subjects,
            "seeds": network.sizes.get("seed", 1),
        }
    )
    about = {
        "cosine": ("cosine of the mean weights of people and network", "1"),
        "distance": ("distance of the mean weights of people and network, in log odds", "1"),
        "subjects": ("number of subjects used", "1"),
        "seeds": ("number of training seeds", "1"),
    }
    described(result, about, REFERENCES)
    return result.assign_attrs(
        terms=", ".join(terms), note="seeds are not subjects", provenance="reconstruction"
    )


def standardised(
    items: xr.Dataset, features: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return the row of the design for each string, and the mean and spread of the features."""
    if isinstance(features, str) or not len(features):
        raise TypeError(f"features must be a list of names, at least one, got {features!r}")
    for name in ("string", *features):
        if name not in items.variables or items[name].dims != ("item",):
            there = [str(n) for n in items.variables if items[n].dims == ("item",)]
            raise ValueError(
                f"items have no {name!r} over the dimension item; there are: {', '.join(there)}"
            )
        if name != "string" and items[name].dtype.kind not in "fiub":
            raise ValueError(f"feature {name} must hold numbers, it holds {items[name].dtype}")
    strings, first, code = np.unique(
        items["string"].values.astype(str), return_index=True, return_inverse=True
    )
    values = np.stack([items[name].values.astype(float) for name in features], axis=1)
    if not np.isfinite(values).all():
        bad = [n for n, v in zip(features, values.T, strict=True) if not np.isfinite(v).all()]
        raise ValueError(f"features without a number for some string: {', '.join(bad)}")
    unlike = (values != values[first][code]).any(axis=1)
    if unlike.any():
        raise ValueError(
            f"{items['string'].values[unlike][0]} occurs repeatedly with different features: "
            "keep one"
        )
    values = values[first]
    mean, spread = values.mean(axis=0), values.std(axis=0)
    if not (spread > 0).all():
        flat = [name for name, s in zip(features, spread, strict=True) if not s > 0]
        raise ValueError(f"{', '.join(flat)} is the same for all strings: leave it out")
    design = np.concatenate([np.ones((len(values), 1)), (values - mean) / spread], axis=1)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(
            f"one of the features {', '.join(features)} follows from the others over these "
            f"{len(strings)} strings: leave it out"
        )
    return dict(zip(strings.tolist(), design, strict=True)), mean, spread
