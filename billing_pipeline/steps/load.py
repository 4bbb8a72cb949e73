"""Step 2: the collected documents become the partition's tables, all in one transaction.

    manifest ─> readings ─> which invoices count here ─> rows replaced ─> complete? ─> the rest replaced, or all undone

Charge files are surveyed before the operator's lock is taken and read once more while their rows are copied: whether
too many are rejected is known at the end, and a savepoint undoes what must not replace a complete period. The only charge
file of a partition that is loaded for the first time is read once, while it is copied; should it not be what its first
records say, all of that is undone and it is loaded like the others. Also reloads the operator's later partitions whose
claim on an invoice number this one changes. What a document says is read in readings.py, and how tables follow from
lines in drafts.py.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from shutil import rmtree

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import Operator
from billing_pipeline.normalize.ownership import Holding, owners, superseded_by
from billing_pipeline.periods import Period
from billing_pipeline.r189.at_once import NotBorneOut
from billing_pipeline.sources.collection import BESIDE_ROLES, UNREAD_ROLES, Kept, Role
from billing_pipeline.steps.collect import (
    COMPLETE,
    INCOMPLETE,
    counting_manifest,
    documents_of,
    manifest_to_load,
)
from billing_pipeline.steps.completeness import RowCounts, too_many_rejected
from billing_pipeline.steps.drafts import PartitionDraft
from billing_pipeline.steps.file_periods import stem_order
from billing_pipeline.steps.fingerprint import digest_of, rules_digest
from billing_pipeline.steps.readings import Documents, add_bill_gaps, read_documents
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.ledger import PartitionLoad
from billing_pipeline.storage.raw import Manifest
from billing_pipeline.storage.replacement import PartitionWork, Undo

COLLECT_PHASE = "collect"
NOT_EVALUATED, EVALUATED = "NOT_EVALUATED", "EVALUATED"
# What the commit makes visible together; the tables one by one are in drafts.py.
SupersededHere = Mapping[str, Mapping[str, Holding]]  # sha256 -> {invoice_id: the holding that counts instead}


@dataclass(frozen=True)
class LoadOutcome:
    """What became of one partition. Complete when `gaps` is empty; `replaced` is false when nothing changed."""

    operator_code: str
    period: Period
    gaps: tuple[str, ...]
    counts: RowCounts
    replaced: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    reloaded: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.gaps

    @property
    def detail(self) -> str | None:
        """What is missing, in one line."""
        return "; ".join(self.gaps) or None


def load(workspace: Workspace, operator: Operator, period: Period, *, run_id: str, loaded_at: datetime) -> LoadOutcome:
    """Load what this run collected (else the latest collection) and say whether the partition is complete.

    An incomplete collection replaces nothing of a period that was complete before. StorageError when the database or
    the disk fails, IdentityViolation when our own books do not balance; nothing is replaced then.
    """
    manifest = manifest_to_load(workspace, operator.code, period, run_id)
    with _scratch(workspace, run_id) as scratch:
        loader = _Loader(workspace, operator, scratch)
        if loader.may_read_at_once(manifest):
            with (
                suppress(NotBorneOut),
                workspace.partitions.replacing(operator.code, run_id=run_id, loaded_at=loaded_at) as work,
            ):
                return loader.load(work, loader.read(manifest, at_once=True))
        delivery = loader.read(manifest)
        with workspace.partitions.replacing(operator.code, run_id=run_id, loaded_at=loaded_at) as work:
            return loader.load(work, delivery)


@contextmanager
def _scratch(workspace: Workspace, run_id: str) -> Iterator[Path]:
    folder = workspace.scratch / run_id
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Delivery:
    """A manifest and what its documents say; those of one that is read `at_once` say it while they are loaded."""

    manifest: Manifest
    period: Period
    kept: list[Kept]
    documents: Documents
    scratch: Path
    at_once: bool

    def superseded(self, elsewhere: list[Holding]) -> SupersededHere:
        """Whose copy of which invoice counts instead of these documents', given the holdings of other periods.

        What is still to be read at once may hold any invoice of an earlier period.
        """
        period = str(self.period)
        if self.at_once and not self.holdings:
            earlier = owners(one for one in elsewhere if one.period < period)
            return {one.document.sha256: earlier for one in self.documents.readings}
        return {
            sha256: found for (at, sha256), found in superseded_by([*self.holdings, *elsewhere]).items() if at == period
        }

    @property
    def holdings(self) -> list[Holding]:
        period = str(self.period)
        return [
            Holding(invoice_id, period, sha256, rank)
            for reading in self.documents.readings
            for sha256, rank in [(reading.document.sha256, _rank(reading.document))]  # once per document: it is slow
            for invoice_id in reading.invoices
        ]


class _Loader:
    """Loads partitions of one operator, within one transaction."""

    def __init__(self, workspace: Workspace, operator: Operator, scratch: Path) -> None:
        self._workspace = workspace
        self._operator = operator
        self._scratch = scratch

    def may_read_at_once(self, manifest: Manifest) -> bool:
        """Whether there is one charge file and nothing it could be compared with: no other copy of its invoices in this
        period, and nothing loaded that it might leave as it is."""
        files = [one for one in documents_of(manifest) if one.role is Role.R189_CHARGES]
        loaded = self._workspace.partitions.ledger(self._operator.code)
        return len(files) == 1 and all((one.period, one.phase) != (manifest.period, COLLECT_PHASE) for one in loaded)

    def read(self, manifest: Manifest, *, at_once: bool = False) -> _Delivery:
        kept = sorted(documents_of(manifest), key=_rank)
        scratch = self._scratch / manifest.period
        scratch.mkdir(exist_ok=True)
        documents = read_documents(kept, self._path_in(manifest.period), self._operator, at_once=at_once)
        return _Delivery(manifest, Period.parse(manifest.period), kept, documents, scratch, at_once)

    def _path_in(self, period: str) -> Callable[[str], Path]:
        return lambda sha256: self._workspace.raw.document(self._operator.code, period, sha256).path

    def load(self, work: PartitionWork, delivery: _Delivery) -> LoadOutcome:
        """Under the operator's lock: replace this partition unless it stays as it is, then the later ones it affects."""
        period = str(delivery.period)
        stored = _stored_holdings(work, period, None if delivery.at_once else delivery.holdings)
        elsewhere = [one for one in stored if one.period != period]
        current = work.current(period, COLLECT_PHASE)
        if delivery.at_once:
            if current is not None:  # another run was faster, and its load may be the same
                raise NotBorneOut
        elif self._is_loaded(work, delivery, current, elsewhere):
            assert current is not None
            return self._unchanged(work, delivery, current)
        before = self._workspace.raw.last_complete(self._operator.code, period)
        kept_before = before is not None and before.path != delivery.manifest.path
        outcome: LoadOutcome | None = None
        with work.tentative():
            outcome = self._replace(work, delivery, elsewhere, None)
            if outcome.gaps and kept_before:
                raise Undo
        assert outcome is not None
        # Before the commit: should it fail, the next run collects again; the other way round a rebuild from raw/ would
        # not know that these documents are the ones that count.
        self._set_state(delivery.manifest, outcome)
        if outcome.gaps and kept_before:
            assert before is not None
            reloaded = self._load_what_counts(work, before) if current is None else []
            work.record(period, COLLECT_PHASE, attempt_state=INCOMPLETE, attempt_detail=outcome.detail)
            return replace(outcome, replaced=False, rows={}, reloaded=tuple(reloaded))
        touched = {one.invoice_id for one in (*delivery.holdings, *stored) if one.period == period}
        return replace(outcome, reloaded=tuple(self._reload_later(work, delivery, touched, elsewhere)))

    def _load_what_counts(self, work: PartitionWork, manifest: Manifest) -> list[str]:
        """The last complete collection, of which the database knows nothing: it was lost, or a load died at its commit."""
        delivery = self.read(manifest)
        stored = _stored_holdings(work, manifest.period, delivery.holdings)
        elsewhere = [one for one in stored if one.period != manifest.period]
        self._replace(work, delivery, elsewhere, None)
        return self._reload_later(work, delivery, {one.invoice_id for one in delivery.holdings}, elsewhere)

    def _is_loaded(
        self, work: PartitionWork, delivery: _Delivery, current: PartitionLoad | None, elsewhere: list[Holding]
    ) -> bool:
        """Whether what is stored is what the delivery would make of it."""
        if _has_lines(current) and not any(reading.rows_read for reading in delivery.documents.readings):
            delivery.documents.gaps.append(
                "the source answers with nothing for a period that has lines; put its documents back, or use --from-raw "
                "for what was kept"
            )
        digest = self._input_digest(delivery, delivery.superseded(elsewhere))
        return current is not None and current.input_digest == digest and work.intact(current)

    def _unchanged(self, work: PartitionWork, delivery: _Delivery, current: PartitionLoad) -> LoadOutcome:
        """The partition already holds what these inputs make of it."""
        gaps = () if current.state == COMPLETE else (current.state_detail or current.state,)
        counts = RowCounts(current.files or 0, current.rows_read or 0, current.rows_rejected or 0, 0)
        outcome = LoadOutcome(self._operator.code, delivery.period, gaps, counts)
        self._set_state(delivery.manifest, outcome)
        if current.attempt_state is not None:
            work.record(current.period, COLLECT_PHASE, attempt_state=None, attempt_detail=None)
        return outcome

    def _set_state(self, manifest: Manifest, outcome: LoadOutcome) -> None:
        self._workspace.raw.set_state(manifest, COMPLETE if outcome.complete else INCOMPLETE, outcome.detail)

    def _reload_later(
        self, work: PartitionWork, delivery: _Delivery, touched: set[str], elsewhere: list[Holding]
    ) -> list[str]:
        """Later partitions that hold an invoice number this one now claims, or claims no more."""
        later = sorted(
            {one.period for one in elsewhere if one.invoice_id in touched and one.period > str(delivery.period)}
        )
        reloaded = []
        for period in later:
            manifest = counting_manifest(self._workspace, self._operator.code, period)
            current = work.current(period, COLLECT_PHASE)
            if manifest is None or current is None:
                continue
            affected = self.read(manifest)
            others = [one for one in _stored_holdings(work, period, affected.holdings) if one.period != period]
            digest = self._input_digest(affected, affected.superseded(others))
            if current.input_digest == digest and work.intact(current):
                continue
            outcome = self._replace(work, affected, others, current)
            if outcome.complete and not manifest.complete:
                self._set_state(manifest, outcome)
            reloaded.append(period)
        return reloaded

    def _replace(
        self,
        work: PartitionWork,
        delivery: _Delivery,
        elsewhere: list[Holding],
        standing: PartitionLoad | None,
    ) -> LoadOutcome:
        """Replace the partition's tables. What is complete in `standing` stays so: only whose rows count has changed."""
        period = str(delivery.period)
        draft = PartitionDraft(
            self._workspace, self._operator, delivery.manifest, delivery.kept, delivery.documents,
            delivery.superseded(elsewhere), delivery.scratch,
        )  # fmt: skip
        counts = draft.load_rows(work)
        if delivery.at_once:
            add_bill_gaps(delivery.documents, delivery.kept, self._path_in(period), self._operator)
            draft.superseded = delivery.superseded(elsewhere)
        gaps = (
            *delivery.manifest.content["gaps"],
            *delivery.documents.gaps,
            *too_many_rejected(counts, self._operator.reconciliation.max_rejected_ratio),
        )
        if standing is not None and standing.state == COMPLETE:
            gaps = ()
        outcome = LoadOutcome(self._operator.code, delivery.period, gaps, counts, replaced=True, rows=draft.rows)
        draft.load_rest(work)
        if gaps:
            summary = _not_evaluated(work, outcome.detail, counts)
            draft.rows["reconciliation_summary"] = work.replace("reconciliation_summary", period, summary)
        work.record(
            period,
            COLLECT_PHASE,
            state=INCOMPLETE if gaps else COMPLETE,
            state_detail=outcome.detail,
            attempt_state=None,
            attempt_detail=None,
            input_digest=self._input_digest(delivery, draft.superseded),
            contributions=draft.contributions,
            files=counts.files,
            rows_read=counts.read,
            rows_rejected=counts.rejected,
        )
        return outcome

    def _input_digest(self, delivery: _Delivery, superseded: SupersededHere) -> str:
        # Where and when a document was fetched is not part of it: the same bytes make the same rows.
        documents = [
            (one.role, one.sha256, one.name, one.created_at, one.declared_count)
            for one in (*delivery.kept, *documents_of(delivery.manifest, "inventory"))
            if one.role not in UNREAD_ROLES
        ]
        # One that a refusal kept from us last time is listed once it comes, whatever bytes it has this time.
        vouchers = sorted((one.role, one.name) for one in delivery.kept if one.role in UNREAD_ROLES & BESIDE_ROLES)
        claims = sorted(
            (sha256, invoice_id, owner.period, owner.sha256)
            for sha256, invoices in superseded.items()
            for invoice_id, owner in invoices.items()
        )
        gaps = (*delivery.manifest.content["gaps"], *delivery.documents.gaps)
        operator = self._operator.model_dump(mode="json", include={"name", "profile", "reconciliation"})
        return digest_of(rules_digest(), operator, documents, vouchers, claims, gaps)


