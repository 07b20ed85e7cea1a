"""Where the states of a diagram stand and how its arcs bend: few crossings, nothing covered."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist

from neurodyn.stimuli.automata import Automaton, State

RADIUS = 0.3  # of a state; all lengths in units of the diagram
ACROSS, DOWN = 1.75, 1.35  # between layers, and between states of one
RESTARTS = 6
LOOP = np.deg2rad(28)  # half the angle between the two ends of a loop
BENDS = (0, 0.12, -0.12, 0.22, -0.22, 0.35, -0.35, 0.5, -0.5, 0.7, -0.7, 0.95, -0.95)
Points = Float[np.ndarray, "point 2"]


class Curve(NamedTuple):
    """A quadratic Bézier curve from the rim of one state to that of another."""

    control: Points  # 3 points
    letters: str
    label: Float[np.ndarray, " 2"]


def nearest_layers(machine: Automaton) -> dict[State, int]:
    """Return how many arcs each state is away from the start."""
    depth = {machine.start: 0}
    for state in machine.order:
        for _, target in machine.arcs[state]:
            depth.setdefault(target, depth[state] + 1)
    return depth


def farthest_layers(machine: Automaton) -> dict[State, int]:
    """Return the largest number of arcs to each state, without those that lead back.

    Those are the arcs to a state nearer to the start, and one of each cycle that is left.
    """
    near = nearest_layers(machine)
    finished: dict[State, None] = {}
    forward: dict[State, set[State]] = {state: set() for state in machine.order}
    stack = [(machine.start, iter(machine.arcs[machine.start]))]
    entered = {machine.start}
    while stack:
        state, arcs = stack[-1]
        for _, target in arcs:
            if near[target] < near[state] or (target in entered and target not in finished):
                continue
            forward[state].add(target)
            if target not in entered:
                entered.add(target)
                stack.append((target, iter(machine.arcs[target])))
                break
        else:
            finished[state] = None
            stack.pop()
    depth = dict.fromkeys(machine.order, 0)
    for state in reversed(finished):
        for target in forward[state]:
            depth[target] = max(depth[target], depth[state] + 1)
    return depth


def positions(machine: Automaton) -> dict[State, Float[np.ndarray, " 2"]]:
    """Return where the states stand: layers from left to right, with few crossings.

    Layers are shortest or longest distances from the start, whichever untangles better. Heights
    are found by trying exchanges and moves within the layers, from several beginnings.
    """
    states = list(machine.order)
    rng = np.random.default_rng(0)
    found = []
    for depth in (nearest_layers(machine), farthest_layers(machine)):
        sketch = sketched(machine, depth)
        for i in range(RESTARTS):
            y = settle(sketch, centred(sketch.x, rng, first=not i), rng)
            found.append((tangle(sketch, y), sketch.x, y))
    _, x, y = min(found, key=lambda each: each[0])
    return {s: np.array([ACROSS * x[i], DOWN * y[i]]) for i, s in enumerate(states)}


class Sketch(NamedTuple):
    """The layers of the states, the pairs of states that arcs join, the arcs that share one."""

    x: Float[np.ndarray, " state"]
    ends: Int[np.ndarray, "arc 2"]
    shared: Bool[np.ndarray, "arc arc"]


def sketched(machine: Automaton, depth: dict[State, int]) -> Sketch:
    """Return what the heights of the states are to be found for."""
    numbers = {state: i for i, state in enumerate(machine.order)}
    pairs = {
        tuple(sorted((numbers[state], numbers[target])))
        for state in machine.order
        for _, target in machine.arcs[state]
        if target != state
    }
    ends = np.array(sorted(pairs), dtype=int).reshape(-1, 2)
    shared = (ends[:, None, :, None] == ends[None, :, None, :]).any((2, 3))
    return Sketch(np.array([depth[state] for state in machine.order], dtype=float), ends, shared)


def centred(
    x: Float[np.ndarray, " state"], rng: np.random.Generator, first: bool
) -> Float[np.ndarray, " state"]:
    """Return heights for a beginning: each layer in some order about the middle."""
    y = np.zeros_like(x)
    for layer in np.unique(x):
        here = np.flatnonzero(x == layer)
        places = (len(here) - 1) / 2 - np.arange(len(here))
        y[here] = places if first else rng.permutation(places)
    return y


def settle(
    sketch: Sketch, y: Float[np.ndarray, " state"], rng: np.random.Generator
) -> Float[np.ndarray, " state"]:
    """Change heights one state or two at a time as long as that untangles the diagram."""
    best, improved = tangle(sketch, y), True
    while improved:
        improved = False
        for state in rng.permutation(len(y)):
            for other in proposals(sketch.x, y, int(state)):
                cost = tangle(sketch, other)
                if cost < best - 1e-9:
                    best, y, improved = cost, other, True
    return y


def proposals(
    x: Float[np.ndarray, " state"], y: Float[np.ndarray, " state"], state: int
) -> list[Float[np.ndarray, " state"]]:
    """Return heights with one state moved, or exchanged with another of its layer."""
    found = []
    neighbours = [int(i) for i in np.flatnonzero(x == x[state]) if i != state]
    for step in (0.5, -0.5, 1, -1, 2, -2):
        moved = y.copy()
        moved[state] += step
        if all(abs(moved[state] - y[i]) >= 1 for i in neighbours):
            found.append(moved)
    for other in neighbours:
        moved = y.copy()
        moved[state], moved[other] = y[other], y[state]
        found.append(moved)
    return found


def tangle(sketch: Sketch, y: Float[np.ndarray, " state"]) -> float:
    """Return how bad straight arcs would look: crossings, states in the way, height, slopes."""
    if not len(sketch.ends):
        return float(np.ptp(y))
    x, y = ACROSS * sketch.x, DOWN * y
    first, second = sketch.ends.T
    x1, y1 = x[first], y[first]
    dx, dy = x[second] - x1, y[second] - y1
    crossings = (crossing(x1, y1, dx, dy) & ~sketch.shared).sum() / 2
    square = dx**2 + dy**2
    to_x, to_y = x - x1[:, None], y - y1[:, None]
    t = np.clip((to_x * dx[:, None] + to_y * dy[:, None]) / square[:, None], 0, 1)
    gap = np.hypot(to_x - t * dx[:, None], to_y - t * dy[:, None])
    gap[np.arange(len(first))[:, None], sketch.ends] = np.inf
    blocked = np.clip(1 - gap / (1.8 * RADIUS), 0, None).sum()
    return float(
        4 * crossings + 9 * blocked + 0.25 * np.sqrt(square).sum() + 1.1 * np.ptp(y)
        + 0.3 * abs(y[0]) + 0.05 * abs(y.mean())
    )  # fmt: skip


def crossing(
    x: Float[np.ndarray, " arc"],
    y: Float[np.ndarray, " arc"],
    dx: Float[np.ndarray, " arc"],
    dy: Float[np.ndarray, " arc"],
) -> Bool[np.ndarray, "arc arc"]:
    """Return which straight arcs, from (x, y) on by (dx, dy), cross."""
    start = dx[:, None] * (y - y[:, None]) - dy[:, None] * (x - x[:, None])
    end = start + dx[:, None] * dy - dy[:, None] * dx
    apart = start * end < -1e-9
    return apart & apart.T


def curves(machine: Automaton, place: dict[State, Float[np.ndarray, " 2"]]) -> list[Curve]:
    """Return the arcs between different states, bent so that they keep clear of the rest."""
    letters: dict[tuple[State, State], list[str]] = {}
    for state in machine.order:
        for letter, target in machine.arcs[state]:
            if target != state:
                letters.setdefault((state, target), []).append(letter)
    order = sorted(letters, key=lambda pair: np.linalg.norm(place[pair[1]] - place[pair[0]]))
    drawn: dict[tuple[State, State], Points] = {}
    for _ in range(3):  # once more with all others known
        for pair in order:
            others = [bezier(control) for key, control in drawn.items() if key != pair]
            choices = [bent(place[pair[0]], place[pair[1]], bend) for bend in BENDS]
            nodes = [p for state, p in place.items() if state not in pair]
            costs = [
                clutter(bezier(c), others, nodes) + 1.5 * abs(bend) + 0.6 * bend**2
                for c, bend in zip(choices, BENDS, strict=True)
            ]
            drawn[pair] = choices[int(np.argmin(costs))]
    found: list[Curve] = []
    for pair in order:
        control = drawn[pair]
        lines = [bezier(c) for key, c in drawn.items() if key != pair]
        labels = [curve.label[None] for curve in found]
        rest = np.concatenate([*lines, *labels, np.array([*place.values()])])
        found.append(Curve(control, ", ".join(letters[pair]), free_spot(bezier(control), rest)))
    return found


def bent(start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"], bend: float) -> Points:
    """Return the control points of an arc from rim to rim; `bend` is relative to its length."""
    along = end - start
    middle = (start + end) / 2 + bend * np.array([-along[1], along[0]])
    out, into = middle - start, middle - end
    return np.stack(
        [
            start + RADIUS * out / np.linalg.norm(out),
            middle,
            end + (RADIUS + 0.03) * into / np.linalg.norm(into),
        ]
    )


def bezier(control: Points, points: int = 41) -> Points:
    """Return points along a quadratic Bézier curve."""
    t = np.linspace(0, 1, points)[:, None]
    return (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t**2 * control[2]


def clutter(
    line: Points, others: Sequence[Points], nodes: Sequence[Float[np.ndarray, " 2"]]
) -> float:
    """Return how much an arc gets in the way of states and of other arcs."""
    cost = 0.0
    if len(nodes):
        gap = cdist(line, np.array(nodes)).min(0)
        cost += 12 * np.clip(1 - gap / (2.0 * RADIUS), 0, None).sum()
    if len(others):
        apart = cdist(line[4:-4], np.concatenate(others))  # without the ends: arcs meet at states
        gap = apart.reshape(-1, len(others), len(line)).min(2)
        cost += 0.35 * np.clip(1 - gap / 0.28, 0, None).sum()
    return float(cost)


def free_spot(line: Points, others: Points) -> Float[np.ndarray, " 2"]:
    """Return the point of an arc, near its middle, that is farthest from everything else."""
    gap = cdist(line, others).min(1)
    t = np.linspace(0, 1, len(line))
    score = np.minimum(gap, 0.45) - 0.35 * np.abs(t - 0.5)
    score[(t < 0.22) | (t > 0.75)] = -np.inf
    return line[int(np.argmax(score))]


def loop_angle(
    centre: Float[np.ndarray, " 2"],
    lines: Points,
    nodes: Points,
) -> float:
    """Return the direction, in radians, in which a loop at a state has most room."""
    angles = np.deg2rad([90, -90, 60, 120, -60, -120, 30, 150, -30, -150, 0, 180])
    preference = np.array([0, 0, 0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2])
    room = np.full(len(angles), 0.55)
    for distance, turn in ((1.2, LOOP), (1.2, -LOOP), (1.7, 0.0), (2.4, 0.0), (3.2, 0.0)):
        ahead = np.stack([np.cos(angles + turn), np.sin(angles + turn)], axis=1)
        spots = (centre + distance * RADIUS * ahead)[:, None]
        for points, size in ((lines, 0.0), (nodes, RADIUS)):
            if len(points) and not (size and turn):
                gap = np.linalg.norm(spots - points[None], axis=2).min(1) - size
                room = np.minimum(room, gap)
    return float(angles[int(np.argmax(room - preference))])
