"""`demo` and `sandbox`: the pipeline on generated operators, over real HTTP, real folders and an embedded PostgreSQL."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from starlette.applications import Starlette

from billing_pipeline.config import BillingConfig, load_config
from billing_pipeline.errors import UsageError
from billing_pipeline.sandbox.access import DEMO_SECRETS, INVOICING_KEY, NETWO_KEY
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.faults import fault_rules
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.server import SandboxServer, serve_forever
from billing_pipeline.sandbox.workspace import write_workspace

SANDBOX_KEY = DEMO_SECRETS[NETWO_KEY]
DEFAULT_PORT = 8189
PERIODS = ("2024-01", "2024-02", "2024-03")

EXAMPLE_SQL = """\
SELECT operator_code, period, reason_code, count(*) AS items, sum(difference) AS difference
FROM billing.reconciliation_items WHERE status <> 'MATCHED'
GROUP BY 1, 2, 3 ORDER BY abs(sum(difference)) DESC NULLS LAST LIMIT 5"""


def serve_sandbox(*, port: int, scale: int | None, faults: Sequence[str] = ()) -> int:
    """Serve until interrupted."""
    rules = fault_rules(faults)
    app = create_app(_reseller(scale), api_key=SANDBOX_KEY, faults=rules)
    print(f"sandbox on http://127.0.0.1:{port}, key {SANDBOX_KEY}; Ctrl-C ends it", flush=True)
    for name, value in DEMO_SECRETS.items():
        print(f"  export {name}={value}", flush=True)
    serve_forever(app, port)
    return 0


def demo(folder: Path) -> int:
    """Three operators, three periods; ends with what came out and where to look next."""
    from billing_pipeline.commands.requests import requested
    from billing_pipeline.commands.run import run

    reseller = _reseller(None)
    with sandbox_for(folder, reseller) as config:
        request = requested(config.path, periods=PERIODS, operators=None, needs_secrets=True)
        code = run(request, from_raw=False, refresh_stale=False)
        _print_whereabouts(config, folder)
    return code


@contextmanager
def sandbox_for(folder: Path, reseller: Reseller | None = None) -> Iterator[BillingConfig]:
    """The demo's folder written, its sandbox serving and its key in the environment, while the block runs."""
    reseller = reseller or _reseller(None)
    folder = folder.absolute()
    app = create_app(reseller, api_key=SANDBOX_KEY)
    os.environ.update(DEMO_SECRETS)
    with ExitStack() as stack:
        server = _serving(stack, app)
        path = write_workspace(folder, reseller, server.base_url)
        # The configuration outlives this sandbox; the next one serves on the usual port.
        stack.callback(write_workspace, folder, reseller, f"http://127.0.0.1:{DEFAULT_PORT}")
        yield load_config(path)
        print(f"\nthe sandbox answered {len(app.state.requests)} requests")


def _serving(stack: ExitStack, app: Starlette) -> SandboxServer:
    """On the same port each time, so that nothing in the folder changes; on another one where that is taken."""
    try:
        return stack.enter_context(SandboxServer(app, DEFAULT_PORT))
    except UsageError:
        return stack.enter_context(SandboxServer(app))


def _reseller(scale: int | None) -> Reseller:
    return generate_reseller() if scale is None else generate_reseller(scale=scale)


def _print_whereabouts(config: BillingConfig, folder: Path) -> None:
    from billing_pipeline.storage.servers import connect_databases

    url = connect_databases(config).billing
    with psycopg.connect(url) as connection:
        _print_unexplained(connection)
        print(f"\n{EXAMPLE_SQL};\n")
        for row in connection.execute(EXAMPLE_SQL):
            print("  " + " | ".join("–" if cell is None else str(cell) for cell in row))
    print(f"\nParquet   {config.storage.data_dir / 'parquet'}")
    print(f"database  {url}")
    print(f"dispute   billing-pipeline export --config {config.path} --period {PERIODS[0]}")
    print(
        "invoices  while `billing-pipeline sandbox` runs in another terminal:\n"
        f"          {INVOICING_KEY}={DEMO_SECRETS[INVOICING_KEY]} billing-pipeline rebill --config {config.path} "
        f"--period {PERIODS[0]}"
    )
    print(f"UI        make dev, or: billing-pipeline dev --demo {folder}  (then open http://127.0.0.1:3000)")


def _print_unexplained(connection: psycopg.Connection) -> None:
    row = connection.execute(
        """
        SELECT count(*) FILTER (WHERE reason_code = 'UNEXPLAINED'), count(*),
               coalesce(sum(abs(amount)) FILTER (WHERE reason_code = 'UNEXPLAINED'), 0), coalesce(sum(abs(amount)), 0)
        FROM billing.reconciliation_reasons
        """
    ).fetchone()
    assert row is not None
    unexplained, reasons, amount, total = row
    share = 100 * amount / total if total else 0
    print(
        f"\nUNEXPLAINED: {unexplained} of {reasons} reasons, {amount:.2f} of {total:.2f} in absolute terms ({share:.1f} %)"
    )
