"""What the study of hexominoes says and draws, from its numbers alone."""

import json
import textwrap
from collections.abc import Callable
from itertools import product

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn.analysis.agreement_report import MISSING, printed, said_of
from neurodyn.analysis.generalisation import ITEMS
from neurodyn.analysis.generalisation_plot import generalisation_dots
from neurodyn.analysis.report import Rows, markdown
from neurodyn.analysis.seeds import seed_interval
from neurodyn.models.train_pairs import learnable
from neurodyn.studies._svrt_page import lines

SOLVED = 0.99
MARGIN = 0.05
"""How far from 1/2 the interval of an accuracy may reach that is said to be at chance."""


def there(result: xr.Dataset) -> dict[tuple[str, str], xr.Dataset]:
    """Return what is known of each task and network that learns it."""
    return {
        (task, network): result.sel(task=task, network=network, drop=True)
        for task, network in product(result.task.values.tolist(), result.network.values.tolist())
        if learnable(task, network)
    }


def bounds(values: xr.DataArray) -> tuple[float, float]:
    """Return the interval over seeds."""
    low, high = seed_interval(values).mean_ci.values.tolist()
    return low, high


def side(accuracy: xr.DataArray) -> str:
    """Say where the interval over seeds lies: above or below 1/2, at it, or where it does not tell.

    Examples
    --------
    >>> [side(xr.DataArray(pair, dims="seed")) for pair in ([0.7, 0.71], [0.5, 0.5], [0.55, 0.95])]
    ['above', 'at', 'not shown']
    """
    low, high = bounds(accuracy)
    if low > 0.5 or high < 0.5:
        return "above" if low > 0.5 else "below"
    return "at" if low >= 0.5 - MARGIN and high <= 0.5 + MARGIN else "not shown"


def with_interval(values: xr.DataArray, least: float = 0, sign: str = "") -> str:
    """Return a mean and its interval over seeds, cut off at the least that can be, and at 1.

    Examples
    --------
    >>> with_interval(xr.DataArray([1.0, 0.9], dims="seed"))
    '0.950 [0.315, 1.000]'
    """
    if values.isnull().any():
        return MISSING
    mean, ends = float(values.mean("seed")), np.clip(bounds(values), least, 1)
    return f"{printed(mean, sign=sign)} {printed(*ends, sign=sign)}"


def against_chance(values: xr.DataArray) -> str:
    """Say accuracies (seed) beside 1/2, and which ones their interval leaves out.

    Examples
    --------
    >>> print(against_chance(xr.DataArray([0.49, 0.51, 0.5], dims="seed")))
    not told from chance, 0.500 [0.475, 0.525]: accuracies above 0.525 are left out
    >>> print(against_chance(xr.DataArray([1.0, 1.0], dims="seed")))
    above chance, 1.000 with every seed
    """
    low, high = bounds(values)
    mean = float(values.mean("seed"))
    if high - low < 1e-12:
        where = {1: "above", 0: "at", -1: "below"}[int(np.sign(mean - 0.5))]
        return f"{where} chance, {mean:.3f} with every seed"
    text = with_interval(values)
    if low <= 0.5 <= high:
        left_out = f": accuracies above {high:.3f} are left out" if high < 1 else ""
        return f"not told from chance, {text}{left_out}"
    return f"{'above' if low > 0.5 else 'below'} chance, {text}"


def claims(result: xr.Dataset) -> list[str]:
    """Say of each question whether the answer was yes here, from the numbers alone."""
    found = there(result)
    said = []
    for pair, (question, answer) in QUESTIONS.items():
        if pair in found:
            one = found[pair]
            lost = int(one.accuracy.isnull().any("items").sum())
            missing = f"Missing: the loss of {lost} of {one.sizes['seed']} networks diverged."
            said.append(f"**{question}** {missing if lost else answer(one)}")
    relation, same, twin = (found.get(pair) for pair in QUESTIONS)
    more_than = {
        "spatial relation minus same-different, cnn": (relation, same),
        "same-different, siamese minus cnn": (twin, same),
    }
    differences = [
        f"\n  - {name}: {said_of((a - b).accuracy.sel(items='new'))}"
        for name, (a, b) in more_than.items()
        if a is not None and b is not None
    ]
    if differences:
        said.append(f"**What is easier, on new items?** Within a seed:{''.join(differences)}")
    return said


def about_relation(one: xr.Dataset) -> str:
    """Say whether the spatial relation is judged of new items."""
    old, new = (one.accuracy.sel(items=items) for items in ITEMS)
    answers = {"above": "Yes", "at": "No", "below": "No"}
    answer = answers.get(side(new), "Not shown either way")
    if answer == "Yes" and bounds(old - new)[0] > 0:
        answer = "Yes, at a loss"
    return (
        f"{answer}. The network is {against_chance(new)}. On items trained with minus on new ones: "
        f"{said_of(old - new)}."
    )


def about_same(one: xr.Dataset) -> str:
    """Say whether the CNN guesses on new items, and whether on those trained with."""
    old, new = (one.accuracy.sel(items=items) for items in ITEMS)
    answers = {"above": "No, above it", "below": "No, below it", "at": "Yes"}
    answer = answers.get(side(new), "Not shown either way")
    known = one.familiar.sel(items="train")
    if side(old - known / 2) == "above":  # more than who knows these and guesses on the others
        so = "So it has learned something of these items."
    elif side(old) == "above":
        so = "So it has learned something of these items, or knows these images again."
    elif side(old) == "not shown":
        so = "Whether it has learned something of these items is not shown."
    else:
        so = (
            "So it has not learned the rule of these items either, and what it would do with new "
            "ones if it had is not answered here."
        )
    return (
        f"{answer}. The network is {against_chance(new)}. On {which_images(known)} it is "
        f"{against_chance(old)}; in the last tenth of training it was right in "
        f"{printed(float(one.training[:, -1].mean()))}. {so} On items trained with minus on new "
        f"ones: {said_of(old - new)}."
    )


