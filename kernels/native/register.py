"""Load the library and register its kernels with TensorFlow's or JAX's XLA."""

import ctypes
import functools
from pathlib import Path
from types import ModuleType

from keras_ab.kernels.native import build
from keras_ab.kernels.native.errors import NotAvailable

# The CPU wheel exports the symbol from the second, the GPU wheel from the first (TF 2.21).
TENSORFLOW_LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
API_SYMBOL = "_ZN3xla3ffi12GetXlaFfiApiEv"  # xla::ffi::GetXlaFfiApi()
TARGETS = (
    "kab_adam",
    "kab_sm3",
    "kab_adafactor",
    "kab_adaptive_clip",
    "kab_cross_entropy_forward",
    "kab_cross_entropy_backward",
    "kab_standardize_forward",
    "kab_standardize_backward",
    "kab_batch_statistics_forward",
    "kab_batch_statistics_backward",
)


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
            f"Delete {path}; it is built anew.",
        ) from error
    loaded.kab_register.argtypes = [ctypes.c_void_p]
    loaded.kab_register.restype = ctypes.c_char_p
    loaded.kab_handler.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    loaded.kab_handler.restype = ctypes.c_void_p
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

    for target in TARGETS:
        for jax_platform, platform in (("cpu", b"Host"), ("CUDA", b"CUDA")):
            handler = ctypes.c_void_p(library().kab_handler(target.encode(), platform))
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(handler), platform=jax_platform)


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
