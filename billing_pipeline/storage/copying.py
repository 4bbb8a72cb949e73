"""Arrow into and out of PostgreSQL by COPY: how each kind of column is written as text and read back, exactly.

In CSV, null is an empty field without quotes and the empty string is `""`; both sides keep the two apart. Rows that hold
neither an empty string nor a character with a meaning go in COPY's text format, null as nothing between two tabs: one
million invoice lines and their shares then take the server 7.5 processor seconds instead of 8.7. Which rows go where, and
when they are committed, is decided in partitions.py.
"""

import io
import json
import re
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, LiteralString, TypeVar

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg import sql

from billing_pipeline.schemas.arrow import field
from billing_pipeline.schemas.columns import Column, Kind, Table
from billing_pipeline.schemas.sql import SCHEMA

_CSV = pyarrow.csv.WriteOptions(include_header=False)
_TEXT = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
# A field may be 1 MiB, and pyarrow wants every row to fit into one block.
_BLOCK = 1 << 24
# A part is some 20 MB as CSV: enough of them that neither side waits for the other's pauses, 80 MB at the most.
_MOST_PARTS_WAITING = 4
# Of these a load has one or a few values, of any other decimal as many as rows.
_FEW_DISTINCT = (Kind.INSTANT, Kind.DATE, Kind.RATE)
Result = TypeVar("Result")


def qualified(table: Table) -> sql.Identifier:
    return sql.Identifier(SCHEMA, table.name)


