"""The whole way from the API to verdicts: what the sandbox plays wrong is found, and a second run changes nothing."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from billing_pipeline.config import load_config
from billing_pipeline.sandbox.access import DEMO_SECRETS
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.sandbox.workspace import write_workspace
from billing_pipeline.storage.servers import connect_databases

PERIODS = ("2024-01", "2024-02", "2024-03")
COMMAND = [sys.executable, "-m", "billing_pipeline"]


@pytest.fixture(scope="module")
def ran() -> Iterator[tuple[Path, list, subprocess.CompletedProcess[str]]]:
    """(billing.yaml, the sandbox's request log, the run); the embedded server is stopped afterwards."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="orange-run-") as folder:
        reseller = generate_reseller(operators=["ORANGE"], scale=150)
        app = create_app(reseller, api_key="unused")
        with SandboxServer(app) as server:
            path = write_workspace(Path(folder), reseller, server.base_url)
            done = run(path)
            yield path, app.state.requests, done
        subprocess.run([*COMMAND, "db", "stop", "--config", str(path)], check=False, capture_output=True)


def run(path: Path) -> subprocess.CompletedProcess[str]:
    asked = [part for period in PERIODS for part in ("--period", period)]
    return subprocess.run(
        [*COMMAND, "run", "--config", str(path), *asked],
        env={**os.environ, **DEMO_SECRETS},
        capture_output=True,
        text=True,
        check=False,
    )


def rows(path: Path, query: str) -> list[tuple]:
    with psycopg.connect(connect_databases(load_config(path)).billing) as connection:
        return connection.execute(query).fetchall()


def test_a_run_against_the_api_finds_just_what_the_operator_did_wrong(ran):
    path, requests, done = ran
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(target.startswith("/billing/b2b/v1/bills?") for _, target in requests) == 1
    assert sum(target.startswith("/oauth/") for _, target in requests) == 1
    assert "Site-Inventory" in done.stdout
    found = {
        (period, re.sub(r":[0-9a-f]{8}-(\d+)$", r":\1", item)): (status, reason, difference)
        for period, item, status, reason, difference in rows(
            path,
            "SELECT period, item_id, status, reason_code, difference FROM billing.reconciliation_items "
            "WHERE status <> 'MATCHED'",
        )
    }
    injected = generate_reseller(operators=["ORANGE"], scale=150).injected
    expected = {
        (str(one.period), one.subject): (one.status, one.reason, one.difference)
        for one in injected
        if one.status not in (None, "MATCHED")
    }
    assert found == expected
    # A bill's own totals are what INVOICE_FOOTING compares with: without them it could find nothing here.
    findings = {
        ("invoice:" + invoice, code)
        for invoice, code in rows(path, "SELECT invoice_id, code FROM billing.invoice_findings")
    }
    assert findings == {(one.subject, one.reason) for one in injected if one.status is None}
    assert any(code == "INVOICE_FOOTING" for _, code in findings)


def test_a_second_run_changes_no_row(ran):
    path, _, _ = ran
    tables = ("invoices", "invoice_lines", "reconciliation_items", "reconciliation_summary", "source_documents")
    before = {name: rows(path, f"SELECT * FROM billing.{name} ORDER BY 1, 2, 3") for name in tables}
    assert run(path).returncode == 0
    assert {name: rows(path, f"SELECT * FROM billing.{name} ORDER BY 1, 2, 3") for name in tables} == before


def test_no_secret_lies_in_the_data_folder(ran):
    path, _, done = ran
    secrets = [value.encode() for name, value in DEMO_SECRETS.items() if name.startswith("ORANGE_")]
    files = [one for one in path.parent.rglob("*") if one.is_file() and "postgres" not in one.parts]
    assert len(files) > 50
    assert not [one for one in files for secret in secrets if secret in one.read_bytes()]
    assert not any(secret.decode() in done.stdout + done.stderr for secret in secrets)
