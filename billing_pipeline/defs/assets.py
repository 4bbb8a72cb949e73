"""The assets: what each partition's steps bring forth. The steps themselves are steps/'s; here they become Dagster's."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from billing_pipeline.config import Operator
from billing_pipeline.defs.columns import definition_metadata, lineage_metadata
from billing_pipeline.defs.jobs import COLLECT_GROUP, RECONCILE_GROUP
from billing_pipeline.defs.launch import is_by_command
from billing_pipeline.defs.partitions import OPERATOR, PERIOD
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.errors import BillingError, SourceUnreachable
from billing_pipeline.periods import Period
from billing_pipeline.reports.month import as_markdown, rows_as_markdown, year_as_markdown
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.steps.claims import CLAIM_TABLES, record_claims
from billing_pipeline.steps.collect import collect
from billing_pipeline.steps.failures import failure_recorded
from billing_pipeline.steps.load import LoadOutcome, load
from billing_pipeline.steps.notices import dialects, drift, findings_by_code
from billing_pipeline.steps.reconcile import ReconcileOutcome, reconcile
from billing_pipeline.steps.workspace import Workspace

LOADED = (
    "invoices", "invoice_lines", "line_allocations", "services", "service_prices", "expected_charges", "rejected_rows",
    "invoice_findings",
)  # fmt: skip
RECONCILED = (
    "reconciliation_items", "reconciliation_reasons", "reconciliation_summary", "invoice_reconciliation",
    "source_verdicts",
)  # fmt: skip
ONE_RUN_EACH = dg.BackfillPolicy.multi_run(1)
OWNERS = ["team:billing"]
_SHOWN_DISAGREEMENTS = 20
_SHOWN_FILES = 20


class CollectConfig(dg.Config):
    """How a run collects: `from_raw` uses the kept documents and no network."""

    from_raw: bool = False


def billing_assets(partitions: dg.MultiPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The three steps of every partition, as assets."""
    return [
        _source_documents(partitions),
        _loaded_tables(partitions),
        _claim_tables(partitions),
        _reconciled_tables(partitions),
    ]


def _source_documents(partitions: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        name="source_documents",
        description=_description("source_documents"),
        partitions_def=partitions,
        group_name=COLLECT_GROUP,
        kinds={"python", "file"},
        owners=OWNERS,
        metadata=definition_metadata("source_documents"),
        backfill_policy=ONE_RUN_EACH,
    )
    def source_documents(
        context: dg.AssetExecutionContext, billing: BillingResource, config: CollectConfig
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with _step(context, billing) as (workspace, operator, period):
            manifest = collect(workspace, operator, period, run_id=context.run.run_id, from_raw=config.from_raw)
        content = manifest.content
        return dg.MaterializeResult(
            metadata={
                "documents": len(content["documents"]),
                "declared": dg.MetadataValue.json(content["declared"]),
                "collected": dg.MetadataValue.json(content["collected"]),
                "missing": "\n".join(content["gaps"]) or "nothing",
                "notes": "\n".join(content["notes"]) or "none",
                "manifest": dg.MetadataValue.path(str(manifest.path)),
            }
        )

    return source_documents


def _loaded_tables(partitions: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    upstream = {
        "line_allocations": ["invoice_lines"],
        "services": ["source_documents"],
        "invoice_findings": ["invoices", "invoice_lines"],
    }
    specs = [_spec(name, COLLECT_GROUP, upstream.get(name, ["source_documents"])) for name in LOADED]
    complete = dg.AssetCheckSpec(
        "collection_is_complete",
        asset="invoice_lines",
        partitions_def=partitions,
        blocking=True,
        description="Everything the source declares has arrived, and few enough rows were rejected.",
    )
    rows = dg.AssetCheckSpec(
        "rows_are_loaded_or_rejected",
        asset="invoice_lines",
        partitions_def=partitions,
        blocking=True,
        description="Identity 1: the rows of every document are loaded or rejected.",
    )
    shares = dg.AssetCheckSpec(
        "shares_add_up_to_lines",
        asset="line_allocations",
        partitions_def=partitions,
        blocking=True,
        description="Identity 2: a line's shares over all months add up to the line.",
    )
    sound = dg.AssetCheckSpec(
        "invoices_agree_with_themselves",
        asset="invoice_findings",
        partitions_def=partitions,
        description="No invoice of the month contradicts itself: footing, line counts, arithmetic, VAT, duplicates.",
    )
    same = dg.AssetCheckSpec(
        "files_are_written_as_before",
        asset="invoice_lines",
        partitions_def=partitions,
        description="Charge files have the styles and columns of the latest month before.",
    )

    @dg.multi_asset(
        name="load_partition",
        specs=specs,
        partitions_def=partitions,
        backfill_policy=ONE_RUN_EACH,
        check_specs=[complete, rows, shares, sound, same],
    )
    def load_partition(context: dg.AssetExecutionContext, billing: BillingResource) -> Iterator[Any]:
        with _step(context, billing) as (workspace, operator, period):
            outcome = load(workspace, operator, period, run_id=context.run.run_id, loaded_at=datetime.now(UTC))
            found, changed = findings_by_code(workspace, operator, period), drift(workspace, operator, period)
            written = dialects(workspace, operator, period)[:_SHOWN_FILES]
        for name in LOADED:
            metadata = _load_metadata(name, outcome)
            if name == "invoice_lines" and written:
                metadata["dialects"] = dg.MetadataValue.md(rows_as_markdown(written))
            yield dg.MaterializeResult(asset_key=name, metadata=metadata)
        yield dg.AssetCheckResult(
            passed=not found,
            asset_key="invoice_findings",
            check_name=sound.name,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"findings": sum(found.values()), **found},
        )
        yield dg.AssetCheckResult(
            passed=not changed,
            asset_key="invoice_lines",
            check_name=same.name,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"differing": len(changed), "first": "\n".join(changed[:_SHOWN_DISAGREEMENTS]) or "none"},
        )
        # A load that breaks an identity has raised and replaced nothing; what gets here has passed.
        yield dg.AssetCheckResult(passed=True, asset_key="line_allocations", check_name=shares.name)
        yield dg.AssetCheckResult(
            passed=True,
            asset_key="invoice_lines",
            check_name=rows.name,
            metadata={"rows_read": outcome.counts.read, "rows_rejected": outcome.counts.rejected},
        )
        yield dg.AssetCheckResult(
            passed=outcome.complete,
            asset_key="invoice_lines",
            check_name=complete.name,
            metadata={"missing": "\n".join(outcome.gaps) or "nothing"},
        )

    return load_partition


