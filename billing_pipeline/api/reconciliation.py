"""A month's reconciliation as the API answers it: of one operator, or of all summed with each one's beside it."""

from collections.abc import AsyncGenerator, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from billing_pipeline.api import statements
from billing_pipeline.api.answers import StreamedJson, json_response, opened
from billing_pipeline.api.invoices import refuse_unknown
from billing_pipeline.reports.hub_shapes import NEVER_RUN, NOT_EVALUATED, SUMMARY, shaped
from billing_pipeline.storage.reading import ReadPool

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """Which month; of one operator or, for None, of all; items of one status or of any."""

    period: str
    code: str | None
    status: str | None

    @property
    def scope(self) -> dict[str, str]:
        """Columns of the summary, with their values."""
        return {"period": self.period, **({"operator_code": self.code} if self.code is not None else {})}

    @property
    def items(self) -> dict[str, str]:
        return {**self.scope, **({"status": self.status} if self.status is not None else {})}


async def read_page(
    pool: ReadPool, configured: Collection[str], question: Question, *, page: int, per_page: int
) -> Response:
    """The summary and one page of the items, by operator and item; one statement, one state."""
    parameters = {**question.items, "limit": per_page, "offset": (page - 1) * per_page}
    statement = statements.item_page(tuple(question.scope), tuple(question.items))
    ((rows, total, items),) = await pool.rows(statement, parameters)
    if not rows:
        await refuse_unknown(pool, configured, question.code)
    start = opened(head(question, rows, configured))
    pagination = f'{{"page": {page}, "perPage": {per_page}, "total": {total}}}'
    return json_response(f'{start}, "items": [{items or ""}], "pagination": {pagination}}}')


async def read_all(pool: ReadPool, configured: Collection[str], question: Question) -> Response:
    """The summary and every item, streamed out of one state of the database."""
    if question.code not in configured:
        await refuse_unknown(pool, configured, question.code)
    return StreamedJson(_streamed(pool, configured, question))


async def _streamed(pool: ReadPool, configured: Collection[str], question: Question) -> AsyncGenerator[str, None]:
    async with pool.snapshot() as snapshot:
        ((rows,),) = await snapshot.rows(statements.summaries(tuple(question.scope)), question.scope)
        before = f'{opened(head(question, rows, configured))}, "items": ['
        async for batch in snapshot.batches(statements.items(tuple(question.items)), question.items):
            yield before + ", ".join(row[0] for row in batch)
            before = ", "
    yield "]}" if before == ", " else f"{before}]}}"


def head(question: Question, rows: Iterable[Row], configured: Collection[str]) -> Row:
    """Everything but the items. `rows` are those of the summary that there are; a configured operator without one was
    never run, and one that is configured no more still counts where it has one."""
    found = {row["operator_code"]: row for row in rows}
    codes = [question.code] if question.code is not None else sorted({*configured, *found})
    each = [found.get(code) or _never_run(code) for code in codes]
    if question.code is not None:
        return {"period": question.period, **_verdict(each[0])}
    operators = [{"code": row["operator_code"], **_verdict(row)} for row in each]
    return {"period": question.period, **_verdict(_summed(each)), "operators": operators}


def _never_run(code: str) -> Row:
    counts = dict.fromkeys(member.column for member in SUMMARY)
    return {"operator_code": code, "state": NOT_EVALUATED, "state_detail": NEVER_RUN, **counts}


def _verdict(row: Row) -> Row:
    detail = {"stateDetail": row["state_detail"]} if row["state_detail"] else {}
    return {"state": row["state"], **detail, "summary": shaped(SUMMARY, row)}


def _summed(rows: list[Row]) -> Row:
    """All operators as one: a sum that leaves one out would look like the month's, so there is none while one is missing."""
    states = {row["state"] for row in rows}
    details = [f"{row['operator_code']}: {row['state_detail']}" for row in rows if row["state_detail"]]
    counts = {
        column: None if NOT_EVALUATED in states else sum(row[column] for row in rows)
        for column in (member.column for member in SUMMARY)
    }
    state = NOT_EVALUATED if NOT_EVALUATED in states else "EVALUATED"
    return {"state": state, "state_detail": "; ".join(details), **counts}
