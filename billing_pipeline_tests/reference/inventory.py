"""The three inventory files into services, prices and expected charges. A simple reader: a faulty file is an error."""

import csv
import datetime as dt
from collections.abc import Container
from decimal import Decimal
from pathlib import Path

from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.iso4217 import CODES
from billing_pipeline_tests.reference.records import ExpectedCharge, Price, Service


def _records(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return [{name: value.strip() for name, value in row.items()} for row in csv.DictReader(stream, strict=True)]


def _optional(text: str | None) -> str | None:
    return text or None


def read_services(path: Path, configured: Container[str]) -> list[Service]:
    """The services of the configured operators, in file order. ValueError names the row that breaks a rule."""
    services: list[Service] = []
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(_records(path), start=1):
        if row["operator_code"] not in configured:
            continue
        service = Service(
            operator_code=row["operator_code"],
            service_id=row["service_id"],
            description=_optional(row["description"]),
            customer_id=_optional(row["customer_id"]),
            currency=row["currency"],
            monthly_price_ht=Decimal(row["monthly_price_ht"]),
            discount_percent=Decimal(row["discount_percent"] or 0),
            activated_on=dt.date.fromisoformat(row["activated_on"]),
            terminated_on=dt.date.fromisoformat(row["terminated_on"]) if row["terminated_on"] else None,
            installed_offer_id=_optional(row["installed_offer_id"]),
            external_reference=_optional(row["external_reference"]),
            serial_number=_optional(row["serial_number"]),
            order_reference=_optional(row["order_reference"]),
            resale_price_ht=Decimal(row["resale_price_ht"]) if row.get("resale_price_ht") else None,
        )
        key = service.operator_code, service.service_id
        ends_early = service.terminated_on is not None and service.terminated_on < service.activated_on
        bad_money = service.monthly_price_ht < 0 or not 0 <= service.discount_percent <= 100
        if key in seen or ends_early or bad_money or service.currency not in CODES:
            raise ValueError(f"{path}: row {number} breaks a rule of the inventory")
        seen.add(key)
        services.append(service)
    return services


def read_prices(path: Path, services: list[Service], left_out: Container[str]) -> list[Price]:
    """The price history; prices of services in `left_out` (other operators') are left out with them."""
    known = {service.service_id for service in services}
    prices: list[Price] = []
    days: set[tuple[str, dt.date]] = set()
    for number, row in enumerate(_records(path), start=1):
        if row["service_id"] in left_out:
            continue
        price = Price(row["service_id"], dt.date.fromisoformat(row["valid_from"]), Decimal(row["monthly_price_ht"]))
        if price.service_id not in known or price.monthly_price_ht < 0 or (price.service_id, price.valid_from) in days:
            raise ValueError(f"{path}: row {number} breaks a rule of the price history")
        days.add((price.service_id, price.valid_from))
        prices.append(price)
    return prices


def read_charges(path: Path, services: list[Service], left_out: Container[str]) -> list[ExpectedCharge]:
    """The expected one-off charges in file order, `position` counted from 1."""
    known = {service.service_id for service in services}
    charges: list[ExpectedCharge] = []
    for number, row in enumerate(_records(path), start=1):
        if row["service_id"] in left_out:
            continue
        if row["service_id"] not in known:
            raise ValueError(f"{path}: row {number} names an unknown service")
        month = str(Period.parse(row["period"]))
        charges.append(
            ExpectedCharge(row["service_id"], month, Decimal(row["amount_ht"]), _optional(row["description"]), number)
        )
    return charges


def unconfigured(path: Path, configured: Container[str]) -> set[str]:
    """The service ids of operators that are not configured and of no configured one."""
    rows = _records(path)
    ours = {row["service_id"] for row in rows if row["operator_code"] in configured}
    return {row["service_id"] for row in rows} - ours
