"""
Reliance on feedback, by noise
==============================

Pictures for the tutorial on the role of feedback: what the rates of the shallow network became when
they were trained for one level of Gaussian noise at a time, and what the network then answers.
"""

import matplotlib.pyplot as plt
import xarray as xr

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis.feedback_report import accuracy_summary
from neurodyn.models.feedback_nets import feedback_net, set_rates, shipped_rates

rate = shipped_rates().rate.sel(network="pshallow", data="digits", noise_type="gaussian", drop=True)
rate = rate.dropna("layer", how="all").dropna("noise", how="all")
rate = rate.assign_coords(noise_level=rate.noise)

# %%
# Where each layer is drawn to, the mean of ten training seeds. The last layer has nothing above it.

plt.figure(analysis.reliance_map(analysis.feedback_reliance(rate).reliance))

# %%
# The rates themselves, with Student's 95% intervals over seeds: memory goes as noise comes.

plt.figure(analysis.rates_by_noise(rate))

# %%
# Accuracy over time by Euler's step of 1 and by an adaptive solver, on 32 test images, of the three
# networks whose weights ship.

solvers = {
    "euler": {"method": "euler"},
    "adaptive": {"method": "bosh3", "rtol": 1e-2, "atol": 1e-3},
}
cells = []
for seed in range(3):
    network = feedback_net("pshallow", "digits", pretrained=True, seed=seed)
    for level in (0.4, 0.8):
        model = set_rates(network, rate.sel(seed=seed, noise=level))
        images, labels = nd.stimuli.digits(split="test", n=32, noise=level, seed=10_001)
        for solver, how in solvers.items():
            run = nd.simulate(model, images, range(11), record="readout", **how)
            right = run["logits"].argmax("category") == xr.DataArray(labels, dims="sample")
            at = {"seed": [seed], "noise": [level], "solver": [solver]}
            cells.append(right.rename("correct").expand_dims(at))
correct = xr.combine_by_coords(cells).correct
over_time = accuracy_summary(correct).assign_coords(
    noise_type=("noise", ["gaussian"] * 2), noise_level=correct.noise
)
plt.figure(analysis.accuracy_over_time(over_time, None))
