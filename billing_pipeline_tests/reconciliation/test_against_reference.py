"""The engine against the brute-force reference, item by item, on thousands of generated months.

Many small cases are merged into one month whose identifiers are kept apart by a prefix, since one run of the engine
costs seconds however few rows it has; the reference judges each case alone. Also shows that a case's verdicts do not
depend on what else is in the month.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from typing import Any, TypeVar

import ibis
import pyarrow as pa
import pytest
from billing_pipeline.config import MatchKey, Proration, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import identities
from billing_pipeline.reconciliation.allocate import allocate
from billing_pipeline.reconciliation.engine import Inputs, reconcile
from billing_pipeline.reconciliation.expect import expected

from billing_pipeline_tests.reconciliation.month import REJECTED
from billing_pipeline_tests.reference import generated, verdicts
from billing_pipeline_tests.reference.generated import OWN_KEYS, PERIODS, Case, make_case, to_arrow
from billing_pipeline_tests.reference.records import Item

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
CASES = 1500 if FULL else 250
DEFAULT_TIERS = tuple(MatchKey)
Thing = TypeVar("Thing")


class _UnderRules(generated._Seeded):
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


def _apart(case: Case, number: int) -> Case:
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


def _engine(cases: list[Case], period: Period, rules: ReconciliationRules) -> Iterator[Item]:
    merged = Case(
        *(tuple(chain.from_iterable(getattr(case, name) for case in cases)) for name in ("services", "prices", "charges", "lines", "rejected_keys")),
        period=period,
        rules=rules,
    )  # fmt: skip
    tables = to_arrow(merged)
    connection = ibis.duckdb.connect()

    def table(name: str, rows: pa.Table) -> Any:
        nullable = pa.schema([field.with_nullable(True) for field in rows.schema])
        return connection.create_table(name, rows.cast(nullable), temp=True)

    prices, lines = table("prices", tables["prices"]), table("lines", tables["lines"].drop_columns(["operator_code"]))
    services = table("contracts", tables["services"].drop_columns(["operator_code"]))
    services = expected(services, prices, period, rules.proration)
    shares = allocate(lines)
    assert identities.allocations_add_up(lines, shares).count().to_pyarrow().as_py() == 0
    inputs = Inputs(
        services=services,
        prices=prices,
        expected_charges=table("charges", tables["expected_charges"]),
        lines=lines,
        allocations=shares.filter(shares.service_month == str(period)),
        rejected_keys=table("rejected", pa.Table.from_pylist(list(merged.rejected_keys), schema=REJECTED)),
    )
    results = reconcile(inputs, period, rules)
    reasons: dict[str, dict[str, tuple[Decimal, str | None]]] = {}
    for row in results.reasons.to_pyarrow().to_pylist():
        reasons.setdefault(row["item_id"], {})[row["reason_code"]] = (row["amount"], row["note"])
    for row in results.items.to_pyarrow().to_pylist():
        row["invoice_line_ids"] = tuple(row["invoice_line_ids"])
        yield Item(**row, reasons=reasons.pop(row["item_id"], {}))
    assert reasons == {}, "reasons without an item"


def _comparable(item: Item) -> dict[str, Any]:
    """Everything but the notes, whose wording is each side's own."""
    shown = {name: getattr(item, name) for name in item.__dataclass_fields__ if name != "reasons"}
    return {**shown, "reasons": {code: amount for code, (amount, _) in item.reasons.items()}}


COMBINATIONS = [
    (Period.parse(PERIODS[index % len(PERIODS)]), proration, tolerance, tiers)
    for index, (proration, tolerance, tiers) in enumerate(
        [
            *((proration, "0.01", DEFAULT_TIERS) for proration in Proration),
            *((proration, "0.02", DEFAULT_TIERS) for proration in Proration),
            (Proration.ACTUAL_DAYS, "0", DEFAULT_TIERS[::-1]),
            (Proration.THIRTIETHS, "0", DEFAULT_TIERS[1:3]),
        ]
    )
]


@pytest.mark.parametrize(("period", "proration", "tolerance", "tiers"), COMBINATIONS)
def test_engine_and_reference_reach_the_same_verdicts(period, proration, tolerance, tiers):
    rules = ReconciliationRules(proration=proration, tolerance_per_line=Decimal(tolerance), match_on=tiers)
    first = 100_000 * (1 + list(Proration).index(proration))
    cases = [_apart(make_case(_UnderRules(first + number, period, rules)), number) for number in range(CASES)]
    found = {item.item_id: _comparable(item) for item in _engine(cases, period, rules)}
    checked = 0
    for number, case in enumerate(cases):
        wanted = verdicts.reconcile(
            case.services, case.prices, case.charges, case.lines, case.rejected_keys, period, rules
        )
        for item in wanted:
            told = found.pop(item.item_id, None)
            assert told == _comparable(item), f"case {number} (seed {first + number}): {item.item_id}"
            checked += 1
    assert found == {}, "items the reference does not know"
    assert checked > CASES
