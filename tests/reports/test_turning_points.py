"""The history says what changed from run to run, and its line of `gate` goes red on that."""

import html
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.command_line import main
from keras_ab.reports.machines import machines
from keras_ab.reports.page import page
from keras_ab.reports.turning_points import turns
from tests.reports import simulated
from tests.reports.simulated import GPU, Scene, machine
from tests.reports.test_compare import UPGRADED, jit
from tests.reports.test_page import Elements


def measured(folder: Path, *days: list[Scene], packages: dict | None = None) -> Path:
    """Write a run for each day; the last of them with other packages, if any are named."""
    (folder / "runs").mkdir()
    for day, scenes in enumerate(days, 1):
        head = simulated.header(f"day{day}", machine(0))
        update: dict = {"started": f"2026-01-{day:02d}T00:00:00+00:00"}
        if packages and day == len(days):
            update["environment"] = head.environment | {"packages": packages}
        path = folder / "runs" / f"{day}.jsonl"
        simulated.write(path, head.model_copy(update=update), scenes, first_seed=10 * day)
    return folder / "runs"


def found(runs: Path) -> list:
    return turns(machines(reports.load(runs).runs))


def lines_of_gate(runs: Path) -> list[str]:
    written = page(reports.load(runs))
    return [
        html.unescape(line) for line in re.findall(r"<pre[^>]*>(keras-ab gate.*?)</pre>", written)
    ]


def test_what_became_worse_is_told_with_what_changed_and_when(tmp_path: Path) -> None:
    runs = measured(tmp_path, [jit()], [jit()], [jit(jit=0.95)], packages=UPGRADED)
    newest, before = found(runs)
    assert [(c.arm, c.after.metric.name) for c in newest.worse] == [("jit", "step_time_s")]
    assert (newest.before.header.run, newest.after.header.run) == ("day2", "day3")
    assert "packages.tensorflow: '2.21.0' → '2.22.0'" in newest.environment
    assert before.is_quiet
    assert before.command == ""
    text = " ".join(Elements(page(reports.load(runs))).text.split())
    assert "Run day3 of 2026-01-03 against day2 of 2026-01-02" in text
    assert "packages.tensorflow: '2.21.0' → '2.22.0'" in text.partition("What changed with it")[2]
    assert "jit changed" in text
    assert "Worse than before" in text


@pytest.mark.parametrize("packages", [None, UPGRADED])
def test_the_line_of_gate_is_exact(
    packages: dict | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = measured(tmp_path, [jit()], [jit(jit=0.95)], packages=packages)
    monkeypatch.chdir(tmp_path)
    (line,) = lines_of_gate(runs)
    assert main(shlex.split(line)[1:]) == 1
    assert "| jit, batch=64 | `jit` | step time |" in capsys.readouterr().out


def test_the_line_allows_what_differs_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = replace(jit(), experiment="new")
    runs = measured(tmp_path, [jit()], [jit(jit=0.95), renamed], packages=UPGRADED)
    monkeypatch.chdir(tmp_path)
    (line,) = lines_of_gate(runs)
    assert line.endswith("--allow versions cases")
    assert main(shlex.split(line)[1:]) == 1
    stricter = line.removesuffix(" cases")
    assert main(shlex.split(stricter)[1:]) == 2
    assert "--allow cases" in capsys.readouterr().err


def test_a_gain_and_a_broken_guard_are_told_too(tmp_path: Path) -> None:
    faster = jit(jit=0.7)
    runs = measured(tmp_path, [jit()], [faster], [replace(faster, guard_error=0.5)])
    broken, better = found(runs)
    assert [c.arm for c in better.better] == ["jit"]
    assert better.command == ""
    assert [(k.experiment, answer.word) for k, answer in broken.invalid] == [("jit", "invalid")]
    assert broken.command == "keras-ab gate --baseline day2 --run day3"
    text = " ".join(Elements(page(reports.load(runs))).text.split())
    assert "1 arm no longer to be judged" in text


def test_a_run_of_other_trials_in_between_is_passed_over(tmp_path: Path) -> None:
    other = replace(jit(), experiment="other")
    runs = measured(tmp_path, [jit(), other], [other], [jit(jit=0.95), other])
    pairs = {(t.before.header.run, t.after.header.run): t for t in found(runs)}
    assert set(pairs) == {("day1", "day2"), ("day2", "day3"), ("day1", "day3")}
    told = {pair: [c.key.experiment for c in t.worse] for pair, t in pairs.items()}
    assert told == {("day1", "day2"): [], ("day2", "day3"): [], ("day1", "day3"): ["jit"]}


def test_machines_are_not_held_against_each_other(tmp_path: Path) -> None:
    for n, step in enumerate((0.8, 0.95)):
        head = simulated.header(f"run{n}", machine(n))
        simulated.write(tmp_path / f"{n}.jsonl", head, [jit(jit=step)])
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"gpus": [GPU | {"uuid": "GPU-a"}]}, {"gpus": [GPU | {"uuid": "GPU-b"}]},
         "machine.gpu.1.uuid: 'GPU-a' → 'GPU-b'"),
        ({"memory_bytes": 2**35}, {"memory_bytes": 2**36},
         "machine.memory_bytes: '32.0 GiB' → '64.0 GiB'"),
        ({"cpu_flags": ["avx2"]}, {"cpu_flags": ["avx2", "avx512f"]},
         "machine.cpu_flags: ['avx2'] → ['avx2', 'avx512f']"),
        ({"memory_bytes": 25276514304}, {"memory_bytes": 25276063744}, ""),
    ],
)  # fmt: skip
def test_two_machines_of_one_name_are_marked(
    first: dict, second: dict, says: str, tmp_path: Path
) -> None:
    for n, facts in enumerate((first, second), 1):
        head = simulated.header(f"run{n}", simulated.MACHINE | facts)
        head = head.model_copy(update={"started": f"2026-01-{n:02d}T00:00:00+00:00"})
        simulated.write(tmp_path / f"{n}.jsonl", head, [jit(jit=0.8 + 0.1 * n)])
    (turn,) = found(tmp_path)
    assert turn.environment == ([says] if says else [])
    runs = reports.load(tmp_path)
    assert runs.history.environment_changed.iloc[-1] == says
    text = " ".join(Elements(page(runs)).text.split())
    assert says in text.partition("What changed with it: ")[2]


def test_equal_runs_change_nothing(tmp_path: Path) -> None:
    runs = measured(tmp_path, *([jit()] for _ in range(6)))
    assert all(turn.is_quiet for turn in found(runs))
    text = " ".join(Elements(page(reports.load(runs))).text.split())
    assert "In 5 of 5 pairs of runs nothing changed." in text
    assert "Worse than before" not in text


def test_a_run_that_is_nowhere_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = measured(tmp_path, [jit()])
    for asked in (["--baseline", "day9"], ["--baseline", "day1", "--run", "day9"]):
        assert main(["gate", str(runs), *asked]) == 2
        told = capsys.readouterr().err
        assert "'day9', which none of 1 run is called" in told
        assert "day1" in told
