"""A first look at a subject: what there is to be changed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from pydantic import TypeAdapter

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.own import batches, training
from keras_ab.bench.own.change import Change
from keras_ab.bench.own.compiling import unscaled
from keras_ab.bench.own.subject import Made, Subject
from keras_ab.bench.workloads.training import is_finite

SAME = 1e-4
"""How far the loss of a subject may be from that of the same subject made again, as a share."""

LOOKED_AT = 4
"""Batches that are trained on and timed, after one that compiles."""

PIECE = 2**22
"""Values of an array that are looked at together, so that a large one is not held twice."""


@dataclass(frozen=True)
class Found:
    """What a first look finds; numbers, names and answers only, so that it travels as JSON.

    Args:
        backend: that Keras runs on.
        devices: kinds of device that the framework sees.
        one_dnn: whether TensorFlow computes by oneDNN.
        counted_apart: whether memory is counted in processes that are not timed, which do not.
        parameters: that are trained.
        layers: names of Keras' classes that its layers are, or derive from, each once.
        optimizer: class name.
        amsgrad: whether it is an Adam with that.
        accumulates: steps of which it accumulates the gradients.
        loss: name of the loss, empty where it is a function of the reader's.
        loss_settings: what that loss is made with, beside logits.
        from_logits: whether that loss takes logits.
        labels: ``one-hot``, ``indices`` or ``other``.
        data: ``arrays``, ``tf.data`` or the class of what yields batches.
        batch: examples in a batch.
        batches: that the data has; 0 where nobody knows.
        inputs: dtypes of the inputs as stored.
        whole: whether inputs are whole numbers from 0 to 255.
        as_fit: whether batches are taken as `fit` takes them, not handed over one at a time.
        prefetches: whether the pipeline ends in a prefetch.
        caches: whether it holds a cache.
        policy: dtype policy of the model.
        jit: whether the step is compiled by the backend's compiler.
        eager: whether it runs operation by operation.
        steps_per_execution: as compiled.
        clipped: whether the optimizer clips gradients.
        validation: whether there is data to judge by.
        loss_before: of the first batch, before anything is trained.
        build_s: seconds to import and make model and data.
        first_s: of the first batch, trace and compilation included.
        batch_s: of a later batch.
        process_bytes: host memory of the process after that.
        compiled_s: seconds to make it all under the backend's compiler, first batch included; 0
            where that was not looked at.
    """

    backend: str
    devices: tuple[str, ...]
    one_dnn: bool
    counted_apart: bool
    parameters: int
    layers: tuple[str, ...]
    optimizer: str
    amsgrad: bool
    accumulates: int
    loss: str
    loss_settings: tuple[str, ...]
    from_logits: bool
    labels: str
    data: str
    batch: int
    batches: int
    inputs: tuple[str, ...]
    whole: bool
    as_fit: bool
    prefetches: bool
    caches: bool
    policy: str
    jit: bool
    eager: bool
    steps_per_execution: int
    clipped: bool
    validation: bool
    loss_before: float
    build_s: float
    first_s: float
    batch_s: float
    process_bytes: int
    compiled_s: float = 0.0

    @property
    def accumulates_twice(self) -> int:
        """Steps of which it accumulates the gradients of half a batch each."""
        return 2 * self.accumulates

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU."""
        return "gpu" in self.devices

    def __str__(self) -> str:
        compiled = "XLA" if self.jit else "eager" if self.eager else "graph"
        many = f"{self.batches} batches of {self.batch}" if self.batches else f"of {self.batch}"
        return (
            f"{self.parameters:,} parameters, {self.policy}, {self.optimizer}, "
            f"{self.loss or 'a loss of its own'}, {_LABELS[self.labels]}"
            f"{self.data} ({', '.join(self.inputs)}; {many}), {compiled}"
        )


_LABELS = {"one-hot": "one-hot labels, ", "indices": "labels are indices, ", "other": ""}

_FOUND = TypeAdapter(Found)


