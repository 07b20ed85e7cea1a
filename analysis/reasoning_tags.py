"""What each of the twenty-three visual reasoning problems asks for."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

RELATION = {
    "shape": (1, 5, 7, 15, 16, 19, 20, 21, 22),
    "shape and position": (6, 8, 17),
    "position": (2, 3, 4, 9, 10, 11, 12, 13, 14, 18, 23),
}
KIM2018 = {
    "same-different": (1, 5, 7, 15, 16, 19, 20, 21, 22),
    "mixed": (8,),
    "spatial relation": (2, 3, 4, 6, 9, 10, 11, 12, 13, 14, 17, 18, 23),
}
PROBLEMS = tuple(range(1, 24))


def problem_tags(problems: Iterable[int] = PROBLEMS) -> xr.Dataset:
    """Return tags of the problems, from their rules and from Kim et al. (2018).

    ``relation`` says what the label depends on, *derived* from the rules:

    - "shape": whether shapes are the same (by translation; 16, 20: mirrored; 19: at another
      scale; 21: turned and at another scale);
    - "shape and position": where shapes are that are the same (6, 17), or both at once (8);
    - "position": where shapes are, whatever their outline. Sizes may matter: problem 13 has two
      big ones alike and two small ones alike in both classes, and their size alone tells which.

    ``needs_shape_comparison`` is true for the first two: without comparing outlines they cannot be
    solved. Problem 9, of shapes that are all alike and one twice as large, is not among them.

    ``kim2018`` is the grouping by the words "same" and "identical" in the original descriptions;
    problem 8 is of both groups there. It differs in 6 and 17. The sub-groups that Vaishnav et al.
    (2022) found by clustering are not known here, and none of this stands for them.

    Parameters
    ----------
    problems : iterable of int
        Numbers from 1 to 23.

    Returns
    -------
    Dataset
        ``needs_shape_comparison`` (bool), ``relation`` and ``kim2018`` (str) along ``problem``;
        the attribute ``provenance`` of each.

    Raises
    ------
    ValueError
        For a problem without tags.

    References
    ----------
    Fleuret et al. (2011), Proc. Natl. Acad. Sci. 108, 17621 (the problems). Kim, Ricci & Serre
    (2018), Interface Focus 8, 20180011.

    Examples
    --------
    >>> tags = problem_tags([1, 4, 6])
    >>> tags.needs_shape_comparison.values, tags.kim2018.values.tolist()
    (array([ True, False,  True]), ['same-different', 'spatial relation', 'spatial relation'])
    """
    chosen = list(problems)
    if missing := [problem for problem in chosen if problem not in PROBLEMS]:
        raise ValueError(f"problem {missing[0]!r} has no tags: give numbers from 1 to 23")
    relation, kim = (
        np.array([next(tag for tag, there in tags.items() if p in there) for p in chosen])
        for tags in (RELATION, KIM2018)
    )
    found = xr.Dataset(coords={"problem": chosen})
    rules = "derived from the rules; no grouping of a paper"
    for name, values, long_name, provenance in (
        ("needs_shape_comparison", relation != "position", "shapes must be compared", rules),
        ("relation", relation, "what the label depends on", rules),
        ("kim2018", kim, "grouping of Kim et al. (2018)", "paper"),
    ):
        about = {"long_name": long_name, "units": "1", "provenance": provenance}
        found[name] = "problem", values, about
    found.problem.attrs = {"long_name": "problem", "units": "1"}
    return found
