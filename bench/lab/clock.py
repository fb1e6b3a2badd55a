"""The one place that reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime

now = time.perf_counter
"""Monotonic seconds; only differences mean anything."""


def timestamp() -> str:
    """Return the date and time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


cpu_now = time.process_time
"""Seconds of processor time that this process has used, all threads together."""
