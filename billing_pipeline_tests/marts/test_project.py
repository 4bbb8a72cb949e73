"""The dbt project itself: found, documented, true to the registry of columns; its manifest parsed once."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from sqlalchemy.dialects import postgresql

from billing_pipeline.schemas.sql import SQL_TYPES
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.steps import marts

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "dbt_project"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return json.loads(marts.manifest_path(tmp_path_factory.mktemp("manifest")).read_text())


def _models(manifest):
    return {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}


def test_every_model_is_a_documented_view_with_a_contract_and_a_key(manifest):
    models = _models(manifest)
    assert set(models) == marts.model_names(PROJECT)
    assert {
        "fct_reconciliation_items", "fct_reconciliation_summary", "fct_operator_month", "fct_recoverable",
        "dim_service", "dim_operator", "fct_disputes", "fct_item_lines", "fct_margin",
    } <= set(models)  # fmt: skip
    keyed = {
        node["attached_node"] for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") == "unique_key"
    }  # fmt: skip
    for name, node in models.items():
        assert node["description"].startswith("One row per "), name
        assert node["config"]["materialized"] == "view"
        assert node["config"]["contract"]["enforced"]
        assert node["config"]["grants"] == {"select": ["billing_analyst"]}
        assert node["schema"] == "billing_marts"
        assert node["unique_id"] in keyed, name
        assert [column for column, one in node["columns"].items() if len(one["description"]) < 8] == []


def test_staging_says_of_a_column_what_the_registry_says(manifest):
    seen = set()
    for name, node in _models(manifest).items():
        table = BY_NAME.get(name.removeprefix("stg_"))
        if table is None or not name.startswith("stg_"):
            continue
        assert node["description"] == table.grain
        for column, stated in node["columns"].items():
            ours = table.column(column)
            assert stated["description"] == ours.meaning, f"{name}.{column}"
            assert _same_type(stated["data_type"], ours.kind), f"{name}.{column}"
            seen.add((name, column))
    assert len(seen) > 80
    for source in manifest["sources"].values():
        if source["source_name"] == "billing":
            assert source["description"] == BY_NAME[source["name"]].grain


def _same_type(stated, kind):
    ours = SQL_TYPES[kind].compile(dialect=postgresql.dialect()).lower().replace(" ", "")
    return stated == {"timestampwithtimezone": "timestamptz"}.get(ours, ours)


def test_what_costs_us_money_has_a_side_for_every_reason_there_is():
    text = (PROJECT / "models/marts/fct_recoverable.sql").read_text()
    source = "".join(path.read_text() for path in (ROOT / "billing_pipeline/reconciliation").glob("*.py"))
    named = set(re.findall(r"'([A-Z_]{6,})'", text))
    assert named
    assert {reason for reason in named if f'"{reason}"' not in source} == set()


def test_the_connection_stands_in_the_environment_and_in_no_file():
    settings = yaml.safe_load((PROJECT / "profiles.yml").read_text())["billing_pipeline"]["outputs"]["billing"]
    for key in ("host", "port", "user", "password", "dbname"):
        assert re.fullmatch(r"\{\{ env_var\('[A-Z_]+'(, '[0-9]*')?\)( \| as_number)? \}\}", settings[key]), key


def test_the_digest_is_of_the_project_and_not_of_what_dbt_leaves(tmp_path):
    copy = tmp_path / "dbt_project"
    subprocess.run(["cp", "-r", str(PROJECT), str(copy)], check=True)
    digest = marts.project_digest(copy)
    assert digest == marts.project_digest(PROJECT)
    (copy / "target").mkdir()
    (copy / "target" / "compiled.sql").write_text("select 1")
    assert marts.project_digest(copy) == digest
    model = copy / "models/marts/dim_operator.sql"
    model.write_text(model.read_text() + "\n")
    assert marts.project_digest(copy) != digest


def test_processes_that_start_at_once_parse_the_project_once(tmp_path):
    ask = "from billing_pipeline.steps import marts; import pathlib, sys; print(marts.manifest_path(pathlib.Path(sys.argv[1])))"
    started = [
        subprocess.Popen([sys.executable, "-c", ask, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = {process.communicate(timeout=200)[0].strip() for process in started}
    assert {process.returncode for process in started} == {0}
    # A second parse would have found its place taken, and failed.
    assert len(found) == 1
    path = Path(found.pop())
    parsed = path.stat()
    assert marts.manifest_path(tmp_path) == path
    assert path.stat().st_mtime_ns == parsed.st_mtime_ns
    assert sorted(one.name for one in (tmp_path / "dbt").iterdir()) == ["lock", path.parent.name]


def test_an_installed_package_brings_the_project_along(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    ask = (
        "from billing_pipeline.steps import marts; p = marts.project_folder(); print(p); print(marts.project_digest(p))"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    folder, digest = done.stdout.split()
    assert folder == str(installed / "billing_pipeline" / "_dbt_project")
    assert marts.project_folder() == PROJECT
    assert digest == marts.project_digest(PROJECT)
