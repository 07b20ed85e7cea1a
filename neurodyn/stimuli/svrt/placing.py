"""Where the rules put things: places to try, and masks of where lines may lie."""

from collections.abc import Callable

import numpy as np

from neurodyn.stimuli.svrt.draft import Draft
from neurodyn.stimuli.svrt.problem import Places, Pose
from neurodyn.stimuli.svrt.raster import Masks

INNER = (10, 118)  # where small shapes are whole


def unless(bad: np.ndarray, places: Places) -> Places:
    """Return places, nan where the try is in vain."""
    return np.where(bad, np.nan, places)


def somewhere(d: Draft) -> Places:
    """Place one part anywhere."""
    return d.somewhere(1)


def two_somewhere(d: Draft) -> Places:
    """Place two parts anywhere."""
    return d.somewhere(2)


def half_size(d: Draft) -> Pose:
    """Place a part of half its size anywhere."""
    return d.somewhere(1), np.array([0.5])


def two_distances(d: Draft) -> Places:
    """Place two pairs, equally far apart or 21 pixels more or less."""
    first, other = d.length(0, 64), d.length(0, 64)
    second = np.where(d.label, first, other)
    arms = np.concatenate([first, second], 1) * np.exp(1j * d.angle(2))
    middle = d.somewhere(2, 0, 107)
    ends = np.rint(np.stack([middle + arms, middle - arms], 2).reshape(-1, 4))
    return unless(~d.label & (2 * abs(first - second) < 21 * d.unit), ends)


def big_in_line(d: Draft) -> Pose:
    """Place three on a line, the first, which is twice as large, at an end or in the middle."""
    a, b = np.split(d.somewhere(2), 2, 1)
    middle = np.rint(a + d.uniform(0.25, 0.75) * (b - a))
    big, small = np.where(d.label, a, middle), np.where(d.label, middle, a)
    return np.concatenate([big, small, b], 1), np.array([1, 0.5, 0.5])


def square(d: Draft) -> Places:
    """Place four at the corners of a square."""
    arm = d.length(0, 64) * np.exp(1j * d.angle())
    return np.rint(d.somewhere(1) + arm * 1j ** np.arange(4))


def square_or_not(d: Draft) -> Places:
    """Place four at the corners of a square, or anywhere."""
    return np.where(d.label, square(d), d.somewhere(4))


def circle(d: Draft) -> Places:
    """Place three on a circle, two of them close: the last, and the second or the big first one."""
    middle, radius = d.somewhere(1, 32, 96), d.length(12.8, 76.8)
    angle, half = d.angle(), d.uniform(0.1 * np.pi, 0.5 * np.pi) / 2
    pair = np.exp(1j * (angle + np.concatenate([half, -half], 1)))
    single = -np.exp(1j * angle)
    big = np.where(d.label, single, pair[:, :1])
    small = np.where(d.label, pair[:, :1], single)
    return np.rint(middle + radius * np.concatenate([big, small, pair[:, 1:]], 1))


def line(d: Draft) -> Places:
    """Place three on a line, the last between the others."""
    a, b = np.split(d.somewhere(2, *INNER), 2, 1)
    return np.concatenate([a, b, np.rint(a + d.uniform(0, 1) * (b - a))], 1)


def line_or_not(d: Draft) -> Places:
    """Place three on a line, or none within 6 pixels of the segment between the others."""
    free = d.somewhere(3, *INNER)
    a, b, c = np.split(free, 3, 1)
    close = np.minimum.reduce([away(a, b, c), away(b, c, a), away(c, a, b)]) <= 6 * d.unit
    return np.where(d.label, line(d), unless(close, free))


def away(p: Places, a: Places, b: Places) -> np.ndarray:
    """Return the distance of p from the segment between a and b."""
    along = b - a
    t = ((p - a) * along.conj()).real / np.maximum(abs(along) ** 2, 1)
    return abs(p - a - along * t.clip(0, 1))


