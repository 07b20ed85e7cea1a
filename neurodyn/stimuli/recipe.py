"""How scenes are made: the arguments of `multi_digits`, checked, and one block of scenes."""

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, pad

from neurodyn.stimuli.backgrounds import Pictures, check_background, crops, one_over_f
from neurodyn.stimuli.digits import NOISE
from neurodyn.stimuli.items import FAINT, Items, shipped
from neurodyn.stimuli.placing import place

BLOCK = 256  # scenes made together, always all of them, so that scene i does not depend on n
RESTARTS = 100  # of a scene whose objects do not fit
KEPT = 10  # restarts with the same objects, before others are drawn


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The arguments of `multi_digits`, which see."""

    objects: int
    split: str
    size: int
    max_overlap: float
    overlap: float | None
    side: int
    items: Any
    scale: Any
    rotation: Any
    background: Any
    contrast: float
    noise: float
    noise_type: str
    antialias: bool
    threshold: float
    seed: int

    def __post_init__(self) -> None:
        """Check every argument."""
        for name, allowed in (("split", ("train", "test")), ("noise_type", tuple(NOISE))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {allowed}")
        whole("size", self.size, 8)
        whole("side", self.side, 8)
        whole("seed", self.seed, 0)
        number("max_overlap", self.max_overlap, 0, 0.5)
        number("contrast", self.contrast, 0, 1)
        number("noise", self.noise, 0, 1 if self.noise_type == "salt_pepper" else math.inf)
        number("threshold", self.threshold, 0, 0.9)
        for name, low, high in (("scale", 0.5, 4), ("rotation", -360, 360)):
            span = getattr(self, name)
            ends = span if isinstance(span, tuple | list) else (span, span)
            if len(ends) != 2 or not real(ends[0], low, high) or not real(ends[1], ends[0], high):
                raise ValueError(
                    f"{name} must be a number from {low} to {high}, or (lowest, highest), "
                    f"got {span!r}"
                )
        if self.overlap is not None:
            number("overlap", self.overlap, 0, 1)
            if self.max_overlap:
                raise ValueError(
                    f"overlap={self.overlap!r} takes the place of max_overlap="
                    f"{self.max_overlap!r}: give one of them"
                )
        digits = isinstance(self.items, str) and self.items == "digits"
        if not digits and not isinstance(self.items, Items):
            raise ValueError(
                f"items must be 'digits' or Items(images, labels), got {type(self.items).__name__}"
            )
        present = len(self.source.present)
        if self.objects > present:
            raise ValueError(
                f"objects={self.objects} of different categories cannot be drawn from {present}"
            )
        check_background(self.background, self.size)

    @property
    def source(self) -> Items:
        """The items that objects are drawn from."""
        return self.items if isinstance(self.items, Items) else shipped(self.split)

    @property
    def pictures(self) -> Any:
        """The images that backgrounds are cut from."""
        behind = self.background
        return behind.images if isinstance(behind, Pictures) else behind

    def config(self) -> dict[str, Any]:
        """Return the arguments as JSON can hold them."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        if isinstance(self.items, Items):
            found["items"] = repr(self.items)
        if not isinstance(self.background, str):
            named = isinstance(self.background, Pictures)
            known = f"{self.background.name}: " if named else ""
            found["background"] = f"{known}crops of {len(self.pictures)} images"
        return found

    def block(self, index: int) -> tuple[Tensor, ...]:
        """Return images, masks, labels, target, boxes and items of all scenes of one block."""
        words = [*b"objects", *self.split.encode(), int(self.seed), index]
        scene, behind, last = np.random.SeedSequence(words).spawn(3)
        chosen, patches, inner, boxes = self.arrange(np.random.default_rng(scene), index)
        shift = torch.from_numpy(boxes[..., :2] - inner)
        grey = paste(patches, shift, self.side, self.size, self.antialias)
        if self.max_overlap or self.overlap is not None:
            canvas = grey.new_zeros(BLOCK, self.side, self.side)
            for g in range(self.objects):
                canvas += paste(patches[:, g], shift[:, g], self.side, self.side, False)
            weights = resizing(self.side, self.size, self.antialias)
            images = (weights @ canvas.clamp_(max=1) @ weights.T)[:, None]
        else:
            images = grey.sum(1, keepdim=True)  # without overlap, nothing to clip
        if not isinstance(self.background, str) or self.background != "none":
            rng = np.random.default_rng(behind)
            images = images + self.contrast * (
                one_over_f(rng, BLOCK, self.size) if isinstance(self.background, str)
                else crops(rng, self.pictures, BLOCK, self.size)
            )  # fmt: skip
        images = images.clamp(0, 1)
        if self.noise:
            own = int(last.generate_state(1, np.uint64)[0])
            images = NOISE[self.noise_type](images, self.noise, own)
        labels = torch.from_numpy(self.source.labels[chosen])
        target = grey.new_zeros(BLOCK, self.source.categories).scatter_(1, labels, 1.0)
        return (
            images, (grey > self.threshold) | brightest(grey), labels, target,
            torch.from_numpy(boxes), torch.from_numpy(chosen),
        )  # fmt: skip

    def arrange(self, rng: np.random.Generator, index: int) -> tuple[Any, Any, Any, Any]:
        """Draw the objects and place them; a scene that fails starts again.

        Returns the items (scene, object), their patches (scene, object, y, x), the upper left
        corner of the box within each patch (scene, object, 2), and the boxes on the canvas.
        """
        chosen, patches, inner, boxes = self.draw(rng, BLOCK)
        todo = np.arange(BLOCK)
        for attempt in range(1 + RESTARTS):
            if attempt > KEPT:
                found = self.draw(rng, len(todo))
                chosen[todo], patches[todo], inner[todo], boxes[todo] = found
            boxes[todo, :, :2], placed = place(
                rng, boxes[todo, :, 2], boxes[todo, :, 3], self.side, self.max_overlap, self.overlap
            )
            todo = todo[~placed]
            if not len(todo):
                return chosen, patches, inner, boxes
            if attempt == KEPT and len(todo) > 0.9 * BLOCK:
                break  # too tight, and the further restarts would take long to say so
        rule = (
            f"max_overlap={self.max_overlap}"
            if self.overlap is None
            else f"overlap={self.overlap} within 0.05"
        )
        high, wide = boxes[todo, :, 2:].max((0, 1))
        raise ValueError(
            f"scene {index * BLOCK + todo[0]}: {self.objects} objects of up to {high} x {wide} "
            f"pixels found no places on a canvas of side {self.side} with {rule}, in {attempt} "
            "restarts; give fewer objects, a larger side, a smaller scale or another overlap"
        )

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, Tensor, Any, np.ndarray]:
        """Draw n scenes' objects; their boxes are not yet placed."""
        chosen = self.source.draw(rng, n, self.objects)
        pixels = self.source.images[chosen]
        patches = torch.from_numpy(pixels).float()
        if pixels.dtype == np.uint8:
            patches = patches / 255
        if self.scale != 1 or self.rotation != 0:
            ends = [np.broadcast_to(span, 2) for span in (self.scale, self.rotation)]
            factor, angle = (low + (high - low) * rng.random(chosen.shape) for low, high in ends)
            largest = ends[0][1] * (math.sqrt(2) if self.rotation != 0 else 1)
            patches = turn(patches, factor, np.deg2rad(angle), largest)
        patches[patches < FAINT] = 0
        lit = (patches > 0).numpy()
        inner, extent = [], []
        for line in (np.any(lit, 3), np.any(lit, 2)):
            first = line.argmax(2)
            inner.append(first)
            extent.append(line.shape[2] - line[..., ::-1].argmax(2) - first)
        boxes = np.zeros((n, self.objects, 4), np.int64)
        boxes[..., 2:] = np.stack(extent, -1)
        return chosen, patches, np.stack(inner, -1), boxes


