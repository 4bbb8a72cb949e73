"""What may become part of a path or a query: operator codes, periods, load ids. Checked here, wherever they came from."""

import re

from billing_pipeline.periods import Period

_OPERATOR_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,19}")
_LOAD_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def is_operator(code: str) -> bool:
    return _OPERATOR_CODE.fullmatch(code) is not None


def checked_operator(code: str) -> str:
    """`code`, fit for a path and for SQL; ValueError otherwise."""
    if not is_operator(code):
        raise ValueError(f"{code!r} is not an operator code; it matches [A-Z][A-Z0-9_]{{1,19}}")
    return code


def checked_period(period: str) -> str:
    """`period` as YYYY-MM, fit for a path and for SQL; ValueError otherwise."""
    return str(Period.parse(period))


def checked_load_id(load_id: str) -> str:
    """`load_id`, fit for a path; ValueError otherwise."""
    if _LOAD_ID.fullmatch(load_id) is None:
        raise ValueError(f"{load_id!r} is not a load id; it holds letters, digits, '.', '_' and '-' only")
    return load_id


def file_name_part(text: str) -> str:
    """`text` with every character that does not belong in a file name replaced, at most 100 of them."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:100]
