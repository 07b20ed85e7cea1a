"""Simulated participants with a known truth: what every measure can be checked against."""

import json
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import xarray as xr
from scipy.special import ndtr

import neurodyn as nd

PAPER = "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861"
MADE_UP = (
    "simulated: every response, response time and confidence is made up from the equations of "
    "neurodyn.models.participants; no number is measured"
)
RT_MEDIAN, RT_SLOPE, RT_SPREAD = 2.2, 0.4, 0.25  # seconds, ln s, ln s
VARIABLES = {
    "subject": ("simulated participant", "1"),
    "session": ("session", "1"),
    "phase": ("phase of the experiment", "1"),
    "block": ("block of trials, from 1", "1"),
    "position": ("number of the trial in the order seen, from 1", "1"),
    "item": ("string shown", "1"),
    "grammar": ("grammar", "1"),
    "grammatical": ("whether the string is grammatical", "1"),
    "response": ("response: 1 grammatical, 0 not", "1"),
    "correct": ("whether the response is right", "1"),
    "rt": ("response time, made up", "s"),
    "confidence": ("confidence in the response, made up", "percent"),
    "feedback": ("whether feedback was given", "1"),
    "agent": ("who responded", "1"),
    "truth": ("true probability of the response 'grammatical', given the trials before", "1"),
    "true_d_prime": ("true sensitivity of the subject at the trial", "1"),
    "true_item_effect": ("true leaning of all subjects towards 'grammatical' for the string", "1"),
}


