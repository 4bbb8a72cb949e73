"""Re-invoicing as assets of a month: drafts, and finalized invoices once somebody has approved the drafts.

How a billing team uses it: launch job `rebilling` for the month, which makes the drafts and stops there; look at the
asset `customer_invoice_drafts`, whose metadata show every draft and an approval code; materialize `customer_invoices` for
the month with that code and one's name in the launchpad. The code holds for those drafts and no others.
"""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg

from billing_pipeline.config import BillingConfig
from billing_pipeline.defs.assets import ONE_RUN_EACH, OWNERS
from billing_pipeline.defs.jobs import REBILLING_GROUP
from billing_pipeline.defs.partitions import PERIOD
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.errors import BillingError
from billing_pipeline.periods import Period
from billing_pipeline.rebilling.sequence import Finalization
from billing_pipeline.reports.customer_invoices import as_markdown, with_margins
from billing_pipeline.schemas.rebilling import CUSTOMER_INVOICES
from billing_pipeline.steps import rebill as steps
from billing_pipeline.storage.customer_invoices import InvoiceTables

DRAFTS, INVOICES = "customer_invoice_drafts", "customer_invoices"
FINALIZE = "finalize_customer_invoices"
_SHOWN_REASONS = 20


class DraftsConfig(dg.Config):
    """How drafts are prepared: `cost_check` false prepares customers of operators without a verdict too."""

    cost_check: bool = True


class Approval(dg.Config):
    """Leave to finalize, given at launch: who approves, and the approval code of the drafts that were looked at."""

    approved_by: str = ""
    drafts: str = ""
    cost_check: bool = True


def rebilling_partitions(config: BillingConfig) -> dg.MonthlyPartitionsDefinition:
    """Every complete month since `first_period`, Europe/Paris: a customer's invoice is over all operators."""
    return dg.MonthlyPartitionsDefinition(start_date=config.first_period, fmt="%Y-%m", timezone="Europe/Paris")


def rebilling_assets(config: BillingConfig) -> list[dg.AssetsDefinition]:
    partitions = rebilling_partitions(config)
    return [_drafts(partitions), _invoices(partitions)]


def _drafts(partitions: dg.MonthlyPartitionsDefinition) -> dg.AssetsDefinition:
    prepared = dg.AssetCheckSpec(
        "every_customer_is_prepared",
        asset=DRAFTS,
        description="No customer is left out (a currency too many, an operator not evaluated) and no draft needs review.",
    )

    @dg.asset(
        name=DRAFTS,
        description="One draft per customer in the invoicing API, and one row of customer_invoices; nothing is owed by it.",
        partitions_def=partitions,
        group_name=REBILLING_GROUP,
        kinds={"postgres", "python"},
        owners=OWNERS,
        backfill_policy=ONE_RUN_EACH,
        deps=[
            dg.AssetDep(name, partition_mapping=dg.MultiToSingleDimensionPartitionMapping(PERIOD))
            for name in ("reconciliation_items", "reconciliation_summary")
        ],
        check_specs=[prepared],
    )
    def customer_invoice_drafts(
        context: dg.AssetExecutionContext, billing: BillingResource, config: DraftsConfig
    ) -> Iterator[Any]:
        outcome, metadata = _rebill(context, billing, cost_check=config.cost_check)
        yield dg.MaterializeResult(metadata={**metadata, "approval_code": outcome.approval_code})
        yield dg.AssetCheckResult(
            passed=not (outcome.refused or outcome.to_review),
            check_name=prepared.name,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"left_out": _reasons(outcome.refused), "to_review": ", ".join(outcome.to_review) or "none"},
        )
        _fail_on(outcome)

    return customer_invoice_drafts


def _invoices(partitions: dg.MonthlyPartitionsDefinition) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        INVOICES,
        description=f"{CUSTOMER_INVOICES.grain} Finalized after an approval at launch: approved_by and the drafts' code.",
        deps=[DRAFTS],
        group_name=REBILLING_GROUP,
        kinds={"postgres", "python"},
        owners=OWNERS,
        skippable=True,
    )

    @dg.multi_asset(name=FINALIZE, specs=[spec], partitions_def=partitions, backfill_policy=ONE_RUN_EACH)
    def finalize_customer_invoices(
        context: dg.AssetExecutionContext, billing: BillingResource, config: Approval
    ) -> Iterator[Any]:
        approved_by, code = config.approved_by.strip(), config.drafts.strip()
        if not approved_by and not code and not _asked_for_alone(context):
            context.log.info(
                "The drafts wait for an approval: materialize customer_invoices with approved_by and drafts."
            )
            return
        if not approved_by or not code:
            raise dg.Failure(
                description=f"nothing is finalized without an approval: give 'approved_by' (your name) and 'drafts' (the "
                f"approval code in the metadata of {DRAFTS}) in the launchpad, under ops: {FINALIZE}: config",
                allow_retries=False,
            )
        outcome, metadata = _rebill(
            context, billing, cost_check=config.cost_check, finalization=Finalization(approved_by), approved_code=code
        )
        _fail_on(outcome)
        yield dg.MaterializeResult(asset_key=INVOICES, metadata={**metadata, "approved_by": approved_by})

    return finalize_customer_invoices


def _asked_for_alone(context: dg.AssetExecutionContext) -> bool:
    return context.run.asset_selection == {dg.AssetKey(INVOICES)}


def _rebill(
    context: dg.AssetExecutionContext, billing: BillingResource, **request: Any
) -> tuple[steps.Outcome, dict[str, Any]]:
    """One month's rebilling and what to show of it; our errors become failures of one line."""
    period = Period.parse(context.partition_key)
    try:
        with billing.workspace() as workspace:
            inputs = steps.read_inputs(workspace.config, period)
            asked = steps.Request(period, **request)
            outcome = steps.rebill(workspace, asked, inputs, run_id=context.run.run_id, environ=os.environ)
            with InvoiceTables.opened(workspace.databases.billing, lock_wait_s=None) as tables:
                rows = with_margins(tables.invoices(str(period)), tables.lines(str(period)))
    except BillingError as error:
        raise dg.Failure(
            description=str(error), metadata={"exit_code": error.exit_code}, allow_retries=False
        ) from error
    return outcome, {
        "invoices": dg.MetadataValue.md(as_markdown(rows)),
        "dagster/row_count": len(rows),
        "left_out": _reasons(outcome.refused),
        "warnings": "\n".join(outcome.warnings) or "none",
    }


def _reasons(refused: dict[str, str]) -> str:
    told = [f"{customer_id or 'no customer'}: {reason}" for customer_id, reason in refused.items()]
    return "\n".join(told[:_SHOWN_REASONS]) or "none"


def _fail_on(outcome: steps.Outcome) -> None:
    """What was reached stands on the record; a run that did not reach everything is a failed one."""
    if outcome.failed:
        customer_id, reason = next(iter(outcome.failed.items()))
        raise dg.Failure(
            description=f"{customer_id}: {reason} ({len(outcome.failed)} customers failed; run again to go on)",
            allow_retries=False,
        )
