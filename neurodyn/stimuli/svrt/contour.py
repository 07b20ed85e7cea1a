"""Random closed contours: what the shapes are."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex128, Int64

from neurodyn.stimuli.recipe import number, whole
from neurodyn.stimuli.svrt.ragged import Indices, ragged

Points = Complex128[np.ndarray, " point"]

GAP = 0.25  # pixels: no step along a contour is longer, in x or y
LOST = 16.5  # one contour in about exp(LOST (h / R)^2) has no point in the hole


@dataclass(frozen=True, eq=False)
class Contours:
    """Closed contours one after the other, as points x + i y around their origins, in pixels.

    Attributes
    ----------
    points : ndarray
        complex128; the last point of a contour repeats its first.
    start : ndarray
        int64, shape (contour + 1,): where each begins in `points`, and where the last ends.
    corner : ndarray
        int64, shape (contour, 5): where in `points` its four anchors are, and its end.
    """

    points: Complex128[np.ndarray, " point"]
    start: Int64[np.ndarray, " contour+1"]
    corner: Int64[np.ndarray, "contour 5"]

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, index: int) -> "Contours":
        begin, end = self.start[index : index + 2]
        return Contours(
            self.points[begin:end], np.array([0, end - begin]), self.corner[index][None] - begin
        )

    def take(self, chosen: Int64[np.ndarray, " n"]) -> "Contours":
        """Return some of the contours, in the order given."""
        index, start = ragged(self.start, chosen)
        return Contours(
            self.points[index],
            start,
            self.corner[chosen] + (start[:-1] - self.start[chosen])[:, None],
        )

    def transformed(
        self,
        factor: Complex128[np.ndarray, " contour"],
        mirrored: Bool[np.ndarray, " contour"] | None = None,
    ) -> "Contours":
        r"""Return each contour scaled and turned, after mirroring where asked for.

        .. math:: z \mapsto f z \quad \text{or, mirrored,} \quad f \bar{z}
        """
        lengths, points = np.diff(self.start), self.points
        if mirrored is not None:
            points = np.where(np.repeat(mirrored, lengths), points.conj(), points)
        points = points * np.repeat(factor, lengths)
        return Contours(points, self.start, self.corner)


def joined(parts: list[Contours]) -> Contours:
    """Return contours of several as one."""
    shifts = np.cumsum([0, *(len(part.points) for part in parts)])
    moved = list(zip(parts, shifts, strict=False))
    return Contours(
        np.concatenate([part.points for part in parts]),
        np.concatenate([*(part.start[:-1] + shift for part, shift in moved), shifts[-1:]]),
        np.concatenate([part.corner + shift for part, shift in moved]),
    )


def contours(rng: np.random.Generator, n: int, radius: float, hole: float) -> Contours:
    r"""Return n random contours between two circles around their origin.

    Four anchors, one in each quadrant, uniform in the annulus :math:`h \le |p| \le R`, are the
    corners. Each side is then broken at a displaced midpoint,

    .. math:: m = \frac{p_1 + p_2}{2} + \delta, \qquad
        \delta \text{ uniform in the disc } |\delta| \le \frac{|p_1 - p_2|}{5},

    :math:`\delta` drawn again until :math:`|m| \le R`, and so are the two halves, until no step
    along the contour is longer than a quarter of a pixel in x or y. A contour with a point in the
    hole, :math:`|p| < h`, is thrown away as a whole, as soon as one is there. At last each is
    turned by an angle uniform from 0 to :math:`2 \pi`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where randomness comes from.
    n : int
        Number of contours.
    radius, hole : float
        R and h, in pixels; h is at most half of R: at this limit one contour in about 60 has no
        point in the hole, and with a larger hole hardly any.

    Raises
    ------
    ValueError
        For arguments out of range.

    References
    ----------
    Fleuret, Li, Dubout, Wampler, Yantis & Geman (2011), Comparing machines and humans on a visual
    categorization test, PNAS 108, 17621.

    Examples
    --------
    >>> made = contours(np.random.default_rng(0), 3, radius=21, hole=2)
    >>> len(made), bool(abs(made.points).max() <= 21), bool(abs(made.points).min() >= 2)
    (3, True, True)
    >>> steps = np.diff(made[0].points)
    >>> bool(abs(steps).max() <= 0.25 * 2**0.5)
    True
    """
    whole("n", n, 1)
    number("radius", radius, GAP, math.inf)
    number("hole", hole, 0, radius / 2)
    found: list[Contours] = []
    lack = n
    while lack > 0:
        tries = math.ceil(lack * math.exp(LOST * (hole / radius) ** 2))
        made = whole_ones(rng, tries, radius, hole)
        kept = min(len(made), lack)
        found.append(made if kept == len(made) else made.take(np.arange(kept)))
        lack -= kept
    made = joined(found)
    return made.transformed(np.exp(2j * np.pi * rng.random(n)))


def whole_ones(rng: np.random.Generator, n: int, radius: float, hole: float) -> Contours:
    """Begin n contours, and return those that have no point in the hole."""
    points, start = anchors(rng, n, radius, hole), np.arange(n + 1) * 5
    corner = start[:-1, None] + np.arange(5)
    while True:
        long = long_steps(points, start, GAP)
        if not len(long):
            return Contours(points, start, corner)
        middle = displaced(rng, points, long, radius)
        good = np.ones(len(start) - 1, bool)
        inside = middle.real**2 + middle.imag**2 < hole**2
        good[np.searchsorted(start, long[inside], "right") - 1] = False
        points, moved = insert(points, long, middle)
        made = Contours(points, moved[start], moved[corner])
        if not good.all():
            made = made.take(np.flatnonzero(good))
        points, start, corner = made.points, made.start, made.corner


def anchors(
    rng: np.random.Generator, n: int, radius: float, hole: float
) -> Complex128[np.ndarray, " point"]:
    """Return four anchors for each contour, and the first again."""
    size = np.empty(4 * n, complex)
    bad = np.arange(4 * n)
    while len(bad):
        u, v = radius * rng.random((2, len(bad)))
        size[bad] = u + 1j * v
        length = u**2 + v**2
        bad = bad[(length < hole**2) | (length > radius**2)]
    x, y = size.real.reshape(n, 4), size.imag.reshape(n, 4)
    four = x * [1, -1, -1, 1] + 1j * (y * [1, 1, -1, -1])
    return np.concatenate([four, four[:, :1]], 1).ravel()


def displaced(rng: np.random.Generator, points: Points, after: Indices, radius: float) -> Points:
    """Return midpoints displaced within a fifth of the distance, none beyond the radius."""
    middle, far = midpoints(points, after, disc(rng, len(after)), radius)
    while len(far):
        again = disc(rng, len(far))
        middle[far], still = midpoints(points, after[far], again, radius)
        far = far[still]
    return middle


def disc(rng: np.random.Generator, n: int) -> Complex128[np.ndarray, " n"]:
    """Return points uniform in the unit disc: those of a square that lie in it."""
    found, lack = [], n
    while lack > 0:
        points = rng.random((int(lack * 1.3) + 8, 2))
        points = (2 * points - 1).view(complex)[:, 0]
        found.append(points[points.real**2 + points.imag**2 <= 1][:lack])
        lack -= len(found[-1])
    return found[0] if len(found) == 1 else np.concatenate(found)


def long_steps(points: Points, start: Indices, gap: float) -> Indices:
    """Return after which points the step to the next is long; none is from contour to contour."""
    step = points[1:] - points[:-1]
    long = (abs(step.real) > gap) | (abs(step.imag) > gap)
    long[start[1:-1] - 1] = False
    return np.flatnonzero(long)


def midpoints(
    points: Points, after: Indices, disc: Points, radius: float
) -> tuple[Points, Indices]:
    """Return displaced midpoints of some steps, and which of them are beyond the radius."""
    first, second = points[after], points[after + 1]
    dx, dy = second.real - first.real, second.imag - first.imag
    reach = np.sqrt(dx * dx + dy * dy) / 5
    middle = np.empty(len(after), complex)
    middle.real = x = (first.real + second.real) / 2 + reach * disc.real
    middle.imag = y = (first.imag + second.imag) / 2 + reach * disc.imag
    return middle, np.flatnonzero(x * x + y * y > radius * radius)


def insert(points: Points, after: Indices, new: Points) -> tuple[Points, Indices]:
    """Return the points with new ones after some of them, and where the old ones are now."""
    moved = np.zeros(len(points) + 1, np.int64)
    moved[after + 1] = 1
    moved = np.cumsum(moved) + np.arange(len(points) + 1)
    result = np.empty(len(points) + len(new), complex)
    result[moved[:-1]] = points
    result[moved[after] + 1] = new
    return result, moved
