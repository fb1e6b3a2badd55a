"""Builds the emulator of the CUDA sources: a driver that runs them, as it is or watched."""

import ctypes
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from keras_ab.kernels.native import build, device_code
from tests.kernels.native import c_interface as c
from tests.kernels.native.frames import Handlers, OnDevice

HERE = Path(__file__).parent
NAME = "libcuda.so.1"
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-w", f"-I{build.SOURCES}", f"-I{HERE}")
SHARED = ("-shared", f"-Wl,-soname,{NAME}")
FLAGS_VARIABLE = "KERAS_AB_TEST_EMULATOR_FLAGS"
"""Variable with further flags of the compiler, such as a sanitizer's."""


def _compile(compiler: build.Compiler, *arguments: object) -> None:
    subprocess.run([*compiler.command, *map(str, arguments)], check=True)


def build_driver(folder: Path, compiler: build.Compiler) -> Path:
    """Compile the driver into a folder."""
    path, further = folder / NAME, shlex.split(os.environ.get(FLAGS_VARIABLE, ""))
    _compile(compiler, *FLAGS, *SHARED, *further, HERE / "mock_driver.cc", "-o", path)
    return path


def build_counting(folder: Path, compiler: build.Compiler) -> Path:
    """Compile one that counts the bytes that kernels move; GCC alone is known to do it."""
    path, watched = folder / NAME, folder / "mock_driver.o"
    told = ("-fsanitize=thread", "-c")
    _compile(compiler, *FLAGS, *told, HERE / "mock_driver.cc", "-o", watched)
    _compile(compiler, *FLAGS, *SHARED, watched, HERE / "traffic.cc", "-o", path)
    return path


def build_frame(folder: Path, compiler: build.Compiler) -> ctypes.CDLL:
    """Compile and load what calls handlers as XLA does."""
    path = folder / "call_frame.so"
    headers = f"-I{build.ffi_headers()}"
    _compile(compiler, *FLAGS, headers, "-shared", HERE / "call_frame.cc", "-o", path)
    library = ctypes.CDLL(str(path))
    library.frame_call.restype = ctypes.c_char_p
    return library


@dataclass(frozen=True)
class Emulator:
    """The kernels on the emulator's driver: launches, handlers, and the driver itself."""

    cuda: c.Cuda
    handlers: Handlers
    driver: ctypes.CDLL


@contextmanager
def counting() -> Iterator[Emulator]:
    """Build and load the emulator that counts; one in a process, which keeps its driver."""
    compiler = build.compiler()
    with TemporaryDirectory() as name:
        folder = Path(name)
        driver = ctypes.CDLL(str(build_counting(folder, compiler)))
        driver.traffic_moved.restype = ctypes.c_uint64
        cuda = emulated(folder)
        cuda.place = c.on_device
        frame = build_frame(folder, compiler)
        yield Emulator(cuda, OnDevice(frame, cuda.library, driver.traffic_forget), driver)


def emulated(folder: Path) -> c.Cuda:
    """Return the kernels on the driver that this process has loaded.

    They are those of a copy of the library, so that its own does not take the mock for a driver.
    """
    copy = folder / "kernels.so"
    shutil.copy(build.library(), copy)
    library = ctypes.CDLL(str(copy))
    for unit in (*device_code.UNITS, "probe"):
        library.kab_device_code(unit.encode(), 90, b"cubin\0", ctypes.c_long(6))
    return c.Cuda(library)