def _has_lines(current: PartitionLoad | None) -> bool:
    return current is not None and bool(current.contents.get("invoice_lines", {}).get("rows"))


def _rank(document: Kept) -> tuple[object, ...]:
    """Oldest first: by when the source created it, else by its name, `_v2` before `_v10`."""
    return (document.created_at or "", stem_order(document.name), document.sha256)


def _stored_holdings(work: PartitionWork, period: str, offered: list[Holding] | None) -> list[Holding]:
    """What is stored of the period's invoices, in whichever period: those it holds or `offered` holds, all for null.

    An operator has as many holdings as invoices, and all but the few of one period are of no interest here: with 100
    other partitions of 1 000 invoices making objects of all of them took a second.
    """
    stored = work.read("invoice_documents", columns=["invoice_id", "period", "source_sha256"])
    if offered is not None:
        here = pc.equal(stored["period"], period)
        wanted = pa.chunked_array(
            [*stored["invoice_id"].filter(here).chunks, pa.array([one.invoice_id for one in offered], pa.string())]
        )
        stored = stored.filter(pc.is_in(stored["invoice_id"], wanted))
    return [Holding(row["invoice_id"], row["period"], row["source_sha256"]) for row in stored.to_pylist()]


def _not_evaluated(work: PartitionWork, detail: str | None, counts: RowCounts) -> pa.Table:
    """The summary row of a partition without verdicts: its counters are kept, its counts and amounts are null."""
    row = {
        "state": NOT_EVALUATED,
        "state_detail": detail,
        "files": counts.files,
        "rows_read": counts.read,
        "rows_rejected": counts.rejected,
    }
    return pa.Table.from_pylist([row], schema=work.content_schema("reconciliation_summary"))
