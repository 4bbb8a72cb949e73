"""What must hold between the tables of every run, as tables of what does not: empty means it holds.

Each function returns identity (its number), subject (what is off), expected and actual. No comparison here may meet a
null: a null compares as neither true nor false, and a check that compares with one passes in silence. Sides are
therefore stacked and summed, never joined and subtracted.
"""

from decimal import Decimal

import ibis
from ibis.expr.types import NumericValue, StringValue, Table

from billing_pipeline.reconciliation.content import WIDE
from billing_pipeline.reconciliation.keep import is_empty, keep
from billing_pipeline.reconciliation.match import qualified

_NOTHING = ibis.literal(0, WIDE)
_ONE = ibis.literal(Decimal(1), WIDE)
_SCHEMA = {"identity": "int64", "subject": "string", "expected": WIDE, "actual": WIDE}


def rows_accounted_for(read: int, loaded: int, rejected: int, file: str) -> Table:
    """Identity 1: rows in a file = rows loaded + rows rejected."""
    off = (
        []
        if read == loaded + rejected
        else [{"identity": 1, "subject": file, "expected": Decimal(read), "actual": Decimal(loaded + rejected)}]
    )
    return ibis.memtable(off, schema=_SCHEMA)


def allocations_add_up(lines: Table, allocations: Table) -> Table:
    """Identity 2: every line's shares, over all months, add up to the line, in both its currencies.

    `lines` and `allocations` (with period) are those of the same partitions, whole. A line without a share is off even
    where its amount is 0.
    """
    off = []
    for amount, total, currency in (
        ("amount_ht", "total_ht", "currency"),
        ("invoicing_amount", "invoicing_amount", "invoicing_currency"),
    ):
        off.append(
            _unequal(
                2,
                _side(lines, _line_in(lines, currency), lines[total]),
                _side(allocations, _line_in(allocations, currency), allocations[amount]),
            )
        )
    named = allocations.select(subject=_line(allocations)).distinct()
    off.append(_counted_once(2, lines.select(subject=_line(lines)), named))
    return ibis.union(*off)


def items_add_up_to_allocations(items: Table, allocations: Table) -> Table:
    """Identity 3: per currency, what the items bill is what was allocated to the month.

    `allocations`: all shares of the month. A share counts in its item's currency: as charged, or by its invoicing pair.
    """
    named = items.select(line=items.invoice_line_ids.unnest(), item_currency=items.currency)
    shares = allocations.mutate(line=qualified(allocations))
    rows = shares.left_join(named, "line").select(shares, item_currency=named.item_currency)
    paired = ibis.coalesce(
        (rows.item_currency != rows.currency) & (rows.item_currency == rows.invoicing_currency), False
    )
    allocated = _side(
        rows,
        ibis.ifelse(paired, rows.invoicing_currency, rows.currency),
        ibis.ifelse(paired, rows.invoicing_amount, rows.amount_ht),
    )
    return _unequal(3, allocated, _side(items, _said(items.currency), items.invoice_amount))


def items_add_up_to_services(items: Table, services: Table) -> Table:
    """Identity 4: per contract currency, what the service-side items expect is what the services should cost."""
    contracts = services.select("service_id", contract_currency="currency")
    ours = items.filter(ibis.coalesce(items.side, "") == "service")
    rows = ours.left_join(contracts, "service_id").select(ours, contract_currency=contracts.contract_currency)
    return _unequal(
        4,
        _side(services, _said(services.currency), services.expected_amount),
        _side(rows, _said(rows.contract_currency), rows.service_amount),
    )


def reasons_add_up(items: Table, reasons: Table) -> Table:
    """Identity 5: an item's reasons add up to billed less expected, a missing side being 0; so does `difference`.

    CURRENCY_MISMATCH is excepted: its two sides are in different currencies, and it has no difference and no reason.
    """
    excepted = ibis.coalesce(items.reason_code, "") == "CURRENCY_MISMATCH"
    gap = ibis.coalesce(items.invoice_amount.cast(WIDE), _NOTHING) - ibis.coalesce(
        items.service_amount.cast(WIDE), _NOTHING
    )
    owed = _side(items, _said(items.item_id), ibis.ifelse(excepted, _NOTHING, gap))
    # Most items are equal on both sides and have nothing to explain.
    told = _unequal(5, owed.filter(owed.amount != 0), _side(reasons, _said(reasons.item_id), reasons.amount))
    stated = ibis.coalesce(items["difference"].cast(WIDE), _NOTHING)
    rows = items.select(
        subject=_said(items.item_id) + " difference", expected=ibis.ifelse(excepted, _NOTHING, gap), actual=stated
    )
    return told.union(_violations(5, rows.filter(rows.expected != rows.actual)))


def everything_in_one_item(items: Table, services: Table, allocations: Table) -> Table:
    """Identity 6: every active service and every share of the month in exactly one item, and nothing else in any."""
    ours = items.filter(ibis.coalesce(items.side, "") == "service")
    active = services.filter(services.active_days > 0)
    of_services = _counted_once(
        6,
        active.select(subject=ibis.literal("service ") + active.service_id),
        ours.select(subject=ibis.literal("service ") + _said(ours.service_id)),
    )
    named = items.select(line=items.invoice_line_ids.unnest())
    of_lines = _counted_once(
        6, allocations.select(subject=_line(allocations)), named.select(subject=ibis.literal("line ") + named.line)
    )
    return of_services.union(of_lines)


