"""What a collection came to, in the terms the tests of faults use: complete with these rows, incomplete, or failed.

Rows are read here by the package's own normalisation for JSON, and by the csv module for charge files: a cut file then
shows as other rows, whatever the package thinks of it.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing_pipeline.config import Profile
from billing_pipeline.errors import BillingError, RefusedFile
from billing_pipeline.normalize.netwo_invoices import read_invoice, read_listing
from billing_pipeline.normalize.orange_bills import contradictions, listed_numbers, read_bill
from billing_pipeline.sources.collection import Collection, Kept, Role
from billing_pipeline_tests.sources.shelf import Shelf

MAX_REJECTED = 0.01


@dataclass(frozen=True)
class Outcome:
    """`rows` is None unless everything is there; `why` then says what is missing or what failed, one line each."""

    kind: str
    rows: Any
    why: tuple[str, ...]


def outcome_of(collect: Callable[[Shelf], Collection]) -> tuple[Outcome, Shelf]:
    shelf = Shelf()
    try:
        collection = collect(shelf)
    except BillingError as error:
        return Outcome("failed", None, (str(error),)), shelf
    rows, gaps = _read(collection, shelf)
    gaps = (*collection.gaps, *gaps)
    return Outcome("incomplete" if gaps else "complete", None if gaps else rows, gaps), shelf


def _read(collection: Collection, shelf: Shelf) -> tuple[Any, tuple[str, ...]]:
    by_role: dict[Role, list[Kept]] = {}
    for document in collection.documents:
        by_role.setdefault(document.role, []).append(document)
    if Role.NETWO_LISTING in by_role:
        return _hub(by_role, shelf)
    return _orange(by_role, shelf)


def _hub(by_role: dict[Role, list[Kept]], shelf: Shelf) -> tuple[Any, tuple[str, ...]]:
    entries = read_listing({one.location: shelf.bodies[one.sha256] for one in by_role[Role.NETWO_LISTING]})
    lines, rejected, gaps = set(), 0, []
    for one in by_role.get(Role.NETWO_INVOICE, []):
        try:
            read = read_invoice(
                shelf.bodies[one.sha256], location=one.location, sha256=one.sha256, entry=entries[one.name],
                profile=Profile(),
            )  # fmt: skip
        except RefusedFile as refusal:
            gaps.append(str(refusal))
            continue
        gaps.extend(read.gaps)
        rejected += len({row["source_row"] for row in read.rejected})
        lines |= {(row["invoice_id"], row["line_id"], row["total_ht"], row["currency"]) for row in read.lines}
    if rejected > MAX_REJECTED * (rejected + len(lines)):
        gaps.append(f"{rejected} rows rejected")
    return lines, tuple(gaps)


def _orange(by_role: dict[Role, list[Kept]], shelf: Shelf) -> tuple[Any, tuple[str, ...]]:
    gaps, bills, files, rows = [], [], [], set()
    for one in by_role.get(Role.ORANGE_BILL, []):
        try:
            bills.append(read_bill(shelf.bodies[one.sha256], name=one.name, sha256=one.sha256))
        except RefusedFile as refusal:
            gaps.append(str(refusal))
    for one in by_role.get(Role.R189_CHARGES, []):
        text = shelf.bodies[one.sha256].decode("windows-1252")
        records = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))
        files.append((one.name, {record["Invoice number"] for record in records}, one.declared_ids))
        rows |= {tuple(record.items()) for record in records}
    pages = [shelf.bodies[one.sha256] for one in by_role[Role.ORANGE_LISTING]]
    gaps.extend(contradictions(bills, listed_numbers(pages), files))
    totals = {(bill.invoice_id, bill.total_ht, bill.total_ttc) for bill in bills if bill.total_ht is not None}
    return (rows, totals), tuple(gaps)
