"""Call a native kernel from Keras' backend, in eager code or in a graph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_ab.kernels.native.stablehlo import Call, Like, Tensor

Array = Any  # a tensor of Keras' backend

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[Any, tuple[Array, ...]], tuple[Array | None, ...]]


@dataclass(frozen=True)
class Request:
    """One call of a kernel: its operands, the types of its results, and its constants.

    A result's dimension that an operand shares may be Like(operand, axis); where the operand's is
    known when the graph is traced it becomes that number.
    """

    target: str
    operands: Sequence[Array]
    results: Sequence[Tensor]
    attributes: Mapping[str, float] = field(default_factory=dict)
    aliases: Sequence[tuple[int, int]] = ()


def call(request: Request) -> list[Array]:
    """Run the kernel and return its results."""
    operands = [_type_of(x) for x in request.operands]
    results = [_resolved(result, operands) for result in request.results]
    attributes = tuple((name, float(value)) for name, value in request.attributes.items())
    typed = Call(
        request.target, tuple(operands), tuple(results), attributes, tuple(request.aliases)
    )
    return _backend().run(typed, list(request.operands))


def unconverted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep TensorFlow's AutoGraph out of `function`: it would rewrite it and its exceptions."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)


def differentiable(forward: Forward, backward: Backward) -> Callable[..., Any]:
    """Return a function of tensors whose gradient is `backward`.

    Args:
        forward: Maps the inputs to (outputs, residuals).
        backward: Maps (residuals, gradients of the outputs) to a gradient for each input, None
            for one of integers.
    """
    return _backend().differentiable(forward, backward)


def _backend() -> Any:  # a module
    if keras.backend.backend() == "jax":
        from keras_ab.kernels.native import jax_call

        return jax_call
    from keras_ab.kernels.native import tensorflow_call

    return tensorflow_call


def _type_of(x: Array) -> Tensor:
    return Tensor(tuple(x.shape), keras.backend.standardize_dtype(x.dtype))


def _resolved(result: Tensor, operands: list[Tensor]) -> Tensor:
    dims = [_known(dim, operands) for dim in result.dims]
    return Tensor(tuple(dims), result.dtype)


def _known(dim: int | Like | None, operands: list[Tensor]) -> int | Like | None:
    if not isinstance(dim, Like):
        return dim
    known = operands[dim.operand].dims[dim.axis]
    return dim if known is None else known
