"""Every fault of the sandbox carried on to the tables: the same rows, a month said to be incomplete, or nothing replaced.

What each fault must come to is written down per source. A month without a verdict and one that has been evaluated before
meet each fault; the latter may come to something else, since what was once there must still be there. A whole month
takes 3 s of processor time, most of it to translate the verdicts to SQL, so that the faults which are over after a retry
meet the evaluated month by default, and an empty one only with BILLING_TEST_SWEEP=full.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from billing_pipeline.sandbox.faults import FAULTS
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.sources.books import COMPLETE, FAILED, INCOMPLETE, MARCH
from billing_pipeline_tests.sources.came_right import (
    NETWO,
    OPINION,
    ORANGE,
    assert_evaluated_month_stands,
    assert_no_wrong_table,
    assert_same_rows,
)
from billing_pipeline_tests.sources.shelf import reseller

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"


@dataclass(frozen=True)
class Expected:
    """What a fault comes to for a month without verdict, and for an evaluated one where that is something else.

    `why` stands in the reason. `never`: the source asks for nothing that this fault happens to.
    """

    kind: str = COMPLETE
    why: str = ""
    evaluated: str | None = None
    never: bool = False


PASSES, NEVER = Expected(), Expected(never=True)
EITHER: Mapping[str, Expected] = {
    **dict.fromkeys(
        (
            "rate_limit_seconds", "rate_limit_date", "server_error_burst", "reset", "answer_lost", "truncated_body",
            "truncated_without_length", "gzip_cut", "drip", "silence", "malformed_json", "html_with_200",
            "wrong_content_type", "repeated_ids", "unknown_fields", "answer_withheld", "error_after_effect",
        ),
        PASSES,
    ),
    "redirect": Expected(FAILED, "HTTP 302"),
    "enums_as_numbers": NEVER,
    # Lists of several pages are large_books' business.
    "item_inserted_while_paging": NEVER,
    "item_deleted_while_paging": NEVER,
}  # fmt: skip
EXPECTED: Mapping[str, Mapping[str, Expected]] = {
    NETWO: {
        **EITHER,
        "token_expires": NEVER,
        "token_revoked": NEVER,
        "oversized_report": NEVER,
        "total_promises_more": Expected(INCOMPLETE, "the list of invoices declares 3, 2 arrived"),
        "line_count_disagrees": Expected(INCOMPLETE, "declares 52 lines, 51 arrived"),
        "numbers_as_strings": Expected(INCOMPLETE, "'lineCount' is not a count"),
        "nulls": Expected(INCOMPLETE, "rows were rejected"),
        # Ids are data, so the month is complete under them; one that was evaluated misses the invoices it had.
        "hostile_ids": Expected(COMPLETE, "no longer offered", evaluated=INCOMPLETE),
        "missing_required_field": Expected(INCOMPLETE, ""),
    },
    ORANGE: {
        **EITHER,
        "token_expires": PASSES,
        "token_revoked": PASSES,
        "oversized_report": Expected(INCOMPLETE, "is not served by the API (HTTP 413)"),
        "total_promises_more": Expected(INCOMPLETE, "X-Total-Count declares 5, 4 arrived"),
        "line_count_disagrees": NEVER,
        "numbers_as_strings": PASSES,
        "nulls": Expected(INCOMPLETE, ""),
        "hostile_ids": Expected(INCOMPLETE, "no R189 row has the number of bill"),
        "missing_required_field": Expected(INCOMPLETE, ""),
    },
}
# Of the faults that pass, those that each other layer deals with: a retry, a cut body, a page read anew, other bytes.
FRESH = ("server_error_burst", "truncated_without_length", "repeated_ids", "unknown_fields")
CASES = [(source, fault) for source, expected in EXPECTED.items() for fault in expected]
FRESH_CASES = [
    (source, fault)
    for source, fault in CASES
    if not EXPECTED[source][fault].never and (FULL or EXPECTED[source][fault] is not PASSES or fault in FRESH)
]


def test_every_fault_of_the_catalogue_is_declared_for_both_sources():
    assert all(set(expected) == set(FAULTS) for expected in EXPECTED.values())


@pytest.mark.parametrize(("source", "fault"), FRESH_CASES)
def test_a_fault_on_the_way_to_a_first_verdict_comes_to_what_is_declared(server, evaluated, source, fault):
    expected = EXPECTED[source][fault]
    _, right = evaluated[source]
    book = server.book(source)
    came = book.come_to(reseller(), MARCH, faults=[fault])
    assert came.happened
    assert (came.kind, expected.why in came.why) == (expected.kind, True) or fault == "hostile_ids", came.why
    assert_no_wrong_table(came, right, fault)
    assert tables.unlike_in_parquet(book.folder, came.tables) == {}
    server.drop(book)


@pytest.mark.parametrize(("source", "fault"), CASES)
def test_a_fault_never_harms_a_month_that_was_evaluated(server, evaluated, source, fault):
    expected = EXPECTED[source][fault]
    before, right = evaluated[source]
    book = before.copy()
    came = book.come_to(reseller(), MARCH, faults=[fault])
    assert bool(came.happened) is not expected.never
    assert came.kind == (expected.evaluated or expected.kind), came.why
    assert expected.why in came.why
    assert_evaluated_month_stands(came, right, fault)
    assert tables.unlike_in_parquet(book.folder, came.tables) == {}
    server.drop(book)


# What each comes to for a month that was evaluated: a bill that goes is one its counters still know, or one it had.
PAGING = {
    "item_inserted_while_paging": {NETWO: COMPLETE, ORANGE: COMPLETE},
    "item_deleted_while_paging": {NETWO: INCOMPLETE, ORANGE: INCOMPLETE},
    "repeated_ids": {NETWO: COMPLETE, ORANGE: COMPLETE},
    "total_promises_more": {NETWO: INCOMPLETE, ORANGE: INCOMPLETE},
}
# Enough for a second page: 50 invoices of a month at the hub, 100 bills of an account at Orange.
LARGE = {
    NETWO: {"scale": 2900, "periods": ["2024-03"]},
    ORANGE: {"scale": 600, "periods": [f"{year}-{month:02d}" for year in (2023, 2024) for month in range(1, 13)][:18]},
}
# The sandbox takes its time over so many.
UNHURRIED = "{connect_timeout_s: 10, read_timeout_s: 20, deadline_s: 100, attempts: 4, concurrency: 4}"


@pytest.mark.parametrize("source", LARGE)
def test_a_list_that_changes_while_its_pages_are_read_never_harms_a_month(server, source):
    large = generate_reseller(operators=[source], **LARGE[source])
    before = server.book(source)
    right = before.come_to(large, MARCH, http=UNHURRIED)
    assert right.kind == COMPLETE, right.why
    for fault, kinds in PAGING.items():
        book = before.copy()
        came = book.come_to(large, MARCH, faults=[fault], http=UNHURRIED)
        assert came.happened
        assert came.kind == kinds[source], (fault, came.why)
        assert_evaluated_month_stands(came, right, fault)
        server.drop(book)
    for fault in PAGING if FULL else ():
        book = server.book(source)
        came = book.come_to(large, MARCH, faults=[fault], http=UNHURRIED)
        if fault != "item_deleted_while_paging":
            assert_no_wrong_table(came, right, fault)
        server.drop(book)


def test_an_opinion_that_is_refused_this_time_stands_as_it_came_before(server, evaluated):
    before, right = evaluated[NETWO]
    assert right.tables["source_verdicts"]
    book = before.copy()
    came = book.come_to(reseller(), MARCH, faults=[f"redirect@{OPINION}:always"])
    assert came.happened
    assert came.kind == COMPLETE
    assert_same_rows(came, right, "redirect")
    server.drop(book)
