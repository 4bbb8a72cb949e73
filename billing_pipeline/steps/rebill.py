"""Re-invoicing one period: what the configuration, the inventory and the verdicts say, handed to rebilling/ and kept.

The rules of an invoice are rebilling/plan.py's, the order of calls rebilling/sequence.py's; here they meet the files, the
database and the clock. Needs the services and verdicts of the period, never the operators.
"""

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing_pipeline.config import BillingConfig, Rebilling
from billing_pipeline.errors import ConfigurationError, SourceError, UsageError
from billing_pipeline.normalize.customers import Customer, read_customers
from billing_pipeline.normalize.inventory import parse_inventory, read_files
from billing_pipeline.periods import Period
from billing_pipeline.rebilling.api import CustomerInvoicing
from billing_pipeline.rebilling.books import Books, writers_lock
from billing_pipeline.rebilling.credit import make_credit_note
from billing_pipeline.rebilling.plan import Costs, PlannedInvoice, Refusal, ResoldService, plan_invoices
from billing_pipeline.rebilling.record import NEEDS_REVIEW, Record
from billing_pipeline.rebilling.sequence import Finalization
from billing_pipeline.rebilling.sequence import Sequence as Calling
from billing_pipeline.sources.http_answer import Refused
from billing_pipeline.steps.workspace import Workspace, required_secret
from billing_pipeline.storage.customer_invoices import InvoiceTables
from billing_pipeline.storage.journal import Journal

FOLDER, PDFS = "rebilling", Path("exports") / "customer_invoices"
# One document that cannot be served must not keep the others from their invoices; an API that is down must not be asked
# for each customer's five attempts.
_FAILURES_IN_A_ROW = 3
_NO_KEY = frozenset({401, 403})
Now = Callable[[], dt.datetime]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Request:
    """What is asked for. No customers: all of them. `finalization`: leave to finalize, and whose.

    With an `approved_code` nothing is finalized unless it is still that of the plans.
    """

    period: Period
    customers: tuple[str, ...] = ()
    cost_check: bool = True
    finalization: Finalization | None = None
    approved_code: str | None = None


@dataclass
class Outcome:
    """What became of it: the records by customer, customers refused with the reason, calls that failed."""

    records: dict[str, Record] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    approval_code: str = ""
    failures_in_a_row: int = 0

    @property
    def to_review(self) -> list[str]:
        return [customer_id for customer_id, record in self.records.items() if record.state == NEEDS_REVIEW]


@dataclass(frozen=True)
class Inputs:
    """The files of one period, checked."""

    services: tuple[ResoldService, ...]
    customers: Mapping[str, Customer]
    warnings: tuple[str, ...]


def settings_of(config: BillingConfig) -> Rebilling:
    if config.rebilling is None:
        raise ConfigurationError(f"{config.path}: there is no 'rebilling' section; add one with base_url and customers")
    return config.rebilling


def read_inputs(config: BillingConfig, period: Period) -> Inputs:
    """Inventory and customers file; InventoryError names file, row, column and remedy."""
    files = read_files(config.services, period)
    inventory = parse_inventory(files, [operator.code for operator in config.operators])
    customers, warnings = read_customers(settings_of(config).customers)
    columns = list(ResoldService.__dataclass_fields__)
    services = tuple(ResoldService.of(row) for row in inventory.services.select(columns).to_pylist())
    return Inputs(services, customers, (*inventory.warnings, *warnings))


def plans_for(
    workspace: Workspace, inputs: Inputs, period: Period, *, cost_check: bool
) -> tuple[list[PlannedInvoice], list[Refusal]]:
    """What every customer is to be invoiced as the files and verdicts are now."""
    month = [str(period)]
    codes = {operator.code for operator in workspace.config.operators}
    states = workspace.partitions.read("reconciliation_summary", periods=month).to_pylist()
    evaluated = {row["operator_code"] for row in states if row["state"] == "EVALUATED"}
    items = workspace.partitions.read("reconciliation_items", periods=month).to_pylist()
    costs = costs_of(item for item in items if item["operator_code"] in evaluated)
    return plan_invoices(
        inputs.services, inputs.customers, period, not_evaluated=codes - evaluated, costs=costs, cost_check=cost_check
    )


def costs_of(items: Iterable[Mapping[str, Any]]) -> Costs:
    """(operator code, service id) -> what the operator billed for the month and its currency; None where unknown.

    `items` are rows of reconciliation_items. As in the view fct_margin: without a line the operator billed nothing, which
    is a cost of 0; with a line in another currency than the contract's, what it billed cannot be added up.
    """
    costs: dict[tuple[str, str], tuple[Decimal | None, str]] = {}
    foreign = set()
    for item in items:
        service = (item["operator_code"], item["service_id"])
        if item["side"] == "service":
            nothing = item["invoice_amount"] is None and item["service_amount"] is not None
            costs[service] = (Decimal(0) if nothing else item["invoice_amount"], item["currency"])
        elif item["reason_code"] == "CURRENCY_MISMATCH":
            foreign.add(service)
    return {service: (None if service in foreign else cost, of) for service, (cost, of) in costs.items()}


@contextmanager
def calling(
    workspace: Workspace, period: Period, *, run_id: str, environ: Mapping[str, str] = os.environ, now: Now = _now
) -> Iterator[Calling]:
    """The period's books and the API, while no other rebill is at work. RecordsDisagree, StorageError otherwise."""
    settings = settings_of(workspace.config)
    data = workspace.config.storage.data_dir
    key = required_secret(settings.api_key_env, "rebilling", environ)
    with writers_lock(data / FOLDER, workspace.databases.billing) as tables:
        journal = Journal(data / FOLDER / f"{period}.jsonl")
        books = Books(journal, tables, str(period), run_id=run_id, now=now).load()
        api = CustomerInvoicing(settings, key)
        try:
            yield Calling(books, api, data / PDFS / str(period), now)
        finally:
            api.close()


