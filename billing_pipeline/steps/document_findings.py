"""Findings that need two documents, or a document and its name: DUPLICATE_INVOICE and FILE_PERIOD.

What contradicts itself inside one invoice is found in reconciliation/findings.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import Operator
from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.ownership import Holding
from billing_pipeline.periods import Period
from billing_pipeline.r189.naming import file_period
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import INVOICE_FINDINGS
from billing_pipeline.steps.collect import counting_manifest, documents_of
from billing_pipeline.steps.readings import Documents, Reading, read_documents
from billing_pipeline.steps.workspace import Workspace

# What says where a line was read; two copies of one invoice differ in these by nature.
_PROVENANCE = frozenset({"line_id", "source_sha256", "source_row"})


def document_findings(
    workspace: Workspace,
    operator: Operator,
    period: Period,
    documents: Documents,
    superseded: Mapping[str, Mapping[str, Holding]],
) -> pa.Table:
    """The findings of one partition, in the content columns of `invoice_findings`."""
    rows = [*_file_periods(documents, period), *_duplicates(workspace, operator, period, documents, superseded)]
    return pa.Table.from_pylist(rows, schema=content_schema(INVOICE_FINDINGS))


def _file_periods(documents: Documents, period: Period) -> Iterator[dict[str, Any]]:
    """A file whose name states another month than all its rows do."""
    for reading in documents.charge_files:
        try:
            _, differs = file_period(reading.document.name, reading.charge_months)
        except RefusedFile:  # two months in the name of a report whose period the API states
            continue
        if differs:
            months = ", ".join(sorted(reading.charge_months))
            yield {
                "invoice_id": "",
                "line_id": "",
                "code": "FILE_PERIOD",
                "subject": reading.document.sha256[:8],
                "note": f"{reading.document.name}: the name says {period}, the rows' Charge Month says {months}",
            }


def _duplicates(
    workspace: Workspace,
    operator: Operator,
    period: Period,
    documents: Documents,
    superseded: Mapping[str, Mapping[str, Holding]],
) -> Iterator[dict[str, Any]]:
    """An invoice number that two documents hold with different content, in the partition of the one that does not count."""
    here = {reading.document.sha256: reading for reading in documents.readings}
    elsewhere: dict[str, dict[str, Reading]] = {}
    found: dict[str, dict[str, Any]] = {}
    for reading in documents.readings:
        by_owner: dict[tuple[str, str], list[str]] = {}
        for invoice_id, owner in superseded.get(reading.document.sha256, {}).items():
            by_owner.setdefault((owner.period, owner.sha256), []).append(invoice_id)
        for (owner_period, sha256), invoice_ids in by_owner.items():
            if owner_period != str(period) and owner_period not in elsewhere:
                elsewhere[owner_period] = _readings_of(workspace, operator, owner_period)
            counting = (here if owner_period == str(period) else elsewhere[owner_period])[sha256]
            expected, actual = _contents(counting, invoice_ids), _contents(reading, invoice_ids)
            for invoice_id in invoice_ids:
                if expected[invoice_id] != actual[invoice_id]:
                    about = f"document {reading.document.sha256[:8]} differs from {sha256[:8]} of {owner_period}, which counts"
                    found[invoice_id] = _finding(invoice_id, expected[invoice_id], actual[invoice_id], about)
    yield from found.values()


def _readings_of(workspace: Workspace, operator: Operator, period: str) -> dict[str, Reading]:
    """The documents of another partition, read again: only two versions of one invoice bring us here."""
    manifest = counting_manifest(workspace, operator.code, period)
    if manifest is None:
        return {}
    read = read_documents(
        documents_of(manifest), lambda sha256: workspace.raw.document(operator.code, period, sha256).path, operator
    )
    return {reading.document.sha256: reading for reading in read.readings}


@dataclass(slots=True)
class _Content:
    """An invoice's rows, whatever their order and wherever they were read: equal when the content is.

    `hashes` sums the rows' 64-bit hashes, so that memory does not grow with the rows of an invoice.
    """

    rows: int = 0
    hashes: int = 0
    total_ht: Decimal = Decimal(0)


def _contents(reading: Reading, invoice_ids: list[str]) -> dict[str, _Content]:
    """invoice_id → its content in this document, in one pass."""
    found = {invoice_id: _Content() for invoice_id in invoice_ids}
    wanted = pa.array(invoice_ids, pa.string())
    for rows in reading.rows({}):
        lines = rows.lines.filter(pc.is_in(rows.lines.column("invoice_id"), wanted))
        _add(found, lines, [name for name in lines.schema.names if name not in _PROVENANCE])
        for total in (
            pa.table(lines.select(["invoice_id", "total_ht"]))
            .group_by("invoice_id")
            .aggregate([("total_ht", "sum")])
            .to_pylist()
        ):
            found[total["invoice_id"]].total_ht += total["total_ht_sum"]
        rejected = rows.rejected.filter(pc.is_in(rows.rejected.column("invoice_id"), wanted))
        _add(found, rejected, ["invoice_id", "column_name", "check_name", "raw"])
    return found


def _add(found: dict[str, _Content], rows: pa.RecordBatch, names: list[str]) -> None:
    """Count the rows of each invoice and sum their hashes over `names`."""
    if not rows.num_rows:
        return
    hashes = pd.util.hash_pandas_object(
        rows.select(names).to_pandas(types_mapper=pd.ArrowDtype).astype(str), index=False
    )
    for invoice_id, one in zip(rows.column("invoice_id").to_pylist(), hashes.tolist(), strict=True):
        content = found[invoice_id]
        content.rows += 1
        content.hashes = (content.hashes + one) % 2**64


def _finding(invoice_id: str, expected: _Content, actual: _Content, about: str) -> dict[str, Any]:
    return {
        "invoice_id": invoice_id,
        "line_id": "",
        "code": "DUPLICATE_INVOICE",
        "subject": "",
        "expected": expected.total_ht,
        "actual": actual.total_ht,
        "difference": actual.total_ht - expected.total_ht,
        "note": about,
    }
