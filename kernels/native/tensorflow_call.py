"""TensorFlow's side of a kernel call: XlaCallModule, which works eagerly, in graphs and in jit.

`call_module` and `mark_as_unsaveable` are no documented API of TensorFlow: hence the pin to 2.21
and tests of both.
"""

from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from keras_ab.kernels.native import stablehlo

MODULE_VERSION = 9  # the newest that both TF 2.21 and its GPU wheel take
PLATFORMS = ("CPU", "CUDA")
UNSAVEABLE = (
    "A SavedModel must hold no native kernel: a process that loads it has none. "
    "Received: a graph that calls one. "
    'Trace and export it inside `with kernels.use("reference")`.'
)


def run(call: stablehlo.Call, operands: list[Any]) -> list[Any]:
    """Run the kernel on the device that TensorFlow places the op on.

    A graph that holds it cannot be exported: TensorFlow then raises ValueError, with the way out.
    """
    _keep_out_of_saved_models()
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


def _keep_out_of_saved_models() -> None:
    """Mark the graph under construction; TensorFlow passes that on to all graphs that call it."""
    graph = tf.compat.v1.get_default_graph()
    while getattr(graph, "building_function", False):
        graph.mark_as_unsaveable(UNSAVEABLE)
        graph = graph.outer_graph


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
