"""The notebook of the examples runs to its end, and shows tables and figures."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def shown() -> list[dict[str, Any]]:
    """Return what the last line of each cell of code shows, by its type."""
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(EXAMPLES / "reading-runs.ipynb", as_version=4)
    place = {"metadata": {"path": str(EXAMPLES)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=place).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds == {"execute_result"}  # nothing was written to stderr, nothing raised
    return [cell.outputs[-1].data for cell in cells]


def test_runs_are_a_short_table(shown: list[dict[str, Any]]) -> None:
    assert shown[0]["text/plain"].startswith("<1 run with ")
    assert "sqrt_segments" in shown[0]["text/html"]


def test_frames_hold_what_the_run_says(shown: list[dict[str, Any]]) -> None:
    recompute, outcomes, history = (shown[n]["text/html"] for n in (1, 2, 6))
    assert "sqrt_segments" in recompute
    assert "peak_device_memory_bytes" in recompute
    assert "refuted" in outcomes
    for name in ("quick-cpu-xeon-2-cores-earlier", "quick-cpu-xeon-2-cores"):
        with (EXAMPLES / f"{name}.jsonl").open(encoding="utf-8") as file:
            assert json.loads(file.readline())["run"] in history


def test_figures_are_pictures_of_some_size(shown: list[dict[str, Any]]) -> None:
    pictures = [base64.b64decode(data["image/png"]) for data in shown if "image/png" in data]
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.startswith(b"\x89PNG")
        width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
        assert width > 600
        assert height > 150
