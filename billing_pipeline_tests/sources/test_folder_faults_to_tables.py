"""What can befall files in a drop folder, carried on to the tables: the same rows, said to be incomplete, or nothing replaced."""

import gzip
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from billing_pipeline.config import Operator, R189FilesSource
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sources.r189_files import R189Files
from billing_pipeline.steps.collect import collection_session
from billing_pipeline.steps.file_periods import period_of_file, stem_order
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.sources.books import (
    COMPLETE,
    FAILED,
    INCOMPLETE,
    MARCH,
    Book,
    Came,
    Server,
    anywhere,
    comparable,
)

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
NAME = "R189_AXIONE_202403.csv"


@cache
def reseller() -> Reseller:
    return generate_reseller(operators=["AXIONE"], scale=40)


@pytest.fixture(scope="module")
def evaluated(server: Server) -> tuple[Book, Came]:
    book = server.book("AXIONE")
    came = book.come_to_from_folder(reseller(), MARCH)
    assert came.kind == COMPLETE, came.why
    assert len(came.tables["invoice_lines"]) > 40
    return book, came


def _cut(inbox: Path, kept: float) -> None:
    """So much of the file, and the row at which that ends begun."""
    content = (inbox / NAME).read_bytes()
    at = int(len(content) * kept)
    (inbox / NAME).write_bytes(content[: content.index(b"\n", at) + 30])


def _half_written(inbox: Path) -> None:
    _cut(inbox, 0.5)


def _nearly_written(inbox: Path) -> None:
    """Less than a hundredth of the rows is rejected: the ratio alone would let the month pass."""
    header, *rows = (inbox / NAME).read_bytes().splitlines(keepends=True)
    whole = b"".join([header, *rows * 4])
    (inbox / NAME).write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 60])


def _half_of_the_header(inbox: Path) -> None:
    (inbox / NAME).write_bytes((inbox / NAME).read_bytes()[:200])


def _nothing_yet(inbox: Path) -> None:
    (inbox / NAME).write_bytes(b"")


