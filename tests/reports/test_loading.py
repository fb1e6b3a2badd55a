"""Runs are found, read, judged and laid out in tables; bad files do not stop good ones."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from keras_ab import reports
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports import tables
from keras_ab.reports.judged import multiplicity
from keras_ab.reports.machines import short
from tests.reports import scenes, simulated


@pytest.fixture(scope="module")
def runs(folder: Path) -> reports.Runs:
    return reports.load(folder)


def test_reads_files_folders_and_globs(folder: Path) -> None:
    ways = (folder, str(folder), [folder / "cpu.jsonl", folder / "gpu.jsonl"], f"{folder}/*.jsonl")
    names = [[run.header.run for run in reports.load(way).runs] for way in ways]
    assert names == [["2026-01-02T0304-cpu000", "2026-01-02T0304-gpu000"]] * 4


def test_columns_carry_units(runs: reports.Runs) -> None:
    assert tuple(runs.samples.columns) == tables.SAMPLES
    assert tuple(runs.trials.columns) == tables.TRIALS
    assert tuple(runs.claims.columns) == tables.CLAIMS
    assert tuple(runs.machines.columns) == tables.MACHINES


def test_samples_hold_every_measured_time(runs: reports.Runs) -> None:
    lines = [r for t in runs.runs[0].trials for rs in t.data.rounds.values() for r in rs]
    own = runs.samples[runs.samples.run == runs.runs[0].header.run]
    assert len(own) == sum(len(line.step_time_s) for line in lines)
    assert own.step_time_s.sum() == pytest.approx(
        sum(t for line in lines for t in line.step_time_s.values())
    )


def test_rounds_of_an_unfinished_block_are_kept_and_not_judged(runs: reports.Runs) -> None:
    trial = runs.runs[1].trials[1]
    own = runs.samples[(runs.samples.run == "2026-01-02T0304-gpu000")]
    own = own[own.trial == trial.data.declared.trial]
    assert (~own.block_finished).sum() == 4 * 4  # 4 rounds of 3 arms and the control
    assert trial.find("sparse_int32", "step_time_s").estimate.blocks == 3  # type: ignore[union-attr]


def test_samples_tell_the_hand_over_where_a_gpu_computed(runs: reports.Runs) -> None:
    on_gpu = runs.samples.run == "2026-01-02T0304-gpu000"
    told = runs.samples.hand_over_s / runs.samples.step_time_s
    assert told[~on_gpu].isna().all()
    assert told[on_gpu].round(9).eq(0.8).all()


def test_verdicts_are_those_that_were_simulated(runs: reports.Runs) -> None:
    table = runs.trials[runs.trials.run == "2026-01-02T0304-cpu000"]
    step = table[(table.metric == "step_time_s") | table.metric.isna()]
    found = {(row.experiment, row.arm): row.verdict for row in step.itertuples()}
    assert found["labels", "sparse_int32"] == "better"  # the last case's
    assert found["optimizers", "adafactor"] == "worse"
    assert found["jit", "jit_and_pad"] == "inconclusive"
    answers = {(row.experiment, row.arm): row.answer for row in step.itertuples()}
    assert answers["optimizers", "adafactor"] == "trade"
    assert found["recompute", "each"] == "invalid"
    assert found["accumulation", "accumulate_fused"] == "failed"
    assert found["mixed_precision", "float16"] == "not measured here"


def test_ratios_and_differences_stand_in_columns_of_their_own(runs: reports.Runs) -> None:
    table = runs.trials.dropna(subset="metric")
    accuracy = table.metric == "test_accuracy"
    assert table[accuracy].ratio.isna().all()
    assert table[~accuracy].difference.isna().all()
    assert (table.low <= table.ratio.fillna(table.difference)).all()
    assert (table.high >= table.ratio.fillna(table.difference)).all()


def test_claims_have_outcomes_and_reasons(runs: reports.Runs) -> None:
    outcomes = runs.claims.set_index("claim").outcome
    assert outcomes["jit.at-least-free"] == "undecided"
    assert outcomes["recompute.saves-memory"] == "not measured here"
    assert outcomes["optimizers.adafactor-faster"] == "refuted"
    assert "guard" in runs.claims.set_index("claim").reason["recompute.saves-memory"]


def test_holm_keeps_clear_verdicts_and_exact_sizes_cannot_err(runs: reports.Runs) -> None:
    many = multiplicity(runs.runs[0].trials, 0.95)
    assert many.expected_false == pytest.approx(0.05 * many.compared)
    assert all(f.verdict in (Verdict.BETTER, Verdict.WORSE) for f in many.verdicts)
    exact = [f for f in many.verdicts if f.metric.name == "label_bytes"]
    assert exact
    assert all(many.survives(f) for f in exact)


def test_a_bad_file_is_set_aside_with_its_reason(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "cpu.jsonl", tmp_path / "good.jsonl")
    (tmp_path / "bad.jsonl").write_text("not a run\n")
    runs = reports.load(tmp_path)
    assert len(runs.runs) == 1
    assert [bad.path.name for bad in runs.refused] == ["bad.jsonl"]
    assert "a file of another kind" in str(runs.refused[0].error)


def test_the_same_run_twice_is_counted_once(folder: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        shutil.copy(folder / "cpu.jsonl", tmp_path / name)
    runs = reports.load([tmp_path, tmp_path / "a.jsonl"])
    assert len(runs.runs) == 1
    assert "the same content" in str(runs.refused[0].error)


@pytest.mark.parametrize("paths", [[], "", "*.nothing", "missing.jsonl"])
def test_nothing_to_read_is_an_error_in_three_parts(
    paths: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordError) as caught:
        reports.load(paths)  # type: ignore[arg-type]
    assert caught.value.must
    assert caught.value.do


def test_only_bad_files_are_an_error_that_names_each(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("{}\n")
    with pytest.raises(RecordError, match=r"a\.jsonl.*b\.jsonl"):
        reports.load(tmp_path)


def with_plan(folder: Path, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Return a run file whose header has another plan, as only an editor could write it."""
    path = simulated.write(folder / "r.jsonl", simulated.header("r"), scenes.scenes()[:1])
    head, _, rest = path.read_text().partition("\n")
    record = json.loads(head)
    path.write_text(json.dumps(record | {"plan": changed(record["plan"])}) + "\n" + rest)
    return path


