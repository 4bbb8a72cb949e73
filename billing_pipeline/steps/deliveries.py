"""Which files have landed in the operators' drop folders and whose months they are for. Starts nothing, loads nothing.

What was seen is carried from look to look in a text of bounded size, so that a delivery is met once, whoever restarts
in between. A file that is still being written is left alone until its size and time have stood still.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from billing_pipeline.config import BillingConfig, Operator
from billing_pipeline.errors import BillingError, RefusedFile, as_text
from billing_pipeline.periods import Period, last_complete_period
from billing_pipeline.sources.r189_files import has_charges
from billing_pipeline.steps.file_periods import period_of_file
from billing_pipeline.storage.raw import RawStore

# A copy that stalls for as long as this is as good as ended; a slower one is delivered a second time when it is.
MIN_AGE_S = 30.0
# Sixteen bytes each keep the text under 100 KB; older files are the first not to be watched any more.
MOST_FILES = 4000
# Reading a file for its month takes seconds per 100 MB, and a sensor's tick is cut off after 60 s.
BUDGET_S = 20.0
_VERSION = 1
_UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Files of one partition that are new: `key` is the same for the same files, however often they are met."""

    operator_code: str
    period: Period
    names: tuple[str, ...]
    key: str


@dataclass(slots=True)
class Look:
    """What one look found: deliveries to be run, lines to be told once, and what the next look is given."""

    deliveries: list[Delivery] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    waiting: int = 0
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    """One file as the folder lists it. `mark` changes with its name, size or time; `changed_ns` orders arrivals."""

    path: Path
    mark: str
    changed_ns: int
    age_s: float

    @property
    def name(self) -> str:
        return as_text(self.path.name)


def drop_folder(operator: Operator) -> Path | None:
    """Where the operator's files land; null for one whose source has no such folder."""
    source = operator.source
    if source.type == "r189_files":
        return source.folder
    return source.drop_folder if source.type == "orange_b2b" else None


def look(config: BillingConfig, raw: RawStore, cursor: str | None, now: datetime | None = None) -> Look:
    """One look at every drop folder, given the cursor of the look before (None: the first)."""
    moment = now or datetime.now(UTC)
    before, found = _parsed(cursor), Look()
    after: dict[str, Any] = {"version": _VERSION, "operators": {}}
    until = time.monotonic() + BUDGET_S
    for operator in config.operators:
        folder = drop_folder(operator)
        if folder is not None:
            seen = before.get(operator.code, {})
            after["operators"][operator.code] = _look_at(config, raw, operator, folder, seen, moment, until, found)
    found.cursor = json.dumps(after, separators=(",", ":"))
    return found


