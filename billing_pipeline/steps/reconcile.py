"""Step 3: a loaded month's services and every share that falls in it become verdicts, in one transaction.

Reads the Parquet files of the operator's partitions that have shares in the month, whichever month's invoice brought
them. The verdicts' rules are reconciliation/'s.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from billing_pipeline.config import Operator
from billing_pipeline.errors import AmountsTooLarge, StorageError, one_line
from billing_pipeline.periods import Period
from billing_pipeline.r189.superseded import SUPERSEDED
from billing_pipeline.reconciliation import identities
from billing_pipeline.reconciliation.engine import Inputs
from billing_pipeline.reconciliation.engine import reconcile as compute
from billing_pipeline.reconciliation.magnitudes import LIMIT, magnitudes
from billing_pipeline.reconciliation.source_verdicts import compare_verdicts
from billing_pipeline.reconciliation.summary import invoice_status, summarize
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import BY_NAME, SOURCE_VERDICTS
from billing_pipeline.steps.collect import COMPLETE
from billing_pipeline.steps.drafts import FINDINGS_OF
from billing_pipeline.steps.engine import PARQUET_OPTIONS, batches, engine, require_none, stream
from billing_pipeline.steps.fingerprint import digest_of, rules_digest
from billing_pipeline.steps.load import COLLECT_PHASE, EVALUATED
from billing_pipeline.steps.source_verdicts import disagreements, source_verdicts
from billing_pipeline.steps.verdict_history import verdict_history
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.ledger import PartitionLoad
from billing_pipeline.storage.replacement import PartitionWork

RECONCILE_PHASE = "reconcile"
_FROM_SOURCE = (
    "service_id", "invoice_line_id", "source_status", "source_service_amount", "source_invoice_amount", "source_detail",
)  # fmt: skip
_KEYS = ("installed_offer_id", "external_reference", "serial_number", "order_reference")


@dataclass(frozen=True)
class ReconcileOutcome:
    """What became of one partition: `evaluated` or not, whether anything was `replaced`, rows per replaced table.

    `disagreements` and `unread_verdicts`: what the hub's own reconciliation says otherwise, and what of it means nothing.
    """

    operator_code: str
    period: Period
    evaluated: bool
    replaced: bool
    rows: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    disagreements: tuple[str, ...] = ()
    unread_verdicts: tuple[str, ...] = ()


def reconcile(
    workspace: Workspace, operator: Operator, period: Period, *, run_id: str, loaded_at: datetime
) -> ReconcileOutcome:
    """Compute the month's verdicts and publish them if every identity holds.

    A month whose collection is not complete has none: its summary says so already. IdentityViolation replaces nothing.
    """
    lagging = workspace.partitions.mend(operator.code)
    with workspace.partitions.replacing(operator.code, run_id=run_id, loaded_at=loaded_at) as work:
        loads = {load.period: load for load in work.loads(COLLECT_PHASE)}
        loaded = loads.get(str(period))
        if loaded is None:
            raise StorageError(f"{operator.code} {period}: nothing is loaded; run the period's invoice_lines first")
        if loaded.state != COMPLETE:
            return ReconcileOutcome(operator.code, period, evaluated=False, replaced=False)
        contributions = contributions_to(period, loads.values())
        _refuse_lagging(operator, lagging, {str(period), *contributions})
        digest = _input_digest(operator, loaded, contributions)
        current = work.current(str(period), RECONCILE_PHASE)
        if current is not None and current.input_digest == digest and work.intact(current):
            outcome = _with_current_detail(work, operator, period, loaded)
            return _beside_the_hubs(workspace, operator, work, outcome)
        with _scratch(workspace, run_id, period) as scratch, engine(workspace.config, scratch) as connection:
            month = _Month(workspace, operator, period, connection, scratch, contributions)
            # The same inputs again mend what was damaged: no verdict has changed, whatever is missing from the tables.
            replaced = current if current is not None and current.input_digest != digest else None
            rows, summary = month.publish(work, loaded, replaced)
        work.record(
            str(period),
            RECONCILE_PHASE,
            state=EVALUATED,
            state_detail=summary["state_detail"],
            input_digest=digest,
            contributions=contributions,
            files=loaded.files,
            rows_read=loaded.rows_read,
            rows_rejected=loaded.rows_rejected,
        )
        return _beside_the_hubs(
            workspace, operator, work, ReconcileOutcome(operator.code, period, True, True, rows, summary)
        )


def _beside_the_hubs(
    workspace: Workspace, operator: Operator, work: PartitionWork, outcome: ReconcileOutcome
) -> ReconcileOutcome:
    unread = source_verdicts(workspace, operator, outcome.period).unread
    return replace(outcome, disagreements=disagreements(work, outcome.period), unread_verdicts=unread)


def _refuse_lagging(operator: Operator, lagging: list[tuple[str, str]], needed: set[str]) -> None:
    """The files of these partitions are gone and PostgreSQL's rows are not those that were loaded."""
    for period, table in lagging:
        if period in needed and BY_NAME[table].in_postgres:
            raise StorageError(f"{operator.code} {period}: {table} is damaged; run --period {period} to load it again")


