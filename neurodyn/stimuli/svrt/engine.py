"""How a block of scenes is made: part after part, until all follow the rule."""

import numpy as np

from neurodyn.stimuli.svrt.attempt import Attempt
from neurodyn.stimuli.svrt.draft import BLOCK, Block
from neurodyn.stimuli.svrt.problem import Problem

AT_ONCE = 2048  # tries
FRESH = 256  # tries at once where each has shapes of its own
BEGINNINGS = 30  # of a scene, before other shapes are drawn
HOPELESS = 1000  # beginnings, before there is an error


def make_block(problem: Problem, rng: np.random.Generator, size: int, line_width: int) -> Block:
    """Return 64 scenes: in every two, one of each class."""
    first = rng.random(BLOCK // 2) < 0.5
    label = np.stack([first, ~first], 1).ravel()
    block = Block(problem, size, line_width, label, rng)
    (fill_with_fresh if problem.fresh else fill)(block)
    return block


def fill(block: Block) -> None:
    """Draw shapes first, and keep them while their places are drawn again.

    How often a place is drawn at once is what the tries before took, so that the last few scenes
    take no more steps than all.
    """
    stages = block.problem.stages
    firsts = np.cumsum([0, *(stage.parts for stage in stages)])
    reached, beginnings = np.zeros(BLOCK, int), np.zeros(BLOCK, int)
    rates = [[1, 1] for _ in stages]  # tries, and those that did it
    while (number := reached.min()) < len(stages):
        scenes = np.flatnonzero(reached == number)
        stage = stages[number]
        attempt = Attempt(stage, block, scenes, firsts[number])
        rows, tried, rate = np.arange(len(scenes)), 0, rates[number]
        while len(rows) and tried < stage.tries:
            repeats = min(-(-rate[0] // rate[1]), max(AT_ONCE // len(rows), 1))
            done = attempt(np.repeat(rows, repeats))
            tried += repeats
            rate[0] += len(rows) * repeats
            rate[1] += len(done)
            reached[scenes[done]] += 1
            rows = np.setdiff1d(rows, done)
        vain = scenes[rows]
        reached[vain] = 0
        beginnings[vain] += 1
        if beginnings.max() > HOPELESS:
            raise hopeless(block)
        block.clear(vain)
        for scene in vain[beginnings[vain] % BEGINNINGS == 0]:
            block.shapes[scene].clear()


def fill_with_fresh(block: Block) -> None:
    """Draw shapes and places together, again and again: large shapes become rarer."""
    (stage,) = block.problem.stages
    empty = np.arange(BLOCK)
    for _ in range(HOPELESS):
        if not len(empty):
            return
        scenes = np.resize(empty, FRESH)
        tries = Block(block.problem, block.size, block.line_width, block.label[scenes], block.rng)
        done = Attempt(stage, tries, np.arange(FRESH), 0)(np.arange(FRESH))
        made, chosen = np.unique(scenes[done], return_index=True)
        block.copy(made, tries, done[chosen])
        empty = np.setdiff1d(empty, made)
    raise hopeless(block)


def hopeless(block: Block) -> ValueError:
    """Return the error for scenes that find no places."""
    return ValueError(
        f"shapes found no places in images of size {block.size} with lines {block.line_width} wide:"
        " take a larger size or a thinner line"
    )
