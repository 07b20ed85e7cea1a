"""What a state is called and what its axes and units are."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Variable:
    """One named part of a state: what can be recorded, and how the record is labelled.

    Parameters
    ----------
    name : str
        The name it is recorded under, and the name that errors list. No ``/``.
    dims : tuple of str
        Names of the axes after time and sample, e.g. ``("channel", "y", "x")``.
    units : str
        Physical units; ``"1"`` for a pure number.
    long_name : str
        What a plot writes on its axis; the name by default.
    quantity : str
        What is measured there: the name of the array in the record
        (``run.layers["layer1"]["state"]``).
    references : str
        Authors, year, arXiv number or DOI.
    period : float, optional
        Of a cyclic quantity: it runs on while it is solved, and a record wraps it into
        (-period / 2, period / 2].
    unit_along : str
        The axis along which a vector has length 1; a record shows it so.
    node : str
        The node of the record it lies in, ``run.layers[node]``; its own name by default.

    Examples
    --------
    >>> Variable("layer1", ("channel", "y", "x"), long_name="representation").units
    '1'
    """

    name: str
    dims: tuple[str, ...]
    units: str = "1"
    long_name: str = ""
    quantity: str = "state"
    references: str = ""
    period: float | None = None
    unit_along: str = ""
    node: str = ""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(
                f"a variable cannot be called {self.name!r}: it needs a name without '/', "
                "which separates the nodes of the recorded tree"
            )
        if {"time", "sample"} & set(self.dims):
            raise ValueError(
                f"variable {self.name!r} has the axes {', '.join(self.dims)}; time and sample are "
                "there without being named"
            )

    @property
    def attrs(self) -> dict[str, str]:
        """The attributes of this variable's array in a Dataset."""
        attrs = {"long_name": self.long_name or self.name, "units": self.units}
        return attrs | ({"references": self.references} if self.references else {})

    def recorded(self, values: np.ndarray) -> np.ndarray:
        """Return values (time, sample, ...) as a record shows them: wrapped, of length 1."""
        if self.unit_along:
            axis = 2 + self.dims.index(self.unit_along)
            return values / np.linalg.norm(values, axis=axis, keepdims=True)
        if self.period is None:
            return values
        half = values.dtype.type(self.period / 2)
        inside = -np.remainder(half - values, 2 * half) + half
        return np.where(inside <= -half, half, inside)  # rounding can reach the open end