def _claim_tables(partitions: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    # Upstream of nothing here: a payment changes no verdict, and is known also where the operator's API is down.
    @dg.multi_asset(
        name="record_claims",
        specs=[_spec(table.name, COLLECT_GROUP, []) for table in CLAIM_TABLES],
        partitions_def=partitions,
        backfill_policy=ONE_RUN_EACH,
    )
    def record_both(context: dg.AssetExecutionContext, billing: BillingResource) -> Iterator[Any]:
        """Any month's run records all months of its operator: both files speak of all of them."""
        with _step(context, billing) as (workspace, operator, period):
            outcome = record_claims(workspace, operator, period, run_id=context.run.run_id, loaded_at=datetime.now(UTC))
        for table in CLAIM_TABLES:
            metadata: dict[str, Any] = {
                "rows": outcome.rows[table.name],
                "months_replaced": ", ".join(outcome.replaced) or "none",
                "files": ", ".join(outcome.documents) or "none configured",
            }
            yield dg.MaterializeResult(asset_key=table.name, metadata=metadata)

    return record_both


def _reconciled_tables(partitions: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    # A month's verdicts also rest on lines that other months' invoices brought. Said as a partition mapping, that would
    # make a backfill of one month run all of them; which months a late line makes stale is worked out from the ledger.
    own = ["line_allocations", "invoice_lines", "services", "service_prices", "expected_charges", "rejected_rows"]
    upstream: dict[str, list[Any]] = {
        "reconciliation_items": own,
        "reconciliation_reasons": ["reconciliation_items"],
        "reconciliation_summary": ["reconciliation_items"],
        "invoice_reconciliation": ["reconciliation_items", "invoice_findings"],
        "source_verdicts": ["reconciliation_items"],
    }
    identities = dg.AssetCheckSpec(
        "books_balance",
        asset="reconciliation_items",
        partitions_def=partitions,
        blocking=True,
        description="Identities 3 to 6: items, allocations, services and reasons add up, nothing is left out or twice.",
    )
    agreement = dg.AssetCheckSpec(
        "source_agrees",
        asset="source_verdicts",
        partitions_def=partitions,
        description="The hub's own reconciliation and ours come to the same verdicts; where they differ, ours stands.",
    )

    @dg.multi_asset(
        name="reconcile_partition",
        specs=[_spec(name, RECONCILE_GROUP, upstream[name]) for name in RECONCILED],
        partitions_def=partitions,
        backfill_policy=ONE_RUN_EACH,
        check_specs=[identities, agreement],
    )
    def reconcile_partition(context: dg.AssetExecutionContext, billing: BillingResource) -> Iterator[Any]:
        with _step(context, billing) as (workspace, operator, period):
            outcome = reconcile(workspace, operator, period, run_id=context.run.run_id, loaded_at=datetime.now(UTC))
            shown = _shown(workspace, outcome)
        for line in outcome.unread_verdicts[:_SHOWN_DISAGREEMENTS]:
            context.log.warning(f"not compared: {line}; ask the hub to correct it")
        for name in RECONCILED:
            metadata: dict[str, Any] = {"changed": outcome.replaced, "evaluated": outcome.evaluated}
            if name in outcome.rows:
                metadata["dagster/row_count"] = outcome.rows[name]
            if name == "source_verdicts":
                metadata |= {"differing": len(outcome.disagreements), "unread": len(outcome.unread_verdicts)}
            metadata |= {**lineage_metadata(name), **(shown if name == "reconciliation_summary" else {})}
            yield dg.MaterializeResult(asset_key=name, metadata=metadata)
        yield dg.AssetCheckResult(passed=True, asset_key="reconciliation_items", check_name=identities.name)
        yield dg.AssetCheckResult(
            passed=not (outcome.disagreements or outcome.unread_verdicts),
            asset_key="source_verdicts",
            check_name=agreement.name,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "differing": len(outcome.disagreements),
                "first": "\n".join(outcome.disagreements[:_SHOWN_DISAGREEMENTS]) or "none",
                "unread": len(outcome.unread_verdicts),
                "first_unread": "\n".join(outcome.unread_verdicts[:_SHOWN_DISAGREEMENTS]) or "none",
            },
        )

    return reconcile_partition


@contextmanager
def _step(context: dg.AssetExecutionContext, billing: BillingResource) -> Iterator[tuple[Workspace, Operator, Period]]:
    """The partition's operator and period with the open stores; our errors become failures of one line."""
    keys = context.partition_key.keys_by_dimension
    try:
        with billing.workspace() as workspace:
            operator, period = workspace.config.operator(keys[OPERATOR]), Period.parse(keys[PERIOD])
            with failure_recorded(workspace, operator, period, context.run.run_id):
                yield workspace, operator, period
    except BillingError as error:
        _retry(context, billing, error)
        raise dg.Failure(
            description=str(error), metadata={"exit_code": error.exit_code}, allow_retries=False
        ) from error


def _retry(context: dg.AssetExecutionContext, billing: BillingResource, error: BillingError) -> None:
    """Ask Dagster for another try where a rerun alone helps and nobody sits and waits for the answer."""
    again = isinstance(error, SourceUnreachable) and not is_by_command(context.run)
    if again and context.retry_number < billing.retries:
        context.log.warning(str(error))
        raise dg.RetryRequested(
            max_retries=billing.retries, seconds_to_wait=billing.retry_wait_s * 2**context.retry_number
        ) from error


def _spec(name: str, group: str, upstream: list[Any]) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        description=_description(name),
        deps=upstream,
        group_name=group,
        kinds={"postgres", "parquet"},
        owners=OWNERS,
        metadata=definition_metadata(name),
    )


def _description(name: str) -> str:
    table = BY_NAME[name]
    return f"{table.grain} Key: {', '.join(table.key)}."


def _load_metadata(name: str, outcome: LoadOutcome) -> dict[str, Any]:
    metadata: dict[str, Any] = {"changed": outcome.replaced, "complete": outcome.complete, **lineage_metadata(name)}
    if name in outcome.rows:
        metadata["dagster/row_count"] = outcome.rows[name]
    if outcome.reloaded:
        metadata["also_reloaded"] = ", ".join(outcome.reloaded)
    return metadata


def _shown(workspace: Workspace, outcome: ReconcileOutcome) -> dict[str, Any]:
    """What people look at first: the month's figures and the year they stand in. 10 KB, as both lie in the event log."""
    if not outcome.summary:
        return {}
    year = year_as_markdown(workspace.partitions, outcome.operator_code, outcome.period)
    return {"summary": dg.MetadataValue.md(as_markdown(outcome.summary)), "last 12 months": dg.MetadataValue.md(year)}
