"""How near each CUDA kernel comes to a copy on the device, and to what XLA makes of the same work.

``KERAS_BACKEND=jax python -m tests.studies.gpu_kernels FOUND`` on a machine with a GPU, which needs
JAX, Keras and what keras-ab installs, no TensorFlow; two minutes. A kernel through JAX, the same in
Keras operations under XLA, and a copy of as many bytes as the kernel must move
(`kernels/native/least_bytes.py`) take turns in one process, in an order drawn anew for each round;
a sample is as many steps as last 50 ms. What both forms give after three steps is compared first.
FOUND is written anew, with a line of JSON for each kernel, and ``--fill FOUND`` writes the table of
kernels/native/README.md from it, anywhere.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab import clock
from keras_ab.bench.workloads import fused_kernels as work
from keras_ab.kernels.native.least_bytes import least_bytes
from tests.studies.tables import fill, ratio

ROUNDS, SAMPLE_S, COMPARED_STEPS = 15, 0.05, 3
README = Path(__file__).parents[2] / "kernels" / "native" / "README.md"
L2_CACHE_SIZE = 38  # CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
Shape = tuple[int, ...]
Build = Callable[[str, Sequence[Shape]], Callable[[], Any]]


def normal(shapes: Sequence[Shape], scale: float, first_seed: int = 0) -> list[Any]:
    """Return random arrays on the device, the same for every form."""
    import keras

    seeds = range(first_seed, first_seed + len(shapes))
    return [
        keras.random.normal(s, stddev=scale, seed=i) for i, s in zip(seeds, shapes, strict=True)
    ]


def update(make: Callable[[str], Any]) -> Build:
    """Return the build of an optimizer's step on all variables, which it updates in place."""

    def build(form: str, shapes: Sequence[Shape]) -> Callable[[], Any]:
        import jax
        import keras

        variables = [keras.Variable(x) for x in normal(shapes, 1.0)]
        gradients = normal(shapes, 0.02, len(shapes))
        optimizer = make(form)
        optimizer.build(variables)

        # What is given away serves the results in their order: weights first, here and there.
        @partial(jax.jit, donate_argnums=(0, 1))
        def train(weights: Any, slots: Any, gradients: Any) -> Any:
            return optimizer.stateless_apply(slots, gradients, weights)

        weights = [jax.numpy.array(v.value) for v in variables]
        slots = [jax.numpy.array(v.value) for v in optimizer.variables]
        variables.clear()

        def step() -> Any:
            nonlocal weights, slots
            weights, slots = train(weights, slots, gradients)
            return weights

        return step

    return build


def cross_entropy(_form: str, shapes: Sequence[Shape]) -> Callable[[], Any]:
    """Build the losses of logits, and the gradient for these."""
    import jax

    from keras_ab.kernels.native.cross_entropy import sparse_cross_entropy

    (logits,) = normal(shapes, 3.0)
    labels = jax.random.randint(jax.random.key(0), shapes[0][:1], 0, shapes[0][1])

    @jax.jit
    def step(labels: Any, logits: Any) -> Any:
        losses, back = jax.vjp(lambda x: sparse_cross_entropy(labels, x), logits)
        return losses, back(jax.numpy.ones_like(losses))

    return lambda: step(labels, logits)


def standardize(_form: str, shapes: Sequence[Shape]) -> Callable[[], Any]:
    """Build the standardised kernels of a network, and the gradients."""
    import jax

    from keras_ab.kernels.native.standardize import standardize

    filters, upstream = normal(shapes, 0.1), normal(shapes, 1.0, len(shapes))
    gains = [jax.numpy.ones(shape[-1:]) for shape in shapes]

    @jax.jit
    def step(filters: Any, gains: Any, upstream: Any) -> Any:
        made, back = jax.vjp(lambda *both: list(map(standardize, *both)), filters, gains)
        return made, back(upstream)

    return lambda: step(filters, gains, upstream)


def batch_statistics(_form: str, shapes: Sequence[Shape]) -> Callable[[], Any]:
    """Build extended batch normalisation's statistics, and the gradient."""
    import jax

    from keras_ab.kernels.native.batch_statistics import batch_statistics

    (x,), (d_mean,) = normal(shapes, 1.0), normal([shapes[0][1:]], 1.0, 1)

    @jax.jit
    def step(x: Any, d_mean: Any) -> Any:
        (mean, variance), back = jax.vjp(batch_statistics, x)
        return mean, variance, back((d_mean, jax.numpy.full_like(variance, 0.3)))

    return lambda: step(x, d_mean)


MATRICES, LARGE = [(2000, 2000)] * 100, [(8000, 5000)] * 10
PROBLEMS: dict[str, tuple[str, Sequence[Shape], Build]] = {
    "adam": ("10 variables, 400 M", LARGE, update(work.adam)),
    "adam, many": ("100 variables, 400 M", MATRICES, update(work.adam)),
    "sm3": ("10 variables, 400 M", LARGE, update(work.sm3)),
    "adafactor": ("10 variables, 400 M", LARGE, update(work.adafactor)),
    "adaptive_clip": ("10 variables, 400 M, with SGD", LARGE, update(work.adaptive_clip)),
    "cross_entropy": ("8192 × 32000", [(8192, 32000)], cross_entropy),
    "standardize": ("10 kernels, 3 × 3 × 2048 × 2048", [(3, 3, 2048, 2048)] * 10, standardize),
    "standardize, many": ("ResNet-50, four stages", work.kernel_shapes({"stages": 4}), standardize),
    "batch_statistics": ("1605632 × 256", [(1605632, 256)], batch_statistics),
}
BESIDE = {"adaptive_clip": 12}
"""Bytes an element that a step moves beside the kernel's: SGD reads two arrays and writes one."""


