"""Where an intermediate result is kept in the engine, so that the steps after it do not compute it again.

The one place that knows engines apart. A kept table lives as long as an expression that reads it.
"""

import weakref

import ibis
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
    made = backend.create_table(name, rows, temp=True)
    # Dropped by the next keep(), not here: an expression may die while a result of the connection is still being read,
    # and DuckDB 2 then refuses other work ("connection has an unfinished result").
    finalizer = weakref.finalize(made.op(), _unused.append, (weakref.ref(backend), name))
    finalizer.atexit = False  # type: ignore[misc]  # the connection goes as a whole; typeshed lacks the setter
    return made


def is_empty(rows: Table) -> bool:
    return not rows.limit(1).count().to_pyarrow().as_py()


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
