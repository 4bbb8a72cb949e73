"""The README's curl commands do what it says, typed as they stand there."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import billing_pipeline
from billing_pipeline_tests.api.results import put
from billing_pipeline_tests.api.serving import KEY, OTHER_KEY, configuration, exact, serving
from billing_pipeline_tests.pipeline.program import environment

README = (Path(billing_pipeline.__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Serve the results over HTTP")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"```sh\n(KEY=.*?)```", SECTION, re.DOTALL)
PLACE = {"operator_code": "SFR", "period": "2024-03"}


def test_the_readmes_curl_commands_answer(new_database: Callable[[], str], tmp_path: Path) -> None:
    if subprocess.run(["which", "curl"], capture_output=True, check=False).returncode:
        pytest.skip("there is no curl on this machine")
    url = new_database()
    put(url, "invoices", {**PLACE, "invoice_id": "INV-SFR-2024-03-001", "total_ht": "10"})
    put(url, "reconciliation_summary", {
        **PLACE, "state": "EVALUATED", "total_services": 1, "matched": 0, "unmatched": 0, "discrepancies": 1,
    })  # fmt: skip
    put(url, "reconciliation_items", {**PLACE, "item_id": "service:S", "status": "DISCREPANCY", "service_id": "S"})
    assert len(COMMANDS) == 1
    with serving(configuration(tmp_path, ["SFR"]), url) as api:
        assert "http://127.0.0.1:8190" in COMMANDS[0]
        script = (
            COMMANDS[0].replace("http://127.0.0.1:8190", api.base_url).replace("curl ", "curl -sS --fail-with-body ")
        )
        done = subprocess.run(
            ["bash", "-ec", script.replace("\ncurl", "\necho; curl")], capture_output=True, text=True, timeout=60,
            env=environment({"BILLING_API_KEYS": f"{KEY},{OTHER_KEY}"}),
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    listed, invoice, discrepancies, page = [exact(line) for line in done.stdout.splitlines() if line]
    assert listed["pagination"]["total"] == 1
    assert invoice["invoiceId"] == "INV-SFR-2024-03-001"
    assert [item["status"] for item in discrepancies["items"]] == ["DISCREPANCY"]
    assert page["pagination"] == {"page": 1, "perPage": 50, "total": 1}
