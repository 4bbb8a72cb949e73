"""The registry as Arrow schemas: what lies in Parquet, and what every reader and engine exchanges in memory."""

import pyarrow as pa

from billing_pipeline.schemas.columns import PARTITION, PROVENANCE, Column, Kind, Table

ARROW_TYPES: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.PERIOD: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.DECIMAL: pa.decimal128(18, 6),
    Kind.RATE: pa.decimal128(28, 12),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TEXT_LIST: pa.list_(pa.string()),
    Kind.JSON: pa.string(),
}


def field(column: Column) -> pa.Field:
    return pa.field(column.name, ARROW_TYPES[column.kind], nullable=column.nullable)


def content_schema(table: Table) -> pa.Schema:
    """The columns a producer fills: the table's own, without the partition and without run_id and loaded_at."""
    surrounding = {column.name for column in (*PARTITION, *PROVENANCE)}
    return pa.schema([field(column) for column in table.columns if column.name not in surrounding])


def parquet_schema(table: Table) -> pa.Schema:
    """What the file holds: all columns but the partition's, which stand in the path."""
    partition = {column.name for column in PARTITION}
    return pa.schema([field(column) for column in table.columns if column.name not in partition])
