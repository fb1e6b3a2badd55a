"""`pytest --benchmark` from the outside."""

import json
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.bench_files import experiments_in, load_module
from keras_ab.bench.lab.words.plan import Plan, option
from tests.bench.invocation import EXPERIMENTS, FAULTS, TINY, benchmark

ROOT = Path(__file__).parents[2]
EVERY_ARM = sum(
    len(experiment.arms) * sum(case.quick for case in experiment.cases)
    for file in Path(TINY).parent.glob("bench_*.py")
    for experiment in experiments_in(load_module(str(file))).values()
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    result = benchmark(folder, TINY, "--benchmark-json=out.json", "--junitxml=junit.xml")
    return folder, result, json.loads((folder / "out.json").read_text())


def test_it_ends_with_verdicts_and_the_path_of_a_report(tiny):
    folder, result, _ = tiny
    assert result.returncode == 0, result.stdout + result.stderr
    assert "tiny scale=1, against once at " in result.stdout
    (run,) = (folder / "runs").glob("*.jsonl")
    (page,) = (folder / "runs").glob("*.html")
    assert read_run(run).sealed
    assert str(page.name) in result.stdout
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


def test_it_shows_progress_block_by_block(tiny):
    _, result, _ = tiny
    assert "starting plain" in result.stdout
    assert result.stdout.count("  block ") >= 10


def test_each_arm_is_one_entry_of_pytest_benchmark(tiny):
    _, _, entries = tiny
    names = [entry["name"] for entry in entries["benchmarks"]]
    assert names == [f"tiny[scale:{s}-{arm}]" for s in (1, 2) for arm in ("once", "twice")]
    assert {entry["group"] for entry in entries["benchmarks"]} == {"tiny[scale:1]", "tiny[scale:2]"}


def test_the_replayed_durations_are_the_recorded_ones(tiny):
    folder, _, entries = tiny
    (path,) = (folder / "runs").glob("*.jsonl")
    recorded = [
        line.step_time_s["twice"]
        for line in read_run(path).records
        if line.kind == "round" and line.trial == "tiny[scale:1]"
    ]
    replayed = entries["benchmarks"][1]["stats"]["data"]
    assert replayed == pytest.approx(recorded, rel=1e-6)


def test_extra_info_carries_ratio_interval_and_verdict(tiny):
    _, _, entries = tiny
    info = entries["benchmarks"][1]["extra_info"]
    step = info["step_time_s"]
    assert step["interval"][0] < step["ratio"] < step["interval"][1]
    assert step["verdict"] in ("worse", "inconclusive")
    assert info["weights_bytes"]["ratio"] == pytest.approx(2)
    assert entries["benchmarks"][0]["extra_info"]["role"] == "baseline"


def test_pytest_benchmark_says_where_it_wrote_and_shows_no_table(tiny):
    _, result, _ = tiny
    assert "Wrote benchmark data in" in result.stderr
    assert "Outliers:" not in result.stdout
    assert "Ratios to the trial's baseline" in result.stdout


def test_the_file_for_junit_carries_the_verdicts(tiny):
    folder, _, entries = tiny
    written = ElementTree.parse(folder / "junit.xml")  # noqa: S314 - by pytest
    properties = written.iter("property")
    found = {each.get("name"): each.get("value") for each in properties}
    step = entries["benchmarks"][1]["extra_info"]["step_time_s"]
    assert found["tiny[scale:1]/twice/step_time_s"].endswith(step["verdict"])
    assert found["tiny[scale:1]/twice/weights_bytes"] == "2.00× exactly worse"


@pytest.mark.skipif(not find_spec("pygal"), reason="pygal is not installed")
def test_histograms_are_drawn_of_the_recorded_durations(tmp_path):
    drawn = benchmark(tmp_path, TINY, "-k", "scale:1", "--benchmark-histogram=drawn")
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    (picture,) = tmp_path.glob("drawn*.svg")
    assert "Generated histogram" in drawn.stderr
    assert "<svg" in picture.read_text()


@pytest.mark.skipif(bool(find_spec("pygal")), reason="pygal is installed")
def test_histograms_that_cannot_be_drawn_are_refused_before_anything_is_measured(tmp_path):
    refused = benchmark(tmp_path, TINY, "--benchmark-histogram")
    assert refused.returncode == 4
    assert "pip install 'pytest-benchmark[histogram]'" in refused.stderr


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ([TINY, "-k", "scale:2"], 2),
        ([TINY, "-k", "twice"], 2),
        ([f"{TINY}::tiny[scale:1-once]"], 1),
        ([str(Path(TINY).parent)], EVERY_ARM),
    ],
)
def test_selection_works_as_in_pytest(tmp_path, selection, expected):
    result = benchmark(tmp_path, "--collect-only", "-q", *selection)
    assert result.returncode == 0, result.stdout
    assert sum("::" in line for line in result.stdout.splitlines()) == expected


