"""The demo as `make demo` runs it: what it must find, what it must add up to, and that nothing disturbs it."""

import itertools
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from billing_pipeline.sandbox.access import DEMO_SECRETS, INVOICING_KEY
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.storage import embedded
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import folder_for_a_server
from billing_pipeline_tests.pipeline.program import Ended, Program, cold
from billing_pipeline_tests.pipeline.tables import Row, Stored

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
REASONS = {
    "NOT_BILLED", "LINE_REJECTED", "ROUNDING", "BILLED_AFTER_TERMINATION", "BILLED_BEFORE_ACTIVATION",
    "UNKNOWN_SERVICE", "AMBIGUOUS_SERVICE", "UNEXPECTED_CHARGE", "CURRENCY_MISMATCH", "DUPLICATE_LINE", "PRORATION",
    "STALE_PRICE", "DISCOUNT_MISSING", "PRICE_MISMATCH", "UNEXPLAINED",
}  # fmt: skip


class Demo:
    """One demo folder, its embedded server, and what the first demo in it said and stored."""

    def __init__(self, folder: Path, program: Program) -> None:
        self.folder = folder
        self.program = program
        self.first: Ended = cold("demo", "--folder", str(folder), folder=folder.parent)
        self.stored = self.tables() if self.first.code == 0 else {}
        self.files = tables.parquet_files(folder)

    @property
    def url(self) -> str:
        return embedded.start(self.folder / "data").url_for("billing")

    def again(self) -> Ended:
        return self.program.start("demo", "--folder", str(self.folder), folder=self.folder.parent).wait()

    def tables(self) -> Stored:
        return tables.stored(self.url)

    def rows(self, statement: Any, *values: Any) -> list[Row]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            return connection.execute(statement, values or None).fetchall()


@pytest.fixture(scope="module")
def demo(program: Program) -> Iterator[Demo]:
    with folder_for_a_server() as folder:
        yield Demo(folder / "demo", program)


@pytest.fixture(scope="module")
def reseller() -> Reseller:
    return generate_reseller()


def test_the_demo_ends_well_and_says_where_to_look(demo: Demo) -> None:
    assert demo.first.code == 0, demo.first.err
    assert demo.first.errors == []
    assert "Traceback" not in demo.first.out
    for told in ("EVALUATED", "Parquet", "postgresql://", "billing-pipeline dev"):
        assert told in demo.first.out
    assert "NOT_EVALUATED" not in demo.first.out


def test_the_demos_customers_can_be_invoiced_as_it_says(demo: Demo, reseller: Reseller, program: Program) -> None:
    """With the sandbox on another port than the usual one, which may be taken here."""
    assert f"{INVOICING_KEY}={DEMO_SECRETS[INVOICING_KEY]} billing-pipeline rebill --config" in demo.first.out
    with SandboxServer(create_app(reseller, api_key="k")) as sandbox:
        text = (demo.folder / "billing.yaml").read_text()
        beside = demo.folder / "elsewhere.yaml"
        beside.write_text(text.replace("http://127.0.0.1:8189", sandbox.base_url))
        secret = {INVOICING_KEY: DEMO_SECRETS[INVOICING_KEY]}
        arguments = ("rebill", "--config", str(beside), "--period", "2024-01")
        drafted = program.start(*arguments, folder=demo.folder, extra=secret).wait()
        done = program.start(*arguments, "--finalize", folder=demo.folder, extra=secret).wait()
    beside.unlink()
    assert (drafted.code, drafted.errors, done.code, done.errors) == (0, [], 0, [])
    rows = demo.rows("SELECT state, number, total_ht FROM rebilling.customer_invoices")
    customers = {one.customer_id for code in reseller.services for one in reseller.services[code]}
    assert len(rows) == len(customers)
    assert {row["state"] for row in rows} == {"FINALIZED"}
    assert len(list((demo.folder / "data/exports/customer_invoices/2024-01").glob("*.pdf"))) == len(rows)
    (unknown,) = demo.rows("SELECT count(*) AS lines FROM rebilling.customer_invoice_lines WHERE margin_ht IS NULL")
    (lines,) = demo.rows("SELECT count(*) AS lines FROM rebilling.customer_invoice_lines")
    # Only a line billed in another currency than its contract's has no cost that could be compared.
    assert unknown["lines"] < lines["lines"] / 100