def brightest(grey: Tensor) -> Tensor:
    """Mark each object's brightest pixel, so that none is without a mask, however small."""
    return (grey == grey.amax((-2, -1), keepdim=True)) & (grey > 0)


def turn(
    patches: Float[Tensor, "scene object y x"], factor: np.ndarray, angle: np.ndarray,
    largest: float,
) -> Tensor:  # fmt: skip
    """Scale and rotate each patch about its middle (radians, anticlockwise), bilinearly.

    The result is square and holds a patch scaled and turned by as much as `largest`.
    """
    width = max(patches.shape[2:])
    short = [width - length for length in patches.shape[2:]]
    square = pad(patches, (short[1] // 2, -(-short[1] // 2), short[0] // 2, -(-short[0] // 2)))
    wide = math.ceil(width * largest)
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    linear = linear * (wide / width / factor)[..., None, None]
    theta = torch.from_numpy(linear).float().reshape(-1, 2, 2)
    grid = affine_grid(pad(theta, (0, 1)), [len(theta), 1, wide, wide], align_corners=False)
    turned = grid_sample(square.reshape(-1, 1, width, width), grid, align_corners=False)
    return turned.view(*patches.shape[:2], wide, wide)


def paste(patches: Tensor, corner: Tensor, side: int, size: int, antialias: bool) -> Tensor:
    r"""Place each patch on a canvas of its own and resize that, without making the canvas.

    .. math:: x' = R_{:,\,y:y+h} \; x \; R_{:,\,x:x+w}^\top

    R being the matrix that resizes a column of the canvas: resizing is linear. `corner` is where
    the upper left pixel of the patch comes to lie, which may be off the canvas where the patch is
    black.
    """
    lead, (height, width) = patches.shape[:-2], patches.shape[-2:]
    rows = windows(side, size, height, antialias)[corner[..., 0].flatten() + height]
    columns = windows(side, size, width, antialias)[corner[..., 1].flatten() + width]
    flat = torch.bmm(torch.bmm(rows, patches.reshape(-1, height, width)), columns.mT)
    return flat.view(*lead, size, size)


@lru_cache(maxsize=16)
def resizing(side: int, size: int, antialias: bool) -> Float[Tensor, "size side"]:
    """Return the matrix that resizes columns of length side as torch's bilinear interpolate."""
    eye = torch.eye(side, dtype=torch.float32, device="cpu")[None, None]
    return interpolate(eye, size=(size, side), mode="bilinear", antialias=antialias)[0, 0]


@lru_cache(maxsize=16)
def windows(
    side: int, size: int, length: int, antialias: bool
) -> Float[Tensor, "place size length"]:
    """Return the columns of `resizing` that a patch meets, for its places from -length up."""
    padded = pad(resizing(side, size, antialias), (length, length))
    return padded.unfold(1, length, 1).permute(1, 0, 2).contiguous()


def real(value: Any, low: float, high: float) -> bool:
    """Return whether a value is a number from low to high, and not a bool."""
    return not isinstance(value, bool) and isinstance(value, Real) and low <= float(value) <= high


def number(name: str, value: Any, low: float, high: float) -> None:
    """Refuse what is no number from low to high."""
    if not real(value, low, high) or value == math.inf:
        allowed = f"from {low} up" if high == math.inf else f"from {low} to {high}"
        raise ValueError(f"{name} must be a number {allowed}, got {value!r}")


def positive(name: str, value: Any) -> None:
    """Refuse what is no number above 0."""
    if not real(value, 0, math.inf) or value in (0, math.inf):
        raise ValueError(f"{name} must be a number above 0, got {value!r}")


def whole(name: str, value: Any, low: int, high: float = math.inf) -> None:
    """Refuse what is no whole number from low to high."""
    if not real(value, low, high) or not isinstance(value, Integral):
        allowed = f"from {low} up" if high == math.inf else f"from {low} to {high}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {value!r}")
