"""PyTorch's own profiler: a trace for Perfetto, read for where the time goes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_ab.bench.lab.worker.tracing import FILE, Event, Trace, kernel_kind

KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
ANNOTATION = "gpu_user_annotation"


class Tracer:
    """A trace under way; PyTorch allows one in a process."""

    def __init__(self, folder: Path) -> None:
        from torch.profiler import profile

        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        self._profile = profile()
        self._profile.start()

    def mark(self, name: str, number: int) -> Any:
        """Mark what happens inside."""
        from torch.profiler import record_function

        return record_function(name, str(number))

    def stop(self) -> Trace:
        """End the trace and return what is in it."""
        self._profile.stop()
        self._profile.export_chrome_trace(str(self._path))
        return Trace(list(read(self._path)))


def read(path: Path) -> Iterator[Event]:
    """Yield what lasts in a trace; its lines are threads, or streams of an accelerator.

    Kineto repeats each mark of the host on the streams that worked in it: those are left out, or
    every sample would be there twice.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = json.load(file)["traceEvents"]
    for event in found:
        if event["ph"] == "X" and event["dur"] > 0 and event["cat"] != ANNOTATION:
            kernel = event["cat"] in KERNELS
            operation = event["cat"] == "cpu_op" or kernel
            yield Event(
                line=f"{event['pid']} {event['tid']}",
                name=event["name"],
                start_ns=event["ts"] * 1e3,
                end_ns=(event["ts"] + event["dur"]) * 1e3,
                operation=kernel_kind(event["name"]) if operation else "",
                on_accelerator=kernel,
            )
