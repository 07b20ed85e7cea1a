"""Learners yoked to people: each sees exactly the trials that one person saw."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor

import neurodyn as nd
from neurodyn.models.chunk_learners import BASELINES
from neurodyn.models.grammar_lessons import alphabet_of, check_seeds
from neurodyn.models.grammar_nets import (
    FAMILIES,
    GrammarNets,
    encode,
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
from neurodyn.models.train_grammar import stacks
from neurodyn.stimuli.abstract_grammar import split_tokens


def yoked(
    trials: xr.Dataset,
    family: str | Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    layers: int = 2,
    budget: int = 1400,
    width: int | None = None,
    learning_rate: float | None = None,
    alphabet: Sequence[str] | None = None,
    max_length: int | None = None,
    method: str = "rk4",
    step_size: float | None = 0.5,
) -> xr.Dataset:
    """Let a learner see exactly what each subject saw, one update per trial with feedback.

    The prediction of a trial is made before its update. Trials without feedback are answered and
    not learnt from; trials without an item are neither.

    *Reconstruction*: the published networks were not trained on people's sequences.

    Parameters
    ----------
    trials : Dataset
        Of people, over ``trial``: ``subject``, ``session``, ``position``, ``item``, ``grammatical``
        and ``feedback``, of one grammar. A subject's sessions follow each other in the table's
        order; within one, trials go by position, or, where it is unknown, by the table's order.
    family : str or sequence of str
        Of feedforward, recurrent, lstm, gru, continuous, chunk, exemplar.
    seeds : sequence of int
        Of untrained weights; the same for all subjects. "chunk" and "exemplar" have none, and
        the same numbers for each.
    layers, budget, width, learning_rate, max_length, method, step_size
        As for `train_nets`, one learning rate; the optimisers are the same.
    alphabet : sequence of str, optional
        The letters; by default those of the trials' attributes, or all that occur.

    Returns
    -------
    Dataset
        The trials as given, with ``output`` = P(grammatical) (family, seed, trial); NaN where the
        item is missing or the network has diverged.

    Examples
    --------
    >>> trials = xr.Dataset(
    ...     {"subject": ("trial", ["s1"] * 3), "item": ("trial", ["AB", "AB", "BA"]),
    ...      "grammatical": ("trial", [1.0, 1.0, 0.0]), "feedback": ("trial", [1.0, 0.0, 1.0])})
    >>> yoked(trials, "chunk").output.round(2).values
    array([[[0.5 , 0.96, 0.41]]])
    """
    families = [family] if isinstance(family, str) else list(family)
    for name in families:
        if name not in (*FAMILIES, *BASELINES):
            allowed = ", ".join((*FAMILIES, *BASELINES))
            raise ValueError(f"family {name!r} is not one of {allowed}")
    if not families or len(set(families)) < len(families):
        raise ValueError(f"families must be one or more, all different, got {families}")
    seeds = check_seeds(seeds)
    sequences = in_order(trials)
    strings = [str(string) for string in trials.item.values]
    letters = tuple(alphabet) if alphabet is not None else alphabet_of(trials, "item")
    if not letters:
        raise ValueError("no trial has an item: there is nothing to learn or to answer")
    longest = max(len(split_tokens(string, letters)) for string in strings)
    length = max(12, longest) if max_length is None else max_length
    known = [string or letters[0] for string in strings]  # a missing one is never shown
    x = encode(known, letters, length)
    y = torch.from_numpy(np.nan_to_num(trials.grammatical.values)).float()
    taught = trials.feedback.values == 1
    output = np.full((len(families), len(seeds), len(strings)), np.nan)
    settings: dict[str, Any] = {}
    for name in (name for name in families if name in FAMILIES):
        rates = check_rates(name, learning_rate)
        if len(rates) > 1:
            raise ValueError(f"learning_rate must be one for all subjects, got {learning_rate!r}")
        wide = width_for(name, layers, budget, len(letters), length) if width is None else width
        parameter_count(name, layers, wide, len(letters), length)  # refuses layers or width
        settings[name] = {"layers": layers, "width": wide, "learning_rate": rates[0]}
    for f, name in enumerate(families):
        if name in BASELINES:
            for sequence in sequences:
                learner = BASELINES[name](letters)
                for i in sequence:
                    output[f, :, i] = learner.predict(strings[i])
                    if taught[i]:
                        learner.update(strings[i], bool(y[i]))
            continue
        wide, rate = settings[name]["width"], settings[name]["learning_rate"]
        size = {"layers": layers, "width": wide, "letters": len(letters), "max_length": length}
        parameters = parameter_count(name, **size)
        for rows, columns in stacks(len(sequences), len(seeds), parameters, name):
            own = [seeds[column] for column in columns]
            nets = GrammarNets(name, seeds=own, method=method, step_size=step_size, **size)
            rule = optimiser(nets, torch.full((nets.nets,), rate))
            those = [sequences[row] for row in sorted(set(rows))]
            which = torch.tensor([row - rows[0] for row in rows])
            yoke(nets, rule, x, y, taught, those, which, output[f], columns)
    result = trials.assign_coords(family=families, seed=seeds)
    about = {"long_name": "P(grammatical) before feedback", "units": "1"}
    result["output"] = ("family", "seed", "trial"), output, about
    result.seed.attrs = {"long_name": "training seed: untrained weights; no subject", "units": "1"}
    result.attrs |= {
        "provenance": "reconstruction",
        "yoked": json.dumps(settings, sort_keys=True),
        "neurodyn_version": nd.__version__,
    }
    return result


def yoke(
    nets: GrammarNets, rule: Nesterov | RMSprop, x: Tensor, y: Tensor, taught: np.ndarray,
    sequences: Sequence[Sequence[int]], which: Int[Tensor, " net"], output: np.ndarray,
    columns: Sequence[int],
) -> None:  # fmt: skip
    """Show each network its subject's trials, one at a time, and write its predictions."""
    place = np.asarray(columns)
    with flushed():
        for k in range(max(map(len, sequences))):
            left = [k < len(sequence) for sequence in sequences]
            now = [s[min(k, len(s) - 1)] for s in sequences]
            active = torch.tensor([ok and bool(taught[i]) for ok, i in zip(left, now, strict=True)])
            found = update(nets, rule, x[now][:, None], y[now][:, None], which, active[which])
            shown = np.array(left)[which]
            answer = found[:, 0].masked_fill(~nets.finite(), torch.nan).numpy()
            output[place[shown], np.array(now)[which][shown]] = answer[shown]


