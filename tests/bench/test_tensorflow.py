"""The lab on TensorFlow: memory to the byte, and the guards of the first experiments."""

import gzip
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_ab import command_line
from keras_ab.bench.lab.loop import asking
from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.guards import relative_error
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.loop.session import Session
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker import protocol
from keras_ab.bench.lab.worker.backends.tensorflow import device_kind
from keras_ab.bench.lab.worker.backends.tensorflow_traces import EXECUTING
from keras_ab.bench.lab.worker.tracing import FILE, SAMPLE
from tests.bench.experiments.bench_tensor import TENSOR_BYTES

BENCH = Path(__file__).parents[2] / "bench"
PLAN = Plan(min_blocks=2, max_blocks=2, rounds=2, sample_time_s=1e-3)
FIRST_CASES = {
    "labels": "classes:10-batch:256-width:512",
    "optimizers": "width:512-depth:2-batch:128",
    "recompute": "depth:9-channels:16-batch:32-optimizer:sgd",
}


@pytest.fixture(scope="module")
def server():
    server = ForkServer("tensorflow")
    yield server
    server.close()


@pytest.fixture
def ask(server):
    """Return a function that asks one fresh worker, which counts its memory."""
    worker = server.start()
    asking.ask(worker, protocol.Open("tensorflow", counted=True), 120)
    yield partial(asking.ask, worker, limit_s=120)
    worker.stop()


def building(name, arm, seed=1, observe_to=None):
    """Return the request to build an arm of one of the first experiments."""
    file = str(BENCH / f"bench_{name}.py")
    names = protocol.ArmNames(file, name, arm, FIRST_CASES[name], "tensorflow")
    return protocol.Build(names, seed, observe_to)


def test_the_doctor_comes_to_an_end(capsys):
    assert command_line.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "noise floor: two identical arms (a training step): " in shown


def test_a_run_on_a_gpu_that_tensorflow_does_not_see_never_begins(tmp_path):
    gpu = SimpleNamespace(uuid="GPU-00aa-0000", memory_bytes=80 * 2**30)
    with pytest.raises(RecordError, match="GPU-00aa-0000, which the framework does not see"):
        Session.begin(tmp_path, "tensorflow", PLAN, device=Device(gpu))
    assert list(tmp_path.iterdir()) == []


def test_peak_memory_differs_by_exactly_one_tensor(server):
    file = str(Path(__file__).parent / "experiments" / "bench_tensor.py")
    task = Task(file, "tensor", "only", "tensorflow", PLAN)
    data = group(measure_trial(task, server))[task.trial]
    assert len(data.blocks) == 2, data.failures
    one, two = (data.values("peak_device_memory_bytes", arm) for arm in ("one", "two"))
    assert {b - a for a, b in zip(one, two, strict=True)} == {TENSOR_BYTES}


def test_host_memory_is_sampled_and_has_a_high_water_mark(server):
    file = str(Path(__file__).parent / "experiments" / "bench_tensor.py")
    task = Task(file, "tensor", "only", "tensorflow", PLAN)
    data = group(measure_trial(task, server))[task.trial]
    values = data.blocks[0].values["one"]
    assert 50e6 < values["peak_host_memory_bytes"] < 5e9
    assert values["host_high_water_bytes"] >= TENSOR_BYTES


def test_an_arm_from_other_weights_would_break_the_guards(ask, tmp_path):
    observed = []
    for seed in (1, 2):
        path = tmp_path / f"{seed}.npz"
        ask(building("labels", "one_hot", seed, str(path)))
        with np.load(path) as file:
            observed.append(dict(file))
    whole, spoilt = observed
    assert relative_error(spoilt["loss"], whole["loss"]) > 1e-5
    assert relative_error(spoilt["gradients"], whole["gradients"]) > 1e-4


@pytest.mark.parametrize(
    ("name", "arm", "metric", "ratio"),
    [
        ("labels", "sparse_uint16", "label_bytes", 1 / 20),
        ("labels", "sparse_int32", "label_bytes", 1 / 10),
        ("optimizers", "adafactor", "optimizer_state_bytes", 0.5),
        ("optimizers", "sm3_momentum", "optimizer_state_bytes", 0.5),
        ("optimizers", "sm3", "optimizer_state_bytes", 0.003),
    ],
)
def test_sizes_are_what_arithmetic_says(server, name, arm, metric, ratio):
    sizes = {}
    experiment = load_experiment(str(BENCH / f"bench_{name}.py"), name)
    for which in (experiment.baseline.name, arm):
        worker = server.start()
        sizes[which] = asking.ask(worker, building(name, which), 120).sizes[metric]
        worker.stop()
    assert sizes[arm] / sizes[experiment.baseline.name] == pytest.approx(ratio, rel=0.1)


def test_an_arm_that_computes_on_the_cpu_says_so(ask):
    assert ask(building("labels", "one_hot")).on_gpu is (device_kind() == "gpu")


def test_a_worker_knows_its_device(ask):
    facts = ask(protocol.Facts("tensorflow"))
    assert facts["devices"]
    assert facts["dtype_policy"] == "float32"


@pytest.mark.parametrize("one_dnn", ["0", "1"])
@pytest.mark.parametrize("counted", [False, True])
def test_memory_is_counted_without_one_dnn_only_where_that_is_asked(server, one_dnn, counted):
    """TensorFlow's own allocator is the one that is timed, whether it counts or not."""
    worker = server.other("tensorflow", {"TF_ENABLE_ONEDNN_OPTS": one_dnn}).start()
    asking.ask(worker, protocol.Open("tensorflow", counted=counted), 120)
    facts = asking.ask(worker, protocol.Facts("tensorflow"), 120)
    worker.stop()
    assert (facts["one_dnn"], facts["cpu_pool"]) == (one_dnn == "1", counted)
    assert facts["memory_statistics"] is (counted or one_dnn == "1")


