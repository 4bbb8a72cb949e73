"""Orange's reports, fetched over HTTP and read by the slow rules: they earn the verdicts injected and no others."""

from pathlib import Path

import pytest

from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.workspace import write_workspace
from billing_pipeline_tests.reference.folder import evaluate
from billing_pipeline_tests.sandbox.orange_client import BASE, everything, orange_client
from billing_pipeline_tests.sandbox.test_sandbox_verdicts import _unlike


def _as_files(folder: Path, reseller: Reseller) -> Path:
    """The workspace with Orange's charge reports in a drop folder, in place of the API."""
    path = write_workspace(folder, reseller, "http://127.0.0.1:1")
    inbox = folder / "inbox"
    inbox.mkdir()
    with orange_client(create_app(reseller, api_key="k")) as client:
        for report in everything(client, "reports"):
            if report["id"].startswith("R189"):
                answer = client.get(f"{BASE}/reports/{report['id']}", headers={"Accept": "text/csv"})
                (inbox / report["id"]).write_bytes(answer.content)
    text = path.read_text(encoding="utf-8")
    start, end = text.index("      type: orange_b2b"), text.index("    reconciliation:")
    path.write_text(f"{text[:start]}      type: r189_files\n      folder: ./inbox\n{text[end:]}", encoding="utf-8")
    return path


@pytest.mark.parametrize(("seed", "scale"), [(20240301, 150), (7, 100)])
def test_orange_reports_earn_the_verdicts_injected_and_no_others(tmp_path: Path, seed: int, scale: int) -> None:
    reseller = generate_reseller(seed=seed, scale=scale, operators=["ORANGE"])
    evaluations = evaluate(_as_files(tmp_path, reseller), reseller.periods)
    assert len(evaluations) == 3
    for (operator, period), evaluation in evaluations.items():
        assert evaluation.state == "EVALUATED", evaluation.why
        assert _unlike(reseller, operator, period, evaluation.items) == {}


def test_one_month_a_bill_declares_more_than_its_lines(tmp_path: Path) -> None:
    reseller = generate_reseller(operators=["ORANGE"])
    wrong = {one.subject.removeprefix("invoice:") for one in reseller.injected if one.reason == "INVOICE_FOOTING"}
    assert wrong == {"FA-ORA-2024-02-0001"}
    with orange_client(create_app(reseller, api_key="k")) as client:
        bill = next(one for one in everything(client) if one.get("number") in wrong)
    assert "amountExcludingTax" in bill
