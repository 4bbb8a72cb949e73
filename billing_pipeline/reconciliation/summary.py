"""What a month comes to: counts and amounts per operator, and each invoice's worst verdict. Takes no verdict itself.

State and file counters of the summary belong to the caller, who knows what was collected.
"""

import ibis
from ibis.expr.types import Table

from billing_pipeline.reconciliation.content import MONEY, NO_TEXT, WIDE
from billing_pipeline.reconciliation.details import plain
from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.reconciliation.match import qualified

_NOTHING = ibis.literal(0, WIDE)


def summarize(items: Table, services: Table) -> Table:
    """One row: total_services, matched, unmatched, discrepancies, line_items, orphan_lines, orphan_amount,
    service_amount, invoice_amount, difference, `currency` and `other_currencies`.

    Amounts are in `currency`, that of most contracts in `services` (ties: the first by code; without contracts, that
    of most items); `other_currencies` words the sums in each other one, null where there is none.
    """
    counted = items.aggregate(
        total_services=(items.side == "service").sum(),
        matched=((items.side == "service") & (items.status == "MATCHED")).sum(),
        unmatched=((items.side == "service") & (items.status == "UNMATCHED")).sum(),
        discrepancies=((items.side == "service") & (items.status == "DISCREPANCY")).sum(),
        line_items=(items.side == "line").sum(),
        orphan_lines=((items.side == "line") & (items.status == "UNMATCHED")).sum(),
    )
    counts = counted.select(**{name: ibis.coalesce(counted[name], 0) for name in counted.columns})
    sums = keep(_by_currency(items, services))
    currency = _main_currency(items, services)
    main = sums.filter(sums.currency == currency) if currency else sums.limit(0)
    amounts = main.aggregate(**{name: ibis.coalesce(main[name].sum(), _NOTHING).cast(MONEY) for name in _AMOUNTS})
    amounts = amounts.mutate(
        difference=amounts.invoice_amount - amounts.service_amount, currency=ibis.literal(currency, "string")
    )
    others = sums.filter(sums.currency != currency) if currency else sums.limit(0)
    return counts.cross_join(amounts).cross_join(_worded(others))


_AMOUNTS = ("orphan_amount", "service_amount", "invoice_amount")


def _by_currency(items: Table, services: Table) -> Table:
    """Per currency the three sums. An expected amount is in its contract's currency, whatever was billed."""
    # Only a service billed in another currency as a whole is not an item in its contract's.
    elsewhere = (items.reason_code == "CURRENCY_MISMATCH") & items.service_amount.notnull()
    foreign = items.filter(ibis.coalesce(elsewhere, False))
    orphan = (items.side == "line") & (items.status == "UNMATCHED")
    own = items.mutate(
        service_amount=ibis.ifelse(ibis.coalesce(elsewhere, False), _NOTHING, items.service_amount.cast(WIDE)),
        orphan_amount=ibis.ifelse(orphan, items.invoice_amount.cast(WIDE), _NOTHING),
    )
    sums = own.group_by("currency").aggregate(
        **{name: ibis.coalesce(own[name].cast(WIDE).sum(), _NOTHING).cast(WIDE) for name in _AMOUNTS}
    )
    expected = foreign.inner_join(services.select("service_id", contract_currency="currency"), "service_id").select(
        currency="contract_currency",
        orphan_amount=_NOTHING,
        service_amount=foreign.service_amount.cast(WIDE),
        invoice_amount=_NOTHING,
    )
    rows = sums.select("currency", *_AMOUNTS).union(expected)
    return rows.group_by("currency").aggregate(**{name: rows[name].sum().cast(WIDE) for name in _AMOUNTS})


def _main_currency(items: Table, services: Table) -> str | None:
    for rows in (services, items):
        counts = rows.group_by("currency").aggregate(count=rows.count()).to_pyarrow().to_pylist()
        if counts:
            return str(min(counts, key=lambda row: (-row["count"], row["currency"]))["currency"])
    return None


def _worded(others: Table) -> Table:
    """`also in USD: expected 10.00, billed 12.50, of which without a service 0.00`, one clause per currency."""
    clause = (
        ibis.literal("also in ") + others.currency + ": expected " + plain(others.service_amount)
        + ", billed " + plain(others.invoice_amount) + ", of which without a service " + plain(others.orphan_amount)
    )  # fmt: skip
    worded = others.select(clause=clause)
    # Sorted as an array: not every engine concatenates in an order.
    joined = worded.aggregate(other_currencies=worded.clause.collect().sort().join("; "))
    return joined.mutate(other_currencies=ibis.coalesce(joined.other_currencies, NO_TEXT))


def invoice_status(items: Table, lines_in_period: Table, findings: Table) -> Table:
    """invoice_id, reconciliation_status of each invoice that has lines in the month.

    `lines_in_period`: invoice_id, line_id of every share of the month; `findings`: INVOICE_FINDINGS of these invoices,
    whichever partition found them. A finding makes the invoice a DISCREPANCY; one about a file names no invoice.
    """
    excepted = items.filter((items.status != "MATCHED") & (items.invoice_line_ids.length() > 0))
    severity = ibis.ifelse(excepted.status == "DISCREPANCY", 2, 1).cast("int8")
    excepted = excepted.mutate(severity=severity)
    # Nearly every item has one line, whose invoice it names; the lines of several may be of several invoices.
    one = excepted.filter(excepted.invoice_line_ids.length() == 1).select("invoice_id", "severity")
    many = excepted.filter(excepted.invoice_line_ids.length() > 1)
    named = keep(many.select("severity", line=many.invoice_line_ids.unnest()))
    lines = lines_in_period.select("invoice_id", line=qualified(lines_in_period))
    told = one.union(lines.inner_join(named, "line").select("invoice_id", severity=named.severity))
    found = findings.filter(findings.invoice_id != "").select("invoice_id", severity=ibis.literal(2, "int8"))
    told = told.union(found)
    worst = told.group_by("invoice_id").aggregate(severity=told.severity.max())
    invoices = lines_in_period.select("invoice_id").distinct()
    rows = invoices.left_join(worst, "invoice_id").select(invoices, severity=worst.severity)
    return rows.select(
        "invoice_id",
        reconciliation_status=ibis.cases(
            (rows.severity == 2, "DISCREPANCY"), (rows.severity == 1, "UNMATCHED"), else_="MATCHED"
        ),
    )
