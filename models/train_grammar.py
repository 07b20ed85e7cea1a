"""Training of many small networks on strings at once, and of learners without a network."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from neurodyn.models.chunk_learners import BASELINES
from neurodyn.models.grammar_gradients import outputs
from neurodyn.models.grammar_lessons import (
    bounds,
    check_seeds,
    check_seen,
    label,
    make_lessons,
    presentation,
    whole,
)
from neurodyn.models.grammar_nets import (
    GrammarNets,
    parameter_count,
    width_for,
)
from neurodyn.models.grammar_optimisers import (
    Nesterov,
    RMSprop,
    check_rates,
    flushed,
    optimiser,
    update,
)


def train_nets(
    family: str,
    items: xr.Dataset | Sequence[xr.Dataset],
    *,
    layers: int = 2,
    budget: int = 1400,
    width: int | None = None,
    learning_rate: float | Sequence[float] | None = None,
    seeds: Sequence[int] = (0,),
    n_seen: Sequence[int] | None = None,
    retrain: bool = True,
    epochs: int = 1,
    batch_size: int = 15,
    test: xr.Dataset | None = None,
    max_length: int | None = None,
    method: str = "rk4",
    step_size: float | None = 0.5,
) -> xr.Dataset:
    r"""Train a network from each seed, at each learning rate, on strings with feedback.

    .. math:: \min \frac{1}{N} \sum_i (P_i - y_i)^2

    *Published*: batches of 15, one epoch, the loss; "feedforward" by stochastic gradient descent
    with Nesterov's momentum 0.9 and decay 1e-6, the others by RMSprop with rho 0.9 and epsilon
    1e-8. *Reconstructed*: learning rates, initial weights, the order of the strings. A network's
    numbers depend on its own seed, strings and rate, not on those trained with it (to rounding).

    Parameters
    ----------
    family : {"feedforward", "recurrent", "lstm", "gru", "continuous"}
        The kind of network.
    items : Dataset or sequence of Dataset
        Stimulus sets, of `neurodyn.stimuli.grammar_items.stimulus_set`: the split "train" is
        learnt, the others are answered. One for each seed, or one for all.
    layers : int
        Hidden layers.
    budget, width : int
        Free parameters aimed at, or units in each layer, which then counts.
    learning_rate : float or sequence of float, optional
        One or several, for each seed; by default the geometric mean of `RATES`.
    seeds : sequence of int
        Of untrained weights and of the order of the strings.
    n_seen : sequence of int, optional
        After how many strings the answers are wanted; by default after all of an epoch.
    retrain : bool
        As published, a network for each of `n_seen`, trained anew on as many strings, `epochs`
        times. If False, one network that answers on its way; `n_seen` then counts repetitions.
    epochs, batch_size : int
        Passes through the strings, and strings in a step.
    test : Dataset, optional
        The items to answer, all its splits, instead of each set's own: so that networks of
        different seeds answer the same strings.
    max_length : int, optional
        Letters that "feedforward" has room for: by default the published 12, or the longest string.
    method, step_size
        How "continuous" is integrated, see `neurodyn.models.grammar_nets.GrammarNets`.

    Returns
    -------
    Dataset
        ``output`` = P(grammatical) (family, learning_rate, seed, n_seen, item), and ``diverged``
        (family, learning_rate, seed, n_seen): whether a weight is no longer finite, where the
        output is NaN. ``string``, ``grammatical``, ``split`` and ``length`` are coordinates along
        item, and along seed if the sets differ.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10:22172, arXiv:1902.04861.

    Examples
    --------
    >>> strings = ["AB", "AAB", "ABB", "BA", "BBA", "BAA"]
    >>> items = xr.Dataset(
    ...     {"string": ("item", 2 * strings),
    ...      "grammatical": ("item", 2 * ([True] * 3 + [False] * 3)),
    ...      "split": ("item", ["train"] * 6 + ["test"] * 6)},
    ...     attrs={"alphabet": '["A", "B"]'})
    >>> answers = train_nets("recurrent", items, seeds=range(3), epochs=2)
    >>> dict(answers.output.sizes)
    {'family': 1, 'learning_rate': 1, 'seed': 3, 'n_seen': 1, 'item': 6}
    """
    epochs, batch_size = whole("epochs", epochs), whole("batch_size", batch_size)
    seeds, rates = check_seeds(seeds), check_rates(family, learning_rate)
    lessons = make_lessons(items, seeds, test, max_length)
    total, length, letters = lessons.x.shape[1:]
    seen = check_seen(n_seen, total, total if retrain else epochs * total)
    if width is None:
        width = width_for(family, layers, budget, letters, length)
    size = {"layers": layers, "width": width, "letters": letters, "max_length": length}
    parameters = parameter_count(family, **size)
    shape = (len(rates), len(seeds), len(seen), lessons.asked.shape[1])
    output, diverged = np.zeros(shape, np.float32), np.zeros(shape[:3], bool)
    for rows, columns in stacks(len(seeds), len(rates), parameters, family):
        sets = sorted(set(rows))
        which = torch.tensor([sets.index(row) for row in rows])
        for marks in [[n] for n in seen] if retrain else [seen]:
            first = marks[0] if retrain else total
            order = torch.stack([presentation(seeds[s], total, first, epochs) for s in sets])
            stops = [epochs * marks[0]] if retrain else marks
            nets = GrammarNets(
                family, seeds=[seeds[row] for row in rows], method=method, step_size=step_size,
                **size,
            )  # fmt: skip
            rule = optimiser(nets, torch.tensor([rates[column] for column in columns]))
            cuts = bounds(first, epochs, batch_size, stops)
            answered = train_stack(nets, rule, *lessons.of(sets), which, order, cuts, stops)
            for mark, answer in zip(marks, answered, strict=True):
                output[columns, rows, seen.index(mark)] = answer
                diverged[columns, rows, seen.index(mark)] = ~nets.finite()
    output[diverged] = np.nan
    settings: dict[str, Any] = {
        "layers": layers, "width": width, "parameters": parameters, "epochs": epochs,
        "batch_size": batch_size, "retrain": int(retrain), "max_length": length,
    }  # fmt: skip
    if family == "continuous":
        settings |= {"method": method, "step_size": step_size}
    about = {"long_name": "learning rate", "units": "1"}
    coords = {
        "family": [family], "learning_rate": ("learning_rate", rates, about), "seed": seeds,
        "n_seen": seen,
    }  # fmt: skip
    result = label(output[None], lessons, coords, settings)
    about = {"long_name": "weights no longer finite", "units": "1"}
    result["diverged"] = tuple(coords), diverged[None], about
    return result


def stacks(
    seeds: int, rates: int, parameters: int, family: str
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield which networks are trained together, as indices of their seeds and of their rates.

    At most 100, and no more than the processor's caches hold; all rates of a seed together where
    they fit, because they see the same strings.
    """
    if family == "feedforward":
        most = max(10, min(100, 1_200_000 // parameters))
    else:
        most = max(20, min(60, 2_400_000 // parameters))
    most = most // rates * rates if rates < most else most
    every = [(s, r) for s in range(seeds) for r in range(rates)]
    for start in range(0, len(every), most):
        some = every[start : start + most]
        yield [s for s, _ in some], [r for _, r in some]


def train_stack(
    nets: GrammarNets, rule: Nesterov | RMSprop, x: Float[Tensor, "set item time letter"],
    y: Float[Tensor, "set item"], asked: Float[Tensor, "set asked time letter"],
    which: Int[Tensor, " net"], order: Int[Tensor, "set trial"], cuts: Sequence[int],
    stops: Sequence[int],
) -> Iterator[Float[Tensor, "net asked"]]:  # fmt: skip
    """Train networks batch by batch; yield their answers after each of `stops` strings.

    `cuts` are the ends of the batches in `order`, `which` says whose strings each network sees.
    """
    rows = torch.arange(len(x))[:, None]
    for start, stop in pairwise(cuts):
        shown = order[:, start:stop]
        with flushed():
            update(nets, rule, x[rows, shown], y[rows, shown], which)
        if stop in stops:
            yield outputs(nets, asked, which)


def train_baseline(
    family: str,
    items: xr.Dataset | Sequence[xr.Dataset],
    *,
    seeds: Sequence[int] = (0,),
    n_seen: Sequence[int] | None = None,
    test: xr.Dataset | None = None,
) -> xr.Dataset:
    """Let a learner without a network see strings with feedback, in the order of `train_nets`.

    Parameters
    ----------
    family : {"chunk", "exemplar"}
        `neurodyn.models.chunk_learners.ChunkLearner` or `ExemplarLearner`.
    items, seeds, n_seen, test
        As for `train_nets`; a seed is that of the order of the strings.

    Returns
    -------
    Dataset
        ``output`` = P(grammatical) (family, seed, n_seen, item), labelled as that of `train_nets`.

    Examples
    --------
    >>> items = xr.Dataset(
    ...     {"string": ("item", ["AB", "BA", "AB", "BA"]), "grammatical": ("item", [1, 0, 1, 0]),
    ...      "split": ("item", ["train", "train", "test", "test"])})
    >>> train_baseline("exemplar", items).output.values.round(3).ravel()
    array([0.881, 0.119], dtype=float32)
    """
    if family not in BASELINES:
        raise ValueError(f"family {family!r} is not one of {', '.join(BASELINES)}")
    seeds = check_seeds(seeds)
    lessons = make_lessons(items, seeds, test, None)
    total = lessons.x.shape[1]
    seen = check_seen(n_seen, total, total)
    output = np.zeros((1, len(seeds), len(seen), lessons.asked.shape[1]), np.float32)
    for s, seed in enumerate(seeds):
        learner = BASELINES[family](lessons.alphabet)
        learnt, asked = (
            parts[min(s, len(parts) - 1)] for parts in (lessons.learnt, lessons.answered)
        )
        strings, right = learnt.string.values, learnt.grammatical.values
        for n, i in enumerate(presentation(seed, total, total, 1).tolist(), 1):
            learner.update(str(strings[i]), bool(right[i]))
            if n in seen:
                found = [learner.predict(str(string)) for string in asked.string.values]
                output[0, s, seen.index(n)] = found
    coords = {"family": [family], "seed": seeds, "n_seen": seen}
    return label(output, lessons, coords, {"family": family})
