"""Run the battery where a process of its own is needed: on two replicas, or on another backend.

`python -m tests.kernels.battery_elsewhere replicas`, or `jax` or `torch` with `KERAS_BACKEND` set
so, prints what does not hold, as JSON: for each offer and situation, the error. Names of situations
after it choose some of them, as `test_battery_elsewhere.py` does: all on JAX take half an hour.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.kernels import battery, refusals

TENSORFLOWS = ("exported", "mirrored replicas")
LEFT_OUT = {
    "jax": (*TENSORFLOWS, "jit", "use_ema"),
    "torch": (*TENSORFLOWS, "steps_per_execution", "jit"),
}
"""What Keras has not there, or has as its usual way; PyTorch's compiler takes minutes a model. With
`use_ema`, Keras on JAX gives a weight and its average one buffer after `fit`, and a second `fit`
donates it twice, with Keras' own optimizers too."""


def pairs(place: str) -> list[tuple[str, str]]:
    """Return what is run there."""
    if place == "replicas":
        return [pair for pair in battery.pairs() if pair[1] == "mirrored replicas"]
    return [pair for pair in battery.pairs() if pair[1] not in LEFT_OUT[place]]


def _two_devices() -> None:
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)


def main(place: str, *situations: str) -> None:
    """Print what does not hold, in all situations or in some."""
    if place == "replicas":
        _two_devices()
    found = {}
    for name, where in pairs(place):
        if situations and where not in situations:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found[f"{name}, {where}"] = refusals.wrong(name, where, Path(folder))
    print(json.dumps({what: error for what, error in found.items() if error}))


if __name__ == "__main__":
    main(*sys.argv[1:])
