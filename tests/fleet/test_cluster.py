"""A fleet on Ray: four nodes of two kinds on this machine, and a store as S3 speaks it."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from keras_ab.bench.lab.record.trial_data import group
from tests.bench.invocation import FAST, TINY, benchmark
from tests.fleet.on_ray import Cluster, begun, fleet, runs_in, s3_environment
from tests.studies.fleet_alike import BENCH as BOTH_WAYS

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ray", "moto", "s3fs"))),
    reason="needs ray, moto and s3fs",
)

NODES = {"a1": "small", "a2": "small", "b1": "large", "b2": "large"}
TRIALS = ["tiny[scale:1]", "tiny[scale:2]"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, s3_server):
    """Return the cluster of these tests; its nodes find the store's server in their environment."""
    there = Cluster(NODES, tmp_path_factory.mktemp("nodes"), **s3_environment(s3_server))
    yield there
    there.close()


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(TINY, folder)
    return folder


def measured(folder, cluster, url, *options, check=True):
    where = ("--address", cluster.address, "--runs", url, "--no-doctor", *options)
    return fleet(folder, "run", *where, "--", "bench_tiny.py", *FAST, check=check)


def test_one_node_of_each_kind_measures_all(cluster, project, s3):
    said = measured(project, cluster, f"{s3}/team").stdout
    runs = runs_in(f"{s3}/team")
    assert sorted(run.header.node.kind for run in runs) == ["large", "small"]
    assert all(run.sealed and list(group(run.records)) == TRIALS for run in runs)
    assert "trial 2 of 2" in said
    assert "2 of 2 units complete" in said
    (page,) = project.glob("fleet-*.html")
    assert "what follows speaks of this node alone" in page.read_text()
    assert "secret-of-the-test" not in page.read_text()


def test_repeated_a_kind_has_nodes_and_a_spread(cluster, project, s3):
    measured(project, cluster, f"{s3}/team", "--repeat", "2", "--on", "kind=small")
    runs = runs_in(f"{s3}/team")
    assert sorted(run.header.node.name for run in runs) == ["a1", "a2"]
    (page,) = project.glob("fleet-*.html")
    assert "2 nodes: a1, a2." in page.read_text()


def test_shared_every_trial_is_measured_once_a_kind(cluster, project, s3):
    measured(project, cluster, f"{s3}/team", "--shard")
    by_kind = {"small": [], "large": []}
    for run in runs_in(f"{s3}/team"):
        assert run.sealed
        by_kind[run.header.node.kind] += group(run.records)
    assert {kind: sorted(names) for kind, names in by_kind.items()} == {
        "small": TRIALS,
        "large": TRIALS,
    }


def test_threads_processors_and_devices_are_as_without_ray(cluster, project, s3):
    measured(project, cluster, f"{s3}/team", "--on", "node=a1")
    (run,) = runs_in(f"{s3}/team")
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    own = {name: os.environ[name] for name in names if name in os.environ}
    variables = run.header.environment["variables"]
    assert {name: variables[name] for name in names if name in variables} == own
    assert not [name for name in variables if name.startswith("RAY_")]
    assert run.header.node.cores == sorted(os.sched_getaffinity(0))
    assert run.header.machine["cores_usable"] == len(os.sched_getaffinity(0))


def notes(folder):
    """Return what the workers of a run in a folder noted, each thing once."""
    (run,) = runs_in(folder)
    blocks = [record for record in run.records if record.kind == "block"]
    return {str(note) for block in blocks for note in block.notes.values()}


def test_inside_workers_threads_processors_and_devices_are_as_without_ray(cluster, tmp_path):
    project = Path(shutil.copy(BOTH_WAYS, tmp_path)).parent
    where = ("--address", cluster.address, "--runs", tmp_path / "fleet", "--on", "node=a1")
    fleet(project, "run", *where, "--no-doctor", "--", BOTH_WAYS.name, *FAST)
    plain = benchmark(project, BOTH_WAYS.name)
    assert plain.returncode == 0, plain.stdout
    (noted,) = notes(tmp_path / "fleet")
    assert {noted} == notes(tmp_path / "runs")
    assert "'variables of Ray': '0'" in noted


def test_nodes_say_what_they_are_and_what_the_doctor_says(cluster, tmp_path):
    where = ("--address", cluster.address, "--backend", "plain", "--on", "node=a1")
    said = fleet(tmp_path, "nodes", *where).stdout
    assert "a1 (small):" in said
    assert "noise floor" in said
    assert "a1: fit" in said


def test_a_node_that_is_killed_midway_and_comes_back_goes_on(cluster, project, s3):
    where = ("--address", cluster.address, "--runs", f"{s3}/team", "--no-doctor", "--on", "node=b2")
    asked = ("run", *where, "--", "bench_tiny.py", *FAST, "--ab-sample-time", "0.05")
    driver = begun(project, *asked)
    said = ""
    for line in driver.stdout:
        said += line
        if "block  2" in line:
            break
    cluster.do("kill b2")
    said += driver.communicate()[0]
    assert driver.returncode == 1, said
    assert "keras-ab fleet resume" in said
    (cut_off,) = runs_in(f"{s3}/team")
    assert not cut_off.sealed
    cluster.do("add b2 large")
    fleet(project, "resume", *where)
    (run,) = runs_in(f"{s3}/team")
    assert run.sealed
    assert run.records[: len(cut_off.records)] == cut_off.records
    status = fleet(project, "status", "--runs", f"{s3}/team").stdout
    assert "1 of 1 unit complete" in status


REFUSALS = {
    "labels that fit no node": (("--on", "kind=h100"), {}, "has the labels that are asked for"),
    "more repeats than nodes": (("--repeat", "3"), {}, "there are 2 of"),
    "a bucket that is not there": (("--runs", "s3://no-such-bucket/x"), {}, "can be written to"),
    "a wrong token": ((), {"RAY_AUTH_TOKEN": "f" * 64}, "takes the token"),
}


@pytest.mark.parametrize("case", list(REFUSALS))
def test_bad_input_is_refused_in_three_parts(cluster, project, s3, case):
    options, more, message = REFUSALS[case]
    where = ("--address", cluster.address, "--runs", f"{s3}/team", "--no-doctor", *options)
    done = fleet(project, "run", *where, "--", "bench_tiny.py", *FAST, check=False, **more)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "what to do: " in done.stderr
    assert "Traceback" not in done.stderr
    assert runs_in(f"{s3}/team") == []


@pytest.mark.parametrize(
    ("address", "more", "message"),
    [
        ("127.0.0.1:1", {}, "a Ray cluster answers at the address"),
        ("nowhere", {}, "a Ray cluster answers at the address"),
        ("127.0.0.1:1", {"RAY_AUTH_TOKEN": "", "HOME": "/nonexistent"}, "cluster's token"),
    ],
)
def test_an_address_where_nothing_answers_is_refused_at_once(project, address, more, message):
    done = fleet(project, "nodes", "--address", address, check=False, **more)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_address_this_machine_alone_measures(project):
    said = fleet(project, "run", "--no-doctor", "--", "bench_tiny.py", *FAST).stdout
    assert "1 of 1 unit complete" in said
    (run,) = runs_in(project / "runs")
    assert run.sealed
