"""Which service a line is about, and in which currency its share is compared. No verdict is taken here.

Keys are tried in tiers. The first looks at every line and every service in one join; each later one only at the lines
that none before it settled, so a month in which the first tier answers for nearly every line costs nearly one join.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import ibis
from ibis.expr.types import BooleanValue, StringColumn, StringValue, Table

from billing_pipeline.config import MatchKey, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import service_days
from billing_pipeline.reconciliation.content import NO_MONEY, NO_TEXT
from billing_pipeline.reconciliation.keep import keep

LINE_KEY = ("period", "invoice_id", "line_id")
_AMOUNTS = ("amount_ht", "currency", "invoicing_amount", "invoicing_currency")
_CHOICE = ("contract_currency", "is_active", "expected")
_SHOWN = (*LINE_KEY, "charge_type", "service_id", *_CHOICE, "converted", "amount", "currency", "agrees")
# What a share is compared by is what the line states wherever no service answered yet.
_AS_STATED = {
    "amount_ht": "amount", "currency": "currency", "invoicing_amount": "pair_amount",
    "invoicing_currency": "pair_currency",
}  # fmt: skip
# All that Unicode-blind engines call a space, and two that files hold, exported from spreadsheets or typed in French:
# no-break, narrow no-break.
_BLANKS = "[\\s\\x0b\u00a0\u202f]"


@dataclass(frozen=True, slots=True)
class Attributed:
    """Each share of the month with the service it is about, in kept tables of the same columns.

    Columns: period, invoice_id, line_id, charge_type, `amount` and `currency` as they are compared, service_id (null
    where none or several answer), match_key (null where none does), and of the service `contract_currency`, `is_active`
    and `expected`; `converted`: whether amount and currency are the line's invoicing pair; `agrees`: whether it bills, as
    a recurring share, what an active service is expected to cost, within the tolerance of one line.

    first: the shares that the first tier decides at once; late: the others; unbilled: service_id of every service that
    no share in `first` is about (some may be in `late`).
    """

    first: Table
    late: Table
    unbilled: Table


def comparable(key: StringValue) -> StringValue:
    """A key or a wording as it is compared: trimmed, without regard to case; null where nothing is left of it."""
    # Few have blanks around them, and of those that begin and end with visible ASCII that is told by comparing them: in
    # half the time of looking for a blank, a tenth of that of trimming.
    backwards = key.reverse()
    visible = (key >= "!") & (key < "\x7f") & (backwards >= "!") & (backwards < "\x7f")
    trimmed = ibis.ifelse(visible, key, key.re_replace(f"^{_BLANKS}+|{_BLANKS}+$", ""))
    return trimmed.lower().nullif("")


def attribute(
    lines: Table, allocations: Table, services: Table, period: Period, rules: ReconciliationRules
) -> Attributed:
    """`lines`: INVOICE_LINES with period; `allocations`: LINE_ALLOCATIONS with period, those of `period` alone;
    `services`: SERVICES of it."""
    tiers, some_span = _in_use(lines, services, rules.match_on)
    shares = month_shares(lines, allocations if some_span else None, period, [tier.value for tier in tiers])
    tolerance = rules.tolerance_per_line
    if not tiers:
        late = keep(_shown(_compared(shares.mutate(service_id=NO_TEXT, match_key=NO_TEXT, **_no_choice()), tolerance)))
        return Attributed(late.limit(0), late, services.select("service_id"))
    first = tiers[0]
    keyed = keep(_keyed(services, first))
    shared = keep(keyed.semi_join(_shared_keys(keyed), "key").select("service_id", "key"))
    joined = keep(_first_tier(shares, keyed.anti_join(shared, "key"), tiers, tolerance))
    tier = ibis.ifelse(joined.service_id.notnull(), ibis.literal(first.value), NO_TEXT)
    undecided = joined.filter(joined.service_id.isnull())
    undecided = undecided.select(*LINE_KEY, "charge_type", *[_key(one) for one in tiers], **_AS_STATED)
    found = joined.mutate(match_key=tier).filter(joined.service_id.notnull() & joined.invoice_id.notnull())
    unbilled = joined.filter(joined.invoice_id.isnull()).select("service_id").union(shared.select("service_id"))
    return Attributed(_shown(found), _late(undecided, services, tiers, tolerance), unbilled)


def month_shares(lines: Table, allocations: Table | None, period: Period, keys: Sequence[str]) -> Table:
    """What each line bills for `period`, with `keys` as they stand in the line.

    A line that lies within one month is its own share; only the others' are looked up, in `allocations` (None: there
    are none).
    """
    first, last = ibis.literal(period.first_day), ibis.literal(period.last_day)
    dated = service_days.states_days(lines)
    within = lines.service_from.between(first, last) & lines.service_to.between(first, last)
    ours = ibis.ifelse(dated, within, service_days.month_of(lines) == str(period))
    shown = [*LINE_KEY, "charge_type", *keys]
    shares = lines.filter(ours).mutate(amount_ht=lines.total_ht).select(*shown, *_AMOUNTS)
    if allocations is None:
        return shares
    spanning = lines.filter(_spans(lines) & (lines.service_from <= last) & (lines.service_to >= first))
    return shares.union(spanning.select(shown).inner_join(allocations.select(*LINE_KEY, *_AMOUNTS), LINE_KEY))


def _spans(lines: Table) -> BooleanValue:
    """Whether the line states days in more than one month."""
    return service_days.states_days(lines) & (
        (lines.service_from.year() != lines.service_to.year())
        | (lines.service_from.month() != lines.service_to.month())
    )


def _in_use(lines: Table, services: Table, match_on: Sequence[MatchKey]) -> tuple[list[MatchKey], bool]:
    """The tiers at which both sides have any value at all, the others cannot decide anything; whether lines span."""
    counts = [
        side.aggregate(**{tier.value: side[tier.value].count() for tier in match_on}) for side in (lines, services)
    ]
    spans = lines.aggregate(spans=_spans(lines).any())
    row = counts[0].cross_join(counts[1], rname="service_{name}").cross_join(spans).to_pyarrow().to_pylist()[0]
    tiers = [tier for tier in match_on if row[tier.value] and row[f"service_{tier.value}"]]
    return tiers, bool(row["spans"])


def _keyed(services: Table, tier: MatchKey) -> Table:
    """Services with their key at one tier and what is asked of the chosen one."""
    return services.select(
        "service_id",
        key=comparable(services[tier.value]),
        contract_currency="currency",
        is_active=services.active_days > 0,
        expected="expected_amount",
    )


def _shared_keys(keyed: Table) -> Table:
    """The keys that more than one service has."""
    # Not by a digest of the key: what Ibis makes of DuckDB's `hash` takes longer to group by than the key itself, and of
    # a million like SVC-000000001 it gave 25 000 pairs one digest.
    counts = keyed.group_by("key").aggregate(services=keyed.count())
    return counts.filter((counts.services > 1) & counts.key.notnull()).select("key")


def _first_tier(shares: Table, alone: Table, tiers: Sequence[MatchKey], tolerance: Decimal) -> Table:
    """Shares beside the services that alone have their key; a share without one keeps its keys and its invoicing pair,
    a service its name.

    `alone`: of _keyed, those whose key no other has: a placeholder shared by thousands of services, joined to thousands
    of lines, must not multiply.
    """
    lines = shares.mutate(key=comparable(shares[tiers[0].value]))
    joined = lines.outer_join(alone, lines.key == alone.key)
    found = alone.service_id.notnull()
    rows = joined.select(
        *[lines[name] for name in (*LINE_KEY, "charge_type", *_AMOUNTS)],
        *[alone[name] for name in ("service_id", *_CHOICE)],
        # Only what is undecided is asked for its keys again.
        **{_key(one): ibis.ifelse(found, NO_TEXT, lines[one.value]) for one in tiers},
    )
    rows = _compared(rows, tolerance)
    undecided = rows.service_id.isnull()
    return rows.select(
        *_SHOWN,
        *[_key(one) for one in tiers],
        pair_amount=ibis.ifelse(undecided, rows.invoicing_amount, NO_MONEY),
        pair_currency=ibis.ifelse(undecided, rows.invoicing_currency, NO_TEXT),
    )


def _key(tier: MatchKey) -> str:
    return f"key_{tier.value}"


def _no_choice() -> dict[str, ibis.Value]:
    return {"contract_currency": NO_TEXT, "is_active": ibis.null("boolean"), "expected": NO_MONEY}


def _late(undecided: Table, services: Table, tiers: Sequence[MatchKey], tolerance: Decimal) -> Table:
    """The shares the first join left open, tier by tier, the first once more for the keys that services share."""
    settled = []
    for tier in tiers:
        tried = keep(_try(undecided, services, tier))
        settled.append(_compared(tried.filter(tried.match_key.notnull()), tolerance))
        undecided = tried.filter(tried.match_key.isnull()).drop("service_id", "match_key", *_CHOICE)
    left = undecided.mutate(service_id=NO_TEXT, match_key=NO_TEXT, **_no_choice())
    settled.append(_compared(left, tolerance))
    return keep(ibis.union(*[_shown(part) for part in settled]))


def _shown(shares: Table) -> Table:
    return shares.select(*_SHOWN, "match_key")


def _try(undecided: Table, services: Table, tier: MatchKey) -> Table:
    """`undecided` with the answer of one tier: match_key says whether it has one, service_id which, if it is one."""
    lines = undecided.mutate(key=comparable(undecided[_key(tier)]))
    answers = _answers(lines, services, tier)
    joined = lines.left_join(answers, lines.key == answers.key)
    return joined.select(
        *[lines[name] for name in undecided.columns],
        *[answers[name] for name in ("service_id", *_CHOICE)],
        match_key=ibis.ifelse(answers.key.notnull(), ibis.literal(tier.value), NO_TEXT),
    )


def _answers(lines: Table, services: Table, tier: MatchKey) -> Table:
    """Per key asked for, the service it names: the only one, else the only active one, else none (ambiguous)."""
    keyed = _keyed(services, tier).semi_join(lines, "key")
    counts = keyed.group_by("key").aggregate(
        services=keyed.count(),
        active=keyed.is_active.cast("int64").sum(),
        **{
            f"{which}_{name}": keyed[name].min(where=only)
            for which, only in (("any", None), ("active", keyed.is_active))
            for name in ("service_id", "contract_currency", "expected")
        },
    )
    alone, one_active = counts.services == 1, counts.active == 1
    chosen = {
        name: ibis.cases((alone, counts[f"any_{name}"]), (one_active, counts[f"active_{name}"]), else_=empty)
        for name, empty in (("service_id", NO_TEXT), ("contract_currency", NO_TEXT), ("expected", NO_MONEY))
    }
    is_active = ibis.cases((one_active, True), (alone, False), else_=ibis.null("boolean"))
    return counts.select("key", **chosen, is_active=is_active)


def _compared(shares: Table, tolerance: Decimal) -> Table:
    """Adds amount and currency by which a share is compared, the invoicing pair where that one is the contract's, and
    whether they agree with the service's."""
    converted = ibis.coalesce(
        (shares.currency != shares.contract_currency)
        & (shares.invoicing_currency == shares.contract_currency)
        & shares.invoicing_amount.notnull(),
        False,
    )
    rows = shares.mutate(
        converted=converted,
        amount=ibis.ifelse(converted, shares.invoicing_amount, shares.amount_ht),
        currency=ibis.ifelse(converted, shares.invoicing_currency, shares.currency),
    )
    agrees = (
        (rows.charge_type == "recurring")
        & rows.is_active
        & (rows.currency == rows.contract_currency)
        & ((rows.amount - rows.expected).abs() <= ibis.literal(tolerance, "decimal(38, 6)"))
    )
    return rows.mutate(agrees=ibis.coalesce(agrees, False))


def qualified(shares: Table) -> StringColumn:
    """A line's name among all of the operator's: `invoice_id:line_id`."""
    return shares.invoice_id + ":" + shares.line_id
