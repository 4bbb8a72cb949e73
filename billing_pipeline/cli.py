"""The command line: which commands there are, what they accept, and how an error becomes one line and an exit code.

What a command does stands in commands/, which is imported only once its arguments are known to be right: help and
usage errors answer before pandas, Ibis or Dagster are loaded (5 s cold).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from billing_pipeline.errors import BillingError, UsageError
from billing_pipeline.sandbox.faults import list_faults

PROGRAM = "billing-pipeline"
EPILOG = """exit codes: 0 every requested partition complete; 3 at least one incomplete (the others are done and stored);
1 at least one failed; 2 usage, configuration or inventory"""
Command = Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    """argparse, with one-line errors."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser().parse_args(arguments)
        code = options.command(options)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        code = 130
    except BillingError as error:
        if debug:
            raise
        print(f"{PROGRAM}: {_one_line(error)}", file=sys.stderr)
        code = error.exit_code
    except Exception as error:
        if debug:
            raise
        print(
            f"{PROGRAM}: unexpected {type(error).__name__}: {_one_line(error)} (this is a defect; --debug shows where)",
            file=sys.stderr,
        )
        code = 1
    sys.exit(code)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--config", type=Path, metavar="FILE", help="the configuration; else BILLING_CONFIG, else ./billing.yaml"
    )
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = _Parser(
        prog=PROGRAM,
        description="Collect operators' invoices, reconcile them with the active services, explain every euro.",
        epilog=EPILOG,
        parents=[common],
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, about: str, command: Command | None, parent: Any = commands) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = parent.add_parser(name, help=about, description=about, parents=[common])
        made.set_defaults(command=command)
        return made

    run = add("run", "Collect, load and reconcile the operators' invoices of these periods.", _run)
    run.add_argument("--period", action="append", required=True, metavar="YYYY-MM", help="repeat for several")
    run.add_argument("--operator", action="append", metavar="CODE", help="repeat for several; default: all configured")
    run.add_argument("--from-raw", action="store_true", help="use the kept documents and no network")
    run.add_argument("--refresh-stale", action="store_true", help="also recompute periods that late documents changed")

    summary = add("summary", "Print the reconciliation summary of a period.", _summary)
    summary.add_argument("--period", required=True, metavar="YYYY-MM")
    summary.add_argument("--operator", action="append", metavar="CODE")
    summary.add_argument("--format", choices=("table", "json", "csv"), default="table")

    rebill = add(
        "rebill", "Prepare the customers' invoices of a period as drafts; finalize them when told to.", _rebill
    )
    rebill.add_argument("--period", metavar="YYYY-MM", help="required but with --credit")
    rebill.add_argument("--customer", action="append", metavar="C", help="repeat for several; default: all of them")
    rebill.add_argument("--finalize", action="store_true", help="finalize the invoices and download their PDFs")
    rebill.add_argument("--without-cost-check", action="store_true", help="do not wait for the operators' verdicts")
    instead = rebill.add_mutually_exclusive_group()
    instead.add_argument(
        "--credit", metavar="NUMBER", help="make the credit note of this finalized invoice, and no more"
    )
    instead.add_argument(
        "--give-up-draft", metavar="ID", help="make room for another draft: this one is gone, you have looked"
    )
    instead.add_argument(
        "--mend-records", action="store_true", help="complete the shorter of journal and table, and no more"
    )

    export = add("export", "Write the dispute workbooks of a period: one to send, one to keep.", _export)
    export.add_argument("--period", action="append", required=True, metavar="YYYY-MM", help="repeat for several")
    export.add_argument(
        "--operator", action="append", metavar="CODE", help="repeat for several; default: all configured"
    )

    inspect = add(
        "inspect", "Read an R189 file without loading it: profile, first rows, what would be rejected.", _inspect
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help=".csv or .csv.gz")
    inspect.add_argument("--operator", metavar="CODE", help="whose profile applies; default: the built-in defaults")

    add("check-config", "Check billing.yaml without contacting anything.", _check_config)

    sandbox = add("sandbox", "Serve the operators' APIs on 127.0.0.1 with generated data.", _sandbox)
    sandbox.add_argument("--port", type=_port, default=8189, metavar="N", help="default 8189; 0 takes a free one")
    sandbox.add_argument("--scale", type=_count, default=None, metavar="N", help="services per operator")
    sandbox.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME",
        help="repeat for several; [@PATH][:first=N|every=K|always]",
    )
    sandbox.formatter_class = argparse.RawDescriptionHelpFormatter
    sandbox.epilog = f"faults, and how often each happens unless said otherwise:\n{list_faults()}"

    docs = add("docs", "Serve the documentation of the analysts' views on 127.0.0.1.", _docs)
    docs.add_argument("--port", type=_port, default=8190, metavar="N", help="default 8190; 0 takes a free one")

    demo = add("demo", "Run three operators x three periods on embedded parts.", _demo)
    demo.add_argument("--folder", type=Path, default=Path("demo"), metavar="DIR", help="default ./demo")

    dev = add("dev", "Open the Dagster UI on the configured data: webserver and daemon.", _dev)
    dev.add_argument("--port", type=_port, default=3000, metavar="N")
    dev.add_argument("--demo", type=Path, metavar="DIR", help="on the demo's folder, with its sandbox running")

    serve = add("serve", "Serve the results over HTTP, read-only, in the billing hub's shapes.", _serve)
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default 127.0.0.1")
    serve.add_argument("--port", type=_port, default=8190, metavar="N", help="default 8190; 0 takes a free one")
    serve.add_argument("--insecure", action="store_true", help="without keys, on a loopback address only")

    db = add("db", "Our database: its schema and its server.", None)
    db_commands = db.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    add("upgrade", "Create or migrate the output schema.", _db("upgrade"), db_commands)
    add("url", "Print the connection URL, starting the embedded server where that is in use.", _db("url"), db_commands)
    add("stop", "Stop the embedded server.", _db("stop"), db_commands)
    return parser


