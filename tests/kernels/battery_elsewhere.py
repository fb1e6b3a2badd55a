"""Run the battery where a process of its own is needed: on two replicas, or on another backend.

`python -m tests.kernels.battery_elsewhere replicas` (or the name of Keras' backend) prints what
does not hold, as JSON: for each offer and situation, the error. `test_battery_elsewhere.py` runs
it.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.kernels import battery, refusals

TENSORFLOWS = ("exported", "mirrored replicas")
LEFT_OUT = {
    "jax": TENSORFLOWS,
    "torch": (*TENSORFLOWS, "steps_per_execution", "jit"),
}
"""What Keras has not there; PyTorch's compiler takes minutes a model."""


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


def main(place: str) -> None:
    """Print what does not hold."""
    if place == "replicas":
        _two_devices()
    found = {}
    for name, where in pairs(place):
        with tempfile.TemporaryDirectory() as folder:
            found[f"{name}, {where}"] = refusals.wrong(name, where, Path(folder))
    print(json.dumps({what: error for what, error in found.items() if error}))


if __name__ == "__main__":
    main(sys.argv[1])
