"""`rebill` as its user meets it: what it prepares, what it prints, which code it ends with, and what it never says."""

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing_pipeline.cli import main
from billing_pipeline.storage.connections import connect
from billing_pipeline.storage.customer_invoices import InvoiceTables
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline_tests.rebilling.world import KEY, World

SERVICES = """\
service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,terminated_on,\
installed_offer_id,external_reference,serial_number,order_reference,resale_price_ht
S-1,ORANGE,Accès 1,CUST-A,EUR,20.00,0,2023-01-01,,O1,,,,25.00
S-2,SFR,Accès 2,CUST-A,EUR,20.00,0,2024-03-17,,O2,,,,31.00
S-3,SFR,Accès 3,CUST-B,EUR,20.00,0,2023-01-01,,O3,,,,40.00
S-4,ORANGE,Accès 4,CUST-C,EUR,20.00,0,2023-01-01,,O4,,,,50.00
S-5,ORANGE,Accès 5,CUST-D,EUR,20.00,0,2023-01-01,,O5,,,,50.00
S-6,ORANGE,Accès 6,CUST-D,USD,20.00,0,2023-01-01,,O6,,,,50.00
"""
CUSTOMERS = "customer_id,invoicing_customer_id,name,vat_code,payment_delay,locale\n" + "".join(
    f"CUST-{one},org-cust-{one.lower()},Client {one},FR_2000,thirty_days,fr\n" for one in "ABCD"
)
Rebill = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def folder(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of two operators; ORANGE is evaluated for March with S-4 not billed, SFR is not."""
    made = world.folder
    (made / "services.csv").write_text(SERVICES)
    (made / "customers.csv").write_text(CUSTOMERS)
    operators = "".join(
        f"  - {{code: {code}, name: {code}, source: {{type: r189_files, folder: ./inbox}}}}\n"
        for code in ("ORANGE", "SFR")
    )
    (made / "billing.yaml").write_text(
        f'version: 1\nfirst_period: "2024-01"\nstorage: {{data_dir: ./data}}\nservices: {{inventory: ./services.csv}}\n'
        f"operators:\n{operators}rebilling:\n  type: customer_invoicing\n  base_url: {world.settings.base_url}\n"
        "  api_key_env: INVOICING_KEY\n  customers: ./customers.csv\n  http: {read_timeout_s: 1, attempts: 2}\n"
    )
    monkeypatch.setenv("BILLING_POSTGRES_URL", world.url)
    monkeypatch.setenv("BILLING_DAGSTER_POSTGRES_URL", world.url)
    monkeypatch.setenv("INVOICING_KEY", KEY)
    upgrade(world.url)
    with connect(world.url, autocommit=True) as connection:
        connection.execute("TRUNCATE billing.reconciliation_summary, billing.reconciliation_items")
    evaluate(world.url, "ORANGE", {"S-1": "21.50", "S-4": None, "S-5": "1.00", "S-6": "1.00"})
    return made


def evaluate(url: str, operator: str, billed: dict[str, str | None]) -> None:
    """What a run would have left: the operator's verdicts on its services for March."""
    with connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO billing.reconciliation_summary (operator_code, period, state, run_id, loaded_at) "
            "VALUES (%s, '2024-03', 'EVALUATED', 'r', now())",
            (operator,),
        )
        for service_id, amount in billed.items():
            connection.execute(
                "INSERT INTO billing.reconciliation_items (operator_code, period, item_id, side, service_id, status, "
                "invoice_line_ids, service_amount, invoice_amount, difference, currency, run_id, loaded_at) "
                "VALUES (%s, '2024-03', %s, 'service', %s, 'MATCHED', '{}', 20, %s, 0, 'EUR', 'r', now())",
                (operator, f"service:{service_id}", service_id, amount),
            )


@pytest.fixture
def rebill(folder: Path, capsys: pytest.CaptureFixture[str]) -> Rebill:
    def command(*arguments: str) -> tuple[int, str, list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["rebill", "--config", str(folder / "billing.yaml"), *arguments])
        told = capsys.readouterr()
        assert KEY not in told.out + told.err
        assert "Traceback" not in told.err
        return int(ended.value.code or 0), told.out, told.err.splitlines()

    return command


