r"""
Twenty-three problems of visual reasoning
=========================================

The Synthetic Visual Reasoning Test of Fleuret et al. (2011), PNAS 108, 17621: random closed
contours, and a rule that tells two classes apart. People find most rules from a handful of
examples. What networks need for them is the question of Vaishnav et al. (2022), arXiv:2108.03603.

A contour starts from four anchors in a ring, one in each quadrant, and each side is broken at its
displaced midpoint, again and again,

.. math:: m = \frac{p_1 + p_2}{2} + \delta, \qquad |\delta| \le \frac{|p_1 - p_2|}{5},

until steps are shorter than a pixel.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from neurodyn.stimuli import svrt

# %%
# Every image comes with its scene, from which the rule can be read.

data = svrt.generate(1, 8, seed=0)
print(data.attrs["rule"])
print(data.label.values)
print(data["shape"].values.tolist())

# %%
# A sheet shows eight examples of either class. Cover the title: which rule is it?


def sheet(data: xr.Dataset, examples: int = 8) -> plt.Figure:
    """Draw examples of class 0 above those of class 1."""
    figure, axes = plt.subplots(2, examples, figsize=(7.2, 2.1))
    for label, row in enumerate(axes):
        chosen = data.image.values[data.label.values == label][:examples]
        for axis, image in zip(row, chosen, strict=True):
            axis.imshow(image, vmin=0, vmax=255, interpolation="antialiased")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=True, color="0.7", linewidth=0.5)
        row[0].set_ylabel(f"class {label}")
    problem = json.loads(data.attrs["config"])["problem"]
    figure.suptitle(f"{problem}. {data.attrs['rule']}", fontsize=9)
    return figure


for problem in range(1, 13):
    sheet(svrt.generate(problem, 16, seed=1))

# %%
# The others. In problem 25 the two shapes of problem 1 are turned.

for problem in (*range(13, 24), 25):
    sheet(svrt.generate(problem, 16, seed=1))

# %%
# Lines may be smooth and shapes filled: the scene stays the same. With the size of images and the
# width of lines it changes, because what fits does.

figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.0))
drawings = {
    "as published": {},
    "antialias": {"antialias": True},
    "filled": {"filled": True},
    "size=256, line_width=3": {"size": 256, "line_width": 3},
}
for axis, (name, options) in zip(axes, drawings.items(), strict=True):
    axis.imshow(svrt.generate(8, 4, seed=2, **options).image[3], vmin=0, vmax=255)
    axis.set(title=name, xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color="0.7", linewidth=0.5)

# %%
# Ink does not tell the classes apart.

inks = {problem: svrt.generate(problem, 512, seed=4) for problem in (1, 7, 15, 21)}
for problem, made in inks.items():
    ink = (made.image == 0).sum(("y", "x"))
    means = [float(ink[made.label.values == label].mean()) for label in (0, 1)]
    error = float(ink.std()) * 2 / np.sqrt(len(ink))
    print(f"problem {problem}: {means[0]:.0f} and {means[1]:.0f} pixels (+- {error:.0f})")