def found(written: str) -> Found:
    """Return what a first look found, from its JSON."""
    return _FOUND.validate_json(written)


def look(subject: Subject) -> str:
    """Make a subject as it is, train on a few batches, and return what was found as JSON.

    Raises:
        DeclarationError: it cannot be put on trial, and why.
    """
    began = clock.now()
    made, stream, first = _begun(subject, Change())
    built = clock.now()
    loss = float(training.untrained_loss(made.model, first))
    training.check_finite(loss, True, 0)
    each = made.model.steps_per_execution
    stepping = training.steps(made.model, stream, each, first)
    stepping.step()
    ready = clock.now()
    times = list(_timed(stepping.step, each))
    last = batches.on_host(stepping.step())
    weights = is_finite(made.model, stepping.settle)
    training.check_finite(last, weights, (len(times) + 2) * each)
    found = Found(
        **_of_model(made.model),
        **_of_data(made, first),
        loss_before=loss,
        build_s=built - began,
        first_s=ready - built,
        batch_s=float(np.median(times)),
        process_bytes=psutil.Process().memory_info().rss,
    )
    return _FOUND.dump_json(found).decode()


def loss_again(subject: Subject) -> str:
    """Make a subject once more and return the loss of its first batch, before training."""
    made, _, first = _begun(subject, Change())
    return repr(float(training.untrained_loss(made.model, first)))


def start_compiled(subject: Subject) -> str:
    """Make a subject under the backend's compiler; return how long that and a batch took."""
    began = clock.now()
    made, stream, first = _begun(subject, Change(jit=True))
    training.steps(made.model, stream, made.model.steps_per_execution, first).step()
    return repr(clock.now() - began)


def _begun(subject: Subject, change: Change) -> tuple[Made, Iterator[Any], Any]:
    """Return a subject with its batches and the first of them, nothing trained yet."""
    made = subject.make(change)
    stream = batches.endless(made, change)
    first = training.taken(stream, subject)
    training.build(made.model, first)
    return made, stream, first


def check_repeats(subject: Subject, found: Found, again: float) -> None:
    """Refuse a subject that is another model, or other data, each time it is made."""
    if not math.isclose(found.loss_before, again, rel_tol=SAME):
        raise DeclarationError(
            f"{subject.title} makes the same model and data whenever it is called, under the seed "
            "that Keras is given",
            f"a loss of {found.loss_before:g} before training, then of {again:g}",
            "seed every generator of random numbers in the file: numpy.random.default_rng(0); "
            "where batches are made side by side, one for each batch, by its number",
        )


def _timed(step: Any, batches_each: int) -> Iterator[float]:
    for _ in range(LOOKED_AT):
        start = clock.now()
        float(batches.on_host(step()))  # waits for the device
        yield (clock.now() - start) / batches_each


def _of_model(model: Any) -> dict[str, Any]:
    import keras

    inner = unscaled(model.optimizer)
    loss = model.loss
    layers = {_of_keras(type(layer)) for layer in model._flatten_layers(include_self=False)}
    computing = (x for x in model._flatten_layers() if "float" in str(x.compute_dtype))
    policies = {layer.dtype_policy.name for layer in computing}
    return {
        "backend": keras.backend.backend(),
        **_of_device(),
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "layers": tuple(sorted(layers)),
        "optimizer": type(inner).__name__,
        "accumulates": inner.gradient_accumulation_steps or 1,
        "amsgrad": bool(getattr(inner, "amsgrad", False)),
        "loss": _name(loss),
        "loss_settings": _settings(loss),
        "from_logits": bool(getattr(loss, "from_logits", False)),
        "policy": ", ".join(sorted(policies)),
        "jit": bool(model.jit_compile),
        "eager": bool(model.run_eagerly),
        "steps_per_execution": int(model.steps_per_execution),
        "clipped": any((inner.clipnorm, inner.clipvalue, inner.global_clipnorm)),
    }


def _of_keras(layer: type) -> str:
    """Return the name of Keras' class that a layer's is, or derives from."""
    return next(c.__name__ for c in layer.__mro__ if c.__module__.partition(".")[0] == "keras")


