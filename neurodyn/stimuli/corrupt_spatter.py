"""Spatter on the lens: drops of water, or mud."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from neurodyn.stimuli.corrupt_filters import Image, gaussian, mirrored
from neurodyn.stimuli.corrupt_noise import normal
from neurodyn.stimuli.corrupt_weather import luminance

WATER = torch.tensor([175, 238, 238])[:, None, None] / 255  # pale turquoise
MUD = torch.tensor([63, 42, 20])[:, None, None] / 255  # brown
FAR = 20  # pixels from an edge, beyond which all is the same
WEAK, STRONG = 50, 150  # gradients of an edge
EMBOSS = torch.tensor([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])
SLOPE = np.tan(np.pi / 8)  # of directions that count as horizontal
BOX = torch.full((3, 3), 1 / 9)

Plane = Float[Tensor, "1 y x"]


def spatter(image: Image, c: tuple[float, ...], rng: np.random.Generator) -> Image:
    """Let drops fall on the image where smooth noise is above a threshold."""
    mean, deviation, sigma, threshold, strength, mud = c
    noise = normal(rng, (1, *image.shape[-2:])).mul_(deviation).add_(mean)
    liquid = F.threshold(gaussian(noise, sigma), threshold - 1e-7, 0.0)
    if mud:
        cover = F.threshold(gaussian((liquid > 0).float(), strength), 0.8 - 1e-7, 0.0)
        return image * (1 - cover) + cover * coloured(MUD, image)
    light = liquid.mul_(255).floor_()
    light = light * relief(light)
    brightest = float(light.max())
    if brightest > 0:
        light *= strength / brightest
    return image + light * coloured(WATER, image)


def coloured(colour: Tensor, image: Image) -> Tensor:
    """Return a colour for images of three channels, its luminance for images of one."""
    return colour if len(image) == 3 else luminance(colour)


def relief(drops: Plane) -> Plane:
    """Return how drops of these grey values shine: their distance from an edge, embossed."""
    distance = filtered(edge_distance(edges(drops)), BOX).floor_()
    return filtered(filtered(equalised(distance), EMBOSS).clamp_(0, 255), BOX).round_()


def filtered(plane: Plane, kernel: Float[Tensor, "3 3"]) -> Plane:
    """Correlate with a small kernel; the plane is mirrored about its first and last pixels."""
    padded = mirrored(plane, 1)
    height, width = plane.shape[-2:]
    found = torch.zeros_like(plane)
    for y, row in enumerate(kernel.tolist()):
        for x, weight in enumerate(row):
            if weight:
                found.add_(padded[:, y : y + height, x : x + width], alpha=weight)
    return found


def equalised(plane: Plane) -> Plane:
    """Return grey values spread so that each is about as frequent as any, the lowest at 0."""
    values = plane.to(torch.uint8).numpy().ravel()
    counts = np.bincount(values, minlength=256)
    lowest = int(values.min())
    rest = len(values) - int(counts[lowest])
    if not rest:
        return plane
    counts[lowest] = 0
    table = np.rint(counts.cumsum() * (255 / rest)).astype(np.float32)
    return torch.from_numpy(table.take(values)).view_as(plane)


def edges(plane: Plane) -> Tensor:
    """Find edges: ridges of the gradient that are strong or joined to strong ones (Canny 1986)."""
    height, width = plane.shape[-2] + 2, plane.shape[-1] + 2
    p = F.pad(plane[None], (1, 1, 1, 1), mode="replicate")[0, 0]
    down, across = p[2:] - p[:-2], p[:, 2:] - p[:, :-2]
    gy = (down[:, :-2] + down[:, 2:]).add_(down[:, 1:-1], alpha=2)
    gx = (across[:-2] + across[2:]).add_(across[1:-1], alpha=2)
    right, below = (F.pad(g, (1, 1, 1, 1)).numpy().ravel() for g in (gx, gy))
    size = abs(right) + abs(below)
    place = np.flatnonzero(size > WEAK)  # few pixels: what follows is done for these alone
    x, y, here = right[place], below[place], size[place]
    flat = abs(y) < SLOPE * abs(x)
    steep = abs(y) > (SLOPE + 2) * abs(x)
    # where the gradient points to: right or left, down or up, or along a diagonal
    ahead = np.where(flat, 1, np.where(steep, width, np.where(x * y < 0, width - 1, width + 1)))
    before, after = size[place - ahead], size[place + ahead]
    ridge = (here > before) & ((here > after) | ((flat | steep) & (here == after)))
    place, strong = place[ridge], here[ridge] > STRONG
    found = np.zeros(height * width, bool)
    found[place[strong]] = True
    weak = place[~strong]
    around = np.add.outer([-width, 0, width], [-1, 0, 1]).ravel()
    while (joined := found[weak[:, None] + around].any(1)).any():
        found[weak[joined]] = True
        weak = weak[~joined]
    return torch.from_numpy(found.reshape(1, height, width)[:, 1:-1, 1:-1])


def edge_distance(edge: Tensor) -> Plane:
    """Return the distance in pixels from the nearest edge, at most 20."""
    near = torch.where(edge, 0, FAR + 1).to(torch.int16)
    step = 1
    while step <= FAR:  # along x, in doubling steps
        wider = near.clone()
        wider[..., step:] = torch.minimum(near[..., step:], near[..., :-step] + step)
        wider[..., :-step] = torch.minimum(wider[..., :-step], near[..., step:] + step)
        near, step = wider, 2 * step
    squared = near * near
    found = squared.clone()
    for step in range(1, FAR):
        further = squared + step * step
        torch.minimum(found[:, step:], further[:, :-step], out=found[:, step:])
        torch.minimum(found[:, :-step], further[:, step:], out=found[:, :-step])
    return found.float().sqrt_().clamp_(max=FAR)
