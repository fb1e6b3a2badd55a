"""Each command that a document or a help text names is run as it is written there, to its end."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from argparse import ArgumentParser, _SubParsersAction
from importlib.util import find_spec
from pathlib import Path

import pytest

import keras_ab
from keras_ab.command_line import parser
from tests.test_documented import example

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples"
LATER = EXAMPLES / "thorough-cpu-xeon-2-cores.jsonl"
STANDS_FOR = {
    "A": "runs/laptop",
    "B": "runs/server",
    "RUN": "runs/main.jsonl",
    "ID": "sqrt_segments/step_time_s",
    "FILE": "review.md",
    "STORE": "runs/laptop",
}

GUIDE = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = "\n".join([README, CONTRIBUTING, *GUIDE])
FENCED = re.findall(r"^ *```(.*?)\n(.*?)^ *```$", PAGES, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^ *```.*?^ *```$", "", PAGES, flags=re.MULTILINE | re.DOTALL)
INLINE = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE)]


def lines_of(*languages: str) -> list[str]:
    """Return the lines of code blocks, those that go on as one, without their comments."""
    blocks = (block.replace("\\\n", " ") for language, block in FENCED if language in languages)
    lines = (line.split(" #")[0] for block in blocks for line in block.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]


SHELL = lines_of("", "sh")
STEPS = [line.removeprefix("- run: ") for line in lines_of("yaml") if line.startswith("- run: ")]
SETS_UP = ("pip", "uv", "UV_TORCH_BACKEND=cpu", "tox", "gh", "ray", "export")
"""What fills an environment, a cluster or asks the network: what it names is there."""
OTHERS = ("chromium", "tensorboard", "ssh-keygen")
"""Programs of others that look at what ours have written."""
TOOLS = ("pytest", "keras-ab", "python", *SETS_UP, *OTHERS)
DIRECTIVES = ("{toctree}", "{include} ../README.md", "{include} ../CONTRIBUTING.md")
NO_COMMAND = 'alice@example.org namespaces="keras-ab" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA…'


def is_command(span: str) -> bool:
    """Tell a command, with what it is given, from a program's or a command's bare name."""
    program, *given = span.split(" ")
    return program in TOOLS and len(given) > (program == "keras-ab" and "doctor" not in given)


COMMANDS = list(dict.fromkeys([*filter(is_command, INLINE), *SHELL, *STEPS]))
COMMANDS.remove(NO_COMMAND)
ELSEWHERE = {
    "doctor --ceilings": "bench/test_ceilings.py::test_a_probe_grows_until_it_lasts_long_enough",
    "try train.py:make": "bench/test_trying.py::test_a_readers_own_model_ends_with_advice",
    "try examples/own/": "bench/test_worked.py::test_a_worked_subject_can_be_tried",
    "bench/ --junitxml": "bench/test_invocation.py::test_the_file_for_junit_carries_the_verdicts",
    "--ab-profile": "bench/test_tensorflow.py::test_a_profile_names_the_operations_of_a_step",
    "--benchmark-json": "bench/test_invocation.py::test_each_arm_is_one_entry_of_pytest_benchmark",
    "-o /tmp/report.html": "test_readme_commands.py::test_what_reads_comes_to_its_end",
    "pytest --help": "test_readme_commands.py::test_commands_that_a_sentence_names_exist",
    "bench_sums.py": "test_readme_commands.py::test_the_file_that_the_guide_begins_with_runs",
    "bench_my_xla.py": "bench/test_invocation.py::test_the_experiment_that_contributing_shows_runs",
    "compare Xeon=": "studies/test_two_machines.py::test_the_page_is_what_the_command_makes",
    "keras-ab fleet": "fleet/test_cluster.py::test_one_node_of_each_kind_measures_all",
    "s3://": "fleet/test_cluster.py::test_one_node_of_each_kind_measures_all",
    "gate --baseline bench/main.jsonl": "test_readme_commands.py::test_what_reads_comes_to_its_end",
}
"""What takes long, or needs a place of its own, and the test that runs it or what it stands on."""
NOT_OURS = tuple(f"{tool} " for tool in (*SETS_UP, *OTHERS))
STUDIES = [command for command in COMMANDS if command.startswith("python -m tests.studies.")]
RUN_HERE = [
    command
    for command in COMMANDS
    if not command.startswith(NOT_OURS)
    and command not in STUDIES
    and not any(elsewhere in command for elsewhere in ELSEWHERE)
]
MEASURE = [c for c in RUN_HERE if c.startswith(("pytest", "keras-ab doctor"))]
TRY = [c for c in RUN_HERE if c.startswith("keras-ab try")]
READ = [c for c in RUN_HERE if c not in MEASURE and c not in TRY]

BENCH_LABELS = """
import time

