"""Installs the package as a stranger does, and lays out a project of theirs around it."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.invocation import environment

ROOT = Path(__file__).parents[1]
OURS = ("LICENSE", "README.md", "bench", "kernels", "pyproject.toml", "reports", "src", "tests")


def run(*command, cwd=None, check=True):
    """Run to the end, without the settings and the modules of the pytest around."""
    own = {k: v for k, v in environment().items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{command} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def checkout(folder):
    """Copy what the package is built from, links as links, and none of what was built before."""
    built = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    for name in OURS:
        source, copy = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=built)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    return folder


class Environment:
    """A fresh virtual environment; uv makes and fills it in seconds where there is one."""

    def __init__(self, folder: Path) -> None:
        self._uv = shutil.which("uv")
        self.python = folder / "bin" / "python"
        self.scripts = folder / "bin"
        if self._uv:
            run(self._uv, "venv", "-q", "--python", sys.executable, folder)
        else:
            run(sys.executable, "-m", "venv", folder)

    def install(self, *what):
        installer = (self._uv, "pip") if self._uv else (self.python, "-m", "pip")
        where = ("--python", self.python) if self._uv else ()
        run(*installer, "install", "-q", *where, *what)

    def pytest(self, cwd, *arguments, check=True):
        return run(self.python, "-m", "pytest", *arguments, cwd=cwd, check=check)


EXPERIMENT = """
import atexit
import json
import os
import sys
from pathlib import Path

from keras_ab import Case, Experiment, Prepared, Source, arm


def note():
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    line = json.dumps({k: os.path.realpath(v) for k, v in files.items() if v}) + "\\n"
    with Path(__file__).with_name("seen.jsonl").open("ab", buffering=0) as file:
        file.write(line.encode())  # in one piece: processes that end together write at once


def sums(count, case):
    note()
    return Prepared(lambda: float(sum(range(count))))


atexit.register(note)
EXPERIMENT = Experiment(
    name="noting",
    question="Does summing twice as many numbers take longer?",
    method="Sums of ranges.",
    sources=(Source("A. Stranger", "A test", 2024, "https://example.org"),),
    arms=(arm("once", sums, 500, "500 numbers"), arm("twice", sums, 1000, "1000 numbers")),
    cases=(Case({}),),
    backends=("plain",),
)
"""
"""Notes, in `seen.jsonl` beside it, which modules its processes have, and from which files."""

PROJECT = {
    "pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['tests']\n",
    "bench/__init__.py": "OWN = 'their bench'\n",
    "reports/__init__.py": "OWN = 'their reports'\n",
    "tests/__init__.py": "OWN = 'their tests'\n",
    "tests/test_own.py": """
import bench
import kernels
import reports
import tests


def test_all_is_theirs():
    assert (bench.OWN, reports.OWN, tests.OWN) == ("their bench", "their reports", "their tests")
    assert kernels.get_kernel
""",
    "mine/__init__.py": "",
    "mine/beside.py": "import bench, kernels, reports\nOWN = bench.OWN, reports.OWN\n",
    "mine/bench_theirs.py": f"""
from mine import beside

assert beside.OWN == ("their bench", "their reports")
assert beside.kernels.get_kernel
{EXPERIMENT}
""",
}
"""A project whose packages have the names of our folders, beside Hugging Face's `kernels`."""


def project(folder):
    """Lay the project out, under version control as most are."""
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", folder)
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "theirs")):
        run(*git, *command)
    return folder
