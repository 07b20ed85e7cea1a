"""Jobs side by side, in threads and in processes."""

import operator
import os
import signal
import threading
import time
from functools import partial

import pytest
import torch

from neurodyn.cells import in_parallel, in_processes


def test_jobs_keep_their_order_in_threads_and_processes():
    jobs = [partial(operator.pow, 2, k) for k in range(6)]
    expected = [2**k for k in range(6)]
    assert in_parallel(jobs, 3) == expected
    assert in_processes(jobs, 2) == expected
    assert in_processes(jobs, 1) == expected


def test_processes_are_processes_on_one_core_each():
    before = dict(os.environ)
    jobs = [os.getpid, torch.get_num_threads, partial(os.getenv, "OPENBLAS_NUM_THREADS")]
    places = in_processes(jobs, 2)
    assert places[0] != os.getpid() and places[1:] == [1, "1"]
    assert dict(os.environ) == before


def test_what_a_job_raises_comes_through():
    with pytest.raises(ZeroDivisionError):
        in_processes([partial(operator.truediv, 1, 0)], 2)


def test_a_process_that_ends_by_itself_is_said():
    with pytest.raises(RuntimeError, match="a process ended by itself"):
        in_processes([partial(os._exit, 3)], 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_ends_the_jobs_under_way(tmp_path, workers):
    begun, main = tmp_path / "begun", threading.main_thread().ident

    def press() -> None:
        while not begun.exists():
            time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)  # as a terminal does

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    presser = threading.Thread(target=press, daemon=True)
    presser.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            in_processes([partial(long_job, begun, 60)] * 3, workers)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.time() - begun.stat().st_mtime < 30
    presser.join()


def long_job(begun, seconds):
    begun.touch()
    time.sleep(seconds)
