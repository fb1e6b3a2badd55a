"""Does accumulating gradients give a large batch's step in a small batch's memory?"""

from dataclasses import replace

from keras_ab import KERAS, Claim, Experiment, Guard, Recipe, Source, arm, grid, sources, sweep
from keras_ab.bench.workloads.by_name import BY_NAME

WHOLE = Recipe()

OTT = Source(
    author="M. Ott, S. Edunov, D. Grangier, M. Auli",
    title="Scaling Neural Machine Translation",
    year=2018,
    url="https://arxiv.org/abs/1806.00187",
)

EXPERIMENT = Experiment(
    name="steps_and_accumulation",
    question="Does accumulating gradients give a large batch's step in a small batch's memory?",
    purpose="memory",
    method=(
        "The baseline trains on a batch at once. The other arm cuts the same batch in four, and "
        "lets Keras' optimizer accumulate the four gradients and apply their mean. A step of this "
        "experiment is one update of the weights in both: one call of the training step, or four. "
        "The weights after a few updates are the same."
    ),
    held_fixed="model, first weights, effective batches and their order, optimizer, precision",
    does_not_show=(
        "Models with BatchNorm, whose statistics would be those of the parts: they are not the "
        "same work, and left out. Batches that do not fit in memory at once, for which there is no "
        "baseline. Models whose weights fill the memory: the sum of gradients is as large, and the "
        "optimizer keeps it beside its own state."
    ),
    sources=(OTT, sources.KERAS_OPTIMIZERS),
    arms=(
        arm("whole", BY_NAME, WHOLE, "the batch at once"),
        arm(
            "accumulated",
            BY_NAME,
            replace(WHOLE, accumulate=4),
            "a quarter at a time, gradient_accumulation_steps=4",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(model=("chain",), depth=(3,), channels=(8,), batch=(64,)),
        *sweep("batch", (16, 32, 128, 256), model="chain", depth=3, channels=8),
        *grid(quick=False, model=("chain",), depth=(16,), channels=(64,), batch=(256,)),
        *grid(
            quick=False,
            model=("vit",),
            depth=(6,),
            width=(256,),
            heads=(4,),
            patch=(4,),
            batch=(256,),
        ),
        *grid(quick=False, model=("mlp",), width=(4096,), depth=(4,), batch=(256,)),
    ),
    guards=(Guard("weights", 1e-3, "same weights after a few updates from the same batch"),),
    claims=(
        *(
            Claim(
                id=f"less-memory-{model}",
                statement="Gradients accumulated over smaller batches train with a batch that need "
                f"not fit in memory at once: where activations dominate ({says}), the peak of a "
                "step with a quarter of it falls to half or less.",
                arm="accumulated",
                metric="peak_device_memory_bytes",
                at_most=0.5,
                where={"model": model},
            )
            for model, says in (("chain", "convolutions"), ("vit", "a transformer"))
        ),
    ),
)
