"""The one switch between native kernels and their references, and what it comes to."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal

from keras_ab.kernels.native import device_code, register
from keras_ab.kernels.native.errors import NotAvailable, Required

Mode = Literal["native", "reference", "require"]
Device = Literal["cpu", "cuda"]
MODES = ("native", "reference", "require")
VARIABLE = "KERAS_AB_KERNELS"
__all__ = ["NotAvailable", "Required", "Status", "mode", "native", "status", "use"]
OPS = device_code.UNITS


@dataclass(frozen=True)
class Status:
    """What one operation uses on one kind of device, and why."""

    op: str
    device: Device
    uses: Literal["native", "reference", "nothing"]
    why: str


class use:  # noqa: N801 - read as a verb, and as `with kernels.use(...)`
    """Choose for this process: "native", "reference" or "require".

    native: a kernel that is not there raises NotAvailable, which a report shows as
    "not measured here". require (as in CI): it raises Required, an error, and at once.
    reference: plain operations, always. As a context manager it holds inside the block.
    A graph keeps what was chosen when it was traced.

    Raises:
        ValueError: The mode is none of the three.
        Required: "require" was chosen and the kernels cannot be built.
    """

    _chosen: Mode | None = None

    def __init__(self, mode: Mode) -> None:
        """Switch now."""
        self._before = use._chosen
        use._chosen = _checked(mode, "keras_ab.kernels.use")
        if mode == "require":
            self._demand()

    def _demand(self) -> None:
        try:
            register.library()
        except NotAvailable as error:
            use._chosen = self._before
            raise _required(error) from error

    def __enter__(self) -> "use":
        """Leave the choice as made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Go back to what was chosen before."""
        use._chosen = self._before


def mode() -> Mode:
    """Return the mode: what `use` chose, else `KERAS_AB_KERNELS`, else "native"."""
    return use._chosen or _checked(os.environ.get(VARIABLE) or "native", VARIABLE)


def _checked(asked: str, where: str) -> Mode:
    if asked not in MODES:
        raise ValueError(f"{where} must be one of {', '.join(MODES)}; got {asked!r}; choose one")
    return asked  # type: ignore[return-value]


def _required(error: NotAvailable) -> Required:
    return Required(f"Native kernels are required ({VARIABLE} or kernels.use); {error}")


def native() -> bool:
    """Return whether to call native kernels on Keras' backend, having made them ready.

    Raises:
        NotAvailable: They are asked for and not there.
        Required: They are required and not there.
    """
    if mode() == "reference":
        return False
    import keras

    try:
        register.with_backend(keras.backend.backend())
        device_code.prepare_visible_gpus(register.library())
    except NotAvailable as error:
        if mode() == "require":
            raise _required(error) from error
        raise
    return True


def status() -> tuple[Status, ...]:
    """Return what each operation uses on each kind of device, and why.

    Builds the library where the cache lacks it, and imports no framework.
    """
    devices = [_state("cpu", _check_cpu), _state("cuda", _check_cuda)]
    return tuple(replace(state, op=op) for op in OPS for state in devices)


def _state(device: Device, check: Callable[[], str]) -> Status:
    if mode() == "reference":
        chosen = "keras_ab.kernels.use" if use._chosen else VARIABLE
        return Status("", device, "reference", f"chosen by {chosen}")
    try:
        return Status("", device, "native", check())
    except NotAvailable as error:
        return Status("", device, "nothing", str(error))


def _check_cpu() -> str:
    register.library()
    return "built and loaded"


def _check_cuda() -> str:
    device_code.check(register.library())
    return "a driver and NVRTC are there"
