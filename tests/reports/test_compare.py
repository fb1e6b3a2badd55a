"""Machines are compared where they can be, and refused where not; a gate goes red for a reason."""

import math
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from keras_ab import reports
from keras_ab.bench.lab.judge.estimate import difference, interval
from keras_ab.bench.lab.record.records import Failure
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports import plain
from keras_ab.reports.compare import apart, changes_between, comparison, flips, side, speed_ups
from keras_ab.reports.compared import compared
from keras_ab.reports.gate import gate, summary
from keras_ab.reports.page import page
from tests.reports import scenes, simulated
from tests.reports.simulated import Scene
from tests.reports.test_page import Elements

UPGRADED = {"tensorflow": "2.22.0", "keras": "3.15.1"}


def jit(**step: float) -> Scene:
    arms = {"plain": 1.0, "jit": 0.8} | step
    return Scene("jit", "Does XLA make a step faster?", {"batch": 64}, arms)


def written(
    folder: Path,
    name: str,
    scene: list[Scene],
    number: int = 0,
    packages: dict | None = None,
    seed: int = 0,
) -> Path:
    head = simulated.header(name, simulated.machine(number))
    if packages:
        head = head.model_copy(update={"environment": head.environment | {"packages": packages}})
    return simulated.write(folder / f"{name}.jsonl", head, scene, first_seed=seed)


def sides(*paths: Path) -> list:
    return [side(path.stem, reports.load(path).runs) for path in paths]


@pytest.fixture
def flipped(tmp_path: Path) -> list[Path]:
    return [written(tmp_path, "a", [jit()], 0), written(tmp_path, "b", [jit(jit=1.3)], 1)]


def test_a_flip_is_found_and_the_page_says_so_first(flipped: list[Path]) -> None:
    (flip,) = flips(sides(*flipped))
    assert (flip.arm, flip.on("better"), flip.on("worse")) == ("jit", ["a"], ["b"])
    text = " ".join(Elements(page(reports.load(flipped))).text.split())
    says = "1 answer flips from machine to machine"
    assert (
        text.index("Simulated, not measured") < text.index(says) < text.index("Answers Simulated")
    )
    assert "better on Simulated processor A" in text
    assert "worse on Simulated processor B" in text


def test_the_same_verdict_is_no_flip(tmp_path: Path) -> None:
    paths = [written(tmp_path, name, [jit()], n) for n, name in enumerate("ab")]
    assert flips(sides(*paths)) == []
    assert "No arm is better on one machine and worse on another" in page(reports.load(paths))


def test_machines_are_kept_apart_from_ratios(tmp_path: Path) -> None:
    a, b = sides(written(tmp_path, "a", [jit()]), written(tmp_path, "b", [jit(plain=2, jit=1.6)]))
    ratios = {s.arm: math.exp(s.estimate.point) for s in speed_ups(a, b)}
    assert ratios == pytest.approx({"plain": 2, "jit": 2}, rel=0.03)
    (step,) = changes_between(a, b, ["step_time_s"])
    assert math.exp(step.estimate.point) == pytest.approx(1, abs=0.02)


def test_other_versions_are_refused_unless_asked_for(tmp_path: Path) -> None:
    before = written(tmp_path, "before", [jit()])
    after = written(tmp_path, "after", [jit(jit=0.9)], packages=UPGRADED)
    with pytest.raises(RecordError, match="--allow versions"):
        comparison(sides(before, after))
    text = compared(comparison(sides(before, after), ["versions"]))
    assert "packages.tensorflow: '2.21.0' → '2.22.0'" in text.replace("\\", "")
    assert "worse" in text.partition("Ratios that differ from before to after")[2]


def test_other_cases_are_refused_unless_asked_for(tmp_path: Path) -> None:
    larger = replace(jit(), case={"batch": 128})
    a, b = sides(written(tmp_path, "a", [jit(), larger]), written(tmp_path, "b", [jit()]))
    with pytest.raises(RecordError, match=r"(?s)batch=128.*--allow cases"):
        comparison([a, b])
    result = comparison([a, b], ["cases"])
    assert [k.says for s in result.sides for k in s.trials] == ["jit, batch=64"] * 2
    assert result.refused == ["jit, batch=128: not measured on every side"]


def test_other_code_is_left_out_with_the_reason(tmp_path: Path) -> None:
    renamed = replace(jit(), step={"plain": 1.0, "jit_more": 0.8})
    same = replace(jit(), experiment="same")
    a, b = sides(written(tmp_path, "a", [jit(), same]), written(tmp_path, "b", [renamed, same]))
    result = comparison([a, b])
    assert result.refused == ["jit, batch=64: the code of jit, jit_more differs between a and b"]
    assert [k.experiment for k in result.sides[0].trials] == ["same"]


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    other = replace(jit(), experiment="other")
    a, b = sides(written(tmp_path, "a", [jit()]), written(tmp_path, "b", [other]))
    with pytest.raises(RecordError, match="a trial in common"):
        comparison([a, b], ["cases"])


