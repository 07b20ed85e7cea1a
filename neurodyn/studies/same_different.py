"""Same or different, against above or beside: what networks carry over to new items."""

import json
import textwrap
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import neurodyn as nd
from neurodyn.analysis.agreement_report import printed, said_of
from neurodyn.analysis.generalisation import ITEMS, generalisation
from neurodyn.analysis.generalisation_plot import generalisation_dots
from neurodyn.analysis.report import Rows, markdown, verdict
from neurodyn.analysis.seeds import seed_interval
from neurodyn.models.train_pairs import train_pairs
from neurodyn.stimuli.hexominoes import TASKS
from neurodyn.studies._agreement import write_page
from neurodyn.studies._feedback import settled
from neurodyn.studies._shipped import shipped
from neurodyn.studies._svrt_page import lines

PUBLISHED = "Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020"
PROVENANCE = (
    "Tasks, sizes of networks and sets, Adam's rate and passes as published; places of items, "
    "their isolation for the twin and the initial weights are reconstructed here"
)
SCALES: dict[str, dict[str, Any]] = {
    "laptop": {
        "tasks": TASKS, "networks": ("cnn", "siamese"), "seeds": tuple(range(10)), "images": 1000,
        "validation": 1000, "test": 1000, "epochs": 70, "batch_size": 50, "learning_rate": 1e-4,
        "cell_pixels": 1, "scatter": 1.0,
    },
}  # fmt: skip
SCALES["quick"] = SCALES["laptop"] | {"seeds": (0, 1, 2), "epochs": 20}
RESULTS = "same_different.nc"
"""The results that ship."""
POINTS = 10
SOLVED = 0.99


def same_different(
    *,
    out: str | Path = "results/same-different",
    quick: bool = False,
    train: bool = False,
    tasks: tuple[str, ...] | None = None,
    networks: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    images: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    cell_pixels: int | None = None,
    scatter: float | None = None,
    workers: int = 2,
) -> xr.Dataset:
    """Hexominoes, the same or not, above or beside: what networks carry over to new ones.

    A small convolutional network sees two hexominoes and learns whether they are the same, or
    whether one lies rather above the other or beside it; then it is shown hexominoes that it has
    never seen. A Siamese twin, which sees the items one by one, learns the first task.

    The results of the default settings ship with the package: then nothing is trained, unless
    asked for. "quick" and other settings train.

    Parameters
    ----------
    out : path
        Folder for same_different.nc, figures, summary.md and cells/, where each network's results
        are kept as soon as it is trained; an interrupted run goes on from there.
    quick : bool
        Three seeds and 20 passes: a minute or two, to see that it runs.
    train : bool
        Train also where results ship.
    tasks, networks, seeds : optional
        As of `neurodyn.models.train_pairs.train_pairs`; seeds, two or more, deal the items and are
        the unit of the intervals.
    images, validation, test, epochs, batch_size, learning_rate : optional
        Likewise: numbers of images; passes over the training images, a multiple of 10, after each
        tenth of which networks are validated; images in a step of Adam; its rate. By default as
        published.
    cell_pixels, scatter : optional
        Side of a square of an item, 1 or 2 pixels; from 0 to 1 how much the places of items vary.
    workers : int
        Networks trained side by side, each in a process with one core.

    Returns
    -------
    Dataset
        As of `neurodyn.models.train_pairs.train_pairs`: "accuracy" (task, network, seed, items)
        and learning curves.

    Notes
    -----
    On a core of its own a pass over 1000 images takes the convolutional network .9 s and the twin
    .2 s: the default settings, 30 networks, take about 25 minutes of processor time, half of that
    on two cores.

    References
    ----------
    Alamia et al. (2021), eNeuro 8, ENEURO.0267-20.2020.
    """
    given = {
        "tasks": tasks, "networks": networks, "seeds": seeds, "images": images,
        "validation": validation, "test": test, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "cell_pixels": cell_pixels, "scatter": scatter,
    }  # fmt: skip
    config = settled(SCALES, "laptop", quick, **given)
    if len(set(config["seeds"])) < 2:
        raise ValueError(f"seeds must be two or more that differ, got {config['seeds']!r}")
    folder = Path(out)
    result = None if train else shipped(files("neurodyn.models").joinpath(RESULTS), config)
    if result is None:
        result = train_pairs(out=folder, points=POINTS, workers=workers, **config)
        result.attrs = {
            "title": "Accuracy of networks on pairs of hexominoes, trained with and new",
            "provenance": PROVENANCE, "references": PUBLISHED, "config": json.dumps(config),
            "neurodyn_version": nd.__version__,
        }  # fmt: skip
    else:
        print("read from the results that ship; --train trains the networks anew")
    nd.save(result, folder / RESULTS)
    drawn = figures(result)
    pictures = "\n\n".join(f"![{name}]({name}.png)" for name in drawn)
    write_page(folder, f"{page(result)}\n\n{pictures}\n", drawn)
    return result


