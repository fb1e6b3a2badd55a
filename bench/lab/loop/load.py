"""How much of the machine others use."""

from __future__ import annotations

import psutil

from keras_ab.bench.lab import clock


class Load:
    """How much of the machine others use while a round is under way."""

    def begin(self) -> None:
        """Look at the machine as the round begins."""
        self._busy, self._wall = _busy_s(), clock.now()

    def others(self, own_cpu_s: float) -> float:
        """Return the cores that other processes kept busy since `begin`."""
        used, wall = _busy_s() - self._busy, clock.now() - self._wall
        return round(max(0.0, used - own_cpu_s) / wall, 3) if wall > 0 else 0.0


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