def _subject(reseller: Reseller, row: Row) -> str:
    """The item's id as the sandbox names it: a line of a charge file without the file's hash."""
    source = next(one.source for one in reseller.operators if one.code == row["operator_code"])
    if not row["item_id"].startswith("line:") or source == "netwo":
        return str(row["item_id"])
    invoice, line = row["item_id"].rsplit(":", 1)
    return f"{invoice}:{line.rpartition('-')[2]}"


Key = tuple[str, str, str]


def test_every_injected_error_is_found_and_nothing_else_is_flagged(demo: Demo, reseller: Reseller) -> None:
    injected = {
        (one.operator_code, str(one.period), one.subject): (one.status, one.reason, one.difference)
        for one in reseller.injected
        if one.status is not None
    }
    assert len(injected) > 100
    verdicts: dict[Key, tuple[str, str | None, Decimal | None]] = {
        (row["operator_code"], row["period"], _subject(reseller, row)): (
            row["status"], row["reason_code"], row["difference"],
        )
        for row in demo.stored["reconciliation_items"]
    }  # fmt: skip
    right = ("MATCHED", None, Decimal(0))
    unlike = {
        key: (verdicts.get(key), injected.get(key, right))
        for key in set(verdicts) | set(injected)
        if verdicts.get(key) != injected.get(key, right)
    }
    assert unlike == {}


def test_every_injected_finding_is_found_and_no_other(demo: Demo, reseller: Reseller) -> None:
    injected = {
        (one.operator_code, str(one.period), one.subject.removeprefix("invoice:"), one.reason)
        for one in reseller.injected
        if one.status is None
    }
    assert injected
    assert {
        (row["operator_code"], row["period"], row["invoice_id"], row["code"]) for row in demo.stored["invoice_findings"]
    } == injected


def test_every_reason_and_every_kind_of_verdict_occurs(demo: Demo) -> None:
    items = demo.stored["reconciliation_items"]
    assert {row["reason_code"] for row in items} - {None} == REASONS
    kinds = {(row["side"], row["status"], row["reason_code"]) for row in items}
    # The verdict table row by row, as (side, status, reason); several rows share the plain match.
    assert kinds >= {
        ("service", "MATCHED", None), ("service", "MATCHED", "ROUNDING"),
        ("service", "UNMATCHED", "NOT_BILLED"), ("service", "UNMATCHED", "LINE_REJECTED"),
        ("service", "DISCREPANCY", "BILLED_AFTER_TERMINATION"), ("service", "DISCREPANCY", "PRICE_MISMATCH"),
        ("line", "MATCHED", None), ("line", "MATCHED", "ROUNDING"),
        ("line", "UNMATCHED", "BILLED_AFTER_TERMINATION"), ("line", "UNMATCHED", "BILLED_BEFORE_ACTIVATION"),
        ("line", "UNMATCHED", "UNKNOWN_SERVICE"), ("line", "UNMATCHED", "AMBIGUOUS_SERVICE"),
        ("line", "DISCREPANCY", "UNEXPECTED_CHARGE"),
        ("service", "DISCREPANCY", "CURRENCY_MISMATCH"), ("line", "DISCREPANCY", "CURRENCY_MISMATCH"),
    }  # fmt: skip
    services = [row for row in items if row["side"] == "service"]
    # Active and rightly without a line: free of charge, or at a symbolic price.
    unbilled = {row["reason_code"] for row in services if row["status"] == "MATCHED" and row["invoice_id"] is None}
    assert unbilled == {None, "ROUNDING"}
    # Not active any more, billed and credited.
    assert any(row["side"] == "line" and row["item_id"].startswith("service:") and row["status"] == "MATCHED"
               and row["reason_code"] is None for row in items)  # fmt: skip
    # One-off charges of no service and of several, beside recurring ones.
    lines = {(row["operator_code"], row["invoice_id"], row["line_id"]): row for row in demo.stored["invoice_lines"]}
    for reason in ("UNKNOWN_SERVICE", "AMBIGUOUS_SERVICE"):
        kinds_of_line = {
            lines[row["operator_code"], row["invoice_id"], row["invoice_line_id"]]["charge_type"]
            for row in items
            if row["reason_code"] == reason
        }
        assert kinds_of_line >= {"recurring", "one_off"}


