"""In what two sets of recorded facts differ."""

from __future__ import annotations

from typing import Any


def differences(before: dict[str, Any], after: dict[str, Any], path: str = "") -> list[str]:
    """Return one line for each leaf in which two nested facts differ."""
    lines = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{path}{key}.")
        elif old != new:
            lines.append(f"{path}{key}: {old!r} → {new!r}")
    return lines
