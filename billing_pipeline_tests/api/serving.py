"""`serve` as a process of its own on a free port, and a client that asks it. Knows no table."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from billing_pipeline_tests.pipeline.program import environment

KEY, OTHER_KEY = "canary-key-9c41", "second-key-07aa"
LIST, RECONCILIATION = "/v1/billing/invoices", "/v1/billing/reconciliation"


class Serving:
    """A running `serve`: where it is, what it has written, and how to ask it with a valid key."""

    def __init__(self, process: "subprocess.Popen[str]", base_url: str, said: str, log: Path) -> None:
        self.process = process
        self.base_url = base_url
        self.said = said
        self._log = log
        self.client = httpx.Client(
            base_url=base_url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False, timeout=60
        )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        return self.client.get(path, params=parameters)

    def read(self, path: str, **parameters: Any) -> Any:
        """The answer's JSON, every number that has decimals a Decimal."""
        answer = self.get(path, **parameters)
        assert answer.status_code == 200, answer.text
        return exact(answer.text)


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def configuration(folder: Path, operators: Sequence[str]) -> Path:
    """A folder with billing.yaml for these operators; nothing in it is collected."""
    entries = "".join(
        f"  - {{code: {code}, name: {code.title()}, source: {{type: r189_files, folder: ./inbox}}}}\n"
        for code in operators
    )
    (folder / "billing.yaml").write_text(
        'version: 1\nfirst_period: "2022-01"\nstorage: {data_dir: ./data}\nservices: {inventory: ./services.csv}\n'
        f"operators:\n{entries}",
        encoding="utf-8",
    )
    return folder


def start(folder: Path, variables: Mapping[str, str], *options: str, log: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "billing_pipeline", "serve", "--port", "0", *options],
        cwd=folder, env=environment(variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip


@contextmanager
def serving(
    folder: Path, url: str, *options: str, keys: str = f"{KEY},{OTHER_KEY}", **variables: str
) -> Iterator[Serving]:
    """The command in `folder` on the database at `url`, answering; ended as an administrator ends it."""
    told = {"BILLING_POSTGRES_URL": url, "BILLING_API_KEYS": keys, "HOME": str(folder), **variables}
    with tempfile.NamedTemporaryFile(prefix="billing-test-") as log:
        process = start(folder, told, *options, log=log.fileno())
        assert process.stdout is not None
        said = process.stdout.readline()
        assert " on http://" in said, Path(log.name).read_text()
        running = Serving(process, said.split(" on ")[1].split(" ")[0], said, Path(log.name))
        try:
            yield running
        finally:
            running.client.close()
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            process.stdout.close()


def refused(folder: Path, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """`serve` where it has to refuse; ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "billing_pipeline", "serve", *options],
        cwd=folder, env=environment({"HOME": str(folder), **variables}), capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
