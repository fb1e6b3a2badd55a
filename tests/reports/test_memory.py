"""Curves of memory, as the page shows them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from keras_ab import reports
from keras_ab.bench.lab.record.records import MemoryCurve
from keras_ab.reports import memory
from keras_ab.reports.page import page
from tests.reports import simulated


def curve(trial: str, arm: str, device: list[int] | None) -> MemoryCurve:
    host = [2**20, 2**22, 2**20]
    return MemoryCurve(
        trial=trial, arm=arm, steps=2, at_s=[0.0, 0.1, 0.2], host_bytes=host, device_bytes=device
    )


def write(path: Path, device: dict[str, list[int] | None]) -> Path:
    arms = dict.fromkeys(device, 1.0)
    scene = simulated.Scene("recompute", "Does it save memory?", {"depth": 4}, arms)
    scene.extra = [curve(scene.name, arm, used) for arm, used in device.items()]
    return simulated.write(path, simulated.header("r"), [scene])


def test_every_arm_has_a_panel_and_its_peak(tmp_path: Path) -> None:
    used = {"keep": [0, 64 * 2**20, 0], "each": [0, 16 * 2**20, 8 * 2**20]}
    html = page(reports.load(write(tmp_path / "r.jsonl", used)))
    assert "Memory over a step" in html
    assert "Memory over two steps. keep: at most 64.0 MiB; each: at most 16.0 MiB" in html


def test_where_an_arm_does_not_tell_of_the_device_all_show_the_host(tmp_path: Path) -> None:
    runs = reports.load(write(tmp_path / "r.jsonl", {"a": [1, 2, 3], "b": None}))
    shown = memory.curves(runs.runs[0].trials[0])
    assert shown
    assert shown.where == "host"
    assert shown.peaks == [("a", "4.00 MiB"), ("b", "4.00 MiB")]


def test_a_curve_has_one_value_for_each_moment() -> None:
    with pytest.raises(ValidationError, match="one value for each moment"):
        curve("t", "a", [1, 2])
