"""The backends that keras-ab knows, by name."""

from __future__ import annotations

from keras_ab.bench.lab.words.errors import DeclarationError

KERAS = ("tensorflow", "jax", "torch")
"""Those that Keras runs on."""


NAMES = (*KERAS, "plain")


def check_backend(name: str) -> None:
    """Refuse a backend that keras-ab does not know."""
    if name not in NAMES:
        raise DeclarationError(
            "a backend is one of those that keras-ab knows",
            repr(name),
            f"use one of {', '.join(NAMES)}",
        )
