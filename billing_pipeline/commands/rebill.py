"""`rebill`: prepares, finalizes and credits the reseller's customer invoices, and prints what became of each."""

import getpass
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from billing_pipeline.commands.requests import requested_period
from billing_pipeline.config import BillingConfig, load_config
from billing_pipeline.errors import UsageError, one_line
from billing_pipeline.periods import Period
from billing_pipeline.rebilling.sequence import Finalization
from billing_pipeline.reports.customer_invoices import as_table, with_margins
from billing_pipeline.steps import rebill as steps
from billing_pipeline.steps.workspace import Workspace, required_secret
from billing_pipeline.storage.customer_invoices import InvoiceTables

EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE = 0, 1, 3


def rebill(path: Path, *, period: str | None, customers: Sequence[str], finalize: bool, cost_check: bool) -> int:
    """Prepare a period's invoices and, with `finalize`, finalize them; 3 when one was left out or needs review."""
    config = load_config(path)
    month = _period(config, period)
    required_secret(steps.settings_of(config).api_key_env, "rebilling")
    inputs = steps.read_inputs(config, month)
    for warning in dict.fromkeys(inputs.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    request = steps.Request(
        month,
        tuple(dict.fromkeys(customers)),
        cost_check=cost_check,
        finalization=Finalization(account()) if finalize else None,
    )
    with Workspace.open(config) as workspace:
        outcome = steps.rebill(workspace, request, inputs, run_id=_run_id())
        return _report(workspace, month, outcome)


def credit(path: Path, *, number: str) -> int:
    """Make the credit note of one finalized invoice."""
    config = load_config(path)
    required_secret(steps.settings_of(config).api_key_env, "rebilling")
    with Workspace.open(config) as workspace:
        outcome = steps.credit(workspace, number, run_id=_run_id(), approved_by=account())
        ((_, record),) = outcome.records.items()
        return _report(workspace, Period.parse(record.period), outcome)


def give_up_draft(path: Path, *, period: str | None, invoicing_id: str) -> int:
    """Make room for another document in place of one that has gone."""
    config = load_config(path)
    month = _period(config, period)
    with Workspace.open(config) as workspace:
        customer_id = steps.give_up_draft(workspace, month, invoicing_id, run_id=_run_id())
    print(f"{customer_id} {month}: {invoicing_id} is given up; asked for again, another draft is made")
    return EXIT_DONE


def mend_records(path: Path, *, period: str | None) -> int:
    """Complete the shorter of journal and table; asks the API nothing."""
    config = load_config(path)
    month = _period(config, period)
    with Workspace.open(config) as workspace:
        mended = steps.mend_records(workspace, month, run_id=_run_id())
    print(f"mended: {', '.join(mended)}" if mended else "journal and table agree")
    return EXIT_DONE


def account() -> str:
    """Whose account this runs under, as it stands on the record of a finalization."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _period(config: BillingConfig, period: str | None) -> Period:
    if period is None:
        raise UsageError("--period is required; see billing-pipeline rebill --help")
    return requested_period(config, period)


def _run_id() -> str:
    return f"rebill-{uuid.uuid4()}"


def _report(workspace: Workspace, period: Period, outcome: steps.Outcome) -> int:
    """Print the table and what is wrong, one line each on stderr."""
    with InvoiceTables.opened(workspace.databases.billing, lock_wait_s=None) as tables:
        rows = [row for row in tables.invoices(str(period)) if row["customer_id"] in outcome.records]
        lines = tables.lines(str(period))
    if rows:
        print(as_table(with_margins(rows, lines)))
    elif not (outcome.refused or outcome.failed):
        print(f"{period}: nothing to invoice; no active service has a resale price")
    for customer_id, reason in outcome.refused.items():
        print(
            f"billing-pipeline: {one_line(customer_id) or 'no customer'} {period}: not prepared: {reason}",
            file=sys.stderr,
        )
    for customer_id in outcome.to_review:
        told = outcome.records[customer_id].detail
        print(f"billing-pipeline: {customer_id} {period}: needs review: {told}", file=sys.stderr)
    for customer_id, reason in outcome.failed.items():
        print(f"billing-pipeline: {customer_id} {period}: {' '.join(reason.split())}", file=sys.stderr)
    if outcome.failed:
        return EXIT_FAILED
    return EXIT_INCOMPLETE if outcome.refused or outcome.to_review else EXIT_DONE
