"""Scenes in the making: what the rules see of them, and what they draw."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Complex128, Float64, Int64

from neurodyn.stimuli.svrt.contour import Contours
from neurodyn.stimuli.svrt.ragged import Indices
from neurodyn.stimuli.svrt.raster import Masks, beside, interior, within

if TYPE_CHECKING:
    from neurodyn.stimuli.svrt.problem import Problem

BLOCK = 64  # scenes made together, always all of them, so that scene i does not depend on n


class Block:
    """All that is known of scenes in the making; what is not placed yet is nan.

    Parameters
    ----------
    problem : Problem
        Their rule.
    size, line_width : int
        Of the images and of the lines, in pixels.
    label : ndarray
        Classes, shape (scene,).
    rng : numpy.random.Generator
        Where randomness comes from.
    """

    def __init__(
        self,
        problem: "Problem",
        size: int,
        line_width: int,
        label: Bool[np.ndarray, " scene"],
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.size, self.line_width, self.rng = problem, size, line_width, rng
        scenes, parts = len(label), len(problem.kinds[0])
        self.label, self.coin = label, rng.random(scenes) < 0.5
        alike = problem.alike(Draft(self, np.arange(scenes)))[:, 0]
        self.kinds = np.array([list(kinds) for kinds in problem.kinds])[alike.astype(int)]
        self.centre = np.full((scenes, parts), np.nan, complex)
        self.factor = np.ones((scenes, parts), complex)
        self.mirrored = np.zeros((scenes, parts), bool)
        self.shapes: list[dict[str, Contours]] = [{} for _ in range(scenes)]
        self.pixels: list[list[Indices]] = [[] for _ in range(scenes)]  # of each part: size y + x

    def copy(self, scenes: Indices, other: "Block", those: Indices) -> None:
        """Take scenes from another block."""
        for name in ("coin", "kinds", "centre", "factor", "mirrored"):
            getattr(self, name)[scenes] = getattr(other, name)[those]
        for scene, that in zip(scenes, those, strict=True):
            self.shapes[scene], self.pixels[scene] = other.shapes[that], other.pixels[that]

    def clear(self, scenes: Indices) -> None:
        """Take all parts away."""
        self.centre[scenes] = np.nan
        for scene in scenes:
            self.pixels[scene].clear()

    def ink(self, scenes: Indices, parts: Iterable[int]) -> Masks:
        """Return the pixels of the lines of some parts."""
        ink = np.zeros((len(scenes), self.size * self.size), bool)
        for row, scene in zip(ink, scenes, strict=True):
            for part in parts:
                row[self.pixels[scene][part]] = True
        return ink.reshape(-1, self.size, self.size)


@dataclass(frozen=True, eq=False)
class Draft:
    """Scenes of a block, some of them or one many times, that a rule places parts in.

    Lengths are given in pixels of an image of 128 x 128 and scale with the image; places are
    complex, x + i y, in pixels.

    Attributes
    ----------
    block : Block
        All scenes.
    scenes : ndarray
        Which of them, shape (n,).
    """

    block: Block
    scenes: Int64[np.ndarray, " n"]

    @property
    def unit(self) -> float:
        """Pixels for each pixel of an image of 128 x 128."""
        return self.block.size / 128

    @property
    def label(self) -> Bool[np.ndarray, "n 1"]:
        """The class of each scene."""
        return self.block.label[self.scenes, None]

    @property
    def coin(self) -> Bool[np.ndarray, "n 1"]:
        """The toss of a coin for each scene, kept while it is made."""
        return self.block.coin[self.scenes, None]

    def centre(self, part: int) -> Complex128[np.ndarray, "n 1"]:
        """Return where a part is."""
        return self.block.centre[self.scenes, part, None]

    def uniform(self, low: float, high: float, parts: int = 1) -> Float64[np.ndarray, "n part"]:
        """Return random numbers."""
        return low + (high - low) * self.block.rng.random((len(self.scenes), parts))

    def length(self, low: float, high: float, parts: int = 1) -> Float64[np.ndarray, "n part"]:
        """Return random lengths."""
        return self.unit * self.uniform(low, high, parts)

    def angle(self, parts: int = 1) -> Float64[np.ndarray, "n part"]:
        """Return random angles, in radians."""
        return self.uniform(0, 2 * np.pi, parts)

    def somewhere(
        self, parts: int, low: float = 0, high: float = 128
    ) -> Complex128[np.ndarray, "n part"]:
        """Return random places, of whole pixels, whose x and y are from low to below high."""
        x, y = self.length(low, high, parts), self.length(low, high, parts)
        return np.floor(x) + 1j * np.floor(y)

    def across(self, places: Complex128[np.ndarray, "n part"]) -> Complex128[np.ndarray, "n part"]:
        """Return places mirrored in the vertical midline."""
        return self.block.size - places.conj()

    def ink(self, *parts: int) -> Masks:
        """Return the pixels of the lines of some parts."""
        return self.block.ink(self.scenes, parts)

    def inside(self, part: int) -> Masks:
        """Return the pixels within a part, without its line."""
        return interior(self.ink(part))

    def filled(self, *parts: int) -> Masks:
        """Return the pixels of some parts, within and on the line."""
        return np.logical_or.reduce([self.inside(part) | self.ink(part) for part in parts])

    def near(self, masks: Masks, distance: float) -> Masks:
        """Return what is within a distance along rows and columns, and one pixel in any way."""
        return beside(within(masks, max(1, round(distance * self.unit))))
