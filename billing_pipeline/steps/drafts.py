"""The tables of one partition's load phase, from its readings to whoever replaces them.

Rows stream through line_stream.py; the few tables that follow from them are set work in DuckDB, by the rules of
reconciliation/.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from billing_pipeline.config import Operator
from billing_pipeline.normalize.inventory import Inventory, InventoryFile, InventoryFiles, parse_inventory
from billing_pipeline.normalize.orange_bills import with_bills
from billing_pipeline.normalize.ownership import Holding
from billing_pipeline.periods import Period
from billing_pipeline.r189.ahead import ahead
from billing_pipeline.reconciliation.expect import expected
from billing_pipeline.reconciliation.findings import findings
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Table as RegisteredTable
from billing_pipeline.schemas.sql import INVOICE_DOCUMENTS
from billing_pipeline.schemas.tables import (
    EXPECTED_CHARGES,
    INVOICE_FINDINGS,
    INVOICES,
    SERVICE_PRICES,
    SERVICES,
    SOURCE_DOCUMENTS,
)
from billing_pipeline.sources.collection import CLAIM_ROLES, Kept, Role
from billing_pipeline.steps.collect import documents_of
from billing_pipeline.steps.completeness import RowCount, RowCounts, supersession_messages
from billing_pipeline.steps.document_findings import document_findings
from billing_pipeline.steps.engine import engine, stream
from billing_pipeline.steps.fingerprint import digest_of
from billing_pipeline.steps.line_stream import LineStream
from billing_pipeline.steps.readings import Documents
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.raw import Manifest
from billing_pipeline.storage.replacement import PartitionWork

FINDINGS_OF = "findings:"
Batches: TypeAlias = pa.Table | Iterable[pa.RecordBatch]


class PartitionDraft:
    """One partition's tables of the load phase: `load_rows`, then `load_rest`, in one replacing transaction.

    `contributions`, known after both, is what verdicts may rest on, each with its digest: the shares in a month under
    `YYYY-MM`, the findings about the invoices that a period owns under `findings:YYYY-MM`. `rows` counts by table.
    `superseded` may hold more than the documents do until their rows are loaded.
    """

    def __init__(
        self,
        workspace: Workspace,
        operator: Operator,
        manifest: Manifest,
        kept: list[Kept],
        documents: Documents,
        superseded: Mapping[str, Mapping[str, Holding]],
        scratch: Path,
    ) -> None:
        self._workspace = workspace
        self._operator = operator
        self._manifest = manifest
        self._period = Period.parse(manifest.period)
        self._kept = kept
        self._documents = documents
        self.superseded = superseded
        self._scratch = scratch
        self._where = f"{operator.code} {manifest.period}"
        self.contributions: dict[str, str] = {}
        self.rows: dict[str, int] = {}

    def load_rows(self, work: PartitionWork) -> RowCounts:
        """Replace the tables that hold rows of the documents: lines, shares, rejected rows, charges. Holds 1 and 2."""
        names = ["invoice_lines", "line_allocations", "rejected_rows"]
        if self._documents.charge_files:
            names.append("r189_charges")
        counting = RowCount()
        with work.streaming(str(self._period), *names) as incoming:
            passing = LineStream(incoming, str(self._period), self._where, self._scratch)
            for reading in self._documents.readings:
                messages = supersession_messages(self.superseded.get(reading.document.sha256, {}))
                for rows in counting.passing(reading, ahead(reading.rows(messages))):
                    passing.take(rows)
            # Opened only now: that takes half a second of imports, during which the server copies what still waits.
            with engine(self._workspace.config, self._scratch) as connection:
                passing.finish(connection)
                self._totals = passing.invoices
                # The server has parts left to copy and all of them to add up: a second of a million rows.
                incoming.settle()
                self._contradictions = self._contradictions_in(work, connection)
        self.rows.update(incoming.rows)
        self.contributions.update(passing.digests.digests())
        return counting.counts

    def _contradictions_in(self, work: PartitionWork, connection: Any) -> pa.Table:
        """What the invoices' lines, as they are staged, say against each other."""
        staged = work.staged_path("invoice_lines", str(self._period))
        lines = connection.read_parquet(staged).mutate(period=ibis.literal(str(self._period)))
        return findings(self._invoices(), lines).to_pyarrow().cast(content_schema(INVOICE_FINDINGS))

    def load_rest(self, work: PartitionWork) -> None:
        """Replace every other table of the phase, from the rows that were loaded and the inventory."""
        for name, batches in self._rest():
            self.rows[name] = work.replace(name, str(self._period), batches)

    def _rest(self) -> Iterator[tuple[str, Batches]]:
        """(name, content rows); each is to be consumed before the next is asked for."""
        inventory = self._inventory()
        yield "source_documents", self._source_documents()
        with engine(self._workspace.config, self._scratch) as connection:
            yield "invoices", self._stream(self._invoices().order_by("invoice_id"), INVOICES)
            about_documents = document_findings(
                self._workspace, self._operator, self._period, self._documents, self.superseded
            )
            found = pa.concat_tables([self._contradictions, about_documents])
            self.contributions.update(self._findings_digests(found))
            yield "invoice_findings", found
            yield "services", self._services(connection, inventory)
        yield "service_prices", inventory.prices.select(content_schema(SERVICE_PRICES).names)
        yield "expected_charges", _charges_of(inventory, self._period)
        yield "invoice_documents", self._invoice_documents()

    def _source_documents(self) -> pa.Table:
        readings = {reading.document.sha256: reading for reading in self._documents.readings}

        def row(document: Kept) -> dict[str, Any]:
            reading = readings.get(document.sha256)
            return {
                "sha256": document.sha256,
                "location": document.location,
                "media_type": document.media_type,
                "bytes": document.bytes,
                "fetched_at": datetime.fromisoformat(document.fetched_at),
                "declared_count": document.declared_count,
                "collected_count": reading.rows_read if reading else None,
                "profile": reading.profile if reading else None,
            }

        # Payments and disputes change without a reload, so that a version of them listed here would be whichever stood
        # there at the last one; the rows of their tables name theirs.
        inventory = [one for one in documents_of(self._manifest, "inventory") if one.role not in CLAIM_ROLES]
        # Two inventory files may be equal, and one file may be configured twice.
        documents = {one.sha256: one for one in (*inventory, *self._kept)}
        return pa.Table.from_pylist([row(one) for one in documents.values()], schema=content_schema(SOURCE_DOCUMENTS))

    def _counts(self, sha256: str, invoice_id: str) -> bool:
        """Whether the document's copy of the invoice is the one that counts."""
        return invoice_id not in self.superseded.get(sha256, {})

    def _invoices(self) -> Table:
        """The hub's invoices as it states them, or what the charge rows add up to, by their bills where there are any."""
        if not self._documents.charge_files:
            return ibis.memtable(self._documents.hub_invoices(self._counts))
        totals = self._totals.invoices(operator_name=self._operator.name, source_type=self._operator.source.type)
        invoices = ibis.memtable(totals)
        return with_bills(invoices, self._documents.bills) if self._documents.bills else invoices

    def _services(self, connection: Any, inventory: Inventory) -> Iterable[pa.RecordBatch]:
        services = connection.create_table("inventory_services", inventory.services, temp=True)
        prices = connection.create_table("inventory_prices", inventory.prices, temp=True)
        rows = expected(services, prices, self._period, self._operator.reconciliation.proration)
        return self._stream(rows.order_by("service_id"), SERVICES)

    def _stream(self, rows: Table, table: RegisteredTable) -> Iterator[pa.RecordBatch]:
        return stream(rows, content_schema(table), self._scratch)

    def _inventory(self) -> Inventory:
        """The files as they were kept with this collection, so that all its tables rest on the same ones."""
        kept = {one.role: one for one in documents_of(self._manifest, "inventory")}

        def file(role: Role) -> InventoryFile | None:
            if role not in kept:
                return None
            stored = self._workspace.raw.document(self._operator.code, str(self._period), kept[role].sha256)
            return InventoryFile(Path(kept[role].location), stored.path.read_bytes())

        services = file(Role.SERVICES)
        assert services is not None  # collect keeps it, or fails
        files = InventoryFiles(services, file(Role.SERVICE_PRICES), file(Role.EXPECTED_CHARGES))
        return parse_inventory(files, [one.code for one in self._workspace.config.operators]).of(self._operator.code)

    def _findings_digests(self, found: pa.Table) -> dict[str, str]:
        owners = {one: owner.period for invoices in self.superseded.values() for one, owner in invoices.items()}
        by_period: dict[str, list[dict[str, Any]]] = {}
        for row in found.sort_by(
            [("invoice_id", "ascending"), ("line_id", "ascending"), ("code", "ascending")]
        ).to_pylist():
            by_period.setdefault(owners.get(row["invoice_id"], str(self._period)), []).append(row)
        return {f"{FINDINGS_OF}{period}": digest_of(rows) for period, rows in by_period.items()}

    def _invoice_documents(self) -> pa.Table:
        rows = [
            {"invoice_id": invoice_id, "source_sha256": reading.document.sha256, "rows": count}
            for reading in self._documents.readings
            for invoice_id, count in reading.invoices.items()
        ]
        return pa.Table.from_pylist(rows, schema=content_schema(INVOICE_DOCUMENTS))


def _charges_of(inventory: Inventory, period: Period) -> pa.Table:
    rows = [row for row in inventory.charges.to_pylist() if row["period"] == str(period)]
    return pa.Table.from_pylist(rows, schema=content_schema(EXPECTED_CHARGES))
