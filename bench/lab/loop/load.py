"""How much of the machine others use."""

from __future__ import annotations

import psutil

from keras_ab.bench.lab import clock


class Load:
    """How much of the machine others use while a round is under way."""

    def begin(self) -> None:
        """Look at the machine as the round begins."""
        self._busy, self._wall, self._own = _busy_s(), clock.now(), clock.cpu_now()

    def others(self, workers_cpu_s: float) -> float:
        """Return the cores that neither the workers nor this process kept busy since `begin`."""
        used, wall = _busy_s() - self._busy, clock.now() - self._wall
        own_cpu_s = workers_cpu_s + clock.cpu_now() - self._own
        return round(max(0.0, used - own_cpu_s) / wall, 3) if wall > 0 else 0.0


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