@pytest.mark.parametrize(
    "plan",
    [
        {"confidence": 2.0},
        {"confidence": None},
        {"min_blocks": "x"},
        {"min_blocks": "5"},
        {"max_blocks": 4},
        {"haste": 1},
    ],
)
def test_a_plan_that_cannot_be_judged_by_is_refused(plan: dict, tmp_path: Path) -> None:
    path = with_plan(tmp_path, lambda recorded: recorded | plan)
    with pytest.raises(RecordError, match="plan"):
        reports.load(path)


def test_a_claim_on_an_undeclared_metric_is_refused_by_line(tmp_path: Path) -> None:
    scene = scenes.scenes()[0]
    path = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene], seal=False)
    path.write_text(path.read_text().replace('"metric":"peak_device', '"metric":"another'))
    with pytest.raises(RecordError, match=r"line 2.*not declared"):
        reports.load(path)


def test_a_run_with_nothing_in_it_has_empty_tables(tmp_path: Path) -> None:
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [])
    runs = reports.load(tmp_path)
    assert runs.trials.empty
    assert runs.samples.empty
    assert len(runs.machines) == 1


def test_power_columns_are_shares_of_a_ratio(runs: reports.Runs) -> None:
    step = runs.trials[runs.trials.metric == "step_time_s"]
    assert step.margin.map(lambda x: math.isclose(x, 0.02)).all()
    assert (step.smallest_effect > step.floor).all()
    assert pd.api.types.is_numeric_dtype(step.blocks_to_settle)


@pytest.mark.parametrize("name", ["precision", "margin", "min_blocks", "confidence"])
def test_a_plan_that_lacks_what_verdicts_depend_on_is_refused(name: str, tmp_path: Path) -> None:
    path = with_plan(tmp_path, lambda plan: {k: v for k, v in plan.items() if k != name})
    with pytest.raises(RecordError, match=f"line 1: .*no {name}"):
        reports.load(path)


def test_runs_are_shown_in_a_line(folder: Path) -> None:
    runs = reports.load(folder)
    shown = repr(runs)
    assert shown.startswith("<2 runs with 9 trials from 2 machines")
    assert ".history" in shown
    assert len(shown) < 200


def test_an_empty_history_says_why(folder: Path) -> None:
    runs = reports.load(folder / "cpu.jsonl")
    with pytest.warns(UserWarning, match="no trial that one machine measured more than once"):
        assert runs.history.empty


def test_machines_are_called_by_what_tells_them_apart() -> None:
    names = ["Intel(R) Xeon(R) Processor, 2 cores", "AMD EPYC, 2 cores", "Intel(R) Core(TM) i7 CPU"]
    assert list(short(names[:2]).values()) == ["Intel Xeon", "AMD EPYC"]
    assert short(names[2:]) == {names[2]: "Intel Core i7"}
    assert short(["CPU, 2 cores", "CPU, 4 cores"]) == {
        "CPU, 2 cores": "2 cores",
        "CPU, 4 cores": "4 cores",
    }
    assert short(["CPU"]) == {"CPU": "CPU"}
