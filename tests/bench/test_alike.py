"""Arms do the same work wherever their experiment says that it is held fixed: by count.

What is counted is read from the program that XLA would be given for a step; nothing is run.
"""

import gc

import pytest

from keras_ab.bench import bench_kernels, bench_steps_per_execution
from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.lab.worker import hlo
from tests.bench.declared import DECLARED, first_case

tf = pytest.importorskip("tensorflow")

HELD = {"operations": "operations", "model": "products", "layers": "products"}
"""Words of `held_fixed`, and what is then counted: products are those of matrices and filters."""
RECOMPUTING = ("recompute", "remat_scope", "recompute_stateful")
"""Experiments on doing some of the work twice."""


def held(experiment):
    """Return what an experiment holds fixed, as far as it can be counted."""
    return {HELD[word] for word in experiment.held_fixed.split(", ") if word in HELD}


pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")


@pytest.fixture
def programs(monkeypatch):
    """The programs whose work is counted, in HLO, as they come."""
    seen, count = [], hlo.count
    monkeypatch.setattr(hlo, "count", lambda program: seen.append(program) or count(program))
    yield seen
    gc.collect()  # a callback's folder ends with its arm, and warns; no other test shall hear it


@pytest.fixture(autouse=True)
def _switches_as_they_were():
    """Switch off again what an arm has switched on in TensorFlow, for the rest of its process."""
    options = tf.config.optimizer.get_experimental_options
    before = options()
    yield
    switched = {name: before.get(name, False) for name in options()}
    tf.config.optimizer.set_experimental_options(switched)


def work_of(arm, case, programs):
    """Return an arm's counts by what is counted; nothing where no program tells them."""
    if arm.backend or arm.environment:
        return {}  # in a process of its own
    try:
        work = arm.build(case.params).work
        step = work() if work else None
    except NotMeasuredHere:
        return {}
    if step is None:
        return {}
    return {"products": sum(step.flop.values()), "operations": hlo.operations(programs[-1])}


COUNTED = [name for name, (_, e) in DECLARED.items() if e.timed and held(e)]
ALIKE = [name for name in COUNTED if name not in RECOMPUTING]


@pytest.mark.parametrize("name", ALIKE)
def test_every_arm_does_what_its_experiment_holds_fixed(name, programs):
    experiment = DECLARED[name][1]
    case = first_case(experiment)
    found = {arm.name: work_of(arm, case, programs) for arm in experiment.arms}
    counted = {arm: counts for arm, counts in found.items() if counts}
    if len(counted) < 2:
        pytest.skip(f"no two arms of {', '.join(found)} tell their program in this process")
    for what in held(experiment):
        first, *others = counted
        for other in others:
            assert counted[other][what] == counted[first][what], (what, first, other)


def convolutions(arm, case, programs):
    """Return the convolutions of an arm's step: forward ones, and two in each one's gradient."""
    arm.build(case.params).work()
    return programs[-1].count(" convolution(")


@pytest.mark.parametrize("name", RECOMPUTING)
def test_every_arm_recomputes_each_convolution_of_its_blocks_once(name, programs):
    """Segments and blocks hold all of a block's two; a mode for activations holds none of them."""
    experiment = DECLARED[name][1]
    case = first_case(experiment)
    kept, *arms = experiment.arms
    plain = convolutions(kept, case, programs)
    for arm in arms:
        again = 0 if arm.name == "activations" else 2 * case.params["depth"]
        assert convolutions(arm, case, programs) - plain == again, arm.name


def test_the_plain_form_of_adaptive_clipping_goes_over_each_tensor_once():
    """Its norms are two sums a variable, of the weight and of the gradient."""
    case = {"variables": 3, "rows": 4, "columns": 5}
    work = bench_kernels.AGC.arms[0].build.args[0]
    job = work.build(case, "graph")
    program = tf.function(job.step, jit_compile=True).experimental_get_compiler_ir(*job.inputs)
    assert program(stage="hlo").count(" reduce(") == 2 * case["variables"]


def test_no_batch_is_made_in_another_arms_sample():
    batches = bench_steps_per_execution.made_when_asked_for(([1, 2, 3], [4, 5, 6]), 2)
    assert batches.options().experimental_optimization.apply_default_optimizations is False
    assert type(batches).__name__ == "_OptionsDataset"
    assert [x.tolist() for x, _ in batches.take(2).as_numpy_iterator()] == [[1, 2], [3, 1]]
