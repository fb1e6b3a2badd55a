"""The seam behind which frameworks live: one file a framework."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from bench.lab.errors import DeclarationError

NAMES = ("tensorflow", "plain")


class Backend(Protocol):
    """What the lab needs of a framework; implemented by the modules of this package."""

    PRELOAD: tuple[str, ...]
    """Modules that a forkserver imports once; importing them must touch no device."""

    ENVIRONMENT: dict[str, str]
    """Environment variables of the forkserver."""

    def open_device(self, seed: int) -> None:
        """Seed everything and make the device ready, in a fresh worker."""

    def synchronise(self) -> None:
        """Wait until the device has done all work handed to it."""

    def reset_peak_memory(self) -> None:
        """Forget the peak of device memory."""

    def peak_memory_bytes(self) -> int | None:
        """Return the peak of device memory since the reset; None where nobody counts it."""

    def facts(self) -> dict[str, Any]:
        """Return devices and settings, as JSON values."""


def load(name: str) -> Any:
    """Return the backend called `name`."""
    if name not in NAMES:
        raise DeclarationError(
            "a backend is one of those that keras-ab knows",
            repr(name),
            f"use one of {', '.join(NAMES)}",
        )
    return importlib.import_module(f"bench.lab.backends.{name}")
