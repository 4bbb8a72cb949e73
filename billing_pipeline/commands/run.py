"""`run`: materialises periods through Dagster in two phases, prints a line per step, ends with the summary."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from billing_pipeline.commands.alerts import tell_of_run, telling_of_failure
from billing_pipeline.commands.marts import make_marts
from billing_pipeline.commands.requests import Request
from billing_pipeline.commands.step_display import step_display
from billing_pipeline.config import BillingConfig, Operator
from billing_pipeline.defs.instance import open_instance, prepare_home
from billing_pipeline.defs.launch import Launcher, Phase, fail_abandoned_runs, has_ended
from billing_pipeline.defs.location import code_location
from billing_pipeline.errors import UserError
from billing_pipeline.normalize.claims import parse_claims, read_claim_files
from billing_pipeline.normalize.inventory import parse_inventory, read_files
from billing_pipeline.periods import Period
from billing_pipeline.reports.summary import as_table, summaries
from billing_pipeline.steps.collect import (
    COMPLETE,
    collection_session,
    manifest_to_load,
    open_source,
    source_warnings,
)
from billing_pipeline.steps.reconcile import stale_periods
from billing_pipeline.steps.spark_session import require_engine
from billing_pipeline.steps.workspace import Workspace, discard_scratch

EXIT_COMPLETE, EXIT_FAILED, EXIT_INCOMPLETE = 0, 1, 3
Partition = tuple[Operator, Period]
# Materialised once everything of their step is committed: without them the partition has failed.
LAST_LOADED = frozenset({"invoice_lines", "payments"})


@dataclass
class _Progress:
    """What became of the partitions so far."""

    failed: dict[tuple[str, Period], str] = field(default_factory=dict)
    incomplete: dict[tuple[str, Period], str] = field(default_factory=dict)
    user_error: bool = False
    marts_failed: bool = False

    def exit_code(self) -> int:
        if self.user_error:
            return UserError.exit_code
        return (
            EXIT_FAILED if self.failed or self.marts_failed else EXIT_INCOMPLETE if self.incomplete else EXIT_COMPLETE
        )


def run(request: Request, *, from_raw: bool, refresh_stale: bool) -> int:
    """Collect and load every partition, then reconcile each; the exit code says how complete that is."""
    with telling_of_failure(request.config):
        return _run(request, from_raw, refresh_stale)


def _run(request: Request, from_raw: bool, refresh_stale: bool) -> int:
    config = request.config
    require_engine(config)
    _check_inputs(config, request.operators, request.periods, from_raw)
    with Workspace.open(config) as workspace:
        home = prepare_home(config, workspace.databases)
        with open_instance(home) as instance:
            fail_abandoned_runs(instance)
            discard_scratch(config, partial(has_ended, instance))
            launcher = Launcher(code_location(config, marts=False), instance)
            return _run_partitions(workspace, launcher, request.operators, request.periods, from_raw, refresh_stale)


def _check_inputs(
    config: BillingConfig, operators: Sequence[Operator], periods: Sequence[Period], from_raw: bool
) -> None:
    """Inventory and secrets, before anything is touched."""
    codes = [operator.code for operator in config.operators]
    warnings: dict[str, None] = {}
    checked = set()
    warnings.update(dict.fromkeys(parse_claims(read_claim_files(config.services), codes).warnings))
    for period in periods:
        files = read_files(config.services, period)
        paths = tuple(file.path for file in (files.services, files.prices, files.charges) if file is not None)
        if paths not in checked:
            checked.add(paths)
            warnings.update(dict.fromkeys(parse_inventory(files, codes).warnings))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for operator in operators:
        for warning in source_warnings(operator):
            print(f"warning: {warning}", file=sys.stderr)
        if not from_raw:
            open_source(operator).close()


def _run_partitions(
    workspace: Workspace,
    launcher: Launcher,
    operators: Sequence[Operator],
    periods: Sequence[Period],
    from_raw: bool,
    refresh_stale: bool,
) -> int:
    progress = _Progress()
    partitions = [(operator, period) for period in periods for operator in operators]
    with step_display(2 * len(partitions) + 1) as starting:
        with collection_session():
            for operator, period in partitions:
                starting(f"{operator.code} {period} collect")
                _collect(workspace, launcher, (operator, period), from_raw, progress)
        # An incomplete attempt leaves an evaluated period as it was, and reconciling it records what was missing.
        for operator, period in partitions:
            starting(f"{operator.code} {period} reconcile")
            if (operator.code, period) not in progress.failed:
                _step(launcher, (operator, period), "reconcile", progress)
        for operator, period in _stale(workspace, operators) if refresh_stale else []:
            starting(f"{operator.code} {period} reconcile")
            _step(launcher, (operator, period), "reconcile", progress)
        starting("marts")
        progress.marts_failed = not make_marts(workspace, launcher)
    _report(workspace, operators, periods, progress)
    about = [(operator.code, period) for operator, period in partitions]
    tell_of_run(workspace, about, progress.failed, marts_failed=progress.marts_failed)
    return progress.exit_code()


def _collect(
    workspace: Workspace, launcher: Launcher, partition: Partition, from_raw: bool, progress: _Progress
) -> None:
    operator, period = partition
    outcome = launcher.run(operator.code, period, "collect", from_raw=from_raw)
    if not outcome.materialized >= LAST_LOADED:
        _failed(partition, "collect", outcome.seconds, outcome.failure, outcome.exit_code, progress)
        return
    manifest = manifest_to_load(workspace, operator.code, period, outcome.run_id)
    if manifest.state == COMPLETE:
        _line(operator, period, "collect", outcome.seconds, f"{len(manifest.content['documents'])} documents, complete")
    else:
        progress.incomplete[operator.code, period] = manifest.detail or ""
        _line(operator, period, "collect", outcome.seconds, f"INCOMPLETE: {manifest.detail}")
    warned = source_warnings(operator)
    for note in manifest.content.get("notes", []):
        if note not in warned:
            print(f"{operator.code} {period} note: {note}", flush=True)


def _step(launcher: Launcher, partition: Partition, phase: Phase, progress: _Progress) -> None:
    operator, period = partition
    outcome = launcher.run(operator.code, period, phase)
    if outcome.failure is not None:
        _failed(partition, phase, outcome.seconds, outcome.failure, outcome.exit_code, progress)
        return
    _line(operator, period, phase, outcome.seconds, "done")


def _failed(
    partition: Partition, phase: str, seconds: float, failure: str | None, exit_code: int, progress: _Progress
) -> None:
    operator, period = partition
    progress.failed[operator.code, period] = failure or "failed"
    progress.user_error |= exit_code == UserError.exit_code
    _line(operator, period, phase, seconds, "FAILED")
    about = f"{operator.code} {period}: "
    print(f"billing-pipeline: {about}{(failure or 'failed').removeprefix(about)}", file=sys.stderr, flush=True)


def _line(operator: Operator, period: Period, phase: str, seconds: float, text: str) -> None:
    print(f"{operator.code} {period} {phase:<9} {seconds:5.1f} s  {text}", flush=True)


def _stale(workspace: Workspace, operators: Sequence[Operator]) -> list[Partition]:
    return [
        (operator, Period.parse(period)) for operator in operators for period in stale_periods(workspace, operator.code)
    ]


def _report(
    workspace: Workspace, operators: Sequence[Operator], periods: Sequence[Period], progress: _Progress
) -> None:
    codes = [operator.code for operator in operators]
    rows = summaries(workspace.partitions, periods, codes)
    print()
    print(as_table(rows))
    stale = _stale(workspace, operators)
    if stale:
        named = ", ".join(f"{operator.code} {period}" for operator, period in stale)
        print(f"\nlate documents have made these periods stale: {named}; --refresh-stale recomputes them")
    if progress.failed:
        print(
            f"\n{len(progress.failed)} of {len(codes) * len(periods)} partitions failed; what was stored is unchanged"
        )
