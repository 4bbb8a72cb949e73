"""The engine against the brute-force reference, item by item, on thousands of generated months.

Many small cases are merged into one month whose identifiers are kept apart by a prefix, since one run of the engine
costs seconds however few rows it has; the reference judges each case alone. Also shows that a case's verdicts do not
depend on what else is in the month.
"""

import os
from decimal import Decimal

import pytest

from billing_pipeline.config import MatchKey, Proration, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline_tests.reconciliation.generated_month import UnderRules, apart, comparable, merged, verdicts_of
from billing_pipeline_tests.reference import verdicts
from billing_pipeline_tests.reference.generated import PERIODS, make_case

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
CASES = 1500 if FULL else 250
DEFAULT_TIERS = tuple(MatchKey)

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
    cases = [apart(make_case(UnderRules(first + number, period, rules)), number) for number in range(CASES)]
    found = {item.item_id: comparable(item) for item in verdicts_of(merged(cases))}
    checked = 0
    for number, case in enumerate(cases):
        wanted = verdicts.reconcile(
            case.services, case.prices, case.charges, case.lines, case.rejected_keys, period, rules
        )
        for item in wanted:
            told = found.pop(item.item_id, None)
            assert told == comparable(item), f"case {number} (seed {first + number}): {item.item_id}"
            checked += 1
    assert found == {}, "items the reference does not know"
    assert checked > CASES
