"""Which status each service and each line share gets. Why a DISCREPANCY is one, decompose.py says.

Works from shares that know their service (match.py). A service is compared by its recurring shares in its contract's
currency; every other share is an item of its own, or its service is a CURRENCY_MISMATCH.
"""

from collections.abc import Sequence
from decimal import Decimal

import ibis
from ibis.expr.types import Table

from billing_pipeline.config import MatchKey
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import details
from billing_pipeline.reconciliation.content import MONEY, NO_MONEY, NO_TEXT, as_content
from billing_pipeline.reconciliation.keep import is_empty, keep
from billing_pipeline.reconciliation.match import comparable, qualified
from billing_pipeline.schemas.tables import RECONCILIATION_ITEMS

_NOTHING = ibis.literal(0, MONEY)
_NO_LINES = ibis.literal([], type="array<string>")


def recurring(attributed: Table) -> Table:
    """The shares by which services are compared, whatever their currency."""
    return attributed.filter((attributed.charge_type == "recurring") & attributed.service_id.notnull())


def wholly_foreign(foreign: Table, native: Table) -> Table:
    """Active services billed in one currency that is not their contract's, and in nothing else: service_id, billed."""
    billed = (
        foreign.filter(foreign.is_active)
        .group_by("service_id")
        .aggregate(
            billed=foreign.amount.sum(), billed_currency=foreign.currency.min(), last_currency=foreign.currency.max()
        )
    )
    one = billed.filter(billed.billed_currency == billed.last_currency).drop("last_currency")
    return one.anti_join(native, "service_id")


def compare(services: Table, native: Table, period: Period, tolerance_per_line: Decimal) -> Table:
    """Each service that has a day in `period` or recurring lines, expected beside billed.

    Columns: service_id, currency, is_active, expected, billed, difference, tolerance (amounts in currency), line_count,
    status; ended: whether an inactive service ended before the month; and, where it has exactly one line, that line's
    invoice_id, line_id and match_key.
    """
    billed = native.group_by("service_id").aggregate(
        line_count=native.count(),
        billed=native.amount.sum(),
        invoice_id=native.invoice_id.min(),
        line_id=native.line_id.min(),
        match_key=native.match_key.min(),
    )
    rows = services.left_join(billed, "service_id").select(
        "service_id",
        "currency",
        "terminated_on",
        is_active=services.active_days > 0,
        expected=services.expected_amount,
        billed=ibis.coalesce(billed.billed.cast(MONEY), _NOTHING),
        line_count=ibis.coalesce(billed.line_count, 0),
        invoice_id=billed.invoice_id,
        line_id=billed.line_id,
        match_key=billed.match_key,
    )
    rows = rows.filter(rows.is_active | (rows.line_count > 0))
    owed = ibis.ifelse(rows.is_active, rows.expected, _NOTHING)
    per_line = ibis.literal(tolerance_per_line, "decimal(38, 6)")
    rows = rows.mutate(
        difference=rows.billed - owed,
        tolerance=per_line * ibis.greatest(rows.line_count, 1),
        ended=ibis.coalesce(rows.terminated_on < period.first_day, False),
    ).drop("terminated_on")
    near = rows["difference"].abs() <= rows.tolerance
    return rows.mutate(
        status=ibis.cases((near, "MATCHED"), (rows.is_active & (rows.line_count > 0), "DISCREPANCY"), else_="UNMATCHED")
    )


def rejected_services(unbilled: Table, rejected_keys: Table, match_on: Sequence[MatchKey]) -> Table:
    """Those of `unbilled` (service_id and keys) that a rejected row names by a key the contract matches on."""
    named = [unbilled.select("service_id").limit(0)]
    for tier in match_on:
        if tier.value in rejected_keys.columns:
            keys = rejected_keys.select(key=comparable(rejected_keys[tier.value]))
            keyed = unbilled.select("service_id", key=comparable(unbilled[tier.value]))
            named.append(keyed.semi_join(keys.filter(keys.key.notnull()), "key").select("service_id"))
    return ibis.union(*named, distinct=True) if len(named) > 1 else named[0]


def lines_of(shares: Table) -> Table:
    """Per service the line with the largest signed share (ties: lowest ids), and the names of all its lines, sorted."""
    order = ibis.window(
        group_by=shares.service_id, order_by=[shares.amount.desc(), shares.invoice_id.asc(), shares.line_id.asc()]
    )
    ranked = shares.mutate(rank=ibis.row_number().over(order))
    first = ranked.filter(ranked.rank == 0).select("service_id", "invoice_id", "line_id", "match_key")
    named = shares.group_by("service_id").aggregate(invoice_line_ids=qualified(shares).collect().sort())
    return first.inner_join(named, "service_id")


