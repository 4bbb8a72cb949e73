"""Invoices as the API answers them: a page of the list, one invoice with its lines. The SQL is statements.py's."""

from collections.abc import AsyncGenerator, Collection

from fastapi import Response

from billing_pipeline.api import statements
from billing_pipeline.api.answers import Refusal, StreamedJson, json_response
from billing_pipeline.errors import one_line
from billing_pipeline.storage.reading import ReadPool

_LINES = '"lines": ['


async def refuse_unknown(pool: ReadPool, configured: Collection[str], code: str | None) -> None:
    """404 for an operator that is neither configured nor in the tables: a typo must not look like a month without bills."""
    if code is None or code in configured:
        return
    rows = await pool.rows(statements.IS_KNOWN, {"operator_code": code})
    if rows != [(True,)]:
        raise Refusal(404, "not_found", f"operatorCode: there is no operator {code!r}", param="operatorCode")


async def list_invoices(
    pool: ReadPool, configured: Collection[str], *, period: str | None, code: str | None, page: int, per_page: int
) -> Response:
    """One page, by period, operator and invoice; in one statement, so that it and its total are of one state."""
    chosen = {name: value for name, value in (("period", period), ("operator_code", code)) if value is not None}
    parameters = {**chosen, "limit": per_page, "offset": (page - 1) * per_page}
    ((total, invoices),) = await pool.rows(statements.invoice_page(tuple(chosen)), parameters)
    if not total:
        await refuse_unknown(pool, configured, code)
    pagination = f'{{"page": {page}, "perPage": {per_page}, "total": {total}}}'
    return json_response(f'{{"invoices": [{invoices or ""}], "pagination": {pagination}}}')


async def read_invoice(pool: ReadPool, configured: Collection[str], invoice_id: str, code: str | None) -> Response:
    """One invoice with all its lines, in the order of its document; more than LINES_AT_ONCE of them are streamed."""
    chosen = {"invoice_id": invoice_id, **({"operator_code": code} if code is not None else {})}
    # PostgreSQL knows no U+0000, so no invoice can have it in its number.
    found = [] if "\0" in invoice_id else await pool.rows(statements.invoice_detail(tuple(chosen)[1:]), chosen)
    if not found:
        await refuse_unknown(pool, configured, code)
        raise Refusal(404, "not_found", f"there is no invoice {one_line(invoice_id)!r}")
    operators = sorted({row[0] for row in found})
    if len(operators) > 1:
        named = one_line(invoice_id)
        message = f"operatorCode: {', '.join(operators)} each have an invoice {named!r}; say whose is meant"
        raise Refusal(409, "ambiguous_invoice", message, param="operatorCode")
    operator, period, head, tail, count, lines = found[0]
    if count > statements.LINES_AT_ONCE:
        return StreamedJson(_streamed(pool, {"operator_code": operator, "period": period, "invoice_id": invoice_id}))
    return json_response(f"{head[:-1]}, {_LINES}{lines or ''}], {tail[1:]}")


async def _streamed(pool: ReadPool, key: dict[str, str]) -> AsyncGenerator[str, None]:
    async with pool.snapshot() as snapshot:
        found = await snapshot.rows(statements.invoice_detail(("operator_code", "period")), key)
        if not found:
            # A run has taken the invoice away since it was looked up.
            raise Refusal(404, "not_found", f"there is no invoice {one_line(key['invoice_id'])!r} any more")
        head, tail = found[0][2:4]
        before = f"{head[:-1]}, {_LINES}"
        async for rows in snapshot.batches(statements.INVOICE_LINES, key):
            yield before + ", ".join(row[0] for row in rows)
            before = ", "
    yield f"], {tail[1:]}"