def test_full_adds_the_large_cases(tmp_path):
    result = benchmark(tmp_path, "--collect-only", "-q", "--ab-cases", "full", TINY)
    assert "tiny[scale:50-once]" in result.stdout


def test_without_paths_it_collects_bench_and_nothing_else():
    result = benchmark(ROOT, "--collect-only", "-q")
    collected = [line for line in result.stdout.splitlines() if "::" in line]
    assert {line.split("::")[0] for line in collected} >= {
        "bench/bench_labels.py",
        "bench/bench_optimizers.py",
        "bench/bench_recompute.py",
    }
    assert all(line.startswith("bench/bench_") for line in collected)


def test_faults_are_red_and_the_rest_is_green(tmp_path):
    result = benchmark(tmp_path, FAULTS)
    assert result.returncode == 1
    # green: good and fine of faults; skipped: the absent arm; all else is red
    assert "12 failed, 2 passed, 1 skipped" in result.stdout
    assert "killed during build: the process was killed by SIGKILL" in result.stdout
    assert "guard broken: the same answer" in result.stdout
    assert "ValueError: this arm cannot be built" in result.stdout


def test_a_treatments_failure_is_not_its_baselines(tmp_path):
    result = benchmark(tmp_path, str(EXPERIMENTS / "bench_treatments_fail.py"))
    assert "1 failed, 1 skipped" in result.stdout
    assert (
        "no round was measured"
        in benchmark(tmp_path, str(EXPERIMENTS / "bench_treatments_fail.py"), "-rs").stdout
    )
    assert "Must have positive int" not in result.stdout


def test_two_files_may_not_have_an_experiment_of_one_name(tmp_path):
    first, second = tmp_path / "bench_first.py", tmp_path / "bench_second.py"
    for file in (first, second):
        file.write_text(Path(TINY).read_text())
    result = benchmark(tmp_path, "--collect-only", "-q", str(tmp_path))
    assert result.returncode == 2
    assert f"'tiny' in {first} and in {second}" in result.stdout
    assert benchmark(tmp_path, "--collect-only", "-q", str(second)).returncode == 0


def test_a_forkserver_that_is_killed_is_begun_anew_and_that_is_in_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_AB_TEST_DEED", str(tmp_path / "done"))
    benchmark(tmp_path, str(EXPERIMENTS / "bench_parricide.py"), "-k", "kills_once")
    run = the_run(tmp_path)
    assert run.sealed
    assert all(data.end for data in group(run.records).values())
    assert "'plain' was killed by SIGKILL" in run.notices[0]
    assert run.notices[0].endswith("it was begun anew")


def test_what_kills_its_forkserver_again_and_again_fails_in_its_own_trial_alone(tmp_path):
    killing = str(EXPERIMENTS / "bench_parricide.py")
    result = benchmark(tmp_path, killing, TINY, "-k", "kills_always or scale")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    run = the_run(tmp_path)
    assert run.sealed
    trials = group(run.records)
    for number in (1, 2):
        killed = trials[f"kills_always[n:{number}]"]
        assert killed.end.reason == "failed"
        assert killed.failures
        assert all("forkserver" in why.message for why in killed.failures)
        assert len(trials[f"tiny[scale:{number}]"].blocks) == 5