def service_items(compared: Table, native: Table, told: Table | None) -> Table:
    """Items `service:<id>` of the compared services; `told` (service_id, reason_code) overrules the plain reason."""
    rows = compared.filter(compared.line_count <= 1)
    rows = rows.mutate(invoice_line_ids=ibis.ifelse(rows.line_count == 0, _NO_LINES, ibis.array([qualified(rows)])))
    many = compared.filter(compared.line_count > 1).drop("invoice_id", "line_id", "match_key")
    if not is_empty(many):
        many = keep(many)
        of_many = lines_of(native.semi_join(many, "service_id"))
        rows = rows.union(keep(many.inner_join(of_many, "service_id").select(rows.columns)))
    if told is None:
        rows = rows.mutate(told=NO_TEXT)
    else:
        rows = rows.left_join(told, "service_id").select(rows, told=told.reason_code)
    plain = ibis.cases(
        (rows["difference"] == 0, NO_TEXT),
        (rows.status == "MATCHED", "ROUNDING"),
        (rows.is_active, "NOT_BILLED"),
        (rows.ended, "BILLED_AFTER_TERMINATION"),
        else_="BILLED_BEFORE_ACTIVATION",
    )
    rows = rows.mutate(
        side=ibis.ifelse(rows.is_active, "service", "line"),
        service_amount=ibis.ifelse(rows.is_active, rows.expected, NO_MONEY),
        invoice_amount=ibis.ifelse(rows.line_count > 0, rows.billed, NO_MONEY),
        reason_code=ibis.coalesce(rows.told, plain),
    )
    return _as_items(rows.mutate(item_id=_of_service(rows), invoice_line_id=rows.line_id, detail=_detail(rows)))


def mismatch_items(foreign_services: Table, services: Table, foreign: Table) -> Table:
    """Items `service:<id>` of the services billed wholly in one other currency."""
    rows = foreign_services.inner_join(services, "service_id").select(
        foreign_services, service_amount=services.expected_amount
    )
    lines = lines_of(foreign.semi_join(foreign_services, "service_id"))
    rows = rows.inner_join(lines, "service_id")
    return _as_items(
        rows.mutate(
            item_id=_of_service(rows),
            side=ibis.literal("service"),
            invoice_line_id=rows.line_id,
            status=ibis.literal("DISCREPANCY"),
            invoice_amount=rows.billed,
            difference=NO_MONEY,
            currency=rows.billed_currency,
            reason_code=ibis.literal("CURRENCY_MISMATCH"),
            detail=ibis.literal(details.CURRENCY_MISMATCH),
        )
    )


def foreign_line_items(foreign: Table) -> Table:
    """One item per recurring share in a foreign currency whose service is not foreign as a whole."""
    return _line_items(
        foreign,
        status=ibis.literal("DISCREPANCY"),
        service_amount=NO_MONEY,
        difference=NO_MONEY,
        reason_code=ibis.literal("CURRENCY_MISMATCH"),
        detail=ibis.literal(details.CURRENCY_MISMATCH),
    )


def unattributed_items(attributed: Table) -> Table:
    """One item per share that names no service, or more than one."""
    shares = attributed.filter(attributed.service_id.isnull())
    known = shares.match_key.notnull()
    return _line_items(
        shares,
        status=ibis.literal("UNMATCHED"),
        service_amount=NO_MONEY,
        difference=shares.amount,
        reason_code=ibis.ifelse(known, "AMBIGUOUS_SERVICE", "UNKNOWN_SERVICE"),
        detail=ibis.ifelse(known, details.AMBIGUOUS_SERVICE, details.UNKNOWN_SERVICE),
    )


def one_off_items(one_off: Table, pairs: Table) -> Table:
    """One item per one-off or usage share of a known service; `pairs` holds those with an expected charge."""
    rows = one_off.left_join(pairs, ["period", "invoice_id", "line_id"]).select(one_off, charge=pairs.charge)
    paired = rows.charge.notnull()
    difference = rows.amount - ibis.coalesce(rows.charge, _NOTHING)
    return _line_items(
        rows,
        status=ibis.ifelse(paired, "MATCHED", "DISCREPANCY"),
        service_amount=rows.charge,
        difference=difference,
        reason_code=ibis.cases((~paired, "UNEXPECTED_CHARGE"), (difference != 0, "ROUNDING"), else_=NO_TEXT),
        detail=ibis.ifelse(paired, NO_TEXT, details.UNEXPECTED_CHARGE),
    )


def _of_service(rows: Table) -> ibis.Value:
    return ibis.literal("service:") + rows.service_id


def _detail(rows: Table) -> ibis.Value:
    """What a service's item says; `told` is a reason only LINE_REJECTED and discrepancies have."""
    return ibis.cases(
        (rows.status == "MATCHED", NO_TEXT),
        (rows.status == "DISCREPANCY", details.gap(rows["difference"], rows.currency)),
        (rows.told == "LINE_REJECTED", details.LINE_REJECTED),
        (rows.is_active, details.NOT_BILLED),
        (rows.ended, details.BILLED_AFTER_TERMINATION),
        else_=details.BILLED_BEFORE_ACTIVATION,
    )


def _line_items(shares: Table, **verdict: ibis.Value) -> Table:
    """Items `line:<invoice_id>:<line_id>`, one per share, each billing that share."""
    rows = shares.mutate(
        item_id=ibis.literal("line:") + qualified(shares),
        side=ibis.literal("line"),
        invoice_line_id=shares.line_id,
        invoice_line_ids=ibis.array([qualified(shares)]),
        invoice_amount=shares.amount,
        **verdict,
    )
    return _as_items(rows)


def _as_items(rows: Table) -> Table:
    return as_content(rows, RECONCILIATION_ITEMS)
