"""The Parquet tree: any engine reads it, and no code or month is taken for a number."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.arrow import parquet_schema
from billing_pipeline.schemas.columns import Table
from billing_pipeline.schemas.tables import INVOICES
from billing_pipeline.storage.parquet import ParquetStore

from .rows import rows


@pytest.fixture
def files(tmp_path: Path) -> ParquetStore:
    return ParquetStore(tmp_path / "parquet")


def write(files: ParquetStore, table: Table, operator: str, period: str, count: int, load_id: str = "load") -> None:
    content = rows(table, count)
    for column in parquet_schema(table):
        if column.name not in content.column_names:
            value = "run" if column.name == "run_id" else 0
            content = content.append_column(column, pa.array([value] * count, column.type))
    with files.writer(table, operator, period, load_id) as staged:
        staged.write(content.select(staged.schema.names))
    files.publish(table, operator, period, load_id)


def test_a_file_carries_its_load_and_lies_where_the_contract_says(files: ParquetStore) -> None:
    assert files.load_id(INVOICES, "ORANGE", "2024-03") is None
    write(files, INVOICES, "ORANGE", "2024-03", 3)
    path = files.root / "invoices" / "period=2024-03" / "operator_code=ORANGE" / "data.parquet"
    assert files.path(INVOICES, "ORANGE", "2024-03") == path
    assert (files.load_id(INVOICES, "ORANGE", "2024-03"), files.rows(INVOICES, "ORANGE", "2024-03")) == ("load", 3)
    metadata = pq.read_metadata(path)
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert not {"period", "operator_code"} & set(metadata.schema.to_arrow_schema().names)
    assert str(metadata.schema.to_arrow_schema().field("total_ht").type) == "decimal128(18, 6)"


def test_an_operator_code_that_looks_like_a_number_stays_text(files: ParquetStore) -> None:
    write(files, INVOICES, "E100", "2024-03", 1)
    write(files, INVOICES, "ORANGE", "2024-02", 2)
    read = files.read(INVOICES)
    assert read.column("operator_code").to_pylist() == ["ORANGE", "ORANGE", "E100"]
    assert files.read(INVOICES, periods=["2024-03"]).num_rows == 1
    assert files.read(INVOICES, operators=["SFR"]).num_rows == 0
    found = duckdb.sql(
        "SELECT operator_code, period, count(*), typeof(any_value(total_ht)) FROM"
        f" read_parquet('{files.root}/invoices/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
        " GROUP BY 1, 2 ORDER BY 1"
    ).fetchall()
    assert found == [("E100", "2024-03", 1, "DECIMAL(18,6)"), ("ORANGE", "2024-02", 2, "DECIMAL(18,6)")]


def test_a_partition_without_rows_is_a_file_without_rows(files: ParquetStore) -> None:
    with files.writer(INVOICES, "ORANGE", "2024-03", "load"):
        pass
    files.publish(INVOICES, "ORANGE", "2024-03", "load")
    assert files.rows(INVOICES, "ORANGE", "2024-03") == 0
    assert files.read(INVOICES).num_rows == 0


def test_a_file_cut_short_is_neither_published_from_staging_nor_read(files: ParquetStore) -> None:
    write(files, INVOICES, "ORANGE", "2024-03", 3)
    path = files.path(INVOICES, "ORANGE", "2024-03")
    whole = path.read_bytes()
    staged = files.staged_path(INVOICES, "ORANGE", "2024-03", "next")
    staged.parent.mkdir(parents=True)
    staged.write_bytes(whole[:-10])
    assert not files.is_staged(INVOICES, "ORANGE", "2024-03", "next")
    path.write_bytes(whole[:-10])
    assert files.load_id(INVOICES, "ORANGE", "2024-03") is None
    with pytest.raises(StorageError, match=r"data\.parquet: cannot be read"):
        files.read(INVOICES)


@pytest.mark.parametrize("load_id", ["..", "a/b", "", ".hidden", "x" * 300])
def test_a_load_id_cannot_leave_the_staging_folder(files: ParquetStore, load_id: str) -> None:
    with pytest.raises(ValueError, match="is not a load id"):
        files.writer(INVOICES, "ORANGE", "2024-03", load_id)


def test_a_disk_that_refuses_is_named(files: ParquetStore) -> None:
    files.root.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"), files.writer(INVOICES, "ORANGE", "2024-03", "load"):
        pytest.fail("entered")
