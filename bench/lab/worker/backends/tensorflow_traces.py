"""TensorFlow's own profiler: an XPlane for TensorBoard, read for where the time goes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_ab.bench.lab.worker.tracing import (
    XPLANES,
    Allocation,
    Event,
    Trace,
    events_in,
    kernel_kind,
)

OPERATION = re.compile(r"[^:]+:(_?[A-Z]\w*)")
"""How TensorFlow's executor names an operation: ``dense/MatMul:MatMul``, its kind at the end."""

EXECUTOR, EXECUTING = "ExecutorState::Process", "executor and cheap operations"
"""What the executor does beside operations, and those that it learnt to take for cheap in its first
hundred steps or so: it hands them to no other thread and does not trace them, at any level."""


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

    def stop(self) -> Trace:
        """End the trace and return it, with the memory of the first GPU, or else of the CPU."""
        import tensorflow as tf
        from tensorflow.tsl.profiler.protobuf import xplane_pb2

        tf.profiler.experimental.stop()
        files = self._folder.rglob(XPLANES)
        spaces = [xplane_pb2.XSpace.FromString(path.read_bytes()) for path in files]
        planes = [plane for space in spaces for plane in space.planes]
        told = [pair for plane in planes for pair in allocations(plane)]
        on_gpu = [allocation for name, allocation in told if name.startswith("GPU_0")]
        return Trace(
            events=events_in(planes, read, self._folder),
            allocations=on_gpu or [allocation for _, allocation in told],
        )


def read(plane: Any) -> Iterator[Event]:
    """Yield what lasts in an XPlane; its lines are threads, or streams of an accelerator."""
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


def allocations(plane: Any) -> Iterator[tuple[str, Allocation]]:
    """Yield what allocators did, as far as an XPlane tells, each with the allocator's name."""
    names = {key: found.name for key, found in plane.stat_metadata.items()}
    actions = {
        key: found.name == "MemoryAllocation"
        for key, found in plane.event_metadata.items()
        if found.name in ("MemoryAllocation", "MemoryDeallocation")
    }
    for line in plane.lines:
        for event in line.events:
            if event.metadata_id in actions:
                told = {names[stat.metadata_id]: _value(stat, names) for stat in event.stats}
                yield (
                    str(told["allocator_name"]),
                    Allocation(
                        at_ns=line.timestamp_ns + event.offset_ps / 1e3,
                        address=told["addr"],
                        held_bytes=told["allocation_bytes"] * actions[event.metadata_id],
                        in_use_bytes=told["bytes_allocated"],
                        operation=asker(told.get("tf_op", "")),
                    ),
                )


def _value(stat: Any, names: Mapping[int, str]) -> Any:
    field = stat.WhichOneof("value")
    return names[stat.ref_value] if field == "ref_value" else getattr(stat, field)


def asker(path: str) -> str:
    """Return the kind of the operation at the end of a path, ``block_6/conv2d_14/Relu_1``."""
    return re.sub(r"_\d+$", "", path.rpartition("/")[2]) or "unnamed"


def kind(name: str) -> str:
    """Return the kind of operation that the executor ran, "" for what is none."""
    if name == EXECUTOR:
        return EXECUTING
    found = OPERATION.fullmatch(name)
    return found[1] if found else ""
