"""How large what a run file holds may be: beyond it, whoever reckons with it overflows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, FiniteFloat

LARGEST = 2**63
"""No count of ours reaches it; what is larger overflows where it is reckoned with."""

PositiveCount = Annotated[int, Field(gt=0, lt=LARGEST)]
Count = Annotated[int, Field(ge=0, lt=LARGEST)]
"""Both mean what `words.steps` means by them: pydantic 2.9 looks the names of a dataclass's types
up in the module of the record that has it."""

StepSeconds = Annotated[FiniteFloat, Field(ge=1e-12, le=1e9)]


def _countable(fact: Any) -> Any:
    """Return a fact, nested or not, unless a whole number in it is beyond any count."""
    nested = fact.values() if isinstance(fact, dict) else fact if isinstance(fact, list) else ()
    for inner in nested:
        _countable(inner)
    if isinstance(fact, int) and abs(fact) >= LARGEST:
        raise ValueError("a whole number beyond any count")
    return fact


Facts = Annotated[dict[str, Any], AfterValidator(_countable)]
Scalar = Annotated[int, Field(gt=-LARGEST, lt=LARGEST)] | float | str | bool | None
