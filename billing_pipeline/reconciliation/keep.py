"""Where an intermediate result is kept in the engine, so that the steps after it do not compute it again.

The one place that knows engines apart. A kept table lives as long as an expression that reads it.
"""

import functools
import weakref

import ibis
import ibis.expr.operations as ops
from ibis.expr.types import Table

# Kept tables nothing reads any more, with the connection each lies in.
_unused: list[tuple[weakref.ref[ibis.BaseBackend], str]] = []


def keep(rows: Table) -> Table:
    """`rows`, computed once, as a table of the same backend."""
    backend = ibis.get_backend(rows)
    # Not `.cache()` here: it hands an equal expression the table it kept before, also when the data behind a name have
    # changed since, and its DROP depends on the sqlglot it meets (30.30 wrote it without a name: nothing was released).
    _drop_unused(backend)
    name = ibis.util.gen_name("kept")
    made = _created(backend, name, rows) if backend.name == "duckdb" else backend.create_table(name, rows, temp=True)
    # Dropped by the next keep(), not here: an expression may die while a result of the connection is still being read,
    # and DuckDB 2 then refuses other work ("connection has an unfinished result").
    finalizer = weakref.finalize(made.op(), _unused.append, (weakref.ref(backend), name))
    finalizer.atexit = False  # type: ignore[misc]  # the connection goes as a whole; typeshed lacks the setter
    return made


def _created(backend: ibis.BaseBackend, name: str, rows: Table) -> Table:
    """What `create_table` does, without asking DuckDB for a schema that is known: a third of a small statement's time."""
    schema = ibis.Schema({column: dtype.copy(nullable=True) for column, dtype in rows.schema().items()})
    columns = ", ".join(
        f'"{column}" {_type_name(backend.compiler.type_mapper, dtype)}' for column, dtype in schema.items()
    )
    backend._run_pre_execute_hooks(rows)
    query = backend.compile(rows)
    backend.con.execute(f'CREATE TEMP TABLE "{name}" ({columns})').fetchall()
    backend.con.execute(f'INSERT INTO "{name}" {query}').fetchall()
    namespace = ops.Namespace(catalog="temp", database="main")
    return ops.DatabaseTable(name, schema=schema, source=backend, namespace=namespace).to_expr()


@functools.cache
def _type_name(mapper: type, dtype: ibis.DataType) -> str:
    return str(mapper.to_string(dtype))  # type: ignore[attr-defined]


def is_empty(rows: Table) -> bool:
    found = rows.limit(1).count().as_table()
    backend = ibis.get_backend(rows)
    if backend.name != "duckdb":
        return not found.to_pyarrow()[0][0].as_py()
    backend._run_pre_execute_hooks(found)
    return not backend.con.execute(backend.compile(found)).fetchall()[0][0]


def _drop_unused(backend: ibis.BaseBackend) -> None:
    for entry in list(_unused):
        owner, name = entry
        if owner() is None or owner() is backend:
            _unused.remove(entry)
            if owner() is backend:
                _drop(backend, name)


def _drop(backend: ibis.BaseBackend, name: str) -> None:
    if backend.name == "duckdb":
        backend.con.execute(f'DROP TABLE IF EXISTS "{name}"').fetchall()
    else:
        backend.drop_view(name, force=True)  # Spark has no temporary tables: steps/spark.py keeps files under a view
