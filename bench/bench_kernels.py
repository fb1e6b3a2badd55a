"""Are the fused native kernels faster than what Keras and XLA make of the same work?"""

from __future__ import annotations

from functools import partial
from typing import Any

from keras_ab import Arm, Case, Claim, Experiment, Guard, Metric, Source, grid, sources, sweep
from keras_ab.bench.workloads import fused_kernels as work

COMPUTING = ("native", "graph", "xla")
WHOLE, TINY = {"variables": 100}, {"variables": 300}
LARGE_BYTES = 32 * 100 * 2000 * 2000
"""What a process takes to update 100 large variables; by reading: no GPU has run it.

Weights, two moments and gradients, these once more as variables that the step reads, and the first
three once more where a form does not update in place.
"""
UPDATES = (
    *grid(variables=(10,), rows=(400,), columns=(250,)),
    *sweep("columns", (25, 75, 750, 2500), variables=10, rows=400),
    *grid(quick=False, gpu=False, variables=(100,), rows=(500,), columns=(500,)),
    *grid(quick=False, gpu=False, variables=(300,), rows=(8,), columns=(8,)),
    *grid(quick=False, gpu_bytes=LARGE_BYTES, variables=(100,), rows=(2000,), columns=(2000,)),
)


def _arms(of: work.Work, plain: str) -> tuple[Arm, ...]:
    """Return the native kernel, a copy of as many bytes, and the two plain forms."""
    forms = {
        "native": "the native kernel, in one jit-compiled function",
        "graph": f"{plain}, in tf.function",
        "xla": f"{plain}, in tf.function(jit_compile=True)",
    }
    native, graph, xla = (
        Arm(name, partial(work.prepare, of, name), says, recipe=name)
        for name, says in forms.items()
    )
    copied = "a plain copy that reads and writes as many bytes, and computes nothing"
    copy = Arm("copy", partial(work.prepare_copy, of), copied, recipe="copy", yardstick=True)
    return native, copy, graph, xla


def _at_least(arm: str, times: float, where: dict[str, Any], statement: str) -> Claim:
    size = "-tiny" if where == TINY else ""
    return Claim(
        f"{arm}{size}",
        statement,
        arm,
        "step_time_s",
        at_least=times,
        where=where,
        source=sources.KERNELS,
    )


def _faster(times: float, where: dict[str, Any]) -> tuple[Claim, ...]:
    """Claim that the native kernel is so much faster than the better plain form."""
    said = "takes longer than" if times == 1.0 else f"takes {times} times as long as"
    return tuple(
        _at_least(arm, times, where, f"The plain form ({arm}) {said} the native kernel, or more.")
        for arm in ("graph", "xla")
    )


def _trial(
    of: work.Work,
    name: str,
    does: str,
    plain: str,
    source: Source,
    cases: tuple[Case, ...],
    claims: tuple[Claim, ...],
    compared: tuple[str, ...],
    beside: str = "",
) -> Experiment:
    return Experiment(
        name=name,
        question=f"Is one native kernel that {does} faster than what a user would pick instead?",
        method=(
            f"The baseline is the native kernel, so a ratio says how many times as long an arm "
            f"takes. It {does}; so do {plain} under the graph executor and under XLA. Every arm's "
            f"bytes_moved is the least traffic that the work needs ({of.moved} bytes an element); "
            f"the copy moves as many, so its ratio is the share of the copy bandwidth that the "
            f"kernel reaches. Each block records what kernels.status() says."
        ),
        held_fixed="first values, inputs, float32, the same inputs in every step",
        sources=(source, sources.KERNELS),
        arms=_arms(of, plain),
        cases=cases,
        guards=(
            *(Guard(each, 1e-5, f"same {each}", COMPUTING) for each in compared),
            Guard("bytes_moved", 0.0, "every arm's bytes are those of the same work"),
        ),
        metrics=(Metric("bytes_moved", "bytes that the work must move", "B", moved_by_step=True),),
        claims=claims,
        first="building the native kernels, unless this machine has them: up to a minute or two",
        does_not_show=(
            "A whole training step, in which the work is a part; low precision; a GPU, unless it "
            f"ran on one.{beside}"
        ),
    )


