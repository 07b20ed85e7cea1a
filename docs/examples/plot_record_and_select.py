"""
Record, select, save
====================

A run is an ``xarray.DataTree``: the readout at its root, one node for each layer, dimensions with
names, units in the attributes, and where the numbers come from.
"""

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import neurodyn as nd
from neurodyn.models import pc_shallow

images, labels = nd.stimuli.digits(split="test", n=32, noise=0.4, seed=0)
run = nd.simulate(
    pc_shallow(pretrained=True),
    images,
    torch.linspace(0, 10, 11),
    rtol=1e-3,
    atol=1e-4,
    time_constant=10.0,
    coords={"label": ("sample", labels.numpy(), {"long_name": "digit shown", "units": "1"})},
)
run  # noqa: B018

# %%
# One published step was said to be 10 ms, so time is in ms. Selecting is by name and by label:

print(run["logits"].sel(time=50.0, category=7).isel(sample=slice(4)).values.round(2))
top = run.layers["layer3"]["state"]
print(top.sel(time=[0, 100]).mean(("y", "x", "sample")).sizes)

# %%
# A selection runs through the whole tree at once, here all states in the second half of the run:

late = run.sel(time=slice(50, 100))
print({name: dict(layer.sizes)["time"] for name, layer in late.layers.items()})

# %%
# A file holds the tree exactly, and what made it:

with tempfile.TemporaryDirectory() as folder:
    path = nd.save(run, Path(folder) / "run.nc")
    again = nd.load(path)
print(again.identical(run), again.attrs["solver"], again.attrs["nfe"], "evaluations")
print(json.loads(again.attrs["config"])["feedback"])

# %%
# What is not wanted is not stored. Most studies need the answers, or one layer:

small = nd.simulate(
    pc_shallow(pretrained=True), images, [0.0, 10.0], method="euler", record=["readout", "layer3"]
)
print(list(small.layers), list(small.data_vars))

# %%
# How far each layer moves away from its feed-forward activity: operations on names, not on axes.

figure, (left, right) = plt.subplots(1, 2, width_ratios=(1.2, 1))
for style, (name, layer) in zip(("C0-", "C1--", "C2-."), run.layers.items(), strict=True):
    state = layer["state"]
    start = state.isel(time=0)
    units = ("channel", "y", "x")
    change = np.sqrt(((state - start) ** 2).sum(units) / (start**2).sum(units))
    mean, low, high = change.mean("sample"), change.min("sample"), change.max("sample")
    left.fill_between(change.time, low, high, color=style[:2], alpha=0.15, linewidth=0)
    left.plot(change.time, mean, style, label=name)
left.set(xlabel="time (ms)", ylabel="relative change of the state", xlim=(0, 100), ylim=(0, 0.7))
left.legend(title="mean and range of 32 stimuli", loc="upper left", ncols=3)

seven = run["logits"].isel(sample=labels.tolist().index(7))
limit = float(abs(seven).max())
picture = right.pcolormesh(
    seven.time, seven.category, seven.T, cmap="PuOr_r", vmin=-limit, vmax=limit, shading="nearest"
)
right.set(xlabel="time (ms)", ylabel="category (a 7 is shown)", yticks=range(10))
figure.colorbar(picture, label="logit")
