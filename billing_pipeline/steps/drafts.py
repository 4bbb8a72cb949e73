"""The tables of one partition's load phase, drafted from its readings and streamed to whoever replaces them.

Set work runs in DuckDB over Parquet files in a scratch folder; the rules are those of reconciliation/.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Table

from billing_pipeline.config import Operator
from billing_pipeline.normalize.inventory import Inventory, InventoryFile, InventoryFiles, parse_inventory
from billing_pipeline.normalize.ownership import Holding
from billing_pipeline.normalize.r189_lines import LINES, invoices_of
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation.allocate import allocate
from billing_pipeline.reconciliation.expect import expected
from billing_pipeline.reconciliation.findings import findings
from billing_pipeline.reconciliation.identities import allocations_add_up
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Table as RegisteredTable
from billing_pipeline.schemas.sql import INVOICE_DOCUMENTS
from billing_pipeline.schemas.tables import (
    EXPECTED_CHARGES,
    INVOICE_FINDINGS,
    INVOICES,
    LINE_ALLOCATIONS,
    SERVICE_PRICES,
    SERVICES,
    SOURCE_DOCUMENTS,
)
from billing_pipeline.sources.collection import Kept, Role
from billing_pipeline.steps.collect import documents_of
from billing_pipeline.steps.completeness import supersession_messages
from billing_pipeline.steps.document_findings import document_findings
from billing_pipeline.steps.engine import engine, require_none, stream
from billing_pipeline.steps.fingerprint import digest_of
from billing_pipeline.steps.readings import CHARGES, Documents
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.raw import Manifest

FINDINGS_OF = "findings:"
Batches: TypeAlias = pa.Table | Iterable[pa.RecordBatch]
# The tables a load replaces, in the order they are drafted.
LOADED_TABLES = (
    "source_documents", "invoice_lines", "line_allocations", "invoices", "invoice_findings", "rejected_rows",
    "services", "service_prices", "expected_charges", "invoice_documents",
)  # fmt: skip


_READ_BY_VERDICTS = (
    "service_id", "installed_offer_id", "external_reference", "serial_number", "order_reference", "charge_type",
    "description", "total_ht", "service_from", "service_to", "charge_month",
)  # fmt: skip


class PartitionDraft:
    """One partition's tables.

    `contributions`, known once `tables` is exhausted, is what verdicts may rest on, each with its digest: the shares in
    a month under `YYYY-MM`, the findings about the invoices that a period owns under `findings:YYYY-MM`.
    """

    def __init__(
        self,
        workspace: Workspace,
        operator: Operator,
        manifest: Manifest,
        kept: list[Kept],
        documents: Documents,
        scratch: Path,
    ) -> None:
        self._workspace = workspace
        self._operator = operator
        self._manifest = manifest
        self._period = Period.parse(manifest.period)
        self._kept = kept
        self._documents = documents
        self._scratch = scratch
        self.contributions: dict[str, str] = {}

    def tables(self, superseded: dict[str, dict[str, Holding]]) -> Iterator[tuple[str, Batches]]:
        """(name, content rows) of every table of the load phase; each is to be consumed before the next is asked for."""
        messages = {sha256: supersession_messages(owners) for sha256, owners in superseded.items()}
        inventory = self._inventory()
        yield "source_documents", self._source_documents()
        with engine(self._workspace.config, self._scratch) as connection:
            lines_path = self._write_lines(messages)
            yield "invoice_lines", pq.ParquetFile(lines_path).iter_batches()
            lines = connection.read_parquet(lines_path).mutate(period=ibis.literal(str(self._period)))
            shares = allocate(lines).cache()
            require_none(allocations_add_up(lines, shares), where=f"{self._operator.code} {self._period}")
            self.contributions.update(_month_digests(lines, shares, self._scratch))
            yield (
                "line_allocations",
                self._stream(shares.order_by("invoice_id", "line_id", "service_month"), LINE_ALLOCATIONS),
            )
            invoices = self._invoices(connection, messages)
            yield "invoices", self._stream(invoices.order_by("invoice_id"), INVOICES)
            contradictions = findings(invoices, lines).to_pyarrow().cast(content_schema(INVOICE_FINDINGS))
            about_documents = document_findings(
                self._workspace, self._operator, self._period, self._documents, superseded
            )
            found = pa.concat_tables([contradictions, about_documents])
            self.contributions.update(self._findings_digests(found, superseded))
            yield "invoice_findings", found
            yield "rejected_rows", self._rejected(messages)
            yield "services", self._services(connection, inventory)
        yield "service_prices", inventory.prices.select(content_schema(SERVICE_PRICES).names)
        yield "expected_charges", _charges_of(inventory, self._period)
        yield "invoice_documents", self._invoice_documents()
        if self._documents.charge_files:
            yield "r189_charges", self._charges(messages)

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

        # Two inventory files may be equal, and one file may be configured twice.
        documents = {one.sha256: one for one in (*documents_of(self._manifest, "inventory"), *self._kept)}
        return pa.Table.from_pylist([row(one) for one in documents.values()], schema=content_schema(SOURCE_DOCUMENTS))

    def _write_lines(self, messages: dict[str, dict[str, str]]) -> Path:
        path = self._scratch / "lines.parquet"
        with pq.ParquetWriter(path, LINES) as writer:
            for reading in self._documents.readings:
                for batch in reading.lines(messages.get(reading.document.sha256, {})):
                    writer.write_batch(batch)
        return path

    def _charges(self, messages: dict[str, dict[str, str]]) -> Iterator[pa.RecordBatch]:
        for reading in self._documents.charge_files:
            for batch in reading.charges(messages.get(reading.document.sha256, {})):
                yield batch.select(CHARGES.names)

    def _rejected(self, messages: dict[str, dict[str, str]]) -> Iterator[pa.RecordBatch]:
        for reading in self._documents.readings:
            yield from reading.rejected(messages.get(reading.document.sha256, {}))

    def _invoices(self, connection: Any, messages: dict[str, dict[str, str]]) -> Table:
        """The hub's invoices as it states them, or what the charge rows add up to."""
        if not self._documents.charge_files:
            stated = self._documents.hub_invoices(lambda sha256, invoice: invoice not in messages.get(sha256, {}))
            return ibis.memtable(stated)
        counting = []
        for reading in self._documents.charge_files:
            superseded = list(messages.get(reading.document.sha256, {}))
            if reading.path.exists():
                charges = connection.read_parquet(reading.path)
                counting.append(
                    charges.filter(~charges.invoice_number.strip().isin(superseded)) if superseded else charges
                )
        if not counting:
            return ibis.memtable(content_schema(INVOICES).empty_table())
        return invoices_of(
            ibis.union(*counting) if len(counting) > 1 else counting[0],
            operator_name=self._operator.name,
            source_type=self._operator.source.type,
        )

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

    def _findings_digests(self, found: pa.Table, superseded: dict[str, dict[str, Holding]]) -> dict[str, str]:
        owners = {invoice: owner.period for invoices in superseded.values() for invoice, owner in invoices.items()}
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


def _month_digests(lines: Table, shares: Table, scratch: Path) -> dict[str, str]:
    """service_month → digest of its shares and of what verdicts read of their lines; their order makes no difference."""
    of_share = ("amount_ht", "currency", "invoicing_amount", "invoicing_currency")
    joined = shares.inner_join(lines.select("invoice_id", "line_id", *_READ_BY_VERDICTS), ["invoice_id", "line_id"])
    words = [
        joined[name].cast("string").fill_null("\x00")
        for name in ("invoice_id", "line_id", *of_share, *_READ_BY_VERDICTS)
    ]
    hashed = joined.select("service_month", digest=ibis.literal("\x1f").join(words).hexdigest("md5"))
    digests: dict[str, Any] = {}
    schema = pa.schema({"service_month": pa.string(), "digest": pa.string()})
    for batch in stream(hashed.order_by("service_month", "digest"), schema, scratch):
        for month, digest in zip(
            *(batch.column(name).to_pylist() for name in ("service_month", "digest")), strict=True
        ):
            digests.setdefault(month, hashlib.sha256()).update(digest.encode())
    return {month: digest.hexdigest() for month, digest in digests.items()}
