"""Phase locking of pairs of units: one matrix product, from arrays or while a run goes on."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurodyn.analysis.phasors import (
    Dims,
    Phasors,
    check_phase,
    flattened,
    kept_coords,
    kept_dims,
    names,
    phasors,
)

LACHAUX = (
    "Lachaux et al. (1999), Hum. Brain Mapp. 8, 194-208, "
    "doi:10.1002/(SICI)1097-0193(1999)8:4<194::AID-HBM4>3.0.CO;2-C"
)
VINCK = "Vinck et al. (2010), NeuroImage 51, 112-122, doi:10.1016/j.neuroimage.2010.01.073"
BRUNA = "Bruna, Maestu & Pereda (2018), J. Neural Eng. 15, 056011, doi:10.1088/1741-2552/aacfe4"
LARGEST = 16384
BLOCK = 65536

ABOUT: dict[str, dict[str, str]] = {
    "plv": {"long_name": "phase-locking value", "units": "1", "references": LACHAUX},
    "ppc": {"long_name": "pairwise phase consistency", "units": "1", "references": VINCK},
    "iplv": {"long_name": "imaginary phase-locking value", "units": "1", "references": BRUNA},
    "ciplv": {"long_name": "lag-corrected imaginary phase-locking value", "units": "1",
              "references": BRUNA},
    "lag": {"long_name": "mean phase lag", "units": "rad", "references": LACHAUX,
            "convention": "phase(source) - phase(target): positive where the source leads"},
    "n_valid": {"long_name": "observations with both units present", "units": "1",
                "references": LACHAUX},
}  # fmt: skip


def pair_sums(z: Phasors) -> dict[str, Any]:
    r"""Return the sums over observations that all measures of pairs follow from.

    .. math:: S_{ab} = \sum_t w_{at} w_{bt}\, e^{i(\theta_{at} - \theta_{bt})},
              \quad W_{ab} = \sum_t w_{at} w_{bt}, \quad Q_{ab} = \sum_t (w_{at} w_{bt})^2

    The real part of S is made of products of a matrix with its own transpose, the imaginary part
    is the difference of a product and its transpose: half the work of a complex product.

    Parameters
    ----------
    z : Phasors
        Shape (..., unit, observation).

    Returns
    -------
    dict
        ``real`` and ``imaginary`` of S, ``weight`` W, ``square`` Q and the number ``n`` of
        observations with both weights above zero, shape (..., unit, unit); the last three are
        plain numbers where nothing is weighted.

    Examples
    --------
    >>> sums = pair_sums(phasors(np.array([[0.0, 0.0], [0.0, np.pi / 2]])))
    >>> sums["real"].round(12)
    array([[2., 1.],
           [1., 2.]])
    """
    real = gram(z.cosine, z.cosine)
    real += gram(z.sine, z.sine)
    cross = gram(z.sine, z.cosine)
    sums: dict[str, Any] = {"real": real, "imaginary": cross - cross.swapaxes(-1, -2)}
    if z.weight is None:
        n = float(z.cosine.shape[-1])
        return sums | {"weight": n, "square": n, "n": n}
    present = (z.weight > 0).astype(z.weight.dtype)
    sums["n"] = sums["weight"] = sums["square"] = gram(present, present)
    if not np.array_equal(present, z.weight):
        sums["weight"] = gram(z.weight, z.weight)
        sums["square"] = gram(z.weight**2, z.weight**2)
    return sums


def gram(
    a: Float[np.ndarray, "... unit observation"], b: Float[np.ndarray, "... unit observation"]
) -> Float[np.ndarray, "... unit unit"]:
    """Return the products of all units of a with all units of b."""
    return a @ b.swapaxes(-1, -2)


class PhaseLocking:
    r"""Phase locking of all pairs, added up as phases come in.

    The measures are those of `phase_locking`, and so are the numbers: what is kept is the sums
    over observations, in double precision, never the phases. Every update is a further
    observation, or as many as `dim` holds.

    Parameters
    ----------
    dims : sequence of str
        The names of the axes of what each update brings.
    dim : str or sequence of str
        Those averaged over besides the updates; none by default.
    unit : str or sequence of str
        Those that number the units, together.

    Raises
    ------
    ValueError
        For dimensions that do not fit, and for more than 16,384 units.

    Examples
    --------
    Within a run, whose phases are then not kept. The function is called at each recorded time,
    first the start, and returns something small with one entry for each sample:

    >>> import neurodyn as nd, torch
    >>> pull = nd.Kuramoto(1.0, rate=1.0, natural_frequency=torch.tensor([0.5, -0.5]))
    >>> locking = PhaseLocking(("sample", "unit"))
    >>> def seen(t, state):
    ...     locking.update(state[0])
    ...     return state[0].new_ones(len(state[0]))
    >>> start = (torch.tensor([[0.5236, 0.0]]),)
    >>> run = nd.simulate(pull, torch.full((1, 2), 20.0), range(50), initial_state=start,
    ...                   record=seen)
    >>> found = locking.result().isel(sample=0, source=0, target=1)
    >>> round(float(found.plv), 3), round(float(found.lag), 3), int(found.n_valid)
    (1.0, 0.524, 50)

    With ``batch_size``, the samples of a batch are all that one update sees: average over them
    (``dim="sample"``), or use one batch.
    """

    def __init__(self, dims: Sequence[Hashable], *, dim: Dims = (), unit: Dims = "unit") -> None:
        self.dims = tuple(dims)
        self.dim = names(dim)
        self.unit = names(unit)
        averaged = {"dim": self.dim} if self.dim else {}
        self.kept = kept_dims(self.dims, unit=self.unit, **averaged)
        self.sums: dict[str, Any] = {}
        self.sizes: dict[Hashable, int] = {}
        self.dtype = np.dtype(np.float32)

    def update(self, phase: Any, amplitude: Any = None) -> None:
        """Add observations.

        Parameters
        ----------
        phase : array
            Radians, with the axes `dims`; anything that ``np.asarray`` takes. NaN where missing.
        amplitude : array, optional
            Weights, of a shape that broadcasts to that of the phases; 0 or NaN where silent.
        """
        phase = np.asarray(phase)
        if phase.ndim != len(self.dims):
            raise ValueError(
                f"phase has shape {phase.shape}, and the dims are {', '.join(map(str, self.dims))}"
            )
        sizes = dict(zip(self.dims, phase.shape, strict=True))
        fixed = {d: n for d, n in sizes.items() if d not in self.dim}
        if self.sizes and fixed != self.sizes:
            raise ValueError(
                f"an update has sizes {fixed}, the first had {self.sizes}: only what is averaged "
                f"over may change ({', '.join(self.dim) or 'nothing'})"
            )
        units = int(np.prod([sizes[d] for d in self.unit]))
        if units > LARGEST:
            raise ValueError(
                f"{units} units make {units**2:,} pairs, and {LARGEST} units are the most. "
                "`group_synchrony` gives the mean over pairs within and between groups without "
                "forming them; or select fewer units"
            )
        self.sizes = fixed
        z = phasors(self.arranged(phase), self.arranged_amplitude(amplitude, phase.shape))
        self.dtype = np.result_type(self.dtype, z.cosine)
        for start in range(0, z.cosine.shape[-1], BLOCK):
            some = (..., slice(start, start + BLOCK))
            block = Phasors(
                z.cosine[some], z.sine[some], None if z.weight is None else z.weight[some]
            )
            for name, value in pair_sums(block).items():
                self.sums[name] = self.sums.get(name, 0.0) + np.asarray(value, float)

    def arranged_amplitude(self, amplitude: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the amplitudes as the phases are arranged."""
        if amplitude is None:
            return None
        amplitude = np.asarray(amplitude)
        try:
            return self.arranged(np.broadcast_to(amplitude, shape))
        except ValueError as error:
            raise ValueError(
                f"amplitude has shape {amplitude.shape}, which does not broadcast to that of the "
                f"phases, {shape}"
            ) from error

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """Return the values as (kept ..., unit, observation)."""
        return flattened(xr.DataArray(values, dims=self.dims), self.kept, self.unit, self.dim)

    def result(self) -> xr.Dataset:
        """Return the measures of `phase_locking` for all observations so far."""
        if not self.sums:
            raise ValueError("there are no phases yet; call update(phase) first")
        units = int(np.prod([self.sizes[d] for d in self.unit]))
        shape = (*(self.sizes[d] for d in self.kept), units, units)
        arrays = measures(self.sums, self.dtype)
        dims = (*self.kept, "source", "target")
        return xr.Dataset(
            {k: (dims, np.broadcast_to(v, shape), ABOUT[k]) for k, v in arrays.items()},
            attrs={
                "method": "phase locking of all pairs",
                "dim": ", ".join(self.dim) or "updates",
                "unit": ", ".join(self.unit),
            },
        )