def simulated_participants(
    items: xr.Dataset | Sequence[str],
    grammatical: Sequence[bool] | None = None,
    *,
    subjects: int = 12,
    blocks: int = 8,
    trials: int = 60,
    explicit: int = 0,
    memory: int = 0,
    split: str = "train",
    d_prime: float = 2.0,
    d_prime_spread: float = 0.3,
    learning_trials: float = 150.0,
    scheme_gain: float = 1.0,
    criterion: float = 0.0,
    criterion_spread: float = 0.2,
    item_spread: float = 0.4,
    stay: float = 0.0,
    win_stay: float = 0.0,
    lapse: float = 0.02,
    seed: int = 0,
) -> xr.Dataset:
    r"""Return trials of simulated people who learn to tell grammatical strings from others.

    .. math:: \mu_t = d_s(t)\, (g_t - \tfrac12) - c_s + a_i + w\, y_{t-1} + v\, y_{t-1} f_{t-1},
              \qquad d_s(t) = D_s \left( 1 - e^{-(t - 1) / \tau} \right)

    .. math:: P(\text{"grammatical"}) = \tfrac12 \lambda + (1 - \lambda)\, \Phi(\mu_t)

    g is 1 for a grammatical string and 0 for another, a the leaning that all subjects share for a
    string i, y the response before (1 or -1, 0 at first), f whether feedback called it right (1 or
    -1). On a share :math:`\lambda` of trials the string is not looked at. :math:`D_s` is
    log-normal with the mean `d_prime`, :math:`c_s` and :math:`a_i` are normal.

    The response is "grammatical" where :math:`x = \mu + \epsilon > 0`, :math:`\epsilon` standard
    normal. Confidence is :math:`100\, [2 \Phi(|x|) - 1]`, so that without lapses, spreads and
    history :math:`\mathrm{AUC} = \Phi(d / \sqrt 2)`. Response times are log-normal around 2.2 s,
    up to 3.3 s where x is near 0, whatever the block (the paper: 2 to 3 s, unchanged by learning).
    Their form, like every parameter, is made up; no human accuracy of the paper is known.

    The procedure is the paper's: blocks of half grammatical, half ungrammatical strings in random
    order, feedback after each, then an explicit block with the scheme of the grammar in sight and a
    memory block without it. Each subject has an own order, without replacement until the
    strings run out. (That the order is random and each block balanced, and that the last two have
    feedback, is not said in the paper.)

    Parameters
    ----------
    items : Dataset or sequence of str
        A stimulus set (``string``, ``grammatical`` and perhaps ``split`` over item), or strings.
    grammatical : sequence of bool, optional
        For strings: which are grammatical.
    subjects, blocks, trials : int
        How many; trials in a block, an even number.
    explicit, memory : int
        Trials of the blocks after those, even; 20 each in the paper, 0 leaves them out.
    split : str
        The part of a stimulus set that is shown.
    d_prime, d_prime_spread : float
        Mean over subjects of the sensitivity in the end, and standard deviation of its logarithm.
    learning_trials : float
        :math:`\tau`, trials until 63% of it.
    scheme_gain : float
        Added to d' while the scheme is in sight.
    criterion, criterion_spread, item_spread : float
        Mean and standard deviation of c over subjects; standard deviation of a over strings.
    stay, win_stay : float
        w, leaning to the last response; v, to what was called right.
    lapse : float
        :math:`\lambda`, from 0 to 1.
    seed : int
        Of all draws. More subjects leave the first ones as they are.

    Returns
    -------
    Dataset
        The table of trials, over ``trial``, agent "simulated", and the truth: ``truth``, the
        probability that each response was drawn with, ``true_d_prime``, ``true_item_effect``. The
        parameters, also each subject's, are in the attribute "ground_truth" (JSON).

    Raises
    ------
    ValueError, TypeError
        For numbers out of range, and items of one kind only.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, arXiv 1902.04861 (the
    procedure). Green & Swets (1966), Signal Detection Theory and Psychophysics.

    Examples
    --------
    >>> strings, kind = ["XX", "XVJ", "VT", "XJ", "VV", "TX"], [True, True, True] + [False] * 3
    >>> people = simulated_participants(strings, kind, subjects=2, blocks=2, trials=6)
    >>> people.sizes["trial"], people.grammatical.mean().item()
    (24, 0.5)
    >>> people.attrs["agent"]
    'simulated'
    """
    strings, kind = checked_items(items, grammatical, split)
    sizes = {"subjects": subjects, "blocks": blocks, "trials": trials}
    sizes |= {"explicit": explicit, "memory": memory}
    parameters = {
        "d_prime": d_prime, "d_prime_spread": d_prime_spread, "learning_trials": learning_trials,
        "scheme_gain": scheme_gain, "criterion": criterion, "criterion_spread": criterion_spread,
        "item_spread": item_spread, "stay": stay, "win_stay": win_stay, "lapse": lapse,
    }  # fmt: skip
    check(sizes, parameters, seed)
    names, which = np.unique(strings, return_inverse=True)
    effects = np.random.default_rng([seed, 0]).normal(0, item_spread, len(names))
    phase, block = schedule(blocks, trials, explicit, memory)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in VARIABLES}
    people: dict[str, dict[str, float]] = {}
    for number in range(1, subjects + 1):
        rng = np.random.default_rng([seed, number])
        final = d_prime * np.exp(d_prime_spread * rng.normal() - d_prime_spread**2 / 2)
        leans = rng.normal(criterion, criterion_spread)
        name = f"sim{number:03d}"
        people[name] = {"d_prime": final, "criterion": leans}
        shown = order(kind, block, rng)
        learnt = 1 - np.exp(-np.arange(len(block)) / learning_trials)
        sensitivity = final * learnt + scheme_gain * (phase == "explicit")
        leaning = effects[which[shown]]
        drift = sensitivity * (kind[shown] - 0.5) - leans + leaning
        made = responses(drift, kind[shown], stay, win_stay, lapse, rng)
        made |= {
            "subject": np.full(len(block), name),
            "phase": phase,
            "block": block,
            "position": np.arange(1.0, len(block) + 1),
            "item": strings[shown],
            "grammatical": kind[shown],
            "true_d_prime": sensitivity,
            "true_item_effect": leaning,
        }
        for key, values in made.items():
            columns[key].append(values)
    grammar = str(items.attrs.get("grammar", "")) if isinstance(items, xr.Dataset) else ""
    truth = parameters | {"subjects": people, "seed": seed}
    return table(columns, grammar, truth, sizes | parameters | {"split": split, "seed": seed})


