"""What the documentation says is caught is caught, and what it says is not is not."""

import shutil
from pathlib import Path

import pytest

from tests.studies.detection import TRIES, scenery, tables, written
from tests.studies.forgeries import PAGES, RUNS, SENTENCES

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen")
COMMITTED = {"sentences": SENTENCES, "pages": PAGES, "runs": RUNS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Forge everything once; the study does so more often."""
    return tables(scenery(Path(tmp_path_factory.mktemp("detection"))), tries=1)


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_table_is_of_every_forgery(name: str) -> None:
    assert [row for row, _ in written(name)] == list(COMMITTED[name])


@pytest.mark.parametrize("name", COMMITTED)
def test_once_is_as_often_as_the_table_says(made: dict, name: str) -> None:
    settled = {f"0 of {TRIES}": "0 of 1", f"{TRIES} of {TRIES}": "1 of 1"}
    for (row, cells), (_, now) in zip(written(name), made[name], strict=True):
        expected = [settled.get(cell, again) for cell, again in zip(cells, now, strict=True)]
        assert now == expected, row
