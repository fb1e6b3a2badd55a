"""How much memory does recomputing gradients save, and how much time does it cost?"""

from dataclasses import replace
from functools import partial
from typing import Any

from keras_ab import (
    KERAS,
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
from keras_ab.bench.workloads.residual_chain import REMAT_SCOPE, RESIDUAL_CHAIN

KEEP = Recipe(learning_rate=1e-6)
"""So small a rate that deep chains, which have no normalisation, do not diverge while timed."""
STATEFUL: Params = {"blocks": "stateful", "depth": 4, "channels": 4, "batch": 8}

CHEN = Source(
    author="T. Chen, B. Xu, C. Zhang, C. Guestrin",
    title="Training Deep Nets with Sublinear Memory Cost",
    year=2016,
    url="https://arxiv.org/abs/1604.06174",
)
REMAT = Source(
    author="the Keras authors",
    title="Keras API reference: rematerialization",
    year=2026,
    url="https://keras.io/api/utils/config_utils/",
)


def changed_by(recompute: str) -> str | None:
    """Train blocks with BatchNorm and Dropout, recomputed or not; tell what comes out otherwise."""
    import keras

    observed = []
    for recipe in (KEEP, replace(KEEP, recompute=recompute)):
        keras.utils.set_random_seed(0)
        observe = RESIDUAL_CHAIN(recipe, STATEFUL).observe
        assert observe is not None  # noqa: S101 - a recipe's step can be observed
        observed.append(observe())
    changed = [
        f"{says} by {error:.2g}"
        for name, says in CHANGED.items()
        if (error := difference(name, *observed)) > 1e-3
    ]
    return f"runs, but changes {', '.join(changed)} (of their largest)" if changed else None


CHANGED = {"gradients": "gradients", "statistics": "moving statistics", "seeds": "seeds"}
"""What recomputing can change, as observed, and its name for people."""


def difference(observed: str, kept: Any, found: Any) -> float:
    """Return how far an observation is from another, the variable that is farthest off."""
    import numpy as np

    names = [name for name in kept if name.split("/")[0] == observed]
    values = [(np.asarray(kept[n], float), np.asarray(found[n], float)) for n in names]
    return max(float(np.abs(b - a).max() / (np.abs(a).max() or 1.0)) for a, b in values)


def with_training(mode: str) -> None:
    """Take a step of blocks that take ``training``, made under `keras.RematScope`."""
    RESIDUAL_CHAIN(replace(KEEP, recompute=mode), STATEFUL).step()


def _saves_memory(arm: str) -> Claim:
    return Claim(
        id="saves-memory",
        statement="Recomputing gradients saves memory: the peak of a step falls by at least 2 %.",
        arm=arm,
        metric="peak_device_memory_bytes",
        at_most=0.98,
        source=sources.TEN,
    )


EXPERIMENT = Experiment(
    name="recompute",
    question="How much memory does recomputing activations save, and how much time does it cost?",
    purpose="memory",
    method=(
        "A chain of residual convolution blocks is trained on real digits. The baseline keeps all "
        "activations for the backward pass; the other arms keep only what enters a block, or a "
        "segment of √n blocks, and compute the rest again."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, precision",
    does_not_show=(
        "Models with BatchNorm or Dropout, where tf.recompute_grad changes what is learnt: the "
        "attempt here says how, and experiment recompute_stateful measures a form that does not. "
        "The implementations that the second source links, which are not TensorFlow's. "
        "Models whose weights, not activations, fill the memory."
    ),
    sources=(CHEN, sources.TEN),
    arms=(
        arm("keep", RESIDUAL_CHAIN, KEEP, "keep all activations"),
        arm(
            "each_block",
            RESIDUAL_CHAIN,
            replace(KEEP, recompute="each"),
            "tf.recompute_grad around every block",
        ),
        arm(
            "sqrt_segments",
            RESIDUAL_CHAIN,
            replace(KEEP, recompute="sqrt"),
            "tf.recompute_grad around segments of √n blocks",
        ),
        arm(
            "remat_scope",
            RESIDUAL_CHAIN,
            replace(KEEP, recompute="full"),
            "keras.RematScope(mode='full')",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(9,), channels=(16,), batch=(32,), optimizer=("sgd",)),
        *sweep("depth", (4, 16, 25, 36), channels=16, batch=32, optimizer="sgd"),
        *grid(quick=False, gpu=False, depth=(16,), channels=(64,), batch=(128,)),
        *grid(quick=False, depth=(64,), channels=(64,), batch=(128,)),
        *grid(quick=False, depth=(16,), channels=(64,), batch=(128,), jit=(True,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss from the same weights"),
        Guard("gradients", 1e-4, "same gradients from the same weights"),
    ),
    attempts=(
        Attempt(
            "batch_norm_and_dropout",
            "tf.recompute_grad around blocks with BatchNorm and Dropout, called with training=True",
            partial(changed_by, "each"),
            arm="each_block",
        ),
    ),
    claims=(
        _saves_memory("sqrt_segments"),
        *(
            Claim(
                id=f"halves-memory-at-{depth}",
                statement="Keeping √n segments of a chain cuts the memory of activations to O(√n): "
                f"{depth} blocks deep, the peak of a step is at most half.",
                arm="sqrt_segments",
                metric="peak_device_memory_bytes",
                at_most=0.5,
                where={"depth": depth},
            )
            for depth in (9, 16, 25, 36, 64)
        ),
        Claim(
            id="thirty-percent",
            statement="The price is one more forward pass, about 30 % more time: between 10 % and "
            "50 %.",
            arm="sqrt_segments",
            metric="step_time_s",
            at_least=1.1,
            at_most=1.5,
        ),
    ),
)

SCOPE = Experiment(
    name="remat_scope",
    question="What does each mode of keras.RematScope save, and which run at all?",
    purpose="memory",
    method=(
        "The chain of experiment recompute, its layers made and called under keras.RematScope. The "
        "blocks' call takes no training argument, so that every mode runs; each mode is also tried "
        "on blocks with BatchNorm and Dropout, whose call does."
    ),
    held_fixed=EXPERIMENT.held_fixed,
    does_not_show=(
        "Choosing layers: here larger_than and list_of_layers wrap every block, as full does."
    ),
    sources=(REMAT,),
    arms=(
        arm("keep", RESIDUAL_CHAIN, KEEP, "keep all activations"),
        *(
            arm(mode, RESIDUAL_CHAIN, replace(KEEP, recompute=mode), f"RematScope(mode={mode!r})")
            for mode in REMAT_SCOPE
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(4,), channels=(8,), batch=(32,), optimizer=("sgd",)),
        *grid(quick=False, depth=(16,), channels=(64,), batch=(128,)),
    ),
    guards=EXPERIMENT.guards,
    attempts=tuple(
        Attempt(
            "with_training",
            f"keras.RematScope(mode={mode!r}) on layers whose call takes training, in a graph",
            partial(with_training, mode),
            arm=mode,
        )
        for mode in REMAT_SCOPE
    ),
    claims=(
        *(
            Claim(
                id=f"{mode}-less-memory",
                statement=f"RematScope(mode={mode!r}) trades computation for memory: the peak of a "
                "step falls by at least 2 %.",
                arm=mode,
                metric="peak_device_memory_bytes",
                at_most=0.98,
            )
            for mode in REMAT_SCOPE
        ),
        *(
            Claim(
                id=f"{mode}-any-layer",
                statement=f"RematScope(mode={mode!r}) works on layers that take training.",
                arm=mode,
                attempt="with_training",
            )
            for mode in REMAT_SCOPE
        ),
    ),
)

WITH_STATE = Experiment(
    name="recompute_stateful",
    question="Can blocks with BatchNorm and Dropout be recomputed without changing what is learnt?",
    purpose="memory",
    method=(
        "The chain of experiment recompute, with BatchNorm and Dropout in every block, which "
        "tf.recompute_grad and most modes of keras.RematScope do not stand. RematerialisedChain "
        "runs segments of √n blocks as pure functions of their input, weights and state."
    ),
    held_fixed="model, first weights and seeds, batches and their order, optimizer, precision",
    does_not_show="Chains without such layers: see experiment recompute.",
    sources=(CHEN, sources.TEN),
    arms=(
        arm("keep", RESIDUAL_CHAIN, KEEP, "keep all activations"),
        arm(
            "chain",
            RESIDUAL_CHAIN,
            replace(KEEP, recompute="chain"),
            "keras_ab.kernels.rematerialisation.RematerialisedChain, √n segments",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(blocks=("stateful",), depth=(4,), channels=(8,), batch=(32,), optimizer=("sgd",)),
        *grid(quick=False, blocks=("stateful",), depth=(16,), channels=(64,), batch=(128,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss, so the same masks in the forward pass"),
        Guard("gradients", 1e-4, "same gradients, so the same masks in the recomputed pass"),
        Guard("statistics", 1e-5, "same moving statistics after a few steps, each by itself"),
        Guard("seeds", 0.0, "same seeds of random numbers after them"),
    ),
    claims=(
        _saves_memory("chain"),
        Claim(
            id="halves-memory-at-16",
            statement="Keeping √n segments of a chain cuts the memory of activations to O(√n): 16 "
            "blocks deep, the peak of a step is at most half.",
            arm="chain",
            metric="peak_device_memory_bytes",
            at_most=0.5,
            where={"depth": 16},
        ),
        Claim(
            id="thirty-percent",
            statement="The price is one more forward pass, about 30 % more time: between 10 % and "
            "50 %.",
            arm="chain",
            metric="step_time_s",
            at_least=1.1,
            at_most=1.5,
        ),
    ),
)