# Each statement gives the rows that break the identity; what the pipeline says of itself is not asked.
IDENTITIES = {
    "1: rows of a document = loaded + rejected": """
        SELECT d.operator_code, d.period, d.sha256, d.collected_count, l.loaded, r.rejected
        FROM billing.source_documents AS d
        LEFT JOIN (SELECT operator_code, period, source_sha256, count(*) AS loaded FROM billing.invoice_lines
                   GROUP BY 1, 2, 3) AS l ON (l.operator_code, l.period, l.source_sha256) = (d.operator_code, d.period, d.sha256)
        LEFT JOIN (SELECT operator_code, period, source_sha256, count(DISTINCT source_row) AS rejected
                   FROM billing.rejected_rows GROUP BY 1, 2, 3) AS r
               ON (r.operator_code, r.period, r.source_sha256) = (d.operator_code, d.period, d.sha256)
        WHERE d.collected_count IS NOT NULL
          AND d.collected_count <> coalesce(l.loaded, 0) + coalesce(r.rejected, 0)""",
    "2: a line's shares add up to the line": """
        SELECT l.operator_code, l.invoice_id, l.line_id, l.total_ht, s.total
        FROM billing.invoice_lines AS l
        LEFT JOIN (SELECT operator_code, period, invoice_id, line_id, sum(amount_ht) AS total
                   FROM billing.line_allocations GROUP BY 1, 2, 3, 4) AS s USING (operator_code, period, invoice_id, line_id)
        WHERE l.total_ht IS DISTINCT FROM s.total""",
    # The invoicing pair takes the place of a foreign charge where its currency is the contract's.
    "3: items' billed amounts = shares of the month, per currency": """
        WITH shares AS (
            SELECT a.operator_code, a.service_month AS period,
                   CASE WHEN i.currency = a.invoicing_currency THEN a.invoicing_currency ELSE a.currency END AS currency,
                   CASE WHEN i.currency = a.invoicing_currency THEN a.invoicing_amount ELSE a.amount_ht END AS amount
            FROM billing.line_allocations AS a
            JOIN billing.reconciliation_items AS i ON i.operator_code = a.operator_code AND i.period = a.service_month
                 AND a.invoice_id || ':' || a.line_id = ANY (i.invoice_line_ids)),
        billed AS (SELECT operator_code, period, currency, sum(amount) AS amount FROM shares GROUP BY 1, 2, 3),
        items AS (SELECT operator_code, period, currency, sum(invoice_amount) AS amount
                  FROM billing.reconciliation_items WHERE invoice_amount IS NOT NULL GROUP BY 1, 2, 3)
        SELECT * FROM billed FULL JOIN items USING (operator_code, period, currency)
        WHERE billed.amount IS DISTINCT FROM items.amount""",
    "4: service-side items' expected amounts = what the active services cost": """
        WITH expected AS (SELECT operator_code, period, sum(expected_amount) AS amount, count(*) AS n
                          FROM billing.services WHERE active_days > 0 GROUP BY 1, 2),
        items AS (SELECT operator_code, period, sum(service_amount) AS amount, count(*) AS n
                  FROM billing.reconciliation_items WHERE side = 'service' GROUP BY 1, 2)
        SELECT * FROM expected FULL JOIN items USING (operator_code, period)
        WHERE expected.amount IS DISTINCT FROM items.amount OR expected.n IS DISTINCT FROM items.n""",
    "5: an item's reasons add up to billed less expected": """
        SELECT i.operator_code, i.period, i.item_id, i.invoice_amount, i.service_amount, i.difference, r.amount
        FROM billing.reconciliation_items AS i
        LEFT JOIN (SELECT operator_code, period, item_id, sum(amount) AS amount FROM billing.reconciliation_reasons
                   GROUP BY 1, 2, 3) AS r USING (operator_code, period, item_id)
        WHERE i.reason_code IS DISTINCT FROM 'CURRENCY_MISMATCH'
          AND (coalesce(r.amount, 0) <> coalesce(i.invoice_amount, 0) - coalesce(i.service_amount, 0)
               OR i.difference IS DISTINCT FROM coalesce(i.invoice_amount, 0) - coalesce(i.service_amount, 0))""",
    "6: every active service is in exactly one item": """
        SELECT s.operator_code, s.period, s.service_id, count(i.item_id)
        FROM billing.services AS s
        LEFT JOIN billing.reconciliation_items AS i
               ON (i.operator_code, i.period, i.item_id) = (s.operator_code, s.period, 'service:' || s.service_id)
              AND i.side = 'service'
        WHERE s.active_days > 0 GROUP BY 1, 2, 3 HAVING count(i.item_id) <> 1""",
    "6: every share of an evaluated month is in exactly one item": """
        SELECT a.operator_code, a.service_month, a.invoice_id, a.line_id, count(i.item_id)
        FROM billing.line_allocations AS a
        JOIN billing.reconciliation_summary AS s
          ON (s.operator_code, s.period, s.state) = (a.operator_code, a.service_month, 'EVALUATED')
        LEFT JOIN billing.reconciliation_items AS i ON i.operator_code = a.operator_code AND i.period = a.service_month
             AND a.invoice_id || ':' || a.line_id = ANY (i.invoice_line_ids)
        GROUP BY 1, 2, 3, 4 HAVING count(i.item_id) <> 1""",
    "6: an item names no share that is not there": """
        SELECT i.operator_code, i.period, i.item_id, named
        FROM billing.reconciliation_items AS i CROSS JOIN unnest(i.invoice_line_ids) AS named
        WHERE NOT EXISTS (SELECT FROM billing.line_allocations AS a WHERE a.operator_code = i.operator_code
                          AND a.service_month = i.period AND a.invoice_id || ':' || a.line_id = named)""",
    "the summary counts the items": """
        SELECT * FROM billing.reconciliation_summary AS s
        JOIN (SELECT operator_code, period, count(*) FILTER (WHERE side = 'service') AS services,
                     count(*) FILTER (WHERE side = 'service' AND status = 'MATCHED') AS right_ones,
                     count(*) FILTER (WHERE side = 'service' AND status = 'UNMATCHED') AS missing,
                     count(*) FILTER (WHERE side = 'service' AND status = 'DISCREPANCY') AS wrong,
                     count(*) FILTER (WHERE side = 'line') AS lines,
                     count(*) FILTER (WHERE side = 'line' AND status = 'UNMATCHED') AS orphans
              FROM billing.reconciliation_items GROUP BY 1, 2) AS i USING (operator_code, period)
        WHERE (s.total_services, s.matched, s.unmatched, s.discrepancies, s.line_items, s.orphan_lines)
              IS DISTINCT FROM (i.services, i.right_ones, i.missing, i.wrong, i.lines, i.orphans)""",
}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_books_balance_when_another_adds_them_up(demo: Demo, identity: str) -> None:
    assert demo.rows(IDENTITIES[identity])[:5] == []