def columns_sql(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def without_nul(rows: pa.Table) -> pa.Table:
    """PostgreSQL's text has no NUL; the character ␀ (U+2400) stands for it, in Parquet too, so that both agree."""
    for index, one in enumerate(rows.schema):
        if one.type == pa.string() and _holds_nul(rows.column(index)):
            rows = rows.set_column(index, one, pc.replace_substring(rows.column(index), "\0", "\u2400"))
    return rows


def _holds_nul(texts: pa.ChunkedArray) -> bool:
    """One pass over the bytes: looking for the substring cell by cell took five times as long."""
    for chunk in texts.chunks:
        data = chunk.buffers()[2]
        if len(chunk) == chunk.null_count or data is None or not data.size:
            continue
        first, last = np.frombuffer(chunk.buffers()[1], np.int32)[[chunk.offset, chunk.offset + len(chunk)]]
        view = np.frombuffer(data, np.uint8)[first:last]
        if view.size and not view.min():
            return True
    return False


class CopySender:
    """Sends parts of several tables over one connection while the next are made: the server is on another core.

    One thread writes a part as CSV, another sends the one before it, in the order given, a COPY each (under 1 ms of
    overhead). Until it is closed nothing else may use the connection. An error, psycopg.Error as a rule, comes from the
    next call, and everything that waited is dropped.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="copy-encoder")
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="copy-sender")
        self._waiting: deque[Future[Any]] = deque()

    def send(self, table: Table, rows: pa.Table) -> None:
        """COPY `rows`, which have all the registry's columns, into `table`; waits while too many parts wait."""
        encoding = self._encoder.submit(copy_data, table, rows)
        self._waiting.append(self._sender.submit(lambda: self._copy(table, *encoding.result())))
        while len(self._waiting) > _MOST_PARTS_WAITING:
            self._waiting.popleft().result()
        self._look()

    def execute(self, work: Callable[[psycopg.Connection], Result]) -> "Future[Result]":
        """Have `work` done on the connection once everything before it is sent; does not wait for that."""
        done = self._sender.submit(work, self._connection)
        self._waiting.append(done)
        self._look()
        return done

    def wait(self) -> None:
        """Until everything is sent and executed."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Drop what still waits and give the connection back; never raises for what was dropped."""
        for executor in (self._encoder, self._sender):
            executor.shutdown(wait=True, cancel_futures=True)

    def _look(self) -> None:
        """At what is done, for its error."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()

    def _copy(self, table: Table, content: bytes, options: str) -> None:
        statement = sql.SQL("COPY {} ({}) FROM STDIN ({})").format(
            qualified(table), columns_sql(table.names), sql.SQL(options)
        )
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(content)


def copy_data(table: Table, rows: pa.Table) -> tuple[bytes, LiteralString]:
    """`rows` as COPY reads them, and the options that tell it how."""
    arrays = []
    # Of a table with an empty chunk before others pyarrow's writer made hundreds of KB of NUL bytes.
    rows = rows.combine_chunks()
    for column in table.columns:
        values = rows.column(column.name)
        if column.kind is Kind.TEXT_LIST:
            values = _array_literals(values)
        elif column.kind in _FEW_DISTINCT:
            values = _written_once(values)
        arrays.append(values)
    written = pa.table(arrays, names=list(table.names))
    plain = None if any(map(_holds_empty_text, written.columns)) else _plain_text(written)
    return (_written(written, _CSV), "FORMAT csv") if plain is None else (plain, "FORMAT text, NULL ''")


def _plain_text(rows: pa.Table) -> bytes | None:
    """COPY's text format, which escapes by backslashes; None where a value would have to be escaped."""
    try:
        content = _written(rows, _TEXT)
    except pa.ArrowInvalid:  # a tab, a quote or a line break
        return None
    return None if b"\\" in content else content


def _written(rows: pa.Table, options: pyarrow.csv.WriteOptions) -> bytes:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(rows, sink, options)
    return sink.getvalue()


def _holds_empty_text(values: pa.ChunkedArray) -> bool:
    found: bool = values.type == pa.string() and pc.min(pc.binary_length(values)).as_py() == 0
    return found


def _written_once(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The text of each distinct value, taken by its code: instants took half of all the writing cell by cell."""
    coded = values.combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    return pa.chunked_array([coded.dictionary.cast(pa.string()).take(coded.indices)])


def _array_literals(values: pa.ChunkedArray) -> pa.Array:
    """list<string> as text: `{"a","b \\"c\\""}`, NULL for a null element, null for a null list."""
    lists = values.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], pa.list_(pa.string()))
    elements = pc.replace_substring(pc.replace_substring(lists.flatten(), "\\", "\\\\"), '"', '\\"')
    quoted = pc.fill_null(pc.binary_join_element_wise('"', elements, '"', ""), "NULL")
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_pylist()
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + length)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), quoted), ",")
    literals = pc.binary_join_element_wise("{", joined, "}", "")
    return pc.if_else(lists.is_valid(), literals, pa.scalar(None, pa.string()))


def copy_out(
    connection: psycopg.Connection,
    table: Table,
    *,
    operator: str | None,
    periods: Sequence[str] | None,
    columns: Sequence[str] | None,
) -> pa.Table:
    """Rows of `table` in the order of its key, with the registry's Arrow types; null filters take everything."""
    if not table.in_postgres:
        raise ValueError(f"{table.name} lies in Parquet only; read it with ParquetStore.read")
    wanted = [table.column(name) for name in (columns if columns is not None else table.names)]
    statement = sql.SQL(
        "COPY (SELECT {columns} FROM {table} WHERE ({operator}::text IS NULL OR operator_code = {operator})"
        " AND ({periods}::bpchar[] IS NULL OR period = ANY ({periods}::bpchar[])) ORDER BY {key}) TO STDOUT (FORMAT csv)"
    ).format(
        columns=sql.SQL(", ").join(map(_readable, wanted)),
        table=qualified(table),
        operator=sql.Literal(operator),
        periods=sql.Literal(None if periods is None else list(periods)),
        key=columns_sql(table.key),
    )
    schema = pa.schema([field(column) for column in wanted])
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        first = bytes(copy.read())
        if not first:
            return schema.empty_table()
        raw = _parse(io.BufferedReader(_CopyStream(first, copy), _BLOCK), schema)
    return _restore_lists(raw, wanted).cast(schema)


def _readable(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    return sql.SQL("array_to_json({})").format(name) if column.kind is Kind.TEXT_LIST else name


def _parse(stream: io.BufferedReader, schema: pa.Schema) -> pa.Table:
    types = {one.name: pa.string() if pa.types.is_list(one.type) else one.type for one in schema}
    return pyarrow.csv.read_csv(
        stream,
        read_options=pyarrow.csv.ReadOptions(column_names=schema.names, block_size=_BLOCK),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def _restore_lists(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    for index, column in enumerate(columns):
        if column.kind is Kind.TEXT_LIST:
            lists = [None if text is None else json.loads(text) for text in rows.column(index).to_pylist()]
            rows = rows.set_column(index, column.name, pa.array(lists, pa.list_(pa.string())))
    return rows


class _CopyStream(io.RawIOBase):
    """What COPY sends, as a file pyarrow can read."""

    def __init__(self, first: bytes, copy: psycopg.Copy) -> None:
        self._waiting = memoryview(first)
        self._copy = copy

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._waiting:
            self._waiting = memoryview(bytes(self._copy.read()))
        size = min(len(buffer), len(self._waiting))
        buffer[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size


def explain_refusal(error: psycopg.Error) -> str:
    """The database's message without the values it quotes: those are customers' data."""
    state = error.sqlstate or ""
    column = re.search(r"column (\w+)", error.diag.context or "")
    where = error.diag.column_name or (column[1] if column else None)
    # Class 22 messages quote the value itself; class 23 keep it in the detail, which is not shown.
    if state.startswith("22"):
        said = re.sub(r'(?<!\\)".*', "…", error.diag.message_primary or type(error).__name__)
    else:
        said = error.diag.message_primary or " ".join(str(error).split())[:300]
    return f"{said} (column {where})" if where and where not in said else said
