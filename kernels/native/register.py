"""Load the library and register its kernels with TensorFlow's or JAX's XLA."""

import ctypes
import functools
import itertools
from pathlib import Path
from types import ModuleType

from keras_ab.kernels.native import build
from keras_ab.kernels.native.errors import NotAvailable

# The CPU wheel exports the symbol from the second, the GPU wheel from the first (TF 2.21).
TENSORFLOW_LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
API_SYMBOL = "_ZN3xla3ffi12GetXlaFfiApiEv"  # xla::ffi::GetXlaFfiApi()


class Target(ctypes.Structure):
    """A kernel as XLA knows it, with a handler for each platform."""

    _fields_ = (("name", ctypes.c_char_p), ("cpu", ctypes.c_void_p), ("cuda", ctypes.c_void_p))


@functools.cache
def library() -> ctypes.CDLL:
    """Return the loaded library, built first where need be.

    Raises:
        NotAvailable: It cannot be built or loaded.
    """
    path = build.library()
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise NotAvailable.because(
            "The cached kernel library must load",
            str(error),
            f"Delete {path}, and it is built anew; or have KERAS_AB_CACHE name a folder from which "
            "libraries may be loaded.",
        ) from error
    loaded.kab_register.argtypes = [ctypes.c_void_p]
    loaded.kab_register.restype = ctypes.c_char_p
    loaded.kab_targets.restype = ctypes.POINTER(Target)
    return loaded


@functools.cache
def with_tensorflow() -> None:
    """Register every kernel with TensorFlow's XLA, once."""
    import tensorflow as tf

    refused = library().kab_register(_tensorflow_api(tf))
    if refused:
        raise NotAvailable.because(
            "TensorFlow's XLA must accept the kernels",
            refused.decode(),
            "Install tensorflow==2.21.*, for which they are written.",
        )


def _tensorflow_api(tf: ModuleType) -> int:
    for name in TENSORFLOW_LIBRARIES:
        path = Path(str(tf.__file__)).parent / name
        try:
            get = getattr(ctypes.CDLL(str(path)), API_SYMBOL)
        except (OSError, AttributeError):
            continue
        get.restype = ctypes.c_void_p
        return get()
    raise NotAvailable.because(
        "TensorFlow must export xla::ffi::GetXlaFfiApi",
        f"TensorFlow {tf.__version__}, which does not",
        "Install tensorflow==2.21.*.",
    )


@functools.cache
def with_jax() -> None:
    """Register every kernel with JAX's XLA, once."""
    import jax

    for target in itertools.takewhile(lambda t: t.name, library().kab_targets()):
        for platform, handler in (("cpu", target.cpu), ("CUDA", target.cuda)):
            capsule = jax.ffi.pycapsule(ctypes.c_void_p(handler))
            jax.ffi.register_ffi_target(target.name.decode(), capsule, platform=platform)


def with_backend(backend: str) -> None:
    """Register the kernels with a Keras backend, "tensorflow" or "jax"."""
    known = {"tensorflow": with_tensorflow, "jax": with_jax}
    if backend not in known:
        raise NotAvailable.because(
            "Native kernels need Keras on TensorFlow or JAX",
            f"the backend {backend}",
            "Set KERAS_BACKEND to tensorflow or jax.",
        )
    known[backend]()
