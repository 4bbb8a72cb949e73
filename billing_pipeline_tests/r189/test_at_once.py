"""A file that is read once says exactly what it says when all its cells are seen first, or that it cannot."""

import os
import random
from collections.abc import Callable

import pytest

from billing_pipeline.config import Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189.at_once import ChargesAtOnce
from billing_pipeline.r189.reader import R189File
from billing_pipeline_tests.r189.charge_file import read, read_at_once, row, text_of

MANY = 60  # some 12 KB: three times what the first records are taken from
Row = dict[str, str]


def both(tmp_path, rows: list[Row], profile: Profile | None = None, encoding: str = "utf-8"):  # type: ignore[no-untyped-def]
    """(read twice, read once); the first is None where the file is refused."""
    content = text_of(rows).encode(encoding)
    path = tmp_path / "received"
    path.write_bytes(content)
    once = read_at_once(path, "0" * 64, profile)
    try:
        twice = read(tmp_path, content, profile)
    except RefusedFile:
        return None, once
    if once is not None:
        once.sha256 = twice.sha256
        for one in (*once.charges, *once.rejected):
            one["source_sha256"] = twice.sha256
    return twice, once


def test_an_ordinary_file_needs_one_reading(tmp_path):
    rows = [row(Invoice_number=f"INV-{number // 7}", Taxable_amount="20.00") for number in range(MANY)]
    twice, once = both(tmp_path, rows)
    assert once == twice
    assert len(once.charges) == MANY


def test_invoices_and_rows_are_those_of_the_whole_file(tmp_path):
    path = tmp_path / "received"
    rows = [row(Invoice_number=f" INV-{number // 7}", Tax_rate="x" if number % 9 else "20") for number in range(MANY)]
    path.write_text(text_of(rows) + "too;few\n")
    known = R189File(path, Profile(), name="x.csv")
    file = ChargesAtOnce(path, Profile(), name="x.csv", sha256=known.sha256, block_bytes=4096)
    assert file.rows == 0
    for _ in range(2):  # findings about two copies of an invoice read the rows again
        assert sum(batch.rows for batch in file.batches()) == MANY + 1
        assert (file.rows, file.invoices, file.profile) == (known.rows, known.invoices, known.profile)


@pytest.mark.parametrize(
    ("what", "late"),
    [
        ("another number style", {"Tax amount": "3,5"}),
        ("another date style", {"Invoice Date": "14/04/2024"}),
        ("another month style", {"Charge Month": "MAR-24"}),
        ("rates above one after fractions", {"Tax rate": "20"}),
    ],
)
def test_a_last_row_that_says_otherwise_is_not_read_by_the_first_rows_style(tmp_path, what, late):
    rate = "0.2" if "rates" in what else "20.5"
    rows = [row(Tax_rate=rate, Tax_amount="3.5") for _ in range(MANY)] + [row({"Tax rate": rate, **late})]
    _, once = both(tmp_path, rows)
    assert once is None, what


def test_junk_that_no_style_reads_is_a_rejected_row_and_no_reason_to_read_again(tmp_path):
    rows = [row(Tax_amount="3.5")] * MANY + [row(Tax_amount="n/a", Invoice_Date="soon", Charge_Month="later")]
    twice, once = both(tmp_path, rows)
    assert once == twice
    assert [one["column_name"] for one in once.rejected] == ["Invoice Date", "Charge Month", "Tax amount"]


def test_an_accent_in_the_last_row_still_says_that_the_encoding_was_detected(tmp_path):
    twice, once = both(tmp_path, [row({"Site address": ""}, Invoice_Contact="")] * MANY + [row(Site_name="Nîmes")])
    assert once == twice


def test_a_byte_that_is_not_utf8_in_the_last_row_sends_the_file_to_two_readings(tmp_path):
    rows = [row({"Site address": ""}, Invoice_Contact="")] * MANY + [row({"Site address": ""}, Site_name="Nîmes")]
    twice, once = both(tmp_path, rows, encoding="windows-1252")
    assert once is None
    assert twice.profile.encoding == "windows-1252"


CELLS: dict[str, Callable[[random.Random], str]] = {
    "Taxable amount": lambda chance: chance.choice(["20.00"] * 30 + ["20,00", "1,234", "20", "", "x", "(20.00)"]),
    "Pre-discount amount": lambda chance: chance.choice(["", "", "20.00"]),
    "Tax rate": lambda chance: chance.choice(["20"] * 20 + ["0.2", "0", "20%", ""]),
    "Exchange rate": lambda chance: chance.choice(["1"] * 20 + ["1.123456", "1.1234567890123", "1,5"]),
    "Invoice Date": lambda chance: chance.choice(["2024-04-14"] * 30 + ["20240414", "", "x"]),
    "Charge Month": lambda chance: chance.choice(["2024-03"] * 30 + ["202403", ""]),
    "Invoice number": lambda chance: f"INV-{chance.randrange(9)}",
}


def test_one_reading_agrees_with_two_or_says_that_it_cannot(tmp_path):
    borne_out = 0
    for seed in range(2000 if os.environ.get("BILLING_TEST_SWEEP") == "full" else 60):
        chance = random.Random(seed)
        odd = set(chance.sample(list(CELLS), chance.randrange(len(CELLS))))
        rows = [
            row({header: cell(chance) for header, cell in CELLS.items() if header in odd})
            for _ in range(chance.randrange(1, 2 * MANY))
        ]
        twice, once = both(tmp_path, rows)
        assert once is None or once == twice, seed
        borne_out += once is not None
    assert borne_out > 10, "nothing was compared"
