"""`dev`: the Dagster UI and daemon on the configured data, in the foreground."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from billing_pipeline.api.server import listen
from billing_pipeline.commands.demo import sandbox_for
from billing_pipeline.config import ENVIRONMENT_FILE, BillingConfig, load_config
from billing_pipeline.defs.instance import open_instance, prepare_home
from billing_pipeline.defs.launch import fail_abandoned_runs
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.servers import connect_databases

_WORKSPACE = """\
load_from:
  - python_module:
      module_name: billing_pipeline.definitions
      location_name: billing_pipeline
"""


def dev(path: Path | None, *, demo_folder: Path | None, port: int) -> int:
    """Webserver and daemon until interrupted; with a demo folder its sandbox too, so that runs find their operators."""
    # Dagster finds out last, once databases and sandbox are up, and says it with three processes' tracebacks.
    listen("127.0.0.1", port).close()
    with ExitStack() as stack:
        config = stack.enter_context(sandbox_for(demo_folder)) if demo_folder else _configured(path)
        databases = connect_databases(config)
        upgrade(databases.billing)
        home = prepare_home(config, databases)
        with open_instance(home) as instance:
            fail_abandoned_runs(instance)
        return _serve(config, home, port)


def _configured(path: Path | None) -> BillingConfig:
    assert path is not None  # the command line gives one or the other
    return load_config(path)


def _serve(config: BillingConfig, home: Path, port: int) -> int:
    workspace = home / "workspace.yaml"
    workspace.write_text(_WORKSPACE, encoding="utf-8")
    environment = {**os.environ, ENVIRONMENT_FILE: str(config.path), "PATH": _path_with_scripts()}
    command = [
        sys.executable, "-W", "ignore:Function `dev_command`", "-m", "dagster", "dev", "-w", str(workspace),
        "-h", "127.0.0.1", "-p", str(port),
    ]  # fmt: skip
    print(f"Dagster UI on http://127.0.0.1:{port} for {config.path}; Ctrl-C ends it", flush=True)
    # Ended from outside, it takes its children with it as on Ctrl-C. A shell without job control starts what it puts in
    # the background with SIGINT ignored, and Dagster's processes would then ignore both signals; a handler of ours is
    # the default again in a child.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            return 0


def _path_with_scripts() -> str:
    """Dagster starts its webserver and daemon by name; they lie beside this Python."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
