"""What runs leave on disk: schemas, state, and the collected metrics."""

from gta.results.collect import collect_metrics, read_collected, write_collected
from gta.results.parts import (
    HISTORY,
    IDENTITY,
    METRICS,
    PREDICTIONS,
    RUN,
    SCHEMAS,
    Kind,
    read,
    read_part,
    write,
)
from gta.results.state import Origin, State, failure_of, set_aside, state_of

__all__ = [
    "HISTORY",
    "IDENTITY",
    "METRICS",
    "PREDICTIONS",
    "RUN",
    "SCHEMAS",
    "Kind",
    "Origin",
    "State",
    "collect_metrics",
    "failure_of",
    "read",
    "read_collected",
    "read_part",
    "set_aside",
    "state_of",
    "write",
    "write_collected",
]
