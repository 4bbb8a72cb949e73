"""Which alerts were raised and who has taken them: one small file per event under data_dir/alerts, until it is over.

One outbox serves the command line and the daemon, which is what keeps one event from being told by both. A file is
there from the moment its event is met until the event is over, so meeting it again tells nobody again.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from billing_pipeline.alerts.alert import Alert, Kind, fit
from billing_pipeline.alerts.channels import Channel, NotSent
from billing_pipeline.errors import StorageError
from billing_pipeline.storage.durable import make_directory, write_json


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert in the outbox and the channels that have taken it, each with the instant."""

    alert: Alert
    sent: dict[str, str]


class Outbox:
    """The events that are not over. StorageError when the disk does not take or give them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def raise_all(self, alerts: Iterable[Alert]) -> None:
        """Keep those that are not there yet."""
        with self._locked():
            for alert in alerts:
                if not self._path(alert.key).exists():
                    self._write(Raised(alert, {}))

    def settle(self, over: Callable[[Alert], bool]) -> None:
        """Forget the events that are over, told or not: met again, they are new ones."""
        with self._locked():
            for raised in self._read():
                if over(raised.alert):
                    self._path(raised.alert.key).unlink(missing_ok=True)

    def raised(self) -> list[Raised]:
        """Every event that is not over, the oldest first."""
        with self._locked():
            return self._read()

    def deliver(self, channels: Sequence[Channel]) -> list[str]:
        """Hand every channel what it has not taken, as one message; why it did not take it, in one line each.

        A message is marked after it was taken: a process killed in between sends it twice rather than never.
        """
        faults = []
        with self._locked():
            for channel in channels:
                waiting = [raised for raised in self._read() if channel.name not in raised.sent]
                if not waiting:
                    continue
                try:
                    channel.send([raised.alert for raised in waiting])
                except NotSent as fault:
                    faults.append(
                        f"{fault}; what it should have said is kept for the next try (alerts: {len(waiting)})"
                    )
                    continue
                for raised in waiting:
                    self._write(Raised(raised.alert, {**raised.sent, channel.name: datetime.now(UTC).isoformat()}))
        return faults

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _write(self, raised: Raised) -> None:
        alert = raised.alert
        content = {
            "key": alert.key,
            "kind": alert.kind.value,
            "text": fit(alert.text),
            "raised_at": alert.raised_at.isoformat(),
            "operator_code": alert.operator_code,
            "period": alert.period,
            "sent": raised.sent,
        }
        write_json(self._path(alert.key), content)

    def _read(self) -> list[Raised]:
        found = []
        for path in self._folder.glob("*.json"):
            try:
                content = json.loads(path.read_bytes())
                alert = Alert(
                    content["key"],
                    Kind(content["kind"]),
                    content["text"],
                    datetime.fromisoformat(content["raised_at"]),
                    content["operator_code"],
                    content["period"],
                )
                found.append(Raised(alert, dict(content["sent"])))
            except (ValueError, KeyError, TypeError):
                # Damaged: what is still true is raised anew, and one bad file must not silence all other alerts.
                path.unlink(missing_ok=True)
        return sorted(found, key=lambda raised: (raised.alert.raised_at, raised.alert.key))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; the lock goes with the process, however it ends."""
        try:
            make_directory(self._folder)
            with (self._folder / ".lock").open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StorageError(f"{self._folder}: cannot be used: {error.strerror}; mend its permissions") from None