def responses(
    drift: np.ndarray,
    kind: np.ndarray,
    stay: float,
    win_stay: float,
    lapse: float,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Draw one subject's responses, each from the ones before; with times and confidence."""
    n = len(drift)
    noise, late = rng.normal(size=(2, n))
    asleep = rng.random(n) < lapse
    mean, response = np.empty(n), np.empty(n)
    last = outcome = 0.0
    for t in range(n):
        mean[t] = drift[t] + stay * last + win_stay * last * outcome
        response[t] = (0.0 if asleep[t] else mean[t]) + noise[t] > 0
        last = 2 * response[t] - 1
        outcome = 1.0 if response[t] == kind[t] else -1.0
    evidence = np.abs(np.where(asleep, 0, mean) + noise)
    sure = 2 * ndtr(evidence) - 1
    return {
        "response": response,
        "correct": (response == kind).astype(float),
        "rt": RT_MEDIAN * np.exp(RT_SLOPE * (1 - sure) + RT_SPREAD * late),
        "confidence": 100 * sure,
        "feedback": np.ones(n),
        "truth": lapse / 2 + (1 - lapse) * ndtr(mean),
    }


def schedule(blocks: int, trials: int, explicit: int, memory: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the phase and the block of each trial."""
    sizes = [trials] * blocks + [explicit] * (explicit > 0) + [memory] * (memory > 0)
    names = ["implicit"] * blocks + ["explicit"] * (explicit > 0) + ["memory"] * (memory > 0)
    return np.repeat(names, sizes), np.repeat(np.arange(1.0, len(sizes) + 1), sizes)


def order(kind: np.ndarray, block: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the item of each trial: kinds at random, half of each in a block; strings in turn."""
    drawn = np.empty(len(block))
    for number in np.unique(block):
        (here,) = np.nonzero(block == number)
        drawn[here] = rng.permutation(np.repeat([1.0, 0.0], len(here) // 2))
    half = len(block) // 2
    shown = np.empty(len(block), int)
    for value in (1.0, 0.0):
        (pool,) = np.nonzero(kind == value)
        rounds = [rng.permutation(pool) for _ in range(-(-half // len(pool)))]
        shown[drawn == value] = np.concatenate(rounds)[:half]
    return shown


def table(
    columns: dict[str, list[np.ndarray]],
    grammar: str,
    truth: dict[str, object],
    config: dict[str, object],
) -> xr.Dataset:
    """Return the columns as a table of trials."""
    rows = sum(map(len, columns["subject"]))
    same = {"session": "", "grammar": grammar, "agent": "simulated"}
    found = xr.Dataset(coords={"trial": np.arange(rows)})
    for name, (long_name, units) in VARIABLES.items():
        values = np.full(rows, same[name]) if name in same else np.concatenate(columns[name])
        found[name] = "trial", values, {"long_name": long_name, "units": units}
    found.trial.attrs = {"long_name": "row of the table", "units": "1"}
    return found.assign_attrs(
        agent="simulated",
        source="[]",
        corrected="{}",
        provenance="reconstruction",
        made_up=MADE_UP,
        ground_truth=json.dumps(truth),
        config=json.dumps(config),
        references=PAPER,
        neurodyn_version=nd.__version__,
    )


def checked_items(
    items: xr.Dataset | Sequence[str], grammatical: Sequence[bool] | None, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return strings and whether they are grammatical (1.0, 0.0)."""
    if isinstance(items, xr.Dataset):
        if grammatical is not None:
            raise TypeError("a stimulus set knows which items are grammatical: leave that out")
        if not {"string", "grammatical"} <= set(items.variables):
            raise ValueError(
                f"items need 'string' and 'grammatical' over item, they have {list(items)}"
            )
        strings, kind = items.string.values, items.grammatical.values
        if "split" in items:
            used = items.split.values == split
            if not used.any():
                there = sorted(set(items.split.values.tolist()))
                raise ValueError(f"split {split!r} is not among those of the items: {there}")
            strings, kind = strings[used], kind[used]
    else:
        if grammatical is None or isinstance(items, str):
            raise TypeError("give a stimulus set, or a sequence of strings and `grammatical`")
        strings, kind = np.array(list(items)), np.asarray(grammatical)
        if strings.shape != kind.shape:
            raise ValueError(f"{len(strings)} strings, but {kind.shape} values of grammatical")
    if not np.isin(kind, (0, 1)).all() or len(np.unique(kind)) < 2:
        raise ValueError("items need grammatical strings and others, True and False (or 1 and 0)")
    return strings.astype(str), kind.astype(float)


def check(sizes: dict[str, int], parameters: dict[str, float], seed: int) -> None:
    """Refuse numbers out of range."""
    for name, value in (sizes | {"seed": seed}).items():
        least = 1 if name in ("subjects", "blocks") else 0
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be a whole number from {least} up, got {value!r}")
    for name in ("trials", "explicit", "memory"):
        if sizes[name] % 2 or not sizes["trials"]:
            raise ValueError(f"{name} must be even, half of each kind, got {sizes[name]}")
    for name, number in parameters.items():
        if isinstance(number, bool) or not isinstance(number, Real) or not np.isfinite(number):
            raise ValueError(f"{name} must be a finite number, got {number!r}")
        if (name.endswith("spread") or name in ("d_prime", "lapse")) and number < 0:
            raise ValueError(f"{name} must be 0 or more, got {number!r}")
    if not parameters["lapse"] <= 1 or not parameters["learning_trials"] > 0:
        raise ValueError(
            "lapse must be at most 1 and learning_trials above 0, got "
            f"{parameters['lapse']!r} and {parameters['learning_trials']!r}"
        )
