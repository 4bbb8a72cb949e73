"""SQL that is remembered must be the SQL that would be written, for these tables and no others."""

from decimal import Decimal
from pathlib import Path

import ibis
import pytest
from ibis.expr.types import Table

from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.steps import duckdb_engine
from billing_pipeline.steps.engine import duckdb_backend


@pytest.fixture
def backend(tmp_path: Path) -> duckdb_engine.DuckDB:
    return duckdb_backend(tmp_path / "spill")


def kept(backend: duckdb_engine.DuckDB, *amounts: str) -> Table:
    rows = [{"line": f"L{place}", "amount": Decimal(amount)} for place, amount in enumerate(amounts)]
    schema = {"line": "string", "amount": "decimal(18, 6)"}
    return backend.create_table(ibis.util.gen_name("kept"), ibis.memtable(rows, schema=schema), temp=True)


def over(rows: Table, limit: str = "10") -> Table:
    return rows.filter(rows.amount > ibis.literal(Decimal(limit), "decimal(18, 6)")).order_by("line")


def translated(backend: duckdb_engine.DuckDB, rows: Table) -> str:
    """What Ibis itself writes, memory or not."""
    return str(super(duckdb_engine.DuckDB, backend).compile(rows))


def test_another_operators_table_is_read_not_the_one_read_before(backend: duckdb_engine.DuckDB) -> None:
    first, second = kept(backend, "5", "20"), kept(backend, "30", "40", "1")
    assert over(first).line.to_pyarrow().to_pylist() == ["L1"]
    known = len(duckdb_engine._translated)
    assert over(second).line.to_pyarrow().to_pylist() == ["L0", "L1"]
    assert len(duckdb_engine._translated) == known  # the second came out of memory, so this test looks at something


def test_a_table_that_stands_twice_is_not_taken_for_two(backend: duckdb_engine.DuckDB) -> None:
    one, other = kept(backend, "1", "2"), kept(backend, "3")
    assert one.union(one).count().to_pyarrow().as_py() == 4
    assert one.union(other).count().to_pyarrow().as_py() == 3
    assert other.union(one).count().to_pyarrow().as_py() == 3
    assert one.inner_join(one.view(), "line").count().to_pyarrow().as_py() == 2


@pytest.mark.parametrize(("limit", "found"), [("10", ["L0", "L1"]), ("20.5", ["L1"]), ("10.000001", ["L1"])])
def test_another_tolerance_is_another_query(backend: duckdb_engine.DuckDB, limit: str, found: list[str]) -> None:
    rows = kept(backend, "10.000001", "21")
    assert over(rows, "10").line.to_pyarrow().to_pylist() == ["L0", "L1"]
    assert over(rows, limit).line.to_pyarrow().to_pylist() == found


def test_equal_literals_of_different_types_are_different_queries(backend: duckdb_engine.DuckDB) -> None:
    rows = kept(backend, "1")
    for value, dtype in ((1, "int64"), (True, "boolean"), (Decimal(1), "decimal(18, 6)"), ("1", "string")):
        expression = rows.select(one=ibis.literal(value, dtype))
        for _ in range(2):
            assert backend.compile(expression) == translated(backend, expression)


def test_remembered_sql_is_the_sql_ibis_writes(backend: duckdb_engine.DuckDB) -> None:
    for _ in range(2):
        one, other = kept(backend, "1", "2"), kept(backend, "2", "3")
        joined = one.left_join(other, "amount").select(one, other_line=other.line)
        counts = joined.group_by("amount").aggregate(lines=joined.count(), names=joined.line.collect().sort())
        numbered = joined.mutate(rank=ibis.row_number().over(group_by=joined.line, order_by=joined.amount.desc()))
        for rows in (joined, counts, numbered, one.anti_join(other, "line"), joined.filter(joined.other_line.isnull())):
            assert backend.compile(rows) == translated(backend, rows)


def test_the_memory_keeps_no_table_alive(backend: duckdb_engine.DuckDB) -> None:
    first = keep(kept(backend, "1"))
    name = first.op().name
    assert over(first).count().to_pyarrow().as_py() == 0
    del first
    keep(kept(backend, "2"))
    standing = backend.con.execute("select table_name from duckdb_tables()").fetchall()
    assert (name,) not in standing


def test_the_memory_forgets_what_was_not_asked_for_longest(
    backend: duckdb_engine.DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_engine, "_REMEMBERED", 3)
    duckdb_engine._translated.clear()
    rows = kept(backend, "1")
    for limit in range(20):
        backend.compile(over(rows, str(limit)))
    assert len(duckdb_engine._translated) == 3
