"""What guards would see if float32 were multiplied in TensorFloat-32, which this emulates.

Run with ``python -m tests.studies.tf32_guards [EXPERIMENT ...]``; some minutes for all, anywhere.
The baseline of each experiment is rehearsed beside itself with the inputs of all products rounded
to TensorFloat-32's 10 bits of mantissa, forwards and backwards. Prints how far apart the two lie,
and which guards that would break: those could not be rehearsed as a GPU multiplies by default.
Exits 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.declare import Arm, Experiment, Guard, Prepared
from tests.bench.declared import DECLARED, rehearse

PRODUCTS = {
    "gen_math_ops": ("mat_mul", "batch_mat_mul_v2", "batch_mat_mul_v3"),
    "gen_linalg_ops": ("einsum",),
    "gen_nn_ops": ("conv2d", "conv2d_backprop_input", "conv2d_backprop_filter"),
}
"""TensorFlow's products of floating-point numbers, by the module through which Python asks."""

FILE = """
from tests.studies.tf32_guards import beside_itself

EXPERIMENT = beside_itself({file!r}, {name!r})
"""


def rounded(x: Any) -> Any:
    """Return float32 rounded to 10 bits of mantissa, ties away from zero; all else as it is."""
    import tensorflow as tf

    if isinstance(x, list):
        return [rounded(each) for each in x]
    if not tf.is_tensor(x) or x.dtype != tf.float32:
        return x
    x = tf.convert_to_tensor(x)  # a variable's value

    @tf.custom_gradient
    def straight_through(x: Any) -> Any:
        bits = tf.bitcast(x, tf.int32)
        return tf.bitcast(tf.bitwise.bitwise_and(bits + 0x1000, -0x2000), tf.float32), lambda d: d

    return straight_through(x)


def of_rounded(product: Callable[..., Any]) -> Callable[..., Any]:
    """Return a product whose inputs are rounded first."""

    def multiplied(*inputs: Any, **named: Any) -> Any:
        return product(*map(rounded, inputs), **{k: rounded(x) for k, x in named.items()})

    return multiplied


@contextmanager
def tensor_float_32() -> Iterator[None]:
    """Multiply rounded inputs."""
    from tensorflow.python import ops

    with ExitStack() as stack:
        for module, names in PRODUCTS.items():
            for name in names:
                found = getattr(ops, module)
                stack.enter_context(patch.object(found, name, of_rounded(getattr(found, name))))
        yield


def emulated(arm: Arm) -> Arm:
    """Return the arm, multiplying in emulated TensorFloat-32."""

    def build(case: Any) -> Prepared:
        with tensor_float_32():
            prepared = arm.build(case)

        def step() -> Any:
            with tensor_float_32():
                return prepared.step()

        def observe() -> Any:
            with tensor_float_32():
                return prepared.observe() if prepared.observe else {}

        return replace(prepared, step=step, observe=observe)

    return replace(arm, name="emulated", build=build)


def beside_itself(file: str, name: str) -> Experiment:
    """Return an experiment of its baseline and the same in emulated TensorFloat-32."""
    experiment = load_experiment(file, name)
    baseline = experiment.baseline
    return replace(
        experiment,
        arms=(baseline, emulated(baseline)),
        guards=tuple(replace(guard, arms=()) for guard in of_the_baseline(experiment)),
        claims=(),
        attempts=(),
        quality=None,
        purpose="time",
    )


def of_the_baseline(experiment: Experiment) -> list[Guard]:
    """Return the guards that look at an experiment's baseline."""
    name = experiment.baseline.name
    return [guard for guard in experiment.guards if not guard.arms or name in guard.arms]


def apart(name: str, server: ForkServer) -> Iterator[str]:
    """Yield a line for each guard of an experiment."""
    path, experiment = DECLARED[name]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "bench_emulated.py"
        file.write_text(FILE.format(file=str(path), name=name))
        data = rehearse(file, name, "tensorflow", server)
    allowed = {guard.observed: guard.tolerance for guard in of_the_baseline(experiment)}
    for failed in (*data.failures, *data.absences):
        yield f"  {failed.arm}: {failed.said[:80]}"
    for check in data.checks:
        if check.arm == "emulated" and check.relative_error is not None:
            most = allowed[check.observed] or 0.0
            broken = "  BROKEN" if check.relative_error > most else ""
            yield f"  {check.observed}: {check.relative_error:.1e} of {most:.0e}{broken}"


def on_tensorflow() -> list[str]:
    """Return the experiments whose baseline runs on TensorFlow."""
    return [
        name
        for name, (_, experiment) in DECLARED.items()
        if "tensorflow" in experiment.backends
        and experiment.baseline.backend in (None, "tensorflow")
    ]


def main() -> int:
    asked = sys.argv[1:]
    server = ForkServer("tensorflow")
    for name in (name for name in on_tensorflow() if not asked or name in asked):
        print(name, flush=True)
        for line in apart(name, server):
            print(line, flush=True)
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
