"""Cells of a study: each computed once, kept on disk, found again by its configuration."""

import hashlib
import json
import os
import signal
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

import torch
import xarray as xr
from torch import nn
from tqdm.auto import tqdm

import neurodyn as nd

Result = TypeVar("Result")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Where libraries of linear algebra look how many threads they may use."""


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


def place(folder: Path, stem: str, config: Mapping[str, Any]) -> Path:
    """Return where the cell of a configuration lies: with other settings, in another file.

    Examples
    --------
    >>> [place(Path("cells"), "a", {"sigma": sigma}).name for sigma in (0.1, 0.2)]
    ['a-4bc697b5.nc', 'a-60ebc476.nc']
    """
    text = json.dumps(config, sort_keys=True)
    return folder / f"{stem}-{zlib.crc32(text.encode()):08x}.nc"


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
        return collected(pool, jobs)
    finally:
        torch.set_num_threads(threads)


def in_processes(jobs: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """Run jobs side by side as `in_parallel` does, each in a process of its own.

    For many small operations, where Python itself is what is slow: threads would wait for each
    other. A script that calls this needs ``if __name__ == "__main__":``, as each process imports
    it anew.

    Parameters
    ----------
    jobs : sequence of callable
        Functions of modules, or partials of them, that can be pickled, as what they return.
    workers : int
        How many processes; with 1, no process is made, and one job follows the other.

    Raises
    ------
    RuntimeError
        If a process ended by itself.
    KeyboardInterrupt
        At once: the jobs under way are ended, and keep only what they have written.
    Exception
        Whatever a job raises, as `in_parallel`.

    Examples
    --------
    >>> in_processes([lambda: 1, lambda: 2], workers=1)
    [1, 2]
    """
    if workers == 1:
        return one_by_one(jobs)
    end, told = get_context("spawn").Pipe(duplex=False)  # what closes `told` ends the processes
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=quiet, initargs=(end,)
    )
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read when a process loads the libraries
    try:
        return collected(pool, jobs, told.close)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a process ended by itself: is there memory enough, and does the script that started "
            'this begin its work below if __name__ == "__main__"? With workers=1 none is made.'
        ) from error
    finally:
        end.close()
        told.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def one_by_one(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs one after the other on one core, where Ctrl-C reaches them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [job() for job in tqdm(jobs, unit="cell")]
    finally:
        torch.set_num_threads(threads)


def quiet(end: connection.Connection) -> None:
    """Let one process use one core, leave Ctrl-C to the one that started it, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own would be reported as leaked by a process that ends
    threading.Thread(target=end_with_parent, args=(end,), daemon=True).start()


def end_with_parent(end: connection.Connection) -> None:
    """Wait for the process that started this one to end, however it does, or to say so."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel, end])
    os._exit(1)


def collected(
    pool: Executor, jobs: Sequence[Callable[[], Result]], stop: Callable[[], None] | None = None
) -> list[Result]:
    """Return what the jobs return, in their order, with a progress bar; then close the pool."""
    try:
        with tqdm(total=len(jobs), unit="cell") as bar:
            futures = [pool.submit(job) for job in jobs]
            for future in as_completed(futures):
                future.result()
                bar.update()
    except KeyboardInterrupt:
        if stop is not None:
            stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
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