def _look_at(
    config: BillingConfig,
    raw: RawStore,
    operator: Operator,
    folder: Path,
    seen: dict[str, Any],
    now: datetime,
    until: float,
    found: Look,
) -> dict[str, Any]:
    """The folder's state for the next look: marks that are `known`, and those `moving` that may still be written."""
    try:
        files = sorted(_files(operator, folder, now), key=lambda file: file.changed_ns)
    except OSError as error:
        line = f"{operator.code}: {folder} cannot be read ({error.strerror}); create the folder or correct its path"
        if seen.get("unreadable") != line:
            found.told.append(line)
        return {**seen, "unreadable": line}
    known, moving, waiting = set(seen.get("known", ())), set(seen.get("moving", ())), dict(seen.get("waiting", {}))
    share = max(1, MOST_FILES // len(config.operators))
    state: dict[str, Any] = {"known": [], "moving": [], "waiting": {}}
    landed: dict[Period, list[_File]] = {}
    for file in files[-share:]:
        if file.mark in known:
            state["known"].append(file.mark)
            continue
        settled = file.mark in moving and file.age_s >= MIN_AGE_S
        if not settled or time.monotonic() > until:
            state["moving"].append(file.mark)
            if file.mark in waiting:
                state["waiting"][file.mark] = waiting[file.mark]
            found.waiting += 1
            continue
        period = _month(config, operator, file, waiting.get(file.mark), now, state, found)
        if period is not None and not _is_collected(raw, operator, period, file.path):
            landed.setdefault(period, []).append(file)
    found.deliveries += [_delivery(raw, operator, period, arrived) for period, arrived in sorted(landed.items())]
    return state


def _month(
    config: BillingConfig,
    operator: Operator,
    file: _File,
    known: str | None,
    now: datetime,
    state: dict[str, Any],
    found: Look,
) -> Period | None:
    """The settled file's month if that can be run; else null, and why not is told once. Writes the file into `state`.

    `known`: the month an earlier look found it to wait for, or `_UNREAD` where it could not be opened.
    """
    try:
        period = Period.parse(known) if known and known != _UNREAD else period_of_file(file.path, operator.profile)
    except RefusedFile as refusal:
        found.told.append(as_text(f"{operator.code}: {refusal}"))
        state["known"].append(file.mark)
        return None
    except BillingError as error:
        if known != _UNREAD:
            found.told.append(as_text(f"{operator.code}: {error}"))
        state["moving"].append(file.mark)
        state["waiting"][file.mark] = _UNREAD
        return None
    if period > last_complete_period(now):
        # It is run once its month is over, and there is a partition for it.
        state["moving"].append(file.mark)
        state["waiting"][file.mark] = str(period)
        if known is None:
            found.told.append(f"{operator.code}: {file.name} is for {period}, which is not over yet; it waits")
        return None
    state["known"].append(file.mark)
    if period < Period.parse(config.first_period):
        first = config.first_period
        found.told.append(f"{operator.code}: {file.name} is for {period}, before first_period {first}; set it back")
        return None
    return period


def _files(operator: Operator, folder: Path, now: datetime) -> Iterator[_File]:
    for path in folder.iterdir():
        # In an Orange folder a file is called what its report is, with or without an ending.
        charges = operator.source.type != "r189_files" or has_charges(path.name)
        if path.name.startswith(".") or not charges:
            continue
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue  # moved away while we look
        if path.is_file():
            age_s = now.timestamp() - max(stat.st_mtime, stat.st_ctime)
            yield _File(path, _mark(path.name, stat.st_size, stat.st_mtime_ns), stat.st_ctime_ns, age_s)


def _mark(name: str, size: int, modified_ns: int) -> str:
    """Twelve hex digits: two of 4000 files share theirs by chance once in 35 million folders."""
    return hashlib.sha256(f"{name}\0{size}\0{modified_ns}".encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _is_collected(raw: RawStore, operator: Operator, period: Period, path: Path) -> bool:
    """Whether the latest collection of the month has these bytes under this name already."""
    latest = raw.latest(operator.code, str(period))
    if latest is None:
        return False
    names = {one["sha256"] for one in latest.content.get("documents", ()) if one["name"] == as_text(path.name)}
    if not names:
        return False
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() in names
    except OSError:
        return False  # its run says why it cannot be read; here it must not keep all other files from being met


def _delivery(raw: RawStore, operator: Operator, period: Period, files: list[_File]) -> Delivery:
    """The key also names the collection that lacks these files: a file put back as it was, its time included, is news
    again after another had taken its place."""
    latest = raw.latest(operator.code, str(period))
    about = [latest.path.name if latest else "", *sorted(file.mark for file in files)]
    names = tuple(sorted(file.name for file in files))
    digest = hashlib.sha256(" ".join(about).encode()).hexdigest()[:16]
    return Delivery(operator.code, period, names, f"{operator.code}|{period}|{digest}")


def _parsed(cursor: str | None) -> dict[str, Any]:
    """What the look before left; nothing when there was none, or it was another version's."""
    try:
        content = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return dict(content["operators"]) if isinstance(content, dict) and content.get("version") == _VERSION else {}
