"""Corrections to Snakemake's SLURM plugin, made where ``--profile slurm`` is read.

Plugin 2.8.0 loses jobs when SLURM does not answer for a while:

- Each round of status checks asks ``scontrol`` for MinJobAge. Without an answer it uses ``sacct``
  for the whole round, although ``squeue`` is set; where there is no accounting, ``sacct`` never
  answers, the round ends without any state, and its jobs are waited for no longer: Snakemake
  hangs for ever.
- SLURM forgets a job ``MinJobAge`` (300 s) after its end. A job that ends during a longer outage
  is listed by no later ``squeue``, and Snakemake hangs for ever.

How long a round lasts is set in the profile (``slurm-status-attempts``).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

from gta.errors import GtaError

_USED = ("get_min_job_age", "query_job_status", "Executor")


def bear_outages() -> None:
    """Ask ``squeue`` alone for the states of jobs, and end the wait for jobs it no longer lists.

    A job that SLURM has forgotten is given the state UNKNOWN. The plugin reports such a job as
    finished, Snakemake looks for its output, and tries the job again if the output is missing.

    Raises:
        GtaError: if the plugin is not installed, or is a version without the corrected functions.
    """
    try:
        import snakemake_executor_plugin_slurm as plugin
    except ModuleNotFoundError as error:
        raise GtaError(
            f"--profile slurm needs Snakemake's SLURM plugin ({error.name} is missing): "
            "pip install 'gta[slurm]'"
        ) from None
    if missing := [name for name in _USED if not hasattr(plugin, name)]:
        raise GtaError(
            f"this version of snakemake-executor-plugin-slurm has no {', '.join(missing)}: "
            "pip install 'gta[slurm]'"
        )
    check, query = plugin.Executor.check_active_jobs, plugin.query_job_status
    active: set[str] = set()

    async def check_active_jobs(executor: Any, jobs: list[Any]) -> AsyncIterator[Any]:
        active.clear()
        # Tasks of an array that wait for a node are listed together, under another name.
        active.update(job.external_jobid for job in jobs if "_" not in job.external_jobid)
        async for job in check(executor, jobs):
            yield job

    async def query_job_status(command: str, logger: Any) -> tuple[dict[str, str] | None, Any]:
        states, seconds = await query(command, logger)
        if states is not None:
            for job in sorted(active - states.keys()):
                logger.warning(f"SLURM no longer lists job {job}: looking for its output")
                states[job] = "UNKNOWN"
        return states, seconds

    plugin.get_min_job_age = lambda: math.inf
    plugin.query_job_status = query_job_status
    plugin.Executor.check_active_jobs = check_active_jobs
