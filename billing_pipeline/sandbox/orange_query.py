"""The query language of the Orange billing API: filters, searches, sorting, counters. Plain dicts in, plain dicts out.

What the published guide leaves open: a field that no document of the collection can have is refused, never ignored; an
absent value equals nothing, sorts last and is no group of a counter; values of different types never compare.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

Document = Mapping[str, Any]
Test = Callable[[Document], bool]
MAX_DEPTH = 32
_ABSENT = object()


class BadQuery(ValueError):
    """The message names the operator, field or value at fault."""


def value_at(document: Document, field: str) -> Any:
    """The value at a dotted path (`customer.name`); `_ABSENT` where there is none."""
    value: Any = document
    for name in field.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return _ABSENT
        value = value[name]
    return value


def filtered(documents: Iterable[Document], filters: Sequence[tuple[str, str]]) -> list[Document]:
    """Those whose fields have the texts of a query string; a list matches when it holds the text."""
    return [one for one in documents if all(_as_texts(one, field, text) for field, text in filters)]


def _as_texts(document: Document, field: str, text: str) -> bool:
    found = value_at(document, field)
    return any(_text(value) == text for value in (found if isinstance(found, list) else [found]))


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, str | int) else None


def ordered(documents: Sequence[Document], sort: str, fields: Collection[str]) -> list[Document]:
    """By a comma list of fields, each descending under a `-`; ties keep their order."""
    result = list(documents)
    for part in reversed([part.strip() for part in sort.split(",")]):
        descending, field = part.startswith("-"), part.removeprefix("-")
        known(field, fields)
        having = [one for one in result if _comparable(value_at(one, field))]
        lacking = [one for one in result if not _comparable(value_at(one, field))]
        having.sort(key=lambda one, field=field: value_at(one, field), reverse=descending)  # type: ignore[misc]
        result = having + lacking
    return result


def _comparable(value: Any) -> bool:
    return value is not None and isinstance(value, str | int | Decimal)


def known(field: str, fields: Collection[str]) -> str:
    """The field itself, if the collection's documents can have it; BadQuery otherwise."""
    if field not in fields:
        raise BadQuery(f"unknown field {field!r}; there are {', '.join(sorted(fields))}")
    return field


def counters(documents: Iterable[Document], field: str, sort: str) -> list[tuple[str, int]]:
    """(value, number of documents) of each value, by `key`, `value`, `-key` or `-value`; equal numbers by key."""
    if sort not in ("key", "value", "-key", "-value"):
        raise BadQuery(f"sort {sort!r} is none of key, value, -key, -value")
    counts: dict[str, int] = {}
    for document in documents:
        found = value_at(document, field)
        for value in found if isinstance(found, list) else [found]:
            key = _text(value)
            if key is not None:
                counts[key] = counts.get(key, 0) + 1
    by_key = sorted(counts.items(), reverse=sort == "-key")
    if sort.endswith("value"):
        by_key.sort(key=lambda group: group[1], reverse=sort.startswith("-"))
    return by_key


def compiled(expression: Any, fields: Collection[str], depth: int = 0) -> Test:
    """A search expression as a test of one document. BadQuery names what is wrong with it.

    `{field: value, …}`: every member holds. `{"$and": […]}`, `{"$or": […]}`: lists of at least one expression.
    `{field: {operator: value, …}}`: every operator holds; `$not` takes a value or operators.
    """
    if depth > MAX_DEPTH:
        raise BadQuery(f"the query is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(expression, dict):
        raise BadQuery("an expression is a JSON object")
    tests = [_member(name, value, fields, depth) for name, value in expression.items()]
    return lambda document: all(test(document) for test in tests)


def _member(name: str, value: Any, fields: Collection[str], depth: int) -> Test:
    if name in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise BadQuery(f"{name} takes a list of expressions")
        tests = [compiled(one, fields, depth + 1) for one in value]
        quantifier = all if name == "$and" else any
        return lambda document: quantifier(test(document) for test in tests)
    if name.startswith("$"):
        raise BadQuery(f"{name} cannot stand in place of a field; there are $and and $or")
    known(name, fields)
    condition = _condition(value, depth + 1)
    return lambda document: condition(value_at(document, name))


def _condition(value: Any, depth: int) -> Callable[[Any], bool]:
    if depth > MAX_DEPTH:
        raise BadQuery(f"the query is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        return _comparison("$eq", value)
    if not value:
        raise BadQuery("a condition {} has no operator")
    tests = [_operator(operator, operand, depth) for operator, operand in value.items()]
    return lambda found: all(test(found) for test in tests)


def _operator(operator: str, operand: Any, depth: int) -> Callable[[Any], bool]:
    if operator == "$not":
        inner = _condition(operand, depth + 1)
        return lambda found: not inner(found)
    return _comparison(operator, operand)


def _comparison(operator: str, operand: Any) -> Callable[[Any], bool]:
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list):
            raise BadQuery(f"{operator} takes a list of values")
        for one in operand:
            _plain(operator, one)
        wanted = operator == "$in"
        return lambda found: any(_equal(found, one) for one in operand) is wanted
    _plain(operator, operand)
    if operator == "$eq":
        return lambda found: _equal(found, operand)
    if operator == "$neq":
        return lambda found: not _equal(found, operand)
    order = _ORDERS.get(operator)
    if order is None:
        raise BadQuery(f"unknown operator {operator!r}; there are $eq, $neq, {', '.join(_ORDERS)}, $in, $nin, $not")
    return lambda found: _same_kind(found, operand) and operand is not None and order(found, operand)


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda a, b: bool(a > b),
    "$gte": lambda a, b: bool(a >= b),
    "$lt": lambda a, b: bool(a < b),
    "$lte": lambda a, b: bool(a <= b),
}


def _plain(operator: str, operand: Any) -> None:
    if isinstance(operand, dict | list):
        raise BadQuery(f"{operator} takes a text, a number, true, false or null")


def _equal(found: Any, wanted: Any) -> bool:
    if found is _ABSENT:
        return wanted is None
    if isinstance(found, list):
        return any(_equal(one, wanted) for one in found)
    return _same_kind(found, wanted) and bool(found == wanted)


def _same_kind(found: Any, wanted: Any) -> bool:
    return _kind(found) == _kind(wanted) is not None


def _kind(value: Any) -> str | None:
    """null is a kind of its own; what has no order or equality here (an object, an absent value) has none."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | Decimal):
        return "number"
    return "text" if isinstance(value, str) else None
