"""What recomputing does to BatchNorm and Dropout, as the guard of its experiment sees it."""

from dataclasses import replace

import keras
import pytest

from keras_ab.bench import bench_recompute
from keras_ab.bench.lab.loop.guards import checks
from keras_ab.bench.workloads.residual_chain import RESIDUAL_CHAIN


def observed(recompute):
    keras.utils.set_random_seed(0)
    recipe = replace(bench_recompute.KEEP, recompute=recompute)
    return RESIDUAL_CHAIN(recipe, bench_recompute.STATEFUL).observe()


@pytest.fixture(scope="module")
def kept():
    return observed("none")


def held(recompute, kept):
    guards = bench_recompute.WITH_STATE.guards
    tolerances = {guard.observed: guard.tolerance for guard in guards}
    found = checks(guards, "t", {recompute: observed(recompute)}, kept)
    return {check.observed: check.relative_error <= tolerances[check.observed] for check in found}


def test_the_chain_keeps_statistics_and_seeds(kept):
    assert all(held("chain", kept).values())


def test_statistics_that_move_twice_break_the_guard_beside_seeds_in_the_billions(kept):
    assert max(kept["seeds/0"].max(), 1) > 1e3 * kept["statistics/0"].max()
    assert not held("each", kept)["statistics"]
