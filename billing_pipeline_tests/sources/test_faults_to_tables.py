"""Every fault of the sandbox carried on to the tables: the same rows, a month said to be incomplete, or nothing replaced.

What each fault must come to is written down per source. A month without a verdict and one that has been evaluated before
meet each fault; the latter may come to something else, since what was once there must still be there. A whole month
takes 3 s of processor time, most of it to translate the verdicts to SQL, so that the faults which are over after a retry
meet the evaluated month by default, and an empty one only with BILLING_TEST_SWEEP=full.
"""

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from billing_pipeline.sandbox.faults import FAULTS
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.sources.books import COMPLETE, FAILED, INCOMPLETE, MARCH, Book, Came, Server, comparable
from billing_pipeline_tests.sources.books import started as started_server
from billing_pipeline_tests.sources.shelf import reseller

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
PDF = "application/pdf"
NETWO, ORANGE = "SFR", "ORANGE"  # the operators of the sandbox that have these sources


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
# Other bytes that say the same: the tables are equal but for the hashes that name the documents.
REWRITTEN = frozenset({"unknown_fields", "numbers_as_strings"})
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


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started_server() as server:
        yield server


@pytest.fixture(scope="module")
def evaluated(server: Server) -> dict[str, tuple[Book, Came]]:
    """Each source's month after a run without faults. To be read; who runs something in it takes a copy."""
    return {source: _evaluated(server, source) for source in EXPECTED}


def _evaluated(server: Server, source: str) -> tuple[Book, Came]:
    book = server.book(source)
    came = book.come_to(reseller(), MARCH)
    assert came.kind == COMPLETE, came.why
    (summary,) = came.tables["reconciliation_summary"]
    assert summary["state"] == "EVALUATED"
    assert len(came.tables["invoice_lines"]) > 40
    return book, came


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


def assert_no_wrong_table(came: Came, right: Came, fault: str) -> None:
    """A month that had no verdict holds the right tables, or what was readable and no verdict, or nothing."""
    assert_told_in_one_line(came)
    if came.kind == COMPLETE:
        assert_same_rows(came, _without_what_did_not_come_beside(right, came), fault)
        return
    (summary,) = came.tables["reconciliation_summary"]
    assert summary["state"] == "NOT_EVALUATED"
    assert summary["state_detail"] == came.why.removeprefix(f"{summary['operator_code']} {summary['period']}: ")
    assert summary["total_services"] is summary["invoice_amount"] is summary["matched"] is None
    for name in ("reconciliation_items", "reconciliation_reasons", "invoice_reconciliation", "source_verdicts"):
        assert came.tables[name] == []
    if came.kind == FAILED:
        filled = {name for name, rows in came.tables.items() if rows}
        assert filled == {"alembic_version", "partition_loads", "reconciliation_summary"}
        return
    # What was readable is loaded: every line is one of the right ones, under whatever id it came.
    known = {(row["line_id"], row["total_ht"], row["currency"]) for row in right.tables["invoice_lines"]}
    for row in came.tables["invoice_lines"]:
        assert (row["line_id"], row["total_ht"], row["currency"]) in known
    assert comparable(came.tables)["services"] == comparable(right.tables)["services"]


def assert_evaluated_month_stands(came: Came, right: Came, fault: str) -> None:
    """Nothing changed but for a word about the attempt, and for the hashes of documents that say the same."""
    assert_told_in_one_line(came)
    if came.kind == COMPLETE:
        assert_same_rows(came, right, fault)
        return
    differing = tables.changed(comparable(right.tables), comparable(came.tables))
    if came.kind == FAILED:
        assert differing == {}
        return
    assert set(differing) == {"partition_loads", "reconciliation_summary"}
    (before,), (after,) = (one.tables["reconciliation_summary"] for one in (right, came))
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"state_detail", "run_id", "loaded_at"}
    assert came.why in after["state_detail"]
    loads = [{row["phase"]: row for row in comparable(one.tables)["partition_loads"]} for one in (right, came)]
    changed = {name for phase in loads[0] for name in loads[0][phase] if loads[0][phase][name] != loads[1][phase][name]}
    assert changed <= {"attempt_state", "attempt_detail", "state_detail"}


def assert_same_rows(came: Came, right: Came, fault: str) -> None:
    ours, theirs = comparable(came.tables), comparable(right.tables)
    if fault == "hostile_ids":
        # Under other ids the same invoices and lines arrive, and the same verdicts on the same services.
        ours, theirs = _without(ours, _IDS | _HASHES), _without(theirs, _IDS | _HASHES)
    elif fault in REWRITTEN:
        ours, theirs = _without(ours, _HASHES), _without(theirs, _HASHES)
    assert tables.changed(theirs, ours) == {}
    assert [row["state"] for row in ours["reconciliation_summary"]] == ["EVALUATED"]


_HASHES = frozenset({"sha256", "source_sha256", "bytes", "contributions", "location"})
_IDS = frozenset({"invoice_id", "item_id", "invoice_line_ids", "match_key"})


# What a verdict never rests on: Orange's PDF of a bill and reports of unknown types, the hub's own reconciliation.
_OPINION = "/v1/billing/reconciliation"


