"""
Predictive coding on your own network
=====================================

Any network will do, if the modules that are tapped return one tensor each. The taps are dotted
names, as ``named_modules()`` gives them; a skip connection may cross them. The states carry these
names, the decoders between them are made for the sizes they find and trained by reconstruction.
"""

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import neurodyn as nd
from neurodyn.train import fit_reconstruction

torch.manual_seed(0)

# %%
# A small residual network, and a short training of it: nothing here knows of neurodyn.


class Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1)
        self.two = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(torch.relu(self.one(x)))


network = nn.Sequential()
network.stem = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU())
network.stage = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), Residual(16))
network.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10))

images, labels = nd.stimuli.digits(split="train", n=4000)
optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
for _ in range(2):
    for part in torch.randperm(len(images)).split(64):
        loss = nn.functional.cross_entropy(network(images[part]), labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %%
# Two taps. ``example=`` shows the sizes now, so that the decoders exist before their training;
# the network itself stays as it is.

model = nd.PredictiveCoding(
    network.eval(),
    ["stem", "stage"],
    feedforward=0.3,
    feedback=0.5,
    error=0.05,
    example=images[:1],
)
print(model.decoders)
generator = torch.Generator().manual_seed(0)
curves = fit_reconstruction(
    model, images, generator=generator, epochs=2, learning_rate=1e-2, progress=False
)

# %%
# A function of time and state is recorded like a variable. This one is the mean squared
# prediction error of each layer.

noisy, shown = nd.stimuli.digits(split="test", n=64, noise=0.6, seed=1)


def error(t: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """Return (sample, layer)."""
    below = (noisy, *state[:-1])
    pairs = zip(model.predictions(state), below, strict=True)
    return torch.stack([(p - e).square().flatten(1).mean(1) for p, e in pairs], 1)


run = nd.simulate(
    model,
    noisy,
    torch.linspace(0, 10, 21),
    rtol=1e-3,
    atol=1e-4,
    record=["stem", "readout", error],
)
correct = run["logits"].argmax("category") == shown.numpy()
print("proportion correct at t = 0 and 10:", correct.mean("sample").values[[0, -1]])

# %%
# What the first layer predicts of the stimulus, before and after; and how the prediction errors
# move. The error of the lower layer may rise: its target, the noisy stimulus, is drawn away from
# by the prediction that comes from above.

with torch.no_grad():
    start, end = (
        model.decoders[0](torch.tensor(run.layers["stem"]["state"].isel(time=k).values))
        for k in (0, -1)
    )

figure, axes = plt.subplots(1, 4, width_ratios=(1, 1, 1, 1.7))
pictures = {"stimulus": noisy[0], "prediction, t = 0": start[0], "prediction, t = 10": end[0]}
for axis, (title, picture) in zip(axes, pictures.items(), strict=False):
    axis.imshow(picture[0].numpy(), vmin=0, vmax=1)
    axis.set_title(title)
    axis.set_axis_off()
relative = run["error"] / run["error"].isel(time=0)
lines = ("C0-", "stem (of the stimulus)"), ("C1--", "stage (of stem)")
for k, (style, name) in enumerate(lines):
    mean = relative.isel(error_0=k).mean("sample")
    axes[3].plot(mean.time, mean, style, label=name)
axes[3].set(xlabel="time (published steps)", ylabel="prediction error\n(relative to t = 0)")
axes[3].set(xlim=(0, 10), ylim=(0, None))
axes[3].legend(title="prediction by")
