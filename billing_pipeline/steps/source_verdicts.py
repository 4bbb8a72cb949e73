"""What the hub itself says of a month, out of its kept document, and where that is not what we say. Computes no verdict."""

from dataclasses import dataclass
from typing import Any

from billing_pipeline.config import Operator
from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.netwo_verdicts import read_verdicts
from billing_pipeline.periods import Period
from billing_pipeline.sources.collection import Role
from billing_pipeline.steps.collect import counting_manifest, documents_of
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.replacement import PartitionWork


@dataclass(frozen=True, slots=True)
class SourceVerdicts:
    """The hub's items that can be compared, None where it has none; `unread`: one line for each that cannot be read."""

    rows: list[dict[str, Any]] | None = None
    unread: tuple[str, ...] = ()


def source_verdicts(workspace: Workspace, operator: Operator, period: Period) -> SourceVerdicts:
    """What the hub's kept reconciliation says of the month."""
    manifest = counting_manifest(workspace, operator.code, str(period))
    kept = [one for one in documents_of(manifest) if one.role is Role.NETWO_RECONCILIATION] if manifest else []
    if not kept:
        return SourceVerdicts()
    stored = workspace.raw.document(operator.code, str(period), kept[-1].sha256)
    try:
        rows, unread = read_verdicts(stored.path.read_bytes(), location=kept[-1].location)
    except RefusedFile as refusal:
        return SourceVerdicts(unread=(str(refusal),))
    return SourceVerdicts(rows, tuple(f"{kept[-1].location}: {one}" for one in unread))


def disagreements(work: PartitionWork, period: Period) -> tuple[str, ...]:
    """One line per verdict of the hub that is not ours."""
    rows = work.read("source_verdicts", [str(period)]).sort_by([("service_id", "ascending")]).to_pylist()
    return tuple(
        f"{row['service_id'] or row['invoice_line_id']}: {_opinion(row, 'source_')} there, {_opinion(row, '')} here"
        for row in rows
        if not row["agrees"]
    )


def _opinion(row: dict[str, Any], side: str) -> str:
    amounts = (row[f"{side}service_amount"], row[f"{side}invoice_amount"])
    expected, billed = ("–" if amount is None else f"{amount:.2f}" for amount in amounts)
    return f"{row[f'{side}status'] or 'no verdict'} (expected {expected}, billed {billed})"