def _is_beside(document: Mapping[str, Any]) -> bool:
    place = document["location"]
    return _OPINION in place or ("/reports/" in place and "R189" not in place) or document["media_type"] == PDF


def _without_what_did_not_come_beside(right: Came, came: Came) -> Came:
    """What is right where a first collection got no voucher, or no opinion of the hub's own."""
    held = {row["sha256"] for row in came.tables["source_documents"]}
    documents = right.tables["source_documents"]
    lacking = [row for row in documents if _is_beside(row) and row["sha256"] not in held]
    rows = {**right.tables, "source_documents": [row for row in documents if row not in lacking]}
    if any(_OPINION in row["location"] for row in lacking):
        rows["source_verdicts"] = []
    return replace(right, tables=rows)


def _without(stored: tables.Stored, columns: frozenset[str]) -> tables.Stored:
    return {
        name: sorted(({key: row[key] for key in row if key not in columns} for row in rows), key=tables.order)
        for name, rows in stored.items()
    }


def assert_told_in_one_line(came: Came) -> None:
    assert bool(came.why) is (came.kind != COMPLETE)
    assert bool(came.trace) is (came.kind == FAILED)
    assert came.why.isprintable()
    assert came.leaks == []


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


MIXED = tuple(
    fault
    for fault in FAULTS
    # A null may stand in a column that allows one, and hostile ids are other ids: told apart above, not in a mix.
    if fault not in ("nulls", "hostile_ids", "enums_as_numbers", "drip", "silence", "rate_limit_date")
)
PATIENT = "{connect_timeout_s: 2, read_timeout_s: 0.6, deadline_s: 20, attempts: 8, concurrency: 4}"


@pytest.mark.parametrize("seed", range(60 if FULL else 3))
@pytest.mark.parametrize("source", EXPECTED)
def test_a_random_mix_of_faults_never_makes_a_wrong_table(server, evaluated, source, seed):
    """Several faults on every so many requests; a month that came through or not is then asked for without any."""
    rng = random.Random(f"tables/{source}/{seed}")
    chosen = [f"{fault}:every={rng.randint(3, 17)}" for fault in rng.sample(MIXED, rng.randint(2, 5))]
    before, right = evaluated[source]
    stood = rng.random() < 0.7
    book = before.copy() if stood else server.book(source)
    came = book.come_to(reseller(), MARCH, faults=chosen, seed=seed, http=PATIENT)
    (assert_evaluated_month_stands if stood else assert_no_wrong_table)(came, right, "unknown_fields")
    again = book.come_to(reseller(), MARCH)
    assert again.kind == COMPLETE, f"after {chosen}: {again.why}"
    assert_same_rows(again, right, "unknown_fields")
    server.drop(book)


def test_an_opinion_that_is_refused_this_time_stands_as_it_came_before(server, evaluated):
    before, right = evaluated[NETWO]
    assert right.tables["source_verdicts"]
    book = before.copy()
    came = book.come_to(reseller(), MARCH, faults=[f"redirect@{_OPINION}:always"])
    assert came.happened
    assert came.kind == COMPLETE
    assert_same_rows(came, right, "redirect")
    server.drop(book)


# What strikes a connection or a whole answer, wherever that is.
STRIKING = (
    "server_error_burst", "reset", "answer_lost", "truncated_body", "truncated_without_length", "gzip_cut", "silence",
    "malformed_json", "html_with_200", "wrong_content_type", "redirect", "token_expires", "token_revoked",
    "answer_withheld", "error_after_effect",
)  # fmt: skip


@pytest.mark.skipif(not FULL, reason="BILLING_TEST_SWEEP=full runs the sweep")
@pytest.mark.parametrize("when", ["first=1", "first=2", "always"])
@pytest.mark.parametrize("fault", STRIKING)
@pytest.mark.parametrize("source", EXPECTED)
def test_a_fault_at_any_request_never_makes_a_wrong_table(server, evaluated, source, fault, when):
    before, right = evaluated[source]
    struck = 0
    for path in before.paths(reseller(), MARCH):
        for stood in (True, False):
            book = before.copy() if stood else server.book(source)
            came = book.come_to(reseller(), MARCH, faults=[f"{fault}@{path}:{when}"])
            struck += bool(came.happened)
            (assert_evaluated_month_stands if stood else assert_no_wrong_table)(came, right, fault)
            server.drop(book)
    assert struck or EXPECTED[source][fault].never


@pytest.mark.skipif(not FULL, reason="BILLING_TEST_SWEEP=full runs the sweep")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fault", ["missing_required_field", "numbers_as_strings", "unknown_fields", "repeated_ids"])
@pytest.mark.parametrize("source", EXPECTED)
def test_odd_json_in_any_document_never_makes_a_wrong_table(server, evaluated, source, fault, seed):
    before, right = evaluated[source]
    for path in before.paths(reseller(), MARCH):
        book = server.book(source)
        came = book.come_to(reseller(), MARCH, faults=[f"{fault}@{path}:always"], seed=seed)
        assert_no_wrong_table(came, right, fault)
        server.drop(book)
