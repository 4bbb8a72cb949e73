"""Kept tables must not pile up over the operators and months of a run, nor vanish under a reader."""

import ibis

from billing_pipeline.reconciliation.keep import is_empty, keep


def one(value: int) -> ibis.Table:
    return ibis.memtable([{"value": value}], schema={"value": "int64"})


def names() -> set[str]:
    found = ibis.get_backend().con.execute("select table_name from duckdb_tables()").fetchall()
    return {name for (name,) in found}


def test_a_kept_table_goes_once_nothing_reads_it():
    first = keep(one(1))
    name = first.op().name
    reader = first.mutate(twice=first.value * 2)
    del first
    second = keep(one(2))
    assert name in names()
    assert reader.to_pyarrow().to_pylist() == [{"value": 1, "twice": 2}]
    del reader
    third = keep(second)
    assert name not in names()
    assert third.to_pyarrow().to_pylist() == [{"value": 2}]


def test_empty_is_told_from_not_empty():
    rows = one(1)
    assert not is_empty(rows)
    assert is_empty(rows.filter(rows.value > 1))
