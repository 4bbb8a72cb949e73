"""Files cut short or altered on the way, through the whole load: every row is loaded or rejected, or the file refused."""

import random
from collections.abc import Callable
from decimal import Decimal

import pytest

from billing_pipeline_tests.integration.test_loading_order import (
    Loading,
    loading,
    loading_server,
    new_loading,
    of_month,
    pytestmark,
)
from billing_pipeline_tests.r189.charge_file import text_of

__all__ = ["loading", "loading_server", "new_loading", "pytestmark"]

ROWS = [
    of_month("2024-03", f"I-{number}", f"{number}.50", Site_name='Le "Chêne"; bât. 3\nétage 2', Site_City="Nîmes")
    for number in range(1, 21)
]
CONTENT = text_of(ROWS).encode()


def balanced(loading: Loading) -> int:
    """Load what lies there; how many rows were loaded. Rows read = loaded + rejected, and the tables say the same.

    -1 for a refused file, and for a cut one after a whole one, which both leave what an earlier one brought.
    """
    outcome = loading.run("2024-03")
    if outcome.counts.files == 0:
        assert "R189_202403.csv" in (outcome.detail or "")
        return -1
    if not outcome.replaced and outcome.gaps:
        assert "ends within row" in (outcome.detail or "")
        return -1
    lines, rejected = loading.rows("invoice_lines"), loading.rows("rejected_rows")
    rows = {one["source_row"] for one in lines}, {one["source_row"] for one in rejected}
    assert not rows[0] & rows[1]
    assert (len(rows[0]), len(rows[1])) == (len(lines), outcome.counts.rejected)
    assert rows[0] | rows[1] == set(range(1, outcome.counts.read + 1))
    assert sum(one["amount_ht"] for one in loading.rows("line_allocations")) == sum(one["total_ht"] for one in lines)
    return len(lines)


@pytest.fixture
def lenient(new_loading: Callable[[str], Loading]) -> Loading:
    """Rejects any number of rows without calling the month incomplete, so that every readable file is loaded."""
    return new_loading("1")


def test_a_file_cut_anywhere_loses_no_row_in_silence(lenient: Loading) -> None:
    header = CONTENT.index(b"\n")
    cuts = [0, header // 2, *range(header + 40, len(CONTENT), len(CONTENT) // 12), len(CONTENT) - 1]
    loaded = []
    for cut in cuts:
        lenient.drop("R189_202403.csv", CONTENT[:cut])
        loaded.append(balanced(lenient))
    assert loaded == sorted(loaded)
    assert loaded[0] == -1
    assert loaded[-1] == len(ROWS)


def test_a_file_that_ends_within_a_row_is_incomplete_however_few_rows_that_rejects(lenient: Loading) -> None:
    lenient.drop("R189_202403.csv", CONTENT[:-60])
    outcome = lenient.run("2024-03")
    assert (outcome.counts.read, outcome.counts.rejected) == (20, 1)
    assert outcome.gaps == (
        "R189_202403.csv ends within row 20: it was cut short, or is still being written; have it delivered whole",
    )
    assert lenient.state("2024-03") == ("incomplete", None)


@pytest.mark.parametrize("kept", [CONTENT[: CONTENT.index(b"\n")], CONTENT[: CONTENT.index(b"\n") + 1], CONTENT[:-1]])
def test_a_file_without_its_last_line_end_is_whole(lenient: Loading, kept: bytes) -> None:
    lenient.drop("R189_202403.csv", kept)
    assert lenient.run("2024-03").complete
    assert balanced(lenient) in (0, len(ROWS))


@pytest.mark.parametrize("seed", range(4))
def test_altered_bytes_end_in_rows_loaded_rejected_or_a_refused_file(lenient: Loading, seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(4):
        data = bytearray(CONTENT)
        for _ in range(generator.choice((1, 5, 40))):
            at = generator.randrange(len(data))
            kind = generator.random()
            if kind < 0.4:
                data[at] = generator.choice(b'";\r\n\0,.-0 \xe9\xc3')
            elif kind < 0.7:
                del data[at : at + generator.randrange(1, 30)]
            else:
                data[at:at] = data[at : at + generator.randrange(1, 200)]
        lenient.drop("R189_202403.csv", bytes(data))
        balanced(lenient)


def test_a_gzip_cut_short_is_refused_by_name_and_loads_nothing(loading: Loading) -> None:
    loading.drop("R189_202403.csv.gz", CONTENT)
    path = loading.inbox / "R189_202403.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    outcome = loading.run("2024-03")
    assert (outcome.complete, outcome.counts.files) == (False, 0)
    assert "R189_202403.csv.gz: is cut short" in (outcome.detail or "")
    assert loading.rows("invoice_lines") == []


def test_a_total_beyond_twelve_digits_of_many_lines_is_loaded_without_a_total(loading: Loading) -> None:
    huge = {"Pre-discount amount": "", "Discount amount": "", "Monthly price": ""}
    loading.drop("R189_202403.csv", [{**of_month("2024-03", "A", "999999999999.99"), **huge} for _ in range(2)])
    assert loading.run("2024-03").complete
    (invoice,) = loading.rows("invoices")
    assert (invoice["total_ht"], invoice["line_count"]) == (None, 2)
    assert sum(one["total_ht"] for one in loading.rows("invoice_lines")) == Decimal("1999999999999.98")
