"""What distinguishes an arm from the baseline, as a readable difference of their code."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from typing import Literal

from keras_ab.bench.lab.record.records import ArmRecord

LONGEST = 400
"""Lines that are compared; comparing takes time that grows with their square."""


@dataclass(frozen=True)
class CodeLine:
    """One line of an arm's code, and whether the baseline has it too."""

    mark: Literal["same", "added", "removed"]
    code: str

    @property
    def sign(self) -> str:
        """The line's sign in front, as in a patch."""
        return {"same": " ", "added": "+", "removed": "−"}[self.mark]


def recipe_of(code: str) -> ast.Call | None:
    """Return the recipe that stands in the last line of code, below what its process is given."""
    recipe = (code.strip().splitlines() or [""])[-1]
    try:
        call = ast.parse(recipe, mode="eval").body if len(code) < 4000 else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return call if isinstance(call, ast.Call) and not call.args and recipe[0] != " " else None


def lines_of(code: str) -> list[str]:
    """Return code in lines: a recipe with one field a line, anything else as it is written."""
    call = recipe_of(code)
    if call is None:
        return code.splitlines()
    process = code.strip().splitlines()[:-1]
    fields = [f"    {keyword.arg}={ast.unparse(keyword.value)}," for keyword in call.keywords]
    return [*process, f"{ast.unparse(call.func)}(", *fields, ")"]


def difference(baseline: ArmRecord, arm: ArmRecord) -> list[CodeLine]:
    """Return an arm's code, marked where it differs from the baseline's."""
    before, after = lines_of(baseline.code), lines_of(arm.code)
    if arm.name == baseline.name or max(len(before), len(after)) > LONGEST:
        return [CodeLine("same", line) for line in after]
    lines: list[CodeLine] = []
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(a=before, b=after).get_opcodes():
        if tag == "equal":
            lines += [CodeLine("same", line) for line in after[j:j_end]]
        else:
            lines += [CodeLine("removed", line) for line in before[i:i_end]]
            lines += [CodeLine("added", line) for line in after[j:j_end]]
    return lines


def same_code(lines: list[CodeLine]) -> bool:
    """Tell whether the code that is shown has no difference in it."""
    return all(line.mark == "same" for line in lines)
