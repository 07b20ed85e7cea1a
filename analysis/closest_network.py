"""The network whose accuracy is closest to that of people, as the paper chooses it."""

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

PAPER = "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861"


def closest_network(
    human: xr.DataArray,
    networks: xr.DataArray,
    *,
    over: Sequence[str] = ("layers", "learning_rate"),
    block: float = 8,
    folds: int = 1,
    seed: int = 0,
) -> xr.Dataset:
    r"""Choose hyper-parameters so that a network ends as accurate as people do.

    .. math:: \hat\theta = \arg\min_\theta \left| \tfrac1S \textstyle\sum_s a_{\theta s}
              - \bar h_8 \right|

    :math:`a_{\theta s}` is the test accuracy of the network with hyper-parameters
    :math:`\theta` trained from seed s, :math:`\bar h_8` people's mean accuracy in block 8. One
    choice for each of the other dimensions (budget, grammar, family); and, where there are
    several grammars, an "overall" one, of the smallest distance averaged over grammars.

    A network chosen to match people at a point matches them there: leave that point out of any
    comparison (`curve_distance(..., exclude=...)`), or choose with some subjects and compare with
    others (`folds`). The curves of the chosen networks are
    ``curves.sel(layers=found.layers, learning_rate=found.learning_rate)``.

    Parameters
    ----------
    human : DataArray
        Accuracy (subject, block), as `learning_curve(trials, "blocks")` gives it, with
        ``grammar`` along subject where networks have the dimension grammar.
    networks : DataArray
        Test accuracy, with the dimension ``seed``, those of `over`, and any others.
    over : sequence of str
        The hyper-parameters.
    block : number
        The block to match.
    folds : int
        1: chosen with all subjects. 2 or more: the subjects of each grammar are dealt into so many
        folds, and the choice of a fold is made with the subjects outside of it.
    seed : int
        Of the deal.

    Returns
    -------
    Dataset
        The chosen value of each hyper-parameter by its name, ``distance``, ``human_accuracy``
        and ``network_accuracy``, over the other dimensions and, if there are several, ``fold``;
        ``overall_<name>`` and ``overall_distance`` without grammar; ``test_fold`` (subject): in
        which fold a subject may be compared (0 with one fold: all, but not at that block).

    Raises
    ------
    ValueError
        For missing dimensions, no subject in a grammar or fold, or accuracies that are all NaN.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861.

    Examples
    --------
    >>> human = xr.DataArray([[0.7], [0.9]], {"block": [8.0]}, dims=("subject", "block"))
    >>> rates = {"learning_rate": [0.01, 0.1]}
    >>> nets = xr.DataArray([[0.6, 0.7], [0.8, 0.8]], rates, dims=("learning_rate", "seed"))
    >>> closest_network(human, nets, over=("learning_rate",)).learning_rate.item()
    0.1
    """
    check(human, networks, over, block, folds)
    at_block = human.sel(block=block, drop=True)
    groups = grammars(at_block, networks)
    test_fold = dealt(groups, folds, seed)
    people = human_means(at_block, groups, test_fold, folds, networks)
    mean = networks.mean("seed", skipna=False)
    distance = abs(mean - people)
    found = xr.Dataset({"distance": distance.min(over)})
    places = chosen(distance, over)
    for name, place in places.items():
        found[name] = networks[name][place].drop_vars(name)
    found["network_accuracy"] = mean.isel(places).drop_vars(over)
    found["human_accuracy"] = people
    if "grammar" in distance.dims:
        average = distance.mean("grammar", skipna=False)
        found["overall_distance"] = average.min(over)
        for name, place in chosen(average, over).items():
            found[f"overall_{name}"] = networks[name][place].drop_vars(name)
    found["test_fold"] = "subject", test_fold
    if "subject" in human.coords:
        found = found.assign_coords(subject=human.subject.values)
    return described(found, over, block, folds, networks.sizes["seed"])


def chosen(distance: xr.DataArray, over: Sequence[str]) -> dict[str, xr.DataArray]:
    """Return the place along each hyper-parameter where the distance is least; first of equals."""
    if distance.isnull().all(over).any():
        raise ValueError(
            "a group of networks has no hyper-parameters with an accuracy for every seed"
        )
    best = distance.argmin(list(over))
    assert isinstance(best, dict)
    return {str(name): place.drop_vars(over, errors="ignore") for name, place in best.items()}


