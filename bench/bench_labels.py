"""Do sparse labels save memory or time against one-hot labels?"""

from dataclasses import replace

from keras_ab import KERAS, Claim, Experiment, Guard, Recipe, arm, grid, metrics, sources, sweep
from keras_ab.bench.workloads.classifier import MANY_CLASSES

ONE_HOT = Recipe(labels="one_hot_float32")
SPARSE = replace(ONE_HOT, labels="sparse_int32")
COMPACT = replace(ONE_HOT, labels="sparse_uint16")


EXPERIMENT = Experiment(
    name="labels",
    question="Do sparse labels save memory or time against one-hot labels?",
    purpose="memory",
    method=(
        "The same classifier is trained on the same images. The baseline stores each label as a "
        "one-hot row of float32 and uses categorical cross-entropy; the other arms store the class "
        "index and use sparse categorical cross-entropy. Timed is one training step on tensors "
        "that already lie on the device. The memory of the stored labels and the peak of a step "
        "are two metrics, because a technique can save one and not the other."
    ),
    held_fixed="model, first weights, images, batches and their order, optimizer, precision",
    does_not_show=(
        "The cost of the input pipeline, where one-hot rows also have to be made, read or copied; "
        "label smoothing and mixup, which need dense targets."
    ),
    backends=KERAS,
    sources=(sources.TIPS,),
    arms=(
        arm("one_hot", MANY_CLASSES, ONE_HOT, "one-hot float32 rows"),
        arm("sparse_int32", MANY_CLASSES, SPARSE, "class indices, int32"),
        arm("sparse_uint16", MANY_CLASSES, COMPACT, "class indices, uint16"),
    ),
    cases=(
        *grid(classes=(1000,), batch=(256,), width=(512,)),
        *sweep("classes", (10, 30, 100, 300, 3000, 10_000), batch=256, width=512),
        *grid(quick=False, classes=(1000, 50_000), batch=(1024,), width=(1024,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss from the same weights"),
        Guard("gradients", 1e-4, "same gradients from the same weights"),
    ),
    metrics=(metrics.LABELS,),
    claims=(
        Claim(
            id="compact",
            statement="With 1000 classes, a uint16 index is orders of magnitude more compact than "
            "a thousand floats.",
            arm="sparse_uint16",
            metric=metrics.LABELS.name,
            at_most=0.01,
            where={"classes": 1000},
        ),
        *(
            Claim(
                id=name,
                statement="Where classes are many, sparse labels with sparse cross-entropy save "
                f"memory in training, too: with {classes} the peak of a step falls by 1 % or more.",
                arm="sparse_int32",
                metric="peak_device_memory_bytes",
                at_most=0.99,
                where={"classes": classes},
            )
            for name, classes in (("saves-memory", 1000), ("saves-memory-at-50000", 50_000))
        ),
    ),
)
