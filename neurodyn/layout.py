"""How a state lies in the one flat vector that a solver sees."""

from collections.abc import Sequence

import torch
from torch import Tensor

from neurodyn.dynamics import State


class Layout:
    """Packs a tuple of tensors (sample, ...) into one vector, variable after variable."""

    def __init__(self, state: State, names: Sequence[str], channels_last: bool) -> None:
        self.names = tuple(names)
        self.samples = state[0].shape[0]
        self.order = [(0, *range(2, y.ndim), 1) if channels_last else None for y in state]
        self.order = [o if y.ndim > 3 else None for o, y in zip(self.order, state, strict=True)]
        self.inverse = [
            None if o is None else (0, y.ndim - 1, *range(1, y.ndim - 1))
            for o, y in zip(self.order, state, strict=True)
        ]
        self.shapes = [
            y.shape if o is None else torch.Size([y.shape[i] for i in o])
            for o, y in zip(self.order, state, strict=True)
        ]
        self.sizes = [y.numel() for y in state]
        self.state_shapes = [y.shape for y in state]
        self.dtype = state[0].dtype

    def check(self, derivative: object) -> None:
        """Refuse a derivative that is not shaped as the state."""
        got = [y.shape for y in derivative] if isinstance(derivative, tuple) else derivative
        if got != self.state_shapes or any(y.dtype != self.dtype for y in derivative):  # type: ignore[attr-defined]
            shown = (
                [f"{tuple(y.shape)} {y.dtype}" for y in derivative]
                if isinstance(derivative, tuple) else type(derivative).__name__
            )  # fmt: skip
            raise TypeError(
                f"forward must return a tuple of time derivatives shaped as the states: "
                f"{[tuple(s) for s in self.state_shapes]} {self.dtype}, got {shown}"
            )

    def pack(self, state: State) -> Tensor:
        """Return the state as one vector."""
        flat = [
            (y if order is None else y.permute(order)).reshape(-1)
            for y, order in zip(state, self.order, strict=True)
        ]
        return flat[0] if len(flat) == 1 else torch.cat(flat)

    def split(self, flat: Tensor) -> Sequence[Tensor]:
        """Return each variable's part of the vector, not copied."""
        return (flat,) if len(self.sizes) == 1 else flat.split(self.sizes, dim=-1)

    def unpack(self, flat: Tensor) -> State:
        """Return the vector as a state, not copied."""
        return tuple(self.shaped(i, part) for i, part in enumerate(self.split(flat)))

    def shaped(self, i: int, part: Tensor) -> Tensor:
        """Return variable i in its own shape from its part of the vector, or (time, part)."""
        lead = part.shape[:-1]
        y = part.view(*lead, *self.shapes[i])
        inverse = self.inverse[i]
        if inverse is None:
            return y
        n = len(lead)
        return y.permute(*range(n), *(n + axis for axis in inverse))

    def norm(self, flat: Tensor) -> Tensor:
        """Return the largest RMS over samples and variables, so that no sample hides another."""
        with torch.no_grad():
            parts = [part.view(self.samples, -1) for part in self.split(flat)]
            rms = [torch.linalg.vector_norm(p, dim=1).max() / p.shape[1] ** 0.5 for p in parts]
            return rms[0] if len(rms) == 1 else torch.stack(rms).max()

    def sums(self, flat: Tensor) -> Tensor:
        """Return the sum over each variable and sample, to see whether all is finite."""
        flat = flat.detach() if flat.requires_grad else flat
        sums = [part.view(self.samples, -1).sum(1) for part in self.split(flat)]
        return sums[0] if len(sums) == 1 else torch.cat(sums)

    def nonfinite(self, flat: Tensor) -> dict[str, int]:
        """Return the variables that are not finite, and in how many samples."""
        parts = [p.view(self.samples, -1) for p in self.split(flat.detach())]
        return self.counted(torch.cat([~p.isfinite().all(1) for p in parts]))

    def steepest(self, derivative: Tensor) -> dict[str, int]:
        """Return the variable that changes fastest, and in how many samples nearly as fast."""
        parts = [part.view(self.samples, -1) for part in self.split(derivative.detach())]
        speed = torch.stack([part.abs().amax(1) for part in parts])
        first = int(speed.amax(1).argmax())
        return {self.names[first]: int((speed[first] > speed.max() / 10).sum())}

    def counted(self, bad: Tensor) -> dict[str, int]:
        """Return how many samples of each variable are bad, where any are."""
        counts = bad.view(-1, self.samples).sum(1).tolist()
        return {name: n for name, n in zip(self.names, counts, strict=True) if n}
