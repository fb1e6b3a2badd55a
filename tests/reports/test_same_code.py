"""A recipe that was given a field since is the same code, and one with another value is not."""

from pathlib import Path

import pytest

from keras_ab.bench.lab.record.declared import Trial
from keras_ab.reports.compare import comparison, unlike
from keras_ab.reports.compared import compared
from keras_ab.reports.same_code import unlike_arms
from tests.reports import simulated
from tests.reports.test_compare import jit, sides, written


def trial(**codes: str) -> Trial:
    declared = simulated.declared(jit())
    plain = declared.arms[0]
    arms = [plain.model_copy(update={"name": arm, "code": c}) for arm, c in codes.items()]
    return declared.model_copy(update={"arms": arms})


OLD = trial(plain="Recipe(jit=False, loss='a')", jit="Recipe(jit=True, loss='a')")


@pytest.mark.parametrize(
    ("plain", "treated", "unlike"),
    [
        ("Recipe(jit=False, loss='a', clip=0.01)", "Recipe(jit=True, loss='a', clip=0.01)", []),
        ("Recipe(jit=False)", "Recipe(jit=True)", []),
        ("Recipe(jit=False, loss='a')\n", " Recipe(jit=True, loss='a')", []),
        # the new field is what tells the arms apart
        ("Recipe(loss='a', x=1)", "Recipe(loss='a', x=2)", ["jit", "plain"]),
        ("Recipe(jit=False, loss='a', x=1)", "Recipe(jit=True, loss='a', x=2)", ["jit", "plain"]),
        ("Recipe(jit=False, loss='b')", "Recipe(jit=True, loss='b')", ["jit", "plain"]),
        ("Recipe(jit=False, loss='a')", "Recipe(jit=True, loss='b')", ["jit"]),
        ("Other(jit=False, loss='a')", "Recipe(jit=True, loss='a')", ["plain"]),
        ("A=1\nRecipe(jit=False, loss='a')", "Recipe(jit=True, loss='a')", ["plain"]),
        ("def f():\n    return 1", "Recipe(jit=True, loss='a')", ["plain"]),
    ],
)
def test_arms_are_held_field_by_field(plain: str, treated: str, unlike: list[str]) -> None:
    new = trial(plain=plain, jit=treated)
    assert unlike_arms(OLD, new) == unlike_arms(new, OLD) == unlike


def test_functions_are_held_as_they_are_written() -> None:
    old = trial(plain="def f(\n    a=1,\n):\n    pass\n", jit="def g(\n    a=1,\n):\n    pass\n")
    new = trial(plain="def f(\n):\n    pass", jit="def g(\n):\n    pass")
    assert unlike_arms(old, new) == ["jit", "plain"]
    same = trial(**{arm.name: arm.code.strip() for arm in old.arms})
    assert unlike_arms(old, same) == []


def test_an_arm_that_one_side_lacks_is_unlike() -> None:
    more = trial(**{arm.name: arm.code for arm in OLD.arms}, third="Recipe(jit=True, loss='a')")
    assert unlike_arms(OLD, more) == ["third"]


def test_arms_of_other_code_that_is_allowed_are_named(tmp_path: Path) -> None:
    a, b = sides(
        written(tmp_path, "a", [jit()]), written(tmp_path, "b", [jit(plain=1.0, more=0.9)])
    )
    assert len(unlike([a, b])) == 1
    said = compared(comparison([a, b], ["code"])).replace("\\", "")
    assert "- jit, batch=64: the code of more differs between a and b" in said
