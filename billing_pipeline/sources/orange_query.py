"""Queries for the Orange API's advanced search, typed: `field("currency.id").equals("GBP") | field(...)`. Sends nothing.

is_in, not_in, equals, differs, above, at_least, below, at_most, is_not      a comparison of one field
q1 & q2, all_of(...)                                                          $and
q1 | q2, any_of(...)                                                          $or
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Value = str | int | bool | Decimal | dt.date | None


@dataclass(frozen=True, slots=True)
class Query:
    """One expression; `document` is its JSON form."""

    document: dict[str, Any]

    def __and__(self, other: "Query") -> "Query":
        return all_of(self, other)

    def __or__(self, other: "Query") -> "Query":
        return any_of(self, other)


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute by its dotted path, such as `customer.name`."""

    path: str

    def __post_init__(self) -> None:
        if not self.path or self.path.startswith("$"):
            raise ValueError(f"{self.path!r} is no field; a path of attribute names was expected")

    def equals(self, value: Value) -> Query:
        return self._compared("$eq", value)

    def differs(self, value: Value) -> Query:
        return self._compared("$neq", value)

    def is_not(self, value: Value) -> Query:
        """`$not`, which the guide lists among the logical operators and writes like a comparison."""
        return self._compared("$not", value)

    def above(self, value: Value) -> Query:
        return self._compared("$gt", value)

    def at_least(self, value: Value) -> Query:
        return self._compared("$gte", value)

    def below(self, value: Value) -> Query:
        return self._compared("$lt", value)

    def at_most(self, value: Value) -> Query:
        return self._compared("$lte", value)

    def is_in(self, values: Iterable[Value]) -> Query:
        return self._among("$in", values)

    def not_in(self, values: Iterable[Value]) -> Query:
        return self._among("$nin", values)

    def _compared(self, operator: str, value: Value) -> Query:
        return Query({self.path: {operator: _json_value(value)}})

    def _among(self, operator: str, values: Iterable[Value]) -> Query:
        if isinstance(values, str):
            raise ValueError(f"{operator} takes several values; {values!r} is one")
        return Query({self.path: {operator: [_json_value(value) for value in values]}})


def field(path: str) -> Field:
    return Field(path)


def all_of(*queries: Query) -> Query:
    return _joined("$and", queries)


def any_of(*queries: Query) -> Query:
    return _joined("$or", queries)


def _joined(operator: str, queries: tuple[Query, ...]) -> Query:
    """Nested joins of one operator become one list: `a & b & c` is one `$and` of three."""
    if not queries:
        raise ValueError(f"{operator} joins at least one query")
    parts: list[dict[str, Any]] = []
    for query in queries:
        parts.extend(query.document[operator] if list(query.document) == [operator] else [query.document])
    return Query({operator: parts})


def _json_value(value: Value) -> str | int | bool | Decimal | None:
    """Instants in UTC with milliseconds, as the API writes them; a decimal stays one."""
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError("an instant without a time zone could mean two")
        return f"{value.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        raise ValueError("amounts are decimals, not floats")
    return value
