"""Runs as labelled data: simulate, save, load."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

import neurodyn
from neurodyn.adapter import SolverError, SolverStats
from neurodyn.batches import check_batch_size
from neurodyn.dynamics import Dynamics, State, Stimulus, check_stimulus
from neurodyn.recorder import Record
from neurodyn.solve import Solution, check_state, check_times, integrate
from neurodyn.variable import Variable

KIND = "neurodyn_kind"
"""The attribute in a file that tells a tree without branches from a Dataset."""
CODES = (
    "coordinates", "_FillValue", "missing_value", "scale_factor", "add_offset", "dtype",
    "_Unsigned",
)  # fmt: skip
"""Attributes that change numbers or their roles when a file is read; of a Dataset the first."""


def simulate(
    dynamics: Dynamics,
    stimulus: Stimulus,
    times: Float[Tensor, " time"] | Sequence[float],
    *,
    initial_state: State | None = None,
    method: str = "dopri5",
    rtol: float = 1e-4,
    atol: float = 1e-6,
    options: dict[str, Any] | None = None,
    record: Record = None,
    seed: int = 0,
    batch_size: int | None = None,
    time_constant: float | None = None,
    progress: bool = False,
    coords: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Solve as `integrate` does, without gradients, and return labelled data.

    Parameters
    ----------
    dynamics, stimulus, times, initial_state, method, rtol, atol, options, record
        As for `integrate`. `times` are in published steps.
    seed : int
        For random initial states. They are drawn for each sample by itself, from (seed, index of
        the sample), so that they do not depend on `batch_size`.
    batch_size : int, optional
        Samples solved at a time; all by default. With an adaptive method the samples of a batch
        share their steps, so the numbers depend on it within the tolerance.
    time_constant : float, optional
        Milliseconds per published step: relabels the time axis in ms, and is kept in its
        attributes.
    progress : bool
        Show the simulated time.
    coords : mapping, optional
        More coordinates for the root, e.g. ``{"label": ("sample", labels)}``.

    Returns
    -------
    xarray.DataTree
        The root holds the readout, e.g. ``logits`` (time, sample, category), and what functions
        recorded; ``layers/<name>`` holds each variable, e.g. ``state`` (time, sample, channel, y,
        x). Attributes of each Dataset: version, seed, configuration (JSON), solver, tolerances,
        evaluations of f (``nfe``) and steps, summed over batches.

    Raises
    ------
    SolverError
        As for `integrate`; ``error.recorded`` is the tree, NaN where the run did not get.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits(n=2)
    >>> run = nd.simulate(pc_shallow(), images, [0.0, 5.0, 10.0], record=["readout", "layer3"])
    >>> dict(run["logits"].sizes)
    {'time': 3, 'sample': 2, 'category': 10}
    >>> run.layers["layer3"]["state"].dims
    ('time', 'sample', 'channel', 'y', 'x')
    """
    wanted = check_times(times)
    if not isinstance(dynamics, Dynamics):
        raise TypeError(f"simulate needs a neurodyn.Dynamics, got {type(dynamics).__name__}")
    check_stimulus(stimulus)
    if time_constant is not None and not 0 < time_constant < float("inf"):
        raise ValueError(f"time_constant = {time_constant} must be positive, in ms")
    first = stimulus
    if not isinstance(first, Tensor):
        first = first(torch.tensor(wanted[0]).double())
        check_stimulus(first)
        assert isinstance(first, Tensor)
    samples = len(first)
    check_batch_size(batch_size)
    device = next((p.device for p in dynamics.parameters()), first.device)

    taken = {"layers", dynamics.readout_variable.name}
    axes = root_axes(wanted, samples, time_constant, coords, taken)
    arrays: dict[str, np.ndarray] = {}
    stats = SolverStats()

    def tree() -> xr.DataTree:
        attrs = provenance(dynamics, seed, method, rtol, atol, options, stats)
        try:
            return label(arrays, dynamics, axes, attrs)
        except ValueError as error:  # along an axis whose length was not known before
            warnings.warn(f"coords were left out, they do not fit: {error}", stacklevel=3)
            plain = root_axes(wanted, samples, time_constant, None, taken)
            return label(arrays, dynamics, plain, attrs)

    span = wanted[-1] - wanted[0]
    size = min(batch_size or samples, samples)
    bar = tqdm(
        total=round(span * samples, 6), disable=not progress, unit="t", desc="simulated time",
        bar_format="{l_bar}{bar}| {n:.4g}/{total:.4g} samples x time [{elapsed}<{remaining}]",
    )  # fmt: skip
    try:
        with bar, torch.no_grad():
            for start in range(0, samples, size):
                rows = slice(start, min(start + size, samples))
                part = batch(stimulus, rows, samples, device)
                state = initial_state
                if state is not None:
                    check_state(dynamics, state, samples)
                    state = tuple(y[rows].to(device) for y in state)

                def on_time(t: float, rows: slice = rows) -> None:
                    done = rows.start * span + (t - wanted[0]) * (rows.stop - rows.start)
                    bar.update(done - bar.n)

                try:
                    solution = integrate(
                        dynamics, part, wanted, initial_state=state, method=method, rtol=rtol,
                        atol=atol, options=options, gradient="none", record=record,
                        generator=generators(seed, rows),
                        on_time=on_time if progress else None,
                    )  # fmt: skip
                except SolverError as error:
                    stats.add(error.recorded.stats)
                    keep(arrays, dynamics, record, error.recorded, rows, samples, len(wanted))
                    raise
                keep(arrays, dynamics, record, solution, rows, samples, len(wanted))
                stats.add(solution.stats)
    except SolverError as error:
        error.recorded = tree()
        raise
    return tree()


