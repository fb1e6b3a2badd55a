"""What the page on fleets says of a store that grows: in its form, and counted again."""

from tests.studies.fleet import HEADINGS, NAME, PAGE, asked_of_a_store, row
from tests.studies.tables import between


def test_a_row_has_seconds_and_decimal_bytes():
    found = {
        "runs": 10_000,
        "index_s": 16.2,
        "up_to_date_s": 0.31,
        "index_bytes": 251_400,
        "report_s": 7.04,
        "report_cpu_s": 4.7,
        "report_peak_bytes": 195_900_000,
        "page_bytes": 279_100,
    }
    assert row(found) == "| 10,000 | 16 | 0.31 | 251 | 7 | 4.7 | 196 | 279 |"


def test_the_page_has_the_table_and_what_shipping_asks_for():
    found = between(NAME).search(PAGE.read_text(encoding="utf-8"))
    assert found
    assert found[0].startswith(f"| {' | '.join(HEADINGS)} |\n")
    assert asked_of_a_store() in " ".join(found[0].split())
