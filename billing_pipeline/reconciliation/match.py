"""Which service a line is about, and in which currency its share is compared. No verdict is taken here.

Keys are tried in tiers. Each tier looks only at the lines that no earlier one settled, so a month in which the first
tier answers for every line costs one join.
"""

from collections.abc import Sequence

import ibis
from ibis.expr.types import StringColumn, StringValue, Table

from billing_pipeline.config import MatchKey
from billing_pipeline.reconciliation.content import NO_TEXT
from billing_pipeline.reconciliation.keep import is_empty, keep

LINE_KEY = ("period", "invoice_id", "line_id")
_ANSWER = ("service_id", "match_key", "contract_currency", "is_active")
# Spaces that TRIM leaves and files hold, exported from spreadsheets or typed in French: no-break, narrow no-break.
_OTHER_SPACES = ("\u00a0", "\u202f")


def comparable(key: StringValue) -> StringValue:
    """A key or a wording as it is compared: trimmed, without regard to case; null where nothing is left of it."""
    rare = key.contains(_OTHER_SPACES[0]) | key.contains(_OTHER_SPACES[1])
    blanks = "[\\s{}]+".format("".join(_OTHER_SPACES))
    trimmed = ibis.ifelse(rare, key.re_replace(f"^{blanks}|{blanks}$", ""), key.strip())
    return trimmed.lower().nullif("")


def attribute(lines: Table, allocations: Table, services: Table, match_on: Sequence[MatchKey]) -> Table:
    """Each share of the month with the service it is about.

    `lines`: INVOICE_LINES with period; `allocations`: LINE_ALLOCATIONS with period, of one month; `services`:
    SERVICES of that month. Returns period, invoice_id, line_id, charge_type, `amount` and `currency` as they are
    compared, service_id (null where none or several answer), match_key (null where none does), `contract_currency`,
    `is_active`, and `converted`: whether amount and currency are the line's invoicing pair.
    """
    tiers = _tiers_in_use(lines, services, match_on)
    undecided = _shares(lines, allocations, tiers)
    settled: list[Table] = []
    for tier in tiers:
        tried = keep(_try(undecided, _answers(undecided, services, tier, first=tier is tiers[0]), tier))
        settled.append(_compared(tried.filter(tried.match_key.notnull())))
        undecided = tried.filter(tried.match_key.isnull()).drop(*_ANSWER)
        if is_empty(undecided):
            break
    else:
        nothing = {"service_id": NO_TEXT, "match_key": NO_TEXT, "contract_currency": NO_TEXT}
        settled.append(_compared(undecided.mutate(**nothing, is_active=ibis.null("boolean"))))
    return keep(ibis.union(*settled)) if len(settled) > 1 else keep(settled[0])


def _shares(lines: Table, allocations: Table, tiers: Sequence[MatchKey]) -> Table:
    about = lines.select(*LINE_KEY, "charge_type", **{_key(tier): lines[tier.value] for tier in tiers})
    amounts = allocations.select(*LINE_KEY, "amount_ht", "currency", "invoicing_amount", "invoicing_currency")
    joined = amounts.inner_join(about, LINE_KEY)
    return joined.select(*amounts.columns, "charge_type", *[_key(tier) for tier in tiers])


def _key(tier: MatchKey) -> str:
    return f"key_{tier.value}"


def _tiers_in_use(lines: Table, services: Table, match_on: Sequence[MatchKey]) -> list[MatchKey]:
    """The tiers at which both sides have any value at all; the others cannot decide anything."""
    present = [
        side.aggregate(**{tier.value: side[tier.value].count() for tier in match_on}).to_pyarrow().to_pylist()[0]
        for side in (lines, services)
    ]
    return [tier for tier in match_on if all(counts[tier.value] for counts in present)]


def _try(undecided: Table, answers: Table, tier: MatchKey) -> Table:
    """`undecided` with the answer of one tier: match_key says whether it has one, service_id which, if it is one."""
    lines = undecided.mutate(key=comparable(undecided[_key(tier)])).drop(_key(tier))
    joined = lines.left_join(answers, lines.key == answers.key)
    return joined.select(
        *[lines[name] for name in lines.columns if name != "key"],
        service_id=answers.chosen,
        match_key=ibis.ifelse(answers.key.notnull(), ibis.literal(tier.value), NO_TEXT),
        contract_currency=answers.contract_currency,
        is_active=answers.is_active,
    )


def _answers(undecided: Table, services: Table, tier: MatchKey, first: bool) -> Table:
    """Per key of one tier the service it names: the only one, else the only active one, else none (ambiguous).

    After the first tier few lines are left, and only the keys they name are looked at.
    """
    keyed = services.select(
        "service_id",
        key=comparable(services[tier.value]),
        contract_currency="currency",
        is_active=services.active_days > 0,
    )
    keyed = keyed.filter(keyed.key.notnull())
    if not first:
        asked = undecided.select(key=comparable(undecided[_key(tier)]))
        keyed = keep(keyed.semi_join(keep(asked.distinct()), "key"))
    # A placeholder shared by thousands of services, joined to thousands of lines, must not multiply: keys are unique.
    counts = keyed.group_by("key").aggregate(services=keyed.count())
    shared = keep(counts.filter(counts.services > 1).select("key"))
    if is_empty(shared):
        return keyed.select("key", "contract_currency", "is_active", chosen="service_id")
    alone = keyed.anti_join(shared, "key").select("key", "contract_currency", "is_active", chosen="service_id")
    several = keyed.semi_join(shared, "key")
    active = several.is_active
    only = several.group_by("key").aggregate(
        active_services=active.cast("int64").sum(),
        chosen=several.service_id.min(where=active),
        contract_currency=several.contract_currency.min(where=active),
    )
    one = only.active_services == 1
    return alone.union(
        only.select(
            "key",
            contract_currency=ibis.ifelse(one, only.contract_currency, NO_TEXT),
            is_active=ibis.ifelse(one, True, ibis.null("boolean")),
            chosen=ibis.ifelse(one, only.chosen, NO_TEXT),
        )
    )


def _compared(shares: Table) -> Table:
    """Amount and currency by which a share is compared: the invoicing pair where that one is the contract's."""
    converted = ibis.coalesce(
        (shares.currency != shares.contract_currency)
        & (shares.invoicing_currency == shares.contract_currency)
        & shares.invoicing_amount.notnull(),
        False,
    )
    return shares.select(
        *LINE_KEY,
        "charge_type",
        "service_id",
        "match_key",
        "contract_currency",
        "is_active",
        converted=converted,
        amount=ibis.ifelse(converted, shares.invoicing_amount, shares.amount_ht),
        currency=ibis.ifelse(converted, shares.invoicing_currency, shares.currency),
    )


def qualified(shares: Table) -> StringColumn:
    """A line's name among all of the operator's: `invoice_id:line_id`."""
    return shares.invoice_id + ":" + shares.line_id
