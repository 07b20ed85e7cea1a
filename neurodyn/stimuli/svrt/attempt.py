"""Tries to place parts: all at once, each where its line may lie."""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Complex128, Int64

from neurodyn.stimuli.svrt.contour import contours, joined
from neurodyn.stimuli.svrt.draft import Block, Draft
from neurodyn.stimuli.svrt.problem import Stage
from neurodyn.stimuli.svrt.ragged import Indices, ragged
from neurodyn.stimuli.svrt.raster import Masks, beside, filled, raster

STEPS = np.arange(-1, 2)

Key = tuple[int, str, complex, bool]  # scene, kind, factor, mirrored


class Drawn:
    """The pixels of a line around its origin, as size y + x."""

    def __init__(self, pixels: Int64[np.ndarray, "pixel 2"], size: int) -> None:
        self.size = size
        self.box = (*pixels.min(0), *pixels.max(0))
        self.line = pixels[:, 1] * size + pixels[:, 0]

    @cached_property
    def filled(self) -> Indices:
        """Return the pixels on and within the line."""
        return filled(self.line, self.size)

    @cached_property
    def around(self) -> Indices:
        """Return the pixels on the line and beside it."""
        return (self.line[:, None] + np.add.outer(self.size * STEPS, STEPS).ravel()).ravel()