def there(result: xr.Dataset) -> dict[tuple[str, str], xr.DataArray]:
    """Return the accuracies (seed, items) of each task and network that was trained."""
    pairs = {
        (task, network): result.accuracy.sel(task=task, network=network, drop=True)
        for task in result.task.values.tolist()
        for network in result.network.values.tolist()
    }
    return {pair: values for pair, values in pairs.items() if values.notnull().any()}


def side(gaps: xr.DataArray) -> str:
    """Say on which side of 0 the interval over seeds is; or the value that all seeds have."""
    return verdict(*seed_interval(gaps).mean_ci.values)


def against_chance(values: xr.DataArray) -> str:
    """Say accuracies (seed) beside 1/2, and which ones their interval leaves out.

    Examples
    --------
    >>> print(against_chance(xr.DataArray([0.49, 0.51, 0.5], dims="seed")))
    not told from chance, 0.500 [0.475, 0.525]: accuracies above 0.525 are left out
    >>> print(against_chance(xr.DataArray([1.0, 1.0], dims="seed")))
    above chance, 1.000 with every seed
    """
    found = seed_interval(values)
    mean, (low, high) = float(found["mean"]), found.mean_ci.values
    if high - low < 1e-12:
        where = {1: "above", 0: "at", -1: "below"}[int(np.sign(mean - 0.5))]
        return f"{where} chance, {mean:.3f} with every seed"
    text = f"{printed(mean)} {printed(low, high)}"
    if low <= 0.5 <= high:
        return f"not told from chance, {text}: accuracies above {high:.3f} are left out"
    return f"{'above' if low > 0.5 else 'below'} chance, {text}"


def claims(result: xr.Dataset) -> list[str]:
    """Say of each question whether the answer was yes here, from the numbers alone."""
    found = there(result)
    relation = found.get(("spatial-relation", "cnn"))
    same = found.get(("same-different", "cnn"))
    twin = found.get(("same-different", "siamese"))
    said = []
    if relation is not None:
        said.append(about_relation(relation))
    if same is not None:
        training = result.training.sel(task="same-different", network="cnn")
        said.append(about_same(same, float(training[:, -1].mean())))
    if twin is not None:
        said.append(about_twin(twin))
    more_than = {
        "spatial relation minus same-different, cnn": (relation, same),
        "same-different, siamese minus cnn": (twin, same),
    }
    differences = [
        f"\n  - {name}: {said_of(a.sel(items='new') - b.sel(items='new'))}"
        for name, (a, b) in more_than.items()
        if a is not None and b is not None
    ]
    if differences:
        said.append(f"**What is easier, on new items?** Within a seed:{''.join(differences)}")
    return said


def about_relation(accuracy: xr.DataArray) -> str:
    """Say whether the spatial relation is judged of new items, from (seed, items)."""
    old, new = (accuracy.sel(items=items) for items in ITEMS)
    loss = side(old - new) == "higher"
    answer = "No" if side(new - 0.5) != "higher" else "Yes, at a loss" if loss else "Yes"
    return (
        f"**Does the spatial relation carry over to new items?** {answer}. The network is "
        f"{against_chance(new)}. On items trained with minus on new ones: {said_of(old - new)}."
    )


