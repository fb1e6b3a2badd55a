"""Run the battery where a process of its own is needed: on two replicas, or on another backend.

`python -m tests.kernels.battery_elsewhere replicas` (or the name of Keras' backend) prints what
does not hold, as JSON: for each offer and situation, the error. ``test_battery.py`` runs it.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kernels import battery, refusals


def pairs(place: str) -> Iterator[tuple[str, str]]:
    """Yield what is run there."""
    for name, where in battery.pairs():
        if place == "replicas" and where == "mirrored replicas":
            yield name, where
        if place != "replicas" and where not in battery.ONLY_ON_TENSORFLOW:
            yield name, where


def wrong(name: str, where: str) -> str:
    """Return what is wrong with an offer in a situation; an empty text if nothing is."""
    refusal = refusals.refusal(name, where)
    with tempfile.TemporaryDirectory() as folder:
        try:
            battery.check_trains(name, where, Path(folder))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is printed
            due = refusal and isinstance(error, refusal.error)
            if due and re.search(refusal.says, str(error)):
                return ""
            return f"{type(error).__name__}: {error}"
    return f"not refused: {refusal.because}" if refusal else ""


def main(place: str) -> None:
    if place == "replicas":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    found = {f"{name}, {where}": wrong(name, where) for name, where in pairs(place)}
    print(json.dumps({what: error for what, error in found.items() if error}))


if __name__ == "__main__":
    main(sys.argv[1])