def grammars(at_block: xr.DataArray, networks: xr.DataArray) -> np.ndarray:
    """Return each subject's grammar; "" where networks do not tell grammars apart."""
    if "grammar" not in networks.dims:
        return np.full(at_block.sizes["subject"], "")
    if "grammar" not in at_block.coords or at_block.grammar.dims != ("subject",):
        raise ValueError(
            "networks have the dimension grammar: human needs the coordinate grammar along subject"
        )
    groups = at_block.grammar.values
    for name in networks.grammar.values.tolist():
        if not (groups == name).any():
            raise ValueError(f"grammar {name!r} has no subject; leave it out of networks")
    return groups


def dealt(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each subject, the folds of each grammar as equal as can be."""
    fold = np.zeros(len(groups), int)
    rng = np.random.default_rng(seed)
    for name in np.unique(groups).tolist():
        (members,) = np.nonzero(groups == name)
        if len(members) < folds:
            raise ValueError(f"grammar {name!r} has {len(members)} subjects for {folds} folds")
        fold[rng.permutation(members)] = np.arange(len(members)) % folds
    return fold


def human_means(
    at_block: xr.DataArray,
    groups: np.ndarray,
    test_fold: np.ndarray,
    folds: int,
    networks: xr.DataArray,
) -> xr.DataArray:
    """Return people's mean accuracy (grammar, fold) that the choice is made with."""
    names = networks.grammar.values.tolist() if "grammar" in networks.dims else [""]
    values = at_block.values
    means = np.empty((len(names), folds))
    for i, name in enumerate(names):
        for k in range(folds):
            here = values[(groups == name) & ((test_fold != k) | (folds == 1))]
            if np.isnan(here).all():
                raise ValueError(f"no subject of grammar {name!r}, fold {k}, has that block")
            means[i, k] = np.nanmean(here)
    people = xr.DataArray(means, dims=("grammar", "fold"), coords={"fold": np.arange(folds)})
    if "grammar" in networks.dims:
        people = people.assign_coords(grammar=networks.grammar)
    else:
        people = people.isel(grammar=0)
    return people if folds > 1 else people.isel(fold=0, drop=True)


def check(
    human: xr.DataArray, networks: xr.DataArray, over: Sequence[str], block: float, folds: int
) -> None:
    """Refuse what the choice cannot be made from."""
    if set(human.dims) != {"subject", "block"}:
        raise ValueError(f"human must have the dimensions subject and block, it has {human.dims}")
    if "block" not in human.coords or block not in human.block.values:
        there = human.block.values.tolist()
        raise ValueError(f"block {block!r} is not among the blocks of human: {there}")
    needed = ("seed", *over)
    if not over or not set(needed) <= set(networks.dims):
        raise ValueError(f"networks need the dimensions {needed}, they have {networks.dims}")
    for name in ("n_seen", "block", "item", "subject"):
        if name in networks.dims:
            raise ValueError(f"networks must be test accuracies after training: select one {name}")
    if not isinstance(folds, int) or folds < 1:
        raise ValueError(f"folds must be a whole number from 1 up, got {folds!r}")


def described(
    found: xr.Dataset, over: Sequence[str], block: float, folds: int, seeds: int
) -> xr.Dataset:
    """Add what the numbers mean and which subjects and points are used up."""
    names = {
        "distance": "|mean test accuracy over seeds - mean human accuracy|",
        "network_accuracy": "mean test accuracy of the chosen network over seeds",
        "human_accuracy": "mean accuracy of people that the choice was made with",
        "overall_distance": "smallest distance averaged over grammars",
        "test_fold": "fold in which a subject may be compared",
        **{name: f"{name} of the closest network" for name in over},
        **{f"overall_{name}": f"{name} of the network closest over all grammars" for name in over},
    }
    for name, long_name in names.items():
        if name in found:
            found[name].attrs = {"long_name": long_name, "units": "1", "references": PAPER}
    if folds == 1:
        rule = f"chosen with all subjects at block {block:g}: exclude that block from comparisons"
    else:
        rule = (
            f"chosen at block {block:g} with the subjects outside of each of {folds} folds: "
            "compare with the subjects whose test_fold it is"
        )
    found.attrs = {
        "selection": rule,
        "over": json.dumps(list(over)),
        "block": block,
        "folds": folds,
        "seeds": seeds,
        "note": "seeds are training runs of a network, not subjects",
        "provenance": "paper" if folds == 1 else "reconstruction",
    }
    return found
