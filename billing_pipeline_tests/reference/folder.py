"""A whole folder of charge files and its inventory, to what the pipeline must give for it. No rule lives here."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from billing_pipeline.config import BillingConfig, Operator, R189FilesSource, load_config
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.expectation import active_days, expected_amount
from billing_pipeline_tests.reference.files import Partition, partitions, read_folder
from billing_pipeline_tests.reference.inventory import read_charges, read_prices, read_services, unconfigured
from billing_pipeline_tests.reference.invoice_findings import findings_of
from billing_pipeline_tests.reference.r189 import line_of
from billing_pipeline_tests.reference.records import (
    ExpectedCharge,
    Finding,
    Item,
    Line,
    Price,
    RejectedRow,
    Service,
)
from billing_pipeline_tests.reference.summary import Summary, invoice_statuses, summarise, worst
from billing_pipeline_tests.reference.verdicts import reconcile

EVALUATED, NOT_EVALUATED = "EVALUATED", "NOT_EVALUATED"


@dataclass
class Evaluation:
    """One operator's month. `expected`: service_id → (E, active days). Without items where not evaluated."""

    state: str
    why: list[str]
    files: int
    rows_read: int
    rows_rejected: int
    summary: Summary | None
    services: dict[str, tuple[Decimal, int]]
    lines: list[Line]
    rejected: list[RejectedRow]
    findings: list[Finding]
    items: list[Item]
    invoice_status: dict[str, str]


@dataclass(frozen=True)
class Inventory:
    services: list[Service]
    prices: list[Price]
    charges: list[ExpectedCharge]


def evaluate(config_path: Path, periods: Sequence[Period]) -> dict[tuple[str, Period], Evaluation]:
    """What the pipeline must give once all `periods` were collected and then reconciled."""
    config = load_config(config_path)
    evaluations: dict[tuple[str, Period], Evaluation] = {}
    for operator in config.operators:
        if not isinstance(operator.source, R189FilesSource):
            raise ValueError(f"{operator.code}: only folders of charge files can be evaluated here")
        files = read_folder(operator.source.folder, operator.profile)
        collected = partitions(files, periods, operator.reconciliation.max_rejected_ratio)
        lines = {period: _lines(operator, period, partition) for period, partition in collected.items()}
        every_line = [line for period in periods for line in lines[period]]
        findings = {
            period: sorted(
                [*partition.findings, *findings_of(lines[period])],
                key=lambda one: (one.invoice_id, one.line_id, one.code, one.subject),
            )
            for period, partition in collected.items()
        }
        every_finding = [finding for period in periods for finding in findings[period]]
        for period in periods:
            inventory = _inventory(config, operator, period)
            evaluation = _before_verdicts(operator, period, collected[period], inventory)
            evaluation.lines, evaluation.findings = lines[period], findings[period]
            if evaluation.state == EVALUATED:
                _add_verdicts(evaluation, operator, period, inventory, every_line, every_finding)
            evaluations[operator.code, period] = evaluation
    return evaluations


def _lines(operator: Operator, period: Period, partition: Partition) -> list[Line]:
    return [line_of(file, charge, operator.code, period) for file, charge in partition.loaded]


def _inventory(config: BillingConfig, operator: Operator, period: Period) -> Inventory:
    def of_month(path: Path) -> Path:
        return Path(str(path).replace("{period}", str(period)))

    codes = {one.code for one in config.operators}
    path = of_month(config.services.inventory)
    every_service, left_out = read_services(path, codes), unconfigured(path, codes)
    prices = config.services.prices
    charges = config.services.expected_charges
    own = [service for service in every_service if service.operator_code == operator.code]
    ids = {service.service_id for service in own}
    return Inventory(
        own,
        [p for p in (read_prices(of_month(prices), every_service, left_out) if prices else []) if p.service_id in ids],
        [
            c
            for c in (read_charges(of_month(charges), every_service, left_out) if charges else [])
            if c.service_id in ids
        ],
    )


def _before_verdicts(operator: Operator, period: Period, partition: Partition, inventory: Inventory) -> Evaluation:
    proration = operator.reconciliation.proration
    return Evaluation(
        state=NOT_EVALUATED if partition.incomplete else EVALUATED,
        why=partition.incomplete,
        files=len(partition.files),
        rows_read=partition.rows_read,
        rows_rejected=partition.rows_rejected,
        summary=None,
        services={
            service.service_id: (
                expected_amount(service, inventory.prices, period, proration),
                len(active_days(service, period)),
            )
            for service in inventory.services
        },
        lines=[],
        rejected=sorted(
            partition.rejected, key=lambda row: (row.file, row.source_row, row.column_name, row.check_name)
        ),
        findings=[],
        items=[],
        invoice_status={},
    )


def _add_verdicts(
    evaluation: Evaluation,
    operator: Operator,
    period: Period,
    inventory: Inventory,
    lines: list[Line],
    findings: list[Finding],
) -> None:
    """`lines` and `findings`: of every collected period, since a later invoice can bill this month."""
    rejected_keys = [row.keys for row in evaluation.rejected if row.check_name != "superseded"]
    rules = operator.reconciliation
    evaluation.items = reconcile(
        inventory.services, inventory.prices, inventory.charges, lines, rejected_keys, period, rules
    )
    evaluation.summary = summarise(evaluation.items, inventory.services)
    evaluation.invoice_status = invoice_statuses(lines, evaluation.items, findings, period)


def overall_status(evaluations: dict[tuple[str, Period], Evaluation], operator: str) -> dict[str, str]:
    """Per invoice of the operator the worst of its evaluated months; invoices without one are not in it (null)."""
    met: dict[str, set[str]] = {}
    for (code, _), evaluation in evaluations.items():
        if code == operator:
            for invoice, status in evaluation.invoice_status.items():
                met.setdefault(invoice, set()).add(status)
    return {invoice: worst(statuses) for invoice, statuses in sorted(met.items())}
