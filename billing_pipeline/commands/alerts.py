"""What `run` tells the people who are not watching it. Nothing in here changes how a run ends."""

import datetime as dt
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from billing_pipeline.alerts.alert import Alert, Kind, failed
from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import BillingError
from billing_pipeline.periods import Period
from billing_pipeline.steps.conditions import outbox_of, review, tell
from billing_pipeline.steps.workspace import Workspace

_COMMAND, _MARTS = "run", "marts"
_Key = tuple[str, Period]


def tell_of_run(
    workspace: Workspace, partitions: Collection[_Key], failures: Mapping[_Key, str], *, marts_failed: bool
) -> None:
    """Alert about partitions that failed, and about what the books show after a run that got to its end."""
    config = workspace.config
    if config.alerts is None:
        return
    now = dt.datetime.now(dt.UTC)
    told = [failed(_name(key), _about(key, text), now) for key, text in failures.items()]
    if marts_failed:
        told.append(failed(_MARTS, "the analysts' views could not be made; see the run's own output", now))
    over = {_name(key) for key in partitions} | {_COMMAND, _MARTS}
    standing = {alert.key for alert in told}
    keys = {f"{Kind.FAILED}|{name}" for name in over} - standing
    try:
        outbox_of(config).settle(lambda alert: alert.key in keys)
        review(workspace, now)
    except BillingError as error:
        _warn(str(error))
    _tell(config, told)


@contextmanager
def telling_of_failure(config: BillingConfig) -> Iterator[None]:
    """A run that ends before its first partition, by a broken inventory or a database that is away, is told too."""
    try:
        yield
    except BillingError as error:
        _tell(config, [failed(_COMMAND, f"run ended early: {error}", dt.datetime.now(dt.UTC))])
        raise


def _tell(config: BillingConfig, alerts: list[Alert]) -> None:
    try:
        faults = tell(config, alerts)
    except BillingError as error:
        faults = [str(error)]
    for fault in faults:
        _warn(fault)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _name(key: _Key) -> str:
    return f"{key[0]}|{key[1]}"


def _about(key: _Key, text: str) -> str:
    about = f"{key[0]} {key[1]}: "
    return f"{about}{text.removeprefix(about)}"