from keras_ab import Arm, Case, Experiment, Prepared, Source


def lasting(seconds):
    def step():
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return lambda case: Prepared(step)


EXPERIMENT = Experiment(
    name="labels",
    question="Does waiting for longer take longer?",
    method="A step that lasts as long as it is told to.",
    sources=(Source("A. Tester", "A page", 2026, "https://example.org"),),
    arms=(Arm("short", lasting(0.002), "2 ms"), Arm("long", lasting(0.004), "4 ms")),
    cases=(Case({"classes": 1000}), Case({"classes": 10000}, quick=False)),
    backends=("tensorflow", "jax"),
)
"""


def said(command: str) -> list[str]:
    """Return what a line of the README stands for: with and without what is in brackets."""
    for name, value in STANDS_FOR.items():
        command = re.sub(rf"(?<![\w-]){name}(?![\w.])", value, command)
    without = re.sub(r" \[.*?\]", "", command)
    return list(dict.fromkeys([without, re.sub(r"[\[\]]", "", command)]))


def run(command: str, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback (most recent call last)" not in done.stdout + done.stderr
    return done.stdout


def cut_off(folder: Path) -> None:
    """Leave the newest run, if need be a new one, as one that was interrupted after some blocks."""
    if not any((folder / "runs").glob("*.jsonl")):
        run("pytest --benchmark --ab-budget 5", folder)
    path = max((folder / "runs").glob("*.jsonl"))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")


def test_the_commands_were_found():
    assert len(MEASURE) >= 10
    assert len(READ) >= 15
    assert len(TRY) == 1


def test_no_line_of_a_block_is_overlooked():
    assert {language for language, _ in FENCED} <= {"", "sh", "text", "yaml", "python", *DIRECTIVES}
    assert [line for line in SHELL if line.split(" ")[0] not in TOOLS] == [NO_COMMAND]


def test_what_help_tells_to_write_is_among_them():
    described = (own.description or "" for own in (parser(), *subparsers().values()))
    told = {c for says in described for c in re.findall(r"with: ([^.;]+)", says)}
    spans = (" ".join(span.split()) for span in re.findall(r"``([^`]+)``", keras_ab.__doc__))
    told |= set(filter(is_command, spans))
    assert told >= {"pytest --benchmark", "pytest --benchmark bench_sums.py"}
    assert told <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("keras-ab ")])
def test_every_command_of_ours_is_understood(command):
    for as_written in said(command):
        parser().parse_args(shlex.split(as_written)[1:])


@pytest.mark.parametrize("command", STUDIES)
def test_what_a_study_is_called_there_is(command):
    module = find_spec(command.split(" ")[2])
    assert 'if __name__ == "__main__":' in Path(module.origin).read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ELSEWHERE.values())
def test_what_is_run_elsewhere_is_run_there(place):
    file, _, name = place.partition("::")
    assert f"def {name}" in (ROOT / "tests" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(NOT_OURS)])
def test_what_sets_up_names_what_there_is(command):
    packaging = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for asked in re.findall(r"tox run -e (\S+)", command):
        assert set(asked.split(",")) <= environments()
    for extras in re.findall(r"(?:keras-ab|\.)\[([\w,]+)\]", command):
        assert set(extras.split(",")) <= set(packaging["project"]["optional-dependencies"])
    for group in re.findall(r"--group (\w+)", command):
        assert group in packaging["dependency-groups"]


def environments() -> set[str]:
    """Return the environments that tox.ini declares, ``bench-{jax,torch}`` being two of them."""
    settings = (ROOT / "tox.ini").read_text(encoding="utf-8")
    declared = re.findall(r"^\[testenv:([\w-]+)(?:\{([\w,]+)\})?\]", settings, re.MULTILINE)
    return {name + factor for name, factors in declared for factor in factors.split(",")}


def subparsers() -> dict[str, ArgumentParser]:
    """Return the parser of every command of ours, by name."""
    (known,) = (a.choices for a in parser()._actions if isinstance(a, _SubParsersAction))
    return known


def test_commands_that_a_sentence_names_exist():
    named = set(re.findall(r"`keras-ab ([a-z]+)", PAGES))
    assert named <= set(subparsers())
    listed = run("pytest --help", ROOT)
    assert not [o for o in re.findall(r"(--ab-[a-z-]*[a-z])", PAGES) if o not in listed]


def test_the_help_of_every_command_is_printed():
    for name, own in subparsers().items():
        assert f"keras-ab {name}" in own.format_help()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "bench_labels.py").write_text(BENCH_LABELS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


@pytest.mark.parametrize("command", MEASURE)
def test_what_measures_comes_to_its_end(command, project):
    (as_written,) = said(command)
    if "--ab-resume" in command:
        cut_off(project)
    elif command.startswith("pytest"):  # on a busy machine no precision is reached before that
        as_written += " --ab-budget 5"
    shown = run(as_written, project)
    if command.startswith("pytest"):
        assert re.search(r"trial 1 of [12]: labels, classes 1000", shown)
        assert "worse" in shown
        assert "2 passed" in shown or "4 passed" in shown


def test_the_file_that_the_guide_begins_with_runs(tmp_path):
    (tmp_path / "bench_sums.py").write_text(example(keras_ab.__doc__))
    shown = run("pytest --benchmark bench_sums.py", tmp_path)
    assert "--ab-backend plain: all that is selected runs on it alone" in shown
    assert "starting plain" in shown
    assert "sums, against once at " in shown


@pytest.mark.parametrize("command", TRY)
def test_what_tries_functions_comes_to_its_end(command, tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    return sum(range(20_000))\n")
    (tmp_path / "b.py").write_text("def g():\n    return sum(range(10_000))\n")
    assert "gain" in run(f"{command} --budget 0.1", tmp_path)  # of minutes, where 3 are usual


@pytest.fixture
def desk(tmp_path):
    """Return a folder with the runs and the document that the README speaks of."""
    for place, run_file in {
        "runs/laptop/a.jsonl": LATER,
        "runs/server/b.jsonl": LATER,
        "runs/main.jsonl": LATER,
        "old.jsonl": LATER,
        "new.jsonl": LATER,
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run_file, tmp_path / place)
    (quoted,) = re.findall(r"^> recompute.*?(?=\n\n)", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "review.md").write_text(quoted + "\n")
    return tmp_path


def sign(folder: Path) -> None:
    """Sign every run as docs/signing.md says, by a key that the list of signers knows."""
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not installed")
    keygen = ["ssh-keygen", "-q"]
    subprocess.run([*keygen, "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    public = (folder / "key.pub").read_text().split()
    (folder / "allowed_signers").write_text(f"alice@example.org {public[0]} {public[1]}\n")
    for path in (folder / "runs").rglob("*.jsonl"):
        command = [*keygen, "-Y", "sign", "-n", "keras-ab", "-f", folder / "key", path]
        subprocess.run(command, check=True, capture_output=True)


def make_older(path: Path) -> None:
    """Make a run one of its own that began before the others, for a gate to hold these against."""
    head, *lines, _ = path.read_text(encoding="utf-8").splitlines(keepends=True)
    told = json.loads(head) | {"run": "older", "started": "2026-01-01T00:00:00+00:00"}
    path.write_text("".join([json.dumps(told) + "\n", *lines]), encoding="utf-8")


@pytest.mark.parametrize("command", READ)
def test_what_reads_comes_to_its_end(command, desk):
    if "--signers" in command:
        sign(desk)
    if "verify report.html" in command:
        run("keras-ab report runs/main.jsonl -o report.html", desk)
    if command.startswith("keras-ab gate"):
        make_older(desk / "runs" / "main.jsonl")
    for as_written in said(command):
        assert run(as_written, desk)
