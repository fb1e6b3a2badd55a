"""Does the framework under Keras change how long a training step takes?"""

import random
from dataclasses import dataclass
from functools import partial
from typing import Any

from keras_ab import (
    KERAS,
    Attempt,
    Claim,
    Experiment,
    Guard,
    Params,
    Prepared,
    Recipe,
    arm,
    backends,
    grid,
    sources,
)
from keras_ab.bench.workloads.by_name import BY_NAME

OBSERVED_STEPS = 4


@dataclass(frozen=True)
class Execution:
    """How the framework runs Keras' training step.

    Args:
        jit: compiled: by XLA on TensorFlow, by torch.compile on PyTorch. JAX's step always is.
        eager: operation by operation, on each of them.
    """

    jit: bool = False
    eager: bool = False


def draw_weights(model: Any, seed: int) -> None:
    """Give a model's matrices and kernels the values that NumPy draws, on every framework alike.

    Vectors keep their constants: every layer's initial bias is zero and every scale is one.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            drawn = rng.normal(0, np.prod(variable.shape[:-1]) ** -0.5, variable.shape)
            variable.assign(drawn.astype(np.float32))


def prepare(execution: Execution, case: Params) -> Prepared:
    """Make Keras' training step ready on this process's framework, from weights by NumPy."""
    import keras

    seed = random.getrandbits(32)  # the lab seeds it alike in every process
    model = BY_NAME.compiled(Recipe(), case)
    draw_weights(model, seed)
    size = int(case["batch"])
    batch = tuple(keras.ops.convert_to_tensor(part[:size]) for part in BY_NAME.data(case))
    training = backends.of_keras().training(model, jit=execution.jit, eager=execution.eager)
    return Prepared(
        step=partial(training.step, batch), observe=partial(observe, model, training, batch)
    )


def observe(model: Any, training: backends.Training, batch: Any) -> dict[str, Any]:
    """Return the first loss and gradients, and the loss that Keras reports after a few steps."""
    from keras_ab.bench.workloads.training import flat

    loss, gradients = backends.of_keras().loss_and_gradients(model, batch)
    for _ in range(OBSERVED_STEPS):
        later_loss = training.step(batch)
    return {"loss": loss, "gradients": flat(gradients), "later_loss": later_loss}


def without_jit() -> None:
    """Take the chapter's JAX step as it is written: nothing in it is compiled."""
    case: Params = {"model": "mlp", "width": 16, "depth": 1, "batch": 32}
    prepare(Execution(eager=True), case).step()


DEFAULT, COMPILED, EAGER = Execution(), Execution(jit=True), Execution(eager=True)
METHOD = (
    "The same Keras model, with the same first weights drawn by NumPy, takes Keras' own training "
    "step on the same batch of real digits. Each arm runs in processes of its own framework: "
)
HELD_FIXED = "Keras, model, first weights, batch, optimizer, loss, float32"
DOES_NOT_SHOW = (
    "Training loops written for one framework alone, input pipelines, `fit`'s Python, and other "
    "precisions. Memory is compared only where both frameworks count it: on the CPU, JAX and "
    "PyTorch do not."
)
GUARDS = (
    Guard("loss", 1e-4, "same loss from the same weights"),
    Guard("gradients", 1e-3, "same gradients from the same weights"),
    Guard("later_loss", 1e-3, "same loss after four steps"),
)

