"""A stimulus that changes in time."""

import bisect
import math

from jaxtyping import Float
from torch import Tensor


class Film:
    r"""Frames shown one after the other: a stimulus that is constant between its switches.

    .. math:: s(t) = \mathrm{frame}_i \quad \text{for} \quad
        \mathrm{onset}_i \le t < \mathrm{onset}_{i+1}

    The first frame also holds before its onset, the last one for ever. Solvers stop and start
    again at each switch, so no step ever straddles one, and the drive is computed once a frame.

    Parameters
    ----------
    frames : Tensor
        Shape (frame, sample, ...).
    onsets : sequence of float
        When each frame begins, increasing, in the units of `times`; one for each frame.

    Examples
    --------
    A flash of one unit of time in the dark:

    >>> import torch
    >>> image = torch.ones(2, 1, 8, 8)
    >>> film = Film(torch.stack([0 * image, image, 0 * image]), onsets=[0.0, 2.0, 3.0])
    >>> [film(torch.tensor(t)).max().item() for t in (1.9, 2.0, 3.0)]
    [0.0, 1.0, 0.0]
    """

    piecewise_constant = True

    def __init__(self, frames: Float[Tensor, " frame sample ..."], onsets: list[float]) -> None:
        onsets = [float(t) for t in onsets]
        if not isinstance(frames, Tensor):
            raise TypeError(
                f"frames must be one tensor (frame, sample, ...), got {type(frames).__name__}; "
                "torch.stack a list of tensors"
            )
        if frames.ndim < 3 or len(frames) != len(onsets):
            raise ValueError(
                f"frames must be (frame, sample, ...) with one onset each; got shape "
                f"{tuple(frames.shape)} and {len(onsets)} onsets"
            )
        rising = all(a < b for a, b in zip(onsets, onsets[1:], strict=False))
        if not rising or not all(map(math.isfinite, onsets)):
            raise ValueError(f"onsets must increase, got {onsets}; give finite times")
        self.frames = frames
        self.onsets = onsets
        self.switches = onsets[1:]
        self.tensors = (frames,)

    def __call__(self, t: Float[Tensor, ""]) -> Float[Tensor, " sample ..."]:
        """Return the frame shown at time t."""
        return self.frames[bisect.bisect_right(self.switches, float(t))]
