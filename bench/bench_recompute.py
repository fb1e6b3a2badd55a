"""How much memory does recomputing gradients save, and how much time does it cost?"""

from dataclasses import replace

from bench.lab.declare import Claim, Experiment, Guard, Source, grid
from bench.workloads.recipe import Recipe, arm
from bench.workloads.residual_chain import RESIDUAL_CHAIN

KEEP = Recipe()

CHEN = Source(
    author="T. Chen, B. Xu, C. Zhang, C. Guestrin",
    title="Training Deep Nets with Sublinear Memory Cost",
    year=2016,
    url="https://arxiv.org/abs/1604.06174",
)

EXPERIMENT = Experiment(
    name="recompute",
    question="How much memory does recomputing activations save, and how much time does it cost?",
    method=(
        "A chain of residual convolution blocks is trained on real digits. The baseline keeps all "
        "activations for the backward pass; the other arms keep only what enters a block, or a "
        "segment of √n blocks, and compute the rest again."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, precision",
    does_not_show=(
        "Models with BatchNorm or Dropout, where tf.recompute_grad changes what is learnt: it "
        "updates moving statistics twice and draws another mask. Models whose weights, not "
        "activations, fill the memory."
    ),
    backends=("tensorflow", "jax", "torch"),
    sources=(CHEN,),
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
            replace(KEEP, recompute="remat_scope"),
            "keras.RematScope(mode='full')",
        ),
    ),
    cases=(
        *grid(depth=(9,), channels=(16,), batch=(32,)),
        *grid(quick=False, depth=(16, 64), channels=(64,), batch=(128,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss from the same weights"),
        Guard("gradients", 1e-4, "same gradients from the same weights"),
    ),
    claims=(
        Claim(
            id="halves-memory",
            statement="Keeping √n segments of a chain cuts the memory of activations to O(√n): the "
            "peak of a step is at most half.",
            arm="sqrt_segments",
            metric="peak_device_memory_bytes",
            at_most=0.5,
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
