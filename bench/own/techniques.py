"""The techniques that are tried on a subject: each is one change to how it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_ab.bench import sources
from keras_ab.bench.lab.words.arms import NOTHING_LOADED
from keras_ab.bench.lab.words.declare import Source
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.own import applies
from keras_ab.bench.own.compiling import NATIVE_ADAM
from keras_ab.bench.own.look import Found

MIXED_PRECISION = Source(
    author="P. Micikevicius and others",
    title="Mixed Precision Training",
    year=2017,
    url="https://arxiv.org/abs/1710.03740",
)
CHEN = Source(
    author="T. Chen, B. Xu, C. Zhang, C. Guestrin",
    title="Training Deep Nets with Sublinear Memory Cost",
    year=2016,
    url="https://arxiv.org/abs/1604.06174",
)
LARGE_BATCHES = Source(
    author="S. McCandlish, J. Kaplan, D. Amodei",
    title="An Empirical Model of Large-Batch Training",
    year=2018,
    url="https://arxiv.org/abs/1812.06162",
)
DATA = Source(
    author="the TensorFlow authors",
    title="Better performance with the tf.data API",
    year=2024,
    url="https://www.tensorflow.org/guide/data_performance",
)


@dataclass(frozen=True)
class Technique:
    """One thing to do to a subject.

    Args:
        name: as it appears in node ids and reports.
        says: what is done, in one line.
        change: the one field of `Change` that is other than the file says, and its value; none
            where it is the environment.
        paste: what a reader writes to have it; ``{found}`` in it is what was found.
        source: who says so.
        why_not: why a subject leaves nothing to do for it; empty where it applies.
        same: whether it promises the same loss from the same weights.
        environment: environment variables of its processes.
    """

    name: str
    says: str
    change: Mapping[str, Any]
    paste: str
    source: Source = sources.KERAS_TRAINING
    why_not: Callable[[Found], str] = applies.always
    same: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


TECHNIQUES = (
    Technique(
        "compiled",
        "compiled, not run operation by operation",
        {"eager": False},
        "model.compile(..., run_eagerly=False)",
        why_not=applies.compiled,
    ),
    Technique(
        "xla",
        "compiled by the backend's compiler",
        {"jit": True},
        "model.compile(..., jit_compile=True)",
        why_not=applies.xla,
    ),
    Technique(
        "without_jit",
        "run without the backend's compiler",
        {"jit": False},
        "model.compile(..., jit_compile=False)",
        why_not=applies.without_jit,
    ),
    Technique(
        "bfloat16",
        "mixed precision in bfloat16",
        {"dtype_policy": "mixed_bfloat16"},
        'keras.config.set_dtype_policy("mixed_bfloat16")',
        MIXED_PRECISION,
        applies.policy,
        same=False,
    ),
    Technique(
        "float16",
        "mixed precision in float16, the loss scaled",
        {"dtype_policy": "mixed_float16"},
        'keras.config.set_dtype_policy("mixed_float16")',
        MIXED_PRECISION,
        applies.half,
        same=False,
    ),
    Technique(
        "executions_8",
        "eight batches in one execution of fit's function",
        {"steps_per_execution": 8},
        "model.compile(..., steps_per_execution=8)",
        why_not=applies.execution,
    ),
    Technique(
        "sparse_labels",
        "class indices in place of one-hot rows",
        {"labels": "sparse"},
        "y = y.argmax(-1)\n"
        "loss = keras.losses.SparseCategoricalCrossentropy(from_logits={found.from_logits})\n"
        "model.compile(..., loss=loss)  # and sparse metrics",
        sources.TIPS,
        applies.sparse,
    ),
    Technique(
        "byte_inputs",
        "inputs stored as uint8",
        {"inputs": "uint8"},
        'x = x.astype("uint8")',
        sources.TIPS,
        applies.byte_inputs,
    ),
    Technique(
        "prefetch",
        "batches made while the step before runs",
        {"pipeline": "prefetch"},
        "dataset = dataset.prefetch(tf.data.AUTOTUNE)",
        DATA,
        applies.prefetch,
    ),
    Technique(
        "cache",
        "batches kept in memory once they were made",
        {"pipeline": "cache"},
        "dataset = dataset.cache()"
        "  # at the end: shuffling and random augmentation stay as in the first epoch",
        DATA,
        applies.cache,
        same=False,
    ),
    Technique(
        "native_adam",
        "our fused Adam",
        {"optimizer": NATIVE_ADAM},
        "from keras_ab.kernels.native.adam import Adam\nmodel.compile(..., optimizer=Adam(...))",
        sources.KERNELS,
        applies.adam,
    ),
    Technique(
        "native_loss",
        "our fused sparse cross-entropy",
        {"loss": "native"},
        "from keras_ab.kernels.native.cross_entropy import SparseCategoricalCrossentropy\n"
        "model.compile(..., loss=SparseCategoricalCrossentropy())",
        sources.KERNELS,
        applies.cross_entropy,
    ),
    Technique(
        "recompute",
        "activation functions computed again in the backward pass",
        {"recompute": "activations"},
        'with keras.RematScope(mode="activations"): model = ...',
        CHEN,
        applies.recompute,
    ),
    Technique(
        "recompute_all",
        "every layer computed again in the backward pass",
        {"recompute": "full"},
        'with keras.RematScope(mode="full"): model = ...',
        CHEN,
        applies.recompute_all,
    ),
    Technique(
        "accumulate",
        "half a batch at a time, two gradients an update",
        {"accumulate": 2},
        "optimizer.gradient_accumulation_steps = {found.accumulates_twice}\n"
        "model.fit(..., batch_size=batch_size // 2)",
        sources.KERAS_OPTIMIZERS,
        applies.accumulate,
        same=False,
    ),
    Technique(
        "adafactor",
        "Adafactor, at the same learning rate",
        {"optimizer": "adafactor_factored"},
        "from keras_ab.kernels.adafactor import Adafactor\n"
        "model.compile(..., optimizer=Adafactor(...))",
        sources.SHAZEER,
        applies.other_optimizer,
        same=False,
    ),
    Technique(
        "clipping",
        "the gradient's norm clipped to one",
        {"clip_norm": 1.0},
        "model.compile(..., optimizer={found.optimizer}(..., global_clipnorm=1.0))",
        sources.KERAS_OPTIMIZERS,
        applies.clip,
        same=False,
    ),
    Technique(
        "double_batch",
        "batches twice as large, time for as many examples",
        {"larger": 2},
        "model.fit(..., batch_size=2 * batch_size)",
        LARGE_BATCHES,
        applies.arrays,
        same=False,
    ),
    Technique(
        NOTHING_LOADED,
        "the same batch over and over: what is left when nothing is loaded",
        {"pipeline": "one_batch"},
        "nothing: it shows what loading costs",
        DATA,
        same=False,
    ),
    Technique(
        "without_one_dnn",
        "TensorFlow's own kernels in place of oneDNN's",
        {},
        "export TF_ENABLE_ONEDNN_OPTS=0  # before TensorFlow is imported",
        sources.ONE_DNN,
        applies.without_one_dnn,
        environment={"TF_ENABLE_ONEDNN_OPTS": "0"},
    ),
    Technique(
        "one_dnn",
        "oneDNN's kernels in place of TensorFlow's own",
        {},
        "export TF_ENABLE_ONEDNN_OPTS=1  # before TensorFlow is imported",
        sources.ONE_DNN,
        applies.one_dnn,
        environment={"TF_ENABLE_ONEDNN_OPTS": "1"},
    ),
    Technique(
        "one_thread",
        "one thread for the inside of operations",
        {},
        "export TF_NUM_INTRAOP_THREADS=1  # before TensorFlow is imported",
        sources.ONE_DNN,
        applies.cpu,
        environment={"TF_NUM_INTRAOP_THREADS": "1"},
    ),
)
"""Those that are there, in the order in which they are tried."""


def technique(name: str) -> Technique:
    """Return the technique called `name`."""
    known = {technique.name: technique for technique in TECHNIQUES}
    if name not in known:
        raise DeclarationError(
            "a technique is one of those that can be tried",
            repr(name),
            f"use one of {', '.join(known)}",
        )
    return known[name]


def wanted(found: Found, names: Sequence[str]) -> list[str]:
    """Return the techniques that apply, of those that are named; of all, where none is."""
    return [t.name for t in applicable(found) if not names or t.name in names]


def applicable(found: Found) -> list[Technique]:
    """Return the techniques that leave a subject something to gain."""
    return [technique for technique in TECHNIQUES if not technique.why_not(found)]


def left_out(found: Found, names: Sequence[str] = ()) -> dict[str, str]:
    """Return why the others were not tried, of those that are named; of all, where none is."""
    reasons = {t.name: t.why_not(found) for t in TECHNIQUES if not names or t.name in names}
    return {name: why for name, why in reasons.items() if why}
