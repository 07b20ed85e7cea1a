"""Questions with several right answers: sensitivity and specificity of what was chosen."""

from collections.abc import Sequence

import numpy as np
import xarray as xr


def score_selections(
    chosen: Sequence[Sequence[str]], right: Sequence[Sequence[str]], options: Sequence[str]
) -> xr.Dataset:
    r"""Return how well multiple choices were made, question by question.

    .. math:: \text{sensitivity} = \frac{|C \cap R|}{|R|}, \qquad
              \text{specificity} = \frac{|O \setminus (C \cup R)|}{|O \setminus R|}

    C is what was chosen, R what was right, O what could be chosen.

    Parameters
    ----------
    chosen, right : sequence of sequence of str
        C and R, for each question.
    options : sequence of str
        O, the same for all questions, e.g. the letters of the grammar.

    Returns
    -------
    Dataset
        ``sensitivity`` and ``specificity`` (question), between 0 and 1; NaN where nothing, or
        everything, is right.

    Raises
    ------
    ValueError
        If there are not as many answers as questions, or an answer is none of the options.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861: the
    scores of its questionnaire.

    Examples
    --------
    >>> scores = score_selections([["M", "R"]], [["M", "V"]], options="MRTVX")
    >>> scores.sensitivity.values, scores.specificity.round(2).values
    (array([0.5]), array([0.67]))
    """
    if len(chosen) != len(right):
        raise ValueError(f"{len(chosen)} answers to {len(right)} questions; give one for each")
    possible = set(options)
    wrong = sorted({one for lists in (*chosen, *right) for one in lists} - possible)
    if wrong:
        raise ValueError(f"{', '.join(map(repr, wrong))} are not among the options {options!r}")
    scores = np.full((2, len(right)), np.nan)
    for question, (answer, truth) in enumerate(zip(map(set, chosen), map(set, right), strict=True)):
        others = possible - truth
        if truth:
            scores[0, question] = len(answer & truth) / len(truth)
        if others:
            scores[1, question] = len(others - answer) / len(others)
    about = {"units": "1", "references": "Alamia et al. (2020), Sci. Rep. 10, 22172"}
    return xr.Dataset(
        {
            name: ("question", values, {"long_name": long_name, **about})
            for name, values, long_name in (
                ("sensitivity", scores[0], "share of the right options that were chosen"),
                ("specificity", scores[1], "share of the wrong options that were left"),
            )
        },
        coords={
            "question": (
                "question",
                np.arange(len(right)),
                {"long_name": "question", "units": "1"},
            )  # fmt: skip
        },
        attrs={"provenance": "paper"},
    )
