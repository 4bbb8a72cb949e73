"""What the books and the configuration show that somebody should know of: incomplete months, late ones, expiring keys.

Found by looking, not by being told: whoever looks finds the same, the command line after its run and the daemon on its
next tick, and the outbox tells it once.
"""

import datetime as dt
import os
from collections.abc import Iterable, Mapping

from billing_pipeline.alerts.alert import Alert, Kind
from billing_pipeline.alerts.channels import channels
from billing_pipeline.alerts.outbox import Outbox
from billing_pipeline.config import BillingConfig, Operator
from billing_pipeline.periods import PARIS, Period, last_complete_period
from billing_pipeline.steps.collect import COMPLETE, source_warnings
from billing_pipeline.steps.fingerprint import digest_of
from billing_pipeline.steps.load import COLLECT_PHASE, EVALUATED
from billing_pipeline.steps.reconcile import RECONCILE_PHASE
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.ledger import PartitionLoad

# A key is told when the warning of its end begins, two weeks before the end, and once it has ended.
_KEY_STAGES_DAYS = (60, 14, -1)


def outbox_of(config: BillingConfig) -> Outbox:
    return Outbox(config.storage.data_dir / "alerts")


def tell(config: BillingConfig, alerts: Iterable[Alert], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Raise these and hand over whatever waits; why a channel did not take it, in one line each. Nothing is done and
    nothing kept where billing.yaml has no `alerts`."""
    if config.alerts is None:
        return []
    outbox = outbox_of(config)
    outbox.raise_all(alerts)
    return outbox.deliver(channels(config, environ))


def review(workspace: Workspace, now: dt.datetime) -> None:
    """Put what stands wrong into the outbox and forget what no longer does. Failed runs are not seen here."""
    if workspace.config.alerts is None:
        return
    found = conditions(workspace, now)
    keys = {alert.key for alert in found}
    outbox = outbox_of(workspace.config)
    outbox.settle(lambda alert: alert.kind is not Kind.FAILED and alert.key not in keys)
    outbox.raise_all(found)


def conditions(workspace: Workspace, now: dt.datetime) -> list[Alert]:
    """Every condition that holds now, of every configured operator."""
    ledger = workspace.partitions.ledger()
    found = []
    for operator in workspace.config.operators:
        found += [
            _incomplete(load, now)
            for load in ledger
            if load.operator_code == operator.code and load.phase == COLLECT_PHASE and _detail(load) is not None
        ]
        found += _expiring_key(operator, now)
    return found + _late(workspace.config, ledger, now)


def late_operators(workspace: Workspace, now: dt.datetime) -> tuple[Period, list[str]]:
    """The month that should have verdicts by now, and the operators that have none for it; nobody is late before
    `freshness_day`."""
    return _without_verdicts(workspace.config, workspace.partitions.ledger(), now)


def _without_verdicts(
    config: BillingConfig, ledger: Iterable[PartitionLoad], now: dt.datetime
) -> tuple[Period, list[str]]:
    period = last_complete_period(now)
    if now.astimezone(PARIS).day < config.freshness_day:
        period = period.shift(-1)
    if period < Period.parse(config.first_period):
        return period, []
    evaluated = {
        load.operator_code
        for load in ledger
        if load.phase == RECONCILE_PHASE and load.state == EVALUATED and load.period == str(period)
    }
    return period, [operator.code for operator in config.operators if operator.code not in evaluated]


def _late(config: BillingConfig, ledger: Iterable[PartitionLoad], now: dt.datetime) -> list[Alert]:
    period, codes = _without_verdicts(config, ledger, now)
    return [
        Alert(
            f"{Kind.LATE}|{code}|{period}",
            Kind.LATE,
            f"{code} {period}: there are no verdicts, and day {config.freshness_day} of the month after has come; "
            f"run --period {period} --operator {code}",
            now,
            code,
            str(period),
        )
        for code in codes
    ]


def _incomplete(load: PartitionLoad, now: dt.datetime) -> Alert:
    detail = _detail(load)
    return Alert(
        f"{Kind.INCOMPLETE}|{load.operator_code}|{load.period}|{digest_of(detail)}",
        Kind.INCOMPLETE,
        f"{load.operator_code} {load.period}: {detail}",
        now,
        load.operator_code,
        load.period,
    )


def _detail(load: PartitionLoad) -> str | None:
    """What the latest collection lacked; null where it was complete."""
    if load.attempt_state is not None:
        return load.attempt_detail or "the latest attempt is incomplete"
    return None if load.state == COMPLETE else load.state_detail or "the collection is incomplete"


def _expiring_key(operator: Operator, now: dt.datetime) -> list[Alert]:
    source, today = operator.source, now.astimezone(PARIS).date()
    warnings = source_warnings(operator, today)
    if source.type != "orange_b2b" or source.api_key_expires_on is None or not warnings:
        return []
    left = (source.api_key_expires_on - today).days
    stage = min(days for days in _KEY_STAGES_DAYS if left <= days)
    key = f"{Kind.KEY_EXPIRES}|{operator.code}|{source.api_key_expires_on}|{stage}"
    return [Alert(key, Kind.KEY_EXPIRES, " ".join(warnings), now, operator.code)]
