"""The machine's Chromium and `billing-pipeline dev --demo` as it is started by hand. Screenshots are kept:
BILLING_TEST_ARTIFACTS names the folder, else they lie in pytest's."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from billing_pipeline_tests.browser.dagster_ui import DagsterUi
from billing_pipeline_tests.needed import needed
from billing_pipeline_tests.pipeline.places import folder_for_a_server
from billing_pipeline_tests.pipeline.program import environment

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# A container has no user namespaces for the sandbox, and no graphics; nothing but our pages is fetched.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
START_S = 600
# Dagster's own 60 s for an answer of the code server are too few while everything else is tested on the same two cores.
PATIENT = {"DAGSTER_GRPC_TIMEOUT_SECONDS": "300"}
PATIENCE_MS = 120_000


@dataclass(frozen=True)
class Dev:
    """A running `dev --demo`: the demo's folder and where its webserver listens."""

    folder: Path
    base_url: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needed("browser", CHROMIUM, "there is no Chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def dev(browser: Browser) -> Iterator[Dev]:
    with folder_for_a_server() as folder:
        port = _free_port()
        said = folder / "said.txt"
        command = [sys.executable, "-m", "billing_pipeline", "dev", "--demo", str(folder / "demo"), "--port", str(port)]
        with (
            said.open("w") as file,
            subprocess.Popen(
                command, cwd=folder, env=environment({"HOME": str(folder), **PATIENT}), stdout=file, stderr=file,
                stdin=subprocess.DEVNULL, start_new_session=True,
                # As a script's `billing-pipeline dev &` is started.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            ) as process,
        ):  # fmt: skip
            try:
                _wait_for(f"http://127.0.0.1:{port}/server_info", process, said)
                yield Dev(folder / "demo", f"http://127.0.0.1:{port}")
            finally:
                _end(process)


@pytest.fixture
def ui(browser: Browser, dev: Dev, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DagsterUi]:
    kept = Path(os.environ.get("BILLING_TEST_ARTIFACTS") or tmp_path) / request.node.name
    kept.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    used = DagsterUi(context.new_page(), dev.base_url, kept)
    yield used
    # Also after a failure: it shows what was there instead.
    used.picture("end")
    context.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: "subprocess.Popen[bytes]", said: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(OSError), urllib.request.urlopen(url, timeout=10):
            return
        assert process.poll() is None, said.read_text()[-3000:]
        assert time.monotonic() < deadline, said.read_text()[-3000:]
        time.sleep(0.5)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """As a service manager does; it takes webserver, daemon and code server with it, once the runs under way have ended."""
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(started, timeout=300)
    for left in alive:
        left.kill()
    assert not alive, f"300 s after SIGTERM to `dev` there still are {alive}"
