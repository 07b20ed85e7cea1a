"""What the studies of feedback share: how cells are computed, and what is written."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.cells import cell, in_parallel, weights_hash
from neurodyn.conditions import gathered
from neurodyn.stimuli.digits import NOISE

TOLERANCES: dict[str, Any] = {"method": "bosh3", "rtol": 1e-2, "atol": 1e-3}
"""How the differential equation is solved."""
AT_REST = 1e-2
"""Relative speed per published step below which an image counts as at the fixed point."""
TEST_NOISE = 10_000
"""Added to the seed of noise on test images: training seeds, below it, draw training noise."""
PROVENANCE = (
    "Networks, decoders and rules as published; sizes, images and training are reconstructed here"
)


def settled(
    scales: Mapping[str, Mapping[str, Any]], scale: str, quick: bool, **given: Any
) -> dict[str, Any]:
    """Return settings: those given, else those of the scale."""
    if scale not in ("laptop", "paper") or (quick and scale == "paper"):
        raise ValueError(
            f"scale must be laptop or paper, and only laptop can be quick; got {scale!r}"
        )
    table = scales["quick" if quick else scale]
    return dict(table) | {name: value for name, value in given.items() if value is not None}


def noisy(images: Tensor, kind: str, level: float, seed: int) -> Tensor:
    """Return test images under noise that no network was trained with; as they are at level 0."""
    return NOISE[kind](images, level, TEST_NOISE + seed) if level else images


def check_device(device: str) -> None:
    """Refuse a device that torch cannot compute on here."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # torch was built without it, or finds none
        raise ValueError(
            f"device {device!r} is not here: {str(error).splitlines()[0]}. 'cpu' always is; 'cuda' "
            "needs a GPU and a torch built for it"
        ) from error


def run_cells(
    folder: Path,
    axes: Mapping[str, Sequence[Any]],
    config: Mapping[str, Any],
    make: Callable[..., tuple[nd.PredictiveCoding, Tensor, Tensor]],
    compute: Callable[..., xr.Dataset],
    device: str,
) -> xr.Dataset:
    """Return every cell, computing those that are not on disk yet, side by side on a CPU.

    Parameters
    ----------
    folder : path
        Where cells are kept; must be one for each kind of cell.
    axes : mapping
        Name and labels of the axes that cells are numbered by.
    config : mapping
        What the numbers depend on besides the network, the images and the axes' labels.
    make : callable
        Labels to network, images and categories.
    compute : callable
        Network, images and categories to the cell's Dataset.
    device : str
        Where torch computes.
    """

    def one(*labels: Any) -> xr.Dataset:
        model, images, shown = make(*labels)
        known = {
            "cell": [str(label) for label in labels], "weights": weights_hash(model),
            "model": str(model.config()),
            "images": weights_hash(nn.ParameterList([images, shown.float()])),
            "device": torch.device(device).type, "neurodyn": nd.__version__,
            "torch": str(torch.__version__),
        }  # fmt: skip
        name = "_".join(str(label) for label in labels).replace(" ", "-")
        put = model.to(device), images.to(device), shown.to(device)
        return cell(folder / f"{name}.nc", dict(config) | known, partial(compute, *put))

    workers = torch.get_num_threads() if torch.device(device).type == "cpu" else 1
    jobs = [partial(one, *labels) for labels in product(*axes.values())]
    return gathered(in_parallel(jobs, workers), axes)


def answers(
    times: Sequence[float], how: Mapping[str, Any], batch_size: int,
    model: nd.PredictiveCoding, images: Tensor, shown: Tensor,
) -> xr.Dataset:  # fmt: skip
    """Compute which answers are right over time."""
    right, nfe = [], 0
    for rows in torch.arange(len(images), device=images.device).split(batch_size):
        run = nd.integrate(
            model, images[rows], list(times), gradient="none", record="readout", **how
        )
        assert run.readout is not None
        right.append(run.readout.argmax(-1) == shown[rows])
        nfe += run.stats.evaluations
    about = {"long_name": "correctly classified", "units": "1"}
    return xr.Dataset(
        {
            "correct": (("time", "sample"), torch.cat(right, 1).cpu().numpy(), about),
            "nfe": ((), nfe, {"long_name": "evaluations of the right-hand side", "units": "1"}),
        },
        {"time": list(times), "sample": range(len(images))},
    )


def described(
    tree: xr.DataTree, title: str, config: Mapping[str, Any], references: str
) -> xr.DataTree:
    """Say what a result is, and what its axes are."""
    names = {
        "time": "time (published steps)", "sample": "image, in the order of the test split",
        "seed": "training seed", "noise": "noise on the images", "layer": "layer",
        "noise_type": "type of noise", "solver": "way to the answer", "term": "term",
        "noise_level": "level: standard deviation, share of pixels replaced, or severity",
        "epsilon": "strength of the attack (largest change of a grey value)",
        "attack": "time the images were made for: the one shown, or the first",
        "ablated": "layers whose feedback was cut", "ci_bound": "bound of the interval",
    }  # fmt: skip
    for node in tree.subtree:
        for name in set(node.coords) & set(names):
            node[str(name)].attrs = {"long_name": names[str(name)], "units": "1"}
    tree.attrs = {
        "title": title, "provenance": PROVENANCE, "references": references,
        "neurodyn_version": nd.__version__, "torch_version": str(torch.__version__),
        "config": json.dumps(config, sort_keys=True, default=str), "seed": config["seed"],
        "solver": f"euler (step 1), {TOLERANCES['method']}", "rtol": TOLERANCES["rtol"],
        "atol": TOLERANCES["atol"],
        "nfe": int(sum(node.nfe.sum() for node in tree.subtree if "nfe" in node.data_vars)),
    }  # fmt: skip
    return tree


def write(folder: Path, name: str, tree: xr.DataTree, page: str, figures: Mapping[str, Figure],
          ) -> None:  # fmt: skip
    """Write the record, the figures and the page, and print it."""
    nd.save(tree, folder / f"{name}.nc")
    for title, figure in figures.items():
        figure.savefig(folder / f"{title}.png", dpi=200)
    pictures = "\n\n".join(f"![{title}]({title}.png)" for title in figures)
    (folder / "summary.md").write_text(f"{page}\n\n{pictures}\n", encoding="utf-8")
    print(page)
    print(f"written to {folder}")
