"""The stages of training a network with feedback: what each minimises, and what it returns."""

import time
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.feedback_ablation import rates_of
from neurodyn.models.feedback_nets import START, pictures, with_rates
from neurodyn.models.over_time import OverTime, RatesByNoise
from neurodyn.models.train_komplexnet import generator, store
from neurodyn.rates import Rates
from neurodyn.stimuli.digits import NOISE
from neurodyn.train import Classification, Reconstruction, make_fabric, run_epochs


def train_stage(
    model: nd.PredictiveCoding, stage: str, weights: Path, about: dict[str, Any],
    fitting: dict[str, Any],
) -> xr.Dataset:  # fmt: skip
    """Train one stage of a network and keep the weights; return what was measured."""
    begun = time.perf_counter()
    images, labels = pictures(about["data"], "train", fitting["images"])
    train = {
        "backbone": train_backbone, "decoders": train_decoders,
        "supervised": train_supervised, "rates": train_rates,
    }[stage]  # fmt: skip
    measured = train(model, images, labels, fitting | {"seed": about["seed"]})
    if stage != "rates":
        store(model, weights, about)
    seconds = time.perf_counter() - begun
    print(f"{about['network']} {about['data']} {about['seed']}: {stage} in {seconds:.0f} s")
    return measured.assign(duration=seconds)


def fit(
    task: nn.Module, data: tuple[Tensor, ...], parameters: list[nn.Parameter],
    fitting: dict[str, Any], one_cycle: bool = True,
) -> list[float]:  # fmt: skip
    """Minimise a task; return its quantities in the last pass."""
    curve = run_epochs(
        task, data, None, parameters=parameters, generator=generator(fitting["seed"]),
        epochs=fitting["epochs"], learning_rate=fitting["learning_rate"],
        batch_size=fitting["batch_size"], path=fitting["path"], progress=False,
        fabric=make_fabric(fitting["accelerator"], 1, fitting["precision"]),
        one_cycle=one_cycle, clip=2.0 if one_cycle else None,
    )  # fmt: skip
    return curve[-1, 0].tolist()


def train_backbone(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train the feed-forward network to classify."""
    task = Classification(model.backbone)
    loss, accuracy = fit(task, (images, labels), list(model.backbone.parameters()), fitting)
    return xr.Dataset({"loss": loss, "accuracy": accuracy})


def train_decoders(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train the decoders to reconstruct feed-forward activities."""
    row = fit(Reconstruction(model), (images,), list(model.decoders.parameters()), fitting)
    return xr.Dataset({"loss": row[0]})


def train_supervised(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train backbone and decoders to classify over time, with rates at thirds and .01."""
    count = len(model.taps.names)
    moving = with_rates(model, Rates(1 / 3, 1 / 3, 0.01, count))
    moving.update = fitting["update"]
    weights = [*model.backbone.parameters(), *model.decoders.parameters()]
    row = fit(OverTime(moving, fitting["steps"]), (images[:, None], labels), weights, fitting)
    return xr.Dataset({"loss": row[0], "accuracy": ("time", row[2:])})


def train_rates(
    model: nd.PredictiveCoding, images: Tensor, labels: Tensor, fitting: dict[str, Any]
) -> xr.Dataset:
    """Train rates alone, for each type and level of noise, drawn with the training seed."""
    noises, count = fitting["noises"], fitting["noisy_images"]
    again = torch.arange(count) % len(images)
    shown = images[again]
    noisy = torch.stack([NOISE[kind](shown, x, seed=fitting["seed"]) for kind, x in noises], 1)
    rates = RatesByNoise(len(noises), len(model.taps.names))
    moving = with_rates(model, Rates(*START, len(model.taps.names)))
    moving.update = fitting["update"]
    task = OverTime(moving, fitting["steps"], rates)
    row = fit(task, (noisy, labels[again]), list(rates.parameters()), fitting, one_cycle=False)
    loss, *accuracy = torch.tensor(row[1:], dtype=torch.float64).view(3, len(noises)).tolist()
    cells = []
    with torch.no_grad():
        values = [torch.stack(tuple(part), 1).tolist() for part in rates()]
    for k, (kind, level) in enumerate(noises):
        beta, lam, alpha = (value[k] for value in values)
        learnt = with_rates(model, Rates(beta, lam, alpha, len(model.taps.names)))
        one = xr.Dataset(
            {
                "rate": rates_of(learnt),
                "loss": ((), loss[k], {"long_name": "cross-entropy", "units": "nat"}),
                "accuracy": (
                    "time", [part[k] for part in accuracy],
                    {"long_name": "proportion classified correctly, in training", "units": "1"},
                ),
            },
            {"time": ("time", [0.0, float(fitting["steps"])], {"units": "published step"})},
        )  # fmt: skip
        cells.append(one.expand_dims(noise_type=[kind], noise=[level]))
    return xr.merge(cells, join="outer", compat="no_conflicts")