class Attempt:
    """Tries to place the parts of a stage in some scenes of a block."""

    def __init__(self, stage: Stage, block: Block, scenes: Indices, first: int) -> None:
        self.stage, self.block, self.scenes = stage, block, scenes
        self.parts = np.arange(first, first + stage.parts)
        self.known: dict[Key, Drawn] = {}
        draft = Draft(block, scenes)
        ink = block.ink(scenes, range(first))
        self.touching = stage.touching(draft) if stage.touching else None
        if self.touching is not None:
            self.must_touch = np.asarray(self.touching.any((1, 2)))
            ink &= ~self.touching
        self.closed = beside(ink)
        if stage.allowed:
            self.closed |= ~stage.allowed(draft)
        self.near = stage.near(draft) if stage.near else None

    def __call__(self, rows: Indices) -> Indices:
        """Try once for each row of the scenes, rows repeated; return those where it was done."""
        block, scenes = self.block, self.scenes[rows]
        placed = self.stage.centres(Draft(block, scenes))
        centre, factor, mirrored, *_ = (
            (*placed, False) if isinstance(placed, tuple) else (placed, 1, False)
        )
        factor = np.broadcast_to(np.asarray(factor, complex), centre.shape)
        mirrored = np.broadcast_to(mirrored, centre.shape)
        tries = np.flatnonzero(np.isfinite(centre).all(1))
        kinds = block.kinds[scenes[:, None], self.parts]
        lines = self.fitting(rows, tries, kinds, centre, factor, mirrored)
        tries = np.array(list(lines), int)
        for other in block.problem.also:
            if isinstance(other, str):
                others, order = np.broadcast_to(list(other), kinds.shape), list(range(len(other)))
            else:
                others, order = kinds, list(other)
            fit = self.fitting(rows, tries, others, centre, factor[:, order], mirrored[:, order])
            tries = np.array(list(fit), int)
        done, chosen = np.unique(rows[tries], return_index=True)
        for row, i in zip(done, tries[chosen], strict=True):
            scene, parts = self.scenes[row], self.parts
            block.centre[scene, parts] = centre[i]
            block.factor[scene, parts] = factor[i]
            block.mirrored[scene, parts] = mirrored[i]
            block.pixels[scene].extend(lines[i])
        return done

    def fitting(
        self,
        rows: Indices,
        tries: Indices,
        kinds: np.ndarray,
        centre: Complex128[np.ndarray, "row part"],
        factor: Complex128[np.ndarray, "row part"],
        mirrored: Bool[np.ndarray, "row part"],
    ) -> dict[int, list[Indices]]:
        """Return the pixels of each part for those of some tries whose parts may lie there."""
        size, canvas = self.block.size, self.block.size**2
        x, y = (np.nan_to_num(axis).astype(int) for axis in (centre.real, centre.imag))
        place = y * size + x
        within = ((x > 0) & (x < size - 1) & (y > 0) & (y < size - 1)).all(1)
        tries = tries[within[tries]]
        if self.stage.allowed:
            tries = tries[~self.closed.ravel()[rows[tries] * canvas + place[tries, 0]]]
        taken = np.zeros((len(rows) if len(self.parts) > 1 else 0, canvas), bool)
        lines: dict[int, list[Indices]] = {i: [] for i in tries.tolist()}
        for j in range(len(self.parts)):
            if not len(tries):
                return {}
            drawn, slot = self.draw(
                self.scenes[rows[tries]], kinds[tries, j], factor[tries, j], mirrored[tries, j]
            )
            left, top, right, bottom = np.array([one.box for one in drawn])[slot].T
            good = (x[tries, j] + left > 0) & (x[tries, j] + right < size - 1)
            good &= (y[tries, j] + top > 0) & (y[tries, j] + bottom < size - 1)
            tries, slot = tries[good], slot[good]
            line = [one.line for one in drawn]
            good = covered(self.closed, rows[tries], place[tries, j], line, slot) == 0
            tries, slot = tries[good], slot[good]
            if j:
                good = covered(taken, tries, place[tries, j], line, slot) == 0
                tries, slot = tries[good], slot[good]
            if self.near is not None:
                good = covered(self.near, rows[tries], place[tries, j], line, slot) > 0
                tries, slot = tries[good], slot[good]
            if self.touching is not None:  # first of the line, which is quick and rules out most
                free = ~self.must_touch[rows[tries]]
                good = free | (covered(self.touching, rows[tries], place[tries, j], line, slot) > 0)
                tries, slot = tries[good], slot[good]
                free, whole = free[good], [one.filled for one in drawn]
                shared = covered(self.touching, rows[tries], place[tries, j], whole, slot)
                good = free | (shared <= self.stage.overlap * self.block.line_width)
                tries, slot = tries[good], slot[good]
            for i, k in zip(tries, slot, strict=True):
                lines[i].append(place[i, j] + line[k])
                if j + 1 < len(self.parts):
                    taken[i, place[i, j] + drawn[k].around] = True
        return {i: lines[i] for i in tries.tolist()}

    def draw(
        self, scenes: Indices, kinds: np.ndarray, factor: np.ndarray, mirrored: np.ndarray
    ) -> tuple[list[Drawn], Indices]:
        """Return all different parts, drawn where they are new, and which of them each is."""
        keys: list[Key] = list(
            zip(scenes.tolist(), kinds.tolist(), factor.tolist(), mirrored.tolist(), strict=True)
        )
        different = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        new = [key for key in different if key not in self.known]
        if new:
            self.draw_shapes(new)
            made = joined([self.block.shapes[scene][kind] for scene, kind, *_ in new])
            factors = np.array([key[2] for key in new])
            if (factors != 1).any():
                made = made.transformed(factors, np.array([key[3] for key in new]))
            pixels, start = raster(made, self.block.line_width)
            for key, own in zip(new, np.split(pixels, start[1:-1]), strict=True):
                self.known[key] = Drawn(own, self.block.size)
        return [self.known[key] for key in different], np.array([different[key] for key in keys])

    def draw_shapes(self, keys: list[Key]) -> None:
        """Draw the shapes that are not there yet."""
        shapes, radii = self.block.shapes, self.block.problem.radii
        for kind in sorted({kind for _, kind, *_ in keys}):
            wanted = dict.fromkeys(scene for scene, other, *_ in keys if other == kind)
            those = [scene for scene in wanted if kind not in shapes[scene]]
            if not those:
                continue
            pair = radii if isinstance(radii, tuple) else radii[kind]
            radius, hole = (length * self.block.size / 128 for length in pair)
            made = contours(self.block.rng, len(those), radius, hole)
            for i, scene in enumerate(those):
                shapes[scene][kind] = made[i]


def covered(
    masks: Masks, rows: Indices, place: Indices, pixels: list[Indices], slot: Indices
) -> Indices:
    """Return how many pixels of a list, moved to a place, are in the mask of a row."""
    start = np.cumsum([0, *map(len, pixels)])
    index, begin = ragged(start, slot)
    at = rows * masks[0].size + place
    found = np.zeros(len(index) + 1, np.int64)
    where = np.concatenate(pixels)[index] + np.repeat(at, np.diff(begin))
    np.cumsum(masks.ravel()[where], out=found[1:])
    return found[begin[1:]] - found[begin[:-1]]
