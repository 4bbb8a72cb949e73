"""What a caller may ask with: types that are the same in the OpenAPI document and in the check, and how each is named
when it is wrong. What the values select is not known here."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request
from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from billing_pipeline.api.answers import Refusal, invalid
from billing_pipeline.errors import one_line

DEFAULT_PER_PAGE, MAX_PER_PAGE = 50, 500
MAX_PAGE = 999_999_999
_EXPECTED = {
    "period": "write YYYY-MM, for example 2024-03",
    "operatorCode": "write an operator's code, such as ORANGE: capital letters, digits and _",
    "status": "write MATCHED, UNMATCHED or DISCREPANCY",
    "page": f"write a whole number from 1 to {MAX_PAGE}",
    "perPage": f"write a whole number from 1 to {MAX_PER_PAGE}",
}


def _digits(text: Any) -> Any:
    """Pydantic also takes `1.0`, ` 1` and `1_000` for whole numbers."""
    if isinstance(text, str) and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("is not a whole number")
    return text


# In a query string there is no null, so the document does not speak of one.
_Absent = SkipJsonSchema[None]
_Month = Annotated[str, Field(pattern="^[12][0-9]{3}-(0[1-9]|1[0-2])$")]
_Code = Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]{1,19}$")]
_Number = Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(_digits)]
_Size = Annotated[int, Field(ge=1, le=MAX_PER_PAGE), BeforeValidator(_digits)]
_PERIOD = Query(description="The month, YYYY-MM.", examples=["2024-03"])
_PAGE = Query(description="Page number, from 1; one past the last is empty.")
_PER_PAGE = Query(alias="perPage", description=f"Results per page, {DEFAULT_PER_PAGE} by default.")

RequiredPeriod = Annotated[_Month, _PERIOD]
OptionalPeriod = Annotated[_Month | _Absent, _PERIOD]
OperatorCode = Annotated[
    _Code | _Absent,
    Query(
        alias="operatorCode",
        description="Only this operator's. 404 when no operator has this code.",
        examples=["ORANGE"],
    ),
]
Status = Annotated[
    Literal["MATCHED", "UNMATCHED", "DISCREPANCY"] | _Absent,
    Query(description="Only items of this status; the summary stays that of all."),
]
Page = Annotated[_Number, _PAGE]
PerPage = Annotated[_Size, _PER_PAGE]
OptionalPage = Annotated[_Number | _Absent, _PAGE]
OptionalPerPage = Annotated[_Size | _Absent, _PER_PAGE]
# A path's last segment; an id may itself hold slashes (%2F).
InvoiceId = Annotated[str, Path(description="The operator's invoice number.", examples=["INV-ORA-2024-03-001"])]


def refuse_others(request: Request, *known: str) -> None:
    """Refusal for a parameter nobody knows, or one that stands twice: of two values one would be dropped in silence."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            there = f"there are {', '.join(known)}" if len(known) > 1 else f"there is {known[0]}"
            raise invalid(one_line(name), f"there is no such parameter; {there}")
        if name in seen:
            raise invalid(name, "stands more than once; give one value")
        seen.add(name)


def refusal(errors: Sequence[Any]) -> Refusal:
    """The first of the framework's own findings, in our words."""
    error = errors[0]
    name = str(error["loc"][1])
    expected = _EXPECTED.get(name, "see /docs")
    if error["type"] == "missing":
        return invalid(name, f"is required; {expected}")
    return invalid(name, f"{one_line(error['input'])!r} is not allowed; {expected}")