def in_order(trials: xr.Dataset) -> list[list[int]]:
    """Return the trials of each subject that have an item, in the order seen, as indices."""
    needed = ("subject", "item", "grammatical", "feedback")
    missing = [name for name in needed if name not in trials]
    if missing:
        raise ValueError(f"trials need the variables {', '.join(missing)}")
    if "grammar" in trials and len(found := set(trials.grammar.values.tolist()) - {""}) > 1:
        raise ValueError(
            f"the trials are of several grammars, {', '.join(sorted(found))}; yoke one at a time, "
            "e.g. trials.isel(trial=trials.grammar == 'A')"
        )
    items = trials.item.values.astype(str)
    has = np.char.str_len(items) > 0
    feedback, grammatical = trials.feedback.values, trials.grammatical.values
    if np.isnan(feedback[has]).any():
        raise ValueError(
            f"feedback is unknown (NaN) in {int(np.isnan(feedback[has]).sum())} trials; leave out "
            "what is no trial (phase questionnaire), and elsewhere fill in 1 where the subject was "
            "told the answer, 0 where not"
        )
    if np.isnan(grammatical[has & (feedback == 1)]).any():
        raise ValueError("grammatical is unknown (NaN) in trials with feedback: what was it?")
    session = trials.session.values.astype(str) if "session" in trials else np.full(len(items), "")
    position = trials.position.values if "position" in trials else np.full(len(items), np.nan)
    owners = list(zip(trials.subject.values.astype(str), session, strict=True))
    turn = {owner: i for i, owner in reversed(list(enumerate(owners)))}  # each subject's own
    sequences: dict[str, list[int]] = {}
    for i in sorted(np.flatnonzero(has).tolist(), key=lambda i: turn[owners[i]]):
        sequences.setdefault(owners[i][0], []).append(i)
    for name, rows in sequences.items():
        if not np.isnan(position[rows]).any():
            sequences[name] = sorted(rows, key=lambda i: (turn[owners[i]], position[i]))
    return list(sequences.values())