def _port(text: str) -> int:
    number = _count(text, lowest=0)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return number


def _count(text: str, lowest: int = 1) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < lowest:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {lowest}")
    return int(text)


def _config_path(options: argparse.Namespace) -> Path:
    from billing_pipeline.config import find_config

    return find_config(getattr(options, "config", None))


def _run(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.requests import requested

    request = requested(
        _config_path(options),
        periods=options.period,
        operators=options.operator,
        needs_secrets=not options.from_raw,
    )
    from billing_pipeline.commands.run import run

    return run(request, from_raw=options.from_raw, refresh_stale=options.refresh_stale)


def _summary(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.summary import summary

    return summary(_config_path(options), period=options.period, operators=options.operator, style=options.format)


def _rebill(options: argparse.Namespace) -> int:
    path = _config_path(options)
    # An empty NUMBER or ID, as of a shell's variable that is not set, must not become a rebill of everybody.
    special = options.credit is not None or options.give_up_draft is not None or options.mend_records
    if special and (options.customer or options.without_cost_check or options.finalize):
        raise UsageError(
            "--credit, --give-up-draft and --mend-records go with --period only; leave the other options out"
        )
    from billing_pipeline.commands import rebill

    if options.credit is not None:
        return rebill.credit(path, number=options.credit)
    if options.give_up_draft is not None:
        return rebill.give_up_draft(path, period=options.period, invoicing_id=options.give_up_draft)
    if options.mend_records:
        return rebill.mend_records(path, period=options.period)
    return rebill.rebill(
        path,
        period=options.period,
        customers=options.customer or (),
        finalize=options.finalize,
        cost_check=not options.without_cost_check,
    )


def _export(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.requests import requested

    request = requested(_config_path(options), periods=options.period, operators=options.operator, needs_secrets=False)
    from billing_pipeline.commands.export import export

    return export(request)


def _inspect(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.inspect import inspect

    return inspect(options.file, operator=options.operator, config=getattr(options, "config", None))


def _check_config(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.check_config import check_config

    return check_config(_config_path(options))


def _sandbox(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.demo import serve_sandbox

    return serve_sandbox(port=options.port, scale=options.scale, faults=options.fault)


def _docs(options: argparse.Namespace) -> int:
    path = _config_path(options)
    from billing_pipeline.commands.docs import docs

    return docs(path, port=options.port)


def _demo(options: argparse.Namespace) -> int:
    if hasattr(options, "config"):
        raise UsageError("demo writes its own configuration; name its folder with --folder, and use run for yours")
    from billing_pipeline.commands.demo import demo

    return demo(options.folder)


def _dev(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.dev import dev

    config = None if options.demo else _config_path(options)
    return dev(config, demo_folder=options.demo, port=options.port)


def _serve(options: argparse.Namespace) -> int:
    from billing_pipeline.commands.serve import serve

    return serve(
        _config_path(options),
        host=options.host,
        port=options.port,
        insecure=options.insecure,
        debug=getattr(options, "debug", False),
    )


def _db(action: str) -> Command:
    def command(options: argparse.Namespace) -> int:
        from billing_pipeline.commands import db

        actions: dict[str, Callable[[Path], int]] = {"upgrade": db.upgrade, "url": db.url, "stop": db.stop}
        return actions[action](_config_path(options))

    return command
