"""Do smaller dtypes for features save as much memory as is said, and do they save time?"""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

from keras_ab import (
    Attempt,
    Claim,
    Experiment,
    Guard,
    Metric,
    Params,
    Prepared,
    Recipe,
    arm,
    backends,
    grid,
    sources,
)
from keras_ab.bench.workloads import classifier, digits


@dataclass(frozen=True)
class Storage:
    """How features are kept in host memory, and who turns them into float32."""

    dtype: str
    cast_on: str = "device"


def pixels(storage: Storage, case: Params) -> Any:
    """Return the pixels of real digits as stored, ``(images, 784)``.

    Floats are in [-1, 1]; integers are the 0 to 255 of the file.
    """
    import numpy as np

    images = digits.mnist()[0][: int(case["images"])].reshape(-1, digits.EDGE**2)
    if not storage.dtype.startswith("float"):
        images = np.rint((images + 1.0) * 127.5)
    return images.astype(storage.dtype)


def prepare(storage: Storage, case: Params) -> Prepared:
    """Make one step ready: the next batch from host memory to float32 on the device.

    Where the case says ``train``, a training step on the batch follows.
    """
    stored = pixels(storage, case)
    size = int(case["batch"])
    starts = cycle(range(0, len(stored) - size + 1, size))
    use = trained(case) if case["train"] else features_alone

    def step() -> Any:
        start = next(starts)
        return use(start, on_device(storage, stored[start : start + size]))

    return Prepared(
        step=step,
        sizes={"feature_bytes": float(stored.nbytes)},
        observe=lambda: {"features": on_device(storage, stored[:size])},
    )


def on_device(storage: Storage, batch: Any) -> Any:
    """Hand a batch to the device and return it there as float32."""
    import tensorflow as tf

    if storage.cast_on == "host":
        batch = batch.astype("float32")
    return tf.cast(tf.constant(batch), tf.float32)


def features_alone(_start: int, features: Any) -> Any:
    """Use the features for nothing."""
    return features


def trained(case: Params) -> Any:
    """Return a function that takes a training step on features that begin at some image."""
    labels, size = digits.mnist()[1], int(case["batch"])
    training = backends.of_keras().training(classifier.DIGITS.compiled(Recipe(), case), jit=False)
    return lambda start, features: training.step((features, labels[start : start + size]))


def numpy_integer() -> str | None:
    """Tell which integer NumPy makes of a Python int: None where int64."""
    import numpy as np

    found = np.array([1]).dtype
    return None if found == "int64" else f"NumPy makes it {found}"


def tensorflow_integer() -> str | None:
    """Tell which integer TensorFlow makes of a Python int: None where int64."""
    import tensorflow as tf

    found = tf.constant([1]).dtype.name
    return None if found == "int64" else f"TensorFlow makes it {found}"


METHOD = (
    "The same digits lie in host memory in each dtype. Timed is the way of a batch from there to "
    "float32 on the device: cut out, handed over and cast, by NumPy before or by the device after. "
    "In the cases that train, a training step on the batch follows. Counted are the bytes of all "
    "stored features."
)
FIXED = (
    "images, their order, batch size, the float32 values that the model is given (from float16, to "
    "its precision)"
)
DOES_NOT_SHOW = (
    "Models that compute in a small dtype (see the experiments on mixed precision); data that is "
    "compressed on disk. On a CPU, host and device are the same memory."
)
BYTES = (Metric("feature_bytes", "stored features", "B"),)
CASES = (
    *grid(images=(4000,), batch=(1000,), train=(False,)),
    *grid(quick=False, images=(5000,), batch=(1000,), train=(True,), width=(512,)),
)

FLOATS = Experiment(
    name="float_dtypes",
    question="Does float32 in place of float64 halve the memory of features, and save time?",
    purpose="memory",
    method=METHOD,
    held_fixed=FIXED,
    does_not_show=DOES_NOT_SHOW,
    sources=(sources.TIPS,),
    arms=(
        arm("float64", prepare, Storage("float64"), "float64, cast on the device"),
        arm("float64_cast_on_host", prepare, Storage("float64", "host"), "float64, cast by NumPy"),
        arm("float32", prepare, Storage("float32"), "float32, as the model takes it"),
        arm("float16", prepare, Storage("float16"), "float16, cast on the device"),
    ),
    cases=CASES,
    guards=(Guard("features", 2.0**-11, "equal after the cast, to half precision's rounding"),),
    metrics=BYTES,
    claims=(
        Claim(
            id="halves-memory",
            statement="float32 in place of float64 saves 50 % of the memory.",
            arm="float32",
            metric="feature_bytes",
            at_most=0.501,  # half, but for the rounding of logarithms
        ),
    ),
)

INTEGERS = Experiment(
    name="integer_dtypes",
    question="How much memory do small integers save for pixels, and do they save time?",
    purpose="memory",
    method=METHOD,
    held_fixed=FIXED,
    does_not_show=DOES_NOT_SHOW,
    sources=(sources.TIPS,),
    arms=(
        arm("int64", prepare, Storage("int64"), "int64, cast on the device"),
        arm("int32", prepare, Storage("int32"), "int32, cast on the device"),
        arm("uint8", prepare, Storage("uint8"), "uint8, cast on the device"),
        arm("uint8_cast_on_host", prepare, Storage("uint8", "host"), "uint8, cast by NumPy"),
    ),
    cases=CASES,
    guards=(Guard("features", 0.0, "equal after the cast"),),
    metrics=BYTES,
    claims=(
        Claim(
            id="saves-93-percent",
            statement="uint8 in place of int64 saves 93 % of the memory.",
            arm="uint8",
            metric="feature_bytes",
            at_most=0.07,
        ),
        Claim(
            id="int64-is-the-default",
            statement="NumPy's integers, of which data sets are made, are int64 by default.",
            arm="",
            attempt="numpy_integer",
        ),
    ),
    attempts=(
        Attempt("numpy_integer", "np.array of a Python int, without a dtype", numpy_integer),
        Attempt("tf_integer", "tf.constant of a Python int, without a dtype", tensorflow_integer),
    ),
)