def test_compare_on_the_command_line(
    flipped: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *map(str, flipped), "--format", "markdown"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("**Simulated, not measured: a.jsonl, b.jsonl.**\n\n## 1 flip\n")
    folder = str(flipped[0].parent)
    labels = ["processor A", f"new={flipped[1]}"]
    assert main(["compare", *labels, "--runs", folder]) == 0
    assert (
        "The same arm, new against Simulated processor A, 8 cores\n---" in capsys.readouterr().out
    )
    assert main(["compare", "processor", "nowhere", "--runs", folder]) == 2
    assert "which 2 of 2 machines" in capsys.readouterr().err
    assert main(["compare", str(flipped[0])]) == 2


def test_a_terminal_gets_a_table_that_fits(
    flipped: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *map(str, flipped)]) == 0
    said = capsys.readouterr().out
    assert not set(said) & set("*#|`\\")
    assert max(map(len, said.splitlines())) <= plain.WIDTH
    assert re.search(r"^jit, batch=64\n  jit  gain 0.[78]\d\d?×  loss 1.\d\d×$", said, re.M)
    assert said.count("\njit, batch=64\n") == 2  # above its rows, once in each table
    assert re.search(
        r"^jit, batch=64: step time\n  jit  0.[78]\d\d?× +1.\d\d× +1.6\d× \[", said, re.M
    )


def test_a_cell_that_is_too_long_has_a_line_of_its_own() -> None:
    long = "0.945×, least to least (5.74 to 6.76 MiB, baseline 6.08 to 6.61 MiB) better"
    rows = [("trial", "arm", "memory", "0.9×", long), ("trial", "other", "time", "1.0×", "2.0×")]
    said = plain.table(("trial", "arm", "what", "a machine of a very long name", "b"), rows)
    assert max(map(len, said.splitlines())) <= plain.WIDTH
    assert "      a machine of a very long name: 0.9×\n" in said
    assert "  other  time" in said
    assert said.count("trial") == 1


def test_a_gate_passes_an_equal_run_and_stops_a_slower_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = written(tmp_path, "base", [jit()])
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    equal = written(tmp_path, "equal", [jit()], seed=7)
    assert main(["gate", str(equal), "--baseline", str(base)]) == 0
    slower = written(tmp_path, "slower", [jit(jit=0.88)])
    assert main(["gate", str(slower), "--baseline", str(base)]) == 1
    said = capsys.readouterr().out
    assert said == summary.read_text(encoding="utf-8")
    assert "## keras-ab gate passed" in said
    assert "| jit, batch=64 | `jit` | step time |" in said


def test_a_gate_stops_at_a_broken_guard_and_at_more_bytes(tmp_path: Path) -> None:
    before, broken, larger = sides(
        written(tmp_path, "before", [jit()]),
        written(tmp_path, "broken", [replace(jit(), guard_error=0.5)]),
        written(tmp_path, "larger", [replace(jit(), peak={"jit": 1.1})]),
    )
    assert not gate(comparison([before, broken])).passes
    found = gate(comparison([before, larger])).regressions
    assert [change.after.metric.name for change in found] == ["peak_device_memory_bytes"]


def test_a_gate_stops_where_what_is_as_fast_as_before_has_failed(tmp_path: Path) -> None:
    names = {"trial": jit().name, "arm": "jit", "stage": "quality"}
    nan = Failure(**names, what="not finite", message="the outcome of seed 1 is NaN")
    before, after = sides(
        written(tmp_path, "before", [jit()]),
        written(tmp_path, "after", [replace(jit(), extra=[nan])]),
    )
    result = comparison([before, after])
    assert not gate(result).passes
    assert "jit: failed: not finite during quality" in summary(gate(result), ["before", "after"])
    assert "| jit, batch=64 | `jit` | answer | gain | failed |" in compared(result)


def test_a_gate_counts_as_better_what_survives_correction(tmp_path: Path) -> None:
    before, after = sides(
        written(tmp_path, "before", [jit()]), written(tmp_path, "after", [jit(jit=0.6)])
    )
    found = gate(comparison([before, after]))
    assert "Better: 1." in summary(found, ["before", "after"])
    assert "Better: 0." in summary(replace(found, kept=[]), ["before", "after"])


def test_answers_stand_beside_each_other_and_a_gate_tells_which_turned(tmp_path: Path) -> None:
    before, after = sides(
        written(tmp_path, "before", [jit()]),
        written(tmp_path, "after", [replace(jit(), peak={"jit": 1.5})]),
    )
    said = compared(comparison([before, after]))
    assert "| jit, batch=64 | `jit` | answer | gain | trade |" in said
    assert "1.50× exactly worse" in said
    found = gate(comparison([before, after]))
    assert found.turned == [("jit, batch=64", "jit", "gain", "trade")]


