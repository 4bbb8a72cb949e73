"""One period's records, kept twice: every event goes into the journal, then into the table, and only then is anything sent.

So a crash leaves the journal ahead by its very last event at the most, which the next opening carries over: nothing was
sent after it. Any other difference means that one of the two is not ours as we left it, and nothing is created until
somebody has looked: RecordsDisagree.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from billing_pipeline.errors import RecordsDisagree, StorageError
from billing_pipeline.rebilling.record import Event, Record, fold
from billing_pipeline.storage.customer_invoices import InvoiceTables
from billing_pipeline.storage.journal import Journal, exclusive

LOCK_WAIT_S = 10.0
BUSY = "another rebill is at work; wait until it has ended, then run this one again"
# What the row of customer_invoices must say as the events do; the rest of it follows from the same events.
_COMPARED = ("state", "invoicing_id", "number", "pdf_sha256", "credit_note_id", "credit_note_number")
_NAMES = tuple(one.name for one in fields(Event))


@contextmanager
def writers_lock(folder: Path, url: str, *, wait_s: float = LOCK_WAIT_S) -> Iterator[InvoiceTables]:
    """The tables, while no other rebill on this folder or this database is at work; StorageError otherwise."""
    with ExitStack() as stack:
        stack.enter_context(exclusive(folder / ".lock", wait_s=wait_s, busy=BUSY))
        yield stack.enter_context(InvoiceTables.opened(url, lock_wait_s=wait_s, busy=BUSY))


class Books:
    """The records of one period, which `write` moves on. Made under the writers' lock, and of no use after it."""

    def __init__(
        self,
        journal: Journal,
        tables: InvoiceTables,
        period: str,
        *,
        run_id: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal, self._tables = journal, tables
        self.period, self._run_id, self._now = period, run_id, now
        self._records: dict[str, Record] = {}
        self._unusable = False

    def load(self) -> Self:
        """Read both, carry over the event a crash left in the journal alone, and compare. RecordsDisagree names the first."""
        told = self._journal_events()
        stored = stored_events(self._tables, self.period)
        self._carry_over(told, stored)
        rows = {row["customer_id"]: row for row in self._tables.invoices(self.period)}
        for customer_id in sorted({*told, *stored, *rows}):
            ours = told.get(customer_id, [])
            record = fold(customer_id, self.period, ours)
            same = [one.digest for one in ours] == [one.digest for one in stored.get(customer_id, [])]
            row = rows.get(customer_id)
            if not same or not _says(row, record):
                raise self._disagreement(record, stored.get(customer_id, []), row)
            self._records[customer_id] = record
        return self

    def record(self, customer_id: str) -> Record:
        return self._records.get(customer_id) or Record(customer_id, self.period)

    @property
    def records(self) -> dict[str, Record]:
        return dict(self._records)

    def write(self, customer_id: str, event: str, content: Mapping[str, Any]) -> Record:
        """Write one event down, durably and in both places, before returning the record it leads to."""
        if self._unusable:
            raise StorageError("an event could not be written down before; nothing more is sent in this run")
        before = self.record(customer_id)
        at = self._now().astimezone(UTC).isoformat()
        made = Event(customer_id, self.period, before.sequence + 1, at, event, dict(content), self._run_id)
        made = made.sealed(before.digest)
        after = before.after(made)
        self._unusable = True
        self._journal.append(asdict(made))
        self._tables.write(asdict(made), after.row(), after.line_rows() if event in ("planned", "withdrawn") else None)
        self._unusable = False
        self._records[customer_id] = after
        return after

    def mend(self) -> list[str]:
        """Where one of the two is the beginning of the other, complete it; the customers it was done for.

        An explicit act: it decides that the longer one is true. RecordsDisagree where neither is.
        """
        told, stored = self._journal_events(), stored_events(self._tables, self.period)
        rows = {row["customer_id"]: row for row in self._tables.invoices(self.period)}
        mended = []
        for customer_id in sorted({*told, *stored, *rows}):
            ours, theirs = told.get(customer_id, []), stored.get(customer_id, [])
            common = min(len(ours), len(theirs))
            record = fold(customer_id, self.period, ours)
            # The table's events are written down as true only where they follow from each other as the journal's must.
            sound = all(_continues(theirs[:index], one) for index, one in enumerate(theirs))
            same = [one.digest for one in ours[:common]] == [one.digest for one in theirs[:common]]
            if not sound or not same or not (ours or theirs):
                raise self._disagreement(record, theirs, rows.get(customer_id), mendable=False)
            for one in theirs[common:]:
                self._journal.append(asdict(one))
            whole = [*ours, *theirs[common:]]
            for index in range(common, len(ours)):
                self._store(whole[: index + 1])
            record = fold(customer_id, self.period, whole)
            if len(ours) != len(theirs) or not _says(rows.get(customer_id), record):
                self._tables.rewrite(record.row(), record.line_rows())
                mended.append(customer_id)
        return mended

    def _carry_over(self, told: dict[str, list[Event]], stored: dict[str, list[Event]]) -> None:
        last = self._last
        if last is None or len(told[last.customer_id]) != len(stored.get(last.customer_id, [])) + 1:
            return
        others = all(len(stored.get(one, [])) == len(events) for one, events in told.items() if one != last.customer_id)
        before = stored.get(last.customer_id, [])
        if others and [one.digest for one in before] == [one.digest for one in told[last.customer_id][:-1]]:
            self._store(told[last.customer_id])
            stored[last.customer_id] = told[last.customer_id]

    def _store(self, events: list[Event]) -> None:
        """Put the last of `events` into the table, and the row they lead to."""
        record = fold(events[-1].customer_id, self.period, events)
        self._tables.write(asdict(events[-1]), record.row(), record.line_rows())

    def _journal_events(self) -> dict[str, list[Event]]:
        """By customer; the last of the file in `_last`. RecordsDisagree names a line that does not follow from those before."""
        found: dict[str, list[Event]] = {}
        self._last: Event | None = None
        for number, line in enumerate(self._journal.read(), start=1):
            event = Event(**line) if set(line) == set(_NAMES) else None
            before = found.setdefault(event.customer_id, []) if event is not None else []
            if event is None or event.period != self.period or not _continues(before, event):
                raise RecordsDisagree(
                    f"{self._journal.path}: line {number} does not follow from the lines before it: the file was changed; "
                    "restore it from a backup. Nothing is created until then"
                )
            before.append(event)
            self._last = event
        return found

    def _disagreement(
        self, record: Record, stored: list[Event], row: Mapping[str, Any] | None, *, mendable: bool = True
    ) -> RecordsDisagree:
        in_table = "nothing" if row is None else f"{row['state']}{_numbered(row['number'])}"
        in_journal = f"{record.state}{_numbered(record.invoice.number)}" if record.sequence else "nothing"
        remedy = "restore the one that is not as we left it from its backup"
        if mendable:
            remedy += f", or, where the shorter only lacks the latest, run rebill --period {self.period} --mend-records"
        return RecordsDisagree(
            f"{record.customer_id} {self.period}: the journal {self._journal.path} says {in_journal} "
            f"({record.sequence} events), table rebilling.customer_invoices says {in_table} ({len(stored)} events); nothing "
            f"is created until they agree: {remedy}"
        )


def _numbered(number: str | None) -> str:
    return f" {number}" if number else ""


def _continues(before: list[Event], event: Event) -> bool:
    return event.sequence == len(before) + 1 and event.follows(before[-1].digest if before else "")


def _says(row: Mapping[str, Any] | None, record: Record) -> bool:
    """Whether the row tells what the events come to."""
    expected = record.row()
    return row is not None and all(row[name] == expected[name] for name in _COMPARED)


def stored_events(tables: InvoiceTables, period: str) -> dict[str, list[Event]]:
    """The table's events by customer, in order. `at` is written as the journal has it."""
    found: dict[str, list[Event]] = {}
    for row in tables.events(period):
        at = row["at"].astimezone(UTC).isoformat()
        found.setdefault(row["customer_id"], []).append(Event(**{**row, "at": at}))
    return found