def rebill(
    workspace: Workspace,
    request: Request,
    inputs: Inputs,
    *,
    run_id: str,
    now: Now = _now,
    environ: Mapping[str, str] = os.environ,
) -> Outcome:
    """Prepare, and where asked finalize, every chosen customer's invoice. One customer's failure leaves the others be.

    RecordsDisagree and StorageError end it at once, and so does an API that refuses the key or fails three in a row.
    """
    period = request.period
    plans, refusals = plans_for(workspace, inputs, period, cost_check=request.cost_check)
    outcome = Outcome(warnings=list(inputs.warnings))
    with calling(workspace, period, run_id=run_id, environ=environ, now=now) as sequence:
        planned = {plan.customer.customer_id: plan for plan in plans}
        refused = {refusal.customer_id: refusal.reason for refusal in refusals}
        outcome.approval_code = approval_code(planned, sequence.books.records)
        if request.approved_code not in (None, outcome.approval_code):
            raise UsageError(
                f"{period}: the approval is for other drafts than there are now (approval code {outcome.approval_code}); "
                "prepare and look at them again, then approve with the new code"
            )
        known = sorted({*planned, *refused, *sequence.books.records})
        for customer_id in _chosen(request.customers, known, inputs.customers, period):
            reason = refused.get(customer_id)
            _one(sequence, outcome, customer_id, planned.get(customer_id), reason, request.finalization)
    return outcome


def _chosen(asked: Sequence[str], known: Sequence[str], customers: Mapping[str, Customer], period: Period) -> list[str]:
    for customer_id in asked:
        if customer_id not in known and customer_id not in customers:
            raise UsageError(
                f"--customer {customer_id!r} is neither in the customers file nor in the inventory of {period}"
            )
    return [one for one in known if not asked or one in asked]


def _one(
    sequence: Calling,
    outcome: Outcome,
    customer_id: str,
    plan: PlannedInvoice | None,
    refusal: str | None,
    finalization: Finalization | None,
) -> None:
    """One customer; a failure of the API for this one is noted, one that the next would meet too is raised."""
    try:
        if refusal is None:
            sequence.invoice(customer_id, plan, finalization)
        elif sequence.books.record(customer_id).sequence:
            sequence.settle(customer_id)
    except SourceError as error:
        if isinstance(error, Refused) and error.status in _NO_KEY:
            raise
        outcome.failed[customer_id] = str(error)
        if isinstance(error, Refused):
            outcome.failures_in_a_row = 0  # an API that says no is there, and says it of this document
            return
        outcome.failures_in_a_row += 1
        if outcome.failures_in_a_row == _FAILURES_IN_A_ROW:
            raise
    else:
        outcome.failures_in_a_row = 0
    finally:
        record = sequence.books.record(customer_id)
        outcome.records[customer_id] = record
        if refusal is not None and not record.invoice.finalized:
            outcome.refused[customer_id] = refusal


def credit(
    workspace: Workspace,
    number: str,
    *,
    run_id: str,
    approved_by: str,
    now: Now = _now,
    environ: Mapping[str, str] = os.environ,
) -> Outcome:
    """The credit note of the finalized invoice of this number. UsageError when there is no such invoice, or several."""
    settings_of(workspace.config)
    with InvoiceTables.opened(workspace.databases.billing, lock_wait_s=None) as tables:
        found = tables.by_number(number)
    if len(found) != 1:
        told = "several customers have" if found else "no finalized invoice of ours has"
        raise UsageError(f"--credit {number}: {told} that number; see rebilling.customer_invoices")
    period, customer_id = Period.parse(found[0]["period"]), found[0]["customer_id"]
    outcome = Outcome()
    with calling(workspace, period, run_id=run_id, environ=environ, now=now) as sequence:
        try:
            make_credit_note(sequence, customer_id, approved_by)
        except SourceError as error:
            outcome.failed[customer_id] = str(error)
        outcome.records[customer_id] = sequence.books.record(customer_id)
    return outcome


def give_up_draft(workspace: Workspace, period: Period, invoicing_id: str, *, run_id: str) -> str:
    """Whose missing document is given up; UsageError unless one of this id is missing."""
    with calling(workspace, period, run_id=run_id) as sequence:
        customer_id = sequence.give_up(invoicing_id)
    if customer_id is None:
        raise UsageError(f"--give-up-draft {invoicing_id}: no invoice of {period} has a missing document of that id")
    return customer_id


def mend_records(workspace: Workspace, period: Period, *, run_id: str) -> list[str]:
    """Complete the journal from the table or the table from the journal; the customers it was done for."""
    folder = workspace.config.storage.data_dir / FOLDER
    with writers_lock(folder, workspace.databases.billing) as tables:
        return Books(Journal(folder / f"{period}.jsonl"), tables, str(period), run_id=run_id).mend()


def approval_code(plans: Mapping[str, PlannedInvoice], records: Mapping[str, Record]) -> str:
    """Twelve hex digits that stand for what is to be finalized: whoever approves has seen these invoices and no others.

    Those finalized already count as they are, so that the code of an approval still holds when it is resumed half-way.
    """
    seen = {customer_id: plan.digest for customer_id, plan in plans.items()}
    seen |= {one: record.plan.digest for one, record in records.items() if record.plan and record.invoice.finalized}
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:12]
