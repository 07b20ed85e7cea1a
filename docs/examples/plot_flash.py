"""
A flash: stimuli that change in time
====================================

A stimulus may be a function of time. `neurodyn.Film` shows one frame after the other; the run is
cut at its switches, so that an adaptive solver never steps across one.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import neurodyn as nd
from neurodyn.models import pc_shallow

model = pc_shallow(pretrained=True)
images, labels = nd.stimuli.digits(split="test", n=8)
blank = torch.zeros_like(images)

# %%
# The run starts from rest: the fixed point under a blank field, the same for all samples.

rest = nd.integrate(model, blank[:1], [0.0, 60.0], method="bosh3", gradient="none")
at_rest = tuple(state[-1].expand(len(images), *state.shape[2:]) for state in rest.states)

# %%
# A digit is shown from t = 2 to t = 8.

onset, offset = 2.0, 8.0
film = nd.Film(torch.stack([blank, images, blank]), onsets=[0.0, onset, offset])
times = torch.linspace(0, 20, 101)
run = nd.simulate(model, film, times, initial_state=at_rest, rtol=1e-3, atol=1e-4)
print(f"{run.attrs['nfe']} evaluations in steps of", end=" ")
print(f"{run.attrs['smallest_step']:.2g} to {run.attrs['largest_step']:.2g}")

# %%
# The response of a layer: how far its state is from rest, as a part of its largest distance. The
# higher the layer, the later it responds, and the longer, although nothing in the equation is a
# delay: each layer follows the one below at its own rate.

responses = {}
for name, layer in run.layers.items():
    state = layer["state"]
    away = np.sqrt(((state - state.isel(time=0)) ** 2).sum(("channel", "y", "x")))
    responses[name] = response = (away / away.max("time")).mean("sample")
    half = float(times[int((response >= 0.5).values.argmax())]) - onset
    peak = float(times[int(response.values.argmax())]) - onset
    print(f"{name}: half of its response {half:.1f} after onset, the peak {peak:.1f} after onset")

# %%
# Left: the layers. Right: the logit of the digit that was shown against the mean of the others.

figure, (left, right) = plt.subplots(1, 2, sharex=True)
for axis in (left, right):
    axis.axvspan(onset, offset, color="0.92", linewidth=0)
    axis.set(xlabel="time (published steps)", xlim=(0, 20), xticks=range(0, 21, 4))
for style, (name, response) in zip(("C0-", "C1--", "C2-."), responses.items(), strict=True):
    left.plot(response.time, response, style, label=name)
left.set(ylabel="response (relative to its maximum)", ylim=(0, 1.25), yticks=(0, 0.5, 1))
left.legend(loc="upper right", ncols=3)
left.text((onset + offset) / 2, 1.03, "digit on", ha="center", color="0.35")

shown = torch.nn.functional.one_hot(labels, 10).bool().numpy()
logits = run["logits"]
right.plot(times, logits.where(shown).mean(("sample", "category")), "C0-", label="digit shown")
right.plot(times, logits.where(~shown).mean(("sample", "category")), "C1--", label="other digits")
right.set(ylabel=f"logit (mean over {len(labels)} stimuli)")
right.margins(y=0.2)
right.legend(loc="upper right", ncols=2)