@pytest.mark.parametrize(
    ("identity", "harm"),
    [
        ("1:", "DELETE FROM billing.invoice_lines WHERE ctid = (SELECT min(ctid) FROM billing.invoice_lines)"),
        ("2:", "UPDATE billing.line_allocations SET amount_ht = amount_ht + 0.01 WHERE ctid = (SELECT min(ctid) FROM billing.line_allocations)"),
        ("3:", "UPDATE billing.reconciliation_items SET invoice_amount = invoice_amount + 0.01 WHERE ctid = (SELECT min(ctid) FROM billing.reconciliation_items WHERE invoice_amount > 0)"),
        ("4:", "UPDATE billing.services SET expected_amount = expected_amount + 0.01 WHERE ctid = (SELECT min(ctid) FROM billing.services WHERE active_days > 0)"),
        ("5:", "DELETE FROM billing.reconciliation_reasons WHERE ctid = (SELECT min(ctid) FROM billing.reconciliation_reasons)"),
        ("6: every active", "DELETE FROM billing.reconciliation_items WHERE ctid = (SELECT min(ctid) FROM billing.reconciliation_items WHERE side = 'service')"),
        ("6: every share", "DELETE FROM billing.reconciliation_items WHERE ctid = (SELECT min(ctid) FROM billing.reconciliation_items WHERE invoice_id IS NOT NULL)"),
        ("6: an item", "DELETE FROM billing.line_allocations WHERE ctid = (SELECT min(ctid) FROM billing.line_allocations)"),
        ("the summary", "UPDATE billing.reconciliation_summary SET matched = matched + 1"),
    ],
)  # fmt: skip
def test_an_identity_that_is_broken_shows(demo: Demo, identity: str, harm: str) -> None:
    (statement,) = (query for name, query in IDENTITIES.items() if name.startswith(identity))
    with psycopg.connect(demo.url) as connection:
        connection.execute(harm.encode())
        assert connection.execute(statement.encode()).fetchone() is not None
        connection.rollback()


def test_parquet_says_what_postgresql_says(demo: Demo) -> None:
    assert tables.unlike_in_parquet(demo.folder, demo.stored) == {}
    charges = tables.in_parquet(demo.folder, BY_NAME["r189_charges"])
    files = {row["source_sha256"] for row in charges}
    of_files = [row for row in demo.stored["invoice_lines"] if row["source_sha256"] in files]
    assert len(charges) == len(of_files) > 0


