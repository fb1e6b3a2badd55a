"""The study of the kernels' bandwidth runs, on tensors so small that its shares mean nothing."""

import math
from dataclasses import replace

import pytest

from keras_ab.kernels.native import switch
from tests.studies import kernel_bandwidth as study

SMALL = {"cross_entropy": [(3, 50)], "batch_statistics": [(40, 5)]}


def test_every_kernel_has_its_problem():
    assert set(study.PROBLEMS) == set(switch.OPS)


@pytest.mark.parametrize("kernel", study.PROBLEMS)
def test_a_block_tells_a_share(kernel, library):
    problem = replace(study.PROBLEMS[kernel], shapes=SMALL.get(kernel, [(30, 20), (7, 5)]))
    found = study.block(kernel, problem, seed=0, rounds=2)
    assert math.isfinite(found.log_share)
    assert found.others >= 0


def test_the_table_has_a_row_for_each_kernel_and_says_how_busy_the_machine_was():
    blocks = [{"adam": study.Block(math.log(share), 0.5)} for share in (0.8, 0.8, 0.8)]
    made = study.table(blocks)
    assert "| adam | 100 variables, 25 M | 28 | 0.80 [0.80, 0.80] |" in made
    assert "Other processes kept at most 0.5 cores busy" in made
    assert len(study.PLACE.findall(study.README.read_text(encoding="utf-8"))) == 1