def test_tensorflows_probes_of_the_device_run(ask):
    sizes = ask(protocol.ListProbes("tensorflow"))
    assert {"host_copy", "cached_copy", "host_to_device", "dispatch_graph"} <= sizes.keys()
    for name in ("matmul_float32", "matmul_bfloat16", "matmul_float16"):
        assert ask(protocol.PrepareProbe(name, 0)).work == 2 * 1024**3
        assert ask(protocol.Sample(1)).duration_s > 0
    for name in ("dispatch_eager", "dispatch_graph", "dispatch_xla"):
        assert ask(protocol.PrepareProbe(name, 0)).unit == "s"
        assert ask(protocol.Sample(2)).duration_s > 0


DENSE = 2 * 256 * (2 * 784 * 512 + 3 * 512 * 10)
"""By hand: no gradient by the images, three products a layer otherwise."""
TAPS = (28 * 3 - 2) ** 2
"""Of a kernel 3×3 over 28×28 places; those on the padding multiply nothing."""
CONVOLUTION = 2 * 32 * TAPS * 16 * 16
ENDS = 2 * 32 * (2 * TAPS * 1 * 16 + 3 * 16 * 10)


@pytest.mark.parametrize(
    ("name", "arm", "flop"),
    [
        ("labels", "one_hot", DENSE),
        ("recompute", "keep", 3 * 18 * CONVOLUTION + ENDS),
        ("recompute", "each_block", 4 * 18 * CONVOLUTION + ENDS),
    ],
)
def test_the_work_of_a_training_step_is_what_a_hand_counts(ask, name, arm, flop):
    ask(building(name, arm))
    assert ask(protocol.Work()).flop == {"float32": flop}


def test_adam_moves_at_least_its_state_the_weights_and_the_batch(ask):
    ask(building("labels", "one_hot"))
    weights = 785 * 512 + 513 * 10
    least = 4 * (2 * 3 * weights + 256 * (784 + 10))
    assert ask(protocol.Work()).least_moved_bytes == pytest.approx(least, rel=1e-3)


def test_memory_is_watched_while_steps_run(ask):
    ask(building("recompute", "keep"))
    curve = ask(protocol.WatchMemory(2))
    assert len(curve.at_s) == len(curve.host_bytes) == len(curve.device_bytes) >= 2
    assert curve.at_s == sorted(curve.at_s)
    activations = 2 * 9 * (32 * 28 * 28 * 16) * 4
    assert max(curve.device_bytes) > min(curve.device_bytes) + activations


@pytest.fixture
def traced(ask, tmp_path):
    """Return what the profiler told of an arm, its files in a folder."""

    def traced(arm, name="labels"):
        ask(building(name, arm))
        ask(protocol.Trace(str(tmp_path)))
        for number in range(4):
            ask(protocol.Traced(2, number))
        return ask(protocol.EndTrace(2, [1.0] * 4))

    return traced


@pytest.mark.parametrize(
    ("arm", "loss"),
    [
        ("one_hot", "SoftmaxCrossEntropyWithLogits"),
        ("sparse_int32", "SparseSoftmaxCrossEntropyWithLogits"),
    ],
)
def test_a_profile_names_the_operations_of_a_step(traced, arm, loss):
    found = traced(arm).step
    calls = {one.operation: one.calls for one in found.operations}
    assert calls[loss] == 1
    assert sum(n for name, n in calls.items() if "MatMul" in name) == 5  # none by the images
    total = found.idle_time_s + sum(one.time_s for one in found.operations)
    assert total == pytest.approx(found.step_time_s)
    assert 0 < found.hand_over_time_s <= found.step_time_s
    assert calls[EXECUTING] > 0


def test_a_profile_tells_what_is_alive_at_the_peak(traced):
    """Every activation of nine blocks is kept for its gradient: both of a block, and its end."""
    peak = traced("keep", "recompute").peak
    alive = {one.operation: one for one in peak.alive}
    activation = 32 * 28 * 28 * 16 * 4
    assert 14 <= alive["Relu"].pieces <= 19  # the first that the gradients used may be gone
    holes = alive["Relu"].held_bytes - alive["Relu"].pieces * activation
    # A free chunk of less than twice what is asked for is handed out whole.
    assert 0 <= holes < alive["Relu"].pieces * activation
    total = peak.earlier_bytes + sum(one.held_bytes for one in peak.alive)
    assert total == peak.in_use_bytes


def test_a_trace_opens_in_perfetto_and_in_tensorboards_profiler(traced, tmp_path):
    found = traced("one_hot").step
    with gzip.open(tmp_path / FILE, "rt") as file:
        events = json.load(file)["traceEvents"]
    assert sum(event["name"] == SAMPLE for event in events) == 4
    assert {event["ph"] for event in events} == {"M", "X"}
    (xplane,) = tmp_path.rglob("plugins/profile/*/*.xplane.pb")
    convert = pytest.importorskip("xprof.convert.raw_to_tool_data")
    shown, _ = convert.xspace_to_tool_data([str(xplane)], "trace_viewer", {})
    names = {event.get("name", "") for event in json.loads(shown)["traceEvents"]}
    kinds = {name.rpartition(":")[2] for name in names}
    assert found.operations
    assert {one.operation for one in found.operations} - {EXECUTING} <= kinds
