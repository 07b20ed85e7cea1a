r"""
A first run in ten lines
========================

A trained predictive-coding network sees noisy digits. Its state starts at the feed-forward
activities and moves under

.. math::
    \frac{de_n}{dt} = \beta_n (f_n(e_{n-1}) - e_n) + \lambda_n (p_{n+1} - e_n)
        - \alpha_n s_n J_{g_n}^\top (p_n - e_{n-1}), \qquad p_n = g_n(e_n).

Time is counted in published steps, the step of the discrete rule that this equation comes from.
"""

import matplotlib.pyplot as plt
import torch

import neurodyn as nd
from neurodyn import analysis
from neurodyn.models import pc_shallow

model = pc_shallow(pretrained=True)
images, labels = nd.stimuli.digits(split="test", n=64, noise=0.4, seed=0)
run = nd.simulate(
    model,
    images,
    times=torch.linspace(0, 10, 21),
    method="dopri5",
    rtol=1e-3,
    atol=1e-4,
    coords={"label": ("sample", labels.numpy())},
)
answer = run["logits"].argmax("category")

# %%
# The network's answers, the interval being a bootstrap over images:

correct = answer == run["label"]
accuracy = analysis.accuracy(correct)
for t in (0.0, 5.0, 10.0):
    low, high = accuracy.accuracy_ci.sel(time=t).values
    print(f"t = {t:4.1f}: {accuracy.accuracy.sel(time=t):.3f} correct ({low:.3f} to {high:.3f})")

# %%
# One digit whose answer changes from wrong to right, what its first layer represents, and the
# logits that compete; on the right, how often all of the answers are right.

changes = (~correct.isel(time=0) & correct.isel(time=-1)).values
i = int(changes.argmax())
digit, first = int(labels[i]), int(answer.isel(time=0, sample=i))
layer1 = run.layers["layer1"]["state"].isel(sample=i)
channel = int(layer1.std(("time", "y", "x")).argmax("channel"))
shown = layer1.sel(channel=channel, time=[0, 5, 10])

figure = plt.figure(figsize=(7.2, 4.4))
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.35))
axes = top.subplots(1, 4)
picture = axes[0].imshow(images[i, 0].numpy(), vmin=-0.8, vmax=1.8)
top.colorbar(picture, ax=axes[0], label="grey value", shrink=0.8)
axes[0].set_title(f"stimulus: {digit} in noise")
low, high = float(shown.min()), float(shown.max())
for axis, t in zip(axes[1:], shown.time.values, strict=True):
    picture = axis.imshow(shown.sel(time=t), cmap="cividis", vmin=low, vmax=high)
    axis.set_title(f"layer 1, t = {t:g}")
top.colorbar(picture, ax=axes[3], label="activity", shrink=0.8)
for axis in axes:
    axis.set_axis_off()

left, right = bottom.subplots(1, 2)
logits = run["logits"].isel(sample=i)
left.plot(logits.time, logits, color="0.8", linewidth=0.8)
left.plot(logits.time, logits.sel(category=digit), "C0", label=f"{digit}, shown")
left.plot(logits.time, logits.sel(category=first), "C1--", label=f"{first}, first answer")
left.set(xlabel="time (published steps)", ylabel="logit", xlim=(0, 10))
left.legend(loc="lower right")

right.fill_between(accuracy.time, *accuracy.accuracy_ci.values.T, color="C0", alpha=0.2, lw=0)
right.plot(accuracy.time, accuracy.accuracy, "C0", label=f"{len(labels)} digits, 95% interval")
right.axhline(accuracy.accuracy[0], color="0.3", linestyle="--", lw=1, label="feed-forward pass")
right.set(xlabel="time (published steps)", ylabel="proportion correct")
right.set(xlim=(0, 10), ylim=(0.5, 1))
right.legend(loc="lower right")
