"""Finding the experiments that a bench file declares."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from keras_ab import bench
from keras_ab.bench.lab.words.declare import Experiment
from keras_ab.bench.lab.words.errors import DeclarationError

OURS = Path(bench.__file__).resolve().parent
"""The folder of the experiments that come with this package, and of what they are made of."""


def is_bench_file(path: Path) -> bool:
    """Tell whether experiments are looked for in a file."""
    return path.suffix == ".py" and path.name.startswith("bench_")


def bench_folder(*places: Path) -> Path:
    """Return the folder of the experiments that are meant where none is named.

    The first that has bench files, of each place and its ``bench``; else that of the experiments
    that come with this package.
    """
    folders = [folder for place in places for folder in (place, place / "bench")]
    own = (folder for folder in folders if any(map(is_bench_file, folder.glob("bench_*"))))
    return next(own, OURS)


def load_module(file: str) -> ModuleType:
    """Import a bench file by its path, once a process; ours by their names in the package.

    Any other is imported as pytest imports tests by default: its folder, or the one that holds its
    outermost package, comes first in `sys.path`, so that it can import what lies beside it.
    """
    path = Path(file).resolve()
    if path.suffix != ".py" or not path.is_file():
        raise DeclarationError("a bench file is a Python file", file, "check the path")
    if OURS in path.parents:
        parts = path.relative_to(OURS).with_suffix("").parts
        return importlib.import_module(".".join([bench.__name__, *parts]))
    root, name = _place(path)
    if sys.path[:1] != [str(root)]:
        sys.path.insert(0, str(root))
    if not _is_free(root, name):
        return _load_apart(path)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _place(path: Path) -> tuple[Path, str]:
    """Return the folder that a file is imported from, and its name there."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder, ".".join(path.relative_to(folder).with_suffix("").parts)


def _is_free(root: Path, name: str) -> bool:
    """Tell whether a name can be imported from a folder: no module from elsewhere has it yet."""
    first, *_ = parts = name.split(".")
    known = sys.modules.get(first)
    file = known and getattr(known, "__file__", None)
    return all(part.isidentifier() for part in parts) and (
        known is None
        or (file is not None and Path(file) in (root / f"{first}.py", root / first / "__init__.py"))
    )


def _load_apart(path: Path) -> ModuleType:
    """Import a file by a name of its own, because another module has the one that it would have."""
    name = f"bench_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101 - it is a Python file
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
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
