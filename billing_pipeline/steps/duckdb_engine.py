"""DuckDB in this process, with the SQL of an expression translated once per process. No rule and no query lives here.

Ibis spends 1.0 s of processor time on translating one month's expressions, whatever the number of rows: a fifth of what
reconciling a million services takes. From one operator to the next they differ only in the names of the tables they
read, so the SQL is remembered under the expression's shape, in which such tables are numbered instead of named.
"""

import gc
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ibis.expr.operations as ops
from ibis.backends.duckdb import Backend
from ibis.common.collections import FrozenDict
from ibis.expr.types import Expr

# One month takes some 60, of 5 KB each, and they hold its name; months are worked on one after the other.
_REMEMBERED = 512
# Names given by Ibis to what has none of its own: they say nothing but which table it is.
_GENERATED = re.compile('"(ibis_[a-z0-9_]+)"')
# What Ibis's hooks look for besides record batch readers.
_PREPARED = (ops.InMemoryTable, ops.ScalarUDF, ops.GeoSpatialUnOp, ops.GeoSpatialBinOp)

_translated: OrderedDict[Hashable, tuple[str | int, ...]] = OrderedDict()


class DuckDB(Backend):  # type: ignore[misc]  # Ibis ships types that strict mode cannot read
    """Ibis's DuckDB backend; `compile` looks into its memory first."""

    def _run_pre_execute_hooks(self, expr: Expr) -> None:
        """Only where there is something to prepare: looking for it walks the expression four times."""
        if self._record_batch_readers_consumed or expr.op().find(_PREPARED):
            super()._run_pre_execute_hooks(expr)

    def compile(
        self,
        expr: Expr,
        /,
        *,
        limit: int | None = None,
        params: Mapping[Expr, Any] | None = None,
        pretty: bool = False,
    ) -> str:
        """The SQL of `expr`: the same text whether it is translated or remembered."""
        if limit is not None or params or pretty:
            return str(super().compile(expr, limit=limit, params=params, pretty=pretty))
        shape, names = _shape(expr)
        parts = _translated.pop(shape, None)
        if parts is None:
            with _unswept():
                parts = _numbered(str(super().compile(expr)), names)
        _translated[shape] = parts
        if len(_translated) > _REMEMBERED:
            _translated.popitem(last=False)
        return "".join(f'"{names[part]}"' if isinstance(part, int) else part for part in parts)


def _shape(expr: Expr) -> tuple[Hashable, list[str]]:
    """What two expressions have in common that differ only in generated table names, and these names in their order.

    No node is part of it: one would keep the tables alive that it reads.
    """
    numbers: dict[int, int] = {}
    names: dict[str, int] = {}
    found: list[Hashable] = []

    def told(value: Any) -> Hashable:
        if isinstance(value, ops.Node):
            return (ops.Node, numbers[id(value)])
        if isinstance(value, tuple):
            return tuple([told(one) for one in value])
        if isinstance(value, FrozenDict):
            return tuple([(name, told(one)) for name, one in value.items()])
        return value  # type: ignore[no-any-return]

    def table(node: ops.PhysicalTable) -> Hashable:
        name = node.name
        if _GENERATED.fullmatch(f'"{name}"'):
            name = names.setdefault(name, len(names))
        return (type(node), name, node.schema, getattr(node, "namespace", None))

    open_ = [expr.op()]
    while open_:
        node = open_[-1]
        missing = [child for child in node.__children__ if id(child) not in numbers] if id(node) not in numbers else []
        if missing:
            open_.extend(missing)
            continue
        open_.pop()
        if id(node) not in numbers:
            is_table = isinstance(node, ops.PhysicalTable)
            found.append(table(node) if is_table else (type(node), *[told(one) for one in node.__args__]))
            numbers[id(node)] = len(numbers)
    return tuple(found), list(names)


def _numbered(sql: str, names: list[str]) -> tuple[str | int, ...]:
    """`sql` in pieces: text, and the place among `names` of the table that stands between two pieces of it."""
    places = {name: place for place, name in enumerate(names)}
    pieces = _GENERATED.split(sql)
    return tuple([places.get(piece, f'"{piece}"') if place % 2 else piece for place, piece in enumerate(pieces)])


@contextmanager
def _unswept() -> Iterator[None]:
    """Without the collector of cycles, which takes a fifth of the time in which so many small objects are made."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
