"""Snakemake as it is, but that it asks the cluster for news every second.

The plugin asks ten seconds later each time that nothing has ended, up to three minutes, and
neither it nor Snakemake has a setting for that.
"""

from __future__ import annotations

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import (  # type: ignore[import-untyped]
    RemoteExecutor,
)


async def _a_second(executor: RemoteExecutor) -> None:
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = _a_second
    sys.exit(main())
