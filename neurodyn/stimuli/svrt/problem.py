"""What a rule is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex128

from neurodyn.stimuli.svrt.draft import Draft
from neurodyn.stimuli.svrt.raster import Masks

Places = Complex128[np.ndarray, "n part"]
Pose = tuple[Places, np.ndarray] | tuple[Places, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Stage:
    """Parts that are placed together, again and again until all of them may lie there.

    A line may lie where it leaves a white pixel to the edge of the image and to each other line.
    What masks are, is asked once, when all scenes have come to the stage.

    Attributes
    ----------
    parts : int
        How many.
    centres : callable
        Returns the places to try, (n, parts), whole numbers of pixels, or nan for a try in vain;
        or places and a complex factor, scale and turn; or also whether parts are mirrored.
    allowed : callable, optional
        Returns where the line of the part may lie, and its centre, (n, y, x).
    near : callable, optional
        Returns where at least one pixel of the line must lie.
    touching : callable, optional
        Returns the pixels of which the part, filled, must cover some; none where it is free.
    overlap : int
        How many of them at most, for each pixel of the width of the line.
    tries : int
        After so many in vain a scene is begun again.
    """

    parts: int
    centres: Callable[[Draft], Places | Pose]
    allowed: Callable[[Draft], Masks] | None = None
    near: Callable[[Draft], Masks] | None = None
    touching: Callable[[Draft], Masks] | None = None
    overlap: int = 0
    tries: int = 1000


@dataclass(frozen=True)
class Problem:
    """A rule: which shapes there are, and where they go.

    Attributes
    ----------
    about : str
        The rule in words; (0) and (1) are the classes.
    kinds : (str, str)
        A letter for each part, the same letter for the same shape: where `alike` is false, and
        where it is true.
    radii : (float, float) or mapping
        Outer and inner radius of the shapes, or of each letter, in pixels of 128 x 128.
    stages : tuple of Stage
        What is placed, one stage after the other.
    alike : callable
        Which kinds a scene has: by default, those of its class.
    fresh : bool
        Whether shapes are drawn again with every try. One stage only.
    also : tuple of str or tuple
        What else must fit in the same places, so that what fits is the same in both classes: a
        word like those of `kinds`, where scale and turn belong to the place; or an order of the
        parts, of the same kind, which take their scale and turn along.
    """

    about: str
    kinds: tuple[str, str]
    radii: tuple[float, float] | Mapping[str, tuple[float, float]]
    stages: tuple[Stage, ...]
    alike: Callable[[Draft], Bool[np.ndarray, "n 1"]] = lambda d: d.label
    fresh: bool = False
    also: tuple[str | tuple[int, ...], ...] = ()
