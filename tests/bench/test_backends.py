"""The seam to frameworks: the same experiments on JAX and PyTorch, where they are installed."""

import gzip
import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from keras_ab.bench.lab.loop.asking import ask, begin
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.worker import backends, protocol
from keras_ab.bench.lab.worker.tracing import FILE, SAMPLE
from tests.bench.declared import DECLARED, rehearse

ROOT = Path(__file__).parents[2]
OTHERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )
    for name in ("jax", "torch")
]
UNTOUCHED = {
    "jax": "from jax._src import xla_bridge; assert not xla_bridge.backends_are_initialized()",
    "torch": "import torch; assert not torch.cuda.is_initialized()",
}


@pytest.fixture(scope="module", params=OTHERS)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def server(backend):
    server = ForkServer(backend)
    yield server
    server.close()


def test_what_a_forkserver_preloads_touches_no_device(backend):
    module = backends.load(backend)
    program = f"import {', '.join(module.PRELOAD)}; {UNTOUCHED[backend]}"
    environment = os.environ | module.ENVIRONMENT
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, check=True)


TWO_PARTS = {
    "jax": """
    def test_step(self, state, data):
        x, y = data
        trainable, fixed, metrics = state
        found, fixed = self.stateless_call(trainable, fixed, x, training=False)
        return {"loss": keras.ops.mean((y - found) ** 2)}, (trainable, fixed, metrics)
""",
    "torch": """
    def test_step(self, data):
        x, y = data
        return {"loss": keras.ops.mean((y - self(x, training=False)) ** 2)}
""",
}
EVALUATED = """
import keras
import numpy as np
from keras_ab.bench.own.training import untrained_loss

class Own(keras.Sequential):
{step}
model = Own([keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
model.compile(optimizer="sgd")
x, y = np.random.default_rng(0).normal(size=(2, 8, 3)).astype("float32")
y = y[:, :1]
found = untrained_loss(model, (x, y))
np.testing.assert_allclose(found, np.mean((y - x @ model.get_weights()[0]) ** 2), rtol=1e-5)
"""


def test_a_model_evaluates_by_a_step_of_its_own_that_takes_two_parts(backend):
    program = EVALUATED.format(step=TWO_PARTS[backend])
    environment = os.environ | backends.load(backend).ENVIRONMENT
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, check=True)


def building(arm, backend):
    """Return the request to build an arm of the experiment on labels."""
    file = str(ROOT / "bench" / "bench_labels.py")
    case = "classes:10-batch:256-width:512"
    return protocol.Build(protocol.ArmNames(file, "labels", arm, case, backend), 1)


def test_a_worker_knows_its_device(server, backend):
    worker = server.start()
    facts = ask(worker, protocol.Facts(backend), 120)
    worker.stop()
    assert facts["devices"]
    assert facts["dtype_policy"] == "float32"


def test_workers_train_side_by_side(server, backend):
    workers = [server.start(), server.start()]

    def ask_both(request):
        under_way = [begin(worker, request, 120) for worker in workers]
        return [answer() for answer in under_way]

    built = ask_both(building("sparse_uint16", backend))
    assert [found.sizes["label_bytes"] for found in built] == [2 * 4864] * 2
    ask_both(protocol.Sample(3))
    assert all(found.host_high_water_bytes > 0 for found in ask_both(protocol.Memory()))
    assert ask_both(protocol.Finish()) == [True, True]
    for worker in workers:
        worker.stop()


def test_a_step_is_counted_and_profiled_and_the_device_probed(server, backend, tmp_path):
    worker = server.start()
    asked = partial(ask, worker, limit_s=120)
    asked(building("sparse_int32", backend))
    work = asked(protocol.Work())
    assert work.flop == {"float32": 2 * 256 * (2 * 784 * 512 + 3 * 512 * 10)}
    state = 4 * 3 * (785 * 512 + 513 * 10)
    assert work.least_moved_bytes == pytest.approx(2 * state + 4 * 256 * 785, rel=1e-3)
    asked(protocol.Trace(str(tmp_path)))
    for number in range(4):
        asked(protocol.Traced(2, number))
    found = asked(protocol.EndTrace(2, [1.0] * 4)).step
    total = found.idle_time_s + sum(one.time_s for one in found.operations)
    assert total == pytest.approx(found.step_time_s)
    assert any(re.search("dot|mm|ynn", one.operation) for one in found.operations)
    with gzip.open(tmp_path / FILE, "rt") as file:
        events = json.load(file)["traceEvents"]
    assert sum(event["name"] == SAMPLE for event in events) == 4
    assert len(asked(protocol.WatchMemory(2)).at_s) >= 2
    sizes = asked(protocol.ListProbes(backend))
    assert {"host_copy", "host_to_device", "matmul_bfloat16", "dispatch_eager"} <= sizes.keys()
    for name in ("matmul_float32", "dispatch_eager"):
        asked(protocol.PrepareProbe(name, 0))
        assert asked(protocol.Sample(1)).duration_s > 0
    worker.stop()


def test_an_arm_for_tensorflow_alone_says_so(server, backend):
    data = rehearse(DECLARED["recompute"][0], "recompute", backend, server)
    assert (data.failures, data.broken) == ([], [])
    assert {absent.arm for absent in data.absences} == {"each_block", "sqrt_segments"}
    assert "tf.recompute_grad works on TensorFlow's tensors" in data.absences[0].reason
