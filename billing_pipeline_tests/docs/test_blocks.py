"""What the documents show is run as it stands: shell in a checkout with the demo, SQL on its database, YAML as settings."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
import yaml

from billing_pipeline.config import BillingConfig, load_config
from billing_pipeline_tests.docs.blocks import ALL, DOCUMENTS, NOT_RUN, ROOT, Block, of
from billing_pipeline_tests.docs.conftest import Checkout
from billing_pipeline_tests.pipeline import tables

pytestmark = pytest.mark.timeout(1800)
SHELL = of("sh", "bash", "shell", "console")
# Run until they are interrupted; a reader sees where they listen.
FOREGROUND = re.compile(r"billing-pipeline (serve|dev|sandbox)\b|^make dev\b", re.MULTILINE)
HISTORY = "SELECT operator_code, period, item_id, changed_at FROM billing.reconciliation_history ORDER BY 1, 2, 3, 4"
KNOWN_LANGUAGES = {"sh", "sql", "yaml", "dockerfile", ""}


def test_the_documents_were_read() -> None:
    assert {document.name for document in DOCUMENTS} >= {"README.md", "kubernetes.md"}
    assert len(SHELL) >= 5
    assert len(of("sql")) >= 2
    assert {block.language for block in ALL} <= KNOWN_LANGUAGES, "a block in a language that no test looks at"


@pytest.mark.parametrize("line", NOT_RUN)
def test_the_list_of_what_is_not_run_names_nothing_that_is_gone(line: str) -> None:
    assert line in {block.first_line for block in ALL}
    assert len(NOT_RUN[line]) > 20


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_command_does_what_it_is_shown_for(checkout: Checkout, block: Block) -> None:
    if FOREGROUND.search(block.text):
        _run_for_a_while(checkout, block)
        return
    done = checkout.shell(block.text)
    assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _run_for_a_while(checkout: Checkout, block: Block) -> None:
    with subprocess.Popen(
        ["/bin/sh", "-eu", "-c", block.text], cwd=checkout.folder, env=checkout.environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        time.sleep(15)
        code = process.poll()
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout is not None
        said = process.stdout.read()
    assert code is None, f"{block} ended with {code}\n{said[-2000:]}"


@pytest.mark.parametrize("block", of("sql"), ids=str)
def test_a_query_finds_rows_in_the_demo(checkout: Checkout, block: Block) -> None:
    with psycopg.connect(checkout.url) as connection:
        cursor = connection.execute(block.text.encode())
        found = cursor.fetchall()
        while cursor.nextset():
            found = cursor.fetchall()
    assert found, block


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_settings_are_accepted(block: Block, tmp_path: Path) -> None:
    """A whole configuration, or a part of one that is added to the README's first; others are YAML at least."""
    settings = yaml.safe_load(block.text)
    assert isinstance(settings, dict), block
    if not set(settings) <= set(BillingConfig.model_fields):
        return
    whole = settings if "version" in settings else {**_first_configuration(), **settings}
    path = tmp_path / "billing.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert load_config(path).operators


def _first_configuration() -> dict[str, object]:
    return next(found for block in of("yaml") if "version" in (found := yaml.safe_load(block.text)))


def test_a_restored_backup_is_what_was_backed_up(checkout: Checkout) -> None:
    """After the blocks above: what was rebuilt from the documents, and what only the backup holds."""
    if not (checkout.folder / "restored").is_dir():
        pytest.fail("no block of the documents restores a backup into `restored`")
    contents, histories = [], []
    for name in ("demo", "restored"):
        url = checkout.database(name)
        contents.append(tables.but_for_the_folder(tables.stored(url), checkout.folder / name))
        with psycopg.connect(url) as connection:
            histories.append(connection.execute(HISTORY).fetchall())
    assert histories[0], "the demo has no history; nothing is proved"
    assert histories[0] == histories[1]
    # A document's address is that of its last reception, and the sandbox has had two ports.
    for content in contents:
        assert content["source_documents"]
        for row in content["source_documents"]:
            row["location"] = re.sub(r"(?<=//127\.0\.0\.1:)\d+", "port", row["location"])
        content["source_documents"].sort(key=tables.order)
    told = tables.changed(*contents)
    assert set(told) == set(), told


def test_the_images_and_versions_the_documents_name_are_those_of_the_project() -> None:
    text = (ROOT / "docker" / "kubernetes.md").read_text(encoding="utf-8")
    pins = dict(re.findall(r'"(dagster[a-z-]*)==([\d.]+)"', (ROOT / "pyproject.toml").read_text()))
    image = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["x-service"]["image"]
    assert re.findall(r"--version ([\d.]+)", text) == [pins["dagster"]]
    assert re.findall(r"dagster-k8s==([\d.]+)", text) == [pins["dagster-postgres"]]
    assert re.findall(r"^FROM (\S+)$", text, re.MULTILINE) == [image]


def test_kubernetes_runs_dagster_with_the_settings_of_compose() -> None:
    (values,) = [found for block in of("yaml") if "runLauncher" in (found := yaml.safe_load(block.text))]
    compose = yaml.safe_load((ROOT / "docker" / "dagster.yaml").read_text())
    daemon = values["dagsterDaemon"]
    assert _as_in_dagster(daemon["runMonitoring"]) == compose["run_monitoring"]
    assert _as_in_dagster(daemon["runRetries"]) == compose["run_retries"]
    told = {name: value for name, value in values["concurrency"].items() if name != "enabled"}
    assert _as_in_dagster(told) == compose["concurrency"]
    assert values["telemetry"] == compose["telemetry"]
    assert values["additionalInstanceConfig"]["nux"] == compose["nux"]
    assert values["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"


def _as_in_dagster(value: object) -> object:
    """The chart's camelCase keys as dagster.yaml has them; below a `value` Dagster's own spelling is camelCase."""
    if isinstance(value, dict):
        return {
            re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", key): one if key == "value" else _as_in_dagster(one)
            for key, one in value.items()
        }
    return [_as_in_dagster(one) for one in value] if isinstance(value, list) else value
