"""Spatter on the lens: drops of water, or mud."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from neurodyn.stimuli.corrupt_filters import Image, gaussian, mirrored
from neurodyn.stimuli.corrupt_noise import normal
from neurodyn.stimuli.corrupt_weather import luminance

WATER = torch.tensor([175, 238, 238])[:, None, None] / 255  # pale turquoise
MUD = torch.tensor([63, 42, 20])[:, None, None] / 255  # brown
FAR = 20  # pixels from an edge, beyond which all is the same
WEAK, STRONG = 50, 150  # gradients of an edge
SLOPE = np.tan(np.pi / 8)  # of directions that count as horizontal

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
    distance = boxed(edge_distance(edges(drops))).floor_()
    return boxed(embossed(equalised(distance))).round_()


def boxed(plane: Plane) -> Plane:
    """Return means over 3 x 3 pixels; the plane is mirrored about its first and last pixels."""
    p = mirrored(plane, 1)
    p = (p[:, :-2] + p[:, 1:-1]).add_(p[:, 2:])
    return (p[..., :-2] + p[..., 1:-1]).add_(p[..., 2:]).div_(9)


def embossed(plane: Plane) -> Plane:
    """Return the rise to the lower right, and the value itself, from 0 to 255."""
    p = mirrored(plane, 1)
    found = (p[:, 2:, 2:] - p[:, :-2, :-2]).mul_(2).add_(plane)
    for after, before in ((p[:, 1:-1, 2:], p[:, 1:-1, :-2]), (p[:, 2:, 1:-1], p[:, :-2, 1:-1])):
        found.add_(after).sub_(before)
    return found.clamp_(0, 255)


def equalised(plane: Plane) -> Plane:
    """Return grey values spread so that each is about as frequent as any, the lowest at 0."""
    values = plane.numpy().ravel().astype(np.intp)
    counts = np.bincount(values, minlength=256)
    lowest = int(np.flatnonzero(counts)[0])
    rest = len(values) - int(counts[lowest])
    if not rest:
        return plane
    counts[lowest] = 0
    table = np.rint(counts.cumsum() * (255 / rest)).astype(np.float32)
    return torch.from_numpy(table.take(values)).view_as(plane)


def edges(plane: Plane) -> Bool[np.ndarray, "y x"]:
    """Find edges: ridges of the gradient that are strong or joined to strong ones (Canny 1986)."""
    p = np.pad(plane[0].numpy().astype(np.int16), 2, "edge")
    below, right = p[2:] - p[:-2], p[:, 2:] - p[:, :-2]
    below, right = below[:, :-1] + below[:, 1:], right[:-1] + right[1:]
    below, right = below[:, :-1] + below[:, 1:], right[:-1] + right[1:]
    size = abs(right)
    size += abs(below)
    size[0], size[-1], size[:, 0], size[:, -1] = 0, 0, 0, 0
    width, found = size.shape[1], np.zeros(size.shape, bool)
    right, below, size, marked = right.ravel(), below.ravel(), size.ravel(), found.ravel()
    place = np.flatnonzero(size > WEAK)  # few pixels: what follows is done for these alone
    x, y, here = right.take(place), below.take(place), size.take(place)
    steps, rises = abs(x), abs(y)
    flat = rises < SLOPE * steps
    steep = rises > (SLOPE + 2) * steps
    # where the gradient points to: right or left, down or up, or along a diagonal
    ahead = np.array([width + 1, width - 1, width, width, 1, 1, 1, 1]).take(
        ((x ^ y) < 0) + 2 * steep.view(np.int8) + 4 * flat.view(np.int8)
    )
    before, after = size.take(place - ahead), size.take(place + ahead)
    ridge = (here > before) & ((here > after) | ((flat | steep) & (here == after)))
    marked[place.take(np.flatnonzero(ridge & (here > STRONG)))] = True
    weak = place.take(np.flatnonzero(ridge & (here <= STRONG)))
    around = np.add.outer([-width, 0, width], [-1, 0, 1]).ravel()
    while (joined := marked[weak[:, None] + around].any(1)).any():
        marked[weak[joined]] = True
        weak = weak[~joined]
    return found[1:-1, 1:-1]


def edge_distance(edge: Bool[np.ndarray, "y x"]) -> Plane:
    """Return the distance in pixels from the nearest edge, at most 20."""
    width = edge.shape[1]
    near = np.full((len(edge), width + FAR), FAR + 1, np.uint8)  # so far is one row from the next
    near[:, :width] *= ~edge
    line, step = near.ravel(), 1
    while step <= FAR:  # along x, in doubling steps
        for to, come in ((line[step:], line[:-step]), (line[:-step], line[step:])):
            np.minimum(to, come + np.uint8(step), out=to)
        step *= 2
    squared = near[:, :width].astype(np.int16)
    squared *= squared
    found = squared.copy()
    for step in range(1, FAR):
        if found.max() <= step * step:
            break
        further = squared + np.int16(step * step)
        np.minimum(found[step:], further[:-step], out=found[step:])
        np.minimum(found[:-step], further[step:], out=found[:-step])
    return torch.from_numpy(np.sqrt(found.clip(max=FAR**2), dtype=np.float32))[None]
