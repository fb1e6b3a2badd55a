"""`import keras_ab`: what it offers, what it costs, and how its modules import each other."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import keras_ab

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "keras_ab"
FRAMEWORKS = ("tensorflow", "keras", "jax", "torch")
HEAVY = ("numpy", "pandas", "pydantic", "scipy", "matplotlib", "pytest", *FRAMEWORKS)


def loaded_by(code):
    """Return the modules that a fresh interpreter has loaded after some code."""
    show = f"{code}\nimport sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_what_a_reference_manager_takes_names_this_version():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {keras_ab.__version__}\n" in cited
    assert "\nlicense: Apache-2.0\n" in cited


def test_importing_it_loads_nothing_else():
    loaded = loaded_by("import keras_ab")
    assert not loaded & set(HEAVY)
    assert {name for name in loaded if name.startswith("keras_ab")} == {"keras_ab"}


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("Experiment", HEAVY),
        ("arm", HEAVY),
        ("Recipe", ("pandas", "scipy", "matplotlib", "pytest", *FRAMEWORKS)),
        ("built", ("pandas", "scipy", "matplotlib", "pytest", *FRAMEWORKS)),
        ("load", ("pytest", "multiprocessing.forkserver", *FRAMEWORKS)),
    ],
)
def test_a_name_costs_no_more_than_it_must(name, unwanted):
    assert not loaded_by(f"from keras_ab import {name}") & set(unwanted)


def test_all_that_it_names_is_there_and_shown():
    assert len(keras_ab.__all__) == len(set(keras_ab.__all__))
    assert set(keras_ab.__all__) <= set(dir(keras_ab))
    for name in keras_ab.__all__:
        assert getattr(keras_ab, name) is not None


def test_a_name_that_it_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Experimant'"):
        keras_ab.Experimant  # noqa: B018 - it raises
    assert keras_ab.reports.__name__ == "keras_ab.reports"


def test_type_checkers_see_what_is_imported():
    """The block that they read says of each name what `__getattr__` does."""
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: (node.module, alias.name) for node in block.body for alias in node.names}
    assert {*seen, "__version__"} == set(keras_ab.__all__)
    for name, (module, original) in seen.items():
        scope = {}
        exec(f"from {module} import {original} as found", scope)  # noqa: S102 - of our own
        assert getattr(keras_ab, name) is scope["found"]


def modules():
    """Return every module of ours by its name, with its file."""
    files = [*SOURCE.glob("*.py")]
    for folder in ("bench", "kernels", "reports"):
        files += (SOURCE / folder).rglob("*.py")
    parts = {file: file.relative_to(SOURCE.parent).with_suffix("").parts for file in files}
    return {".".join(p[:-1] if p[-1] == "__init__" else p): file for file, p in parts.items()}


MODULES = modules()


def statements(body):
    """Yield the statements that run when a module is imported, or that type checkers read."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from statements(getattr(node, part, []))


def imports(file):
    """Yield the names of our modules that a module imports, typing-only imports included."""
    for node in statements(ast.parse(file.read_text()).body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def test_no_module_imports_itself_in_a_circle():
    graph = {name: set(imports(file)) for name, file in MODULES.items()}
    assert sum(map(len, graph.values())) > 300
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("file", sorted(SOURCE.glob("bench/bench_*.py")), ids=lambda f: f.stem)
def test_a_bench_file_begins_with_one_import_of_ours_or_two(file):
    ours = [
        node.module
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("keras_ab")
    ]
    assert ours[0] == "keras_ab"
    assert len(ours) <= 2
    assert all(module.startswith("keras_ab.bench.workloads") for module in ours[1:])


def test_the_command_is_the_module_too():
    asked = [sys.executable, "-m", "keras_ab", "--version"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout == f"keras-ab {keras_ab.__version__}\n"


def test_nothing_imports_by_the_names_of_the_folders():
    """In a checkout `bench`, `kernels` and `reports` can be imported, as second copies."""
    folders = {"bench", "kernels", "reports"}
    for file in (*MODULES.values(), *(ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                tops = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops = {(node.module or "").split(".")[0]}
            else:
                continue
            assert not tops & folders, f"{file}:{node.lineno}"


def files_named(page):
    """Return the files that a page's tables and text name, those with a name left open aside."""
    return {name for name in re.findall(r"`([\w/.]+\.\w+)`", page) if "/" in name}


def test_contributing_names_files_that_are_there_and_few_for_each_thing():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(files_named(page)) > 15
    assert [name for name in files_named(page) if not (ROOT / name).exists()] == []
    table = page.partition("| to add | edit | create |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines()[2:]]
    assert len(rows) > 8
    for what, edited, created in rows:
        count = len(re.findall(r"`[\w/.<>]+\.\w+`", edited + created))
        assert count <= (6 if "backend" in what else 4), what
