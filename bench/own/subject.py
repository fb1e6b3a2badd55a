"""A subject: a function in a reader's own file that makes a compiled model and its data."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_ab.bench.lab.words.bench_files import load_module
from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.own import compiling
from keras_ab.bench.own.change import Change
from keras_ab.bench.workloads.training import precision

BATCH = 32
"""Examples in a batch where nobody says how many, as in `fit`."""

PARTS = ("model", "data", "validation", "batch_size")
"""What a subject's function may return by name."""


@dataclass(frozen=True)
class Made:
    """What a subject's function returned.

    Args:
        model: compiled.
        data: arrays ``(inputs,)``, ``(inputs, labels)`` or ``(inputs, labels, weights)``, or
            anything else that `fit` takes and that yields batches. One array alone is inputs.
        validation: the same, to judge what was learnt by; None where there is none.
        batch_size: examples in a batch of arrays; None as many as in `fit`.
    """

    model: Any
    data: Any
    validation: Any = None
    batch_size: int = BATCH


@dataclass(frozen=True)
class Subject:
    """A reader's own model with its data, named.

    Args:
        file: path of the Python file.
        function: name of the function in it.
    """

    file: str
    function: str

    @property
    def name(self) -> str:
        """What its experiments are called, ``train_make``."""
        words = f"{Path(self.file).stem}_{self.function}".lower()
        plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in words)
        return plain if plain[:1].isalpha() else f"own_{plain}"

    @property
    def title(self) -> str:
        """What people call it, ``train.py:make``."""
        return f"{Path(self.file).name}:{self.function}"

    def make(self, change: Change) -> Made:
        """Call the reader's function under a change, and check what it returns.

        Raises:
            DeclarationError: it is not there, or returns what cannot be trained.
            NotMeasuredHere: the change did not reach the model.
        """
        function = self.imported()
        check_calls_for_nothing(function, self.title)
        check_untouched()
        with ExitStack() as stack:
            stack.enter_context(precision(change.dtype_policy or policy()))
            stack.enter_context(rematerialised(change.recompute))
            stack.enter_context(compiling.changed(change))
            made = read(function(), self.title)
        check_compiled(made.model, self.title)
        check_reached(made.model, change)
        return made

    def imported(self) -> Callable[..., Any]:
        """Return the reader's function."""
        module = load_module(self.file)
        function = getattr(module, self.function, None)
        if not callable(function):
            known = [name for name, value in vars(module).items() if inspect.isfunction(value)]
            raise DeclarationError(
                "a subject is a function in the file that is named",
                f"{self.title}, and {Path(self.file).name} has {', '.join(known) or 'no function'}",
                "name one of these; for keras-ab try, one that makes a compiled model and its data",
            )
        return function


def named(given: str) -> Subject:
    """Return the subject that ``train.py:make`` or ``package.train:make`` names.

    Raises:
        DeclarationError: there is no such file.
    """
    place, _, function = given.rpartition(":")
    if not (place and function.isidentifier()):
        raise DeclarationError(
            "a subject is named FILE.py:FUNCTION, or MODULE:FUNCTION",
            repr(given),
            "write train.py:make, where make returns a compiled model and its data",
        )
    return Subject(str(_file(place, given)), function)


def _file(place: str, given: str) -> Path:
    """Return the file that a path or the dotted name of a module means."""
    path = Path(place)
    if not place.endswith(".py"):
        inner = Path(*place.split("."))
        roots = [Path.cwd(), *map(Path, sys.path)]
        found = (root / part for root in roots for part in (f"{inner}.py", inner / "__init__.py"))
        path = next((file for file in found if file.is_file()), path)
    if not path.is_file():
        raise DeclarationError(
            "a subject lies in a Python file", f"{given!r}: {place} is not there", "check the path"
        )
    return path.resolve()


def check_calls_for_nothing(function: Callable[..., Any], title: str) -> None:
    """Refuse a function that cannot be called without arguments."""
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise DeclarationError(
            "a subject's function is called without arguments",
            f"{title}{inspect.signature(function)}: {error}",
            "give each argument a default, or write a function around it",
        ) from error


def check_untouched() -> None:
    """Refuse settings that a file makes for the whole process as it is imported."""
    import keras

    found = []
    if keras.distribution.distribution() is not None:
        found.append("a Keras distribution")
    if "tensorflow" in sys.modules and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        found += ["a tf.distribute strategy"] if tf.distribute.has_strategy() else []
        found += ["tf.config.run_functions_eagerly"] if tf.config.functions_run_eagerly() else []
    if found:
        raise DeclarationError(
            "a file sets nothing for the whole process when it is imported",
            ", ".join(found),
            "set it where the program starts, under `if __name__ == '__main__':`",
        )