def measures(sums: dict[str, Any], dtype: np.dtype) -> dict[str, np.ndarray]:
    """Return the measures that follow from the sums, NaN where there is nothing to average."""
    weight, square, n = (np.asarray(sums[name]) for name in ("weight", "square", "n"))
    with np.errstate(invalid="ignore", divide="ignore"):
        real, imaginary = sums["real"] / weight, sums["imaginary"] / weight
        lag = np.arctan2(imaginary, real)
        power = real**2 + imaginary**2
        ppc = np.where(n > 1, (power * weight**2 - square) / (weight**2 - square), np.nan)
        rest = 1 - real**2
        equal = rest < 64 * np.finfo(dtype).eps  # then the imaginary part is rounding, too
        ciplv = np.where(equal, np.nan, np.abs(imaginary) / np.sqrt(np.abs(rest)))
    plv = np.sqrt(power)
    found = {"plv": plv, "ppc": ppc, "iplv": np.abs(imaginary), "ciplv": ciplv}
    found = {name: np.minimum(value, 1) for name, value in found.items()} | {"lag": lag}
    return {k: v.astype(dtype) for k, v in found.items()} | {"n_valid": n.astype(np.int32)}


def phase_locking(
    phase: xr.DataArray,
    amplitude: xr.DataArray | None = None,
    *,
    dim: Dims,
    unit: Dims = "unit",
) -> xr.Dataset:
    r"""Return how constant the phase difference of each pair of units is.

    .. math::
        c_{ab} = \frac{\sum_t w_{at} w_{bt}\, e^{i(\theta_{at} - \theta_{bt})}}
                      {\sum_t w_{at} w_{bt}}, \qquad
        \mathrm{PLV} = |c|, \quad
        \mathrm{iPLV} = |\Im c|, \quad
        \mathrm{ciPLV} = \frac{|\Im c|}{\sqrt{1 - (\Re c)^2}}, \quad
        \mathrm{lag} = \arg c

        \mathrm{PPC} = \frac{n\,\mathrm{PLV}^2 - 1}{n - 1} \quad (w = 1)

    t runs over the n observations of `dim`: over time the question is whether a pair keeps its
    difference within a run, over samples whether it comes back to the same difference. PLV of
    few observations is too large: for independent phases its mean is about sqrt(pi / 4n). PPC,
    the mean cosine between the differences of two observations, has no such bias: use it to
    compare unequal numbers. With weights, PPC weights pairs of observations accordingly.

    Parameters
    ----------
    phase : DataArray
        Radians; NaN where missing.
    amplitude : DataArray, optional
        Weights w: an amplitude, a gate, a mask; 0 or NaN where silent. Dimensions it lacks are
        filled in.
    dim : str or sequence of str
        What is averaged over, e.g. "time", "sample" or both.
    unit : str or sequence of str
        The dimensions that number the units, e.g. "unit" or ("channel", "y", "x").

    Returns
    -------
    Dataset
        ``plv``, ``ppc``, ``iplv``, ``ciplv`` (pure numbers), ``lag`` (rad, positive where the
        source leads) and ``n_valid``, the observations that both units have, all (..., source,
        target). NaN where there is none; ``ppc`` where there is only one; ``ciplv`` where phases
        are always equal. Labels of the units are those of source and target; coordinates of
        `unit` come along as ``source_...`` and ``target_...``.

    Raises
    ------
    TypeError, ValueError
        For what is not a phase, for dimensions that do not fit, and for more than 16,384 units:
        use `group_synchrony` there.

    References
    ----------
    PLV: Lachaux et al. (1999), Human Brain Mapping 8, 194-208. PPC: Vinck et al. (2010),
    NeuroImage 51, 112-122, doi:10.1016/j.neuroimage.2010.01.073. Imaginary and corrected PLV, and
    the matrix product: Bruna, Maestu & Pereda (2018), J. Neural Eng. 15, 056011,
    doi:10.1088/1741-2552/aacfe4.

    Examples
    --------
    >>> t = np.linspace(0, 10, 200)
    >>> phase = xr.DataArray(np.stack([t, t - 0.5, t**2]), dims=("unit", "time"),
    ...                      coords={"unit": ["leads", "follows", "alone"]})
    >>> found = phase_locking(phase, dim="time").sel(source="leads")
    >>> found.plv.values.round(2), round(found.lag.sel(target="follows").item(), 6)
    (array([1.  , 1.  , 0.14]), 0.5)
    """
    amplitude = check_phase(phase, amplitude)
    if not names(dim):
        raise ValueError(f"dim names no dimension; use some of: {', '.join(map(str, phase.dims))}")
    locking = PhaseLocking(phase.dims, dim=dim, unit=unit)
    turned = None if amplitude is None else amplitude.transpose(*phase.dims).values
    locking.update(phase.values, turned)
    coords = kept_coords(phase, locking.kept)
    for end in ("source", "target"):
        coords |= unit_coords(phase, locking.unit, end)
    return locking.result().assign_coords(coords)


def unit_coords(phase: xr.DataArray, unit: tuple[str, ...], end: str) -> dict[Hashable, Any]:
    """Return the labels of the units, flattened, for one end of the pairs."""
    sizes = {d: phase.sizes[d] for d in unit}
    own = {name: c.variable for name, c in phase.coords.items() if c.dims}
    found = {name: label for name, label in own.items() if set(label.dims) <= set(unit)}
    if len(unit) > 1:
        found = {d: xr.Variable(d, np.arange(n)) for d, n in sizes.items()} | found
    return {
        end if (name,) == unit else f"{end}_{name}": (end, label.set_dims(sizes).values.ravel())
        for name, label in found.items()
    }
