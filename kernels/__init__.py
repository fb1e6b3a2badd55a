"""What the techniques need and Keras lacks: one operation a file, its reference beside it.

Fused native kernels are in `keras_ab.kernels.native`.
Importing this package imports no framework and builds nothing.
"""

from typing import Any

__all__ = ["NotAvailable", "Required", "Status", "status", "use"]


def __getattr__(name: str) -> Any:
    """Import what belongs to the switch when it is asked for."""
    if name in __all__:
        from keras_ab.kernels.native import switch

        return getattr(switch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