def lines(world: World) -> dict[str, Any]:
    with InvoiceTables.opened(world.url, lock_wait_s=None) as tables:
        return {row["service_id"]: row for row in tables.lines("2024-03")}


def amounts(row: dict[str, Any]) -> list[str | None]:
    return [None if row[name] is None else f"{row[name]:.2f}" for name in ("total_ht", "cost_ht", "margin_ht")]


def test_customers_wait_for_their_operators_verdicts_and_the_others_do_not(world: World, rebill: Rebill) -> None:
    code, out, errors = rebill("--period", "2024-03")
    assert code == 3
    assert len(errors) == 3
    for told, line in zip(
        ("CUST-A 2024-03: not prepared: SFR", "CUST-B", "CUST-D 2024-03: not prepared: has services in EUR and USD"),
        errors,
        strict=True,
    ):
        assert told in line
    assert {name: row["state"] for name, row in world.rows().items()} == {"CUST-C": "DRAFT"}
    assert amounts(lines(world)["S-4"]) == ["50.00", "0.00", "50.00"]  # not billed costs nothing, and that is known
    assert "CUST-C" in out


def test_without_the_cost_check_they_are_prepared_and_the_record_says_so(world: World, rebill: Rebill) -> None:
    code, out, _ = rebill("--period", "2024-03", "--without-cost-check", "--customer", "CUST-A")
    assert code == 0
    (row,) = world.rows().values()
    assert (row["cost_checked"], row["state_detail"]) == (False, "prepared without cost check: SFR not evaluated")
    assert "prepared without cost check" in out
    assert [amounts(lines(world)[one]) for one in ("S-1", "S-2")] == [["25.00", None, None], ["15.00", None, None]]


def test_from_drafts_to_pdfs_to_a_credit_note_and_schema_billing_is_not_needed(
    world: World, rebill: Rebill, folder: Path
) -> None:
    evaluate(world.url, "SFR", {"S-2": "9.99", "S-3": "20.00"})
    chosen = ("--period", "2024-03", "--customer", "CUST-A", "--customer", "CUST-B", "--customer", "CUST-C")
    assert rebill(*chosen)[0] == 0
    assert {row["state"] for row in world.rows().values()} == {"DRAFT"}
    code, out, errors = rebill(*chosen, "--finalize")
    assert (code, errors) == (0, [])
    rows = world.rows()
    assert {row["state"] for row in rows.values()} == {"FINALIZED"}
    assert {row["approved_by"] for row in rows.values()} == {getpass.getuser()}
    assert amounts(lines(world)["S-2"]) == ["15.00", "9.99", "5.01"]
    for row in rows.values():
        assert row["number"] in out
        assert (folder / "data" / "exports" / "customer_invoices" / "2024-03" / f"{row['number']}.pdf").is_file()
    with connect(world.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA billing CASCADE")
    world.app.state.requests.clear()
    assert rebill(*chosen, "--finalize")[0] == 0  # finalized ones wait for no verdict
    assert (world.rows(), world.app.state.requests) == (rows, [])

    number = rows["CUST-B"]["number"]
    for _ in range(2):
        code, out, _ = rebill("--credit", number)
        assert (code, "AV-2024-001" in out) == (0, True)
    assert len(world.documents("CUST-B", "asset")) == 1
    assert rebill("--period", "2024-03", "--mend-records")[:2] == (0, "journal and table agree\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--period", "2024-03", "--customer", "CUST-X"), "'CUST-X' is neither in the customers file nor"),
        (("--period", "2024-13"), "is not a period"),
        ((), "--period is required"),
        (("--credit", "INV-1"), "no finalized invoice of ours has that number"),
        (("--credit", "INV-1", "--finalize"), "leave the other options out"),
        (("--credit", "", "--period", "2024-03"), "no finalized invoice of ours has that number"),
        (("--give-up-draft", "", "--period", "2024-03", "--finalize"), "leave the other options out"),
        (("--give-up-draft", "", "--period", "2024-03"), "no invoice of 2024-03 has a missing document"),
        (("--period", "2024-03", "--give-up-draft", "x"), "no invoice of 2024-03 has a missing document"),
    ],
)
def test_a_wrong_request_is_one_line_and_code_2(
    rebill: Rebill, world: World, arguments: tuple[str, ...], told: str
) -> None:
    code, out, errors = rebill(*arguments)
    assert (code, out, len(errors)) == (2, "", 1)
    assert told in errors[0]
    assert world.app.state.requests == []