def contributions_to(period: Period, loads: Iterable[PartitionLoad]) -> dict[str, dict[str, str]]:
    """What verdicts of `period` rest on: invoice period → {what its load contributes: digest}.

    That is the shares its lines have in `period`, and findings about invoices with such shares, whoever found them.
    """
    found: dict[str, dict[str, str]] = {}
    given = {load.period: load.contributions or {} for load in loads}
    bringing = [one for one, contributed in given.items() if str(period) in contributed]
    for one, contributed in given.items():
        wanted = {str(period), *(f"{FINDINGS_OF}{other}" for other in bringing)}
        taken = {name: digest for name, digest in contributed.items() if name in wanted}
        if taken:
            found[one] = taken
    return found


def stale_periods(workspace: Workspace, operator_code: str) -> list[str]:
    """Evaluated periods whose verdicts rest on other lines than those that are loaded now."""
    return list(staleness(workspace, operator_code))


def staleness(workspace: Workspace, operator_code: str) -> dict[str, str]:
    """Each stale period with a digest of what its verdicts should rest on: the same as long as nothing else arrives."""
    ledger = workspace.partitions.ledger(operator_code)
    loads = [load for load in ledger if load.phase == COLLECT_PHASE]
    judged = [load for load in ledger if load.phase == RECONCILE_PHASE and load.state == EVALUATED]
    now = {load.period: contributions_to(Period.parse(load.period), loads) for load in judged}
    return {load.period: digest_of(now[load.period]) for load in judged if load.contributions != now[load.period]}


def _input_digest(operator: Operator, loaded: PartitionLoad, contributions: dict[str, dict[str, str]]) -> str:
    rules = operator.reconciliation.model_dump(mode="json")
    return digest_of(rules_digest(), rules, loaded.input_digest, contributions)


@contextmanager
def _scratch(workspace: Workspace, run_id: str, period: Period) -> Iterator[Path]:
    folder = workspace.scratch / f"{run_id}-reconcile-{period}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def _with_current_detail(
    work: PartitionWork, operator: Operator, period: Period, loaded: PartitionLoad
) -> ReconcileOutcome:
    """Nothing to compute; only what the latest attempt lacked may be new, and is written beside the standing verdict."""
    stored = work.read("reconciliation_summary", [str(period)])
    summary = stored.to_pylist()[0]
    detail = _detail(summary["state_detail"], loaded)
    if detail == summary["state_detail"]:
        return ReconcileOutcome(operator.code, period, True, False, {}, summary)
    content = stored.select(work.content_schema("reconciliation_summary").names)
    position = content.schema.get_field_index("state_detail")
    changed = content.set_column(position, content.schema.field(position), pa.array([detail], pa.string()))
    rows = {"reconciliation_summary": work.replace("reconciliation_summary", str(period), changed)}
    work.record(str(period), RECONCILE_PHASE, state=EVALUATED, state_detail=detail)
    return ReconcileOutcome(operator.code, period, True, True, rows, {**summary, "state_detail": detail})


_ATTEMPT = "latest attempt incomplete: "


def _detail(standing: str | None, loaded: PartitionLoad) -> str | None:
    """The detail of the verdict itself, and what the latest attempt lacked where that replaced nothing."""
    own = (standing or "").split(_ATTEMPT)[0].rstrip("; ")
    attempt = f"{_ATTEMPT}{loaded.attempt_detail}" if loaded.attempt_state else ""
    return "; ".join(part for part in (own, attempt) if part) or None


