"""Generated months for the tests that need many: small cases merged into one, and what the engine says of them.

Identifiers are kept apart by a prefix, since one run of the engine costs seconds however few rows it has. No check of
its own but those the engine's books must pass.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from typing import Any, TypeVar

import ibis
import pyarrow as pa

from billing_pipeline.config import ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import identities
from billing_pipeline.reconciliation.allocate import allocate
from billing_pipeline.reconciliation.engine import Inputs, reconcile
from billing_pipeline.reconciliation.expect import expected
from billing_pipeline_tests.reconciliation.month import REJECTED
from billing_pipeline_tests.reference import generated
from billing_pipeline_tests.reference.generated import OWN_KEYS, Case, make_case, to_arrow
from billing_pipeline_tests.reference.records import Item

Thing = TypeVar("Thing")


class UnderRules(generated._Seeded):
    """Seeded choices, but the month and the rules are given: cases of one month can only be merged if they agree."""

    def __init__(self, seed: int, period: Period, rules: ReconciliationRules) -> None:
        super().__init__(seed)
        self._given: dict[int, Any] = {
            0: str(period),
            1: rules.proration,
            2: str(rules.tolerance_per_line),
            3: rules.match_on,
        }
        self._asked = 0

    def one_of(self, options: Sequence[Thing]) -> Thing:
        chosen = super().one_of(options)
        given = self._given.get(self._asked, chosen)
        self._asked += 1
        assert given in options
        return given  # type: ignore[no-any-return]


def apart(case: Case, number: int) -> Case:
    """The case with every identifier and key prefixed; blanks stay blank, spaces around stay where they are."""

    def own(text: str | None) -> str | None:
        if text is None or not text.strip():
            return text
        lead = text[: len(text) - len(text.lstrip())]
        return f"{lead}c{number:05d}-{text.lstrip()}"

    def named(record: Thing, *fields: str) -> Thing:
        return replace(record, **{name: own(getattr(record, name)) for name in fields})  # type: ignore[type-var]

    return Case(
        services=tuple(named(one, "service_id", *OWN_KEYS) for one in case.services),
        prices=tuple(named(one, "service_id") for one in case.prices),
        charges=tuple(replace(named(one, "service_id"), position=number * 1000 + one.position) for one in case.charges),
        lines=tuple(named(one, "service_id", "invoice_id", *OWN_KEYS) for one in case.lines),
        rejected_keys=tuple({key: own(value) for key, value in row.items()} for row in case.rejected_keys),
        period=case.period,
        rules=case.rules,
    )


def merged(cases: Sequence[Case]) -> Case:
    """The cases, of one period and one set of rules, as one."""
    named = ("services", "prices", "charges", "lines", "rejected_keys")
    return Case(
        *(tuple(chain.from_iterable(getattr(case, name) for case in cases)) for name in named),
        period=cases[0].period,
        rules=cases[0].rules,
    )


def month_of_cases(seed: int, count: int, period: Period, rules: ReconciliationRules) -> Case:
    """`count` generated cases as one month."""
    return merged([apart(make_case(UnderRules(seed + index, period, rules)), index) for index in range(count)])


def shuffled(case: Case, seed: int) -> Case:
    """The same month with every table's rows in another order, and its lines from other documents."""
    choose = random.Random(seed)

    def mixed(rows: tuple[Thing, ...]) -> tuple[Thing, ...]:
        return tuple(choose.sample(rows, len(rows)))

    lines = [
        replace(line, source_sha256=choose.choice("abc") * 64, source_row=row) for row, line in enumerate(case.lines)
    ]
    return replace(
        case,
        services=mixed(case.services), prices=mixed(case.prices), charges=mixed(case.charges),
        lines=mixed(tuple(lines)), rejected_keys=mixed(case.rejected_keys),
    )  # fmt: skip


def verdicts_of(case: Case, *, files: int = 1, connection: Any = None) -> Iterator[Item]:
    """The engine's items of a month whose lines arrive in `files` tables; its books must balance."""
    period, rules = case.period, case.rules
    tables = to_arrow(case)
    if connection is None:
        connection = ibis.duckdb.connect()

    def kept(name: str, rows: pa.Table) -> Any:
        nullable = pa.schema([field.with_nullable(True) for field in rows.schema])
        return connection.create_table(name, rows.cast(nullable), temp=True)

    prices = kept("prices", tables["prices"])
    arrived = tables["lines"].drop_columns(["operator_code"])
    size = -(-len(arrived) // files)
    parts = [kept(f"lines_{index}", arrived.slice(index * size, size)) for index in range(files)]
    lines = ibis.union(*parts) if files > 1 else parts[0]
    contracts = kept("contracts", tables["services"].drop_columns(["operator_code"]))
    services = expected(contracts, prices, period, rules.proration)
    shares = allocate(lines)
    assert identities.allocations_add_up(lines, shares).count().to_pyarrow().as_py() == 0
    inputs = Inputs(
        services=services,
        prices=prices,
        expected_charges=kept("charges", tables["expected_charges"]),
        lines=lines,
        allocations=shares.filter(shares.service_month == str(period)),
        rejected_keys=kept("rejected", pa.Table.from_pylist(list(case.rejected_keys), schema=REJECTED)),
    )
    results = reconcile(inputs, period, rules)
    off = identities.check(inputs.services, inputs.allocations, results.items, results.reasons)
    assert off.to_pyarrow().to_pylist() == []
    reasons: dict[str, dict[str, tuple[Decimal, str | None]]] = {}
    for row in results.reasons.to_pyarrow().to_pylist():
        reasons.setdefault(row["item_id"], {})[row["reason_code"]] = (row["amount"], row["note"])
    for row in results.items.to_pyarrow().to_pylist():
        row["invoice_line_ids"] = tuple(row["invoice_line_ids"])
        yield Item(**row, reasons=reasons.pop(row["item_id"], {}))
    assert reasons == {}, "reasons without an item"


def comparable(item: Item) -> dict[str, Any]:
    """Everything but the notes, whose wording is each side's own."""
    shown = {name: getattr(item, name) for name in item.__dataclass_fields__ if name != "reasons"}
    return {**shown, "reasons": {code: amount for code, (amount, _) in item.reasons.items()}}