ADAM = _trial(
    of=work.Work("adam", work.parameters, 28, work.update(work.adam)),
    name="kernel_adam",
    does="updates all variables by Adam",
    plain="keras.optimizers.Adam",
    source=Source(
        "D. P. Kingma, J. Ba",
        "Adam: A Method for Stochastic Optimization",
        2015,
        "https://arxiv.org/abs/1412.6980",
    ),
    cases=UPDATES,
    compared=("weights",),
    claims=(
        _at_least("graph", 3.0, WHOLE, "Keras in tf.function takes 3 times as long, or more."),
        _at_least("xla", 1.3, WHOLE, "Keras under XLA takes 1.3 times as long, or more."),
        _at_least("copy", 0.8, WHOLE, "The kernel reaches 80 % of the copy bandwidth, or more."),
        *_faster(1.0, TINY),
    ),
)
SM3 = _trial(
    of=work.Work("sm3", work.parameters, 12, work.update(work.sm3)),
    name="kernel_sm3",
    does="updates all variables by SM3-II",
    plain="SM3 in Keras operations (Keras has none)",
    source=sources.ANIL,
    cases=UPDATES,
    compared=("weights",),
    claims=(
        _at_least("xla", 2.5, WHOLE, "SM3 under XLA takes 2.5 times as long, or more."),
        *_faster(1.0, TINY),
    ),
)
ADAFACTOR = _trial(
    of=work.Work("adafactor", work.parameters, 12, work.update(work.adafactor)),
    name="kernel_adafactor",
    does="updates all variables by Adafactor",
    plain="keras.optimizers.Adafactor",
    source=sources.SHAZEER,
    cases=UPDATES,
    compared=("weights",),
    claims=(*_faster(1.5, WHOLE), *_faster(1.0, TINY)),
    beside=" Keras' form without the array that it keeps beside the paper's: it writes as many "
    "numbers as there are weights that neither the paper nor the kernel has, part of the ratio.",
)
AGC = _trial(
    of=work.Work("adaptive_clip", work.parameters, 12, work.update(work.adaptive_clip)),
    name="kernel_agc",
    does="clips all gradients adaptively for a step of SGD",
    plain="adaptive clipping in Keras operations (Keras has none)",
    source=sources.BROCK,
    cases=UPDATES,
    compared=("weights",),
    claims=(*_faster(1.5, WHOLE), *_faster(1.0, TINY)),
)
CROSS_ENTROPY = _trial(
    of=work.Work("cross_entropy", work.logits, 12, work.cross_entropy),
    name="kernel_cross_entropy",
    does="computes softmax cross-entropy with integer labels and its gradient",
    plain="keras.ops.sparse_categorical_crossentropy",
    source=Source(
        "I. Goodfellow, Y. Bengio, A. Courville",
        "Deep Learning, section 6.2.2.3",
        2016,
        "https://www.deeplearningbook.org",
    ),
    cases=(
        *grid(batch=(128,), classes=(4000,)),
        *sweep("classes", (500, 1000, 2000, 8000, 16_000), batch=128),
        *grid(quick=False, batch=(512,), classes=(32000,)),
    ),
    compared=("ready", "gradients"),
    claims=(
        _at_least("xla", 2.5, {"batch": 512}, "Keras under XLA takes 2.5 times as long, or more."),
    ),
)
STANDARDIZATION = _trial(
    of=work.Work("standardize", work.filter_weights, 20, work.standardization),
    name="kernel_weight_standardization",
    does="standardises the kernels of a network, with gradients",
    plain="weight standardisation in Keras operations",
    source=Source(
        "A. Brock, S. De, S. L. Smith",
        "Characterizing signal propagation to close the performance gap in unnormalized ResNets",
        2021,
        "https://arxiv.org/abs/2101.08692",
    ),
    cases=(
        *grid(stages=(1,)),
        *grid(quick=False, gpu=False, stages=(2,)),
        *grid(quick=False, stages=(4,)),
    ),
    compared=("standardised", "gradients"),
    claims=_faster(2.5, {"stages": 4}),
)
STATISTICS = _trial(
    of=work.Work("batch_statistics", work.activations, 12, work.statistics),
    name="kernel_batch_statistics",
    does="computes a mean per channel and one variance, with gradients",
    plain="the same in Keras operations",
    source=sources.LUO,
    cases=(
        *grid(rows=(6272,), channels=(64,)),
        *grid(quick=False, rows=(100352,), channels=(128,)),
    ),
    compared=("ready", "variance", "gradients"),
    claims=(),
)