def the_run(folder):
    (path,) = (folder / "runs").glob("*.jsonl")
    return read_run(path)


def test_x_stops_at_the_first_fault_and_leaves_the_run_open(tmp_path):
    result = benchmark(tmp_path, "-x", FAULTS, TINY)
    assert result.returncode == 1
    assert "1 failed" in result.stdout
    (run,) = (tmp_path / "runs").glob("*.jsonl")
    assert not read_run(run).sealed
    assert "--ab-resume" in result.stdout


def test_every_field_of_the_plan_is_an_option(tmp_path):
    asked = Plan(0.2, 0.3, 2, 3, 4, 0.001, 0.1, 5, 0.9, ceilings=False, profile=False)
    told = [str(x) for f in fields(Plan)[:9] for x in (option(f.name), getattr(asked, f.name))]
    assert benchmark(tmp_path, TINY, "-k", "scale:1", *told).returncode == 0
    (run,) = (tmp_path / "runs").glob("*.jsonl")
    assert read_run(run).header.plan == asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ab-precision", "0"], "precision is between 0 and 1"),
        (["--ab-budget", "-5"], "the budget is positive"),
        (["--ab-min-blocks", "1"], "min_blocks is at least 2"),
        (["--ab-backend", "theano"], "received: 'theano'"),
        (["--ab-runs", f"{TINY}/runs"], "choose another with --ab-runs"),
        (["--ab-resume"], "there is a run to continue"),
        (["--ab-resume", "bench"], "write --ab-resume=FILE.jsonl"),
        (["-n", "2"], "leave -n out"),
    ],
)
def test_impossible_options_are_refused_before_anything_runs(tmp_path, arguments, message):
    result = benchmark(tmp_path, TINY, *arguments)
    assert result.returncode == 4
    assert message in result.stderr + result.stdout
    assert not list(tmp_path.glob("runs/*"))


def test_a_bench_file_without_an_experiment_says_so(tmp_path):
    (tmp_path / "bench_empty.py").touch()
    result = benchmark(tmp_path, "bench_empty.py")
    assert result.returncode == 2
    assert "declares an Experiment at module level" in result.stdout


def test_a_new_experiment_takes_one_file(tmp_path):
    source = Path(TINY).read_text().replace('name="tiny"', 'name="my_own"')
    (tmp_path / "bench_my_own.py").write_text(source)
    result = benchmark(tmp_path, "bench_my_own.py", "-k", "scale:1")
    assert result.returncode == 0, result.stdout
    assert "my_own, against once at " in result.stdout


def test_the_experiment_that_contributing_shows_runs(tmp_path):
    """Its one file, in a folder of its own, on TensorFlow, with few blocks."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    file = page.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "bench_my_xla.py").write_text(file)
    few = ("--ab-backend", "tensorflow", "--ab-min-blocks", "2", "--ab-rounds", "2")
    result = benchmark(tmp_path, "bench_my_xla.py", *few)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
    assert (
        ": “XLA speeds up training.”\n      my_xla.faster (xla: step time at most" in result.stdout
    )
    assert "tf.xla.experimental.jit_scope, eagerly: " in result.stdout


def test_runs_can_be_saved_and_compared_with_pytest_benchmark(tmp_path):
    first = benchmark(tmp_path, TINY, "-k", "scale:1", "--benchmark-save=first")
    assert "Saved benchmark data in" in first.stderr
    second = benchmark(tmp_path, TINY, "-k", "scale:1", "--benchmark-compare=0001")
    assert first.returncode == second.returncode == 0, second.stdout + second.stderr
    assert "(0001_first)" in second.stdout
