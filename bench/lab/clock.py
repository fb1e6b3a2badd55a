"""The one place that reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

now = time.perf_counter
"""Monotonic seconds; only differences mean anything."""


def timestamp() -> str:
    """Return the date and time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def time_in(seconds: float) -> str:
    """Return the time of day that it will be here in some seconds, to the minute."""
    return f"{datetime.now().astimezone() + timedelta(seconds=seconds):%H:%M}"


cpu_now = time.process_time
"""Seconds of processor time that this process has used, all threads together."""


def now_utc() -> datetime:
    """Return the date and time in UTC."""
    return datetime.now(UTC)
