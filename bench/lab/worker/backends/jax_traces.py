"""JAX's own profiler: an XPlane for TensorBoard, read for where the time goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_ab.bench.lab.worker.tracing import XPLANES, Event, Trace, events_in, kernel_kind


class Tracer:
    """A trace under way; JAX allows one in a process."""

    def __init__(self, folder: Path) -> None:
        import jax

        self._folder = folder
        options = jax.profiler.ProfileOptions()
        options.host_tracer_level, options.python_tracer_level = 2, 0
        jax.profiler.start_trace(folder, profiler_options=options)

    def mark(self, name: str, number: int) -> Any:
        """Mark what happens inside; TensorBoard takes it for a step."""
        import jax

        return jax.profiler.StepTraceAnnotation(name, step_num=number)

    def stop(self) -> Trace:
        """End the trace and return what is in it."""
        import jax

        jax.profiler.stop_trace()
        return Trace(events_in(self._folder.rglob(XPLANES), read, self._folder))


def read(path: Path) -> Iterator[Event]:
    """Yield what lasts in an XPlane; its lines are threads, or streams of an accelerator."""
    import jax

    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            streams = plane.name.startswith("/device:") and line.name.startswith("Stream")
            for event in line.events:
                if event.duration_ns:
                    compiled = streams or any(key == "hlo_op" for key, _ in event.stats)
                    yield Event(
                        line=f"{plane.name} {line.name}",
                        name=event.name,
                        start_ns=event.start_ns,
                        end_ns=event.start_ns + event.duration_ns,
                        operation=kernel_kind(event.name) if compiled else "",
                        on_accelerator=streams,
                    )
