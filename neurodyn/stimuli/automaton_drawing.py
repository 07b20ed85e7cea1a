"""State diagrams, for paper, screen and as the scheme that participants may look at."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.path import Path

from neurodyn.stimuli.automata import Automaton, State
from neurodyn.stimuli.automaton_layout import (
    LOOP,
    RADIUS,
    bezier,
    curves,
    loop_angle,
    positions,
)

INK, FILL, ENDS = "#222222", "#f2f5f9", "#dcebf7"
UNIT = 0.62  # inches of paper for a unit of the diagram
LETTERS, LARGE = 10.5, 18  # points
HEAD = "-|>,head_length=0.45,head_width=0.2"
Point = Float[np.ndarray, " 2"]


def automaton_drawing(machine: Automaton, *, names: bool = True) -> Figure:
    """Draw a state diagram, the start on the left.

    An arrow leads to the start; strings may end in the states with a double ring. Each arc carries
    its letter, or several with commas. A letter on two arcs of one state makes the automaton
    non-deterministic. States are named by their own names where all are texts of one or two
    characters, else numbered, nearest to the start first.

    Parameters
    ----------
    machine : Automaton
        Up to about twenty states can be told apart well.
    names : bool
        Without, states are empty and letters larger, for small screens.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with its own ``savefig``.

    Examples
    --------
    >>> machine = Automaton({0: {"a": 0, "b": 1}, 1: {}}, start=0, accept=[1])
    >>> [text.get_text() for text in automaton_drawing(machine).axes[0].texts]
    ['$S_0$', '$S_1$', 'b', 'a']
    """
    place = positions(machine)
    arcs = curves(machine, place)
    figure = Figure()
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set_aspect("equal")
    size = LETTERS if names else LARGE
    for state, name in state_names(machine).items():
        draw_state(axis, place[state], name if names else "", state in machine.accept)
    for arc in arcs:
        draw_arrow(axis, Path(arc.control, [Path.MOVETO, Path.CURVE3, Path.CURVE3]))
        draw_letters(axis, arc.label, arc.letters, size)
    tail = place[machine.start] - [2.6 * RADIUS, 0]
    start = np.linspace(tail, place[machine.start] - [RADIUS + 0.03, 0], 9)
    draw_arrow(axis, Path(start[[0, -1]]))
    lines = [start, *(bezier(arc.control) for arc in arcs)]
    for state in machine.order:
        letters = [letter for letter, target in machine.arcs[state] if target == state]
        if letters:
            others = np.array([p for other, p in place.items() if other != state]).reshape(-1, 2)
            angle = loop_angle(place[state], np.concatenate(lines), others)
            lines.append(draw_loop(axis, place[state], angle, ", ".join(letters), size))
    drawn = [*lines, *(centre[None] for centre in place.values())]
    fit(figure, axis, np.concatenate(drawn))
    return figure


def state_names(machine: Automaton) -> dict[State, str]:
    """Return what is written in the states: short names as they are, else numbers."""
    words = [str(state) for state in machine.order]
    if all(isinstance(state, str) and len(state) <= 2 for state in machine.order):
        return dict(zip(machine.order, words, strict=True))
    return {state: f"$S_{{{i}}}$" if i > 9 else f"$S_{i}$" for i, state in enumerate(machine.order)}


def draw_state(axis: Axes, centre: Point, name: str, accepts: bool) -> None:
    """Draw a state; a double ring if strings may end there."""
    colour = ENDS if accepts else FILL
    x, y = map(float, centre)
    axis.add_patch(Circle((x, y), RADIUS, facecolor=colour, edgecolor=INK, linewidth=1.1, zorder=3))
    if accepts:
        inner = Circle((x, y), 0.8 * RADIUS, fill=False, edgecolor=INK, linewidth=0.9, zorder=4)
        axis.add_patch(inner)
    axis.text(x, y, name, ha="center", va="center", fontsize=8, color=INK, zorder=5)


def draw_arrow(axis: Axes, path: Path) -> None:
    """Draw an arrow along a path."""
    axis.add_patch(
        FancyArrowPatch(
            path=path, arrowstyle=HEAD, mutation_scale=11, color=INK, linewidth=1.0, shrinkA=0,
            shrinkB=0, zorder=2, capstyle="butt", joinstyle="miter",
        )
    )  # fmt: skip


def draw_letters(axis: Axes, where: Point, letters: str, size: float) -> None:
    """Write the letters of an arc upon it."""
    box = {"boxstyle": "round,pad=0.12,rounding_size=0.3", "facecolor": "white", "linewidth": 0}
    x, y = map(float, where)
    axis.text(
        x, y, letters, ha="center", va="center", fontsize=size, fontweight="bold",
        color="#0b4f8a", bbox=box, zorder=6,
    )  # fmt: skip


def draw_loop(
    axis: Axes, centre: Point, angle: float, letters: str, size: float
) -> Float[np.ndarray, "point 2"]:
    """Draw an arc from a state to itself; return points on it."""

    def out(by: float, distance: float) -> Point:
        return centre + distance * np.array([np.cos(angle + by), np.sin(angle + by)])

    begin, end = out(LOOP, RADIUS), out(-LOOP, RADIUS + 0.03)
    one, two = out(1.55 * LOOP, 3.7 * RADIUS), out(-1.55 * LOOP, 3.7 * RADIUS)
    path = Path([begin, one, two, end], [Path.MOVETO, *[Path.CURVE4] * 3])
    draw_arrow(axis, path)
    t = np.linspace(0, 1, 21)[:, None]
    points = (
        (1 - t) ** 3 * begin + 3 * t * (1 - t) ** 2 * one + 3 * t**2 * (1 - t) * two + t**3 * end
    )
    outside = 0.015 * (size - LETTERS)  # so that large letters leave the loop in view
    draw_letters(axis, points[10] + out(0, outside) - centre, letters, size)
    return points


def fit(figure: Figure, axis: Axes, points: Float[np.ndarray, "point 2"]) -> None:
    """Make the figure as large as what is drawn, with a margin for states and letters."""
    low, high = points.min(0) - 1.4 * RADIUS, points.max(0) + 1.4 * RADIUS
    axis.set_xlim(low[0], high[0])
    axis.set_ylim(low[1], high[1])
    figure.set_size_inches(*(UNIT * (high - low)))
