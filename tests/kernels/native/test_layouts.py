"""Kernels get row-major operands, whatever layout XLA would like them to have."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from keras_ab.kernels.native import adam, stablehlo, tensorflow_call
from keras_ab.kernels.native import standardize as ws
from keras_ab.kernels.native.stablehlo import Call, Like, Tensor
from keras_ab.kernels.weight_standardization import reference_standardized

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

SHAPE = (3, 3, 4, 6)
BY_OUTPUTS = "dense<[2, 1, 0, 3]> : tensor<4xindex>"
"""Of a kernel (height, width, inputs, outputs): the outputs change slowest, as cuDNN takes it."""

FORCED = f"""
module @forced attributes {{jax.uses_shape_polymorphism = true}} {{
func.func public @main(%platform: tensor<i32>, %a: tensor<3x3x4x6xf32>) -> tensor<3x3x4x6xf32> {{
  %r = stablehlo.custom_call @LayoutConstraint(%a) {{
    operand_layouts = [{BY_OUTPUTS}], result_layouts = [{BY_OUTPUTS}]
  }} : (tensor<3x3x4x6xf32>) -> tensor<3x3x4x6xf32>
  return %r : tensor<3x3x4x6xf32>
}}
}}
"""


def lying_by_outputs(kernel: tf.Tensor) -> tf.Tensor:
    """Return the same kernel, which XLA has to hold as a GPU's convolution would like it."""
    (held,) = xla.call_module(
        [kernel],
        version=tensorflow_call.MODULE_VERSION,
        module=FORCED,
        Tout=[tf.float32],
        Sout=[SHAPE],
        platforms=tensorflow_call.PLATFORMS,
    )
    return held


def custom_calls(program: str) -> list[str]:
    return [line for line in program.splitlines() if 'custom_call_target="kab_' in line]


def test_a_module_says_the_layout_of_all_that_goes_in_and_out():
    image = Tensor((None, 5), "float32")
    call = Call("t", (image, Tensor((), "float32")), (Tensor((Like(0, 0), 5), "float32"),) * 2)
    text = stablehlo.module(call)
    matrix, number = "dense<[1, 0]> : tensor<2xindex>", "dense<> : tensor<0xindex>"
    shape = "dense<[0]> : tensor<1xindex>"  # of each result, known once the graph runs
    assert f"operand_layouts = [{matrix}, {number}, {shape}, {shape}]" in text
    assert f"result_layouts = [{matrix}, {matrix}]" in text


@pytest.mark.usefixtures("library")
def test_the_program_that_xla_is_given_constrains_every_operand(rng):
    variables = [
        keras.Variable(rng.normal(size=shape), dtype="float32") for shape in (SHAPE, (7,), ())
    ]
    optimizer = adam.Adam(0.1)
    optimizer.build(variables)

    @tf.function(jit_compile=True)
    def step() -> None:
        optimizer.apply([v.value * 0.5 for v in variables], variables)

    (call,) = custom_calls(step.experimental_get_compiler_ir()(stage="hlo"))
    constraints = call.partition("operand_layout_constraints=")[2]
    assert constraints.count("f32[3,3,4,6]{3,2,1,0}") == 4
    assert constraints.count("f32[7]{0}") == 4


@pytest.mark.usefixtures("library")
def test_a_kernel_that_lies_by_its_outputs_is_standardised_all_the_same(rng):
    """On a CPU XLA would copy it without being told to; on a GPU, not."""
    kernel = tf.constant(rng.normal(size=SHAPE).astype(np.float32))
    gain = np.ones(6, np.float32)

    @tf.function(jit_compile=True)
    def standardised(kernel: Any) -> Any:
        return ws.standardize(lying_by_outputs(kernel), gain)

    program = standardised.experimental_get_compiler_ir(kernel)(stage="optimized_hlo")
    assert "f32[3,3,4,6]{2,1,0,3}" in program  # else this shows nothing
    expected = reference_standardized(kernel.numpy(), gain, ws.EPSILON)
    np.testing.assert_allclose(standardised(kernel), expected, rtol=1e-5, atol=1e-6)
