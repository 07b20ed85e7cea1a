"""Schemes of grammars that are no automata: which letter depends on which, and how."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

INK = "#222222"
FIRST, SECOND = "#dcebf7", "#fbe6d4"  # boxes of the first and of the second of each pair
LETTER = "#0b4f8a"
UNIT = 0.62  # inches of paper for a unit of the drawing


def pairs_drawing(
    pairs: Sequence[tuple[str, str]], order: str, *, both_ways: bool = False
) -> Figure:
    """Draw a string of six places, arcs between partners, and the pairs below.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Letters that go together.
    order : {"nested", "crossed"}
        Of the partners.
    both_ways : bool
        Whether either letter of a pair may come first.

    Examples
    --------
    >>> [text.get_text() for text in pairs_drawing([("P", "T")], "nested").axes[0].texts][-1]
    'P \N{EN DASH} T'
    """
    half = 3
    partner = range(half)[::-1] if order == "nested" else range(half)
    figure, axis = blank()
    reach = 1.15 * (2 * half)
    for place in range(half):
        box(axis, (1.15 * place, 0), f"$A_{place + 1}$", FIRST)
        there = half + partner[place]
        box(axis, (1.15 * there, 0), f"$B_{place + 1}$", SECOND)
        arc(axis, 1.15 * place, 1.15 * there)
    mark = "\N{LEFT RIGHT ARROW}" if both_ways else "\N{EN DASH}"
    columns = min(len(pairs), 5)
    for number, (one, two) in enumerate(pairs):
        row, column = divmod(number, columns)
        across = 1.15 * (half - 0.5) + 1.35 * (column - (columns - 1) / 2)
        axis.text(
            across, -1.05 - 0.55 * row, f"{one} {mark} {two}", ha="center", va="center",
            fontsize=10.5, fontweight="bold", color=LETTER,
        )  # fmt: skip
    rows = (len(pairs) - 1) // columns + 1
    width = max(reach, 1.35 * columns)
    middle = 1.15 * (half - 0.5)
    top = 0.95 + 0.315 * (5 if order == "nested" else 3)
    fit(figure, axis, (middle - width / 2, middle + width / 2), (-0.95 - 0.55 * rows, top))
    return figure


def classes_drawing(classes: Sequence[Sequence[str]], places: Sequence[tuple[str, ...]]) -> Figure:
    """Draw a string of places of two classes, and the letters of each class below.

    Parameters
    ----------
    classes : two sequences of str
        The letters of A and of B.
    places : sequence of tuples of str
        The class of each place.

    Examples
    --------
    >>> figure = classes_drawing(("bd", "fs"), [tuple("bd"), tuple("fs")])
    >>> [text.get_text() for text in figure.axes[0].texts][:2]
    ['A', 'B']
    """
    figure, axis = blank()
    for number, letters in enumerate(places):
        is_first = tuple(letters) == tuple(classes[0])
        box(axis, (1.15 * number, 0), "A" if is_first else "B", FIRST if is_first else SECOND)
    middle = 1.15 * (len(places) - 1) / 2
    for row, (name, members) in enumerate(zip("AB", classes, strict=True)):
        axis.text(
            middle, -0.95 - 0.55 * row, f"{name}:  {'  '.join(members)}", ha="center",
            va="center", fontsize=10.5, fontweight="bold", color=LETTER,
        )  # fmt: skip
    wide = max(1.15 * len(places), 0.5 * max(map(len, classes)) + 1.5)
    fit(figure, axis, (middle - wide / 2, middle + wide / 2), (-1.9, 0.65))
    return figure


def words_drawing(words: Sequence[Sequence[str]]) -> Figure:
    """Draw words as rows of syllables, with the probabilities within and between words.

    Parameters
    ----------
    words : sequence of sequences of str
        The syllables of each word.

    Examples
    --------
    >>> texts = words_drawing([("pa", "bi"), ("ti", "bu")]).axes[0].texts
    >>> sorted({text.get_text() for text in texts})
    ['1', 'any other word', 'bi', 'bu', 'pa', 'ti']
    """
    figure, axis = blank()
    step, down = 1.75, 1.05
    last = step * (len(words[0]) - 1)
    others = len(words) - 1
    chance = "1" if others == 1 else rf"$\frac{{1}}{{{others}}}$ each"
    for row, word in enumerate(words):
        y = -down * row
        for place, syllable in enumerate(word):
            box(axis, (step * place, y), syllable, FIRST)
            if place:
                arrow(axis, (step * (place - 1) + 0.45, y), (step * place - 0.45, y))
                axis.text(step * (place - 0.5), y + 0.17, "1", ha="center", fontsize=8, color=INK)
        arrow(axis, (last + 0.45, y), (last + 1.3, y))
        axis.text(last + 0.82, y + 0.17, chance, ha="center", fontsize=8, color=INK)
        axis.text(last + 1.4, y, "any other word", va="center", fontsize=8, color=INK)
    fit(figure, axis, (-0.7, last + 3.4), (-down * (len(words) - 1) - 0.6, 0.6))
    return figure


def blank() -> tuple[Figure, Axes]:
    """Return an empty figure without axes' lines."""
    figure = Figure()
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set_aspect("equal")
    return figure, axis


def box(axis: Axes, centre: tuple[float, float], text: str, colour: str) -> None:
    """Draw a place of a string."""
    x, y = centre
    axis.add_patch(
        FancyBboxPatch(
            (x - 0.38, y - 0.33), 0.76, 0.66, boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=colour, edgecolor=INK, linewidth=1.0,
        )
    )  # fmt: skip
    axis.text(x, y, text, ha="center", va="center", fontsize=11, color=INK)


def arc(axis: Axes, one: float, two: float) -> None:
    """Draw the dependency between two places, above them."""
    height = 0.4 + 0.42 * (two - one) / 1.15
    rim, slant = 0.37, 0.28 * (two - one)
    points = [(one, rim), (one + slant / 2, rim + height), (two - slant / 2, rim + height)]
    path = Path([*points, (two, rim)], [Path.MOVETO, *[Path.CURVE4] * 3])
    style = "<|-|>,head_length=0.35,head_width=0.16"
    axis.add_patch(
        FancyArrowPatch(
            path=path, arrowstyle=style, mutation_scale=11, color=INK, linewidth=1.0, shrinkA=0,
            shrinkB=0,
        )
    )  # fmt: skip


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow to what follows."""
    style = "-|>,head_length=0.35,head_width=0.16"
    axis.add_patch(
        FancyArrowPatch(
            path=Path(np.array([start, end])), arrowstyle=style, mutation_scale=11, color=INK,
            linewidth=1.0, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def fit(
    figure: Figure, axis: Axes, across: tuple[float, float], upward: tuple[float, float]
) -> None:
    """Make the figure as large as the drawing."""
    axis.set_xlim(*across)
    axis.set_ylim(*upward)
    figure.set_size_inches(UNIT * (across[1] - across[0]), UNIT * (upward[1] - upward[0]))
