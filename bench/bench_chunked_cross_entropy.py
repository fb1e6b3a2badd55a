"""Does cross-entropy in chunks of the vocabulary save memory, and what does it cost?"""

from functools import partial

from keras_ab import Arm, Claim, Experiment, Guard, Source, grid, sources, sweep
from keras_ab.bench.workloads import vocabulary_head as head

ONLINE = Source(
    author="M. Milakov, N. Gimelshein",
    title="Online normalizer calculation for softmax",
    year=2018,
    url="https://arxiv.org/abs/1805.02867",
)
GRADIENTS = ("hidden_gradient", "kernel_gradient", "bias_gradient")

EXPERIMENT = Experiment(
    name="chunked_cross_entropy",
    question="Does cross-entropy in chunks of the vocabulary save memory, and what does it cost?",
    purpose="memory",
    method=(
        "A linear head gives a loss for each hidden state, and gradients for hidden states, kernel "
        "and bias, in one function compiled by XLA. The baseline holds the logits of every word; "
        "the other goes through the vocabulary in chunks, with a running maximum and sum, and "
        "computes each chunk's logits again for the gradients. Peak memory is of a process that "
        "ran this arm alone."
    ),
    held_fixed="hidden states, first weights, labels, float32, the same inputs in every step",
    does_not_show="A whole model, in which other layers may hold more; low precision.",
    sources=(ONLINE, sources.KERNELS),
    arms=(
        Arm("whole", partial(head.prepare, head.whole), "the logits of every word at once"),
        Arm("chunked", partial(head.prepare, head.chunked), "one chunk of words at a time"),
    ),
    cases=(
        *grid(examples=(256,), width=(64,), vocabulary=(4096,), chunk=(512,)),
        *sweep("vocabulary", (1024, 2048, 8192, 16384), examples=256, width=64, chunk=512),
        *grid(quick=False, examples=(2048,), width=(256,), vocabulary=(32768,), chunk=(2048,)),
    ),
    guards=(
        Guard("losses", 1e-5, "same losses"),
        *(Guard(name, 1e-5, f"same {name.replace('_', ' ')}") for name in GRADIENTS),
    ),
    claims=(
        Claim(
            id="less-memory",
            statement="At 32768 words the peak of a step falls to a third, or less.",
            arm="chunked",
            metric="peak_device_memory_bytes",
            at_most=1 / 3,
            where={"vocabulary": 32768},
            source=sources.KERNELS,
        ),
        Claim(
            id="same-time",
            statement="At 32768 words a step takes at most 10 % longer.",
            arm="chunked",
            metric="step_time_s",
            at_most=1.1,
            where={"vocabulary": 32768},
            source=sources.KERNELS,
        ),
    ),
)
