"""JAX's side of a kernel call: jax.ffi."""

from typing import Any

import jax
import numpy as np

from keras_ab.kernels.native import stablehlo


def run(call: stablehlo.Call, operands: list[Any]) -> list[Any]:
    """Run the kernel on JAX's device."""
    results = [jax.ShapeDtypeStruct(result.dims, result.dtype) for result in call.results]
    function = jax.ffi.ffi_call(
        call.target, results, input_output_aliases=dict(call.aliases), vmap_method="sequential"
    )
    attributes = {name: np.float64(value) for name, value in call.attributes}
    return list(function(*operands, **attributes))


def differentiable(forward: Any, backward: Any) -> Any:
    """Attach `backward` through jax.custom_vjp."""

    @jax.custom_vjp
    def function(*inputs: Any) -> Any:
        return forward(*inputs)[0]

    def gradient(residuals: Any, upstream: Any) -> tuple[Any, ...]:
        several = upstream if isinstance(upstream, tuple) else (upstream,)
        return backward(residuals, several)

    function.defvjp(forward, gradient)
    return function