def about_twin(one: xr.Dataset) -> str:
    """Say whether the twin solves the task, and what was built in."""
    old, new = (one.accuracy.sel(items=items) for items in ITEMS)
    low, high = bounds(new)
    if low >= SOLVED:
        answer = "Yes"
    elif high >= SOLVED:
        answer = "Not shown either way"
    else:
        answer = "In part" if low > 0.5 else "No"
    inputs = float(one.distinct.sel(items="new").mean())
    return (
        f"{answer}. On new items, of which it sees {inputs:g} different inputs, it is "
        f"{against_chance(new)}; on {which_images(one.familiar.sel(items='train'))} "
        f"{against_chance(old)}. That new items are no harder for it is built in: of two equal "
        "windows its difference is 0, whatever it has learned."
    )


def which_images(familiar: xr.DataArray) -> str:
    """Say what the test images of items trained with are: new only if none was in training.

    Examples
    --------
    >>> print(which_images(xr.DataArray([0.0, 0.0], dims="seed")))
    new images of items trained with
    >>> print(which_images(xr.DataArray([0.7, 0.74], dims="seed")))
    images of items trained with, 0.72 of them equal to one in training,
    """
    share = float(familiar.mean())
    if not share:
        return "new images of items trained with"
    return f"images of items trained with, {share:.2g} of them equal to one in training,"


QUESTIONS: dict[tuple[str, str], tuple[str, Callable[[xr.Dataset], str]]] = {
    ("spatial-relation", "cnn"): (
        "Does the spatial relation carry over to new items?", about_relation,
    ),
    ("same-different", "cnn"): ("Is same-different at chance on new items?", about_same),
    ("same-different", "siamese"): (
        f"Does the Siamese twin solve same-different, {SOLVED} right or more?", about_twin,
    ),
}  # fmt: skip


def rows(result: xr.Dataset) -> Rows:
    """Return the heading and a row for each task and network."""
    heading = ["task", "network", "in training", "items trained with", "new items", "gap"]
    table = [[*heading, "in training too, of either", "different, of either"]]
    for (task, network), one in there(result).items():
        old, new = (one.accuracy.sel(items=items) for items in ITEMS)
        cells = [with_interval(old), with_interval(new), with_interval(old - new, -1, "+")]
        known, distinct = (
            " and ".join(f"{float(one[name].sel(items=items).mean()):{form}}" for items in ITEMS)
            for name, form in (("familiar", ".2g"), ("distinct", ".0f"))
        )
        training = printed(float(one.training[:, -1].mean(skipna=False)))
        table.append([task, network, training, *cells, known, distinct])
    return table


def page(result: xr.Dataset) -> str:
    """Return the page in Markdown."""
    config = json.loads(result.attrs["config"])
    run = (
        f"neurodyn {result.attrs['neurodyn_version']}. {result.attrs['provenance']}; no published "
        f"number is claimed. {config['images']} training images of 50 x 80 pixels, squares of "
        f"{config['cell_pixels']} pixel, places scattered by {config['scatter']:g} of their range; "
        f"{config['epochs']} passes in batches of {config['batch_size']}, Adam at "
        f"{config['learning_rate']:g}; {config['test']} test images of items trained with and as "
        "many of new ones, drawn apart from those of training. Each seed deals the 35 hexominoes "
        "anew, 30 and 5: intervals are about other deals of the 35. The last weights were tested. "
        "One network took "
        f"{result.duration.mean().item():.0f} s on average, of the machine as it was."
    )
    return f"""# Same or different, above or beside: what carries over to new items?

{textwrap.fill(run, 100)}

**Questions.** Intervals: 95%, Student's, over the seeds {", ".join(map(str, config["seeds"]))},
without correction for their number. Chance is 1/2; a network is said to be at it only if the whole
interval lies within {MARGIN:g} of it. Where an interval allows either answer, neither is given.

{chr(10).join(f"- {sentence}" for sentence in claims(result))}

**Task by task.** "In training": accuracy in the last tenth of training, while weights move, with
dropout: where it is high and that on other images is not, the images were learned by heart. The
gap is accuracy on items trained with minus that on new ones. "In training too": the share of test
images that are equal, as the network sees them, to one that it was trained with, of items trained
with and of new ones; "different": how many different ones there are among the {config["test"]} of
either. The twin sees items and no places: of 30 items 900 inputs at most, of 5 no more than 25. In
the figure of learning, validation is with other draws of items trained with.

{markdown(rows(result))}"""


def figures(result: xr.Dataset) -> dict[str, Figure]:
    """Draw accuracy on items trained with and on new ones; learning, where all seeds have it."""
    drawn = {"generalisation": generalisation_dots(result.accuracy)}
    curves = xr.concat(
        [result.training, result.validation],
        xr.DataArray(["training", "validation"], dims="split", name="split"),
    ).rename(epoch="time")
    curves = curves.sel(task=curves.notnull().all(["split", "seed", "time"]).any("network"))
    if curves.size:
        learning = lines(curves, "passes over the training images", "network", ("task", "split"))
        for axis in learning.axes:
            axis.set_ylim(-0.02, 1.02)  # intervals over few seeds reach beyond
        drawn["learning"] = learning
    return drawn