EXPERIMENT = Experiment(
    name="backends",
    question="Does the framework under Keras change how long a training step takes?",
    method=METHOD
    + "TensorFlow's step is one tf.function, JAX's one jax.jit, and PyTorch runs its operations as "
    "they come, which is how Keras' `fit` runs each of them by default on a CPU. TensorFlow under "
    "XLA shares JAX's compiler.",
    held_fixed=HELD_FIXED,
    does_not_show=f"{DOES_NOT_SHOW} On a GPU, what Keras does with TensorFlow by default: there it "
    "compiles by XLA, the arm tensorflow_xla.",
    sources=(sources.DEEP_DIVE,),
    backends=KERAS,
    arms=(
        arm("tensorflow", prepare, DEFAULT, "TensorFlow, tf.function", backend="tensorflow"),
        arm(
            "tensorflow_xla", prepare, COMPILED, "TensorFlow, compiled by XLA", backend="tensorflow"
        ),
        arm("jax", prepare, DEFAULT, "JAX, jax.jit", backend="jax"),
        arm("torch", prepare, DEFAULT, "PyTorch, eager", backend="torch"),
    ),
    cases=(
        *grid(model=("mlp",), width=(256,), depth=(2,), batch=(128,)),
        *grid(quick=False, gpu=False, model=("resnet",), blocks=(3,), channels=(16,), batch=(128,)),
        *grid(
            quick=False,
            model=("vit",),
            width=(192,),
            depth=(6,),
            heads=(3,),
            patch=(4,),
            batch=(128,),
        ),
    ),
    guards=GUARDS,
    claims=(
        Claim(
            id="jax-faster",
            statement="JAX takes more work to write a training step for, and its speed makes up "
            "for that: its step takes less time than TensorFlow's.",
            arm="jax",
            metric="step_time_s",
            at_most=1.0,
        ),
    ),
    attempts=(
        Attempt(
            "without_jit", "the chapter's JAX step, which no jax.jit compiles", without_jit, "jax"
        ),
    ),
)

COMPILED_STEPS = Experiment(
    name="backends_compiled",
    question="Which framework's compiler makes the fastest training step?",
    method=METHOD + "compiled by XLA on TensorFlow and JAX, by torch.compile on PyTorch.",
    held_fixed=HELD_FIXED,
    does_not_show=DOES_NOT_SHOW,
    sources=(sources.DEEP_DIVE,),
    backends=KERAS,
    arms=(
        arm(
            "tensorflow_xla", prepare, COMPILED, "TensorFlow, compiled by XLA", backend="tensorflow"
        ),
        arm("jax", prepare, COMPILED, "JAX, jax.jit", backend="jax"),
        arm(
            "torch_compile",
            prepare,
            COMPILED,
            "PyTorch, torch.compile",
            backend="torch",
            time_limit_s=600.0,
        ),
    ),
    cases=grid(quick=False, gpu=False, model=("mlp",), width=(256,), depth=(2,), batch=(128,)),
    guards=GUARDS,
    claims=(
        Claim(
            id="jax-faster",
            statement="JAX's stateless steps make for very high performance: compiled, as they are "
            "easily, one takes less time than TensorFlow's under the same compiler.",
            arm="jax",
            metric="step_time_s",
            at_most=1.0,
        ),
    ),
)

EAGER_STEPS = Experiment(
    name="backends_eager",
    question="Which framework is the fastest where nothing is compiled?",
    method=METHOD
    + "operation by operation on all three, as for debugging. The chapter that the claim is from "
    "writes JAX's step without jax.jit.",
    held_fixed=HELD_FIXED,
    does_not_show=DOES_NOT_SHOW,
    sources=(sources.DEEP_DIVE,),
    backends=KERAS,
    arms=(
        arm("tensorflow", prepare, EAGER, "TensorFlow, eager", backend="tensorflow"),
        arm("jax", prepare, EAGER, "JAX without jax.jit, as the chapter writes it", backend="jax"),
        arm("torch", prepare, EAGER, "PyTorch, eager", backend="torch"),
    ),
    cases=grid(quick=False, gpu=False, model=("mlp",), width=(256,), depth=(2,), batch=(128,)),
    guards=GUARDS,
    claims=(
        Claim(
            id="jax-as-written-faster",
            statement="JAX's speed makes up for its effort, as the chapter writes it: the step "
            "without jax.jit takes less time than TensorFlow's eager step.",
            arm="jax",
            metric="step_time_s",
            at_most=1.0,
        ),
    ),
)
