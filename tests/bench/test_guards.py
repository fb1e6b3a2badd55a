"""Every experiment's guards hold for its arms, and break for an arm that is spoilt.

No step that XLA compiles reads a variable of int32 on the way.
"""

import pytest

from keras_ab.bench.lab.loop.forkserver import ForkServer
from tests.bench.declared import DECLARED, rehearse

SPOILT = """
from tests.bench.spoil import with_a_spoilt_arm

EXPERIMENT = with_a_spoilt_arm({file!r}, {name!r})
"""


@pytest.fixture(scope="module")
def server():
    server = ForkServer("tensorflow")
    yield server
    server.close()


@pytest.mark.parametrize("name", DECLARED)
def test_guards_hold_for_every_arm_and_break_for_a_spoilt_one(name, server, tmp_path):
    path, experiment = DECLARED[name]
    file = tmp_path / "bench_spoilt.py"
    file.write_text(SPOILT.format(file=str(path), name=name))
    data = rehearse(file, name, "tensorflow", server)
    assert data.failures == []
    for absent in data.absences:
        if absent.arm == experiment.baseline.name:
            pytest.skip(f"not measured here: {absent.reason}")
    assert {check.arm for check in data.broken} == {"spoilt"}, "declare a guard that it breaks"
    whole = {check.arm for check in data.checks} - {"spoilt"}
    assert whole | {absent.arm for absent in data.absences} == {a.name for a in experiment.arms}


INT32 = """
from dataclasses import replace

from tests.bench.spoil import fit_for_a_gpu
from keras_ab import Prepared
from keras_ab.bench.lab.words.bench_files import load_experiment

LABELS = load_experiment({file!r}, "labels")


def reads(dtype, case):
    import tensorflow as tf

    variable = tf.Variable([1, 2], dtype=dtype, trainable=False)
    step = tf.function(lambda: tf.reduce_sum(tf.cast(variable, tf.float32)), jit_compile=True)
    return Prepared(step, observe=lambda: {{"loss": step(), "weights": step()}})


def arm(like, dtype):
    return fit_for_a_gpu(replace(like, build=lambda case: reads(dtype, case)))


first, second, *_ = LABELS.arms
EXPERIMENT = replace(LABELS, arms=(arm(first, "int64"), arm(second, "int32")), guards=(), claims=())
"""


def test_a_variable_that_no_gpu_could_read_is_seen(server, tmp_path):
    file = tmp_path / "bench_int32.py"
    file.write_text(INT32.format(file=str(DECLARED["labels"][0])))
    (failure,) = rehearse(file, "labels", "tensorflow", server).failures
    assert failure.arm == DECLARED["labels"][1].arms[1].name
    assert "steps under XLA read int32 variables" in failure.message
