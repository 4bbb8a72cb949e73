"""The order of the steps that turn a month's lines and services into verdicts. Each rule stands in its own module."""

from dataclasses import dataclass, replace

import ibis
from ibis.expr.types import Table

from billing_pipeline.config import ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import verdict
from billing_pipeline.reconciliation.content import NO_TEXT, as_content
from billing_pipeline.reconciliation.decompose import decompose, weightiest
from billing_pipeline.reconciliation.keep import is_empty, keep
from billing_pipeline.reconciliation.match import attribute
from billing_pipeline.reconciliation.pairing import pair
from billing_pipeline.reconciliation.settle import settle
from billing_pipeline.schemas.tables import RECONCILIATION_REASONS


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one operator's month is reconciled from; all tables of one backend, amounts decimal(18, 6).

    services: content of SERVICES for the month, with expected_amount and active_days.
    prices: service_id, valid_from, monthly_price_ht.
    expected_charges: service_id, period, amount_ht, description, position (1 = first in the file); any months.
    lines: INVOICE_LINES with period, the partition that brought them; at least those that have a share in the month.
    allocations: LINE_ALLOCATIONS with period, those of the month and no others.
    rejected_keys: installed_offer_id, external_reference, serial_number, order_reference of the month's rejected rows.
    """

    services: Table
    prices: Table
    expected_charges: Table
    lines: Table
    allocations: Table
    rejected_keys: Table


@dataclass(frozen=True, slots=True)
class Results:
    """The content of RECONCILIATION_ITEMS and RECONCILIATION_REASONS, in no order."""

    items: Table
    reasons: Table


def reconcile(inputs: Inputs, period: Period, rules: ReconciliationRules) -> Results:
    """Every active service and every share of `period` in exactly one item, and each difference explained.

    A CURRENCY_MISMATCH has no difference, hence no row among the reasons.
    """
    attributed = attribute(inputs.lines, inputs.allocations, inputs.services, period, rules)
    settled = settle(attributed, inputs.services)
    judged, explained = _judge(replace(inputs, services=settled.services), settled.shares, period, rules)
    return Results(settled.items.union(judged), _reasons(settled.items, judged, explained))


def _judge(inputs: Inputs, shares: Table, period: Period, rules: ReconciliationRules) -> tuple[Table, Table | None]:
    """The items of `inputs.services` and `shares`, kept, and the reasons of the services that differ."""
    recurring = verdict.recurring(shares)
    native = recurring.filter(recurring.currency == recurring.contract_currency)
    services, foreign_items = _foreign(inputs.services, recurring, native)
    compared = keep(verdict.compare(services, native, period, rules.tolerance_per_line))
    explained = _explain(inputs, compared, native, period, rules)
    rejected = _line_rejected(inputs, compared, rules)
    told = [weightiest(explained)] if explained is not None else []
    told += [rejected] if rejected is not None else []
    of_services = verdict.service_items(compared, native, ibis.union(*told) if told else None)
    apart = [*foreign_items, verdict.unattributed_items(shares), *_one_off_items(inputs, shares, period, rules)]
    return keep(ibis.union(of_services, *apart)), explained


def _foreign(services: Table, recurring: Table, native: Table) -> tuple[Table, list[Table]]:
    """The services that are left to be compared, and the items of shares in a currency that is not their contract's."""
    foreign = recurring.filter(recurring.currency != recurring.contract_currency)
    if is_empty(foreign):
        return services, []
    foreign = keep(foreign)
    mismatched = keep(verdict.wholly_foreign(foreign, native))
    apart = foreign.anti_join(mismatched, "service_id")
    return services.anti_join(mismatched, "service_id"), [
        verdict.mismatch_items(mismatched, services, foreign),
        verdict.foreign_line_items(apart),
    ]


def _explain(
    inputs: Inputs, compared: Table, native: Table, period: Period, rules: ReconciliationRules
) -> Table | None:
    discrepancies = keep(compared.filter(compared.status == "DISCREPANCY"))
    if is_empty(discrepancies):
        return None
    return decompose(discrepancies, native, inputs.lines, inputs.services, inputs.prices, period, rules)


def _line_rejected(inputs: Inputs, compared: Table, rules: ReconciliationRules) -> Table | None:
    unbilled = compared.filter((compared.status == "UNMATCHED") & compared.is_active)
    if is_empty(inputs.rejected_keys) or is_empty(unbilled):
        return None
    keys = keep(inputs.services.semi_join(unbilled, "service_id"))
    named = verdict.rejected_services(keys, inputs.rejected_keys, rules.match_on)
    return named.select("service_id", reason_code=ibis.literal("LINE_REJECTED"))


def _one_off_items(inputs: Inputs, attributed: Table, period: Period, rules: ReconciliationRules) -> list[Table]:
    one_off = attributed.filter((attributed.charge_type != "recurring") & attributed.service_id.notnull())
    if is_empty(one_off):
        return []
    one_off = keep(one_off)
    comparable = one_off.filter(one_off.currency == one_off.contract_currency)
    pairs = pair(comparable, inputs.expected_charges, period, rules.tolerance_per_line)
    return [verdict.one_off_items(one_off, pairs)]


def _reasons(settled: Table, judged: Table, explained: Table | None) -> Table:
    """The decomposed differences, and for every other item its one reason, which is all of its difference."""
    differing = (judged.side == "service") & (judged.status == "DISCREPANCY")
    parts = [
        items.filter(items.reason_code.notnull() & (items["difference"] != 0)).select(
            "item_id", "reason_code", amount="difference", note=NO_TEXT
        )
        for items in (settled, judged.filter(~differing))
    ]
    if explained is not None:
        item = ibis.literal("service:") + explained.service_id
        parts.append(explained.select(item.name("item_id"), "reason_code", "amount", "note"))
    return as_content(keep(ibis.union(*parts)), RECONCILIATION_REASONS)
