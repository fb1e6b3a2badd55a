"""Traces as GPUs leave them: Kineto's with its annotations, an XPlane with a GPU's planes."""

import gzip
import json

import pytest

from keras_ab.bench.lab.worker.backends import tensorflow_traces, torch_traces
from keras_ab.bench.lab.worker.tracing import HAND_OVER, SAMPLE, XPLANES, step_profile

KERNEL = "void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x128_nn_align4>(Params)"


def kineto(category, name, start, lasts, thread, **args):
    """Return an event as Kineto writes it: microseconds, streams as threads of process 0."""
    process = 0 if thread < 100 else 4242
    return {
        "ph": "X", "cat": category, "name": name, "pid": process, "tid": thread,
        "ts": start, "dur": lasts, "args": args,
    }  # fmt: skip


def samples(number):
    """Yield what two samples leave: the host hands a kernel over, a stream runs it."""
    for start in (100.0 + 1000 * n for n in range(number)):
        yield kineto("user_annotation", SAMPLE, start, 400.0, 4242)
        yield kineto("user_annotation", HAND_OVER, start, 50.0, 4242)
        yield kineto("cpu_op", "aten::mm", start + 5, 20.0, 4242)
        yield kineto("cuda_runtime", "cudaLaunchKernel", start + 10, 8.0, 4242, correlation=7)
        yield kineto("gpu_user_annotation", SAMPLE, start + 60, 300.0, 7)
        yield kineto("gpu_user_annotation", HAND_OVER, start + 60, 300.0, 7)
        yield kineto("kernel", KERNEL, start + 60, 300.0, 7, stream=7, correlation=7)


def test_kinetos_annotations_of_streams_are_no_samples_of_their_own(tmp_path):
    events = [{"ph": "M", "name": "process_name", "pid": 0, "tid": 0, "args": {"name": "python"}}]
    events += [*samples(8), {"ph": "f", "id": 7, "pid": 0, "tid": 7, "ts": 160.0, "cat": "ac2g"}]
    path = tmp_path / "trace.json.gz"
    with gzip.open(path, "wt") as file:
        json.dump({"traceEvents": events}, file)
    profile = step_profile(list(torch_traces.read(path)), steps=1, paces=[1.0] * 8)
    assert profile.step_time_s == pytest.approx(400e-6)
    assert profile.hand_over_time_s == pytest.approx(50e-6)
    assert profile.idle_time_s == pytest.approx(100e-6)
    (kernel,) = profile.operations  # the operations of the host are not the GPU's time
    assert (kernel.calls, kernel.time_s) == (1, pytest.approx(300e-6))


def xspace():
    """Return an XSpace of a host and a GPU: a stream, and what is derived from it beside."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()

    def plane(name, *events):
        made = space.planes.add(name=name)
        lines = {}
        for number, (line, title, start_us, lasts_us) in enumerate(events, 1):
            made.event_metadata[number].id = number
            made.event_metadata[number].name = title
            if line not in lines:
                lines[line] = made.lines.add(id=len(lines), name=line, timestamp_ns=0)
            lines[line].events.add(
                metadata_id=number,
                offset_ps=int(start_us * 1e6),
                duration_ps=int(lasts_us * 1e6),
            )

    starts = [100 + 1000 * n for n in range(8)]
    host = [("python", name, start, lasts) for start in starts
            for name, lasts in ((SAMPLE, 400), (HAND_OVER, 50))]  # fmt: skip
    plane("/host:CPU", *host)
    device = [("Stream #13(Compute)", "loop_add_fusion_3", start + 60, 300) for start in starts]
    device += [("XLA Ops", "add.7", start + 60, 300) for start in starts]
    device += [("Steps", str(n), start, 400) for n, start in enumerate(starts)]
    plane("/device:GPU:0", *device)
    return space


@pytest.mark.parametrize("reader", ["tensorflow", "jax"])
def test_of_a_gpus_planes_the_streams_count_and_what_is_derived_from_them_does_not(
    reader, tmp_path
):
    path = tmp_path / XPLANES.replace("*", "host")
    path.write_bytes(xspace().SerializeToString())
    if reader == "jax":
        pytest.importorskip("jax")
        from keras_ab.bench.lab.worker.backends import jax_traces

        events = list(jax_traces.read(path))
    else:
        events = [event for plane in xspace().planes for event in tensorflow_traces.read(plane)]
    profile = step_profile(events, steps=1, paces=[1.0] * 8)
    (operation,) = profile.operations
    assert operation.operation == "loop_add_fusion"
    assert (operation.calls, operation.time_s) == (1, pytest.approx(300e-6))
    assert profile.hand_over_time_s == pytest.approx(50e-6)
    assert profile.idle_time_s == pytest.approx(100e-6)
