"""Errors in three parts: what must hold, what was received, what to do."""

import math
from typing import Any


def require(holds: bool, must: str, received: object, remedy: str) -> None:
    """Raise a three-part ``ValueError`` unless the condition holds.

    Args:
        holds: The condition.
        must: What must hold, as a full sentence.
        received: The value that was received instead.
        remedy: What to do about it, as a full sentence.

    Raises:
        ValueError: When ``holds`` is false.
    """
    if not holds:
        raise ValueError(f"{must} Received: {received!r}. {remedy}")


def require_between(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    low_included: bool = True,
    high_included: bool = True,
) -> float:
    """Return a hyperparameter as a float, or say which range it must be in.

    Args:
        name: The hyperparameter's name.
        value: What was passed for it.
        low: Lower end of the range.
        high: Upper end of the range.
        low_included: Whether ``low`` itself is allowed.
        high_included: Whether ``high`` itself is allowed.

    Raises:
        ValueError: When the value is no finite real number in the range.
    """
    span = f"{'[' if low_included else '('}{low}, {high}{']' if high_included else ')'}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    above = number and (value >= low if low_included else value > low)
    below = number and (value <= high if high_included else value < high)
    require(
        number and math.isfinite(value) and above and below,
        f"{name} must be a finite number in {span}.",
        value,
        f"Pass {name} as a float in that range.",
    )
    return float(value)


def require_learning_rate(learning_rate: Any) -> Any:
    """Return the learning rate, with a plain number checked and made a float.

    Args:
        learning_rate: A number, a ``LearningRateSchedule`` or a callable.

    Raises:
        ValueError: When it is a negative or non-finite number, or none of the three.
    """
    if callable(learning_rate) or isinstance(learning_rate, dict):
        return learning_rate
    return require_between("learning_rate", learning_rate, low=0.0)
