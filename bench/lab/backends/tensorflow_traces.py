"""TensorFlow's own profiler: an XPlane for TensorBoard, read for where the time goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.lab.tracing import Event, events_in, kernel_kind

OPERATION = re.compile(r"[^:]+:(_?[A-Z]\w*)")
"""How TensorFlow's executor names an operation: ``dense/MatMul:MatMul``, its kind at the end."""


class Tracer:
    """A trace under way; TensorFlow allows one in a process."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._folder = folder
        options = tf.profiler.experimental.ProfilerOptions(
            host_tracer_level=2, python_tracer_level=0, device_tracer_level=1
        )
        tf.profiler.experimental.start(str(folder), options=options)

    def mark(self, name: str, number: int) -> Any:
        """Mark what happens inside; TensorBoard takes it for a step."""
        import tensorflow as tf

        return tf.profiler.experimental.Trace(name, step_num=number, _r=1)

    def stop(self) -> list[Event]:
        """End the trace and return what is in it."""
        import tensorflow as tf

        tf.profiler.experimental.stop()
        return events_in(self._folder, read)


def read(path: Path) -> Iterator[Event]:
    """Yield what lasts in an XPlane; its lines are threads, or streams of an accelerator."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
        hlo = {key for key, found in plane.stat_metadata.items() if found.name == "hlo_op"}
        for line in plane.lines:
            streams = plane.name.startswith("/device:") and line.name.startswith("Stream")
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                start = line.timestamp_ns + event.offset_ps / 1e3
                compiled = streams or any(stat.metadata_id in hlo for stat in event.stats)
                if event.duration_ps:
                    yield Event(
                        line=f"{plane.name} {line.name or line.id}",
                        name=name,
                        start_ns=start,
                        end_ns=start + event.duration_ps / 1e3,
                        operation=kernel_kind(name) if compiled else kind(name),
                        on_accelerator=streams,
                    )


def kind(name: str) -> str:
    """Return the kind of operation that the executor ran, "" for what is none."""
    found = OPERATION.fullmatch(name)
    return found[1] if found else ""
