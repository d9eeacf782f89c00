"""A cluster for each test that asks for one; only one at a time on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.slurm.cluster import Cluster, why_not
from tests.support.staged import StagedStudy

HASTE = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10")


@contextmanager
def running(**options: Any) -> Iterator[Cluster]:
    """A cluster, started from nothing in a folder of its own; options are those of `Cluster`."""
    reason = why_not(options.get("accounting", False))
    if reason:
        pytest.skip(reason)
    # not pytest's own folder, which is another one for each worker and too deep for sockets
    with ExitStack() as stack:
        stack.enter_context(FileLock(Path(tempfile.gettempdir()) / "gta-tests-slurm.lock"))
        base = Path(tempfile.mkdtemp(prefix="gta-slurm-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        yield stack.enter_context(Cluster(base, **options))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster without accounting: it starts in a second."""
    with running() as cluster:
        yield cluster


@pytest.fixture
def accounting_cluster() -> Iterator[Cluster]:
    """A cluster that keeps accounts."""
    with running(accounting=True) as cluster:
        yield cluster


@pytest.fixture
def forgetful_cluster() -> Iterator[Cluster]:
    """A cluster that forgets a job a minute after its end, in place of five."""
    with running(min_job_age=10) as cluster:
        yield cluster


@contextmanager
def on(cluster: Cluster, folder: Path, staged: bool = True) -> Iterator[StagedStudy]:
    """The staged study in a folder, on a cluster."""
    study = StagedStudy(folder, {"SLURM_CONF": cluster.env["SLURM_CONF"]}, staged)
    study.snakemake = [sys.executable, str(Path(__file__).with_name("hasty_snakemake.py"))]
    try:
        yield study
    finally:
        study.end()


@pytest.fixture
def staged(cluster: Cluster, tmp_path: Path) -> Iterator[StagedStudy]:
    """The staged study on the cluster."""
    with on(cluster, tmp_path) as study:
        yield study


@pytest.fixture
def start(staged: StagedStudy) -> Callable[..., subprocess.Popen[str]]:
    """Start `snakemake --profile slurm` on runs of the staged study."""

    def start(*keys: str) -> subprocess.Popen[str]:
        parts = [str(staged.part(key)) for key in keys]
        return staged.start("--profile", "slurm", *HASTE, "--", *parts)

    return start