class _Month:
    """One operator's month as Ibis tables over its Parquet files."""

    def __init__(
        self,
        workspace: Workspace,
        operator: Operator,
        period: Period,
        connection: Any,
        scratch: Path,
        contributions: dict[str, dict[str, str]],
    ) -> None:
        self._workspace = workspace
        self._operator = operator
        self._period = period
        self._connection = connection
        self._scratch = scratch
        self._invoice_periods = sorted(one for one, taken in contributions.items() if str(period) in taken)
        self._finding_periods = sorted(
            one for one, taken in contributions.items() if any(name.startswith(FINDINGS_OF) for name in taken)
        )
        self.services = self._read("services", [str(period)])
        shares = self._read("line_allocations", self._invoice_periods)
        self.allocations = shares.filter(shares.service_month == str(period))
        self.lines = self._read("invoice_lines", self._invoice_periods)

    def publish(
        self, work: PartitionWork, loaded: PartitionLoad, before: PartitionLoad | None
    ) -> tuple[dict[str, int], dict[str, Any]]:
        """Replace the month's tables by its verdicts; rows per table and the summary row.

        `before`: what the ledger says of the verdicts that are replaced; null on a first evaluation and on a repair.
        """
        period = str(self._period)
        inputs = self._inputs()
        self._require_summable(inputs)
        results = compute(inputs, self._period, self._operator.reconciliation)
        items = self._settled("reconciliation_items", results.items.order_by("item_id"))
        reasons = self._settled("reconciliation_reasons", results.reasons.order_by("item_id", "reason_code"))
        require_none(
            identities.check(self.services, self.allocations, items, reasons),
            where=f"{self._operator.code} {self._period}",
        )
        findings = self._read("invoice_findings", self._finding_periods)
        statuses = invoice_status(items, self.allocations, findings)
        summary = self._summary(items, loaded)
        history = verdict_history(
            work, self._connection, self._read, self._period, self._invoice_periods, items, self.lines, before
        )
        schema = work.content_schema("reconciliation_summary")
        rows = {
            name: work.replace(name, period, batches(self._scratch / f"{name}.parquet", work.content_schema(name)))
            for name in ("reconciliation_items", "reconciliation_reasons")
        }
        statuses = statuses.order_by("invoice_id")
        rows["invoice_reconciliation"] = work.replace(
            "invoice_reconciliation",
            period,
            stream(statuses, work.content_schema("invoice_reconciliation"), self._scratch),
        )
        rows["reconciliation_summary"] = work.replace(
            "reconciliation_summary", period, pa.Table.from_pylist([summary], schema=schema)
        )
        rows["source_verdicts"] = work.replace("source_verdicts", period, self._source_verdicts(items))
        rows["reconciliation_history"] = work.replace("reconciliation_history", period, history)
        return rows, summary

    def _require_summable(self, inputs: Inputs) -> None:
        found = magnitudes(inputs).to_pyarrow().to_pylist()
        if sum(one["total"] for one in found) >= LIMIT:
            worst = max((one for one in found if one["largest"] is not None), key=lambda one: one["largest"])
            raise AmountsTooLarge(
                f"{self._operator.code} {self._period}: the amounts come to more than 12 digits before the point, which "
                f"no column can hold; the largest is {worst['largest']:.2f} in {worst['kind']} {one_line(worst['owner'])}: "
                "have it corrected at its source and run the month again; verdicts reached before stay as they are"
            )

    def _settled(self, name: str, rows: Table) -> Table:
        """`rows` written once to the scratch folder, from where the checks read them and PostgreSQL is filled."""
        path = self._scratch / f"{name}.parquet"
        rows.to_parquet(path, **PARQUET_OPTIONS)
        return self._connection.read_parquet(path, hive_partitioning=False)

    def _inputs(self) -> Inputs:
        rejected = self._read("rejected_rows", [str(self._period)])
        charges = self._read("expected_charges", [str(self._period)])
        return Inputs(
            services=self.services,
            prices=self._read("service_prices", [str(self._period)]),
            expected_charges=charges,
            lines=self.lines,
            allocations=self.allocations,
            rejected_keys=rejected.filter(rejected.check_name != SUPERSEDED).select(*_KEYS).distinct(),
        )

    def _source_verdicts(self, items: Table) -> pa.Table:
        """The hub's own verdicts beside ours; none where the source has no opinion."""
        schema = content_schema(SOURCE_VERDICTS)
        theirs = source_verdicts(self._workspace, self._operator, self._period).rows
        if theirs is None:
            return schema.empty_table()
        table = pa.Table.from_pylist(theirs, schema=pa.schema([schema.field(name) for name in _FROM_SOURCE]))
        compared = compare_verdicts(self._connection.create_table("source_items", table, temp=True), items)
        return compared.order_by("service_id", "invoice_line_id").to_pyarrow().cast(schema)

    def _summary(self, items: Table, loaded: PartitionLoad) -> dict[str, Any]:
        row: dict[str, Any] = summarize(items, self.services).to_pyarrow().to_pylist()[0]
        return {
            **{name: value for name, value in row.items() if name not in ("currency", "other_currencies")},
            "state": EVALUATED,
            "state_detail": _detail(row["other_currencies"], loaded),
            "files": loaded.files,
            "rows_read": loaded.rows_read,
            "rows_rejected": loaded.rows_rejected,
        }

    def _read(self, name: str, periods: list[str]) -> Table:
        """The operator's rows of these partitions, with `period`; the path's columns are read as strings."""
        table = BY_NAME[name]
        parts = []
        for period in periods:
            path = self._workspace.parquet.path(table, self._operator.code, period)
            # The path's key=value folders are not columns here: their types would be guessed (0042 → 42).
            rows = self._connection.read_parquet(path, hive_partitioning=False).mutate(
                period=ibis.literal(period, "string")
            )
            parts.append(rows.drop("run_id", "loaded_at"))
        if not parts:
            # Files read back are nullable throughout, and tables of a union must agree on that.
            fields = [*content_schema(table), pa.field("period", pa.string())]
            empty = pa.schema([field.with_nullable(True) for field in fields]).empty_table()
            return self._connection.create_table(f"no_{name}", empty, temp=True)
        return ibis.union(*parts) if len(parts) > 1 else parts[0]