def policy() -> str:
    """Return the name of the dtype policy in force."""
    import keras

    return keras.config.dtype_policy().name


@contextmanager
def rematerialised(mode: str) -> Iterator[None]:
    """Let layers made inside recompute their activations in the backward pass."""
    if not mode:
        yield
        return
    import keras

    with keras.RematScope(mode=mode):
        yield


def read(returned: Any, title: str) -> Made:
    """Return what a subject's function returned: a pair, a triple, or a mapping of `PARTS`."""
    if isinstance(returned, Mapping) and {"model", "data"} <= set(returned) <= set(PARTS):
        return in_parts(Made(**returned))
    if isinstance(returned, tuple) and len(returned) in (2, 3):
        return in_parts(Made(*returned))
    keys = f"{{{', '.join(returned)}}}" if isinstance(returned, Mapping) else ""
    size = f" of {len(returned)}" if isinstance(returned, tuple) else keys
    raise DeclarationError(
        f"{title} returns a model and its data",
        f"{type(returned).__name__}{size}",
        "return model, (x, y); or model, data, validation; or a dict of "
        f"{', '.join(PARTS)}, of which the last two may be missing",
    )


def is_array(value: Any) -> bool:
    """Tell whether a value is an array, of whatever framework."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def in_parts(made: Made) -> Made:
    """Return a subject as `fit` takes it: one array is a tuple of it, and pandas' are arrays."""
    data, validation = _in_parts(made.data), _in_parts(made.validation)
    size = made.batch_size or BATCH
    return replace(made, data=data, validation=validation, batch_size=size)


def _in_parts(data: Any) -> Any:
    import keras

    check_dense(data)
    if isinstance(data, tuple):
        return keras.tree.map_structure(_array, data)
    one = _array(data)
    return (one,) if is_array(one) else one


def _array(value: Any) -> Any:
    """Return a frame or a series of pandas as the array that `fit` makes of it; else the same."""
    pandas = sys.modules.get("pandas")
    if pandas and isinstance(value, pandas.DataFrame):
        import keras

        has_floats = any(dtype.kind == "f" for dtype in value.dtypes)
        return value.to_numpy(keras.config.floatx() if has_floats else None)
    if pandas and isinstance(value, pandas.Series):
        return value.to_numpy()[:, None]
    return value


def check_dense(data: Any) -> None:
    """Refuse sparse and ragged arrays, whose batches are made in another way."""
    import keras

    for leaf in keras.tree.flatten(getattr(data, "element_spec", data)):
        kind = type(leaf)
        name = kind.__name__.removesuffix("Spec")
        sparse = kind.__module__.startswith(("scipy.sparse", "jax.experimental.sparse"))
        if sparse or name in ("SparseTensor", "RaggedTensor"):
            raise DeclarationError(
                "a subject's arrays are dense",
                f"a {name}",
                "make it dense: .toarray() of SciPy's, and in the file's pipeline "
                "tf.sparse.to_dense or .to_tensor()",
            )


def check_compiled(model: Any, title: str) -> None:
    """Refuse what is no Keras model, or is not compiled."""
    import keras

    if not isinstance(model, keras.Model):
        raise DeclarationError(
            "the first that a subject returns is a Keras model",
            f"{type(model).__module__}.{type(model).__name__} from {title}",
            "return model, data, in this order",
        )
    if not model.compiled or model.optimizer is None:
        raise DeclarationError(
            "a subject's model is compiled",
            f"{model.name!r} from {title}, which was never compiled with an optimizer",
            "call model.compile(optimizer=..., loss=...) before returning it",
        )


def check_reached(model: Any, change: Change) -> None:
    """Say where a change did not reach the model, because the file itself says otherwise."""
    kinds = {layer.dtype_policy.name for layer in model._flatten_layers(include_self=False)}
    if change.dtype_policy and change.dtype_policy not in kinds:
        raise NotMeasuredHere(
            f"a model made under {change.dtype_policy} takes it over",
            f"layers of {', '.join(sorted(kinds)) or 'no policy'}",
            "leave the policy out of the file, and it can be tried",
        )
    if change.jit and not model.jit_compile:
        raise NotMeasuredHere(
            "every layer of the model can be compiled by XLA",
            "a layer whose supports_jit is False",
            "replace that layer",
        )
