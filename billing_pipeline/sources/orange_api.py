"""The resources of the Orange Billing for Business API, one method each: read whole, in a fixed order, with control totals.

Which bills and reports a period consists of is orange_b2b.py's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from billing_pipeline.errors import SourceError, one_line
from billing_pipeline.sources.collection import path_segment
from billing_pipeline.sources.http import HttpClient
from billing_pipeline.sources.http_answer import Answer, WrongDocument
from billing_pipeline.sources.orange_query import Query

Collection = Literal["bills", "billingAccounts", "reports"]
PER_PAGE = 100
# A total order: ids are unique, so that no two pages can overlap unless something was added or removed meanwhile.
ORDER = "id"
LISTING_READS = 3
# A file up to this size is not written twice: 16 workers then hold 16 MB.
IN_MEMORY_BYTES = 1024 * 1024
CSV_TYPES = ("text/csv", "application/csv")


@dataclass(slots=True)
class Listing:
    """A collection as read: the answers, the records by their id as text, the declared total, and what is missing."""

    pages: list[Answer] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    total: int = 0
    gaps: list[str] = field(default_factory=list)


class OrangeApi:
    """Typed calls over one client. SourceError when an answer is not what the guide shows, naming the field."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def listing(
        self, collection: Collection, *, filters: Mapping[str, str] | None = None, sort: str = ORDER
    ) -> Listing:
        """All records, optionally those whose attributes (nested ones by a dotted path) have these values.

        Read again while it changes under the reading; what is still wrong then stands in `gaps`.
        """
        for _ in range(LISTING_READS):
            found = self._read(collection, {**(filters or {}), "sort": sort}, None)
            if not found.gaps:
                break
        return found

    def search(self, query: Query, *, sort: str = ORDER) -> Listing:
        """The bills a query selects."""
        for _ in range(LISTING_READS):
            found = self._read("search", {"sort": sort}, query)
            if not found.gaps:
                break
        return found

    def detail(self, collection: Collection, identifier: str) -> tuple[Answer, dict[str, Any]]:
        answer, document = self._client.get_json(_path(collection, identifier))
        if not isinstance(document, dict) or record_id(document) != identifier:
            raise WrongDocument(
                f"GET {answer.url}: the answer is not {collection} {one_line(identifier)}; ask again later"
            )
        return answer, document

    def download(
        self, collection: Collection, identifier: str, *, accept: str, target: Path, types: tuple[str, ...] = ()
    ) -> Answer:
        """The file behind a bill or report, in `target` or, a small one, in the answer; as one of `types`.

        The API serves none above 5 MB.
        """
        path = _path(collection, identifier)
        return self._client.download(path, accept=accept, target=target, types=types, in_memory=IN_MEMORY_BYTES)

    def snapshot(
        self, group_by: str, *, filters: Mapping[str, str | int] | None = None
    ) -> tuple[Answer, dict[str, int]]:
        """How many bills there are for each value of an attribute. A member that is no count is none of its values."""
        answer, document = self._client.get_json("/snapshots", {"groupBy": group_by, **(filters or {})})
        if not isinstance(document, dict):
            raise SourceError(f"GET {answer.url}: the answer is no object of counters; is base_url the API's?")
        counts = {name: _count(value) for name, value in document.items()}
        return answer, {name: count for name, count in counts.items() if count is not None}

    def status(self) -> tuple[Answer, Any]:
        """What the API says of itself; its shape is not published."""
        return self._client.get_json("/status")

    def _read(self, resource: str, params: Mapping[str, str], query: Query | None) -> Listing:
        found = Listing()
        read = 0
        while not found.pages or read < found.total:
            asked: dict[str, str | int] = {**params, "offset": read, "limit": PER_PAGE}
            if query is None:
                answer, document = self._client.get_json(f"/{resource}", asked)
            else:
                answer, document = self._client.post_json(f"/{resource}", query.document, asked)
            if not isinstance(document, list):
                raise SourceError(f"{answer.method} {answer.url}: the answer is no list; is base_url the API's?")
            total = _declared(answer, "x-total-count")
            if found.pages and total != found.total:
                found.gaps.append(
                    f"{answer.url}: X-Total-Count changed from {found.total} to {total} during the reading"
                )
            found.total = total
            found.pages.append(answer)
            if "x-result-count" in answer.headers and _declared(answer, "x-result-count") != len(document):
                found.gaps.append(f"{answer.url}: X-Result-Count is not the {len(document)} records that arrived")
            before = len(found.records)
            for position, record in enumerate(document, start=1):
                _place(record, position, answer, found)
            read += len(document)
            # An API that repeats one page for ever would otherwise be asked until its total is reached.
            if len(found.records) == before:
                break
        if len(found.records) != found.total:
            found.gaps.append(f"{resource}: X-Total-Count declares {found.total}, {len(found.records)} arrived")
        return found


def record_id(record: Mapping[str, Any]) -> str | None:
    """A record's id as text; None where it has none."""
    identifier = record.get("id")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        return str(identifier)
    return identifier if isinstance(identifier, str) and identifier.strip() else None


def _place(record: Any, position: int, answer: Answer, found: Listing) -> None:
    identifier = record_id(record) if isinstance(record, dict) else None
    if identifier is None:
        found.gaps.append(f"{answer.url}: record {position} has no 'id'")
    elif identifier in found.records:
        found.gaps.append(f"{answer.url}: {one_line(identifier)} is listed twice")
    else:
        found.records[identifier] = record


def _declared(answer: Answer, header: str) -> int:
    text = answer.headers.get(header, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SourceError(f"{answer.method} {answer.url}: header {header} is missing, so completeness cannot be told")
    return int(text)


def _count(value: object) -> int | None:
    """A number, or a text that holds one."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _path(collection: Collection, identifier: str) -> str:
    segment = path_segment(identifier)
    if segment is None:
        raise SourceError(
            f"{collection}: a record's id {one_line(identifier)!r} is no name; ask the operator to correct it"
        )
    return f"/{collection}/{segment}"
