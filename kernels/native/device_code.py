import ctypes
from kernels.native.errors import NotAvailable


def prepare_visible_gpus(library: ctypes.CDLL) -> None: ...
def check(library: ctypes.CDLL) -> None:
    raise NotAvailable("x", "y", "z")
