"""Answers under attack: every strength, time and random start, as one Dataset."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

import neurodyn as nd
from neurodyn.adapter import SolverStats
from neurodyn.attack_checks import check
from neurodyn.attacks import Images, Labels, Model, Norm, bim, random_start
from neurodyn.batches import check_batch_size, check_labels
from neurodyn.classifier import Classifier

REFERENCES = (
    "Madry et al. (2018), arXiv 1706.06083; Athalye, Carlini & Wagner (2018), arXiv 1802.00420; "
    "Choksi et al. (2021), arXiv 2106.02749"
)
KINDS = ("white-box", "transfer")


def answers_under_attack(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    epsilons: Sequence[float],
    *,
    norm: Norm = "linf",
    steps: int = 20,
    relative_step: float | None = None,
    seeds: Sequence[int] | None = (0,),
    targets: Labels | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 100,
) -> xr.Dataset:
    r"""Return what a dynamics answers to images attacked at each of its times.

    .. math:: x'_T = \mathrm{attack}(o_T, x, \epsilon), \qquad
              c_{\mathrm{white}}(T) = [\arg\max o_T(x'_T) = l], \quad
              c_{\mathrm{transfer}}(T) = [\arg\max o_T(x'_{T_1}) = l]

    with the logits :math:`o_T` at time T and the first time :math:`T_1`. Under "white-box" the
    images are made for the time at which they are shown, through the whole solve. Under "transfer"
    they are those made for the first time: for the feed-forward network, if that is 0. Where
    transfer fools a later time more often than its own attack does, the latter's gradient is
    masked, and the robustness to it is no robustness.

    Parameters
    ----------
    classifier : Classifier
        Of `neurodyn.as_classifier`, at two times or more.
    images, labels : Tensor
        (sample, ...) within `bounds`, and (sample,) what they show; on the dynamics' device.
    epsilons : sequence of float
        Strengths, as in `neurodyn.attacks.bim`.
    norm, steps, relative_step, bounds
        As in `neurodyn.attacks.bim`; one step of relative size 1 without random start is FGSM.
    seeds : sequence of int, optional
        Of random starts (PGD), one attack each. None: start at the images (BIM), as seed 0.
    targets : Tensor, optional
        (sample,): lead each image to this category; by default away from its own.
    batch_size : int
        Images attacked at a time.

    Returns
    -------
    Dataset
        ``correct`` and ``fooled`` (attack, epsilon, seed, sample, time): answered right; answered
        as the attack wants it (wrong, or with the target). ``correct_clean`` (sample, time):
        answered right without attack. ``nfe`` (epsilon, seed): evaluations of the right-hand side
        in forward passes, to make the images and to answer them, over batches and times.
        `neurodyn.analysis.attack_success` takes it.

    Raises
    ------
    ValueError, TypeError
        As `neurodyn.attacks.bim`; for no strength and no seed, targets that the images show, and a
        classifier at one time.

    Notes
    -----
    The cost is that of ``steps`` gradients for each image, strength, seed and time. The images of a
    batch share adaptive steps; with fixed steps no answer depends on `batch_size`, unless the
    dynamics' own initial state is random.

    References
    ----------
    Madry et al. (2018), arXiv 1706.06083. Athalye, Carlini & Wagner (2018), arXiv 1802.00420.
    Choksi et al. (2021), arXiv 2106.02749.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.classifier import as_classifier
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits("test", n=4)
    >>> classifier = as_classifier(pc_shallow(pretrained=True), [0.0, 2.0], method="euler")
    >>> answers = answers_under_attack(classifier, images, labels, [0.1, 0.3], steps=2)
    >>> dict(answers.correct.sizes)
    {'attack': 2, 'epsilon': 2, 'seed': 1, 'sample': 4, 'time': 2}
    """
    if classifier.alone:
        raise ValueError(
            f"answers_under_attack needs a classifier at two times or more, got "
            f"{classifier.times[0]:g} alone; use as_classifier(dynamics, [0.0, "
            f"{classifier.times[0] or 10:g}])"
        )
    check_batch_size(batch_size)
    for name, given in (("epsilons", epsilons), ("seeds", seeds)):
        if given is not None and len(given) == 0:
            raise ValueError(f"{name} is empty; give one or more")
    for epsilon in epsilons:
        check(images, labels, epsilon, norm, steps, relative_step, None, bounds)
    if targets is not None:
        check_labels("targets", targets, images)
        if same := int((targets == labels).sum()):
            raise ValueError(
                f"targets must be other than the one that the image shows; {same} of "
                f"{len(images)} are the same"
            )
    with torch.no_grad():
        logits = torch.cat([classifier(batch) for batch in images.split(batch_size)], 1)
    wanted = labels if targets is None else targets
    check_labels("labels", labels, images, logits.shape[-1])
    check_labels("targets", wanted, images, logits.shape[-1])
    clean = logits.argmax(-1).cpu().numpy()
    how: dict[str, Any] = {
        "norm": norm, "steps": steps, "relative_step": relative_step,
        "targeted": targets is not None, "bounds": bounds,
    }  # fmt: skip
    numbers = [0] if seeds is None else list(seeds)
    times = classifier.times
    shape = (len(KINDS), len(epsilons), len(numbers), len(times), len(images))
    answers, nfe = np.zeros(shape, dtype=np.int64), np.zeros(shape[1:3], dtype=np.int64)
    for e, epsilon in enumerate(epsilons):
        for s, seed in enumerate(numbers):
            start, spent = images, SolverStats()
            if seeds is not None:
                generator = torch.Generator().manual_seed(seed)
                start = random_start(images, epsilon, generator, norm=norm, bounds=bounds)
            for first in range(0, len(images), batch_size):
                rows = slice(first, first + batch_size)
                shown, lead, begin = (x[rows] for x in (images, wanted, start))
                for k, t in enumerate(times):
                    one = counted(classifier.at(t), spent)
                    changed = bim(one, shown, lead, epsilon, start=begin, **how)
                    answers[0, e, s, k, rows] = categories(one, changed)
                    if k == 0:
                        answers[1, e, s, :, rows] = categories(counted(classifier, spent), changed)
            nfe[e, s] = spent.evaluations
    result = labelled(answers, clean, labels, targets)
    result = result.assign_coords(epsilon=list(epsilons), seed=numbers, time=times)
    result = result.assign(nfe=(("epsilon", "seed"), nfe))
    return described(result, classifier, how | {"seeds": seeds and numbers}, batch_size)


def counted(classifier: Classifier, spent: SolverStats) -> Model:
    """Return images to logits, with the cost of each solve added to what was spent."""

    def logits(images: Tensor) -> Tensor:
        found, cost = classifier.solve(images)
        spent.add(cost)
        return found

    return logits


def categories(model: Model, images: Tensor) -> np.ndarray:
    """Return the category answered, (sample,) or (time, sample)."""
    with torch.no_grad():
        return model(images).argmax(-1).cpu().numpy()


def labelled(
    answers: np.ndarray, clean: np.ndarray, labels: Labels, targets: Labels | None
) -> xr.Dataset:
    """Name the axes, and say which answers are right and which the attack's."""
    shown = labels.cpu().numpy()
    lead = None if targets is None else targets.cpu().numpy()
    fooled = answers != shown if lead is None else answers == lead
    dims = ("attack", "epsilon", "seed", "time", "sample")
    result = xr.Dataset(
        {
            "correct": (dims, answers == shown),
            "fooled": (dims, fooled),
            "correct_clean": (("time", "sample"), clean == shown),
        },
        {"attack": list(KINDS), "sample": np.arange(len(shown)), "label": ("sample", shown)},
    )
    if lead is not None:
        result = result.assign_coords(target_label=("sample", lead))
    return result.transpose(..., "sample", "time")


def described(
    result: xr.Dataset, classifier: Classifier, how: dict[str, Any], batch_size: int
) -> xr.Dataset:
    """Say what every variable is and where it comes from."""
    sizes = {"linf": "largest change of a pixel", "l2": "root of the sum of squared changes"}
    names = {
        "correct": "correctly classified under attack",
        "fooled": "classified as the attack wants it",
        "correct_clean": "correctly classified without attack",
        "nfe": "evaluations of the right-hand side",
        "attack": "time the images were made for: the one shown, or the first",
        "epsilon": f"strength of the attack ({sizes[how['norm']]}, grey values)",
        "seed": "seed of the random start",
        "sample": "image",
        "label": "category shown",
        "target_label": "category the attack leads to",
        "time": "time (published steps)",
    }
    for name, variable in result.variables.items():
        variable.attrs |= {"long_name": names[str(name)], "units": "1"}
    for name in result.data_vars:
        result[name].attrs["references"] = REFERENCES
    solver, dynamics = classifier.solver, classifier.dynamics
    config = {
        "attack": how, "batch_size": batch_size, "solver": solver, "dynamics": dynamics.config(),
        "start_seed": classifier.seed,
    }  # fmt: skip
    result.attrs = {
        "title": "Answers to images under attack",
        "neurodyn_version": nd.__version__,
        "torch_version": str(torch.__version__),
        "config": json.dumps(config, sort_keys=True, default=str),
        "solver": solver["method"],
        "rtol": solver["rtol"],
        "atol": solver["atol"],
        "references": REFERENCES,
    }
    return result