def _gzip_cut(inbox: Path) -> None:
    packed = gzip.compress((inbox / NAME).read_bytes(), mtime=0)
    (inbox / NAME).unlink()
    (inbox / f"{NAME}.gz").write_bytes(packed[: len(packed) // 2])


def _gone(inbox: Path) -> None:
    (inbox / NAME).unlink()


def _folder_gone(inbox: Path) -> None:
    shutil.rmtree(inbox)


def _dangling_link(inbox: Path) -> None:
    (inbox / NAME).unlink()
    (inbox / NAME).symlink_to("/nowhere/at/all.csv")


def _disk_fails(inbox: Path) -> None:
    """A regular file to whoever asks; every read of it at 0 is an input/output error (proc(5), /proc/pid/mem)."""
    (inbox / NAME).unlink()
    (inbox / NAME).symlink_to("/proc/self/mem")


def _beside_a_temporary_file(inbox: Path) -> None:
    (inbox / f".{NAME}.part").write_bytes((inbox / NAME).read_bytes()[:500])


def _of_two_months_under_a_name_that_is_no_text(inbox: Path) -> None:
    """As a system delivers it whose names are Latin-1."""
    (inbox / os.fsdecode(b"f\xe9vrier_2024-02_2024-03.csv")).write_bytes((inbox / NAME).read_bytes())


@dataclass(frozen=True)
class Expected:
    spoil: Callable[[Path], None]
    kind: str
    why: str = ""


CASES = (
    Expected(_half_written, INCOMPLETE, f"{NAME} ends within row"),
    Expected(_nearly_written, INCOMPLETE, f"{NAME} ends within row"),
    Expected(_half_of_the_header, INCOMPLETE, NAME),
    Expected(_nothing_yet, INCOMPLETE, NAME),
    Expected(_gzip_cut, INCOMPLETE, f"{NAME}.gz"),
    Expected(_of_two_months_under_a_name_that_is_no_text, INCOMPLETE, "f\\udce9vrier_2024-02_2024-03.csv"),
    Expected(_gone, INCOMPLETE, "there is no file for 2024-03"),
    Expected(_dangling_link, INCOMPLETE, "there is no file for 2024-03"),
    Expected(_folder_gone, FAILED, "create the folder"),
    Expected(_disk_fails, FAILED, "cannot be read"),
    Expected(_beside_a_temporary_file, COMPLETE),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
@pytest.mark.parametrize("stood", [True, False], ids=["evaluated", "fresh"])
def test_a_spoilt_delivery_never_makes_a_wrong_table(server, evaluated, case, stood):
    before, right = evaluated
    book = before.copy() if stood else server.book("AXIONE")
    came = book.come_to_from_folder(reseller(), MARCH, spoil=case.spoil)
    assert (came.kind, case.why in came.why) == (case.kind, True), came.why
    _assert_nothing_wrong(came, right, stood=stood)
    assert tables.unlike_in_parquet(book.folder, came.tables) == {}
    server.drop(book)


def _assert_nothing_wrong(came: Came, right: Came, *, stood: bool) -> None:
    assert came.why.isprintable()
    ours, theirs = comparable(came.tables), comparable(right.tables)
    if came.kind == COMPLETE or (stood and came.kind == FAILED):
        assert tables.changed(theirs, ours) == {}
        return
    (summary,) = ours["reconciliation_summary"]
    assert anywhere(came.why).removeprefix("AXIONE 2024-03: ") in summary["state_detail"]
    if stood:
        assert set(tables.changed(theirs, ours)) == {"partition_loads", "reconciliation_summary"}
        assert summary["state"] == "EVALUATED"
        return
    assert summary["state"] == "NOT_EVALUATED"
    assert ours["reconciliation_items"] == ours["reconciliation_reasons"] == ours["invoice_reconciliation"] == []
    amounts = {row["source_row"]: row["total_ht"] for row in theirs["invoice_lines"]}
    rows = len(amounts) + len(theirs["rejected_rows"])
    for row in ours["invoice_lines"]:
        # In a file that repeats them, rows come again in the same order.
        assert row["total_ht"] == amounts.get((row["source_row"] - 1) % rows + 1)


def _period_of(inbox: Path, spoil: Callable[[Path], None]) -> Callable[[Path], Period]:
    """The period of a file, and something that happens to the file just after it was listed."""

    def period_of(path: Path) -> Period:
        period = period_of_file(path, _operator_profile())
        if path.name == NAME:
            spoil(inbox)
        return period

    return period_of


def _operator_profile():
    return Operator(code="AXIONE", name="Axione", source=R189FilesSource(type="r189_files", folder=Path("."))).profile


def _grows(inbox: Path) -> None:
    with (inbox / NAME).open("ab") as file:
        file.write((inbox / NAME).read_bytes().splitlines(keepends=True)[-1])


@pytest.mark.parametrize("stood", [True, False], ids=["evaluated", "fresh"])
@pytest.mark.parametrize(
    ("spoil", "kind", "why"),
    [(_gone, FAILED, "cannot be read: No such file"), (_grows, INCOMPLETE, "changed while it was read")],
)
def test_a_file_that_goes_or_grows_between_listing_and_reading_never_makes_a_wrong_table(
    server, evaluated, spoil, kind, why, stood
):
    before, right = evaluated
    book = before.copy() if stood else server.book("AXIONE")
    inbox = book.folder / "inbox" / "axione"
    source = R189Files(
        R189FilesSource(type="r189_files", folder=inbox), period_of=_period_of(inbox, spoil), stem_order=stem_order
    )
    with collection_session() as session:
        session.use("AXIONE", source)
        came = book.come_to_from_folder(reseller(), MARCH)
    assert (came.kind, why in came.why) == (kind, True), came.why
    if kind == FAILED or stood:
        _assert_nothing_wrong(came, right, stood=stood)
    again = book.come_to_from_folder(reseller(), MARCH)
    assert again.kind == COMPLETE, again.why
    assert tables.changed(comparable(right.tables), comparable(again.tables)) == {}
    server.drop(book)


@pytest.mark.parametrize("seed", range(40 if FULL else 2))
def test_a_file_cut_anywhere_is_whole_incomplete_or_refused(server, evaluated, seed):
    """At the end of a row nothing tells of the cut, but for a month that was whole before: that keeps what it had."""
    before, right = evaluated
    book = before.copy()
    kept = random.Random(f"cut/{seed}").uniform(0.01, 0.99)
    came = book.come_to_from_folder(reseller(), MARCH, spoil=lambda inbox: _cut(inbox, kept))
    assert came.kind == INCOMPLETE, came.why
    _assert_nothing_wrong(came, right, stood=True)
    server.drop(book)
