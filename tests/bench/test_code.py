"""An arm's code is text that a reader understands, and the same in every process."""

from functools import partial
from pathlib import Path

from keras_ab import bench
from keras_ab.bench.catalogue import experiments
from keras_ab.bench.lab.words.code import written


def prepare(form, size, case):
    return form, size, case


def small(case):
    return case


def test_a_function_is_its_source():
    assert written(small) == "def small(case):\n    return case"


def test_a_partial_call_is_the_functions_it_is_given_and_then_itself():
    build = partial(prepare, partial(small, "x"), size=3)
    assert written(build) == f"{written(small)}\n\nprepare(small('x'), size=3)"


def test_a_partial_call_of_plain_values_is_preceded_by_what_it_calls():
    assert written(partial(small, 2)) == f"{written(small)}\n\nsmall(2)"


def test_what_has_no_source_is_its_name():
    assert written(len) == "len"


def test_no_arm_shows_an_address():
    for experiment in experiments(Path(bench.__file__).parent, []):
        for arm in experiment.arms:
            assert " at 0x" not in arm.code, (experiment.name, arm.name)


SHORT, OTHER = lambda case: small(case), lambda case: [small(case)]
# fmt: off
LONG = partial(
    prepare,
    lambda case: small(case)
    or small(
        case,
    ),
    3,
)
# fmt: on
SAID = {
    "nested": lambda case: (lambda inner: small(inner))(case),
    "constant": lambda _: 1,
    "either": lambda case: small(case) if case else 2,
}


def test_a_lambda_is_recorded_whole_and_alone():
    assert written(SHORT) == "lambda case: small(case)"
    assert written(OTHER) == "lambda case: [small(case)]"
    assert written(LONG).startswith(
        "lambda case: small(case)\n    or small(\n        case,\n    )\n"
    )
    assert written(SAID["nested"]) == "lambda case: (lambda inner: small(inner))(case)"
    assert written(SAID["constant"]) == "lambda _: 1"
    assert written(SAID["either"]) == "lambda case: small(case) if case else 2"
