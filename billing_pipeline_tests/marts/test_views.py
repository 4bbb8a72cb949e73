"""What the views say of the books, that the data tests can fail, and who may read them."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import psycopg
import pytest
from psycopg import sql

from billing_pipeline.steps import marts
from billing_pipeline.storage.marts import DROP_VIEWS
from billing_pipeline_tests.marts import books
from billing_pipeline_tests.marts.conftest import Office

WARNINGS = {
    "assert_every_share_of_a_month_is_in_an_item", "assert_every_active_service_has_one_item",
    "assert_every_dispute_is_about_a_verdict", "assert_the_margins_cost_what_the_services_items_bill",
    "assert_every_line_of_an_item_has_its_proof",
}  # fmt: skip


def test_a_month_in_two_currencies_is_told_apart_and_adds_up(made):
    rows = made.rows(
        "SELECT currency, expected_amount, billed_amount, recoverable_amount, under_billed_amount, tolerated_amount,"
        " not_comparable_amount, billed_change FROM billing_marts.fct_operator_month"
        " WHERE operator_code = 'SFR' AND period = '2024-01' ORDER BY currency"
    )
    assert rows == [
        ("EUR", Decimal(20), Decimal(36), Decimal(7), Decimal(10), Decimal(0), Decimal(19), None),
        ("USD", Decimal(20), Decimal(0), Decimal(0), Decimal(0), Decimal(0), Decimal(-20), None),
    ]


def test_a_month_after_one_without_verdicts_has_no_trend(made):
    rows = made.rows(
        "SELECT tolerated_amount, recoverable_amount, expected_change, billed_change, recoverable_change"
        " FROM billing_marts.fct_operator_month WHERE operator_code = 'SFR' AND period = '2024-03'"
    )
    assert rows == [(Decimal("0.01"), Decimal(0), None, None, None)]


def test_a_month_without_verdicts_is_not_hidden(made):
    assert made.rows(
        "SELECT state, total_services, matched_percent FROM billing_marts.fct_reconciliation_summary"
        " WHERE period = '2024-02'"
    ) == [("NOT_EVALUATED", None, None)]


def test_a_claim_lapses_when_the_operators_configuration_says(made):
    rows = made.rows(
        "SELECT item_id, operator_name, amount, currency, side_at_fault, claim_basis, claim_from, claim_months,"
        " claim_deadline, is_estimated, days_left + (now() AT TIME ZONE 'Europe/Paris')::date"
        " FROM billing_marts.fct_recoverable ORDER BY item_id"
    )
    when = ("payment", date(2024, 2, 20), 6, date(2024, 8, 20), False, date(2024, 8, 20))
    assert rows == [
        ("line:INV:1:L3", "SFR SA", Decimal(5), "EUR", "undetermined", *when),
        ("service:A", "SFR SA", Decimal(2), "EUR", "operator", *when),
    ]


def test_a_credit_comes_off_its_claim_and_off_the_month(made):
    assert made.rows(
        "SELECT item_id, amount, credited_amount, amount_left, claim_state, amount_to_claim, dispute_status,"
        " dispute_reference FROM billing_marts.fct_recoverable ORDER BY item_id"
    ) == [
        ("line:INV:1:L3", Decimal(5), Decimal(0), Decimal(5), "to_claim", Decimal(5), None, None),
        ("service:A", Decimal(2), Decimal("0.5"), Decimal("1.5"), "credit_awaited", Decimal(0), "accepted", "T-100"),
    ]
    assert made.rows(
        "SELECT recoverable_amount, credited_amount, left_to_recover_amount FROM billing_marts.fct_operator_month"
        " WHERE operator_code = 'SFR' AND period = '2024-01' AND currency = 'EUR'"
    ) == [(Decimal(7), Decimal("0.5"), Decimal("6.5"))]


def test_a_claim_is_proved_by_the_row_of_a_file(made):
    assert made.rows(
        "SELECT item_id, invoice_id, line_id, amount_ht, file_name, source_row FROM billing_marts.fct_item_lines"
        " WHERE operator_code = 'SFR' AND period = '2024-01' ORDER BY item_id"
    ) == [
        ("line:INV:1:L3", "INV:1", "L3", Decimal(5), "R189_SFR_202401.csv", 3),
        ("service:A", "INV:1", "L1", Decimal(12), "R189_SFR_202401.csv", 1),
        ("service:C", "INV:1", "L2", Decimal(19), "R189_SFR_202401.csv", 2),
    ]


def test_margins_tell_what_is_sold_without_cost_and_never_mix_currencies(made):
    assert made.rows(
        "SELECT operator_code, period, service_id, resale_amount, cost_amount, margin_amount, margin_state"
        " FROM billing_marts.fct_margin ORDER BY 1, 2, 3"
    ) == [
        ("AXIONE", "2024-01", "A", Decimal(15), Decimal(30), Decimal(-15), "negative"),
        ("SFR", "2024-01", "A", Decimal(15), Decimal(12), Decimal(3), "normal"),
        ("SFR", "2024-01", "B", Decimal(15), Decimal(0), Decimal(15), "sold_without_cost"),
        ("SFR", "2024-01", "C", Decimal(15), None, None, "not_comparable"),
        ("SFR", "2024-03", "A", Decimal(15), Decimal("10.01"), Decimal("4.99"), "normal"),
    ]


def test_the_books_pass_every_data_test(made, open_workspace):
    outcome = marts.make(open_workspace(made), tests=None, build=False)
    assert {one.name: one.message for one in outcome.results if one.status != "pass"} == {}
    assert len(outcome.results) > 40


def test_every_assertion_notices_what_it_is_about(made, new_office, open_workspace):
    told = {}
    assertions = {path.stem for path in (marts.project_folder() / "tests").glob("*.sql")}
    assert assertions == set(books.BREAKAGES)
    office = new_office(made)
    office.execute(*books.BREAKAGES.values())
    outcome = marts.make(open_workspace(office), tests=None, build=False)
    told = {one.name: one.status for one in outcome.results}
    assert {name: told[name] for name in assertions} == {
        name: "warn" if name in WARNINGS else "fail" for name in assertions
    }
    assert outcome.failure is None


def test_every_test_of_a_column_or_key_can_fail(made, new_office, open_workspace):
    office = new_office(made)
    for view in marts.model_names(marts.project_folder()):
        office.execute(*_with_odd_rows(office, view))
    outcome = marts.make(open_workspace(office), tests=None, build=False)
    silent = {one.name for one in outcome.results if one.status == "pass"}
    assert silent - set(books.BREAKAGES) == set()


def _with_odd_rows(office: Office, view: str) -> list[str]:
    """The view with its rows twice, a row of nulls, and one whose texts are none of the words they may be."""
    columns = office.rows(
        "SELECT column_name, data_type FROM information_schema.columns"
        f" WHERE table_schema = 'billing_marts' AND table_name = '{view}' ORDER BY ordinal_position"
    )
    assert columns
    odd = ", ".join("'ODD'" if kind == "text" else "NULL" for _, kind in columns)
    empty = ", ".join("NULL" for _ in columns)
    real = f"billing_marts.{view}_real"
    return [
        f"ALTER VIEW billing_marts.{view} RENAME TO {view}_real",
        f"CREATE VIEW billing_marts.{view} AS SELECT * FROM {real} UNION ALL SELECT * FROM {real}"
        f" UNION ALL SELECT {odd} UNION ALL SELECT {empty}",
    ]


@pytest.fixture
def as_analyst(made: Office) -> Callable[[], psycopg.Connection]:
    """Connections of a person who has the role and nothing else."""
    with psycopg.connect(made.url) as connection:
        connection.execute("DROP ROLE IF EXISTS ana")
        connection.execute("CREATE ROLE ana LOGIN IN ROLE billing_analyst")
    return lambda: psycopg.connect(made.url.replace("//postgres@", "//ana@"), autocommit=True)


def test_analysts_read_every_view_and_table(made, as_analyst):
    relations = made.rows(
        "SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE relkind IN ('r', 'v')"
        " AND relnamespace IN ('billing'::regnamespace, 'billing_marts'::regnamespace)"
    )
    assert {name for _, name in relations} > {"operator_terms", *marts.model_names(marts.project_folder())}
    with as_analyst() as connection:
        for schema, name in relations:
            connection.execute(sql.SQL("SELECT * FROM {}.{} LIMIT 1").format(*map(sql.Identifier, (schema, name))))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_marts.operator_terms SET claim_months = 99",
        "DELETE FROM billing_marts.operator_terms",
        "INSERT INTO billing_marts.operator_terms VALUES ('X', 'X', 1, true)",
        "UPDATE billing_marts.stg_invoices SET total_ht = 0",
        "DELETE FROM billing_marts.stg_services",
        "DROP VIEW billing_marts.fct_recoverable",
        "CREATE VIEW billing_marts.mine AS SELECT 1",
        "CREATE TABLE billing_marts.mine (a int)",
        "COMMENT ON SCHEMA billing_marts IS 'mine'",
    ],
)
def test_analysts_change_nothing(as_analyst, statement):
    with as_analyst() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_analysts_find_every_column_explained_in_the_database(made):
    assert (
        made.rows(
            "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'billing_marts'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0"
            " AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)"
        )
        == []
    )


def test_a_view_does_not_keep_a_migration_from_changing_a_column(made, new_office, open_workspace):
    office = new_office(made)
    change = "ALTER TABLE billing.services ALTER COLUMN description TYPE varchar(200)"
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        office.execute(change)
    office.execute(DROP_VIEWS, change)
    assert marts.needed(open_workspace(office))
