"""TensorFlow's side of a kernel call: XlaCallModule, which works eagerly, in graphs and in jit.

`call_module` is no documented API of TensorFlow: hence the pin to 2.21 and a smoke test.
"""

import sys
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from keras_ab.kernels.native import stablehlo

MODULE_VERSION = 9  # the newest that both TF 2.21 and its GPU wheel take
PLATFORMS = ("CPU", "CUDA")
EXPORTERS = ("keras.src.export", "tensorflow.python.saved_model.save")


def run(call: stablehlo.Call, operands: list[Any]) -> list[Any]:
    """Run the kernel on the device that TensorFlow places the op on.

    Raises:
        RuntimeError: The graph is traced for a SavedModel, which no other process could run.
    """
    if not tf.executing_eagerly():
        _refuse_export()
    return list(
        xla.call_module(
            operands,
            version=MODULE_VERSION,
            module=stablehlo.module(call),
            Tout=[tf.as_dtype(result.dtype) for result in call.results],
            Sout=[_shape(result) for result in call.results],
            platforms=PLATFORMS,
        )
    )


@tf.autograph.experimental.do_not_convert
def _refuse_export() -> None:
    """Raise where the frames that led here are those of an export, which tells nobody below."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_globals.get("__name__", "").startswith(EXPORTERS):
            raise RuntimeError(
                "A SavedModel must hold no native kernel: a process that loads it has none. "
                "Received: a graph that is traced for export. "
                'Export inside `with kernels.use("reference")`.'
            )


def _shape(result: stablehlo.Tensor) -> tuple[int | None, ...]:
    return tuple(d if isinstance(d, int) else None for d in result.dims)


def differentiable(forward: Any, backward: Any) -> Any:
    """Attach `backward` through tf.custom_gradient."""

    @tf.custom_gradient
    def function(*inputs: Any) -> Any:
        outputs, residuals = forward(*inputs)

        def gradient(*upstream: Any) -> tuple[Any, ...]:
            return backward(residuals, upstream)

        return outputs, gradient

    return function
