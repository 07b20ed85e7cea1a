"""
Of the dynamics, or of the step?
================================

Predify's rule is one solver among others: explicit Euler with a step of 1, layer after layer. The
same model under other solvers tells which of its effects are those of the differential equation.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from torchdiffeq import odeint

import neurodyn as nd
from neurodyn import analysis
from neurodyn.models import pc_shallow

images, labels = nd.stimuli.digits(split="test", n=32, noise=0.6, seed=0)
times = torch.linspace(0, 10, 11)
published = pc_shallow(pretrained=True, update="sequential")
model = pc_shallow(pretrained=True)

runs = {
    "Predify (Euler, step 1)": nd.simulate(published, images, times, method="euler"),
    "Euler, step 1": nd.simulate(model, images, times, method="euler"),
    "Euler, step 1/4": nd.simulate(
        model, images, times, method="euler", options={"step_size": 0.25}
    ),
    "dopri5, adaptive": nd.simulate(model, images, times, method="dopri5", rtol=1e-3, atol=1e-4),
}

# %%
# One more dimension, and the runs are one Dataset. The difference from the adaptive solver is
# paired: taken image by image, then the images are resampled.

names = xr.Variable("solver", list(runs))
logits = xr.concat([run["logits"] for run in runs.values()], dim=names)
correct = logits.argmax("category") == labels.numpy()
accuracy = analysis.accuracy(correct)
difference = analysis.paired_difference(correct, "solver", "dopri5, adaptive").sel(time=5)
for name, run in runs.items():
    print(f"{name:24} {run.attrs['nfe']:3} evaluations, ", end="")
    print(f"{accuracy.accuracy.sel(solver=name, time=5):.3f} correct at t = 5", end="")
    if name in difference.solver:
        low, high = difference.difference_ci.sel(solver=name).values
        print(f", minus dopri5's: {low:+.3f} to {high:+.3f}", end="")
    print()

# %%
# Left: what the answers say. Right: how far each path is from that of the differential equation,
# relative to how far the state has moved from the feed-forward pass, in all layers together. Both
# orders of update end at the same fixed point; on the way, the step shows.


def distance(a: xr.DataTree, b: xr.DataTree) -> xr.DataArray:
    """Return the root of the summed squares of a - b, (time,)."""
    squares = [
        ((a.layers[name]["state"] - b.layers[name]["state"]) ** 2).sum(("channel", "y", "x"))
        for name in a.layers
    ]
    return np.sqrt(sum(squares)).mean("sample")


reference = runs["dopri5, adaptive"]
moved = distance(reference, reference.isel(time=0))

figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
styles = {"Predify (Euler, step 1)": "C1o", "Euler, step 1": "C2-.", "Euler, step 1/4": "C3:"}
for name, style in {**styles, "dopri5, adaptive": "C0-"}.items():
    left.plot(times, accuracy.accuracy.sel(solver=name), style, label=name)
bounds = accuracy.accuracy_ci.sel(solver="dopri5, adaptive").values.T
left.fill_between(times, *bounds, color="C0", alpha=0.2, linewidth=0)
left.set(xlabel="time (published steps)", ylabel="proportion correct", xlim=(0, 10.2))
left.set_title(f"{len(labels)} digits; band: 95% interval of dopri5")
figure.legend(loc="outside upper center", ncols=4)
for name, style in styles.items():
    off = distance(runs[name], reference).isel(time=slice(1, None))
    right.semilogy(off.time, off / moved.isel(time=slice(1, None)), style)
right.set(xlabel="time (published steps)", xlim=(0, 10.2))
right.set_ylabel("distance from dopri5\n(relative to the way gone)")

# %%
# Who wants the vector field and nothing else binds the stimulus to the model and calls
# torchdiffeq.

f = nd.bind(model, images[:8])
with torch.no_grad():
    path = odeint(f, f.initial_state(), times, method="dopri5", rtol=1e-3, atol=1e-4)
    print([tuple(layer.shape) for layer in path])
    print("answers:", f.readout(tuple(layer[-1] for layer in path)).argmax(-1).tolist())