def test_a_gate_calls_noise_no_regression(tmp_path: Path) -> None:
    """Twenty pairs of runs of identical arms, and not one alarm."""
    alarms = 0
    for seed in range(0, 40, 2):
        scene = replace(jit(), noise=0.02)
        both = [written(tmp_path, f"run{n}", [scene], seed=n) for n in (seed, seed + 1)]
        alarms += not gate(comparison(sides(*both))).passes
    assert alarms == 0


def test_welch_s_interval_on_hand_computed_numbers() -> None:
    a, b = interval([1.0, 2.0, 3.0], 0.95), interval([2.0, 4.0, 6.0, 8.0], 0.95)
    found = difference(a, b, 0.95)
    assert found.point == -3.0
    assert found.standard_error == pytest.approx(math.sqrt(1 / 3 + 20 / 3 / 4))
    assert found.degrees == 4  # 4.08 by Welch's formula, rounded down
    assert found.half_width == pytest.approx(2.776445 * found.standard_error)
    assert difference(interval([1.0], 0.95), b, 0.95).half_width == math.inf
    assert difference(interval([1.0] * 3, 0.95), interval([2.0] * 3, 0.95), 0.95).half_width == 0


@pytest.mark.parametrize("blocks", [(5, 5), (5, 20), (10, 10)])
@pytest.mark.parametrize("noise", [(0.01, 0.01), (0.01, 0.03), (0.03, 0.01)])
def test_the_interval_of_a_ratio_of_ratios_covers_its_truth(blocks, noise) -> None:
    rng, trials, covered = Random(f"{blocks}{noise}"), 4000, 0
    for _ in range(trials):
        a, b = (
            interval([rng.gauss(0, sd) for _ in range(n)], 0.95)
            for n, sd in zip(blocks, noise, strict=True)
        )
        found = difference(a, b, 0.95)
        covered += found.low <= 0 <= found.high
    assert 0.93 <= covered / trials <= 0.97


def test_what_differs_is_corrected_for_all_rows_that_were_compared(tmp_path: Path) -> None:
    """A change that counts by itself does not among fifty others; too few trials to moderate."""
    alone = [jit(jit=0.8)], [jit(jit=0.785)]
    rest = [replace(jit(), experiment=f"same{n}") for n in range(8)]
    found = [
        apart(*sides(written(folder, "a", old), written(folder, "b", new, 1, seed=500)))
        for folder, old, new in (
            (tmp_path / "few", *alone),
            (tmp_path / "many", *(side + rest for side in alone)),
        )
    ]
    few, many = ([c.p_value for c in f.changes if c.key.experiment == "jit"] for f in found)
    assert few
    assert many == []
    assert (found[0].compared, found[1].compared) == (6, 54)
    assert 0.05 / 54 < few[0] < 0.05 / 6


def test_hostile_names_stay_in_their_cells(tmp_path: Path) -> None:
    name = "a|b`c\n# heading"
    scene = replace(jit(), step={"plain": 1.0, name: 0.5}, experiment=name)
    a, b = sides(written(tmp_path, "a", [scene], 0), written(tmp_path, "b", [scene], 1))
    text = compared(comparison([a, b]))
    assert not [line for line in text.splitlines() if line.startswith("# heading")]
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in tables} <= {4, 6}


def test_scenes_compare_with_themselves(folder: Path, tmp_path: Path) -> None:
    scenes.rich(tmp_path)
    a, b = (
        side(n, reports.load(f / "cpu.jsonl").runs) for n, f in (("a", folder), ("b", tmp_path))
    )
    found = gate(comparison([a, b]))
    assert found.passes
    assert all(change.estimate.point == 0 for change in found.changes)


def test_memory_of_the_device_and_of_the_host_are_no_flip(tmp_path: Path) -> None:
    a, b = sides(
        written(tmp_path, "a", [replace(jit(), peak={"jit": 0.5})]),
        written(tmp_path, "b", [replace(jit(), peak={"jit": 2.0})], 1),
    )
    (flip,) = flips([a, b])
    assert flip.title == "peak device memory"
    (k,) = b.trials
    trial = b.trials[k].trial
    answer = trial.answer("jit")
    part = answer.part("memory")
    host = replace(part.finding, metric=replace(part.finding.metric, name="peak_host_memory_bytes"))
    others = tuple(p for p in answer.parts if p.dimension != "memory")
    mixed = replace(answer, parts=(*others, replace(part, finding=host)))
    b.trials[k] = replace(b.trials[k], trial=replace(trial, answers=[mixed]))
    assert flips([a, b]) == []
