"""`export`: the dispute workbooks of a month, one pair per operator, from the tables and the analysts' views."""

import sys

from billing_pipeline.commands.requests import Request
from billing_pipeline.config import Operator
from billing_pipeline.periods import Period
from billing_pipeline.reports.dispute import write_workbooks
from billing_pipeline.reports.dispute_rows import DisputeRows
from billing_pipeline.steps import marts
from billing_pipeline.steps.load import EVALUATED
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.snapshot import snapshot

EXIT_COMPLETE, EXIT_INCOMPLETE = 0, 3


def export(request: Request) -> int:
    """Write under data_dir/exports/<period>; 3 where a month has no verdicts, while the others are written."""
    code = EXIT_COMPLETE
    with Workspace.open(request.config) as workspace:
        # The workbooks show what analysts see.
        marts.ensure_made(workspace)
        for period in request.periods:
            for operator in request.operators:
                if not _export(workspace, operator, period):
                    code = EXIT_INCOMPLETE
    return code


def _export(workspace: Workspace, operator: Operator, period: Period) -> bool:
    """Whether the month had verdicts; where it has none, a line on stderr says why and what to do."""
    with snapshot(workspace.databases.billing) as seen:
        rows = DisputeRows(seen, operator.code, str(period))
        summary = rows.summary()
        if summary is None or summary["state"] != EVALUATED:
            why = "it was never run" if summary is None else summary["state_detail"] or "its collection is incomplete"
            print(
                f"billing-pipeline: {operator.code} {period}: no verdicts, so no workbook ({why}); "
                f"complete it with: billing-pipeline run --period {period} --operator {operator.code}",
                file=sys.stderr,
            )
            return False
        folder = workspace.config.storage.data_dir / "exports" / str(period)
        written = write_workbooks(rows, summary, operator=operator.code, period=period, folder=folder)
    print(f"{operator.code} {period} to send      {written.claim}  ({written.items_claimed} items)")
    print(f"{operator.code} {period} to keep      {written.whole}", flush=True)
    return True
