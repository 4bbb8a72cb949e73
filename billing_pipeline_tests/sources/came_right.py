"""Whether a month that met faults holds right tables: what may be missing, what must stand. Runs nothing itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.sources.books import COMPLETE, FAILED, Came, anywhere, comparable

NETWO, ORANGE = "SFR", "ORANGE"  # the operators of the sandbox that have these sources
PDF = "application/pdf"
# What a verdict never rests on: Orange's PDF of a bill and reports of unknown types, the hub's own reconciliation.
OPINION = "/v1/billing/reconciliation"
# Other bytes that say the same: the tables are equal but for the hashes that name the documents.
REWRITTEN = frozenset({"unknown_fields", "numbers_as_strings"})
_HASHES = frozenset({"sha256", "source_sha256", "bytes", "contributions", "location"})
_IDS = frozenset({"invoice_id", "item_id", "invoice_line_ids", "match_key"})


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


def _is_beside(document: Mapping[str, Any]) -> bool:
    place = document["location"]
    return OPINION in place or ("/reports/" in place and "R189" not in place) or document["media_type"] == PDF


def _without_what_did_not_come_beside(right: Came, came: Came) -> Came:
    """What is right where a first collection got no voucher, or no opinion of the hub's own."""
    held = {anywhere(row["location"]) for row in came.tables["source_documents"] if _is_beside(row)}
    documents = right.tables["source_documents"]
    lacking = [row for row in documents if _is_beside(row) and anywhere(row["location"]) not in held]
    rows = {**right.tables, "source_documents": [row for row in documents if row not in lacking]}
    if any(OPINION in row["location"] for row in lacking):
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
