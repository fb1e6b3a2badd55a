"""Does TensorFloat-32 make a training step faster on an NVIDIA GPU?"""

from dataclasses import replace
from functools import partial
from typing import Any

from keras_ab import (
    TEST_ACCURACY,
    Claim,
    Experiment,
    Guard,
    NotMeasuredHere,
    Params,
    Quality,
    Recipe,
    Source,
    arm,
    grid,
)
from keras_ab.bench.workloads.by_name import BY_NAME

AMPERE = (8, 0)
"""Compute capability from which on tensor cores multiply in TensorFloat-32."""
NEVER = {"NVIDIA_TF32_OVERRIDE": "0"}
"""Read by cuBLAS and cuDNN when they are loaded: no float32 product in TensorFloat-32."""

NVIDIA = Source(
    author="D. Stosic, P. Micikevicius",
    title="Accelerating AI Training with NVIDIA TF32 Tensor Cores",
    year=2021,
    url="https://developer.nvidia.com/blog/accelerating-ai-training-with-tf32-tensor-cores/",
)
TENSORFLOW = Source(
    author="the TensorFlow authors",
    title="TensorFlow API: tf.config.experimental.enable_tensor_float_32_execution",
    year=2020,
    url="https://www.tensorflow.org/api_docs/python/tf/config/experimental/"
    "enable_tensor_float_32_execution",
)


def model(case: Params, recipe: Recipe) -> Any:
    """Build the model that a case names, where a GPU can multiply in TensorFloat-32."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    found = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    if not any(details.get("compute_capability", (0, 0)) >= AMPERE for details in found):
        raise NotMeasuredHere(
            "TensorFloat-32 needs an NVIDIA GPU of compute capability 8.0 (Ampere) or later",
            ", ".join(str(d.get("device_name")) for d in found) or "no GPU that TensorFlow sees",
            "run on a machine with one, with pip install 'keras-ab[gpu]'",
        )
    return BY_NAME.model(case, recipe)


WORKLOAD = replace(BY_NAME, model=model)

EXPERIMENT = Experiment(
    name="tf32",
    question="Does TensorFloat-32 make a training step faster, and does it learn as well?",
    method=(
        "TensorFlow multiplies float32 matrices in TensorFloat-32 by default where the GPU can: "
        "inputs rounded to 10 bits of mantissa, sums in float32. NVIDIA's libraries read a switch "
        "against it when they are loaded, so each arm has processes of its own. Before they are "
        "timed, both are held against each other in float32, to show that they do the same work; "
        "what TensorFloat-32's rounding does is told by the accuracy."
    ),
    held_fixed="model, first weights, batches, optimizer, float32 variables, TensorFlow's kernels",
    does_not_show=(
        "Steps under XLA, which chooses the precision by itself; 16-bit precisions, which the "
        "first source calls faster still; numerical work other than training."
    ),
    sources=(NVIDIA, TENSORFLOW),
    arms=(
        arm("float32", WORKLOAD, Recipe(), "float32 throughout", environment=NEVER),
        arm("tf32", WORKLOAD, Recipe(), "TensorFloat-32 products, the default"),
    ),
    cases=(
        *grid(model=("mlp",), width=(4096,), depth=(4,), batch=(1024,)),
        *grid(quick=False, model=("resnet",), blocks=(9,), channels=(64,), batch=(256,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss from the same weights, both in float32"),
        Guard("gradients", 1e-4, "same gradients from the same weights, both in float32"),
    ),
    quality=Quality(
        metric=TEST_ACCURACY,
        train=partial(WORKLOAD.train_and_score, 150),
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(1e-4, 3e-4, 1e-3),
        tuning_seeds=(100, 101, 102),
        tune=partial(WORKLOAD.choosing().train_and_score, 150),
    ),
    claims=(
        Claim(
            id="faster",
            statement="TensorFloat-32 speeds up training in single precision without a change to "
            "the script: a step takes less time.",
            arm="tf32",
            metric="step_time_s",
            at_most=1.0,
        ),
        Claim(
            id="learns-as-well",
            statement="The lower precision does not hinder convergence in practice: accuracy after "
            "the same steps is at most 0.01 lower.",
            arm="tf32",
            metric="test_accuracy",
            at_least=-0.01,
            source=TENSORFLOW,
        ),
    ),
)