def mirrored_copies(d: Draft) -> Pose:
    """Place three anywhere and three across the vertical midline, mirrored or not."""
    first = d.somewhere(3, *INNER)
    flip = d.label & (np.arange(6) >= 3)
    return np.concatenate([first, d.across(first)], 1), np.where(flip, -1, 1), flip


def mirrored_or_not(d: Draft) -> Places:
    """Place three anywhere and three as high, across the vertical midline or anywhere."""
    first, other = d.somewhere(3, *INNER), d.somewhere(3, *INNER)
    second = np.where(d.label, d.across(first), other.real + 1j * first.imag)
    return np.concatenate([first, second], 1)


def equidistant(d: Draft) -> Places:
    """Place three anywhere and the last in the centre of their circle, or 21 pixels off it."""
    three, free = d.somewhere(3, *INNER), d.somewhere(1, *INNER)
    a, b, c = np.split(three, 3, 1)
    b, c = b - a, c - a
    with np.errstate(invalid="ignore", divide="ignore"):  # three on a line
        centre = a + (abs(b) ** 2 * c - abs(c) ** 2 * b) / (b.conj() * c - b * c.conj())
    x, y = centre.real / d.unit, centre.imag / d.unit
    inner = (x >= INNER[0]) & (x < INNER[1]) & (y >= INNER[0]) & (y < INNER[1])
    close = ~d.label & (abs(free - centre) < 21 * d.unit)
    odd = np.where(d.label, np.rint(centre), free)
    return unless(~inner | close, np.concatenate([three, odd], 1))


def scaled(d: Draft) -> Pose:
    """Place two anywhere, each of a size of its own."""
    return d.somewhere(2), d.uniform(0.25, 1, 2)


def turned(d: Draft) -> Pose:
    """Place two anywhere, each turned by an angle of its own."""
    return d.somewhere(2), np.exp(1j * d.angle(2))


def scaled_and_turned(d: Draft) -> Pose:
    """Place two anywhere, each of a size and turned by an angle of its own."""
    return d.somewhere(2), d.uniform(0.25, 1, 2) * np.exp(1j * d.angle(2))


def reflected(d: Draft) -> Pose:
    """Place two anywhere, the second mirrored across the line halfway between them."""
    places = d.somewhere(2)
    along = places[:, 1:] - places[:, :1]
    same = along == 0
    direction = np.where(same, 1, along)
    second = d.label & np.array([False, True])
    factor = np.where(second, -(direction**2) / abs(direction) ** 2, 1)
    return unless(same, places), factor, second


def small_again(d: Draft) -> Places:
    """Place the second small one as the first to its big one, or 32 pixels off or more."""
    same = d.centre(1) + d.centre(2) - d.centre(0)
    free = d.somewhere(1)
    return np.where(d.label, same, unless(abs(free - same) < 32 * d.unit, free))


def beside(part: int, other: int) -> Callable[[Draft], Masks]:
    """Allow what is within 32 pixels of a part, and outside of it and of another."""
    return lambda d: d.near(d.filled(part), 32) & ~d.filled(part, other)


def side(inside: Callable[[Draft], np.ndarray]) -> Callable[[Draft], Masks]:
    """Allow what is inside the first part, or what is outside."""
    return lambda d: d.inside(0) == inside(d)[..., None]


def at_border(d: Draft) -> Masks:
    """Allow what is inside the first part; in class 0 only what is 16 pixels away from its line."""
    return d.inside(0) & (d.label[..., None] | ~d.near(d.ink(0), 16))


def apart(distance: float, *parts: int) -> Callable[[Draft], Masks]:
    """Allow all in class 1, and in class 0 what is far enough from some parts."""
    return lambda d: d.label[..., None] | ~d.near(d.filled(*parts), distance)


def contact(of: int, *parts: int) -> Callable[[Draft], Masks]:
    """Ask for contact with some parts, in one class alone."""
    return lambda d: d.filled(*parts) & (d.label[..., None] == of)
