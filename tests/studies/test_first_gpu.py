"""The script for the day on which a GPU is there: its steps name what there is, and end."""

from tests.studies.first_gpu import ROOT, Step, carry_out, steps


def test_every_step_has_a_name_of_its_own_and_names_tests_that_there_are(tmp_path):
    found = list(steps(tmp_path))
    assert len({step.name for step in found}) == len(found)
    tests = [each for step in found for each in step.arguments if each.startswith("tests/")]
    assert tests
    for test in tests:
        assert (ROOT / test).is_file()


def step(program):
    return Step("one", "Does it end?", 1, ("-c", program), {"ANSWER": "42"})


def test_how_a_step_ended_is_told_and_what_it_said_is_kept(tmp_path):
    said = "import os, sys; print(os.environ['ANSWER']); sys.exit({})"
    assert carry_out(step(said.format(0)), tmp_path, 60) == "well"
    assert (tmp_path / "one.log").read_text() == "42\n"
    assert carry_out(step(said.format(5)), tmp_path, 60) == "nothing to run"
    assert carry_out(step(said.format(3)), tmp_path, 60) == "exit status 3"


def test_a_step_that_takes_too_long_is_cut_off(tmp_path):
    assert carry_out(step("import signal; signal.pause()"), tmp_path, 0.1) == "cut off"
