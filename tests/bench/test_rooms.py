"""Rooms: what each folder may import, also for typing only; nothing imports in a circle."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAB = "keras_ab.bench.lab"
FACE = "keras_ab"
EXPERIMENTS = (
    f"{LAB}.words",
    f"{LAB}.worker",
    "keras_ab.bench.workloads",
    "keras_ab.bench.sources",
    "keras_ab.kernels",
)
ASKING = ("keras_ab.bench.invocation", "keras_ab.bench.progress", "keras_ab.reports.closing")
MAY_IMPORT = {
    f"{LAB}.clock": (),
    f"{LAB}.words": ("keras_ab.bench",),
    f"{LAB}.record": (f"{LAB}.words", f"{LAB}.clock"),
    f"{LAB}.judge": (f"{LAB}.words", f"{LAB}.record", f"{LAB}.clock"),
    f"{LAB}.worker": (f"{LAB}.words", f"{LAB}.clock"),
    f"{LAB}.loop": (LAB, "keras_ab.bench", FACE),
    "keras_ab.bench.fleet": (LAB, "keras_ab.bench", *ASKING, FACE),
    "keras_ab.bench.workloads": (*EXPERIMENTS, FACE),
    "keras_ab.bench.own": (*EXPERIMENTS, f"{LAB}.clock", FACE),
    "keras_ab.bench.bench_": (*EXPERIMENTS, "keras_ab.bench.bench_", FACE),
    "keras_ab.kernels": (),
    "keras_ab.reports": (f"{LAB}.words", f"{LAB}.record", f"{LAB}.judge", f"{LAB}.clock"),
}
"""What the modules of a room, by the beginning of their names, may import of ours beside it.

`keras_ab.bench` and `keras_ab` stand for these packages themselves, which import nothing at once.
"""


def modules():
    """Yield our modules by name, each with its path."""
    for folder in ("bench", "kernels", "reports", "src/keras_ab"):
        base = ROOT / folder
        for path in sorted(base.rglob("*.py")):
            parts = ["keras_ab", *path.relative_to(ROOT).with_suffix("").parts]
            if folder == "src/keras_ab":
                parts = ["keras_ab", *path.relative_to(base).with_suffix("").parts]
                if any((base / part).is_symlink() for part in parts[1:2]):
                    continue
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def imported(path, *, at_once=False):
    """Return which of our modules a file imports, anywhere in it or only when it is imported."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: name modules in full"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = names & set(MODULES)
            found |= modules
            if len(modules) < len(names) and node.module in MODULES:
                found.add(node.module)
    return found


IMPORTS = {name: imported(path) for name, path in MODULES.items()}


def room(name):
    return next((room for room in MAY_IMPORT if name.startswith(room)), None)


def allowed(name, other):
    """Tell whether a module may import another."""
    here = room(name)
    packages = {"keras_ab", "keras_ab.bench"}
    return other.startswith(here) or any(
        other == may if may in packages else other.startswith(may) for may in MAY_IMPORT[here]
    )


@pytest.mark.parametrize("name", [name for name in MODULES if room(name)])
def test_a_module_imports_only_what_its_room_may(name):
    assert not [other for other in IMPORTS[name] if not allowed(name, other)]


def test_the_table_is_of_every_room():
    rooms = {f"{LAB}.{path.name}" for path in (ROOT / "bench" / "lab").iterdir() if path.is_dir()}
    assert {name for name in rooms if "__" not in name} <= set(MAY_IMPORT)
    assert all(any(name.startswith(room) for name in MODULES) for room in MAY_IMPORT)


def test_an_import_that_the_table_forbids_is_seen(tmp_path):
    spoilt = tmp_path / "spoilt.py"
    spoilt.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from keras_ab.bench.lab.loop import measure\n"
        "def f():\n    from keras_ab.bench.lab.worker.wire import encode\n"
    )
    found = imported(spoilt)
    assert found == {f"{LAB}.loop.measure", f"{LAB}.worker.wire"}
    assert not any(allowed(f"{LAB}.judge.text", other) for other in found)
    assert allowed(f"{LAB}.worker.wire", f"{LAB}.words.errors")


def test_no_module_imports_in_a_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_a_circle_is_seen():
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()


def test_no_file_is_long():
    lengths = {path: path.read_text().count("\n") for path in MODULES.values()}
    assert not {path: count for path, count in lengths.items() if count > 350}


def test_reports_load_nothing_of_the_workers_or_of_the_loop():
    """At run time as well, and whichever module of theirs is imported."""
    reports = sorted(name for name in MODULES if name.startswith("keras_ab.reports"))
    forbidden = (f"{LAB}.worker", f"{LAB}.loop")
    code = (
        f"import sys\nfor name in {reports!r}: __import__(name)\n"
        f"found = [name for name in sys.modules if name.startswith({forbidden!r})]\n"
        "assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