def check(services: Table, allocations: Table, items: Table, reasons: Table) -> Table:
    """Identities 3 to 6 of one month, of which `allocations` are all the shares.

    What is counted first are sums, counts and digests, over all rows but never row against row; that takes a quarter of
    the time. Only where these differ, or cannot tell, are items, services and lines compared one by one and named.
    """
    totals = keep(ibis.union(*_totals(services, allocations, items), reasons_add_up(items, reasons)))
    if is_empty(totals):
        return totals
    return ibis.union(
        items_add_up_to_allocations(items, allocations),
        items_add_up_to_services(items, services),
        reasons_add_up(items, reasons),
        everything_in_one_item(items, services, allocations),
    )


def _totals(services: Table, allocations: Table, items: Table) -> list[Table]:
    """Identities 3, 4 and 6 as totals: empty only where the identities themselves hold."""
    ours = items.filter(ibis.coalesce(items.side, "") == "service")
    active = services.filter(services.active_days > 0)
    # Billed as a whole in another currency, the expected amount is still in the contract's.
    foreign = ibis.coalesce(ours.reason_code, "") == "CURRENCY_MISMATCH"
    elsewhere = ours.filter(foreign).inner_join(
        services.select("service_id", contract_currency="currency"), "service_id"
    )
    owed = _summed(ours.filter(~foreign), "currency", "service_amount").union(
        _summed(elsewhere, "contract_currency", "service_amount")
    )
    named = items.select(line=items.invoice_line_ids.unnest())
    # A share that has another currency to be counted in has to be looked up in its item.
    doubtful = allocations.filter(
        (allocations.currency != allocations.invoicing_currency) & allocations.invoicing_amount.notnull()
    )
    return [
        _violations(3, doubtful.limit(1).select(subject=_line(doubtful), expected=_ONE, actual=_NOTHING)),
        _unequal(3, _summed(allocations, "currency", "amount_ht"), _summed(items, "currency", "invoice_amount")),
        _unequal(4, _summed(services, "currency", "expected_amount"), owed),
        *_other_names(6, active.select(name="service_id"), ours.select(name="service_id")),
        *_other_names(6, allocations.select(name=qualified(allocations)), named.select(name="line")),
    ]


def _summed(rows: Table, currency: str, amount: str) -> Table:
    side = _side(rows, _said(rows[currency]), rows[amount])
    return side.group_by("subject").aggregate(amount=side.amount.sum().cast(WIDE))


def _other_names(identity: int, owed: Table, booked: Table) -> list[Table]:
    """Empty where both sides hold the same names, each once: as many, all different, with the same sum of digests."""
    sides = []
    found = []
    for rows in (owed, booked):
        # Names are counted themselves: of a million like SVC-000000001 DuckDB 2.0 gave 25 000 pairs one digest, and
        # counting digests sent every such month the long way.
        digests = rows.select("name", digest=rows.name.hash().cast(WIDE))
        total = keep(
            digests.aggregate(
                names=digests.count().cast(WIDE),
                different=digests.name.nunique().cast(WIDE),
                digests=ibis.coalesce(digests.digest.sum().cast(WIDE), _NOTHING),
            )
        )
        twice = total.select(subject=ibis.literal("twice"), expected="names", actual="different")
        found.append(_violations(identity, twice.filter(twice.expected != twice.actual)))
        sides.append(
            total.select(subject=ibis.literal("names"), amount="names").union(
                total.select(subject=ibis.literal("digests"), amount="digests")
            )
        )
    return [*found, _unequal(identity, *sides)]


def _said(text: StringValue) -> StringValue:
    return ibis.coalesce(text, "(none)")


def _line(rows: Table) -> StringValue:
    return ibis.literal("line ") + qualified(rows)


def _line_in(rows: Table, currency: str) -> StringValue:
    return _line(rows) + " in " + _said(rows[currency])


def _side(rows: Table, subject: StringValue, amount: NumericValue) -> Table:
    """One side of a comparison: what it is about and its amount, a missing one counting 0."""
    return rows.select(subject=subject, amount=ibis.coalesce(amount.cast(WIDE), _NOTHING))


def _unequal(identity: int, expected: Table, actual: Table) -> Table:
    """Subjects whose amounts on the two sides do not add up to the same."""
    rows = expected.select("subject", expected="amount", actual=_NOTHING).union(
        actual.select("subject", expected=_NOTHING, actual="amount")
    )
    sums = rows.group_by("subject").aggregate(
        expected=rows.expected.sum().cast(WIDE), actual=rows.actual.sum().cast(WIDE)
    )
    return _violations(identity, sums.filter(sums.expected != sums.actual))


def _counted_once(identity: int, owed: Table, booked: Table) -> Table:
    """Subjects that stand not exactly once on both sides."""
    rows = owed.select("subject", expected=_ONE, actual=_NOTHING).union(
        booked.select("subject", expected=_NOTHING, actual=_ONE)
    )
    sums = rows.group_by("subject").aggregate(
        expected=rows.expected.sum().cast(WIDE), actual=rows.actual.sum().cast(WIDE)
    )
    return _violations(identity, sums.filter((sums.expected != 1) | (sums.actual != 1)))


def _violations(identity: int, rows: Table) -> Table:
    return rows.select(
        identity=ibis.literal(identity, "int64"), subject="subject", expected="expected", actual="actual"
    )
