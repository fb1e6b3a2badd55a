"""Each command that README.md and the guide name is run as it is written there, to its end."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples"
LATER = EXAMPLES / "cpu-xeon-2-cores.jsonl"
STANDS_FOR = {
    "A": "runs/laptop",
    "B": "runs/server",
    "RUN": "runs/main.jsonl",
    "ID": "sqrt_segments/step_time_s",
    "FILE": "review.md",
}

GUIDE = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))]
TABLE = re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)
FENCED = re.findall(r"^```(.*?)\n(.*?)^```$", "\n".join([README, *GUIDE]), re.MULTILINE | re.DOTALL)
BLOCKS = [block for language, block in FENCED if not language]
IN_BLOCKS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = list(dict.fromkeys([*TABLE, *IN_BLOCKS]))
ELSEWHERE = ("doctor", "--ab-profile", "--benchmark-json", "--ab-backend", "--ab-device")
"""What takes long and has tests of its own: of the doctor, of traces, of entries, of backends."""
MEASURE = [command for command in COMMANDS if command.startswith(("pytest", "keras-ab doctor"))]
ON_MANY = ("keras-ab fleet", "s3://")
"""What asks a cluster or a store elsewhere: tests/fleet asks those that it starts itself."""
READ = [
    command
    for command in COMMANDS
    if command.startswith("keras-ab")
    and command not in MEASURE
    and not any(part in command for part in ON_MANY)
]

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
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def cut_off(folder: Path) -> None:
    """Leave the newest run as one that was interrupted after its first blocks."""
    path = max((folder / "runs").glob("*.jsonl"))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")


def test_the_table_was_found():
    assert len(MEASURE) >= 10
    assert len(READ) >= 7


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "bench_labels.py").write_text(BENCH_LABELS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


@pytest.mark.parametrize("command", [c for c in MEASURE if not any(e in c for e in ELSEWHERE)])
def test_what_measures_comes_to_its_end(command, project):
    if "--ab-resume" in command:
        cut_off(project)
    (as_written,) = said(command)
    shown = run(as_written, project)
    if command.startswith("pytest"):
        assert re.search(r"trial 1 of [12]: labels, classes 1000", shown)
        assert "worse" in shown
        assert "2 passed" in shown or "4 passed" in shown


@pytest.fixture
def desk(tmp_path):
    """Return a folder with the runs and the document that the README speaks of."""
    for place, example in {
        "runs/laptop/a.jsonl": LATER,
        "runs/server/b.jsonl": LATER,
        "runs/main.jsonl": LATER,
        "old.jsonl": LATER,
        "new.jsonl": LATER,
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(example, tmp_path / place)
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


@pytest.mark.parametrize("command", READ)
def test_what_reads_comes_to_its_end(command, desk):
    if "--signers" in command:
        sign(desk)
    for as_written in said(command):
        assert run(as_written, desk)
