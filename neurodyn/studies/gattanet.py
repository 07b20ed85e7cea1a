"""Does one global query help? GAttANet against its controls, over time and by solver."""

from functools import partial
from pathlib import Path

import torch
import xarray as xr
from torch import nn

import neurodyn as nd
from neurodyn import analysis
from neurodyn.agreement import GATTANET, PROVENANCE, GlobalAttention
from neurodyn.analysis import agreement_report as report
from neurodyn.analysis import agreement_tables as tables
from neurodyn.analysis.agreement_plots import agreement_maps
from neurodyn.analysis.discretisation_plots import discretisation_figure
from neurodyn.analysis.report import markdown
from neurodyn.conditions import Condition, Presentation, Way, check_whole, part_of, present
from neurodyn.models.train_gattanet import Behind, Objects, scene_settings, untrained
from neurodyn.models.two_stages import READ
from neurodyn.studies import _agreement as shared

SOLVER = "bosh3"
CONDITIONS = (
    Condition("1 object"),
    Condition("Gaussian sd .05", {"noise": 0.05}),
    Condition("Gaussian sd .1", {"noise": 0.1}),
    Condition("Gaussian sd .15", {"noise": 0.15}),
    Condition("salt-pepper .025", {"noise": 0.025, "noise_type": "salt_pepper"}),
    Condition("salt-pepper .05", {"noise": 0.05, "noise_type": "salt_pepper"}),
    Condition("salt-pepper .1", {"noise": 0.1, "noise_type": "salt_pepper"}),
    Condition("2 objects", {"objects": 2, "max_overlap": 0.1}),
    Condition("2 objects, overlap", {"objects": 2, "overlap": 0.5}),
)
"""Networks were trained on one object. Two share up to a fifth of the area of one, or half of the
smaller."""


def trained(kind: str, weights: Path | None, seed: int) -> nn.Module:
    """Return one of the shipped networks, or one of one's own."""
    return shared.with_weights(untrained(kind, seed), f"gattanet-{kind}-{seed}", weights)


def ways(weights: Path | None) -> tuple[Way, ...]:
    """Return the networks and solvers; by rk4: trained with it, else with Euler's method."""
    kinds = {
        kind: partial(trained, kind, weights)
        for kind in ("cnn", "longer", "matched", "gattanet", "gattanet-rk4")
    }
    return (
        Way("cnn", kinds["cnn"]),
        Way("longer cnn", kinds["longer"]),
        Way("wider cnn", kinds["matched"]),
        Way("gattanet", kinds["gattanet"]),
        Way("gattanet, adaptive", kinds["gattanet"], SOLVER),
        Way("gattanet by rk4", kinds["gattanet-rk4"]),
        Way("gattanet by rk4, adaptive", kinds["gattanet-rk4"], SOLVER),
    )


DRAWN = ("cnn", "longer cnn", "gattanet", "gattanet, adaptive")
SUBJECT = report.Subject(
    name="GAttANet",
    way="gattanet",
    against=("cnn", "longer cnn", "wider cnn"),
    noisy=tuple(c.label for c in CONDITIONS if "noise" in c.settings),
    clean="1 object",
    trained=(READ["attention"][0], READ["attention"][-1]),
    two_by_two={
        ("euler", "euler"): "gattanet",
        ("euler", "adaptive"): "gattanet, adaptive",
        ("rk4", "euler"): "gattanet by rk4",
        ("rk4", "adaptive"): "gattanet by rk4, adaptive",
    },
)


