"""What the sandbox says it injected, against the slow reading of the same files by the rules (reference/)."""

from decimal import Decimal
from pathlib import Path

import pytest

from billing_pipeline.config import ChargeType, DocumentType, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.reseller import Injection, Reseller, generate_reseller
from billing_pipeline.sandbox.workspace import write_workspace
from billing_pipeline_tests.reference.folder import evaluate
from billing_pipeline_tests.reference.records import ExpectedCharge, Item, Line, Price, Service
from billing_pipeline_tests.reference.verdicts import reconcile

Verdict = tuple[str, str | None, Decimal | None]
RIGHT: Verdict = ("MATCHED", None, Decimal(0))


def _injected(reseller: Reseller, operator: str, period: Period) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    for one in reseller.injected:
        if (one.operator_code, one.period) == (operator, period) and one.status is not None:
            assert one.subject not in found
            found[one.subject] = (one.status, one.reason, one.difference)
    return found


def _subject(item: Item, operator: str) -> str:
    """The item's id as the sandbox names it: for R189 without the file's hash."""
    if operator == "SFR" or not item.item_id.startswith("line:"):
        return item.item_id
    invoice, line = item.item_id.rsplit(":", 1)
    return f"{invoice}:{line.rpartition('-')[2]}"


def _unlike(reseller: Reseller, operator: str, period: Period, items: list[Item]) -> dict[str, tuple[Verdict, Verdict]]:
    """Subject → (verdict, what was to be expected), where the two differ. What was not injected is to be right."""
    injected = _injected(reseller, operator, period)
    verdicts = {_subject(item, operator): (item.status, item.reason_code, item.difference) for item in items}
    assert set(injected) <= set(verdicts)
    return {
        subject: (verdict, injected.get(subject, RIGHT))
        for subject, verdict in verdicts.items()
        if verdict != injected.get(subject, RIGHT)
    }


@pytest.mark.parametrize(("seed", "scale"), [(20240301, 150), (7, 100)])
def test_charge_files_earn_the_verdicts_injected_and_no_others(tmp_path: Path, seed: int, scale: int) -> None:
    reseller = generate_reseller(seed=seed, scale=scale, operators=["AXIONE", "ALTITUDE"])
    evaluations = evaluate(write_workspace(tmp_path, reseller, "http://127.0.0.1:1"), reseller.periods)
    assert len(evaluations) == 6
    for (operator, period), evaluation in evaluations.items():
        assert evaluation.state == "EVALUATED", evaluation.why
        assert _unlike(reseller, operator, period, evaluation.items) == {}
        findings = {(one.invoice_id, one.code) for one in evaluation.findings}
        assert findings == _findings(reseller.injected, operator, period)


def _findings(injected: tuple[Injection, ...], operator: str, period: Period) -> set[tuple[str, str | None]]:
    return {
        (one.subject.removeprefix("invoice:"), one.reason)
        for one in injected
        if (one.operator_code, one.period, one.status) == (operator, period, None)
    }


@pytest.mark.parametrize(("seed", "scale"), [(20240301, 150), (7, 100)])
def test_the_hubs_lines_earn_the_verdicts_injected_and_no_others(seed: int, scale: int) -> None:
    reseller = generate_reseller(seed=seed, scale=scale, operators=["SFR"])
    lines = [
        Line(
            period=str(invoice.period),
            invoice_id=invoice.invoice_id,
            line_id=f"LN-{position:03d}",
            service_id=charge.service_id,
            charge_type="recurring" if charge.charge_type is ChargeType.RECURRING else "one_off",
            document_type="credit_note" if invoice.document_type is DocumentType.CREDIT_NOTE else "invoice",
            description=charge.description,
            total_ht=charge.amount,
            currency=invoice.currency,
        )
        for found in reseller.invoices.values()
        for invoice in found
        for position, charge in enumerate(invoice.charges, start=1)
    ]
    services, prices, charges = _inventory(reseller)
    for period in reseller.periods:
        items = reconcile(services, prices, charges, lines, [], period, ReconciliationRules())
        assert _unlike(reseller, "SFR", period, items) == {}


def _inventory(reseller: Reseller) -> tuple[list[Service], list[Price], list[ExpectedCharge]]:
    services = [
        Service(
            service_id=one.service_id,
            currency=one.currency,
            monthly_price_ht=one.terms.price,
            discount_percent=one.terms.discount_percent,
            activated_on=one.terms.activated_on,
            terminated_on=one.terms.terminated_on,
        )
        for one in reseller.services["SFR"]
    ]
    prices = [Price(one.service_id, day, price) for one in reseller.services["SFR"] for day, price in one.terms.changes]
    charges = [
        ExpectedCharge(due.service_id, str(due.period), due.amount, due.description, position)
        for position, due in enumerate(reseller.expected_charges, start=1)
    ]
    return services, prices, charges
