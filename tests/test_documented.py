"""The examples in docstrings are run as they are written there."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import keras_ab
from keras_ab.bench.lab.words.declare import Source
from keras_ab.bench.lab.worker.backends import KerasBackend

DOCUMENTED = {
    "keras_ab": keras_ab.__doc__,
    "Workload": keras_ab.Workload.__doc__,
    "Built": keras_ab.Built.__doc__,
    "training": KerasBackend.training.__doc__,
}
FACE = {name: getattr(keras_ab, name) for name in keras_ab.__all__}


def example(docstring):
    """Return the code that follows ``::``, up to where the text goes on."""
    text = textwrap.dedent(docstring.partition("\n")[2])
    (code,) = re.findall(r"::\n\n((?:    .*\n|\n)+)", text)
    return textwrap.dedent(code)


def declared(code):
    """Return what an example declares, having made an experiment of it where it is none."""
    names = dict(FACE, replace=replace)
    exec(code, names)  # noqa: S102 - of our own
    if "EXPERIMENT" in names:
        return names["EXPERIMENT"]
    return keras_ab.Experiment(
        name="example",
        question="?",
        method=".",
        sources=(Source("A", "T", 2024, "https://example.org"),),
        arms=names["ARMS"],
        cases=names["CASES"],
    )


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_arm_of_an_example_takes_a_step(name):
    experiment = declared(example(DOCUMENTED[name]))
    for case in experiment.cases:
        for arm in experiment.arms:
            assert float(arm.build(case.params).step()) > 0


def test_a_technique_is_a_recipe_with_one_field_replaced():
    names = dict(FACE, replace=replace)
    exec(example(keras_ab.Recipe.__doc__), names)  # noqa: S102 - of our own
    assert names["TECHNIQUE"].optimizer == "sgd"
    assert names["TECHNIQUE"].dtype_policy == "mixed_bfloat16"


def test_the_guide_shows_the_example_that_help_shows():
    page = (Path(__file__).parents[1] / "docs" / "your-technique.md").read_text(encoding="utf-8")
    assert f"```python\n{example(keras_ab.__doc__).strip()}\n```" in page