def batch(stimulus: Stimulus, rows: slice, samples: int, device: torch.device) -> Stimulus:
    """Return a stimulus for some of the samples only."""
    if isinstance(stimulus, Tensor):
        return stimulus[rows].to(device)

    def part(t: Tensor) -> Tensor:
        whole = stimulus(t)
        if len(whole) != samples:
            raise ValueError(
                f"the stimulus had {samples} samples and has {len(whole)} at t = {float(t):g}; "
                "give as many at all times"
            )
        return whole[rows].to(device)

    for name in ("switches", "piecewise_constant"):
        if hasattr(stimulus, name):
            setattr(part, name, getattr(stimulus, name))
    return part


def generators(seed: int, rows: slice) -> list[torch.Generator]:
    """Return a generator for each sample by itself, from the seed and the sample's number."""
    words = (np.random.SeedSequence([seed, i]) for i in range(rows.start, rows.stop))
    return [
        torch.Generator().manual_seed(int(word.generate_state(1, np.uint64)[0]) % 2**63)
        for word in words
    ]


def keep(
    arrays: dict[str, np.ndarray], dynamics: Dynamics, record: Record, solution: Solution,
    rows: slice, samples: int, times: int,
) -> None:  # fmt: skip
    """Copy one batch's results into the arrays of all samples."""
    variables = {v.name: v for v in (*dynamics.variables, *dynamics.observables)}
    names = [v.name for v in dynamics.variables]
    if record is not None:
        watched = [record] if isinstance(record, str) or callable(record) else record
        names = [name for name in names if name in watched]
    found = dict(zip(names, solution.states, strict=False)) | solution.observed
    if solution.readout is not None:
        found["readout"] = solution.readout
    for name, tensor in found.items():
        values = tensor.cpu().numpy()
        if name in variables:
            values = variables[name].recorded(values)
        if name not in arrays:
            shape = (times, samples, *values.shape[2:])
            empty = np.nan if np.issubdtype(values.dtype, np.floating) else 0
            arrays[name] = np.full(shape, empty, dtype=values.dtype)
        arrays[name][: len(values), rows] = values


def provenance(
    dynamics: Dynamics, seed: int, method: str, rtol: float, atol: float,
    options: dict[str, Any] | None, stats: SolverStats,
) -> dict[str, Any]:  # fmt: skip
    """Return the attributes that say where numbers come from."""
    plain = {
        k: v if isinstance(v, int | float | str) else getattr(v, "__name__", str(v))
        for k, v in (options or {}).items()
    }
    return {
        "neurodyn_version": neurodyn.__version__,
        "torch_version": str(torch.__version__),
        "seed": seed,
        "config": json.dumps(dynamics.config(), sort_keys=True),
        "solver": method,
        "rtol": rtol,
        "atol": atol,
        "options": json.dumps(plain, sort_keys=True),
        "nfe": stats.evaluations,
        "accepted_steps": stats.accepted,
        "rejected_steps": stats.rejected,
        "smallest_step": stats.smallest_step,
        "largest_step": stats.largest_step,
    }


def root_axes(
    times: list[float], samples: int, time_constant: float | None,
    coords: Mapping[str, Any] | None, taken: set[str],
) -> xr.Dataset:  # fmt: skip
    """Return the coordinates of time and sample, and the user's own."""
    about: dict[str, Any] = {"long_name": "time (published steps)", "units": "1"}
    if time_constant is not None:
        about = {"long_name": "time", "units": "ms", "time_constant": time_constant}
    axes = {
        "time": ("time", np.asarray(times) * (time_constant or 1.0), about),
        "sample": ("sample", np.arange(samples), {"long_name": "stimulus", "units": "1"}),
    }
    plain = {
        name: (value[0], np.asarray(value[1]), *value[2:]) if isinstance(value, tuple) else value
        for name, value in (coords or {}).items()
    }
    if taken & set(plain):
        raise ValueError(f"coords cannot be called {', '.join(sorted(taken & set(plain)))}")
    try:
        found = xr.Dataset(coords=axes).assign_coords(plain)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"coords do not fit {len(times)} times and {samples} samples: {error}; give e.g. "
            "{'label': ('sample', labels)}"
        ) from error
    if dict(found.sizes) | {"time": len(times), "sample": samples} != dict(found.sizes):
        raise ValueError(f"coords change the axes time and sample: {dict(found.sizes)}")
    return found


