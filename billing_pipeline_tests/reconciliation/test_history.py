"""Which documents a change of verdict names, on tables written by hand."""

import ibis
import pyarrow as pa

from billing_pipeline.reconciliation.history import changes
from billing_pipeline.schemas.tables import RECONCILIATION_ITEMS
from billing_pipeline_tests.reconciliation.month import registered, rows


def test_a_lost_line_names_the_document_that_took_its_invoice_over():
    item = {"item_id": "service:B", "side": "service", "service_id": "B", "currency": "EUR"}
    before = registered(RECONCILIATION_ITEMS, [{**item, "status": "MATCHED", "invoice_line_ids": ["AX-09:1"]}])
    after = registered(RECONCILIATION_ITEMS, [{**item, "status": "UNMATCHED", "invoice_line_ids": []}])
    none = pa.array([], pa.string())
    lines = ibis.memtable(pa.table({"invoice_id": none, "line_id": none, "source_sha256": none}))
    received = ibis.memtable(pa.table({"sha256": none}))
    holders = ibis.memtable(pa.table({"invoice_id": ["AX-09", "AX-10"], "sha256": ["february", "other"]}))
    (told,) = rows(changes(before, after, lines, received, holders))
    assert told["documents"] == ["february"]
