"""Locks that a dead process frees: one process at a time trains a run or uses a device.

The kernel drops a process's locks when it ends, whatever ended it; nothing has to be cleaned up
after a kill, and a lock file that lies there means nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gta.files import hold_one
from gta.study import RunFiles


@contextmanager
def sole_writer(run_files: RunFiles, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Be the only process, on whatever node, that writes a run's results.

    A job whose head process died may live on while another is started for the same run: the
    second waits here and then finds the run done.

    Raises:
        GtaError: if the results folder's file system has no locks.
    """
    with hold_one([run_files.lock], on_wait):
        yield
