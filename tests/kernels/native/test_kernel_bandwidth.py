"""The study of the kernels' bandwidth runs, on tensors so small that its shares mean nothing."""

import math
from dataclasses import replace

import pytest

from keras_ab.kernels.native import switch
from tests.studies import kernel_bandwidth as study
from tests.studies.tables import between

SMALL = {"cross_entropy": [(3, 50)], "batch_statistics": [(40, 5)]}


def test_every_kernel_has_its_problem():
    assert set(study.PROBLEMS) == set(switch.OPS)


@pytest.mark.parametrize("kernel", study.PROBLEMS)
def test_a_block_tells_a_share(kernel, library):
    problem = replace(study.PROBLEMS[kernel], shapes=SMALL.get(kernel, [(30, 20), (7, 5)]))
    found = study.block(kernel, problem, seed=0, rounds=2)
    assert math.isfinite(found.log_share)
    assert math.isfinite(found.log_arithmetic)
    assert found.others >= 0


def test_few_elements_are_rows_of_the_largest_array():
    assert study.few([(10, 10)] * 7, 50) == (5, 10)
    assert study.few([(3, 3), (512, 32000)], 350_000) == (10, 32000)
    assert study.few([(3, 50)], 10) == (1, 50)


def test_the_table_has_a_row_for_each_kernel_and_says_how_busy_the_machine_was():
    blocks = [{"adam": study.Block(math.log(0.8), math.log(0.4), 0.5)}] * 3
    made = study.table(blocks)
    assert "| adam | 100 variables, 25 M | 28 | 0.80 [0.80, 0.80] | 0.40 [0.40, 0.40] |" in made
    assert "Other processes kept at most 0.5 cores busy" in made
    assert len(between("kernel_bandwidth").findall(study.README.read_text(encoding="utf-8"))) == 1
