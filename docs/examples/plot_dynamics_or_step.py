"""
When a step of 1 is too long
============================

GASPnet, not trained, by Euler's method with a step of 1 and by an adaptive solver: one differential
equation, one start, two pictures. The temperature divides the derivative; where it is small, a step
of 1 is too long.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch

import neurodyn as nd
from neurodyn import analysis
from neurodyn.models import gaspnet, gattanet

scenes = nd.stimuli.multi_digits(6, split="test", seed=0)
times = [float(t) for t in range(16)]
masks = scenes.masks.any(1).numpy()


def untrained(temperature):
    """Return GASPnet with another temperature."""
    model = gaspnet()
    torch.nn.init.constant_(model.log_kappa, math.log(temperature))
    return model


def figure_ground(run):
    """Return how far the mean phase of the digits is from that of the background, (sample,)."""
    z = np.exp(1j * run.layers["conv1"]["phase"].isel(time=-1).values)
    means = [(one[mask].mean(), one[~mask].mean()) for one, mask in zip(z, masks, strict=True)]
    return np.array([abs(np.angle(figure / ground)) for figure, ground in means])


runs, found = {}, {}
for temperature in (0.3, 0.1):
    model = untrained(temperature)
    names = [variable.name for variable in model.variables]
    start = model.initial_state(model.drive(scenes.images), torch.Generator().manual_seed(0))
    common = {"initial_state": start, "record": names}
    euler = nd.simulate(model, scenes.images, times, method="euler", **common)
    adaptive = nd.simulate(
        model, scenes.images, times, method="dopri5", rtol=1e-3, atol=1e-3, **common
    )
    runs[temperature] = {"euler": euler, "adaptive": adaptive}
    found[temperature] = analysis.discretisation(euler, adaptive)

# %%
# `neurodyn.analysis.discretisation` compares the state of each layer with itself one and two steps
# earlier. Period 2 is unlike the first and like the second. `neurodyn.step_limit` says at one state
# how long Euler's step may be: where the adaptive solution ends it is longer than 1 at a
# temperature of 0.3, and shorter at 0.1.

for temperature, pair in runs.items():
    model, last = untrained(temperature), found[temperature].isel(time=-1)
    end = tuple(
        torch.from_numpy(layer["phase"].isel(time=-1).values)
        for layer in pair["adaptive"].layers.values()
    )
    limit = nd.step_limit(model, scenes.images, end, symmetry="shift", tol=0.05).limit
    print(f"temperature {temperature}, longest stable step {limit.min():.2f} to {limit.max():.2f}")
    for solver, run in pair.items():
        similarity = last.similarity.sel(solver=solver).mean("sample")
        print(f"  {solver:8} {run.attrs['nfe']:3} evaluations, ", end="")
        print(f"lag 1 {similarity.sel(lag=1).values.round(2)}, ", end="")
        print(f"lag 2 {similarity.sel(lag=2).values.round(2)}, ", end="")
        print(f"figure from ground {figure_ground(run).mean():.2f} rad")

# %%
# At 0.1 Euler's method flips. The flow does what the flow at 0.3 does, three times as fast.


def phases(run, sample=2):
    """Return the maps of one scene's second layer over time."""
    return run.layers["conv2"]["phase"].isel(sample=sample)


plt.figure(
    analysis.discretisation_figure(
        found[0.1], phases={solver: phases(run) for solver, run in runs[0.1].items()}
    )
)

# %%
# All phases of that scene, by the adaptive solver at 0.3. Digits leave the background; that the two
# digits part as well is what training has to deliver.

image = scenes.to_xarray().image.isel(channel=0)
plt.figure(analysis.phase_layers(runs[0.3]["adaptive"], image, sample=2))

# %%
# GAttANet has agreement maps for a state. With a negative gain, what agrees is silenced, which is
# negative feedback: harmless to the differential equation, and fatal to the iteration once it is
# strong. Here keys and queries are ten times as long as untrained ones.

model = gattanet("small", channels=1, gain=-1.0)
with torch.no_grad():
    for weight in (*model.key_weights, *model.query_weights):
        weight *= 10
ends = {}
for method in ("euler", "dopri5"):
    run = nd.simulate(model, scenes.images, times, method=method)
    ends[method] = run
    last = [layer["agreement"].isel(time=[-2, -1]) for layer in run.layers.values()]
    moved = [float(np.sqrt((a.diff("time") ** 2).mean())) for a in last]
    print(f"{method:7} root mean square change in the last step: ", end="")
    print(", ".join(f"{name} {change:.0e}" for name, change in zip(run.layers, moved, strict=True)))

plt.figure(analysis.agreement_maps(ends["dopri5"], image, sample=2))
