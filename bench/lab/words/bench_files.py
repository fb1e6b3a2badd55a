"""Finding the experiments that a bench file declares."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from keras_ab import bench
from keras_ab.bench.lab.words.declare import Experiment
from keras_ab.bench.lab.words.errors import DeclarationError

OURS = Path(bench.__file__).resolve().parent
"""The folder of the bench files that come with this package."""


def load_module(file: str) -> ModuleType:
    """Import a bench file by its path, once a process; ours by their names in the package."""
    path = Path(file).resolve()
    if path.parent == OURS and path.is_file():
        return importlib.import_module(f"{bench.__name__}.{path.stem}")
    name = f"bench_file_{path.stem}_{abs(hash(str(path)))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DeclarationError("a bench file is a Python file", file, "check the path")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def experiments_in(module: ModuleType) -> dict[str, Experiment]:
    """Return the experiments that a bench file declares, by name."""
    found = [value for value in vars(module).values() if isinstance(value, Experiment)]
    return {experiment.name: experiment for experiment in found}


def load_experiment(file: str, name: str) -> Experiment:
    """Return the experiment called `name` from a bench file."""
    found = experiments_in(load_module(file))
    if name not in found:
        raise DeclarationError(
            f"{Path(file).name} declares the experiment that is asked for",
            repr(name),
            f"use one of {', '.join(found) or '(none: declare an Experiment at module level)'}",
        )
    return found[name]
