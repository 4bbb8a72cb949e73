"""The published document is true: a fuzzer that believes it finds nothing, and the page for people needs nobody else."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from billing_pipeline.api.access import FAILURES
from billing_pipeline_tests.api.serving import KEY, LIST, RECONCILIATION, Serving, serving
from billing_pipeline_tests.pipeline.program import environment

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
EXAMPLES = 400 if FULL else 15


def document(api: Serving) -> Any:
    return httpx.get(f"{api.base_url}/openapi.json", trust_env=False).json()


def test_a_fuzzer_that_believes_the_document_finds_nothing(results_url: str, folder: Path, tmp_path: Path) -> None:
    """schemathesis with a fixed seed, every check but one: `ignored_auth` fails on purpose so often that the address is
    made to wait, which test_access.py looks at."""
    with serving(folder, results_url) as api:
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"{api.base_url}/openapi.json",
                "--header", f"Authorization: Bearer {KEY}", "--exclude-checks", "ignored_auth", "--seed", "20240305",
                "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing", "--no-color",
                "--continue-on-failure", "--generation-database", "none", "--warnings", "off",
            ],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log = api.log
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    answered = re.findall(r" (\d{3}) [0-9.]+ ms", log)
    assert len(answered) > 100
    assert {"200", "400", "404", "405"} <= set(answered), "the fuzzer did not get where it should"
    assert "429" not in answered, f"{FAILURES} failures from one address: later requests tested nothing"
    assert "500" not in answered


@pytest.mark.parametrize(
    ("path", "parameters", "operation"),
    [
        (LIST, {}, LIST),
        (LIST, {"page": "0"}, LIST),
        (f"{LIST}/INV-OP01-2022-01-0001", {}, f"{LIST}/{{invoiceId}}"),
        (f"{LIST}/NOPE", {}, f"{LIST}/{{invoiceId}}"),
        (RECONCILIATION, {"period": "2022-01"}, RECONCILIATION),
        (RECONCILIATION, {"period": "2022-01", "page": "2"}, RECONCILIATION),
        (RECONCILIATION, {"period": "2022-01", "operatorCode": "OP03"}, RECONCILIATION),
        (RECONCILIATION, {"period": "2022-01", "operatorCode": "OP10"}, RECONCILIATION),
    ],
)
def test_an_answer_has_no_member_the_document_does_not_have(
    results_api: Serving, path: str, parameters: dict[str, str], operation: str
) -> None:
    whole = document(results_api)
    for schema in whole["components"]["schemas"].values():
        schema["additionalProperties"] = False
    answer = results_api.get(path, **parameters)
    declared = whole["paths"][operation]["get"]["responses"][str(answer.status_code)]
    schema = {**declared["content"]["application/json"]["schema"], "components": whole["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_the_documentation_is_read_without_a_key_and_fetches_nothing_from_elsewhere(results_api: Serving) -> None:
    answer = httpx.get(f"{results_api.base_url}/docs", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in answer.text
    assert re.findall(r"(?:src|href)=\"(?!#|/openapi\.json)", answer.text) == []
    for path in document(results_api)["paths"]:
        assert f"GET {path}" in answer.text
    for name in document(results_api)["components"]["schemas"]:
        assert f'id="{name}"' in answer.text
    assert "OP01" not in answer.text + str(document(results_api)), "operators are nobody's business without a key"


def test_every_parameter_and_member_is_explained(results_api: Serving) -> None:
    whole = document(results_api)
    for operation in (methods["get"] for methods in whole["paths"].values()):
        assert all(parameter["description"] for parameter in operation["parameters"])
        assert {"200", "400", "401", "404", "429", "500", "503"} <= set(operation["responses"])
    assert whole["security"] == [{"key": []}]
