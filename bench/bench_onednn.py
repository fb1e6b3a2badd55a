"""Do oneDNN's primitives make a training step faster on the CPU?"""

from keras_ab import Claim, Experiment, Guard, Recipe, arm, grid, sources
from keras_ab.bench.workloads.by_name import BY_NAME

CPU_ONLY = {"CUDA_VISIBLE_DEVICES": "-1"}
OFF = {"TF_ENABLE_ONEDNN_OPTS": "0"} | CPU_ONLY
ON = {"TF_ENABLE_ONEDNN_OPTS": "1"} | CPU_ONLY
POOLED = OFF | {"TF_CPU_ALLOCATOR_USE_BFC": "1"}
"""TensorFlow's own kernels, their memory from the pool that comes with oneDNN."""

EXPERIMENT = Experiment(
    name="onednn",
    question="Do oneDNN's primitives make a training step faster on the CPU?",
    method=(
        "TensorFlow reads TF_ENABLE_ONEDNN_OPTS when it is imported, so each arm has processes of "
        "its own, with the switch at 0 and at 1 (TensorFlow's default on most x86 machines). The "
        "same model takes the same training steps on the CPU, also where there is a GPU. The "
        "switch changes the allocator too: with oneDNN tensors come from a pool, without from the "
        "C library, which asks the kernel anew for large ones. A third arm has TensorFlow's own "
        "kernels and the pool. Peaks are counted beside the timed steps, by the pool in every arm."
    ),
    held_fixed="model, first weights, batches, optimizer, float32, threads",
    does_not_show=(
        "Inference, for which the source recommends it; bfloat16, where oneDNN uses instructions "
        "that TensorFlow's own kernels do not; other numbers of threads; steps under XLA."
    ),
    sources=(sources.ONE_DNN,),
    arms=(
        arm("off", BY_NAME, Recipe(), "TensorFlow's own kernels", environment=OFF),
        arm("on", BY_NAME, Recipe(), "oneDNN's primitives", environment=ON),
        arm("off_pooled", BY_NAME, Recipe(), "TensorFlow's own, from a pool", environment=POOLED),
    ),
    cases=(
        *grid(
            gpu=False,
            model=("resnet",),
            blocks=(1,),
            channels=(8,),
            batch=(32,),
            optimizer=("sgd",),
        ),
        *grid(quick=False, gpu=False, model=("mlp",), width=(2048,), depth=(4,), batch=(256,)),
        *grid(quick=False, gpu=False, model=("resnet",), blocks=(3,), channels=(16,), batch=(128,)),
    ),
    guards=(
        Guard("loss", 1e-4, "same loss from the same weights"),
        Guard("gradients", 1e-3, "same gradients from the same weights"),
    ),
    claims=(
        Claim(
            id="faster",
            statement="What oneDNN's optimised routines bring to inference on Intel's processors "
            "they bring to a training step on this one: it takes less time, the allocator being "
            "the same.",
            arm="on",
            metric="step_time_s",
            at_most=1.0,
            against="off_pooled",
        ),
    ),
)
