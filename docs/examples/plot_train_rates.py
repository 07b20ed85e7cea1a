"""
Train the rates through the solver
==================================

How much should a layer listen to what is below, above, and to itself? With ``trainable=True`` the
rates are parameters; ``gradient="checkpoint"`` gives the exact gradient of all solver steps, with
memory that grows as the square root of their number. This is a short run that shows the way, not
a study: one batch of noisy digits, a few steps of Adam.
"""

import matplotlib.pyplot as plt
import torch

import neurodyn as nd
from neurodyn.models import pc_shallow

third = [1 / 3] * 3
model = pc_shallow(pretrained=True, feedforward=third, feedback=third, trainable=True)
model.requires_grad_(False)
model.rates.requires_grad_(True)
print({name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad})

images, labels = nd.stimuli.digits(split="train", n=24, noise=0.6, seed=0)
optimizer = torch.optim.Adam(model.rates.parameters(), lr=0.1)

# %%
# The loss is the cross-entropy of the answers at t = 2, 4 and 6, under Predify's step. A sequence
# of rates gives parameters for each layer; a number would be shared by all of them.

losses, history = [], []
for _ in range(12):
    beta, lam, alpha = model.rates()
    history.append([torch.stack([torch.as_tensor(x) for x in r]).tolist() for r in (beta, lam)])
    solution = nd.integrate(
        model, images, [0.0, 2.0, 4.0, 6.0], method="euler", record="readout",
        gradient="checkpoint",
    )  # fmt: skip
    logits = solution.readout[1:].flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, labels.repeat(3))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")

# %%
# Rates of the feed-forward drive and of feedback; the last layer has none above it. What they
# leave of 1 is memory.

rates = torch.tensor(history)
figure, axes = plt.subplots(1, 3)
axes[0].plot(losses, "C0o-")
axes[0].set(ylabel="cross-entropy (nats)")
for k, (axis, symbol) in enumerate(zip(axes[1:], ("\\beta", "\\lambda"), strict=True)):
    for n, style in enumerate(("C0o-", "C1s--", "C2^-.")[: 3 - k]):
        axis.plot(rates[:, k, n], style, label=f"layer {n + 1}")
    axis.set(ylabel=f"${symbol}$ (per published step)", ylim=(0, 1))
    axis.legend()
axes[1].set_title("feed-forward drive")
axes[2].set_title("feedback")
for axis in axes:
    axis.set(xlabel="step of Adam")
