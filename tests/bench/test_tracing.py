"""Where the time of a step goes, on traces made by hand."""

import gzip
import json
from itertools import pairwise
from statistics import fmean

import pytest

from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.worker.backends import tensorflow_traces
from keras_ab.bench.lab.worker.tracing import (
    HAND_OVER,
    SAMPLE,
    Event,
    innermost,
    kernel_kind,
    middle_half,
    paces,
    step_profile,
    write_chrome,
)


def op(line, start, end, operation, *, on_accelerator=False):
    return Event(line, f"x:{operation}", start, end, operation, on_accelerator)


def sample(start, end, handed=None):
    marks = [Event("python", SAMPLE, start, end)]
    return [*marks, Event("python", HAND_OVER, start, handed)] if handed else marks


def parts(profile):
    return {o.operation: (o.calls, pytest.approx(o.time_s * 1e9)) for o in profile.operations}


def test_of_nested_events_the_innermost_has_the_time():
    line = [op("a", 0, 100, "Outer"), op("a", 10, 30, "Inner"), op("a", 15, 20, "Least")]
    line += [op("a", 30, 40, "Next"), op("a", 100, 110, "After")]
    found = [(piece.operation, piece.start_ns, piece.end_ns) for piece in innermost(line)]
    assert found == [
        ("Outer", 0, 10), ("Inner", 10, 15), ("Least", 15, 20), ("Inner", 20, 30),
        ("Next", 30, 40), ("Outer", 40, 100), ("After", 100, 110),
    ]  # fmt: skip


def test_events_that_are_not_nested_cleanly_never_overlap_on_their_line():
    line = [op("a", 0, 10, "A"), op("a", 5, 20, "B"), op("a", 8, 9, "C")]
    pieces = list(innermost(line))
    assert sum(piece.end_ns - piece.start_ns for piece in pieces) == 20
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(pieces))


def test_a_moment_belongs_in_equal_parts_to_what_is_under_way():
    events = sample(0, 100, handed=30)
    events += [op("a", 10, 50, "MatMul"), op("b", 30, 70, "Add"), op("b", 80, 90, "Add")]
    profile = step_profile(events, steps=1, paces=[1.0])
    assert parts(profile) == {"MatMul": (1, 20 + 10), "Add": (2, 10 + 20 + 10)}
    assert profile.idle_time_s == pytest.approx(30e-9)
    assert profile.longest_gap_s == pytest.approx(10e-9)
    assert profile.hand_over_time_s == pytest.approx(30e-9)


def test_operations_and_idleness_add_up_to_the_step():
    events = sample(0, 90)
    events += [op(f"t{i % 3}", 7 * i, 7 * i + 11, f"K{i % 4}") for i in range(-1, 14)]
    profile = step_profile(events, steps=2, paces=[1.0])
    total = profile.idle_time_s + sum(o.time_s for o in profile.operations)
    assert total == pytest.approx(profile.step_time_s) == pytest.approx(45e-9)


def test_what_lies_outside_the_samples_does_not_count():
    events = [*sample(100, 200), op("a", 0, 110, "A"), op("a", 190, 300, "B")]
    profile = step_profile(events, steps=1, paces=[1.0])
    assert parts(profile) == {"A": (0, 10), "B": (1, 10)}
    assert profile.longest_gap_s == pytest.approx(80e-9)


def test_the_middle_half_of_the_samples_counts():
    events = []
    for number, length in enumerate((10, 20, 30, 1000)):
        events += sample(2000 * number, 2000 * number + length)
        events.append(op("a", 2000 * number, 2000 * number + length, f"K{length}"))
    profile = step_profile(events, steps=5, paces=[1.0] * 4)
    assert profile.steps == 2 * 5
    assert profile.step_time_s == pytest.approx(5e-9)
    assert set(parts(profile)) == {"K20", "K30"}


def test_where_there_is_an_accelerator_the_host_is_idle_time():
    events = [*sample(0, 100), op("cpu", 0, 100, "Launch")]
    events.append(op("gpu", 20, 60, "gemm", on_accelerator=True))
    profile = step_profile(events, steps=1, paces=[1.0])
    assert parts(profile) == {"gemm": (1, 40)}
    assert profile.idle_time_s == pytest.approx(60e-9)


def test_times_are_taken_at_the_pace_of_their_round():
    events = [*sample(0, 100, handed=50), op("a", 0, 80, "K"), *sample(200, 600, handed=400)]
    events.append(op("a", 200, 520, "K"))
    profile = step_profile(events, steps=1, paces=[0.5, 2.0])
    assert parts(profile) == {"K": (1, 160)}
    assert profile.step_time_s == pytest.approx(200e-9)
    assert profile.idle_time_s == pytest.approx(profile.longest_gap_s) == pytest.approx(40e-9)
    assert profile.hand_over_time_s == pytest.approx(100e-9)


def test_a_round_is_as_slow_as_its_arms_are_on_the_mean():
    fast, slow = [1.0, 4.0, 1.0], [3.0, 12.0, 3.0]
    assert paces([fast, slow]) == pytest.approx([1.0, 4.0, 1.0])
    assert paces([fast]) == pytest.approx(fast)
    assert paces([]) == []


@pytest.mark.parametrize("marked", [0, 1])
def test_a_trace_without_all_its_samples_is_refused(marked):
    events = [op("a", 0, 1, "A"), *sample(0, 2)[: 2 * marked]]
    with pytest.raises(LabError, match=f"{len(events)} events, {marked} of 2 samples marked"):
        step_profile(events, steps=1, paces=[1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("void cutlass::Kernel2<cutlass_80_gemm>(Params)", "cutlass::Kernel"),
        ("divide_subtract_fusion.3", "divide_subtract_fusion"),
        ("aten::mm", "aten::mm"),
        ("dot", "dot"),
        ("12.3", "12.3"),
    ],
)
def test_a_kernel_is_named_without_numbers_types_and_arguments(name, kind):
    assert kernel_kind(name) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gradient_tape/dense/MatMul:_MklMatMul", "_MklMatMul"),
        ("adam/Sub_3:Sub", "Sub"),
        ("EagerLocalExecute: __inference_train_step_429", ""),
        ("KernelAndDeviceFunc::Run", ""),
        ("__inference_train_step_344:__inference_train_step_344", ""),
        ("train_step", ""),
        ("ExecutorState::Process", tensorflow_traces.EXECUTING),
    ],
)
def test_tensorflows_executor_tells_operations_from_its_own_work(name, kind):
    assert tensorflow_traces.kind(name) == kind


def test_a_written_trace_has_its_lines_and_events_in_microseconds(tmp_path):
    path = tmp_path / "deep" / "trace.json.gz"
    write_chrome([op("a", 1500, 3500, "MatMul"), Event("b", "wait", 0, 500)], path)
    with gzip.open(path, "rt") as file:
        found = json.load(file)["traceEvents"]
    assert [e["args"]["name"] for e in found if e["ph"] == "M"] == ["a", "b"]
    shown = [e for e in found if e["ph"] == "X"]
    assert [(e["name"], e["tid"], e["ts"], e["dur"], e["cat"]) for e in shown] == [
        ("x:MatMul", 1, 1.5, 2.0, "MatMul"),
        ("wait", 2, 0.0, 0.5, "host"),
    ]


def test_the_middle_half_leaves_out_the_quarters_at_both_ends():
    values = [100.0, 1.0, 2.0, 3.0, 4.0, 5.0, -100.0, 3.0]
    assert fmean(middle_half(values, key=float)) == 3.0
    assert fmean(middle_half([7.0], key=float)) == 7.0