def _of_device() -> dict[str, Any]:
    import keras

    from keras_ab.bench.lab.worker import backends

    facts = backends.of_keras().facts()
    can_count = keras.backend.backend() == "tensorflow"
    return {
        "devices": tuple(str(device["kind"]) for device in facts["devices"]),
        "one_dnn": bool(facts.get("one_dnn")),
        "counted_apart": can_count and not facts["memory_statistics"],
    }


def _name(loss: Any) -> str:
    """Return a loss as Keras names it; empty for a function of the reader's."""
    import keras

    known = keras.losses.get(loss) if isinstance(loss, str) else loss
    if not getattr(known, "__module__", "").startswith("keras."):
        return ""
    return getattr(getattr(known, "fn", known), "__name__", type(known).__name__)


def _settings(loss: Any) -> tuple[str, ...]:
    """Return what a loss of Keras' has other than as it comes, but for its name and its logits."""
    if isinstance(loss, str) or not _name(loss) or not hasattr(loss, "get_config"):
        return ()
    known = inspect.signature(type(loss)).parameters
    given = {k: v for k, v in loss.get_config().items() if k in known and v != known[k].default}
    return tuple(f"{k}={v!r}" for k, v in given.items() if k not in ("name", "from_logits"))


def _of_data(made: Made, first: Any) -> dict[str, Any]:
    """Return what is found of data: of arrays as they are stored, all rows."""
    import keras

    held = batches.of_arrays(made.data)
    inputs, labels, _ = keras.utils.unpack_x_y_sample_weight(made.data if held else first)
    leaves = list(map(batches.on_host, keras.tree.flatten(inputs)))
    names = _pipeline(made.data) if batches.of_tensorflow(made.data) else []
    return {
        "labels": form(
            None if labels is None else list(map(batches.on_host, keras.tree.flatten(labels)))
        ),
        "data": batches.kind(made.data),
        "batch": made.batch_size if held else len(leaves[0]),
        "batches": batches.rows(made.data) // made.batch_size if held else _count(made.data),
        "inputs": tuple(str(leaf.dtype) for leaf in leaves),
        "whole": all(map(_whole, leaves)),
        "as_fit": batches.as_fit(made.data),
        "prefetches": held or any("Prefetch" in name for name in names[:1]),
        "caches": held or any("Cache" in name for name in names),
        "validation": made.validation is not None,
    }


def form(labels: list[np.ndarray] | None) -> str:
    """Return the form of labels: rows with a single one in them, or whole numbers."""
    if labels is None or len(labels) != 1:
        return "other"
    y = labels[0]
    if y.ndim > 1 and y.shape[-1] > 1 and all(map(_one_hot, _pieces(y))):
        return "one-hot"
    return "indices" if y.dtype.kind in "iu" else "other"


def _whole(x: np.ndarray) -> bool:
    if x.dtype.kind not in "iuf" or not x.size or not (x.min() >= 0 and x.max() <= 255):
        return False
    return x.dtype.kind != "f" or all(np.equal(np.mod(p, 1), 0).all() for p in _pieces(x))


def _one_hot(y: np.ndarray) -> bool:
    return bool(np.isin(y, (0, 1)).all() and (y.sum(-1) == 1).all())


def _pieces(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array in rows that are looked at together."""
    many = max(1, PIECE * len(x) // max(1, x.size))
    return (x[start : start + many] for start in range(0, len(x), many))


def _count(data: Any) -> int:
    if batches.of_tensorflow(data):
        return max(0, int(data.cardinality()))
    try:
        return len(data)
    except TypeError:
        return 0


def _pipeline(dataset: Any) -> list[str]:
    """Return the class names of a dataset and those it is made of, the last stage first."""
    stages, names = [dataset], []
    while stages:
        stage = stages.pop(0)
        names.append(type(stage).__name__)
        stages += list(getattr(stage, "_inputs", list)())
    return names
