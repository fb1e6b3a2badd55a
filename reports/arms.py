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


def lines_of(code: str) -> list[str]:
    """Return code in lines: a recipe with one field a line, anything else as it is written.

    A recipe is the last line, below what the arm's process is given.
    """
    *process, recipe = code.strip().splitlines() or [""]
    try:
        call = ast.parse(recipe, mode="eval").body if len(code) < 4000 else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        call = None
    if not isinstance(call, ast.Call) or call.args or recipe.startswith(" "):
        return code.splitlines()
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
