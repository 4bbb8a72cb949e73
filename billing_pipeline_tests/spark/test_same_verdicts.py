"""Spark says what DuckDB and the brute-force reference say: the same months, the same expressions, other engines.

One generated month holds many cases, since a statement costs Spark half a second however few rows it has.
"""

import random
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest

from billing_pipeline.config import MatchKey, Proration, ReconciliationRules
from billing_pipeline.money import divide_half_up, round_ratio, whole_millionths
from billing_pipeline.periods import Period
from billing_pipeline_tests.reconciliation.generated_month import UnderRules, apart, comparable, merged, verdicts_of
from billing_pipeline_tests.reference import verdicts
from billing_pipeline_tests.reference.generated import make_case
from billing_pipeline_tests.spark.clusters import FULL

CASES = 400 if FULL else 60
RULES = [
    (Period(2024, 2), ReconciliationRules()),
    (Period(2023, 12), ReconciliationRules(proration=Proration.THIRTIETHS, tolerance_per_line=Decimal("0.02"))),
    (Period(2024, 3), ReconciliationRules(proration=Proration.FULL_START_MONTH, match_on=tuple(MatchKey)[::-1])),
][: None if FULL else 1]
pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize(("period", "rules"), RULES)
@pytest.mark.parametrize("engine", ["local_cluster", "connect"])
def test_spark_duckdb_and_the_reference_reach_the_same_verdicts(engine, period, rules, request):
    backend = request.getfixturevalue(engine)
    cases = [apart(make_case(UnderRules(700_000 + number, period, rules)), number) for number in range(CASES)]
    by_spark = {item.item_id: item for item in verdicts_of(merged(cases), connection=backend)}
    assert by_spark == {item.item_id: item for item in verdicts_of(merged(cases))}
    known = 0
    for case in cases:
        for item in verdicts.reconcile(
            case.services, case.prices, case.charges, case.lines, case.rejected_keys, period, rules
        ):
            assert comparable(by_spark[item.item_id]) == comparable(item)
            known += 1
    assert known == len(by_spark) > CASES
    assert {item.status for item in by_spark.values()} == {"MATCHED", "UNMATCHED", "DISCREPANCY"}


def operands(count: int) -> list[dict[str, Any]]:
    """Ties, negatives, amounts of 12 digits before the point, and everything between."""
    choose = random.Random(20)
    rows = []
    for number in range(count):
        days = choose.randint(1, 3720)
        cents = choose.choice([choose.randint(-500, 500), choose.randint(-(10**14) + 1, 10**14 - 1)])
        # Half a cent times an even number of days is a tie, and no millionth is cut off.
        tie = Decimal(2 * cents + 1) * days / 200
        plain = Decimal(choose.randint(-(10**18) + 1, 10**18 - 1)).scaleb(-6)
        fits = abs(tie) < 10**12
        rows.append({"number": number, "amount": tie if number % 2 and fits else plain, "days": days})
    return rows


@pytest.mark.parametrize("engine", ["duckdb", "local_cluster", "connect"])
def test_a_ratio_is_rounded_exactly_and_away_from_zero_on_every_engine(engine, request):
    backend = ibis.duckdb.connect() if engine == "duckdb" else request.getfixturevalue(engine)
    rows = operands(40_000 if FULL else 8_000)
    schema = pa.schema([("number", pa.int64()), ("amount", pa.decimal128(18, 6)), ("days", pa.int64())])
    cases = backend.create_table("operands", pa.Table.from_pylist(rows, schema=schema), temp=True)
    priced = whole_millionths(cases.amount.cast("decimal(38, 6)")) * (cases.days * 10**6)
    found = cases.mutate(got=round_ratio(cases.amount, cases.days), wide=round_ratio(priced, cases.days * 10**14))
    ties = 0
    for row in found.to_pyarrow().to_pylist():
        exact = rows[row["number"]]["amount"]
        assert row["got"] == divide_half_up(exact, row["days"]), row
        assert row["wide"] == divide_half_up(exact, 100), row
        ties += 2 * 100 * exact % row["days"] == 0 and 100 * exact % row["days"] != 0
    assert ties > len(rows) // 4


@pytest.mark.parametrize("engine", ["local_cluster", "connect"])
def test_a_path_with_key_value_folders_gives_no_column_and_no_guessed_type(engine, request, tmp_path):
    backend = request.getfixturevalue(engine)
    path = tmp_path / "services" / "period=2024-03" / "operator_code=0042" / "data.parquet"
    path.parent.mkdir(parents=True)
    rows = pa.table({"service_id": ["1E5", "0042", None], "amount": pa.array([Decimal("0.000001")] * 3)})
    pa.parquet.write_table(rows, path)
    found = backend.read_parquet(path, hive_partitioning=False)
    assert found.columns == ("service_id", "amount")
    assert found.order_by("service_id").to_pyarrow()["service_id"].to_pylist() == ["0042", "1E5", None]
