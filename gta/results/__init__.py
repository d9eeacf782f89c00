"""Results on disk: files and columns, the state of each run, collected metrics."""

from gta.results.collect import collect_metrics, read_collected, write_collected
from gta.results.columns import HISTORY, IDENTITY, PREDICTIONS, Column
from gta.results.metrics import METRICS
from gta.results.origins import Origin, origins_of
from gta.results.parts import (
    Kind,
    read,
    read_part,
    read_row,
    schema,
    write,
)
from gta.results.state import (
    State,
    failure_of,
    is_valid,
    note_failure,
    result_of,
    set_aside,
    state_of,
)

__all__ = [
    "HISTORY",
    "IDENTITY",
    "METRICS",
    "PREDICTIONS",
    "Column",
    "Kind",
    "Origin",
    "State",
    "collect_metrics",
    "failure_of",
    "is_valid",
    "note_failure",
    "origins_of",
    "read",
    "read_collected",
    "read_part",
    "read_row",
    "result_of",
    "schema",
    "set_aside",
    "state_of",
    "write",
    "write_collected",
]
