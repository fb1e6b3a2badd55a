"""Does mixed precision lower memory and speed up training, and does the documented switch do it?"""

from dataclasses import replace

from keras_ab import (
    KERAS,
    TEST_ACCURACY,
    Arm,
    Attempt,
    Case,
    Claim,
    Experiment,
    Guard,
    NotMeasuredHere,
    Params,
    Prepared,
    Quality,
    Recipe,
    Source,
    arm,
    backends,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads.by_name import BY_NAME

FLOAT32 = Recipe()
FLOAT16 = replace(FLOAT32, dtype_policy="mixed_float16")
QUICK = Case({"model": "chain", "depth": 2, "channels": 8, "batch": 32})
"""An activation has 392 KiB even in 16 bits: a CPU's allocator counts nothing below 256 KiB."""
LEARNS: Params = {"model": "mlp", "width": 128, "depth": 2, "batch": 128}
"""What is trained for its accuracy in the quick case, whose network learns in minutes on a CPU."""
LEARNS_IN_FLOAT16: Params = {"model": "mlp", "width": 64, "depth": 1, "batch": 32}
SWITCH = "auto_mixed_precision"
ONEDNN_SWITCH = "auto_mixed_precision_onednn_bfloat16"

MICIKEVICIUS = Source(
    author="P. Micikevicius and others",
    title="Mixed Precision Training",
    year=2018,
    url="https://arxiv.org/abs/1710.03740",
)
KALAMKAR = Source(
    author="D. Kalamkar and others",
    title="A Study of BFLOAT16 for Deep Learning Training",
    year=2019,
    url="https://arxiv.org/abs/1905.12322",
)


def accuracy(recipe: Recipe, case: Params, seed: int, learning_rate: float) -> float:
    """Train for 100 steps, in the quick case a model that a CPU trains in a second."""
    learns = LEARNS if case == QUICK.params else case
    return BY_NAME.train_and_score(100, recipe, learns, seed, learning_rate)


def accuracy_in_float16(recipe: Recipe, case: Params, seed: int, learning_rate: float) -> float:
    """Train likewise, in the quick case a smaller model: a CPU emulates float16."""
    learns = LEARNS_IN_FLOAT16 if case == QUICK.params else case
    return BY_NAME.train_and_score(100, recipe, learns, seed, learning_rate)


QUALITY = Quality(
    metric=replace(TEST_ACCURACY, title="test accuracy, in the quick case an MLP's"),
    train=accuracy,
    seeds=(0, 1, 2, 3, 4),
    learning_rates=(1e-3,),
    tuning_seeds=(),
)
GUARDS = (
    Guard("loss", 5e-3, "same loss from the same weights, within bfloat16's rounding"),
    Guard("later_loss", 1e-2, "same mean loss over a few steps, within bfloat16's rounding"),
    Guard("weights", None, "finite weights after a few steps"),
)
ACTIVATIONS_DOMINATE = (
    QUICK,
    *grid(
        quick=False,
        gpu=False,
        model=("vit",),
        depth=(2,),
        width=(32,),
        heads=(2,),
        patch=(4,),
        batch=(64,),
    ),
)
"""A small convolutional network and a small transformer: megabytes of activations, hardly a weight.

Under mixed precision weights and optimizer state stay float32; what it can save is activations.
"""
FULL = (
    *grid(quick=False, gpu=False, model=("mlp",), width=(256,), depth=(2,), batch=(256,)),
    *grid(quick=False, model=("mlp",), width=(4096,), depth=(4,), batch=(1024,)),
    *grid(
        quick=False,
        model=("vit",),
        depth=(6,),
        width=(256,),
        heads=(4,),
        patch=(4,),
        batch=(256,),
        jit=(False, True),
    ),
    *grid(quick=False, gpu=False, model=("resnet",), blocks=(3,), channels=(16,), batch=(128,)),
    *grid(
        quick=False,
        model=("resnet",),
        data=("cifar10",),
        blocks=(3,),
        channels=(64,),
        batch=(256,),
    ),
)


def float16(case: Params) -> Prepared:
    """Make a step under mixed_float16 ready, on a device that has units for it, or a tiny step."""
    kinds = {device["kind"] for device in backends.of_keras().facts()["devices"]}
    if kinds == {"cpu"} and case != QUICK.params:
        raise NotMeasuredHere(
            "the device has units for float16",
            "a CPU: it emulates float16, and a step of this size takes minutes",
            f"use a GPU, or the case {QUICK.id}, which shows how slow that is",
        )
    return BY_NAME(FLOAT16, case)


def claimed(arm: str, source: Source = sources.TEN) -> tuple[Claim, ...]:
    """Return what the source promises of mixed precision, as claims about an arm."""
    return (
        Claim(
            id=f"{arm}-faster",
            statement=f"Mixed precision speeds up training ({arm}): a step takes at least 2 % less "
            "time.",
            arm=arm,
            metric="step_time_s",
            at_most=0.98,
            source=source,
        ),
        Claim(
            id=f"{arm}-less-memory",
            statement=f"Mixed precision lowers memory ({arm}): the peak of a step falls by at "
            "least 2 %.",
            arm=arm,
            metric="peak_device_memory_bytes",
            at_most=0.98,
            source=source,
        ),
    )


def as_accurate(arm: str, source: Source) -> Claim:
    """Return the claim that an arm learns as well as float32 does."""
    return Claim(
        id=f"{arm}-same-accuracy",
        statement="Trained in mixed precision, a network is as accurate as in float32, with the "
        "same hyperparameters.",
        arm=arm,
        metric="test_accuracy",
        at_least=-0.01,
        source=source,
    )


def documented_switch() -> str:
    """Train with the switch and without it, and tell whether a single weight differs."""
    import keras
    import numpy as np

    case: Params = {"model": "mlp", "width": 64, "depth": 1, "batch": 64}
    weights = []
    for recipe in (FLOAT32, replace(FLOAT32, graph_rewrite=SWITCH)):
        keras.utils.set_random_seed(0)
        observe = BY_NAME(recipe, case).observe
        assert observe is not None  # noqa: S101 - a recipe's step can be observed
        weights.append(observe()["weights"])
    if np.array_equal(*weights):
        return "accepted, and without effect: after 4 steps every bit of every weight is the same"
    return "accepted, and it works: after 4 steps the weights differ by float16's rounding"


EXPERIMENT = Experiment(
    name="amp",
    question="Does mixed precision lower memory and speed up training?",
    method=(
        "The same model is trained in float32, under Keras' policy of mixed bfloat16, and in "
        "float32 with an option of TensorFlow's graph optimizer switched on, which is what the "
        "source documents. The quick case is a small residual chain of convolutions, and a small "
        "transformer is among the others: in both, activations take many times the memory of "
        "weights. Quality is the accuracy on digits kept apart after 100 steps, paired by seed, at "
        "one learning rate for all; in the quick case that of a small perceptron."
    ),
    held_fixed="model, first weights (float32), batches and their order, optimizer, learning rate",
    does_not_show=(
        "float16, which experiment amp_float16 tries. What the documented switch does on a GPU, "
        "where this ran without: there it computes in float16, without the loss scaling that Keras "
        "2 added and Keras 3 does not. Models whose weights, not activations, fill the memory: "
        "master weights stay float32. Both kinds of CPU at once: those that multiply bfloat16 by "
        "units of their own (AVX512-BF16, AMX), and others, which compute it in float32, with "
        "casts before and after; the report names what the machine's has."
    ),
    sources=(sources.TEN, KALAMKAR),
    arms=(
        arm("float32", BY_NAME, FLOAT32, "float32 throughout"),
        arm(
            "bfloat16",
            BY_NAME,
            replace(FLOAT32, dtype_policy="mixed_bfloat16"),
            "Keras' policy mixed_bfloat16",
        ),
        arm(
            "switch",
            BY_NAME,
            replace(FLOAT32, graph_rewrite=SWITCH),
            f"TensorFlow's graph option {SWITCH}",
        ),
        arm(
            "onednn_switch",
            BY_NAME,
            replace(FLOAT32, graph_rewrite=ONEDNN_SWITCH),
            f"TensorFlow's graph option {ONEDNN_SWITCH}",
        ),
    ),
    backends=KERAS,
    cases=(
        *ACTIVATIONS_DOMINATE,
        *sweep("width", (64, 128, 512, 1024, 2048), model="mlp", depth=2, batch=256),
        *FULL,
    ),
    guards=GUARDS,
    quality=QUALITY,
    attempts=(
        Attempt(
            "documented_switch",
            "tf.config.optimizer.set_experimental_options({'auto_mixed_precision': True})",
            documented_switch,
            arm="switch",
        ),
    ),
    claims=(
        *claimed("bfloat16"),
        *claimed("switch"),
        *claimed("onednn_switch"),
        as_accurate("bfloat16", KALAMKAR),
    ),
)

IN_FLOAT16 = Experiment(
    name="amp_float16",
    question="Does mixed precision in float16 lower memory and speed up training?",
    method=(
        "The same model is trained in float32 and under Keras' policy mixed_float16, which scales "
        "the loss so that small gradients survive. A CPU emulates float16: there, only the quick "
        "case is measured. Quality is judged as in experiment amp, in the quick case by a smaller "
        "perceptron (width 64, depth 1, batches of 32)."
    ),
    held_fixed=EXPERIMENT.held_fixed,
    does_not_show="bfloat16, which has float32's range and needs no loss scaling: see amp.",
    sources=(MICIKEVICIUS, sources.TEN),
    arms=(
        arm("float32", BY_NAME, FLOAT32, "float32 throughout"),
        Arm("float16", float16, "Keras' policy mixed_float16, with loss scaling", recipe=FLOAT16),
    ),
    backends=KERAS,
    cases=(QUICK, *FULL),
    guards=GUARDS,
    quality=replace(QUALITY, train=accuracy_in_float16),
    claims=(*claimed("float16", MICIKEVICIUS), as_accurate("float16", MICIKEVICIUS)),
)
