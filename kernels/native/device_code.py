"""Compile the CUDA sources with NVRTC for the devices at hand, at first use; no GPU is needed."""

import ctypes
import functools
import hashlib
import importlib.util
import sys
from pathlib import Path

from keras_ab.kernels.native import cache
from keras_ab.kernels.native.build import SOURCES
from keras_ab.kernels.native.errors import NotAvailable

UNITS = tuple(sorted(path.stem for path in SOURCES.glob("*.cu")))  # one for each kernel
HEADERS = ("tensors.h", "packs.h", "device.h")
# NVRTC has no standard headers; these are all that tensors.h takes from one.
STDINT = "typedef long long int64_t; typedef int int32_t; typedef unsigned int uint32_t;"
NVRTC_LIBRARIES = ("libnvrtc.so.12", "libnvrtc.so.13")
# Lambdas within kernels are the device's without a word for it.
OPTIONS = ("--std=c++17", "--device-as-default-execution-space")
MOST_DEVICES = 64


def check(library: ctypes.CDLL) -> None:
    """Raise NotAvailable where CUDA kernels cannot run: no driver, too old a one, no NVRTC."""
    if error := _driver_error(library):
        raise error
    nvrtc()


def _driver_error(library: ctypes.CDLL) -> NotAvailable | None:
    library.kab_driver_error.restype = ctypes.c_char_p
    said = library.kab_driver_error()
    if said is None:
        return None
    must, _, rest = said.decode().partition("; got ")
    got, _, remedy = rest.partition(". ")
    return NotAvailable.because(must, got, remedy)


def prepare_visible_gpus(library: ctypes.CDLL) -> None:
    """Compile and hand over the code for the GPUs that Keras' backend sees, if any.

    Raises:
        NotAvailable: It sees one, and CUDA kernels cannot run.
    """
    if backend_sees_gpu():
        prepare(library)


def backend_sees_gpu() -> bool:
    """Whether TensorFlow or JAX, whichever Keras runs on, has a GPU."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    import jax

    return any(device.platform == "gpu" for device in jax.devices())


@functools.cache
def prepare(library: ctypes.CDLL) -> tuple[int, ...]:
    """Compile every unit for every device of the driver; return their capabilities."""
    check(library)
    room = (ctypes.c_int * MOST_DEVICES)()
    found = tuple(room[: library.kab_driver_capabilities(room, MOST_DEVICES)])
    for capability in sorted(set(found)):
        for unit in UNITS:
            code = cubin(unit, capability).read_bytes()
            library.kab_device_code(unit.encode(), capability, code, ctypes.c_long(len(code)))
    return found


def cubin(unit: str, capability: int) -> Path:
    """Return the machine code of one source for one compute capability (90 is 9.0), cached.

    Raises:
        NotAvailable: NVRTC is missing or refuses.
    """
    compiler = nvrtc()
    sources = [(SOURCES / name).read_text() for name in (f"{unit}.cu", *HEADERS)]
    key = repr((sources, STDINT, OPTIONS, version(compiler), capability))
    name = f"{unit}-sm_{capability}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.cubin"
    return cache.kept(name, lambda path: _write(path, compiler, unit, capability))


def _write(path: Path, compiler: ctypes.CDLL, unit: str, capability: int) -> None:
    path.write_bytes(compile_source((SOURCES / f"{unit}.cu").read_text(), capability, compiler))


@functools.cache
def nvrtc() -> ctypes.CDLL:
    """Load NVRTC: from the wheel that tensorflow[and-cuda] brings, or from the system."""
    for place in [*_wheel_directories(), None]:
        for name in NVRTC_LIBRARIES:
            path = name if place is None else str(place / name)
            try:
                return ctypes.CDLL(path)
            except OSError:
                continue
    raise NotAvailable.because(
        "CUDA kernels need NVRTC",
        f"none of {', '.join(NVRTC_LIBRARIES)}",
        "Install nvidia-cuda-nvrtc-cu12, or nvidia-cuda-nvrtc for CUDA 13.",
    )


def _wheel_directories() -> list[Path]:
    """Return where NVIDIA's wheels put NVRTC: CUDA 12's by library, CUDA 13's all together."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(entry, "nvidia") for entry in sys.path]
    roots += map(Path, spec.submodule_search_locations or [] if spec else [])
    places = (root / wheel / "lib" for root in roots for wheel in ("cuda_nvrtc", "cu13"))
    return [place for place in places if place.is_dir()]


def version(compiler: ctypes.CDLL) -> tuple[int, int]:
    """Return NVRTC's major and minor version."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    compiler.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def compile_source(source: str, capability: int, compiler: ctypes.CDLL) -> bytes:
    """Compile one source to a cubin; no fast-math, which would lose NaN and denormals."""
    headers = {name: (SOURCES / name).read_text() for name in HEADERS} | {"stdint.h": STDINT}
    program = ctypes.c_void_p()
    names, texts = _strings(headers), _strings(headers.values())
    compiler.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernel.cu", len(headers), texts, names
    )
    options = _strings([f"--gpu-architecture=sm_{capability}", *OPTIONS])
    try:
        if status := compiler.nvrtcCompileProgram(program, len(options), options):
            raise NotAvailable.because(
                f"NVRTC must compile the kernels for sm_{capability}",
                f"status {status}: {_text(compiler, program, 'ProgramLog').decode()[-2000:]}",
                "Install an nvidia-cuda-nvrtc-cu12 that knows the GPU.",
            )
        return _text(compiler, program, "CUBIN")
    finally:
        compiler.nvrtcDestroyProgram(ctypes.byref(program))


def _strings(texts: object) -> "ctypes.Array[ctypes.c_char_p]":
    encoded = [text.encode() for text in texts]  # type: ignore[attr-defined]
    return (ctypes.c_char_p * len(encoded))(*encoded)


def _text(compiler: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(compiler, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(compiler, f"nvrtcGet{what}")(program, buffer)
    return buffer.raw
