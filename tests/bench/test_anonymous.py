"""A run file and its page tell nothing of who measured: no folder, no user, no machine's name."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from keras_ab import bench
from keras_ab.bench import places
from keras_ab.bench.lab.loop import facts
from keras_ab.bench.lab.loop.messages import kept
from keras_ab.bench.lab.words.anonymous import COMMON, SHORTEST, anonymous, anonymous_facts
from tests.bench.invocation import FAST, command, environment

USER, HOST = "mallory_q", "workhorse-7"
FILE = """
import getpass, os, socket
from pathlib import Path
from keras_ab import Arm, Attempt, Case, Experiment, Prepared, Source

HERE = Path(__file__).parent
OWNER = f"{getpass.getuser()} on {socket.gethostname()}"

def good(_case):
    return Prepared(lambda: float(sum(range(200))), notes={"owner": OWNER, "lies in": str(HERE)})

def raises(_case):
    raise OSError(f"no {HERE}/data.csv, nor '{HERE}', of {OWNER}; see file://{HERE}/log")

def quotes(_case):
    return Prepared(good, observe=lambda: open(HERE / "no such file"))

def tries():
    return f"{OWNER} has {Path.home()} and {HERE / 'x'}"

EXPERIMENT = Experiment(
    name="own",
    question="?",
    method=".",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org/a/b"),),
    arms=(
        Arm("good", good, "good", recipe={"data": str(Path.home() / "data")}),
        Arm("fine", good, "good"),
        Arm("raises", raises, "raises"),
        Arm("quotes", quotes, "raises as well"),
    ),
    cases=(Case({}),),
    attempts=(Attempt("try_it", "try it", tries),),
    backends=("plain",),
)
"""


@pytest.fixture
def owner(monkeypatch):
    monkeypatch.setenv("LOGNAME", USER)
    monkeypatch.setattr(socket, "gethostname", lambda: f"{HOST}.example.org")


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('File "/srv/jane/my secret/mine.py", line 3', 'File "…/mine.py", line 3'),
        ("no '/data/a b/c'", "no '…/c'"),
        ("no /data/x/y.csv: gone", "no …/y.csv: gone"),
        ("XLA_FLAGS=--dump_to=/data/x/y", "XLA_FLAGS=--dump_to=…/y"),
        ("a=/data/x:/data/y/z", "a=…/x:…/z"),
        ("file:///data/x/y.html", "file://…/y.html"),
        ("g++ -I/data/x/y", "g++ -I…/y"),
        (f"{USER} on {HOST}.example.org", "… on …"),
        (f"{HOST} is not {HOST}s", f"… is not {HOST}s"),
        ("/job:localhost/replica:0/task:0/device:CPU:0", None),
        ("https://example.org/a/b", None),
        ("loss/dense/MatMul and 1/2 and a / b", None),
        ("/etc/ssl/certs and /proc/self/status", None),
        ("f32[2,3]/4 ~/data …/x", None),
    ],
)
def test_what_is_left_of_a_text(said, told):
    assert anonymous(said) == (said if told is None else told)
    assert anonymous(anonymous(said)) == anonymous(said)


def test_folders_that_everybody_has_are_what_paths_are_told_from(monkeypatch, tmp_path):
    home = tmp_path / "al ice"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert kept(f"no {home}/data, {home}") == "no ~/data, ~"
    assert kept(f"{tmp_path}/x.py in {tmp_path}") == "x.py in ."
    assert kept(f"{Path(bench.__file__).parent}/lab") == "keras_ab/bench/lab"


@pytest.mark.usefixtures("owner")
def test_variables_and_nested_facts_are_anonymous(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--dump_to=/data/{USER}/x")
    assert facts.environment()["variables"]["XLA_FLAGS"] == "--dump_to=…/x"
    assert anonymous_facts({"a": [f"/data/{USER}/x", 3, None]}) == {"a": ["…/x", 3, None]}


@pytest.mark.parametrize("folder", ["project/bench_x.py", "runs/bench_x.py"])
def test_a_place_beside_the_run_is_found_again(folder, tmp_path):
    runs = tmp_path / "runs"
    told = places.told(str(tmp_path / folder), runs)
    assert str(tmp_path) not in told
    assert places.found(told, runs) == str(tmp_path / folder)


def test_a_place_elsewhere_is_told_from_home_or_the_package_or_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "alice"))
    runs, file = Path("/scratch/runs"), tmp_path / "alice" / "bench_x.py"
    assert places.told(str(file), runs) == "~/bench_x.py"
    assert places.found("~/bench_x.py", runs) == str(file)
    own = Path(bench.__file__).resolve().parent / "bench_xla.py"
    assert places.told(str(own), runs) == "<keras_ab>/bench_xla.py"
    assert places.found("<keras_ab>/bench_xla.py", runs) == str(own)
    assert places.told("/data/my secret/bench x.py", runs) == "…/bench x.py"
    assert places.found("…/bench x.py", runs) is None


@pytest.mark.parametrize("beside", [True, False], ids=["beside", "elsewhere"])
def test_a_run_and_its_page_tell_nothing_of_their_owner(tmp_path, beside):
    """Measured by a user of an odd name in an odd folder, with arms that tell what they can."""
    home = tmp_path / f"the 'home' of\N{NO-BREAK SPACE}{USER}"
    project = (tmp_path if beside else home) / "odd «folder» & 100%"
    project.mkdir(parents=True)
    home.mkdir(exist_ok=True)
    (project / "bench_own.py").write_text(FILE)
    done = subprocess.run(
        command(*FAST, "--ab-runs", "runs", str(project / "bench_own.py")),
        cwd=project if beside else tmp_path,
        env=environment() | {"HOME": str(home), "LOGNAME": USER, "USER": USER},
        capture_output=True,
        text=True,
        check=False,
    )
    (run,) = tmp_path.rglob("*.jsonl")
    assert "raises" in done.stdout
    for path in (run, run.with_suffix(".html")):
        written = path.read_text(encoding="utf-8")
        assert "data.csv" in written
        told = {USER, str(tmp_path), str(home), *(part for part in home.parts[1:] if USER in part)}
        host = socket.gethostname()
        told |= {host} if len(host) >= SHORTEST and host not in COMMON else set()
        assert not [one for one in told if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", written)]
        assert os.fspath(Path.home()) + "/" not in written
