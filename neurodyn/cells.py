"""Cells of a study: each computed once, kept on disk, found again by its configuration."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

import torch
import xarray as xr
from torch import nn
from tqdm.auto import tqdm

import neurodyn as nd

Result = TypeVar("Result")


def cell(
    path: str | Path, config: Mapping[str, Any], compute: Callable[[], xr.Dataset]
) -> xr.Dataset:
    """Return the Dataset of one cell: from its file, or computed and written there.

    The file counts only if it was made with the same configuration and can be read whole. It
    appears whole or not at all, so that a study may be interrupted at any time.

    Parameters
    ----------
    path : path
        The cell's file, netCDF.
    config : mapping
        All that its numbers depend on, as plain values that JSON can hold.
    compute : callable
        Makes the Dataset.

    Examples
    --------
    >>> import tempfile
    >>> def compute():
    ...     print("computed")
    ...     return xr.Dataset({"x": 1.0})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for sigma in (0.1, 0.1, 0.2):
    ...         data = cell(folder + "/cell.nc", {"sigma": sigma}, compute)
    computed
    computed
    """
    text = json.dumps(config, sort_keys=True)
    wanted = hashlib.sha256(text.encode()).hexdigest()
    found = read(Path(path))
    if found is not None and found.attrs.get("config_hash") == wanted:
        return found
    data = compute()
    data.attrs |= {"config": text, "config_hash": wanted}
    nd.save(data, path)
    return data


def read(path: Path) -> xr.Dataset | None:
    """Return what a cell's file holds, None if there is none or it is damaged."""
    try:
        found = nd.load(path)
    except Exception:  # HDF5 has many ways to say that a file is damaged; it is made again
        return None
    return found if isinstance(found, xr.Dataset) else None


def in_parallel(jobs: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """Run jobs side by side, each on one core, with a progress bar; return what they return.

    Small networks use two cores better in two jobs than within one operation after the other, and
    their numbers then do not depend on the number of cores.

    Parameters
    ----------
    jobs : sequence of callable
        Independent of each other. No two may use the same network at the same time.
    workers : int
        How many run at a time.

    Raises
    ------
    KeyboardInterrupt
        And whatever a job raises: after the jobs under way; the others are not begun.

    Examples
    --------
    >>> in_parallel([lambda: 1, lambda: 2], workers=2)
    [1, 2]
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with tqdm(total=len(jobs), unit="cell") as bar:
            futures = [pool.submit(job) for job in jobs]
            for future in as_completed(futures):
                future.result()
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
    return [future.result() for future in futures]


def weights_hash(module: nn.Module) -> str:
    """Return a digest of a network's weights, the same on every device.

    Examples
    --------
    >>> weights_hash(nn.Identity())[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(name.encode() + plain.numpy().tobytes())
    return digest.hexdigest()
