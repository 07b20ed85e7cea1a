"""The subjects of the studies of feedback: networks with the images that they were trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import xarray as xr
from torch import Tensor

import neurodyn as nd
from neurodyn.models import feedback_nets
from neurodyn.studies._agreement import with_weights

DEFAULT = ("pshallow-digits", "presnet18-digits", "pshallow-fashion", "presnet18-fashion")
"""Subjects where nothing else is asked for."""
SUPERVISED = "-supervised"
"""What `train_feedback` adds to the names of its files."""


@dataclass(frozen=True)
class Subject:
    """A network, and the images that it was trained on."""

    network: str
    data: str
    supervised: bool = False
    """Trained once more to classify over time (`neurodyn train feedback --supervised`)."""

    @property
    def label(self) -> str:
        """What the subject is called, e.g. "pshallow-digits", "pshallow-supervised-digits"."""
        return f"{self.network}{SUPERVISED * self.supervised}-{self.data}"

    def stem(self, seed: int) -> str:
        """Return the name of the file of weights of one training seed, without its ending."""
        return feedback_nets.stem(self.network, self.data, seed) + SUPERVISED * self.supervised

    def images(self, n: int) -> tuple[Tensor, Tensor]:
        """Return the first n images of the test split, 32 x 32 grey values, and what they show."""
        images, shown = feedback_nets.pictures(self.data, "test", n)  # type: ignore[arg-type]
        if len(images) < n:
            raise ValueError(f"{self.data} has {len(images)} test images, not {n}: ask for fewer")
        return images, shown

    def model(self, seed: int, weights: Path | None, **options: Any) -> nd.PredictiveCoding:
        """Return the trained network of one training seed, its weights frozen."""
        network, data = self.network, self.data
        model = feedback_nets.feedback_net(network, data, seed=seed, **options)  # type: ignore[arg-type]
        with_weights(model, self.stem(seed), weights)
        return model.requires_grad_(False)

    def rates(self, weights: Path | None, seeds: Sequence[int]) -> xr.DataArray:
        """Return the rates that suit each noise best: (noise, seed, term, layer).

        Along noise there are noise_type and noise_level; "clean" is level 0, of any type.
        """
        if weights is None and self.supervised:
            raise ValueError(f"no rates of {self.label} ship: train it, and give its folder")
        if weights is None:
            found = feedback_nets.shipped_rates()
        else:
            loaded = nd.load(Path(weights) / f"rates{SUPERVISED * self.supervised}.nc")
            assert isinstance(loaded, xr.Dataset)
            found = loaded
        try:
            at = {"network": self.network, "data": self.data, "seed": list(seeds)}
            rate = found.rate.sel(at, drop=True)
        except KeyError as error:
            raise ValueError(
                f"there are no optimised rates of {self.label} from the training seeds "
                f"{', '.join(map(str, seeds))}: {error}"
            ) from error
        parts, noises = [], []
        for kind, level in product(rate.noise_type.values.tolist(), rate.noise.values.tolist()):
            one = rate.sel(noise_type=kind, noise=level, drop=True)
            noise = (kind, level) if level else ("clean", 0.0)
            if noise not in noises and not one.isnull().all():
                noises.append(noise)
                parts.append(one)
        order = sorted(range(len(noises)), key=lambda k: noises[k][1] > 0)  # clean first
        noises = [noises[k] for k in order]
        labels = [f"{kind} {level:g}" if level else kind for kind, level in noises]
        axis = xr.DataArray(labels, dims="noise", name="noise")
        whole = xr.concat([parts[k] for k in order], axis)
        return whole.assign_coords(
            noise_type=("noise", [kind for kind, _ in noises]),
            noise_level=("noise", [level for _, level in noises]),
        ).transpose("noise", "seed", "term", "layer")


def named(label: str) -> Subject:
    """Return the subject of a label, NETWORK-DATA, of networks and images that are known."""
    network, _, data = label.rpartition("-")
    if not network:
        raise ValueError(
            f"subject {label!r} is not NETWORK-DATA, such as {', '.join(DEFAULT)}, or "
            "NETWORK-supervised-DATA"
        )
    plain = network.removesuffix(SUPERVISED)
    feedback_nets.check_names(plain, data)
    return Subject(plain, data, supervised=plain != network)


def chosen(
    subjects: Sequence[str] | None, weights: Path | None, seeds: Sequence[int], rates: bool
) -> tuple[list[Subject], dict[str, str]]:
    """Return the subjects, and of those that are left out why.

    Parameters
    ----------
    subjects : sequence of str, optional
        Labels; none of them is left out, and all must be there. By default those of `DEFAULT` that
        can be studied here.
    weights : path, optional
        A folder of weights in place of those that ship.
    seeds : sequence of int
        The training seeds that are needed.
    rates : bool
        Whether optimised rates are needed too.

    Raises
    ------
    ValueError
        For names that are not NETWORK-DATA, of networks and images that are known, or come twice;
        for weights, rates or images that a named subject lacks; and if by default nothing is left
        to study.
    """
    if subjects is not None:
        if not subjects or len(set(subjects)) < len(subjects):
            raise ValueError(f"subjects must be one or more that differ, not {subjects!r}")
        asked = [named(label) for label in subjects]
        lacks = {subject.label: lacking(subject, weights, seeds, rates) for subject in asked}
        if short := {label: "; ".join(each) for label, each in lacks.items() if each}:
            raise ValueError(
                "; ".join(f"{label}: {each}" for label, each in short.items())
                + ". Train it (`neurodyn train feedback`) and give its folder as weights, or leave "
                "it out"
            )
        return asked, {}
    found, left = [], {}
    for subject in map(named, DEFAULT):
        if lack := lacking(subject, weights, seeds, rates):
            left[subject.label] = lack[0]
        else:
            found.append(subject)
    if not found:
        raise ValueError(
            "there is nothing to study: "
            + "; ".join(f"{label}: {why}" for label, why in left.items())
        )
    return found, left


def lacking(subject: Subject, weights: Path | None, seeds: Sequence[int], rates: bool) -> list[str]:
    """Return what a subject lacks to be studied here; nothing if all is there."""
    place = files("neurodyn.models") if weights is None else Path(weights)
    stems = [subject.stem(seed) for seed in seeds]
    missing = [stem for stem in stems if not place.joinpath(f"{stem}.safetensors").is_file()]
    found = [f"there are no weights {', '.join(missing)}"] if missing else []
    needed: list[Callable[[], Any]] = [lambda: subject.images(1)]
    needed += [lambda: subject.rates(weights, seeds)] * rates
    for get in needed:
        try:
            get()
        except (FileNotFoundError, ValueError) as error:
            found.append(str(error))
    return found


def left_out(left: Mapping[str, str]) -> str:
    """Return the sentence of a page about subjects that were left out."""
    said = "; ".join(f"{label} ({why})" for label, why in left.items())
    return f"\n\nLeft out: {said}." if left else ""


def strongest(rate: xr.DataArray) -> str:
    """Return the label of the strongest Gaussian noise; of the last noise if there is none."""
    gaussian = rate.noise.values[rate.noise_type.values == "gaussian"]
    levels = rate.noise_level.sel(noise=gaussian)
    return str(gaussian[levels.values.argmax()] if len(gaussian) else rate.noise.values[-1])
