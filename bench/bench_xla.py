"""Does XLA speed up a training step, and after how many steps has compiling it paid?"""

from dataclasses import replace

from keras_ab import (
    Attempt,
    Claim,
    Experiment,
    Guard,
    Params,
    Recipe,
    Source,
    arm,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads.by_name import BY_NAME

GRAPH = Recipe(jit=False)

SU = Source(
    author="J. Su",
    title="在bert4keras中使用混合精度和XLA加速训练 (mixed precision and XLA speed up training)",
    year=2022,
    url="https://kexue.fm/archives/9059",
)


def what_auto_means() -> str:
    """Tell what Keras makes of ``jit_compile="auto"`` on this machine."""
    case: Params = {"model": "mlp", "width": 8, "batch": 8}
    chosen = BY_NAME.compiled(replace(GRAPH, jit="auto"), case).jit_compile
    return f"Keras chooses jit_compile={chosen} on this machine"


EXPERIMENT = Experiment(
    name="xla",
    question="Does XLA speed up a training step, and after how many steps has compiling it paid?",
    method=(
        "The same training step, once run by TensorFlow's graph executor, once compiled by XLA, "
        "and once as Keras chooses by default: of a small model, whose step is many short "
        "operations, and of a large one, whose step is a few long products. Compiling is part of "
        "the first step, which is a metric of its own; the break-even is the number of steps after "
        "which the time saved has paid for it."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, precision",
    does_not_show=(
        "Batches of changing shape, each of which XLA compiles anew; the cost of an input pipeline "
        "and of fit. Where Keras chooses no XLA, as on a CPU, 'auto' is the baseline once more."
    ),
    sources=(SU, sources.KERAS_TRAINING),
    arms=(
        arm("graph", BY_NAME, GRAPH, "jit_compile=False: TensorFlow's graph executor"),
        arm("xla", BY_NAME, replace(GRAPH, jit=True), "jit_compile=True"),
        arm("auto", BY_NAME, replace(GRAPH, jit="auto"), "jit_compile='auto', Keras' default"),
    ),
    cases=(
        *grid(model=("mlp",), width=(64,), depth=(2,), batch=(64,)),
        *grid(model=("mlp",), width=(1024,), depth=(2,), batch=(256,)),
        *sweep("width", (16, 32, 128, 256, 512, 1024), model="mlp", depth=2, batch=64),
        *grid(quick=False, model=("mlp",), width=(2048,), depth=(4,), batch=(512,)),
        *grid(
            quick=False,
            model=("vit",),
            depth=(6,),
            width=(128,),
            heads=(4,),
            patch=(4,),
            batch=(128,),
        ),
        *grid(quick=False, gpu=False, model=("resnet",), blocks=(3,), channels=(16,), batch=(128,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss from the same weights"),
        Guard("gradients", 1e-4, "same gradients from the same weights"),
        Guard("later_loss", 1e-4, "same mean loss over a few steps"),
    ),
    attempts=(
        Attempt("what_auto_means", "model.compile(jit_compile='auto')", what_auto_means, "auto"),
    ),
    claims=(
        Claim(
            id="faster",
            statement="XLA speeds up training: a step takes at least 2 % less time.",
            arm="xla",
            metric="step_time_s",
            at_most=0.98,
        ),
        Claim(
            id="auto-is-xla",
            statement="Left to itself, Keras enables XLA for a model that supports it: a step is "
            "as fast as under XLA, within 2 %.",
            arm="auto",
            metric="step_time_s",
            at_most=1.02,
            against="xla",
            source=sources.KERAS_TRAINING,
        ),
    ),
)
