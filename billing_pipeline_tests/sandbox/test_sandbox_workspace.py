"""The demo's folder: readable by the configuration, the same on every run, and free of secrets."""

import csv
import os
from pathlib import Path

import pytest

from billing_pipeline.config import (
    NetwoSource,
    OrangeSource,
    Proration,
    R189FilesSource,
    environment_names,
    load_config,
)
from billing_pipeline.normalize.claims import parse_claims, read_claim_files
from billing_pipeline.normalize.customers import read_customers
from billing_pipeline.sandbox.access import DEMO_SECRETS
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.workspace import write_workspace

URL = "http://127.0.0.1:8001"
OPERATORS = ["SFR", "AXIONE", "ALTITUDE"]


@pytest.fixture(scope="module")
def reseller() -> Reseller:
    return generate_reseller(scale=100, operators=OPERATORS)


def _state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def test_a_second_run_touches_no_file(tmp_path: Path, reseller: Reseller) -> None:
    write_workspace(tmp_path, reseller, URL)
    before = _state(tmp_path)
    write_workspace(tmp_path, generate_reseller(scale=100, operators=OPERATORS), URL)
    assert _state(tmp_path) == before


def test_another_port_changes_the_configuration_and_nothing_else(tmp_path: Path, reseller: Reseller) -> None:
    write_workspace(tmp_path, reseller, URL)
    before = _state(tmp_path)
    write_workspace(tmp_path, reseller, "http://127.0.0.1:8002")
    after = _state(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"billing.yaml"}
    assert set(after) == set(before)


def test_a_damaged_file_is_mended(tmp_path: Path, reseller: Reseller) -> None:
    write_workspace(tmp_path, reseller, URL)
    before = _state(tmp_path)
    name = "inbox/axione/R189_AXIONE_202401.csv"
    (tmp_path / name).write_bytes(b"half a file")
    write_workspace(tmp_path, reseller, URL)
    assert _state(tmp_path)[name][2] == before[name][2]


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, reseller: Reseller, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workspace(tmp_path, reseller, URL)
    before = _state(tmp_path)

    def disk_full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_workspace(tmp_path, reseller, "http://127.0.0.1:8002")
    assert _state(tmp_path) == before


def test_the_configuration_is_one_the_pipeline_accepts(tmp_path: Path, reseller: Reseller) -> None:
    config = load_config(write_workspace(tmp_path, reseller, URL))
    assert [operator.code for operator in config.operators] == OPERATORS
    conventions = [operator.reconciliation.proration for operator in config.operators]
    assert conventions == [Proration.ACTUAL_DAYS, Proration.THIRTIETHS, Proration.FULL_START_MONTH]
    sfr, axione, altitude = (operator.source for operator in config.operators)
    assert isinstance(sfr, NetwoSource)
    assert sfr.base_url == URL
    assert config.operators[0].profile.charge_types == {"(?i)frais|intervention": "one_off"}
    for source in (axione, altitude):
        assert isinstance(source, R189FilesSource)
        assert len([path for path in source.folder.iterdir() if path.name.endswith((".csv", ".csv.gz"))]) == 3
    services = config.services
    for path in (services.inventory, services.prices, services.expected_charges):
        assert path is not None
        assert path.is_file()
    assert environment_names(config) == [("SFR", "NETWO_API_KEY"), ("rebilling", "CUSTOMER_INVOICING_API_KEY")]


def test_orange_is_configured_to_the_sandbox_and_its_keys_to_the_environment(tmp_path: Path) -> None:
    config = load_config(write_workspace(tmp_path, generate_reseller(scale=20, operators=["ORANGE", "SFR"]), URL))
    source = config.operators[0].source
    assert isinstance(source, OrangeSource)
    assert (source.base_url, source.token_url) == (f"{URL}/billing/b2b/v1", f"{URL}/oauth/v3/token")
    names = [name for owner, name in environment_names(config) if owner != "rebilling"]
    assert sorted(names) == ["NETWO_API_KEY", "ORANGE_API_KEY", "ORANGE_CLIENT_ID", "ORANGE_CLIENT_SECRET"]
    assert set(names) < set(DEMO_SECRETS)
    written = "".join(path.read_text(encoding="utf-8", errors="replace") for path in tmp_path.rglob("*.*"))
    assert not [name for name, value in DEMO_SECRETS.items() if value in written]


def test_one_month_comes_compressed_and_no_other(tmp_path: Path, reseller: Reseller) -> None:
    write_workspace(tmp_path, reseller, URL)
    assert [path.name for path in tmp_path.rglob("*.gz")] == ["R189_AXIONE_202402.csv.gz"]


def test_the_inventory_breaks_none_of_its_own_rules(tmp_path: Path, reseller: Reseller) -> None:
    write_workspace(tmp_path, reseller, URL)
    services = _rows(tmp_path / "services.csv")
    known = {row["service_id"] for row in services}
    assert len(known) == len(services) == 300
    for row in services:
        assert row["terminated_on"] == "" or row["terminated_on"] >= row["activated_on"]
        assert float(row["monthly_price_ht"]) > 0
        assert 0 <= float(row["discount_percent"]) <= 100
        assert row["currency"] in ("EUR", "USD", "GBP", "CHF")
    prices = _rows(tmp_path / "service_prices.csv")
    assert len({(row["service_id"], row["valid_from"]) for row in prices}) == len(prices) > 0
    charges = _rows(tmp_path / "expected_charges.csv")
    assert {row["service_id"] for row in (*prices, *charges)} <= known
    assert {row["period"] for row in charges} <= {"2024-01", "2024-02", "2024-03"}


def test_every_customer_of_the_inventory_can_be_invoiced(tmp_path: Path, reseller: Reseller) -> None:
    config = load_config(write_workspace(tmp_path, reseller, URL))
    assert config.rebilling is not None
    customers, warnings = read_customers(config.rebilling.customers)
    assert set(customers) == {row["customer_id"] for row in _rows(tmp_path / "services.csv")}
    assert warnings == []


def test_no_customer_is_invoiced_in_two_currencies(tmp_path: Path, reseller: Reseller) -> None:
    write_workspace(tmp_path, reseller, URL)
    currencies: dict[str, set[str]] = {}
    for row in _rows(tmp_path / "services.csv"):
        currencies.setdefault(row["customer_id"], set()).add(row["currency"])
    assert max(map(len, currencies.values())) == 1
    assert len({currency for found in currencies.values() for currency in found}) > 1


def test_what_was_paid_and_disputed_is_valid_and_about_what_was_billed(tmp_path: Path, reseller: Reseller) -> None:
    config = load_config(write_workspace(tmp_path, reseller, URL))
    claims = parse_claims(read_claim_files(config.services), OPERATORS)
    assert claims.warnings == ()
    paid = {(row["operator_code"], row["invoice_id"]) for row in claims.payments.to_pylist()}
    billed = {
        (code, invoice.invoice_id): (str(period), invoice.document_type)
        for (code, period), invoices in reseller.invoices.items()
        for invoice in invoices
    }
    assert {billed[invoice] for invoice in paid} == {("2024-01", "invoice"), ("2024-02", "invoice")}
    overcharges = {(one.operator_code, str(one.period), one.subject): one.difference for one in reseller.injected}
    disputes = claims.disputes.to_pylist()
    assert {row["operator_code"] for row in disputes} == set(OPERATORS)
    assert {row["status"] for row in disputes} == {"sent", "accepted", "refused"}
    for row in disputes:
        difference = overcharges[row["operator_code"], row["period"], row["item_id"]]
        assert difference is not None
        assert 0 <= row["credited_amount"] <= difference
