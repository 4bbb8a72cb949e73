"""A checkout as a reader has it after `make demo`: the documents' commands find there what they name."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing_pipeline.sandbox.access import DEMO_SECRETS
from billing_pipeline.storage import embedded
from billing_pipeline_tests.docs.blocks import ROOT
from billing_pipeline_tests.pipeline.places import folder_for_a_server
from billing_pipeline_tests.pipeline.program import environment
from billing_pipeline_tests.pipeline.tcp_server import free_port

_LINKED = (
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "billing_pipeline",
    "dbt_project",
    "docker",
    "workspace.yaml",
)


@dataclass(frozen=True)
class Checkout:
    """A folder with .venv, the project's files, and the demo in demo/; its sandbox serves."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """A reader's shell: the demo's secrets, the demo as the configuration where none is named, psql on the PATH."""
        path = os.pathsep.join([str(embedded._binaries()), os.environ["PATH"]])
        configuration = str(self.folder / "demo" / "billing.yaml")
        return environment({**DEMO_SECRETS, "BILLING_CONFIG": configuration, "PATH": path, "HOME": str(self.folder)})

    @property
    def url(self) -> str:
        return self.database("demo")

    def database(self, name: str) -> str:
        """The database of the demo, or of a copy of it beside."""
        return embedded.start(self.folder / name / "data").url_for("billing")

    def shell(self, text: str, timeout: float = 900) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["/bin/sh", "-eu", "-c", text], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def checkout() -> Iterator[Checkout]:
    with folder_for_a_server() as above:
        folder = above / "checkout"
        folder.mkdir(mode=0o755)
        for name in _LINKED:
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        made = Checkout(folder)
        done = made.shell(".venv/bin/billing-pipeline demo --folder demo")
        assert done.returncode == 0, done.stderr
        with _sandbox(made):
            _change_a_price(made)
            yield made


def _sandbox(checkout: Checkout) -> "subprocess.Popen[bytes]":
    """The demo's operators, on a port that the demo's configuration is told."""
    port = free_port()
    configuration = checkout.folder / "demo" / "billing.yaml"
    configuration.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", configuration.read_text()))
    return _Ending(
        [sys.executable, "-m", "billing_pipeline", "sandbox", "--port", str(port)], cwd=checkout.folder,
        env=checkout.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


class _Ending(subprocess.Popen[bytes]):
    """A process that is ended on leaving its block."""

    def __exit__(self, *_: object) -> None:
        self.terminate()
        self.wait(30)


def _change_a_price(checkout: Checkout) -> None:
    """So that verdicts have a history: nothing else is lost with the database and not found in the documents.

    Every month is run with the inventory as it now is, which is the one a backup holds and a rebuild uses.
    """
    inventory = checkout.folder / "demo" / "services.csv"
    with inventory.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    changed = next(row for row in rows if row["operator_code"] == "AXIONE" and not row["terminated_on"])
    changed["monthly_price_ht"] = "999.00"
    with inventory.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    months = " ".join(f"--period 2024-0{number}" for number in (1, 2, 3))
    done = checkout.shell(f".venv/bin/billing-pipeline run --from-raw {months}")
    assert done.returncode == 0, done.stderr
