"""What was paid and disputed, from the reseller's two files into tables `payments` and `disputes`.

Both files speak of all months, so every run of any month records the whole of them for its operator: a payment made
today moves the deadline of a claim about last year. A row lies in the month it speaks of, and only months whose rows
differ are replaced.
"""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import Operator
from billing_pipeline.normalize.claims import ClaimFiles, parse_claims, read_claim_files
from billing_pipeline.periods import Period
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import DISPUTES, PAYMENTS
from billing_pipeline.sources.collection import CLAIM_ROLES, Kept
from billing_pipeline.steps.collect import keep, own_file
from billing_pipeline.steps.fingerprint import digest_of
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.raw_batch import raw_batch

CLAIMS_PHASE = "claims"
RECORDED = "RECORDED"
CLAIM_TABLES = (PAYMENTS, DISPUTES)
# Which version of the file a row was first seen in says nothing about whether the row has changed.
_ORIGIN = frozenset({"source_sha256", "source_row"})


@dataclass(frozen=True)
class ClaimsOutcome:
    """What both files say of the operator, `rows` per table, and the months (YYYY-MM) whose rows were `replaced`."""

    rows: dict[str, int]
    replaced: tuple[str, ...]
    documents: tuple[str, ...]


def record_claims(
    workspace: Workspace, operator: Operator, period: Period, *, run_id: str, loaded_at: datetime
) -> ClaimsOutcome:
    """Keep both files among the documents of `period` and bring the operator's rows up to them.

    A file that is no longer configured counts as empty. InventoryError, and nothing changes, when one is invalid.
    """
    config = workspace.config
    # Read under the operator's lock: of two runs at once the later one has the newer file.
    with workspace.partitions.replacing(operator.code, run_id=run_id, loaded_at=loaded_at) as work:
        files = read_claim_files(config.services)
        claims = parse_claims(files, [one.code for one in config.operators]).of(operator.code)
        documents = _keep(workspace, operator, period, files)
        tables = {PAYMENTS.name: claims.payments, DISPUTES.name: claims.disputes}
        stored = {load.period: load for load in work.loads(CLAIMS_PHASE)}
        months = {month for rows in tables.values() for month in rows["period"].to_pylist()}
        replaced = []
        for month in sorted({*months, *stored}):
            own = {name: _of_month(rows, month, content_schema(_TABLE[name])) for name, rows in tables.items()}
            digest = digest_of({name: _content(rows) for name, rows in own.items()})
            current = stored.get(month)
            if current is not None and current.input_digest == digest and work.intact(current):
                continue
            for name, rows in own.items():
                work.replace(name, month, rows)
            work.record(month, CLAIMS_PHASE, state=RECORDED, input_digest=digest)
            replaced.append(month)
    return ClaimsOutcome(
        {name: rows.num_rows for name, rows in tables.items()},
        tuple(replaced),
        tuple(document.location for document in documents),
    )


_TABLE = {table.name: table for table in CLAIM_TABLES}


def _of_month(rows: pa.Table, month: str, schema: pa.Schema) -> pa.Table:
    return rows.filter(pc.equal(rows["period"], month)).select(schema.names).cast(schema)


def _content(rows: pa.Table) -> list[dict[str, object]]:
    """The rows as the digest sees them: in no order, without where in the file they stand."""
    kept = rows.drop_columns([name for name in rows.column_names if name in _ORIGIN])
    return sorted(kept.to_pylist(), key=str)


def _keep(workspace: Workspace, operator: Operator, period: Period, files: ClaimFiles) -> list[Kept]:
    """As the collection does; but the files may have changed since, and this step may run alone."""
    roles = zip(CLAIM_ROLES, (files.payments, files.disputes), strict=True)
    given = [(role, file) for role, file in roles if file is not None]
    if not given:
        return []
    with raw_batch(workspace.raw, operator.code, str(period)) as batch:
        return [keep(batch, own_file(role, file)) for role, file in given]
