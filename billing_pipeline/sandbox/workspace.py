"""The demo's working folder: configuration, inventory and drop folders as files. Serving the rest is server.py.

Files whose bytes are already right are left alone, so a second run finds the same documents and inventory.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from billing_pipeline.sandbox.access import DEMO_SECRETS, INVOICING_KEY, NETWO_KEY, ORANGE_ID, ORANGE_KEY, ORANGE_SECRET
from billing_pipeline.sandbox.claims import DISPUTE_COLUMNS, PAYMENT_COLUMNS, disputes, payments
from billing_pipeline.sandbox.operators import SandboxOperator
from billing_pipeline.sandbox.places import FIRMS
from billing_pipeline.sandbox.r189_rows import r189_rows
from billing_pipeline.sandbox.r189_writer import render_r189
from billing_pipeline.sandbox.reseller import Reseller
from billing_pipeline.sandbox.services import Service

API_KEY_ENVIRONMENT = NETWO_KEY
CONFIGURATION = "billing.yaml"
__all__ = ["API_KEY_ENVIRONMENT", "DEMO_SECRETS", "workspace_files", "write_workspace"]
_SERVICE_COLUMNS = (
    "service_id", "operator_code", "description", "customer_id", "currency", "monthly_price_ht", "discount_percent",
    "activated_on", "terminated_on", "installed_offer_id", "external_reference", "serial_number", "order_reference",
    "resale_price_ht",
)  # fmt: skip
_CUSTOMER_COLUMNS = ("customer_id", "invoicing_customer_id", "name", "vat_code", "payment_delay", "locale")


def write_workspace(folder: Path, reseller: Reseller, base_url: str) -> Path:
    """Writes what the pipeline needs to bill this reseller, and returns the path of billing.yaml.

    `base_url` is the sandbox's; it stands in billing.yaml alone. Each changed file is written aside and renamed, so a
    reader never sees half of one. Files of other periods or operators in the folder are left where they are.
    """
    for relative, content in workspace_files(reseller, base_url):
        _write_if_changed(folder / relative, content)
    return folder / CONFIGURATION


def workspace_files(reseller: Reseller, base_url: str) -> Iterator[tuple[str, bytes]]:
    """(path relative to the folder, bytes) of every file, the configuration last: it is there when all else is."""
    services = [service for code in reseller.services for service in reseller.services[code]]
    yield "services.csv", _csv(_SERVICE_COLUMNS, map(_service_row, services))
    prices = (
        (service.service_id, day.isoformat(), f"{price:f}")
        for service in services
        for day, price in service.terms.changes
    )
    yield "service_prices.csv", _csv(("service_id", "valid_from", "monthly_price_ht"), prices)
    expected = (
        (due.service_id, str(due.period), f"{due.amount:f}", due.description) for due in reseller.expected_charges
    )
    yield "expected_charges.csv", _csv(("service_id", "period", "amount_ht", "description"), expected)
    yield "payments.csv", _csv(PAYMENT_COLUMNS, payments(reseller))
    yield "disputes.csv", _csv(DISPUTE_COLUMNS, disputes(reseller))
    yield "customers.csv", _csv(_CUSTOMER_COLUMNS, _customer_rows(services))
    for operator in reseller.operators:
        if operator.source == "r189_files":
            for period in reseller.periods:
                dialect = operator.file_dialect(period)
                rows = r189_rows(reseller.invoices[operator.code, period], unsigned_credits=dialect.unsigned_credits)
                yield f"inbox/{operator.folder}/{operator.file_name(period)}", render_r189(rows, dialect)
    yield CONFIGURATION, _configuration(reseller, base_url).encode("utf-8")


def _customer_rows(services: Iterable[Service]) -> Iterator[tuple[str, ...]]:
    """Every customer with a name of its own; the invoicing API knows each under another id than the inventory."""
    for index, customer_id in enumerate(sorted({service.customer_id for service in services})):
        name = f"{FIRMS[index % len(FIRMS)]} {index // len(FIRMS) + 1}"
        yield customer_id, f"org-{customer_id.lower()}", name, "FR_2000", "thirty_days", "fr"


def _service_row(service: Service) -> tuple[str, ...]:
    terms = service.terms
    return (
        service.service_id, service.operator_code, service.description, service.customer_id, service.currency,
        f"{terms.price:f}", f"{terms.discount_percent:f}", terms.activated_on.isoformat(),
        terms.terminated_on.isoformat() if terms.terminated_on else "", *service.keys, f"{service.resale_price:f}",
    )  # fmt: skip


def _csv(header: Iterable[str], rows: Iterable[tuple[str, ...]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode("utf-8")


def _configuration(reseller: Reseller, base_url: str) -> str:
    operators = "".join(_operator_yaml(operator, base_url) for operator in reseller.operators)
    return f"""\
# Written by the sandbox. Secrets stay outside: a key that ends in _env names an environment variable.
version: 1
first_period: "{reseller.periods[0]}"
storage:
  data_dir: ./data
services:
  inventory: ./services.csv
  prices: ./service_prices.csv
  expected_charges: ./expected_charges.csv
  payments: ./payments.csv
  disputes: ./disputes.csv
operators:
{operators}rebilling:
  type: customer_invoicing
  base_url: {base_url}
  api_key_env: {INVOICING_KEY}
  customers: ./customers.csv
"""


def _operator_yaml(operator: SandboxOperator, base_url: str) -> str:
    if operator.source == "netwo":
        source = f"""\
    source:
      type: netwo
      base_url: {base_url}
      operator_code: {operator.code}
      api_key_env: {API_KEY_ENVIRONMENT}
    profile:
      charge_types: {{"(?i)frais|intervention": one_off}}
"""
    elif operator.source == "orange_b2b":
        source = f"""\
    source:
      type: orange_b2b
      base_url: {base_url}/billing/b2b/v1
      token_url: {base_url}/oauth/v3/token
      client_id_env: {ORANGE_ID}
      client_secret_env: {ORANGE_SECRET}
      api_key_env: {ORANGE_KEY}
"""
    else:
        source = f"""\
    source:
      type: r189_files
      folder: ./inbox/{operator.folder}
"""
    return f"""\
  - code: {operator.code}
    name: {operator.name}
{source}    reconciliation:
      proration: {operator.proration}
"""


def _write_if_changed(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A dot in front and no .csv behind: a collection that runs meanwhile does not take it for a delivery.
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
