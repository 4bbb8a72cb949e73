"""Runs the real command line again and again without importing pandas, Ibis and Dagster each time (5 s cold).

Started as a program by program.py. It imports everything, then forks for each command: the child has its own
environment, folder, arguments and files for its output, calls `cli.main`, and ends as an interpreter ends. Nothing of the
package is replaced, unless a point at which to die is named (dying.py). Requests and answers are JSON, one per line.
"""

import importlib
import json
import os
import sys
from typing import Any

HEAVY = (
    "billing_pipeline.cli", "billing_pipeline.commands.run", "billing_pipeline.commands.demo",
    "billing_pipeline.commands.summary", "billing_pipeline.commands.db", "billing_pipeline.commands.check_config",
    "ibis.backends.duckdb", "dagster_postgres", "alembic.command", "pyarrow.csv", "pyarrow.parquet",
)  # fmt: skip


def serve() -> None:
    """Answer requests until standard input ends; returns, in a child, to run its command."""
    for text in sys.stdin:
        request = json.loads(text)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer: Any = {"code": os.waitstatus_to_exitcode(status)}
        else:
            child = os.fork()
            if child == 0:
                _become(request)
                return
            answer = {"pid": child}
        _say({**answer, "asked": request["asked"]})
    os._exit(0)


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _become(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["billing-pipeline", *request["arguments"]]
    if request["point"]:
        importlib.import_module("billing_pipeline_tests.pipeline.dying").install(request["point"])
    if "BILLING_TEST_HALT" in os.environ:
        importlib.import_module("billing_pipeline_tests.faults.halting").install_from_environment()


if __name__ == "__main__":
    for module in HEAVY:
        importlib.import_module(module)
    _say({"pid": os.getpid()})
    serve()
    importlib.import_module("billing_pipeline.cli").main()