def about_same(accuracy: xr.DataArray, training: float) -> str:
    """Say whether the CNN guesses on new items, and whether on those trained with."""
    old, new = (accuracy.sel(items=items) for items in ITEMS)
    sides = {"higher": "No, above it", "lower": "No, below it"}
    answer = sides.get(side(new - 0.5), "Yes, within the interval")
    so = (
        "So it has learned something of these items."
        if side(old - 0.5) == "higher"
        else "So it is not that the items are new: of those it was trained with it has not learned "
        "the rule either, and what it would do with new ones if it had is not answered here."
    )
    return (
        f"**Is same-different at chance on new items?** {answer}. The network is "
        f"{against_chance(new)}. On new images of items trained with it is {against_chance(old)}; "
        f"in the last tenth of training it was right in {training:.3f}. {so} On items trained with "
        f"minus on new ones: {said_of(old - new)}."
    )


def about_twin(accuracy: xr.DataArray) -> str:
    """Say whether the twin solves the task, and what was built in."""
    old, new = (accuracy.sel(items=items) for items in ITEMS)
    solved = float(seed_interval(new).mean_ci[0]) >= SOLVED
    answer = "Yes" if solved else "In part" if side(new - 0.5) == "higher" else "No"
    return (
        f"**Does the Siamese twin solve same-different, {SOLVED} right or more?** {answer}. On new "
        f"items it is {against_chance(new)}; on those trained with {against_chance(old)}. That new "
        "items are no harder for it is built in: of two equal windows its difference is 0, "
        "whatever it has learned."
    )


def rows(result: xr.Dataset) -> Rows:
    """Return the heading and a row for each task and network."""
    heading = ["task", "network", "in training", "new images, items trained with", "new items"]
    table = [[*heading, "gap"]]
    for task, network in there(result):
        one = generalisation(result.accuracy.sel(task=task, network=network))
        training = float(result.training.sel(task=task, network=network)[:, -1].mean())
        cells = [
            f"{printed(float(one.accuracy.sel(items=items)))} "
            f"{printed(*one.accuracy_ci.sel(items=items).values)}"
            for items in ITEMS
        ]
        gap = f"{printed(float(one.gap), sign='+')} {printed(*one.gap_ci.values, sign='+')}"
        table.append([task, network, printed(training), *cells, gap])
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
        "many of new ones, all of them new images. Each seed deals the 35 hexominoes anew, 30 and "
        "5: intervals are about other items too. The last weights were tested. One network took "
        f"{result.duration.mean().item():.0f} s on average, of the machine as it was."
    )
    return f"""# Same or different, above or beside: what carries over to new items?

{textwrap.fill(run, 100)}

**Questions.** Intervals: 95%, Student's, over the seeds {", ".join(map(str, config["seeds"]))},
without correction for their number. Chance is 1/2.

{chr(10).join(f"- {sentence}" for sentence in claims(result))}

**Task by task.** "In training": accuracy in the last tenth of training, while weights move, with
dropout: where it is high and that on new images is not, the images were learned by heart. The gap
is accuracy on items trained with minus that on new ones. In the figure of learning, images seen are
those of training, unseen those of validation: other images of items trained with.

{markdown(rows(result))}"""


def figures(result: xr.Dataset) -> dict[str, Figure]:
    """Draw accuracy on items trained with and on new ones, and learning."""
    curves = xr.concat(
        [result.training, result.validation],
        xr.DataArray(["seen", "unseen"], dims="split", name="split"),
    ).rename(epoch="time")
    learning = lines(curves, "passes over the training images", "network", ("task", "split"))
    for axis in learning.axes:
        axis.set_ylim(-0.02, 1.02)  # intervals over few seeds reach beyond
    return {"generalisation": generalisation_dots(result.accuracy), "learning": learning}
