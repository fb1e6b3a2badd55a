"""FFI handlers called as XLA calls them, on call frames made by hand (see call_frame.cc)."""

import ctypes
import itertools
from collections.abc import Callable
from ctypes import c_double, c_int32, c_int64, c_void_p
from typing import Any

import numpy as np

from keras_ab.kernels.native import register, standardize
from tests.kernels.native import c_interface as c


class Handlers:
    """The per-tensor kernels as XLA calls them on a GPU: their own handlers, on call frames."""

    def __init__(self, frame: ctypes.CDLL, library: ctypes.CDLL) -> None:
        self.frame = frame
        library.kab_targets.restype = ctypes.POINTER(register.Target)
        targets = itertools.takewhile(lambda t: t.name, library.kab_targets())
        self.cuda = {t.name.decode().removeprefix("kab_"): t.cuda for t in targets}

    def call(self, name: str, operands: list, results: list, **attributes: float) -> list:
        """Call the handler of a kernel; return the results, filled."""
        constants = [Attribute(k.encode(), attributes[k]) for k in sorted(attributes)]
        held = [
            list(map(operand, arrays)) for arrays in (operands, results)
        ]  # their dimensions too
        parts: list[Any] = [(Operand * len(each))(*each) for each in held]
        parts.append((Attribute * len(constants))(*constants))
        told = [each for part in parts for each in (part, c_int64(len(part)))]
        said = self.frame.frame_call(c_void_p(self.cuda[name]), *told)
        if said is not None:
            raise RuntimeError(said.decode())
        return results

    def cross_entropy(self, x: np.ndarray, labels: np.ndarray, upstream: np.ndarray) -> list:
        out = [np.full(len(x), np.nan, np.float32) for _ in range(3)]
        loss, *rest = self.call("cross_entropy_forward", [x, labels], out)
        operands = [x, labels, *rest, upstream]
        return [loss, *self.call("cross_entropy_backward", operands, [np.empty_like(x)])]

    def standardize(self, w: np.ndarray, gain: np.ndarray, up: np.ndarray) -> list:
        epsilon = {"epsilon": standardize.EPSILON}
        made = self.call("standardize_forward", [w, gain], [np.empty_like(w)], **epsilon)
        gradients = [np.empty_like(w), np.empty_like(gain)]
        return made + self.call("standardize_backward", [w, gain, up], gradients, **epsilon)

    def batch_statistics(self, x: np.ndarray, d_mean: np.ndarray, d_var: np.ndarray) -> list:
        moments = [np.empty_like(d_mean), np.empty_like(d_var)]
        mean, variance = self.call("batch_statistics_forward", [x], moments)
        operands = [x, mean, d_mean, d_var]
        d = self.call("batch_statistics_backward", operands, [np.empty_like(x)])
        return [mean, variance, *d]


class OnDevice(Handlers):
    """The same on memory that begins where a GPU's does, of which no cache holds anything.

    A call's arrays may lie where those of the one before lay, or its scratch memory: a cache that
    held those would spare some of these.

    Args:
        forget: empties the cache.
    """

    def __init__(
        self, frame: ctypes.CDLL, library: ctypes.CDLL, forget: Callable[[], None]
    ) -> None:
        super().__init__(frame, library)
        self.forget = forget

    def call(self, name: str, operands: list, results: list, **attributes: float) -> list:
        self.forget()
        moved = [list(map(c.on_device, arrays)) for arrays in (operands, results)]
        return super().call(name, *moved, **attributes)


class Operand(ctypes.Structure):
    _fields_ = (("dtype", c_int32), ("data", c_void_p), ("rank", c_int64), ("dims", c_void_p))


class Attribute(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", c_double))


XLA_DTYPES = {"int32": 4, "int64": 5, "float16": 10, "float32": 11, "bfloat16": 16}
"""Source: XLA, xla/ffi/api/c_api.h, XLA_FFI_DataType."""


def operand(array: np.ndarray) -> Operand:
    dims = (c_int64 * array.ndim)(*array.shape)
    made = Operand(XLA_DTYPES[array.dtype.name], c.at(array), array.ndim, ctypes.addressof(dims))
    made.held = dims
    return made
