"""What an alert is, and how several of them read in one message. Sends nothing, stores nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# Longer than any message of ours; what an operator's file name or a driver adds beyond is cut.
_LONGEST_TEXT = 600
_SHOWN = 50


class Kind(StrEnum):
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    LATE = "late"
    KEY_EXPIRES = "key_expires"


_WORDS = {
    Kind.FAILED: "failed",
    Kind.INCOMPLETE: "incomplete",
    Kind.LATE: "late",
    Kind.KEY_EXPIRES: "expiring key",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One event. `key` is what makes it the same event when it is met again; `text` is one line that holds no secret.

    `operator_code` and `period` are those of the partition it is about; null where it is about no partition.
    """

    key: str
    kind: Kind
    text: str
    raised_at: datetime
    operator_code: str | None = None
    period: str | None = None


def failed(about: str, text: str, now: datetime) -> Alert:
    """A run that failed. `about` is its partition, `ORANGE|2024-03`, `|2024-03` for a month of no operator's, or a job;
    one alert until it has succeeded."""
    code, _, period = about.partition("|")
    return Alert(f"{Kind.FAILED}|{about}", Kind.FAILED, text, now, (code or None) if period else None, period or None)


def subject(alerts: Sequence[Alert]) -> str:
    """`billing_pipeline: 2 failed, 1 incomplete`."""
    counts = Counter(alert.kind for alert in alerts)
    return "billing_pipeline: " + ", ".join(f"{counts[kind]} {_WORDS[kind]}" for kind in Kind if counts[kind])


def body(alerts: Sequence[Alert]) -> str:
    """One line per alert, the first fifty."""
    lines = [f"{_WORDS[alert.kind].upper()}: {fit(alert.text)}" for alert in alerts[:_SHOWN]]
    if len(alerts) > _SHOWN:
        lines.append(f"… and {len(alerts) - _SHOWN} more; see the Dagster UI or: billing-pipeline summary")
    return "\n".join(lines) + "\n"


def fit(text: str) -> str:
    """On one line, without control characters, of bearable length."""
    words = " ".join(text.split())
    shown = "".join(letter if letter.isprintable() else "�" for letter in words)
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]}…"
