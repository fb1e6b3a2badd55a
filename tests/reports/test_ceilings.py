"""Utilisation and bandwidth by hand, the roofline, and what the page says of them."""

from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.records import Ceiling, Work
from keras_ab.bench.lab.record.run_file import RunWriter
from keras_ab.reports import ceilings
from keras_ab.reports.page import page
from tests.reports import simulated

STEP_S = 0.0065
"""The baseline's step time in a simulated scene."""


def ceiling(name: str, unit: str, rate: float) -> Ceiling:
    return Ceiling(name=name, unit=unit, work=rate, data_bytes=2**20, steps=1, samples_s=[1.0] * 11)


CEILINGS = [
    ceiling("timer_resolution", "s", 1.0),
    ceiling("host_copy", "B/s", 1e10),
    ceiling("cached_copy", "B/s", 5e10),
    ceiling("matmul_float32", "FLOP/s", 2e11),
    ceiling("matmul_bfloat16", "FLOP/s", 1e12),
    ceiling("matmul_tf32", "FLOP/s", 4e11),
]


def scene() -> simulated.Scene:
    arms = {"plain": 1.0, "mixed": 0.5, "fast": 0.1, "odd": 1.0, "silent": 1.0}
    found = simulated.Scene("amp", "Is it faster?", {"batch": 8}, arms, noise=0.001)

    def work(arm: str, moved: float | None, reason: str = "", **flop: float) -> Work:
        return Work(trial=found.name, arm=arm, flop=flop, least_moved_bytes=moved, reason=reason)

    found.extra = [
        work("plain", 1e6, float32=2e11 * STEP_S * 0.6),
        work("mixed", 1e6, float32=2e11 * STEP_S * 0.05, bfloat16=1e12 * STEP_S * 0.05),
        work("fast", 1e10 * STEP_S * 0.2, float32=1e6),
        work("odd", 1e6, float64=1e6),
        work("silent", None, "a loop around matrix products"),
    ]
    return found


def write(path: Path, ceilings: list[Ceiling], **environment: object) -> Path:
    head = simulated.header("r")
    head = head.model_copy(update={"environment": head.environment | environment})
    writer = RunWriter.create(path, head)
    for line in (*ceilings, *simulated.records(scene(), 1)):
        writer.write(line)
    writer.seal()
    return path


def found(path: Path) -> ceilings.Ceilings:
    (run,) = reports.load(path).runs
    result = ceilings.of_run(run, "ceilings1")
    assert result
    return result


def test_utilisation_and_traffic_by_hand(tmp_path: Path) -> None:
    plain, mixed, fast = found(write(tmp_path / "r.jsonl", CEILINGS)).places
    assert plain.utilisation == pytest.approx(0.6, rel=0.02)
    assert plain.traffic == pytest.approx(1e6 / 1e10 / STEP_S, rel=0.02)
    assert plain.rate == pytest.approx(0.6 * 2e11, rel=0.02)
    assert mixed.utilisation == pytest.approx((0.05 + 0.05) / 0.5, rel=0.02)
    assert fast.traffic == pytest.approx(2.0, rel=0.02)
    assert plain.says == "bound by products"
    assert "the time that its products need" in mixed.says
    assert "in a cache" in fast.says


def test_float32_is_held_against_tf32_where_that_is_on(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", CEILINGS, framework={"tf32": True})
    assert found(path).places[0].utilisation == pytest.approx(0.3, rel=0.02)


def test_work_that_is_counted_by_the_precision_used_is_held_against_just_that(
    tmp_path: Path,
) -> None:
    told = {"tf32": True, "float32_products": "tf32"}
    path = write(tmp_path / "r.jsonl", CEILINGS, framework=told)
    assert found(path).places[0].utilisation == pytest.approx(0.6, rel=0.02)


def test_an_arm_above_the_ceiling_of_its_products_is_called_wrong(tmp_path: Path) -> None:
    slow = [*CEILINGS, ceiling("matmul_float32", "FLOP/s", 1e11)]  # measured again: it counts
    (plain, *_) = found(write(tmp_path / "r.jsonl", slow)).places
    assert "one of the two is wrong" in plain.says


def test_an_arm_without_work_or_ceiling_is_left_out_with_the_reason(tmp_path: Path) -> None:
    result = found(write(tmp_path / "r.jsonl", CEILINGS))
    assert [place.arm for place in result.places] == ["plain", "mixed", "fast"]
    assert [place.is_baseline for place in result.places] == [True, False, False]
    assert result.silent == ["amp, silent: a loop around matrix products"]


def test_the_page_has_ceilings_roofline_and_shares(tmp_path: Path) -> None:
    html = page(reports.load(write(tmp_path / "r.jsonl", CEILINGS)))
    assert "How far from the ceilings" in html
    assert "copy in host memory" in html
    assert "10.0 GB/s [10.0 GB/s, 10.0 GB/s]" in html
    assert "Roofline; share of the products’ ceiling by number" in html
    assert "a loop around matrix products" in html


def test_a_run_without_ceilings_says_nothing_of_them(tmp_path: Path) -> None:
    html = page(reports.load(write(tmp_path / "r.jsonl", [])))
    assert "How far from the ceilings" not in html


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e300, 1.7e308])
def test_sizes_that_no_machine_has_do_no_harm(tmp_path: Path, size: float) -> None:
    wild = [line.model_copy(update={"work": size or 1e-300}) for line in CEILINGS]
    (run,) = reports.load(write(tmp_path / "r.jsonl", wild)).runs
    for trial in run.trials:
        trial.data.work["plain"] = Work(
            trial=trial.data.declared.trial,
            arm="plain",
            flop={"float32": size, "bfloat16": size},
            least_moved_bytes=size,
        )
    assert ceilings.of_run(run, "ceilings1")