def gattanet(
    *,
    out: str | Path = "results/gattanet",
    images: int = 384,
    items: Objects = "digits",
    background: Behind = "1/f",
    cifar: Path | None = None,
    download: bool = False,
    weights: Path | None = None,
    training_seeds: tuple[int, ...] = (0, 1, 2),
    duration: int = 6,
    rtol: float = 1e-3,
    atol: float = 1e-3,
    batch_size: int = 64,
    seed: int = 314159,
    device: str = "cpu",
) -> xr.Dataset:
    """One object over a background: GAttANet over time against its controls; dynamics or step.

    Small networks, trained on one digit over 1/f noise from three seeds each, name objects in
    scenes they were not trained on: clean, under Gaussian and salt-and-pepper noise, and two
    objects, next to each other or overlapping, of which both are to be named. At t = 0 agreements
    are 0 and gains 1: what GAttANet answers there is its network alone, alpha = 0. Euler's method
    with
    the published step of 1, whose every step is one published pass, and an adaptive solver, for
    weights that were trained with Euler's method and with rk4.

    Parameters
    ----------
    out : path
        Folder for gattanet.nc, the figures (accuracy, agreement, discretisation), summary.md and
        cells/, where each cell (scenes x training seed x way) is kept as soon as it is computed.
    images : int
        Scenes of each kind.
    items : {"digits", "fashion"}
        The test digits, or those of Fashion-MNIST where it is installed, for networks that know
        them: see `weights`.
    background : {"auto", "cifar", "photographs", "1/f"}
        Of `neurodyn.stimuli.natural.backgrounds`.
    cifar : path, optional
        The folder "cifar-10-batches-py", for "cifar" and "auto".
    download : bool
        Whether to fetch CIFAR-10 into that folder, where it lacks any of it (`read_cifar`).
    weights : path, optional
        The folder of ``neurodyn train gattanet``, for networks of one's own in place of those that
        ship.
    training_seeds : tuple of int
        Which of the networks: 0, 1, 2, or those of `weights`. The unit of the intervals.
    duration : int
        Published steps. Networks are trained to answer after 1, 2 and 3; later is drawn only.
    rtol, atol : float
        Tolerances of the adaptive solver (bosh3).
    batch_size : int
        Scenes solved at a time; those of a batch share their adaptive steps.
    seed : int
        Of the scenes, which all networks share. None of the default seed's was looked at before the
        networks were done.
    device : str
        Where torch computes.

    Returns
    -------
    Dataset
        "exact" (scene, way, seed, sample, time), whether the objects shown are those with the
        largest logits, as many as there are; "recall", their share among those; "nfe" (scene, way,
        seed); "gain" (way, seed, layer), as learnt; "accuracy", "mean_recall", and "difference"
        from the plain network, with intervals over training seeds (Student's t).

    References
    ----------
    VanRullen & Alamia (2021), arXiv:2104.05575. The sets of images: Alamia, Muzellec, Serre &
    VanRullen (2025), arXiv:2507.16674.
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    check_whole(
        training_seeds, weights is not None, images=(images, 1), duration=(duration, 3),
        batch_size=(batch_size, 1), seed=(seed, 0),
    )  # fmt: skip
    if items == "fashion" and weights is None:
        raise ValueError(
            "the networks that ship know digits only: train others (neurodyn train gattanet "
            "--items fashion) and give their folder as weights"
        )
    settings, behind = scene_settings("test", items, background, cifar, download)
    folder = Path(out)
    shown = Presentation(
        images, range(duration + 1), settings, seed, rtol, atol, batch_size, device
    )
    chosen = ways(weights)
    answers = present(folder / "cells", shown, CONDITIONS, chosen, training_seeds)
    result = analysis.over_training_seeds(answers, reference="cnn")
    result = result.merge(shared.learnt(chosen, training_seeds))
    title = "Accuracy over time for objects over a background"
    result = shared.described(result, title, config, PROVENANCE, GATTANET)
    result.attrs |= {"items": items, "background": behind, "solver": f"euler (step 1), {SOLVER}"}
    write(result, folder, shown, weights, training_seeds[0])
    return result


def steps(
    folder: Path, shown: Presentation, weights: Path | None, training_seed: int
) -> dict[str, xr.Dataset]:
    """Compare 15 Euler steps with the differential equation: as trained, and with gains of -1."""
    scenes = part_of(shown.show(CONDITIONS[0]), torch.arange(min(6, shown.images)))
    found = {}
    for case, gain in {"trained": None, "alpha = -1": -1.0}.items():
        model = trained("gattanet", weights, training_seed)
        assert isinstance(model, GlobalAttention)
        if gain is not None:
            nn.init.constant_(model.gain, gain)
        path = folder / f"discretisation-{case.replace(' ', '')}.nc"
        found[case] = shared.two_solvers(path, model, scenes)
    return found


def write(
    result: xr.Dataset, folder: Path, shown: Presentation, weights: Path | None, training_seed: int
) -> None:
    """Write records, figures and the summary, and print it."""
    nd.save(result, folder / "gattanet.nc")
    found = steps(folder, shown, weights, training_seed)
    scenes = shown.show(CONDITIONS[0])
    model = trained("gattanet", weights, training_seed)
    assert isinstance(model, GlobalAttention)
    times = [float(t) for t in shown.times]
    run = nd.simulate(model, scenes.images[:1], times, method="euler")
    image = scenes.to_xarray().image.isel(sample=0)
    verdicts = report.two_by_two(result, SUBJECT)
    figures = {
        "accuracy": analysis.accuracy_over_time(
            result.sel(way=list(DRAWN)), None, line="way", panel="scene"
        ),
        "agreement": agreement_maps(run, image, frames=min(6, len(times))),
        "discretisation": discretisation_figure(
            found["alpha = -1"], verdicts, case="alpha = -1, not learnt"
        ),
    }
    more = f"""**Equal images, or equal work.** GAttANet sees each image in several passes. "cnn"
and "wider cnn" were trained on as many images; "longer cnn" on so many more that it worked as long.
At t=0 all agreements are 0 and so all gains 1: GAttANet answers there as its network alone, with
alpha = 0.

**Gains learnt**, alpha of each layer: means over training seeds (least to largest).

{markdown(tables.constants_table(result, {"gain": "alpha"}))}

**Period 2.** Similarity of agreements with those one and two steps earlier, after
{shared.STEPS} steps, means over {next(iter(found.values())).sizes["sample"]} scenes; a layer flips
where lag 1 is under .85 and lag 2 over it. With gains of -1, not learnt, layers silence what agrees
with them: a mode that the published step cannot follow.

{markdown(tables.flip_table(found))}"""
    captions = {
        "accuracy": "Accuracy over time", "agreement": "Agreement over time",
        "discretisation": "Dynamics or step",
    }  # fmt: skip
    setting = (
        "The small GAttANet and its controls, trained on one object over a background\n(`neurodyn "
        f"train gattanet`), shown {result.attrs['items']} over {result.attrs['background']}."
    )
    page = report.page(
        result, SUBJECT, "Global agreement, and one object over a background", setting, more,
        [(captions[name], f"{name}.png") for name in figures],
    )  # fmt: skip
    shared.write_page(folder, page, figures)