def test_nothing_is_left_behind(demo: Demo) -> None:
    assert tables.leftovers(demo.folder) == []


def test_a_second_demo_asks_the_operators_again_and_changes_no_row(demo: Demo) -> None:
    ended = demo.again()
    assert (ended.code, ended.errors) == (0, [])
    answered = [line for line in ended.out.splitlines() if line.startswith("the sandbox answered")]
    assert int(answered[0].split()[3]) > 20
    assert tables.changed(demo.stored, demo.tables()) == {}
    assert tables.parquet_files(demo.folder) == demo.files


def test_the_demo_shows_claims_in_every_state_and_none_twice(demo: Demo) -> None:
    found = demo.rows(
        "SELECT claim_state, claim_basis, is_estimated, count(*) AS items, sum(amount) AS amount,"
        " sum(credited_amount) AS credited, sum(amount_left) AS amount_left, sum(amount_to_claim) AS to_claim"
        " FROM billing_marts.fct_recoverable GROUP BY 1, 2, 3"
    )
    assert {row["claim_state"] for row in found} == {"to_claim", "claimed", "credit_awaited", "refused", "settled"}
    # The last month is not paid yet: its deadlines are counted from its invoices.
    assert {(row["claim_basis"], row["is_estimated"]) for row in found} >= {("payment", False), ("invoice_date", True)}
    for row in found:
        assert row["amount"] - row["credited"] == row["amount_left"]
        assert row["to_claim"] == (row["amount_left"] if row["claim_state"] == "to_claim" else 0)
    assert demo.rows("SELECT item_id FROM billing_marts.fct_disputes WHERE NOT has_verdict") == []


def test_the_demos_month_is_exported_for_every_operator(demo: Demo) -> None:
    ended = demo.program.start(
        "export", "--config", str(demo.folder / "billing.yaml"), "--period", "2024-01", folder=demo.folder.parent
    ).wait()
    assert (ended.code, ended.errors) == (0, [])
    books = sorted(path.name for path in (demo.folder / "data/exports/2024-01").iterdir())
    assert books == [
        f"{operator}_2024-01_{kind}.xlsx"
        for operator in ("AXIONE", "ORANGE", "SFR")
        for kind in ("dossier_interne", "reclamation")
    ]


def _spread(names: list[str]) -> Iterator[list[tuple[str, str, str]]]:
    """Rounds of (table, operator, period) to lose: each table in one round, at most one table in a partition."""
    partitions = list(itertools.product(("ORANGE", "SFR", "AXIONE"), ("2024-01", "2024-02", "2024-03")))
    for start in range(0, len(names), len(partitions)):
        yield [(name, *partition) for name, partition in zip(names[start:], partitions, strict=False)]


def _lose(demo: Demo, lost: list[tuple[str, str, str]]) -> None:
    with psycopg.connect(demo.url) as connection:
        for table, operator, period in lost:
            connection.execute(
                sql.SQL("DELETE FROM billing.{} WHERE operator_code = %s AND period = %s").format(
                    sql.Identifier(table)
                ),
                (operator, period),
            )


def _lose_all(demo: Demo, table: str) -> None:
    with psycopg.connect(demo.url) as connection:
        connection.execute(sql.SQL("DELETE FROM billing.{}").format(sql.Identifier(table)))


def _names(demo: Demo) -> list[str]:
    """Every table of a partition, those first whose rows no other table's loss brings back."""
    return [name for name, rows in demo.stored.items() if rows and "period" in rows[0]]


@pytest.mark.timeout(900)
def test_rows_lost_from_any_table_come_back_with_the_next_demo(demo: Demo) -> None:
    """Each table loses a partition, no two tables the same one; with BILLING_TEST_SWEEP=full each loses all its rows."""
    losses: list[Callable[[], None]] = [lambda lost=lost: _lose(demo, lost) for lost in _spread(_names(demo))]  # type: ignore[misc]
    if FULL:
        losses = [lambda name=name: _lose_all(demo, name) for name in _names(demo)]  # type: ignore[misc]
    for lose in losses:
        lose()
        assert demo.again().code == 0
        now = demo.tables()
        assert tables.changed(tables.but_for_the_run(demo.stored), tables.but_for_the_run(now)) == {}
        assert tables.unlike_in_parquet(demo.folder, now) == {}
        assert tables.leftovers(demo.folder) == []
