"""What does the debug mode of tf.data show, and what does it cost?"""

from collections import deque
from functools import partial
from typing import Any

from keras_ab import Arm, Attempt, Claim, Experiment, Guard, Metric, Params, Prepared, grid, sources


class Witness:
    """Notes for how many elements the mapped Python function is handed values."""

    def __init__(self) -> None:
        self.seen = 0

    def look(self, image: Any, label: Any) -> tuple[Any, Any]:
        """Pass an element on."""
        import tensorflow as tf

        self.seen += tf.executing_eagerly()
        return image, label


def prepare(debug: bool, case: Params) -> Prepared:
    """Make one pass over the files ready."""
    import tensorflow as tf

    from keras_ab.bench.workloads.image_files import elements

    if debug:
        tf.data.experimental.enable_debug_mode()  # for the whole process: each arm has its own
    witness = Witness()
    batches = elements(case).map(witness.look).batch(int(case["batch"]))
    witness.seen = 0
    observed = observe(batches)
    return Prepared(
        step=lambda: one_pass(batches),
        sizes={"elements_seen": witness.seen / int(case["files"])},
        observe=lambda: observed,
    )


def one_pass(batches: Any) -> Any:
    """Load every batch and return the last labels."""
    return deque(batches, maxlen=1)[0][1]


def observe(batches: Any) -> dict[str, Any]:
    """Return all images and labels of one pass."""
    import numpy as np

    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return {"images": np.concatenate(images), "labels": np.concatenate(labels)}


def look(debug: bool) -> str | None:
    """Look at the value of each element in Python, in a mapped function, as in a debugger."""
    import tensorflow as tf

    if debug:
        tf.data.experimental.enable_debug_mode()
    seen = []

    def watched(x: Any) -> Any:
        if tf.executing_eagerly():
            seen.append(int(x))
        return x

    list(tf.data.Dataset.range(3).map(watched))
    return None if seen == [0, 1, 2] else f"Python saw the values {seen} of 0, 1, 2"


EXPERIMENT = Experiment(
    name="tf_data_debug",
    question="What does the debug mode of tf.data show, and what does it cost?",
    method=(
        "Digits are read from files, decoded and batched, in tf.data's debug mode and without it. "
        "Timed is one pass over the files. Counted is for what share of the elements the mapped "
        "Python function sees values, and not the symbols of a graph. The mode holds for a whole "
        "process, and each arm has its own. The slow arm is the baseline: its pass decides how "
        "many passes make a sample."
    ),
    held_fixed="files, their order, decoding, batch size",
    does_not_show=(
        "Pipelines with parallel maps or prefetching, both of which debug mode makes sequential, "
        "so that it costs more than here."
    ),
    sources=(sources.TIPS,),
    arms=(
        Arm("debug", partial(prepare, True), "tf.data.experimental.enable_debug_mode()"),
        Arm("traced", partial(prepare, False), "the default: mapped functions are traced"),
    ),
    cases=(
        *grid(gpu=False, edge=(28,), encoding=("png",), files=(64,), batch=(16,)),
        *grid(
            quick=False,
            gpu=False,
            edge=(224,),
            encoding=("png", "jpeg"),
            files=(512,),
            batch=(32,),
        ),
    ),
    guards=(
        Guard("images", 0.0, "the same images in the same order"),
        Guard("labels", 0.0, "the same labels in the same order"),
    ),
    metrics=(
        Metric("elements_seen", "elements seen by Python", "1", "more", "difference", margin=0.0),
    ),
    claims=(
        Claim(
            id="always-traced",
            statement="tf.data traces everything to a graph: without debug mode, the mapped Python "
            "sees no element's value, and with it all.",
            arm="traced",
            metric="elements_seen",
            at_most=-1.0,
        ),
        Claim(
            id="debug-shows-the-element",
            statement="In debug mode, Python in a mapped function sees every element's value.",
            arm="debug",
            attempt="look",
        ),
        Claim(
            id="traced-does-not",
            statement="Without debug mode, Python in a mapped function sees no element's value.",
            arm="traced",
            attempt="look",
            works=False,
        ),
    ),
    attempts=(
        Attempt(
            "look",
            "a mapped function that notes each element's value",
            partial(look, True),
            arm="debug",
        ),
        Attempt(
            "look",
            "a mapped function that notes each element's value",
            partial(look, False),
            arm="traced",
        ),
    ),
)
