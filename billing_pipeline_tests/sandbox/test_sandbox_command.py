"""`billing-pipeline sandbox` as its own process: what its help lists, what it serves, what it refuses."""

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx

from billing_pipeline.sandbox.access import DEMO_SECRETS
from billing_pipeline.sandbox.faults import FAULTS

COMMAND = [sys.executable, "-m", "billing_pipeline", "sandbox"]


def test_the_help_lists_every_fault() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    for name, fault in FAULTS.items():
        assert re.search(rf"^  {name} +{re.escape(fault.description)}", done.stdout, re.MULTILINE), name


def test_an_unknown_fault_is_one_line_and_a_usage_error(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "--fault", "rest"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "reset" in done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_it_serves_with_the_faults_named(tmp_path: Path) -> None:
    port = _free_port()
    command = [
        *COMMAND,
        "--port",
        str(port),
        "--scale",
        "5",
        "--fault",
        "server_error_burst:first=1",
        "--fault",
        "nulls",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        stop = threading.Timer(60, process.kill)
        stop.start()
        try:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(1 + len(DEMO_SECRETS))]
            for name, value in DEMO_SECRETS.items():
                assert f"  export {name}={value}\n" in said
            transport = httpx.HTTPTransport(retries=20)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=10) as client:
                headers = {"Authorization": f"Bearer {DEMO_SECRETS['NETWO_API_KEY']}"}
                answers = [client.get("/v1/billing/invoices", headers=headers) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [503, 200]
            assert any(None in invoice.values() for invoice in answers[1].json()["invoices"])
        finally:
            stop.cancel()
            process.terminate()
            process.wait()
