"""
What attention changes, problem by problem
==========================================

Pictures for the tutorial on visual reasoning: what the networks learned whose results ship, what
attention added, what more time does, and where attention goes. :doc:`/visual_reasoning` says how
they were trained.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import xarray as xr

import neurodyn as nd
from neurodyn import analysis

result = nd.load(files("neurodyn.models") / "svrt.nc")

# %%
# Accuracy on new images over the number of images learned from, mean and Student's 95% interval
# over training seeds. Chance is dotted.

plt.figure(analysis.efficiency_curves(analysis.sample_efficiency(result.accuracy)))

# %%
# What attention adds to the area under these curves, with intervals. Colours say whether the rule
# asks to compare shapes.

compares = analysis.problem_tags(result.problem.values).needs_shape_comparison
plt.figure(analysis.gain_dots(analysis.attention_gain(result.accuracy, "resnet18"), compares))

# %%
# More time for spatial attention, with weights that were trained for one Euler step, from the
# largest set. At t = 0 there is no attention.

moving = result.over_time.isel(images=-1).sel(model="resnet18-spatial")
found = analysis.seed_interval(moving)
over_time = xr.Dataset({"accuracy": found["mean"], "accuracy_ci": found.mean_ci})
over_time = over_time.assign_coords(
    problem=[f"problem {problem}" for problem in result.problem.values], time=result.time
)
plt.figure(analysis.accuracy_over_time(over_time, None, line="solver", panel="problem"))

# %%
# Where the cells that hold the centres of two shapes attend to, on test images of either class,
# mean over seeds.

attention = result[["attention", "image", "label", "centre"]].isel(images=-1)
plt.figure(analysis.attention_maps(attention.sel(model="resnet18-spatial")))