def copying(size: int) -> Callable[[], Any]:
    """Return a copy on the device that moves so many bytes, half of them read."""
    import jax.numpy as jnp

    (source,) = normal([(size // 8,)], 1.0)
    return lambda: jnp.copy(source)


def worst(found: Any, expected: Any) -> float:
    """Return the largest difference of two results, over the largest number of its array."""
    import jax
    import jax.numpy as jnp

    def one(a: Any, b: Any) -> float:
        return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))

    return float(np.max(jax.tree.leaves(jax.tree.map(one, found, expected))))  # NaN stays


def lasts(step: Callable[[], Any], steps: int) -> tuple[float, float]:
    """Return the seconds of so many steps: until the device is done, and until it has them all."""
    import jax

    start = clock.now()
    for _ in range(steps):
        last = step()
    handed_over = clock.now() - start
    jax.block_until_ready(last)
    return clock.now() - start, handed_over


def measured(kernel: str, shapes: Sequence[Shape], build: Build, cache: int) -> dict[str, Any]:
    """Return what is found of one kernel: its error, and the logs of ratios to it, by round."""
    from keras_ab import kernels

    op = kernel.partition(",")[0]
    size = sum(
        least_bytes(op, math.prod(shape), cache) + BESIDE.get(op, 0) * math.prod(shape)
        for shape in shapes
    )
    steps: dict[str, Callable[[], Any]] = {}
    results = {}
    for form, mode in (("native", "native"), ("xla", "reference")):
        with kernels.use(mode):
            steps[form] = build(form, shapes)
            for _ in range(COMPARED_STEPS):
                results[form] = steps[form]()
            error = worst(results["native"], results["xla"]) if form == "xla" else 0.0
    results.clear()
    steps["copy"] = copying(size)
    counts = {}
    for form, step in steps.items():
        lasts(step, 2)
        counts[form] = max(1, round(SAMPLE_S / (lasts(step, 4)[0] / 4)))
    rng, logs, shares = np.random.default_rng(0), [], []
    for _ in range(ROUNDS):
        turn: dict[str, float] = {}
        for form in rng.permutation(list(steps)):
            lasted, handed_over = lasts(steps[form], counts[form])
            turn[str(form)] = math.log(lasted / counts[form])
            if form == "native":
                shares.append(handed_over / lasted)
        logs.append(turn)
    handed = float(np.median(shares))
    return {"kernel": kernel, "bytes": size, "error": error, "handed_over": handed, "log_s": logs}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the table of what was found, and where."""
    heads = "kernel", "case", "copy / kernel", "XLA / kernel", "a step", "host", "worst difference"
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in found:
        logs = one["log_s"]
        ratios = (ratio([r[form] - r["native"] for r in logs]) for form in ("copy", "xla"))
        lasted = math.exp(float(np.median([r["native"] for r in logs])))
        case = PROBLEMS[one["kernel"]][0]
        cells = one["kernel"], case, *ratios, f"{1e3 * lasted:.3g} ms"
        cells += f"{100 * one['handed_over']:.0f} %", f"{one['error']:.1e}"
        lines.append(f"| {' | '.join(cells)} |")
    first = found[0]
    copied = [f["bytes"] / math.exp(r["copy"]) for f in found for r in f["log_s"]]
    where = (
        f"On one {first['device']}, driver {first['driver']}, JAX {first['jax']}, "
        f"{first['when']}; {len(first['log_s'])} rounds in one process. The fastest copy moved "
        f"{max(copied) / 1e12:.2f} TB/s."
    )
    return "\n".join([*lines, "", where, ""])


def device() -> dict[str, Any]:
    """Return what the run's lines say of the machine, and its second-level cache in bytes."""
    import jax
    import pynvml

    pynvml.nvmlInit()
    driver, l2 = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    driver.cuInit(0)
    driver.cuDeviceGetAttribute(ctypes.byref(l2), L2_CACHE_SIZE, 0)
    return {
        "device": jax.devices()[0].device_kind,
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "jax": jax.__version__,
        "l2_bytes": l2.value,
        "when": clock.timestamp()[:10],
    }


def main(arguments: Sequence[str]) -> None:
    """Measure into a file, or fill the page from one."""
    if arguments[0] == "--fill":
        lines = Path(arguments[1]).read_text(encoding="utf-8").splitlines()
        made = table([json.loads(line) for line in lines])
        fill(README, "gpu_kernels", made)
        return
    facts = device()
    names = arguments[1:] or PROBLEMS
    with Path(arguments[0]).open("w", encoding="utf-8") as file:
        for kernel in names:
            _, shapes, build = PROBLEMS[kernel]
            found = facts | measured(kernel, shapes, build, facts["l2_bytes"])
            print(json.dumps(found), file=file, flush=True)
            print(table([found]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
