"""Simulated trials of a reader's model: techniques by themselves, crossed, the best again."""

from keras_ab.bench.lab.record.declared import ArmRecord, GuardRecord, Trial
from keras_ab.bench.lab.words.arms import NOTHING_LOADED
from keras_ab.bench.lab.words.metrics import MEASURED, STEP_TIME
from tests.reports.simulated import Scene

SINGLES = {
    "as_it_is": ((), 1.0),
    "xla": (("xla",), 0.7),
    "bfloat16": (("bfloat16",), 0.8),
    "cache": (("cache",), 1.0),
    "recompute": (("recompute",), 1.3),
    NOTHING_LOADED: ((NOTHING_LOADED,), 0.9),
}
CROSSED = {
    "as_it_is": ((), 1.0),
    "xla": (("xla",), 0.7),
    "bfloat16": (("bfloat16",), 0.8),
    "xla_bfloat16": (("xla", "bfloat16"), 0.7 * 0.8 * 1.2),
}
CONFIRMED = {
    "as_it_is": ((), 1.0),
    "stack": (("xla", "bfloat16"), 0.67),
    "without_xla": (("bfloat16",), 0.8),
    "without_bfloat16": (("xla",), 0.67),
}


def scene(name, arms, **more):
    declared = Trial(
        trial=f"{name}[batches:4]",
        experiment=name,
        question="Which techniques make it faster?",
        method="Simulated.",
        held_fixed="",
        does_not_show="Not tried: sparse_labels: labels are class indices already.",
        sources=["A. Simulated (2020), A technique, https://example.org/technique"],
        case={"batches": 4},
        arms=[
            ArmRecord(name=arm, says=f"the {arm} arm", code=f"write_{arm}()", techniques=list(has))
            for arm, (has, _) in arms.items()
        ],
        metrics=[STEP_TIME, *MEASURED[1:]],
        claims=[],
        guards=[
            GuardRecord(
                observed="loss",
                tolerance=1e-3,
                says="same loss",
                arms=[arm for arm, (has, _) in arms.items() if "bfloat16" not in has],
            )
        ],
        quality=None,
        subject="train.py:make",
    )
    step = {arm: time for arm, (_, time) in arms.items()}
    return Scene(
        name, declared.question, declared.case, step, noise=0.004, declared_as=declared, **more
    )