@pytest.mark.parametrize("missing", ["key", "customers", "section"])
def test_what_is_not_there_is_named(
    rebill: Rebill, folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "key":
        monkeypatch.delenv("INVOICING_KEY")
    elif missing == "customers":
        (folder / "customers.csv").unlink()
    else:
        text = (folder / "billing.yaml").read_text()
        (folder / "billing.yaml").write_text(text[: text.index("rebilling:")])
    code, _, errors = rebill("--period", "2024-03")
    told = {"key": "INVOICING_KEY", "customers": "rebilling.customers", "section": "no 'rebilling' section"}[missing]
    assert (code, len(errors)) == (2, 1)
    assert told in errors[0]


def test_an_api_that_is_down_is_told_once_and_the_next_run_goes_on(world: World, rebill: Rebill) -> None:
    world.disturbed.on = {"/lines": ("server_error_burst", 2)}
    code, out, errors = rebill("--period", "2024-03", "--customer", "CUST-C")
    assert code == 1
    assert "HTTP 503" in errors[0]
    assert "DRAFT" in out
    assert rebill("--period", "2024-03", "--customer", "CUST-C")[0] == 0
    assert len(world.documents("CUST-C")) == 1


def test_three_customers_the_api_refuses_do_not_keep_the_next_from_his_invoice(world: World, rebill: Rebill) -> None:
    with (world.folder / "services.csv").open("a") as file:
        file.write("S-7,ORANGE,Accès 7,CUST-E,EUR,20.00,0,2023-01-01,,O7,,,,50.00\n")
    with (world.folder / "customers.csv").open("a") as file:
        file.write("CUST-E,org-cust-e,Client E,FR_2000,thirty_days,fr\n")
    world.disturbed.on = {"/lines": ("redirect", 3)}
    code, out, errors = rebill("--period", "2024-03", "--without-cost-check")
    assert code == 1
    for customer_id in ("CUST-A", "CUST-B", "CUST-C"):
        assert any(f"{customer_id} 2024-03: PATCH" in line for line in errors), errors
    assert "CUST-E" in out
    assert world.rows()["CUST-E"]["state"] == "DRAFT"


def test_a_name_over_two_lines_is_told_in_one(folder: Path, rebill: Rebill) -> None:
    with (folder / "services.csv").open("a") as file:
        file.write('S-8,ORANGE,Accès 8,"CUST\nF",EUR,20.00,0,2023-01-01,,O8,,,,50.00\n')
    code, _, errors = rebill("--period", "2024-03", "--without-cost-check")
    assert code == 3
    assert any("CUST�F 2024-03: not prepared: is not in the customers file" in line for line in errors), errors


def test_a_refused_key_ends_it_at_once(world: World, rebill: Rebill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOICING_KEY", "another-key-0b1e")
    code, _, errors = rebill("--period", "2024-03", "--without-cost-check")
    assert (code, len(errors), len(world.app.state.requests)) == (1, 1, 1)
    assert "the key in INVOICING_KEY is refused" in errors[0]
    assert "another-key-0b1e" not in errors[0]


def test_check_config_names_the_customers_file_and_the_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INVOICING_KEY")
    with pytest.raises(SystemExit):
        main(["check-config", "--config", str(folder / "billing.yaml")])
    told = capsys.readouterr().out
    assert str(folder / "customers.csv") in told
    assert "INVOICING_KEY is not set; rebilling needs it" in told


def test_the_journal_lies_where_it_is_said_to(world: World, rebill: Rebill, folder: Path) -> None:
    rebill("--period", "2024-03", "--customer", "CUST-C")
    events = [json.loads(line) for line in (folder / "data/rebilling/2024-03.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events[:3]] == ["planned", "intent", "outcome"]