def label(
    arrays: Mapping[str, np.ndarray], dynamics: Dynamics, axes: xr.Dataset, attrs: dict[str, Any]
) -> xr.DataTree:
    """Name the axes of what was recorded."""

    def array(name: str, variable: Variable) -> xr.Variable:
        return xr.Variable(("time", "sample", *variable.dims), arrays[name], variable.attrs)

    variables = {v.name: v for v in (*dynamics.variables, *dynamics.observables)}
    root = {}
    for name, values in arrays.items():
        if name == "readout":
            root[dynamics.readout_variable.name] = array(name, dynamics.readout_variable)
        elif name not in variables:
            dims = tuple(f"{name}_{axis}" for axis in range(values.ndim - 2))
            root[name] = array(name, Variable(name, dims))
    tree = {"/": axes.assign(root).assign_attrs(attrs)}
    for name, variable in variables.items():
        if name in arrays:
            node = f"/layers/{variable.node or name}"
            beside = tree.get(node, axes.reset_coords(drop=True).assign_attrs(attrs))
            tree[node] = beside.assign({variable.quantity: array(name, variable)})
    return xr.DataTree.from_dict(tree)


def save(data: xr.DataTree | xr.Dataset, path: str | Path) -> Path:
    """Write netCDF (HDF5); the file appears whole or not at all.

    Parameters
    ----------
    data : DataTree or Dataset
        What `load` will return, exactly.
    path : str or Path
        Folders on the way are made.

    Raises
    ------
    TypeError, ValueError
        For attributes that netCDF cannot hold (True, None, a dict, bytes, a list of one), or that
        it would take for orders to change the numbers (``scale_factor`` and the like); and for
        dates, which it stores as numbers.

    Examples
    --------
    >>> import tempfile, xarray as xr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(xr.Dataset({"x": ("time", [1.0, 2.0])}), folder + "/run.nc")
    ...     load(path)["x"].values
    array([1., 2.])
    """
    path = Path(path)
    if not isinstance(data, xr.DataTree | xr.Dataset):
        raise TypeError(f"save takes a DataTree or a Dataset, got {type(data).__name__}")
    for node in data.subtree if isinstance(data, xr.DataTree) else (data,):
        check_attrs(node.attrs, (CODES[0], KIND))
        for name, variable in node.variables.items():
            check_attrs(variable.attrs, CODES)
            if variable.dtype.kind in "mM":
                raise TypeError(
                    f"{name!r} holds {variable.dtype}, which netCDF stores as numbers; give "
                    f"numbers with units, or text: {name}.astype(str)"
                )
    if isinstance(data, xr.DataTree):
        marked = data.map_over_datasets(lambda dataset: dataset.drop_encoding())
    else:
        marked = data.drop_encoding()
    marked.attrs = data.attrs | {KIND: type(data).__name__}
    with atomic(path) as temporary:
        marked.to_netcdf(temporary, engine="h5netcdf")
    return path


def check_attrs(attrs: Mapping[Any, Any], codes: Sequence[str]) -> None:
    """Refuse attributes that netCDF cannot hold, or would read as orders to change the numbers."""
    for name, value in attrs.items():
        if name in codes:
            raise ValueError(
                f"an attribute cannot be called {name!r} here: in the file that name has a meaning "
                f"of its own, as have {', '.join(codes)}; rename it"
            )
        one = isinstance(value, list | tuple | np.ndarray) and np.size(value) == 1
        if isinstance(value, bool | np.bool_ | bytes | Mapping) or value is None or one:
            raise TypeError(
                f"netCDF cannot hold the attribute {name!r} = {value!r}; make it a number or text: "
                "int(value), or json.dumps(value)"
            )


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write to a temporary file beside `path`, which then takes its place in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path) -> xr.DataTree | xr.Dataset:
    """Read what `save` wrote into memory: a DataTree, or a Dataset if it was one.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not netCDF of this kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with xr.open_datatree(path, engine="h5netcdf", decode_times=False) as tree:
            loaded = tree.load()
            kind = loaded.attrs.pop(KIND, "DataTree" if loaded.children else "Dataset")
    except OSError as error:
        raise ValueError(f"{path} is not a netCDF (HDF5) file, or is damaged: {error}") from error
    return loaded if kind == "DataTree" else loaded.to_dataset()
